--- The training loop in one call: batches, loss, step, progress with the time left, metrics, probes at the end.
---
---   local run = train{ model = model, data = set, loss = objective, optimizer = optim.adam{ lr = 1e-3 },
---                      epochs = 3, probes = { accuracy = probe.accuracy() }, out = "runs/first" }
---   print(run.probes.accuracy)
---
--- Everything random follows from `seed`: the order of the images, the draws of perturbations, dropout. Two runs with
--- equal seeds see the same images in the same order, whatever their losses are.
local data_part = require "data.part"
local file = require "file"
local json = require "json"
local loss = require "loss"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"
local probe = require "probe"
local progress = require "progress"
local spec = require "spec"
local text = require "text"

local function is_part(value) return type(value) == "table" and value.batches ~= nil end

-- Probes by name, or a list of them.
local function are_probes(value)
  if type(value) ~= "table" or getmetatable(value) then return false end
  for _, this in pairs(value) do
    if not probe.is(this) then return false end
  end
  return true
end

-- What is trained, and how: the part that a recipe's plan holds.
local function plan_fields()
  return {
    model = spec.value { "a model", function(value)
      return type(value) == "userdata" and getmetatable(value).__name == "nn.module"
    end, required = true },
    data = spec.value { "a data set with a train part", function(value)
      return type(value) == "table" and is_part(value.train)
    end, required = true },
    loss = spec.value { "a loss", loss.is, required = true },
    optimizer = spec.value { "an optimiser", function(value) return optim.is(value) or optim.is_plan(value) end,
                             required = true },
    schedule = spec.value { "a schedule", optim.is_schedule },
    augment = spec.value { "a perturbation", perturb.is },
    epochs = spec.integer { min = 0, default = 1 },
    batch = spec.integer { min = 1, default = 128 },
    seed = spec.integer { default = 1 },
    clip = spec.number { above = 0, doc = "largest norm of all gradients together" },
    limit = spec.integer { min = 1, doc = "train on so many images only" },
    average = spec.number { min = 0, max = 1, doc = "decay of averaged weights, which the probes then look at" },
    validation = spec.value { "a part of a data set", is_part, doc = "its accuracy is measured after each epoch" },
    probes = spec.value { "a table of probes", are_probes, default = {} },
    workers = spec.integer { min = 0, max = 256, doc = "threads that prepare batches; see part:batches" },
    prefetch = spec.integer { min = 1, max = 1024, doc = "batches they may be ahead" },
    on_error = spec.choice { "stop", "skip", doc = "a file that cannot be read: stop, or leave it out" },
  }
end

local run_fields, call_fields = plan_fields(), plan_fields()
call_fields.out = spec.text { doc = "folder for metrics.jsonl" }
call_fields.label = spec.text { default = "train" }
call_fields.quiet = spec.flag { default = false }

