--- Perturbations: changes of an image that keep its meaning, as values.
---
---   local p = perturb.brightness(32) | perturb.contrast(1.5)   one of the two for each image
---   local q = perturb.maybe(0.5, perturb.hue(0.2)) >> p        first this, then that
---   local x2 = p(x, y, model, { seed = 1, step = 7 })          equal seed and step: equal bits
---
--- x is a float tensor [N x H x W x C] in [0, 1]; colours take C = 1 or 3. Every draw is made for each image apart. A
--- value built from the colour and geometry operations runs in C, in one pass over the batch (also while a data set is
--- read: part:batches{ augment = p }); perturb.new adds one written in Lua. What networks are commonly trained on:
---
---   perturb.random_crop{ padding = 4 } >> perturb.flip()             CIFAR
---   perturb.random_resized_crop() >> perturb.flip()                  ImageNet
local nn = require "nn"
local spec = require "spec"

local M = {}

local core = nn.perturb
local format, concat = string.format, table.concat

--- A change of images as a value: p(x) changes them, p >> q is first p and then q, p | q is one of the two for each
--- image. It prints as the calls that make it.
---@class Perturbation
---@field kind string    # "row", "sequence", "choice", "maybe" or "new"
---@field text string    # what it prints
---@field tree? userdata # its form in C; absent when a part is an attack or written in Lua
---@field told? boolean  # written in Lua, and yet all about it is in its text: equal texts are equal perturbations
---@field scheduled? table<string, Schedule>  # what changes in a training, by name
---@field attack? Attack # what it is, when it is one of require "attack"
---@operator shr(Perturbation): Perturbation
---@operator bor(Perturbation): Perturbation
local Perturbation = { __name = "perturbation" }
Perturbation.__index = Perturbation

--- Is the value a perturbation?
---
--- Example:
---     perturb.is(perturb.hue(0.2)), perturb.is "hue"  --> true  false
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Perturbation
end

--- Pixel steps as a share of the range: px(8) is 8/255.
---
--- Example:
---     perturb.px(8)  --> 0.031373
---@param steps number
---@return number
function M.px(steps)
  if type(steps) ~= "number" then error("perturb.px: expected a number of steps, got " .. spec.shown(steps), 2) end
  return steps / 255
end

--- Is everything about it in its text? Then equal texts are equal perturbations. Of one written in Lua only its author
--- knows, who sets `told`.
---@param p Perturbation
---@return boolean
---@package
function M.is_told(p)
  if p.tree or p.told then return true end
  if not p.parts then return false end
  for _, part in ipairs(p.parts) do
    if not M.is_told(part) then return false end
  end
  return true
end

local function check(who, value)
  if not M.is(value) then error(format("%s: expected a perturbation, got %s", who, spec.shown(value)), 3) end
  return value
end

local function new(fields)
  return setmetatable(fields, Perturbation)
end

--- The trees of all parts, or nil when one has none.
local function trees_of(parts)
  local trees = {}
  for i, part in ipairs(parts) do
    if not part.tree then return nil end
    trees[i] = part.tree
  end
  return trees
end

-- ---- the colour operations ----

