--- The models of the experiments, built from the runtime's modules.
---
--- Parameter names and initialisation are torchvision's. Images are N x H x W x C in [0, 1]; `normalize` makes the
--- normalisation the model's first layer, `logit_scale` a constant factor of the logits its last.
local nn = require "nn"
local spec = require "spec"

local M = {}

--- Mean and standard deviation of each channel, of pixels in [0, 1]: set.stats.
---@class Statistics
---@field mean number[]
---@field std number[]

-- ---- options ----

local statistics = spec.record { mean = spec.list { spec.number(), min = 1, required = true },
                                 std = spec.list { spec.number { above = 0 }, min = 1, required = true } }

local function fields(own)
  own.classes = spec.integer { min = 1, required = true, doc = "number of logits" }
  own.normalize = statistics
  own.logit_scale = spec.number { above = 0, doc = "a constant that the logits are multiplied by" }
  own.seed = spec.integer { doc = "of the initialisation; else the session's next" }
  return own
end

local function image_fields(own)
  own.channels = spec.integer { min = 1, default = 3 }
  return fields(own)
end

-- ---- parts ----

local function conv(inputs, outputs, size, stride)
  return nn.Conv2d(inputs, outputs, { kernel_size = size, stride = stride or 1, padding = size // 2, bias = false,
                                      init = "kaiming_fan_out" })
end

-- 1x1 convolution and batch norm: the shortcut wherever the shape changes.
local function projection(inputs, outputs, stride)
  return nn.Sequential { conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs) }
end

-- He et al. 2015, figure 5 left: 3x3, 3x3.
local function basic(inputs, width, stride, shortcut)
  return nn.Residual { { "conv1", conv(inputs, width, 3, stride) }, { "bn1", nn.BatchNorm2d(width) },
                       { "relu", nn.ReLU() },
                       { "conv2", conv(width, width, 3) }, { "bn2", nn.BatchNorm2d(width) },
                       downsample = shortcut }
end

-- He et al. 2015, figure 5 right: 1x1, 3x3, 1x1 to four times the width, with the stride in the middle.
local function bottleneck(inputs, width, stride, shortcut)
  return nn.Residual { { "conv1", conv(inputs, width, 1) }, { "bn1", nn.BatchNorm2d(width) },
                       { "relu1", nn.ReLU() },
                       { "conv2", conv(width, width, 3, stride) }, { "bn2", nn.BatchNorm2d(width) },
                       { "relu2", nn.ReLU() },
                       { "conv3", conv(width, 4 * width, 1) }, { "bn3", nn.BatchNorm2d(4 * width) },
                       downsample = shortcut }
end

-- One stage: `count` blocks, the first with the stride. Returns the channels that leave it too.
local function stage(block, count, inputs, width, stride, shortcut)
  local outputs = block == bottleneck and 4 * width or width
  local list = {}
  for i = 1, count do
    local changes = i == 1 and (stride ~= 1 or inputs ~= outputs)
    list[i] = block(i == 1 and inputs or outputs, width, i == 1 and stride or 1,
                    changes and shortcut(inputs, outputs, stride) or nil)
  end
  return nn.Sequential(list), outputs
end

