--- What a probe has measured so far, for one that takes long: plain tables under names of its own, kept in the run's
--- folder until that is complete. A probe that is killed and measures again finds them. A file has a line that says
--- what it is of, and one for each name, at its end as it is set.
---@package
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local probe_results = require "train.probe_results"

local M = {}

--- Plain tables by name.
---@class ProbeStore
---@field path string
---@field values table<string, table>
local Store = {}
Store.__index = Store
Store.__name = "ProbeStore"

--- What was set under a name; nil for nothing.
---@param key string
---@return table?
function Store:get(key) return self.values[key] end

--- Keeps a table of plain data, Intervals among it, under a name.
---@param key string
---@param value table
function Store:set(key, value)
  if not self.begun then
    assert(host.append(self.path, json.encode(self.of) .. "\n"))
    self.begun = true
  end
  assert(host.append(self.path, json.encode { key = key, value = probe_results.plain(value) } .. "\n"))
  self.values[key] = value
end

-- Whether a line says that the file is of the same.
local function is_of(line, of)
  local said = json.decode(line)
  if type(said) ~= "table" then return false end
  for key, value in pairs(of) do
    if said[key] ~= value then return false end
  end
  return true
end

-- Reads the whole lines of a file, and cuts off the rest, which a killed process has left.
local function read(self, content)
  local whole = content:match "^.*\n" or ""
  local first, rest = whole:match "^([^\n]*)\n(.*)$"
  if not first or not is_of(first, self.of) then
    assert(os.remove(self.path))
    return
  end
  if #whole < #content then assert(host.truncate(self.path, #whole)) end
  self.begun = true
  for line in rest:gmatch "[^\n]+" do
    local row = json.decode(line)
    if type(row) == "table" and type(row.key) == "string" then self.values[row.key] = probe_results.back(row.value) end
  end
end

--- The store in a file, of what `of` says: of anything else nothing is taken from it. Its folder is made.
---@param path string
---@param of table<string, string|integer>
---@return ProbeStore
function M.open(path, of)
  local self = setmetatable({ path = path, of = of, values = {}, begun = false }, Store)
  assert(file.make_folder((file.split(path))))
  if lfs.attributes(path, "mode") then read(self, assert(file.read(path))) end
  return self
end

return M
