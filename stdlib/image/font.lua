--- A small font for labels in pictures: the printable ASCII characters, 5 dots wide and 7 high (8 below the line).
local M = {}

local WIDTH <const>, HEIGHT <const> = 5, 8

--- The height of a line, with a dot of space above.
M.line = HEIGHT + 1

-- For each character from the blank on five columns of dots, two hexadecimal digits each, the top dot lowest.
local COLUMNS <const> = table.concat {
  "0000000000", "00005f0000", "0007000700", "147f147f14", "242a7f2a12", "2313086462", "3649552250", "0000070000",
  "001c224100", "0041221c00", "082a1c2a08", "08083e0808", "0050300000", "0808080808", "0060600000", "2010080402",
  "3e5149453e", "00427f4000", "4261514946", "2141454b31", "1814127f10", "2745454539", "3c4a494930", "0171090503",
  "3649494936", "064949291e", "0036360000", "0056360000", "0814224100", "1414141414", "0041221408", "0201510906",
  "324979413e", "7e1111117e", "7f49494936", "3e41414122", "7f4141221c", "7f49494941", "7f09090901", "3e41495532",
  "7f0808087f", "00417f4100", "2040413f01", "7f08142241", "7f40404040", "7f020c027f", "7f0408107f", "3e4141413e",
  "7f09090906", "3e4151215e", "7f09192946", "4649494931", "01017f0101", "3f4040403f", "1f2040201f", "3f4038403f",
  "6314081463", "0708700807", "6151494543", "007f414100", "0204081020", "0041417f00", "0402010204", "4040404040",
  "0001020400", "2054545478", "7f48444438", "3844444420", "384444487f", "3854545418", "087e090102", "18a4a4a47c",
  "7f08040478", "00447d4000", "0080847d00", "7f10284400", "00417f4000", "7c04180478", "7c08040478", "3844444438",
  "fc24242418", "18242424fc", "7c08040408", "4854545420", "043f444020", "3c4040207c", "1c2040201c", "3c4030403c",
  "4428102844", "1ca0a0a07c", "4464544c44", "0008364100", "00007f0000", "0041360800", "0804081008",
}

local UNKNOWN <const> = ("?"):byte()

-- The codes of a text's characters; what the font lacks is a question mark.
local function codes_of(text)
  local codes = {}
  for character in text:gmatch("[\0-\x7F\xC0-\xFF][\x80-\xBF]*") do
    local code = character:byte()
    codes[#codes + 1] = #character == 1 and code >= 32 and code < 127 and code or UNKNOWN
  end
  return codes
end

--- How wide a text is, in dots.
---@param text string
---@return integer
function M.width(text) return #codes_of(text) * (WIDTH + 1) end

--- A text as M.line rows of dots, each what `dot(on)` gives.
---@param text string
---@param dot fun(on: boolean): any
---@return any[][]
function M.draw(text, dot)
  local rows = {}
  for y = 1, M.line do rows[y] = {} end
  for _, code in ipairs(codes_of(text)) do
    for x = 1, WIDTH + 1 do
      local at = ((code - 32) * WIDTH + x - 1) * 2 + 1
      local column = x <= WIDTH and tonumber(COLUMNS:sub(at, at + 1), 16) or 0
      for y = 1, M.line do
        local on = y > 1 and column >> (y - 2) & 1 == 1
        rows[y][#rows[y] + 1] = dot(on)
      end
    end
  end
  return rows
end

return M
