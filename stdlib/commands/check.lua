--- `penumbra check FILE`: one small batch through everything a run does, in seconds, and nothing is kept of it.
local execute = require "run.execute"
local file = require "file"
local folder_of = require "run.folder"
local grid_of = require "run.grid"
local host = require "host"
local jobs_of = require "run.jobs"
local json = require "json"
local options_of = require "run.options"
local plan = require "plan"
local print_of = require "run.print"
local recipe = require "recipe"
local report = require "report"
local spec = require "spec"
local start_of = require "run.start"
local text = require "text"

local format = string.format

local say = options_of.say

local BATCH <const> = 8     -- images of a step
local STEPS <const> = 2     -- one before the checkpoint, one after it
local IMAGES <const> = 16   -- that each probe sees

local function describe(parser)
  options_of.describe_file(parser)
  options_of.describe_allow(parser)
  parser:epilog [[
Builds everything, makes two training steps with a checkpoint between them, which is written and
read back, shows each probe a handful of images, draws and writes what a run writes, in a folder
that is then removed. Of a study, every variant once; what a run starts from is checked before it.
Exit code 1 when something is wrong.]]
end

-- ---- stages ----

-- Prints what happens with its time; the first failure ends the check.
local Stages = {}
Stages.__index = Stages

-- With a label only what fails is told, under it.
local function new_stages(label)
  return setmetatable({ label = label, started = host.clock() }, Stages)
end

local function message_of(problem)
  return type(problem) == "table" and problem.message or tostring(problem)
end

local function line(sign, name, seconds, note)
  return format("%s %s %s  %s", sign, text.pad(name, 14), text.pad(format("%6.0f ms", 1000 * seconds), 9),
    text.cut(note or "", math.max(20, print_of.width() - 30))):gsub("%s+$", "")
end

function Stages:done(name, note)
  local now = host.clock()
  if not self.label then say((line("✓", name, now - self.started, note))) end
  self.started = now
end

function Stages:failed(name, problem)
  say((line("✗", self.label and self.label .. ": " .. name or name, host.clock() - self.started)))
  say("  " .. text.wrap(message_of(problem), print_of.width() - 2, "  "))
  return false
end

-- ---- one run ----

-- The plan on a handful of images: a plan again.
local function small(made)
  local out = {}
  for key, value in pairs(made) do out[key] = value end
  local data = made.data
  out.data = { train = data.train:take(BATCH * STEPS), test = data.test:take(IMAGES) }
  if made.validation then
    out.validation = (type(made.validation) == "number" and data.train or made.validation):take(IMAGES)
  end
  out.epochs, out.batch = math.min(1, made.epochs), BATCH
  return out
end

