--- Runs that start from the weights of others: `start` in a recipe's plan.
package.path = "tests/cli/?.lua;" .. package.path
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local plan = require "plan"
local program = require "program"
local world = require "world"

-- An evaluation starts from a trained variant, which starts from the base run.
local chain = [[
return recipe {
  title = "A chain of three",
  params = {
    variant = param.choice { "base", "C", "AUG", default = "C" },
    measure = param.choice { "training", "clean", "far", default = "clean" },
    alpha = param.number { 0.5, min = 0 },
    epochs = param.integer { 1, min = 1 },
    seed = param.seed { 1 },
  },
  plan = function(p)
    local change = perturb.colour { levels = { 1, 2 } }
    local plan = {
      data = data.synthetic { classes = 4, train = 64, test = 40, noise = 0.8 },
      model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = p.seed },
      optimizer = optim.sgd { lr = 0.02, momentum = 0.9 }, loss = loss.cross_entropy(),
      seed = p.seed, batch = 16, epochs = p.epochs,
    }
    if p.measure ~= "training" then
      plan.start = { measure = "training" }
      plan.epochs = 0
      plan.probes = { accuracy = probe.accuracy(),
                      continuity = probe.continuity { levels = { p.measure == "far" and 4 or 1 }, limit = 20 } }
      return plan
    end
    if p.variant ~= "base" then plan.start = { variant = "base", alpha = 0 } end
    if p.variant == "C" then plan.loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = change } end
    if p.variant == "AUG" then plan.loss = loss.cross_entropy { perturb = change } end
    return plan
  end,
}
]]

local function study_of(measure)
  return ([[
return study {
  title = "Clean", recipe = "chain", grid = { variant = { "base", "C", "AUG" }, seed = { 1, 2 } },
  fixed = { measure = "%s" }, show = { rows.by("variant"):column("accuracy") },
}
]]):format(measure)
end

-- A recipe of two parameters, in whose plan function `line` stands.
local function small(line)
  return ([[
return recipe {
  title = "Small",
  params = { n = param.integer { 0, min = 0 }, variant = param.choice { "base", "C", default = "C" } },
  plan = function(p)
    local width = 5
    local plan = { loss = loss.cross_entropy(), optimizer = optim.sgd { lr = 0.02 },
                   data = data.synthetic { classes = 4, train = 32, test = 20 } }
    %s
    plan.model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { width }, seed = 1 }
    return plan
  end,
}
]]):format(line)
end

local of_one_attempt = { ["timing.jsonl"] = true, ["environment.json"] = true, ["lock"] = true, ["report.html"] = true,
                         ["log.txt"] = true, ["stopped.json"] = true }

-- What must be the same bytes each time, of all folders below one: name -> bytes.
local function contents(folder)
  local out = {}
  for _, name in ipairs(file.below(folder)) do
    local last = name:match "[^/]*$"
    if last == "results.json" then
      local results = assert(json.read(folder .. "/" .. name))
      results.timing = nil
      out[name] = json.encode(results)
    elseif not of_one_attempt[last] then
      out[name] = assert(file.read(folder .. "/" .. name))
    end
  end
  return out
end

local function names(folder)
  local list = {}
  for name in lfs.dir(folder) do
    if name:find "^chain%-%x+$" then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- The folder of the run with these parameters.
local function run_with(folder, given)
  for _, name in ipairs(names(folder)) do
    local values, fits = assert(json.read(folder .. "/" .. name .. "/params.json")), true
    for key, value in pairs(given) do fits = fits and values[key] == value end
    if fits then return folder .. "/" .. name end
  end
end

local function results(folder) return assert(json.read(folder .. "/results.json")) end

