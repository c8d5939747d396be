--- Distances between representations: u of x and v of x', each [n x k], a value for each row.
---
--- Those of distributions take logits. Kullback and Leibler's divergences are in nats.
---@package
local nn = require "nn"

local M = {}

local TINY <const> = 1e-12 -- below this length a direction is none

local function minus(a, b) return a .. " − " .. b end

-- One for each of `distance`'s choices: rows(u, v) -> [n]; formula(u, v) of their names; `distributions`: u and v are
-- logits; `op`: the operation that also takes the mean by itself.
M.list = {
  sq_l2 = {
    op = function(u, v, how) return nn.squared_distance(v, u, { reduction = how }) end,
    formula = function(u, v) return "‖" .. minus(v, u) .. "‖²" end,
  },
  l2 = { -- its gradient at 0 is taken as 0
    rows = function(u, v) return nn.norm(v - u, 2) end,
    formula = function(u, v) return "‖" .. minus(v, u) .. "‖" end,
  },
  l1 = {
    rows = function(u, v) return nn.sum(nn.abs(v - u), 2) end,
    formula = function(u, v) return "‖" .. minus(v, u) .. "‖₁" end,
  },
  -- h(d) = d^2 / 2 where |d| < 1, else |d| - 1/2 (Huber 1964), summed
  huber = {
    rows = function(u, v)
      local size = nn.abs(v - u)
      local near = nn.clamp(size, { max = 1 })
      return nn.sum(0.5 * nn.square(near) + (size - near), 2)
    end,
    formula = function(u, v) return "huber(" .. minus(v, u) .. ")" end,
  },
  cosine = {
    rows = function(u, v)
      local lengths = nn.clamp(nn.norm(u, 2) * nn.norm(v, 2), { min = TINY })
      return 1 - nn.sum(u * v, 2) / lengths
    end,
    formula = function(u, v) return "(1 − cos(" .. v .. ", " .. u .. "))" end,
  },
  kl = {
    distributions = true,
    op = function(u, v, how) return nn.kl_divergence(u, v, { reduction = how }) end,
    formula = function(u, v) return "KL(" .. u .. " ‖ " .. v .. ")" end,
  },
  kl_reverse = {
    distributions = true,
    op = function(u, v, how) return nn.kl_divergence(v, u, { reduction = how }) end,
    formula = function(u, v) return "KL(" .. v .. " ‖ " .. u .. ")" end,
  },
  sym_kl = {
    distributions = true,
    op = function(u, v, how)
      return 0.5 * (nn.kl_divergence(u, v, { reduction = how }) + nn.kl_divergence(v, u, { reduction = how }))
    end,
    formula = function(u, v) return "½ [KL(" .. u .. " ‖ " .. v .. ") + KL(" .. v .. " ‖ " .. u .. ")]" end,
  },
  -- -sum_k p_k log q_k = KL(p || q) + H(p)
  xent = {
    distributions = true,
    rows = function(u, v) return nn.neg(nn.sum(nn.softmax(u) * nn.log_softmax(v), 2)) end,
    formula = function(u, v) return "H(" .. u .. ", " .. v .. ")" end,
  },
  -- The mean divergence of 2 or more distributions from their mean: between 0 and the logarithm of their number.
  js = {
    distributions = true, many = true,
    rows = function(...)
      local all = { ... }
      local shares, mean = {}, nil
      for i, logits in ipairs(all) do
        shares[i] = nn.softmax(logits)
        mean = mean and mean + shares[i] or shares[i]
      end
      -- A share that is 0 in float has the logarithm of no number, and adds nothing.
      local log_mean, sum = nn.log(nn.clamp(mean / #all, { min = 1e-30 })), nil
      for i, logits in ipairs(all) do
        local part = nn.sum(shares[i] * (nn.log_softmax(logits) - log_mean), 2)
        sum = sum and sum + part or part
      end
      return sum / #all
    end,
    formula = function(...) return "JS(" .. table.concat({ ... }, ", ") .. ")" end,
  },
}

M.names = { "sq_l2", "l2", "l1", "huber", "cosine", "kl", "kl_reverse", "sym_kl", "js", "xent" }

--- The distance of each row, [n].
---@param name string
---@param u Tensor
---@param v Tensor
---@return Tensor
function M.rows(name, u, v, ...)
  local this = M.list[name]
  return this.op and this.op(u, v, "none") or this.rows(u, v, ...)
end

--- Its mean over the rows; with mean_all also over the k numbers of each.
---@param name string
---@param mean_all boolean
---@param u Tensor
---@param v Tensor
---@return Tensor
function M.mean(name, mean_all, u, v, ...)
  local this = M.list[name]
  if name == "sq_l2" then return this.op(u, v, mean_all and "mean_all" or "mean") end
  local mean = this.op and this.op(u, v, "mean") or nn.mean(this.rows(u, v, ...))
  return mean_all and mean / u.shape[2] or mean
end

return M
