-- Perturbations are values: look at the paper's four at each of their levels, and at some made with operators.
-- penumbra examples/perturbations.lua [PICTURE.png]
local data, image, nn, perturb = require "data", require "image", require "nn", require "perturb"

local digits = data.colour_mnist { bias = 0.5, limit = 100, test_limit = 100 }.train
local x = digits:batches { size = 8 }()  -- the first batch

local rows = { x }
for name, level, change in perturb.levels "paper" do
  print(("%-12s level %d   %s"):format(name, level, change))
  rows[#rows + 1] = change(x)
end

local jitter = perturb.brightness(32) | perturb.contrast(1.5) | perturb.hue(0.2)
local made = { jitter, perturb.saturation(1.5) >> perturb.hue(0.1), perturb.maybe(0.5, jitter) }
for _, change in ipairs(made) do
  print(change)
  rows[#rows + 1] = change(x, nil, nil, { seed = 1, step = 1 })
end

local path = arg[1] or "perturbations.png"
assert(image.save(path, image.enlarge(image.grid(nn.cat(rows, 1), { columns = 8 }), 2)))
print("each row one perturbation, the first the pictures themselves: " .. path)
