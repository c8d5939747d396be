--- Plans: experiments as values. In a recipe `loss.cross_entropy() + 1.0 * loss.continuity{ perturb = p }` computes
--- nothing; it gives a value that remembers what was written. Such a value prints as it was written, in one
--- canonical form, which is what a plan is hashed by; and it can be built: the real constructors are then called,
--- each once, however often the value is used.
---
---   data.colour_mnist{ bias = 0.95 }     a call of a constructor
---   set.train, set.classes               a field of what it will build
---   set.train:take(500)                  a method of it
---   2 * a + b, a | b, a >> b             operators
local hash = require "hash"
local json = require "json"
local spec = require "spec"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

--- The modules a plan may name.
M.modules = { "data", "models", "perturb", "attack", "loss", "optim", "probe" }

local Value = { __name = "plan value" }

-- The key of what a value remembers. Nobody else has it, so all names are free to mean fields of what will be built.
local INSIDE <const> = {}

local function inside(value)
  return type(value) == "table" and rawget(value, INSIDE) or nil
end

--- What a plan value remembers, or nil: { op = "call", module =, name =, arguments = { n = } },
--- { op = "field", of =, name = }, { op = "method", of =, name =, arguments = } or { op = "operator", symbol =, a, b };
--- and `place`, where it was written.
---@param value any
---@return table?
---@package
function M.inside(value)
  return inside(value)
end

--- Is it a plan value?
---
--- Example:
---     world = plan.world()
---     plan.is_value(world.loss.cross_entropy()), plan.is_value(loss.cross_entropy())  --> true  false
---@param value any
---@return boolean
function M.is_value(value)
  return inside(value) ~= nil
end

-- "recipe.lua:31", the line of the recipe that is being run; level 2 is the caller's caller
local function place(level)
  local info = debug.getinfo(level + 1, "Sl")
  return info and info.currentline > 0 and format("%s:%d", info.short_src, info.currentline) or nil
end

-- What reads or writes files of its own choice: a recipe from a stranger must not reach it. Data sets are the
-- exception, and the run's own folder is where results go.
local barred = { ["probe.logits"] = true, load = true, save = true }

-- Methods that a plan may call: those which give a part of a data set.
local methods = { rest = true, split = true, take = true }

-- Why a recipe may not use a constructor or method of this name, or nil.
local function find_barred(name)
  if barred[name] then return name .. ": a recipe has no files; a script has them" end
end

local function find_barred_method(name)
  local problem = find_barred(name)
  if problem or methods[name] then return problem end
  return format('method "%s": a plan only takes parts of data, with take, rest or split', name)
end

local function node(fields)
  return setmetatable({ [INSIDE] = fields }, Value)
end

-- Only what can be printed and read back may stand in a plan.
local function check_argument(value, where, depth)
  local kind = type(value)
  if inside(value) or kind == "number" or kind == "string" or kind == "boolean" or kind == "nil" then return end
  if kind ~= "table" or getmetatable(value) then
    return format("%s holds %s; a plan holds only constructors, numbers, strings, flags and lists of them", where,
      spec.shown(value))
  end
  if depth > 50 then return where .. " contains itself" end
  for key, element in pairs(value) do
    if type(key) ~= "string" and math.type(key) ~= "integer" then
      return format("%s has a key that is no name", where)
    end
    local problem = check_argument(element, where .. "." .. tostring(key), depth + 1)
    if problem then return problem end
  end
end

local function arguments(name, ...)
  local list = { n = select("#", ...), ... }
  for i = 1, list.n do
    local problem = check_argument(list[i], name, 0)
    if problem then error(format("%s: %s", name, problem), 3) end
  end
  return list
end

Value.__index = function(self, name)
  if type(name) ~= "string" then
    error(format("%s is a plan: it has no elements yet", M.text(self)), 2)
  end
  return node { op = "field", of = self, name = name, place = place(2) }
end

Value.__newindex = function(self)
  error(format("%s is a plan: its fields cannot be set", M.text(self)), 2)
end

