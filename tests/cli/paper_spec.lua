--- The paper's studies at the scale smoke, from the command line to the last figure: seconds, on the embedded sample.
package.path = "tests/cli/?.lua;" .. package.path
local file = require "file"
local json = require "json"
local lfs = require "lfs"
local program = require "program"

describe("the paper's studies at the scale smoke", function()
  local root, folder

  -- The study's folder and results; runs of an earlier study are in the same place.
  local function run(name)
    local r = program.run { "run", "scripts/paper/" .. name .. ".lua", "scale=smoke", "--out", root, "--quiet" }
    assert.equal(0, r.code, r.err .. r.out)
    for entry in lfs.dir(root) do
      if entry:find("^" .. name .. "%-") then folder = root .. "/" .. entry end
    end
    return r, assert(json.read(folder .. "/results.json"))
  end

  local function rows_by(shown, key)
    local out = {}
    for _, row in ipairs(shown.rows) do out[row[key]] = row end
    return out
  end

  setup(function() root = assert(file.temporary_folder()) end)
  teardown(function() file.remove_folder(root) end)

  it("Table 2: both protocols with their cards, beside the paper's figures", function()
    local r, results = run "table2"
    local by_variant = rows_by(results.tables[1], "variant")
    for _, variant in ipairs { "plain", "C", "ADV", "ADV+C" } do
      local row = by_variant[variant]
      for _, name in ipairs { "accuracy", "robust", "worst_case" } do
        assert.is_true(row[name].value >= 0 and row[name].value <= 100, variant)
      end
      assert.is_true(row.card_fail.value >= 0 and row.card_warn.value >= 0)
    end
    assert.equal(9.34, by_variant.plain.robust.paper)
    assert.equal(54.04, by_variant["ADV+C"].robust.paper)
    assert.is_truthy(r.out:find("too little was learned", 1, true))
    -- Training with an attack went through the network as often as it did.
    assert.is_true(by_variant.ADV.images.value > by_variant.C.images.value)
    assert.is_true(by_variant.C.images.value > by_variant.plain.images.value)
    for _, one in ipairs(results.runs) do
      local shown = file.read(one.folder .. "/tables/robustness.txt")
      assert.is_truthy(shown:find("linf", 1, true) and shown:find "PASS", shown)
    end
  end)

  it("Fig. 3: a curve for each colour change, from the networks of Table 2", function()
    local r, results = run "fig3"
    local _, shared = r.out:gsub("start: [^\n]*was there already", "")
    assert.equal(4, shared, "the networks that Table 2 has trained")
    local trained = 0
    for entry in lfs.dir(root) do
      local params = json.read(root .. "/" .. entry .. "/params.json")
      if params and params.measure == "training" then trained = trained + 1 end
    end
    assert.equal(5, trained, "base and four variants, each trained once")
    assert.equal(4, #results.tables[1].rows)
    for _, name in ipairs { "brightness", "contrast", "saturation", "hue" } do
      assert.is_truthy(file.exists(folder .. "/figures/ds-" .. name .. ".svg") or not require "plot".program())
    end
    -- Grey digits have neither hue nor saturation.
    assert.equal(0, results.tables[2].rows[1]["ds_relative/hue/2"].value)
    assert.is_true(results.tables[2].rows[1]["ds_relative/brightness/2"].value > 0)
  end)

  it("Fig. 4: accuracy, distance and smoothness over alpha", function()
    local _, results = run "fig4"
    local rows = results.tables[1].rows
    assert.same({ "0", "0.1", "1" }, { rows[1].alpha, rows[2].alpha, rows[3].alpha })
    for _, row in ipairs(rows) do
      assert.is_true(row.robust.value <= 100 and row.jacobian_relative.value > 0 and row["ds/sum/1"].value >= 0)
    end
  end)
end)
