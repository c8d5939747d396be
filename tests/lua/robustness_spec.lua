--- probe.robustness and its report card: the accuracies against a closed form, the thresholds, planted faults.
local attack = require "attack"
local checks = require "robustness.checks"
local data = require "data"
local data_part = require "data.part"
local linear = require "tests.linear"
local models = require "models"
local nn = require "nn"
local probe = require "probe"
local show = require "robustness.show"

local quiet = { quiet = true }

-- A part of images from rows of pixels, which are numbers of steps of 255.
local function part_of(rows, labels, classes)
  local images = {}
  for i, row in ipairs(rows) do images[i] = { { row } } end
  return data_part.new { name = "rows", images = nn.tensor(images, { type = "uint8" }), classes = classes,
                         labels = nn.tensor(labels, { type = "index" }), class_names = {} }
end

-- Numbers from 0 to 1 that look drawn.
local function drawn(seed)
  local values, at = nn.uniform({ 4096 }, { seed = seed }):tolist(), 0
  return function()
    at = at + 1
    return values[at]
  end
end

-- A linear model, images for it with their labels, and how many of them no change of at most eps to a pixel fools:
-- z_y - z_k > eps * ||w_y - w_k||_1 for all k. No pixel is nearer than eps to 0 or 1.
local function closed_form(classes, eps)
  local draw, pixels, weights, rows, labels, robust = drawn(classes), 3, {}, {}, {}, 0
  for k = 1, classes do
    weights[k] = {}
    for j = 1, pixels do weights[k][j] = 2 * draw() - 1 end
  end
  for i = 1, 80 do
    rows[i] = {}
    for j = 1, pixels do rows[i][j] = 51 + math.floor(153 * draw()) end
    local logits, best = {}, 1
    for k = 1, classes do
      logits[k] = 0
      for j = 1, pixels do logits[k] = logits[k] + weights[k][j] * rows[i][j] / 255 end
      if logits[k] > logits[best] then best = k end
    end
    labels[i] = best
    local safe = true
    for k = 1, classes do
      local reach = 0
      for j = 1, pixels do reach = reach + math.abs(weights[best][j] - weights[k][j]) end
      if k ~= best and logits[best] - logits[k] <= eps * reach then safe = false end
    end
    robust = robust + (safe and 1 or 0)
  end
  return linear(weights), part_of(rows, labels, classes), 100 * robust / #rows
end

-- The card's lines by their checks.
local function by_check(result)
  local out = {}
  for _, line in ipairs(result.robustness.card.lines) do out[line.check] = line end
  return out
end