-- Building by itself first, so that a failure is told at its place.
local function build_all(stages, made)
  local build = plan.builder()
  local order = { "data", "model" }
  for _, key in ipairs(spec.names(made)) do
    if key ~= "data" and key ~= "model" and key ~= "start" then order[#order + 1] = key end
  end
  for _, key in ipairs(order) do
    local ok, value = pcall(build, made[key])
    if not ok then return stages:failed(key, value) end
    if key == "data" then
      stages:done("data", format("%d images to train on, %d to test", #value.train, #value.test))
    elseif key == "model" then
      stages:done("model", text.count(value:count()) .. " parameters")
    end
  end
  stages:done("loss and rest", plan.text(made.loss))
  return true
end

-- Makes the small run as a run is made; one that has steps is stopped once on its way.
local function make_run(stages, job)
  local trains = job.plan.epochs > 0
  local at = trains and "a step" or "weights"
  local function watch(_, state)
    if state.note and job.plan.probes[state.note] and at ~= state.note then
      if trains or job.plan.probes[at] then stages:done(job.plan.probes[at] and "probe " .. at or at) end
      at = state.note
    end
  end
  local ok, results
  if trains then
    ok, results = pcall(execute, job, watch, { steps = 1, resume = false })
    if not ok then return stages:failed(at, results) end
    stages:done("a step", "and a checkpoint")
    at = "another step"
  end
  ok, results = pcall(execute, job, watch, { resume = trains })
  local last = job.plan.probes[at] and "probe " .. at or at
  if not ok then return stages:failed(last, results) end
  if trains or job.plan.probes[at] then stages:done(last) end
  if not results then return stages:failed("results", "the run did not end") end
  return true
end

local function files_written(stages, folder)
  for _, name in ipairs { "results.json", "params.json" } do
    local value, message = json.read(folder .. "/" .. name)
    if value == nil then return stages:failed("files", message) end
  end
  local page, message = report.write(folder)
  if not page then return stages:failed("report", message) end
  stages:done("files", "figures, tables, results, the report")
  return true
end

-- What stands for a job: the same with a small plan, in a folder below another.
local function trial_of(job, folder, start)
  local made = small(job.plan)
  made.start = start and start.plan
  local sum = plan.hash(made)
  return { recipe = job.recipe, values = job.values, plan = made, hash = sum, label = job.label, start = start,
           folder = start_of.folder(folder, "run", sum), cost = 1 }
end

-- The trial of what a job starts from, made; nil when something is wrong with it, which was told. `made` keeps those
-- of others.
local function check_start(job, folder, made)
  if made[job.hash] ~= nil then return made[job.hash] or nil end
  made[job.hash] = false
  local before = job.start and check_start(job.start, folder, made)
  if job.start and not before then return nil end
  local stages = new_stages(job.label)
  local ok, trial = pcall(trial_of, job, folder, before)
  if not ok then return stages:failed("plan", trial) or nil end
  if not build_all(stages, trial.plan) or not make_run(stages, trial) then return nil end
  made[job.hash] = trial
  return trial
end

local function check_run(stages, job, folder, made)
  local start
  if job.start then
    start = check_start(job.start, folder, made)
    if not start then return stages:failed("start", "the run that it starts from is wrong") end
    stages:done("start", job.start.label:gsub("^start: ", ""))
  end
  local ok, trial = pcall(trial_of, job, folder, start)
  if not ok then return stages:failed("plan", trial) end
  local fine = build_all(stages, trial.plan) and make_run(stages, trial) and files_written(stages, trial.folder)
  -- Of many variants only what others start from is kept.
  if not made[job.hash] then file.remove_folder(trial.folder) end
  return fine
end

-- A check in a folder of its own, removed whatever happens.
local function in_folder(body)
  local folder = folder_of.must(file.temporary_folder())
  local ok, result = pcall(body, folder)
  file.remove_folder(folder)
  if not ok then error(result, 0) end
  return result
end

-- ---- a recipe, a study ----

local function check_recipe(base, settings, stages)
  local job, message, kind = jobs_of.of(base, settings, "")
  if not job then
    if kind == "argument" then options_of.stop(message, 2) end
    stages:failed("plan", message)
    return 1
  end
  stages:done("plan", base.title)
  return in_folder(function(folder) return check_run(stages, job, folder, {}) end) and 0 or 1
end

-- The first run of each variant: others differ from it in their seeds only.
local function variants(grid)
  local list, seen = {}, {}
  for i, point in ipairs(grid.expansion.points) do
    local values = {}
    for key, value in pairs(point.values) do values[key] = key ~= grid.expansion.seed and value or nil end
    local key = plan.text(values)
    if not seen[key] then
      seen[key] = true
      list[#list + 1] = grid.jobs[i]
    end
  end
  return list
end

local function check_study(this, settings, stages)
  local grid, message, kind = grid_of.new(this, settings, "")
  if not grid then
    if kind == "argument" then options_of.stop(message, 2) end
    stages:failed("plan", message)
    return 1
  end
  stages:done("plan", format("%s: %d runs", this.title, #grid.jobs))
  local wrong, list, made = 0, variants(grid), {}
  in_folder(function(folder)
    for _, job in ipairs(list) do
      local label, started = #list > 1 and job.label or job.recipe.name, host.clock()
      if check_run(new_stages(label), job, folder, made) then
        say((line("✓", label, host.clock() - started)))
      else
        wrong = wrong + 1
      end
    end
  end)
  return wrong == 0 and 0 or 1
end

local function act(options)
  local stages = new_stages()
  local value = options_of.load(options)
  stages:done(recipe.is_recipe(value) and "recipe" or "study", value.path)
  local started = host.clock()
  local is_recipe = recipe.is_recipe(value)
  local settings = options_of.settings(options.setting, not is_recipe)
  local code = (is_recipe and check_recipe or check_study)(value, settings, stages)
  say(format(code == 0 and "all is well, in %.1f s" or "something is wrong, after %.1f s", host.clock() - started))
  return code
end

return { about = "Put one small batch through everything a run does.", describe = describe,
         act = options_of.guarded(act) }
