--- Containers around bytes: gzip, zlib; both without compression, so that the bytes are the same from any zlib.
local M = {}

--- CRC-32 as gzip, PNG and zip use it.
---@param bytes string
---@return integer
function M.crc32(bytes)
  local crc = 0xffffffff
  for i = 1, #bytes do
    crc = crc ~ bytes:byte(i)
    for _ = 1, 8 do crc = crc >> 1 ~ (crc & 1) * 0xedb88320 end
  end
  return crc ~ 0xffffffff
end

local function adler32(bytes)
  local a, b = 1, 0
  for i = 1, #bytes do
    a = (a + bytes:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b << 16 | a
end

--- A deflate stream of one stored block.
---@param bytes string  # up to 65535
---@return string
function M.stored(bytes) return string.pack("<BI2I2", 1, #bytes, ~#bytes & 0xffff) .. bytes end

--- A gzip file.
---@param bytes string
---@return string
function M.gzip(bytes)
  return "\x1f\x8b\8\0\0\0\0\0\0\3" .. M.stored(bytes) .. string.pack("<I4I4", M.crc32(bytes), #bytes)
end

--- A zlib stream.
---@param bytes string
---@return string
function M.zlib(bytes) return "\x78\x01" .. M.stored(bytes) .. string.pack(">I4", adler32(bytes)) end

return M
