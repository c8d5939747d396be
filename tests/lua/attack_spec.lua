--- Attacks as values: what they print, do, and leave alone; the judge; evaluations.
local attack = require "attack"
local data = require "data"
local loss = require "loss"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"
local px = perturb.px

local function difference(a, b) return (a - b):abs():max():item() end

-- A small model that knows its data, and a batch of it.
local function trained()
  local set = data.synthetic { classes = 4, train = 128, test = 40 }
  local model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = 1 }
  local opt, objective = optim.adam { model, lr = 1e-2 }, loss.cross_entropy()
  for epoch = 1, 5 do
    for x, y in set.train:batches { size = 32, shuffle = true, epoch = epoch } do
      objective(model, x, y):backward()
      opt:step()
    end
  end
  return model, set
end

local model, set = trained()
local x, y = set.test:batches { size = 40 }()

describe("attacks as values", function()
  it("are perturbations that print all they depend on", function()
    local pgd = attack.pgd { eps = px(8), step = px(2), iters = 10 }
    assert.is_true(perturb.is(pgd))
    assert.is_true(attack.is(pgd))
    assert.is_false(attack.is(perturb.flip()))
    assert.equal("pgd(linf, eps 8/255, step 2/255, 10 iterations, random start)", tostring(pgd))
    assert.equal("pgd(l2, eps 0.5, step 0.1, 1 iteration, no random start, iterate best, loss margin)",
      tostring(attack.pgd { eps = 0.5, step = 0.1, iters = 1, start = "none", norm = "l2", loss = "margin",
                            iterate = "best" }))
    assert.equal("pgd(linf, eps 0.031, 10 iterations, random start)", tostring(attack.pgd { eps = 0.031 }))
    assert.equal("linf, eps 8/255", pgd.attack.threat)
    assert.same({ "pgd", 10, "uniform" }, { pgd.attack.name, pgd.attack.options.iters, pgd.attack.options.start })
    assert.equal("maybe(0.5, fgsm(linf, eps 2/255)) >> flip(0.5)",
      tostring(perturb.maybe(0.5, attack.fgsm { eps = px(2) }) >> perturb.flip()))
  end)

  it("share a view of a loss when they print the same", function()
    local function views(first, second)
      return (loss.cross_entropy { perturb = first } + loss.continuity { perturb = second }):views()
    end
    assert.equal(2, views(attack.pgd { eps = px(8) }, attack.pgd { eps = px(8) }))
    assert.equal(3, views(attack.pgd { eps = px(8) }, attack.pgd { eps = px(4) }))
    assert.equal(2, views(perturb.flip() >> attack.pgd { eps = px(8) }, perturb.flip() >> attack.pgd { eps = px(8) }))
  end)

  it("may follow a schedule", function()
    local change = attack.fgsm { eps = px(8) * optim.ramp { steps = 10 } }
    assert.equal("fgsm(linf, eps " .. tostring(px(8) * optim.ramp { steps = 10 }) .. ")", tostring(change))
    local grey = nn.full({ 2, 8, 8, 3 }, 0.5)
    local labels = nn.tensor({ 1, 2 }, { type = "index" })
    local function size(step) return difference(change(grey, labels, model, { step = step }), grey) end
    assert.is_true(size(0) < size(5) and size(5) < size(9) + 1e-7 and math.abs(size(50) - px(8)) < 1e-6)
    local objective = loss.cross_entropy() + loss.continuity { perturb = change }
    local _, terms = objective(model, x, y, { seed = 1, step = 20 })
    assert.is_true(math.abs(terms.continuity.eps - px(8)) < 1e-9)
  end)

  it("say how much work they are", function()
    assert.equal(20, attack.pgd({ eps = px(8) }):passes())
    assert.equal(2 + 3 * 21, attack.pgd({ eps = px(8), restarts = 3, label = "predicted" }):passes())
    assert.equal(11, (perturb.flip() | attack.pgd { eps = px(8), iters = 11 }):passes())
    assert.equal(0, attack.random({ eps = px(8) }):passes())
    local objective = loss.cross_entropy() + loss.continuity { perturb = attack.pgd { eps = px(8) } }
    assert.equal(20, objective:attack_passes())
  end)

  it("tell a wrong option by its name", function()
    assert.error_matches(function() attack.pgd { eps = px(8), itters = 3 } end,
      'attack.pgd: unknown option "itters"; did you mean "iters"%?')
    assert.error_matches(function() attack.pgd {} end, "attack.pgd: eps is required: a number of at least 0")
    assert.error_matches(function() attack.fgsm { eps = -1 } end, "eps expects a number of at least 0")
    assert.error_matches(function() attack.pgd { eps = 0.1, norm = "l3" } end, 'norm expects one of "linf", "l2"')
    assert.error_matches(function() attack.pgd { eps = 0.1 }(x, y) end,
      "attack.pgd: an attack needs images, labels and a model")
  end)
end)

