--- The user's cache folder: what can be made again. Nothing here fails when it cannot be written; it is then made anew
--- each time.
local file = require "file"
local hash = require "hash"
local json = require "json"
local lfs = require "lfs"
local places = require "places"

local M = {}

--- The path of a file in a folder of the cache, which is made when it is not there; nil when that cannot be.
---@param folder string
---@param key string   # any text: the name is its hash
---@param ending string
---@return string?
function M.path(folder, key, ending)
  local cache = places.cache()
  local where = cache and cache .. "/" .. folder
  if not where or not file.make_folder(where) then return nil end
  return where .. "/" .. hash.sha256(key):sub(1, 32) .. ending
end

--- A whole path without slashes at its end, so that a key names one folder from wherever it is asked for.
---@param path string
---@return string
function M.whole(path)
  path = path:gsub("(.)/+$", "%1")
  return path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path
end

--- The value kept under a key, if it is `good`; else the one that `make` gives, which is kept.
---@param folder string
---@param key string
---@param good fun(value: table): boolean
---@param make fun(): table
---@return table
function M.remember(folder, key, good, make)
  local path = M.path(folder, key, ".json")
  local text = path and file.read(path)
  if text then
    local ok, kept = pcall(json.decode, text)
    if ok and type(kept) == "table" and good(kept) then return kept end
  end
  local value = make()
  if path then file.write(path, json.encode(value) .. "\n") end
  return value
end

return M
