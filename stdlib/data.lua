--- Data sets: reading them, making them, taking parts of them.
---
---   local set = data.open("cifar100")                    a name, or the path of a folder or file
---   set.train, set.test, set.validation                  parts: `help part`
---   set.classes, set.class_names, set.stats              stats = { mean = {...}, std = {...} } of the training pixels
---
--- A name is looked for in PENUMBRA_DATA (folders separated by colons), then in the user's data folder
--- (~/.local/share/penumbra/data), then in the sample that comes with the program (mnist). What is there is told by its
--- files: MNIST's IDX files and their kin, CIFAR's binary files, SVHN's .mat files, NumPy arrays, ImageNet and Tiny
--- ImageNet, folders with a folder of pictures for each class; or one archive of these, which is unpacked once.
local cache = require "data.cache"
local cards = require "data.cards"
local find = require "data.find"
local image = require "image"
local lfs = require "lfs"
local nn = require "nn"
local part = require "data.part"
local sources = require "data.sources"
local spec = require "spec"
local unpack = require "data.unpack"

local M = {}

local core = nn.data
local format, concat = string.format, table.concat

--- A data set: its parts, the names of its classes, the statistics of its pixels.
---@class DataSet
---@field name string
---@field classes integer
---@field class_names string[]
---@field class_ids? string[]      # WordNet ids, of ImageNet's classes
---@field coarse_names? string[]
---@field stats { mean: number[], std: number[] }  # for models: normalize = set.stats. Computed when it is asked for
---@field stats_images? integer    # of pictures in files: over so many of them, evenly spaced; and remembered
---@field train? Part
---@field test? Part
---@field validation? Part
---@field folder? string           # where it was found
---@field skipped? { count: integer, messages: string[] }  # with on_error = "skip": files that cannot be read
local Set = { __name = "data set" }

--- Is it a data set?
---
--- Example:
---     data.is(data.synthetic())  --> true
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Set
end

local part_order = { "train", "validation", "test" }

