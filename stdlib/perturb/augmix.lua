--- Mixed chains of perturbations, as AugMix makes its views (Hendrycks et al. 2020).
---@package
local nn = require "nn"

local M = {}

local CHAIN <const>, WEIGHT <const>, SHARE <const> = 1, 2, 3 -- streams of the draws

--- One of the list, followed by up to depth - 1 others: each number of them is as likely.
---@param perturb table  # the module
---@param list Perturbation[]
---@param depth integer
---@return Perturbation
function M.chain(perturb, list, depth)
  local one = perturb.choice(list)
  local chain = one
  for left = 1, depth - 1 do
    chain = one >> perturb.maybe(left / (left + 1), chain)
  end
  return chain
end

-- A factor for each image: [n x 1 x 1 x 1].
local function column(values, axes)
  local shape = { #values }
  for i = 2, axes do shape[i] = 1 end
  return nn.tensor(values):reshape(shape)
end

--- (1 - m) x + m sum_i w_i chain_i(x): m evenly drawn from 0 to 1 for each image, and so are the w, which sum to 1
--- (Beta(1, 1) and Dirichlet(1)).
---@param chain Perturbation
---@param width integer  # how many chains
---@return fun(x, y, model, draw): Tensor
function M.mixing(chain, width)
  return function(x, y, model, draw)
    local weights, kept = {}, {}
    for i = 1, width do weights[i] = {} end
    for n = 1, #x do
      local share, total = nn.random(draw.seed, SHARE, n), 0
      for i = 1, width do
        local size = -math.log(1 - nn.random(nn.derive(draw.seed, WEIGHT, i), 0, n))
        weights[i][n], total = size, total + size
      end
      for i = 1, width do weights[i][n] = share * weights[i][n] / total end
      kept[n] = 1 - share
    end
    return nn.no_grad(function()
      local out = x * column(kept, #x.shape)
      for i = 1, width do
        local changed = chain(x, y, model,
                              { seed = nn.derive(draw.seed, CHAIN, i), step = draw.step, span = draw.span })
        out = out + changed * column(weights[i], #x.shape)
      end
      return out
    end)
  end
end

return M
