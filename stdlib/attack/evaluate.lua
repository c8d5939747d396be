--- attack.evaluate: what attacks leave of a model's accuracy, image by image.
---
--- Images that the model gets wrong are not attacked; they count as broken. Each attack is measured on all the others,
--- stage after stage on what still resists, and only the judge says what that is. The worst case over all attacks is
--- what no attack broke.
local hash = require "hash"
local judges = require "attack.judge"
local nn = require "nn"
local options_of = require "attack.options"
local perturb = require "perturb"
local progress = require "progress"
local spec = require "spec"
local stats = require "stats"
local stores = require "attack.store"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local STAGE <const> = 0x7374616765 -- of nn.derive: the seed of each stage

-- A perturbation, a list of them, or several by name.
local function are_attacks(value)
  if perturb.is(value) then return true end
  if type(value) ~= "table" or getmetatable(value) or next(value) == nil then return false end
  for key, one in pairs(value) do
    if not perturb.is(one) or type(key) ~= "string" and math.type(key) ~= "integer" then return false end
  end
  return true
end

local fields = {
  model = spec.value { "a model", judges.is_model, required = true },
  part = spec.value { "a part of a data set", function(value)
    return type(value) == "table" and (value.batches ~= nil or type(value.test) == "table" and value.test.batches)
  end, required = true },
  attack = spec.value { "an attack, or a list or table of them", are_attacks, required = true },
  norm = spec.choice { "linf", "l2" },
  eps = spec.number { min = 0 },
  limit = spec.integer { min = 1 },
  batch = spec.integer { min = 1, default = 128 },
  seed = spec.integer { default = 1 },
  store = spec.value { "a store with get and set", function(value)
    return type(value) == "table" and value.get ~= nil and value.set ~= nil
  end },
  out = spec.text { pattern = "[^/]$", expects = "a file's path" },
  tick = spec.callable(),
  quiet = spec.flag { default = false },
}

-- ---- what is to be measured ----

