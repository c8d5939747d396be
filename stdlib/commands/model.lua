--- `penumbra model info FILE` and `penumbra model convert IN OUT`.
local checkpoint = require "checkpoint"
local command = require "command"
local folder_of = require "run.folder"
local nn = require "nn"
local recognise = require "checkpoint.recognise"
local spec = require "spec"
local text = require "text"
local weights = require "checkpoint.weights"

local format, concat = string.format, table.concat

local function elements_of(entry)
  local n = 1
  for _, size in ipairs(entry.shape) do n = n * size end
  return n
end

-- "float32 (269,914), int64 (19)": elements of each type, the most first.
local function types_text(entries)
  local counts = {}
  for _, entry in ipairs(entries) do counts[entry.dtype] = (counts[entry.dtype] or 0) + elements_of(entry) end
  local names = spec.names(counts)
  table.sort(names, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
  for i, name in ipairs(names) do names[i] = format("%s (%s)", name, text.count(counts[name])) end
  return concat(names, ", ")
end

local function fits_text(file)
  local about = weights.described(file)
  if about then return "made by", recognise.text(about.model, about.options) end
  local list = {}
  for i, this in ipairs(recognise.models(file)) do list[i] = recognise.text(this.kind, this.options) end
  return "fits", #list > 0 and concat(list, " or ") or "none of the models in models.*; see model:load's map"
end

local SHOWN_VALUES = 12

-- Names with few dots first: "epoch" before "optimizer.param_groups.0.lr".
local function add_pairs(lines, title, values)
  local names, depth = spec.names(values), {}
  for _, name in ipairs(names) do depth[name] = select(2, name:gsub("%.", "")) end
  table.sort(names, function(a, b) return depth[a] < depth[b] or depth[a] == depth[b] and a < b end)
  for i = 1, math.min(#names, SHOWN_VALUES) do
    lines[#lines + 1] = { i == 1 and title or "", text.tame(names[i] .. " = " .. tostring(values[names[i]]), 100) }
  end
  if #names > SHOWN_VALUES then lines[#lines + 1] = { "", format("and %d more", #names - SHOWN_VALUES) } end
end

local function info(options)
  options.file = folder_of.weights(options.file)
  local file <close>, message = nn.checkpoint.read(options.file)
  if not file then return command.fail("model info", message) end
  local elements = 0
  for _, entry in ipairs(file.entries) do elements = elements + elements_of(entry) end
  local lines = { { "format", file.format },
                  { "tensors", format("%s, %s: %s", text.count(#file.entries), text.plural(elements, "element"),
                                      types_text(file.entries)) } }
  lines[#lines + 1] = table.pack(fits_text(file))
  add_pairs(lines, "values", file.values)
  local metadata = {}
  for name, value in pairs(file.metadata) do
    if name ~= "penumbra" then metadata[name] = value end
  end
  add_pairs(lines, "metadata", metadata)
  print(options.file)
  for _, line in ipairs(lines) do
    print(("  " .. text.pad(line[1], 10) .. text.wrap(line[2], 108, (" "):rep(12))))
  end
  print()
  local rows = {}
  for i, entry in ipairs(file.entries) do
    rows[i] = { text.tame(entry.name), #entry.shape > 0 and concat(entry.shape, " x ") or "-", entry.dtype }
  end
  print(text.table({ "name", "shape", { title = "type", align = "left" } }, rows))
  return 0
end

-- All tensors of a file under their names, or nil and why not.
local function read_all(path)
  local file <close>, message = nn.checkpoint.read(path)
  if not file then return nil, message end
  local list = {}
  for i, entry in ipairs(file.entries) do
    local tensor, problem = file:tensor(entry.name)
    if not tensor then return nil, problem end
    list[i] = { name = entry.name, tensor = tensor }
  end
  return list, file.metadata
end

local function convert(options)
  local out = options.out
  if not out:find "[^/]%.safetensors$" and not out:find "[^/]%.npz$" then
    return command.fail("model convert", format("%s: expected a name that ends in .safetensors or .npz", out), 2)
  end
  options.input = folder_of.weights(options.input)
  local list, metadata = read_all(options.input)
  if not list then return command.fail("model convert", metadata) end
  if metadata.layout == weights.OWN then
    -- A training's checkpoint has the model in our layout, and an optimiser's state: only the model goes out.
    local model, message = checkpoint.model(options.input)
    if not model then return command.fail("model convert", message) end
    list, message = weights.torch_tensors(model)
    if not list then return command.fail("model convert", options.input .. ": " .. message) end
    metadata = weights.metadata(model)
  end
  local ok, message
  if out:find "%.npz$" then
    local arrays = {}
    for _, entry in ipairs(list) do arrays[entry.name] = entry.tensor end
    ok, message = nn.npz.save(out, arrays)
  else
    ok, message = nn.checkpoint.write(out, list, metadata)
  end
  if not ok then return command.fail("model convert", message) end
  print(format("%s: %s", out, text.plural(#list, "tensor")))
  return 0
end

local function describe(parser)
  parser:command_target "command"
  local one = parser:command("info", "What a file holds, and which model it fits.")
  one:argument("FILE", "A file of weights, or a run."):target "file"
  local two = parser:command("convert", "The same tensors in another format, under the same names and in torch's "
    .. "layout; float16, bfloat16 and float64 become float32.")
  two:argument("IN", "The file to read, or a run."):target "input"
  two:argument("OUT", "The file to write; it ends in .safetensors or .npz."):target "out"
end

return { about = "Files of weights: safetensors, what torch.save writes, .npz.", describe = describe,
         act = function(options) return (options.command == "info" and info or convert)(options) end }
