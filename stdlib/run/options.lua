--- What the commands that make runs have in common on the command line, and how it is read.
local command = require "command"
local file = require "file"
local recipes = require "recipes"
local world = require "world"

local M = {}

local format, concat = string.format, table.concat

--- Reads a whole number of at least 1, for argparse's `convert`.
function M.count(name)
  return function(word)
    local n = math.tointeger(tonumber(word))
    if n and n >= 1 and n <= 1 << 53 then return n end
    return nil, format('option "%s" expects a whole number of at least 1, got "%s"', name, word)
  end
end

--- FILE and its settings.
function M.describe_file(parser, settings)
  parser:argument("FILE", "A recipe or a study: its path, or a name that `penumbra recipes` lists."):target "file"
    :argname "FILE"
  parser:argument("KEY=VALUE", settings or "A parameter of it."):target "setting":argname "KEY=VALUE":args "*"
end

--- Where runs are written.
function M.describe_out(parser)
  parser:option("--out", "The folder to make runs in."):argname "FOLDER":default "runs"
end

--- Where runs are looked for that are not named by their path.
function M.describe_runs(parser)
  parser:option("--runs", "The folder that runs are looked for in."):argname "FOLDER":default "runs"
end

--- What a plan may read beside the data folders.
function M.describe_allow(parser)
  parser:option("--allow", "A path outside the data folders that the recipe may read; may be given again.")
    :argname "PATH":count "*"
end

--- How runs are made.
function M.describe_making(parser, together)
  parser:flag("--fresh", "Make runs anew that are there already; not those that they start from.")
  parser:flag("--quiet", "Show no progress.")
  if together then
    parser:option("--jobs", "So many runs at a time, each a process of its own.")
      :argname "N":default "1":convert(M.count "--jobs")
  end
  parser:flag("--tensorboard", "Also write event files for TensorBoard.")
  M.describe_allow(parser)
end

--- Where to stop early.
function M.describe_steps(parser)
  parser:option("--steps", "Stop after so many steps; `penumbra resume` goes on."):argname "N"
    :convert(M.count "--steps")
end

-- The end of an action, caught by M.guarded: a message and an exit code.
local function stop(message, code)
  error({ message = message, exit = code }, 0)
end
M.stop = stop

--- { key = value } of the words key=value. With `several`, a key that is given again has a list of values.
---@param words string[]
---@param several? boolean
---@return table<string, string|string[]>
function M.settings(words, several)
  local settings = {}
  for _, word in ipairs(words) do
    local key, value = word:match "^([%a_][%w_]*)=(.*)$"
    if not key then stop(format('expected key=value, got "%s"', word), 2) end
    local before = settings[key]
    if before and not several then stop(format('"%s" is given twice', key), 2) end
    if type(before) == "table" then before[#before + 1] = value
    else settings[key] = before and { before, value } or value end
  end
  return settings
end

-- What plans may read: the paths of --allow, and those that stand in a setting: what the user typed, the user allows.
local function granted(options)
  local list = { table.unpack(options.allow or {}) }
  for _, word in ipairs(options.setting or {}) do
    local value = word:match "^[%a_][%w_]*=(.+)$"
    if value and file.exists(value) then list[#list + 1] = value end
  end
  return list
end

--- The recipe or study that FILE names.
---@param options table
---@return Recipe|Study
function M.load(options)
  local path, others, code = recipes.find(options.file)
  if not path then stop(others, code == "argument" and 2 or 1) end
  if #others > 0 then
    io.stderr:write(format("penumbra: %s is %s here; the same name: %s\n", options.file, path, concat(others, ", ")))
  end
  options.allow = granted(options)
  -- What the recipe in a run's folder includes lies in a folder of its own there.
  local base = path:match "^(.*)/recipe%.lua$"
  local kept = base and file.exists(base .. "/params.json") and base .. "/includes" or nil
  local value, message = world.load(path, { grant = options.allow, includes = kept })
  return value or stop(message, 1)
end

--- A line on standard output, at once.
function M.say(line)
  io.stdout:write(line, "\n")
  io.stdout:flush()
end

--- An action whose failures end in one line and an exit code. The action gives its exit code.
---@param action fun(options: table): integer?
---@return fun(options: table): integer
function M.guarded(action)
  return function(options)
    local ok, result = pcall(action, options)
    if ok then return result or 0 end
    if type(result) == "table" and result.message then return command.fail(nil, result.message, result.exit or 1) end
    error(result, 0)
  end
end

return M
