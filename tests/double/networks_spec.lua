--- ResNet-50 in training mode against torch's float64, in the double build: within 1e-8. In float the two differ by
--- percents, as torch differs from itself: a ReLU argument that rounding moves across zero makes a gradient jump.
local networks, reference = require "parity.networks", require "parity.reference"

describe("torch's float64 logits, gradients and statistics", function()
  local index, stored = reference.open("double")
  for _, case in ipairs(index.networks) do
    it(case.title, function() reference.within(networks.errors(case, stored), 1e-8) end)
  end
end)
