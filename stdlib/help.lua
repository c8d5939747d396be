--- Help: on the program, on operations and layers (from their rows), on modules and their functions (from the comments
--- in their source). `penumbra help TOPIC` prints it, and so do help(...) and ?topic at the prompt.
local host = require "host"
local nn = require "nn"
local spec = require "spec"
local text = require "text"

local M = {}

local topics = {}

topics.overview = [==[
Penumbra runs experiments on the semantic continuity of neural networks: does a change that keeps the meaning of an
image also keep the model's answer? Models, perturbations, losses and probes are values that a Lua script composes.

  penumbra                        the prompt
  penumbra script.lua [args]      run a script
  penumbra -e 'code'              run a piece of code
  penumbra run FILE key=value     run a recipe or a study
  penumbra data list              the data sets there are; also info, get, import
  penumbra model info FILE        what a file of weights holds; convert IN OUT writes it in another format
  penumbra predict MODEL IMAGE... what a model takes pictures for
  penumbra help TOPIC             more on one of these topics:

    command       options, arguments, exit codes
    prompt        what the prompt understands
    ops           the operations on tensors; `help conv2d` explains one
    layers        the layers of a model; `help Conv2d` explains one
    modules       the Lua modules; `help perturb` explains one, `help perturb.hue` a function of it
    environment   the environment variables it reads
]==]

topics.command = [==[
penumbra [options] [script [args] | command [args]]

  -e CODE        run CODE (may be given more than once); every module is there by its name
  --threads N    threads to compute with, 1 to 256; results are the same with any number
  --traceback    show where in the script an error came from
  --version      version, Lua, BLAS, processor, threads
  --help, -h     the overview
  --             what follows is no option

  run FILE key=value...    run a recipe or a study with these parameters
  data list                the data sets that are here, and those that can be had
  data info NAME           all that is known of one, with its statistics
  data get NAME            download one: --from URL, --accept, --quiet
  data import PATH         copy or unpack one into your data folder: --name NAME, --quiet
  model info FILE          format, tensors, metadata of a file of weights, and which of our models it fits
  model convert IN OUT     the same tensors as .safetensors or .npz, as OUT ends
  predict MODEL IMAGE...   the most likely classes of each picture; --help lists its options
  help [TOPIC]             help

A script gets its arguments in `arg` and `...`, and `require` finds modules beside it. `-` is standard input as a
script. Without a script, a command or -e, penumbra is a prompt; reading from a pipe it runs what it reads, entry by
entry, and shows no prompt.

Exit codes: 0 done; 1 an error in the script, or no such script; 2 a wrong command line; 130 interrupted by Ctrl-C.
A script chooses others with os.exit.
]==]

topics.prompt = [==[
At the prompt an expression prints its value, and `_` is the last value. An unfinished entry goes on at `>>`. Every
module is there by its name (nn, data, models, ...), without `require`; `local` at the start of an entry makes a global,
so that the lines of a script can be typed as they are.

  help()           the overview
  help(nn.conv2d)  help on an operation, a module, or a function of one; also help "conv2d"
  ?conv2d          the same
  Ctrl-C           stops what runs, or drops the entry
  Ctrl-D           leaves
]==]

topics.environment = [==[
  PENUMBRA_CPU        avx512, avx2 or portable: the kernels to use (by default the best this processor has)
  PENUMBRA_DATA       folders in which data sets are looked for by name, separated by colons
  PENUMBRA_PATH       a folder whose modules replace those inside the program (while developing them)
  PENUMBRA_TRACEBACK  1: as --traceback
  LUA_PATH, LUA_CPATH where `require` looks for other modules
]==]

