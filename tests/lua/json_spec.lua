--- JSON text, there and back, and the digests that name runs.
local json = require "json"

describe("json", function()
  it("sorts keys and gives the same text for the same value", function()
    assert.equal('{"a":1,"b":[1,2,{"c":true,"d":null}],"z":"x"}',
      json.encode { z = "x", a = 1, b = { 1, 2, { d = json.null, c = true } } })
  end)

  it("keeps integers, floats and every digit", function()
    assert.equal("[9223372036854775807,1.0,0.1,1e+300,0.30000000000000004]",
      json.encode { math.maxinteger, 1.0, 0.1, 1e300, 0.1 + 0.2 })
    for _, x in ipairs { 1 / 3, 2 ^ 53, 5e-324, 1.7976931348623157e308, -0.0, 123456789.125 } do
      local back = json.decode(json.encode(x))
      assert.equal("float", math.type(back))
      assert.equal(string.format("%a", x), string.format("%a", back))
    end
    assert.equal("integer", math.type(json.decode("12")))
    assert.equal("float", math.type(json.decode("12.0")))
  end)

  it("writes non-finite numbers as null", function()
    assert.equal("[null,null,null]", json.encode { 0 / 0, 1 / 0, -1 / 0 })
  end)

  it("tells empty lists from empty objects", function()
    assert.equal('{"a":{},"b":[]}', json.encode { a = {}, b = json.array {} })
    assert.equal("[]", json.encode(json.decode("[ ]")))
    assert.equal("{}", json.encode(json.decode("{}")))
  end)

  it("escapes, and reads escapes", function()
    local text = 'a"\\\n\t\1\u{e9}\u{1F600}'
    assert.equal(text, json.decode(json.encode(text)))
    assert.equal("\u{1F600}/", json.decode [["\ud83d\ude00\/"]])
    assert.equal('"x\u{FFFD}y"', json.encode("x\xffy"))
  end)

  it("is readable when pretty", function()
    assert.equal('{\n  "list": [1, 2],\n  "rows": [\n    {\n      "a": 1\n    }\n  ]\n}',
      json.encode({ list = { 1, 2 }, rows = { { a = 1 } } }, { pretty = true }))
  end)

  it("refuses what JSON cannot hold", function()
    assert.has_error(function() json.encode { f = print } end)
    assert.has_error(function() json.encode { 1, 2, a = 3 } end)
    local loop = {}
    loop.loop = loop
    assert.has_error(function() json.encode(loop) end)
  end)

  it("names the offset of damage", function()
    local cases = {
      { "", "offset 0: expected a value, got the end" },
      { "[1,", "offset 3: expected a value, got the end" },
      { "[1 2]", "offset 3: expected ',' or ']', got \"2\"" },
      { '{"a":1,}', "offset 7: expected a field name, got \"}\"" },
      { '{"a":1,"a":2}', 'offset 7: field "a" appears twice' },
      { '"abc', "offset 0: string without an end" },
      { '"\\x"', "offset 1: unknown escape \\x" },
      { '"\\ud800"', "offset 1: half of a surrogate pair" },
      { '["\xff"]', "offset 2: a string that is not UTF-8" },
      { "01", "offset 0: malformed number" },
      { "1.", "offset 0: malformed number" },
      { "nul", 'offset 0: expected a value, got "n"' },
      { "1 x", 'offset 2: expected the end, got "x"' },
      { ("["):rep(1000), "offset 201: more than 200 levels deep" },
    }
    for _, case in ipairs(cases) do
      local value, message, code = json.decode(case[1], "params.json")
      assert.is_nil(value)
      assert.equal("params.json: " .. case[2], message)
      assert.equal("format", code)
    end
  end)

  it("survives any damage to a good text", function()
    local good = json.encode { a = { 1, 2.5, "x\n\u{e9}" }, b = { c = false, d = json.null } }
    for at = 1, #good do
      for _, byte in ipairs { "", "\0", '"', "{", "]", "9", "\xff" } do
        json.decode(good:sub(1, at - 1) .. byte .. good:sub(at + 1)) -- must return, whatever it says
      end
    end
  end)

  it("says when a file is not there", function()
    local value, message, code = json.read("no/such/file.json")
    assert.is_nil(value)
    assert.matches("no/such/file.json", message, 1, true)
    assert.equal("io", code)
  end)
end)

describe("hash", function()
  it("gives the digests of FIPS 180-4", function()
    local hash = require "hash"
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hash.sha256(""))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hash.sha256("abc"))
    assert.equal("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
      hash.sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))
    assert.equal("41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3", hash.sha256(("a"):rep(1000)))
  end)

  it("gives the digest of a file", function()
    local hash = require "hash"
    local path = os.tmpname()
    local handle = assert(io.open(path, "wb"))
    handle:write(("a"):rep(1000))
    handle:close()
    assert.equal("41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3", hash.sha256_file(path))
    os.remove(path)
    local digest, message, code = hash.sha256_file(path)
    assert.is_nil(digest)
    assert.same({ path .. ": No such file or directory", "io" }, { message, code })
    assert.equal(".: not a regular file", select(2, hash.sha256_file "."))
  end)
end)
