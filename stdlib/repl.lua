--- The prompt's half in Lua: what it prints of a value and an error, and the entries that are not Lua. The loop itself,
--- which reads and runs, is vm/repl.c.
---@package
local commands = require "repl.commands"
local errors = require "repl.errors"
local history = require "repl.history"
local values = require "repl.values"

local M = {}

M.entered = errors.entered
M.describe_error = errors.describe
M.explain_syntax = errors.explain_syntax
M.history = history.load
M.remember = history.add
M.text = values.text

--- Prints the values of an expression: on one line when they fit, else below each other.
---@param ... any
function M.show(...)
  local texts, several = {}, false
  for i = 1, select("#", ...) do
    texts[i] = values.text((select(i, ...)))
    several = several or texts[i]:find("\n", 1, true) ~= nil
  end
  print(table.concat(texts, several and "\n" or "\t"))
end

-- `?word`: the topic of that name, or else help on the value of that name.
local function ask(word)
  local help = require "help"
  local ok, message = pcall(help, word)
  if ok then return end
  local value = require "repl.complete".resolve(word)
  if value == nil or type(value) == "string" or not pcall(help, value) then error(message, 0) end
end

--- Serves an entry that begins with `?` or `:`.
---@param entry string
function M.serve(entry)
  local word = entry:match "^%?%s*(.-)%s*$"
  if word then ask(word) else commands.serve(entry) end
end

return M
