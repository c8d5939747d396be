--- The texts of recipes: files of a size that a person writes, and what they include, from their own folder only.
local file = require "file"
local host = require "host"
local lfs = require "lfs"
local recipes = require "recipes"

local M = {}

local format = string.format

local BYTES <const> = 1 << 20 -- of one file
local FILES <const> = 64      -- that a recipe includes

--- A recipe's text, or nil, message, code.
---@param path string  # as recipes.read takes it
---@return string? text, string? message, string? code
function M.read(path)
  if recipes.is_built_in(path) then return recipes.read(path) end
  local about = lfs.attributes(path)
  if about and about.mode ~= "file" then
    return nil, format("%s: a file expected, found a %s", path, about.mode), "io"
  end
  local handle <close>, message = io.open(path, "rb")
  if not handle then return nil, message, "io" end
  local text
  text, message = handle:read(BYTES + 1)
  if message then return nil, format("%s: %s", path, message), "io" end
  if text and #text > BYTES then
    return nil, format("%s: a recipe has at most %d bytes, this file has %d", path, BYTES,
      about and about.size or #text), "format"
  end
  return text or ""
end

-- Whether a name is that of a file below a folder, by its words.
local function is_plain(name)
  if type(name) ~= "string" or #name > 200 or not name:find "%.lua$" then return false end
  for part in (name .. "/"):gmatch "([^/]*)/" do
    if not part:find "^[%w_][%w_.-]*$" then return false end
  end
  return true
end

-- The text of a file below a folder, or nil and why not.
local function read_below(folder, name)
  local path = folder == "" and name or folder .. "/" .. name
  if not recipes.is_built_in(path) then
    local root, real = host.real_path(folder == "" and "." or folder), host.real_path(path)
    if not root or not real then return nil, "there is no such file" end
    if real:sub(1, #root + 1) ~= root:gsub("/$", "") .. "/" then return nil, "it leads out of the recipe's folder" end
    path = real
  end
  local text, message = M.read(path)
  if text then return text end
  return nil, file.exists(path) and "it is no file of at most 1 MiB" or message
end

--- A function that serves a recipe's `include "name.lua"`: the text, or nil and why not. What it served stands in
--- `includes`, in order, and is the same from then on.
---@param folder string
---@param includes { name: string, text: string }[]
---@return fun(name: any): string?, string?
function M.server(folder, includes)
  return function(name)
    if not is_plain(name) then return nil, "the name of a .lua file in the recipe's folder expected" end
    for _, one in ipairs(includes) do
      if one.name == name then return one.text end
    end
    if #includes == FILES then return nil, format("a recipe includes at most %d files", FILES) end
    local text, message = read_below(folder, name)
    if not text then return nil, message end
    includes[#includes + 1] = { name = name, text = text }
    return text
  end
end

return M
