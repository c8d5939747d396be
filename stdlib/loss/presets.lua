--- The kinds of terms by name. Those that compare are the pairing term (loss/pair.lua) with other defaults; loss.lua's
--- comments tell where the defaults are from.
---@package
local pair = require "loss.pair"
local task = require "loss.task"

return {
  cross_entropy = task.cross_entropy,
  hinge = task.hinge,
  pair = pair.row {},
  continuity = pair.row { perturb = "required" },
  kl = pair.row { perturb = "required", distance = "kl" },
  alp = pair.row { perturb = "required", weight = 0.5, reduction = "mean_all" },
  clp = pair.row { against = "other images", weight = 0.5, reduction = "mean_all" },
  lsq = pair.row { against = "zero", distance = "l2", weight = 0.05 },
}
