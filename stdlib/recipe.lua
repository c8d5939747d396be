--- Recipes: experiments to share.
---
--- A recipe is a file that returns what it asks, its parameters, and a plan made of values. Nothing is computed when
--- it is read:
---
---   return recipe {
---     title = "Handwritten digits with a continuity constraint",
---     params = { alpha = param.number { 0.1, min = 0, doc = "weight of the constraint" }, seed = param.seed { 1 } },
---     unstated = { "the network" },
---     plan = function(p)
---       local change = perturb.brightness(32)
---       return { data = data.open("mnist"), model = models.lenet { classes = 10, channels = 1, seed = p.seed },
---                loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = change },
---                optimizer = optim.adam { lr = 1e-3 }, probes = { accuracy = probe.accuracy() } }
---     end,
---   }
---
--- The file knows the constructors of data, models, perturb (and px), loss, optim and probe; param, recipe, study,
--- rows, chart and claim; and of Lua math, string, table and utf8. It has no files, no modules, no clock and no
--- chance. `include "other.lua"` gives what another file of its folder returns: of a recipe its title, params, plan
--- and so on, to build upon. Paths of data come from parameters (param.path), and stay inside the data folders unless
--- the user allows more (--allow).
---
--- A plan may begin with the weights that another run of the recipe ends with: `start = { variant = "base" }` in what
--- plan gives names the parameters that are not the same there. `penumbra help start` says more.
---
--- penumbra show FILE, check FILE, run FILE key=value, sweep FILE key=value,value. Many runs with an answer: help
--- study.

-- The file is run in a child (world.lua, sandbox.lua): M.new is what it calls there. Here a recipe is what the child
-- said of it, and has no functions: its plans are asked for.
local param = require "param"
local plan = require "plan"
local spec = require "spec"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local NAME <const> = "^[%a_][%w_]*$" -- of a parameter
local MOST <const> = 1000            -- parameters
local CHAIN <const> = 4              -- runs that a run's start may have behind it, itself counted

--- An experiment to share, as its file says it.
---@class Recipe
---@field title string
---@field about? string
---@field cites string[]
---@field params table<string, Param>
---@field unstated string[]          # what the paper left open, and what we chose
---@field path string
---@field file string                # the file's name
---@field name string                # the file's name without its ending
---@field text string                # the file as it was read
---@field includes { name: string, text: string }[]  # what it includes, in the order it was read
---@field grant string[]             # paths that the user allows its plans
local Recipe = {}
Recipe.__index = Recipe
Recipe.__name = "Recipe"

--- Is it a recipe?
---
--- Example:
---     recipe.is_recipe(world.load "(built-in)/digits.lua")  --> true
---@param value any
---@return boolean
function M.is_recipe(value)
  return getmetatable(value) == Recipe
end

local fields = {
  title = spec.text { required = true },
  about = spec.text(),
  cites = spec.list { spec.text(), default = {} },
  params = spec.table { default = {} },
  unstated = spec.list { spec.text(), default = {} },
  plan = spec.callable { required = true },
}

-- What a description of one has.
local described = {}
for name, field in pairs(fields) do
  if name ~= "plan" then described[name] = field end
end

---@class RecipeOptions
---@field title string
---@field about? string
---@field cites? string[]
---@field params? table<string, Param>
---@field unstated? string[]      # what the paper left open, and what we chose
---@field plan fun(p: table<string, any>): PlanFields  # builds values of the parameters; computes nothing

--- What plan(p) returns: what is trained, how, and what is measured then. train{...} says what each means.
---@class PlanFields
---@field data DataSet|{ train: Part, test: Part }
---@field model Model
---@field loss Loss
---@field optimizer OptimizerPlan
---@field start? table<string, any>  # parameters of the run whose weights it begins with; others are as here
---@field schedule? Schedule
---@field augment? Perturbation
---@field epochs? integer         # 1
---@field batch? integer          # 128
---@field seed? integer           # 1
---@field clip? number
---@field clip_value? number
---@field average? number
---@field validation? Part|number
---@field choose? "last"|"best"   # "last"
---@field choose_by? "accuracy"|"loss"  # "accuracy"
---@field patience? integer
---@field min_delta? number       # 0
---@field on_error? "stop"|"skip" # "stop"
---@field probes? table<string, Probe>

