--- Errors that end a training before its end, on purpose: a loss that is no number, Ctrl-C, a full disk.
---@package
local M = {}

---@class Stop  # an error object; prints as its message
---@field message string
---@field why string        # the message without what was added to it
---@field exit integer      # the exit code it wishes for
---@field world true        # the message is whole: no place in a program goes before it
---@field complete boolean  # nothing is to be added to it
---@field noted? boolean    # it stands in the run's folder, or is not to
local Stop = { __name = "stop" }
Stop.__index = Stop
function Stop:__tostring() return self.message end

--- The exit code after Ctrl-C.
M.INTERRUPTED = 130

--- Such an error. With `message` it is complete; else a run's folder adds where its last checkpoint is. With `refused`
--- nothing was begun, and the folder stays as it is.
---@param why string
---@param fields? { exit?: integer, message?: string, refused?: boolean }
---@return Stop
function M.new(why, fields)
  fields = fields or {}
  return setmetatable({ why = why, message = fields.message or why, exit = fields.exit or 1, world = true,
                        complete = fields.message ~= nil, noted = fields.refused }, Stop)
end

--- Is it one?
---@param value any
---@return boolean
function M.is(value) return getmetatable(value) == Stop end

return M
