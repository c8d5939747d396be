--- The closed world in which recipe and study files are read: the constructors, `param`, and the harmless part of the
--- standard library. No files, no processes, no clock, no modules, no bytecode.
local file = require "file"
local param = require "param"
local plan = require "plan"
local recipe = require "recipe"
local recipes = require "recipes"
local spec = require "spec"
local study = require "study"

local M = {}

local format = string.format

local function copy(from, names)
  local out = {}
  for name in names:gmatch("%S+") do out[name] = from[name] end
  return out
end

-- Fresh tables for each file: what one recipe does to its world stays there.
local function environment()
  local env = copy(_G, "assert error ipairs next pairs pcall select tonumber tostring type")
  env.math = copy(math, "abs ceil exp floor fmod huge log max maxinteger min mininteger modf pi sqrt tointeger type")
  env.string = copy(string, "byte char find format gmatch gsub len lower match rep reverse sub upper")
  env.table = copy(table, "concat insert move pack remove sort unpack")
  env.utf8 = copy(utf8, "char charpattern codepoint codes len offset")
  env.param = copy(param, "choice flag integer list number path seed")
  env.recipe = recipe.new
  env.study, env.claim = study.new, study.claim
  env.rows, env.chart = copy(study.rows, "by"), copy(study.chart, "bars points lines")
  for name, constructors in pairs(plan.world()) do env[name] = constructors end
  local known = spec.names(env)
  return setmetatable(env, {
    __index = function(_, name)
      name = tostring(name)
      error(format('"%s" is not known in a recipe%s', name, spec.nearest(name, known) and spec.suggest(name, known)
        or ""), 2)
    end,
  })
end

--- Reads a recipe or a study; a study's recipe is looked for beside it first (recipes.lua). A missing file or one that
--- is wrong gives nil, message, code.
---@param path string
---@param options? { name?: string, recipe?: string }  # the name, if it is not the file's; the path of a study's recipe
---@return Recipe|Study? value, string? message, string? code
function M.load(path, options)
  options = options or {}
  local text, message, code = recipes.read(path)
  if not text then return nil, message, code end
  local folder, name = file.split(path)
  local chunk
  chunk, message = load(text, "@" .. name, "t", environment())
  local ok, value = false, message
  if chunk then ok, value = pcall(chunk) end
  if not ok then
    -- Lua names file and line, except where a tail call or the loader itself leaves no line.
    message = tostring(value)
    return nil, message:find(name, 1, true) and message or name .. ": " .. message, "format"
  end
  if not recipe.is_recipe(value) and not study.is_study(value) then
    return nil, format("%s: expected the file to return recipe{...} or study{...}, got %s", name, spec.shown(value)),
      "format"
  end
  value.path, value.text, value.name = path, text, options.name or file.stem(path)
  if study.is_study(value) then
    local beside, base
    beside, message, code = options.recipe, nil, nil
    if not beside then beside, message, code = recipes.beside(folder, value.recipe_name) end
    if not beside then return nil, format("%s: %s", name, message), code end
    base, message, code = M.load(beside, { name = value.recipe_name })
    if not base then return nil, message, code end
    if not recipe.is_recipe(base) then return nil, format("%s: expected a recipe, got a study", beside), "format" end
    ok, message = value:attach(base)
    if not ok then return nil, format("%s: %s", name, message), "format" end
  end
  return value
end

return M
