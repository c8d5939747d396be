--- Training steps of a small ResNet; prints the bits of its parameters and running statistics as one checksum. Run by
--- bits_spec.lua with their number, and the number of images and their side.
local nn, models, optim, loss = require "nn", require "models", require "optim", require "loss"
local perturb = require "perturb"

local steps, images, side = table.unpack(arg)
local model = models.resnet8 { classes = 10, seed = 3 }
local objective = loss.cross_entropy() + 1.0 * loss.continuity { perturb = perturb.colour { levels = { 1, 2 } } }
local opt = optim.adam { model:parameters(), lr = 1e-3 }
for step = 1, tonumber(steps) do
  local x = nn.uniform({ tonumber(images), tonumber(side), tonumber(side), 3 }, { seed = step })
  local y = nn.uniform({ tonumber(images), 10 }, { seed = 100 + step }):argmax(2)
  objective(model, x, y):backward()
  opt:step()
end

-- FNV-1a over the exact decimal-free form of every number.
local hash = 0xcbf29ce484222325
local function add(tensor)
  for _, v in ipairs(tensor:reshape({ -1 }):tolist()) do
    for _, byte in ipairs { ("%a"):format(v):byte(1, -1) } do hash = (hash ~ byte) * 0x100000001b3 end
  end
end
for _, row in ipairs(model:named_parameters()) do add(row.tensor) end
for _, row in ipairs(model:buffers()) do add(row.tensor) end
print(("%016x"):format(hash))
