-- Semantic continuity on CIFAR-100: L = CE + alpha * DS, the loop written out.
-- penumbra examples/continuity.lua [TRAINING IMAGES] [TEST IMAGES]; all 20,000 or more take a while.
local data, models = require "data", require "models"
local perturb = require "perturb"
local loss, optim, probe = require "loss", require "optim", require "probe"

local set = data.open("cifar100")                       -- or a path, or data.synthetic{...}
local train, test = set.train, set.test
if arg[1] then train = train:take(tonumber(arg[1])) end
if arg[2] then test = test:take(tonumber(arg[2])) end
local model = models.resnet18 { classes = set.classes, stem = "cifar", normalize = set.stats }

-- P(x): a value built with operators; one of the four for each image
local jitter = perturb.brightness(32) | perturb.contrast(1.5) | perturb.saturation(1.5) | perturb.hue(0.2)
local objective = loss.cross_entropy() + 1.0 * loss.continuity { perturb = jitter }

local opt = optim.adam { model:parameters(), lr = 1e-3 }
for x, y, batch in train:batches { size = 128, shuffle = true, seed = 1 } do
  local value, terms = objective(model, x, y)           -- terms: every part, raw and weighted
  value:backward()
  opt:step()
  print(("batch %d: loss %.3f, cross-entropy %.3f, DS %.4f"):format(batch, value:item(), terms.cross_entropy.raw,
    terms.continuity.raw))
end

print(probe.accuracy()(model, test))                    -- also top-5, per class, confusion
print(probe.continuity { levels = "paper" }(model, test)) -- DS for 4 perturbations x 4 levels
