--- What was measured of a model's robustness, in words: from the plain record that results.json keeps.
---@package
local checks = require "robustness.checks"
local stats = require "stats"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local WIDTH <const> = 118

-- An Interval of its fields; a file has no metatables.
local function interval(fields)
  return stats.is_interval(fields) and fields or type(fields) == "table" and stats.new(fields) or nil
end

--- A check's figure as it is read: "1.6 points".
---@param line table
---@return string
function M.figure(line)
  if type(line.figure) ~= "number" then return "–" end
  local shown = text.number(line.figure, line.figure >= 10 and 3 or 2)
  return shown .. (line.unit == "%" and " %" or " " .. tostring(line.unit or ""))
end

-- The accuracies: clean, paper protocol, credible protocol.
local function protocols(record)
  local rows = {}
  for i, row in ipairs(record.protocols) do
    rows[i] = { row.protocol, interval(row.accuracy), text.count(row.images), row.attack }
  end
  return text.table({ "protocol", "accuracy %", "images", { title = "attack", align = "left", wrap = true } }, rows,
                    { width = WIDTH })
end

--- The card's line of a run's summary; nil without a card.
---@param record table
---@return string?
function M.summary(record)
  if not record.card then return nil end
  return "card: " .. checks.summary(record.card.lines)
end

--- In short: threat model, accuracies, the card in one line.
---@param record table
---@return string
function M.brief(record)
  return concat({ "robustness  " .. text.wrap(record.threat, WIDTH - 12, "            "), "", protocols(record),
                  M.summary(record) and "\n" .. M.summary(record) or nil }, "\n")
end

--- All of it: as M.brief, then each check and the accuracy over eps.
---@param record table
---@return string
function M.text(record)
  local card = record.card
  if not card then return M.brief(record) end
  local rows, curve = {}, {}
  for i, line in ipairs(card.lines) do
    rows[i] = { line.check, line.verdict, M.figure(line), line.threshold, line.note or "" }
  end
  for i, point in ipairs(card.curve) do curve[i] = { text.number(point.eps), interval(point.accuracy) } end
  local columns = { "check", { title = "verdict", align = "left" }, "figure", "PASS / WARN",
                    { title = "of", align = "left", wrap = true } }
  local why = {}
  for i, line in ipairs(card.lines) do why[i] = { "  " .. line.check, line.title .. ". " .. line.why } end
  local images = format("on the first %s, %s of them right without an attack", text.plural(card.images, "image"),
    text.count(card.right))
  return concat({ M.brief(record), images, "", text.table(columns, rows, { width = WIDTH }), "", "what a failure means",
    text.columns(why, { width = WIDTH }), "", "accuracy over eps, same images",
    text.table({ "eps", "accuracy %" }, curve) }, "\n")
end

return M
