--- The commands on recipes and studies, as a user types them: each starts the real program.
package.path = "tests/cli/?.lua;" .. package.path
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local program = require "program"
local shell, with_files = program.shell, program.with_files

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

-- A small net on made-up pictures: a run takes a tenth of a second.
local small = [[
return recipe {
  title = "A small net",
  about = "Learns little.",
  params = {
    alpha = param.number { 0, min = 0, doc = "weight of the continuity term" },
    width = param.integer { 4, min = 1, doc = "channels" },
    levels = param.list { { 1 }, of = param.integer { min = 1, max = 4 } },
    epochs = param.integer { 1, min = 1 },
    seed = param.seed { 1 },
  },
  unstated = { "everything" },
  plan = function(p)
    local set = data.synthetic { train = 64, test = 32, side = 12, classes = 3, seed = 3 }
    return {
      data = set,
      model = models.lenet { classes = 3, channels = 3, size = 12, seed = p.seed },
      loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = perturb.colour { levels = p.levels } },
      optimizer = optim.adam { lr = 1e-3 }, epochs = p.epochs, batch = 16, seed = p.seed,
      probes = { accuracy = probe.accuracy() },
    }
  end,
}
]]

local grid = [[
return study { title = "Small nets", recipe = "small", grid = { alpha = { 0, 1 }, seed = { 1, 2 } },
               show = { rows.by("alpha"):column("accuracy") } }
]]

