local pack = require "seeds.pack"

local function chunk(name, bytes)
  return string.pack(">I4", #bytes) .. name .. bytes .. string.pack(">I4", pack.crc32(name .. bytes))
end

local function header(width, height, depth, kind, interlaced)
  return "\x89PNG\r\n\x1a\n" .. chunk("IHDR", string.pack(">I4I4BBBBB", width, height, depth, kind, 0, 0,
    interlaced and 1 or 0))
end

-- Rows of `bytes` bytes that say something, each after its filter.
local function rows(count, bytes, filter)
  local made = {}
  for y = 1, count do
    made[#made + 1] = string.char(filter or y % 5)
    for x = 1, bytes do made[#made + 1] = string.char((x * 29 + y * 53) % 251) end
  end
  return table.concat(made)
end

-- The rows of the seven passes over an interlaced picture of 8 bits.
local function passes(width, height, channels)
  local made = {}
  for _, p in ipairs { { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 }, { 0, 2, 2, 4 }, { 1, 0, 2, 2 },
                       { 0, 1, 1, 2 } } do
    local columns, lines = (width - p[1] + p[3] - 1) // p[3], (height - p[2] + p[4] - 1) // p[4]
    if columns > 0 then made[#made + 1] = rows(lines, columns * channels) end
  end
  return table.concat(made)
end

local grey, colour, palette, grey_alpha, colour_alpha = 0, 2, 3, 4, 6
local function picture(width, height, depth, kind, pixels, before)
  return header(width, height, depth, kind) .. (before or "") .. chunk("IDAT", pack.zlib(pixels)) .. chunk("IEND", "")
end

-- EXIF that says: turned by 90 degrees.
local turned = chunk("eXIf", "MM\0*" .. string.pack(">I4I2I2I2I4I2I2I4", 8, 1, 0x112, 3, 1, 6, 0, 0))
local four_colours = chunk("PLTE", "\0\0\0\255\0\0\0\255\0\0\0\255")
local rgb = rows(4, 15)

return {
  ["valid-grey-1"] = picture(11, 5, 1, grey, rows(5, 2)),
  ["valid-grey-8"] = picture(5, 7, 8, grey, rows(7, 5)),
  ["valid-grey-16"] = picture(3, 4, 16, grey, rows(4, 6)),
  ["valid-palette-2"] = picture(9, 3, 2, palette, rows(3, 3), four_colours .. chunk("tRNS", "\0\128")),
  ["valid-colour-8-turned"] = picture(5, 4, 8, colour, rgb, turned),
  ["valid-colour-16-key"] = picture(2, 3, 16, colour, rows(3, 12), chunk("tRNS", "\0\0\0\0\0\0")),
  ["valid-grey-alpha"] = picture(4, 3, 8, grey_alpha, rows(3, 8)),
  ["valid-interlaced"] = header(11, 9, 8, colour_alpha, true) .. chunk("IDAT", pack.zlib(passes(11, 9, 4)))
    .. chunk("IEND", ""),
  ["valid-parts"] = header(5, 4, 8, colour) .. chunk("IDAT", pack.zlib(rgb):sub(1, 20))
    .. chunk("IDAT", pack.zlib(rgb):sub(21)) .. chunk("IEND", ""),
  ["damaged-sides"] = picture(0x7fffffff, 0x7fffffff, 16, colour_alpha, "\0\0"),
  ["damaged-square"] = picture(40000, 40000, 1, grey, "\0\0"),
  ["damaged-crc"] = (picture(5, 4, 8, colour, rgb):gsub("IHDR%z", "IHDR\1")),
  ["damaged-no-palette"] = picture(9, 3, 2, palette, rows(3, 3)),
  ["damaged-rows"] = picture(5, 5, 8, colour, rgb),
  ["damaged-empty"] = "",
}
