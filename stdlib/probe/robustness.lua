--- How many images a model still gets right when somebody looks for changes that fool it; and whether that can be
--- believed.
---
--- Two protocols stand side by side: the paper's attack, on all images, and a credible one, the worst case over several
--- attacks, on fewer. Both attack only what the model gets right. The card (robustness/card.lua) looks for the signs of
--- a model that hides its gradients rather than having no weak spots.
local attack = require "attack"
local passes_of = attack.work
local card = require "robustness.card"
local checks = require "robustness.checks"
local probe = require "probe"
local show = require "robustness.show"
local spec = require "spec"
local stats = require "stats"

local min = math.min

local CREDIBLE <const>, CARD <const> = 256, 256 -- images
local FOUR <const> = 4                          -- classes that AutoAttack needs

local an_attack = spec.value { "an attack", attack.is }

local fields = probe.with_fields {
  attack = spec.value { "an attack", attack.is, required = true },
  credible = spec.any { spec.choice { false }, an_attack },
  credible_limit = spec.integer { min = 1, default = CREDIBLE, doc = "images of the credible protocol" },
  card = spec.any { spec.flag(), spec.record(card.fields), default = true },
  card_limit = spec.integer { min = 1, default = CARD, doc = "images of the card" },
  seed = spec.integer { default = 1 },
}

-- How far the attack may go, what it knows, and of which model.
local function threat_of(this)
  local own = this.attack
  local batch = own.options.bn == "train" and "batch statistics (training mode)" or "evaluation statistics"
  return string.format("%s, pixels in [0, 1]; the attacker knows the model and the label; %s", own.threat, batch)
end

local function protocol(name, attack_of, accuracy)
  return { protocol = name, attack = attack_of, images = accuracy.n, accuracy = accuracy }
end

-- What stands for AutoAttack where there are too few classes for its targeted loss.
local function for_few_classes(own)
  local ball = { norm = own.norm, eps = own.eps }
  return { attack.apgd(ball), attack.pgd { norm = own.norm, eps = own.eps, iters = 100, restarts = 5, loss = "margin" },
           attack.fab(ball), attack.square(ball) }
end

local function words_of(attacks)
  if attack.is(attacks) then return tostring(attacks) end
  local parts = {}
  for i, one in ipairs(attacks) do parts[i] = tostring(one) end
  return table.concat(parts, ", ")
end

-- The worst case, image by image, of two measurements that begin with the same images.
local function worst_of(credible, paper)
  local outcomes, here = {}, {}
  for i, right in ipairs(credible.items) do
    here[i] = paper.items[i] > 0
    outcomes[i] = right > 0 and here[i]
  end
  return stats.percentage(outcomes), stats.percentage(here)
end

local function measure(model, part, options, by_default, tick, context)
  local function evaluate(this, images)
    return attack.evaluate { model = model, part = images, attack = this, batch = options.batch, seed = options.seed,
                             store = context.store, tick = tick }
  end
  local paper = evaluate(options.attack, part)
  local row = paper.rows[1]
  local record = { threat = threat_of(options.attack), protocols = {
    protocol("clean", "", paper.clean), protocol("paper", tostring(options.attack), row.robust) } }
  local metrics = { clean = paper.clean, robust = row.robust,
                    zero_gradients = stats.new { value = row.zero_gradient + row.nonfinite_gradient, unit = "%",
                                                 n = row.attacked, method = "count" } }
  local credible = options.credible
  if credible then
    if by_default and part.classes < FOUR then credible = for_few_classes(options.attack.attack) end
    local few = part:take(min(options.credible_limit, #part))
    local worst, here = worst_of(evaluate(credible, few).worst, row.robust)
    if #few < #part then table.insert(record.protocols, protocol("paper, the first of them", "", here)) end
    table.insert(record.protocols, protocol("credible: worst case", words_of(credible), worst))
    metrics.worst_case = worst
  end
  if options.card then
    record.card = card.measure(model, part:take(min(options.card_limit, #part)), options, tick, context)
    local found = checks.count(record.card.lines)
    metrics.card_warn = stats.new { value = #found.WARN, n = 1, method = "count" }
    metrics.card_fail = stats.new { value = #found.FAIL, n = 1, method = "count" }
  end
  return { metrics = metrics, rows = record.protocols, robustness = record,
           text = function(self) return show.text(self.robustness) end }
end

-- The passes of so many images through the model, at most.
local function work(options, images)
  local total = images * passes_of(options.attack)
  if options.credible then total = total + min(options.credible_limit, images) * passes_of(options.credible) end
  if options.card then total = total + card.work(options, min(options.card_limit, images)) end
  return total
end

---@class RobustnessResult: ProbeResult
---@field robustness { threat: string, protocols: table[], card?: RobustnessCard }

-- probe.robustness, which calls this as a tail: the user's line is the caller's.
return function(options)
  options = spec.check("probe.robustness", options, fields)
  local own = options.attack.attack
  if type(own.eps) ~= "number" then
    error(string.format("probe.robustness: eps expects a number outside a training, got %s", own.eps), 2)
  end
  if own.eps == 0 and (options.card or options.credible == nil) then
    error("probe.robustness: an eps above 0 expected: with eps = 0 there is nothing to attack", 2)
  end
  local by_default = options.credible == nil
  if by_default then options.credible = attack.autoattack { norm = own.norm, eps = own.eps } end
  if options.card == true then options.card = spec.examine({}, card.fields) end
  return probe.new("robustness", options, function(model, part, these, tick, context)
    return measure(model, part, these, by_default, tick, context)
  end, function(images) return work(options, images) end)
end
