--- `penumbra run FILE key=value ...`: makes the run of a recipe, or all runs of a study, and writes their folders.
---
--- A run's folder is runs/<recipe>-<first 8 digits of the plan's hash>/ and holds
---   recipe.lua params.json plan.txt environment.json    what was run, and where
---   metrics.jsonl                                       one line per row training reports
---   tables/ figures/                                    each probe's table and pictures
---   items.json                                          one number per test item, for comparisons in pairs
---   results.json                                        the numbers; written last, so it marks a complete run
--- A run whose folder is complete, made by this version of the program and with the same data files, is not made again:
--- its results are read.
---
--- The plan's values are built here; what happens with them is train.lua's part:
---   require "train".run(plan, context) -> { probes =, images =, steps =, seconds = }
--- It calls context.progress{ done =, total =, images =, epoch =, note = } and context.record(row) as it goes. A
--- probe's result has `metrics`, Intervals by name (their `items` let runs be compared item by item), `rows`, and
--- prints as a table.
local file = require "file"
local find = require "data.find"
local json = require "json"
local nn = require "nn"
local param = require "param"
local plan = require "plan"
local plot = require "plot"
local progress = require "progress"
local recipe = require "recipe"
local spec = require "spec"
local stats = require "stats"
local study = require "study"
local text = require "text"
local world = require "world"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

-- ---- the command's words ----

local usage = "usage: penumbra run FILE [key=value ...] [--out FOLDER] [--fresh] [--quiet]"

-- "--out x" and "--out=x", key=value, one file
local function parse(args)
  local options, settings = { out = "runs" }, {}
  local i = 1
  while i <= #args do
    local word = args[i]
    local flag, value = word:match("^%-%-([%w-]+)=?(.*)$")
    local known = flag == "out" or flag == "fresh" or flag == "quiet"
    if known and flag ~= "out" and word:find("=", 1, true) then return nil, format("--%s takes no value", flag) end
    if flag == "out" then
      if not word:find("=", 1, true) then
        i = i + 1
        value = args[i]
      end
      if not value or value == "" then return nil, "--out expects a folder" end
      options.out = value
    elseif known then
      options[flag] = true
    elseif word:find("^%-") then
      return nil, format('unknown option "%s"%s', word, spec.suggest(word, { "--fresh", "--out", "--quiet" }))
    elseif not options.path then
      options.path = word
    else
      local key, setting = word:match("^([%a_][%w_]*)=(.*)$")
      if not key then return nil, format('expected key=value, got "%s"', word) end
      if settings[key] then return nil, format('"%s" is given twice', key) end
      settings[key] = setting
    end
    i = i + 1
  end
  if not options.path then return nil, "no recipe or study is named" end
  return options, settings
end

-- ---- folders ----

