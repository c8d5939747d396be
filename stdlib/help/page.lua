--- Lays a topic of help out as text of a given width.
---@package
local index = require "help.index"
local text = require "text"

local M = {}

local concat = table.concat

local NAME = 20 -- columns that names of parameters get, at most

-- Words in lines of a width, all but the first indented.
local function filled(words, width, indent)
  return (text.wrap(words, width - #indent):gsub("\n", "\n" .. indent))
end

-- An entry of a list, "  word   what it is", keeps what it is in its column; code stays as it is. `more`: what stands
-- below it in that column.
local function add_entry(out, line, more, width)
  local head, words = line:match "^(%s+%S.-%s%s+)(%S.*)$"
  local column = head and text.width(head) or width
  if column + 20 <= width and (#more > 0 or text.width(line) > width) then
    out[#out + 1] = head .. filled(words .. " " .. concat(more, " "), width, (" "):rep(column))
  else
    out[#out + 1] = line
    table.move(more, 1, #more, #out + 1, out)
  end
end

-- Does the line go on with what an entry of a list says?
local function goes_on(entry, line)
  local head = entry:match "^(%s+%S.-%s%s+)%S"
  return head ~= nil and #line:match "^%s*" == #head
end

-- Paragraphs are filled; lines that begin with blanks (code, lists) stay as they are, if there is room.
local function add_paragraphs(out, lines, indent, width)
  local words, entry, more = {}, nil, {}
  local function flush()
    if #words > 0 then out[#out + 1] = indent .. filled(concat(words, " "), width, indent) end
    if entry then add_entry(out, entry, more, width) end
    words, entry, more = {}, nil, {}
  end
  for _, line in ipairs(lines) do
    if line == "" then
      flush()
      out[#out + 1] = ""
    elseif not line:find "^%s" then
      if entry then flush() end
      words[#words + 1] = line
    elseif entry and goes_on(entry, indent .. line) then
      more[#more + 1] = indent .. line
    else
      flush()
      entry = indent .. line
    end
  end
  flush()
end

-- "name   type: note", the rest of it below.
local function add_note(out, name, words, column, width)
  local head, indent = "  " .. text.pad(name, column) .. "  ", (" "):rep(column + 4)
  if #name > column then
    out[#out + 1] = "  " .. name
    head = indent
  end
  out[#out + 1] = head .. filled(words, width, indent)
end

-- What may be left out has a note that begins with its default: "128", "1: of the order", '"mnist": a name'.
local function with_default(note)
  local value, rest = note.note:match '^(%-?%d[%d.e-]*)(.*)$'
  if not value then value, rest = note.note:match '^("[^"]*")(.*)$' end
  if not value then value, rest = note.note:match '^(%l+)(.*)$' end
  local word = value == "true" or value == "false" or value and not value:find "^%l"
  local ends = word and not rest:find "^ or " and not rest:find "^ to " and not rest:find "^|"
  return (note.name:find "%?$" and ends and "default " or "") .. note.note
end

local function note_text(note)
  if note.type == "" then return note.note or "" end
  return note.type .. (note.note and ", " .. with_default(note) or "")
end

local function column_of(notes)
  local column = 7
  for _, note in ipairs(notes) do column = math.max(column, math.min(NAME, #note.name)) end
  return column
end

-- What a function gives: "T? name, string? message, string? code" reads "T name, or nil, message, code".
local function returns_text(note)
  local kind = note.type:gsub("^(.-)%?([^,]*), string%? message, string%? code$", "%1%2, or nil, message, code")
  return kind .. (note.note and ", " .. note.note or "")
end

-- The fields of a class, after those of the class it takes fields from.
local function fields_of(class)
  local parent, own, fields = index.all().classes[class.parent], {}, {}
  for _, field in ipairs(class.doc.fields) do own[field.name] = true end
  for _, field in ipairs(parent and fields_of(parent) or {}) do
    if not own[field.name] then fields[#fields + 1] = field end
  end
  return table.move(class.doc.fields, 1, #class.doc.fields, #fields + 1, fields)
end

-- The tables of options among the types of parameters: classes without methods.
local function option_classes(doc)
  local found, seen = {}, {}
  for _, param in ipairs(doc.params) do
    for word in param.type:gmatch "%u[%w_]*" do
      local class = index.all().classes[word]
      if class and #class.methods == 0 and #fields_of(class) > 0 and not seen[word] then
        seen[word] = true
        found[#found + 1] = class
      end
    end
  end
  return found
end

local function add_fields(out, head, fields, width)
  out[#out + 1] = ""
  out[#out + 1] = "  " .. head
  local column = column_of(fields)
  for _, field in ipairs(fields) do
    local lines = {}
    add_note(lines, field.name:gsub("^%[integer%]$", "[1], ..."), note_text(field), column, width - 2)
    for _, line in ipairs(lines) do out[#out + 1] = "  " .. line:gsub("\n", "\n  ") end
  end
end

local function add_examples(out, examples)
  for i, example in ipairs(examples) do
    out[#out + 1] = ""
    if i == 1 then out[#out + 1] = "  Example" .. (#examples > 1 and "s" or "") end
    for line in (example .. "\n"):gmatch "(.-)\n" do out[#out + 1] = line == "" and "" or "    " .. line end
  end
end

local function add_function(out, topic, width)
  local doc = topic.doc
  out[#out + 1] = topic.call
  out[#out + 1] = ""
  add_paragraphs(out, doc.text, "  ", width)
  local notes = {}
  for _, param in ipairs(doc.params) do notes[#notes + 1] = { param.name, note_text(param) } end
  for _, kind in ipairs(doc.returns) do notes[#notes + 1] = { "returns", returns_text(kind) } end
  if #notes > 0 then out[#out + 1] = "" end
  local column = column_of(doc.params)
  for _, note in ipairs(notes) do add_note(out, note[1], note[2], column, width) end
  for _, class in ipairs(option_classes(doc)) do add_fields(out, class.name, fields_of(class), width) end
  add_examples(out, doc.examples)
end

--- The first sentence of a topic.
---@param topic HelpTopic
---@return string
function M.first_sentence(topic)
  local lines = {}
  for _, line in ipairs(topic.doc.text) do
    if line == "" or line:find "^%s" then break end
    lines[#lines + 1] = line
  end
  local words, from = concat(lines, " "), 1
  while true do
    local stop = words:find("[.;]%s", from)
    if not stop then return (words:gsub("[.:;]$", "")) end
    -- "He et al. 2015" and "(Eq. 2)" go on, and so does what a semicolon only divides.
    local before = words:sub(1, stop - 1)
    local short = before:find "%f[%w]al$" or before:find "%f[%w]Eq$" or before:find "[%s.]$"
    if not short and words:find(words:sub(stop, stop) == "." and "^.%s" or "^.%s+%u", stop) then return before end
    from = stop + 1
  end
end

-- A list of calls, each with its first sentence.
local function add_list(out, topics, width)
  local column = 0
  for _, topic in ipairs(topics) do
    if #topic.call <= math.min(28, width // 3) then column = math.max(column, #topic.call) end
  end
  for _, topic in ipairs(topics) do
    local about = M.first_sentence(topic)
    local indent = (" "):rep(column + 4)
    about = filled(about, width, indent)
    if #topic.call > column then
      out[#out + 1] = "  " .. topic.call
      if about ~= "" then out[#out + 1] = indent .. about end
    else
      out[#out + 1] = ("  " .. text.pad(topic.call, column) .. "  " .. about):gsub("%s+$", "")
    end
  end
end

local function add_class(out, class, width)
  local head = class.name
  if class.parent then head = head .. ": " .. class.parent end
  out[#out + 1] = head
  if #class.doc.text > 0 then out[#out + 1] = "" end
  add_paragraphs(out, class.doc.text, "  ", width)
  local fields = fields_of(class)
  if #fields > 0 then add_fields(out, "Fields", fields, width) end
  if #class.doc.operators > 0 then
    out[#out + 1] = ""
    out[#out + 1] = "  Operators"
    for _, operator in ipairs(class.doc.operators) do out[#out + 1] = "    " .. operator end
  end
  add_examples(out, class.doc.examples)
  local methods = class.methods
  if #methods > 0 then
    out[#out + 1] = ""
    add_list(out, methods, width)
  end
  local maker = index.all().topics["nn." .. class.name:lower()]
  if maker then
    out[#out + 1] = ""
    out[#out + 1] = "  " .. maker.call .. " makes one: help " .. maker.path
  end
end

local function add_module(out, module, width)
  out[#out + 1] = module.name
  out[#out + 1] = ""
  add_paragraphs(out, module.doc.text, "  ", width)
  add_examples(out, module.doc.examples)
  if module.callable then
    out[#out + 1] = ""
    add_function(out, module.callable, width)
  end
  if #module.entries > 0 then
    out[#out + 1] = ""
    add_list(out, module.entries, width)
  end
  local types = {}
  for _, class in ipairs(module.classes) do
    if #class.methods > 0 then
      out[#out + 1] = ""
      add_list(out, class.methods, width)
    end
    types[#types + 1] = class.name
  end
  if #types > 0 then
    out[#out + 1] = ""
    out[#out + 1] = "  " .. filled("Types: " .. concat(types, ", "), width, "    ")
  end
end

--- A topic as text.
---@param topic HelpTopic
---@param width integer
---@return string
function M.text(topic, width)
  local out = {}
  if topic.kind == "module" then add_module(out, topic, width)
  elseif topic.kind == "class" then add_class(out, topic, width)
  else add_function(out, topic, width) end
  return concat(out, "\n") .. "\n"
end

--- A text with its paragraphs filled to a width.
---@param words string
---@param width integer
---@return string
function M.flow(words, width)
  local lines, out = {}, {}
  for line in words:gmatch "(.-)\n" do lines[#lines + 1] = line end
  add_paragraphs(out, lines, "", width)
  return concat(out, "\n") .. "\n"
end

--- Topics one a line, under a title.
---@param title string
---@param topics HelpTopic[]
---@param width integer
---@return string
function M.list(title, topics, width)
  local out = { text.wrap(title, width), "" }
  add_list(out, topics, width)
  return concat(out, "\n") .. "\n"
end

return M
