local pack = require "seeds.pack"

--- folders, files, classes: lists of packed entries; `counts` overrides what the header declares.
local function index(text, folders, files, classes, counts)
  local rest = table.concat(folders) .. table.concat(files) .. table.concat(classes) .. text
  counts = counts or { #text, #folders, #files, #classes }
  return "PENFILES" .. string.pack("<I4I4i8i8i8i8I4I4", 1, 0x01020304, counts[1], counts[2], counts[3], counts[4],
    pack.crc32(rest), 0) .. rest
end

local function folder(place) return string.pack("<I4I4i8I8", place, 0, 1700000000, 7) end
local function file(in_folder, place, label) return string.pack("<I4I4i4", in_folder, place, label) end
local function class(place) return string.pack("<I4", place) end

local text = "/no/such/folder\0\0cats\0dogs\0" .. "1.png\0"  -- at 0, 16, 17, 22, 27
local folders, classes = { folder(16), folder(17), folder(22) }, { class(17), class(22) }
local files = { file(1, 27, 0), file(2, 27, 1) }

return {
  ["valid-two-classes"] = index(text, folders, files, classes),
  ["valid-no-files"] = index(text, folders, {}, classes),
  ["damaged-label"] = index(text, folders, { file(1, 27, 2) }, classes),
  ["damaged-name"] = index(text, folders, { file(1, 0xffffffff, 0) }, classes),
  ["damaged-folder"] = index(text, folders, { file(3, 27, 0) }, classes),
  ["damaged-text"] = index(text .. "x", folders, files, classes),
  ["damaged-counts"] = index(text, folders, files, classes, { 1, 0xffffffff, 0x7fffffff, 0x7fffffff }),
  ["damaged-sum"] = index(text, folders, files, classes) .. "x",
  ["damaged-empty"] = "",
}
