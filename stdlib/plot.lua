--- Charts through gnuplot: SVG and PNG files readable at paper size, and drawings in the terminal.
---
--- A chart is one call with one table. With `path` it is written to files, `path` and each format's ending; without, it
--- is drawn in the terminal, as a picture where it shows them (kitty, sixel), else in characters, and nothing is
--- returned. Without gnuplot every function returns nil, message, code.
---
--- Data are numbers, Intervals (their bounds are drawn), lists of them and tensors. What is not a number is left out,
--- and the chart says so below. Options that every kind has:
---   path       where to write, without an ending: "figures/loss"; formats: { "svg", "png" }
---   title      above the chart; note: a line below it. Long ones are wrapped, very long ones end in "…"
---   size       "column" (8.5 cm wide, text of 8 points), "page" (17.5 cm, 9 points), or { width, height } in pixels of
---              1/96 inch. PNG files of the first two have 300 dots to the inch, others twice the pixels
---   x, y       { label =, min =, max =, log = }
--- Colours are Okabe and Ito's; series differ in dash and mark too, for grey prints and the colour-blind.
local colours = require "plot.colour"
local file = require "file"
local gnuplot = require "plot.gnuplot"
local host = require "host"
local image = require "image"
local sheets = require "plot.sheet"
local spec = require "spec"
local svg = require "plot.svg"
local terminal = require "terminal"
local values = require "plot.values"

local M = {}

local format, concat, floor, max, min = string.format, table.concat, math.floor, math.max, math.min

--- Colours in the order the series take them.
M.palette = colours.palette

--- Is gnuplot there? PENUMBRA_GNUPLOT names another program.
---
--- Example:
---     plot.program() ~= nil or print "no charts without gnuplot"
---@return string? program, string? message, string? code
function M.program() return gnuplot.program() end

-- ---- the kinds ----

local categories, pictures = require "plot.categories", require "plot.pictures"

-- fields: its options beside the common ones; prepare(options) -> what is drawn, or nil and what is wrong with the
-- options; draw(chart, sheet, options) -> gnuplot's plots and their names; alone: the data need not be a series;
-- show(chart, options) draws in a terminal of characters what gnuplot cannot.
local kinds = {
  lines = require "plot.lines",
  bars = { fields = categories.fields, draw = categories.draw,
           prepare = function(options) return categories.prepare(options, true) end },
  points = { fields = categories.fields, draw = categories.draw,
             prepare = function(options) return categories.prepare(options, false) end },
  scatter = require "plot.scatter",
  heatmap = require "plot.heatmap",
  images = pictures,
}

local bound = spec.number { min = -1e300, max = 1e300 } -- beyond, the length of an axis may be more than a number holds
local axis = spec.record { label = spec.text(), min = bound, max = bound, log = spec.flag() }

local common = {
  path = spec.text(),
  formats = spec.list { spec.choice { "svg", "png" }, min = 1, default = { "svg", "png" } },
  title = spec.text { default = "" },
  note = spec.text { default = "" },
  x = axis, y = axis,
  size = spec.any { spec.choice { "column", "page" }, spec.list { spec.integer { min = 100, max = 8000 }, min = 2,
    max = 2 }, default = "page" },
}

