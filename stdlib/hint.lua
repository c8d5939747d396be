--- What may have been meant where a name is unknown: the message handler asks it about errors that a slip of the pen
--- makes, in scripts and at the prompt.
---@package
local complete = require "repl.complete"
local errors = require "repl.errors"
local host = require "host"
local spec = require "spec"

local M = {}

local DEPTH <const> = 50  -- levels that are looked at for a line of the user's
local MOST <const> = 2000 -- names that are compared

-- The variables seen at the user's line that raised the error, by name, and the line, nil when it is not to be had.
-- Nothing when a module of ours raised it.
local function place()
  for level = 3, DEPTH do
    local info = debug.getinfo(level, "Slf")
    if not info then return end
    if info.currentline > 0 then
      if info.short_src:sub(1, 7) == "stdlib/" then return end
      local seen = {}
      for name, value in next, _G do
        if type(name) == "string" then seen[name] = value end
      end
      for i = 1, 255 do
        local name, value = debug.getupvalue(info.func, i)
        if not name then break end
        seen[name] = value
      end
      for i = 1, 255 do
        local name, value = debug.getlocal(level, i)
        if not name then break end
        seen[name] = value
      end
      return seen, errors.line_of(info.source, info.currentline)
    end
  end
end

-- The public modules.
local function modules()
  local names = { "nn" }
  for _, name in ipairs(host.modules()) do
    if not name:find("%.") then names[#names + 1] = name end
  end
  return names
end

local function has(list, word)
  for _, name in ipairs(list) do
    if name == word then return true end
  end
  return false
end

local function meant(word, names)
  local near = #names <= MOST and spec.nearest(word, names)
  return near and near ~= word and ('; did you mean "%s"?'):format(near) or ""
end

local function of_global(word, seen)
  local known = modules()
  if has(known, word) then return ('; it is a module: local %s = require "%s"'):format(word, word) end
  if word == "px" then return "; it is perturb.px" end
  if word == "show" then return '; local show = require "terminal".show' end
  local names = spec.names(seen)
  return meant(word, table.move(known, 1, #known, #names + 1, names))
end

-- What stands before `.word` or `:word` in the line: variables and their fields only, for nothing is run.
local function holder(word, seen, line)
  local chain = line and line:match("([%a_][%w_.]*)%s*[.:]%s*" .. word .. "%f[^%w_]")
  local value = chain and seen[chain:match "^[^.]*"]
  for name in (chain or ""):gmatch "%.([^.]+)" do value = value ~= nil and complete.field(value, name) or nil end
  return value
end

local function of_field(word, seen, line)
  local value = holder(word, seen, line)
  return value ~= nil and meant(word, complete.names_of(value)) or ""
end

--- The message, with what may have been meant instead of a name it says is nil, or of a module there is none of.
---@param message string
---@return string
function M.add(message)
  local head, module, rest = message:match "^(.-module '([^'\n]*)' not found)(:\n.*)$"
  if module then return head .. meant(module, modules()) .. rest end
  local kind, word = message:match "attempt to [%l ]+ a nil value %((%l+) '([%a_][%w_]*)'%)$"
  if not kind then kind, word = "field", message:match 'has no field "([%a_][%w_]*)"$' end
  local answer = kind == "global" and of_global or (kind == "field" or kind == "method") and of_field
  if not word or not answer then return message end
  local seen, line = place()
  return seen and message .. answer(word, seen, line) or message
end

return M
