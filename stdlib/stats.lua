--- Means, proportions and their intervals; paired comparisons; the smallest effect a test could have seen.
---
--- An estimate never travels without its interval. Every function here that estimates something returns an Interval:
--- the value, its bounds at a level (0.95 unless told otherwise) and how it was made. It prints as `96.01 ± 0.38`
--- and, through `:range()`, as `[95.6, 96.4]`. Percentages are stored as printed: 96.01 with unit "%".
local M = {}

local sqrt, abs, exp, log, floor, pi = math.sqrt, math.abs, math.exp, math.log, math.floor, math.pi
local format = string.format

-- ---- distributions ----

-- log Gamma(x) for x > 0: Lanczos, g = 7, n = 9; relative error below 1e-14.
local lanczos = { 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
                  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7 }
local function log_gamma(x)
  if x < 0.5 then return log(pi / abs(math.sin(pi * x))) - log_gamma(1 - x) end
  x = x - 1
  local sum = 0.99999999999980993
  for i, c in ipairs(lanczos) do sum = sum + c / (x + i) end
  local t = x + 7.5
  return 0.5 * log(2 * pi) + (x + 0.5) * log(t) - t + log(sum)
end

-- I_x(a, b), the regularised incomplete beta function, by its continued fraction (Lentz).
local function incomplete_beta(x, a, b)
  if x <= 0 then return 0.0 end
  if x >= 1 then return 1.0 end
  if x > (a + 1) / (a + b + 2) then return 1 - incomplete_beta(1 - x, b, a) end
  local front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log(1 - x)) / a
  local tiny = 1e-300
  local c, d = 1.0, 1 - (a + b) * x / (a + 1)
  if abs(d) < tiny then d = tiny end
  d = 1 / d
  local f = d
  for m = 1, 500 do
    local even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    local odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    local step
    for _, term in ipairs { even, odd } do
      d = 1 + term * d
      if abs(d) < tiny then d = tiny end
      c = 1 + term / c
      if abs(c) < tiny then c = tiny end
      d = 1 / d
      step = c * d
      f = f * step
    end
    if abs(step - 1) < 1e-15 then break end
  end
  return front * f
end

--- P(T <= t) for Student's t with df degrees of freedom (not necessarily whole).
---
--- Example:
---     stats.t_cdf(2, 10)  --> 0.96331
---@param t number
---@param df number
---@return number
function M.t_cdf(t, df)
  local tail = 0.5 * incomplete_beta(df / (df + t * t), df / 2, 0.5)
  return t > 0 and 1 - tail or tail
end

--- The normal quantile: Wichura's AS 241, 16 digits.
---
--- Example:
---     stats.normal_quantile(0.975)  --> 1.96
---@param p number
---@return number
function M.normal_quantile(p)
  local q = p - 0.5
  if abs(q) <= 0.425 then
    local r = 0.180625 - q * q
    return q * (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
      + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
      + 133.14166789178437745) * r + 3.387132872796366608)
      / (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
      + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
      + 42.313330701600911252) * r + 1)
  end
  local r = q < 0 and p or 1 - p
  if r <= 0 then return q < 0 and -math.huge or math.huge end
  r = sqrt(-log(r))
  local x
  if r <= 5 then
    r = r - 1.6
    x = (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
      + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
      + 4.6303378461565452959) * r + 1.42343711074968357734)
      / (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
      + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
      + 2.05319162663775882187) * r + 1)
  else
    r = r - 5
    x = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
      + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
      + 5.4637849111641143699) * r + 6.6579046435011037772)
      / (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
      + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
      + 0.59983220655588793769) * r + 1)
  end
  return q < 0 and -x or x
end

