--- Many runs as a command makes them: those of a study or of a sweep, and the folder of what they say together,
--- runs/<name>-<8 digits>/:
---   study.lua recipe.lua includes/ settings.json    what is made; written first, so that it can be gone on with
---   report.txt figures/ about.json environment.json what came out
---   results.json                                    the same as numbers; written last
local about = require "run.about"
local file = require "file"
local folder_of = require "run.folder"
local jobs_of = require "run.jobs"
local json = require "json"
local plan = require "plan"
local plot = require "plot"
local print_of = require "run.print"
local report = require "report"
local robustness = require "study.robustness"
local study = require "study"
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

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

---@class Grid
---@field study Study
---@field settings table<string, string|string[]>
---@field expansion Expansion
---@field jobs Job[]
---@field folder string

--- The runs of a study with settings over it; or nil, message, and "argument" when a setting is wrong.
---@param this Study
---@param settings table<string, string|string[]>
---@param out string
---@return Grid? grid, string? message, string? kind
function M.new(this, settings, out)
  local expansion, message = this:expand(settings)
  if not expansion then return nil, message, "argument" end
  local points = {}
  for i, point in ipairs(expansion.points) do
    local label = study.label(expansion, point)
    points[i] = { values = point.values, label = label ~= "" and label or this.recipe.name }
  end
  local jobs
  jobs, message = jobs_of.list(this.recipe, points, out)
  if not jobs then return nil, message, "format" end
  local together = {}
  for i, job in ipairs(jobs) do together[i] = job.hash end
  sort(together)
  local hash = plan.hash { this.text, together }
  return { study = this, settings = settings, expansion = expansion, jobs = jobs,
           folder = format("%s/%s-%s", out, this.name, hash:sub(1, 8)) }
end

-- What the folder must hold for the study to be gone on with from there.
local function prepare(grid)
  local folder = grid.folder
  folder_of.must(file.make_folder(folder .. "/figures"))
  os.remove(folder .. "/results.json")
  folder_of.must(file.write(folder .. "/study.lua", grid.study.text))
  folder_of.write_recipe(folder, grid.study.recipe)
  folder_of.write_json(folder .. "/settings.json", grid.settings)
  folder_of.write_json(folder .. "/environment.json", folder_of.environment())
  -- What a study that is stopped was, and where it came from when it is gone on with.
  folder_of.must(about.write(folder, grid.study, { scale = grid.expansion.scale }))
end

-- Everything the runs say, on the screen as wide as that is, and in report.txt as wide as it wants to be.
local function tell_results(grid, found, both)
  for _, shown in ipairs(found.tables) do
    both("")
    if shown.title then both(shown.title) end
    both(function(_, wide) return text.table(shown.columns, shown.rows, { width = wide, keys = shown.keys }) end)
    if shown.note then both(shown.note) end
  end
  for _, this in ipairs(found.robustness) do
    both("")
    both(function(_, wide) return robustness.text(this, wide) end)
  end
  for _, note in ipairs(grid.study.notes) do
    both(function(wide) return text.wrap("note: " .. note, wide, "      ") end)
  end
  if #found.claims > 0 then
    both("")
    both(function(wide, table_wide) return study.claims_text(found.claims, wide, table_wide) end)
  end
end

local function write_results(grid, found)
  local tables, runs = {}, {}
  for i, shown in ipairs(found.tables) do
    tables[i] = { by = shown.by, title = shown.title, rows = folder_of.plain(shown.data) }
  end
  for i, job in ipairs(grid.jobs) do
    runs[i] = { label = job.label, folder = job.folder, plan_hash = job.hash, params = job.values, failed = job.failed,
                metrics = job.results and folder_of.plain(job.results.metrics) }
  end
  folder_of.write_json(grid.folder .. "/results.json", { title = grid.study.title, scale = grid.expansion.scale,
    tables = json.array(tables), claims = json.array(folder_of.plain(found.claims)), runs = json.array(runs),
    robustness = json.array(folder_of.plain(found.robustness)), notes = json.array(grid.study.notes) })
end

-- The last run's pictures stand for all: in a grid from plain to the method, it is the one that changes images.
local function copy_pictures(grid)
  for i = #grid.jobs, 1, -1 do
    local pictures = grid.jobs[i].results and file.read(grid.jobs[i].folder .. "/figures/samples.png")
    if pictures then
      folder_of.must(file.write(grid.folder .. "/figures/samples.png", pictures))
      return { grid.folder .. "/figures/samples.png" }
    end
  end
  return {}
end

local function say_failures(jobs, both)
  local failed = {}
  for _, job in ipairs(jobs) do
    if job.failed then failed[#failed + 1] = job end
  end
  if #failed == 0 then return 0 end
  both("")
  both(format("%d of %s failed:", #failed, text.plural(#jobs, "run")))
  for _, job in ipairs(failed) do
    both(function(wide)
      return "  " .. text.wrap(format("%s: %s", job.label, text.tame(job.failed.message, 400)), wide - 2, "    ")
    end)
    if job.failed.log then both("    " .. job.failed.log) end
  end
  return 1
end

--- Makes the runs that are not there, and says what all say together. Gives the exit code: 1 when a run failed.
---@param grid Grid
---@param options MakeOptions  # with `metrics`: a sweep's table shows these only
---@param say fun(line: string)
---@return integer
function M.make(grid, options, say)
  local this, expansion, jobs, folder = grid.study, grid.expansion, grid.jobs, grid.folder
  local lines = {}
  local function both(line)
    local wanted = line
    if type(line) == "function" then line, wanted = line(print_of.width(), print_of.table_width()), line(100) end
    lines[#lines + 1] = wanted
    say(line)
  end
  prepare(grid)
  local varies = {}
  for _, axis in ipairs(expansion.axes) do varies[axis] = #expansion.values[axis] > 1 end
  both(function(wide)
    return print_of.about(this.recipe, expansion.points[1].values, { heading = this, skip = varies, width = wide,
      extra = expansion.scale and "scale " .. expansion.scale })
  end)
  both("")
  local apart = (options.jobs or 1) > 1 and #jobs > 1
  both(text.plural(#jobs, "run") .. (apart and format(", %d at a time", options.jobs) or ""))
  options.keep_going = true
  if not jobs_of.make(jobs, options, both) then
    local complete, code = 0, say_failures(jobs, both)
    for _, job in ipairs(jobs) do
      complete, code = complete + (job.results and 1 or 0), job.exit or code
    end
    say(format("stopped; %d of %d runs are complete; to go on: penumbra resume %s", complete, #jobs, folder))
    return code
  end
  for i, job in ipairs(jobs) do
    local point, results = expansion.points[i], job.results
    point.metrics, point.robustness = results and results.metrics, results and results.robustness
  end

  local found = this:evaluate(expansion, options.metrics)
  tell_results(grid, found, both)
  local drawn = draw(found.charts, folder)
  table.move(copy_pictures(grid), 1, 1, #drawn + 1, drawn)
  local code = say_failures(jobs, both)
  local typed = {}
  for key, value in pairs(grid.settings) do
    typed[key] = type(value) == "table" and concat(value, " " .. key .. "=") or value
  end
  folder_of.must(about.write(folder, this, { scale = expansion.scale, settings = typed, charts = found.charts,
                                             tables = found.tables }))
  folder_of.must(file.write(folder .. "/report.txt", concat(lines, "\n") .. "\n"))
  write_results(grid, found)
  say("")
  for _, line in ipairs(drawn) do say(line) end
  say(folder .. "/report.txt")
  local page, message = report.write(folder)
  say(page or "no report: " .. message)
  return code
end

return M
