--- The command line: what runs, what it prints, and the exit code.
package.path = "tests/cli/?.lua;" .. package.path
local program = require "program"
local run, shell, with_files = program.run, program.shell, program.with_files

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

describe("options", function()
  it("--version names the program, Lua, BLAS, processor and threads", function()
    local r = run { "--threads", "1", "--version" }
    assert.equal(0, r.code)
    assert.matches("^penumbra   %d+%.%d+%.%d+", r.out)
    assert.matches("\nlua        Lua 5%.4", r.out)
    assert.matches("\nblas       OpenBLAS", r.out)
    assert.matches("\nprocessor  %S", r.out)
    assert.matches("\nthreads    1 of %d+\n$", r.out)
  end)

  it("--help and -h print the overview", function()
    assert.same(run { "help" }, run { "--help" })
    assert.same(run { "help" }, run { "-h" })
    contains("penumbra script.lua", run({ "-h" }).out)
  end)

  it("-e runs code, several in order, with every module at hand", function()
    local r = run { "-e", "x = 2", "-e", "print(x + 1, nn.version, json.encode{1})" }
    assert.same({ code = 0, out = "3\t" .. require "nn".version .. "\t[1]\n", err = "" }, r)
  end)

  it("--threads sets the team", function()
    assert.equal("3\n", run({ "--threads", "3", "-e", "print(nn.threads())" }).out)
  end)

  for _, count in ipairs { "0", "257", "two", "" } do
    it(("refuse --threads %q"):format(count), function()
      local r = run { "--threads", count, "-e", "" }
      assert.equal(2, r.code)
      assert.equal(('penumbra: --threads expects an integer from 1 to 256, got "%s"\n'):format(count), r.err)
    end)
  end

  it("name the nearest when unknown", function()
    assert.same({ code = 2, out = "", err = 'penumbra: unknown option "--verison"; did you mean "--version"?\n' },
      run { "--verison" })
  end)

  it("ask for the value that is missing", function()
    assert.same({ code = 2, out = "", err = "penumbra: -e expects a value\n" }, run { "-e" })
  end)

  it("end at --", function()
    with_files({ ["-x.lua"] = "print(...)" }, function(folder)
      assert.equal("-e\n", shell('cd ' .. folder .. ' && "$PENUMBRA" -- -x.lua -e').out)
    end)
  end)
end)

describe("commands", function()
  it("name the nearest when unknown", function()
    assert.same({ code = 2, out = "", err = 'penumbra: unknown command "hlep"; did you mean "help"?\n' },
      run { "hlep" })
  end)

  it("point to --help when nothing is near", function()
    local r = run { "zzzzzzzz" }
    assert.equal(2, r.code)
    contains('unknown command "zzzzzzzz"; penumbra --help', r.err)
  end)
end)

