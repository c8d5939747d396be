--- Whoever looks into a run's folder while it is being made sees whole files only.
package.path = "tests/cli/?.lua;tests/?.lua;" .. package.path
local file = require "file"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local program = require "program"
local sets = require "sets"

local RECIPE = [[
return recipe {
  title = "Looked at",
  plan = function()
    local set = data.synthetic { classes = 4, side = 16, train = 512, test = 256, seed = 7 }
    return { data = set, model = models.resnet8 { classes = 4, channels = 3 }, loss = loss.cross_entropy(),
             optimizer = optim.adam { lr = 1e-3 }, epochs = 3, batch = 16, validation = set.test,
             probes = { accuracy = probe.accuracy(), continuity = probe.continuity { limit = 32 } } }
  end,
}
]]

-- What is wrong with a file as it is just now, by its ending; nil when it is whole.
local whole = {
  json = function(text)
    local value, message = json.decode(text)
    return value == nil and message or nil
  end,
  jsonl = function(text)
    if text ~= "" and text:sub(-1) ~= "\n" then return "the last line has no end" end
    for line in text:gmatch "[^\n]+" do
      if type(json.decode(line)) ~= "table" then return "a line that is no object: " .. line:sub(1, 60) end
    end
  end,
  png = function(text) return text:sub(-8, -5) ~= "IEND" and "it has no end" or nil end,
  svg = function(text) return not text:find "</svg>%s*$" and "it has no end" or nil end,
  html = function(text) return not text:find "</html>%s*$" and "it has no end" or nil end,
  lua = function(text) return text ~= RECIPE and "another text" or nil end,
  txt = function(text) return text:sub(-1) ~= "\n" and "the last line has no end" or nil end,
  safetensors = function(text)
    if #text < 8 then return "no header" end
    local header = string.unpack("<I8", text)
    local about, most = header <= #text - 8 and json.decode(text:sub(9, 8 + header)), 0
    if not about then return "a cut header" end
    for _, entry in pairs(about) do
      if type(entry.data_offsets) == "table" then most = math.max(most, entry.data_offsets[2]) end
    end
    return #text ~= 8 + header + most and "a cut body" or nil
  end,
}

-- Looks at every file that is there and not hidden; a file that went meanwhile is fine. One under a temporary name (a
-- dot before, .part- in it) is not yet one of the folder's.
local function look(folder, seen, wrong)
  for _, name in ipairs(file.below(folder)) do
    local ending = name:match "%.(%w+)$"
    local text = not name:find(".part-", 1, true) and file.read(folder .. "/" .. name)
    if text and whole[ending] then
      seen[name] = (seen[name] or 0) + 1
      local problem = whole[ending](text)
      if problem then wrong[#wrong + 1] = name .. ": " .. problem end
    end
  end
end

describe("a run's folder", function()
  local folder = sets.folder()
  teardown(function() sets.remove(folder) end)

  it("holds only whole files at any time", function()
    sets.write(folder .. "/looked.lua", RECIPE)
    local process = assert(host.spawn({ program.path, "run", folder .. "/looked.lua", "--out", folder .. "/runs" },
                                      { stdin = "null", stdout = "null", stderr = folder .. "/errors" }))
    local seen, wrong, looks, ended = {}, {}, 0, nil
    while not ended do
      ended = process:wait(0.001)
      looks = looks + 1
      if lfs.attributes(folder .. "/runs") then look(folder .. "/runs", seen, wrong) end
    end
    assert.equal(0, ended.code, file.read(folder .. "/errors"))
    assert.same({}, wrong)
    assert.is_true(looks > 10)
    local kinds = {}
    for name, times in pairs(seen) do
      local kind = name:match "[^/]+$"
      kinds[kind] = math.max(kinds[kind] or 0, times)
    end
    -- Those that are written while it is at it were seen more than once, the last ones at least at the end.
    for _, name in ipairs { "recipe.lua", "params.json", "plan.txt", "environment.json", "metrics.jsonl" } do
      assert.is_true((kinds[name] or 0) > 1, name)
    end
    look(folder .. "/runs", seen, wrong)
    assert.same({}, wrong)
  end)
end)
