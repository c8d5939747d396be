--- Data sets from files: what they hold, how they are drawn, split and tinted, and what damage to a file is told.
local data = require "data"
local image = require "image"
local lfs = require "lfs"
local nn = require "nn"
local parts = require "data.part"
local perturb = require "perturb"

local format = string.format

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
    local picture, label = set.train:image(2)
    assert.same({ 2, 3, 1 }, picture.shape)
    assert.equal(13, picture:get(1, 1, 1))
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
    assert.error_matches(function() data.open "minst" end, 'no data set "minst" %(did you mean "mnist"%?%); expected')
    assert.error_matches(function() data.open "Makefile" end, '"Makefile" %(a path has a slash: "./Makefile"%)')
    assert.error_matches(function() data.open "imagenet" end, "%(penumbra data get imagenet says how to have it%)")
    assert.error_matches(function() data.open "examples/data/mnist/train-labels-idx1-ubyte.gz" end, "name the folder")
    assert.error_matches(function() data.open(folder) end,
      "there is no data set at .* %(a folder with no folder and no file%)")
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
    assert.equal("synthetic(1).train:rest(30, 7): [70x2x2x3], 3 classes", tostring(set.train:rest(30, 7)))
    local both = order_of(drawn)
    for _, value in ipairs(order_of(set.train:rest(30, 7))) do both[#both + 1] = value end
    local all = order_of(set.train)
    table.sort(both)
    table.sort(all)
    assert.same(all, both)
    assert.same({ table.unpack(order_of(set.train), 11) }, order_of(set.train:rest(10)))
    assert.error_matches(function() set.train:rest(100) end, "rest: expected a number of images from 1 to 99, got 100")
    assert.error_matches(function() set.train:rest(1, "x") end, "rest: expected an integer seed")
    assert.error_matches(function() set.train:batches { sise = 3 } end, 'did you mean "size"')
    assert.error_matches(function() set.train:image(101) end, "from 1 to 100, got 101")
  end)
end)

