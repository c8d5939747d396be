--- Recipes from strangers: their text is run in a child of this program (sandbox/child.lua, held by vm/sandbox.c),
--- and comes back as data. A child lives for one question, under limits of its own; here it gets 2 s, may say so much
--- and no more, and all of its answer is checked as if an enemy had written it. However it ends, what is wrong is one
--- line that names the recipe.
---@package
local host = require "host"
local json = require "json"
local plan = require "plan"
local recipe = require "recipe"
local source = require "sandbox.source"
local study = require "study"
local text = require "text"
local wire = require "sandbox.wire"

local M = {}

local format = string.format

local SECONDS <const> = 2
local ANSWER <const> = 4 << 20  -- bytes that a child may say: read as JSON they are some 25 times as many
local TOGETHER <const> = 200    -- plans that one child makes
local MESSAGE <const> = 1000    -- bytes of a message
local GRACE <const> = 0.2       -- seconds for the end of a child whose output has ended, even at the deadline
local CPU_CODE <const> = 3      -- VM_SANDBOX_CPU
local OPEN_CODE <const> = 4     -- VM_SANDBOX_OPEN

--- How the child is started; tests put others in its place.
M.argv = { nil, "--sandbox" }

-- One thread there: OpenBLAS would start its own before the program begins.
local environment = { OPENBLAS_NUM_THREADS = "1", OMP_NUM_THREADS = "1", LD_PRELOAD = false }

-- ---- the child's end ----

-- Why it ended without an answer.
local function cause(status)
  if status.code == CPU_CODE or status.name == "XCPU" then
    return "reading it took more than 1 s of processor time: stopped"
  elseif status.code == OPEN_CODE then
    return "this system refuses the limits under which a recipe is read"
  elseif status.name == "SYS" then
    return "it tried what a recipe may not do: stopped"
  elseif status.signal then
    return format("the process that read it ended by signal %d", status.signal)
  end
  return format("the process that read it ended without an answer (exit code %d)", status.code)
end

-- A message from outside as one line that can be printed.
local function one_line(message)
  if type(message) ~= "string" then return "there is no message" end
  message = text.clean(message):gsub("%s*\n%s*", " ")
  if #message > MESSAGE then message = message:sub(1, MESSAGE):gsub("[\128-\255]*$", "") .. "…" end
  return message
end

-- What a child says went wrong in a recipe.
local function explain(message, name)
  message = one_line(message)
  if message:find "not enough memory$" then return name .. ": reading it needs more than 64 MiB of memory" end
  return message:find(name, 1, true) and message or name .. ": " .. message
end

-- ---- frames ----

