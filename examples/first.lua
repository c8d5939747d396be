-- A first look: train on digits, then see how far the logits move when only the colour of a picture does.
local data, models, loss, optim = require "data", require "models", require "loss", require "optim"
local perturb, probe, train = require "perturb", require "probe", require "train"
local set = data.colour_mnist { bias = 0.95 }             -- white digits, on red in training, on blue in the test
local model = models.resnet8 { classes = set.classes, normalize = set.stats }
local change = perturb.brightness(32) | perturb.hue(0.2)  -- one of the two for each image
local objective = loss.cross_entropy() + 0.1 * loss.continuity { perturb = change }
train { model = model, data = set, loss = objective, optimizer = optim.adam { lr = 3e-3 }, epochs = 2, batch = 32 }
print(probe.accuracy()(model, set.test))
print(probe.continuity { levels = { 1, 4 }, limit = 500 }(model, set.test))
