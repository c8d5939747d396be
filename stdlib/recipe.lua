--- Recipes: experiments to share. A recipe file (world.lua reads it) returns
---   recipe{ title =, about =, cites =, params =, unstated =, plan = function(p) ... end }
--- where plan(p) builds values only; nothing is computed.
local file = require "file"
local param = require "param"
local plan = require "plan"
local spec = require "spec"

local M = {}

local format = string.format

---@class Recipe
---@field title string
---@field about? string
---@field cites string[]
---@field params table<string, Param>
---@field unstated string[]          # what the paper left open, and what we chose
---@field plan fun(p: table): table
---@field path string
---@field name string                # the file's name without its ending
---@field text string                # the file as it was read
local Recipe = {}
Recipe.__index = Recipe
Recipe.__name = "Recipe"

--- Is it a recipe?
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

--- A recipe from its parts; in a recipe file, `return recipe{ ... }`.
---@param options table
---@return Recipe
function M.new(options)
  local self = setmetatable(spec.check("recipe", options, fields), Recipe)
  for name, value in pairs(self.params) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
      error(format("recipe: a parameter's name is a word, got %s", spec.shown(name)), 2)
    end
    if not param.is_param(value) then
      error(format("recipe: parameter %s expects param.number{...} or the like, got %s", name, spec.shown(value)), 2)
    end
  end
  return self
end

--- The names of the parameters in the order they were written.
---@return string[]
function Recipe:names()
  local names = spec.names(self.params)
  table.sort(names, function(a, b) return self.params[a].place < self.params[b].place end)
  return names
end

--- All parameters: those given (texts from the command line are read, other values checked), the others by default.
--- Something wrong gives nil and a message.
---@param given table<string, any>
---@param as_text? boolean  # the values are texts to be read
---@return table? values, string? message
function Recipe:resolve(given, as_text)
  local _, name = file.split(self.path or "recipe")
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
      if kept == nil then return nil, format("%s: %s %s", name, key, problem) end
      value = kept
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
  schedule = spec.value { "a schedule", is_plan_value },
  augment = spec.value { "a perturbation", is_plan_value },
  epochs = spec.integer { min = 0, default = 1 },
  batch = spec.integer { min = 1, default = 128 },
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

--- The plan for resolved parameters, checked and with its defaults; or nil and a message.
---@param values table
---@return table? plan, string? message
function Recipe:make_plan(values)
  local _, name = file.split(self.path or "recipe")
  local given = {}
  for key, value in pairs(values) do given[key] = value end
  -- A misspelt parameter would silently be nil.
  setmetatable(given, { __index = function(_, key)
    error(format('the recipe has no parameter "%s"%s', tostring(key), spec.suggest(key, self:names())), 2)
  end })
  local ok, made = pcall(self.plan, given)
  if not ok then return nil, tostring(made) end
  local checked, problem = spec.examine(made, plan_fields)
  if not checked then return nil, format("%s: plan: %s", name, problem) end
  for key, probe in pairs(checked.probes) do
    if type(key) ~= "string" or not is_plan_value(probe) then
      return nil, format("%s: plan: probes expects names and probes, got %s = %s", name, tostring(key),
        spec.shown(probe))
    end
  end
  return checked
end

--- The plans for several sets of parameters.
---@param list table[]
---@return table[]? plans, string? message
function Recipe:make_plans(list)
  local plans = {}
  for i, values in ipairs(list) do
    local made, message = self:make_plan(values)
    if not made then return nil, message end
    plans[i] = made
  end
  return plans
end

return M
