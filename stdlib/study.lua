--- Studies: many runs of one recipe, and what they say together. A study is a file that returns
---
---   study { title = "Table 4: Colour MNIST", recipe = "colour_mnist",
---           grid = { variant = { "plain", "C" }, seed = { 1, 2, 3 } },
---           fixed = { epochs = 30 },
---           scales = { demo = { epochs = 3, seed = { 1 } } }, scale = "demo",
---           show = { rows.by("variant"):column("accuracy", { paper = { plain = 96.01 } }),
---                    chart.points { x = "variant", y = "accuracy" } },
---           claims = { claim { "C beats plain", "accuracy", C = ">", "plain" } } }
---
--- Runs that differ only in a seed are repetitions: they share one row, and pair with the same seeds of another row.
--- Runs are found by their plans: what is there already is not made again, and studies share them. A claim holds when
--- the whole interval of its difference is on its side of zero, fails when it is on the other, and is else not
--- resolved.

-- This file computes nothing but statistics; run/grid.lua makes the runs.
local json = require "json"
local param = require "param"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

-- ---- shapes a study file uses ----

--- A table that a study shows: a row for each value of a parameter.
---@class Rows
local Rows = {}
Rows.__index = Rows
Rows.__name = "rows"

M.rows = {}

--- A table with one row for each value of a grid parameter; columns are added with `:column`.
---
--- Example:
---     shown = study.rows.by("variant"):column("accuracy", { paper = { plain = 96.01 } }):column("flips")
---     #shown.columns  --> 2
---@param axis string
---@return Rows
function M.rows.by(axis)
  if type(axis) ~= "string" then error("rows.by: expected the name of a parameter, got " .. spec.shown(axis), 2) end
  return setmetatable({ axis = axis, columns = {} }, Rows)
end

local column_fields = { title = spec.text(), paper = spec.map { spec.number(), any_key = true, default = {} } }

