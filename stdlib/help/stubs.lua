--- Definition files for editors (LuaCATS, as lua-language-server reads them), made of what help knows.
---@package
local file = require "file"
local index = require "help.index"
local spec = require "spec"

local M = {}

local concat = table.concat

local HEAD <const> = "-- Made by penumbra help --stubs. What the functions do: penumbra help NAME.\n"

-- What a recipe file knows beside the modules; the prompt and recipes have those by name.
local words <const> = {
  recipe = 'require "recipe".new', study = 'require "study".new', claim = 'require "study".claim',
  rows = 'require "study".rows', chart = 'require "study".chart', px = 'require "perturb".px',
}

local function add(out, ...) out[#out + 1] = concat { ... } end

local function add_words(out, doc)
  for _, line in ipairs(doc.text) do add(out, line == "" and "---" or "--- " .. line) end
  for _, example in ipairs(doc.examples) do
    add(out, "---\n---```lua")
    for line in (example .. "\n"):gmatch "(.-)\n" do add(out, "---", line) end
    add(out, "---```")
  end
end

local function with_note(kind, note) return kind .. (note and "  # " .. note or "") end

-- "A, B" apart; what stands in brackets stays together.
local function apart(kinds)
  local list, depth, from = {}, 0, 1
  for at = 1, #kinds do
    local char = kinds:sub(at, at)
    if char:find "[({<%[]" then depth = depth + 1
    elseif char:find "[)}>%]]" then depth = depth - 1
    elseif char == "," and depth == 0 then
      list[#list + 1] = kinds:sub(from, at - 1)
      from = at + 1
    end
  end
  list[#list + 1] = kinds:sub(from)
  for i, kind in ipairs(list) do list[i] = kind:match "^%s*(.-)%s*$" end
  return list
end

-- The options among the parameters of a row stand last, in one table, or for a container in the table of its modules.
local function parameters_of(topic)
  local params, options = {}, {}
  for _, param in ipairs(topic.doc.params) do
    if not param.option then params[#params + 1] = param
    else options[#options + 1] = param.name .. ": " .. param.type end
  end
  if #options > 0 and not topic.row.container then
    params[#params + 1] = { name = "options?", type = "{ " .. concat(options, ", ") .. " }" }
  end
  return params
end

-- `skip`: how many of the parameters stand before the colon.
local function add_function(out, topic, head, skip)
  add(out, "")
  add_words(out, topic.doc)
  if topic.kind == "value" then return add(out, "---@type any\n", head, " = nil") end
  local names = {}
  for i, param in ipairs(parameters_of(topic)) do
    if i > (skip or 0) then
      add(out, "---@param ", param.name, " ", with_note(param.type, param.note))
      names[#names + 1] = param.name:gsub("%?$", "")
    end
  end
  for _, given in ipairs(topic.doc.returns) do
    for i, kind in ipairs(apart(given.type)) do
      add(out, "---@return ", with_note(kind, i == 1 and given.note or nil))
    end
  end
  add(out, "function ", head, "(", topic.arguments or concat(names, ", "), ") end")
end

-- A value that can be called.
local function add_overload(out, doc)
  local params, given = {}, {}
  for i, param in ipairs(doc.params) do params[i] = param.name .. ": " .. param.type end
  for i, kind in ipairs(doc.returns) do given[i] = kind.type end
  add(out, "---@overload fun(", concat(params, ", "), ")", #given > 0 and ": " .. concat(given, ", ") or "")
end

local function add_class(out, class)
  add(out, "")
  add_words(out, class.doc)
  add(out, "---@class ", class.name, class.parent and ": " .. class.parent or "")
  for _, field in ipairs(class.doc.fields) do
    add(out, "---@field ", field.name, " ", with_note(field.type, field.note))
  end
  for _, operator in ipairs(class.doc.operators) do add(out, "---@operator ", operator) end
  for _, method in ipairs(class.methods) do
    if method.name == "__call" then add_overload(out, method.doc) end
  end
  if #class.methods > 0 then add(out, "local ", class.name, " = {}") end
  for _, method in ipairs(class.methods) do
    if method.name ~= "__call" then
      add_function(out, method, class.name .. (method.path:find(":", 1, true) and ":" or ".") .. method.name)
    end
  end
  -- Operations that begin with a tensor are its methods too.
  for _, topic in ipairs(class.name == "Tensor" and index.all().ops or {}) do
    if topic.row.args[1].kind ~= "tensors" then add_function(out, topic, "Tensor:" .. topic.name, 1) end
  end
end

local function module_stub(module)
  local out, own, inner = { "---@meta " .. module.name, HEAD }, module.name, {}
  for _, class in ipairs(module.classes) do add_class(out, class) end
  add(out, "")
  add_words(out, module.doc)
  add(out, "---@class ", own, "lib")
  if module.callable then add_overload(out, module.callable.doc) end
  add(out, "local ", own, " = {}")
  for _, entry in ipairs(module.entries) do
    local outer = entry.path:match "^([%w_]+%..*)%.[%w_]+$"
    if outer and not inner[outer] then
      inner[outer] = true
      add(out, "\n", outer, " = {}")
    end
    add_function(out, entry, entry.path)
  end
  if own == "nn" then
    for _, list in ipairs { index.all().ops, index.all().layers } do
      for _, topic in ipairs(list) do add_function(out, topic, topic.path) end
    end
  end
  add(out, "\nreturn ", own)
  return concat(out, "\n") .. "\n"
end

--- The files: one for each module, and one for what recipes and the prompt know by name.
---@return { name: string, text: string }[]
function M.files()
  local files, out = {}, { "---@meta\n" .. HEAD }
  for _, module in ipairs(index.all().module_list) do
    files[#files + 1] = { name = module.name .. ".lua", text = module_stub(module) }
    if not words[module.name] then add(out, module.name, ' = require "', module.name, '"') end
  end
  for _, name in ipairs(spec.names(words)) do add(out, name, " = ", words[name]) end
  files[#files + 1] = { name = "globals.lua", text = concat(out, "\n") .. "\n" }
  return files
end

--- Writes the files into a folder, which it makes.
---@param folder string
---@return integer? count, string? message, string? code
function M.write(folder)
  local made, message, code = file.make_folder(folder)
  if not made then return nil, message, code end
  local files = M.files()
  for _, one in ipairs(files) do
    made, message, code = file.write(folder .. "/" .. one.name, one.text)
    if not made then return nil, message, code end
  end
  return #files
end

return M
