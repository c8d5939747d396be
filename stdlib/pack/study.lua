--- Is what a packed study says what its packed runs give? The study is read in the sandbox, its grid is made anew, and
--- its tables and claims are computed from the runs' metrics.
local file = require "file"
local folder_of = require "run.folder"
local grid_of = require "run.grid"
local json = require "json"
local study = require "study"
local text = require "text"
local world = require "world"

local format, sort, abs, max = string.format, table.sort, math.abs, math.max

-- Statistics of the same numbers may differ in their last digits with another mathematics library.
local CLOSE <const> = 1e-9

local function same(a, b)
  if a == b or a == json.null and b ~= b then return true end
  return type(a) == "number" and type(b) == "number" and abs(a - b) <= CLOSE * max(abs(a), abs(b), 1e-3)
end

-- The first place where something in the pack is not what was computed: its name and both values. What was not put down
-- (a sweep's table of chosen metrics) does not matter.
local function part(said, computed, name)
  if type(said) ~= "table" or said == json.null then
    if same(said, computed) then return nil end
    return name, said, computed
  end
  if type(computed) ~= "table" then return name, "a table", computed end
  local keys = {}
  for key in pairs(said) do keys[#keys + 1] = key end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local place, one, two = part(said[key], computed[key], name .. "." .. tostring(key))
    if place then return place, one, two end
  end
end

local function shown(value) return text.tame(tostring(value), 40) end

-- The study of a pack, as a grid of runs in the pack; or nil, message.
local function grid_in(folder, manifest, grant)
  local this, message = world.load(folder .. "/study.lua", { name = manifest.name:match "^(.+)%-%x+$" or manifest.name,
    recipe = folder .. "/recipe.lua", includes = folder .. "/includes", grant = grant })
  if not this then return nil, message end
  if not study.is_study(this) then return nil, "study.lua: expected a study, got a recipe" end
  local settings = file.exists(folder .. "/settings.json") and json.read(folder .. "/settings.json") or {}
  if type(settings) ~= "table" then return nil, "settings.json: an object expected" end
  local ok, grid, problem = pcall(grid_of.new, this, settings, folder .. "/runs")
  if not ok then return nil, "settings.json: " .. text.tame(tostring(grid)) end
  return grid, problem
end

--- What is wrong with the tables and claims of a packed study, in words; nil when they are what its runs give. What
--- cannot be read gives nil, message.
---@param folder string     # of the open pack
---@param manifest table
---@param grant? string[]
---@return string? problem, string? message
return function(folder, manifest, grant)
  local results, message = json.read(folder .. "/results.json")
  if type(results) ~= "table" or type(results.runs) ~= "table" then
    return nil, message or "results.json: the runs of a study expected"
  end
  local grid
  grid, message = grid_in(folder, manifest, grant)
  if not grid then return nil, message end
  if #grid.jobs ~= #results.runs then
    return format("the study makes %d runs, the pack has %d", #grid.jobs, #results.runs)
  end
  for i, job in ipairs(grid.jobs) do
    local run = results.runs[i]
    if type(run) ~= "table" or run.plan_hash ~= job.hash then
      return format("run %d of the study is not %s", i, shown(type(run) == "table" and run.label))
    end
    local path = type(run.folder) == "string" and folder .. "/runs/" .. select(2, file.split(run.folder))
    local metrics = path and folder_of.metrics(path, (json.read(path .. "/results.json")))
    local place, one, two = part(run.metrics, metrics, "metrics")
    if run.metrics ~= nil and place then
      return format("%s: %s is %s in the study, %s in the run", shown(run.label), place, shown(one), shown(two))
    end
    grid.expansion.points[i].metrics = metrics
  end
  local found = grid.study:evaluate(grid.expansion)
  local tables = {}
  for i, one in ipairs(found.tables) do tables[i] = { by = one.by, rows = folder_of.plain(one.data) } end
  for name, list in pairs { tables = tables, claims = folder_of.plain(found.claims) } do
    local said = results[name]
    if type(said) ~= "table" or #said ~= #list then return format("the study's %s are not those of its runs", name) end
    local place, one, two = part(said, list, name)
    if place then return format("%s is %s in the study, %s by its runs", place, shown(one), shown(two)) end
  end
end