--- The quantile of Student's t; df = math.huge is the normal one.
---
--- Example:
---     stats.t_quantile(0.975, 9)  --> 2.2622
---@param p number
---@param df number
---@return number
function M.t_quantile(p, df)
  if df > 1e6 then return M.normal_quantile(p) end
  if p == 0.5 then return 0.0 end
  if p < 0.5 then return -M.t_quantile(1 - p, df) end
  local low, high = 0.0, 1.0
  while M.t_cdf(high, df) < p do low, high = high, high * 2 end
  for _ = 1, 200 do
    local middle = 0.5 * (low + high)
    if middle == low or middle == high then break end
    if M.t_cdf(middle, df) < p then low = middle else high = middle end
  end
  return 0.5 * (low + high)
end

-- ---- plain numbers ----

--- The mean of a list, by a compensated sum: values of very different sizes keep their digits.
---
--- Example:
---     stats.mean { 1, 2, 6 }  --> 3.0
---@param values number[]
---@return number
function M.mean(values)
  -- Neumaier's compensated sum: 10,000 distances of very different sizes keep their digits.
  local sum, rest = 0.0, 0.0
  for _, x in ipairs(values) do
    local next_sum = sum + x
    rest = rest + (abs(sum) >= abs(x) and (sum - next_sum) + x or (x - next_sum) + sum)
    sum = next_sum
  end
  return (sum + rest) / #values
end

