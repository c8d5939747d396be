--- Where an axis has its ticks and what stands at them.
---@package
local text = require "text"

local M = {}

local floor, ceil, log10 = math.floor, math.ceil, function(x) return math.log(x, 10) end

local RAISED <const> = { ["-"] = "⁻", ["0"] = "⁰", ["1"] = "¹", ["2"] = "²", ["3"] = "³", ["4"] = "⁴", ["5"] = "⁵",
                         ["6"] = "⁶", ["7"] = "⁷", ["8"] = "⁸", ["9"] = "⁹" }

-- 10 to a power as people write it.
local function power(exponent)
  return "10" .. string.format("%d", exponent):gsub(".", RAISED)
end

--- A number with so many significant digits, as people write it: 0.25, 12,000, −3, 1.2×10⁻⁷.
---@param x number
---@param digits integer
---@return string
function M.number(x, digits)
  local shown = text.number(x, digits):gsub("^%-", "−")
  local mantissa, exponent = shown:match "^(.-)e(%-?%d+)$"
  if not mantissa then return shown end
  return (mantissa == "1" and "" or mantissa .. "×") .. power(math.tointeger(exponent))
end

-- m times 10 to a power, m a digit.
local function times(m, exponent)
  if exponent >= -3 and exponent <= 3 then
    return string.format("%." .. math.max(0, -exponent) .. "f", m * 10.0 ^ exponent)
  end
  return m == 1 and power(exponent) or string.format("%d×%s", m, power(exponent))
end

--- Ticks at multiples of 1, 2 or 5 times a power of ten, about `count` of them and never more than a third above.
---@param low number
---@param high number
---@param count integer
---@param whole? boolean  # only at integers
---@return { at: number, text: string }[]
function M.linear(low, high, count, whole)
  if not (high > low) then return {} end
  local rough = (high - low) / math.max(1, count)
  local exponent = floor(log10(rough))
  local step
  for _, m in ipairs { 1, 2, 5, 10 } do
    step = m * 10.0 ^ exponent
    if step >= rough * 0.8 then break end
  end
  if whole and step < 1 then step = 1.0 end
  -- Far from zero a step may be too fine for the numbers to tell: then there is nothing to write.
  if low + step == low or high - step == high then return {} end
  local decimals = math.max(0, ceil(-log10(step) - 1e-9))
  local largest = math.max(math.abs(low), math.abs(high))
  local ticks = {}
  for i = ceil(low / step - 1e-9), floor(high / step + 1e-9) do
    local at = i * step
    local shown
    if i == 0 then
      shown = "0"
    elseif largest >= 1e6 or largest < 1e-3 then
      shown = M.number(at, math.max(1, floor(log10(math.abs(at)) + 1e-9) - floor(log10(step) + 1e-9) + 1))
    elseif largest >= 1e4 and step >= 1 then
      shown = text.count(floor(at + 0.5)):gsub("^%-", "−")
    else
      shown = string.format("%." .. decimals .. "f", at):gsub("^%-", "−")
    end
    ticks[#ticks + 1] = { at = at, text = shown }
  end
  return ticks
end

--- Ticks of a logarithmic axis: powers of ten, every second or third of them where there are many, and 1, 2, 5 of each
--- where there are few.
---@param low number  # above 0
---@param high number
---@param count integer
---@return { at: number, text: string }[]
function M.log(low, high, count)
  local from, to = log10(low), log10(high)
  local ticks = {}
  if not (from > -400 and to < 400) then return ticks end
  local decades = floor(to + 1e-9) - ceil(from - 1e-9) + 1
  local digits = { 1 }
  if to - from < 0.7 then return M.linear(low, high, count) end
  if decades * 3 <= count + 2 then digits = { 1, 2, 5 } elseif decades * 2 <= count then digits = { 1, 3 } end
  local every = math.max(1, ceil(decades / math.max(2, count)))
  for exponent = floor(from), ceil(to) do
    for _, m in ipairs(digits) do
      local at = m * 10.0 ^ exponent
      if exponent % every == 0 and at >= low * (1 - 1e-9) and at <= high * (1 + 1e-9) then
        ticks[#ticks + 1] = { at = at, text = times(m, exponent) }
      end
    end
  end
  return ticks
end

return M
