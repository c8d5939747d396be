--- What stands around a chart's data: title, legend, axes with their ticks and labels, a colour bar, the note.
---
--- Everything is measured before anything is placed; what is left over is the data's panel.
---@package
local colours = require "plot.colour"
local ticks = require "plot.ticks"

local M = {}

local format, concat, max, min, floor = string.format, table.concat, math.max, math.min, math.floor

---@class Axis
---@field label? string
---@field low number
---@field high number
---@field log? boolean
---@field whole? boolean        # ticks only at integers
---@field names? string[]       # categories at 1, 2, ... instead of numbers
---@field down? boolean         # the first category on top
---@field hidden? boolean
---@field grid? boolean

---@class LegendEntry
---@field name string
---@field sample "line"|"point"|"bar"
---@field always? boolean       # also where the others have labels beside the lines' ends
---@field style table

---@class About
---@field title string
---@field note string
---@field remarks string[]      # what the chart has to say of itself: what was left out
---@field x Axis
---@field y Axis
---@field legend LegendEntry[]
---@field ends? { name: string, y: number, style: table }[]  # labels beside the lines' ends
---@field bar? { low: number, high: number, map: string, label?: string, log?: boolean }
---@field panel? number         # how high the data's panel is where the sheet may grow, as a part of the sheet's width
---@field lines? integer        # the same on a terminal, in lines
---@field framed? boolean       # no lines along the axes: the data fill the panel
---@field equal? boolean        # one unit is as long on both axes

-- ---- parts ----

