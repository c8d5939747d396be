--- How torch lays out a model's tensors, seen from the layers of the model.
---
---   convolution   ours [height x width x in x out], torch's [out x in x height x width]
---   linear        [out x in] for both; behind a Flatten of an image its columns stand in (height, width, channel)
---                 order here and in (channel, height, width) order there, as do the channels of a batch norm between
---   batch norm    the same, and a count of batches, num_batches_tracked, which only torch has
---
--- With P pixels of C channels, column p C + c here is column c P + p there: of the image that a Flatten sees only the
--- channels matter, and the layers before it say how many they are. Where none does, the caller must.
---@package
local nn = require "nn"

local M = {}

-- What the layers say about the value between them. channels: of an image, nil where no layer has told; flat: the
-- channels of the image whose pixels a Flatten has laid in a row, false when they are not known; row: a plain row of
-- numbers, the same for both.
local function image(channels) return { kind = "image", channels = channels } end
local row = { kind = "row" }
local function flat(channels) return { kind = "flat", channels = channels } end


-- What each class makes of the value before it; classes that are not here leave it as it is.
local effects = {
  Conv2d = function(layer) return image(layer.options.out_channels) end,
  ZeroPadShortcut = function(layer) return image(layer.options.out_channels) end,
  Normalize = function(layer, value)
    return value.kind == "image" and image(#layer.options.mean) or value
  end,
  BatchNorm2d = function(layer, value)
    return value.kind == "image" and image(layer.options.channels) or value
  end,
  Linear = function(layer, value)
    return value.kind == "image" and image(layer.options.out_features) or row
  end,
  GlobalAvgPool2d = function() return row end,
  GlobalMaxPool2d = function() return row end,
  Flatten = function(_, value)
    return value.kind == "image" and flat(value.channels) or value
  end,
}

-- Nests the list of layers, which stands in depth-first order: layer.children, each with its name.
local function tree(layers)
  local at = {}
  for _, layer in ipairs(layers) do
    layer.children = {}
    at[layer.path] = layer
    if layer.path ~= "" then
      local parent, name = layer.path:match "^(.*)%.([^.]*)$"
      if not parent then parent, name = "", layer.path end
      layer.name = name
      table.insert(at[parent].children, layer)
    end
  end
  return layers[1]
end

-- Follows a value through a layer; notes for each layer what it reads.
local function follow(layer, value, reads)
  reads[layer.path] = value
  if layer.class == "Sequential" then
    for _, child in ipairs(layer.children) do value = follow(child, value, reads) end
    return value
  elseif layer.class == "Residual" then
    local body = value
    for _, child in ipairs(layer.children) do
      if child.name == "downsample" then follow(child, value, reads) else body = follow(child, body, reads) end
    end
    return body
  end
  local effect = effects[layer.class]
  return effect and effect(layer, value) or value
end

-- ---- the ways to write a tensor down ----
-- Each has the shape in torch's layout and the tensor of ours, or of theirs, as a contiguous copy in the other.

local function plain(shape)
  local function same(t) return t end
  return { shape = shape, to_torch = same, from_torch = same }
end

local function convolution(shape)
  return {
    shape = { shape[4], shape[3], shape[1], shape[2] },
    to_torch = function(t) return t:transpose(1, 4):transpose(2, 3):transpose(3, 4):clone() end,
    from_torch = function(t) return t:transpose(3, 4):transpose(2, 3):transpose(1, 4):clone() end,
  }
end

-- The last axis holds pixels of so many channels, in (pixel, channel) order here and in (channel, pixel) order there.
local function flattened(shape, channels)
  local features, last = shape[#shape], #shape
  local pixels = features // channels
  local function turned(t, inner, outer)
    local sizes = table.move(shape, 1, last - 1, 1, {})
    sizes[last], sizes[last + 1] = outer, inner
    return t:reshape(sizes):transpose(last, last + 1):clone():reshape(shape)
  end
  return {
    shape = shape, channels = channels,
    to_torch = function(t) return turned(t, channels, pixels) end,
    from_torch = function(t) return turned(t, pixels, channels) end,
  }
end

---@class LayoutEntry
---@field name string         # "layer1.0.conv1.weight"
---@field tensor Tensor       # the model's own
---@field shape integer[]     # in torch's layout
---@field buffer boolean
---@field to_torch fun(t: Tensor): Tensor
---@field from_torch fun(t: Tensor): Tensor
---@field again boolean       # the tensor of a layer that has stood in another place before

local function way_of(layer, slot, value)
  local shape = slot.tensor.shape
  if layer.class == "Conv2d" and slot.name == "weight" then return convolution(shape) end
  local spread = value.kind == "flat" and shape[#shape] > 1
    and (layer.class == "BatchNorm2d" or layer.class == "Linear" and slot.name == "weight")
  if not spread then return plain(shape) end
  if not value.channels then
    return nil, ("%s reads a Flatten, and no layer says how many channels the image before it has"):format(layer.path)
  elseif shape[#shape] % value.channels ~= 0 then
    return nil, ("%s reads %d numbers, which are no pixels of %d channels"):format(layer.path, shape[#shape],
      value.channels)
  end
  return flattened(shape, value.channels)
end

--- The tensors of a model in its order, and how torch lays them out; or nil and what is not known. input: the shape of
--- an item, { height, width, channels }, or { numbers } when the model reads rows.
---@param model Model
---@param input? integer[]
---@return LayoutEntry[]? entries, string? problem
function M.of(model, input)
  local layers, reads, state = model:layers(), {}, model:state()
  local start = input and (#input == 1 and row or image(input[#input])) or image(nil)
  follow(tree(layers), start, reads)
  local entries = {}
  for _, layer in ipairs(layers) do
    for _, slot in ipairs(layer.tensors) do
      local way, problem = way_of(layer, slot, reads[layer.path])
      if not way then return nil, problem end
      way.name = layer.path == "" and slot.name or layer.path .. "." .. slot.name
      way.tensor, way.buffer, way.again = slot.tensor, slot.buffer, state[way.name] == nil
      entries[#entries + 1] = way
    end
  end
  return entries
end

--- The same of a model in our own layout.
---@param model Model
---@return LayoutEntry[]
function M.own(model)
  local entries = {}
  for _, list in ipairs { model:named_parameters(), model:buffers() } do
    for _, slot in ipairs(list) do
      local entry = plain(slot.tensor.shape)
      entry.name, entry.tensor, entry.buffer, entry.again = slot.name, slot.tensor, false, false
      entries[#entries + 1] = entry
    end
  end
  return entries
end

--- Does a model have batch norms, whose batches torch counts? The names of these counts.
---@param entries LayoutEntry[]
---@return string[]
function M.counts(entries)
  local names = {}
  for _, entry in ipairs(entries) do
    local path = entry.buffer and entry.name:match "^(.*)running_var$"
    if path then names[#names + 1] = path .. "num_batches_tracked" end
  end
  return names
end

--- Every tensor of the list as torch lays it out, by its place.
---@param entries LayoutEntry[]
---@return Tensor[]
function M.written(entries)
  return nn.no_grad(function()
    local list = {}
    for i, entry in ipairs(entries) do list[i] = entry.to_torch(entry.tensor:detach()) end
    return list
  end)
end

return M
