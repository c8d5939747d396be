--- Parameters of a recipe: what they may be, their defaults, how they are read from the command line.
---
---   data    = param.choice { "cifar100", "cifar10", default = "cifar100", doc = "data set" }
---   alpha   = param.number { 1.0, min = 0, doc = "weight of the continuity term" }
---   epochs  = param.integer { 30, min = 1 }
---   augment = param.flag { true }
---   seed    = param.seed { 1 }
---   levels  = param.list { { 1, 2 }, of = param.integer { min = 1, max = 4 } }
---   weights = param.path { "resnet18.pt" }
---
--- The first value is the default (also `default =`). A parameter without a default must be given.
local json = require "json"
local spec = require "spec"

local M = {}

local format, concat = string.format, table.concat

--- A parameter of a recipe: what it may be, and its default.
---@class Param
---@field kind string
---@field default any
---@field doc? string
---@field expects string    # "a number of at least 0"
---@field place integer     # order of creation: parameters are shown in the order they were written
---@field options table     # as they were given
local Param = {}
Param.__index = Param
Param.__name = "Param"

local created = 0

--- Is it a parameter of a recipe?
---
--- Example:
---     param.is_param(param.flag { true })  --> true
---@param value any
---@return boolean
function M.is_param(value)
  return getmetatable(value) == Param
end

--- A value as it is written on the command line.
---
--- Example:
---     param.show { 1, 2 }, param.show(0.1)  --> 1,2  0.1
---@param value any
---@return string
function M.show(value)
  if type(value) == "table" then
    local parts = {}
    for i, element in ipairs(value) do parts[i] = M.show(element) end
    return concat(parts, ",")
  end
  if math.type(value) == "float" then return (json.encode(value):gsub("%.0$", "")) end
  return tostring(value)
end

--- A value of the parameter, or nil and what was expected instead: `expects a number of at least 0, got -1`.
---
--- Example:
---     alpha = param.number { 1.0, min = 0 }
---     alpha:check(2)   --> 2.0
---     alpha:check(-1)  --> nil  expects a number of at least 0, got -1
---@param value any
---@return any value, string? problem
function Param:check(value)
  local fine, kept, note, culprit = self.test(value)
  if fine then return kept end
  if culprit == nil then culprit = value end
  return nil, format("expects %s, got %s%s", self.expects, spec.shown(culprit), note or "")
end

--- The value a text stands for, or nil and what was expected instead.
---
--- Example:
---     param.list({ { 1, 2 }, of = param.integer { max = 4 } }):parse "1,4"  --> { 1, 4 }
---     param.integer({ 30, min = 1 }):parse "many"  --> nil  expects an integer of at least 1, got "many"
---@param text string
---@return any value, string? problem
function Param:parse(text)
  local value = self.read(text)
  if value == nil then value = text end -- the check then says what was expected, and shows the text
  return self:check(value)
end

local common = { default = spec.any(), doc = spec.text() }

-- `level` counts the callers between this function and the user's line: the functions below that end in a call of it
-- have left the stack.
local function make(kind, options, fields, rule, read, level)
  local given = fields
  for key, field in pairs(common) do given[key] = field end
  local checked = spec.check("param." .. kind, options, given, level)
  created = created + 1
  local self = setmetatable({ kind = kind, doc = checked.doc, place = created, read = read, expects = rule.expects,
                              test = rule.test, options = options or {} }, Param)
  self.default = checked.default
  if self.default == nil then self.default = checked[1] end
  if self.default ~= nil then
    local value, problem = self:check(self.default)
    if value == nil then error(format("param.%s: the default %s", kind, problem), 2 + (level or 0)) end
    self.default = value
  end
  return self
end

local function bounded(options)
  local out = {}
  for key, value in pairs(type(options) == "table" and options or {}) do
    if key ~= 1 and key ~= "default" and key ~= "doc" then out[key] = value end
  end
  return out
end

---@class ParamOptions
---@field [1]? any       # the default; without one the parameter must be given
---@field default? any   # the same by name
---@field doc? string    # what it is, for `penumbra show` and the report

---@class NumberParam: ParamOptions
---@field min? number    # the least value allowed
---@field max? number
---@field above? number  # every value must be greater
---@field below? number

---@class ListParam: ParamOptions
---@field of? Param      # what its elements are checked by
---@field min? integer   # the least length
---@field max? integer

--- A number, kept as a float.
---
--- Example:
---     alpha = param.number { 1.0, min = 0, doc = "weight of the continuity term" }
---     alpha.default, alpha.expects  --> 1.0  a number of at least 0
---     param.number { -1, min = 0 }  --> error: param.number: the default expects a number of at least 0, got -1
---@param options? NumberParam
---@return Param
function M.number(options)
  local number = spec.number()
  local rule = spec.number(bounded(options))
  local test = rule.test
  rule.test = function(x)
    local fine, kept = test(x)
    return fine, fine and kept + 0.0 or nil
  end
  return make("number", options, { spec.number(), min = number, max = number, above = number, below = number }, rule,
    tonumber)
