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
    local r = session('{ 1, "two", x = { 3, 0.5 }, y = { z = 3, { "a" }, {} }, [4.5] = true }',
      "nn.zeros{2, 3}", "t = {}", "t.t = t", "t")
    assert.matches('^{ 1, "two", %[4%.5%] = true, x = { 3, 0.5 }, y = { { "a" }, {}, z = 3 } }\n', r.out)
    assert.matches("\n{ t = { t = { t = { t = table: %S+ } } } }\n$", r.out)
    contains("2x3", r.out)
    assert.matches("^image: .*enlarge, .*grid, .*save\n", session("image").out)
  end)

  it("ends at the first entry that fails, and says its line", function()
    assert.same({ code = 1, out = "1\n", err = "penumbra: stdin:2: first\n" }, session("1", "error 'first'", "3"))
    assert.same({ code = 1, out = "", err = [[
penumbra: stdin:1: unexpected symbol near '='
  stdin:1  x = = 1
]] }, session("x = = 1", "3"))
    -- A NUL byte ends no line.
    assert.matches("^penumbra: stdin:1: unexpected symbol", session("_ = 1 \0 error 'unseen'", "3").err)
    assert.matches("^penumbra: stdin:3: attempt to index a nil value", session("local t = nil", "", "t.x").err)
    local r = program.run({ "--traceback" }, "error 'first'\n")
    assert.equal(1, r.code)
    assert.matches("\nstack traceback:\n", r.err)
  end)

  it("shows the lines that led to an error", function()
    assert.equal([[
penumbra: stdin:2: attempt to index a nil value (field 'y')
  stdin:2  in f  return x.y.z
  stdin:5  in g  f{}
  stdin:8        g()
]], session("function f(x)", "  return x.y.z", "end", "function g()", "  f{}", "end", "", "g()").err)
    local deep = session("function f(n) if n == 0 then error 'deep' end return (f(n - 1)) end", "f(100)").err
    assert.matches("^penumbra: stdin:1: deep\n", deep)
    assert.matches("\n  %.%.%.%s+96 more\n$", deep)
    assert.matches("stack overflow", session("function f() return 1 + f() end", "f()").err)
    local own_text = "local M = {}\nfunction M.f(x)\n  return x + {}\nend\nreturn M\n"
    program.with_files({ ["own.lua"] = own_text }, function(folder)
      local own = session(("package.path = %q"):format(folder .. "/?.lua"), 'own = require "own"', "own.f(1)").err
      assert.matches("\n  /%S*/own%.lua:3  in %S*f  return x %+ {}\n  stdin:3%s+own%.f%(1%)\n$", own)
    end)
  end)

  it("tells of an entry that never ends", function()
    assert.matches("^penumbra: stdin:1: unexpected symbol near <eof>\n", session("f(").err)
  end)

  it("has modules by name, and help", function()
    local r = session("nn.version", "?Conv2d", "help(nn.Linear)", 'help "spec.nearest"', "help(42)")
    contains("nn.Conv2d(in_channels", r.out)
    contains("nn.Linear(in_features", r.out)
    contains("spec.nearest(word, list)", r.out)
    assert.equal("penumbra: stdin:5: help: nothing is written about this number\n", r.err)
  end)

  it("shows models as tables of layers", function()
    local out = session("models.lenet { classes = 10, channels = 1 }").out
    assert.matches("\nconv1%s+Conv2d%s+28x28x6%s+156%s+239,904\n", out)
    assert.matches("\nlenet: 61,706 parameters, 852 kFLOP for 28x28x1\n$", out)
    out = session("models.resnet50 { classes = 10 }:freeze 'layer1'").out
    assert.matches("\n  0%s+Residual %*%s+32x32x256%s+75,008%s+%d+ M\n", out)
    assert.matches("\n%d+ layers in all: [^\n]+\n$", out)
    local _, lines = out:gsub("\n", "")
    assert.is_true(lines < 48)
    assert.matches("\n0%s+Linear%s+8\n", session("nn.Sequential { nn.Linear(3, 2) }").out)
  end)

  it("does not flood the screen", function()
    local r = session("('x'):rep(1e6)", "local t = {} for i = 1, 1e5 do t[i] = i end", "t", "{ t, ('y'):rep(1e6) }")
    assert.equal(0, r.code)
    assert.is_true(#r.out < 6000, #r.out)
    assert.matches("\n%.%.%. 1 MB in all\n", r.out)
  end)

  it("times, weighs and reloads", function()
    program.with_files({ ["own.lua"] = "return { n = 1 }\n" }, function(folder)
      local r = session(("package.path = %q"):format(folder .. "/?.lua"), 'own = require "own"',
        ("io.open(%q, 'w'):write 'return { n = 2 }':close()"):format(folder .. "/own.lua"), "own.n", ":reload own",
        "own.n", "require 'own' == own", ":time 1 + 1", ":time for i = 1, 10 do end", ":mem", ":help")
      assert.equal("", r.err)
      assert.matches("\n1\nown, from /%S+/own%.lua\n2\ntrue\n[%d.]+ [nµ]s, the best of %d+ runs\n", r.out)
      assert.matches("\ntensors%s+[%d.]+ %a+ in %d+\n", r.out)
      assert.matches("\n  :reload MODULE%s", r.out)
    end)
    assert.equal('penumbra: unknown word ":tiem"; did you mean ":time"?\n', session(":tiem 1").err)
    assert.equal("penumbra: :reload: nn is a part of the program\n", session(":reload nn").err)
    assert.same({ code = 0, out = "1\n", err = "" }, session("1", ":quit", "2"))
  end)
end)

