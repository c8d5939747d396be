--- Ten kinds of damage to every kind of file that a script or a command reads. Whatever it is: one line that names the
--- file, an exit code that says no, and nothing left behind.
package.path = "tests/?.lua;tests/cli/?.lua;tests/corpus/?.lua;" .. package.path
local checkpoint = require "checkpoint"
local file = require "file"
local lfs = require "lfs"
local models = require "models"
local pack = require "seeds.pack"
local program = require "program"
local sets = require "sets"

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

--- The bytes that a function writes to the path it is given.
local function written(by)
  local path = os.tmpname()
  by(path)
  local text = bytes(path)
  os.remove(path)
  return text
end

local small_model = "models.mlp{ shape = { 2, 2, 1 }, hidden = { 3 }, classes = 2, seed = 1 }"
local small = models.mlp { shape = { 2, 2, 1 }, hidden = { 3 }, classes = 2, seed = 1 }
local model = written(function(path) assert(small:save(path)) end)

-- A training's checkpoint: { name = bytes }.
local training = {}
do
  local folder = sets.folder()
  assert(checkpoint.save(folder, { model = small, step = 3 }))
  for name in lfs.dir(folder) do
    if name:find "^[^.]" then training[name] = bytes(folder .. "/" .. name) end
  end
  sets.remove(folder)
end
local training_side, training_tensors
for name in pairs(training) do
  if name:find "json$" then training_side = name else training_tensors = name end
end

local cat, dog = seed "png/valid-grey-8", seed "png/valid-grey-8"
local packed_pictures = { pack.tar_entry("cats/1.png", cat), pack.tar_entry("dogs/2.png", dog) }
local zipped_pictures = { { "cats/1.png", cat }, { "dogs/2.png", dog } }
local SYMBOLIC_LINK <const> = 0xa1ff -- as the mode of an entry of a zip file

-- The pictures and one entry more.
local function tar_with(...)
  return pack.tar(packed_pictures[1], packed_pictures[2], pack.tar_entry(...))
end
local function zip_with(entry) return pack.zip { zipped_pictures[1], zipped_pictures[2], entry } end

