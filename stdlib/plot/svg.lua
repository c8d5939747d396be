--- What gnuplot's SVG becomes: a picture with a size on paper, a title that a screen reader says, names of its own for
--- what it defines (a page may hold many), and pixels where a chart has them.
---@package
local hash = require "hash"
local html = require "report.html"
local image = require "image"

local M = {}

local format, concat = string.format, table.concat

-- The definitions that are used, each with those it uses itself.
local function keep_used(definitions, body)
  local lines, used = {}, {}
  for line in definitions:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for name in body:gmatch "#(gpPt%d+)" do used[name] = true end
  if body:find("#gpDot", 1, true) then used.gpDot = true end
  local kept = {}
  for i = #lines, 1, -1 do
    local name = lines[i]:match "id='(%w+)'"
    if used[name] then
      table.insert(kept, 1, lines[i])
      local other = lines[i]:match "#(gpPt%d+)"
      if other then used[other] = true end
    end
  end
  return concat(kept, "\n")
end

local DENSEST <const> = 4 -- pixels of a picture for each of the sheet's

-- A tensor of pixels as an element; small pictures keep their pixels' edges when they are enlarged, and large ones have
-- no more pixels than paper can show.
local function picture_element(picture)
  local sharp = picture.smooth and "" or ' style="image-rendering:pixelated"'
  local tensor = picture.tensor
  if tensor and tensor.shape[2] > DENSEST * picture.width then
    tensor = image.resize(tensor, { width = math.floor(DENSEST * picture.width + 0.5),
                                    height = math.floor(DENSEST * picture.height + 0.5) })
  end
  local bytes = picture.bytes or image.encode(tensor, { format = "png" })
  return format('<image x="%.2f" y="%.2f" width="%.2f" height="%.2f" preserveAspectRatio="none"%s href="data:image/png;'
    .. 'base64,%s"/>\n', picture.x, picture.y, picture.width, picture.height, sharp, html.base64(bytes))
end

---@class Finish
---@field title string        # said by screen readers, whole
---@field description string
---@field width string        # with its unit
---@field height string
---@field names string[]      # of what is plotted, in gnuplot's order
---@field pictures table[]

--- gnuplot's SVG finished.
---@param svg string
---@param about Finish
---@return string
function M.finish(svg, about)
  -- gnuplot opens a group for each change of the pen, most of which draw nothing.
  local before
  repeat
    before = #svg
    svg = svg:gsub("<g [^>]*>%s*</g>%s*", "")
  until #svg == before
  svg = svg:gsub("%]%]>", "]]&gt;") -- which gnuplot leaves, and XML forbids
  svg = svg:gsub("<defs>(.-)</defs>", function(definitions)
    local kept = keep_used(definitions, svg:gsub("<defs>.-</defs>", "", 1))
    return kept ~= "" and "<defs>\n" .. kept .. "\n</defs>" or ""
  end, 1)
  svg = svg:gsub("<title>gnuplot_plot_(%d+)</title>", function(n)
    local name = about.names[math.tointeger(n)]
    return name and name ~= "" and "<title>" .. html.escape(name) .. "</title>" or ""
  end)
  local pictures = {}
  for i, picture in ipairs(about.pictures) do pictures[i] = picture_element(picture) end
  -- What stands in front of the pictures is left out of the name, which need only tell pictures on a page apart.
  local own = "p" .. hash.sha256(svg .. concat(pictures)):sub(1, 8)
  svg = svg:gsub("'#gp(%w+)'", "'#" .. own .. "%1'"):gsub("id='gp(%w+)'", "id='" .. own .. "%1'")
    :gsub("url%(#gp(%w+)%)", "url(#" .. own .. "%1)")
    :gsub('id="gnuplot_([%w_]+)"', 'id="' .. own .. '%1"')
  svg = svg:gsub("<svg%s+viewBox", function()
    return format('<svg role="img" width="%s" height="%s" viewBox', about.width, about.height)
  end, 1)
  svg = svg:gsub("<title>Gnuplot</title>%s*<desc>.-</desc>", function()
    return format("<title>%s</title>\n<desc>%s</desc>", html.escape(about.title), html.escape(about.description))
  end, 1)
  if #pictures > 0 then
    -- Right after the paper, under all that gnuplot drew.
    svg = svg:gsub("(<rect [^>]*/>\n)", function(paper) return paper .. concat(pictures) end, 1)
  end
  return svg
end

return M
