--- How the prompt tells of an error: the message, then the lines of the user's own that led there.
local text = require "text"

local M = {}

local FRAMES <const> = 6   -- lines of a traceback
local DEPTH <const> = 200  -- levels that are looked at: each is found from the top
local WIDTH <const> = 100

--- The lines typed or piped in so far, by their number; vm/repl.c fills it.
M.entered = {}

--- Line `number` of what a function was compiled from, without the blanks around it; nil where it is not to be had.
---@param source string
---@param number integer
---@return string?
function M.line_of(source, number)
  local found
  if source == "=stdin" then
    found = M.entered[number]
  elseif source:sub(1, 1) == "@" then
    local handle = io.open(source:sub(2))
    if not handle then return nil end
    local at = 0
    for line in handle:lines() do
      at = at + 1
      if at == number then found = line break end
    end
    handle:close()
  end
  return found and text.tame(found:match "^%s*(.-)%s*$", WIDTH)
end

-- Rows { place, function, line } as lines, their columns aligned.
local function columns(rows)
  local places, names = 0, 0
  for _, row in ipairs(rows) do
    places, names = math.max(places, text.width(row[1])), math.max(names, text.width(row[2]))
  end
  local lines = {}
  for i, row in ipairs(rows) do
    local name = names > 0 and text.pad(row[2], names) .. "  " or ""
    lines[i] = ("  %s  %s%s"):format(text.pad(row[1], places), name, row[3]):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

-- The user's functions on the stack: those of files and of the prompt, not the standard library's.
local function frames()
  local rows, more, info = {}, 0, nil
  for level = 3, DEPTH do
    info = debug.getinfo(level, "nSl")
    if not info then break end
    if info.currentline > 0 and info.short_src:sub(1, 7) ~= "stdlib/" then
      if #rows == FRAMES then
        more = more + 1
      else
        rows[#rows + 1] = { ("%s:%d"):format(info.short_src, info.currentline),
                            info.what ~= "main" and info.name and "in " .. info.name or "",
                            M.line_of(info.source, info.currentline) or "", info = info }
      end
    end
  end
  if more > 0 then rows[#rows + 1] = { "...", "", info and "many more" or ("%d more"):format(more) } end
  return rows
end

--- The message with a traceback, where that says more than the message: not for an entry of one line by itself.
---@param message string
---@return string
function M.describe(message)
  local rows = frames()
  local only = #rows == 1 and rows[1].info
  if #rows == 0 or only and only.what == "main" and only.currentline == #M.entered and only.source == "=stdin" then
    return message
  end
  return message .. "\n" .. columns(rows)
end

--- The message about an entry that is no Lua, with the line it means unless that is the only one and on the screen.
---@param message string
---@param on_screen boolean
---@return string
function M.explain_syntax(message, on_screen)
  local number = math.tointeger(message:match "^stdin:(%d+):")
  local line = not on_screen and number and M.line_of("=stdin", number)
  return line and line ~= "" and message .. "\n" .. columns { { "stdin:" .. number, "", line } } or message
end

return M
