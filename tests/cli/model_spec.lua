--- penumbra model and penumbra predict.
package.path = "tests/cli/?.lua;" .. package.path
local image = require "image"
local models = require "models"
local nn = require "nn"
local checkpoint = require "checkpoint"
local optim = require "optim"
local program = require "program"
local run = program.run

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

-- A folder with
--   told.safetensors    a model that says what it is: grey pictures of 12 x 12, three named classes
--   untold.safetensors  its tensors alone, behind a prefix
--   run/                a training's checkpoint of the same
--   one.png two.png     pictures, neither of that size
local folder = os.tmpname()
os.remove(folder)

setup(function()
  assert(os.execute("mkdir " .. program.quote(folder)))
  local model = models.lenet { classes = 3, channels = 1, size = 12, seed = 3,
                               normalize = { mean = { 0.5 }, std = { 0.25 } } }
  model.class_names = { "cat", "dog", "ship" }
  assert(model:save(folder .. "/told.safetensors"))
  assert(checkpoint.save(folder .. "/run", { model = model, optimizer = optim.adam { model, lr = 0.1 } }))
  local list = {}
  local file <close> = assert(nn.checkpoint.read(folder .. "/told.safetensors"))
  for i, entry in ipairs(file.entries) do
    list[i] = { name = "module." .. entry.name, tensor = file:tensor(entry.name) }
  end
  assert(nn.checkpoint.write(folder .. "/untold.safetensors", list, { note = "of a stranger" }))
  for i, name in ipairs { "one", "two" } do
    local picture = nn.uniform({ 20 * i, 30, i == 1 and 3 or 1 }, { seed = i })
    assert(image.save(folder .. "/" .. name .. ".png", picture))
  end
end)

teardown(function() os.execute("rm -rf " .. program.quote(folder)) end)

local function at(name) return folder .. "/" .. name end

-- What the program prints for a picture, computed here.
local function expected(model, name, top)
  local picture = assert(image.load(at(name), { channels = 1 }))
  local x = image.centre_crop(image.resize(picture, { side = 12 }), { side = 12 })
  local p = nn.no_grad(model, (x:to "float" / 255):reshape { 1, 12, 12, 1 }):softmax(2):tolist()[1]
  local order = { 1, 2, 3 }
  table.sort(order, function(a, b) return p[a] > p[b] end)
  local lines = {}
  for i = 1, top do
    lines[i] = ("%6.2f %% %s"):format(100 * p[order[i]], ({ "cat", "dog", "ship" })[order[i]])
  end
  return lines
end

