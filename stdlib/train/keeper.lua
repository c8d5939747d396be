--- What a training leaves in its folder, so that it can go on with the same bits:
---   metrics.jsonl      rows of numbers that follow from what is trained alone: of steps, epochs, probes
---   timing.jsonl       what the clock said, a row for each epoch
---   checkpoint-N.*     the last two checkpoints (checkpoint.lua), which count the bytes of the two files above
---   best/              the weights that did best on the validation part
---   probes/            results of the first probes, while others are measured, and what these have so far
---   tensorboard/       event files, on request
---   stopped.json       why and where the last attempt ended early
---   lock               held by the process that is at work
--- Rows are on the disk before the checkpoint that counts them; whoever goes on cuts off what came after it.
---@package
local checkpoint = require "checkpoint"
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local probe_results = require "train.probe_results"
local probe_stores = require "train.probe_store"
local progress = require "progress"
local stops = require "train.stop"
local tensorboard = require "tensorboard"
local text = require "text"

local M = {}

local format, stop_of = string.format, stops.new

local SECONDS = 60  -- between two checkpoints within an epoch
local WITHIN = 50   -- or so many times as long as one takes to write, if that is longer
local AT_END = 20   -- the same at an epoch's end: writing takes a twentieth of the time at most

local function must(ok, message)
  if ok then return ok end
  -- The second Ctrl-C, while something was written.
  if message:find "interrupted$" then error(stop_of("interrupted", { exit = stops.INTERRUPTED }), 0) end
  error(stop_of(message), 0)
end

-- ---- the folder ----

---@class Keeper
---@field folder string
---@field last? { path: string, step: integer }  # the last good checkpoint
local Keeper = {}
Keeper.__index = Keeper
Keeper.__name = "Keeper"

-- What a training writes, beside checkpoints.
local written = { "metrics.jsonl", "timing.jsonl", "stopped.json", "best", "probes", "tensorboard" }

local function is_checkpoint(name) return name:find "^checkpoint%-%d+%." ~= nil end

local function remove_checkpoints(folder)
  for name in lfs.dir(folder) do
    if is_checkpoint(name) then must(os.remove(folder .. "/" .. name)) end
  end
end

-- Was a checkpoint ever completed there?
local function has_checkpoint(folder)
  for name in lfs.dir(folder) do
    if name:find "^checkpoint%-%d+%.json$" then return true end
  end
  return false
end

