--- A plan's text over several lines: what is in brackets is indented where it does not fit on one.
local M = {}

local rep, concat = string.rep, table.concat

local closing = { ["{"] = "}", ["("] = ")", ["["] = "]" }

-- The place after a quoted text that begins at `i`.
local function after_quoted(s, i)
  local quote = s:sub(i, i)
  i = i + 1
  while i <= #s and s:sub(i, i) ~= quote do i = i + (s:sub(i, i) == "\\" and 2 or 1) end
  return i + 1
end

-- The parts of s between separators outside all brackets and quotes; nil when brackets do not match.
local function split(s, separator)
  local parts, from, i, open = {}, 1, 1, {}
  while i <= #s do
    local c = s:sub(i, i)
    if c == '"' or c == "'" then
      i = after_quoted(s, i)
    else
      if closing[c] then
        open[#open + 1] = closing[c]
      elseif c == "}" or c == ")" or c == "]" then
        if open[#open] ~= c then return nil end
        open[#open] = nil
      elseif #open == 0 and s:sub(i, i + #separator - 1) == separator then
        parts[#parts + 1] = s:sub(from, i - 1)
        from = i + #separator
        i = from - 1
      end
      i = i + 1
    end
  end
  if #open > 0 then return nil end
  parts[#parts + 1] = s:sub(from)
  return parts
end

local lay

-- name{ a = 1, b = 2 } with a line for each element, or nil when s is no bracket with something before it.
local function bracketed(s, indent, width, depth)
  local before, inner, after = s:match("^([^{(\"']*{)%s*(.*)%s*(})$")
  if not before then
    before, inner, after = s:match("^([^{(\"']*%()%s*(.*)%s*(%))$")
  end
  local parts = before and inner ~= "" and split(inner, ",")
  if not parts then return nil end
  local lines = { before }
  for _, part in ipairs(parts) do
    part = part:match("^%s*(.-)%s*$")
    if part ~= "" then
      lines[#lines + 1] = rep(" ", indent + 2) .. lay(part, indent + 2, width, depth + 1) .. ","
    end
  end
  lines[#lines + 1] = rep(" ", indent) .. after
  return concat(lines, "\n")
end

function lay(s, indent, width, depth)
  if #s + indent <= width or depth > 30 then return s end
  local key, value = s:match("^([%a_][%w_]* = )(.*)$")
  if key then
    return key .. lay(value, indent, width - #key, depth + 1)
  end
  for _, operator in ipairs { " | ", " >> ", " + " } do
    local terms = split(s, operator)
    if terms and #terms > 1 then
      for i, term in ipairs(terms) do terms[i] = lay(term, indent + 2, width, depth + 1) end
      return concat(terms, "\n" .. rep(" ", indent + 2) .. operator:sub(2))
    end
  end
  return bracketed(s, indent, width, depth) or s
end

--- The text laid out to a width; one that is laid out already stays as it is.
---
--- Example:
---     print(require "report.layout".text("{ loss = loss.cross_entropy(), seed = 1 }", 24))
---@param s string
---@param width? integer
---@return string
function M.text(s, width)
  s = s:match("^%s*(.-)%s*$")
  if s:find("\n", 1, true) then return s end
  return lay(s, 0, width or 76, 1)
end

return M
