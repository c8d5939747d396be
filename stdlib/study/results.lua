--- What the runs of a study say together: tables over a grid parameter, charts, verdicts on claims. Points of an
--- expansion carry the `metrics` of their runs; those without are left out.
---@package
local param = require "param"
local robustness = require "study.robustness"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

-- ---- the runs that have certain values ----

-- Are two values of a parameter the same? Only lists are shown for it: a large study asks this millions of times.
local function same(a, b)
  if type(a) == "table" and type(b) == "table" then return param.show(a) == param.show(b) end
  return a == b
end

-- Has the point these values?
local function fits(point, where)
  for key, value in pairs(where) do
    if point.values[key] == nil or not same(point.values[key], value) then return false end
  end
  return true
end

-- The points with these values, ordered by seed. Points need `metrics` to count.
local function select_points(expansion, where)
  local out = {}
  for _, point in ipairs(expansion.points) do
    if point.metrics and fits(point, where) then out[#out + 1] = point end
  end
  if expansion.seed then
    sort(out, function(a, b) return a.values[expansion.seed] < b.values[expansion.seed] end)
  end
  return out
end

-- The metric of the points, one Interval per seed; nil with a reason when other parameters vary too, or none has it.
local function metric_of(expansion, points, metric)
  local intervals, seeds = {}, {}
  for _, point in ipairs(points) do
    local key = expansion.seed and point.values[expansion.seed] or 0
    if seeds[key] then return nil, "other parameters vary too" end
    seeds[key] = true
    local interval = point.metrics[metric]
    if not interval then return nil, format('there is no metric "%s"%s', metric,
      spec.suggest(metric, spec.names(point.metrics))) end
    intervals[#intervals + 1] = interval
  end
  if #intervals == 0 then return nil, "not run" end
  return intervals
end

-- What the paper says about a metric by the values of an axis, from the study's columns.
local function paper_values(study, metric)
  for _, shown in ipairs(study.show) do
    for _, column in ipairs(shown.columns or {}) do
      if column.metric == metric and next(column.paper) ~= nil then return column.paper end
    end
  end
  return {}
end

local function unit_title(title, unit)
  return unit and unit ~= "" and format("%s (%s)", title, unit) or title
end

-- ---- tables and charts ----

-- The values of a parameter that some run with the values of `where` has.
local function values_with(expansion, axis, where)
  local out = {}
  for _, value in ipairs(expansion.values[axis] or {}) do
    for _, point in ipairs(expansion.points) do
      if same(point.values[axis], value) and fits(point, where) then
        out[#out + 1] = value
        break
      end
    end
  end
  return out
end

--- One shown table: { columns, rows } for text.table, and the same as plain data.
local function make_table(shown, expansion)
  local columns, rows, data = { shown.axis }, {}, {}
  for _, column in ipairs(shown.columns) do
    local unit
    for _, point in ipairs(expansion.points) do
      local interval = point.metrics and point.metrics[column.metric]
      unit = unit or interval and interval.unit
    end
    columns[#columns + 1] = unit_title(column.title or column.metric, unit)
    if next(column.paper) ~= nil then columns[#columns + 1] = "paper" end
  end
  for i, value in ipairs(values_with(expansion, shown.axis, shown.where)) do
    local name, where = param.show(value), { [shown.axis] = value }
    for key, kept in pairs(shown.where) do where[key] = kept end
    local points = select_points(expansion, where)
    local row, record = { name }, { [shown.axis] = name }
    for _, column in ipairs(shown.columns) do
      local intervals, why = metric_of(expansion, points, column.metric)
      local cell = intervals and stats.combine(intervals)
      row[#row + 1] = cell and tostring(cell) or (why == "not run" and "–" or why)
      record[column.metric] = cell and { value = cell.value, low = cell.low, high = cell.high, unit = cell.unit,
                                         seeds = #intervals }
      if next(column.paper) ~= nil then
        local paper = column.paper[value]
        row[#row + 1] = paper and format("%.2f", paper) or "–"
        if record[column.metric] then record[column.metric].paper = paper end
      end
    end
    rows[i], data[i] = row, record
  end
  return { by = shown.axis, title = shown.title, columns = columns, rows = rows, data = data }
end

-- What a chart shows of the runs with these values: the mean over seeds, the seeds when there are several; false when
-- there is no such run, nil and why when there is more than one for a seed.
local function cell_of(shown, expansion, where, metric)
  local all = {}
  for _, list in ipairs { shown.where, where } do
    for key, value in pairs(list) do all[key] = value end
  end
  local intervals, why = metric_of(expansion, select_points(expansion, all), metric)
  if not intervals then
    if why == "not run" then return false end
    return nil, why
  end
  return stats.combine(intervals), intervals
end

-- bars, points and lines: a metric over one grid parameter, in one series or one for each value of another.
local function chart_over_axis(study, shown, expansion)
  local values_of = shown.series and values_with(expansion, shown.series, shown.where) or { false }
  local options = { note = "with 95 % intervals", series = {}, categories = {} }
  local paper, marks, unit = paper_values(study, shown.y), {}, nil
  for s, own in ipairs(values_of) do
    local series = { name = shown.series and param.show(own) or shown.kind == "lines" and shown.y or "ours",
                     values = {}, dots = {}, points = {} }
    for i, value in ipairs(values_with(expansion, shown.x, shown.where)) do
      local where = { [shown.x] = value }
      if shown.series then where[shown.series] = own end
      local mean, seeds = cell_of(shown, expansion, where, shown.y)
      if mean == nil then return nil, seeds end
      options.categories[i] = param.show(value)
      series.values[i], series.dots[i] = mean, mean and #seeds > 1 and seeds or {}
      marks[i] = paper[value] or false
      if mean then
        unit = unit or mean.unit or ""
        if type(value) == "number" then series.points[#series.points + 1] = { value, mean } end
      end
    end
    if shown.kind == "lines" then series.values, series.dots = nil, nil else series.points = nil end
    options.series[s] = series
  end
  if not unit then return nil, "no run has the metric" end
  options.y = { label = unit_title(shown.label or shown.y, unit), log = shown.log }
  if shown.kind == "lines" then
    options.categories, options.x = nil, { label = shown.x }
  elseif next(paper) ~= nil and not shown.series then
    options.marker = { name = "the paper", values = marks }
  end
  return options
end

-- curves: metrics whose names differ in a number, over that number, a line for each value of a grid parameter.
local function curves(_, shown, expansion)
  local before, after = shown.y:match "^([^*]*)%*([^*]*)$"
  if not before then return nil, format('"%s" has no star', shown.y) end
  local places, seen = {}, {}
  for _, point in ipairs(expansion.points) do
    for name in pairs(point.metrics or {}) do
      local place = #name > #before + #after and name:sub(1, #before) == before
        and name:sub(#name - #after + 1) == after and tonumber(name:sub(#before + 1, #name - #after))
      if place and not seen[place] then seen[place], places[#places + 1] = name, place end
    end
  end
  sort(places)
  if #places == 0 then return nil, "no run has the metric" end
  local options, unit = { note = "with 95 % intervals", series = {}, x = { label = shown.along } }, nil
  for _, own in ipairs(shown.series and values_with(expansion, shown.series, shown.where) or { false }) do
    local series = { name = shown.series and param.show(own) or "ours", points = {} }
    for _, place in ipairs(places) do
      local mean, why = cell_of(shown, expansion, shown.series and { [shown.series] = own } or {}, seen[place])
      if mean == nil then return nil, why end
      if mean then series.points[#series.points + 1], unit = { place, mean }, unit or mean.unit or "" end
    end
    if #series.points > 0 then options.series[#options.series + 1] = series end
  end
  options.y = { label = unit_title(shown.label or shown.y, unit), log = shown.log }
  return options
end

local function heatmap(_, shown, expansion)
  local options = { values = {}, rows = {}, columns = {}, x = { label = shown.x }, y = { label = shown.y } }
  local unit
  for i, down in ipairs(expansion.values[shown.y] or {}) do
    options.values[i], options.rows[i] = {}, param.show(down)
    for j, across in ipairs(expansion.values[shown.x] or {}) do
      local mean, why = cell_of(shown, expansion, { [shown.y] = down, [shown.x] = across }, shown.value)
      if mean == nil then return nil, why end
      options.values[i][j], options.columns[j] = mean and mean.value or false, param.show(across)
      if mean then unit = unit or mean.unit or "" end
    end
  end
  if not unit then return nil, "no run has the metric" end
  options.value = { label = unit_title(shown.label or shown.value, unit) }
  return options
end

local function scatter(_, shown, expansion)
  local options, units, any = { series = {} }, {}, false
  for s, value in ipairs(values_with(expansion, shown.by, shown.where)) do
    local series = { name = param.show(value), x = {}, y = {} }
    local where = { [shown.by] = value }
    for key, kept in pairs(shown.where) do where[key] = kept end
    for _, point in ipairs(select_points(expansion, where)) do
      local x, y = point.metrics[shown.x], point.metrics[shown.y]
      if x and y then
        any, units.x, units.y = true, x.unit, y.unit
        series.x[#series.x + 1], series.y[#series.y + 1] = x.value, y.value
      end
    end
    options.series[s] = series
  end
  if not any then return nil, "no run has both metrics" end
  options.note = "each run a point"
  options.x = { label = unit_title(shown.x, units.x) }
  options.y = { label = unit_title(shown.label or shown.y, units.y), log = shown.log }
  return options
end

--- What plot.lua needs for a chart, or nil and why not.
local function make_chart(study, shown, expansion)
  local make = { heatmap = heatmap, scatter = scatter, curves = curves }
  local options, why = (make[shown.kind] or chart_over_axis)(study, shown, expansion)
  if not options then return nil, why end
  options.title = shown.title
  if shown.note then options.note = (options.note and options.note .. "; " or "") .. shown.note end
  return options
end

-- ---- verdicts ----

local function signed(x, decimals)
  return (format("%+." .. decimals .. "f", x):gsub("^%-(0%.?0*)$", "+%1"))
end

-- A single number whose spread is unknown. A count has none.
local function is_bare(interval)
  return interval.low == interval.high and (interval.n or 1) <= 1 and interval.method ~= "count"
end

--- The verdict on a claim. The difference is the left side minus the right one, so a claim with ">" holds when its
--- whole interval is above zero, fails when the whole interval is below, and is not resolved otherwise.
local function judge(study, claim, expansion)
  local verdict = { title = claim.title, metric = claim.metric, left = claim.left, right = claim.right,
                    direction = claim.direction, axis = claim.axis }
  local function none(why)
    verdict.verdict, verdict.why = "no verdict", why
    return verdict
  end
  local sides = {}
  for place, value in ipairs { claim.left, claim.right } do
    local where = { [claim.axis] = value }
    for key, kept in pairs(claim.where) do where[key] = kept end
    local points = select_points(expansion, where)
    local intervals, why = metric_of(expansion, points, claim.metric)
    if not intervals then return none(format("%s %s", param.show(value), why == "not run" and "was not run" or why)) end
    sides[place] = { intervals = intervals, points = points }
  end
  -- Only seeds both sides have can be paired.
  local pairs_of = { {}, {} }
  for i, point in ipairs(sides[1].points) do
    for j, other in ipairs(sides[2].points) do
      local seed = expansion.seed
      if not seed or point.values[seed] == other.values[seed] then
        table.insert(pairs_of[1], sides[1].intervals[i])
        table.insert(pairs_of[2], sides[2].intervals[j])
      end
    end
  end
  if #pairs_of[1] == 0 then return none("no seed was run on both sides") end
  if #pairs_of[1] == 1 and is_bare(pairs_of[1][1]) and is_bare(pairs_of[2][1]) then
    return none(format("one seed, and %s has no interval: more seeds would give it one", claim.metric))
  end
  local difference = stats.compare(pairs_of[1], pairs_of[2])
  verdict.difference = { value = difference.value, low = difference.low, high = difference.high,
                         level = difference.level, unit = difference.unit, p = difference.p }
  verdict.over, verdict.seeds, verdict.resolvable = difference.over, difference.seeds, difference.resolvable
  local paper = paper_values(study, claim.metric)
  if paper[claim.left] and paper[claim.right] then verdict.paper = paper[claim.left] - paper[claim.right] end
  local sensible = study.sensible
  if sensible then
    local where = {}
    for key, value in pairs(sensible) do
      if key ~= "metric" and key ~= "min" then where[key] = value end
    end
    local intervals = metric_of(expansion, select_points(expansion, where), sensible.metric)
    local reached = intervals and stats.combine(intervals).value
    if not reached or reached < sensible.min then
      local names = {}
      for _, key in ipairs(spec.names(where)) do names[#names + 1] = param.show(where[key]) end
      return none(reached and format("%s of %s is %.4g, under %g: too little was learned", sensible.metric,
        concat(names, ", "), reached, sensible.min) or format("%s was not run", concat(names, ", ")))
    end
  end
  local low, high = difference.low, difference.high
  if claim.direction == "<" then low, high = -high, -low end
  verdict.verdict = low > 0 and "holds" or high < 0 and "fails" or "not resolved"
  return verdict
end

-- ---- a sweep's table ----

-- Metrics that say how much was computed: they stand last, and training time is no result.
local effort = { images = 1, seconds = 2 }

-- The metrics that the points have, in order, with their units.
local function metrics_of(points)
  local units, names = {}, {}
  for _, point in ipairs(points) do
    for name, interval in pairs(point.metrics or {}) do
      -- One with a slash is a point of a curve: there are many of them.
      if units[name] == nil and not name:find "/" then names[#names + 1] = name end
      units[name] = interval.unit or units[name] or false
    end
  end
  sort(names, function(a, b)
    local x, y = effort[a] or 0, effort[b] or 0
    if x ~= y then return x < y end
    return a < b
  end)
  return names, units
end

-- The combinations of the axes' values in the order of the grid, without the seeds.
local function combinations(expansion)
  local list, seen = {}, {}
  for _, point in ipairs(expansion.points) do
    local shown = {}
    for _, axis in ipairs(expansion.axes) do
      if axis ~= expansion.seed then shown[#shown + 1] = param.show(point.values[axis]) end
    end
    local key = concat(shown, "\0")
    if not seen[key] then
      seen[key] = { shown = shown, points = {} }
      list[#list + 1] = seen[key]
    end
    table.insert(seen[key].points, point)
  end
  return list
end

-- Mean and standard deviation of a metric over the points that have it; one value is just itself.
local function spread_of(points, metric)
  local values = {}
  for _, point in ipairs(points) do
    local interval = point.metrics and point.metrics[metric]
    if interval then values[#values + 1] = interval.value end
  end
  if #values == 0 then return nil, 0 end
  local mean, sd = values[1], 0
  for _, value in ipairs(values) do
    if value ~= mean then
      mean, sd = stats.mean(values), stats.sd(values)
      break
    end
  end
  return stats.new { value = mean, low = mean - sd, high = mean + sd, n = #values }, #values, sd
end

--- See study.spread.
function M.spread(expansion, wanted)
  local names, units = metrics_of(expansion.points)
  local notes = {}
  if wanted then
    local kept = {}
    for _, name in ipairs(wanted) do
      if units[name] ~= nil then kept[#kept + 1] = name
      else notes[#notes + 1] = format('there is no metric "%s"%s', name, spec.suggest(name, names)) end
    end
    names = #kept > 0 and kept or names
  end
  local columns, rows, data, axes = {}, {}, {}, {}
  for _, axis in ipairs(expansion.axes) do
    if axis ~= expansion.seed then axes[#axes + 1] = axis end
  end
  for i, axis in ipairs(axes) do columns[i] = { title = axis, align = "left" } end
  local many = expansion.seed and #expansion.values[expansion.seed] > 1
  if many or #axes == 0 then columns[#columns + 1] = expansion.seed and "seeds" or "runs" end
  local keys, by = #columns, #axes > 0 and concat(axes, ", ") or columns[1]
  for _, name in ipairs(names) do columns[#columns + 1] = unit_title(name, units[name] or nil) end
  for i, row in ipairs(combinations(expansion)) do
    local cells, record, most = row.shown, {}, 0
    record[by] = #axes > 0 and concat(row.shown, ", ") or param.show(#row.points)
    if keys > #axes then cells[keys] = "" end
    for _, name in ipairs(names) do
      local spread, n, sd = spread_of(row.points, name)
      cells[#cells + 1], most = spread and tostring(spread) or "–", math.max(most, n)
      record[name] = spread and { value = spread.value, low = spread.low, high = spread.high, sd = n > 1 and sd or nil,
                                  unit = units[name] or nil, seeds = n, spread = "standard deviation" } or nil
    end
    if keys > #axes then cells[keys] = most end
    rows[i], data[i] = cells, record
  end
  if many then notes[#notes + 1] = "± is the standard deviation over the seeds" end
  return { by = by, columns = columns, rows = rows, keys = keys, data = data, metrics = names,
           note = #notes > 0 and concat(notes, "\n") or nil }
end

-- ---- all of it ----

-- What tells a combination from the others in a line of words: "ADV, mix 0.25". Numbers stand there with their names,
-- and unless they are what the recipe has anyway.
local function label_of(study, expansion, group)
  local parts, usual = {}, {}
  for i, axis in ipairs(expansion.axes) do
    local value, shown = group.points[1].values[axis], group.shown[i]
    if axis ~= expansion.seed then
      local list = same(value, study.recipe.params[axis].default) and usual or parts
      if type(value) == "string" then parts[#parts + 1] = shown else list[#list + 1] = axis .. " " .. shown end
    end
  end
  local words = #parts > 0 and parts or usual
  return #words > 0 and concat(words, ", ") or study.recipe.name
end

--- See Study:evaluate.
function M.evaluate(study, expansion, wanted)
  local out = { tables = {}, charts = {}, claims = {} }
  local groups = combinations(expansion)
  for _, group in ipairs(groups) do group.label = label_of(study, expansion, group) end
  out.robustness = robustness.evaluate(groups, expansion.seed)
  if #study.show == 0 then out.tables[1] = M.spread(expansion, wanted) end
  for _, shown in ipairs(study.show) do
    if not shown.kind then
      out.tables[#out.tables + 1] = make_table(shown, expansion)
    else
      local options, why = make_chart(study, shown, expansion)
      local kind = shown.kind == "curves" and "lines" or shown.kind
      out.charts[#out.charts + 1] = { kind = kind, name = shown.name, options = options, why = why }
    end
  end
  for i, claim in ipairs(study.claims) do out.claims[i] = judge(study, claim, expansion) end
  return out
end

local over_text = {
  items = "over the test items, one seed: another training may differ by more",
  ["seeds and items"] = "over seeds and test items",
  seeds = "over seeds",
  intervals = "from the two intervals, unpaired",
}

--- See study.claims_text.
function M.claims_text(claims, width, table_width)
  local rows, notes, reasons, compared = {}, {}, {}, false
  for i, claim in ipairs(claims) do
    local d = claim.difference
    local shown, least, paper = "", "", nil
    if d then
      local interval = stats.new { value = d.value, low = d.low, high = d.high }
      local decimals = interval:decimals()
      shown = format("%s [%s, %s]", signed(d.value, decimals), signed(d.low, decimals), signed(d.high, decimals))
      least = format("%." .. decimals .. "f", claim.resolvable)
      if claim.paper then paper, compared = signed(claim.paper, 2), true end
      notes[over_text[claim.over]] = true
    end
    if claim.why then reasons["no verdict: " .. claim.why] = true end
    rows[i] = { claim.title, claim.verdict, unit_title(claim.metric, d and d.unit), shown, least, paper }
  end
  local columns = { { title = "claim", wrap = true }, { title = "verdict", align = "left" },
                    { title = "difference in", align = "left" }, "with 95 % interval", "resolves" }
  if compared then columns[#columns + 1] = "paper" end
  local lines = { text.table(columns, rows, { width = table_width }) }
  local function add(line) lines[#lines + 1] = text.wrap(line, width, "  ") end
  for _, reason in ipairs(spec.names(reasons)) do add(reason) end
  for _, note in ipairs(spec.names(notes)) do add("intervals " .. note) end
  add "resolves: the smallest true difference that would be told from zero four times in five"
  return concat(lines, "\n")
end

return M
