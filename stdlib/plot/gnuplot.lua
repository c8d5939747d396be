--- gnuplot as a child: a script in, a picture's bytes out.
---
--- Nothing a user writes is ever interpreted. Texts stand in single quotes, where gnuplot runs neither backticks nor
--- macros, and enhanced markup is off; the user's own start-up file is not read (-d); no shell comes in between; the
--- script goes in through a pipe, so that no file is left.
---@package
local host = require "host"
local progress = require "progress"
local text = require "text"

local M = {}

--- Seconds after which a gnuplot that has not finished is ended.
M.patience = 60

--- A text for gnuplot. Control characters, which have no place in a picture, become blanks. It is single-quoted, so
--- that nothing in it is read as a command. A quote is a string of its own, by its number: where two of gnuplot's own
--- escape, the doubled quote, meet, they end the string.
---@param s string
---@return string
function M.quoted(s)
  return "'" .. s:gsub("%c", " "):gsub("'", "'.\"\\047\".'") .. "'"
end

--- The program: gnuplot, or what PENUMBRA_GNUPLOT names.
---@return string
function M.name()
  local named = os.getenv "PENUMBRA_GNUPLOT"
  return named and named ~= "" and named or "gnuplot"
end

local known = {} -- program -> is it there? asked once

local function start(program)
  return host.spawn({ program, "-d" }, { stdin = "pipe", stdout = "pipe", stderr = "pipe" })
end

--- Is gnuplot there?
---@return string? program, string? message, string? code
function M.program()
  local program = M.name()
  if known[program] == nil then
    local child <close> = start(program)
    known[program] = child ~= nil
  end
  if known[program] then return program end
  return nil, "charts need gnuplot, which is not installed", "missing"
end

-- All that a child says on one of its streams until the moment, or nil when that is over.
local function hear(child, which, ends)
  local parts = {}
  while true do
    local left = ends - progress.clock()
    local piece = left > 0 and child:read(left, which)
    if not piece then return nil end
    if piece == "" then return table.concat(parts) end
    parts[#parts + 1] = piece
  end
end

--- What gnuplot draws for a script.
---@param script string
---@return string? bytes, string? message, string? code
function M.run(script)
  local program, message, code = M.program()
  if not program then return nil, message, code end
  local child <close>, why, kind = start(program)
  if not child then return nil, "gnuplot cannot be started: " .. why, kind end
  local ends = progress.clock() + M.patience
  -- One that closes its input early has something to say about it, which is told below.
  child:write(script, M.patience)
  child:close_input()
  local bytes = hear(child, "stdout", ends)
  local said = bytes and hear(child, "stderr", ends)
  local result = said and child:wait(math.max(0, ends - progress.clock()))
  if not result then
    child:kill "kill"
    return nil, ("gnuplot had not finished after %g seconds and was ended"):format(M.patience), "io"
  end
  if result.code ~= 0 then
    -- gnuplot repeats the line and points at the place; its last line says what is wrong.
    local reason = said:match "([^\n]*)%s*$"
    if reason == "" then reason = result.signal and "signal " .. result.signal or "no reason given" end
    return nil, "gnuplot failed: " .. text.tame(reason, 200), "io"
  end
  return bytes
end

return M
