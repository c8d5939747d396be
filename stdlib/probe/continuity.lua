--- How far the logits move under a change that keeps the meaning.
---
--- For each perturbation P and level: the distance score DS(x, x') = ||F(x') - F(x)||^2 of the paper (Eq. 2; summed
--- over classes, averaged over images), the same divided by the mean ||F(x) - F(y)||^2 over random pairs of images of
--- two classes, the share of images whose predicted class changes, and the accuracy on P(x). The quotient, DS
--- relative, is 1 when a perturbation moves an image as far as another class is; adding a constant to all logits or
--- scaling them leaves it alone.
local probed = require "probe.changes"
local nn = require "nn"
local probe = require "probe"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local fields = probed.with_fields {}

-- Image by image, the sum of one field of several changes, times a factor.
local function summed(changes, field, factor)
  local out = {}
  for _, change in ipairs(changes) do
    for i, value in ipairs(change[field]) do out[i] = (out[i] or 0.0) + value * factor end
  end
  return out
end

-- The distance of several changes: per image their sum or mean, with the share of flips over all of them.
local function together(changes, factor, scale)
  local distances = summed(changes, "distances", factor)
  return { ds = stats.interval(distances), ds_relative = stats.ratio(distances, scale, { paired = false }),
           flips = stats.interval(summed(changes, "flips", 100 / #changes), { unit = "%" }),
           accuracy = stats.interval(summed(changes, "right", 100 / #changes), { unit = "%" }) }
end

local function show(self)
  local cells = {}
  local function add(name, row)
    cells[#cells + 1] = { name, row.level, row.ds, row.ds_relative, row.flips, row.accuracy }
  end
  for _, row in ipairs(self.rows) do add(row.perturbation, row) end
  for _, total in ipairs(self.totals) do add("sum", total) end
  add("mean of all", self.mean)
  return string.format("continuity  %s images; unperturbed accuracy %s %%; mean distance of two classes %s\n\n%s",
                       text.count(self.count), self.accuracy, self.scale,
                       text.table({ "perturbation", "level", "DS", "DS relative", "flips %", "accuracy %" }, cells))
end

local function measure(model, part, options, tick, changes)
  for _, change in ipairs(changes) do change.distances, change.flips, change.right = {}, {}, {} end
  local clean, labels, right = {}, {}, {}
  for x, y, number in probe.batches(part, options) do
    local logits, truth = probe.evaluate(model, x), y:tolist()
    local predicted = logits:argmax(2):tolist()
    clean[#clean + 1] = logits
    table.move(truth, 1, #truth, #labels + 1, labels)
    probed.compare(right, predicted, truth, true)
    tick(#x)
    for place, change in ipairs(changes) do
      local moved = probed.apply(change, x, y, model, probed.draw(options, place, number), tick)
      local there = probe.evaluate(model, moved)
      local now = there:argmax(2):tolist()
      local distances = nn.squared_distance(there, logits, { reduction = "none" }):tolist()
      table.move(distances, 1, #distances, #change.distances + 1, change.distances)
      probed.compare(change.flips, now, predicted, false)
      probed.compare(change.right, now, truth, true)
      tick(#x)
    end
  end
  local scale = probed.scale("continuity", nn.cat(clean, 1), labels, options)

  local rows, totals, levels, by_level = {}, {}, {}, {}
  for i, change in ipairs(changes) do
    rows[i] = probed.row(change, scale)
    local level = change.level
    if level and not by_level[level] then
      by_level[level] = {}
      levels[#levels + 1] = level
    end
    if level then table.insert(by_level[level], change) end
  end
  for i, level in ipairs(levels) do
    totals[i] = together(by_level[level], 1, scale)
    totals[i].level = level
  end
  local mean = together(changes, 1 / #changes, scale)
  local metrics = { ds = mean.ds, ds_relative = mean.ds_relative, flips = mean.flips }
  for _, list in ipairs(options.by_row and { rows, totals } or {}) do
    probed.add_metrics(metrics, list, { "ds", "ds_relative", "flips" })
  end
  return { rows = rows, totals = totals, mean = mean, scale = stats.interval(scale), accuracy = stats.percentage(right),
           metrics = metrics, text = show }
end

---@class ContinuityRow
---@field perturbation? string    # none in totals
---@field level? integer
---@field ds Interval             # summed over classes, averaged over images
---@field ds_relative Interval    # divided by the scale
---@field flips Interval          # percent of predictions that change
---@field accuracy Interval       # percent, on the perturbed images

---@class ContinuityResult: ProbeResult
---@field rows ContinuityRow[]    # one for each perturbation and level
---@field totals ContinuityRow[]  # one for each level: DS summed over the perturbations, shares averaged
---@field mean ContinuityRow      # everything averaged over all rows
---@field scale Interval          # mean ||F(x) - F(y)||^2 of random pairs of different classes
---@field accuracy Interval       # percent, unperturbed

-- probe.continuity, which calls this as a tail: the user's line is the caller's.
return function(options)
  options = spec.check("probe.continuity", options, fields)
  local changes = probed.list(options)
  local passes = 1
  for _, change in ipairs(changes) do passes = passes + change.passes + 1 end
  return probe.new("continuity", options, function(model, part, own, tick)
    return measure(model, part, own, tick, changes)
  end, passes)
end
