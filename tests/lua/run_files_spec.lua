-- Lines added to a file, a file cut, and locks, through require "host".
local file = require "file"
local host = require "host"
local lfs = require "lfs"

-- How many files this process has open, but for the folder that is read for it.
local function open_files()
  local count = 0
  for _ in lfs.dir "/proc/self/fd" do count = count + 1 end
  return count
end

describe("a run's files", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("get whole lines, and are cut", function()
    assert.equal(4, host.append(path, "one\n"))
    assert.equal(8, host.append(path, "two\n", true))
    assert.equal("one\ntwo\n", file.read(path))
    assert.is_true(host.truncate(path, 4))
    assert.equal("one\n", file.read(path))
    assert.error_matches(function() host.truncate(path, -1) end, "a size of at least 0 expected", 1, true)
    local none = "/no/such/folder/x"
    assert.same({ nil, none .. ": cannot be written: No such file or directory", "io" }, { host.append(none, "x") })
    assert.same({ nil, none .. ": cannot be cut: No such file or directory", "io" }, { host.truncate(none, 0) })
  end)

  it("keep nothing of a text that does not fit", function()
    if not lfs.attributes "/dev/full" then return pending "no /dev/full" end
    local message = "/dev/full: cannot be written: No space left on device"
    assert.same({ nil, message, "io" }, { host.append("/dev/full", "x") })
  end)

  it("are locked by one at a time, who is named", function()
    assert.is_nil(host.locked(path))
    local lock <close> = assert(host.lock(path))
    assert.matches("^process %d+ on ", host.locked(path))
    assert.same({ nil, path .. ": held by " .. host.locked(path), "busy" }, { host.lock(path) })
    lock:close()
    assert.is_nil(host.locked(path))
    assert(host.lock(path)):close()
    assert.same({ nil, "/no/such/lock: cannot be locked: No such file or directory", "io" },
      { host.lock "/no/such/lock" })
  end)

  it("leave nothing open when they are refused", function()
    if not lfs.attributes "/proc/self/fd" then return pending "no /proc" end
    local lock <close> = assert(host.lock(path))
    collectgarbage "stop"
    local before = open_files()
    local refused = host.lock(path)
    local after = open_files()
    collectgarbage "restart"
    assert.is_nil(refused)
    assert.equal(before, after)
    assert.is_truthy(lock)
  end)
end)
