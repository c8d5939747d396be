--- Losses as values: `loss.cross_entropy() + 1.0 * loss.continuity{ perturb = p }`.
---
--- A loss is a sum of weighted terms. `objective(model, x, y)` runs the model in training mode on every view its terms
--- name - the clean images, and the images under each perturbation - once, as one joint batch [x; x'; ...] unless a
--- term asks for separate batch statistics. The draws of a perturbation depend on (seed, step, which perturbation of
--- the loss it is) and on nothing else: two objectives with equal seeds see the same perturbed images.
local nn = require "nn"
local perturb = require "perturb"
local spec = require "spec"

local M = {}

-- Streams of nn.derive, so that the draws of perturbations and of dropout are unrelated.
local PERTURB, DROPOUT = 1, 2

---@class LossTerm
---@field kind string
---@field weight number
---@field options table

--- A sum of weighted terms; `+` and `number *` make it.
---@class Loss
---@field terms LossTerm[]
---@field seed integer  # of the draws; 1 unless set
---@field step integer  # of the next call; counted up by every call, may be set
---@operator add(Loss): Loss
---@operator mul(number): Loss
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

-- ---- the kinds of terms: what they look at, and their value ----

local perturbation = { "a perturbation", perturb.is }
local CLEAN = "clean"

local function weight() return spec.number { default = 1.0, doc = "factor of the term in the sum" } end

-- Task losses look at one view, the clean one unless told.
local function one_view(options) return { options.perturb or CLEAN } end
local function both_views(options) return { CLEAN, options.perturb } end

local function sides(options, clean, perturbed)
  if options.stop_gradient == "clean" then clean = clean:detach() end
  if options.stop_gradient == "perturbed" then perturbed = perturbed:detach() end
  return clean, perturbed
end

local kinds = {
  cross_entropy = {
    fields = { weight = weight(), perturb = spec.value(perturbation),
               smoothing = spec.number { min = 0, below = 1, default = 0.0 } },
    views = one_view,
    value = function(options, y, logits) return nn.cross_entropy(logits, y, { smoothing = options.smoothing }) end,
  },
  hinge = {
    fields = { weight = weight(), perturb = spec.value(perturbation),
               margin = spec.number { above = 0, default = 1.0 } },
    views = one_view,
    value = function(options, y, logits) return nn.hinge(logits, y, { margin = options.margin }) end,
  },
  continuity = {
    pair = true,
    fields = { weight = weight(), perturb = spec.value { perturbation[1], perturbation[2], required = true },
               reduction = spec.choice { "sum_classes", "mean_all", default = "sum_classes" },
               stop_gradient = spec.choice { false, "clean", "perturbed", default = false },
               on = spec.choice { "logits", default = "logits" },
               batch_stats = spec.choice { "joint", "separate", default = "joint" } },
    views = both_views,
    value = function(options, _, clean, perturbed)
      clean, perturbed = sides(options, clean, perturbed)
      return nn.squared_distance(perturbed, clean,
                                 { reduction = options.reduction == "mean_all" and "mean_all" or "mean" })
    end,
  },
  kl = {
    pair = true,
    fields = { weight = weight(), perturb = spec.value { perturbation[1], perturbation[2], required = true },
               temperature = spec.number { above = 0, default = 1.0 },
               stop_gradient = spec.choice { false, "clean", "perturbed", default = false },
               batch_stats = spec.choice { "joint", "separate", default = "joint" } },
    views = both_views,
    value = function(options, _, clean, perturbed)
      clean, perturbed = sides(options, clean, perturbed)
      return nn.kl_divergence(clean, perturbed, { temperature = options.temperature })
    end,
  },
}

-- The constructors end in a tail call of this, so the user's line is its caller's.
local function build(kind, options)
  options = spec.check("loss." .. kind, options, kinds[kind].fields)
  local factor = options.weight
  options.weight = nil
  return new { { kind = kind, weight = factor, options = options } }
end

---@class CrossEntropyOptions
---@field weight? number        # 1: factor of the term in the sum
---@field smoothing? number     # 0: the share of the target that is spread over all classes
---@field perturb? Perturbation # look at the perturbed images instead of the clean ones

---@class HingeOptions
---@field weight? number        # 1
---@field margin? number        # 1: by how much the right logit should be above the others
---@field perturb? Perturbation # look at the perturbed images instead of the clean ones

---@class ContinuityOptions
---@field perturb Perturbation  # P: x' is P(x)
---@field weight? number        # 1
---@field reduction? "sum_classes"|"mean_all"  # "sum_classes": as the paper writes it
---@field stop_gradient? false|"clean"|"perturbed"  # false: the gradient flows through both sides
---@field batch_stats? "joint"|"separate"  # "joint": x and x' go through the model as one batch
---@field on? "logits"

---@class KLOptions
---@field perturb Perturbation
---@field weight? number        # 1
---@field temperature? number   # 1: divides the logits
---@field stop_gradient? false|"clean"|"perturbed"  # false
---@field batch_stats? "joint"|"separate"  # "joint"

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

--- What a recipe's plan may name: functions that make it, or { check =, places = } for what is made in a run only.
---@package
M.constructors = { cross_entropy = M.cross_entropy, hinge = M.hinge, continuity = M.continuity, kl = M.kl }

-- ---- arithmetic ----

local function scaled(terms, factor)
  local out = {}
  for i, term in ipairs(terms) do
    out[i] = { kind = term.kind, weight = term.weight * factor, options = term.options }
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
  if type(a) ~= "number" or not M.is(b) or a ~= a or a == math.huge or a == -math.huge then
    error("loss: * expects a finite number and a loss, got " .. spec.shown(a) .. " and " .. spec.shown(b), 2)
  end
  return new(scaled(b.terms, a))
end

-- ---- words ----

local function describe_term(term)
  local options, parts = term.options, {}
  if options.perturb then parts[1] = tostring(options.perturb) end
  for _, name in ipairs(spec.names(options)) do
    if name ~= "perturb" and options[name] ~= kinds[term.kind].fields[name].default then
      parts[#parts + 1] = name .. " = " .. tostring(options[name])
    end
  end
  local text = term.kind .. (#parts > 0 and "(" .. table.concat(parts, ", ") .. ")" or "")
  -- The weight of a constraint is always worth saying; a task loss of weight one is just itself.
  if term.weight == 1 and not kinds[term.kind].pair then return text end
  return string.format("%.10g * %s", term.weight, text)
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

-- Equal values that run in C print equal texts; one written in Lua is only equal to itself.
local function same_view(a, b)
  return a == b or (a ~= CLEAN and b ~= CLEAN and a.tree ~= nil and b.tree ~= nil and a:describe() == b:describe())
end

-- The distinct views of all terms, and for each term the places of its views among them.
local function views_of(terms)
  local views, places = {}, {}
  for i, term in ipairs(terms) do
    places[i] = {}
    for j, view in ipairs(kinds[term.kind].views(term.options)) do
      local place
      for k, known in ipairs(views) do
        if same_view(known, view) then place = k end
      end
      if not place then
        place = #views + 1
        views[place] = view
      end
      places[i][j] = place
    end
  end
  return views, places
end

local function separate(terms)
  for _, term in ipairs(terms) do
    if term.options.batch_stats == "separate" then return true end
  end
  return false
end

--- How many views of a batch go through the model: 1, and one more for each perturbation.
---
--- Example:
---     (loss.cross_entropy() + loss.continuity { perturb = perturb.hue(0.1) }):views()  --> 2
---@return integer
function Loss:views() return #(views_of(self.terms)) end

-- The images of each view. The n-th perturbation draws from its own stream, whatever stands between.
local function images_of(views, model, x, y, seed, step)
  local images, count = {}, 0
  for i, view in ipairs(views) do
    if view == CLEAN then
      images[i] = x
    else
      count = count + 1
      images[i] = view(x, y, model, { seed = nn.derive(seed, PERTURB, count), step = step })
    end
  end
  return images
end

-- What goes through the network: all views as one joint batch, or each by itself.
local function passes_of(images, apart, seed)
  if not apart and #images > 1 then return { { images = nn.cat(images, 1), seed = seed } } end
  local passes = {}
  for i, batch in ipairs(images) do passes[i] = { images = batch, seed = nn.derive(seed, 0, i) } end
  return passes
end

-- The logits of each view.
local function logits_of(images, model, apart, training, seed)
  local logits, passes = {}, passes_of(images, apart, seed)
  if #passes == #images then
    for i, pass in ipairs(passes) do
      logits[i] = model:forward(pass.images, { training = training, seed = pass.seed })
    end
    return logits
  end
  local joined <close> = passes[1].images -- the graph keeps what it needs of it
  local joint, from = model:forward(joined, { training = training, seed = passes[1].seed }), 1
  for i, batch in ipairs(images) do
    logits[i] = joint:slice(1, from, from + #batch - 1)
    from = from + #batch
  end
  return logits
end

---@class LossReport  # terms in order, and by name
---@field [integer] { name: string, raw: number, weight: number, weighted: number }
---@field [string] { name: string, raw: number, weight: number, weighted: number }

local call_options = { seed = spec.integer(), step = spec.integer(), training = spec.flag { default = true } }

local function is_tensor(value) return type(value) == "userdata" and getmetatable(value).__name == "nn.tensor" end

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
---@param at? { seed?: integer, step?: integer, training?: boolean }  # training = false: evaluation statistics
---@return Tensor value, LossReport terms, Tensor? logits
function Loss:__call(model, x, y, at)
  if not is_tensor(x) or not is_tensor(y) then
    error("loss: expected a model, images and labels, got " .. spec.shown(model) .. ", " .. spec.shown(x) .. " and "
      .. spec.shown(y), 2)
  end
  at = spec.check("loss", at, call_options)
  local seed, step = at.seed or self.seed, at.step or self.step
  self.step = step + 1
  local views, places = views_of(self.terms)
  local images = images_of(views, model, x, y, seed, step)
  local logits = logits_of(images, model, separate(self.terms), at.training, nn.derive(seed, DROPOUT, step))
  local total
  local report, labels = {}, names(self.terms)
  for i, term in ipairs(self.terms) do
    local seen = {}
    for j, place in ipairs(places[i]) do seen[j] = logits[place] end
    local value = kinds[term.kind].value(term.options, y, table.unpack(seen))
    local raw = value:item()
    report[i] = { name = labels[i], raw = raw, weight = term.weight, weighted = raw * term.weight }
    report[labels[i]] = report[i]
    -- A term of weight zero is reported but sends no gradient of its own, not even 0 * inf; its images are still part
    -- of a joint batch.
    if term.weight ~= 0 then
      value = term.weight == 1 and value or value * term.weight
      total = total and total + value or value
    end
  end
  if not total then error("loss: every term has weight 0: " .. self:describe(), 2) end
  local clean
  for i, view in ipairs(views) do
    if view == CLEAN then clean = logits[i]:detach() end
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
---@param at { seed: integer, step: integer }
---@return { perturb?: Perturbation, images: Tensor, term: string }[] views, { images: Tensor, seed: integer }[] passes
function Loss:passes(model, x, y, at)
  local views, places = views_of(self.terms)
  local images, out, labels = images_of(views, model, x, y, at.seed, at.step), {}, names(self.terms)
  for i, view in ipairs(views) do out[i] = { perturb = view ~= CLEAN and view or nil, images = images[i] } end
  for i = #self.terms, 1, -1 do
    for _, place in ipairs(places[i]) do out[place].term = labels[i] end
  end
  return out, passes_of(images, separate(self.terms), nn.derive(at.seed, DROPOUT, at.step))
end

return M
