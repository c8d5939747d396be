--- Jobs: the runs that are to be made, and making those that are not there yet, in this process or in several. A run
--- whose folder is complete, made by this version of the program and with the same data files, is not made again: its
--- results are read. One that was stopped goes on where it was.
local execute = require "run.execute"
local file = require "file"
local folder_of = require "run.folder"
local keepers = require "train.keeper"
local param = require "param"
local plan = require "plan"
local processes = require "run.processes"
local progress = require "progress"
local remake = require "run.remake"
local report = require "report"
local start_of = require "run.start"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

---@class Job
---@field recipe Recipe
---@field values table
---@field plan table
---@field hash string
---@field folder string
---@field label string
---@field kind? string                 # of a start: its label without seeds
---@field cost number                  # beside other jobs
---@field start? Job                   # the run whose weights it begins with
---@field results? table               # once it is complete
---@field reused? boolean              # it was complete before
---@field failed? { message: string, log: string }
---@field stopped? boolean|string      # on its way, after `steps` or by Ctrl-C; what was said then
---@field exit? integer                # the exit code that a stop asks for

-- How long a run may take beside others: epochs, twice as long when the loss also looks at changed images; an attack
-- needs two thirds of a step for each of its own. Only the progress line uses it.
local function cost(made)
  local passes = 1
  plan.walk(made.loss, function(module)
    if module == "perturb" then
      passes = math.max(passes, 2)
    elseif module == "attack" then
      passes = 2 + 2 / 3 * (plan.find_option(plan.find_option(made.loss, "perturb"), "iters") or 1)
    end
  end)
  return math.max(0.1, made.epochs) * passes
end

local function job_of(base, values, made, folder, label)
  return { recipe = base, values = values, plan = made, hash = plan.hash(made), folder = folder, label = label,
           cost = cost(made) }
end

