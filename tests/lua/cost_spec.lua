--- What layers make of an input, and what that costs.
local models = require "models"
local nn = require "nn"

local function rows(model, input)
  local by_path = {}
  for _, row in ipairs(model:layers { input = input }) do by_path[row.path] = row end
  return by_path
end

describe("model:cost", function()
  it("counts what is known of ResNets", function()
    local cases = { -- multiply-adds in thousand millions, parameters in millions, as published
      { "resnet18", { classes = 1000, stem = "imagenet" }, { 224, 224, 3 }, 1.82, 11.69 },
      { "resnet50", { classes = 1000, stem = "imagenet" }, { 224, 224, 3 }, 4.11, 25.56 },
      { "resnet18", { classes = 10, stem = "cifar" }, { 32, 32, 3 }, 0.56, 11.17 },
      { "resnet20", { classes = 10 }, { 32, 32, 3 }, 0.041, 0.27 },
    }
    for _, case in ipairs(cases) do
      local model = models[case[1]](case[2])
      local cost = model:cost { input = case[3] }
      assert.is_near(1, cost.flops / 2e9 / case[4], 0.01)
      assert.is_near(case[5], cost.parameters / 1e6, 0.005)
      assert.equal(model:count(), cost.parameters)
    end
  end)

  it("counts a convolution, its bias and what follows", function()
    local model = nn.Sequential {
      nn.Conv2d(4, 6, { padding = 1, stride = 2, groups = 2 }), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
      nn.Flatten(), nn.Linear(24, 5, { bias = false }),
    }
    local row = rows(model, { 8, 8, 4 })
    assert.equal(4 * 4 * 6 * (2 * 3 * 3 * 4 // 2 + 1), row["0"].flops)
    assert.equal(2 * 4 * 4 * 6, row["1"].flops)
    assert.equal(4 * 4 * 6, row["2"].flops)
    assert.equal(2 * 2 * 6 * 4, row["3"].flops)
    assert.equal(0, row["4"].flops)
    assert.equal(2 * 24 * 5, row["5"].flops)
    local sum = 0
    for i = 0, 5 do sum = sum + row[tostring(i)].flops end
    assert.equal(sum, row[""].flops)
    assert.equal(sum, model:cost { input = { 8, 8, 4 } }.flops)
    assert.equal(7 * sum, model:cost { input = { 8, 8, 4 }, batch = 7 }.flops)
    assert.equal("integer", math.type(sum))
  end)

  it("counts a layer that stands in two places once in parameters, twice in operations", function()
    local shared = nn.Linear(4, 4)
    local model = nn.Sequential { shared, nn.ReLU(), shared }
    assert.equal(20, model:cost { input = { 4 } }.parameters)
    assert.equal(20, model:count())
    assert.equal(2 * 36 + 4, model:cost { input = { 4 } }.flops)
  end)

  it("takes images that have a size", function()
    local model = nn.Sequential { nn.ReLU() }
    for _, method in ipairs { "cost", "layers" } do
      for _, size in ipairs { 0, -1 } do
        assert.error_matches(function() model[method](model, { input = { 8, size, 3 } }) end,
          method .. ": input expects sizes of at least 1, got " .. size, 1, true)
      end
    end
  end)

  it("counts the way back to the weights that are trained, not to the input", function()
    local model = nn.Sequential { nn.Linear(100, 200), nn.Linear(200, 100) }
    local product, cost = 2 * 100 * 200, model:cost { input = { 100 }, batch = 3, training = true }
    assert.is_near(3 * (2 + 1 + 2) * product, cost.flops, 0.02 * cost.flops)
    model:freeze "0"
    assert.is_near(3 * (2 + 1) * product, model:cost { input = { 100 }, batch = 3, training = true }.flops, 4000)
    model:freeze()
    assert.equal(model:cost { input = { 100 } }.flops, model:cost { input = { 100 }, training = true }.flops)
  end)

  it("knows the memory that a step takes", function()
    local model = models.resnet20 { classes = 10, seed = 1 }
    local function settled()
      collectgarbage()
      collectgarbage()
      return nn.memory.stats().live
    end
    local cost = model:cost { input = { 32, 32, 3 }, batch = 32, training = true }
    assert.is_true(cost.planned)
    local x = nn.uniform({ 32, 32, 32, 3 }, { seed = 1 })
    local before = settled()
    local y = model:forward(x, { training = true })
    local taken = settled() - before
    local outside = 4 * (x:count() + y:count()) -- the input was there, the gradient of y is not there yet
    -- The memory's blocks come in sizes that are at most a quarter apart.
    local planned = cost.activation_bytes - outside
    assert.is_true(taken >= planned and taken <= 1.26 * planned, ("%d for %d"):format(taken, planned))
    assert.is_true(model:cost { input = { 32, 32, 3 }, batch = 32 }.activation_bytes < cost.activation_bytes / 4)
  end)

  it("estimates where nothing is planned", function()
    local cost = nn.Linear(10, 5):cost { input = { 10 }, batch = 2 }
    assert.same({ flops = 2 * 105, parameters = 55, activation_bytes = 4 * 2 * 15, planned = false }, cost)
  end)

  it("refuses an input that does not fit, as the layers do", function()
    local model = models.resnet20 { classes = 10 }
    local wide = nn.Conv2d(1, 1, { padding = 1 << 30 })
    local cases = {
      { model, { input = { 32, 32, 1 } }, "conv1: conv2d: weight expects 3 input channels, got 1" },
      { model, { batch = 2 }, "cost: option input is missing" },
      { model, { input = { 32, 32, 3 }, bacth = 2 }, 'did you mean "batch"%?' },
      { model, { input = { 1 << 40, 1 << 40, 3 } }, "more elements than memory can hold" },
      { wide, { input = { 9, 9, 1 }, batch = 1 << 40 }, "more elements than memory can hold" },
    }
    for _, case in ipairs(cases) do
      local ok, message = pcall(case[1].cost, case[1], case[2])
      assert.is_false(ok)
      assert.matches(case[3], message)
    end
  end)
end)

describe("model:layers", function()
  it("tells shapes that the layers then have", function()
    local half = { mean = { 0.5, 0.5, 0.5 }, std = { 0.5, 0.5, 0.5 } }
    local cases = {
      { models.lenet { classes = 10, channels = 1 }, { 28, 28, 1 } },
      { models.resnet8 { classes = 10, shortcut = "A", normalize = half }, { 17, 16, 3 } },
      { models.resnet50 { classes = 7, stem = "imagenet" }, { 64, 48, 3 } },
    }
    for _, case in ipairs(cases) do
      local model, input = case[1], case[2]
      local x = nn.uniform { 1, table.unpack(input) }
      for _, row in ipairs(model:layers { input = input }) do
        if row.path ~= "" then
          local _, tapped = model:forward(x, { taps = { row.path } })
          assert.same({ 1, table.unpack(row.output) }, tapped[row.path].shape, row.path)
        end
        assert.equal(model:count(row.path), row.parameters)
      end
    end
  end)

  it("tells no shapes without an input", function()
    local row = nn.Sequential { nn.Linear(3, 2) }:layers()[2]
    assert.same({ "0", "Linear", 8 }, { row.path, row.class, row.parameters })
    assert.is_nil(row.output)
    assert.is_nil(row.flops)
  end)
end)
