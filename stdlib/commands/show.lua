--- `penumbra show FILE key=value ...`: what a recipe or study is, its parameters, its plan, and what it will cost.
local cost_of = require "run.cost"
local grid_of = require "run.grid"
local jobs_of = require "run.jobs"
local nn = require "nn"
local options_of = require "run.options"
local param = require "param"
local plan = require "plan"
local print_of = require "run.print"
local progress = require "progress"
local recipe = require "recipe"
local recipes = require "recipes"
local spec = require "spec"
local start_of = require "run.start"
local study = require "study"
local text = require "text"

local format, concat = string.format, table.concat

local say = options_of.say
local MEASURED <const> = 8 -- kinds of runs of a study that are timed; more are judged by these

local function describe(parser)
  options_of.describe_file(parser)
  options_of.describe_out(parser)
  parser:flag("--no-cost", "Do not measure what it will cost."):target "no_cost"
  options_of.describe_allow(parser)
  parser:epilog [[
Examples:
  penumbra show table4
  penumbra show digits alpha=1 epochs=10

The cost is an estimate for this machine as busy as it is now: a few steps and batches are made at
their full size and timed. Nothing is kept of them.]]
end

-- ---- what it is ----

local function heading(value, kind)
  local width = print_of.width()
  say(format("%s: %s", kind, text.wrap(value.title, width)))
  if value.about then say(text.wrap(value.about, width)) end
  for _, cited in ipairs(value.cites or {}) do say(text.wrap("cites " .. cited, width, "  ")) end
  say(recipes.is_built_in(value.path) and "built in" or value.path)
end

