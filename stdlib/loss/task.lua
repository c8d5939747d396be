--- The terms that look at the labels.
---@package
local nn = require "nn"
local pair = require "loss.pair"
local perturb = require "perturb"
local spec = require "spec"
local views_of = require "loss.views"

local M = {}

local format = string.format

-- Task losses look at one view, the clean one unless told.
local function views(options)
  return { options.perturb and { perturb = options.perturb, batch_stats = options.batch_stats } or views_of.clean }
end

local function fields(own)
  own.weight = pair.scheduled(1.0)
  own.perturb = spec.value { "a perturbation", perturb.is }
  own.batch_stats = spec.choice { "joint", "separate", "clean", "eval", default = "joint" }
  return own
end

-- Training signal annealing (Xie et al. 2020): which share of the way from 1/K to 1 is done after t of the training.
local anneals = {
  linear = function(t) return t end,
  log = function(t) return 1 - math.exp(-5 * t) end,
  exp = function(t) return math.exp(5 * (t - 1)) end,
}

-- The mean over those images whose label has a share of at most the threshold.
local function annealed(options, at, logits)
  local steps = at.span and at.span.steps
  if not steps then
    error('loss: anneal needs the steps of the training: objective.span = { steps = n }', 0)
  end
  local least = 1 / logits.shape[2]
  local threshold = least + (1 - least) * anneals[options.anneal](math.min(at.step / steps, 1))
  local counted = nn.no_grad(function()
    return 1 - logits:softmax():gather(2, at.y:reshape { #at.y, 1 }):reshape({ #at.y }):gt(threshold)
  end)
  local rows = nn.cross_entropy(logits, at.y, { smoothing = options.smoothing, reduction = "none" })
  return nn.sum(rows * counted) / math.max(1, counted:sum():item())
end

M.cross_entropy = {
  fields = fields { smoothing = spec.number { min = 0, below = 1, default = 0.0 },
                    anneal = spec.choice { "linear", "log", "exp" } },
  views = views,
  value = function(options, at, seen)
    if options.anneal then return annealed(options, at, seen.logits) end
    return nn.cross_entropy(seen.logits, at.y, { smoothing = options.smoothing })
  end,
  formula = function(options, symbols)
    local smooth = options.smoothing > 0 and format("; smoothed %.10g", options.smoothing) or ""
    local over = options.anneal and format(" over p_y(%s) ≤ η(t), %s", symbols[1], options.anneal) or ""
    return format("mean CE(F(%s), y%s)%s", symbols[1], smooth, over)
  end,
}

-- CE - log(1.0001 - max_(k != y) p_k): the numbers are the authors' (Wang et al. 2020), who keep the logarithm finite.
M.boosted_cross_entropy = {
  fields = fields {},
  views = views,
  value = function(_, at, seen)
    local logits = seen.logits
    local shares = logits:softmax()
    local other = nn.max(shares - 2 * nn.one_hot(at.y, logits.shape[2]), 2) -- the label's is below all others
    return nn.cross_entropy(logits, at.y) - nn.mean(nn.log(1.0001 - other))
  end,
  formula = function(_, symbols)
    return format("mean [CE(F(%s), y) − log(1.0001 − max_(k≠y) p_k(%s))]", symbols[1], symbols[1])
  end,
}

M.hinge = {
  fields = fields { margin = spec.number { above = 0, default = 1.0 } },
  views = views,
  value = function(options, at, seen) return nn.hinge(seen.logits, at.y, { margin = options.margin }) end,
  formula = function(options, symbols)
    return format("mean Σ_(k≠y) max(0, %.10g − F_y(%s) + F_k(%s))", options.margin, symbols[1], symbols[1])
  end,
}

return M
