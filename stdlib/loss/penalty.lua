--- The input-gradient penalty: R = mean_i ||d (sum_j CE_j) / d x_i||^2, j over the batch; with evaluation statistics
--- CE_j depends on image j alone.
---
--- Backward is of first order here. With g the input gradient, held fixed, R's parameter gradient is 2/n times the
--- derivative of CE's parameter gradient along g, taken as a central difference:
---
---   d R / d w  =  d / d w  [CE(x + h g) - CE(x - h g)] / (n h)  +  O(h^2),   CE summed over the batch.
---
--- h is such that the images move by `step` in length, in the root mean square. The derivative of ReLU jumps: where an
--- image crosses such a kink on its way, the jump is divided by h. So a small step has rare large errors (and, below
--- 1e-6, rounding), a large one smooths. Against the derivative between the kinks, in double on 64 images, the cosine
--- of steps from 1e-5 to 3 is best near 0.3 for an untrained ResNet-8 (0.03: 0.87, 0.3: 0.93), near 1e-5 for a trained
--- LeNet-5 (0.03: 0.99, 0.3: 0.81), whose length is right up to 0.03.
---@package
local generate = require "loss.generate"
local nn = require "nn"
local pair = require "loss.pair"
local spec = require "spec"
local views_of = require "loss.views"

local function sum_of(model, x, y, pass)
  return nn.cross_entropy((model:forward(x, pass)), y, { reduction = "sum" })
end

-- The pass whose gradient is looked at: no running statistic is updated, and dropout draws the same each time.
local function pass_of(options, at)
  if not at.training or options.batch_stats == "eval" then return { training = false } end
  return { training = true, update = false, seed = at.dropout }
end

-- The value is R, the gradient that of the difference.
local function value(options, at, seen)
  local pass, model, x, y, n = pass_of(options, at), at.model, at.x, at.y, #at.x
  local g <close> = generate.gradient(function(images) return sum_of(model, images, y, pass) end, x)
  local penalty = g:square():sum():item() / n
  if penalty == 0 or penalty ~= penalty then return nn.sum(seen.logits * 0) + penalty end
  local h = options.step / math.sqrt(penalty)
  local ahead, back = nn.no_grad(function() return x + h * g, x - h * g end)
  local slope = (sum_of(model, ahead, y, pass) - sum_of(model, back, y, pass)) / (n * h)
  return slope + (penalty - slope:item())
end

return {
  pair = true,
  passes = 3, -- of the batch, beside those of its views
  fields = {
    weight = pair.scheduled(1.0),
    step = spec.number { above = 0, default = 0.03 },
    batch_stats = spec.choice { "clean", "eval", default = "clean" },
  },
  views = function() return { views_of.clean } end,
  value = value,
  formula = function(options, symbols)
    return string.format("mean ‖∂CE(F(%s), y)/∂%s‖²%s", symbols[1], symbols[1],
                         options.batch_stats == "eval" and " in evaluation" or "")
  end,
}
