--- The parts that a report's sections are made of: numbers, tables in a box of their own, facts, small drawings.
---@package
local html = require "report.html"
local stats = require "stats"
local text = require "text"

local M = {}

local tag = html.tag
local format = string.format

-- ---- numbers ----

local function minus(s) return (s:gsub("%-", "−")) end

--- An Interval as it is read: the value, its error or bounds in a softer tone. `unit` adds the unit.
---@param interval Interval?
---@param unit? boolean
---@return any node
function M.number(interval, unit)
  if not interval then return "–" end
  local value = interval.value
  if value ~= value then return "not finite" end
  if value == math.huge or value == -math.huge then return "infinite" end
  local whole = interval.low == interval.high and not interval.unit and math.tointeger(value)
  local shown = whole and text.count(whole) or tostring(interval)
  local main, rest = shown:match("^(%S+)(.*)$")
  return { minus(main), rest ~= "" and tag.span { class = "error", minus(rest) },
           unit and interval.unit and tag.span { class = "unit", " " .. interval.unit } }
end

--- A difference with its sign.
---@param x number
---@param decimals integer
---@return string
function M.signed(x, decimals)
  return minus((format("%+." .. decimals .. "f", x):gsub("^[+-](0%.?0*)$", "%1")))
end

--- Decimals for a value and its bounds.
---@return integer
function M.decimals(fields)
  return stats.new { value = fields.value, low = fields.low, high = fields.high }:decimals()
end

