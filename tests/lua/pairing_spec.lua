--- The pairing term and what is made of it, against values worked out by hand on three classes.
local linear = require "tests.linear"
local loss = require "loss"
local nn = require "nn"
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
end)
