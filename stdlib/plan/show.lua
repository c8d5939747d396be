--- Plans to look at: one as a tree, two by what differs.
local plan = require "plan"
local text_of = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort
local inside, text = plan.inside, plan.text

local WIDTH = 100 -- columns; what is longer branches out

-- The order in which a plan is read; other entries come before the probes, by name.
local order = { "train", "test", "data", "validation", "model", "start", "loss", "augment", "optimizer", "schedule",
                "epochs", "batch", "clip", "average", "seed" }
local rank = { probes = math.huge }
for place, key in ipairs(order) do rank[key] = place end

local function is_plain_table(value) return type(value) == "table" and not inside(value) end

local function in_order(a, b)
  local p, q = rank[a] or #order + 1, rank[b] or #order + 1
  if p ~= q then return p < q end
  return tostring(a) < tostring(b)
end

-- Keys of a table that are no places of its list, in order.
local function names_of(t)
  local keys = {}
  for key in pairs(t) do
    if not (math.type(key) == "integer" and key >= 1 and key <= #t) then keys[#keys + 1] = key end
  end
  sort(keys, in_order)
  return keys
end

-- The operands of a chain of one operator: a + b + c.
local function operands(value, symbol, list)
  list = list or {}
  local this = inside(value)
  if this and this.op == "operator" and this.symbol == symbol then
    operands(this[1], symbol, list)
    list[#list + 1] = this[2]
  else
    list[#list + 1] = value
  end
  return list
end

local function is_operator(value, symbol)
  local this = inside(value)
  return this ~= nil and this.op == "operator" and this.symbol == symbol
end

-- ---- the tree ----

-- How often each value is used.
local function count_uses(value, uses)
  local this = inside(value)
  if this then
    uses[value] = (uses[value] or 0) + 1
    if uses[value] > 1 then return end
    if this.of then count_uses(this.of, uses) end
    for _, part in ipairs(this) do count_uses(part, uses) end
    for i = 1, this.arguments and this.arguments.n or 0 do count_uses(this.arguments[i], uses) end
  elseif type(value) == "table" then
    for _, key in ipairs(names_of(value)) do count_uses(value[key], uses) end
    for _, part in ipairs(value) do count_uses(part, uses) end
  end
  return uses
end

local SHORT = 24 -- a value of so many characters is as readable as a name
local called = { data = "set", perturb = "change" }

-- What a value is called by: after the module of its first constructor.
local function call_it(value)
  local this = inside(value)
  while this and this.op == "operator" do this = inside(this[1]) or inside(this[2]) end
  while this and this.of do this = inside(this.of) end
  return this and (called[this.module] or this.module) or "value"
end

-- Names for what is used more than once, in the order of their texts: { value, name } and value -> name.
local function name_shared(root)
  local shared, names, taken = {}, {}, {}
  for value, count in pairs(count_uses(root, {})) do
    local this = inside(value)
    if count > 1 and (this.op == "call" or this.op == "operator") and #text(value) > SHORT then
      shared[#shared + 1] = { value = value, text = text(value), name = call_it(value) }
    end
  end
  sort(shared, function(a, b) return #a.text < #b.text or #a.text == #b.text and a.text < b.text end)
  if is_plain_table(root) then
    for key in pairs(root) do taken[key] = true end
  end
  for _, one in ipairs(shared) do
    local number = 1
    local name = one.name
    while taken[name] do
      number = number + 1
      name = one.name .. number
    end
    one.name, taken[name], names[one.value] = name, true, name
  end
  return shared, names
end

local NONE <const> = {} -- in the place of what a start's plan has not

local headings = { ["+"] = "sum of", ["|"] = "one of", [">>"] = "one after the other" }

local heads = setmetatable({}, { __mode = "k" }) -- what stands on the line of some tables

-- A plan in which the plan of its start has left only what is not the same in both.
local function with_short_start(made)
  if not is_plain_table(made) or not is_plain_table(made.start) then return made end
  local out, start, short = {}, with_short_start(made.start), {}
  for key, value in pairs(made) do out[key] = value end
  for key, value in pairs(start) do
    if key == "start" or made[key] == nil or text(value) ~= text(made[key]) then short[key] = value end
  end
  heads[short] = "the run of this plan with"
  for key in pairs(made) do
    if start[key] == nil and key ~= "start" then short[key] = NONE end
  end
  out.start = short
  return out
end

-- What stands on a value's own line, and its branches { label, value }.
local function open(value, names, room)
  local this = inside(value)
  if value == NONE then return "none", {} end
  local whole = text(value, names)
  local fits = text_of.width(whole) <= room
  if not this then
    if not is_plain_table(value) then return whole, {} end
    local keys, branches = names_of(value), {}
    if fits and not heads[value] and (#keys == 0 or next(value) == nil) then return whole, {} end
    for _, part in ipairs(value) do branches[#branches + 1] = { "", part } end
    for _, key in ipairs(keys) do branches[#branches + 1] = { tostring(key), value[key] } end
    return heads[value] or "", branches
  end
  if names[value] then return whole, {} end
  if this.op == "operator" and headings[this.symbol] and (this.symbol == "+" or not fits) then
    local branches = {}
    for i, part in ipairs(operands(value, this.symbol)) do branches[i] = { "", part } end
    return headings[this.symbol], branches
  end
  if fits then return whole, {} end
  if this.op == "operator" then
    local left = format("%s %s ", text(this[1], names), this.symbol)
    local head, branches = open(this[2], names, room - text_of.width(left))
    return left .. head, branches
  elseif this.op ~= "call" then
    local own = text(value, { [this.of] = "" }):gsub("^%.", "")
    return own .. " of", { { "", this.of } }
  end
  -- The options that are values of their own branch out, and the others too when they are too many for a line.
  local head, list = this.module .. "." .. this.name, this.arguments
  local given = list.n == 1 and is_plain_table(list[1]) and list[1] or list
  local short, branches, all = {}, {}, {}
  for _, part in ipairs(given) do
    all[#all + 1] = { "", part }
    if type(part) == "table" then branches[#branches + 1] = { "", part } else short[#short + 1] = text(part) end
  end
  for _, key in ipairs(names_of(given)) do
    if not (given == list and key == "n") then
      all[#all + 1] = { tostring(key), given[key] }
      if inside(given[key]) then branches[#branches + 1] = { tostring(key), given[key] }
      else short[#short + 1] = format("%s = %s", key, text(given[key], names)) end
    end
  end
  local line = #short > 0 and format("%s{ %s }", head, concat(short, ", ")) or head
  if text_of.width(line) <= room and #branches > 0 then return line, branches end
  return head, all
end

-- Adds a value's lines: `first` stands before its own line, `rest` before those below it.
local function draw(lines, first, rest, value, names)
  local head, branches = open(value, names, WIDTH - text_of.width(first))
  lines[#lines + 1] = (first .. head):gsub("%s+$", "")
  local width = 0
  for _, branch in ipairs(branches) do width = math.max(width, text_of.width(branch[1])) end
  for i, branch in ipairs(branches) do
    local last = i == #branches
    local label = width > 0 and text_of.pad(branch[1], width) .. "  " or ""
    draw(lines, rest .. (last and "└─ " or "├─ ") .. label, rest .. (last and "   " or "│  "), branch[2], names)
  end
end

--- plan.tree.
---@param value any
---@return string
function M.tree(value)
  value = with_short_start(value)
  local shared, names = name_shared(value)
  local lines = {}
  if #shared == 0 and (not is_plain_table(value) or next(value) == nil) then
    draw(lines, "", "", value, names)
    return concat(lines, "\n")
  end
  local branches, width = {}, 0
  for i, one in ipairs(shared) do branches[i] = { one.name, one.value, true } end
  if is_plain_table(value) then
    for _, branch in ipairs(select(2, open(value, names, 0))) do branches[#branches + 1] = branch end
  else
    branches[#branches + 1] = { "value", value }
  end
  for _, branch in ipairs(branches) do width = math.max(width, text_of.width(branch[1])) end
  lines[1] = "plan"
  for i, branch in ipairs(branches) do
    local last = i == #branches
    local own = names[branch[2]]
    if branch[3] then names[branch[2]] = nil end -- here it is spelt out
    draw(lines, (last and "└─ " or "├─ ") .. text_of.pad(branch[1], width) .. "  ", last and "   " or "│  ", branch[2],
      names)
    if branch[3] then names[branch[2]] = own end
  end
  return concat(lines, "\n")
end

-- ---- the difference ----

local NOTHING = "–"

-- Is it what a loss may be multiplied with: a number, or a schedule?
local function is_weight(value)
  local this = inside(value)
  if not this then return type(value) == "number" end
  if is_operator(value, "*") then return is_weight(this[1]) and is_weight(this[2]) end
  return this.op == "call" and this.module == "optim"
end

-- The terms of a sum: { weight, value, name }; the weight of a term that has none is nil.
local function terms_of(value)
  local list, seen = {}, {}
  for i, part in ipairs(operands(value, "+")) do
    local this, weight = inside(part), nil
    if is_operator(part, "*") and is_weight(this[1]) then
      weight, part = this[1], this[2]
      this = inside(part)
    end
    local name = this and this.name or text(part)
    seen[name] = (seen[name] or 0) + 1
    list[i] = { weight = weight, value = part, name = seen[name] == 1 and name or name .. "_" .. seen[name] }
    list[list[i].name] = list[i]
  end
  return list
end

local compare

local function compare_sums(out, path, a, b)
  local p, q = terms_of(a), terms_of(b)
  local function shown(term) return (term.weight and text(term.weight) .. " * " or "") .. text(term.value) end
  local common = false
  for _, term in ipairs(p) do common = common or q[term.name] ~= nil end
  if not common then return out(path, text(a), text(b)) end
  for _, term in ipairs(p) do
    local other, where = q[term.name], path .. "." .. term.name
    if not other then
      out(where, shown(term), NOTHING)
    else
      local weight, others = term.weight or 1, other.weight or 1
      if weight ~= others and text(weight) ~= text(others) then
        out("weight of " .. where, text(weight), text(others))
      end
      compare(out, where, term.value, other.value)
    end
  end
  for _, term in ipairs(q) do
    if not p[term.name] then out(path .. "." .. term.name, NOTHING, shown(term)) end
  end
end

local function compare_tables(out, path, a, b)
  local keys, seen = {}, {}
  for _, t in ipairs { a, b } do
    for _, key in ipairs(names_of(t)) do
      if not seen[key] then
        keys[#keys + 1], seen[key] = key, true
      end
    end
  end
  if #a ~= #b or #keys == 0 then
    if text { table.unpack(a) } ~= text { table.unpack(b) } then
      out(path, text { table.unpack(a) }, text { table.unpack(b) })
    end
  else
    for i = 1, #a do compare(out, format("%s[%d]", path, i), a[i], b[i]) end
  end
  sort(keys, in_order)
  for _, key in ipairs(keys) do
    compare(out, (path ~= "" and path .. "." or "") .. tostring(key), a[key], b[key])
  end
end

local function compare_arguments(out, path, a, b)
  if a.n == 1 and b.n == 1 and is_plain_table(a[1]) and is_plain_table(b[1]) then
    return compare_tables(out, path, a[1], b[1])
  end
  for i = 1, math.max(a.n, b.n) do
    -- What follows a name or a number is a table of options.
    local options = is_plain_table(a[i]) and is_plain_table(b[i])
    compare(out, options and path or format("%s(%d)", path, i), a[i], b[i])
  end
end

-- A value in a line; a whole plan, which a start is, by the digits that its run's folder has.
local function shown(value, path)
  if value == nil then return NOTHING end
  if path:find "start$" and is_plain_table(value) and value.model then
    return "the run " .. plan.hash(value):sub(1, 8)
  end
  return text(value)
end

function compare(out, path, a, b)
  if a == nil or b == nil then
    if a ~= nil or b ~= nil then out(path, shown(a, path), shown(b, path)) end
    return
  end
  local p, q = inside(a), inside(b)
  if out(a, b) or text(a) == text(b) then return end
  if is_plain_table(a) and is_plain_table(b) then return compare_tables(out, path, a, b) end
  if not p or not q then return out(path, text(a), text(b)) end
  local sum = is_operator(a, "+") or is_operator(b, "+") or is_operator(a, "*") or is_operator(b, "*")
  if sum then return compare_sums(out, path, a, b) end
  if p.op ~= q.op or p.name ~= q.name or p.module ~= q.module or p.symbol ~= q.symbol then
    return out(path, text(a), text(b))
  end
  if p.op == "call" then return compare_arguments(out, path, p.arguments, q.arguments) end
  if p.of then
    compare(out, path, p.of, q.of)
    if p.arguments then compare_arguments(out, path .. ":" .. p.name, p.arguments, q.arguments) end
    return
  end
  local left, right = operands(a, p.symbol), operands(b, q.symbol)
  if #left ~= #right then return out(path, text(a), text(b)) end
  for i in ipairs(left) do compare(out, format("%s[%d]", path, i), left[i], right[i]) end
end

--- plan.diff.
---@param a any
---@param b any
---@return string
function M.diff(a, b)
  local rows, compared = {}, {}
  -- out(path, left, right) adds a line; out(a, b) says whether this pair of values was compared before: what many parts
  -- of a plan use differs once.
  local function out(x, y, z)
    if z then
      rows[#rows + 1] = { x, y, z }
      return
    end
    if not inside(x) or not inside(y) then return false end
    compared[x] = compared[x] or {}
    local before = compared[x][y]
    compared[x][y] = true
    return before
  end
  compare(out, "", a, b)
  local width, lines = 0, {}
  for _, row in ipairs(rows) do width = math.max(width, text_of.width(row[1])) end
  for i, row in ipairs(rows) do
    local label = width > 0 and text_of.pad(row[1], width) .. "  " or ""
    local line = format("%s%s → %s", label, row[2], row[3])
    if text_of.width(line) > WIDTH then
      line = format("%s%s\n%s→ %s", label, row[2], (" "):rep(text_of.width(label)), row[3])
    end
    lines[i] = line
  end
  return concat(lines, "\n")
end

return M
