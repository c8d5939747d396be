local p = require "seeds.pickling"

local function stream(object, keys, storages, machine)
  return p.magic .. p.whole(p.integer(1001)) .. (machine or p.machine) .. p.whole(object) .. p.whole(keys) .. storages
end

local function stored(format, ...) return string.pack("<I8" .. format:rep(select("#", ...)), select("#", ...), ...) end

local weight = p.tensor(p.storage("FloatStorage", "7", 6, "N"), 0, { 2, 3 }, { 3, 1 })
local turned = p.tensor(p.storage("FloatStorage", "7", 6, "N"), 0, { 3, 2 }, { 1, 3 })
local count = p.tensor(p.storage("LongStorage", "8", 1, "N"), 0, {}, {})
local floats, long = stored("f", 1, 2, 3, 4, 5, 6), stored("i8", 9)
local both = p.list(p.text "7", p.text "8")
local view = p.tensor(p.storage("FloatStorage", "7", 6, p.tuple(p.text "9", p.integer(2), p.integer(3))), 1, { 2 },
  { 1 })

-- One of each opcode and name that the seeds above it do without.
local pi = "G\x40\x09\x21\xfb\x54\x44\x2d\x18"
local opcodes = p.dict {
  "size", p.global("torch", "Size") .. "K\2K\3\x86\x85R",
  "device", p.global("torch", "device") .. p.text "cuda" .. "K\0\x86R",
  "dtype", p.global("torch", "float16"),
  "pairs", p.global("collections", "OrderedDict") .. p.list(p.text "a" .. "K\1\x86") .. "\x85R",
  "built", p.empty_ordered .. "}b",
  "parameter", p.global("torch._utils", "_rebuild_parameter") .. weight .. "\x89" .. p.empty_ordered .. "\x87R",
  "third", p.global("torch._utils", "_rebuild_tensor_v3") .. p.tuple(p.storage("FloatStorage", "7", 6) .. "Q", "K\0",
    "K\3\x85", "K\2\x85", "\x89", p.empty_ordered, p.global("torch", "float32")) .. "R",
  "numbers", p.list("J\xff\xff\xff\xff", "\x8a\1\x80", "\x8a\9" .. ("\xff"):rep(9), "\x8b\2\0\0\0\1\2", pi),
  "stack", p.list("N20", "N(N1"),
  "keys", "}" .. pi .. "Ns\x88NsK\5Ns",
  "bytes", p.list("C\1x", "B\1\0\0\0x", "\x8e\1\0\0\0\0\0\0\0x", "U\1x", "T\1\0\0\0x"),
}
local lines = "(dp0\nS'a'\np1\nI1\nsS'b'\nL-5L\nsV\xc3\xa9\nF1.5\ns" .. 'S"d"\nI01\nsg1\n(I1\nI2\nlp9\nNas'
  .. "S'e'\n(g1\ng1\ntsS'f'\nI99999999999999999999\ns"

return {
  ["valid-opcodes"] = stream(opcodes, p.list(p.text "7"), floats),
  ["valid-protocol-0"] = stream(lines, "(l", ""),
  ["valid-state"] = stream(p.dict({ "weight", weight, "turned", turned, "count", count }, true), both, floats .. long),
  ["valid-checkpoint"] = stream(p.dict { "epoch", p.integer(3), "best", "G\x40\x09\x21\xfb\x54\x44\x2d\x18", "arch",
    p.text "resnet", "done", "\x88", "list", p.list("N", p.integer(1)), "state", p.dict({ "w", weight }, true) },
    p.list(p.text "7"), floats),
  ["valid-view"] = stream(p.dict { "v", view }, p.list(p.text "7"), floats),
  ["valid-halves"] = stream(p.dict { "h", p.tensor(p.storage("HalfStorage", "1", 2, "N"), 0, { 2 }, { 1 }) },
    p.list(p.text "1"), stored("i2", 0x3c00, 0x7bff)),
  ["valid-protocol-4"] = stream("\x95\20\0\0\0\0\0\0\0}\x94\x8c\1a\x94K\1s", "]\x94", ""),
  ["damaged-code"] = stream(p.global("os", "system") .. p.tuple(p.text "true") .. "R", "]", ""),
  ["damaged-code-4"] = stream("\x8c\2os\x8c\6system\x93\x8c\4true\x85R", "]", ""),
  ["damaged-instance"] = stream("(ios\nsystem\n", "]", ""),
  ["damaged-deep"] = stream(("]"):rep(900) .. ("a"):rep(899), "]", ""),
  ["damaged-cycle"] = stream("]q\0h\0a", "]", ""),
  ["damaged-shared"] = stream("]q\0" .. ("]h\0ah\0aq\0"):rep(60), "]", ""),
  ["damaged-memo"] = stream("Nr\xff\xff\xff\x7f", "]", ""),
  ["damaged-long"] = stream("\x8b\xff\xff\xff\x7f", "]", ""),
  ["damaged-tuple-for-storage"] = stream("N", "]", "", p.whole(p.global("torch._utils", "_rebuild_tensor")
    .. p.tuple(p.storage("FloatStorage", "1", 1), "K\0", "))") .. "R")),
  ["damaged-key"] = stream(p.dict { "w", weight }, p.list(p.text "5"), floats),
  ["damaged-elements"] = stream(p.dict { "w", weight }, p.list(p.text "7"), string.pack("<I8", 1 << 61)),
  ["damaged-beyond"] = stream(p.dict { "w", p.tensor(p.storage("FloatStorage", "7", 6, "N"), 4, { 2, 3 }, { 3, 1 }) },
    p.list(p.text "7"), floats),
  ["damaged-big-endian"] = stream("N", "]", "", p.whole(p.dict { "little_endian", "\x89" })),
  ["damaged-cut"] = p.magic,
  ["damaged-first-mark"] = p.whole "(tR",
}
