--- Probes: measurements as values. `probe.accuracy{ limit = 1000 }` describes one; run on (model, set) it gives a
--- result, which prints as a table and holds its numbers as Intervals. Probes never record gradients and never change a
--- running statistic; the same seed gives the same numbers.
local nn = require "nn"
local progress = require "progress"
local spec = require "spec"

local M = {}

--- A measurement, to be run on (model, set).
---@class Probe
---@field name string
---@field options table
---@operator call: ProbeResult
local Probe = {}
Probe.__index = Probe
Probe.__name = "Probe"

--- What a probe measured. It prints as a table.
---@class ProbeResult
---@field probe string                      # the probe's name
---@field count integer                     # images measured
---@field metrics table<string, Interval>   # the numbers to compare runs by
---@field rows table[]                      # one plain table for each line of the printed table
local Result = {}
Result.__name = "ProbeResult"

--- A probe of one's own. measure(model, part, options, tick, context) returns a table with `metrics`, `rows` and a
--- function `text(result)`; it calls tick(images) after each pass of a batch. `passes` says how often an image goes
--- through, or is a function that gives the passes of so many images altogether.
---
--- Example:
---     brightness = probe.new("brightness", { batch = 64 }, function(model, part, options, tick)
---       local values = {}
---       for x in probe.batches(part, options) do
---         for i = 1, #x do values[#values + 1] = x[i]:mean():item() end
---         tick(#x)
---       end
---       local mean = stats.interval(values)
---       local function text() return "brightness " .. tostring(mean) end
---       return { metrics = { brightness = mean }, rows = {}, text = text }
---     end)
---     brightness(nn.Flatten(), data.synthetic(), { quiet = true })  --> brightness 0.4970 ± 0.0030
---@param name string
---@param options table  # checked; `limit` takes that many images, `batch` is read by M.batches
---@param measure fun(model: Model, part: Part, options: table, tick: fun(n: integer), context: ProbeContext): table
---@param passes? integer|fun(images: integer): integer
---@return Probe
function M.new(name, options, measure, passes)
  return setmetatable({ name = name, options = options, measure = measure, passes = passes or 1 }, Probe)
end

--- Is it a probe?
---
--- Example:
---     probe.is(probe.accuracy())  --> true
---@param value any
---@return boolean
function M.is(value) return getmetatable(value) == Probe end

--- The probe in words: `continuity(levels 1, 2; seed 1)`.
---
--- Example:
---     probe.continuity({ levels = { 1, 4 } }):describe()
---     --> continuity(batch 256; convention paper; levels 1, 4; seed 1)
---@return string
function Probe:describe()
  local parts = {}
  for _, name in ipairs(spec.names(self.options)) do
    local value, shown = self.options[name], {}
    if type(value) == "table" and not getmetatable(value) then
      for i, element in ipairs(value) do shown[i] = tostring(element) end
      for _, key in ipairs(spec.names(value)) do
        if not math.tointeger(tonumber(key)) then shown[#shown + 1] = key .. " " .. tostring(value[key]) end
      end
    else
      shown[1] = tostring(value)
    end
    parts[#parts + 1] = name .. " " .. table.concat(shown, ", ")
  end
  return self.name .. (#parts > 0 and "(" .. table.concat(parts, "; ") .. ")" or "")
end
Probe.__tostring = Probe.describe

-- A model, or a table of one's own that a probe takes for one.
local function is_model(value)
  return type(value) == "table" or type(value) == "userdata" and getmetatable(value).__name == "nn.module"
end

--- What a probe may be told beside what it measures.
---@class ProbeContext
---@field quiet? boolean                   # no progress line
---@field tick? fun(images: integer, left_out?: boolean)  # called with the images of each pass, in the place of a
---   # progress line; with left_out for those that need no pass after all
---@field twin? Model                      # a plain model of the same kind, for comparisons
---@field store? { get: fun(self, key: string): table?, set: fun(self, key: string, value: table) }
---   # what was measured before an interruption, as plain tables

local context_fields = {
  quiet = spec.flag(), tick = spec.callable(), twin = spec.value { "a model", is_model },
  store = spec.value { "a store with get and set", function(value)
    return type(value) == "table" and value.get ~= nil and value.set ~= nil
  end },
}

-- The part to measure on: of a set the test part, and of that as many images as `limit` says.
local function part_of(self, set)
  local part = type(set) == "table" and (set.test or set)
  if not (part and part.batches) then
    error(self.name .. ": expected a part of a data set, got " .. spec.shown(set), 3)
  end
  if self.options.limit and self.options.limit < #part then part = part:take(self.options.limit) end
  if #part == 0 then error(self.name .. ": the data set's part is empty", 3) end
  return part
end

--- How many images go through the model, each pass counted.
---
--- Example:
---     probe.continuity({ levels = { 1, 4 } }):work(data.synthetic { test = 100 })  --> 900
---@param set Part|DataSet
---@return integer
function Probe:work(set)
  local images = #part_of(self, set)
  if type(self.passes) == "function" then return self.passes(images) end
  return images * self.passes
end

--- Measures. `set` is a part of a data set, or a set, of which the test part is taken.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     probe.accuracy()(model, set.test, { quiet = true }).count  --> 64
---     probe.accuracy()(model, "mnist")  --> error: accuracy: expected a part of a data set, got "mnist"
---@param model Model
---@param set Part|DataSet
---@param context? ProbeContext
---@return ProbeResult
function Probe:__call(model, set, context)
  if not is_model(model) then error(self.name .. ": expected a model, got " .. spec.shown(model), 2) end
  context = spec.check(self.name, context, context_fields)
  local part, line, tick = part_of(self, set), nil, context.tick
  if not tick then
    local done = 0
    line = progress.new { label = self.name, total = self:work(set), quiet = context.quiet }
    function tick(images)
      done = done + images
      line:update(done)
    end
  end
  local result = nn.no_grad(self.measure, model, part, self.options, tick, context)
  if line then line:finish() end
  result.probe, result.count = self.name, #part
  return setmetatable(result, Result)
end

function Result.__tostring(self) return self:text() end
Result.__index = Result

--- For probes of one's own: the batches of a part in its order: x, y, number.
---
--- Example:
---     part = data.synthetic({ test = 64 }).test
---     for x, y, number in probe.batches(part, { batch = 32 }) do print(number, #x) end
---     --> 1  32
---     --> 2  32
---@param part Part
---@param options { batch: integer }
---@return Batches
function M.batches(part, options) return part:batches { size = options.batch } end

--- For probes of one's own: logits under evaluation statistics.
---
--- Example:
---     probe.evaluate(nn.Dropout(), nn.ones { 4 }):tolist()  --> { 1.0, 1.0, 1.0, 1.0 }
---@param model Model
---@param x Tensor
---@return Tensor
function M.evaluate(model, x) return model:forward(x, { training = false }) end

-- What every probe may be told.
local fields = {
  limit = spec.integer { min = 1, doc = "measure so many images only" },
  batch = spec.integer { min = 1, default = 256 },
}

--- For probes of one's own: what spec.check is told of their options, `own` and those every probe has.
---
--- Example:
---     spec.names(probe.with_fields { top = spec.integer() })  --> { "batch", "limit", "top" }
---@param own table
---@return table
function M.with_fields(own)
  for name, field in pairs(fields) do own[name] = own[name] or field end
  return own
end

-- ---- the probes there are: each lives in a file of its own, loaded when first asked for ----

--- Accuracy: top-1 with Wilson's interval, top-5 when there are more than five classes, by class, and what is taken for
--- what. Run on (model, set) it gives an AccuracyResult.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     result = probe.accuracy { limit = 40 }(model, set, { quiet = true })
---     result.count, result.metrics.accuracy.unit, #result.rows  --> 40  %  4
---@param options? { limit?: integer, batch?: integer, top?: integer }  # top: 5
---@return Probe
function M.accuracy(options) return require "probe.accuracy"(options) end

--- Distance scores, raw and relative to the distance of different classes, flips and accuracy under perturbations: the
--- four colour perturbations at the levels of the paper's Table 1 or at those listed, or perturbations of one's own by
--- name. Run on (model, set) it gives a ContinuityResult. Random perturbations draw batch by batch, so their numbers
--- depend on `batch` as well as on `seed`. With by_row = true there are also metrics for each row, "ds/brightness/1",
--- from which a study draws curves.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 32 }
---     model = models.resnet8 { classes = 4, seed = 1 }
---     result = probe.continuity { levels = { 1, 4 }, limit = 40 }(model, set, { quiet = true })
---     #result.rows, result.rows[1].perturbation, result.rows[2].level  --> 8  brightness  4
---     own = probe.continuity { perturbations = { mirror = perturb.flip { probability = 1 } }, limit = 40 }
---     own(model, set, { quiet = true }).rows[1].perturbation           --> mirror
---@param options? { levels?: "paper"|integer[], perturbations?: string[]|table<string, Perturbation>,
---                  convention?: "paper"|"torchvision", limit?: integer, batch?: integer, seed?: integer,
---                  pairs?: integer, by_row?: boolean }
---@return Probe
function M.continuity(options) return require "probe.continuity"(options) end

--- How smooth the logits are about each image, and how far the expansion of Eq. 6 explains what changes do to them:
--- ‖J‖²_F by random projections, ‖∂CE/∂x‖, and for each change and level the curvature along it and the share
--- of DS that J Δx, and J Δx + ½ Δxᵀ H Δx, explain; raw, and divided by the distance of different classes (the
--- gradient, which is linear in J, by its root). The changes are those of probe.continuity, with the same options.
--- With an attack there are rows for it and for two random directions as far as it went, not clipped: signs of its
--- largest change of a pixel, and a normal direction of its Euclidean length. stdlib/probe/smoothness.lua tells how it
--- is done, and how exact it is. Run on (model, set) it gives a SmoothnessResult.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 32 }
---     model = models.resnet8 { classes = 4, seed = 1 }
---     result = probe.smoothness { levels = { 1, 4 }, limit = 20 }(model, set, { quiet = true })
---     #result.rows, result.rows[1].perturbation, result.rows[1].explained_first.unit  --> 8  brightness  %
---     rescaled = models.resnet8 { classes = 4, seed = 1, logit_scale = 0.1 }
---     again = probe.smoothness { levels = { 1, 4 }, limit = 20 }(rescaled, set, { quiet = true })
---     function ratio(name) return again.metrics[name].value / result.metrics[name].value end
---     ratio "jacobian", ratio "jacobian_relative"                                     --> 0.01  1.0
---@param options? { levels?: "paper"|integer[], perturbations?: string[]|table<string, Perturbation>,
---                  convention?: "paper"|"torchvision", attack?: Perturbation, projections?: integer, step?: number,
---                  span?: number, limit?: integer, batch?: integer, seed?: integer, pairs?: integer,
---                  by_row?: boolean }  # projections: 2
---@return Probe
function M.smoothness(options) return require "probe.smoothness"(options) end

--- Logits, image by image, into a file for other programs: `out` ends in .npz (arrays "logits", [N x classes], and
--- "labels", [N], counted from 0) or in .npy (the logits, and the labels beside it in NAME-labels.npy). Run on
--- (model, set) it gives a LogitsResult.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1, test = 20 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     probe.logits { out = "logits.npz" }(model, set, { quiet = true })
---     --> logits  20 images, 4 classes, in logits.npz
---     nn.npz.load("logits.npz").logits.shape  --> { 20, 4 }
---@param options { out: string, limit?: integer, batch?: integer }
---@return Probe
function M.logits(options) return require "probe.logits"(options) end

--- Accuracy under attack, in two protocols: the `attack` given, on all images, and a credible one, the worst case of
--- several attacks (unless told attack.autoattack in the same ball; false: none), on the first 256. Only images that
--- the model gets right are attacked. With them a report card: checks with PASS, WARN or FAIL for the signs of a model
--- that hides its gradients instead of being robust. A plain `twin` in the context is compared with. Run on (model,
--- set) it gives a RobustnessResult.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     pgd = attack.pgd { eps = 8 / 255, step = 2 / 255, iters = 2 }
---     robustness = probe.robustness { attack = pgd, credible = false, card = false, limit = 20 }
---     result = robustness(model, set, { quiet = true })
---     result.robustness.threat
---     --> linf, eps 8/255, pixels in [0, 1]; the attacker knows the model and the label; evaluation statistics
---     result.metrics.robust.value <= result.metrics.clean.value  --> true
---     probe.robustness {}  --> error: probe.robustness: attack is required: an attack
---@param options { attack: Perturbation, credible?: Perturbation|false, credible_limit?: integer,
---                 card?: boolean|{ steps?: integer, restarts?: integer, queries?: integer }, card_limit?: integer,
---                 limit?: integer, batch?: integer, seed?: integer }
---@return Probe
function M.robustness(options) return require "probe.robustness"(options) end

--- What a recipe's plan may name, as in loss.lua.
---@package
M.constructors = { accuracy = M.accuracy, continuity = M.continuity, robustness = M.robustness,
                   smoothness = M.smoothness }

return M
