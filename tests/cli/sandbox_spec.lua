--- What a recipe from a stranger may try: every known way out of a closed world in Lua, within 2 s; a child that was
--- taken over and answers what it likes; and that nothing is left behind.
local file <const> = require "file"
local host <const> = require "host"
local json <const> = require "json"
local lfs <const> = require "lfs"
local nn <const> = require "nn"
local plan <const> = require "plan"
local program <const> = require "tests.cli.program"
local sandbox <const> = require "sandbox"
local stats <const> = require "stats"
local study <const> = require "study"
local world <const> = require "world"

local LIMIT <const> = 3 -- seconds: 2 until a child is stopped, and what a busy machine takes for the rest
local SANITIZED <const> = nn.info().allocator ~= "caching" -- a slow build: time may run out before anything else

-- A recipe with this text in the place of its plan's loss.
local function with_loss(text)
  return 'return recipe { title = "x", plan = function(p) return { data = data.open "mnist", model = models.lenet '
    .. "{ classes = 10 }, optimizer = optim.adam { lr = 1 }, epochs = 1, loss = " .. text .. " } end }"
end

local function with_data(text)
  return 'return recipe { title = "x", plan = function(p) return { data = ' .. text
    .. ", model = models.lenet { classes = 10 }, optimizer = optim.adam { lr = 1 }, loss = loss.hinge() } end }"
end

local function with_plan(text)
  return 'return recipe { title = "x", plan = function(p) ' .. text .. " end }"
end

local TOO_LONG <const> = "^x%.lua: reading it took more than [12] s[%l ]*: stopped$"
local TOO_BIG <const> = "^x%.lua: reading it needs more than 64 MiB of memory$"
local function unknown(name) return '"' .. name .. '" is not known in a recipe' end

