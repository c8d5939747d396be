--- probe.smoothness on models whose answers can be worked out by hand: linear ones, quadratic ones, a smooth network
--- with its exact Jacobian.
local attack = require "attack"
local data_part = require "data.part"
local data = require "data"
local linear = require "tests.linear"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"
local plan = require "plan"
local probe = require "probe"

local quiet = { quiet = true }

-- One-pixel images far enough from 0 and 1 that nothing is clipped.
local rows, labels = {}, {}
for i = 1, 12 do
  rows[i] = { 60 + 5 * i, 90 + 3 * (i % 4), 120 - 4 * i }
  labels[i] = i % 3 + 1
end
local set
do
  local images = {}
  for i, row in ipairs(rows) do images[i] = { { row } } end
  set = data_part.new { name = "pixels", images = nn.tensor(images, { type = "uint8" }), classes = 3,
                        labels = nn.tensor(labels, { type = "index" }) }
end

-- Moves the channels by so much.
local function shift(by)
  return perturb.new { name = "shift", apply = function(x) return x + nn.tensor(by) end }
end

-- F_k = a_k x_k^2, whose J is diag(2 a_k x_k) and whose J turns along u by diag(2 a_k u_k).
local A <const> = { 3, -2, 0.5 }
local quadratic = { forward = function(_, x) return x:reshape { -1, 3 }:square() * nn.tensor(A) end }

local function smoothness(options, model, context)
  options.pairs = options.pairs or 50
  return probe.smoothness(options)(model, set, context or quiet)
end

local function near(expected, interval, tolerance)
  assert.near(expected, interval.value, (tolerance or 1e-5) * math.max(1e-3, math.abs(expected)))
end

describe("probe.smoothness of a linear model", function()
  local W <const> = { { 3, 0, 0 }, { 0, -2, 0 }, { 0, 0, 1 } } -- orthogonal rows: every projection is exact
  local by <const> = { 0.1, -0.05, 0.02 }
  local result = smoothness({ perturbations = { shift = shift(by) }, batch = 5 }, linear(W))

  it("is exact: the Jacobian, no curvature, all of DS explained", function()
    near(14, result.metrics.jacobian)
    assert.equal(0, result.metrics.curvature.value)
    assert.equal(0, result.metrics.curvature_relative.value)
    near(0.3 ^ 2 + 0.1 ^ 2 + 0.02 ^ 2, result.rows[1].ds)
    for _, name in ipairs { "explained_first", "explained_second" } do
      assert.near(100, result.metrics[name].value, 1e-4)
      assert.equal("%", result.metrics[name].unit)
      assert.equal(12, #result.metrics[name].items)
    end
    near(14 / result.scale.value, result.metrics.jacobian_relative)
  end)

  it("has the gradient of the cross-entropy in closed form", function()
    local sum = 0
    for i, row in ipairs(rows) do
      local p, total, length = {}, 0, 0
      for k = 1, 3 do
        p[k] = math.exp(W[k][k] * row[k] / 255)
        total = total + p[k]
      end
      for k = 1, 3 do length = length + (W[k][k] * (p[k] / total - (k == labels[i] and 1 or 0))) ^ 2 end
      assert.near(math.sqrt(length), result.metrics.input_gradient.items[i], 1e-5)
      sum = sum + math.sqrt(length)
    end
    near(sum / 12, result.metrics.input_gradient)
    near(sum / 12 / math.sqrt(result.scale.value), result.metrics.input_gradient_relative)
  end)

  it("estimates the norm of any Jacobian without bias, the better the more projections", function()
    local model = linear { { 1, 2, 3 }, { 0, 1, -1 }, { 2, 0, 1 } }
    local function jacobian(projections)
      return smoothness({ perturbations = { shift = shift(by) }, projections = projections }, model).metrics.jacobian
    end
    local few, many = jacobian(4), jacobian(64)
    assert.is_true(few:contains(21), tostring(few))
    assert.is_true(many:contains(21), tostring(many))
    assert.is_true(many:half() < few:half() / 2)
  end)

  it("goes as far in random directions as the attack went", function()
    local identity = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }
    local attacked = smoothness({ perturbations = { shift = shift(by) }, attack = shift { 0.1, 0, 0 } },
                                linear(identity))
    local names = {}
    for i, row in ipairs(attacked.rows) do names[i] = row.perturbation end
    assert.same({ "shift", "attack", "random, L∞ length", "random, L2 length" }, names)
    near(0.01, attacked.metrics.ds_attack)
    for i = 1, 12 do
      assert.near(0.03, attacked.metrics.ds_random_linf.items[i], 1e-6) -- ± 0.1 in each of three channels
      assert.near(0.01, attacked.metrics.ds_random_l2.items[i], 1e-6)
    end
    near(0.01 / attacked.scale.value, attacked.metrics.ds_attack_relative)
    assert.equal(0, attacked.metrics.curvature_random_l2.value)
    assert.near(100, attacked.metrics.explained_first_random_linf.value, 1e-3)
  end)
end)

