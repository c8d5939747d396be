--- The progress line on a terminal and elsewhere, with a clock of the test's own.
local progress = require "progress"
local text = require "text"

local function sink()
  local parts = {}
  return {
    write = function(self, ...)
      for _, part in ipairs { ... } do parts[#parts + 1] = part end
      return self
    end,
    flush = function() end,
    count = function() return #parts end,
    all = function() return table.concat(parts) end,
  }
end

describe("progress", function()
  local now
  local function make(options)
    now = 0
    options.clock, options.stream = function() return now end, sink()
    return progress.new(options), options.stream
  end

  it("tells share, rate and time left", function()
    local bar = make { label = "C, seed 1", total = 1000, terminal = true, width = 100 }
    for i = 1, 10 do
      now = i
      bar:update(i * 25)
    end
    local line = bar:line()
    assert.matches("C, seed 1", line, 1, true)
    assert.matches(" 25 %  25 images/s  0:30 left", line, 1, true)
    assert.matches("██████░", line, 1, true)
    assert.is_true(text.width(line) <= 99)
  end)

  it("redraws at most ten times a second on a terminal", function()
    local bar, stream = make { total = 1000, terminal = true }
    for i = 1, 1000 do
      now = i / 1000
      bar:update(i)
    end
    local _, drawn = stream.all():gsub("\r", "")
    assert.is_true(drawn >= 9 and drawn <= 11, drawn)
    bar:finish()
    assert.equal("\r\27[K", stream.all():sub(-4))
  end)

  it("writes few plain lines elsewhere, and none for what is over at once", function()
    local bar, stream = make { label = "train", total = 100, terminal = false }
    for i = 1, 100 do
      now = i
      bar:update(i)
    end
    bar:finish()
    local _, lines = stream.all():gsub("\n", "")
    assert.is_true(lines >= 2 and lines <= 6, lines)
    assert.is_nil(stream.all():find("[\r\27]"))
    bar, stream = make { total = 10, terminal = false }
    now = 1
    bar:update(10)
    bar:finish()
    assert.equal("", stream.all())
  end)

  it("is taken away when an error ends what it shows", function()
    local bar, stream = make { total = 10, terminal = true }
    pcall(function()
      local shown <close> = bar
      now = 1
      shown:update(5)
      error "stop"
    end)
    assert.equal("\r\27[K", stream.all():sub(-4))
  end)

  it("is silent when quiet", function()
    local bar, stream = make { total = 10, terminal = true, quiet = true }
    now = 5
    bar:update(5)
    bar:finish(true)
    assert.equal("", stream.all())
  end)

  it("leaves out what matters less where the terminal is narrow", function()
    local function line(width)
      local bar = make { label = "colour_mnist", total = 100, unit = false, terminal = true, width = width }
      now = 10
      bar:update(25, nil, "epoch 1/3  514 images/s  loss 2.21 (cross_entropy 2.18 + continuity 0.0267)")
      assert.is_true(text.width(bar:line()) <= width - 3)
      return bar:line()
    end
    assert.matches("░   25 %  0:30 left  epoch 1/3  514 images/s  loss 2.21 (cross_entropy 2.18 + ", line(130), 1, true)
    assert.matches("░   25 %%  0:30 left  epoch 1/3  514 images/s  loss 2.21$", line(90))
    assert.matches("colour_mnist  ██.*░   25 %%  0:30 left  epoch 1/3  loss 2.21$", line(72))
    assert.equal("colour_mnist   25 %  0:30 left  epoch 1/3  loss 2.21", line(60))
    assert.matches("^colour_mnist   25 %%  0:30 left  epoch 1/3", line(50))
  end)

  it("does not count for the rate what was done before", function()
    local bar = make { total = 1000, terminal = true, width = 80 }
    bar:go_on(500)
    now = 10
    bar:update(510)
    assert.matches(" 51 %  1.0 images/s  8:10 left", bar:line(), 1, true)
  end)

  it("keeps to the width on a narrow terminal", function()
    local bar = make { label = "a very long label of a very long thing", total = 10, terminal = true, width = 40 }
    now = 1
    bar:update(3)
    assert.is_true(text.width(bar:line()) <= 39)
  end)
end)
