--- What was found: verdicts, tables, charts, seeds, training, pictures.
local charts = require "report.charts"
local html = require "report.html"
local parts = require "report.parts"
local print_of = require "run.print"
local spec = require "spec"
local stats = require "stats"
local words = require "report.words"

local M = {}

local tag = html.tag
local format, concat = string.format, table.concat

local function number(x) return type(x) == "number" and x == x and math.abs(x) < math.huge and x or nil end

-- ---- claims ----

local order = { "holds", "fails", "not resolved", "no verdict" }
local counted = {
  holds = { "holds", "hold" }, fails = { "fails", "fail" },
  ["not resolved"] = { "is not resolved", "are not resolved" },
  ["no verdict"] = { "has no verdict", "have no verdict" },
}
local signs = { holds = "✓ holds", fails = "✗ fails", ["not resolved"] = "○ not resolved",
                ["no verdict"] = "– no verdict" }

local over = {
  items = "over the test images of one seed", ["seeds and items"] = "over seeds and test images",
  seeds = "over seeds", intervals = "from the two intervals, not paired",
}

local function summary(claims)
  local count, said, only = {}, {}, nil
  for _, claim in ipairs(claims) do
    local verdict = counted[claim.verdict] and claim.verdict or "no verdict"
    count[verdict] = (count[verdict] or 0) + 1
  end
  for _, verdict in ipairs(order) do
    local n = count[verdict]
    if n then
      said[#said + 1] = format("%d %s", n, counted[verdict][n == 1 and 1 or 2])
      only = verdict
    end
  end
  if #claims == 1 then return format("The claim %s.", counted[only][1]) end
  if #said > 1 then
    return format("Of %d claims %s and %s.", #claims, concat(said, ", ", 1, #said - 1), said[#said])
  end
  if only == "holds" or only == "fails" then return format("All %d claims %s.", #claims, counted[only][2]) end
  return format("None of the %d claims %s.", #claims, only == "no verdict" and "has a verdict" or "is resolved")
end

-- The numbers of a claim; nil where the file has none that can be read.
local function figures_of(claim)
  local d = type(claim.difference) == "table" and claim.difference
  if not (d and number(d.value) and number(d.low) and number(d.high)) then return nil end
  return { difference = d, resolvable = number(claim.resolvable), paper = number(claim.paper) }
end

local function one_claim(claim)
  local verdict = counted[claim.verdict] and claim.verdict or "no verdict"
  local left, right = parts.shown(claim.left or "left"), parts.shown(claim.right or "right")
  local known, said, drawn = figures_of(claim), nil, nil
  if known then
    local d = known.difference
    local decimals = parts.decimals(d)
    local unit = type(d.unit) == "string" and " " .. (d.unit == "%" and "points" or d.unit) or ""
    said = { words.title(parts.shown(claim.metric)), ", ", left, " − ", right, ": ",
      tag.b { parts.signed(d.value, decimals), unit },
      format(", 95 %% interval %s to %s", parts.signed(d.low, decimals), parts.signed(d.high, decimals)),
      over[claim.over] and " " .. over[claim.over] or "", ". ",
      known.resolvable and format("Smallest difference that could be told: %." .. decimals .. "f. ", known.resolvable)
        or "",
      known.paper and { "The paper: ", tag.b { parts.signed(known.paper, 2) }, "." } or "" }
    local forest = parts.forest(known)
    drawn = forest and { forest, tag.div { class = "ends", ["aria-hidden"] = "true",
      tag.span { "← ", right, " is higher" }, tag.span { left, " is higher →" } } }
  end
  return tag.li {
    tag.div { tag.span { class = "badge " .. verdict:gsub(" ", "-"), signs[verdict] } },
    tag.div { tag.div { class = "what", claim.title },
      said and tag.p { class = "figures", said },
      not known and type(claim.why) == "string" and tag.p { class = "figures", "No verdict: ", claim.why, "." } },
    tag.div { class = "forest", drawn or "" },
  }
end

local function verdicts(study)
  if #study.claims == 0 then return nil end
  local items, drawn, paper = {}, false, false
  for i, claim in ipairs(study.claims) do
    items[i] = one_claim(claim)
    local known = figures_of(claim)
    drawn, paper = drawn or known ~= nil, paper or known and known.paper ~= nil
  end
  return { tag.p { class = "verdict-line", summary(study.claims) },
    tag.ol { class = "claims", items },
    drawn and tag.p { class = "note", "Dot and whisker: our difference with its 95 % interval. Line: no difference. "
      .. "Grey band: differences this study could not have told from none, four times in five.",
      paper and " Diamond: the paper's difference." or "" } }
end

-- ---- tables ----

local function columns_of(shown)
  local list = {}
  if type(shown.shown.columns) == "table" then
    for _, column in ipairs(shown.shown.columns) do
      if type(column) == "table" and type(column.metric) == "string" then
        list[#list + 1] = { metric = column.metric, title = type(column.title) == "string" and column.title or nil,
                            paper = column.paper == true }
      end
    end
    if #list > 0 then return list end
  end
  local names, seen = {}, {}
  for _, row in ipairs(shown.rows) do
    for name, cell in pairs(type(row) == "table" and row or {}) do
      if type(cell) == "table" and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  for i, name in ipairs(words.order(names)) do list[i] = { metric = name } end
  return list
end

local function study_table(shown)
  local columns, kept, spread, paper = { { title = shown.by } }, columns_of(shown), false, false
  for _, column in ipairs(kept) do
    for _, row in ipairs(shown.rows) do
      local cell = type(row) == "table" and row[column.metric]
      if type(cell) == "table" then
        column.unit = column.unit or type(cell.unit) == "string" and cell.unit or nil
        column.paper = column.paper or number(cell.paper) ~= nil
        spread = spread or cell.spread == "standard deviation"
      end
    end
    paper = paper or column.paper
    columns[#columns + 1] = { title = column.title or words.title(column.metric), unit = column.unit }
    if column.paper then columns[#columns + 1] = { title = "paper", class = "from-paper" } end
  end
  local rows = {}
  for i, row in ipairs(shown.rows) do
    row = type(row) == "table" and row or {}
    local cells = { parts.shown(row[shown.by] == nil and "?" or row[shown.by]) }
    for _, column in ipairs(kept) do
      local cell = type(row[column.metric]) == "table" and row[column.metric] or {}
      cells[#cells + 1] = parts.number(number(cell.value) and stats.new { value = cell.value, low = number(cell.low),
        high = number(cell.high) } or nil)
      if column.paper then cells[#cells + 1] = number(cell.paper) and format("%.2f", cell.paper) or "–" end
    end
    rows[i] = cells
  end
  return parts.table {
    caption = (shown.title and shown.title .. ". " or "") .. (spread and "Mean ± standard deviation over the seeds."
      or paper and "Ours with 95 % intervals, the paper's figures beside them." or "With 95 % intervals."),
    name = shown.title or "Results by " .. shown.by, columns = columns, rows = rows }
end

-- The metrics that any of the runs has.
local function metric_names(runs)
  local names = {}
  for _, run in ipairs(runs) do
    for name in pairs(run.metrics) do names[name] = true end
  end
  return words.order(print_of.metric_names(names))
end

local function glossary(names)
  local entries = {}
  for _, name in ipairs(names) do
    if words.meaning(name) and not words.is_cost(name) then
      entries[#entries + 1] = { words.title(name), words.meaning(name) }
    end
  end
  return #entries > 0 and parts.details("What the figures mean", nil, parts.facts(entries)) or nil
end

-- All runs beside each other: what tells them apart, then what came out.
local function side_by_side(this)
  local names, columns = metric_names(this.runs), { { title = "run" } }
  for _, axis in ipairs(this.axes) do columns[#columns + 1] = { title = axis } end
  for _, name in ipairs(names) do
    local unit
    for _, run in ipairs(this.runs) do unit = unit or run.metrics[name] and run.metrics[name].unit end
    columns[#columns + 1] = { title = words.title(name), unit = unit }
  end
  local rows = {}
  for i, run in ipairs(this.runs) do
    local cells = { run.label }
    for _, axis in ipairs(this.axes) do
      cells[#cells + 1] = run.values[axis] == nil and "–" or parts.shown(run.values[axis])
    end
    for _, name in ipairs(names) do
      cells[#cells + 1] = run.status == "complete" and parts.number(run.metrics[name]) or "–"
    end
    rows[i] = cells
  end
  local caption = #this.axes > 0 and "The runs side by side: the parameters in which they differ, then their figures."
    or "The runs side by side; their parameters are the same."
  return parts.table { caption = caption, name = "The runs side by side", columns = columns, rows = rows }
end

local function key_figures(run)
  local items = {}
  for _, name in ipairs(metric_names { run }) do
    if not words.is_cost(name) and #items < 8 then
      items[#items + 1] = tag.div { tag.dt { words.title(name) }, tag.dd { parts.number(run.metrics[name], true) } }
    end
  end
  return #items > 0 and tag.dl { class = "key", items } or nil
end

local function study_charts(study)
  local out, missing, have = {}, nil, {}
  for _, chart in ipairs(study.charts) do
    local made = charts.of_study(chart)
    local figure, message
    if made then
      made.half = #study.charts > 1
      figure, message = charts.figure(made)
    end
    if figure then
      out[#out + 1] = figure
      have[made.name or ""] = true
    else
      missing = missing or message
    end
  end
  -- What was drawn when the study was made, where it cannot be drawn now.
  for _, picture in ipairs(study.figures) do
    if #out == 0 and picture.kind == "svg" or (missing and not have[picture.name] and picture.kind == "svg") then
      out[#out + 1] = tag.figure { class = "chart", tag.img { src = html.data_address(picture.bytes, "svg"),
        alt = "Chart: " .. picture.name }, tag.figcaption { picture.name } }
      missing = nil
    end
  end
  if #out == 0 and not missing then return nil end
  return { tag.div { class = "pair", out },
           missing and tag.p { class = "note", "Some charts are missing: ", missing, "." } or nil }
end

-- ---- sections ----

--- The section that answers: verdicts, tables and charts of studies; the figures of a run; runs beside each other.
---@param this ReportSubject
---@return table? section
function M.outcome(this)
  local content = {}
  for _, study in ipairs(this.studies) do
    if #this.studies > 1 then content[#content + 1] = tag.h3 { study.title } end
    content[#content + 1] = verdicts(study) or nil
    for _, shown in ipairs(study.tables) do content[#content + 1] = study_table(shown) end
    for _, note in ipairs(study.notes) do content[#content + 1] = tag.p { class = "note", "Note: ", note } end
    content[#content + 1] = study_charts(study) or nil
  end
  if #this.studies == 0 and #this.runs == 1 then
    content[#content + 1] = key_figures(this.runs[1]) or nil
  elseif #this.studies ~= 1 or #this.studies[1].tables == 0 then
    content[#content + 1] = side_by_side(this)
  end
  if #content == 0 then content[1] = tag.p { "There are no figures yet." } end
  content[#content + 1] = glossary(metric_names(this.runs)) or nil
  return { id = "result", title = "What came out", content }
end

--- What the seeds say one by one.
---@param this ReportSubject
---@return table? section
function M.seeds(this)
  local most = 0
  for _, group in ipairs(this.groups) do most = math.max(most, #group.runs) end
  if most < 2 or not this.seed then return nil end
  local seeds = {}
  for _, run in ipairs(this.runs) do seeds[parts.shown(run.values[this.seed])] = run.values[this.seed] end
  local names = spec.names(seeds)
  table.sort(names, function(a, b)
    local x, y = tonumber(a), tonumber(b)
    if x and y then return x < y end
    return a < b
  end)
  local out = {}
  for _, metric in ipairs(metric_names(this.runs)) do
    local low, high = math.huge, -math.huge
    for _, run in ipairs(this.runs) do
      local value = run.metrics[metric] and number(run.metrics[metric].value)
      if value then low, high = math.min(low, value), math.max(high, value) end
    end
    if low <= high and not words.is_cost(metric) then
      local columns = { { title = "runs", class = "left" }, { title = "spread", class = "left" },
                        { title = "mean ± s.d." } }
      for _, seed in ipairs(names) do columns[#columns + 1] = { title = this.seed .. " " .. seed } end
      local rows, unit = {}, nil
      for i, group in ipairs(this.groups) do
        local by_seed, values = {}, {}
        for _, run in ipairs(group.runs) do
          local interval = run.metrics[metric]
          local value = interval and number(interval.value)
          if value then
            unit = unit or interval.unit
            by_seed[parts.shown(run.values[this.seed])] = format("%." .. interval:decimals() .. "f", value)
            values[#values + 1] = value
          end
        end
        local sd = #values > 1 and stats.sd(values)
        local mean = #values > 0 and stats.mean(values)
        local cells = { group.label, #values > 0 and parts.strip(values, low, high) or "–",
          mean and parts.number(stats.new { value = mean, low = mean - (sd or 0), high = mean + (sd or 0) }) or "–" }
        for _, seed in ipairs(names) do cells[#cells + 1] = by_seed[seed] or "–" end
        rows[i] = cells
      end
      local title = words.title(metric) .. (unit and " (" .. unit .. ")" or "")
      out[#out + 1] = parts.table { caption = tag.b { title }, name = title .. " by seed", columns = columns,
                                    rows = rows }
    end
  end
  if #out == 0 then return nil end
  return { id = "seeds", title = "Seed by seed",
    tag.p { class = "note", "Each ring is a seed, the bar their mean; all rows of a table share one scale. "
      .. "The deviation is that of single seeds, not an interval of the mean." }, out }
end

--- The curves of training.
---@param this ReportSubject
---@return table? section
function M.training(this)
  local list, note = charts.training(this.groups)
  local out, missing = {}, nil
  for _, chart in ipairs(list) do
    local figure, message = charts.figure(chart)
    out[#out + 1] = figure
    missing = missing or message
  end
  if #out == 0 and not note and not missing then return nil end
  return { id = "training", title = "Training", note and tag.p { class = "note", note },
           tag.div { class = "pair", out },
           missing and tag.p { class = "note", "Charts are missing: ", missing, "." } }
end

local captions = {
  samples = "What the network sees. First row: images it is trained on. Last row: test images. A row between them "
    .. "shows the first one changed as the loss changes it.",
}

--- The pictures of the runs, each once.
---@param this ReportSubject
---@return table? section
function M.pictures(this)
  local out, seen, count = {}, {}, 0
  local function add(owner, label)
    for _, picture in ipairs(owner.figures) do
      if picture.kind == "png" and not seen[picture.bytes] and count < 24 then
        seen[picture.bytes] = true
        count = count + 1
        local caption = captions[picture.name] or picture.name
        out[#out + 1] = tag.figure { class = "pixels",
          tag.img { src = html.data_address(picture.bytes, "png"), alt = (captions[picture.name]
            and "Rows of images: training, changed, test" or "Picture: " .. picture.name)
            .. (label and ", " .. label or "") },
          tag.figcaption { label and tag.b { label, ". " }, caption } }
      end
    end
  end
  -- Of runs that differ in their seed only, one stands for all.
  for _, group in ipairs(this.groups) do add(group.runs[1], #this.groups > 1 and group.label or nil) end
  for _, study in ipairs(#out == 0 and this.studies or {}) do add(study) end
  if #out == 0 then return nil end
  return { id = "pictures", title = "Images", out }
end

return M
