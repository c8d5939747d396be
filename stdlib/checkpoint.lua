--- Checkpoints of a training: everything it needs to go on with the same bits, and the weights of any file.
---
---   checkpoint.save("runs/first", { model = model, optimizer = opt, step = 400, epoch = 2 })
---   local state = assert(checkpoint.load("runs/first", { model = model, optimizer = opt }))
---
--- A checkpoint is two files: checkpoint-7.safetensors holds the tensors, checkpoint-7.json the rest, and the size and
--- SHA-256 of the first. Each is written under another name, synced and renamed, the .json last: a checkpoint without
--- it was not completed. The last two are kept. A damaged one, or two files that do not belong together, is refused,
--- and the one before is taken.
---
--- Weights of other programs are read and written by the model itself: see model:load and model:save.
local file = require "file"
local json = require "json"
local lfs = require "lfs"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local spec = require "spec"
local weights = require "checkpoint.weights"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

local VERSION = 1

local is_model = { "a model", function(value)
  return type(value) == "userdata" and getmetatable(value).__name == "nn.module"
end }
local is_average = { "an average, as optim.average makes it", function(value)
  return type(value) == "table" and getmetatable(value).__name == "Average"
end }

local function trained(own)
  own.model = spec.value { is_model[1], is_model[2], required = true }
  own.optimizer = spec.value { "an optimiser", optim.is }
  own.average = spec.value(is_average)
  return own
end

local save_fields = trained {
  step = spec.integer { min = 0 }, epoch = spec.integer { min = 0 }, extra = spec.any(),
  keep = spec.integer { min = 1, default = 2 },
}
local load_fields = trained { quiet = spec.flag { default = false } }

-- ---- names of files ----

