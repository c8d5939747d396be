--- The training loop in one call: batches, loss, step, progress with the time left, metrics, probes at the end.
---
---   local run = train{ model = model, data = set, loss = objective, optimizer = optim.adam{ lr = 1e-3 },
---                      epochs = 3, probes = { accuracy = probe.accuracy() }, out = "runs/first" }
---   print(run.probes.accuracy)
---
--- Everything random follows from `seed`: the order of the images, the draws of perturbations, dropout. Two runs with
--- equal seeds see the same images in the same order, whatever their losses are. With a folder, checkpoints are written
--- as it goes; a run that was killed and goes on ends with the same bits (train/keeper.lua says what is in the folder).
local loop = require "train.loop"
local loss = require "loss"
local optim = require "optim"
local perturb = require "perturb"
local probe = require "probe"
local progress = require "progress"
local spec = require "spec"
local text = require "text"

local format = string.format

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
    batch = spec.integer { min = 1, max = 1 << 24, default = 128 },
    seed = spec.integer { default = 1 },
    clip = spec.number { above = 0, doc = "largest norm of all gradients together" },
    clip_value = spec.number { above = 0, doc = "largest size of any one gradient" },
    limit = spec.integer { min = 1, doc = "train on so many images only" },
    average = spec.number { min = 0, max = 1, doc = "decay of averaged weights, which the probes then look at" },
    validation = spec.any { spec.value { "a part of a data set", is_part }, spec.number { above = 0, below = 1 },
                            doc = "looked at after each epoch: a part, or a share of the training images" },
    choose = spec.choice { "last", "best", default = "last", doc = "the weights that are measured" },
    choose_by = spec.choice { "accuracy", "loss", default = "accuracy", doc = "what is best on the validation part" },
    patience = spec.integer { min = 1, doc = "stop after so many epochs without a better one" },
    min_delta = spec.number { min = 0, default = 0.0, doc = "by how much a better one is better" },
    log_every = spec.integer { min = 1, default = 10, doc = "steps from one row of metrics to the next" },
    probes = spec.value { "a table of probes", are_probes, default = {} },
    workers = spec.integer { min = 0, max = 256, doc = "threads that prepare batches; see part:batches" },
    prefetch = spec.integer { min = 1, max = 1024, doc = "batches they may be ahead" },
    on_error = spec.choice { "stop", "skip", doc = "a file that cannot be read: stop, or leave it out" },
  }
end

local run_fields, call_fields = plan_fields(), plan_fields()
call_fields.out = spec.text { doc = "folder for metrics and checkpoints" }
call_fields.resume = spec.flag { default = false, doc = "go on from the last checkpoint in the folder" }
call_fields.fresh = spec.flag { default = false, doc = "remove what an earlier training left in the folder" }
call_fields.checkpoint_steps = spec.integer { min = 1, doc = "steps from one checkpoint to the next" }
call_fields.checkpoint_seconds = spec.number { above = 0, default = 60, doc = "the same in time" }
call_fields.tensorboard = spec.flag { default = false, doc = "event files for TensorBoard, in the folder" }
call_fields.label = spec.text { default = "train" }
call_fields.quiet = spec.flag { default = false }

-- What belongs to the call alone.
local outer = { "out", "resume", "fresh", "checkpoint_steps", "checkpoint_seconds", "tensorboard", "label", "quiet" }

local M = {}

---@class TrainContext
---@field progress fun(state: { done: integer, total: integer, images: integer, epoch?: integer, step: integer,
---                            note?: string, rate?: number, resumed?: boolean })
---   # called after each step and each batch of a probe: done of total in images; images through the network so far,
---   # and in a second of this process; and once, with `resumed`, where a training goes on
---@field record? fun(row: table)  # called with each plain row of metrics: kind "step", "epoch" or "probe"
---@field timing? fun(row: table)  # called after each epoch: epoch, step, seconds, images_per_second, waited
---@field measured? fun(model: Model)  # called when the probes are through: the model has the weights they saw
---@field keeper? Keeper           # the folder that rows and checkpoints go to
---@field asked? table<string, string>  # what else a checkpoint must agree on
---@field steps? integer           # stop after so many, without probes
---@field twin? fun(): Model        # makes a plain model of the same kind, which probes compare with

---@class TrainRun
---@field history table[]         # a plain row for each epoch: epoch, step, images, loss, terms, accuracy, lr; and
---                                # validation and validation_loss, where there is a validation part
---@field probes table<string, ProbeResult>
---@field steps integer
---@field epochs integer          # completed
---@field images integer          # through the network in training: each view of each image, each step of an attack
---@field seconds number          # of training, without validation and probes
---@field images_per_second number
---@field waited number           # seconds of these that steps waited for their data
---@field skipped integer         # images of an epoch left out because their files could not be read
---@field skipped_names string[]  # messages about the first of them
---@field best? { epoch: integer, step: integer, value: number }  # on the validation part
---@field chosen "last"|"best"    # the weights that were measured
---@field validation? string      # the name of the validation part
---@field early boolean           # `patience` ran out
---@field complete boolean        # false when it stopped after so many steps
local TrainRun = { __name = "TrainRun" }
TrainRun.__index = TrainRun

