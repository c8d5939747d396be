--- Trainings that are stopped: by Ctrl-C, by a loss that is no number, by a disk that is full, by another process; what
--- they say, what they leave, and that they go on from there.
package.path = "tests/cli/?.lua;" .. package.path
local checkpoint = require "checkpoint"
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local program = require "program"

-- Trains 3 epochs of 12 steps. After step 20 something happens: nothing, "say" tells so on standard output, "hang" goes
-- on computing, "nan" breaks the images, "remove" takes the folder away.
local script = [[
local folder, what, resume, more = ...
local data, file, loss, models = require "data", require "file", require "loss", require "models"
local optim, perturb, probe, train = require "optim", require "perturb", require "probe", require "train"
local calls, moment = 0, nil
local watch = perturb.new { name = "watch", apply = function(x, _, _, draw)
  calls = calls + 1
  if calls == 21 then moment = draw.seed end -- step 20 is over
  if draw.seed ~= moment then return x end
  if what == "nan" then return x * (0 / 0) end
  if what == "remove" then assert(file.remove_folder(folder)) end
  if what == "say" or what == "hang" then
    print "here"
    io.stdout:flush()
  end
  while what == "hang" do end
  return x
end }
local options = {
  model = models.resnet8 { classes = 4, seed = 1 }, data = data.synthetic { train = 192, test = 32, seed = 3 },
  loss = loss.cross_entropy() + loss.continuity { perturb = watch }, optimizer = optim.adam { lr = 1e-3 },
  epochs = 3, batch = 16, probes = { probe.accuracy() }, out = folder, checkpoint_steps = 5, quiet = true }
if resume == "resume" then options.resume = true elseif resume == "fresh" then options.fresh = true end
if more == "batch" then options.batch = 32 elseif more == "epochs" then options.epochs = 1 end
local run = train(options)
assert(options.model:save(folder .. "/end.safetensors"))
print(run)
]]

local recipe = [[
return recipe {
  title = "Short",
  params = { rate = param.number { 1e-3 }, epochs = param.integer { 3 }, seed = param.seed { 1 } },
  plan = function(p)
    return {
      data = data.synthetic { train = 192, test = 32, seed = 3 }, model = models.resnet8 { classes = 4, seed = p.seed },
      loss = loss.cross_entropy(), optimizer = optim.sgd { lr = p.rate }, epochs = p.epochs, batch = 16, seed = p.seed,
      probes = { accuracy = probe.accuracy() },
    }
  end,
}
]]

local root = os.tmpname()
local count = 0

setup(function()
  os.remove(root)
  assert(file.make_folder(root))
  assert(file.write(root .. "/train.lua", script))
  assert(file.write(root .. "/short.lua", recipe))
end)
teardown(function() file.remove_folder(root) end)

-- A folder of its own for a training.
local function folder()
  count = count + 1
  return root .. "/run" .. count
end

-- Starts the script; a process that was started to ignore signals does so for all below it.
local function start(...)
  return assert(host.spawn({ "/usr/bin/env", "--default-signal=INT,TERM", program.path, root .. "/train.lua", ... },
                           { stdin = "null", stdout = "pipe", stderr = "pipe" }))
end

-- What a process said until it ended, and how it ended.
local function finish(process)
  local said = { stdout = "", stderr = "" }
  for name in pairs(said) do
    repeat
      local bytes = assert(process:read(60, name))
      said[name] = said[name] .. bytes
    until bytes == ""
  end
  local ended = process:wait(10)
  return { code = ended.code, signal = ended.signal, out = said.stdout, err = said.stderr }
end

local function run(...) return finish(start(...)) end

-- Starts it, and sends the signals once step 20 is over.
local function signalled(where, what, ...)
  local process = start(where, what)
  assert.equal("here\n", process:read(60))
  for i, signal in ipairs { ... } do
    if i > 1 then os.execute "sleep 0.1" end
    process:kill(signal)
  end
  return finish(process)
end

local reference

