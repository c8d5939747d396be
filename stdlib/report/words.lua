--- What metrics are called in a report, and what they mean.
local M = {}

local titles = {
  accuracy = "accuracy", card_fail = "card: checks that fail", card_warn = "card: warnings", clean = "clean accuracy",
  robust = "accuracy under attack, paper protocol", worst_case = "accuracy under attack, worst case",
  zero_gradients = "images with a zero gradient",
  ds = "DS", ds_relative = "DS, scale-free", flips = "flips", images = "images seen",
  seconds = "training time",
  jacobian = "‖J‖²", jacobian_relative = "‖J‖², scale-free",
  input_gradient = "‖∂CE/∂x‖", input_gradient_relative = "‖∂CE/∂x‖, scale-free",
  curvature_relative = "curvature, scale-free", explained_first = "DS explained by J Δx",
  explained_second = "DS explained by J Δx and H",
}

local meanings = {
  accuracy = "share of the test images whose class the network names; Wilson's interval",
  card_fail = "checks of the robustness report card that fail: signs that attacks miss what is there",
  card_warn = "checks of the robustness report card that give a warning",
  clean = "share of the attacked part's images whose class the network names without an attack",
  robust = "share of images still named rightly after the paper's attack",
  worst_case = "share of images still named rightly after each of several attacks, the paper's among them",
  zero_gradients = "share of attacked images on which the paper's attack met a gradient of zero, or no finite one",
  ds = "distance score: squared distance of the logits of an image and its changed form, summed over the classes, "
    .. "averaged over images, perturbations and levels",
  ds_relative = "DS divided by the mean squared distance of two images of different classes: 1 is as far as another "
    .. "class; scaling all logits does not change it",
  jacobian = "squared Frobenius norm of the logits' Jacobian at the test images, by random projections",
  input_gradient = "length of the gradient of the cross-entropy with respect to the image",
  curvature = "how fast the Jacobian turns along a change: the squared norm of its difference over the change's middle "
    .. "half, by the squared length; averaged over perturbations and levels",
  explained_first = "share of DS that the linear term of the Taylor expansion explains, averaged over perturbations "
    .. "and levels; below 0 it is worse than no change",
  explained_second = "share of DS that the linear and the quadratic term explain, over the scale of the change",
  flips = "share of changed images that are given another class than the original",
  images = "images that went through the network in training, each view of each image counted",
  seconds = "time spent training, without validation and probes",
}

-- Accuracies come first, the plain ones before those under attack.
local first = { accuracy = 1, clean = 1, robust = 1.2, worst_case = 1.3 }

-- Cost rather than outcome: below the figures that answer the question.
local costs = { images = true, seconds = true }

--- What a metric is called.
---@param name string
---@return string
function M.title(name)
  local k = name:match("^top(%d+)$")
  return titles[name] or k and "top-" .. k .. " accuracy" or (name:gsub("_", " "))
end

--- What it means, where that is known.
---@param name string
---@return string?
function M.meaning(name)
  local k = name:match("^top(%d+)$")
  return meanings[name] or k and "share of the test images whose class is among the " .. k .. " best logits" or nil
end

--- The names of metrics, sorted; accuracies first, costs last.
---@param names string[]
---@return string[]
function M.order(names)
  local function rank(name)
    if first[name] then return first[name] end
    if costs[name] then return 4 end
    return name:find("^top%d+$") and 2 or 3
  end
  table.sort(names, function(a, b)
    if rank(a) ~= rank(b) then return rank(a) < rank(b) end
    return a < b
  end)
  return names
end

--- Is it what the run cost, not what came out?
---@param name string
---@return boolean
function M.is_cost(name) return costs[name] == true end

return M
