--- Part of a data set: images with labels, and batches of them.
local nn = require "nn"
local spec = require "spec"

local M = {}

local format, concat = string.format, table.concat
local core = nn.data

---@class Part
---@field name string          # how it was made: "cifar100.train:take(2000)"
---@field count integer        # also #part
---@field images any           # uint8 tensor [N x H x W x C]
---@field labels any           # index tensor [N]
---@field classes integer
---@field class_names string[]
---@field coarse? any          # CIFAR-100: index tensor [N] of the 20 coarse classes
---@field background? any      # Colour MNIST: index tensor [N], 1 red, 2 blue
local Part = { __name = "data part" }
Part.__index = Part

-- Tensors with one row for each image.
local columns = { "images", "labels", "coarse", "background" }

-- Random streams of one seed.
local SHUFFLE, TAKE = 0x73687566, 0x74616b65

--- Is it a part of a data set?
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Part
end

--- A part from its tensors: { name, images, labels, classes, class_names [, coarse, background] }.
---@param fields table
---@return Part
function M.new(fields)
  fields.count = fields.images.shape[1]
  return setmetatable(fields, Part)
end

-- part.batches{...} has the options in the part's place.
local function check_self(who, self)
  if not M.is(self) then
    error(format("%s: expected a part of a data set before a colon, as in part:%s(...), got %s", who, who,
      spec.shown(self)), 3)
  end
end

-- The rows named by an index tensor, as a part of their own.
local function select_rows(part, rows, name)
  local fields = { name = name, classes = part.classes, class_names = part.class_names }
  for _, column in ipairs(columns) do
    if part[column] then fields[column] = core.rows(part[column], rows) end
  end
  return M.new(fields)
end

local batch_options = {
  size = spec.integer { min = 1, default = 128 },
  shuffle = spec.flag { default = false },
  seed = spec.integer { default = 1 },
  epoch = spec.integer { min = 1, default = 1 },
  first = spec.integer { min = 1, default = 1 },
  drop_last = spec.flag { default = false },
}

---@class BatchOptions
---@field size? integer        # 128
---@field shuffle? boolean     # false
---@field seed? integer        # 1
---@field epoch? integer       # 1
---@field first? integer       # 1: the number of the first batch given
---@field drop_last? boolean   # false: leave out a last batch that is smaller

local function batch_count(part, options)
  local whole = part.count // options.size
  return (options.drop_last or whole * options.size == part.count) and whole or whole + 1
end

--- Batches of x (float in [0, 1], [B x H x W x C]) and y (index, [B]), with the batch's number:
--- `for x, y, number in part:batches{ size = 128, shuffle = true, seed = 1, epoch = 2 } do`. The order is a function of
--- seed and epoch; `first` starts at a later batch of the same order.
---@param options? BatchOptions
---@return fun(): any, any, integer
function Part:batches(options)
  check_self("batches", self)
  options = spec.check("batches", options, batch_options)
  local size, number, last = options.size, options.first - 1, batch_count(self, options)
  local order
  if options.shuffle then order = nn.permutation(self.count, nn.derive(options.seed, SHUFFLE, options.epoch)) end
  return function()
    if number >= last then return nil end
    number = number + 1
    local from = (number - 1) * size + 1
    local count = math.min(size, self.count - from + 1)
    local x, y = core.batch(self.images, self.labels, order, from, count)
    return x, y, number
  end
end

--- How many batches `batches` gives with the same options (whatever `first` is).
---@param options? table
---@return integer
function Part:batch_count(options)
  return batch_count(self, spec.check("batch_count", options, batch_options))
end

--- A smaller part: the first n images, or with a seed n images drawn at random with every class in its proportion, in
--- the order they had.
---@param n integer
---@param seed? integer
---@return Part
function Part:take(n, seed)
  check_self("take", self)
  local whole = type(n) == "number" and math.tointeger(n)
  if not whole or whole < 1 or whole > self.count then
    error(format("take: expected a number of images from 1 to %d, got %s", self.count, spec.shown(n)), 2)
  end
  if seed ~= nil and math.type(seed) ~= "integer" then
    error("take: expected an integer seed, got " .. spec.shown(seed), 2)
  end
  if seed then
    local chosen = core.stratify(self.labels, whole, seed, TAKE)
    return select_rows(self, chosen, format("%s:take(%d, %d)", self.name, whole, seed))
  end
  local fields = { classes = self.classes, class_names = self.class_names }
  fields.name = format("%s:take(%d)", self.name, whole)
  for _, column in ipairs(columns) do
    if self[column] then fields[column] = self[column]:slice(1, 1, whole) end
  end
  return M.new(fields)
end

--- Two parts with every class in its proportion: n images drawn at random, and the others.
---@param n integer
---@param seed integer
---@param drawn_name string
---@param rest_name string
---@return Part drawn, Part rest
function Part:split(n, seed, drawn_name, rest_name)
  local drawn, rest = core.stratify(self.labels, n, seed, TAKE)
  return select_rows(self, drawn, drawn_name), select_rows(self, rest, rest_name)
end

--- One image, [H x W x C] of uint8, and its label.
---@param i integer
---@return any image, integer label
function Part:image(i)
  check_self("image", self)
  if math.type(i) ~= "integer" or i < 1 or i > self.count then
    error(format("image: expected a number from 1 to %d, got %s", self.count, spec.shown(i)), 2)
  end
  return self.images[i], self.labels:get(i)
end

--- Name, shape and classes in one line.
---@return string
function Part:describe()
  return format("%s: [%s], %d classes", self.name, concat(self.images.shape, "x"), self.classes)
end

Part.__tostring = Part.describe

function Part:__len()
  return self.count
end

return M
