--- The words of a command of the program's, read by argparse: what is wrong with them ends in one line and exit code 2.
local M = {}

--- A parser of argparse for `penumbra NAME`, or nil and the exit code when argparse is not installed.
---@param name string
---@param about string
---@return table? parser, integer? exit_code
function M.parser(name, about)
  local found, argparse = pcall(require, "argparse")
  if found then return argparse("penumbra " .. name, about):help_max_width(100):usage_max_width(100) end
  return nil, M.fail(name, "needs lua-argparse, which is not installed")
end

--- The words' options, or nil and the exit code.
---@param name string
---@param parser table
---@param words string[]
---@return table? options, integer? exit_code
function M.parse(name, parser, words)
  local ok, options = parser:pparse(words)
  if ok then return options end
  local text = options:gsub("\nDid you mean", "; did you mean"):gsub("'([^'\n]*)'", '"%1"'):gsub("%s*\n%s*", "; ")
  local more = text:find("did you mean", 1, true) and "" or ("; penumbra %s --help says more"):format(name)
  return nil, M.fail(name, text .. more, 2)
end

--- Says on standard error what went wrong; gives the exit code, 1 unless told.
---@param name string
---@param message string
---@param code? integer
---@return integer
function M.fail(name, message, code)
  io.stderr:write("penumbra: ", name, ": ", message, "\n")
  return code or 1
end

return M
