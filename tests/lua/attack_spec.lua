--- Attacks as values: what they print, do, and leave alone; the judge; evaluations.
local attack = require "attack"
local data = require "data"
local file = require "file"
local loss = require "loss"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"
local plan = require "plan"
local px = perturb.px

local function difference(a, b) return (a - b):abs():max():item() end

-- A small model that knows its data well enough to be attacked: three quarters of it.
local function trained()
  local set = data.synthetic { classes = 4, train = 128, test = 40 }
  local model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = 1 }
  local opt, objective = optim.adam { model, lr = 1e-3 }, loss.cross_entropy()
  for epoch = 1, 3 do
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
    assert.equal(12, objective:work())
    local run = require "train".run({ model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, data = set,
      loss = objective, optimizer = optim.adam { lr = 1e-3 }, limit = 10, epochs = 2 }, { progress = function() end })
    assert.equal(2 * 10 * 12, run.images)
  end)

  it("tell a wrong option by its name", function()
    assert.error_matches(function() attack.pgd { eps = px(8), itters = 3 } end,
      'attack.pgd: unknown option "itters"; did you mean "iters"%?')
    assert.error_matches(function() attack.pgd {} end, "attack.pgd: eps is required: a number of at least 0")
    assert.error_matches(function() attack.fgsm { eps = -1 } end, "eps expects a number of at least 0")
    assert.error_matches(function() attack.pgd { eps = 0.1, norm = "l3" } end, 'norm expects one of "linf", "l2"')
    assert.error_matches(function() attack.pgd { eps = 0.1 }(x, y) end,
      "attack.pgd: an attack needs images, labels and a model")
    assert.error_matches(function() attack.pgd { eps = 0.1 }(x, y, x) end, "got a tensor for the model")
    assert.error_matches(function() attack.pgd(attack.fgsm { eps = 0.1 }) end,
      "attack.pgd: expected a table of options")
  end)

  it("tell steps of 1/255 from pixels", function()
    for _, name in ipairs { "pgd", "fgsm", "random", "apgd", "square", "fab", "autoattack" } do
      assert.error_matches(function() attack[name] { eps = 8 } end, "attack." .. name
        .. ": eps expects a length in pixels of %[0, 1%], got 8; perturb%.px%(8%) is 8/255")
    end
    assert.error_matches(function() attack.pgd { eps = px(8), step = 2 } end,
      "attack.pgd: step expects a length in pixels")
    assert.equal("pgd(linf, eps 1, 10 iterations, random start)", tostring(attack.pgd { eps = 1 }))
    assert.equal("fgsm(l2, eps 8)", tostring(attack.fgsm { eps = 8, norm = "l2" }))
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

  it("draws for an image by its number in the part", function()
    local function run(from, to, options)
      options.eps, options.iters, options.seed = px(8), 2, 5
      return nn.attack.run("pgd", model, x:slice(1, from, to), y:slice(1, from, to), options)
    end
    local function numbers(list) return { numbers = nn.tensor(list, { type = "index" }) } end
    local whole = run(1, 8, {})
    assert.equal(0, difference(whole, run(1, 8, numbers { 1, 2, 3, 4, 5, 6, 7, 8 })))
    assert.equal(0, difference(whole:slice(1, 3, 3), run(3, 3, numbers { 3 })))
    assert.equal(0, difference(whole:slice(1, 5, 6), run(5, 6, { offset = 4 })))
    assert.is_true(difference(whole:slice(1, 3, 3), run(3, 3, {})) > 0)
    assert.error_matches(function() run(1, 8, numbers { 1, 2 }) end,
      "pgd: one number for each image expected, got numbers %[2%] for images %[8x8x8x3%]")
    assert.error_matches(function() run(1, 1, { numbers = nn.ones { 1 } }) end,
      "pgd: numbers of type index expected, got float")
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

-- All rows that attack an image until it breaks, with few steps.
local function attacks(eps)
  return { attack.pgd { eps = eps, iters = 4, restarts = 2 }, attack.apgd { eps = eps, iters = 6 },
           attack.apgd { eps = eps, iters = 6, loss = "dlr_targeted", targets = 3 },
           attack.fab { eps = eps, iters = 3, targets = 2 }, attack.square { eps = eps, queries = 30 },
           attack.autoattack { eps = eps, iters = 4, queries = 20, targets = 3 } }
end

local function evaluate(options)
  for name, value in pairs { model = model, part = set.test, quiet = true } do
    if options[name] == nil then options[name] = value end
  end
  return attack.evaluate(options)
end

describe("the judge", function()
  it("clips, asks again and tells who was outside", function()
    local verdict = attack.judge(model, x, (x + 0.2):clamp { min = 0, max = 1 }, y, { eps = px(8) })
    assert.is_true(verdict.outside.images > 0 and math.abs(verdict.outside.most - (0.2 - px(8))) < 1e-5)
    assert.is_true(difference(verdict.images, x) <= px(8) + 1e-6)
    local logits = nn.no_grad(function() return model:forward(verdict.images, { training = false }) end)
    assert.same(logits:argmax(2):tolist(), verdict.predicted)
    local truth = y:tolist()
    for i, right in ipairs(verdict.right) do assert.equal(verdict.predicted[i] == truth[i], right) end
    for _, length in ipairs(verdict.distances) do assert.is_true(length <= px(8) + 1e-6) end
    assert.matches("%d+ were outside by up to 0.169 and were clipped", tostring(verdict))
  end)

  it("judges pixels outside the range, too, and a ball in the L2 norm", function()
    local verdict = attack.judge(model, x, x - 0.5, y, { eps = 0.6 })
    assert.is_true(verdict.outside.images > 0 and verdict.images:min():item() >= 0)
    verdict = attack.judge(model, x, (x + 0.1):clamp { min = 0, max = 1 }, y, { eps = 0.5, norm = "l2" })
    assert.equal(40, verdict.outside.images)
    for _, length in ipairs(verdict.distances) do assert.is_true(length <= 0.5 + 1e-5) end
  end)

  it("takes pixels that are no numbers for no attack, and logits that are none for no answer", function()
    local verdict = attack.judge(model, x, x * (0 / 0), y, { eps = px(8) })
    assert.equal(40, verdict.nonfinite)
    assert.equal(0, difference(verdict.images, x))
    local broken = { forward = function(_, images) return model:forward(images, { training = false }) * (0 / 0) end }
    for _, right in ipairs(attack.judge(broken, x, x, y, { eps = px(8) }).right) do assert.is_false(right) end
  end)

  it("says what it expects", function()
    assert.error_matches(function() attack.judge(model, x, x:slice(1, 1, 3), y, { eps = 0.1 }) end,
      "attack.judge: images of one shape expected twice, got %[40x8x8x3%] and %[3x8x8x3%]")
    assert.error_matches(function() attack.judge(model, x, x, y, {}) end, "attack.judge: eps is required")
    assert.error_matches(function() attack.judge({}, x, x, y, { eps = 0.1 }) end, "attack.judge: a model expected, got")
    assert.error_matches(function() attack.judge(model, x, x, y:slice(1, 1, 3), { eps = 0.1 }) end,
      "attack.judge: labels of 40 images expected, got")
    local silent = { forward = function() return 3 end }
    assert.error_matches(function() attack.judge(silent, x, x, y, { eps = 0.1 }) end,
      "attack: logits %[40 x classes%] expected of the model's forward, got 3")
  end)
end)

describe("an evaluation", function()
  it("has the clean accuracy at eps 0, and no more than it elsewhere", function()
    local clean = require "probe".accuracy()(model, set, { quiet = true }).top1
    local nothing = evaluate { attack = attacks(0) }
    assert.same(clean.items, nothing.clean.items)
    assert.same(clean.items, nothing.worst.items)
    local result = evaluate { attack = attacks(px(12)) }
    assert.same(clean.items, result.clean.items)
    for i = 1, 40 do
      local least = 100
      for _, row in ipairs(result.rows) do least = math.min(least, row.robust.items[i]) end
      assert.equal(least, result.worst.items[i])
      assert.is_true(least <= clean.items[i])
    end
    assert.is_true(result.worst.value < clean.value)
    local whole = result.rows[#result.rows]
    assert.equal(4, #whole.stages)
    for k = 2, 4 do
      assert.is_true(whole.stages[k].robust.value <= whole.stages[k - 1].robust.value)
      assert.is_true(whole.stages[k].attacked <= whole.stages[k - 1].attacked)
    end
    assert.same(whole.stages[4].robust.items, whole.robust.items)
    assert.matches("robustness  40 images; linf, eps 12/255; clean accuracy", tostring(result))
  end)

  it("does not depend on how the images are cut into batches", function()
    local whole, cut = evaluate { attack = attacks(px(6)) }, evaluate { attack = attacks(px(6)), batch = 7 }
    for i, row in ipairs(whole.rows) do
      assert.same(row.robust.items, cut.rows[i].robust.items, row.attack)
      assert.same({ row.forward, row.backward }, { cut.rows[i].forward, cut.rows[i].backward }, row.attack)
    end
  end)

  it("needs the passes that were announced where all images resist, and fewer where they do not", function()
    local none, many = attacks(0), attacks(px(255))
    for i, one in ipairs(none) do
      local done, left_out = 0, 0
      local function tick(passes, spared)
        done = done + passes
        if spared then left_out = left_out + passes end
      end
      local result = evaluate { attack = one, tick = tick }
      local right = result.rows[1].attacked
      assert.equal(40 * attack.work(one), done, tostring(one))
      assert.is_true(result.rows[1].queries <= one:passes(), tostring(one))
      assert.is_true(result.rows[1].queries >= 0.6 * one:passes(), tostring(one))
      assert.is_true(left_out >= (40 - right) * one:passes())
      if i > 1 then
        assert.is_true(evaluate({ attack = many[i] }).rows[1].queries < one:passes(), tostring(one))
      end
    end
  end)

  it("clips what an attack of one's own gives, and says so", function()
    local liar = perturb.new { name = "liar", apply = function(images) return images + 1 end }
    local result = evaluate { attack = { liar = liar, pgd = attack.pgd { eps = px(1) } }, eps = px(1) }
    assert.equal(result.rows[1].attacked, result.rows[1].outside.images)
    assert.is_true(result.robust.liar.value > 50)
    assert.matches("liar: %d+ images left the ball or the range of pixels, by up to", tostring(result))
    assert.error_matches(function() evaluate { attack = liar } end, "attack.evaluate: liar says no eps; eps = px%(8%)")
    assert.error_matches(function() evaluate { attack = attack.pgd { eps = px(1) }, eps = px(2) } end,
      "pgd%(linf, eps 1/255, 10 iterations, random start%) is no attack within linf, eps 2/255")
  end)

  it("takes a model that is a table with a forward", function()
    local asked = {}
    local table_model = { forward = function(_, images, options)
      asked[#asked + 1] = options.training
      return model:forward(images, options)
    end }
    local list = { attack.pgd { eps = px(6) }, attack.square { eps = px(6), queries = 20 } }
    assert.same(evaluate({ attack = list }).worst.items, evaluate({ attack = list, model = table_model }).worst.items)
    for _, training in ipairs(asked) do assert.is_false(training) end
  end)

  it("goes on where it was stopped", function()
    local folder <const> = assert(file.temporary_folder())
    local path = folder .. "/rows.jsonl"
    local list = attacks(px(6))
    local expected = evaluate { attack = list, batch = 16 }
    local passes, stop_at = 0, 3000
    local function tick(more, spared)
      passes = passes + (spared and 0 or more)
      if passes > stop_at then error "enough" end
    end
    assert.error_matches(function() evaluate { attack = list, batch = 16, out = path, tick = tick } end, "enough")
    stop_at, passes = math.huge, 0
    local result = evaluate { attack = list, batch = 16, out = path, tick = tick }
    local needed = 40
    for i, row in ipairs(expected.rows) do
      assert.same(row.robust.items, result.rows[i].robust.items, row.attack)
      assert.same({ row.forward, row.backward }, { result.rows[i].forward, result.rows[i].backward })
      needed = needed + row.forward + row.backward
    end
    assert.is_true(passes < needed - 1000, passes .. " " .. needed)
    -- All is there: nothing but the clean images is asked again.
    passes = 0
    evaluate { attack = list, batch = 16, out = path, tick = tick }
    assert.equal(40, passes)
    -- Another model's rows are others.
    local other = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = 2 }
    assert.not_same(expected.worst.items, evaluate({ attack = list, model = other, out = path }).worst.items)
    assert(file.write(path, "no rows"))
    assert.error_matches(function() evaluate { attack = list, out = path } end,
      "rows.jsonl: the rows of an evaluation expected, found another file")
    file.remove_folder(folder)
  end)

  it("says what it expects", function()
    assert.error_matches(function() evaluate { attack = 3 } end,
      "attack.evaluate: attack expects an attack, or a list or table of them, got 3")
    assert.error_matches(function() evaluate { attack = attack.pgd { eps = 0.1 }, model = {} } end,
      "attack.evaluate: model expects a model, got")
    assert.error_matches(function() evaluate { attack = attack.pgd { eps = 0.1 }, norm = "l2" } end,
      "pgd%(linf, eps 0.1, 10 iterations, random start%) is no attack within l2, eps 0.1")
    assert.error_matches(function() evaluate { attack = attack.pgd { eps = 0.1 }, out = "/dev/null/x.jsonl" } end,
      "attack.evaluate: /dev/null: ")
    assert.error_matches(function() evaluate { attack = attack.pgd { eps = 0.1 * optim.ramp { steps = 3 } } } end,
      "attack.evaluate: eps expects a number outside a training, got")
    local two = models.mlp { classes = 2, shape = { 8, 8, 3 }, hidden = {}, seed = 1 }
    assert.error_matches(function()
      evaluate { attack = attack.apgd { eps = 0.1, loss = "dlr" }, model = two,
                 part = data.synthetic { classes = 2 }.test }
    end, "apgd: the loss dlr needs at least 3 classes, the model has 2")
  end)
end)

describe("a recipe's plan", function()
  it("may hold attacks", function()
    local world = plan.world()
    local made = world.loss.continuity { perturb = world.attack.pgd { eps = world.px(8), iters = 3 } }
    assert.equal("loss.continuity{ perturb = attack.pgd{ eps = 0.03137254901960784, iters = 3 } }", plan.text(made))
    assert.equal("1 * continuity(pgd(linf, eps 8/255, 3 iterations, random start))", tostring(plan.builder()(made)))
    local known = plan.known().attack
    for _, row in ipairs(nn.attack.rows()) do assert.truthy(table.concat(known, " "):find(row.name, 1, true)) end
  end)

  it("is checked before anything is computed", function()
    local world, check = plan.world(plan.known()), require "plan.check".new("own.lua", {})
    local function problem(change)
      return check { loss = world.loss.adversarial { perturb = change }, augment = change, probes = {} }
    end
    assert.is_nil(problem(world.attack.autoattack { eps = world.px(8) } | world.attack.random { eps = 1 }))
    assert.matches('attack_spec.lua:%d+: attack.fgsm: unknown option "esp"; did you mean "eps"?',
      problem(world.attack.fgsm { esp = 1 }))
    assert.matches("attack_spec.lua:%d+: attack.pgd: eps is required", problem(world.attack.pgd {}))
    assert.matches("plan: model expects a model, got a perturbation",
      check { model = world.attack.fgsm { eps = 1 }, probes = {} })
    assert.error_matches(function() return world.attack.pdg end, 'attack has no "pdg"; did you mean "pgd"%?')
  end)
end)
