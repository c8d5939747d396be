--- Pictures: files and bytes to tensors and back, sizes, cuts, and a batch laid out as one picture.
---
--- A picture is a tensor [H x W x C] of uint8, or of float in [0, 1]. Where it says so, functions also take [H x W] and
--- batches [N x H x W x C].
local font = require "image.font"
local nn = require "nn"
local spec = require "spec"

local M = {}

---@class ReadOptions
---@field channels? 1|3|4       # converted as Pillow converts; else as stored
---@field orientation? boolean  # true: upright, as EXIF says; false: as the camera stored it
---@field scale? 1|2|4|8        # 1: decode a JPEG to this part of its sides
---@field max_pixels? integer   # 134217728: a picture of more is refused
---@field damaged? boolean      # false: take what can be read of a damaged JPEG, the rest is grey

---@class WriteOptions
---@field format? "png"|"jpeg"  # by the name's ending, else PNG
---@field quality? integer      # 90: of a JPEG, from 1 to 100
---@field chroma? "444"|"422"|"420"  # "420": how finely a JPEG stores colours
---@field progressive? boolean  # false: of a JPEG

---@class AboutImage
---@field format "png"|"jpeg"
---@field height integer        # upright, as load gives them
---@field width integer
---@field channels integer
---@field depth integer         # bits of a stored sample
---@field orientation integer   # EXIF's, 1 to 8
---@field progressive boolean

-- ---- files ----

--- Reads a PNG or JPEG file, told by its content: uint8 [H x W x C]; a PNG of 16 bits gives float in [0, 1]. Pixels are
--- those that Pillow reads, to the bit.
---
--- As stored, grey with transparency has 4 channels, and CMYK becomes 3. A scale of 2, 4 or 8 is faster, and gives
--- other pixels than reading the picture whole and resizing it.
---
--- Example:
---     image.save("x.png", nn.ones { 4, 6, 3 })
---     picture = image.load "x.png"
---     picture.shape, picture.type                  --> { 4, 6, 3 }  uint8
---     image.load("x.png", { channels = 1 }).shape  --> { 4, 6, 1 }
---     image.load "nothing.png"                     --> nil  nothing.png: No such file or directory  io
---@param path string
---@param options? ReadOptions
---@return Tensor? picture, string? message, string? code
function M.load(path, options)
  return nn.image.load(path, options)
end

--- Reads a PNG or JPEG picture from its bytes, as image.load reads a file.
---
--- Example:
---     image.decode(image.encode(nn.ones { 4, 6, 3 })).shape  --> { 4, 6, 3 }
---     image.decode "no picture"
---     --> nil  image.decode: a PNG or JPEG picture expected; it does not start like one  format
---@param bytes string
---@param options? ReadOptions
---@return Tensor? picture, string? message, string? code
function M.decode(bytes, options)
  return nn.image.decode(bytes, options)
end

--- What a file holds, from its header.
---
--- Example:
---     image.save("x.jpg", nn.ones { 4, 6, 3 })
---     about = image.info "x.jpg"
---     about.format, about.height, about.width, about.channels  --> jpeg  4  6  3
---@param path string
---@return AboutImage? about, string? message, string? code
function M.info(path)
  return nn.image.info(path)
end

--- Writes a PNG or JPEG file, by the name's ending (PNG without one) or the option format: [H x W] or [H x W x C] of
--- uint8, or of float in [0, 1]; C is 1 (grey), 3 (RGB) or, for PNG, 4 (RGBA). The file appears under its name only
--- when it is complete.
---
--- Example:
---     image.save("x.png", nn.uniform({ 8, 8, 3 }, { seed = 1 }))  --> true
---     image.save("missing/x.png", nn.ones { 8, 8, 3 })
---     --> nil  missing/x.png: cannot be written: No such file or directory  io
---@param path string
---@param picture Tensor
---@param options? WriteOptions
---@return boolean? ok, string? message, string? code
function M.save(path, picture, options)
  return nn.image.save(path, picture, options)
end

--- The bytes of a picture as image.save would write them; PNG unless the format says otherwise.
---
--- Example:
---     bytes = image.encode(nn.ones { 8, 8, 3 }, { format = "jpeg", quality = 80 })
---     bytes:sub(7, 10)  --> JFIF
---@param picture Tensor
---@param options? WriteOptions
---@return string bytes
function M.encode(picture, options)
  return nn.image.encode(picture, options)
end

-- ---- sizes and cuts ----

