--- HTML as values: `tag.p{ class = "lead", "a & b" }` is an element; texts in it are escaped when it is written out, so
--- that nothing that comes from a file ever becomes markup. Only html.raw lets a text through as it is.
local well_formed = require "text".well_formed

local M = {}

local concat, format, gsub = table.concat, string.format, string.gsub

local Element = { __name = "html element" }
local Raw = { __name = "html" }

--- A text that is HTML already; for constants of our own.
---@param text string
---@return table
function M.raw(text) return setmetatable({ text }, Raw) end

--- Constructors of elements by name: names in the table are attributes (false: left out, true: name only), places are
--- children: texts, numbers, elements, lists of them; nil and false are nothing.
M.tag = setmetatable({}, {
  __index = function(tags, name)
    local function make(parts) return setmetatable({ name = name, parts = parts or {} }, Element) end
    tags[name] = make
    return make
  end,
})

-- ---- texts ----

local REPLACEMENT = "\u{FFFD}"

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

--- Any bytes as text of a page. What cannot be shown (control characters, marks that turn the writing direction of
--- what follows, bytes that are no UTF-8) becomes U+FFFD.
---
--- Example:
---     print(require "report.html".escape "a < b & 'c'") --> a &lt; b &amp; &#39;c&#39;
---@param s string
---@return string
function M.escape(s)
  s = gsub(s, "\r\n?", "\n")
  if s:find("[\128-\255%c]") then
    s = gsub(well_formed(s), "[^\t\n\32-\126\128-\255]", REPLACEMENT)
    s = gsub(s, "\xC2[\x80-\x9F]", REPLACEMENT)       -- control characters U+0080 .. 009F
    s = gsub(s, "\xE2\x80[\xAA-\xAE]", REPLACEMENT)   -- embeddings and overrides of direction
    s = gsub(s, "\xE2\x81[\xA6-\xA9]", REPLACEMENT)   -- isolates
    s = gsub(s, "\xEF\xBF[\xBE\xBF]", REPLACEMENT)    -- no characters
  end
  return (gsub(s, "[&<>\"']", entities))
end

-- ---- writing ----

local void = { br = true, col = true, hr = true, img = true, meta = true, source = true,
               circle = true, line = true, path = true, polygon = true, rect = true }

local write

-- A child that is nil is no child; those after it still count.
local function write_children(out, list)
  local last = #list
  for key in pairs(list) do
    if math.type(key) == "integer" and key > last then last = key end
  end
  for i = 1, last do write(out, list[i]) end
end

local function write_element(out, element)
  local name, parts, attributes = element.name, element.parts, {}
  for key, value in pairs(element.parts) do
    if type(key) == "string" and value ~= false then
      attributes[#attributes + 1] = value == true and " " .. key
        or format(' %s="%s"', key, M.escape(type(value) == "number" and format("%.6g", value) or tostring(value)))
    end
  end
  table.sort(attributes)
  out[#out + 1] = "<" .. name .. concat(attributes) .. ">"
  if void[name] then
    -- The void elements of SVG are closed so that they are well-formed there too.
    if #out[#out] > 1 and (name == "circle" or name == "line" or name == "path" or name == "polygon"
        or name == "rect") then
      out[#out] = out[#out]:sub(1, -2) .. "/>"
    end
    return
  end
  write_children(out, parts)
  out[#out + 1] = "</" .. name .. ">"
end

function write(out, node)
  local kind = getmetatable(node)
  if kind == Element then
    write_element(out, node)
  elseif kind == Raw then
    out[#out + 1] = node[1]
  elseif type(node) == "table" then
    write_children(out, node)
  elseif node then
    out[#out + 1] = M.escape(tostring(node))
  end
end

--- The text of an element or a list of them.
---@param node any
---@return string
function M.write(node)
  local out = {}
  write(out, node)
  return concat(out)
end

-- ---- pictures in the page ----

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

--- Bytes in base 64.
---
--- Example:
---     print(require "report.html".base64 "Penumbra") --> UGVudW1icmE=
---@param bytes string
---@return string
function M.base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local group = a << 16 | (b or 0) << 8 | (c or 0)
    for place = 0, 3 do
      local digit = (group >> (18 - 6 * place) & 63) + 1
      out[#out + 1] = (place == 2 and not b or place == 3 and not c) and "=" or alphabet:sub(digit, digit)
    end
  end
  return concat(out)
end

--- A picture as an address that holds all of it.
---@param bytes string
---@param kind "png"|"svg"
---@return string
function M.data_address(bytes, kind)
  if kind == "svg" then
    return "data:image/svg+xml;base64," .. M.base64((bytes:gsub("%s*\n%s*", "\n")))
  end
  return "data:image/png;base64," .. M.base64(bytes)
end

return M