-- The options checked, and what is to be drawn. `plot.lines(list)`, `plot.lines{ list, list, title = ... }` and
-- `plot.lines{ x = list, y = list }` are short for series.
-- Errors are the caller's caller's; the public functions are not on the stack: they end in a call.
local function read(kind, options, name)
  local given = {}
  if values.is_list(options) or values.is_tensor(options) then
    given.series = { options }
  elseif type(options) == "table" then
    for key, value in pairs(options) do
      if math.type(key) ~= "integer" then given[key] = value end
    end
    if #options > 0 then
      if given.series then error(name .. ": series are given twice: by name and by place", 3) end
      given.series = table.move(options, 1, #options, 1, {})
    elseif not given.series and (values.is_list(given.y) or values.is_tensor(given.y)) then
      local along = (values.is_list(given.x) or values.is_tensor(given.x)) and given.x or nil
      given.series = { { x = along, y = given.y } }
      given.x, given.y = not along and given.x or nil, nil
    end
  else
    given = options
  end
  local fields = { series = spec.list { required = not kinds[kind].alone, min = 1 } }
  for _, list in ipairs { common, kinds[kind].fields } do
    for key, field in pairs(list) do fields[key] = field end
  end
  local checked = spec.check(name, given, fields, 1)
  checked.x, checked.y = checked.x or {}, checked.y or {}
  for letter, each in pairs { x = checked.x, y = checked.y } do
    if each.log and (each.min or 1) < values.least then
      error(format("%s: %s: a logarithmic axis has no place for min = %g", name, letter, each.min), 3)
    end
  end
  local chart, problem = kinds[kind].prepare(checked)
  if not chart then error(name .. ": " .. problem, 3) end
  return chart, checked
end

-- ---- one picture ----

local INCH <const>, CENTIMETRE <const> = 96, 2.54 / 96 -- pixels in one, and the other way round

-- The sheet of a size: width in pixels, the text's size, dots of a PNG per pixel, and how SVG says lengths.
local function paper(size)
  if size == "column" then return { cm = 8.5, font = 8 * INCH / 72, dots = 300 / INCH } end
  if size == "page" then return { cm = 17.5, font = 9 * INCH / 72, dots = 300 / INCH } end
  local font = max(10, min(14, 10.6 + (size[1] - 320) * 0.005))
  return { width = size[1], height = size[2], font = font, dots = 2 }
end

-- How SVG says the sheet's width and height.
local function lengths(sheet, about)
  if not about.cm then return format("%d", sheet.width), format("%d", sheet.height) end
  return format("%gcm", about.cm), format("%.2fcm", about.cm * sheet.height / sheet.width)
end

local function set_terminal(kind, sheet, about)
  if kind == "svg" then
    return format("set terminal svg noenhanced size %d,%d dynamic font 'DejaVu Sans,Verdana,Arial,sans-serif,%.2f' "
      .. "background '%s'", sheet.width, sheet.height, sheet.font, colours.paper)
  elseif kind == "png" then
    -- Cairo's points are 1/72 inch, the sheet's pixels 1/96.
    local wide, high = floor(sheet.width * about.dots + 0.5), floor(sheet.height * about.dots + 0.5)
    return format("set terminal pngcairo noenhanced size %d,%d font 'DejaVu Sans,%.2f' fontscale %.4f linewidth %.4f "
      .. "pointscale %.4f background '%s'", wide, high, sheet.font, about.dots * 72 / INCH, about.dots, about.dots,
      colours.paper)
  end
  return format("set terminal dumb noenhanced %d %d %s", sheet.width, sheet.height, about.colours)
end

-- gnuplot's text without its form feed and the blanks at the ends of lines.
local function trimmed(drawn)
  local out = {}
  for line in drawn:gsub("^\f", ""):gmatch "([^\n]*)\n" do
    out[#out + 1] = (line:gsub("[ \t]+(\27%[[%d;]*m)$", "%1"):gsub("%s+$", ""))
  end
  while out[#out] and out[#out]:gsub("\27%[[%d;]*m", ""):find "^%s*$" do
    local codes = out[#out]:gsub("%s", "")
    out[#out] = nil
    if #out > 0 then out[#out] = out[#out] .. codes end
  end
  return concat(out, "\n") .. "\n"
end

local LONGEST <const> = 10000 -- bytes of a text that is said beside the picture

-- The picture's bytes in one format. `about` is paper()'s, or a terminal's { width, height, colours }.
local function picture(kind, chart, options, wanted, about)
  local program, message, code = gnuplot.program()
  if not program then return nil, message, code end
  local rows = kinds[kind]
  local width = about.width or floor(about.cm / CENTIMETRE + 0.5)
  local sheet = sheets.new(wanted, width, about.height or floor(0.62 * width + 0.5), about.font)
  sheet.dots, sheet.mono = about.dots, about.colours == "mono"
  sheet.grows = wanted == "text" or not about.height
  local plots, names
  plots, names, code = rows.draw(chart, sheet, options)
  if not plots then return nil, names, code end
  -- Without data there still is a frame.
  if #plots == 0 then plots = { "NaN notitle" } end
  local script = { "set encoding utf8", set_terminal(wanted, sheet, about), concat(sheet.commands, "\n"),
                   "plot " .. concat(plots, ", \\\n  ") }
  local drawn
  drawn, message, code = gnuplot.run(concat(script, "\n") .. "\n")
  if not drawn then return nil, message, code end
  if wanted == "svg" then
    for i, name in ipairs(names) do names[i] = sheets.clean(name:sub(1, LONGEST)) end
    local finish = { names = names, pictures = sheet.pictures, title = sheets.clean(options.title:sub(1, LONGEST)),
                     description = sheets.clean(options.note:sub(1, LONGEST)) }
    finish.width, finish.height = lengths(sheet, about)
    return svg.finish(drawn, finish)
  elseif wanted == "text" then
    return trimmed(drawn)
  end
  return #sheet.pictures > 0 and pictures.paste(drawn, sheet.pictures, about.dots) or drawn
end

-- ---- where it goes ----

local COLOURS <const> = { ["true"] = "ansirgb", [256] = "ansi256", [false] = "mono" }

-- A chart in characters: as wide as the terminal, but lines of a page's length stay together.
local function window(depth)
  local columns, rows = terminal.size()
  return { width = max(40, min(columns, 110)), height = max(12, min(rows - 2, 30)), colours = COLOURS[depth] }
end

-- A chart in the pixels of a terminal: its text as large as the terminal's.
local function screen()
  local columns, rows, width, height = host.terminal_size()
  if not height or height == 0 then width, height = columns * 8, rows * 16 end
  local dots = height / rows * 0.75 / 12
  local wide, high = floor(min(width, 110 * width / columns) / dots), floor(height * (rows - 4) / rows / dots)
  -- A low window sets the height; otherwise it follows from the width.
  return { width = wide, height = high < 0.62 * wide and high or nil, font = 12, dots = dots }
end

-- Draws in the terminal: a picture where it shows them, else characters.
local function print_chart(kind, chart, options)
  local graphics = terminal.graphics()
  local drawn, message, code
  if graphics == "kitty" or graphics == "sixel" then
    drawn, message, code = picture(kind, chart, options, "png", screen())
    if drawn then drawn = terminal.picture(image.decode(drawn)) end
  elseif kinds[kind].show then
    return kinds[kind].show(chart, options)
  else
    drawn, message, code = picture(kind, chart, options, "text", window(terminal.colours()))
  end
  if not drawn then return nil, message, code end
  io.stdout:write(drawn)
end

local function write_files(kind, chart, options)
  local folder = file.split(options.path)
  local ok, message, code = true, nil, nil
  if folder ~= "" then ok, message, code = file.make_folder(folder) end
  if not ok then return nil, message, code end
  local written = {}
  for _, wanted in ipairs(options.formats) do
    local target = options.path .. "." .. wanted
    local bytes
    bytes, message, code = picture(kind, chart, options, wanted, paper(options.size))
    if not bytes then return nil, code == "missing" and message or target .. ": " .. message, code end
    ok, message, code = file.write(target, bytes)
    if not ok then return nil, message, code end
    written[#written + 1] = target
  end
  return written
end

local function draw(kind, options)
  local chart, checked = read(kind, options, "plot." .. kind)
  if checked.path then return write_files(kind, chart, checked) end
  return print_chart(kind, chart, checked)
end

--- A chart's bytes instead of its files: the options are those of the function of that name. "text" is what a terminal
--- without colours shows; pictures have none.
---
--- Example:
---     local svg = plot.render("lines", { { 3, 2, 1.5 }, title = "Loss" }, "svg")
---@param kind "lines"|"bars"|"points"|"scatter"|"heatmap"|"images"
---@param options table
---@param wanted "svg"|"png"|"text"
---@return string? bytes, string? message, string? code
function M.render(kind, options, wanted)
  if not kinds[kind] then
    error("plot.render: unknown kind of chart " .. spec.shown(kind) .. spec.suggest(kind, spec.names(kinds)), 2)
  end
  if wanted ~= "svg" and wanted ~= "png" and wanted ~= "text" then
    error('plot.render: expected "svg", "png" or "text", got ' .. spec.shown(wanted), 2)
  end
  if wanted == "text" and kinds[kind].show then
    error("plot.render: pictures have no text; terminal.show draws them", 2)
  end
  local chart, checked = read(kind, options, "plot." .. kind)
  return picture(kind, chart, checked, wanted, wanted == "text" and window(false) or paper(checked.size))
end

-- ---- what is called ----

---@class PlotAxis
---@field label? string
---@field min? number
---@field max? number
---@field log? boolean

---@class PlotOptions
---@field path? string                   # where to write, without an ending; without it, the terminal
---@field formats? ("svg"|"png")[]       # both
---@field title? string
---@field note? string                   # a line below the chart
---@field size? "column"|"page"|integer[]  # "page"; or { width, height } in pixels of 1/96 inch
---@field x? PlotAxis
---@field y? PlotAxis

---@class LineSeries
---@field name? string
---@field points? any                    # pairs { x, y }, a tensor [N x 2], or y values alone
---@field x? any                         # a list or tensor; 1, 2, ... without
---@field place? integer                 # has the colour, dash and mark of this place among the series, not of its own
---@field y? any                         # a list or tensor

---@class LineOptions : PlotOptions
---@field series LineSeries[]
---@field interval? "band"|"bars"|"none"  # how Intervals are drawn; "band"
---@field labels? "auto"|"ends"|"legend"  # where the names stand: beside the lines' ends when they fit there
---@field marker? LineSeries             # another source's values, the paper's, as hollow diamonds

--- Lines over a number: losses over epochs, scores over levels. Intervals become bands or error bars; a value that is
--- missing breaks the line. Names stand beside the lines' ends where there is room, else in a legend. Up to 30 points
--- are marked each; of lines of many thousands the extremes of each small step are drawn.
---
--- In short: plot.lines(losses) for one list or tensor, plot.lines{ train, test, title = "Loss" } for several,
--- plot.lines{ x = sizes, y = times } for one over values of its own.
---
--- Example:
---     local loss = { { 1, 2.1 }, { 2, 1.4 }, { 3, stats.interval { 1.1, 1.2, 1.0 } } }
---     plot.lines{ path = "figures/loss", title = "Loss", x = { label = "epoch" }, y = { label = "cross-entropy" },
---       series = { { name = "plain", points = loss }, { name = "with C", y = { 2.2, 1.6, 1.3 } } } }
---@param options LineOptions|any
---@return string[]? paths, string? message, string? code
function M.lines(options) return draw("lines", options) end

---@class BarSeries
---@field name? string
---@field values any                     # one for each category: numbers or Intervals, false where there is none
---@field dots? any[][]                  # for each category single values, one for each seed

---@class BarOptions : PlotOptions
---@field categories? string[]           # 1, 2, ... without
---@field series BarSeries[]
---@field marker? { name: string, values: any }  # another source's values, the paper's, as hollow diamonds
---@field numbers? "auto"|"none"         # the values above the bars, where they have room

--- A bar for each category and series, standing on zero, with its interval and its number.
---
--- Example:
---     plot.bars{ path = "figures/ds", y = { label = "distance score" }, categories = { "plain", "C" },
---       series = { { name = "ours", values = { stats.interval { 4.1, 4.3 }, 1.2 }, dots = { { 4.1, 4.3 } } } },
---       marker = { name = "the paper", values = { 4.4, 1.0 } } }
---@param options BarOptions|any
---@return string[]? paths, string? message, string? code
function M.bars(options) return draw("bars", options) end

--- The same as points with intervals on an axis that need not begin at zero, for values close together; the axis may be
--- logarithmic.
---
--- Example:
---     plot.points{ path = "figures/accuracy", categories = { "plain", "C" }, y = { label = "accuracy (%)" },
---       series = { { name = "ours", values = { stats.proportion(913, 1000), stats.proportion(931, 1000) } } } }
---@param options BarOptions|any
---@return string[]? paths, string? message, string? code
function M.points(options) return draw("points", options) end

---@class ScatterOptions : PlotOptions
---@field points? any                    # a tensor [N x 2] or a list of pairs { x, y }
---@field classes? any                   # one for each point: integers (from 1) or strings
---@field values? any                    # or one number for each point, shown as its colour
---@field names? string[]                # of the classes 1, 2, ...
---@field value? PlotAxis                # label, min and max of the colours' scale
---@field map? "sequential"|"diverging"|"viridis"  # "viridis"
---@field series? LineSeries[]           # in place of points: one for each class
---@field equal? boolean                 # one unit is as long on both axes, as embeddings need
---@field axes? boolean                  # true; an embedding's have no meaning
---@field mark? number                   # the marks' size; by their number without

--- Points in the plane, told apart by class (colour and mark) or by a value (colour). They are drawn in the order they
--- come, so that no class hides the others. Of 100,000 points an SVG file holds a picture: elements would be megabytes.
---
--- Example:
---     local x = nn.normal { 200, 2 }
---     plot.scatter{ path = "figures/normal", points = x, values = x:slice(2, 1, 1):reshape { 200 } }
---@param options ScatterOptions|any
---@return string[]? paths, string? message, string? code
function M.scatter(options) return draw("scatter", options) end

---@class HeatmapOptions : PlotOptions
---@field values any                     # a tensor [rows x columns] or a list of rows; false or nan where there is none
---@field rows? string[]                 # names, the first row's on top
---@field columns? string[]
---@field value? PlotAxis                # label, min and max of the colours' scale
---@field map? "sequential"|"diverging"|"viridis"  # "diverging" about zero when there are values on both sides of it
---@field numbers? "auto"|"none"         # the values in the cells, where they have room
---@field digits? integer                # significant digits of them; 3

--- A table of values as colours with a colour bar: confusions, scores by perturbation and level. The values stand in
--- the cells where they have room. Each map's brightness goes one way, so that it reads in grey prints too.
---
--- Example:
---     plot.heatmap{ path = "figures/confusion", values = { { 96, 4 }, { 7, 93 } }, rows = { "cat", "dog" },
---       columns = { "cat", "dog" }, x = { label = "said" }, y = { label = "is" }, value = { label = "images" } }
---@param options HeatmapOptions
---@return string[]? paths, string? message, string? code
function M.heatmap(options) return draw("heatmap", options) end

---@class ImagesOptions : PlotOptions
---@field images any                     # a batch [N x H x W x C], a list of [H x W x C], or a list of rows of them
---@field rows? string[]                 # titles at the left
---@field columns? string[]              # titles above
---@field labels? string[]               # below each picture
---@field across? integer                # pictures in a row, of a batch or list; as many as columns, at most 8

--- Pictures in rows and columns, with titles and labels: one picture under several perturbations, mistakes, saliency
--- maps. Pixels are uint8 or float in [0, 1]; sizes may differ. `false` leaves a place empty.
---
--- Example:
---     plot.images{ path = "figures/noise", images = nn.uniform { 4, 8, 8, 3 }, labels = { "a", "b", "c", "d" } }
---@param options ImagesOptions
---@return string[]? paths, string? message, string? code
function M.images(options) return draw("images", options) end

return M
