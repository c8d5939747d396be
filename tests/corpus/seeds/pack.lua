--- Containers around bytes: gzip, zlib, tar, zip. Nothing goes through zlib, so that the bytes are always the same.
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

--- A deflate stream in which a run of equal bytes takes 13 bits for each 258 of them, and other bytes 8 or 9.
---@param bytes string
---@return string
function M.runs(bytes)
  local bits = {}
  local function add(value, count) -- the highest bit first, as codes are stored
    for i = count - 1, 0, -1 do bits[#bits + 1] = value >> i & 1 end
  end
  add(6, 3) -- the last block, fixed codes: 1, then 01 from its lower bit
  local at = 1
  while at <= #bytes do
    local byte = bytes:byte(at)
    if byte < 144 then add(0x30 + byte, 8) else add(0x190 + byte - 144, 9) end
    at = at + 1
    while bytes:sub(at, at + 257) == string.char(byte):rep(258) do
      add(0xc5, 8) -- 258 bytes
      add(0, 5)    -- from one byte back
      at = at + 258
    end
  end
  add(0, 7)
  local text = table.concat(bits) .. ("0"):rep(-#bits % 8)
  return (text:gsub("........", function(eight) return string.char(tonumber(eight:reverse(), 2)) end))
end

--- A gzip file.
---@param bytes string
---@param runs? boolean  # shorten runs
---@return string
function M.gzip(bytes, runs)
  local stream = (runs and M.runs or M.stored)(bytes)
  return "\x1f\x8b\8\0\0\0\0\0\0\3" .. stream .. string.pack("<I4I4", M.crc32(bytes), #bytes)
end

--- A zlib stream.
---@param bytes string
---@param runs? boolean  # shorten runs
---@return string
function M.zlib(bytes, runs)
  return "\x78\x01" .. (runs and M.runs or M.stored)(bytes) .. string.pack(">I4", adler32(bytes))
end

--- A tar entry as POSIX has it. `size` is what it declares, if that is not its length.
---@param name string
---@param bytes? string
---@param options? { kind?: string, target?: string, size?: integer }  # kind "0": file, "2": symbolic link, "5": folder
---@return string
function M.tar_entry(name, bytes, options)
  bytes, options = bytes or "", options or {}
  local header = string.pack("c100c8c8c8c12c12c8c1c100c8c32c32c8c8c167", name, "0000644", "0000000", "0000000",
    ("%011o"):format(options.size or #bytes), "00000000000", "        ", options.kind or "0", options.target or "",
    "ustar\0" .. "00", "", "", "0000000", "0000000", "")
  local sum = 0
  for i = 1, #header do sum = sum + header:byte(i) end
  return header:sub(1, 148) .. ("%06o\0 "):format(sum) .. header:sub(157) .. bytes .. ("\0"):rep(-#bytes % 512)
end

--- A tar file of these entries.
---@param ... string
---@return string
function M.tar(...) return table.concat { ... } .. ("\0"):rep(1024) end

--- A zip file. Each entry is { name, bytes } and may have `method` (0: stored, 8: deflated), `size` (what it declares),
--- `mode` (of Unix) and `crc`.
---@param entries table[]
---@return string
function M.zip(entries)
  local locals, list, offset = {}, {}, 0
  for i, entry in ipairs(entries) do
    local name, bytes, method = entry[1], entry[2], entry.method or 0
    local packed = method == 8 and M.stored(bytes) or bytes
    local fields = string.pack("<I2I2I2I2I2I4I4I4I2I2", 20, 0, method, 0, 33, entry.crc or M.crc32(bytes), #packed,
      entry.size or #bytes, #name, 0)
    locals[i] = "PK\3\4" .. fields .. name .. packed
    list[i] = "PK\1\2" .. string.pack("<I2", 3 << 8 | 20) .. fields .. string.pack("<I2I2I2I4I4", 0, 0, 0,
      (entry.mode or 0x81a4) << 16, offset) .. name
    offset = offset + #locals[i]
  end
  local all, contents = table.concat(locals), table.concat(list)
  return all .. contents .. "PK\5\6" .. string.pack("<I2I2I2I2I4I4I2", 0, 0, #entries, #entries, #contents, #all, 0)
end

return M
