--- The loss terms against their formulas, and how they draw, weigh and join views.
local loss = require "loss"
local models = require "models"
local linear = require "tests.linear"
local nn = require "nn"
local perturb = require "perturb"

-- x' = x + amount, as a perturbation.
local function shift(amount)
  return perturb.new { name = "shift", apply = function(x) return x + amount end }
end

local x, y = nn.tensor { { 1, 0 }, { 0.5, 0.25 } }, nn.tensor({ 1, 2 }, { type = "index" })
local weights = { { 1, 2 }, { 0, -1 }, { 3, 0.5 } }

local function logits_of(rows)
  local out = {}
  for i, row in ipairs(rows) do
    out[i] = {}
    for k, w in ipairs(weights) do out[i][k] = w[1] * row[1] + w[2] * row[2] end
  end
  return out
end

local function cross_entropy(logits, labels)
  local sum = 0
  for i, row in ipairs(logits) do
    local total = 0
    for _, z in ipairs(row) do total = total + math.exp(z) end
    sum = sum + math.log(total) - row[labels[i]]
  end
  return sum / #logits
end

local clean = logits_of { { 1, 0 }, { 0.5, 0.25 } }
local moved = logits_of { { 1.5, 0.5 }, { 1, 0.75 } }

local function distance(a, b)
  local sum = 0
  for i = 1, #a do
    for k = 1, #a[i] do sum = sum + (a[i][k] - b[i][k]) ^ 2 end
  end
  return sum / #a
end

