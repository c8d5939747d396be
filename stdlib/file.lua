--- Files written whole or not at all: a reader never sees half a file, and a killed program leaves the old one.
local lfs = require "lfs"
local nn = require "nn"

local M = {}

local counter = 0

--- Makes a folder and those above it; an existing one is fine.
---
--- Example:
---     file.make_folder "runs/first"  --> true
---     file.exists "runs/first"       --> true
---@param path string
---@return boolean? ok, string? message, string? code
function M.make_folder(path)
  local built = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch("[^/]+") do
    built = built .. part
    if lfs.attributes(built, "mode") ~= "directory" then
      local ok, message = lfs.mkdir(built)
      -- Another process may have made it in between.
      local mode = lfs.attributes(built, "mode")
      if not ok and mode ~= "directory" then
        message = mode and "a folder expected, found a " .. mode or "the folder cannot be made: " .. message
        return nil, string.format("%s: %s", built, message), "io"
      end
    end
    built = built .. "/"
  end
  return true
end

--- What is in a folder, sorted; nothing when it is none, or a link.
---
--- Example:
---     file.make_folder "a/b"
---     table.concat(file.names "a", " ")  --> b
---@param folder string
---@return string[]
function M.names(folder)
  local names = {}
  if lfs.symlinkattributes(folder, "mode") ~= "directory" then return names end
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The regular files below a folder, as names from it; links are not followed, and what begins with a dot, as a file
--- that is being written does, is left out. With `whatever` everything that is no folder.
---
--- Example:
---     file.make_folder "a/b"
---     file.write("a/b/c", "text")
---     table.concat(file.below "a", " ")  --> b/c
---@param folder string
---@param whatever? boolean
---@return string[]
function M.below(folder, whatever)
  local list = {}
  local function visit(path, head)
    for _, name in ipairs(M.names(path)) do
      local mode = lfs.symlinkattributes(path .. "/" .. name, "mode")
      if mode == "directory" then
        visit(path .. "/" .. name, head .. name .. "/")
      elseif whatever or mode == "file" and name:sub(1, 1) ~= "." then
        list[#list + 1] = head .. name
      end
    end
  end
  visit(folder, "")
  return list
end

--- Removes a folder and all below it; links are removed, not followed. A missing one is fine.
---
--- Example:
---     file.make_folder "a/b"
---     file.remove_folder "a", file.exists "a"  --> true  false
---@param path string
---@return boolean? ok, string? message, string? code
function M.remove_folder(path)
  if lfs.symlinkattributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if name ~= "." and name ~= ".." then M.remove_folder(path .. "/" .. name) end
    end
  end
  local ok, message = os.remove(path)
  if ok or lfs.symlinkattributes(path, "mode") == nil then return true end
  return nil, message, "io"
end

--- A name beside `path` that nobody else uses, for a file that is renamed onto it when complete.
---
--- Example:
---     file.temporary "runs/x.png" ~= file.temporary "runs/x.png"  --> true
---@param path string
---@return string
function M.temporary(path)
  counter = counter + 1
  local unique = tostring({}):match("0x(%x+)") or "0"
  local folder, name = M.split(path)
  -- The ending stays: drawing programs choose the format by it.
  return string.format("%s.%s-%d-%s", folder == "" and "" or folder .. "/", unique, counter, name)
end

--- A new folder for files that nobody keeps, in $TMPDIR or /tmp; who asked for it removes it.
---
--- Example:
---     folder = file.temporary_folder()
---     #file.names(folder), file.remove_folder(folder)  --> 0  true
---@return string? path, string? message, string? code
function M.temporary_folder()
  local above, message = os.getenv "TMPDIR", nil
  if not above or above:sub(1, 1) ~= "/" then above = "/tmp" end
  for _ = 1, 10 do
    local name = nn.sha256(tostring {} .. os.time() .. os.clock() .. collectgarbage "count"):sub(1, 12)
    local path = string.format("%s/penumbra-%s", above, name)
    local ok
    ok, message = lfs.mkdir(path)
    if ok then return path end
  end
  return nil, string.format("%s: no folder can be made in it: %s", above, message), "io"
end

--- Writes a file whole or not at all, synced.
---
--- Example:
---     file.write("a.txt", "hello")        --> true
---     file.write("/proc/a.txt", "hello")  --> nil  /proc/a.txt: cannot be written: No such file or directory  io
---@param path string
---@param text string
---@return boolean? ok, string? message, string? code
M.write = nn.write_file

--- A file's bytes, or nil, message, code.
---
--- Example:
---     file.write("a.txt", "hello")
---     file.read "a.txt"        --> hello
---     file.read "nothing.txt"  --> nil  nothing.txt: No such file or directory  io
---@param path string
---@return string? text, string? message, string? code
function M.read(path)
  local handle, message = io.open(path, "rb")
  if not handle then return nil, message, "io" end
  local text
  text, message = handle:read("a")
  handle:close()
  if not text then return nil, string.format("%s: %s", path, message or "cannot be read"), "io" end
  return text
end

--- Adds one line to a file in a single write, so that several writers do not mix.
---
--- Example:
---     file.append_line("log.txt", "one")
---     file.append_line("log.txt", "two")
---     file.read "log.txt"
---     --> one
---     --> two
---@param path string
---@param line string
---@return boolean? ok, string? message, string? code
function M.append_line(path, line)
  local handle, message = io.open(path, "ab")
  if not handle then return nil, message, "io" end
  handle:setvbuf("full")
  local ok, write_message = handle:write(line, "\n")
  local closed, close_message = handle:close()
  if ok and closed then return true end
  return nil, string.format("%s: %s", path, write_message or close_message), "io"
end

--- Is there anything of that name?
---
--- Example:
---     file.exists "nothing.txt"  --> false
---@param path string
---@return boolean
function M.exists(path)
  return lfs.attributes(path, "mode") ~= nil
end

--- The folder of a path ("" when it names none) and the name in it.
---
--- Example:
---     file.split "scripts/paper/table4.lua"  --> scripts/paper  table4.lua
---@param path string
---@return string folder, string name
function M.split(path)
  local folder, name = path:match("^(.*)/([^/]*)$")
  if not folder then return "", path end
  return folder == "" and "/" or folder, name
end

--- A path's last part without its ending: "scripts/table4.lua" gives "table4".
---
--- Example:
---     file.stem "scripts/paper/table4.lua"  --> table4
---@param path string
---@return string
function M.stem(path)
  local _, name = M.split(path)
  return (name:gsub("(.)%.[^.]*$", "%1"))
end

return M
