--- Weights of other programs: model:load reads them into a model, model:save writes them as torch lays them out.
---
---   print(assert(model:load "resnet20.th"))
---   assert(model:load("vgg.safetensors", { map = { conv1 = "features.0", fc1 = "classifier.0" } }))
---   assert(model:save "mine.safetensors")       -- in torch: model.load_state_dict(safetensors.torch.load_file(...))
---
--- Files: safetensors, what torch.save writes (of any version), .npz. Layouts change on the way: see checkpoint.layout.
local json = require "json"
local layout = require "checkpoint.layout"
local names = require "checkpoint.names"
local nn = require "nn"
local spec = require "spec"
local text = require "text"

local M = {}

---@class Model
local Model = {}

local format, concat = string.format, table.concat

local shape_field = spec.list { spec.integer { min = 1 }, min = 1, max = 3 }

local function is_map(value)
  if type(value) ~= "table" then return false end
  for key, other in pairs(value) do
    if type(key) ~= "string" or type(other) ~= "string" or key == "" or other == "" then return false end
  end
  return true
end
local map_field = spec.value { 'a table of names, { conv1 = "features.0" }', is_map }

local load_fields = {
  map = map_field, prefix = spec.text(), strict = spec.flag { default = true }, input = shape_field,
  skip = spec.list { spec.text(), default = {} },
}

local INPUT_HINT = "; say it with input = { height, width, channels }"

--- What the metadata of a file call the layout that is ours: a training's checkpoint, whose names and shapes are the
--- model's own.
M.OWN = "penumbra"

local function is_model(value)
  return type(value) == "userdata" and getmetatable(value).__name == "nn.module"
end

-- A hand-made call without the colon.
local function check_self(who, model)
  if not is_model(model) then
    error(format("%s: expected a model before a colon, as in model:%s(path), got %s", who, who, spec.shown(model)), 3)
  end
end

local function check_path(who, path)
  if type(path) ~= "string" or path == "" then error(who .. ": expected a path, got " .. spec.shown(path), 3) end
end

-- The shape of an image, where something has said it.
local function input_of(model)
  return model.input or model.options and model.options.shape
end

local function names_of(entries)
  local list = {}
  for i, entry in ipairs(entries) do list[i] = entry.name end
  return list
end

-- `; did you mean "layer1"?`, from the names of the model's tensors and layers.
local function near(word, known)
  local all = {}
  for _, name in ipairs(known) do
    all[name] = true
    for at in name:gmatch "()%." do all[name:sub(1, at - 1)] = true end
  end
  local found = spec.nearest(word, spec.names(all))
  return found and format('; did you mean "%s"?', found) or ""
end

local function map_problem(map, known)
  local problem, key = names.map_problem(map or {}, known)
  return problem and problem .. (key and near(key, known) or "")
end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i, size in ipairs(a) do
    if size ~= b[i] then return false end
  end
  return true
end

-- ---- the report ----

---@class LoadReport
---@field path string
---@field format string           # "safetensors", "torch zip", ...
---@field tensors integer         # of the model's that were read
---@field prefix string           # stripped from the file's names, "" for none
---@field renamed string[][]      # { model's word, file's word } of the other family of names
---@field ignored string[]        # of the file: counts of batches, and what stands outside the prefix
---@field missing string[]        # of the model, with strict = false
---@field unexpected string[]     # of the file, with strict = false
---@field skipped string[]        # of the model, as `skip` said
---@field metadata table<string, string>
---@field values table            # what stands in the file beside its tensors: epoch, best_prec1
local Report = {}
Report.__index = Report
Report.__name = "LoadReport"

