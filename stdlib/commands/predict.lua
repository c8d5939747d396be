--- `penumbra predict MODEL IMAGE...`: what a model takes pictures for.
---
--- A file that model:save or a training's checkpoint wrote says which model it holds, its normalisation, the shape of
--- its images and the names of its classes; for other files the command line says so. A picture is fitted as in
--- evaluation: its short side to `resize` pixels, then the middle `size` x `size`.
local checkpoint = require "checkpoint"
local command = require "command"
local file = require "file"
local folder_of = require "run.folder"
local image = require "image"
local lfs = require "lfs"
local models = require "models"
local nn = require "nn"
local recognise = require "checkpoint.recognise"
local spec = require "spec"
local text = require "text"
local weights = require "checkpoint.weights"

local format, concat = string.format, table.concat

-- ---- the words ----

local function numbers_of(words)
  local list = {}
  for word in words:gmatch "[^,]+" do
    list[#list + 1] = tonumber(word)
    if not list[#list] then return nil, format('expected numbers with commas between them, got "%s"', words) end
  end
  return list
end

local function whole(word)
  local n = math.tointeger(tonumber(word))
  if not n or n < 1 then return nil, format('expected a number from 1, got "%s"', word) end
  return n
end

local function describe(parser)
  parser:argument("MODEL", "A file of weights, a training's checkpoint, or a run."):target "model"
  parser:argument("IMAGE", "PNG or JPEG files."):target "images":args "+"
  parser:option("--top", "How many classes to show.", "5"):argname "N":convert(whole)
  parser:option("--classes", "Names: a file with one a line, or a list with commas; else those in MODEL.")
    :argname "NAMES"
  parser:option("--size", "Side of the square that the model reads."):argname "N":convert(whole)
  parser:option("--resize", "Length of a picture's short side before the middle is taken."):argname "N":convert(whole)
  parser:group("For a MODEL that does not say what it is",
    parser:option("--arch", "A constructor in models: " .. concat(models.names(), ", ") .. "."):argname "NAME",
    parser:option("--mean", "Of each channel, of pixels from 0 to 1: 0.485,0.456,0.406."):argname "LIST"
      :convert(numbers_of),
    parser:option("--std", "The standard deviations: 0.229,0.224,0.225."):argname "LIST":convert(numbers_of))
end

-- The names in a file, one a line, or in the words themselves.
local function class_names(words)
  local list = {}
  if words:find(",", 1, true) and not file.exists(words) then
    for name in words:gmatch "[^,]+" do list[#list + 1] = name:match "^%s*(.-)%s*$" end
    return list
  end
  local content, message = file.read(words)
  if not content then return nil, message end
  for line in content:gmatch "[^\r\n]+" do list[#list + 1] = line end
  return list
end

-- ---- the model ----


local function known(arch)
  for _, name in ipairs(models.names()) do
    if name == arch then return true end
  end
  return false
end

-- The model of the file when the command line names its constructor: the other options are told by the tensors.
local function model_named(options)
  if options.arch and not known(options.arch) then
    return nil, format('--arch: there is no model "%s"%s', options.arch, spec.suggest(options.arch, models.names()))
  end
  if lfs.attributes(options.model, "mode") == "directory" then return checkpoint.model(options.model) end
  local tensors <close>, message = nn.checkpoint.read(options.model)
  if not tensors then return nil, message end
  local fitting, names = recognise.models(tensors), {}
  for i, this in ipairs(fitting) do
    names[i] = this.kind
    if this.kind == options.arch then
      if options.mean or options.std then
        this.options.normalize = { mean = options.mean or {}, std = options.std or {} }
      end
      return checkpoint.model(options.model, { arch = this.kind, options = this.options })
    end
  end
  if weights.described(tensors) and not options.arch then return checkpoint.model(options.model) end
  if not options.arch then
    return nil, format("%s: does not say which model it holds; %s", options.model, #names > 0
      and format("its tensors fit --arch %s (and --mean, --std, when it was trained on normalised pixels)",
                 concat(names, " or --arch "))
      or "and its tensors fit none of those in models")
  end
  return nil, format("%s: its tensors do not fit --arch %s%s", options.model, options.arch,
                     #names > 0 and "; they fit --arch " .. concat(names, " or --arch ") or "")
end

-- The shape of an image, where the model or its constructor knows it: { height, width, channels }.
local function shape_of(model)
  local own = model.options
  local shape = model.input or own.shape
  if shape then return #shape == 3 and shape or nil end
  local side = own.size or own.stem == "imagenet" and 224 or (own.stem or own.shortcut) and 32
  if side then return { side, side, own.channels } end
  side = own.inputs and math.tointeger(math.sqrt(own.inputs))
  return side and { side, side, 1 }
end

-- What the model reads: { height =, width =, channels =, resize = }.
local function fit_of(model, options)
  local shape = shape_of(model)
  if not shape then return nil, "how large its pictures are is not known: it was made for rows of numbers" end
  local height, width = options.size or shape[1], options.size or shape[2]
  local resize = options.resize or not options.size and model.resize
    or not options.size and model.options.stem == "imagenet" and not model.input and 256 or 1
  return { height = height, width = width, channels = shape[3], resize = math.max(resize, height, width) }
end

-- ---- a picture ----

-- [1 x height x width x channels] in [0, 1], and the picture's own height and width; or nil and what is wrong.
local function read_picture(path, fit)
  local picture, message = image.load(path, { channels = fit.channels })
  if not picture then return nil, message end
  local height, width = picture.shape[1], picture.shape[2]
  local resized = image.resize(picture, { side = fit.resize })
  local x = image.centre_crop(resized, { height = fit.height, width = fit.width })
  if x.type == "uint8" then x = x:to "float" / 255 end
  return x:reshape { 1, fit.height, fit.width, fit.channels }, height, width
end

local BAR, EIGHTHS = 20, { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

local function bar(share)
  local eighths = math.floor(share * BAR * 8 + 0.5)
  return text.pad(("█"):rep(eighths // 8) .. (EIGHTHS[eighths % 8] or ""), BAR)
end

local function show(path, height, width, probabilities, names, top)
  print(format("%s  %d x %d", path, width, height))
  local order = {}
  for i in ipairs(probabilities) do order[i] = i end
  table.sort(order, function(a, b)
    local p, q = probabilities[a], probabilities[b]
    return p > q or p == q and a < b
  end)
  for i = 1, math.min(top, #order) do
    local class = order[i]
    print(format("  %6.2f %%  %s  %s", 100 * probabilities[class], bar(probabilities[class]), names[class]))
  end
end

local function names_for(model, options)
  local names, message = model.class_names, nil
  if options.classes then names, message = class_names(options.classes) end
  if message then return nil, message end
  if names and #names ~= model.classes then
    return nil, format("%d names of classes, but the model has %d", #names, model.classes)
  end
  local list = {}
  for i = 1, model.classes do list[i] = names and tostring(names[i]) or "class " .. i end
  return list
end

local function predict(options)
  options.model = folder_of.weights(options.model)
  local model, message = model_named(options)
  if not model then return command.fail("predict", message) end
  local names, fit
  names, message = names_for(model, options)
  if not names then return command.fail("predict", message) end
  fit, message = fit_of(model, options)
  if not fit then return command.fail("predict", options.model .. ": " .. message, 2) end
  local code = 0
  for i, path in ipairs(options.images) do
    local x, height, width = read_picture(path, fit)
    if not x then
      io.stdout:flush()
      code = command.fail("predict", height)
    else
      local probabilities = nn.no_grad(model, x):softmax(2):tolist()[1]
      if i > 1 then print() end
      show(path, height, width, probabilities, names, options.top)
    end
  end
  return code
end

return { about = "The most likely classes of each picture.", describe = describe, act = predict }
