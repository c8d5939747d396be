--- The input-gradient penalty's parameter gradient, which is a difference of gradients, against differences of the
--- penalty itself.
local loss = require "loss"
local nn = require "nn"

-- Smooth layers: a network with ReLU has a penalty that jumps.
local function network(with_norm)
  local first = with_norm and nn.BatchNorm2d(4) or nn.GELU()
  local net = nn.Sequential {
    { "conv", nn.Conv2d(2, 4, { kernel_size = 3, padding = 1 }) }, { "norm", first }, { "act", nn.Tanh() },
    { "pool", nn.GlobalAvgPool2d() }, { "fc", nn.Linear(4, 3) },
  }
  return net:initialise(3)
end

local x = nn.uniform({ 5, 6, 6, 2 }, { seed = 1 })
local y = nn.tensor({ 1, 2, 3, 1, 2 }, { type = "index" })

-- R by itself: mean_i ||d sum CE / d x_i||^2.
local function penalty(net, pass)
  local leaf = x:detach():clone()
  leaf.requires_grad = true
  local ce = nn.with_leaf(leaf, function()
    return nn.cross_entropy((net:forward(leaf, pass)), y, { reduction = "sum" })
  end)
  ce:backward()
  return leaf.grad:square():sum():item() / #x
end

-- The largest difference between R's gradient to some weights and its central differences, as a share of the largest.
local function apart(net, objective, pass, training)
  net:zero_grad()
  local value = objective(net, x, y, { training = training })
  assert.near(penalty(net, pass), value:item(), 1e-12)
  value:backward()
  local worst, largest = 0, 0
  for _, entry in ipairs(net:named_parameters()) do
    local w = entry.tensor
    local flat, grad = w:detach():reshape { w:count() }, w.grad:reshape { w:count() }
    for place = 1, w:count(), 3 do
      local kept, delta = flat:get(place), 1e-5
      local sides = {}
      for i, sign in ipairs { 1, -1 } do
        flat:set(place, kept + sign * delta)
        sides[i] = penalty(net, pass)
      end
      flat:set(place, kept)
      worst = math.max(worst, math.abs(grad:get(place) - (sides[1] - sides[2]) / (2 * delta)))
      largest = math.max(largest, math.abs(grad:get(place)))
    end
  end
  return worst / largest
end

describe("the input-gradient penalty", function()
  it("is in double precision", function() assert.equal("double", nn.info().precision) end)

  it("has the gradient of what it says", function()
    local objective = loss.input_gradient { step = 1e-4, batch_stats = "eval" }
    assert.near(0, apart(network(false), objective, { training = false }, false), 1e-6)
  end)

  it("has it through batch statistics, and keeps none", function()
    local net = network(true)
    local before = net:state()["norm.running_mean"]:tolist()
    local objective = loss.input_gradient { step = 1e-4 }
    -- Its images also go through once more, as any loss's, and that pass does update: it is taken out here.
    local quiet = setmetatable({ zero_grad = function() net:zero_grad() end }, { __index = function(_, name)
      if name ~= "forward" then return function(_, ...) return net[name](net, ...) end end
      return function(_, images, options)
        options.update = false
        return net:forward(images, options)
      end
    end })
    assert.near(0, apart(quiet, objective, { training = true, update = false }, true), 1e-6)
    assert.same(before, net:state()["norm.running_mean"]:tolist())
  end)

  it("has an error that falls with the square of the step", function()
    local net = network(false)
    local errors = {}
    for i, step in ipairs { 0.4, 0.2 } do
      errors[i] = apart(net, loss.input_gradient { step = step, batch_stats = "eval" }, { training = false }, false)
    end
    assert.near(4, errors[1] / errors[2], 0.3)
  end)
end)