describe("help", function()
  for _, topic in ipairs { "overview", "command", "prompt", "environment", "ops", "layers", "modules", "errors",
                        "tensor", "model" } do
    it("has the topic " .. topic, function()
      local r = run { "help", topic }
      assert.same({ 0, "" }, { r.code, r.err })
      assert.is_true(#r.out > 60)
    end)
  end

  it("explains every operation and layer", function()
    local help, nn = require "help", require "nn"
    for _, list in ipairs { nn.ops(), nn.layers() } do
      for _, row in ipairs(list) do
        local text = help.text(row.name)
        assert.matches("^nn%." .. row.name .. "[({]", text)
        contains((row.doc:gsub("%s+", " ")), (text:gsub("%s+", " ")))
      end
    end
  end)

  it("explains a module that is called itself", function()
    assert.matches("\ntrain%(options%)\n.*\n  options  .*optimizer.*\n  train%.run%(", run({ "help", "train" }).out)
  end)

  it("explains methods, and the fields of their options", function()
    local text = run({ "help", "part:batches" }).out
    assert.matches("^part:batches%(options%?%)\n", text)
    assert.matches("\n  BatchOptions\n    size%? +integer, default 128\n", text)
    assert.matches("^model:load%(path, options%?%)\n", run({ "help", "model:load" }).out)
    assert.matches("\n  part:take%(n, seed%?%) ", run({ "help", "Part" }).out)
  end)

  it("finds a function by its last word, or lists all there are", function()
    assert.matches("^part:take%(n, seed%?%)", run({ "help", "take" }).out)
    assert.matches("\n  nn%.npz%.load%(path%).*\n  nn%.npz%.save%(", run({ "help", "npz" }).out)
    assert.matches('^"load" is one of these:\n.*image%.load.*model:load', run({ "help", "load" }).out)
  end)

  it("takes what a script would write", function()
    for topic, path in pairs { ["nn.conv2d(x, w)"] = "nn.conv2d", ["tensor:sum"] = "nn.sum", ["x:sum"] = "nn.sum",
                               ["Part.batches"] = "part:batches", ["perturb.hue(0.2)"] = "perturb.hue" } do
      contains(path .. "(", run({ "help", topic }).out:match "^[^\n]*")
    end
  end)

  it("explains commands", function()
    assert.matches("^Usage: penumbra sweep ", run({ "help", "sweep" }).out)
    assert.matches("\n  At the command line: penumbra data %-%-help\n", run({ "help", "data" }).out)
  end)

  it("lists what speaks of a word that is no topic", function()
    assert.matches('^No topic "antialias"; these speak of it:\n.*\n  image%.resize%(', run({ "help", "antialias" }).out)
  end)

  it("shows arguments, defaults and bounds", function()
    assert.matches("\n  stride%? +integer, default 1, >= 1\n", run({ "help", "Conv2d" }).out)
  end)

  it("names the nearest topic", function()
    assert.same({ code = 2, out = "", err = 'penumbra: help: no topic "Conv2e"; did you mean "Conv2d"?\n' },
      run { "help", "Conv2e" })
    assert.matches('^No topic "perturbations"; did you mean "Perturbation"%? These speak',
      run({ "help", "perturbations" }).out)
    assert.matches("^nn.Normalize%(", run({ "help", "normalize" }).out)
    contains('did you mean "conv2d"', run({ "help", "convd2" }).err)
    contains('did you mean "spec.nearest"', run({ "help", "spec.nearst" }).err)
    contains('did you mean "nn.zeros"', run({ "help", "nn.zeroes" }).err)
  end)

  it("takes one topic", function()
    assert.same({ code = 2, out = "", err = "penumbra: help: too many arguments; penumbra help --help says more\n" },
      run { "help", "loss", "data" })
  end)
end)

describe("a script", function()
  it("gets its arguments in arg and ...", function()
    with_files({ ["s.lua"] = "print(arg[0], #arg, arg[1], ...)" }, function(folder)
      local path = folder .. "/s.lua"
      assert.equal(path .. "\t2\ta b\ta b\t--c\n", run({ path, "a b", "--c" }).out)
    end)
  end)

  it("finds modules beside it, from any folder", function()
    local files = { ["s.lua"] = "print((require 'mine'), (require 'sub'))", ["mine.lua"] = "return 7",
                    ["sub/init.lua"] = "return 8" }
    with_files(files, function(folder)
      assert.equal("7\t8\n", run({ folder .. "/s.lua" }).out)
      assert.equal("7\t8\n", shell("cd " .. folder .. ' && "$PENUMBRA" s.lua').out)
    end)
  end)

  it("has no globals but Lua's", function()
    with_files({ ["s.lua"] = "print(nn, json, help)" }, function(folder)
      assert.equal("nil\tnil\tnil\n", run({ folder .. "/s.lua" }).out)
    end)
  end)

  it("may come from standard input", function()
    assert.equal("5\tx\n", run({ "-", "x" }, "print(2 + 3, ...)").out)
  end)

  it("that is missing exits with 1", function()
    assert.same({ code = 1, out = "", err = "penumbra: cannot open no/such.lua: No such file or directory\n" },
      run { "no/such.lua" })
  end)

  it("chooses its exit code", function()
    assert.equal(7, run({ "-e", "os.exit(7)" }).code)
  end)

  it("loads C modules", function()
    assert.equal("directory\n", run({ "-e", "print(require 'lfs'.attributes('.', 'mode'))" }).out)
  end)

  it("cannot be bytecode", function()
    with_files({ ["s.lua"] = string.dump(function() end) }, function(folder)
      assert.equal(1, run({ folder .. "/s.lua" }).code)
    end)
  end)
end)

describe("an error", function()
  local function failing(text, options)
    local result
    with_files({ ["colour.lua"] = text }, function(folder)
      result = shell(('cd %s && "$PENUMBRA" %s colour.lua'):format(folder, options or ""))
    end)
    return result
  end

  it("is one line with the script's position", function()
    assert.same({ code = 1, out = "", err = "penumbra: colour.lua:2: no\n" }, failing "local x = 1\nerror 'no'")
  end)

  it("of syntax too", function()
    assert.same({ code = 1, out = "", err = "penumbra: colour.lua:1: unexpected symbol near '='\n" }, failing "= 1")
  end)

  it("inside a module of ours is told at the user's line", function()
    local r = failing "local text = require 'text'\n\ntext.width(nil)"
    assert.equal(1, r.code)
    assert.matches("^penumbra: colour%.lua:3: attempt to index a nil value .* %(stdlib/text%.lua:%d+%)\n$", r.err)
  end)

  for code, hint in pairs {
    ["local loss = require 'loss'\nloss.cross_entropi()"] = "(field 'cross_entropi'); did you mean \"cross_entropy\"?",
    ["local model = {}\nmodell.x = 1"] = "(global 'modell'); did you mean \"model\"?",
    ["\ndata.open 'mnist'"] = "(global 'data'); it is a module: local data = require \"data\"",
    ["local t = { lr = 1 }\nt.le.x = 1"] = "(field 'le'); did you mean \"lr\"?",
    ["local t = { a = { deep = 1 } }\nprint(1 + t.a.dep)"] = "(field 'dep'); did you mean \"deep\"?",
    ["local nn = require 'nn'\nnn.zeros({ 2 }):sumn()"] = "a tensor has no field \"sumn\"",
    ["local x = require 'nn'.zeros { 2 }\nx:sumn()"] = "a tensor has no field \"sumn\"; did you mean \"sum\"?",
    ["local train = {}\nlocal t = {}\nt.tran()"] = "(field 'tran')",
    ["\npx(8)"] = "(global 'px'); it is perturb.px",
    ["\nx.y = 1"] = "(global 'x')",
  } do
    it("says what may have been meant by " .. code:gsub(".*\n", ""), function()
      local err = failing((code:gsub("^(.-)\n([^\n]*)$", "%1\n\n%2"))).err
      assert.equal(hint, err:sub(-#hint - 1, -2))
    end)
  end

  it("names the module that may have been meant", function()
    contains("colour.lua:1: module 'modls' not found; did you mean \"models\"?", failing("require 'modls'").err)
  end)

  it("shows a traceback when asked", function()
    assert.matches("^penumbra: colour.lua:1: no\nstack traceback:\n", failing("error 'no'", "--traceback").err)
    assert.matches("\nstack traceback:\n", shell('PENUMBRA_TRACEBACK=1 "$PENUMBRA" -e "error()"').err)
  end)

  it("may be any value", function()
    assert.equal("penumbra: (error object is a table value)\n", failing("error {}").err)
    assert.equal("penumbra: (error object is a nil value)\n", failing("error(nil)").err)
    assert.equal("penumbra: mine\n",
      failing("error(setmetatable({}, { __tostring = function() return 'mine' end }))").err)
  end)

  it("of an operation names the operation and the line", function()
    local r = failing "local nn = require 'nn'\nlocal t = nn.zeros{2, 3}\nnn.tensor{{1, 2}, {3}}"
    assert.equal(1, r.code)
    assert.matches("^penumbra: colour%.lua:3: tensor: ", r.err)
  end)

  it("is output that cannot be written", function()
    local r = shell '"$PENUMBRA" -e "print(1)" > /dev/full'
    assert.equal(1, r.code)
    contains("cannot write to standard output", r.err)
  end)
end)

describe("PENUMBRA_CPU", function()
  it("chooses the kernels", function()
    assert.equal("portable\n", shell('PENUMBRA_CPU=portable "$PENUMBRA" -e "print(nn.info().level)"').out)
  end)

  it("is refused when unknown, naming what there is", function()
    local r = shell 'PENUMBRA_CPU=mmx "$PENUMBRA" -e "print(1)"'
    assert.equal(1, r.code)
    assert.equal("", r.out)
    assert.matches('^penumbra: PENUMBRA_CPU: expected what this processor and build have, .*, got "mmx"\n$', r.err)
  end)
end)

describe("PENUMBRA_PATH", function()
  it("replaces embedded modules", function()
    with_files({ ["json.lua"] = "return 'mine'" }, function(folder)
      local r = shell(('PENUMBRA_PATH=%s "$PENUMBRA" -e "print(json, spec ~= nil)"'):format(folder))
      assert.equal("mine\ttrue\n", r.out)
    end)
  end)
end)

describe("workers of batches", function()
  local start = [[
    local train = data.synthetic { train = 4096, side = 16 }.train
    local function start() return train:batches { size = 16, workers = 3 } end
    kept = start()
    kept() ]]

  for name, case in pairs {
    ["the end"] = { "", 0, "" },
    ["an exit"] = { "os.exit(3)", 3, "" },
    ["an exit that closes"] = { "os.exit(4, true)", 4, "" },
    ["an error in their loop"] = { "for _ in start() do error('mine', 0) end", 1, "penumbra: mine\n" },
    ["an exit from their loop"] = { "for _ in start() do os.exit(5) end", 5, "" },
    ["the collector"] = { "for _ = 1, 20 do start()() end kept = nil collectgarbage()", 0, "" },
  } do
    it("are stopped by " .. name, function()
      assert.same({ code = case[2], out = "", err = case[3] },
        shell(('timeout 20 "$PENUMBRA" -e %s'):format(program.quote(start .. case[1]))))
    end)
  end
end)