-- The numbers of the checkpoints in a folder that have a file with this ending, the last first.
local function numbers_in(folder, ending)
  local list = {}
  if lfs.attributes(folder, "mode") ~= "directory" then return list end
  for name in lfs.dir(folder) do
    local digits = name:match("^checkpoint%-(%d+)%." .. ending .. "$")
    local number = digits and math.tointeger(tonumber(digits))
    if number and digits == tostring(number) then list[#list + 1] = number end
  end
  sort(list, function(a, b) return a > b end)
  return list
end

local function stem_of(folder, number) return format("%s/checkpoint-%d", folder, number) end

-- 64 bits as text: other readers of JSON lose the last digits of such a number.
local function word(integer) return format("%016x", integer) end

local function integer_of(text)
  return tonumber(text:sub(1, 8), 16) << 32 | tonumber(text:sub(9), 16)
end

-- ---- save ----

-- The tensors of one kind under names that begin alike.
local function add(list, head, tensors)
  for _, name in ipairs(spec.names(tensors)) do list[#list + 1] = { name = head .. name, tensor = tensors[name] } end
end

local function model_tensors(model)
  local own = {}
  for name, tensor in pairs(model:state()) do own[name] = tensor end
  return own
end

-- Removes all but the last `keep` checkpoints, and what broken attempts left up to the newest: the first file of two,
-- or a part of one under its temporary name.
local function prune(folder, keep)
  local complete = numbers_in(folder, "json")
  local oldest = complete[math.min(keep, #complete)]
  for _, ending in ipairs { "json", "safetensors" } do
    for _, number in ipairs(numbers_in(folder, ending)) do
      local stem = stem_of(folder, number)
      local alone = number < complete[1] and not file.exists(stem .. ".json")
      if number < oldest or alone then os.remove(stem .. "." .. ending) end
    end
  end
  for name in lfs.dir(folder) do
    local digits = name:match "^checkpoint%-(%d+)%.%a+%.part%-"
    if digits and tonumber(digits) <= complete[1] then os.remove(folder .. "/" .. name) end
  end
end

--- Writes a checkpoint of the model, and of the optimiser, the averages, the counters of random draws, `step`, `epoch`
--- and `extra` (anything JSON can hold) into a folder, which it makes. The last two are kept, or `keep`.
---
--- Example:
---     model = nn.Linear(3, 2)
---     opt = optim.adam { model, lr = 1e-3 }
---     checkpoint.save("run", { model = model, optimizer = opt, step = 400, epoch = 2 })  --> run/checkpoint-1.json
---@param folder string
---@param options { model: Model, optimizer?: Optimizer, average?: Average, step?: integer, epoch?: integer,
---                 extra?: any, keep?: integer }
---@return string? path, string? message, string? code  # of the .json file
function M.save(folder, options)
  if type(folder) ~= "string" or folder == "" then
    error("checkpoint.save: expected a folder, got " .. spec.shown(folder), 2)
  end
  options = spec.check("checkpoint.save", options, save_fields)
  local model = options.model
  local list, side = {}, { format = "penumbra checkpoint", version = VERSION, step = options.step,
                           epoch = options.epoch, extra = options.extra, written = os.date "!%Y-%m-%dT%H:%M:%SZ" }
  add(list, "model.", model_tensors(model))
  local draws, session = model:random_state(), nn.random_state()
  side.random = { seed = word(session.seed), draws = session.draws, model_seed = word(draws.seed),
                  model_passes = draws.passes }
  for _, name in ipairs { "optimizer", "average" } do
    if options[name] then
      local tensors
      side[name], tensors = options[name]:state()
      add(list, name .. ".", tensors)
    end
  end
  local metadata = { layout = weights.OWN }
  local about = weights.description(model)
  if about then metadata.penumbra = json.encode(about) end

  local made, message, code = file.make_folder(folder)
  if not made then return nil, message, code end
  local last = math.max(numbers_in(folder, "json")[1] or 0, numbers_in(folder, "safetensors")[1] or 0)
  local stem = stem_of(folder, last + 1)
  local written
  written, message, code = nn.checkpoint.write(stem .. ".safetensors", list, metadata)
  if not written then return nil, message, code end
  side.bytes = lfs.attributes(stem .. ".safetensors", "size")
  side.sha256, message, code = nn.sha256_file(stem .. ".safetensors")
  if not side.sha256 then return nil, message, code end
  written, message, code = file.write(stem .. ".json", json.encode(side, { pretty = true }) .. "\n")
  if not written then
    os.remove(stem .. ".safetensors")
    return nil, message, code
  end
  prune(folder, options.keep)
  return stem .. ".json"
end

-- ---- load ----

local count = spec.integer { required = true, min = 0 }
local hex = spec.text { required = true, pattern = "^" .. ("%x"):rep(16) .. "$", expects = "16 hexadecimal digits" }
local side_fields = {
  format = spec.text(), version = spec.integer(), written = spec.text(), step = spec.integer { min = 0 },
  epoch = spec.integer { min = 0 }, extra = spec.any(), bytes = count, sha256 = spec.text { required = true },
  random = spec.record({ seed = hex, draws = count, model_seed = hex, model_passes = count }, { required = true }),
  optimizer = spec.table(), average = spec.table(),
}

-- The side file of a checkpoint whose two files are whole and belong together, or nil and what is wrong with it.
local function read_side(stem)
  local side, message = json.read(stem .. ".json")
  if side == nil then return nil, message end
  local path = stem .. ".safetensors"
  if type(side) ~= "table" or side.format ~= "penumbra checkpoint" then
    return nil, stem .. ".json: not a checkpoint's"
  elseif side.version ~= VERSION then
    return nil, format("%s.json: version %s of the format; this program reads version %d", stem,
                       spec.shown(side.version), VERSION)
  end
  side, message = spec.examine(side, side_fields)
  if not side then return nil, format("%s.json: %s", stem, message) end
  local bytes = lfs.attributes(path, "size")
  if not bytes then return nil, path .. ": missing" end
  if bytes ~= side.bytes then
    return nil, format("%s: %s bytes expected by its .json file, %d found", path, spec.shown(side.bytes), bytes)
  end
  local sum, problem = nn.sha256_file(path)
  if not sum then return nil, problem end
  if sum ~= side.sha256 then return nil, path .. ": its SHA-256 is not the one in its .json file" end
  local tensors
  tensors, problem = nn.checkpoint.read(path)
  if not tensors then return nil, problem end
  return side, tensors
end

-- The checkpoints to try, the last first, and later ones that were not completed.
local function candidates(path)
  local stem = path:match "^(.*)%.json$" or path:match "^(.*)%.safetensors$"
  if not stem and lfs.attributes(path, "mode") ~= "directory" then stem = path end
  if stem then return file.exists(stem .. ".json") and { stem } or {}, {} end
  local list, broken = {}, {}
  local complete = numbers_in(path, "json")
  for i, number in ipairs(complete) do list[i] = stem_of(path, number) end
  for _, number in ipairs(numbers_in(path, "safetensors")) do
    local one = stem_of(path, number)
    if number > (complete[1] or 0) then broken[#broken + 1] = one .. ".safetensors: not completed" end
  end
  return list, broken
end

---@class CheckpointState
---@field path string         # of the .json file that was read
---@field step? integer
---@field epoch? integer
---@field extra? any
---@field refused string[]    # what was wrong with later checkpoints, which were not taken
local State = {}
State.__index = State
State.__name = "CheckpointState"

function State:__tostring()
  local parts = {}
  for _, name in ipairs { "step", "epoch" } do
    if self[name] then parts[#parts + 1] = format("%s %d", name, self[name]) end
  end
  local text = self.path .. (#parts > 0 and " (" .. concat(parts, ", ") .. ")" or "")
  if #self.refused == 0 then return text end
  return text .. "; not taken: " .. concat(self.refused, "; ")
end

-- The tensors whose names begin so, by the rest of their names.
local function tensors_below(tensors, head)
  local out = {}
  for _, entry in ipairs(tensors.entries) do
    if entry.name:sub(1, #head) == head then
      local tensor, message = tensors:tensor(entry.name)
      if not tensor then error(message, 0) end
      out[entry.name:sub(#head + 1)] = tensor
    end
  end
  return out
end

-- Checks everything, then changes everything.
local function restore(stem, side, tensors, options)
  local steps = {}
  local apply, message = weights.reading(options.model, stem .. ".safetensors", tensors, { prefix = "model." })
  if not apply then error(message, 0) end
  steps[1] = apply
  for _, name in ipairs { "optimizer", "average" } do
    local object = options[name]
    if object and not side[name] then error(format("no %s was saved", name), 0) end
    if object then steps[#steps + 1] = object:restoring(side[name], tensors_below(tensors, name .. ".")) end
  end
  local random = side.random
  local session = { seed = integer_of(random.seed), draws = random.draws }
  local model = { seed = integer_of(random.model_seed), passes = random.model_passes }
  for _, step in ipairs(steps) do step() end
  nn.random_state(session)
  options.model:random_state(model)
end

--- Reads the last checkpoint in a folder, or the one whose path is given, into the model, the optimiser and the
--- averages, and sets the counters of random draws: what is computed from then on has the bits it would have had. A
--- damaged one is passed over with a line on standard error, unless `quiet`; without a whole one nil, message, code.
--- One that is whole but does not fit raises. In either case nothing has changed.
---
--- Example:
---     model = nn.Linear(3, 2)
---     opt = optim.adam { model, lr = 1e-3 }
---     checkpoint.save("run", { model = model, optimizer = opt, step = 400, extra = { best = 0.9 } })
---     state = assert(checkpoint.load("run", { model = model, optimizer = opt }))
---     state, state.extra.best                        --> run/checkpoint-1.json (step 400)  0.9
---     checkpoint.load("nothing", { model = model })  --> nil  nothing: no checkpoint is there  io
---@param path string
---@param options { model: Model, optimizer?: Optimizer, average?: Average, quiet?: boolean }
---@return CheckpointState? state, string? message, string? code
function M.load(path, options)
  if type(path) ~= "string" or path == "" then
    error("checkpoint.load: expected a folder or a path, got " .. spec.shown(path), 2)
  end
  options = spec.check("checkpoint.load", options, load_fields)
  local list, refused = candidates(path)
  for _, stem in ipairs(list) do
    local side, tensors = read_side(stem)
    if side then
      local ok, problem = pcall(restore, stem, side, tensors, options)
      if not ok then
        error(format("checkpoint.load: %s.json does not fit: %s", stem, tostring(problem):gsub("^load: ", "")), 2)
      end
      local state = setmetatable({ path = stem .. ".json", step = side.step, epoch = side.epoch, extra = side.extra,
                                   refused = refused }, State)
      if #refused > 0 and not options.quiet then
        io.stderr:write("checkpoint.load: ", concat(refused, "; "), "\n  taken: ", state.path, "\n")
      end
      return state
    end
    refused[#refused + 1] = tensors
  end
  if #refused == 0 then return nil, path .. ": no checkpoint is there", "io" end
  return nil, concat(refused, "; "), "format"
end

--- What the last complete checkpoint in a folder says of itself: step and epoch. Its tensors are not looked at.
---
--- Example:
---     checkpoint.save("run", { model = nn.Linear(3, 2), step = 400 })
---     checkpoint.peek("run").step  --> 400
---@param folder string
---@return { path: string, step?: integer, epoch?: integer }?
function M.peek(folder)
  local number = numbers_in(folder, "json")[1]
  local path = number and stem_of(folder, number) .. ".json"
  local side = path and json.read(path)
  if type(side) ~= "table" or side.format ~= "penumbra checkpoint" then return nil end
  return { path = path, step = math.tointeger(side.step), epoch = math.tointeger(side.epoch) }
end

-- ---- models from files ----

-- The tensors of a file, or of a folder's last whole checkpoint; or nil, message, code.
local function read_tensors(path)
  if type(path) ~= "string" or lfs.attributes(path, "mode") ~= "directory" then return nn.checkpoint.read(path) end
  -- A run that is complete keeps the weights that it measured, and no checkpoints.
  if file.exists(path .. "/model.safetensors") then return nn.checkpoint.read(path .. "/model.safetensors") end
  local list, refused = candidates(path)
  for _, stem in ipairs(list) do
    local side, tensors = read_side(stem)
    if side then return tensors end
    refused[#refused + 1] = tensors
  end
  if #refused == 0 then return nil, path .. ": no checkpoint is there", "io" end
  return nil, concat(refused, "; "), "format"
end

--- Makes the model that a file describes and reads its weights: a file written by model:save or by checkpoint.save, of
--- a model made by models.*; of a folder of checkpoints the last that is whole, of a complete run what it measured. For
--- other files `arch` names the constructor and `options` are its own.
---
--- Example:
---     models.lenet({ classes = 10, channels = 1 }):save "lenet.safetensors"
---     checkpoint.model("lenet.safetensors").kind  --> lenet
---     nn.Linear(3, 2):save "own.safetensors"
---     checkpoint.model "own.safetensors"
---     --> nil  own.safetensors: does not say which model it holds; name it with arch = "resnet20", or the like  format
---@param path string
---@param options? { arch?: string, options?: table, map?: table<string, string>, prefix?: string, input?: integer[] }
---@return Model? model, string? message, string? code
function M.model(path, options)
  options = spec.check("checkpoint.model", options, {
    arch = spec.choice(models.names()), options = spec.table(), map = spec.table(), prefix = spec.text(),
    input = spec.list { spec.integer { min = 1 } },
  })
  local tensors <close>, message, code = read_tensors(path)
  if not tensors then return nil, message, code end
  local about = weights.described(tensors)
  if options.arch then
    about = { model = options.arch, options = options.options or {} }
  elseif not about then
    return nil, path .. ": does not say which model it holds; name it with arch = \"resnet20\", or the like", "format"
  end
  local model, problem = models.make(about.model, about.options, weights.room(tensors))
  if not model then return nil, format("%s: %s", path, problem), "format" end
  model.class_names, model.input, model.resize = about.class_names, options.input or about.input, about.resize
  local apply
  apply, message, code = weights.reading(model, path, tensors,
                                         { map = options.map, prefix = options.prefix, input = options.input })
  if not apply then return nil, message, code end
  apply()
  return model
end

return M
