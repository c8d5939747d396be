-- Weights in a file, and a picture of what they get wrong: train on augmented digits, save the model, make it again
-- from the file, and lay out the test digits that it takes for others.
-- penumbra examples/mistakes.lua [FOLDER]
local checkpoint, data, image = require "checkpoint", require "data", require "image"
local loss, models, optim = require "loss", require "models", require "optim"
local perturb, train = require "perturb", require "train"

local set = data.open("mnist", { limit = 4000, test_limit = 1000 })
local lenet = models.lenet { classes = set.classes, channels = 1, size = 28, normalize = set.stats }
train { model = lenet, data = set, loss = loss.cross_entropy(), optimizer = optim.adam { lr = 2e-3 }, epochs = 2,
  batch = 32, augment = perturb.random_crop { padding = 2 } }

-- The file has torch's names and layout, and says of which model the weights are.
local folder = arg[1] or "."
local weights = folder .. "/lenet.safetensors"
assert(lenet:save(weights))
local model = assert(checkpoint.model(weights))

local pictures, labels = {}, {}
for x, y in set.test:batches { size = 100 } do
  local taken_for = model(x):argmax(2)
  for i = 1, #y do
    if taken_for:get(i) ~= y:get(i) then
      pictures[#pictures + 1] = image.enlarge(x[i], 2)
      labels[#labels + 1] = ("%s as %s"):format(set.class_names[y:get(i)], set.class_names[taken_for:get(i)])
    end
  end
end

local path = folder .. "/mistakes.png"
assert(image.save(path, image.grid(pictures, { labels = labels, background = 0.25 })))
print(("%d of %d digits are taken for others: %s"):format(#pictures, #set.test, path))
