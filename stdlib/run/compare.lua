--- Two runs of one plan, row by row: are their metrics the same bits, and if not, where do they part?
---
--- On one type of machine (same version, vector unit, BLAS kernels and precision) equal plans give equal bits. On
--- another, sums are rounded in another order, and training makes a small difference large: measured over ResNets and
--- a LeNet with SGD and Adam, on AVX-512, AVX2 and portable kernels with two kinds of BLAS kernels, the terms of the
--- loss differ at step 1 by up to 2e-6 of their values, at 2 by 1e-3, at 5 by 1.3e-2, at 10 by 6e-2, at 20 by 0.45 and
--- from then on as two runs with different seeds do. So the rows up to step 10 are compared within a tolerance that
--- grows with the step, M.tolerance; later ones say nothing. Results are compared as measurements: their intervals,
--- each at twice its width, must overlap. Runs that are far from converged (two epochs on 1,500 images, accuracy 14 to
--- 54 % by seed) did not in two of twelve tries: what turns on rounding is not known better than that.
local json = require "json"
local stats = require "stats"
local text = require "text"

local M = {}

local format, sort, abs, max = string.format, table.sort, math.abs, math.max

--- The last step whose rows are compared between different types of machine.
M.LAST_STEP = 10

--- How far a number in the row of a step may be from the same number of another type of machine, as a share of it;
--- nil for steps that are not compared.
---
--- Example:
---     local compare = require "run.compare"
---     print(compare.tolerance(1), compare.tolerance(5), compare.tolerance(11))    --> 1e-05   0.05    nil
---@param step integer
---@return number?
function M.tolerance(step)
  if step <= 1 then return 1e-5 end
  return step <= M.LAST_STEP and 0.002 * step * step or nil
end

-- ---- machines ----

local traits = {
  { "version", "version of the program", function(about) return about.version end },
  { "level", "vector unit", function(about) return about.level end },
  { "precision", "precision", function(about) return about.precision end },
  { "blas", "BLAS", function(about)
    local name = tostring(about.blas)
    return (name:match "^%S+ %S+" or name) .. " " .. (name:match "kernels (%S+)$" or "")
  end },
}

