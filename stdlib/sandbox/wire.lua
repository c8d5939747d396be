--- Values as they go between the program and the child that reads a recipe: JSON in which nothing is code. Strings,
--- flags, and finite numbers stand for themselves, null for nil;
---   { f = "inf" }              a number that is not finite: "inf", "-inf", "nan"
---   { l = [ ... ] }            a list
---   { t = [ key, value, ... ] } a table
---   { v = 3 }                  a plan value: the third of the nodes that come along
--- A node is { op =, ... } as plan.inside gives it; what it holds are nodes before it, so there are no circles, and
--- what is used twice is one node.
---
--- What comes from a child is hostile: `decode` checks every field, and its errors are caught by who calls it.
local json = require "json"
local plan = require "plan"
local text = require "text"

local M = {}

local format = string.format

-- More than a person writes, less than what would take the program's time or memory.
local DEPTH <const> = 60          -- tables in tables
local NESTED <const> = 400        -- calls and operators in one another
local NODES <const> = 20000
local PLAIN <const> = 200000      -- elements of tables together
local EXPANDED <const> = 200000   -- parts of a plan's text, where what is shared stands as often as it is used

-- ---- sending ----

local function encode_number(x)
  if x ~= x then return { f = "nan" } end
  if x == math.huge or x == -math.huge then return { f = x > 0 and "inf" or "-inf" } end
  return x
end

local encode

