local pack = require "seeds.pack"

local function npy(descr, order, shape, elements)
  local header = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"):format(descr, order, shape)
  return "\x93NUMPY\1\0" .. string.pack("<s2", header) .. elements
end

local floats = npy("<f4", "False", "(2, 2)", string.pack("<ffff", 1, 2, 3, 4))
local doubles = npy(">f8", "True", "(2, 1)", string.pack(">dd", 1, 2))

return {
  ["valid-two"] = pack.zip { { "x.npy", floats }, { "y.npy", doubles } },
  ["valid-deflated"] = pack.zip { { "x.npy", floats, method = 8 } },
  ["valid-half"] = pack.zip { { "h.npy", npy("<f2", "False", "(1,)", "\0\x3c") }, { "read.me", "text" } },
  ["damaged-array"] = pack.zip { { "x.npy", floats:sub(1, -2) } },
  ["damaged-object"] = pack.zip { { "x.npy", npy("|O", "False", "()", "N.") } },
  ["damaged-twice"] = pack.zip { { "x.npy", floats }, { "x.npy", floats } },
  ["damaged-sizes"] = pack.zip { { "x.npy", npy("<f8", "False", "(4611686018427387904, 4)", "") } },
  ["damaged-declared"] = pack.zip { { "x.npy", floats, size = 0xfffffff0, method = 8 } },
  ["damaged-crc"] = pack.zip { { "x.npy", floats, crc = 0 } },
  ["damaged-neither"] = pack.zip { { "read.me", "text" } },
}