local tar_damage = {
  ["truncated by a byte"] = false, -- of the padding at its end
  ["wrong counts"] = tar_with("cats/3.png", cat, { size = 100000 }),
  ["absurd sizes"] = tar_with("cats/3.png", cat, { size = 1 << 32 }),
  ["duplicate names"] = tar_with("cats/1.png", cat),
  ["a link inside"] = tar_with("cats/3.png", "", { kind = "2", target = "../../../files" }),
  ["a path to the outside"] = tar_with("../cats/3.png", cat),
}
local zip_damage = {
  ["wrong counts"] = zip_with { "cats/3.png", cat, size = #cat + 1 },
  ["absurd sizes"] = zip_with { "cats/3.png", cat, size = 0xfffffff0 },
  ["duplicate names"] = zip_with { "cats/1.png", cat },
  ["a bomb"] = zip_with { "cats/3.png", ("\0"):rep(1000), method = 8, size = 0xfffffff0 },
  ["a link inside"] = zip_with { "cats/3.png", "../../../files", mode = SYMBOLIC_LINK },
  ["a path to the outside"] = zip_with { "../cats/3.png", cat },
}

local torch_damage = {
  ["wrong counts"] = seed "torch/damaged-zip-short", ["absurd sizes"] = seed "npz/damaged-declared",
  ["duplicate names"] = seed "torch/damaged-zip-twice",
  ["a bomb"] = zip_damage["a bomb"],
}

-- ---- what is read ----

local function numpy(kind, shape, elements)
  local header = ("{'descr': '%s', 'fortran_order': False, 'shape': (%s)}\n"):format(kind, shape)
  return "\x93NUMPY\1\0" .. string.pack("<s2", header) .. elements
end

local function numpy_set(labels)
  return pack.zip { { "x_train.npy", numpy("|u1", "2, 3, 3", ("x"):rep(18)) },
                    { "y_train.npy", labels or numpy("|u1", "2,", "\0\1") },
                    { "x_test.npy", numpy("|u1", "1, 3, 3", ("y"):rep(9)) },
                    { "y_test.npy", numpy("|u1", "1,", "\0") } }
end

-- Each: name; file, the one that is damaged, among `files` (name -> bytes); how it is read: a line of Lua in which
-- `file` and `folder` are paths, or the words of a command; damage: bytes by kind, in place of the general ones below
-- (false: it would be no damage); notes: what the program says of a file before it reads it; place: what the message
-- names when the file is no file.
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
  { name = "a set of SVHN's files", file = "test_32x32.mat", read = "data.open(folder)",
    files = { ["test_32x32.mat"] = seed "mat/valid-packed", ["train_32x32.mat"] = seed "mat/valid-raw" },
    damage = { ["wrong magic"] = ("MATLAB 6"):rep(100), ["wrong counts"] = seed "mat/damaged-counts",
               ["absurd sizes"] = seed "mat/damaged-sizes", ["a bomb"] = seed "mat/damaged-short-x" } },
  { name = "a set of NumPy arrays", file = "y_test.npy", read = "data.open(folder)",
    files = { ["x_test.npy"] = numpy("|u1", "2, 3, 3", ("x"):rep(18)), ["y_test.npy"] = numpy("|u1", "2,", "\0\1"),
              ["x_train.npy"] = numpy("|u1", "2, 3, 3", ("x"):rep(18)), ["y_train.npy"] = numpy("|u1", "2,", "\1\0") },
    damage = { ["wrong counts"] = numpy("|u1", "3,", "\0\1\1"), ["absurd sizes"] = seed "npy/damaged-shape",
               ["duplicate names"] = seed "npy/damaged-key" } },
  { name = "a set of arrays in one file", file = "set.npz", read = "data.open(file)",
    files = { ["set.npz"] = numpy_set() },
    damage = { ["wrong counts"] = numpy_set(numpy("|u1", "3,", "\0\1\1")),
               ["duplicate names"] = seed "npz/damaged-twice",
               ["absurd sizes"] = seed "npz/damaged-declared", ["a bomb"] = zip_damage["a bomb"] } },
  { name = "npz", file = "arrays.npz", read = "assert(nn.npz.load(file))",
    files = { ["arrays.npz"] = seed "npz/valid-two" },
    damage = { ["wrong counts"] = seed "npz/damaged-array", ["absurd sizes"] = seed "npz/damaged-sizes",
               ["duplicate names"] = seed "npz/damaged-twice", ["a bomb"] = seed "npz/damaged-declared" } },
  { name = "a set of pictures", file = "dogs/2.png", place = "files/dogs", read = "data.open(folder)",
    files = { ["cats/1.png"] = cat, ["dogs/2.png"] = dog },
    damage = { ["wrong counts"] = seed "png/damaged-rows", ["absurd sizes"] = seed "png/damaged-sides",
               ["a bomb"] = seed "png/damaged-square" } },
  { name = "Tiny ImageNet's annotations", file = "val/val_annotations.txt", read = "data.open(folder)",
    files = { ["wnids.txt"] = "n02000002\nn01000001\n", ["train/n01000001/images/n01000001_0.png"] = cat,
              ["train/n02000002/images/n02000002_0.png"] = dog, ["val/images/val_0.png"] = cat,
              ["val/images/val_1.png"] = dog,
              ["val/val_annotations.txt"] = "val_0.png\tn02000002\t0\t0\t1\t1\nval_1.png\tn01000001\t0\t0\t1\t1\n" },
    damage = { ["truncated by a byte"] = false, ["wrong counts"] = "val_0.png\tn02000002\n",
               ["duplicate names"] = "val_0.png\tn02000002\nval_0.png\tn02000002\n",
               ["a path to the outside"] = "val_0.png\tn02000002\n../../wnids.txt\tn02000002\n" } },
  { name = "ImageNet's table of classes", file = "ILSVRC2012_devkit_t12/data/meta.mat", read = "data.open(folder)",
    files = { ["val/ILSVRC2012_val_00000001.png"] = cat,
              ["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"] = "1\n",
              ["ILSVRC2012_devkit_t12/data/meta.mat"] = sets.mat(sets.mat_synsets { { 1, "n01000001", "ant" } }) },
    damage = { ["wrong magic"] = ("MATLAB 6"):rep(100), ["absurd sizes"] = seed "mat/damaged-rows",
               ["duplicate names"] = sets.mat(sets.mat_synsets { { 1, "n01000001", "a" }, { 1, "n02000002", "b" } }),
               ["a path to the outside"] = sets.mat(sets.mat_synsets { { 1, "../ant", "ant" } }) } },
  { name = "a set in a tar file", file = "set.tar", read = "data.open(file)", notes = "unpacked, to ",
    files = { ["set.tar"] = pack.tar(table.unpack(packed_pictures)) }, damage = tar_damage },
  { name = "a set in a packed tar file", file = "set.tar.gz", read = "data.open(file)", notes = "unpacked, to ",
    files = { ["set.tar.gz"] = pack.gzip(pack.tar(table.unpack(packed_pictures))) },
    damage = { ["wrong counts"] = pack.gzip(tar_damage["wrong counts"]),
               ["absurd sizes"] = pack.gzip(tar_damage["absurd sizes"]),
               ["duplicate names"] = pack.gzip(tar_damage["duplicate names"]),
               ["a bomb"] = pack.gzip(tar_with("cats/3.png", ("\0"):rep(200000)), true):sub(1, -9),
               ["a link inside"] = pack.gzip(tar_damage["a link inside"]),
               ["a path to the outside"] = pack.gzip(tar_damage["a path to the outside"]) } },
  { name = "a set in a zip file", file = "set.zip", read = "data.open(file)", notes = "unpacked, to ",
    files = { ["set.zip"] = pack.zip(zipped_pictures) }, damage = zip_damage },
  { name = "penumbra data import", file = "set.tar", notes = "unpacked, to ",
    read = function(path) return { "data", "import", path } end,
    files = { ["set.tar"] = pack.tar(table.unpack(packed_pictures)) }, damage = tar_damage },
  { name = "a zip file of torch.save", file = "model.pt", read = "assert(nn.checkpoint.read(file))",
    files = { ["model.pt"] = seed "torch/valid-zip" }, damage = torch_damage },
  { name = "a stream of torch.save", file = "model.pt", read = "assert(nn.checkpoint.read(file))",
    files = { ["model.pt"] = seed "pickle/valid-state" },
    damage = { ["wrong counts"] = seed "pickle/damaged-elements", ["absurd sizes"] = seed "pickle/damaged-long",
               ["a bomb"] = seed "pickle/damaged-shared" } },
  { name = "a tar file of torch.save", file = "model.pt", read = "assert(nn.checkpoint.read(file))",
    files = { ["model.pt"] = seed "torch/valid-tar" },
    damage = { ["truncated by a byte"] = false, ["wrong counts"] = seed "torch/damaged-tar-axes",
               ["absurd sizes"] = seed "torch/damaged-tar-count" } },
  { name = "model:load", file = "model.safetensors",
    read = "assert(" .. small_model .. ":load(file))",
    files = { ["model.safetensors"] = model },
    damage = { ["wrong counts"] = seed "safetensors/damaged-hole",
               ["duplicate names"] = seed "safetensors/damaged-twice" } },
  { name = "a training's checkpoint: its side", file = training_side, files = training,
    read = "assert(checkpoint.load(folder, { model = " .. small_model .. " }))",
    damage = { ["truncated by a byte"] = training[training_side]:sub(1, -3), -- the last one ends the line
               ["duplicate names"] = '{"step": 1, "step": 2}', ["a bomb"] = ("["):rep(100000) } },
  { name = "a training's checkpoint: its tensors", file = training_tensors, files = training,
    read = "assert(checkpoint.load(folder, { model = " .. small_model .. " }))",
    damage = { ["wrong counts"] = seed "safetensors/damaged-hole",
               ["duplicate names"] = seed "safetensors/damaged-twice" } },
  { name = "penumbra predict: the model", file = "model.safetensors",
    read = function(path, folder) return { "predict", path, folder .. "/1.png" } end,
    files = { ["model.safetensors"] = model, ["1.png"] = cat },
    damage = { ["wrong counts"] = seed "safetensors/damaged-hole", ["absurd sizes"] = seed "safetensors/damaged-sizes",
               ["duplicate names"] = seed "safetensors/damaged-twice" } },
  { name = "penumbra predict: the picture", file = "1.png",
    read = function(path, folder) return { "predict", folder .. "/model.safetensors", path } end,
    files = { ["model.safetensors"] = model, ["1.png"] = cat },
    damage = { ["wrong counts"] = seed "png/damaged-rows", ["absurd sizes"] = seed "png/damaged-sides",
               ["a bomb"] = seed "png/damaged-square" } },
  { name = "penumbra model info", file = "model.pt", read = function(path) return { "model", "info", path } end,
    files = { ["model.pt"] = seed "torch/valid-zip" }, damage = torch_damage },
  { name = "penumbra model convert", file = "model.pt",
    read = function(path, folder) return { "model", "convert", path, folder .. "/made.safetensors" } end,
    files = { ["model.pt"] = seed "torch/valid-zip" }, damage = torch_damage },
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
  return program.shell(('cd %s && HOME="$PWD" TMPDIR="$PWD/tmp" XDG_CACHE_HOME="$PWD/cache" XDG_DATA_HOME="$PWD/data" '
    .. 'PENUMBRA_DATA= timeout 60 "$PENUMBRA" %s'):format(program.quote(folder), table.concat(words, " ")))
end

local function with_format(format, body)
  local folder = os.tmpname()
  os.remove(folder)
  -- The folders that the program keeps for itself may be made, and stay.
  assert(file.make_folder(folder .. "/tmp"))
  assert(file.make_folder(folder .. "/cache/penumbra/unpacked"))
  assert(file.make_folder(folder .. "/cache/penumbra/files"))
  assert(file.make_folder(folder .. "/data/penumbra/data"))
  for name, text in pairs(format.files) do
    assert(file.make_folder((file.split(folder .. "/files/" .. name))))
    write(folder .. "/files/" .. name, text)
  end
  local ok, message = pcall(body, folder, folder .. "/files/" .. format.file)
  os.execute("rm -rf " .. program.quote(folder))
  if not ok then error(message, 0) end
end

local function is_refused(format, folder, named)
  local before = tree(folder)
  local r = read(format, folder)
  assert.is_true(r.code > 0 and r.code < 124, ("exit code %d, standard error: %s"):format(r.code, r.err))
  assert.equal("", r.out)
  local text = r.err
  if format.notes then text = text:gsub("^[^\n]+" .. format.notes .. "[^\n]+\n", "") end
  local line = text:match "^penumbra: ([^\n]+)\n$"
  assert.is_truthy(line, "one line expected, got:\n" .. r.err)
  assert.is_truthy(line:find(named, 1, true), "the line does not name " .. named .. ": " .. line)
  assert.same(before, tree(folder))
end

for _, format in ipairs(formats) do
  describe(format.name, function()
    it("is read when whole", function()
      with_format(format, function(folder)
        local r = read(format, folder)
        assert.equal(0, r.code, r.err)
        assert.is_truthy(r.err == "" or format.notes and r.err:find(format.notes, 1, true), r.err)
      end)
    end)

    for _, kind in ipairs(kinds) do
      local text = format.damage[kind[1]]
      if text == nil and kind[2] then text = kind[2](format) end
      if text then
        it("is refused: " .. kind[1], function()
          with_format(format, function(folder, path)
            write(path, text)
            is_refused(format, folder, format.file)
          end)
        end)
      end
    end

    for _, place in ipairs(places) do
      it("is refused: " .. place[1], function()
        with_format(format, function(folder, path)
          local original = bytes(path)
          assert(os.remove(path))
          place[2](path, original)
          is_refused(format, folder, format.place or format.file)
        end)
      end)
    end
  end)
end
