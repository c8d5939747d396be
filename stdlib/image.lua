--- Pictures: saving a tensor as a PNG file, and laying a batch out as one picture.
local nn = require "nn"
local spec = require "spec"

local M = {}

--- Writes a PNG file: [H x W] or [H x W x C] of uint8, or of float in [0, 1]; C is 1 (grey), 3 (RGB) or 4 (RGBA). The
--- file appears under its name only when it is complete.
---@param path string
---@param image any  # a tensor
---@return boolean? ok, string? message, string? code
function M.save(path, image)
  return nn.image.save(path, image)
end

local grid_options = {
  columns = spec.integer { min = 1 },
  gap = spec.integer { min = 0, default = 2 },
  background = spec.number { min = 0, max = 1, default = 1 },
}

--- One picture of many: a batch [N x H x W x C], or a list of images of one shape, row by row. The pictures of a uint8
--- batch give a uint8 picture.
---@param images any  # a tensor or a list of tensors
---@param options? { columns?: integer, gap?: integer, background?: number }  # columns: about as many as rows
---@return any picture  # a tensor [H x W x C]
function M.grid(images, options)
  options = spec.check("image.grid", options, grid_options)
  local several = type(images) == "table" or type(images) == "userdata"
  local first = several and #images > 0 and images[1]
  if type(first) ~= "userdata" or #first.shape ~= 3 then
    error("image.grid: expected a batch [N x H x W x C] or a list of images [H x W x C], got " .. spec.shown(images), 2)
  end
  local height, width, channels = table.unpack(first.shape)
  local columns = math.min(options.columns or math.ceil(math.sqrt(#images)), #images)
  local lines, gap = math.ceil(#images / columns), options.gap
  local picture = nn.full({ lines * (height + gap) - gap, columns * (width + gap) - gap, channels },
    first.type == "uint8" and math.floor(options.background * 255 + 0.5) or options.background, { type = first.type })
  for i = 1, #images do
    local shape = images[i].shape
    if #shape ~= 3 or shape[1] ~= height or shape[2] ~= width or shape[3] ~= channels then
      error(string.format("image.grid: expected images of one shape, [%dx%dx%d], got [%s] at place %d", height, width,
        channels, table.concat(shape, "x"), i), 2)
    end
    local top, left = (i - 1) // columns * (height + gap), (i - 1) % columns * (width + gap)
    picture:slice(1, top + 1, top + height):slice(2, left + 1, left + width):copy(images[i])
  end
  return picture
end

--- The picture with every pixel as a square of factor x factor pixels.
---@param picture any  # a tensor [H x W x C]
---@param factor integer
---@return any  # a tensor [factor H x factor W x C]
function M.enlarge(picture, factor)
  local shape = picture.shape
  if #shape ~= 3 then
    error("image.enlarge: expected a picture [H x W x C], got [" .. table.concat(shape, "x") .. "]", 2)
  end
  if math.type(factor) ~= "integer" or factor < 1 then
    error("image.enlarge: expected a factor from 1, got " .. spec.shown(factor), 2)
  end
  local height, width, channels = table.unpack(shape)
  return picture:reshape({ height, 1, width, 1, channels })
    :expand({ height, factor, width, factor, channels })
    :reshape({ height * factor, width * factor, channels })
end

return M
