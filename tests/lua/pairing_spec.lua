--- The pairing term and what is made of it, against values worked out by hand on three classes.
local linear = require "tests.linear"
local loss = require "loss"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"

-- F(x) = x, so that the images are their own logits.
local function same() return linear { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } } end

-- x' by hand: the perturbed images whatever x is.
local function becomes(rows)
  return perturb.new { name = "by hand", apply = function() return nn.tensor(rows) end }
end

-- exp of these logits: 1, 2, 1 (sum 4) and 4, 2, 2 (sum 8); of the moved ones 2, 1, 1 and 1, 1, 2 (sums 4).
local ln2 <const> = math.log(2)
local x = nn.tensor { { 0, ln2, 0 }, { 2 * ln2, ln2, ln2 } }
local y = nn.tensor({ 2, 1 }, { type = "index" })
local moved = becomes { { ln2, 0, 0 }, { 0, 0, ln2 } }

-- Shares: p(x) = (1/4, 1/2, 1/4), (1/2, 1/4, 1/4); p(x') = (1/2, 1/4, 1/4), (1/4, 1/4, 1/2).
-- CE(x) = (ln 2 + ln 2) / 2 = ln 2; CE(x') = (ln 4 + ln 4) / 2 = 2 ln 2.
-- F(x') - F(x) = ln 2 (1, -1, 0), ln 2 (-2, -1, 0): squares sum to 2 ln2^2 and 5 ln2^2.
local function check(expected, objective)
  assert.near(expected, objective(same(), x, y):item(), 1e-6)
end

describe("the pairing presets, by hand:", function()
  it("adversarial", function()
    check(ln2 / 2 + 2 * ln2 / 2, loss.adversarial { perturb = moved })
    check(2 * ln2, loss.adversarial { perturb = moved, mix = 1 })
    check(ln2, loss.adversarial { perturb = moved, mix = 0 })
    check(0.75 * ln2 + 0.25 * 2 * ln2, loss.adversarial { perturb = moved, mix = 0.25 })
    assert.equal(2, loss.adversarial { perturb = moved }:views())
    assert.equal(1, loss.adversarial { perturb = moved, mix = 1 }:views())
  end)

  it("continuity", function()
    check((2 + 5) / 2 * ln2 ^ 2, loss.continuity { perturb = moved })
    check((2 + 5) / 6 * ln2 ^ 2, loss.continuity { perturb = moved, reduction = "mean_all" })
  end)

  it("alp is a mean over batch and classes, times 0.5", function()
    check(0.5 * (2 + 5) / 6 * ln2 ^ 2, loss.alp { perturb = moved })
  end)

  it("alp(lambda) is continuity(lambda / K)", function()
    local images, labels = nn.uniform({ 8, 3 }, { seed = 1 }), nn.tensor({ 1, 2, 3, 1, 2, 3, 1, 2 }, { type = "index" })
    local noise = perturb.new { name = "noise", apply = function(v) return v + nn.normal(v.shape, { seed = 2 }) end }
    local function gradient(objective)
      local model = linear { { 1, 2, 3 }, { 0, -1, 1 }, { 3, 0.5, -2 } }
      local value = objective(model, images, labels)
      value:backward()
      return value:item(), model:parameters()[1].grad
    end
    local a, da = gradient(loss.alp { perturb = noise, weight = 0.6 })
    local b, db = gradient(loss.continuity { perturb = noise, weight = 0.6 / 3 })
    assert.near(a, b, 1e-6)
    assert.near(0, (da - db):abs():max():item(), 1e-5)
  end)

  it("clp pairs the halves of a batch", function()
    -- The pair is (x_1, x_2): ln 2 (2, 0, 1), squares 5 ln2^2, over one pair and three classes.
    check(0.5 * 5 / 3 * ln2 ^ 2, loss.clp())
    check(5 * ln2 ^ 2, loss.clp { weight = 1, reduction = "sum_classes" })
    -- Of five images 1 and 3, 2 and 4; the last one has no other.
    local five = nn.tensor { { 0, 0, 0 }, { 1, 0, 0 }, { 3, 0, 0 }, { 1, 2, 0 }, { 9, 9, 9 } }
    local labels = nn.tensor({ 1, 1, 1, 1, 1 }, { type = "index" })
    assert.near((9 + 4) / 2, loss.clp { weight = 1, reduction = "sum_classes" }(same(), five, labels):item(), 1e-6)
    -- A last batch of one image has no pair.
    local model = same()
    local value = (loss.cross_entropy() + loss.clp())(model, five:slice(1, 1, 1), labels:slice(1, 1, 1))
    assert.near(math.log(3), value:item(), 1e-6)
    value:backward()
    -- With noise the pairs are those of x'.
    check(0.5 * (1 + 0 + 1) / 3 * ln2 ^ 2, loss.clp { perturb = moved }) -- x'_2 - x'_1 = ln 2 (-1, 0, 1)
  end)

  it("lsq is the mean length of the logits", function()
    -- Lengths: ln 2 and ln 2 sqrt(4 + 1 + 1).
    check(0.05 * (1 + math.sqrt(6)) / 2 * ln2, loss.lsq())
    check(0.05 * (1 + 1) / 2 * ln2, loss.lsq { perturb = moved })
    -- At 0 its gradient is 0, not nan.
    local model = same()
    loss.lsq()(model, nn.zeros { 2, 3 }, y):backward()
    assert.equal(0, model:parameters()[1].grad:abs():max():item())
  end)

  -- KL(p(x) || p(x')): 1/4 ln(1/2) + 1/2 ln 2 and 1/2 ln 2 + 1/4 ln(1/2), both ln 2 / 4; and so the other way round.
  it("kl, trades, vat and half of both ways", function()
    check(ln2 / 4, loss.kl { perturb = moved })
    check(6 * ln2 / 4, loss.trades { perturb = moved })
    check(ln2 / 4, loss.vat { perturb = moved })
    check(ln2 / 4, loss.pair { perturb = moved, distance = "sym_kl" })
  end)

  it("trades goes from p(x) to p(x')", function()
    -- p(x) = (1/4, 1/2, 1/4), p(x') = (1/8, 3/4, 1/8).
    local one, label = x:slice(1, 1, 1), y:slice(1, 1, 1)
    local far = becomes { { 0, math.log(6), 0 } }
    local there = 2 / 4 * ln2 + 1 / 2 * math.log(2 / 3)
    local back = 2 / 8 * -ln2 + 3 / 4 * math.log(3 / 2)
    local function value(objective) return objective(same(), one, label):item() end
    assert.near(there, value(loss.trades { perturb = far, weight = 1 }), 1e-6)
    assert.near(back, value(loss.pair { perturb = far, distance = "kl_reverse" }), 1e-6)
    assert.near((there + back) / 2, value(loss.pair { perturb = far, distance = "sym_kl" }), 1e-6)
  end)

  it("stability: the cross-entropy of p(x) and p(x'), or a distance", function()
    -- -sum p ln p': 1/4 ln 2 + 1/2 ln 4 + 1/4 ln 4 and 1/2 ln 4 + 1/4 ln 4 + 1/4 ln 2, both 1.75 ln 2.
    check(0.01 * 1.75 * ln2, loss.stability { perturb = moved })
    -- With the squared distance it is continuity with Gaussian P: the same noise, value and gradient.
    local images = nn.uniform({ 4, 5, 5, 1 }, { seed = 2 })
    local labels = nn.tensor({ 1, 2, 3, 1 }, { type = "index" })
    local function run(objective)
      local model = models.mlp { classes = 3, shape = { 5, 5, 1 }, hidden = {}, seed = 1 }
      local value = objective(model, images, labels, { seed = 5, step = 2 })
      value:backward()
      return value:item(), model:parameters()[1].grad:tolist()
    end
    local a, da = run(loss.stability { distance = "sq_l2", weight = 0.7 })
    local b, db = run(0.7 * loss.continuity { perturb = perturb.gaussian_noise(0.04) })
    assert.equal(b, a)
    assert.same(db, da)
  end)

  it("mart", function()
    -- Of p(x') a wrong class has 1/2 at most, twice; 1 - p_y(x) is 1/2, twice.
    check(2 * ln2 - math.log(1.0001 - 0.5), loss.boosted_cross_entropy { perturb = moved })
    check(2 * ln2 - math.log(1.0001 - 0.5) + 6 * 0.5 * ln2 / 4, loss.mart { perturb = moved })
    assert.same({ "boosted_cross_entropy_perturbed", "mart" }, loss.mart({ perturb = moved }):names())
    assert.equal(2, loss.mart({ perturb = moved }):views())
  end)

  it("uda: temperature, threshold and annealing", function()
    check(ln2 / 4, loss.uda { perturb = moved })
    -- At temperature 1/2 p(x) is (1, 4, 1) / 6 and (4, 1, 1) / 6: against 1/2, 1/4, 1/4 in this order, and its mirror.
    local sharp = 1 / 6 * math.log(1 / 3) + 4 / 6 * math.log(8 / 3) + 1 / 6 * math.log(2 / 3)
    check(sharp, loss.uda { perturb = moved, temperature = { clean = 0.5 } })
    -- Both largest shares are 1/2, before the temperature.
    check(sharp, loss.uda { perturb = moved, temperature = { clean = 0.5 }, threshold = 0.45 })
    check(0, loss.uda { perturb = moved, temperature = { clean = 0.5 }, threshold = 0.55 })
    -- The mean is over all images: of p(x) = (1/2, 1/4, 1/4) and (8, 1, 1) / 10 only the second counts.
    local two = nn.tensor { { ln2, 0, 0 }, { math.log(8), 0, 0 } }
    local to = becomes { { 0, 0, 0 }, { 0, 0, 0 } }
    local kl = 0.8 * math.log(2.4) + 0.2 * math.log(0.3)
    local value = loss.uda { perturb = to, threshold = 0.6 }(same(), two, y)
    assert.near(kl / 2, value:item(), 1e-6)
    -- Annealing: after t of the training a label's share counts up to 1/3 + 2/3 a(t); here both shares are 1/2.
    local function annealed(how, step)
      return loss.cross_entropy { anneal = how }(same(), x, y, { step = step, span = { steps = 100 } }):item()
    end
    assert.near(0, annealed("linear", 24), 1e-6)  -- 0.493
    assert.near(ln2, annealed("linear", 26), 1e-6)  -- 0.507
    assert.near(0, annealed("log", 5), 1e-6)  -- 1 - exp(-0.25) = 0.221
    assert.near(ln2, annealed("log", 6), 1e-6)  -- 0.259
    assert.near(0, annealed("exp", 72), 1e-6)  -- exp(-1.4) = 0.247
    assert.near(ln2, annealed("exp", 73), 1e-6)  -- 0.259
    assert.error_matches(function() loss.cross_entropy { anneal = "exp" }(same(), x, y) end,
      "loss: anneal needs the steps of the training: objective.span = { steps = n }")
  end)

  it("augmix: the divergence of three views from their mean", function()
    -- Both x' are `moved`. In twelfths: p(x) = (3, 6, 3), p(x') = (6, 3, 3), mean (5, 4, 3); and (6, 3, 3), (3, 3, 6),
    -- (4, 3, 5).
    local one = 1 / 4 * math.log(3 / 5) + 1 / 2 * math.log(6 / 4)
    local other = 1 / 2 * math.log(6 / 5) + 1 / 4 * math.log(3 / 4)
    check(12 * (one + 2 * other) / 3, loss.augmix { perturb = moved })
    -- Of two: mean (4.5, 4.5, 3).
    local two = (1 / 4 * math.log(3 / 4.5) + 1 / 2 * math.log(6 / 4.5)) / 2
      + (1 / 2 * math.log(6 / 4.5) + 1 / 4 * math.log(3 / 4.5)) / 2
    check(two, loss.pair { perturb = moved, distance = "js" })
  end)

  it("augmix draws each view anew", function()
    local seen = {}
    local watch = perturb.new { name = "watch", apply = function(images, _, _, draw)
      local out = images + nn.normal(images.shape, { seed = draw.seed })
      seen[#seen + 1] = out
      return out
    end }
    local objective = loss.cross_entropy() + loss.augmix { perturb = watch, views = 4 }
    assert.equal(4, objective:views())
    objective(same(), x, y)
    assert.equal(3, #seen)
    for i = 2, 3 do assert.is_true((seen[1] - seen[i]):abs():max():item() > 0) end
  end)

  it("the distance js is symmetric, and at most the logarithm of how many there are", function()
    local function js(...)
      local rows, at = { ... }, 1
      local p = perturb.new { name = "rest", apply = function()
        at = at + 1
        return nn.tensor { rows[at] }
      end }
      return loss.pair { perturb = p, distance = "js", views = #rows }(same(), nn.tensor { rows[1] },
        nn.tensor({ 1 }, { type = "index" })):item()
    end
    local a, b, c = { 1, 0.5, -2 }, { 0, 3, 1 }, { -1, 0, 4 }
    assert.near(js(a, b), js(b, a), 1e-6)
    for _, order in ipairs { { a, c, b }, { b, a, c }, { c, b, a } } do
      assert.near(js(a, b, c), js(table.unpack(order)), 1e-6)
    end
    assert.near(0, js(a, a, a), 1e-6)
    assert.near(ln2, js({ 90, 0, 0 }, { 0, 90, 0 }), 1e-6)
    assert.near(math.log(3), js({ 90, 0, 0 }, { 0, 90, 0 }, { 0, 0, 90 }), 1e-6)
    assert.near(ln2, js({ 1e4, 0, 0 }, { 0, 1e4, 0 }), 1e-6)
  end)

  it("r_drop: the same images, dropped otherwise", function()
    local images = x:reshape { 2, 1, 1, 3 }
    assert.near(0, loss.r_drop()(same(), images, y):item(), 1e-7)
    local model = nn.Sequential { nn.Flatten(), nn.Linear(3, 50), nn.Dropout { p = 0.5 }, nn.Linear(50, 3) }
    local value = loss.r_drop()(model, images, y)
    assert.is_true(value:item() > 1e-3)
    assert.near(0, loss.r_drop()(model, images, y, { training = false }):item(), 1e-7)
    assert.equal(2, loss.r_drop():views())
    local again = perturb.identity()
    assert.equal(2, (loss.cross_entropy() + loss.cross_entropy { perturb = again } + loss.r_drop()):views())
  end)

  it("the input-gradient penalty", function()
    -- d CE / d x = p(x) - y: (1/4, -1/2, 1/4) and (-1/2, 1/4, 1/4), squares 3/8.
    check(3 / 8, loss.input_gradient())
    assert.equal(4, loss.input_gradient():views())
    -- Where the classes are sure there is none.
    local value = loss.input_gradient()(same(), nn.tensor { { 1e3, 0, 0 } }, nn.tensor({ 1 }, { type = "index" }))
    assert.equal(0, value:item())
    value:backward()
  end)

  it("the pairing term's distances", function()
    -- Differences ln 2 (1, -1, 0) and ln 2 (-2, -1, 0).
    check((math.sqrt(2) + math.sqrt(5)) / 2 * ln2, loss.pair { perturb = moved, distance = "l2" })
    check((2 + 3) / 2 * ln2, loss.pair { perturb = moved, distance = "l1" })
    -- Huber: all but 2 ln 2 = 1.39 are below 1.
    check((2 * ln2 ^ 2 / 2 + 2 * ln2 - 0.5 + ln2 ^ 2 / 2) / 2, loss.pair { perturb = moved, distance = "huber" })
    -- Of F(x) = ln 2 (0, 1, 0), (2, 1, 1) and F(x') = ln 2 (1, 0, 0), (0, 0, 1): cosines 0 and 1 / sqrt 6.
    check(1 - (0 + 1 / math.sqrt(6)) / 2, loss.pair { perturb = moved, distance = "cosine" })
    -- Of the shares: (1/4, -1/4, 0) and (-1/4, 0, 1/4), squares 1/8.
    check(1 / 8, loss.pair { perturb = moved, on = "softmax" })
    -- Of their logarithms: ln 2 (1, -1, 0) and ln 2 (-1, 0, 1).
    check(2 * ln2 ^ 2, loss.pair { perturb = moved, on = "log_softmax" })
    check((1 + 4) / 2 / 4 * ln2 ^ 2 + (1 + 1) / 2 / 4 * ln2 ^ 2, loss.pair { perturb = moved, temperature = 2 })
    -- Each image times 1 - p_y = 1/2.
    check(7 / 4 * ln2 ^ 2, loss.pair { perturb = moved, weight_by = "1 - p_y" })
  end)
end)

describe("the pairing term", function()
  local images, labels = nn.uniform({ 6, 8, 8, 3 }, { seed = 3 }), nn.tensor({ 1, 2, 3, 1, 2, 3 }, { type = "index" })
  local bright <const> = perturb.brightness(64)

  it("looks at a layer", function()
    local net = models.mlp { classes = 3, shape = { 8, 8, 3 }, hidden = { 7 }, seed = 1 }
    local layer
    for _, entry in ipairs(net:named_parameters()) do layer = layer or entry.name:match "^(.*)%.weight$" end
    local objective = loss.cross_entropy() + loss.pair { perturb = bright, on = layer }
    local _, terms = objective(net, images, labels)
    local _, a = net:forward(images, { taps = { layer } })
    local _, b = net:forward(bright(images), { taps = { layer } })
    assert.same({ 6, 7 }, a[layer].shape)
    assert.near(nn.squared_distance(a[layer], b[layer]):item(), terms.pair.raw, 1e-5)
    -- Of any shape: all numbers of an image are one row.
    local conv = models.resnet8 { classes = 3 }
    assert.is_true(loss.pair { perturb = bright, on = "conv1" }(conv, images, labels):item() > 0)
  end)

  it("keeps the clean pass alone in the running statistics, or uses them", function()
    local function statistics(objective)
      local net = models.resnet8 { classes = 3, seed = 1 }
      local value, terms = objective(net, images, labels)
      value:backward()
      return net:state()["bn1.running_mean"]:tolist(), terms, net
    end
    local function term(stats)
      return loss.cross_entropy() + loss.continuity { perturb = bright, batch_stats = stats }
    end
    local alone = statistics(loss.cross_entropy())
    assert.not_same(alone, (statistics(term "joint")))
    assert.not_same(alone, (statistics(term "separate")))
    local kept, clean = statistics(term "clean")
    assert.same(alone, kept)
    local same_too, eval = statistics(term "eval")
    assert.same(alone, same_too)
    local _, separate = statistics(term "separate")
    assert.equal(separate.continuity.raw, clean.continuity.raw) -- the same batch statistics
    assert.not_equal(separate.continuity.raw, eval.continuity.raw)
    local net = models.resnet8 { classes = 3, seed = 1 }
    local passes = select(2, term "clean":passes(net, images, labels, { seed = 1, step = 0 }))
    assert.same({ 2, true, false }, { #passes, passes[1].training, passes[2].update })
  end)

  it("shares a view with other terms, in the one way that is asked for", function()
    local joint, apart = loss.cross_entropy { perturb = bright }, loss.continuity { perturb = bright }
    assert.equal(2, (joint + apart):views())
    local mixed = loss.cross_entropy { perturb = bright } + loss.kl { perturb = bright, batch_stats = "separate" }
    local net = models.resnet8 { classes = 3, seed = 1 }
    assert.equal(2, #select(2, mixed:passes(net, images, labels, { seed = 1, step = 0 })))
    local two = loss.kl { perturb = bright, batch_stats = "clean" } + mixed
    assert.error_matches(function() two(net, images, labels) end,
      'loss: batch_stats of brightness%(%+64/255%): "clean" for one term, "separate" for kl_2')
  end)

  it("stops the gradient of either side", function()
    local function gradient(stop)
      local net = models.mlp { classes = 3, shape = { 8, 8, 3 }, hidden = {}, seed = 1 }
      loss.pair { perturb = bright, distance = "js", stop_gradient = stop }(net, images, labels):backward()
      return net:parameters()[1].grad
    end
    local both, of_moved, of_clean = gradient(false), gradient "clean", gradient "perturbed"
    assert.near(0, (both - of_moved - of_clean):abs():max():item(), 1e-6)
    assert.is_true(of_moved:abs():max():item() > 0)
  end)

  it("refuses what does not fit", function()
    local function refused(options, message)
      assert.error_matches(function() loss.pair(options) end, message, 1, true)
    end
    refused({}, 'loss.pair: expected a perturbation, or against = "again", "other images" or "zero"')
    refused({ against = "again", perturb = bright }, "the same images go through the network twice")
    refused({ perturb = bright, distance = "kl", on = "softmax" }, "takes logits and compares their softmax")
    refused({ against = "zero", distance = "kl" }, 'distance = "kl" has nothing to compare with zero')
    refused({ against = "zero", stop_gradient = "clean" }, "leaves no gradient against zero")
    refused({ against = "other images", threshold = 0.5 }, "threshold counts images")
    refused({ against = "other images", weight_by = "1 - p_y" }, "weight_by counts images")
    refused({ perturb = bright, views = 3 }, 'more than two views are for distance = "js" and a perturbation')
    refused({ perturb = bright, distance = "l3" }, 'loss.pair: distance expects one of "sq_l2"')
    refused({ perturb = bright, temperature = { clean = 0 } }, "temperature expects a number above 0")
    assert.error_matches(function() loss.stability { perturb = bright, deviation = 0.1 } end,
      "loss.stability: deviation is of the perturbation that is used when none is given", 1, true)
    assert.error_matches(function() loss.vat { eps = -1 } end, "loss.vat: eps expects a number of at least 0, or a", 1,
      true)
    assert.error_matches(function() loss.adversarial {} end, "loss.adversarial: perturb is required", 1, true)
    assert.error_matches(function() loss.trades { epss = 1 } end, 'loss.trades: unknown option "epss"', 1, true)
  end)

  it("has a weight that is a number or a schedule", function()
    local ramp = optim.ramp { steps = 10 }
    local objective = loss.cross_entropy() + 4 * ramp * loss.continuity { perturb = moved }
    local ds = 3.5 * ln2 ^ 2
    for step, weight in pairs { [0] = 0, [5] = 2, [10] = 4, [99] = 4 } do
      local value, terms = objective(same(), x, y, { step = step })
      assert.near(ln2 + weight * ds, value:item(), 1e-5)
      assert.equal(weight, terms.continuity.weight)
      assert.near(weight * ds, terms.continuity.weighted, 1e-5)
    end
    assert.equal("cross_entropy + 4 * ramp(steps 10) * continuity(by hand)", tostring(objective))
    assert.equal("cross_entropy + 4 * ramp(steps 10) * continuity(by hand)",
      tostring(loss.cross_entropy() + loss.continuity { perturb = moved, weight = 4 * ramp }))
    assert.equal("L = mean CE(F(x), y) + 4 * ramp(steps 10) · mean ‖F(x') − F(x)‖²\nx' = by hand", objective:formula())
    -- Without steps it takes the training's, which a script says.
    local whole = loss.cross_entropy() + optim.ramp() * loss.continuity { perturb = moved }
    assert.error_matches(function() whole(same(), x, y) end, "ramp: steps is needed outside a training run")
    whole.span, whole.step = { steps = 8 }, 4
    local _, terms = whole(same(), x, y)
    assert.equal(0.5, terms.continuity.weight)
    assert.error_matches(function() return ramp * (ramp * loss.lsq()) end, "schedule: %* expects a schedule and a")
  end)
end)

describe("the virtual adversary", function()
  -- For logits W x the divergence's Hessian at x is W^T (diag p - p p^T) W: an iteration multiplies by it.
  local w <const> = { { 1, 2, 0.5 }, { 0, -1, 1 }, { 3, 0.5, -2 } }
  local image <const> = { 0.2, -0.1, 0.3 }

  local function times_hessian(d)
    local z, sum = {}, 0
    for k = 1, 3 do z[k] = w[k][1] * image[1] + w[k][2] * image[2] + w[k][3] * image[3] end
    for k = 1, 3 do sum = sum + math.exp(z[k]) end
    local dz, mean = {}, 0
    for k = 1, 3 do
      z[k] = math.exp(z[k]) / sum
      dz[k] = w[k][1] * d[1] + w[k][2] * d[2] + w[k][3] * d[3]
      mean = mean + z[k] * dz[k]
    end
    local out = { 0, 0, 0 }
    for k = 1, 3 do
      for j = 1, 3 do out[j] = out[j] + w[k][j] * z[k] * (dz[k] - mean) end
    end
    local length = math.sqrt(out[1] ^ 2 + out[2] ^ 2 + out[3] ^ 2)
    return { out[1] / length, out[2] / length, out[3] / length }
  end

  -- r / eps of the two equal images of a batch.
  local function directions(options)
    local model = linear(w)
    local term = loss.vat(options)
    local p = term.terms[1].options.perturb
    local before = nn.tensor { image, image }
    model(before):sum():backward()
    local gradient = model:parameters()[1].grad:tolist()
    local found = (p(before, nil, model, { seed = 3, step = 1 }) - before) / options.eps
    assert.same(gradient, model:parameters()[1].grad:tolist()) -- a pass of its own leaves no trace
    assert.is_true(model:parameters()[1].requires_grad)
    return found:tolist(), tostring(p)
  end

  it("follows the divergence's Hessian from a random direction", function()
    local start, text = directions { eps = 0.5, iterations = 0 }
    assert.equal("virtual_adversary(l2, eps 0.5, xi 0.01, 0 iterations)", text)
    for _, xi in ipairs { 0.01, 0.001 } do
      local once = directions { eps = 0.5, xi = xi }
      local twice = directions { eps = 0.5, xi = xi, iterations = 2 }
      for i = 1, 2 do
        local exact = times_hessian(start[i])
        local second = times_hessian(exact)
        for j = 1, 3 do
          assert.near(exact[j], once[i][j], 0.02)
          assert.near(second[j], twice[i][j], 0.02)
        end
        assert.near(1, once[i][1] ^ 2 + once[i][2] ^ 2 + once[i][3] ^ 2, 1e-5)
      end
    end
    assert.not_same(start[1], start[2]) -- each image has its own
  end)

  it("needs no labels, moves by eps, updates no running statistic", function()
    local net = models.resnet8 { classes = 3, seed = 1 }
    local batch = nn.uniform({ 4, 8, 8, 3 }, { seed = 1 })
    local before = net:state()["bn1.running_mean"]:tolist()
    for _, bn in ipairs { "eval", "train" } do
      local p = loss.vat({ eps = 3 * optim.ramp { steps = 4 }, bn = bn }).terms[1].options.perturb
      assert.equal(3, p:passes())
      for step, eps in pairs { [1] = 0.75, [4] = 3 } do
        local r = p(batch, nil, net, { seed = 1, step = step }) - batch
        for _, length in ipairs(r:norm({ 2, 3, 4 }):tolist()) do assert.near(eps, length, 1e-3) end
      end
    end
    assert.same(before, net:state()["bn1.running_mean"]:tolist())
    local objective = loss.cross_entropy() + loss.vat { eps = 3 * optim.ramp { steps = 4 } }
    local _, terms = objective(net, batch, nn.tensor({ 1, 2, 3, 1 }, { type = "index" }), { step = 2 })
    assert.equal(1.5, terms.vat.eps)
  end)

  it("moves nothing where the model is flat", function()
    local p = loss.vat({ eps = 1 }).terms[1].options.perturb
    local flat = linear { { 0, 0, 0 }, { 0, 0, 0 } }
    assert.same(x:tolist(), p(x, nil, flat):tolist())
  end)
end)
