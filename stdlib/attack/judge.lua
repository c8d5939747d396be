--- The one judge of all attacks: whatever an attack gives is clipped to the ball and to the range of pixels, and the
--- model is asked again.
local nn = require "nn"
local options_of = require "attack.options"
local spec = require "spec"

local M = {}

local format = string.format

local TOLERANCE <const> = 1e-6 -- of rounding, in pixels; in the L2 norm a share of its radius too

local fields = {
  norm = spec.choice { "linf", "l2", default = "linf" },
  eps = spec.number { min = 0, required = true },
}

local function is_tensor(value, axes)
  return type(value) == "userdata" and getmetatable(value).__name == "nn.tensor" and #value.shape == axes
end

--- Is it a model: a module, or a table with a method forward(x, { training = false })?
---@param value any
---@return boolean
function M.is_model(value)
  if type(value) == "userdata" then return getmetatable(value).__name == "nn.module" end
  return type(value) == "table" and value.forward ~= nil
end

--- Labels and the model's answers: which are equal. Logits that are no numbers are no answer.
---@param model Model
---@param x Tensor
---@param y Tensor
---@return boolean[] right, integer[] predicted, Tensor logits
function M.ask(model, x, y)
  local logits = nn.no_grad(function() return (model:forward(x, { training = false })) end)
  if not is_tensor(logits, 2) or #logits ~= #x then
    error(format("attack: logits [%d x classes] expected of the model's forward, got %s", #x, spec.shown(logits)))
  end
  local truth, predicted, best, right = y:tolist(), logits:argmax(2):tolist(), logits:max(2):tolist(), {}
  for i, class in ipairs(predicted) do
    right[i] = class == truth[i] and best[i] == best[i]
  end
  return right, predicted, logits
end

local function check(model, x, candidate, y)
  local function expect(fine, what, got)
    if not fine then error(format("attack.judge: %s expected, got %s", what, spec.shown(got)), 5) end
  end
  expect(M.is_model(model), "a model", model)
  expect(is_tensor(x, 4), "images [N x H x W x C]", x)
  expect(is_tensor(candidate, 4), "images [N x H x W x C]", candidate)
  local a, b = table.concat(x.shape, "x"), table.concat(candidate.shape, "x")
  if a ~= b then error(format("attack.judge: images of one shape expected twice, got [%s] and [%s]", a, b), 4) end
  expect(is_tensor(y, 1) and #y == #x, format("labels of %d images", #x), y)
end

-- Images that hold a pixel that is no number are exchanged for their originals.
local function whole(x, candidate)
  local sums, places, count = candidate:reshape({ #x, -1 }):sum(2):tolist(), {}, 0
  for i, sum in ipairs(sums) do
    local fine = sum - sum == 0
    count, places[i] = count + (fine and 0 or 1), fine and #x + i or i
  end
  if count == 0 then return candidate, 0 end
  return nn.data.rows(nn.cat({ x, candidate }, 1), nn.tensor(places, { type = "index" })), count
end

local function distances(x, candidate, norm)
  local difference = (candidate - x):reshape { #x, -1 }
  return norm == "linf" and difference:abs():max(2):tolist() or (difference * difference):sum(2):sqrt():tolist()
end

local function outside(candidate, distance, options)
  local flat = candidate:reshape { #candidate, -1 }
  local low, high = flat:min(2):tolist(), flat:max(2):tolist()
  local tolerance = options.norm == "l2" and TOLERANCE * (1 + 10 * options.eps) or TOLERANCE
  local count, most = 0, 0.0
  for i, length in ipairs(distance) do
    local excess = math.max(length - options.eps, -low[i], high[i] - 1)
    if excess > tolerance then count, most = count + 1, math.max(most, excess) end
  end
  return { images = count, most = most }
end

--- What became of attacked images, as attack.judge found it. It prints as a line.
---@class Verdict
---@field right boolean[]       # image by image: does the model still give the label?
---@field predicted integer[]   # what it gives
---@field images Tensor         # x' as it was judged
---@field distances number[]    # from x, in the norm
---@field outside { images: integer, most: number }  # those that were not in the ball or the range, and by how much
---@field nonfinite integer     # images with a pixel that is no number; they are judged unchanged
local Verdict = { __name = "Verdict" }
Verdict.__index = Verdict

function Verdict:__tostring()
  local right = 0
  for _, still in ipairs(self.right) do right = right + (still and 1 or 0) end
  local out = self.outside
  return format("%d of %d images still right; %s%s%s", right, #self.right, self.threat,
    out.images > 0 and format("; %d were outside by up to %.3g and were clipped", out.images, out.most) or "",
    self.nonfinite > 0 and format("; %d held pixels that are no numbers", self.nonfinite) or "")
end

--- attack.judge; its errors are raised at the line of who called that.
function M.judge(model, x, candidate, y, options)
  options = spec.check("attack.judge", options, fields, 1)
  check(model, x, candidate, y)
  return nn.no_grad(function()
    local images, nonfinite = whole(x, candidate)
    local out = outside(images, distances(x, images, options.norm), options)
    local clipped = nn.attack.project(x, images, { norm = options.norm, eps = options.eps })
    local right, predicted = M.ask(model, clipped, y)
    return setmetatable({ right = right, predicted = predicted, images = clipped, outside = out,
                          distances = distances(x, clipped, options.norm), nonfinite = nonfinite,
                          threat = options_of.threat(options) }, Verdict)
  end)
end

return M
