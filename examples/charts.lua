-- One chart of each kind, of small computations: two models learn to read coloured digits, one of them with a loss for
-- semantic continuity. With a folder they are written there; without, drawn in the terminal.
-- penumbra examples/charts.lua [FOLDER]
local data, loss, models = require "data", require "loss", require "models"
local optim, perturb, plot, probe = require "optim", require "perturb", require "plot", require "probe"
local train = require "train"

local set = data.colour_mnist { bias = 0.9, limit = 1500, test_limit = 300 }
local change = perturb.brightness(64) | perturb.hue(0.5)
local objectives = {
  { "plain", loss.cross_entropy() },
  { "with C", loss.cross_entropy() + 0.3 * loss.continuity { perturb = change } },
}

-- A chart's options with its place; without a folder there is none, and it goes to the terminal.
local function draw(kind, options)
  options.path, options.size = arg[1] and arg[1] .. "/" .. kind, "column"
  local files, message = plot[kind](options)
  if files then print(table.concat(files, " ")) elseif message then error(message, 0) end
end

local names, curves, accuracy, distance, trained = {}, {}, {}, {}, nil
for i, objective in ipairs(objectives) do
  local model = models.lenet { classes = set.classes, normalize = set.stats, seed = 1 }
  local run = train { model = model, data = set, loss = objective[2], optimizer = optim.adam { lr = 2e-3 }, epochs = 5,
    batch = 32, quiet = true }
  names[i], curves[i] = objective[1], { name = objective[1], y = {} }
  for epoch, row in ipairs(run.history) do curves[i].y[epoch] = row.accuracy end
  accuracy[i] = probe.accuracy()(model, set.test, { quiet = true })
  distance[i] = probe.continuity { levels = { 4 }, limit = 100 }(model, set.test, { quiet = true })
  trained = model
end

draw("lines", { title = "While they learn", x = { label = "epoch" }, y = { label = "training accuracy (%)" },
  series = curves })

local kinds, bars = {}, {}
for i, result in ipairs(distance) do
  bars[i] = { name = names[i], values = {} }
  for k, row in ipairs(result.rows) do kinds[k], bars[i].values[k] = row.perturbation, row.ds_relative end
end
draw("bars", { title = "Distance score at level 4", note = "with 95 % intervals", y = { label = "relative distance" },
  categories = kinds, series = bars })

draw("points", { title = "Digits that are read, blue instead of red", note = "with 95 % intervals", categories = names,
  y = { label = "accuracy (%)" }, series = { { values = { accuracy[1].top1, accuracy[2].top1 } } } })

-- How sure the model is of a digit, and how far its answer moves when the colour does.
local pairs_of, read = {}, {}
for x, y in set.test:batches { size = 100 } do
  local before, after = trained(x), trained(perturb.hue(0.5)(x))
  local sure, moved = before:softmax(2):max(2), (after - before):square():sum(2)
  local said = before:argmax(2)
  for i = 1, #y do
    table.insert(pairs_of, { sure:get(i), moved:get(i) })
    table.insert(read, said:get(i) == y:get(i) and "right" or "wrong")
  end
end
draw("scatter", { title = "Sure and steady?", points = pairs_of, classes = read, x = { label = "confidence" },
  y = { label = "squared distance of the logits", log = true } })

draw("heatmap", { title = "What is taken for what", values = accuracy[2].confusion, rows = set.class_names,
  columns = set.class_names, x = { label = "said" }, y = { label = "is" }, value = { label = "images" } })

local digits = set.test:batches { size = 5 }()
local rows, titles = { digits }, { "clean" }
for name, level, each in perturb.levels { 4 } do
  rows[#rows + 1], titles[#titles + 1] = each(digits), ("%s, level %d"):format(name, level)
end
draw("images", { title = "The perturbations", images = rows, rows = titles })
