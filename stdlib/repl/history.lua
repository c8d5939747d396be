--- What was typed at the prompt, in the user's state folder: one entry a line, that several sessions may add to.
local file = require "file"
local host = require "host"
local places = require "places"

local M = {}

local MOST <const> = 1000         -- entries that are recalled
local SIZE <const> = 1024 * 1024  -- bytes; a longer file loses its older half

--- The file's path; nil where nothing says where home is.
M.path = places.history

--- The entries, the oldest first; none when there is no file.
---@return string[]
function M.load()
  local path, lines = M.path(), {}
  local text = path and file.read(path) or ""
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  local entries = {}
  for i = math.max(1, #lines - MOST + 1), #lines do
    entries[#entries + 1] = lines[i]:gsub("\\(.)", { n = "\n", ["\\"] = "\\" })
  end
  return entries
end

--- Keeps an entry. A file that cannot be written is no reason to disturb the session.
---@param entry string
function M.add(entry)
  local path = M.path()
  if not path or entry:find "%z" or not file.make_folder((file.split(path))) then return end
  host.append_shared(path, entry:gsub("[\\\n]", { ["\\"] = "\\\\", ["\n"] = "\\n" }) .. "\n", SIZE)
end

return M
