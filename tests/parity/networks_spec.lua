--- ResNets against torch in float: every number within 1e-4 of its tensor's norm.
local networks, reference = require "parity.networks", require "parity.reference"

describe("torch's logits, gradients and statistics", function()
  local index, stored = reference.open("nets")
  for _, case in ipairs(index.networks) do
    it(case.title, function() reference.within(networks.errors(case, stored), 1e-4) end)
  end
end)
