--- What may stand at a place of the command line: commands, options, recipes and their parameters, runs, data sets.
--- The shell's function (`penumbra help --completion`) asks the program itself, so that both know the same.
---@package
local cards = require "data.cards"
local command = require "command"
local host = require "host"
local lfs = require "lfs"
local param = require "param"
local recipe = require "recipe"
local recipes = require "recipes"
local spec = require "spec"
local world = require "world"

local M = {}

local global_options = { "--help", "--threads", "--traceback", "--version", "-e" }
local takes_value = { ["-e"] = true, ["--threads"] = true }

local commands = {}
for _, name in ipairs(command.names()) do commands[name] = true end

-- ---- what an argument may be ----

-- The folders of runs, by their names.
local function run_names(options)
  local folder, names = options["--runs"] or "runs", {}
  if lfs.attributes(folder, "mode") ~= "directory" then return names end
  for name in lfs.dir(folder) do
    if name:find "%-%x+$" and lfs.attributes(folder .. "/" .. name, "mode") == "directory" then
      names[#names + 1] = name
    end
  end
  return names
end

local function with_prefix(prefix, list)
  local out = {}
  for i, word in ipairs(list) do out[i] = prefix .. word end
  return out
end

-- The values a parameter is known to have.
local function values_of(this)
  if this.kind == "flag" then return { "true", "false" } end
  local shown = {}
  for i, value in ipairs(this.choices or {}) do shown[i] = param.show(value) end
  return shown
end

-- Parameters that are not given yet as "alpha="; after "variant=" what it may be.
local function settings(file, word, given)
  local path = file and recipes.find(file)
  local value = path and world.load(path)
  if not value then return {} end
  local base = recipe.is_recipe(value) and value or value.recipe
  local key, before = word:match "^([%w_]+=)(.*)$"
  if key then
    local this, name = base.params[key:sub(1, -2)], key:sub(1, -2)
    if not this and name == "scale" and value.scales then return with_prefix(key, spec.names(value.scales)) end
    if not this then return {} end
    if this.kind == "path" then return {}, true end
    local chosen, more = "," .. before, {}
    for _, shown in ipairs(values_of(this)) do
      if not chosen:find("," .. shown .. ",", 1, true) then more[#more + 1] = shown end
    end
    return with_prefix(key .. (before:match "^.*," or ""), more)
  end
  local names = base:names()
  if value.scales and next(value.scales) then names[#names + 1] = "scale" end
  local out = {}
  for _, name in ipairs(names) do
    if not given[name] then out[#out + 1] = name .. "=" end
  end
  return out
end

-- By the name that a command's argument has: candidates, and whether files are too.
local kinds = {
  recipe = function() return recipes.names(), true end,
  run = function(state) return run_names(state.options), true end,
  setting = function(state, word) return settings(state.words.file, word, state.given) end,
  dataset = function() return spec.names(cards.list), false end,
  topic = function()
    local topics = spec.names(require "help.topics")
    return table.move(host.modules(), 1, #host.modules(), #topics + 1, topics), false
  end,
  none = function() return {}, false end,
  file = function() return {}, true end,
}

local function name_of(argument) return argument._target or argument._name end

local function kind_of(name, argument, arguments)
  local called = name_of(argument)
  if called == "file" and arguments[2] and name_of(arguments[2]) == "setting" then return "recipe" end
  if called == "setting" or called == "topic" then return called end
  if called:find "^runs?%d?$" or called == "first" or called == "second" or called == "pattern" then return "run" end
  if called == "model" or name == "model" and called ~= "out" then return "run" end -- a run's name stands for weights
  if name == "data" and called == "name" then return "dataset" end
  return "file"
end

-- What follows an option.
local function kind_of_value(option)
  local shown = type(option._argname) == "table" and option._argname[1] or option._argname
  if shown == "N" or shown == "URL" or shown == "NAME" then return "none" end
  return "file"
end

-- ---- a command's words ----

local function find_option(parser, word)
  for _, option in ipairs(parser._options) do
    for _, alias in ipairs(option._aliases) do
      if alias == word then return option end
    end
  end
end

local function find_command(parser, word)
  for _, sub in ipairs(parser._commands) do
    for _, alias in ipairs(sub._aliases) do
      if alias == word then return sub end
    end
  end
end

local function wants_value(option) return option ~= nil and (option._minargs or 0) > 0 end

-- What the words before the last one say: the parser they led to, how many arguments stand there, what was given.
local function read_words(parser, words)
  local state = { parser = parser, places = 0, words = {}, given = {}, options = {} }
  local i = 1
  while i < #words do
    local word = words[i]
    local option = find_option(state.parser, word)
    if option and wants_value(option) then
      i = i + 1
      if i == #words then state.waiting = option else state.options[word] = words[i] end
    elseif not option then
      local sub = find_command(state.parser, word)
      if sub then
        state.parser, state.places = sub, 0
      else
        state.places = state.places + 1
        local argument = state.parser._arguments[state.places]
        if argument then state.words[name_of(argument)] = word end
        local key = word:match "^([%w_]+)="
        if key then state.given[key] = true end
      end
    end
    i = i + 1
  end
  return state
end

local function option_names(parser)
  local names = {}
  for _, option in ipairs(parser._options) do
    if not option._hidden then names[#names + 1] = option._aliases[#option._aliases] end
  end
  return names
end

local function of_command(name, words)
  local state = read_words(command.parser(name), words)
  local word, parser = words[#words], state.parser
  if state.waiting then return kinds[kind_of_value(state.waiting)](state, word) end
  if word:sub(1, 1) == "-" then return option_names(parser), false end
  if #parser._commands > 0 then
    local names = {}
    for i, sub in ipairs(parser._commands) do names[i] = sub._aliases[1] end
    return names, false
  end
  local arguments = parser._arguments
  local argument = arguments[state.places + 1] or arguments[#arguments]
  if not argument or not arguments[state.places + 1] and argument._maxargs == 1 then return {}, false end
  return kinds[kind_of(name, argument, arguments)](state, word)
end

--- What may stand in the place of the last word.
--- Example:
---     print(table.concat(completion.complete { "sho" }, " "))  --> show
---@param words string[]  # those after the program's name, the last one begun or empty
---@return string[] candidates, boolean files  # sorted; whether files are candidates too
function M.complete(words)
  local first = 1
  while first < #words and words[first]:sub(1, 1) == "-" do first = first + (takes_value[words[first]] and 2 or 1) end
  if first > #words then return {}, false end
  local list, files
  if first == #words then
    if words[first]:sub(1, 1) == "-" then list, files = global_options, false
    else list, files = command.names(), true end
  elseif commands[words[first]] then
    list, files = of_command(words[first], { table.unpack(words, first + 1) })
  else
    list, files = {}, true
  end
  local out = {}
  for _, candidate in ipairs(list) do
    if candidate:sub(1, #words[#words]) == words[#words] then out[#out + 1] = candidate end
  end
  table.sort(out)
  return out, files or false
end

-- ---- bash ----

-- bash takes "alpha=0.1" for three words, and replaces what stands behind the "=" only.
local function join(pieces)
  local words, broken = {}, false
  local i = 1
  while i <= #pieces do
    local piece = pieces[i]
    broken = false
    if piece == "=" and #words > 0 then
      words[#words] = words[#words] .. "=" .. (pieces[i + 1] or "")
      broken, i = true, i + 1
    else
      words[#words + 1] = piece
    end
    i = i + 1
  end
  return words, broken
end

--- The answer to the shell's function: a candidate in each line, and "*files" where files are candidates too.
--- Example:
---     completion.answer { "show", "table4", "variant", "=", "pl" }
---     --> plain
---     --> plain2x
---@param pieces string[]  # bash's words after the program's name, up to the one at the cursor
---@return string
function M.answer(pieces)
  local words, broken = join(pieces)
  if #words == 0 then words[1] = "" end
  local list, files = M.complete(words)
  local lines = {}
  for i, word in ipairs(list) do lines[i] = broken and word:gsub("^.-=", "", 1) or word end
  if files then lines[#lines + 1] = "*files" end
  return #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
end

--- The function for bash.
M.bash = [==[
# bash completion of penumbra: its commands, options, recipes and their parameters. The program itself knows them.
_penumbra() {
  local candidate files= current=${COMP_WORDS[COMP_CWORD]}
  [[ $current == "=" ]] && current=
  COMPREPLY=()
  while IFS= read -r candidate; do
    if [[ $candidate == "*files" ]]; then files=1; else COMPREPLY+=("$candidate"); fi
  done < <("${COMP_WORDS[0]}" help --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
  if [[ $files ]]; then
    compopt -o filenames 2> /dev/null
    while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current")
  elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2> /dev/null
  fi
}
complete -F _penumbra penumbra
]==]

return M
