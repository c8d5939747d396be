--- What differs between two texts, line by line.
local M = {}

local MOST <const> = 4000000 -- cells of the table below: two texts of 2,000 lines that have nothing in common

local function split(text)
  local lines = {}
  if text == "" then return lines end
  for line in (text:sub(-1) == "\n" and text or text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

-- length[i][j]: the longest common subsequence of a[i..] and b[j..].
local function lengths(a, b, from, to_a, to_b)
  local length = {}
  for i = to_a + 1, from, -1 do
    length[i] = {}
    for j = to_b + 1, from, -1 do
      if i > to_a or j > to_b then
        length[i][j] = 0
      elseif a[i] == b[j] then
        length[i][j] = length[i + 1][j + 1] + 1
      else
        length[i][j] = math.max(length[i + 1][j], length[i][j + 1])
      end
    end
  end
  return length
end

-- { " " | "-" | "+", line, its number in a, its number in b }
local function edits(a, b)
  local list, from, tail = {}, 1, 0
  while from <= #a and from <= #b and a[from] == b[from] do from = from + 1 end
  while tail < #a - from + 1 and tail < #b - from + 1 and a[#a - tail] == b[#b - tail] do tail = tail + 1 end
  local to_a, to_b = #a - tail, #b - tail
  local i, j = 1, 1
  local function add(sign)
    list[#list + 1] = { sign, sign == "+" and b[j] or a[i], i, j }
    if sign ~= "+" then i = i + 1 end
    if sign ~= "-" then j = j + 1 end
  end
  while i < from do add " " end
  local length = (to_a - from + 2) * (to_b - from + 2) <= MOST and lengths(a, b, from, to_a, to_b)
  while i <= to_a or j <= to_b do
    if length and i <= to_a and j <= to_b and a[i] == b[j] then
      add " "
    elseif i <= to_a and (not length or j > to_b or length[i + 1][j] >= length[i][j + 1]) then
      add "-"
    else
      add "+"
    end
  end
  while i <= #a do add " " end
  return list
end

--- The lines in which two texts differ as a short unified diff, with `context` lines (2) around each place; "" when
--- they are the same.
---
--- Example:
---     print(require "run.line_diff".text("a\nb\nc\n", "a\nB\nc\n", 0))
---@param a string
---@param b string
---@param context? integer
---@return string
function M.text(a, b, context)
  if a == b then return "" end
  context = context or 2
  local list = edits(split(a), split(b))
  local shown = {}
  for k, edit in ipairs(list) do
    if edit[1] ~= " " then
      for near = math.max(1, k - context), math.min(#list, k + context) do shown[near] = true end
    end
  end
  local lines = {}
  for k, edit in ipairs(list) do
    if shown[k] then
      if not shown[k - 1] then lines[#lines + 1] = ("@@ line %d, line %d @@"):format(edit[3], edit[4]) end
      lines[#lines + 1] = edit[1] .. edit[2]
    end
  end
  return table.concat(lines, "\n")
end

return M
