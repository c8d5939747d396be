--- Downloads from a server on this machine that does what servers do wrong, and `penumbra data`.
package.path = "tests/cli/?.lua;" .. package.path
local file = require "file"
local hash = require "hash"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local program = require "program"
local quote = program.quote

local server_program = program.path:match "^(.*)/" .. "/tests/server"
local can_fetch = not select(2, nn.fetch { url = "http://127.0.0.1:1/", target = "/tmp/x" }):find "without libcurl"
local can_unpack = not select(2, nn.archive.survey "/dev/null"):find "without libarchive"
local SIZE <const> = 3000000

-- The same bytes each time, of no pattern that a shift would keep.
local function noise(size, seed)
  local parts = {}
  for i = 1, size // 8 do parts[i] = ("<i8"):pack(nn.derive(seed, i)) end
  return table.concat(parts)
end

local served = {
  big = noise(SIZE, 1), other = noise(SIZE, 2), small = "hello", empty = "", many = noise(SIZE, 3):rep(8),
}

local root, pipe, base

setup(function()
  root = os.tmpname()
  os.remove(root)
  assert(file.make_folder(root .. "/served"))
  for name, text in pairs(served) do assert(file.write(root .. "/served/" .. name, text)) end
  if not can_fetch then return end
  pipe = io.popen(("%s %s %s > %s"):format(quote(server_program), quote(root .. "/served"), quote(root .. "/requests"),
    quote(root .. "/port")), "w")
  for _ = 1, 500 do
    local port = (file.read(root .. "/port") or ""):match "^(%d+)\n"
    if port then
      base = "http://127.0.0.1:" .. port .. "/"
      return
    end
    os.execute "sleep 0.01"
  end
  error(server_program .. " does not start")
end)

teardown(function()
  if pipe then pipe:close() end
  file.remove_folder(root)
end)

