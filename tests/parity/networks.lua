--- Whole networks against torch: logits, loss, the gradient of every parameter, running statistics after the step.
local nn, models = require "nn", require "models"
local reference = require "parity.reference"

local M = {}

--- Runs one stored case.
---@param case table  # an entry of fixtures/nets.lua or fixtures/double.lua
---@param stored fun(place: table): Tensor
---@return table<string, number> errors  # by what differs, relative to its norm
function M.errors(case, stored)
  local model = models[case.model] { classes = case.classes, stem = case.stem }
  local state = model:state()
  for name, t in pairs(state) do t:copy(reference.parameter(case.seed, name, t.shape)) end
  local x = reference.uniform(case.input_seed, "x", case.size)
  local y = reference.index(case.seed, "y", case.size[1], case.classes)
  local logits = model:forward(x, { training = case.training })
  local value = nn.cross_entropy(logits, y)
  value:backward()

  local errors = {
    loss = reference.error(value:reshape { 1 }, stored(case.loss)),
    logits = reference.error(logits, stored(case.logits)),
  }
  local function compare(what, name, actual, place)
    errors[what .. name] = reference.summary_error(case.seed, name, actual, stored(place), case.projections)
  end
  for _, p in ipairs(case.parameters) do
    local t = assert(state[p.name], "the model has no parameter " .. p.name)
    compare("gradient of ", p.name, t.grad, p.summary)
  end
  for _, s in ipairs(case.statistics or {}) do compare("", s.name, state[s.name], s.summary) end
  return errors
end

return M