-- Rows of a legend: { entry, lines of the name, x } each.
local function legend_rows(sheet, entries, width)
  local rows, row, at = { height = 0 }, nil, 0
  local apart = sheet.terminal and 3 or sheet:gap(16)
  -- Long names are written small before they are broken, and all in one size.
  local size, samples = #entries > 6 and 0.85 or 1, {}
  for i, entry in ipairs(entries) do
    samples[i] = sheet.terminal and 2 or sheet:gap(entry.sample == "line" and 26 or 15)
    local _, used, whole = sheet:fit(entry.name, width - samples[i], { size = size, least = 0.75 })
    size = min(size, whole and used or 0.8)
  end
  for i, entry in ipairs(entries) do
    local sample = samples[i]
    local lines, used = sheet:fit(entry.name, width - sample, { size = size, lines = 3, least = min(size, 0.75) })
    local wide = 0
    for _, line in ipairs(lines) do wide = max(wide, sheet:extent(line, used)) end
    if not row or at + sample + wide > width then
      row, at = { height = 0 }, 0
      rows[#rows + 1] = row
    end
    row[#row + 1] = { entry = entry, lines = lines, size = used, x = at, sample = sample }
    row.height = max(row.height, #lines * sheet:line(used))
    at = at + sample + wide + apart
  end
  local loose = not sheet.terminal and #entries <= 6 and 1.15 or 1
  for _, each in ipairs(rows) do
    each.height = each.height * loose
    rows.height = rows.height + each.height
  end
  return rows
end

local function draw_sample(sheet, placed, x, y)
  local style, kind = placed.entry.style, placed.entry.sample
  local wide = placed.sample - sheet:gap(6)
  if sheet.terminal then
    sheet:mark(x, y, style)
  elseif kind == "bar" then
    local half = 0.36 * sheet.font
    sheet:box(x + 0.5, y - half, x + wide, y + half, { colour = style.colour, fill = style.fill,
      border = style.border })
  else
    if kind == "line" then
      sheet:stroke(x, y, x + wide, y, { colour = style.colour, dash = style.dash, width = 1.5 })
    end
    if kind == "point" or not style.bare then
      sheet:mark(x + wide / 2, y, style, style.size)
    end
  end
end

-- A numeric axis' ticks, as many as have room in a length. `across`: their texts stand beside each other.
local function numeric_ticks(sheet, axis, length, across)
  local most = max(2, floor(length / (across and sheet:extent "0000" or sheet:line() * (sheet.terminal and 3 or 1.7))))
  for count = min(most, across and 10 or 8), 1, -1 do
    local list = axis.log and ticks.log(axis.low, axis.high, count) or
      ticks.linear(axis.low, axis.high, count, axis.whole)
    local kept, ends = {}, -math.huge
    for _, tick in ipairs(list) do
      local at = M.share(axis, tick.at) * length
      local half = 0.5 * (across and sheet:extent(tick.text) or sheet:line())
      if at - half >= ends then
        kept[#kept + 1] = tick
        ends = at + half + (across and sheet:gap(8) or 0)
      end
    end
    -- Where even few have no room, those are left that do.
    if #kept == #list or count == 1 then return kept end
  end
  return {}
end

--- How far along an axis a value lies, from 0 to 1.
---@param axis Axis
---@param value number
---@return number
function M.share(axis, value)
  if axis.log then
    local low = math.log(axis.low)
    return (math.log(value) - low) / (math.log(axis.high) - low)
  end
  return (value - axis.low) / (axis.high - axis.low)
end

-- Categories below a panel: upright where there is room for whole words, else turned; { lines, size, turned, every }.
local function category_texts(sheet, names, slot, tallest)
  local out = { size = 1, lines = {}, height = 0, every = 1 }
  local room = slot - (sheet.terminal and 1 or sheet:gap(5))
  local most = sheet.terminal and 3 or 4
  local whole, size = room > 0, 1
  for _, name in ipairs(names) do
    if not whole then break end
    local _, used, fits = sheet:fit(name, room, { lines = most, least = 0.8 })
    whole, size = whole and fits, min(size, used)
  end
  if whole or sheet.terminal then
    -- On a terminal text cannot be turned; names are broken, and where even that has no room only some are written.
    out.every = whole and 1 or max(1, math.ceil(5 / slot))
    for i, name in ipairs(names) do
      out.lines[i] = sheet:fit(name, max(1, slot * out.every - (sheet.terminal and 1 or sheet:gap(5))),
        { lines = most, size = size, least = size })
      out.height = max(out.height, #out.lines[i] * sheet:line(size))
    end
    out.size = size
    return out
  end
  out.turned = true
  out.size = max(0.75, min(1, slot / sheet:line(1)))
  out.every = max(1, math.ceil(sheet:line(out.size) / slot - 1e-9))
  local several = max(1, min(3, floor(slot / sheet:line(out.size))))
  for i, name in ipairs(names) do
    out.lines[i] = (i - 1) % out.every == 0 and sheet:fit(name, tallest, { size = out.size, least = out.size,
      lines = several }) or {}
    for _, line in ipairs(out.lines[i]) do out.height = max(out.height, sheet:extent(line, out.size)) end
  end
  return out
end

-- Labels beside line ends, moved apart so that none covers another; gives their middles.
local function spread(middles, heights, top, bottom)
  local order = {}
  for i in ipairs(middles) do order[i] = i end
  table.sort(order, function(a, b)
    return middles[a] < middles[b] or middles[a] == middles[b] and a < b
  end)
  -- Groups that touch share one middle: the mean of what their members want.
  local groups = {}
  for _, i in ipairs(order) do
    local group = { members = { i }, height = heights[i], wish = middles[i] }
    groups[#groups + 1] = group
    while #groups > 1 do
      local last, before = groups[#groups], groups[#groups - 1]
      if before.wish + before.height / 2 <= last.wish - last.height / 2 then break end
      local count = #before.members + #last.members
      before.wish = (before.wish * #before.members + last.wish * #last.members) / count
      before.height = before.height + last.height
      table.move(last.members, 1, #last.members, #before.members + 1, before.members)
      before.wish = max(top + before.height / 2, min(bottom - before.height / 2, before.wish))
      groups[#groups] = nil
    end
    local last = groups[#groups]
    last.wish = max(top + last.height / 2, min(bottom - last.height / 2, last.wish))
  end
  local placed = {}
  for _, group in ipairs(groups) do
    local at = group.wish - group.height / 2
    for _, i in ipairs(group.members) do
      placed[i] = at + heights[i] / 2
      at = at + heights[i]
    end
  end
  return placed
end

-- ---- the layout ----

local FAR <const> = 10 -- lengths of an axis from its beginning that a value may be placed at

-- Above the panel: the title, and a legend where the names have no room beside the lines' ends.
local function measure_head(sheet, about, place)
  local width = sheet.width - 2 * place.margin
  place.title, place.title_size = sheet:fit(about.title, width, { size = 1.2, lines = 4, least = 0.9 })
  place.title_top = place.top
  place.top = place.top + #place.title * sheet:line(place.title_size)
  if #place.title > 0 then place.top = place.top + sheet:gap(4) end

  if about.ends then
    local height, ends = 0, { width = 0 }
    for i, label in ipairs(about.ends) do
      local lines, size, whole = sheet:fit(label.name, (sheet.terminal and 0.25 or 0.27) * sheet.width,
        { lines = 2, least = 0.85 })
      ends[i] = { lines = lines, size = size, height = #lines * sheet:line(size) }
      for _, line in ipairs(lines) do ends.width = max(ends.width, sheet:extent(line, size)) end
      height = whole and height + ends[i].height or math.huge
    end
    if height <= 0.6 * sheet.height then place.ends = ends end
  end
  local entries = {}
  for _, entry in ipairs(about.legend) do
    if entry.always or not place.ends then entries[#entries + 1] = entry end
  end
  place.legend = legend_rows(sheet, entries, width)
  place.legend_top = place.top
  if #place.legend > 0 then place.top = place.top + place.legend.height + sheet:gap(3) end
end

-- At the sheet's foot: the note, and what the chart says of itself.
local function measure_foot(sheet, about, place)
  place.foot = {}
  for _, words in ipairs { about.note, concat(about.remarks, "; ") } do
    local lines, size = sheet:fit(words, sheet.width - 2 * place.margin, { size = 0.85, lines = 3, least = 0.75 })
    if #lines > 0 then place.foot[#place.foot + 1] = { lines = lines, size = size } end
  end
  for i = #place.foot, 1, -1 do
    local foot = place.foot[i]
    place.bottom = place.bottom - #foot.lines * sheet:line(foot.size)
    foot.top = place.bottom
  end
  if #place.foot > 0 then place.bottom = place.bottom - sheet:gap(4) end
end

-- Names of categories at the left of a panel of a height: smaller, and not all of them, where they are many.
local function names_beside(sheet, place, names, height)
  local slot = height / #names
  local most = max(1, min(3, floor(slot / sheet:line(0.75))))
  local size = sheet.terminal and 1 or max(0.7, min(1, slot / sheet:line(1)))
  local every = max(1, math.ceil(sheet:line(size) / slot - 1e-9))
  for i = 1, #names, every do
    local lines = sheet:fit(names[i], 0.28 * sheet.width, { lines = most, size = size, least = max(0.7, 0.8 * size) })
    place.y_ticks[#place.y_ticks + 1] = { at = i, lines = lines }
  end
  place.y_size = size
end

-- At the left: the y axis' label, which reads upwards (on a terminal it stands above the axis), and what is at its
-- ticks.
local function measure_left(sheet, about, place, height)
  local y = about.y
  place.y_label, place.y_label_size, place.y_ticks, place.y_size = {}, 1, {}, 1
  if y.label and sheet.terminal then
    place.y_label, place.y_label_top = sheet:fit(y.label, sheet.width), place.top
    place.top = place.top + #place.y_label
  elseif y.label then
    place.y_label, place.y_label_size = sheet:fit(y.label, max(height, 4 * sheet.font), { lines = 3, least = 0.8 })
    place.y_label_left = place.left
    place.left = place.left + #place.y_label * sheet:line(place.y_label_size) + sheet:gap(2)
  end
  if y.hidden then return end
  if y.names then
    names_beside(sheet, place, y.names, height)
  else
    for i, tick in ipairs(numeric_ticks(sheet, y, height, false)) do
      place.y_ticks[i] = { at = tick.at, lines = { tick.text } }
    end
  end
  local widest = 0
  for _, tick in ipairs(place.y_ticks) do
    for _, line in ipairs(tick.lines) do widest = max(widest, sheet:extent(line, place.y_size)) end
  end
  place.left = place.left + widest + (sheet.terminal and 1 or sheet:gap(7))
end

-- At the right: a colour bar with its ticks and label.
local function measure_bar(sheet, bar, place, height)
  local list = numeric_ticks(sheet, bar, height, false)
  if #list < 2 then
    list = { { at = bar.low, text = ticks.number(bar.low, 3) }, { at = bar.high, text = ticks.number(bar.high, 3) } }
  end
  local widest = 0
  for _, tick in ipairs(list) do widest = max(widest, sheet:extent(tick.text)) end
  place.bar_ticks, place.bar_label, place.bar_label_size = list, {}, 1
  if bar.label then
    place.bar_label, place.bar_label_size = sheet:fit(bar.label, max(height, 4 * sheet.font),
      { lines = 2, least = 0.8 })
  end
  place.bar_label_left = place.right - #place.bar_label * sheet:line(place.bar_label_size)
  place.bar_text = place.bar_label_left - (#place.bar_label > 0 and sheet:gap(4) or 0) - widest
  place.bar_right = place.bar_text - sheet:gap(5)
  place.bar_left = place.bar_right - sheet:gap(13)
  place.right = place.bar_left - sheet:gap(10)
end

-- Below the panel: what is at the x axis' ticks, and its label.
local function measure_below(sheet, about, place)
  local x = about.x
  place.x_ticks, place.x_label, place.x_label_size = {}, {}, 1
  if x.names and not x.hidden then
    if sheet.terminal then place.right = place.right - 1 end
    place.x_texts = category_texts(sheet, x.names, (place.right - place.left) / (x.high - x.low), 0.35 * sheet.height)
    place.bottom = place.bottom - place.x_texts.height
  elseif not x.hidden then
    local list = numeric_ticks(sheet, x, place.right - place.left, true)
    if #list > 0 then
      -- Room for the half of the last tick's text that stands out.
      local last = list[#list]
      local ends = place.left + M.share(x, last.at) * (place.right - place.left) + sheet:extent(last.text) / 2
      place.right = place.right - max(0, ends - (sheet.width - place.margin))
    end
    place.x_ticks = numeric_ticks(sheet, x, place.right - place.left, true)
    place.bottom = place.bottom - sheet:line()
  end
  if x.label then
    place.x_label, place.x_label_size = sheet:fit(x.label, place.right - place.left, { lines = 3, least = 0.8 })
    place.bottom = place.bottom - #place.x_label * sheet:line(place.x_label_size) - sheet:gap(2)
  end
  if not x.hidden then place.bottom = place.bottom - (sheet.terminal and 1 or sheet:gap(6)) end
end

-- The places of everything when the panel is so high: that decides how many ticks there are, and so how much room their
-- texts take.
local function measure_for(sheet, about, height)
  local margin = sheet.terminal and 0 or sheet:gap(8)
  local place = { margin = margin, top = margin, bottom = sheet.height - margin, left = margin,
                  right = sheet.width - margin }
  measure_head(sheet, about, place)
  measure_foot(sheet, about, place)
  measure_left(sheet, about, place, height)
  if about.bar then
    measure_bar(sheet, about.bar, place, height)
  elseif place.ends then
    local apart = sheet.terminal and 2 or sheet:gap(10)
    place.ends.x = place.right - place.ends.width
    place.right = place.ends.x - apart
  end
  measure_below(sheet, about, place)
  if sheet.terminal then
    place.left, place.right = math.ceil(place.left), floor(place.right) - 1
    place.top, place.bottom = math.ceil(place.top), floor(place.bottom)
  else
    place.top = place.top + sheet:gap(5)
  end
  return place
end

-- The same for the height that the panel comes to have. Where two heights lead to each other, the lower one is taken:
-- what has room in it has room in the higher one.
local function measure(sheet, about)
  local guess = sheet.height / 2
  local place = measure_for(sheet, about, guess)
  for _ = 1, 4 do
    local height = place.bottom - place.top
    if math.abs(height - guess) < 0.5 then return place end
    guess = height
    place = measure_for(sheet, about, guess)
  end
  return measure_for(sheet, about, min(guess, place.bottom - place.top))
end

-- Both axes with one length for one unit: the one with room to spare gets the wider range.
local function make_equal(place, x, y)
  local across, up = place.right - place.left, place.bottom - place.top
  local unit = max((x.high - x.low) / across, (y.high - y.low) / up)
  for axis, length in pairs { [x] = across, [y] = up } do
    local middle = (axis.low + axis.high) / 2
    axis.low, axis.high = middle - unit * length / 2, middle + unit * length / 2
  end
end

-- ---- what is drawn ----

local function draw_head(sheet, place)
  sheet:lines(place.margin, place.title_top, place.title, { size = place.title_size })
  local row_top = place.legend_top
  for _, row in ipairs(place.legend) do
    local middle = row_top + row.height / 2
    for _, placed in ipairs(row) do
      draw_sample(sheet, placed, place.margin + placed.x, middle)
      sheet:lines(place.margin + placed.x + placed.sample, middle - #placed.lines * sheet:line(placed.size) / 2,
        placed.lines, { size = placed.size })
    end
    row_top = row_top + row.height
  end
  for _, foot in ipairs(place.foot) do
    sheet:lines(place.margin, foot.top, foot.lines, { size = foot.size, colour = colours.grey })
  end
end

-- What gnuplot is told of the panel and its axes; texts are ours.
local function set_axes(sheet, about, place)
  sheet:add("set lmargin at screen %.6f", sheet:across(place.left))
  sheet:add("set rmargin at screen %.6f", sheet:across(place.right))
  sheet:add("set tmargin at screen %.6f", sheet:up(place.top))
  sheet:add("set bmargin at screen %.6f", sheet:up(place.bottom))
  sheet:add("set key off")
  local border = about.framed and 0 or (about.x.hidden and 0 or 1) + (about.y.hidden and 0 or 2)
  if border == 0 then sheet:add "unset border"
  else sheet:add("set border %d%s linewidth 1", border, sheet.terminal and "" or " linecolor rgb '#888888'") end
  for _, letter in ipairs { "x", "y" } do
    local axis = about[letter]
    local from, to = axis.low, axis.high
    if axis.down then from, to = to, from end
    sheet:add("set %srange [%.17g:%.17g]", letter, from, to)
    if axis.log then sheet:add("set logscale %s", letter) end
    local list = {}
    for _, tick in ipairs(letter == "x" and place.x_ticks or place.y_ticks) do
      list[#list + 1] = format("'' %.17g", tick.at)
    end
    if #list == 0 or axis.names or axis.hidden or sheet.terminal or about.framed then
      sheet:add("unset %stics", letter)
    else
      sheet:add("set %stics (%s) nomirror out scale 0.4", letter, concat(list, ", "))
      sheet:add("unset m%stics", letter)
      if axis.grid then
        sheet:add("set grid %stics back linetype 1 linecolor rgb '%s' linewidth 0.8", letter, colours.faint)
      end
    end
  end
end

local function draw_below(sheet, x, place, panel)
  local tick_top = place.bottom + (sheet.terminal and 1 or sheet:gap(6))
  local below = tick_top
  if place.x_texts then
    local texts = place.x_texts
    for i, lines in ipairs(texts.lines) do
      local at = panel.across(i)
      if texts.turned then
        for k, line in ipairs(lines) do
          sheet:text(at + (k - (#lines + 1) / 2) * sheet:line(texts.size), tick_top, line,
            { size = texts.size, align = "right", turned = true })
        end
      elseif (i - 1) % texts.every == 0 then
        sheet:lines(at, tick_top, lines, { size = texts.size, align = "centre" })
      end
    end
    below = tick_top + texts.height
  elseif not x.hidden then
    for _, tick in ipairs(place.x_ticks) do
      sheet:text(panel.across(tick.at), tick_top + sheet:line() / 2, tick.text, { align = "centre" })
    end
    below = tick_top + sheet:line()
  end
  sheet:lines((place.left + place.right) / 2, below + sheet:gap(2), place.x_label,
    { size = place.x_label_size, align = "centre" })
end

-- Lines that read upwards, in the middle of the panel's height.
local function turned_lines(sheet, left, place, lines, size)
  for i, line in ipairs(lines) do
    sheet:text(left + (i - 0.5) * sheet:line(size), (place.top + place.bottom) / 2, line,
      { size = size, align = "centre", turned = true })
  end
end

local function draw_left(sheet, place, panel)
  for _, tick in ipairs(place.y_ticks) do
    local middle = panel.down(tick.at)
    local high = #tick.lines * sheet:line(place.y_size)
    sheet:lines(place.left - (sheet.terminal and 1 or sheet:gap(7)), middle - high / 2, tick.lines,
      { align = "right", size = place.y_size })
  end
  if sheet.terminal then
    sheet:lines(0, place.y_label_top or 0, place.y_label)
  else
    turned_lines(sheet, place.y_label_left, place, place.y_label, place.y_label_size)
  end
end

-- The names beside the lines' ends, with a thin line where one had to move.
local function draw_ends(sheet, ends, place, panel)
  local middles, heights = {}, {}
  for i, label in ipairs(ends) do
    middles[i] = max(place.top, min(place.bottom, panel.down(label.y)))
    heights[i] = place.ends[i].height
  end
  local low = sheet.terminal and place.bottom + 1 or place.bottom + sheet:line() / 2
  local placed = spread(middles, heights, place.top - sheet:line() / 2, low)
  for i, label in ipairs(ends) do
    local entry = place.ends[i]
    sheet:lines(place.ends.x, placed[i] - entry.height / 2, entry.lines,
      { size = entry.size, colour = sheet.terminal and label.style.colour or colours.dark(label.style.colour) })
    if not sheet.terminal and math.abs(placed[i] - middles[i]) > 0.5 * sheet.font then
      sheet:stroke(place.right + sheet:gap(3), middles[i], place.ends.x - sheet:gap(2), placed[i],
        { colour = label.style.colour, width = 0.7 })
    end
  end
end

local function draw_bar(sheet, bar, place)
  local steps = 64
  for i = 1, steps do
    -- Each piece reaches to the top, so that no seam shows between two.
    sheet:box(place.bar_left, place.top, place.bar_right, place.bottom - (i - 1) / steps * (place.bottom - place.top),
      { colour = colours.map(bar.map, (i - 0.5) / steps) })
  end
  for _, tick in ipairs(place.bar_ticks) do
    local middle = place.bottom - M.share(bar, tick.at) * (place.bottom - place.top)
    sheet:stroke(place.bar_right, middle, place.bar_right + sheet:gap(3), middle, { colour = colours.grey })
    sheet:text(place.bar_text, middle, tick.text)
  end
  turned_lines(sheet, place.bar_label_left, place, place.bar_label, place.bar_label_size)
end

---@class Panel
---@field left number
---@field right number
---@field top number
---@field bottom number
---@field across fun(x: number): number  # where on the sheet a value of x is
---@field down fun(y: number): number
---@field shows fun(y: number): boolean  # is it within the axis?

--- Places everything around the data, and says where the data go. Nil and a message when there is no room for them.
---@param sheet Sheet
---@param about About
---@return Panel? panel, string? message, string? code
function M.draw(sheet, about)
  local x, y = about.x, about.y
  local place = measure(sheet, about)
  -- Many lines of title, legend and labels make the sheet higher, where its height was not given, not the data flatter.
  local wish = sheet.terminal and (about.lines or 6) or (about.panel or 0.42) * sheet.width
  local short = sheet.grows and wish - (place.bottom - place.top) or 0
  local exact = about.panel
  if sheet.terminal then exact = about.lines end
  if short > 0 or exact and short < 0 then
    sheet.height = math.ceil(sheet.height + short)
    place = measure(sheet, about)
  end
  if about.equal then
    make_equal(place, x, y)
    place = measure(sheet, about)
    make_equal(place, x, y)
  end
  local least = sheet.terminal and 3 or 2 * sheet.font
  if place.right - place.left < least or place.bottom - place.top < least then
    return nil, format("no room for the data between the labels on a picture of %g x %g", sheet.width, sheet.height),
      "argument"
  end
  local panel = { left = place.left, right = place.right, top = place.top, bottom = place.bottom, ends = place.ends }
  -- What the axis does not reach is somewhere outside, not anywhere.
  local function place_on(axis, value) return max(-FAR, min(FAR, M.share(axis, value))) end
  function panel.across(value) return place.left + place_on(x, value) * (place.right - place.left) end
  function panel.down(value)
    local share = place_on(y, value)
    if y.down then share = 1 - share end
    return place.bottom - share * (place.bottom - place.top)
  end
  function panel.shows(value) return value >= y.low and value <= y.high end

  draw_head(sheet, place)
  set_axes(sheet, about, place)
  draw_below(sheet, x, place, panel)
  draw_left(sheet, place, panel)
  if place.ends then draw_ends(sheet, about.ends, place, panel) end
  if about.bar then draw_bar(sheet, about.bar, place) end
  return panel
end

return M
