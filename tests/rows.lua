--- Reads the `check` cases of op rows (nn/autograd/op.h describes them) and makes their arguments.
local nn <const> = require "nn"

local M = {}

local function numbers(text)
  local list = {}
  for n in text:gmatch("[^x,]+") do list[#list + 1] = math.tointeger(n) or tonumber(n) end
  return list
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

-- Values in the range; with `away` none nearer than 0.1 to that point; with `distinct` a shuffled grid.
local function draw(shape, how, seed)
  local x = nn.uniform(shape, { low = how.low, high = how.high, seed = seed })
  local count = x:count()
  if how.distinct then
    local order = nn.permutation(count, seed)
    local grid = {}
    for i = 1, count do grid[i] = (order:get(i) - count / 2) * 0.1 + 0.013 end
    return nn.tensor(grid):reshape(shape)
  end
  if how.away then
    local flat = x:reshape { count }
    for i = 1, count do
      local v = flat:get(i)
      if math.abs(v - how.away) < 0.1 then flat:set(i, v + (v < how.away and -0.1 or 0.1)) end
    end
    x = flat:reshape(shape)
  end
  return x
end

local function draw_index(shape, below, seed)
  local x, list = nn.uniform(shape, { seed = seed }), {}
  local count = x:count()
  local flat = x:reshape { count }
  for i = 1, count do list[i] = 1 + math.floor(flat:get(i) * below) end
  return nn.tensor(list, { type = "index" }):reshape(shape)
end

-- "x=2x3 in 0..1 axis=2" -> { x = { shape, how }, axis = "2" }
local function parse(text)
  local case, last = {}, nil
  local list = words(text)
  local i = 1
  while i <= #list do
    local word = list[i]
    local name, value = word:match("^([%w_]+)=(.*)$")
    if name then
      last = { text = value, how = { low = -1, high = 1 } }
      case[name] = last
    elseif word == "in" then
      last.how.low, last.how.high = list[i + 1]:match("^(.-)%.%.(.+)$")
      last.how.low, last.how.high = assert(tonumber(last.how.low), text), assert(tonumber(last.how.high), text)
      i = i + 1
    elseif word == "away" or word == "below" then
      last.how[word] = assert(tonumber(list[i + 1]), text)
      i = i + 1
    elseif word == "distinct" then
      last.how.distinct = true
    else
      error(("check case %q: cannot read %q"):format(text, word))
    end
    i = i + 1
  end
  return case
end

local function value_of(arg, text)
  if arg.kind == "boolean" then return text == "true" end
  if arg.kind == "choice" then return text end
  if arg.kind == "sizes" or arg.kind == "numbers" then return numbers(text) end
  if arg.kind == "axes" then
    local list = numbers(text)
    return #list == 1 and list[1] or list
  end
  return assert(math.tointeger(text) or tonumber(text), text)
end

--- The cases of a row, ready to call.
---@param op table # an element of nn.ops()
---@return { text: string, tensors: table[], places: integer[], call: fun(): any }[] # places: of the tensors among the
--- inputs of the row
function M.cases(op)
  local cases = {}
  for text in op.check:gmatch("[^;]+") do
    if text:find("%S") then
      local given, tensors, places, arguments, options, count = parse(text), {}, {}, {}, {}, 0
      local inputs = 0
      for place, arg in ipairs(op.args) do
        local g = given[arg.name]
        given[arg.name] = nil
        if arg.kind == "tensor" or arg.kind == "any" or arg.kind == "index" then inputs = inputs + 1 end
        if not g then
          assert(arg.optional, ("%s: case %q lacks %s"):format(op.name, text, arg.name))
          if not arg.option then count = count + 1 end
        elseif arg.kind == "tensors" then
          local list = {}
          for part in g.text:gmatch("[^+]+") do
            list[#list + 1] = draw(numbers(part), g.how, 100 * place + #list)
            tensors[#tensors + 1] = list[#list]
            inputs = inputs + 1
            places[#tensors] = inputs
          end
          count = count + 1
          arguments[count] = list
        elseif arg.kind == "index" or g.how.below then
          count = count + 1
          arguments[count] = draw_index(numbers(g.text), assert(g.how.below, text), 100 * place)
        elseif arg.kind == "tensor" or arg.kind == "any" then
          count = count + 1
          arguments[count] = draw(numbers(g.text), g.how, 100 * place)
          tensors[#tensors + 1] = arguments[count]
          places[#tensors] = inputs
        elseif arg.option then
          options[arg.name] = value_of(arg, g.text)
        else
          count = count + 1
          arguments[count] = value_of(arg, g.text)
        end
      end
      for name in pairs(given) do error(("%s: case %q names %s, which it has not"):format(op.name, text, name)) end
      cases[#cases + 1] = {
        text = text, tensors = tensors, places = places, arguments = arguments, count = count,
        options = next(options) and options,
        call = function()
          local list = table.move(arguments, 1, count, 1, {})
          local n = count
          if next(options) then
            n = n + 1
            list[n] = options
          end
          return nn[op.name](table.unpack(list, 1, n))
        end,
      }
    end
  end
  return cases
end

return M
