--- What probes are told beside the model: a store for what they have so far, and a plain twin.
local data = require "data"
local file = require "file"
local loss = require "loss"
local models = require "models"
local optim = require "optim"
local probe = require "probe"
local probe_stores = require "train.probe_store"
local stats = require "stats"
local train = require "train"

describe("the store of a probe", function()
  local folder = os.tmpname()
  setup(function()
    os.remove(folder)
    assert(file.make_folder(folder))
  end)
  teardown(function() file.remove_folder(folder) end)

  local of = { name = "robustness", step = 3 }

  it("gives back what was set, also to who opens it again", function()
    local path = folder .. "/probes/1.jsonl"
    local store = probe_stores.open(path, of)
    assert.is_nil(store:get "a")
    assert.is_falsy(file.exists(path))
    local value = { numbers = { 0.1, 1 / 3, 0 / 0 }, list = { true, "x" }, mean = stats.interval { 1, 2, 4 } }
    store:set("a", value)
    store:set("b", { 1 })
    store:set("b", { 2 })
    local again = probe_stores.open(path, of)
    local found = again:get "a"
    assert.same({ 0.1, 1 / 3 }, { found.numbers[1], found.numbers[2] })
    assert.is_true(found.numbers[3] ~= found.numbers[3])
    assert.same({ { true, "x" }, tostring(value.mean) }, { found.list, tostring(found.mean) })
    assert.same({ 2 }, again:get "b")
  end)

  it("leaves out what a killed process half wrote, and what is of something else", function()
    local path = folder .. "/probes/2.jsonl"
    local store = probe_stores.open(path, of)
    store:set("a", { 1 })
    local whole = file.read(path)
    assert(file.write(path, whole .. '{"key":"b","val'))
    store = probe_stores.open(path, of)
    assert.same({ 1 }, store:get "a")
    assert.is_nil(store:get "b")
    store:set("c", { 3 })
    assert.same({ 3 }, probe_stores.open(path, of):get "c")
    assert.is_nil(probe_stores.open(path, { name = "robustness", step = 4 }):get "a")
    assert.is_falsy(file.exists(path))
    assert(file.write(path, '{"name":"robu'))
    assert.is_nil(probe_stores.open(path, of):get "a")
    assert.is_falsy(file.exists(path))
  end)

  it("outlives an interruption between two of its values, also in a run without steps", function()
    local calls, killed = {}, true
    local twin = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {}, seed = 9 }
    local slow = probe.new("slow", { batch = 64 }, function(_, _, _, _, context)
      for i = 1, 3 do
        local key = "part " .. i
        if not context.store:get(key) then
          calls[#calls + 1] = i
          if killed and i == 2 then error "cut off" end
          context.store:set(key, { i })
        end
      end
      assert(rawequal(context.twin, twin))
      return { metrics = {}, rows = {}, text = function() return "slow" end }
    end)
    local keepers = require "train.keeper"
    local function attempt()
      local keeper <close> = assert(keepers.open(folder .. "/run", { resume = "again", anew = "anew" }))
      return train.run({
        model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = {}, seed = 1 }, data = data.synthetic(),
        loss = loss.cross_entropy(), optimizer = optim.adam { lr = 1e-3 }, epochs = 0, probes = { slow },
      }, { keeper = keeper, progress = function() end, twin = function() return twin end })
    end
    assert.is_false((pcall(attempt)))
    killed = false
    assert.equal(0, attempt().steps)
    assert.same({ 1, 2, 2, 3 }, calls)
    assert.is_falsy(file.exists(folder .. "/run/probes"))
  end)
end)
