--- Where the numbers of a training stopped being numbers.
---@package
local nn = require "nn"

local M = {}

local format = string.format

local TAPS = 16 -- as many as one pass may have

--- Is it a number, and not an infinite one?
---@param x number
---@return boolean
function M.finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

local function whole(tensor)
  local low <close> = tensor:min()
  local high <close> = tensor:max()
  return M.finite(low:item()) and M.finite(high:item())
end

-- The name of the first that holds a number that is none.
local function first_bad(list)
  return nn.no_grad(function()
    for _, entry in ipairs(list) do
      if entry.tensor.type == "float" and not whole(entry.tensor) then return entry.name end
    end
  end)
end

--- The first of a model's parameters that holds a number that is none: its name, or nil.
---@param model Model
---@return string?
function M.in_parameters(model) return first_bad(model:named_parameters()) end

--- The same with its running statistics.
---@param model Model
---@return string?
function M.in_weights(model) return M.in_parameters(model) or first_bad(model:buffers()) end

-- The layers with parameters, in their order.
local function layers(model)
  local paths, seen = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local path = entry.name:match("^(.*)%.[^.]*$")
    if path and not seen[path] then
      seen[path] = true
      paths[#paths + 1] = path
    end
  end
  return paths
end

-- Calls f; the model's running statistics, which passes in training change, are then as they were.
local function leaving_statistics(model, f)
  local kept = {}
  for i, entry in ipairs(model:buffers()) do kept[i] = { entry.tensor, entry.tensor:detach():clone() } end
  local results = table.pack(pcall(f))
  for _, pair in ipairs(kept) do pair[1]:copy(pair[2]) end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Where a batch stops being numbers on its way through the network in training: `perturbation brightness(32)`, or
--- `layer "layer2.0.bn1"`, the first with parameters; nil when its logits are numbers. And the term of the loss that
--- asked for the perturbation.
---@param objective Loss
---@param model Model
---@param x Tensor
---@param y Tensor
---@param at { seed: integer, step: integer, span: table }
---@return string? where, string? term
function M.in_pass(objective, model, x, y, at)
  return nn.no_grad(leaving_statistics, model, function()
    local views, passes = objective:passes(model, x, y, at)
    for _, view in ipairs(views) do
      if not whole(view.images) then
        return view.perturb and "perturbation " .. tostring(view.perturb) or "the images", view.term
      end
    end
    local paths = layers(model)
    for _, pass in ipairs(passes) do
      for from = 1, #paths, TAPS do
        local some = table.move(paths, from, math.min(from + TAPS - 1, #paths), 1, {})
        local _, taps = model:forward(pass.images, { taps = some, training = pass.training, seed = pass.seed })
        for _, path in ipairs(some) do
          if not whole(taps[path]) then return format('layer "%s"', path) end
        end
      end
    end
  end)
end

return M
