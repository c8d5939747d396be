--- Values as the prompt shows them, none longer than a screen.
local text = require "text"

local M = {}

local MOST <const> = 40     -- entries of a table, rows of a model that are shown
local SHORT <const> = 8     -- entries of a table in a table that are
local DEPTH <const> = 4     -- tables in tables that are
local WIDE <const> = 100    -- characters that a table in a table may take
local LENGTH <const> = 4000 -- bytes of a text that are

-- ---- tables ----

-- The keys of a table beside its list, in order.
local function names_of(t)
  local keys, count = {}, #t
  for key in next, t do
    if math.type(key) ~= "integer" or key < 1 or key > count then keys[#keys + 1] = key end
  end
  table.sort(keys, function(one, two) return tostring(one) < tostring(two) end)
  return keys
end

local key_text

--- Text of a value inside a table: strings in quotes, small tables whole, others only by their kind.
local function brief(value, depth)
  if type(value) == "string" then
    if #value > 200 then return ("%q ... %s"):format(value:sub(1, 60), text.bytes(#value)):gsub("\\\n", "\\n") end
    return (("%q"):format(value):gsub("\\\n", "\\n"))
  end
  -- A tensor's or a model's first line says what it is.
  local kind = tostring(value):match "^[^\n]*"
  if type(value) ~= "table" or getmetatable(value) or depth == DEPTH or #value > SHORT then return kind end
  local keys, parts = names_of(value), {}
  if #keys > SHORT then return kind end
  for i, element in ipairs(value) do
    parts[i] = math.type(element) and ("%.5g"):format(element) or brief(element, depth + 1)
  end
  for _, key in ipairs(keys) do
    parts[#parts + 1] = key_text(key) .. " = " .. brief(rawget(value, key), depth + 1)
  end
  local line = #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
  return #line <= WIDE and line or kind
end

function key_text(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" then return key end
  return "[" .. brief(key, DEPTH) .. "]"
end

--- A table as a constructor would write it: list first, then the other keys in order.
local function table_text(t)
  local parts, count = {}, #t
  for i = 1, math.min(count, MOST) do parts[i] = brief(t[i], 1) end
  if count > MOST then parts[#parts + 1] = ("... %d in all"):format(count) end
  local keys = names_of(t)
  for i = 1, math.min(#keys, MOST) do parts[#parts + 1] = key_text(keys[i]) .. " = " .. brief(t[keys[i]], 1) end
  if #keys > MOST then parts[#parts + 1] = ("... %d names in all"):format(#keys) end

  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #parts == 0 then return "{}" end
  if #line <= 100 then return line end
  return "{\n  " .. table.concat(parts, ",\n  ") .. "\n}"
end

--- The name under which a table is loaded as a module, or nil.
local function module_name(t)
  for name, module in pairs(package.loaded) do
    if module == t and name ~= "_G" then return name end
  end
end

--- A module by the names it has, which say more than the addresses of its functions.
local function module_text(name, module)
  local names = {}
  for key in pairs(module) do names[#names + 1] = tostring(key) end
  table.sort(names)
  return ("%s: %s"):format(name, text.wrap(table.concat(names, ", "), 100, "  "))
end

-- ---- models ----

local function depth_of(path)
  local _, dots = path:gsub("%.", "")
  return path == "" and 0 or dots + 1
end

--- The deepest rows that still fit.
local function shown_depth(rows)
  local counts, deepest = {}, 0
  for _, row in ipairs(rows) do
    local depth = depth_of(row.path)
    counts[depth] = (counts[depth] or 0) + 1
    deepest = math.max(deepest, depth)
  end
  local sum, depth = counts[0] + (counts[1] or 0), 1
  while depth < deepest and sum + counts[depth + 1] <= MOST do
    depth = depth + 1
    sum = sum + counts[depth]
  end
  return depth, deepest
end

-- By path: whether a layer and those in it have parameters, and none that wants a gradient.
local function frozen_paths(rows)
  local frozen = {}
  for _, row in ipairs(rows) do
    for _, entry in ipairs(row.tensors) do
      local path = row.path
      while path and not entry.buffer do
        frozen[path] = frozen[path] ~= false and not entry.tensor.requires_grad
        path = path ~= "" and (path:match "^(.*)%.[^.]*$" or "") or nil
      end
    end
  end
  return frozen
end

--- The layers of a model in a table, with shapes and operations for an input where one is known.
---
--- Example:
---     print(require "repl.values".model(nn.Sequential { nn.Linear(3, 2), nn.ReLU() }, { 3 }))
---@param model any
---@param input? integer[]  # of one image
---@return string
function M.model(model, input)
  local known, rows = pcall(model.layers, model, { input = input })
  if not known then rows = model:layers() end
  known = known and input ~= nil
  local depth, deepest = shown_depth(rows)
  local cells, frozen, any = {}, frozen_paths(rows), false
  for i = 2, #rows do
    local row = rows[i]
    local own = depth_of(row.path)
    if own <= depth then
      any = any or frozen[row.path]
      cells[#cells + 1] = {
        ("  "):rep(own - 1) .. row.path:match "[^.]*$", row.class .. (frozen[row.path] and " *" or ""),
        row.output and table.concat(row.output, "x"),
        row.parameters > 0 and text.count(row.parameters) or nil,
        row.flops and text.large(row.flops),
      }
    end
  end
  local columns = { "layer", { title = "kind", align = "left" } }
  if known then columns[3] = "output" end
  columns[#columns + 1] = "parameters"
  if known then columns[5] = "FLOPs" end
  if not known then
    for _, row in ipairs(cells) do table.remove(row, 3) end
  end
  local lines = { #cells > 0 and text.table(columns, cells) or rows[1].class }
  local total = ("%s: %s parameters"):format(model.kind or rows[1].class, text.large(rows[1].parameters))
  if known then
    total = ("%s, %s for %s"):format(total, text.flops(rows[1].flops), table.concat(input, "x"))
  end
  lines[#lines + 1] = total
  if any then lines[#lines + 1] = "* frozen" end
  if depth < deepest then
    lines[#lines + 1] = ("%d layers in all: model:layers() lists them, print(model) shows them"):format(#rows - 1)
  end
  return table.concat(lines, "\n")
end

-- ---- any value ----

-- A long text by its beginning.
local function cut(s)
  if #s <= LENGTH then return s end
  local from = utf8.offset(s:sub(LENGTH - 3, LENGTH + 1), -1) or 4
  return s:sub(1, LENGTH - 5 + from) .. ("\n... %s in all"):format(text.bytes(#s))
end

local function kind_of(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__name, type(meta) == "table" and (meta.__tostring or meta.__name) and true
end

-- ---- recipes ----

-- The title, and for each parameter its default and what it is.
local function recipe_text(this)
  local param = require "param"
  local rows = {}
  for i, name in ipairs(this:names()) do
    local one = this.params[name]
    rows[i] = { "  " .. name, one.default ~= nil and param.show(one.default) or "", one.doc or one.expects or "" }
  end
  return #rows == 0 and this.title or this.title .. "\n" .. text.columns(rows, { width = require "terminal".width() })
end

-- A recipe's plan is a plain table of plan values.
local function holds_plan(t)
  local plan = package.loaded.plan
  for _, value in next, plan and t or {} do
    if plan.is_value(value) then return true end
  end
  return false
end

--- Text of a value as the prompt shows it.
---
--- Example:
---     print(require "repl.values".text { 1, "two", x = { 3, 0.5 } })  --> { 1, "two", x = { 3, 0.5 } }
---@param value any
---@return string
function M.text(value)
  local kind, described = kind_of(value)
  if kind == "nn.module" then return M.model(value, value.input) end
  if kind == "Recipe" then return recipe_text(value) end
  if kind == "Study" then return ("%s: a study of %s"):format(value.title, value.recipe_name) end
  if kind == "plan value" or type(value) == "table" and not described and holds_plan(value) then
    return (require "plan".tree(value):gsub("\n$", ""))
  end
  if type(value) == "table" and not described then
    local name = module_name(value)
    return name and module_text(name, value) or table_text(value)
  end
  return cut(tostring(value))
end

return M
