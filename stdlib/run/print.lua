--- What a run or a study prints of itself.
local param = require "param"
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

---@return string
function M.ledger(base)
  local lines = {}
  if #base.unstated > 0 then
    lines[#lines + 1] = "unstated in the paper, we chose"
    for _, line in ipairs(base.unstated) do lines[#lines + 1] = "  · " .. text.wrap(line, 96, "    ") end
  end
  return concat(lines, "\n")
end

---@return string
function M.heading(value, extra)
  local lines = { value.title .. (extra and "  (" .. extra .. ")" or "") }
  if value.about then lines[#lines + 1] = text.wrap(value.about, 100) end
  return concat(lines, "\n")
end

---@return string
function M.parameters(base, values, skip)
  local rows = {}
  for _, name in ipairs(base:names()) do
    if not (skip and skip[name]) then
      rows[#rows + 1] = { "  " .. name, param.show(values[name]), base.params[name].doc or "" }
    end
  end
  local width, value_width = 0, 0
  for _, row in ipairs(rows) do
    width, value_width = math.max(width, text.width(row[1])), math.max(value_width, text.width(row[2]))
  end
  local lines = { "parameters" }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = (text.pad(row[1], width) .. "  " .. text.pad(row[2], value_width) .. "  " .. row[3])
      :gsub("%s+$", "")
  end
  return concat(lines, "\n")
end

---@return string
function M.metrics_table(metrics)
  local names, rows = {}, {}
  for name in pairs(metrics) do names[#names + 1] = name end
  sort(names)
  for i, name in ipairs(names) do
    local interval = metrics[name]
    rows[i] = { interval.unit and format("%s (%s)", name, interval.unit) or name, tostring(interval),
                interval.low ~= interval.high and interval:range() or "" }
  end
  return text.table({ "metric", "value", "95 %" }, rows)
end

return M
