--- Ten kinds of damage to every kind of file that a script or a command reads. Whatever it is: one line that names the
--- file, an exit code that says no, and nothing left behind.
package.path = "tests/cli/?.lua;tests/corpus/?.lua;" .. package.path
local lfs = require "lfs"
local program = require "program"

local function bytes(path)
  local handle = assert(io.open(path, "rb"))
  local text = handle:read "a"
  handle:close()
  return text
end

local function write(path, text)
  local handle = assert(io.open(path, "wb"))
  assert(handle:write(text))
  assert(handle:close())
end

--- A seed of the fuzzers: tests/corpus/NAME.
local function seed(name) return bytes("tests/corpus/" .. name) end

-- ---- what is read ----

-- Each: name; file, the one that is damaged, among `files` (name -> bytes); how it is read: a line of Lua in which
-- `file` and `folder` are paths, or the words of a command; damage: bytes by kind, in place of the general ones below.
-- A kind that is false does not exist for this format.
local formats = {
  { name = "PNG", file = "picture.png", read = "assert(image.load(file))",
    files = { ["picture.png"] = seed "png/valid-colour-8-turned" },
    damage = { ["wrong counts"] = seed "png/damaged-rows", ["absurd sizes"] = seed "png/damaged-sides",
               ["a bomb"] = seed "png/damaged-square" } },
  { name = "JPEG", file = "picture.jpg", read = "assert(image.load(file))",
    files = { ["picture.jpg"] = seed "jpeg/valid-420-restarts" },
    damage = { ["wrong counts"] = seed "jpeg/damaged-two-components", ["absurd sizes"] = seed "jpeg/damaged-sides" } },
  { name = "npy", file = "array.npy", read = "assert(nn.npy.load(file))",
    files = { ["array.npy"] = seed "npy/valid-f4" },
    damage = { ["wrong counts"] = seed "npy/damaged-count", ["absurd sizes"] = seed "npy/damaged-shape",
               ["duplicate names"] = seed "npy/damaged-key" } },
  { name = "JSON", file = "side.json", read = "assert(json.read(file))",
    files = { ["side.json"] = seed "json/valid-all-kinds" },
    damage = { ["duplicate names"] = '{"a": 1, "a": 2}', ["a bomb"] = ("["):rep(1000000) } },
  { name = "safetensors", file = "model.safetensors", read = "assert(nn.checkpoint.read(file))",
    files = { ["model.safetensors"] = seed "safetensors/valid-two" },
    damage = { ["wrong counts"] = seed "safetensors/damaged-hole", ["absurd sizes"] = seed "safetensors/damaged-sizes",
               ["duplicate names"] = seed "safetensors/damaged-twice",
               ["a bomb"] = seed "safetensors/damaged-length" } },
  { name = "a set of IDX files", file = "train-images-idx3-ubyte", read = "data.open(folder)",
    files = { ["train-images-idx3-ubyte"] = seed "idx/valid-images",
              ["t10k-images-idx3-ubyte"] = seed "idx/valid-images",
              ["train-labels-idx1-ubyte"] = "\0\0\8\1\0\0\0\2\0\1",
              ["t10k-labels-idx1-ubyte"] = "\0\0\8\1\0\0\0\2\1\0" },
    damage = { ["wrong counts"] = seed "idx/damaged-more", ["absurd sizes"] = seed "idx/damaged-sizes",
               ["a bomb"] = seed "idx/damaged-large.gz" } },
  { name = "a set of CIFAR files", file = "test_batch.bin", read = "data.open(folder)",
    files = { ["test_batch.bin"] = seed "cifar/valid-10", ["data_batch_1.bin"] = seed "cifar/valid-10" },
    damage = { ["wrong counts"] = seed "cifar/damaged-short" } },
}

-- ---- the kinds of damage ----

