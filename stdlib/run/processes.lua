--- Runs made by processes of their own, several at a time: each is `penumbra resume FOLDER --tell` on a folder that was
--- prepared here, and tells how far it is in lines of JSON:
---   {"share":0.25,"note":"epoch 1/3 ..."}      as it goes
---   {"failed":"loss is NaN at step 7 ..."}     before it ends with exit code 1
--- What else it says, on standard error, is in the folder's log.txt. A process that dies costs the others nothing.
local file = require "file"
local folder_of = require "run.folder"
local host = require "host"
local json = require "json"
local nn = require "nn"
local progress = require "progress"
local start_of = require "run.start"
local text = require "text"

local M = {}

local format = string.format

local LOOK = 0.2 -- seconds between two looks for Ctrl-C

-- The words of a child's command line; the first place is that of the program's name, and ours.
local function command_line(job, options, threads)
  local words = { "--threads", tostring(threads), "resume", job.folder, "--tell" }
  local function add(...) table.move({ ... }, 1, select("#", ...), #words + 1, words) end
  if options.steps then add("--steps", tostring(options.steps)) end
  if options.tensorboard then add "--tensorboard" end
  for _, path in ipairs(options.allow or {}) do add("--allow", path) end
  return table.move(words, 1, #words, 2, {})
end

local function spawn(job, options, threads)
  folder_of.prepare(job, { fresh = job.fresh })
  local process = folder_of.must(host.spawn(command_line(job, options, threads), { stdin = "null", stdout = "pipe",
    stderr = job.folder .. "/log.txt", group = true }))
  return { job = job, process = process, started = progress.clock(), unread = "" }
end

-- The last line of a log, for a process that died without a word.
local function last_words(path)
  local log = file.read(path) or ""
  return log:match "([^\n]*%S[^\n]*)%s*$"
end

local function finish(child, tell)
  local job, ended = child.job, child.process:wait()
  local log = job.folder .. "/log.txt"
  job.results = ended.code == 0 and folder_of.read(job.folder, job.hash) or nil
  if not job.results and (ended.code == 130 or child.told_to_stop) then
    job.stopped, job.exit = true, child.told_to_stop and 128 + child.told_to_stop or nil
    if not child.told_to_stop then tell.ended(job) end -- it has made its steps
    return
  end
  if not job.results then
    local how = ended.signal and format("killed by signal %d", ended.signal) or format("exit code %d", ended.code)
    local words = child.failed or last_words(log)
    job.failed = { message = words and (ended.signal and how .. ": " .. words or words) or how, log = log }
  end
  if (file.read(log) or "") == "" then os.remove(log) end
  tell.ended(job, job.results and text.duration(progress.clock() - child.started))
end

-- Takes what a child said; false at its end.
local function hear(child, tell)
  local bytes = child.process:read(0)
  if bytes == nil then return true end
  if bytes == "" then return false end
  child.unread = child.unread .. bytes
  for line in child.unread:gmatch "(.-)\n" do
    local row = json.decode(line)
    if type(row) == "table" then
      child.failed = type(row.failed) == "string" and row.failed or child.failed
      if type(row.share) == "number" then tell.update(child.job, row.share, tostring(row.note or "")) end
    end
  end
  child.unread = child.unread:match "[^\n]*$"
  return true
end

-- Takes the first job out of the list that need not wait for the run it starts from; nil when all must.
local function take_ready(waiting)
  for i, job in ipairs(waiting) do
    local start = job.start
    if not start or start.results or start.failed or start.stopped then return table.remove(waiting, i) end
  end
end

-- Begins a job in a process of its own, if it can be begun.
local function begin(job, options, tell)
  if start_of.blocks(job) then
    tell.ended(job)
    return nil
  end
  local ok, child = pcall(spawn, job, options, math.max(1, nn.threads() // options.jobs))
  if ok then
    tell.update(job, 0, "")
    return child
  elseif type(child) ~= "table" or not child.message then
    error(child, 0)
  end
  job.failed = { message = child.message }
  tell.ended(job)
end

local function loop(work, options, tell)
  local running, waiting, stopping = {}, table.move(work, 1, #work, 1, {}), false
  while #running > 0 or #waiting > 0 and not stopping do
    while #running < options.jobs and not stopping do
      local job = take_ready(waiting)
      if not job then break end
      running[#running + 1] = begin(job, options, tell)
    end
    local processes = {}
    for i, child in ipairs(running) do processes[i] = child.process end
    local process = #processes > 0 and host.wait_any(processes, LOOK)
    for i, child in ipairs(running) do
      if child.process == process and not hear(child, tell) then
        table.remove(running, i)
        finish(child, tell)
        break
      end
    end
    local signal = not stopping and host.interrupted()
    if signal then
      stopping = true
      for _, child in ipairs(running) do
        child.told_to_stop = signal
        child.process:kill "int"
      end
    end
  end
end

--- Makes the jobs, options.jobs at a time. Ctrl-C lets each finish its step and save; the second ends them at once.
---@param work Job[]
---@param options MakeOptions
---@param tell { update: fun(job: Job, share: number, words: string), ended: fun(job: Job, note?: string) }
function M.make(work, options, tell)
  host.defer_interrupts(true)
  local ok, problem = pcall(loop, work, options, tell)
  host.defer_interrupts(false)
  if not ok then error(problem, 0) end
end

return M
