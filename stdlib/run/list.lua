--- What is in a folder of runs: each run, study and script's folder with its state, parameters and results. Folders are
--- read as they are: what is damaged is told, and is never an error.
local file = require "file"
local folder_of = require "run.folder"
local json = require "json"
local lfs = require "lfs"
local param = require "param"
local print_of = require "run.print"
local spec = require "spec"
local text = require "text"

local M = {}

local format, sort, concat = string.format, table.sort, table.concat

---@class RunListed
---@field name string
---@field path string
---@field kind "run"|"study"|"script"|"unknown"
---@field title? string
---@field recipe? string
---@field status "complete"|"stopped"|"running"|"broken"|"script"
---@field step? integer          # at which it stopped
---@field epoch? integer
---@field reason? string         # why it stopped
---@field problem? string        # what is wrong with a broken one
---@field params table<string, any>
---@field varied string[]        # names of the parameters that tell it from the others, or from the defaults
---@field metrics table<string, Interval>
---@field start? string          # the name of the run whose weights it began with
---@field claims? { holds: integer, of: integer }   # of a study
---@field runs? integer          # of a study
---@field failed? integer        # of these
---@field written string         # when it began, ISO 8601 in UTC
---@field bytes integer          # on the disk

local function is_file(path) return lfs.attributes(path, "mode") == "file" end

local function kind_of(path)
  local kind = folder_of.kind(path)
  if kind then return kind end
  for name in lfs.dir(path) do
    if name == "metrics.jsonl" or name:find "^checkpoint%-%d+%.json$" then return "script" end
  end
  return "unknown"
end

local function bytes_below(path, depth)
  local sum = 0
  for name in lfs.dir(path) do
    local about = name ~= "." and name ~= ".." and lfs.symlinkattributes(path .. "/" .. name)
    if about and about.mode == "file" then sum = sum + about.size end
    if about and about.mode == "directory" and depth < 32 then
      sum = sum + bytes_below(path .. "/" .. name, depth + 1)
    end
  end
  return sum
end

-- An object in a file; nil when there is none, and what is wrong when it is damaged.
local function object(path)
  if not file.exists(path) then return nil end
  local value, message = json.read(path)
  if type(value) == "table" then return value end
  return nil, message or path .. ": an object expected"
end

local function text_field(from, name)
  local value = type(from) == "table" and from[name]
  return type(value) == "string" and value or nil
end

-- The parameters whose values are not their defaults.
local function changed(about, params)
  local list = {}
  for _, this in ipairs(type(about) == "table" and type(about.params) == "table" and about.params or {}) do
    local name = type(this) == "table" and this.name
    if type(name) == "string" and params[name] ~= nil and this.default ~= json.null
      and json.encode(params[name]) ~= json.encode(this.default) then
      list[name] = true
    end
  end
  return list
end

local function count_claims(results)
  local list = type(results.claims) == "table" and results.claims or {}
  local holds = 0
  for _, claim in ipairs(list) do
    if type(claim) == "table" and claim.verdict == "holds" then holds = holds + 1 end
  end
  return #list > 0 and { holds = holds, of = #list } or nil
end

local function fill_study(this, results)
  if not results then return end
  this.claims = count_claims(results)
  this.runs, this.failed = 0, 0
  for _, run in ipairs(type(results.runs) == "table" and results.runs or {}) do
    this.runs = this.runs + 1
    if type(run) == "table" and run.failed then this.failed = this.failed + 1 end
  end
end

-- Reads what the folder says of itself; gives what is wrong with it.
local function fill(this)
  local path = this.path
  local results, problem = object(path .. "/results.json")
  local about, wrong = object(path .. "/about.json")
  local environment, bad = object(path .. "/environment.json")
  problem = problem or wrong or bad
  this.title = text_field(about, "title") or text_field(results, "title")
  this.recipe = text_field(about, "name") or text_field(results, "recipe")
  this.written = text_field(environment, "written") or this.written
  if this.kind == "study" then
    fill_study(this, results)
    return problem, about, results ~= nil
  end
  local params
  params, wrong = object(path .. "/params.json")
  this.params, problem = params or {}, problem or wrong
  if results then
    this.metrics = folder_of.metrics(nil, results)
    if not this.metrics then problem = problem or path .. "/results.json: its metrics are damaged" end
    this.metrics = this.metrics or {}
    this.start = text_field(results.start, "run")
  end
  if this.kind == "run" then
    for _, name in ipairs { "recipe.lua", "params.json", "plan.txt" } do
      if not is_file(path .. "/" .. name) then problem = problem or format("%s/%s: is missing", path, name) end
    end
  end
  return problem, about, results ~= nil
end

