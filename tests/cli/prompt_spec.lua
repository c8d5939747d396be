--- The prompt, fed through a pipe and through a terminal.
package.path = "tests/cli/?.lua;" .. package.path
local program = require "program"

local function session(...)
  return program.run({}, table.concat({ ... }, "\n") .. "\n")
end

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

describe("the prompt", function()
  it("prints what an expression gives", function()
    assert.same({ code = 0, out = "3\nx\t2\nnil\n", err = "" }, session("1 + 2", '"x", 2', "nil"))
  end)

  it("prints nothing for a statement or a call without values", function()
    assert.equal("7\n", session("x = 7", "(function() end)()", "x").out)
  end)

  it("keeps the last value in _", function()
    assert.equal("4\n5\n", session("4", "_ + 1").out)
  end)

  it("goes on with unfinished input", function()
    assert.equal("1\n2\n7\n", session("for i = 1, 2 do", "  print(i)", "end", "3 +", "4").out)
  end)

  it("keeps locals that begin an entry", function()
    assert.equal("2\n3\n", session("local a, b = 1, 2", "local function f() return a + b end", "b", "f()").out)
  end)

  it("prints tables and tensors readably", function()
    local r = session('{ 1, "two", x = { 3, 0.5 }, y = { z = 3 }, [4.5] = true }', "nn.zeros{2, 3}")
    assert.matches('^{ 1, "two", %[4%.5%] = true, x = { 3, 0.5 }, y = table: %S+ }\n', r.out)
    contains("2x3", r.out)
    assert.matches("^image: .*enlarge, .*grid, .*save\n", session("image").out)
  end)

  it("survives errors and says their line", function()
    local r = session("error 'first'", "x = = 1", "=", "local t = nil", "t.x", "'alive'")
    assert.equal("alive\n", r.out)
    assert.equal(0, r.code)
    assert.matches("^penumbra: stdin:1: first\n", r.err)
    assert.matches("\npenumbra: stdin:2: ", r.err)
    assert.matches("\npenumbra: stdin:3: ", r.err)
    assert.matches("\npenumbra: stdin:5: attempt to index a nil value", r.err)
  end)

  it("tells of an entry that never ends", function()
    assert.equal("penumbra: stdin:1: unexpected symbol near <eof>\n", session("f(").err)
  end)

  it("has modules by name, and help", function()
    local r = session("nn.version", "?Conv2d", "help(nn.Linear)", 'help "spec.nearest"', "help(42)")
    contains("nn.Conv2d(in_channels", r.out)
    contains("nn.Linear(in_features", r.out)
    contains("spec.nearest(word, list)", r.out)
    assert.equal("penumbra: stdin:5: help: nothing is written about this number\n", r.err)
  end)

  it("shows a banner and prompts on a terminal only", function()
    if not os.execute "script -qec true /dev/null > /dev/null 2>&1" then pending "script(1) makes no terminal here" end
    local r = program.shell([[(sleep 0.3; printf '1 +\n1\n'; sleep 0.3) | script -qec "'$PENUMBRA'" /dev/null]])
    assert.matches("Penumbra %d+%.%d+%.%d+ %(Lua 5%.4", r.out)
    assert.matches("\r\n> .*>> .*2\r\n> ", r.out)
  end)
end)
