--- Reads the comments of a module: what help, the stubs and the tests of the examples know of it. (The form of the
--- comments is told in help.lua.)
---@package
local M = {}

---@class HelpDoc
---@field text string[]        # the lines of the comment before its annotations, without the examples
---@field params HelpNote[]
---@field returns HelpNote[]
---@field fields HelpNote[]    # of a class
---@field operators string[]   # of a class: "add(Tensor|number): Tensor"
---@field examples string[]    # each the lines of one
---@field package? boolean     # the program's own, not for scripts
---@field meta? string         # of a definition file: the module that it defines
---@field lines string[]       # the comment as it stands

---@class HelpNote
---@field name string    # of a parameter or field, with "?" when it may be left out; "" for what is returned
---@field type string
---@field note? string

---@class HelpEntry       # a function, a method, a class or a value of a module
---@field kind "function"|"method"|"class"|"value"
---@field name string      # as it is written after the module or the class
---@field arguments string # "x, options"
---@field doc HelpDoc
---@field gives? boolean   # its body ends in a return with values
---@field line integer     # on which it begins

---@class HelpModule
---@field name string
---@field doc HelpDoc           # the head's
---@field entries HelpEntry[]   # functions and values, in the order of the file
---@field call? HelpEntry       # when the module itself can be called
---@field classes table[]       # { name, parent, doc, own = the __name of its values, methods = HelpEntry[] }

-- "type  # note" in two.
local function split_note(words)
  local kind, note = words:match "^(.-)%s%s*#%s*(.*)$"
  return kind or words, note
end

local tags = {}

