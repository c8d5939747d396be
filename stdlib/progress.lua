--- How far a long computation is: a line with a bar, the share done, the rate and the time left.
--- On a terminal the line is redrawn at most ten times a second; elsewhere (a log, CI) a plain line appears now and
--- then; `quiet` shows nothing. Goes to standard error, so that results can be piped.
local text = require "text"

local M = {}

local found, host = pcall(require, "host")

--- Seconds that only move forward. Without the host (plain Lua, in tests) only whole seconds are to be had.
M.clock = found and host.clock or function() return os.time() + 0.0 end

--- Is standard error a terminal?
---
--- Example:
---     type(progress.on_terminal())  --> boolean
---@return boolean
function M.on_terminal()
  if found and host.terminal then return host.terminal(2) and true or false end
  return os.execute("test -t 2") == true
end

--- Columns of the terminal; 80 where nobody says.
---
--- Example:
---     progress.width() >= 20  --> true
---@return integer
function M.width()
  local width = math.tointeger(tonumber(os.getenv "COLUMNS")) or found and host.terminal_size()
  return width and width >= 20 and width or 80
end

local FRAME = 0.1     -- seconds between two drawings on a terminal
local LINE = 15       -- seconds between two plain lines
local MEMORY = 20     -- the rate forgets what is older than about so many seconds

--- A line that tells how far a computation is.
---@class Progress
local Progress = {}
Progress.__index = Progress
Progress.__name = "Progress"

--- A progress line for `total` units of work. `unit = false` shows no rate.
---
--- Example:
---     bar = progress.new { label = "reading", total = 200, unit = "files", terminal = false }
---     bar:update(50)
---     bar:line():sub(1, 14)  --> reading   25 %
---     bar:finish()
---@param options { label?: string, total: number, unit?: string|false, quiet?: boolean, terminal?: boolean,
---                 width?: integer, stream?: file*, clock?: fun(): number }
---@return Progress
function M.new(options)
  local self = setmetatable({}, Progress)
  self.label, self.total, self.unit = options.label or "", options.total, options.unit
  if self.unit == nil then self.unit = "images" end
  self.quiet = options.quiet or false
  self.stream, self.clock = options.stream or io.stderr, options.clock or M.clock
  self.terminal = options.terminal
  if self.terminal == nil then self.terminal = not self.quiet and M.on_terminal() end
  self.width = options.width or (self.terminal and M.width() or 80)
  self.done, self.note = 0, nil
  self.started = self.clock()
  self.drawn, self.line_every = -math.huge, LINE
  self.mark_time, self.mark_done = self.started, 0
  self.drawn_once = false
  return self
end

--- Units per second, lately; nil before there is anything to go by.
---
--- Example:
---     now = 0
---     bar = progress.new { total = 100, quiet = true, clock = function() return now end }
---     now = 2
---     bar:update(50)
---     bar:rate()  --> 25.0
---@return number?
function Progress:rate()
  local elapsed = self.clock() - self.mark_time
  local made = self.done - self.mark_done
  if elapsed > 0 and made > 0 then
    local now = made / elapsed
    if not self.smooth then return now end
    local weight = math.min(1, elapsed / MEMORY)
    return self.smooth * (1 - weight) + now * weight
  end
  return self.smooth
end

--- Seconds until the total is reached, or nil.
---
--- Example:
---     now = 0
---     bar = progress.new { total = 100, quiet = true, clock = function() return now end }
---     now = 2
---     bar:update(50)
---     bar:left()  --> 2.0
---@return number?
function Progress:left()
  local rate = self:rate()
  return rate and rate > 0 and math.max(0, self.total - self.done) / rate or nil
end

local function rate_text(rate, unit)
  return string.format(rate < 10 and "%.1f %s/s" or "%.0f %s/s", rate, unit)
end

local LEAST, MOST = 8, 24 -- columns of the bar

