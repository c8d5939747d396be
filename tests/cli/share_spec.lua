--- penumbra pack, verify, ls and diff: what is shared is repeated, and what was tampered with is told.
package.path = "tests/cli/?.lua;tests/?.lua;" .. package.path
local file = require "file"
local hash = require "hash"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local pack = require "pack"
local program = require "program"
local sets = require "sets"

local RECIPE = [[
return recipe {
  title = "A tiny run",
  params = {
    alpha = param.number { 0.5, min = 0, doc = "weight of the continuity term" },
    epochs = param.integer { 1, min = 0 },
    seed = param.seed { 1 },
  },
  plan = function(p)
    return {
      data = data.synthetic { classes = 4, side = 12, train = 192, test = 48, seed = 7 },
      model = models.resnet8 { classes = 4, channels = 3, seed = p.seed },
      loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = perturb.colour { levels = { 1, 2 } } },
      optimizer = optim.adam { lr = 1e-3 }, epochs = p.epochs, batch = 16, seed = p.seed,
      probes = { accuracy = probe.accuracy() },
    }
  end,
}
]]

local STUDY = [[
return study {
  title = "Does alpha matter?",
  recipe = "tiny",
  grid = { alpha = { 0, 0.5 } },
  show = { rows.by("alpha"):column("accuracy") },
  claims = { claim { "it does", "accuracy", [0.5] = ">", 0 } },
}
]]

local OPENS = [[
return recipe {
  title = "Little digits",
  plan = function()
    return { data = data.open "little", model = models.resnet8 { classes = 2, channels = 1 },
             loss = loss.cross_entropy(), optimizer = optim.sgd { lr = 0.1 }, epochs = 1, batch = 4 }
  end,
}
]]

-- One folder for all: what is packed, changed and verified again takes a run that is made once.
local folder = sets.folder()
local function at(name) return folder .. "/" .. name end

-- Runs the program in the folder; "environment" are words before it.
local function run(words, environment)
  for i, word in ipairs(words) do words[i] = program.quote(word) end
  return program.shell(("cd %s && %s \"$PENUMBRA\" %s"):format(program.quote(folder), environment or "",
    table.concat(words, " ")))
end

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

local function read(path) return assert(file.read(path)) end

local made  -- the run's folder, from there
local packed

setup(function()
  sets.write(at "tiny.lua", RECIPE)
  sets.write(at "many.lua", STUDY)
  local r = run { "run", "tiny.lua", "--quiet" }
  assert(r.code == 0, r.err)
  for name in lfs.dir(at "runs") do
    if name:find "^tiny%-" then made = "runs/" .. name end
  end
  packed = made:match "[^/]+$" .. ".penumbra"
  r = run { "pack", made }
  assert(r.code == 0, r.err)
end)

teardown(function() sets.remove(folder) end)

-- ---- changing packs ----

