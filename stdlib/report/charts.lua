--- The charts of a report: plot.lua draws them, once for a wide page and once for a narrow one; the page shows the one
--- that fits. They stand in the page as images, so nothing in one picture can meet anything in another.
local html = require "report.html"
local plot = require "plot"
local read = require "report.read"
local text = require "text"

local M = {}

local tag = html.tag
local format = string.format

local WIDE, NARROW = { 820, 420 }, { 400, 320 }
local HALF = { 470, 320 }
local SERIES = 8 -- colours that can be told apart

-- The bytes of a chart; what plot.lua refuses (options from a damaged file) is a message too.
local function render(chart, size)
  local options = {}
  for key, value in pairs(chart.options) do options[key] = value end
  options.title, options.note, options.size, options.path, options.formats = nil, nil, size, nil, nil
  local ok, bytes, message = pcall(plot.render, chart.kind, options, "svg")
  if ok then return bytes, message end
  return nil, tostring(bytes)
end

local function sentence(words)
  words = tostring(words)
  return words:sub(1, 1):upper() .. words:sub(2) .. (words:find("%.$") and "" or ".")
end

--- A chart as a figure, or nil and why there is none.
---@param chart { kind: string, options: table, title?: any, caption?: any, alt: string, half?: boolean }
---@return any node, string? message
function M.figure(chart)
  local size = chart.half and HALF or WIDE
  local wide, message = render(chart, size)
  if not wide then return nil, message end
  local narrow = not chart.half and render(chart, NARROW)
  return tag.figure { class = "chart",
    tag.picture {
      narrow and tag.source { media = "(max-width: 34rem)", srcset = html.data_address(narrow, "svg"),
                              width = NARROW[1], height = NARROW[2] },
      tag.img { src = html.data_address(wide, "svg"), alt = chart.alt, width = size[1], height = size[2] },
    },
    tag.figcaption { chart.title and tag.b { chart.title }, chart.title and chart.caption and ". ",
                     chart.caption and sentence(chart.caption) },
  }
end

-- ---- the charts of a study ----

-- Values of a file as plot.lua takes them: Intervals, numbers, false.
local function values_of(list)
  local out = {}
  for i, value in ipairs(list) do
    out[i] = type(value) == "table" and read.interval(value) or type(value) == "number" and value or false
  end
  return out
end

