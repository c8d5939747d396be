--- How smooth the logits F are about an image x, and how far the expansion of Eq. 6 of the paper explains what a change
--- Δx of it does: LD = F(x + Δx) - F(x) = J Δx + ½ Δxᵀ H Δx + ...
---
--- ‖J‖²_F is estimated without bias by random projections: for v of independent signs E ‖vᵀJ‖² = ‖J‖²_F, and vᵀJ
--- is one way back; the interval over images holds what the projections add to the spread.
---
--- J Δx comes from differences of F at x ± `step` Δx. With rectifiers F is linear between kinks: it has no second
--- derivative, and differences of F divided by h² grow as 1/h when h falls. What bends is only seen at a scale, so
--- H and the turn of J are taken over the scale of the change itself, `span` = ½: the second-order share is that of
--- the parabola through F at x - span Δx, x and x + span Δx, and the curvature is
--- ‖J(x + span Δx) - J(x - span Δx)‖²_F / (2 span ‖Δx‖)², by the same projections. Both are exact where F is
--- quadratic.
---
--- How exact that is, measured on a trained ResNet-20 (CIFAR-10, Table 1's levels 1 and 4, 64 images): float and double
--- agree to 0.02 points in every share and to 1 in 10,000 in every curvature. The share of J Δx is that of the exact J
--- (a way back for each class) to half a point at level 1, to 2.3 points at level 4, for kinks between x and
--- x ± step Δx; smaller steps bring it nearer until rounding shows, below 0.001.
local nn = require "nn"
local perturb = require "perturb"
local probe = require "probe"
local probed = require "probe.changes"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local fields = probed.with_fields {
  attack = spec.value { "an attack, or another perturbation", perturb.is },
  projections = spec.integer { min = 1, default = 2, doc = "random directions of the logits, for each image" },
  step = spec.number { above = 0, below = 1, default = 0.004, doc = "of the differences for J, a share of the change" },
  span = spec.number { above = 0, below = 1, default = 0.5, doc = "of those for H and for the turn of J" },
}

-- Streams of nn.derive, beside those of probe.changes.
local PROJECTION <const>, DIRECTION <const> = 3, 4

-- What the metrics of the rows beside the colour changes are called by.
local OTHERS <const> = { "attack", "random_linf", "random_l2" }

-- What is taken down of each image under each change.
local TAKEN <const> = { "distances", "flips", "right", "first", "second", "turns", "lengths" }

-- ---- gradients ----

-- F(x), and vᵀJ for each v that directions(F(x)) lists; no parameter gets a gradient. ticks once for each way.
local function pull(model, x, directions, tick)
  local leaf, pulled = x:detach(), {}
  leaf.requires_grad = true
  local logits = nn.with_leaf(leaf, probe.evaluate, model, leaf)
  tick(#x)
  local list = directions(logits:detach())
  for i, v in ipairs(list) do
    if logits.requires_grad then logits:backward(v, { keep_graph = i < #list }) end
    pulled[i] = leaf.grad or nn.zeros(leaf.shape) -- none where no logit depends on x
    leaf:clear_grad()
    tick(#x)
  end
  return logits:detach(), pulled
end

-- ---- lists of numbers, one for each image ----

-- ‖a - b‖² image by image.
local function squares(a, b) return nn.squared_distance(a, b, { reduction = "none" }) end

local function append(list, t)
  local values = t:tolist()
  table.move(values, 1, #values, #list + 1, list)
end

-- The mean of tensors.
local function mean_of(tensors)
  local sum = tensors[1]
  for i = 2, #tensors do sum = sum + tensors[i] end
  return sum * (1 / #tensors)
end

-- ---- random directions ----

-- As far from x as `moved` is, in directions that know nothing of the model: random signs of the largest change of a
-- pixel, and a normal direction of the Euclidean length. They know nothing of the range of pixels either: clipped they
-- would be shorter, and turned back into it they would make a grey veil of a black ground.
local function random_directions(x, moved, options, batch)
  local dx, axes = moved - x, { 2, 3, 4 }
  local seed = nn.derive(options.seed, DIRECTION, batch)
  local signs = nn.uniform(x.shape, { seed = seed, stream = 1 }):ge(0.5) * 2 - 1
  local normal = nn.normal(x.shape, { seed = seed, stream = 2 })
  local longest = dx:abs():max(axes, { keep = true })
  local length = dx:norm(axes, { keep = true }) / normal:norm(axes, { keep = true })
  return x + signs * longest, x + normal * length
end

-- ---- measuring ----

-- A batch before any change: { x, labels, logits, predicted, signs = the projections, jacobian and gradient = of each
-- image ‖vᵀJ‖² in the mean, and ‖∂CE/∂x‖ }.
local function begin(model, x, y, number, options, tick)
  local batch = { x = x, labels = y:tolist(), signs = {} }
  local pulled
  batch.logits, pulled = pull(model, x, function(logits)
    local seed, list = nn.derive(options.seed, PROJECTION, number), {}
    for i = 1, options.projections do
      list[i] = nn.uniform(logits.shape, { seed = seed, stream = i }):ge(0.5) * 2 - 1
      batch.signs[i] = list[i]
    end
    list[#list + 1] = logits:softmax(2) - nn.one_hot(y, logits.shape[2]) -- the cross-entropy's
    return list
  end, tick)
  batch.predicted = batch.logits:argmax(2):tolist()
  for i, direction in ipairs(pulled) do pulled[i] = squares(direction, nn.zeros(direction.shape)) end
  batch.gradient = table.remove(pulled):sqrt()
  batch.jacobian = mean_of(pulled)
  return batch
end

-- Everything about one change of a batch.
local function look(model, change, batch, moved, options, tick)
  local step, span = options.step, options.span
  local dx = moved - batch.x
  local function logits_at(x)
    local logits = probe.evaluate(model, x)
    tick(#x)
    return logits
  end
  local function signs() return batch.signs end
  local there = logits_at(moved)
  local difference = there - batch.logits
  local slope = (logits_at(batch.x + dx * step) - logits_at(batch.x - dx * step)) * (1 / (2 * step))
  local after, pulled_after = pull(model, batch.x + dx * span, signs, tick)
  local before, pulled_before = pull(model, batch.x - dx * span, signs, tick)
  local parabola = (after - before) * (1 / (2 * span)) + (after + before - batch.logits * 2) * (1 / (2 * span * span))
  local turns = {}
  for i, pulled in ipairs(pulled_after) do turns[i] = squares(pulled, pulled_before[i]) end

  local predicted = there:argmax(2):tolist()
  probed.compare(change.flips, predicted, batch.predicted, false)
  probed.compare(change.right, predicted, batch.labels, true)
  append(change.distances, squares(there, batch.logits))
  append(change.first, squares(difference, slope))
  append(change.second, squares(difference, parabola))
  append(change.turns, mean_of(turns) * (1 / (4 * span * span)))
  append(change.lengths, squares(moved, batch.x))
end

-- ---- estimates ----

-- 100 (1 - sum of the residuals / sum of the distances), below 0 where the expansion is worse than no change; nil where
-- nothing moved.
local function explained(residuals, distances)
  if stats.mean(distances) == 0 then return nil end
  local rest = stats.ratio(residuals, distances):scaled(-100, "%")
  rest.value, rest.low, rest.high = rest.value + 100, rest.low + 100, rest.high + 100
  for i, value in ipairs(rest.items) do rest.items[i] = value + 100 end
  return rest
end

local function relative_to(scale, interval) return stats.ratio(interval.items, scale, { paired = false }) end

-- Of a change and level: the turn of J is weighed by ‖Δx‖², so that an image that did not change counts for nothing.
local function row_of(change, scale)
  local row = probed.row(change, scale)
  row.explained_first = explained(change.first, change.distances)
  row.explained_second = explained(change.second, change.distances)
  row.curvature = stats.mean(change.lengths) > 0 and stats.ratio(change.turns, change.lengths) or nil
  row.curvature_relative = row.curvature and relative_to(scale, row.curvature)
  return row
end

-- The mean of a field over the rows that have it, image by image.
local function mean_over(rows, field)
  local sum, count, unit = {}, 0, nil
  for _, row in ipairs(rows) do
    if row[field] then
      count, unit = count + 1, row[field].unit
      for i, value in ipairs(row[field].items) do sum[i] = (sum[i] or 0.0) + value end
    end
  end
  if count == 0 then return nil end
  for i, value in ipairs(sum) do sum[i] = value / count end
  return stats.interval(sum, { unit = unit })
end

-- Numbers whose mean is the root of the scale's, with the spread that it has: d sqrt(s) = ds / (2 sqrt(s)).
local function root_of(scale)
  local mean, out = stats.mean(scale), {}
  for i, value in ipairs(scale) do out[i] = math.sqrt(mean) * (1 + (value / mean - 1) / 2) end
  return out
end

-- What all rows say together: those of the colour changes, `natural`, in the mean; the others, under their names.
local function metrics_of(jacobian, gradient, natural, others, scale, by_row)
  local metrics = { jacobian = stats.interval(jacobian), input_gradient = stats.interval(gradient) }
  for _, name in ipairs { "curvature", "explained_first", "explained_second" } do
    metrics[name] = mean_over(natural, name)
  end
  metrics.jacobian_relative = relative_to(scale, metrics.jacobian)
  metrics.input_gradient_relative = relative_to(root_of(scale), metrics.input_gradient)
  metrics.curvature_relative = metrics.curvature and relative_to(scale, metrics.curvature)
  if by_row then
    probed.add_metrics(metrics, natural, { "curvature", "curvature_relative", "explained_first", "explained_second" })
  end
  for i, row in ipairs(others) do
    for _, name in ipairs { "ds", "flips", "curvature", "explained_first", "explained_second" } do
      metrics[name .. "_" .. OTHERS[i]] = row[name]
      metrics[name .. "_" .. OTHERS[i] .. "_relative"] = row[name .. "_relative"]
    end
  end
  return metrics
end

-- ---- the table ----

local COLUMNS <const> = { "change", "level", "DS", "DS relative", "flips %", "by J Δx %", "with H %",
                          "curvature", "relative" }

local function show(self)
  local overall, cells = {}, {}
  for i, this in ipairs { { "‖J‖²_F", "jacobian" }, { "‖∂CE/∂x‖", "input_gradient" }, { "curvature", "curvature" } } do
    overall[i] = { this[1], self.metrics[this[2]], self.metrics[this[2] .. "_relative"] }
  end
  for i, row in ipairs(self.rows) do
    cells[i] = { row.perturbation, row.level, row.ds, row.ds_relative, row.flips, row.explained_first,
                 row.explained_second, row.curvature, row.curvature_relative }
  end
  local head = string.format("smoothness  %s images; unperturbed accuracy %s %%; mean distance of two classes %s%s",
                             text.count(self.count), self.accuracy, self.scale,
                             self.attack and "\nattack: " .. self.attack or "")
  local foot = string.format("DS that J Δx, and with it ½ Δxᵀ H Δx, explain; J by differences over ± %g Δx, H over "
                             .. "± %g Δx", self.step, self.span)
  return table.concat({ head, text.table({ "mean of all", "raw", "relative to the logits" }, overall),
                        text.table(COLUMNS, cells) .. "\n" .. foot }, "\n\n")
end

-- ---- the probe ----

local function measure(model, part, options, tick, changes, attacked)
  local all = table.move(changes, 1, #changes, 1, {})
  if attacked then
    all[#all + 1] = attacked
    for _, name in ipairs { "random, L∞ length", "random, L2 length" } do all[#all + 1] = { perturbation = name } end
  end
  for i, change in ipairs(all) do
    local own = { perturbation = change.perturbation, level = change.level }
    for _, name in ipairs(TAKEN) do own[name] = {} end
    all[i] = own
  end

  local clean, labels, right, jacobian, gradient = {}, {}, {}, {}, {}
  for x, y, number in probe.batches(part, options) do
    local batch = begin(model, x, y, number, options, tick)
    clean[#clean + 1] = batch.logits
    table.move(batch.labels, 1, #batch.labels, #labels + 1, labels)
    probed.compare(right, batch.predicted, batch.labels, true)
    append(jacobian, batch.jacobian)
    append(gradient, batch.gradient)
    local function draw(place) return probed.draw(options, place, number) end
    for place, change in ipairs(changes) do
      look(model, all[place], batch, probed.apply(change, x, y, model, draw(place), tick), options, tick)
    end
    if attacked then
      local place = #changes + 1
      local moved = probed.apply(attacked, x, y, model, draw(place), tick)
      look(model, all[place], batch, moved, options, tick)
      for i, random in ipairs { random_directions(x, moved, options, number) } do
        look(model, all[place + i], batch, random, options, tick)
      end
    end
  end

  local scale = probed.scale("smoothness", nn.cat(clean, 1), labels, options)
  local rows = {}
  for i, change in ipairs(all) do rows[i] = row_of(change, scale) end
  local natural = table.move(rows, 1, #changes, 1, {})
  local others = table.move(rows, #changes + 1, #rows, 1, {})
  local metrics = metrics_of(jacobian, gradient, natural, others, scale, options.by_row)
  return { rows = rows, metrics = metrics, scale = stats.interval(scale), accuracy = stats.percentage(right),
           attack = attacked and tostring(attacked.change), step = options.step, span = options.span, text = show }
end

---@class SmoothnessRow
---@field perturbation string           # also the attack's name, and random directions as far as it went
---@field level? integer
---@field ds Interval
---@field ds_relative Interval          # divided by the scale
---@field flips Interval                # percent of predictions that change
---@field accuracy Interval             # percent, on the changed images
---@field explained_first? Interval     # percent of DS that J Δx explains; absent where no logit moved
---@field explained_second? Interval    # and the parabola
---@field curvature? Interval           # along Δx; absent where no pixel changed
---@field curvature_relative? Interval  # divided by the scale

---@class SmoothnessResult: ProbeResult
---@field rows SmoothnessRow[]
---@field scale Interval                # mean ||F(x) - F(y)||^2 of random pairs of different classes
---@field accuracy Interval             # percent, unperturbed
---@field attack? string
---@field step number
---@field span number

-- probe.smoothness, which calls this as a tail: the user's line is the caller's.
return function(options)
  options = spec.check("probe.smoothness", options, fields)
  local changes, value, attacked = probed.list(options), options.attack, nil
  if value then attacked = probed.change(value.attack and value.attack.name or "attack", nil, value) end
  local looks, passes = #changes + (attacked and 3 or 0), 2 + options.projections + (attacked and attacked.passes or 0)
  passes = passes + looks * (5 + 2 * options.projections)
  for _, change in ipairs(changes) do passes = passes + change.passes end
  return probe.new("smoothness", options, function(model, part, own, tick)
    return measure(model, part, own, tick, changes, attacked)
  end, passes)
end
