--- `penumbra run FILE key=value ...`: makes the run of a recipe, or all runs of a study, and writes their folders.
local about = require "report.about"
local command = require "command"
local file = require "file"
local folder_of = require "run.folder"
local jobs_of = require "run.jobs"
local json = require "json"
local plan = require "plan"
local plot = require "plot"
local print_of = require "run.print"
local recipe = require "recipe"
local recipes = require "recipes"
local study = require "study"
local text = require "text"
local world = require "world"

local format, concat, sort = string.format, table.concat, table.sort

local function run_recipe(base, options, settings, say)
  local values, message = base:resolve(settings, true)
  if not values then return nil, message, "argument" end
  local job
  job, message = jobs_of.new(base, values, options.out, base.name)
  if not job then return nil, message, "format" end
  say(print_of.about(base, values))
  say("")
  jobs_of.make({ job }, options, say)
  say("")
  local names = {}
  for name in pairs(job.plan.probes) do names[#names + 1] = name end
  sort(names)
  for _, name in ipairs(names) do
    local shown = file.read(format("%s/tables/%s.txt", job.folder, name))
    if shown and shown:find("%S") then say(shown) end
  end
  say(print_of.metrics_table(job.results.metrics))
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
    jobs[i], message = jobs_of.new(base, point.values, options.out, label ~= "" and label or base.name)
    if not jobs[i] then return nil, message, "format" end
    width, together[i] = math.max(width, text.width(jobs[i].label)), jobs[i].hash
  end
  for _, job in ipairs(jobs) do job.label_width = width end
  sort(together)
  local hash = plan.hash { this.text, together }
  local folder = format("%s/%s-%s", options.out, this.name, hash:sub(1, 8))

  local report = {} -- what is printed from here on is also the report, as wide as it wants to be
  local function both(line)
    if type(line) == "string" then
      report[#report + 1] = line
      say(line)
    else
      report[#report + 1] = line(100)
      say(line(print_of.width(), print_of.table_width()))
    end
  end
  local varies = {}
  for _, axis in ipairs(expansion.axes) do varies[axis] = #expansion.values[axis] > 1 end
  both(function(wide)
    return print_of.about(base, expansion.points[1].values, { heading = this, skip = varies, width = wide,
      extra = expansion.scale and "scale " .. expansion.scale })
  end)
  both("")
  both(format("%d run%s", #jobs, #jobs == 1 and "" or "s"))
  jobs_of.make(jobs, options, both)
  for i, job in ipairs(jobs) do expansion.points[i].metrics = job.results.metrics end

  local found = this:evaluate(expansion)
  for _, shown in ipairs(found.tables) do
    both("")
    both(function(_, table_wide) return text.table(shown.columns, shown.rows, { width = table_wide }) end)
  end
  for _, note in ipairs(this.notes) do both(function(wide) return text.wrap("note: " .. note, wide, "      ") end) end
  if #found.claims > 0 then
    both("")
    both(function(wide, table_wide) return study.claims_text(found.claims, wide, table_wide) end)
  end

  folder_of.must(file.make_folder(folder .. "/figures"))
  local drawn = draw(found.charts, folder)
  -- The last run's pictures stand for all: in a grid from plain to the method, it is the one that changes images.
  local pictures = file.read(jobs[#jobs].folder .. "/figures/samples.png")
  if pictures then
    folder_of.must(file.write(folder .. "/figures/samples.png", pictures))
    drawn[#drawn + 1] = folder .. "/figures/samples.png"
  end
  folder_of.must(file.write(folder .. "/study.lua", this.text))
  folder_of.must(file.write(folder .. "/recipe.lua", base.text))
  folder_of.write_json(folder .. "/environment.json", folder_of.environment())
  folder_of.must(about.write(folder, this, { scale = expansion.scale, settings = settings, charts = found.charts }))
  local tables, runs = {}, {}
  for i, shown in ipairs(found.tables) do tables[i] = { by = shown.by, rows = folder_of.plain(shown.data) } end
  for i, job in ipairs(jobs) do
    runs[i] = { label = job.label, folder = job.folder, plan_hash = job.hash, params = job.values,
                metrics = folder_of.plain(job.results.metrics) }
  end
  folder_of.must(file.write(folder .. "/report.txt", concat(report, "\n") .. "\n"))
  folder_of.write_json(folder .. "/results.json", { title = this.title, scale = expansion.scale,
    tables = json.array(tables), claims = json.array(folder_of.plain(found.claims)), runs = json.array(runs),
    notes = json.array(this.notes) })
  say("")
  for _, line in ipairs(drawn) do say(line) end
  say(folder .. "/report.txt")
  return true
end

local function describe(parser)
  parser:argument("file", "A recipe or a study: its path, or a name that penumbra recipes lists.")
  parser:argument("setting", "A parameter of it: key=value."):args "*"
  parser:option("--out", "The folder that runs are in."):argname("FOLDER"):default "runs"
  parser:flag("--fresh", "Make runs anew that are there already.")
  parser:flag("--quiet", "Show no progress.")
end

-- { key = value } of the words key=value; or nil and what is wrong
local function settings_of(words)
  local settings = {}
  for _, word in ipairs(words) do
    local key, value = word:match("^([%a_][%w_]*)=(.*)$")
    if not key then return nil, format('expected key=value, got "%s"', word) end
    if settings[key] then return nil, format('"%s" is given twice', key) end
    settings[key] = value
  end
  return settings
end

-- Results go to standard output, progress to standard error.
local function act(options)
  local settings, problem = settings_of(options.setting)
  if not settings then return command.fail(nil, problem, 2) end
  local path, others, code = recipes.find(options.file)
  if not path then return command.fail(nil, others, code == "argument" and 2 or 1) end
  if #others > 0 then
    io.stderr:write(format("penumbra: %s is %s here; the same name: %s\n", options.file, path, concat(others, ", ")))
  end
  local value, message = world.load(path)
  if not value then return command.fail(nil, message) end
  local function say(line)
    io.stdout:write(line, "\n")
    io.stdout:flush()
  end
  local perform = recipe.is_recipe(value) and run_recipe or run_study
  local ok, done, why, kind = pcall(perform, value, options, settings, say)
  if not ok then
    if type(done) == "table" and done.world then return command.fail(nil, done.message) end
    error(done, 0)
  end
  if not done then return command.fail(nil, why, kind == "argument" and 2 or 1) end
  return 0
end

return { about = "Make the run of a recipe, or all runs of a study.", describe = describe, act = act }
