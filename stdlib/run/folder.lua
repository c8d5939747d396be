--- The folder of a run: runs/<recipe>-<first 8 digits of the plan's hash>/. It holds
---   recipe.lua includes/ params.json plan.txt           what is run
---   environment.json                                    where
---   metrics.jsonl timing.jsonl                          rows of numbers, and of what the clock said (train/keeper.lua)
---   checkpoint-N.json, .safetensors                     where it can go on, while it is not complete
---   best/                                               the weights that were best on the validation part
---   model.safetensors                                   the weights that were measured
---   tables/ figures/                                    each probe's table and pictures
---   about.json                                          what the recipe says of itself, for the report
---   items.json                                          one number per test item, for comparisons in pairs
---   results.json                                        the numbers; written last, so it marks a complete run
---   stopped.json                                        why it ended before that
--- Of these timing.jsonl, environment.json, stopped.json, and `timing` in results.json tell of one attempt; the others
--- have the same bytes each time the run is made, however often it was interrupted.
local about = require "run.about"
local checkpoint = require "checkpoint"
local file = require "file"
local find = require "data.find"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local plan = require "plan"
local spec = require "spec"
local stats = require "stats"

local M = {}

local format = string.format

--- A value as JSON can hold it: Intervals without their items, nothing of the runtime's.
---@param value any
---@return any
function M.plain(value, depth)
  depth = depth or 0
  if stats.is_interval(value) then
    local out = {}
    for key, field in pairs(value) do
      if key ~= "items" then out[key] = field end
    end
    return out
  end
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" then return value end
  if kind ~= "table" or depth > 20 then return nil end
  local out = {}
  for key, element in pairs(value) do
    out[type(key) == "string" and key or #value > 0 and key or tostring(key)] = M.plain(element, depth + 1)
  end
  return out
end

--- Everything a result may depend on beside the plan.
---@return table
function M.environment()
  local info = nn.info()
  info.blas_core = os.getenv "OPENBLAS_CORETYPE"
  info.written = os.date "!%Y-%m-%dT%H:%M:%SZ"
  return info
end

--- Passes on a success; a failure of the world (nil, message, code) becomes an error that carries both.
---@return any
function M.must(ok, message, code)
  if not ok then error({ world = true, message = message, code = code }, 0) end
  return ok
end

--- Writes a value as a file of JSON.
---@param path string
---@param value any
function M.write_json(path, value)
  M.must(file.write(path, json.encode(value, { pretty = true }) .. "\n"))
end

--- Writes a recipe's text and those that it includes into a folder, from which it can be read again.
---@param folder string
---@param base Recipe
function M.write_recipe(folder, base)
  M.must(file.write(folder .. "/recipe.lua", base.text))
  for _, one in ipairs(base.includes) do
    local path = folder .. "/includes/" .. one.name
    M.must(file.make_folder((file.split(path))))
    M.must(file.write(path, one.text))
  end
end

--- Writes what a run needs to be made from its folder alone, and what says what it is. With `fresh` nothing else
--- stays in the folder, which no process may be at work in; without, only the mark that it was complete goes.
---@param job Job
---@param options? { fresh?: boolean }
function M.prepare(job, options)
  if options and options.fresh then
    local holder = host.locked(job.folder .. "/lock")
    M.must(not holder, format("%s is in use: held by %s", job.folder, holder), "busy")
    M.must(file.remove_folder(job.folder))
  end
  M.must(file.make_folder(job.folder))
  os.remove(job.folder .. "/results.json")
  M.write_recipe(job.folder, job.recipe)
  M.must(file.write(job.folder .. "/plan.txt", plan.text(job.plan) .. "\n"))
  M.write_json(job.folder .. "/params.json", job.values)
  M.write_json(job.folder .. "/environment.json", M.environment())
  -- Of a run that is made from its folder, who began it knew more.
  if not file.exists(job.folder .. "/about.json") then M.must(about.write(job.folder, job.recipe)) end
end

-- Whether data sets were found where they are now, and the program was this one.
local function still_true(results)
  if results.version ~= nn.version or type(results.data) ~= "table" then return false end
  for name, was in pairs(results.data) do
    if not find.same(name, was) then return false end
  end
  return true
end

-- One number per test item; nil for what is no list of numbers.
local function numbers(list)
  if type(list) ~= "table" then return nil end
  for _, x in ipairs(list) do
    if type(x) ~= "number" then return nil end
  end
  return list
end

--- The metrics of results.json as Intervals, with their items where the folder has them; nil when they are damaged.
---@param folder? string  # none: without items
---@param results any  # what results.json holds
---@return table<string, Interval>? metrics
function M.metrics(folder, results)
  if type(results) ~= "table" or type(results.metrics) ~= "table" then return nil end
  local items, metrics = folder and json.read(folder .. "/items.json"), {}
  for name, fields in pairs(results.metrics) do
    if type(fields) ~= "table" then return nil end
    for key, field in pairs(fields) do
      if field == json.null then fields[key] = nil end
    end
    -- A value that was not finite came back as null; as a number it shows as what it was.
    if fields.value == nil then fields.value = 0 / 0 end
    for _, key in ipairs { "value", "low", "high", "level", "n", "se" } do
      if fields[key] ~= nil and type(fields[key]) ~= "number" then return nil end
    end
    if fields.unit ~= nil and type(fields.unit) ~= "string" then return nil end
    fields.items = type(items) == "table" and numbers(items[name]) or nil
    metrics[name] = stats.new(fields)
  end
  local timing = results.timing
  if type(timing) == "table" and type(timing.seconds) == "number" and not metrics.seconds then
    local seconds = type(timing.with_start) == "number" and timing.with_start or timing.seconds
    metrics.seconds = stats.new { value = seconds, n = 1, method = "clock", unit = "s" }
  end
  return metrics
end

--- The results in a run's folder, when it is complete, of this plan, and would come out the same today; else nil.
---@param folder string
---@param hash string
---@return table? results  # with metrics as Intervals
function M.read(folder, hash)
  local results = json.read(folder .. "/results.json")
  if type(results) ~= "table" or results.plan_hash ~= hash or not still_true(results) then return nil end
  results.metrics = M.metrics(folder, results)
  if not results.metrics then return nil end
  if type(results.timing) == "table" and type(results.training) == "table" then
    results.training.seconds, results.training.waited = results.timing.seconds, results.timing.waited
  end
  return results
end

-- ---- runs in their folders ----

local function is_file(path) return lfs.attributes(path, "mode") == "file" end

--- What a folder holds: a "study", a "run", whole or not, or nil for neither.
---
--- Example:
---     print(require "run.folder".kind "no/such/folder")  --> nil
---@param path string
---@return "study"|"run"|nil
function M.kind(path)
  if is_file(path .. "/study.lua") then return "study" end
  for _, name in ipairs { "plan.txt", "params.json", "results.json" } do
    if is_file(path .. "/" .. name) then return "run" end
  end
  return nil
end

--- The folder of a name beside another.
---@param folder string
---@param name string
---@return string
function M.beside(folder, name)
  local above = file.split(folder)
  return (above == "" and "" or above .. "/") .. name
end

--- The folder of a study's run: as it was written down, or beside the study when all were moved.
---@param study string     # the study's folder
---@param recorded string
---@return string
function M.of_study(study, recorded)
  if lfs.attributes(recorded, "mode") == "directory" then return recorded end
  local _, name = file.split(recorded)
  return M.beside(study, name)
end

--- The folder of a run or a study that is named by its path, or by its name in `out` or a beginning of it that only one
--- has.
---@param name string
---@param out? string  # "runs"
---@return string? path, string? message, string? code
function M.find(name, out)
  out = out or "runs"
  local path = #name > 1 and name:gsub("/+$", "") or name
  if M.kind(path) then return path end
  local below = out .. "/" .. path
  if not path:find "/" and M.kind(below) then return below end
  if file.exists(path) and path:find "/" then
    return nil, format("%s: neither a run's folder nor a study's: there is no plan.txt, params.json or study.lua in it",
      path), "format"
  end
  local known, begun = {}, {}
  if lfs.attributes(out, "mode") == "directory" then
    for entry in lfs.dir(out) do
      if M.kind(out .. "/" .. entry) then
        known[#known + 1] = entry
        if entry:sub(1, #path) == path then begun[#begun + 1] = entry end
      end
    end
  end
  table.sort(begun)
  if #begun == 1 then return out .. "/" .. begun[1] end
  if #begun > 1 then
    return nil, format('"%s" may be %s', name, table.concat(begun, ", ", 1, math.min(#begun, 8))
      .. (#begun > 8 and ", ..." or "")), "argument"
  end
  table.sort(known)
  return nil, format('there is no run "%s" in %s%s', name, out, spec.suggest(name, known)), "io"
end

--- The file of the weights of a run that a word names, by its path or its name; of a run that is not complete its
--- folder, which has checkpoints; of any other word the word itself.
---
--- Example:
---     require "run.folder".weights "resnet18.pt"  --> resnet18.pt
---@param word string
---@return string path
function M.weights(word)
  local folder = lfs.attributes(word, "mode") == "directory" and word or not file.exists(word) and M.find(word) or nil
  local path = folder and folder .. "/model.safetensors"
  return path and file.exists(path) and path or folder or word
end

---@class RunStatus
---@field state "complete"|"running"|"stopped"|"broken"
---@field step? integer    # of the last checkpoint
---@field epoch? integer   # the one under way there
---@field reason? string   # why it stopped, or what is broken
---@field holder? string   # who is at work in it

--- Where a run stands; of a study only whether its results are there. It is broken when what it is made from cannot be
--- read.
---@param path string
---@return RunStatus
function M.status(path)
  if M.kind(path) == "study" then
    return { state = file.exists(path .. "/results.json") and "complete" or "stopped" }
  end
  local holder = host.locked(path .. "/lock")
  local state = checkpoint.peek(path) or {}
  local status = { step = state.step, epoch = state.epoch }
  if holder then
    status.state, status.holder = "running", holder
    return status
  end
  local results = json.read(path .. "/results.json")
  local stopped = json.read(path .. "/stopped.json")
  if type(results) == "table" and type(results.metrics) == "table" then
    status.state = "complete"
    local training = type(results.training) == "table" and results.training or {}
    status.step, status.epoch = training.steps, training.epochs
  elseif not (is_file(path .. "/plan.txt") and is_file(path .. "/params.json")) then
    status.state, status.reason = "broken", "plan.txt or params.json is missing"
  elseif results ~= nil then
    status.state, status.reason = "broken", "results.json holds no results"
  else
    status.state = "stopped"
    if type(stopped) == "table" then
      if type(stopped.reason) == "string" then status.reason = stopped.reason end
      status.step, status.epoch = status.step or stopped.step, status.epoch or stopped.epoch
    end
  end
  return status
end

return M
