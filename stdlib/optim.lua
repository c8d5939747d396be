--- Optimisers, learning-rate schedules and averaged weights.
---
--- `optim.adam{ model:parameters(), lr = 1e-3 }` is an optimiser; without parameters the same call is a plan that
--- `:on(model)` makes one of. A schedule is a value that gives the factor of every group's learning rate for a step;
--- a loss's weights may be schedules, too.
local json = require "json"
local nn = require "nn"
local spec = require "spec"

local M = {}

-- ---- schedules ----

--- A number that depends on the step, counted from 0: the factor of every learning rate, the weight of a loss's term,
--- an attack's eps. `number * schedule` is one too.
---@class Schedule
---@field kind string
---@field options table
---@operator call(integer): number
---@operator mul(number): Schedule
local Schedule = {}
Schedule.__index = Schedule
Schedule.__name = "Schedule"

--- Is it a schedule?
---
--- Example:
---     optim.is_schedule(optim.cosine())  --> true
---@param value any
---@return boolean
function M.is_schedule(value) return getmetatable(value) == Schedule end

--- A number, or what a schedule gives in its place at a step of a training.
---@param value number|Schedule
---@param at { step?: integer, span?: table }
---@return number
---@package
function M.value_at(value, at) return M.is_schedule(value) and value(at.step or 0, at.span) or value end

local unit = spec.choice { "step", "epoch", default = "step" }
local schedule_value = { "a schedule", M.is_schedule }

-- How many steps `n` units are. An epoch has a length only once a training run has said so.
local function in_steps(self, n, span)
  if self.options.unit == "step" then return n end
  if not (span and span.epoch) then
    error(self.kind .. ": unit = \"epoch\" needs the number of steps in one: opt:schedule(value, { epoch = n })", 0)
  end
  return n * span.epoch
end

local schedules = {
  constant = {
    fields = { factor = spec.number { min = 0, default = 1.0 } },
    value = function(self) return self.options.factor end,
  },
  step = {
    fields = { every = spec.integer { min = 1 }, milestones = spec.list { spec.integer { min = 1 }, min = 1 },
               factor = spec.number { above = 0, default = 0.1 }, unit = unit },
    check = function(options)
      if (options.every == nil) == (options.milestones == nil) then return "expected either every or milestones" end
    end,
    value = function(self, step, span)
      local passed = 0
      if self.options.every then
        passed = step // in_steps(self, self.options.every, span)
      else
        for _, milestone in ipairs(self.options.milestones) do
          if step >= in_steps(self, milestone, span) then passed = passed + 1 end
        end
      end
      return self.options.factor ^ passed
    end,
  },
  -- Half a cosine from 1 to the floor (Loshchilov and Hutter 2017, without restarts).
  cosine = {
    fields = { steps = spec.integer { min = 1 }, floor = spec.number { min = 0, max = 1, default = 0.0 },
               unit = unit },
    value = function(self, step, span)
      local total = self.options.steps and in_steps(self, self.options.steps, span) or span and span.steps
      if not total then
        error("cosine: steps is needed outside a training run: optim.cosine{ steps = n }", 0)
      end
      local share = math.min(step / total, 1)
      local floor = self.options.floor
      return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
    end,
  },
  -- (step + 1) / steps: the first step moves, the last of them has the full rate; then `after` from its start.
  warmup = {
    fields = { steps = spec.integer { min = 1, required = true }, after = spec.value(schedule_value), unit = unit },
    value = function(self, step, span)
      local steps, after = in_steps(self, self.options.steps, span), self.options.after
      if step < steps then return (step + 1) / steps end
      if not after then return 1.0 end
      return after(step - steps, span and { epoch = span.epoch, steps = span.steps and span.steps - steps })
    end,
  },
  -- A straight line, then level.
  ramp = {
    fields = { from = spec.number { default = 0.0 }, to = spec.number { default = 1.0 },
               steps = spec.integer { min = 1 }, unit = unit },
    value = function(self, step, span)
      local options = self.options
      local total = options.steps and in_steps(self, options.steps, span) or span and span.steps
      if not total then
        error("ramp: steps is needed outside a training run: optim.ramp{ steps = n }", 0)
      end
      return options.from + (options.to - options.from) * math.min(step / total, 1)
    end,
  },
  -- number * schedule
  scaled = {
    fields = { factor = spec.number { required = true }, of = spec.value(schedule_value) },
    value = function(self, step, span) return self.options.factor * self.options.of(step, span) end,
    describe = function(self) return string.format("%.10g * %s", self.options.factor, self.options.of:describe()) end,
  },
}

