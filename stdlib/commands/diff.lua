--- `penumbra diff RUN RUN`: what was asked of two runs, and what came out. The exit code is that of diff: 0 when plan,
--- data and metrics are the same, 1 when something of them differs, 2 when it cannot be told.
local command = require "command"
local compare = require "run.compare"
local file = require "file"
local folder_of = require "run.folder"
local json = require "json"
local line_diff = require "run.line_diff"
local list_of = require "run.list"
local options_of = require "run.options"
local param = require "param"
local plan = require "plan"
local print_of = require "run.print"
local remake = require "run.remake"
local spec = require "spec"
local text = require "text"

local format = string.format

local function describe(parser)
  parser:argument("RUN", "A run: its folder, or the beginning of its name in the folder of runs."):target "first"
  parser:argument("RUN", "Another."):target "second"
  options_of.describe_runs(parser)
  parser:epilog [=[
Example:
  penumbra diff digits-3f2a91c0 digits-77b0c1d2

Two runs of one plan are compared row by row. The exit code is 0 when plan, data and metrics are the
same, 1 when they differ, 2 when it cannot be told.]=]
end

local function object(path)
  local value = json.read(path)
  return type(value) == "table" and value or {}
end

-- One run's folder, as far as it is there.
local function read(path)
  local results = object(path .. "/results.json")
  return { path = path, params = object(path .. "/params.json"), environment = object(path .. "/environment.json"),
           plan = file.read(path .. "/plan.txt"), results = results,
           data = type(results.data) == "table" and results.data or nil, metrics = folder_of.metrics(path, results),
           rows = file.exists(path .. "/metrics.jsonl") and path .. "/metrics.jsonl" or nil }
end

local function heading(title) print("\n" .. title) end

local function show(value)
  if value == nil then return "–" end
  return text.tame(type(value) == "table" and json.encode(value) or param.show(value), 60)
end

