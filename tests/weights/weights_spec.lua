--- Real checkpoints reproduce what was computed from them by other means: accuracy and the first logits.
local data = require "data"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local probe = require "probe"

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"
local TOLERANCE = 1e-3

local folder
for path in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
  if lfs.attributes(path .. "/weights/expected.json", "mode") == "file" then folder = path .. "/weights" end
end

-- "burn_mnist.pt on mnist/t10k" begins with the file's name.
local function expected_of(name)
  for key, value in pairs(assert(json.read(folder .. "/expected.json"))) do
    if key:match "^%S+" == name then return value end
  end
end

describe("weights", function()
  for _, kind in ipairs { "resnet20", "burn_mnist", "lenet5" } do
    local this = dofile(here .. "/" .. kind .. ".lua")
    for _, name in ipairs(this.files) do
      it("of " .. name .. " give the published answers", function()
        if not folder then pending "PENUMBRA_DATA has no weights" return end
        local expected = expected_of(name)
        local model = this.build()
        assert(model:load(folder .. "/" .. name, this.options))
        local test = data.open(this.data).test
        assert.equal(expected.n, test.count)
        local x, y = test:batches { size = 5 }()
        local logits, labels = nn.no_grad(model, x):tolist(), y:tolist()
        for i, row in ipairs(expected.logits_first5) do
          assert.equal(expected.labels_first5[i], labels[i] - 1)
          for k, value in ipairs(row) do assert.near(value, logits[i][k], TOLERANCE) end
        end
        local result = probe.accuracy()(model, test, { quiet = true })
        assert.near(100 * expected.accuracy, result.top1.value, 1e-9)
      end)
    end
  end
end)
