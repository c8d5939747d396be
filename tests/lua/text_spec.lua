--- Text as a terminal shows it: width, wrapping, numbers, tables.
local text = require "text"

describe("text", function()
  it("measures what a terminal shows", function()
    assert.equal(12, text.width("96.01 ± 0.38"))
    assert.equal(4, text.width("日本"))
    assert.equal(3, text.width("\27[1;31mred\27[0m"))
    assert.equal(1, text.width("e\u{301}"))
    assert.equal(2, text.width("\xff\xfe")) -- no UTF-8: bytes
  end)

  it("pads and cuts by width", function()
    assert.equal("±   |", text.pad("±", 4) .. "|")
    assert.equal("   ±", text.pad("±", 4, "right"))
    assert.equal(" ±  ", text.pad("±", 4, "centre"))
    assert.equal("abc…", text.cut("abcdef", 4))
    assert.equal("abcd", text.cut("abcd", 4))
    assert.equal("日…", text.cut("日本語", 4))
  end)

  it("wraps at spaces", function()
    assert.equal("one two\n  three\n  incomprehensible\n  x", text.wrap("one two three incomprehensible x", 9, "  "))
    assert.equal("", text.wrap(""))
  end)

  it("writes numbers as people do", function()
    assert.equal("2,496,088", text.count(2496088))
    assert.equal("-1,000", text.count(-1000))
    assert.equal("999", text.count(999))
    assert.equal("0.001", text.number(1e-3))
    assert.equal("1e-5", text.number(1e-5))
    assert.equal("1.5e9", text.number(1.5e9))
    assert.equal("12", text.number(12))
    assert.equal("0:09", text.duration(9.2))
    assert.equal("12:30", text.duration(750))
    assert.equal("3:05:00", text.duration(11100))
    assert.equal("?", text.duration(0 / 0))
  end)

  it("aligns tables", function()
    local lines = {}
    for line in (text.table({ "variant", "accuracy", { title = "note", align = "left" } },
      { { "plain", "96.01 ± 0.38", "日本" }, { "AUG", nil, "x" } }) .. "\n"):gmatch("(.-)\n") do
      lines[#lines + 1] = line
    end
    assert.same({
      "variant       accuracy   note",
      "───────   ────────────   ────",
      "plain     96.01 ± 0.38   日本",
      "AUG                      x",
    }, lines)
  end)

  it("splits a table that is too wide, its first columns repeated", function()
    local columns = { "alpha", "seeds", "accuracy (%)", "ds" }
    local rows = { { "0", 3, "90.1 ± 0.5", 12 }, { "0.1", 3, "91.2 ± 0.3", 7 } }
    assert.equal([[
alpha   seeds   accuracy (%)   ds
─────   ─────   ────────────   ──
0           3     90.1 ± 0.5   12
0.1         3     91.2 ± 0.3    7]], text.table(columns, rows, { width = 33 }))
    assert.equal([[
alpha   seeds   accuracy (%)
─────   ─────   ────────────
0           3     90.1 ± 0.5
0.1         3     91.2 ± 0.3

alpha   seeds   ds
─────   ─────   ──
0           3   12
0.1         3    7]], text.table(columns, rows, { width = 32, keys = 2 }))
    -- What does not fit at all stands as it is.
    assert.equal(3 * 4, select(2, text.table(columns, rows, { width = 1 }):gsub("[^\n]+", "")))
  end)

  it("wraps cells that may be wrapped before it splits a table", function()
    local columns = { { title = "claim", wrap = true }, "verdict" }
    assert.equal([[
claim                        verdict
──────────────────────────   ───────
C has a lower score than       holds
augmentation alone]], text.table(columns, { { "C has a lower score than augmentation alone", "holds" } },
      { width = 36 }))
  end)

  it("aligns rows without a head, the last column wrapped or below", function()
    local rows = { { "  alpha", "1", "weight of the term" }, { "  epochs", "30", "" } }
    assert.equal("  alpha   1   weight of the term\n  epochs  30", text.columns(rows))
    rows[1][3] = "weight of the term that is added to the loss"
    assert.equal("  alpha   1   weight of the term that is\n              added to the loss\n  epochs  30",
      text.columns(rows, { width = 40 }))
    assert.equal("  alpha   1\n      weight of the term that is\n      added to the loss\n  epochs  30",
      text.columns(rows, { width = 34 }))
  end)

  it("counts, and tells what a stranger wrote", function()
    assert.equal("1 run", text.plural(1, "run"))
    assert.equal("1,200 studies", text.plural(1200, "study", "studies"))
    assert.equal("999,999", text.large(999999))
    assert.equal("1.25 G", text.large(1250000000))
    assert.equal("1 s", text.seconds(0.9999))
    assert.equal("380 µs", text.seconds(0.00038))
    assert.equal("a�b�", text.well_formed "a\xFFb\xC3")
    assert.equal("a?b�c�", text.tame "a\27b\u{9B}c\u{202E}")
  end)

  it("writes operations as people do", function()
    assert.equal("12.4 GFLOP", text.flops(12.4e9))
    assert.equal("1 TFLOP", text.flops(999.9e9))
    assert.equal("500 FLOP", text.flops(500))
  end)
end)
