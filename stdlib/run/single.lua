--- The run of a recipe as a command makes it: says what it is, makes it, says what came out.
local file = require "file"
local jobs_of = require "run.jobs"
local print_of = require "run.print"
local show = require "robustness.show"
local spec = require "spec"

local M = {}

-- The tables of the probes, and all metrics.
local function say_results(job, say)
  say("")
  for _, name in ipairs(spec.names(job.plan.probes)) do
    local robustness = job.results.robustness and job.results.robustness[name]
    local shown = robustness and show.brief(robustness) or file.read(job.folder .. "/tables/" .. name .. ".txt")
    if shown and shown:find "%S" then say((shown:gsub("\n*$", "\n"))) end
  end
  local training = job.results.training
  if training and training.best then say(require "train".choice(training)) end
  say(print_of.metrics_table(job.results.metrics))
  if file.exists(job.folder .. "/report.html") then say(job.folder .. "/report.html") end
end

--- Makes the run unless it is there. Gives the exit code.
---@param job Job
---@param options MakeOptions
---@param say fun(line: string)
---@return integer
function M.make(job, options, say)
  say(print_of.about(job.recipe, job.values))
  say("")
  if not jobs_of.make({ job }, options, say) then
    say(type(job.stopped) == "string" and job.stopped or "to go on: penumbra resume " .. job.folder)
    return job.exit or 0
  end
  say_results(job, say)
  return 0
end

return M
