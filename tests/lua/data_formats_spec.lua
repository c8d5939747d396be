--- Data sets in single files: SVHN's .mat files, EMNIST's splits, NumPy arrays and CIFAR-10-C, whole and damaged.
package.path = "tests/?.lua;" .. package.path
local data = require "data"
local lfs = require "lfs"
local nn = require "nn"
local sets = require "sets"

local folder
before_each(function() folder = sets.folder() end)
after_each(function() sets.remove(folder) end)

local function write(name, bytes) sets.write(folder .. "/" .. name, bytes) end

local refused = sets.refused

describe("SVHN", function()
  local train = sets.mat(sets.mat_images { 10, 20, 30 }, sets.mat_labels { 1, 10, 9 })
  local test = sets.mat(sets.mat_labels { 5 }, sets.mat_images { 7 })
  before_each(function()
    write("train_32x32.mat", train)
    write("test_32x32.mat", test)
  end)

  it("has the digit 0 where a label is 10", function()
    local set = data.open(folder)
    assert.equal(10, set.classes)
    assert.same({ 2, 1, 10 }, set.train.labels:tolist())
    assert.equal("0", set.class_names[set.train.labels:get(2)])
    assert.same({ 3, 32, 32, 3 }, set.train.images.shape)
    assert.equal(20, set.train.images:get(2, 31, 5, 3))
    assert.same({ 6 }, set.test.labels:tolist())
    assert.equal(3, #data.open(folder .. "/train_32x32.mat").train)
    assert.is_nil(data.open(folder .. "/train_32x32.mat").test)
  end)

  it("takes the extra digits when asked to", function()
    refused(folder, { extra = true }, "extra_32x32.mat is missing")
    write("extra_32x32.mat", sets.mat(sets.mat_images { 1, 2 }, sets.mat_labels { 3, 4 }))
    local set = data.open(folder, { extra = true })
    assert.same({ 2, 1, 10, 4, 5 }, set.train.labels:tolist())
    assert.equal(2, set.train.images:get(5, 1, 1, 1))
    assert.equal(3, #data.open(folder).train)
  end)

  it("tells ten kinds of damage in a line", function()
    local path = folder .. "/train_32x32.mat"
    local function damaged(bytes, ...)
      os.remove(path)
      if bytes then write("train_32x32.mat", bytes) end
      refused(folder, nil, "train_32x32.mat", ...)
    end
    damaged(nil, "is missing")
    damaged("", "header: 128 bytes expected, 0 found")
    damaged(train:sub(1, 5000), "variable: 9,%d%d%d bytes expected at offset 136, 4,864 found; the file ends there")
    damaged("MATLAB 7.3" .. train:sub(11), "HDF5")
    damaged(("x"):rep(#train), "not a MATLAB 5 file")
    damaged(sets.mat(sets.mat_images { 1 }), "y is missing")
    damaged(sets.mat(sets.mat_images { 1 }, sets.mat_labels { 1, 2 }), "X holds 1 images, y 2 labels")
    damaged(sets.mat(sets.mat_images { 1 }, sets.mat_labels { 11 }), "label of image 1: 1 to 10 expected.*found 11")
    damaged(sets.mat(sets.mat_images { 1 }, sets.mat_labels { 0.5 }), "label of image 1: 1 to 10 expected.*found 0.5")
    damaged((train:gsub("\3\0\0\0\3\0\0\0", "\3\0\0\0\255\255\255\127", 1)),
      "sizes 32 x 32 x 3 x 2147483647, but 9,216 bytes")
    damaged((train:gsub("\32\0\0\0\32\0\0\0", "\28\0\0\0\32\0\0\0", 1)), "32 x 32 x 3 x N expected, found 28 x 32")
    os.remove(path)
    assert(lfs.mkdir(path))
    refused(folder, nil, "train_32x32.mat is missing")
  end)
end)

describe("EMNIST", function()
  local pixels = string.char(1, 2, 3, 4, 5, 6)
  local function write_split(split, labels)
    for _, part in ipairs { "train", "test" } do
      local start = ("emnist-%s-%s"):format(split, part)
      write(start .. "-images-idx3-ubyte", sets.idx({ #labels, 2, 3 }, pixels:rep(#labels)))
      write(start .. "-labels-idx1-ubyte", sets.idx({ #labels }, string.char(table.unpack(labels))))
    end
  end

  it("reads the one split that is there, upright and with its characters", function()
    write_split("letters", { 1, 3, 2 })
    write("emnist-letters-mapping.txt", "1 65 97\n2 66 98\n3 67 99\n")
    local set = data.open(folder)
    assert.same({ "A", "B", "C" }, set.class_names)
    assert.same({ 1, 3, 2 }, set.train.labels:tolist())
    assert.same({ 3, 3, 2, 1 }, set.train.images.shape)
    assert.same({ { { 1 }, { 4 } }, { { 2 }, { 5 } }, { { 3 }, { 6 } } }, set.train.images[1]:tolist())
    os.remove(folder .. "/emnist-letters-mapping.txt")
    assert.same({ 1, 3, 2 }, data.open(folder).test.labels:tolist())
  end)

  it("asks which of several splits", function()
    write_split("letters", { 1, 2 })
    write_split("digits", { 0, 1, 2 })
    refused(folder, nil, 'holds the splits digits, letters of EMNIST: split = "digits" or another of them expected')
    refused(folder, { split = "balanced" }, 'got "balanced"')
    assert.equal(3, data.open(folder, { split = "digits" }).classes)
    write("emnist-digits-mapping.txt", "0 48\n1 49\n")
    refused(folder, { split = "digits" }, "label of record 2: 0 to 1 expected, as in the mapping, found 2")
    write("emnist-digits-mapping.txt", "0 48\none 49\n")
    refused(folder, { split = "digits" }, "line 2: a label and a character code expected, found \"one 49\"")
    os.remove(folder .. "/emnist-digits-test-labels-idx1-ubyte")
    refused(folder, { split = "digits" }, "emnist%-digits%-test%-labels%-idx1%-ubyte is missing")
  end)

  it("has nothing to do with other IDX files", function()
    write("train-images-idx3-ubyte", sets.idx({ 1, 2, 3 }, pixels))
    refused(folder, { split = "letters" }, 'has no split "letters"')
  end)
end)

describe("IDX files of a known set", function()
  it("have its classes' names", function()
    local labels = string.char(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    for _, part in ipairs { "train", "t10k" } do
      write("FashionMNIST/raw/" .. part .. "-images-idx3-ubyte", sets.idx({ 10, 1, 1 }, labels))
      write("FashionMNIST/raw/" .. part .. "-labels-idx1-ubyte", sets.idx({ 10 }, labels))
    end
    assert.equal("Ankle boot", data.open(folder .. "/FashionMNIST").class_names[10])
    assert.equal("Ankle boot", data.open(folder).class_names[10])
  end)
end)

describe("NumPy arrays", function()
  local function save(name, list, kind)
    assert(nn.npy.save(folder .. "/" .. name .. ".npy", nn.tensor(list, { type = kind })))
  end
  local grey = { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } }

  it("are images and labels, also as floats and with one more axis", function()
    save("x_train", grey, "uint8")
    save("y_train", { 1, 0 }, "int32")
    save("x_test", { { { 0, 1 }, { 0.5, 0 } } }, "float")
    save("y_test", { { 1 } }, "int32")
    local set = data.open(folder)
    assert.same({ 2, 2, 2, 1 }, set.train.images.shape)
    assert.same({ 2, 1 }, set.train.labels:tolist())
    assert.equal(255, set.test.images:get(1, 1, 2, 1))
    assert.equal(2, set.classes)
    assert.same({ 2 }, set.test.labels:tolist())
  end)

  it("may be one pair", function()
    save("images", grey, "uint8")
    save("labels", { 0, 1 }, "uint8")
    assert.is_nil(data.open(folder).test)
    assert.equal(2, #data.open(folder).train)
    assert.equal(1, #data.open(folder, { validation = 0.5 }).validation)
    refused(folder, { test_limit = 3 }, "has no test part: test_limit does not apply")
  end)

  it("may lie in one .npz", function()
    local function bytes(list) return nn.tensor(list, { type = "uint8" }) end
    local arrays = { train_images = bytes(grey), train_labels = bytes { 0, 1 },
                     val_images = bytes(grey), val_labels = bytes { 1, 1 } }
    assert(nn.npz.save(folder .. "/set.npz", arrays))
    local set = data.open(folder .. "/set.npz")
    assert.equal(2, #set.train)
    assert.same({ 2, 2 }, set.validation.labels:tolist())
    assert.is_nil(set.test)
    assert(nn.npz.save(folder .. "/other.npz", { a = nn.tensor { 1 } }))
    refused(folder .. "/other.npz", nil, "other.npz: x_train and y_train, or .*, found 1 array %(a%)")
  end)

  it("tell ten kinds of damage in a line", function()
    save("x_train", grey, "uint8")
    refused(folder, nil, "y_train.npy is missing")
    save("y_train", { 0, 1, 1 }, "int32")
    refused(folder, nil, "y_train.npy: 2 labels expected, one for each image, found 3")
    save("y_train", { 0, -1 }, "int32")
    refused(folder, nil, "y_train.npy: label 1: 0 or more expected, found %-1")
    save("y_train", { 0.5, 1 }, "float")
    refused(folder, nil, "y_train.npy: labels %[N%] of integers expected, found float")
    save("y_train", { 0, 1 }, "int32")
    save("x_test", grey, "uint8")
    save("y_test", { 2, 1 }, "int32")
    refused(folder, nil, "y_test.npy: label 0: 0 to 1 expected, as in .*/y_train.npy, found 2")
    save("y_test", { 0, 1 }, "int32")
    save("x_train", { { 1, 2 }, { 3, 4 } }, "uint8")
    refused(folder, nil, "x_train.npy: images %[N, height, width%] or .*, found %[2, 2%]")
    save("x_train", { { { { 1, 2 }, { 3, 4 } } }, { { { 1, 2 }, { 3, 4 } } } }, "uint8")
    refused(folder, nil, "this looks like channels before the sides")
    save("x_train", { { { 0, 2 }, { 3, 4 } }, { { 0, 2 }, { 3, 4 } } }, "float")
    refused(folder, nil, "float from 0 to 1 expected, found float from 0 to 4")
    save("x_train", grey, "int32")
    refused(folder, nil, "images of uint8, or of float from 0 to 1, expected, found int32")
    write("x_train.npy", "")
    refused(folder, nil, "x_train.npy: magic number: 8 bytes expected at offset 0, 0 found; the file ends there")
    write("x_train.npy", "not an array of any kind")
    refused(folder, nil, "not a .npy file")
  end)
end)

describe("CIFAR-10-C", function()
  before_each(function()
    local images, labels = {}, {}
    for i = 1, 10 do
      images[i], labels[i] = { { { i, 0, 0 } } }, (i - 1) % 2 + 8
    end
    for _, name in ipairs { "fog", "gaussian_noise" } do
      assert(nn.npy.save(folder .. "/" .. name .. ".npy", nn.tensor(images, { type = "uint8" })))
    end
    assert(nn.npy.save(folder .. "/labels.npy", nn.tensor(labels, { type = "int32" })))
  end)

  it("is a test part of one corruption, of one severity or all", function()
    local set = data.open(folder, { corruption = "fog", severity = 3 })
    assert.is_nil(set.train)
    assert.equal("truck", set.class_names[10])
    assert.same({ 9, 10 }, set.test.labels:tolist())
    assert.equal(5, set.test.images:get(1, 1, 1, 1))
    assert.matches("%.fog%.3: %[2x1x1x3%], 10 classes", set:describe())
    assert.equal(10, #data.open(folder, { corruption = "fog" }).test)
    refused(folder, { corruption = "fog", limit = 3 }, "has no training part: limit and validation do not apply")
  end)

  it("asks which corruption", function()
    refused(folder, nil, 'corruption = "fog" or another of them expected')
    refused(folder, { corruption = "frost" }, 'has no corruption "frost"; it has fog, gaussian_noise')
    assert.error_matches(function() data.open(folder, { corruption = "fog", severity = 6 }) end,
      "severity expects an integer from 1 to 5, got 6")
    assert.error_matches(function() data.open(folder, { corruption = "../fog" }) end, "a name of small letters")
    assert(nn.npy.save(folder .. "/labels.npy", nn.tensor({ 1, 2 }, { type = "int32" })))
    refused(folder, { corruption = "fog" }, "labels.npy: 10 labels expected, one for each image, found 2")
  end)
end)

describe("a folder with two sets", function()
  local function write_idx(last)
    for i, name in ipairs { "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1" } do
      if i <= last then write(name .. "-ubyte", sets.idx(i % 2 == 1 and { 1, 1, 1 } or { 1 }, "\0")) end
    end
  end

  it("is refused, unless only one of them is there whole", function()
    write("train_32x32.mat", sets.mat(sets.mat_images { 1 }, sets.mat_labels { 1 }))
    write("test_32x32.mat", sets.mat(sets.mat_images { 1 }, sets.mat_labels { 1 }))
    write_idx(3)
    assert.same({ 32, 32, 3 }, data.open(folder).train.shape)
    write_idx(4)
    refused(folder, nil, "holds IDX files and SVHN's .mat files: a folder with one set expected")
    os.remove(folder .. "/test_32x32.mat")
    assert.same({ 1, 1, 1 }, data.open(folder).train.shape)
  end)
end)

describe("options of one kind of set", function()
  it("are refused by the others", function()
    write("train_32x32.mat", sets.mat(sets.mat_images { 1, 2 }, sets.mat_labels { 1, 2 }))
    local path = folder .. "/train_32x32.mat"
    refused(path, { corruption = "fog" }, 'option "corruption" does not apply to .*, which holds SVHN\'s .mat files')
    refused(path, { memory = false }, "memory = false is for pictures in files")
    refused(path, { resize = 40 }, "resize is the short side before side x side are cut out: expected at least side")
    refused(path, { side = 40, resize = 30 }, "expected at least side, 40, got 30")
    local set = data.open(path, { side = 16, resize = 20, channels = 1 })
    assert.same({ 2, 16, 16, 1 }, set.train.images.shape)
    assert.same({ 2, 1, 1, 1 }, data.open(path, { side = 1, channels = 1 }).train.images.shape)
    assert.equal(2, set.train.images:get(2, 8, 8, 1))
    assert.error_matches(function() data.open(path, { channels = 2 }) end, "channels expects one of 1, 3, got 2")
  end)
end)
