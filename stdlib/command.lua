--- Commands of the program: their words are read by argparse, and what is wrong ends in one line and an exit code.
--- Each is a file of commands/, found by its name, that returns
---   { about = "one line", describe = function(parser) ... end, act = function(options) ... return exit_code end }
--- and may have `early`, functions by first word that take the other words as they are.
---@package
local host = require "host"

local M = {}

--- Says on standard error what went wrong; gives the exit code, 1 unless told. Without a name the message is about
--- what the user wrote, and names its file.
---@param name? string
---@param message string
---@param code? integer
---@return integer
function M.fail(name, message, code)
  io.stderr:write("penumbra: ", name and name .. ": " or "", message, "\n")
  return code or 1
end

--- The commands there are, in order.
---@return string[]
function M.names()
  local names = {}
  for _, module in ipairs(host.modules()) do names[#names + 1] = module:match "^commands%.(%w+)$" end
  table.sort(names)
  return names
end

-- Arguments have one name, in the usage as in the list below it.
local function name_arguments(parser)
  for _, argument in ipairs(parser._arguments) do
    if not argument._argname then argument:argname(argument._name) end
  end
  for _, one in ipairs(parser._commands) do name_arguments(one) end
end

--- The argparse parser of a command; nil and a message without lua-argparse.
---@param name string
---@return table? parser, string? message
function M.parser(name)
  local found, argparse = pcall(require, "argparse")
  if not found then return nil, "needs lua-argparse, which is not installed" end
  local this = require("commands." .. name)
  local parser = argparse("penumbra " .. name, this.about):help_max_width(100):usage_max_width(100)
  this.describe(parser)
  name_arguments(parser)
  return parser
end

-- A letter stands for the long option that begins with it, not for the nearest of the short ones: -j is --jobs.
local function name_options(parser, text)
  return (text:gsub('unknown option "%-(%w)".*', function(letter)
    local meant
    for _, option in ipairs(parser._options) do
      for _, alias in ipairs(option._aliases) do
        if alias:sub(1, 3) == "--" .. letter then meant = meant or alias end
      end
    end
    return ('unknown option "-%s"%s'):format(letter, meant and ('; did you mean "%s"?'):format(meant) or "")
  end))
end

--- Runs `penumbra NAME` with its words: the command's `describe` adds to argparse's parser what it takes, its `act`
--- gets the options and gives the exit code.
---@param name string
---@param words string[]
---@return integer exit_code
function M.main(name, words)
  local this = require("commands." .. name)
  -- Words that are not for argparse: another command line is among them.
  local early = this.early and this.early[words[1]]
  if early then return early { table.unpack(words, 2) } end
  local parser, message = M.parser(name)
  if not parser then return M.fail(name, message) end
  local ok, options = parser:pparse(words)
  if ok then return this.act(options) end
  local text = options:gsub("\nDid you mean", "; did you mean"):gsub("'([^'\n]*)'", '"%1"'):gsub("%s*\n%s*", "; ")
  text = name_options(parser, text)
  local more = text:find("did you mean", 1, true) and "" or ("; penumbra %s --help says more"):format(name)
  return M.fail(name, text .. more, 2)
end

return M
