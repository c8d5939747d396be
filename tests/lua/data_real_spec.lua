--- The real data sets, as far as PENUMBRA_DATA has them: counts, classes and pixels are those that they are known by.
package.path = "tests/?.lua;" .. package.path
local cards = require "data.cards"
local data = require "data"
local lfs = require "lfs"
local places = require "places"
local sets = require "sets"

-- The path of something in a folder of PENUMBRA_DATA, or nil; the test then waits.
local function outside(name)
  for path in (os.getenv("PENUMBRA_DATA") or ""):gmatch("[^:]+") do
    if lfs.attributes(path .. "/" .. name) then return path .. "/" .. name end
  end
  pending("PENUMBRA_DATA has no " .. name)
end

local function counts(labels, classes)
  local count = {}
  for c = 1, classes do count[c] = 0 end
  for _, label in ipairs(labels:tolist()) do count[label] = count[label] + 1 end
  return count
end

local function all(classes, count)
  local list = {}
  for c = 1, classes do list[c] = count end
  return list
end

local function near(expected, found, tolerance)
  assert.equal(#expected, #found)
  for i = 1, #expected do
    if math.abs(expected[i] - found[i]) > tolerance then
      error(("%s is not within %g of %s"):format(table.concat(found, " "), tolerance, table.concat(expected, " ")), 2)
    end
  end
end

describe("the real", function()
  local cache
  local user_cache = places.cache
  setup(function()
    cache = sets.folder()
    places.cache = function() return cache end
  end)
  teardown(function()
    places.cache = user_cache
    sets.remove(cache)
  end)

  it("MNIST", function()
    local path = outside "mnist"
    if not path then return end
    local set = data.open(path)
    assert.same({ 60000, 28, 28, 1 }, set.train.images.shape)
    assert.same({ 5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949 }, counts(set.train.labels, 10))
    assert.equal(10000, #set.test)
    near({ 0.13066 }, set.stats.mean, 5e-6)
    near({ 0.30811 }, set.stats.std, 5e-6)
    assert.same({}, cards.compare(set, cards.list.mnist))
  end)

  it("CIFAR-10, binary", function()
    local path = outside "cifar10/cifar-10-batches-bin"
    if not path then return end
    local set = data.open(path)
    assert.same({ 2000, 32, 32, 3 }, set.train.images.shape)
    assert.same(all(10, 200), counts(set.test.labels, 10))
    assert.equal("automobile", set.class_names[2])
  end)

  it("CIFAR-10, packed JPEGs", function()
    local path = outside "cifar10/cifar10-jpeg.tar.gz"
    if not path then return end
    local set = data.open(path)
    assert.same({ 50000, 32, 32, 3 }, set.train.images.shape)
    assert.same(all(10, 5000), counts(set.train.labels, 10))
    assert.same(all(10, 1000), counts(set.test.labels, 10))
    assert.equal("automobile", set.class_names[2])
    -- Lossy JPEG takes from the deviation: the card sees it.
    local said = cards.compare(set, cards.list.cifar10)
    assert.equal(1, #said)
    assert.matches("^std of the pixels: 0.2452 0.2428 0.2606, published 0.2470 0.2435 0.2616$", said[1])
    -- The binary files hold some of the same pictures: test files 0000 to 0199 of each class.
    local binary = data.open(outside "cifar10/cifar-10-batches-bin").test
    local sums = {}
    for i, label in ipairs(binary.labels:tolist()) do sums[i] = { label, binary.images[i]:to("float"):sum():item() } end
    local known = {}
    for class = 1, 10 do
      for i = 1, 200 do
        local sum = set.test.images[(class - 1) * 1000 + i]:to("float"):sum():item()
        known[class .. " " .. sum] = true
      end
    end
    for _, one in ipairs(sums) do assert.is_true(known[one[1] .. " " .. one[2]]) end
  end)

  it("CIFAR-100, fine and coarse", function()
    local path = outside "cifar100"
    if not path then return end
    local set = data.open(path)
    assert.same({ 20000, 32, 32, 3 }, set.train.images.shape)
    assert.same(all(100, 200), counts(set.train.labels, 100))
    assert.same(all(100, 100), counts(set.test.labels, 100))
    assert.equal("worm", set.class_names[100])
    assert.same(cards.list.cifar100.class_names[8], "beetle")
    near({ 0.5071, 0.4865, 0.4409 }, set.stats.mean, 0.001)
    near({ 0.2673, 0.2564, 0.2762 }, set.stats.std, 0.001)
    local coarse = data.open(path, { labels = "coarse" })
    assert.equal(20, coarse.classes)
    assert.same(all(20, 1000), counts(coarse.train.labels, 20))
    assert.same(set.train.coarse:tolist(), coarse.train.labels:tolist())
    assert.equal("vehicles 2", (coarse.class_names[20]:gsub("_", " ")))
  end)

  it("SVHN, also cut off", function()
    local path = outside "svhn"
    if not path then return end
    local set = data.open(path)
    assert.same({ 860, 32, 32, 3 }, set.train.images.shape)
    assert.equal(222, #set.test)
    for _, count in ipairs(counts(set.train.labels, 10)) do assert.is_true(count > 30) end
    near(cards.list.svhn.published.mean, set.stats.mean, 0.03)
    near(cards.list.svhn.published.std, set.stats.std, 0.02)
    local ok, message = pcall(data.open, path .. "/train_32x32.truncated.mat")
    assert.is_false(ok)
    assert.matches("truncated.mat: X: image 1,084 of 73,257: 3,072 bytes expected at offset 3,327,040 of the unpacked "
      .. "variable, 2,619 found; the file ends there at offset 2,686,976$", message)
  end)

  it("Tiny ImageNet, packed", function()
    local path = outside "tiny-imagenet"
    if not path then return end
    local set = data.open(path)
    assert.same({ 4000, 64, 64, 3 }, set.train.images.shape)
    assert.same(all(20, 200), counts(set.train.labels, 20))
    assert.same(all(20, 50), counts(set.test.labels, 20))
    local known = {}
    for i, id in ipairs(set.class_ids) do known[id] = set.class_names[i] end
    assert.equal("Egyptian cat", known.n02124075)
    near(cards.list["tiny-imagenet"].published.mean, set.stats.mean, 0.03)
    near(cards.list["tiny-imagenet"].published.std, set.stats.std, 0.01)
    local in_files = data.open(path, { memory = false })
    assert.same(set.test.labels:tolist(), in_files.test.labels:tolist())
    assert.same(set.test.images[7]:tolist(), in_files.test:image(7):tolist())
  end)

  it("ImageNet photographs", function()
    local path = outside "imagenet-sample"
    if not path then return end
    local set = data.open(path)
    assert.same({ 224, 224, 3 }, set.train.shape)
    assert.same(all(200, 1), counts(set.train.labels, 200))
    assert.equal("n01440764", set.class_ids[1])
    assert.equal("tench", set.class_names[1])
    local known = {}
    for i, id in ipairs(set.class_ids) do known[id] = set.class_names[i] end
    for id, name in pairs { n13044778 = "earthstar", n01494475 = "hammerhead" } do assert.equal(name, known[id]) end
    near(cards.list.imagenet.published.mean, set.stats.mean, 0.05)
    local small = data.open(path, { side = 32, resize = 36, memory = false, test = 0.25 })
    assert.equal(50, #small.test)
    assert.same({ 32, 32, 3 }, small.test.shape)
  end)
end)
