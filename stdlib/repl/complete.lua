--- What the Tab key completes: names, fields, methods, modules, and paths inside strings.
---
--- Nothing of the user's is run: fields are read from the tables themselves, and an __index is followed only where it
--- is a table. Modules of ours that stand for globals are loaded on the way; our own values (tensors, models) may be
--- asked for a field.
local commands = require "repl.commands"
local host = require "host"
local lfs = require "lfs"
local text = require "text"

local M = {}

local KEYWORDS <const> = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not",
  "or", "repeat", "return", "then", "true", "until", "while",
}
local MOST <const> = 200 -- names that are shown

-- ---- reading values ----

-- Fields that tensors compute instead of holding them.
local computed <const> = { ["nn.tensor"] = { "shape", "type", "axes", "grad", "requires_grad" } }

-- The table behind a metatable's __index: itself, or what our own functions in C look things up in; those of our
-- modules in Lua look in the metatable.
local function index_table(meta)
  local index = rawget(meta, "__index")
  if type(index) == "function" then
    local info = debug.getinfo(index, "S")
    if info.what == "C" then
      local _, methods = debug.getupvalue(index, 1)
      index = methods
    elseif info.short_src:sub(1, 7) == "stdlib/" then
      index = meta
    end
  end
  return type(index) == "table" and index or nil
end

