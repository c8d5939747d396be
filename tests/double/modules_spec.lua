--- Every module: its gradient to the input and to each parameter, in training and in evaluation, against differences.
local nn <const> = require "nn"
local gradcheck <const> = require "gradcheck"

-- name -> { shape of x, constructor }; a module missing here fails the test below.
local MODULES <const> = {
  Conv2d = { { 2, 5, 4, 2 }, function() return nn.Conv2d(2, 4, { stride = 2, padding = 1, groups = 2 }) end },
  Linear = { { 3, 4 }, function() return nn.Linear(4, 5) end },
  BatchNorm2d = { { 4, 3, 2, 3 }, function() return nn.BatchNorm2d(3) end },
  ReLU = { { 3, 4 }, function() return nn.ReLU() end },
  LeakyReLU = { { 3, 4 }, function() return nn.LeakyReLU { slope = 0.2 } end },
  GELU = { { 3, 4 }, function() return nn.GELU() end },
  Tanh = { { 3, 4 }, function() return nn.Tanh() end },
  Sigmoid = { { 3, 4 }, function() return nn.Sigmoid() end },
  MaxPool2d = { { 2, 4, 4, 3 }, function() return nn.MaxPool2d(2) end },
  AvgPool2d = { { 2, 4, 4, 3 }, function() return nn.AvgPool2d(3, { stride = 1, padding = 1 }) end },
  GlobalAvgPool2d = { { 2, 4, 3, 3 }, function() return nn.GlobalAvgPool2d() end },
  GlobalMaxPool2d = { { 2, 4, 3, 3 }, function() return nn.GlobalMaxPool2d() end },
  Flatten = { { 2, 3, 2, 2 }, function() return nn.Flatten() end },
  Dropout = { { 5, 6 }, function() return nn.Dropout { p = 0.3 } end },
  Normalize = { { 2, 3, 3, 2 }, function() return nn.Normalize({ 0.4, 0.5 }, { 0.2, 0.3 }) end },
  Scale = { { 2, 3, 3, 2 }, function() return nn.Scale(-0.3) end },
  ZeroPadShortcut = { { 2, 5, 4, 2 }, function() return nn.ZeroPadShortcut(2, 5) end },
  Sequential = { { 3, 4 }, function() return nn.Sequential { nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2) } end },
  Residual = { { 4, 4, 4, 2 }, function()
    return nn.Residual {
      { "conv1", nn.Conv2d(2, 3, { stride = 2, padding = 1, bias = false }) }, { "bn1", nn.BatchNorm2d(3) },
      { "relu", nn.ReLU() }, { "conv2", nn.Conv2d(3, 3, { padding = 1 }) },
      downsample = nn.Sequential { nn.Conv2d(2, 3, { kernel_size = 1, stride = 2 }), nn.BatchNorm2d(3) },
    }
  end },
}

-- Batch norm's bias before a sum and the like have a true gradient of 0: the comparison is then absolute (gradcheck).
local function check(module, x, training)
  local inputs = { x }
  for _, p in ipairs(module:parameters()) do inputs[#inputs + 1] = p end
  local rows = gradcheck.compare(function()
    return (module:forward(x, { training = training, seed = 3 }))
  end, inputs)
  for _, row in ipairs(rows) do
    assert.is_true(row.error <= 1e-6, ("input %d: relative error %.3g"):format(row.input, row.error))
  end
  return rows
end

for _, layer in ipairs(nn.layers()) do
  describe(layer.name, function()
    local entry = MODULES[layer.name]
    it("has a gradient test", function() assert.truthy(entry) end)
    if not entry then return end
    for _, training in ipairs { false, true } do
      it(training and "in training" or "in evaluation", function()
        local module = entry[2]()
        module:initialise(11)
        local x = nn.uniform(entry[1], { low = -1, high = 1, seed = 5 })
        x.requires_grad = true
        check(module, x, training)
      end)
    end
  end)
end

it("BatchNorm2d takes rows as well", function()
  for _, training in ipairs { false, true } do
    local x = nn.uniform({ 5, 3 }, { low = -1, high = 1, seed = 5 })
    x.requires_grad = true
    check(nn.BatchNorm2d(3), x, training)
  end
end)

describe("a small residual network", function()
  it("has the right gradient from end to end", function()
    local model = nn.Sequential {
      nn.Normalize({ 0.5 }, { 0.25 }), nn.Conv2d(1, 3, { padding = 1, bias = false }), nn.BatchNorm2d(3), nn.ReLU(),
      nn.Residual { nn.Conv2d(3, 4, { stride = 2, padding = 1, bias = false }), nn.BatchNorm2d(4),
        downsample = nn.ZeroPadShortcut(3, 4) },
      nn.GlobalAvgPool2d(), nn.Linear(4, 3),
    }:initialise(2)
    local x = nn.uniform({ 3, 5, 5, 1 }, { seed = 8 })
    x.requires_grad = true
    check(model, x, true)
    check(model, x, false)
  end)
end)
