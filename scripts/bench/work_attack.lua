--- The case autoattack of cases.lua, as Penumbra does it.
--- usage: penumbra scripts/bench/work_attack.lua CASE batch=N threads=N WEIGHTS
---
--- turns.lua says how it is told; peer_attack.py does the same with torchattacks.
package.path = arg[0]:match "^(.*)/[^/]*$" .. "/../../tests/?.lua;" .. package.path
local attack, nn = require "attack", require "nn"
local attacked = require "parity.attacked"
local turns = require "turns"

local EPS <const> = 0.3

local batch, threads, weights = tonumber(arg[2]:match "%d+"), tonumber(arg[3]:match "%d+"), arg[4]
nn.threads(threads)
local start_mb = turns.memory_mb "VmRSS"
local name = weights:match "[^/]*$"
local model = attacked.network(name)
local x, y = attacked.images(name, batch)

local function step(iterations)
  local ensemble = attack.autoattack { eps = EPS, iters = iterations, queries = iterations and 10 * iterations }
  ensemble(x, y, model, { seed = 1 })
end

turns.serve(step, { start_mb = start_mb, parameters = model:count() })
