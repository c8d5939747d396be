--- Pictures and arrays on disk: PNG and NPY, there and back, and how a file that cannot be used is told.
local image = require "image"
local nn = require "nn"

describe("image", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("saves a PNG file", function()
    assert.is_true(image.save(path, nn.full({ 5, 7, 3 }, 0.5)))
    local handle = assert(io.open(path, "rb"))
    local head = handle:read(26)
    handle:close()
    assert.equal("\137PNG\r\n\26\n", head:sub(1, 8))
    local width, height, depth, colour = string.unpack(">I4I4BB", head, 17)
    assert.same({ 7, 5, 8, 2 }, { width, height, depth, colour })
  end)

  it("raises on misuse, and gives nil, message, code when the world fails", function()
    assert.error_matches(function() image.save(path, nn.zeros { 2, 2, 2 }) end,
      "1, 3 or 4 channels expected, got %[2x2x2%]")
    local ok, message, code = image.save(path .. "/no/such.png", nn.zeros { 2, 2 })
    assert.is_nil(ok)
    assert.matches("such.png: cannot be written", message)
    assert.equal("io", code)
  end)

  it("lays a batch out as one picture", function()
    local batch = nn.tensor { { { { 0.25 } } }, { { { 0.5 } } }, { { { 0.75 } } } } -- three images of one pixel
    local picture = image.grid(batch, { columns = 2, gap = 1, background = 0 })
    assert.same({ { { 0.25 }, { 0 }, { 0.5 } }, { { 0 }, { 0 }, { 0 } }, { { 0.75 }, { 0 }, { 0 } } }, picture:tolist())
    picture = image.grid({ nn.full({ 2, 3, 3 }, 9, { type = "uint8" }) })
    assert.same({ 2, 3, 3 }, picture.shape)
    assert.equal("uint8", picture.type)
    assert.same({ 8, 8, 1 }, image.grid(nn.zeros { 4, 3, 3, 1 }).shape)
    assert.error_matches(function() image.grid(nn.zeros { 3, 3 }) end, "image.grid: expected a batch")
    assert.error_matches(function() image.grid { nn.zeros { 2, 2, 1 }, nn.zeros { 2, 3, 1 } } end,
      "of one shape, %[2x2x1%], got %[2x3x1%] at place 2")
  end)

  it("enlarges a picture", function()
    local picture = nn.tensor({ { { 1 }, { 2 } }, { { 3 }, { 4 } } }, { type = "uint8" })
    local row1, row2 = { { 1 }, { 1 }, { 2 }, { 2 } }, { { 3 }, { 3 }, { 4 }, { 4 } }
    assert.same({ row1, row1, row2, row2 }, image.enlarge(picture, 2):tolist())
    assert.error_matches(function() image.enlarge(picture, 0.5) end, "expected a factor from 1, got 0.5")
    assert.error_matches(function() image.enlarge(nn.zeros { 2, 2 }, 2) end, "got %[2x2%]")
  end)
end)

describe("nn.npy", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("writes and reads arrays", function()
    local x = nn.tensor { { 1.5, -2 }, { 0, 4 } }
    assert.is_true(nn.npy.save(path, x))
    assert.same(x:tolist(), nn.npy.load(path):tolist())
    assert.is_true(nn.npy.save(path, nn.tensor({ 1, 3 }, { type = "index" })))
    local stored = nn.npy.load(path)
    assert.equal("int32", stored.type)
    assert.same({ 0, 2 }, stored:tolist())
    assert.same({ 1, 3 }, stored:to("index"):tolist())
    local ok, message, code = nn.npy.load(path .. ".absent")
    assert.is_nil(ok)
    assert.matches("No such file", message)
    assert.equal("io", code)
    local handle = assert(io.open(path, "wb"))
    handle:write("\x93NUMPY\1\0")
    handle:close()
    ok, message, code = nn.npy.load(path)
    assert.is_nil(ok)
    assert.matches("header length: 2 bytes expected at offset 8, 0 found; the file ends there", message)
    assert.equal("format", code)
  end)
end)
