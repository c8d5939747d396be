--- The checks of a robustness report card: what each one measures, what it takes to pass, and what a failure means.
---
--- An accuracy under attack is an upper bound: another attack may lower it. A model that hides its gradients (by
--- accident or not) makes attacks fail that follow them, and looks robust without being so. Each check is a symptom of
--- that; the list follows Carlini et al., On Evaluating Adversarial Robustness (2019), Athalye et al. (2018), and the
--- flags of Croce and Hein's AutoAttack (2020).
---@package
local text = require "text"

local M = {}

local format = string.format

--- A row: `pass` and `warn` are the largest figures that still get that verdict; beyond `warn` a check fails.
---@class RobustnessCheck
---@field key string     # its short name, as the summary has it
---@field title string
---@field unit string    # of figure and thresholds: "points" are percentage points of accuracy
---@field pass number
---@field warn number
---@field why string     # what a failure means

---@type RobustnessCheck[]
M.list = {
  { key = "eps 0", title = "an attack with eps = 0 changes nothing", unit = "points", pass = 0, warn = 0,
    why = "An attack that may not change a pixel must leave every answer as it was. If not, what is attacked and what "
      .. "is measured are not the same model, and no other figure can be trusted." },
  { key = "mode", title = "answers do not depend on the rest of the batch", unit = "%", pass = 0, warn = 0,
    why = "In training mode a network judges an image by its neighbours in the batch. An attack on that network fools "
      .. "another one than the one in use, so the accuracy under attack comes out too high." },
  { key = "eps 0.5", title = "accuracy at eps = 0.5 is about 0", unit = "%", pass = 1, warn = 5,
    why = "With eps = 0.5 any image may be turned into the same grey, so nobody could be right. Images that are still "
      .. "recognised show that the attack does not find changes which exist." },
  { key = "eps grows", title = "accuracy falls as eps grows", unit = "points", pass = 1, warn = 3,
    why = "A larger eps allows all that a smaller one does, and more. An attack that fools fewer images with it is "
      .. "stuck; what it could not fool is not thereby safe." },
  { key = "steps", title = "more steps find little more", unit = "points", pass = 1, warn = 3,
    why = "The attack was stopped before it was done: given more time it fools many more images, so the model is less "
      .. "robust than the table says." },
  { key = "restarts", title = "more starting points find little more", unit = "points", pass = 1, warn = 3,
    why = "The attack gets caught on a rough surface: from another starting point it fools images it had given up. "
      .. "What keeps them right is the attack's bad luck." },
  { key = "one step", title = "one step is not stronger than many", unit = "points", pass = 0.5, warn = 1,
    why = "Many small steps should do at least as well as one large one. Where they do worse, the gradient points the "
      .. "wrong way close to the image: the model leads the attack astray." },
  { key = "square", title = "a search without gradients is not stronger", unit = "points", pass = 0.2, warn = 1,
    why = "Square sees only the answers, not the gradients, and should fool no image that all gradient attacks leave. "
      .. "Where it does, the gradients hide weak spots that are there all the same." },
  { key = "transfer", title = "images made for a plain twin are not stronger", unit = "points", pass = 0.2, warn = 1,
    why = "Images made against another model should be less harmful than those made against this one. Where they are "
      .. "more so, the model hides its gradients but not its weak spots." },
  { key = "gradients", title = "gradients that are zero or not finite", unit = "%", pass = 1, warn = 5,
    why = "The attack follows the gradient. Where that is exactly zero, or not a number, it cannot move, and the image "
      .. "counts as robust although nothing was tried." },
  { key = "losses", title = "other losses find little more", unit = "points", pass = 3, warn = 10,
    why = "Cross-entropy loses its gradient when a model is very sure of itself. Losses that look at the order of the "
      .. "classes do not: what they fool in addition was never robust, only out of cross-entropy's sight." },
  { key = "scale", title = "a smaller DS is not only smaller logits", unit = "%", pass = 50, warn = 90,
    why = "Logits that are all divided by ten make every distance a hundred times smaller and change no answer. The "
      .. "figure is how much of the lower DS disappears when distances are measured in units of the model's own." },
}

local by_key = {}
for _, row in ipairs(M.list) do by_key[row.key] = row end

--- The verdict on a figure.
---@param row RobustnessCheck
---@param figure number
---@return "PASS"|"WARN"|"FAIL"
function M.verdict(row, figure)
  local slack = 1e-9 -- shares of images are sums of floats
  if figure ~= figure then return "FAIL" end
  return figure <= row.pass + slack and "PASS" or figure <= row.warn + slack and "WARN" or "FAIL"
end

--- What it takes: "≤ 1 / 3 points" is at most 1 to pass, at most 3 for a warning.
---@param row RobustnessCheck
---@return string
function M.threshold(row)
  local unit = row.unit == "%" and " %" or " " .. row.unit
  if row.pass == row.warn then return format("%s%s", text.number(row.pass), unit) end
  return format("≤ %s / %s%s", text.number(row.pass), text.number(row.warn), unit)
end

--- A check's line of the card, as plain data. `note` says what the figure is made of; without a figure the check is not
--- applicable, and the note says why. `forced` is a verdict that does not follow from the figure.
---@param key string
---@param figure? number
---@param note? string
---@param forced? "PASS"|"WARN"|"FAIL"
---@return table
function M.line(key, figure, note, forced)
  local row = assert(by_key[key], key)
  return { check = key, title = row.title, figure = figure, unit = row.unit, note = note, why = row.why,
           threshold = M.threshold(row), verdict = figure and (forced or M.verdict(row, figure)) or "not applicable" }
end

-- From the best to the worst.
M.verdicts = { "PASS", "WARN", "FAIL" }
local rank = { ["not applicable"] = 0, PASS = 1, WARN = 2, FAIL = 3 }

--- The worst of some verdicts; "not applicable" when there is no other.
---@param verdicts string[]
---@return string
function M.worst(verdicts)
  local worst = "not applicable"
  for _, verdict in ipairs(verdicts) do
    if (rank[verdict] or 0) > rank[worst] then worst = verdict end
  end
  return worst
end

--- How often each verdict was given, and to which checks.
---@param lines table[]
---@return table<string, string[]>
function M.count(lines)
  local found = { PASS = {}, WARN = {}, FAIL = {}, ["not applicable"] = {} }
  for _, line in ipairs(lines) do
    local list = found[line.verdict]
    if list then list[#list + 1] = line.check end
  end
  return found
end

--- The card in one line: `9 PASS, 1 WARN (steps), 0 FAIL`.
---@param lines table[]
---@return string
function M.summary(lines)
  local found, parts = M.count(lines), {}
  for i, verdict in ipairs(M.verdicts) do
    local list = found[verdict]
    local named = verdict ~= "PASS" and #list > 0 and format(" (%s)", table.concat(list, ", ")) or ""
    parts[i] = format("%d %s%s", #list, verdict, named)
  end
  local left = #found["not applicable"]
  if left > 0 then parts[#parts + 1] = format("%d not applicable", left) end
  return table.concat(parts, ", ")
end

return M
