--- The same bits with any number of threads, on this processor's BLAS kernels and on others.
local program <const> = require "tests.cli.program"

local function checksum(threads, environment)
  local run = program.shell(("%s $PENUMBRA --threads %d tests/cli/training_bits.lua"):format(environment, threads))
  assert.equal(0, run.code, run.err)
  return (run.out:gsub("%s+$", ""))
end

describe("training", function()
  for _, environment in ipairs { "", "OPENBLAS_CORETYPE=Haswell" } do
    it("gives the same bits with 1, 2 and 3 threads " .. environment, function()
      local one = checksum(1, environment)
      assert.equal(16, #one)
      assert.equal(one, checksum(2, environment))
      assert.equal(one, checksum(3, environment))
    end)
  end
end)
