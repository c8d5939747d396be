--- A sheet of paper with a place for everything: what a chart writes and draws beside its data.
---
--- gnuplot places texts without asking how wide they are; here each is measured first, so that nothing overlaps or is
--- cut. Lengths are pixels of 1/96 inch from the top left corner or, on a terminal's sheet, cells; the middle of the
--- cell in column c and row r is (c + 0.5, r + 0.5), both from 0.
---@package
local colour = require "plot.colour"
local gnuplot = require "plot.gnuplot"
local text = require "text"

local M = {}

local format, concat, floor, max = string.format, table.concat, math.floor, math.max

-- ---- widths ----

-- How far each printable ASCII character of DejaVu Sans moves the pen, in hundredths of its size; most fonts that stand
-- in for it are narrower.
local ADVANCE <const> = {
  32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84,
  84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79, 61, 79, 70, 64, 62, 74, 69, 99, 69,
  62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64, 64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40,
  64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
}

-- The same of any character.
local function advance(code)
  if code >= 32 and code < 127 then return ADVANCE[code - 31] / 100 end
  local cells = text.width(utf8.char(code))
  if cells == 0 then return 0 end
  if cells == 2 then return 1.05 end
  if code < 0x250 then return code >= 0xD8 and 0.72 or 0.84 end
  if code < 0x400 or code >= 0x590 and code < 0x700 then return 0.76 end
  return 0.9
end

--- A text that a picture can hold: UTF-8 without control characters, which become blanks; what is not UTF-8, what XML
--- forbids, and marks that turn the direction of what follows become "�". Line breaks stay where `lines` says so.
---@param s any
---@param lines? boolean
---@return string
function M.clean(s, lines)
  s = text.well_formed(tostring(s)):gsub("\r\n?", "\n"):gsub(lines and "[%z\1-\9\11-\31\127]" or "%c", " ")
  s = s:gsub("\xC2[\x80-\x9F]", " "):gsub("\xE2\x80[\xA8\xA9]", " "):gsub("\xEF\xBF[\xBE\xBF]", "�")
  return (s:gsub("\xE2\x80[\xAA-\xAE]", "�"):gsub("\xE2\x81[\xA6-\xA9]", "�"))
end

-- ---- the sheet ----

local LONGEST <const> = 10000 -- bytes of a text that are looked at: no sheet has room for more

---@class Sheet
---@field kind "svg"|"png"|"text"
---@field width number
---@field height number
---@field font number  # the size of plain text; 1 on a terminal
---@field pictures table[]  # { x =, y =, width =, height =, tensor = }: drawn under everything else
local Sheet = {}
Sheet.__index = Sheet

---@param kind "svg"|"png"|"text"
---@param width number
---@param height number
---@param font number
---@return Sheet
function M.new(kind, width, height, font)
  return setmetatable({ kind = kind, width = width, height = height, font = kind == "text" and 1 or font, labels = 0,
                        objects = 0, commands = {}, pictures = {}, terminal = kind == "text" }, Sheet)
end

