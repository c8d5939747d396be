--- How the prompt prints the value of an expression.
local text = require "text"

local M = {}

local MOST <const> = 40 -- entries of a table that are shown
local SHORT <const> = 8 -- numbers of a list in a table that are

--- Text of a value inside a table: strings in quotes, short lists of numbers whole, other tables only by their kind.
local function brief(value)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" or getmetatable(value) or #value == 0 or #value > SHORT then return tostring(value) end
  local parts = {}
  for key, number in pairs(value) do
    if math.type(key) ~= "integer" or not math.type(number) then return tostring(value) end
  end
  for i, number in ipairs(value) do parts[i] = ("%.5g"):format(number) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function key_text(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" then return key end
  return "[" .. brief(key) .. "]"
end

--- A table as a constructor would write it, one level deep: list first, then the other keys in order.
local function table_text(t)
  local parts, count = {}, #t
  for i = 1, math.min(count, MOST) do parts[i] = brief(t[i]) end
  if count > MOST then parts[#parts + 1] = ("... %d in all"):format(count) end
  local keys = {}
  for key in pairs(t) do
    if math.type(key) ~= "integer" or key < 1 or key > count then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i = 1, math.min(#keys, MOST) do parts[#parts + 1] = key_text(keys[i]) .. " = " .. brief(t[keys[i]]) end
  if #keys > MOST then parts[#parts + 1] = ("... %d names in all"):format(#keys) end

  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #parts == 0 then return "{}" end
  if #line <= 100 then return line end
  return "{\n  " .. table.concat(parts, ",\n  ") .. "\n}"
end

--- The name under which a table is loaded as a module, or nil.
local function module_name(t)
  for name, module in pairs(package.loaded) do
    if module == t and name ~= "_G" then return name end
  end
end

--- A module by the names it has, which say more than the addresses of its functions.
local function module_text(name, module)
  local names = {}
  for key in pairs(module) do names[#names + 1] = tostring(key) end
  table.sort(names)
  return ("%s: %s"):format(name, text.wrap(table.concat(names, ", "), 100, "  "))
end

--- Text of a value as the prompt shows it.
---@param value any
---@return string
function M.text(value)
  local meta = getmetatable(value)
  local described = type(meta) == "table" and (meta.__tostring or meta.__name)
  if type(value) == "table" and not described then
    local name = module_name(value)
    return name and module_text(name, value) or table_text(value)
  end
  return tostring(value)
end

--- Prints the values of an expression: on one line when they fit, else below each other.
---@param ... any
function M.show(...)
  local texts, several = {}, false
  for i = 1, select("#", ...) do
    texts[i] = M.text((select(i, ...)))
    several = several or texts[i]:find("\n", 1, true) ~= nil
  end
  print(table.concat(texts, several and "\n" or "\t"))
end

return M