local function encode_node(value, out)
  if out.places[value] then return out.places[value] end
  if out.nested == NESTED then error(format("values are nested more than %d deep", NESTED), 0) end
  out.nested = out.nested + 1
  local this = plan.inside(value)
  local node = { op = this.op, module = this.module, name = this.name, symbol = this.symbol, place = this.place }
  if this.of then node.of = encode(this.of, out, 0).v end
  if this.op == "operator" then node.a, node.b = encode(this[1], out, 0), encode(this[2], out, 0) end
  if this.arguments then
    node.arguments = json.array()
    for i = 1, this.arguments.n do
      local argument = this.arguments[i]
      node.arguments[i] = argument == nil and json.null or encode(argument, out, 0)
    end
  end
  out.nodes[#out.nodes + 1] = node
  out.places[value], out.nested = #out.nodes, out.nested - 1
  return #out.nodes
end

function encode(value, out, depth)
  local kind = type(value)
  if kind == "string" or kind == "boolean" then return value end
  if kind == "number" then return encode_number(value) end
  if depth > DEPTH then error(format("values are nested more than %d deep, or hold themselves", DEPTH), 0) end
  if plan.is_value(value) then return { v = encode_node(value, out) } end
  if kind ~= "table" then error("a " .. kind .. " cannot be part of it", 0) end
  if getmetatable(value) and not json.is_array(value) then error("a module cannot be part of it", 0) end
  local count = 0
  for _ in next, value do count = count + 1 end
  local list = json.array()
  if count == #value then
    for i, element in ipairs(value) do list[i] = encode(element, out, depth + 1) end
    return { l = list }
  end
  for key, element in next, value do
    if type(key) == "table" then error("a table cannot be the name of a field", 0) end
    list[#list + 1] = encode(key, out, depth + 1)
    list[#list + 1] = encode(element, out, depth + 1)
  end
  return { t = list }
end

--- A value for a message: { value =, nodes = }. Raises when it holds what cannot be sent.
---@param value any
---@return table
function M.encode(value)
  local out = { nodes = json.array(), places = {}, nested = 0 }
  return { value = encode(value, out, 0), nodes = out.nodes }
end

-- ---- receiving ----

local function refuse(...) error(format(...), 0) end

local function is_array(value) return type(value) == "table" and json.is_array(value) end

local function is_object(value) return type(value) == "table" and not json.is_array(value) and value ~= json.null end

local decode

local function count_plain(state)
  state.plain = state.plain + 1
  if state.plain > PLAIN then refuse("more than %d values", PLAIN) end
end

local floats = { inf = math.huge, ["-inf"] = -math.huge, nan = 0 / 0 }

local function node_of(place, state)
  local value = math.type(place) == "integer" and state.made[place]
  if not value then refuse("there is no node %s", tostring(place):sub(1, 40)) end
  state.size = state.size + state.sizes[place]
  if state.size > EXPANDED then refuse("the plan says the same thing too often: more than %d parts", EXPANDED) end
  state.depth = math.max(state.depth, state.depths[place] + 1)
  return value
end

function decode(value, state, depth)
  count_plain(state)
  local kind = type(value)
  if kind == "boolean" or kind == "number" then return value end
  if kind == "string" then
    if not state.prose and (value:find "%c" or text.clean(value) ~= value) then
      refuse("a text has control characters in it: %s", value:sub(1, 40))
    end
    state.size = state.size + #value // 32
    return value
  end
  if not is_object(value) then refuse("a value expected, got %s", kind == "table" and "a list or null" or kind) end
  if depth > DEPTH then refuse("values are nested too deep") end
  local key, inner = next(value)
  if key == nil or next(value, key) ~= nil then refuse("a value has more or less than one kind") end
  if key == "f" and floats[inner] then return floats[inner] end
  if key == "v" then return node_of(inner, state) end
  if key == "l" and is_array(inner) then
    local list = {}
    for i, element in ipairs(inner) do list[i] = decode(element, state, depth + 1) end
    return list
  end
  if key == "t" and is_array(inner) and #inner % 2 == 0 then
    local out = {}
    for i = 1, #inner, 2 do
      local name = decode(inner[i], state, depth + 1)
      local fine = type(name) == "string" or type(name) == "boolean" or type(name) == "number" and name == name
      if not fine or out[name] ~= nil then refuse("a field has no name of its own") end
      out[name] = decode(inner[i + 1], state, depth + 1)
    end
    return out
  end
  refuse("a value of no kind")
end

local function check_name(name, what)
  if type(name) ~= "string" or #name > 100 or not name:find "^%a[%w_]*$" then refuse("%s without a name", what) end
  return name
end

-- The operand of an operator or of a field: a plan value, for operators also a number.
local function operand(value, state, number)
  local made = decode(value, state, 0)
  if not plan.is_value(made) and not (number and type(made) == "number") then refuse("an operand is no plan value") end
  return made
end

local function decode_arguments(list, state)
  if not is_array(list) or #list > 100 then refuse("a call without its arguments") end
  local out = { n = #list }
  for i, argument in ipairs(list) do
    if argument ~= json.null then out[i] = decode(argument, state, 0) end
  end
  return out
end

-- One node; its parts are there already.
local function decode_node(node, state)
  if not is_object(node) then refuse("a node is no table") end
  state.size, state.depth = 1, 1
  local fields = { op = node.op }
  if node.place ~= nil then fields.place = state.check_place(node.place) end
  if node.op == "call" then
    fields.module, fields.name = check_name(node.module, "a module"), check_name(node.name, "a constructor")
    fields.arguments = decode_arguments(node.arguments, state)
  elseif node.op == "field" or node.op == "method" then
    fields.name = check_name(node.name, "a " .. node.op)
    fields.of = operand({ v = node.of }, state)
    if node.op == "method" then fields.arguments = decode_arguments(node.arguments, state) end
  elseif node.op == "operator" then
    fields.symbol = node.symbol
    fields[1], fields[2] = operand(node.a, state, true), operand(node.b, state, true)
    if not (plan.is_value(fields[1]) or plan.is_value(fields[2])) then refuse("an operator between two numbers") end
  end
  if state.depth > NESTED then refuse("the plan is nested more than %d deep", NESTED) end
  local value, problem = plan.make(fields)
  if not value then refuse("%s%s", fields.place and fields.place .. ": " or "", problem) end
  return value
end

--- The value of a message, with plan values made anew; an error (text) says what is wrong with it. `prose`: texts may
--- have ends of lines and the like. check_place gets what each node says of the place it was written at, and gives the
--- text to show.
---@param message any
---@param options? { prose?: boolean, check_place?: fun(place: any): string? }
---@return any
function M.decode(message, options)
  options = options or {}
  if not is_object(message) then refuse("a message expected") end
  local nodes = message.nodes
  if not is_array(nodes) or #nodes > NODES then refuse("no list of at most %d nodes", NODES) end
  local state = { prose = options.prose, check_place = options.check_place or function() end, plain = 0, made = {},
                  sizes = {}, depths = {}, size = 0, depth = 0 }
  for i, node in ipairs(nodes) do
    state.made[i] = decode_node(node, state)
    state.sizes[i], state.depths[i] = state.size, state.depth
  end
  state.size, state.depth = 0, 0
  return decode(message.value, state, 0)
end

return M
