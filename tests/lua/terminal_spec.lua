--- Pictures for terminals. What is drawn where, a terminal decides: tests/cli/prompt_spec.lua.
local data = require "data"
local host = require "host"
local image = require "image"
local nn = require "nn"
local terminal = require "terminal"

describe("host.pixels", function()
  it("gives red, green, blue of bytes and floats", function()
    assert.equal("\0\0\0\127\127\127\255\255\255", host.pixels(nn.tensor { { 0, 127 / 255, 1 } }))
    assert.equal("\1\2\3\4\5\6", host.pixels(nn.tensor({ { { 1, 2, 3 }, { 4, 5, 6 } } }, { type = "uint8" })))
    assert.equal("\0\0\0\255\255\255\0\0\0", host.pixels(nn.tensor { { -1, 7, 0 / 0 } }))
    assert.equal("\200\200\200", host.pixels(nn.tensor({ { { 200 } } }, { type = "uint8" })))
    -- transparency shows grey
    local pair = nn.tensor({ { { 9, 8, 7, 255 }, { 9, 8, 7, 0 } } }, { type = "uint8" })
    assert.equal("\9\8\7\128\128\128", host.pixels(pair))
  end)

  it("takes views", function()
    local x = nn.uniform({ 5, 7, 3 }, { seed = 1 }):transpose(1, 2)
    assert.equal(host.pixels(x), host.pixels(x:clone()))
  end)

  it("refuses what is no picture", function()
    for _, x in ipairs { nn.zeros { 2 }, nn.zeros { 2, 2, 2 }, nn.zeros { 1, 2, 2, 3 },
                         nn.zeros({ 2, 2 }, { type = "index" }) } do
      assert.has_error(function() host.pixels(x) end)
    end
  end)
end)

-- The picture that a terminal makes of sixels: bytes and width.
local function read_sixels(text)
  local width, height, body = text:match '^\27P0;1q"1;1;(%d+);(%d+)(.*)\27\\$'
  width, height = tonumber(width), tonumber(height)
  local palette, picture, colour, x, y, at = {}, {}, nil, 0, 0, 1
  while at <= #body do
    local number, rest = body:match("^#(%d+)()", at)
    if number then
      local r, g, b, after = body:match("^;2;(%d+);(%d+);(%d+)()", rest)
      colour, at = tonumber(number), after or rest
      if r then palette[colour] = { r * 255 / 100, g * 255 / 100, b * 255 / 100 } end
    else
      local count, char, after = body:match("^!(%d+)(.)()", at)
      if not count then count, char, after = 1, body:sub(at, at), at + 1 end
      at = after
      if char == "$" then x = 0
      elseif char == "-" then x, y = 0, y + 6
      else
        for _ = 1, count do
          for bit = 0, 5 do
            if char:byte() - 63 >> bit & 1 == 1 then
              assert(not picture[(y + bit) * width + x], "a pixel is painted twice")
              picture[(y + bit) * width + x] = palette[colour]
            end
          end
          x = x + 1
        end
      end
    end
  end
  return picture, width, height
end

describe("host.sixel", function()
  it("paints every pixel once, near its colour on average", function()
    local x = image.resize(nn.uniform({ 3, 4, 3 }, { seed = 3 }), { height = 50, width = 61 })
    local bytes = host.pixels(x)
    local picture, width, height = read_sixels(host.sixel(bytes, 61))
    assert.same({ 61, 50 }, { width, height })
    for c = 1, 3 do
      for top = 0, 40, 8 do -- in each square of 8 x 8 the dither hits the mean
        local want, got = 0, 0
        for y = top, top + 7 do
          for col = 16, 23 do
            want = want + bytes:byte(3 * (y * width + col) + c)
            got = got + picture[y * width + col][c]
          end
        end
        assert.is_near(want / 64, got / 64, 3)
      end
    end
    for i = 0, width * height - 1 do assert.is_table(picture[i]) end
  end)

  it("draws pure colours purely", function()
    local picture = read_sixels(host.sixel("\0\0\0\255\255\255\255\0\0\0\0\255", 4))
    assert.same({ { 0, 0, 0 }, { 255, 255, 255 }, { 255, 0, 0 }, { 0, 0, 255 } },
      { picture[0], picture[1], picture[2], picture[3] })
  end)

  it("refuses bytes that are no lines of that width", function()
    assert.has_error(function() host.sixel("\0\0\0\0", 1) end)
    assert.has_error(function() host.sixel("\0\0\0", 0) end)
    assert.has_error(function() host.sixel("\0\0\0", 2) end)
  end)
end)