-- What the server was asked and what it sent, since the last time: { "path range status bytes", ... }.
local seen = 0
local function requests(count)
  local list = {}
  for _ = 1, 200 do
    list = {}
    for line in (file.read(root .. "/requests") or ""):gmatch "[^\n]+" do list[#list + 1] = line end
    if #list >= seen + count then break end
    os.execute "sleep 0.01"
  end
  local new = table.move(list, seen + 1, #list, 1, {})
  seen = #list
  return new
end

local function forget_requests()
  os.execute "sleep 0.02"
  requests(0)
end

-- What is in the folder of downloads, sorted.
local function left(folder)
  local names = {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, " ")
end

-- Runs the body with a function that downloads into a folder of its own: fetch(path, options).
local function with_downloads(body)
  if not can_fetch then return pending "built without libcurl" end
  local folder = root .. "/here"
  assert(file.make_folder(folder))
  forget_requests()
  local ok, problem = pcall(body, function(path, options)
    options = options or {}
    options.url, options.target = base .. path, folder .. "/got"
    return nn.fetch(options)
  end, folder)
  file.remove_folder(folder)
  if not ok then error(problem, 0) end
end

describe("a download", function()
  local digest = hash.sha256(served.big)

  it("is the file, and nothing else is left", function()
    with_downloads(function(fetch, folder)
      for _, name in ipairs { "big", "small", "empty" } do
        local result = assert(fetch(name))
        assert.same({ bytes = #served[name], resumed = 0, sha256 = hash.sha256(served[name]) }, result)
        assert.is_true(file.read(folder .. "/got") == served[name])
        assert.equal("got", left(folder))
      end
      assert.same({ "/big - 200 3000000", "/small - 200 5", "/empty - 200 0" }, requests(3))
    end)
  end)

  it("tells its progress, in bytes", function()
    with_downloads(function(fetch)
      local last, whole = 0, nil
      assert(fetch("big", { progress = function(done, total)
        assert(done > last)
        last, whole = done, total
      end }))
      assert.same({ SIZE, SIZE }, { last, whole })
    end)
  end)

  it("ends with the error of its progress function, and can go on", function()
    with_downloads(function(fetch)
      local ok, problem = pcall(fetch, "many", { progress = function() error("enough", 0) end })
      assert.same({ false, "enough" }, { ok, problem })
      local result = assert(fetch "many")
      assert.is_true(result.resumed > 0)
      assert.equal(hash.sha256(served.many), result.sha256)
    end)
  end)

  it("goes on where a broken one ended: only the rest is served", function()
    with_downloads(function(fetch, folder)
      local result, message, code = fetch "cut/1000000/big"
      assert.is_nil(result)
      assert.equal("io", code)
      assert.matches("ended after 1,000,000 of 3,000,000 bytes; the next try goes on from there", message, 1, true)
      assert.equal("got.part got.part.from", left(folder))
      assert.is_nil((fetch "cut/1000000/big"))
      assert.same({ bytes = SIZE, resumed = 2000000, sha256 = digest }, fetch "cut/1000000/big")
      assert.equal("got", left(folder))
      assert.same({ "/cut/1000000/big - 200 1000000", "/cut/1000000/big bytes=1000000- 206 1000000",
                    "/cut/1000000/big bytes=2000000- 206 1000000" }, requests(3))
    end)
  end)

  it("goes on from another place when the digest is known", function()
    with_downloads(function(fetch)
      assert.is_nil((fetch("cut/1000000/big", { sha256 = digest })))
      assert.same({ bytes = SIZE, resumed = 1000000, sha256 = digest }, fetch("big", { sha256 = digest, size = SIZE }))
      assert.equal("/big bytes=1000000- 206 2000000", requests(2)[2])
      assert.is_nil((fetch "cut/1000000/big"))
      assert.equal(0, fetch("big").resumed) -- without a digest another place's bytes are of no use
    end)
  end)

  it("starts again when the file changed between its parts", function()
    with_downloads(function(fetch, folder)
      for _, way in ipairs { "cut/1000000/", "cut/1000000/stubborn/" } do
        assert(file.write(root .. "/served/changing", served.big))
        assert.is_nil((fetch(way .. "changing")))
        assert(file.write(root .. "/served/changing", served.other))
        for _ = 1, 2 do assert.is_nil((fetch(way .. "changing"))) end
        assert.equal(hash.sha256(served.other), assert(fetch(way .. "changing")).sha256)
        assert.equal("got", left(folder))
      end
      assert.same({ "/cut/1000000/changing - 200 1000000", "/cut/1000000/changing bytes=1000000- 200 1000000",
                    "/cut/1000000/changing bytes=1000000- 206 1000000",
                    "/cut/1000000/changing bytes=2000000- 206 1000000" }, table.move(requests(9), 1, 4, 1, {}))
    end)
  end)

  it("starts again when the server knows no ranges, or answers with another", function()
    with_downloads(function(fetch)
      for _, way in ipairs { "cut/1000/whole/big", "cut/1000/wrong/big" } do
        assert.is_nil((fetch(way, { sha256 = digest })))
        local path = way:gsub("^cut/1000/", "")
        assert.same({ bytes = SIZE, resumed = 0, sha256 = digest }, fetch(path, { sha256 = digest }))
      end
      assert.same({ "/cut/1000/whole/big - 200 1000", "/whole/big bytes=1000- 200 3000000" },
        table.move(requests(5), 1, 2, 1, {}))
    end)
  end)

  it("starts again when nothing tells whether the file is still the same", function()
    with_downloads(function(fetch)
      assert.is_nil((fetch "cut/1000/plain/big"))
      assert.is_nil((fetch "cut/1000/plain/big"))
      assert.same({ "/cut/1000/plain/big - 200 1000", "/cut/1000/plain/big - 200 1000" }, requests(2))
    end)
  end)

  it("whose part is whole already needs nothing more", function()
    with_downloads(function(fetch, folder)
      assert(file.write(folder .. "/got.part", served.big))
      assert.same({ bytes = SIZE, resumed = SIZE, sha256 = digest }, fetch("big", { sha256 = digest }))
      assert.same({ "/big bytes=3000000- 416 0" }, requests(1))
      assert(file.write(folder .. "/got.part", served.big .. "x"))
      assert.same({ bytes = SIZE, resumed = 0, sha256 = digest }, fetch("big", { sha256 = digest }))
    end)
  end)

  it("with a wrong digest is removed, and says what was expected and found", function()
    with_downloads(function(fetch, folder)
      local wrong = ("0"):rep(64)
      local result, message, code = fetch("big", { sha256 = wrong })
      assert.is_nil(result)
      assert.equal("format", code)
      assert.matches("SHA-256 " .. wrong .. " expected, found " .. digest, message, 1, true)
      assert.equal("", left(folder))
    end)
  end)

  it("of a wrong length is not the file", function()
    with_downloads(function(fetch, folder)
      local _, message = fetch("short/big", { size = SIZE })
      assert.matches("3,000,000 bytes expected, the server's file has 2,999,999", message, 1, true)
      assert.equal("", left(folder))
      _, message = fetch("long/big", { sha256 = digest })
      assert.matches("ended after 3,000,000 of 3,000,001 bytes", message, 1, true)
      os.remove(folder .. "/got.part")
      _, message = fetch("endless/small", { size = 1000 })
      assert.matches("1,000 bytes expected, the server sends more", message, 1, true)
    end)
  end)

  for path, words in pairs {
    ["nothing"] = "the server answered 404 (Not Found)",
    ["status/500/big"] = "the server answered 500 (Internal Server Error)",
    ["status/503/big"] = "the server answered 503 (Service Unavailable)",
    ["to/file:///etc/passwd"] = "redirects to file:///etc/passwd, which is refused",
    ["to/ftp://127.0.0.1/x"] = "redirects to ftp://127.0.0.1/x, which is refused",
    ["round/big"] = "redirects without end",
  } do
    it("from " .. path .. " fails in one line and leaves nothing", function()
      with_downloads(function(fetch, folder)
        local result, message, code = fetch(path)
        assert.same({ code = "io" }, { result = result, code = code })
        assert.equal(base .. path .. ": " .. words, message)
        assert.equal("", left(folder))
      end)
    end)
  end

  it("follows a redirect to another http address", function()
    with_downloads(function(fetch) assert.equal(digest, fetch("to/" .. base .. "big").sha256) end)
  end)

  it("from a server that is gone says so", function()
    if not can_fetch then return pending "built without libcurl" end
    local result, message, code = nn.fetch { url = "http://127.0.0.1:1/x", target = root .. "/gone" }
    assert.same({ code = "io" }, { result = result, code = code })
    assert.matches("http://127.0.0.1:1/x: no connection", message, 1, true)
    assert.is_false(file.exists(root .. "/gone.part"))
  end)

  it("takes only http and https", function()
    if not can_fetch then return pending "built without libcurl" end
    assert.has_error(function() nn.fetch { url = "file:///etc/passwd", target = root .. "/gone" } end)
  end)

  it("that does not fit says how much is needed and free", function()
    with_downloads(function(fetch, folder)
      local _, message, code = fetch "huge/small"
      assert.equal("io", code)
      assert.matches("got: no space: 1,152,921,504,606,846,976 bytes are needed, [%d,]+ are free$", message)
      assert.equal("", left(folder))
    end)
  end)

  it("on a disk that is full says so too", function()
    if not can_fetch then return pending "built without libcurl" end
    local disk = root .. "/disk"
    assert(file.make_folder(disk))
    assert(file.write(root .. "/fetch.lua", [[
      local nn = require "nn"
      for _, url in ipairs(arg) do print((select(2, nn.fetch { url = url, target = "got" }))) end]]))
    local function on_disk(line)
      line = ("mount -t tmpfs -o size=1m none %s && cd %s && %s"):format(disk, disk, line)
      assert(file.write(root .. "/disk.sh", line))
      return program.shell("export PENUMBRA; unshare -rm sh " .. root .. "/disk.sh")
    end
    if on_disk("true").code ~= 0 then return pending "no file system of our own can be mounted here" end
    local r = on_disk(('"$PENUMBRA" ../fetch.lua %sbig %sendless/big; ls'):format(base, base))
    assert.matches("^got: no space: 3,000,000 bytes are needed, 1,048,576 are free\n"
      .. "got: no space: [%d,]+ bytes are needed, 0 are free\ngot.part\ngot.part.from\n$", r.out)
  end)

  -- A background process of a shell ignores SIGINT, and so does all below it; env undoes it.
  local START <const> = "env --default-signal=INT"

  -- Starts a download that reports "ready" after its first bytes, or at once; does something to it; then it is stopped
  -- by Ctrl-C. Gives the seconds that took, its exit code and what it said last.
  local function interrupted(path, target, meanwhile)
    assert(file.write(root .. "/slow.lua", [[
      local nn = require "nn"
      local url, target, at_once = ...
      local function ready() print "ready" io.stdout:flush() end
      if at_once == "yes" then ready() end
      print(nn.fetch { url = url, target = target, progress = ready })]]))
    local at_once = path:find "silent" and "yes" or "no"
    local r = program.shell(([[
      cd %s && rm -f pipe ready && mkfifo pipe
      %s "$PENUMBRA" slow.lua %s %s %s > pipe 2> err &
      program=$!
      { read word; : > ready; cat > /dev/null; } < pipe &
      while [ ! -e ready ] && kill -0 $program; do sleep 0.01; done
      sleep 0.1
      %s
      begin=$(date +%%s%%N)
      kill -INT $program
      wait $program
      code=$?
      echo $((($(date +%%s%%N) - begin) / 1000000)) $code
      cat err >&2]]):format(quote(root), START, base .. path, target, at_once, meanwhile or ":"))
    local milliseconds, code = r.out:match "(%d+) (%d+)\n$"
    return tonumber(milliseconds) / 1000, tonumber(code), r.err, r.out
  end

  local can_interrupt = os.execute(START .. " true 2> /dev/null")

  it("stops at once on Ctrl-C, also while the server is silent, and goes on later", function()
    if not can_interrupt then return pending "no env that resets signals" end
    with_downloads(function(fetch, folder)
      for _, path in ipairs { "slow/big", "silent/big" } do
        local best = math.huge
        for _ = 1, 3 do -- on a busy machine one of them has to make it
          local seconds, code, words = interrupted(path, folder .. (path == "slow/big" and "/got" or "/silent"))
          assert.equal(130, code)
          assert.equal("penumbra: slow.lua:5: interrupted\n", words)
          best = math.min(best, seconds)
          if best < 0.2 then break end
        end
        assert.is_true(best < 0.2, ("took %g s"):format(best))
        if path == "slow/big" then assert.equal("got.part got.part.from", left(folder)) end
      end
      forget_requests()
      local result = assert(fetch("big", { sha256 = digest }))
      assert.same({ SIZE, digest }, { result.bytes, result.sha256 })
      assert.is_true(result.resumed > 0)
      local line = ("/big bytes=%d- 206 %d"):format(result.resumed, SIZE - result.resumed)
      assert.equal(line, requests(1)[1])
    end)
  end)

  it("is one process's at a time", function()
    if not can_interrupt then return pending "no env that resets signals" end
    with_downloads(function(_, folder)
      local other = ('"$PENUMBRA" -e \'print(select(2, nn.fetch { url = %q, target = %q }))\''):format(base .. "big",
        folder .. "/got")
      local _, _, _, said = interrupted("slow/big", folder .. "/got", other)
      assert.matches("got.part: another process is downloading it", said, 1, true)
    end)
  end)
end)

describe("an archive", function()
  local function with_archive(body)
    if not can_unpack then return pending "built without libarchive" end
    program.with_files({ ["faces/cat/1.txt"] = "meow", ["faces/dog/1.txt"] = "woof" }, function(folder)
      assert.equal(0, program.shell(("cd %s && tar czf faces.tar.gz faces"):format(folder)).code)
      body(folder)
    end)
  end

  it("is unpacked once, and anew when it changes", function()
    with_archive(function(folder)
      local unpack = require "data.unpack"
      local options = { cache = folder .. "/cache", quiet = true }
      local path = folder .. "/faces.tar.gz"
      assert.is_true(unpack.is_archive(path))
      assert.is_false(unpack.is_archive(folder))
      local first = assert(unpack.once(path, options))
      assert.equal("woof", file.read(first .. "/faces/dog/1.txt"))
      local stamp = nn.file_stamp(first .. "/faces/dog/1.txt")
      assert.equal(first, unpack.once(path, options))
      assert.equal(stamp, nn.file_stamp(first .. "/faces/dog/1.txt"))
      assert(file.write(folder .. "/faces/dog/1.txt", "wuff"))
      assert.equal(0, program.shell(("cd %s && tar czf faces.tar.gz faces"):format(folder)).code)
      local second = assert(unpack.once(path, options))
      assert.equal("wuff", file.read(second .. "/faces/dog/1.txt"))
      assert.not_equal(first, second)
      assert.equal("unpacked", left(folder .. "/cache"))
    end)
  end)

  it("says its sizes before it is unpacked", function()
    with_archive(function(folder)
      local r = program.shell(('cd %s && XDG_CACHE_HOME=%s/c "$PENUMBRA" -e \'assert(require "data.unpack".once %q)\'')
        :format(folder, folder, "faces.tar.gz"))
      assert.equal(0, r.code)
      assert.matches("^faces.tar.gz: %d+ bytes packed, 8 bytes in 5 entries unpacked, to /[^\n]*/c/penumbra/unpacked/"
        .. "faces%-%x+%-%x+\n$", r.err)
    end)
  end)

  it("that is damaged leaves nothing in the cache", function()
    with_archive(function(folder)
      local path = folder .. "/faces.tar.gz"
      local whole = file.read(path)
      assert(file.write(path, whole:sub(1, #whole // 2)))
      local unpack = require "data.unpack"
      local found, message, code = unpack.once(path, { cache = folder .. "/cache", quiet = true })
      assert.same({ code = "format" }, { found = found, code = code })
      assert.equal(path, message:sub(1, #path))
      assert.equal("", left(folder .. "/cache/unpacked"))
    end)
  end)
end)

describe("penumbra data", function()
  -- Sources of our own, in the place of those the program knows: `digits` of files, `packed` of an archive.
  local function with_sources(body)
    if not (can_fetch and can_unpack) then return pending "built without libcurl or libarchive" end
    local parts = { "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                    "t10k-labels-idx1-ubyte.gz" }
    program.with_files({}, function(folder)
      assert(file.make_folder(folder .. "/modules/data"))
      assert.equal(0, program.shell(("cp examples/data/mnist/*.gz %s/served && tar czf %s/served/digits.tar.gz -C "
        .. "examples/data mnist"):format(root, root)).code)
      local function part(name, more)
        return ("{ name = %q, urls = { %q }, size = %d, sha256 = %q %s}"):format(name, "http://127.0.0.1:1/" .. name,
          lfs.attributes(root .. "/served/" .. name, "size"), hash.sha256_file(root .. "/served/" .. name), more or "")
      end
      local list = {}
      for i, name in ipairs(parts) do list[i] = part(name) end
      assert(file.write(folder .. "/modules/data/sources.lua", ([[return {
        digits = { files = { %s } },
        packed = { files = { %s } },
        unverified = { files = { { name = "t10k-labels-idx1-ubyte.gz", urls = {}, size = 4517 } } },
        strict = { terms = "Only for owls.", files = { %s } },
        private = { by_hand = "Ask them." } }]]):format(table.concat(list, ", "),
        part("digits.tar.gz", ", unpack = true"), list[1])))
      forget_requests()
      body(function(words)
        local line = 'PENUMBRA_PATH=%s/modules PENUMBRA_DATA= XDG_DATA_HOME=%s/home "$PENUMBRA" data %s'
        return program.shell(line:format(folder, folder, words))
      end, folder .. "/home/penumbra/data", folder)
    end)
  end

  it("gets a set of files from a mirror", function()
    with_sources(function(data, home)
      local r = data("get digits --from " .. base)
      assert.same({ 0, "" }, { r.code, r.err })
      assert.matches("train%-images%-idx3%-ubyte.gz: 964 kB from http://[^\n]* SHA%-256 as published\n", r.out)
      assert.matches("\ndigits: " .. home:gsub("%p", "%%%0") .. "/digits\n$", r.out)
      assert.equal("digits", left(home))
      assert.equal(4, #requests(4))
      local record = json.read(home .. "/digits/download.json")
      assert.is_true(record["t10k-labels-idx1-ubyte.gz"].verified)
      assert.matches("digits is there already", data("get digits --from " .. base).out)
      assert.matches("^here +" .. home:gsub("%p", "%%%0") .. "/digits\n", data("info Digits").out)
      local list = data("list").out
      assert.matches("\ndigits +IDX files +" .. home:gsub("%p", "%%%0") .. "/digits\n", list)
      assert.matches("\npacked +penumbra data get packed %(2%.%d+ MB%)\n", list)
      assert.matches("\nprivate +penumbra data get private says how to have it\n", list)
      local info = data("info digits").out
      assert.matches("here       " .. home .. "/digits\n", info, 1, true)
      assert.matches("digits.train: [6000x28x28x1], 10 classes\n", info, 1, true)
      assert.matches("\nmean       0%.1%d+\nstd        0%.3%d+\n$", info)
    end)
  end)

  it("goes on with a set whose download broke", function()
    with_sources(function(data, home)
      local r = data("get digits --from " .. base .. "cut/1000")
      assert.equal(1, r.code)
      assert.matches("^penumbra: data get: http://[^\n]*ended after 1,000 of 963,840 bytes; "
        .. "the next try goes on from there\n$", r.err)
      assert.equal(".downloads", left(home))
      r = data("get digits --from " .. base)
      assert.same({ 0, "digits" }, { r.code, left(home) })
      assert.matches("(1 kB of them from before)", r.out, 1, true)
      assert.equal("/train-images-idx3-ubyte.gz bytes=1000- 206 962840", requests(2)[2])
    end)
  end)

  it("gets a packed set and unpacks it", function()
    with_sources(function(data, home)
      local r = data("get packed --quiet --from " .. base)
      assert.same({ 0, "", "packed" }, { r.code, r.err, left(home) })
      assert.equal("download.json mnist", left(home .. "/packed"))
    end)
  end)

  it("says what it could not verify", function()
    with_sources(function(data)
      local r = data("get unverified --from " .. base)
      assert.matches("SHA-256 " .. hash.sha256_file(root .. "/served/t10k-labels-idx1-ubyte.gz")
        .. ", not verified: none is published\n", r.out, 1, true)
    end)
  end)

  it("does not take another file for the one that is published", function()
    with_sources(function(data, home)
      local path = root .. "/served/digits.tar.gz"
      assert(file.write(path, ("x"):rep(lfs.attributes(path, "size"))))
      local r = data("get packed --from " .. base)
      assert.equal(1, r.code)
      assert.matches("digits.tar.gz: not the expected file, removed: SHA%-256 %x+ expected, found %x+\n$", r.err)
      assert.is_false(file.exists(home .. "/packed"))
    end)
  end)

  for words, expected in pairs {
    ["get strict"] = { 1, "data get: Only for owls.\n"
      .. "  To accept this and download: penumbra data get strict --accept" },
    ["get private"] = { 1, "data get: private cannot be downloaded without an agreement\nAsk them." },
    ["get digtis"] = { 2, 'data get: no source is known of "digtis"; did you mean "digits"?' },
    ["get digits --from ftp://x"] = { 2, 'data get: --from expects an http or https URL, got "ftp://x"' },
    ["get digits --form x"] = { 2, 'data: unknown option "--form"; did you mean "--from"?' },
    ["lsit"] = { 2, 'data: unknown command "lsit"; did you mean "list"?' },
    [""] = { 2, "data: a command is required; penumbra data --help says more" },
    ["import"] = { 2, 'data: missing argument "PATH"; penumbra data --help says more' },
    ["import /no/such/path"] = { 1, "data import: /no/such/path: No such file or directory" },
    ["import Makefile"] = { 1, "data import: Makefile: expected a folder or an archive (.zip, .tar, .tar.gz)" },
    ["import examples/data/mnist --name a/b"] = { 2, 'data import: --name expects a plain name, got "a/b"' },
    ["import stdlib"] = { 1, "data import: stdlib: no data set is recognised in it" },
  } do
    it(words .. " is told in plain words", function()
      with_sources(function(data, home)
        local r = data(words)
        assert.same({ expected[1], "", "penumbra: " .. expected[2] .. "\n" }, { r.code, r.out, r.err })
        assert.is_true(not file.exists(home) or left(home) == "")
      end)
    end)
  end

  it("info sets what a copy measures beside what is published", function()
    with_sources(function(data)
      local r = data "info mnist"
      assert.same({ 0, "" }, { r.code, r.err })
      assert.matches("^MNIST: handwritten digits\norigin     .*\nlicence    .*\npublished  60,000 train and 10,000 ",
        r.out)
      assert.matches("\nmean       0%.1%d+, published 0.1307 %(.*\nstd        0%.3%d+, published 0.3081 ", r.out)
      assert.matches("\ndiffers    train: 6,000 of 60,000 images\n", r.out)
    end)
  end)

  it("info names the nearest when there is no such set", function()
    with_sources(function(data)
      local r = data "info digtis"
      assert.equal(1, r.code)
      assert.matches('data info: there is no data set "digtis" (did you mean "digits"?); expected', r.err, 1,
        true)
    end)
  end)

  it("imports a folder or an archive under a name, once", function()
    with_sources(function(data, home)
      local r = data "import examples/data/mnist"
      assert.same({ 0, "mnist: " .. home .. "/mnist\n" }, { r.code, r.out })
      assert.equal(left "examples/data/mnist", left(home .. "/mnist"))
      for _, name in ipairs { "t10k-images-idx3-ubyte.gz", "README.md" } do
        assert.equal(hash.sha256_file("examples/data/mnist/" .. name), hash.sha256_file(home .. "/mnist/" .. name))
      end
      r = data "import examples/data/mnist/"
      assert.same({ 1, "" }, { r.code, r.out })
      assert.matches("/mnist is there already; %-%-name gives it another name\n$", r.err)
      assert.equal(0, program.shell(("tar cf %s/served/sample.tar -C examples/data/mnist ."):format(root)).code)
      r = data("import " .. root .. "/served/sample.tar --name again")
      assert.same({ 0, "again mnist" }, { r.code, left(home) })
      assert.is_true(file.exists(root .. "/served/sample.tar"))
    end)
  end)

  it("leaves nothing of an archive that holds no data set", function()
    with_sources(function(data, home)
      assert.equal(0, program.shell(("tar cf %s/served/none.tar stdlib"):format(root)).code)
      local r = data("import " .. root .. "/served/none.tar")
      assert.equal(1, r.code)
      assert.matches("none.tar: no data set is recognised in it\n$", r.err)
      assert.equal("", left(home))
    end)
  end)
end)
