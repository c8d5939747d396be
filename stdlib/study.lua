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
--- A list of grids, grid = { { variant = { "plain" }, seed = { 1, 2, 3 } }, { variant = { "ADV" }, seed = { 1 } } }, is
--- the runs of all of them; a scale may have a grid of its own, which replaces the study's.
---
--- Runs that differ only in a seed are repetitions: they share one row, and pair with the same seeds of another row.
--- Runs are found by their plans: what is there already is not made again, and studies share them. A claim holds when
--- the whole interval of its difference is on its side of zero, fails when it is on the other, and is else not
--- resolved.

-- What the runs say is in study/results.lua; run/grid.lua makes the runs.
local json = require "json"
local param = require "param"
local results = require "study.results"
local spec = require "spec"

local M = {}

local format, concat = string.format, table.concat

-- ---- shapes a study file uses ----

--- A table that a study shows: a row for each value of a parameter.
---@class Rows
local Rows = {}
Rows.__index = Rows
Rows.__name = "rows"

M.rows = {}

local rows_fields = { where = spec.map { default = {} }, title = spec.text() }

--- A table with one row for each value of a grid parameter; columns are added with `:column`. `where` fixes other
--- parameters, as { alpha = 1 }; `title` stands above the table.
---
--- Example:
---     shown = study.rows.by("variant"):column("accuracy", { paper = { plain = 96.01 } }):column("flips")
---     #shown.columns  --> 2
---     study.rows.by("alpha", { where = { variant = "C" } }):column("ds").where.variant  --> C
---@param axis string
---@param options? { where?: table<string, any>, title?: string }
---@return Rows
function M.rows.by(axis, options)
  if type(axis) ~= "string" then error("rows.by: expected the name of a parameter, got " .. spec.shown(axis), 2) end
  options = spec.check("rows.by", options, rows_fields)
  return setmetatable({ axis = axis, where = options.where, title = options.title, columns = {} }, Rows)
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
local METRICS <const> = { bars = { "y" }, points = { "y" }, lines = { "y" }, curves = { "y" }, heatmap = { "value" },
                          scatter = { "y", "x" } }
local AXES <const> = { bars = { "x", "series" }, points = { "x", "series" }, lines = { "x", "series" },
                       curves = { "series" }, heatmap = { "x", "y" }, scatter = { "by" } }