--- One folder of runs/, read. What is damaged has the status "broken" and a `problem`.
---@param path string
---@return RunListed
function M.read(path)
  local _, name = file.split(path)
  local this = { name = name, path = path, kind = "unknown", params = {}, metrics = {}, varied = {}, bytes = 0,
                 written = os.date("!%Y-%m-%dT%H:%M:%SZ", lfs.attributes(path, "modification") or 0) }
  local ok, problem, about, complete = pcall(function()
    this.kind = kind_of(path)
    this.bytes = bytes_below(path, 0)
    if this.kind == "unknown" then return path .. ": no run's files are in it" end
    return fill(this)
  end)
  if ok then this.changed = changed(about, this.params) end
  if problem then
    this.status, this.problem = "broken", tostring(problem)
  elseif this.kind == "run" then
    local status = folder_of.status(path)
    this.status, this.step, this.epoch, this.reason = status.state, status.step, status.epoch, status.reason
    if status.state == "broken" then this.problem = status.reason end
  else
    this.status = complete and "complete" or this.kind == "script" and "script" or "stopped"
  end
  return this
end

-- The parameters that are not the same in all runs of a recipe.
local function mark_varied(list)
  local seen, varied = {}, {}
  for _, this in ipairs(list) do
    local of = this.recipe or ""
    seen[of], varied[of] = seen[of] or {}, varied[of] or {}
    for name, value in pairs(this.params) do
      local shown = param.show(value)
      if seen[of][name] ~= nil and seen[of][name] ~= shown then varied[of][name] = true end
      seen[of][name] = shown
    end
  end
  for _, this in ipairs(list) do
    for _, name in ipairs(spec.names(this.params)) do
      if varied[this.recipe or ""][name] or this.changed and this.changed[name] then
        this.varied[#this.varied + 1] = name
      end
    end
    this.changed = nil
  end
end

--- The folders of runs below `out` whose names hold `pattern` (plain text, or with * for anything), the oldest first.
--- Nothing there is an empty list; a folder that cannot be read gives nil, message, code.
---
--- Example:
---     local list = require "run.list"
---     print(#list.all "no-such-folder")             --> 0
---@param out string
---@param pattern? string
---@return RunListed[]? list, string? message, string? code
function M.all(out, pattern)
  local mode = lfs.attributes(out, "mode")
  if not mode then return {} end
  if mode ~= "directory" then return nil, out .. ": a folder expected, found a " .. mode, "io" end
  local fine, iterate, state = pcall(lfs.dir, out)
  if not fine then return nil, out .. ": cannot be read", "io" end
  local wanted = pattern and pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
  local list = {}
  for name in iterate, state do
    if name:sub(1, 1) ~= "." and (not wanted or name:find(wanted))
      and lfs.attributes(out .. "/" .. name, "mode") == "directory" then
      list[#list + 1] = M.read(out .. "/" .. name)
    end
  end
  sort(list, function(a, b) return a.written < b.written or a.written == b.written and a.name < b.name end)
  mark_varied(list)
  return list
end

-- ---- words ----

--- "complete", "stopped at step 120", "running", "broken".
---@param this RunListed
---@return string
function M.status(this)
  if this.status == "stopped" and this.step then return "stopped at step " .. this.step end
  return this.status
end

--- "alpha=0.5 seed=3": the parameters that tell a run from the others.
---@param this RunListed
---@return string
function M.parameters(this)
  local parts = {}
  for i, name in ipairs(this.varied) do parts[i] = text.tame(name .. "=" .. param.show(this.params[name]), 40) end
  return concat(parts, " ")
end

--- A result with its interval and unit: "96.0 ± 0.4 %".
---
--- Example:
---     local stats = require "stats"
---     print(require "run.list".shown(stats.new { value = 96.04, low = 95.6, high = 96.4, unit = "%" }))
---     --> 96.04 ± 0.40 %
---@param interval Interval
---@return string
function M.shown(interval)
  local value = tostring(interval)
  return text.tame(interval.unit and value .. " " .. interval.unit or value, 60)
end

-- Accuracies first, then distances; counts and times are no results.
local function weight(name)
  if name == "accuracy" or name == "top1" then return 0 end
  if name:find "accuracy" or name:find "robust" then return 1 end
  return name:find "^ds" and 2 or 3
end

--- The key results with their intervals: "accuracy 96.0 ± 0.4 %, ds 0.31 ± 0.02"; of a study its claims.
---@param this RunListed
---@param count? integer  # at most so many, 2
---@return string
function M.results(this, count)
  if this.problem or this.reason then return text.tame(this.problem or this.reason, 100) end
  if this.kind == "study" then
    if not this.runs then return "" end
    local runs = text.plural(this.runs, "run")
    if this.failed > 0 then runs = format("%s, %d failed", runs, this.failed) end
    return this.claims and format("%s, %d of %d claims hold", runs, this.claims.holds, this.claims.of) or runs
  end
  local names = {}
  for _, name in ipairs(print_of.metric_names(this.metrics)) do
    local interval = this.metrics[name]
    if interval.method ~= "clock" and interval.method ~= "count" then names[#names + 1] = name end
  end
  sort(names, function(a, b)
    local x, y = weight(a), weight(b)
    return x < y or x == y and a < b
  end)
  local parts = {}
  for i = 1, math.min(count or 2, #names) do
    local interval = this.metrics[names[i]]
    parts[i] = text.tame(names[i], 30) .. " " .. M.shown(interval)
  end
  return concat(parts, ", ")
end

return M
