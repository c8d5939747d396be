--- What several kinds of chart do alike.
---@package
local colours = require "plot.colour"

local M = {}

local format, max, abs = string.format, math.max, math.abs

--- How another source's values look, the paper's beside ours.
M.marker_style = { mark = 12, sign = "◇", colour = "#000000", width = 1.3, size = 1.1 }

--- The two plots of hollow marks with paper inside, so that they show on anything.
---@param sheet Sheet
---@param data string  # the name of gnuplot's data block
---@param style { filled: integer, mark: integer, size: number, colour: string, width?: number }
---@return string, string
function M.hollow(sheet, data, style)
  local size = sheet:mark_size(style.mark, style.size)
  local plot = "%s using 1:2 with points pointtype %d pointsize %g linecolor rgb '%s' linewidth %g notitle"
  return format(plot, data, style.filled, size, colours.paper, 1),
    format(plot, data, style.mark, size, style.colour, style.width or 1)
end

--- The plots of another source's values, of the data block $marker.
---@param sheet Sheet
---@return string, string?
function M.marker(sheet)
  local style = M.marker_style
  if sheet.terminal then
    return format("$marker using 1:2 with points pointtype '%s' linecolor rgb '%s' notitle", style.sign, style.colour)
  end
  return M.hollow(sheet, "$marker", { filled = 13, mark = style.mark, size = style.size, colour = style.colour,
                               width = style.width })
end

--- The range of an axis for data from low to high: what the user set, else the data with a margin; from zero where the
--- data come near it (`zero`: within that part of the largest).
---@param low number
---@param high number
---@param axis { min?: number, max?: number, log?: boolean }
---@param options { pad: number, zero?: number }
---@return number low, number high
function M.range(low, high, axis, options)
  if axis.log then
    -- By logarithms: the ratio of the two may be more than a number holds.
    local pad = high > low and options.pad * (math.log(high) - math.log(low)) or math.log(2)
    return axis.min or max(1e-305, math.exp(math.log(low) - pad)),
      axis.max or math.min(1e305, math.exp(math.log(high) + pad))
  end
  local span = high - low
  local from, to = low - options.pad * span, high + options.pad * span
  -- One value, or values a double can hardly tell apart: room for half of it on both sides.
  if span <= max(abs(low), abs(high)) * 1e-12 then
    span = high ~= 0 and abs(high) or 1
    from, to = low - span / 2, high + span / 2
  end
  if options.zero and low >= 0 and low <= options.zero * high then from = 0 end
  if options.zero and low < 0 and high <= 0 and high >= options.zero * low then to = 0 end
  return axis.min or from, axis.max or to
end

--- The range of a colour scale: what the user set, else the data's; a diverging one has its middle at zero.
---@param low number
---@param high number
---@param given { min?: number, max?: number }
---@param map string
---@return number low, number high
function M.scale(low, high, given, map)
  if map == "diverging" and not given.min and not given.max then
    local far = max(abs(low), abs(high))
    return far > 0 and -far or -1, far > 0 and far or 1
  end
  if high - low <= abs(high) * 1e-12 then
    local half = max(0.5, abs(high) * 0.1)
    low, high = low - half, high + half
  end
  return given.min or low, given.max or high
end

--- What is wrong with an axis that has no numbers: nothing, or that it was given a range.
---@param options table
---@param axis "x"|"y"
---@param has string  # what it has instead
---@return string?
function M.without_range(options, axis, has)
  for _, key in ipairs { "min", "max", "log" } do
    if options[axis][key] ~= nil then return format("%s: the axis has %s, and no %s", axis, has, key) end
  end
end

--- A list of plots with the name of what each draws.
---@return { plots: string[], names: string[], add: fun(name: string, ...: string) }
function M.list()
  local list = { plots = {}, names = {} }
  function list.add(name, ...)
    for _, plot in ipairs { ... } do
      list.plots[#list.plots + 1], list.names[#list.names + 1] = plot, name
    end
  end
  return list
end

return M