-- Everything that batches give, as one text.
local function all_of(part, options)
  local seen = {}
  for x, y, number in part:batches(options) do
    seen[#seen + 1] = number .. ":" .. table.concat(x:reshape({ x:count() }):tolist(), " ") .. ":"
      .. table.concat(y:tolist(), " ")
  end
  return table.concat(seen, "\n")
end

describe("batches", function()
  local set, augment
  setup(function()
    set = data.synthetic { classes = 3, train = 50, test = 10, side = 6, noise = 1 }
    augment = perturb.random_crop { padding = 2 } >> perturb.flip() >> perturb.maybe(0.5, perturb.brightness(20))
  end)
  teardown(function() set, augment = nil, nil end)

  it("augments by seed, epoch and place, with any number of workers", function()
    local options = { size = 8, shuffle = true, seed = 4, epoch = 3, augment = augment }
    local first = all_of(set.train, options)
    for _, team in ipairs { { 0, 1 }, { 1, 1 }, { 2, 3 }, { 5, 2 } } do
      options.workers, options.prefetch = team[1], team[2]
      assert.equal(first, all_of(set.train, options))
    end
    options.epoch = 4
    assert.not_equal(first, all_of(set.train, options))
    -- as the perturbation itself draws: for the seed of batches and the number of the batch among all epochs'
    local plain = set.train:batches { size = 8 }
    local changed = set.train:batches { size = 8, augment = augment, epoch = 2 }
    local seed = parts.augment_seed(1)
    for step = 7, 13 do
      local x, y = plain()
      local expected = augment(x, y, nil, { seed = seed, step = step })
      assert.equal(0, (changed() - expected):abs():max():item())
    end
    assert.is_nil((changed()))
  end)

  it("augments in Lua what is written in Lua", function()
    local seen = {}
    local half = perturb.new { name = "half", apply = function(x, y, model, draw)
      seen[#seen + 1] = draw.seed
      assert.is_nil(model)
      return y and x * 0.5
    end }
    local x = set.train:batches { size = 50, augment = half, workers = 2 }()
    local plain = set.train:batches { size = 50 }()
    assert.equal(0, (x - plain * 0.5):abs():max():item())
    assert.equal(1, #seen)
  end)

  it("can be left, closed, and asked how long they took", function()
    local batches = set.train:batches { size = 5, workers = 2, prefetch = 2 }
    for _, _, number in batches do
      if number == 3 then break end
    end
    assert.is_true(batches:waited() >= 0)
    assert.same({ 0, {} }, { batches:skipped() })
    batches = set.train:batches { size = 5, workers = 2 }
    assert.equal(10, batches.count)
    batches()
    batches:close()
    assert.is_nil((batches()))
    assert.has_error(function()
      for _ in set.train:batches { size = 5, workers = 2 } do error("mine", 0) end
    end, "mine")
    for _ = 1, 5 do set.train:batches { size = 5, workers = 3 }() end -- for the collector
    collectgarbage()
    assert.error_matches(function() set.train:batches { augment = 3 } end, "batches: augment expects a perturbation")
    assert.error_matches(function() set.train:batches { worker = 3 } end, 'did you mean "workers"')
    assert.error_matches(function() set.train:batches { on_error = "pass" } end, "on_error expects")
    assert.error_matches(function() set.train:batches { augment = perturb.random_crop { padding = 9 } } end,
      "random_crop: padding expects at most 6 for images of 6 x 6, got 9")
  end)
end)

describe("a part in files", function()
  local files

  -- 12 pictures of 8 x 10 in two classes; the bad ones are no pictures.
  local function make(bad)
    local names, labels = {}, {}
    for i = 1, 12 do
      names[i], labels[i] = format("%02d.png", i), (i - 1) % 2 + 1
      if bad[i] then
        write(names[i], "no picture")
      else
        local pixels = nn.uniform({ 8, 10, 3 }, { seed = i })
        assert(image.save(folder .. "/" .. names[i], nn.data.bytes(pixels)))
      end
    end
    files = nn.files.new(folder, names, labels)
    return parts.new { name = "made", files = files, labels = files:labels(), shape = { 8, 8, 3 }, classes = 2,
                      class_names = { "a", "b" } }
  end

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
  end)

  after_each(function()
    files = nil
    remove_all(folder)
  end)

  it("gives batches like one in memory", function()
    local made = make {}
    assert.equal("made: [12x8x8x3] in files, 2 classes", tostring(made))
    assert.equal(12, #made)
    local loaded, skipped = assert(made:load())
    assert.equal(0, skipped)
    assert.equal("made: [12x8x8x3], 2 classes", tostring(loaded))
    -- the middle of each picture
    local whole = assert(image.load(folder .. "/05.png"))
    assert.same(whole:slice(2, 2, 9):tolist(), loaded.images[5]:tolist())
    local options = { size = 5, shuffle = true, augment = perturb.flip() }
    local first = all_of(loaded, options)
    for workers = 0, 3 do
      options.workers = workers
      assert.equal(first, all_of(made, options))
    end
    options.workers = nil
    assert.equal(first, all_of(made, options))
    assert.equal(loaded, (loaded:load()))
    local picture, label = made:image(5)
    assert.same(loaded.images[5]:tolist(), picture:tolist())
    assert.equal(1, label)
  end)

  it("can be taken from and split", function()
    local made = make {}
    local loaded = assert(made:load())
    assert.equal(all_of(loaded:take(5)), all_of(made:take(5)))
    assert.equal("made:take(5): [5x8x8x3] in files, 2 classes", tostring(made:take(5)))
    assert.equal(all_of(loaded:take(6, 3)), all_of(made:take(6, 3)))
    assert.equal(all_of(loaded:rest(6, 3)), all_of(made:rest(6, 3)))
    assert.equal(all_of(loaded:rest(5)), all_of(made:rest(5)))
    local a, b = made:split(4, 1, "a", "b")
    assert.same({ 4, 8 }, { #a, #b })
    assert.same({ 2, 2 }, labels_of(a))
  end)

  it("crops from the picture itself", function()
    local made = make {}
    local crop = perturb.random_resized_crop { scale = { 1, 1 }, ratio = { 1.25, 1.25 } } -- the whole picture
    local x = made:batches { size = 12, augment = crop }()
    local resized = image.resize(assert(image.load(folder .. "/03.png")), { height = 8, width = 8 })
    assert.equal(0, (x[3] - resized:to "float" / 255):abs():max():item())
  end)

  it("says where its images are", function()
    local made = make {}
    assert.error_matches(function() return made.images end,
      "the images of made are in files, .*: read them with part:batches{...} or part:image%(i%), .*part:load%(%)")
  end)

  it("stops at a bad file, or counts it", function()
    local made = make { [4] = true, [9] = true }
    for workers = 0, 2, 2 do
      local batches, seen = made:batches { size = 3, workers = workers }, 0
      assert.error_matches(function()
        for _ in batches do seen = seen + 1 end
      end, "batches: .*/04.png: ")
      assert.equal(1, seen)
      local sizes = {}
      batches = made:batches { size = 3, workers = workers, on_error = "skip" }
      for _, y in batches do sizes[#sizes + 1] = #y end
      assert.same({ 3, 2, 2, 3 }, sizes)
      local count, messages = batches:skipped()
      assert.equal(2, count)
      assert.matches("/04.png: ", messages[1])
      assert.matches("/09.png: ", messages[2])
    end
    local loaded, message, code = made:load()
    assert.is_nil(loaded)
    assert.matches("/04.png: ", message)
    assert.equal("format", code)
    local count, messages
    loaded, count, messages = made:load { on_error = "skip" }
    assert.same({ 10, 2, 2 }, { #loaded, count, #messages })
    assert.same({ 1, 2, 1, 1, 2, 1, 2, 2, 1, 2 }, loaded.labels:tolist())
    loaded, message = made:image(9)
    assert.is_nil(loaded)
    assert.matches("/09.png: ", message)
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

  -- How often each class is on each colour, among the part's images of that class.
  local function shares(part, colours)
    local count, of = {}, {}
    for c = 1, part.classes do
      count[c], of[c] = {}, 0
      for colour = 1, colours do count[c][colour] = 0 end
    end
    local background = part.background:tolist()
    for n, label in ipairs(part.labels:tolist()) do
      count[label][background[n]] = count[label][background[n]] + 1
      of[label] = of[label] + 1
    end
    for c = 1, part.classes do
      for colour = 1, colours do count[c][colour] = count[c][colour] / of[c] end
    end
    return count
  end

  it("lets the colour tell the half of the classes, the other way round in the test", function()
    local set = data.colour_mnist { correlated = "half", bias = 0.9, limit = 4000, test_limit = 2000 }
    local train, test = shares(set.train, 2), shares(set.test, 2)
    for c = 1, 10 do
      assert.is_true(math.abs(train[c][1] - (c <= 5 and 0.9 or 0.1)) < 0.08)
      assert.is_true(math.abs(test[c][1] - (c <= 5 and 0.1 or 0.9)) < 0.12)
    end
    assert.matches("colour%(mnist.train:take%(4000, 1%), 0.9, 1, half%)", set.train.name)
    local independent = data.colour_mnist { correlated = "half", test_bias = 0.5, limit = 500, test_limit = 2000 }
    for c, share in ipairs(shares(independent.test, 2)) do assert.is_true(math.abs(share[1] - 0.5) < 0.18, c) end
  end)

  it("lets the colour tell the class, and nothing in the test", function()
    local set = data.colour_mnist { correlated = true, bias = 0.9, limit = 4000, test_limit = 3000 }
    local train, test = shares(set.train, 10), shares(set.test, 10)
    for c = 1, 10 do
      for colour = 1, 10 do
        assert.is_true(math.abs(train[c][colour] - (c == colour and 0.9 or 0.1 / 9)) < 0.08)
        assert.is_true(math.abs(test[c][colour] - 0.1) < 0.1)
      end
    end
    local n = 1
    while set.train.background:get(n) ~= 7 do n = n + 1 end
    assert.same({ 255, 128, 0 }, set.train.images[n][1][1]:tolist())
    assert.same(set.train.background:tolist(),
      data.colour_mnist({ correlated = "class", bias = 0.9, limit = 4000 }).train.background:tolist())
    assert.error_matches(function() data.colour_mnist { correlated = "clas" } end, "correlated expects")
  end)
end)
