--- Event files for TensorBoard: their checksums, and that what was written is in them.
local file = require "file"
local lfs = require "lfs"
local tensorboard = require "tensorboard"

describe("tensorboard", function()
  local folder = os.tmpname()
  setup(function() os.remove(folder) end)
  after_each(function() file.remove_folder(folder) end)

  it("has the checksums of RFC 3720", function()
    local ascending = {}
    for i = 0, 31 do ascending[i + 1] = string.char(i) end
    local ascending_text = table.concat(ascending)
    local vectors = {
      [""] = 0, ["123456789"] = 0xE3069283, [("\0"):rep(32)] = 0x8A9136AA, [("\255"):rep(32)] = 0x62A8AB43,
      [ascending_text] = 0x46DD794E, [ascending_text:reverse()] = 0x113FDB5C,
    }
    for text, crc in pairs(vectors) do assert.equal(crc, tensorboard.crc32c(text)) end
  end)

  -- As TensorBoard 2.21 writes them: its RecordWriter, and an Event of its protobuf.
  it("writes records and events as others do", function()
    local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
    assert.equal("0500000000000000eab2043e68656c6c6fbb1f1c19", hex(tensorboard.record "hello"))
    local events = assert(tensorboard.open(folder))
    assert(events:scalars(300, { ["a/b"] = -2 }))
    local event = hex(tensorboard.records(assert(file.read(events.path)))[2])
    assert.equal("09", event:sub(1, 2)) -- and eight bytes of time
    assert.equal("10ac022a0c0a0a0a03612f6215000000c0", event:sub(19))
  end)

  it("reads back what it wrote, and finds damage", function()
    local bytes = tensorboard.record "one" .. tensorboard.record "" .. tensorboard.record(("x"):rep(1000))
    assert.same({ "one", "", ("x"):rep(1000) }, tensorboard.records(bytes))
    assert.same({ "one", "" }, tensorboard.records(bytes:sub(1, -2)))
    assert.same({}, tensorboard.records "")
    for at = 1, 12 do
      local wrong = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1) .. bytes:sub(at + 1)
      local list, message, code = tensorboard.records(wrong)
      assert.same({ nil, "the length at offset 0 does not have its checksum", "format" }, { list, message, code })
    end
    local list, message = tensorboard.records((bytes:gsub("one", "two")))
    assert.is_nil(list)
    assert.equal("the data at offset 12 do not have their checksum", message)
  end)

  -- The fields of a message, { number, value }: varints as integers, the rest as bytes.
  local function fields(message)
    local list, at = {}, 1
    local function varint()
      local value, shift = 0, 0
      repeat
        local byte = message:byte(at)
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
      until byte < 0x80
      return value
    end
    while at <= #message do
      local key = varint()
      local value
      if key & 7 == 0 then
        value = varint()
      else
        local size = ({ [1] = 8, [5] = 4 })[key & 7] or varint()
        value, at = message:sub(at, at + size - 1), at + size
      end
      list[#list + 1] = { key >> 3, value }
    end
    return list
  end

  -- { step, { name = value } | text } of each event of a file.
  local function events(path)
    local list = {}
    for i, record in ipairs(assert(tensorboard.records(assert(file.read(path))))) do
      local event = fields(record)
      assert.same({ 1, 2 }, { event[1][1], event[2][1] })
      assert.is_true(math.abs(("<d"):unpack(event[1][2]) - os.time()) < 5)
      local what = event[3][2]
      if event[3][1] == 5 then
        what = {}
        for _, value in ipairs(fields(event[3][2])) do
          local scalar = fields(value[2])
          what[scalar[1][2]] = ("<f"):unpack(scalar[2][2])
        end
      end
      list[i] = { event[2][2], what }
    end
    return list
  end

  it("writes scalars, and where a later file goes on", function()
    local first = assert(tensorboard.open(folder))
    assert(first:scalars(7, { loss = 0.5, ["a/b"] = -2, bad = 0 / 0, worse = math.huge }))
    assert(first:scalars(300, { loss = 0.25 }))
    assert.same({ { 0, "brain.Event:2" }, { 7, { loss = 0.5, ["a/b"] = -2 } }, { 300, { loss = 0.25 } } },
                events(first.path))
    local second = assert(tensorboard.open(folder, { from = 8 }))
    assert.is_true(second.path > first.path)
    assert.same({ { 0, "brain.Event:2" }, { 8, "\8\1" } }, events(second.path))
  end)

  it("has a training's terms, rates, validation and probes", function()
    local data, loss, models = require "data", require "loss", require "models"
    local optim, perturb, probe, train = require "optim", require "perturb", require "probe", require "train"
    train { model = models.mlp { classes = 4, shape = { 8, 8, 3 }, hidden = { 8 }, seed = 1 }, data = data.synthetic(),
            loss = loss.cross_entropy() + loss.continuity { perturb = perturb.hue(0.1) }, quiet = true, epochs = 2,
            optimizer = optim.adam { lr = 0.5 }, validation = 0.2, probes = { probe.accuracy() }, out = folder,
            tensorboard = true }
    local list
    for name in lfs.dir(folder .. "/tensorboard") do
      if name:find "^events" then list = events(folder .. "/tensorboard/" .. name) end
    end
    local last = {}
    for _, event in ipairs(list) do
      if type(event[2]) == "table" then
        for name, value in pairs(event[2]) do last[name] = { event[1], value } end
      end
    end
    for _, name in ipairs { "loss/total", "loss/cross_entropy", "loss/continuity", "raw/continuity", "rate/lr",
                            "epoch/loss", "epoch/accuracy", "epoch/validation", "epoch/validation_loss",
                            "speed/images_per_second", "accuracy/accuracy" } do
      assert.equal(4, last[name] and last[name][1], name)
    end
    assert.same({ 4, 0.5 }, last["rate/lr"])
  end)

  it("says what it cannot write", function()
    assert(file.make_folder(folder))
    assert(file.write(folder .. "/taken", ""))
    local events_file, message, code = tensorboard.open(folder .. "/taken")
    assert.is_nil(events_file)
    assert.matches("taken: a folder expected, found a file", message)
    assert.equal("io", code)
  end)
end)
