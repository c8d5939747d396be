--- The kinds of terms by name. Those that compare are the pairing term (loss/pair.lua) with other defaults; loss.lua's
--- comments tell where the defaults are from.
---@package
local generate = require "loss.generate"
local pair = require "loss.pair"
local penalty = require "loss.penalty"
local perturb = require "perturb"
local spec = require "spec"
local task = require "loss.task"

-- TRADES' and MART's attack: 10 steps of 0.007 within 0.031 of each pixel, from x + 0.001 N(0, 1).
local function attack(goal)
  return { fields = {}, generate = function()
    return require "attack".pgd { eps = 0.031, step = 0.007, iters = 10, start = "normal", loss = goal }
  end }
end

local noise = {
  fields = { deviation = spec.number { min = 0, max = 10, default = 0.04 } },
  generate = function(options) return perturb.gaussian_noise(options.deviation) end,
}

local virtual = {
  fields = { eps = pair.scheduled(2.0, { min = 0 }), xi = spec.number { above = 0, default = 0.01 },
             iterations = spec.integer { min = 0, default = 1 },
             bn = spec.choice { "eval", "train", default = "eval" } },
  generate = generate.virtual_adversary,
}

local mixed = { fields = {}, generate = function() return perturb.augmix() end }

return {
  cross_entropy = task.cross_entropy,
  boosted_cross_entropy = task.boosted_cross_entropy,
  hinge = task.hinge,
  input_gradient = penalty,
  pair = pair.row {},
  continuity = pair.row { perturb = "required" },
  kl = pair.row { perturb = "required", distance = "kl" },
  alp = pair.row { perturb = "required", weight = 0.5, reduction = "mean_all" },
  clp = pair.row { against = "other images", weight = 0.5, reduction = "mean_all" },
  lsq = pair.row { against = "zero", distance = "l2", weight = 0.05 },
  stability = pair.row({ distance = "xent", weight = 0.01 }, noise),
  trades = pair.row({ distance = "kl", weight = 6.0, batch_stats = "separate" }, attack "kl"),
  mart = pair.row({ distance = "kl", weight = 6.0, weight_by = "1 - p_y", batch_stats = "separate" }, attack "ce"),
  vat = pair.row({ distance = "kl", stop_gradient = "clean", batch_stats = "clean" }, virtual),
  uda = pair.row { perturb = "required", distance = "kl", stop_gradient = "clean" },
  augmix = pair.row({ distance = "js", views = 3, weight = 12.0 }, mixed),
  r_drop = pair.row { against = "again", distance = "sym_kl", weight = 1.0 },
}