-- The layers in order, between the normalisation and the factor of the logits when there are any.
local function assemble(options, layers)
  if options.normalize then
    table.insert(layers, 1, { "normalize", nn.Normalize(options.normalize.mean, options.normalize.std) })
  end
  if options.logit_scale then layers[#layers + 1] = { "logit_scale", nn.Scale(options.logit_scale) } end
  return nn.Sequential(layers)
end

-- ---- the families ----

local function build_mlp(options)
  local size = options.inputs
  if options.shape then
    size = 1
    for _, n in ipairs(options.shape) do size = size * n end
  end
  local layers = { { "flatten", nn.Flatten() } }
  for i, width in ipairs(options.hidden) do
    layers[#layers + 1] = { "fc" .. i, nn.Linear(size, width) }
    layers[#layers + 1] = { "relu" .. i, nn.ReLU() }
    if options.dropout > 0 then layers[#layers + 1] = { "dropout" .. i, nn.Dropout { p = options.dropout } } end
    size = width
  end
  layers[#layers + 1] = { "fc" .. #options.hidden + 1, nn.Linear(size, options.classes) }
  return assemble(options, layers)
end

-- LeNet-5 (LeCun et al. 1998) with rectifiers and maximum pooling. 28 x 28 is padded to the 32 x 32 it was made for.
local function build_lenet(options)
  local padding = options.size == 32 and 0 or 2
  local side = ((options.size + 2 * padding - 4) // 2 - 4) // 2
  return assemble(options, {
    { "conv1", nn.Conv2d(options.channels, 6, { kernel_size = 5, padding = padding }) }, { "relu1", nn.ReLU() },
    { "pool1", nn.MaxPool2d(2) },
    { "conv2", nn.Conv2d(6, 16, { kernel_size = 5 }) }, { "relu2", nn.ReLU() },
    { "pool2", nn.MaxPool2d(2) },
    { "flatten", nn.Flatten() },
    { "fc1", nn.Linear(16 * side * side, 120) }, { "relu3", nn.ReLU() },
    { "fc2", nn.Linear(120, 84) }, { "relu4", nn.ReLU() },
    { "fc3", nn.Linear(84, options.classes) },
  })
end

-- He et al. 2015, section 4.2: 6n + 2 layers for small images, stages of 16, 32 and 64 channels.
local function build_cifar_family(n)
  return function(options)
    local shortcut = projection
    if options.shortcut == "A" then
      shortcut = function(inputs, outputs, stride) return nn.ZeroPadShortcut(inputs, outputs, { stride = stride }) end
    end
    local layers = { { "conv1", conv(options.channels, 16, 3) }, { "bn1", nn.BatchNorm2d(16) }, { "relu", nn.ReLU() } }
    local channels = 16
    for i, width in ipairs { 16, 32, 64 } do
      local part
      part, channels = stage(basic, n, channels, width, i == 1 and 1 or 2, shortcut)
      layers[#layers + 1] = { "layer" .. i, part }
    end
    layers[#layers + 1] = { "avgpool", nn.GlobalAvgPool2d() }
    layers[#layers + 1] = { "fc", nn.Linear(channels, options.classes) }
    return assemble(options, layers)
  end
end

-- He et al. 2015, table 1. The stem "cifar" keeps a 32 x 32 image's resolution: 3x3 with stride 1 and no pooling.
local function build_imagenet_family(block, counts)
  return function(options)
    local large = options.stem == "imagenet"
    local layers = { { "conv1", conv(options.channels, 64, large and 7 or 3, large and 2 or 1) },
                     { "bn1", nn.BatchNorm2d(64) }, { "relu", nn.ReLU() } }
    if large then layers[#layers + 1] = { "maxpool", nn.MaxPool2d(3, { stride = 2, padding = 1 }) } end
    local channels = 64
    for i, count in ipairs(counts) do
      local part
      part, channels = stage(block, count, channels, 32 << i, i == 1 and 1 or 2, projection)
      layers[#layers + 1] = { "layer" .. i, part }
    end
    layers[#layers + 1] = { "avgpool", nn.GlobalAvgPool2d() }
    layers[#layers + 1] = { "fc", nn.Linear(channels, options.classes) }
    return assemble(options, layers)
  end
end

local cifar_fields = image_fields { shortcut = spec.choice { "A", "B", default = "A" } }
local imagenet_fields = image_fields { stem = spec.choice { "cifar", "imagenet", default = "cifar" } }

-- `input`: the sizes of the image that a model is made for, those of one item without the axis of items.
local function small_family(n)
  return { build = build_cifar_family(n), fields = cifar_fields,
           input = function(options) return { 32, 32, options.channels } end }
end

local function large_family(block, counts)
  local function input(options)
    local side = options.stem == "imagenet" and 224 or 32
    return { side, side, options.channels }
  end
  return { build = build_imagenet_family(block, counts), fields = imagenet_fields, input = input }
end

local families = {
  mlp = { build = build_mlp, input = function(o) return o.shape or { o.inputs } end, fields = fields {
    inputs = spec.integer { min = 1, doc = "numbers per item" },
    shape = spec.list { spec.integer { min = 1 }, min = 1, doc = "of an item, in the place of inputs" },
    hidden = spec.list { spec.integer { min = 1 }, required = true, doc = "widths of the hidden layers" },
    dropout = spec.number { min = 0, below = 1, default = 0.0, doc = "after each hidden layer" } } },
  lenet = { build = build_lenet, input = function(o) return { o.size, o.size, o.channels } end,
            fields = image_fields { size = spec.integer { min = 12, default = 28 } } },
  resnet8 = small_family(1),
  resnet20 = small_family(3),
  resnet56 = small_family(9),
  resnet18 = large_family(basic, { 2, 2, 2, 2 }),
  resnet34 = large_family(basic, { 3, 4, 6, 3 }),
  resnet50 = large_family(bottleneck, { 3, 4, 6, 3 }),
}

-- Whether one of the values is known in a run only.
local function is_unknown(...)
  for i = 1, select("#", ...) do
    if select(i, ...) == spec.unknown then return true end
  end
  return false
end

-- The constructors end in a tail call of `make`, so the user's line is its caller's.
local function check(kind, options)
  local who = "models." .. kind
  local kept = spec.check(who, options, families[kind].fields, 1)
  local channels = kept.channels
  if kind == "mlp" then
    if (kept.inputs == nil) == (kept.shape == nil) then error(who .. ": expected either inputs or shape", 3) end
    channels = kept.shape and kept.shape[#kept.shape] or kept.inputs
  end
  local norm = kept.normalize
  if norm and not is_unknown(norm, norm.mean, norm.std, channels, kept.shape)
      and (#norm.mean ~= channels or #norm.std ~= channels) then
    error(string.format("%s: normalize expects %d means and deviations, one for each channel, got %d and %d", who,
                        channels, #norm.mean, #norm.std), 3)
  end
  return kept
end

local function make(kind, options)
  options = check(kind, options)
  local model = families[kind].build(options)
  model:initialise(options.seed or nn.next_seed())
  model.kind, model.classes = kind, options.classes
  model.input = families[kind].input(options)
  options.seed = nil
  model.options = options
  return model
end

-- ---- the constructors ----

---@class ModelOptions
---@field classes integer         # number of logits
---@field channels? integer       # 3: of an image
---@field normalize? Statistics   # of the pixels, set.stats: makes the normalisation the first layer
---@field logit_scale? number     # multiplies the logits: no parameter, the others keep their names
---@field seed? integer           # of the initialisation; else the session's next

---@class MLPOptions
---@field classes integer
---@field hidden integer[]        # widths of the hidden layers
---@field inputs? integer         # numbers of an item; or
---@field shape? integer[]        # its sizes, { 28, 28, 1 }
---@field dropout? number         # 0: after each hidden layer
---@field normalize? Statistics
---@field logit_scale? number     # multiplies the logits
---@field seed? integer

---@class LeNetOptions: ModelOptions
---@field size? integer           # 28: height and width of an image

---@class SmallResNetOptions: ModelOptions
---@field shortcut? "A"|"B"       # "A": pads with channels of zeros; "B" projects by a 1x1 convolution

---@class ResNetOptions: ModelOptions
---@field stem? "cifar"|"imagenet"  # "cifar": 3x3, no pooling; "imagenet": 7x7 with stride 2, max pooling

--- A fully connected network: flatten, then a linear layer and a rectifier for each hidden width, then the logits.
---
--- Example:
---     model = models.mlp { classes = 10, inputs = 784, hidden = { 128 }, seed = 1 }
---     model(nn.zeros { 2, 28, 28, 1 }).shape, model:count()  --> { 2, 10 }  101770
---     rescaled = models.mlp { classes = 10, inputs = 784, hidden = { 128 }, seed = 1, logit_scale = 0.1 }
---     x = nn.ones { 1, 28, 28, 1 }
---     (rescaled(x) / model(x)):mean():item()                 --> 0.1
---     models.mlp { classes = 10, hidden = { 128 } }          --> error: models.mlp: expected either inputs or shape
---@param options MLPOptions
---@return Model
function M.mlp(options) return make("mlp", options) end

--- LeNet-5 for images of size x size.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1, seed = 1 }
---     model(nn.zeros { 2, 28, 28, 1 }).shape, model:count()  --> { 2, 10 }  61706
---@param options LeNetOptions
---@return Model
function M.lenet(options) return make("lenet", options) end

--- The ResNet of 8 layers for small images (He et al. 2015, section 4.2): 16, 32, 64 channels.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 32 }
---     model = models.resnet8 { classes = set.classes, normalize = set.stats, seed = 1 }
---     model:count()                   --> 74900
---     models.resnet8 { clases = 10 }  --> error: models.resnet8: unknown option "clases"; did you mean "classes"?
---@param options SmallResNetOptions
---@return Model
function M.resnet8(options) return make("resnet8", options) end
--- Like resnet8, with 20 layers.
---
--- Example:
---     models.resnet20({ classes = 10, shortcut = "A" }):count()  --> 269722
---@param options SmallResNetOptions
---@return Model
function M.resnet20(options) return make("resnet20", options) end
--- Like resnet8, with 56 layers.
---
--- Example:
---     models.resnet56({ classes = 10, shortcut = "A" }):count()  --> 853018
---@param options SmallResNetOptions
---@return Model
function M.resnet56(options) return make("resnet56", options) end

--- ResNet-18 as for ImageNet (He et al. 2015, table 1); the stem "cifar" keeps the resolution of small images.
---
--- Example:
---     model = models.resnet18 { classes = 100, stem = "cifar", seed = 1 }
---     model:count()                                                            --> 11220132
---     model:forward(nn.zeros { 1, 32, 32, 3 }, { taps = { "layer4" } }).shape  --> { 1, 100 }
---@param options ResNetOptions
---@return Model
function M.resnet18(options) return make("resnet18", options) end
--- Like resnet18, with 34 layers.
---
--- Example:
---     models.resnet34({ classes = 1000, stem = "imagenet" }):count()  --> 21797672
---@param options ResNetOptions
---@return Model
function M.resnet34(options) return make("resnet34", options) end
--- Like resnet18, with 50 layers in bottleneck blocks.
---
--- Example:
---     models.resnet50({ classes = 1000, stem = "imagenet" }):count()  --> 25557032
---@param options ResNetOptions
---@return Model
function M.resnet50(options) return make("resnet50", options) end

--- The model that a constructor and its options make, for what comes from a file: nil and what is wrong when there is
--- no such constructor, it does not take these options, or the tensors need more than `room` bytes.
---
--- Example:
---     model = models.make("lenet", { classes = 10, channels = 1 })
---     model:count()                              --> 61706
---     models.make("resnet19", { classes = 10 })  --> nil  there is no model "resnet19"; did you mean "resnet18"?
---@param kind string
---@param options table
---@param room? integer
---@return Model? model, string? problem
function M.make(kind, options, room)
  if type(kind) ~= "string" or not families[kind] then
    return nil, string.format("there is no model %s%s", spec.shown(kind), spec.suggest(tostring(kind), M.names()))
  end
  local memory = nn.memory.stats()
  local limit = room and memory.live + room or 0
  if room and (memory.cap == 0 or limit < memory.cap) then nn.memory.cap(limit) end
  local ok, model = pcall(function()
    local made = make(kind, options)
    return made
  end)
  nn.memory.cap(memory.cap)
  if not ok then return nil, (tostring(model):gsub("^[^:]*:%d+: ", "")) end
  return model
end

--- The names of the models there are, sorted.
---
--- Example:
---     models.names()  --> { "lenet", "mlp", "resnet18", "resnet20", "resnet34", "resnet50", "resnet56", "resnet8" }
---@return string[]
function M.names() return spec.names(families) end

--- What a recipe's plan may name, as in loss.lua: models are made in a run only.
---@package
M.constructors = {}
for kind in pairs(families) do
  M.constructors[kind] = { check = function(options) check(kind, options) end }
end

return M
