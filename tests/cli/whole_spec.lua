--- Whoever looks into a run's folder while it is being made sees whole files only.
package.path = "tests/cli/?.lua;tests/?.lua;" .. package.path
local file = require "file"
local host = require "host"
local json = require "json"
local program = require "program"
local sets = require "sets"

local RECIPE = [[
return recipe {
  title = "Looked at",
  params = { seed = param.seed { 1 } },
  plan = function(p)
    local set = data.synthetic { classes = 4, side = 16, train = 512, test = 256, seed = 7 }
    return { data = set, model = models.resnet8 { classes = 4, seed = p.seed }, loss = loss.cross_entropy(),
             optimizer = optim.adam { lr = 1e-3 }, epochs = 3, batch = 16, validation = set.test,
             probes = { accuracy = probe.accuracy(), continuity = probe.continuity { limit = 32 } } }
  end,
}
]]

local STUDY = [=[
return study { title = "Looked at twice", recipe = "looked", grid = { seed = { 1, 2 } },
               show = { rows.by("seed"):column("accuracy"), chart.points { x = "seed", y = "accuracy" } } }
]=]

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
  lua = function(text) return text ~= RECIPE and text ~= STUDY and "another text" or nil end,
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
-- dot before, .part- in it) is not yet one of the folder's, and log.txt is what another process says just now.
-- seen[kind of folder][name]: how often.
local function look(runs, seen, wrong)
  for _, name in ipairs(file.below(runs)) do
    local folder, own = name:match "^(%a+)%-%x+/(.*)$"
    local ending = name:match "%.(%w+)$"
    local text = folder and own ~= "log.txt" and not name:find(".part-", 1, true) and file.read(runs .. "/" .. name)
    if text and whole[ending] then
      seen[folder] = seen[folder] or {}
      seen[folder][own] = (seen[folder][own] or 0) + 1
      local problem = whole[ending](text)
      if problem then wrong[name] = problem end
    end
  end
end

-- Runs the program and looks into the folder of runs until it has ended.
local function watch(words, runs)
  local errors = runs .. ".errors"
  local process = assert(host.spawn({ program.path, table.unpack(words) },
                                    { stdin = "null", stdout = "null", stderr = errors }))
  local seen, wrong, ended = {}, {}, nil
  while not ended do
    ended = process:wait(0.001)
    look(runs, seen, wrong)
  end
  assert.equal(0, ended.code, file.read(errors))
  look(runs, seen, wrong)
  assert.same({}, wrong)
  return seen
end

describe("a reader at any time sees only whole files", function()
  local folder = sets.folder()
  teardown(function() sets.remove(folder) end)

  it("of a run", function()
    sets.write(folder .. "/looked.lua", RECIPE)
    local seen = watch({ "run", folder .. "/looked.lua", "--out", folder .. "/runs" }, folder .. "/runs").looked
    -- Those that are there while it trains are seen often, and change under the reader's eyes.
    for _, name in ipairs { "recipe.lua", "params.json", "plan.txt", "environment.json", "metrics.jsonl" } do
      assert.is_true((seen[name] or 0) > 2, name)
    end
    for _, name in ipairs { "results.json", "items.json", "model.safetensors", "report.html", "figures/samples.png",
                            "tables/accuracy.txt" } do
      assert.is_truthy(seen[name], name)
    end
  end)

  it("of a study that several processes make", function()
    sets.write(folder .. "/twice.lua", STUDY)
    local seen = watch({ "run", folder .. "/twice.lua", "--out", folder .. "/many", "--jobs", "2" }, folder .. "/many")
    for _, name in ipairs { "study.lua", "recipe.lua", "settings.json", "results.json", "report.txt", "report.html" } do
      assert.is_truthy(seen.twice[name], name)
    end
    assert.is_true(seen.looked["metrics.jsonl"] > 2)
  end)
end)
