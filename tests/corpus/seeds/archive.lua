local pack = require "seeds.pack"
local entry = pack.tar_entry

local tar = pack.tar(entry("cats/", "", { kind = "5" }), entry("cats/1.png", "first"), entry("dogs/2.png", "second"))

-- The list of contents of a zip file in the form for large ones, with the sizes where that form has them.
local function zip64(name, bytes)
  local crc = pack.crc32(bytes)
  local extra = string.pack("<I2I2I8I8", 1, 16, #bytes, #bytes)
  local fields = string.pack("<I2I2I2I2I2I4I4I4I2I2", 45, 0, 0, 0, 33, crc, 0xffffffff, 0xffffffff, #name, #extra)
  local all = "PK\3\4" .. fields .. name .. extra .. bytes
  local listed = string.pack("<I2I2I8I8I8", 1, 24, #bytes, #bytes, 0)
  local contents = "PK\1\2" .. string.pack("<I2", 3 << 8 | 45) .. fields:sub(1, -3) .. string.pack("<I2", #listed)
    .. string.pack("<I2I2I2I4I4", 0, 0, 0, 0x81a4 << 16, 0xffffffff) .. name .. listed
  local record = "PK\6\6" .. string.pack("<I8I2I2I4I4I8I8I8I8", 44, 45, 45, 0, 0, 1, 1, #contents, #all)
  local place = "PK\6\7" .. string.pack("<I4I8I4", 0, #all + #contents, 1)
  return all .. contents .. record .. place
    .. "PK\5\6" .. string.pack("<I2I2I2I2I4I4I2", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
end

return {
  ["valid-tar"] = tar,
  ["valid-tar.gz"] = pack.gzip(tar),
  ["valid-link.tar"] = pack.tar(entry("a", "", { kind = "2", target = "/etc/passwd" })),
  ["valid-long-name.tar"] = pack.tar(entry("././@LongLink", ("x"):rep(120) .. "\0", { kind = "L" }), entry("x", "y")),
  ["valid-zip"] = pack.zip { { "cats/1.png", "first" }, { "dogs/", "" }, { "dogs/2.png", "second", method = 8 } },
  ["valid-zip64"] = zip64("large", "not large"),
  ["damaged-declared.zip"] = pack.zip { { "bomb", "x", size = 0xfffffffe } },
  ["damaged-crc.zip"] = pack.zip { { "a", "bytes", crc = 1 } },
  ["damaged-declared.tar"] = pack.tar(entry("a", "", { size = 1 << 32 })),
  ["damaged-no-end.tar"] = entry("a", "text"),
  ["damaged-empty"] = "",
}