-- Name, text, and the message that it comes to (a pattern when it begins with ^).
local attempts <const> = {
  -- a quota that pcall swallows
  { "pcall around a loop", "while true do pcall(function() while true do end end) end", TOO_LONG },
  { "pcall around pcall", "local function f() while true do pcall(f) end end f()", "^x%.lua: reading it" },
  { "a goto", "::again:: goto again", TOO_LONG },
  { "a long for", "for i = 1, math.huge do end", TOO_LONG },
  { "a loop in the plan", with_plan "while true do end", TOO_LONG },
  { "a coroutine", "coroutine.wrap(function() while true do end end)()", unknown "coroutine" },
  -- functions in C that no hook interrupts
  { "a pattern that backtracks", '("a"):rep(5000):find((".-"):rep(30) .. "b$")', TOO_LONG },
  { "a repetition of nothing", 'string.rep("", 1 << 62)', TOO_LONG },
  { "a move of nothing", "table.move({}, 1, 1 << 62, 2)", TOO_LONG },
  { "a comparator that never agrees", "local t = {} for i = 1, 1e5 do t[i] = i % 7 end "
    .. "table.sort(t, function() return true end)", "invalid order function" },
  { "a slow comparator", "local t = { 1, 2 } table.sort(t, function() while true do end end)", TOO_LONG },
  { "a gsub that calls itself", 'local function f() return ("x"):gsub("x", f) end f()', "C stack overflow" },
  -- memory
  { "a long repetition", 'string.rep("x", 1 << 30)', TOO_BIG },
  { "a method of strings", '("x"):rep(1 << 30)', TOO_BIG },
  { "a substitution that grows", 'local s = ("x"):rep(1e6):gsub(".", ("y"):rep(1e4))', TOO_BIG },
  { "a string that doubles", 'local s = "x" while true do s = s .. s end', TOO_BIG },
  { "a table that grows", "local t = {} while true do t[#t + 1] = {} end", TOO_BIG },
  { "a long concatenation", 'local t = {} for i = 1, 1e6 do t[i] = ("x"):rep(100) end table.concat(t)', TOO_BIG },
  { "a long message", 'error(("x"):rep(3e7))', "^x%.lua: reading it" },
  { "a long title", 'return recipe { title = ("x"):rep(3e7), plan = type }', "^x%.lua: reading it" },
  { "many values", "table.unpack({}, 1, 1e8)", "too many results to unpack" },
  { "many code points", 'utf8.codepoint(("x"):rep(1e7), 1, -1)', "string slice too long" },
  { "a wide number", 'string.format("%99999d", 1)', "x.lua:1: invalid conversion" },
  { "a far place in a list", "table.insert({}, 1 << 60, 1)", "position out of bounds" },
  { "a list that is not there", 'table.concat({}, "x", 1, 1 << 60)', "invalid value (nil) at index 1" },
  -- the stack
  { "recursion", "local function f() return 1 + f() end f()", "^x%.lua" },
  { "deep parentheses", "return " .. ("("):rep(1e5), "C stack overflow" },
  { "deep tables", "return " .. ("{"):rep(1e5), "C stack overflow" },
  -- finalisers, metatables, strings
  { "a finaliser", "setmetatable({}, { __gc = function() while true do end end })", unknown "setmetatable" },
  { "a variable that closes", "local x <close> = nil; return 1", "expected the file to return recipe{...}" },
  { "a variable that closes with a function", "local x <close> = pcall", "got a non-closable value" },
  { "the metatable of strings", 'getmetatable("").__index = nil', unknown "getmetatable" },
  { "what strings can", 'return ("x").dump', "string.dump is not known in a recipe" },
  { "the methods of strings, taken away", 'string.rep = nil; string.format = error; return ("x"):rep(3)', 'got "xxx"' },
  { "rawset", "rawset(string, 1, 2)", unknown "rawset" },
  -- code, modules, the world
  { "bytecode", "\27Lua\x54\0\x19\x93", "attempt to load a binary chunk" },
  { "string.dump", "string.dump(type)", "string.dump is not known in a recipe" },
  { "load", 'load("return 1")', unknown "load" },
  { "the globals", "return _G", unknown "_G" },
  { "debug", "debug.getregistry()", unknown "debug" },
  { "require", 'require "io"', unknown "require" },
  { "package", "package.loadlib('x', '*')", unknown "package" },
  { "files", 'io.open "/etc/passwd"', unknown "io" },
  { "the system", 'os.execute "true"', unknown "os" },
  { "dofile", 'dofile "/etc/passwd"', unknown "dofile" },
  { "the collector", 'collectgarbage "stop"', unknown "collectgarbage" },
  { "print", 'print "x"', unknown "print" },
  { "an environment of its own", "local _ENV = {} x = os", "expected the file to return" },
  { "no environment", "local _ENV = nil; x = 1", "attempt to index a nil value" },
  { "chance", "math.random()", "math.random is not known in a recipe: what is random follows from a seed" },
  -- addresses
  { "addresses", 'error(tostring({}) .. tostring(type) .. ("%s%s"):format({}, pcall) .. tostring(param), 0)',
    "x.lua: a tablea functiona tablea functiona table" },
  { "the format of addresses", 'string.format("%-20p", {})', "%p is not known in a recipe" },
  { "an error that is a table", "error {}", "x.lua: an error that is no text" },
  -- plan values
  { "fields without end", 'local v = data.open "x" while true do v = v.a end', "^x%.lua: reading it" },
  { "a metamethod's name", with_data 'data.open("mnist").__index', "^x%.lua: .*a field without a name" },
  { "a text that doubles", "local l = loss.hinge() for i = 1, 64 do l = l + l end return tostring(l)",
    "^x%.lua: reading it" },
  { "a plan that doubles", with_plan("local l = loss.hinge() for i = 1, 64 do l = l + l end return { data = "
    .. 'data.open "mnist", model = models.lenet { classes = 10 }, optimizer = optim.adam { lr = 1 }, loss = l }'),
    "the plan says the same thing too often" },
  { "a deep plan", with_plan "local l = loss.hinge() for i = 1, 1e4 do l = l + 1 end return { loss = l }",
    "nested more than 400 deep" },
  { "a plan in itself", with_plan "local t = {} t.t = t return t", "or hold themselves" },
  { "a plan of functions", with_plan "return { loss = type }", "x.lua: plan: a function cannot be part of it" },
  { "a module in the plan", with_loss "loss", "x.lua: plan: a module cannot be part of it" },
  { "a call with a function", with_loss "loss.hinge { margin = type }", "a plan holds only constructors" },
  { "equality of plan values", "return loss.hinge() == loss.hinge() and 1", "got false" },
  { "order of plan values", "return loss.hinge() < loss.hinge()", "attempt to compare" },
  { "joining plan values", 'return loss.hinge() .. "x"', "attempt to concatenate" },
  { "pairs of a plan value", "for k in pairs(loss.hinge()) do error(k) end", "it has no elements yet" },
  { "setting a field of a plan value", "loss.hinge().x = 1", "its fields cannot be set" },
  { "changing a module", "loss.hinge = type", "loss cannot be changed in a recipe" },
  { "writing files", with_loss "models.lenet { classes = 10 }:save '/tmp/x'", "a recipe has no files" },
  { "reading files", with_loss "models.lenet { classes = 10 }:load '/tmp/x'", "a recipe has no files" },
  { "a probe that writes", with_loss "probe.logits { out = 'x.npy' }", "a recipe has no files" },
  { "another method", with_data "data.open('mnist').train:batches {}", 'method "batches": a plan only takes parts' },
  -- data outside the data folders
  { "a file of the system", with_data "data.open '/etc/passwd'",
    'x.lua:1: data.open: "/etc/passwd" lies outside the data folders, where a recipe may not look; '
      .. "--allow /etc/passwd allows it" },
  { "a folder above", with_data "data.open '..'", "lies outside the data folders" },
  { "this folder", with_data "data.open '.'", "lies outside the data folders" },
  { "a way up from the data", with_data "data.open((os_data or '') .. 'mnist/../../..')", '"os_data" is not known' },
  { "a folder of a kit", with_data "data.open('imagenet', { devkit = 'kit' })", '"kit" lies outside' },
  { "a source elsewhere", with_data "data.colour_mnist { source = '/etc' }", '"/etc" lies outside' },
  { "a device", with_data "data.open '/dev/zero'", '"/dev/zero" lies outside' },
  { "a name with a NUL", with_data "data.open '/etc\\0/passwd'", "control characters" },
  -- includes
  { "a file above", 'include "../../etc/passwd"', 'x.lua:1: include "../../etc/passwd": the name of a .lua file in' },
  { "a file at the root", 'include "/etc/passwd.lua"', "the name of a .lua file in the recipe's folder expected" },
  { "a hidden file", 'include ".secret.lua"', "the name of a .lua file in the recipe's folder expected" },
  { "a name with a NUL byte", 'include "a.lua\\0.lua"', "the name of a .lua file in the recipe's folder expected" },
  { "no name", "include(include)", "include: a file's name expected, got a function" },
  { "itself", 'include "x.lua"', 'include "x.lua": it includes itself' },
  { "a circle", 'include "a.lua"', 'x.lua: b.lua:1: include "a.lua": it includes itself', files = {
    ["a.lua"] = 'include "b.lua"', ["b.lua"] = 'include "a.lua"' } },
  { "what is not there", 'include "nothing.lua"', 'include "nothing.lua": there is no such file' },
  { "a link that leads out", 'include "link.lua"', "it leads out of the recipe's folder",
    shell = "ln -s /etc/passwd link.lua" },
  { "a folder that leads out", 'include "etc/passwd.lua"', "^x%.lua:1: include", shell = "ln -s /etc etc" },
  { "a pipe", 'include "pipe.lua"', "it is no file of at most 1 MiB", shell = "mkfifo pipe.lua" },
  { "a device by a link", 'include "zero.lua"', "it leads out of the recipe's folder",
    shell = "ln -s /dev/zero zero.lua" },
  { "a folder", 'include "sub.lua"', "it is no file of at most 1 MiB", shell = "mkdir sub.lua" },
  { "a large file", 'include "large.lua"', "it is no file of at most 1 MiB", shell = "truncate -s 3M large.lua" },
  { "bytecode in a file", 'include "code.lua"', "code.lua: attempt to load a binary chunk", files = {
    ["code.lua"] = "\27Lua" } },
  { "more files than are read", 'for i = 1, 100 do include(i .. ".lua") end', "a recipe includes at most 64 files",
    shell = "for i in $(seq 100); do echo 'return 1' > $i.lua; done" },
  -- what it says of itself
  { "no recipe", 'return { title = "x", plan = type }', "expected the file to return recipe{...} or study{...}" },
  { "a forged answer", 'return \'{"recipe":{"value":1}}\'', "expected the file to return" },
  { "a title that is none", "return recipe { title = 3, plan = type }", "title expects a string, got 3" },
  { "a parameter that is none", 'return recipe { title = "x", plan = type, params = { a = { kind = "number", '
    .. "test = type } } }", "parameter a expects param.number" },
  { "parameters without number", 'local t = {} for i = 1, 2000 do t["p" .. i] = param.flag { true } end '
    .. 'return recipe { title = "x", plan = type, params = t }', "more than 1000 parameters" },
  { "a parameter that is not a number", "param.number { 0 / 0 }", "expects a number, got nan" },
  { "choices that are functions", 'return recipe { title = "x", plan = type, params = { a = param.choice { {}, type '
    .. "} } }", "a function cannot be part of it" },
  { "a deep study", 'local t = {} for i = 1, 1e5 do t = { t } end return study { title = "x", recipe = "x", '
    .. "grid = { a = t } }",
    "nested more than 60 deep" },
  { "a study in itself", 'local t = {} t.t = t return study { title = "x", recipe = "x", grid = t }',
    "hold themselves" },
  { "a large study", 'local t = {} for i = 1, 2.5e5 do t[i] = i end return study { title = "x", recipe = "x", grid = '
    .. "{ a = t } }", "more than 200000 values" },
  { "tables for names", 'return study { title = "x", recipe = "x", grid = { a = { [{}] = 1 } } }',
    "cannot be the name of a" },
  { "a name of 3000 bytes", 'return study { title = "x", recipe = "y", grid = { [("a"):rep(3000)] = { 1 } } }',
    'unknown parameter "aaa', files = { ["y.lua"] = with_loss "loss.hinge()" } },
  { "a recipe elsewhere", 'return study { title = "x", recipe = "../y", grid = {} }', "the name of a recipe beside" },
}

