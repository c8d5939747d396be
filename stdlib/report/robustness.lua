--- The robustness part of a report: accuracies under attack, the report card, models against each other. Everything
--- comes from files and may have any shape.
---@package
local checks = require "robustness.checks"
local html = require "report.html"
local parts = require "report.parts"
local read = require "report.read"
local show = require "robustness.show"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

local tag = html.tag
local format = string.format

local INTRODUCTION <const> = "An accuracy under attack says what one attack did not manage. The checks look for the "
  .. "signs of a model on which attacks fail without its being robust (gradient masking)."

-- ---- shapes ----

local function as_list(value) return type(value) == "table" and value or {} end
local function as_text(value) return type(value) == "string" and value or "" end

local known <const> = { PASS = "pass", WARN = "warn", FAIL = "fail", ["not applicable"] = "none" }

-- The lines of a card that can be read.
local function lines_of(record)
  local list = {}
  for _, line in ipairs(as_list(as_list(record.card).lines)) do
    if type(line) == "table" and known[line.verdict] and type(line.check) == "string" then list[#list + 1] = line end
  end
  return list
end

-- ---- parts ----

local signs <const> = { PASS = "✓ PASS", WARN = "! WARN", FAIL = "✗ FAIL", ["not applicable"] = "– not applicable" }

local function badge(verdict, after)
  return tag.span { class = "badge " .. known[verdict], signs[verdict], after or "" }
end

local function protocols_table(record, label)
  local rows = {}
  for _, row in ipairs(as_list(record.protocols)) do
    if type(row) == "table" then
      rows[#rows + 1] = { as_text(row.protocol), parts.number(read.interval(row.accuracy)),
                          math.type(row.images) == "integer" and text.count(row.images) or "–", as_text(row.attack) }
    end
  end
  if #rows == 0 then return nil end
  return parts.table { caption = { tag.b { "Threat model: " }, as_text(record.threat), ". With 95 % intervals." },
    name = "Accuracy under attack, " .. label, rows = rows, columns = { { title = "protocol" },
      { title = "accuracy", unit = "%" }, { title = "images" }, { title = "attack", class = "left wrap" } } }
end

local function card_table(record, label)
  local lines, rows = lines_of(record), {}
  if #lines == 0 then return nil end
  for i, line in ipairs(lines) do
    rows[i] = { as_text(line.title), badge(line.verdict), show.figure(line), as_text(line.threshold),
                { tag.span { class = "made-of", as_text(line.note) }, tag.br {}, as_text(line.why) } }
  end
  local card = record.card
  return parts.table { caption = { tag.b { "Report card: " .. checks.summary(lines) .. "." },
      math.type(card.images) == "integer" and format(" On the first %s.", text.plural(card.images, "image")) or "" },
    name = "Report card, " .. label, class = "card", rows = rows, columns = { { title = "check", class = "left wrap" },
      { title = "verdict", class = "left" }, { title = "figure" }, { title = "PASS / WARN up to" },
      { title = "made of; what a failure means", class = "left wrap" } } }
end

-- How the accuracy falls over eps.
local function curve_table(record, label)
  local rows = {}
  for _, point in ipairs(as_list(as_list(record.card).curve)) do
    local accuracy = type(point) == "table" and read.interval(point.accuracy)
    if accuracy and type(point.eps) == "number" then
      rows[#rows + 1] = { text.number(point.eps), parts.number(accuracy), parts.bar(accuracy.value) }
    end
  end
  if #rows == 0 then return nil end
  return parts.table { caption = "Accuracy as eps grows, on the images of the card.", rows = rows,
    name = "Accuracy over eps, " .. label, columns = { { title = "eps" }, { title = "accuracy", unit = "%" },
      { title = "share", class = "left" } } }
end

--- What a run's probes say of robustness; nil without any. `heading` makes the heading of a probe.
---@param run ReportRun
---@param heading? fun(content: table): any
---@return any node
function M.of_run(run, heading)
  local out, names = {}, spec.names(run.robustness)
  for _, name in ipairs(names) do
    local record, label = run.robustness[name], name .. ", " .. run.label
    local content = { protocols_table(record, label), card_table(record, label), curve_table(record, label) }
    if next(content) then
      out[#out + 1] = { heading and heading { #names > 1 and "Robustness: " .. name or "Robustness" }, content }
    end
  end
  return #out > 0 and out or nil
end

-- ---- a study ----

local function spread(fields)
  local value = read.interval(fields)
  return parts.number(value and stats.new { value = value.value, low = value.low, high = value.high })
end

local function models_table(this)
  local rows = {}
  for _, row in ipairs(as_list(this.rows)) do
    if type(row) == "table" then
      rows[#rows + 1] = { parts.shown(row.model or "?"), spread(row.clean), spread(row.robust), spread(row.worst_case),
                          known[row.verdict] and badge(row.verdict) or "–" }
    end
  end
  if #rows == 0 then return nil end
  return parts.table { caption = { tag.b { "Threat model: " }, as_text(this.threat),
      ". Mean ± standard deviation over the seeds; the verdict is the worst of any check and seed." },
    name = "Robustness of the models", rows = rows, columns = { { title = "model" }, { title = "clean", unit = "%" },
      { title = "paper protocol", unit = "%" }, { title = "credible: worst case", unit = "%" },
      { title = "report card", class = "left" } } }
end

-- Checks down, models across.
local function checks_table(this)
  local columns, models = { { title = "check", class = "left wrap" } }, {}
  for _, row in ipairs(as_list(this.rows)) do
    local found = {}
    for _, check in ipairs(as_list(type(row) == "table" and row.checks)) do
      if type(check) == "table" and type(check.check) == "string" and known[check.verdict] then
        found[check.check] = check
      end
    end
    if next(found) then
      models[#models + 1] = found
      columns[#columns + 1] = { title = parts.shown(row.model or "?"), class = "left" }
    end
  end
  if #models == 0 then return nil end
  local rows, meanings = {}, {}
  for _, check in ipairs(checks.list) do
    local cells, any = { check.title }, false
    for _, found in ipairs(models) do
      local here = found[check.key]
      any = any or here ~= nil
      local few = here and math.type(here.seeds) == "integer" and math.type(here.of) == "integer"
        and here.seeds < here.of
      local shown = here and here.verdict ~= "not applicable"
      cells[#cells + 1] = shown and badge(here.verdict, few and format(" %d of %d", here.seeds, here.of)) or "–"
    end
    if any then rows[#rows + 1], meanings[#meanings + 1] = cells, { check.title, check.why } end
  end
  local caption = { tag.b { "Report cards." }, " The worst verdict of any seed; “1 of 3” is in so many of the seeds; "
    .. "“–” is not applicable." }
  return { parts.table { caption = caption, name = "Report cards of the models", class = "card", columns = columns,
                         rows = rows }, parts.details("What a failure means", nil, parts.facts(meanings)) }
end

local function difference(fields)
  local d = read.interval(fields)
  if not d then return "–" end
  local decimals = d:decimals()
  local range = format(" [%s, %s]", parts.signed(d.low, decimals), parts.signed(d.high, decimals))
  return { tag.b { parts.signed(d.value, decimals) }, tag.span { class = "error", range },
           fields.resolved == true and "" or " not resolved" }
end

local function pairs_table(this)
  local rows = {}
  for _, one in ipairs(as_list(this.pairs)) do
    if type(one) == "table" then
      rows[#rows + 1] = { format("%s − %s", parts.shown(one.first or "?"), parts.shown(one.second or "?")),
                          difference(one.robust), difference(one.worst_case) }
    end
  end
  if #rows == 0 then return nil end
  return parts.table { caption = "Differences between models in points, with 95 % intervals of the paired bootstrap "
      .. "over seeds and images.", name = "Differences in robustness", rows = rows,
    columns = { { title = "models" }, { title = "paper protocol", class = "left" },
                { title = "credible: worst case", class = "left" } } }
end

--- The section; nil where nothing was attacked.
---@param this ReportSubject
---@return table? section
function M.section(this)
  local content = {}
  for _, study in ipairs(this.studies) do
    for _, one in ipairs(study.robustness) do
      content[#content + 1] = { models_table(one), checks_table(one), pairs_table(one) }
    end
  end
  if #this.studies == 0 then
    for _, run in ipairs(this.runs) do
      local of_run = M.of_run(run)
      if of_run then content[#content + 1] = { #this.runs > 1 and tag.h3 { run.label } or "", of_run } end
    end
  end
  if #content == 0 then return nil end
  return { id = "robustness", title = "Robustness, and whether to believe it",
           tag.p { class = "note", INTRODUCTION }, content }
end

return M