Value.__call = function(self, object, ...)
  local this = inside(self)
  if this.op ~= "field" or not rawequal(object, this.of) then
    error(format("%s is a plan: only its methods can be called", M.text(self)), 2)
  end
  local problem = find_barred_method(this.name)
  if problem then error(problem, 2) end
  return node { op = "method", of = object, name = this.name, arguments = arguments(this.name, ...), place = place(2) }
end

-- Binding strength: a looser operand inside a tighter operator needs parentheses. All four associate to the left.
local strength = { ["|"] = 1, [">>"] = 2, ["+"] = 3, ["*"] = 4 }

local function operator(symbol)
  return function(a, b)
    for _, side in ipairs { a, b } do
      if not inside(side) and type(side) ~= "number" then
        error(format("%s: expected plan values or numbers, got %s", symbol, spec.shown(side)), 2)
      end
    end
    return node { op = "operator", symbol = symbol, a, b, place = place(2) }
  end
end

Value.__add, Value.__mul, Value.__bor, Value.__shr = operator "+", operator "*", operator "|", operator ">>"
Value.__tostring = function(self) return M.text(self) end

-- ---- text ----

local text

local function word(name)
  return type(name) == "string" and name:find("^[%a_][%w_]*$") ~= nil
end

-- A table's elements: places first, then names in order. `names` are those by which some values are called here.
local function fields_text(t, names)
  local parts, keys = {}, {}
  for i = 1, #t do parts[i] = text(t[i], names) end
  for key in pairs(t) do
    if not (math.type(key) == "integer" and key >= 1 and key <= #t) then keys[#keys + 1] = key end
  end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = format("%s = %s", word(key) and key or format("[%s]", text(key)), text(t[key], names))
  end
  return #parts == 0 and "{}" or "{ " .. concat(parts, ", ") .. " }"
end

local function call_text(list, names)
  if list.n == 1 and type(list[1]) == "table" and not inside(list[1]) then return fields_text(list[1], names) end
  local parts = {}
  for i = 1, list.n do parts[i] = text(list[i], names) end
  return "(" .. concat(parts, ", ") .. ")"
end

local function operand(value, outer, right, names)
  local this = inside(value)
  local shown = text(value, names)
  if this and this.op == "operator" and not (names and names[value]) then
    local inner = strength[this.symbol]
    if inner < outer or (right and inner == outer) then return "(" .. shown .. ")" end
  end
  return shown
end

function text(value, names)
  local this = inside(value)
  if not this then
    if type(value) == "table" then return fields_text(value, names) end
    if type(value) == "string" then return json.encode(value) end
    if type(value) == "number" then
      if value ~= value then return "(0/0)" end
      if value == math.huge or value == -math.huge then return value > 0 and "(1/0)" or "(-1/0)" end
      return json.encode(value)
    end
    return tostring(value)
  end
  if names and names[value] then return names[value] end
  if this.op == "call" then return this.module .. "." .. this.name .. call_text(this.arguments, names) end
  if this.op == "field" then return text(this.of, names) .. "." .. this.name end
  if this.op == "method" then return text(this.of, names) .. ":" .. this.name .. call_text(this.arguments, names) end
  local s = strength[this.symbol]
  return format("%s %s %s", operand(this[1], s, false, names), this.symbol, operand(this[2], s, true, names))
end

--- The canonical text of a plan value, or of a table of them: equal plans give equal texts. With `names` a value in it
--- stands as its name.
---
--- Example:
---     world = plan.world()
---     plan.text(world.loss.cross_entropy() + 0.5 * world.loss.continuity { perturb = world.perturb.hue(0.1) })
---     --> loss.cross_entropy() + 0.5 * loss.continuity{ perturb = perturb.hue(0.1) }
---@param value any
---@param names? table<any, string>
---@return string
function M.text(value, names)
  return text(value, names)
end

--- The plan's name in the world: SHA-256 of its text, as 64 hexadecimal digits.
---
--- Example:
---     world = plan.world()
---     plan.hash({ epochs = 1, loss = world.loss.hinge() }):sub(1, 8)  --> 24291a66
---@param value any
---@return string
function M.hash(value)
  return hash.sha256(text(value))
end

--- The plan as a tree to read: an entry for each part, what is long in branches; what is used more than once gets a
--- name and stands first.
---
--- Example:
---     world = plan.world()
---     plan.tree { epochs = 3, model = world.models.lenet { classes = 10 }, loss = world.loss.cross_entropy() }
---     --> plan
---     --> ├─ model   models.lenet{ classes = 10 }
---     --> ├─ loss    loss.cross_entropy()
---     --> └─ epochs  3
---@param plan any  # a plan, or one value of it
---@return string
function M.tree(plan)
  return require "plan.show".tree(plan)
end

--- What differs between two plans, a line for each: `data.limit  6000 → 500`; "–" is nothing. Equal plans give "".
---
--- Example:
---     world = plan.world()
---     plan.diff({ epochs = 3, loss = world.loss.hinge() }, { epochs = 5, loss = world.loss.hinge() })
---     --> epochs  3 → 5
---@param a any
---@param b any
---@return string
function M.diff(a, b)
  return require "plan.show".diff(a, b)
end

--- Calls visit(module, name) for each constructor in a value.
---
--- Example:
---     world = plan.world()
---     plan.walk(2 * world.loss.kl { perturb = world.perturb.hue(0.1) }, print)
---     --> loss  kl
---     --> perturb  hue
---@param value any
---@param visit fun(module: string, name: string)
function M.walk(value, visit)
  local this = inside(value)
  if this then
    if this.op == "call" then visit(this.module, this.name) end
    if this.of then M.walk(this.of, visit) end
    for _, part in ipairs(this) do M.walk(part, visit) end
    for i = 1, this.arguments and this.arguments.n or 0 do M.walk(this.arguments[i], visit) end
  elseif type(value) == "table" then
    for _, part in pairs(value) do M.walk(part, visit) end
  end
end

--- The first option of this name that a constructor in the value was given: the perturbation inside a loss.
---
--- Example:
---     world = plan.world()
---     objective = world.loss.continuity { perturb = world.perturb.hue(0.1) }
---     plan.text(plan.find_option(objective, "perturb"))  --> perturb.hue(0.1)
---@param value any
---@param name string
---@return any option
function M.find_option(value, name)
  local this = inside(value)
  if not this then return nil end
  for i = 1, this.arguments and this.arguments.n or 0 do
    local options = this.arguments[i]
    if type(options) == "table" and not inside(options) and options[name] ~= nil then return options[name] end
  end
  for _, part in ipairs(this) do
    local found = M.find_option(part, name)
    if found ~= nil then return found end
  end
  return this.of and M.find_option(this.of, name)
end

-- ---- the names a recipe sees ----

-- known: the names of the module's constructors; without it any name will do.
local function namespace(module, known)
  local names = {}
  for _, name in ipairs(known or {}) do names[name] = true end
  return setmetatable({}, {
    __name = module,
    __index = function(_, name)
      local full = module .. "." .. tostring(name)
      local problem = find_barred(full)
      if problem then error(problem, 2) end
      if known and not names[name] then
        error(format('%s has no "%s"%s', module, tostring(name), spec.suggest(name, known)), 2)
      end
      return function(...)
        return node { op = "call", module = module, name = name, arguments = arguments(full, ...), place = place(2) }
      end
    end,
    __newindex = function() error(module .. " cannot be changed in a recipe", 2) end,
  })
end

--- The names of the constructors that a plan may hold, by module.
---@return table<string, string[]>
---@package
function M.known()
  local known = {}
  for _, module in ipairs(M.modules) do known[module] = spec.names(require(module).constructors) end
  return known
end

--- The constructors, as names for a recipe's world; any name will do when it is not told which there are.
---
--- Example:
---     world = plan.world()
---     world.models.resnet8 { classes = 10 }  --> models.resnet8{ classes = 10 }
---@param known? table<string, string[]>
---@return table<string, table>
function M.world(known)
  local world = {}
  for _, module in ipairs(M.modules) do world[module] = namespace(module, known and known[module]) end
  -- A number of pixel steps is a number at once, so that recipes can compute with it.
  rawset(world.perturb, "px", function(steps) return steps / 255 end)
  world.px = world.perturb.px
  return world
end

-- What is wrong with the name in a node from elsewhere, or nil.
local function check_node(fields)
  if fields.op == "call" then
    local real = false
    for _, module in ipairs(M.modules) do real = real or module == fields.module end
    if not real then return format('there is no module "%s"', fields.module) end
    local known = require(fields.module).constructors
    if known[fields.name] == nil then
      return format('%s has no "%s"%s', fields.module, fields.name, spec.suggest(fields.name, spec.names(known)))
    end
    return find_barred(fields.module .. "." .. fields.name)
  end
  if fields.op == "method" then return find_barred_method(fields.name) end
  if fields.op == "operator" and not strength[fields.symbol] then return "an operator that is none" end
  if fields.op ~= "field" and fields.op ~= "operator" then return "a node of no kind" end
end

--- A plan value from what plan.inside gives of another, when it names what a plan may hold; else nil and a message.
--- (sandbox/wire.lua checks the types.)
---@param fields table
---@return any value, string? message
---@package
function M.make(fields)
  local problem = check_node(fields)
  if problem then return nil, problem end
  return node(fields)
end

-- ---- building ----

-- The message of an error raised below, without our own file and line; the recipe's line goes before it.
local function explain(this, what, message)
  message = tostring(message)
  local own = debug.getinfo(1, "S").short_src
  if message:sub(1, #own) == own then message = message:gsub("^.-:%d+: ", "", 1) end
  if not message:find(what, 1, true) then message = what .. ": " .. message end
  error(this.place and this.place .. ": " .. message or message, 0)
end

-- Calls a constructor or method; nil, message is a failure too.
local function invoke(this, what, f, ...)
  local result = table.pack(pcall(f, ...))
  if not result[1] then explain(this, what, result[2]) end
  if result[2] == nil then explain(this, what, result[3] or "gave nothing") end
  return result[2]
end

local apply = {
  ["+"] = function(a, b) return a + b end,
  ["*"] = function(a, b) return a * b end,
  ["|"] = function(a, b) return a | b end,
  [">>"] = function(a, b) return a >> b end,
}

--- A builder: `build(value)` gives the real thing, the same one each time for the same value.
---
--- Example:
---     world = plan.world()
---     build = plan.builder()
---     build(2 * world.loss.hinge())  --> 2 * hinge
---@param instead? table<string, function>  # called in the place of constructors: { ["data.open"] = f }
---@return fun(value: any): any
function M.builder(instead)
  local made = {}
  local build

  local function all(list)
    local out = { n = list.n }
    for key, element in pairs(list) do
      if key ~= "n" then out[key] = build(element) end
    end
    return out
  end

  function build(value)
    local this = inside(value)
    if not this then
      if type(value) ~= "table" then return value end
      local out = {}
      for key, element in pairs(value) do out[key] = build(element) end
      return out
    end
    if made[value] ~= nil then return made[value] end
    local result
    if this.op == "call" then
      local full = this.module .. "." .. this.name
      local real = instead and instead[full] or invoke(this, full, require, this.module)[this.name]
      if real == nil then explain(this, full, "there is no such constructor") end
      local list = all(this.arguments)
      result = invoke(this, full, real, table.unpack(list, 1, list.n))
    elseif this.op == "field" then
      local object = build(this.of)
      result = object[this.name]
      if result == nil then explain(this, text(value), format('there is no field "%s"', this.name)) end
    elseif this.op == "method" then
      local object, list = build(this.of), all(this.arguments)
      local method = object[this.name]
      if method == nil then explain(this, text(value), format('there is no method "%s"', this.name)) end
      result = invoke(this, this.name, method, object, table.unpack(list, 1, list.n))
    else
      result = invoke(this, this.symbol, apply[this.symbol], build(this[1]), build(this[2]))
    end
    made[value] = result
    return result
  end

  return build
end

return M
