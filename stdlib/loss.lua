--- Losses as values: `loss.cross_entropy() + 1.0 * loss.continuity{ perturb = p }`.
---
--- A loss is a sum of weighted terms. `objective(model, x, y)` runs the model in training mode on every view its terms
--- name - the clean images, and the images under each perturbation - once, as one joint batch [x; x'; ...] unless a
--- term asks otherwise with batch_stats: a perturbed view may go through by itself with its own batch statistics
--- ("separate"), without updating the running ones ("clean"), or with evaluation statistics ("eval"). The draws of a
--- perturbation depend on (seed, step, which perturbation of the loss it is) and on nothing else: two objectives with
--- equal seeds see the same perturbed images.
---
--- A weight may be a number or a schedule: `optim.ramp { steps = 500 } * loss.continuity{ perturb = p }`.
local nn = require "nn"
local optim = require "optim"
local kinds = require "loss.presets"
local perturb = require "perturb"
local spec = require "spec"
local views_of = require "loss.views"

local M = {}

-- Stream of nn.derive: what dropout draws is unrelated to what perturbations draw.
local DROPOUT <const> = 2

local format = string.format

---@class LossTerm
---@field kind string
---@field weight number|Schedule
---@field options table

--- A sum of weighted terms; `+` and `number *` make it.
---@class Loss
---@field terms LossTerm[]
---@field seed integer  # of the draws; 1 unless set
---@field step integer  # of the next call; counted up by every call, may be set
---@field span? { steps?: integer, epoch?: integer }  # steps of the whole training and of an epoch, for schedules
---@operator add(Loss): Loss
---@operator mul(number|Schedule): Loss
local Loss = {}
Loss.__index = Loss
Loss.__name = "Loss"

local function new(terms) return setmetatable({ terms = terms, seed = 1, step = 0 }, Loss) end

--- Is it a loss?
---
--- Example:
---     loss.is(loss.cross_entropy())  --> true
---@param value any
---@return boolean
function M.is(value) return getmetatable(value) == Loss end

-- A preset's own perturbation, where none is given: what it is set to stands in its text. Or what is wrong.
local function settle(row, options, given)
  local own = options.perturb == nil and options.against == "clean"
  if own then options.perturb = row.generate(options) end
  for name in pairs(row.own) do
    if not own and given[name] ~= nil then
      return name .. " is of the perturbation that is used when none is given"
    end
    options[name] = nil
  end
end

-- The constructors end in a tail call of this, so the user's line is its caller's.
local function build(kind, options)
  local row = kinds[kind]
  local given = options
  options = spec.check("loss." .. kind, options, row.fields)
  local problem = row.generate and settle(row, options, given) or row.check and row.check(options)
  if problem then error("loss." .. kind .. ": " .. problem, 2) end
  local factor = options.weight
  options.weight = nil
  return new { { kind = kind, weight = factor, options = options } }
end

---@alias Weight number|Schedule  # a factor, or one that changes in the training

---@class CrossEntropyOptions
---@field weight? Weight        # 1: factor of the term in the sum
---@field smoothing? number     # 0: the share of the target that is spread over all classes
---@field anneal? "linear"|"log"|"exp"  # training signal annealing: leaves out the images whose label has a share above
---  # a threshold, which rises from 1/K to 1 over the training
---@field perturb? Perturbation # look at the perturbed images instead of the clean ones
---@field batch_stats? "joint"|"separate"|"clean"|"eval"  # "joint": how the perturbed images go through the network

---@class HingeOptions
---@field weight? Weight        # 1
---@field margin? number        # 1: by how much the right logit should be above the others
---@field perturb? Perturbation # look at the perturbed images instead of the clean ones
---@field batch_stats? "joint"|"separate"|"clean"|"eval"  # "joint"

---@class PairOptions
---@field perturb? Perturbation  # P: x' is P(x)
---@field against? "clean"|"again"|"other images"|"zero"  # "clean": pairs x with x'. "again": with x a second time
---  # (other draws of dropout); "other images": image i with image i + n/2 of the batch; "zero": with 0. With a
---  # perturbation the last two look at x' instead of x
---@field on? string             # "logits", "softmax", "log_softmax", or the name of a layer, as model:layers() has it
---@field distance? string       # "sq_l2", "l2", "l1", "huber", "cosine"; and of the softmax of logits: "kl" is
---  # KL(p(x) || p(x')), "kl_reverse", "sym_kl" half their sum, "js", "xent" the cross-entropy of p(x) and p(x')
---@field reduction? "sum_classes"|"mean_all"  # "sum_classes": a sum over the k numbers of an image; or their mean
---@field stop_gradient? false|"clean"|"perturbed"  # false: the gradient flows through both sides
---@field temperature? number|{ clean?: number, perturbed?: number }  # 1: divides the logits, of both or of each side
---@field threshold? number      # only images whose largest p(x) is above it; the others count as 0 in the mean
---@field weight_by? "1 - p_y"   # each image counts 1 - p_y(x), with gradient
---@field views? integer         # 2; with "js": x and so many less one x'
---@field batch_stats? "joint"|"separate"|"clean"|"eval"  # "joint": x and x' go through the model as one batch
---@field weight? Weight         # 1

---@class ContinuityOptions: PairOptions
---@field perturb Perturbation  # P: x' is P(x)

---@class KLOptions: PairOptions
---@field perturb Perturbation

---@class AdversarialOptions
---@field perturb Perturbation   # the attack
---@field mix? number            # 0.5: the share of the attacked images
---@field smoothing? number      # 0
---@field batch_stats? "joint"|"separate"|"clean"|"eval"  # "joint"

--- Cross-entropy with the labels, averaged over the batch; of the perturbed images when `perturb` is given.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1, seed = 1 }
---     x, y = nn.zeros { 2, 28, 28, 1 }, nn.tensor({ 1, 2 }, { type = "index" })
---     value, terms = loss.cross_entropy { smoothing = 0.1 }(model, x, y)
---     value:item(), terms.cross_entropy.raw  --> 2.2797  2.2797
---@param options? CrossEntropyOptions
---@return Loss
function M.cross_entropy(options) return build("cross_entropy", options) end

