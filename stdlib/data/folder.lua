--- Small questions about files and folders, for the readers of data sets.
local lfs = require "lfs"
local text = require "text"

local M = {}

local format = string.format

---@param path string
---@return boolean
function M.is_folder(path)
  return lfs.attributes(path, "mode") == "directory"
end

---@param path string
---@return boolean
function M.is_file(path)
  return lfs.attributes(path, "mode") == "file"
end

--- The first of some folders below `folder` that is there, or nil.
---@param folder string
---@param names string[]
---@return string?
function M.first_folder(folder, names)
  for _, name in ipairs(names) do
    if M.is_folder(folder .. "/" .. name) then return folder .. "/" .. name end
  end
end

--- The names in a folder, sorted, without hidden ones; none when it cannot be read.
---@param folder string
---@return string[] folders, string[] files
function M.list(folder)
  local folders, files = {}, {}
  if M.is_folder(folder) then
    local ok, iterate, state = pcall(lfs.dir, folder)
    if not ok then return folders, files end
    for name in iterate, state do
      if name:sub(1, 1) ~= "." then
        local into = M.is_folder(folder .. "/" .. name) and folders or files
        into[#into + 1] = name
      end
    end
  end
  table.sort(folders)
  table.sort(files)
  return folders, files
end

--- The path without its last part.
---@param path string
---@return string
function M.parent(path)
  local above = path:match("^(.*)/[^/]+$")
  return above and (above ~= "" and above or "/") or path .. "/.."
end

--- A path's last part, without slashes at its end.
---@param path string
---@return string
function M.name(path)
  return path:match("([^/]+)/*$") or path
end

--- A name or line from a file as a message shows it: short, and without control characters.
---@param name string
---@return string
function M.shown(name)
  return (name:sub(1, 60):gsub("%c", "?"))
end

--- "3 folders (a, b, c)": how many, and the first names.
---@param names string[]
---@param what string
---@return string
function M.some(names, what)
  if #names == 0 then return "no " .. what end
  local shown = {}
  for i = 1, math.min(#names, 4) do shown[i] = M.shown(names[i]) end
  return format("%s (%s%s)", text.plural(#names, what), table.concat(shown, ", "),
    #names > 4 and ", ..." or "")
end

--- A file's lines without blanks at their ends and without empty ones, or nil, message.
---@param path string
---@return string[]? lines, string? message
function M.lines(path)
  local handle, message = io.open(path, "r")
  if not handle then return nil, message end
  local lines = {}
  if not handle:read(0) and M.is_folder(path) then
    handle:close()
    return nil, path .. ": a folder, a file expected"
  end
  for line in handle:lines() do
    line = line:gsub("%s+$", "")
    if line ~= "" then lines[#lines + 1] = line end
  end
  handle:close()
  return lines
end

--- The value, or an error with the message that came in its place.
function M.must(...)
  local value, message = ...
  if value == nil then error(message, 0) end
  return ...
end

--- Names, one a line, as many as expected; nil when there is no such file.
---@param path string
---@param count integer
---@return string[]?
function M.names(path, count)
  if not M.is_file(path) then return nil end
  local names = M.must(M.lines(path))
  if #names ~= count then error(format("%s: %d names expected, one a line, %d found", path, count, #names), 0) end
  return names
end

--- "0", "1", ... : the names of classes that have none.
---@param count integer
---@return string[]
function M.digits(count)
  local names = {}
  for i = 1, count do names[i] = tostring(i - 1) end
  return names
end

--- What is wrong with the option `test` for a data set that has a test part.
---@param where string
---@param test string
---@return string
function M.has_test(where, test)
  return format("%s has a test part of its own, %s: the option test is for folders without one", where, test)
end

return M
