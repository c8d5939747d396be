--- Part of a data set: images with labels, and batches of them.
---
--- A part is in memory (part.images) or stands in picture files (part.files), which are read batch by batch; nearly
--- everything works on both. part.shape = { H, W, C } is the shape of its images.
local nn = require "nn"
local perturb = require "perturb"
local spec = require "spec"

local M = {}

local format, concat = string.format, table.concat
local core = nn.data

--- Images with labels: a training, validation or test part, or some of one.
---@class Part
---@field name string          # how it was made: "cifar100.train:take(2000)"
---@field count integer        # also #part
---@field shape integer[]      # { H, W, C } of an image
---@field images? Tensor       # in memory: uint8 [N x H x W x C]
---@field files? any           # or in files: a list of them (nn.files)
---@field fit? { resize?: integer }  # files: the short side is resized to `resize` (default: the longer of H and W),
---                            # then the middle H x W is cut out
---@field labels Tensor        # index [N]
---@field classes integer
---@field class_names string[]
---@field coarse? Tensor       # CIFAR-100: index [N] of the 20 coarse classes
---@field background? Tensor   # Colour MNIST: index [N], 1 red, 2 blue
local Part = { __name = "data part" }

-- Tensors with one row for each image.
local columns = { "images", "labels", "coarse", "background" }

-- Random streams of one seed.
local SHUFFLE, TAKE = 0x73687566, 0x74616b65
local AUGMENT = 3 -- apart from those of loss.lua

function Part:__index(key)
  if key == "images" and rawget(self, "files") then
    error(format("the images of %s are in files, not in one tensor: read them with part:batches{...} or part:image(i), "
      .. "or all at once with part:load()", self.name), 2)
  end
  return Part[key]
end

--- Is it a part of a data set?
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Part
end

--- A part from what it holds: { name, images, labels, classes, class_names [, coarse, background] }, or with
--- files = nn.files, shape = { H, W, C } and fit in the place of images.
---@param fields table
---@return Part
function M.new(fields)
  if fields.images then
    local shape = fields.images.shape
    fields.count, fields.shape = shape[1], { shape[2], shape[3], shape[4] }
  else
    fields.count = #fields.files
  end
  return setmetatable(fields, Part)
end

--- The seed that batches draw their augmentation from, for a seed of theirs.
---@param seed integer
---@return integer
function M.augment_seed(seed)
  return nn.derive(seed, AUGMENT, 0)
end

-- part.batches{...} has the options in the part's place.
local function check_self(who, self)
  if not M.is(self) then
    error(format("%s: expected a part of a data set before a colon, as in part:%s(...), got %s", who, who,
      spec.shown(self)), 3)
  end
end

-- A part like this one, but for its name and its columns.
local function like(part, name)
  return { name = name, classes = part.classes, class_names = part.class_names, shape = part.shape, fit = part.fit }
end

-- The rows named by an index tensor, as a part of their own.
local function select_rows(part, rows, name)
  local fields = like(part, name)
  for _, column in ipairs(columns) do
    local values = rawget(part, column)
    if values then fields[column] = core.rows(values, rows) end
  end
  fields.files = part.files and part.files:select(rows)
  return M.new(fields)
end

local function slice(part, first, last, name)
  local fields = like(part, name)
  for _, column in ipairs(columns) do
    local values = rawget(part, column)
    if values then fields[column] = values:slice(1, first, last) end
  end
  return M.new(fields)
end

-- What core.loader has to know of a part.
local function source(part, options)
  if part.files then
    local height, width, channels = table.unpack(part.shape)
    options.files, options.height, options.width, options.channels = part.files, height, width, channels
    options.resize = part.fit and part.fit.resize or math.max(height, width)
  else
    options.images = part.images
  end
  options.labels = options.labels or part.labels
  return options
end

-- ---- batches ----

--- Batches of a part: for x, y, number in batches do ... end, or batches() for the next one.
---@class Batches
---@field count integer  # how many batches of the whole order there are, counted from 1
local Batches = { __name = "batches" }
Batches.__index = Batches