describe("show", function()
  local function shown(...)
    local kept, path = io.stdout, os.tmpname()
    local file = assert(io.open(path, "w"))
    io.stdout = file -- luacheck: ignore
    local ok, message, why, code = pcall(terminal.show, ...)
    io.stdout = kept -- luacheck: ignore
    file:close()
    file = assert(io.open(path))
    local text = file:read "a"
    file:close()
    os.remove(path)
    if not ok then error(message, 0) end
    return text, why, code
  end

  if host.terminal(1) then return end -- what follows is drawn without a terminal

  it("draws by brightness without a terminal", function()
    assert.equal((("@"):rep(48) .. "\n"):rep(24), (shown(nn.ones { 6, 6 })))
    assert.matches("^[ @\n]+$", shown(nn.tensor { { 0, 1 }, { 0, 1 } }))
  end)

  it("puts a batch in rows with captions", function()
    local captions = { "one", "two", "a caption that is longer than its picture", "four", "five" }
    local text = shown(nn.ones { 5, 4, 30, 3 }, { captions = captions })
    local row = ("@"):rep(30) .. " " .. ("@"):rep(30) .. "\n"
    assert.equal(row .. row .. "one" .. (" "):rep(28) .. "two\n", text:sub(1, 2 * #row + 35))
    assert.is_truthy(text:find("a caption that is longer than…", 1, true))
  end)

  it("shrinks what is too wide, and says how many it leaves out", function()
    for line in shown(nn.ones { 100, 500, 1 }):gmatch "[^\n]+" do assert.equal(80, #line) end
    assert.matches("\n%.%.%. 64 of 1,000 pictures\n$", shown(nn.ones { 1000, 2, 2, 1 }))
  end)

  it("writes a file as well", function()
    local path = os.tmpname() .. ".png"
    shown(nn.ones { 3, 8, 8, 3 }, { path = path })
    local about = assert(image.info(path))
    assert.equal("png", about.format)
    os.remove(path)
    local _, message, code = shown(nn.ones { 1, 1 }, { path = "/nonexistent/x.png" })
    assert.matches("/nonexistent/x.png", message)
    assert.equal("io", code)
  end)

  it("draws a part of a data set, and an image with its label", function()
    local part = data.synthetic({ classes = 3, train = 100, side = 8 }).train
    assert.matches("\n%.%.%. 16 of 100 pictures\n$", shown(part))
    local caption = part.class_names[part.labels:get(2)]
    assert.equal(shown(part:take(2):image(2)), (shown(part.images[2])))
    assert.is_truthy(shown(part:take(2)):find(caption, 1, true))
  end)

  it("refuses what is no picture", function()
    local cases = {
      { { nn.zeros { 2 } }, "show: expected a picture .*, got %[2%]" },
      { { nn.zeros({ 2, 2 }, { type = "index" }) }, "show: expected a picture .*, got %[2x2%]" },
      { { "x" }, 'show: expected a picture .*, got "x"' },
      { { {} }, "show: expected a picture" },
      { { nn.zeros { 2, 2 }, { captoins = {} } }, 'did you mean "captions"' },
      { { nn.zeros { 2, 2, 2, 3 }, { captions = { "a" } } }, "show: expected 2 captions, .*, got 1" },
    }
    for _, case in ipairs(cases) do
      local ok, message = pcall(shown, table.unpack(case[1]))
      assert.is_false(ok)
      assert.matches(case[2], message)
    end
  end)
end)
