--- Pictures in the terminal: `show(x)` at the prompt, `terminal.show(x)` in a script.
---
--- They are drawn with the graphics of kitty or with sixels where the terminal has one of them, else with blocks of two
--- colours, two pixels in a character: in true colour, in 256 colours when COLORTERM does not promise more, and without
--- colour (NO_COLOR, TERM=dumb, or no terminal) as characters by their brightness.
local host = require "host"
local image = require "image"
local progress = require "progress"
local spec = require "spec"
local text = require "text"

local M = {}

local PATIENCE <const> = 0.5  -- seconds in which a terminal answers
local MOST <const> = 64       -- pictures of a batch that are drawn
local FIRST <const> = 16      -- of a part of a data set
local CELL <const> = { width = 8, height = 16 } -- pixels of a character, where the terminal does not say

-- ---- the terminal ----

--- Columns and rows of the terminal; 80 and 24 where there is none.
---
--- Example:
---     print(require "terminal".size() > 0)  --> true
---@return integer columns, integer rows
function M.size()
  local _, rows = host.terminal_size()
  return progress.width(), rows or 24
end

--- Columns of the terminal, as progress.width tells them.
---
--- Example:
---     terminal.width() > 0  --> true
---@return integer
function M.width() return progress.width() end

local function set(name)
  local value = os.getenv(name)
  return value ~= nil and value ~= ""
end

-- What the terminal says of itself: kitty's graphics answer a question of their own, sixels are 4 among the attributes
-- that every terminal tells; that question comes second, so that its answer ends the waiting.
local function asked()
  local kitty = "\27_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\27\\"
  local answer = host.terminal_ask((set "TMUX" and "" or kitty) .. "\27[c", "c", PATIENCE)
  if answer:find("\27_Gi=31;OK", 1, true) then return "kitty" end
  local attributes = answer:match "\27%[%?([%d;]*)c"
  return attributes and (";" .. attributes .. ";"):find(";4;", 1, true) and "sixel" or "blocks"
end

local function found_graphics()
  local term, program = os.getenv "TERM" or "", os.getenv "TERM_PROGRAM" or ""
  if term == "dumb" or term == "linux" then return "blocks" end
  if not set "TMUX" then
    if set "KITTY_WINDOW_ID" or term == "xterm-kitty" or term == "xterm-ghostty" or program == "ghostty"
      or program == "WezTerm" then
      return "kitty"
    end
    if term:find "^foot" or term:find "^mlterm" then return "sixel" end
  end
  return asked()
end

local known

--- What the terminal can draw: "kitty", "sixel" or "blocks"; nil when standard output is no terminal. It is asked once;
--- PENUMBRA_GRAPHICS decides instead when it names one of them.
---
--- Example:
---     local can = require "terminal".graphics()
---     print(can == nil or can == "kitty" or can == "sixel" or can == "blocks")  --> true
---@return "kitty"|"sixel"|"blocks"|nil
function M.graphics()
  if not host.terminal(1) then return nil end
  local said = os.getenv "PENUMBRA_GRAPHICS"
  if said == "kitty" or said == "sixel" or said == "blocks" then return said end
  known = known or found_graphics()
  return known
end

--- How many colours text may have in the terminal: "true" (any), 256, or false.
---
--- Example:
---     local how = require "terminal".colours()
---     print(how == "true" or how == 256 or how == false)  --> true
---@return "true"|256|false
function M.colours()
  if not host.terminal(1) or set "NO_COLOR" or os.getenv "TERM" == "dumb" then return false end
  local said, term = os.getenv "COLORTERM", os.getenv "TERM" or ""
  if said == "truecolor" or said == "24bit" or term:find "direct" or term == "xterm-kitty" then return "true" end
  return 256
end

-- ---- blocks and characters ----

-- Level of a byte in the cube of 6 x 6 x 6 colours whose steps are 0, 95, 135, 175, 215, 255.
local function cube(v) return v < 48 and 0 or v < 115 and 1 or (v - 35) // 40 end
local function cube_level(i) return i == 0 and 0 or 55 + 40 * i end

