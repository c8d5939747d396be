--- Recipes and studies from their files. What a file says is read in a child of the program (sandbox.lua), so that one
--- from a stranger is safe to open; what comes back is data.
local file = require "file"
local recipe = require "recipe"
local recipes = require "recipes"
local sandbox = require "sandbox"
local source = require "sandbox.source"
local study = require "study"
local text_of = require "text"

local M = {}

local format = string.format

local MESSAGE <const> = 1000 -- columns of what is wrong, in which a stranger's names stand

---@class LoadOptions
---@field name? string      # the name, if it is not the file's
---@field recipe? string    # the path of a study's recipe
---@field includes? string  # the folder of included files, if it is not the file's
---@field grant? string[]   # paths of data that its plans may name, beside the data folders

-- Adds what a recipe includes to what its study does: in the folder of the study's runs they lie together.
local function join_includes(value, base)
  local texts = {}
  for _, one in ipairs(value.includes) do texts[one.name] = one.text end
  for _, one in ipairs(base.includes) do
    if texts[one.name] and texts[one.name] ~= one.text then
      return format("%s and %s include different files of the name %s", value.file, base.file, one.name)
    end
    if not texts[one.name] then value.includes[#value.includes + 1] = one end
  end
end

--- Reads a recipe or a study; a study's recipe is looked for beside it first (recipes.lua). A missing file or one that
--- is wrong gives nil, message, code.
---
--- Example:
---     local recipe = assert(world.load "(built-in)/colour_mnist.lua")
---     print(recipe.params.alpha.default)                      --> 1.0
---     local plans = recipe:make_plans { recipe:resolve { alpha = 0.5 } }
---@param path string
---@param options? LoadOptions
---@return Recipe|Study? value, string? message, string? code
function M.load(path, options)
  options = options or {}
  local text, message, code = source.read(path)
  if not text then return nil, message, code end
  local folder, name = file.split(path)
  local value
  value, message, code = sandbox.read(name, text, options.includes or folder)
  if not value then return nil, message, code end
  value.path, value.file, value.text, value.name = path, name, text, options.name or file.stem(path)
  if recipe.is_recipe(value) then
    value.grant = { table.unpack(options.grant or {}) }
    return value
  end
  local beside = options.recipe
  if not beside then beside, message, code = recipes.beside(folder, value.recipe_name) end
  if not beside then return nil, format("%s: %s", name, message), code end
  local base
  base, message, code = M.load(beside, { name = value.recipe_name, grant = options.grant,
    includes = options.recipe and options.includes })
  if not base then return nil, message, code end
  if study.is_study(base) then return nil, format("%s: expected a recipe, got a study", beside), "format" end
  message = join_includes(value, base)
  if message then return nil, message, "format" end
  local ok
  ok, message = value:attach(base)
  if not ok then return nil, format("%s: %s", name, text_of.cut(message, MESSAGE)), "format" end
  return value
end

return M
