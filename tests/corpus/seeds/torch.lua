local p = require "seeds.pickling"
local pack = require "seeds.pack"

local function zip(object, members)
  local entries = { { "a/data.pkl", p.whole(object) }, { "a/version", "3\n" } }
  for _, member in ipairs(members) do entries[#entries + 1] = member end
  return pack.zip(entries)
end

local storage = p.storage("FloatStorage", "0", 6)
local weight, turned = p.tensor(storage, 0, { 2, 3 }, { 3, 1 }), p.tensor(storage, 1, { 2, 2 }, { 1, 2 })
local floats = string.pack("<ffffff", 1, 2, 3, 4, 5, 6)
local state = p.dict({ "weight", weight, "turned", turned }, true)

-- The older form: storages and tensors with their numbers in files of their own.
local function tar(parts)
  local entries = {}
  for _, name in ipairs { "sys_info", "pickle", "storages", "tensors" } do
    if parts[name] then entries[#entries + 1] = pack.tar_entry(name, parts[name]) end
  end
  return pack.tar(table.unpack(entries))
end

local function layout(sizes, strides, offset)
  local numbers = {}
  for _, list in ipairs { sizes, strides, { offset } } do
    for _, value in ipairs(list) do numbers[#numbers + 1] = string.pack("<i8", value) end
  end
  return string.pack("<i4i4", #sizes, 0) .. table.concat(numbers)
end

local storages = p.whole(p.integer(1))
  .. p.whole(p.tuple(p.integer(10), p.text "cpu", p.global("torch", "FloatStorage"))) .. string.pack("<I8", 6) .. floats
local tensors = p.whole(p.integer(1))
  .. p.whole(p.tuple(p.integer(11), p.integer(10), p.global("torch", "FloatTensor"))) .. layout({ 2, 3 }, { 3, 1 }, 0)
local views = p.whole(p.list(p.tuple(p.integer(12), p.integer(10), p.integer(2), p.integer(3))))
local named = p.whole(p.dict({ "weight", p.integer(11) .. "Q", "epoch", p.integer(4) }, true))

return {
  ["valid-zip"] = zip(state, { { "a/byteorder", "little" }, { "a/data/0", floats } }),
  ["valid-zip-big"] = zip(state, { { "a/byteorder", "big" }, { "a/data/0", floats } }),
  ["valid-zip-deflated"] = zip(state, { { "a/data/0", floats, method = 8 } }),
  ["valid-zip-plain"] = zip(p.integer(7), {}),
  ["valid-tar"] = tar { sys_info = p.machine, pickle = named, storages = storages .. p.whole "]", tensors = tensors },
  ["valid-tar-views"] = tar { pickle = named, storages = storages .. views, tensors = tensors },
  ["damaged-zip-code"] = zip(p.global("builtins", "eval") .. p.tuple(p.text "1") .. "R", {}),
  ["damaged-zip-missing"] = zip(state, {}),
  ["damaged-zip-short"] = zip(state, { { "a/data/0", floats:sub(1, 20) } }),
  ["damaged-zip-twice"] = zip(state, { { "a/data/0", floats }, { "a/data/0", floats } }),
  ["damaged-zip-two"] = zip(state, { { "b/data.pkl", p.whole(state) }, { "a/data/0", floats } }),
  ["damaged-zip-order"] = zip(state, { { "a/byteorder", "middle" }, { "a/data/0", floats } }),
  ["damaged-tar-count"] = tar { pickle = named, storages = p.whole "\x8a\8\xff\xff\xff\xff\xff\xff\xff\x7f" },
  ["damaged-tar-axes"] = tar { pickle = named, storages = storages,
    tensors = tensors:sub(1, -49) .. "\255\255\255\127\0\0\0\0" },
  ["damaged-tar-none"] = tar { sys_info = p.machine },
}
