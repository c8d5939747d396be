--- advertorch's LeNet-5 for MNIST, trained on clean and on adversarial images; there its linear layers have other
--- names.
local nn = require "nn"

return {
  data = "mnist",
  files = { "mnist_lenet5_clntrained.pt", "mnist_lenet5_advtrained.pt" },
  options = { map = { fc1 = "linear1", fc2 = "linear2" } },
  build = function()
    return nn.Sequential {
      { "conv1", nn.Conv2d(1, 32, { padding = 1 }) }, { "relu1", nn.ReLU() }, { "pool1", nn.MaxPool2d(2) },
      { "conv2", nn.Conv2d(32, 64, { padding = 1 }) }, { "relu2", nn.ReLU() }, { "pool2", nn.MaxPool2d(2) },
      { "flatten", nn.Flatten() },
      { "fc1", nn.Linear(3136, 200) }, { "relu3", nn.ReLU() },
      { "fc2", nn.Linear(200, 10) },
    }
  end,
}
