--- The child that reads a recipe (vm/sandbox.c says what holds it): takes one request, runs the text in its closed
--- world, and answers with data. A request is a frame of JSON and a frame with the text:
---   { name = "table4.lua", want = "read" }                   -> { recipe = ... } or { study = ... }
---   { name = "table4.lua", want = "plans", points = [...] }  -> { plans = [ { plan = ..., place = "table4.lua:31" }
---                                                                          or { error = "..." } ] }
--- with `known`, the constructors' names by module. What goes wrong is { error = "..." }. In between it may ask for
--- { include = "other.lua" }, which is answered by { found = true } and a frame with the text, or { error = "..." }.
local environment = require "sandbox.environment"
local json = require "json"
local recipe = require "recipe"
local spec = require "spec"
local study = require "study"
local wire = require "sandbox.wire"

local format = string.format

-- What went wrong, as one text that names a file of the recipe.
local function explain(message, name)
  message = type(message) == "number" and tostring(message) or message
  if type(message) ~= "string" then message = "an error that is no text" end
  message = message:gsub("^[^%s:]*stdlib/[%w_/]+%.lua:%d+: ", "", 1)
  -- Lua names file and line, except where a tail call or the loader itself leaves no line.
  return message:find(name, 1, true) and message or name .. ": " .. message
end

return function(channel)
  local request = json.decode(channel.receive())
  local main_text = channel.receive()
  local run
  local values, open = {}, {} -- of included files; those that are being read

  local function include(name)
    if type(name) ~= "string" then error("include: a file's name expected, got " .. spec.shown(name), 2) end
    if open[name] then error(format('include "%s": it includes itself', name), 2) end
    if values[name] == nil then
      channel.send(json.encode { include = name })
      local answer = json.decode(channel.receive())
      if answer.error then error(format('include "%s": %s', name, answer.error), 2) end
      open[name] = true
      local value, problem = run(channel.receive(), name)
      open[name] = nil
      if problem then error(problem, 0) end
      values[name] = value == nil or value
    end
    return values[name]
  end

  -- Runs a file's text; its value, or nil and a message.
  function run(text, name)
    local chunk, message = load(text, "@" .. name, "t", environment.new(request.known, include))
    local ok, value = false, message
    if chunk then ok, value = pcall(chunk) end
    if not ok then return nil, explain(value, name) end
    return value
  end

  local function read(value)
    if recipe.is_recipe(value) then return { recipe = wire.encode(value:describe()) } end
    if study.is_study(value) then return { study = wire.encode(value:describe()) } end
    return { error = format("%s: expected the file to return recipe{...} or study{...}, got %s", request.name,
      spec.shown(value)) }
  end

  local function plan_of(value, point)
    local ok, made = pcall(value.call_plan, value, wire.decode(point))
    if not ok then return { error = explain(made, request.name) } end
    ok, made = pcall(wire.encode, made)
    if not ok then return { error = format("%s: plan: %s", request.name, made) } end
    local here = debug.getinfo(value.plan, "S")
    return { plan = made, place = format("%s:%d", here.short_src, here.linedefined) }
  end

  environment.close_strings()
  open[request.name] = true
  local answer
  local value, problem = run(main_text, request.name)
  if problem then
    answer = { error = problem }
  elseif request.want == "read" then
    local ok, described = pcall(read, value)
    answer = ok and described or { error = explain(described, request.name) }
  elseif not recipe.is_recipe(value) then
    answer = { error = request.name .. ": a recipe expected" }
  else
    answer = { plans = json.array() }
    for i, point in ipairs(request.points) do answer.plans[i] = plan_of(value, point) end
  end
  values = nil
  collectgarbage() -- the answer may need what an exhausted recipe held
  local ok, bytes = pcall(json.encode, answer)
  channel.send(ok and bytes or json.encode { error = "not enough memory" })
end
