--- Attacks: perturbations that look for the model's mistakes in a ball around the image.
---
---   local pgd = attack.pgd{ eps = px(8), step = px(2), iters = 10 }
---   local x2 = pgd(x, y, model, { seed = 1 })                   equal seeds: equal bits
---   loss.cross_entropy() + loss.continuity{ perturb = pgd }     trains against it
---   attack.evaluate{ model = model, part = set.test, attack = attack.autoattack{ eps = px(8) } }
---
--- The ball and the images lie in pixel space, where colours are in [0, 1]; a model normalises in its first layer. An
--- attack runs on frozen weights with evaluation statistics, and changes neither. It never grades itself: attack.judge
--- does, and attack.evaluate asks the judge alone.
local nn = require "nn"
local options_of = require "attack.options"
local optim = require "optim"
local perturb = require "perturb"
local spec = require "spec"

local M = {}

local format = string.format

--- What an attack is, as the field `attack` of the perturbation.
---@class Attack
---@field name string        # "pgd"
---@field options table      # with their defaults
---@field threat string      # "linf, eps 8/255"
---@field norm "linf"|"l2"
---@field eps number
---@field stages AttackStage[]  # what is run, one after the other, on what still resists

---@class AttackStage
---@field label string       # "apgd-ce"
---@field row string         # of nn.attack.rows()
---@field options table
---@field passes { forward: integer, backward: integer }  # of an image that resists, at most

--- Is it an attack?
---
--- Example:
---     attack.is(attack.fgsm { eps = 8 / 255 }), attack.is(perturb.flip())  --> true  false
---@param value any
---@return boolean
function M.is(value) return perturb.is(value) and value.attack ~= nil end

-- ---- making ----

local function check_call(name, x, y, model)
  if model == nil or y == nil or x == nil then
    error(format("attack.%s: an attack needs images, labels and a model: p(x, y, model)", name), 4)
  elseif type(model) == "userdata" and getmetatable(model).__name == "nn.tensor" then
    error(format("attack.%s: images, labels and then a model expected, got a tensor for the model", name), 4)
  end
end