describe("probe.robustness", function()
  local eps = 0.1
  local pgd = attack.pgd { eps = eps, step = eps / 4, iters = 10 }

  it("gives a linear model of two classes the closed form", function()
    local model, part, expected = closed_form(2, eps)
    assert.is_true(expected > 10 and expected < 90)
    local result = probe.robustness { attack = pgd, credible = false, card = false }(model, part, quiet)
    assert.near(100, result.metrics.clean.value, 1e-9)
    assert.near(expected, result.metrics.robust.value, 1e-9)
    assert.equal(80, #result.metrics.robust.items)
    assert.is_nil(result.metrics.worst_case)
    assert.is_nil(result.metrics.card_fail)
  end)

  it("gives a linear model of five classes the closed form, as the worst case", function()
    local model, part, expected = closed_form(5, eps)
    assert.is_true(expected > 10 and expected < 90)
    local result = probe.robustness { attack = pgd, card = false }(model, part, quiet)
    assert.near(expected, result.metrics.worst_case.value, 1e-9)
    assert.is_true(result.metrics.robust.value >= expected)
    assert.matches("autoattack%(linf, eps 0.1", result.robustness.protocols[3].attack)
  end)
end)

describe("probe.robustness", function()
  local model, part = closed_form(3, 0.1)
  local card = { steps = 3, restarts = 2, queries = 5 }
  local pgd = attack.pgd { eps = 0.02, iters = 2 }

  it("has other attacks than AutoAttack for few classes", function()
    local result = probe.robustness { attack = pgd, card = false, limit = 20 }(model, part, quiet)
    local shown = result.robustness.protocols[3].attack
    assert.matches("^apgd%(.*, pgd%(.*loss margin.*, fab%(.*, square%(", shown)
  end)

  it("takes as many passes as it says, at most", function()
    local this = probe.robustness { attack = pgd, credible = false, card = card, batch = 32 }
    local done, out = 0, 0
    this(model, part, { tick = function(passes, left_out)
      assert.is_true(passes > 0)
      done, out = done + passes, out + (left_out and passes or 0)
    end })
    assert.equal(this:work(part), done)
    assert.is_true(out < done)
  end)

  it("goes on from what a store has", function()
    local this = probe.robustness { attack = pgd, credible = attack.fgsm { eps = 0.02 }, card = card, batch = 32 }
    local kept, sets = {}, 0
    local store = { get = function(_, key) return kept[key] end, set = function(_, key, value)
      kept[key], sets = value, sets + 1
    end }
    local first = this(model, part, { quiet = true, store = store })
    local before = sets
    assert.is_true(before > 0)
    local again = this(model, part, { quiet = true, store = store })
    assert.equal(before, sets)
    assert.equal(tostring(first), tostring(again))
  end)

  it("does not depend on the cut into batches", function()
    local texts = {}
    for i, batch in ipairs { 80, 32, 7 } do
      local this = probe.robustness { attack = pgd, credible = false, card = card, batch = batch }
      texts[i] = tostring(this(model, part, quiet))
    end
    assert.equal(texts[1], texts[2])
    assert.equal(texts[1], texts[3])
  end)

  it("leaves Square out where images are not square", function()
    local images, value = {}, 0
    for i = 1, 12 do
      local row = {}
      for j = 1, 6 do value, row[j] = (value + 97) % 256, value end
      images[i] = { { { table.unpack(row, 1, 3) }, { table.unpack(row, 4, 6) } } }
    end
    images = nn.tensor(images, { type = "uint8" })
    local net = models.mlp { classes = 3, shape = { 1, 2, 3 }, hidden = {}, seed = 1 }
    local part_of_two = data_part.new { name = "wide", images = images, classes = 3, class_names = {},
                                        labels = net(images:to "float" / 255):argmax(2) }
    local lines = by_check(probe.robustness { attack = pgd, credible = false, card = card }(net, part_of_two, quiet))
    assert.same({ "not applicable", "the images are not square" }, { lines.square.verdict, lines.square.note })
    assert.equal("PASS", lines["eps 0"].verdict)
  end)

  it("refuses what cannot be attacked", function()
    assert.error_matches(function() probe.robustness { attack = attack.pgd { eps = 0 } } end, "an eps above 0 expected")
    assert.error_matches(function() probe.robustness {} end, "probe.robustness: attack is required")
    assert.error_matches(function() probe.robustness { attack = pgd, card = { querys = 1 } } end, 'queries')
  end)
end)

describe("the card's thresholds", function()
  -- PASS up to the first, WARN up to the second.
  local expected = {
    ["eps 0"] = { 0, 0 }, mode = { 0, 0 }, ["eps 0.5"] = { 1, 5 }, ["eps grows"] = { 1, 3 }, steps = { 1, 3 },
    restarts = { 1, 3 }, ["one step"] = { 0.5, 1 }, square = { 0.2, 1 }, transfer = { 0.2, 1 }, gradients = { 1, 5 },
    losses = { 3, 10 }, scale = { 50, 90 },
  }

  for _, row in ipairs(checks.list) do
    it("of " .. row.key .. " are as stated", function()
      local pass, warn = table.unpack(expected[row.key])
      assert.equal("PASS", checks.verdict(row, pass))
      assert.equal("PASS", checks.verdict(row, 0))
      assert.equal(warn > pass and "WARN" or "FAIL", checks.verdict(row, pass + 1e-3))
      assert.equal(warn > pass and "WARN" or "PASS", checks.verdict(row, warn))
      assert.equal("FAIL", checks.verdict(row, warn + 1e-3))
      assert.equal("FAIL", checks.verdict(row, 0 / 0))
      assert.is_true(#row.why > 60)
    end)
  end

  it("leave no check out", function()
    local count = 0
    for _ in pairs(expected) do count = count + 1 end
    assert.equal(count, #checks.list)
  end)

  it("end in one line", function()
    local lines = { checks.line("steps", 1.5), checks.line("square", 0), checks.line("transfer", nil, "no plain twin") }
    assert.equal("1 PASS, 1 WARN (steps), 0 FAIL, 1 not applicable", checks.summary(lines))
    assert.equal("≤ 1 / 3 points", lines[1].threshold)
    assert.equal("1.5 points", show.figure(lines[1]))
    assert.equal("WARN", checks.worst { "PASS", "WARN", "not applicable" })
    assert.equal("not applicable", checks.worst {})
  end)
end)

-- ---- planted faults ----

local sound_model, plain_model, digits

-- A model of digits that resists, a plain one, and digits to test them on: the two LeNet-5 of the data folder. Without
-- it both are trained for a moment on the sample, and neither resists, which is as sound.
local function sound()
  if digits then return sound_model, plain_model, digits end
  local set = data.open "mnist"
  local kind = dofile "tests/weights/lenet5.lua"
  local folder
  for path in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
    local file = io.open(path .. "/weights/" .. kind.files[1], "rb")
    if file then
      file:close()
      folder = path .. "/weights/"
    end
  end
  local function of(name, seed)
    if folder then
      local model = kind.build()
      assert(model:load(folder .. name, kind.options))
      return model
    end
    local model = models.lenet { classes = 10, channels = 1, size = 28, seed = seed }
    require "train" { model = model, data = { train = set.train:take(2000), test = set.test },
                      loss = require "loss".cross_entropy(), optimizer = require "optim".adam { lr = 2e-3 }, epochs = 4,
                      batch = 32, seed = seed, quiet = true }
    return model
  end
  sound_model, plain_model, digits = of(kind.files[2], 1), of(kind.files[1], 2), set.test
  return sound_model, plain_model, digits
end

-- A model whose images or logits are changed on the way.
local function wrapped(model, change)
  return { forward = function(_, x, options)
    return change(function(images) return (model:forward(images, options)) end, x)
  end }
end

local IMAGES <const> = 16 -- a fault shows on few
local EPS <const> = 0.2

-- The card of a model of the digits.
local function card_of(model, context, own)
  local _, _, part = sound()
  own = own or {}
  local pgd = attack.pgd { eps = EPS, step = EPS / 4, iters = 10, bn = own.bn }
  local card = { queries = own.queries or 300, steps = own.steps or 20, restarts = 2 }
  local this = probe.robustness { attack = pgd, credible = false, limit = own.images or IMAGES, card = card }
  context = context or {}
  context.quiet = true
  local result = this(model, part, context)
  return by_check(result), result
end

describe("the card of a", function()
  sound() -- what lives on is made before the tests

  it("sound model passes", function()
    local model, plain = sound()
    local card, result = card_of(model, { twin = plain }, { images = 48, steps = 40, queries = 100 })
    for _, row in ipairs(checks.list) do
      assert.message(row.key .. ": " .. tostring(card[row.key].note)).not_equal("FAIL", card[row.key].verdict)
    end
    assert.equal(0, result.metrics.card_fail.value)
    assert.is_true(result.metrics.card_warn.value <= 1)
    assert.equal(0, card["eps 0.5"].figure)
    local curve = result.robustness.card.curve
    assert.equal(0, curve[1].eps)
    assert.equal(0.5, curve[#curve].eps)
    for i = 2, #curve do assert.is_true(curve[i].right <= curve[i - 1].right) end
  end)

  it("model with logits x 1000 fails", function()
    local twin, model = sound()
    local card = card_of(wrapped(model, function(f, x) return f(x) * 1000 end), { twin = twin })
    assert.equal("FAIL", card.gradients.verdict)
    assert.equal("FAIL", card.losses.verdict)
    assert.equal("FAIL", card["eps 0.5"].verdict)
  end)

  it("model with quantised input fails", function()
    local _, model = sound()
    local card = card_of(wrapped(model, function(f, x)
      local sum = (x - 1 / 14):sign()
      for k = 2, 7 do sum = sum + (x - (k - 0.5) / 7):sign() end
      return f((sum + 7) / 14)
    end), { twin = model })
    assert.equal("FAIL", card.gradients.verdict)
    assert.equal("FAIL", card["eps 0.5"].verdict)
    assert.equal("FAIL", card.transfer.verdict)
    assert.equal("FAIL", card.square.verdict)
  end)

  it("model with shattered gradients fails", function()
    local _, model = sound()
    local noise = nn.normal({ 1, 28, 28, 1 }, { seed = 1 }) * 50
    local card = card_of(wrapped(model, function(f, x)
      local more = x * noise
      return f(x + (more - more:detach()))
    end), { twin = model })
    assert.equal("PASS", card.gradients.verdict) -- they are there, and point anywhere
    assert.equal("FAIL", card["eps 0.5"].verdict)
    assert.equal("FAIL", card.transfer.verdict)
    assert.equal("FAIL", card.square.verdict)
  end)

  it("model attacked in training mode fails", function()
    local card = card_of(sound(), nil, { bn = "train", queries = 1, steps = 10 })
    assert.equal("FAIL", card.mode.verdict)
    assert.matches("training mode", card.mode.note)
    assert.equal("not applicable", card.transfer.verdict)
    assert.equal("no plain twin", card.transfer.note)
  end)

  it("model whose answers depend on the batch fails", function()
    local _, _, part = sound()
    local model = nn.Sequential { nn.Conv2d(1, 4, { kernel_size = 5, stride = 4 }), nn.BatchNorm2d(4), nn.ReLU(),
                                  nn.Flatten(), nn.Linear(4 * 6 * 6, 10) }
    local own = { steps = 1, restarts = 2, queries = 1 }
    local this = probe.robustness { attack = attack.pgd { eps = EPS, iters = 1 }, credible = false, limit = 32,
                                    card = own }
    local function mode_of(training)
      local mode = { training = training, update = false }
      return by_check(this({ forward = function(_, x) return model:forward(x, mode) end }, part, quiet)).mode
    end
    assert.equal("PASS", mode_of(false).verdict)
    assert.equal("FAIL", mode_of(true).verdict)
  end)

  it("model that only shrinks its logits is told by its scale", function()
    local model = sound()
    local card = card_of(wrapped(model, function(f, x) return f(x) * 0.1 end), { twin = model }, { queries = 1 })
    assert.equal("FAIL", card.scale.verdict)
    assert.near(100, card.scale.figure, 0.1)
    assert.matches("DS is 0.01 × the twin's in logits, 1 ×", card.scale.note)
    card = card_of(model, { twin = model }, { queries = 1 })
    assert.equal(0, card.scale.figure)
  end)
end)
