-- Eq. 6 of the paper, measured: does the constraint make the logits smoother, or only smaller? Three models of digits:
-- trained plainly, with the constraint, and the plain one with its logits merely rescaled. The raw figures fall in both
-- of the others; those relative to the logits' scale tell them apart.
local data, models, loss, optim = require "data", require "models", require "loss", require "optim"
local attack, perturb, probe, train = require "attack", require "perturb", require "probe", require "train"

local set = data.open "mnist" -- the embedded sample where there is no other
local jitter = perturb.brightness { 16, 32, 48, 64 } | perturb.contrast { 1.25, 1.5, 1.75, 2 }

local function trained(objective)
  local model = models.lenet { classes = 10, channels = 1, seed = 1 }
  train { model = model, data = set, loss = objective, optimizer = optim.adam { lr = 2e-3 }, epochs = 2, batch = 50,
          seed = 1, quiet = true }
  return model
end

local plain = trained(loss.cross_entropy())
local continuous = trained(loss.cross_entropy() + 1.0 * loss.continuity { perturb = jitter })
local rescaled = models.lenet { classes = 10, channels = 1, logit_scale = 0.1 }
for name, tensor in pairs(rescaled:state()) do tensor:detach():copy(plain:state()[name]) end

local measure = probe.smoothness { perturbations = { "brightness", "contrast" }, levels = { 1, 4 }, limit = 100,
                                   attack = attack.pgd { eps = 0.1, step = 0.02, iters = 10 } }
local results = {}
for name, model in pairs { plain = plain, continuous = continuous, rescaled = rescaled } do
  results[name] = measure(model, set.test, { quiet = true })
end
print(results.continuous)
print()
for _, name in ipairs { "plain", "continuous", "rescaled" } do
  local metrics = results[name].metrics
  print(("%-10s  ‖J‖² %s, relative to the logits %s; DS under PGD %s, relative %s"):format(name, metrics.jacobian,
    metrics.jacobian_relative, metrics.ds_attack, metrics.ds_attack_relative))
end
