--- Reads the folder of a run or a study for a report. Nothing in it is trusted or needed: what is missing, damaged or
--- of another shape is left out, and a notice says so.
---@package
local file = require "file"
local folder_of = require "run.folder"
local json = require "json"
local lfs = require "lfs"
local spec = require "spec"
local stats = require "stats"

local M = {}

local format, sort = string.format, table.sort

local LARGEST = 32 << 20 -- bytes of a file of numbers; more is not a run of ours
local LONGEST = 64 << 10 -- bytes of a text that is shown
local LONGEST_ROW = 1 << 20
local MOST_ROWS = 8192   -- of metrics, of a kind, that are kept

---@class ReportRun
---@field folder string
---@field name string               # the folder's last part
---@field label string              # what tells it from others of its study
---@field about table               # as about.json; parts may be missing
---@field status "complete"|"incomplete"
---@field values table<string, any> # parameters
---@field metrics table<string, Interval>
---@field probes table<string, table[]>
---@field tables table<string, string>
---@field robustness table<string, table>  # of a probe, by its name
---@field epochs table[]            # rows of metrics.jsonl by kind
---@field steps table[]
---@field figures { name: string, kind: string, bytes: string }[]
---@field files { name: string, bytes: integer }[]
---@field start? { run: string, sha256?: string, page?: string }  # what it started from
---@field notices string[]          # what the reader must know before trusting a figure

-- ---- shapes ----

-- A value without json.null, which stands for numbers that were not finite and for nothing else we need.
local function without_null(value, depth)
  if value == json.null then return nil end
  if type(value) ~= "table" or (depth or 0) > 64 then return value end
  local out = {}
  for key, element in pairs(value) do out[key] = without_null(element, (depth or 0) + 1) end
  return out
end

local function as_table(value) return type(value) == "table" and value or {} end
local function as_text(value) return type(value) == "string" and value or nil end
local function as_number(value) return type(value) == "number" and value or nil end

--- The Interval of its fields as a file has them; one that was not finite has NaN for a value. nil: no Interval.
---@param fields any
---@return Interval?
function M.interval(fields)
  if type(fields) ~= "table" or as_table(fields.value) == fields.value or as_text(fields.value) then return nil end
  local value = as_number(fields.value)
  if not value and not (fields.level or fields.method) then return nil end
  return stats.new { value = value or 0 / 0, low = as_number(fields.low), high = as_number(fields.high),
                     level = as_number(fields.level), unit = as_text(fields.unit), n = as_number(fields.n),
                     method = as_text(fields.method), seeds = as_number(fields.seeds) }
end

local function intervals(fields)
  local out = {}
  for name, interval in pairs(as_table(fields)) do
    if type(name) == "string" then out[name] = M.interval(interval) end
  end
  return out
end