function tags.param(doc, words)
  local name, rest = words:match "^(%S+)%s+(.*)$"
  local kind, note = split_note(rest or "")
  doc.params[#doc.params + 1] = { name = name or words, type = kind, note = note }
end

tags["return"] = function(doc, words)
  local kind, note = split_note(words)
  doc.returns[#doc.returns + 1] = { name = "", type = kind, note = note }
end

function tags.field(doc, words)
  local name, rest = words:match "^(%S+)%s+(.*)$"
  local kind, note = split_note(rest or "")
  doc.fields[#doc.fields + 1] = { name = name or words, type = kind, note = note }
end

function tags.operator(doc, words) doc.operators[#doc.operators + 1] = words end

local function without_end(lines)
  while lines[#lines] and lines[#lines]:find "^%s*$" do lines[#lines] = nil end
  return lines
end

--- What the lines of a comment say, `---` and one blank taken off.
---@param lines string[]
---@return HelpDoc
function M.doc(lines)
  local doc = { text = {}, params = {}, returns = {}, fields = {}, operators = {}, examples = {}, lines = lines }
  local example, pending -- the example being read; the annotation of several lines, put together before it is read
  local function flush()
    if pending then tags[pending.tag](doc, pending.words) end
    pending = nil
  end
  for _, line in ipairs(lines) do
    local tag, words = line:match "^@(%l+)%s*(.*)$"
    if tag then
      flush()
      example = nil
      if tag == "package" then doc.package = true
      elseif tag == "meta" then doc.meta = words
      elseif tags[tag] then pending = { tag = tag, words = words } end
    elseif line:find "^Example:%s*$" then
      flush()
      example = {}
      doc.examples[#doc.examples + 1] = example
    elseif example and (line:find "^    " or line == "") then
      example[#example + 1] = line:sub(5)
    elseif line == "" then
      flush()
      example = nil
      doc.text[#doc.text + 1] = ""
    elseif pending then
      local begins = line:find "^%s*#" and not pending.words:find("#", 1, true) -- the note
      pending.words = pending.words .. (begins and "  # " or " ") .. line:gsub("^%s*#?%s*", "")
    else
      example = nil
      doc.text[#doc.text + 1] = line
    end
  end
  flush()
  without_end(doc.text)
  for i, code in ipairs(doc.examples) do doc.examples[i] = table.concat(without_end(code), "\n") end
  return doc
end

-- The lines of a comment in two: what comes before the annotation of a class, and the classes, each with its lines.
local function split_classes(lines)
  local before, classes = {}, {}
  for _, line in ipairs(lines) do
    local name, rest = line:match "^@class%s+([%w_.]+)%s*(.*)$"
    if name then
      classes[#classes + 1] = { name = name, parent = rest:match "^:%s*([%w_.]+)", lines = {},
                                about = rest:match "#%s*(.*)$" }
    elseif #classes > 0 then
      table.insert(classes[#classes].lines, line)
    else
      before[#before + 1] = line
    end
  end
  return before, classes
end

local function find_class(module, variable)
  for _, class in ipairs(module.classes) do
    if class.variable == variable then return class end
  end
end

local function read_classes(module, block, line)
  local before, classes = split_classes(block)
  for i, class in ipairs(classes) do
    local lines = i == 1 and before or {}
    if class.about then lines[#lines + 1] = class.about end
    table.move(class.lines, 1, #class.lines, #lines + 1, lines)
    class.doc, class.methods = M.doc(lines), {}
    module.classes[#module.classes + 1] = class
    if i == #classes then class.variable = line:match "^local ([%w_]+)" end
    class.own = line:match '__name = "([^"]*)"'
  end
  return #classes > 0
end

-- What a line of code below a comment (or below none) defines; gives the entry of a function.
local function read_code(module, line, block)
  if read_classes(module, block, line) then return nil end
  local variable, own = line:match '^([%w_]+)%.__name = "([^"]*)"'
  local of = variable and find_class(module, variable)
  if of then of.own = own end

  local head, mark, name, arguments = line:match "^function ([%w_]+)([.:])([%w_.]+)%s*%((.-)%)"
  if not head and #block > 0 then
    head, name = line:match "^([%w_]+)%.([%w_.]+) = "
    mark = "."
  end
  if head then
    local class = find_class(module, head)
    local doc = M.doc(block)
    local callable = arguments or #doc.params + #doc.returns > 0
    local entry = { name = name, doc = doc, kind = not callable and "value" or class and "method" or "function",
                    gives = line:find "%f[%w]return%f[%W].*%f[%w]end$" ~= nil }
    if not arguments then
      local names = {}
      for i, param in ipairs(doc.params) do names[i] = param.name:gsub("%?$", "") end
      arguments = table.concat(names, ", ")
    end
    entry.arguments = arguments
    if class then
      if mark == "." and name == "__call" then entry.arguments = entry.arguments:gsub("^[%w_]+,?%s*", "") -- itself
      elseif mark == "." then entry.static = true end
      table.insert(class.methods, entry)
    elseif head == "M" or head == module.name then
      table.insert(module.entries, entry)
    end
    return entry
  end
  local last = module.name:match "[%w_]+$"
  local with = line:match("^local function " .. last .. "%s*%(_, (.-)%)")
  if not with then return nil end
  module.call = { kind = "function", name = "", arguments = with, doc = M.doc(block) }
  return module.call
end

--- What the comments of a source say.
---@param name string    # of the module
---@param source string
---@return HelpModule
function M.read(name, source)
  local module = { name = name, entries = {}, classes = {} }
  local block, open = {}, nil -- open: the function whose body is being read
  local number = 0
  for line in (source .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if open and line:find "^  return %S" then open.gives = true end
    local comment = line:match "^%-%-%-(.*)$"
    if comment then
      block[#block + 1] = comment:gsub("^ ", "", 1)
    else
      if not module.doc and #block > 0 then
        module.doc = M.doc(block)
        if module.doc.meta then module.name = module.doc.meta end
      else
        local entry = read_code(module, line, block)
        if entry then entry.line = number end
        open = entry or line ~= "end" and open or nil
      end
      block = {}
    end
  end
  module.doc = module.doc or M.doc {}
  return module
end

return M
