--- Plans as a script meets them: who owns what, what is refused and how, memory. Their numbers are tested in the double
--- build; here once more with the fast kernels, as closely as float allows.
local models <const> = require "models"
local nn <const> = require "nn"
local optim <const> = require "optim"
local plans <const> = require "tests.plans"

local SHAPE <const> = { 3, 9, 8, 2 }

local function build(ending)
  local list = {
    nn.Normalize({ 0.1, 0.2 }, { 0.5, 0.75 }), nn.Conv2d(2, 16, { padding = 1, bias = false }), nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Residual { nn.Conv2d(16, 16, { padding = 1 }), nn.BatchNorm2d(16), nn.ReLU(),
                  nn.Conv2d(16, 16, { padding = 1 }) },
    nn.MaxPool2d(2), nn.Dropout { p = 0.2 },
  }
  if not ending then table.move({ nn.Flatten(), nn.Linear(16 * 4 * 4, 3) }, 1, 2, #list + 1, list) end
  list[#list + 1] = ending
  return plans.randomise(nn.Sequential(list):initialise(5), 5)
end

local function input(seed, shape)
  local x = nn.uniform(shape or SHAPE, { low = -1, high = 1, seed = seed })
  x.requires_grad = true
  return x
end

local function settle()
  collectgarbage()
  collectgarbage()
end

-- One training step's outcome; `between` runs with y between forward and backward.
local function step(model, between, options)
  local o = { training = true, seed = 1 }
  for name, value in pairs(options or {}) do o[name] = value end
  local x = input(1)
  local y = model:forward(x, o)
  local value = y:detach():clone()
  if between then between(y, x) end
  y:backward(nn.uniform(y.shape, { low = -1, high = 1, seed = 2 }))
  local outcome = plans.outcome(model, y, x)
  outcome[1].value = value
  model:zero_grad()
  return outcome
end

describe("a plan with the fast kernels", function()
  local loose = { value = 1e-3, gradient = 0.1 } -- a ReLU near 0 may fall on either side
  local cases = {
    { "lenet", { classes = 10, channels = 1 }, { 5, 28, 28, 1 } },
    { "resnet8", { classes = 10, shortcut = "B" }, { 5, 17, 16, 3 } },
    { "resnet8", { classes = 10, shortcut = "A" }, { 6, 15, 18, 3 } },
  }
  for i, case in ipairs(cases) do
    it(("computes what %s's layers compute, case %d"):format(case[1], i), function()
      case[2].seed = 10 + i
      plans.compare(function() return plans.randomise(models[case[1]](case[2]), i) end, case[3], loose, { steps = 1 })
    end)
  end
  it("computes what the layers of models drawn at random compute", function()
    for seed = 101, 116 do
      local make, shape = plans.draw(seed)
      local ok, message = pcall(plans.compare, make, shape, loose, { steps = 1, x_gradient = true })
      assert(ok, ("seed %d: %s\n%s"):format(seed, message, not ok and make()))
    end
  end)
end)

describe("a plan's result", function()
  local endings = {
    ReLU = nn.ReLU, Tanh = nn.Tanh, Sigmoid = nn.Sigmoid, Flatten = nn.Flatten, Dropout = nn.Dropout,
    Conv2d = function() return nn.Conv2d(16, 5) end,
    BatchNorm2d = function() return nn.BatchNorm2d(16) end,
    MaxPool2d = function() return nn.MaxPool2d(2) end,
    Residual = function() return nn.Residual { nn.BatchNorm2d(16) } end,
    ["Residual without activation"] = function()
      return nn.Residual { nn.Conv2d(16, 16, { kernel_size = 1 }), activation = "none" }
    end,
  }
  for name, make in pairs(endings) do
    it(("of a model that ends with %s belongs to the caller"):format(name), function()
      local expected = step(build(make()))
      local found = step(build(make()), function(y) y:detach():fill(1e6) end)
      plans.same(found, expected, 0)
    end)
  end

  it("does not share memory with x", function()
    local model, x = nn.Sequential { nn.Flatten() }, nn.ones { 2, 2, 2 }
    model(x):fill(5)
    assert.equal(8, x:sum():item())
  end)
end)

describe("a plan's backward", function()
  local overwritten = "backward: a value that model saved was overwritten before its gradient was taken"

  for _, name in ipairs { "1.weight", "2.weight", "4.3.bias", "8.weight" } do
    it(("refuses %s overwritten after forward"):format(name), function()
      local model = build()
      assert.error_matches(function()
        step(model, function() model:state()[name]:detach():fill(0) end)
      end, overwritten .. "$")
      step(model)
    end)
  end

  it("refuses an optimiser's step in between", function()
    local model = build()
    step(model)
    local opt = optim.sgd { model:parameters(), lr = 0.1 }
    local first = model:forward(input(1), { training = true })
    local second = model:forward(input(2), { training = true })
    second:sum():backward()
    opt:step()
    assert.error_matches(function() first:sum():backward() end, overwritten .. "$")
  end)

  it("refuses x overwritten after forward", function()
    assert.error_matches(function() step(build(), function(_, x) x:detach():fill(0) end) end, overwritten .. "$")
  end)

  it("runs once, unless told to keep the graph", function()
    local y = build()(input(1)):sum()
    y:backward { keep_graph = true }
    y:backward()
    assert.error_matches(function() y:backward() end, "backward: the graph of this %a+ was freed by an earlier " ..
      "backward; keep it with backward{ keep_graph = true }$")
    y = build()(input(1))
    y:backward(nn.ones(y.shape))
    assert.error_matches(function() y:backward(nn.ones(y.shape)) end, "the graph of this model was freed")
  end)
end)

describe("a shape", function()
  local function message_of(model, shape, composed, training)
    local ok, message = pcall(model.forward, model, nn.zeros(shape), { composed = composed, training = training })
    return ok and "fine" or message
  end

  it("that does not fit is refused in the composition's words", function()
    local deep = nn.Sequential { { "a", nn.Sequential { { "b", nn.Residual { { "c", nn.Conv2d(2, 3) } } } } } }
    local cases = {
      { build(), { 2, 9, 8, 3 } }, { build(), { 9, 8, 2 } }, { build(), { 2, 7, 7, 2 } }, { build(), { 2, 1, 1, 2 } },
      { build(), { 5 } }, { build(), {} }, { deep, { 1, 5, 5, 2 } }, { deep, { 1, 2, 2, 2 } },
      { nn.Sequential { nn.Flatten(), nn.Linear(5, 2) }, { 2, 3, 2 } },
      { nn.Sequential { nn.Flatten() }, { 2 } }, { nn.Sequential { nn.Normalize({ 0, 0 }, { 1, 1 }) }, { 3, 3 } },
      { nn.Residual { nn.Linear(2, 2), downsample = nn.Linear(2, 3) }, { 4, 2 } },
      { nn.Residual { nn.ZeroPadShortcut(2, 4) }, { 2, 4, 4, 2 } },
    }
    for i, case in ipairs(cases) do
      local said = message_of(case[1], case[2], true)
      assert.not_equal("fine", said, "case " .. i)
      assert.equal(said, message_of(case[1], case[2], false), "case " .. i)
    end
  end)

  it("whose sum is broadcast is left to the composition", function()
    local model, x = nn.Residual { nn.Linear(3, 1) }, input(1, { 4, 3 })
    local y = model(x)
    assert.is_false(plans.planned(y))
    assert.same({ 4, 3 }, y.shape)
  end)

  it("of one value per channel is refused in training", function()
    local model = nn.Sequential { nn.GlobalAvgPool2d(), nn.BatchNorm2d(2), nn.Linear(2, 2) }
    local said = message_of(model, { 1, 4, 4, 2 }, true, true)
    assert.matches("expects more than 1 value per channel in training, got 1", said)
    assert.equal(said, message_of(model, { 1, 4, 4, 2 }, false, true))
    assert.equal("fine", message_of(model, { 1, 4, 4, 2 }, false, false))
  end)

  it("of one image is as good as another", function()
    plans.compare(build, { 1, 9, 8, 2 }, { value = 1e-3, gradient = 0.1 }, { steps = 1 })
  end)

  it("without images is the composition's affair", function()
    local model, shape = build(), { 0, 9, 8, 2 }
    local said = message_of(model, shape, true, true)
    assert.not_equal("fine", said)
    assert.equal(said, message_of(model, shape, false, true))
    local x = input(1, shape)
    local y = model(x)
    assert.same({ 0, 3 }, y.shape)
    y:sum():backward()
    assert.same(shape, x.grad.shape)
    for _, t in ipairs(model:parameters()) do assert.equal(0, t.grad:abs():max():item()) end
  end)
end)

describe("memory", function()
  local function work(model, training)
    local x = input(1)
    local y = model:forward(x, { training = training, seed = 1 })
    y:backward(nn.ones(y.shape))
    return model, y, x
  end

  for _, training in ipairs { true, false } do
    it("may run out at any allocation of " .. (training and "a training step" or "an attack's step"), function()
      local function fresh() return training and build() or build():freeze() end
      local expected = plans.outcome(work(fresh(), training))
      -- Makes a plan and runs it with the n-th allocation failing, then again on what that left.
      local function try(n)
        local model = fresh()
        nn.memory.fail_at(n)
        local ok, message = pcall(function() work(model, training) end)
        nn.memory.fail_at(0)
        assert.truthy(ok or message:find("out of memory", 1, true), message)
        plans.randomise(model:initialise(5), 5)
        model:zero_grad()
        plans.same(plans.outcome(work(model, training)), expected, 0, "after allocation " .. n)
        return ok
      end
      settle()
      local tensors, blocks, n, ok = nn.live_tensors(), nn.memory.stats().blocks, 0
      repeat
        n = n + 1
        ok = try(n)
        settle()
        assert.same({ tensors, blocks }, { nn.live_tensors(), nn.memory.stats().blocks }, "allocation " .. n)
      until ok or n == 2000
      assert.is_true(ok and n > 50, n .. " allocations")
    end)
  end

  it("does not grow with the shapes that were seen", function()
    local model, early = build(nn.GlobalAvgPool2d()), nil
    for count = 1, 100 do
      local shape = { count, 6 + count % 5, 8, 2 }
      for _, training in ipairs { true, false } do
        local y = model:forward(input(count, shape), { training = training })
        if count % 2 == 0 then y:sum():backward() end
        nn.no_grad(model, input(count, shape))
      end
      if count % 20 == 0 then
        settle()
        local now = nn.memory.stats()
        early = early or now
        assert.same({ early.blocks, early.live }, { now.blocks, now.live }, count .. " shapes")
      end
    end
  end)

  it("at its peak is less than the composition's", function()
    local function peak(composed, training)
      local model = models.resnet20 { classes = 10, seed = 1 }
      local x = nn.uniform({ 16, 32, 32, 3 }, { seed = 1 })
      x.requires_grad = not training
      if not training then model:freeze() end
      local most
      for _ = 1, 2 do
        settle()
        nn.memory.reset_peak()
        local before = nn.memory.stats().live
        model:forward(x, { training = training, composed = composed }):sum():backward()
        most = nn.memory.stats().peak - before
      end
      return most
    end
    for training, share in pairs { [true] = 0.95, [false] = 0.4 } do
      local planned, composed = peak(false, training), peak(true, training)
      assert.is_true(planned <= share * composed, ("%.1f MB by plan, %.1f MB layer by layer"):format(planned / 2^20,
                                                                                                 composed / 2^20))
    end
  end)
end)
