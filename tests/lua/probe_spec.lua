--- Probes on models whose answers can be worked out by hand: accuracy and semantic continuity.
local attack = require "attack"
local data_part = require "data.part"
local data = require "data"
local linear = require "tests.linear"
local models = require "models"
local nn = require "nn"
local perturb = require "perturb"
local probe = require "probe"
local stats = require "stats"

local quiet = { quiet = true }

-- One-pixel images; a model whose logits are weights * pixel.
local function pixels(rows, labels, classes, names)
  local images = {}
  for i, row in ipairs(rows) do images[i] = { { row } } end
  return data_part.new { name = "pixels", images = nn.tensor(images, { type = "uint8" }), classes = classes,
                         labels = nn.tensor(labels, { type = "index" }), class_names = names }
end

local identity = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }
local red, green, blue = { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 }

-- A model with other logits: change(logits).
local function changed(model, change)
  return { forward = function(_, x, options) return change((model:forward(x, options))) end }
end

describe("probe.accuracy", function()
  local images = { red, red, green, green, blue, blue, blue }
  local set = pixels(images, { 1, 2, 2, 2, 3, 1, 3 }, 3, { "one", "two", "three" })
  local result = probe.accuracy { batch = 2 }(linear(identity), set, quiet)

  it("counts what is right, by class and by what it was taken for", function()
    assert.near(100 * 5 / 7, result.top1.value, 1e-9)
    assert.equal(5, result.correct)
    assert.equal(7, result.count)
    assert.same({ { 1, 0, 1 }, { 1, 2, 0 }, { 0, 0, 2 } }, result.confusion)
    assert.same({ 100, 0, 100, 100, 100, 0, 100 }, result.top1.items)
    assert.near(200 / 3, result.rows[2].accuracy.value, 1e-9)
    assert.same({ "two", "one" }, { result.rows[2].name, result.rows[2].mistaken_for })
    assert.is_nil(result.rows[3].mistaken_for)
    assert.is_nil(result.top5)
    assert.equal(result.top1, result.metrics.accuracy)
  end)

  it("refuses a model that cannot tell all the classes", function()
    assert.error_matches(function() probe.accuracy()(linear { { 1, 0, 0 }, { 0, 1, 0 } }, set, quiet) end,
      "probe.accuracy: the model tells 2 classes apart, pixels has 3")
  end)

  it("has Wilson's interval", function()
    local expected = stats.proportion(5, 7)
    assert.near(100 * expected.low, result.top1.low, 1e-9)
    assert.near(100 * expected.high, result.top1.high, 1e-9)
  end)

  it("prints a table", function()
    local text = tostring(result)
    assert.matches("accuracy  71", text)
    assert.matches("5 of 7 images", text)
    assert.matches("three%s+2%s+100", text)
  end)

  it("counts labels among the best, a tie against the model", function()
    local weights = {}
    for class = 1, 7 do weights[class] = { 8 - class, 0, 0 } end -- class 1 is the best, 7 the last
    local rows = {}
    for i = 1, 7 do rows[i] = red end
    local seven = pixels(rows, { 1, 2, 3, 4, 5, 6, 7 }, 7, {})
    local ranked = probe.accuracy()(linear(weights), seven, quiet)
    assert.same({ 100, 100, 100, 100, 100, 0, 0 }, ranked.top5.items)
    assert.same({ 100, 100, 100, 0, 0, 0, 0 }, probe.accuracy { top = 3 }(linear(weights), seven, quiet).top3.items)
    weights[6] = { 3, 0, 0 } -- as good as class 5
    assert.same({ 100, 100, 100, 100, 0, 0, 0 }, probe.accuracy()(linear(weights), seven, quiet).top5.items)
  end)

  it("takes a set's test part, and as many images as told", function()
    local synthetic = data.synthetic { classes = 3, test = 30, seed = 2 }
    local model = models.resnet8 { classes = 3, seed = 1 }
    assert.equal(30, probe.accuracy()(model, synthetic, quiet).count)
    local whole = probe.accuracy()(model, synthetic.test, quiet)
    local some = probe.accuracy { limit = 10, batch = 3 }(model, synthetic, quiet)
    assert.equal(10, some.count)
    assert.same(table.move(whole.top1.items, 1, 10, 1, {}), some.top1.items)
    assert.error_matches(function() probe.accuracy()(model, 3) end, "accuracy: expected a part of a data set, got 3")
    assert.error_matches(function() probe.accuracy { limits = 3 } end, 'probe.accuracy: unknown option "limits"')
  end)
end)