--- Multi-class hinge loss, averaged over the batch.
---
--- Example:
---     2 * loss.hinge { margin = 0.5 }  --> 2 * hinge(margin = 0.5)
---@param options? HingeOptions
---@return Loss
function M.hinge(options) return build("hinge", options) end

--- The continuity constraint DS(x, x') = ||F(x') - F(x)||^2 of the paper (Eq. 2), F the logits: summed over classes and
--- averaged over the batch, or averaged over both with reduction "mean_all", which makes it as many times weaker as
--- there are classes. The gradient flows through both sides unless stop_gradient names one.
---
--- Example:
---     change = perturb.brightness(32) | perturb.contrast(1.5)
---     objective = loss.cross_entropy() + 0.1 * loss.continuity { perturb = change }
---     objective  --> cross_entropy + 0.1 * continuity(brightness(+32/255) | contrast(×1.5))
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = set.train:batches { size = 32 }()
---     value, terms = objective(model, x, y)
---     terms.continuity.weight, terms.continuity.weighted / terms.continuity.raw  --> 0.1  0.1
---     value:backward()
---@param options ContinuityOptions
---@return Loss
function M.continuity(options) return build("continuity", options) end

--- KL(softmax F(x) || softmax F(x')), averaged over the batch; the logits are divided by the temperature first.
---
--- Example:
---     loss.cross_entropy() + loss.kl { perturb = perturb.hue(0.1), temperature = 2 }
---     --> cross_entropy + 1 * kl(hue(+0.1), temperature = 2)
---@param options KLOptions
---@return Loss
function M.kl(options) return build("kl", options) end

--- The pairing term, of which all others that compare two looks at an image are settings: the mean over the batch of
--- m D(phi(F(a) / T), phi(F(b) / T)), where (a, b) is (x, x') or as `against` says, phi is `on`, D is `distance`, and m
--- is 1 unless `threshold` or `weight_by` say otherwise.
---
--- Example:
---     change = perturb.hue(0.1)
---     pair = loss.pair { perturb = change, on = "fc2", distance = "cosine", stop_gradient = "clean" }
---     pair  --> 1 * pair(hue(+0.1), distance = cosine, on = fc2, stop_gradient = clean)
---     print(pair:formula())
---     --> L = mean (1 − cos(fc2(x'), sg fc2(x)))
---     --> x' = hue(+0.1)
---     loss.pair { perturb = change, on = "softmax", distance = "kl" }
---     --> error: loss.pair: distance = "kl" takes logits and compares their softmax: on = "softmax" is not for it
---@param options PairOptions
---@return Loss
function M.pair(options) return build("pair", options) end

--- Adversarial logit pairing (Kannan, Kurakin, Goodfellow 2018): the mean squared difference of the logits of x and of
--- the attacked x', over the batch and the classes, times 0.5 as in the authors' training script. The method's task
--- loss is loss.adversarial's, of the same attack. With K classes it is continuity with a weight K times smaller.
---
--- Example:
---     attack = perturb.brightness(8) -- stands for an attack
---     objective = loss.adversarial { perturb = attack } + loss.alp { perturb = attack }
---     print(objective:formula())
---     --> L = 0.5 · mean CE(F(x), y) + 0.5 · mean CE(F(x'), y) + 0.5 · mean 1/K ‖F(x') − F(x)‖²
---     --> x' = brightness(+8/255)
---@param options ContinuityOptions
---@return Loss
function M.alp(options) return build("alp", options) end

--- Clean logit pairing (Kannan, Kurakin, Goodfellow 2018): the same between unrelated images, image i and image i + n/2
--- of a batch of n. Times 0.5, as loss.alp: the code that compares them (Mosbach et al. 2018) leaves it open. It was
--- used on images with noise: give the noise as `perturb`.
---
--- Example:
---     print((loss.cross_entropy() + loss.clp()):formula())
---     --> L = mean CE(F(x), y) + 0.5 · mean 1/K ‖F(x_(i+n/2)) − F(x_i)‖²
---@param options? PairOptions
---@return Loss
function M.clp(options) return build("clp", options) end

--- Logit squeezing (Kannan, Kurakin, Goodfellow 2018): the mean length of the logits, not squared, times 0.05 as for
--- Tiny ImageNet in the code of Mosbach et al. 2018. It makes every distance of logits smaller and teaches nothing
--- about x': the control for losses that lower DS. It was used on images with noise: give the noise as `perturb`.
---
--- Example:
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = data.synthetic({ side = 28, channels = 1 }).train:batches { size = 8 }()
---     value, terms = (loss.cross_entropy() + loss.lsq { weight = 0.1 })(model, x, y)
---     terms.lsq.weight, terms.lsq.raw  --> 0.1  0.077886
---     loss.lsq():formula()             --> L = 0.05 · mean ‖F(x)‖
---@param options? PairOptions
---@return Loss
function M.lsq(options) return build("lsq", options) end

---@class StabilityOptions: PairOptions
---@field deviation? number  # 0.04: of the noise

--- Stability training (Zheng et al. 2016): the cross-entropy of p(x) and p(x') for x' = x + Gaussian noise, times 0.01
--- with a deviation of 0.04, as the paper has it; cross-entropy is taken on x alone. The noisy images are clipped to
--- [0, 1]. The paper's form for embeddings, a distance, is on = a layer and distance = "l2"; with distance = "sq_l2" it
--- is continuity with Gaussian P.
---
--- Example:
---     print((loss.cross_entropy() + loss.stability()):formula())
---     --> L = mean CE(F(x), y) + 0.01 · mean H(p(x), p(x'))
---     --> x' = gaussian_noise(0.04)
---     loss.stability { deviation = 0.1, distance = "sq_l2" }
---     --> 0.01 * stability(gaussian_noise(0.1), distance = sq_l2)
---@param options? StabilityOptions
---@return Loss
function M.stability(options) return build("stability", options) end

--- TRADES (Zhang et al. 2019): KL(p(x) || p(x')), gradient through both sides, times beta = 6 as in the paper. x' is
--- found by 10 steps of 0.007 that maximise this divergence within 0.031 of each pixel, from x + 0.001 N(0, 1), as in
--- the authors' CIFAR-10 script; another attack may be given as `perturb`. x and x' go through batch norm apart, as in
--- the authors' code.
---
--- Example:
---     attack = perturb.brightness(8) -- stands for an attack
---     print((loss.cross_entropy() + loss.trades { perturb = attack }):formula())
---     --> L = mean CE(F(x), y) + 6 · mean KL(p(x) ‖ p(x'))
---     --> x' = brightness(+8/255); batch statistics: separate
---@param options? PairOptions
---@return Loss
function M.trades(options) return build("trades", options) end

--- The boosted cross-entropy of MART: CE(x) - log(1.0001 - the largest share of a wrong class), averaged over the
--- batch.
---
--- Example:
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = data.synthetic({ side = 28, channels = 1 }).train:batches { size = 8 }()
---     loss.boosted_cross_entropy()(model, x, y):item()  --> 1.687
---@param options? { perturb?: Perturbation, weight?: Weight, batch_stats?: string }
---@return Loss
function M.boosted_cross_entropy(options) return build("boosted_cross_entropy", options) end

--- MART (Wang et al. 2020): the boosted cross-entropy of x', and KL(p(x) || p(x')) of each image times 1 - p_y(x),
--- times beta = 6 as in the authors' code. x' is found by 10 steps of 0.007 that maximise cross-entropy within 0.031 of
--- each pixel, from x + 0.001 N(0, 1); another attack may be given as `perturb`. This is the whole loss: it has no
--- cross-entropy on x. x and x' go through batch norm apart.
---
--- Example:
---     attack = perturb.brightness(8) -- stands for an attack
---     print(loss.mart({ perturb = attack }):formula())
---     --> L = mean [CE(F(x'), y) − log(1.0001 − max_(k≠y) p_k(x'))] + 6 · mean (1 − p_y(x)) KL(p(x) ‖ p(x'))
---     --> x' = brightness(+8/255); batch statistics: separate
---@param options? PairOptions
---@return Loss
function M.mart(options)
  local pair = build("mart", options)
  local made = pair.terms[1].options
  local task = M.boosted_cross_entropy { perturb = made.perturb, batch_stats = made.batch_stats }
  return task + pair
end

---@class VatOptions: PairOptions
---@field eps? number|Schedule  # 2: how far, in length
---@field xi? number            # 0.01: where the gradient is taken, in length
---@field iterations? integer   # 1: power iterations
---@field bn? "eval"|"train"    # "eval": statistics while the direction is sought

--- Virtual adversarial training (Miyato et al. 2018): KL(p(x) || p(x + r)), with no gradient through p(x), where r is
--- the direction of length eps in which the divergence grows fastest, found without labels by one power iteration, as
--- in the authors' code. As there, the pass on x + r does not update the running statistics. Their eps is 8 for
--- whitened images, whose pixels vary by 1; ours are in [0, 1] and vary by about 0.25, hence 2. Their xi is 1e-6, which
--- is lost in float: on a ResNet-8 and a LeNet-5 the direction it gives was none, or unrelated to the one in double;
--- that of 0.01 has a cosine of 0.998 and 0.90 with it, the best of 1e-6 to 10. x + r is not clipped.
---
--- Example:
---     print((loss.cross_entropy() + loss.vat { eps = 1 }):formula())
---     --> L = mean CE(F(x), y) + mean KL(sg p(x) ‖ p(x'))
---     --> x' = virtual_adversary(l2, eps 1, xi 0.01, 1 iteration); batch statistics: clean
---@param options? VatOptions
---@return Loss
function M.vat(options) return build("vat", options) end

--- The consistency term of unsupervised data augmentation (Xie et al. 2020): KL(p(x) || p(x')), with no gradient
--- through p(x). The temperature of p(x) and the threshold below which an image does not count are off, as in the
--- authors' code; the paper's for CIFAR-10 are 0.4 and 0.8. Training signal annealing is an option of
--- loss.cross_entropy. All images go through the network as one batch. Here every image has a label, and both terms see
--- the same ones.
---
--- Example:
---     change = perturb.colour { levels = { 1 }, only = { "hue" } }
---     uda = loss.uda { perturb = change, temperature = { clean = 0.4 }, threshold = 0.8 }
---     print((loss.cross_entropy { anneal = "exp" } + uda):formula())
---     --> L = mean CE(F(x), y) over p_y(x) ≤ η(t), exp + mean [max p(x) > 0.8] KL(sg softmax(F(x)/0.4) ‖ p(x'))
---     --> x' = hue(+0.1)
---@param options ContinuityOptions
---@return Loss
function M.uda(options) return build("uda", options) end

--- The consistency term of AugMix (Hendrycks et al. 2020): the mean divergence of p(x), p(x') and p(x'') from their
--- mean, where x' and x'' are two draws of perturb.augmix(), times 12, as in the authors' code; cross-entropy is taken
--- on x alone. Another perturbation may be given, and how many views there are.
---
--- Example:
---     print((loss.cross_entropy() + loss.augmix { perturb = perturb.hue(0.1) }):formula())
---     --> L = mean CE(F(x), y) + 12 · mean JS(p(x), p(x'), p(x''))
---     --> x', x'' = hue(+0.1)
---@param options? PairOptions
---@return Loss
function M.augmix(options) return build("augmix", options) end

--- R-Drop (Liang et al. 2021): half of KL(p(x) || q(x)) + KL(q(x) || p(x)), where p and q are two passes of the same
--- images, with other draws of dropout. The authors' task loss is the mean over both passes. They choose the weight for
--- each task (1 here), and their published lines sum over the batch where this is its mean.
---
--- Example:
---     again = perturb.identity()
---     task = 0.5 * loss.cross_entropy() + 0.5 * loss.cross_entropy { perturb = again }
---     print((task + loss.r_drop { weight = 0.6 }):formula())
---     --> L = 0.5 · mean CE(F(x), y) + 0.5 · mean CE(F(x'), y) + 0.6 · mean ½ [KL(p(x) ‖ p(x')) + KL(p(x') ‖ p(x))]
---     --> x' = identity
---@param options? PairOptions
---@return Loss
function M.r_drop(options) return build("r_drop", options) end

--- The squared length of the gradient of cross-entropy to an image, averaged over the batch (double backpropagation,
--- Drucker and LeCun 1992); what small changes of x do to the loss, at first order. Its parameter gradient is a
--- difference of gradients at x + h g and x - h g, g being the input gradient: three passes of the batch, two of them
--- with a gradient to the parameters. `step` is how far that goes in length. With batch_stats = "clean" the gradient is
--- that of the network in training, with the statistics of the batch, none of which are kept; "eval": in evaluation.
---
--- Example:
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = data.synthetic({ side = 28, channels = 1 }).train:batches { size = 8 }()
---     objective = loss.cross_entropy() + 0.1 * loss.input_gradient()
---     value, terms = objective(model, x, y)
---     terms.input_gradient.raw, objective:views()  --> 0.00033662  4
---     objective:formula()  --> L = mean CE(F(x), y) + 0.1 · mean ‖∂CE(F(x), y)/∂x‖²
---@param options? { weight?: Weight, step?: number, batch_stats?: "clean"|"eval" }  # 1, 0.03, "clean"
---@return Loss
function M.input_gradient(options) return build("input_gradient", options) end

local adversarial_fields = {
  perturb = spec.value { "a perturbation", perturb.is, required = true },
  mix = spec.number { min = 0, max = 1, default = 0.5 },
  smoothing = kinds.cross_entropy.fields.smoothing,
  batch_stats = kinds.cross_entropy.fields.batch_stats,
}

--- Adversarial training: mix CE(x') + (1 - mix) CE(x), where x' is the attacked x. Half of each, unless told: what the
--- paper's text describes, and Kannan et al. 2018 (M-PGD); Madry et al. 2018 train on x' alone, mix = 1.
---
--- Example:
---     attack = perturb.brightness(8) -- stands for an attack
---     loss.adversarial { perturb = attack }
---     --> 0.5 * cross_entropy + 0.5 * cross_entropy(brightness(+8/255))
---     loss.adversarial { perturb = attack, mix = 1 }  --> cross_entropy(brightness(+8/255))
---@param options AdversarialOptions
---@return Loss
function M.adversarial(options)
  options = spec.check("loss.adversarial", options, adversarial_fields)
  local mix = options.mix
  options.mix = nil
  local attacked, clean = M.cross_entropy(options), M.cross_entropy { smoothing = options.smoothing }
  if mix == 1 then return attacked end
  return mix == 0 and clean or (1 - mix) * clean + mix * attacked
end

--- What a recipe's plan may name: functions that make it, or { check =, places = } for what is made in a run only.
---@package
M.constructors = {}
for name in ("cross_entropy boosted_cross_entropy hinge pair continuity kl alp clp lsq stability trades mart vat uda "
  .. "augmix r_drop input_gradient adversarial"):gmatch "%S+" do
  M.constructors[name] = M[name]
end

-- ---- arithmetic ----

local function scaled(terms, factor)
  local out = {}
  for i, term in ipairs(terms) do
    -- Two schedules have no product; they say so.
    local weight = term.weight == 1 and type(factor) ~= "number" and factor or term.weight * factor
    out[i] = { kind = term.kind, weight = weight, options = term.options }
  end
  return out
end

function Loss.__add(a, b)
  if not (M.is(a) and M.is(b)) then
    error("loss: + expects two losses, got " .. spec.shown(a) .. " and " .. spec.shown(b), 2)
  end
  local terms = scaled(a.terms, 1)
  table.move(b.terms, 1, #b.terms, #terms + 1, terms)
  return new(terms)
end

function Loss.__mul(a, b)
  if M.is(a) then a, b = b, a end
  local factor = optim.is_schedule(a) or type(a) == "number" and a == a and math.abs(a) ~= math.huge
  if not factor or not M.is(b) then
    error("loss: * expects a finite number and a loss, got " .. spec.shown(a) .. " and " .. spec.shown(b), 2)
  end
  return new(scaled(b.terms, a))
end

-- ---- words ----

local function option_text(value)
  if type(value) ~= "table" or getmetatable(value) then return tostring(value) end
  local parts = {}
  for _, name in ipairs(spec.names(value)) do parts[#parts + 1] = name .. " " .. tostring(value[name]) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function weight_text(weight)
  return type(weight) == "number" and format("%.10g", weight) or tostring(weight)
end

local function describe_term(term)
  local options, row, parts = term.options, kinds[term.kind], {}
  if options.perturb then parts[1] = tostring(options.perturb) end
  for _, name in ipairs(spec.names(options)) do
    if name ~= "perturb" and options[name] ~= row.fields[name].default then
      parts[#parts + 1] = name .. " = " .. option_text(options[name])
    end
  end
  local text = term.kind .. (#parts > 0 and "(" .. table.concat(parts, ", ") .. ")" or "")
  -- The weight of a constraint is always worth saying; a task loss of weight one is just itself.
  if term.weight == 1 and not row.pair then return text end
  return weight_text(term.weight) .. " * " .. text
end

--- The loss in words: `cross_entropy + 1 * continuity(brightness(32) | contrast(1.5))`.
---
--- Example:
---     (loss.cross_entropy() + 0.5 * loss.continuity { perturb = perturb.hue(0.1) }):describe()
---     --> cross_entropy + 0.5 * continuity(hue(+0.1))
---@return string
function Loss:describe()
  local parts = {}
  for i, term in ipairs(self.terms) do parts[i] = describe_term(term) end
  return table.concat(parts, " + ")
end
Loss.__tostring = Loss.describe

-- The terms' names in reports: the kind, "_perturbed" for a task loss on a perturbed view, a number where two collide.
local function names(terms)
  local out, taken = {}, {}
  for i, term in ipairs(terms) do
    local name = term.kind .. (not kinds[term.kind].pair and term.options.perturb and "_perturbed" or "")
    taken[name] = (taken[name] or 0) + 1
    out[i] = taken[name] == 1 and name or name .. "_" .. taken[name]
  end
  return out
end

--- The names its terms have in reports, in their order.
---
--- Example:
---     change = perturb.hue(0.1)
---     (loss.cross_entropy() + loss.cross_entropy { perturb = change }):names()
---     --> { "cross_entropy", "cross_entropy_perturbed" }
---@return string[]
function Loss:names() return names(self.terms) end

-- ---- evaluation ----

-- The distinct views of all terms, and for each term the places of its views among them.
local function views_of_terms(terms)
  local lists = {}
  for i, term in ipairs(terms) do lists[i] = kinds[term.kind].views(term.options) end
  return views_of.distinct(lists, names(terms))
end

-- The layers that terms look at beside the logits.
local function layers_of(terms)
  local list, known = {}, {}
  for _, term in ipairs(terms) do
    local row = kinds[term.kind]
    local layer = row.layer and row.layer(term.options)
    if layer and not known[layer] then
      list[#list + 1], known[layer] = layer, true
    end
  end
  return list
end

--- How often the images of a batch go through the model: once, and once more for each perturbation, without what the
--- perturbation itself does with the model. An input-gradient penalty takes three passes of its own.
---
--- Example:
---     (loss.cross_entropy() + loss.continuity { perturb = perturb.hue(0.1) }):views()  --> 2
---@return integer
function Loss:views()
  local count = #(views_of_terms(self.terms))
  for _, term in ipairs(self.terms) do count = count + (kinds[term.kind].passes or 0) end
  return count
end

--- How often an image goes through the model while its views are made, forward or backward: the work of attacks.
---
--- Example:
---     change = attack.pgd { eps = 8 / 255, iters = 10 }
---     (loss.cross_entropy() + loss.continuity { perturb = change }):attack_passes()  --> 20
---@return number
function Loss:attack_passes()
  local total = 0
  for _, view in ipairs((views_of_terms(self.terms))) do
    if view.perturb then total = total + view.perturb:passes() end
  end
  return total
end

--- How often an image goes through the model in a step, there and back: once for each view, and for each step of an
--- attack. What a training counts as images.
---
--- Example:
---     change = attack.pgd { eps = 8 / 255, iters = 10 }
---     (loss.cross_entropy() + loss.continuity { perturb = change }):work()  --> 12
---@return integer
function Loss:work() return self:views() + math.ceil(self:attack_passes() / 2) end

--- The loss as a formula: L, and what the x in it are. F are the logits, p their softmax, K how many there are; the
--- means are over the images of a batch; no gradient flows through what stands behind sg.
---
--- Example:
---     print((loss.cross_entropy() + 0.5 * loss.continuity { perturb = perturb.hue(0.1) }):formula())
---     --> L = mean CE(F(x), y) + 0.5 · mean ‖F(x') − F(x)‖²
---     --> x' = hue(+0.1)
---@return string
function Loss:formula()
  local views, places = views_of_terms(self.terms)
  local symbols, parts, lines, count = {}, {}, {}, 0
  local called, texts = {}, {} -- several draws of one perturbation share a line
  for i, view in ipairs(views) do
    if view.perturb then count = count + 1 end
    symbols[i] = view.perturb and "x" .. ("'"):rep(count) or "x"
    if view.perturb then
      local how = view.batch_stats ~= "joint" and format("; batch statistics: %s", view.batch_stats) or ""
      local text = tostring(view.perturb) .. how
      if not called[text] then
        called[text], texts[#texts + 1] = {}, text
      end
      table.insert(called[text], symbols[i])
    end
  end
  for i, text in ipairs(texts) do lines[i] = table.concat(called[text], ", ") .. " = " .. text end
  for i, term in ipairs(self.terms) do
    local own = {}
    for j, place in ipairs(places[i]) do own[j] = symbols[place] end
    local text = kinds[term.kind].formula(term.options, own)
    parts[i] = term.weight == 1 and text or weight_text(term.weight) .. " · " .. text
  end
  table.insert(lines, 1, "L = " .. table.concat(parts, " + "))
  return table.concat(lines, "\n")
end

---@class LossReport  # terms in order, and by name; with it what is scheduled in the term's perturbation, as eps
---@field [integer] { name: string, raw: number, weight: number, weighted: number }
---@field [string] { name: string, raw: number, weight: number, weighted: number }

local call_options = { seed = spec.integer(), step = spec.integer(), training = spec.flag { default = true },
                       span = spec.record { steps = spec.integer(), epoch = spec.integer() } }

local function is_tensor(value) return type(value) == "userdata" and getmetatable(value).__name == "nn.tensor" end

-- Everything that a batch's loss depends on.
local function position(self, model, x, y, at)
  local step, seed = at.step or self.step, at.seed or self.seed
  return { model = model, x = x, y = y, seed = seed, step = step, span = at.span or self.span,
           training = at.training ~= false, dropout = nn.derive(seed, DROPOUT, step) }
end

-- Adds what a perturbation takes from schedules, by name: { eps = 0.03 }.
local function add_scheduled(row, p, at)
  for name, schedule in pairs(p.scheduled or {}) do row[name] = optim.value_at(schedule, at) end
  for _, part in ipairs(p.parts or {}) do add_scheduled(row, part, at) end
end

local function report_of(term, name, raw, at)
  local weight = optim.value_at(term.weight, at)
  local row = { name = name, raw = raw, weight = weight, weighted = raw * weight }
  if term.options.perturb then add_scheduled(row, term.options.perturb, at) end
  return row
end

--- The loss of a batch: a tensor to call backward on, every term as plain numbers, and the logits of the clean images
--- (without history; nil when no term looks at them).
---
--- Example:
---     set = data.synthetic { classes = 4, side = 28, channels = 1 }
---     model = models.lenet { classes = 4, channels = 1, seed = 1 }
---     x, y = set.train:batches { size = 32 }()
---     objective = loss.cross_entropy() + 0.1 * loss.continuity { perturb = perturb.brightness(32) }
---     value, terms, logits = objective(model, x, y)
---     value:backward()
---     terms[1].name, terms[2].name, logits.shape  --> cross_entropy  continuity  { 32, 4 }
---@param model Model
---@param x Tensor  # images [N x H x W x C]
---@param y Tensor  # labels, index [N]
---@param at? { seed?: integer, step?: integer, training?: boolean, span?: { steps?: integer, epoch?: integer } }
---  # training = false: evaluation statistics
---@return Tensor value, LossReport terms, Tensor? logits
function Loss:__call(model, x, y, at)
  if not is_tensor(x) or not is_tensor(y) then
    error("loss: expected a model, images and labels, got " .. spec.shown(model) .. ", " .. spec.shown(x) .. " and "
      .. spec.shown(y), 2)
  end
  at = position(self, model, x, y, spec.check("loss", at, call_options))
  self.step = at.step + 1
  local views, places = views_of_terms(self.terms)
  local images = views_of.images(views, at)
  local seen = views_of.forward(views_of.passes(views, images, at), images, model, layers_of(self.terms))
  local total
  local report, labels = {}, names(self.terms)
  for i, term in ipairs(self.terms) do
    local own = {}
    for j, place in ipairs(places[i]) do own[j] = seen[place] end
    local value = kinds[term.kind].value(term.options, at, table.unpack(own))
    report[i] = report_of(term, labels[i], value:item(), at)
    report[labels[i]] = report[i]
    -- A term of weight zero is reported but sends no gradient of its own, not even 0 * inf; its images are still part
    -- of a joint batch.
    local weight = report[i].weight
    if weight ~= 0 then
      value = weight == 1 and value or value * weight
      total = total and total + value or value
    end
  end
  if not total then error("loss: every term has weight 0: " .. self:describe(), 2) end
  local clean
  for i, view in ipairs(views) do
    if not view.perturb then clean = seen[i].logits:detach() end
  end
  return total, report, clean
end

--- What a call with the same arguments sends through the network, for those who look for what is wrong with it: the
--- images of each view (`perturb` is nil for the clean ones) and the first term that looks at it, and the passes.
---
--- Example:
---     objective = loss.cross_entropy() + loss.continuity { perturb = perturb.hue(0.1) }
---     model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {} }
---     x, y = data.synthetic().train:batches { size = 8 }()
---     views, passes = objective:passes(model, x, y, { seed = 1, step = 0 })
---     #views, #passes, #passes[1].images  --> 2  1  16
---@param model Model
---@param x Tensor
---@param y Tensor
---@param at { seed: integer, step: integer, span?: { steps?: integer, epoch?: integer } }
---@return { perturb?: Perturbation, images: Tensor, term: string }[] views
---@return { images: Tensor, seed: integer, training: boolean, update?: boolean }[] passes
function Loss:passes(model, x, y, at)
  at = position(self, model, x, y, at)
  local views, places = views_of_terms(self.terms)
  local images, out, labels = views_of.images(views, at), {}, names(self.terms)
  for i, view in ipairs(views) do out[i] = { perturb = view.perturb, images = images[i] } end
  for i = #self.terms, 1, -1 do
    for _, place in ipairs(places[i]) do out[place].term = labels[i] end
  end
  return out, views_of.passes(views, images, at)
end

return M
