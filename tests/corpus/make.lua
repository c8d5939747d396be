--- Writes the seeds of the fuzzers, small files of every kind that a parser reads, into the folders beside this file:
---   penumbra tests/corpus/make.lua
--- valid-* must be read and damaged-* refused; found-* are what fuzzers found and stay as they are.
local here = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. package.path
local file = require "file"

for _, name in ipairs { "archive", "cifar", "files", "idx", "jpeg", "json", "mat", "npy", "npz", "pickle", "png",
                       "safetensors", "torch", "unpack" } do
  for seed, bytes in pairs(require("seeds." .. name)) do
    assert(#bytes < 8192, seed)
    assert(file.make_folder(here .. "/" .. name))
    assert(file.write(("%s/%s/%s"):format(here, name, seed), bytes))
  end
end