local batch_options = {
  size = spec.integer { min = 1, default = 128 },
  shuffle = spec.flag { default = false },
  seed = spec.integer { default = 1 },
  epoch = spec.integer { min = 1, default = 1 },
  first = spec.integer { min = 1, default = 1 },
  drop_last = spec.flag { default = false },
  augment = spec.value { "a perturbation", perturb.is },
  workers = spec.integer { min = 0, max = 256 },
  prefetch = spec.integer { min = 1, max = 1024, default = 4 },
  on_error = spec.choice { "stop", "skip", default = "stop" },
  scaled = spec.flag { default = false },
}

---@class BatchOptions
---@field size? integer        # 128
---@field shuffle? boolean     # false
---@field seed? integer        # 1: of the order, and of what the augmentation draws
---@field epoch? integer       # 1
---@field first? integer       # 1: the number of the first batch given
---@field drop_last? boolean   # false: leave out a last batch that is smaller
---@field augment? Perturbation  # applied to each image; drawn by seed, epoch and place
---@field workers? integer     # threads that prepare batches ahead; 0: each is made when it is asked for, on all
---                            # threads. Default: 0 in memory, nn.threads() for files
---@field prefetch? integer    # 4: so many batches at most lie ready or in making; bounds the memory
---@field on_error? "stop"|"skip"  # "stop": a file that cannot be read is an error; "skip": it is left out of its
---                            # batch, which is then smaller, and counted
---@field scaled? boolean      # false: let JPEGs decode to a half, a quarter or an eighth where that is enough: faster,
---                            # with slightly other pixels

local function batch_count(part, options)
  local whole = part.count // options.size
  return (options.drop_last or whole * options.size == part.count) and whole or whole + 1
end

--- Batches of x (float in [0, 1], [B x H x W x C]) and y (index, [B]), with the batch's number:
--- `for x, y, number in part:batches{ size = 128, shuffle = true, seed = 1, epoch = 2 } do`. The order is a function of
--- seed and epoch; `first` starts at a later batch of the same order. Equal options give equal bits, whatever the
--- numbers of workers and threads. Leaving the loop stops the workers.
---
--- Example:
---     part = data.synthetic({ classes = 3, train = 10 }).train
---     for x, y, number in part:batches { size = 4, shuffle = true, seed = 1 } do
---       print(number, x.shape[1], table.concat(y:tolist(), " "))
---     end
---     --> 1  4  1 1 3 2
---     --> 2  4  3 2 3 1
---     --> 3  2  1 2
---     x = part:batches { size = 10, augment = perturb.flip() }()
---@param options? BatchOptions
---@return Batches
function Part:batches(options)
  check_self("batches", self)
  options = spec.check("batches", options, batch_options)
  local count = batch_count(self, options)
  local order
  if options.shuffle then order = nn.permutation(self.count, nn.derive(options.seed, SHUFFLE, options.epoch)) end
  local seed, step = M.augment_seed(options.seed), (options.epoch - 1) * count
  local augment = options.augment
  local first = math.min(options.first, count + 1)
  local loader = core.loader(source(self, {
    order = order, size = options.size, first = first, last = count, augment = augment and augment.tree, seed = seed,
    step = step, skip = options.on_error == "skip", workers = options.workers or self.files and nn.threads() or 0,
    prefetch = options.prefetch, scaled = options.scaled,
  }))
  local batches = setmetatable({ count = count, loader = loader }, Batches)
  -- One written in Lua runs on the calling thread.
  if augment and not augment.tree then
    batches.finish = function(x, y, number) return augment(x, y, nil, { seed = seed, step = step + number - 1 }) end
  end
  return batches, nil, nil, batches
end

local function keep_figures(self)
  self.seconds = self.loader:waited()
  self.skipped_count, self.skipped_names = self.loader:bad()
end