--- The factor for a step, counted from 0. span: { steps = of the whole training, epoch = steps in one }, where known.
---
--- Example:
---     optim.cosine()(50, { steps = 100 })  --> 0.5
---@param step integer
---@param span? { steps?: integer, epoch?: integer }
---@return number
function Schedule:__call(step, span) return schedules[self.kind].value(self, step, span) end

local function describe_options(kind, options, fields)
  local parts = {}
  for _, name in ipairs(spec.names(options)) do
    local value = options[name]
    if value ~= fields[name].default then
      parts[#parts + 1] = name .. " " .. (M.is_schedule(value) and value:describe()
        or type(value) == "table" and table.concat(value, ", ") or string.format(type(value) == "number" and "%.10g"
        or "%s", value))
    end
  end
  return kind .. (#parts > 0 and "(" .. table.concat(parts, ", ") .. ")" or "")
end

--- The schedule in words: `cosine(steps 1000)`.
---
--- Example:
---     optim.warmup({ steps = 4, after = optim.cosine() }):describe()  --> warmup(after cosine, steps 4)
---@return string
function Schedule:describe()
  local row = schedules[self.kind]
  return row.describe and row.describe(self) or describe_options(self.kind, self.options, row.fields)
end
Schedule.__tostring = Schedule.describe

-- The constructors end in a tail call of this, so the user's line is its caller's.
local function schedule(kind, options)
  options = spec.check("optim." .. kind, options, schedules[kind].fields)
  local problem = schedules[kind].check and schedules[kind].check(options)
  if problem then error("optim." .. kind .. ": " .. problem, 2) end
  return setmetatable({ kind = kind, options = options }, Schedule)
end

--- The same factor throughout, 1 unless told.
---
--- Example:
---     optim.constant { factor = 0.5 }(100)  --> 0.5
---@param options? { factor?: number }
---@return Schedule
function M.constant(options) return schedule("constant", options) end

--- Times `factor` (0.1) every so many steps, or at each milestone.
---
--- Example:
---     schedule = optim.step { milestones = { 30, 60 } }
---     schedule(29), schedule(30), schedule(60)  --> 1.0  0.1  0.01
---@param options { every?: integer, milestones?: integer[], factor?: number, unit?: "step"|"epoch" }
---@return Schedule
function M.step(options) return schedule("step", options) end

--- Half a cosine from 1 to `floor` over `steps`; without steps, over the whole training run.
---
--- Example:
---     schedule = optim.cosine { steps = 100, floor = 0.1 }
---     schedule(0), schedule(50), schedule(100)  --> 1.0  0.55  0.1
---@param options? { steps?: integer, floor?: number, unit?: "step"|"epoch" }
---@return Schedule
function M.cosine(options) return schedule("cosine", options) end

--- Rises linearly over `steps`, then goes on as `after`.
---
--- Example:
---     schedule = optim.warmup { steps = 4, after = optim.cosine { steps = 100 } }
---     schedule(0), schedule(3), schedule(54)  --> 0.25  1.0  0.5
---@param options { steps: integer, after?: Schedule, unit?: "step"|"epoch" }
---@return Schedule
function M.warmup(options) return schedule("warmup", options) end

--- A straight line over `steps` from one value to another, which then stays; without steps, over the whole training
--- run.
---
--- Example:
---     alpha = 10 * optim.ramp { steps = 100 }
---     alpha, alpha(0), alpha(50), alpha(1000)  --> 10 * ramp(steps 100)  0.0  5.0  10.0
---     loss.cross_entropy() + alpha * loss.continuity { perturb = perturb.hue(0.1) }
---     --> cross_entropy + 10 * ramp(steps 100) * continuity(hue(+0.1))
---@param options? { from?: number, to?: number, steps?: integer, unit?: "step"|"epoch" }  # 0, 1
---@return Schedule
function M.ramp(options) return schedule("ramp", options) end

-- A schedule times a number; what else a number of it may stand before knows how, as a loss does.
function Schedule.__mul(a, b)
  if M.is_schedule(b) then a, b = b, a end
  local other = type(b) == "table" and getmetatable(b)
  if other and not M.is_schedule(b) and other.__mul then return other.__mul(b, a) end
  if type(b) ~= "number" or b ~= b or math.abs(b) == math.huge then
    error("schedule: * expects a schedule and a finite number, got " .. spec.shown(a) .. " and " .. spec.shown(b), 2)
  end
  if a.kind == "scaled" then a, b = a.options.of, b * a.options.factor end
  return setmetatable({ kind = "scaled", options = { factor = b, of = a } }, Schedule)
end

-- A schedule as plain data, and back.
local function schedule_data(value)
  local options = {}
  for name, field in pairs(value.options) do options[name] = M.is_schedule(field) and schedule_data(field) or field end
  return { kind = value.kind, options = options }
end

local function schedule_from(data)
  local options = {}
  for name, field in pairs(data.options) do
    options[name] = type(field) == "table" and field.kind and schedule_from(field) or field
  end
  if not schedules[data.kind] then error("there is no schedule " .. spec.shown(data.kind), 0) end
  return schedule(data.kind, options)
end

-- ---- optimisers ----

local function common(own)
  own.lr = spec.number { min = 0, required = true, doc = "learning rate" }
  own.weight_decay = own.weight_decay or spec.number { min = 0, default = 0.0 }
  own.clip_norm = spec.number { above = 0, doc = "largest norm of all gradients together" }
  own.clip_value = spec.number { above = 0, doc = "largest size of any one gradient" }
  own.schedule = spec.value(schedule_value)
  return own
end

local function adam_fields(decay)
  return common { beta1 = spec.number { min = 0, below = 1, default = 0.9 },
                  beta2 = spec.number { min = 0, below = 1, default = 0.999 },
                  eps = spec.number { above = 0, default = 1e-8 },
                  weight_decay = spec.number { min = 0, default = decay } }
end

local methods = {
  sgd = common { momentum = spec.number { min = 0, below = 1, default = 0.0 },
                 nesterov = spec.flag { default = false } },
  adam = adam_fields(0.0),
  adamw = adam_fields(0.01),
}

-- What belongs to the whole optimiser; the rest a group may set for itself.
local shared = { clip_norm = true, clip_value = true, schedule = true }

local function group_options(options)
  local own = {}
  for name, value in pairs(options) do
    if not shared[name] then own[name] = value end
  end
  return own
end

--- An optimiser without parameters: plan:on(model) makes one of it. train and recipes take it as it is.
---@class OptimizerPlan
---@field method "sgd"|"adam"|"adamw"
---@field options table
local Plan = {}
Plan.__index = Plan
Plan.__name = "OptimizerPlan"

--- What moves parameters along their gradients; opt:step() after backward.
---@class Optimizer
---@field method "sgd"|"adam"|"adamw"
---@field options table
---@field steps integer  # made so far
---@field factor number  # of the schedule in the last step
---@field norm? number   # of the gradients in the last step, before clipping; with clip_norm only
local Optimizer = {}
Optimizer.__index = Optimizer
Optimizer.__name = "Optimizer"

--- The plan in words: `adam(lr 0.001)`.
---
--- Example:
---     optim.adam({ lr = 1e-3, clip_norm = 1 }):describe()  --> adam(clip_norm 1, lr 0.001)
---@return string
function Plan:describe() return describe_options(self.method, self.options, methods[self.method]) end
Plan.__tostring, Optimizer.describe, Optimizer.__tostring = Plan.describe, Plan.describe, Plan.describe

--- Is it a plan without parameters?
---
--- Example:
---     optim.is_plan(optim.adam { lr = 1e-3 })  --> true
---@param value any
---@return boolean
function M.is_plan(value) return getmetatable(value) == Plan end

--- Is it an optimiser?
---
--- Example:
---     optim.is(optim.adam { nn.Linear(2, 2), lr = 1e-3 })  --> true
---@param value any
---@return boolean
function M.is(value) return getmetatable(value) == Optimizer end

local function is_userdata(value, name) return type(value) == "userdata" and getmetatable(value).__name == name end

-- The parameters a place of the options names: a list of tensors, or a model. Nil when it is neither.
local function parameter_list(value)
  if is_userdata(value, "nn.module") then return value:parameters() end
  if type(value) ~= "table" or #value == 0 then return nil end
  for _, item in ipairs(value) do
    if not is_userdata(item, "nn.tensor") then return nil end
  end
  return value
end

local function free(list)
  local out = {}
  for _, tensor in ipairs(list) do
    if tensor.requires_grad then out[#out + 1] = tensor end
  end
  return out
end

local function build(method, groups, options)
  local self = setmetatable({ method = method, options = options, steps = 0, factor = 1.0, groups = {} }, Optimizer)
  self.parameters = {}
  for i, group in ipairs(groups) do
    local list = free(group.params)
    table.move(list, 1, #list, #self.parameters + 1, self.parameters)
    if i == 1 then self.core = nn.Optimizer(method, list, group.options)
    else self.core:add_group(list, group.options) end
    self.groups[i] = { lr = group.options.lr }
  end
  if #self.parameters == 0 then error("optim." .. method .. ": no parameter is free; all are frozen", 0) end
  self.plan, self.clip_norm, self.clip_value = options.schedule, options.clip_norm, options.clip_value
  return self
end

-- Reads the places of an options table: lists of parameters, models, or groups { params =, lr =, ... }.
local function read_groups(who, method, given, options)
  local groups = {}
  for i, place in ipairs(given) do
    local list = parameter_list(place)
    local own = group_options(options)
    if not list and type(place) == "table" and place.params ~= nil then
      list = parameter_list(place.params)
      for name, value in pairs(place) do
        if name ~= "params" then
          local field = not shared[name] and methods[method][name]
          if not field then
            error(string.format('%s: group %d: unknown option "%s"%s', who, i, tostring(name),
                                spec.suggest(name, spec.names(group_options(methods[method])))), 3)
          end
          local fine, kept = field.test(value)
          if not fine then
            error(string.format("%s: group %d: %s expects %s, got %s", who, i, name, field.expects,
                                spec.shown(value)), 3)
          end
          own[name] = kept
        end
      end
    end
    if not list then
      error(string.format("%s: place %d expects a list of parameters, a model, or a group { params = ... }, got %s",
                          who, i, spec.shown(place)), 3)
    end
    groups[i] = { params = list, options = own }
  end
  return groups
end

-- The constructors end in a tail call of this, too.
local function optimizer(method, given)
  local who = "optim." .. method
  if type(given) ~= "table" then error(who .. ": expected a table of options, got " .. spec.shown(given), 2) end
  local named, rates = {}, #given > 0
  for name, value in pairs(given) do
    if math.type(name) ~= "integer" or name < 1 or name > #given then named[name] = value end
  end
  -- Groups that all set their own rate need none beside them.
  for _, place in ipairs(given) do rates = rates and type(place) == "table" and type(place.lr) == "number" end
  if rates and named.lr == nil then named.lr = given[1].lr end
  local options = spec.check(who, named, methods[method])
  if options.nesterov and options.momentum == 0 then error(who .. ": nesterov needs a momentum above 0", 2) end
  if #given == 0 then return setmetatable({ method = method, options = options }, Plan) end
  return build(method, read_groups(who, method, given, options), options)
end

---@class OptimizerOptions
---@field [integer] Tensor[]|Model|table  # places: parameters, models, or groups { params =, lr =, ... }; none: a plan
---@field lr number              # learning rate
---@field weight_decay? number   # 0; adamw: 0.01
---@field clip_norm? number      # the largest norm of all gradients together
---@field clip_value? number     # the largest size of any one gradient
---@field schedule? Schedule     # of the learning rates

---@class SGDOptions: OptimizerOptions
---@field momentum? number   # 0
---@field nesterov? boolean  # false

---@class AdamOptions: OptimizerOptions
---@field beta1? number  # 0.9: of the mean of the gradients
---@field beta2? number  # 0.999: of the mean of their squares
---@field eps? number    # 1e-8

--- Stochastic gradient descent with momentum. Parameters, models or groups { params =, lr =, ... } stand in the table's
--- places; without any, a plan.
---
--- Example:
---     w = nn.tensor({ 4 }, { requires_grad = true })
---     opt = optim.sgd { { w }, lr = 0.1, momentum = 0.9 }
---     for _ = 1, 3 do w:square():sum():backward() opt:step() end
---     w:item()  --> 0.248
---     optim.sgd { lr = 0.1, momentun = 0.9 }
---     --> error: optim.sgd: unknown option "momentun"; did you mean "momentum"?
---@param options SGDOptions
---@return Optimizer|OptimizerPlan
function M.sgd(options) return optimizer("sgd", options) end

--- Adam (Kingma and Ba 2015); weight decay is added to the gradient.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1 }
---     opt = optim.adam { model, lr = 1e-3, clip_norm = 5, schedule = optim.cosine { steps = 1000 } }
---     opt  --> adam(clip_norm 5, lr 0.001, schedule cosine(steps 1000))
---     optim.adam { { params = model:parameters "fc3", lr = 1e-2 }, { params = model:parameters "conv1", lr = 1e-4 } }
---@param options AdamOptions
---@return Optimizer|OptimizerPlan
function M.adam(options) return optimizer("adam", options) end

--- AdamW (Loshchilov and Hutter 2019); weight decay acts on the weights, 0.01 unless told.
---
--- Example:
---     optim.adamw { lr = 1e-3 }  --> adamw(lr 0.001)
---@param options AdamOptions
---@return Optimizer|OptimizerPlan
function M.adamw(options) return optimizer("adamw", options) end

--- An optimiser of the model's parameters.
---
--- Example:
---     plan = optim.adam { lr = 1e-3 }
---     plan:on(nn.Linear(3, 2)):rate()  --> 0.001
---@param model Model
---@return Optimizer
function Plan:on(model)
  return build(self.method, { { params = model:parameters(), options = group_options(self.options) } }, self.options)
end

--- Attaches a schedule. span: { steps = of the whole training, epoch = steps in one }, for schedules that need them.
---
--- Example:
---     opt = optim.sgd { nn.Linear(3, 2), lr = 0.1 }
---     opt:schedule(optim.step { every = 1, unit = "epoch" }, { epoch = 500 }):rate()  --> 0.1
---     opt:schedule(optim.cosine())
---     --> error: cosine: steps is needed outside a training run: optim.cosine{ steps = n }
---@param value Schedule
---@param span? { steps?: integer, epoch?: integer }
---@return Optimizer self
function Optimizer:schedule(value, span)
  if not M.is_schedule(value) then error("schedule: expected a schedule, got " .. spec.shown(value), 2) end
  self.plan, self.span = value, span
  value(0, span) -- a span that is missing is said now, not in the first step
  return self
end

--- Bounds the gradients before each step: their norm all together, or the size of each.
---
--- Example:
---     opt = optim.sgd({ nn.Linear(3, 2), lr = 0.1 }):clip { norm = 1 }
---     opt.clip_norm  --> 1
---@param bounds { norm?: number, value?: number }
---@return Optimizer self
function Optimizer:clip(bounds)
  bounds = spec.check("clip", bounds, { norm = methods.sgd.clip_norm, value = methods.sgd.clip_value })
  self.clip_norm, self.clip_value = bounds.norm or self.clip_norm, bounds.value or self.clip_value
  return self
end

--- The learning rate of a group: the one set for it, times the schedule's factor for the next step.
---
--- Example:
---     optim.sgd({ nn.Linear(3, 2), lr = 0.1, schedule = optim.warmup { steps = 10 } }):rate()  --> 0.01
---@param group? integer
---@return number
function Optimizer:rate(group)
  local this = self.groups[group or 1]
  if not this then
    error(string.format("rate: expected a group from 1 to %d, got %s", #self.groups, spec.shown(group)), 2)
  end
  return this.lr * (self.plan and self.plan(self.steps, self.span) or 1.0)
end

--- Applies the gradients, clipped where asked, then clears them.
---
--- Example:
---     model = nn.Linear(2, 1)
---     opt = optim.sgd { model, lr = 0.1 }
---     model(nn.ones { 8, 2 }):square():mean():backward()
---     opt:step()
---     opt.steps, model:parameters()[1].grad  --> 1  nil
function Optimizer:step()
  if self.plan then
    self.factor = self.plan(self.steps, self.span)
    for i, group in ipairs(self.groups) do self.core:set(i, "lr", group.lr * self.factor) end
  end
  if self.clip_value then nn.clip_grad_value(self.parameters, self.clip_value) end
  if self.clip_norm then self.norm = nn.clip_grad_norm(self.parameters, self.clip_norm) end
  self.core:step()
  self.steps = self.steps + 1
end

--- Forgets the gradients without applying them.
---
--- Example:
---     w = nn.ones({ 2 }, { requires_grad = true })
---     opt = optim.sgd { { w }, lr = 0.1 }
---     w:sum():backward()
---     opt:zero_grad()
---     w.grad  --> nil
function Optimizer:zero_grad() self.core:zero_grad() end

-- What an optimiser holds beside its parameters and groups.
local position = { "steps", "factor", "norm", "clip_norm", "clip_value", "span" }

--- Everything that its next steps depend on, for a checkpoint: plain data, and tensors by name ("3.exp_avg" belongs to
--- its third parameter).
---
--- Example:
---     opt = optim.adam { nn.Linear(3, 2), lr = 1e-3 }
---     data, tensors = opt:state()
---     data.method, data.steps  --> adam  0
---@return table data, table<string, Tensor> tensors
function Optimizer:state()
  local data, tensors = { method = self.method, groups = {}, updates = {} }, {}
  for _, name in ipairs(position) do data[name] = self[name] end
  data.schedule = self.plan and schedule_data(self.plan)
  for i, group in ipairs(self.groups) do
    data.groups[i] = self.core:options(i)
    data.groups[i].lr = group.lr
  end
  for i = 1, #self.parameters do
    local own
    data.updates[i], own = self.core:state(i)
    for name, tensor in pairs(own) do tensors[i .. "." .. name] = tensor end
  end
  return data, tensors
end

-- The places whose tensors are there, checked: { { name = tensor }, ... }.
local function places_of(self, tensors)
  local places = {}
  for i = 1, #self.parameters do places[i] = {} end
  for key, tensor in pairs(tensors) do
    local at, name = key:match "^(%d+)%.(.+)$"
    local place = places[tonumber(at)]
    if not place then error(string.format("its state \"%s\" belongs to no parameter", key), 0) end
    local shape, expected = table.concat(tensor.shape, "x"), table.concat(self.parameters[tonumber(at)].shape, "x")
    if shape ~= expected then
      error(string.format("its state \"%s\" is [%s], the parameter [%s]", key, shape, expected), 0)
    end
    place[name] = tensor
  end
  return places
end

--- The way back: checks that state() of an optimiser like this one gave these, and returns the function that puts them
--- in place, options and schedule included. Raises when they do not fit; nothing has changed then.
---
--- Example:
---     model = nn.Linear(3, 2)
---     opt = optim.adam { model, lr = 1e-3 }
---     model(nn.ones { 1, 3 }):sum():backward()
---     opt:step()
---     other = optim.adam { model, lr = 1 }
---     other:restoring(opt:state())()
---     other.steps, other:rate()  --> 1  0.001
---@param data table
---@param tensors table<string, Tensor>
---@return fun() apply
function Optimizer:restoring(data, tensors)
  if data.method ~= self.method then
    error(string.format("the optimiser is %s, the saved one %s", self.method, tostring(data.method)), 0)
  elseif #data.groups ~= #self.groups or #data.updates ~= #self.parameters then
    error(string.format("the optimiser has %d parameters in %d groups, the saved one %d in %d", #self.parameters,
                        #self.groups, #data.updates, #data.groups), 0)
  end
  for _, group in ipairs(data.groups) do nn.Optimizer(self.method, {}, group) end -- which checks the options
  local places = places_of(self, tensors)
  local plan = data.schedule and schedule_from(data.schedule)
  return function()
    for _, name in ipairs(position) do self[name] = data[name] ~= json.null and data[name] or nil end
    self.plan = plan
    local options = { schedule = plan, clip_norm = self.clip_norm, clip_value = self.clip_value }
    for name in pairs(group_options(methods[self.method])) do options[name] = data.groups[1][name] end
    self.options = options
    for i, group in ipairs(data.groups) do
      self.groups[i].lr = group.lr
      -- First without: momentum and nesterov are checked against each other.
      if group.nesterov ~= nil then self.core:set(i, "nesterov", false) end
      for _, name in ipairs(spec.names(group)) do
        if name ~= "nesterov" then self.core:set(i, name, group[name]) end
      end
      if group.nesterov then self.core:set(i, "nesterov", true) end
    end
    for i, place in ipairs(places) do self.core:set_state(i, data.updates[i], place) end
  end
end

-- ---- averaged weights ----

--- Averaged weights of a model, as optim.average keeps them.
---@class Average
local Average = {}
Average.__index = Average
Average.__name = "Average"

-- A model's parameters and running statistics, in a fixed order, and their names.
local function state_list(model)
  local state = model:state()
  local out, names = {}, {}
  for _, name in ipairs(spec.names(state)) do
    if state[name].type == "float" then
      out[#out + 1] = state[name]
      names[#names + 1] = name
    end
  end
  return out, names
end

--- An exponential moving average of a model's weights and running statistics: average = decay * average +
--- (1 - decay) * weight at every `update`. It starts as a copy of the model.
---
--- Example:
---     model = nn.Linear(3, 2)
---     average = optim.average { model, decay = 0.99 }
---     average:update()
---     average.updates  --> 1
---@param options { [1]: Model, decay?: number }
---@return Average
function M.average(options)
  options = spec.check("optim.average", options,
                       { spec.any { required = true }, decay = spec.number { min = 0, max = 1, default = 0.999 } })
  local self = setmetatable({ model = options[1], decay = options.decay, updates = 0, tensors = {} }, Average)
  for i, tensor in ipairs(state_list(self.model)) do self.tensors[i] = tensor:detach():clone() end
  return self
end

--- Takes the model's present weights in; call it after the optimiser's step.
---
--- Example:
---     model = nn.Linear(1, 1, { bias = false })
---     average = optim.average { model, decay = 0.5 }
---     before = model:parameters()[1]:item()
---     model:parameters()[1]:fill(before + 1)
---     average:update()
---     average:swapped(function() return model:parameters()[1]:item() - before end)  --> 0.5
function Average:update()
  nn.average_update(self.tensors, state_list(self.model), self.decay)
  self.updates = self.updates + 1
end

--- For a checkpoint: plain data, and the averages by the names of the model's tensors.
---
--- Example:
---     data, tensors = optim.average({ nn.Linear(3, 2) }):state()
---     data.decay, tensors.weight.shape  --> 0.999  { 2, 3 }
---@return table data, table<string, Tensor> tensors
function Average:state()
  local tensors = {}
  local _, names = state_list(self.model)
  for i, name in ipairs(names) do tensors[name] = self.tensors[i] end
  return { decay = self.decay, updates = self.updates }, tensors
end

--- The way back, as Optimizer:restoring.
---
--- Example:
---     model = nn.Linear(3, 2)
---     average, other = optim.average { model }, optim.average { model }
---     average:update()
---     other:restoring(average:state())()
---     other.updates  --> 1
---@param data table
---@param tensors table<string, Tensor>
---@return fun() apply
function Average:restoring(data, tensors)
  local _, names = state_list(self.model)
  for i, name in ipairs(names) do
    local shape = tensors[name] and table.concat(tensors[name].shape, "x")
    local expected = table.concat(self.tensors[i].shape, "x")
    if shape ~= expected then
      error(string.format('its average "%s" is %s, the model\'s tensor [%s]', name, shape and "[" .. shape .. "]"
                          or "missing", expected), 0)
    end
  end
  return function()
    self.decay, self.updates = data.decay, data.updates
    for i, name in ipairs(names) do self.tensors[i]:copy(tensors[name]) end
  end
end

local function swap(self)
  nn.no_grad(function()
    for i, tensor in ipairs(state_list(self.model)) do
      local kept = tensor:detach():clone()
      tensor:copy(self.tensors[i])
      self.tensors[i]:copy(kept)
      kept:free()
    end
  end)
end

--- Runs a function while the model has the averaged weights; its own are back afterwards, whatever happens.
---
--- Example:
---     model = nn.Linear(3, 2)
---     average = optim.average { model }
---     average:swapped(function() return model(nn.ones { 1, 3 }).shape end)  --> { 1, 2 }
---@param f fun(...): ...
---@param ... any   # what f is called with
---@return any ...  # what f returns
function Average:swapped(f, ...)
  swap(self)
  local results = table.pack(pcall(f, ...))
  swap(self)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- What a recipe's plan may name, as in loss.lua.
---@package
M.constructors = { constant = M.constant, step = M.step, cosine = M.cosine, warmup = M.warmup, ramp = M.ramp,
                   sgd = M.sgd, adam = M.adam, adamw = M.adamw }

return M
