-- Parameters of recipes: what they may be, how they are read from the command line, and as data.
local param = require "param"

-- What a text comes to, or what is wrong with it.
local function read(this, text)
  local value, problem = this:parse(text)
  if value == nil then return problem end
  return value
end

describe("a parameter", function()
  it("has a default, first or by name", function()
    assert.equal(1.0, param.number({ 1 }).default)
    assert.equal("float", math.type(param.number({ 1 }).default))
    assert.equal(3, param.integer({ default = 3 }).default)
    assert.equal("b", param.choice({ "a", "b", default = "b" }).default)
    assert.equal("a", param.choice({ "a", "b" }).default)
    assert.is_false(param.flag({ false }).default)
    assert.same({ 1, 2 }, param.list({ { 1, 2 }, of = param.integer() }).default)
    assert.is_nil(param.path().default)
    assert.equal("weight", param.number({ 1, doc = "weight" }).doc)
  end)

  it("is read from the command line", function()
    assert.equal(0.5, read(param.number { 1 }, "0.5"))
    assert.equal(1e-3, read(param.number { 1 }, "1e-3"))
    assert.equal(7, read(param.integer { 1 }, "7"))
    assert.equal(7, read(param.seed { 1 }, "7"))
    for text, value in pairs { yes = true, no = false, ON = true, ["0"] = false } do
      assert.equal(value, read(param.flag { true }, text))
    end
    assert.equal(2, read(param.choice { 1, 2, "x" }, "2"))
    assert.equal("x", read(param.choice { 1, 2, "x" }, "x"))
    assert.same({ 1, 4 }, read(param.list { { 1 }, of = param.integer { max = 4 } }, "1, 4"))
    assert.same({}, read(param.list { { 1 }, of = param.integer() }, ""))
    assert.same({ "a", 2 }, read(param.list { {} }, "a,2"))
    assert.equal("a b", read(param.path(), "a b"))
  end)

  it("says what it expects", function()
    local cases = {
      { param.number { 1, min = 0 }, "-1", "expects a number of at least 0, got -1" },
      { param.number { 1 }, "much", 'expects a number, got "much"' },
      { param.number { 0.5, above = 0, below = 1 }, "1", "expects a number above 0 and below 1, got 1" },
      { param.integer { 1, min = 1, max = 4 }, "1.5", "expects an integer from 1 to 4, got 1.5" },
      { param.seed { 1 }, "-1", "expects an integer of at least 0, got -1" },
      { param.flag { true }, "maybe", 'expects true or false, got "maybe"' },
      { param.choice { "plain", "joint" }, "plian",
        'expects one of "plain", "joint", got "plian"; did you mean "plain"?' },
      { param.list { { 1 }, of = param.integer { min = 1 } }, "1,0",
        "expects a list (each: an integer of at least 1), got 0 at place 2" },
      { param.list { { 1 }, min = 1, max = 2 }, "1,2,3", "expects a list of 1 to 2, got { 1, 2, 3 }" },
      { param.list { { 1 }, min = 1 }, "", "expects a list of at least 1, got {}" },
      { param.list { {}, max = 2 }, "1,2,3", "expects a list of at most 2, got { 1, 2, 3 }" },
      { param.path(), "", 'expects a file name, got ""' },
    }
    for _, case in ipairs(cases) do assert.equal(case[3], read(case[1], case[2])) end
  end)

  it("is refused when it makes no sense", function()
    local cases = {
      { 'param.number: unknown option "mni"; did you mean "min"?', "number", { 1, mni = 0 } },
      { "param.number: the default expects a number of at least 0, got -1", "number", { -1, min = 0 } },
      { "param.integer: [1] expects an integer, got 1.5", "integer", { 1.5 } },
      { 'param.integer: min expects an integer, got "a"', "integer", { 1, min = "a" } },
      { "param.choice: expected the values to choose from", "choice", {} },
      { 'param.choice: the default expects one of "plain", "joint", got "c"', "choice",
        { "plain", "joint", default = "c" } },
      { "param.list: of expects a parameter, got 3", "list", { {}, of = 3 } },
      { "param.list: min expects an integer of at least 0, got -1", "list", { {}, min = -1 } },
      { "param.list: the default expects a list of at least 1, got {}", "list", { {}, min = 1 } },
      { "param.flag: [1] expects true or false, got 1", "flag", { 1 } },
    }
    for _, case in ipairs(cases) do
      local ok, message = pcall(function()
        local made = param[case[2]](case[3])
        return made
      end)
      assert.is_false(ok)
      assert.equal(case[1], (message:gsub("^[^:]*:%d+: ", "")))
    end
  end)

  it("is the same again from its description", function()
    for _, one in ipairs { param.number { 1, min = 0, below = 9, doc = "d" }, param.integer { default = 3, max = 4 },
                           param.seed { 1 }, param.flag { false }, param.choice { "a", 2, default = 2 }, param.path(),
                           param.list { { 1, 2 }, of = param.integer { min = 1 }, max = 3 } } do
      local again = assert(param.from(param.describe(one)))
      assert.same({ one.kind, one.doc, one.default, one.expects }, { again.kind, again.doc, again.default,
                                                                     again.expects })
      assert.is_true(again.place > one.place)
    end
    for _, wrong in ipairs { 3, {}, { kind = "number" }, { kind = "make", options = {} },
                             { kind = "list", options = { of = { kind = "list", options = {} } } },
                             { kind = "list", options = { of = 3 } }, { kind = "number", options = { "x" } } } do
      local made, problem = param.from(wrong)
      assert.is_nil(made)
      assert.is_string(problem)
    end
  end)
end)
