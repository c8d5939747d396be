--- Checked option tables: defaults, messages, the nearest name.
local spec = require "spec"

local fields = {
  levels = spec.any { spec.choice { "paper" }, spec.list { spec.integer { min = 1, max = 4 } }, default = "paper" },
  limit = spec.integer { min = 1 },
  alpha = spec.number { min = 0, default = 1.0 },
  rate = spec.number { above = 0, below = 1 },
  stem = spec.choice { "cifar", "imagenet", default = "cifar" },
  shuffle = spec.flag { default = true },
  size = spec.integer { min = 1, required = true },
  band = spec.record { min = spec.number(), max = spec.number() },
}

local function sample(options)
  return (spec.check("sample", options, fields))
end

local function message(options)
  local ok, text = pcall(function() local kept = sample(options) return kept end)
  assert.is_false(ok)
  return text
end

describe("spec", function()
  it("fills defaults and leaves the caller's table alone", function()
    local given = { size = 3.0 }
    local options = sample(given)
    assert.same({ size = 3, alpha = 1.0, stem = "cifar", shuffle = true, levels = "paper" }, options)
    assert.equal("integer", math.type(options.size))
    assert.same({ size = 3.0 }, given)
  end)

  it("takes false for a flag whose default is true", function()
    assert.is_false(sample { size = 1, shuffle = false }.shuffle)
  end)

  it("says what it expected and what it got", function()
    local cases = {
      { { size = 0 }, "sample: size expects an integer of at least 1, got 0" },
      { { size = 1.5 }, "sample: size expects an integer of at least 1, got 1.5" },
      { { size = "big" }, 'sample: size expects an integer of at least 1, got "big"' },
      { {}, "sample: size is required: an integer of at least 1" },
      { { size = 1, alpha = 0 / 0 }, "sample: alpha expects a number of at least 0, got nan" },
      { { size = 1, alpha = math.huge }, "sample: alpha expects a number of at least 0, got inf" },
      { { size = 1, rate = 1 }, "sample: rate expects a number above 0 and below 1, got 1" },
      { { size = 1, stem = "cifra" },
        'sample: stem expects one of "cifar", "imagenet", got "cifra"; did you mean "cifar"%?' },
      { { size = 1, shuffle = 1 }, "sample: shuffle expects true or false, got 1" },
      { { size = 1, levels = { 1, 5 } },
        'levels expects "paper", or a list %(each: an integer from 1 to 4%), got { 1, 5 }' },
      { { size = 1, band = { mni = 1 } }, 'got a table: unknown option "mni"; did you mean "min"%?' },
      { { size = 1, limits = 3 }, 'sample: unknown option "limits"; did you mean "limit"%?' },
      { { size = 1, [1] = "x" }, 'sample: unexpected value "x" at place 1' },
    }
    for _, case in ipairs(cases) do assert.matches(case[2], message(case[1])) end
    assert.matches("sample: expected a table of options, got 3; did you mean { size = ... }%?", message(3))
  end)

  it("names the option that a value in the place of all of them was meant for", function()
    local function problem(value, known) return select(2, spec.examine(value, known)) end
    local thing = setmetatable({ inner = 1 }, { __name = "thing" })
    local a_thing = spec.value { "thing" }
    assert.equal("expected a table of options, got a table (thing); did you mean { like = ... }?",
      problem(thing, { like = a_thing, size = spec.number() }))
    assert.equal("expected a table of options, got a table (thing)", problem(thing, { a = a_thing, b = a_thing }))
    assert.equal("expected a table of options, got a table (thing)", problem(thing, { size = spec.number() }))
    assert.is_nil(problem(setmetatable({ size = 1 }, {}), { size = spec.number() }))
  end)

  it("checks tables under names of the user's", function()
    local maps = { paper = spec.map { spec.number(), any_key = true }, scales = spec.map { spec.map {} } }
    local function problem(options) return select(2, spec.examine(options, maps)) end
    assert.is_nil(problem { paper = { plain = 96.01, [2] = 1, [true] = 0 }, scales = { a = { b = {} } } })
    assert.equal('paper expects a table of names and values (each: a number), got "x" at "plain"',
      problem { paper = { plain = "x" } })
    assert.equal("paper expects a table of names and values (each: a number), got 1 at a table",
      problem { paper = { [{ {} }] = 1 } })
    assert.matches('got 3 at "small"', problem { scales = { small = 3 } }, 1, true)
    assert.matches('got 4 at "small" at 1', problem { scales = { small = { 4 } } }, 1, true)
    assert.matches("scales expects a table of names and values", problem { scales = 3 }, 1, true)
  end)

  it("lets what only a run will know pass for anything", function()
    local kinds = { size = spec.integer(), list = spec.list { spec.integer() }, map = spec.map { spec.integer() } }
    local given = { size = spec.unknown, list = { 1, spec.unknown }, map = { a = spec.unknown } }
    assert.same(given, spec.examine(given, kinds))
    assert.is_nil(spec.examine({ list = { "x", spec.unknown } }, kinds))
  end)

  it("raises at the caller's line", function()
    local line
    local ok, text = pcall(function()
      line = debug.getinfo(1, "l").currentline + 1
      local _ = sample { size = 0 }
    end)
    assert.is_false(ok)
    assert.matches("spec_spec.lua:" .. line .. ": ", text, 1, true)
  end)

  it("finds the nearest name, and none when nothing is near", function()
    local names = { "alpha", "epochs", "seed", "variant" }
    assert.equal("alpha", spec.nearest("alhpa", names))
    assert.equal("epochs", spec.nearest("epoch", names))
    assert.equal("seed", spec.nearest("SEED", names))
    assert.equal("seed", spec.nearest("sede", names))
    assert.equal("variant", spec.nearest("vari", names))
    assert.is_nil(spec.nearest("momentum", names))
    assert.is_nil(spec.nearest(("alpha"):rep(20), names))
    assert.is_nil(spec.nearest("x", {}))
    assert.equal('; did you mean "variant"?', spec.suggest("varaint", names))
    assert.equal("; known: alpha, epochs, seed, variant", spec.suggest("momentum", names))
  end)
end)