local function described(options)
  local parts = {}
  for i, row in ipairs(options.values or {}) do
    for j, value in ipairs(row) do
      if value then
        parts[#parts + 1] = format("%s, %s: %s", options.rows[i], options.columns[j], text.number(value))
      end
    end
  end
  local many = #(options.series or {}) > 1
  local function add(series, at, value)
    parts[#parts + 1] = format("%s%s %s", many and series.name and series.name .. ", " or "", at,
      type(value) == "table" and tostring(value) or type(value) == "number" and text.number(value) or "none")
  end
  for _, series in ipairs(options.series or {}) do
    for i, name in ipairs(options.categories or {}) do
      if series.values[i] then add(series, name, series.values[i]) end
    end
    for _, point in ipairs(series.points or {}) do add(series, tostring(point[1]) .. ":", point[2]) end
  end
  return table.concat(parts, ", ", 1, math.min(#parts, 40))
end

--- A chart of a study's about.json, ready for `figure`; nil when it is damaged.
---@param chart any
---@return table?
function M.of_study(chart)
  local ok, made = pcall(function()
    local options = {}
    for key, value in pairs(chart.options) do options[key] = value end
    if options.values then
      options.values = {}
      for i, row in ipairs(chart.options.values) do options.values[i] = values_of(row) end
    else
      options.series = {}
    end
    for s, series in ipairs(options.series and chart.options.series or {}) do
      local copy = { name = series.name, x = series.x, y = series.y }
      if series.values then
        copy.values, copy.dots = values_of(series.values), {}
        for j, dots in ipairs(series.dots or {}) do copy.dots[j] = values_of(dots) end
      end
      if series.points then
        copy.points = {}
        for i, point in ipairs(series.points) do copy.points[i] = { point[1], values_of({ point[2] })[1] } end
      end
      options.series[s] = copy
    end
    local marker = options.marker
    if marker then options.marker = { name = marker.name, values = values_of(marker.values) } end
    local title = options.title or chart.name
    return { kind = chart.kind, name = chart.name, options = options, title = title, caption = options.note,
             alt = format("Chart: %s. %s", tostring(title), described(options)) }
  end)
  return ok and made or nil
end

-- ---- training ----

local function finite(x) return type(x) == "number" and x == x and math.abs(x) < math.huge end

-- Mean, least and most of the runs of a group, by x.
local function spread(points)
  local by_x, order = {}, {}
  for _, point in ipairs(points) do
    local here = by_x[point[1]]
    if not here then
      here = { sum = 0, count = 0, low = math.huge, high = -math.huge }
      by_x[point[1]] = here
      order[#order + 1] = point[1]
    end
    here.sum, here.count = here.sum + point[2], here.count + 1
    here.low, here.high = math.min(here.low, point[2]), math.max(here.high, point[2])
  end
  table.sort(order)
  local out = {}
  for i, x in ipairs(order) do
    local here = by_x[x]
    out[i] = { x, { value = here.sum / here.count, low = here.low, high = here.high } }
  end
  return out
end

-- Many steps as means over stretches of equal length: a line of 150 points says as much as one of 10,000.
local function thinned(points)
  local most = 150
  if #points <= most then return points end
  local out, per = {}, math.ceil(#points / most)
  for from = 1, #points, per do
    local to = math.min(from + per - 1, #points)
    local sum = 0
    for i = from, to do sum = sum + points[i][2] end
    out[#out + 1] = { points[to][1], sum / (to - from + 1) }
  end
  return out
end

-- What rows of training hold, in the order it is shown: the sum, its terms, accuracies.
local function quantities(rows_of)
  local terms, known, has = {}, {}, {}
  for _, rows in ipairs(rows_of) do
    for _, row in ipairs(rows) do
      for name in pairs(type(row.terms) == "table" and row.terms or {}) do
        if type(name) == "string" and not known[name] then
          known[name] = true
          terms[#terms + 1] = name
        end
      end
      for _, key in ipairs { "loss", "accuracy", "validation" } do has[key] = has[key] or finite(row[key]) end
    end
  end
  table.sort(terms)
  local list = {}
  if has.loss then
    list[1] = { title = "Loss", label = "loss", of = function(row) return row.loss end,
                note = #terms > 1 and "the weighted sum of all terms" or nil }
  end
  for _, name in ipairs(#terms > 1 and terms or {}) do
    list[#list + 1] = { title = "Term " .. name, label = name, note = "before its weight", of = function(row)
      local term = type(row.terms) == "table" and row.terms[name]
      return type(term) == "table" and term.raw or nil
    end }
  end
  if has.accuracy then
    list[#list + 1] = { title = "Accuracy on the training images", label = "accuracy (%)", linear = true,
                        note = "of the passes that train, before each step",
                        of = function(row) return row.accuracy end }
  end
  if has.validation then
    list[#list + 1] = { title = "Accuracy on the validation images", label = "accuracy (%)", linear = true,
                        of = function(row) return row.validation end }
  end
  return list
end

--- The curves of training: for the sum of the loss, each term and each accuracy one chart with a line for each group of
--- runs (runs that differ only in their seed are one group, drawn as their mean with a band from least to most).
---@param groups { label: string, runs: ReportRun[] }[]
---@return table[] charts, string? note
function M.training(groups)
  local by_step, rows_of = true, {}
  for _, group in ipairs(groups) do
    for _, run in ipairs(group.runs) do
      if #run.epochs > 2 or #run.steps < 3 then by_step = false end
    end
  end
  for _, group in ipairs(groups) do
    for _, run in ipairs(group.runs) do rows_of[#rows_of + 1] = by_step and run.steps or run.epochs end
  end
  local charts = {}
  for _, quantity in ipairs(quantities(rows_of)) do
    local series, longest, low, high = {}, 0, math.huge, 0
    for place, group in ipairs(groups) do
      local points = {}
      for _, run in ipairs(group.runs) do
        local own = {}
        for _, row in ipairs(by_step and run.steps or run.epochs) do
          local x, y = by_step and row.step or row.epoch, quantity.of(row)
          if finite(x) and finite(y) then
            own[#own + 1] = { x, y }
            low, high = math.min(low, y), math.max(high, y)
          end
        end
        for _, point in ipairs(thinned(own)) do points[#points + 1] = point end
      end
      points = spread(points)
      longest = math.max(longest, #points)
      if #points > 0 and #series < SERIES then
        -- A group looks the same in each chart, also where others have nothing to show.
        series[#series + 1] = { name = group.label, points = points, place = place }
      end
    end
    if longest > 1 then
      local ends = {}
      for i, one in ipairs(series) do
        ends[i] = format("%s from %s to %s", one.name, text.number(one.points[1][2].value),
          text.number(one.points[#one.points][2].value))
      end
      charts[#charts + 1] = { kind = "lines", title = quantity.title, half = true,
        caption = #series == 1 and #groups > 1
          and series[1].name .. " only" .. (quantity.note and "; " .. quantity.note or "") or quantity.note,
        alt = format("Chart: %s by %s. %s", quantity.title, by_step and "step" or "epoch", table.concat(ends, "; ")),
        options = { series = series, x = { label = by_step and "step" or "epoch" },
                    y = { label = quantity.label, log = not quantity.linear and low > 0 and high > 50 * low } } }
    end
  end
  local notes, seeds = {}, 1
  for _, group in ipairs(groups) do seeds = math.max(seeds, #group.runs) end
  if #charts == 0 and #rows_of > 0 and #rows_of[1] > 0 then
    notes[1] = "One epoch only: there is no curve to draw."
  elseif #charts > 0 and seeds > 1 then
    notes[1] = "Lines are means over the seeds, bands go from the least to the most."
  end
  if #groups > SERIES then
    notes[#notes + 1] = format("The charts show the first %d of %d groups of runs.", SERIES, #groups)
  end
  return charts, #notes > 0 and table.concat(notes, " ") or nil
end

return M
