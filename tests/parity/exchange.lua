--- The network of scripts/dev/exchange.py in Lua. As a script it writes the weights drawn here to the path it is given.
local nn = require "nn"

local M = {}

--- Without weights to speak of.
---@return Model
function M.build()
  return nn.Sequential {
    { "conv1", nn.Conv2d(3, 6, { padding = 1 }) }, { "relu1", nn.ReLU() },
    { "depthwise", nn.Conv2d(6, 6, { padding = 1, groups = 6 }) }, { "relu2", nn.ReLU() },
    { "block", nn.Residual {
      { "conv1", nn.Conv2d(6, 8, { stride = 2, padding = 1, groups = 2, bias = false }) }, { "bn1", nn.BatchNorm2d(8) },
      downsample = nn.Sequential { nn.Conv2d(6, 8, { kernel_size = 1, stride = 2, bias = false }), nn.BatchNorm2d(8) },
    } },
    { "flatten", nn.Flatten() },
    { "bn", nn.BatchNorm2d(96) },
    { "fc1", nn.Linear(96, 5) }, { "relu3", nn.ReLU() },
    { "fc2", nn.Linear(5, 4) },
  }
end

--- With weights and running statistics drawn from a seed.
---@return Model
function M.drawn()
  local model = M.build()
  model:initialise(9)
  nn.no_grad(function()
    for i, buffer in ipairs(model:buffers()) do
      buffer.tensor:copy(nn.uniform(buffer.tensor.shape, { low = 0.5, high = 1.5, seed = 9, stream = 1000 + i }))
    end
  end)
  return model
end

if arg and arg[0]:find "exchange%.lua$" then assert(M.drawn():save(arg[1])) end

return M
