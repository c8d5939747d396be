--- What a run or a study prints of itself.
local host = require "host"
local param = require "param"
local progress = require "progress"
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

--- The columns that what is printed may take: the terminal's, at most 120; 100 where there is none.
---@return integer
function M.width()
  return host.terminal(1) and math.min(120, progress.width()) or 100
end

--- What the paper left open, and what we chose; nil when nothing is noted.
---@return string?
function M.ledger(base, width)
  if #base.unstated == 0 then return nil end
  local rows = {}
  for i, line in ipairs(base.unstated) do rows[i] = { "  ·", line } end
  return "unstated in the paper, we chose\n" .. text.columns(rows, { gap = 1, width = width })
end

local function parameters(base, values, skip, width)
  local rows = {}
  for _, name in ipairs(base:names()) do
    if not (skip and skip[name]) then
      rows[#rows + 1] = { "  " .. name, param.show(values[name]), base.params[name].doc or "" }
    end
  end
  return #rows > 0 and "parameters\n" .. text.columns(rows, { width = width }) or nil
end

--- The columns that a table may take: the terminal's; any number where there is none.
---@return integer?
function M.table_width()
  return host.terminal(1) and progress.width() or nil
end

--- What is about to be run: title and words about it, its parameters, what the paper left open.
---@param base Recipe
---@param values table                   # of the parameters
---@param options? { heading?: Study, extra?: string, skip?: table<string, boolean>, width?: integer }
---@return string
function M.about(base, values, options)
  options = options or {}
  local head, width = options.heading or base, options.width or M.width()
  local lines = { text.wrap(head.title .. (options.extra and "  (" .. options.extra .. ")" or ""), width) }
  if head.about then lines[#lines + 1] = text.wrap(head.about, width) end
  lines[#lines + 1] = parameters(base, values, options.skip, width)
  lines[#lines + 1] = M.ledger(base, width)
  return concat(lines, "\n")
end

--- The names of metrics that a list shows, sorted. One with a slash is a point of a curve (ds/brightness/1): there are
--- many of them, and charts and columns ask for them by name.
---@param metrics table<string, any>
---@return string[]
function M.metric_names(metrics)
  local names = {}
  for name in pairs(metrics) do
    if not name:find "/" then names[#names + 1] = name end
  end
  sort(names)
  return names
end

---@return string
function M.metrics_table(metrics)
  local rows = {}
  for i, name in ipairs(M.metric_names(metrics)) do
    local interval = metrics[name]
    rows[i] = { interval.unit and format("%s (%s)", name, interval.unit) or name, tostring(interval),
                interval.low ~= interval.high and interval:range() or "" }
  end
  return text.table({ "metric", "value", "95 %" }, rows, { width = M.table_width() })
end

return M