-- ---- in a terminal ----

local state = os.tmpname()
os.remove(state)

--- Types a script of tests/cli/terminal.c at the program; gives what appeared. A window of 24 x 80 characters.
local function typed(script, environment)
  local r = program.shell(([[
    unset COLUMNS NO_COLOR COLORTERM TMUX TERM_PROGRAM KITTY_WINDOW_ID PENUMBRA_GRAPHICS
    XDG_STATE_HOME=%s TERM=xterm HOME=/nonexistent %s %s 24 80 "$PENUMBRA"]]):format(program.quote(state),
    environment or "", program.quote(program.path:match "^(.*)/" .. "/tests/terminal")), script)
  if r.code == 77 then pending(r.err) end
  assert.equal("", r.err, r.out)
  return r.out
end

describe("the prompt in a terminal", function()
  local edits = program.run({ "-e", "print(require 'host'.edits)" }).out == "true\n"
  local function editing()
    if not edits then pending "this build has no libedit" end
  end
  teardown(function() os.execute("rm -rf " .. program.quote(state)) end)

  it("shows a banner and prompts, and goes on after an error", function()
    local out = typed [[
expect 5 >\x20
send 1 +\n
expect 10 >>\x20
send 1\n
expect 10 2
expect 10 >\x20
send error "mine"\n
expect 10 penumbra: stdin:3: mine
expect 10 >\x20
send "alive"\n
expect 10 alive
expect 10 >\x20
send \x04
end 10 0
plain]]
    assert.matches("^Penumbra %d+%.%d+%.%d+ %(Lua 5%.4", out)
  end)

  it("completes", function()
    editing()
    typed [[
expect 5 >\x20
send x = nn.unif\t{2, 3}\n
expect 10 >\x20
send x:matm\t
expect 10 ul
send (x:transpose(1, 2))\n
expect 10 float [2x2]
expect 10 >\x20
send x:a\t
expect 10 argmax
expect 10 > x:a
send bs()[1][1]\n
expect 10 float []
expect 10 >\x20
send x.sha\t[2]\n
expect 10 3
expect 10 >\x20
send image.load "tests/cli/pro\t
expect 10 tests/cli/pro
send gr\t
expect 10 am.lua"
send \x03
expect 10 >\x20
send :rel\tmod\t
expect 10 els
send \x03
expect 10 >\x20
send nosuch.thi\t
wait 0.1
send \x03
expect 10 >\x20
send \x04
end 10 0]]
  end)

  it("remembers what was typed, entries of several lines as one, also in the next session", function()
    editing()
    typed [[
expect 5 >\x20
send kept = "grüße"\n
expect 10 >\x20
send for i = 1, 2 do\n
expect 10 >>\x20
send print(i * 100 + 11)\n
expect 10 >>\x20
send end\n
expect 10 211
expect 10 >\x20
send \e[A
wait 0.1
send \n
expect 10 211
expect 10 >\x20
send \x04
end 10 0]]
    typed [[
expect 5 >\x20
send "other"\n
expect 10 other
expect 10 >\x20
send \e[A
wait 0.1
send \e[A
wait 0.1
send \n
expect 10 111
expect 10 211
expect 10 >\x20
send \x12kept
wait 0.1
send \n
expect 10 >\x20
send kept\n
expect 10 grüße
expect 10 >\x20
send \x04
end 10 0]]
    local lfs = require "lfs"
    assert.equal("rw-------", lfs.attributes(state .. "/penumbra/history", "permissions"))
    local file = assert(io.open(state .. "/penumbra/history"))
    local text = file:read "a"
    file:close()
    contains('kept = "grüße"\n', text)
    contains("for i = 1, 2 do\\nprint(i * 100 + 11)\\nend\n", text)
  end)

  it("drops a line and stops a computation on Ctrl-C", function()
    typed [[
expect 5 >\x20
send 1 + nonsense
wait 0.1
send \x03
expect 10 >\x20
send "alive"\n
expect 10 alive
expect 10 >\x20
send for i = 1, 3 do\n
expect 10 >>\x20
wait 0.1
send \x03
expect 10 >\x20
send x = nn.uniform{64, 64} while true do x:matmul(x) end\n
wait 0.3
send \x03
expect 10 interrupted
expect 10 >\x20
send x = nn.zeros{4096, 4096} x:matmul(x):matmul(x):matmul(x)\n
wait 0.5
send \x03
expect 10 interrupted
expect 10 >\x20
send x[1][1]\n
expect 10 float []
expect 10 >\x20
send \x04
end 10 0
plain]]
  end)

  it("gives the terminal back whatever ends it", function()
    editing()
    for _, signal in ipairs { 15, 1, 3 } do
      typed(("expect 5 >\\x20\nsend half a li\nexpect 10 li\nsignal %d\nend 10 %d\nplain\n"):format(
        signal, 128 + signal))
    end
    typed "expect 5 >\\x20\nsend os.exit(7)\\n\nend 10 7\nplain\n"
    typed "expect 5 >\\x20\nsend :quit\\n\nend 10 0\nplain\n"
  end)

  it("comes back after it was stopped, and follows the window's size", function()
    editing()
    typed [[
expect 5 >\x20
send 40 +
expect 10 40 +
signal 20
wait 0.2
plain
signal 18
expect 10 40 +
size 24 40
wait 0.1
send  2\n
expect 10 42
expect 10 >\x20
send require "terminal".width()\n
expect 10 40
expect 10 >\x20
send \x04
end 10 0]]
  end)

  it("draws pictures as the terminal can", function()
    -- A session that shows a picture of two colours; `answer` is what the terminal says when it is asked.
    local function drawn(environment, answer)
      return typed("expect 5 >\\x20\nsend x = nn.tensor{{{1, 0, 0}, {0, 0, 1}}, {{0, 1, 0}, {1, 1, 1}}}\\n\n"
        .. "expect 10 >\\x20\nsend show(x)\\n\n" .. answer
        .. "expect 10 >\\x20\nsend \\x04\nend 10 0\nplain", environment)
    end
    local asked = "expect 10 \\e[c\nsend %s\n"
    local silent = drawn("COLORTERM=truecolor", asked:format "\\e[?62;22c")
    contains("\27[38;2;255;0;0;48;2;0;255;0m▀", silent)
    contains("\27[38;2;0;0;255;48;2;255;255;255m▀", silent)
    contains("\27_Gi=31", silent) -- the question that kitty would have answered
    contains("\27[38;5;196;48;5;46m▀", drawn("PENUMBRA_GRAPHICS=blocks", ""))
    assert.is_nil(drawn("NO_COLOR=1 PENUMBRA_GRAPHICS=blocks", ""):find("▀", 1, true))
    assert.is_nil(drawn("TERM=dumb", ""):find("\27[", 1, true))
    contains('\27P0;1q"1;1;256;256#0;2;0;0;0', drawn("", asked:format "\\e[?62;4;22c"))
    contains("\27_Ga=T,f=100,q=2,m=", drawn("", asked:format "\\e_Gi=31;OK\\e\\\\\\e[?62;22c"))
    contains("▀", drawn("COLORTERM=truecolor", "")) -- a terminal that does not answer
  end)
end)
