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
  own.weight = pair.weight(1.0)
  own.perturb = spec.value { "a perturbation", perturb.is }
  own.batch_stats = spec.choice { "joint", "separate", "clean", "eval", default = "joint" }
  return own
end

M.cross_entropy = {
  fields = fields { smoothing = spec.number { min = 0, below = 1, default = 0.0 } },
  views = views,
  value = function(options, at, seen) return nn.cross_entropy(seen.logits, at.y, { smoothing = options.smoothing }) end,
  formula = function(options, symbols)
    local smooth = options.smoothing > 0 and format("; smoothed %.10g", options.smoothing) or ""
    return format("mean CE(F(%s), y%s)", symbols[1], smooth)
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
