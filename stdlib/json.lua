--- JSON that loses nothing: keys sorted, integers kept apart from floats, floats with every digit, non-finite
--- numbers as null. The same value always encodes to the same bytes, so a text can be hashed.
local decode = require "nn".json.decode
local well_formed = require "text".well_formed

local M = {}

local math_type = math.type
local byte, sub, find, format, rep, gsub = string.byte, string.sub, string.find, string.format, string.rep, string.gsub
local concat, sort = table.concat, table.sort

local DEPTH = 200 -- nesting deeper than this is a cycle or an attack

--- What `null` decodes to (nil would leave holes). Encodes to `null`.
M.null = setmetatable({}, { __name = "json.null", __tostring = function() return "null" end })

local array_mark = { __name = "json.array" }

--- Marks a table as an array, so that an empty one encodes as `[]`. Decoded arrays carry the mark.
---
--- Example:
---     json.encode { rows = json.array {} }  --> {"rows":[]}
---@param list? table
---@return table list
function M.array(list)
  return setmetatable(list or {}, array_mark)
end

--- Is it a table that was marked as an array, as decoded ones are?
---
--- Example:
---     print(json.is_array(json.decode "[]"), json.is_array {})  --> true  false
---@param value any
---@return boolean
function M.is_array(value)
  return getmetatable(value) == array_mark
end

-- ---- encoding ----

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
                  ["\t"] = "\\t" }

local function escape(char)
  return escapes[char] or format("\\u%04x", byte(char))
end

-- Bytes that are no UTF-8 (a file name, an old text) become U+FFFD: what is written must stay readable.
local function quote(s)
  return '"' .. gsub(well_formed(s), '[%c"\\]', escape) .. '"'
end

--- A number as text: the shortest of 15, 16 and 17 digits that reads back as the same number. A float with an
--- integral value keeps its point ("1.0"), so that it reads back as a float.
local function number_text(x)
  if math_type(x) == "integer" then return format("%d", x) end
  if x ~= x or x == math.huge or x == -math.huge then return "null" end
  local text
  for digits = 15, 17 do
    text = format("%." .. digits .. "g", x)
    if tonumber(text) == x then break end
  end
  return find(text, "[.e]") and text or text .. ".0"
end

local function is_array(t)
  if getmetatable(t) == array_mark then return true end
  local n = #t
  if n == 0 then return false end
  local count = 0
  for _ in next, t do count = count + 1 end
  return count == n
end

local function encode(value, out, pretty, depth, path)
  local kind = type(value)
  if value == nil or value == M.null then
    out[#out + 1] = "null"
  elseif kind == "boolean" then
    out[#out + 1] = value and "true" or "false"
  elseif kind == "number" then
    out[#out + 1] = number_text(value)
  elseif kind == "string" then
    out[#out + 1] = quote(value)
  elseif kind ~= "table" then
    error(format("json.encode: %s is a %s, which JSON cannot hold", path, kind), 0)
  elseif depth > DEPTH then
    error(format("json.encode: more than %d levels deep at %s", DEPTH, sub(path, 1, 60)), 0)
  elseif is_array(value) then
    -- A list of plain values stays on one line, also when pretty: a page of numbers under each other helps nobody.
    local flat = true
    for i = 1, #value do flat = flat and type(value[i]) ~= "table" end
    local break_line = pretty and not flat and "\n" .. rep("  ", depth + 1) or nil
    out[#out + 1] = "["
    for i = 1, #value do
      if i > 1 then out[#out + 1] = pretty and not break_line and ", " or "," end
      if break_line then out[#out + 1] = break_line end
      encode(value[i], out, pretty, depth + 1, path .. "[" .. i .. "]")
    end
    if break_line and #value > 0 then out[#out + 1] = "\n" .. rep("  ", depth) end
    out[#out + 1] = "]"
  else
    local keys = {}
    for key in next, value do
      if type(key) ~= "string" then
        error(format("json.encode: %s mixes list and named fields (key %s)", path, tostring(key)), 0)
      end
      keys[#keys + 1] = key
    end
    sort(keys)
    out[#out + 1] = "{"
    for i, key in ipairs(keys) do
      if i > 1 then out[#out + 1] = "," end
      if pretty then out[#out + 1] = "\n" .. rep("  ", depth + 1) end
      out[#out + 1] = quote(key) .. (pretty and ": " or ":")
      encode(value[key], out, pretty, depth + 1, path == "value" and key or path .. "." .. key)
    end
    if pretty and #keys > 0 then out[#out + 1] = "\n" .. rep("  ", depth) end
    out[#out + 1] = "}"
  end
end

--- Text of a value. A table with elements 1 .. n and nothing else is an array; an empty one is `{}` unless marked.
---
--- Example:
---     json.encode { b = 1, a = { 1.0, 0 / 0 } }  --> {"a":[1.0,null],"b":1}
---     print(json.encode({ b = 1, a = { 1, 2 } }, { pretty = true }))
---     --> {
---     -->   "a": [1, 2],
---     -->   "b": 1
---     --> }
---     json.encode { 1, x = 2 }                   --> error: json.encode: value mixes list and named fields (key 1)
---@param value any
---@param options? { pretty?: boolean }
---@return string
function M.encode(value, options)
  local out = {}
  local ok, message = pcall(encode, value, out, options and options.pretty, 0, "value")
  if not ok then error(message, 2) end
  return concat(out)
end

-- ---- decoding ----

--- The value of a text; `null` is json.null. A damaged text, or one that is not UTF-8, gives nil, message, code.
--- Offsets in messages count bytes from 0, as everywhere in messages about files.
---
--- Example:
---     json.decode '{"a": [1, 2.5, null]}'.a[2]  --> 2.5
---     json.decode('{"a": ', "row 3")            --> nil  row 3: offset 6: expected a value, got the end  format
---@param text string
---@param name? string  # what the message calls the text: a path
---@return any value, string? message, string? code
function M.decode(text, name)
  return decode(text, name or "json", M.null, array_mark)
end

--- The value in a file, or nil, message, code.
---
--- Example:
---     file.write("a.json", '{"steps": 400}')
---     json.read "a.json"        --> { steps = 400 }
---     json.read "nothing.json"  --> nil  nothing.json: No such file or directory  io
---@param path string
---@return any value, string? message, string? code
function M.read(path)
  local handle, message = io.open(path, "rb")
  if not handle then return nil, message, "io" end
  local text = handle:read("a")
  handle:close()
  if not text then return nil, path .. ": cannot be read", "io" end
  return M.decode(text, path)
end

return M