-- { { name, probe }, ... }: those with names sorted, then those of the list by their own names, with a number where
-- the name is taken: accuracy, accuracy_2.
local function named_probes(probes)
  local list, taken = {}, {}
  for _, key in ipairs(spec.names(probes)) do
    if probes[key] then
      list[#list + 1] = { name = key, probe = probes[key] }
      taken[key] = 1
    end
  end
  for _, this in ipairs(probes) do
    local count = (taken[this.name] or 0) + 1
    taken[this.name] = count
    list[#list + 1] = { name = count == 1 and this.name or this.name .. "_" .. count, probe = this }
  end
  return list
end

-- ---- an epoch's sums ----

local function new_sums() return { images = 0, loss = 0.0, right = 0, seen = 0, terms = {} } end

local function add_batch(sums, terms, logits, y)
  local n = #y
  sums.images = sums.images + n
  for i, term in ipairs(terms) do
    local sum = sums.terms[i] or { name = term.name, weight = term.weight, raw = 0.0 }
    sum.raw = sum.raw + term.raw * n
    sums.terms[i] = sum
    sums.loss = sums.loss + term.weighted * n
  end
  if logits then
    local truth = y:tolist()
    for i, class in ipairs(logits:argmax(2):tolist()) do
      if class == truth[i] then sums.right = sums.right + 1 end
    end
    sums.seen = sums.seen + n
  end
end

-- Means over the epoch's images, as one plain row.
local function epoch_row(sums)
  local row = { images = sums.images, loss = sums.loss / sums.images, terms = {} }
  for _, sum in ipairs(sums.terms) do
    local raw = sum.raw / sums.images
    row.terms[sum.name] = { raw = raw, weight = sum.weight, weighted = raw * sum.weight }
  end
  if sums.seen > 0 then row.accuracy = 100 * sums.right / sums.seen end
  return row
end

-- `loss 1.234 (cross_entropy 1.03 + continuity 0.204)`
local function note(sums)
  local parts = {}
  for i, sum in ipairs(sums.terms) do
    parts[i] = sum.name .. " " .. text.number(sum.raw * sum.weight / sums.images, 3)
  end
  local total = "loss " .. text.number(sums.loss / sums.images, 3)
  return #parts > 1 and total .. " (" .. table.concat(parts, " + ") .. ")" or total
end

local function finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

local TAPS = 16 -- as many as one pass may have

-- The first layer with parameters whose output on x is not finite, in evaluation; nil when all are.
local function first_bad_layer(model, x)
  local paths, seen = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local path = entry.name:match("^(.*)%.[^.]*$")
    if path and not seen[path] then
      seen[path] = true
      paths[#paths + 1] = path
    end
  end
  return nn.no_grad(function()
    for from = 1, #paths, TAPS do
      local some = table.move(paths, from, math.min(from + TAPS - 1, #paths), 1, {})
      local _, taps = model:forward(x, { taps = some })
      for _, path in ipairs(some) do
        if not finite(taps[path]:sum():item()) then return path end
      end
    end
  end)
end

local function check_finite(run, terms, epoch, x)
  for _, term in ipairs(terms) do
    if not finite(term.raw) then
      local layer = first_bad_layer(run.model, x)
      error(string.format('loss is %s at step %d (epoch %d); first in term "%s"%s',
                          term.raw ~= term.raw and "NaN" or "infinite", run.step, epoch, term.name,
                          layer and string.format(', layer "%s"', layer) or ""), 0)
    end
  end
end

-- ---- the loop ----

-- Everything a run needs, made from its options.
local function prepare(options)
  local run = { model = options.model, objective = options.loss, options = options, images = 0, step = 0, done = 0,
                seconds = 0.0, waited = 0.0, skipped = 0, skipped_names = {}, history = {},
                probes = named_probes(options.probes) }
  run.part = options.data.train
  if options.limit and options.limit < #run.part then run.part = run.part:take(options.limit) end
  -- Files of this model's weights say what it was trained on.
  local model, train_part = run.model, run.part
  model.input, model.class_names = model.input or train_part.shape, model.class_names or train_part.class_names
  model.resize = model.resize or train_part.fit and train_part.fit.resize
  run.optimizer = optim.is(options.optimizer) and options.optimizer or options.optimizer:on(run.model)
  run.optimizer:clip { norm = options.clip }
  local per_epoch = run.part:batch_count { size = options.batch }
  run.per_epoch = per_epoch
  local schedule = options.schedule or run.optimizer.plan
  if schedule then run.optimizer:schedule(schedule, { steps = per_epoch * options.epochs, epoch = per_epoch }) end
  run.average = options.average and optim.average { run.model, decay = options.average }
  run.total = #run.part * options.epochs
  for _, this in ipairs(run.probes) do run.total = run.total + this.probe:work(options.data) end
  return run
end

local function report(run, context, images, epoch, words)
  run.done = run.done + images
  context.progress { done = run.done, total = run.total, images = run.images, epoch = epoch, note = words }
end

-- The batches of an epoch, as part:batches gives them. What is built of operations in C is applied while they are made.
local function batches_of(run, epoch)
  local options = run.options
  return table.pack(run.part:batches {
    size = options.batch, shuffle = true, seed = options.seed, epoch = epoch,
    augment = options.augment and options.augment.tree and options.augment, workers = options.workers,
    prefetch = options.prefetch, on_error = options.on_error })
end

-- The same for a loop, adding up the time that it waits for them.
local function timed(run, batches)
  local step, state, control, closing = table.unpack(batches, 1, 4)
  return function(...)
    local started = progress.clock()
    local x, y, number = step(...)
    run.waited = run.waited + progress.clock() - started
    return x, y, number
  end, state, control, closing
end

local function note_skipped(run, batches)
  local first = batches[1]
  if type(first) ~= "table" or not first.skipped then return end
  local count, names = first:skipped()
  run.skipped = math.max(run.skipped, count) -- the same files each epoch
  if #names > 0 then run.skipped_names = names end
end

local function one_step(run, context, epoch, sums, x, y)
  local options = run.options
  if options.augment and not options.augment.tree then
    x = options.augment(x, y, run.model, { seed = data_part.augment_seed(options.seed), step = run.step })
  end
  local value, terms, logits = run.objective(run.model, x, y, { seed = options.seed, step = run.step })
  run.step = run.step + 1
  check_finite(run, terms, epoch, x)
  value:backward()
  run.optimizer:step()
  if run.average then run.average:update() end
  add_batch(sums, terms, logits, y)
  run.images = run.images + #y * run.objective:views()
  report(run, context, #y, epoch, note(sums))
end

local function one_epoch(run, context, epoch)
  local options = run.options
  local started, sums, rate = progress.clock(), new_sums(), run.optimizer:rate()
  local batches = run.upcoming or batches_of(run, epoch)
  run.upcoming = nil
  for x, y, number in timed(run, batches) do
    -- Workers go on to the next epoch while this one ends.
    if number == run.per_epoch and epoch < options.epochs then run.upcoming = batches_of(run, epoch + 1) end
    one_step(run, context, epoch, sums, x, y)
  end
  note_skipped(run, batches)
  local row = epoch_row(sums)
  row.epoch, row.step, row.lr, row.seconds = epoch, run.step, rate, progress.clock() - started
  run.seconds = run.seconds + row.seconds
  if options.validation then
    row.validation = probe.accuracy()(run.model, options.validation, { quiet = true }).top1.value
  end
  run.history[epoch] = row
  context.record(row)
end

local function measure(run, context)
  local results = {}
  for _, this in ipairs(run.probes) do
    results[this.name] = this.probe(run.model, run.options.data, { tick = function(images)
      report(run, context, images, nil, this.name)
    end })
  end
  return results
end

local M = {}

---@class TrainContext
---@field progress fun(state: { done: integer, total: integer, images: integer, epoch?: integer, note?: string })
---   # called after each step and each batch of a probe: done of total in images; images through the network so far
---@field record fun(row: table)  # called after each epoch with a plain row

---@class TrainRun
---@field history table[]         # a plain row for each epoch: epoch, step, images, loss, terms, accuracy, lr, seconds
---@field probes table<string, ProbeResult>
---@field steps integer
---@field images integer          # through the network in training, each view of each image counted
---@field seconds number          # of training, without validation and probes
---@field images_per_second number
---@field waited number           # seconds of these that steps waited for their data
---@field skipped integer         # images of an epoch left out because their files could not be read
---@field skipped_names string[]  # messages about the first of them

--- Trains and measures without a word: progress and rows go to the context.
---@param options table           # as for train{...}, without out, label and quiet
---@param context TrainContext
---@return TrainRun
function M.run(options, context)
  local run = prepare(spec.check("train", options, run_fields))
  for epoch = 1, run.options.epochs do one_epoch(run, context, epoch) end
  local probes
  if run.average then
    probes = run.average:swapped(measure, run, context)
  else
    probes = measure(run, context)
  end
  return { history = run.history, probes = probes, steps = run.step, images = run.images, seconds = run.seconds,
           images_per_second = run.images / math.max(run.seconds, 1e-9), waited = run.waited, skipped = run.skipped,
           skipped_names = run.skipped_names }
end

--- `waited for data 0.3 %`, and what was left out when something was: the end of a run in words.
---@param run { seconds: number, waited: number, skipped?: integer, skipped_names?: string[] }
---@return string
function M.loading(run)
  local words = string.format("waited for data %.1f %%", 100 * run.waited / math.max(run.seconds, 1e-9))
  if not run.skipped or run.skipped == 0 then return words end
  return string.format("%s; %d %s left out, first: %s", words, run.skipped,
    run.skipped == 1 and "picture was" or "pictures were", run.skipped_names[1])
end

--- Trains a model: train{ ... }. `optimizer` may be a plan such as optim.adam{ lr = 1e-3 }: it then moves all the
--- model's parameters. A loss that is no longer finite raises, naming the step and the term. With `out`, every epoch
--- adds a line to metrics.jsonl there. workers, prefetch and on_error are those of part:batches; how much of the time
--- was spent waiting for data is told at the end.
---@param options { model: Model, data: Dataset|{ train: Part, test: Part }, loss: Loss,
---                 optimizer: Optimizer|OptimizerPlan, schedule?: Schedule, augment?: Perturbation, epochs?: integer,
---                 batch?: integer, seed?: integer, clip?: number, limit?: integer, average?: number,
---                 validation?: Part, probes?: table<string|integer, Probe>, workers?: integer, prefetch?: integer,
---                 on_error?: "stop"|"skip", out?: string, label?: string, quiet?: boolean }
---@return TrainRun
local function train(_, options)
  options = spec.check("train", options, call_fields)
  local out, label, line = options.out, options.label, nil
  local quiet = options.quiet
  options.out, options.label, options.quiet = nil, nil, nil
  if out then
    assert(file.make_folder(out))
    assert(file.write(out .. "/metrics.jsonl", ""))
  end
  local run = M.run(options, {
    progress = function(state)
      line = line or progress.new { total = state.total, quiet = quiet }
      line:update(state.done, state.epoch and string.format("%s  epoch %d/%d", label, state.epoch, options.epochs)
                                or label, state.note)
    end,
    record = function(row)
      if out then assert(file.append_line(out .. "/metrics.jsonl", json.encode(row))) end
    end,
  })
  if line then line:finish() end
  if not quiet and run.steps > 0 then
    io.stderr:write(string.format("%s: %s, %.0f images/s, %s\n", label, text.duration(run.seconds),
      run.images_per_second, M.loading(run)))
  end
  return run
end

return setmetatable(M, { __call = train })