local WORST = 3 -- classes that are named

-- `worst classes: cat 61.0 % (taken for dog), ...` of an accuracy probe.
local function worst_classes(result)
  local rows = {}
  for _, row in ipairs(result.rows) do
    if row.correct < row.count then rows[#rows + 1] = row end
  end
  table.sort(rows, function(a, b)
    if a.accuracy.value ~= b.accuracy.value then return a.accuracy.value < b.accuracy.value end
    return a.class < b.class
  end)
  local words = {}
  for i = 1, math.min(WORST, #rows) do
    words[i] = format("%s %.1f %%%s", rows[i].name, rows[i].accuracy.value,
                      rows[i].mistaken_for and format(" (taken for %s)", rows[i].mistaken_for) or "")
  end
  return #words > 0 and "worst classes: " .. table.concat(words, ", ") or nil
end

--- What came of it, in a few lines: the last epoch, the validation, what the probes found.
---@return string
function TrainRun:__tostring()
  local lines = { format("%s, %d steps, %s, %.0f images/s, %s", text.plural(self.epochs, "epoch"), self.steps,
    text.duration(self.seconds), self.images_per_second, M.loading(self)) }
  local row = self.history[#self.history]
  if row then
    lines[#lines + 1] = format("loss %s%s%s", text.number(row.loss),
      row.accuracy and format(", accuracy in training %.4g %%", row.accuracy) or "",
      row.validation and format(", in validation %.4g %%", row.validation) or "")
  end
  lines[#lines + 1] = M.choice(self)
  for _, name in ipairs(spec.names(self.probes)) do
    local result = self.probes[name]
    for _, metric in ipairs(spec.names(result.metrics or {})) do
      local value = result.metrics[metric]
      lines[#lines + 1] = format("%s %s%s", name == metric and name or name .. ": " .. metric, tostring(value),
        value.unit and " " .. value.unit or "")
    end
    lines[#lines + 1] = result.confusion and worst_classes(result)
  end
  return table.concat(lines, "\n")
end

local function outcome(run, probes)
  local at = run.at
  return setmetatable({
    history = run.history, probes = probes or {}, steps = at.step, epochs = #run.history, images = at.images,
    seconds = at.seconds, images_per_second = at.images / math.max(at.seconds, 1e-9), waited = at.waited,
    skipped = at.skipped, skipped_names = at.skipped_names, best = at.best,
    chosen = at.best and run.options.choose or "last", validation = run.validation and run.validation.name,
    early = run.early or false, complete = probes ~= nil,
  }, TrainRun)
end

local function attempt(run)
  if loop.epochs(run) then return outcome(run, loop.measure(run)) end
  return outcome(run)
end

--- Trains and measures without a word: progress and rows go to the context. With a keeper it goes on from the last
--- checkpoint in its folder; what ends it early is raised as an error that says where that is.
---
--- Example:
---     run = train.run({ model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, data = data.synthetic(),
---                       loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-3 } },
---                     { progress = function() end, record = function(row) print(row.kind) end })
---     --> step
---     --> step
---     --> epoch
---     run.steps  --> 2
---@param options table           # as for train{...}, without what belongs to the call: out, label, quiet, ...
---@param context TrainContext
---@return TrainRun
function M.run(options, context)
  options = spec.check("train", options, run_fields)
  local run
  local ok, result = pcall(function()
    run = loop.prepare(options, context)
    return attempt(run)
  end)
  if ok then return result end
  error(context.keeper and context.keeper:explain(result, run and run.at) or result, 0)
end

--- `waited for data 0.3 %`, and what was left out when something was: the end of a run in words.
---
--- Example:
---     train.loading { seconds = 10, waited = 0.1 }  --> waited for data 1.0 %
---@param run { seconds: number, waited: number, skipped?: integer, skipped_names?: string[] }
---@return string
function M.loading(run)
  local words = format("waited for data %.1f %%", 100 * run.waited / math.max(run.seconds, 1e-9))
  if not run.skipped or run.skipped == 0 then return words end
  return format("%s; %d %s left out, first: %s", words, run.skipped,
    run.skipped == 1 and "picture was" or "pictures were", run.skipped_names[1])
end

--- Which weights were measured, in words; nil where nothing was chosen.
---
--- Example:
---     train.choice { best = { epoch = 3 }, validation = "digits.validation", chosen = "best", early = true }
---     --> best on digits.validation after epoch 3; measured: the best weights; stopped early
---@param run { best?: { epoch: integer }, validation?: string, chosen: "last"|"best", early: boolean }
---@return string?
function M.choice(run)
  return run.best and format("best on %s after epoch %d; measured: the %s weights%s", run.validation, run.best.epoch,
    run.chosen, run.early and "; stopped early" or "")
end

-- The keeper of the folder that a script asked for.
local function keeper_of(call)
  local keepers = require "train.keeper"
  local keeper, message = keepers.open(call.out, {
    resume = "train{ ..., resume = true }", anew = "fresh = true starts anew", steps = call.checkpoint_steps,
    seconds = call.checkpoint_seconds, tensorboard = call.tensorboard })
  if not keeper then error("train: " .. message, 0) end
  if call.fresh then
    keeper:clear()
  elseif not call.resume and keepers.begun(call.out) then
    keeper:close()
    error(format("train: %s holds a training already: resume = true goes on with it, fresh = true removes it",
                 call.out), 3)
  end
  return keeper
end

---@class TrainOptions
---@field model Model
---@field data DataSet|{ train: Part, test: Part }
---@field loss Loss
---@field optimizer Optimizer|OptimizerPlan  # a plan, optim.adam{ lr = 1e-3 }, moves all the model's parameters
---@field schedule? Schedule         # of the learning rates
---@field augment? Perturbation      # of the training images
---@field epochs? integer            # 1
---@field batch? integer             # 128 images
---@field seed? integer              # 1: of the order, of perturbations, augmentation and dropout
---@field clip? number               # the largest norm of all gradients together
---@field clip_value? number         # the largest size of any one gradient
---@field limit? integer             # train on so many images only
---@field average? number            # decay of averaged weights, which are looked at and measured then
---@field validation? Part|number    # a part, or a share of the training images, drawn by `seed`
---@field choose? "last"|"best"      # "last": the weights that are measured
---@field choose_by? "accuracy"|"loss"  # "accuracy": what is best on the validation part
---@field patience? integer          # stop after so many epochs without a better one
---@field min_delta? number          # 0: by how much a better one is better
---@field probes? table<string|integer, Probe>  # run at the end, on the test part
---@field workers? integer           # threads that prepare batches, as part:batches has them
---@field prefetch? integer          # batches that they may be ahead
---@field on_error? "stop"|"skip"    # "stop": for a file that cannot be read; "skip" leaves it out
---@field out? string                # the folder for metrics and checkpoints
---@field resume? boolean            # false: go on from the last checkpoint in it
---@field fresh? boolean             # false: remove what an earlier training left there
---@field checkpoint_steps? integer  # steps from one checkpoint to the next
---@field checkpoint_seconds? number # 60: the same in time
---@field log_every? integer         # 10 steps from one row of metrics to the next
---@field tensorboard? boolean       # false: event files for TensorBoard beside them
---@field label? string              # "train": what the progress line says
---@field quiet? boolean             # false: show no progress

--- Trains a model: train{ ... }. `optimizer` may be a plan such as optim.adam{ lr = 1e-3 }: it then moves all the
--- model's parameters. A loss that is no longer finite raises, naming the step, the term and the layer. workers,
--- prefetch and on_error are those of part:batches; how much of the time was spent waiting for data is told at the end.
---
--- average keeps averaged weights beside the model's own; what is looked at and measured are these then. validation is
--- looked at after each epoch: a part, or a share of the training images, drawn by `seed`.
--- choose = "best" measures the weights that did best on it (choose_by = "accuracy" or "loss"), patience ends the
--- training after so many epochs that were not better by min_delta.
---
--- With `out` the folder gets metrics.jsonl (a row for each log_every steps, each epoch, each probe), timing.jsonl and
--- checkpoints: at the end of epochs, and within one every checkpoint_seconds or checkpoint_steps. Stopped or killed,
--- resume = true goes on from the last one and ends with the bits it would have had. Ctrl-C finishes the step and
--- saves; a second one stops at once. tensorboard = true writes event files for TensorBoard beside them.
---
--- Example:
---     set = data.synthetic { classes = 4, train = 64 }
---     run = train { model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }, data = set, epochs = 2,
---                   loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-3 }, quiet = true, out = "first" }
---     run.steps, #run.history  --> 2  2
---@param options TrainOptions
---@return TrainRun
local function train(_, options)
  options = spec.check("train", options, call_fields)
  local call = {}
  for _, name in ipairs(outer) do
    call[name], options[name] = options[name], nil
  end
  local keeper <close> = call.out and keeper_of(call)
  local line <close> = progress.new { total = 0, quiet = call.quiet } -- its clock starts before the first step
  local run = M.run(options, {
    keeper = keeper,
    progress = function(state)
      line.total = state.total
      if state.resumed then return line:go_on(state.done) end
      line:update(state.done, state.epoch and format("%s  epoch %d/%d", call.label, state.epoch, options.epochs)
                                or call.label, state.note)
    end,
  })
  line:finish()
  if not call.quiet and run.steps > 0 then
    io.stderr:write(format("%s: %s, %.0f images/s, %s\n", call.label, text.duration(run.seconds),
      run.images_per_second, M.loading(run)))
  end
  return run
end

return setmetatable(M, { __call = train })