--- Sample variance, divided by n - 1.
---
--- Example:
---     stats.variance { 1, 2, 6 }  --> 7.0
---@param values number[]
---@return number
function M.variance(values)
  local mean, sum = M.mean(values), 0.0
  for _, x in ipairs(values) do sum = sum + (x - mean) ^ 2 end
  return sum / (#values - 1)
end

--- Sample standard deviation.
---
--- Example:
---     stats.sd { 1, 2, 6 }  --> 2.6458
---@param values number[]
---@return number
function M.sd(values)
  return sqrt(M.variance(values))
end

--- The value below which a share p of the values lies, interpolated between neighbours.
---
--- Example:
---     stats.quantile({ 1, 2, 3, 4 }, 0.25)  --> 1.75
---@param values number[]
---@param p number
---@return number
function M.quantile(values, p)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local place = 1 + p * (#sorted - 1)
  local below = floor(place)
  local above = math.min(below + 1, #sorted)
  return sorted[below] + (place - below) * (sorted[above] - sorted[below])
end

--- The median of a list.
---
--- Example:
---     stats.median { 1, 2, 6 }  --> 2.0
---@param values number[]
---@return number
function M.median(values)
  return M.quantile(values, 0.5)
end

-- ---- intervals ----

--- An estimate with its bounds. It prints as `96.01 ± 0.38`, without the unit.
---@class Interval
---@field value number      # the estimate
---@field low number        # bounds at `level`
---@field high number
---@field level number      # 0.95
---@field n integer         # observations behind it
---@field method string     # "wilson", "t", "bootstrap", "delta", "none", ...
---@field unit? string    # of value, low and high: "%" and the like
---@field se? number        # standard error, where the method has one
---@field items? number[]   # one number per test item whose mean is `value`; lets two runs be compared in pairs
local Interval = {}
Interval.__index = Interval
Interval.__name = "Interval"

--- An Interval from its fields, for estimates made elsewhere and for those read back from a file.
---
--- Example:
---     stats.new { value = 96.01, low = 95.6, high = 96.4, unit = "%", level = 0.95 }  --> 96.01 ± 0.40
---@param fields table
---@return Interval
function M.new(fields)
  fields.level = fields.level or 0.95
  fields.low, fields.high = fields.low or fields.value, fields.high or fields.value
  return setmetatable(fields, Interval)
end

--- Is it an Interval?
---
--- Example:
---     stats.is_interval(stats.proportion(9, 10))  --> true
---@param value any
---@return boolean
function M.is_interval(value)
  return getmetatable(value) == Interval
end

--- Half the width.
---
--- Example:
---     stats.interval({ 1, 2, 3 }):half()  --> 2.4841
---@return number
function Interval:half()
  return 0.5 * (self.high - self.low)
end

--- Does the interval hold x?
---
--- Example:
---     stats.interval({ 1, 2, 3 }):contains(2.5)  --> true
---@param x number
---@return boolean
function Interval:contains(x)
  return self.low <= x and x <= self.high
end

--- Decimals that show the interval's half width with two significant digits: 0.38 asks for two, 3.8 for one.
---
--- Example:
---     stats.interval({ 1, 2, 3 }):decimals()  --> 1
---@return integer
function Interval:decimals()
  local half = self:half()
  local size = half > 0 and half or abs(self.value) / 100
  if size ~= size or size == 0 or size == math.huge then return 2 end
  -- Rounding may carry into the next power of ten (0.0996 prints as 0.10), hence the small push.
  return math.max(0, math.min(9, 1 - floor(math.log(size * 1.005, 10))))
end

local function fixed(x, decimals)
  local text = format("%." .. decimals .. "f", x)
  return text:find("^-0%.?0*$") and text:sub(2) or text
end

--- The bounds as they are printed.
---
--- Example:
---     stats.interval({ 1, 2, 3 }):range()  --> [0, 4]
---@return string
function Interval:range()
  local decimals = math.max(0, self:decimals() - 1)
  return format("[%s, %s]", fixed(self.low, decimals), fixed(self.high, decimals))
end

--- `96.01 ± 0.38`, without the unit; only the value when there is no interval. A lopsided interval, as that of a share
--- near 0 or 100 %, is given by its bounds: `0.0 [0.0, 5.8]`.
---@return string
function Interval:__tostring()
  local half = self:half()
  if half == 0 then
    return math.type(self.value) == "integer" and format("%d", self.value) or fixed(self.value, self:decimals())
  end
  local decimals = self:decimals()
  if abs(0.5 * (self.low + self.high) - self.value) > 0.3 * half then
    return format("%s [%s, %s]", fixed(self.value, decimals), fixed(self.low, decimals), fixed(self.high, decimals))
  end
  return fixed(self.value, decimals) .. " ± " .. fixed(half, decimals)
end

--- The interval times a constant: changes units.
---
--- Example:
---     stats.proportion(960, 1000):scaled(100, "%")  --> 96.0 ± 1.2
---@param factor number
---@param unit? string
---@return Interval
function Interval:scaled(factor, unit)
  local low, high = self.low * factor, self.high * factor
  if factor < 0 then low, high = high, low end
  local items
  if self.items then
    items = {}
    for i, x in ipairs(self.items) do items[i] = x * factor end
  end
  return M.new { value = self.value * factor, low = low, high = high, level = self.level, n = self.n,
                 method = self.method, unit = unit, se = self.se and self.se * abs(factor), items = items }
end

local function two_sided(level)
  return 1 - (1 - level) / 2
end

--- Wilson's score interval for a share of successes, as a fraction. Sound at 0 and at n, unlike the normal one.
---
--- Example:
---     stats.proportion(960, 1000)  --> 0.960 ± 0.012
---     stats.proportion(10, 10)     --> 1.00 [0.72, 1.00]
---     stats.proportion(11, 10)
---     --> error: stats.proportion: expected 0 to n successes and n of at least 1, got 11 of 10
---@param successes integer
---@param n integer
---@param options? { level?: number }
---@return Interval
function M.proportion(successes, n, options)
  local level = options and options.level or 0.95
  if n < 1 or successes < 0 or successes > n then
    error(format("stats.proportion: expected 0 to n successes and n of at least 1, got %s of %s", successes, n), 2)
  end
  local z = M.normal_quantile(two_sided(level))
  local p = successes / n
  local centre = (p + z * z / (2 * n)) / (1 + z * z / n)
  local half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return M.new { value = p, low = successes == 0 and 0.0 or centre - half,
                 high = successes == n and 1.0 or centre + half, level = level, n = n, method = "wilson",
                 se = sqrt(p * (1 - p) / n) }
end

--- The share of true (or 1) among outcomes, in percent, with Wilson's interval; keeps the outcomes as items (0 or 100).
---
--- Example:
---     stats.percentage { true, true, false, true }  --> 75 [30, 95]
---@param outcomes (boolean|number)[]
---@param options? { level?: number }
---@return Interval
function M.percentage(outcomes, options)
  local successes, items = 0, {}
  for i, outcome in ipairs(outcomes) do
    local hit = outcome == true or (type(outcome) == "number" and outcome ~= 0)
    if hit then successes = successes + 1 end
    items[i] = hit and 100 or 0
  end
  local share = M.proportion(successes, #outcomes, options):scaled(100, "%")
  share.items = items
  return share
end

-- A private generator (SplitMix64): the bootstrap must not disturb, nor depend on, math.random.
local function generator(seed)
  local state = seed
  return function(n) -- an integer in 1 .. n; the bias, below n / 2^63, is far under what a bootstrap can show
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    z = z ~ (z >> 31)
    return (z >> 1) % n + 1
  end
end

-- The bootstrap's percentile interval of statistic(pick), where pick lists drawn places.
local function bootstrap(n, statistic, level, options)
  local draw = generator(options.seed or 1)
  local values, pick = {}, {}
  for b = 1, options.draws or 2000 do
    for i = 1, n do pick[i] = draw(n) end
    values[b] = statistic(pick)
  end
  return M.quantile(values, (1 - level) / 2), M.quantile(values, two_sided(level)), M.sd(values)
end

--- The mean of values with its interval: Student's t (default), "normal", or a seeded "bootstrap" (percentile).
--- One value has no interval.
---
--- Example:
---     stats.interval { 96.1, 95.8, 96.4 }                                          --> 96.10 ± 0.75
---     stats.interval({ 1, 2, 3, 10 }, { method = "bootstrap", seed = 1 }):range()  --> [2, 8]
---@param values number[]
---@param options? { method?: "t"|"normal"|"bootstrap", level?: number, seed?: integer, draws?: integer, unit?: string }
---@return Interval
function M.interval(values, options)
  options = options or {}
  local level, method, n = options.level or 0.95, options.method or "t", #values
  if n == 0 then error("stats.interval: expected at least one value, got none", 2) end
  local mean = M.mean(values)
  if n == 1 then
    return M.new { value = mean, level = level, n = 1, method = "none", unit = options.unit, items = values }
  end
  local low, high, se
  if method == "bootstrap" then
    low, high, se = bootstrap(n, function(pick)
      local sum = 0.0
      for i = 1, n do sum = sum + values[pick[i]] end
      return sum / n
    end, level, options)
  elseif method == "t" or method == "normal" then
    se = M.sd(values) / sqrt(n)
    local q = M.t_quantile(two_sided(level), method == "t" and n - 1 or math.huge)
    low, high = mean - q * se, mean + q * se
  else
    error(format('stats.interval: method expects one of "t", "normal", "bootstrap", got "%s"', tostring(method)), 2)
  end
  return M.new { value = mean, low = low, high = high, level = level, n = n, method = method, se = se,
                 unit = options.unit, items = values }
end

--- mean(numerators) / mean(denominators) with its interval. Arrays of one length are pairs unless `paired = false`;
--- a number as denominator is exact. "delta" (default) linearises, "bootstrap" draws pairs (or each side) anew.
--- items: the linearised contributions R + (a_i - R b_i) / mean(b), whose mean is the ratio.
---
--- Example:
---     stats.ratio({ 2, 4, 6, 7 }, { 1, 2, 3, 4 })  --> 1.90 ± 0.26
---@param numerators number[]
---@param denominators number[]|number
---@param options? { method?: "delta"|"bootstrap", paired?: boolean, level?: number, seed?: integer, draws?: integer }
---@return Interval
function M.ratio(numerators, denominators, options)
  options = options or {}
  local level, n = options.level or 0.95, #numerators
  if n == 0 then error("stats.ratio: expected at least one value, got none", 2) end
  local constant = type(denominators) == "number"
  local m = constant and n or #denominators
  local paired = not constant and n == m and options.paired ~= false
  local top, bottom = M.mean(numerators), constant and denominators or M.mean(denominators)
  local ratio = top / bottom
  local items = {}
  for i = 1, n do items[i] = ratio + (numerators[i] - ratio * (paired and denominators[i] or bottom)) / bottom end
  if n == 1 or m == 1 or bottom == 0 then
    return M.new { value = ratio, level = level, n = n, method = "none", items = items }
  end
  local low, high, se
  if options.method == "bootstrap" then
    local other = {}
    local draw = generator((options.seed or 1) ~ 0x5DEECE66D)
    low, high, se = bootstrap(n, function(pick)
      local a, b = 0.0, 0.0
      for i = 1, n do a = a + numerators[pick[i]] end
      if constant then return a / n / denominators end
      if not paired then
        for i = 1, m do other[i] = draw(m) end
      end
      for i = 1, m do b = b + denominators[(paired and pick or other)[i]] end
      return (a / n) / (b / m)
    end, level, options)
  else
    local variance = M.variance(items) / n
    if not paired and not constant then variance = variance + ratio ^ 2 * M.variance(denominators) / m / bottom ^ 2 end
    se = sqrt(variance)
    local q = M.t_quantile(two_sided(level), math.min(n, m) - 1)
    low, high = ratio - q * se, ratio + q * se
  end
  return M.new { value = ratio, low = low, high = high, level = level, n = n, se = se, items = items,
                 method = options.method or "delta" }
end

-- ---- comparisons ----

local POWER = 0.8

--- The smallest true difference that would be told from zero four times in five, given a standard error.
---
--- Example:
---     stats.resolvable(0.5)  --> 1.4008
---@param se number
---@param df? number
---@param level? number
---@return number
function M.resolvable(se, df, level)
  df = df or math.huge
  return (M.t_quantile(two_sided(level or 0.95), df) + M.t_quantile(POWER, df)) * se
end

local function truth(outcome)
  return outcome == true or (type(outcome) == "number" and outcome ~= 0)
end

--- McNemar's exact test: how probable are discordant counts at least this uneven if both are equally good?
---
--- Example:
---     stats.mcnemar(2, 12)  --> 0.012939
---@param only_a integer  # items only the first got right
---@param only_b integer  # items only the second got right
---@return number p
function M.mcnemar(only_a, only_b)
  local n, k = only_a + only_b, math.min(only_a, only_b)
  if n == 0 then return 1.0 end
  local sum = 0.0
  for i = 0, k do
    sum = sum + exp(log_gamma(n + 1) - log_gamma(i + 1) - log_gamma(n - i + 1) - n * log(2))
  end
  return math.min(1.0, 2 * sum)
end

--- Two classifiers on the same test items: the difference of their shares of right answers (first minus second, a
--- fraction). Interval by Bonett and Price (2012), p by McNemar's exact test.
---
--- Example:
---     first = { true, true, true, false, true, true, true, true, false, true }
---     second = { true, false, true, false, false, true, true, false, false, true }
---     difference = stats.paired_proportions(first, second)
---     difference, difference.only_first, difference.p  --> 0.30 ± 0.34  3  0.25
---@param first (boolean|number)[]   # right or wrong, item by item
---@param second (boolean|number)[]
---@param options? { level?: number }
---@return Interval difference  # with only_first, only_second, p and resolvable
function M.paired_proportions(first, second, options)
  local level, n = options and options.level or 0.95, #first
  if n ~= #second or n == 0 then
    error(format("stats.paired_proportions: expected the same items twice, got %d and %d", n, #second), 2)
  end
  local a, b = 0, 0
  for i = 1, n do
    local one, two = truth(first[i]), truth(second[i])
    if one and not two then a = a + 1 elseif two and not one then b = b + 1 end
  end
  local p1, p2 = (a + 1) / (n + 2), (b + 1) / (n + 2) -- one success added to each discordant cell
  local se = sqrt((p1 + p2 - (p1 - p2) ^ 2) / (n + 2))
  local z = M.normal_quantile(two_sided(level))
  local difference = M.new { value = (a - b) / n, low = math.max(-1.0, p1 - p2 - z * se),
                             high = math.min(1.0, p1 - p2 + z * se), level = level, n = n, method = "paired items",
                             se = se }
  difference.only_first, difference.only_second = a, b
  difference.p = M.mcnemar(a, b)
  difference.resolvable = M.resolvable(se, nil, level)
  return difference
end

-- Are these items right or wrong, more than one for each seed?
local function is_binary(items)
  if not items or #items[1] < 2 then return false end
  for _, values in ipairs(items) do
    for _, x in ipairs(values) do
      if x ~= 0 and x ~= 100 then return false end
    end
  end
  return true
end

-- The same in percent, of items that are 0 or 100.
local function paired_percentages(first, second, level)
  local difference = M.paired_proportions(first, second, { level = level })
  for _, field in ipairs { "value", "low", "high", "se", "resolvable" } do
    difference[field] = difference[field] * 100
  end
  return difference
end

local function differences(first, second)
  local out = {}
  for i = 1, #first do out[i] = first[i] - second[i] end
  return out
end

-- The mean over seeds of a quantity known per seed and, where `items` is not nil, per seed and test item: items[s][i].
-- Seeds and items are crossed: var = s_seeds^2 / S + s_items^2 / N, which counts their interaction twice and so errs
-- to the wide side; degrees of freedom after Satterthwaite.
local function crossed(by_seed, items, level)
  local seeds = #by_seed
  local between, within, df = M.variance(by_seed) / seeds, 0.0, seeds - 1
  local n = items and #items[1]
  if n and n > 1 then
    local mean = {}
    for i = 1, n do
      local sum = 0.0
      for s = 1, seeds do sum = sum + items[s][i] end
      mean[i] = sum / seeds
    end
    within = M.variance(mean) / n
    local total = between + within
    if total > 0 then df = total ^ 2 / (between ^ 2 / (seeds - 1) + within ^ 2 / (n - 1)) end
  end
  local value, se = M.mean(by_seed), sqrt(between + within)
  local half = M.t_quantile(two_sided(level), df) * se
  return M.new { value = value, low = value - half, high = value + half, level = level, se = se, df = df,
                 n = n or seeds, method = n and "seeds and items" or "seeds" }
end

-- The items of every seed, or nil unless all have the same number of them.
local function common_items(intervals)
  local n, items = nil, {}
  for s, interval in ipairs(intervals) do
    items[s] = interval.items
    n = n or (items[s] and #items[s])
    if not items[s] or #items[s] ~= n then return nil end
  end
  return items
end

-- The same by the bootstrap: seeds and items are drawn anew, independently of each other.
local function resampled(by_seed, items, level, options)
  local seeds, n = #by_seed, items and #items[1] or 0
  local draw, values = generator(options.seed or 1), {}
  for b = 1, options.draws or 1000 do
    local drawn, sum = {}, 0.0
    for s = 1, seeds do drawn[s] = draw(seeds) end
    if n == 0 then
      for s = 1, seeds do sum = sum + by_seed[drawn[s]] / seeds end
    else
      for _ = 1, n do
        local i = draw(n)
        for s = 1, seeds do sum = sum + items[drawn[s]][i] end
      end
      sum = sum / (n * seeds)
    end
    values[b] = sum
  end
  return M.new { value = M.mean(by_seed), low = M.quantile(values, (1 - level) / 2),
                 high = M.quantile(values, two_sided(level)), level = level, se = M.sd(values),
                 n = n > 0 and n or seeds, method = "bootstrap" }
end

--- One quantity measured with several seeds on the same test items: the mean over seeds, its interval over both.
--- A single seed is returned as it is. Where items are right or wrong and nothing varies, as in 0 %, the spread of the
--- sample says nothing: the interval is Wilson's, of one seed's items.
---
--- Example:
---     stats.combine { stats.percentage { true, true, false }, stats.percentage { true, false, false } }
---     --> 50 ± 108
---@param intervals Interval[]
---@param options? { level?: number }
---@return Interval
function M.combine(intervals, options)
  if #intervals == 0 then error("stats.combine: expected at least one interval, got none", 2) end
  if #intervals == 1 then return intervals[1] end
  local values, items = {}, common_items(intervals)
  for s, interval in ipairs(intervals) do values[s] = interval.value end
  local mean = crossed(values, items, options and options.level or 0.95)
  if mean.se == 0 and is_binary(items) then mean = M.percentage(items[1], options) end
  mean.unit, mean.seeds = intervals[1].unit, #intervals
  return mean
end

--- One quantity of two variants: first minus second, paired as far as the data allow. Each side is a list of
--- Intervals, one per seed, in the same order of seeds.
---   one seed, with items:   over test items (Bonett and Price where the items are right or wrong, else t)
---   several seeds, items:   over both, crossed
---   several seeds, no items: t over the seeds' differences
---   one seed, no items:     the two intervals' widths added in squares
--- With method = "bootstrap" seeds and items are drawn anew in place of the first three. Where items are right or wrong
--- and no difference varies, the interval is that of one seed.
---
--- Example:
---     first = { stats.interval { 3, 4, 5, 4 }, stats.interval { 3, 5, 5, 4 } }
---     second = { stats.interval { 1, 2, 2, 1 }, stats.interval { 1, 1, 2, 2 } }
---     difference = stats.compare(first, second)
---     difference, difference.over, difference.resolvable  --> 2.62 ± 0.75  seeds and items  1.006
---@param first Interval[]
---@param second Interval[]
---@param options? { level?: number, method?: "bootstrap", seed?: integer, draws?: integer }
---@return Interval difference  # with resolvable, seeds, over ("items", "seeds and items", "seeds", "intervals")
function M.compare(first, second, options)
  local level, seeds = options and options.level or 0.95, #first
  if seeds == 0 or seeds ~= #second then
    error(format("stats.compare: expected the same seeds twice, got %d and %d", seeds, #second), 2)
  end
  local by_seed, items = {}, {}
  local a, b = common_items(first), common_items(second)
  if a and b and #a[1] ~= #b[1] then a = nil end
  for s = 1, seeds do
    by_seed[s] = first[s].value - second[s].value
    items[s] = a and b and differences(a[s], b[s])
  end
  local difference
  if options and options.method == "bootstrap" and (seeds > 1 or a and b and #a[1] > 1) then
    difference = resampled(by_seed, a and b and items or nil, level, options)
    difference.over = a and b and (seeds > 1 and "seeds and items" or "items") or "seeds"
    difference.resolvable = M.resolvable(difference.se, nil, level)
  elseif a and b and seeds == 1 and #a[1] > 1 then
    if is_binary(a) and is_binary(b) then
      difference = paired_percentages(a[1], b[1], level)
    else
      difference = M.interval(items[1], { level = level })
      difference.items = nil
      difference.resolvable = M.resolvable(difference.se, #a[1] - 1, level)
    end
    difference.over = "items"
  elseif seeds > 1 then
    difference = crossed(by_seed, a and b and items or nil, level)
    difference.over = difference.method
    difference.resolvable = M.resolvable(difference.se, difference.df, level)
  else
    local value = by_seed[1]
    local half = sqrt(first[1]:half() ^ 2 + second[1]:half() ^ 2)
    difference = M.new { value = value, low = value - half, high = value + half, level = level, n = 1,
                         method = "intervals" }
    difference.over = "intervals"
    difference.resolvable = half * (1 + M.normal_quantile(POWER) / M.normal_quantile(two_sided(level)))
  end
  if difference.se == 0 and is_binary(a) and is_binary(b) then
    local over = difference.over
    difference = paired_percentages(a[1], b[1], level)
    difference.over = over
  end
  difference.seeds, difference.unit = seeds, first[1].unit
  return difference
end

return M