function Report:__tostring()
  local parts = { format("%s: %s, %s", self.path, self.format, text.plural(self.tensors, "tensor")) }
  if self.prefix ~= "" then parts[#parts + 1] = format('prefix "%s" stripped', self.prefix) end
  for _, pair in ipairs(self.renamed) do parts[#parts + 1] = format("%s is %s there", pair[1], pair[2]) end
  for _, what in ipairs { "skipped", "ignored", "missing", "unexpected" } do
    if #self[what] > 0 then parts[#parts + 1] = format("%s %s", text.count(#self[what]), what) end
  end
  return concat(parts, "; ")
end

-- ---- load ----

-- Is the model's tensor below one of these names?
local function below(name, list)
  for _, head in ipairs(list) do
    if name == head or name:sub(1, #head + 1) == head .. "." then return true end
  end
  return false
end

local function skip_problem(skip, known)
  for _, head in ipairs(skip) do
    local found = false
    for _, name in ipairs(known) do found = found or below(name, { head }) end
    if not found then
      return format('skip: the model has nothing named "%s"%s', head, near(head, known))
    end
  end
end

-- Pairs the model's tensors with the file's: the report of what will be read, which file entry goes where, and what
-- does not fit.
local function compare(entries, file, options)
  local file_names, skipped = {}, {}
  for i, entry in ipairs(file.entries) do file_names[i] = entry.name end
  local match = names.match(names_of(entries), file_names, options)
  local missing, unexpected, wrong, take = {}, {}, {}, {}
  for i, entry in ipairs(entries) do
    local at = match.place[i]
    if below(entry.name, options.skip) then
      skipped[#skipped + 1] = entry.name
    elseif not at then
      local absent = { name = match.wanted[i], shape = entry.shape, own = entry.name }
      if not entry.again then missing[#missing + 1] = absent end
    elseif not same_shape(entry.shape, file.entries[at].shape) then
      wrong[#wrong + 1] = { name = entry.name, shape = file.entries[at].shape, expected = entry.shape }
    else
      take[#take + 1] = { entry = entry, name = file.entries[at].name }
    end
  end
  for _, at in ipairs(match.unexpected) do
    local entry = file.entries[at]
    unexpected[#unexpected + 1] = { name = entry.name, shape = entry.shape, short = entry.name:sub(#match.prefix + 1) }
  end
  return match, take, missing, unexpected, wrong, skipped
end

local function wrong_text(list)
  local parts = {}
  for i = 1, math.min(#list, 4) do
    parts[i] = format("%s is %s in the file, %s in the model", list[i].name, names.shape_text(list[i].shape),
                      names.shape_text(list[i].expected))
  end
  return concat(parts, "; ") .. (#list > 4 and format(" and %s more", text.count(#list - 4)) or "")
end

-- A rule of the map that leads nowhere: what it should have led to, or nil.
local function idle_rule(match)
  local hits, first = {}, nil
  for i, rule in ipairs(match.touched) do
    if rule then hits[rule] = hits[rule] or match.place[i] ~= nil end
  end
  for _, rule in ipairs(match.touched) do
    if rule and not hits[rule] then first = first or rule.value end
  end
  return first
end

-- The layers of all these tensors, as `skip` names them; nil when they are many.
local function layers_text(list)
  local seen, quoted = {}, {}
  for _, entry in ipairs(list) do
    local layer = entry.name:match "^(.*)%.[^.]*$" or entry.name
    if not seen[layer] then quoted[#quoted + 1] = format('"%s"', layer) end
    seen[layer] = true
  end
  return #quoted <= 2 and concat(quoted, ", ") or nil
end

-- The model that the file holds, where it says so or its tensors tell.
local function held_text(file)
  local recognise = require "checkpoint.recognise"
  local about = M.described(file)
  if about then return recognise.text(about.model, about.options) end
  local fitting = recognise.models(file)[1]
  return fitting and recognise.text(fitting.kind, fitting.options)
end

-- What may help.
local function advice(file, match, missing, unexpected, wrong)
  local idle = idle_rule(match)
  if idle then
    return format('map: the file has nothing named "%s"%s', idle, near(idle, names_of(file.entries)))
  end
  local ours, theirs = {}, {}
  for i, entry in ipairs(missing) do ours[i] = { name = entry.own, shape = entry.shape } end
  for i, entry in ipairs(unexpected) do theirs[i] = { name = entry.short, shape = entry.shape } end
  local map = names.suggestion(ours, theirs)
  if map then return "layers of the same shapes have other names; try " .. map end
  local held = #missing + #wrong > 0 and held_text(file)
  local skip = #missing + #unexpected == 0 and layers_text(wrong)
  if skip then
    return format("skip = { %s } leaves the model's as they are%s", skip, held and "; the file holds " .. held or "")
  end
  if held then return "the file holds " .. held end
  if #wrong == 0 and #missing == 0 then return "strict = false leaves these out" end
  if #missing > 0 and #unexpected > 0 then
    return 'when only the names differ, a map brings them together: map = { conv1 = "features.0" }'
  end
end

-- One line for each kind of mismatch, and what may help.
local function mismatch_text(path, file, match, take, missing, unexpected, wrong)
  local lines = { format("load: %s does not fit the model (%s, %s%s; %d of the model's %d names are there)", path,
                         file.format, text.plural(#file.entries, "tensor"),
                         match.prefix ~= "" and format(', prefix "%s"', match.prefix) or "",
                         #take + #wrong, #take + #wrong + #missing) }
  if #missing > 0 then lines[#lines + 1] = "  missing in the file: " .. names.listed(missing) end
  if #unexpected > 0 then lines[#lines + 1] = "  not in the model: " .. names.listed(unexpected) end
  if #wrong > 0 then lines[#lines + 1] = "  of another shape: " .. wrong_text(wrong) end
  local help = advice(file, match, missing, unexpected, wrong)
  if help then lines[#lines + 1] = "  " .. help end
  return concat(lines, "\n")
end

local function prefix_problem(path, file, prefix)
  for _, entry in ipairs(file.entries) do
    if entry.name:sub(1, #prefix) == prefix then return nil end
  end
  local known = names_of(file.entries)
  return format('load: prefix: %s has nothing named "%s"%s', path, text.tame(prefix), near(prefix, known))
end

-- Which of the file's tensors go where, and the report; or nil and in what way the file does not fit.
local function plan_of(entries, path, file, options)
  local problem = options.prefix and prefix_problem(path, file, options.prefix)
  if problem then return nil, problem end
  local match, take, missing, unexpected, wrong, skipped = compare(entries, file, options)
  if #match.prefixes > 1 and 2 * #take >= #entries then
    local quoted = {}
    for i, prefix in ipairs(match.prefixes) do quoted[i] = format('"%s"', text.tame(prefix)) end
    return nil, format("load: %s holds the model's names under %s; choose one with prefix = %s", path,
                       concat(quoted, " and "), quoted[1])
  end
  if #wrong > 0 or #take == 0 or options.strict and #missing + #unexpected > 0 then
    return nil, mismatch_text(path, file, match, take, missing, unexpected, wrong)
  end
  local report = { path = path, format = file.format, tensors = #take, prefix = match.prefix, renamed = {},
                   ignored = {}, missing = {}, unexpected = {}, skipped = skipped, metadata = file.metadata,
                   values = file.values }
  for i, pair in ipairs(match.renamed) do report.renamed[i] = { pair[1], pair[2] } end
  for i, entry in ipairs(missing) do report.missing[i] = entry.own end
  for i, entry in ipairs(unexpected) do report.unexpected[i] = entry.name end
  for _, list in ipairs { match.counts, match.beside } do
    for _, at in ipairs(list) do table.insert(report.ignored, file.entries[at].name) end
  end
  return take, setmetatable(report, Report)
end

-- All tensors in our layout, or nil, message, code; nothing of the model is touched.
local function read_all(file, take)
  local list = {}
  for i, pair in ipairs(take) do
    local tensor, message, code = file:tensor(pair.name)
    if not tensor then return nil, message, code end
    list[i] = pair.entry.from_torch(tensor:to "float")
  end
  return list
end

--- Reads from an open file (nn.checkpoint.read) all that the model needs: the function that puts it in place, and the
--- report. Nil, message, "mismatch" when the file does not fit, or another code when it is damaged. Options as for
--- load.
---@param model Model
---@param path string
---@param file table
---@param options table
---@return fun()? apply, LoadReport|string report, string? code
function M.reading(model, path, file, options)
  options = spec.check("load", options, load_fields)
  local entries, problem
  if file.metadata.layout == M.OWN then
    entries = layout.own(model)
    options.prefix = options.prefix or "model" -- the averages have the same names
  else
    entries, problem = layout.of(model, options.input or input_of(model))
  end
  if not entries then return nil, "load: " .. problem .. INPUT_HINT, "mismatch" end
  local known = names_of(entries)
  problem = map_problem(options.map, known) or skip_problem(options.skip, known)
  if problem then return nil, "load: " .. problem, "mismatch" end
  local take, report = plan_of(entries, path, file, options)
  if not take then return nil, report, "mismatch" end
  local list, message, code = nn.no_grad(read_all, file, take)
  if not list then return nil, message, code end
  return function()
    nn.no_grad(function()
      for i, pair in ipairs(take) do pair.entry.tensor:copy(list[i]) end
    end)
  end, report
end

--- Would the file's tensors, all of them, fill the model? Only names and shapes are looked at.
---@param model Model
---@param file table
---@return boolean
function M.fits(model, file)
  local entries = layout.of(model, { 1 })
  local match, take, missing, unexpected, wrong = compare(entries, file, { skip = {} })
  return #match.prefixes <= 1 and #take > 0 and #missing + #unexpected + #wrong == 0
end

--- Bytes of tensors that a model may take which a file describes: about as many as the file holds.
---@param file table
---@return integer
function M.room(file)
  local elements = 0
  for _, entry in ipairs(file.entries) do
    local own = 1
    for _, size in ipairs(entry.shape) do own = own * size end
    elements = elements + own
  end
  return 8 * elements + (64 << 20)
end

--- Reads a file's weights into the model: all that fit, or, when something does not, none. Shapes and layouts are
--- torch's; a prefix before all names is stripped, and the names of torchvision (downsample, fc) and of kuangliu's
--- CIFAR networks (shortcut, linear) stand for each other. A file that is missing or damaged gives nil, message, code;
--- one that does not fit raises, with the first names that are missing, unexpected or of another shape.
---   map     { ["layer1.*.conv1"] = "blocks.*.first" }: the model's names, or their beginnings, as the file has them;
---           `*` is any one part of a name
---   prefix  of the file's names that is meant, where there are several
---   skip    { "fc" }: parts of the model that stay as they are, for another number of classes
---   strict  false: tensors that are only in the model stay, those that are only in the file are left out
---   input   { height, width, channels } of an image, where a Linear reads it through a Flatten and no layer before
---           says its channels
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1, seed = 1 }
---     assert(model:save "lenet.safetensors")
---     other = models.lenet { classes = 10, channels = 1, seed = 2 }
---     other:load "lenet.safetensors"                        --> lenet.safetensors: safetensors, 10 tensors
---     five = models.lenet { classes = 5, channels = 1 }
---     five:load "lenet.safetensors"
---     --> error: load: lenet.safetensors does not fit the model (safetensors, 10 tensors; ...
---     --> ...
---     five:load("lenet.safetensors", { skip = { "fc3" } })  --> lenet.safetensors: safetensors, 8 tensors; 2 skipped
---     other:load "nothing.pt"                               --> nil  nothing.pt: No such file or directory  io
---@param path string
---@param options? { map?: table<string, string>, prefix?: string, skip?: string[], strict?: boolean,
---                  input?: integer[] }
---@return LoadReport? report, string? message, string? code
function Model:load(path, options)
  check_self("load", self)
  check_path("load", path)
  spec.check("load", options, load_fields)
  local file <close>, message, code = nn.checkpoint.read(path)
  if not file then return nil, message, code end
  local apply, report
  apply, report, code = M.reading(self, path, file, options)
  if code == "mismatch" then error(report, 2) end
  if not apply then return nil, report, code end
  apply()
  return report
end

-- ---- save ----

-- By these a reader would take the file for what it is not.
local other_endings <const> = { pt = true, pth = true, th = true, ckpt = true, tar = true, npz = true, npy = true }

local save_fields = {
  map = map_field, prefix = spec.text { default = "" }, input = shape_field,
  metadata = spec.value { "a table of strings by name", function(value)
    if type(value) ~= "table" then return false end
    for key, word in pairs(value) do
      if type(key) ~= "string" or type(word) ~= "string" then return false end
    end
    return true
  end, default = {} },
}

--- What a file says about the model in it, so that it can be made again: the constructor in models and its options, the
--- names of the classes, the shape of an image. Nil for a model of one's own.
---@param model Model
---@return table?
function M.description(model)
  if not model.kind then return nil end
  local classes = model.class_names
  return { model = model.kind, options = model.options, input = model.input, resize = model.resize,
           class_names = classes and #classes == model.classes and classes or nil }
end

local about_fields = {
  model = spec.text { required = true }, options = spec.table { required = true }, input = shape_field,
  resize = spec.integer { min = 1 }, class_names = spec.list { spec.text() },
}

--- What a file says about the model in it, or nil.
---@param file table  # nn.checkpoint.read
---@return table?
function M.described(file)
  local about = json.decode(file.metadata.penumbra or "null")
  return type(about) == "table" and about ~= json.null and spec.examine(about, about_fields) or nil
end

--- The model's tensors as torch names and lays them out, with its counts of batches; or nil and what is wrong. Options
--- as for save.
---@param model Model
---@param options? table
---@return { name: string, tensor: Tensor }[]? list, string? problem
function M.torch_tensors(model, options)
  options = options or {}
  local entries, problem = layout.of(model, options.input or input_of(model))
  if not entries then return nil, problem .. INPUT_HINT end
  local known = names_of(entries)
  for _, name in ipairs(layout.counts(entries)) do known[#known + 1] = name end
  problem = map_problem(options.map, known)
  if problem then return nil, problem end
  local tensors = layout.written(entries)
  local out, taken = {}, {}
  for i, name in ipairs((names.mapped(known, options.map))) do
    name = (options.prefix or "") .. name
    if taken[name] then return nil, format('the map gives the name "%s" to two tensors', name) end
    taken[name] = true
    out[i] = { name = name, tensor = tensors[i] or nn.zeros({}, { type = "int32" }) }
  end
  return out
end

--- What goes into the metadata of a file with this model.
---@param model Model
---@return table<string, string>
function M.metadata(model)
  local about = M.description(model)
  return { format = "pt", penumbra = about and json.encode(about) }
end

--- Writes the model's weights as safetensors, in torch's layout and under torch's names, so that its load_state_dict
--- takes them back. map and prefix change the names as they do for load, input says what it says there; metadata are
--- strings of one's own. A model made by models.* can be made again from the file: see checkpoint.model.
---
--- Example:
---     models.lenet({ classes = 10, channels = 1 }):save "lenet.safetensors"  --> true
---     nn.ReLU():save "relu.pt"
---     --> error: save: expected a name that ends in .safetensors, as that is what is written, got "relu.pt"
---@param path string
---@param options? { map?: table<string, string>, prefix?: string, metadata?: table<string, string>, input?: integer[] }
---@return boolean? ok, string? message, string? code
function Model:save(path, options)
  check_self("save", self)
  check_path("save", path)
  local ending = path:match "%.(%w+)$"
  if other_endings[ending] then
    error(format('save: expected a name that ends in .safetensors, as that is what is written, got "%s"', path), 2)
  end
  options = spec.check("save", options, save_fields)
  local tensors, problem = M.torch_tensors(self, options)
  if not tensors then error("save: " .. problem, 2) end
  local metadata = M.metadata(self)
  for key, word in pairs(options.metadata) do metadata[key] = word end
  return nn.checkpoint.write(path, tensors, metadata)
end

M.load, M.save = Model.load, Model.save

return M