--- Adds a line to the script.
function Sheet:add(line, ...)
  self.commands[#self.commands + 1] = select("#", ...) > 0 and format(line, ...) or line
end

--- A distance: n tenths of the font's size. On a terminal a cell where it is large enough to matter.
---@param n number
---@return number
function Sheet:gap(n)
  if self.terminal then return n >= 6 and floor(n / 6 + 0.5) or 0 end
  return n * self.font / 10
end

--- The height of a line of text.
---@param size? number  # as a part of the plain text's; 1
---@return number
function Sheet:line(size)
  if self.terminal then return 1 end
  return 1.22 * self.font * (size or 1)
end

--- How wide a text is.
---@param s string
---@param size? number
---@return number
function Sheet:extent(s, size)
  if self.terminal then return text.width(s) end
  local sum = 0
  for _, code in utf8.codes(s) do sum = sum + advance(code) end
  return sum * self.font * (size or 1)
end

-- The text cut to a width, "…" at its end.
function Sheet:cut(s, width, size)
  if self:extent(s, size) <= width then return s end
  local room = width - self:extent("…", size)
  local kept, sum = {}, 0
  for _, code in utf8.codes(s) do
    local character = utf8.char(code)
    sum = sum + self:extent(character, size)
    if sum > room then break end
    kept[#kept + 1] = character
  end
  return concat(kept) .. "…"
end

-- The words of a line, wider ones in pieces when `pieces`.
function Sheet:words(line, width, size, pieces)
  local words = {}
  for word in line:gmatch "%S+" do
    if pieces and self:extent(word, size) > width then
      local part, sum = {}, 0
      for _, code in utf8.codes(word) do
        local character = utf8.char(code)
        local wide = self:extent(character, size)
        if sum + wide > width and #part > 0 then
          words[#words + 1] = concat(part)
          part, sum = {}, 0
        end
        part[#part + 1], sum = character, sum + wide
      end
      word = concat(part)
    end
    words[#words + 1] = word
  end
  return words
end

-- The lines of a text at a size, and whether each of them has room. No more than `most` and one are made.
function Sheet:wrap(s, width, size, most, pieces)
  local lines, fits = {}, true
  for paragraph in (s .. "\n"):gmatch "(.-)\n" do
    local line, wide = nil, 0
    local blank = self:extent(" ", size)
    for _, word in ipairs(self:words(paragraph, width, size, pieces)) do
      local extent = self:extent(word, size)
      if extent > width + 1e-6 then fits = false end
      if line and wide + blank + extent <= width then
        line, wide = line .. " " .. word, wide + blank + extent
      else
        if line then lines[#lines + 1] = line end
        line, wide = word, extent
      end
      if #lines > most then return lines, false end
    end
    if line then lines[#lines + 1] = line end
  end
  return lines, fits and #lines <= most
end

--- A text in lines that have room in a width: whole words where that is possible, smaller ones where it is not, and in
--- the end broken words and "…".
---@param s string
---@param width number
---@param options? { size?: number, lines?: integer, least?: number }  # the largest size, most lines, least size
---@return string[] lines, number size, boolean whole
function Sheet:fit(s, width, options)
  local size, most, least = options and options.size or 1, options and options.lines or 1, options and options.least
  if self.terminal then size, least = 1, 1 end
  least = least or 0.75 * size
  s = M.clean(#s > LONGEST and s:sub(1, LONGEST) or s, most > 1)
  if s == "" then return {}, size, true end
  for _, share in ipairs { 1, 0.5, 0 } do
    local this = least + (size - least) * share
    local lines, fits = self:wrap(s, width, this, most)
    if fits then return lines, this, true end
  end
  local lines, fits = self:wrap(s, width, least, most, true)
  if not fits then
    for i = #lines, most + 1, -1 do lines[i] = nil end
    local last = lines[most] or ""
    lines[most] = self:cut(last .. "…", max(width, self:extent("…", least)), least):gsub("……$", "…")
  end
  return lines, least, false
end

local ALIGN <const> = { left = "left", centre = "center", right = "right" }

-- A place as gnuplot reads it.
function Sheet:place(x, y)
  if self.terminal then
    return format("character %d, character %d", floor(x), self.height - 1 - floor(y))
  end
  return format("screen %.6f, screen %.6f", x / self.width, 1 - y / self.height)
end

--- A place on the sheet as a share of it, from the left and from below, as margins are given.
function Sheet:across(x) return self.terminal and floor(x) / (self.width - 1) or x / self.width end
function Sheet:up(y)
  return self.terminal and (self.height - 1 - floor(y)) / (self.height - 1) or 1 - y / self.height
end

--- Writes one line of text; (x, y) is the middle of its height and its left end, middle or right end. Turned, it reads
--- upwards and x is the middle of its height.
---@param x number
---@param y number
---@param s string
---@param options? { align?: "left"|"centre"|"right", size?: number, colour?: string, turned?: boolean }
function Sheet:text(x, y, s, options)
  if s == "" then return end
  options = options or {}
  self.labels = self.labels + 1
  local look = ""
  if self.terminal then
    local wide = text.width(s)
    -- gnuplot counts a centred text's columns by its own rule; here the first one is named.
    if options.align == "centre" then x = max(0, x - wide / 2) elseif options.align == "right" then x = x - wide end
    if options.colour and options.colour ~= colour.ink and options.colour ~= colour.grey and not self.mono then
      look = format(" textcolor rgb '%s'", options.colour)
    end
    self:add("set label %d %s at %s left front%s", self.labels, gnuplot.quoted(s), self:place(x, y), look)
    return
  end
  if options.turned then look = " rotate by 90" end
  self:add("set label %d %s at %s %s front%s font ',%.2f' textcolor rgb '%s'", self.labels, gnuplot.quoted(s),
    self:place(x, y), ALIGN[options.align or "left"], look, self.font * (options.size or 1),
    options.colour or colour.ink)
end

--- Writes lines below each other, the first one's top at y; gives where the last one ends.
---@param x number
---@param y number
---@param lines string[]
---@param options? table
---@return number
function Sheet:lines(x, y, lines, options)
  local height = self:line(options and options.size)
  for i, line in ipairs(lines) do self:text(x, y + (i - 0.5) * height, line, options) end
  return y + #lines * height
end

--- gnuplot's size of a mark: its diamonds are larger in SVG than in PNG.
---@param mark integer
---@param size number
---@return number
function Sheet:mark_size(mark, size)
  return self.kind == "svg" and (mark == 12 or mark == 13) and 0.75 * size or size
end

--- A mark as the charts' points have.
function Sheet:mark(x, y, style, size)
  self.labels = self.labels + 1
  if self.terminal then
    self:text(x, y, style.sign, { colour = style.colour })
  else
    self:add("set label %d '' at %s point pointtype %d pointsize %.3f linecolor rgb '%s' linewidth %g front",
      self.labels, self:place(x, y), style.mark, self:mark_size(style.mark, size or 1), style.colour,
      style.width or 1)
  end
end

--- A line in front of everything.
function Sheet:stroke(x1, y1, x2, y2, options)
  self.objects = self.objects + 1
  self:add("set arrow %d from %s to %s nohead linecolor rgb '%s' linewidth %g dashtype %s %s", self.objects,
    self:place(x1, y1), self:place(x2, y2), options.colour, options.width or 1, options.dash or "solid",
    options.back and "back" or "front")
end

--- A filled rectangle.
function Sheet:box(x1, y1, x2, y2, options)
  self.objects = self.objects + 1
  self:add("set object %d rectangle from %s to %s fillcolor rgb '%s' fillstyle %s %s %s", self.objects,
    self:place(x1, y1), self:place(x2, y2), options.colour, options.fill or "solid",
    options.border and format("border linecolor rgb '%s' linewidth 1", options.border) or "noborder",
    options.back and "behind" or "front")
end

return M