-- The grid parameters that a chart, or a table, is about.
local function axes_of(shown)
  local axes = { shown.axis }
  for _, key in ipairs(AXES[shown.kind] or {}) do axes[#axes + 1] = shown[key] end
  for _, key in ipairs(spec.names(shown.where)) do axes[#axes + 1] = key end
  return axes
end

local function charter(kind)
  local fields = {
    title = spec.text(), label = spec.text(), note = spec.text(), where = spec.map { default = {} },
    name = spec.text { pattern = "^[%w_-]+$", expects = "a plain file name" },
  }
  if kind ~= "heatmap" then fields.log = spec.flag() end
  if kind == "curves" then fields.along = spec.text { required = true } end
  for _, list in ipairs { METRICS[kind], AXES[kind] } do
    for _, key in ipairs(list) do fields[key] = spec.text { required = key ~= "series" } end
  end
  return function(options)
    local chart = spec.check("chart." .. kind, options, fields)
    local metric, axes = chart[METRICS[kind][1]], {}
    for _, key in ipairs(AXES[kind]) do axes[#axes + 1] = chart[key] end
    chart.kind, chart.name = kind, chart.name or metric:gsub("[^%w_-]+", "-"):gsub("-+$", "")
    if kind == "scatter" then metric = format("%s against %s", metric, chart.x) end
    chart.title = chart.title or format("%s by %s", metric, concat(axes, " and "))
    return setmetatable(chart, Chart)
  end
end

--- Charts: y (a metric) over x (a grid parameter), with intervals, the seeds as dots and the paper's value as a
--- marker. bars stand on zero; points need not; lines are for a parameter that is a number. `series` names another grid
--- parameter, with bars, points or a line for each of its values. `log` is for y.
--- chart.curves{ y = "ds/brightness/*", series =, along = "level" }: the metrics ds/brightness/1, ds/brightness/2, ...
--- over what stands in the place of the star, a line for each value of a grid parameter; `along` says what that is.
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
  grid = spec.any { spec.list { spec.map {}, min = 1 }, spec.map {}, required = true },
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
---@field grid table<string, any[]>|table<string, any[]>[]  # the parameters that vary, with their values; a seed among
---                                # them repeats; several grids: the runs of all of them
---@field about? string
---@field fixed? table<string, any>  # parameters that all runs have
---@field scales? table<string, table<string, any>>  # presets over grid and fixed, for scale=NAME; their `grid`
---                                # replaces the study's
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

-- The grids that hold at a scale, as a list.
local function grids_of(self, scale)
  local grid = scale and self.scales[scale] and self.scales[scale].grid or self.grid
  return #grid > 0 and grid or { grid }
end

-- Is the parameter in one of the study's grids?
local function in_grids(self, key)
  local names = spec.names(self.scales)
  for i = 0, #names do
    for _, grid in ipairs(grids_of(self, names[i])) do
      if grid[key] ~= nil then return true end
    end
  end
  return false
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
  local rows = M.rows.by(options.axis, { where = options.where, title = options.title })
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
  local function check_grids(scale, where)
    for _, grid in ipairs(grids_of(self, scale)) do
      if type(grid) ~= "table" then return nil, format("%s expects a table or a list of them", where) end
      for _, key in ipairs(spec.names(grid)) do
        local _, problem = axis_values(recipe, key, grid[key])
        if problem then return nil, format("%s: %s", where, problem) end
      end
    end
    return true
  end
  local sound, problem_of_grid = check_grids(nil, "grid")
  if not sound then return nil, problem_of_grid end
  for _, key in ipairs(spec.names(self.fixed)) do
    local _, problem, many = axis_values(recipe, key, self.fixed[key])
    if problem or many then return nil, "fixed: " .. (problem or key .. " has several values; grid is for those") end
  end
  for _, name in ipairs(spec.names(self.scales)) do
    local ok, message = check_grids(name, format("scale %s: grid", name))
    if not ok then return nil, message end
    for _, key in ipairs(spec.names(self.scales[name])) do
      local _, problem
      if key ~= "grid" then _, problem = axis_values(recipe, key, self.scales[name][key]) end
      if problem then return nil, format("scale %s: %s", name, problem) end
    end
  end
  local axes = {}
  for _, key in ipairs(recipe:names()) do
    if in_grids(self, key) then axes[#axes + 1] = key end
  end
  local function known(axis, where)
    if in_grids(self, axis) then return true end
    return nil, format('%s: "%s" is not in the grid%s', where, tostring(axis), spec.suggest(axis, axes))
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
      for _, axis in ipairs(axes) do
        if recipe.params[axis].kind ~= "seed" then claim.axis = claim.axis or axis end
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

-- What settings from the command line give the recipe's parameters; nil and a message when one is wrong.
local function read_settings(recipe, settings, file_name)
  local given = {}
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
  return given
end

-- A point for each combination of the values that one grid gives the parameters: { values = resolved }. The last
-- parameter varies fastest, a seed slowest. Gives what is wrong with one.
local function add_points(recipe, points, given, file_name)
  local order, lists, count = {}, {}, 1
  for _, key in ipairs(recipe:names()) do
    if given[key] ~= nil then
      local values, problem = axis_values(recipe, key, given[key])
      if not values then return format("%s: %s", file_name, problem) end
      table.insert(order, recipe.params[key].kind == "seed" and 1 or #order + 1, key)
      lists[key], count = values, count * #values
    end
  end
  if #points + count > MOST then
    return format("%s: expected at most %d runs, got %.0f", file_name, MOST, #points + count)
  end
  local function fill(depth, chosen)
    if depth > #order then
      local values, problem = recipe:resolve(chosen)
      points[#points + 1] = { values = values }
      return problem
    end
    for _, value in ipairs(lists[order[depth]]) do
      local deeper = {}
      for key, kept in pairs(chosen) do deeper[key] = kept end
      deeper[order[depth]] = value
      local problem = fill(depth + 1, deeper)
      if problem then return problem end
    end
  end
  return fill(1, {})
end

-- The values that a parameter has in the points, in the order of the grids; numbers ascend when there are several.
local function values_in(points, key, ascending)
  local values, seen, numbers = {}, {}, true
  for _, point in ipairs(points) do
    local value = point.values[key]
    if not seen[param.show(value)] then
      seen[param.show(value)], values[#values + 1] = true, value
      numbers = numbers and type(value) == "number"
    end
  end
  if ascending and numbers then table.sort(values) end
  return values
end

-- Leaves out what several grids have in common, and puts the runs of a seed together.
local function merge(points, seed, seeds)
  local out, seen = {}, {}
  for _, value in ipairs(seed and seeds or { false }) do
    for _, point in ipairs(points) do
      local key = json.encode(point.values)
      if (not seed or point.values[seed] == value) and not seen[key] then
        seen[key], out[#out + 1] = true, point
      end
    end
  end
  return out
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
  local scale, file_name = self.scale, self.path and self.path:match("[^/]*$") or "the study"
  settings = settings or {}
  if settings.scale and not self.recipe.params.scale then
    scale = settings.scale
    if not self.scales[scale] then
      return nil, format('unknown scale "%s" in %s%s', scale, file_name,
        spec.suggest(scale, spec.names(self.scales)))
    end
  end
  local recipe, grids, points = self.recipe, grids_of(self, scale), {}
  local typed, message = read_settings(recipe, settings, file_name)
  if not typed then return nil, message end
  local many = {} -- parameters that a scale or setting gives several values
  for _, grid in ipairs(grids) do
    local given = {}
    for _, values in ipairs { self.fixed, grid, scale and self.scales[scale] or {}, typed } do
      for key, value in pairs(values) do
        if values ~= self.scales[scale] or key ~= "grid" then given[key] = value end
      end
    end
    for key, value in pairs(given) do
      local _, _, several = axis_values(recipe, key, value)
      many[key] = many[key] or several
    end
    local problem = add_points(recipe, points, given, file_name)
    if problem then return nil, problem end
  end
  local expansion = { axes = {}, values = {}, scale = scale }
  for _, key in ipairs(recipe:names()) do
    if in_grids(self, key) or many[key] then
      expansion.values[key] = values_in(points, key, #grids > 1)
      if recipe.params[key].kind == "seed" and not expansion.seed then expansion.seed = key
      else expansion.axes[#expansion.axes + 1] = key end
    end
  end
  expansion.axes[#expansion.axes + 1] = expansion.seed
  expansion.points = #grids > 1 and merge(points, expansion.seed, expansion.values[expansion.seed]) or points
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
function M.spread(expansion, wanted) return results.spread(expansion, wanted) end

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
function Study:evaluate(expansion, wanted) return results.evaluate(self, expansion, wanted) end

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
function M.claims_text(claims, width, table_width) return results.claims_text(claims, width, table_width) end

return M