-- The nearest of the 256 colours: of the cube, or of 24 greys from 8 to 238.
local function of_256(r, g, b)
  local i, j, k = cube(r), cube(g), cube(b)
  local grey = math.max(0, math.min(23, ((r + g + b) // 3 - 3) // 10))
  local level = 8 + 10 * grey
  local function distance(x, y, z) return (r - x) ^ 2 + (g - y) ^ 2 + (b - z) ^ 2 end
  if distance(level, level, level) < distance(cube_level(i), cube_level(j), cube_level(k)) then return 232 + grey end
  return 16 + 36 * i + 6 * j + k
end

local function colour_text(r, g, b, depth)
  if depth == "true" then return ("2;%d;%d;%d"):format(r, g, b) end
  return "5;" .. of_256(r, g, b)
end

-- Lines of half blocks: the character's colour is the upper pixel's, its background the lower one's.
local function block_lines(bytes, width, depth)
  local height, lines = #bytes // (3 * width), {}
  for y = 0, height - 1, 2 do
    local parts, fore, back = {}, nil, nil
    local has_lower = y + 1 < height
    for x = 0, width - 1 do
      local at = 3 * (y * width + x) + 1
      local upper = colour_text(bytes:byte(at), bytes:byte(at + 1), bytes:byte(at + 2), depth)
      local codes = upper ~= fore and "38;" .. upper or nil
      fore = upper
      if has_lower then
        at = at + 3 * width
        local lower = colour_text(bytes:byte(at), bytes:byte(at + 1), bytes:byte(at + 2), depth)
        if lower ~= back then codes = (codes and codes .. ";" or "") .. "48;" .. lower end
        back = lower
      end
      parts[#parts + 1] = (codes and "\27[" .. codes .. "m" or "") .. "▀"
    end
    lines[#lines + 1] = table.concat(parts) .. "\27[0m"
  end
  return lines
end

local RAMP <const> = " .:-=+*#%@"

-- Lines of characters, the denser the brighter, two pixels in each.
local function character_lines(bytes, width)
  local height, lines = #bytes // (3 * width), {}
  local function brightness(x, y)
    local at = 3 * (math.min(y, height - 1) * width + x) + 1
    return 0.299 * bytes:byte(at) + 0.587 * bytes:byte(at + 1) + 0.114 * bytes:byte(at + 2)
  end
  for y = 0, height - 1, 2 do
    local parts = {}
    for x = 0, width - 1 do
      local place = 1 + math.floor((brightness(x, y) + brightness(x, y + 1)) / 2 / 256 * #RAMP)
      parts[#parts + 1] = RAMP:sub(place, place)
    end
    lines[#lines + 1] = table.concat(parts)
  end
  return lines
end

-- ---- sizes ----

-- The picture as [H x W x C].
local function with_channels(picture)
  local shape = picture.shape
  return #shape == 3 and picture or picture:reshape { shape[1], shape[2], 1 }
end

-- The picture in a size that fits both, as large as it is or smaller; a small one a whole number of times larger.
local function fitted(picture, width, height, enlarge)
  picture = with_channels(picture)
  local h, w = picture.shape[1], picture.shape[2]
  if w > width or h > height then
    local scale = math.min(width / w, height / h)
    return image.resize(picture, { width = math.max(1, math.floor(w * scale + 0.5)),
                                   height = math.max(1, math.floor(h * scale + 0.5)) })
  end
  local factor = math.min(enlarge, width // w, height // h)
  return factor > 1 and image.enlarge(picture, factor) or picture
end

local function lines_of(picture, width, height, enlarge)
  local small = fitted(picture, width, height, enlarge)
  local bytes, depth = host.pixels(small), M.colours()
  local lines = depth and block_lines(bytes, small.shape[2], depth) or character_lines(bytes, small.shape[2])
  return lines, small.shape[2]
end

-- ---- graphics ----

local function kitty(picture)
  local data, parts = require "report.html".base64(image.encode(picture)), {}
  for at = 1, #data, 4096 do
    local head = at == 1 and "a=T,f=100,q=2," or ""
    parts[#parts + 1] = ("\27_G%sm=%d;%s\27\\"):format(head, at + 4096 <= #data and 1 or 0, data:sub(at, at + 4095))
  end
  return table.concat(parts) .. "\n"
end

-- Pixels of the whole terminal across, and of most of its height.
local function room()
  local columns, rows, width, height = host.terminal_size()
  columns, rows = columns or 80, rows or 24
  if (width or 0) == 0 then width, height = columns * CELL.width, rows * CELL.height end
  return width, math.max(1, height * (rows - 3) // rows)
end

local function drawn(picture, graphics)
  local width, height = room()
  local h, w = picture.shape[1], picture.shape[2]
  picture = fitted(picture, width, height, math.max(1, 256 // math.max(h, w)))
  if graphics == "kitty" then return kitty(picture) end
  return host.sixel(host.pixels(picture), picture.shape[2]) .. "\n"
end

-- ---- for others ----

local function shape_text(x)
  return type(x) == "userdata" and "[" .. table.concat(x.shape, "x") .. "]" or spec.shown(x)
end

local function is_picture(x)
  local shape = type(x) == "userdata" and (getmetatable(x) or {}).__name == "nn.tensor" and x.shape
  if not shape or (x.type ~= "uint8" and x.type ~= "float") then return false end
  local channels = #shape == 3 and shape[3] or 1
  return (#shape == 2 or #shape == 3) and shape[1] > 0 and shape[2] > 0
    and (channels == 1 or channels == 3 or channels == 4)
end

--- The text that draws a picture in the terminal, fitted to it.
---
--- Example:
---     drawn = require "terminal".picture(nn.uniform { 8, 8, 3 })
---@param picture Tensor  # [H x W] or [H x W x C] of uint8, or of float in [0, 1]
---@return string
function M.picture(picture)
  if not is_picture(picture) then
    error("terminal.picture: expected a picture [H x W] or [H x W x C] of uint8 or float, got " .. shape_text(picture),
      2)
  end
  local graphics = M.graphics()
  if graphics == "kitty" or graphics == "sixel" then return drawn(with_channels(picture), graphics) end
  local columns, rows = M.size()
  local height = host.terminal(1) and 2 * math.max(4, rows - 3) or math.huge
  local lines = lines_of(picture, columns, height, math.max(1, 48 // picture.shape[2]))
  return table.concat(lines, "\n") .. "\n"
end

-- ---- show ----

local show_options = {
  captions = spec.list { spec.text() },
  columns = spec.integer { min = 1, doc = "pictures in a row" },
  path = spec.text { doc = "a file to write as well, .png or .jpg" },
}

-- A batch as a list, one picture as a list of itself; nil when it is neither.
local function list_of(x)
  if is_picture(x) then return { x } end
  local list = {}
  if type(x) == "userdata" and (getmetatable(x) or {}).__name == "nn.tensor" and #x.shape == 4 then
    for i = 1, #x do list[i] = x[i] end
  elseif type(x) == "table" and not getmetatable(x) then
    table.move(x, 1, #x, 1, list)
  end
  for _, picture in ipairs(list) do
    if not is_picture(picture) then return nil end
  end
  return #list > 0 and list or nil
end

local function is_part(x)
  local meta = type(x) == "table" and getmetatable(x)
  return type(meta) == "table" and meta.__name == "data part"
end

-- The first images of a part of a data set, and the names of their classes; nil and why one cannot be read.
local function of_part(part)
  local list, captions = {}, {}
  for i = 1, math.min(part.count, FIRST) do
    local picture, label = part:image(i)
    if not picture then return nil, label end
    list[i], captions[i] = picture, text.tame(part.class_names[label], 20)
  end
  return list, captions
end

-- Rows of pictures with their captions below, in characters.
local function block_grid(list, count, options)
  local columns = M.width()
  local widest = 0
  for i = 1, count do widest = math.max(widest, list[i].shape[2]) end
  local across = math.max(1, math.min(options.columns or count, (columns + 1) // (math.min(widest, columns) + 1)))
  across = options.columns and math.min(options.columns, count) or math.min(across, count)
  local width = math.min(widest, math.max(1, (columns + 1) // across - 1))
  local out = {}
  for first = 1, count, across do
    local cells, height = {}, 0
    for i = first, math.min(first + across - 1, count) do
      local lines, used = lines_of(list[i], width, math.huge, 1)
      cells[#cells + 1] = { lines = lines, pad = (" "):rep(width - used) }
      height = math.max(height, #lines)
    end
    for y = 1, height do
      local parts = {}
      for i, cell in ipairs(cells) do
        parts[i] = cell.lines[y] and cell.lines[y] .. cell.pad or (" "):rep(width)
      end
      out[#out + 1] = table.concat(parts, " "):gsub(" +$", "")
    end
    if options.captions then
      local parts = {}
      for i = 1, #cells do parts[i] = text.pad(text.tame(options.captions[first + i - 1], width), width) end
      out[#out + 1] = table.concat(parts, " "):gsub(" +$", "")
    end
  end
  return table.concat(out, "\n") .. "\n"
end

local function pixel_grid(list, count, options)
  local shown = table.move(list, 1, count, 1, {})
  for i, picture in ipairs(shown) do shown[i] = with_channels(picture) end
  local factor = math.max(1, 96 // math.max(shown[1].shape[1], shown[1].shape[2]))
  for i, picture in ipairs(shown) do shown[i] = image.enlarge(picture, factor) end
  local across = options.columns or math.max(1, math.min(count, room() // (shown[1].shape[2] + 4)))
  return image.grid(shown, { columns = across, gap = 4, background = 0,
                             labels = options.captions and table.move(options.captions, 1, count, 1, {}) })
end

--- Draws a picture, or several in rows with captions below them, as wide as the terminal at most. Of a batch the first
--- 64 are drawn, of a part of a data set the first 16 with their classes. In place of options a label may stand and is
--- not looked at, as in show(part:image(3)).
---
--- Example:
---     terminal.show(nn.ones { 4, 2, 2, 1 }, { captions = { "a", "b", "c", "d" }, columns = 2 })
---     terminal.show(nn.uniform { 2, 8, 8, 3 }, { captions = { "a" } })
---     --> error: show: expected 2 captions, as there are pictures, got 1
---@param x Tensor|Tensor[]|Part  # of uint8, or of float in [0, 1]; C is 1, 3 or 4
---@param options? { captions?: string[], columns?: integer, path?: string }|integer
---@return boolean? ok, string? message, string? code  # nothing, or nil and why a file was not read or written
function M.show(x, options)
  if math.type(options) == "integer" then options = nil end
  options = spec.check("show", options, show_options)
  local list, total
  if is_part(x) then
    local captions
    list, captions = of_part(x)
    if not list then return nil, captions, "io" end
    options.captions, total = options.captions or captions, x.count
  else
    list = list_of(x)
    total = list and #list
  end
  if not list then
    error("show: expected a picture [H x W] or [H x W x C], a batch [N x H x W x C] or a list of pictures, got "
      .. shape_text(x), 2)
  end
  if options.captions and #options.captions ~= #list then
    error(("show: expected %d captions, as there are pictures, got %d"):format(#list, #options.captions), 2)
  end
  local count, graphics = math.min(#list, MOST), M.graphics()
  local pixels = graphics == "kitty" or graphics == "sixel"
  local one = #list == 1 and not options.captions
  if one then io.stdout:write(M.picture(list[1]))
  elseif pixels then io.stdout:write(drawn(pixel_grid(list, count, options), graphics))
  else io.stdout:write(block_grid(list, count, options)) end
  if count < total then io.stdout:write(("... %d of %s pictures\n"):format(count, text.count(total))) end
  if options.path then
    local ok, message, code = image.save(options.path, one and list[1] or pixel_grid(list, count, options))
    if not ok then return nil, message, code end
  end
end

return M
