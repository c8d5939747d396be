--- `penumbra recipes`: the recipes and studies that are found by their names.
local print_of = require "run.print"
local recipe = require "recipe"
local recipes = require "recipes"
local text = require "text"
local world = require "world"

local format = string.format

local function describe(parser)
  parser:epilog [[
A recipe is an experiment with parameters, a study a grid of runs of one. Both are text files,
safe to open whoever wrote them. `penumbra show NAME` says more of one, `penumbra run NAME` makes
its runs.]]
end

-- What one is, in a row: name, kind, title. What cannot be read is listed with the reason.
local function row_of(one, hidden_by)
  local value, message = world.load(one.path)
  local title = value and value.title or text.tame(message, 200)
  if hidden_by then title = format("%s (hidden by %s: give the path)", title, hidden_by) end
  return { "  " .. one.name, not value and "broken" or recipe.is_recipe(value) and "recipe" or "study", title }
end

local function act()
  local first = {}
  for _, place in ipairs(recipes.places()) do
    local rows = {}
    for i, one in ipairs(recipes.list(place.folder)) do
      rows[i] = row_of(one, first[one.name])
      first[one.name] = first[one.name] or one.path
    end
    if #rows > 0 or place.folder ~= "" then io.stdout:write(place.title, "\n") end
    if #rows > 0 then io.stdout:write(text.columns(rows, { width = print_of.width() }), "\n") end
    if #rows == 0 and place.folder ~= "" then io.stdout:write("  none\n") end
  end
  return 0
end

return { about = "The recipes and studies there are.", describe = describe, act = act }
