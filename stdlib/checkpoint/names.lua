--- Which tensor of a file belongs to which of a model: prefixes, the names that different codes give to the same layer,
--- and a map for everything else.
---@package
local text = require "text"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

-- Codes that build the same networks call these parts by one or the other name: torchvision by the first, kuangliu's
-- and akamaster's CIFAR ResNets by the second.
local synonyms = { { "downsample", "shortcut" }, { "fc", "linear" } }

local COUNT = "num_batches_tracked"

local function segments(name)
  local list = {}
  for part in name:gmatch "[^.]+" do list[#list + 1] = part end
  return list
end

-- The name with the two words of each chosen pair exchanged.
local function exchanged(name, pairs_chosen)
  if #pairs_chosen == 0 then return name end
  local list = segments(name)
  for i, part in ipairs(list) do
    for _, pair in ipairs(pairs_chosen) do
      if part == pair[1] then list[i] = pair[2] elseif part == pair[2] then list[i] = pair[1] end
    end
  end
  return concat(list, ".")
end

-- ---- the map ----

-- A map's left side as a pattern: whole segments, `*` for any text within one. It takes a whole name or its beginning.
local function pattern_of(key)
  return "^" .. key:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", "([^.]*)")
end

-- What a rule makes of a name: the part it matches is replaced, each `*` by what stood there. Nil when it does not.
local function applied(rule, name)
  local from, to = name:find(rule.pattern)
  if not from or (to < #name and name:sub(to + 1, to + 1) ~= ".") then return nil end
  local stars, n = { name:match(rule.pattern) }, 0
  local head = rule.value:gsub("%*", function()
    n = n + 1
    return stars[n]
  end)
  return head .. name:sub(to + 1)
end

-- The rules of a map, the longest first: what says more goes before what says less.
local function rules_of(map)
  local rules = {}
  for key, value in pairs(map or {}) do
    rules[#rules + 1] = { key = key, value = value, pattern = pattern_of(key) }
  end
  sort(rules, function(a, b)
    if #a.key ~= #b.key then return #a.key > #b.key end
    return a.key < b.key
  end)
  return rules
end

--- What is wrong with a map for these names, or nil.
---@param map table<string, string>
---@param names string[]
---@return string?
function M.map_problem(map, names)
  for _, rule in ipairs(rules_of(map)) do
    local _, stars = rule.key:gsub("%*", "")
    local _, taken = rule.value:gsub("%*", "")
    if taken > stars then return format('map: "%s" has more stars than "%s"', rule.value, rule.key) end
    local used = false
    for _, name in ipairs(names) do used = used or applied(rule, name) ~= nil end
    if not used then return format('map: the model has nothing named "%s"', rule.key), rule.key end
  end
end

--- Names of the model's as the map, and nothing else, turns them into a file's.
---@param names string[]
---@param map? table<string, string>
---@return string[] mapped, (table|false)[] touched  # by which rule: { key =, value = }
function M.mapped(names, map)
  local rules, out, touched = rules_of(map), {}, {}
  for i, name in ipairs(names) do
    out[i], touched[i] = name, false
    for _, rule in ipairs(rules) do
      local new = applied(rule, name)
      if new then
        out[i], touched[i] = new, rule
        break
      end
    end
  end
  return out, touched
end

-- ---- finding the prefix and the family ----

-- How often each prefix stands before one of the wanted names.
local function prefix_counts(wanted, file_names)
  local counts = {}
  for _, name in ipairs(file_names) do
    local from = 1
    while from do
      if wanted[name:sub(from)] then
        local prefix = name:sub(1, from - 1)
        counts[prefix] = (counts[prefix] or 0) + 1
      end
      local dot = name:find(".", from, true)
      from = dot and dot + 1
    end
  end
  return counts
end

-- The prefix that stands before most of the wanted names, the shorter one of equals, and others as good as it.
local function best_prefix(counts)
  local best, count, equals = nil, 0, {}
  for prefix, n in pairs(counts) do
    if n > count then
      best, count, equals = prefix, n, {}
    elseif n == count then
      equals[#equals + 1] = prefix
    end
  end
  equals[#equals + 1] = best
  sort(equals, function(a, b) return #a < #b or #a == #b and a < b end)
  return equals[1], count, equals
end

-- What codes wrap a whole model in, one inside the other.
local wrappers = { module = true, model = true, net = true, network = true, backbone = true, state_dict = true,
                   model_state_dict = true, attacker = true }

-- The wrappers that stand before every name of the file.
local function wrapping(file_names)
  local prefix = ""
  while #file_names > 0 do
    local part = file_names[1]:sub(#prefix + 1):match "^([^.]+)%."
    if not part or not wrappers[part] then break end
    local longer = prefix .. part .. "."
    for _, name in ipairs(file_names) do
      if name:sub(1, #longer) ~= longer then return prefix end
    end
    prefix = longer
  end
  return prefix
end

-- Every choice among the synonyms that changes one of the names, the choice of none first.
local function choices(names)
  local useful = {}
  for _, pair in ipairs(synonyms) do
    for _, name in ipairs(names) do
      if exchanged(name, { pair }) ~= name then
        useful[#useful + 1] = pair
        break
      end
    end
  end
  local list = {}
  for bits = 0, (1 << #useful) - 1 do
    local chosen = {}
    for i, pair in ipairs(useful) do
      if bits >> (i - 1) & 1 == 1 then chosen[#chosen + 1] = pair end
    end
    list[#list + 1] = chosen
  end
  sort(list, function(a, b) return #a < #b end)
  return list
end

---@class NameMatch
---@field place table<integer, integer>  # of the model's tensor -> of the file's
---@field prefix string                  # that stood before the names in the file, "" for none
---@field prefixes string[]              # with more than one: the file holds the model under each of them
---@field renamed string[][]             # { model's word, file's word }
---@field wanted string[]                # what each of the model's tensors is called in the file, without the prefix
---@field touched (table|false)[]        # the rule of the map that named it
---@field beside integer[]               # places in the file outside the prefix
---@field counts integer[]               # places of num_batches_tracked
---@field unexpected integer[]           # all others that are not the model's

--- Finds the tensors of the model in the file by name.
---@param names string[]       # the model's
---@param file_names string[]
---@param options { map?: table<string, string>, prefix?: string }
---@return NameMatch
function M.match(names, file_names, options)
  local mapped, touched = M.mapped(names, options.map)
  local place = {}
  for i, name in ipairs(file_names) do place[name] = i end
  local found
  for _, chosen in ipairs(choices(names)) do
    local wanted, set = {}, {}
    for i, name in ipairs(mapped) do
      wanted[i] = touched[i] and name or exchanged(name, chosen)
      set[wanted[i]] = true
    end
    local counts = prefix_counts(set, file_names)
    local prefix, count, equals = best_prefix(counts)
    if options.prefix then
      prefix = options.prefix
      if prefix ~= "" and prefix:sub(-1) ~= "." then prefix = prefix .. "." end
      count, equals = counts[prefix] or 0, { prefix }
    end
    if not options.prefix and 2 * count < #names then prefix, equals = wrapping(file_names), {} end
    if not found or count > found.count then
      found = { count = count, prefix = prefix, prefixes = equals, renamed = chosen, wanted = wanted }
    end
  end

  found.place, found.beside, found.counts, found.unexpected = {}, {}, {}, {}
  found.touched = touched
  local used = {}
  for i, name in ipairs(found.wanted) do
    local at = place[found.prefix .. name] or touched[i] and place[name] or nil
    found.place[i] = at
    if at then used[at] = true end
  end
  for i, name in ipairs(file_names) do
    if used[i] then goto continue end
    local list = found.unexpected
    if name:sub(1, #found.prefix) ~= found.prefix then list = found.beside
    elseif name:match "([^.]*)$" == COUNT then list = found.counts end
    list[#list + 1] = i
    ::continue::
  end
  return found
end

-- ---- what to say ----

local SHOWN = 4

local function shape_text(shape) return "[" .. concat(shape, "x") .. "]" end

--- "fc.weight [10x64], fc.bias [10] and 3 more".
---@param list { name: string, shape: integer[] }[]
---@return string
function M.listed(list)
  local parts = {}
  for i = 1, math.min(#list, SHOWN) do parts[i] = text.tame(list[i].name) .. " " .. shape_text(list[i].shape) end
  local more = #list - #parts
  return concat(parts, ", ") .. (more > 0 and format(" and %s more", text.count(more)) or "")
end
M.shape_text = shape_text

-- Names that differ in numbers only stand in the order of these numbers.
local function natural(name)
  return (name:gsub("%d+", function(digits) return ("0"):rep(8 - #digits) .. digits end))
end

-- The list by the layers that hold the tensors: { path, signature } in the order of the list. The signature tells
-- which layers could be taken for each other.
local function by_layer(list)
  local layers, at = {}, {}
  for _, entry in ipairs(list) do
    local path, leaf = entry.name:match "^(.*)%.([^.]*)$"
    if path then
      if not at[path] then
        at[path] = { path = path, parts = {} }
        layers[#layers + 1] = at[path]
      end
      table.insert(at[path].parts, leaf .. shape_text(entry.shape))
    end
  end
  for _, layer in ipairs(layers) do
    sort(layer.parts)
    layer.signature = concat(layer.parts, " ")
  end
  return layers
end

--- A map that would bring together layers whose tensors have the same names and shapes, in their order; nil when there
--- is none. It is a guess for a person to read.
---@param missing { name: string, shape: integer[] }[]
---@param unexpected { name: string, shape: integer[] }[]
---@return string?
function M.suggestion(missing, unexpected)
  local theirs, key = table.move(unexpected, 1, #unexpected, 1, {}), {}
  for _, entry in ipairs(theirs) do key[entry] = natural(entry.name) end
  sort(theirs, function(a, b) return key[a] < key[b] end)
  local free = by_layer(theirs)
  local parts, all = {}, 0
  for _, layer in ipairs(by_layer(missing)) do
    for i, other in ipairs(free) do
      if other.signature == layer.signature then
        all = all + 1
        if all <= SHOWN then
          local left = layer.path:find "^[%a_][%w_]*$" and layer.path or format('["%s"]', layer.path)
          parts[all] = format('%s = "%s"', left, text.tame(other.path))
        end
        table.remove(free, i)
        break
      end
    end
  end
  if all == 0 then return nil end
  return "map = { " .. concat(parts, ", ") .. (all > #parts and ", ... }" or " }")
end

return M
