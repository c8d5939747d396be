--- Memory in a steady training loop, measured in a process of its own.
local program <const> = require "tests.cli.program"

describe("2,000 training steps of a small ResNet", function()
  it("hold the resident size within 5 % after the first 200", function()
    if require "nn".info().allocator ~= "caching" then
      return pending "this build hands every tensor to malloc, for the sanitizer"
    end
    local pipe <close> = assert(io.popen(program.quote(program.path) .. " tests/cli/steady_memory.lua 2>&1"))
    local sizes = {}
    for line in pipe:lines() do sizes[#sizes + 1] = assert(tonumber(line), line) end
    if #sizes == 0 then return pending "needs /proc/self/statm" end
    assert.equal(19, #sizes)
    for _, size in ipairs(sizes) do
      assert.is_true(math.abs(size / sizes[1] - 1) <= 0.05,
        ("%.2f MB at step 200, %.2f MB later"):format(sizes[1] / 2^20, size / 2^20))
    end
  end)
end)
