--- The same bits with any number of threads, by every level of kernels and on other BLAS kernels.
local program <const> = require "tests.cli.program"

-- Whatever was learned is in the checksum of training_bits.lua's model.
local function checksum(threads, work, environment)
  local run = program.shell(("%s $PENUMBRA --threads %d tests/cli/training_bits.lua %s"):format(environment or "",
                                                                                               threads, work))
  assert.equal(0, run.code, run.err)
  local sum = run.out:gsub("%s+$", "")
  assert.equal(16, #sum)
  return sum
end

local function can(environment) return program.shell(environment .. " $PENUMBRA -e ''").code == 0 end

describe("training", function()
  it("gives the same bits with 1, 2, 3 and 4 threads after 200 steps", function()
    local one = checksum(1, "200 9 20")
    for threads = 2, 4 do assert.equal(one, checksum(threads, "200 9 20")) end
  end)

  local environments = { "PENUMBRA_CPU=avx512", "PENUMBRA_CPU=avx2", "PENUMBRA_CPU=portable",
                         "OPENBLAS_CORETYPE=Haswell" }
  for _, environment in ipairs(environments) do
    it("gives the same bits with 1, 2 and 3 threads with " .. environment, function()
      if not can(environment) then return pending "not on this processor" end
      local one = checksum(1, "3 37 28", environment)
      for threads = 2, 3 do assert.equal(one, checksum(threads, "3 37 28", environment)) end
    end)
  end
end)