-- What `nn` has beside operations and layers: the call, and what it gives.
local nn_functions = {
  { "nn.tensor(list, {type, requires_grad})", "A tensor from a number or nested lists. type: float (the default), "
    .. "uint8, int32 or index, whose values are written and printed from 1." },
  { "nn.zeros(sizes, {type, requires_grad})", "A tensor of zeros: nn.zeros{2, 3}. An index tensor's read as 1." },
  { "nn.ones(sizes, {type, requires_grad})", "A tensor of ones." },
  { "nn.full(sizes, value, {type, requires_grad})", "A tensor of one value." },
  { "nn.uniform(sizes, {low, high, seed, stream, requires_grad})", "Random numbers from low (0) to high (1). Without a "
    .. "seed the session's next one." },
  { "nn.normal(sizes, {mean, deviation, seed, stream, requires_grad})", "Normal random numbers; mean 0, deviation 1." },
  { "nn.permutation(count, seed, stream?)", "The places 1 to count in random order, an index tensor." },
  { "nn.random(seed, stream?, index?)", "One number in [0, 1), a function of its arguments." },
  { "nn.derive(seed, stream?, index?)", "A seed made from a seed; other streams are unrelated." },
  { "nn.seed(n?)", "The session's seed; with n sets it and starts its draws again." },
  { "nn.next_seed()", "The session's next derived seed." },
  { "nn.random_state({seed, draws}?)", "The session's seed and how many draws were made from it; with a table sets "
    .. "them." },
  { "nn.no_grad(f, ...)", "What f(...) returns; nothing inside is recorded for gradients." },
  { "nn.grad_enabled()", "Whether operations are recorded now." },
  { "nn.Optimizer(method, tensors, options)", "What optim.sgd, adam and adamw stand on; nn.methods() lists its "
    .. "options." },
  { "nn.clip_grad_norm(tensors, limit)", "Scales all gradients so that their norm together is at most the limit; gives "
    .. "the norm before." },
  { "nn.clip_grad_value(tensors, limit)", "Cuts every gradient to [-limit, limit]." },
  { "nn.average_update(averages, tensors, decay)", "average = decay * average + (1 - decay) * tensor, for each pair." },
  { "nn.npy.load(path)", "A tensor from an .npy file, or nil, message, code." },
  { "nn.npy.save(path, tensor)", "Writes an .npy file; true, or nil, message, code." },
  { "nn.npz.load(path)", "A table of tensors by name from an .npz file, or nil, message, code." },
  { "nn.npz.save(path, { name = tensor })", "Writes an .npz file; true, or nil, message, code." },
  { "nn.checkpoint.read(path)", "What a .safetensors, torch.save or .npz file holds, or nil, message, code: format, "
    .. "entries, values, metadata, :tensor(name), :close()." },
  { "nn.checkpoint.write(path, list, metadata)", "Writes { name =, tensor = } ... as .safetensors." },
  { "nn.files.new(root, paths, labels)", "A list of picture files below a folder, with labels: #files, files:path(i), "
    .. "files:label(i), files:labels(), files:select(rows), files:survey()." },
  { "nn.files.scan(root, classes?)", "The picture files of a folder that has a folder for each class, or nil, message, "
    .. "code; files:write(path) keeps the list." },
  { "nn.files.read(path, root)", "A list that was kept; nil, message, code when a folder has changed since." },
  { "nn.sha256(text)", "SHA-256 of a text, as 64 hexadecimal digits." },
  { "nn.sha256_file(path)", "The same of a file, or nil, message, code." },
  { "nn.file_stamp(path)", "A text that changes when the file does, or nil, message, code." },
  { "nn.free_bytes(folder)", "How many bytes can still be written there, or nil, message, code." },
  { "nn.archive.survey(path)", "What a .zip, .tar or .tar.gz unpacks to: { packed, bytes, files, format }, or nil, "
    .. "message, code." },
  { "nn.archive.unpack(path, folder, info, progress?)", "Makes the folder of the files that the survey found; true, or "
    .. "nil, message, code and no folder. progress(done, total) is called with bytes." },
  { "nn.fetch({url, target, sha256, size, progress})", "Downloads a file, or goes on where an earlier call ended; "
    .. "{ bytes, resumed, sha256 }, or nil, message, code." },
  { "nn.threads(n?)", "How many threads compute; with n sets it." },
  { "nn.precision(name?)", 'How convolutions round: "fast" (the default; some go through Winograd\'s transforms) or '
    .. '"exact" (each result is the sum of its n products, within (8 + sqrt(n)) 2^-24 of the sum of their '
    .. 'magnitudes; fast: within ten times that). With a name sets it.' },
  { "nn.memory.stats()", "Bytes of tensors: live, peak, cached, cap, and the number of blocks." },
  { "nn.memory.cap(bytes)", "No more memory than this for tensors; 0 is no cap." },
  { "nn.live_tensors()", "How many tensors exist." },
  { "nn.peak_flops()", "Floating-point operations a second that all threads reach on multiply-adds in registers, "
    .. "measured now: what a speed is a share of." },
  { "nn.write_file(path, text)", "Writes a file whole or not at all, synced; true, or nil, message, code." },
  { "nn.info()", "Version, processor, BLAS, precision, threads." },
  { "nn.ops()", "The rows of the operations: name, signature, doc." },
  { "nn.layers()", "The rows of the layers." },
  { "nn.methods()", "The rows of the optimisers." },
}

