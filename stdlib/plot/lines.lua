--- plot.lines: lines with their intervals, named at their ends.
---@package
local colours = require "plot.colour"
local frame = require "plot.frame"
local parts = require "plot.parts"
local spec = require "spec"
local values = require "plot.values"

local M = {}

local format, concat, min, max, floor = string.format, table.concat, math.min, math.max, math.floor

local MANY <const> = 3000 -- points of a line above which only each small step's extremes are drawn
local PENS <const> = "*#$%@&=" -- what gnuplot draws lines of on a terminal without colours
local MARKED <const> = 30 -- points of a line up to which each has a mark

M.fields = {
  interval = spec.choice { "band", "bars", "none", default = "band" },
  labels = spec.choice { "auto", "ends", "legend", default = "auto" },
  marker = spec.record { name = spec.text { required = true }, points = spec.any(), x = spec.any(), y = spec.any() },
}

local series_fields = { name = spec.text { default = "" }, points = spec.any(), x = spec.any(), y = spec.any(),
                        place = spec.integer { min = 1 } }

-- A series as a table with names; it may come as data alone.
---@param series any
---@return table
local function as_series(series)
  if type(series) == "table" and not values.is_list(series) and not (type(series[1]) == "table") then return series end
  return { points = series }
end

---@param options table
---@return table? chart, string? problem
function M.prepare(options)
  local x, y = options.x, options.y
  local chart = { series = {}, remarks = {}, x = { label = x.label, log = x.log, whole = true },
                  y = { label = y.label, log = y.log, grid = true } }
  local box = { x_low = math.huge, x_high = -math.huge, y_low = math.huge, y_high = -math.huge }
  local function take(given, name, known)
    local points, problem = values.points(given)
    if not points then return nil, problem end
    local runs, left_out, count = values.runs(points, x.log, y.log)
    if count == 0 then
      chart.remarks[#chart.remarks + 1] = format("%s has no values", name ~= "" and name or "a series")
    elseif left_out > 0 then
      chart.remarks[#chart.remarks + 1] = format("%d of %d values%s left out", left_out, #points,
        name ~= "" and " of " .. name or "")
    end
    for _, run in ipairs(runs) do
      for _, point in ipairs(run) do
        if point.x % 1 ~= 0 then chart.x.whole = false end
        box.x_low, box.x_high = min(box.x_low, point.x), max(box.x_high, point.x)
        local low, high = point.y, point.y
        if options.interval ~= "none" then low, high = point.low, point.high end
        if y.log and low < values.least then low = point.y end
        box.y_low, box.y_high = min(box.y_low, low), max(box.y_high, high)
      end
    end
    known.runs, known.count = runs, count
    return known
  end
  for s, given in ipairs(options.series) do
    local one, problem = spec.examine(as_series(given), series_fields)
    if one then one, problem = take(one, one.name, { name = one.name, style = colours.style(one.place or s) }) end
    if not one then return nil, format("series[%d]: %s", s, problem) end
    if one.count > 0 then chart.series[#chart.series + 1] = one end
  end
  if options.marker then
    local marker, problem = take(options.marker, options.marker.name, { name = options.marker.name })
    if not marker then return nil, "marker: " .. problem end
    if marker.count > 0 then chart.marker = marker end
  end

  if box.x_low > box.x_high then
    box = { x_low = 1, x_high = 1, y_low = 1, y_high = 1 }
    chart.remarks = { "there is nothing to draw: no series has a value" }
    chart.empty = true
  end
  chart.x.low, chart.x.high = parts.range(box.x_low, box.x_high, x, { pad = 0.02 })
  chart.y.low, chart.y.high = parts.range(box.y_low, box.y_high, y, { pad = 0.05, zero = 0.35 })
  if not (chart.x.high > chart.x.low) then return nil, "x: min must be below max" end
  if not (chart.y.high > chart.y.low) then return nil, "y: min must be below max" end

  if y.log then
    -- An interval that reaches below zero reaches to the end of the axis.
    for _, one in ipairs(chart.series) do
      for _, run in ipairs(one.runs) do
        for _, point in ipairs(run) do point.low = max(point.low, min(point.y, chart.y.low)) end
      end
    end
  end

  -- A label stands beside a line's end only where that end is at the right.
  chart.ends = #chart.series > 1 and options.labels ~= "legend" or options.labels == "ends"
  for _, one in ipairs(chart.series) do
    local run = one.runs[#one.runs]
    one.last = run[#run]
    if one.name == "" or options.labels == "auto" and frame.share(chart.x, one.last.x) < 0.6 then
      chart.ends = false
    end
  end
  return chart
end

-- A run thinned for the eye: the first, lowest, highest and last point of each of `steps` parts of the axis.
local function thinned(run, axis, steps)
  local out, bucket, kept = {}, nil, nil
  local function flush()
    if not kept then return end
    table.sort(kept, function(a, b) return a.order < b.order end)
    local before
    for _, entry in ipairs(kept) do
      if entry.point ~= before then out[#out + 1] = entry.point end
      before = entry.point
    end
  end
  for i, point in ipairs(run) do
    local place = floor(frame.share(axis, point.x) * steps)
    local entry = { point = point, order = i }
    if place ~= bucket then
      flush()
      bucket, kept = place, { entry, entry, entry, entry }
    else
      if point.y < kept[2].point.y then kept[2] = entry end
      if point.y > kept[3].point.y then kept[3] = entry end
      kept[4] = entry
    end
  end
  flush()
  return out
end

local function data_line(point)
  return format("%.15g %.15g %.15g %.15g", point.x, point.y, point.low, point.high)
end

--- Draws the chart; gives gnuplot's plots and their names.
---@param chart table
---@param sheet Sheet
---@param options table
---@return string[]? plots, string[]|string names, string? code
function M.draw(chart, sheet, options)
  local about = { title = options.title, note = options.note, remarks = chart.remarks, x = chart.x, y = chart.y,
                  legend = {} }
  if chart.ends then about.ends = {} end
  for s, one in ipairs(chart.series) do
    local pen = (s - 1) % #PENS + 1
    if sheet.mono and one.count > sheet.width / 5 then one.style.sign = PENS:sub(pen, pen) end
    one.style.bare = one.count > 8 * MARKED
    one.style.size = (one.count > 12 or #chart.series > 5) and 0.6 or 0.75
    local name = sheet.mono and one.style.sign .. " " .. one.name or one.name
    if chart.ends then about.ends[#about.ends + 1] = { name = name, y = one.last.y, style = one.style } end
    if one.name ~= "" and (#chart.series > 1 or chart.marker) then
      about.legend[#about.legend + 1] = { name = one.name, sample = "line", style = one.style }
    end
  end
  if chart.marker then
    about.legend[#about.legend + 1] = { name = chart.marker.name, sample = "point", style = parts.marker_style,
                                        always = true }
  end
  local panel, message, code = frame.draw(sheet, about)
  if not panel then return nil, message, code end

  local bands, list = parts.list(), parts.list()
  for s, one in ipairs(chart.series) do
    local style, data, alone, uncertain = one.style, {}, {}, false
    for _, run in ipairs(one.runs) do
      if #run > MANY then run = thinned(run, chart.x, floor((panel.right - panel.left) / 2)) end
      for _, point in ipairs(run) do
        uncertain = uncertain or point.low < point.high
        data[#data + 1] = data_line(point)
      end
      if #run == 1 then alone[#alone + 1] = data_line(run[1]) end
      data[#data + 1] = "" -- an empty line breaks the line
    end
    sheet:add("$series%d << END\n%s\nEND", s, concat(data, "\n"))
    local paint = format("linetype %d linecolor rgb '%s'", s, style.colour)
    local sign = sheet.terminal and "'" .. style.sign .. "'" or style.mark
    if uncertain and options.interval == "band" and not sheet.terminal then
      bands.add(one.name, format("$series%d using 1:3:4 with filledcurves fillstyle transparent solid 0.18 noborder "
        .. "%s notitle", s, paint))
    end
    if uncertain and options.interval == "bars" then
      list.add(one.name, format("$series%d using 1:2:3:4 with yerrorbars pointtype %s pointsize 0 %s linewidth 1.2 "
        .. "notitle", s, sign, paint))
    end
    -- Marks at each point while there are few, else some, at other places in each series so that they show.
    local every = one.count <= MARKED and 1 or -math.ceil(one.count / 10)
    if sheet.terminal and one.count > sheet.width / 5 then every = 0 end
    if one.count > 8 * MARKED or every == 0 then
      list.add(one.name, format("$series%d using 1:2 with lines %s linewidth 1.5 dashtype %s notitle", s, paint,
        style.dash))
    else
      list.add(one.name, format("$series%d using 1:2 with linespoints %s linewidth 1.5 dashtype %s pointtype %s "
        .. "pointsize %g pointinterval %d notitle", s, paint, style.dash, sign,
        sheet:mark_size(style.mark, style.size), every))
    end
    if #alone > 0 and every ~= 1 then
      sheet:add("$alone%d << END\n%s\nEND", s, concat(alone, "\n"))
      list.add(one.name, format("$alone%d using 1:2 with points %s pointtype %s pointsize 0.7 notitle", s, paint, sign))
    end
  end
  if chart.marker then
    local data = {}
    for _, run in ipairs(chart.marker.runs) do
      for _, point in ipairs(run) do data[#data + 1] = data_line(point) end
    end
    sheet:add("$marker << END\n%s\nEND", concat(data, "\n"))
    list.add(chart.marker.name, parts.marker(sheet))
  end
  for i, plot in ipairs(list.plots) do bands.add(list.names[i], plot) end
  return bands.plots, bands.names
end

return M
