--- plot.heatmap: a table of values as colours, with the values in the cells where they have room.
---@package
local colours = require "plot.colour"
local frame = require "plot.frame"
local nn = require "nn"
local parts = require "plot.parts"
local spec = require "spec"
local ticks = require "plot.ticks"
local values = require "plot.values"

local M = {}

local format, concat, min, max = string.format, table.concat, math.min, math.max

local CELLS <const> = 4000  -- cells above which the map is a picture
local MISSING <const> = "#EEEEEE"

M.alone = true

M.fields = {
  values = spec.any { required = true },
  rows = spec.list { spec.any() }, columns = spec.list { spec.any() },
  value = spec.record { label = spec.text(), min = spec.number(), max = spec.number() },
  map = spec.choice { "sequential", "diverging", "viridis" },
  numbers = spec.choice { "auto", "none", default = "auto" },
  digits = spec.integer { min = 1, max = 10, default = 3 },
}

-- A tensor [R x C] or a list of rows as rows of numbers, false where there is none.
local function read_rows(given)
  if values.is_tensor(given) then
    if #given.shape ~= 2 then
      return nil, "values: expected a tensor [rows x columns], got one of [" .. concat(given.shape, "x") .. "]"
    end
    given = given:tolist()
  end
  if type(given) ~= "table" or #given == 0 then return nil, "values: expected rows of numbers" end
  local rows, width = {}, 0
  for i, row in ipairs(given) do
    local list, problem = values.list(row)
    if not list then return nil, format("values: row %d: expected %s", i, problem) end
    width = max(width, #list)
    rows[i] = {}
    for j = 1, #list do rows[i][j] = values.bounds(list[j]) or false end
  end
  if width == 0 then return nil, "values: expected at least one column" end
  for _, row in ipairs(rows) do
    for j = #row + 1, width do row[j] = false end
  end
  return rows, width
end

local function names_of(list, count, what)
  if not list then return nil end
  if #list ~= count then return nil, format("%s: expected %d names, got %d", what, count, #list) end
  local names = {}
  for i, name in ipairs(list) do names[i] = math.type(name) == "float" and ticks.number(name, 4) or tostring(name) end
  return names
end

---@param options table
---@return table? chart, string? problem
function M.prepare(options)
  local without = parts.without_range(options, "x", "its columns") or parts.without_range(options, "y", "its rows")
  if without then return nil, without end
  local rows, width = read_rows(options.values)
  if not rows then return nil, width end
  local chart = { rows = rows, width = width, height = #rows, remarks = {} }
  local low, high, missing = math.huge, -math.huge, 0
  for _, row in ipairs(rows) do
    for _, value in ipairs(row) do
      if value then low, high = min(low, value), max(high, value) else missing = missing + 1 end
    end
  end
  if low > high then
    low, high = 0, 1
    chart.remarks = { "there is nothing to draw: no cell has a value" }
  elseif missing > 0 then
    chart.remarks[1] = format("%d of %d cells without a value, in grey", missing, width * #rows)
  end
  -- Values on both sides of zero are read as two directions.
  chart.map = options.map or low < 0 and high > 0 and "diverging" or "sequential"
  local value = options.value or {}
  chart.low, chart.high = parts.scale(low, high, value, chart.map)
  if not (chart.high > chart.low) then return nil, "value: min must be below max" end
  chart.bar = { low = chart.low, high = chart.high, map = chart.map, label = value.label }
  local problem
  for _, side in ipairs { { "y", "rows", #rows }, { "x", "columns", width } } do
    local names
    names, problem = names_of(options[side[2]], side[3], side[2])
    if problem then return nil, problem end
    chart[side[1]] = { label = options[side[1]].label, low = 0.5, high = side[3] + 0.5, names = names, whole = true }
  end
  chart.y.down = true
  return chart
end

local function colour_of(chart, value)
  return value and colours.map(chart.map, (value - chart.low) / (chart.high - chart.low)) or MISSING
end

-- How the numbers of the cells are written: with as many decimals as give the largest one so many digits.
local function number_writer(chart, digits)
  local largest, whole = 0, true
  for _, row in ipairs(chart.rows) do
    for _, value in ipairs(row) do
      if value then largest, whole = max(largest, math.abs(value)), whole and value % 1 == 0 end
    end
  end
  if largest >= 1e6 or largest < 1e-3 and largest > 0 then
    return function(value) return ticks.number(value, digits) end
  end
  local decimals = whole and 0 or max(0, digits - 1 - math.floor(math.log(largest, 10) + 1e-9))
  return function(value) return (format("%." .. decimals .. "f", value):gsub("^%-", "−")) end
end

-- How many colours a picture of a map has.
local STEPS <const> = 255

-- The map as a picture with a pixel for each cell.
local function as_picture(chart)
  local steps, rows = {}, {}
  for step = 0, STEPS do steps[step] = { colours.parts(colours.map(chart.map, step / STEPS)) } end
  local none = { colours.parts(MISSING) }
  for i, row in ipairs(chart.rows) do
    rows[i] = {}
    for j, value in ipairs(row) do
      local share = value and (value - chart.low) / (chart.high - chart.low)
      rows[i][j] = share and steps[math.floor(max(0, min(1, share)) * STEPS + 0.5)] or none
    end
  end
  return nn.tensor(rows, { type = "uint8" })
end

local SHADES <const> = { " ", "░", "▒", "▓", "█" }

---@param chart table
---@param sheet Sheet
---@param options table
---@return string[]? plots, string[]|string names, string? code
function M.draw(chart, sheet, options)
  -- Cells about as high as wide, but a page stays a page.
  local wish = 0.72 * sheet.width * chart.height / chart.width
  local about = { title = options.title, note = options.note, remarks = chart.remarks, x = chart.x, y = chart.y,
                  legend = {}, bar = not sheet.terminal and chart.bar or nil, framed = true,
                  lines = chart.height * (chart.height <= 8 and 2 or 1),
                  panel = max(min(wish, sheet.width, 3.2 * sheet:line() * chart.height), chart.height > 20
                    and 0.6 * sheet.width or 1.3 * sheet:line() * chart.height) / sheet.width }
  local panel, message, code = frame.draw(sheet, about)
  if not panel then return nil, message, code end
  local wide, high = (panel.right - panel.left) / chart.width, (panel.bottom - panel.top) / chart.height

  local size, numbers = 0.85, {}
  if options.numbers == "auto" and chart.width * chart.height <= CELLS then
    for digits = options.digits, min(2, options.digits), -1 do
      local widest, write = 0, number_writer(chart, digits)
      for i, row in ipairs(chart.rows) do
        numbers[i] = {}
        for j, value in ipairs(row) do
          numbers[i][j] = value and write(value) or "–"
          widest = max(widest, sheet:extent(numbers[i][j], 1))
        end
      end
      size = sheet.terminal and 1 or min(0.85, wide * 0.92 / widest, high * 0.9 / sheet:line())
      local least = digits > 2 and 0.75 or 0.65
      if size >= least and not (sheet.terminal and (wide < widest + 1 or high < 1)) then break end
      numbers = {}
    end
  end
  if sheet.terminal then
    -- A cell is one column of the terminal or more; the left border stands on the panel's first one.
    for i, row in ipairs(chart.rows) do
      for j, value in ipairs(row) do
        if numbers[i] then
          sheet:text(panel.across(j), panel.down(i), numbers[i][j], { align = "centre" })
        else
          local share = value and (value - chart.low) / (chart.high - chart.low)
          local shade = share and SHADES[1 + math.floor(max(0, min(1, share)) * 4 + 0.5)] or "?"
          local from, to = math.floor(panel.across(j - 0.5)) + 1, math.floor(panel.across(j + 0.5))
          if to >= from then sheet:text(from, panel.down(i), shade:rep(to - from + 1)) end
        end
      end
    end
    return {}, {}
  end

  if chart.width * chart.height > CELLS then
    sheet.pictures[1] = { tensor = as_picture(chart), x = panel.left, y = panel.top,
                          width = panel.right - panel.left, height = panel.bottom - panel.top }
    return {}, {}
  end
  local lines = {}
  for i, row in ipairs(chart.rows) do
    for j, value in ipairs(row) do
      local colour = colour_of(chart, value)
      lines[#lines + 1] = format("%d %d %d", j, i, tonumber(colour:sub(2), 16))
      if numbers[i] then
        local dark = colours.luminance(colour) < 0.3
        sheet:text(panel.across(j), panel.down(i), numbers[i][j],
          { align = "centre", size = size, colour = dark and "#FFFFFF" or colours.ink })
      end
    end
  end
  sheet:add("$cells << END\n%s\nEND", concat(lines, "\n"))
  -- Thin lines of paper between cells, unless the cells are thin themselves.
  local border = min(wide, high) > 6 and "border rgb '#FFFFFF'" or "noborder"
  return { format("$cells using 1:2:(0.5):(0.5):3 with boxxyerror fillstyle solid %s linewidth 0.6 linecolor rgb "
    .. "variable notitle", border) }, { "" }
end

return M