describe("a run that starts from another", function()
  local root = os.tmpname()
  local path

  local function run(out, ...)
    return program.run { "run", path, "--out", root .. "/" .. out, ... }
  end

  setup(function()
    os.remove(root)
    assert(file.make_folder(root))
    path = root .. "/chain.lua"
    assert(file.write(path, chain))
    assert(file.write(root .. "/clean.lua", study_of "clean"))
    assert(file.write(root .. "/far.lua", study_of "far"))
  end)
  teardown(function() file.remove_folder(root) end)

  it("holds the whole plan of what it starts from", function()
    local recipe = assert(world.load(path))
    local function made(given) return assert(recipe:make_plan(assert(recipe:resolve(given)))) end
    local clean, trained, base = made {}, made { measure = "training" }, made { measure = "training", variant = "base" }
    assert.equal(plan.text(trained), plan.text(clean.start))
    assert.equal(plan.text(base), plan.text(trained.start))
    assert.is_nil(base.start)
    -- What does not matter to the base run does not make another one of it.
    assert.equal(plan.hash(base), plan.hash(made({ measure = "training", alpha = 3 }).start))
    assert.not_equal(plan.hash(base), plan.hash(made({ measure = "training", seed = 2 }).start))
    local _, _, values_of = recipe:make_plan(assert(recipe:resolve {}))
    local count = 0
    for start, values in pairs(values_of) do
      count = count + 1
      assert.equal(plan.text(start), plan.text(made(values)))
    end
    assert.equal(2, count)
  end)

  it("is made after its chain, and says which weights it had", function()
    local r = run "one"
    assert.equal(0, r.code, r.err)
    assert.equal(3, #names(root .. "/one"))
    local base = run_with(root .. "/one", { variant = "base" })
    local trained = run_with(root .. "/one", { variant = "C", measure = "training" })
    local clean = run_with(root .. "/one", { measure = "clean" })
    assert.is_truthy(r.out:find("start: base, training, alpha 0  " .. base, 1, true), r.out)
    for run_folder, start in pairs { [trained] = base, [clean] = trained } do
      local said = results(run_folder).start
      assert.same({ start:match "[^/]*$", results(start).plan_hash, results(start).weights.sha256 },
        { said.run, said.plan_hash, said.sha256 })
    end
    assert.is_nil(results(base).start)
    -- Nothing was trained at the end, something before.
    assert.equal(0, results(clean).training.steps)
    assert.equal(results(trained).weights.sha256, results(clean).weights.sha256)
    assert.not_equal(results(base).weights.sha256, results(trained).weights.sha256)
    -- What the weights have cost is told with what they come from.
    local images, seconds = {}, {}
    for i, folder in ipairs { base, trained, clean } do
      local found = results(folder)
      images[i], seconds[i] = found.metrics.images.value, found.timing.with_start or found.timing.seconds
    end
    assert.is_true(images[2] > images[1] and seconds[2] > seconds[1])
    assert.same({ images[2], seconds[2] }, { images[3], seconds[3] - results(clean).timing.seconds })
    -- A first step from trained weights is none from drawn ones.
    local function first_loss(folder) return json.decode(file.read(folder .. "/metrics.jsonl"):match "[^\n]+").loss end
    assert.is_true(first_loss(trained) ~= first_loss(base))
  end)

  it("shares what it starts from with others, in one process and in two", function()
    local function make(out, name, ...)
      return program.run { "run", root .. "/" .. name .. ".lua", "--out", root .. "/" .. out, "--quiet", ... }
    end
    local r = make("shared", "clean")
    assert.equal(0, r.code, r.err)
    local _, starts = r.out:gsub("\n  start: ", "")
    assert.same({ 6, 12 }, { starts, #names(root .. "/shared") })
    r = make("shared", "far")
    assert.equal(0, r.code, r.err)
    local _, there = r.out:gsub("start: [^\n]* was there already", "")
    assert.same({ 6, 18 }, { there, #names(root .. "/shared") })
    for _, name in ipairs { "clean", "far" } do
      r = make("apart", name, "--jobs", "2")
      assert.equal(0, r.code, r.err)
    end
    local one, two = contents(root .. "/shared"), contents(root .. "/apart")
    for name, bytes in pairs(one) do
      -- A study says where its runs lie.
      if not name:find "^%a+%-%x+/report.txt" and not (name:find "results.json" and not name:find "^chain") then
        assert.is_true(two[name] == bytes, name)
      end
      two[name] = nil
    end
    assert.is_nil((next(two)))
    -- Complete runs need nobody.
    r = make("shared", "clean")
    assert.is_falsy(r.out:find("start: ", 1, true))
  end)

  it("goes on to the same bytes after a kill in its start, and after one at its own probes", function()
    local words = { "run", path, "--out", root .. "/killed", "--quiet", "epochs=60" }
    assert.equal(0, run("whole", "--quiet", "epochs=60").code)
    local function kill_when(condition)
      local process = assert(host.spawn({ program.path, table.unpack(words) }, { stdout = "null", stderr = "null" }))
      repeat local ended = process:wait(0.001) until ended or condition()
      process:kill "kill"
      process:wait()
    end
    local function rows(name, kind)
      local text = file.read(("%s/killed/%s/metrics.jsonl"):format(root, name)) or ""
      return select(2, text:gsub('"kind":"' .. kind .. '"', ""))
    end
    local base = run_with(root .. "/whole", { variant = "base" }):match "[^/]*$"
    local clean = run_with(root .. "/whole", { measure = "clean" }):match "[^/]*$"
    kill_when(function() return rows(base, "epoch") >= 10 end)
    assert.is_falsy(file.exists(("%s/killed/%s/results.json"):format(root, base)))
    kill_when(function() return rows(clean, "probe") >= 1 end)
    assert.is_true(file.exists(("%s/killed/%s/results.json"):format(root, base)))
    assert.is_falsy(file.exists(("%s/killed/%s/results.json"):format(root, clean)))
    -- From the folder alone, and with another number of threads.
    local r = program.run { "--threads", "2", "resume", root .. "/killed/" .. clean, "--quiet" }
    assert.equal(0, r.code, r.err)
    local whole, found = contents(root .. "/whole"), contents(root .. "/killed")
    for name, bytes in pairs(whole) do assert.is_true(found[name] == bytes, name) end
    for name in pairs(found) do assert.is_true(whole[name] ~= nil, name) end
  end)

  it("needs its start no more once it is complete, and has it made again where it does", function()
    local before = contents(root .. "/one")
    local base = run_with(root .. "/one", { variant = "base" })
    local trained = run_with(root .. "/one", { variant = "C", measure = "training" })
    file.remove_folder(base)
    file.remove_folder(trained)
    local r = run("one", "--quiet")
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find("was there already", 1, true))
    assert.equal(1, #names(root .. "/one"))
    r = run("one", "--quiet", "--fresh")
    assert.equal(0, r.code, r.err)
    assert.same(before, contents(root .. "/one"))
    -- Weights alone are as much gone as the folder.
    assert(os.remove(trained .. "/model.safetensors"))
    r = run("one", "--quiet", "measure=far")
    assert.equal(0, r.code, r.err)
    assert.equal(before[trained:match "[^/]*$" .. "/model.safetensors"], file.read(trained .. "/model.safetensors"))
  end)

  it("refuses weights that are not those its start has ended with", function()
    assert.equal(0, run("bent", "--quiet").code)
    local trained = run_with(root .. "/bent", { variant = "C", measure = "training" })
    local bytes = file.read(trained .. "/model.safetensors")
    assert(file.write(trained .. "/model.safetensors", bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1)))
    local r = run("bent", "--quiet", "measure=far")
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find(trained .. "/model.safetensors: SHA-256 ", 1, true), r.err)
    assert.is_truthy(r.err:find("without its results.json the run is made anew", 1, true))
    assert(os.remove(trained .. "/results.json"))
    r = run("bent", "--quiet", "measure=far")
    assert.equal(0, r.code, r.err)
    assert.equal(bytes, file.read(trained .. "/model.safetensors"))
  end)

  it("does not go on with a training when the weights under it are others", function()
    local r = program.run { "run", path, "--out", root .. "/changed", "--quiet", "measure=training", "epochs=3",
                            "--steps", "5" }
    assert.equal(0, r.code, r.err)
    local base = run_with(root .. "/changed", { variant = "base" })
    local trained = root .. "/changed/" .. (names(root .. "/changed")[1] == base:match "[^/]*$"
      and names(root .. "/changed")[2] or names(root .. "/changed")[1])
    assert.equal(0, program.run({ "resume", base, "--quiet" }).code)
    r = program.run { "resume", trained, "--quiet", "--steps", "5" }
    assert.equal(0, r.code, r.err)
    -- Somebody puts other weights there, with results to them.
    local other = require "models".mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = 9 }
    assert(other:save(base .. "/model.safetensors"))
    local said = results(base)
    said.weights.sha256 = require "hash".sha256_file(base .. "/model.safetensors")
    assert(file.write(base .. "/results.json", json.encode(said)))
    r = program.run { "resume", trained, "--quiet" }
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find("was trained with start %x+, now it is " .. said.weights.sha256), r.err)
  end)

  it("says what is wrong with a start, and where", function()
    local cases = {
      { 'plan.start = { varient = "base" }', ':4: plan: start: unknown parameter "varient"; did you mean "variant"?' },
      { 'plan.start = { variant = "bas" }',
        ':4: plan: start: variant expects one of "base", "C", got "bas"; did you mean "base"?' },
      { "plan.start = { n = -1 }", ":4: plan: start: n expects an integer of at least 0, got -1" },
      { "plan.start = 3", ": plan: start expects a table of names and values, got 3" },
      { "plan.start = { n = loss.hinge() }", ":4: plan: start: n expects an integer of at least 0, got " },
      { "plan.start = {}", ":4: plan: start: a run starts from itself: from the same parameters" },
      { "plan.start = { n = (p.n + 1) % 3 }",
        ":4: plan: start: a run starts from itself: from n=1, that from n=2, that from n=0" },
      { "plan.start = { n = p.n + 1 }", ":4: plan: start: more than 4 runs, each of which starts from the next: from "
        .. "n=1, that from n=2, that from n=3, that from n=4, that from n=5" },
      { 'if p.variant == "C" then plan.start = { variant = "base" } else plan.loss = loss.hinge { on = 1 } end',
        ":8: loss.hinge: " },
    }
    for i, case in ipairs(cases) do
      local name = ("%s/wrong%d.lua"):format(root, i)
      assert(file.write(name, small(case[1])))
      local r = program.run { "run", name, "--out", root .. "/wrong" }
      assert.same({ 1, "" }, { r.code, r.out })
      assert.is_truthy(r.err:find(("penumbra: wrong%d.lua%s"):format(i, case[2]), 1, true), r.err)
    end
    assert.is_falsy(file.exists(root .. "/wrong"))
    -- Four in a row are fine.
    assert(file.write(root .. "/four.lua", small "if p.n < 4 then plan.start = { n = p.n + 1 } end"))
    local r = program.run { "run", root .. "/four.lua", "--out", root .. "/four", "--quiet" }
    assert.equal(0, r.code, r.err)
    assert.equal(4, select(2, r.out:gsub("\n  start: n %d", "")))
  end)

  it("fails with its start, and when its model is another", function()
    assert(file.write(root .. "/other.lua",
      small 'if p.variant == "C" then plan.start, width = { variant = "base" }, 6 end'))
    local r = program.run { "run", root .. "/other.lua", "--out", root .. "/other", "--quiet" }
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find("^penumbra: start: %S*/model.safetensors does not fit the model"), r.err)
    assert.is_truthy(r.err:find("fc1.weight is [5x192] in the file, [6x192] in the model", 1, true))
    assert(file.write(root .. "/fails.lua", small [[if p.variant == "C" then plan.start = { variant = "base" }
    else plan.optimizer, plan.epochs = optim.sgd { lr = 1e30 }, 9 end]]))
    for _, jobs in ipairs { "1", "2" } do
      r = program.run { "sweep", root .. "/fails.lua", "n=1,2", "variant=C,base", "--out", root .. "/fails", "--quiet",
                        "--jobs", jobs }
      assert.equal(1, r.code)
      assert.is_truthy(r.out:find("the run that it starts from failed: loss is NaN", 1, true), r.out)
      assert.is_truthy(r.out:find("4 of 4 runs failed:", 1, true), r.out)
    end
  end)

  it("leaves a folder to go on from when it is stopped before it begins", function()
    local r = run("stopped", "--quiet", "--steps", "2")
    assert.equal(0, r.code, r.err)
    local folder = assert(r.out:match "to go on: penumbra resume (%S+)")
    r = program.run { "resume", folder, "--quiet" }
    assert.equal(0, r.code, r.err)
    local whole = run_with(root .. "/one", { measure = "clean" })
    assert.equal(file.read(whole .. "/items.json"), file.read(folder .. "/items.json"))
  end)

  it("is shown with what it starts from, and what that costs while it is not there", function()
    local r = program.run { "show", path, "--out", root .. "/shown" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find([[
├─ start      the run of this plan with
│  ├─ start   the run of this plan with
│  │  └─ loss  loss.cross_entropy()
│  ├─ loss    sum of
│  │  ├─ loss.cross_entropy()
│  │  └─ 0.5 * loss.continuity{ perturb = perturb.colour{ levels = { 1, 2 } } }
│  ├─ epochs  1
│  └─ probes  {}
]], 1, true), r.out)
    assert.is_truthy(r.out:find("for 2 runs that it starts from: base", 1, true), r.out)
    assert.is_falsy(file.exists(root .. "/shown"))
    r = program.run { "show", path, "--out", root .. "/one", "measure=far" }
    assert.is_falsy(r.out:find("before it", 1, true), r.out)
    r = program.run { "show", root .. "/clean.lua", "--out", root .. "/shown" }
    assert.is_truthy(r.out:find("for the 12 runs that are missing", 1, true), r.out)
    assert.is_truthy(r.out:find("start: C, training +2 "), r.out)
  end)

  it("is checked after its chain", function()
    local r = program.run { "check", path }
    assert.equal(0, r.code, r.out)
    assert.is_truthy(r.out:find("✓ start .-  C, training, alpha 0.5\n"), r.out)
    assert.is_falsy(r.out:find("a step", 1, true), r.out)
    assert.is_truthy(r.out:find("✓ probe continuity", 1, true))
    assert.equal(0, program.run({ "check", root .. "/clean.lua" }).code)
    assert(file.write(root .. "/others.lua",
      'return study { title = "O", recipe = "other", grid = { variant = { "base", "C" } } }'))
    r = program.run { "check", root .. "/others.lua" }
    assert.equal(1, r.code)
    assert.is_truthy(r.out:find("✓ base", 1, true), r.out)
    assert.is_truthy(r.out:find("✗ C: a step", 1, true), r.out)
    assert.is_truthy(r.out:find("does not fit the model", 1, true), r.out)
  end)

  it("is told of in its report, in that of a study, and by ls", function()
    local clean = run_with(root .. "/one", { measure = "clean" })
    local trained = run_with(root .. "/one", { variant = "C", measure = "training" }):match "[^/]*$"
    local words = ('<dt>starts from</dt><dd><a href="../%s/report.html">%s</a>, weights <code>%s</code>')
      :format(trained, trained, results(clean).start.sha256:sub(1, 12))
    assert.is_truthy(file.read(clean .. "/report.html"):find(words, 1, true))
    for name in lfs.dir(root .. "/shared") do
      if name:find "^clean%-" then
        local page = file.read(("%s/shared/%s/report.html"):format(root, name))
        assert.equal(6, select(2, page:gsub('<dt>starts from</dt><dd><a href="../chain%-%x+/report.html">', "")))
      end
    end
    -- Elsewhere a link would lead nowhere.
    assert.equal(0, program.run({ "report", clean, "--out", root .. "/page.html" }).code)
    assert.is_truthy(file.read(root .. "/page.html"):find("<dd><code>" .. trained .. "</code>, weights", 1, true))
    local r = program.run { "ls", "--json", "--runs", root .. "/one" }
    assert.is_truthy(r.out:find(('"start":"%s"'):format(trained), 1, true), r.out)
    -- Its start has other weights later.
    local said = results(root .. "/one/" .. trained)
    local sum = said.weights.sha256
    said.weights.sha256 = ("0"):rep(64)
    assert(file.write(root .. "/one/" .. trained .. "/results.json", json.encode(said)))
    assert.equal(0, program.run({ "report", clean, "--out", root .. "/page.html" }).code)
    assert.is_truthy(file.read(root .. "/page.html"):find(trained .. ", has other weights now", 1, true))
    said.weights.sha256 = sum
    assert(file.write(root .. "/one/" .. trained .. "/results.json", json.encode(said)))
  end)

  it("has a twin with the first weights of its chain, where these are not its own", function()
    local jobs_of, start_of = require "run.jobs", require "run.start"
    local recipe = assert(world.load(path))
    local function twin(given)
      local values = assert(recipe:resolve(given))
      return start_of.twin(assert(jobs_of.list(recipe, { { values = values, label = "x" } }, root .. "/one"))[1])
    end
    local base = run_with(root .. "/one", { variant = "base" })
    local state = assert(require "checkpoint".model(base)):state()
    for _, given in ipairs { {}, { measure = "training" } } do
      for name, tensor in pairs(twin(given)():state()) do assert.same(state[name]:tolist(), tensor:tolist()) end
    end
    assert.is_nil(twin { variant = "base" })
    assert.is_nil(twin { variant = "base", measure = "training" })
  end)

  it("is packed with the weights of its chain, and repeated from them", function()
    local clean = run_with(root .. "/one", { measure = "clean" })
    local r = program.run { "pack", clean, "--out", root .. "/one.penumbra" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find("and 2 runs to start from, with weights", 1, true), r.out)
    r = program.run { "verify", root .. "/one.penumbra", "--quiet", "--out", root .. "/again" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_truthy(r.out:find("verified: 3 runs, all rows of metrics are the same bits", 1, true), r.out)
    assert.equal(results(clean).start.sha256, results(root .. "/again/" .. clean:match "[^/]*$").start.sha256)
    r = program.run { "verify", root .. "/one.penumbra", "--quiet", "--steps", "2" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_truthy(r.out:find("it has no steps and only measures: left out", 1, true), r.out)
  end)

  it("is not packed without what it started from, nor verified then", function()
    local clean = run_with(root .. "/bent", { measure = "clean" })
    local trained = run_with(root .. "/bent", { variant = "C", measure = "training" })
    local bytes = file.read(trained .. "/model.safetensors")
    assert(file.write(trained .. "/model.safetensors", bytes .. " "))
    local r = program.run { "pack", clean, "--out", root .. "/bent.penumbra" }
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find("starts from the weights %x+ of chain%-%x+, which has others now"), r.err)
    assert(os.remove(trained .. "/model.safetensors"))
    r = program.run { "pack", clean, "--out", root .. "/bent.penumbra" }
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find("which is not here: making the run again makes it, too", 1, true), r.err)
    assert.equal(0, program.run({ "pack", clean, "--out", root .. "/bent.penumbra", "--force" }).code)
    r = program.run { "verify", root .. "/bent.penumbra", "--quiet" }
    assert.equal(2, r.code)
    assert.is_truthy(r.err:find("the weights that it starts from are not in the pack", 1, true), r.err)
  end)
end)
