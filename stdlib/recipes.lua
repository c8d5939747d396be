--- Where recipes and studies are: FILE on the command line is a path, or a name that is looked for in the current
--- folder, in the user's folder of recipes and in the set inside the program.
---
--- What is inside the program has paths too, "(built-in)/table4.lua", so that a built-in study finds its recipe, and a
--- recipe what it includes, the way those in a folder do.
---@package
local file = require "file"
local host = require "host"
local lfs = require "lfs"
local places = require "places"
local spec = require "spec"

local M = {}

local format, sort = string.format, table.sort

--- The folder that those inside the program seem to be in.
M.BUILT_IN = "(built-in)"

local function built_in_name(path)
  return path:match "^%(built%-in%)/([^/]+)%.lua$"
end

--- Is it the path of something inside the program?
---@param path string
---@return boolean
function M.is_built_in(path)
  return path:find("(built-in)/", 1, true) == 1
end

--- A recipe's or a study's text; `path` is that of a file or of something inside the program.
---@param path string
---@return string? text, string? message, string? code
function M.read(path)
  if not M.is_built_in(path) then return file.read(path) end
  local name = built_in_name(path)
  local text = name and host.recipes()[name]
  if not text then return nil, path .. ": there is no such built-in recipe", "io" end
  return text
end

--- The places that names are looked for in, in this order.
---@return { folder: string, title: string }[]
function M.places()
  local list = { { folder = "", title = "the current folder" } }
  local users = places.recipes()
  if users then list[2] = { folder = users, title = users } end
  list[#list + 1] = { folder = M.BUILT_IN, title = "the built-in set" }
  return list
end

---@param folder string  # "" is the current one
---@param name string
---@return string path
local function join(folder, name)
  return folder == "" and name or folder .. "/" .. name
end

local function is_file(path)
  if M.is_built_in(path) then return host.recipes()[built_in_name(path)] ~= nil end
  return lfs.attributes(path, "mode") == "file"
end

-- Whether a text calls `recipe` or `study`: other Lua files are no concern of ours.
local function looks_like_one(text)
  text = "\n" .. text
  return text:find "\n[^\n-]*%f[%w_]recipe%s*[{(]" ~= nil or text:find "\n[^\n-]*%f[%w_]study%s*[{(]" ~= nil
end

--- The recipes and studies in a place, by their files' names, in order.
---@param folder string
---@return { name: string, path: string }[]
function M.list(folder)
  local list = {}
  local function add(name, text)
    if text and looks_like_one(text) then list[#list + 1] = { name = name, path = join(folder, name .. ".lua") } end
  end
  if folder == M.BUILT_IN then
    for name, text in pairs(host.recipes()) do add(name, text) end
  elseif folder == "" or lfs.attributes(folder, "mode") == "directory" then
    for entry in lfs.dir(folder == "" and "." or folder) do
      local name = entry:match "^([^.].*)%.lua$"
      if name and is_file(join(folder, entry)) then add(name, (file.read(join(folder, entry)))) end
    end
  end
  sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- The names there are in all places, sorted.
---@return string[]
function M.names()
  local seen = {}
  for _, place in ipairs(M.places()) do
    for _, one in ipairs(M.list(place.folder)) do seen[one.name] = true end
  end
  return spec.names(seen)
end

--- The path of a recipe or a study: the word itself when it is a path, else the first place that has the name. `others`
--- are the paths that this one hides.
---@param word string
---@return string? path, string[]|string others_or_message, string? code
function M.find(word)
  local mode = lfs.attributes(word, "mode")
  if mode == "directory" and file.exists(word .. "/params.json") then
    return nil, format("%s: a recipe or a study expected, found the folder of a run; penumbra resume goes on with it",
      word), "argument"
  end
  if mode == "file" and word:find "%.penumbra$" then
    return nil, format("%s: a recipe or a study expected, found a pack; penumbra verify repeats what it holds", word),
      "argument"
  end
  if word:find("/", 1, true) or mode == "file" then return word, {} end
  local name = word:gsub("%.lua$", "")
  local found = {}
  for _, place in ipairs(M.places()) do
    local path = join(place.folder, name .. ".lua")
    if is_file(path) then found[#found + 1] = path end
  end
  if found[1] then return table.remove(found, 1), found end
  local titles = {}
  for i, place in ipairs(M.places()) do titles[i] = place.title end
  if word ~= name then
    return nil, format("there is no %s in %s or %s; penumbra recipes lists what there is", word,
      table.concat(titles, ", ", 1, #titles - 1), titles[#titles]), "io"
  end
  local near = spec.nearest(name, M.names())
  return nil, format('there is no recipe or study "%s" in %s or %s%s', name,
    table.concat(titles, ", ", 1, #titles - 1), titles[#titles],
    near and format('; did you mean "%s"?', near) or "; penumbra recipes lists them"), "io"
end

--- The path of a study's recipe: beside the study first, then as any other name.
---@param folder string
---@param name string
---@return string? path, string? message, string? code
function M.beside(folder, name)
  local path = join(folder, name .. ".lua")
  if is_file(path) then return path end
  local found, message, code = M.find(name)
  if found then return found end
  return nil, message, code
end

return M