describe("an attack that runs", function()
  it("gives equal bits for equal seeds and steps", function()
    local pgd = attack.pgd { eps = px(8), step = px(2), iters = 3 }
    local at = { seed = 3, step = 5 }
    local one = pgd(x, y, model, at)
    assert.equal(0, difference(one, pgd(x, y, model, at)))
    assert.is_true(difference(one, pgd(x, y, model, { seed = 3, step = 6 })) > 0)
    assert.is_true(difference(one, pgd(x, y, model, { seed = 4, step = 5 })) > 0)
    assert.is_true(difference(one, x) <= px(8) + 1e-6)
    assert.is_true(one:min():item() >= 0 and one:max():item() <= 1)
    assert.is_false(one.requires_grad)
  end)

  it("makes the loss larger than noise does", function()
    local function loss_of(change)
      return nn.no_grad(function()
        return nn.cross_entropy(model:forward(change(x, y, model), { training = false }), y):item()
      end)
    end
    local eps = px(8)
    local clean, noise = loss_of(perturb.identity()), loss_of(attack.random { eps = eps })
    local fgsm, pgd = loss_of(attack.fgsm { eps = eps }), loss_of(attack.pgd { eps = eps, step = eps / 4 })
    assert.is_true(pgd > noise and fgsm > noise and pgd > clean, ("%g %g %g %g"):format(clean, noise, fgsm, pgd))
    assert.is_true(pgd >= fgsm - 1e-3)
  end)

  it("leaves the parameters, their gradients and the running statistics alone", function()
    local net = models.resnet8 { classes = 4, seed = 1 }
    local some, labels = data.synthetic({ classes = 4, side = 32 }).test:batches { size = 4 }()
    loss.cross_entropy()(net, some, labels):backward()
    local kept, grads, free = {}, {}, {}
    for name, tensor in pairs(net:state()) do kept[name] = tensor:detach():clone() end
    for i, p in ipairs(net:parameters()) do grads[i], free[i] = p.grad:clone(), p.requires_grad end
    for _, bn in ipairs { "eval", "train" } do
      attack.pgd { eps = px(8), iters = 2, bn = bn }(some, labels, net)
      nn.no_grad(function() attack.pgd { eps = px(8), iters = 2, bn = bn }(some, labels, net) end)
    end
    for name, tensor in pairs(net:state()) do assert.equal(0, difference(kept[name], tensor), name) end
    for i, p in ipairs(net:parameters()) do
      assert.equal(0, difference(grads[i], p.grad))
      assert.equal(free[i], p.requires_grad)
    end
  end)

  it("is a view of a loss like any other", function()
    local change = attack.pgd { eps = px(8), step = px(2), iters = 3 }
    local objective = loss.cross_entropy() + 0.5 * loss.continuity { perturb = change }
    local at = { seed = 2, step = 7 }
    local value, terms = objective(model, x, y, at)
    value:backward()
    local grads = {}
    for i, p in ipairs(model:parameters()) do
      grads[i] = p.grad:clone()
      p:clear_grad()
    end
    -- The same by hand, from the images that the loss says it looks at.
    local views = objective:passes(model, x, y, at)
    assert.equal(tostring(change), tostring(views[2].perturb))
    local moved = views[2].images
    assert.is_true(difference(moved, x) <= px(8) + 1e-6)
    local logits = model:forward(nn.cat({ x, moved }, 1), { training = true })
    local clean, there = logits:slice(1, 1, 40), logits:slice(1, 41, 80)
    local expected = nn.cross_entropy(clean, y) + 0.5 * nn.squared_distance(there, clean)
    expected:backward()
    assert.is_true(math.abs(expected:item() - value:item()) <= 1e-5 * value:item())
    assert.is_true(terms.continuity.raw > 0)
    for i, p in ipairs(model:parameters()) do
      assert.is_true(difference(grads[i], p.grad) <= 1e-5)
      p:clear_grad()
    end
  end)

  it("needs neither labels nor a model to be random", function()
    for _, norm in ipairs { "linf", "l2" } do
      local noise = attack.random { eps = 0.25, norm = norm }
      local moved = noise(nn.full({ 3, 8, 8, 3 }, 0.5)) - 0.5
      local length = moved:abs():max():item()
      if norm == "l2" then length = (moved * moved):reshape({ 3, -1 }):sum(2):max():item() ^ 0.5 end
      assert.is_true(length > 0.1 and length <= 0.25 + 1e-6, norm)
    end
    assert.equal("random(l2, eps 0.25)", tostring(attack.random { eps = 0.25, norm = "l2" }))
  end)
end)
