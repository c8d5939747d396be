local function npy(dictionary, elements, version)
  local length = version == 1 and "<I2" or "<I4"
  return "\x93NUMPY" .. string.char(version, 0) .. string.pack(length, #dictionary) .. dictionary .. elements
end

local function header(descr, order, shape)
  return ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"):format(descr, order, shape)
end

local floats = string.pack("<fff", 1, -2, 0.5) .. "\0\0\xc0\x7f" .. string.pack("<ff", math.huge, 1e-40)

return {
  ["valid-f4"] = npy(header("<f4", "False", "(2, 3)"), floats, 1),
  ["valid-f8-fortran"] = npy(header("<f8", "True", "(2, 1, 2)"), string.pack("<dddd", 1, 1e300, -1e300, 0), 1),
  ["valid-i8"] = npy(header("<i8", "False", "(2,)"), string.pack("<i8i8", -1, 1 << 30), 2),
  ["valid-u1-scalar"] = npy(header("|u1", "False", "()"), "x", 3),
  ["valid-none"] = npy(header("|b1", "False", "(0, 5)"), "", 1),
  ["damaged-i8"] = npy(header("<i8", "False", "(1,)"), string.pack("<i8", 1 << 40), 1),
  ["damaged-shape"] = npy(header("<f4", "True", "(4294967296, 4294967296, 0)"), "", 1),
  ["damaged-shape-before-zero"] = npy(header("<f4", "False", "(170723534, 4294967296, 0)"), "", 1),
  ["damaged-count"] = npy(header("<f4", "False", "(2, 4)"), floats, 1),
  ["damaged-axes"] = npy(header("|u1", "False", "(1, 1, 1, 1, 1, 1, 1, 1)"), "x", 1),
  ["damaged-key"] = npy("{'descr': '<f4', 'descr': '<f4'}", "", 1),
  ["damaged-object"] = npy(header("|O", "False", "(1,)"), "cos\nsystem\n(S'true'\ntR.", 1),
  ["damaged-empty"] = "",
}