local function bar_text(share, columns)
  local eighths = math.floor(share * columns * 8)
  local bar = string.rep("█", eighths // 8)
  if eighths % 8 > 0 then bar = bar .. utf8.char(0x2590 - eighths % 8) end -- ▏▎▍▌▋▊▉
  return (text.pad(bar, columns):gsub(" ", "░"))
end

-- The same words with less in them: without what stands in brackets, then also without rates.
local function shorter(words)
  local terse = words:gsub(" %b()", "")
  return { words, terse, (terse:gsub("  [%d.]+ [^ ]+/s", "")) }
end

--- The line as it would be shown now. Where the terminal is narrow the parts of the loss go first, then the rate, then
--- the bar.
---
--- Example:
---     now = 0
---     bar = progress.new { label = "epoch 1", total = 100, terminal = true, width = 60, quiet = true,
---                          clock = function() return now end }
---     now = 2
---     bar:update(50)
---     bar:line()
---     --> epoch 1  ████████▌░░░░░░░░   50 %  25 images/s  0:02 left
---@return string
function Progress:line()
  local share = self.total > 0 and math.min(1, self.done / self.total) or 0
  local parts = { string.format("%3.0f %%", math.floor(share * 100)) }
  local rate, left = self:rate(), self:left()
  if rate and self.unit then parts[#parts + 1] = rate_text(rate, self.unit) end
  if left and share < 1 then parts[#parts + 1] = text.duration(left) .. " left" end
  if self.note then parts[#parts + 1] = self.note end
  local tail = table.concat(parts, "  ")
  if not self.terminal then return self.label .. "  " .. tail end
  -- A ^C that the terminal shows stays on the line.
  local width, label = self.width - 3, text.cut(self.label, 34)
  for _, words in ipairs(shorter(tail)) do
    local room = width - text.width(label) - text.width(words) - 4
    if room >= LEAST then return label .. "  " .. bar_text(share, math.min(MOST, room)) .. "  " .. words end
    tail = words
  end
  return text.cut(label .. "  " .. tail, width)
end

local function show(self, final)
  if self.quiet then return end
  local now = self.clock()
  if self.terminal then
    if not final and now - self.drawn < FRAME then return end
    self.stream:write("\r\27[K", self:line())
  else
    -- Nothing for what is over at once; then rarer and rarer, so that a night's log stays a page.
    local since = self.drawn == -math.huge and self.started or self.drawn
    if final and not self.drawn_once or not final and now - since < self.line_every then return end
    self.stream:write(self:line(), "\n")
    self.line_every = math.min(300, self.line_every * 1.5)
  end
  self.stream:flush()
  self.drawn, self.drawn_once = now, true
end

--- So much is done now; label and note (words after the numbers) stay as they were unless given.
---
--- Example:
---     bar = progress.new { label = "epoch 1", total = 100, quiet = true }
---     bar:update(100, "epoch 2", "loss 0.5")
---     bar.done, bar.label, bar.note  --> 100  epoch 2  loss 0.5
---@param done number
---@param label? string
---@param note? string
function Progress:update(done, label, note)
  self.done = done
  if label then self.label = label end
  if note then self.note = note end
  local elapsed = self.clock() - self.mark_time
  if elapsed >= 1 and done > self.mark_done then
    self.smooth = self:rate()
    self.mark_time, self.mark_done = self.clock(), done
  end
  show(self, false)
end

--- So much was done before: it does not count for the rate.
---
--- Example:
---     bar = progress.new { total = 100, quiet = true }
---     bar:go_on(60)
---     bar.done  --> 60
---@param done number
function Progress:go_on(done)
  self.done, self.mark_done, self.mark_time = done, done, self.clock()
end

--- Takes the line away, so that something else can be printed; the next update draws it again.
---
--- Example:
---     progress.new({ total = 100, quiet = true }):clear()
function Progress:clear()
  if self.quiet or not self.terminal or not self.drawn_once then return end
  self.stream:write("\r\27[K")
  self.stream:flush()
  self.drawn = -math.huge
end

--- The end: the terminal's line goes away (`keep` leaves it).
---
--- Example:
---     progress.new({ total = 100, quiet = true }):finish()
---@param keep? boolean
function Progress:finish(keep)
  if self.quiet then return end
  self.ended = true
  if keep then
    show(self, true)
    if self.terminal then self.stream:write("\n") end
  else
    self:clear()
  end
  self.stream:flush()
end

--- What is left by an error or Ctrl-C leaves no half of a line behind.
function Progress:__close()
  if not self.ended then self:clear() end
end

return M