-- The axis of a picture's height (the width's is the next), or an error at the caller's caller.
local function height_axis(name, picture)
  local shape = type(picture) == "userdata" and picture.shape
  if not shape or #shape < 2 or #shape > 4 then
    local got = shape and "[" .. table.concat(shape, "x") .. "]" or spec.shown(picture)
    error(string.format("%s: expected a picture [H x W], [H x W x C] or a batch [N x H x W x C], got %s", name, got), 3)
  end
  return #shape == 4 and 2 or 1
end

local resize_options = {
  height = spec.integer { min = 1 },
  width = spec.integer { min = 1 },
  side = spec.integer { min = 1 },
  filter = spec.choice { "bilinear", "bicubic", default = "bilinear" },
  antialias = spec.flag { default = true },
}

--- The picture in another size, as Pillow resizes it, to the bit for uint8. With height or width alone, the other side
--- follows; `side` is that of the shorter one, and the longer side follows, rounded down. Without antialias, a picture
--- that shrinks is sampled at its new places only.
---
--- Example:
---     image.resize(nn.ones { 100, 200, 3 }, { side = 50 }).shape                       --> { 50, 100, 3 }
---     image.resize(nn.ones { 100, 200, 3 }, { width = 50, filter = "bicubic" }).shape  --> { 25, 50, 3 }
---@param picture Tensor  # also [H x W], or a batch
---@param options { height?: integer, width?: integer, side?: integer, filter?: string, antialias?: boolean }
---@return Tensor
function M.resize(picture, options)
  options = spec.check("image.resize", options, resize_options)
  local axis = height_axis("image.resize", picture)
  local old_height, old_width = picture.shape[axis], picture.shape[axis + 1]
  local height, width = options.height, options.width
  if options.side and not height and not width then
    if old_height <= old_width then height = options.side else width = options.side end
  elseif options.side or not (height or width) then
    local got = options.side and "side and another" or "none"
    error("image.resize: expected height, width or both, or side, got " .. got, 2)
  end
  height = height or math.max(1, width * old_height // old_width)
  width = width or math.max(1, height * old_width // old_height)
  return nn.image.resize(picture, height, width, options.filter == "bicubic", options.antialias)
end

local function cut(picture, axis, top, left, height, width)
  return picture:slice(axis, top, top + height - 1):slice(axis + 1, left, left + width - 1)
end

local crop_options = {
  top = spec.integer { min = 1, default = 1 },
  left = spec.integer { min = 1, default = 1 },
  height = spec.integer { min = 1, required = true },
  width = spec.integer { min = 1, required = true },
}

local function check_fits(name, shape, axis, options)
  local bottom, right = (options.top or 1) + options.height - 1, (options.left or 1) + options.width - 1
  if bottom > shape[axis] or right > shape[axis + 1] then
    error(string.format("%s: expected a part of the picture, got %dx%d at row %d, column %d of [%s]", name,
      options.height, options.width, options.top or 1, options.left or 1, table.concat(shape, "x")), 3)
  end
end

--- A part of the picture; top and left count from 1. It shares the picture's memory.
---
--- Example:
---     image.crop(nn.ones { 100, 200, 3 }, { top = 11, left = 21, height = 50, width = 60 }).shape  --> { 50, 60, 3 }
---     image.crop(nn.ones { 100, 200, 3 }, { height = 101, width = 50 })
---     --> error: image.crop: expected a part of the picture, got 101x50 at row 1, column 1 of [100x200x3]
---@param picture Tensor  # also [H x W], or a batch
---@param options { height: integer, width: integer, top?: integer, left?: integer }
---@return Tensor
function M.crop(picture, options)
  options = spec.check("image.crop", options, crop_options)
  local axis = height_axis("image.crop", picture)
  check_fits("image.crop", picture.shape, axis, options)
  return cut(picture, axis, options.top, options.left, options.height, options.width)
end

local centre_options = {
  side = spec.integer { min = 1 },
  height = spec.integer { min = 1 },
  width = spec.integer { min = 1 },
}

-- Half of a whole number, rounded; of an odd one to the even neighbour, as torchvision places its crops.
local function half(n)
  local down = n // 2
  return n % 2 == 1 and down % 2 == 1 and down + 1 or down
end

--- The middle of the picture: height x width, or side x side. It shares the picture's memory.
---
--- Example:
---     image.centre_crop(nn.ones { 100, 200, 3 }, { side = 64 }).shape  --> { 64, 64, 3 }
---@param picture Tensor  # also [H x W], or a batch
---@param options { side?: integer, height?: integer, width?: integer }
---@return Tensor
function M.centre_crop(picture, options)
  options = spec.check("image.centre_crop", options, centre_options)
  local axis = height_axis("image.centre_crop", picture)
  local wanted = { height = options.height or options.side, width = options.width or options.side }
  if not wanted.height or not wanted.width then
    local got = next(wanted) and "one of them" or "none"
    error("image.centre_crop: expected side, or height and width, got " .. got, 2)
  end
  check_fits("image.centre_crop", picture.shape, axis, wanted)
  local top, left = half(picture.shape[axis] - wanted.height), half(picture.shape[axis + 1] - wanted.width)
  return cut(picture, axis, top + 1, left + 1, wanted.height, wanted.width)
end

-- The picture's rows (or columns) in the order place(1), place(2), ... place(count).
local function arrange(picture, axis, count, place)
  local places = {}
  for i = 1, count do places[i] = place(i) end
  return picture:index_select(axis, nn.tensor(places, { type = "index" }))
end

--- The picture mirrored: left and right exchanged, or top and bottom.
---
--- Example:
---     image.flip(nn.tensor { { 1, 2 }, { 3, 4 } }):tolist()[1]              --> { 2.0, 1.0 }
---     image.flip(nn.tensor { { 1, 2 }, { 3, 4 } }, "vertical"):tolist()[1]  --> { 3.0, 4.0 }
---@param picture Tensor  # also [H x W], or a batch
---@param direction? "horizontal"|"vertical"
---@return Tensor
function M.flip(picture, direction)
  local axis = height_axis("image.flip", picture)
  if direction == nil or direction == "horizontal" then
    axis = axis + 1
  elseif direction ~= "vertical" then
    error("image.flip: expected \"horizontal\" or \"vertical\", got " .. spec.shown(direction), 2)
  end
  local size = picture.shape[axis]
  return arrange(picture, axis, size, function(i) return size + 1 - i end)
end

local pad_options = {
  all = spec.integer { min = 0, default = 0 },
  top = spec.integer { min = 0 },
  bottom = spec.integer { min = 0 },
  left = spec.integer { min = 0 },
  right = spec.integer { min = 0 },
  mode = spec.choice { "constant", "reflect", "edge", default = "constant" },
  value = spec.number { default = 0 },
}

local function pad_constant(picture, axis, before, after, value)
  local shape = table.move(picture.shape, 1, #picture.shape, 1, {})
  local size = shape[axis]
  shape[axis] = size + before + after
  local padded = nn.full(shape, value, { type = picture.type })
  padded:slice(axis, before + 1, before + size):copy(picture)
  return padded
end

--- The picture with a margin: of one value, of its own pixels mirrored at the outermost ones ("reflect"), or of the
--- outermost ones ("edge"). `all` is the margin of every side that is not named.
---
--- Example:
---     image.pad(nn.tensor { { 1, 2, 3 } }, { left = 2, mode = "reflect" }):tolist()[1]
---     --> { 3.0, 2.0, 1.0, 2.0, 3.0 }
---     image.pad(nn.ones { 28, 28, 1 }, { all = 2 }).shape  --> { 32, 32, 1 }
---@param picture Tensor  # also [H x W], or a batch
---@param options table  # all, top, bottom, left, right: integers; mode = "constant"|"reflect"|"edge"; value: a number
---@return Tensor
function M.pad(picture, options)
  options = spec.check("image.pad", options, pad_options)
  local first = height_axis("image.pad", picture)
  for i, ends in ipairs { { "top", "bottom" }, { "left", "right" } } do
    local axis = first + i - 1
    local size = picture.shape[axis]
    local before, after = options[ends[1]] or options.all, options[ends[2]] or options.all
    if options.mode == "constant" then
      picture = before + after > 0 and pad_constant(picture, axis, before, after, options.value) or picture
    elseif options.mode == "edge" then
      picture = arrange(picture, axis, before + size + after, function(p)
        return math.min(math.max(p - before, 1), size)
      end)
    else
      if math.max(before, after) >= size then
        error(string.format("image.pad: reflect expects margins below the picture's side of %d, got %d", size,
          math.max(before, after)), 2)
      end
      picture = arrange(picture, axis, before + size + after, function(p)
        p = p - before
        return p < 1 and 2 - p or p > size and 2 * size - p or p
      end)
    end
  end
  return picture
end

--- The picture with every pixel as a square of factor x factor pixels.
---
--- Example:
---     image.enlarge(nn.ones { 28, 28, 1 }, 4).shape  --> { 112, 112, 1 }
---@param picture Tensor  # [H x W x C]
---@param factor integer
---@return Tensor  # [factor H x factor W x C]
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

-- ---- many pictures as one ----

local grid_options = {
  columns = spec.integer { min = 1 },
  gap = spec.integer { min = 0, default = 2 },
  background = spec.number { min = 0, max = 1, default = 1 },
  labels = spec.list { spec.text() },
  place = spec.choice { "below", "above", default = "below" },
}

-- The lines of a label.
local function lines_of(label)
  local lines = {}
  for line in (label .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- Text as a picture [height x width x channels]: values of `ink` on `paper`.
local function draw_text(text, channels, ink, paper, kind)
  local rows = font.draw(text, function(on)
    local pixel = {}
    for c = 1, channels do pixel[c] = (on or c == 4) and (c == 4 and (kind == "uint8" and 255 or 1) or ink) or paper end
    return pixel
  end)
  return nn.tensor(rows, { type = kind })
end

--- One picture of many: a batch [N x H x W x C], or a list of pictures of one shape, row by row. The pictures of a
--- uint8 batch give a uint8 picture. There are about as many columns as rows unless `columns` says otherwise. Labels
--- (one for each; several lines are fine) are written below or above the pictures; columns are as wide as the widest.
---
--- Example:
---     x = data.synthetic({ side = 16 }).test:batches { size = 6 }()
---     image.grid(x, { columns = 3, labels = { "a", "b", "c", "d", "e", "f" } }).shape  --> { 52, 52, 3 }
---     image.grid(x, { labels = { "a" } })  --> error: image.grid: expected 6 labels, as there are images, got 1
---@param images Tensor|Tensor[]
---@param options? { columns?: integer, gap?: integer, background?: number, labels?: string[], place?: "below"|"above" }
---@return Tensor picture  # [H x W x C]
function M.grid(images, options)
  options = spec.check("image.grid", options, grid_options)
  local several = type(images) == "table" or type(images) == "userdata"
  local first = several and #images > 0 and images[1]
  if type(first) ~= "userdata" or #first.shape ~= 3 then
    local got = type(images) == "userdata" and "[" .. table.concat(images.shape, "x") .. "]"
      or type(first) == "userdata" and "a list of [" .. table.concat(first.shape, "x") .. "]" or spec.shown(images)
    error("image.grid: expected a batch [N x H x W x C] or a list of images [H x W x C], got " .. got, 2)
  end
  local height, width, channels = table.unpack(first.shape)
  local labels, label_lines, label_width = options.labels, 0, 0
  if labels and #labels ~= #images then
    error(string.format("image.grid: expected %d labels, as there are images, got %d", #images, #labels), 2)
  end
  for _, label in ipairs(labels or {}) do
    local lines = lines_of(label)
    label_lines = math.max(label_lines, #lines)
    for _, line in ipairs(lines) do label_width = math.max(label_width, font.width(line)) end
  end
  local label_height = label_lines * font.line
  local columns = math.min(options.columns or math.ceil(math.sqrt(#images)), #images)
  local lines, gap = math.ceil(#images / columns), options.gap
  -- neighbours keep a blank between them
  if label_width > 0 and columns > 1 then label_width = label_width + font.width " " end
  local cell_height, cell_width = height + label_height, math.max(width, label_width)
  local unit = first.type == "uint8" and 255 or 1
  local paper = first.type == "uint8" and math.floor(options.background * 255 + 0.5) or options.background
  local ink = options.background < 0.5 and unit or 0
  local picture = nn.full({ lines * (cell_height + gap) - gap, columns * (cell_width + gap) - gap, channels }, paper,
    { type = first.type })
  for i = 1, #images do
    local shape = images[i].shape
    if #shape ~= 3 or shape[1] ~= height or shape[2] ~= width or shape[3] ~= channels then
      error(string.format("image.grid: expected images of one shape, [%dx%dx%d], got [%s] at place %d", height, width,
        channels, table.concat(shape, "x"), i), 2)
    end
    local top, left = (i - 1) // columns * (cell_height + gap), (i - 1) % columns * (cell_width + gap)
    local above = options.place == "above" and label_height or 0
    cut(picture, 1, top + above + 1, left + (cell_width - width) // 2 + 1, height, width):copy(images[i])
    for n, line in ipairs(labels and lines_of(labels[i]) or {}) do
      local at = top + (above > 0 and 0 or height) + (n - 1) * font.line
      local wide = font.width(line)
      if wide > 0 then
        cut(picture, 1, at + 1, left + (cell_width - wide) // 2 + 1, font.line, wide)
          :copy(draw_text(line, channels, ink, paper, first.type))
      end
    end
  end
  return picture
end

return M
