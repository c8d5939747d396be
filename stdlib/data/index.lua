--- Class folders as lists of picture files. Reading a large one is remembered in the user's cache, until one of its
--- folders changes.
local cache = require "data.cache"
local folder = require "data.folder"
local nn = require "nn"

local M = {}

local WORTH_KEEPING = 4096 -- files: below this, reading the folders is as fast

local function same_list(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

--- The picture files of a folder of class folders: every .jpg, .jpeg and .png at and below each of them, by name.
--- `classes` fixes the names of the classes and their labels; else they are the folders' names, sorted.
---@param root string
---@param classes? string[]
---@return any files
function M.scan(root, classes)
  root = cache.whole(root)
  local path = cache.path("files", root .. "\n" .. table.concat(classes or {}, "\n"), ".index")
  local kept = path and folder.is_file(path) and nn.files.read(path, root)
  if kept and (not classes or same_list(kept:classes(), classes)) then return kept end
  local files = folder.must(nn.files.scan(root, classes))
  if path and #files >= WORTH_KEEPING then files:write(path) end
  return files
end

return M