-- Unpacks the pack, lets `change` at its files, packs them again under another name.
local function changed(name, change, from)
  local below, path = at(name .. ".files"), at(name .. ".penumbra")
  from = at(from or packed)
  assert(nn.archive.unpack(from, below, assert(nn.archive.survey(from))))
  local extra = change(below)
  local members = {}
  for _, one in ipairs(file.below(below, true)) do
    members[#members + 1] = { name = one, file = below .. "/" .. one }
  end
  for _, one in ipairs(extra or {}) do members[#members + 1] = one end
  assert(nn.archive.pack(path, members))
  assert(sets.remove(below))
  return name .. ".penumbra"
end

-- Changes a file, and, as one who covers tracks does, what the manifest says of it.
local function forge(below, name, change)
  local text = change(read(below .. "/" .. name))
  sets.write(below .. "/" .. name, text)
  local manifest = assert(json.read(below .. "/manifest.json"))
  manifest.entries[name] = { bytes = #text, sha256 = hash.sha256(text) }
  sets.write(below .. "/manifest.json", json.encode(manifest))
end

local function assert_refused(name, ...)
  local r = run { "verify", name, "--quiet" }
  assert.equal(2, r.code, r.out .. r.err)
  for _, part in ipairs { name, ... } do contains(part, r.err) end
  assert.is_nil(r.err:find("/tmp/penumbra", 1, true), r.err)
  local _, lines = r.err:gsub("\n", "")
  assert.equal(1, lines, r.err)
end

local function assert_differs(name, ...)
  local r = run { "verify", name, "--quiet" }
  assert.equal(1, r.code, r.out .. r.err)
  assert.equal("", r.err)
  for _, part in ipairs { "not verified: ", ... } do contains(part, r.out) end
end

describe("penumbra pack", function()
  it("makes one small file, the same bytes each time, without this machine's paths", function()
    local r = run { "pack", made, "--out", "again.penumbra" }
    assert.same({ 0, "" }, { r.code, r.err })
    contains("again.penumbra: ", r.out)
    assert.is_true(read(at "again.penumbra") == read(at(packed)))
    local info = assert(nn.archive.survey(at(packed)))
    assert.equal("zip", info.format)
    assert.is_true(info.packed < 200000)
    local below = at "look"
    assert(nn.archive.unpack(at(packed), below, info))
    for _, name in ipairs(file.below(below)) do
      assert.is_nil(read(below .. "/" .. name):find(folder, 1, true), name)
    end
    local manifest = assert(json.read(below .. "/manifest.json"))
    for name, entry in pairs(manifest.entries) do
      assert.equal(entry.sha256, hash.sha256(read(below .. "/" .. name)), name)
    end
    for _, name in ipairs { "recipe.lua", "params.json", "plan.txt", "environment.json", "metrics.jsonl",
                            "results.json", "items.json", "figures/samples.png", "tables/accuracy.txt" } do
      assert.is_truthy(manifest.entries[name], name)
    end
    assert.equal(RECIPE, read(below .. "/recipe.lua"))
  end)

  it("takes the weights along when asked", function()
    local r = run { "pack", made, "--weights", "--out", "heavy.penumbra" }
    assert.equal(0, r.code, r.err)
    local below = at "heavy"
    assert(nn.archive.unpack(at "heavy.penumbra", below, assert(nn.archive.survey(at "heavy.penumbra"))))
    assert.is_true(read(below .. "/model.safetensors") == read(at(made .. "/model.safetensors")))
  end)

  it("says what is missing of a run that is not complete", function()
    local copy = at "runs/half-1"
    os.execute(("cp -r %s %s"):format(program.quote(at(made)), program.quote(copy)))
    os.remove(copy .. "/results.json")
    os.remove(copy .. "/metrics.jsonl")
    local r = run { "pack", "runs/half-1" }
    assert.same({ 1, "" }, { r.code, r.out })
    contains("runs/half-1: is not complete: it has no metrics.jsonl, results.json; penumbra resume", r.err)
    assert.is_nil(lfs.attributes(at "half-1.penumbra"))
    assert.equal(0, run({ "pack", "runs/half-1", "--force" }).code)
    assert(sets.remove(copy))
  end)

  it("says what is wrong with its arguments", function()
    assert.equal(2, run({ "pack" }).code)
    assert.equal(1, run({ "pack", "runs/none" }).code)
    sets.write(at "note.txt", "mine")
    local r = run { "pack", made, "--out", "note.txt" }
    assert.equal(1, r.code)
    contains("note.txt: is there already, and is no pack", r.err)
    assert.equal("mine", read(at "note.txt"))
  end)
end)

describe("penumbra verify", function()
  it("repeats a run and finds the same bits", function()
    local r = run { "verify", packed, "--quiet", "--out", "repeated" }
    assert.same({ 0, "" }, { r.code, r.err }, r.out)
    local rows, results = r.out:match "verified: (%d+) rows of metrics, and (%d+) results are the same bits\n$"
    assert.is_truthy(rows, r.out)
    local _, lines = read(at(made .. "/metrics.jsonl")):gsub("\n", "")
    assert.equal(lines, math.tointeger(tonumber(rows)))
    assert.is_true(tonumber(results) >= 2)
    local again = "repeated/" .. made:match "[^/]+$"
    for _, name in ipairs { "metrics.jsonl", "items.json", "plan.txt" } do
      assert.equal(read(at(made .. "/" .. name)), read(at(again .. "/" .. name)))
    end
    r = run { "verify", packed, "--quiet", "--out", "repeated" }
    assert.equal(2, r.code)
    contains("is there already", r.err)
  end)

  it("repeats only the first steps", function()
    local r = run { "verify", packed, "--steps", "4", "--quiet" }
    assert.same({ 0, "" }, { r.code, r.err }, r.out)
    contains("verified: 4 rows of metrics are the same bits\n", r.out)
    assert.equal(2, run({ "verify", packed, "--steps", "0" }).code)
  end)

  it("compares within a stated tolerance on a machine of another type", function()
    if nn.info().level == "portable" then pending "this machine has no other kernels" end
    for _, words in ipairs { { "verify", packed, "--quiet" }, { "verify", packed, "--quiet", "--steps", "3" } } do
      local r = run(words, "PENUMBRA_CPU=portable")
      assert.same({ 0, "" }, { r.code, r.err }, r.out)
      contains("of another type: vector unit portable here, " .. nn.info().level .. " in the pack", r.out)
      contains("1e-05 of them at step 1, 0.002 step^2 to step 10", r.out)
      assert.is_truthy(r.out:find "verified: within tolerance" or r.out:find "are the same bits", r.out)
    end
  end)

  it("leaves nothing behind", function()
    sets.write(at "tmp/keep", "")
    for _, words in ipairs { { "verify", packed, "--quiet", "--steps", "1" }, { "verify", "tiny.lua" } } do
      run(words, "TMPDIR=" .. program.quote(at "tmp"))
      assert.same({ "keep" }, file.names(at "tmp"))
    end
  end)

  it("tells metrics that were changed", function()
    local function change(text) return (text:gsub('"raw":(%d)', function(d) return '"raw":' .. (d + 1) % 10 end, 3)) end
    local plain = changed("metrics", function(below)
      sets.write(below .. "/metrics.jsonl", change(read(below .. "/metrics.jsonl")))
    end)
    assert_refused(plain, "metrics.jsonl: its SHA-256 is not the one in the manifest")
    assert_differs(changed("forged", function(below) forge(below, "metrics.jsonl", change) end),
      "differs first at step 1 (row 1): continuity ", " here, ", " in the pack")
    assert_differs(changed("shorter", function(below)
      forge(below, "metrics.jsonl", function(text) return text:match "^(.-\n)[^\n]*\n$" end)
    end), "differs first ", ": row one more here, none in the pack")
    assert_differs(changed("results", function(below)
      forge(below, "results.json", function(text)
        local results = json.decode(text)
        results.metrics.accuracy.value = results.metrics.accuracy.value + 1
        return json.encode(results)
      end)
    end), "differs in the results: accuracy: ")
  end)

  it("tells a recipe, parameters or a plan that were changed", function()
    local function other(text) return (text:gsub("lr = 1e%-3", "lr = 2e-3")) end
    assert_differs(changed("recipe", function(below) forge(below, "recipe.lua", other) end),
      "the plan made here is not the one in the pack", "lr = 0.002", "lr = 0.001")
    assert_differs(changed("params", function(below)
      forge(below, "params.json", function() return '{"alpha":0.5,"epochs":1,"seed":2}' end)
    end), "the plan made here is not the one in the pack")
    assert_refused(changed("unknown", function(below)
      forge(below, "params.json", function() return '{"alhpa":0.5}' end)
    end), 'unknown parameter "alhpa"')
    assert_refused(changed("plan", function(below)
      forge(below, "plan.txt", function(text) return (text:gsub("0%.001", "0.002")) end)
    end),
      "plan.txt is not the plan of results.json")
    assert_refused(changed("damaged", function(below) forge(below, "params.json", function() return "{" end) end),
      "damaged.penumbra: params.json: offset 1")
    assert_refused(changed("syntax", function(below)
      forge(below, "recipe.lua", function() return "return recipe {" end)
    end), "recipe.lua")
    assert_refused(changed("files", function(below)
      forge(below, "recipe.lua", function() return 'io.open("/etc/passwd")\n' end)
    end), "io")
  end)

  it("refuses files that are missing, too many, or elsewhere", function()
    assert_refused(changed("missing", function(below) os.remove(below .. "/items.json") end), "items.json: is missing")
    assert_refused(changed("extra", function(below) sets.write(below .. "/figures/.more", "x") end),
      "figures/.more: is not in the manifest")
    assert_refused(changed("bare", function(below) os.remove(below .. "/manifest.json") end),
      "not a pack: it has no manifest.json")
    assert_refused(changed("other", function(below) sets.write(below .. "/manifest.json", "{}") end),
      "not a pack: its manifest.json is something else's")
    assert_refused(changed("newer", function(below)
      sets.write(below .. "/manifest.json", (read(below .. "/manifest.json"):gsub('"version": 1', '"version": 2')))
    end), "version 2 of the format; this program reads version 1")
    assert_refused(changed("broken", function(below) sets.write(below .. "/manifest.json", '{"format":') end),
      "manifest.json: offset 10")
    for _, name in ipairs { "../out", "/tmp/out", "figures/../../out" } do
      assert_refused(changed("away", function() return { { name = name, text = "x" } } end),
        "only names below the folder are unpacked")
      os.remove(at "away.penumbra")
    end
    assert.is_nil(lfs.attributes(at "out"))
  end)

  it("refuses links, doubles and bombs", function()
    local bytes = read(at(packed))
    -- The mode of the last entry in the list of contents: a regular file's becomes a symbolic link's.
    local regular, link = string.pack("<I4", 0x81a40000), string.pack("<I4", 0xa1ff0000)
    local last = bytes:find("PK\1\2", 1, true)
    assert(bytes:sub(last + 38, last + 41) == regular)
    sets.write(at "link.penumbra", bytes:sub(1, last + 37) .. link .. bytes:sub(last + 42))
    assert_refused("link.penumbra", "a link; only files and folders are unpacked")
    local double = changed("double", function() return { { name = "plan.txu", text = "x" } } end)
    sets.write(at(double), (read(at(double)):gsub("plan%.txu", "plan.txt")))
    assert_refused(double, "plan.txt: the name is there twice")
    assert_refused(changed("bomb", function() return { { name = "zeros", text = ("\0"):rep(100 << 20) } } end), "bomb")
    assert_refused(changed("crowd", function()
      local list = {}
      for i = 1, 20001 do list[i] = { name = "f/" .. i, text = "" } end
      return list
    end), "20,0", " entries, at most 20,000 expected")
  end)

  it("refuses a pack that was cut anywhere", function()
    local bytes = read(at(packed))
    for i = 0, 19 do
      sets.write(at "cut.penumbra", bytes:sub(1, #bytes * i // 20))
      assert_refused("cut.penumbra")
    end
    assert_refused("no-such.penumbra", "No such file")
    sets.write(at "flipped.penumbra", bytes:sub(1, 400) .. string.char(bytes:byte(401) ~ 1) .. bytes:sub(402))
    assert_refused "flipped.penumbra"
  end)

  it("refuses a manifest with anything in the place of anything", function()
    local tokens = { "null", "-1", "1e999", '"x"', "[]", "{}", "true", '"\\u001b[31m"', '{"a":[{}]}', "2" }
    local manifest
    local path = changed("any", function(below) manifest = read(below .. "/manifest.json") end)
    local places = {}
    for from, to in manifest:gmatch '()[%w".-]+()[,\n]' do places[#places + 1] = { from, to } end
    assert.is_true(#places > 20)
    for i, place in ipairs(places) do
      local token = tokens[i % #tokens + 1]
      changed("any", function(below)
        sets.write(below .. "/manifest.json", manifest:sub(1, place[1] - 1) .. token .. manifest:sub(place[2]))
      end)
      local opened, message, code = pack.open(at(path))
      if opened then
        opened:close()
      else
        assert.equal("format", code, message)
        assert.is_nil(message:find "%c", message)
      end
    end
  end)

  it("compares the data sets", function()
    local function little(below, pixel)
      for start, count in pairs { train = 12, t10k = 4 } do
        sets.write(at(("%s/little/%s-images-idx3-ubyte"):format(below, start)),
          sets.idx({ count, 8, 8 }, string.char(pixel) .. ("\40\200"):rep(count * 32):sub(2)))
        sets.write(at(("%s/little/%s-labels-idx1-ubyte"):format(below, start)), sets.idx({ count },
          ("\0\1"):rep(count // 2)))
      end
    end
    little("sets", 40)
    little("others", 41)
    sets.write(at "opens.lua", OPENS)
    local function with(name) return "PENUMBRA_DATA=" .. program.quote(at(name)) end
    assert.equal(0, run({ "run", "opens.lua", "--quiet", "--out", "digits" }, with "sets").code)
    local name
    for one in lfs.dir(at "digits") do
      if one:find "^opens" then name = one end
    end
    local r = run({ "pack", "digits/" .. name, "--out", "digits.penumbra" }, with "others")
    assert.equal(1, r.code)
    contains("data set little is not here as the run used it", r.err)
    assert.equal(0, run({ "pack", "digits/" .. name, "--out", "digits.penumbra" }, with "sets").code)

    r = run({ "verify", "digits.penumbra", "--quiet" }, with "sets")
    assert.equal(0, r.code, r.out .. r.err)
    contains("data      little is the same (", r.out)
    r = run({ "verify", "digits.penumbra", "--quiet" }, with "others")
    assert.equal(1, r.code, r.out .. r.err)
    contains("not verified: data set little has other contents: ", r.out)
    r = run({ "verify", "digits.penumbra", "--quiet" }, with "nowhere")
    assert.equal(2, r.code)
    contains("data set little is not here", r.err)
  end)

  it("takes a recipe's includes along, and asks before it looks at other paths", function()
    sets.write(at "mine/parts/net.lua", "return function(seed) return models.resnet8 { classes = 2, channels = 1, "
      .. "seed = seed } end\n")
    sets.write(at "mine/uses.lua", 'local net = include "parts/net.lua"\n' .. OPENS:gsub("models.resnet8 %b{}",
      "net(3)"):gsub("plan =", "params = { where = param.path {} },\n  plan ="):gsub("plan = function%(%)",
      "plan = function(p)"):gsub('open "little"', "open(p.where)"))
    local r = run { "run", "mine/uses.lua", "where=" .. at "sets/little", "--quiet", "--out", "uses" }
    assert.equal(0, r.code, r.err)
    r = run { "pack", "uses/" .. file.names(at "uses")[1], "--out", "uses.penumbra" }
    assert.equal(0, r.code, r.err)
    sets.remove(at "mine")
    r = run { "verify", "uses.penumbra", "--quiet" }
    assert.same({ 2, 1 }, { r.code, select(2, r.err:gsub("\n", "")) }, r.out .. r.err)
    contains("lies outside the data folders", r.err)
    contains("--allow", r.err)
    r = run { "verify", "uses.penumbra", "--quiet", "--allow", at "sets" }
    assert.same({ 0, "" }, { r.code, r.err }, r.out)
    contains("are the same bits", r.out)
  end)

  it("repeats the runs of a study", function()
    local r = run { "run", "many.lua", "--quiet" }
    assert.equal(0, r.code, r.err)
    local name
    for one in lfs.dir(at "runs") do
      if one:find "^many%-" then name = one end
    end
    r = run { "pack", "runs/" .. name }
    assert.equal(0, r.code, r.err)
    contains(", 2 runs", r.out)
    r = run { "verify", name .. ".penumbra", "--quiet", "--steps", "2" }
    assert.same({ 0, "" }, { r.code, r.err }, r.out)
    contains("(2 of 2)", r.out)
    contains("its tables and claims are what its runs give", r.out)
    contains("verified: 2 runs, all rows of metrics are the same bits\n", r.out)
    local function forged(change)
      return changed("study", function(below)
        forge(below, "results.json", function(text)
          local results = json.decode(text)
          change(results)
          return json.encode(results)
        end)
      end, name .. ".penumbra")
    end
    assert_differs(forged(function(results)
      results.claims[1].verdict = results.claims[1].verdict == "holds" and "fails" or "holds"
    end), "claims.1.verdict is ", " in the study, ", " by its runs")
    assert_differs(forged(function(results) results.claims = json.array() end), "claims are not those of its runs")
    assert_differs(forged(function(results) results.runs[2].metrics.accuracy.value = 99.5 end),
      "metrics.accuracy.value is 99.5 in the study")
    -- What should be numbers is not.
    assert_differs(changed("study", function(below)
      for _, path in ipairs(file.below(below .. "/runs")) do
        if path:find "/items%.json$" then
          forge(below, "runs/" .. path, function(text) return (text:gsub("(%d+)([,%]])", '"x"%2')) end)
        end
      end
    end, name .. ".penumbra"), "claims.1.", " in the study, ", " by its runs")
    assert_differs(forged(function(results) results.runs[2] = nil end), "the study makes 2 runs, the pack has 1")
    assert_differs(forged(function(results)
      local row = results.tables[1].rows[1]
      for _, cell in pairs(row) do
        if type(cell) == "table" and cell.high then cell.high = cell.high + 1 end
      end
    end), "tables.1.rows.1.")
  end)
end)

describe("a run's name", function()
  it("stands for its weights", function()
    local name = made:match "[^/]+$"
    local r = run { "model", "info", name:sub(1, 8) }
    assert.same({ 0, "" }, { r.code, r.err })
    contains("models.resnet8", r.out)
    sets.picture(at "dot.png", 20, 20, 200, 10, 10)
    for _, word in ipairs { name, made, made .. "/model.safetensors" } do
      r = run { "predict", word, "dot.png", "--top", "1" }
      assert.same({ 0, "" }, { r.code, r.err }, word)
      assert.is_truthy(r.out:find "%d %%")
    end
    r = run { "predict", "no-such-run", "dot.png" }
    assert.equal(1, r.code)
    contains("no-such-run: No such file", r.err)
  end)
end)

describe("penumbra ls", function()
  it("lists what is there, and what is damaged", function()
    sets.write(at "mixed/bad-1/params.json", '{"a":')
    sets.write(at "mixed/bad-2/results.json", "[]")
    sets.write(at "mixed/bad-3/results.json", '{"metrics":{"accuracy":{"value":"many"}}}')
    sets.write(at "mixed/empty/.keep", "")
    sets.write(at "mixed/a file", "")
    sets.write(at "mixed/by-hand/metrics.jsonl", "{}\n")
    os.execute(("cp -r %s %s"):format(program.quote(at(made)), program.quote(at "mixed/tiny-1")))
    os.execute(("cp -r %s %s"):format(program.quote(at(made)), program.quote(at "mixed/tiny-2")))
    sets.write(at "mixed/tiny-2/params.json", '{"alpha":2.0,"epochs":1,"seed":1}')
    os.remove(at "mixed/tiny-2/results.json")
    local r = run { "ls", "--runs", "mixed" }
    assert.same({ 0, "" }, { r.code, r.err })
    local lines = {}
    for line in r.out:gmatch "[^\n]+" do lines[line:match "^%S+"] = line end
    assert.is_truthy(lines["tiny-1"]:find "complete +A tiny run +alpha=0.5 +accuracy [%d.]+ .* 20%d%d%-")
    assert.is_truthy(lines["tiny-2"]:find "stopped.* alpha=2 ")
    for _, name in ipairs { "bad-1", "bad-2", "bad-3", "empty" } do
      assert.is_truthy(lines[name]:find "broken", lines[name])
    end
    contains("bad-1/params.json: offset 5", lines["bad-1"])
    contains("no run's files are in it", lines.empty)
    assert.is_nil(r.out:find("a file", 1, true))
  end)

  it("knows what is being made, and where it was stopped", function()
    local process = assert(host.spawn({ program.path, "run", at "tiny.lua", "epochs=1000", "--out", at "going" },
                                      { stdin = "null", stdout = "null", stderr = "null" }))
    local name, ended
    for _ = 1, 2000 do
      name, ended = file.names(at "going")[1], process:wait(0.01)
      if ended or name and file.exists(at("going/" .. name .. "/metrics.jsonl")) then break end
    end
    assert.is_nil(ended)
    local running, packing = run { "ls", "--runs", "going" }, run { "pack", name, "--runs", "going", "--force" }
    process:kill "int"
    assert(process:wait(20))
    assert.is_truthy(running.out:find "\ntiny%-%x+ +running", running.out)
    assert.equal(1, packing.code)
    contains("is being made: held by ", packing.err)
    local r = run { "ls", "--runs", "going" }
    assert.is_truthy(r.out:find "\ntiny%-%x+ +stopped at step %d+ ", r.out)
  end)

  it("finds by pattern, and gives JSON", function()
    local r = run { "ls", "--runs", "mixed", "--json", "tiny*1" }
    assert.equal(0, r.code)
    local this = assert(json.decode(r.out))
    assert.same({ "tiny-1", "complete", "run", "A tiny run" }, { this.name, this.status, this.kind, this.title })
    assert.equal(0.5, this.params.alpha)
    assert.is_true(this.metrics.accuracy.low <= this.metrics.accuracy.value)
    assert.is_true(this.bytes > 1000)
    r = run { "ls", "--runs", "nowhere" }
    assert.same({ 0, "", "no runs in nowhere\n" }, { r.code, r.out, r.err })
    assert.equal(1, run({ "ls", "--runs", "tiny.lua" }).code)
  end)
end)

describe("penumbra diff", function()
  it("finds nothing between a run and itself repeated", function()
    local r = run { "diff", made, "repeated/" .. made:match "[^/]+$" }
    assert.same({ 0, "" }, { r.code, r.err }, r.out)
    contains("metrics: all ", r.out)
    assert.is_truthy(r.out:find "rows of metrics.jsonl: all %d+ are the same bits\n")
  end)

  it("says what was asked and what came out", function()
    local r = run { "run", "tiny.lua", "alpha=2", "seed=3", "--quiet" }
    assert.equal(0, r.code, r.err)
    local other
    for name in lfs.dir(at "runs") do
      local params = json.read(at("runs/" .. name .. "/params.json"))
      if type(params) == "table" and params.alpha == 2 then other = "runs/" .. name end
    end
    r = run { "diff", made, other }
    assert.same({ 1, "" }, { r.code, r.err })
    for _, part in ipairs { "first   " .. made, "second  " .. other, "alpha  0.5  → 2", "seed   1    → 3",
                            "weight of loss.continuity  0.5 → 2.0", "\n  metric ", "first - second",
                            "\n  ──" } do
      contains(part, r.out)
    end
    assert.is_nil(r.out:find "recipe\n")
  end)

  it("finds the first row that differs, and the lines of a recipe", function()
    os.execute(("cp -r %s %s"):format(program.quote(at(made)), program.quote(at "runs/copy-1")))
    sets.write(at "runs/copy-1/metrics.jsonl",
      (read(at "runs/copy-1/metrics.jsonl"):gsub('"raw":(%d)', function(d) return '"raw":' .. (d + 1) % 10 end, 1)))
    sets.write(at "runs/copy-1/recipe.lua", (RECIPE:gsub("A tiny run", "A run")))
    local r = run { "diff", made, "runs/copy-1" }
    assert.same({ 1, "" }, { r.code, r.err })
    contains('-  title = "A tiny run",\n  +  title = "A run",\n', r.out)
    contains("none the same, then different at step 1 (row 1): continuity ", r.out)
  end)

  it("cannot tell without two runs", function()
    for _, words in ipairs { { "diff", made }, { "diff", made, "runs/none" }, { "diff", made, "mixed/empty" } } do
      local r = run(words)
      assert.same({ 2, "" }, { r.code, r.out })
    end
  end)
end)
