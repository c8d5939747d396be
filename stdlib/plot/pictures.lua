--- plot.images: pictures in rows and columns with titles; and how pictures come into a PNG.
---@package
local colours = require "plot.colour"
local image = require "image"
local nn = require "nn"
local spec = require "spec"
local terminal = require "terminal"
local text = require "text"
local values = require "plot.values"

local M = {}

local format, max, min, floor = string.format, math.max, math.min, math.floor

M.alone = true

local HIGHEST <const> = 8000 -- pixels of a sheet that is as high as its pictures need: a PNG of it can still be made

M.fields = {
  images = spec.any { required = true },
  rows = spec.list { spec.text() }, columns = spec.list { spec.text() },
  labels = spec.list { spec.text() },
  across = spec.integer { min = 1 },
}

local function is_picture(x)
  if not values.is_tensor(x) or x.type ~= "uint8" and x.type ~= "float" then return false end
  local channels = #x.shape == 3 and x.shape[3] or 1
  return (#x.shape == 2 or #x.shape == 3) and x.shape[1] > 0 and x.shape[2] > 0
    and (channels == 1 or channels == 3 or channels == 4)
end

-- [H x W] as [H x W x 1].
local function with_channels(picture)
  local shape = picture.shape
  return #shape == 2 and picture:reshape { shape[1], shape[2], 1 } or picture
end

---@param options table
---@return table? chart, string? problem
function M.prepare(options)
  if next(options.x) or next(options.y) then return nil, "pictures have no axes" end
  local given, list, across = options.images, {}, options.across
  if values.is_tensor(given) and #given.shape ~= 4 and is_picture(given) then given = { given } end
  if values.is_tensor(given) and #given.shape ~= 4 or type(given) ~= "table" and not values.is_tensor(given) then
    return nil, "images: expected a batch [N x H x W x C], a list of pictures [H x W x C] or a list of such rows"
  end
  local by_rows = type(given) == "table" and #given > 0 and (type(given[1]) == "table"
    or values.is_tensor(given[1]) and #given[1].shape == 4)
  if by_rows then
    across = 0
    for _, row in ipairs(given) do across = max(across, #row) end
  end
  local function take(picture, where)
    if not picture then
      list[#list + 1] = false
    elseif not is_picture(picture) then
      local got = values.is_tensor(picture) and "[" .. table.concat(picture.shape, "x") .. "] of " .. picture.type
        or spec.shown(picture)
      return format("images: expected a picture [H x W x C] of uint8 or float %s, got %s", where, got)
    else
      list[#list + 1] = with_channels(picture)
    end
  end
  for i = 1, #given do
    local problem
    if by_rows then
      for j = 1, across do
        problem = problem or take(given[i][j] or false, format("at row %d, place %d", i, j))
      end
    else
      problem = take(given[i], format("at place %d", i))
    end
    if problem then return nil, problem end
  end
  if #list == 0 then return nil, "images: expected at least one picture" end
  across = across or options.columns and #options.columns or min(#list, 8)
  local down = math.ceil(#list / across)
  if options.columns and #options.columns ~= across then
    return nil, format("columns: expected %d titles, got %d", across, #options.columns)
  end
  if options.rows and #options.rows ~= down then
    return nil, format("rows: expected %d titles, got %d", down, #options.rows)
  end
  if options.labels and #options.labels ~= #list then
    return nil, format("labels: expected %d, as there are pictures, got %d", #list, #options.labels)
  end
  return { list = list, across = across, down = down }
end

---@param chart table
---@param sheet Sheet
---@param options table
---@return string[]? plots, string[]|string names, string? code
function M.draw(chart, sheet, options)
  local m, gap = sheet:gap(8), sheet:gap(4)
  local width = sheet.width - 2 * m
  local title, title_size = sheet:fit(options.title, width, { size = 1.2, lines = 3, least = 0.9 })
  local note, note_size = sheet:fit(options.note, width, { size = 0.85, lines = 3, least = 0.75 })
  local top = m + #title * sheet:line(title_size) + (#title > 0 and sheet:gap(4) or 0)

  -- The left: titles of rows.
  local row_titles, row_size, left = {}, 1, m
  for i, name in ipairs(options.rows or {}) do
    local lines, size = sheet:fit(name, 0.22 * sheet.width, { lines = 3, least = 0.8 })
    row_titles[i], row_size = lines, min(row_size, size)
  end
  local widest = 0
  for _, lines in ipairs(row_titles) do
    for _, line in ipairs(lines) do widest = max(widest, sheet:extent(line, row_size)) end
  end
  if widest > 0 then left = left + widest + sheet:gap(6) end

  -- The cells: as wide as there is room, but small pictures are not blown up without end.
  local native_width, ratio = 1, 0
  for _, picture in ipairs(chart.list) do
    if picture then
      native_width = max(native_width, picture.shape[2])
      ratio = max(ratio, picture.shape[1] / picture.shape[2])
    end
  end
  if ratio == 0 then ratio = 1 end
  local cell = (sheet.width - m - left - (chart.across - 1) * gap) / chart.across
  cell = min(cell, max(0.24 * sheet.width, native_width))

  -- Texts that belong to a column or a picture are as wide as its cell.
  local function all_fit(names, most)
    local texts, size, height = {}, 0.9, 0
    for _, name in ipairs(names or {}) do
      local _, used = sheet:fit(name, cell, { size = 0.9, lines = most, least = 0.7 })
      size = min(size, used)
    end
    for i, name in ipairs(names or {}) do
      texts[i] = sheet:fit(name, cell, { size = size, lines = most, least = size })
      height = max(height, #texts[i] * sheet:line(size))
    end
    return texts, size, height
  end
  local heads, head_size, head_height, labels, label_size, label_height
  local foot = #note > 0 and #note * sheet:line(note_size) + sheet:gap(4) or 0
  local function lay()
    heads, head_size, head_height = all_fit(options.columns, 3)
    labels, label_size, label_height = all_fit(options.labels, 3)
    local tallest = 0
    for _, lines in ipairs(row_titles) do tallest = max(tallest, #lines * sheet:line(row_size)) end
    local row = max(cell * ratio, tallest) + (label_height > 0 and label_height + sheet:gap(2) or 0) + gap
    local above = head_height > 0 and head_height + sheet:gap(3) or 0
    return row, above, top + above + chart.down * row - gap + foot + m
  end
  local row, above, needed = lay()
  if sheet.grows then sheet.height = min(math.ceil(needed), HIGHEST) end
  if needed > sheet.height then
    -- A given height makes the pictures smaller; their texts are laid out anew.
    cell = cell - (needed - sheet.height) / (chart.down * ratio)
    if cell > 0 then row, above, needed = lay() end
    if cell < 4 or needed > sheet.height + 1 then
      return nil, format("no room for %d x %d pictures on a picture of %g x %g", chart.down, chart.across, sheet.width,
        sheet.height), "argument"
    end
  end
  if cell < 4 then
    return nil, format("no room for %d pictures beside each other in %g pixels", chart.across, sheet.width), "argument"
  end

  sheet:lines(m, m, title, { size = title_size })
  for j, lines in ipairs(heads) do
    sheet:lines(left + (j - 1) * (cell + gap) + cell / 2, top + head_height - #lines * sheet:line(head_size), lines,
      { size = head_size, align = "centre" })
  end
  top = top + above
  for i, lines in ipairs(row_titles) do
    sheet:lines(left - sheet:gap(6), top + (i - 1) * row + cell * ratio / 2 - #lines * sheet:line(row_size) / 2, lines,
      { size = row_size, align = "right" })
  end
  for k, picture in ipairs(chart.list) do
    local x, y = left + (k - 1) % chart.across * (cell + gap), top + (k - 1) // chart.across * row
    if picture then
      -- Pictures of other proportions stand in the middle of their cell.
      local scale = min(cell / picture.shape[2], cell * ratio / picture.shape[1])
      local wide, high = picture.shape[2] * scale, picture.shape[1] * scale
      sheet.pictures[#sheet.pictures + 1] = { tensor = picture, x = x + (cell - wide) / 2,
        y = y + (cell * ratio - high) / 2, width = wide, height = high, smooth = scale < 1.5 }
    end
    if labels[k] then
      sheet:lines(x + cell / 2, y + cell * ratio + sheet:gap(2), labels[k], { size = label_size, align = "centre" })
    end
  end
  sheet:lines(m, sheet.height - m - #note * sheet:line(note_size), note, { size = note_size, colour = colours.grey })
  for _, line in ipairs { "unset border", "unset xtics", "unset ytics", "set key off", "set xrange [0:1]",
                          "set yrange [0:1]" } do
    sheet:add(line)
  end
  return {}, {}
end

--- Shows the pictures in a terminal of characters, with their titles as captions.
---@param chart table
---@param options table
function M.show(chart, options)
  local shown, captions, blank = {}, {}, nil
  for _, picture in ipairs(chart.list) do blank = blank or picture and nn.zeros(picture.shape) end
  for k, picture in ipairs(chart.list) do
    local row, column = (k - 1) // chart.across + 1, (k - 1) % chart.across + 1
    local words = { options.labels and options.labels[k], options.rows and options.rows[row],
                    options.columns and options.columns[column] }
    local caption = {}
    for i = 1, 3 do caption[#caption + 1] = words[i] end
    shown[k], captions[k] = picture or blank or nn.zeros { 1, 1 }, table.concat(caption, ", ")
  end
  if options.title ~= "" then print(text.tame(options.title, terminal.width())) end
  terminal.show(shown, { columns = chart.across, captions = (options.labels or options.rows or options.columns)
    and captions or nil })
  if options.note ~= "" then print(text.tame(options.note, terminal.width())) end
end

-- ---- pictures in a PNG ----

-- The picture in another size: pixels as squares where they become larger, else resampled.
local function scaled(picture, height, width)
  local old_height, old_width = picture.shape[1], picture.shape[2]
  if height < 1.5 * old_height then return image.resize(picture, { height = height, width = width }) end
  local function places(count, size)
    local list = {}
    for i = 1, count do list[i] = floor((i - 0.5) * size / count) + 1 end
    return nn.tensor(list, { type = "index" })
  end
  return picture:index_select(1, places(height, old_height)):index_select(2, places(width, old_width))
end

--- A PNG with pictures put into it.
---@param bytes string
---@param pictures table[]  # in the sheet's pixels
---@param dots number  # of the PNG for each of those
---@return string
function M.paste(bytes, pictures, dots)
  local page = image.decode(bytes, { channels = 3 })
  for _, picture in ipairs(pictures) do
    local left, top = floor(picture.x * dots + 0.5), floor(picture.y * dots + 0.5)
    local right = min(page.shape[2], floor((picture.x + picture.width) * dots + 0.5))
    local bottom = min(page.shape[1], floor((picture.y + picture.height) * dots + 0.5))
    if right > left and bottom > top then
      -- Through PNG, whatever the type and channels are: it comes back as uint8 with three.
      local plain = image.decode(image.encode(picture.tensor, { format = "png" }), { channels = 3 })
      page:slice(1, top + 1, bottom):slice(2, left + 1, right):copy(scaled(plain, bottom - top, right - left))
    end
  end
  return image.encode(page, { format = "png" })
end

return M