local function send(child, bytes, left)
  return child:write(format("%010d\n", #bytes) .. bytes, left)
end

local too_long <const> = format("reading it took more than %d s: stopped", SECONDS)
local too_much <const> = format("it says more than %d MiB: stopped", ANSWER >> 20)
local no_answer <const> = "what the process that read it says is no answer"

-- A function that gives one frame after the other, or nil and why not.
local function receiver(child, left)
  local buffer, total = "", 0
  return function()
    local parts, have, size = { buffer }, #buffer, nil
    while true do
      local seconds = left()
      if seconds == 0 then return nil, too_long end
      if not size and have >= 11 then
        buffer = table.concat(parts)
        local digits = buffer:match "^(%d%d%d%d%d%d%d%d%d%d)\n"
        if not digits then return nil, no_answer end
        parts, size = { buffer }, tonumber(digits)
      end
      if size and size > ANSWER then return nil, too_much end
      if size and have >= size + 11 then
        local all = table.concat(parts)
        buffer = all:sub(size + 12)
        return all:sub(12, size + 11)
      end
      local bytes = child:read(seconds)
      if bytes == nil then return nil, too_long end
      if bytes == "" then
        local status = child:wait(math.max(left(), GRACE))
        return nil, status and cause(status) or "the process that read it does not end: stopped"
      end
      total, have = total + #bytes, have + #bytes
      if total > ANSWER then return nil, too_much end
      parts[#parts + 1] = bytes
    end
  end
end

-- ---- questions ----

-- Asks a child; its answer, or nil, message, code. serve(name) gives the text of an included file, or nil and why not.
local function ask(request, main_text, serve)
  local name = request.name
  local function fail(problem) return nil, format("%s: %s", name, problem), "format" end
  local child <close>, problem = host.spawn(M.argv, { stdin = "pipe", stdout = "pipe", stderr = "null",
                                                      env = environment })
  if not child then return nil, format("%s: %s", name, problem), "io" end
  local deadline = host.clock() + SECONDS
  local function left() return math.max(0, deadline - host.clock()) end
  local receive = receiver(child, left)
  -- A child that does not listen has died, or will be found out by the time it takes.
  local _ = send(child, json.encode(request), left()) and send(child, main_text, left())
  while true do
    local frame
    frame, problem = receive()
    if not frame then return fail(problem) end
    local answer = json.decode(frame)
    if type(answer) ~= "table" or json.is_array(answer) then return fail(no_answer) end
    if answer.include == nil then
      if answer.error ~= nil then return nil, explain(answer.error, name), "format" end
      return answer
    end
    local included
    included, problem = serve(answer.include)
    if included then _ = send(child, '{"found":true}', left()) and send(child, included, left())
    else send(child, json.encode { error = problem }, left()) end
  end
end

-- All texts in a description, without what would move a terminal's cursor.
local function clean(value)
  if type(value) == "string" then return text.clean(value) end
  if type(value) ~= "table" then return value end
  local out = {}
  for key, element in pairs(value) do out[clean(key)] = clean(element) end
  return out
end

local function damaged(name, problem)
  problem = one_line(problem):gsub("^[^%s:]*stdlib/[%w_/]+%.lua:%d+: ", "", 1)
  return nil, format("%s: the answer of the process that read it is refused: %s", name, problem), "format"
end

--- Reads a recipe or a study: what its file says, without what it needs to know of the world around. What is wrong
--- gives nil, message, code.
---@param name string       # the file's name
---@param main_text string
---@param folder string     # where included files are: as sandbox.source takes it
---@return Recipe|Study? value, string? message, string? code
function M.read(name, main_text, folder)
  local includes = {}
  local answer, message, code = ask({ name = name, want = "read", known = plan.known() }, main_text,
    source.server(folder, includes))
  if not answer then return nil, message, code end
  local kind = answer.recipe ~= nil and "recipe" or "study"
  local ok, described = pcall(wire.decode, answer[kind], { prose = true })
  if not ok then return damaged(name, described) end
  local value, problem = (kind == "recipe" and recipe or study).from(clean(described))
  if not value then return damaged(name, problem) end
  value.includes, value.folder = includes, folder
  return value
end

-- The place of a node, when it is one in the recipe's files.
local function place_checker(base)
  local known = { [base.file] = true }
  for _, one in ipairs(base.includes) do known[one.name] = true end
  return function(place)
    if type(place) ~= "string" then return nil end
    local name, line = place:match "^(.*):(%d+)$"
    if known[name] and #line < 8 then return place end
  end
end

-- What one child gives for the points from `first` on, added to `out`; or nil and a message.
local function ask_plans(base, points, first, out)
  local request = { name = base.file, want = "plans", known = plan.known(), points = json.array() }
  for i = first, math.min(#points, first + TOGETHER - 1) do
    request.points[#request.points + 1] = wire.encode(points[i])
  end
  local answer, message = ask(request, base.text, source.server(base.folder, base.includes))
  if not answer then return nil, message end
  if not json.is_array(answer.plans) or #answer.plans ~= #request.points then
    return damaged(base.file, "it has not so many plans as were asked for")
  end
  local check_place = place_checker(base)
  for _, one in ipairs(answer.plans) do
    if type(one) ~= "table" then return damaged(base.file, "a plan is no table") end
    if one.error ~= nil then
      out[#out + 1] = { error = explain(one.error, base.file) }
    else
      local ok, made = pcall(wire.decode, one.plan, { check_place = check_place })
      if not ok then return damaged(base.file, made) end
      out[#out + 1] = { plan = made, place = check_place(one.place) }
    end
  end
  return out
end

--- What a recipe's plan function gives for each of some sets of parameters: { plan =, place = }, with where the
--- function stands, or { error = }. nil and a message when a child fails.
---@param base Recipe
---@param points table[]
---@return table[]? answers, string? message
function M.plans(base, points)
  local out = {}
  for first = 1, #points, TOGETHER do
    local ok, message = ask_plans(base, points, first, out)
    if not ok then return nil, message end
  end
  return out
end

return M
