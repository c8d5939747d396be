--- Runs the examples of the help as the prompt would: entry by entry, each in a world of its own.
local host = require "host"
local nn = require "nn"
local repl = require "repl"

local M = {}

--- The lines of an example as the entries of a prompt would be made of them: { code, expected = lines }.
function M.entries(example)
  local entries, code, expected, first = {}, {}, {}, nil
  for line in (example .. "\n"):gmatch "(.-)\n" do
    local words, output = line:match "^(.-)%-%-> ?(.*)$"
    words = (words or line):gsub("%s+$", "")
    if output then expected[#expected + 1] = output end
    if words:find "%S" then
      if #code == 0 then first = #entries + 1 end
      code[#code + 1] = words
      local text = table.concat(code, "\n")
      local chunk, problem = load("return nil, " .. text)
      if not chunk then chunk, problem = load(text) end
      if chunk or not problem:find "<eof>" then
        entries[first] = { code = text, expected = expected }
        code, expected = {}, {}
      end
    elseif output and #code == 0 then
      table.move(expected, 1, #expected, #entries[#entries].expected + 1, entries[#entries].expected)
      expected = {}
    end
  end
  if #code > 0 then entries[#entries + 1] = { code = table.concat(code, "\n"), expected = expected } end
  return entries
end

-- A world as the prompt's: every module by its name.
local function world()
  local known = { nn = true }
  for _, name in ipairs(host.modules()) do known[name] = true end
  return setmetatable({}, { __index = function(_, name)
    if known[name] then return require(name) end
    return _G[name]
  end })
end

local function compile(code, env)
  local chunk, problem = load("return nil, " .. code, "=example", "t", env)
  if chunk then return chunk, true end
  local global = code:match "^local (.*)$"
  if global then chunk = load(global, "=example", "t", env) end
  if not chunk then chunk, problem = load(code, "=example", "t", env) end
  if not chunk then error(problem, 0) end
  return chunk, false
end

-- What f writes to standard output, by whatever way, and what it returns or raises.
-- luacheck: push ignore 121 122
local function captured(f)
  local parts, kept = {}, { print = print, write = io.write, stdout = io.stdout }
  local stream = setmetatable({}, { __index = io.stdout })
  function stream:write(...)
    for i = 1, select("#", ...) do parts[#parts + 1] = tostring((select(i, ...))) end
    return self
  end
  function stream.flush() return stream end
  io.stdout = stream
  function io.write(...) return stream:write(...) end
  function print(...)
    for i = 1, select("#", ...) do stream:write(i > 1 and "\t" or "", tostring((select(i, ...)))) end
    stream:write "\n"
  end
  local results = table.pack(pcall(f))
  print, io.write, io.stdout = kept.print, kept.write, kept.stdout
  return table.concat(parts), results
end
-- luacheck: pop

-- What an entry prints, as lines.
local function output_of(entry, env)
  local chunk, expression = compile(entry.code, env)
  local text, results = captured(function()
    local results = table.pack(chunk())
    if expression and results.n > 1 then repl.show(table.unpack(results, 2, results.n)) end
  end)
  if not results[1] then
    text = text .. "error: " .. tostring(results[2]):gsub("^[%w_./=%[%]\" ]*:%d+: ", "")
  end
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if line:find "%S" then lines[#lines + 1] = line end
  end
  return lines
end

-- Numbers agree to the digits that are written: 0.3679 stands for 0.36787945, 2 for 2.0.
local function same_number(want, got)
  local x, y = tonumber(want), tonumber(got)
  if not x or not y then return false end
  local decimals, exponent = want:match "%.(%d+)e?([-+]?%d*)$"
  if not decimals then return x == y end
  return math.abs(x - y) <= 0.6 * 10.0 ^ (-#decimals + (tonumber(exponent) or 0))
end

local function same_word(want, got)
  if want == got then return true end
  local head, number, tail = want:match "^([^%d.-]*)(%-?%d[%d.e+-]*)(.*)$"
  local head2, number2, tail2 = got:match "^([^%d.-]*)(%-?%d[%d.e+-]*)(.*)$"
  return head and head == head2 and tail == tail2 and same_number(number, number2) or false
end

local function same_line(want, got)
  local others = got:gmatch "%S+"
  for word in want:gmatch "%S+" do
    if word == "..." then return true end
    if not same_word(word, others() or "") then return false end
  end
  return others() == nil
end

-- Is it what was expected? Blanks count as one. A line that ends with the word "..." may go on; one that is nothing
-- else stands for all that follow.
local function agrees(got, expected)
  for i, want in ipairs(expected) do
    if want:match "^%s*%.%.%.$" and i == #expected then return true end
    if not got[i] or not same_line(want, got[i]) then return false end
  end
  return #got == #expected
end

--- Runs an example in the current folder; gives a list of { code, expected, got } for the entries that print something
--- else than they say.
---@param example string
---@param every? boolean  # all entries, not only the wrong ones
---@return table[]
function M.run(example, every)
  local wrong, env = {}, world()
  nn.seed(1)
  for _, entry in ipairs(M.entries(example)) do
    local got = output_of(entry, env)
    local loud = #entry.expected > 0 or got[1] and got[1]:find "^error: "
    if every or loud and not agrees(got, entry.expected) then
      wrong[#wrong + 1] = { code = entry.code, expected = entry.expected, got = got }
    end
  end
  return wrong
end

return M
