--- Packed folders: an archive is unpacked once into the user's cache folder, and again when it has changed.
local file = require "file"
local hash = require "hash"
local lfs = require "lfs"
local nn = require "nn"
local places = require "places"
local progress = require "progress"
local text = require "text"

local M = {}

local format = string.format
local endings = { "%.tar%.gz$", "%.tgz$", "%.tar$", "%.zip$" }

--- The name without the ending of an archive, or nil when it has none: "a/faces.tar.gz" gives "faces".
---@param path string
---@return string?
function M.stem(path)
  local _, name = file.split(path)
  for _, ending in ipairs(endings) do
    local at = name:lower():find(ending)
    if at and at > 1 then return name:sub(1, at - 1) end
  end
end

--- Is there a file of that name that ends as archives do: .tar, .tar.gz, .tgz, .zip?
---@param path string
---@return boolean
function M.is_archive(path)
  return M.stem(path) ~= nil and lfs.attributes(path, "mode") == "file"
end

--- Unpacks an archive into a new folder, whole or not at all; says its sizes first (on standard error).
---@param path string
---@param folder string
---@param options? { quiet?: boolean }
---@return boolean? ok, string? message, string? code
function M.into(path, folder, options)
  local quiet = options and options.quiet
  local info, message, code = nn.archive.survey(path)
  if not info then return nil, message, code end
  if not quiet then
    io.stderr:write(format("%s: %s packed, %s in %s %s unpacked, to %s\n", path, text.bytes(info.packed),
      text.bytes(info.bytes), text.count(info.files), info.files == 1 and "entry" or "entries", folder))
  end
  local _, name = file.split(path)
  local bar = progress.new { label = "unpacking " .. name, total = info.bytes / 1e6, unit = "MB", quiet = quiet }
  local ok
  ok, message, code = nn.archive.unpack(path, folder, info, function(done) bar:update(done / 1e6) end)
  bar:finish()
  return ok, message, code
end

--- The folder of an archive's files in the user's cache; made when it is not there, or the archive has changed since.
---@param path string
---@param options? { quiet?: boolean, cache?: string }  # cache: instead of the user's cache folder
---@return string? folder, string? message, string? code
function M.once(path, options)
  local cache = options and options.cache or places.cache()
  if not cache then return nil, path .. ": no place to unpack it: HOME is not set", "io" end
  local whole = path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path
  local stamp, message, code = nn.file_stamp(path)
  if not stamp then return nil, message, code end
  local above = cache .. "/unpacked"
  local folder = format("%s/%s-%s-%s", above, M.stem(path) or file.stem(path), hash.sha256(whole):sub(1, 8),
    hash.sha256(stamp):sub(1, 8))
  if lfs.attributes(folder, "mode") == "directory" then return folder end
  local ok
  ok, message, code = file.make_folder(above)
  if not ok then return nil, message, code end
  ok, message, code = M.into(path, folder, options)
  -- Another process may have been quicker.
  if not ok and lfs.attributes(folder, "mode") ~= "directory" then return nil, message, code end
  return folder
end

return M