describe("probe.smoothness of a quadratic model", function()
  it("is exact to second order", function()
    local by = { 0.1, -0.2, 0.15 }
    local result = smoothness({ perturbations = { shift = shift(by) }, batch = 7 }, quadratic)
    local jacobian, turned, length, ds, rest = 0, 0, 0, 0, 0
    for k = 1, 3 do
      turned, length = turned + (2 * A[k] * by[k]) ^ 2, length + by[k] ^ 2
      for _, row in ipairs(rows) do
        local x = row[k] / 255
        jacobian = jacobian + (2 * A[k] * x) ^ 2 / 12
        ds = ds + (A[k] * (2 * x * by[k] + by[k] ^ 2)) ^ 2
        rest = rest + (A[k] * by[k] ^ 2) ^ 2
      end
    end
    near(jacobian, result.metrics.jacobian)
    near(turned / length, result.metrics.curvature, 1e-4)
    near(turned / length / result.scale.value, result.metrics.curvature_relative, 1e-4)
    near(ds / 12, result.rows[1].ds, 1e-4)
    near(100 * (1 - rest / ds), result.metrics.explained_first, 1e-3)
    assert.near(100, result.metrics.explained_second.value, 1e-3)
  end)

  it("has curvature at any span, and its share at any step", function()
    local function at(step, span)
      local options = { perturbations = { shift = shift { 0.1, 0.1, 0 } }, step = step, span = span }
      local metrics = smoothness(options, quadratic).metrics
      return metrics.explained_first.value, metrics.explained_second.value, metrics.curvature.value
    end
    local first, second, curvature = at(0.004, 0.5)
    for _, case in ipairs { { 0.02, 0.25 }, { 0.5, 0.9 } } do
      local one, two, three = at(table.unpack(case))
      assert.near(first, one, 0.02)
      assert.near(second, two, 0.02)
      assert.near(1, three / curvature, 1e-4)
    end
  end)
end)

