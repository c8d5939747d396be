--- Checkpoints and arrays of other programs: what they hold, value by value, and what damage to them says.
--- tests/formats and its expected.json were made by scripts/dev/formats.py.
local nn = require "nn"
local file, json, lfs = require "file", require "json", require "lfs"

local FOLDER = "tests/formats/"
local DATA -- the folder that has weights/
for path in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
  if lfs.attributes(path .. "/weights/fixtures", "mode") == "directory" then DATA = path end
end
local SCRATCH = os.tmpname()

local expected = assert(json.read(FOLDER .. "expected.json"))

--- All elements of a tensor in their order.
local function elements(t)
  local list = {}
  local function walk(value)
    if type(value) ~= "table" then
      list[#list + 1] = value
    else
      for i = 1, #value do walk(value[i]) end
    end
  end
  walk(t:tolist())
  return list
end

local function check_tensor(c, entry, where)
  local t, message, code = c:tensor(entry.name)
  if entry.refused then
    assert.is_nil(t, where)
    assert.matches(entry.refused, message, 1, true)
    assert.matches(('tensor "%s"'):format(entry.name), message, 1, true)
    assert.equal("format", code)
    return
  end
  assert.is_nil(message, where)
  local total, weighted, odd = 0.0, 0.0, 0
  for place, x in ipairs(elements(t)) do
    if x ~= x or x == math.huge or x == -math.huge then
      odd = odd + 1
    else
      total = total + x
      weighted = weighted + place * x
    end
  end
  assert.same({ entry.odd, entry.sum, entry.weighted }, { odd, total, weighted }, where)
end

local function check_file(name, path)
  local want = expected[name]
  local c, message, code = nn.checkpoint.read(path)
  if want.says then
    assert.is_nil(c)
    assert.matches(want.says, message, 1, true)
    assert.matches(path, message, 1, true)
    assert.equal("format", code)
    return
  end
  assert.is_nil(message)
  assert.equal(want.format, c.format)
  assert.equal(#want.tensors, #c.entries, name)
  for i, entry in ipairs(want.tensors) do
    local got = c.entries[i]
    assert.same({ entry.name, entry.dtype, { table.unpack(entry.shape) } }, { got.name, got.dtype, got.shape }, name)
    check_tensor(c, entry, name .. ": " .. entry.name)
  end
  local plain = {}
  for key, value in pairs(want.values) do plain[key] = value end
  assert.same(plain, c.values)
  c:close()
end

describe("files of other programs", function()
  local names = {}
  for name in pairs(expected) do
    if name ~= "made with" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      local outside = name:find "^weights/"
      if outside and not DATA then return pending "PENUMBRA_DATA has no weights" end
      check_file(name, (outside and DATA .. "/" or FOLDER) .. name)
    end)
  end
end)

describe("safetensors", function()
  local tensors = {
    { name = "b.weight", tensor = nn.tensor { { 0, 1, 2 }, { 3, 4, 5 } } },
    { name = "a", tensor = nn.tensor({ 1, 2, 255 }, { type = "uint8" }) },
    { name = 'caf\u{e9} "1"', tensor = nn.tensor(2.5) },
    { name = "c", tensor = nn.tensor({ -5, 6 }, { type = "int32" }) },
  }

  it("writes the bytes that the format's authors write", function()
    assert(nn.checkpoint.write(SCRATCH, tensors, { format = "pt" }))
    assert.equal(file.read(FOLDER .. "same-bytes.safetensors"), file.read(SCRATCH))
  end)

  it("reads back what it wrote", function()
    local view = nn.tensor({ { 1, 2 }, { 3, 4 } }):transpose(1, 2)
    assert(nn.checkpoint.write(SCRATCH, { { name = "view", tensor = view } },
      { ["a\n\"\\"] = "\u{1F600}\t", z = "" }))
    local c <close> = assert(nn.checkpoint.read(SCRATCH))
    assert.same({ ["a\n\"\\"] = "\u{1F600}\t", z = "" }, c.metadata)
    assert.same({ { 1, 3 }, { 2, 4 } }, c:tensor("view"):tolist())
    assert(nn.checkpoint.write(SCRATCH, {}))
    assert.same({}, assert(nn.checkpoint.read(SCRATCH)).entries)
  end)

  it("refuses names that cannot be", function()
    local t = nn.zeros { 1 }
    local function fails(list, metadata, says)
      local ok, message = pcall(nn.checkpoint.write, SCRATCH, list, metadata)
      assert.is_false(ok)
      assert.matches(says, message, 1, true)
    end
    fails({ { name = "x", tensor = t }, { name = "x", tensor = t } }, nil, 'tensor "x" appears twice')
    fails({ { name = "x\xff", tensor = t } }, nil, '"x\\xff" cannot be a name: it is not UTF-8')
    fails({ { name = "__metadata__", tensor = t } }, nil, "it is reserved")
    fails({ { name = "x" } }, nil, "expected at place 1 of the list")
    fails({ { name = "x", tensor = t } }, { 1 }, "metadata is a table of texts by name")
  end)

  it("keeps the old file when a write fails", function()
    assert(nn.checkpoint.write(SCRATCH, tensors))
    local before = file.read(SCRATCH)
    assert.is_false((pcall(nn.checkpoint.write, SCRATCH, { tensors[1], tensors[1] })))
    assert.equal(before, file.read(SCRATCH))
    local ok, message, code = nn.checkpoint.write("no/such/folder/x.safetensors", tensors)
    assert.is_nil(ok)
    assert.matches("no/such/folder/x.safetensors: cannot be written", message, 1, true)
    assert.equal("io", code)
  end)
end)

describe("npz", function()
  it("reads back what it wrote", function()
    local list = { x = nn.tensor { { 1.5, 2 }, { 3, 4 } }, ["a/b"] = nn.tensor({ 7 }, { type = "uint8" }),
                   i = nn.tensor({ 3, 1 }, { type = "index" }) }
    assert(nn.npz.save(SCRATCH, list))
    local back = assert(nn.npz.load(SCRATCH))
    assert.same({ { 1.5, 2 }, { 3, 4 } }, back.x:tolist())
    assert.same({ 7 }, back["a/b"]:tolist())
    assert.same({ 2, 0 }, back.i:tolist())
    local first = file.read(SCRATCH)
    assert(nn.npz.save(SCRATCH, list))
    assert.equal(first, file.read(SCRATCH))
  end)

  it("says what is wrong", function()
    assert.has_error(function() nn.npz.save(SCRATCH, { 1 }) end)
    assert.has_error(function() nn.npz.save(SCRATCH, { x = 1 }) end)
    local t, message, code = nn.npz.load(FOLDER .. "tensor.pt")
    assert.is_nil(t)
    assert.equal(FOLDER .. "tensor.pt: an .npz file expected, found torch zip", message)
    assert.equal("format", code)
    t, message = nn.npz.load(FOLDER .. "texts.npz")
    assert.is_nil(t)
    assert.matches('tensor "a": elements of type <U2 are not supported', message, 1, true)
  end)
end)

describe("a checkpoint", function()
  it("is closed once and for all", function()
    local c = assert(nn.checkpoint.read(FOLDER .. "tensor.pt"))
    assert.equal("checkpoint (torch zip, 1 tensors)", tostring(c))
    c:close()
    c:close()
    assert.has_error(function() c:tensor("tensor") end)
    assert.equal("checkpoint (closed)", tostring(c))
  end)

  it("says that a tensor is not there", function()
    local c <close> = assert(nn.checkpoint.read(FOLDER .. "tensor.pt"))
    local ok, message = pcall(c.tensor, c, "weight")
    assert.is_false(ok)
    assert.matches('checkpoint: no tensor "weight"', message, 1, true)
  end)

  it("has the same keys in both files of one net", function()
    if not DATA then return pending "PENUMBRA_DATA has no weights" end
    local keys = {}
    for _, ending in ipairs { "pt", "safetensors" } do
      local c <close> = assert(nn.checkpoint.read(DATA .. "/weights/burn_mnist." .. ending))
      local names = {}
      for i, entry in ipairs(c.entries) do names[i] = entry.name .. " " .. table.concat(entry.shape, "x") end
      table.sort(names)
      keys[#keys + 1] = table.concat(names, "\n")
    end
    assert.equal(keys[1], keys[2])
  end)
end)

-- ---- damage ----

describe("a lack of memory", function()
  for _, name in ipairs { "torch2.pt", "torch2-stream.pt", "oldest.tar", "packed.npz", "authors.safetensors" } do
    it("leaves nothing of " .. name, function()
      collectgarbage()
      collectgarbage()
      local blocks, n = nn.memory.stats().blocks, 0
      local ok, message
      repeat -- each allocation fails in turn
        n = n + 1
        nn.memory.fail_at(n)
        ok, message = pcall(function() return assert(nn.checkpoint.read(FOLDER .. name)) end)
        nn.memory.fail_at(0)
        if not ok then assert.matches("memory", message, 1, true) end
        collectgarbage()
        if not ok then assert.equal(blocks, nn.memory.stats().blocks) end
      until ok
      message:close()
      assert.is_true(n > 5)
    end)
  end
end)

--- Reads bytes as a file: what it says, which must be one line that names the file and leaves nothing behind.
local function problem(bytes, name)
  local path = SCRATCH .. (name or "")
  assert(file.write(path, bytes))
  local live, blocks = nn.live_tensors(), nn.memory.stats().blocks
  local c, message, code = nn.checkpoint.read(path)
  if c then
    for _, entry in ipairs(c.entries) do
      local t, trouble = c:tensor(entry.name)
      if t then t:free() else message = message or trouble end
    end
    c:close()
  end
  assert.equal(live, nn.live_tensors())
  assert.equal(blocks, nn.memory.stats().blocks)
  if name then os.remove(path) end
  if not message then return nil end
  assert.is_true(code == nil or code == "format" or code == "io")
  assert.matches(path, message, 1, true)
  assert.is_nil(message:find "[\r\n]")
  return (message:gsub(path:gsub("%p", "%%%0") .. ": ", "", 1))
end

local function expect_all(cases, name)
  for i, case in ipairs(cases) do
    local says = problem(case[1], name)
    assert.is_not_nil(says, "case " .. i .. " (" .. case[2] .. ") was read")
    assert.is_not_nil(says:find(case[2], 1, true), ("case %d says %q, not %q"):format(i, says, case[2]))
  end
end

--- Cut and changed all along: an answer or a message, nothing else.
local function survives(bytes, name)
  local step = #bytes // 250 + 1
  for at = 1, #bytes, step do
    problem(bytes:sub(1, at - 1), name)
    problem(bytes:sub(1, at - 1) .. "\255" .. bytes:sub(at + 1), name)
    problem(bytes:sub(1, at - 1) .. string.char(string.byte(bytes, at) ~ 1) .. bytes:sub(at + 1), name)
  end
end

local function safetensors(text, data)
  return string.pack("<s8", text) .. (data or "")
end

describe("damaged safetensors", function()
  local one = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
  local field = '"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'
  local function header(...)
    local fields = {}
    for i, values in ipairs { ... } do fields[i] = field:format(table.unpack(values)) end
    return "{" .. table.concat(fields, ",") .. "}"
  end
  local function two(size, from, to) return header({ "a", "U8", "2", 0, 2 }, { "b", "U8", size, from, to }) end

  it("is told from whole ones", function()
    assert.is_nil(problem(safetensors(one, "abcd")))
    assert.is_nil(problem(safetensors(one .. "   ", "abcd")))
    assert.is_nil(problem(safetensors(two(2, 2, 4), "abcd")))
    assert.is_nil(problem(safetensors(two(0, 2, 2), "ab")))
    assert.is_nil(problem(safetensors "{}"))
  end)

  it("says what is wrong", function()
    expect_all({
      { "", "the file is empty" },
      { "\1\2\3", "header length: 8 bytes expected at offset 0, 3 found; the file ends there" },
      { string.pack("<I8", 1 << 40) .. one, "header length: at most 100,000,000 expected, found 1,099,511,627,776" },
      { string.pack("<I8", 99) .. one, "header: 99 bytes expected at offset 8, 54 found; the file ends there" },
      { safetensors("[1]"), "offset 8: an object expected" },
      { safetensors('{"a":1}'), "offset 13: an object with dtype, shape and data_offsets expected" },
      { safetensors('{"a":{"dtype":"F32","shape":[1]}}', "abcd"), 'tensor "a": data_offsets is missing' },
      { safetensors(header { "a", "F99", "1", 0, 4 }, "abcd"), 'unknown dtype "F99"' },
      { safetensors('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', "abcd"), "each once" },
      { safetensors('{"a":{"dtype":"F32","dtype":"F32","shape":[1]}}', "abcd"), "each once" },
      { safetensors(one, "abc"), "data_offsets 0 to 4 are not in the buffer of 3 bytes" },
      { safetensors(one, "abcde"), "the tensors take 4 bytes of the buffer, which has 5" },
      { safetensors(header { "a", "F32", "2", 0, 4 }, "abcd"), "take 8 bytes, data_offsets give 4" },
      { safetensors(header { "a", "F32", "-1", 0, 4 }, "abcd"), "shape: up to 6 sizes expected" },
      { safetensors(header { "a", "F32", "1.0", 0, 4 }, "abcd"), "shape: up to 6 sizes expected" },
      { safetensors(header { "a", "F32", "4294967296,4294967296", 0, 4 }, "abcd"),
        "more elements than memory can hold" },
      { safetensors(header { "a", "F32", "1", 4, 0 }, "abcd"), "are not in the buffer" },
      { safetensors('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}', "abcd"), "data_offsets: two integers" },
      { safetensors(two(2, 1, 3), "abc"), "inside another tensor that ends at 2" },
      { safetensors(two(1, 3, 4), "abcd"), "after a hole from 2" },
      { safetensors(header({ "a", "U8", "1", 0, 1 }, { "a", "U8", "1", 1, 2 }), "ab"), 'tensor "a" appears twice' },
      { safetensors('{"__metadata__":{"a":1}}'), "__metadata__: a string expected" },
      { safetensors('{"__metadata__":{"a":"1","a":"2"}}'), '__metadata__ field "a" appears twice' },
      { safetensors('{"__metadata__":{},"__metadata__":{}}'), "__metadata__ appears twice" },
      { safetensors(header { "a\\u0000", "U8", "0", 0, 0 }), "a zero byte in the name" },
      { safetensors(header { "a\xff", "U8", "0", 0, 0 }), "a string that is not UTF-8" },
      { safetensors("{} x"), "expected the end" },
      { safetensors(('{"a":'):rep(300)), "offset 14: dtype, shape and data_offsets expected" },
      { safetensors(header { "a", "F8_E5M2", "1", 0, 1 }, "a"),
        "elements of type float8_e5m2 are not supported" },
      { safetensors(header { ("n"):rep(2000), "U8", "0", 0, 0 }), "more than 1000" },
    }, ".safetensors")
  end)

  it("is survived whatever it is", function()
    survives(file.read(FOLDER .. "same-bytes.safetensors"), ".safetensors")
  end)
end)

-- A stored zip file of members { name, bytes }.
local function crc32(text)
  local crc = 0xffffffff
  for i = 1, #text do
    crc = crc ~ text:byte(i)
    for _ = 1, 8 do crc = crc >> 1 ~ (crc & 1) * 0xedb88320 end
  end
  return crc ~ 0xffffffff
end

local function zip(members)
  local out, list = {}, {}
  local at = 0
  for _, member in ipairs(members) do
    local name, bytes = member[1], member[2]
    local sum = crc32(bytes)
    local about = string.pack("<I2I2I2I2I2I4I4I4I2I2", 20, 0, 0, 0, 0x21, sum, #bytes, #bytes, #name, 0)
    out[#out + 1] = "PK\3\4" .. about .. name .. bytes
    list[#list + 1] = "PK\1\2\20\0" .. about .. string.pack("<I2I2I2I4I4", 0, 0, 0, 0, at) .. name
    at = at + #out[#out]
  end
  local central = table.concat(list)
  return table.concat(out) .. central .. "PK\5\6" .. string.pack("<I2I2I2I2I4I4I2", 0, 0, #list, #list, #central, at, 0)
end

-- Opcodes of pickles.
local function text(s) return "X" .. string.pack("<s4", s) end
local function global(module, name) return "c" .. module .. "\n" .. name .. "\n" end
local function int(n) return n >= 0 and n < 256 and "K" .. string.char(n) or "\x8a\8" .. string.pack("<i8", n) end
local function ints(...)
  local list = { "(" }
  for i = 1, select("#", ...) do list[#list + 1] = int((select(i, ...))) end
  return table.concat(list) .. "t"
end
local function storage(key, count, class)
  return "(" .. text "storage" .. global("torch", class or "FloatStorage") .. text(key) .. text "cuda:0" .. int(count)
    .. "tQ"
end
local function tensor(what, offset, size, stride)
  return global("torch._utils", "_rebuild_tensor_v2") .. "(" .. what .. int(offset) .. size .. stride .. "\x89"
    .. global("collections", "OrderedDict") .. ")RtR"
end
local function dict(...) return "}(" .. table.concat { ... } .. "u" end
local function pickle(body) return "\x80\2" .. body .. "." end

local function torch_zip(body, data, more)
  local members = { { "net/data.pkl", pickle(body) }, { "net/data/0", data or string.pack("<ffff", 1, 2, 3, 4) } }
  for _, member in ipairs(more or {}) do members[#members + 1] = member end
  return zip(members)
end

-- A file with one tensor "w" of a storage that says it has so many elements, and has 4.
local function weight(count, offset, size, stride)
  return torch_zip(dict(text "w", tensor(storage("0", count), offset, size, stride)))
end

local good = dict(text "w", tensor(storage("0", 4), 0, ints(2, 2), ints(2, 1)))

describe("damaged files of torch.save", function()
  it("are told from whole ones", function()
    assert.is_nil(problem(torch_zip(good)))
    assert.is_nil(problem(torch_zip(good, nil, { { "net/byteorder", "little" } })))
    assert.is_nil(problem(weight(4, 3, ints(1000), ints(0))))
  end)

  it("never run anything", function()
    local marker = SCRATCH .. "-ran"
    for _, call in ipairs {
      { "posix", "system" }, { "os", "system" }, { "builtins", "exec" }, { "__builtin__", "eval" },
      { "subprocess", "Popen" }, { "numpy.core.multiarray", "scalar" }, { "dill._dill", "_load_type" },
      { "torch", "load" }, { "torch._utils", "_rebuild_sparse_tensor" }, { "torch.storage", "x.y" },
    } do
      local body = global(call[1], call[2]) .. "(" .. text("touch " .. marker) .. "tR"
      local says = problem(torch_zip(body))
      assert.equal(("holds objects beyond tensors and numbers (%s.%s, at offset 2 of data.pkl): "
        .. "export its state_dict with torch.save(model.state_dict(), path)"):format(call[1], call[2]), says)
      says = problem(torch_zip(text(call[1]) .. text(call[2]) .. "\x93(" .. text "x" .. "tR"))
      assert.matches(call[1] .. "." .. call[2], says, 1, true)
      says = problem(torch_zip("(" .. text "x" .. "i" .. call[1] .. "\n" .. call[2] .. "\n"))
      assert.matches(call[1] .. "." .. call[2], says, 1, true)
    end
    assert.is_false(file.exists(marker))
  end)

  it("say what is wrong", function()
    local laughs = "]q\0" -- lists that hold the one before ten times
    for level = 1, 30 do
      laughs = laughs .. "](" .. ("h" .. string.char(level - 1)):rep(10) .. "eq" .. string.char(level)
    end
    expect_all {
      { torch_zip(good):sub(1, -30), "was cut short" },
      { zip { { "net/data.txt", "x" } }, "neither data.pkl (torch.save) nor .npy arrays (NumPy)" },
      { zip { { "net/data.pkl", pickle(good) } }, "net/data/0 is missing" },
      { zip { { "a/data.pkl", pickle "N" }, { "b/data.pkl", pickle "N" } }, "more than one data.pkl" },
      { zip { { "net/data.pkl", pickle(good) }, { "net/data/0", "x" }, { "net/data/0", "y" } }, "appears twice" },
      { torch_zip(good, "short"), "net/data/0: 4 elements of 4 bytes expected, 5 bytes found" },
      { torch_zip(good, nil, { { "net/byteorder", "middle" } }), "byteorder: little or big expected" },
      { zip { { "net/data.pkl", pickle(good):sub(1, -2) }, { "net/data/0", ("x"):rep(16) } }, "it ends there" },
      { zip { { "net/data.pkl", "" } }, "data.pkl: offset 0: 1 bytes expected, 0 found; it ends there" },
      { zip { { "net/data.pkl", "\x80\6N." } }, "protocol 6; 0 to 5 are read" },
      { torch_zip "\xff", "no opcode of a pickle: byte 255" },
      { torch_zip "0", "more is taken than was put" },
      { torch_zip "(", "it ends inside a container" },
      { torch_zip "h\7", "memo entry 7, which was not made" },
      { torch_zip "Nr\255\255\255\127", "memo entry 2147483647, which is too far" },
      { torch_zip(("("):rep(100000) .. "N" .. ("t"):rep(100000)), "more than 100 levels deep" },
      { torch_zip(("]"):rep(5000) .. ("a"):rep(4999)), "more than 100 levels deep" },
      { torch_zip "]q\0h\0a", "more than 100 levels deep" },
      { torch_zip(laughs), "hold each other too often" },
      { torch_zip("X\255\255\255\127abc"), "2,147,483,647 bytes expected" },
      { torch_zip("\x8d" .. ("\255"):rep(8)), "18,446,744,073,709,551,615 bytes expected" },
      { torch_zip("K\1K\2R"), "a call of something that is no function" },
      { torch_zip("K\1K\2b"), "attributes for something that is no OrderedDict" },
      { torch_zip("}K\1a"), "an element for something that is no list" },
      { torch_zip("](K\1K\2u"), "an item for something that is no dictionary" },
      { torch_zip("}(K\1u"), "a key without a value" },
      { torch_zip("}(}K\2u"), "a key that is no text and no number" },
      { torch_zip(text "x" .. "Q"), "a persistent id that is not one of a storage" },
      { weight(-1, 0, ints(1), ints(1)), "a persistent id that is not" },
      { weight(1 << 62, 0, ints(1), ints(1)), "16 bytes found" },
      { weight(4, 0, ints(5), ints(1)), "beyond the 4 that its storage holds" },
      { weight(4, 4, ints(1), ints(1)), "beyond the 4 that its storage holds" },
      { weight(4, 0, ints(2, 2), ints(1 << 62, 1 << 62)), "beyond the 4" },
      { weight(4, 0, ints(-1), ints(1)), "arguments that" },
      { weight(4, -1, ints(1), ints(1)), "arguments that" },
      { weight(4, 0, ints(1 << 40), ints(0)), "that overlap in a storage of 4" },
      { weight(4, 0, ints(1 << 40, 1 << 40), ints(0, 0)), "more elements than memory" },
      { weight(4, 0, ints(1, 1, 1, 1, 1, 1, 1), ints(1, 1, 1, 1, 1, 1, 1)),
        "a tensor of 7 axes; at most 6 are read" },
      { torch_zip(dict(text "w", good, text "w.w", tensor(storage("0", 4), 0, ints(1), ints(1)))),
        'tensor "w.w" appears twice' },
      { torch_zip(dict(text(("n"):rep(1001)), int(1))), "a name of more than 1000 bytes" },
      { torch_zip(dict(text "a\0b", int(1))), "a zero byte in the name" },
    }
  end)

  it("are survived whatever they are", function()
    survives(torch_zip(good))
    survives(file.read(FOLDER .. "protocol5.pt"))
  end)
end)

describe("damaged streams of torch.save", function()
  local magic = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
  local version = pickle "M\xe9\3"
  local machine = pickle(dict(text "little_endian", "\x88"))
  local function part(key, count, view)
    return "(" .. text "storage" .. global("torch", "FloatStorage") .. text(key) .. text "cpu" .. int(count)
      .. (view or "N") .. "tQ"
  end
  local function stream(body, keys, data)
    return magic .. version .. machine .. pickle(body) .. pickle(keys) .. data
  end
  local function view(offset, count) return "(" .. text "v" .. int(offset) .. int(count) .. "t" end
  local keys, data = "](" .. text "a" .. "e", string.pack("<i8ffff", 4, 1, 2, 3, 4)
  local function body(what, size) return dict(text "w", tensor(what, 0, ints(size), ints(1))) end

  it("are told from whole ones", function()
    assert.is_nil(problem(stream(body(part("a", 4), 4), keys, data)))
    assert.is_nil(problem(stream(body(part("a", 4, view(1, 3)), 3), keys, data)))
  end)

  it("say what is wrong", function()
    expect_all {
      { pickle "N", "a pickle, but not one of torch.save" },
      { magic, "offset 15: 1 bytes expected, 0 found; it ends there" },
      { magic .. pickle "K\1", "format version 1001 expected" },
      { magic .. version .. pickle "N", "a description of the machine expected" },
      { magic .. version .. pickle(dict(text "little_endian", "\x89")), "a big-endian machine" },
      { stream(global("os", "system") .. "(" .. text "id" .. "tR", "]", ""), "(os.system, at offset" },
      { stream(body(part("a", 4), 4), "]", ""), 'its storage "a" is not in the file' },
      { stream(body(part("a", 4), 4), "N", ""), "a list of storage keys expected" },
      { stream(body(part("a", 4), 4), "](" .. text "b" .. "e", data), "the key of a storage that no tensor has" },
      { stream(body(part("a", 4), 4), "](" .. text "a" .. text "a" .. "e", data .. data), 'storage "a" appears twice' },
      { stream(body(part("a", 4), 4), keys, data:sub(1, 7)), 'the size of storage "a" expected; it ends there' },
      { stream(body(part("a", 4), 4), keys, data:sub(1, 20)), "4 elements of 4 bytes expected, 12 bytes found" },
      { stream(body(part("a", 4), 4), keys, string.pack("<i8", -1) .. data), "18,446,744,073,709,551,615 elements" },
      { stream(body(part("a", 5), 4), keys, data), "5 elements of 4 bytes in the pickle, 4 of 4 in the file" },
      { stream(body(part("a", 4, view(2, 3)), 3), keys, data), 'part v of storage "a" reaches beyond it' },
      { stream(body(part("a", 4, view(1, 2)), 3), keys, data), "beyond the 2 that its storage holds" },
      { stream(body(part("a", 4, view(1 << 62, 1 << 62)), 3), keys, data), "reaches beyond it" },
    }
  end)

  it("are survived whatever they are", function()
    survives(stream(body(part("a", 4, view(1, 3)), 3), keys, data))
  end)
end)

describe("damaged tar files of torch.save", function()
  local function tar(members)
    local out = {}
    for _, member in ipairs(members) do
      local name, bytes = member[1], member[2]
      local head = name .. ("\0"):rep(100 - #name) .. "0000644\0000000000\0000000000\0" .. ("%011o\0"):format(#bytes)
        .. "00000000000\0" .. "        " .. (member[3] or "0") .. ("\0"):rep(100) .. "ustar\00000" .. ("\0"):rep(247)
      local sum = 0
      for i = 1, #head do sum = sum + head:byte(i) end
      head = head:sub(1, 148) .. ("%06o\0 "):format(sum) .. head:sub(157)
      out[#out + 1] = head .. bytes .. ("\0"):rep(-#bytes % 512)
    end
    return table.concat(out) .. ("\0"):rep(1024)
  end
  local storages = pickle "K\1" .. pickle("(" .. int(5) .. text "cpu" .. global("torch", "FloatStorage") .. "t")
    .. string.pack("<i8ff", 2, 1, 2)
  local about = pickle("(" .. int(6) .. int(5) .. global("torch", "FloatTensor") .. "t")
  local tensors = pickle "K\1" .. about .. string.pack("<i4i4i8i8i8", 1, 0, 2, 1, 0)
  local object = pickle(dict(text "w", text "6" .. "Q"))
  local function file_of(a, b, c)
    return tar { { "storages", a or storages }, { "tensors", b or tensors }, { "pickle", c or object } }
  end

  it("are told from whole ones", function()
    assert.is_nil(problem(file_of()))
    assert.is_nil(problem(file_of(storages .. pickle("](" .. ints(7, 5, 1, 1) .. "e"))))
  end)

  it("say what is wrong", function()
    local whole = file_of()
    expect_all {
      { whole:sub(1, 1000), "" },
      { whole:sub(1, -1025), "no end mark" },
      { tar { { "notes.txt", "x" } }, "a tar file, but not one of torch.save: it has no pickle" },
      { tar { { "pickle", object } }, "it has no storages" },
      { tar { { "pickle", object }, { "pickle", object } }, "appears twice" },
      { file_of "", "storages: offset 0: 1 bytes expected" },
      { file_of(pickle "K\2" .. storages:sub(#pickle "K\1" + 1)), "storages: offset" },
      { file_of(storages:sub(1, -3)), "2 elements of 4 bytes expected, 6 bytes found" },
      { file_of(pickle "K\1" .. pickle(ints(5, 6, 7))), "a key, a place and a class expected" },
      { file_of(storages .. pickle("](" .. ints(7, 9, 1, 1) .. "e")), "a view of a storage expected" },
      { file_of(nil, pickle "K\1" .. about .. string.pack("<i4i4", 7, 0)), "a tensor of 7 axes" },
      { file_of(nil, pickle "K\1" .. about .. string.pack("<i4i4i8i8i8", 1, 0, 2, -1, 0)), "sizes from 0 expected" },
      { file_of(nil, pickle "K\1" .. about .. string.pack("<i4i4i8i8i8", 1, 0, 3, 1, 0)),
        "beyond the 2 that its storage holds" },
      { file_of(nil, tensors:sub(1, -9)), "a tensor's sizes expected; it ends there" },
      { file_of(nil, nil, pickle(dict(text "w", text "8" .. "Q"))), "not in storages or tensors" },
      { file_of(nil, nil, pickle(global("os", "system"))), "(os.system, at offset 2 of pickle)" },
    }
  end)

  it("are survived whatever they are", function()
    survives(file_of())
  end)
end)

describe("damaged arrays", function()
  local function npy(dictionary, data)
    return "\x93NUMPY\1\0" .. string.pack("<s2", dictionary) .. (data or "")
  end
  local function array(descr, shape)
    return ("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }"):format(descr, shape)
  end
  local whole = zip { { "a.npy", npy(array("<f4", "1,"), "abcd") } }

  it("are told from whole ones", function()
    assert.is_nil(problem(whole))
  end)

  it("say what is wrong", function()
    local function one(bytes) return zip { { "a.npy", bytes } } end
    expect_all {
      { one "", "a.npy: magic number: 8 bytes expected at offset 0, 0 found" },
      { one "not an array", "a.npy: magic number: not a .npy file" },
      { one("\x93NUMPY\9\0" .. ("x"):rep(20)), "a.npy: version: 1 to 3 expected, found 9" },
      { one(npy("{", "")), "a short string in quotes expected" },
      { one(npy(array("<f4", "2,"), "abcd")), "elements: 8 bytes expected" },
      { one(npy(array("<f4", "1,"), "abcde")), "1 bytes more than the header declares" },
      { one(npy(array("<f4", "4294967296, 4294967296"), "")), "larger than memory can be" },
      { one(npy(array("|O", "1,"), "abcd")), "elements of type |O are not supported" },
      { one(npy(array("<c8", "1,"), "abcdefgh")), "elements of type complex64 are not supported" },
      { one(npy(array("<i8", "1,"), string.pack("<i8", 1 << 31))), "element 0: 2147483648 does not fit 32 bits" },
      { one(npy(array("<u4", "1,"), string.pack("<I4", 1 << 31))), "element 0: 2147483648 does not fit 32 bits" },
      { zip { { "a.npy", npy(array("<f4", "1,"), "abcd") }, { "a.npy", "x" } }, 'member "a.npy" appears twice' },
      { whole:sub(1, -5), "was cut short" },
      { whole:gsub("abcd", "abce"), "a.npy" },
    }
  end)

  it("are survived whatever they are", function()
    survives(whole)
  end)
end)

describe("what is no checkpoint", function()
  it("is refused in one line", function()
    expect_all {
      { "abc", "neither safetensors, nor a file of torch.save, nor .npz" },
      { ("x"):rep(2000), "neither safetensors, nor a file of torch.save, nor .npz" },
      { "\x93NUMPY\1\0", "neither safetensors" },
    }
    local pipe = SCRATCH .. "-pipe"
    os.execute("mkfifo " .. pipe)
    for path, says in pairs { ["no/such/file.pt"] = "No such file or directory", ["tests"] = "not a regular file",
                              [pipe] = "not a regular file" } do
      local c, message, code = nn.checkpoint.read(path)
      assert.is_nil(c)
      assert.equal(path .. ": " .. says, message)
      assert.equal("io", code)
    end
    os.remove(pipe)
  end)
end)

os.remove(SCRATCH)