--- The next batch, or nil after the last.
---
--- Example:
---     batches = data.synthetic({ train = 6 }).train:batches { size = 4 }
---     x, y, number = batches()
---     x.shape, y.shape, number     --> { 4, 8, 8, 3 }  { 4 }  1
---     batches() ~= nil, batches()  --> true  nil
---@return Tensor? x, Tensor y, integer number
function Batches:__call()
  if not self.loader then return nil end
  local x, y, number = self.loader:next() -- or nil, message, code
  if x then
    if self.finish then x = self.finish(x, y, number) end
    return x, y, number
  end
  self:close()
  if y then error(format('batches: %s (on_error = "skip" would leave it out)', y), 0) end
  return nil
end

--- Stops the workers; there are no more batches then.
---
--- Example:
---     batches = data.synthetic().train:batches { size = 4 }
---     batches:close()
---     batches()  --> nil
function Batches:close()
  if not self.loader then return end
  keep_figures(self)
  self.loader:close()
  self.loader = nil
end

Batches.__close = Batches.close

--- Seconds that were spent waiting for batches (without workers: making them).
---
--- Example:
---     batches = data.synthetic().train:batches { size = 256 }
---     batches()
---     batches:waited() < 1  --> true
---@return number
function Batches:waited()
  if self.loader then keep_figures(self) end
  return self.seconds
end

--- With on_error = "skip": how many images were left out so far, and the messages about the first of them.
---
--- Example:
---     data.synthetic().train:batches({ on_error = "skip" }):skipped()  --> 0  {}
---@return integer count, string[] messages
function Batches:skipped()
  if self.loader then keep_figures(self) end
  return self.skipped_count, self.skipped_names
end

--- How many batches `batches` gives with the same options (whatever `first` is).
---
--- Example:
---     data.synthetic({ train = 100 }).train:batch_count { size = 32 }                    --> 4
---     data.synthetic({ train = 100 }).train:batch_count { size = 32, drop_last = true }  --> 3
---@param options? table
---@return integer
function Part:batch_count(options)
  return batch_count(self, spec.check("batch_count", options, batch_options))
end

-- ---- all images, and one ----

local load_options = { on_error = batch_options.on_error, scaled = batch_options.scaled }

--- The part in memory: all its files decoded, on all threads. A part that is in memory already is returned itself. A
--- file that cannot be read gives nil, message, code, or is left out (on_error = "skip"): the second result tells how
--- many were, the third the messages about the first of them.
---
--- Example:
---     part = data.synthetic().train
---     part:load() == part  --> true
---@param options? { on_error?: "stop"|"skip", scaled?: boolean }
---@return Part? part, integer|string skipped, string[]|string messages
function Part:load(options)
  check_self("load", self)
  options = spec.check("load", options, load_options)
  if not self.files then return self, 0, {} end
  local loader <close> = core.loader(source(self, {
    labels = core.places(self.count), size = math.max(1, self.count), last = math.min(1, self.count), bytes = true,
    skip = options.on_error == "skip", scaled = options.scaled,
  }))
  local images, rows, code = loader:next()
  local skipped, messages = loader:bad()
  if not images then
    return nil, rows or format("%s: none of %d pictures can be read", self.name, self.count), code or "format"
  end
  local fields = like(self, self.name)
  fields.images = images
  for _, column in ipairs(columns) do
    local values = rawget(self, column)
    if values then fields[column] = skipped == 0 and values or core.rows(values, rows) end
  end
  return M.new(fields), skipped, messages
end

--- One image, [H x W x C] of uint8, and its label. A file that cannot be read gives nil, message, code.
---
--- Example:
---     picture, label = data.synthetic({ side = 8 }).train:image(2)
---     picture.shape, picture.type, label  --> { 8, 8, 3 }  uint8  2
---@param i integer
---@return Tensor? image, integer|string label, string? code
function Part:image(i)
  check_self("image", self)
  if math.type(i) ~= "integer" or i < 1 or i > self.count then
    error(format("image: expected a number from 1 to %d, got %s", self.count, spec.shown(i)), 2)
  end
  if not self.files then return self.images[i], self.labels:get(i) end
  local loader <close> = core.loader(source(self, { order = nn.tensor({ i }, { type = "index" }), last = 1,
                                                  bytes = true }))
  local x, y, code = loader:next()
  if not x then return nil, y, code end
  return x[1], y:get(1)