local function texts(list)
  local out = {}
  for _, text in ipairs(as_table(list)) do out[#out + 1] = as_text(text) end
  return out
end

-- The tables in a table, by name.
local function records(fields)
  local out = {}
  for name, record in pairs(as_table(fields)) do
    if type(name) == "string" and type(record) == "table" then out[name] = record end
  end
  return out
end

-- ---- files ----

-- Links are not followed: a folder from a stranger must not bring files of ours into the page.
local function size_of(path)
  local attributes = lfs.symlinkattributes(path)
  return attributes and attributes.mode == "file" and attributes.size or nil
end

-- A file of JSON, or nil; what is there but damaged is told in the notices.
local function read_json(folder, name, notices)
  local path = folder .. "/" .. name
  local size = size_of(path)
  if not size then return nil end
  if size > LARGEST then
    notices[#notices + 1] = format("%s is too large to be read: %d bytes", name, size)
    return nil
  end
  local value, message = json.read(path)
  if type(value) == "table" then return without_null(value) end
  message = message and message:gsub("^.*" .. name:gsub("%p", "%%%0") .. ":? ?", "") or "a table was expected"
  notices[#notices + 1] = format("%s is damaged: %s", name, message)
end

local function read_text(path)
  local handle = size_of(path) and io.open(path, "rb")
  if not handle then return nil end
  local text = handle:read(LONGEST)
  local more = handle:read(1)
  handle:close()
  return text and (more and text .. "\n…" or text)
end

-- Rows of one kind: all of them, or of very many each second, fourth, ... one.
local function new_sample() return { rows = {}, every = 1, count = 0 } end

-- Is the next row one that is kept?
local function next_kept(sample)
  sample.count = sample.count + 1
  return (sample.count - 1) % sample.every == 0
end

local function keep(sample, row)
  local rows = sample.rows
  rows[#rows + 1] = row
  if #rows < MOST_ROWS then return end
  for i = 1, MOST_ROWS // 2 do rows[i] = rows[2 * i - 1] end
  for i = MOST_ROWS, MOST_ROWS // 2 + 1, -1 do rows[i] = nil end
  sample.every = 2 * sample.every
end

-- The rows of metrics.jsonl. The last line may be half there: a run that was killed, or is writing just now.
local function read_rows(folder, notices)
  local epochs, steps, last, damaged, number = new_sample(), new_sample(), nil, nil, 0
  local path = folder .. "/metrics.jsonl"
  local reading <close> = size_of(path) and io.open(path, "rb") or nil
  if not reading then return {}, {} end
  for line in reading:lines() do
    number = number + 1
    local is_step = line:find('"kind":"step"', 1, true)
    if line ~= "" and (not is_step or next_kept(steps)) then
      local row = #line <= LONGEST_ROW and json.decode(line)
      row = type(row) == "table" and without_null(row)
      if not row then
        damaged = damaged or number
      elseif (row.kind == nil or row.kind == "epoch") and as_number(row.epoch) then
        last = row
        if next_kept(epochs) then keep(epochs, row) end
      elseif row.kind == "step" and as_number(row.step) then
        keep(steps, row)
      end
    end
  end
  if damaged then notices[#notices + 1] = format("metrics.jsonl: line %d cannot be read and is left out", damaged) end
  if last ~= epochs.rows[#epochs.rows] then epochs.rows[#epochs.rows + 1] = last end
  return epochs.rows, steps.rows
end

local function list_files(folder, prefix, out, depth)
  local ok, names = pcall(function()
    local names = {}
    for name in lfs.dir(folder) do
      if name:sub(1, 1) ~= "." then names[#names + 1] = name end
    end
    return names
  end)
  sort(ok and names or {})
  for _, name in ipairs(ok and names or {}) do
    local path = folder .. "/" .. name
    local attributes = lfs.symlinkattributes(path)
    if attributes and attributes.mode == "directory" and depth < 3 then
      list_files(path, prefix .. name .. "/", out, depth + 1)
    elseif attributes and attributes.mode == "file" and #out < 200 then
      out[#out + 1] = { name = prefix .. name, bytes = attributes.size }
    end
  end
  return out
end

local magic = { png = "\137PNG\r\n\26\n" }

-- The pictures in figures/. An SVG that has a PNG of the same name stands for it.
local function read_figures(folder, files, notices)
  local list, seen = {}, {}
  for _, kind in ipairs { "svg", "png" } do
    for _, entry in ipairs(files) do
      local name = entry.name:match("^figures/([^/]+)%." .. kind .. "$")
      if name and not seen[name] then
        local bytes = entry.bytes <= 2 << 20 and file.read(folder .. "/" .. entry.name)
        if bytes and (kind == "svg" and bytes:find("<svg", 1, true) or magic[kind] == bytes:sub(1, 8)) then
          list[#list + 1] = { name = name, kind = kind, bytes = bytes }
          seen[name] = true
        else
          notices[#notices + 1] = format("%s is left out: %s", entry.name,
            bytes and "no picture" or "larger than 2 MiB")
        end
      end
    end
  end
  return list
end

local function read_about(folder, notices)
  local about = as_table(read_json(folder, "about.json", notices))
  local function recipe_of(fields)
    local params = {}
    for _, this in ipairs(as_table(fields.params)) do
      if type(this) == "table" and as_text(this.name) then
        params[#params + 1] = { name = this.name, kind = as_text(this.kind), doc = as_text(this.doc),
                                default = this.default }
      end
    end
    return { title = as_text(fields.title), about = as_text(fields.about), name = as_text(fields.name),
             path = as_text(fields.path), cites = texts(fields.cites), unstated = texts(fields.unstated),
             params = params }
  end
  if about.kind ~= "study" then return recipe_of(about) end
  local study = recipe_of(about)
  study.recipe = recipe_of(as_table(about.recipe))
  study.scale, study.settings, study.notes = as_text(about.scale), texts(about.settings), texts(about.notes)
  study.tables, study.charts = as_table(about.tables), as_table(about.charts)
  study.sensible = type(about.sensible) == "table" and about.sensible or nil
  return study
end

-- ---- a run ----

-- What a run's results say it started from: { run =, sha256 =, page = }, with the page of that run, as it is named from
-- a folder beside it. Other weights in that folder now are worth a notice.
local function read_start(folder, said, notices)
  local name = as_text(as_table(said).run)
  if not name or not name:find(spec.FILE_NAME) then return nil end
  local beside = folder_of.beside(folder, name)
  local there = read_json(beside, "results.json", {})
  local now = as_text(as_table(as_table(there).weights).sha256)
  local was = as_text(said.sha256)
  if now and was and now ~= was then
    notices[#notices + 1] = format("The run that it started from, %s, has other weights now.", name)
  end
  return { run = name, sha256 = was, page = size_of(beside .. "/report.html") and "../" .. name .. "/report.html" }
end

local function read_run(folder, label)
  local notices = {}
  local run = { kind = "run", folder = folder, notices = notices, about = read_about(folder, notices) }
  run.name = select(2, file.split(folder))
  run.label = label
  local results = read_json(folder, "results.json", notices)
  run.status = results and type(results.metrics) == "table" and "complete" or "incomplete"
  results = results or {}
  run.values = as_table(results.params)
  if next(run.values) == nil then run.values = as_table(read_json(folder, "params.json", notices)) end
  run.metrics, run.probes, run.tables = intervals(results.metrics), {}, {}
  for name, rows in pairs(as_table(results.probes)) do
    if type(name) == "string" and type(rows) == "table" then run.probes[name] = rows end
  end
  run.confusion, run.robustness = as_table(results.confusion), records(results.robustness)
  run.training, run.data, run.timing = as_table(results.training), as_table(results.data), as_table(results.timing)
  if as_number(run.timing.seconds) and not run.metrics.seconds then
    run.metrics.seconds = stats.new { value = run.timing.seconds, n = 1, method = "clock", unit = "s" }
  end
  run.version, run.hash = as_text(results.version), as_text(results.plan_hash)
  run.start = read_start(folder, results.start, notices)
  run.title = run.about.title or as_text(results.title) or run.name
  run.recipe = run.about.name or as_text(results.recipe)
  run.environment = as_table(read_json(folder, "environment.json", notices))
  run.version = run.version or as_text(run.environment.version)
  run.plan = read_text(folder .. "/plan.txt")
  run.stopped = as_text(as_table(read_json(folder, "stopped.json", notices)).reason)
  run.epochs, run.steps = read_rows(folder, notices)
  run.files = list_files(folder, "", {}, 1)
  for _, entry in ipairs(run.files) do
    local name = entry.name:match("^tables/([^/]+)%.txt$")
    if name then run.tables[name] = read_text(folder .. "/" .. entry.name) end
  end
  run.figures = read_figures(folder, run.files, notices)
  if run.stopped then
    notices[#notices + 1] = "The run stopped: " .. run.stopped
  elseif run.status ~= "complete" then
    local last = run.epochs[#run.epochs]
    notices[#notices + 1] = "The run is not complete: results.json is not there yet"
      .. (last and format("; the last epoch on record is %d", math.tointeger(last.epoch) or 0) or "")
  end
  return run
end

-- ---- a study ----

local function is_folder(path) return lfs.attributes(path, "mode") == "directory" end

local function read_study(folder)
  local notices = {}
  local about = read_about(folder, notices)
  local results = read_json(folder, "results.json", notices) or {}
  local study = { kind = "study", folder = folder, name = select(2, file.split(folder)), about = about,
                  notices = notices, runs = {}, title = about.title or as_text(results.title),
                  scale = about.scale or as_text(results.scale), claims = {}, tables = {}, charts = about.charts or {} }
  study.title = study.title or study.name
  study.swept = about.recipe ~= nil and about.path == nil
  study.robustness = {}
  for _, one in ipairs(as_table(results.robustness)) do
    if type(one) == "table" then study.robustness[#study.robustness + 1] = one end
  end
  study.notes = #as_table(about.notes) > 0 and about.notes or texts(results.notes)
  for _, claim in ipairs(as_table(results.claims)) do
    if type(claim) == "table" and as_text(claim.title) then study.claims[#study.claims + 1] = claim end
  end
  for i, shown in ipairs(as_table(results.tables)) do
    if type(shown) == "table" and as_text(shown.by) and type(shown.rows) == "table" then
      study.tables[#study.tables + 1] = { by = shown.by, title = as_text(shown.title), rows = shown.rows,
                                          shown = as_table(as_table(about.tables)[i]) }
    end
  end
  for _, entry in ipairs(as_table(results.runs)) do
    local recorded = type(entry) == "table" and as_text(entry.folder)
    local place = recorded and folder_of.of_study(folder, recorded)
    if place and is_folder(place) then
      local run = read_run(place, as_text(entry.label))
      study.runs[#study.runs + 1] = run
      local failed = as_text(as_table(entry.failed).message)
      if failed and not run.stopped then run.notices[#run.notices + 1] = "The run failed: " .. failed end
    elseif recorded then
      notices[#notices + 1] = format("The folder of run %s is not there: %s", as_text(entry.label) or "", recorded)
      study.runs[#study.runs + 1] = { kind = "run", folder = recorded, name = select(2, file.split(recorded)),
        label = as_text(entry.label), notices = {}, about = as_table(about.recipe), status = "complete",
        values = as_table(entry.params), metrics = intervals(entry.metrics), probes = {}, tables = {}, confusion = {},
        robustness = {}, training = {}, data = {}, timing = {}, environment = {}, epochs = {}, steps = {}, figures = {},
        files = {}, hash = as_text(entry.plan_hash), title = study.title }
    end
  end
  study.environment = as_table(read_json(folder, "environment.json", notices))
  study.files = list_files(folder, "", {}, 1)
  study.figures = read_figures(folder, study.files, notices)
  if not size_of(folder .. "/results.json") then
    notices[#notices + 1] = "The study is not complete: results.json is not there yet"
  end
  return study
end

--- What a folder holds: a run, a study, or nil, message, code.
---@param folder string
---@return table? found, string? message, string? code
function M.folder(folder)
  folder = folder:gsub("(.)/+$", "%1")
  local mode = lfs.attributes(folder, "mode")
  if not mode then return nil, format("%s: no such run or study", folder), "missing" end
  if mode ~= "directory" then return nil, format("%s: the folder of a run or a study expected, got a file", folder),
    "format" end
  local kind = folder_of.kind(folder)
  if kind then return kind == "study" and read_study(folder) or read_run(folder) end
  return nil, format("%s: neither a run nor a study: there is no results.json, params.json or study.lua in it", folder),
    "format"
end

--- The names of a table of values, sorted; places left out.
---@param t table
---@return string[]
function M.names(t)
  local named = {}
  for key in pairs(t) do
    if type(key) == "string" then named[key] = true end
  end
  return spec.names(named)
end

return M
