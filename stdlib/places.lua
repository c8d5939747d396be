--- The user's folders: where data sets, recipes and the prompt's history are put, and what can be made again is kept
--- (XDG's base directories).
---@package
local M = {}

-- An empty variable is as good as none, and so is a relative path.
local function folder(variable, below)
  local path = os.getenv(variable)
  if path and path:sub(1, 1) == "/" then return path end
  local home = os.getenv "HOME"
  return home and home:sub(1, 1) == "/" and home .. below or nil
end

--- Data sets that the user downloaded or imported; nil when nothing says where home is.
---@return string?
function M.data()
  local base = folder("XDG_DATA_HOME", "/.local/share")
  return base and base .. "/penumbra/data"
end

--- Recipes and studies that the user keeps; nil when nothing says where home is.
---@return string?
function M.recipes()
  local base = folder("XDG_DATA_HOME", "/.local/share")
  return base and base .. "/penumbra/recipes"
end

--- What was typed at the prompt, a file; nil when nothing says where home is.
---@return string?
function M.history()
  local base = folder("XDG_STATE_HOME", "/.local/state")
  return base and base .. "/penumbra/history"
end

--- What can be made again: unpacked archives.
---@return string?
function M.cache()
  local base = folder("XDG_CACHE_HOME", "/.cache")
  return base and base .. "/penumbra"
end

return M
