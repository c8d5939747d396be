--- What was asked, each run by itself, and what is needed to repeat it.
local file = require "file"
local html = require "report.html"
local layout = require "report.layout"
local parts = require "report.parts"
local print_of = require "run.print"
local read = require "report.read"
local robustness = require "report.robustness"
local spec = require "spec"
local subject = require "report.subject"
local text = require "text"
local words = require "report.words"

local M = {}

local tag = html.tag
local format, concat, sort = string.format, table.concat, table.sort

-- ---- what was asked ----

-- Parameters that all runs share, with their defaults and docs.
local function shared_parameters(this)
  local varies = {}
  for _, axis in ipairs(this.axes) do varies[axis] = true end
  local first = this.runs[1]
  local rows, defaults = {}, false
  for _, one in ipairs(first and subject.parameters(first) or {}) do
    if not varies[one.name] then
      local changed = one.default ~= nil and not subject.same(one.value, one.default)
      defaults = defaults or one.default ~= nil
      local value = parts.shown(one.value)
      rows[#rows + 1] = { tag.code { one.name }, changed and tag.span { class = "differs", value } or value,
                          one.default ~= nil and parts.shown(one.default) or "–", one.doc or "" }
    end
  end
  if #rows == 0 then return nil end
  local caption = #this.runs > 1 and "Parameters that all runs share" or "Parameters"
  return parts.table {
    caption = caption .. (defaults and "; what differs from its default is bold." or "."), name = caption,
    columns = { { title = "parameter" }, { title = "value" }, { title = "default" },
                { title = "meaning", class = "left wrap" } },
    rows = rows }
end

