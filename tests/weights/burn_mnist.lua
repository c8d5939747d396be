--- The MNIST network of burn's example: three convolutions without padding, batch norm, two linear layers, and a batch
--- norm over the logits.
local nn = require "nn"

return {
  data = "mnist",
  files = { "burn_mnist.pt", "burn_mnist.safetensors" },
  build = function()
    return nn.Sequential {
      { "normalize", nn.Normalize({ 0.1307 }, { 0.3081 }) },
      { "conv1", nn.Conv2d(1, 8) }, { "relu1", nn.ReLU() },
      { "conv2", nn.Conv2d(8, 16) }, { "relu2", nn.ReLU() },
      { "conv3", nn.Conv2d(16, 24) }, { "relu3", nn.ReLU() },
      { "norm1", nn.BatchNorm2d(24) },
      { "flatten", nn.Flatten() },
      { "fc1", nn.Linear(11616, 32) }, { "relu4", nn.ReLU() },
      { "fc2", nn.Linear(32, 10) },
      { "norm2", nn.BatchNorm2d(10) },
    }
  end,
}
