--- Measures a robustness report card: the attacks behind its checks, on a few images, batch by batch.
---
--- Only images that the model gets right are attacked, and an attack that is to show whether more effort finds more
--- runs on those alone that all before it have left. All figures are shares of all images of the card. Each batch's
--- counts are plain numbers; a store keeps them over an interruption.
---@package
local attacks = require "attack.options"
local checks = require "robustness.checks"
local judges = require "attack.judge"
local nn = require "nn"
local probe = require "probe"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

local format, min = string.format, math.min

local HALF <const> = 0.5     -- the eps with which any two images can become the same
local LADDER <const> = { 0.5, 2, 4 } -- of the eps attacked with
local SAME <const> = 1e-3    -- logits differ by less, as a share of their range, when only rounding differs
local TARGETS <const> = 9
local LOSS_ITERS <const>, TARGET_ITERS <const> = 50, 20
local DS_LEVEL <const> = 2
local LOWER <const> = 0.9    -- a DS of less than this share of the twin's claims to be lower

-- Streams of nn.derive.
local BASE, ONE, RUNG, AGAIN, DLR, TARGETED, SQUARE, TWIN = 1, 2, 3, 4, 5, 6, 7, 8

--- What a card may be told.
M.fields = {
  steps = spec.integer { min = 1, doc = "of the longer attack; else ten times those of the attack" },
  restarts = spec.integer { min = 2, default = 5 },
  queries = spec.integer { min = 1, default = 1000, doc = "of Square" },
}

-- The attack that the checks vary: the paper's where that is PGD, else PGD in the same ball.
local function base_of(own)
  local o = own.options
  if own.name ~= "pgd" then return { norm = own.norm, eps = own.eps, step = own.eps / 4, iters = 10, bn = o.bn } end
  local iters = math.max(1, o.iters)
  return { norm = own.norm, eps = own.eps, step = o.step or 2.5 * own.eps / iters, iters = iters, start = o.start,
           loss = o.loss ~= "kl" and o.loss or nil, bn = o.bn }
end

-- The steps of the longer attack.
local function own_steps(options, base) return options.card.steps or 10 * base.iters end

local function with(options, changes)
  local out = {}
  for key, value in pairs(options) do out[key] = value end
  for key, value in pairs(changes) do out[key] = value end
  return out
end