topics.model = [==[
A model m: m(x), m:forward(x, {training, taps, seed}), m:train(f), m:parameters(prefix), m:named_parameters(prefix),
m:buffers(prefix), m:state(prefix), m:freeze(prefix), m:unfreeze(prefix), m:zero_grad(), m:count(), m:initialise(seed),
m:layers({input}), m:cost({input, batch, training}), m:random_state({seed, passes}), m:load(path, options),
m:save(path, options): `help model:load`. With input = {H, W, C} the layers tell output and flops (a multiply-add is 2);
cost tells flops, parameters and activation_bytes of a pass over a batch.

At the command line, `penumbra model info FILE` and `penumbra model convert IN OUT` tell of files of weights.
]==]

topics.nn = [==[
Tensors, gradients, operations (help ops) and layers (help layers); images are [N x H x W x C], counting starts at 1.

A tensor t: t.shape, t.type, t.axes, t.grad, t.requires_grad; t[i] is row i; #t its rows; t:get(i, ...), t:set(i, ...,
value), t:item(), t:tolist(), t:size(axis), t:count(), t:fill(value), t:copy(other), t:clone(), t:detach(), t:to(type),
t:backward(), t:retain_grad(), t:clear_grad(), t:free(); + - * / ^ and every operation as a method: t:sum(2), t:gt(0).
]==]

--- One line of a list: a name, and the first sentence about it as far as it fits.
local function entry(name, about)
  about = (about .. "\n\n"):match "^(.-)\n%s*\n"
  local sentence = about:gsub("\n", " "):match "^(.-[.;])%s+%u" or about:gsub("\n", " ")
  local line = ("  %-20s %s"):format(name, (sentence:gsub("[.;]$", "")))
  return text.cut(line:gsub("%s+$", ""), 120)
end

-- ---- rows ----