-- The tables in which a value's fields lie.
local function holders(value)
  local list = {}
  for _ = 1, 10 do
    if type(value) == "table" then list[#list + 1] = value end
    if type(value) == "userdata" then
      local own = debug.getuservalue(value, 1)
      if type(own) == "table" then list[#list + 1] = own end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and index_table(meta) or nil
    if value == nil then break end
  end
  return list
end

local function is_ours(value)
  local meta = type(value) == "userdata" and debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name:find "^nn%." ~= nil and name or nil
end

--- A field of a value, found without running anything of the user's.
---@param value any
---@param key any
---@return any
function M.field(value, key)
  for _, holder in ipairs(holders(value)) do
    local found = rawget(holder, key)
    if found ~= nil then return found end
  end
  if is_ours(value) then
    local ok, found = pcall(function() return value[key] end)
    if ok then return found end
  end
end

-- Modules that stand for globals once they are named.
local function module_names()
  local names = { "nn" }
  for _, name in ipairs(host.modules()) do names[#names + 1] = name end
  return names
end

local function global(name)
  local found = rawget(_G, name)
  if found ~= nil then return found end
  if name == "show" then return require "terminal".show end
  for _, module in ipairs(module_names()) do
    if module == name then
      local ok, loaded = pcall(require, name)
      return ok and loaded or nil
    end
  end
end

--- The value of a chain of names, `data.part`, `x[1].grad`, or nil: nothing is called on the way.
---
--- Example:
---     print(require "repl.complete".resolve "perturb.hue" == perturb.hue)  --> true
---@param chain string
---@return any
function M.resolve(chain)
  local root, rest = chain:match "^([%a_][%w_]*)(.*)$"
  if not root then return nil end
  local value = global(root)
  while rest ~= "" and value ~= nil do
    local name, after = rest:match "^%s*[.:]%s*([%a_][%w_]*)(.*)$"
    if not name then
      name, after = rest:match "^%[(%-?%d+)%](.*)$"
      name = math.tointeger(name)
    end
    if not name then name, after = rest:match "^%[\"([^\"\\]*)\"%](.*)$" end
    if not name then return nil end
    value, rest = M.field(value, name), after
  end
  return value
end

-- ---- candidates ----

-- Those that begin with the word, sorted, each once; names with a leading _ only when asked for.
local function matching(names, word)
  local found, seen = {}, {}
  for _, name in ipairs(names) do
    if name:sub(1, #word) == word and not seen[name] and (word ~= "" or name:sub(1, 1) ~= "_") then
      seen[name] = true
      found[#found + 1] = name
    end
  end
  table.sort(found)
  return found
end

local function add_names(names, holder, functions_only)
  for key, value in next, holder do
    local callable = type(value) == "function" or type(value) == "string" and functions_only == "lazy"
    if type(key) == "string" and key:find "^[%a_][%w_]*$" and (not functions_only or callable) then
      names[#names + 1] = key
    end
  end
end

--- The names of a value's fields and methods.
---@param value any
---@return string[]
function M.names_of(value)
  local names, ours = {}, is_ours(value)
  for _, holder in ipairs(holders(value)) do add_names(names, holder) end
  return ours and table.move(computed[ours] or {}, 1, 10, #names + 1, names) or names
end

local function fields(chain, mark, word)
  local value = M.resolve(chain)
  if value == nil then return {} end
  local names, ours = {}, is_ours(value)
  -- Of a method that a module in Lua has, our values hold the module's name until it is first asked for.
  local own = ours and debug.getuservalue(value, 1)
  for _, holder in ipairs(holders(value)) do
    add_names(names, holder, mark == ":" and (ours and holder ~= own and "lazy" or true))
  end
  if mark == "." and ours then table.move(computed[ours] or {}, 1, 10, #names + 1, names) end
  return matching(names, word)
end

local function globals(word)
  local names = { "show", table.unpack(word ~= "" and KEYWORDS or {}) }
  add_names(names, _G)
  for _, module in ipairs(module_names()) do
    if not module:find("%.") then names[#names + 1] = module end
  end
  return matching(names, word)
end

-- What `?` explains.
local function topics()
  local names = globals ""
  add_names(names, require "nn")
  return names
end

-- Names in a folder that go on with the path, folders with a slash.
local function paths(path)
  local folder, word = path:match "^(.*/)([^/]*)$"
  if not folder then folder, word = "", path end
  local place = folder == "" and "." or folder:gsub("^~/", (os.getenv "HOME" or "~") .. "/")
  local names = {}
  local ok, list, state = pcall(lfs.dir, place)
  if not ok then return {}, word end
  for name in list, state do
    local hidden = name:sub(1, 1) == "."
    if name:sub(1, #word) == word and (not hidden or word:sub(1, 1) == "." and name ~= "." and name ~= "..") then
      local is_folder = lfs.attributes(place .. (place:sub(-1) == "/" and "" or "/") .. name, "mode") == "directory"
      names[#names + 1] = name .. (is_folder and "/" or "")
    end
  end
  table.sort(names)
  return names, word
end

-- ---- the line ----

-- Where the line ends: inside a string, its text so far, its quote, and what stands before it; in a comment, true.
local function open_string(line)
  local at = 1
  while true do
    local start = line:find("--", at, true)
    local quote_start, _, quote = line:find("([\"'])", at)
    if not quote_start and not start then return nil end
    if start and (not quote_start or start < quote_start) then return nil, nil, nil, true end
    local from = quote_start + 1
    while true do
      local close = line:find("[\\" .. quote .. "]", from)
      if not close then return line:sub(quote_start + 1), quote, line:sub(1, quote_start - 1) end
      if line:sub(close, close) == quote then at = close + 1 break end
      from = close + 2
    end
  end
end

-- What all names have in common from the word on.
local function common(names, word)
  local shared = names[1]
  for i = 2, #names do
    local length = 0
    while length < #shared and shared:byte(length + 1) == names[i]:byte(length + 1) do length = length + 1 end
    shared = shared:sub(1, length)
  end
  -- Not half a character.
  while not utf8.len(shared) and #shared > #word do shared = shared:sub(1, -2) end
  return shared:sub(#word + 1)
end

--- What can stand at the end of a line: the names, the part of them that is there already, and what ends a name that is
--- the only one.
---
--- Example:
---     print(require "repl.complete".candidates("x = perturb.br")[1])  --> brightness
---@param line string
---@return string[] names, string word, string? ending
function M.candidates(line)
  local command, blank, rest = line:match "^:(%a*)(%s*)(.*)$"
  if command and blank == "" then return matching(commands.names(), command), command, " " end
  if command == "reload" then
    local word = rest:match "[%w_.]*$"
    return matching(module_names(), word), word
  end
  local inside, quote, before, comment = open_string(command and rest or line)
  if comment then return {}, "" end
  if inside and before:find "require%s*%(?%s*$" then return matching(module_names(), inside), inside, quote end
  if inside then
    local names, word = paths(inside)
    return names, word, #names == 1 and names[1]:sub(-1) ~= "/" and quote or nil
  end
  local chain, mark, word = line:match "([%a_][%w_.:%[%]\"]*)%s*([.:])([%a_]?[%w_]*)$"
  if chain and line:sub(-#word - 2) ~= ".." .. word then return fields(chain, mark, word), word end
  local literal = line:match "[\"']%)%s*:%s*([%a_]?[%w_]*)$"
  if literal then return fields("string", ":", literal), literal end
  word = line:match "[%a_][%w_]*$" or ""
  if line:find("[%)%]}\"'][.:]" .. word .. "$") then return {}, "" end
  if line:find "^%?" then return matching(topics(), word), word end
  if word == "" and line:find "[^%s(,={?]%s*$" then return {}, "" end
  return globals(word), word
end

--- Names in columns, the longest list cut.
---
--- Example:
---     print(require "repl.complete".list({ "ones", "tensor", "zeros" }, 20))
---     --> ones    zeros
---     --> tensor
---@param names string[]
---@param columns integer
---@return string
function M.list(names, columns)
  local shown, width = math.min(#names, MOST), 0
  for i = 1, shown do width = math.max(width, text.width(names[i]) + 2) end
  local across = math.max(1, columns // width)
  local down = (shown + across - 1) // across
  local lines = {}
  for row = 1, down do
    local parts = {}
    for i = row, shown, down do parts[#parts + 1] = text.pad(names[i], width) end
    lines[row] = table.concat(parts):gsub("%s+$", "")
  end
  if shown < #names then lines[#lines + 1] = ("... and %d more"):format(#names - shown) end
  return table.concat(lines, "\n")
end

--- What Tab does at the end of a line: the text to insert, and the names to show when there are several and nothing is
--- common to them. At the beginning of a line it indents.
---
--- Example:
---     print(require "repl.complete".answer("perturb.brigh", 80))  --> tness
---@param line string
---@param columns integer
---@return string insert, string? list
function M.answer(line, columns)
  if not line:find "%S" then return "  " end
  local names, word, ending = M.candidates(line)
  if #names == 0 then return "" end
  local insert = common(names, word)
  if #names == 1 then return insert .. (ending or "") end
  return insert, insert == "" and M.list(names, columns) or nil
end

return M