-- A value as JSON can hold it: Intervals without their items, nothing of the runtime's.
local function plain(value, depth)
  depth = depth or 0
  if stats.is_interval(value) then
    local out = {}
    for key, field in pairs(value) do
      if key ~= "items" then out[key] = field end
    end
    return out
  end
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" then return value end
  if kind ~= "table" or depth > 20 then return nil end
  local out = {}
  for key, element in pairs(value) do
    out[type(key) == "string" and key or #value > 0 and key or tostring(key)] = plain(element, depth + 1)
  end
  return out
end

-- Everything a result may depend on beside the plan.
local function environment()
  local about = nn.info()
  about.blas_core = os.getenv "OPENBLAS_CORETYPE"
  about.written = os.date "!%Y-%m-%dT%H:%M:%SZ"
  return about
end

local function must(ok, message, code)
  if not ok then error({ world = true, message = message, code = code }, 0) end
  return ok
end

local function write_json(path, value)
  must(file.write(path, json.encode(value, { pretty = true }) .. "\n"))
end

-- Whether data sets were found where they are now, and the program was this one.
local function still_true(results)
  if results.version ~= nn.version or type(results.data) ~= "table" then return false end
  for name, was in pairs(results.data) do
    if not find.same(name, was) then return false end
  end
  return true
end

--- The results in a run's folder, when it is complete, of this plan, and would come out the same today; else nil.
---@param folder string
---@param hash string
---@return table? results  # with metrics as Intervals
function M.read(folder, hash)
  local results = json.read(folder .. "/results.json")
  if type(results) ~= "table" or results.plan_hash ~= hash or type(results.metrics) ~= "table" then return nil end
  if not still_true(results) then return nil end
  local items = json.read(folder .. "/items.json")
  for name, fields in pairs(results.metrics) do
    if type(fields) ~= "table" or type(fields.value) ~= "number" then
      -- A value that was not finite came back as null; as a number it shows as what it was.
      if type(fields) ~= "table" then return nil end
      fields.value = 0 / 0
    end
    for key, field in pairs(fields) do
      if field == json.null then fields[key] = nil end
    end
    fields.items = type(items) == "table" and items[name] or nil
    results.metrics[name] = stats.new(fields)
  end
  return results
end

-- ---- one run ----

local SAMPLES = 16 -- images in a row of samples.png

---@class Job
---@field recipe Recipe
---@field values table
---@field plan table
---@field hash string
---@field folder string
---@field label string
---@field cost number

-- How long a run may take beside others: epochs, twice as long when the loss also looks at changed images. Only the
-- progress line uses it.
local function cost(made)
  local passes = 1
  plan.walk(made.loss, function(module)
    if module == "perturb" then passes = 2 end
  end)
  return math.max(0.1, made.epochs) * passes
end

local function make_job(base, values, out, label)
  local made, message = base:make_plan(values)
  if not made then return nil, message end
  local hash = plan.hash(made)
  return { recipe = base, values = values, plan = made, hash = hash, label = label, cost = cost(made),
           folder = format("%s/%s-%s", out, base.name, hash:sub(1, 8)) }
end

local function collect(outcome)
  local metrics = {}
  local names = {}
  for name in pairs(outcome.probes or {}) do names[#names + 1] = name end
  sort(names)
  for _, name in ipairs(names) do
    for metric, interval in pairs(outcome.probes[name].metrics or {}) do
      -- Two probes may measure the same thing, on other data or at other levels: the second one's name goes before it.
      metrics[metrics[metric] and name .. "." .. metric or metric] = interval
    end
  end
  metrics.images = metrics.images or stats.new { value = outcome.images, n = 1, method = "count" }
  metrics.seconds = metrics.seconds or stats.new { value = outcome.seconds, n = 1, method = "clock", unit = "s" }
  return metrics
end

-- What the network sees: a row of training images, one of them changed as the loss changes them, one of test images.
-- With stand-ins for the data (or none that has pictures) there is nothing to show.
local function samples(built, change, folder)
  local train, test = built.data.train, built.data.test
  if not (train.batches and test and test.batches) then return true end
  local image = require "image"
  local count = math.min(SAMPLES, #train, #test)
  local rows = {}
  local x, y = train:take(count):batches { size = count }()
  rows[1] = x
  if change then rows[2] = change(x, y, built.model, { seed = built.seed, step = 0 }) end
  rows[#rows + 1] = test:take(count):batches { size = count }()
  local pictures = {}
  for _, row in ipairs(rows) do
    for i = 1, count do pictures[#pictures + 1] = row[i] end
  end
  local ok, message, code = file.make_folder(folder .. "/figures")
  if not ok then return nil, message, code end
  return image.save(folder .. "/figures/samples.png", image.enlarge(image.grid(pictures, { columns = count }), 3))
end

-- Builds the plan, trains, probes, writes the folder. report(share, state) is called as it goes.
local function execute(job, report)
  local folder = job.folder
  must(file.make_folder(folder))
  -- Whatever an earlier, unfinished run left.
  os.remove(folder .. "/results.json")
  os.remove(folder .. "/metrics.jsonl")
  must(file.write(folder .. "/recipe.lua", job.recipe.text))
  must(file.write(folder .. "/plan.txt", plan.text(job.plan) .. "\n"))
  write_json(folder .. "/params.json", job.values)
  write_json(folder .. "/environment.json", environment())

  find.opened = {}
  local made, build = job.plan, plan.builder()
  local built = {}
  -- Data and model last: a mistake in a small value shows before the large ones are made.
  for key, value in pairs(made) do
    if key ~= "data" and key ~= "model" then built[key] = build(value) end
  end
  built.data, built.model = build(made.data), build(made.model)
  must(samples(built, build(plan.find_option(made.loss, "perturb")), folder))

  local outcome = require "train".run(built, {
    progress = function(state) report(state.total > 0 and state.done / state.total or 0, state) end,
    record = function(row) must(file.append_line(folder .. "/metrics.jsonl", json.encode(plain(row)))) end,
  })

  local metrics, items = collect(outcome), {}
  local results = { plan_hash = job.hash, version = nn.version, data = find.opened,
                    recipe = job.recipe.name, title = job.recipe.title,
                    params = job.values, metrics = {}, probes = {},
                    training = { images = outcome.images, steps = outcome.steps, seconds = outcome.seconds,
                                 waited = outcome.waited, skipped = outcome.skipped,
                                 skipped_names = outcome.skipped_names } }
  for name, interval in pairs(metrics) do
    results.metrics[name], items[name] = plain(interval), interval.items
  end
  for name, result in pairs(outcome.probes or {}) do
    results.probes[name] = plain(result.rows or {})
    must(file.make_folder(folder .. "/tables"))
    must(file.write(format("%s/tables/%s.txt", folder, name), tostring(result) .. "\n"))
  end
  must(file.write(folder .. "/items.json", json.encode(items) .. "\n"))
  write_json(folder .. "/results.json", results)
  return M.read(folder, job.hash)
end

--- Makes the jobs that are not there already, in order, with one progress line over all of them.
local function make_all(jobs, options, say)
  local total, todo = 0, 0
  for _, job in ipairs(jobs) do
    job.results = not options.fresh and M.read(job.folder, job.hash) or nil
    job.reused = job.results ~= nil
    if not job.reused then
      total, todo = total + job.cost, todo + 1
    end
  end
  local bar = progress.new { total = total, unit = false, quiet = options.quiet or todo == 0 }
  local before, made = 0, 0
  for _, job in ipairs(jobs) do
    local note
    if job.reused then
      note = "was there already"
    else
      made = made + 1
      local label = todo > 1 and format("%d/%d %s", made, todo, job.label) or job.label
      local started = progress.clock()
      bar:update(before, label)
      local ok, results = pcall(execute, job, function(share, state)
        local words = state.note or ""
        if state.epoch then
          local rate = state.images / math.max(1e-9, progress.clock() - started)
          words = format("epoch %d/%d  %.0f images/s  %s", state.epoch, job.plan.epochs, rate, words)
        end
        bar:update(before + share * job.cost, label, words)
      end)
      if not ok then
        bar:clear()
        error(results, 0)
      end
      job.results = must(results, job.folder .. "/results.json: cannot be read back", "io")
      before = before + job.cost
      note = text.duration(progress.clock() - started)
      local training = job.results.training
      if training.waited then note = note .. ", " .. require "train".loading(training) end
    end
    bar:clear()
    say(format("  %s  %s  %s", text.pad(job.label, job.label_width or 0), text.pad(job.folder, 0), note))
  end
  bar:finish()
end

-- ---- what is printed ----

local function ledger(base)
  local lines = {}
  if #base.unstated > 0 then
    lines[#lines + 1] = "unstated in the paper, we chose"
    for _, line in ipairs(base.unstated) do lines[#lines + 1] = "  · " .. text.wrap(line, 96, "    ") end
  end
  return concat(lines, "\n")
end

local function heading(value, extra)
  local lines = { value.title .. (extra and "  (" .. extra .. ")" or "") }
  if value.about then lines[#lines + 1] = text.wrap(value.about, 100) end
  return concat(lines, "\n")
end

local function parameters(base, values, skip)
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

local function metrics_table(metrics)
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

-- ---- recipe and study ----

local function run_recipe(base, options, settings, say)
  local values, message = base:resolve(settings, true)
  if not values then return nil, message, "argument" end
  local job
  job, message = make_job(base, values, options.out, base.name)
  if not job then return nil, message, "format" end
  say(heading(base))
  say(parameters(base, values))
  if #base.unstated > 0 then say(ledger(base)) end
  say("")
  make_all({ job }, options, say)
  say("")
  local names = {}
  for name in pairs(job.plan.probes) do names[#names + 1] = name end
  sort(names)
  for _, name in ipairs(names) do
    local shown = file.read(format("%s/tables/%s.txt", job.folder, name))
    if shown and shown:find("%S") then say(shown) end
  end
  say(metrics_table(job.results.metrics))
  return true
end

-- Draws the study's charts; gives lines that say what was drawn or why not.
local function draw(charts, folder)
  local lines, missing = {}, false
  for _, chart in ipairs(charts) do
    local written, message
    if chart.options then
      chart.options.path = format("%s/figures/%s", folder, chart.name)
      written, message = plot[chart.kind](chart.options)
    else
      message = chart.why
    end
    if written then
      for _, path in ipairs(written) do lines[#lines + 1] = path end
    elseif not missing then
      lines[#lines + 1] = format("no chart %s: %s", chart.name, message)
      missing = message and message:find("not installed", 1, true) ~= nil -- once is enough for that
    end
  end
  return lines
end

local function run_study(this, options, settings, say)
  local expansion, message = this:expand(settings)
  if not expansion then return nil, message, "argument" end
  local base, jobs, width, together = this.recipe, {}, 0, {}
  for i, point in ipairs(expansion.points) do
    local label = study.label(expansion, point)
    jobs[i], message = make_job(base, point.values, options.out, label ~= "" and label or base.name)
    if not jobs[i] then return nil, message, "format" end
    width, together[i] = math.max(width, text.width(jobs[i].label)), jobs[i].hash
  end
  for _, job in ipairs(jobs) do job.label_width = width end
  sort(together)
  local hash = plan.hash { this.text, together }
  local folder = format("%s/%s-%s", options.out, this.name, hash:sub(1, 8))

  local report = {} -- what is printed from here on is also the report
  local function both(line)
    report[#report + 1] = line
    say(line)
  end
  local varies = {}
  for _, axis in ipairs(expansion.axes) do varies[axis] = #expansion.values[axis] > 1 end
  both(heading(this, expansion.scale and "scale " .. expansion.scale))
  both(parameters(base, expansion.points[1].values, varies))
  if #base.unstated > 0 then both(ledger(base)) end
  both("")
  both(format("%d run%s", #jobs, #jobs == 1 and "" or "s"))
  make_all(jobs, options, both)
  for i, job in ipairs(jobs) do expansion.points[i].metrics = job.results.metrics end

  local found = this:evaluate(expansion)
  for _, shown in ipairs(found.tables) do
    both("")
    both(text.table(shown.columns, shown.rows))
  end
  for _, note in ipairs(this.notes) do both(text.wrap("note: " .. note, 100, "      ")) end
  if #found.claims > 0 then
    both("")
    both(study.claims_text(found.claims))
  end

  must(file.make_folder(folder .. "/figures"))
  local drawn = draw(found.charts, folder)
  -- The last run's pictures stand for all: in a grid from plain to the method, it is the one that changes images.
  local pictures = file.read(jobs[#jobs].folder .. "/figures/samples.png")
  if pictures then
    must(file.write(folder .. "/figures/samples.png", pictures))
    drawn[#drawn + 1] = folder .. "/figures/samples.png"
  end
  must(file.write(folder .. "/study.lua", this.text))
  must(file.write(folder .. "/recipe.lua", base.text))
  write_json(folder .. "/environment.json", environment())
  local tables, runs = {}, {}
  for i, shown in ipairs(found.tables) do tables[i] = { by = shown.by, rows = plain(shown.data) } end
  for i, job in ipairs(jobs) do
    runs[i] = { label = job.label, folder = job.folder, plan_hash = job.hash, params = job.values,
                metrics = plain(job.results.metrics) }
  end
  must(file.write(folder .. "/report.txt", concat(report, "\n") .. "\n"))
  write_json(folder .. "/results.json", { title = this.title, scale = expansion.scale, tables = json.array(tables),
    claims = json.array(plain(found.claims)), runs = json.array(runs), notes = json.array(this.notes) })
  say("")
  for _, line in ipairs(drawn) do say(line) end
  say(folder .. "/report.txt")
  return true
end

--- `penumbra run` with its words; gives the exit code. Results go to standard output, progress to standard error.
---@param args string[]
---@return integer exit_code
function M.main(args)
  local function fail(message, code)
    io.stderr:write("penumbra: ", message, "\n")
    return code
  end
  local options, settings = parse(args)
  if not options then return fail(settings .. "\n" .. usage, 2) end
  local value, message = world.load(options.path)
  if not value then return fail(message, 1) end
  local function say(line)
    io.stdout:write(line, "\n")
    io.stdout:flush()
  end
  local perform = recipe.is_recipe(value) and run_recipe or run_study
  local ok, done, problem, kind = pcall(perform, value, options, settings, say)
  if not ok then
    if type(done) == "table" and done.world then return fail(done.message, 1) end
    error(done, 0)
  end
  if not done then return fail(problem, kind == "argument" and 2 or 1) end
  return 0
end

return M
