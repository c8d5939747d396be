--- What a module computes by its plan is what its layers compute one by one: values, gradients (also which are absent),
--- running statistics. In double the two differ by rounding alone, unless a network amplifies it.
local models <const> = require "models"
local nn <const> = require "nn"
local optim <const> = require "optim"
local plans <const> = require "tests.plans"

local TIGHT <const> = 2e-11
local DEEP <const> = 1e-8  -- batch norm of few values, many times over

describe("a family of models, by plan and layer by layer,", function()
  local normalize = { mean = { 0.4, 0.5, 0.6 }, std = { 0.2, 0.3, 0.25 } }
  local attacked = { training = false, x_gradient = true, gradients = "none", steps = 1 }
  local cases = {
    { "mlp", { inputs = 7, hidden = { 9, 5 }, classes = 3, dropout = 0.25 }, { 6, 7 }, TIGHT },
    { "mlp", { shape = { 3, 5, 3 }, hidden = { 8 }, classes = 4, normalize = normalize }, { 5, 3, 5, 3 }, TIGHT },
    { "lenet", { size = 15, channels = 3, classes = 10, normalize = normalize }, { 3, 15, 15, 3 }, TIGHT },
    { "resnet8", { classes = 5, channels = 1 }, { 3, 9, 7, 1 }, TIGHT },
    { "resnet8", { classes = 5, shortcut = "B", normalize = normalize }, { 4, 7, 9, 3 }, TIGHT },
    { "resnet20", { classes = 5, shortcut = "B" }, { 3, 9, 9, 3 }, DEEP, { x_gradient = true, gradients = "all" } },
    { "resnet56", { classes = 5 }, { 2, 9, 9, 3 }, DEEP, { training = true, x_gradient = false, gradients = "all" } },
    { "resnet18", { classes = 5 }, { 2, 7, 9, 3 }, DEEP, { training = true, x_gradient = false, gradients = "all" } },
    { "resnet18", { classes = 5, stem = "imagenet" }, { 2, 17, 19, 3 }, DEEP, attacked },
    { "resnet34", { classes = 5, normalize = normalize }, { 1, 5, 5, 3 }, DEEP, attacked },
    { "resnet50", { classes = 5, stem = "imagenet" }, { 1, 17, 19, 3 }, DEEP, attacked },
  }
  local seen = {}
  for place, case in ipairs(cases) do
    local name, options, shape, tolerance, only = table.unpack(case)
    seen[name] = true
    it(("%s, case %d"):format(name, place), function()
      options.seed = place
      local model
      local function make()
        if only ~= attacked or not model then model = plans.randomise(models[name](options), place) end
        return model
      end
      plans.compare(make, shape, tolerance, only)
    end)
  end
  it("is every family", function()
    for _, name in ipairs(models.names()) do assert.truthy(seen[name], name) end
  end)
end)

describe("a model drawn at random, by plan and layer by layer,", function()
  for first = 1, 64, 8 do
    it(("%d to %d"):format(first, first + 7), function()
      for seed = first, first + 7 do
        local make, shape = plans.draw(seed)
        local ok, message = pcall(plans.compare, make, shape, TIGHT)
        assert(ok, ("seed %d: %s\n%s"):format(seed, message, not ok and make()))
      end
    end)
  end
end)

-- ---- one model, and what may happen between its calls ----

local SHAPE <const> = { 5, 7, 6, 2 }

local function build()
  local function block(inputs, outputs, stride, shortcut)
    return nn.Residual {
      { "conv1", nn.Conv2d(inputs, outputs, { stride = stride, padding = 1, bias = false }) },
      { "bn1", nn.BatchNorm2d(outputs) }, { "relu", nn.ReLU() },
      { "conv2", nn.Conv2d(outputs, outputs, { padding = 1 }) }, { "bn2", nn.BatchNorm2d(outputs) },
      downsample = shortcut }
  end
  return plans.randomise(nn.Sequential {
    { "normalize", nn.Normalize({ 0.1, 0.2 }, { 0.5, 0.75 }) },
    { "conv", nn.Conv2d(2, 4, { padding = 1 }) }, { "bn", nn.BatchNorm2d(4) }, { "relu", nn.ReLU() },
    { "block1", block(4, 17, 2, nn.Sequential { nn.Conv2d(4, 17, { kernel_size = 1, stride = 2 }),
                                                nn.BatchNorm2d(17) }) },
    { "block2", block(17, 17, 1) },
    { "pool", nn.GlobalAvgPool2d() }, { "dropout", nn.Dropout { p = 0.25 } }, { "fc", nn.Linear(17, 3) },
    { "tanh", nn.Tanh() },
  }:initialise(3), 3)
