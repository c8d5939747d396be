--- Commands of the program: their words are read by argparse, and what is wrong ends in one line and an exit code.
local M = {}

--- Says on standard error what went wrong; gives the exit code, 1 unless told.
---@param name string
---@param message string
---@param code? integer
---@return integer
function M.fail(name, message, code)
  io.stderr:write("penumbra: ", name, ": ", message, "\n")
  return code or 1
end

--- Runs `penumbra NAME` with its words: `describe` adds to argparse's parser what the command takes, `act` gets the
--- options and gives the exit code.
---@param name string
---@param about string
---@param describe fun(parser: table)
---@param act fun(options: table): integer
---@param words string[]
---@return integer exit_code
function M.run(name, about, describe, act, words)
  local found, argparse = pcall(require, "argparse")
  if not found then return M.fail(name, "needs lua-argparse, which is not installed") end
  local parser = argparse("penumbra " .. name, about):help_max_width(100):usage_max_width(100)
  describe(parser)
  local ok, options = parser:pparse(words)
  if ok then return act(options) end
  local text = options:gsub("\nDid you mean", "; did you mean"):gsub("'([^'\n]*)'", '"%1"'):gsub("%s*\n%s*", "; ")
  local more = text:find("did you mean", 1, true) and "" or ("; penumbra %s --help says more"):format(name)
  return M.fail(name, text .. more, 2)
end

return M
