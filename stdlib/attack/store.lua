--- What an evaluation has measured so far, in a file of its own: a line for each batch of each attack, so that it goes
--- on after an interruption. What stands there is found by a digest of all it depends on; of the model these are its
--- logits, so a model whose gradients alone were changed needs another file.
---@package
local file = require "file"
local json = require "json"
local probe_store = require "train.probe_store"

local M = {}

local OF <const> = { kind = "rows of attacks", form = 1 }

--- The store in a file, which need not be there yet. A file of another kind is left as it is.
---@param path string
---@return ProbeStore? store, string? message, string? code
function M.open(path)
  if file.exists(path) then
    local content, message, code = file.read(path)
    if not content then return nil, message, code end
    local first = json.decode(content:match "^([^\n]*)\n" or "null")
    if #content > 0 and not (type(first) == "table" and first.kind == OF.kind) then
      return nil, path .. ": the rows of an evaluation expected, found another file", "format"
    end
  end
  local made, message, code = file.make_folder((file.split(path)))
  if not made then return nil, message, code end
  return probe_store.open(path, OF)
end

return M