end

-- ---- smaller parts ----

-- What take and rest are given: how many images, as an integer.
local function check_share(who, self, n, seed, most)
  check_self(who, self)
  local whole = type(n) == "number" and math.tointeger(n)
  if not whole or whole < 1 or whole > most then
    error(format("%s: expected a number of images from 1 to %d, got %s", who, most, spec.shown(n)), 3)
  end
  if seed ~= nil and math.type(seed) ~= "integer" then
    error(format("%s: expected an integer seed, got %s", who, spec.shown(seed)), 3)
  end
  return whole
end

--- A smaller part: the first n images, or with a seed n images drawn at random with every class in its proportion, in
--- the order they had.
---
--- Example:
---     part = data.synthetic({ classes = 4, train = 100 }).train
---     part:take(8).labels:tolist()  --> { 1, 2, 3, 4, 1, 2, 3, 4 }
---     part:take(8, 1)               --> synthetic(1).train:take(8, 1): [8x8x8x3], 4 classes
---     part:take(1000)               --> error: take: expected a number of images from 1 to 100, got 1000
---@param n integer
---@param seed? integer
---@return Part
function Part:take(n, seed)
  local whole = check_share("take", self, n, seed, self.count)
  if seed then
    local chosen = core.stratify(self.labels, whole, seed, TAKE)
    return select_rows(self, chosen, format("%s:take(%d, %d)", self.name, whole, seed))
  end
  local name = format("%s:take(%d)", self.name, whole)
  if self.files then return select_rows(self, core.places(whole), name) end
  return slice(self, 1, whole, name)
end

--- The images that take(n, seed) leaves: a part to train on beside one set apart.
---
--- Example:
---     part = data.synthetic({ classes = 4, train = 100 }).train
---     #part:take(20, 1), #part:rest(20, 1)  --> 20  80
---     part:rest(90).labels:tolist()         --> { 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 }
---@param n integer
---@param seed? integer
---@return Part
function Part:rest(n, seed)
  local whole = check_share("rest", self, n, seed, self.count - 1)
  if seed then
    local _, others = core.stratify(self.labels, whole, seed, TAKE)
    return select_rows(self, others, format("%s:rest(%d, %d)", self.name, whole, seed))
  end
  local name = format("%s:rest(%d)", self.name, whole)
  if self.files then return select_rows(self, core.places(self.count):slice(1, whole + 1, self.count), name) end
  return slice(self, whole + 1, self.count, name)
end

--- Two parts with every class in its proportion: n images drawn at random, and the others.
---
--- Example:
---     part = data.synthetic({ classes = 4, train = 100 }).train
---     some, rest = part:split(20, 1, "tuning", "training")
---     #some, #rest, some.name  --> 20  80  tuning
---@param n integer
---@param seed integer
---@param drawn_name string
---@param rest_name string
---@return Part drawn, Part rest
function Part:split(n, seed, drawn_name, rest_name)
  local drawn, rest = core.stratify(self.labels, n, seed, TAKE)
  return select_rows(self, drawn, drawn_name), select_rows(self, rest, rest_name)
end

--- Name, shape and classes in one line.
---
--- Example:
---     data.synthetic().test:describe()  --> synthetic(1).test: [64x8x8x3], 4 classes
---@return string
function Part:describe()
  return format("%s: [%dx%s]%s, %d classes", self.name, self.count, concat(self.shape, "x"),
    self.files and " in files" or "", self.classes)
end

Part.__tostring = Part.describe

function Part:__len()
  return self.count
end

return M
