--- Cards of the data sets that are known by name: where they come from, under which terms, how many images they hold,
--- and what their pixels measure. (What can be downloaded stands in data.sources.)
---
--- A published mean and standard deviation stands here as its source prints it; `compare` sets it beside what a copy
--- measures. CIFAR-10's deviation is the one of all its training pixels, 0.2470 0.2435 0.2616: the 0.2023 0.1994 0.2010
--- that many programs use is the mean of the images' own deviations.
---@package
local folder = require "data.folder"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

---@class Card
---@field title string
---@field origin string
---@field licence string
---@field about string
---@field counts { train?: integer, test?: integer, classes: integer }
---@field shape? integer[]               # { H, W, C } of an image; nil: pictures of many sizes
---@field published? { mean: number[], std: number[], source: string, own_std?: boolean }  # own_std: the deviation is
---                                      # not that of all pixels
---@field class_names? string[]
---@field also? string[]                 # other names that folders of it have

local function words(list)
  local names = {}
  for name in list:gmatch("%S+") do names[#names + 1] = (name:gsub("_", " ")) end
  return names
end

local digits = folder.digits(10)

local cifar10_names = words "airplane automobile bird cat deer dog frog horse ship truck"

local cifar100_names = words [[apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
  butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
  dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
  man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
  plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail
  snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
  turtle wardrobe whale willow_tree wolf woman worm]]

---@type table<string, Card>
M.list = {
  mnist = {
    title = "MNIST", about = "handwritten digits",
    origin = "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits",
    licence = "CC BY-SA 3.0",
    counts = { train = 60000, test = 10000, classes = 10 }, shape = { 28, 28, 1 }, class_names = digits,
    published = { mean = { 0.1307 }, std = { 0.3081 }, source = "torchvision's examples" },
  },
  ["fashion-mnist"] = {
    title = "Fashion-MNIST", about = "pictures of clothes, in MNIST's format",
    origin = "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017", licence = "MIT", also = { "fashion" },
    counts = { train = 60000, test = 10000, classes = 10 }, shape = { 28, 28, 1 },
    class_names = words "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot",
    published = { mean = { 0.2860 }, std = { 0.3530 }, source = "as commonly quoted" },
  },
  kmnist = {
    title = "Kuzushiji-MNIST", about = "cursive Japanese characters, in MNIST's format",
    origin = "T. Clanuwat and others: Deep Learning for Classical Japanese Literature, 2018", licence = "CC BY-SA 4.0",
    counts = { train = 60000, test = 10000, classes = 10 }, shape = { 28, 28, 1 },
    class_names = words "お き す つ な は ま や れ を",
    published = { mean = { 0.1918 }, std = { 0.3483 }, source = "as commonly quoted" },
  },
  emnist = {
    title = "EMNIST",
    about = "handwritten letters and digits, in six splits: data.open(name, { split = \"balanced\" })",
    origin = "G. Cohen, S. Afshar, J. Tapson, A. van Schaik: EMNIST, 2017 (from NIST Special Database 19)",
    licence = "none stated",
    counts = { train = 112800, test = 18800, classes = 47 }, shape = { 28, 28, 1 },
  },
  cifar10 = {
    title = "CIFAR-10", about = "small photographs of ten classes",
    also = { "cifar-10-batches-bin", "cifar-10-binary" },
    origin = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009", licence = "none stated",
    counts = { train = 50000, test = 10000, classes = 10 }, shape = { 32, 32, 3 }, class_names = cifar10_names,
    published = { mean = { 0.4914, 0.4822, 0.4465 }, std = { 0.2470, 0.2435, 0.2616 },
                  source = "of all training pixels" },
  },
  cifar100 = {
    title = "CIFAR-100", about = "small photographs of 100 classes in 20 groups",
    also = { "cifar-100-binary" },
    origin = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009", licence = "none stated",
    counts = { train = 50000, test = 10000, classes = 100 }, shape = { 32, 32, 3 }, class_names = cifar100_names,
    published = { mean = { 0.5071, 0.4865, 0.4409 }, std = { 0.2673, 0.2564, 0.2762 },
                  source = "of all training pixels" },
  },
  ["cifar10-c"] = {
    title = "CIFAR-10-C", also = { "cifar-10-c" },
    about = "CIFAR-10's test images under 19 corruptions: data.open(name, { corruption = \"fog\", severity = 3 })",
    origin = "D. Hendrycks, T. Dietterich: Benchmarking Neural Network Robustness to Common Corruptions, 2019",
    licence = "CC BY 4.0", counts = { test = 50000, classes = 10 }, shape = { 32, 32, 3 }, class_names = cifar10_names,
  },
  ["cifar100-c"] = {
    title = "CIFAR-100-C", also = { "cifar-100-c" },
    about = "CIFAR-100's test images under 19 corruptions: data.open(name, { corruption = \"fog\", severity = 3 })",
    origin = "D. Hendrycks, T. Dietterich: Benchmarking Neural Network Robustness to Common Corruptions, 2019",
    licence = "CC BY 4.0", counts = { test = 50000, classes = 100 }, shape = { 32, 32, 3 },
    class_names = cifar100_names,
  },
  svhn = {
    title = "SVHN", about = "house numbers, cropped digits",
    origin = "Y. Netzer and others: Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
    licence = "non-commercial use only",
    counts = { train = 73257, test = 26032, classes = 10 }, shape = { 32, 32, 3 }, class_names = digits,
    published = { mean = { 0.4377, 0.4438, 0.4728 }, std = { 0.1980, 0.2010, 0.1970 }, source = "as commonly quoted" },
  },
  ["tiny-imagenet"] = {
    title = "Tiny ImageNet", about = "200 classes of ImageNet at 64 x 64", also = { "tiny-imagenet-200" },
    origin = "Stanford CS231N; pictures from ImageNet",
    licence = "as ImageNet: non-commercial research and education",
    counts = { train = 100000, test = 10000, classes = 200 }, shape = { 64, 64, 3 },
    published = { mean = { 0.4802, 0.4481, 0.3975 }, std = { 0.2770, 0.2691, 0.2821 }, source = "as commonly quoted" },
  },
  imagenet = {
    title = "ImageNet (ILSVRC 2012)", about = "photographs of 1,000 classes",
    also = { "ilsvrc2012", "imagenet-sample" },
    origin = "O. Russakovsky and others: ImageNet Large Scale Visual Recognition Challenge, 2015",
    licence = "by agreement: non-commercial research and education",
    counts = { train = 1281167, test = 50000, classes = 1000 },
    -- This deviation is smaller than that of the pixels, so that there is nothing to compare.
    published = { mean = { 0.485, 0.456, 0.406 }, std = { 0.229, 0.224, 0.225 }, own_std = true,
                  source = "as torchvision's networks are trained with" },
  },
}

--- The names that cards have, sorted.
---@return string[]
function M.names()
  local names = {}
  for name in pairs(M.list) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- A name without case, punctuation and an archive's ending: what its spellings have in common.
---@param name string
---@return string
function M.plain(name)
  name = name:lower():gsub("%.tar%.gz$", ""):gsub("%.t?[gar]+z?$", ""):gsub("%.zip$", "")
  return (name:gsub("[-_ .]", ""))
end

local plain = M.plain

--- The card for a name as people write it ("CIFAR-10", "FashionMNIST"), or nil.
---@param name string
---@return Card? card, string? known_name
function M.find(name)
  local wanted = plain(name)
  for _, known in ipairs(M.names()) do
    local card = M.list[known]
    if plain(known) == wanted then return card, known end
    for _, other in ipairs(card.also or {}) do
      if plain(other) == wanted then return card, known end
    end
  end
end

--- The card of what lies at a path: by its last part, or by the one above it.
---@param path string
---@return Card? card, string? known_name
function M.of(path)
  for _ = 1, 2 do
    local card, known = M.find(folder.name(path))
    if card then return card, known end
    path = folder.parent(path:gsub("/+$", ""))
    if path:find("/%.%.$") then return nil end
  end
end

local function numbers(list)
  local parts = {}
  for i, x in ipairs(list) do parts[i] = format("%.4f", x) end
  return concat(parts, " ")
end

local function differ(a, b, tolerance)
  if #a ~= #b then return true end
  for i = 1, #a do
    if math.abs(a[i] - b[i]) > tolerance then return true end
  end
  return false
end

--- What differs between an opened set and its card, one line each: counts, classes, and the pixels' statistics, which
--- are computed here. None when it is the set that was published.
---@param set DataSet
---@param card Card
---@return string[]
function M.compare(set, card)
  local lines = {}
  for _, which in ipairs { "train", "test" } do
    local expected, part = card.counts[which], set[which]
    local found = part and #part + (which == "train" and set.validation and #set.validation or 0) or 0
    if expected and found ~= expected then
      lines[#lines + 1] = format("%s: %s of %s images", which, text.count(found), text.count(expected))
    end
  end
  if set.classes ~= card.counts.classes then
    lines[#lines + 1] = format("classes: %d, published %d", set.classes, card.counts.classes)
  end
  local shape = (set.train or set.test).shape
  if card.shape and differ(shape, card.shape, 0) then
    lines[#lines + 1] = format("images: %s, published %s", concat(shape, " x "), concat(card.shape, " x "))
  end
  local published = card.published
  if published and set.train then
    local stats, over_images = set.stats, set.stats_images
    local whole = over_images == nil or over_images == #set.train
    local tolerance = whole and 0.0006 or 0.01
    local over = whole and "" or format(" over %s images", text.count(over_images))
    for _, what in ipairs { "mean", not published.own_std and "std" or nil } do
      if differ(stats[what], published[what], tolerance) then
        lines[#lines + 1] = format("%s of the pixels: %s%s, published %s", what, numbers(stats[what]), over,
          numbers(published[what]))
      end
    end
  end
  return lines
end

return M
