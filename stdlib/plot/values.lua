--- What users hand over as data: numbers, Intervals, and lists and tensors of them, made into plain numbers.
---@package
local M = {}

local MOST <const> = 1e300 -- gnuplot takes what is beyond as undefined

--- Is it a tensor?
---@param value any
---@return boolean
function M.is_tensor(value)
  return type(value) == "userdata" and (getmetatable(value) or {}).__name == "nn.tensor"
end

--- The least number that has a place on a logarithmic axis: below it the digits end.
M.least = 1e-300

local function finite(x) return math.type(x) ~= nil and x > -MOST and x < MOST end

--- The value, low and high of a number or an Interval; nothing for what cannot be drawn: nil, false, nan, infinities
--- and what comes near them.
---@param value any
---@return number? value, number? low, number? high
function M.bounds(value)
  if type(value) == "number" then
    if finite(value) then return value, value, value end
    return nil
  end
  if type(value) ~= "table" or not finite(value.value) then return nil end
  local low, high = value.low, value.high
  return value.value, finite(low) and low or value.value, finite(high) and high or value.value
end

-- A number, an Interval, or the mark of a missing one.
local function is_value(x)
  return x == false or type(x) == "number" or type(x) == "table" and x.value ~= nil
end

--- Is it a list of numbers, Intervals and `false`, or a tensor with one axis?
---@param x any
---@return boolean
function M.is_list(x)
  if M.is_tensor(x) then return #x.shape == 1 end
  return type(x) == "table" and x.value == nil and is_value(x[1])
end

--- A tensor as a list, a list as it is; nil and what was expected when it is neither.
---@param x any
---@return any[]? list, string? problem
function M.list(x)
  if M.is_tensor(x) then
    if #x.shape == 1 then return x:tolist() end
    return nil, "a tensor with one axis, got one of [" .. table.concat(x.shape, "x") .. "]"
  end
  if type(x) ~= "table" or x.value ~= nil then return nil, "a list or a tensor" end
  for i = 1, #x do
    if not is_value(x[i]) then
      return nil, ("a number, an Interval or false at place %d, got a %s"):format(i, type(x[i]))
    end
  end
  return x
end

-- Pairs { x, y } from a tensor [N x 2] or a list of pairs.
local function pairs_of(points)
  if M.is_tensor(points) then
    if #points.shape == 2 and points.shape[2] == 2 then return points:tolist() end
    return nil, "a tensor [N] or [N x 2], got one of [" .. table.concat(points.shape, "x") .. "]"
  end
  for i = 1, #points do
    local pair = points[i]
    if type(pair) ~= "table" or type(pair[1]) ~= "number" or not is_value(pair[2] or false) then
      return nil, ("a pair { x, y } at place %d"):format(i)
    end
  end
  return points
end

---@class Point
---@field x number
---@field y? number    # missing where there is nothing to draw
---@field low? number
---@field high? number

--- A series' points: from `points` (pairs, a tensor [N x 2], or y values alone), or from `y` with or without `x`.
---@param series { points?: any, x?: any, y?: any }
---@return Point[]? points, string? problem
function M.points(series)
  local xs, ys, problem
  if series.points ~= nil and not M.is_list(series.points) then
    if series.y ~= nil or series.x ~= nil then return nil, "points, or x and y, not both" end
    if type(series.points) ~= "table" and not M.is_tensor(series.points) then
      return nil, "points: expected a list or a tensor"
    end
    local list
    list, problem = pairs_of(series.points)
    if not list then return nil, "points: expected " .. problem end
    local out = {}
    for i, pair in ipairs(list) do
      local y, low, high = M.bounds(pair[2])
      out[i] = { x = pair[1], y = y, low = low, high = high }
    end
    return out
  end
  local values = series.y
  if values == nil then values = series.points end
  if values == nil then return nil, "y or points is required" end
  ys, problem = M.list(values)
  if not ys then return nil, "y: expected " .. problem end
  if series.x ~= nil then
    xs, problem = M.list(series.x)
    if not xs then return nil, "x: expected " .. problem end
    if #xs ~= #ys then return nil, ("as many x as y expected, got %d and %d"):format(#xs, #ys) end
  end
  local out = {}
  for i = 1, #ys do
    local y, low, high = M.bounds(ys[i])
    out[i] = { x = xs and M.bounds(xs[i]) or not xs and i or 0 / 0, y = y, low = low, high = high }
  end
  return out
end

--- The points that can be drawn, in runs without a gap between them, and how many were left out.
---@param points Point[]
---@param x_log? boolean
---@param y_log? boolean
---@return Point[][] runs, integer left_out, integer count
function M.runs(points, x_log, y_log)
  local runs, run, left_out, count = {}, nil, 0, 0
  for _, point in ipairs(points) do
    if finite(point.x) and point.y and (not x_log or point.x >= M.least)
      and (not y_log or point.y >= M.least) then
      if not run then
        run = {}
        runs[#runs + 1] = run
      end
      run[#run + 1] = point
      count = count + 1
    else
      run, left_out = nil, left_out + 1
    end
  end
  return runs, left_out, count
end

return M