-- The eps of the ladder besides the attack's own. In the L2 norm the last is the length of a change by 0.5 everywhere.
local function ladder_of(base, pixels)
  local last = base.norm == "linf" and HALF or HALF * math.sqrt(pixels)
  local list = {}
  for _, factor in ipairs(LADDER) do
    if base.eps * factor < 0.9 * last then list[#list + 1] = base.eps * factor end
  end
  if base.eps < last then list[#list + 1] = last end
  return list, last
end

--- The passes of a card over so many images, at most: backward passes count as forward ones.
---@param options table   # of the probe
---@param images integer
---@return integer
function M.work(options, images)
  local base, own = base_of(options.attack.attack), options.card
  local steps, gradient = own_steps(options, base), 2
  local pgd = gradient * base.iters + 2
  local passes = 3 + (gradient + 2) + pgd + (gradient + 2) + (#LADDER + 1) * pgd + (gradient * steps + 2)
    + (own.restarts - 1) * pgd + gradient * (LOSS_ITERS + TARGETS * TARGET_ITERS) + 4 + own.queries + 2 + pgd
  return images * passes
end

-- ---- one batch ----

local Batch = {}
Batch.__index = Batch

-- x of the rows listed.
local function rows_of(t, list)
  return #list == #t and t or nn.data.rows(t, nn.tensor(list, { type = "index" }))
end

-- Runs a row of nn.attack on some images of the batch, against `model` or the one the card is about. Gives those that
-- are still right, and what the attack says of itself.
function Batch:attack(row, options, list, stream, model)
  if #list == 0 then return {}, { zero_gradient = 0, nonfinite_gradient = 0 } end
  local x, y, numbers, left, told = rows_of(self.x, list), rows_of(self.y, list), {}, {}, 0
  for i, place in ipairs(list) do numbers[i] = self.first + place end
  -- Draws are keyed by the image's number: the longer attack starts where the shorter one did.
  local known = attacks.fields(row)
  local stage = { row = row, options = assert(spec.examine(options, known)) }
  local candidate, info = attacks.run(stage, model or self.model, x, y, {
    seed = nn.derive(self.seed, stream, 0), numbers = numbers, progress = function(passes)
      self.tick(passes - told)
      told = passes
    end })
  self.tick(#list) -- the judge's
  local verdict = judges.judge(self.model, x, candidate, y, { norm = options.norm, eps = options.eps })
  for i, right in ipairs(verdict.right) do
    if right then left[#left + 1] = list[i] end
  end
  return left, info
end

-- Images whose logits change when the batch holds other images too.
local function strangers(model, x, logits)
  local n = #x
  local together = probe.evaluate(model, nn.cat({ x, 1 - x }, 1)):slice(1, 1, n)
  local moved = (together - logits):abs():max(2):tolist()
  local high, low, count = logits:max(2):tolist(), logits:min(2):tolist(), 0
  for i, distance in ipairs(moved) do
    if not (distance <= SAME * (high[i] - low[i]) + 1e-12) then count = count + 1 end
  end
  return count
end

-- How many places are in one of the lists only.
local function differing(a, b)
  local seen, count = {}, 0
  for _, i in ipairs(a) do seen[i] = true end
  for _, i in ipairs(b) do
    if seen[i] then seen[i] = nil else count = count + 1 end
  end
  for _ in pairs(seen) do count = count + 1 end
  return count
end

-- What is found beyond cross-entropy: DLR, then its targeted form, on what is left. With too few classes the margin.
local function other_losses(batch, base, left, classes)
  local common = { norm = base.norm, eps = base.eps, bn = base.bn }
  if classes < 3 then return batch:attack("pgd", with(base, { loss = "margin" }), left, DLR) end
  left = batch:attack("apgd", with(common, { loss = "dlr", iters = LOSS_ITERS }), left, DLR)
  if classes < 4 then return left end
  return (batch:attack("apgd", with(common, { loss = "dlr_targeted", iters = TARGET_ITERS,
                                              targets = min(TARGETS, classes - 1) }), left, TARGETED))
end

-- Square wants square images.
local function is_square(x) return x:size(2) == x:size(3) end

-- The counts of one batch.
local function count(batch, options, base, ladder, twin)
  local x, y, model, own = batch.x, batch.y, batch.model, options.card
  local answers, _, logits = judges.ask(model, x, y)
  local classes, right, all = logits:size(2), {}, {}
  for i, hit in ipairs(answers) do
    all[i] = i
    if hit then right[#right + 1] = i end
  end
  local out = { images = #x, right = #right, classes = classes, rungs = {} }
  out.strangers = strangers(model, x, logits)
  batch.tick(3 * #x)
  out.moved = differing(right, (batch:attack("pgd", with(base, { eps = 0, iters = 1 }), all, BASE)))

  local left, info = batch:attack("pgd", base, right, BASE)
  local one, first = batch:attack("fgsm", { norm = base.norm, eps = base.eps, bn = base.bn }, right, ONE)
  out.base, out.one = #left, #one
  out.blind = math.max(info.zero_gradient + info.nonfinite_gradient, first.zero_gradient + first.nonfinite_gradient)
  for i, eps in ipairs(ladder) do
    local rung = with(base, { eps = eps, step = base.step * eps / base.eps })
    out.rungs[i] = #batch:attack("pgd", rung, right, RUNG)
  end

  left = batch:attack("pgd", with(base, { iters = own_steps(options, base) }), left, BASE)
  out.steps = out.base - #left
  local before = #left
  left = batch:attack("pgd", with(base, { start = "uniform", restarts = own.restarts - 1 }), left, AGAIN)
  out.restarts, before = before - #left, #left
  left = other_losses(batch, base, left, classes)
  out.losses, out.white = before - #left, #left

  if is_square(x) then
    local square = { norm = base.norm, eps = base.eps, queries = own.queries }
    out.square = #left - #batch:attack("square", square, left, SQUARE)
  end
  if twin then
    out.transfer = #left - #batch:attack("pgd", with(base, { bn = "eval" }), left, TWIN, twin)
  end
  return out
end

local function add(total, counts)
  for key, value in pairs(counts) do
    if key == "classes" then total[key] = value
    elseif type(value) == "table" then
      total[key] = total[key] or {}
      add(total[key], value)
    else
      total[key] = (total[key] or 0) + value
    end
  end
  return total
end

-- ---- all of it ----

-- The accuracies over eps: { eps, share of the card's images that stay right }, from eps = 0 on.
local function curve_of(total, base, ladder)
  local curve = { { eps = 0, right = total.right }, { eps = base.eps, right = total.base } }
  for i, eps in ipairs(ladder) do curve[#curve + 1] = { eps = eps, right = total.rungs[i] } end
  table.sort(curve, function(a, b) return a.eps < b.eps end)
  for _, point in ipairs(curve) do point.accuracy = stats.proportion(point.right, total.images):scaled(100, "%") end
  return curve
end

-- DS of the model and of its twin under the four colour perturbations, in logits and relative to the distance of two
-- classes.
local function distances(model, part, options, tick)
  local this = probe.continuity { levels = { DS_LEVEL }, batch = options.batch, seed = options.seed }
  local result = this(model, part, { quiet = true, tick = tick })
  return { raw = result.mean.ds.value, relative = result.mean.ds_relative.value }
end

-- The share of the fall in DS, on a scale of logarithms, that is gone when it is measured in the model's own units.
local function scale_line(own, plain)
  local raw, relative = own.raw / plain.raw, own.relative / plain.relative
  local note = format("DS is %s × the twin's in logits, %s × in units of the model's own", text.number(raw, 3),
    text.number(relative, 3))
  if not (raw > 0 and relative > 0 and raw < math.huge and relative < math.huge) then
    return checks.line("scale", nil, "a DS of the two is zero or not finite")
  end
  if raw >= LOWER then return checks.line("scale", 0, note .. "; it claims no lower DS") end
  return checks.line("scale", 100 * math.max(0, 1 - math.log(relative) / math.log(raw)), note)
end

-- The lines whose figures are numbers of images.
local function lines_of(total, base, curve, last, options, twin)
  local list = {}
  local function points(n) return 100 * n / total.images end
  local function of(n) return format("%s of %s", text.count(n), text.plural(total.images, "image")) end
  local function line(key, n, note, forced)
    if total.right == 0 and key ~= "eps 0" and key ~= "mode" then
      list[#list + 1] = checks.line(key, nil, "no image is right without an attack")
    else
      list[#list + 1] = checks.line(key, n and points(n), note or of(n), forced)
    end
  end
  line("eps 0", total.moved)
  if base.bn == "train" then
    line("mode", total.strangers, 'attacked in training mode (bn = "train")', "FAIL")
  else
    line("mode", total.strangers)
  end
  local rise, at_last = 0, nil
  for i, point in ipairs(curve) do
    if i > 1 then rise = math.max(rise, point.right - curve[i - 1].right) end
    if point.eps >= last then at_last = at_last or point.right end
  end
  line("eps 0.5", at_last)
  line("eps grows", rise)
  local steps = own_steps(options, base)
  line("steps", total.steps, format("%d → %d: %s", base.iters, steps, of(total.steps)))
  line("restarts", total.restarts, format("1 → %d: %s", options.card.restarts, of(total.restarts)))
  line("one step", math.max(0, total.base - total.one),
    format("%.1f %% after one, %.1f %% after %d", points(total.one), points(total.base), base.iters))
  local resist = format("of the %s that resist", text.plural(total.white, "image"))
  line("square", total.square, total.square and format("%s %s", text.count(total.square), resist)
    or "the images are not square")
  if twin then line("transfer", total.transfer, format("%s %s", text.count(total.transfer), resist))
  else line("transfer", nil, "no plain twin") end
  list[#list + 1] = total.right == 0 and checks.line("gradients", nil, "no image is right without an attack")
    or checks.line("gradients", 100 * total.blind / total.right,
                   format("%s of the %s attacked", text.count(total.blind), text.plural(total.right, "image")))
  local names = total.classes < 3 and "the margin" or total.classes < 4 and "DLR" or "DLR and targeted DLR"
  line("losses", total.losses, format("%s: %s", names, of(total.losses)))
  return list
end

---@class RobustnessCard
---@field images integer
---@field right integer       # of them, without an attack
---@field lines table[]       # one for each check: check, title, verdict, figure, unit, threshold, note, why
---@field curve { eps: number, right: integer, accuracy: Interval }[]

--- Makes the card of a model. `options` are the probe's; context.twin is a plain model to compare with.
---@param model Model
---@param part Part
---@param options table
---@param tick fun(passes: integer, left_out?: boolean)
---@param context ProbeContext
---@return RobustnessCard
function M.measure(model, part, options, tick, context)
  local shape = part.shape
  local base = base_of(options.attack.attack)
  local ladder, last = ladder_of(base, shape[1] * shape[2] * shape[3])
  local total, offset, labels, twin = {}, 0, {}, context.twin
  local most, done = M.work(options, #part), 0
  local function counted(passes, left_out)
    passes = min(passes, most - done)
    done = done + passes
    if passes > 0 then tick(passes, left_out) end
  end
  for x, y, number in probe.batches(part, options) do
    local key = format("card %d", number)
    local counts = context.store and context.store:get(key)
    if not counts then
      local batch = setmetatable({ x = x, y = y, first = offset, model = model, seed = options.seed,
                                   tick = counted }, Batch)
      counts = count(batch, options, base, ladder, twin)
      if context.store then context.store:set(key, counts) end
    end
    add(total, counts)
    offset = offset + #x
    for _, class in ipairs(y:tolist()) do labels[class] = true end
    -- What was not needed, since no image was left, is done too.
    counted(M.work(options, offset) - done, true)
  end
  local curve = curve_of(total, base, ladder)
  local lines = lines_of(total, base, curve, last, options, twin)
  if not twin then
    lines[#lines + 1] = checks.line("scale", nil, "no plain twin")
  elseif next(labels, (next(labels))) == nil then
    lines[#lines + 1] = checks.line("scale", nil, "images of one class only")
  else
    local function quiet() end
    lines[#lines + 1] = scale_line(distances(model, part, options, quiet), distances(twin, part, options, quiet))
  end
  return { images = total.images, right = total.right, lines = lines, curve = curve }
end

return M
