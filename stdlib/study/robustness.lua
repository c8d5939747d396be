--- What the runs of a study say together about robustness: for each model the accuracies over the seeds and the worst
--- verdict that any seed's card has for each check; between models the differences, with the paired bootstrap.
---@package
local checks = require "robustness.checks"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local PAIRED <const> = 6     -- so many models are compared each with each, more with the first only
local WORK <const> = 5000000 -- items that a bootstrap draws, about

local shown <const> = { "clean", "robust", "worst_case" }
local compared <const> = { "robust", "worst_case" }
local titles <const> = { clean = "clean %", robust = "paper protocol %", worst_case = "credible %" }

-- A probe's metric among those of a run, in which a second probe's have its name before them.
local function metric_of(point, probe, name) return point.metrics[probe .. "." .. name] or point.metrics[name] end

-- The points of a group that have a record of this probe.
local function measured(group, probe)
  local list = {}
  for _, point in ipairs(group.points) do
    if point.metrics and point.robustness and point.robustness[probe] then list[#list + 1] = point end
  end
  return list
end

local function spread(points, probe, name)
  local values = {}
  for _, point in ipairs(points) do
    local interval = metric_of(point, probe, name)
    values[#values + 1] = interval and interval.value
  end
  if #values == 0 then return nil end
  local mean, sd = stats.mean(values), #values > 1 and stats.sd(values) or nil
  return { value = mean, low = mean - (sd or 0), high = mean + (sd or 0), sd = sd, seeds = #values, unit = "%" }
end

-- Each check's worst verdict over the seeds, and how many seeds have it.
local function verdicts(points, probe)
  local found = {}
  for _, point in ipairs(points) do
    local card = point.robustness[probe].card
    for _, line in ipairs(card and card.lines or {}) do
      local here = found[line.check] or {}
      found[line.check] = here
      here[#here + 1] = line.verdict
    end
  end
  if next(found) == nil then return nil end
  local list = {}
  for _, row in ipairs(checks.list) do
    local here = found[row.key]
    if here then
      local worst, seeds = checks.worst(here), 0
      for _, verdict in ipairs(here) do seeds = seeds + (verdict == worst and 1 or 0) end
      list[#list + 1] = { check = row.key, verdict = worst, seeds = seeds, of = #here }
    end
  end
  return list
end

local function row_of(group, probe)
  local points = measured(group, probe)
  if #points == 0 then return nil end
  local row = { model = group.label, seeds = #points, checks = verdicts(points, probe) }
  for _, name in ipairs(shown) do row[name] = spread(points, probe, name) end
  if row.checks then
    local all = {}
    for i, check in ipairs(row.checks) do all[i] = check.verdict end
    row.verdict = checks.worst(all)
  end
  return row
end

-- A metric of two groups, of the seeds that both have.
local function difference(first, second, probe, name, seed)
  local a, b, n = {}, {}, 0
  for _, point in ipairs(measured(first, probe)) do
    for _, other in ipairs(measured(second, probe)) do
      local x, y = metric_of(point, probe, name), metric_of(other, probe, name)
      if x and y and (not seed or point.values[seed] == other.values[seed]) then
        a[#a + 1], b[#b + 1] = x, y
        n = n + (x.items and #x.items or 1)
      end
    end
  end
  if #a == 0 then return nil end
  local draws = math.max(200, math.min(1000, WORK // n))
  local d = stats.compare(a, b, { method = "bootstrap", seed = 1, draws = draws })
  return { value = d.value, low = d.low, high = d.high, unit = "%", over = d.over, seeds = #a,
           resolvable = d.resolvable, resolved = d.low > 0 or d.high < 0 }
end

local function pairs_of(groups, probe, seed)
  local list = {}
  for j = 2, #groups do
    for i = 1, #groups <= PAIRED and j - 1 or 1 do
      local one = { first = groups[j].label, second = groups[i].label }
      for _, name in ipairs(compared) do one[name] = difference(groups[j], groups[i], probe, name, seed) end
      if one.robust or one.worst_case then list[#list + 1] = one end
    end
  end
  return list
end

---@class StudyRobustness
---@field probe string
---@field threat string
---@field rows table[]    # model, seeds, clean, robust, worst_case, verdict, checks = { { check, verdict, seeds, of } }
---@field pairs table[]   # first, second, and robust and worst_case: first minus second

--- One for each probe of robustness. A group's points have metrics, and `robustness` as results.json has it.
---@param groups { label: string, points: table[] }[]
---@param seed? string  # the parameter that is one
---@return StudyRobustness[]
function M.evaluate(groups, seed)
  local probes, list = {}, {}
  for _, group in ipairs(groups) do
    for _, point in ipairs(group.points) do
      for name, record in pairs(point.metrics and point.robustness or {}) do probes[name] = record.threat end
    end
  end
  for _, probe in ipairs(spec.names(probes)) do
    local here, rows = {}, {}
    for _, group in ipairs(groups) do
      local row = row_of(group, probe)
      if row then here[#here + 1], rows[#rows + 1] = group, row end
    end
    list[#list + 1] = { probe = probe, threat = probes[probe], rows = rows, pairs = pairs_of(here, probe, seed) }
  end
  return list
end

-- ---- words ----

--- A row's checks that did not pass: `steps WARN (2 of 5 seeds), scale FAIL`.
---@param row table
---@return string
function M.doubts(row)
  local parts = {}
  for _, check in ipairs(row.checks or {}) do
    if check.verdict == "WARN" or check.verdict == "FAIL" then
      parts[#parts + 1] = format("%s %s%s", check.check, check.verdict,
        check.of > 1 and format(" (%d of %d seeds)", check.seeds, check.of) or "")
    end
  end
  return concat(parts, ", ")
end

local function signed(d)
  if not d then return "–" end
  local decimals = stats.new { value = d.value, low = d.low, high = d.high }:decimals()
  local number = "%+." .. decimals .. "f"
  return format(number .. " [" .. number .. ", " .. number .. "]%s", d.value, d.low, d.high,
                d.resolved and "" or " not resolved")
end

--- Tables of what M.evaluate gives.
---@param this StudyRobustness
---@param width? integer
---@return string
function M.text(this, width)
  local columns, rows, used = { "model", "seeds" }, {}, {}
  for _, name in ipairs(shown) do
    for _, row in ipairs(this.rows) do used[name] = used[name] or row[name] ~= nil end
    if used[name] then columns[#columns + 1] = titles[name] end
  end
  columns[#columns + 1] = { title = "card", align = "left" }
  columns[#columns + 1] = { title = "checks that did not pass", align = "left", wrap = true }
  for i, row in ipairs(this.rows) do
    local cells = { row.model, row.seeds }
    for _, name in ipairs(shown) do
      if used[name] then cells[#cells + 1] = row[name] and tostring(stats.new { value = row[name].value,
        low = row[name].low, high = row[name].high }) or "–" end
    end
    cells[#cells + 1], cells[#cells + 2] = row.verdict or "–", M.doubts(row)
    rows[i] = cells
  end
  local lines = { text.wrap("robustness  " .. this.threat, width, "  "),
                  text.table(columns, rows, { width = width }),
                  "± is the standard deviation over the seeds; the card's verdict is the worst of any check and seed" }
  if #this.pairs > 0 then
    local cells = {}
    for i, one in ipairs(this.pairs) do
      cells[i] = { format("%s − %s", one.first, one.second), signed(one.robust) }
      if used.worst_case then cells[i][3] = signed(one.worst_case) end
    end
    lines[#lines + 1] = ""
    lines[#lines + 1] = text.table({ "difference, points", { title = "paper protocol", align = "left" },
      used.worst_case and { title = "credible", align = "left" } or nil }, cells, { width = width })
    lines[#lines + 1] = "95 % intervals of the paired bootstrap over seeds and images"
  end
  return concat(lines, "\n")
end

return M
