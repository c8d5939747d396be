--- Small data sets on disk for tests, each in a folder that is removed afterwards.
local data = require "data"
local file = require "file"
local image = require "image"
local lfs = require "lfs"
local nn = require "nn"

local M = {}

local pack = string.pack

--- A new empty folder.
---@return string
function M.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path
end

--- Removes a folder with all that is in it.
M.remove = file.remove_folder

--- Writes a file, and makes the folders above it.
---@param path string
---@param bytes string
function M.write(path, bytes)
  for above in path:gmatch("()/") do
    if above > 1 then lfs.mkdir(path:sub(1, above - 1)) end
  end
  local handle = assert(io.open(path, "wb"))
  handle:write(bytes)
  handle:close()
end

--- A picture of one colour: height x width, grey (one number) or r, g, b.
---@param path string
---@param height integer
---@param width integer
---@param ... integer
function M.picture(path, height, width, ...)
  M.write(path, "")
  local colour = { ... }
  local pixels = nn.tensor({ { colour } }, { type = "uint8" }):expand { height, width, #colour }
  assert(image.save(path, pixels:clone()))
end

--- The bytes of an IDX file of unsigned bytes.
---@param sizes integer[]
---@param bytes string
---@return string
function M.idx(sizes, bytes)
  return "\0\0\8" .. string.char(#sizes) .. pack(">" .. ("I4"):rep(#sizes), table.unpack(sizes)) .. bytes
end

-- ---- MATLAB 5 files, uncompressed ----

local UINT8, UINT16, INT8, INT32, UINT32, DOUBLE, MATRIX = 2, 4, 1, 5, 6, 9, 14

local function element(kind, bytes)
  return pack("<I4I4", kind, #bytes) .. bytes .. ("\0"):rep(-#bytes % 8)
end

local function array(class, name, sizes, contents)
  return element(MATRIX, element(UINT32, pack("<I4I4", class, 0))
    .. element(INT32, pack("<" .. ("i4"):rep(#sizes), table.unpack(sizes))) .. element(INT8, name) .. contents)
end

--- The bytes of a MATLAB 5 file of these variables.
---@return string
function M.mat(...)
  return ("MATLAB 5.0 MAT-file"):sub(1, 116) .. (" "):rep(116 - 19) .. ("\0"):rep(8) .. "\0\1IM" .. table.concat { ... }
end

--- X as SVHN has it: image n is filled with the byte values[n].
---@param values integer[]
---@return string
function M.mat_images(values)
  local images = {}
  for i, value in ipairs(values) do images[i] = string.char(value):rep(3072) end
  return array(9, "X", { 32, 32, 3, #values }, element(UINT8, table.concat(images)))
end

--- y as SVHN has it.
---@param labels number[]
---@return string
function M.mat_labels(labels)
  return array(6, "y", { #labels, 1 }, element(DOUBLE, pack("<" .. ("d"):rep(#labels), table.unpack(labels))))
end

local function text(value)
  return array(4, "", { 1, #value }, element(UINT16, (value:gsub(".", "%0\0"))))
end

local function number(value)
  return array(6, "", { 1, 1 }, element(DOUBLE, pack("<d", value)))
end

--- The table `synsets` of ImageNet's meta.mat: rows are { number, id, words }.
---@param rows table[]
---@return string
function M.mat_synsets(rows)
  local cells = {}
  for _, row in ipairs(rows) do cells[#cells + 1] = number(row[1]) .. text(row[2]) .. text(row[3]) end
  local width = 16
  local names = ("ILSVRC2012_ID" .. ("\0"):rep(3)) .. ("WNID" .. ("\0"):rep(12)) .. ("words" .. ("\0"):rep(11))
  return array(2, "synsets", { #rows, 1 },
    pack("<I2I2i4", INT32, 4, width) .. element(INT8, names) .. table.concat(cells))
end

--- Opening it must fail with one line that matches all of the patterns.
---@param path string
---@param options? table
---@param ... string
function M.refused(path, options, ...)
  local ok, message = pcall(data.open, path, options)
  if ok then error("it was not refused: " .. table.concat({ ... }, ", "), 2) end
  if message:find "\n" then error("more than a line: " .. message, 2) end
  for _, pattern in ipairs { ... } do
    if not message:find(pattern) then error(string.format("%q does not match %q", message, pattern), 2) end
  end
end

return M