--- The set's parts, one a line.
---
--- Example:
---     data.synthetic({ train = 100, test = 20 }):describe()
---     --> synthetic(1).train: [100x8x8x3], 4 classes
---     --> synthetic(1).test: [20x8x8x3], 4 classes
---@return string
function Set:describe()
  local lines = {}
  for _, name in ipairs(part_order) do
    if rawget(self, name) then lines[#lines + 1] = self[name]:describe() end
  end
  return concat(lines, "\n")
end

Set.__tostring = Set.describe

-- Random streams of one seed.
local TINT_TRAIN, TINT_TEST, TEMPLATES, NOISE = 0x74696e31, 0x74696e32, 0x74656d70, 0x6e6f6973

-- ---- statistics ----

local STATS_IMAGES = 2000 -- of pictures in files: their mean is then known to about 0.005

-- Places 1 .. count, or so many of them, evenly spaced.
local function spread(count, wanted)
  if count <= wanted then return nil end
  local places = {}
  for i = 1, wanted do places[i] = (i - 1) * count // wanted + 1 end
  return nn.tensor(places, { type = "index" })
end

local function must(...)
  local value, message = ...
  if value == nil then error(message, 0) end
  return ...
end

local function measure(images)
  local mean, std = core.stats(images)
  return { mean = mean, std = std }
end

-- Of pictures in files, what was measured is kept under their names, sizes and times.
local function measure_files(of)
  local rows = spread(of.count, STATS_IMAGES)
  local files = rows and of.files:select(rows) or of.files
  local key = { concat(of.shape, " "), tostring(of.fit.resize) }
  for i = 1, #files do
    local path = files:path(i)
    local about = lfs.attributes(path)
    key[#key + 1] = format("%s %s %s", path, about and about.size, about and about.modification)
  end
  local function good(kept)
    return type(kept.mean) == "table" and type(kept.std) == "table" and math.type(kept.images) == "integer"
      and #kept.mean == of.shape[3] and #kept.std == of.shape[3]
  end
  return cache.remember("stats", concat(key, "\n"), good, function()
    local some = part.new { name = of.name, files = files, labels = files:labels(), shape = of.shape, fit = of.fit,
                            classes = of.classes, class_names = of.class_names }
    local loaded = must(some:load { on_error = "skip" })
    local stats = measure(loaded.images)
    stats.images = loaded.count
    return stats
  end)
end

function Set:__index(key)
  if key ~= "stats" then return Set[key] end
  local of = rawget(self, "train") or rawget(self, "test")
  local stats = of.files and measure_files(of) or measure(of.images)
  self.stats, self.stats_images = { mean = stats.mean, std = stats.std }, stats.images
  return self.stats
end

-- ---- making a set from its parts ----

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

-- A share of a part's images, set apart: the share and the rest.
local function set_apart(who, from, share, seed, what, rest)
  local count = math.floor(from.count * share + 0.5)
  if count < 1 or count >= from.count then
    error(format("%s: a %s part of %g leaves nothing of %d images", who, what, share, from.count), 0)
  end
  local source = format("%s:split(%g, %d)", from.name, share, seed)
  return from:split(count, seed, source .. "." .. what, source .. "." .. rest)
end

-- fields: name, classes, class_names, and the parts. Limits are drawn first, then the validation part from what is
-- left.
local function finish(who, fields, options)
  local train = fields.train
  if train then
    train = limited(who, train, options.limit, options.seed)
    if options.validation and fields.validation then
      error(format("%s: %s has a validation part of its own, %s", who, fields.name, fields.validation.name), 0)
    elseif options.validation then
      fields.validation, train = set_apart(who, train, options.validation, options.seed, "validation", "train")
    end
  elseif options.limit or options.validation then
    error(format("%s: %s has no training part: limit and validation do not apply", who, fields.name), 0)
  end
  fields.train = train
  if fields.test then
    fields.test = limited(who, fields.test, options.test_limit, options.seed)
  elseif options.test_limit then
    error(format("%s: %s has no test part: test_limit does not apply", who, fields.name), 0)
  end
  return setmetatable(fields, Set)
end

-- Errors point at the line of the caller's caller, whatever part of the reading raised them. (Callers write
-- `return (calling(...))`: a tail call would lose their place.)
local function calling(f, ...)
  local ok, result = pcall(f, ...)
  if not ok then error(result, 3) end
  return result
end

-- ---- pictures in files ----

local LOOK_AT_ALL, LOOK_AT = 20000, 2000 -- pictures whose headers are read, of up to so many all of them
local MEMORY = 1 << 30 -- bytes of decoded pictures that are kept in memory unless told

local SKIP_HINT <const> = ' (on_error = "skip" would leave it out)'

local function sides(about) return format("%d x %d", about.height, about.width) end

-- What the headers of a part's pictures say. A header that cannot be read is an error unless such files are skipped.
local function look(files, options)
  local rows = #files > LOOK_AT_ALL and spread(#files, LOOK_AT) or nil
  local some = rows and files:select(rows) or files
  local about = must(some:survey())
  if about.bad > 0 and options.on_error ~= "skip" then
    local bad = nn.tensor({ about.first_bad }, { type = "index" })
    local _, message = some:select(bad):survey()
    error(message and message .. SKIP_HINT or some:path(about.first_bad) .. ": the file changes while it is read", 0)
  end
  about.path = some:path(about.first_bad == 1 and #some > 1 and 2 or 1)
  if about.other then about.other.path = some:path(about.other.place) end
  return about
end

-- What pictures in files become: as `side` says, or as they are when all have one size.
local function shape_of(who, raw, options)
  local first, other, channels
  for _, name in ipairs(part_order) do
    local files = raw[name] and raw[name].files
    if files and not (options.side and options.channels) then
      local about = look(files, options)
      first = first or about
      other = other or about.other
        or (about.height ~= first.height or about.width ~= first.width) and about or nil
      channels = math.max(channels or 1, about.channels)
    end
  end
  channels = options.channels or (channels > 1 and 3 or 1)
  local crop = not options.side and other and raw.crop or { side = options.side, resize = options.resize }
  if crop.side then
    return { crop.side, crop.side, channels }, { resize = crop.resize or crop.side }
  end
  if other then
    error(format("%s: the pictures have different sizes (%s %s, %s %s): side = 224, or another, expected: the short "
      .. "side is resized to it and the middle cut out", who, first.path, sides(first), other.path, sides(other)), 0)
  end
  return { first.height, first.width, channels }, { resize = 0 } -- as they are
end

-- Reads the parts' files into memory when they were asked to be, or are small enough.
local function load_parts(fields, options)
  local bytes = 0
  for _, name in ipairs(part_order) do
    local of = fields[name]
    if of and of.files then bytes = bytes + of.count * of.shape[1] * of.shape[2] * of.shape[3] end
  end
  if bytes == 0 or options.memory == false or not options.memory and bytes > MEMORY then return end
  local skipped = { count = 0, messages = {} }
  for _, name in ipairs(part_order) do
    if fields[name] and fields[name].files then
      local loaded, count, messages = fields[name]:load { on_error = options.on_error }
      if not loaded then error(count .. SKIP_HINT, 0) end
      fields[name], skipped.count = loaded, skipped.count + count
      table.move(messages, 1, #messages, #skipped.messages + 1, skipped.messages)
    end
  end
  if options.on_error == "skip" then fields.skipped = skipped end
end

-- ---- images in memory ----

-- Another size or number of channels, as the options say.
local function fitted(of, options)
  local images = of.images
  if options.side then
    local resize = options.resize or options.side
    if images.shape[2] ~= options.side or images.shape[3] ~= options.side or resize ~= options.side then
      images = image.centre_crop(image.resize(images, { side = resize }), { side = options.side }):clone()
    end
  end
  if options.channels and options.channels ~= images.shape[4] then images = core.channels(images, options.channels) end
  if images == of.images then return of end
  return part.new { name = of.name, images = images, labels = of.labels, coarse = of.coarse, classes = of.classes,
                    class_names = of.class_names }
end

-- ---- reading ----

local function is_name(value) return type(value) == "string" and value ~= "" end

---@class OpenOptions: PartOptions
---@field side? integer        # images of side x side: the short side is resized to `resize`, the middle cut out
---@field resize? integer      # side
---@field channels? integer    # 1 or 3: grey is repeated, colours are made grey
---@field memory? boolean      # pictures in files: true keeps them decoded in memory, false reads them batch by batch;
---                            # default: in memory up to 1 GiB
---@field on_error? "stop"|"skip"  # "stop"; "skip" leaves pictures out that cannot be read, and counts them
---@field test? number         # a folder without a test part: the share of its pictures that becomes one
---@field labels? "fine"|"coarse"  # CIFAR-100: 100 classes or 20
---@field split? string        # EMNIST: "balanced", "byclass", "bymerge", "digits", "letters", "mnist"
---@field extra? boolean       # SVHN: the extra digits too
---@field corruption? string   # CIFAR-10-C: "fog", ...
---@field severity? integer    # CIFAR-10-C: 1 to 5; default: all
---@field devkit? string       # ImageNet: the development kit's folder, when it is not beside the pictures

local open_options = {
  side = spec.integer { min = 1, max = 4096 },
  resize = spec.integer { min = 1, max = 4096 },
  channels = spec.choice { 1, 3 },
  memory = spec.flag(),
  on_error = spec.choice { "stop", "skip", default = "stop" },
  test = spec.number { above = 0, below = 1 },
  labels = spec.choice { "fine", "coarse" },
  split = spec.text { pattern = "^%l+$", expects = "a name of small letters" },
  extra = spec.flag(),
  corruption = spec.text { pattern = "^[%l_]+$", expects = "a name of small letters" },
  severity = spec.integer { min = 1, max = 5 },
  devkit = spec.text(),
}
for name, kind in pairs(part_options) do open_options[name] = kind end

-- Options that belong to some kinds of sets only.
local own = {}
for _, kind in pairs(find.kinds) do
  for name in pairs(kind.options) do own[name] = true end
end

local function check_own(who, name, found, options)
  for option in pairs(own) do
    if options[option] ~= nil and not find.kinds[found.kind].options[option] then
      error(format('%s: option "%s" does not apply to %s, which holds %s', who, option, name,
        find.kinds[found.kind].about), 0)
    end
  end
  if options.resize and options.resize < (options.side or math.huge) then
    error(format("%s: resize is the short side before side x side are cut out: expected at least side, %s, got %d",
      who, options.side or "which is missing", options.resize), 0)
  end
end

-- The set in an archive, unpacked; most have one folder with all the others in it.
local function unpacked(who, found, options)
  local folder = must(unpack.once(found.folder))
  local inner = find.recognise(folder, options)
  if not inner then
    local folders = require "data.folder".list(folder)
    inner = #folders == 1 and find.recognise(folder .. "/" .. folders[1], options)
  end
  if not inner or inner.kind == "archive" then
    error(format("%s: %s: unpacked, it holds no data set: expected %s", who, found.folder, find.expected()), 0)
  end
  inner.path = found.path
  return inner
end

-- What may help with a name that is not there.
local function advice(name)
  local _, known = cards.find(name)
  local source = sources[known or name]
  if source then
    return format(" (penumbra data get %s %s)", known or name,
      source.by_hand and "says how to have it" or "downloads it")
  end
  if lfs.attributes(name) then return format(' (a path has a slash: "./%s")', name) end
  local near = spec.nearest(name, cards.names()) or spec.nearest(name, spec.names(sources))
  return near and format(' (did you mean "%s"?)', near) or ""
end

local function locate(who, name, options)
  local found, looked = find.locate(name, options)
  if not found then
    if #looked == 1 then
      error(format("%s: there is no data set at %s: expected %s", who, looked[1], find.expected()), 0)
    end
    error(format('%s: there is no data set "%s"%s; expected %s at\n  %s', who, name, advice(name), find.expected(),
      concat(looked, "\n  ")), 0)
  end
  find.opened[name] = { folder = found.folder, bytes = found.bytes, changed = found.changed }
  if found.kind == "archive" then found = unpacked(who, found, options) end
  if found.wrong then error(format("%s: %s", who, found.wrong), 0) end
  if found.missing then error(format("%s: %s is missing", who, found.missing), 0) end
  check_own(who, name, found, options)
  return found
end

local function open(who, name, options)
  local found = locate(who, name, options)
  local raw = find.kinds[found.kind].read(found, options)
  local short = name:match("([^/]+)/*$") or name
  short = unpack.stem(short) or short
  local set = { name = short, classes = #raw.class_names, class_names = raw.class_names, class_ids = raw.class_ids,
                coarse_names = raw.coarse_names, folder = found.folder }
  local in_files = (raw.train or raw.test).files ~= nil
  if options.memory == false and not in_files then
    error(format("%s: memory = false is for pictures in files; %s is read whole", who, name), 0)
  end
  local shape, fit
  if in_files then shape, fit = shape_of(who, raw, options) end
  for _, which in ipairs(part_order) do
    local fields = raw[which]
    if fields then
      fields.name = short .. "." .. fields.name
      fields.classes, fields.class_names = set.classes, set.class_names
      if in_files then fields.shape, fields.fit = shape, fit end
      set[which] = part.new(fields)
    end
  end
  if options.test then
    set.test, set.train = set_apart(who, set.train, options.test, options.seed, "test", "train")
  end
  finish(who, set, options)
  if in_files then
    load_parts(set, options)
  else
    for _, which in ipairs(part_order) do
      if rawget(set, which) then set[which] = fitted(set[which], options) end
    end
  end
  return set
end

--- A data set by name or by the path of its folder, file or archive (a path has a slash). A missing or damaged one
--- raises an error that names the places looked at, or the file, the offset and the field.
---
--- Of every set: limit and test_limit take so many images, validation sets a share of the training images apart; both
--- by seed (1), every class in its proportion. side gives images of side x side: the short side is resized to resize
--- (side unless it is given), the middle cut out. channels (1 or 3) repeats grey, or makes colours grey.
---
--- Of pictures in files: memory (true: decoded once and kept; false: read batch by batch; default: kept up to 1 GiB);
--- on_error = "skip" leaves out what cannot be read, and set.skipped counts it; test is the share that becomes the test
--- part of a folder that has none. ImageNet's pictures, when they differ in size, have side 224 and resize 256 by
--- default; devkit says where its development kit is.
---
--- CIFAR-100: labels = "coarse" for 20 classes. EMNIST: split = "letters" and others. SVHN: extra = true for the extra
--- digits. CIFAR-10-C: corruption = "fog" and others, severity = 1 to 5 (all of them unless given).
---
--- Example:
---     set = data.open("mnist", { limit = 500, validation = 0.2, test_limit = 100 })
---     set
---     --> mnist.train:take(500, 1):split(0.2, 1).train: [400x28x28x1], 10 classes
---     --> mnist.train:take(500, 1):split(0.2, 1).validation: [100x28x28x1], 10 classes
---     --> mnist.test:take(100, 1): [100x28x28x1], 10 classes
---     data.open "cifar7"
---     --> error: data.open: there is no data set "cifar7" (did you mean "cifar10"?); ...
---     --> ...
---@param name string
---@param options? OpenOptions
---@return DataSet
function M.open(name, options)
  if not is_name(name) then error("data.open: expected a name or a path, got " .. spec.shown(name), 2) end
  return (calling(open, "data.open", name, spec.check("data.open", options, open_options)))
end

-- ---- Colour MNIST ----

local colour_options = {
  bias = spec.number { min = 0, max = 1, default = 0.95 },
  test_bias = spec.number { min = 0, max = 1 },
  correlated = spec.any { spec.flag(), spec.choice { "half", "class" }, default = false },
  source = spec.text { default = "mnist" },
  limit = part_options.limit, test_limit = part_options.test_limit, validation = part_options.validation,
  seed = part_options.seed,
}

local MOST_COLOURS = 10

-- The colour that each image favours: its class's own, or that of its half of the classes; none when the colour has
-- nothing to do with the class.
local function favoured(from, correlated)
  if not correlated then return nil, 2 end
  if correlated ~= "half" then
    if from.classes < 2 or from.classes > MOST_COLOURS then
      error(format("data.colour_mnist: a colour for each class needs 2 to %d classes, got %d", MOST_COLOURS,
        from.classes), 0)
    end
    return from.labels, from.classes
  end
  local list = from.labels:tolist()
  for i, label in ipairs(list) do list[i] = 2 * label <= from.classes and 1 or 2 end
  return nn.tensor(list, { type = "index" }), 2
end

local function tinted(from, options, bias, stream)
  if from.shape[3] ~= 1 then
    error("data.colour_mnist: the source's images are not grey: " .. from:describe(), 0)
  end
  local colours, count = favoured(from, options.correlated)
  local images, background = core.tint(from.images, colours, count, bias, options.seed, stream)
  local variant = options.correlated and format(", %s", options.correlated == "half" and "half" or "class") or ""
  return part.new { name = format("colour(%s, %g, %d%s)", from.name, bias, options.seed, variant), images = images,
                    labels = from.labels, background = background, classes = from.classes,
                    class_names = from.class_names }
end

local function colour_mnist(options)
  local who = "data.colour_mnist"
  local set = open(who, options.source, { limit = options.limit, test_limit = options.test_limit, seed = options.seed,
                                          memory = true })
  set.name = "colour_mnist"
  local by_class = options.correlated and options.correlated ~= "half"
  local test_bias = options.test_bias or by_class and 1 / set.classes or 1 - options.bias
  set.train = tinted(set.train, options, options.bias, TINT_TRAIN)
  set.test = tinted(set.test, options, test_bias, TINT_TEST)
  return finish(who, set, { validation = options.validation, seed = options.seed })
end

---@class ColourOptions: PartOptions
---@field bias? number       # 0.95
---@field test_bias? number  # 1 - bias; with a colour for each class: 1 / classes
---@field correlated? boolean|"half"|"class"  # false
---@field source? string     # "mnist": the name or path of a set of grey images

--- Colour MNIST: white digits on a background that is red with probability `bias` in training and `test_bias` in the
--- test, else blue, drawn for each image apart from what the digit is. part.background tells which (1 red, 2 blue).
---
--- With `correlated` the colour tells the class in training, and misleads in the test. "half": digits of the first half
--- of the classes (0 to 4) are on red with probability `bias`, the others on blue; in the test that is reversed.
--- "class" (or true): each class has a colour of its own, as in Biased MNIST (Bahng et al., 2020), and an image is on
--- that of its class with probability `bias`, else on one of the others; in the test every colour is equally likely.
---
--- Example:
---     set = data.colour_mnist { bias = 0.9, limit = 1000, test_limit = 100 }
---     set.train              --> colour(mnist.train:take(1000, 1), 0.9, 1): [1000x28x28x3], 10 classes
---     on_blue = set.train.background:to "float"
---     on_blue:mean():item()  --> 0.103
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
---
--- Example:
---     set = data.synthetic { classes = 3, side = 16, train = 30, test = 6 }
---     set.train            --> synthetic(1).train: [30x16x16x3], 3 classes
---     x, y = set.train:batches { size = 4 }()
---     x.shape, y:tolist()  --> { 4, 16, 16, 3 }  { 1, 2, 3, 1 }
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

-- The path that a set is opened by; none when it is a name, which is looked for in the data folders.
local function path_of(name)
  return is_name(name) and (name:find "/" or name == "." or name == "..") and name or nil
end

--- What a recipe's plan may name, as in loss.lua: sets are opened in a run only. `places` are the paths that the
--- options name.
---@package
M.constructors = {
  open = {
    check = function(name, options)
      if not is_name(name) then error("expected a name or a path, got " .. spec.shown(name), 0) end
      spec.check("data.open", options, open_options)
    end,
    places = function(name, options) return { options and options.devkit or path_of(name), path_of(name) } end,
  },
  colour_mnist = {
    check = function(options) spec.check("data.colour_mnist", options, colour_options) end,
    places = function(options) return { path_of(options and options.source) } end,
  },
  synthetic = { check = function(options) spec.check("data.synthetic", options, synthetic_options) end },
}

return M