end

local function input(seed, shape)
  local x = nn.uniform(shape or SHAPE, { low = -1, high = 1, seed = seed })
  x.requires_grad = true
  return x
end

local function direction(y, seed) return nn.uniform(y.shape, { low = -1, high = 1, seed = seed }) end

-- Runs the story by plans and by compositions and compares what it reports. It is given the model, a forward function
-- and one that takes down what has been left so far.
local function compare_stories(story)
  local reports = {}
  for way, composed in ipairs { false, true } do
    local model, list = build(), {}
    local function forward(x, options)
      local o = { composed = composed, seed = 5 }
      for name, value in pairs(options or {}) do o[name] = value end
      return (model:forward(x, o))
    end
    story(model, forward, function(y, x) list[#list + 1] = plans.outcome(model, y, x) end, composed)
    reports[way] = list
  end
  assert.is_true(#reports[2] > 0)
  for i, expected in ipairs(reports[2]) do plans.same(reports[1][i], expected, TIGHT, "report " .. i) end
end

describe("a plan", function()
  local training = { training = true }

  it("adds gradients up over calls", function()
    compare_stories(function(_, forward, report)
      local x = input(1)
      for call = 1, 2 do
        local y = forward(x, training)
        y:backward(direction(y, call))
        report(y, x)
      end
    end)
  end)

  it("can go back twice with keep_graph", function()
    for _, mode in ipairs { true, false } do
      compare_stories(function(_, forward, report)
        local x = input(1)
        local y = forward(x, { training = mode })
        for call = 1, 3 do
          y:backward(direction(y, call), { keep_graph = call < 3 })
          report(y, x)
        end
      end)
    end
  end)

  it("may be under way several times", function()
    for _, order in ipairs { { 1, 2, 3 }, { 3, 1, 2 }, { 2, 3, 1 } } do
      compare_stories(function(_, forward, report)
        local x, y = {}, {}
        for call, mode in ipairs { true, true, false } do
          x[call] = input(call)
          y[call] = forward(x[call], { training = mode, seed = call })
        end
        for _, call in ipairs(order) do
          y[call]:backward(direction(y[call], call))
          report(y[call], x[call])
        end
      end)
    end
  end)

  it("reads and leaves the same x for two calls", function()
    compare_stories(function(_, forward, report)
      local x = input(1)
      local sum = forward(x, { training = true, seed = 1 }) * forward(x, { training = true, seed = 2 })
      sum:backward(direction(sum, 3))
      report(sum, x)
    end)
  end)

  it("takes x that is itself computed, of any layout", function()
    compare_stories(function(_, forward, report)
      local x = input(1, { 6, 2, 5, 7 })
      local turned = (x * 2):transpose(1, 3):transpose(2, 4)
      local y = forward(turned, training)
      y:backward(direction(y, 2))
      report(y, x)
    end)
  end)

  it("is made for each shape", function()
    compare_stories(function(_, forward, report)
      for call, shape in ipairs { SHAPE, { 4, 9, 5, 2 }, SHAPE, { 2, 7, 6, 2 }, SHAPE } do
        local x = input(call, shape)
        local y = forward(x, training)
        y:backward(direction(y, call))
        report(y, x)
      end
    end)
  end)

  -- Evaluation of a frozen model keeps weights prepared, with the norms in them.
  local changes = {
    ["an optimiser's step"] = function(model, forward)
      model:unfreeze()
      forward(input(9), training):sum():backward()
      optim.sgd({ model:parameters(), lr = 0.1 }):step()
      model:freeze()
    end,
    ["tensor:copy"] = function(model)
      for _, t in ipairs(model:parameters()) do t:copy(nn.uniform(t.shape, { low = -1, seed = 8 })) end
    end,
    ["running statistics"] = function(_, forward) forward(input(9), training) end,
    ["a norm's weight alone"] = function(model) model:state()["block1.bn2.weight"]:fill(0.3) end,
    ["a norm's bias alone"] = function(model) model:state()["block1.bn2.bias"]:fill(0.3) end,
    ["a running mean alone"] = function(model) model:state()["bn.running_mean"]:fill(0.3) end,
    ["a running variance alone"] = function(model) model:state()["bn.running_var"]:fill(0.3) end,
    ["an element"] = function(model) model:state()["conv.weight"]:set(1, 2, 1, 3, 5) end,
    ["a view"] = function(model) model:state()["conv.weight"]:reshape({ -1 }):detach():fill(0.1) end,
    ["initialise"] = function(model) model:initialise(77) end,
  }
  for name, change in pairs(changes) do
    it("sees weights changed by " .. name, function()
      compare_stories(function(model, forward, report)
        model:freeze()
        for call = 1, 3 do
          local x = input(1)
          local y = forward(x)
          y:backward(direction(y, call))
          report(y, x)
          report(nn.no_grad(forward, x))
          if call < 3 then change(model, forward) end
          model:zero_grad()
        end
      end)
    end)
  end

  it("follows a model that is frozen, run, unfrozen in part and trained", function()
    compare_stories(function(model, forward, report)
      local x = input(1)
      for call, act in ipairs { "freeze", "unfreeze", "freeze" } do
        model[act](model, call == 3 and "block2" or nil)
        report(nn.no_grad(forward, x))
        for _, mode in ipairs { false, true } do
          model:zero_grad()
          local y = forward(x, { training = mode })
          y:backward(direction(y, call))
          report(y, x)
        end
      end
    end)
  end)

  it("is not disturbed by calls between forward and backward", function()
    compare_stories(function(_, forward, report)
      local x = input(1)
      local y = forward(x, training)
      report(nn.no_grad(forward, x))
      report(nn.no_grad(forward, x, training))
      report(forward(input(2)))
      y:backward(direction(y, 1))
      report(y, x)
    end)
  end)

  it("goes back with the running statistics that it went forth with", function()
    compare_stories(function(model, forward, report)
      local x = input(1)
      for _, act in ipairs { "freeze", "unfreeze" } do
        model[act](model)
        local y = forward(x)
        nn.no_grad(forward, input(2), training)
        y:backward(direction(y, 1))
        report(y, x)
        report(nn.no_grad(forward, x))
      end
    end)
  end)

  it("survives that its model becomes part of another", function()
    compare_stories(function(model, forward, report, composed)
      local x = input(1)
      local before = forward(x, training)
      local larger = nn.Sequential { model, nn.ReLU() }
      local y = larger:forward(x, { training = true, seed = 3, composed = composed })
      y:backward(direction(y, 1))
      before:backward(direction(before, 2))
      report(before, x)
      report(y, x)
      report(forward(x, training))
    end)
  end)

  it("outlives its model's name", function()
    compare_stories(function(_, _, report, composed)
      local x = input(1)
      local y = build():forward(x, { training = true, seed = 1, composed = composed })
      collectgarbage()
      collectgarbage()
      y:backward(direction(y, 1))
      report(y, x)
    end)
  end)

  it("runs shared statistics in the composition's order", function()
    local norm = function() return plans.randomise(nn.Sequential { nn.BatchNorm2d(2) }, 6) end
    plans.compare(function()
      local shared = norm()
      return nn.Residual { shared, nn.LeakyReLU(), shared, downsample = nn.Sequential { nn.Tanh(), shared } }
    end, SHAPE, TIGHT)
  end)

  it("does not take another norm for one that was there before", function()
    local conv = nn.Conv2d(2, 3)
    for size = 1, 8 do
      plans.compare(function()
        local norm = nn.BatchNorm2d(3)
        norm:state().running_var:fill(size)
        return nn.Sequential { conv, norm }
      end, SHAPE, TIGHT, { training = false, gradients = "none" })
      collectgarbage()
      collectgarbage()
    end
  end)

  it("is not made where it would lose something", function()
    local model = nn.Sequential { nn.BatchNorm2d(2) }
    local x = input(1)
    local mean = model:state()["0.running_mean"]
    mean.requires_grad = true
    model(x):sum():backward()
    assert.truthy(mean.grad)
    assert.equal(2, nn.Sequential { nn.ReLU() }(nn.ones({ 2 }):sum()):item())
  end)
end)
