--- Which of the models a file's tensors fit, told by their names and shapes.
local models = require "models"
local plan = require "plan"
local weights = require "checkpoint.weights"

local M = {}

-- The first tensor whose name ends so, and has so many axes.
local function find(file, axes, ...)
  for _, ending in ipairs { ... } do
    for _, entry in ipairs(file.entries) do
      if #entry.shape == axes and ("." .. entry.name):sub(-#ending - 1) == "." .. ending then return entry.shape end
    end
  end
end

-- How many fully connected layers a file has that are called fc1, fc2, ...
local function hidden_of(file)
  local widths = {}
  while true do
    local shape = find(file, 2, "fc" .. #widths + 1 .. ".weight")
    if not shape then return widths end
    widths[#widths + 1] = shape
  end
end

-- Constructors and options that could have made the file, judged by a few of its tensors.
local function candidates(file)
  local list = {}
  local function add(kind, options) list[#list + 1] = { kind = kind, options = options } end
  local last, first = find(file, 2, "fc.weight", "linear.weight"), find(file, 4, "conv1.weight")
  local dense = hidden_of(file)
  if last and first and find(file, 4, "layer4.0.conv1.weight") then
    for _, kind in ipairs { "resnet18", "resnet34", "resnet50" } do
      add(kind, { classes = last[1], channels = first[2], stem = first[3] == 7 and "imagenet" or "cifar" })
    end
  elseif last and first and find(file, 4, "layer3.0.conv1.weight") then
    local projects = find(file, 4, "layer2.0.downsample.0.weight", "layer2.0.shortcut.0.weight")
    for _, kind in ipairs { "resnet8", "resnet20", "resnet56" } do
      add(kind, { classes = last[1], channels = first[2], shortcut = projects and "B" or "A" })
    end
  elseif first and #dense == 3 then
    local side = math.tointeger(math.sqrt(dense[1][2] / 16))
    local size = side == 5 and 28 or side and 4 * side + 8
    if size then add("lenet", { classes = dense[3][1], channels = first[2], size = size }) end
  elseif not first and #dense > 0 then
    local hidden = {}
    for i = 1, #dense - 1 do hidden[i] = dense[i][1] end
    add("mlp", { classes = dense[#dense][1], inputs = dense[1][2], hidden = hidden })
  end
  return list
end

--- The constructors in models that make a model which takes every tensor of an open file, with their options. The
--- normalisation is not in a file's tensors and is left out.
---@param file table  # nn.checkpoint.read
---@return { kind: string, options: table }[]
function M.models(file)
  local fitting = {}
  for _, this in ipairs(candidates(file)) do
    local model = models.make(this.kind, this.options, weights.room(file))
    if model and weights.fits(model, file) then fitting[#fitting + 1] = this end
  end
  return fitting
end

--- `models.resnet20{ classes = 10, shortcut = "A" }`
---@param kind string
---@param options table
---@return string
function M.text(kind, options) return "models." .. kind .. plan.text(options) end

return M
