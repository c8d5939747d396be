--- Small JPEG files whose blocks are one mean and one wave each.

local function segment(marker, bytes) return string.pack(">BBI2", 0xff, marker, #bytes + 2) .. bytes end

local function binary(value, length)
  local bits = {}
  for i = length - 1, 0, -1 do bits[#bits + 1] = value >> i & 1 end
  return table.concat(bits)
end

-- Codes of 4 bits for differences of 0 to 11 bits; of 2 bits for "no more", "a number of one bit", "16 zeros".
local mean_table = string.pack("BBBBBBBBBBBBBBBB", 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  .. "\0\1\2\3\4\5\6\7\8\9\10\11"
local wave_table = string.pack("BBBBBBBBBBBBBBBB", 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) .. "\0\1\xf0"

local function mean_bits(difference)
  local magnitude, length = math.abs(difference), 0
  while magnitude >> length > 0 do length = length + 1 end
  return binary(length, 4) .. binary(difference >= 0 and difference or difference + (1 << length) - 1, length)
end

-- Bits as bytes, filled up with ones; after 0xff comes a zero.
local function packed(bits)
  bits = bits .. ("1"):rep(-#bits % 8)
  local bytes = bits:gsub("........", function(byte) return string.char(tonumber(byte, 2)) end)
  return (bytes:gsub("\xff", "\xff\0"))
end

--- components: { h, v } each; a scan holds them all, or, when progressive, a scan of means and then one of waves each.
--- units: how many the first scan has, if not as many as the sides ask for.
local function jpeg(o)
  local parts, most_h, most_v = {}, 1, 1
  for _, c in ipairs(o.components) do most_h, most_v = math.max(most_h, c[1]), math.max(most_v, c[2]) end
  local function add(text) parts[#parts + 1] = text end
  local function across(size, unit) return (size + unit - 1) // unit end
  local function scan(first, last, lowest, highest, units, blocks)
    local header = string.char(last - first + 1)
    for i = first, last do header = header .. string.char(i, 0) end
    add(segment(0xda, header .. string.char(lowest, highest, 0)))
    local bits, number = {}, 0
    for unit = 1, units do
      bits[#bits + 1] = blocks(unit)
      if o.restart and unit % o.restart == 0 and unit < units then
        bits[#bits + 1] = "|" .. string.char(0xd0 + number % 8)
        number = number + 1
      end
    end
    for run, marker in (table.concat(bits) .. "|"):gmatch "([01]*)|([^01]?)" do
      add(packed(run))
      if marker ~= "" then add("\xff" .. marker) end
    end
  end

  add "\xff\xd8"
  if o.turned then
    add(segment(0xe1, "Exif\0\0MM\0*" .. string.pack(">I4I2I2I2I4I2I2I4", 8, 1, 0x112, 3, 1, o.turned, 0, 0)))
  end
  if o.adobe then add(segment(0xee, "Adobe" .. string.pack(">I2I2I2B", 100, 0, 0, o.adobe))) end
  add(segment(0xdb, "\0" .. ("\8"):rep(64)))
  local frame = string.pack(">BI2I2B", 8, o.height, o.width, #o.components)
  for i, c in ipairs(o.components) do frame = frame .. string.char(i, c[1] << 4 | c[2], 0) end
  add(segment(o.progressive and 0xc2 or 0xc0, frame))
  add(segment(0xc4, "\0" .. mean_table) .. segment(0xc4, "\x10" .. wave_table))
  if o.restart then add(segment(0xdd, string.pack(">I2", o.restart))) end

  local count = #o.components
  local units = o.units or across(o.width, 8 * most_h) * across(o.height, 8 * most_v)
  scan(1, count, 0, o.progressive and 0 or 63, units, function(unit)
    local bits = {}
    for i, c in ipairs(o.components) do
      for block = 1, count == 1 and 1 or c[1] * c[2] do
        bits[#bits + 1] = mean_bits((unit * 37 + i * 11 + block * 5) % 61 - 30)
        if not o.progressive then bits[#bits + 1] = block % 2 == 1 and "01100" or "00" end
      end
    end
    return table.concat(bits)
  end)
  if o.progressive then
    for i, c in ipairs(o.components) do
      local blocks = across(across(o.width * c[1], most_h), 8) * across(across(o.height * c[2], most_v), 8)
      scan(i, i, 1, 63, blocks, function(block) return block % 2 == 1 and "01100" or "00" end)
    end
  end
  add "\xff\xd9"
  return table.concat(parts)
end

local grey, full = { { 1, 1 } }, { { 1, 1 }, { 1, 1 }, { 1, 1 } }
local halved, half_across, half_down = { { 2, 2 }, { 1, 1 }, { 1, 1 } }, { { 2, 1 }, { 1, 1 }, { 1, 1 } },
  { { 1, 2 }, { 1, 1 }, { 1, 1 } }
local inks = { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 } }

return {
  ["valid-grey"] = jpeg { width = 19, height = 11, components = grey },
  ["valid-444"] = jpeg { width = 17, height = 9, components = full },
  ["valid-422"] = jpeg { width = 33, height = 10, components = half_across },
  ["valid-420-restarts"] = jpeg { width = 60, height = 50, components = halved, restart = 3 },
  ["valid-440-turned"] = jpeg { width = 21, height = 35, components = half_down, turned = 6 },
  ["valid-cmyk"] = jpeg { width = 10, height = 10, components = inks, adobe = 0 },
  ["valid-ycck"] = jpeg { width = 10, height = 10, components = inks, adobe = 2 },
  ["valid-progressive"] = jpeg { width = 40, height = 24, components = halved, progressive = true },
  ["valid-progressive-grey"] = jpeg { width = 9, height = 9, components = grey, progressive = true, turned = 3 },
  ["damaged-sides"] = jpeg { width = 60001, height = 60001, components = grey, units = 9 },
  ["damaged-two-components"] = jpeg { width = 8, height = 8, components = { { 1, 1 }, { 1, 1 } } },
  ["damaged-end"] = jpeg({ width = 40, height = 40, components = full }):sub(1, -20),
  ["damaged-empty"] = "",
}
