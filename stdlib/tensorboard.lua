--- Event files for TensorBoard: curves of a training, drawn while it goes on.
---
---   local events = assert(tensorboard.open "runs/first/tensorboard")
---   assert(events:scalars(400, { ["loss/total"] = 0.31, ["rate/lr"] = 1e-3 }))
---
--- `tensorboard --logdir runs` shows what is below a folder. A file is a sequence of records, each the length of its
--- data, their checksum, the data, and theirs; the data are a message `Event` of TensorFlow's event.proto, of which we
--- write wall_time = 1, step = 2, file_version = 3, summary = 5 and session_log = 7. Whoever goes on opens a new file
--- that says from which step on: TensorBoard forgets what an earlier file had from there.
local file = require "file"
local host = require "host"
local lfs = require "lfs"
local spec = require "spec"

local M = {}

local pack, concat, format = string.pack, table.concat, string.format

-- ---- records ----

-- CRC-32C (Castagnoli), bit-reflected, as RFC 3720 has it.
local table_of_bytes = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do crc = crc & 1 == 1 and crc >> 1 ~ 0x82F63B78 or crc >> 1 end
  table_of_bytes[byte] = crc
end

--- The CRC-32C of a text.
---
--- Example:
---     ("%08x"):format(tensorboard.crc32c "123456789")  --> e3069283
---@param text string
---@return integer
function M.crc32c(text)
  local crc = 0xFFFFFFFF
  for i = 1, #text do crc = table_of_bytes[(crc ~ text:byte(i)) & 0xFF] ~ crc >> 8 end
  return crc ~ 0xFFFFFFFF
end

-- The checksum as records hold it: one of data that hold checksums themselves would be weak.
local function masked(text)
  local crc = M.crc32c(text)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
end

--- Some data as a record: their length, checked, and the data, checked.
---
--- Example:
---     #tensorboard.record "data"  --> 20
---@param data string
---@return string
function M.record(data)
  local length = pack("<I8", #data)
  return length .. pack("<I4", masked(length)) .. data .. pack("<I4", masked(data))
end

--- The data of all records of a file's bytes; the last one may be cut short, as by a process that was killed. Damage
--- gives nil, message, code.
---
--- Example:
---     tensorboard.records(tensorboard.record "one" .. tensorboard.record "two")  --> { "one", "two" }
---@param bytes string
---@return string[]? list, string? message, string? code
function M.records(bytes)
  local list, at = {}, 1
  while at + 12 <= #bytes do
    local length, check = ("<I8I4"):unpack(bytes, at)
    if check ~= masked(bytes:sub(at, at + 7)) then
      return nil, format("the length at offset %d does not have its checksum", at - 1), "format"
    end
    if length < 0 or length > #bytes - at - 15 then break end
    local data = bytes:sub(at + 12, at + 11 + length)
    if ("<I4"):unpack(bytes, at + 12 + length) ~= masked(data) then
      return nil, format("the data at offset %d do not have their checksum", at + 11), "format"
    end
    list[#list + 1] = data
    at = at + 16 + length
  end
  return list
end

-- ---- messages ----

local function varint(n)
  local bytes = {}
  while n >= 0x80 do
    bytes[#bytes + 1] = string.char(n & 0x7F | 0x80)
    n = n >> 7
  end
  bytes[#bytes + 1] = string.char(n)
  return concat(bytes)
end

-- A field: its number and how it is written, then its value.
local function integer_field(number, value) return varint(number << 3) .. varint(value) end
local function double_field(number, value) return varint(number << 3 | 1) .. pack("<d", value) end
local function float_field(number, value) return varint(number << 3 | 5) .. pack("<f", value) end
local function bytes_field(number, value) return varint(number << 3 | 2) .. varint(#value) .. value end

local START = 1 -- SessionLog.SessionStatus

-- ---- files ----

--- An event file that is being written.
---@class EventFile
---@field path string
local EventFile = {}
EventFile.__index = EventFile
EventFile.__name = "EventFile"

local function add(self, step, what)
  local event = double_field(1, self.clock_began + host.clock()) .. integer_field(2, step) .. what
  local size, message, code = host.append(self.path, M.record(event))
  if not size then return nil, message, code end
  return true
end

--- Opens a new event file in a folder, which is made. With `from` it says that the training went on before that step.
---
--- Example:
---     events = assert(tensorboard.open "curves")
---     events:scalars(1, { ["loss/total"] = 2.3 })  --> true
---@param folder string
---@param options? { from?: integer }
---@return EventFile? events, string? message, string? code
function M.open(folder, options)
  options = spec.check("tensorboard.open", options, { from = spec.integer { min = 0 } })
  local ok, message, code = file.make_folder(folder)
  if not ok then return nil, message, code end
  -- They are read in the order of their names.
  local seconds, number = os.time(), 0
  local function path() return format("%s/events.out.tfevents.%010d.penumbra.%d", folder, seconds, number) end
  while lfs.attributes(path()) do number = number + 1 end
  local self = setmetatable({ path = path(), clock_began = seconds - host.clock() }, EventFile)
  ok, message, code = add(self, 0, bytes_field(3, "brain.Event:2"))
  if ok and options.from then ok, message, code = add(self, options.from, bytes_field(7, integer_field(1, START))) end
  if not ok then return nil, message, code end
  return self
end

--- Adds numbers by their names, one point to each curve; those that are not finite are left out. A slash groups names.
---
--- Example:
---     assert(tensorboard.open "curves"):scalars(10, { ["loss/total"] = 0.31, ["rate/lr"] = 1e-3 })  --> true
---@param step integer
---@param values table<string, number>
---@return true? ok, string? message, string? code
function EventFile:scalars(step, values)
  local parts = {}
  for _, name in ipairs(spec.names(values)) do
    local value = values[name]
    if value == value and value ~= math.huge and value ~= -math.huge then
      parts[#parts + 1] = bytes_field(1, bytes_field(1, name) .. float_field(2, value))
    end
  end
  if #parts == 0 then return true end
  return add(self, step, bytes_field(5, concat(parts)))
end

-- What the rows of a training's metrics.jsonl and timing.jsonl give.
local function values_of(row)
  local out = {}
  if row.kind == "probe" then
    for name, metric in pairs(row.metrics) do out[row.name .. "/" .. name] = metric.value end
    return out
  elseif row.seconds then
    return { ["speed/images_per_second"] = row.images_per_second, ["speed/seconds"] = row.seconds,
             ["speed/waited"] = row.waited }
  end
  local head = row.kind == "epoch" and "epoch" or "loss"
  out[head == "epoch" and "epoch/loss" or "loss/total"] = row.loss
  for name, term in pairs(row.terms) do
    out[head .. "/" .. name] = term.weighted
    out["raw/" .. (head == "epoch" and "epoch_" or "") .. name] = term.raw
  end
  if head == "loss" then out["rate/lr"] = row.lr end
  for _, name in ipairs { "accuracy", "validation", "validation_loss" } do out["epoch/" .. name] = row[name] end
  return out
end

--- Adds a row of a training's metrics.jsonl or timing.jsonl: of a step, an epoch, a probe (at the last step).
---
--- Example:
---     events = assert(tensorboard.open "curves")
---     events:row { kind = "step", step = 10, loss = 0.3, lr = 1e-3, terms = {} }  --> true
---@param row table
---@return true? ok, string? message, string? code
function EventFile:row(row)
  self.step = row.step or self.step
  return self:scalars(self.step or 0, values_of(row))
end

return M
