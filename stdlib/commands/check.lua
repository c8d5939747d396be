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
that is then removed. Of a study, every variant once. Exit code 1 when something is wrong.]]
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
  out.epochs, out.batch = 1, BATCH
  return out
end

-- Building by itself first, so that a failure is told at its place.
local function build_all(stages, made)
  local build = plan.builder()
  local order = { "data", "model" }
  for _, key in ipairs(spec.names(made)) do
    if key ~= "data" and key ~= "model" then order[#order + 1] = key end
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

-- Makes the small run as a run is made, stopped once on its way.
local function make_run(stages, job)
  local at = "a step"
  local function watch(_, state)
    if state.note and job.plan.probes[state.note] and at ~= state.note then
      stages:done(at == "a step" and "another step" or "probe " .. at)
      at = state.note
    end
  end
  local ok, problem = pcall(execute, job, watch, { steps = 1, resume = false })
  if not ok then return stages:failed(at, problem) end
  stages:done("a step", "and a checkpoint")
  local results
  ok, results = pcall(execute, job, watch, { resume = true })
  if not ok then return stages:failed(at == "a step" and "another step" or "probe " .. at, results) end
  if at ~= "a step" then stages:done("probe " .. at) end
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

local function check_run(stages, job, folder)
  local ok, made = pcall(small, job.plan)
  if not ok then return stages:failed("plan", made) end
  if not build_all(stages, made) then return false end
  local trial = { recipe = job.recipe, values = job.values, plan = made, hash = plan.hash(made), label = job.label,
                  folder = folder, cost = 1 }
  return make_run(stages, trial) and files_written(stages, folder)
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
  return in_folder(function(folder) return check_run(stages, job, folder .. "/run") end) and 0 or 1
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
  local wrong, list = 0, variants(grid)
  for _, job in ipairs(list) do
    local label, started = #list > 1 and job.label or job.recipe.name, host.clock()
    local apart = new_stages(label)
    if in_folder(function(folder) return check_run(apart, job, folder .. "/run") end) then
      say((line("✓", label, host.clock() - started)))
    else
      wrong = wrong + 1
    end
  end
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
