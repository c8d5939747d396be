-- A recipe that builds on another: the digits of digits.lua, in training each shifted a little. What it says nothing
-- about (data, network, optimiser, probes) is digits.lua's, its parameters too.
-- penumbra run augmentation shift=3
-- penumbra sweep augmentation shift=0,1,2,4 seed=1..3
local base = include "digits.lua"

local params = { shift = param.integer { 2, min = 0, max = 8, doc = "pixels that a training digit may move; 0: none" } }
for name, value in pairs(base.params) do params[name] = value end

return recipe {
  title = base.title .. ", shifted",
  about = [[Augmentation and constraint side by side: training digits are cut out of their padded images at random
    places, x' is such a digit with another brightness or contrast.]],
  cites = base.cites,
  params = params,
  unstated = base.unstated,
  plan = function(p)
    local plan = base.plan(p)
    if p.shift > 0 then plan.augment = perturb.random_crop { padding = p.shift } end
    return plan
  end,
}