-- The attacks in order, each with a name of its own.
local function list_of(value)
  if perturb.is(value) then value = { value } end
  local list, taken = {}, {}
  for _, key in ipairs(spec.keys(value)) do
    local change = value[key]
    local name = type(key) == "string" and key or change.attack and change.attack.name or tostring(change)
    taken[name] = (taken[name] or 0) + 1
    list[#list + 1] = { name = taken[name] == 1 and name or format("%s_%d", name, taken[name]), change = change }
  end
  return list
end

-- Its ball: the attack's own, or for perturbations of another kind the one that was asked for.
local function threat_of(one, options)
  local own = one.change.attack
  local threat = { norm = own and own.norm or options.norm or "linf", eps = own and own.eps or options.eps }
  if own and ((options.eps or own.eps) ~= own.eps or (options.norm or own.norm) ~= own.norm) then
    error(format("attack.evaluate: %s is no attack within %s", one.change, options_of.threat {
      norm = options.norm or own.norm, eps = options.eps or own.eps }), 4)
  elseif threat.eps == nil then
    error(format("attack.evaluate: %s says no eps; eps = px(8) sets the ball", one.change), 4)
  elseif type(threat.eps) ~= "number" then
    error(format("attack.evaluate: eps expects a number outside a training, got %s", threat.eps), 4)
  end
  return threat
end

-- What an attack runs, one after the other: a perturbation of another kind is one stage of its own.
local function stages_of(one)
  if one.change.attack then return one.change.attack.stages end
  return { { label = one.name, change = one.change } }
end

local function stage_text(stage)
  if stage.change then return tostring(stage.change) end
  return options_of.text(stage.row, stage.options, options_of.fields(stage.row))
end

--- How often an image goes through the model in an evaluation of these attacks, forward or backward, at most.
---@param value Perturbation|Perturbation[]|table<string, Perturbation>
---@return integer
function M.passes(value)
  local total = 1 -- the clean ones
  for _, one in ipairs(list_of(value)) do
    for _, stage in ipairs(stages_of(one)) do
      total = total + 1 + (stage.change and math.ceil(stage.change:passes()) or options_of.passes(stage))
    end
  end
  return total
end

-- ---- one stage on one batch ----

local function select(tensor, places) return nn.data.rows(tensor, nn.tensor(places, { type = "index" })) end

-- Runs a stage on some images of a batch; `numbers` are their numbers in the part. A plain row of what came of it.
local function attacked(stage, model, x, y, numbers, run)
  local started = progress.clock()
  local images, about
  if stage.change then
    images, about = stage.change(x, y, model, { seed = run.seed, step = numbers[1] }), {}
  else
    images, about = options_of.run(stage, model, x, y, { seed = run.seed, numbers = numbers, progress = run.tick })
  end
  local verdict = judges.judge(model, x, images, y, run.threat)
  local flags = {}
  for i, still in ipairs(verdict.right) do flags[i] = still and "1" or "0" end
  return { right = concat(flags), forward = about.forward or 0, backward = about.backward or 0,
           zero_gradient = about.zero_gradient or 0, nonfinite_gradient = about.nonfinite_gradient or 0,
           outside = verdict.outside.images, most = verdict.outside.most, nonfinite = verdict.nonfinite,
           seconds = progress.clock() - started }
end

-- All that the row of a stage depends on; the model by its logits.
local function key_of(stage, batch, places, run)
  return hash.sha256(concat({ "attack", nn.version, stage_text(stage), options_of.threat(run.threat), run.seed,
                              batch.digest, concat(places, ",") }, "\n"))
end

-- The places of those that are right, among some.
local function remaining(places, flags)
  local left = {}
  for i, place in ipairs(places) do
    if flags:sub(i, i) == "1" then left[#left + 1] = place end
  end
  return left
end

local counts <const> = { "forward", "backward", "zero_gradient", "nonfinite_gradient", "outside", "nonfinite" }

local function add(total, row, images)
  for _, name in ipairs(counts) do total[name] = (total[name] or 0) + row[name] end
  total.attacked = (total.attacked or 0) + images
  total.most, total.seconds = math.max(total.most or 0.0, row.most), (total.seconds or 0.0) + row.seconds
end

-- One stage on the images of a batch that resist; those that still do.
local function run_stage(stage, number, places, batch, one, options)
  local budget = #batch.y * (1 + (stage.change and math.ceil(stage.change:passes()) or options_of.passes(stage)))
  local spent = 0
  options.now = stage.label == one.name and one.name or one.name .. ", " .. stage.label
  local function tick(passes)
    local more = math.min(passes, budget) - spent
    if more <= 0 then return end
    spent = spent + more
    options.tick(more)
  end
  if #places > 0 then
    local run = { threat = one.threat, seed = nn.derive(options.seed, STAGE, number), tick = tick }
    local key = options.store and key_of(stage, batch, places, run)
    local row = key and options.store:get(key)
    if not (type(row) == "table" and type(row.right) == "string" and #row.right == #places) then
      local numbers = {}
      for i, place in ipairs(places) do numbers[i] = batch.first + place end
      row = attacked(stage, options.model, select(batch.x, places), select(batch.y, places), numbers, run)
      if key then options.store:set(key, row) end
    end
    add(one.total[number], row, #places)
    places = remaining(places, row.right)
  end
  if spent < budget then options.tick(budget - spent, true) end
  return places
end

-- ---- all of it ----

-- The model's answers to a batch without any attack.
local function clean(model, x, y, first)
  local right, _, logits = judges.ask(model, x, y)
  local parts = {}
  for i, value in ipairs(logits:reshape({ -1 }):tolist()) do parts[i] = string.pack("<f", value) end
  return { x = x, y = y, first = first, right = right,
           digest = hash.sha256(concat(parts) .. concat(y:tolist(), ",")) }
end

local function measure(part, attacks, options)
  local right, worst, done = {}, {}, 0
  for x, y in part:batches { size = options.batch } do
    local batch, places = clean(options.model, x, y, done), {}
    for i, hit in ipairs(batch.right) do
      right[done + i], worst[done + i] = hit, hit
      if hit then places[#places + 1] = i end
    end
    options.tick(#y)
    for _, one in ipairs(attacks) do
      local left = places
      for number, stage in ipairs(one.stages) do
        left = run_stage(stage, number, left, batch, one, options)
        local still = one.resists[number]
        for i = 1, #y do still[done + i] = false end
        for _, place in ipairs(left) do still[done + place] = true end
      end
      local last = one.resists[#one.stages]
      for i = done + 1, done + #y do worst[i] = worst[i] and last[i] end
    end
    done = done + #y
  end
  return right, worst
end

local function share(count, of) return of > 0 and 100 * count / of or 0.0 end

---@class AttackRow
---@field name string
---@field attack string              # in words
---@field threat string
---@field robust Interval
---@field attacked integer           # images: those that the model gets right
---@field forward integer            # passes of images
---@field backward integer
---@field queries number             # passes of an attacked image, in the mean
---@field zero_gradient number       # percent of the attacked images that met a gradient of zero
---@field nonfinite_gradient number  # the same of gradients that are not finite
---@field outside { images: integer, most: number }  # images that were not in the ball or the range of pixels
---@field nonfinite integer          # images with pixels that are no numbers
---@field seconds number
---@field stages? AttackRow[]        # of an ensemble

-- What there is to tell of a stage, or of all stages of an attack.
local function figures(total, resists, first)
  local attacked_images, shared = first or total.attacked or 0, total.attacked or 0
  return { robust = stats.percentage(resists), attacked = attacked_images, forward = total.forward or 0,
           backward = total.backward or 0,
           queries = attacked_images > 0 and ((total.forward or 0) + (total.backward or 0)) / attacked_images or 0.0,
           zero_gradient = share(total.zero_gradient or 0, shared),
           nonfinite_gradient = share(total.nonfinite_gradient or 0, shared),
           outside = { images = total.outside or 0, most = total.most or 0.0 }, nonfinite = total.nonfinite or 0,
           seconds = total.seconds or 0.0 }
end

local function row_of(one)
  local total = {}
  for _, stage in ipairs(one.total) do
    if stage.attacked then add(total, stage, stage.attacked) end
  end
  local row = figures(total, one.resists[#one.stages], one.total[1].attacked)
  row.name, row.attack, row.threat = one.name, tostring(one.change), options_of.threat(one.threat)
  if #one.stages > 1 then
    row.stages = {}
    for i, stage in ipairs(one.stages) do
      row.stages[i] = figures(one.total[i], one.resists[i])
      row.stages[i].name = stage.label
    end
  end
  return row
end

-- ---- words ----

--- What attacks left of a model's accuracy. It prints as a table.
---@class AttackResult
---@field count integer
---@field threat string              # "linf, eps 8/255"
---@field clean Interval             # percent; items are 0 or 100, image by image, in all of these
---@field robust table<string, Interval>  # of each attack
---@field worst Interval             # what no attack broke
---@field seconds number
---@field rows AttackRow[]           # in the order of the attacks
local Result = { __name = "AttackResult" }
Result.__index = Result

local function cells_of(name, row)
  return { name, row.robust, row.attacked, format("%.0f", row.queries), format("%.1f", row.zero_gradient),
           text.seconds(row.seconds) }
end

function Result:__tostring()
  local cells, notes = {}, {}
  for _, row in ipairs(self.rows) do
    cells[#cells + 1] = cells_of(row.name, row)
    for _, stage in ipairs(row.stages or {}) do cells[#cells + 1] = cells_of("  " .. stage.name, stage) end
    if row.outside.images > 0 then
      notes[#notes + 1] = format("%s: %s left the ball or the range of pixels, by up to %.3g; they were clipped",
        row.name, text.plural(row.outside.images, "image"), row.outside.most)
    end
    if row.nonfinite > 0 then
      notes[#notes + 1] = format("%s: %s held pixels that are no numbers", row.name,
        text.plural(row.nonfinite, "image"))
    end
    if row.nonfinite_gradient > 0 then
      notes[#notes + 1] = format("%s: %.1f %% of the images met a gradient that is not finite", row.name,
        row.nonfinite_gradient)
    end
  end
  local head = format("robustness  %s images; %s; clean accuracy %s %%; worst case %s %%", text.count(self.count),
    self.threat, self.clean, self.worst)
  local columns = { "attack", "robust %", "attacked", "passes", "zero gradients %", "time" }
  if #notes > 0 then table.insert(notes, 1, "") end
  return concat({ head, "", text.table(columns, cells), table.unpack(notes) }, "\n")
end

--- attack.evaluate; its errors are raised at the line of who called that.
---@package
function M.evaluate(options)
  options = spec.check("attack.evaluate", options, fields, 1)
  local part = options.part.batches and options.part or options.part.test
  if options.limit and options.limit < #part then part = part:take(options.limit) end
  if #part == 0 then error("attack.evaluate: the data set's part is empty", 3) end
  local attacks, threats = list_of(options.attack), {}
  for _, one in ipairs(attacks) do
    one.threat, one.stages, one.total, one.resists = threat_of(one, options), stages_of(one), {}, {}
    for i in ipairs(one.stages) do one.total[i], one.resists[i] = {}, {} end
    threats[options_of.threat(one.threat)] = true
  end
  if options.out then
    local store, message = stores.open(options.out)
    if not store then error("attack.evaluate: " .. message, 3) end
    options.store = store
  end
  local line <close> = progress.new { label = "attack", total = #part * M.passes(options.attack), unit = "passes",
                                      quiet = options.quiet or options.tick ~= nil }
  local done = 0
  options.tick = options.tick or function(passes)
    done = done + passes
    line:update(done, options.now)
  end
  local started = progress.clock()
  local right, worst = nn.no_grad(measure, part, attacks, options)
  line:finish()
  local result = { count = #part, clean = stats.percentage(right), worst = stats.percentage(worst), robust = {},
                   rows = {}, threat = concat(spec.names(threats), " and "), seconds = progress.clock() - started }
  for i, one in ipairs(attacks) do
    result.rows[i] = row_of(one)
    result.robust[one.name] = result.rows[i].robust
  end
  return setmetatable(result, Result)
end

return M
