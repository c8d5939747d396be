--- Perturbations that belong to one loss: made of the model's own predictions, without labels.
---@package
local nn = require "nn"
local optim = require "optim"
local perturb = require "perturb"

local M = {}

local format = string.format

local AXES <const> = { 2, 3, 4 }
local TINY <const> = 1e-30

-- Each image's d at length 1; one that is zero everywhere stays so. Divided by its largest element first: the square of
-- a small gradient is 0 in float.
local function unit(d)
  local axes = table.move(AXES, 1, #d.shape - 1, 1, {})
  d = d / nn.clamp(d:abs():max(axes, { keep = true }), { min = TINY })
  return d / nn.clamp(d:norm(axes, { keep = true }), { min = TINY })
end

--- d f(x) / d x of a function that gives one number, [x's shape]; parameters are as if frozen.
---@param f fun(x: Tensor): Tensor
---@param x Tensor
---@return Tensor
function M.gradient(f, x)
  local leaf = x:detach()
  leaf.requires_grad = true
  local value = nn.with_leaf(leaf, f, leaf)
  if value.requires_grad then value:backward() end
  return leaf.grad or nn.zeros(x.shape)
end

-- How an estimate of the direction runs the model: never updating a running statistic.
local function pass_of(options, draw)
  if options.bn == "eval" then return { training = false } end
  return { training = true, update = false, seed = nn.derive(draw.seed, 1, 0) }
end

--- x + eps r (Miyato et al. 2018): r is the direction of length 1 in which KL(p(x) || p(x + xi r)) grows fastest, found
--- from a random one by power iterations. It is not clipped.
---@param options { eps: number|Schedule, xi: number, iterations: integer, bn: "eval"|"train" }
---@return Perturbation
function M.virtual_adversary(options)
  options = { eps = options.eps, xi = options.xi, iterations = options.iterations, bn = options.bn }
  local function apply(x, _, model, draw)
    local pass, eps = pass_of(options, draw), optim.value_at(options.eps, draw)
    local clean = nn.no_grad(function() return (model:forward(x, pass)) end)
    local direction = unit(nn.normal(x.shape, { seed = draw.seed }))
    for _ = 1, options.iterations do
      direction = unit(M.gradient(function(r)
        return nn.kl_divergence(clean, (model:forward(x + r, pass)), { reduction = "sum" })
      end, options.xi * direction))
    end
    return nn.no_grad(function() return x + eps * direction end)
  end
  local text = format("virtual_adversary(l2, eps %s, xi %.6g, %d iteration%s%s)",
    type(options.eps) == "number" and format("%.6g", options.eps) or tostring(options.eps), options.xi,
    options.iterations, options.iterations == 1 and "" or "s", options.bn == "eval" and "" or ", batch statistics")
  local p = perturb.new { name = text, apply = apply }
  p.told, p.own_passes = true, 1 + 2 * options.iterations
  if optim.is_schedule(options.eps) then p.scheduled = { eps = options.eps } end
  return p
end

return M
