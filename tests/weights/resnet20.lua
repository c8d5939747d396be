--- akamaster's ResNet-20 for CIFAR-10: shortcuts without weights, ImageNet's mean and deviation.
local models = require "models"

return {
  data = "cifar10",
  files = { "resnet20-12fca82f.th" },
  build = function()
    return models.resnet20 { classes = 10, shortcut = "A",
                             normalize = { mean = { 0.485, 0.456, 0.406 }, std = { 0.229, 0.224, 0.225 } } }
  end,
}