local function answers(out)
  local lines = {}
  for share, class in out:gmatch "  ( *%d+%.%d+) %%[^\n]-  (%a[%w ]*)\n" do
    lines[#lines + 1] = ("%6.2f %% %s"):format(tonumber(share), class)
  end
  return lines
end

describe("penumbra model info", function()
  it("tells format, tensors, metadata, and the model that made it", function()
    local r = run { "model", "info", at "told.safetensors" }
    assert.same({ 0, "" }, { r.code, r.err })
    contains("format    safetensors\n", r.out)
    contains("tensors   10, ", r.out)
    contains('made by   models.lenet{ channels = 1, classes = 3, normalize = { mean = { 0.5 }, std = { 0.25 } }, '
      .. "size = 12 }", r.out)
    contains("metadata  format = pt\n", r.out)
    assert.matches("\nconv1%.weight +6 x 1 x 5 x 5 +float32\n", r.out)
  end)

  it("finds the model that fits when the file does not say", function()
    local r = run { "model", "info", at "untold.safetensors" }
    contains("fits      models.lenet{ channels = 1, classes = 3, size = 12 }\n", r.out)
    contains("metadata  note = of a stranger\n", r.out)
  end)

  it("says what is wrong in one line", function()
    for _, case in ipairs {
      { { "model", "info", at "nothing" }, 1, "nothing: No such file or directory\n" },
      { { "model", "info", folder }, 1, folder .. ": " },
      { { "model", "info", at "one.png" }, 1, "one.png: " },
      { { "model", "info" }, 2, 'missing argument "FILE"; penumbra model --help says more\n' },
      { { "model", "inof", "x" }, 2, 'unknown command "inof"; did you mean "info"?\n' },
      { { "model" }, 2, "a command is required" },
    } do
      local r = run(case[1])
      assert.same({ case[2], "" }, { r.code, r.out })
      assert.matches("^penumbra: model[^\n]*\n$", r.err)
      contains(case[3], r.err)
    end
  end)

  it("has a page of help", function()
    local r = run { "model", "--help" }
    assert.same({ 0, "" }, { r.code, r.err })
    contains("info", r.out)
    contains("convert", r.out)
  end)
end)

describe("penumbra model convert", function()
  local function same(a, b)
    local one <close> = assert(nn.checkpoint.read(at(a)))
    local two <close> = assert(nn.checkpoint.read(at(b)))
    assert.equal(#one.entries, #two.entries)
    for _, entry in ipairs(one.entries) do
      assert.same(entry.shape, two:tensor(entry.name).shape)
      assert.same(one:tensor(entry.name):reshape { -1 }:tolist(), two:tensor(entry.name):reshape { -1 }:tolist())
    end
  end

  it("writes the same tensors and metadata again", function()
    local r = run { "model", "convert", at "told.safetensors", at "again.safetensors" }
    assert.same({ code = 0, out = at "again.safetensors" .. ": 10 tensors\n", err = "" }, r)
    same("told.safetensors", "again.safetensors")
    contains("made by   models.lenet{", run({ "model", "info", at "again.safetensors" }).out)
  end)

  it("writes .npz, which is read again", function()
    local r = run { "model", "convert", at "told.safetensors", at "arrays.npz" }
    assert.same({ code = 0, out = at "arrays.npz" .. ": 10 tensors\n", err = "" }, r)
    same("told.safetensors", "arrays.npz")
    contains("format    npz\n", run({ "model", "info", at "arrays.npz" }).out)
    r = run { "predict", at "arrays.npz", at "one.png", "--arch", "lenet", "--mean", ".5", "--std", ".25", "--classes",
              "cat,dog,ship" }
    contains("  cat\n", r.out)
  end)

  it("takes a training's model out of its checkpoint", function()
    local r = run { "model", "convert", at "run/checkpoint-1.safetensors", at "again.safetensors" }
    assert.same({ 0, "" }, { r.code, r.err })
    same("told.safetensors", "again.safetensors")
  end)

  it("refuses other endings, and leaves nothing of what failed", function()
    local r = run { "model", "convert", at "told.safetensors", at "out.pt" }
    assert.same({ code = 2, out = "", err = "penumbra: model convert: " .. at "out.pt"
      .. ": expected a name that ends in .safetensors or .npz\n" }, r)
    r = run { "model", "convert", at "one.png", at "out.safetensors" }
    assert.equal(1, r.code)
    assert.is_nil(io.open(at "out.safetensors"))
  end)
end)

describe("penumbra predict", function()
  it("shows the classes of each picture", function()
    local r = run { "predict", at "told.safetensors", at "one.png", at "two.png" }
    assert.same({ 0, "" }, { r.code, r.err })
    contains(at "one.png" .. "  30 x 20\n", r.out)
    local model = assert(checkpoint.model(at "told.safetensors"))
    local wanted = expected(model, "one.png", 3)
    table.move(expected(model, "two.png", 3), 1, 3, 4, wanted)
    assert.same(wanted, answers(r.out))
  end)

  it("shows as many as asked, from a training's checkpoint as well", function()
    local r = run { "predict", at "run/checkpoint-1.safetensors", at "two.png", "--top", "1" }
    assert.same(r, run { "predict", at "run", at "two.png", "--top", "1" })
    assert.same(expected(assert(checkpoint.model(at "told.safetensors")), "two.png", 1), answers(r.out))
  end)

  it("is told of a file that does not say", function()
    local r = run { "predict", at "untold.safetensors", at "one.png", "--arch", "lenet", "--mean", "0.5", "--std",
                    "0.25", "--classes", "cat,dog,ship" }
    assert.same({ 0, "" }, { r.code, r.err })
    assert.same(expected(assert(checkpoint.model(at "told.safetensors")), "one.png", 3), answers(r.out))
    r = run { "predict", at "untold.safetensors", at "one.png" }
    assert.equal(1, r.code)
    contains("its tensors fit --arch lenet", r.err)
  end)

  it("takes the names from a file", function()
    program.with_files({ names = "red\ngreen\r\nblue\n" }, function(place)
      local r = run { "predict", at "told.safetensors", at "one.png", "--classes", place .. "/names" }
      for _, name in ipairs { "red", "green", "blue" } do contains("  " .. name .. "\n", r.out) end
    end)
  end)

  it("names a bad picture and goes on", function()
    local r = run { "predict", at "told.safetensors", at "nothing.png", at "told.safetensors", at "one.png" }
    assert.equal(1, r.code)
    assert.equal(3, #answers(r.out))
    assert.matches("^penumbra: predict: [^\n]*nothing.png: [^\n]*\npenumbra: predict: [^\n]*told.safetensors: "
      .. "[^\n]*\n$", r.err)
  end)

  it("says what is wrong in one line", function()
    for _, case in ipairs {
      { { at "untold.safetensors", at "one.png", "--arch", "lenett" }, 1,
        'there is no model "lenett"; did you mean "lenet"?' },
      { { at "untold.safetensors", at "one.png", "--arch", "resnet8" }, 1,
        "do not fit --arch resnet8; they fit --arch lenet" },
      { { at "told.safetensors", at "one.png", "--classes", "a,b" }, 1, "2 names of classes, but the model has 3" },
      { { at "told.safetensors", at "one.png", "--top", "0" }, 2, 'expected a number from 1, got "0"' },
      { { at "told.safetensors" }, 2, 'missing argument "IMAGE"' },
      { { at "nothing", at "one.png" }, 1, "No such file" },
    } do
      local r = run { "predict", table.unpack(case[1]) }
      assert.same({ case[2], "" }, { r.code, r.out })
      assert.matches("^penumbra: predict: [^\n]*\n$", r.err)
      contains(case[3], r.err)
    end
  end)
end)