-- Rows { name, first, second } of the fields in which two tables differ.
local function fields_apart(a, b, without)
  local names, rows = {}, {}
  for name in pairs(a) do names[name] = true end
  for name in pairs(b) do names[name] = true end
  for _, name in ipairs(spec.names(names)) do
    if not (without and without[name]) and json.encode(a[name]) ~= json.encode(b[name]) then
      rows[#rows + 1] = { "  " .. text.tame(name, 30), show(a[name]), show(b[name]) }
    end
  end
  return rows
end

local function show_rows_apart(title, rows)
  if #rows == 0 then return false end
  heading(title)
  for _, row in ipairs(rows) do row[3] = "→ " .. row[3] end
  print(text.columns(rows, { width = print_of.width() }))
  return true
end

local decisive <const> = { written = true, version = true, level = true, precision = true, blas = true }

-- What decides the bits first, in short words, then the rest.
local function show_environments(a, b)
  local rows = {}
  for i, trait in ipairs(compare.machines(a, b)) do
    rows[i] = { "  " .. trait[1], text.tame(trait[2], 60), text.tame(trait[3], 60) }
  end
  for _, row in ipairs(fields_apart(a, b, decisive)) do rows[#rows + 1] = row end
  show_rows_apart("environment", rows)
end

local function indented(shown) return "  " .. shown:gsub("\n", "\n  ") end

-- The plans are made anew, to be compared part by part; where that fails their texts show that they differ.
local function show_plans(a, b)
  if a.plan == b.plan then return false end
  heading "plan"
  local made = {}
  for i, run in ipairs { a, b } do
    local message = "no plan.txt is there"
    -- Nothing of it is built, so it may name any path.
    if run.plan then made[i], message = remake.plan(run.path, { "/" }) end
    if not made[i] then
      print(indented(format("differs; that of %s cannot be made anew: %s", run.path, text.tame(message, 200))))
      return true
    end
  end
  local apart = plan.diff(made[1].plan, made[2].plan)
  print(indented(apart ~= "" and apart or "differs in its text: the runs are of different versions of the program"))
  return true
end

-- The recipe's text, and those that it includes.
local function show_recipes(a, b)
  local names = { ["recipe.lua"] = true }
  for _, run in ipairs { a, b } do
    for _, name in ipairs(file.below(run.path .. "/includes")) do names["includes/" .. name] = true end
  end
  for _, name in ipairs(spec.names(names)) do
    local one, two = file.read(a.path .. "/" .. name) or "", file.read(b.path .. "/" .. name) or ""
    if one ~= two then
      heading(name == "recipe.lua" and "recipe" or "recipe: " .. text.tame(name))
      print(indented(line_diff.text(one, two)))
    end
  end
end

local function show_data(a, b)
  if not a.data or not b.data then return false end -- one has no results yet
  local rows = {}
  local names = {}
  for _, data in ipairs { a.data, b.data } do
    for name in pairs(data) do names[name] = true end
  end
  for _, name in ipairs(spec.names(names)) do
    local one, two = a.data[name], b.data[name]
    if type(one) ~= "table" or type(two) ~= "table" then
      rows[#rows + 1] = { "  " .. text.tame(name), one and "is used" or "–", two and "is used" or "–" }
    else
      for _, row in ipairs(fields_apart(one, two, { folder = true })) do
        rows[#rows + 1] = { "  " .. text.tame(name) .. " " .. row[1]:sub(3), row[2], row[3] }
      end
    end
  end
  return show_rows_apart("data", rows)
end

local function shown(interval) return interval and list_of.shown(interval) or "–" end

local function show_metrics(a, b)
  if not a.metrics or not b.metrics then
    heading "metrics"
    for _, run in ipairs { a, b } do
      if not run.metrics then print(indented(run.path .. ": has no results")) end
    end
    return true
  end
  local rows, clocks, differs = {}, 0, false
  for _, this in ipairs(compare.metrics(a.metrics, b.metrics)) do
    local clock = (this.first or this.second).method == "clock"
    if clock then clocks = clocks + 1 end
    differs = differs or not this.same and not clock
    local difference = "the same"
    if not this.first or not this.second then difference = "–"
    elseif not this.same then
      local d = this.difference
      difference = d and text.number(d.value, 3) .. (d.low ~= d.high and " " .. d:range() or "") or "–"
    end
    rows[#rows + 1] = { text.tame(this.name, 40), shown(this.first), shown(this.second), difference,
                        this.paired and not this.same and "item by item" or "" }
  end
  if not differs then
    heading(format("metrics: all %d are the same bits", #rows - clocks))
    return false
  end
  heading "metrics"
  local width = print_of.table_width()
  local columns = { "metric", "first", "second", "first - second [95 %]", { title = "", align = "left" } }
  print(indented(text.table(columns, rows, { width = width and width - 2 })))
  return differs
end

-- Two runs of one plan should agree in every row.
local function show_rows(a, b)
  if not a.rows or not b.rows then return false end
  local found, message = compare.rows(a.rows, b.rows)
  if not found then
    heading "rows of metrics.jsonl"
    print(indented(message))
    return true
  end
  if not found.first then
    heading(format("rows of metrics.jsonl: all %s are the same bits", text.count(found.rows)))
    return false
  end
  heading "rows of metrics.jsonl"
  print(indented(format("%s the same, then different %s", found.equal == 0 and "none" or "the first "
    .. text.count(found.equal), compare.place(found.first, "in the first", "in the second"))))
  local machines = compare.machines(a.environment, b.environment)
  if #machines > 0 then print(indented("the machines are not of one type: their bits may differ")) end
  return true
end

local function act(options)
  local runs = {}
  for i, name in ipairs { options.first, options.second } do
    local path, message = folder_of.find(name, options.runs)
    if not path then return command.fail("diff", message, 2) end
    if folder_of.kind(path) == "study" then
      return command.fail("diff", path .. ": a study; its runs can be compared", 2)
    end
    runs[i] = read(path)
  end
  local a, b = runs[1], runs[2]
  print("first   " .. a.path)
  print("second  " .. b.path)
  show_rows_apart("parameters", fields_apart(a.params, b.params))
  local plans = show_plans(a, b)
  show_recipes(a, b)
  local data = show_data(a, b)
  show_environments(a.environment, b.environment)
  local metrics = show_metrics(a, b)
  local rows = not plans and show_rows(a, b)
  return (plans or data or metrics or rows) and 1 or 0
end

return { about = "Compare two runs: what was asked, what came out.", describe = describe, act = act }
