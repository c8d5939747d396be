--- `penumbra run`: the real experiment on a few digits, from the command to the folder.
package.path = "tests/cli/?.lua;" .. package.path
local json = require "json"
local lfs = require "lfs"
local program = require "program"

local few = { "scale=smoke", "limit=96", "test_limit=80", "probe_limit=20" }

local function table4(folder, ...)
  local words = { "run", "scripts/paper/table4.lua", "--out", folder, table.unpack(few) }
  for _, word in ipairs { ... } do words[#words + 1] = word end
  return program.run(words)
end

local function bytes(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- The folders of the runs of colour_mnist, sorted.
local function runs(folder)
  local list = {}
  for name in lfs.dir(folder) do
    if name:find "^colour_mnist%-" then list[#list + 1] = folder .. "/" .. name end
  end
  table.sort(list)
  return list
end

describe("penumbra run", function()
  local folder = os.tmpname()
  setup(function() os.remove(folder) end)
  teardown(function() os.execute("rm -rf " .. program.quote(folder)) end)

  it("makes Table 4", function()
    local r = table4(folder)
    assert.equal(0, r.code, r.err)
    for _, part in ipairs { "Table 4: Colour MNIST", "unstated in the paper, we chose", "plain", "AUG", "96.01",
                            "network and data size differ from the paper's", "C beats plain" } do
      assert.is_truthy(r.out:find(part, 1, true), part)
    end
    local made = assert(r.out:match "(%S+)/report%.txt")
    assert.equal("\137PNG\r\n\26\n", bytes(made .. "/figures/samples.png"):sub(1, 8))
    local results = assert(json.read(made .. "/results.json"))
    assert.equal(4, #results.claims)
    for _, row in ipairs(results.tables[1].rows) do
      for _, metric in ipairs { "accuracy", "ds", "ds_relative", "flips" } do
        assert.is_true(row[metric].low <= row[metric].value and row[metric].value <= row[metric].high, metric)
      end
    end
    assert.equal(3, #runs(folder))
    for _, run in ipairs(runs(folder)) do
      local row = assert(json.decode(bytes(run .. "/metrics.jsonl"):match "[^\n]+"))
      assert.equal(1, row.epoch)
      assert.equal(80, #assert(json.read(run .. "/items.json")).accuracy)
    end
    -- No half-written file is left.
    for name in lfs.dir(made) do assert.is_truthy(name == "." or name == ".." or not name:find "^%.") end
  end)

  it("does not compute again what is there", function()
    local r = table4(folder, "variant=plain,C")
    assert.equal(0, r.code, r.err)
    local _, reused = r.out:gsub("was there already", "")
    assert.equal(2, reused)
    assert.equal(3, #runs(folder))
  end)

  it("gives the same bits again", function()
    local before = {}
    for i, run in ipairs(runs(folder)) do before[i] = bytes(run .. "/items.json") end
    assert.equal(0, table4(folder, "--fresh", "--quiet").code)
    for i, run in ipairs(runs(folder)) do assert.equal(before[i], bytes(run .. "/items.json")) end
  end)

  it("says what is wrong, and with which exit code", function()
    local r = table4(folder, "alhpa=1")
    assert.same({ 2, "" }, { r.code, r.out })
    assert.equal('penumbra: unknown parameter "alhpa" in table4.lua; did you mean "alpha"?\n', r.err)
    r = program.run { "run", "scripts/paper/none.lua" }
    assert.equal(1, r.code)
    assert.is_truthy(r.err:find("scripts/paper/none.lua", 1, true))
    r = program.run { "run" }
    assert.equal(2, r.code)
    assert.is_truthy(r.err:find('run: missing argument "FILE"', 1, true))
  end)
end)
