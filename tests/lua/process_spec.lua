-- Other programs, through require "host": what is started, fed, read, waited for and ended.
local file = require "file"
local host = require "host"
local lfs = require "lfs"

local function spawn(...) return assert(host.spawn(...)) end

local function shell(script, options)
  return spawn({ "sh", "-c", script }, options or { stdout = "pipe" })
end

-- All that a child says.
local function listen(p, from)
  local parts = {}
  while true do
    local text = p:read(10, from)
    assert(text, "silence for 10 s")
    if text == "" then return table.concat(parts) end
    parts[#parts + 1] = text
  end
end

local function elapsed(f)
  local from = host.clock()
  f()
  return host.clock() - from
end

-- The processes that this one has started and not reaped; nil where there is no /proc.
local function children()
  local handle = io.open(("/proc/self/task/%s/children"):format(lfs.symlinkattributes("/proc/self", "target")))
  if not handle then return nil end
  local text = handle:read "a"
  handle:close()
  return text
end

describe("host.spawn", function()
  local before
  before_each(function()
    collectgarbage()
    before = children()
  end)
  after_each(function()
    collectgarbage()
    collectgarbage()
    assert.equal(before, children())
  end)

  it("runs a program, hears it and knows how it ended", function()
    local p = shell "echo out; exit 7"
    assert.equal("out\n", listen(p))
    assert.equal("", p:read())
    assert.same({ code = 7 }, p:wait(10))
    assert.same({ code = 7 }, p:wait())
    assert.equal("integer", math.type(p.pid))
    p:kill() -- which has ended: nothing
  end)

  it("keeps the streams apart, or joins them", function()
    local p = shell("echo out; echo err >&2", { stdout = "pipe", stderr = "pipe" })
    assert.same({ "err\n", "out\n" }, { listen(p, "stderr"), listen(p) })
    assert.equal("out\nerr\n", listen(shell("echo out; echo err >&2", { stdout = "pipe", stderr = "stdout" })))
  end)

  it("feeds a program, however much both sides say", function()
    local p = spawn({ "cat" }, { stdin = "pipe", stdout = "pipe" })
    local text = ("0123456789abcdef"):rep(1 << 16)
    assert.is_true(p:write(text, 10))
    p:close_input()
    assert.equal(text, listen(p))
    assert.same({ code = 0 }, p:wait(10))
  end)

  it("starts our own program when none is named", function()
    local p = spawn({ nil, "-e", "print(6 * 7, ...)" }, { stdout = "pipe" })
    assert.equal("42\n", listen(p))
  end)

  it("reads and writes files, and gives nothing to read unless told", function()
    local path = os.tmpname()
    assert(file.write(path, "text"))
    assert.equal("text", listen(spawn({ "cat" }, { stdin = path, stdout = "pipe" })))
    assert.same({ code = 0 }, shell("echo new", { stdout = path }):wait(10))
    assert.equal("new\n", file.read(path))
    assert.equal("", listen(spawn({ "cat" }, { stdout = "pipe" })))
    os.remove(path)
  end)

  it("changes the environment", function()
    local env = { PENUMBRA_ONE = "a b", HOME = false }
    assert.equal("a b none\n", listen(shell('echo "$PENUMBRA_ONE ${HOME-none}"', { stdout = "pipe", env = env })))
  end)

  it("lets no file of ours through", function()
    if not lfs.attributes("/proc/self/fd") then return pending "no /proc" end
    local open <close> = assert(io.open("/dev/null"))
    local idle <close> = spawn({ "cat" }, { stdin = "pipe", stdout = "pipe" })
    assert.is_truthy(open and idle)
    -- 3 is what ls reads the folder by.
    assert.equal("0\n1\n2\n3\n", listen(spawn({ "ls", "/proc/self/fd" }, { stdout = "pipe" })))
  end)

  it("says what cannot be started", function()
    local cases = {
      { { "no-such-program" }, nil, "host.spawn: no-such-program: there is no such program" },
      { { "/no/such/program" }, nil, "host.spawn: /no/such/program: No such file or directory" },
      { { "/" }, nil, "host.spawn: /: Permission denied" },
      { { "true" }, { stdin = "/no/such/file" }, "host.spawn: /no/such/file: No such file or directory" },
    }
    for _, case in ipairs(cases) do
      local p, message, code = host.spawn(case[1], case[2])
      assert.same({ nil, case[3], "io" }, { p, message, code })
    end
    for message, arguments in pairs {
      ['unknown option "stdou"; did you mean "stdout"?'] = { { "true" }, { stdou = "pipe" } },
      ['unknown option "std"'] = { { "true" }, { std = "pipe" } },
      ["argv has a NUL byte in it"] = { { "true", "a\0b" } },
      ["argv expects strings, got a number"] = { { "true", 1 } },
      ['env: a name expected, got "A=B"'] = { { "true" }, { env = { ["A=B"] = "c" } } },
    } do
      assert.error_matches(function() host.spawn(table.unpack(arguments)) end, message, 1, true)
    end
    local p = shell "exec cat"
    assert.error_matches(function() p:write "x" end, "standard input is no pipe, or closed", 1, true)
    assert.error_matches(function() p:read(0, "stderr") end, "stderr is no pipe", 1, true)
  end)

  it("waits no longer than it is told", function()
    local p = spawn({ "sleep", "60" }, { stdout = "pipe" })
    assert.is_true(elapsed(function()
      assert.is_nil(p:read(0.05))
      assert.is_nil(p:wait(0.05))
      assert.is_nil(host.wait_any({ p }, 0.05))
      assert.is_nil(p:wait(0))
    end) < 1)
    p:kill()
    assert.same({ signal = 15, name = "TERM" }, p:wait(10))
    p = spawn({ "sleep", "60" }, { stdin = "pipe" })
    local ok, message, code = p:write(("x"):rep(1 << 20), 0.05)
    assert.same({ nil, "process:write: the time is over", "timeout" }, { ok, message, code })
    p:kill "kill"
    assert.same({ signal = 9, name = "KILL" }, p:wait(10))
  end)

  it("survives a child that does not listen", function()
    local p = spawn({ "true" }, { stdin = "pipe" })
    p:wait(10)
    local ok, message, code = p:write(("x"):rep(1 << 20))
    assert.same({ nil, "process:write: Broken pipe", "io" }, { ok, message, code })
  end)

  it("tells which of several has news", function()
    local slow = shell "sleep 60"
    local quick = shell "sleep 0.05; echo here; sleep 60"
    local silent = shell("exit 3", {})
    assert.equal(silent, host.wait_any({ slow, quick, silent }, 10))
    assert.equal(quick, host.wait_any({ slow, quick }, 10))
    assert.equal("here\n", quick:read(0))
    assert.is_nil(host.wait_any({ slow, quick }, 0.02))
    quick:kill()
    -- The shell is gone, its sleep still holds the pipe: the end is news.
    assert.equal(quick, host.wait_any({ slow, quick }, 10))
    assert.same({ signal = 15, name = "TERM" }, quick:wait(0))
    assert.error_matches(function() host.wait_any({}, 0) end, "1 to 1000 processes expected, got 0", 1, true)
  end)

  it("ends what is no longer held, and keeps nothing of it", function()
    local pid
    do
      local p <close> = spawn({ "sleep", "60" }, { stdout = "pipe" })
      pid = p.pid
    end
    assert.is_nil(lfs.attributes("/proc/" .. pid))
    spawn({ "sleep", "60" })
    spawn({ "true" }) -- both collected: see after_each
  end)
end)
