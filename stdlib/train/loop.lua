--- The loop of a training: epochs of steps, what is counted and reported as they go, when it is saved and stopped.
---
--- run.at is where it stands: { step, epoch, batch, ... }, plain numbers only. A checkpoint holds it, and what is
--- computed from there on depends on nothing else: the order of images follows from (seed, epoch), every draw from
--- (seed, step).
---@package
local data_part = require "data.part"
local fault = require "train.fault"
local host = require "host"
local nn = require "nn"
local optim = require "optim"
local probe = require "probe"
local progress = require "progress"
local stops = require "train.stop"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local FIRST = 10 -- steps that all have a row: what another machine computes is like this only at the start

-- ---- an epoch's sums ----

local function new_sums(rate) return { images = 0, loss = 0.0, right = 0, seen = 0, terms = {}, lr = rate } end

-- The terms of a batch by name, and their sum.
local function plain_terms(terms)
  local out, loss = {}, 0.0
  for _, term in ipairs(terms) do
    local row = {}
    for key, value in pairs(term) do row[key] = value end
    row.name = nil
    out[term.name] = row
    loss = loss + term.weighted
  end
  return out, loss
end

local function add_batch(sums, terms, logits, y)
  local n = #y
  sums.images = sums.images + n
  for i, term in ipairs(terms) do
    local sum = sums.terms[i] or { name = term.name, weight = term.weight, raw = 0.0 }
    -- The weights of a schedule are summed up only once they have changed.
    if not sum.weights and term.weight ~= sum.weight then
      sum.weights, sum.weighted = sum.weight * (sums.images - n), sum.raw * sum.weight
    end
    if sum.weights then
      sum.weights, sum.weighted = sum.weights + term.weight * n, sum.weighted + term.weighted * n
    end
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
  local row = { kind = "epoch", images = sums.images, loss = sums.loss / sums.images, terms = {}, lr = sums.lr }
  for _, sum in ipairs(sums.terms) do
    local raw, changes = sum.raw / sums.images, sum.weights ~= nil
    row.terms[sum.name] = { raw = raw, weight = changes and sum.weights / sums.images or sum.weight,
                            weighted = changes and sum.weighted / sums.images or raw * sum.weight }
  end
  if sums.seen > 0 then row.accuracy = 100 * sums.right / sums.seen end
  return row
end

-- `loss 1.234 (cross_entropy 1.03 + continuity 0.204)`
local function note(sums)
  local parts = {}
  for i, sum in ipairs(sums.terms) do
    parts[i] = sum.name .. " " .. text.number((sum.weighted or sum.raw * sum.weight) / sums.images, 3)
  end
  local total = "loss " .. text.number(sums.loss / sums.images, 3)
  return #parts > 1 and total .. " (" .. concat(parts, " + ") .. ")" or total
end

-- ---- what a run is made of ----

