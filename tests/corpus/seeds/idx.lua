local pack = require "seeds.pack"

local labels = string.pack(">I2BBI4", 0, 8, 1, 5) .. "\0\1\2\9\3"
local images = string.pack(">I2BBI4I4I4", 0, 8, 3, 2, 3, 3) .. "abcdefghi" .. "ABCDEFGHI"
local colour = string.pack(">I2BBI4I4I4I4", 0, 8, 4, 1, 2, 2, 3) .. "rgbrgbrgbrgb"

return {
  ["valid-labels"] = labels,
  ["valid-images"] = images,
  ["valid-colour"] = colour,
  ["valid-labels.gz"] = pack.gzip(labels, true),
  ["valid-images.gz"] = pack.gzip(images),
  ["damaged-empty"] = "",
  ["damaged-float"] = string.pack(">I2BBI4", 0, 13, 1, 1) .. "\0\0\0\0",
  ["damaged-sizes"] = string.pack(">I2BBI4I4I4I4", 0, 8, 4, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff),
  ["damaged-large.gz"] = pack.gzip(string.pack(">I2BBI4I4", 0, 8, 2, 1 << 31, 1 << 30) .. "short"),
  ["damaged-more"] = labels .. "more",
}
