--- A run's plan made anew from its folder: the recipe's text is read again, in the sandbox, with the run's parameters.
local file = require "file"
local json = require "json"
local plan = require "plan"
local recipe = require "recipe"
local spec = require "spec"
local world = require "world"

local M = {}

local format = string.format

-- The recipe's name, which messages and new folders have: the folder says it, or its name does.
local function name_of(folder)
  local about = json.read(folder .. "/about.json")
  local said = type(about) == "table" and about.name
  local _, own = file.split(folder)
  local name = type(said) == "string" and said or own:match "^(.+)%-%x+$"
  return name and name:find(spec.FILE_NAME) and name or "recipe"
end

---@class Remade
---@field recipe Recipe
---@field values table
---@field plan table
---@field hash string
---@field text string   # of the plan
---@field values_of table<table, table>  # as Recipe:make_plans gives it

--- Makes the plan of the run in a folder anew. `grant` are paths that it may name beside the data folders.
---
--- Example:
---     print(require "run.remake".plan("runs/none-00000000"))
---@param folder string
---@param grant? string[]
---@return Remade? remade, string? message, string? code
function M.plan(folder, grant)
  local base, message, code = world.load(folder .. "/recipe.lua", { name = name_of(folder), grant = grant,
                                                                    includes = folder .. "/includes" })
  if not base then return nil, message, code end
  if not recipe.is_recipe(base) then return nil, folder .. "/recipe.lua: expected a recipe, got a study", "format" end
  local given
  given, message, code = json.read(folder .. "/params.json")
  if given == nil then return nil, message, code end
  if type(given) ~= "table" then return nil, folder .. "/params.json: expected parameters", "format" end
  local values, made, values_of
  values, message = base:resolve(given)
  if not values then return nil, format("%s/params.json: %s", folder, message), "format" end
  made, message, values_of = base:make_plan(values)
  if not made then return nil, message, "format" end
  return { recipe = base, values = values, plan = made, hash = plan.hash(made), text = plan.text(made),
           values_of = values_of }
end

return M
