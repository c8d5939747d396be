--- The training loop on sets small enough to learn in a moment: same seed, same run; what it writes, reports, refuses.
local checkpoint = require "checkpoint"
local data = require "data"
local fault = require "train.fault"
local file = require "file"
local image = require "image"
local json = require "json"
local lfs = require "lfs"
local loss = require "loss"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local parts = require "data.part"
local perturb = require "perturb"
local probe = require "probe"
local train = require "train"

local function task(options)
  options = options or {}
  local set = data.synthetic { classes = 4, train = 200, test = 60, side = 8, noise = 0.5, seed = 3 }
  local run = { model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 16 }, seed = 1 }, data = set,
                loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-2 }, batch = 32, quiet = true }
  for name, value in pairs(options) do run[name] = value end
  return run
end

local function weights(model) return model:parameters()[1]:tolist() end

describe("train", function()
  it("learns", function()
    local run = train(task { epochs = 10, probes = { accuracy = probe.accuracy() } })
    assert.equal(10, #run.history)
    assert.is_true(run.history[10].loss < 0.5 * run.history[1].loss)
    assert.is_true(run.probes.accuracy.top1.value > 90)
    assert.is_true(run.history[10].accuracy > 90)
    assert.equal(10 * 7, run.steps)
    assert.equal(2000, run.images)
    assert.is_true(run.seconds > 0 and run.images_per_second > 0)
  end)

  it("learns with the constraint, through batch norm", function()
    local jitter = perturb.colour { levels = { 1, 2 } }
    local set = data.synthetic { classes = 4, train = 128, test = 64, side = 8, noise = 0.5, seed = 3 }
    local function ds(objective)
      local run = train { model = models.resnet8 { classes = 4, seed = 1, normalize = set.stats }, data = set,
                          loss = objective, optimizer = optim.adam { lr = 3e-3 }, epochs = 8, batch = 32, quiet = true,
                          probes = { probe.accuracy(), probe.continuity { levels = { 2 } } } }
      assert.is_true(run.probes.accuracy.top1.value > 80)
      return run.probes.continuity.metrics.ds.value, run
    end
    local plain = ds(loss.cross_entropy())
    local constrained, run = ds(loss.cross_entropy() + 1.0 * loss.continuity { perturb = jitter })
    assert.is_true(constrained < 0.5 * plain)
    assert.equal(2 * 8 * 128, run.images)
    assert.is_true(run.history[8].terms.continuity.raw < run.history[2].terms.continuity.raw)
  end)

  it("is the same for the same seed, and another for another", function()
    local function once(seed)
      local options = task { epochs = 2, seed = seed }
      train(options)
      return weights(options.model)
    end
    local first = once(1)
    assert.same(first, once(1))
    assert.not_same(first, once(2))
  end)

  it("trains on as many images as told, for as many epochs", function()
    local run = train(task { limit = 50, epochs = 2 })
    assert.equal(4, run.steps)
    assert.equal(50, run.history[1].images)
    local options = task { epochs = 0, probes = { probe.accuracy { limit = 10 } } }
    local before = weights(options.model)
    assert.equal(10, train(options).probes.accuracy.count)
    assert.same(before, weights(options.model))
  end)

  it("writes a line of metrics for each epoch", function()
    local folder = os.tmpname()
    os.remove(folder)
    train(task { epochs = 2, out = folder, validation = task().data.test, log_every = 2 })
    local lines = {}
    for line in assert(file.read(folder .. "/metrics.jsonl")):gmatch("[^\n]+") do
      lines[#lines + 1] = assert(json.decode(line))
    end
    local kinds = {}
    for i, line in ipairs(lines) do kinds[i] = ("%s %d"):format(line.kind:sub(1, 1), line.step) end
    assert.equal("s 1 s 2 s 3 s 4 s 5 s 6 s 7 e 7 s 8 s 9 s 10 s 12 s 14 e 14", table.concat(kinds, " "))
    assert.equal(2, lines[#lines].epoch)
    for _, line in ipairs(lines) do assert.near(line.loss, line.terms.cross_entropy.weighted, 1e-9) end
    assert.equal(0.01, lines[3].lr)
    assert.is_true(lines[#lines].validation > 25)
    assert(file.remove_folder(folder))
  end)

  it("says where the loss stopped being a number", function()
    local broken = perturb.new { name = "broken", apply = function(x, _, _, draw)
      return draw.seed and x * (0 / 0)
    end }
    local options = task { loss = loss.cross_entropy() + loss.continuity { perturb = broken } }
    local function message(run) return tostring(select(2, pcall(train, run))) end
    assert.equal('loss is NaN at step 1 (epoch 1); first in term "continuity", perturbation broken', message(options))
    assert.matches('^loss is %a+ at step %d+ %(epoch %d%); first in term "cross_entropy", layer "fc%d"',
                   message(task { optimizer = optim.sgd { lr = 1e30 }, epochs = 3 }))
    local wounded = task()
    nn.no_grad(function() wounded.model:state()["fc2.bias"]:set(3, 0 / 0) end)
    assert.equal('loss is NaN at step 1 (epoch 1); first in term "cross_entropy", layer "fc2"; "fc2.bias" is not '
      .. "finite", message(wounded))
  end)

  it("never keeps weights that are no numbers", function()
    local folder = os.tmpname()
    os.remove(folder)
    local ok, problem = pcall(train, task { loss = 1e8 * loss.cross_entropy(), optimizer = optim.sgd { lr = 1e38 },
                                            out = folder, checkpoint_steps = 1 })
    assert.is_false(ok)
    assert.matches('^"fc%d%.%a+" of the model is no longer finite after step 1 %(epoch 1%)$', tostring(problem))
    assert.is_nil(checkpoint.peek(folder))
    assert(file.remove_folder(folder))
  end)

  it("leaves the running statistics alone when it looks for what is wrong", function()
    local model = models.resnet8 { classes = 4, seed = 1 }
    local objective = loss.cross_entropy() + loss.continuity { perturb = perturb.hue(0.1) }
    local x, y = data.synthetic().train:batches { size = 8 }()
    local before = model:state()["bn1.running_var"]:tolist()
    assert.is_nil(fault.in_pass(objective, model, x, y, { seed = 1, step = 0 }))
    assert.same(before, model:state()["bn1.running_var"]:tolist())
    nn.no_grad(function() model:state()["layer2.0.bn1.weight"]:set(3, math.huge) end)
    assert.equal('layer "layer2.0.bn1"', fault.in_pass(objective, model, x, y, { seed = 1, step = 0 }))
    assert.equal("layer2.0.bn1.weight", fault.in_weights(model))
    assert.same(before, model:state()["bn1.running_var"]:tolist())
  end)

  it("follows a schedule over the whole run, clips and averages", function()
    local run = train(task { epochs = 4, schedule = optim.cosine { floor = 0.5 } })
    assert.near(1e-2, run.history[1].lr, 1e-9)
    assert.near(1e-2 * (0.5 + 0.25), run.history[3].lr, 1e-9)
    local still = task { clip = 1e-12, optimizer = optim.sgd { lr = 1 } }
    local before = weights(still.model)
    train(still)
    for i, row in ipairs(weights(still.model)) do
      for j, value in ipairs(row) do assert.near(before[i][j], value, 1e-6) end
    end
    local slow = train(task { epochs = 3, average = 0.9999, probes = { probe.accuracy() } })
    local fast = train(task { epochs = 3, probes = { probe.accuracy() } })
    assert.is_true(slow.probes.accuracy.top1.value < fast.probes.accuracy.top1.value)
  end)

  it("tells a loss's schedules how long it is, and reports their values", function()
    local rows, eps = {}, {}
    local half = optim.ramp { steps = 7 }
    local p = perturb.new { name = "scheduled", apply = function(x, _, _, draw)
      eps[#eps + 1] = 0.5 * half(draw.step, draw.span)
      assert.same({ steps = 14, epoch = 7 }, draw.span)
      return x
    end }
    p.scheduled = { eps = 0.5 * half }
    local options = task { epochs = 2, log_every = 1,
                           loss = loss.cross_entropy() + 2 * optim.ramp() * loss.continuity { perturb = p } }
    options.quiet = nil
    local run = train.run(options, { progress = function() end, record = function(row)
      if row.kind == "step" then rows[#rows + 1] = row end
    end })
    assert.equal(14, #rows)
    for i, row in ipairs(rows) do
      local term = row.terms.continuity
      assert.near(2 * (i - 1) / 14, term.weight, 1e-12)
      assert.equal(term.raw * term.weight, term.weighted)
      assert.equal(math.min((i - 1) / 7, 1) / 2, term.eps)
      assert.equal(eps[i], term.eps)
      assert.equal(1.0, row.terms.cross_entropy.weight)
    end
    -- An epoch has the mean of its weights, by images.
    assert.is_true(run.history[2].terms.continuity.weight > 1)
    assert.near(run.history[2].loss, run.history[2].terms.continuity.weighted
      + run.history[2].terms.cross_entropy.weighted, 1e-9)
  end)

  it("augments the training images", function()
    local seen = {}
    local watch = perturb.new { name = "watch", apply = function(x, _, _, draw)
      seen[#seen + 1] = draw.seed
      return x
    end }
    train(task { augment = watch })
    assert.equal(7, #seen)
    assert.not_equal(seen[1], seen[2])
  end)

  it("augments while batches are made, to the same bits with any number of workers", function()
    local p = perturb.random_crop { padding = 1 } >> perturb.flip()
    local in_lua = perturb.new { name = "the same, step by step", apply = function(x, _, _, draw)
      return draw.seed and x
    end }
    local function once(options)
      options.epochs = 2
      local run = task(options)
      local result = train(run)
      assert.is_true(result.waited >= 0 and result.waited < result.seconds)
      return weights(run.model)
    end
    local first = once { augment = p }
    for workers = 0, 2 do assert.same(first, once { augment = p, workers = workers, prefetch = 1 + workers }) end
    assert.not_same(first, once {})
    -- A part written in Lua takes the whole to the main thread, where it draws by the global step as well.
    local seen = 0
    local counted = perturb.new { name = "counted", apply = function(x)
      seen = seen + 1
      return x
    end }
    once { augment = counted >> in_lua }
    assert.equal(14, seen)
  end)

  it("tells how long it waited, and what was left out", function()
    assert.equal("waited for data 2.5 %", train.loading { seconds = 4, waited = 0.1 })
    assert.equal("waited for data 0.0 %; 3 pictures were left out, first: x.jpg: damaged",
      train.loading { seconds = 4, waited = 0, skipped = 3, skipped_names = { "x.jpg: damaged" } })
    local folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
    local names, labels = {}, {}
    for i = 1, 20 do
      names[i], labels[i] = i .. ".png", (i - 1) % 4 + 1
      assert(image.save(folder .. "/" .. names[i], nn.uniform({ 8, 8, 3 }, { seed = i })))
    end
    assert(file.write(folder .. "/7.png", "no picture"))
    local files = nn.files.new(folder, names, labels)
    local damaged = parts.new { name = "damaged", files = files, labels = files:labels(), shape = { 8, 8, 3 },
                                classes = 4, class_names = { "a", "b", "c", "d" } }
    local set = { train = damaged, test = task().data.test }
    assert.error_matches(function() train(task { data = set, batch = 4 }) end, "batches: .*/7.png: ")
    local run = train(task { data = set, batch = 4, epochs = 3, on_error = "skip" })
    assert.equal(1, run.skipped)
    assert.matches("/7.png: ", run.skipped_names[1])
    assert.equal(19, run.history[3].images)
    for _, name in ipairs(names) do os.remove(folder .. "/" .. name) end
    lfs.rmdir(folder)
  end)

  it("sets a validation part apart, by the seed", function()
    local function split(seed)
      local run = train(task { validation = 0.1, seed = seed, epochs = 2 })
      assert.equal(180, run.history[2].images)
      return run
    end
    local run = split(5)
    assert.equal("synthetic(3).train:split(0.1, 5).validation", run.validation)
    assert.same(split(5).history, run.history)
    assert.not_same(split(6).history[2].validation_loss, run.history[2].validation_loss)
    assert.error_matches(function() train(task { validation = 0.001 }) end,
                         "validation part of 0.001 leaves nothing of 200 images")
  end)

  -- Wrong labels: what is learned does not hold for the validation part, which gets worse.
  local function overfitting(options)
    local set = data.synthetic { classes = 4, train = 120, test = 60, side = 8, noise = 0.9, seed = 3 }
    options.data, options.optimizer = set, optim.adam { lr = 3e-2 }
    options.validation = options.validation or 0.5
    return task(options)
  end

  it("measures the best weights on request, and stops early", function()
    local options = overfitting { epochs = 30, choose = "best", choose_by = "loss", patience = 4,
                                  probes = { probe.accuracy() } }
    local run = train(options)
    assert.is_true(run.early)
    assert.equal(#run.history, run.best.epoch + 4)
    assert.is_true(run.epochs < 30)
    local least = math.huge
    for _, row in ipairs(run.history) do least = math.min(least, row.validation_loss) end
    assert.equal(least, run.best.value)
    -- The same as a training that ends there.
    local short = overfitting { epochs = run.best.epoch, probes = { probe.accuracy() } }
    train(short)
    assert.same(weights(short.model), weights(options.model))
    assert.matches("best on .* after epoch " .. run.best.epoch .. "; measured: the best weights; stopped early",
                   tostring(run))
    -- From a folder, and with averaged weights.
    local folder = os.tmpname()
    os.remove(folder)
    local kept = overfitting { epochs = 30, choose = "best", choose_by = "loss", patience = 4, out = folder }
    train(kept)
    assert.same(weights(options.model), weights(kept.model))
    assert.equal(run.best.step, checkpoint.peek(folder .. "/best").step)
    assert(file.remove_folder(folder))
    local averaged = train(overfitting { epochs = 4, average = 0.99 })
    assert.is_true(averaged.history[1].validation ~= run.history[1].validation
                   or averaged.history[1].validation_loss ~= run.history[1].validation_loss)
  end)

  it("chooses nothing on the test part", function()
    local test = overfitting { choose = "best" }
    test.validation = test.data.test
    assert.error_matches(function() train(test) end, 'choose = "best" would choose on the test part')
    assert.error_matches(function() train(task { patience = 2 }) end, "patience needs a validation part")
  end)

  it("clips each gradient", function()
    local still = task { clip_value = 1e-12, optimizer = optim.sgd { lr = 1 } }
    local before = weights(still.model)
    train(still)
    for i, row in ipairs(weights(still.model)) do
      for j, value in ipairs(row) do assert.near(before[i][j], value, 1e-6) end
    end
  end)

  it("reports to a context", function()
    local options, rows, last = task { probes = { probe.accuracy() }, epochs = 2 }, {}, nil
    options.quiet = nil
    local run = train.run(options, {
      progress = function(state) last = { state.done, state.total, state.images } end,
      record = function(row) rows[#rows + 1] = row end,
    })
    assert.same({ 460, 460, 400 }, last)
    assert.equal(run.history[2], rows[#rows - 1])
    assert.same({ "probe", "accuracy", run.probes.accuracy.top1.value },
                { rows[#rows].kind, rows[#rows].name, rows[#rows].metrics.accuracy.value })
  end)

  it("refuses nonsense", function()
    assert.error_matches(function() train { } end, "train: data is required: a data set with a train part")
    assert.error_matches(function() train(task { epoch = 3 }) end, 'unknown option "epoch"; did you mean "epochs"')
    assert.error_matches(function() train(task { probes = { 3 } }) end, "probes expects a table of probes, got { 3 }")
    assert.error_matches(function() train(task { probes = probe.accuracy() }) end, "of probes, got a table %(Probe%)")
    assert.error_matches(function() train(task { loss = 3 }) end, "train: loss expects a loss, got 3")
  end)

  it("keeps the results of probes that share a name apart", function()
    local probes = { probe.accuracy(), probe.accuracy { limit = 8 }, own = probe.accuracy { limit = 4 } }
    local found = train(task { probes = probes }).probes
    assert.same({ 60, 8, 4 }, { found.accuracy.count, found.accuracy_2.count, found.own.count })
  end)

  it("notes in the model the shape of its images, not that of its constructor", function()
    local model = models.resnet8 { classes = 4, seed = 1 }
    train(task { model = model, epochs = 0 })
    assert.same({ 8, 8, 3 }, model.input)
  end)

  it("notes in the model what it was trained on", function()
    local model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }
    local set = data.synthetic()
    train { model = model, data = set, loss = loss.cross_entropy(), optimizer = optim.sgd { lr = 0.1 }, epochs = 0,
            quiet = true }
    assert.same({ 8, 8, 3 }, model.input)
    assert.same(set.class_names, model.class_names)
  end)

  it("leaves no tensors behind", function()
    local options = task { epochs = 2 }
    local function once()
      options.optimizer = optim.adam { lr = 1e-3 }
      train(options)
      options.optimizer = nil
      options.model:zero_grad()
      collectgarbage()
      collectgarbage()
      return nn.live_tensors()
    end
    local live = once()
    assert.equal(live, once())
  end)
end)
