--- The four colour operations in torchvision's convention against torchvision itself.
local nn, perturb = require "nn", require "perturb"
local reference = require "parity.reference"

local TOLERANCE = 2e-6 -- what rounding in floats does to a hue; a step of a pixel is 4e-3

describe("torchvision's pixels", function()
  local index, stored = reference.open("colour")
  local x = reference.uniform(index.seed, "colour/x", index.size, 0, 1)
  -- Black, white, grey, pure colours and ties, in the first row of each image.
  for image = 1, #x do x[image][1]:copy(nn.tensor(index.special)) end

  for _, row in ipairs(index.rows) do
    it(("%s %g"):format(row.op, row.factor), function()
      local change = perturb[row.op](row.factor, { convention = "torchvision" })
      local worst = (change(x) - stored(row.y)):abs():max():item()
      assert(worst <= TOLERANCE, ("differs by %.1e; at most %g is allowed"):format(worst, TOLERANCE))
    end)
  end
end)
