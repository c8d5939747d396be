--- What a recipe or a study says of itself, as plain data: about.json in the folder of a run or study. A report is made
--- from the folder alone, wherever it has been taken to, and reads no recipe.
local file = require "file"
local json = require "json"
local spec = require "spec"

local M = {}

-- Parameters in the order they were written, with what they may be.
local function parameters(recipe)
  local list = json.array()
  for i, name in ipairs(recipe:names()) do
    local this = recipe.params[name]
    list[i] = { name = name, kind = this.kind, doc = this.doc, default = this.default, expects = this.expects }
  end
  return list
end

local function of_recipe(recipe)
  return { kind = "recipe", name = recipe.name, path = recipe.path, title = recipe.title, about = recipe.about,
           cites = json.array(recipe.cites), unstated = json.array(recipe.unstated), params = parameters(recipe) }
end

-- The study's tables, so that their columns keep titles and order. A study that shows none has one of all metrics.
local function shown_tables(study, made)
  local list = json.array()
  for _, shown in ipairs(#study.show == 0 and made.tables or {}) do
    local columns = json.array()
    for i, metric in ipairs(shown.metrics) do columns[i] = { metric = metric, paper = false } end
    list[#list + 1] = { by = shown.by, columns = columns }
  end
  for _, shown in ipairs(study.show) do
    if shown.columns then
      local columns = json.array()
      for i, column in ipairs(shown.columns) do
        columns[i] = { metric = column.metric, title = column.title, paper = next(column.paper) ~= nil }
      end
      list[#list + 1] = { by = shown.axis, columns = columns }
    end
  end
  return list
end

--- The description of a recipe, or of a study with its recipe. For a study also what this making of it was: the scale,
--- the settings as they were typed, and its charts and tables as Study:evaluate gives them.
---@param value Recipe|Study
---@param made? { scale?: string, settings?: table<string, string>, charts?: table[], tables?: table[] }
---@return table
function M.of(value, made)
  if not value.recipe then return of_recipe(value) end
  made = made or {}
  local settings, charts = json.array(), json.array()
  for _, name in ipairs(spec.names(made.settings or {})) do
    settings[#settings + 1] = name .. "=" .. made.settings[name]
  end
  for _, chart in ipairs(made.charts or {}) do
    if chart.options then
      local options = require "run.folder".plain(chart.options)
      options.path, options.kind, options.formats = nil, nil, nil -- where it was drawn to
      charts[#charts + 1] = { kind = chart.kind, name = chart.name, options = options }
    end
  end
  return { kind = "study", name = value.name, path = value.path, title = value.title, about = value.about,
           scale = made.scale, settings = settings, notes = json.array(value.notes), sensible = value.sensible,
           tables = shown_tables(value, made), charts = charts, recipe = of_recipe(value.recipe) }
end

-- Where a recipe or study came from: one that is read from its run's folder was told there before.
local function origin(folder, path, before)
  if not path or path:sub(1, #folder + 1) ~= folder .. "/" then return path end
  return type(before) == "table" and type(before.path) == "string" and before.path or path
end

--- Writes about.json into a folder.
---@param folder string
---@param value Recipe|Study
---@param made? table  # as for `of`
---@return boolean? ok, string? message, string? code
function M.write(folder, value, made)
  local about, before = M.of(value, made), json.read(folder .. "/about.json")
  about.path = origin(folder, about.path, before)
  if about.recipe then
    about.recipe.path = origin(folder, about.recipe.path, type(before) == "table" and before.recipe)
  end
  return file.write(folder .. "/about.json", json.encode(about, { pretty = true }) .. "\n")
end

return M