--- Adds a column: a metric, under its own name or a title. `paper` holds the paper's values by row; they stand in a
--- column beside ours, and in charts of the metric. Gives the rows, so that columns chain.
---
--- Example:
---     study.rows.by("alpha"):column("ds_relative", { title = "DS, scale-free" }).columns[1].title
---     --> DS, scale-free
---@param metric string
---@param options? { title?: string, paper?: table }
---@return Rows
function Rows:column(metric, options)
  local column = spec.check("column", options, column_fields)
  if type(metric) ~= "string" then error("column: expected the name of a metric, got " .. spec.shown(metric), 2) end
  column.metric = metric
  self.columns[#self.columns + 1] = column
  return self
end

local Chart = { __name = "chart" }

-- The options of each kind of chart that name metrics, and those that name grid parameters.
local METRICS <const> = { bars = { "y" }, points = { "y" }, lines = { "y" }, heatmap = { "value" },
                          scatter = { "y", "x" } }
local AXES <const> = { bars = { "x", "series" }, points = { "x", "series" }, lines = { "x", "series" },
                       heatmap = { "x", "y" }, scatter = { "by" } }

-- The grid parameters that a chart, or a table, is about.
local function axes_of(shown)
  if not AXES[shown.kind] then return { shown.axis } end
  local axes = {}
  for _, key in ipairs(AXES[shown.kind]) do axes[#axes + 1] = shown[key] end
  for _, key in ipairs(spec.names(shown.where)) do axes[#axes + 1] = key end
  return axes
end

local function charter(kind)
  local fields = {
    title = spec.text(), label = spec.text(), note = spec.text(), where = spec.map { default = {} },
    name = spec.text { pattern = "^[%w_-]+$", expects = "a plain file name" },
  }
  if kind ~= "heatmap" then fields.log = spec.flag() end
  for _, list in ipairs { METRICS[kind], AXES[kind] } do
    for _, key in ipairs(list) do fields[key] = spec.text { required = key ~= "series" } end
  end
  return function(options)
    local chart = spec.check("chart." .. kind, options, fields)
    local metric, axes = chart[METRICS[kind][1]], {}
    for _, key in ipairs(AXES[kind]) do axes[#axes + 1] = chart[key] end
    chart.kind, chart.name = kind, chart.name or metric
    if kind == "scatter" then metric = format("%s against %s", metric, chart.x) end
    chart.title = chart.title or format("%s by %s", metric, concat(axes, " and "))
    return setmetatable(chart, Chart)
  end
end

--- Charts: y (a metric) over x (a grid parameter), with intervals, the seeds as dots and the paper's value as a
--- marker. bars stand on zero; points need not; lines are for a parameter that is a number. `series` names another grid
--- parameter, with bars, points or a line for each of its values. `log` is for y.
--- chart.heatmap{ x =, y =, value = }: a metric over two grid parameters. chart.scatter{ x =, y =, by = }: each run as
--- a point, one metric against another, told apart by a grid parameter.
--- `where` fixes others, as { alpha = 1 }; `label` names the metric's axis or scale.
M.chart = {}
for kind in pairs(AXES) do M.chart[kind] = charter(kind) end

local Claim = { __name = "claim" }

local function is_plain(value) return type(value) ~= "table" and type(value) ~= "function" end

local claim_fields = { spec.text { required = true, expects = "a title" },
                       spec.text { required = true, expects = "a metric" },
                       spec.value { "the right side", is_plain, required = true },
                       axis = spec.text(), where = spec.map { default = {} } }

--- A claim to be judged: claim{ "C beats plain", "accuracy", C = ">", "plain" } says that the metric of the runs with C
--- is above that of the runs with plain. The one named field is the left side and its value the direction. A third
--- form names the parameter and fixes others: claim{ ..., axis = "variant", where = { alpha = 1 } }.
---
--- Example:
---     claim = study.claim { "C beats plain", "accuracy", C = ">", "plain" }
---     claim.left, claim.direction, claim.right  --> C  >  plain
---@param options table
---@return table claim
function M.claim(options)
  if type(options) ~= "table" then error("claim: expected a table, got " .. spec.shown(options), 2) end
  local named = { options[1], options[2], options[3], axis = options.axis, where = options.where }
  named = spec.check("claim", named, claim_fields)
  local claim = { title = named[1], metric = named[2], right = named[3], axis = named.axis, where = named.where }
  for key, value in pairs(options) do
    if value == ">" or value == "<" then
      if claim.left ~= nil then error(format('claim "%s": more than one left side', claim.title), 2) end
      claim.left, claim.direction = key, value
    elseif type(key) == "number" and key > 3 or type(key) == "string" and key ~= "axis" and key ~= "where" then
      error(format('claim "%s": %s expects ">" or "<", got %s', claim.title, tostring(key), spec.shown(value)), 2)
    end
  end
  if claim.left == nil then
    error(format('claim "%s": the left side is missing: write it as C = ">" or C = "<"', claim.title), 2)
  end
  return setmetatable(claim, Claim)
end

-- ---- the study ----

--- Many runs of one recipe: a grid, what is shown of it, and claims.
---@class Study
---@field title string
---@field recipe Recipe
---@field axes string[]     # the grid's parameters, seeds last
---@field seed? string      # the one that is a seed
local Study = {}
Study.__index = Study
Study.__name = "Study"

--- Is it a study?
---
--- Example:
---     study.is_study(world.load "(built-in)/turned_colours.lua")  --> true
---@param value any
---@return boolean
function M.is_study(value)
  return getmetatable(value) == Study
end

local fields = {
  title = spec.text { required = true },
  about = spec.text(),
  recipe = spec.text { required = true, pattern = spec.FILE_NAME, expects = "the name of a recipe beside the study" },
  grid = spec.map { required = true },
  fixed = spec.map { default = {} },
  scales = spec.map { spec.map {}, default = {} },
  scale = spec.text(),
  show = spec.list { spec.any { spec.value { "rows" }, spec.value { "chart" } }, default = {} },
  claims = spec.list { spec.value { "claim" }, default = {} },
  sensible = spec.map {},
  notes = spec.list { spec.text(), default = {} },
}

---@class StudyOptions
---@field title string
---@field recipe string           # the name of a recipe beside the study, or of one that `penumbra recipes` lists
---@field grid table<string, any[]>  # the parameters that vary, with their values; a seed among them repeats
---@field about? string
---@field fixed? table<string, any>  # parameters that all runs have
---@field scales? table<string, table<string, any>>  # presets over grid and fixed, for scale=NAME
---@field scale? string           # the one without scale=
---@field show? (Rows|table)[]    # rows.by(...) and chart.NAME{...}; without them a table of all metrics
---@field claims? table[]         # claim{ ... }
---@field sensible? table         # { metric =, min =, variant = } what must be reached for verdicts to mean something
---@field notes? string[]         # below the tables

--- A study from its parts; in a study file, `return study{ ... }`.
---
--- Example:
---     file.write("own.lua", [[
---     return study {
---       title = "Digits, with the constraint and without",
---       recipe = "digits",
---       grid = { alpha = { 0, 0.1 }, seed = { 1, 2, 3 } },
---       claims = { claim { "the constraint lowers DS", "ds_relative", [0.1] = "<", 0 } },
---     }
---     ]])
---     #world.load("own.lua"):expand().points  --> 6
---@param options StudyOptions
---@return Study
function M.new(options)
  local self = setmetatable(spec.check("study", options, fields), Study)
  self.recipe_name, self.recipe = self.recipe, nil
  if self.scale and not self.scales[self.scale] then
    error(format('study: scale "%s" is not among the scales%s', self.scale,
      spec.suggest(self.scale, spec.names(self.scales))), 2)
  end
  if self.sensible and (type(self.sensible.metric) ~= "string" or type(self.sensible.min) ~= "number") then
    error("study: sensible expects { metric =, min = } and the row it is about", 2)
  end
  return self
end

--- Everything a study file says, as data; M.from makes a study of it again.
---@return table
---@package
function Study:describe()
  local out = { show = {}, claims = {} }
  for key in pairs(fields) do out[key] = out[key] or self[key] end
  out.recipe = self.recipe_name
  for i, shown in ipairs(self.show) do
    local options = {}
    for key, value in pairs(shown) do options[key] = value end
    if getmetatable(shown) == Chart then options.kind = nil end
    out.show[i] = { kind = shown.kind or "rows", options = options }
  end
  for i, claim in ipairs(self.claims) do
    out.claims[i] = { claim.title, claim.metric, claim.right, axis = claim.axis, where = claim.where,
                      [claim.left] = claim.direction }
  end
  return out
end

-- One of `show` from its description.
local function shown_from(description)
  local options = description.options
  if description.kind ~= "rows" then
    if not M.chart[description.kind] then error("a chart of no kind", 0) end
    return M.chart[description.kind](options)
  end
  local rows = M.rows.by(options.axis)
  for _, column in ipairs(options.columns) do
    local metric = column.metric
    column.metric = nil
    rows:column(metric, column)
  end
  return rows
end

--- The study that a description from elsewhere stands for, or nil and what is wrong with it.
---@param description any
---@return Study? study, string? problem
---@package
function M.from(description)
  local ok, made = pcall(function()
    local options = {}
    for key, value in pairs(description) do options[key] = value end
    options.show, options.claims = {}, {}
    for i, one in ipairs(description.show) do options.show[i] = shown_from(one) end
    for i, one in ipairs(description.claims) do options.claims[i] = M.claim(one) end
    return (M.new(options))
  end)
  if not ok then return nil, tostring(made) end
  return made
end

-- A setting of one parameter, for all runs or as an axis: a list of values.
local function axis_values(recipe, key, value)
  local this = recipe.params[key]
  if not this then
    return nil, format('unknown parameter "%s"%s', key, spec.suggest(key, recipe:names()))
  end
  -- A list is an axis, unless the parameter itself is one: then only a list of lists is.
  local many = type(value) == "table" and (this.kind ~= "list" or type(value[1]) == "table")
  local out, seen = {}, {}
  for i, element in ipairs(many and value or { value }) do
    local kept, problem = this:check(element)
    if kept == nil then return nil, format("%s %s", key, problem) end
    if seen[param.show(kept)] then return nil, format("%s holds %s twice", key, param.show(kept)) end
    out[i], seen[param.show(kept)] = kept, true
  end
  if #out == 0 then return nil, format("%s has no values", key) end
  return out, nil, many
end

local MOST <const> = 10000 -- values of a parameter, and runs of a study

-- The numbers from `from` to `to` that a step apart; without one, whole numbers.
local function range(this, from, to, step)
  if this.kind ~= "number" and not (math.tointeger(from) and math.tointeger(to) and math.tointeger(step or 1)) then
    return nil, format("expects whole numbers in a range, got %s..%s", param.show(from), param.show(to))
  end
  if this.kind == "number" and not step then
    return nil, format("expects a range with a step, as in 0..1/0.25, got %s..%s", param.show(from), param.show(to))
  end
  step = step or 1
  if not (step > 0) then return nil, format("expects a step above 0 in a range, got %s", param.show(step)) end
  local count = math.floor((to - from) / step + 1e-9) + 1
  if count > MOST then return nil, format("expects at most %d values, got %.0f", MOST, count) end
  local out = {}
  for i = 0, count - 1 do
    -- Twelve digits: 3 * 0.1 is meant to be 0.3.
    local value = tonumber(format("%.12g", from + i * step))
    local kept, problem = this:check(value)
    if kept == nil then return nil, problem end
    out[i + 1] = kept
  end
  return out
end

local numeric = { number = true, integer = true, seed = true }

--- The values that a text of the command line stands for: one, or a list of them and true.
---   alpha=0,0.1,1   seed=1..3   seed=1..3,7   width=8..64/8   lr=0..1/0.25   variant=plain,C
--- A list parameter takes the whole text as one value; several texts are several values: levels=1 levels=1,2.
---
--- Example:
---     digits = world.load "(built-in)/digits.lua"
---     study.read_values(digits.params.seed, "1..3")  --> { 1, 2, 3 }  true
---     study.read_values(digits.params.alpha, "0.1")  --> 0.1  false
---@param this Param
---@param given string|string[]
---@return any value, boolean|string many_or_problem
function M.read_values(this, given)
  if type(given) == "table" then
    local out = {}
    for i, one in ipairs(given) do
      local kept, problem = this:parse(one)
      if kept == nil then return nil, problem end
      out[i] = kept
    end
    return out, true
  end
  local whole, problem = this:parse(given)
  if whole ~= nil then return whole, false end
  if this.kind == "list" then return nil, problem end
  local out, many = {}, false
  for part in (given .. ","):gmatch "([^,]*)," do
    local from, to, step = part:match "^(.-)%.%.([^/]*)/?(.*)$"
    from, to = tonumber(from), tonumber(to)
    local values
    if numeric[this.kind] and from and to and (step == "" or tonumber(step)) then
      values, problem = range(this, from, to, tonumber(step))
      many = true
    else
      local kept
      kept, problem = this:parse(part)
      values = kept ~= nil and { kept } or nil
    end
    if not values then return nil, problem end
    table.move(values, 1, #values, #out + 1, out)
  end
  return out, many or given:find(",", 1, true) ~= nil
end

--- Joins the study with its recipe and checks everything that names a parameter.
---
--- Example:
---     colours = world.load "(built-in)/turned_colours.lua"
---     colours:attach(world.load "(built-in)/digits.lua")
---     --> nil  grid: unknown parameter "variant"; known: alpha, epochs, limit, seed
---@param recipe Recipe
---@return boolean? ok, string? message
---@package
function Study:attach(recipe)
  self.recipe = recipe
  for _, key in ipairs(spec.names(self.grid)) do
    local _, problem = axis_values(recipe, key, self.grid[key])
    if problem then return nil, "grid: " .. problem end
  end
  for _, key in ipairs(spec.names(self.fixed)) do
    local _, problem, many = axis_values(recipe, key, self.fixed[key])
    if problem or many then return nil, "fixed: " .. (problem or key .. " has several values; grid is for those") end
  end
  for _, name in ipairs(spec.names(self.scales)) do
    for _, key in ipairs(spec.names(self.scales[name])) do
      local _, problem = axis_values(recipe, key, self.scales[name][key])
      if problem then return nil, format("scale %s: %s", name, problem) end
    end
  end
  local function known(axis, where)
    if self.grid[axis] == nil then
      return nil, format('%s: "%s" is not in the grid%s', where, tostring(axis),
        spec.suggest(axis, spec.names(self.grid)))
    end
    return true
  end
  for _, shown in ipairs(self.show) do
    for _, axis in ipairs(axes_of(shown)) do
      local ok, message = known(axis, "show")
      if not ok then return nil, message end
    end
    for _, axis in ipairs(spec.names(shown.where or {})) do
      local _, problem = recipe.params[axis]:check(shown.where[axis])
      if problem then return nil, format("show: %s %s", axis, problem) end
    end
  end
  for _, claim in ipairs(self.claims) do
    if not claim.axis then
      for _, axis in ipairs(recipe:names()) do
        if self.grid[axis] and recipe.params[axis].kind ~= "seed" and not claim.axis then claim.axis = axis end
      end
    end
    local ok, message = known(claim.axis, format('claim "%s"', claim.title))
    if not ok then return nil, message end
    for _, side in ipairs { claim.left, claim.right } do
      local _, problem = recipe.params[claim.axis]:check(side)
      if problem then return nil, format('claim "%s": %s %s', claim.title, claim.axis, problem) end
    end
  end
  return true
end

-- A value of a parameter as a study file writes it.
local function written(value)
  if type(value) ~= "table" then return type(value) == "string" and json.encode(value) or param.show(value) end
  local parts = {}
  for i, element in ipairs(value) do parts[i] = written(element) end
  return #parts == 0 and "{}" or "{ " .. concat(parts, ", ") .. " }"
end

--- The study that a sweep is: a grid over a recipe, of the settings that have several values; the others hold for all
--- runs. Its text is that of a study file, to be kept, and gone on with by hand.
---
--- Example:
---     digits = world.load "(built-in)/digits.lua"
---     made = study.sweep(digits, { alpha = "0,0.1,1", seed = "1..2" })
---     #made:expand().points  --> 6
---@param recipe Recipe
---@param settings table<string, string|string[]>
---@return Study? study, string? message
function M.sweep(recipe, settings)
  local file_name = recipe.path:match "[^/]*$"
  local grid, fixed, axes = {}, {}, {} -- both also hold their lines
  for _, key in ipairs(spec.names(settings)) do
    if not recipe.params[key] then
      return nil, format('unknown parameter "%s" in %s%s', key, file_name, spec.suggest(key, recipe:names()))
    end
  end
  for _, key in ipairs(recipe:names()) do
    if settings[key] then
      local values, many = M.read_values(recipe.params[key], settings[key])
      if values == nil then return nil, format("%s: %s %s", file_name, key, many) end
      recipe:allow(recipe.params[key], values)
      local into = many and grid or fixed
      into[key] = values
      table.insert(into, format("    %s = %s,\n", key, written(values)))
      if many then axes[#axes + 1] = key end
    end
  end
  if #axes == 0 then
    return nil, format("%s: a sweep expects a parameter with several values, as in seed=1..3 or %s=...,...", file_name,
      recipe:names()[1] or "a")
  end
  local title = format("%s, by %s", recipe.title, concat(axes, ", "))
  local text_of = format("return study {\n  title = %s,\n  recipe = %s,\n  grid = {\n%s  },\n%s}\n", json.encode(title),
    json.encode(recipe.name), concat(grid), #fixed > 0 and format("  fixed = {\n%s  },\n", concat(fixed)) or "")
  for _, into in ipairs { grid, fixed } do
    for i = #into, 1, -1 do into[i] = nil end
  end
  local self = M.new { title = title, about = recipe.about, recipe = recipe.name, grid = grid, fixed = fixed }
  self.name, self.text = recipe.name .. "-sweep", text_of
  local ok, problem = self:attach(recipe)
  if not ok then return nil, problem end
  return self
end

---@class Expansion
---@field points table[]                # { values = resolved parameters }, in the order they are run
---@field axes string[]                 # parameters with more than one value or in the grid, seeds last
---@field values table<string, any[]>   # their values
---@field seed? string                  # the seed's name, when it is an axis
---@field scale? string

--- The runs of the study at a scale, with settings from the command line (texts) over it.
---
--- Example:
---     colours = world.load "(built-in)/turned_colours.lua"
---     runs = colours:expand { scale = "smoke" }
---     #runs.points, runs.axes, runs.points[1].values.epochs  --> 3  { "variant", "seed" }  1
---     colours:expand { scale = "smok" }  --> nil  unknown scale "smok" in turned_colours.lua; did you mean "smoke"?
---@param settings? table<string, string|string[]>  # as M.read_values takes them
---@return Expansion? expansion, string? message
function Study:expand(settings)
  local recipe, given, scale = self.recipe, {}, self.scale
  local file_name = self.path and self.path:match("[^/]*$") or "the study"
  settings = settings or {}
  if settings.scale and not recipe.params.scale then
    scale = settings.scale
    if not self.scales[scale] then
      return nil, format('unknown scale "%s" in %s%s', scale, file_name,
        spec.suggest(scale, spec.names(self.scales)))
    end
  end
  for key, value in pairs(self.fixed) do given[key] = value end
  for key, value in pairs(self.grid) do given[key] = value end
  for key, value in pairs(scale and self.scales[scale] or {}) do given[key] = value end
  for _, key in ipairs(spec.names(settings)) do
    if key ~= "scale" or recipe.params.scale then
      local this = recipe.params[key]
      if not this then
        local known = recipe:names()
        known[#known + 1] = "scale"
        return nil, format('unknown parameter "%s" in %s%s', key, file_name, spec.suggest(key, known))
      end
      local kept, problem = M.read_values(this, settings[key])
      if kept == nil then return nil, format("%s: %s %s", file_name, key, problem) end
      recipe:allow(this, kept)
      given[key] = kept
    end
  end
  local expansion = { points = {}, axes = {}, values = {}, scale = scale }
  local fixed = {}
  for _, key in ipairs(recipe:names()) do
    if given[key] ~= nil then
      local values, problem, many = axis_values(recipe, key, given[key])
      if not values then return nil, format("%s: %s", file_name, problem) end
      if many or self.grid[key] ~= nil then
        expansion.values[key] = values
        if recipe.params[key].kind == "seed" and not expansion.seed then expansion.seed = key
        else expansion.axes[#expansion.axes + 1] = key end
      else
        fixed[key] = values[1]
      end
    end
  end
  -- Seeds vary slowest: the first seed's full comparison is there before the second seed begins.
  local order = { table.unpack(expansion.axes) }
  if expansion.seed then table.insert(order, 1, expansion.seed) end
  expansion.axes[#expansion.axes + 1] = expansion.seed
  local count = 1
  for _, key in ipairs(order) do count = count * #expansion.values[key] end
  if count > MOST then return nil, format("%s: expected at most %d runs, got %.0f", file_name, MOST, count) end
  local function fill(depth, chosen)
    if depth > #order then
      local values, problem = recipe:resolve(chosen)
      if not values then return problem end
      expansion.points[#expansion.points + 1] = { values = values }
      return
    end
    for _, value in ipairs(expansion.values[order[depth]]) do
      local deeper = {}
      for key, kept in pairs(chosen) do deeper[key] = kept end
      deeper[order[depth]] = value
      local problem = fill(depth + 1, deeper)
      if problem then return problem end
    end
  end
  local problem = fill(1, fixed)
  if problem then return nil, problem end
  return expansion
end

--- What tells a run from the others of its study: "C, seed 2".
---
--- Example:
---     runs = world.load("(built-in)/turned_colours.lua"):expand()
---     study.label(runs, runs.points[2])  --> AUG, seed 1
---@param expansion Expansion
---@param point table
---@return string
function M.label(expansion, point)
  local parts = {}
  for _, axis in ipairs(expansion.axes) do
    if #expansion.values[axis] > 1 or axis ~= expansion.seed then
      local value = param.show(point.values[axis])
      parts[#parts + 1] = (axis == expansion.seed or tonumber(value)) and axis .. " " .. value or value
    end
  end
  return concat(parts, ", ")
end

-- ---- what the runs say ----

local function same(a, b)
  return param.show(a) == param.show(b)
end

-- The points with these values, ordered by seed. Points need `metrics` to count.
local function select_points(expansion, where)
  local out = {}
  for _, point in ipairs(expansion.points) do
    local fits = point.metrics ~= nil
    for key, value in pairs(where) do
      if point.values[key] == nil or not same(point.values[key], value) then fits = false end
    end
    if fits then out[#out + 1] = point end
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
  for i, value in ipairs(expansion.values[shown.axis]) do
    local name = param.show(value)
    local points = select_points(expansion, { [shown.axis] = value })
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
  return { by = shown.axis, columns = columns, rows = rows, data = data }
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
  local values_of = expansion.values[shown.series] or { false }
  local options = { note = "with 95 % intervals", series = {}, categories = {} }
  local paper, marks, unit = paper_values(study, shown.y), {}, nil
  for s, own in ipairs(values_of) do
    local series = { name = shown.series and param.show(own) or shown.kind == "lines" and shown.y or "ours",
                     values = {}, dots = {}, points = {} }
    for i, value in ipairs(expansion.values[shown.x] or {}) do
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
  for s, value in ipairs(expansion.values[shown.by] or {}) do
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
  local make = shown.kind == "heatmap" and heatmap or shown.kind == "scatter" and scatter or chart_over_axis
  local options, why = make(study, shown, expansion)
  if not options then return nil, why end
  options.title = shown.title
  if shown.note then options.note = (options.note and options.note .. "; " or "") .. shown.note end
  return options
end

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

-- Metrics that say how much was computed: they stand last, and training time is no result.
local effort = { images = 1, seconds = 2 }

-- The metrics that the points have, in order, with their units.
local function metrics_of(points)
  local units, names = {}, {}
  for _, point in ipairs(points) do
    for name, interval in pairs(point.metrics or {}) do
      if units[name] == nil then names[#names + 1] = name end
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

--- The runs as one table: a row for each combination of the grid's values, and of every metric the mean ± the standard
--- deviation over the seeds. Runs that are not there leave their place to the others.
---
--- Example:
---     runs = world.load("(built-in)/turned_colours.lua"):expand()
---     for i, point in ipairs(runs.points) do point.metrics = { accuracy = stats.interval { 90 + i % 3 } } end
---     shown = study.spread(runs)
---     text.table(shown.columns, shown.rows)
---     --> variant   seeds   accuracy
---     --> ───────   ─────   ────────
---     --> plain         3      91.00
---     --> AUG           3      92.00
---     --> C             3      90.00
---@param expansion Expansion
---@param wanted? string[]  # these metrics only
---@return table shown      # { by, columns, rows, keys, data } as the tables of Study:evaluate
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

--- Everything the runs say: tables, charts (as plot.lua takes them) and verdicts. Points carry `metrics`.
--- A study that shows nothing has one table of all metrics, or of those wanted.
---
--- Example:
---     colours = world.load "(built-in)/turned_colours.lua"
---     runs = colours:expand { seed = "1" }
---     for i, right in ipairs { 20, 80, 90 } do
---       runs.points[i].metrics = { accuracy = stats.interval { right, right + 2 }, ds_relative = stats.interval { 1 },
---                                  flips = stats.interval { 100 - right } }
---     end
---     colours:evaluate(runs).claims[1].verdict  --> holds
---@param expansion Expansion
---@param wanted? string[]
---@return { tables: table[], charts: table[], claims: table[] }
function Study:evaluate(expansion, wanted)
  local out = { tables = {}, charts = {}, claims = {} }
  if #self.show == 0 then out.tables[1] = M.spread(expansion, wanted) end
  for _, shown in ipairs(self.show) do
    if getmetatable(shown) == Rows then
      out.tables[#out.tables + 1] = make_table(shown, expansion)
    else
      local options, why = make_chart(self, shown, expansion)
      out.charts[#out.charts + 1] = { kind = shown.kind, name = shown.name, options = options, why = why }
    end
  end
  for i, claim in ipairs(self.claims) do out.claims[i] = judge(self, claim, expansion) end
  return out
end

local over_text = {
  items = "over the test items, one seed: another training may differ by more",
  ["seeds and items"] = "over seeds and test items",
  seeds = "over seeds",
  intervals = "from the two intervals, unpaired",
}

--- The verdicts as lines for the terminal.
---
--- Example:
---     colours = world.load "(built-in)/turned_colours.lua"
---     runs = colours:expand { seed = "1" }
---     print(study.claims_text(colours:evaluate(runs).claims))
---     --> claim verdict ...
---     --> ...
---@param claims table[]
---@param width? integer        # of lines of words; 100
---@param table_width? integer  # of the table; as wide as it wants to be
---@return string
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
