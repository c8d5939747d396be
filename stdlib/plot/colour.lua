--- Colours, dashes and marks that readers with any colour vision, and a grey print, can tell apart.
---@package
local M = {}

local format = string.format

--- Colours in the order the series take them: Okabe and Ito's, with a brown and a grey in the places of the yellow that
--- cannot be seen on white and of black.
M.palette = { "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#555555" }

--- What charts draw their texts, lines and paper with.
M.ink, M.grey, M.faint, M.paper = "#222222", "#666666", "#DDDDDD", "#FFFFFF"

-- gnuplot's dashes, in multiples of the line's width; the first is a solid line.
local DASHES <const> = { "solid", "(12,5)", "(3,4)", "(12,4,3,4)", "(22,6)" }

-- gnuplot's point types: full circle, full square, full triangle, full diamond, full triangle down, then the hollow
-- ones; and the same for a terminal.
local MARKS <const> = { 7, 5, 9, 13, 11, 6, 4, 8, 12, 10 }
local SIGNS <const> = { "●", "■", "▲", "◆", "▼", "○", "□", "△", "◇", "▽" }

local function turn(list, s) return list[(s - 1) % #list + 1] end

--- The colour, dash, mark and sign of series number s.
---@param s integer
---@return { colour: string, dash: string, mark: integer, sign: string }
function M.style(s)
  return { colour = turn(M.palette, s), dash = turn(DASHES, s), mark = turn(MARKS, s), sign = turn(SIGNS, s) }
end

--- The red, green and blue of "#RRGGBB", each from 0 to 255.
---@param colour string
---@return integer, integer, integer
function M.parts(colour)
  local value = tonumber(colour:sub(2), 16)
  return value >> 16, value >> 8 & 255, value & 255
end

--- A colour between two: at 0 the first, at 1 the second.
---@param from string
---@param to string
---@param at number
---@return string
function M.mix(from, to, at)
  local r, g, b = M.parts(from)
  local r2, g2, b2 = M.parts(to)
  local function between(x, y) return math.floor(x + (y - x) * at + 0.5) end
  return format("#%02X%02X%02X", between(r, r2), between(g, g2), between(b, b2))
end

--- The colour for small text: as it is told from others, but dark enough to read on white.
---@param colour string
---@return string
function M.dark(colour)
  for at = 0, 0.6, 0.1 do
    local darker = M.mix(colour, "#000000", at)
    if M.luminance(darker) < 0.18 then return darker end -- a contrast of 4.5 to 1 with white
  end
  return M.mix(colour, "#000000", 0.6)
end

--- How bright a colour is, from 0 to 1 (WCAG's relative luminance).
---@param colour string
---@return number
function M.luminance(colour)
  local function linear(part)
    part = part / 255
    return part <= 0.04045 and part / 12.92 or ((part + 0.055) / 1.055) ^ 2.4
  end
  local r, g, b = M.parts(colour)
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
end

-- The maps as colours at equal distances. Each one's brightness goes one way (from its middle, in the diverging one),
-- so that it reads in grey too; none needs red told from green. "viridis" is Smith and van der Walt's, the other two
-- are Brewer's YlGnBu and RdBu.
local MAPS <const> = {
  sequential = { "#FFFFD9", "#EDF8B1", "#C7E9B4", "#7FCDBB", "#41B6C4", "#1D91C0", "#225EA8", "#253494", "#081D58" },
  diverging = { "#053061", "#2166AC", "#4393C3", "#92C5DE", "#D1E5F0", "#F7F7F7", "#FDDBC7", "#F4A582", "#D6604D",
                "#B2182B", "#67001F" },
  viridis = { "#440154", "#482878", "#3E4A89", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6DCD59", "#B4DE2C",
              "#FDE725" },
}

--- The names of the colour maps.
M.maps = { "sequential", "diverging", "viridis" }

--- The colour at a place from 0 to 1 of a map.
---@param map "sequential"|"diverging"|"viridis"
---@param at number
---@return string
function M.map(map, at)
  local colours = MAPS[map]
  local place = math.max(0, math.min(1, at)) * (#colours - 1)
  local i = math.min(math.floor(place), #colours - 2)
  return M.mix(colours[i + 1], colours[i + 2], place - i)
end

return M
