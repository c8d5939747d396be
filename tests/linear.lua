--- A linear model with given weights, logits = W x: its losses, distances and accuracies can be worked out by hand.
local models = require "models"
local nn = require "nn"

---@param weights number[][]  # [classes][inputs]
---@return Model
return function(weights)
  local model = models.mlp { classes = #weights, inputs = #weights[1], hidden = {}, seed = 1 }
  local w, b = table.unpack(model:parameters())
  nn.no_grad(function()
    w:copy(nn.tensor(weights))
    b:fill(0)
  end)
  return model
end