-- The bytes of a training that nothing happened to.
local function whole()
  if not reference then
    local where = folder()
    local r = run(where, "nothing")
    assert.equal(0, r.code, r.err)
    reference = { rows = file.read(where .. "/metrics.jsonl"), weights = file.read(where .. "/end.safetensors") }
    assert.is_true(#reference.rows > 1000)
  end
  return reference
end

local function goes_on(where)
  local r = run(where, "nothing", "resume")
  assert.equal(0, r.code, r.err)
  assert.is_true(whole().rows == file.read(where .. "/metrics.jsonl"))
  assert.is_true(whole().weights == file.read(where .. "/end.safetensors"))
  assert.is_false(file.exists(where .. "/stopped.json"))
end

local function reason(where) return assert(json.read(where .. "/stopped.json")).reason end

describe("Ctrl-C", function()
  it("finishes the step, saves, and says how to go on", function()
    local where = folder()
    local r = signalled(where, "say", "int")
    local step = math.tointeger(tonumber(r.err:match
      "^penumbra: stopped at step (%d+) %(epoch 2%); resume with: train{ %.%.%., resume = true }\n$"))
    assert.is_true(step ~= nil and step >= 20, r.err)
    assert.equal(130, r.code)
    assert.equal(step, checkpoint.peek(where).step)
    assert.equal("interrupted", reason(where))
    goes_on(where)
  end)

  it("is also what SIGTERM means", function()
    local where = folder()
    local r = signalled(where, "say", "term")
    assert.equal(143, r.code)
    assert.matches("^penumbra: stopped at step %d+ %(epoch 2%); resume with: ", r.err)
    goes_on(where)
  end)

  it("the second time stops now, and names the last checkpoint", function()
    local where = folder()
    local r = signalled(where, "hang", "int", "int")
    assert.equal(130, r.code)
    assert.equal(("penumbra: interrupted\n  the last good checkpoint is %s/checkpoint-4.json (step 20); resume with: "
      .. "train{ ..., resume = true }\n"):format(where), r.err)
    goes_on(where)
  end)
end)

describe("a loss that is NaN", function()
  it("stops the training, names where, and keeps the last good checkpoint", function()
    local where = folder()
    local r = run(where, "nan")
    assert.equal(1, r.code)
    assert.equal(('penumbra: loss is NaN at step 21 (epoch 2); first in term "continuity", perturbation watch\n'
      .. "  the last good checkpoint is %s/checkpoint-4.json (step 20); resume with: train{ ..., resume = true }\n")
      :format(where), r.err)
    assert.matches("^loss is NaN at step 21", reason(where))
    goes_on(where)
  end)

  it("stops a run, which then has no results", function()
    local out = folder()
    local r = program.run { "run", root .. "/short.lua", "rate=1e30", "--out", out, "--quiet" }
    assert.equal(1, r.code)
    assert.matches('^penumbra: loss is %a+ at step %d+ %(epoch 1%); first in term "cross_entropy", layer "[%w.]+"',
                   r.err)
    local folders = require "run.folder"
    local made = assert(folders.find("short", out))
    local status = folders.status(made)
    assert.equal("stopped", status.state)
    assert.matches("^loss is ", status.reason)
    assert.is_false(file.exists(made .. "/results.json"))
  end)
end)

describe("a folder", function()
  it("is not written over", function()
    local where = folder()
    assert.equal(130, signalled(where, "say", "int").code)
    local before = file.read(where .. "/metrics.jsonl")
    local r = run(where, "nothing")
    assert.equal(1, r.code)
    assert.equal(where .. " holds a training already: resume = true goes on with it, fresh = true removes it\n",
                 r.err:match "^penumbra: %S+/train.lua:%d+: train: (.*)$")
    assert.equal(before, file.read(where .. "/metrics.jsonl"))
    r = run(where, "nothing", "resume", "batch")
    assert.equal(1, r.code)
    assert.equal(("penumbra: %s was trained with batch 16, now it is 32; fresh = true starts anew"):format(where),
                 r.err:match "[^\n]+")
    r = run(where, "nothing", "resume", "epochs")
    assert.matches("is in epoch 2 already, now 1 are asked for; fresh = true starts anew", r.err, 1, true)
    assert.equal(before, file.read(where .. "/metrics.jsonl"))
    r = run(where, "nothing", "fresh")
    assert.equal(0, r.code, r.err)
    assert.is_true(whole().rows == file.read(where .. "/metrics.jsonl"))
  end)

  it("keeps what is not the training's", function()
    local where = folder()
    for _, name in ipairs { "best", "figures", "tables", "deep/best" } do
      assert(file.make_folder(where .. "/" .. name))
      assert(file.write(where .. "/" .. name .. "/own.txt", "mine"))
    end
    assert(file.write(where .. "/deep/x.part-1-1", "mine"))
    assert.equal(0, run(where, "nothing").code)
    assert.equal(0, run(where, "nothing", "fresh").code)
    for _, name in ipairs { "figures/own.txt", "tables/own.txt", "deep/best/own.txt", "deep/x.part-1-1" } do
      assert.equal("mine", file.read(where .. "/" .. name))
    end
  end)

  it("with a damaged checkpoint goes on from the one before", function()
    local where = folder()
    assert.equal(130, signalled(where, "hang", "int", "int").code)
    local path = where .. "/checkpoint-4.safetensors"
    local bytes = file.read(path)
    assert(file.write(path, bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1)))
    local r = run(where, "nothing", "resume")
    assert.equal(0, r.code, r.err)
    assert.equal(("penumbra: %s: its SHA-256 is not the one in its .json file\n  going on from %s/checkpoint-3.json\n")
      :format(path, where), r.err)
    assert.is_true(whole().rows == file.read(where .. "/metrics.jsonl"))
    assert.is_true(whole().weights == file.read(where .. "/end.safetensors"))
    -- With both of them damaged there is nothing to go on from; nothing is removed.
    local names = {}
    for name in lfs.dir(where) do
      if name:find "^checkpoint%-%d+%.safetensors$" then
        assert(file.write(where .. "/" .. name, "damaged"))
        names[#names + 1] = where .. "/" .. name
      end
    end
    assert.equal(2, #names)
    r = run(where, "nothing", "resume")
    assert.equal(1, r.code)
    assert.matches("bytes expected by its .json file, 7 found; .*; fresh = true starts anew\n$", r.err)
    for _, name in ipairs(names) do assert.equal("damaged", file.read(name)) end
    assert.is_true(whole().rows == file.read(where .. "/metrics.jsonl"))
  end)

  it("belongs to one process at a time", function()
    local where = folder()
    local process = start(where, "hang")
    assert.equal("here\n", process:read(60))
    local r = run(where, "nothing", "resume")
    assert.equal(1, r.code)
    assert.matches("^penumbra: train: " .. where .. " is in use: held by process " .. process.pid .. " on %S+\n$",
                   r.err)
    process:kill "kill"
    process:wait()
    goes_on(where)
  end)

  it("that goes away is told", function()
    local where = folder()
    local r = run(where, "remove")
    assert.equal(1, r.code)
    assert.equal(("penumbra: %s/metrics.jsonl: cannot be written: No such file or directory\n"):format(where), r.err)
    assert.is_false(file.exists(where))
  end)

  it("that cannot be made or written is told", function()
    local r = run("/proc/nowhere/run", "nothing")
    assert.equal(1, r.code)
    assert.matches("train: /proc/nowhere: the folder cannot be made: ", r.err, 1, true)
    r = program.run { "run", root .. "/short.lua", "--out", root .. "/short.lua", "--quiet" }
    assert.equal(1, r.code)
    assert.matches("short.lua: a folder expected, found a file", r.err, 1, true)
    assert.equal(1, select(2, r.err:gsub("\n", "")))
  end)

  it("on a full disk keeps its last good checkpoint", function()
    local disk = root .. "/disk"
    assert(file.make_folder(disk))
    -- Two checkpoints of this network are there before the third finds no room.
    local function on_disk(line)
      assert(file.write(root .. "/disk.sh", ("mount -t tmpfs -o size=2100k none %s && %s"):format(disk, line)))
      return program.shell("export PENUMBRA; unshare -rm sh " .. root .. "/disk.sh")
    end
    if on_disk("true").code ~= 0 then return pending "no file system of our own can be mounted here" end
    local r = on_disk(([["$PENUMBRA" %s/train.lua %s/run nothing; echo "code $?"; ls %s/run
      dd if=/dev/zero of=%s/full 2> /dev/null; rm -f %s/full; mount -o remount,size=64m %s
      "$PENUMBRA" %s/train.lua %s/run nothing resume > /dev/null && cp %s/run/metrics.jsonl %s/run/end.safetensors %s]])
      :format(root, disk, disk, disk, disk, disk, root, disk, disk, disk, root))
    assert.matches("^code 1\n", r.out)
    assert.is_nil(r.out:find("part", 1, true))
    assert.matches("^penumbra: " .. disk .. "/run/checkpoint%-%d+%.[^\n]*: [^\n]+\n  the last good checkpoint is "
      .. disk .. "/run/checkpoint%-%d+%.json %(step %d+%); resume with: train{ %.%.%., resume = true }\n$", r.err)
    assert.is_true(whole().rows == file.read(root .. "/metrics.jsonl"))
    assert.is_true(whole().weights == file.read(root .. "/end.safetensors"))
  end)
end)

describe("a probe that was measured before the end", function()
  local probing = [[
local folder, what = ...
local data, loss, models, optim = require "data", require "loss", require "models", require "optim"
local probe, stats, train = require "probe", require "stats", require "train"
local counted = probe.new("counted", {}, function()
  local log = assert(io.open(folder .. ".log", "a"))
  log:write "measured\n"
  log:close()
  return { metrics = { one = stats.new { value = 0.1 + 0.2, n = 3, items = { 0.1, 1 / 3 } } }, rows = { { x = 0 / 0 } },
           text = function() return "counted" end }
end)
local last = probe.new("last", {}, function()
  if what == "hang" then
    print "here"
    io.stdout:flush()
  end
  while what == "hang" do end
  return { metrics = {}, rows = {}, text = function() return "last" end }
end)
local run = train { model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, data = data.synthetic(),
                    loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-3 }, quiet = true, out = folder,
                    resume = true, probes = { counted = counted, last = last } }
local result = run.probes.counted
local interval = result.metrics.one
print(result, stats.is_interval(interval), interval.value == 0.1 + 0.2, interval.items[2] == 1 / 3,
      result.rows[1].x ~= result.rows[1].x)
]]

  it("is not measured again", function()
    local where = folder()
    assert(file.write(root .. "/probing.lua", probing))
    local process = assert(host.spawn({ program.path, root .. "/probing.lua", where, "hang" },
                                      { stdin = "null", stdout = "pipe", stderr = "pipe" }))
    assert.equal("here\n", process:read(60))
    process:kill "kill"
    process:wait()
    assert.is_true(file.exists(where .. "/probes/1.json"))
    local r = program.run { root .. "/probing.lua", where, "on" }
    assert.same({ 0, "counted\ttrue\ttrue\ttrue\ttrue\n" }, { r.code, r.out }, r.err)
    assert.equal("measured\n", file.read(where .. ".log"))
    assert.is_false(file.exists(where .. "/probes"))
    program.run { root .. "/probing.lua", where, "on" }
    assert.equal("measured\nmeasured\n", file.read(where .. ".log"))
  end)
end)

describe("runs", function()
  local folders = require "run.folder"
  local out

  setup(function() out = folder() end)

  local function make(...)
    local r = program.run { "run", root .. "/short.lua", "--out", out, "--quiet", ... }
    assert.equal(0, r.code, r.err)
    return r
  end

  it("stop after --steps, and go on", function()
    make("--steps", "17")
    local made = assert(folders.find("short", out))
    assert.same({ state = "stopped", step = 17, epoch = 2 }, folders.status(made))
    local r = program.run { "resume", made, "--quiet" }
    assert.equal(0, r.code, r.err)
    local status = folders.status(made)
    assert.same({ "complete", 36, 3 }, { status.state, status.step, status.epoch })
    local names = {}
    for name in lfs.dir(made) do names[#names + 1] = name end
    table.sort(names)
    assert.is_nil((" " .. table.concat(names, " ")):find(" checkpoint", 1, true))
    assert.is_true(file.exists(made .. "/model.safetensors"))
    -- The same in one go.
    local other = folder()
    out, other = other, made
    make()
    made = assert(folders.find("short", out))
    for _, name in ipairs { "metrics.jsonl", "items.json", "model.safetensors" } do
      assert.is_true(file.read(other .. "/" .. name) == file.read(made .. "/" .. name), name)
    end
  end)

  it("are found by their path, their name or its beginning", function()
    make("seed=2")
    make("seed=3")
    local found, message, code = folders.find("short", out)
    assert.is_nil(found)
    assert.matches('^"short" may be short%-%x+, short%-%x+', message)
    assert.equal("argument", code)
    local names = {}
    for name in lfs.dir(out) do
      if name:find "^short%-" then names[#names + 1] = name end
    end
    assert.equal(3, #names)
    for _, name in ipairs(names) do
      assert.equal(out .. "/" .. name, folders.find(name, out))
      assert.equal(out .. "/" .. name, folders.find(name:sub(1, -2), out))
      assert.equal(out .. "/" .. name, folders.find(out .. "/" .. name .. "/"))
    end
    found, message = folders.find("shrt", out)
    assert.is_nil(found)
    assert.matches(('there is no run "shrt" in %s; known: short-'):format(out), message, 1, true)
    assert.equal("broken", folders.status(root).state)
  end)

  it("of other data or another version are not mixed", function()
    make("seed=4", "--steps", "5")
    local made
    for name in lfs.dir(out) do
      if file.exists(out .. "/" .. name .. "/checkpoint-1.json") then made = out .. "/" .. name end
    end
    local path = made .. "/checkpoint-1.json"
    local side = assert(json.read(path))
    side.extra.asked.version = "0.0.1"
    assert(file.write(path, json.encode(side, { pretty = true })))
    local r = program.run { "resume", made, "--quiet" }
    assert.equal(1, r.code)
    assert.matches("was trained with version 0.0.1, now it is [%d.]+; %-%-fresh makes it anew", r.err)
    assert.is_true(file.exists(path))
  end)
end)
