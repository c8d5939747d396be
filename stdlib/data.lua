--- Data sets: reading them, making them, taking parts of them.
---
---   local set = data.open("cifar100")                    a name, or the path of a folder
---   set.train, set.test, set.validation                  parts: see data.part
---   set.classes, set.class_names, set.stats              stats = { mean = {...}, std = {...} } of the training pixels
---
--- A name is looked for in PENUMBRA_DATA (folders separated by colons), then in the user's data folder
--- (~/.local/share/penumbra/data), then in the sample that comes with the program (mnist). A folder holds MNIST's IDX
--- files, raw or gzipped, or the binary files of CIFAR-10 or CIFAR-100.
local nn = require "nn"
local find = require "data.find"
local part = require "data.part"
local spec = require "spec"

local M = {}

local core = nn.data
local format, concat = string.format, table.concat

---@class DataSet
---@field name string
---@field classes integer
---@field class_names string[]
---@field coarse_names? string[]
---@field stats { mean: number[], std: number[] }  # for models: normalize = set.stats
---@field train Part
---@field test Part
---@field validation? Part
local Set = { __name = "data set" }
Set.__index = Set

--- Is it a data set?
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Set
end

--- The set's parts, one a line.
---@return string
function Set:describe()
  local lines = {}
  for _, name in ipairs { "train", "validation", "test" } do
    if self[name] then lines[#lines + 1] = self[name]:describe() end
  end
  return concat(lines, "\n")
end

Set.__tostring = Set.describe

-- Random streams of one seed.
local TINT_TRAIN, TINT_TEST, TEMPLATES, NOISE = 0x74696e31, 0x74696e32, 0x74656d70, 0x6e6f6973

-- ---- making a set from its two parts ----

---@class PartOptions          # what is left out or set apart is drawn by the seed, each class in its proportion
---@field limit? integer       # how many training images
---@field test_limit? integer  # how many test images
---@field validation? number   # the share of the training images that becomes the validation part
---@field seed? integer        # 1

local part_options = {
  limit = spec.integer { min = 1 },
  test_limit = spec.integer { min = 1 },
  validation = spec.number { above = 0, below = 1 },
  seed = spec.integer { default = 1 },
}

local function limited(who, from, limit, seed)
  if not limit then return from end
  if limit > from.count then
    error(format("%s: a limit of %d images expected at most, got %d (%s)", who, from.count, limit, from.name), 0)
  end
  return from:take(limit, seed)
end

-- fields: name, classes, class_names, train, test. Limits are drawn first, then the validation part from what is left.
local function finish(who, fields, options)
  local train = limited(who, fields.train, options.limit, options.seed)
  fields.test = limited(who, fields.test, options.test_limit, options.seed)
  if options.validation then
    local count = math.floor(train.count * options.validation + 0.5)
    if count < 1 or count >= train.count then
      error(format("%s: a validation part of %g leaves nothing of %d images", who, options.validation, train.count), 0)
    end
    local source = format("%s:split(%g, %d)", train.name, options.validation, options.seed)
    fields.validation, train = train:split(count, options.seed, source .. ".validation", source .. ".train")
  end
  fields.train = train
  local mean, std = core.stats(train.images)
  fields.stats = { mean = mean, std = std }
  return setmetatable(fields, Set)
end

-- ---- reading ----

local function must(...)
  local value, message = ...
  if value == nil then error(message, 0) end
  return ...
end

local function digits(count)
  local names = {}
  for i = 1, count do names[i] = tostring(i - 1) end
  return names
end

-- One name a line; blank lines at the end do not count. nil when there is no such file.
local function read_names(path, count)
  local handle = io.open(path, "r")
  if not handle then return nil end
  local names = {}
  for line in handle:lines() do
    line = line:gsub("%s+$", "")
    if line ~= "" then names[#names + 1] = line end
  end
  handle:close()
  if #names ~= count then error(format("%s: %d names expected, one a line, %d found", path, count, #names), 0) end
  return names
end

local cifar10_names = { "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck" }

local function read_idx(name, found)
  local files = found.files
  local images, labels, classes = must(core.idx_pair(files.train_images, files.train_labels))
  local test_images, test_labels = must(core.idx_pair(files.test_images, files.test_labels, classes))
  local a, b = images.shape, test_images.shape
  if a[2] ~= b[2] or a[3] ~= b[3] or a[4] ~= b[4] then
    error(format("%s holds images of %dx%dx%d, %s of %dx%dx%d", files.train_images, a[2], a[3], a[4],
      files.test_images, b[2], b[3], b[4]), 0)
  end
  local names = digits(classes)
  return {
    name = name, classes = classes, class_names = names,
    train = part.new { name = name .. ".train", images = images, labels = labels, classes = classes,
                       class_names = names },
    test = part.new { name = name .. ".test", images = test_images, labels = test_labels, classes = classes,
                      class_names = names },
  }
end

local function read_cifar(name, found)
  local classes = found.classes
  local names = read_names(found.folder .. "/" .. found.names, classes)
    or (classes == 10 and cifar10_names or digits(classes))
  local set = { name = name, classes = classes, class_names = names }
  if classes == 100 then set.coarse_names = read_names(found.folder .. "/coarse_label_names.txt", 20) end
  for _, which in ipairs { "train", "test" } do
    local images, labels, coarse = must(core.cifar(found[which], classes))
    set[which] = part.new { name = name .. "." .. which, images = images, labels = labels, coarse = coarse,
                            classes = classes, class_names = names }
  end
  return set
end

local function open(who, name, options)
  local found, looked = find.locate(name)
  if not found then
    error(format('%s: there is no data set "%s"; expected a folder of IDX or CIFAR files at\n  %s', who, name,
      concat(looked, "\n  ")), 0)
  end
  if found.missing then error(format("%s: %s is missing", who, found.missing), 0) end
  find.opened[name] = { folder = found.folder, bytes = found.bytes }
  local short = name:match("([^/]+)/*$") or name
  local set = (found.kind == "idx" and read_idx or read_cifar)(short, found)
  set.folder = found.folder
  return finish(who, set, options)
end

-- Errors point at the line of the caller's caller, whatever part of the reading raised them. (Callers write
-- `return (calling(...))`: a tail call would lose their place.)
local function calling(f, ...)
  local ok, result = pcall(f, ...)
  if not ok then error(result, 3) end
  return result
end

--- A data set by name or by the path of its folder (a path has a slash). A missing or damaged one raises an error that
--- names the places looked at, or the file, the offset and the field. Options: limit and test_limit (so many images),
--- validation (the share of the training images set apart), seed (1); what is taken has every class in its proportion.
---@param name string
---@param options? PartOptions
---@return DataSet
function M.open(name, options)
  if type(name) ~= "string" or name == "" then
    error("data.open: expected a name or a path, got " .. spec.shown(name), 2)
  end
  return (calling(open, "data.open", name, spec.check("data.open", options, part_options)))
end

-- ---- Colour MNIST ----

local colour_options = {
  bias = spec.number { min = 0, max = 1, default = 0.95 },
  test_bias = spec.number { min = 0, max = 1 },
  source = spec.text { default = "mnist" },
  limit = part_options.limit, test_limit = part_options.test_limit, validation = part_options.validation,
  seed = part_options.seed,
}

local function tinted(from, bias, seed, stream)
  if from.images.shape[4] ~= 1 then
    error("data.colour_mnist: the source's images are not grey: " .. from:describe(), 0)
  end
  local images, background = core.tint(from.images, bias, seed, stream)
  return part.new { name = format("colour(%s, %g, %d)", from.name, bias, seed), images = images, labels = from.labels,
                    background = background, classes = from.classes, class_names = from.class_names }
end

local function colour_mnist(options)
  local who = "data.colour_mnist"
  local set = open(who, options.source, { limit = options.limit, test_limit = options.test_limit, seed = options.seed })
  set.name = "colour_mnist"
  set.train = tinted(set.train, options.bias, options.seed, TINT_TRAIN)
  set.test = tinted(set.test, options.test_bias or 1 - options.bias, options.seed, TINT_TEST)
  return finish(who, set, { validation = options.validation, seed = options.seed })
end

---@class ColourOptions: PartOptions
---@field bias? number       # 0.95
---@field test_bias? number  # 1 - bias
---@field source? string     # "mnist": the name or path of a set of grey images

--- Colour MNIST: white digits on a background that is red with probability `bias` in training and `test_bias` in the
--- test, else blue, drawn for each image apart from what the digit is. part.background tells which (1 red, 2 blue).
---@param options? ColourOptions
---@return DataSet
function M.colour_mnist(options)
  return (calling(colour_mnist, spec.check("data.colour_mnist", options, colour_options)))
end

-- ---- synthetic ----

local synthetic_options = {
  classes = spec.integer { min = 1, max = 1000, default = 4 },
  train = spec.integer { min = 1, default = 256 },
  test = spec.integer { min = 1, default = 64 },
  side = spec.integer { min = 1, default = 8 },
  channels = spec.integer { min = 1, max = 16, default = 3 },
  noise = spec.number { min = 0, max = 1, default = 0.3 },
  seed = part_options.seed, validation = part_options.validation,
}

---@class SyntheticOptions
---@field classes? integer    # 4
---@field train? integer      # 256 images
---@field test? integer       # 64
---@field side? integer       # 8 pixels
---@field channels? integer   # 3
---@field noise? number       # 0.3: 0 shows the class's picture, 1 nothing of it
---@field validation? number  # the share of the training images that becomes the validation part
---@field seed? integer       # 1

local function synthetic_part(options, templates, which, stream, names)
  local count, labels = options[which], {}
  for i = 1, count do labels[i] = (i - 1) % options.classes + 1 end
  local index = nn.tensor(labels, { type = "index" })
  local noise = nn.uniform({ count, options.side, options.side, options.channels },
    { seed = nn.derive(options.seed, NOISE, stream) })
  local pixels = core.rows(templates, index) * (1 - options.noise) + noise * options.noise
  return part.new { name = format("synthetic(%d).%s", options.seed, which), images = core.bytes(pixels),
                    labels = index, classes = options.classes, class_names = names }
end

--- A small set that needs no files: each class is a random picture, its images are that picture under noise. For tests
--- and for trying things.
---@param options? SyntheticOptions
---@return DataSet
function M.synthetic(options)
  options = spec.check("data.synthetic", options, synthetic_options)
  local names = {}
  for i = 1, options.classes do names[i] = "class " .. i end
  local templates = nn.uniform({ options.classes, options.side, options.side, options.channels },
    { seed = nn.derive(options.seed, TEMPLATES, 0) })
  return (calling(finish, "data.synthetic", {
    name = "synthetic", classes = options.classes, class_names = names,
    train = synthetic_part(options, templates, "train", 1, names),
    test = synthetic_part(options, templates, "test", 2, names),
  }, { validation = options.validation, seed = options.seed }))
end

return M
