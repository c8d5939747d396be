--- Pickles of torch.save, opcode by opcode (protocol 2).
local M = {}

function M.text(value) return "X" .. string.pack("<s4", value) end
function M.integer(value) return value < 256 and "K" .. string.char(value) or "M" .. string.pack("<I2", value) end
function M.tuple(...) return "(" .. table.concat { ... } .. "t" end
function M.list(...) return "](" .. table.concat { ... } .. "e" end
function M.global(module, name) return "c" .. module .. "\n" .. name .. "\n" end
M.empty_ordered = M.global("collections", "OrderedDict") .. ")R"
M.magic = "\x80\2\x8a\10\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

--- A whole pickle.
function M.whole(object) return "\x80\2" .. object .. "." end

--- A dictionary of texts to objects, in order: { key, object, key, object ... }.
function M.dict(items, ordered)
  local parts = { ordered and M.empty_ordered or "}", "(" }
  for i = 1, #items, 2 do
    parts[#parts + 1] = M.text(items[i])
    parts[#parts + 1] = items[i + 1]
  end
  return table.concat(parts) .. "u"
end

local function integers(list)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = M.integer(value) end
  return M.tuple(table.unpack(parts))
end

--- A call of _rebuild_tensor_v2 for a storage given by its persistent id.
function M.tensor(id, offset, sizes, strides)
  return M.global("torch._utils", "_rebuild_tensor_v2") .. M.tuple(id .. "Q", M.integer(offset), integers(sizes),
    integers(strides), "\x89", M.empty_ordered) .. "R"
end

--- ("storage", class, key, "cpu", elements [, None])
function M.storage(class, key, elements, more)
  return M.tuple(M.text "storage", M.global("torch", class), M.text(key), M.text "cpu", M.integer(elements), more or "")
end

M.machine = M.whole(M.dict { "protocol_version", M.integer(1001), "little_endian", "\x88" })

return M