-- Every parameter: its value here, what it may be, what it is. Those of the grid are told with it.
local function parameters(base, values, given, varies)
  local rows = {}
  for _, name in ipairs(base:names()) do
    local this = base.params[name]
    if not varies[name] then
      local note = this.expects
      if given[name] then note = note .. ", " .. param.show(this.default or "none") .. " unless given" end
      if this.doc then note = format("%s (%s)", this.doc, note) end
      rows[#rows + 1] = { "  " .. name, param.show(values[name]), note }
    end
  end
  if #rows == 0 then return end
  say("")
  say("parameters")
  say(text.columns(rows, { width = print_of.width() }))
end

local function ledger(base)
  local shown = print_of.ledger(base, print_of.width())
  if shown then
    say("")
    say(shown)
  end
end

-- The loss of a plan as a formula; the plan was checked, so it can be built.
local function formula(made)
  local objective = plan.builder()(made.loss)
  say("")
  say("the loss")
  for line in (objective:formula() .. "\n"):gmatch "(.-)\n" do
    say("  " .. text.wrap(line, print_of.width() - 2, "    "))
  end
end

-- ---- cost ----

-- Seconds in a unit that suits them, or the one that suits `like`.
local function how_long(seconds, like)
  like = like or seconds
  if like < 9.95 then return format("%.1f s", seconds) end
  if like < 120 then return format("%.0f s", seconds) end
  if like < 7200 then return format("%.0f min", seconds / 60) end
  if like < 172800 then return format("%.1f h", seconds / 3600) end
  return format("%.1f days", seconds / 86400)
end

local function about(span)
  local value, low, high = how_long(span.value), how_long(span.low, span.value), how_long(span.high, span.value)
  return low == high and "about " .. value or format("about %s (%s to %s)", value, low, high)
end

local function say_cost(rows, notes)
  say("cost, measured on this machine now with " .. text.plural(nn.threads(), "thread"))
  for i, row in ipairs(rows) do rows[i] = { "  " .. row[1], row[2] } end
  say(text.columns(rows, { width = print_of.width() }))
  for _, note in ipairs(notes) do say(text.wrap("note: " .. note, print_of.width(), "      ")) end
end

-- Measures, or says why not.
local function measure(job, seconds, label)
  local line = progress.new { label = "measuring " .. label, total = 1, unit = false }
  line:update(0)
  local function load(model) start_of.load(job, model) end
  local ok, cost = pcall(cost_of.measure, job.plan, seconds, job.start and job.start.results and load)
  line:clear()
  if ok then return cost end
  if tostring(cost):find "interrupted$" then error(cost, 0) end
  return nil, type(cost) == "table" and cost.message or tostring(cost)
end

local function disk_row(disk, running, out)
  local free = nn.free_bytes(".")
  local row = text.bytes(disk) .. " in " .. out
  if running > disk then row = format("%s; %s on the way", row, text.bytes(running)) end
  if free and free < running then row = row .. format("; only %s are free", text.bytes(free)) end
  return { "disk", row }
end

local spans = { "value", "low", "high" }

-- What the runs cost together that one starts from, and are not there: seconds and operations; nil and why not.
local function cost_of_starts(starts)
  local total = { value = 0, low = 0, high = 0, flops = 0, disk = 0 }
  for _, start in ipairs(starts) do
    local cost, message = measure(start, 2 / #starts, start.label)
    if not cost then return nil, format("%s: %s", start.label, message) end
    for _, key in ipairs(spans) do total[key] = total[key] + cost.seconds[key] end
    total.flops, total.disk = total.flops + cost.flops, total.disk + cost.disk
  end
  return total
end

-- "base, then C, alpha 0.5".
local function labels_of(starts)
  local labels = {}
  for i, start in ipairs(starts) do labels[i] = start.label:gsub("^start: ", "") end
  return concat(labels, ", then ")
end

-- The runs that are to be made for this one, and whether it is there itself.
local function starts_of(job)
  local starts = {}
  for _, one in ipairs(jobs_of.missing { job }) do
    if one ~= job then starts[#starts + 1] = one end
  end
  return starts, job.results ~= nil
end

local function one_cost(job, options)
  local starts, there = starts_of(job)
  local before, cost, message
  before, message = cost_of_starts(starts)
  if before then cost, message = measure(job, 2, job.label) end
  say("")
  if not cost then
    say(text.wrap("cost: cannot be measured: " .. message, print_of.width(), "  "))
    return
  end
  local steps = cost.step and format(": %s steps of %d images, %s each", text.count(cost.steps), cost.batch,
    text.seconds(cost.step.value)) or ""
  local rows = {
    { "time", about(cost.seconds) .. steps .. (cost.probes > 0 and "; probes " .. how_long(cost.probes) or "") },
    { "compute", format("%s, %s parameters", text.flops(cost.flops), text.count(cost.parameters)) },
    { "memory", text.bytes(cost.memory) .. " of tensors at the most" },
    disk_row(before.disk + cost.disk, before.disk + cost.disk_running, options.out),
  }
  local notes = { cost.stand_in }
  if #starts > 0 then
    table.insert(rows, 2, { "before it", format("%s and %s for %s that it starts from: %s", about(before),
      text.flops(before.flops), #starts == 1 and "the run" or format("%d runs", #starts), labels_of(starts)) })
  end
  if there then notes[#notes + 1] = "this run is there already: " .. job.folder end
  say_cost(rows, notes)
end

-- Jobs that are missing and cost the same, for they differ in their seeds only: { job, label, missing }.
local function kinds_of(grid, missing)
  local expansion, kinds, by_text = grid.expansion, {}, {}
  local axes = {}
  for _, axis in ipairs(expansion.axes) do
    if axis ~= expansion.seed then axes[#axes + 1] = axis end
  end
  for _, job in ipairs(missing) do
    local values = {}
    for key, value in pairs(job.values) do values[key] = key ~= expansion.seed and value or nil end
    local key = plan.text(values)
    if not by_text[key] then
      local label = job.kind or study.label({ axes = axes, values = expansion.values }, job)
      by_text[key] = { job = job, label = label ~= "" and label or grid.study.recipe.name, missing = 0 }
      kinds[#kinds + 1] = by_text[key]
    end
    by_text[key].missing = by_text[key].missing + 1
  end
  return kinds
end

-- Gives each kind its `cost`: the first ones are measured, the others judged by these, so much for each pass over the
-- data. Gives the most of what one process needs; or nil and what cannot be measured.
local function measure_kinds(kinds)
  local most = { memory = 0, disk = 0, disk_running = 0 }
  local measured, weight = { value = 0, low = 0, high = 0, flops = 0 }, 0
  for i, kind in ipairs(kinds) do
    if i <= MEASURED then
      local cost, message = measure(kind.job, 4 / math.min(#kinds, MEASURED), kind.label)
      if not cost then return nil, format("%s: %s", kind.label, message) end
      kind.cost, weight = cost, weight + kind.job.cost
      for _, key in ipairs(spans) do measured[key] = measured[key] + cost.seconds[key] end
      measured.flops = measured.flops + cost.flops
      for key, value in pairs(most) do most[key] = math.max(value, cost[key]) end
      most.stand_in = most.stand_in or cost.stand_in
    else
      local share = kind.job.cost / weight
      kind.cost = { seconds = {}, flops = measured.flops * share }
      for _, key in ipairs(spans) do kind.cost.seconds[key] = measured[key] * share end
    end
  end
  return most
end

local function grid_cost(grid, options)
  local work = jobs_of.missing(grid.jobs)
  local missing = #work
  say("")
  if missing == 0 then
    say(format("all %d runs are there already", #grid.jobs))
    return
  end
  local kinds = kinds_of(grid, work)
  local most, message = measure_kinds(kinds)
  if not most then
    say(text.wrap("cost: cannot be measured: " .. message, print_of.width(), "  "))
    return
  end
  local total, flops, rows = { value = 0, low = 0, high = 0 }, 0, {}
  for i, kind in ipairs(kinds) do
    local cost = kind.cost
    for _, key in ipairs(spans) do total[key] = total[key] + kind.missing * cost.seconds[key] end
    flops = flops + kind.missing * cost.flops
    rows[i] = { kind.label, kind.missing, cost.step and text.seconds(cost.step.value) or "",
                how_long(cost.seconds.value) }
  end
  local notes = { most.stand_in }
  if #kinds > MEASURED then
    notes[#notes + 1] = format("%d kinds of runs were timed, the others are judged by these", MEASURED)
  end
  say_cost({
    { "time", format("%s for the %d runs that are missing, one after the other", about(total), missing) },
    { "compute", text.flops(flops) },
    { "memory", text.bytes(most.memory) .. " of tensors at the most, for each process" },
    disk_row(missing * most.disk, (missing - 1) * most.disk + most.disk_running, options.out),
  }, notes)
  if #rows > 1 then
    say("")
    say(text.table({ { title = "runs", wrap = true }, "missing", "a step", "a run" }, rows,
      { indent = "  ", width = print_of.table_width() }))
  end
end

-- ---- a recipe, a study ----

local function show_recipe(base, settings, options)
  local job, message, kind = jobs_of.of(base, settings, options.out)
  if not job then options_of.stop(message, kind == "argument" and 2 or 1) end
  heading(base, "recipe")
  parameters(base, job.values, settings, {})
  ledger(base)
  say("")
  say(plan.tree(job.plan))
  formula(job.plan)
  if not options.no_cost then one_cost(job, options) end
  return 0
end

local function shown_values(values)
  local shown = {}
  for i, value in ipairs(values) do shown[i] = param.show(value) end
  return concat(shown, ", ")
end

local function shown_scale(scale)
  local parts = {}
  for _, key in ipairs(spec.names(scale)) do
    -- A grid of its own has no short form; the runs it makes are listed when the scale is chosen.
    if key ~= "grid" then parts[#parts + 1] = key .. "=" .. param.show(scale[key]) end
  end
  if scale.grid then parts[#parts + 1] = "and runs of its own" end
  return concat(parts, " ")
end

local function show_study(this, settings, options)
  local grid, message, kind = grid_of.new(this, settings, options.out)
  if not grid then options_of.stop(message, kind == "argument" and 2 or 1) end
  local expansion, base, width = grid.expansion, this.recipe, print_of.width()
  heading(this, "study")
  say("")
  say(text.wrap(format("%s of %s: %s", text.plural(#grid.jobs, "run"), base.name, base.title), width))
  local rows, varies = {}, {}
  for _, axis in ipairs(expansion.axes) do
    rows[#rows + 1], varies[axis] = { "  " .. axis, shown_values(expansion.values[axis]) }, true
  end
  say(text.columns(rows, { width = width }))
  rows = {}
  for _, name in ipairs(spec.names(this.scales)) do
    rows[#rows + 1] = { (name == expansion.scale and "* " or "  ") .. name, shown_scale(this.scales[name]) }
  end
  if #rows > 0 then
    say("")
    say("scales: scale=NAME chooses one (*)")
    say(text.columns(rows, { width = width }))
  end
  parameters(base, expansion.points[1].values, {}, varies)
  ledger(base)
  if #this.claims > 0 then
    say("")
    say("claims")
    rows = {}
    for i, claim in ipairs(this.claims) do
      rows[i] = { "  ·", format("%s: %s of %s %s %s", claim.title, claim.metric, param.show(claim.left),
        claim.direction, param.show(claim.right)) }
    end
    say(text.columns(rows, { gap = 1, width = width }))
  end
  say("")
  say(format("the plan of the first run, %s", study.label(expansion, expansion.points[1])))
  say(plan.tree(grid.jobs[1].plan))
  formula(grid.jobs[1].plan)
  if not options.no_cost then grid_cost(grid, options) end
  return 0
end

local function act(options)
  local value = options_of.load(options)
  local is_recipe = recipe.is_recipe(value)
  local settings = options_of.settings(options.setting, not is_recipe)
  return (is_recipe and show_recipe or show_study)(value, settings, options)
end

return { about = "What a recipe or study is, and what it will cost here.", describe = describe,
         act = options_of.guarded(act) }
