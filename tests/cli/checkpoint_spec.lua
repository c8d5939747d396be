--- A training that is killed while it writes checkpoints leaves one that is whole.
package.path = "tests/cli/?.lua;" .. package.path
local checkpoint = require "checkpoint"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local program = require "program"

-- Every parameter of a checkpoint is its step: a mixed one shows.
local writer = [[
local checkpoint, nn = require "checkpoint", require "nn"
local model = nn.Sequential { nn.Linear(300, 300), nn.Linear(300, 300) }
local first = ...
for step = math.tointeger(first), math.maxinteger do
  nn.no_grad(function()
    for _, p in ipairs(model:parameters()) do p:fill(step) end
  end)
  assert(checkpoint.save("run", { model = model, step = step }))
  if step == math.tointeger(first) + 2 then io.open("ready", "w"):close() end
end
]]

it("a killed training leaves a whole checkpoint", function()
  program.with_files({ ["write.lua"] = writer }, function(folder)
    local step = 1
    for kill = 1, 4 do
      local r = program.shell(([[
        cd %s; rm -f ready
        "$PENUMBRA" write.lua %d & child=$!
        while [ ! -e ready ]; do sleep 0.02; done
        sleep 0.0%d
        kill -9 $child; wait $child]]):format(program.quote(folder), step, 2 * kill))
      assert.equal(137, r.code, r.err)
      local model = nn.Sequential { nn.Linear(300, 300), nn.Linear(300, 300) }
      local state = assert(checkpoint.load(folder .. "/run", { model = model, quiet = true }))
      assert.is_true(state.step >= step + 2)
      for _, p in ipairs(model:parameters()) do
        assert.equal(state.step, p:min():item())
        assert.equal(state.step, p:max():item())
      end
      step = state.step + 1
    end
    -- What the kills left half-written is gone once a checkpoint is complete.
    assert(checkpoint.save(folder .. "/run", { model = nn.Linear(1, 1) }))
    local names = {}
    for name in lfs.dir(folder .. "/run") do
      if name ~= "." and name ~= ".." then names[#names + 1] = name end
    end
    assert.equal(4, #names, json.encode(names))
  end)
end)