local function varied(this)
  if #this.axes == 0 then return nil end
  local rows, docs = {}, {}
  for _, run in ipairs(this.runs) do
    for _, one in ipairs(subject.parameters(run)) do docs[one.name] = docs[one.name] or one.doc end
  end
  for i, axis in ipairs(this.axes) do
    local values, seen = {}, {}
    for _, run in ipairs(this.runs) do
      local shown = run.values[axis] == nil and "–" or parts.shown(run.values[axis])
      if not seen[shown] then
        seen[shown] = true
        values[#values + 1] = shown
      end
    end
    rows[i] = { tag.code { axis }, concat(values, " | "), docs[axis] or (axis == this.seed and "repetitions" or "") }
  end
  return parts.table { caption = "What differs between the runs.", name = "What differs between the runs",
    columns = { { title = "parameter" }, { title = "values", class = "left wrap" },
                { title = "meaning", class = "left wrap" } }, rows = rows }
end

-- A reference with an address becomes a link; nothing else does.
local function cited(words_of)
  local before, address, after = words_of:match("^(.-)(https?://[%w%-%._~/%%?=&#:]+)(.*)$")
  if not address then return words_of end
  return { before, tag.a { href = address, rel = "noreferrer noopener", address }, after }
end

local function list_of(items, of)
  local out = {}
  for i, item in ipairs(items) do out[i] = tag.li { of and of(item) or item } end
  return tag.ul(out)
end

--- What was asked: the recipe's words, its parameters, what the paper left open, the plan.
---@param this ReportSubject
---@return table section
function M.asked(this)
  local content = {}
  for _, recipe in ipairs(this.recipes) do
    if #this.recipes > 1 or this.title ~= recipe.title then content[#content + 1] = tag.h3 { recipe.title } end
    if recipe.about and recipe.about ~= this.about then content[#content + 1] = tag.p { recipe.about } end
  end
  content[#content + 1] = varied(this) or nil
  content[#content + 1] = shared_parameters(this) or nil
  for _, recipe in ipairs(this.recipes) do
    if #recipe.unstated > 0 then
      content[#content + 1] = tag.h3 { "Unstated in the paper, we chose",
        #this.recipes > 1 and " (" .. recipe.title .. ")" }
      content[#content + 1] = list_of(recipe.unstated)
    end
  end
  if #this.runs == 1 and this.runs[1].plan then
    content[#content + 1] = tag.h3 { "The plan" }
    content[#content + 1] = tag.pre { tabindex = 0, tag.code { layout.text(this.runs[1].plan) } }
  end
  local cites, seen = {}, {}
  for _, recipe in ipairs(this.recipes) do
    for _, cite in ipairs(recipe.cites) do
      if not seen[cite] then cites[#cites + 1] = cite end
      seen[cite] = true
    end
  end
  if #cites > 0 then
    content[#content + 1] = tag.h3 { "References" }
    content[#content + 1] = list_of(cites, cited)
  end
  if #content == 0 then
    content[1] = tag.p { "The folder does not say what was asked: about.json and plan.txt are missing." }
  end
  return { id = "asked", title = "What was asked", content }
end

-- ---- the runs ----

local function metrics_table(run)
  local names, rows = words.order(print_of.metric_names(run.metrics)), {}
  if #names == 0 then return nil end
  for i, name in ipairs(names) do
    local interval = run.metrics[name]
    rows[i] = { words.title(name), parts.number(interval), interval.unit or "",
                interval.low ~= interval.high and interval:range():gsub("%-", "−") or "",
                interval.n and text.count(math.tointeger(interval.n) or 0) or "" }
  end
  return parts.table { caption = "Figures.", name = "Figures of " .. run.label, columns = { { title = "metric" },
    { title = "value" }, { title = "unit", class = "left" }, { title = "95 % interval" }, { title = "observations" } },
    rows = rows }
end

local function integer(x) return type(x) == "number" and math.tointeger(x) or nil end

-- Per class, where a probe's rows are classes.
local function classes_table(run, name, rows_of)
  local rows = {}
  for _, row in ipairs(rows_of) do
    local share = type(row) == "table" and type(row.accuracy) == "table" and type(row.accuracy.value) == "number"
      and row.accuracy.value
    if not (share and row.class and integer(row.count)) then return nil end
    rows[#rows + 1] = { parts.shown(row.name or row.class), text.count(row.count), format("%.1f", share),
                        parts.bar(share), type(row.mistaken_for) == "string" and row.mistaken_for or "" }
  end
  if #rows == 0 then return nil end
  local shown = #rows
  if shown > 40 then
    sort(rows, function(a, b) return tonumber(a[3]) < tonumber(b[3]) end)
    for i = 41, #rows do rows[i] = nil end
  end
  return parts.table { caption = shown > 40 and format("The 40 worst of %d classes.", shown) or "Class by class.",
    name = format("%s class by class, %s", name, run.label), columns = { { title = "class" }, { title = "images" },
      { title = "accuracy", unit = "%" }, { title = "share", class = "left" },
      { title = "most taken for", class = "left" } },
    rows = rows }
end

local LARGEST_MATRIX = 20

-- { names =, counts = } with a row for each label: shares of the row as a tint, so that rare classes are seen too.
local function confusion_table(run, name, confusion)
  local counts = type(confusion) == "table" and type(confusion.counts) == "table" and confusion.counts
  if not counts or #counts == 0 or #counts > LARGEST_MATRIX then return nil end
  local names = type(confusion.names) == "table" and confusion.names or {}
  local columns, rows = { { title = "is \\ taken for" } }, {}
  for i = 1, #counts do columns[i + 1] = { title = parts.shown(names[i] or i) } end
  for i, row in ipairs(counts) do
    if type(row) ~= "table" then return nil end
    local sum, cells, style = 0, { parts.shown(names[i] or i) }, {}
    for j = 1, #counts do sum = sum + (integer(row[j]) or 0) end
    for j = 1, #counts do
      local n = integer(row[j]) or 0
      cells[j + 1] = n > 0 and tostring(n) or tag.span { class = "unit", "·" }
      local share = sum > 0 and math.max(0, math.min(1, n / sum)) or 0
      if n > 0 then
        style[j + 1] = format("background: color-mix(in srgb, var(--%s) %d%%, transparent)", i == j and "good" or "bad",
          math.floor(6 + 39 * share + 0.5))
      end
    end
    cells.style = style
    rows[i] = cells
  end
  return parts.table { caption = "What is taken for what: images of the class of a row, by the class they were given.",
    name = format("Confusion of %s, %s", name, run.label), class = "confusion", columns = columns, rows = rows }
end

-- Any other rows: what is text or a count tells them apart, what is an Interval was measured.
local function rows_table(run, name, rows_of)
  local kinds, names, rows = {}, {}, {}
  for _, row in ipairs(rows_of) do
    if type(row) ~= "table" then return nil end
    for key, value in pairs(row) do
      local kind = type(value) == "table" and (read.interval(value) and 2 or 3) or 1
      if type(key) ~= "string" or kind == 3 or kinds[key] and kinds[key] ~= kind then return nil end
      if not kinds[key] then names[#names + 1] = key end
      kinds[key] = kind
    end
  end
  if #rows_of == 0 or #rows_of > 200 or #names == 0 or #names > 16 then return nil end
  local function text_first(key) return type(rows_of[1][key]) == "string" and 1 or 2 end
  sort(names, function(a, b)
    if kinds[a] ~= kinds[b] then return kinds[a] < kinds[b] end
    if kinds[a] == 1 and text_first(a) ~= text_first(b) then return text_first(a) < text_first(b) end
    return a < b
  end)
  local columns = {}
  for j, key in ipairs(names) do
    local unit
    for _, row in ipairs(rows_of) do unit = unit or kinds[key] == 2 and row[key] and read.interval(row[key]).unit end
    columns[j] = { title = words.title(key), unit = unit }
  end
  for i, row in ipairs(rows_of) do
    rows[i] = {}
    for j, key in ipairs(names) do
      rows[i][j] = kinds[key] == 2 and parts.number(row[key] and read.interval(row[key]))
        or row[key] ~= nil and parts.shown(row[key]) or "–"
    end
  end
  return parts.table { caption = "With 95 % intervals.", name = format("Rows of %s, %s", name, run.label),
    columns = columns, rows = rows }
end

-- heading makes the heading of a probe.
local function probes(run, heading)
  local out = {}
  for _, name in ipairs(spec.names(run.probes)) do
    local per_class = classes_table(run, name, run.probes[name])
    local matrix = confusion_table(run, name, run.confusion[name])
    local other = not per_class and rows_table(run, name, run.probes[name])
    if per_class or matrix or other then
      out[#out + 1] = { heading { "Probe " .. name }, per_class, matrix, other }
      run.tables[name] = nil
    end
  end
  for _, name in ipairs(spec.names(run.tables)) do
    if run.tables[name]:find("%S") then
      out[#out + 1] = { heading { "Probe " .. name },
        tag.pre { tabindex = 0, ["aria-label"] = "Table of probe " .. name, run.tables[name] } }
    end
  end
  return out
end

local function shell_word(word)
  word = word:gsub("%c", "?")
  if word:find("^[%w@%%+=:,./_-]+$") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- What names the recipe or study on the command line: its file, the word for one inside the program, or, where only
-- the copy in a folder of ours is known, its name.
local function file_of(one, folder, copy)
  local path = one.path or folder .. "/" .. copy
  if select(2, file.split(path)) == copy and one.name then return shell_word(one.name) end
  return shell_word(path:match("^%(built%-in%)/(.+)%.lua$") or path)
end

-- The words that make a run again: what differs from the recipe's defaults, or everything where those are not known.
local function run_command(run)
  local list = { "penumbra", "run", file_of(run.about, run.folder, "recipe.lua") }
  local core = run.environment.blas_core
  if type(core) == "string" then table.insert(list, 1, "OPENBLAS_CORETYPE=" .. shell_word(core)) end
  for _, one in ipairs(subject.parameters(run)) do
    if one.default == nil or not subject.same(one.value, one.default) then
      list[#list + 1] = shell_word(one.name .. "=" .. parts.shown(one.value))
    end
  end
  return concat(list, " ")
end

-- A sweep's study was written for it: its grid is asked for again, with what all its runs share.
local function sweep_command(this, study)
  local list, seen = { "penumbra", "sweep", file_of(study.about.recipe or {}, study.folder, "recipe.lua") }, {}
  local first = study.runs[1]
  for _, axis in ipairs(this.axes) do
    local values, known = {}, {}
    for _, run in ipairs(study.runs) do
      local shown = run.values[axis] ~= nil and parts.shown(run.values[axis])
      if shown and not known[shown] then
        known[shown] = true
        values[#values + 1] = shown
      end
    end
    seen[axis] = true
    list[#list + 1] = shell_word(axis .. "=" .. concat(values, ","))
  end
  for _, one in ipairs(first and subject.parameters(first) or {}) do
    if not seen[one.name] and (one.default == nil or not subject.same(one.value, one.default)) then
      list[#list + 1] = shell_word(one.name .. "=" .. parts.shown(one.value))
    end
  end
  return concat(list, " ")
end

local function study_command(this, study)
  if study.swept then return sweep_command(this, study) end
  local list, scaled = { "penumbra", "run", file_of(study.about, study.folder, "study.lua") }, false
  local core = study.environment.blas_core
  if type(core) == "string" then table.insert(list, 1, "OPENBLAS_CORETYPE=" .. shell_word(core)) end
  for _, setting in ipairs(study.about.settings or {}) do
    list[#list + 1] = shell_word(setting)
    scaled = scaled or setting:find("^scale=") ~= nil
  end
  if study.scale and not scaled then list[#list + 1] = shell_word("scale=" .. study.scale) end
  return concat(list, " ")
end

local function files_list(owner)
  if #owner.files == 0 then return nil end
  local rows = {}
  for i, entry in ipairs(owner.files) do rows[i] = { tag.code { entry.name }, text.bytes(entry.bytes) } end
  return parts.table { caption = tag.span { "Files in ", tag.code { owner.folder } }, name = "Files in " .. owner.name,
    columns = { { title = "file" }, { title = "size" } }, rows = rows }
end

-- The run whose weights a run began with, with a link where the page is beside that run's folder.
local function start_fact(run, linked)
  local start = run.start
  if not start then return nil end
  return { linked and start.page and tag.a { href = start.page, start.run } or tag.code { start.run },
           start.sha256 and { ", weights ", tag.code { start.sha256:sub(1, 12) } } }
end

local function training_facts(run, linked)
  local t, timing = run.training, run.timing
  local best = type(t.best) == "table" and t.best or {}
  local seconds = type(timing.seconds) == "number" and timing.seconds
  local waited = type(timing.waited) == "number" and seconds and seconds > 0 and timing.waited
  return {
    { "training", integer(t.steps) and format("%s steps, %s images%s", text.count(t.steps),
      text.count(integer(t.images) or 0), seconds and ", " .. text.duration(seconds) or "") },
    { "speed", seconds and seconds > 0 and integer(t.images) and format("%s images per second%s",
      text.number(t.images / seconds, 3), waited and format("; waited for data %.1f %% of the time",
      100 * waited / seconds) or "") },
    { "validation", type(t.validation) == "string" and format("on %s%s%s", t.validation,
      t.chosen == "best" and integer(best.epoch) and format("; measured: the weights after epoch %d, the best there",
      best.epoch) or "; measured: the last weights", t.early == true and "; stopped early" or "") },
    { "starts from", start_fact(run, linked) },
    { "plan", run.hash and tag.code { run.hash } },
    { "folder", tag.code { run.folder } },
  }
end

local function one_run(run, linked, alone)
  for name in pairs(run.robustness) do run.probes[name], run.tables[name] = nil, nil end
  local content = { parts.facts(training_facts(run, linked)), metrics_table(run),
                    probes(run, alone and tag.h3 or tag.h4),
                    not alone and robustness.of_run(run, tag.h4) or nil }
  if not alone then
    content[#content + 1] = run.plan and { tag.h4 { "Plan" },
      tag.pre { tabindex = 0, ["aria-label"] = "Plan of " .. run.label, tag.code { layout.text(run.plan) } } }
    content[#content + 1] = { tag.h4 { "Command" }, tag.pre { class = "command", tag.code { run_command(run) } } }
  end
  return content
end

--- Each run by itself: figures, probes' tables, classes, plan, command, files.
---@param this ReportSubject
---@return table? section
function M.runs(this)
  if #this.runs == 0 then return nil end
  if #this.runs == 1 and #this.studies == 0 then
    return { id = "runs", title = "All figures", one_run(this.runs[1], this.linked, true) }
  end
  local out = {}
  for i, run in ipairs(this.runs) do
    out[i] = parts.details(tag.span { run.label }, run.name .. (run.status == "complete" and "" or ", not complete"),
      { tag.h3 { run.label }, one_run(run, this.linked) })
  end
  return { id = "runs", title = "The runs one by one", out }
end

-- ---- repeating it ----

local facts_of_environment = {
  { "version", "penumbra" }, { "cpu", "processor" }, { "level", "instructions" }, { "threads", "threads" },
  { "blas", "matrix library" }, { "blas_core", "OPENBLAS_CORETYPE" }, { "precision", "precision" },
  { "lua", "language" }, { "allocator", "allocator" }, { "system", "system" },
}

local function environment_facts(environment, written)
  local out, known = {}, { written = true }
  for _, entry in ipairs(facts_of_environment) do
    known[entry[1]] = true
    local value = environment[entry[1]]
    if value ~= nil then out[#out + 1] = { entry[2], parts.shown(value) } end
  end
  local rest = {}
  for name in pairs(environment) do
    if type(name) == "string" and not known[name] then rest[#rest + 1] = name end
  end
  sort(rest)
  for _, name in ipairs(rest) do out[#out + 1] = { (name:gsub("_", " ")), parts.shown(environment[name]) } end
  out[#out + 1] = written and { "date", written }
  return parts.facts(out)
end

local function data_table(runs)
  local rows, seen, fields, known = {}, {}, {}, {}
  for _, run in ipairs(runs) do
    for _, name in ipairs(spec.names(run.data)) do
      local set = run.data[name]
      for field in pairs(type(set) == "table" and set or {}) do
        if type(field) == "string" and field ~= "changed" and not known[field] then
          known[field] = true
          fields[#fields + 1] = field
        end
      end
    end
  end
  sort(fields)
  local columns = { { title = "data set" } }
  for _, field in ipairs(fields) do
    columns[#columns + 1] = { title = (field:gsub("_", " ")), class = "left" }
  end
  for _, run in ipairs(runs) do
    for _, name in ipairs(spec.names(run.data)) do
      local cells = { name }
      for _, field in ipairs(fields) do
        local value = type(run.data[name]) == "table" and run.data[name][field]
        local count = field == "bytes" and integer(value)
        local shown = count and text.count(count) or value ~= nil and value ~= false and parts.shown(value) or "–"
        cells[#cells + 1] = field == "sha256" and tag.code { shown } or shown
      end
      local key = concat({ name, html.write(cells) }, "\0")
      if not seen[key] then
        seen[key] = true
        rows[#rows + 1] = cells
      end
    end
  end
  if #rows == 0 then return nil end
  return parts.table { caption = "Data sets that were opened.", name = "Data sets", columns = columns, rows = rows }
end

--- What it takes to make this again: the command, the machine, the data, the files.
---@param this ReportSubject
---@return table? section
function M.repeating(this)
  local commands = {}
  for _, study in ipairs(this.studies) do commands[#commands + 1] = study_command(this, study) end
  if #this.studies == 0 then
    for _, run in ipairs(this.runs) do commands[#commands + 1] = run_command(run) end
  end
  local content = { tag.pre { class = "command", tabindex = 0, ["aria-label"] = "Command that repeats this",
                              tag.code { concat(commands, "\n") } },
    tag.p { class = "note", "The same recipe with the same seed gives the same bits on the same kind of machine, with "
      .. "any number of threads." },
    tag.h3 { "Environment" }, environment_facts(this.environment, this.written) }
  local data = data_table(this.runs)
  if data then content[#content + 1] = { tag.h3 { "Data" }, data } end
  for _, study in ipairs(this.studies) do content[#content + 1] = files_list(study) end
  if #this.studies == 0 and #this.runs == 1 then content[#content + 1] = files_list(this.runs[1]) end
  return { id = "repeat", title = "To repeat it", content }
end

return M
