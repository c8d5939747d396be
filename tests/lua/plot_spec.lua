--- Charts drawn by gnuplot, and the file helpers under them.
local file = require "file"
local lfs = require "lfs"
local plot = require "plot"
local stats = require "stats"

local folder

local function interval(value, half)
  return stats.new { value = value, low = value - half, high = value + half }
end

local function sample(extra)
  local options = {
    path = folder .. "/deep/er/accuracy", title = "it's `touch " .. folder .. "/pwned` \"x\" $(id) {/Bold b}_2",
    y = { label = "accuracy (%)" }, categories = { "plain", "it's C" },
    series = { { name = "ours", values = { interval(91, 1), interval(95, 0.5) }, dots = { { 90.5, 91.5 }, { 95 } } } },
    marker = { name = "the paper", values = { 96.01, false } },
  }
  for key, value in pairs(extra or {}) do options[key] = value end
  return options
end

describe("plot", function()
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(file.make_folder(folder))
  end)
  teardown(function() os.execute("rm -r '" .. folder .. "'") end)

  local there = plot.program()
  local with_gnuplot = there and it or function(name) pending(name .. ": gnuplot is not installed") end

  with_gnuplot("draws SVG and PNG and leaves nothing else", function()
    for _, kind in ipairs { "bars", "points" } do
      local written = assert(plot[kind](sample()))
      assert.same({ folder .. "/deep/er/accuracy.svg", folder .. "/deep/er/accuracy.png" }, written)
      assert.equal("\137PNG\r\n\26\n", file.read(written[2]):sub(1, 8))
      local svg = file.read(written[1])
      for _, part in ipairs { "accuracy (%)", "the paper", "91.0", "plain" } do assert.matches(part, svg, 1, true) end
      local names = {}
      for name in lfs.dir(folder .. "/deep/er") do names[#names + 1] = name end
      assert.equal(4, #names) -- . and .. and the two
    end
  end)

  with_gnuplot("never runs what a text says", function()
    assert(plot.bars(sample { note = "`touch " .. folder .. "/pwned`", formats = { "svg" } }))
    assert.is_false(file.exists(folder .. "/pwned"))
    local svg = file.read(folder .. "/deep/er/accuracy.svg")
    assert.matches("{/Bold b}_2", svg, 1, true)
  end)

  with_gnuplot("draws lines with bands and gaps", function()
    local written = assert(plot.lines { path = folder .. "/lines", x = { label = "epoch" }, series = {
      { name = "a", points = { { 1, interval(2, 1) }, { 2, interval(3, 1) }, { 3, 0 / 0 }, { 4, 5 } } },
      { name = "b", points = { { 1, 1.0 }, { 2, 2.0 } } } } })
    assert.matches("epoch", file.read(written[1]), 1, true)
  end)

  with_gnuplot("says where it could not write", function()
    assert(file.write(folder .. "/plain-file", "x"))
    local written, message, code = plot.bars(sample { path = folder .. "/plain-file/x" })
    assert.is_nil(written)
    assert.matches("plain-file", message, 1, true)
    assert.equal("io", code)
  end)

  it("checks its options", function()
    assert.error_matches(function() plot.bars(sample { titel = "x" }) end,
      'unknown option "titel"; did you mean "title"')
    assert.error_matches(function() plot.lines { path = "x" } end, "plot.lines: series is required")
  end)
end)

describe("file", function()
  it("writes whole files, makes folders, splits paths", function()
    local base = os.tmpname()
    os.remove(base)
    assert(file.make_folder(base .. "/a/b"))
    assert(file.make_folder(base .. "/a/b"))
    assert(file.write(base .. "/a/b/x.json", "one"))
    assert(file.write(base .. "/a/b/x.json", "two"))
    assert.equal("two", file.read(base .. "/a/b/x.json"))
    assert(file.append_line(base .. "/a/b/x.json", "three"))
    assert.equal("twothree\n", file.read(base .. "/a/b/x.json"))
    local ok, message, code = file.write(base .. "/none/x", "y")
    assert.is_nil(ok)
    assert.matches("none", message)
    assert.equal("io", code)
    assert.is_nil((file.make_folder(base .. "/a/b/x.json/c")))
    os.execute("rm -r '" .. base .. "'")
    assert.same({ "a/b", "c.lua" }, { file.split("a/b/c.lua") })
    assert.same({ "", "c" }, { file.split("c") })
    assert.equal("table4", file.stem("scripts/table4.lua"))
    assert.equal(".hidden", file.stem(".hidden"))
  end)
end)