-- Runs the stages of an attack, each on what still resists; the judge says what that is.
local function cascade(self, x, y, model, draw)
  local judges = require "attack.judge"
  local out, places, ball = x, {}, { norm = self.norm, eps = optim.value_at(self.eps, draw) }
  for i, hit in ipairs((judges.ask(model, x, y))) do
    if hit then places[#places + 1] = i end
  end
  for number, stage in ipairs(self.stages) do
    if #places == 0 then break end
    local index = nn.tensor(places, { type = "index" })
    local some, labels = nn.data.rows(x, index), nn.data.rows(y, index)
    local images = options_of.run(stage, model, some, labels, {
      seed = nn.derive(draw.seed, 0, number), step = draw.step, span = draw.span, numbers = places })
    local verdict = judges.judge(model, some, images, labels, ball)
    local left, broken, order = {}, {}, {}
    for i, place in ipairs(places) do
      if verdict.right[i] then left[#left + 1] = place else broken[place] = i end
    end
    for i = 1, #x do order[i] = broken[i] and #x + broken[i] or i end
    out = nn.data.rows(nn.cat({ out, verdict.images }, 1), nn.tensor(order, { type = "index" }))
    places = left
  end
  return out
end

-- A perturbation of one or more stages.
local function value_of(name, text, options, stages, apply)
  local self = { name = name, options = options, threat = options_of.threat(options), norm = options.norm,
                 eps = options.eps, stages = stages }
  local passes = 0
  for _, stage in ipairs(stages) do passes = passes + options_of.passes(stage) end
  return perturb.of_attack {
    text = text, attack = self, passes = passes,
    scheduled = optim.is_schedule(options.eps) and { eps = options.eps } or nil,
    apply = apply or function(x, y, model, draw)
      check_call(name, x, y, model)
      if #stages > 1 then return cascade(self, x, y, model, draw) end
      return (options_of.run(stages[1], model, x, y, draw))
    end,
  }
end

-- An attack that is one row. A call in parentheses is no tail call: spec.check finds the line of the user.
local function make(row, options)
  local known = options_of.fields(row)
  options = spec.check("attack." .. row, options, known, 1)
  options_of.check_lengths("attack." .. row, options, 3)
  return value_of(row, options_of.text(row, options, known), options, { { label = row, row = row, options = options } })
end

---@class BallOptions
---@field eps number|Schedule    # radius of the ball, in pixels: px(8) is 8/255
---@field norm? "linf"|"l2"      # "linf"

---@class PGDOptions: BallOptions
---@field step? number           # length of a step; else 2.5 eps / iters
---@field iters? integer         # 10
---@field start? "uniform"|"normal"|"none"  # "uniform": begin anywhere in the ball; "normal": by 0.001 off the image
---@field restarts? integer      # 1: times it is begun; more leave alone what does not resist
---@field loss? "ce"|"dlr"|"margin"|"kl"  # "ce": what is climbed
---@field label? "true"|"predicted"|"least_likely"|"target"  # "true": y is the label; "target": what it is to become
---@field iterate? "last"|"best" # "last": which of the steps is given
---@field bn? "eval"|"train"     # "eval": the statistics that batch norm uses; the running ones never change

--- Projected gradient descent: steps along the gradient of the loss, each brought back into the ball and the range of
--- pixels. The paper's PGD-10 is attack.pgd{ eps = px(8), step = px(2), iters = 10 }.
---
--- Example:
---     pgd = attack.pgd { eps = 8 / 255, step = 2 / 255, iters = 10 }
---     pgd  --> pgd(linf, eps 8/255, step 2/255, 10 iterations, random start)
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = set.test:batches { size = 16 }()
---     (pgd(x, y, model, { seed = 1 }) - x):abs():max():item() <= 8 / 255 + 1e-6  --> true
---     attack.pgd { step = 2 / 255 }  --> error: attack.pgd: eps is required: a number of at least 0, or a schedule
---@param options PGDOptions
---@return Perturbation
function M.pgd(options) return (make("pgd", options)) end

--- The fast gradient sign method: one step of length eps along the gradient.
---
--- Example:
---     attack.fgsm { eps = 8 / 255 }  --> fgsm(linf, eps 8/255)
---@param options BallOptions
---@return Perturbation
function M.fgsm(options) return (make("fgsm", options)) end

-- A model that is never asked.
local nobody <const> = { forward = function() error("attack.random: it asks no model", 0) end }

--- A random place of the ball, evenly drawn: what an attack is compared with. It needs neither labels nor a model.
---
--- Example:
---     noise = attack.random { eps = 8 / 255 }
---     x = nn.full({ 2, 4, 4, 3 }, 0.5)
---     noise, (noise(x) - x):abs():max():item() <= 8 / 255 + 1e-6  --> random(linf, eps 8/255)  true
---@param options BallOptions
---@return Perturbation
function M.random(options)
  local known = options_of.fields "pgd"
  options = spec.check("attack.random", options, { norm = known.norm, eps = known.eps })
  options_of.check_lengths("attack.random", options, 2)
  local started = spec.examine({ norm = options.norm, eps = options.eps, iters = 0 }, known)
  local stage = { label = "random", row = "pgd", options = started }
  return value_of("random", format("random(%s)", options_of.threat(options)), options, { stage },
    function(x, _, _, draw)
      local labels = nn.ones({ #x }):to "index"
      return (options_of.run(stage, nobody, x, labels, draw))
    end)
end

---@class APGDOptions: BallOptions
---@field iters? integer         # 100
---@field restarts? integer      # 1
---@field loss? "ce"|"dlr"|"dlr_targeted"  # "ce"; dlr needs 3 classes, dlr_targeted 4
---@field targets? integer       # 9: classes that dlr_targeted goes for in turn, the most likely wrong ones
---@field rho? number            # 0.75: the step is halved where fewer steps than this share raised the loss
---@field bn? "eval"|"train"     # "eval"

--- Automatic PGD (Croce and Hein 2020): momentum, and a step that halves where the loss no longer rises. It is an
--- evaluation: what the model gets wrong is left alone, and an image is done when it is.
---
--- Example:
---     attack.apgd { eps = 8 / 255, loss = "dlr" }
---     --> apgd(linf, eps 8/255, 100 iterations, loss dlr)
---@param options APGDOptions
---@return Perturbation
function M.apgd(options) return (make("apgd", options)) end

---@class SquareOptions: BallOptions
---@field queries? integer       # 5000
---@field p_init? number         # 0.8: share of the image that a first change covers
---@field rescale? boolean       # false: the schedule of shares stretched to other numbers of queries

--- Square attack (Andriushchenko et al. 2020): random squares that lower the margin are kept. It sees logits alone, so
--- that hidden gradients do not hide mistakes from it. Images are square.
---
--- Example:
---     attack.square { eps = 8 / 255 }  --> square(linf, eps 8/255, 5000 queries)
---@param options SquareOptions
---@return Perturbation
function M.square(options) return (make("square", options)) end

---@class FABOptions: BallOptions
---@field iters? integer         # 100
---@field targets? integer       # 9: classes that are aimed at, the most likely wrong ones; fewer classes take all
---@field restarts? integer      # 1
---@field alpha_max? number      # 0.1: how far a step is drawn to the image
---@field eta? number            # 1.05: how far a step goes beyond the boundary
---@field beta? number           # 0.9: how far a point behind the boundary is drawn back
---@field search? integer        # 3: steps of the search between the nearest point and the image
---@field minimal? boolean       # false: give the nearest point of another class, not the first within the ball

--- FAB, targeted (Croce and Hein 2020): the nearest point of another class, by projections onto the boundary taken for
--- a hyperplane. What has none within the ball stays as it is.
---
--- Example:
---     attack.fab { eps = 0.5, norm = "l2", targets = 3 }  --> fab(l2, eps 0.5, 100 iterations, targets 3)
---@param options FABOptions
---@return Perturbation
function M.fab(options) return (make("fab", options)) end

-- ---- the standard ensemble ----

-- Its stages. "fast" has the first two, the second against 3 targets.
local function ensemble(options)
  local norm, eps, fast = options.norm, options.eps, options.version == "fast"
  local list = {}
  local function add(label, row, own)
    own.norm, own.eps = norm, eps
    list[#list + 1] = { label = label, row = row, options = assert(spec.examine(own, options_of.fields(row))) }
  end
  add("apgd-ce", "apgd", { loss = "ce", iters = options.iters })
  add("apgd-t", "apgd", { loss = "dlr_targeted", iters = options.iters, targets = fast and 3 or options.targets })
  if fast then return list end
  add("fab-t", "fab", { iters = options.iters, targets = options.targets })
  add("square", "square", { queries = options.queries })
  return list
end

---@class AutoAttackOptions: BallOptions
---@field version? "standard"|"fast"  # "standard"
---@field iters? integer    # 100: of each gradient attack
---@field targets? integer  # 9: classes that targeted attacks aim at, the most likely wrong ones
---@field queries? integer  # 5000: of square

--- AutoAttack (Croce and Hein 2020): APGD on the cross-entropy, APGD on the targeted DLR loss, FAB targeted, and
--- Square, each on what still resists. version = "fast" leaves out FAB and Square and aims at 3 classes: a first look,
--- which cannot tell a model that hides its gradients from one that resists.
---
--- Example:
---     attack.autoattack { eps = 8 / 255 }
---     --> autoattack(linf, eps 8/255, standard: apgd-ce, apgd-t, fab-t, square)
---     attack.autoattack { eps = 0.3, version = "fast", iters = 20 }
---     --> autoattack(linf, eps 0.3, fast: apgd-ce, apgd-t, iters 20)
---@param options AutoAttackOptions
---@return Perturbation
function M.autoattack(options)
  local known = options_of.fields "apgd"
  local fields = { norm = known.norm, eps = known.eps, iters = spec.integer { min = 1, default = 100 },
                   version = spec.choice { "standard", "fast", default = "standard" },
                   targets = spec.integer { min = 1, default = 9 },
                   queries = spec.integer { min = 1, default = 5000 } }
  options = spec.check("attack.autoattack", options, fields)
  options_of.check_lengths("attack.autoattack", options, 2)
  local stages, labels, changed = ensemble(options), {}, {}
  for i, stage in ipairs(stages) do labels[i] = stage.label end
  for _, name in ipairs { "iters", "queries", "targets" } do
    if options[name] ~= fields[name].default then changed[#changed + 1] = format(", %s %d", name, options[name]) end
  end
  local text = format("autoattack(%s, %s: %s%s)", options_of.threat(options), options.version,
    table.concat(labels, ", "), table.concat(changed))
  return value_of("autoattack", text, options, stages)
end

-- ---- judging ----

--- Judges what an attack gave: x' is clipped to the ball and to the range of pixels, and the model, with evaluation
--- statistics, is asked again. The verdict prints itself; it says image by image whether the label is still given
--- (`right`), what is given (`predicted`), how far x' is, and how many images were outside, and by how much.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = set.test:batches { size = 16 }()
---     verdict = attack.judge(model, x, 1 - x, y, { eps = 8 / 255 })
---     verdict
---     --> 4 of 16 images still right; linf, eps 8/255; 16 were outside by up to 0.961 and were clipped
---     #verdict.right, verdict.distances[1] <= 8 / 255 + 1e-6  --> 16  true
---@param model Model
---@param x Tensor          # the images
---@param candidate Tensor  # what an attack made of them
---@param y Tensor          # labels
---@param options { eps: number, norm?: "linf"|"l2" }  # norm: "linf"
---@return Verdict
function M.judge(model, x, candidate, y, options)
  return (require "attack.judge".judge(model, x, candidate, y, options))
end

---@class AttackEvaluation
---@field model Model|table       # a table needs a method forward(x, { training = false })
---@field part Part|DataSet       # of a set the test part
---@field attack Perturbation|Perturbation[]|table<string, Perturbation>
---@field norm? "linf"|"l2"       # the ball of perturbations that are no attacks of this module
---@field eps? number
---@field limit? integer          # so many images only
---@field batch? integer          # 128
---@field seed? integer           # 1
---@field out? string             # a file for what is measured of a model, from which an interrupted evaluation goes on
---@field store? table            # another place for it, with get(self, key) and set(self, key, row)
---@field tick? function          # called with the passes of images made, in the place of a progress line
---@field quiet? boolean          # false

--- What attacks leave of a model's accuracy. Images that the model gets wrong count as broken and are not attacked;
--- each attack is measured on all the others, and the judge alone says what resists. Shows the time left, at most;
--- with `out` an evaluation that was stopped goes on where it was. An attack's draws belong to images: its results do
--- not depend on `batch`. Other perturbations draw for a batch at a time.
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     eps = 8 / 255
---     result = attack.evaluate { model = model, part = set.test, quiet = true, limit = 40,
---                                attack = { attack.fgsm { eps = eps }, attack.pgd { eps = eps, iters = 5 } } }
---     result.count, #result.clean.items, #result.robust.pgd.items  --> 40  40  40
---     result.worst.value <= result.robust.fgsm.value               --> true
---@param options AttackEvaluation
---@return AttackResult
function M.evaluate(options) return (require "attack.evaluate".evaluate(options)) end

--- How often an image goes through the model in such an evaluation, forward or backward, at most: for a probe that
--- makes one.
---
--- Example:
---     attack.work { attack.fgsm { eps = 0.1 }, attack.pgd { eps = 0.1, iters = 5 } }  --> 15
---@param attacks Perturbation|Perturbation[]|table<string, Perturbation>
---@return integer
function M.work(attacks) return require "attack.evaluate".passes(attacks) end

--- What a recipe's plan may name, as in loss.lua.
---@package
M.constructors = { pgd = M.pgd, fgsm = M.fgsm, random = M.random }
for name in ("apgd square fab autoattack"):gmatch "%S+" do M.constructors[name] = M[name] end

return M