-- Removes what a killed process had half-written, below names of its own.
local function remove_parts(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return end
  for name in lfs.dir(folder) do
    if name:find "%.part%-%d+%-%d+$" then os.remove(folder .. "/" .. name) end
  end
end

--- Does the folder hold what a training left?
---@param folder string
---@return boolean
function M.begun(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return false end
  for name in lfs.dir(folder) do
    if is_checkpoint(name) or name == "metrics.jsonl" then return true end
  end
  return false
end

--- Takes a folder, which is made, for a training of this process. `resume` says in words how it can go on after it was
--- stopped, `anew` how it can be begun again; steps and seconds say how far apart checkpoints are.
---@param folder string
---@param options { resume: string, anew: string, steps?: integer, seconds?: number, tensorboard?: boolean }
---@return Keeper? keeper, string? message, string? code  # code "busy": another process has it
function M.open(folder, options)
  local ok, message, code = file.make_folder(folder)
  if not ok then return nil, message, code end
  local lock
  lock, message, code = host.lock(folder .. "/lock")
  if code == "busy" then
    return nil, format("%s is in use: %s", folder, message:match "lock: (.*)$"), code
  elseif not lock then
    return nil, message, code
  end
  for _, name in ipairs { "", "/best", "/probes", "/tables", "/figures", "/includes" } do
    remove_parts(folder .. name)
  end
  return setmetatable({ folder = folder, lock = lock, resume = options.resume, anew = options.anew,
                        steps = options.steps, seconds = options.seconds or SECONDS, cost = 0, bytes = {},
                        saved = progress.clock(), tensorboard = options.tensorboard }, Keeper)
end

--- Lets another process have the folder.
function Keeper:close() self.lock:close() end
Keeper.__close = Keeper.close

--- Removes what an earlier training left; of a folder that holds none nothing.
function Keeper:clear()
  if not M.begun(self.folder) then return end
  for _, name in ipairs(written) do must(file.remove_folder(self.folder .. "/" .. name)) end
  remove_checkpoints(self.folder)
end

--- Removes what a training that is complete needs no more, if it is still there: its checkpoints, and what was
--- half-written when it was killed after its last result.
---@param folder string
function M.tidy(folder)
  remove_checkpoints(folder)
  remove_parts(folder)
  file.remove_folder(folder .. "/probes")
  os.remove(folder .. "/stopped.json")
end

-- ---- rows ----

local function append(self, name, row)
  local path, line = self.folder .. "/" .. name, json.encode(row) .. "\n"
  local size, message = host.append(path, line)
  must(size, message)
  local expected = (self.bytes[name] or 0) + #line
  must(size == expected, format("%s: %s bytes expected, %s found: another program writes to it", path,
                                text.count(expected), text.count(size)))
  self.bytes[name] = expected
  if not self.tensorboard then return end
  local from = self.resumed and self.resumed + 1
  self.events = self.events or must(tensorboard.open(self.folder .. "/tensorboard", { from = from }))
  must(self.events:row(row))
end

--- Adds a row to metrics.jsonl.
---@param row table
function Keeper:row(row) append(self, "metrics.jsonl", row) end

--- Adds a row to timing.jsonl.
---@param row table
function Keeper:timing(row) append(self, "timing.jsonl", row) end

--- The rows of metrics.jsonl of a kind.
---@param kind string
---@return table[]
function Keeper:rows(kind)
  local rows = {}
  local path, wanted = self.folder .. "/metrics.jsonl", json.encode { kind = kind }:sub(2, -2)
  for line in must(file.read(path)):gmatch "[^\n]+" do
    -- Most rows of a long training are of steps; those of other kinds are not read.
    if line:find(wanted, 1, true) then
      local row = must(json.decode(line, path))
      if row.kind == kind then rows[#rows + 1] = row end
    end
  end
  return rows
end

-- ---- checkpoints ----

--- Is it time for a checkpoint? At an epoch's end, unless one was just written; within an epoch after some time.
---@param step integer
---@param at_end boolean
---@return boolean
function Keeper:due(step, at_end)
  if self.steps and step % self.steps == 0 then return true end
  local since = progress.clock() - self.saved
  if at_end then return self.last == nil or since >= AT_END * self.cost end
  return since >= math.max(self.seconds, WITHIN * self.cost)
end

--- Writes a checkpoint: of the model, the optimiser, the average, and `state`, which is plain data.
---@param parts { model: Model, optimizer: Optimizer, average?: Average }
---@param state { step: integer, epoch: integer }
function Keeper:save(parts, state)
  local started = progress.clock()
  state.bytes = {}
  for _, name in ipairs { "metrics.jsonl", "timing.jsonl" } do
    must(host.append(self.folder .. "/" .. name, "", true))
    state.bytes[name] = self.bytes[name] or 0
  end
  local path = must(checkpoint.save(self.folder, { model = parts.model, optimizer = parts.optimizer,
                                                   average = parts.average, step = state.step, epoch = state.epoch,
                                                   extra = state }))
  self.last, self.saved = { path = path, step = state.step }, progress.clock()
  self.cost = self.saved - started
end

-- What follows the checkpoint's rows goes.
local function cut(self, name, bytes)
  local path = self.folder .. "/" .. name
  local size = lfs.attributes(path, "size") or 0
  must(size >= bytes, format("%s: %s bytes expected by the last checkpoint, %s found", path, text.count(bytes),
                             text.count(size)))
  if size > bytes then must(host.truncate(path, bytes)) end
  self.bytes[name] = bytes
end

-- A kill leaves half a checkpoint, which is as it should be; a damaged one is worth a word.
local function tell_damage(found)
  for _, problem in ipairs(found.refused) do
    if not problem:find "not completed$" then
      io.stderr:write("penumbra: ", problem, "\n  going on from ", found.path, "\n")
    end
  end
end

--- Reads the last good checkpoint into the model, the optimiser and the average. Where there is none the training
--- begins anew.
---@param parts { model: Model, optimizer: Optimizer, average?: Average }
---@return table? state  # as it was given to `save`
function Keeper:restore(parts)
  if not has_checkpoint(self.folder) then
    self:clear() -- rows, and perhaps half of the first checkpoint
    return nil
  end
  local found, message = checkpoint.load(self.folder, { model = parts.model, optimizer = parts.optimizer,
                                                        average = parts.average, quiet = true })
  if not found then error(stop_of(format("%s; %s", message, self.anew), { refused = true }), 0) end
  tell_damage(found)
  local state = found.extra
  if type(state) ~= "table" or type(state.bytes) ~= "table" then
    error(stop_of(found.path .. ": a checkpoint of a script's own, not of a training"), 0)
  end
  self.last, self.resumed = { path = found.path, step = found.step }, found.step
  for _, name in ipairs { "metrics.jsonl", "timing.jsonl" } do cut(self, name, state.bytes[name]) end
  os.remove(self.folder .. "/stopped.json")
  return state
end

--- Keeps the model as it is as the best so far.
---@param model Model
---@param best { epoch: integer, step: integer }
function Keeper:save_best(model, best)
  must(checkpoint.save(self.folder .. "/best", { model = model, step = best.step, epoch = best.epoch, keep = 1 }))
end

--- The way back.
---@param model Model
---@param best { epoch: integer, step: integer }
function Keeper:load_best(model, best)
  local found = must(checkpoint.load(self.folder .. "/best", { model = model, quiet = true }))
  must(found.step == best.step, format("%s: it is of step %d, the best one was of step %d", found.path, found.step,
                                       best.step))
end

-- ---- results of probes ----

--- Keeps the result of a probe, told by its number and by `of`, which says of what it is one.
---@param number integer
---@param of table<string, string|integer>
---@param result ProbeResult
function Keeper:keep_result(number, of, result)
  local kept_text = probe_results.text(of, result)
  if not kept_text then return end
  must(file.make_folder(self.folder .. "/probes"))
  must(file.write(format("%s/probes/%d.json", self.folder, number), kept_text))
end

--- The way back; nil where there is none.
---@param number integer
---@param of table<string, string|integer>
---@return ProbeResult?
function Keeper:kept_result(number, of)
  local kept_text = file.read(format("%s/probes/%d.json", self.folder, number))
  return kept_text and probe_results.result(of, kept_text)
end

--- What such a probe keeps while it measures.
---@param number integer
---@param of table<string, string|integer>
---@return ProbeStore
function Keeper:store(number, of)
  return probe_stores.open(format("%s/probes/%d.jsonl", self.folder, number), of)
end

--- Forgets results and stores.
function Keeper:forget_results() must(file.remove_folder(self.folder .. "/probes")) end

-- ---- the end ----

--- What went wrong, as an error for the user: with where the last good checkpoint is and how to go on from it. Writes
--- it down in the folder, too.
---@param problem any
---@param at? { step: integer, epoch: integer }
---@return any
function Keeper:explain(problem, at)
  local stop = problem
  if type(problem) == "string" then
    stop = problem:find "interrupted$" and stop_of("interrupted", { exit = stops.INTERRUPTED }) or stop_of(problem)
  elseif type(problem) == "table" and problem.world and not stops.is(problem) then
    stop = stop_of(problem.message)
  elseif not stops.is(problem) or stop.noted then
    return problem
  end
  -- On a full disk this fails as well.
  if lfs.attributes(self.folder, "mode") == "directory" then
    file.write(self.folder .. "/stopped.json", json.encode({
      reason = stop.why, step = at and at.step, epoch = at and at.epoch, written = os.date "!%Y-%m-%dT%H:%M:%SZ",
    }, { pretty = true }) .. "\n")
  end
  stop.noted = true
  local last = self.last and file.exists(self.last.path) and self.last
  if type(problem) == "string" and not last then return problem end -- an error like any other, with its place
  if last and not stop.complete then
    stop.message = format("%s\n  the last good checkpoint is %s (step %d); resume with: %s", stop.message, last.path,
                          last.step, self.resume)
  end
  return stop
end

return M