local function truncated(format) return format.files[format.file]:sub(1, -2) end
local function halved(format) return format.files[format.file]:sub(1, #format.files[format.file] // 2) end
local function magic(format) return "\250\250\250\250\250\250\250\250" .. format.files[format.file]:sub(9) end
local function empty() return "" end

-- Kinds that only change bytes; a kind without a function needs bytes of the format's own.
local kinds = {
  { "truncated by a byte", truncated }, { "truncated by half", halved }, { "wrong magic", magic }, { "empty", empty },
  { "wrong counts" }, { "absurd sizes" }, { "duplicate names" }, { "a bomb" }, { "a link inside" },
  { "a path to the outside" },
}

local root = io.popen("id -u"):read "l" == "0"

-- Kinds of which the file is no file, or one that cannot be opened. Root may read whatever is there: only a link that
-- leads to itself it cannot follow either.
local places = {
  { "a folder instead of a file", function(path) assert(lfs.mkdir(path)) end },
  { "unreadable", function(path, original)
    if root then
      assert(lfs.link(path:match "[^/]+$", path, true))
    else
      write(path, original)
      assert(os.execute("chmod 000 " .. program.quote(path)))
    end
  end },
}

-- ---- trying ----

--- Everything below a folder: path -> kind and size.
local function tree(folder, found, below)
  found, below = found or {}, below or ""
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then
      local path = folder .. "/" .. name
      local about = assert(lfs.symlinkattributes(path))
      found[below .. name] = about.mode .. (about.mode == "file" and " of " .. about.size or "")
      if about.mode == "directory" then tree(path, found, below .. name .. "/") end
    end
  end
  return found
end

--- Reads the file with the program, in which every folder of the user's is one in `folder`.
local function read(format, folder)
  local path = folder .. "/files/" .. format.file
  local words
  if type(format.read) == "string" then
    words = { "-e", ("local file, folder = %q, %q; %s"):format(path, folder .. "/files", format.read) }
  else
    words = format.read(path, folder .. "/files")
  end
  for i, word in ipairs(words) do words[i] = program.quote(word) end
  return program.shell(("cd %s && HOME=. TMPDIR=tmp XDG_CACHE_HOME=cache XDG_DATA_HOME=data PENUMBRA_DATA= timeout 60 "
    .. '"$PENUMBRA" %s'):format(program.quote(folder), table.concat(words, " ")))
end

local function with_format(format, body)
  local folder = os.tmpname()
  os.remove(folder)
  for _, below in ipairs { "", "/files", "/tmp", "/cache", "/data" } do assert(lfs.mkdir(folder .. below)) end
  for name, text in pairs(format.files) do write(folder .. "/files/" .. name, text) end
  local ok, message = pcall(body, folder, folder .. "/files/" .. format.file)
  os.execute("rm -rf " .. program.quote(folder))
  if not ok then error(message, 0) end
end

local function is_refused(format, folder)
  local before = tree(folder)
  local r = read(format, folder)
  assert.is_true(r.code > 0 and r.code < 124, ("exit code %d, standard error: %s"):format(r.code, r.err))
  assert.equal("", r.out)
  local line = r.err:match "^penumbra: ([^\n]+)\n$"
  assert.is_truthy(line, "one line expected, got:\n" .. r.err)
  assert.is_truthy(line:find(format.file, 1, true), "the line does not name the file: " .. line)
  assert.same(before, tree(folder))
end

for _, format in ipairs(formats) do
  describe(format.name, function()
    it("is read when whole", function()
      with_format(format, function(folder)
        local r = read(format, folder)
        assert.same({ 0, "" }, { r.code, r.err })
      end)
    end)

    for _, kind in ipairs(kinds) do
      local text = format.damage[kind[1]]
      if text == nil and kind[2] then text = kind[2](format) end
      if text then
        it("is refused: " .. kind[1], function()
          with_format(format, function(folder, path)
            write(path, text)
            is_refused(format, folder)
          end)
        end)
      end
    end

    for _, place in ipairs(places) do
      it("is refused: " .. place[1], function()
        with_format(format, function(folder, path)
          local original = bytes(path)
          os.remove(path)
          place[2](path, original)
          is_refused(format, folder)
        end)
      end)
    end
  end)
end
