--- One case of cases.lua as Penumbra does it, in a process of its own, whenever it is told to.
--- usage: penumbra scripts/bench/work.lua CASE [batch=N] [threads=N]
---
--- turns.lua says how it is told. peer_torch.py does the same for torch.
local attack, loss, models, nn = require "attack", require "loss", require "models", require "nn"
local optim, perturb = require "optim", require "perturb"
local turns = require "turns"

local RADIUS <const>, STEP <const>, ITERATIONS <const> = 8 / 255, 2 / 255, 10

local name, options = arg[1], { threads = 2 }
local case
for _, c in ipairs(require "cases") do
  if c.name == name then case = c end
end
if not case then error("work.lua: no such case: " .. tostring(name), 0) end
options.batch = case.batch
for i = 2, #arg do
  local key, value = arg[i]:match "^(%l+)=(%d+)$"
  if not options[key] then error("work.lua: batch=N or threads=N expected, got " .. arg[i], 0) end
  options[key] = math.tointeger(value)
end

-- Multiplications and additions of all convolutions and linear layers in one forward pass of one image, a multiply-add
-- as two; taps on the padding count, biases, batch norm, activations and pooling do not. A layer whose weight has W
-- elements, K of them output channels, does W/K multiply-adds for each element it puts out. Two numbers: of all layers,
-- and of the first alone.
local function forward_flops(model)
  local x, total, first = nn.zeros { 1, case.side, case.side, case.channels }, 0, nil
  for _, parameter in ipairs(model:named_parameters()) do
    local path, weight = parameter.name:match "^(.*)%.weight$", parameter.tensor
    if path and #weight.shape >= 2 then
      local _, taps = nn.no_grad(model.forward, model, x, { taps = { path } })
      local shape = taps[path].shape
      local flops = 2 * taps[path]:count() * weight:count() // shape[#shape]
      total, first = total + flops, first or flops
    end
  end
  return total, first
end

-- What a batch of `work` costs: backward does each layer's product twice more, for the gradients of its input and of
-- its weights; the first layer's input needs none in plain training, the weights need none in an attack.
local function work_flops(model)
  if not model then return nil end
  local forward, first = forward_flops(model)
  local train, found = 3 * forward - first, ITERATIONS * 2 * forward
  local of = { infer = forward, train = train, continuity = 2 * train, pgd = found, adversarial = found + train }
  return options.batch * of[case.work]
end

nn.threads(options.threads)
nn.seed(1)
local start_mb = turns.memory_mb "VmRSS"

local x = nn.uniform({ options.batch, case.side, case.side, case.channels }, { seed = 1 })
local labels = {}
for i = 1, options.batch do labels[i] = (i - 1) % case.classes + 1 end
local y = nn.tensor(labels, { type = "index" })

local model, optimizer
if case.network ~= "none" then
  model = models[case.network] { classes = case.classes, channels = case.channels, stem = case.stem }
  optimizer = optim.adam { model:parameters(), lr = 1e-3 }
end

local cross_entropy = loss.cross_entropy()
local function train(images)
  cross_entropy(model, images, y):backward()
  optimizer:step()
end

local attacks = 0
local function find(iterations)
  attacks = attacks + 1
  return attack.pgd { eps = RADIUS, step = STEP, iters = iterations or ITERATIONS }(x, y, model, { seed = attacks })
end

local steps = {}
function steps.train() train(x) end

local perturbed = case.work == "continuity" and perturb.colour()(x, y, model, { seed = 1 })
local constrained = loss.cross_entropy()
  + loss.continuity { perturb = perturb.new { name = "made beforehand", apply = function() return perturbed end } }
function steps.continuity()
  constrained(model, x, y):backward()
  optimizer:step()
end

function steps.pgd(iterations) find(iterations) end
function steps.adversarial(iterations) train(find(iterations)) end
function steps.infer() nn.no_grad(model, x) end

local function between(low, high)
  local values = {}
  for i = 0, 15 do values[i + 1] = low + i / 15 * (high - low) end
  return values
end
local torchvision = { convention = "torchvision" }
local jitter = perturb.brightness(between(0.6, 1.4), torchvision) >> perturb.contrast(between(0.6, 1.4), torchvision)
  >> perturb.saturation(between(0.6, 1.4), torchvision) >> perturb.hue(between(-0.1, 0.1), torchvision)
local jitters = 0
function steps.jitter()
  jitters = jitters + 1
  jitter(x, y, nil, { seed = 1, step = jitters })
end

turns.serve(steps[case.work], {
  start_mb = start_mb, flops = work_flops(model), parameters = model and model:count() or 0,
})