--- A value from a file as text, shortened when it is very long.
---@param value any
---@return string
function M.shown(value)
  local function show(element, depth)
    if type(element) ~= "table" then
      if math.type(element) == "float" then return text.number(element, 12) end
      return tostring(element)
    end
    if depth > 8 then return "…" end
    local parts = {}
    for i, inner in ipairs(element) do parts[i] = show(inner, depth + 1) end
    if #parts == 0 then
      for key, inner in pairs(element) do parts[#parts + 1] = tostring(key) .. " " .. show(inner, depth + 1) end
      table.sort(parts)
    end
    return table.concat(parts, ",")
  end
  local s = show(value, 1)
  return #s > 2000 and s:sub(1, 2000) .. "…" or s
end

-- ---- tables and lists ----

---@class ReportColumn
---@field title any
---@field class? string   # "left", "wrap", "from-paper", ...
---@field unit? string

--- A table in a box that scrolls for itself. The first cell of a row is its heading.
---@param options { caption: any, name: string, columns: ReportColumn[], rows: any[][], class?: string }
---@return any node
function M.table(options)
  local head = {}
  for j, column in ipairs(options.columns) do
    head[j] = tag.th { scope = "col", class = column.class or (j == 1 and "left") or false, column.title,
                       column.unit and tag.span { class = "unit", " (" .. column.unit .. ")" } }
  end
  local body = {}
  for i, row in ipairs(options.rows) do
    local cells = {}
    for j, column in ipairs(options.columns) do
      local cell = row[j]
      if j == 1 then
        cells[j] = tag.th { scope = "row", class = column.class or "left", cell == nil and "" or cell }
      else
        cells[j] = tag.td { class = column.class or false, style = row.style and row.style[j] or false,
                            cell == nil and "" or cell }
      end
    end
    body[i] = tag.tr(cells)
  end
  -- The caption stands before the box, not in the table, where it would scroll out of sight.
  return { options.caption and tag.p { class = "caption", options.caption },
    tag.div { class = "scroll", role = "region", tabindex = 0, ["aria-label"] = options.name,
      tag.table { class = options.class or false, ["aria-label"] = options.name, tag.thead { tag.tr(head) },
                  tag.tbody(body) } } }
end

--- Names and values beside each other: { { "processor", "..." }, ... }; entries without a value are left out.
---@param entries table[]
---@return any node
function M.facts(entries)
  local out = {}
  for _, entry in ipairs(entries) do
    if entry[2] and entry[2] ~= "" then
      out[#out + 1] = { tag.dt { entry[1] }, tag.dd { entry[2] } }
    end
  end
  return tag.dl { class = "facts", out }
end

--- A section that is opened by a click, and is open on paper.
---@param summary any
---@param aside? string
---@param content any
---@return any node
function M.details(summary, aside, content)
  return tag.details { tag.summary { summary, aside and tag.span { class = "aside", "  " .. aside } },
                       tag.div { class = "inside", content } }
end

-- ---- small drawings ----

--- A difference with its interval over zero: the grey band is what could not have been told from zero, the diamond the
--- paper's difference.
---@param claim table  # difference, resolvable?, paper?
---@return any node
function M.forest(claim)
  local d = claim.difference
  local reach = math.max(math.abs(d.low), math.abs(d.high), math.abs(claim.paper or 0), math.abs(d.value))
  if not (reach > 0 and reach < math.huge) then return nil end
  reach = reach * 1.12
  local function x(value) return 150 + 144 * value / reach end
  local band = claim.resolvable and math.min(claim.resolvable, reach)
  local marks = {}
  if band then
    marks[1] = tag.rect { class = "band", x = x(-band), y = 5, width = x(band) - x(-band), height = 26 }
  end
  marks[#marks + 1] = tag.line { class = "axis", x1 = 150, x2 = 150, y1 = 2, y2 = 34 }
  marks[#marks + 1] = tag.line { class = "range", x1 = x(d.low), x2 = x(d.high), y1 = 18, y2 = 18 }
  for _, bound in ipairs { d.low, d.high } do
    marks[#marks + 1] = tag.line { class = "range", x1 = x(bound), x2 = x(bound), y1 = 13, y2 = 23 }
  end
  marks[#marks + 1] = tag.circle { class = "dot", cx = x(d.value), cy = 18, r = 4.5 }
  if claim.paper then
    local at = x(claim.paper)
    marks[#marks + 1] = tag.polygon { class = "paper-mark",
      points = format("%.1f,11 %.1f,18 %.1f,25 %.1f,18", at, at + 6, at, at - 6) }
  end
  local decimals = M.decimals(d)
  local label = format("difference %s, interval from %s to %s%s", M.signed(d.value, decimals),
    M.signed(d.low, decimals), M.signed(d.high, decimals),
    claim.paper and "; the paper's " .. M.signed(claim.paper, 2) or "")
  return tag.svg { viewBox = "0 0 300 36", role = "img", ["aria-label"] = label, marks }
end

--- The values of the seeds on one line, from `low` to `high`.
---@param values number[]
---@param low number
---@param high number
---@return any node
function M.strip(values, low, high)
  local span = high > low and high - low or 1
  local function x(value) return high > low and 8 + 128 * (value - low) / span or 72 end
  local marks, sum = { tag.line { class = "axis", x1 = 4, x2 = 140, y1 = 10, y2 = 10 } }, 0
  for _, value in ipairs(values) do
    marks[#marks + 1] = tag.circle { class = "ring", cx = x(value), cy = 10, r = 4 }
    sum = sum + value
  end
  local mean = x(sum / #values)
  marks[#marks + 1] = tag.line { class = "range", x1 = mean, x2 = mean, y1 = 3, y2 = 17 }
  return tag.svg { class = "strip", viewBox = "0 0 144 20", role = "img",
    ["aria-label"] = format("%d seeds from %s to %s", #values, text.number(math.min(table.unpack(values))),
      text.number(math.max(table.unpack(values)))), marks }
end

--- A share of 100 as a bar.
---@param percent number
---@return any node
function M.bar(percent)
  local width = math.max(0, math.min(100, percent))
  return tag.svg { class = "bar", viewBox = "0 0 100 10", preserveAspectRatio = "none", ["aria-hidden"] = "true",
                   tag.rect { x = 0, y = 0, width = width, height = 10 } }
end

return M