local rows, names = {}, {}
for _, row in ipairs(core.rows()) do
  rows[row.name] = row
  if row.settings == 0 then names[#names + 1] = row.name end
end

-- "+32", "-32", "±32" or "×1.5", "×1.5^±1"
local function value_text(form, value, random)
  if form.factor then return format("×%.6g%s", value, random and "^±1" or "") end
  if random then return format("±%.6g", math.abs(value)) end
  return format("%+.6g", value)
end

local function row_text(row, form, convention, values, random)
  local shown = {}
  for i, value in ipairs(values) do shown[i] = value_text(form, value, random) end
  local text = #shown == 1 and shown[1] or "{" .. concat(shown, ", ") .. "}"
  if form.parameter == "amount" then text = text .. "/255" end
  return format("%s(%s%s)", row.name, text, convention == "paper" and "" or ", " .. convention)
end

-- A call in parentheses is no tail call: the errors of make_row find the line of the caller's caller.

local row_options = {
  convention = spec.choice { "paper", "torchvision", default = "paper" },
  sign = spec.choice { "positive", "negative", "random", default = "positive" },
}

-- `values`: a number, or a list of which one is drawn for each image.
local function make_row(name, values, options)
  options = spec.check("perturb." .. name, options, row_options, 1)
  local row, random = rows[name], options.sign == "random"
  local form = row[options.convention]
  if type(values) == "number" then values = { values } end
  if type(values) ~= "table" or #values == 0 then
    error(format("perturb.%s: expected a number (%s) or a list of them, got %s", name, form.parameter,
      spec.shown(values)), 3)
  end
  local list = {}
  for i, value in ipairs(values) do
    if type(value) ~= "number" then
      error(format("perturb.%s: expected numbers in the list, got %s", name, spec.shown(value)), 3)
    end
    -- The other sign of a factor is its inverse: 1.5 and 1/1.5 are equally far from no change.
    list[i] = options.sign ~= "negative" and value or form.factor and 1 / value or -value
  end
  return new { kind = "row", name = name, values = list, convention = options.convention, random = random,
               tree = core.row(name, options.convention, random, list),
               text = row_text(row, form, options.convention, list, random) }
end

---@class PerturbOptions
---@field convention? "paper"|"torchvision"
---@field sign? "positive"|"negative"|"random"  # positive: as written

--- Brightness: adds amount/255; in torchvision's convention the number is a factor instead. Results are clipped to
--- [0, 1]. A list of numbers: one of them for each image. Options: convention = "paper" or "torchvision"; sign =
--- "positive" (as written), "negative" or "random" (the other sign of a factor is its inverse).
---
--- Example:
---     x = nn.full({ 1, 2, 2, 3 }, 0.5)
---     perturb.brightness(32)(x):mean():item()                                   --> 0.62549
---     perturb.brightness({ 16, 32 }, { sign = "random" })                       --> brightness({±16, ±32}/255)
---     perturb.brightness(1.2, { convention = "torchvision" })(x):mean():item()  --> 0.6
---     perturb.brightness "bright"
---     --> error: perturb.brightness: expected a number (amount) or a list of them, got "bright"
---@param amount number|number[]
---@param options? PerturbOptions
---@return Perturbation
function M.brightness(amount, options) return (make_row("brightness", amount, options)) end

--- Contrast: stretches about each channel's mean; in torchvision's convention about the mean of the grey image.
--- Options as for perturb.brightness.
---
--- Example:
---     x = nn.tensor { { { { 0.4 }, { 0.6 } } } }
---     perturb.contrast(1.5)(x):reshape({ 2 }):tolist()  --> { 0.35, 0.65 }
---@param factor number|number[]
---@param options? PerturbOptions
---@return Perturbation
function M.contrast(factor, options) return (make_row("contrast", factor, options)) end

--- Saturation: multiplies S in HSV; in torchvision's convention moves away from the grey image. Grey stays as it is.
--- Options as for perturb.brightness.
---
--- Example:
---     x = nn.tensor { { { { 0.6, 0.4, 0.4 } } } }
---     perturb.saturation(1.5)(x):reshape({ 3 }):tolist()  --> { 0.6, 0.3, 0.3 }
---@param factor number|number[]
---@param options? PerturbOptions
---@return Perturbation
function M.saturation(factor, options) return (make_row("saturation", factor, options)) end

--- Hue: turns the colour circle; 1 is a whole turn. Grey stays as it is. Options as for perturb.brightness.
---
--- Example:
---     red = nn.tensor { { { { 1, 0, 0 } } } }
---     perturb.hue(1 / 3)(red):reshape({ 3 }):tolist()  --> { 0.0, 1.0, 0.0 }
---@param turns number|number[]
---@param options? PerturbOptions
---@return Perturbation
function M.hue(turns, options) return (make_row("hue", turns, options)) end

-- ---- geometry ----

-- A row that takes settings. values: all of them, in its order; shown: those worth printing.
local function make_set(name, values, shown)
  return new { kind = "row", name = name, values = values, tree = core.row(name, "paper", false, values),
               text = format("%s(%s)", name, concat(shown, ", ")) }
end

local crop_options = {
  padding = spec.integer { min = 0, max = 4096, default = 4 },
  mode = spec.choice { "zeros", "reflect", default = "zeros" },
}

--- A window of the image's size somewhere in the image padded on all sides, evenly drawn. What is padded is black
--- (mode = "zeros") or the image mirrored at its outermost pixels ("reflect").
---
--- Example:
---     p = perturb.random_crop { padding = 4 }
---     p(nn.ones { 2, 32, 32, 3 }, nil, nil, { seed = 1, step = 1 }).shape  --> { 2, 32, 32, 3 }
---@param options? { padding?: integer, mode?: "zeros"|"reflect" }  # padding: 4 pixels
---@return Perturbation
function M.random_crop(options)
  options = spec.check("perturb.random_crop", options, crop_options)
  local reflect = options.mode == "reflect"
  return (make_set("random_crop", { options.padding, reflect and 1 or 0 },
    { tostring(options.padding), reflect and "reflect" or nil }))
end

local flip_options = { probability = spec.number { min = 0, max = 1, default = 0.5 } }

--- Left and right exchanged in a share of the images, drawn for each.
---
--- Example:
---     x = nn.tensor { { { { 0 }, { 1 } } } }
---     perturb.flip { probability = 1 }(x):reshape({ 2 }):tolist()  --> { 1.0, 0.0 }
---@param options? { probability?: number }  # 0.5
---@return Perturbation
function M.flip(options)
  options = spec.check("perturb.flip", options, flip_options)
  return (make_set("flip", { options.probability }, { format("%.6g", options.probability) }))
end

local function range(least, most, default)
  local number = spec.number { min = least, max = most }
  return spec.value { format("{ low, high }, two numbers from %g to %g", least, most), function(value)
    return type(value) == "table" and #value == 2 and number.test(value[1]) and number.test(value[2])
      and value[1] <= value[2]
  end, default = default }
end

local resized_options = { scale = range(1e-6, 1, { 0.08, 1 }), ratio = range(1e-3, 1e3, { 3 / 4, 4 / 3 }) }

--- A random part of the image at the image's size, as torchvision's RandomResizedCrop draws it: its share of the area
--- is evenly drawn from scale, its ratio of width to height from ratio, on a scale of logarithms. Resized bilinearly,
--- with antialiasing where it gets smaller. As the first change of pictures in files it takes its part from the file's
--- picture, before that is fitted to the set's shape.
---
--- Example:
---     perturb.random_resized_crop { scale = { 0.5, 1 } }  --> random_resized_crop(0.5 to 1, ratio 0.75 to 1.3333)
---@param options? { scale?: number[], ratio?: number[] }  # { 0.08, 1 }, { 3/4, 4/3 }
---@return Perturbation
function M.random_resized_crop(options)
  options = spec.check("perturb.random_resized_crop", options, resized_options)
  local s, r = options.scale, options.ratio
  return (make_set("random_resized_crop", { s[1], s[2], r[1], r[2] },
    { format("%.6g to %.6g", s[1], s[2]), format("ratio %.6g to %.6g", r[1], r[2]) }))
end

-- ---- noise ----

--- Adds to each pixel of each channel a normal number of this standard deviation, and clips to [0, 1].
---
--- Example:
---     x = nn.full({ 100, 8, 8, 3 }, 0.5)
---     p = perturb.gaussian_noise(0.04)
---     (p(x) - x):variance():sqrt():item()  --> 0.040184
---     perturb.gaussian_noise(-1)
---     --> error: perturb.gaussian_noise: deviation expects 0 to 10, got -1
---@param deviation number
---@return Perturbation
function M.gaussian_noise(deviation)
  if type(deviation) ~= "number" then
    error("perturb.gaussian_noise: expected a number (deviation), got " .. spec.shown(deviation), 2)
  end
  return (make_set("gaussian_noise", { deviation }, { format("%.6g", deviation) }))
end

--- The names of the four colour operations, in the paper's order.
---
--- Example:
---     perturb.names()  --> { "brightness", "contrast", "saturation", "hue" }
---@return string[]
function M.names()
  return { table.unpack(names) }
end

-- ---- levels: Table 1 of the paper ----

local function check_name(who, name)
  if not rows[name] or rows[name].settings > 0 then
    error(format('%s: unknown perturbation "%s"%s', who, tostring(name), spec.suggest(name, names)), 3)
  end
end

local level_kind = spec.integer { min = 1, max = 4 }

--- One operation at a level of the paper's Table 1 (1 to 4), or at one of several for each image.
---
--- Example:
---     perturb.level("brightness", 2)  --> brightness(+32/255)
---     perturb.level("hue", { 1, 2 })  --> hue({+0.1, +0.2})
---     perturb.level("colour", 1)
---     --> error: perturb.level: unknown perturbation "colour"; known: brightness, contrast, hue, saturation
---@param name string  # "brightness", "contrast", "saturation" or "hue"
---@param level integer|integer[]
---@param options? PerturbOptions
---@return Perturbation
function M.level(name, level, options)
  check_name("perturb.level", name)
  local levels = type(level) == "table" and level or { level }
  local convention = type(options) == "table" and options.convention == "torchvision" and "torchvision" or "paper"
  local values = {}
  for i, k in ipairs(levels) do
    local fine, whole = level_kind.test(k)
    if not fine then error(format("perturb.level: expected %s, got %s", level_kind.expects, spec.shown(k)), 2) end
    values[i] = rows[name][convention].levels[whole]
  end
  return (make_row(name, values, options))
end

local level_list = spec.any { spec.choice { "paper" }, spec.list { level_kind, min = 1 } }

--- Each operation at each level: `for name, level, change in perturb.levels("paper") do`.
---
--- Example:
---     for name, level, change in perturb.levels { 1, 4 } do print(name, level, change) end
---     --> brightness  1  brightness(+16/255)
---     --> brightness  4  brightness(+64/255)
---     --> contrast  1  contrast(×1.25)
---     --> contrast  4  contrast(×2)
---     --> saturation  1  saturation(×1.25)
---     --> saturation  4  saturation(×2)
---     --> hue  1  hue(+0.1)
---     --> hue  4  hue(+0.4)
---@param levels? "paper"|integer[]  # "paper": 1 to 4
---@param options? PerturbOptions
---@return fun(): string, integer, Perturbation
function M.levels(levels, options)
  local fine, list = level_list.test(levels == nil and "paper" or levels)
  if not fine then error(format("perturb.levels: expected %s, got %s", level_list.expects, spec.shown(levels)), 2) end
  if list == "paper" then list = { 1, 2, 3, 4 } end
  local at = 0
  return function()
    local name, level = names[at // #list + 1], list[at % #list + 1]
    at = at + 1
    if name then return name, level, M.level(name, level, options) end
  end
end

local name_list = spec.list { spec.choice { table.unpack(names) }, min = 1 }

---@class ColourChoice: PerturbOptions
---@field levels? integer[]           # { 1, 2 }
---@field only? string[]              # the operations to choose from
---@field without? string|string[]    # operations to leave out

--- One of the four operations at a random level, for each image: what trains the constraint (C). Options: levels
--- ({1, 2}), only or without (names of operations), convention and sign.
---
--- Example:
---     perturb.colour { levels = { 1 }, without = "hue" }
---     --> brightness(+16/255) | contrast(×1.25) | saturation(×1.25)
---@param options? ColourChoice
---@return Perturbation
function M.colour(options)
  options = spec.check("perturb.colour", options, {
    levels = spec.list { level_kind, min = 1, default = { 1, 2 } },
    only = name_list,
    without = spec.any { spec.choice { table.unpack(names) }, name_list },
    convention = row_options.convention,
    sign = row_options.sign,
  })
  local left_out, parts = {}, {}
  for _, name in ipairs(type(options.without) == "table" and options.without or { options.without }) do
    left_out[name] = true
  end
  for _, name in ipairs(options.only or names) do
    if not left_out[name] then
      parts[#parts + 1] = M.level(name, options.levels, { convention = options.convention, sign = options.sign })
    end
  end
  if #parts == 0 then error("perturb.colour: nothing is left of the operations", 2) end
  return M.choice(parts)
end

-- ---- putting together ----

local function sequence_of(parts)
  if #parts == 1 then return parts[1] end
  local shown = {}
  for i, part in ipairs(parts) do shown[i] = part.kind == "choice" and "(" .. part.text .. ")" or part.text end
  local trees = trees_of(parts)
  return new { kind = "sequence", parts = parts, tree = trees and core.sequence(trees),
               text = #parts == 0 and "identity" or concat(shown, " >> ") }
end

-- `grouped`: stays one alternative inside a larger choice.
local function choice_of(parts, grouped)
  local shown = {}
  for i, part in ipairs(parts) do shown[i] = part.kind == "choice" and "(" .. part.text .. ")" or part.text end
  local trees = trees_of(parts)
  return new { kind = "choice", parts = parts, grouped = grouped, tree = trees and core.choice(trees),
               text = concat(shown, " | ") }
end

local function append(list, value, kind)
  if value.kind == kind and not value.grouped then
    table.move(value.parts, 1, #value.parts, #list + 1, list)
  else
    list[#list + 1] = value
  end
  return list
end

--- a >> b: first a, then b.
function Perturbation.__shr(a, b)
  return sequence_of(append(append({}, check("perturb >>", a), "sequence"), check("perturb >>", b), "sequence"))
end

--- a | b: one of them for each image. `a | b | c` is an equal choice of three.
function Perturbation.__bor(a, b)
  return choice_of(append(append({}, check("perturb |", a), "choice"), check("perturb |", b), "choice"))
end

local function check_list(who, list)
  if type(list) ~= "table" or M.is(list) or #list == 0 then
    error(format("%s: expected a list of perturbations, got %s", who, spec.shown(list)), 3)
  end
  local copy = {}
  for i, value in ipairs(list) do
    if not M.is(value) then
      error(format("%s: expected perturbations, got %s at place %d", who, spec.shown(value), i), 3)
    end
    copy[i] = value
  end
  return copy
end

--- One of the list for each image, equally likely. Inside a larger choice it counts as one.
---
--- Example:
---     perturb.choice { perturb.hue(0.1), perturb.flip() }  --> hue(+0.1) | flip(0.5)
---@param list Perturbation[]
---@return Perturbation
function M.choice(list)
  local parts = check_list("perturb.choice", list)
  return #parts == 1 and parts[1] or choice_of(parts, true)
end

--- All of the list, one after the other.
---
--- Example:
---     perturb.sequence { perturb.random_crop(), perturb.flip() }  --> random_crop(4) >> flip(0.5)
---@param list Perturbation[]
---@return Perturbation
function M.sequence(list)
  local parts = {}
  for _, part in ipairs(check_list("perturb.sequence", list)) do append(parts, part, "sequence") end
  return sequence_of(parts)
end

--- Changes nothing.
---
--- Example:
---     x = nn.uniform({ 1, 8, 8, 3 }, { seed = 1 })
---     (perturb.identity()(x) - x):abs():max():item()  --> 0.0
---@return Perturbation
function M.identity()
  return sequence_of {}
end

--- The perturbation for a share of the images, drawn for each; the others stay as they are.
---
--- Example:
---     p = perturb.maybe(0.25, perturb.brightness(255))
---     p(nn.zeros { 1000, 1, 1, 1 }):mean():item()  --> 0.246
---@param probability number  # 0 to 1
---@param part Perturbation
---@return Perturbation
function M.maybe(probability, part)
  if type(probability) ~= "number" or not (probability >= 0 and probability <= 1) then
    error(format("perturb.maybe: expected a probability from 0 to 1, got %s", spec.shown(probability)), 2)
  end
  check("perturb.maybe", part)
  return new { kind = "maybe", probability = probability, parts = { part },
               tree = part.tree and core.maybe(probability, part.tree),
               text = format("maybe(%.6g, %s)", probability, part.text) }
end

--- A perturbation written in Lua: `apply(x, y, model, draw)` gives x' of x's shape; x is a whole batch, draw.seed is an
--- integer that differs for each place, seed and step; draw.step and draw.span are those of the training. The name says
--- all about it: put the parameters into it.
---
--- Example:
---     p = perturb.new { name = "negative", apply = function(x) return 1 - x end }
---     (perturb.flip() >> p)                     --> flip(0.5) >> negative
---     p(nn.zeros { 1, 2, 2, 3 }):mean():item()  --> 1.0
---@param options { name: string, apply: fun(x, y, model, draw): any }
---@return Perturbation
function M.new(options)
  options = spec.check("perturb.new", options, {
    name = spec.text { pattern = "%S", expects = "a name", required = true },
    apply = spec.callable { required = true },
  })
  return new { kind = "new", text = options.name, apply = options.apply }
end

--- An attack as a perturbation; apply is as in M.new. The text says all about it. `passes` is how often an image goes
--- through the model, forward or backward.
---@param fields { text: string, apply: function, attack: Attack, passes: number, scheduled?: table }
---@return Perturbation
---@package
function M.of_attack(fields)
  return new { kind = "new", told = true, text = fields.text, apply = fields.apply, attack = fields.attack,
               own_passes = fields.passes, scheduled = fields.scheduled }
end

--- How often an image goes through the model while it is perturbed, forward or backward: 0 but for attacks. Of a
--- choice and of `maybe` the mean.
---
--- Example:
---     perturb.flip():passes(), attack.fgsm({ eps = 8 / 255 }):passes()  --> 0  2
---@return number
function Perturbation:passes()
  if self.own_passes then return self.own_passes end
  local total = 0
  for _, part in ipairs(self.parts or {}) do total = total + part:passes() end
  return self.kind == "choice" and total / #self.parts or self.kind == "maybe" and total * self.probability or total
end

local augmix_options = {
  of = spec.value { "a list of perturbations", function(list)
    if type(list) ~= "table" or M.is(list) or #list == 0 then return false end
    for _, part in ipairs(list) do
      if not M.is(part) then return false end
    end
    return true
  end },
  width = spec.integer { min = 1, max = 16, default = 3 },
  depth = spec.integer { min = 1, max = 16, default = 3 },
}

--- The image mixed with several chains of changes of it (AugMix, Hendrycks et al. 2020): (1 - m) x + m sum_i w_i
--- chain_i(x), where a chain is 1 to depth changes of the list, one after the other, and m and the weights w of the
--- width (3) chains are evenly drawn for each image. The list is by default, in the place of AugMix's operations of
--- Pillow at severity 3, the four colour operations at a level up to 3 of either sign, and moves by up to 3 pixels.
---
--- Example:
---     p = perturb.augmix { of = { perturb.hue(0.1), perturb.flip { probability = 1 } }, depth = 2 }
---     p                                               --> augmix(hue(+0.1) | flip(1), width 3, depth 2)
---     p(nn.full({ 2, 4, 4, 3 }, 0.5)):mean():item()   --> 0.5
---     loss.cross_entropy() + loss.augmix { perturb = p }
---     --> cross_entropy + 12 * augmix(augmix(hue(+0.1) | flip(1), width 3, depth 2))
---@param options? { of?: Perturbation[], width?: integer, depth?: integer }  # width 3, depth 3
---@return Perturbation
function M.augmix(options)
  options = spec.check("perturb.augmix", options, augmix_options)
  local list = options.of
  if not list then
    local colours = M.colour { levels = { 1, 2, 3 }, sign = "random" }.parts
    list = table.move(colours, 1, #colours, 1, {})
    list[#list + 1] = M.random_crop { padding = 3 }
  end
  local augmix = require "perturb.augmix"
  local shown = M.choice(list).text
  local p = new { kind = "new", apply = augmix.mixing(augmix.chain(M, list, options.depth), options.width),
                  text = format("augmix(%s, width %d, depth %d)", shown, options.width, options.depth) }
  p.told = true
  for _, part in ipairs(list) do p.told = p.told and M.is_told(part) end
  return p
end

-- ---- applying ----

local run

-- Keeps the draws of the parts of a value, and those made here, apart.
local function seed_of(seed, part)
  return nn.derive(seed, 0x70617274, part)
end

local function same_shape(a, b)
  local p, q = a.shape, b.shape
  if #p ~= #q then return false end
  for i, size in ipairs(p) do
    if size ~= q[i] then return false end
  end
  return true
end

local function run_new(p, x, y, model, seed, at)
  local out = p.apply(x, y, model, { seed = seed, step = at.step, span = at.span })
  if type(out) ~= "userdata" or out.type ~= "float" or not same_shape(out, x) then
    local found = type(out) == "userdata" and format("%s [%s]", out.type, concat(out.shape, "x")) or spec.shown(out)
    error(format("%s: expected a float tensor of x's shape [%s] from apply, got %s", p.text, concat(x.shape, "x"),
      found), 0)
  end
  return out.requires_grad and out:detach() or out
end

-- group[k] holds the places of the images that take part k, 0 of those that stay. Each part sees its images only.
local function run_groups(p, x, y, model, seed, at, group)
  local changed, order = {}, {}
  for k = 0, #p.parts do
    local places = group[k]
    if places then
      local index = nn.tensor(places, { type = "index" })
      local part = nn.data.rows(x, index)
      if k > 0 then part = run(p.parts[k], part, y and nn.data.rows(y, index), model, seed_of(seed, k), at) end
      changed[#changed + 1] = part
      table.move(places, 1, #places, #order + 1, order)
    end
  end
  local back = {}
  for i, place in ipairs(order) do back[place] = i end
  return nn.data.rows(nn.cat(changed, 1), nn.tensor(back, { type = "index" }))
end

local function run_choice(p, x, y, model, seed, at)
  local group = {}
  for n = 1, #x do
    local drawn = nn.random(seed, 0, n)
    local k = p.kind == "choice" and math.floor(drawn * #p.parts) + 1 or drawn < p.probability and 1 or 0
    group[k] = group[k] or {}
    table.insert(group[k], n)
  end
  return run_groups(p, x, y, model, seed, at, group)
end

-- at: the step and the span of the training, for what changes in it.
function run(p, x, y, model, seed, at)
  if p.tree then return core.apply(p.tree, x, seed, 0) end
  if p.kind == "new" then return run_new(p, x, y, model, seed, at) end
  if p.kind ~= "sequence" then return #x > 0 and run_choice(p, x, y, model, seed, at) or x end
  for k, part in ipairs(p.parts) do x = run(part, x, y, model, seed_of(seed, k), at) end
  return x
end

local draw_options = { seed = spec.integer { default = 1 }, step = spec.integer { default = 0 },
                       span = spec.record { steps = spec.integer(), epoch = spec.integer() } }

--- The perturbed images, a new tensor without gradient history. Equal seed and step give equal bits.
---
--- Example:
---     p = perturb.brightness(32) | perturb.hue(0.2)
---     x = nn.uniform({ 8, 32, 32, 3 }, { seed = 1 })
---     p(x, nil, nil, { seed = 1, step = 7 }).shape  --> { 8, 32, 32, 3 }
---     p(nn.zeros({ 8, 32, 32, 3 }, { type = "uint8" }))
---     --> error: perturb: images of float in [0, 1] expected, got uint8
---@param x Tensor      # images [N x H x W x C], float in [0, 1]
---@param y? Tensor     # labels, for perturbations that use them
---@param model? Model  # for those that use it
---@param draw? { seed?: integer, step?: integer, span?: table }  # 1, 0; span: of the training, as schedules take it
---@return Tensor
function Perturbation.__call(p, x, y, model, draw)
  draw = spec.check("perturb", draw, draw_options)
  if type(x) ~= "userdata" then error("perturb: expected images [N x H x W x C], got " .. spec.shown(x), 2) end
  if p.tree then return core.apply(p.tree, x, draw.seed, draw.step) end
  return run(p, x, y, model, nn.derive(draw.seed, 0x6c7561, draw.step), draw)
end

function Perturbation.__tostring(p)
  return p.text
end

--- The perturbation in one canonical line: equal values give equal texts.
---
--- Example:
---     (perturb.brightness(32) | perturb.hue(0.2)):describe()  --> brightness(+32/255) | hue(+0.2)
---@return string
function Perturbation:describe()
  return self.text
end

--- What a recipe's plan may name, as in loss.lua; perturb.px is there at once.
---@package
M.constructors = {}
for name in ("brightness contrast saturation hue random_crop flip random_resized_crop gaussian_noise level colour "
  .. "choice sequence identity maybe augmix"):gmatch "%S+" do
  M.constructors[name] = M[name]
end

return M
