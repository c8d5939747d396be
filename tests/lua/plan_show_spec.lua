-- Plans to look at: the tree of one, the difference of two.
local plan = require "plan"

local w = plan.world()

-- The plan of Colour MNIST, with what a test wants changed.
local function colour_mnist(changes)
  local c = changes or {}
  return {
    data = w.data.colour_mnist { bias = 0.95, limit = c.limit or 6000, test_limit = 10000 },
    model = w.models.resnet8 { classes = 10, seed = 1 },
    loss = c.loss or w.loss.cross_entropy()
      + (c.alpha or 1.0) * w.loss.continuity { perturb = w.perturb.colour { levels = c.levels or { 1, 2 } } },
    optimizer = w.optim.adam { lr = 0.001 },
    schedule = c.schedule or w.optim.cosine(),
    epochs = 3, batch = 128, seed = 1, clip = c.clip,
    probes = { accuracy = w.probe.accuracy(), continuity = w.probe.continuity { levels = "paper", limit = 500 } },
  }
end

describe("plan.tree", function()
  it("reads like the recipe", function()
    assert.equal([[
plan
├─ data       data.colour_mnist{ bias = 0.95, limit = 6000, test_limit = 10000 }
├─ model      models.resnet8{ classes = 10, seed = 1 }
├─ loss       sum of
│  ├─ loss.cross_entropy()
│  └─ 1.0 * loss.continuity{ perturb = perturb.colour{ levels = { 1, 2 } } }
├─ optimizer  optim.adam{ lr = 0.001 }
├─ schedule   optim.cosine()
├─ epochs     3
├─ batch      128
├─ seed       1
└─ probes
   ├─ accuracy    probe.accuracy()
   └─ continuity  probe.continuity{ levels = "paper", limit = 500 }]], plan.tree(colour_mnist()))
  end)

  it("names what is used more than once, and branches where a line is too short", function()
    local set = w.data.open("cifar100", { limit = 5000, side = 32 })
    local change = w.perturb.brightness({ 10, 20, 30 }, { sign = "random" }) | w.perturb.contrast(1.5)
      | w.perturb.saturation(1.5) >> w.perturb.hue(0.2)
    assert.equal([[
plan
├─ set        data.open("cifar100", { limit = 5000, side = 32 })
├─ change     one of
│  ├─ perturb.brightness({ 10, 20, 30 }, { sign = "random" })
│  ├─ perturb.contrast(1.5)
│  └─ perturb.saturation(1.5) >> perturb.hue(0.2)
├─ data
│  ├─ train  set.train:take(100)
│  └─ test   set.test
├─ model      models.resnet18{ classes = set.classes, normalize = set.stats, seed = 1 }
├─ loss       sum of
│  ├─ loss.cross_entropy()
│  └─ 2 * loss.continuity
│     ├─ batch_stats    "separate"
│     ├─ perturb        change
│     ├─ reduction      "mean_all"
│     ├─ stop_gradient  "clean"
│     └─ weight         3
├─ augment    change
├─ optimizer  optim.sgd{ lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.0005 }
│  └─ schedule  optim.warmup{ steps = 100 }
│     └─ after  optim.cosine{ floor = 0.001, steps = 10000, unit = "epoch" }
└─ epochs     3]], plan.tree {
      data = { train = set.train:take(100), test = set.test },
      model = w.models.resnet18 { classes = set.classes, normalize = set.stats, seed = 1 },
      loss = w.loss.cross_entropy() + 2 * w.loss.continuity { perturb = change, reduction = "mean_all",
        stop_gradient = "clean", batch_stats = "separate", weight = 3 },
      augment = change,
      optimizer = w.optim.sgd { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 5e-4,
        schedule = w.optim.warmup { steps = 100,
          after = w.optim.cosine { steps = 10000, floor = 0.001, unit = "epoch" } } },
      epochs = 3,
    })
  end)

  it("draws a single value too", function()
    local change = w.perturb.colour { levels = { 1, 2, 3 } }
    assert.equal("models.resnet8{ classes = 10 }", plan.tree(w.models.resnet8 { classes = 10 }))
    assert.equal("sum of\n├─ 0.5 * loss.hinge()\n└─ loss.cross_entropy()",
      plan.tree(0.5 * w.loss.hinge() + w.loss.cross_entropy()))
    assert.equal("plan\n├─ change  perturb.colour{ levels = { 1, 2, 3 } }\n└─ value   change >> change",
      plan.tree(change >> change))
    assert.equal("3", plan.tree(3))
    assert.equal("{}", plan.tree {})
  end)
end)

describe("plan.diff", function()
  local function diff(a, b) return plan.diff(colour_mnist(a), colour_mnist(b)) end

  it("says nothing of equal plans", function()
    assert.equal("", diff())
  end)

  it("says what differs, and only that", function()
    assert.equal("data.limit                      6000 → 500\nweight of loss.continuity       1.0 → 0.5\n"
      .. "loss.continuity.perturb.levels  { 1, 2 } → { 1, 2, 3 }",
      diff(nil, { limit = 500, alpha = 0.5, levels = { 1, 2, 3 } }))
    assert.equal("schedule  optim.cosine() → optim.step{ every = 10 }\nclip      – → 1.0",
      diff(nil, { schedule = w.optim.step { every = 10 }, clip = 1.0 }))
  end)

  it("tells the terms of a loss apart", function()
    assert.equal("loss.continuity  1.0 * loss.continuity{ perturb = perturb.colour{ levels = { 1, 2 } } } → –",
      diff(nil, { loss = w.loss.cross_entropy() }))
    assert.equal("loss.hinge  – → 2 * loss.hinge()", plan.diff({ loss = w.loss.cross_entropy() },
      { loss = w.loss.cross_entropy() + 2 * w.loss.hinge() }))
    assert.equal("weight of loss.hinge  1 → 2", plan.diff({ loss = w.loss.hinge() }, { loss = 2 * w.loss.hinge() }))
    assert.equal("weight of loss.hinge  2 → 2 * optim.ramp()",
      plan.diff({ loss = 2 * w.loss.hinge() }, { loss = 2 * w.optim.ramp() * w.loss.hinge() }))
    assert.equal("loss  loss.hinge() → 0.5 * loss.cross_entropy()",
      plan.diff({ loss = w.loss.hinge() }, { loss = 0.5 * w.loss.cross_entropy() }))
  end)

  it("tells once what many parts use", function()
    local function with(limit)
      local set = w.data.open("cifar10", { limit = limit })
      return { data = set, model = w.models.resnet8 { classes = set.classes }, validation = set.train:take(limit) }
    end
    assert.equal("data.limit          100 → 200\nvalidation:take(1)  100 → 200", plan.diff(with(100), with(200)))
  end)

  it("compares what is put together part by part", function()
    local function with(...) return { augment = w.perturb.random_crop(...) >> w.perturb.flip() } end
    assert.equal("augment[1].padding  2 → 4", plan.diff(with { padding = 2 }, with { padding = 4 }))
    assert.equal("augment[1](1)  – → { padding = 4 }", plan.diff(with(), with { padding = 4 }))
    assert.equal("augment  perturb.flip() → perturb.random_crop() >> perturb.flip()",
      plan.diff({ augment = w.perturb.flip() }, with()))
  end)
end)
