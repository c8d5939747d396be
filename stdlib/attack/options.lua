--- The options of attacks, as their rows in C list them: checks, words, and how much work they ask for.
---@package
local nn = require "nn"
local optim = require "optim"
local spec = require "spec"

local M = {}

local format, concat = string.format, table.concat

local rows = {}
for _, row in ipairs(nn.attack.rows()) do rows[row.name] = row end

-- ---- fields of spec.check from a signature ----

local function bounds_of(words)
  local out = {}
  for sign, number in words:gmatch "([<>]=?)%s*(%S+)" do
    local name = ({ [">="] = "min", [">"] = "above", ["<="] = "max", ["<"] = "below" })[sign]
    out[name] = tonumber(number)
  end
  return out
end

local makers = {
  number = function(options, default)
    options.default = tonumber(default)
    return spec.number(options)
  end,
  integer = function(options, default)
    options.min, options.max = math.tointeger(options.min), math.tointeger(options.max)
    options.default = math.tointeger(tonumber(default))
    return spec.integer(options)
  end,
  boolean = function(_, default) return spec.flag { default = default and default == "true" } end,
}

-- "linf|l2", "l2" -> one of the two
local function choice_of(kinds, default)
  local choices = { default = default }
  for word in kinds:gmatch "[^|]+" do choices[#choices + 1] = word end
  return spec.choice(choices)
end

-- "iters:integer=10 >=0" -> "iters", its field
local function field_of(words)
  local name, kind, rest = words:match "^%s*([%w_]+):(%S+)%s*(.*)$"
  local plain, default = kind:match "^(.-)=(.*)$"
  plain = (plain or kind):gsub("%?$", "")
  local make = makers[plain]
  return name, make and make(bounds_of(rest), default) or choice_of(plain, default)
end

local fields = {}

--- What spec.check is told of a row's options.
---@param row string
---@return table<string, SpecKind>
function M.fields(row)
  if fields[row] then return fields[row] end
  local out = {}
  for words in rows[row].signature:gsub("[{}]", ""):gmatch "[^,]+" do
    local name, field = field_of(words)
    out[name] = field
  end
  out.eps = spec.any { out.eps, spec.value { "a schedule", optim.is_schedule }, required = true }
  fields[row] = out
  return out
end

--- Are lengths in pixels? In the norm linf nothing is further than 1: what says more means steps of 1/255.
---@param name string  # "attack.pgd"
---@param options { norm: string, eps: number|Schedule, step?: number }
---@param level integer
function M.check_lengths(name, options, level)
  for _, key in ipairs { "eps", "step" } do
    local value = options[key]
    if options.norm == "linf" and type(value) == "number" and value > 1 then
      error(format("%s: %s expects a length in pixels of [0, 1], got %s; perturb.px(%s) is %s/255", name, key, value,
        value, value), level + 1)
    end
  end
end

-- ---- words ----

--- A length in pixels as one writes it: 8/255, or 0.3 where that is shorter.
---@param value number
---@return string
function M.length(value)
  local steps, plain = value * 255, format("%.10g", value)
  local whole = math.floor(steps * 4 + 0.5) / 4
  local share = format("%.10g/255", whole)
  return math.abs(steps - whole) < 1e-9 * steps and #share < #plain and share or plain
end

--- A threat model in words: `linf, eps 8/255`.
---@param options { norm: string, eps: number }
---@return string
function M.threat(options)
  local eps = options.eps
  return format("%s, eps %s", options.norm, type(eps) == "number" and M.length(eps) or tostring(eps))
end

local starts <const> = { uniform = "random start", normal = "normal start", none = "no random start" }

-- Options with words of their own, in the order in which they are told.
local told = {
  { "step", function(options) return options.step and "step " .. M.length(options.step) end },
  { "iters", function(options)
    return options.iters and format("%d iteration%s", options.iters, options.iters == 1 and "" or "s")
  end },
  { "queries", function(options) return options.queries and options.queries .. " queries" end },
  { "start", function(options) return options.start and starts[options.start] end },
}

--- An attack in words, all that it depends on: `pgd(linf, eps 8/255, step 2/255, 10 iterations, random start)`.
---@param name string
---@param options table
---@param known table<string, SpecKind>
---@return string
function M.text(name, options, known)
  local parts, done = { M.threat(options) }, { norm = true, eps = true }
  for _, one in ipairs(told) do
    parts[#parts + 1], done[one[1]] = one[2](options), true
  end
  for _, key in ipairs(spec.names(options)) do
    if not done[key] and options[key] ~= known[key].default then
      parts[#parts + 1] = format("%s %s", key, tostring(options[key]))
    end
  end
  return format("%s(%s)", name, concat(parts, ", "))
end

-- ---- work ----

-- How often an image that resists to the end goes through the model, forward or backward, by the attack's row.
local most_passes = {
  pgd = function(o)
    local judged = (o.iterate == "best" or o.restarts > 1) and 1 or 0
    return (2 * o.iters + judged) * o.restarts + (o.restarts > 1 and 1 or 0)
      + ((o.label == "predicted" or o.label == "least_likely" or o.loss == "kl") and 1 or 0)
  end,
  fgsm = function() return 2 end,
  apgd = function(o) return 1 + (2 * o.iters + 1) * o.restarts * (o.loss == "dlr_targeted" and o.targets or 1) end,
  square = function(o) return o.queries + 2 end,
  fab = function(o) return 3 * o.iters * o.restarts * o.targets + o.search + 2 end,
}

--- The passes of an image in a stage, at most.
---@param stage AttackStage
---@return integer
function M.passes(stage) return most_passes[stage.row](stage.options) end

-- ---- running ----

--- Runs a stage on images. `at` has the seed, and what a schedule of eps is told.
---@param stage AttackStage
---@param model Model
---@param x Tensor
---@param y Tensor
---@param at { seed: integer, step?: integer, span?: table, numbers?: integer[], progress?: function }
---@return Tensor images, table info
function M.run(stage, model, x, y, at)
  local options = {}
  for name, value in pairs(stage.options) do options[name] = value end
  options.eps = optim.value_at(options.eps, at)
  options.seed, options.progress = at.seed, at.progress
  options.numbers = at.numbers and nn.tensor(at.numbers, { type = "index" })
  return nn.attack.run(stage.row, model, x, y, options)
end

return M
