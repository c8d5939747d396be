--- Jobs: the runs that are to be made, and making those that are not there yet. A run whose folder is complete, made by
--- this version of the program and with the same data files, is not made again: its results are read.
local execute = require "run.execute"
local folder = require "run.folder"
local plan = require "plan"
local progress = require "progress"
local text = require "text"

local M = {}

local format = string.format

---@class Job
---@field recipe Recipe
---@field values table
---@field plan table
---@field hash string
---@field folder string
---@field label string
---@field cost number

-- How long a run may take beside others: epochs, twice as long when the loss also looks at changed images. Only the
-- progress line uses it.
local function cost(made)
  local passes = 1
  plan.walk(made.loss, function(module)
    if module == "perturb" then passes = 2 end
  end)
  return math.max(0.1, made.epochs) * passes
end

--- The job of a recipe with resolved parameters, in a folder below `out`; or nil and a message.
---@param base Recipe
---@param values table
---@param out string
---@param label string
---@return Job? job, string? message
function M.new(base, values, out, label)
  local made, message = base:make_plan(values)
  if not made then return nil, message end
  local hash = plan.hash(made)
  return { recipe = base, values = values, plan = made, hash = hash, label = label, cost = cost(made),
           folder = format("%s/%s-%s", out, base.name, hash:sub(1, 8)) }
end

--- Makes the jobs that are not there already, in order, with one progress line over all of them.
---@param jobs Job[]
---@param options { fresh?: boolean, quiet?: boolean }
---@param say fun(line: string)
function M.make(jobs, options, say)
  local total, todo = 0, 0
  for _, job in ipairs(jobs) do
    job.results = not options.fresh and folder.read(job.folder, job.hash) or nil
    job.reused = job.results ~= nil
    if not job.reused then
      total, todo = total + job.cost, todo + 1
    end
  end
  local bar = progress.new { total = total, unit = false, quiet = options.quiet or todo == 0 }
  local before, made = 0, 0
  for _, job in ipairs(jobs) do
    local note
    if job.reused then
      note = "was there already"
    else
      made = made + 1
      local label = todo > 1 and format("%d/%d %s", made, todo, job.label) or job.label
      local started = progress.clock()
      bar:update(before, label)
      local ok, results = pcall(execute, job, function(share, state)
        local words = state.note or ""
        if state.epoch then
          local rate = state.images / math.max(1e-9, progress.clock() - started)
          words = format("epoch %d/%d  %.0f images/s  %s", state.epoch, job.plan.epochs, rate, words)
        end
        bar:update(before + share * job.cost, label, words)
      end)
      if not ok then
        bar:clear()
        error(results, 0)
      end
      job.results = folder.must(results, job.folder .. "/results.json: cannot be read back", "io")
      before = before + job.cost
      note = text.duration(progress.clock() - started)
      local training = job.results.training
      if training.waited then note = note .. ", " .. require "train".loading(training) end
    end
    bar:clear()
    say(format("  %s  %s  %s", text.pad(job.label, job.label_width or 0), text.pad(job.folder, 0), note))
  end
  bar:finish()
end

return M
