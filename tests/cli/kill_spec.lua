--- Trainings that are killed at random moments and go on end with the same bytes as one that was left alone.
---
--- PENUMBRA_KILLS says how many are killed (5); in turn they are a script's train{ out = }, a run of a recipe, and a
--- study of two runs at a time in processes of their own. Each goes on with another number of threads and workers, and
--- may be killed again.
package.path = "tests/cli/?.lua;" .. package.path
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local program = require "program"

local KILLS = math.tointeger(tonumber(os.getenv "PENUMBRA_KILLS" or 5))
local SEED = 1

-- All that has a state: momentum, averages, a schedule, batch norm, dropout, augmentation, random changes in the loss,
-- a validation part with a best epoch.
local script = [[
local folder, workers = ...
local nn, data, loss, optim = require "nn", require "data", require "loss", require "optim"
local perturb, probe, train = require "perturb", require "probe", require "train"
local set = data.synthetic { classes = 4, train = 150, test = 40, side = 8, noise = 0.8, seed = 3 }
local model = nn.Sequential {
  nn.Conv2d(3, 8, { kernel_size = 3, padding = 1 }), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout { p = 0.3 },
  nn.Flatten(), nn.Linear(8 * 8 * 8, 4),
}
local run = train {
  model = model, data = set, loss = loss.cross_entropy() + loss.continuity { perturb = perturb.colour() },
  optimizer = optim.adam { lr = 1e-2 }, schedule = optim.cosine(), augment = perturb.random_crop { padding = 1 },
  epochs = 12, batch = 16, clip = 1, average = 0.9, validation = 0.2, choose = "best",
  probes = { probe.accuracy(), probe.continuity { levels = { 1, 2 } } },
  out = folder, resume = true, checkpoint_steps = 3, log_every = 4, workers = math.tointeger(tonumber(workers)),
  quiet = true }
assert(model:save(folder .. "/end.safetensors"))
assert(require "file".write(folder .. "/end.txt", tostring(run.probes.accuracy) .. tostring(run.probes.continuity)))
]]

local study = [[
return study {
  title = "Two short runs", recipe = "short", grid = { seed = { 5, 6 } }, show = { rows.by("seed"):column("accuracy") },
}
]]

local recipe = [[
return recipe {
  title = "Twelve short epochs",
  params = { seed = param.seed { 1 } },
  plan = function(p)
    return {
      data = data.synthetic { classes = 4, train = 128, test = 40, noise = 0.8, validation = 0.2, seed = p.seed },
      model = models.resnet8 { classes = 4, seed = p.seed },
      loss = loss.cross_entropy() + 0.5 * loss.continuity { perturb = perturb.colour { levels = { 1, 2 } } },
      optimizer = optim.sgd { lr = 0.05, momentum = 0.9 }, schedule = optim.cosine(),
      augment = perturb.random_crop { padding = 1 } >> perturb.flip(),
      epochs = 12, batch = 32, seed = p.seed, average = 0.9, validation = 0.2, patience = 9, clip_value = 0.5,
      probes = { accuracy = probe.accuracy(), continuity = probe.continuity { levels = { 1 }, limit = 20 } },
    }
  end,
}
]]

-- Files that tell of times, or of one attempt.
local of_one_attempt = { ["timing.jsonl"] = true, ["environment.json"] = true, ["lock"] = true, ["report.html"] = true,
                         ["log.txt"] = true }

-- The files below a folder that are the same each time, by their names; of results.json what is, of checkpoints the
-- tensors of the last.
local function contents(folder, below, out)
  out, below = out or {}, below or ""
  local last = require "checkpoint".peek(folder .. below)
  if last then out[below .. "/checkpoint"] = assert(file.read((last.path:gsub("json$", "safetensors")))) end
  for name in lfs.dir(folder .. below) do
    local path = below .. "/" .. name
    if lfs.attributes(folder .. path, "mode") == "directory" then
      if name:sub(1, 1) ~= "." and not file.exists(folder .. path .. "/study.lua") then contents(folder, path, out) end
    elseif name == "results.json" then
      local results = assert(json.read(folder .. path))
      assert(results.timing.seconds > 0)
      results.timing = nil
      out[path] = json.encode(results)
    elseif not of_one_attempt[name] and not name:find "^checkpoint%-%d" then
      out[path] = assert(file.read(folder .. path))
    end
  end
  return out
end

-- Waits until no process is at work below a folder: those that a killed one started end when they have nobody to tell.
local function wait_for_others(folder)
  local function held()
    if lfs.attributes(folder, "mode") ~= "directory" then return false end
    for name in lfs.dir(folder) do
      if host.locked(folder .. "/" .. name .. "/lock") then return true end
    end
  end
  for _ = 1, 1000 do
    if not held() then return end
    os.execute "sleep 0.01"
  end
  error("a process of a killed study goes on")
end

local function drawn(run, index) return nn.random(SEED, run, index) end

-- Starts it; kills it after so many seconds, if they are given and it is not done by then. Was it killed?
local function attempt(words, seconds)
  local process = assert(host.spawn({ program.path, table.unpack(words) }, { stdout = "null", stderr = "pipe" }))
  local ended = process:wait(seconds)
  if ended == nil then
    process:kill "kill"
    process:wait()
    return true
  end
  assert.equal("", process:read(0, "stderr"))
  assert.equal(0, ended.code)
  return false
end

describe("a killed training goes on", function()
  local root = os.tmpname()
  local runs

  setup(function()
    os.remove(root)
    assert(file.make_folder(root))
    assert(file.write(root .. "/script.lua", script))
    assert(file.write(root .. "/short.lua", recipe))
    assert(file.write(root .. "/shorts.lua", study))
    runs = {
      function(folder, i)
        return { "--threads", tostring(1 + i % 2), root .. "/script.lua", folder, tostring(i % 3) }
      end,
      function(folder, i)
        return { "--threads", tostring(1 + i % 2), "run", root .. "/short.lua", "--out", folder, "--quiet" }
      end,
      function(folder) return { "run", root .. "/shorts.lua", "--out", folder, "--quiet", "--jobs", "2" } end,
    }
  end)
  teardown(function() file.remove_folder(root) end)

  it("to the same bytes", function()
    local whole, lasts = {}, {}
    for kind, words in ipairs(runs) do
      local folder = root .. "/whole" .. kind
      local started = host.clock()
      assert.is_false(attempt(words(folder, 1)))
      whole[kind], lasts[kind] = contents(folder), host.clock() - started
      local count = 0
      for _ in pairs(whole[kind]) do count = count + 1 end
      assert.is_true(count >= 5)
    end
    local killed = 0
    for run = 1, KILLS do
      local kind, tries = 1 + run % #runs, 0
      local folder = root .. "/killed"
      repeat
        tries = tries + 1
        local moment = tries <= 3 and drawn(run, tries) * lasts[kind] or nil
        local again = attempt(runs[kind](folder, run + tries), moment)
        if again then
          killed = killed + 1
          wait_for_others(folder)
        elseif tries == 1 then
          -- It was over before, on a machine that is quicker now.
          lasts[kind], tries, again = 0.8 * lasts[kind], 0, true
          assert(file.remove_folder(folder))
        end
      until not again
      local found = contents(folder)
      for name, text in pairs(whole[kind]) do
        assert.is_true(found[name] == text, ("run %d, %s differs"):format(run, name))
        found[name] = nil
      end
      assert.is_nil((next(found)))
      assert(file.remove_folder(folder))
    end
    assert.is_true(killed >= KILLS)
    print(("# %d runs, killed %d times"):format(KILLS, killed))
  end)
end)
