local pack = require "seeds.pack"

local INT8, UINT8, INT16, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED = 1, 2, 3, 4, 5, 6, 9, 14, 15
local STRUCT, CHAR, DOUBLES, BYTES = 2, 4, 6, 9

local function file(...)
  return ("MATLAB 5.0 MAT-file" .. (" "):rep(105)) .. string.pack("<I2", 0x100) .. "IM" .. table.concat { ... }
end

local function element(kind, bytes) return string.pack("<I4I4", kind, #bytes) .. bytes .. ("\0"):rep(-#bytes % 8) end

local function small(kind, bytes) return string.pack("<I2I2c4", kind, #bytes, bytes) end

local function array(class, sizes, name, contents)
  return element(MATRIX, element(UINT32, string.pack("<I4I4", class, 0))
    .. element(INT32, string.pack(("<" .. ("i4"):rep(#sizes)), table.unpack(sizes)))
    .. (#name <= 4 and small(INT8, name) or element(INT8, name)) .. contents)
end

local function packed(variable)
  local stream = pack.zlib(variable, true)
  return string.pack("<I4I4", COMPRESSED, #stream) .. stream
end

local pixels = ("\7"):rep(1024) .. ("\200"):rep(1024) .. ("\0"):rep(1024)
local X = array(BYTES, { 32, 32, 3, 1 }, "X", element(UINT8, pixels))
local two = array(BYTES, { 32, 32, 3, 2 }, "X", element(UINT8, pixels .. pixels))
local y = array(BYTES, { 1, 1 }, "y", small(UINT8, "\10"))
local y_double = array(DOUBLES, { 2, 1 }, "y", element(DOUBLE, string.pack("<dd", 1, 10)))

local function text(value) return array(CHAR, { 1, #value }, "", element(UINT16, (value:gsub(".", "%0\0")))) end
local function number(value) return array(DOUBLES, { 1, 1 }, "", small(UINT8, string.char(value))) end
local function synsets(cells, rows)
  return array(STRUCT, { rows, 1 }, "synsets", small(INT32, string.pack("<I4", 32))
    .. element(INT8, string.pack("c32c32c32", "ILSVRC2012_ID", "WNID", "words")) .. table.concat(cells))
end
local table_cells = { number(1), text "n01440764", text "tench", number(2), text "n0144", text "goldfish" }

-- Labels in every kind of number.
local function labelled(kind, value) return file(packed(X), array(DOUBLES, { 1, 1 }, "y", element(kind, value))) end

return {
  ["valid-single"] = labelled(7, string.pack("<f", 3)),
  ["valid-int8"] = labelled(INT8, "\3"),
  ["valid-int16"] = labelled(INT16, "\3\0"),
  ["valid-int32"] = labelled(INT32, "\3\0\0\0"),
  ["valid-int64"] = labelled(12, "\3\0\0\0\0\0\0\0"),
  ["damaged-fraction"] = labelled(DOUBLE, string.pack("<d", 1.5)),
  ["damaged-not-a-number"] = labelled(DOUBLE, "\0\0\0\0\0\0\xf8\x7f"),
  ["valid-pairs"] = file(synsets({ number(1), text "n",
    array(CHAR, { 1, 4 }, "", element(UINT16, "\x3d\xd8\0\xde\xe9\0\x3d\xd8")) }, 1)),
  ["valid-raw"] = file(X, y),
  ["valid-packed"] = file(packed(X), packed(y)),
  ["valid-two-double"] = file(packed(y_double), packed(two)),
  ["valid-table"] = file(synsets(table_cells, 2)),
  ["valid-table-packed"] = file(packed(synsets(table_cells, 2))),
  ["valid-negative-text"] = file(synsets({ number(1), text "n",
    array(CHAR, { 1, 2 }, "", small(INT16, "\xff\xff\0\x80")) }, 1)),
  ["damaged-short-x"] = file(packed(two)):sub(1, -60),
  ["damaged-counts"] = file(packed(two), packed(y)),
  ["damaged-sizes"] = file(array(BYTES, { 32, 32, 3, 0x7fffffff }, "X", "")),
  ["damaged-label"] = file(packed(X), packed(array(BYTES, { 1, 1 }, "y", small(UINT8, "\11")))),
  ["damaged-rows"] = file(synsets(table_cells, 0x7fffffff)),
  ["damaged-hdf5"] = "MATLAB 7.3" .. (" "):rep(200),
  ["damaged-empty"] = "",
}
