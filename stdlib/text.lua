--- Text for a terminal: widths of UTF-8, aligned tables, numbers and durations as people write them.
local M = {}

local format, rep, concat = string.format, string.rep, table.concat

--- A text from a stranger as it can be printed: what would move a terminal's cursor, colour it or turn the writing
--- round becomes "�"; ends of lines and tabs stay.
---
--- Example:
---     print(text.clean "\27[31mred")  --> �[31mred
---@param s string
---@return string
function M.clean(s)
  if not s:find "[%c\128-\255]" then return s end
  local parts = {}
  for char in s:gmatch "[\0-\127\194-\244][\128-\191]*" do
    local code = utf8.len(char) == 1 and utf8.codepoint(char)
    local plain = code and (code >= 0xA0 or code >= 32 and code < 127 or code == 9 or code == 10)
      and not (code >= 0x202A and code <= 0x202E) and not (code >= 0x2066 and code <= 0x2069)
    parts[#parts + 1] = plain and char or "\u{FFFD}"
  end
  return concat(parts)
end

--- The text as UTF-8: each byte that is no part of a character becomes "�".
---
--- Example:
---     print(text.well_formed "na\xEFve")  --> na�ve
---@param s string
---@return string
function M.well_formed(s)
  if utf8.len(s) then return s end
  local parts, from = {}, 1
  while true do
    local _, bad = utf8.len(s, from)
    if not bad then break end
    parts[#parts + 1] = s:sub(from, bad - 1)
    from = bad + 1
  end
  parts[#parts + 1] = s:sub(from)
  return concat(parts, "\u{FFFD}")
end

-- ---- widths ----

local function zero_width(c)
  return (c >= 0x300 and c <= 0x36F) or (c >= 0x200B and c <= 0x200F) or (c >= 0xFE00 and c <= 0xFE0F)
    or (c >= 0x20D0 and c <= 0x20FF) or c < 32 or (c >= 0x7F and c < 0xA0)
end

local function double_width(c)
  return (c >= 0x1100 and c <= 0x115F) or (c >= 0x2E80 and c <= 0xA4CF) or (c >= 0xAC00 and c <= 0xD7A3)
    or (c >= 0xF900 and c <= 0xFAFF) or (c >= 0xFE30 and c <= 0xFE6F) or (c >= 0xFF00 and c <= 0xFF60)
    or (c >= 0xFFE0 and c <= 0xFFE6) or (c >= 0x1F300 and c <= 0x1FAFF) or (c >= 0x20000 and c <= 0x3FFFD)
end

--- Columns a text takes on a terminal: colour sequences and combining marks none, East Asian wide characters two.
---
--- Example:
---     text.width "naïve", text.width "日本"  --> 5  4
---@param s string
---@return integer
function M.width(s)
  if s:find("\27", 1, true) then s = s:gsub("\27%[[%d;]*%a", "") end
  if not s:find("[\128-\255%c]") then return #s end
  if not utf8.len(s) then return #s end
  local columns = 0
  for _, c in utf8.codes(s) do
    if double_width(c) then columns = columns + 2
    elseif not zero_width(c) then columns = columns + 1 end
  end
  return columns
end

--- Fills a text to a width: "left" (default), "right" or "centre".
---
--- Example:
---     "[" .. text.pad("ab", 5, "right") .. "]"  --> [   ab]
---@param s string
---@param width integer
---@param align? "left"|"right"|"centre"
---@return string
function M.pad(s, width, align)
  local missing = width - M.width(s)
  if missing <= 0 then return s end
  if align == "right" then return rep(" ", missing) .. s end
  if align == "centre" then return rep(" ", missing // 2) .. s .. rep(" ", missing - missing // 2) end
  return s .. rep(" ", missing)
end

--- The text cut to a width, its end replaced by "…" when something is lost.
---
--- Example:
---     text.cut("a long sentence", 8)  --> a long …
---@param s string
---@param width integer
---@return string
function M.cut(s, width)
  if M.width(s) <= width then return s end
  if width < 1 then return "" end
  local parts, columns = {}, 0
  for _, c in utf8.codes(utf8.len(s) and s or s:gsub("[\128-\255]", "?")) do
    local char = utf8.char(c)
    local w = M.width(char)
    if columns + w > width - 1 then break end
    parts[#parts + 1], columns = char, columns + w
  end
  return concat(parts) .. "…"
end

--- What a stranger wrote, a name in a file, on one line of a terminal: control characters become "?", what turns the
--- writing round "�".
---
--- Example:
---     text.tame "one\27[31mtwo"  --> one?[31mtwo
---@param s string
---@param width? integer  # 80
---@return string
function M.tame(s, width) return M.cut(M.clean((s:gsub("%c", "?"))), width or 80) end

--- Lines of at most `width` columns, broken at spaces; a longer word stays whole. Later lines start with `indent`.
---
--- Example:
---     text.wrap("one two three four", 9, "  ")
---     --> one two
---     -->   three
---     -->   four
---@param s string
---@param width? integer
---@param indent? string
---@return string
function M.wrap(s, width, indent)
  width, indent = width or 100, indent or ""
  local lines, line = {}, ""
  for word in s:gmatch("%S+") do
    local longer = line == "" and word or line .. " " .. word
    if line ~= "" and M.width(longer) > width - (#lines > 0 and M.width(indent) or 0) then
      lines[#lines + 1], line = line, word
    else
      line = longer
    end
  end
  lines[#lines + 1] = line
  return concat(lines, "\n" .. indent)
end

-- ---- numbers ----

--- An integer with its thousands apart: 2,496,088.
---
--- Example:
---     text.count(2496088)  --> 2,496,088
---@param n integer
---@return string
function M.count(n)
  local digits = format("%d", n < 0 and -n or n)
  local grouped = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return (n < 0 and "-" or "") .. grouped
end

--- So many of something: "1 run", "1,200 images"; `many` is the word for several, if it is not the first with an s.
---
--- Example:
---     text.plural(1, "run"), text.plural(3, "study", "studies")  --> 1 run  3 studies
---@param n integer
---@param one string
---@param many? string
---@return string
function M.plural(n, one, many)
  return M.count(n) .. " " .. (n == 1 and one or many or one .. "s")
end

-- In the unit, each a thousand times the one before, that leaves three digits.
local function scaled(value, units)
  local i = 1
  while value >= 999.5 and i < #units do value, i = value / 1000, i + 1 end
  return format("%.3g %s", value, units[i])
end

--- A number of bytes as people say it: 512 bytes, 19.4 MB, 1.33 GB.
---
--- Example:
---     text.bytes(169001437)  --> 169 MB
---@param n integer
---@return string
function M.bytes(n)
  return n < 1000 and M.plural(n, "byte") or scaled(n / 1000, { "kB", "MB", "GB", "TB" })
end

--- A large number as people say it: 1,728; 3.54 M; 1.11 G.
---
--- Example:
---     text.large(1728), text.large(3540000)  --> 1,728  3.54 M
---@param n integer
---@return string
function M.large(n)
  return n < 1e6 and M.count(n) or scaled(n / 1e6, { "M", "G", "T" })
end

--- Floating-point operations as people say them: 686 GFLOP, 1.22 PFLOP.
---
--- Example:
---     text.flops(1.82e9)  --> 1.82 GFLOP
---@param n number
---@return string
function M.flops(n)
  if n < 1000 then return format("%.0f FLOP", n) end
  return scaled(n / 1000, { "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP" })
end

--- A number with so many significant digits (4), without an exponent where it stays readable.
---
--- Example:
---     text.number(0.00123456), text.number(3.0), text.number(12)  --> 0.001235  3  12
---@param x number
---@param digits? integer
---@return string
function M.number(x, digits)
  if math.type(x) == "integer" then return format("%d", x) end
  if x ~= x then return "nan" end
  if x == math.huge or x == -math.huge then return x > 0 and "inf" or "-inf" end
  return (format("%." .. (digits or 4) .. "g", x):gsub("e([+-])0+(%d)", "e%1%2"):gsub("e%+", "e"))
end

--- A short time as it is measured: 1.25 s, 380 µs.
---
--- Example:
---     text.seconds(1.25), text.seconds(0.00038)  --> 1.25 s  380 µs
---@param seconds number
---@return string
function M.seconds(seconds)
  if seconds < 0.9995 then return scaled(seconds * 1e9, { "ns", "µs", "ms" }) end
  return format("%.3g s", seconds)
end

--- Seconds as a clock shows them: 0:09, 12:30, 3:05:00.
---
--- Example:
---     text.duration(9), text.duration(11100)  --> 0:09  3:05:00
---@param seconds number
---@return string
function M.duration(seconds)
  if seconds ~= seconds or seconds >= 1e9 then return "?" end
  local whole = math.floor(seconds + 0.5)
  local hours, minutes = whole // 3600, whole % 3600 // 60
  if hours > 0 then return format("%d:%02d:%02d", hours, minutes, whole % 60) end
  return format("%d:%02d", minutes, whole % 60)
end

-- ---- tables ----

local ROOM <const> = 24 -- columns that a cell is not wrapped below

local function lines_of(s)
  local list = {}
  for line in (s .. "\n"):gmatch "(.-)\n" do list[#list + 1] = line end
  return list
end

-- Cells as text, and the width of each column.
local function measure(head, rows)
  local cells, width = {}, {}
  for j, title in ipairs(head) do width[j] = M.width(title) end
  for i, row in ipairs(rows) do
    cells[i] = {}
    for j = 1, #head do
      local cell = row[j]
      cells[i][j] = (cell == nil or cell == false) and "" or tostring(cell)
      width[j] = math.max(width[j], M.width(cells[i][j]))
    end
  end
  return cells, width
end

local function total(width, gap)
  local sum = gap * (#width - 1)
  for _, w in ipairs(width) do sum = sum + w end
  return sum
end

-- Columns that may be wrapped give way, the widest first, until the row fits or none can give more.
local function shrink(columns, width, gap, room)
  local excess = total(width, gap) - room
  while excess > 0 do
    local widest
    for j, column in ipairs(columns) do
      if type(column) == "table" and column.wrap and width[j] > ROOM and (not widest or width[j] > width[widest]) then
        widest = j
      end
    end
    if not widest then return end
    local less = math.min(excess, width[widest] - ROOM)
    width[widest], excess = width[widest] - less, excess - less
  end
end

-- The places of columns in blocks that are each at most `room` wide and begin with the first `keys` columns.
local function blocks_of(width, gap, room, keys)
  local blocks, block, used = {}, nil, 0
  local function begin()
    block, used = {}, -gap
    for j = 1, keys do block[j], used = j, used + gap + width[j] end
    blocks[#blocks + 1] = block
  end
  begin()
  for j = keys + 1, #width do
    if #block > keys and used + gap + width[j] > room then begin() end
    block[#block + 1], used = j, used + gap + width[j]
  end
  return blocks
end

--- An aligned table. Columns are { title =, align = "left"|"right"|"centre", wrap = true } or plain titles; the first
--- is left aligned and the others right unless told. Cells are shown with tostring; nil and false are empty. A table
--- that is wider than `width` wraps what may be wrapped; what is still too wide stands below as a table of its own,
--- with the first `keys` (1) columns repeated.
--- Example:
---     print(text.table({ "name", "accuracy" }, { { "plain", 96.01 }, { "C", 97.54 } }))
---@param columns (string|table)[]
---@param rows table[]
---@param options? { indent?: string, gap?: integer, width?: integer, keys?: integer }
---@return string
function M.table(columns, rows, options)
  options = options or {}
  local indent, gap = options.indent or "", options.gap or 3
  local room = (options.width or math.huge) - M.width(indent)
  local head, align = {}, {}
  for j, column in ipairs(columns) do
    head[j] = type(column) == "table" and column.title or column
    align[j] = type(column) == "table" and column.align or (j == 1 and "left" or "right")
  end
  local cells, width = measure(head, rows)
  shrink(columns, width, gap, room)
  local lines = {}
  for at, block in ipairs(blocks_of(width, gap, room, options.keys or 1)) do
    local function add(row)
      local parts, height = {}, 1
      for k, j in ipairs(block) do
        parts[k] = M.width(row[j]) <= width[j] and { row[j] } or lines_of(M.wrap(row[j], width[j]))
        height = math.max(height, #parts[k])
      end
      for line = 1, height do
        local padded = {}
        for k, j in ipairs(block) do padded[k] = M.pad(parts[k][line] or "", width[j], align[j]) end
        lines[#lines + 1] = indent .. concat(padded, rep(" ", gap)):gsub("%s+$", "")
      end
    end
    if at > 1 then lines[#lines + 1] = "" end
    add(head)
    local rule = {}
    for j = 1, #head do rule[j] = rep("─", width[j]) end
    add(rule)
    for _, row in ipairs(cells) do add(row) end
  end
  return concat(lines, "\n")
end

--- Rows without a head, such as names and what they mean: aligned, the last column wrapped to the width with its
--- later lines below its first. Where hardly any room is left for it, it stands below the others.
--- Example:
---     print(text.columns({ { "alpha", "1", "weight of the term" }, { "epochs", "30", "" } }, { width = 60 }))
---@param rows string[][]
---@param options? { gap?: integer, width?: integer }
---@return string
function M.columns(rows, options)
  local gap, room = options and options.gap or 2, options and options.width or 100
  local count = 0
  for _, row in ipairs(rows) do count = math.max(count, #row) end
  local head = {}
  for j = 1, count do head[j] = "" end
  local cells, width = measure(head, rows)
  local before = 0
  for j = 1, count - 1 do before = before + width[j] + gap end
  local below = room - before < ROOM and before + width[count] > room
  local lines = {}
  for _, row in ipairs(cells) do
    local parts = {}
    for j = 1, count - 1 do parts[j] = M.pad(row[j], width[j]) end
    local line = concat(parts, rep(" ", gap))
    if below then
      lines[#lines + 1] = line:gsub("%s+$", "")
      if row[count] ~= "" then lines[#lines + 1] = "      " .. M.wrap(row[count], room - 6):gsub("\n", "\n      ") end
    else
      lines[#lines + 1] = (line .. rep(" ", count > 1 and gap or 0)
        .. M.wrap(row[count], room - before):gsub("\n", "\n" .. rep(" ", before))):gsub("%s+$", "")
    end
  end
  return concat(lines, "\n")
end

return M