-- "start: base, alpha 0, seed 1": a start's values of the parameters that are not the same in all of them; and the same
-- without seeds.
local function start_label(job, varied)
  local parts, without = { "start: " }, { "start: " }
  for _, name in ipairs(job.recipe:names()) do
    if varied[name] then
      local value = param.show(job.values[name])
      local shown = type(job.values[name]) == "string" and value or name .. " " .. value
      parts[#parts + 1] = shown
      if job.recipe.params[name].kind ~= "seed" then without[#without + 1] = shown end
    end
  end
  local function text_of(list) return list[1] .. concat(list, ", ", 2) end
  return text_of(parts), text_of(without)
end

-- Gives jobs those that they start from, with labels that tell them from the others.
local function add_starts(jobs, values_of, out)
  local listed, all, seen, varied = {}, {}, {}, {}
  start_of.join(jobs, values_of, out, job_of)
  for _, job in ipairs(jobs) do
    listed[job] = true
    all[#all + 1] = job
    table.move(start_of.chain(job), 1, 4, #all + 1, all)
  end
  for _, job in ipairs(all) do
    for name, value in pairs(job.values) do
      local shown = plan.text(value)
      varied[name] = varied[name] or seen[name] ~= nil and seen[name] ~= shown
      seen[name] = shown
    end
  end
  for _, job in ipairs(all) do
    if not listed[job] then job.label, job.kind = start_label(job, varied) end
  end
end

--- The jobs of a recipe with resolved parameters, in folders below `out`; or nil and a message.
---@param base Recipe
---@param points { values: table, label: string }[]
---@param out string
---@return Job[]? jobs, string? message
function M.list(base, points, out)
  local values = {}
  for i, point in ipairs(points) do values[i] = point.values end
  local plans, message, values_of = base:make_plans(values)
  if not plans then return nil, message end
  local jobs = {}
  for i, point in ipairs(points) do
    jobs[i] = job_of(base, point.values, plans[i], nil, point.label)
    jobs[i].folder = start_of.folder(out, base.name, jobs[i].hash)
  end
  add_starts(jobs, values_of, out)
  return jobs
end

--- The job of a recipe with the parameters that texts of the command line give; or nil, message, and "argument" when
--- one of them is wrong.
---@param base Recipe
---@param settings table<string, string>
---@param out string
---@return Job? job, string? message, string? kind
function M.of(base, settings, out)
  local values, message = base:resolve(settings, true)
  if not values then return nil, message, "argument" end
  local jobs
  jobs, message = M.list(base, { { values = values, label = base.name } }, out)
  if not jobs then return nil, message, "format" end
  return jobs[1]
end

--- The job of a run's folder, from what is in it alone.
---@param folder string
---@param options? { allow?: string[] }
---@return Job? job, string? message, string? code
function M.open(folder, options)
  local remade, message, code = remake.plan(folder, options and options.allow)
  if not remade then return nil, message, code end
  local before = file.read(folder .. "/plan.txt")
  if before and before ~= remade.text .. "\n" then
    return nil, folder .. "/plan.txt: the recipe gives another plan now; this folder holds the results of that one",
      "format"
  end
  local above, name = file.split(folder)
  local job = job_of(remade.recipe, remade.values, remade.plan, folder, name)
  add_starts({ job }, remade.values_of, above == "" and "." or above)
  return job
end

-- ---- in this process ----

-- An error that ends everything: the run was stopped and saved, or Ctrl-C came where nothing can be saved.
local function is_stop(reason)
  return reason.exit ~= nil and reason.exit >= 128
end

local function is_interrupt(reason)
  return reason.plain and reason.message:find "interrupted$" ~= nil
end

-- What the progress line says of a run: the epoch, the rate, the loss.
local function words_of(job, state)
  if not state.epoch then return state.note or "" end
  return format("epoch %d/%d  %.0f images/s  %s", state.epoch, job.plan.epochs, state.rate or 0, state.note or "")
end

local function how_long(job, seconds)
  local training = job.results.training
  local note = text.duration(seconds)
  return training.waited and training.steps > 0 and note .. ", " .. require "train".loading(training) or note
end

-- What went wrong as one message, and all that is known of it in the run's log.
local function note_failure(job, reason)
  local message = type(reason) == "table" and reason.message or tostring(reason)
  local trace = type(reason) == "table" and reason.trace or message
  job.failed = { message = message, log = job.folder .. "/log.txt" }
  if not file.make_folder(job.folder) or not file.write(job.failed.log, trace .. "\n") then job.failed.log = nil end
end

local function traced(reason)
  if type(reason) == "table" then return reason end
  reason = tostring(reason)
  return { message = reason, trace = debug.traceback(reason, 2), plain = true }
end

-- Makes one; false when nothing more is to be made.
local function make_one(job, options, tell)
  local started = progress.clock()
  tell.update(job, 0, "")
  local ok, results = xpcall(execute, traced, job, function(share, state)
    tell.update(job, share, words_of(job, state), state.resumed)
  end, { resume = not job.fresh, tensorboard = options.tensorboard, steps = options.steps })
  if ok then
    job.results, job.stopped = results, results == nil
    os.remove(job.folder .. "/log.txt") -- of an earlier failure
  end
  -- The page also tells of a run that ended early.
  if ok or not is_interrupt(results) then report.write(job.folder) end
  if ok then
    tell.ended(job, results and how_long(job, progress.clock() - started))
  elseif is_stop(results) then
    job.stopped, job.exit = results.message, results.exit
    return false
  elseif not options.keep_going or is_interrupt(results) then
    error(results.plain and results.message or results, 0)
  else
    note_failure(job, results)
    tell.ended(job)
  end
  return true
end

local function make_here(work, options, tell)
  for _, job in ipairs(work) do
    if start_of.blocks(job) then tell.ended(job)
    elseif not make_one(job, options, tell) then return end
  end
end

-- ---- all of them ----

-- One progress line over all jobs, and a line as each ends.
local function teller(work, options, say)
  local total, done, shares, running, ended = 0, 0, {}, 0, 0
  for _, job in ipairs(work) do total = total + job.cost end
  local bar = progress.new { total = total, unit = false, quiet = options.quiet or #work == 0 }
  local tell = { bar = bar }
  function tell.update(job, share, words, resumed)
    if options.tell then options.tell(share, words) end
    if not shares[job] then running = running + 1 end
    shares[job] = share
    local sum = done
    for other, part in pairs(shares) do sum = sum + part * other.cost end
    if resumed then bar:go_on(sum) end
    local label = job.label
    if running > 1 then
      label, words = format("%d of %d runs, %d at a time", ended, #work, running), job.label .. ": " .. words
    elseif #work > 1 then
      label = format("%d/%d %s", ended + 1, #work, label)
    end
    bar:update(sum, label, words)
  end
  function tell.ended(job, note)
    if shares[job] then shares[job], running = nil, running - 1 end
    done, ended = done + job.cost, ended + 1
    bar:clear()
    if job.failed then note = "failed: " .. text.tame(job.failed.message, 60)
    elseif job.stopped then note = "stopped" end
    say(format("  %s  %s  %s", text.pad(job.label, job.label_width or 0), job.folder, note))
  end
  return tell
end

---@class MakeOptions
---@field fresh? boolean        # make runs anew that are there; not those that they start from
---@field quiet? boolean        # no progress line
---@field jobs? integer         # processes at a time; 1 is this one
---@field keep_going? boolean   # a run that fails leaves the others alone
---@field allow? string[]       # paths outside the data folders that plans may name
---@field tensorboard? boolean
---@field steps? integer        # stop each after so many steps
---@field tell? fun(share: number, words: string)  # called as a run goes on

-- The jobs to be made, each after the one that it starts from, and the starts that are there.
local function ordered(jobs)
  local work, there, seen = {}, {}, {}
  local visit
  local function need_start(start)
    if seen[start] then return end
    if not start.fresh then start.results = start_of.results(start) end
    if not start.results then return visit(start) end
    seen[start] = true
    there[#there + 1] = start
  end
  function visit(job)
    if seen[job] then return end
    seen[job] = true
    if job.start then need_start(job.start) end
    work[#work + 1] = job
  end
  for _, job in ipairs(jobs) do
    if not job.results then visit(job) end
  end
  return work, there
end

-- Of jobs with one plan the first, by its hash.
local function first_of_each(jobs)
  local first, list = {}, {}
  for _, job in ipairs(jobs) do
    if not first[job.hash] then
      first[job.hash] = job
      list[#list + 1] = job
    end
  end
  return first, list
end

--- What is to be made of jobs, each after the one that it starts from, which is among it unless it is there; and of
--- both what is there. Of jobs with one plan only the first is looked at. Each has `results` then, if it is there.
---@param jobs Job[]
---@param fresh? boolean  # none of the jobs is
---@return Job[] work, Job[] there
function M.missing(jobs, fresh)
  local _, list = first_of_each(jobs)
  for _, job in ipairs(list) do
    job.fresh = fresh
    job.results = not fresh and folder_of.read(job.folder, job.hash) or nil
  end
  local work, there = ordered(list)
  local seen = {}
  for _, job in ipairs(there) do seen[job] = true end
  for _, job in ipairs(list) do
    if job.results and not seen[job] then there[#there + 1] = job end
  end
  return work, there
end

-- Says which jobs are there, and sees to what they leave when a process that made one was killed at its end.
local function say_there(list, width, say)
  for _, job in ipairs(list) do
    job.reused = true
    keepers.tidy(job.folder)
    if not file.exists(job.folder .. "/report.html") then report.write(job.folder) end
    say(format("  %s  %s  was there already", text.pad(job.label, width), job.folder))
  end
end

--- Makes the jobs that are not there already, in order, and before them the runs that they start from. Afterwards each
--- has `results`, or has `failed`, or was stopped. False when some were.
---@param jobs Job[]
---@param options MakeOptions
---@param say fun(line: string)
---@return boolean to_the_end
function M.make(jobs, options, say)
  local first, list = first_of_each(jobs)
  local work, there = M.missing(jobs, options.fresh)
  local width = 0
  for _, several in ipairs { work, there } do
    for _, job in ipairs(several) do width = math.max(width, text.width(job.label)) end
  end
  for _, job in ipairs(work) do job.label_width = width end
  say_there(there, width, say)
  local tell = teller(work, options, say)
  local make = (options.jobs or 1) > 1 and #work > 1 and processes.make or make_here
  local ok, problem = pcall(make, work, options, tell)
  if not ok then
    tell.bar:clear()
    error(problem, 0)
  end
  tell.bar:finish()
  local complete = true
  for _, job in ipairs(jobs) do
    local made = first[job.hash]
    for _, key in ipairs { "results", "failed", "stopped", "exit", "reused" } do job[key] = made[key] end
    complete = complete and (job.results or job.failed) ~= nil
  end
  for _, job in ipairs(list) do
    -- One that waited for its start to the end has nothing yet from which it could be gone on with.
    local waits = job.start and not job.results and not job.failed
    if waits and not folder_of.kind(job.folder) then folder_of.prepare(job) end
  end
  for _, job in ipairs(work) do jobs[1].exit = jobs[1].exit or job.exit end
  return complete
end

return M
