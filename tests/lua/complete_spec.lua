--- What Tab completes at the prompt, and what is remembered of it.
local complete = require "repl.complete"
local data = require "data"
local file = require "file"
local history = require "repl.history"
local host = require "host"
local models = require "models"
local nn = require "nn"

local function found(line)
  local names, word = complete.candidates(line)
  return table.concat(names, " "), word
end

describe("completion", function()
  local function forbidden() error "the user's code was run" end
  local kept
  setup(function()
    kept = {}
    local values = {
      own_tensor = nn.zeros { 2, 3 },
      own_model = models.lenet { classes = 10 },
      own_set = data.synthetic(),
      own_table = setmetatable({ apple = 1, apricot = { inner = 2, [1] = { deep = 3 } }, ["not a name"] = 4 }, {
        __index = { avocado = forbidden }, __pairs = forbidden, __len = forbidden,
      }),
      own_guarded = setmetatable({ plain = 1 }, { __index = forbidden, __metatable = false }),
    }
    for name, value in pairs(values) do
      rawset(_G, name, value)
      kept[#kept + 1] = name
    end
  end)
  teardown(function()
    for _, name in ipairs(kept) do rawset(_G, name, nil) end
  end)

  local cases = {
    { "own_gua", "own_guarded" },
    { "print(own_mo", "own_model" },
    { "x = 1 + own_te", "own_tensor" },
    { "whi", "while" },
    { "own_table.", "apple apricot avocado" },
    { "own_table.ap", "apple apricot" },
    { "own_table:", "avocado" },
    { "own_table.apricot.in", "inner" },
    { "own_table.apricot[1].", "deep" },
    { 'own_table["apricot"].', "inner" },
    { "own_guarded.", "plain" },
    { "own_guarded.missing.", "" },
    { "own_tensor:tra", "transpose" },
    { "own_tensor.sha", "shape" },
    { "own_tensor[1]:toli", "tolist" },
    { "own_set.train:batch_", "batch_count" },
    { "own_model:lay", "layers" },
    { "own_model:sav", "save" },
    { "own_model:cla", "" },
    { "own_model.cla", "classes" },
    { "own_model.options.si", "size" },
    { "perturb.bri", "brightness" },
    { "loss.cross_", "cross_entropy" },
    { "sho", "show" },
    { "string.form", "format" },
    { "('%d'):form", "format" },
    { "f():form", "" },
    { "own_tensor.shape.", "" },
    { "5 .. own_gua", "own_guarded" },
    { "5 ..", "" },
    { "-- own_", "" },
    { "'-- ' .. own_gua", "own_guarded" },
    { 'require "probe.acc', "probe.accuracy" },
    { "require('probe.acc", "probe.accuracy" },
    { "?Conv2", "Conv2d" },
    { ":tim", "time" },
    { ":time nn.unifo", "uniform" },
    { ":reload probe.acc", "probe.accuracy" },
    { 'image.load "tests/cli/progr', "program.lua" },
    { "image.load 'tests/cl", "cli/" },
    { "image.load 'tests/nowhere/", "" },
    { "'it\\'s in tests/cli/progr", "" },
  }
  for _, case in ipairs(cases) do
    it(("of %s"):format(case[1]), function() assert.equal(case[2], (found(case[1]))) end)
  end

  it("inserts what is common, ends what is alone, lists what is left", function()
    assert.same({ "d" }, { complete.answer("own_tensor:ad", 80) })
    assert.same({ "", "apple    apricot  avocado" }, { complete.answer("own_table.a", 80) })
    assert.same({ "", "apple    apricot" }, { complete.answer("own_table.ap", 80) })
    assert.same({ "", "apple\napricot" }, { complete.answer("own_table.ap", 10) })
    assert.same({ 'am.lua"' }, { complete.answer('image.load "tests/cli/progr', 80) })
    assert.same({ "  " }, { complete.answer("  ", 80) })
    assert.same({ "" }, { complete.answer("nosuch.thing", 80) })
  end)
end)

describe("the history", function()
  local path = os.tmpname()
  before_each(function() os.remove(path) end)
  teardown(function() os.remove(path) end)

  it("loses its older half when it grows, whole lines at a time", function()
    for i = 1, 1000 do assert(host.append_shared(path, ("entry %d\n"):format(i), 2000)) end
    local text = file.read(path)
    assert.is_true(#text <= 2020)
    assert.matches("^entry %d+\n", text)
    assert.matches("\nentry 999\nentry 1000\n$", text)
    local at = tonumber(text:match "%d+")
    for number in text:gmatch "entry (%d+)\n" do
      assert.equal(at, tonumber(number))
      at = at + 1
    end
  end)

  it("loses nothing of several sessions", function()
    local children = {}
    for child = 1, 4 do
      local line = ("('%d %%d\\n'):format(i)"):format(child)
      local code = ("for i = 1, 200 do assert(require 'host'.append_shared(%q, %s, 1 << 20)) end"):format(path, line)
      children[child] = assert(host.spawn { nil, "-e", code }) -- our own program
    end
    for _, child in ipairs(children) do assert.equal(0, child:wait(20).code) end
    local next_of, lines = { 1, 1, 1, 1 }, 0
    for child, number in file.read(path):gmatch "(%d) (%d+)\n" do
      child, number = tonumber(child), tonumber(number)
      assert.equal(next_of[child], number)
      next_of[child], lines = number + 1, lines + 1
    end
    assert.equal(800, lines)
  end)

  it("says why a file cannot be added to", function()
    local ok, message, code = host.append_shared("/nonexistent/history", "x\n", 100)
    assert.is_nil(ok)
    assert.matches("^/nonexistent/history: ", message)
    assert.equal("io", code)
  end)

  it("stands in the user's state folder", function()
    assert.is_true(history.path() == nil or history.path():find "/penumbra/history$" ~= nil)
  end)
end)
