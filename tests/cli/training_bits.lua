--- A few training steps of a small ResNet; prints every parameter's bits as one checksum. Run by bits_spec.lua.
local nn, models, optim, loss = require "nn", require "models", require "optim", require "loss"
local perturb = require "perturb"

local model = models.resnet8 { classes = 10, seed = 3 }
local objective = loss.cross_entropy() + 1.0 * loss.continuity { perturb = perturb.colour { levels = { 1, 2 } } }
local opt = optim.adam { model:parameters(), lr = 1e-3 }
for step = 1, 3 do
  local x = nn.uniform({ 37, 28, 28, 3 }, { seed = step })
  local y = nn.uniform({ 37, 10 }, { seed = 100 + step }):argmax(2)
  objective(model, x, y):backward()
  opt:step()
end

-- FNV-1a over the exact decimal-free form of every number.
local hash = 0xcbf29ce484222325
for _, row in ipairs(model:named_parameters()) do
  for _, v in ipairs(row.tensor:reshape({ -1 }):tolist()) do
    for _, byte in ipairs { ("%a"):format(v):byte(1, -1) } do hash = (hash ~ byte) * 0x100000001b3 end
  end
end
print(("%016x"):format(hash))
