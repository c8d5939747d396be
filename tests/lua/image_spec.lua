--- Pictures and arrays on disk, there and back; how a file that cannot be used is told; pictures cut and laid out.
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

  local function drawn(height, width, channels)
    local t = nn.zeros({ height, width, channels }, { type = "uint8" })
    for y = 1, height do
      for x = 1, width do
        for c = 1, channels do t:set(y, x, c, (y * 37 + x * 11 + c * 83) % 256) end
      end
    end
    return t
  end

  it("reads what it wrote", function()
    for _, channels in ipairs { 1, 3, 4 } do
      local x = drawn(6, 9, channels)
      assert.is_true(image.save(path, x))
      local y = assert(image.load(path))
      assert.equal("uint8", y.type)
      assert.same(x:tolist(), y:tolist())
      assert.same(x:tolist(), assert(image.decode(image.encode(x))):tolist())
      assert.same({ format = "png", height = 6, width = 9, channels = channels, depth = 8, orientation = 1,
        progressive = false }, image.info(path))
    end
    local half = assert(image.decode(image.encode(nn.full({ 2, 3 }, 0.5))))
    assert.same({ { { 128 }, { 128 }, { 128 } }, { { 128 }, { 128 }, { 128 } } }, half:tolist())
  end)

  it("writes JPEG by the name's ending", function()
    local smooth = nn.full({ 16, 24, 3 }, 200, { type = "uint8" })
    for _, ending in ipairs { ".jpg", ".JPEG" } do
      assert.is_true(image.save(path .. ending, smooth, { quality = 95, chroma = "444" }))
      assert.equal("jpeg", image.info(path .. ending).format)
      assert.same({ 16, 24, 3 }, assert(image.load(path .. ending)).shape)
      os.remove(path .. ending)
    end
    assert.is_true(image.info(path) == nil)
    assert.is_true(image.save(path, smooth, { format = "jpeg", progressive = true }))
    assert.is_true(image.info(path).progressive)
    local x = assert(image.load(path, { channels = 1 }))
    assert.same({ 16, 24, 1 }, x.shape)
    assert.equal(200, x:get(8, 8, 1))
    assert.same({ 4, 6, 3 }, assert(image.load(path, { scale = 4 })).shape)
    assert.is_true(#image.encode(smooth, { format = "jpeg", quality = 1 }) < #image.encode(smooth, { format = "jpeg" }))
  end)

  it("refuses options that are none", function()
    local x = nn.zeros { 2, 2 }
    local function refused(says, call, ...)
      local ok, message = pcall(call, ...)
      assert.is_false(ok)
      assert.equal(says, (message:gsub("^%S+:%d+: ", "")))
    end
    refused('image.load: unknown option "chanels"; did you mean "channels"?', image.load, path, { chanels = 3 })
    refused("image.load: channels expects 1, 3 or 4, got 2", image.load, path, { channels = 2 })
    refused("image.decode: scale expects 1, 2, 4 or 8, got 3", image.decode, "", { scale = 3 })
    refused("image.save: quality is an option of jpeg, not of png", image.save, path, x, { quality = 3 })
    refused('image.save: a name that ends in .png, .jpg or .jpeg expected, or the option format; got "x.gif"',
      image.save, "x.gif", x)
    refused("image: 1 or 3 channels expected, as JPEG keeps no transparency, got [2x2x4]", image.encode,
      nn.zeros { 2, 2, 4 }, { format = "jpeg" })
  end)

  it("tells what is wrong with a file", function()
    local function told(says, code, ...)
      local got, message, got_code = ...
      assert.is_nil(got)
      assert.equal(says, message)
      assert.equal(code, got_code)
    end
    told(path .. ".absent: No such file or directory", "io", image.load(path .. ".absent"))
    told("/tmp: not a regular file", "io", image.info("/tmp"))
    told(path .. ": a PNG or JPEG picture expected, found nothing", "format", image.load(path))
    told("image.decode: a PNG or JPEG picture expected; it does not start like one", "format", image.decode("BM6"))
    local bytes = image.encode(drawn(40, 40, 3))
    told("image.decode: png: the file ends early at offset 150", "format", image.decode(bytes:sub(1, 150)))
    told("image.decode: 40x40 pixels are more than max_pixels = 1599", "format",
      image.decode(bytes, { max_pixels = 1599 }))
    bytes = image.encode(drawn(40, 40, 3), { format = "jpeg" })
    told("image.decode: jpeg: premature end of JPEG file at offset 900", "format", image.decode(bytes:sub(1, 900)))
    assert.same({ 40, 40, 3 }, image.decode(bytes:sub(1, 900), { damaged = true }).shape)
  end)

  it("resizes", function()
    local x = drawn(20, 30, 3)
    assert.same({ 10, 7, 3 }, image.resize(x, { height = 10, width = 7 }).shape)
    assert.same({ 10, 15, 3 }, image.resize(x, { height = 10 }).shape)
    assert.same({ 8, 12, 3 }, image.resize(x, { width = 12 }).shape)
    assert.same({ 7, 10, 3 }, image.resize(x, { side = 7 }).shape)
    assert.same(x:tolist(), image.resize(x, { side = 20, filter = "bicubic" }):tolist())
    assert.same({ 4, 7, 10, 3 }, image.resize(nn.zeros { 4, 20, 30, 3 }, { side = 7 }).shape)
    assert.same({ 7, 10 }, image.resize(nn.zeros { 20, 30 }, { side = 7 }).shape)
    local sampled = image.resize(nn.tensor { { 0, 1, 1, 2 } }, { width = 2, height = 1, antialias = false })
    assert.same({ { 0.5, 1.5 } }, sampled:tolist())
    assert.error_matches(function() image.resize(x, {}) end, "expected height, width or both, or side, got none")
    assert.error_matches(function() image.resize(x, { side = 3, width = 2 }) end, "got side and another")
    assert.error_matches(function() image.resize(nn.zeros { 3 }, { side = 3 }) end, "image.resize: .* got %[3%]")
    assert.error_matches(function() image.resize(x, { side = 3, filter = "cubic" }) end, 'did you mean "bicubic"')
  end)

  it("cuts, mirrors and pads", function()
    local x = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.same({ { 5, 6 } }, image.crop(x, { top = 2, left = 2, height = 1, width = 2 }):tolist())
    assert.same({ { 2 }, { 5 } }, image.centre_crop(x, { height = 2, width = 1 }):tolist())
    assert.same({ { 3, 2, 1 }, { 6, 5, 4 } }, image.flip(x):tolist())
    assert.same({ { 4, 5, 6 }, { 1, 2, 3 } }, image.flip(x, "vertical"):tolist())
    assert.same({ { 9, 1, 2, 3 }, { 9, 4, 5, 6 } }, image.pad(x, { left = 1, value = 9 }):tolist())
    assert.same({ { 3, 2, 1, 2, 3, 2, 1 }, { 6, 5, 4, 5, 6, 5, 4 } },
      image.pad(x, { left = 2, right = 2, mode = "reflect" }):tolist())
    assert.same({ { 1, 1, 2, 3, 3 }, { 1, 1, 2, 3, 3 }, { 4, 4, 5, 6, 6 }, { 4, 4, 5, 6, 6 } },
      image.pad(x, { all = 1, mode = "edge" }):tolist())
    -- as torchvision places them: an odd rest is halved to the even side
    assert.equal(3, image.centre_crop(nn.tensor { { 1, 2, 3, 4, 5, 6 } }, { height = 1, width = 3 }):get(1, 1))
    assert.equal(1, image.centre_crop(nn.tensor { { 1, 2, 3, 4 } }, { height = 1, width = 3 }):get(1, 1))
    local batch = nn.uniform { 2, 3, 4, 1 }
    assert.same({ 2, 2, 2, 1 }, image.centre_crop(batch, { side = 2 }).shape)
    assert.equal(batch:get(2, 3, 1, 1), image.flip(batch):get(2, 3, 4, 1))
    assert.same({ 2, 7, 8, 1 }, image.pad(batch, { all = 2 }).shape)
    local bytes = image.pad(drawn(2, 2, 3), { all = 1, value = 255 })
    assert.equal("uint8", bytes.type)
    assert.equal(255, bytes:get(1, 1, 1))
    assert.error_matches(function() image.crop(x, { height = 2, width = 2, left = 3 }) end,
      "image.crop: expected a part of the picture, got 2x2 at row 1, column 3 of %[2x3%]")
    assert.error_matches(function() image.pad(x, { left = 3, mode = "reflect" }) end,
      "below the picture's side of 3, got 3")
    assert.error_matches(function() image.flip(x, "sideways") end,
      'expected "horizontal" or "vertical", got "sideways"')
  end)

  it("writes labels into a grid", function()
    local x = nn.zeros { 3, 4, 5, 1 }
    local plain = image.grid(x, { columns = 3, background = 0 })
    local labelled = image.grid(x, { columns = 3, background = 0, labels = { "a", "1 2", "" } })
    assert.same({ 4, 3 * 5 + 2 * 2, 1 }, plain.shape)
    assert.same({ 4 + 9, 3 * 24 + 2 * 2, 1 }, labelled.shape) -- as wide as "1 2 ", four characters of six dots
    assert.equal(0, labelled:slice(1, 1, 4):max():item())
    local text = labelled:slice(1, 5, 13)
    local third = text:slice(2, 53, 76)
    assert.equal(1, text:slice(2, 1, 24):max():item())
    assert.equal(0, third:max():item())
    -- a "1": a serif, a stem of seven dots, a foot
    local one = text:slice(2, 30, 35):reshape { 9, 6 }:tolist()
    assert.same({ 0, 0, 1, 0, 0, 0 }, one[2])
    assert.same({ 0, 1, 1, 0, 0, 0 }, one[3])
    assert.same({ 0, 1, 1, 1, 0, 0 }, one[8])
    assert.same({ 0, 0, 0, 0, 0, 0 }, one[9])
    local above = image.grid(x, { columns = 3, background = 0, labels = { "a", "1 2", "" }, place = "above" })
    assert.same(text:tolist(), above:slice(1, 1, 9):tolist())
    local bytes = image.grid(nn.full({ 1, 4, 5, 4 }, 9, { type = "uint8" }), { labels = { "two\nlines: é" } })
    assert.same({ 4 + 2 * 9, 8 * 6, 4 }, bytes.shape)
    assert.equal(0, bytes:slice(1, 5, 22):to("float"):min():item())
    assert.error_matches(function() image.grid(x, { labels = { "one" } }) end, "expected 3 labels, .* got 1")
  end)

  it("reads photographs, the odd ones too", function()
    local folder
    for place in (os.getenv("PENUMBRA_DATA") or ""):gmatch("[^:]+") do
      folder = folder or io.open(place .. "/imagenet-sample/odd.txt") and place .. "/imagenet-sample"
    end
    if not folder then pending("PENUMBRA_DATA has no imagenet-sample") return end
    local seen = { L = 0, RGB = 0 }
    for line in io.lines(folder .. "/odd.txt") do
      local name, width, height, mode, turned = line:match("^(n%S+)%s+(%d+)x(%d+)%s+(%u+)%s+%(%d, %d%)%s+(%w+)")
      if name then
        local about = assert(image.info(folder .. "/images/" .. name))
        local upright = { tonumber(height), tonumber(width) }
        if tonumber(turned) == 6 then upright = { upright[2], upright[1] } end
        local channels = mode == "L" and 1 or 3
        assert.equal(tonumber(turned) == 6 and 6 or 1, about.orientation)
        assert.same({ upright[1], upright[2], channels }, { about.height, about.width, about.channels })
        for wanted, options in pairs { [channels] = {}, [4 - channels] = { channels = 4 - channels } } do
          local x = assert(image.load(folder .. "/images/" .. name, options))
          assert.same({ upright[1], upright[2], wanted }, x.shape)
        end
        seen[mode] = seen[mode] + 1
      end
    end
    assert.same({ L = 10, RGB = 7 }, seen)
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
