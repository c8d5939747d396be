--- What a loss looks at: the views of a batch (the clean images, and those under each perturbation), and the passes in
--- which they go through the network.
---@package
local nn = require "nn"
local perturb = require "perturb"

local M = {}

-- Stream of nn.derive: the draws of perturbations are unrelated to those of dropout.
local PERTURB <const> = 1

--- The images of a batch as a term looks at them. Views that are equal go through the network once.
---@class LossView
---@field perturb? Perturbation  # none: the clean images
---@field copy? integer          # of several draws of one perturbation: which
---@field batch_stats? string    # what is asked for; "joint" leaves it to others

M.clean = { copy = 1 }

local function is_same_perturb(a, b)
  if a == b or not (a and b) then return a == b end
  return perturb.is_told(a) and perturb.is_told(b) and a:describe() == b:describe()
end

local function is_same(a, b) return is_same_perturb(a.perturb, b.perturb) and (a.copy or 1) == (b.copy or 1) end

-- Two terms may look at one view, but it goes through the network in one way.
local function agree(view, asked, name)
  if not asked or asked == "joint" or asked == view.batch_stats then return end
  if view.batch_stats ~= "joint" then
    error(string.format('loss: batch_stats of %s: "%s" for one term, "%s" for %s', tostring(view.perturb),
                        view.batch_stats, asked, name), 0)
  end
  view.batch_stats = asked
end

--- The distinct views of some terms, and for each term the places of its own among them.
---@param lists LossView[][]  # of each term
---@param names string[]
---@return LossView[] views, integer[][] places
function M.distinct(lists, names)
  local views, places = {}, {}
  for i, list in ipairs(lists) do
    places[i] = {}
    for j, view in ipairs(list) do
      local place
      for k, known in ipairs(views) do
        if is_same(known, view) then place = k end
      end
      if not place then
        place = #views + 1
        views[place] = { perturb = view.perturb, copy = view.copy, batch_stats = "joint" }
      end
      if view.perturb then agree(views[place], view.batch_stats, names[i]) end
      places[i][j] = place
    end
  end
  return views, places
end

--- The images of each view. The n-th perturbation draws from its own stream, whatever stands between.
---@param views LossView[]
---@param at { x: Tensor, y: Tensor, model: Model, seed: integer, step: integer, span?: table }
---@return Tensor[]
function M.images(views, at)
  local images, count = {}, 0
  for i, view in ipairs(views) do
    if view.perturb then
      count = count + 1
      images[i] = view.perturb(at.x, at.y, at.model,
                               { seed = nn.derive(at.seed, PERTURB, count), step = at.step, span = at.span })
    else
      images[i] = at.x
    end
  end
  return images
end

--- One run of the network: the views in it, and how. options are those of model:forward.
---@class LossPass
---@field views integer[]
---@field images Tensor
---@field seed integer
---@field training boolean
---@field update? boolean

--- What goes through the network: the views that are joined as one batch, each of the others by itself.
---@param views LossView[]
---@param images Tensor[]
---@param at { training: boolean, dropout: integer }
---@return LossPass[]
function M.passes(views, images, at)
  local joint, passes = {}, {}
  for i, view in ipairs(views) do
    if view.batch_stats == "joint" then joint[#joint + 1] = i end
  end
  if #joint > 1 then
    local parts = {}
    for k, i in ipairs(joint) do parts[k] = images[i] end
    passes[1] = { views = joint, images = nn.cat(parts, 1), seed = at.dropout, training = at.training }
  end
  for i, view in ipairs(views) do
    local how = view.batch_stats
    if how ~= "joint" or #joint == 1 then
      local pass = { views = { i }, images = images[i], seed = nn.derive(at.dropout, 0, i) }
      pass.training = at.training and how ~= "eval"
      if how == "clean" and pass.training then pass.update = false end
      passes[#passes + 1] = pass
    end
  end
  return passes
end

--- What the network makes of each view: { logits =, [layer] = } with the layers that are asked for.
---@param passes LossPass[]
---@param images Tensor[]
---@param model Model
---@param layers string[]
---@return table<string, Tensor>[]
function M.forward(passes, images, model, layers)
  local out = {}
  for _, pass in ipairs(passes) do
    local logits, taps = model:forward(pass.images, { training = pass.training, seed = pass.seed, update = pass.update,
                                                      taps = #layers > 0 and layers or nil })
    local from = 1
    for _, i in ipairs(pass.views) do
      local function own(tensor)
        if #pass.views == 1 then return tensor end
        return tensor:slice(1, from, from + #images[i] - 1)
      end
      out[i] = { logits = own(logits) }
      for _, layer in ipairs(layers) do out[i][layer] = own(taps[layer]) end
      from = from + #images[i]
    end
    if #pass.views > 1 then pass.images:free() end -- the graph keeps what it needs of it
  end
  return out
end

return M
