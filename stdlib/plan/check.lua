--- A plan checked before anything is computed: every constructor in it takes the options it is given, every part of it
--- is of the kind that is needed there, and the data it names lie where a recipe may look. A mistake is an error that
--- names the recipe's file and line:
---   colour.lua:14: loss.continuity: unknown option "pertub"; did you mean "perturb"?
---
--- The modules say in `constructors` what a plan may name. Small values (perturbations, losses, optimisers, probes) are
--- simply built. Of models and data only the options are checked; what they will be is unknown until the run, and so is
--- everything that is made of them.
local find = require "data.find"
local host = require "host"
local optim = require "optim"
local plan = require "plan"
local spec = require "spec"
local text = require "text"

local M = {}

local MESSAGE <const> = 500 -- columns of one

local format = string.format
local inside = plan.inside

-- ---- places of data ----

-- A path without links and dots, also where its end is not there (yet).
local function resolve(path)
  local real = host.real_path(path)
  if real then return real end
  local above, last = path:match "^(.-)/*([^/]+)/*$"
  if not last or last == "." or last == ".." then return nil end
  above = resolve(above ~= "" and above or path:sub(1, 1) == "/" and "/" or ".")
  return above and above:gsub("/$", "") .. "/" .. last
end

local function is_within(path, folder)
  return path == folder or path:sub(1, #folder + 1) == folder:gsub("/$", "") .. "/"
end

-- Why a recipe may not read what it names, or nil.
local function check_path(path, grant)
  if path:find "%z" then return "a path has a NUL byte in it" end
  local real = path ~= "." and path ~= ".." and resolve(path) or nil -- as names they are looked for elsewhere
  for _, list in ipairs { find.folders(), grant } do
    for _, folder in ipairs(list) do
      local allowed = host.real_path(folder)
      if real and allowed and is_within(real, allowed) then return nil end
    end
  end
  return format('%s lies outside the data folders, where a recipe may not look; --allow %s allows it', spec.shown(path),
    path:find "^[%w_./-]+$" and path or "PATH")
end

-- ---- values ----

-- Arguments with what they will be in the place of plan values; whether something in them is unknown.
local function evaluate_all(value, evaluate)
  if inside(value) then
    local result = evaluate(value)
    return result.value, result.value == spec.unknown
  end
  if type(value) ~= "table" then return value, false end
  local out, unknown = {}, false
  for key, element in pairs(value) do
    local hidden
    out[key], hidden = evaluate_all(element, evaluate)
    unknown = unknown or hidden
  end
  return out, unknown
end

-- The message of an error without our own file and line, with the recipe's.
local function explain(place, file, what, message)
  message = tostring(message):gsub("^[^:\n]*:%d+: ", "", 1)
  if #message > MESSAGE then message = text.cut(message, MESSAGE) end
  if not message:find(what, 1, true) then message = what .. ": " .. message end
  return format("%s: %s", place or file, message)
end

local kinds = { data = "a data set", models = "a model", perturb = "a perturbation", attack = "a perturbation",
                loss = "a loss", probe = "a probe" }

local function kind_of(module, value)
  if module == "optim" then return value and (optim.is_schedule(value) and "a schedule" or "an optimiser") end
  return kinds[module]
end

-- What each part of a plan has to be. A data set's parts may be given in its place.
local parts = { model = "a model", loss = "a loss", optimizer = "an optimiser", schedule = "a schedule",
                augment = "a perturbation" }

local apply = {
  ["+"] = function(a, b) return a + b end,
  ["*"] = function(a, b) return a * b end,
  ["|"] = function(a, b) return a | b end,
  [">>"] = function(a, b) return a >> b end,
}

-- A constructor's call: { value =, kind = }; spec.unknown for what only the run will make. Raises what is wrong.
local function evaluate_call(this, evaluate, file, grant)
  local full = this.module .. "." .. this.name
  local constructor = require(this.module).constructors[this.name]
  local list, unknown = { n = this.arguments.n }, false
  for i = 1, list.n do
    local hidden
    list[i], hidden = evaluate_all(this.arguments[i], evaluate)
    unknown = unknown or hidden
  end
  local lazy = type(constructor) == "table"
  local check = lazy and constructor.check or constructor
  if unknown and not lazy then return { value = spec.unknown, kind = kind_of(this.module) } end
  local ok, value = pcall(check, table.unpack(list, 1, list.n))
  if not ok then error(explain(this.place, file, full, value), 0) end
  if lazy and constructor.places then
    for _, path in ipairs(constructor.places(table.unpack(list, 1, list.n))) do
      local problem = type(path) == "string" and check_path(path, grant)
      if problem then error(explain(this.place, file, full, problem), 0) end
    end
  end
  return { value = lazy and spec.unknown or value, kind = kind_of(this.module, value) }
end

--- A function that checks plans of one recipe and gives a message, or nil when all is well.
---@param file string     # the recipe's file, for messages about no line of it
---@param grant string[]  # paths that may be read beside the data folders
---@return fun(plan: table): string?
function M.new(file, grant)
  local function check(made)
    local known = {}

    local function evaluate(value)
      if known[value] then return known[value] end
      local this = inside(value)
      local result = { value = spec.unknown }
      if this.op == "call" then
        result = evaluate_call(this, evaluate, file, grant)
      elseif this.op == "operator" then
        local a, b = evaluate_all(this[1], evaluate), evaluate_all(this[2], evaluate)
        if a ~= spec.unknown and b ~= spec.unknown then
          local ok, made_of = pcall(apply[this.symbol], a, b)
          if not ok then error(explain(this.place, file, this.symbol, made_of), 0) end
          local left, right = known[this[1]], known[this[2]]
          local factor = left and left.kind == "a schedule" and right -- schedule * loss is a loss
          result = { value = made_of, kind = (factor or left or right).kind }
        end
      else
        evaluate(this.of)
        for i = 1, this.arguments and this.arguments.n or 0 do evaluate_all(this.arguments[i], evaluate) end
      end
      known[value] = result
      return result
    end

    for _, key in ipairs(spec.names(made)) do
      evaluate_all(made[key], evaluate)
      local result = inside(made[key]) and known[made[key]]
      if parts[key] and result and result.kind and result.kind ~= parts[key] then
        error(format("%s: plan: %s expects %s, got %s", inside(made[key]).place or file, key, parts[key],
          result.kind), 0)
      end
    end
    for _, name in ipairs(spec.names(made.probes)) do
      local result = known[made.probes[name]]
      if result.kind and result.kind ~= "a probe" then
        error(format("%s: plan: probes expects probes, got %s = %s", inside(made.probes[name]).place or file, name,
          result.kind), 0)
      end
    end
  end
  return function(made)
    local ok, problem = pcall(check, made)
    if not ok then return problem end
  end
end

return M
