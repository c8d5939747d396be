--- The model families: parameters counted as published, names, shapes, seeds.
local checkpoint = require "checkpoint"
local models = require "models"
local nn = require "nn"
local plans = require "tests.plans"

local function shape(model, size)
  return table.concat(nn.no_grad(model, nn.zeros(size)).shape, "x")
end

-- 3x3 convolutions of a stage of the CIFAR family, its batch norms, and what an option B shortcut adds.
local function cifar_count(n, classes, shortcut_b)
  local count, channels = 3 * 16 * 9 + 32, 16
  for i, width in ipairs { 16, 32, 64 } do
    count = count + channels * width * 9 + width * width * 9 + 4 * width + (n - 1) * (2 * width * width * 9 + 4 * width)
    if shortcut_b and i > 1 then count = count + channels * width + 2 * width end
    channels = width
  end
  return count + 64 * classes + classes
end

describe("models", function()
  it("have the published numbers of parameters", function()
    assert.equal(11227812, models.resnet18 { classes = 100, stem = "imagenet" }:count())
    assert.equal(11220132, models.resnet18 { classes = 100 }:count())
    assert.equal(21797672, models.resnet34 { classes = 1000, stem = "imagenet" }:count())
    assert.equal(25557032, models.resnet50 { classes = 1000, stem = "imagenet" }:count())
    assert.equal(269722, models.resnet20 { classes = 10 }:count())
    assert.equal(61706, models.lenet { classes = 10, channels = 1 }:count())
  end)

  it("the CIFAR family counts as its formula says", function()
    for kind, n in pairs { resnet8 = 1, resnet20 = 3, resnet56 = 9 } do
      assert.equal(cifar_count(n, 10, false), models[kind] { classes = 10 }:count())
      assert.equal(cifar_count(n, 7, true), models[kind] { classes = 7, shortcut = "B" }:count())
    end
  end)

  it("name their parameters as torchvision does, in its order", function()
    local names = {}
    for i, entry in ipairs(models.resnet18 { classes = 10 }:named_parameters()) do names[i] = entry.name end
    local expected = { "conv1.weight", "bn1.weight", "bn1.bias" }
    for layer = 1, 4 do
      for block = 0, 1 do
        local path = ("layer%d.%d."):format(layer, block)
        for _, name in ipairs { "conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight", "bn2.bias" } do
          expected[#expected + 1] = path .. name
        end
        if layer > 1 and block == 0 then
          for _, name in ipairs { "0.weight", "1.weight", "1.bias" } do
            expected[#expected + 1] = path .. "downsample." .. name
          end
        end
      end
    end
    table.move({ "fc.weight", "fc.bias" }, 1, 2, #expected + 1, expected)
    assert.same(expected, names)
    local state = models.resnet50 { classes = 10 }:state()
    assert.same({ 1, 1, 256, 512 }, state["layer2.0.downsample.0.weight"].shape)
    assert.same({ 2048 }, state["layer4.2.bn3.running_var"].shape)
  end)

  it("put the bottleneck's stride into its 3x3 convolution", function()
    local model = models.resnet50 { classes = 2, stem = "imagenet" }
    local _, taps = nn.no_grad(function()
      return model:forward(nn.zeros { 1, 64, 64, 3 }, { taps = { "maxpool", "layer2.0.conv1", "layer2.0.conv2" } })
    end)
    assert.same({ 1, 16, 16, 64 }, taps.maxpool.shape)
    assert.same({ 1, 16, 16, 128 }, taps["layer2.0.conv1"].shape)
    assert.same({ 1, 8, 8, 128 }, taps["layer2.0.conv2"].shape)
  end)

  it("turn images into logits", function()
    assert.equal("2x10", shape(models.resnet8 { classes = 10 }, { 2, 32, 32, 3 }))
    assert.equal("2x10", shape(models.resnet8 { classes = 10, channels = 1, shortcut = "B" }, { 2, 28, 28, 1 }))
    assert.equal("1x5", shape(models.resnet20 { classes = 5 }, { 1, 28, 28, 3 }))
    assert.equal("1x100", shape(models.resnet18 { classes = 100 }, { 1, 32, 32, 3 }))
    assert.equal("1x7", shape(models.resnet34 { classes = 7, stem = "imagenet" }, { 1, 64, 64, 3 }))
    assert.equal("3x10", shape(models.lenet { classes = 10, channels = 1 }, { 3, 28, 28, 1 }))
    assert.equal("3x10", shape(models.lenet { classes = 10, size = 32 }, { 3, 32, 32, 3 }))
    assert.equal("4x3", shape(models.mlp { classes = 3, inputs = 12, hidden = { 8, 8 } }, { 4, 2, 2, 3 }))
    local mlp = models.mlp { classes = 3, shape = { 2, 2, 3 }, hidden = {}, dropout = 0.5 }
    assert.equal("4x3", shape(mlp, { 4, 2, 2, 3 }))
  end)

  it("normalise first when told to", function()
    local statistics = { mean = { 0.5, 0.25, 0.125 }, std = { 0.5, 0.25, 0.25 } }
    local plain = models.mlp { classes = 2, inputs = 3, hidden = { 4 }, seed = 3 }
    local normal = models.mlp { classes = 2, inputs = 3, hidden = { 4 }, normalize = statistics }
    nn.no_grad(function()
      for name, tensor in pairs(normal:state()) do tensor:copy(plain:state()[name]) end
    end)
    local y = normal(nn.tensor { { 1, 0.5, 0.25 } }):tolist()[1]
    local expected = plain(nn.tensor { { 1, 1, 0.5 } }):tolist()[1]
    for k = 1, 2 do assert.near(expected[k], y[k], 1e-6) end
  end)

  it("rescale their logits when told to, and are the same in everything else", function()
    local cases = {
      { "mlp", { classes = 3, inputs = 12, hidden = { 8 } }, { 5, 12 } },
      { "lenet", { classes = 10, channels = 1 }, { 3, 28, 28, 1 } },
      { "resnet8", { classes = 10, normalize = { mean = { 0.5, 0.4, 0.3 }, std = { 0.2, 0.3, 0.2 } } },
        { 2, 32, 32, 3 } },
      { "resnet18", { classes = 10, stem = "imagenet" }, { 2, 64, 64, 3 } },
    }
    for _, case in ipairs(cases) do
      local kind, options, size = table.unpack(case)
      options.seed = 4
      local plain = models[kind](options)
      options.logit_scale = 0.1
      local scaled = models[kind](options)
      assert.equal(0.1, scaled.options.logit_scale)
      local names = {}
      for i, row in ipairs(plain:named_parameters()) do names[i] = row.name end
      for i, row in ipairs(scaled:named_parameters()) do
        assert.equal(names[i], row.name)
        assert.same(plain:state()[row.name]:reshape({ -1 }):tolist(), row.tensor:reshape({ -1 }):tolist())
      end
      assert.equal(plain:count(), scaled:count())
      local x = nn.uniform(size, { seed = 3 })
      for _, composed in ipairs { false, true } do
        for _, training in ipairs { false, true } do
          local there, here = x:clone(), x:clone()
          there.requires_grad, here.requires_grad = true, true
          local expected = plain:forward(there, { training = training, composed = composed })
          local y = scaled:forward(here, { training = training, composed = composed })
          assert.equal(not composed, plans.planned(y))
          local size_of = expected:abs():max():item()
          assert.near(0, (y - expected * 0.1):abs():max():item(), 1e-6 * size_of)
          local direction = nn.uniform(y.shape, { low = -1, seed = 9 })
          y:backward(direction)
          expected:backward(direction)
          local gradient = there.grad:abs():max():item()
          assert.near(0, (here.grad - there.grad * 0.1):abs():max():item(), 1e-5 * gradient)
        end
      end
    end
  end)

  it("list, cost, write and read the factor of the logits", function()
    local model = models.resnet8 { classes = 10, logit_scale = 0.25, seed = 2 }
    local rows = model:layers { input = { 32, 32, 3 } }
    local last = rows[#rows]
    assert.same({ "logit_scale", "Scale", 0.25, 0 }, { last.path, last.class, last.options.factor, last.parameters })
    assert.same({ 10 }, last.output)
    local cost = model:cost { input = { 32, 32, 3 }, training = true }
    assert.is_true(cost.planned)
    assert.matches("logit_scale: Scale", tostring(model))

    local path = os.tmpname()
    assert(model:save(path .. ".safetensors"))
    local again = assert(checkpoint.model(path .. ".safetensors"))
    assert.equal(0.25, again.options.logit_scale)
    local x = nn.uniform({ 2, 32, 32, 3 }, { seed = 3 })
    assert.same(nn.no_grad(model, x):tolist(), nn.no_grad(again, x):tolist())
    -- The weights are those of the model without it, and are read by one.
    local plain = models.resnet8 { classes = 10, seed = 7 }
    assert(plain:load(path .. ".safetensors"))
    assert.near(0, (nn.no_grad(plain, x) * 0.25 - nn.no_grad(model, x)):abs():max():item(), 1e-6)
    os.remove(path)
    os.remove(path .. ".safetensors")
  end)

  it("begin the same for the same seed, and otherwise with the session's draws", function()
    local function first(options)
      return models.resnet8(options):state()["layer3.0.conv2.weight"]:get(2, 2, 3, 4)
    end
    assert.equal(first { classes = 10, seed = 5 }, first { classes = 10, seed = 5 })
    assert.not_equal(first { classes = 10, seed = 5 }, first { classes = 10, seed = 6 })
    nn.seed(1)
    local one = first { classes = 10 }
    assert.not_equal(one, first { classes = 10 })
    nn.seed(1)
    assert.equal(one, first { classes = 10 })
  end)

  it("know their classes", function()
    local model = models.resnet8 { classes = 4 }
    assert.equal(4, model.classes)
    assert.equal("resnet8", model.kind)
    assert.equal("lenet mlp resnet18 resnet20 resnet34 resnet50 resnet56 resnet8",
                 table.concat(models.names(), " "))
  end)

  it("refuse what they do not know, at the caller's line", function()
    local cases = {
      { "resnet20", { classes = 10, shorcut = "B" },
        'models.resnet20: unknown option "shorcut"; did you mean "shortcut"%?' },
      { "resnet18", { stem = "cifar" }, "models.resnet18: classes is required" },
      { "resnet18", { classes = 10, stem = "cifra" }, 'stem expects one of "cifar", "imagenet", got "cifra"' },
      { "resnet8", { classes = 10, normalize = { mean = { 0.5 }, std = { 0.5 } } },
        "normalize expects 3 means and deviations, one for each channel, got 1 and 1" },
      { "resnet8", { classes = 10, logit_scale = 0 }, "logit_scale expects a number above 0, got 0" },
      { "mlp", { classes = 10, hidden = {} }, "models.mlp: expected either inputs or shape" },
    }
    for _, case in ipairs(cases) do
      local ok, message = pcall(function()
        local kept = models[case[1]](case[2])
        return kept
      end)
      assert.is_false(ok)
      assert.matches(case[3], message)
      assert.matches("models_spec.lua:%d+:", message)
    end
  end)
end)