--- A recipe from its parts; in a recipe file, `return recipe{ ... }`.
---
--- Example:
---     file.write("small.lua", [[
---     return recipe {
---       title = "A small one",
---       params = { seed = param.seed { 1 } },
---       plan = function(p)
---         local set = data.synthetic()
---         return { data = set, model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {}, seed = p.seed },
---                  loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-3 } }
---       end,
---     }
---     ]])
---     world.load("small.lua").title  --> A small one
---@param options RecipeOptions
---@return Recipe
function M.new(options)
  local self = setmetatable(spec.check("recipe", options, fields), Recipe)
  for name, value in pairs(self.params) do
    if type(name) ~= "string" or not name:find(NAME) then
      error(format("recipe: a parameter's name is a word, got %s", spec.shown(name)), 2)
    end
    if not param.is_param(value) then
      error(format("recipe: parameter %s expects param.number{...} or the like, got %s", name, spec.shown(value)), 2)
    end
  end
  return self
end

--- The names of the parameters in the order they were written.
---
--- Example:
---     world.load("(built-in)/digits.lua"):names()  --> { "alpha", "epochs", "limit", "seed" }
---@return string[]
function Recipe:names()
  local names = spec.names(self.params)
  table.sort(names, function(a, b) return self.params[a].place < self.params[b].place end)
  return names
end

--- What the file says, as data; M.from makes a recipe of it again.
---@return table
---@package
function Recipe:describe()
  local params = {}
  for i, name in ipairs(self:names()) do params[i] = { name = name, param = param.describe(self.params[name]) } end
  return { title = self.title, about = self.about, cites = self.cites, unstated = self.unstated, params = params }
end

--- The recipe that a description from elsewhere stands for, or nil and what is wrong with it.
---@param description any
---@return Recipe? recipe, string? problem
---@package
function M.from(description)
  if type(description) ~= "table" or type(description.params) ~= "table" then return nil, "no parameters" end
  if #description.params > MOST then return nil, format("more than %d parameters", MOST) end
  local options = {}
  for key, value in pairs(description) do options[key] = value end
  options.params = {}
  for _, one in ipairs(description.params) do
    local name = type(one) == "table" and one.name
    if type(name) ~= "string" or not name:find(NAME) or #name > 100 or options.params[name] then
      return nil, "a parameter without a name of its own"
    end
    local made, problem = param.from(one.param)
    if not made then return nil, problem end
    options.params[name] = made
  end
  local self, problem = spec.examine(options, described)
  if not self then return nil, problem end
  self.includes, self.grant = {}, {}
  return setmetatable(self, Recipe)
end

