--- The closed world in which the text of a recipe or study runs, inside the child that reads it: the constructors,
--- `param`, and the harmless part of the standard library. No files, no processes, no clock, no modules, no bytecode,
--- no metatables; nothing in it differs from one reading to the next, neither the order of `pairs` nor what a table
--- prints as.
local param = require "param"
local plan = require "plan"
local recipe = require "recipe"
local spec = require "spec"
local study = require "study"

local M = {}

local raw_next, sort = next, table.sort

-- ---- what must not say addresses ----

-- A value's text, without the address that Lua gives tables and functions.
local function show(value)
  local kind = type(value)
  if kind == "table" then
    local meta = getmetatable(value)
    if not (meta and meta.__tostring) then return "a table" end
  elseif kind == "function" then
    return "a function"
  end
  return tostring(value)
end

local function safe_format(text, ...)
  local given = table.pack(...)
  for i = 1, given.n do
    local kind = type(given[i])
    if kind == "table" or kind == "function" then given[i] = show(given[i]) end
  end
  if type(text) == "string" and text:gsub("%%%%", ""):find "%%[^%a%%]*p" then
    error("string.format: %p is not known in a recipe", 2)
  end
  local ok, result = pcall(string.format, text, table.unpack(given, 1, given.n))
  if not ok then error(result, 2) end
  return result
end

-- ---- tables in order ----

local rank = { number = 1, string = 2, boolean = 3 }

local function less(a, b)
  local p, q = rank[type(a)], rank[type(b)]
  if p ~= q then return p < q end
  if p == 3 then return not a and b end
  return a < b
end

local function check_key(key, level)
  if not rank[type(key)] then
    error("pairs: names of fields are numbers, strings and flags in a recipe, got " .. show(key), level + 1)
  end
end

local function check_table(who, value)
  if type(value) ~= "table" then error(who .. ": a table expected, got " .. spec.shown(value), 3) end
  if plan.is_value(value) then error(tostring(value) .. " is a plan: it has no elements yet", 3) end
end

-- Numbers first, then strings in order.
local function ordered_pairs(t)
  check_table("pairs", t)
  local keys = {}
  for key in raw_next, t do
    check_key(key, 2)
    keys[#keys + 1] = key
  end
  sort(keys, less)
  local at = 0
  return function()
    while true do
      at = at + 1
      local key = keys[at]
      if key == nil then return nil end
      local value = rawget(t, key)
      if value ~= nil then return key, value end
    end
  end, t, nil
end

local function ordered_next(t, after)
  check_table("next", t)
  local found
  for key in raw_next, t do
    check_key(key, 2)
    if (after == nil or less(after, key)) and (found == nil or less(key, found)) then found = key end
  end
  if found ~= nil then return found, rawget(t, found) end
end

-- ---- the world ----

-- A library's functions; a name it does not have is an error, with the nearest.
local function library(name, functions)
  local known = spec.names(functions)
  return setmetatable(functions, { __index = function(_, key)
    local near = spec.nearest(show(key), known)
    error(('%s.%s is not known in a recipe%s'):format(name, show(key), near and ('; did you mean "%s"?'):format(near)
      or name == "math" and key == "random" and ": what is random follows from a seed, param.seed" or ""), 2)
  end })
end

local function copy(from, names)
  local out = {}
  for name in names:gmatch "%S+" do out[name] = from[name] end
  return out
end

local function string_functions()
  local functions = copy(string, "byte char find gmatch gsub len lower match rep reverse sub upper")
  functions.format = safe_format
  return library("string", functions)
end

--- Makes the methods of strings those of the closed world, for the whole interpreter: ("x"):rep is string.rep, and
--- nobody changes them.
function M.close_strings()
  local meta = getmetatable ""
  meta.__index = string_functions()
  meta.__metatable = false
end

--- The world of one file: fresh tables, so that what it does to them stays there.
---@param known table<string, string[]>  # the constructors' names by module
---@param include fun(name: string): any
---@return table
function M.new(known, include)
  local env = copy(_G, "assert error ipairs pcall select tonumber type")
  env.tostring, env.pairs, env.next, env.include = show, ordered_pairs, ordered_next, include
  env.math = library("math", copy(math, "abs ceil exp floor fmod huge log max maxinteger min mininteger modf pi sqrt "
    .. "tointeger type ult sin cos tan"))
  env.string = string_functions()
  env.table = library("table", copy(table, "concat insert move pack remove sort unpack"))
  env.utf8 = library("utf8", copy(utf8, "char charpattern codepoint codes len offset"))
  env.param = library("param", copy(param, "choice flag integer list number path seed"))
  env.recipe = recipe.new
  env.study, env.claim = study.new, study.claim
  env.rows = library("rows", copy(study.rows, "by"))
  env.chart = library("chart", copy(study.chart, "bars curves heatmap lines points scatter"))
  for name, constructors in pairs(plan.world(known)) do env[name] = constructors end
  local names = spec.names(env)
  return setmetatable(env, {
    __index = function(_, name)
      name = show(name)
      error(('"%s" is not known in a recipe%s'):format(name, spec.nearest(name, names) and spec.suggest(name, names)
        or ""), 2)
    end,
  })
end

return M