-- What this process has started and not reaped, or nil where nobody says.
local function children()
  local handle <close> = io.open(("/proc/self/task/%s/children"):format(lfs.symlinkattributes("/proc/self", "target")))
  return handle and handle:read "a"
end

-- Reads a recipe, and makes its plan when it can be read; the message, or what came of it.
local function read(path, options)
  local value, message = world.load(path, options)
  if not value then return message end
  if value.recipe then return "a study", value end
  local values = value:resolve {}
  local plans
  plans, message = value:make_plans { values }
  return message, value, plans
end

describe("a recipe from a stranger", function()
  local folder, before

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    before = children()
  end)
  before_each(function() assert(file.make_folder(folder)) end)
  after_each(function()
    file.remove_folder(folder)
    collectgarbage()
    assert.equal(before, children())
  end)

  local function write(name, text)
    assert(file.write(folder .. "/" .. name, text))
    return folder .. "/" .. name
  end

  for _, attempt in ipairs(attempts) do
    local name, text, expected = table.unpack(attempt)
    it("tries " .. name, function()
      for other, content in pairs(attempt.files or {}) do write(other, content) end
      if attempt.shell then assert(os.execute(("cd %s; %s"):format(program.quote(folder), attempt.shell))) end
      local path = write("x.lua", text)
      local names = {}
      for entry in lfs.dir(folder) do names[entry] = true end
      local from = host.clock()
      local message = read(path)
      local seconds = host.clock() - from
      assert.is_string(message)
      if SANITIZED and message:find(TOO_LONG) then expected = TOO_LONG end
      assert.matches(expected, message, 1, expected:sub(1, 1) ~= "^")
      assert.is_true(#message < 2000)
      assert.is_nil(message:find "%c", "one line")
      assert.is_nil(message:find "0x%x%x%x%x", "no address")
      assert.is_truthy(message:find("x.lua", 1, true) or message:find("a.lua", 1, true))
      assert.is_true(seconds < LIMIT, ("took %.2f s"):format(seconds))
      for entry in lfs.dir(folder) do assert.is_true(names[entry], entry .. " was left behind") end
    end)
  end

  it("is no device, pipe, folder or book", function()
    assert(os.execute(("cd %s; mkfifo pipe.lua; mkdir folder.lua; truncate -s 100M large.lua; ln -s /dev/zero zero.lua")
      :format(program.quote(folder))))
    for name, expected in pairs { pipe = "a file expected, found a named pipe", folder = "found a directory",
                                  zero = "found a char device",
                                  large = "a recipe has at most 1048576 bytes, this file has 104857600" } do
      local from = host.clock()
      local value, message = world.load(folder .. "/" .. name .. ".lua")
      assert.is_nil(value)
      assert.matches(expected, message, 1, true)
      assert.is_true(host.clock() - from < 1)
    end
  end)

  it("prints no escape sequences", function()
    local path = write("x.lua", 'return recipe { title = "a\27[2Jb\7\0\u{9b}31m\u{202e}c", '
      .. 'about = "d\27]0;e\7\\n\\tf", '
      .. 'params = { n = param.integer { 1, doc = "\27[31mdoc" } }, unstated = { "u\\r\27[A" }, '
      .. "plan = function() error('p\27[1m') end }")
    local value = assert(world.load(path))
    assert.equal("a�[2Jb���31m�c", value.title)
    assert.equal("d�]0;e�\n\tf", value.about)
    assert.equal("�[31mdoc", value.params.n.doc)
    local r = program.run { "run", path }
    assert.equal(1, r.code)
    assert.is_nil((r.out .. r.err):find "[^\n\t\32-\126\128-\255]")
    assert.matches("x.lua:1: p�[1m", r.err, 1, true)
  end)

  it("has names that mean nothing", function()
    local names = "__index = param.number { 1 }, __proto__ = param.flag { true }, __gc = param.text"
    local message = read(write("x.lua", 'return recipe { title = "x", params = { ' .. names .. " }, plan = type }"))
    assert.matches("param.text is not known in a recipe", message, 1, true)
    local _, value = read(write("x.lua", 'return recipe { title = "x", params = { '
      .. names:gsub("param%.text", "param.path { 'x' }") .. " }, plan = function(p) error(p.__index + 1) end }"))
    assert.same({ __index = 1.0, __proto__ = true, __gc = "x" }, value:resolve {})
    assert.matches("x.lua: 2.0", (read(folder .. "/x.lua")), 1, true)
  end)

  it("sees tables in one order", function()
    local text = "local t, out = { [3] = 1, b = 2, [1.5] = 3, a = 4, [true] = 5, [false] = 6, z = 7, [-1] = 8 }, {} "
      .. "for k in pairs(t) do out[#out + 1] = tostring(k) end local k = next(t) "
      .. 'while k ~= nil do out[#out + 1] = tostring(k) k = next(t, k) end error(table.concat(out, " "), 0)'
    local order = "-1 1.5 3 a b z false true"
    for _ = 1, 3 do assert.equal("x.lua: " .. order .. " " .. order, (read(write("x.lua", text)))) end
  end)

  it("finds its folder's files, and builds on other recipes", function()
    write("base.lua", [[
      local tools = include "sub/tools.lua"
      return recipe {
        title = "Base",
        params = { alpha = param.number { 1.0, doc = "weight" }, seed = param.seed { 1 } },
        plan = function(p)
          return { data = data.open "mnist", model = models.lenet { classes = 10, seed = p.seed },
                   loss = tools.weighted(p.alpha), optimizer = optim.adam { lr = 1e-3 } }
        end,
      }]])
    assert(file.make_folder(folder .. "/sub"))
    write("sub/tools.lua", "return { weighted = function(w) return w * loss.cross_entropy() end }")
    local path = write("x.lua", [[
      local base = include "base.lua"
      local params = { epochs = param.integer { 7, min = 1 } }
      for name, one in pairs(base.params) do params[name] = one end
      return recipe {
        title = base.title .. ", longer", params = params,
        plan = function(p)
          local plan = base.plan(p)
          plan.epochs = p.epochs
          return plan
        end,
      }]])
    local value = assert(world.load(path))
    assert.equal("Base, longer", value.title)
    assert.same({ "base.lua", "sub/tools.lua" }, { value.includes[1].name, value.includes[2].name })
    assert.same({ "alpha", "seed", "epochs" }, value:names())
    local made = assert(value:make_plan(assert(value:resolve { alpha = 0.5 })))
    assert.equal(7, made.epochs)
    assert.equal("0.5 * loss.cross_entropy()", plan.text(made.loss))
    -- What was read once is what is run, whatever becomes of the files.
    os.remove(folder .. "/sub/tools.lua")
    assert(value:make_plan(assert(value:resolve {})))
    assert.matches('base.lua:1: include "sub/tools.lua": there is no such file', (read(path)), 1, true)
  end)

  it("shares a folder with its study", function()
    write("one.lua", "return { 1, 2 }")
    write("two.lua", "return 3")
    write("x.lua", 'include "two.lua" return recipe { title = "x", params = { a = param.number { 1 } }, plan = type }')
    local path = write("s.lua", 'return study { title = "s", recipe = "x", grid = { a = include "one.lua" } }')
    local value = assert(world.load(path))
    assert.equal(2, #value:expand().points)
    assert.same({ { name = "one.lua", text = "return { 1, 2 }" }, { name = "two.lua", text = "return 3" } },
      value.includes)
    assert(file.make_folder(folder .. "/other"))
    write("other/one.lua", "return { 1 }")
    write("other/s.lua", 'return study { title = "s", recipe = "x", grid = { a = include "one.lua" } }')
    write("x.lua", 'include "one.lua" return recipe { title = "x", params = { a = param.number { 1 } }, plan = type }')
    local _, message = world.load(folder .. "/other/s.lua", { recipe = folder .. "/x.lua" })
    assert.equal("s.lua and x.lua include different files of the name one.lua", message)
  end)

  it("looks only at data in the data folders and at what is allowed", function()
    assert(file.make_folder(folder .. "/mine/data"))
    assert(file.make_folder(folder .. "/minerals"))
    assert(os.execute(("ln -s /etc %s/mine/etc"):format(program.quote(folder))))
    local path = write("x.lua", 'return recipe { title = "x", params = { data = param.path { "mnist" }, more = '
      .. 'param.list { {}, of = param.path {} } }, plan = function(p) return { data = data.open(p.data), model = '
      .. "models.lenet { classes = 10 }, loss = loss.hinge(), optimizer = optim.adam { lr = 1 } } end }")
    local function try(given, options, as_text)
      local value = assert(world.load(path, options))
      local _, message = value:make_plan(assert(value:resolve(given, as_text)))
      return message
    end
    local outside = "lies outside the data folders"
    assert.is_nil(try {})
    assert.is_nil(try { data = "no-such-set" })
    assert.matches(outside, try { data = folder .. "/mine/data" }, 1, true)
    local allowed = { grant = { folder .. "/mine" } }
    assert.is_nil(try({ data = folder .. "/mine/data" }, allowed))
    assert.is_nil(try({ data = folder .. "/mine/not-yet/there" }, allowed))
    assert.matches(outside, try({ data = folder .. "/mine/../minerals" }, allowed), 1, true)
    assert.matches(outside, try({ data = folder .. "/minerals" }, allowed), 1, true)
    assert.matches(outside, try({ data = folder .. "/mine/etc" }, allowed), 1, true)
    assert.matches(outside, try({ data = folder .. "/mine/etc/no/such" }, allowed), 1, true)
    -- What the user typed for a path is allowed; the same as a default of the recipe's is not.
    assert.is_nil(try({ data = folder .. "/mine/data" }, nil, true))
    assert.is_nil(try({ data = folder .. "/mine/data", more = folder .. "/a," .. folder .. "/b" }, nil, true))
    assert.matches(outside, try({ more = { folder .. "/mine" }, data = folder .. "/minerals" }), 1, true)
  end)

  it("is refused, with its line, when its options are wrong", function()
    local function said(text) return (read(write("x.lua", "-- a comment\n" .. text))) end
    assert.equal('x.lua:2: loss.hinge: unknown option "margn"; did you mean "margin"?',
      said(with_loss "loss.hinge { margn = 1 }"))
    assert.equal('x.lua:2: loss has no "hing"; did you mean "hinge"?', said(with_loss "loss.hing()"))
    assert.equal("x.lua:2: loss.hinge: margin expects a number above 0, got -1",
      said(with_loss "loss.hinge { margin = -1 }"))
    assert.equal('x.lua:2: data.open: unknown option "limt"; did you mean "limit"?',
      said(with_data "data.open('mnist', { limt = 3 })"))
    assert.equal("x.lua:2: data.open: expected a name or a path, got 3", said(with_data "data.open(3)"))
    assert.matches("x.lua:2: loss: %+ expects two losses", said(with_loss "loss.hinge() + perturb.hue(1)"))
    assert.equal("x.lua:2: plan: loss expects a loss, got a perturbation", said(with_loss "perturb.hue(1)"))
    assert.equal("x.lua:2: plan: loss expects a loss, got a schedule", said(with_loss "2 * optim.ramp()"))
    assert.matches("x.lua:2: schedule: %* expects a schedule and a finite number",
      said(with_loss "optim.ramp() * optim.ramp() * loss.hinge()"))
    assert.is_nil(said(with_loss "2 * optim.ramp() * loss.hinge()"))
    assert.equal("x.lua: plan: loss is required: a loss", said(with_plan "return { data = data.open 'mnist' }"))
    assert.equal('x.lua: plan: unknown option "eopchs"; did you mean "epochs"?',
      said((with_loss "loss.hinge()":gsub("epochs", "eopchs"))))
    assert.equal('x.lua:2: param.number: unknown option "mni"; did you mean "min"?',
      said("return recipe { params = { a = param.number { 1, mni = 0 } } }"))
    assert.equal('x.lua:2: param.choice: unknown option "dco"; did you mean "doc"?',
      said("return recipe { params = { a = param.choice { 1, 2, dco = '' } } }"))
    assert.equal("x.lua:2: param.integer: the default expects an integer of at least 1, got 0",
      said("return recipe { params = { a = param.integer { 0, min = 1 } } }"))
    assert.equal("x.lua:2: models.lenet: size expects an integer of at least 12, got 3",
      said((with_loss "loss.hinge()":gsub("classes = 10", "classes = 10, size = 3"))))
    -- What only the data can tell is left to the run.
    assert.is_nil(said(with_plan('local set = data.open "mnist" return { data = set, model = models.lenet { classes = '
      .. "set.classes, normalize = set.stats, channels = set.train.shape }, loss = loss.hinge(), optimizer = "
      .. "optim.adam { lr = 1 } }")))
  end)
end)

-- ---- a child that was taken over ----

-- A module in the place of the child's own, which runs behind the locked door with all of Lua at hand.
local function taken_over(code)
  local r
  program.with_files({
    ["stdlib/sandbox/child.lua"] = 'return function(channel)\n  local function say(x) channel.send(require "json"'
      .. '.encode { error = tostring(x) }) end\n  channel.receive()\n  channel.receive()\n' .. code .. "\nend",
    ["x.lua"] = "return 1",
  }, function(folder)
    r = program.shell(('export PENUMBRA_PATH=%s/stdlib\ncd %s\nSECRET=hidden "$PENUMBRA" run x.lua\nls'):format(
      program.quote(folder), program.quote(folder)))
  end)
  assert.equal("stdlib\nx.lua\n", r.out)
  return r.err
end

-- Whether we are root, and of a system that has other users.
local function may_change_user()
  local status = file.read "/proc/self/status"
  local users = (file.read "/proc/self/uid_map" or ""):match "^%s*0%s+%d+%s+(%d+)"
  local SETGID_SETUID <const> = 0xc0
  return status:find "Uid:%s*0%s" and users and tonumber(users) > 65534
    and tonumber(status:match "CapEff:%s*(%x+)", 16) & SETGID_SETUID == SETGID_SETUID
end

describe("a child that was taken over", function()
  it("opens no files", function()
    for _, code in ipairs { 'say(loadfile "/etc/passwd")', 'say(package.searchpath("passwd", "/etc/?"))',
                            'say(package.loadlib("/tmp/no-such.so", "*"))' } do
      -- Where there is no filter of system calls, what it tries fails.
      local said = taken_over("  " .. code)
      assert.is_truthy(said:find("it tried what a recipe may not do: stopped", 1, true)
        or said:find("nil", 1, true) or said:find("Too many open files", 1, true), said)
    end
  end)

  it("knows none of our secrets, and is alone", function()
    -- Its own memory is all it could look at; the test asks the system about it from outside.
    if not lfs.attributes "/proc/self/environ" then return pending "no /proc" end
    local child <close> = assert(host.spawn({ nil, "--sandbox" }, { stdin = "pipe", stdout = "pipe",
      env = { OPENBLAS_NUM_THREADS = "1", SECRET = "hidden" } }))
    local from = host.clock()
    local function limits_now() return file.read(("/proc/%d/limits"):format(child.pid)) or "" end
    while not limits_now():find "Max processes%s+0" and host.clock() - from < 2 do child:wait(0.001) end
    local limits = limits_now()
    local status = file.read(("/proc/%d/status"):format(child.pid))
    assert.matches("Threads:%s*1\n", status)
    if may_change_user() then assert.matches("Uid:%s*65534%s+65534%s+65534", status) end
    for _, line in ipairs { "open files%s+0%s+0", "processes%s+0%s+0", "file size%s+0%s+0", "core file size%s+0%s+0",
                            "cpu time%s+1%s+2" } do
      assert.matches("Max " .. line, limits)
    end
    local secrets = file.read(("/proc/%d/environ"):format(child.pid))
    if secrets then assert.is_nil(secrets:find("hidden", 1, true)) end
    child:close_input()
    assert.same({ code = 1 }, child:wait(5))
  end)
end)

-- ---- answers ----

describe("an answer from a child that was taken over", function()
  local folder, argv
  local text = [[
    return recipe {
      title = "T", about = "A", cites = { "C" }, unstated = { "U" },
      params = { a = param.number { 1.0, min = 0 }, c = param.choice { "x", "y" }, s = param.seed { 1 },
                 l = param.list { { 1 }, of = param.integer { min = 1 } } },
      plan = function(p)
        local set = data.open("mnist", { limit = 10 })
        return { data = { train = set.train:take(5), test = set.test }, model = models.lenet { classes = set.classes },
                 loss = loss.cross_entropy() + p.a * loss.continuity { perturb = perturb.hue(0.5) | perturb.hue(0.1) },
                 optimizer = optim.adam { lr = 1e-3 } }
      end,
    }]]

  local study_text = [[
    return study {
      title = "T", recipe = "base", notes = { "N" }, scale = "small", fixed = { a = 2 },
      grid = { c = { "x", "y" }, s = { 1, 2 } }, scales = { small = { s = { 1 } }, large = { a = 0.5 } },
      sensible = { metric = "accuracy", c = "x", min = 50 },
      show = { rows.by("c"):column("accuracy", { title = "A", paper = { x = 1, y = 2.5 } }):column("ds"),
               chart.points { x = "c", y = "accuracy", where = { s = 1 } }, chart.bars { x = "c", y = "ds" } },
      claims = { claim { "x beats y", "accuracy", x = ">", "y" }, claim { "less", "ds", axis = "c", y = "<", "x",
                 where = { s = 1 } } },
    }]]

  setup(function()
    folder, argv = os.tmpname(), sandbox.argv
    os.remove(folder)
    assert(file.make_folder(folder))
    assert(file.write(folder .. "/x.lua", text))
    assert(file.write(folder .. "/base.lua", text))
  end)
  after_each(function() sandbox.argv = argv end)
  teardown(function() file.remove_folder(folder) end)

  local function frame(bytes) return ("%010d\n"):format(#bytes) .. bytes end

  -- The program hears this, whatever it asks.
  local function answer_with(bytes)
    assert(file.write(folder .. "/answer", bytes))
    sandbox.argv = { "cat", folder .. "/answer" }
  end

  local function shell_answers(script) sandbox.argv = { "sh", "-c", script } end

  -- What the real child answers: to be read, to be planned, and of a study.
  local function real_answers()
    local function ask(request, asked)
      local child <close> = assert(host.spawn(argv, { stdin = "pipe", stdout = "pipe" }))
      assert(child:write(frame(json.encode(request)) .. frame(asked or text), 5))
      local parts = {}
      while true do
        local bytes = assert(child:read(5))
        if bytes == "" then return table.concat(parts):sub(12) end
        parts[#parts + 1] = bytes
      end
    end
    local known = plan.known()
    local value = { t = json.array { "a", 1.0, "c", "x", "s", 1, "l", { l = json.array { 1 } } } }
    return ask { name = "x.lua", want = "read", known = known },
      ask { name = "x.lua", want = "plans", known = known,
            points = json.array { { value = value, nodes = json.array() } } },
      ask({ name = "x.lua", want = "read", known = known }, study_text)
  end

  -- All that is done with a study when its runs are there.
  local function use_study(made)
    local expansion, message = made:expand()
    if not expansion then return nil, message end
    for i, point in ipairs(expansion.points) do
      point.metrics = { accuracy = stats.new { value = 90.0 + i }, ds = stats.new { value = 1.0 / i } }
    end
    study.claims_text(made:evaluate(expansion).claims)
    return made
  end

  it("is refused when it is none", function()
    local path = folder .. "/x.lua"
    for script, expected in pairs {
      ["exit 3"] = "reading it took more than 1 s of processor time: stopped",
      ["exit 4"] = "this system refuses the limits under which a recipe is read",
      ["exit 9"] = "the process that read it ended without an answer (exit code 9)",
      ["kill -SEGV $$"] = "the process that read it ended by signal 11",
      ["kill -SYS $$"] = "it tried what a recipe may not do: stopped",
      ["kill -XCPU $$"] = "reading it took more than 1 s of processor time: stopped",
      ["echo hello, here is your recipe"] = "what the process that read it says is no answer",
      ["echo 00000"] = "ended without an answer",
      ["echo 9999999999; yes"] = "it says more than 4 MiB: stopped",
      ["echo 0000001000; yes"] = "what the process that read it says is no answer",
      ["echo 0000000002; echo '[]'"] = "what the process that read it says is no answer",
      ["echo 0000000002; echo '{}'"] = "the answer of the process that read it is refused",
      ["sleep 60"] = "reading it took more than 2 s: stopped",
      ["exec >&-; sleep 60"] = "the process that read it does not end: stopped",
      ["while :; do echo 0000000019; printf %s '{\"include\":\"b.lua\"}'; done"] = "",
    } do
      shell_answers(script)
      local from = host.clock()
      local value, message, code = world.load(path)
      assert.is_nil(value, script)
      assert.matches("x.lua: ", message, 1, true)
      assert.matches(expected, message, 1, true)
      assert.equal("format", code)
      assert.is_true(host.clock() - from < LIMIT, script)
    end
  end)

  it("is refused, field by field, when it is mangled", function()
    local read_answer, plan_answer, study_answer = real_answers()
    local value = assert(world.load(folder .. "/x.lua"))
    local values = assert(value:resolve {})
    -- Both are fine as they are.
    answer_with(frame(read_answer))
    assert(world.load(folder .. "/x.lua"))
    answer_with(frame(plan_answer))
    local _, sound = value:make_plan(values)
    assert.is_nil(sound)

    local state = 12345
    local function draw(n)
      state = (state * 1103515245 + 12345) & 0x7fffffff
      return (state >> 8) % n + 1
    end
    local deep = 1
    for _ = 1, 90 do deep = { l = json.array { deep } } end
    local junk = { 0, -1, 1 << 62, 1e308, 0.5, true, false, "", "x", "__index", "__gc", "a\0b", "\27[2J",
                   "\u{9b}2J", ("y"):rep(3000), json.null, {}, json.array(), { v = 1 }, { v = 99 }, { v = 1.5 },
                   { v = -1 }, { f = "inf" }, { f = 1 },
                   { l = {} }, { t = json.array { 1 } }, { t = json.array { { f = "nan" }, 1 } }, deep,
                   { l = json.array { json.null } }, { op = "call", module = "os", name = "exit" }, "call", "field",
                   "operator", "../../etc/passwd", "x.lua:999999999", "logits", "probe", "save" }
    for i, value_of in ipairs(junk) do junk[i] = json.encode(value_of) end
    -- Every place in a value, as the table and the key.
    local function places(t, list)
      for key, element in pairs(t) do
        list[#list + 1] = { t, key }
        if type(element) == "table" and element ~= json.null then places(element, list) end
      end
      return list
    end
    local refused, taken = 0, 0
    local function count(made, message)
      if made then
        taken = taken + 1
      else
        refused = refused + 1
        assert.matches("^x%.lua", message)
        assert.is_nil(message:find "%c", message)
        assert.is_true(#message < 2000)
      end
    end
    for round = 1, 600 do
      local text_of = ({ read_answer, plan_answer, study_answer })[round % 3 + 1]
      if round % 5 == 0 then -- bytes
        local at = draw(#text_of)
        text_of = text_of:sub(1, at - 1) .. string.char(draw(256) - 1) .. text_of:sub(at + draw(3) - 1)
      else
        local whole = json.decode(text_of)
        for _ = 1, draw(3) do
          local list = places(whole, {})
          local place = list[draw(#list)]
          place[1][place[2]] = json.decode(junk[draw(#junk)])
        end
        local ok, encoded = pcall(json.encode, whole)
        text_of = ok and encoded or "{"
      end
      answer_with(frame(text_of))
      if round % 3 == 0 then
        count(world.load(folder .. "/x.lua"))
      elseif round % 3 == 1 then
        count(value:make_plan(values))
      else
        -- A second child is asked about the study's recipe; its answer is as it was.
        assert(file.write(folder .. "/base", frame(read_answer)))
        shell_answers(('cd %s; if mv answer now 2> /dev/null; then cat now; else cat base; fi'):format(
          program.quote(folder)))
        local made, message = world.load(folder .. "/x.lua")
        if made and made.recipe then made, message = use_study(made) end
        count(made, message)
      end
    end
    assert.is_true(refused > 300 and taken > 3, ("%d refused, %d taken"):format(refused, taken))
  end)

  it("is refused when it names what a plan may not", function()
    local value = assert(world.load(folder .. "/x.lua"))
    local values = assert(value:resolve {})
    local function node(fields) return fields end
    local list = json.array
    local cases = {
      { "there is no module \"os\"", node { op = "call", module = "os", name = "exit", arguments = list {} } },
      { 'data has no "is"', node { op = "call", module = "data", name = "is", arguments = list {} } },
      { 'perturb has no "new"', node { op = "call", module = "perturb", name = "new", arguments = list {} } },
      { 'probe has no "logits"', node { op = "call", module = "probe", name = "logits", arguments = list {} } },
      { "a field without a name", node { op = "field", of = 1, name = "__gc" } },
      { "there is no node 1", node { op = "field", of = 1, name = "x" } },
      { "an operator that is none", node { op = "operator", symbol = "..", a = { v = 1 }, b = 2 }, 1 },
      { "an operator between two numbers", node { op = "operator", symbol = "+", a = 1, b = 2 } },
      { "an operand is no plan value", node { op = "operator", symbol = "+", a = { v = 1 }, b = "x" }, 1 },
      { 'method "batches": a plan only takes parts', node { op = "method", of = 1, name = "batches",
        arguments = list {} }, 1 },
      { "save: a recipe has no files", node { op = "method", of = 1, name = "save", arguments = list {} }, 1 },
      { "a node of no kind", node { op = "eval", name = "x" } },
      { "a call without its arguments", node { op = "call", module = "loss", name = "hinge", arguments = {} } },
      { "control characters", node { op = "call", module = "data", name = "open", arguments = list { "\27[2J" } } },
    }
    for _, case in ipairs(cases) do
      local nodes = list { case[2] }
      if case[3] then
        table.insert(nodes, 1, node { op = "call", module = "loss", name = "hinge", arguments = list {} })
      end
      answer_with(frame(json.encode { plans = list { { plan = { nodes = nodes, value = { t = list {} } } } } }))
      local made, message = value:make_plan(values)
      assert.is_nil(made)
      assert.matches("x.lua: the answer of the process that read it is refused: ", message, 1, true)
      assert.matches(case[1], message, 1, true)
    end
    -- Places are shown when they are in the recipe's files.
    for place, shown in pairs { ["x.lua:7"] = "x.lua:7: ", ["\27[2J:7"] = "x.lua: ", ["/etc/passwd:1"] = "x.lua: " } do
      local bad = { op = "call", module = "loss", name = "hinge", place = place,
                    arguments = list { { t = list { "margn", 1 } } } }
      local good = { op = "call", module = "data", name = "open", arguments = list { "mnist" } }
      answer_with(frame(json.encode { plans = list { { plan = { nodes = list { bad, good }, value = { t = list {
        "data", { v = 2 }, "model", { v = 2 }, "loss", { v = 1 }, "optimizer", { v = 2 } } } } } } }))
      local _, message = value:make_plan(values)
      assert.equal(shown .. 'loss.hinge: unknown option "margn"; did you mean "margin"?', message)
    end
  end)
end)
