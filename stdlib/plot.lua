--- Charts through gnuplot: bars, points and lines with their intervals, as SVG and PNG.
---
--- Without gnuplot every function returns nil, message, code, and the run goes on. Nothing a user writes is ever
--- interpreted: texts stand in single quotes (gnuplot runs backticks in double ones), enhanced markup is off, and the
--- user's own start-up file is not read. Colours are Okabe and Ito's, told apart by the colour-blind.
local file = require "file"
local spec = require "spec"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

--- Colours in the order the series take them.
M.palette = { "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#555555" }
local INK, FAINT, PAPER = "#222222", "#D8D8D8", "#000000"

local function quoted(s)
  return "'" .. tostring(s):gsub("%c", " "):gsub("'", "''") .. "'"
end

local function shell_quoted(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local known -- is gnuplot there? asked once

--- Is gnuplot there? PENUMBRA_GNUPLOT names another program.
---@return string? command, string? message, string? code
function M.program()
  local command = os.getenv "PENUMBRA_GNUPLOT" or "gnuplot"
  if known == nil or known.command ~= command then
    known = { command = command,
              found = os.execute("command -v " .. shell_quoted(command) .. " >/dev/null 2>&1") == true }
  end
  if known.found then return command end
  return nil, "charts need gnuplot, which is not installed", "missing"
end

-- ---- the parts every chart has ----

local axis = spec.record { label = spec.text(), min = spec.number(), max = spec.number(), log = spec.flag() }
local common = {
  path = spec.text(),
  formats = spec.list { spec.choice { "svg", "png" }, default = { "svg", "png" } },
  title = spec.text { default = "" },
  note = spec.text { default = "" },
  x = axis, y = axis,
  size = spec.list { spec.integer { min = 100, max = 8000 }, default = { 800, 500 } },
  series = spec.list { spec.table(), required = true, min = 1 },
}

local function with(extra)
  local fields = {}
  for key, field in pairs(common) do fields[key] = field end
  for key, field in pairs(extra) do fields[key] = field end
  return fields
end

-- value, low, high of an Interval, a number or nothing
local function bounds(value)
  if not value then return nil end
  if type(value) == "number" then return value, value, value end
  return value.value, value.low, value.high
end

local function coordinate(x)
  return format("%.9g", x)
end

local function terminal(kind, size)
  if kind == "svg" then
    return format("set terminal svg noenhanced size %d,%d dynamic font 'DejaVu Sans,Arial,sans-serif,13' "
      .. "background '#FFFFFF'", size[1], size[2])
  end
  -- Twice the pixels for the same layout: sharp on a dense screen and in print.
  return format("set terminal pngcairo noenhanced size %d,%d fontscale 1.0 font 'DejaVu Sans,26' linewidth 2 "
    .. "background '#FFFFFF'", 2 * size[1], 2 * size[2])
end

local function range(low, high)
  return format("[%s:%s]", low and coordinate(low) or "*", high and coordinate(high) or "*")
end

local function frame(out, options, keys)
  out[#out + 1] = format("set border 3 linecolor '%s' linewidth 1", "#888888")
  out[#out + 1] = format("set tics nomirror out scale 0.5 textcolor '%s'", INK)
  out[#out + 1] = format("set grid ytics back linetype 1 linecolor '%s' linewidth 0.7", FAINT)
  out[#out + 1] = format("set label 1 %s at graph 0, screen 0.955 left front font ',%d' textcolor '%s'",
    quoted(options.title), options.kind == "png" and 31 or 16, INK)
  if options.note ~= "" then
    out[#out + 1] = format("set label 2 %s at graph 0, screen 0.03 left front font ',%d' textcolor '#666666'",
      quoted(options.note), options.kind == "png" and 20 or 10)
  end
  local x, y = options.x or {}, options.y or {}
  if x.label then out[#out + 1] = format("set xlabel %s textcolor '%s'", quoted(x.label), INK) end
  if y.label then out[#out + 1] = format("set ylabel %s textcolor '%s' offset 0.5,0", quoted(y.label), INK) end
  if x.log then out[#out + 1] = "set logscale x" end
  if y.log then out[#out + 1] = "set logscale y" end
  out[#out + 1] = "set tmargin at screen 0.84"
  out[#out + 1] = format("set bmargin at screen %.3f",
    0.11 + (x.label and 0.06 or 0) + (options.note ~= "" and 0.05 or 0))
  out[#out + 1] = "set rmargin at screen 0.97"
  if keys > 1 then
    out[#out + 1] = format("set key at screen 0.97, screen 0.905 right center horizontal Left reverse samplen 1.2 "
      .. "textcolor '%s' noopaque", INK)
  else
    out[#out + 1] = "set key off"
  end
end

-- What gnuplot draws for a script: the picture's bytes.
local function run(program, script)
  local commands = os.tmpname()
  local errors = commands .. ".err"
  local ok, message, code = file.write(commands, script)
  if not ok then return nil, message, code end
  local pipe = io.popen(format("%s -d %s 2>%s", shell_quoted(program), shell_quoted(commands), shell_quoted(errors)))
  local bytes = pipe and pipe:read("a") or ""
  local done = pipe and pipe:close()
  local said = file.read(errors) or ""
  os.remove(commands)
  os.remove(errors)
  if done ~= true then
    -- gnuplot repeats the line and points at the place; its last line says what is wrong.
    local reason = said:match("([^\n]*)%s*$") or ""
    return nil, format("gnuplot failed: %s", reason ~= "" and reason or "no reason given"), "io"
  end
  return bytes
end

-- The chart's bytes in one format: compose(out, options) adds the commands.
local function picture(options, keys, compose, kind)
  local program, message, code = M.program()
  if not program then return nil, message, code end
  options.kind = kind
  local out = { terminal(kind, options.size) }
  frame(out, options, keys)
  compose(out, options)
  return run(program, concat(out, "\n") .. "\n")
end

-- Draws the chart in each format to its file, or gives its bytes in the one format asked for.
local function draw(options, keys, compose, kind)
  if kind then return picture(options, keys, compose, kind) end
  local folder = file.split(options.path)
  local ok, message, code = true, nil, nil
  if folder ~= "" then ok, message, code = file.make_folder(folder) end
  if not ok then return nil, message, code end
  local written = {}
  for _, each in ipairs(options.formats) do
    local bytes
    bytes, message, code = picture(options, keys, compose, each)
    if not bytes then return nil, message, code end
    local target = options.path .. "." .. each
    ok, message, code = file.write(target, bytes)
    if not ok then return nil, message, code end
    written[#written + 1] = target
  end
  return written
end

-- ---- categories: bars and points ----

local category_fields = with {
  categories = spec.list { spec.text(), required = true, min = 1 },
  marker = spec.record { name = spec.text { required = true }, values = spec.table { required = true } },
}

-- The y range: bars stand on zero, points keep a tenth of the span free on both sides.
local function y_range(options, from_zero)
  local low, high = math.huge, -math.huge
  local function see(value)
    local _, bottom, top = bounds(value)
    if bottom then low, high = math.min(low, bottom), math.max(high, top) end
  end
  for _, series in ipairs(options.series) do
    for j = 1, #options.categories do
      see(series.values[j])
      for _, dot in ipairs(series.dots and series.dots[j] or {}) do see(dot) end
    end
  end
  if options.marker then
    for j = 1, #options.categories do see(options.marker.values[j]) end
  end
  if low > high then low, high = 0, 1 end
  if from_zero then low, high = math.min(0, low), math.max(0, high) end
  local span = high > low and high - low or math.max(1e-9, math.abs(high)) * 0.1
  local y = options.y or {}
  if y.log then
    -- Two fifths of a power of ten above and below; what is not positive has no place on the axis.
    if low <= 0 then low = high > 0 and high / 1e4 or 1 end
    return y.min or low / 2.5, y.max or high * 2.5
  end
  local below = from_zero and low >= 0 and 0 or low - 0.10 * span
  return y.min or below, y.max or high + 0.14 * span
end

local function categories(options, from_zero, kind)
  local n, series_count = #options.categories, #options.series
  local keys = (series_count > 1 and series_count or 1) + (options.marker and 1 or 0)
  local low, high = y_range(options, from_zero)
  return draw(options, keys, function(out)
    local tics = {}
    for j, name in ipairs(options.categories) do tics[j] = format("%s %d", quoted(name), j) end
    out[#out + 1] = format("set xtics (%s) scale 0", concat(tics, ", "))
    out[#out + 1] = format("set xrange [0.4:%g]", n + 0.6)
    out[#out + 1] = format("set yrange %s", range(low, high))
    -- Bars of one category touch; together they take two thirds of its place.
    local slot = (from_zero and 0.66 or 0.5) / series_count
    if series_count == 1 and from_zero then slot = 0.5 end
    local plots, label = {}, 10
    for s, series in ipairs(options.series) do
      local colour = M.palette[(s - 1) % #M.palette + 1]
      local data, dots = {}, {}
      for j = 1, n do
        local value, bottom, top = bounds(series.values[j])
        local x = j + (s - (series_count + 1) / 2) * slot
        if value then
          data[#data + 1] = format("%s %s %s %s", coordinate(x), coordinate(value), coordinate(bottom), coordinate(top))
          -- The number itself, above the interval: a reader should not have to measure.
          local shown = text.number(value, series_count > 1 and 2 or 4)
          if type(series.values[j]) == "table" and series_count == 1 then
            shown = tostring(series.values[j]):match("^%S+")
          end
          out[#out + 1] = format("set label %d %s at %s, %s center offset 0,0.75 front font ',%d' textcolor '%s'",
            label, quoted(shown), coordinate(x), coordinate(math.max(top, value)),
            (options.kind == "png" and 2 or 1) * (series_count > 1 and 10 or 12), INK)
          label = label + 1
        end
        for k, dot in ipairs(series.dots and series.dots[j] or {}) do
          local count = #series.dots[j]
          dots[#dots + 1] = format("%s %s", coordinate(x - 0.3 * slot + 0.12 * slot * (k - (count + 1) / 2)),
            coordinate((bounds(dot))))
        end
      end
      if #data > 0 then
        out[#out + 1] = format("$series%d << END\n%s\nEND", s, concat(data, "\n"))
        if from_zero then
          plots[#plots + 1] = format("$series%d using 1:2:(%g) with boxes fillstyle solid 0.85 noborder "
            .. "linecolor '%s' title %s", s, slot * 0.92, colour, quoted(series.name or ""))
          -- Two-headed arrows with flat heads: error bars would punch a hole into the bar's edge.
          plots[#plots + 1] = format("$series%d using 1:3:(0):($4-$3) with vectors heads size screen 0.006,90 "
            .. "linecolor '%s' linewidth 1.4 notitle", s, INK)
        else
          plots[#plots + 1] = format("$series%d using 1:2:3:4 with yerrorbars pointtype 7 pointsize %g "
            .. "linecolor '%s' linewidth 2 title %s", s, options.kind == "png" and 2.2 or 0.9, colour,
            quoted(series.name or ""))
        end
      end
      if #dots > 0 then
        out[#out + 1] = format("$dots%d << END\n%s\nEND", s, concat(dots, "\n"))
        plots[#plots + 1] = format("$dots%d using 1:2 with points pointtype 6 pointsize %g linecolor '%s' notitle", s,
          options.kind == "png" and 1.3 or 0.5, colour)
      end
    end
    if options.marker then
      local data = {}
      for j = 1, n do
        local value = bounds(options.marker.values[j])
        if value then
          local x = j + (from_zero and 0 or 0.5 * slot * series_count * 0.5)
          data[#data + 1] = format("%s %s", coordinate(x), coordinate(value))
        end
      end
      if #data > 0 then
        out[#out + 1] = format("$marker << END\n%s\nEND", concat(data, "\n"))
        plots[#plots + 1] = format("$marker using 1:2 with points pointtype 12 pointsize %g linecolor '%s' "
          .. "linewidth 1.5 title %s", options.kind == "png" and 2.8 or 1.2, PAPER, quoted(options.marker.name))
      end
    end
    if #plots > 0 then out[#out + 1] = "plot " .. concat(plots, ", \\\n  ") end
  end, kind)
end

-- ---- lines ----

local line_fields = with {}

local function lines_chart(checked, format_wanted)
  return draw(checked, #checked.series, function(out)
    local x, y = checked.x or {}, checked.y or {}
    out[#out + 1] = "set xrange " .. range(x.min, x.max)
    out[#out + 1] = "set yrange " .. range(y.min, y.max)
    local bands, lines = {}, {}
    for s, series in ipairs(checked.series) do
      local colour = M.palette[(s - 1) % #M.palette + 1]
      local data, uncertain = {}, false
      for i, point in ipairs(series.points or series) do
        local value, low, high = bounds(point[2])
        if value and value == value and math.abs(value) < math.huge then
          uncertain = uncertain or low < high
          data[#data + 1] = format("%s %s %s %s", coordinate(point[1]), coordinate(value), coordinate(low),
            coordinate(high))
        elseif i > 1 then
          data[#data + 1] = "" -- an empty line breaks the line
        end
      end
      if #data > 0 then
        out[#out + 1] = format("$series%d << END\n%s\nEND", s, concat(data, "\n"))
        if uncertain then
          bands[#bands + 1] = format("$series%d using 1:3:4 with filledcurves fillstyle transparent solid 0.18 "
            .. "linecolor '%s' notitle", s, colour)
        end
        lines[#lines + 1] = format("$series%d using 1:2 with %s linecolor '%s' linewidth 2 pointtype 7 pointsize %g "
          .. "title %s", s, #data <= 40 and "linespoints" or "lines", colour, checked.kind == "png" and 1.2 or 0.5,
          quoted(series.name or ""))
      end
    end
    local plots = table.move(lines, 1, #lines, #bands + 1, bands)
    if #plots > 0 then out[#out + 1] = "plot " .. concat(plots, ", \\\n  ") end
  end, format_wanted)
end

-- ---- what is called ----

local kinds = {
  bars = { category_fields, function(checked, kind) return categories(checked, true, kind) end },
  points = { category_fields, function(checked, kind) return categories(checked, false, kind) end },
  lines = { line_fields, lines_chart },
}

-- A chart's files, or its bytes in one format; errors are those of the caller's caller.
local function draw_kind(name, options, kind)
  local checked = spec.check(kind and "plot.render" or "plot." .. name, options, kinds[name][1], 1)
  if not kind and not checked.path then error("plot." .. name .. ": path is required: a string", 3) end
  if name == "bars" and checked.y and checked.y.log then
    error("plot.bars: bars stand on zero; use points on a logarithmic axis", 3)
  end
  return kinds[name][2](checked, kind)
end

--- A chart's bytes instead of its files: kind is "bars", "points" or "lines", the options are those of that function.
---@param kind "bars"|"points"|"lines"
---@param options table
---@param format_wanted "svg"|"png"
---@return string? bytes, string? message, string? code
function M.render(kind, options, format_wanted)
  if not kinds[kind] then
    error("plot.render: unknown kind of chart " .. spec.shown(kind) .. spec.suggest(kind, spec.names(kinds)), 2)
  end
  if format_wanted ~= "svg" and format_wanted ~= "png" then
    error('plot.render: expected "svg" or "png", got ' .. spec.shown(format_wanted), 2)
  end
  return draw_kind(kind, options, format_wanted)
end

--- A bar for each category and series, standing on zero, with its interval and its number.
---   plot.bars{ path = "figures/ds", title = "...", y = { label = "distance score" }, categories = { "plain", "C" },
---              series = { { name = "ours", values = { interval, interval } } },
---              marker = { name = "the paper", values = { 96.01, 97.54 } } }
--- A series may carry `dots`: for each category a list of single values (one per seed). A missing value is false.
---@param options table
---@return string[]? paths, string? message, string? code
function M.bars(options)
  return draw_kind("bars", options)
end

--- The same as points with intervals on an axis that need not begin at zero, for values close together.
---@param options table
---@return string[]? paths, string? message, string? code
function M.points(options)
  return draw_kind("points", options)
end

--- Lines through points: series = { { name =, points = { { x, y }, ... } } }; y a number or an Interval, whose
--- interval is drawn as a band.
---@param options table
---@return string[]? paths, string? message, string? code
function M.lines(options)
  return draw_kind("lines", options)
end

return M
