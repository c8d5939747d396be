--- Help: on the program, on operations and layers (from their rows), on modules and their functions (from the comments
--- in their source). `penumbra help TOPIC` prints it, and so do help(...) and ?topic at the prompt.
---
--- The comment above a function is the one source of its help, of what editors are told (`penumbra help --stubs`), and
--- of an example that the test suite runs. It holds text; `---@param name type  # note`; `---@return type  # note`; and
---
---   --- Example:
---   ---     x = nn.tensor { 1, -2 }
---   ---     x:relu():tolist()              --> { 1.0, 0.0 }
---   ---     nn.relu "no tensor"            --> error: relu: x expects a tensor, got string
---
--- whose lines, four blanks further in, are entries of the prompt: every module is there by its name. What follows
--- `-->` is what the entry prints, in further lines of `-->` when it prints several; `error: ` is what it raises,
--- without the place. Blanks count as one, numbers agree to the digits that are written, and `...` ends a line or a
--- list of them that goes on. An entry without `-->` is only run. In the rows of operations and layers `.example` holds
--- the same lines.
---
--- Modules without a dot in their name are public. One in a folder is a part of the one before the dot: its classes are
--- public too, its functions our own. `---@package` in the head of a module, or above a function or class, keeps it to
--- ourselves.
local command = require "command"
local host = require "host"
local index = require "help.index"
local page = require "help.page"
local spec = require "spec"
local terminal = require "terminal"
local topics = require "help.topics"

local M = {}

local WIDEST <const> = 100

-- Columns to fill: those of the terminal, when that is where the text goes.
local function width()
  local columns = host.terminal(1) and terminal.width() or WIDEST
  return math.max(40, math.min(WIDEST, columns))
end

-- What a command says about itself.
local function about(name) return (require("commands." .. name).about:gsub("%.$", "")) end

-- The program's commands, one a line.
local function commands()
  local lines = {}
  for i, name in ipairs(command.names()) do lines[i] = ("  penumbra %-12s %s"):format(name, about(name)) end
  return table.concat(lines, "\n")
end

local function is_command(name)
  for _, other in ipairs(command.names()) do
    if other == name then return true end
  end
  return false
end

-- What `penumbra NAME --help` prints.
local function command_text(name)
  local parser, message = command.parser(name)
  return parser and parser:get_help() .. "\n" or name .. ": " .. message .. "\n"
end

local lists = {
  ops = function(all, columns)
    local sorted = table.move(all.ops, 1, #all.ops, 1, {})
    table.sort(sorted, function(a, b) return a.name < b.name end)
    return page.list("Operations, as nn.name(...); those that begin with a tensor are also its methods, x:name(...).",
      sorted, columns)
  end,
  layers = function(all, columns)
    return page.list("Layers, as nn.Name(...): each is a model, called with a tensor.", all.layers, columns)
  end,
  modules = function(all, columns)
    return page.list("Modules, for require; at the prompt each is there by its name.", all.module_list, columns)
  end,
}

local function find(topic, columns)
  if topics[topic] then return page.flow(topics[topic]:gsub("%%s", commands), columns) end
  if lists[topic] then return lists[topic](index.all(), columns) end
  local found = index.find(topic)
  if found and is_command(topic) then
    return page.text(found, columns) .. ("\n  At the command line: penumbra %s --help\n"):format(topic)
  elseif found then
    return page.text(found, columns)
  end
  if is_command(topic) then return command_text(topic) end
  local several = index.called(topic:match "^[%w_]+:([%w_]+)$" or topic)
  if #several == 0 then return nil end
  if #several == 1 then return page.text(several[1], columns) end
  return page.list(('"%s" is one of these:'):format(topic), several, columns)
end

-- ---- searching ----

-- Does the text have the word, as a word or as the beginning of one? Case does not count.
local function has_word(words, word)
  return words:lower():find("%f[%w]" .. word:lower():gsub("%W", "%%%0")) ~= nil
end

local function speaks_of(topic, word)
  if has_word(topic.path, word) or has_word(table.concat(topic.doc.text, " "), word) then return true end
  for _, list in ipairs { topic.doc.params, topic.doc.returns, topic.doc.fields } do
    for _, note in ipairs(list) do
      if has_word(note.name .. " " .. note.type .. " " .. (note.note or ""), word) then return true end
    end
  end
  return false
end

local function search(word, nearest, columns)
  if #word < 3 then return nil end
  local found = {}
  for _, topic in ipairs(index.all().list) do
    if speaks_of(topic, word) then found[#found + 1] = topic end
  end
  local hint = nearest and ('did you mean "%s"? These'):format(nearest) or "these"
  return #found > 0 and page.list(('No topic "%s"; %s speak of it:'):format(word, hint), found, columns) or nil
end

--- What a topic could have been: the functions of a module when it names one, else everything.
local function known(topic)
  local names, all = {}, index.all()
  local module = all.modules[topic:match "^(.*)%.[%w_]+$"]
  if module then
    for _, entry in ipairs(module.entries) do names[#names + 1] = entry.path end
    if module.name == "nn" then
      for _, list in ipairs { all.ops, all.layers } do
        for _, row in ipairs(list) do names[#names + 1] = row.path end
      end
    end
    return names
  end
  for _, list in ipairs { topics, lists, all.topics } do
    for name in pairs(list) do names[#names + 1] = name:gsub("^nn%.", "") end
  end
  return names
end

--- The text on a topic: a name, or a word that the topics are searched for. Raises when there is none, naming the
--- nearest.
---
--- Example:
---     print(help.text "perturb.px")
---     --> perturb.px(steps)
---     --> ...
---     help.text "perturb.hues"  --> error: help: no topic "perturb.hues"; did you mean "perturb.hue"?
---@param topic? string  # none: the overview
---@return string
function M.text(topic)
  topic = topic or "overview"
  local columns = width()
  local found = find(topic, columns)
  if found then return found end
  local names = known(topic)
  local nearest = spec.nearest(topic, names)
  -- Of conv2d and Conv2d the one that begins as the topic does.
  for _, name in ipairs(nearest and names or {}) do
    if name:lower() == nearest:lower() and name:sub(1, 1) == topic:sub(1, 1) then nearest = name end
  end
  local mentions = search(topic, nearest, columns)
  if mentions then return mentions end
  error(('help: no topic "%s"; %s'):format(topic, nearest and ('did you mean "%s"?'):format(nearest)
    or "without a topic, help lists them"), 0)
end

return setmetatable(M, {
  __call = function(_, value)
    if value == "" then value = nil end
    local found
    if value ~= nil and type(value) ~= "string" then
      local topic = index.of(value)
      if not topic then error("help: nothing is written about this " .. type(value), 2) end
      found = page.text(topic, width())
    end
    io.stdout:write(found or M.text(value))
  end,
})