-- { { name, probe }, ... }: those with names sorted, then those of the list by their own names, with a number where
-- the name is taken: accuracy, accuracy_2.
local function named_probes(probes)
  local list, taken, names = {}, {}, {}
  for key in pairs(probes) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, key in ipairs(names) do
    list[#list + 1] = { name = key, probe = probes[key] }
    taken[key] = 1
  end
  for _, this in ipairs(probes) do
    local count = (taken[this.name] or 0) + 1
    taken[this.name] = count
    list[#list + 1] = { name = count == 1 and this.name or this.name .. "_" .. count, probe = this }
  end
  return list
end

-- The training and the validation part: of so many images, a share set apart by the seed.
local function parts_of(options)
  local part, validation = options.data.train, options.validation
  if options.limit and options.limit < #part then part = part:take(options.limit) end
  if type(validation) == "number" then
    local count = math.floor(#part * validation + 0.5)
    if count < 1 or count >= #part then
      error(format("train: a validation part of %g leaves nothing of %d images", validation, #part), 0)
    end
    local name = format("%s:split(%g, %d)", part.name, validation, options.seed)
    validation, part = part:split(count, options.seed, name .. ".validation", name .. ".train")
  end
  if options.choose == "best" or options.patience then
    local what = options.patience and "patience" or 'choose = "best"'
    if not validation then
      error(format("train: %s needs a validation part; validation = 0.1 sets a tenth of the training images apart",
        what), 0)
    elseif validation == options.data.test then
      error(format("train: %s would choose on the test part, which then measures nothing; validation = 0.1 sets a "
        .. "tenth of the training images apart", what), 0)
    end
  end
  return part, validation
end

-- What a checkpoint must agree on with who goes on from it.
local function asked(run)
  local options, out = run.options, { version = nn.version }
  for _, name in ipairs { "batch", "seed", "clip", "clip_value", "average", "loss", "augment", "schedule",
                          "optimizer", "patience", "min_delta", "choose", "choose_by", "log_every" } do
    local value = options[name]
    if value ~= nil then out[name] = tostring(value) end
  end
  for name, value in pairs(run.context.asked or {}) do out[name] = value end
  out.images = format("%d of %s", #run.part, run.part.name)
  out.validation = run.validation and run.validation.name
  return out
end

-- Everything a run needs, made from its options.
function M.prepare(options, context)
  local run = { model = options.model, objective = options.loss, options = options, context = context, history = {},
                probes = named_probes(options.probes), keeper = context.keeper }
  run.part, run.validation = parts_of(options)
  run.at = { step = 0, epoch = 1, batch = 0, images = 0, done = 0, seconds = 0.0, waited = 0.0, skipped = 0,
             skipped_names = {} }
  -- Files of this model's weights say what it was trained on, whatever its constructor is for.
  local model, part = run.model, run.part
  model.input, model.class_names = part.shape or model.input, model.class_names or part.class_names
  local resize = part.fit and part.fit.resize or 0 -- 0: the pictures have their size already
  model.resize = model.resize or resize > 0 and resize or nil
  run.optimizer = optim.is(options.optimizer) and options.optimizer or options.optimizer:on(model)
  run.optimizer:clip { norm = options.clip, value = options.clip_value }
  run.per_epoch = part:batch_count { size = options.batch }
  run.average = options.average and optim.average { model, decay = options.average }
  run.total = #part * options.epochs
  for _, this in ipairs(run.probes) do run.total = run.total + this.probe:work(options.data) end
  run.span = { steps = run.per_epoch * options.epochs, epoch = run.per_epoch }
  M.restore(run)
  local schedule = options.schedule or run.optimizer.plan
  if schedule then run.optimizer:schedule(schedule, run.span) end
  return run
end

-- ---- rows ----

local function record(run, row)
  if run.keeper then run.keeper:row(row) end
  if run.context.record then run.context.record(row) end
end

local function record_time(run, row)
  if run.keeper then run.keeper:timing(row) end
  if run.context.timing then run.context.timing(row) end
end

local function report(run, images, words, epoch)
  local at = run.at
  at.done = at.done + images
  run.passed = (run.passed or 0) + (epoch and images * run.objective:work() or 0)
  run.context.progress { done = at.done, total = run.total, images = at.images, epoch = epoch, step = at.step,
                         note = words, rate = run.passed / math.max(1e-9, progress.clock() - run.clock) }
end

-- ---- checkpoints ----

local function save(run)
  if run.keeper.last and run.keeper.last.step == run.at.step then return end
  local broken = fault.in_weights(run.model)
  if broken then
    error(stops.new(format('"%s" of the model is no longer finite after step %d (epoch %d)', broken, run.at.step,
                           run.at.epoch)), 0)
  end
  run.at.asked = run.asked
  run.keeper:save(run, run.at)
end

local function refuse(run, ...)
  error(stops.new(format("%s %s; %s", run.keeper.folder, format(...), run.keeper.anew), { refused = true }), 0)
end

--- Goes on from the last checkpoint in the keeper's folder, if there is one.
function M.restore(run)
  if not run.keeper then return end
  run.asked = asked(run)
  local state = run.keeper:restore(run)
  if not state then return end
  for _, names in ipairs { run.asked, state.asked } do
    for name in pairs(names) do
      local was, is = state.asked[name] or "not set", run.asked[name] or "not set"
      if was ~= is then refuse(run, "was trained with %s %s, now it is %s", name, was, is) end
    end
  end
  if state.epoch > math.max(1, run.options.epochs) then
    refuse(run, "is in epoch %d already, now %d are asked for", state.epoch, run.options.epochs)
  end
  run.at = state
  for i, row in ipairs(run.keeper:rows "epoch") do run.history[i] = row end
  run.context.progress { done = run.at.done, total = run.total, images = run.at.images, epoch = run.at.epoch,
                         step = run.at.step, resumed = true }
end

-- ---- steps ----

-- The batches of an epoch, as part:batches gives them. What is built of operations in C is applied while they are made.
local function batches_of(run, epoch, first)
  local options = run.options
  return table.pack(run.part:batches {
    size = options.batch, shuffle = true, seed = options.seed, epoch = epoch, first = first,
    augment = options.augment and options.augment.tree and options.augment, workers = options.workers,
    prefetch = options.prefetch, on_error = options.on_error })
end

-- The same for a loop, adding up the time that it waits for them.
local function timed(run, batches)
  local step, state, control, closing = table.unpack(batches, 1, 4)
  return function(...)
    local started = progress.clock()
    local x, y, number = step(...)
    run.at.waited = run.at.waited + progress.clock() - started
    return x, y, number
  end, state, control, closing
end

local function note_skipped(run, batches)
  local first, at = batches[1], run.at
  if type(first) ~= "table" or not first.skipped then return end
  local count, names = first:skipped()
  at.skipped = math.max(at.skipped, count) -- the same files each epoch
  if #names > 0 then at.skipped_names = names end
end

local function check_finite(run, terms, x, y, position)
  for _, term in ipairs(terms) do
    if not fault.finite(term.raw) then
      local where, asked_by = fault.in_pass(run.objective, run.model, x, y, position)
      local weight = fault.in_parameters(run.model)
      error(stops.new(format('loss is %s at step %d (epoch %d); first in term "%s"%s%s',
                             term.raw ~= term.raw and "NaN" or "infinite", run.at.step, run.at.epoch,
                             asked_by or term.name, where and ", " .. where or "",
                             weight and format('; "%s" is not finite', weight) or "")), 0)
    end
  end
end

local function one_step(run, x, y)
  local options, at = run.options, run.at
  if options.augment and not options.augment.tree then
    x = options.augment(x, y, run.model, { seed = data_part.augment_seed(options.seed), step = at.step })
  end
  local position = { seed = options.seed, step = at.step, span = run.span }
  local value, terms, logits = run.objective(run.model, x, y, position)
  at.step = at.step + 1
  check_finite(run, terms, x, y, position)
  value:backward()
  local logged = at.step <= FIRST or at.step % options.log_every == 0
  local rate = logged and run.optimizer:rate()
  run.optimizer:step()
  if run.average then run.average:update() end
  add_batch(at.sums, terms, logits, y)
  at.images = at.images + #y * run.objective:work()
  if logged then
    local row = { kind = "step", step = at.step, epoch = at.epoch, lr = rate }
    row.terms, row.loss = plain_terms(terms)
    record(run, row)
  end
  report(run, #y, note(at.sums), at.epoch)
end

-- Ctrl-C or a cluster's SIGTERM came during the step.
local function stop_on_signal(run, signal)
  local at = run.at
  save(run)
  local where = format("stopped at step %d (epoch %d)", at.step, at.epoch)
  error(stops.new("interrupted", { exit = 128 + signal, message = where .. "; resume with: " .. run.keeper.resume }), 0)
end

-- After a step: is there a reason to save, or to go no further? With `at_end` after the last one of an epoch.
local function between_steps(run, at_end)
  local limit = run.context.steps
  local enough = limit ~= nil and run.at.step >= limit
  if run.keeper then
    local signal = host.interrupted()
    if signal then stop_on_signal(run, signal) end
    local last = at_end and run.at.epoch == run.options.epochs
    if enough or last or run.keeper:due(run.at.step, at_end or false) then save(run) end
  end
  return enough
end

-- While steps are made the first Ctrl-C waits for the end of one, if there is a folder to save in.
local deferred = setmetatable({}, { __close = function(_, problem)
  if problem then host.interrupted() end -- which tells more than the signal
  host.defer_interrupts(false)
end })

-- The rest of the epoch's steps; true when the run is to stop after one of them.
local function steps_of(run)
  local options, at = run.options, run.at
  local started, waited, enough = progress.clock(), at.waited, false
  local before, waited_before = at.seconds, at.epoch_waited or 0.0
  local function take_time()
    at.seconds, at.epoch_waited = before + progress.clock() - started, waited_before + at.waited - waited
  end
  at.sums = at.sums or new_sums(run.optimizer:rate())
  local batches = run.upcoming or batches_of(run, at.epoch, at.batch + 1)
  run.upcoming = nil
  local _ <close> = run.keeper and deferred
  if run.keeper then host.defer_interrupts(true) end
  for x, y, number in timed(run, batches) do
    -- Workers go on to the next epoch while this one ends.
    if number == run.per_epoch and at.epoch < options.epochs then run.upcoming = batches_of(run, at.epoch + 1, 1) end
    one_step(run, x, y)
    at.batch = number
    take_time()
    if number < run.per_epoch and between_steps(run) then
      enough = true
      break
    end
  end
  take_time()
  note_skipped(run, batches)
  at.batch = enough and at.batch or run.per_epoch
  return enough or between_steps(run, true)
end

-- ---- epochs ----

-- Accuracy in percent, and the mean cross-entropy.
local function validate(model, part)
  local right, loss = 0, 0.0
  nn.no_grad(function()
    for x, y in part:batches { size = 256 } do
      local logits <close> = probe.evaluate(model, x)
      loss = loss + nn.cross_entropy(logits, y):item() * #y
      local truth = y:tolist()
      for i, class in ipairs(logits:argmax(2):tolist()) do
        if class == truth[i] then right = right + 1 end
      end
    end
  end)
  return 100 * right / #part, loss / #part
end

local function better(options, value, best)
  if not fault.finite(value) then return false end
  if not best then return true end
  if options.choose_by == "loss" then return value < best.value - options.min_delta end
  return value > best.value + options.min_delta
end

-- Clones of a model's weights and running statistics, for who has no folder.
local function keep_in_memory(run)
  run.best_weights = run.best_weights or {}
  for name, tensor in pairs(run.model:state()) do
    local kept = run.best_weights[name]
    if kept then kept:copy(tensor) else run.best_weights[name] = tensor:detach():clone() end
  end
end

-- Measures on the validation part, and keeps the weights when they are the best so far.
local function look(run, row)
  local options, at = run.options, run.at
  local accuracy, loss = validate(run.model, run.validation)
  row.validation, row.validation_loss = accuracy, loss
  local value = options.choose_by == "loss" and loss or accuracy
  if better(options, value, at.best) then
    at.best = { epoch = at.epoch, step = at.step, value = value }
    if run.keeper then run.keeper:save_best(run.model, at.best)
    elseif options.choose == "best" then keep_in_memory(run) end
  end
end

local function end_epoch(run)
  local at, options = run.at, run.options
  local row = epoch_row(at.sums)
  row.epoch, row.step = at.epoch, at.step
  if run.validation then
    if run.average then run.average:swapped(look, run, row) else look(run, row) end
  end
  run.history[at.epoch] = row
  record(run, row)
  local seconds = at.seconds - (at.seconds_before or 0.0)
  record_time(run, { epoch = at.epoch, step = at.step, seconds = seconds, waited = at.epoch_waited,
                     images_per_second = at.sums.images * run.objective:work() / math.max(seconds, 1e-9) })
  at.seconds_before, at.epoch_waited = at.seconds, nil
  at.epoch, at.batch, at.sums = at.epoch + 1, 0, nil
  return options.patience ~= nil and row.epoch - (at.best and at.best.epoch or 0) >= options.patience
end

--- Trains, from where the run stands. False when it was told to stop after so many steps.
function M.epochs(run)
  run.clock = progress.clock()
  -- Without a step there is none to save after, and what probes have measured belongs to a checkpoint.
  if run.options.epochs == 0 and run.keeper then save(run) end
  if run.context.steps and run.at.step >= run.context.steps then return false end
  while run.at.epoch <= run.options.epochs do
    if steps_of(run) then return false end
    if end_epoch(run) then
      run.early = true
      break
    end
  end
  if run.upcoming then run.upcoming[1]:close() end
  return true
end

-- ---- measuring ----

local function restore_best(run)
  if run.keeper then return run.keeper:load_best(run.model, run.at.best) end
  nn.no_grad(function()
    for name, tensor in pairs(run.model:state()) do tensor:copy(run.best_weights[name]) end
  end)
end

local function probe_row(name, result)
  local metrics = {}
  for metric, interval in pairs(result.metrics or {}) do
    metrics[metric] = { value = interval.value, low = interval.low, high = interval.high, unit = interval.unit }
  end
  return { kind = "probe", name = name, metrics = metrics }
end

-- A probe's result: measured, or by an attempt that was killed at a later probe.
local function one_probe(run, number, this)
  local of = { name = this.name, probe = tostring(this.probe), step = run.at.step }
  local result = run.keeper and run.keeper:kept_result(number, of)
  if result then
    report(run, this.probe:work(run.options.data), this.name)
    return result
  end
  result = this.probe(run.model, run.options.data, { tick = function(images) report(run, images, this.name) end,
    twin = run.twin, store = run.keeper and run.keeper:store(number, of) })
  if run.keeper and number < #run.probes then run.keeper:keep_result(number, of, result) end
  return result
end

local function probes(run)
  local results = {}
  run.twin = run.context.twin and run.context.twin()
  for i, this in ipairs(run.probes) do
    results[this.name] = one_probe(run, i, this)
    record(run, probe_row(this.name, results[this.name]))
  end
  if run.context.measured then run.context.measured(run.model) end
  if run.keeper then run.keeper:forget_results() end
  return results
end

--- Measures the model: with its averaged weights, or its best ones, if it has these.
function M.measure(run)
  if run.options.choose == "best" and run.at.best then
    restore_best(run)
  elseif run.average then
    return run.average:swapped(probes, run)
  end
  return probes(run)
end

return M
