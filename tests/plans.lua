--- Plans against the composition that is their reference: models drawn at random, and what two steps of a model leave.
local nn <const> = require "nn"
local optim <const> = require "optim"

local M = {}

-- ---- drawing ----

-- pick(list) is an element of it, by a sequence of its own for each seed.
local function picker(seed)
  local drawn = 0
  return function(list)
    drawn = drawn + 1
    return list[1 + math.floor(nn.random(seed, 0, drawn) * #list)]
  end
end

local function out_size(size, window, stride, padding, dilation)
  return (size + 2 * padding - dilation * (window - 1) - 1) // stride + 1
end

-- Sets height and width of the state to what a window leaves of them; false when that is nothing.
local function slide(s, window, stride, padding, dilation)
  local h, w = out_size(s.h, window, stride, padding, dilation), out_size(s.w, window, stride, padding, dilation)
  if h < 1 or w < 1 then return false end
  s.h, s.w = h, w
  return true
end

-- A layer takes pick and the state { n, h, w, c, shared } of what it reads, changes the state to what it leaves, and
-- returns a function that makes the module, or nil where it does not fit. A convolution given `same` keeps the shape.
local layers <const> = {}

function layers.conv(pick, s, same)
  local inputs, size = s.c, pick { 1, 2, 3, 3, 3, 5 }
  if same then size = pick { 1, 3, 3, 5 } end
  local options = { kernel_size = size, stride = same and 1 or pick { 1, 1, 2, 3 },
                    dilation = size < 4 and pick { 1, 1, 1, 2 } or 1, groups = pick { 1, 1, 1, 2, inputs },
                    bias = pick { true, false } }
  options.padding = same and options.dilation * (size // 2) or pick { 0, 1, 1, 2 }
  if inputs % options.groups ~= 0 then options.groups = 1 end
  local outputs = pick { 1, 3, 4, 8, 16, 17, inputs }
  if same or outputs % options.groups ~= 0 then outputs = inputs end
  if not slide(s, size, options.stride, options.padding, options.dilation) then return nil end
  s.c = outputs
  return function() return nn.Conv2d(inputs, outputs, options) end
end

-- Statistics of a handful of values are too badly conditioned to be compared.
function layers.norm(_, s)
  local channels, values = s.c, s.n * s.h * s.w
  return values >= 5 and function() return nn.BatchNorm2d(channels) end or nil
end

function layers.pool(pick, s)
  local size = pick { 2, 3 }
  local options = { stride = pick { 1, 2, 3 }, padding = pick { 0, 1 } }
  local make = pick { nn.MaxPool2d, nn.AvgPool2d }
  return slide(s, size, options.stride, options.padding, 1) and function() return make(size, options) end or nil
end

function layers.relu() return function() return nn.ReLU() end end
function layers.leaky() return function() return nn.LeakyReLU { slope = 0.1 } end end
function layers.tanh() return function() return nn.Tanh() end end
function layers.dropout() return function() return nn.Dropout { p = 0.3 } end end

-- Both multiply by constants; of many channels only one constant for all.
function layers.normalize(_, s)
  if s.c > 8 then return function() return nn.Scale(0.75) end end
  local mean, deviation = {}, {}
  for c = 1, s.c do mean[c], deviation[c] = 0.1 * (c % 5), 0.5 + 0.25 * (c % 3) end
  return function() return nn.Normalize(mean, deviation) end
end

-- One module in several places of a tree.
function layers.shared(pick, s)
  local kind = pick { "norm", "conv", "relu" }
  local name, made = kind .. s.c, s.shared
  local make = made[name] or layers[kind](pick, s, true)
  made[name] = make
  return make and function(modules)
    modules[name] = modules[name] or make(modules)
    return modules[name]
  end
end

function layers.sequence(pick, s, same, depth) return M.sequence(pick, s, pick { 0, 1, 2, 3 }, same, depth + 1) end

-- Without a projection the body keeps the shape. With one, both sides are given the same stride and channels.
function layers.residual(pick, s, same, depth)
  local before = { n = s.n, h = s.h, w = s.w, c = s.c, shared = s.shared }
  local body, shortcut
  local kind = pick { "identity", "identity", "projection", "padded", "body" }
  local activation = pick { "relu", "relu", "none" }
  if same or kind == "identity" then
    body = M.sequence(pick, s, pick { 0, 1, 2, 4 }, true, depth + 1)
  else
    local stride, outputs = pick { 1, 2 }, kind == "padded" and s.c + pick { 0, 1, 5 } or pick { 3, 8, 17 }
    local first = M.sequence(pick, s, pick { 0, 1, 2 }, true, depth + 1)
    local inputs, bias = before.c, pick { true, false }
    local tail = pick { {}, { "norm" }, { "norm", "relu", "conv" }, { "conv", "norm" }, { "relu", "relu" } }
    if not slide(s, 3, stride, 1, 1) then return nil end
    s.c = outputs
    local rest = {}
    for i, name in ipairs(tail) do rest[i] = layers[name](pick, s, true) end
    body = function(modules)
      local list = { first(modules), nn.Conv2d(inputs, outputs, { stride = stride, padding = 1, bias = bias }) }
      for _, make in ipairs(rest) do list[#list + 1] = make(modules) end
      return nn.Sequential(list)
    end
    local normed = pick { true, false } and layers.norm(pick, s)
    shortcut = kind == "padded" and function() return nn.ZeroPadShortcut(inputs, outputs, { stride = stride }) end
      or function(modules)
        local conv = nn.Conv2d(inputs, outputs, { kernel_size = 1, stride = stride, bias = not bias })
        return nn.Sequential { conv, normed and normed(modules) or nil }
      end
  end
  return function(modules)
    return nn.Residual { body(modules), downsample = shortcut and shortcut(modules), activation = activation }
  end
end

local ANY <const> = { "conv", "conv", "conv", "norm", "norm", "norm", "relu", "relu", "leaky", "tanh", "pool",
                      "dropout", "normalize", "shared", "sequence", "residual", "residual" }
local SAME <const> = { "conv", "conv", "norm", "norm", "relu", "relu", "leaky", "dropout", "normalize", "shared",
                       "sequence", "residual" }
local DEPTH <const> = 3

--- `count` layers one after the other; `same`: what leaves has the shape of what comes in.
function M.sequence(pick, s, count, same, depth)
  local list = {}
  while #list < count do
    local name = pick(same and SAME or ANY)
    if depth < DEPTH or (name ~= "sequence" and name ~= "residual") then
      list[#list + 1] = layers[name](pick, s, same, depth)
    end
  end
  return function(modules)
    local children = {}
    for i, make in ipairs(list) do children[i] = make(modules) end
    return nn.Sequential(children)
  end
end

-- What may come last: each takes what the layers before left.
local endings <const> = {
  function(pick, s) return M.sequence(pick, s, 1, false, DEPTH) end,
  function(_, s)
    local inputs = s.c
    return function() return nn.Sequential { nn.GlobalAvgPool2d(), nn.Linear(inputs, 5) } end
  end,
  function(pick, s)
    local inputs, bias, norm = s.h * s.w * s.c, pick { true, false }, s.n >= 5
    local function rescale() return nn.Scale(0.1) end
    local after = pick { nn.ReLU, nn.Tanh, nn.Dropout, nn.Flatten, rescale }
    return function()
      return nn.Sequential { nn.Flatten(), nn.Linear(inputs, 6, { bias = bias }),
                             norm and nn.BatchNorm2d(6) or nn.Tanh(), after() }
    end
  end,
  function() return function() return nn.Flatten() end end,
  function() return function() return nn.GlobalMaxPool2d() end end,
}

--- A model drawn from a seed, and a shape for its input.
---@param seed integer
---@return fun(): Model make  # the same model at every call
---@return integer[] shape
function M.draw(seed)
  local pick = picker(seed)
  local s = { n = pick { 2, 5, 6 }, h = pick { 5, 6, 7, 9 }, w = pick { 4, 5, 8 }, c = pick { 1, 2, 3, 8 } }
  s.shared = {}
  local shape = { s.n, s.h, s.w, s.c }
  local body = M.sequence(pick, s, pick { 4, 6, 8, 10 }, false, 1)
  local ending = pick(endings)(pick, s)
  return function()
    local modules = {}
    return M.randomise(nn.Sequential { body(modules), ending(modules) }:initialise(seed), seed)
  end, shape
end

--- Draws biases, norms' weights and running statistics of an initialised model: none of them is 0 or 1 then.
---@param model Model
---@param seed integer
---@return Model
function M.randomise(model, seed)
  for i, row in ipairs(model:named_parameters()) do
    if #row.tensor.shape == 1 then
      local low = row.name:find "weight$" and 0.5 or -0.5
      row.tensor:detach():copy(nn.uniform(row.tensor.shape, { low = low, high = low + 1, seed = seed + i }))
      if row.name:find "weight$" and i % 3 == 0 then row.tensor:detach():set(1, -0.75) end
    end
  end
  for i, row in ipairs(model:buffers()) do
    local low = row.name:find "var$" and 0.5 or -0.5
    row.tensor:copy(nn.uniform(row.tensor.shape, { low = low, high = low + 1, seed = seed + 1000 + i }))
  end
  return model
end

-- ---- comparing ----

--- Largest difference, and the largest element of b.
---@param a Tensor
---@param b Tensor
---@return number difference
---@return number size
function M.difference(a, b)
  assert(table.concat(a.shape, "x") == table.concat(b.shape, "x"), "shapes differ")
  if a:count() == 0 then return 0, 0 end
  return (a - b):abs():max():item(), b:abs():max():item()
end

--- Copies of everything that a call and its way back leave: y, the gradients (false where there is none), the buffers.
---@param model Model
---@param y Tensor
---@param x? Tensor
---@return { name: string, kind: string, value: Tensor|false }[]
function M.outcome(model, y, x)
  local list = { { name = "y", kind = "value", value = y:detach():clone() } }
  local function add(name, kind, t) list[#list + 1] = { name = name, kind = kind, value = t and t:clone() or false } end
  if x then add("x.grad", "gradient", x.grad) end
  for _, row in ipairs(model:named_parameters()) do add(row.name .. ".grad", "gradient", row.tensor.grad) end
  for _, row in ipairs(model:buffers()) do add(row.name, "value", row.tensor) end
  return list
end

--- Raises when two outcomes differ by more than `tolerance` of the largest number of their kind, value or gradient:
--- gradients that are truly 0 have only rounding in them.
---@param found table
---@param expected table
---@param tolerance number|{ value: number, gradient: number }
---@param what? string
function M.same(found, expected, tolerance, what)
  local sizes, worst = { value = 1e-3, gradient = 1e-3 }, {}
  assert(#found == #expected)
  for i, e in ipairs(expected) do
    local f = found[i]
    assert(f.name == e.name and (f.value == false) == (e.value == false),
      ("%s%s: %s, expected %s"):format(what and what .. ": " or "", e.name, f.value and "there" or "absent",
                                       e.value and "there" or "absent"))
    if e.value then
      local difference, size = M.difference(f.value, e.value)
      sizes[e.kind] = math.max(sizes[e.kind], size)
      worst[#worst + 1] = { name = e.name, kind = e.kind, difference = difference }
    end
  end
  for _, row in ipairs(worst) do
    local error_size = row.difference / sizes[row.kind]
    if not (error_size <= (type(tolerance) == "table" and tolerance[row.kind] or tolerance)) then
      error(("%s%s differs by %.3g of %.3g"):format(what and what .. ": " or "", row.name, row.difference,
                                                    sizes[row.kind]), 2)
    end
  end
end

--- Whether y, which requires a gradient, comes from a plan.
---@param y Tensor
---@return boolean
function M.planned(y)
  local _, message = pcall(function() y.requires_grad = false end)
  return message:find("the result of model", 1, true) ~= nil
end

--- Which parameters want a gradient: all of them, none, or some.
---@param model Model
---@param which "all"|"none"|"some"
function M.choose_gradients(model, which)
  for i, t in ipairs(model:parameters()) do
    t.requires_grad = which == "all" or (which == "some" and nn.random(7, 0, i) < 0.5)
  end
end

--- Steps of SGD (or, without gradients to parameters, plain calls) and what each leaves.
---@param model Model
---@param shape integer[]
---@param options { training: boolean, x_gradient: boolean, gradients: string, composed: boolean, steps: integer }
---@return table[] outcomes
function M.steps(model, shape, options)
  M.choose_gradients(model, options.gradients)
  local free, outcomes = {}, {}
  for _, t in ipairs(model:parameters()) do
    if t.requires_grad then free[#free + 1] = t end
  end
  local opt = #free > 0 and optim.sgd { free, lr = 0.01 }
  for step = 1, options.steps do
    local x = nn.uniform(shape, { low = -1, high = 1, seed = step })
    x.requires_grad = options.x_gradient
    local y = model:forward(x, { training = options.training, seed = 40 + step, composed = options.composed })
    assert(y.requires_grad == (options.x_gradient or #free > 0), "y.requires_grad")
    assert(not y.requires_grad or M.planned(y) ~= (options.composed == true), "which way it ran")
    if y.requires_grad then y:backward(nn.uniform(y.shape, { low = -1, high = 1, seed = 90 + step })) end
    outcomes[step] = M.outcome(model, y, x)
    if opt then opt:step() end
    model:zero_grad()
  end
  return outcomes
end

local function describe(o)
  return ("%s, x %s gradient, parameters with: %s"):format(o.training and "training" or "evaluation",
                                                           o.x_gradient and "with" or "without", o.gradients)
end

--- Compares plan and composition over two steps, in training and evaluation, for each choice of gradients.
---@param make fun(): Model
---@param shape integer[]
---@param tolerance number|{ value: number, gradient: number }
---@param only? { training?: boolean, x_gradient?: boolean, gradients?: string, steps?: integer }
function M.compare(make, shape, tolerance, only)
  only = only or {}
  for _, training in ipairs { true, false } do
    for _, x_gradient in ipairs { true, false } do
      for _, gradients in ipairs { "all", "none", "some" } do
        local o = { training = training, x_gradient = x_gradient, gradients = gradients,
                    steps = only.steps or 2 }
        local wanted = true
        for name, value in pairs(only) do wanted = wanted and o[name] == value end
        if wanted then
          local planned = M.steps(make(), shape, o)
          o.composed = true
          local composed = M.steps(make(), shape, o)
          for step = 1, o.steps do
            M.same(planned[step], composed[step], tolerance, ("%s, step %d"):format(describe(o), step))
          end
        end
      end
    end
  end
end

return M
