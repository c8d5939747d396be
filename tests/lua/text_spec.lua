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
end)
