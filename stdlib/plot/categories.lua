--- plot.bars and plot.points: values by category, with their intervals, single values and another source's values.
---@package
local colours = require "plot.colour"
local frame = require "plot.frame"
local parts = require "plot.parts"
local spec = require "spec"
local ticks = require "plot.ticks"
local values = require "plot.values"

local M = {}

local format, concat, min, max = string.format, table.concat, math.min, math.max

M.fields = {
  categories = spec.list { spec.text(), min = 1 },
  marker = spec.record { name = spec.text { required = true }, values = spec.any { required = true } },
  numbers = spec.choice { "auto", "none", default = "auto" },
}

local series_fields = { name = spec.text { default = "" }, values = spec.any { required = true }, dots = spec.table() }

-- How bars are filled: those of one brightness in grey print differ by their hatching, and so do those of one colour.
local FILLS <const> = { "solid", "solid", "pattern 4", "pattern 5", "solid", "pattern 2", "pattern 6", "solid",
                        "pattern 4", "pattern 5", "solid", "solid", "pattern 2", "solid", "solid", "pattern 4" }

-- What fills a terminal's bars; with colours all are full.
local CELLS <const> = { "█", "▒", "░", "▓", "#", "+", "=", ":" }

-- A list of values with no more than the categories.
local function value_list(given, count)
  local list, problem = values.list(given)
  if not list then return nil, "values: expected " .. problem end
  if count and #list > count then
    return nil, format("values: expected at most %d, as there are categories, got %d", count, #list)
  end
  return list
end

---@param options table
---@param from_zero boolean
---@return table? chart, string? problem
function M.prepare(options, from_zero)
  local without = parts.without_range(options, "x", "its categories")
  if without then return nil, without end
  local y = options.y
  if from_zero and y.log then return nil, "bars stand on zero; use points on a logarithmic axis" end
  local chart = { series = {}, remarks = {}, from_zero = from_zero }
  local names, longest = options.categories, 0
  local low, high, seen = math.huge, -math.huge, 0
  local function see(value)
    local middle, bottom, top = values.bounds(value)
    if not middle or y.log and middle < values.least then return nil end
    if y.log and bottom < values.least then bottom = middle end
    low, high, seen = min(low, bottom), max(high, top), seen + 1
    return middle, bottom, top
  end
  for s, given in ipairs(options.series) do
    local bare = values.is_list(given)
    local one, problem = spec.examine(bare and { values = given } or given, series_fields)
    local list
    if one then list, problem = value_list(one.values, names and #names) end
    if not list then return nil, format("series[%d]: %s", s, problem) end
    one.list, one.given, one.single = {}, list, {}
    longest = max(longest, #list)
    local missing, present = 0, 0
    for j = 1, names and #names or #list do
      local middle, bottom, top = see(list[j])
      one.list[j] = middle and { value = middle, low = bottom, high = top } or false
      -- false is a value that was never there; anything else that cannot be drawn is told of
      if not middle and list[j] then missing = missing + 1 end
      if middle then present = present + 1 end
      one.single[j] = {}
      for _, dot in ipairs(one.dots and one.dots[j] or {}) do
        local at = see(dot)
        if at then one.single[j][#one.single[j] + 1] = at end
      end
    end
    local whose = one.name ~= "" and one.name or "a series"
    if present == 0 then
      chart.remarks[#chart.remarks + 1] = whose .. " has no values"
    elseif missing > 0 then
      chart.remarks[#chart.remarks + 1] = format("%d of %d values of %s left out", missing, #list, whose)
    end
    if present > 0 then chart.series[#chart.series + 1] = one end
  end
  if not names then
    names = {}
    for j = 1, longest do names[j] = tostring(j) end
  end
  chart.names = names
  if options.marker then
    local list, problem = value_list(options.marker.values, #names)
    if not list then return nil, "marker: " .. problem end
    chart.marker = { name = options.marker.name, list = {} }
    for j = 1, #names do chart.marker.list[j] = see(list[j]) or false end
  end
  if seen == 0 then
    low, high = 0, 1
    if y.log then low, high = 1, 10 end
    chart.remarks = { "there is nothing to draw: no series has a value" }
  end
  if from_zero then low, high = min(0, low), max(0, high) end
  -- Above a bar stands its number: it needs room.
  local from, to = parts.range(low, high, y, { pad = 0.1, zero = from_zero and 1 or nil })
  if from_zero and low < 0 and not y.min then from = low - 0.14 * (high - low) end
  if not y.log and not y.max and high > 0 and high > low then to = high + 0.14 * (high - low) end
  if not (to > from) then return nil, "y: min must be below max" end
  chart.x = { label = options.x.label, low = 0.4, high = #names + 0.6, names = names }
  chart.y = { label = y.label, log = y.log, low = from, high = to, grid = true }
  return chart
end

-- The number above a bar as its Interval writes it, or with few digits.
local function shown(value, estimate, several)
  if type(value) == "table" and getmetatable(value) and not several then
    return tostring(value):match "^%S+" or ""
  end
  return ticks.number(estimate.value, several and 3 or 4)
end

-- A terminal's bars: cells filled from zero on, the last one by eighths; a line for the interval above it.
local EIGHTHS <const> = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

local function draw_columns(sheet, panel, chart, one, beside, slot)
  local full = one.style.cell
  local zero = panel.down(math.max(chart.y.low, math.min(chart.y.high, 0)))
  for j = 1, #chart.names do
    local estimate = one.list[j]
    if estimate then
      local left = math.floor(panel.across(j + beside - 0.46 * slot) + 0.5)
      local wide = math.max(1, math.floor(panel.across(j + beside + 0.46 * slot) + 0.5) - left)
      local function row(y, cell)
        sheet:text(left, y, cell:rep(wide), { colour = one.style.colour })
      end
      local top = math.max(panel.top, math.min(panel.bottom, panel.down(estimate.value)))
      if top <= zero then
        -- Rows are filled from their lower edge; the one with the axis is the axis'.
        for y = math.floor(zero) - 1, math.floor(top) + 1, -1 do row(y, full) end
        local rest = math.floor((1 - top % 1) * 8 + 0.5)
        if math.floor(top) < math.floor(zero) then
          if full ~= "█" then
            if rest >= 4 then row(math.floor(top), full) end
          elseif rest > 0 then
            row(math.floor(top), EIGHTHS[rest])
          end
        end
      else
        for y = math.floor(zero) + 1, math.floor(top + 0.5) - 1 do row(y, full) end
      end
    end
  end
end

-- A terminal's points: the interval as a line through its cells.
local function draw_marks(sheet, panel, chart, one, beside)
  for j = 1, #chart.names do
    local estimate = one.list[j]
    if estimate then
      local x = panel.across(j + beside)
      local top, bottom = math.floor(panel.down(estimate.high)), math.floor(panel.down(estimate.low))
      for y = math.max(panel.top, top), math.min(panel.bottom - 1, bottom) do
        sheet:text(x, y, "│", { colour = one.style.colour })
      end
      if panel.shows(estimate.value) then
        sheet:text(x, panel.down(estimate.value), one.style.sign, { colour = one.style.colour })
      end
    end
  end
end

---@param chart table
---@param sheet Sheet
---@param options table
---@return string[]? plots, string[]|string names, string? code
function M.draw(chart, sheet, options)
  local count, from_zero = #chart.series, chart.from_zero
  local about = { title = options.title, note = options.note, remarks = chart.remarks, x = chart.x, y = chart.y,
                  legend = {} }
  for s, one in ipairs(chart.series) do
    local style = colours.style(s)
    style.fill, style.border = FILLS[(s - 1) % #FILLS + 1], style.colour
    style.cell = CELLS[sheet.mono and (s - 1) % #CELLS + 1 or 1]
    if sheet.terminal and from_zero then style.sign = style.cell end
    one.style = style
    if one.name ~= "" and (count > 1 or chart.marker) then
        about.legend[#about.legend + 1] = { name = one.name, sample = from_zero and "bar" or "point", style = style }
    end
  end
  if chart.marker then
    about.legend[#about.legend + 1] = { name = chart.marker.name, sample = "point", style = parts.marker_style }
  end
  local panel, message, code = frame.draw(sheet, about)
  if not panel then return nil, message, code end

  local list = parts.list()
  if from_zero and chart.y.low < 0 and sheet.terminal then
    sheet:text(panel.left + 1, panel.down(0), ("─"):rep(panel.right - panel.left))
  elseif from_zero and chart.y.low < 0 then
    sheet:stroke(panel.left, panel.down(0), panel.right, panel.down(0), { colour = "#888888" })
  end
  -- Bars of one category touch; together they take two thirds of its place.
  local slot = (from_zero and (count == 1 and 0.56 or 0.72) or 0.56) / max(1, count)
  local wide = panel.across(1 + slot) - panel.across(1)
  -- The other source's values stand on the bars, but beside the points.
  local beside = from_zero and 0 or (count > 1 and 0.52 or 0.25) * slot * max(1, count)
  local numbers, size = {}, count > 1 and 0.8 or 0.9
  if sheet.terminal then size = 1 end
  for s, one in ipairs(chart.series) do
    local data, single = {}, {}
    for j = 1, #chart.names do
      local estimate = one.list[j]
      local x = j + (s - (count + 1) / 2) * slot
      if estimate then
        data[#data + 1] = format("%.9g %.15g %.15g %.15g", x, estimate.value, estimate.low, estimate.high)
        local number = { text = shown(one.given[j], estimate, count > 1):gsub("^%-", "−"), x = panel.across(x) }
        local step, at = -sheet:line(size), panel.down(max(estimate.high, estimate.value))
        if from_zero and estimate.value < 0 then step, at = -step, panel.down(min(estimate.low, estimate.value)) end
        number.y = at + 0.75 * step
        local mark = chart.marker and chart.marker.list[j]
        if mark and math.abs(panel.across(j + beside) - number.x) < 0.5 * sheet:extent(number.text, size) + sheet:gap(4)
          and math.abs(panel.down(mark) - number.y) < 1.1 * math.abs(step) then
          number.y = panel.down(mark) + 1.2 * step
        end
        numbers[#numbers + 1] = number
      end
      local dots = one.single[j]
      for k, dot in ipairs(dots) do
        single[#single + 1] = format("%.9g %.15g", x - 0.3 * slot + 0.12 * slot * (k - (#dots + 1) / 2), dot)
      end
    end
    sheet:add("$series%d << END\n%s\nEND", s, concat(data, "\n"))
    local paint = format("linecolor rgb '%s'", one.style.colour)
    if sheet.terminal then
      local draw = from_zero and draw_columns or draw_marks
      draw(sheet, panel, chart, one, slot * (s - (count + 1) / 2), slot)
    elseif from_zero then
      list.add(one.name, format("$series%d using 1:2:(%.9g) with boxes fillstyle %s border rgb '%s' %s notitle", s,
        slot * 0.9, one.style.fill, one.style.colour, paint))
      -- Two-headed arrows with flat heads: error bars would punch a hole into the bar's edge.
      list.add(one.name, format("$series%d using 1:3:(0):($4-$3) with vectors heads size screen 0.006,90 linecolor "
        .. "rgb '%s' linewidth 1.2 notitle", s, colours.ink))
    else
      list.add(one.name, format("$series%d using 1:2:3:4 with yerrorbars pointtype %s pointsize %g %s linewidth 1.5 "
        .. "notitle", s, one.style.mark, sheet:mark_size(one.style.mark, 0.8), paint))
    end
    if #single > 0 and not sheet.terminal then
      sheet:add("$single%d << END\n%s\nEND", s, concat(single, "\n"))
      list.add(one.name, parts.hollow(sheet, "$single" .. s, { filled = 7, mark = 6, size = 0.45,
        colour = from_zero and colours.ink or one.style.colour }))
    end
  end
  if chart.marker then
    local data = {}
    for j, value in ipairs(chart.marker.list) do
      if value then data[#data + 1] = format("%.9g %.15g", j + beside, value) end
    end
    if sheet.terminal then
      for j, value in ipairs(chart.marker.list) do
        if value and panel.shows(value) then
          sheet:mark(panel.across(j + beside), panel.down(value), parts.marker_style)
        end
      end
    elseif #data > 0 then
      sheet:add("$marker << END\n%s\nEND", concat(data, "\n"))
      list.add(chart.marker.name, parts.marker(sheet))
    end
  end
  -- The numbers themselves: a reader should not have to measure. All of them or, where one has no room, none.
  local room = true
  for _, number in ipairs(numbers) do
    if sheet:extent(number.text, size) > (count > 1 and wide * 1.1 or wide / 0.56 * 0.95) then room = false end
  end
  if options.numbers == "auto" and room then
    for _, number in ipairs(numbers) do
      if number.y > panel.top - sheet:line() and number.y < panel.bottom + sheet:line() then
        sheet:text(number.x, number.y, number.text, { align = "centre", size = size })
      end
    end
  end
  return list.plots, list.names
end

return M