-- The folders in a folder, sorted; those of runs of `small` unless told.
local function folders(path, pattern)
  local list = {}
  for name in lfs.dir(path) do
    if name:find(pattern or "^small%-%x+$") then list[#list + 1] = path .. "/" .. name end
  end
  table.sort(list)
  return list
end

-- What a run leaves that depends on nothing but its plan.
local function bits(folder)
  local out = {}
  for _, name in ipairs { "model.safetensors", "metrics.jsonl", "items.json", "plan.txt", "params.json" } do
    out[name] = assert(file.read(folder .. "/" .. name))
  end
  local results = assert(json.read(folder .. "/results.json"))
  results.timing = nil
  out.results = json.encode(results)
  return out
end

-- Starts the program and calls watch(process) until it returns true or the program ends; gives what was said, and the
-- exit code.
local function watched(words, watch)
  local options = { stdin = "null", stdout = "pipe", stderr = "stdout" }
  local process <close> = assert(host.spawn({ program.path, table.unpack(words) }, options))
  local said, seen, began = {}, false, host.clock()
  while true do
    local bytes = process:read(0.02)
    if bytes == "" then break end
    said[#said + 1] = bytes
    seen = seen or watch(process)
    assert(host.clock() - began < 120, "the program does not end")
  end
  assert.is_true(seen, "what the test waited for did not come")
  return table.concat(said), process:wait().code
end

-- Runs lines of shell in a folder with these files, with nothing of the user's own in sight.
local function inside(files, lines)
  local result
  with_files(files, function(folder)
    result = shell(("cd %s && export XDG_DATA_HOME=$PWD/home XDG_CACHE_HOME=$PWD/cache\n%s"):format(folder, lines))
  end)
  return result
end

describe("penumbra recipes", function()
  it("lists what is found by name, from where, and what is broken", function()
    local r = inside({ ["small.lua"] = small, ["script.lua"] = "print 'no recipe'",
                       ["bad.lua"] = "return recipe { titel = 1 }",
                       ["home/penumbra/recipes/mine.lua"] = small, ["home/penumbra/recipes/small.lua"] = small },
      '"$PENUMBRA" recipes')
    assert.same({ 0, "" }, { r.code, r.err })
    assert.matches("the current folder\n  bad +broken  bad%.lua:.*unknown option \"titel\".*\n"
      .. "  small +recipe  A small net\n", r.out)
    assert.matches("/home/penumbra/recipes\n  mine +recipe  A small net\n"
      .. "  small +recipe  A small net %(hidden by small%.lua", r.out)
    assert.matches("the built%-in set\n.*  table4 +study   Table 4: Colour MNIST\n", r.out)
    assert.is_nil(r.out:find("script", 1, true))
  end)
end)

describe("a name", function()
  it("is looked for in the current folder, the user's and the program", function()
    local r = inside({ ["home/penumbra/recipes/small.lua"] = small, ["grid.lua"] = grid },
      [["$PENUMBRA" run small --quiet | head -1; "$PENUMBRA" run grid seed=1 --quiet | head -1
        "$PENUMBRA" run digits limit=20 --quiet | head -1]])
    assert.equal("A small net\nSmall nets\nHandwritten digits with a continuity constraint\n", r.out)
    assert.same({ 0, "" }, { r.code, r.err })
  end)

  it("that is there twice is said to be", function()
    local r = inside({ ["home/penumbra/recipes/small.lua"] = small, ["small.lua"] = small },
      '"$PENUMBRA" run small --quiet > /dev/null')
    assert.equal(0, r.code)
    assert.matches("^penumbra: small is small%.lua here; the same name: /.*/recipes/small%.lua\n$", r.err)
  end)

  it("that is unknown names the nearest", function()
    local r = inside({ ["x"] = "" }, '"$PENUMBRA" run tabel4')
    assert.same({ 1, "" }, { r.code, r.out })
    assert.matches('^penumbra: there is no recipe or study "tabel4" in the current folder, .*; '
      .. 'did you mean "table4"%?\n$', r.err)
    contains("there is no tabel4.lua in the current folder, ", inside({ ["x"] = "" }, '"$PENUMBRA" run tabel4.lua').err)
  end)

  it("may be the copy in a run's folder, with what it includes", function()
    local extending = 'local base = include "base.lua"\n'
      .. 'return recipe { title = "Two", params = base.params, plan = base.plan }'
    local r = inside({ ["base.lua"] = small, ["two.lua"] = extending },
      '"$PENUMBRA" run two --quiet > /dev/null && "$PENUMBRA" run runs/two-*/recipe.lua --quiet | head -1')
    assert.same({ 0, "", "Two\n" }, { r.code, r.err, r.out })
  end)

  it("is not a pack", function()
    local r = inside({ ["x.penumbra"] = "PK" }, '"$PENUMBRA" show x.penumbra')
    assert.same({ 2, "penumbra: x.penumbra: a recipe or a study expected, found a pack; penumbra verify repeats what "
      .. "it holds\n" }, { r.code, r.err })
  end)

  it("is run with one value of each parameter", function()
    for setting, problem in pairs {
      ["seed=1..3"] = 'seed expects an integer of at least 0, got "1..3"; penumbra sweep takes several values\n',
      ["levels=1,x"] = 'levels expects a list (each: an integer from 1 to 4), got "x" at place 2\n',
    } do
      local r = inside({ ["small.lua"] = small }, '"$PENUMBRA" run small ' .. setting)
      assert.same({ 2, "penumbra: small.lua: " .. problem }, { r.code, r.err })
    end
  end)
end)

describe("penumbra sweep", function()
  it("makes a grid, tells mean and deviation over the seeds, and finds it again", function()
    with_files({ ["small.lua"] = small }, function(folder)
      local lines = ("cd %s && \"$PENUMBRA\" sweep small alpha=0,1 seed=1..3 epochs=2 --quiet --metric accuracy")
        :format(folder)
      local r = shell(lines)
      assert.same({ 0, "" }, { r.code, r.err })
      contains("A small net, by alpha, seed", r.out)
      contains("\n6 runs\n", r.out)
      assert.matches("alpha   seeds   accuracy %(%%%)\n[─ ]+\n0           3     %d+%.%d+ ± %d+%.%d+\n1           3 ",
        r.out)
      local made = r.out:match "(runs/small%-sweep%-%x+)/report%.html\n$"
      local results = assert(json.read(folder .. "/" .. made .. "/results.json"))
      assert.equal(6, #results.runs)
      local sum = 0
      for _, run in ipairs(results.runs) do
        assert.equal(2, run.params.epochs)
        if run.params.alpha == 0 then sum = sum + run.metrics.accuracy.value end
      end
      local row = results.tables[1].rows[1]
      assert.is_true(math.abs(row.accuracy.value - sum / 3) < 1e-9)
      assert.same({ 3, "standard deviation" }, { row.accuracy.seeds, row.accuracy.spread })
      -- Again, and as the study that it is.
      r = shell(lines)
      assert.equal(6, select(2, r.out:gsub("was there already", "")))
      r = shell(("cd %s && cp %s/study.lua mine.lua && \"$PENUMBRA\" run mine --quiet"):format(folder, made))
      assert.equal(6, select(2, r.out:gsub("was there already", "")))
    end)
  end)

  it("goes on after a run that failed, and says so", function()
    for _, jobs in ipairs { "1", "2" } do
      with_files({ ["small.lua"] = small }, function(folder)
        local r = shell(("cd %s && \"$PENUMBRA\" sweep small alpha=1e39,0 --quiet --jobs %s"):format(folder, jobs))
        assert.same({ 1, "" }, { r.code, r.err })
        assert.matches("alpha 1e%+39  runs/small%-%x+  failed: loss is NaN at step 2", r.out)
        assert.matches("\n0       +%d", r.out) -- the other has its row
        local log = r.out:match "1 of 2 runs failed:\n  alpha 1e%+39: loss is NaN.-\n    (%S+/log%.txt)\n"
        contains("loss is NaN", assert(file.read(folder .. "/" .. log)))
      end)
    end
  end)

  it("gives the same bits with any number of processes", function()
    local r = inside({ ["small.lua"] = small, ["keep"] = "" }, [[
      "$PENUMBRA" sweep small alpha=0,1 seed=1,2 --quiet --out one > /dev/null
      "$PENUMBRA" sweep small alpha=0,1 seed=1,2 --quiet --out two --jobs 2 > /dev/null
      "$PENUMBRA" sweep small alpha=0,1 seed=1,2 --quiet --out four --jobs 4 > /dev/null
      for run in one/small-????????; do
        for name in model.safetensors metrics.jsonl items.json plan.txt params.json about.json; do
          cmp $run/$name two${run#one}/$name && cmp $run/$name four${run#one}/$name || exit 1
        done
        echo same
      done]])
    assert.same({ code = 0, out = ("same\n"):rep(4), err = "" }, r)
  end)

  it("hands its options on to its processes", function()
    local r = inside({ ["small.lua"] = small }, '"$PENUMBRA" sweep small seed=1,2 --jobs 2 --steps 2 --tensorboard '
      .. '--allow /usr --quiet; ls runs/small-????????/tensorboard | grep -c events; '
      .. '"$PENUMBRA" sweep small seed=1,2 --jobs 2 --fresh --quiet')
    assert.same({ 0, "" }, { r.code, r.err })
    assert.matches("\n  seed %d  runs/small%-%x+  stopped\n.*\nstopped; 0 of 2 runs are complete; to go on: penumbra "
      .. "resume runs/small%-sweep%-%x+\n2\n", r.out)
    assert.is_nil(r.out:find("there already", 1, true))
  end)

  it("stops at Ctrl-C with every run saved, and resume goes on to the same bits", function()
    with_files({ ["small.lua"] = small }, function(folder)
      local words = { "sweep", folder .. "/small.lua", "seed=1..3", "epochs=150", "--jobs", "2" }
      local function below(name) return table.move({ "--out", folder .. "/" .. name }, 1, 2, #words + 1,
                                                   { table.unpack(words) }) end
      local said, code = watched(below "cut", function(process)
        local begun = 0
        for _, run in ipairs(lfs.attributes(folder .. "/cut") and folders(folder .. "/cut") or {}) do
          if lfs.attributes(run .. "/metrics.jsonl", "size") then begun = begun + 1 end
        end
        if begun == 2 then process:kill "int" end
        return begun == 2
      end)
      assert.equal(130, code, said)
      local sweep = said:match "0 of 3 runs are complete; to go on: penumbra resume (%S+)\n"
      for _, run in ipairs(folders(folder .. "/cut")) do
        assert.is_nil(lfs.attributes(run .. "/results.json"))
        assert.is_truthy(lfs.attributes(run .. "/stopped.json"), run)
      end
      -- From the folder alone: the recipe is gone.
      assert(os.rename(folder .. "/small.lua", folder .. "/moved.lua"))
      local r = program.run { "resume", sweep, "--quiet", "--jobs", "2" }
      assert.same({ 0, "" }, { r.code, r.err })
      assert(os.rename(folder .. "/moved.lua", folder .. "/small.lua"))
      assert.equal(0, program.run(below "whole").code)
      assert.equal(3, #folders(folder .. "/whole"))
      for i, run in ipairs(folders(folder .. "/whole")) do
        assert.same(bits(run), bits(folders(folder .. "/cut")[i]))
      end
    end)
  end)

  it("survives the death of one of its processes", function()
    with_files({ ["small.lua"] = small }, function(folder)
      local out = folder .. "/runs"
      local said, code = watched({ "sweep", folder .. "/small.lua", "seed=1..2", "epochs=150", "--jobs", "2", "--out",
                                   out }, function()
        for _, run in ipairs(lfs.attributes(out) and folders(out) or {}) do
          local holder = lfs.attributes(run .. "/metrics.jsonl") and host.locked(run .. "/lock")
          local pid = holder and tostring(type(holder) == "table" and holder.pid or holder):match "%d+"
          if pid then return os.execute("kill -9 " .. pid) end
        end
      end)
      assert.equal(1, code, said)
      assert.matches("failed: killed by signal 9", said)
      contains("1 of 2 runs failed:", said)
      local r = program.run { "sweep", folder .. "/small.lua", "seed=1..2", "epochs=150", "--out", out, "--quiet" }
      assert.same({ 0, "" }, { r.code, r.err })
    end)
  end)

  it("says what is wrong with its words", function()
    local cases = {
      { "alhpa=1,2", 'unknown parameter "alhpa" in small.lua; did you mean "alpha"?' },
      { "alpha=1", "a sweep expects a parameter with several values" },
      { "alpha=0..1", "alpha expects a range with a step, as in 0..1/0.25, got 0..1" },
      { "alpha=0..1/0", "alpha expects a step above 0 in a range, got 0" },
      { "seed=1..1000000000", "seed expects at most 10000 values, got 1000000000" },
      { "seed=1,x", 'seed expects an integer of at least 0, got "x"' },
      { "seed=1,,2", 'seed expects an integer of at least 0, got ""' },
      { "seed=2,2", "seed holds 2 twice" },
      { "seed=1..200 epochs=1..200", "expected at most 10000 runs, got 40000" },
      { "seed", 'expected key=value, got "seed"' },
      { "seed=1,2 --jbos 2", 'unknown option "--jbos"; did you mean "--jobs"?' },
      { "seed=1,2 -j2", 'unknown option "-j"; did you mean "--jobs"?' },
      { "seed=1,2 -1", 'unknown option "-1"; penumbra sweep --help says more' },
      { "seed=1,2 --jobs 0", 'option "--jobs" expects a whole number of at least 1, got "0"' },
    }
    for _, case in ipairs(cases) do
      local r = inside({ ["small.lua"] = small }, '"$PENUMBRA" sweep small ' .. case[1])
      assert.same({ 2, "" }, { r.code, r.out }, case[1])
      contains(case[2], r.err)
    end
    local r = inside({ ["small.lua"] = small, ["grid.lua"] = grid }, '"$PENUMBRA" sweep grid alpha=0,1')
    assert.equal(2, r.code)
    contains("a sweep is over a recipe, and this is a study", r.err)
  end)

  it("is made of a recipe of any name", function()
    local r = inside({ ["a é (2).lua"] = small }, '"$PENUMBRA" sweep "a é (2)" seed=1,2 --quiet --metric accuracy && '
      .. '"$PENUMBRA" pack runs/*-sweep-* --out "p k.penumbra" && '
      .. '"$PENUMBRA" verify "p k.penumbra" --quiet')
    assert.same({ 0, "" }, { r.code, r.err })
    contains("\nverified: ", r.out)
  end)

  it("takes ranges, and several values of a list", function()
    local r = inside({ ["small.lua"] = small },
      '"$PENUMBRA" sweep small alpha=0..0.3/0.1 levels=1 levels=2,3 --quiet --metric images')
    assert.equal(0, r.code, r.err)
    assert.matches("\n8 runs\n", r.out)
    assert.matches("\nalpha   levels   images\n.*\n0%.3     2,3         128\n", r.out)
  end)
end)

describe("a study with several processes", function()
  it("says what it says with one", function()
    local r = inside({ ["small.lua"] = small, ["grid.lua"] = grid }, [[
      "$PENUMBRA" run grid --quiet --out one > one.txt
      "$PENUMBRA" run grid --quiet --out two --jobs 2 > two.txt
      grep '±' one.txt; grep '±' two.txt; grep -c 'at a time' one.txt two.txt]])
    local first, second = r.out:match "^(.-±.-±[^\n]*\n)(.*)one%.txt:0\ntwo%.txt:1\n$"
    assert.equal(first, second, r.out)
  end)
end)

describe("penumbra resume", function()
  it("goes on with a run from its folder alone, by path or by the beginning of its name", function()
    with_files({ ["small.lua"] = small }, function(folder)
      local r = shell(("cd %s && \"$PENUMBRA\" run small epochs=3 --steps 5 --quiet"):format(folder))
      assert.equal(0, r.code, r.err)
      local run = r.out:match "to go on: penumbra resume (%S+)\n"
      assert(os.rename(folder .. "/small.lua", folder .. "/moved"))
      r = shell(("cd %s && \"$PENUMBRA\" resume %s --quiet"):format(folder, run:match "small%-%x%x%x"))
      assert.same({ 0, "" }, { r.code, r.err })
      contains("accuracy (%)", r.out)
      assert(os.rename(folder .. "/moved", folder .. "/small.lua"))
      assert.equal(0, shell(("cd %s && \"$PENUMBRA\" run small epochs=3 --quiet --out whole"):format(folder)).code)
      assert.same(bits(folders(folder .. "/whole")[1]), bits(folder .. "/" .. run))
      -- Once more: there is nothing to do.
      r = shell(("cd %s && \"$PENUMBRA\" resume %s"):format(folder, run))
      assert.equal(0, r.code)
      contains("was there already", r.out)
    end)
  end)

  it("tells how far it is, as its parent asks", function()
    with_files({ ["small.lua"] = small }, function(folder)
      local r = shell(("cd %s && \"$PENUMBRA\" run small epochs=20 --steps 5 --quiet > /dev/null\n"
        .. "\"$PENUMBRA\" resume small --tell"):format(folder))
      assert.same({ 0, "" }, { r.code, r.err })
      for line in r.out:gmatch "[^\n]+" do
        local row = assert(json.decode(line))
        assert.is_true(row.share >= 0 and row.share <= 1)
      end
    end)
  end)

  it("names the nearest run, and what is none", function()
    local r = inside({ ["small.lua"] = small },
      '"$PENUMBRA" run small --quiet > /dev/null; "$PENUMBRA" resume smal-12345678; "$PENUMBRA" resume ./home')
    assert.matches('^penumbra: there is no run "smal%-12345678" in runs', r.err)
    assert.equal(1, r.code)
  end)
end)

describe("penumbra show", function()
  it("tells of a recipe: parameters, ledger, plan, cost", function()
    local r = inside({ ["small.lua"] = small }, '"$PENUMBRA" show small alpha=2')
    assert.equal(0, r.code, r.err)
    contains("recipe: A small net\nLearns little.\nsmall.lua\n", r.out)
    assert.matches("\n  alpha +2 +weight of the continuity term %(a number of at least 0, 0 unless given%)\n", r.out)
    contains("unstated in the paper, we chose\n  · everything", r.out)
    contains("\n├─ model      models.lenet{ channels = 3, classes = 3, seed = 1, size = 12 }\n", r.out)
    assert.matches("\ncost, measured on this machine now with %d+ thread", r.out)
    assert.matches("\n  time     about [^\n]*: 4 steps of 16 images", r.out)
    assert.matches("\n  compute  %S+ [MG]FLOP, 15,331 parameters\n  memory   %S+ .?B of tensors", r.out)
    assert.matches("\n  disk     %S+ .?B in runs", r.out)
    assert.is_nil(r.out:find("note:", 1, true))
  end)

  it("counts the part that is set apart", function()
    local apart = small:gsub("epochs = p%.", "validation = 0.25, patience = 1, choose = 'best', epochs = p.")
    local r = inside({ ["small.lua"] = apart },
      '"$PENUMBRA" show small && "$PENUMBRA" check small')
    assert.same({ 0, "" }, { r.code, r.err })
    assert.matches("\n  time     about [^\n]*: 3 steps of 16 images", r.out)
    assert.matches("\nall is well", r.out)
  end)

  it("tells of a study: the grid, what is there already, the cost of the rest", function()
    local r = inside({ ["small.lua"] = small, ["grid.lua"] = grid },
      '"$PENUMBRA" run small --quiet > /dev/null; "$PENUMBRA" show grid; "$PENUMBRA" run grid --quiet > /dev/null; '
      .. '"$PENUMBRA" show grid --no-cost; "$PENUMBRA" show grid | tail -1')
    assert.equal(0, r.code, r.err)
    contains("study: Small nets\ngrid.lua\n\n4 runs of small: A small net\n  alpha  0, 1\n  seed   1, 2\n", r.out)
    assert.matches("for the 3 runs that are missing", r.out)
    assert.matches("\nall 4 runs are there already\n$", r.out)
  end)

  it("says when data is missing, or makes some up of its shape", function()
    local far = small:gsub("data%.synthetic %b{}", 'data.open("%%s")')
    local r = inside({ ["far.lua"] = far:format "kmnist", ["none.lua"] = far:format "nowhere" },
      'unset PENUMBRA_DATA; "$PENUMBRA" show none; sed -i "s/channels = 3, size = 12/channels = 1, size = 28/; '
      .. 's/classes = 3/classes = 10/" far.lua; "$PENUMBRA" show far epochs=1')
    assert.equal(0, r.code, r.err)
    contains('cost: cannot be measured: none.lua:13: data.open: there is no data set "nowhere"', r.out)
    contains("note: kmnist is not here: timed on made-up pictures of its shape", r.out)
    contains(": 3,750 steps of 16 images", r.out)
  end)
end)

describe("penumbra check", function()
  it("puts a batch through everything", function()
    local r = inside({ ["small.lua"] = small }, '"$PENUMBRA" check small alpha=1; ls')
    assert.same({ 0, "" }, { r.code, r.err })
    for _, stage in ipairs { "recipe", "plan", "data", "model", "a step", "another step", "probe accuracy", "files" } do
      assert.matches("\n✓ " .. stage .. " +%d+ ms", "\n" .. r.out)
    end
    assert.matches("all is well, in %d+%.%d s\nsmall%.lua\n$", r.out) -- and nothing is left
  end)

  it("says at which stage something is wrong", function()
    local r = inside({ ["small.lua"] = small:gsub("size = 12, seed", "size = 9, seed") }, '"$PENUMBRA" check small')
    assert.same({ 1, "" }, { r.code, r.err })
    assert.matches("\n✗ plan +%d+ ms\n  small%.lua:16: models%.lenet: size expects an integer of at least 12, got 9\n",
      r.out)
    local other = small:gsub("models.lenet %b{}", "models.mlp { classes = 3, inputs = 7, hidden = { 4 } }")
    r = inside({ ["small.lua"] = other }, '"$PENUMBRA" check small')
    assert.same({ 1, "" }, { r.code, r.err })
    assert.matches("\n✓ model .*\n✗ a step +%d+ ms\n  %S", r.out)
  end)

  it("checks every variant of a study once", function()
    local files = { ["small.lua"] = small, ["grid.lua"] = grid:gsub("0, 1 }", "0, 1e39 }") }
    local r = inside(files, '"$PENUMBRA" check grid')
    assert.same({ 1, "" }, { r.code, r.err })
    assert.matches("\n✓ alpha 0, seed 1 .*\n✗ alpha 1e%+39, seed 1: a step +%d+ ms\n.* no longer finite after step 1",
      r.out)
    assert.is_nil(r.out:find("seed 2", 1, true))
  end)
end)

describe("completion", function()
  local function completed(words)
    local quoted = {}
    for i, word in ipairs(words) do quoted[i] = program.quote(word) end
    return inside({ ["small.lua"] = small, ["grid.lua"] = grid, ["runs/small-12345678/plan.txt"] = "" }, ([[
      export PENUMBRA
      bash -c 'source <("$PENUMBRA" help --completion)
        COMP_WORDS=("$PENUMBRA" "$@") COMP_CWORD=$#
        _penumbra
        printf "%%s\n" "${COMPREPLY[@]}"' bash %s]]):format(table.concat(quoted, " ")))
  end

  if os.execute "command -v bash > /dev/null" then
    for _, case in ipairs {
      { { "sho" }, "show\n" },
      { { "run", "sma" }, "small\nsmall.lua\n" },
      { { "run", "small", "al" }, "alpha=\n" },
      { { "run", "table4", "variant", "=", "pl" }, "plain\nplain2x\n" },
      { { "sweep", "colour_mnist", "variant", "=", "plain,A" }, "plain,AUG\n" },
      { { "run", "table4", "scale", "=", "s" }, "small\nsmoke\n" },
      { { "sweep", "small", "--t" }, "--tensorboard\n" },
      { { "resume", "small-" }, "small-12345678\n" },
      { { "diff", "small-12345678", "small-" }, "small-12345678\n" },
      { { "predict", "small-" }, "small-12345678\n" },
      { { "model", "info", "small-" }, "small-12345678\n" },
      { { "data", "i" }, "import\ninfo\n" },
      { { "data", "get", "cifar100" }, "cifar100\ncifar100-c\n" },
      { { "--thr" }, "--threads\n" },
    } do
      it("of " .. table.concat(case[1], " "), function()
        assert.same({ code = 0, out = case[2], err = "" }, completed(case[1]))
      end)
    end
  else
    pending "needs bash"
  end
end)

describe("the manual page", function()
  local r = program.run { "help", "--man" }

  it("has every command with its options", function()
    assert.same({ 0, "" }, { r.code, r.err })
    assert.matches("^%.TH PENUMBRA 1 ", r.out)
    for _, name in ipairs(require "command".names()) do contains("\n.SS penumbra " .. name .. "\n", r.out) end
    for _, part in ipairs { "\\-\\-jobs N", "\\-\\-threads N", "PENUMBRA_DATA", ".SH EXIT STATUS" } do
      contains(part, r.out)
    end
  end)

  it("is set without complaints", function()
    if not os.execute "command -v groff > /dev/null" then pending "needs groff" end
    local set = shell("groff -man -Tutf8 -ww -rLL=78n", r.out)
    assert.same({ 0, "" }, { set.code, set.err })
    contains("penumbra sweep", (set.out:gsub("\27%[[%d;]*m", "")))
  end)
end)