describe("probe.smoothness of a network", function()
  local classes <const>, n <const> = 3, 12
  local smooth = nn.Sequential { nn.Flatten(), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, classes) }:initialise(3)
  for _, t in ipairs(smooth:parameters()) do t:detach():copy(t:detach() * 3) end

  it("agrees with the exact Jacobian, row by row", function()
    local x = set:batches { size = n }()
    local by = nn.tensor { 0.1, -0.05, 0.2 }
    local leaf, squared, linear_part = x:clone(), 0, {}
    leaf.requires_grad = true
    local z = smooth(leaf)
    for k = 1, classes do
      z:backward(nn.one_hot(nn.tensor({ k }, { type = "index" }), classes):expand { n, classes }:clone(),
                 { keep_graph = true })
      squared = squared + leaf.grad:square():sum():item() / n
      linear_part[k] = (leaf.grad * by):reshape({ n, 3 }):sum(2):reshape { n, 1 }
      leaf:clear_grad()
    end
    local moved = nn.no_grad(smooth, x + by) - z:detach()
    local rest = nn.squared_distance(moved, nn.cat(linear_part, 2)):item()
    local share = 100 * (1 - rest / moved:square():sum():item() * n)

    local options = { perturbations = { shift = shift { 0.1, -0.05, 0.2 } }, projections = 100 }
    local metrics = smoothness(options, smooth).metrics
    assert.near(share, metrics.explained_first.value, 0.05)
    assert.near(1, metrics.jacobian.value / squared, 0.1)
    assert.is_true(metrics.explained_second.value > share)
  end)

  local picture_set = data.synthetic { classes = 4, side = 12, train = 20, test = 40, seed = 2 }
  local function network(scale)
    return models.mlp { classes = 4, shape = { 12, 12, 3 }, hidden = { 24 }, seed = 5, logit_scale = scale }
  end
  local noise = perturb.new { name = "noise", apply = function(x, _, _, draw)
    return x + nn.uniform(x.shape, { low = -0.03, high = 0.03, seed = draw.seed, stream = draw.step })
  end }
  local options <const> = { levels = { 1, 3 }, attack = noise, pairs = 60, batch = 16 }

  -- The metrics of a model, in numbers.
  local function numbers(model)
    local out = {}
    for name, interval in pairs(probe.smoothness(options)(model, picture_set, quiet).metrics) do
      out[name] = interval.value
    end
    return out
  end
  local plain = numbers(network())

  it("divides by the logits' scale, so that scaling them changes nothing but the raw figures", function()
    for _, c in ipairs { 0.05, 0.7, 4 } do
      local scaled = numbers(network(c))
      for name, value in pairs(plain) do
        local power = name:find "_relative" and 0 or (name:find "^ds" or name == "jacobian" or name:find "^curv") and 2
        if name:find "^explained" or name:find "^flips" then
          assert.near(value, scaled[name], 0.01, name)
        elseif not name:find "^input_gradient" then
          assert.near(1, scaled[name] / value / c ^ power, 1e-3, name)
        end
      end
    end
  end)

  it("does not see a constant added to the logits, where it matters to none", function()
    local base = network()
    local moved = numbers { forward = function(_, x, how) return (base:forward(x, how)) + 5 end }
    for _, t in ipairs(base:parameters()) do assert.is_nil(t.grad) end -- a model of one's own is frozen too
    for name, value in pairs(plain) do assert.near(1, (moved[name] + 1) / (value + 1), 2e-3, name) end
  end)

  it("looks at the same changed images as probe.continuity, on the same scale", function()
    local jitter = { a = perturb.colour { levels = { 1, 4 } }, b = noise }
    local same = { perturbations = jitter, pairs = 60, batch = 16, seed = 3 }
    local one = probe.continuity(same)(network(), picture_set, quiet)
    local other = probe.smoothness(same)(network(), picture_set, quiet)
    assert.equal(one.scale.value, other.scale.value)
    for i, row in ipairs(one.rows) do
      assert.near(row.ds.value, other.rows[i].ds.value, 1e-6 * row.ds.value)
      assert.equal(row.flips.value, other.rows[i].flips.value)
      assert.equal(row.accuracy.value, other.rows[i].accuracy.value)
    end
  end)

  it("gives the same numbers for the same seed, tells rows as metrics, and prints a table", function()
    local again = numbers(network())
    for name, value in pairs(plain) do assert.equal(value, again[name], name) end
    local result = probe.smoothness { levels = { 1 }, by_row = true, limit = 10, pairs = 30 }(network(), picture_set,
                                                                                             quiet)
    assert.equal(result.rows[4].explained_first.value, result.metrics["explained_first/hue/1"].value)
    local shown = tostring(result)
    assert.matches("‖J‖²_F +%d", shown)
    assert.matches("brightness +1 +%d", shown)
    assert.matches("± 0.004 Δx", shown)
  end)

  it("leaves out what did not move", function()
    local still = { perturbations = { still = perturb.flip { probability = 0 }, noise = noise }, pairs = 60 }
    local result = probe.smoothness(still)(network(), picture_set, quiet)
    local here, there = result.rows[2], result.rows[1]
    assert.same({ "still", 0.0 }, { here.perturbation, here.ds.value })
    assert.is_nil(here.explained_first)
    assert.is_nil(here.curvature)
    assert.near(there.explained_first.value, result.metrics.explained_first.value, 1e-9)
    assert.matches("still +0.00", tostring(result))
  end)

  it("finds nothing where the logits depend on nothing", function()
    local constant = { forward = function(_, x) return nn.ones { #x, 4 } end }
    local result = probe.smoothness { levels = { 1 }, pairs = 60 }(constant, picture_set, quiet)
    assert.equal(0, result.metrics.jacobian.value)
    assert.equal(0, result.metrics.input_gradient.value)
    assert.equal(0, result.metrics.curvature.value)
    assert.is_nil(result.metrics.explained_first)
    assert.matches("brightness", tostring(result))
  end)

  it("counts its work as it is done", function()
    local pgd = attack.pgd { eps = 0.03, iters = 3 }
    for _, case in ipairs { { {}, 2 + 2 + 4 * 9 }, { { projections = 1 }, 2 + 1 + 4 * 7 },
                            { { attack = pgd }, 2 + 2 + 7 * 9 + pgd:passes() },
                            { { perturbations = { pgd = pgd } }, 2 + 2 + 9 + pgd:passes() } } do
      local o = { levels = { 1 }, pairs = 60, batch = 16 }
      for key, value in pairs(case[1]) do o[key] = value end
      local this, done = probe.smoothness(o), 0
      assert.equal(40 * case[2], this:work(picture_set))
      this(network(), picture_set, { tick = function(images) done = done + images end })
      assert.equal(40 * case[2], done)
    end
  end)

  it("leaves the model as it was, also when a change fails", function()
    local model = models.resnet8 { classes = 4, seed = 1 }
    model:freeze "conv1"
    local before, wanted = model:state()["bn1.running_mean"]:tolist(), {}
    for i, t in ipairs(model:parameters()) do wanted[i] = t.requires_grad end
    local function unchanged()
      for i, t in ipairs(model:parameters()) do
        assert.equal(wanted[i], t.requires_grad)
        assert.is_nil(t.grad)
      end
      assert.same(before, model:state()["bn1.running_mean"]:tolist())
      assert.is_true(nn.grad_enabled())
    end
    local pictures = data.synthetic { classes = 4, side = 16, test = 10, seed = 2 }
    local function once()
      probe.smoothness { levels = { 1 }, pairs = 20 }(model, pictures, quiet)
      collectgarbage()
      collectgarbage()
      return nn.live_tensors()
    end
    local live = once()
    assert.equal(live, once())
    unchanged()
    local broken = perturb.new { name = "broken", apply = function() error("no such luck", 0) end }
    assert.error_matches(function()
      probe.smoothness { perturbations = { broken = broken } }(model, pictures, quiet)
    end, "no such luck")
    unchanged()
    -- It still trains.
    local opt = optim.sgd { model, lr = 0.1 }
    local x, y = pictures.test:batches { size = 4 }()
    nn.cross_entropy(model:forward(x, { training = true }), y):backward()
    opt:step()
  end)

  it("takes an attack, which moves the logits farther than random directions of its length", function()
    local model = network()
    local opt = optim.adam { model, lr = 1e-2 }
    local x, y = picture_set.train:batches { size = 20 }()
    for _ = 1, 30 do
      nn.cross_entropy(model:forward(x, { training = true }), y):backward()
      opt:step()
    end
    local pgd = attack.pgd { eps = 4 / 255, iters = 5 }
    local result = probe.smoothness { levels = { 1 }, attack = pgd, pairs = 60 }(model, picture_set, quiet)
    local metrics = result.metrics
    assert.equal("pgd", result.rows[5].perturbation)
    assert.equal(tostring(pgd), result.attack)
    assert.is_true(metrics.ds_attack.low > 4 * metrics.ds_random_linf.high)
    assert.is_true(metrics.ds_attack.low > 4 * metrics.ds_random_l2.high)
    assert.is_true(metrics.explained_second_attack.value > 50)
    assert.matches("attack: pgd%(linf, eps 4/255", tostring(result))
  end)

  it("refuses nonsense", function()
    for _, case in ipairs {
      { { projections = 0 }, "projections expects an integer of at least 1, got 0" },
      { { span = 1 }, "span expects a number above 0 and below 1, got 1" },
      { { attack = "pgd" }, 'attack expects an attack, or another perturbation, got "pgd"' },
      { { project = 2 }, 'probe.smoothness: unknown option "project"; did you mean "projections"%?' },
    } do
      assert.error_matches(function()
        local made = probe.smoothness(case[1])
        return made
      end, case[2])
    end
    local one = data_part.new { name = "one", images = nn.zeros({ 2, 1, 1, 3 }):to "uint8", classes = 3,
                                labels = nn.tensor({ 1, 1 }, { type = "index" }) }
    local model = linear { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }
    assert.error_matches(function() probe.smoothness()(model, one, quiet) end,
                         "smoothness: the scale expects images of at least two classes")
  end)

  it("may stand in a recipe", function()
    local world = plan.world()
    local this = world.probe.smoothness { levels = { 1 }, projections = 3, limit = 100 }
    assert.equal("probe.smoothness{ levels = { 1 }, limit = 100, projections = 3 }", tostring(this))
  end)
end)