describe("probe.continuity", function()
  -- Pixels far enough from 0 and 1 that nothing is clipped.
  local rows, labels = {}, {}
  for i = 1, 12 do
    rows[i] = { 60 + 5 * i, 90 + 3 * (i % 4), 120 - 4 * i }
    labels[i] = i % 3 + 1
  end
  local set = pixels(rows, labels, 3, { "a", "b", "c" })
  local shift = perturb.new { name = "shift", apply = function(x) return x + 0.1 end }
  local model = linear { { 1, 2, 3 }, { 0, 1, -1 }, { 2, 0, 0 } }

  it("DS is the squared distance of the logits, summed over classes", function()
    local result = probe.continuity { perturbations = { shift = shift }, pairs = 2000 }(model, set, quiet)
    local expected = 0.6 ^ 2 + 0 ^ 2 + 0.2 ^ 2
    assert.equal(1, #result.rows)
    assert.near(expected, result.rows[1].ds.value, 1e-5)
    assert.near(expected, result.metrics.ds.value, 1e-5)
    -- The scale: the mean over all pairs of different classes, here computed in full.
    local sum, count = 0, 0
    for i = 1, 12 do
      for j = 1, 12 do
        if labels[i] ~= labels[j] then
          local d = {}
          for c = 1, 3 do d[c] = (rows[i][c] - rows[j][c]) / 255 end
          sum = sum + (d[1] + 2 * d[2] + 3 * d[3]) ^ 2 + (d[2] - d[3]) ^ 2 + (2 * d[1]) ^ 2
          count = count + 1
        end
      end
    end
    assert.near(1, result.scale.value / (sum / count), 0.1)
    assert.is_true(result.scale:contains(sum / count))
    assert.near(result.rows[1].ds.value / result.scale.value, result.rows[1].ds_relative.value, 1e-9)
    assert.equal(2000, result.scale.n)
  end)

  it("relative DS does not see a constant added to the logits, nor their scale", function()
    local probed = probe.continuity { perturbations = { "brightness", "hue" }, levels = { 1, 3 }, pairs = 50 }
    local plain = probed(model, set, quiet)
    local moved = probed(changed(model, function(z) return z + nn.tensor { 5, -3, 2 } end), set, quiet)
    local scaled = probed(changed(model, function(z) return z * 4 end), set, quiet)
    for i, row in ipairs(plain.rows) do
      assert.near(1, moved.rows[i].ds.value / row.ds.value, 1e-3)
      assert.near(16, scaled.rows[i].ds.value / row.ds.value, 1e-3)
      assert.near(1, moved.rows[i].ds_relative.value / row.ds_relative.value, 1e-3)
      assert.near(1, scaled.rows[i].ds_relative.value / row.ds_relative.value, 1e-3)
    end
  end)

  it("so also of a network with any factor of its logits: DS falls by the square, no prediction changes", function()
    local pictures = data.synthetic { classes = 4, side = 12, test = 40, seed = 2 }
    local options = { levels = { 2 }, pairs = 60, seed = 4 }
    local function network(factor)
      return models.mlp { classes = 4, shape = { 12, 12, 3 }, hidden = { 24 }, seed = 5, logit_scale = factor }
    end
    local plain = probe.continuity(options)(network(), pictures, quiet)
    for i = 1, 12 do
      local factor, constant = 10 ^ (4 * nn.random(1, 0, i) - 2), 20 * nn.random(1, 1, i) - 10
      local moved = nn.normal({ 4 }, { seed = i }) * constant
      local scaled = probe.continuity(options)(network(factor), pictures, quiet)
      local shifted = probe.continuity(options)(changed(network(), function(z) return z + moved end), pictures, quiet)
      for k, row in ipairs(plain.rows) do
        assert.near(1, scaled.rows[k].ds.value / row.ds.value / factor ^ 2, 1e-4)
        assert.near(1, scaled.rows[k].ds_relative.value / row.ds_relative.value, 1e-4)
        assert.near(1, shifted.rows[k].ds_relative.value / row.ds_relative.value, 1e-2)
        assert.same(row.flips.items, scaled.rows[k].flips.items)
        assert.same(row.accuracy.items, scaled.rows[k].accuracy.items)
      end
    end
  end)

  it("counts flips and what stays right", function()
    -- Swaps the first two channels: the first two classes of this model change places.
    local swap = perturb.new { name = "swap", apply = function(x)
      return nn.cat({ x:slice(4, 2, 2), x:slice(4, 1, 1), x:slice(4, 3, 3) }, 4)
    end }
    local colours = pixels({ red, green, blue, red }, { 1, 2, 3, 2 }, 3, {})
    local result = probe.continuity { perturbations = { swap = swap }, pairs = 10 }(linear(identity), colours, quiet)
    assert.same({ 100, 100, 0, 100 }, result.rows[1].flips.items)
    assert.same({ 0, 0, 100, 100 }, result.rows[1].accuracy.items)
    assert.same({ 100, 100, 100, 0 }, result.accuracy.items)
    assert.same({ 2, 2, 0, 2 }, result.rows[1].ds.items)
  end)

  it("walks the paper's four perturbations and levels, and sums them by level", function()
    local result = probe.continuity { limit = 9, pairs = 20 }(model, set, quiet)
    assert.equal(16, #result.rows)
    assert.equal(4, #result.totals)
    local sum = 0
    for _, row in ipairs(result.rows) do
      if row.level == 2 then sum = sum + row.ds.value end
    end
    assert.near(sum, result.totals[2].ds.value, 1e-9)
    local mean = 0
    for _, total in ipairs(result.totals) do mean = mean + total.ds.value / 16 end
    assert.near(mean, result.mean.ds.value, 1e-9)
    assert.equal(9, result.count)
    local names = {}
    for i = 1, 16, 4 do names[#names + 1] = result.rows[i].perturbation end
    assert.same({ "brightness", "contrast", "saturation", "hue" }, names)
    local text = tostring(result)
    assert.matches("brightness%s+1%s+", text)
    assert.matches("mean of all", text)
  end)

  it("gives the same numbers for every batch size, and the same draws for a seed", function()
    local function once(options)
      options.pairs = 30
      local result, out = probe.continuity(options)(model, set, quiet), {}
      for i, row in ipairs(result.rows) do out[i] = { row.ds.value, row.ds_relative.value, row.flips.value } end
      return out
    end
    assert.same(once { levels = { 2 }, batch = 100 }, once { levels = { 2 }, batch = 5 })
    local jitter = { jitter = perturb.colour { levels = { 1, 4 } } }
    assert.same(once { perturbations = jitter }, once { perturbations = jitter })
    assert.not_same(once { perturbations = jitter }, once { perturbations = jitter, seed = 2 })
  end)

  it("refuses nonsense", function()
    assert.error_matches(function() probe.continuity { levels = { 5 } } end, 'levels expects "paper", or a list')
    assert.error_matches(function() probe.continuity { perturbations = { "blur" } } end, "perturbations expects")
    local one_class = pixels({ red, green }, { 1, 1 }, 3, {})
    assert.error_matches(function() probe.continuity()(model, one_class, quiet) end, "at least two classes")
  end)
end)

describe("probe.logits", function()
  local set = pixels({ red, green, blue, red, green }, { 1, 2, 3, 2, 1 }, 3)
  local model = linear(identity)
  local out = os.tmpname()
  teardown(function() os.remove(out) end)

  it("writes logits and labels as two .npy files", function()
    local result = probe.logits { out = out .. ".npy", batch = 2 }(model, set, quiet)
    assert.same({ out .. ".npy", out .. "-labels.npy" }, result.files)
    assert.equal(("logits  5 images, 3 classes, in %s.npy and %s-labels.npy"):format(out, out), tostring(result))
    local logits, labels = assert(nn.npy.load(out .. ".npy")), assert(nn.npy.load(out .. "-labels.npy"))
    local x = set:batches { size = 5 }()
    assert.same(nn.no_grad(model, x):tolist(), logits:tolist())
    assert.same({ 0, 1, 2, 1, 0 }, labels:tolist())
    for _, path in ipairs(result.files) do os.remove(path) end
  end)

  it("or as the arrays of an .npz file", function()
    local result = probe.logits { out = out .. ".npz", limit = 3 }(model, set, quiet)
    assert.same({ out .. ".npz" }, result.files)
    local arrays = assert(nn.npz.load(out .. ".npz"))
    os.remove(out .. ".npz")
    assert.same({ 3, 3 }, arrays.logits.shape)
    assert.same({ 0, 1, 2 }, arrays.labels:tolist())
  end)

  it("refuses other endings, and says what cannot be written", function()
    assert.has_error(function() return probe.logits { out = "logits.txt" } end,
                     'probe.logits: out expects a path that ends in .npy or .npz, got "logits.txt"')
    local ok, message = pcall(probe.logits { out = out .. "/no/logits.npy" }, model, set, quiet)
    assert.is_false(ok)
    assert.matches("no/logits.npy", message)
  end)
end)

describe("probes", function()
  it("change no running statistic, record no gradient and leave no tensors behind", function()
    local synthetic = data.synthetic { classes = 3, train = 30, test = 20, seed = 2 }
    local model = models.resnet8 { classes = 3, seed = 1, normalize = synthetic.stats }
    local state = model:state()
    local function all()
      local out = {}
      for name, tensor in pairs(state) do out[name] = tensor:tolist() end
      return out
    end
    local before = all()
    local function once()
      local accuracy = probe.accuracy()(model, synthetic, quiet)
      local continuity = probe.continuity { levels = { 1 }, batch = 8 }(model, synthetic, quiet)
      assert.equal(accuracy.top1.value, continuity.accuracy.value)
      collectgarbage()
      collectgarbage()
      return nn.live_tensors()
    end
    local live = once()
    assert.equal(live, once())
    assert.same(before, all())
    for _, tensor in ipairs(model:parameters()) do assert.is_nil(tensor.grad) end
  end)

  it("say what they are, how much work they are, and how far they have come", function()
    local this = probe.continuity { levels = { 1, 2 }, limit = 10 }
    assert.matches("^continuity%(batch 256; convention paper; levels 1, 2; limit 10; seed 1%)$", tostring(this))
    local synthetic = data.synthetic { test = 30 }
    assert.equal(10 * 9, this:work(synthetic))
    local done = 0
    this(models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, synthetic,
         { tick = function(images) done = done + images end })
    assert.equal(90, done)
    local attacked = probe.continuity { perturbations = { pgd = attack.pgd { eps = 0.1, iters = 3 } } }
    local ticks, largest = 0, 0
    attacked(models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, synthetic, { tick = function(images)
      ticks, largest = ticks + images, math.max(largest, images)
    end })
    assert.equal(attacked:work(synthetic), ticks)
    assert.equal(30, largest) -- one pass at a time: what a tick takes is the cost of a pass
    local own = probe.new("count", {}, function(_, part)
      return { rows = {}, metrics = { images = stats.new { value = #part } }, text = function() return "counted" end }
    end)
    assert.equal("counted", tostring(own({}, synthetic, quiet)))
    assert.error_matches(function() own(3, synthetic) end, "count: expected a model, got 3")
    assert.error_matches(function() own({}, synthetic, { quite = true }) end, 'count: unknown option "quite"; did you')
  end)
end)
