--- How many images a model gets right: top-1, top-5, by class, and what it takes for what.
local probe = require "probe"
local spec = require "spec"
local stats = require "stats"
local text = require "text"

local fields = probe.with_fields {
  top = spec.integer { min = 2, default = 5, doc = "also count labels among so many best logits" },
}

local SHOWN_CLASSES = 20 -- more are summed up by the best and the worst

local function class_row(row)
  return { row.name, row.count, row.accuracy, row.mistaken_for }
end

-- A share with its bounds, once: a lopsided interval prints as its bounds already.
local function share(interval)
  local shown = tostring(interval)
  return shown:find("[", 1, true) and shown .. " %" or string.format("%s %%  %s", shown, interval:range())
end

local function show(self)
  local lines = { string.format("accuracy  %s  (%s of %s images)", share(self.top1), text.count(self.correct),
                                text.count(self.count)) }
  if self.topk then lines[#lines + 1] = string.format("top-%d     %s", self.k, share(self.topk)) end
  local rows, heading = {}, "class"
  for _, row in ipairs(self.rows) do rows[#rows + 1] = row end
  if #rows > SHOWN_CLASSES then
    table.sort(rows, function(a, b)
      if a.accuracy.value ~= b.accuracy.value then return a.accuracy.value < b.accuracy.value end
      return a.class < b.class
    end)
    rows = table.move(rows, 1, SHOWN_CLASSES // 2, 1, {})
    heading = string.format("the %d worst", #rows)
  end
  local cells = {}
  for i, row in ipairs(rows) do cells[i] = class_row(row) end
  lines[#lines + 1] = ""
  local last = { title = "most taken for", align = "left" }
  lines[#lines + 1] = text.table({ heading, "images", "accuracy %", last }, cells)
  return table.concat(lines, "\n")
end

-- One row for each class that occurs.
local function by_class(confusion, names)
  local rows = {}
  for class = 1, #confusion do
    local counts, total, most, most_count = confusion[class], 0, nil, 0
    for other, n in ipairs(counts) do
      total = total + n
      if other ~= class and n > most_count then most, most_count = other, n end
    end
    if total > 0 then
      rows[#rows + 1] = { class = class, name = names[class] or tostring(class), count = total, correct = counts[class],
                          accuracy = stats.proportion(counts[class], total):scaled(100, "%"),
                          mistaken_for = most and (names[most] or tostring(most)) }
    end
  end
  return rows
end

local function measure(model, part, options, tick)
  local right, among, confusion, classes = {}, {}, {}, nil
  for x, y in probe.batches(part, options) do
    local logits = probe.evaluate(model, x)
    if not classes then
      classes = logits:size(2)
      if part.classes > classes then
        error(("probe.accuracy: the model tells %d classes apart, %s has %d"):format(classes, part.name,
          part.classes), 0)
      end
      for class = 1, classes do
        confusion[class] = {}
        for other = 1, classes do confusion[class][other] = 0 end
      end
    end
    local labels, predicted = y:tolist(), logits:argmax(2):tolist()
    for i, label in ipairs(labels) do
      confusion[label][predicted[i]] = confusion[label][predicted[i]] + 1
      right[#right + 1] = label == predicted[i]
    end
    if classes > options.top then
      -- The label's place among the logits; a tie counts against the model, a NaN makes the place 0.
      local place = logits:ge(logits:gather(2, y:reshape { #y, 1 })):sum(2):tolist()
      for _, rank in ipairs(place) do among[#among + 1] = rank >= 1 and rank <= options.top end
    end
    tick(#x)
  end
  local top1 = stats.percentage(right)
  local correct = 0
  for _, hit in ipairs(right) do correct = correct + (hit and 1 or 0) end
  local result = { top1 = top1, correct = correct, confusion = confusion, metrics = { accuracy = top1 }, text = show,
                   rows = by_class(confusion, part.class_names or {}) }
  if classes > options.top then
    result.topk, result.k = stats.percentage(among), options.top
    result["top" .. options.top] = result.topk
    result.metrics["top" .. options.top] = result.topk
  end
  return result
end

---@class AccuracyResult: ProbeResult
---@field top1 Interval       # percent, Wilson; items are 0 or 100, image by image
---@field top5? Interval      # with more than five classes (`top` changes the five)
---@field correct integer
---@field confusion integer[][]  # [label][prediction] -> images
---@field rows { class: integer, name: string, count: integer, correct: integer, accuracy: Interval,
---              mistaken_for?: string }[]

-- probe.accuracy, which calls this as a tail: the user's line is the caller's.
return function(options)
  return probe.new("accuracy", spec.check("probe.accuracy", options, fields), measure)
end