--- What decides the bits of a run, in words: "avx512, float, OpenBLAS 0.3.21 Cooperlake, version 0.1.0".
---@param environment table  # of environment.json
---@return string
function M.machine(environment)
  local parts = {}
  for _, trait in ipairs { traits[2], traits[3], traits[4] } do parts[#parts + 1] = tostring(trait[3](environment)) end
  return table.concat(parts, ", ") .. ", version " .. tostring(environment.version)
end

--- Where two environments differ in what decides the bits of a run: { { what, first, second }, ... }, empty for
--- machines of one type.
---
--- Example:
---     local compare = require "run.compare"
---     local here = require "nn".info()
---     print(#compare.machines(here, here))                  --> 0
---@param first table   # as environment.json has it
---@param second table
---@return { [1]: string, [2]: string, [3]: string }[]
function M.machines(first, second)
  local list = {}
  for _, trait in ipairs(traits) do
    local a, b = tostring(trait[3](first)), tostring(trait[3](second))
    if a ~= b then list[#list + 1] = { trait[2], a, b } end
  end
  return list
end

-- ---- rows ----

local function flatten(value, name, out)
  if type(value) == "table" then
    for key, part in pairs(value) do flatten(part, name == "" and tostring(key) or name .. "." .. key, out) end
  else
    out[name] = value
  end
  return out
end

-- What says most comes first: where the row stands, the terms of the loss, the loss, the rest.
local function rank(name)
  if name == "kind" or name == "epoch" or name == "step" or name == "name" then return 0 end
  if name:find "^terms%..*%.raw$" then return 1 end
  return name == "loss" and 2 or 3
end

-- terms.cross_entropy.raw and metrics.accuracy.value as a reader knows them.
local function short(name)
  return name:match "^terms%.(.*)%.raw$" or name:match "^metrics%.(.*)%.value$" or name
end

local function same(a, b) return a == b or a ~= a and b ~= b end

--- The share by which two numbers differ; not numbers, or not finite ones: infinity when they are not the same.
---@param a any
---@param b any
---@return number
function M.difference(a, b)
  if same(a, b) then return 0 end
  if math.type(a) ~= "float" and math.type(a) ~= "integer" or type(b) ~= "number" then return math.huge end
  local share = abs(a - b) / max(abs(a), abs(b))
  return share == share and share or math.huge
end

-- The fields in which two rows differ, the most telling first.
local function fields_apart(here, there)
  local a, b, names = flatten(here, "", {}), flatten(there, "", {}), {}
  for name, value in pairs(a) do
    if not same(value, b[name]) then names[#names + 1] = name end
  end
  for name in pairs(b) do
    if a[name] == nil then names[#names + 1] = name end
  end
  sort(names, function(x, y)
    local rx, ry = rank(x), rank(y)
    return rx < ry or rx == ry and x < y
  end)
  for i, name in ipairs(names) do
    names[i] = { field = short(name), here = a[name], there = b[name], share = M.difference(a[name], b[name]),
                 measured = rank(name) == 1 or rank(name) == 2 }
  end
  return names
end

local function decode_row(path, line, number)
  local value, message, code = json.decode(line, format("%s: row %d", path, number))
  if type(value) == "table" then return value end
  return nil, message or format("%s: row %d: an object expected", path, number), code or "format"
end

-- The rows of a file of metrics, one at a time: a long training has a million.
local Rows = {}
Rows.__index = Rows
function Rows:__close() self.handle:close() end

-- With `steps` the rows of training up to that step. nil, message, code when there is no such file.
local function open_rows(path, steps)
  local handle, message = io.open(path, "rb")
  if not handle then return nil, message, "io" end
  return setmetatable({ path = path, steps = steps, handle = handle, number = 0 }, Rows)
end

-- { line, its number }; nothing at the end, nil, message, code for a damaged one.
function Rows:next()
  for line in self.handle:lines() do
    self.number = self.number + 1
    if not self.steps then return { line = line, number = self.number } end
    local row, message, code = decode_row(self.path, line, self.number)
    if not row then return nil, message, code end
    if row.kind ~= "probe" and type(row.step) == "number" and row.step <= self.steps then
      return { line = line, number = self.number }
    end
  end
end

---@class RowsCompared
---@field rows integer        # that were compared
---@field equal integer       # of them, from the first on, before the first that differs
---@field first? RowDifference       # the first difference
---@field beyond? RowDifference      # the first one out of tolerance
---@field near integer        # rows with a tolerance
---@field largest number      # difference in these, as a share

---@class RowDifference
---@field row integer         # of the second file
---@field step? integer
---@field field string
---@field here any
---@field there any

-- One file has a row more: it is missing `where`.
local function note_missing(found, row, where)
  local value = json.decode(row.line)
  local apart = { row = row.number, step = type(value) == "table" and math.tointeger(value.step) or nil, field = "row",
                  here = where == "here" and "none" or "one more", there = where == "there" and "none" or "one more" }
  found.first, found.beyond = found.first or apart, found.beyond or apart
end

-- In what two rows differ, and whether it is within tolerance.
local function note_difference(found, one, two, number)
  local step = math.tointeger(two.step)
  local bound = two.kind == "step" and step and M.tolerance(step)
  for _, apart in ipairs(fields_apart(one, two)) do
    apart.row, apart.step = number, step
    found.first = found.first or apart
    if bound and apart.measured then found.largest = max(found.largest, apart.share) end
    if not found.beyond and not apart.measured and rank(apart.field) == 0
      or not found.beyond and bound and apart.measured and apart.share > bound then
      found.beyond = apart
    end
  end
end

--- Compares two files of metrics (metrics.jsonl), with `steps` the rows of training up to that step. A file that
--- cannot be read gives nil, message, code.
---@param here string   # path
---@param there string
---@param options? { steps?: integer }
---@return RowsCompared? found, string? message, string? code
function M.rows(here, there, options)
  local steps = options and options.steps
  local first <close>, message, code = open_rows(here, steps)
  if not first then return nil, message, code end
  local second <close>, problem, kind = open_rows(there, steps)
  if not second then return nil, problem, kind end
  local found = { rows = 0, equal = 0, near = 0, largest = 0.0 }
  while true do
    local a, b
    a, message, code = first:next()
    if message then return nil, message, code end
    b, message, code = second:next()
    if message then return nil, message, code end
    if not a or not b then
      if a or b then note_missing(found, a or b, b and "here" or "there") end
      return found
    end
    found.rows = found.rows + 1
    if a.line == b.line then
      if not found.first then found.equal = found.rows end
    else
      local one, two
      one, message, code = decode_row(here, a.line, a.number)
      if not one then return nil, message, code end
      two, message, code = decode_row(there, b.line, b.number)
      if not two then return nil, message, code end
      note_difference(found, one, two, b.number)
    end
    if a.line:find '"kind":"step"' then
      local step = math.tointeger(tonumber(a.line:match '"step":(%d+)'))
      if step and M.tolerance(step) then found.near = found.near + 1 end
    end
  end
end

-- ---- words ----

--- Two values with as many digits as it takes to tell them apart: "2.3017", "2.3018".
---
--- Example:
---     print(require "run.compare".shown(2.30171, 2.30182))          --> 2.3017  2.3018
---@param a any
---@param b any
---@return string, string
function M.shown(a, b)
  if type(a) == "number" and type(b) == "number" and not same(a, b) then
    for digits = 5, 17 do
      local one, two = format("%." .. digits .. "g", a), format("%." .. digits .. "g", b)
      if one ~= two then return one, two end
    end
  end
  local function one(x) return x == nil and "none" or text.tame(tostring(x), 40) end
  return one(a), one(b)
end

--- "at step 40 (row 17): cross_entropy 2.3017 here, 2.3018 there".
---@param apart RowDifference
---@param here? string   # "here"
---@param there? string  # "there"
---@return string
function M.place(apart, here, there)
  local a, b = M.shown(apart.here, apart.there)
  local where = apart.step and format("at step %d (row %d)", apart.step, apart.row) or format("in row %d", apart.row)
  return format("%s: %s %s %s, %s %s", where, text.tame(apart.field, 40), a, here or "here", b, there or "there")
end

-- ---- results ----

-- Two intervals, each at twice its width, overlap.
local function near(a, b)
  local function reach(x) return max(x.high - x.value, x.value - x.low) end
  return abs(a.value - b.value) <= 2 * (reach(a) + reach(b)) + 1e-5 * max(abs(a.value), abs(b.value))
end

---@class MetricCompared
---@field name string
---@field first? Interval
---@field second? Interval
---@field same boolean          # the same bits
---@field near boolean          # as two measurements of one thing
---@field difference? Interval  # first minus second; where both have items, item by item

--- The metrics of two runs side by side, by name.
---@param first table<string, Interval>
---@param second table<string, Interval>
---@return MetricCompared[]
function M.metrics(first, second)
  local names, list = {}, {}
  for name in pairs(first) do names[#names + 1] = name end
  for name in pairs(second) do
    if not first[name] then names[#names + 1] = name end
  end
  sort(names)
  for i, name in ipairs(names) do
    local a, b = first[name], second[name]
    local this = { name = name, first = a, second = b, same = false, near = false }
    if a and b then
      this.same = same(a.value, b.value) and same(a.low, b.low) and same(a.high, b.high)
      this.near = this.same or near(a, b)
      local paired = a.items and b.items and #a.items == #b.items
      local ok, difference = pcall(stats.compare, { a }, { b })
      this.difference = ok and difference or nil
      this.paired = ok and paired or false
    end
    list[i] = this
  end
  return list
end

return M
