--- Checking the options of a Lua function against a table that lists them: types, bounds, choices, defaults.
--- A wrong option raises at the line of the user who wrote it, in one style everywhere:
---
---   probe.continuity: limit expects an integer of at least 1, got 0
---   probe.continuity: unknown option "limits"; did you mean "limit"?
local nn = require "nn"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

--- Stands for a value that only a run will make (a data set's number of classes): where options are checked before,
--- it passes for anything.
M.unknown = setmetatable({}, { __name = "unknown" })

-- ---- names ----

--- The pattern of a name that a file or folder may have: no path, nothing hidden.
M.FILE_NAME = "^[^./%c][^/%c]*$"

--- The known name most like the word, or nil when none is near enough to be what was meant. Case does not count.
---
--- Example:
---     spec.nearest("limits", { "limit", "seed" }), spec.nearest("xyz", { "limit" })  --> limit  nil
---@param word string
---@param list string[]
---@return string?
function M.nearest(word, list) return nn.nearest(word, list) end

--- What to add to a message about an unknown word: `; did you mean "x"?`, or the list of what is known.
---
--- Example:
---     spec.suggest("limits", { "limit", "seed" }), spec.suggest("xyz", { "limit", "seed" })
---     --> ; did you mean "limit"?  ; known: limit, seed
---@param word any
---@param list string[]
---@return string
function M.suggest(word, list)
  local near = M.nearest(tostring(word), list)
  if near then return format('; did you mean "%s"?', near) end
  if #list == 0 then return "" end
  local known = { table.unpack(list) }
  sort(known)
  return "; known: " .. concat(known, ", ")
end

--- The names a table has, sorted.
---
--- Example:
---     spec.names { b = 1, a = 2 }  --> { "a", "b" }
---@param t table
---@return string[]
function M.names(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = tostring(name) end
  sort(names)
  return names
end

--- The keys a table has, in the order of their texts.
---
--- Example:
---     spec.keys { b = 1, [2] = 1 }  --> { 2, "b" }
---@param t table
---@return any[]
function M.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- ---- kinds of options ----

--- What an option may be, as the functions below make it.
---@class SpecKind
---@field kind string
---@field expects string    # "an integer of at least 1"
---@field test fun(value: any): boolean, any, string?, any  # fine; the value that is kept; else a note, and the culprit
---@field default? any
---@field required? boolean
---@field doc? string

-- A plain list as it was written, `{ 1, 5 }`, when it is short and holds only words and numbers.
local function list_shown(list)
  local parts, entries = {}, 0
  for _ in pairs(list) do entries = entries + 1 end
  if entries ~= #list then return "a table" end
  for i, element in ipairs(list) do
    if type(element) == "table" or type(element) == "userdata" then return "a table" end
    parts[i] = M.shown(element)
  end
  local text = #parts == 0 and "{}" or "{ " .. concat(parts, ", ") .. " }"
  return #text <= 60 and text or "a table"
end

--- A value as a message shows it.
---
--- Example:
---     spec.shown "a", spec.shown { 1, 2 }, spec.shown(nn.ones { 2 })  --> "a"  { 1, 2 }  a userdata (nn.tensor)
---@param value any
---@return string
function M.shown(value)
  local kind = type(value)
  if kind == "string" then return format('"%s"', #value > 60 and value:sub(1, 57) .. "..." or value) end
  if value ~= value then return "nan" end -- whatever its sign
  if kind == "number" or kind == "boolean" or value == nil then return tostring(value) end
  local meta = getmetatable(value)
  if kind == "table" and not meta then return list_shown(value) end
  local name = type(meta) == "table" and rawget(meta, "__name")
  local article = kind == "table" and "a table" or "a " .. kind
  return name and format("%s (%s)", article, name) or article
end

local function bounds(options)
  local min, max = options.min, options.max
  local parts = {}
  if min and max and not options.above and not options.below then return format(" from %s to %s", min, max) end
  if min then parts[#parts + 1] = format("of at least %s", min) end
  if options.above then parts[#parts + 1] = format("above %s", options.above) end
  if max then parts[#parts + 1] = format("at most %s", max) end
  if options.below then parts[#parts + 1] = format("below %s", options.below) end
  return #parts > 0 and " " .. concat(parts, " and ") or ""
end

local function within(x, options)
  return x == x and (not options.min or x >= options.min) and (not options.max or x <= options.max)
    and (not options.above or x > options.above) and (not options.below or x < options.below)
end

local function kind(name, options, expects, test)
  return { kind = name, expects = expects, test = test, default = options.default, required = options.required,
           doc = options.doc }
end

--- A number. min and max are allowed values, above and below are not; `finite = false` lets infinities through.
---
--- Example:
---     spec.examine({ lr = -1 }, { lr = spec.number { min = 0 } })
---     --> nil  lr expects a number of at least 0, got -1
---@param options? { min?: number, max?: number, above?: number, below?: number, default?: number, required?: boolean }
---@return SpecKind
function M.number(options)
  options = options or {}
  return kind("number", options, "a number" .. bounds(options), function(x)
    if type(x) ~= "number" or not within(x, options) then return false end
    if options.finite ~= false and (x == math.huge or x == -math.huge) then return false end
    return true, x
  end)
end

--- An integer; a float with an integral value is taken as one.
---
--- Example:
---     spec.examine({ n = 2.5 }, { n = spec.integer { min = 1 } })
---     --> nil  n expects an integer of at least 1, got 2.5
---@param options? { min?: integer, max?: integer, default?: integer, required?: boolean }
---@return SpecKind
function M.integer(options)
  options = options or {}
  return kind("integer", options, "an integer" .. bounds(options), function(x)
    local whole = type(x) == "number" and math.tointeger(x)
    if not whole or not within(whole, options) then return false end
    return true, whole
  end)
end

--- true or false.
---
--- Example:
---     spec.examine({}, { quiet = spec.flag { default = false } })  --> { quiet = false }
---@param options? { default?: boolean, required?: boolean }
---@return SpecKind
function M.flag(options)
  return kind("flag", options or {}, "true or false", function(x) return type(x) == "boolean", x end)
end

--- A string; `pattern` is a Lua pattern it must match, `expects` says so in words.
---
--- Example:
---     spec.examine({ name = "a b" }, { name = spec.text { pattern = "^%w+$", expects = "one word" } })
---     --> nil  name expects one word, got "a b"
---@param options? { pattern?: string, expects?: string, default?: string, required?: boolean }
---@return SpecKind
function M.text(options)
  options = options or {}
  return kind("text", options, options.expects or "a string", function(x)
    return type(x) == "string" and (not options.pattern or x:find(options.pattern) ~= nil), x
  end)
end

--- One of the values listed: spec.choice{ "cifar", "imagenet", default = "cifar" }.
---
--- Example:
---     spec.examine({ stem = "cifra" }, { stem = spec.choice { "cifar", "imagenet" } })
---     --> nil  stem expects one of "cifar", "imagenet", got "cifra"; did you mean "cifar"?
---@param options table
---@return SpecKind
function M.choice(options)
  local shown, names = {}, {}
  for i, value in ipairs(options) do
    shown[i] = M.shown(value)
    if type(value) == "string" then names[#names + 1] = value end
  end
  return kind("choice", options, (#shown > 1 and "one of " or "") .. concat(shown, ", "), function(x)
    for _, value in ipairs(options) do
      if x == value then return true, x end
    end
    if type(x) == "string" then
      local near = M.nearest(x, names)
      return false, nil, near and format('; did you mean "%s"?', near)
    end
    return false
  end)
end

--- A list whose elements are of one kind: spec.list{ spec.integer{ min = 1 }, min = 1 }; min and max bound its length.
---
--- Example:
---     spec.examine({ levels = { 1, 7 } }, { levels = spec.list { spec.integer { max = 4 } } })
---     --> nil  levels expects a list (each: an integer at most 4), got 7 at place 2
---@param options? table  # the element's kind first; min, max, default, required
---@return SpecKind
function M.list(options)
  options = options or {}
  local element = options[1]
  local min, max = options.min, options.max
  local length = min and max and format(" of %d to %d", min, max) or min and format(" of at least %d", min)
    or max and format(" of at most %d", max) or ""
  local expects = "a list" .. length
  if element then expects = format("%s (each: %s)", expects, element.expects) end
  return kind("list", options, expects, function(x)
    if type(x) ~= "table" or #x < (options.min or 0) or #x > (options.max or math.huge) then return false end
    if not element then return true, x end
    local out = {}
    for i, value in ipairs(x) do
      local fine, kept = value == M.unknown, value
      if not fine then fine, kept = element.test(value) end
      if not fine then return false, nil, format(" at place %d", i), value end
      out[i] = kept
    end
    return true, out
  end)
end

--- A table with fields of its own: spec.record{ min = spec.number(), max = spec.number() }.
---
--- Example:
---     spec.examine({ stats = { mean = 1 } }, { stats = spec.record { mean = spec.list(), std = spec.list() } })
---     --> nil  stats expects a table with mean, std, got a table: mean expects a list, got 1
---@param fields table<string, table>
---@param options? { default?: table, required?: boolean }
---@return SpecKind
function M.record(fields, options)
  return kind("record", options or {}, "a table with " .. concat(M.names(fields), ", "), function(x)
    if type(x) ~= "table" then return false end
    local out, problem = M.examine(x, fields)
    if not out then return false, nil, ": " .. problem end
    return true, out
  end)
end

--- A table whose fields are all of one kind, under names of the user's: spec.map{ spec.number() }. With `any_key` the
--- names may be numbers and flags too.
---
--- Example:
---     paper = spec.map { spec.number() }
---     paper.test { plain = 96.01 }           --> true  { plain = 96.01 }
---     select(4, paper.test { plain = "x" })  --> x
---@param options table  # the fields' kind first; any_key, default, required
---@return SpecKind
function M.map(options)
  local element = options[1]
  local expects = element and format("a table of names and values (each: %s)", element.expects)
    or "a table of names and values"
  return kind("map", options, expects, function(x)
    if type(x) ~= "table" then return false end
    local out = {}
    for _, key in ipairs(M.keys(x)) do
      local plain = type(key) == "string" or options.any_key and type(key) ~= "table"
      if not plain then return false, nil, format(" at %s", M.shown(key)), x[key] end
      local fine, kept, note, culprit = true, x[key], nil, nil
      if element and kept ~= M.unknown then fine, kept, note, culprit = element.test(kept) end
      if not fine then
        if culprit == nil then culprit = x[key] end
        return false, nil, format(" at %s%s", M.shown(key), note or ""), culprit
      end
      out[key] = kept
    end
    return true, out
  end)
end

--- A table of any contents.
---
--- Example:
---     spec.examine({ extra = 1 }, { extra = spec.table() })  --> nil  extra expects a table, got 1
---@param options? { default?: table, required?: boolean }
---@return SpecKind
function M.table(options)
  return kind("table", options or {}, "a table", function(x) return type(x) == "table", x end)
end

--- A function, or a value that can be called.
---
--- Example:
---     spec.examine({ apply = 1 }, { apply = spec.callable() })  --> nil  apply expects a function, got 1
---@param options? { default?: function, required?: boolean }
---@return SpecKind
function M.callable(options)
  return kind("callable", options or {}, "a function", function(x)
    local meta = getmetatable(x)
    return type(x) == "function" or (type(meta) == "table" and meta.__call ~= nil), x
  end)
end

--- A value recognised by a test of the module that makes it: spec.value{ "a perturbation", perturb.is }.
--- The name alone accepts any value whose metatable has that __name: spec.value{ "Model" }.
---
--- Example:
---     spec.examine({ change = 1 }, { change = spec.value { "a perturbation", perturb.is } })
---     --> nil  change expects a perturbation, got 1
---@param options table
---@return SpecKind
function M.value(options)
  local name, test = options[1], options[2]
  test = test or function(x)
    local meta = getmetatable(x)
    return type(meta) == "table" and meta.__name == name
  end
  return kind("value", options, name, function(x) return test(x) and true or false, x end)
end

--- Any of several kinds: spec.any{ spec.choice{ "paper" }, spec.list{ spec.integer() }, default = "paper" };
--- without kinds, anything at all.
---
--- Example:
---     levels = spec.any { spec.choice { "paper" }, spec.list { spec.integer() }, default = "paper" }
---     spec.examine({ levels = 1 }, { levels = levels })
---     --> nil  levels expects "paper", or a list (each: an integer), got 1
---@param options? table
---@return SpecKind
function M.any(options)
  options = options or {}
  local parts = {}
  for i, element in ipairs(options) do parts[i] = element.expects end
  return kind("any", options, #parts > 0 and concat(parts, ", or ") or "a value", function(x)
    if #options == 0 then return true, x end
    for _, element in ipairs(options) do
      local fine, kept = element.test(x)
      if fine then return true, kept end
    end
    return false
  end)
end

-- ---- the check ----

local function label(key)
  return type(key) == "number" and format("[%d]", key) or tostring(key)
end

-- What to add where a value stands in the place of the table of options: the name it would have there, when that is
-- plain: the option that is required, or else the only one that takes it.
local function name_of(value, fields)
  local required, others = {}, {}
  for _, key in ipairs(M.keys(fields)) do
    local list = fields[key].required and required or others
    if type(key) == "string" and fields[key].test(value) then list[#list + 1] = key end
  end
  local found = #required > 0 and required or others
  return #found == 1 and format("; did you mean { %s = ... }?", found[1]) or ""
end

-- A value of ours is no table of options, though many are tables.
local function is_options(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(value) == "table" and (value == M.unknown or not (type(meta) == "table" and rawget(meta, "__name")))
end

--- The options with their defaults, or nil and what is wrong with them.
---
--- Example:
---     fields = { limit = spec.integer { min = 1 }, seed = spec.integer { default = 1 } }
---     spec.examine({ limit = 10 }, fields)   --> { limit = 10, seed = 1 }
---     spec.examine({ limits = 10 }, fields)  --> nil  unknown option "limits"; did you mean "limit"?
---@param options? table
---@param fields table<string|integer, table>
---@return table? options, string? problem
function M.examine(options, fields)
  if options == nil then options = {} end
  if not is_options(options) then
    return nil, format("expected a table of options, got %s%s", M.shown(options), name_of(options, fields))
  end
  local unknown
  for key in pairs(options) do
    -- The first in order of name, so that the same mistake always gives the same message.
    if not fields[key] and (unknown == nil or tostring(key) < tostring(unknown)) then unknown = key end
  end
  if type(unknown) == "number" then
    return nil, format("unexpected value %s at place %s", M.shown(options[unknown]), unknown)
  elseif unknown ~= nil then
    return nil, format('unknown option "%s"%s', tostring(unknown), M.suggest(unknown, M.names(fields)))
  end
  local keys = {}
  for key in pairs(fields) do keys[#keys + 1] = key end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  local out = {}
  for _, key in ipairs(keys) do
    local field, value = fields[key], options[key]
    if value == M.unknown then
      out[key] = value
    elseif value == nil then
      if field.required then return nil, format("%s is required: %s", label(key), field.expects) end
      out[key] = field.default
    else
      local fine, kept, note, culprit = field.test(value)
      if not fine then
        if culprit == nil then culprit = value end
        return nil, format("%s expects %s, got %s%s", label(key), field.expects, M.shown(culprit), note or "")
      end
      out[key] = kept
    end
  end
  return out
end

--- The options with their defaults, checked; the caller's table is not changed. Places (1, 2, ...) may be listed like
--- names. Raises at the line that called the function which calls this one, `level` frames further out when given.
---
--- Example:
---     function measure(options)
---       options = spec.check("measure", options, { limit = spec.integer { min = 1, default = 100 } })
---       return options.limit
---     end
---     measure()               --> 100
---     measure { limit = 0 }   --> error: measure: limit expects an integer of at least 1, got 0
---     measure { limits = 5 }  --> error: measure: unknown option "limits"; did you mean "limit"?
---@param name string  # the function's name, for messages
---@param options? table
---@param fields table<string|integer, table>
---@param level? integer
---@return table options
function M.check(name, options, fields, level)
  local out, problem = M.examine(options, fields)
  if not out then error(name .. ": " .. problem, 3 + (level or 0)) end
  return out
end

return M