describe("loss", function()
  local model = linear(weights)

  it("cross-entropy equals the formula", function()
    local value, terms = loss.cross_entropy()(model, x, y)
    assert.near(cross_entropy(clean, { 1, 2 }), value:item(), 1e-6)
    assert.equal("cross_entropy", terms[1].name)
    assert.equal(terms[1], terms.cross_entropy)
    assert.near(value:item(), terms.cross_entropy.raw, 1e-6)
  end)

  it("adds and weighs terms, and reports each raw and weighted", function()
    local p = shift(0.5)
    local objective = loss.cross_entropy() + 0.5 * loss.continuity { perturb = p }
    local value, terms, logits = objective(model, x, y)
    local ce, ds = cross_entropy(clean, { 1, 2 }), distance(moved, clean)
    assert.near(ce + 0.5 * ds, value:item(), 1e-5)
    assert.near(ds, terms.continuity.raw, 1e-5)
    assert.equal(0.5, terms.continuity.weight)
    assert.near(0.5 * ds, terms.continuity.weighted, 1e-5)
    assert.equal(2, #terms)
    assert.near(clean[1][3], logits:get(1, 3), 1e-6)
    assert.is_false(logits.requires_grad)
    -- The weight may stand on either side, or among the options.
    for _, same in ipairs { loss.cross_entropy() + loss.continuity { perturb = p, weight = 0.5 },
                            loss.cross_entropy() + loss.continuity { perturb = p } * 0.5 } do
      assert.near(value:item(), same(model, x, y):item(), 1e-6)
    end
  end)

  it("reduction mean_all is as many times weaker as there are classes", function()
    local p = shift(0.5)
    local sum = loss.continuity { perturb = p }(model, x, y):item()
    assert.near(sum / 3, loss.continuity { perturb = p, reduction = "mean_all" }(model, x, y):item(), 1e-5)
  end)

  it("AUG: half of each view", function()
    local p = shift(0.5)
    local objective = 0.5 * loss.cross_entropy() + 0.5 * loss.cross_entropy { perturb = p }
    local value, terms = objective(model, x, y)
    assert.near(0.5 * cross_entropy(clean, { 1, 2 }) + 0.5 * cross_entropy(moved, { 1, 2 }), value:item(), 1e-5)
    assert.same({ "cross_entropy", "cross_entropy_perturbed" }, { terms[1].name, terms[2].name })
    assert.equal(2, objective:views())
  end)

  it("sends the gradient through both branches unless stopped", function()
    local w = model:parameters()[1]
    -- d/dW of mean_i ||W (x_i' - x_i)||^2 with both branches, and with one branch held fixed.
    local function gradient(stop)
      model:zero_grad()
      loss.continuity { perturb = shift(0.5), stop_gradient = stop }(model, x, y):backward()
      return w.grad:tolist()
    end
    local both, perturbed_only, clean_only = gradient(false), gradient("clean"), gradient("perturbed")
    for k = 1, 3 do
      local jump = 0.5 * (weights[k][1] + weights[k][2])
      for j = 1, 2 do
        assert.near(2 * jump * 0.5, both[k][j], 1e-5)
        local mean_moved = j == 1 and 1.25 or 0.625
        assert.near(2 * jump * mean_moved, perturbed_only[k][j], 1e-5)
        assert.near(both[k][j], perturbed_only[k][j] + clean_only[k][j], 1e-5)
      end
    end
    model:zero_grad()
  end)

  it("runs every distinct view once, in one joint batch", function()
    local calls, batches = 0, {}
    local p = perturb.new { name = "counted", apply = function(images)
      calls = calls + 1
      return images
    end }
    local counted = setmetatable({}, { __index = function(_, name)
      assert.equal("forward", name)
      return function(_, images, options)
        batches[#batches + 1] = #images
        return model:forward(images, options)
      end
    end })
    local objective = loss.cross_entropy() + loss.cross_entropy { perturb = p } + loss.continuity { perturb = p }
    objective(counted, x, y)
    assert.equal(1, calls)
    assert.same({ 4 }, batches)
    batches = {}
    local separate = loss.cross_entropy() + loss.continuity { perturb = p, batch_stats = "separate" }
    separate(counted, x, y)
    assert.same({ 2, 2 }, batches)
    batches = {}
    loss.cross_entropy { perturb = p }(counted, x, y)
    assert.same({ 2 }, batches)
  end)

  it("draws by seed and step only: C and its control see the same images", function()
    local images = nn.uniform({ 6, 4, 4, 3 }, { seed = 3 })
    local labels = nn.tensor({ 1, 2, 3, 1, 2, 3 }, { type = "index" })
    local net = models.mlp { classes = 3, shape = { 4, 4, 3 }, hidden = {}, seed = 1 }
    local jitter = perturb.brightness(32) | perturb.contrast(1.5) | perturb.saturation(1.5) | perturb.hue(0.2)
    local seen = {}
    local watch = perturb.new { name = "watch", apply = function(batch, truth, model_seen, draw)
      assert.equal(net, model_seen)
      local changed = jitter(batch, truth, model_seen, draw)
      seen[#seen + 1] = changed:tolist()
      return changed
    end }
    local function record(objective, count, at)
      seen = {}
      for _ = 1, count do objective(net, images, labels, at) end
      return seen
    end
    local c = record(loss.cross_entropy() + loss.continuity { perturb = watch }, 3)
    local aug = record(0.5 * loss.cross_entropy { perturb = watch } + 0.5 * loss.cross_entropy(), 3)
    assert.same(c, aug)
    assert.not_same(c[1], c[2])
    local other = loss.cross_entropy() + loss.continuity { perturb = watch }
    other.seed = 2
    assert.not_same(c[1], record(other, 1)[1])
    assert.same(c[3], record(loss.continuity { perturb = watch }, 1, { seed = 1, step = 2 })[1])
    other.seed, other.step = 1, 1
    assert.same(c[2], record(other, 1)[1])
  end)

  it("runs the model in training mode, or as told", function()
    local net = models.resnet8 { classes = 3, channels = 1, seed = 1 }
    local mean = net:state()["bn1.running_mean"]
    local images, labels = nn.uniform({ 2, 8, 8, 1 }, { seed = 1 }), nn.tensor({ 1, 2 }, { type = "index" })
    local before = mean:tolist()
    loss.cross_entropy()(net, images, labels, { training = false })
    assert.same(before, mean:tolist())
    loss.cross_entropy()(net, images, labels)
    assert.not_same(before, mean:tolist())
  end)

  it("a term of weight zero is reported and sends no gradient", function()
    model:zero_grad()
    loss.cross_entropy()(model, x, y):backward()
    local alone = model:parameters()[1].grad:tolist()
    model:zero_grad()
    local value, terms = (loss.cross_entropy() + 0 * loss.continuity { perturb = shift(0.5) })(model, x, y)
    value:backward()
    assert.same(alone, model:parameters()[1].grad:tolist())
    assert.near(distance(moved, clean), terms.continuity.raw, 1e-5)
    assert.equal(0, terms.continuity.weighted)
    model:zero_grad()
  end)

  it("hinge and KL equal their formulas", function()
    local sum = 0
    for i, row in ipairs(clean) do
      local label = ({ 1, 2 })[i]
      for k, z in ipairs(row) do
        if k ~= label then sum = sum + math.max(0, 1 - row[label] + z) end
      end
    end
    assert.near(sum / 2, loss.hinge()(model, x, y):item(), 1e-5)
    local function softmax(row)
      local total, out = 0, {}
      for _, z in ipairs(row) do total = total + math.exp(z) end
      for k, z in ipairs(row) do out[k] = math.exp(z) / total end
      return out
    end
    local kl = 0
    for i = 1, 2 do
      local p, q = softmax(clean[i]), softmax(moved[i])
      for k = 1, 3 do kl = kl + p[k] * math.log(p[k] / q[k]) end
    end
    assert.near(kl / 2, loss.kl { perturb = shift(0.5) }(model, x, y):item(), 1e-5)
  end)

  it("says what it is", function()
    local p = perturb.brightness(32)
    assert.equal("cross_entropy", tostring(loss.cross_entropy()))
    assert.equal("cross_entropy + 1 * continuity(" .. tostring(p) .. ")",
                 (loss.cross_entropy() + 1.0 * loss.continuity { perturb = p }):describe())
    assert.equal("0.5 * cross_entropy(smoothing = 0.1) + 2 * continuity(" .. tostring(p) .. ", reduction = mean_all)",
                 tostring(0.5 * loss.cross_entropy { smoothing = 0.1 }
                          + 2 * loss.continuity { perturb = p, reduction = "mean_all" }))
    local twice = loss.cross_entropy() + loss.cross_entropy { smoothing = 0.1 }
    assert.same({ "cross_entropy", "cross_entropy_2" }, twice:names())
  end)

  it("refuses nonsense", function()
    local p = perturb.brightness(32)
    assert.error_matches(function() loss.continuity {} end, "loss.continuity: perturb is required: a perturbation")
    assert.error_matches(function() loss.continuity { perturb = 3 } end, "perturb expects a perturbation, got 3")
    assert.error_matches(function() loss.continuity { perturb = p, on = 4 } end,
                         'loss.continuity: on expects "logits", "softmax", "log_softmax" or the name of a layer, got 4')
    assert.error_matches(function() loss.continuity { perturb = shift(0.5), on = "layer4" }(model, x, y) end,
                         'forward: the model has no layer "layer4"')
    assert.error_matches(function() loss.cross_entropy { smothing = 0.1 } end, 'did you mean "smoothing"')
    assert.error_matches(function() return loss.cross_entropy() + 3 end, "loss: %+ expects two losses, got")
    assert.error_matches(function() return loss.cross_entropy() * "x" end, "%* expects a finite number and a loss")
    assert.error_matches(function() return 0 / 0 * loss.cross_entropy() end, "a finite number and a loss, got nan")
    assert.error_matches(function() (0 * loss.cross_entropy())(model, x, y) end, "every term has weight 0")
    assert.error_matches(function() loss.cross_entropy()(model, x, y, { sed = 1 }) end,
                         'loss: unknown option "sed"; did you mean "seed"')
    assert.error_matches(function() loss.cross_entropy()(model) end,
                         "loss: expected a model, images and labels, got a userdata %(nn.module%), nil and nil")
  end)

  it("leaves no tensors behind", function()
    local objective = loss.cross_entropy() + loss.continuity { perturb = shift(0.5) }
    local function once()
      for _ = 1, 3 do objective(model, x, y):backward() end
      model:zero_grad()
      collectgarbage()
      collectgarbage()
      return nn.live_tensors()
    end
    local first = once()
    assert.equal(first, once())
  end)
end)
