--- Data sets from files: what they hold, how they are drawn, split and tinted, and what damage to a file is told.
local data = require "data"
local lfs = require "lfs"
local nn = require "nn"

local folder

local function write(name, bytes)
  local handle = assert(io.open(folder .. "/" .. name, "wb"))
  handle:write(bytes)
  handle:close()
end

local function remove_all(path)
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then
      local inner = path .. "/" .. name
      if lfs.attributes(inner, "mode") == "directory" then remove_all(inner) else os.remove(inner) end
    end
  end
  lfs.rmdir(path)
end

local function idx(sizes, bytes)
  return "\0\0\8" .. string.char(#sizes) .. string.pack(">" .. ("I4"):rep(#sizes), table.unpack(sizes)) .. bytes
end

-- 20 training and 5 test images of 2 x 3, three classes.
local function write_idx()
  local pixels, labels = {}, {}
  for i = 1, 20 do
    for p = 1, 6 do pixels[#pixels + 1] = string.char((i * 6 + p) % 256) end
    labels[i] = string.char(i % 3)
  end
  pixels, labels = table.concat(pixels), table.concat(labels)
  write("train-images-idx3-ubyte", idx({ 20, 2, 3 }, pixels))
  write("train-labels-idx1-ubyte", idx({ 20 }, labels))
  write("t10k-images-idx3-ubyte", idx({ 5, 2, 3 }, pixels:sub(1, 30)))
  write("t10k-labels-idx1-ubyte", idx({ 5 }, labels:sub(1, 5)))
end

local function order_of(part, options)
  local list = {}
  for x in part:batches(options) do
    for n = 1, #x do list[#list + 1] = math.floor(x:get(n, 1, 1, 1) * 255 + 0.5) end
  end
  return list
end

local function labels_of(part)
  local count = {}
  for _, label in ipairs(part.labels:tolist()) do count[label] = (count[label] or 0) + 1 end
  return count
end

describe("data.open", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
  end)

  after_each(function() remove_all(folder) end)

  it("reads a folder of IDX files", function()
    write_idx()
    local set = data.open(folder)
    assert.equal(3, set.classes)
    assert.same({ "0", "1", "2" }, set.class_names)
    assert.same({ 20, 2, 3, 1 }, set.train.images.shape)
    assert.equal("uint8", set.train.images.type)
    assert.equal("index", set.train.labels.type)
    assert.equal(5, #set.test)
    assert.equal(20, set.train.count)
    local image, label = set.train:image(2)
    assert.same({ 2, 3, 1 }, image.shape)
    assert.equal(13, image:get(1, 1, 1))
    assert.equal(3, label)
    local name = folder:match("[^/]+$")
    assert.equal(name .. ".train: [20x2x3x1], 3 classes\n" .. name .. ".test: [5x2x3x1], 3 classes", set:describe())
    -- 7 .. 126: mean 66.5, variance (120^2 - 1) / 12
    assert.is_true(math.abs(set.stats.mean[1] - 66.5 / 255) < 1e-12)
    assert.is_true(math.abs(set.stats.std[1] - ((120 ^ 2 - 1) / 12) ^ 0.5 / 255) < 1e-12)
  end)

  it("names what is missing or damaged", function()
    assert.error_matches(function() data.open("no-such-set") end,
      'data.open: there is no data set "no%-such%-set"; expected .*/penumbra/data/no%-such.*/examples/data/no%-')
    assert.error_matches(function() data.open(folder) end, "there is no data set")
    assert.error_matches(function() data.open "./Makefile" end, "%./Makefile %(a file%)")
    assert.error_matches(function() data.synthetic().train.batches { size = 3 } end,
      "batches: expected a part of a data set before a colon, as in part:batches%(...%), got a table")
    assert.error_matches(function() data.open(3) end, "expected a name or a path, got 3")
    assert.error_matches(function() data.open(folder, { validaton = 0.1 }) end, 'did you mean "validation"')
    write_idx()
    os.remove(folder .. "/t10k-labels-idx1-ubyte")
    assert.error_matches(function() data.open(folder) end, "t10k%-labels%-idx1%-ubyte is missing")
    write("t10k-labels-idx1-ubyte", idx({ 4 }, "\0\1\2\0"))
    assert.error_matches(function() data.open(folder) end, "images%-idx3%-ubyte holds 5 images, .* holds 4 labels")
    write("t10k-labels-idx1-ubyte", idx({ 5 }, "\0\1\2\0\3"))
    assert.error_matches(function() data.open(folder) end, "label of record 4: 0 to 2 expected, found 3 at offset 12")
    write("t10k-labels-idx1-ubyte", idx({ 5 }, "\0\1\2"))
    assert.error_matches(function() data.open(folder) end,
      "t10k%-labels%-idx1%-ubyte: elements: 5 bytes expected at offset 8, 3 found; the file ends there")
    write("t10k-labels-idx1-ubyte", idx({ 5 }, "\0\1\2\0\1"))
    write("t10k-images-idx3-ubyte", idx({ 5, 3, 2 }, ("x"):rep(30)))
    assert.error_matches(function() data.open(folder) end, "holds images of 2x3x1, .* of 3x2x1")
  end)

  it("reads CIFAR's binary folders", function()
    local function record(head, value) return head .. (string.char(value)):rep(1024) .. ("\0\1"):rep(1024) end
    assert(lfs.mkdir(folder .. "/cifar-100-binary"))
    write("cifar-100-binary/train.bin", record("\3\99", 255) .. record("\4\7", 0))
    write("cifar-100-binary/test.bin", record("\5\1", 1))
    local set = data.open(folder)
    assert.equal(100, set.classes)
    assert.same({ 100, 8 }, set.train.labels:tolist())
    assert.same({ 4, 5 }, set.train.coarse:tolist())
    assert.same({ 255, 0, 0 }, set.train.images[1][1][1]:tolist())
    assert.same({ 0, 1, 1 }, set.train.images[2][1][2]:tolist())
    write("cifar-100-binary/fine_label_names.txt", "apple\nbear\n")
    assert.error_matches(function() data.open(folder) end, "fine_label_names.txt: 100 names expected, .*, 2 found")
    remove_all(folder .. "/cifar-100-binary")
    write("data_batch_2.bin", record("\9", 3))
    assert.error_matches(function() data.open(folder) end, "test_batch.bin is missing")
    write("test_batch.bin", record("\0", 3))
    set = data.open(folder)
    assert.equal("airplane", set.class_names[1])
    assert.same({ 10 }, set.train.labels:tolist())
    write("test_batch.bin", record("\0", 3):sub(1, 1000))
    assert.error_matches(function() data.open(folder) end,
      "test_batch.bin: record 0 is short: 3073 bytes expected, 1000 found at offset 0; the file ends there")
  end)

  it("sets a validation part apart and draws limits by the seed", function()
    write_idx()
    local a, b = data.open(folder, { validation = 0.25, seed = 1 }), data.open(folder, { validation = 0.25, seed = 2 })
    assert.equal(15, #a.train)
    assert.equal(5, #a.validation)
    assert.same({ 1, 2, 2 }, labels_of(a.validation)) -- of 6, 7, 7
    assert.not_same(order_of(a.validation), order_of(b.validation))
    local all = order_of(a.train)
    table.move(order_of(a.validation), 1, 5, 16, all)
    table.sort(all)
    local expected = order_of(data.open(folder).train)
    table.sort(expected)
    assert.same(expected, all)
    assert.equal(9, #data.open(folder, { limit = 9, test_limit = 2 }).train)
    assert.error_matches(function() data.open(folder, { limit = 21 }) end, "at most, got 21")
  end)

  it("reads the real sets", function()
    local found = false
    for path in (os.getenv("PENUMBRA_DATA") or ""):gmatch("[^:]+") do
      found = found or lfs.attributes(path .. "/cifar100", "mode") == "directory"
    end
    if not found then pending("PENUMBRA_DATA has no cifar100") return end
    local set = data.open("cifar100", { test_limit = 500 })
    assert.equal("worm", set.class_names[100])
    assert.equal(20, #set.coarse_names)
    for c = 1, 100 do assert.equal(5, labels_of(set.test)[c]) end
    assert.is_true(math.abs(set.stats.mean[1] - 0.507) < 0.01)
  end)
end)

describe("a part", function()
  local set
  setup(function() set = data.synthetic { classes = 3, train = 100, test = 10, side = 2, noise = 1 } end)
  teardown(function() set = nil end)

  it("gives batches in order", function()
    local sizes, numbers = {}, {}
    for x, y, number in set.train:batches { size = 32 } do
      sizes[#sizes + 1], numbers[#numbers + 1] = #x, number
      assert.same({ #y, 2, 2, 3 }, x.shape)
      assert.equal("float", x.type)
      assert.equal("index", y.type)
    end
    assert.same({ 32, 32, 32, 4 }, sizes)
    assert.same({ 1, 2, 3, 4 }, numbers)
    assert.equal(4, set.train:batch_count { size = 32 })
    assert.equal(3, set.train:batch_count { size = 32, drop_last = true })
    assert.equal(96, #order_of(set.train, { size = 32, drop_last = true }))
    local x, y = set.train:batches { size = 5, first = 3 } ()
    local row = nn.tensor({ 11 }, { type = "index" })
    assert.same(set.train.images[11]:tolist(), nn.data.rows(set.train.images, row)[1]:tolist())
    assert.equal(set.train.images:get(11, 2, 2, 3), math.floor(x:get(1, 2, 2, 3) * 255 + 0.5))
    assert.equal(set.train.labels:get(15), y:get(5))
  end)

  it("shuffles by seed and epoch", function()
    local plain = order_of(set.train)
    local first = order_of(set.train, { shuffle = true, seed = 1, epoch = 1, size = 7 })
    assert.not_same(plain, first)
    assert.same(first, order_of(set.train, { shuffle = true, size = 50 }))
    assert.not_same(first, order_of(set.train, { shuffle = true, seed = 1, epoch = 2 }))
    assert.not_same(first, order_of(set.train, { shuffle = true, seed = 2, epoch = 1 }))
    table.sort(plain)
    table.sort(first)
    assert.same(plain, first)
  end)

  it("keeps images and labels together", function()
    local part = data.synthetic { classes = 4, train = 40, test = 4, noise = 0 }.train
    local picture = {}
    for x, y in part:batches { size = 6, shuffle = true } do
      for n = 1, #y do
        local pixel = x:get(n, 3, 4, 2)
        picture[y:get(n)] = picture[y:get(n)] or pixel
        assert.equal(picture[y:get(n)], pixel)
      end
    end
    assert.equal(4, #picture)
  end)

  it("takes a smaller part", function()
    local first = set.train:take(10)
    assert.equal("synthetic(1).train:take(10): [10x2x2x3], 3 classes", tostring(first))
    assert.same({ 1, 2, 3, 1, 2, 3, 1, 2, 3, 1 }, first.labels:tolist())
    local drawn = set.train:take(30, 7)
    assert.same({ 10, 10, 10 }, labels_of(drawn))
    assert.same(order_of(drawn), order_of(set.train:take(30, 7)))
    assert.not_same(order_of(drawn), order_of(set.train:take(30, 8)))
    assert.error_matches(function() set.train:take(101) end, "from 1 to 100, got 101")
    assert.error_matches(function() set.train:batches { sise = 3 } end, 'did you mean "size"')
    assert.error_matches(function() set.train:image(101) end, "from 1 to 100, got 101")
  end)
end)

describe("data.colour_mnist", function()
  it("tints the sample, the other way round in the test", function()
    local set = data.colour_mnist { limit = 2000, test_limit = 1000, seed = 3, validation = 0.1 }
    assert.same({ 1800, 28, 28, 3 }, set.train.images.shape)
    assert.equal(200, #set.validation)
    local function red_share(part)
      local red = 0
      for n, colour in ipairs(part.background:tolist()) do
        local corner = part.images[n][1][1]:tolist()
        assert.same(colour == 1 and { 255, 0, 0 } or { 0, 0, 255 }, corner)
        if colour == 1 then red = red + 1 end
      end
      return red / #part
    end
    assert.is_true(math.abs(red_share(set.train) - 0.95) < 0.03)
    assert.is_true(math.abs(red_share(set.test) - 0.05) < 0.035)
    assert.equal(3, #set.stats.mean)
    assert.error_matches(function() data.colour_mnist { bais = 0.5 } end, 'did you mean "bias"')
    assert.error_matches(function() data.colour_mnist { bias = 2 } end, "bias expects a number from 0 to 1, got 2")
  end)
end)
