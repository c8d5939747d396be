--- Single operations against torch: results and gradients, ||error|| / ||reference|| <= 1e-5.
local nn = require "nn"
local reference = require "parity.reference"

local TOLERANCE = 1e-5

local index, stored = reference.open("ops")
local seed = index.seed

local function argument(path, a)
  if a.value then return a.value end
  local name = path .. a.name
  if a.below then return reference.index(seed, name, a.size[1], a.below) end
  local t = reference.uniform(seed, name, a.size, a.low, a.high)
  t.requires_grad = true
  return t
end

describe("torch's result and gradients", function()
  for _, case in ipairs(index.cases) do
    it(("%s %s"):format(case.op, case.title), function()
      local path = case.op .. "/" .. case.title .. "/"
      local arguments, count = {}, #case.arguments
      for i, a in ipairs(case.arguments) do arguments[i] = argument(path, a) end
      if next(case.options) then
        count = count + 1
        arguments[count] = case.options
      end
      local y = nn[case.op](table.unpack(arguments, 1, count))
      y:backward(reference.uniform(seed, path .. "dy", y.shape))

      local errors = { y = reference.error(y, stored(case.results.y)) }
      for i, a in ipairs(case.arguments) do
        local expected = a.name and case.results["d" .. a.name]
        if expected then errors["d" .. a.name] = reference.error(arguments[i].grad, stored(expected)) end
      end
      reference.within(errors, TOLERANCE)
    end)
  end

  for _, case in ipairs(index.batch_norm) do
    it(("batch_norm %s, %s"):format(case.title, case.training and "training" or "evaluation"), function()
      local path, channels = "batch_norm/" .. case.title .. "/", { case.size[4] }
      local x = reference.uniform(seed, path .. "x", case.size, -2, 3)
      local weight = reference.uniform(seed, path .. "weight", channels, 0.5, 1.5)
      local bias = reference.uniform(seed, path .. "bias", channels)
      local mean = reference.uniform(seed, path .. "mean", channels, -0.5, 0.5)
      local var = reference.uniform(seed, path .. "var", channels, 0.5, 2)
      for _, t in ipairs { x, weight, bias } do t.requires_grad = true end
      local y = nn.batch_norm(x, weight, bias, mean, var, { training = case.training, momentum = 0.1, eps = 1e-5 })
      y:backward(reference.uniform(seed, path .. "dy", y.shape))

      local errors, results = {}, case.results
      local values = { y = y, dx = x.grad, dweight = weight.grad, dbias = bias.grad, mean = mean, var = var }
      for name, value in pairs(values) do errors[name] = reference.error(value, stored(results[name])) end
      reference.within(errors, TOLERANCE)
    end)
  end
end)
