--- Results of probes as text, and back: plain data, Intervals, numbers that are none. A run that is killed between two
--- probes does not measure the first again.
local json = require "json"
local stats = require "stats"

local M = {}

local MARK <const> = "!" -- the key of what JSON has no form for

local Result = { __name = "ProbeResult", __tostring = function(self) return self:text() end }

--- A value as JSON can hold it, so that it comes back as it was; raises for what cannot.
---@param value any
---@return any
local function plain(value)
  local kind = type(value)
  if kind == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    return { [MARK] = value ~= value and "nan" or value > 0 and "inf" or "-inf" }
  end
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  if kind ~= "table" then error(kind) end
  local interval, out = stats.is_interval(value), {}
  if getmetatable(value) and not interval then error("a table of a kind of its own") end
  for key, element in pairs(value) do out[key] = plain(element) end
  if interval then return { [MARK] = "interval", fields = out } end
  return out
end

--- The way back.
---@param value any
---@return any
local function back(value)
  if type(value) ~= "table" then return value end
  local mark = value[MARK]
  if mark == "nan" then return 0 / 0 end
  if mark == "inf" or mark == "-inf" then return mark == "inf" and math.huge or -math.huge end
  local out = {}
  for key, element in pairs(mark and value.fields or value) do out[key] = back(element) end
  return mark and stats.new(out) or out
end

M.plain, M.back = plain, back

--- The text of a result, under what it is a result of; nil for one that holds more than data.
---@param of table<string, string|integer>
---@param result ProbeResult
---@return string?
function M.text(of, result)
  local fields = {}
  for key, value in pairs(result) do
    if key ~= "text" then fields[key] = value end
  end
  local ok, out = pcall(function()
    return json.encode { of = of, shown = tostring(result), fields = plain(fields) }
  end)
  return ok and out or nil
end

--- The result in a text, if it is one of the same; else nil.
---@param of table<string, string|integer>
---@param text string
---@return ProbeResult?
function M.result(of, text)
  local kept = json.decode(text)
  if type(kept) ~= "table" or type(kept.of) ~= "table" then return nil end
  for key, value in pairs(of) do
    if kept.of[key] ~= value then return nil end
  end
  local result = back(kept.fields)
  function result.text() return kept.shown end
  return setmetatable(result, Result)
end

return M
