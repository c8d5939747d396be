--- Runs that start from others: a plan's `start` is the plan of a run whose weights, as they were measured at its end,
--- are those this one begins with. That run has a folder of its own beside this one's, found by its plan's hash like
--- any other, so all that start from it share it.
---
--- The results of a run say which weights it was made from, by their SHA-256. A run that is gone on with after these
--- have changed is refused (train/loop.lua), so what comes out is always of one start.
local checkpoint = require "checkpoint"
local file = require "file"
local folder_of = require "run.folder"
local hash = require "hash"
local json = require "json"
local plan = require "plan"

local M = {}

local format = string.format

local WEIGHTS <const> = "/model.safetensors"

--- The folder of the run of a plan.
---@param out string   # the folder of runs
---@param name string  # the recipe's
---@param sum string   # the plan's hash
---@return string
function M.folder(out, name, sum)
  return format("%s/%s-%s", out, name, sum:sub(1, 8))
end

--- The runs that a job starts from, the nearest first.
---@param job Job
---@return Job[]
function M.chain(job)
  local list = {}
  while job.start do
    job = job.start
    list[#list + 1] = job
  end
  return list
end

--- The results of a run that others start from, when it is complete and its weights are there; else nil.
---@param job Job
---@return table?
function M.results(job)
  return file.exists(job.folder .. WEIGHTS) and folder_of.read(job.folder, job.hash) or nil
end

-- The path and the digest of the weights that a run has ended with, and its results.
local function weights_of(job)
  local path = job.folder .. WEIGHTS
  local results, message, code = json.read(job.folder .. "/results.json")
  if results == nil then return nil, message, code end
  local sum
  sum, message, code = hash.sha256_file(path)
  if not sum then return nil, message, code end
  local said = type(results) == "table" and type(results.weights) == "table" and results.weights.sha256
  if said and said ~= sum then
    return nil, format("%s: SHA-256 %s expected by its results.json, %s found: the weights are damaged or another "
      .. "run's; without its results.json the run is made anew", path, tostring(said):sub(1, 12), sum:sub(1, 12)),
      "format"
  end
  return path, sum, results
end

-- What making these weights has cost, with the runs that they come from.
local function spent(results)
  local metrics, timing = results.metrics, results.timing
  local images = type(metrics) == "table" and type(metrics.images) == "table" and metrics.images.value
  local seconds = type(timing) == "table" and (timing.with_start or timing.seconds)
  return { images = tonumber(images) or 0, seconds = tonumber(seconds) or 0 }
end

---@class RunStart
---@field run string        # the name of the folder of the run that this one started from
---@field plan_hash string
---@field sha256 string     # of its weights

--- Gives a model the weights that the job's start has ended with. Names and shapes must be the same: what differs is
--- raised.
---@param job Job      # with a start
---@param model Model
---@return RunStart start, { images: integer, seconds: number } spent  # on the start and what it started from
function M.load(job, model)
  local path, sum, results = weights_of(job.start)
  if not path then folder_of.must(nil, "start: " .. sum) end
  local ok, report, message = pcall(model.load, model, path)
  if not ok then error("start: " .. tostring(report):gsub("^.-load: ", "", 1), 0) end
  folder_of.must(report, message)
  return { run = select(2, file.split(job.start.folder)), plan_hash = job.start.hash, sha256 = sum }, spent(results)
end

--- What makes the twin of a job's model: one with the weights of the first run of the chain that it starts from. nil
--- when there is no chain, or when the model is that one: the same plan, with these weights to the end.
---@param job Job
---@return (fun(): Model)?
function M.twin(job)
  local chain = M.chain(job)
  local first = chain[#chain]
  if not first then return nil end
  local same = #chain == 1 and job.plan.epochs == 0 and plan.text(job.plan.model) == plan.text(first.plan.model)
  if same then return nil end
  return function()
    local path, sum = weights_of(first)
    if not path then folder_of.must(nil, "twin: " .. sum) end
    return folder_of.must(checkpoint.model(path))
  end
end

--- Whether a job cannot be made, because the one that it starts from was not: it has failed, or was stopped, too.
---@param job Job
---@return boolean
function M.blocks(job)
  local start = job.start
  if not start or start.results then return false end
  if start.failed then
    job.failed = { message = format("the run that it starts from failed: %s", start.failed.message),
                   log = start.failed.log }
  else
    job.stopped = true
  end
  return true
end

--- Gives jobs the jobs that they start from, `start`: of equal plans one, which may be among the jobs.
---@param jobs Job[]
---@param values_of table<table, table>  # as Recipe:make_plans gives it
---@param out string
---@param new fun(base: Recipe, values: table, made: table, folder: string): Job
function M.join(jobs, values_of, out, new)
  local by_hash = {}
  for _, job in ipairs(jobs) do by_hash[job.hash] = by_hash[job.hash] or job end
  local function join(job)
    local made = job.plan.start
    if not made or job.start then return end
    local sum = plan.hash(made)
    local start = by_hash[sum] or new(job.recipe, values_of[made], made, M.folder(out, job.recipe.name, sum))
    by_hash[sum], job.start = start, start
    join(start)
  end
  for _, job in ipairs(jobs) do join(job) end
end

return M
