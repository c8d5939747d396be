--- Pictures of every kind as Pillow reads them, and resized as Pillow and torch resize them.
local image = require "image"
local reference = require "parity.reference"

local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/fixtures/images/"
local FLOAT <const> = 1e-6 -- what sums of a few products in floats may differ by

local function assert_same(expected, got, tolerance)
  assert.same(expected.shape, got.shape)
  local apart = (expected:to("float") - got:to("float")):abs():max():item()
  assert(apart <= tolerance, ("differs by %g; at most %g is allowed"):format(apart, tolerance))
end

describe("pictures", function()
  local index, stored = reference.open("images")

  for _, row in ipairs(index.files) do
    it(row.file, function()
      local path = folder .. row.file
      local plain = assert(image.load(path))
      assert_same(stored(row.stored), plain, 0)
      local channels = plain.shape[3]
      for wanted, name in pairs { [1] = "l", [3] = "rgb" } do
        local expected = row[name] or row.stored
        if row[name] or wanted == channels then
          assert_same(stored(expected), assert(image.load(path, { channels = wanted })), 0)
        end
      end
      local about = assert(image.info(path))
      assert.same({ about.height, about.width, about.channels }, plain.shape)
      local clear = assert(image.load(path, { channels = 4 }))
      if channels ~= 4 then
        assert_same(stored(row.rgb or row.stored), clear:slice(3, 1, 3), 0)
        assert.equal(255, clear:slice(3, 4, 4):to("float"):min():item())
      end
    end)
  end

  for _, row in ipairs(index.resized) do
    it(("resized to %dx%d, %s"):format(row.height, row.width, row.filter), function()
      local source = assert(image.load(folder .. "source.png"))
      local options = { height = row.height, width = row.width, filter = row.filter }
      assert_same(stored(row.pixels), image.resize(source, options), 0)
    end)
  end
end)

describe("pictures of numbers", function()
  local index, stored = reference.open("floats")

  for _, row in ipairs(index.files) do
    it(row.file, function()
      local path = folder .. row.file
      assert_same(stored(row.pixels), assert(image.load(path)), FLOAT)
      assert.equal(16, image.info(path).depth)
    end)
  end

  for _, row in ipairs(index.resized) do
    local how = row.antialias and "" or ", not antialiased"
    it(("resized to %dx%d, %s%s"):format(row.height, row.width, row.filter, how), function()
      local source = assert(image.load(folder .. "source.png")):to("float") / 255
      assert_same(stored(row.pixels), image.resize(source, {
        height = row.height, width = row.width, filter = row.filter, antialias = row.antialias,
      }), FLOAT)
    end)
  end
end)
