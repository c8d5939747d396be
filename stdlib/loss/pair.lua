--- The pairing term, of which the losses that compare two looks at an image are settings:
---
---   weight * mean_i m_i D(phi(F(a_i) / T_a), phi(F(b_i) / T_b))
---
--- (a, b) is (x, x'), (x, x again), two images of one batch, or (x, 0); phi is `on`, D is `distance`, m_i is 1 unless
--- `threshold` or `weight_by` say otherwise. A row of loss.lua's kinds is made of it with M.row.
---@package
local distances = require "loss.distance"
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"
local spec = require "spec"
local views_of = require "loss.views"

local M = {}

local format = string.format

local perturbation <const> = { "a perturbation", perturb.is }

--- What may change in a training: a number, or a schedule of it.
---@param default number
---@param bounds? { min: number }
---@return SpecKind
function M.scheduled(default, bounds)
  return spec.any { spec.number(bounds), spec.value { "a schedule", optim.is_schedule }, default = default }
end

local function choice(list, default)
  list = table.move(list, 1, #list, 1, {})
  list.default = default
  return spec.choice(list)
end

local stops <const> = { false, "clean", "perturbed" }

-- The options, with a preset's defaults.
local function fields_of(preset)
  local function default(name, usual)
    if preset[name] ~= nil then return preset[name] end
    return usual
  end
  local positive = spec.number { above = 0 }
  return {
    weight = M.scheduled(default("weight", 1.0)),
    perturb = spec.value { perturbation[1], perturbation[2], required = preset.perturb == "required" },
    against = choice({ "clean", "again", "other images", "zero" }, default("against", "clean")),
    on = spec.text { pattern = "%S", expects = '"logits", "softmax", "log_softmax" or the name of a layer',
                     default = default("on", "logits") },
    distance = choice(distances.names, default("distance", "sq_l2")),
    reduction = spec.choice { "sum_classes", "mean_all", default = default("reduction", "sum_classes") },
    stop_gradient = choice(stops, default("stop_gradient", false)),
    temperature = spec.any { positive, spec.record { clean = positive, perturbed = positive },
                             default = default("temperature", 1.0) },
    threshold = spec.number { min = 0, below = 1, default = preset.threshold },
    weight_by = spec.choice { "1 - p_y", default = preset.weight_by },
    views = spec.integer { min = 2, max = 16, default = default("views", 2) },
    batch_stats = spec.choice { "joint", "separate", "clean", "eval", default = default("batch_stats", "joint") },
  }
end

local function check(options)
  local against, distance = options.against, distances.list[options.distance]
  if against == "clean" and not options.perturb then
    return 'expected a perturbation, or against = "again", "other images" or "zero"'
  elseif against == "again" and options.perturb then
    return 'against = "again" takes no perturbation: the same images go through the network twice'
  elseif distance.distributions and options.on ~= "logits" then
    return format('distance = "%s" takes logits and compares their softmax: on = "%s" is not for it', options.distance,
                  options.on)
  elseif distance.distributions and against == "zero" then
    return format('distance = "%s" has nothing to compare with zero', options.distance)
  elseif options.views > 2 and not (distance.many and against == "clean") then
    return 'more than two views are for distance = "js" and a perturbation'
  elseif options.distance == "cosine" and against == "zero" then
    return "zero has no direction"
  elseif against == "zero" and options.stop_gradient == "clean" then
    return 'stop_gradient = "clean" leaves no gradient against zero'
  elseif against == "other images" and (options.threshold or options.weight_by) then
    return format('%s counts images: against = "other images" has pairs of them',
                  options.threshold and "threshold" or "weight_by")
  end
end

-- ---- what it looks at ----

local function views(options)
  local against = options.against
  local own = options.perturb and { perturb = options.perturb, batch_stats = options.batch_stats } or views_of.clean
  if against == "other images" or against == "zero" then return { own } end
  if against == "again" then
    return { views_of.clean, { perturb = perturb.identity(), batch_stats = options.batch_stats } }
  end
  local list = { views_of.clean }
  for copy = 1, options.views - 1 do
    list[copy + 1] = { perturb = options.perturb, copy = copy, batch_stats = options.batch_stats }
  end
  return list
end

local spaces <const> = { logits = true, softmax = true, log_softmax = true }

-- The layer that it reads, or nil for the logits.
local function layer(options)
  if not spaces[options.on] then return options.on end
end

local function temperatures(options)
  local t = options.temperature
  if type(t) == "number" then return t, t end
  return t.clean or 1, t.perturbed or 1
end

-- A view's representation: [n x k], before the temperature.
local function raw(options, view)
  local value = view[layer(options) or "logits"]
  if #value.shape ~= 2 then value = value:reshape { #value, -1 } end
  return value
end

-- ---- its value ----

local function represent(options, value, temperature)
  if temperature ~= 1 then value = value / temperature end
  if options.on == "softmax" then return value:softmax() end
  if options.on == "log_softmax" then return value:log_softmax() end
  return value
end

-- The two halves of a batch, image i beside image i + n/2; of an odd number the last one is left out.
local function halves(value)
  local half = #value // 2
  if half == 0 then return nil end
  return value:slice(1, 1, half), value:slice(1, half + 1, 2 * half)
end

-- What each image counts: [n], or nil where all count the same. `clean` are the logits of x.
local function counts(options, y, clean)
  local count
  if options.threshold then
    count = nn.no_grad(function() return clean:softmax():max(2):gt(options.threshold) end)
  end
  if options.weight_by then
    local missed = 1 - clean:softmax():gather(2, y:reshape { #y, 1 }):reshape { #y }
    count = count and count * missed or missed
  end
  return count
end

-- Both sides of the pairs, or more; none when the batch is too small for a pair.
local function sides(options, seen)
  local list = {}
  for i, view in ipairs(seen) do list[i] = raw(options, view) end
  if options.against == "other images" then list = { halves(list[1]) }
  elseif options.against == "zero" then list[2] = nn.zeros(list[1].shape) end
  if options.stop_gradient == "clean" and list[1] then list[1] = list[1]:detach() end
  for i = 2, options.stop_gradient == "perturbed" and #list or 1 do list[i] = list[i]:detach() end
  return list
end

local function value(options, at, ...)
  local seen = { ... }
  local list = sides(options, seen)
  if #list == 0 then return nn.sum(raw(options, seen[1]) * 0) end
  local of_clean, of_others = temperatures(options)
  local mean_all = options.reduction == "mean_all"
  local count = counts(options, at.y, options.stop_gradient == "clean" and seen[1].logits:detach() or seen[1].logits)
  -- Equal temperatures are the divergence's own affair, which rounds once less.
  if options.distance == "kl" and of_clean == of_others and not count then
    local mean = nn.kl_divergence(list[1], list[2], { temperature = of_clean })
    return mean_all and mean / list[1].shape[2] or mean
  end
  for i, side in ipairs(list) do list[i] = represent(options, side, i == 1 and of_clean or of_others) end
  if not count then return distances.mean(options.distance, mean_all, table.unpack(list)) end
  local mean = nn.mean(distances.rows(options.distance, table.unpack(list)) * count)
  return mean_all and mean / list[1].shape[2] or mean
end

-- ---- in words ----

-- How a side is written, `x` being what its images are called.
local function side_formula(options, x, temperature, stopped)
  local of = layer(options) and options.on .. "(" .. x .. ")" or "F(" .. x .. ")"
  if temperature ~= 1 then of = format("%s/%.10g", of, temperature) end
  if options.on == "softmax" or distances.list[options.distance].distributions then
    of = temperature == 1 and "p(" .. x .. ")" or "softmax(" .. of .. ")"
  elseif options.on == "log_softmax" then
    of = temperature == 1 and "log p(" .. x .. ")" or "log softmax(" .. of .. ")"
  end
  return stopped and "sg " .. of or of
end

--- `mean ‖F(x') − F(x)‖²`: symbols are what the images of its views are called.
local function formula(options, symbols)
  local names = table.move(symbols, 1, #symbols, 1, {})
  local of_clean, of_others = temperatures(options)
  if options.against == "other images" then names[1], names[2] = symbols[1] .. "_i", symbols[1] .. "_(i+n/2)" end
  for i, x in ipairs(names) do
    names[i] = side_formula(options, x, i == 1 and of_clean or of_others,
                            options.stop_gradient == (i == 1 and "clean" or "perturbed"))
  end
  if options.against == "zero" then names[2] = "0" end
  local text = options.against == "zero" and distances.list[options.distance].formula("0", names[1]):gsub(" − 0", "")
    or distances.list[options.distance].formula(table.unpack(names))
  if options.weight_by then text = format("(1 − p_y(%s)) %s", symbols[1], text) end
  if options.threshold then text = format("[max p(%s) > %.10g] %s", symbols[1], options.threshold, text) end
  return (options.reduction == "mean_all" and "mean 1/K " or "mean ") .. text
end

--- A kind of term: the pairing term with other defaults, and with options of its own, of which `generate` makes the
--- perturbation that is used when none is given.
---@param preset table  # defaults by name; perturb = "required"
---@param own? { fields: table, generate: fun(options: table): Perturbation }
---@return table
function M.row(preset, own)
  local row = { pair = true, fields = fields_of(preset), views = views, layer = layer, value = value,
                formula = formula, check = check, own = own and own.fields or {}, generate = own and own.generate }
  for name, field in pairs(row.own) do row.fields[name] = field end
  return row
end

return M
