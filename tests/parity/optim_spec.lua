--- Twenty steps of each optimiser on a small network against torch: parameters and statistics within 1e-5.
local nn, optim = require "nn", require "optim"
local reference = require "parity.reference"

local function small()
  return nn.Sequential {
    { "conv1", nn.Conv2d(3, 8, { kernel_size = 3, padding = 1, bias = false }) },
    { "bn1", nn.BatchNorm2d(8) },
    { "relu1", nn.ReLU() },
    { "conv2", nn.Conv2d(8, 12, { kernel_size = 3, stride = 2, padding = 1, bias = false }) },
    { "bn2", nn.BatchNorm2d(12) },
    { "relu2", nn.ReLU() },
    { "pool", nn.GlobalAvgPool2d() },
    { "fc", nn.Linear(12, 5) },
  }
end

describe("torch's parameters after twenty steps", function()
  local index, stored = reference.open("optim")
  local seed = index.seed
  for _, row in ipairs(index.rows) do
    local words = { row.method }
    for _, name in ipairs { "momentum", "nesterov", "weight_decay" } do
      if row.options[name] then words[#words + 1] = name end
    end
    it(table.concat(words, " "), function()
      local model = small()
      local state = model:state()
      for name, t in pairs(state) do t:copy(reference.parameter(seed, name, t.shape)) end
      local options = { model:parameters() }
      for name, value in pairs(row.options) do options[name] = value end
      local optimizer = optim[row.method](options)
      local value
      for step = 1, row.steps do
        local x = reference.uniform(seed, "x" .. step, { 8, 8, 8, 3 })
        local y = reference.index(seed, "y" .. step, 8, 5)
        optimizer:zero_grad()
        value = nn.cross_entropy(model:forward(x, { training = true }), y)
        value:backward()
        optimizer:step()
      end
      local errors = { loss = reference.error(value:reshape { 1 }, stored(row.loss)) }
      for _, s in ipairs(row.state) do errors[s.name] = reference.error(state[s.name], stored(s.value)) end
      reference.within(errors, 1e-5)
    end)
  end
end)