end

--- An integer.
---
--- Example:
---     param.integer({ 30, min = 1 }).expects  --> an integer of at least 1
---@param options? NumberParam  # min and max only
---@return Param
function M.integer(options)
  return make("integer", options, { spec.integer(), min = spec.integer(), max = spec.integer() },
    spec.integer(bounded(options)), tonumber)
end

--- The seed of a run: everything random in it follows from this number. A study treats runs that differ only in
--- their seed as repetitions of one another.
---
--- Example:
---     param.seed({ 1 }).default  --> 1
---@param options? ParamOptions
---@return Param
function M.seed(options)
  return make("seed", options, { spec.integer() }, spec.integer { min = 0 }, tonumber)
end

local flags = { ["true"] = true, yes = true, on = true, ["1"] = true,
                ["false"] = false, no = false, off = false, ["0"] = false }

--- true or false; on the command line also yes, no, on, off.
---
--- Example:
---     param.flag({ true }):parse "off"  --> false
---@param options? ParamOptions
---@return Param
function M.flag(options)
  return make("flag", options, { spec.flag() }, spec.flag(), function(text) return flags[text:lower()] end)
end

--- One of the values listed; without `default =` the first of them.
---
--- Example:
---     variant = param.choice { "plain", "AUG", "C", default = "C" }
---     variant.default      --> C
---     variant:check "aug"  --> nil  expects one of "plain", "AUG", "C", got "aug"; did you mean "AUG"?
---@param options any[]  # the values; default, doc
---@return Param
function M.choice(options)
  local fields = {}
  for i in ipairs(type(options) == "table" and options or {}) do fields[i] = spec.any() end
  if #fields == 0 then error("param.choice: expected the values to choose from", 2) end
  local values = { table.unpack(options) }
  local self = make("choice", options, fields, spec.choice(values), function(text)
    for _, value in ipairs(values) do
      if M.show(value) == text then return value end
    end
  end, 1)
  self.choices = values
  return self
end

local length = spec.integer { min = 0 }

--- A list; `of` is the parameter its elements are checked by, min and max bound its length. Written with commas:
--- levels=1,2.
---
--- Example:
---     levels = param.list { { 1, 2 }, of = param.integer { min = 1, max = 4 }, doc = "levels of x'" }
---     levels:check { 1, 7 }  --> nil  expects a list (each: an integer from 1 to 4), got 7 at place 2
---@param options ListParam
---@return Param
function M.list(options)
  local given = type(options) == "table" and options or {}
  local element = M.is_param(given.of) and given.of or nil
  local rule = spec.list { element and { expects = element.expects, test = element.test },
                           min = length.test(given.min) and given.min or nil,
                           max = length.test(given.max) and given.max or nil }
  return make("list", options, { spec.table(), of = spec.value { "a parameter", M.is_param }, min = length,
                                 max = length }, rule, function(text)
    local out = {}
    for part in text:gmatch("[^,]+") do
      part = part:match "^%s*(.-)%s*$"
      local value = element and element.read(part)
      if value == nil and element then value = part end
      if not element then value = tonumber(part) or part end
      out[#out + 1] = value
    end
    return out
  end)
end

--- The name of a file or folder.
---
--- Example:
---     param.path({ "resnet18.pt" }).default  --> resnet18.pt
---@param options? ParamOptions
---@return Param
function M.path(options)
  return make("path", options, { spec.text() }, spec.text { pattern = "^[^%z]+$", expects = "a file name" },
    function(text) return text end)
end

-- ---- parameters as data ----

--- What makes the same parameter again with M.from: { kind =, options = }.
---@param self Param
---@return table
---@package
function M.describe(self)
  local options = {}
  for key, value in pairs(self.options) do options[key] = M.is_param(value) and M.describe(value) or value end
  return { kind = self.kind, options = options }
end

local makers = { number = M.number, integer = M.integer, seed = M.seed, flag = M.flag, choice = M.choice, list = M.list,
                 path = M.path }

--- The parameter that a description from elsewhere stands for, or nil and what is wrong with it.
---@param description any
---@return Param? param, string? problem
---@package
function M.from(description)
  if type(description) ~= "table" or not makers[description.kind] or type(description.options) ~= "table" then
    return nil, "a parameter of no kind"
  end
  local options = {}
  for key, value in pairs(description.options) do options[key] = value end
  if options.of ~= nil then
    -- A list of lists is nothing that a command line could say.
    if type(options.of) ~= "table" or options.of.kind == "list" then return nil, "a list of no kind" end
    local problem
    options.of, problem = M.from(options.of)
    if not options.of then return nil, problem end
  end
  local ok, made = pcall(makers[description.kind], options)
  if not ok then return nil, tostring(made) end
  return made
end

return M