--- The arguments in a signature: { name, notes (kind, default, bounds), option, optional }. See nn.ops().
local function read_signature(signature)
  local list, option = {}, false
  for word in signature:gsub("[{}]", " %0 "):gmatch "[^%s,]+" do
    local name, kind = word:match "^([%w_]+):(.+)$"
    if word == "{" then
      option = true
    elseif name then
      local plain, default = kind:match "^(.-)=(.*)$"
      plain = plain or kind
      local notes = { (plain:gsub("%?$", ""):gsub("|", " | ")) }
      if default then notes[2] = "default " .. default end
      list[#list + 1] = { name = name, notes = notes, option = option, optional = plain:find "%?$" ~= nil }
    elseif word ~= "}" then
      table.insert(list[#list].notes, (word:gsub("^[<>]=?", "%0 ")))
    end
  end
  return list
end

--- The call as a user writes it: "nn.conv2d(x, weight, bias?, {stride, padding})".
local function call_text(name, arguments)
  local plain, named = {}, {}
  for _, a in ipairs(arguments) do
    table.insert(a.option and named or plain, a.name .. (a.optional and not a.option and "?" or ""))
  end
  if #named > 0 then plain[#plain + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return "nn." .. name .. "(" .. table.concat(plain, ", ") .. ")"
end

local function row_text(row)
  local arguments = read_signature(row.signature)
  local lines = { call_text(row.name, arguments), "", "  " .. text.wrap(row.doc, 118, "  "), "" }
  for _, a in ipairs(arguments) do
    lines[#lines + 1] = ("  %-16s %s"):format(a.name, table.concat(a.notes, ", "))
  end
  if #arguments == 0 then lines[#lines] = nil end
  return table.concat(lines, "\n") .. "\n"
end

local function find_row(name)
  for _, list in ipairs { nn.ops(), nn.layers() } do
    for _, row in ipairs(list) do
      if row.name == name then return row end
    end
  end
end

local function rows_text(title, rows)
  local lines = { title, "" }
  local sorted = table.move(rows, 1, #rows, 1, {})
  table.sort(sorted, function(a, b) return a.name < b.name end)
  for _, row in ipairs(sorted) do lines[#lines + 1] = entry(row.name, row.doc) end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- modules ----

-- Values that have methods of their own, by what they are called: the module that explains the methods, and their class
-- there. (A model's other methods are the runtime's; `help model` lists them.)
local owners = {
  model = { module = "checkpoint.weights", first = "model, " },
  part = { module = "data.part", class = "Part" },
  batches = { module = "data.part", class = "Batches" },
}

--- What the comments of a module say: { about = text, functions = { { name, arguments, doc }, ... }, methods = the same
--- by class, call = the same of a module that can be called itself, as train; classes = comments of tables by name }.
local function read_module(name)
  local source = host.source(name)
  if not source then return nil end
  local found = { functions = {}, methods = {}, classes = {} }
  local block = {}
  for line in (source .. "\n"):gmatch "(.-)\n" do
    local comment = line:match "^%-%-%-?%s?(.*)$"
    if comment then
      block[#block + 1] = comment
    else
      found.about = found.about or table.concat(block, "\n")
      local titled = block[1] and block[1]:match "^@class (%w+)"
      if titled then found.classes[titled] = block end
      local fname, arguments = line:match "^function M[.:]([%w_]+)%s*%((.-)%)"
      if fname then
        found.functions[#found.functions + 1] = { name = fname, arguments = arguments, doc = block }
      end
      local class, method, with = line:match "^function (%u%w*):(%l[%l_]*)%s*%((.-)%)"
      if class then
        found.methods[class] = found.methods[class] or {}
        table.insert(found.methods[class], { name = method, arguments = with, doc = block })
      end
      local own = line:match("^local function " .. name .. "%s*%(_, (.-)%)")
      if own then found.call = { arguments = own, doc = block } end
      block = {}
    end
  end
  return found
end

--- The fields of a table that has a class of its own, one below the other: `size?: integer  # 128`.
local function fields_text(name, block)
  local lines = { "  " .. name }
  for i = 2, #block do
    local field = block[i]:match "^@field%s+(.*)$"
    if field then lines[#lines + 1] = field:gsub("^(%S+)%s+", "%1: ", 1):gsub("%s%s+#", "  #")
    else lines[#lines] = lines[#lines] .. block[i]:gsub("^%s*#?%s*", " ") end
  end
  for i = 2, #lines do lines[i] = "    " .. text.wrap(lines[i], 114, "      ") end
  return table.concat(lines, "\n")
end

--- The comment without its annotations, and these as readable lines below it, with the fields of what they name.
local function doc_text(doc, classes)
  local lines, notes = {}, {}
  for _, line in ipairs(doc) do
    local kind, rest = line:match "^@(%w+)%s*(.*)$"
    if kind == "param" then notes[#notes + 1] = "  " .. rest:gsub("^(%S+)%s+", "%1: ", 1)
    elseif kind == "return" then notes[#notes + 1] = "  returns " .. rest
    elseif not kind and #notes > 0 then notes[#notes] = notes[#notes] .. line:gsub("^%s+", " ")
    elseif not kind then lines[#lines + 1] = "  " .. line end
  end
  if #notes > 0 then lines[#lines + 1] = "" end
  for _, note in ipairs(notes) do lines[#lines + 1] = "  " .. text.wrap(note, 116, "    ") end
  for _, note in ipairs(notes) do
    local name = note:match "^%s*[%w_]+%??: (%w+)$"
    if classes[name] then
      lines[#lines + 1] = ""
      lines[#lines + 1] = fields_text(name, classes[name])
    end
  end
  return table.concat(lines, "\n")
end

local function function_text(call, f, classes)
  return ("%s(%s)\n\n%s\n"):format(call, f.arguments, doc_text(f.doc, classes))
end

local function module_text(name)
  local found = read_module(name)
  if not found then return nil end
  local lines = { name .. "\n\n  " .. found.about:gsub("\n", "\n  ") }
  if found.call then lines[#lines + 1] = "\n" .. function_text(name, found.call, found.classes):gsub("\n$", "") end
  local function add(head, list)
    if #list > 0 then lines[#lines + 1] = "" end
    for _, f in ipairs(list) do
      local call = ("%s%s(%s)"):format(head, f.name, f.arguments)
      local about = table.concat(f.doc, "\n"):match "^[^@]*"
      lines[#lines + 1] = #call <= 20 and entry(call, about) or "  " .. call .. "\n" .. entry("", about)
    end
  end
  add(name .. ".", found.functions)
  for _, word in ipairs(spec.names(owners)) do
    local owner = owners[word]
    if owner.module == name and owner.class then add(word .. ":", found.methods[owner.class]) end
  end
  return table.concat(lines, "\n") .. "\n"
end

local function module_names()
  local names = host.modules()
  table.sort(names)
  return names
end

local function modules_text()
  local lines = { "Modules, for require; at the prompt each is there by its name.", "" }
  lines[#lines + 1] = entry("nn", "Tensors, gradients, random numbers, threads, memory")
  for _, name in ipairs(module_names()) do lines[#lines + 1] = entry(name, read_module(name).about) end
  return table.concat(lines, "\n") .. "\n"
end

local function nn_text()
  local lines = {}
  for _, f in ipairs(nn_functions) do lines[#lines + 1] = "  " .. f[1] .. "\n" .. entry("", f[2]) end
  return topics.nn .. "\n" .. topics.model .. "\n" .. table.concat(lines, "\n") .. "\n"
end

-- One of nn's functions, or those of a table in it: nn.npz.
local function nn_function(topic)
  local found = {}
  for _, f in ipairs(nn_functions) do
    local name = f[1]:match "^[^(]+"
    if name == topic or name:match "^(.*)%." == topic then
      found[#found + 1] = f[1] .. "\n\n  " .. text.wrap(f[2], 118, "  ") .. "\n"
    end
  end
  return found[1] and table.concat(found, "\n")
end

-- A method: part:batches.
local function method_text(topic)
  local word, name = topic:match "^([%l_]+):([%l_]+)$"
  local owner = owners[word]
  local found = owner and read_module(owner.module)
  for _, f in ipairs(found and (owner.class and found.methods[owner.class] or found.functions) or {}) do
    if f.name == name then
      return function_text(topic, { arguments = f.arguments:gsub("^" .. (owner.first or ""), ""), doc = f.doc },
        found.classes)
    end
  end
end

-- ---- finding ----

local function find(topic)
  if topic == "nn" then return nn_text() end
  if topics[topic] then return topics[topic] end
  if topic == "ops" then
    return rows_text("Operations, as nn.name(...); those that begin with a tensor are also its methods.", nn.ops())
  end
  if topic == "layers" then return rows_text("Layers, as nn.Name(...).", nn.layers()) end
  if topic == "modules" then return modules_text() end

  local row = find_row(topic:match "^nn%.(.*)$" or topic)
  if row then return row_text(row) end
  local found = nn_function(topic)
  if found then return found end
  local module, name = topic:match "^(.*)%.([%w_]+)$"
  local found_module = module and read_module(module)
  for _, f in ipairs(found_module and found_module.functions or {}) do
    if f.name == name then return function_text(topic, f, found_module.classes) end
  end
  local owner = owners[topic]
  return method_text(topic) or module_text(topic) or nn_function("nn." .. topic) or owner and module_text(owner.module)
end

--- The functions and methods of this name: "load" stands for image.load, model:load and others.
local function called(name)
  local found = {}
  for _, f in ipairs(nn_functions) do
    local path = f[1]:match "^[^(]+"
    if path:match "[^.]+$" == name then found[#found + 1] = path end
  end
  for _, module in ipairs(module_names()) do
    if not module:find("%.command$") and module ~= owners.model.module then
      for _, f in ipairs(read_module(module).functions) do
        if f.name == name then found[#found + 1] = module .. "." .. name end
      end
    end
  end
  for _, word in ipairs(spec.names(owners)) do
    if method_text(word .. ":" .. name) then found[#found + 1] = word .. ":" .. name end
  end
  return found
end

--- What a topic could have been: the functions of a module when it names one, else everything.
local function known(topic)
  local names = {}
  if topic:find "^nn%." then
    for _, f in ipairs(nn_functions) do names[#names + 1] = f[1]:match "^[^(]+" end
  end
  local module = topic:match "^(.*)%.[%w_]+$"
  local found = module and read_module(module)
  if found then
    for _, f in ipairs(found.functions) do names[#names + 1] = module .. "." .. f.name end
    return names
  end
  for name in pairs(topics) do names[#names + 1] = name end
  table.move(module_names(), 1, #host.modules(), #names + 1, names)
  for _, list in ipairs { { { name = "ops" }, { name = "layers" }, { name = "modules" } }, nn.ops(), nn.layers() } do
    for _, row in ipairs(list) do names[#names + 1] = row.name end
  end
  return names
end

--- The name under which a function or module is known, or nil.
local function name_of(value)
  for _, list in ipairs { nn.ops(), nn.layers() } do
    for _, row in ipairs(list) do
      if nn[row.name] == value then return row.name end
    end
  end
  if value == nn then return "nn" end
  local kind = type(value) ~= "function" and (getmetatable(value) or {}).__name
  if kind == "nn.module" then return "model" end
  if kind == "nn.tensor" then return "nn" end
  if kind == "data part" or kind == "batches" then return "data.part" end
  if kind == "data set" then return "data" end
  for name, field in pairs(nn) do
    if field == value and type(value) == "function" then return "nn." .. name end
  end
  for _, name in ipairs(module_names()) do
    local module = package.loaded[name]
    if module ~= nil and module == value then return name end
    for key, field in pairs(type(module) == "table" and module or {}) do
      if field == value and type(value) == "function" then return name .. "." .. key end
    end
  end
end

--- The text on a topic. Raises when there is none, naming the nearest.
---@param topic? string  # none: the overview
---@return string
function M.text(topic)
  topic = topic or "overview"
  local found = find(topic)
  if found then return found end
  local several = called(topic)
  if #several == 1 then return find(several[1]) end
  if #several > 1 then error(('help: "%s" is one of %s'):format(topic, table.concat(several, ", ")), 0) end
  local nearest = spec.nearest(topic, known(topic))
  error(('help: no topic "%s"; %s'):format(topic, nearest and ('did you mean "%s"?'):format(nearest)
    or "without a topic, help lists them"), 0)
end

return setmetatable(M, {
  __call = function(_, value)
    if value == "" then value = nil end
    local topic = value
    if value ~= nil and type(value) ~= "string" then
      topic = name_of(value)
      if not topic then error("help: nothing is written about this " .. type(value), 2) end
    end
    io.stdout:write(M.text(topic))
  end,
})
