--- What the probes of changed images share: which changes they look at, what these draw, the scale that the logits'
--- distances are measured on.
---@package
local nn = require "nn"
local perturb = require "perturb"
local probe = require "probe"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local M = {}

-- Streams of nn.derive; other probes' own begin at 3.
local CHANGE <const>, PAIR <const> = 1, 2

local fields = {
  levels = spec.any { spec.choice { "paper" }, spec.list { spec.integer { min = 1, max = 4 }, min = 1 },
                      default = "paper" },
  perturbations = spec.any { spec.list { spec.choice(perturb.names()), min = 1 },
                             spec.value { "a table of perturbations by name", function(value)
                               if type(value) ~= "table" or next(value) == nil then return false end
                               for name, change in pairs(value) do
                                 if type(name) ~= "string" or not perturb.is(change) then return false end
                               end
                               return true
                             end } },
  convention = spec.choice { "paper", "torchvision", default = "paper" },
  seed = spec.integer { default = 1, doc = "of random perturbations and of the pairs" },
  by_row = spec.flag { doc = "also metrics of each row: ds/brightness/1, ds/sum/1 and the like" },
  pairs = spec.integer { min = 2, doc = "random pairs for the scale; else one for each image, 1,000 at least" },
}

--- What spec.check is told of a probe's options: `own`, those of changes, and those every probe has.
---@param own table
---@return table
function M.with_fields(own)
  for name, field in pairs(fields) do own[name] = field end
  return probe.with_fields(own)
end

---@class ProbedChange
---@field perturbation string
---@field level? integer
---@field change Perturbation
---@field passes integer  # how often an image goes through the model to be changed

--- A change under its name.
---@param name string
---@param level? integer
---@param change Perturbation
---@return ProbedChange
function M.change(name, level, change)
  return { perturbation = name, level = level, change = change, passes = math.ceil(change:passes()) }
end

--- The changes that the options ask for.
---@param options table
---@return ProbedChange[]
function M.list(options)
  local list, chosen = {}, options.perturbations or perturb.names()
  if #chosen == 0 then
    for _, name in ipairs(spec.names(chosen)) do list[#list + 1] = M.change(name, nil, chosen[name]) end
    return list
  end
  local levels = options.levels == "paper" and { 1, 2, 3, 4 } or options.levels
  for _, name in ipairs(chosen) do
    for _, level in ipairs(levels) do
      list[#list + 1] = M.change(name, level, perturb.level(name, level, { convention = options.convention }))
    end
  end
  return list
end

--- What the change at a place of the list draws from in a batch.
---@param options table
---@param place integer
---@param batch integer
---@return { seed: integer, step: integer }
function M.draw(options, place, batch) return { seed = nn.derive(options.seed, CHANGE, place), step = batch } end

--- The changed images. ticks for each pass that the change makes.
---@param change ProbedChange
---@param x Tensor
---@param y Tensor
---@param model Model
---@param draw table
---@param tick fun(images: integer)
---@return Tensor
function M.apply(change, x, y, model, draw, tick)
  local moved = change.change(x, y, model, draw)
  for _ = 1, change.passes do tick(#x) end
  return moved
end

--- ||F(x) - F(y)||^2 of random pairs of images of two classes: cycles through the images in random orders.
---@param who string         # for messages
---@param logits Tensor      # [n x classes]
---@param labels integer[]
---@param options table
---@return number[]
function M.scale(who, logits, labels, options)
  local wanted, seed = options.pairs or math.max(1000, #labels), nn.derive(options.seed, PAIR, 0)
  local first, second = {}, {}
  for round = 1, 1000 do
    local order = nn.permutation(#labels, seed, round):tolist()
    for i, other in ipairs(order) do
      if #first < wanted and labels[i] ~= labels[other] then
        first[#first + 1], second[#second + 1] = i, other
      end
    end
    if #first >= wanted then break end
    if #first == 0 and round == 20 then break end
  end
  if #first == 0 then
    error(string.format("%s: the scale expects images of at least two classes, got one class in %s", who,
                        text.plural(#labels, "image")))
  end
  local function rows(list) return logits:index_select(1, nn.tensor(list, { type = "index" })) end
  return nn.squared_distance(rows(first), rows(second), { reduction = "none" }):tolist()
end

--- Appends 1 for each place where the equality of two lists is `wanted`, else 0.
---@param list integer[]
---@param a integer[]
---@param b integer[]
---@param wanted boolean
function M.compare(list, a, b, wanted)
  for i, value in ipairs(a) do list[#list + 1] = (value == b[i]) == wanted and 1 or 0 end
end

--- What a change did, image by image, as estimates: DS, the same on the scale, the share of flips, the accuracy.
---@param change { perturbation: string, level?: integer, distances: number[], flips: integer[], right: integer[] }
---@param scale number[]
---@return ContinuityRow
function M.row(change, scale)
  return { perturbation = change.perturbation, level = change.level, ds = stats.interval(change.distances),
           ds_relative = stats.ratio(change.distances, scale, { paired = false }),
           flips = stats.percentage(change.flips), accuracy = stats.percentage(change.right) }
end

--- Adds what rows measured to the metrics, under names such as "ds/brightness/1"; of sums over perturbations
--- "ds/sum/1".
---@param metrics table<string, Interval>
---@param rows table[]
---@param names string[]
function M.add_metrics(metrics, rows, names)
  for _, row in ipairs(rows) do
    local place = "/" .. (row.perturbation or "sum") .. (row.level and "/" .. row.level or "")
    for _, name in ipairs(names) do metrics[name .. place] = row[name] end
  end
end

return M
