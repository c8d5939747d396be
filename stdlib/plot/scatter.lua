--- plot.scatter: many points, told apart by class or by a value.
---@package
local colours = require "plot.colour"
local frame = require "plot.frame"
local gnuplot = require "plot.gnuplot"
local parts = require "plot.parts"
local spec = require "spec"
local values = require "plot.values"

local M = {}

local format, concat, min, max, floor = string.format, table.concat, math.min, math.max, math.floor

local RASTER <const> = 2000 -- points above which an SVG holds them as pixels: elements would be megabytes

M.alone = true -- `points` may stand for the series

M.fields = {
  points = spec.any(), classes = spec.any(), values = spec.any(),
  names = spec.list { spec.text() },
  value = spec.record { label = spec.text(), min = spec.number(), max = spec.number() },
  map = spec.choice { "sequential", "diverging", "viridis", default = "viridis" },
  equal = spec.flag { default = false },
  axes = spec.flag { default = true },
  mark = spec.number { above = 0, max = 10 },
}

local series_fields = { name = spec.text { default = "" }, points = spec.any(), x = spec.any(), y = spec.any() }

-- What tells the points' classes: for each point the place of its class in a list of names.
local function read_classes(options, count)
  local given = options.classes
  local list = values.is_tensor(given) and #given.shape == 1 and given:tolist() or given
  if type(list) ~= "table" then return nil, "classes: expected a list or a tensor with one axis" end
  if #list ~= count then return nil, format("classes: expected %d, as there are points, got %d", count, #list) end
  local seen, order = {}, {}
  for i, class in ipairs(list) do
    if type(class) ~= "string" and math.type(class) ~= "integer" then
      return nil, format("classes: expected integers or strings, got %s at place %d", spec.shown(class), i)
    end
    if not seen[class] then
      seen[class] = true
      order[#order + 1] = class
    end
  end
  table.sort(order, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  local names, place, out = {}, {}, {}
  for i, class in ipairs(order) do
    place[class] = i
    names[i] = type(class) == "string" and class or options.names and options.names[class] or tostring(class)
  end
  for i, class in ipairs(list) do out[i] = place[class] end
  return out, names
end

-- A tensor [N x 2] or list of pairs as two lists; of a large tensor without a table for each pair.
local function read_points(given)
  if values.is_tensor(given) and #given.shape == 2 and given.shape[2] == 2 then
    local columns = given:transpose(1, 2):tolist()
    return columns[1], columns[2]
  end
  if values.is_list(given) then return nil, "points: expected a tensor [N x 2] or a list of pairs { x, y }" end
  local points, problem = values.points { points = given }
  if not points then return nil, problem end
  local xs, ys = {}, {}
  for i, point in ipairs(points) do xs[i], ys[i] = point.x, point.y or 0 / 0 end
  return xs, ys
end

---@param options table
---@return table? chart, string? problem
function M.prepare(options)
  local x, y = options.x, options.y
  local chart = { points = {}, remarks = {}, names = {}, styles = {} }
  local total, low_x, high_x, low_y, high_y = 0, math.huge, -math.huge, math.huge, -math.huge
  local function take(xs, ys, class_of, value_of)
    for i = 1, #xs do
      local at_x, at_y = (values.bounds(xs[i])), values.bounds(ys[i])
      total = total + 1
      local fine = at_x and at_y and (not x.log or at_x >= values.least)
        and (not y.log or at_y >= values.least)
      local value = value_of and values.bounds(value_of[i])
      if fine and (value or not value_of) then
        low_x, high_x, low_y, high_y = min(low_x, at_x), max(high_x, at_x), min(low_y, at_y), max(high_y, at_y)
        chart.points[#chart.points + 1] = { at_x, at_y, class_of(i), value }
      end
    end
  end
  if options.points ~= nil then
    if options.series then return nil, "points or series, not both" end
    local xs, ys = read_points(options.points)
    if not xs then return nil, ys end
    local classes, names = nil, {}
    if options.classes ~= nil then
      if options.values ~= nil then return nil, "classes or values, not both" end
      classes, names = read_classes(options, #xs)
      if not classes then return nil, names end
    end
    local list
    if options.values ~= nil then
      local problem
      list, problem = values.list(options.values)
      if not list then return nil, "values: expected " .. problem end
      if #list ~= #xs then return nil, format("values: expected %d, as there are points, got %d", #xs, #list) end
    end
    take(xs, ys, function(i) return classes and classes[i] or 1 end, list)
    chart.names = names
  elseif options.series then
    for s, given in ipairs(options.series) do
      local bare = values.is_tensor(given) or type(given) == "table" and type(given[1]) == "table"
      local one, problem = spec.examine(bare and { points = given } or given, series_fields)
      local xs, ys
      if one and one.points ~= nil then
        xs, ys = read_points(one.points)
        if not xs then problem = ys end
      elseif one then
        xs, problem = values.list(one.x)
        if xs then ys, problem = values.list(one.y) end
        if xs and ys and #xs ~= #ys then
          xs, problem = nil, format("as many x as y expected, got %d and %d", #xs, #ys)
        elseif not (xs and ys) then
          xs, problem = nil, "x and y: expected " .. problem
        end
      end
      if not xs then return nil, format("series[%d]: %s", s, problem) end
      chart.names[s] = one.name
      local before = #chart.points
      take(xs, ys, function() return s end)
      if #chart.points == before then
        chart.remarks[#chart.remarks + 1] = (one.name ~= "" and one.name or "a series") .. " has no points"
      end
    end
  else
    return nil, "points or series are required"
  end
  if #chart.points == 0 then
    low_x, high_x, low_y, high_y = 0, 1, 0, 1
    if x.log then low_x, high_x = 1, 10 end
    if y.log then low_y, high_y = 1, 10 end
    chart.remarks = { "there is nothing to draw: no point has two numbers" }
  elseif #chart.points < total then
    chart.remarks[#chart.remarks + 1] = format("%d of %d points left out", total - #chart.points, total)
  end
  for s = 1, max(1, #chart.names) do chart.styles[s] = colours.style(s) end
  chart.x = { label = x.label, log = x.log, hidden = not options.axes }
  chart.y = { label = y.label, log = y.log, hidden = not options.axes, grid = false }
  chart.x.low, chart.x.high = parts.range(low_x, high_x, x, { pad = 0.03 })
  chart.y.low, chart.y.high = parts.range(low_y, high_y, y, { pad = 0.04 })
  if not (chart.x.high > chart.x.low) then return nil, "x: min must be below max" end
  if not (chart.y.high > chart.y.low) then return nil, "y: min must be below max" end
  chart.equal = options.equal
  if chart.equal and (x.log or y.log) then return nil, "equal: a logarithmic axis has no unit to compare" end
  if options.values ~= nil and #chart.points > 0 then
    local low, high = math.huge, -math.huge
    for _, point in ipairs(chart.points) do low, high = min(low, point[4]), max(high, point[4]) end
    local value = options.value or {}
    low, high = parts.scale(low, high, value, options.map)
    if not (high > low) then return nil, "value: min must be below max" end
    chart.bar = { low = low, high = high, map = options.map, label = value.label }
  end
  return chart
end

local function mark_size(count)
  if count <= 60 then return 0.8 elseif count <= 500 then return 0.6 elseif count <= 3000 then return 0.4 end
  return count <= 20000 and 0.28 or 0.18
end

-- The points as one block of gnuplot's lines: x, y, kind of mark, colour. In the order they came, so that no class
-- hides another one because of its place in the list.
local function block(chart)
  local lines, bar = {}, chart.bar
  local plain = {}
  for s, style in ipairs(chart.styles) do
    plain[s] = format("%d %d", #chart.names > 0 and style.mark or 7, tonumber(style.colour:sub(2), 16))
  end
  local steps = {}
  for i, point in ipairs(chart.points) do
    local look = plain[point[3]]
    if bar then
      local step = floor(max(0, min(1, frame.share(bar, point[4]))) * 255 + 0.5)
      steps[step] = steps[step] or format("7 %d", tonumber(colours.map(bar.map, step / 255):sub(2), 16))
      look = steps[step]
    end
    lines[i] = format("%.9g %.9g %s", point[1], point[2], look)
  end
  return concat(lines, "\n")
end

-- The points alone, on nothing, as a PNG of the panel.
local function layer(chart, sheet, panel, size)
  local dots = sheet.dots
  local script = { "set encoding utf8",
    format("set terminal pngcairo transparent size %d,%d pointscale %.4f linewidth %.4f",
      floor((panel.right - panel.left) * dots + 0.5), floor((panel.bottom - panel.top) * dots + 0.5), dots, dots),
    "unset border", "unset xtics", "unset ytics", "set key off", "set lmargin at screen 0", "set rmargin at screen 1",
    "set bmargin at screen 0", "set tmargin at screen 1" }
  for _, letter in ipairs { "x", "y" } do
    script[#script + 1] = format("set %srange [%.17g:%.17g]", letter, chart[letter].low, chart[letter].high)
    if chart[letter].log then script[#script + 1] = "set logscale " .. letter end
  end
  script[#script + 1] = format("$points << END\n%s\nEND", block(chart))
  script[#script + 1] = format("plot $points using 1:2:3:4 with points pointsize %g pointtype variable linecolor rgb "
    .. "variable notitle\n", size)
  return gnuplot.run(concat(script, "\n"))
end

---@param chart table
---@param sheet Sheet
---@param options table
---@return string[]? plots, string[]|string names, string? code
function M.draw(chart, sheet, options)
  -- Ranges made equal belong to this sheet.
  local x, y = setmetatable({}, { __index = chart.x }), setmetatable({}, { __index = chart.y })
  local aspect = 0.85 * (y.high - y.low) / (x.high - x.low)
  aspect = max(0.3, min(0.95, aspect))
  local about = { title = options.title, note = options.note, remarks = chart.remarks, x = x, y = y, legend = {},
                  bar = chart.bar, equal = chart.equal and not sheet.terminal, panel = chart.equal and aspect or nil }
  for s, name in ipairs(chart.names) do
    if name ~= "" and #chart.names > 1 then
      about.legend[#about.legend + 1] = { name = name, sample = "point", style = chart.styles[s] }
    end
  end
  local panel, message, code = frame.draw(sheet, about)
  if not panel then return nil, message, code end
  local list = parts.list()
  local size = options.mark or mark_size(#chart.points)
  if #chart.points == 0 then return {}, {} end
  if sheet.terminal then
    local blocks = {}
    for _, point in ipairs(chart.points) do
      local lines = blocks[point[3]] or {}
      blocks[point[3]] = lines
      lines[#lines + 1] = format("%.9g %.9g", point[1], point[2])
    end
    for s, lines in pairs(blocks) do
      sheet:add("$class%d << END\n%s\nEND", s, concat(lines, "\n"))
      list.add(chart.names[s] or "", format("$class%d using 1:2 with points pointtype '%s' linecolor rgb '%s' notitle",
        s, chart.styles[s].sign, chart.styles[s].colour))
    end
    return list.plots, list.names
  end
  if sheet.kind == "svg" and #chart.points > RASTER then
    local bytes
    bytes, message, code = layer({ x = x, y = y, points = chart.points, names = chart.names, styles = chart.styles,
                                   bar = chart.bar }, sheet, panel, size)
    if not bytes then return nil, message, code end
    sheet.pictures[1] = { bytes = bytes, smooth = true, x = panel.left, y = panel.top,
                          width = panel.right - panel.left, height = panel.bottom - panel.top }
    return {}, {}
  end
  sheet:add("$points << END\n%s\nEND", block(chart))
  list.add("", format("$points using 1:2:3:4 with points pointsize %g pointtype variable linecolor rgb variable "
    .. "notitle", size))
  return list.plots, list.names
end

return M
