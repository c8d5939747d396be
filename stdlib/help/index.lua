--- Everything that help can tell of, by its name: operations and layers from their rows in C, functions, methods and
--- values from the comments of the modules. (What the runtime itself offers, nn.tensor or model:parameters, has its
--- comments in help/nn.lua, as an editor's definition file would.)
---@package
local host = require "host"
local nn = require "nn"
local source = require "help.source"

local M = {}

---@class HelpTopic
---@field path string       # "nn.conv2d", "perturb.px", "part:batches", "Part"
---@field name string       # its last word
---@field kind "op"|"layer"|"function"|"method"|"value"|"class"|"module"
---@field call string       # "perturb.px(steps)"
---@field arguments string  # "x, weight, bias"
---@field doc HelpDoc
---@field gives? boolean    # a function's body returns values
---@field module string     # whose page lists it
---@field line? integer     # of that module's source, on which a function begins
---@field class? string     # a method's
---@field methods? HelpTopic[]   # of a class
---@field entries? HelpTopic[]   # of a module: functions and values
---@field classes? HelpTopic[]   # of a module
---@field callable? HelpTopic    # of a module that can be called itself, as train
---@field own? string       # of a class: the __name of its values
---@field row? Row           # of an operation or layer

-- ---- rows ----

-- The kinds of arguments as types and what there is to say about them.
local kinds = {
  tensor = { "Tensor|number" }, any = { "Tensor|number" }, index = { "Tensor", "of type index" },
  tensors = { "Tensor[]" }, axis = { "integer", "1 is the first axis" },
  axes = { "integer|integer[]", "1 is the first axis" }, position = { "integer", "1 is the first" },
  sizes = { "integer[]" }, numbers = { "number[]" },
}

--- The arguments in a row's signature as notes, the options among them marked. See nn.ops().
local function read_signature(signature)
  local list, option = {}, false
  for word in signature:gsub("[{}]", " %0 "):gmatch "[^%s,]+" do
    local name, kind = word:match "^([%w_]+):(.+)$"
    if word == "{" then
      option = true
    elseif name then
      local plain, default = kind:match "^(.-)=(.*)$"
      plain = plain or kind
      local optional = plain:find "%?$" ~= nil
      plain = plain:gsub("%?$", "")
      local choices = plain:find("|", 1, true)
      local known = kinds[plain] or { choices and '"' .. plain:gsub("|", '"|"') .. '"' or plain }
      if default and choices then default = '"' .. default .. '"' end
      local may_miss = optional or default ~= nil
      list[#list + 1] = { name = name .. (may_miss and "?" or ""), type = known[1], option = option,
                          note = default and "default " .. default or known[2] }
    elseif word ~= "}" then
      local last = list[#list]
      last.note = (last.note and last.note .. ", " or "") .. word:gsub("^[<>]=?", "%0 ")
    end
  end
  return list
end

--- The call as a user writes it: "nn.conv2d(x, weight, bias?, {stride, padding})".
local function row_call(name, params, container)
  local plain, named = {}, {}
  for _, a in ipairs(params) do
    if a.option then named[#named + 1] = a.name:gsub("%?$", "") else plain[#plain + 1] = a.name end
  end
  if container then
    table.insert(named, 1, "modules ...")
    return "nn." .. name .. "{ " .. table.concat(named, ", ") .. " }"
  end
  if #named > 0 then plain[#plain + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return "nn." .. name .. "(" .. table.concat(plain, ", ") .. ")"
end

local function row_topic(row, kind)
  local params = read_signature(row.signature)
  local call = row_call(row.name, params, row.container)
  if row.container then
    table.insert(params, 1, { name = "modules", type = "table", note = 'layers, or { "name", layer }' })
  end
  local returns = row.returns and { { name = "", type = "Tensor", note = row.returns } }
    or { { name = "", type = "Model", note = "a layer" } }
  return { path = "nn." .. row.name, name = row.name, kind = kind, module = "nn", row = row,
           call = call,
           doc = { text = { row.doc }, params = params, returns = returns, examples = { row.example }, fields = {},
                   operators = {} } }
end

-- ---- modules ----

local function call_text(path, entry)
  if entry.kind == "value" then return path end
  local optional, names = {}, {}
  for _, param in ipairs(entry.doc.params) do
    local plain = param.name:gsub("%?$", "")
    optional[plain] = param.name ~= plain
  end
  for name in entry.arguments:gmatch "[%w_.]+" do names[#names + 1] = name .. (optional[name] and "?" or "") end
  return path .. "(" .. table.concat(names, ", ") .. ")"
end

local function topic_of(entry, path, module)
  return { path = path, name = path:match "[^.:]+$", kind = entry.kind, call = call_text(path, entry), doc = entry.doc,
           arguments = entry.arguments, gives = entry.gives, module = module, line = entry.line }
end

-- A class as scripts call its values: Part is part, DataSet is dataset.
local function word_of(class) return class:lower() end

-- A class's methods may stand in several modules; they are gathered under its name.
local function add_class(index, class, module)
  local topic = index.classes[class.name]
  if not topic then
    topic = { path = class.name, name = class.name, kind = "class", call = class.name, methods = {}, module = module,
              parent = class.parent, doc = class.doc, own = class.own }
    index.classes[class.name] = topic
    index.class_list[#index.class_list + 1] = topic
  elseif #topic.doc.text == 0 and #topic.doc.fields == 0 then
    topic.doc, topic.own, topic.module = class.doc, class.own or topic.own, module
  end
  for _, method in ipairs(class.methods) do
    local one = topic_of(method, word_of(class.name) .. (method.static and "." or ":") .. method.name, module)
    one.class, one.kind = class.name, "method"
    if method.name == "__call" then one.call = one.call:gsub(":__call", "") end
    topic.methods[#topic.methods + 1] = one
  end
end

-- What is public: modules without a dot in their names. A module in a folder is a part of the one before the dot: its
-- classes are that module's, its functions the program's own. `---@package` in a head keeps a whole module to
-- ourselves, with its parts, above a function or class that one.
local function add_module(index, name)
  local read = source.read(name, host.source(name))
  local whole = read.name:match "^(.-)%."
  local of = whole and host.source(whole)
  local hidden = read.doc.package or whole and not of or of and source.read(whole, of).doc.package
  if hidden then return end
  for _, class in ipairs(read.classes) do
    if not class.doc.package then
      local shown = {}
      for _, method in ipairs(class.methods) do
        local event = method.name:find "^__" and method.name ~= "__call"
        if not method.doc.package and not event then shown[#shown + 1] = method end
      end
      class.methods = shown
      add_class(index, class, read.name)
    end
  end
  if read.name:find(".", 1, true) then return end
  local topic = { path = read.name, name = read.name, kind = "module", call = read.name, doc = read.doc, entries = {},
                  module = read.name, classes = {} }
  for _, entry in ipairs(read.entries) do
    if not entry.doc.package then
      topic.entries[#topic.entries + 1] = topic_of(entry, read.name .. "." .. entry.name, read.name)
    end
  end
  if read.call then topic.callable = topic_of(read.call, read.name, read.name) end
  index.modules[read.name] = topic
  index.module_list[#index.module_list + 1] = topic
end

local cached

--- All there is: { topics = by path, list = in order, modules, module_list, classes, class_list, ops, layers }.
---@return table
function M.all()
  if cached then return cached end
  local index = { modules = {}, module_list = {}, classes = {}, class_list = {}, ops = {}, layers = {}, topics = {},
                  list = {} }
  local names = host.modules()
  table.sort(names)
  for _, name in ipairs(names) do add_module(index, name) end
  for _, row in ipairs(nn.ops()) do index.ops[#index.ops + 1] = row_topic(row, "op") end
  for _, row in ipairs(nn.layers()) do index.layers[#index.layers + 1] = row_topic(row, "layer") end

  local function add(topic)
    if not index.topics[topic.path] then
      index.topics[topic.path] = topic
      index.list[#index.list + 1] = topic
    end
  end
  table.sort(index.module_list, function(a, b) return a.name < b.name end)
  for _, topic in ipairs(index.module_list) do
    add(topic)
    for _, entry in ipairs(topic.entries) do add(entry) end
  end
  for _, list in ipairs { index.ops, index.layers } do
    for _, topic in ipairs(list) do add(topic) end
  end
  for _, topic in ipairs(index.class_list) do
    local module = index.modules[topic.module:match "^[^.]+"]
    if module then table.insert(module.classes, topic) end
    add(topic)
    for _, method in ipairs(topic.methods) do add(method) end
  end
  cached = index
  return index
end

-- A method of a value: "part:batches", "Part.batches", and of tensors the operations too.
local function find_method(index, name)
  local word, method = name:lower():match "^([%w_]+)[.:]([%w_]+)$"
  if not word then return nil end
  return index.topics[word .. ":" .. method] or word == "tensor" and index.topics["nn." .. method] or nil
end

--- The topic of this name: a path, a word for a class's values ("tensor"), a name in nn without its "nn.". A call's
--- arguments are left out.
---@param name string
---@return HelpTopic?
function M.find(name)
  local index = M.all()
  name = name:gsub("%s*[({].*$", "")
  if index.topics[name] then return index.topics[name] end
  for _, topic in ipairs(index.class_list) do
    if word_of(topic.name) == name then return topic end
  end
  local found = index.topics["nn." .. name] or find_method(index, name)
  if found then return found end
  local plain = name:lower()
  for _, topic in ipairs(index.list) do
    if topic.path:lower() == plain or topic.path:lower() == "nn." .. plain then return topic end
  end
end

--- The functions and methods with this last word ("load" is image.load, model:load and others), or in this table
--- ("npz" is nn.npz.load and nn.npz.save).
---@param name string
---@return HelpTopic[]
function M.called(name)
  local found = {}
  for _, topic in ipairs(M.all().list) do
    local table_name = topic.path:match "^nn%.(.*)%.[%w_]+$"
    local own = topic.kind ~= "class" and topic.kind ~= "module" and topic.name == name
    if own or table_name == name or table_name and "nn." .. table_name == name then found[#found + 1] = topic end
  end
  return found
end

-- A function written in Lua is told by the place of its source, one of C by where it stands.
local function of_function(value)
  local index = M.all()
  local about = debug.getinfo(value, "S")
  local module = about.short_src:match "^stdlib/(.*)%.lua$"
  module = module and module:gsub("/", ".")
  local samples = { Tensor = nn.zeros { 1 }, Model = nn.ReLU() }
  for _, topic in ipairs(index.list) do
    if about.what ~= "C" then
      if topic.module == module and topic.line == about.linedefined then return topic end
    elseif samples[topic.class] then
      if samples[topic.class][topic.name] == value then return topic end
    elseif topic.module == "nn" and topic.kind ~= "class" then
      local at = nn
      for word in topic.path:sub(4):gmatch "[%w_]+" do at = type(at) == "table" and at[word] or nil end
      if at == value then return topic end
    end
  end
end

--- The topic of a value: a function, a module, or a value of a class.
---@param value any
---@return HelpTopic?
function M.of(value)
  if type(value) == "function" then return of_function(value) end
  local index = M.all()
  for _, topic in ipairs(index.module_list) do
    if value ~= nil and value == (topic.name == "nn" and nn or package.loaded[topic.name]) then return topic end
  end
  local meta = getmetatable(value)
  local kind = type(value) ~= "string" and type(meta) == "table" and rawget(meta, "__name")
  for _, topic in ipairs(index.class_list) do
    if kind and topic.own == kind then return topic end
  end
end

return M
