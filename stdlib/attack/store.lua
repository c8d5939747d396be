--- What an evaluation has measured so far, in a file of its own: written after each batch of each attack, whole or not
--- at all, so that it goes on after an interruption. What stands there is found by a digest of all it depends on.
---@package
local file = require "file"
local json = require "json"

local M = {}

local format = string.format

local FORMAT <const> = "penumbra attack rows 1"

---@class AttackStore
---@field path string
---@field rows table<string, table>
local Store = {}
Store.__index = Store
Store.__name = "AttackStore"

--- The store in a file, which need not be there yet.
---@param path string
---@return AttackStore? store, string? message, string? code
function M.open(path)
  local self = setmetatable({ path = path, rows = {} }, Store)
  if not file.exists(path) then return self end
  local text, message, code = file.read(path)
  if not text then return nil, message, code end
  local kept = json.decode(text)
  if type(kept) ~= "table" or kept.format ~= FORMAT or type(kept.rows) ~= "table" then
    return nil, format("%s: the rows of an evaluation expected, found another file", path), "format"
  end
  self.rows = kept.rows
  return self
end

---@param key string
---@return table?
function Store:get(key) return self.rows[key] end

---@param key string
---@param row table
function Store:set(key, row)
  self.rows[key] = row
  local ok, message = file.write(self.path, json.encode { format = FORMAT, rows = self.rows })
  if not ok then error("attack.evaluate: " .. message, 0) end
end

return M
