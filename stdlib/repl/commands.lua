--- The prompt's own words: `:time`, `:mem`, `:reload`, `:help`, `:quit`.
local errors = require "repl.errors"
local host = require "host"
local nn = require "nn"
local spec = require "spec"
local text = require "text"

local M = {}

local ENOUGH <const> = 0.5   -- seconds that repeated runs may take together
local RUNS <const> = 1000    -- of them at most

-- ---- :time ----

-- Errors then name the line that was typed.
local function compile(code)
  local before = ("\n"):rep(#errors.entered - 1)
  local run = load(before .. "return " .. code, "=stdin", "t")
  if run then return run end
  local statement, message = load(before .. code, "=stdin", "t")
  if not statement then error(message, 0) end
  return statement
end

local function time(code)
  if code == "" then error(":time: an expression or statement expected after it", 0) end
  local run = compile(code)
  local best, total, runs = math.huge, 0, 0
  repeat
    local begin = host.clock()
    run()
    local taken = host.clock() - begin
    best, total, runs = math.min(best, taken), total + taken, runs + 1
  until total + best >= ENOUGH or runs == RUNS
  print(runs == 1 and text.seconds(best) or ("%s, the best of %d runs"):format(text.seconds(best), runs))
end

-- ---- :mem ----

-- What the process has in memory, where the system tells.
local function resident()
  local status = io.open "/proc/self/status"
  local kib = status and status:read "a":match "VmRSS:%s*(%d+) kB"
  if status then status:close() end
  return kib and math.tointeger(kib) * 1024
end

local function memory()
  collectgarbage()
  collectgarbage()
  local stats, process = nn.memory.stats(), resident()
  local rows = {
    { "tensors", ("%s in %d"):format(text.bytes(stats.live), nn.live_tensors()) },
    { "  at most", text.bytes(stats.peak) },
    { "  kept for reuse", text.bytes(stats.cached) },
    { "Lua values", text.bytes(math.floor(collectgarbage "count" * 1024)) },
    { "the process", process and text.bytes(process) },
  }
  for _, row in ipairs(rows) do
    if row[2] then print(("%-16s  %s"):format(row[1], row[2])) end
  end
end

-- ---- :reload ----

-- A module read again; globals that were the old one become the new one. A module that fails leaves the old one.
local function reload(name)
  if name == "" then error(":reload: the name of a module expected after it", 0) end
  local old = package.loaded[name]
  if name == "nn" or name == "host" then error((":reload: %s is a part of the program"):format(name), 0) end
  if old == nil then
    local near = spec.nearest(name, spec.names(package.loaded))
    near = near and ('; did you mean "%s"?'):format(near) or ""
    error((":reload: no module \"%s\" is loaded%s"):format(name, near), 0)
  end
  package.loaded[name] = nil
  local ok, new, from = pcall(require, name)
  if not ok then
    package.loaded[name] = old
    error(new, 0)
  end
  for key, value in next, _G do
    if value == old then rawset(_G, key, new) end
  end
  print(("%s, from %s"):format(name, from or "the program"))
end

-- ---- all of them ----

local list = {
  time = { "EXPR", "how long it takes, the best of several runs when it is short", time },
  mem = { "", "memory: of tensors, of Lua, of the process", memory },
  reload = { "MODULE", "reads a module again, from its file or PENUMBRA_PATH", reload },
  help = { "", "these words", function() M.help() end },
  quit = { "", "leaves, as Ctrl-D does", function() os.exit(true, true) end },
}

---@return string[]
function M.names() return spec.names(list) end

function M.help()
  local function line(word, about) print(("  %-16s %s"):format(word, about)) end
  for _, name in ipairs(M.names()) do line((":%s %s"):format(name, list[name][1]), list[name][2]) end
  line("?NAME", 'help on it; help() is the overview, help "prompt" says more')
end

--- Serves an entry that begins with a colon.
---@param entry string
function M.serve(entry)
  local name, rest = entry:match "^:%s*(%S*)%s*(.-)%s*$"
  if not list[name] then
    local known = {}
    for i, word in ipairs(M.names()) do known[i] = ":" .. word end
    error(('unknown word ":%s"%s'):format(name, spec.suggest(":" .. name, known)), 0)
  end
  list[name][3](rest)
end

return M