--- Grants the recipe what the user wrote for a parameter that is a path or a list of paths: one value or several.
---
--- Example:
---     own = world.load "(built-in)/digits.lua"
---     own:allow(param.path { "weights.pt" }, "weights.pt")
---@param this Param
---@param value any
---@package
function Recipe:allow(this, value)
  local element = this.kind == "list" and this.options.of or this
  if element.kind ~= "path" then return end
  if type(value) ~= "table" then self.grant[#self.grant + 1] = value end
  for _, one in ipairs(type(value) == "table" and value or {}) do self:allow(this, one) end
end

--- All parameters: those given (texts from the command line are read, other values checked), the others by default.
--- Something wrong gives nil and a message.
---
--- Example:
---     digits = world.load "(built-in)/digits.lua"
---     digits:resolve { alpha = 0.5 }                 --> { alpha = 0.5, epochs = 1, limit = 2000, seed = 1 }
---     digits:resolve({ alpha = "0.5" }, true).alpha  --> 0.5
---     digits:resolve { alhpa = 0.5 }  --> nil  unknown parameter "alhpa" in digits.lua; did you mean "alpha"?
---@param given table<string, any>
---@param as_text? boolean  # the values are texts to be read
---@return table? values, string? message
function Recipe:resolve(given, as_text)
  local name = self.file
  for _, key in ipairs(spec.names(given)) do
    if not self.params[key] then
      return nil, format('unknown parameter "%s" in %s%s', key, name, spec.suggest(key, self:names()))
    end
  end
  local values = {}
  for _, key in ipairs(self:names()) do
    local this, value = self.params[key], given[key]
    if value == nil then
      value = this.default
      if value == nil then return nil, format("%s: parameter %s must be given: %s", name, key, this.expects) end
    else
      local kept, problem
      if as_text then kept, problem = this:parse(value) else kept, problem = this:check(value) end
      if kept == nil then
        local several = as_text and (value:find(",", 1, true) or value:find("..", 1, true)) and this.kind ~= "list"
        return nil, format("%s: %s %s%s", name, key, problem, several and "; penumbra sweep takes several values" or "")
      end
      value = kept
      if as_text then self:allow(this, value) end
    end
    values[key] = value
  end
  return values
end

local function is_plan_value(value) return plan.is_value(value) end

--- What a plan holds. `data` is a data set, or its parts { train =, test = }; `probes` are named.
local plan_fields = {
  data = spec.any { spec.value { "a data set", is_plan_value },
                    spec.record { train = spec.value { "a part of a data set", is_plan_value, required = true },
                                  test = spec.value { "a part of a data set", is_plan_value, required = true } },
                    required = true },
  model = spec.value { "a model", is_plan_value, required = true },
  loss = spec.value { "a loss", is_plan_value, required = true },
  optimizer = spec.value { "an optimiser", is_plan_value, required = true },
  start = spec.map {},
  schedule = spec.value { "a schedule", is_plan_value },
  augment = spec.value { "a perturbation", is_plan_value },
  epochs = spec.integer { min = 0, default = 1 },
  batch = spec.integer { min = 1, max = 1 << 24, default = 128 },
  seed = spec.integer { min = 0, default = 1 },
  clip = spec.number { above = 0 },
  clip_value = spec.number { above = 0 },
  average = spec.number { min = 0, max = 1 },
  validation = spec.any { spec.value { "a part of a data set", is_plan_value }, spec.number { above = 0, below = 1 } },
  choose = spec.choice { "last", "best" },
  choose_by = spec.choice { "accuracy", "loss" },
  patience = spec.integer { min = 1 },
  min_delta = spec.number { min = 0 },
  on_error = spec.choice { "stop", "skip" },
  probes = spec.table { default = {} },
}

--- What the file's plan function gives for these parameters; raises what it raises. Only in the child.
---@param values table
---@return any
---@package
function Recipe:call_plan(values)
  local given = {}
  for key, value in pairs(values) do given[key] = value end
  -- A misspelt parameter would silently be nil.
  setmetatable(given, { __index = function(_, key)
    error(format('the recipe has no parameter "%s"%s', tostring(key), spec.suggest(key, self:names())), 2)
  end })
  local made = self.plan(given) -- no tail call: messages name its line
  return made
end

-- A plan with its defaults, or nil and what is wrong with it.
local function complete(made)
  local checked, problem = spec.examine(made, plan_fields)
  if not checked then return nil, problem end
  for key, probe in pairs(checked.probes) do
    if type(key) ~= "string" or not is_plan_value(probe) then
      return nil, format("probes expects names and probes, got %s = %s", tostring(key), spec.shown(probe))
    end
  end
  return checked
end

-- ---- plans that start from others ----

-- The parameters of the run that another one, with `values`, starts from: its own, with these settings over them.
local function start_values(self, values, settings)
  local out = {}
  for key, value in pairs(values) do out[key] = value end
  for _, key in ipairs(spec.names(settings)) do
    local this = self.params[key]
    if not this then return nil, format('unknown parameter "%s"%s', key, spec.suggest(key, self:names())) end
    local kept, problem = this:check(settings[key])
    if kept == nil then return nil, format("%s %s", key, problem) end
    out[key] = kept
  end
  return out
end

-- A start's settings, in words.
local function settings_text(one)
  local words = {}
  for i, key in ipairs(spec.names(one.settings)) do words[i] = key .. "=" .. param.show(one.start.values[key]) end
  return #words > 0 and concat(words, " ") or "the same parameters"
end

-- What is wrong with the starts of a plan, one after the other; nil when nothing is.
local function chain_problem(first)
  local seen, parts, one = { [first] = true }, {}, first
  for i = 1, CHAIN + 1 do
    if not one.settings then return nil end
    parts[i], one = settings_text(one), one.start
    if seen[one] then
      return "a run starts from itself: from " .. text.tame(concat(parts, ", that from "), 300)
    end
    seen[one] = true
  end
  return format("more than %d runs, each of which starts from the next: from %s", CHAIN,
    text.tame(concat(parts, ", that from "), 300))
end

-- What the child says of one set of parameters, checked: one.plan, and where it starts from another, one.settings and
-- one.start, for which `need` gives what is known of that one's parameters.
local function take(self, one, answer, checker, need)
  if answer.error then return answer.error end
  local made, problem = complete(answer.plan)
  if not made then return format("%s: plan: %s", self.file, text.cut(problem, 500)) end
  one.plan, one.place, one.settings, made.start = made, answer.place or self.file, made.start, nil
  problem = checker(made)
  if problem or not one.settings then return problem end
  local values
  values, problem = start_values(self, one.values, one.settings)
  if not values then return format("%s: plan: start: %s", one.place, text.cut(problem, 500)) end
  one.start = need(values)
end

-- Plans of points, and of those that they start from, by what they start from: { plan, values, start, ... } each.
local function ask_all(self, list)
  local checker = require "plan.check".new(self.file, self.grant)
  local known, upcoming = {}, {}
  local function need(values)
    local key = plan.text(values)
    if not known[key] then
      known[key] = { values = values }
      upcoming[#upcoming + 1] = known[key]
    end
    return known[key]
  end
  local all = {}
  for i, values in ipairs(list) do all[i] = need(values) end
  -- Chains that are too long end here, and are told by who looks at them.
  for _ = 0, CHAIN do
    local asked, points = upcoming, {}
    for i, one in ipairs(asked) do points[i] = one.values end
    local answers, message = require "sandbox".plans(self, points)
    if not answers then return nil, message end
    upcoming = {}
    for i, answer in ipairs(answers) do
      local problem = take(self, asked[i], answer, checker, need)
      if problem then return nil, problem end
    end
    if #upcoming == 0 then break end
  end
  return all
end

--- The plans for several sets of resolved parameters, with their defaults, checked against the constructors' specs
--- before anything is built; one child makes them all. A plan that starts from another run holds that one's whole plan
--- as `start`. What is wrong gives nil and a message that names file and line.
---
--- Example:
---     digits = world.load "(built-in)/digits.lua"
---     plans = digits:make_plans { digits:resolve { seed = 1 }, digits:resolve { seed = 2 } }
---     plan.diff(plans[1], plans[2])
---     --> model.seed  1 → 2
---     --> seed        1 → 2
---@param list table[]
---@return table[]? plans, string? message, table<table, table>? values_of  # a plan in `start` -> its parameters
function Recipe:make_plans(list)
  local all, message = ask_all(self, list)
  if not all then return nil, message end
  local plans, values_of = {}, {}
  for i, first in ipairs(all) do
    local problem = chain_problem(first)
    if problem then return nil, format("%s: plan: start: %s", first.place, problem) end
    local one = first
    while one.start do
      one.plan.start, values_of[one.start.plan] = one.start.plan, one.start.values
      one = one.start
    end
    plans[i] = first.plan
  end
  return plans, nil, values_of
end

--- The plan for resolved parameters; or nil and a message.
---
--- Example:
---     digits = world.load "(built-in)/digits.lua"
---     made = digits:make_plan(digits:resolve { alpha = 0.3 })
---     plan.text(made.optimizer)  --> optim.adam{ lr = 0.001 }
---@param values table
---@return table? plan, string? message, table<table, table>? values_of  # as make_plans gives them
function Recipe:make_plan(values)
  local plans, message, values_of = self:make_plans { values }
  if not plans then return nil, message end
  return plans[1], nil, values_of
end

return M
