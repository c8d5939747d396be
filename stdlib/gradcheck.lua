--- Gradients against central differences.
---
--- The output is projected onto a fixed random direction, so that one number is differentiated; every element of every
--- input that requires a gradient is then moved by ± step. In the double build an error of 0.1 % in a gradient is far
--- above the noise of the differences; in float it is not, and the tolerance has to be loose.
local nn <const> = require "nn"

local M = {}

local SIZES <const> = nn.info().precision == "double" and { step = 1e-5, tolerance = 1e-6 }
  or { step = 1e-2, tolerance = 3e-2 }

local function norm(list)
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v * v end
  return math.sqrt(sum)
end

-- Calls visit(get, set) for each element, by position.
local function each_element(t, visit)
  local shape, position = t.shape, {}
  local function descend(axis)
    if axis > #shape then return visit(position) end
    for i = 1, shape[axis] do
      position[axis] = i
      descend(axis + 1)
    end
  end
  descend(1)
end

local function numeric(value, x, step)
  local out = {}
  each_element(x, function(position)
    local here = x:get(table.unpack(position))
    local function at(v)
      position[#x.shape + 1] = v
      x:set(table.unpack(position))
      position[#x.shape + 1] = nil
      return value()
    end
    local high, low = at(here + step), at(here - step)
    at(here)
    out[#out + 1] = (high - low) / (2 * step)
  end)
  return out
end

local function flat(t)
  local out = {}
  each_element(t, function(position) out[#out + 1] = t:get(table.unpack(position)) end)
  return out
end

--- Compares the gradient of f with differences. The inputs are left without gradients.
---
--- Example:
---     w = nn.normal({ 3 }, { seed = 1, requires_grad = true })
---     rows = gradcheck.compare(function(x) return x:tanh() end, { w })
---     rows[1].error < 0.01  --> true
---@param f fun(...: Tensor): Tensor  # a pure function of its inputs
---@param inputs Tensor[]             # leaves; those with requires_grad are checked
---@param options? { step?: number, seed?: integer }
---@return { input: integer, error: number, norm: number }[] # ‖analytic - numeric‖ / ‖numeric‖ for each checked input
function M.compare(f, inputs, options)
  options = options or {}
  local step = options.step or SIZES.step
  local direction = nn.no_grad(function()
    return nn.normal(f(table.unpack(inputs)).shape, { seed = options.seed or 7 })
  end)
  local function value() return nn.no_grad(function() return (f(table.unpack(inputs)) * direction):sum():item() end) end

  for _, x in ipairs(inputs) do
    if x.requires_grad then x:clear_grad() end
  end
  f(table.unpack(inputs)):backward(direction)
  local rows = {}
  for i, x in ipairs(inputs) do
    if x.requires_grad then
      local expected = numeric(value, x, step)
      local got, difference = x.grad and flat(x.grad) or {}, {}
      for k, v in ipairs(expected) do difference[k] = v - (got[k] or 0) end
      rows[#rows + 1] = { input = i, error = norm(difference) / math.max(norm(expected), 1e-3), norm = norm(expected) }
      x:clear_grad()
    end
  end
  return rows
end

--- Raises when a gradient is wrong.
---
--- Example:
---     w = nn.normal({ 3 }, { seed = 1, requires_grad = true })
---     gradcheck.check(function(x) return x:tanh() end, { w })
---     gradcheck.check(function(x) return x:tanh() + x:detach() end, { w })
---     --> error: gradcheck: input 1: relative error 0.82, tolerance 0.03
---@param f fun(...: Tensor): Tensor
---@param inputs Tensor[]
---@param options? { step?: number, tolerance?: number, seed?: integer }
function M.check(f, inputs, options)
  local tolerance = options and options.tolerance or SIZES.tolerance
  for _, row in ipairs(M.compare(f, inputs, options)) do
    if not (row.error <= tolerance) then
      error(("gradcheck: input %d: relative error %.2g, tolerance %.2g"):format(row.input, row.error, tolerance), 2)
    end
  end
end

return M
