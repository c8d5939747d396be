--- The user's folders: where data sets, recipes and the prompt's history are put, and what can be made again is kept
--- (XDG's base directories).
---@package
local M = {}

-- `name` in our folder below a base directory; nil when nothing says where that is. An empty variable is as good as
-- none, and so is a relative path.
local function place(variable, below, name)
  local base, home = os.getenv(variable), os.getenv "HOME"
  if not base or base:sub(1, 1) ~= "/" then base = home and home:sub(1, 1) == "/" and home .. below end
  return base and base .. "/penumbra" .. name or nil
end

--- Data sets that the user downloaded or imported; nil when nothing says where home is.
---@return string?
function M.data() return place("XDG_DATA_HOME", "/.local/share", "/data") end

--- Recipes and studies that the user keeps; nil when nothing says where home is.
---@return string?
function M.recipes() return place("XDG_DATA_HOME", "/.local/share", "/recipes") end

--- What was typed at the prompt, a file; nil when nothing says where home is.
---@return string?
function M.history() return place("XDG_STATE_HOME", "/.local/state", "/history") end

--- What can be made again: unpacked archives; nil when nothing says where home is.
---@return string?
function M.cache() return place("XDG_CACHE_HOME", "/.cache", "") end

return M
