--- Every op row: its gradient against differences, and an error of 0.1 % planted in it is caught.
local nn <const> = require "nn"
local gradcheck <const> = require "gradcheck"
local rows <const> = require "tests.rows"

local TOLERANCE <const> = 1e-6

-- The worst relative error over the case's inputs, and the input it was found at.
local function worst(case)
  local found = { error = 0 }
  for _, row in ipairs(gradcheck.compare(function() return case.call() end, case.tensors)) do
    if not (row.error <= found.error) then found = row end
  end
  return found
end

local function prepare(case)
  for _, t in ipairs(case.tensors) do t.requires_grad = true end
end

describe("the gradient test", function()
  it("is in double precision", function() assert.equal("double", nn.info().precision) end)
end)

for _, op in ipairs(nn.ops()) do
  describe(op.name, function()
    if not op.differentiable then
      it("is marked as not differentiable and has cases", function() assert.is_true(#rows.cases(op) > 0) end)
      return
    end
    for _, case in ipairs(rows.cases(op)) do
      it("has the right gradient: " .. case.text, function()
        prepare(case)
        local found = worst(case)
        assert.is_true(found.error <= TOLERANCE,
          ("input %s: relative error %.3g"):format(tostring(found.input), found.error))
      end)
    end

    it("is caught when 0.1 % wrong in any input", function()
      local caught, inputs = {}, 0
      for _, case in ipairs(rows.cases(op)) do
        prepare(case)
        for i, t in ipairs(case.tensors) do
          if t.requires_grad then
            inputs = math.max(inputs, i)
            nn.plant_error(op.name, case.places[i], 1.001)
            local found = worst(case)
            nn.plant_error()
            if found.error > 100 * TOLERANCE then caught[i] = true end
          end
        end
      end
      assert.is_true(inputs > 0)
      for i = 1, inputs do assert.is_true(caught[i], ("an error in input %d was not caught"):format(i)) end
    end)
  end)
end
