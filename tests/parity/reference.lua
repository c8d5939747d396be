--- What the parity specs share: tensors drawn by name as scripts/dev/fixtures.py draws them, and its results.
local nn = require "nn"

local M = {}

local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")

-- FNV-1a, 32 bits: the stream of a named tensor.
local function stream(name)
  local h = 0x811C9DC5
  for i = 1, #name do h = (h ~ name:byte(i)) * 0x01000193 & 0xFFFFFFFF end
  return h
end

--- A tensor drawn uniformly from the stream of its name.
---@param seed integer
---@param name string
---@param size integer[]
---@param low? number  # -1
---@param high? number  # 1
---@return Tensor
function M.uniform(seed, name, size, low, high)
  return nn.uniform(size, { low = low or -1, high = high or 1, seed = seed, stream = stream(name) })
end

--- An index tensor [count] of draws from 1 .. below.
---@param seed integer
---@param name string
---@param count integer
---@param below integer
---@return Tensor
function M.index(seed, name, count, below)
  local list, from = {}, stream(name)
  for i = 1, count do list[i] = math.floor(nn.random(seed, from, i - 1) * below) + 1 end
  return nn.tensor(list, { type = "index" })
end

--- The largest power of two b with b * b * fan_in <= 6.
local function bound(fan_in)
  local b = 1.0
  while b * b * fan_in > 6 do b = b / 2 end
  return b
end

local vectors = { running_var = { 0.5, 1.5 }, weight = { 0.75, 1.25 } }

--- A parameter or running statistic of a network, by its torchvision name.
---@param seed integer
---@param name string
---@param size integer[]
---@return Tensor
function M.parameter(seed, name, size)
  if #size == 4 then
    local b = bound(size[1] * size[2] * size[3])
    return M.uniform(seed, name, size, -b, b)
  elseif #size == 2 then
    local b = bound(size[2])
    return M.uniform(seed, name, size, -b, b)
  end
  local range = vectors[name:match("[%l_]+$")] or { -0.125, 0.125 }
  return M.uniform(seed, name, size, range[1], range[2])
end

--- A topic: its table, and a function that gives the tensor stored at one of the table's places.
---@param topic string
---@return table index, fun(place: { at: integer, size: integer[] }): Tensor
function M.open(topic)
  local index = dofile(folder .. "/fixtures/" .. topic .. ".lua")
  local numbers = assert(nn.npy.load(folder .. "/fixtures/" .. topic .. ".npy"))
  return index, function(place)
    local count = 1
    for _, n in ipairs(place.size) do count = count * n end
    return numbers:slice(1, place.at, place.at + count - 1):reshape(place.size)
  end
end

--- ||actual - expected|| / ||expected||, or the plain distance when nothing is expected.
---@param actual Tensor
---@param expected Tensor
---@return number
function M.error(actual, expected)
  local size = expected:norm():item()
  local distance = (actual:detach() - expected):norm():item()
  return size > 0 and distance / size or distance
end

--- Fails with the worst of some errors when it is above the tolerance.
---@param errors table<string, number>  # by what differs
---@param tolerance number
function M.within(errors, tolerance)
  local worst, at = -1, "nothing"
  for name, e in pairs(errors) do
    if e ~= e or e > worst then worst, at = e, name end
  end
  assert(worst >= 0 and worst <= tolerance,
    ("%s differs by %.2e of its norm; at most %g is allowed"):format(at, worst, tolerance))
end

--- The error of a whole tensor, estimated from what a summary keeps of it: the norm, products with random +-1 vectors
--- (the mean square of their errors is the squared distance, on average) and entries (likewise, times their share).
---@param seed integer
---@param name string
---@param actual Tensor
---@param summary Tensor  # [norm, projections ..., entries ...]
---@param projections integer
---@return number # relative to the norm
function M.summary_error(seed, name, actual, summary, projections)
  local flat = actual:detach():reshape { actual:count() }
  local norm = summary:get(1)
  local worst = math.abs(flat:norm():item() - norm)
  local squares = 0.0
  for k = 1, projections do
    local sign = M.uniform(seed, ("%s/sign%d"):format(name, k), { #flat }):ge(0):to("float") * 2 - 1
    squares = squares + ((flat * sign):sum():item() - summary:get(1 + k)) ^ 2
  end
  worst = math.max(worst, math.sqrt(squares / projections))
  squares = 0.0
  local from, places = stream(name .. "/place"), summary:count() - 1 - projections
  for i = 1, places do
    local at = math.floor(nn.random(seed, from, i - 1) * #flat) + 1
    squares = squares + (flat:get(at) - summary:get(1 + projections + i)) ^ 2
  end
  worst = math.max(worst, math.sqrt(squares / places * #flat))
  return norm > 0 and worst / norm or worst
end

return M
