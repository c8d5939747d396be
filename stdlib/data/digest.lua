--- What a data set is, in one number that two machines can compare: a SHA-256 of its files.
local find = require "data.find"
local hash = require "hash"
local lfs = require "lfs"

local M = {}

local format, sort, concat = string.format, table.sort, table.concat

-- Folders of pictures with more bytes than this (ImageNet) are told by the names and sizes of their files: to read
-- them all takes longer than most runs.
local MOST_READ <const> = 2 << 30
local MOST_DEPTH <const> = 64

-- The regular files below a folder, links followed as the readers follow them.
local function add_below(list, folder, depth)
  if depth > MOST_DEPTH then return end
  local ok, iterate, state = pcall(lfs.dir, folder)
  if not ok then return end
  for name in iterate, state do
    local path = folder .. "/" .. name
    local mode = name:sub(1, 1) ~= "." and lfs.attributes(path, "mode")
    if mode == "directory" then add_below(list, path, depth + 1) end
    if mode == "file" then list[#list + 1] = path end
  end
end

local function paths_of(found)
  if not found.watch then return find.files_of(found) end
  local list = {}
  for _, folder in pairs(found.watch) do add_below(list, folder, 0) end
  list[#list + 1] = found.annotations
  return list
end

---@class DataDigest
---@field sha256 string   # of a line for each file, sorted by name: its own digest (or its size) and its name
---@field bytes integer
---@field files integer
---@field by "content"|"sizes"

--- The digest of a data set that find.locate found: names below its folder and contents; of very large folders of
--- pictures, names and sizes. Where the folder is does not matter.
---@param found table
---@return DataDigest? digest, string? message, string? code
function M.of(found)
  local seen, files, bytes = {}, {}, 0
  local above = (found.kind == "archive" and found.folder:match "^(.*/)" or found.folder .. "/"):gsub("//+$", "/")
  for _, path in ipairs(paths_of(found)) do
    if not seen[path] then
      seen[path] = true
      local size = lfs.attributes(path, "size") or 0
      local name = path:sub(1, #above) == above and path:sub(#above + 1) or path:match "[^/]+$"
      files[#files + 1], bytes = { path = path, name = name, size = size }, bytes + size
    end
  end
  sort(files, function(a, b) return a.name < b.name end)
  local by = bytes > MOST_READ and "sizes" or "content"
  local lines = {}
  for i, this in ipairs(files) do
    local sum, message, code = format("%d", this.size), nil, nil
    if by == "content" then sum, message, code = hash.sha256_file(this.path) end
    if not sum then return nil, message, code end
    lines[i] = format("%s  %s\n", sum, this.name)
  end
  return { sha256 = hash.sha256(concat(lines)), bytes = bytes, files = #files, by = by }
end

--- The digest of the data set of that name, or nil, message, code when it is not here.
---@param name string
---@return DataDigest? digest, string? message, string? code
function M.named(name)
  local found, looked = find.locate(name)
  if not found then
    return nil, format("data set %s is not here; looked for: %s", name, concat(looked, ", ")), "io"
  end
  if found.missing or found.wrong then
    return nil, found.wrong or format("data set %s: %s is missing", name, found.missing), "format"
  end
  return M.of(found)
end

return M
