--- Data sets of picture files: class folders, Tiny ImageNet, ImageNet; in memory and not; what is cached; damage.
package.path = "tests/?.lua;" .. package.path
local data = require "data"
local lfs = require "lfs"
local nn = require "nn"
local part = require "data.part"
local places = require "places"
local sets = require "sets"

local folder
local user_cache = places.cache
before_each(function()
  folder = sets.folder()
  places.cache = function() return folder .. "/.cache" end
end)
after_each(function()
  places.cache = user_cache
  sets.remove(folder)
end)

local function write(name, bytes) sets.write(folder .. "/" .. name, bytes) end
local function picture(name, ...) sets.picture(folder .. "/" .. name, ...) end

local refused = sets.refused

-- train: 2 of ant, 3 of bee; test: one of each.
local function write_folders(test)
  for i, name in ipairs { "ant/b", "ant/a", "bee/1", "bee/sub/2", "bee/3" } do
    picture("train/" .. name .. ".png", 4, 6, 10 * i, 0, 255)
  end
  picture((test or "test") .. "/ant/x.png", 4, 6, 1, 2, 3)
  picture((test or "test") .. "/bee/y.png", 4, 6, 7)
end

describe("class folders", function()
  it("are train and test parts", function()
    write_folders()
    local set = data.open(folder)
    assert.same({ "ant", "bee" }, set.class_names)
    assert.same({ 1, 1, 2, 2, 2 }, set.train.labels:tolist())
    assert.same({ 5, 4, 6, 3 }, set.train.images.shape)
    local reds = {}
    for i = 1, 5 do reds[i] = set.train.images:get(i, 2, 3, 1) end
    assert.same({ 20, 10, 30, 50, 40 }, reds) -- by name, a folder's own pictures before those of its folders
    assert.same({ 7, 7, 7 }, set.test.images[2][1][1]:tolist())
    assert.equal(255, math.floor(set.stats.mean[3] * 255 + 0.5))
  end)

  it("may be called val, or have all three parts", function()
    write_folders("val")
    assert.equal(2, #data.open(folder).test)
    assert.is_nil(data.open(folder).validation)
    picture("test/bee/z.png", 4, 6, 1, 2, 3)
    refused(folder, { validation = 0.5 }, "has a validation part of its own, .*%.validation")
    local set = data.open(folder)
    assert.equal(1, #set.test)
    assert.same({ 2 }, set.test.labels:tolist())
    assert.equal(2, #set.validation)
  end)

  it("may be one folder, of which a share is the test part", function()
    for i = 1, 10 do picture(("cat/%d.png"):format(i), 3, 3, i) end
    for i = 1, 20 do picture(("dog/%d.png"):format(i), 3, 3, i) end
    local set = data.open(folder)
    assert.equal(30, #set.train)
    assert.is_nil(set.test)
    assert.equal(1, set.train.shape[3])
    set = data.open(folder, { test = 0.3, seed = 5, channels = 3 })
    assert.equal(9, #set.test)
    assert.same({ 21, 3, 3, 3 }, set.train.images.shape)
    local count = { 0, 0 }
    for _, label in ipairs(set.test.labels:tolist()) do count[label] = count[label] + 1 end
    assert.same({ 3, 6 }, count)
    write_folders()
    refused(folder, { test = 0.3 }, "has a test part of its own, .*/test: the option test is for folders without one")
  end)

  it("become one size when asked to, and stay in files when asked to", function()
    write_folders()
    picture("train/bee/wide.png", 10, 40, 9)
    refused(folder, nil, "different sizes %(.*a.png 4 x 6, .*wide.png 10 x 40%): side = 224, or another, expected")
    local set = data.open(folder, { side = 5, memory = false })
    assert.is_not_nil(set.train.files)
    assert.same({ 5, 5, 3 }, set.train.shape)
    assert.same({ 20, 0, 255 }, set.train:image(1)[3][3]:tolist())
    local whole = data.open(folder, { side = 5 })
    assert.is_nil(whole.train.files)
    local x = set.train:batches { size = 6 } ()
    local y = whole.train:batches { size = 6 } ()
    assert.same(x:tolist(), y:tolist())
    assert.same(whole.stats.mean, set.stats.mean)
    assert.equal(6, set.stats_images)
    local model = require("models").mlp { classes = set.classes, shape = set.train.shape, hidden = { 3 },
                                          normalize = set.stats }
    assert.same({ 6, 2 }, model(x).shape)
    assert.equal(2, #data.open(folder, { side = 5, memory = false, limit = 2 }).train)
    assert.equal(2, #data.open(folder, { side = 5, memory = false, validation = 0.4 }).validation)
  end)

  it("remember what their pixels measure", function()
    write_folders()
    local function stats() return data.open(folder, { side = 4, memory = false }).stats end
    local first = stats()
    local kept
    for name in lfs.dir(folder .. "/.cache/stats") do
      if name:find("%.json$") then kept = folder .. "/.cache/stats/" .. name end
    end
    write(kept:sub(#folder + 2), '{"images": 5, "mean": [0.5, 0.5, 0.25], "std": [1, 1, 1]}')
    assert.same({ 0.5, 0.5, 0.25 }, stats().mean)
    for _, damage in ipairs { "", "{", "[]", '{"images": 5, "mean": [0.5], "std": [1]}' } do
      write(kept:sub(#folder + 2), damage)
      assert.same(first, stats())
    end
    picture("train/bee/more.png", 4, 6, 255)
    assert.not_same(first, stats())
  end)

  it("are read as they are, when all have one size", function()
    write_folders()
    local files = nn.files.scan(folder .. "/train")
    local pictures = part.new { name = "pictures", files = files, labels = files:labels(), shape = { 4, 6, 3 },
                                fit = { resize = 0 }, classes = 2, class_names = files:classes() }
    assert.equal(20, (pictures:image(1):get(4, 6, 1)))
    picture("train/bee/1.png", 4, 7, 1)
    local ok, message = pictures:load()
    assert.is_nil(ok)
    assert.matches("train/bee/1.png: a picture of 4 x 6, as the others are, expected, found 4 x 7$", message)
  end)

  it("train a model whose file says what it is, also where no picture was resized", function()
    write_folders()
    local models, train = require "models", require "train"
    local model = models.mlp { classes = 2, shape = { 4, 6, 3 }, hidden = {} }
    train { model = model, data = data.open(folder), loss = require "loss".cross_entropy(), quiet = true,
            optimizer = require "optim".sgd { lr = 0.01 } }
    model:save(folder .. "/model.safetensors")
    local again = assert(require "checkpoint".model(folder .. "/model.safetensors"))
    assert.same({ { 4, 6, 3 }, { "ant", "bee" } }, { again.input, again.class_names })
    assert.is_nil(again.resize)
  end)

  it("leave out pictures that cannot be read when told to", function()
    write_folders()
    write("train/bee/2.png", "no picture")
    refused(folder, nil, "train/bee/2.png: ")
    local set = data.open(folder, { on_error = "skip" })
    assert.equal(5, #set.train)
    assert.same({ 1, 1, 2, 2, 2 }, set.train.labels:tolist())
    assert.equal(1, set.skipped.count)
    assert.matches("train/bee/2.png: ", set.skipped.messages[1])
  end)

  it("tell ten kinds of damage in a line", function()
    refused(folder .. "/none", nil, "there is no data set at .*/none: expected IDX files")
    refused(folder, nil, "a folder with no folder and no file")
    write("train/ant/notes.txt", "no picture")
    refused(folder, nil, "a folder with 1 folder %(train%) and no file")
    write_folders()
    os.remove(folder .. "/train/ant/a.png")
    os.remove(folder .. "/train/ant/b.png")
    refused(folder, nil, "train/ant: pictures .* expected, found none among 1 files")
    picture("train/ant/a.png", 4, 6, 1)
    picture("test/cow/a.png", 4, 6, 1)
    refused(folder, nil, "test: folder cow is not one of the 2 classes")
    sets.remove(folder .. "/test/cow")
    assert(lfs.mkdir(folder .. "/train/ant/b.png"))
    assert.equal(4, #data.open(folder).train) -- a folder, whatever its name
    write("train/ant/c.png", "")
    refused(folder, nil, "train/ant/c.png: a PNG or JPEG picture expected, found nothing")
    local handle = assert(io.open(folder .. "/train/ant/a.png", "rb"))
    local whole = handle:read("a")
    handle:close()
    write("train/ant/c.png", whole:sub(1, 40))
    refused(folder, nil, "train/ant/c.png: ")
    write("train/ant/c.png", whole:sub(1, 16) .. "\127\255\255\255\127\255\255\255" .. whole:sub(25))
    refused(folder, nil, "train/ant/c.png: ")
    os.remove(folder .. "/train/ant/c.png")
    assert(lfs.link("nowhere", folder .. "/train/ant/c.png", true))
    assert.equal(4, #data.open(folder).train) -- a link that leads nowhere is no picture
    sets.remove(folder .. "/train")
    refused(folder, nil, "/train is missing")
    write("a.tar", "")
    sets.remove(folder .. "/test")
    refused(folder, nil, "a.tar: ")
  end)
end)

-- ---- Tiny ImageNet ----

local tiny_ids = { "n02000002", "n01000001" }

local function write_tiny()
  write("wnids.txt", table.concat(tiny_ids, "\n") .. "\n")
  write("words.txt", "n01000001\tkite, bird\nn02000002\tkite\nn03000003\tother\n")
  for i, id in ipairs(tiny_ids) do
    for k = 1, 2 do picture(("train/%s/images/%s_%d.png"):format(id, id, k), 4, 4, 100 * i + k) end
    write(("train/%s/%s_boxes.txt"):format(id, id), "x")
  end
  picture("val/images/val_0.png", 4, 4, 5)
  picture("val/images/val_1.png", 4, 4, 6)
  write("val/val_annotations.txt", "val_1.png\tn02000002\t0\t0\t1\t1\nval_0.png\tn01000001\t0\t0\t1\t1\n")
end

describe("Tiny ImageNet", function()
  before_each(write_tiny)

  it("has its classes in the order of class folders, and their names", function()
    local set = data.open(folder)
    assert.same({ "n01000001", "n02000002" }, set.class_ids)
    assert.same({ "kite (n01000001)", "kite (n02000002)" }, set.class_names)
    assert.same({ 1, 1, 2, 2 }, set.train.labels:tolist())
    assert.equal(201, set.train.images:get(1, 1, 1, 1))
    assert.same({ 2, 1 }, set.test.labels:tolist())
    assert.equal(6, set.test.images:get(1, 1, 1, 1))
  end)

  it("may have its validation pictures in class folders", function()
    sets.remove(folder .. "/val")
    picture("val/n01000001/a.png", 4, 4, 1)
    picture("val/n02000002/images/a.png", 4, 4, 2)
    assert.same({ 1, 2 }, data.open(folder).test.labels:tolist())
  end)

  it("tells ten kinds of damage in a line", function()
    local annotations, ids = "val/val_annotations.txt", "wnids.txt"
    write(annotations, "val_0.png\tn01000001\nval_1.png\tn03000003\n")
    refused(folder, nil, "val_annotations.txt: line 2: n03000003 is not one of the 2 classes in wnids.txt")
    write(annotations, "val_0.png\tn01000001\nval_0.png\tn01000001\n")
    refused(folder, nil, "val_annotations.txt: line 2: val_0.png is there twice")
    write(annotations, "val_0.png\tn01000001\n")
    refused(folder, nil, "val_annotations.txt names 1 pictures, .*/val_1.png is not one of them")
    write(annotations, "val_0.png\tn01000001\nval_1.png\tn01000001\nval_2.png\tn01000001\n")
    refused(folder, nil, "val_annotations.txt names 3 pictures, .*/val/images holds 2")
    write(annotations, "val_0.png n01000001\n")
    refused(folder, nil, "line 1: a picture's name, a tab and a class expected, found \"val_0.png n01000001\"")
    write(annotations, "val_0.png\tn\27[2J\r0\n")
    refused(folder, nil, "line 1: n%?%[2J%?0 is not one of the 2 classes in wnids.txt")
    write(annotations, "../../secret.png\tn01000001\n")
    refused(folder, nil, "line 1: a picture's name, a tab and a class expected, found \"../../secret")
    os.remove(folder .. "/" .. annotations)
    refused(folder, nil, "val_annotations.txt is missing")
    assert(lfs.mkdir(folder .. "/" .. annotations))
    refused(folder, nil, "val_annotations.txt is missing")
    sets.remove(folder .. "/" .. annotations)
    write_tiny()
    write(ids, "n01000001\n../train\n")
    refused(folder, nil, "wnids.txt: line 2: a WordNet id such as n02124075 expected, found \"../train\"")
    write(ids, "n01000001\nn01000001\n")
    refused(folder, nil, "wnids.txt: line 2: n01000001 is there twice")
    write(ids, "n01000001\nn02000002\nn03000003\n")
    refused(folder, nil, "train/n03000003 is missing, a class in .*wnids.txt")
    write(ids, "n01000001\n")
    refused(folder, nil, "folder n02000002 is not one of the 1 classes")
    write(ids, "")
    refused(folder, nil, "wnids.txt: WordNet ids expected, one a line, it is empty")
  end)
end)

-- ---- ImageNet ----

-- Three classes whose numbers are not in the order of their ids, and a group of them.
local synsets = { { 1, "n03000003", "eel, long fish" }, { 2, "n01000001", "ant" }, { 3, "n02000002", "bee, insect" },
                  { 1001, "n09000009", "animal" } }
local truth = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
local meta = "ILSVRC2012_devkit_t12/data/meta.mat"

local function write_flat()
  for i = 1, 4 do picture(("val/ILSVRC2012_val_%08d.png"):format(i), 4, 4 + i, i, 0, 0) end
  write(truth, "1\n2\n3\n2\n")
  write(meta, sets.mat(sets.mat_synsets(synsets)))
end

describe("ImageNet", function()
  it("maps the development kit's numbers to ids in order", function()
    write_flat()
    local set = data.open(folder, { memory = false })
    assert.is_nil(set.train)
    assert.same({ "n01000001", "n02000002", "n03000003" }, set.class_ids)
    assert.same({ "ant", "bee", "eel" }, set.class_names)
    assert.same({ 3, 1, 2, 1 }, set.test.labels:tolist())
    assert.same({ 224, 224, 3 }, set.test.shape)
    assert.same({ resize = 256 }, set.test.fit)
    assert.equal(2, set.test:image(2):get(9, 9, 1))
  end)

  it("has the classes of the training folders, also when they are a part of all", function()
    write_flat()
    picture("train/n02000002/a.png", 4, 4, 1, 2, 3)
    picture("train/n03000003/a.png", 4, 4, 1, 2, 3)
    local set = data.open(folder, { side = 4 })
    assert.same({ "bee", "eel" }, set.class_names)
    assert.same({ 2, 1 }, set.test.labels:tolist())
    assert.same({ 1, 2 }, set.train.labels:tolist())
  end)

  it("reads validation pictures in folders, and names beside them", function()
    picture("train/n01000001/a.png", 4, 4, 1)
    picture("train/n02000002/a.png", 4, 4, 1)
    picture("val/n02000002/a.png", 4, 4, 9)
    write("LOC_synset_mapping.txt", "n01000001 ant, emmet\nn02000002 bee\n")
    local set = data.open(folder)
    assert.same({ "ant", "bee" }, set.class_names)
    assert.same({ 2 }, set.test.labels:tolist())
    assert.same({ 4, 4, 1 }, set.train.shape) -- all of one size
  end)

  it("takes the kit from elsewhere", function()
    write_flat()
    assert(os.rename(folder .. "/ILSVRC2012_devkit_t12", folder .. "/kit"))
    refused(folder, nil, "ILSVRC2012_devkit_t12/data/meta.mat, for the classes of .*/val, is missing")
    assert.equal(4, #data.open(folder, { devkit = folder .. "/kit", side = 4 }).test)
  end)

  it("tells ten kinds of damage in a line", function()
    write_flat()
    write(truth, "1\n2\n3\n")
    refused(folder, nil, "truth.txt: line 4, the class of ILSVRC2012_val_00000004.png: 1 to 1000 .*found the end")
    write(truth, "1\n2\n1001\n2\n")
    refused(folder, nil, "line 3, the class of .*found \"1001\"")
    write(truth, "1\n2\nx\n2\n")
    refused(folder, nil, "line 3, the class of .*found \"x\"")
    write(truth, "1\n2\n4\n2\n")
    refused(folder, nil, "meta.mat has no class number 4 %(.*ground_truth.txt: line 3%)")
    os.remove(folder .. "/" .. truth)
    refused(folder, nil, "ground_truth.txt is missing")
    write_flat()
    write(meta, "")
    refused(folder, nil, "meta.mat: header: 128 bytes expected, 0 found")
    write(meta, sets.mat(sets.mat_labels { 1 }))
    refused(folder, nil, "meta.mat: there is no variable synsets in it")
    write(meta, sets.mat(sets.mat_synsets { { 1, "n01000001", "a" }, { 1, "n02000002", "b" } }))
    refused(folder, nil, "meta.mat: synsets%(2%): number 1 is there twice")
    write(meta, sets.mat(sets.mat_synsets { { 1, "../n01000001", "a" } }))
    refused(folder, nil, "meta.mat: synsets%(1%): a number ILSVRC2012_ID and a WNID such as n01440764 expected")
    write(meta, sets.mat(sets.mat_synsets(synsets)):sub(1, 1000))
    refused(folder, nil, "meta.mat: variable: [%d,]+ bytes expected at offset 136, 864 found; the file ends there")
    write_flat()
    picture("val/other.png", 4, 4, 1)
    refused(folder, nil, "val/other.png: names such as ILSVRC2012_val_00000001.JPEG expected")
    os.remove(folder .. "/val/other.png")
    picture("train/n04000004/a.png", 4, 4, 1)
    refused(folder, nil, "val: none of its pictures is of the 1 classes")
  end)
end)

-- ---- what is remembered ----

describe("a name", function()
  it("stands for the same pictures until one of their folders changes", function()
    local find = require "data.find"
    write_folders()
    local past = os.time() - 1000
    assert(lfs.touch(folder .. "/train/bee", past, past))
    data.open(folder)
    local was = find.opened[folder]
    assert.is_nil(was.bytes)
    assert.is_true(find.same(folder, was))
    picture("train/bee/another.png", 4, 6, 1)
    assert.is_false(find.same(folder, was))
  end)
end)

describe("a large folder", function()
  it("is read once, and again when it has changed", function()
    local index = require "data.index"
    for c = 1, 2 do
      for i = 1, 2100 do write(("set/%d/%05d.jpg"):format(c, i), "") end
    end
    local past = os.time() - 1000
    for _, name in ipairs { "set", "set/1", "set/2" } do assert(lfs.touch(folder .. "/" .. name, past, past)) end
    local scan, scans = nn.files.scan, 0
    nn.files.scan = function(...)
      scans = scans + 1
      return scan(...)
    end
    finally(function() nn.files.scan = scan end)
    assert.equal(4200, #index.scan(folder .. "/set"))
    local again = index.scan(folder .. "/set/")
    assert.equal(1, scans)
    assert.equal(4200, #again)
    assert.equal(folder .. "/set/2/02100.jpg", again:path(4200))
    write("set/1/new.jpg", "")
    assert.equal(4201, #index.scan(folder .. "/set"))
    assert.equal(2, scans)
    assert.equal(4201, #index.scan(folder .. "/set", { "2", "1" }))
    assert.equal(2, index.scan(folder .. "/set", { "2", "1" }):label(1))
  end)
end)
