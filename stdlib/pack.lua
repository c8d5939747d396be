--- Packs: a run or a study as one small file, NAME.penumbra, for others to read and repeat. `penumbra pack RUN` and
--- `penumbra verify PACK` are these functions.
---
--- A pack is a .zip. A run's files lie in it under their names in the run's folder: the recipe with its includes, what
--- it says of itself, resolved parameters, plan, environment, metrics, results, items, tables, figures, the report; the
--- weights when asked for. A study's files do too, and those of its runs below runs/NAME/. The runs that others start
--- from lie below starts/NAME/, always with their weights: each run can be repeated from those it had, on any machine,
--- and they can be repeated, too. manifest.json names every file with its size and SHA-256, and the data sets with a
--- digest of theirs. Paths of the machine on which it was made are left out. The same folder gives the same bytes.
---
--- A pack from a stranger is safe to open: it is unpacked under limits into a folder of its own, what is not as the
--- manifest says is refused, and the recipe is read in the sandbox.
local digest = require "data.digest"
local file = require "file"
local find = require "data.find"
local folder_of = require "run.folder"
local hash = require "hash"
local host = require "host"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local spec = require "spec"
local text = require "text"

local M = {}

local format, concat = string.format, table.concat

local VERSION <const> = 1

-- ---- what is packed ----

local needed = { "recipe.lua", "params.json", "plan.txt", "environment.json", "metrics.jsonl", "results.json" }
local needed_of_study = { "study.lua", "recipe.lua", "environment.json", "results.json" }
local plain = { "about.json", "environment.json", "items.json", "metrics.jsonl", "params.json", "plan.txt",
                "recipe.lua", "report.html", "report.txt", "results.json", "settings.json", "study.lua",
                "timing.jsonl" }
local folders = { "figures", "includes", "tables" }
local WEIGHTS <const> = "model.safetensors"

-- The weights that were measured, and, where they are others, the best ones.
local function weight_files(folder)
  local list = {}
  if lfs.symlinkattributes(folder .. "/" .. WEIGHTS, "mode") == "file" then list[1] = WEIGHTS end
  for _, name in ipairs(file.names(folder .. "/best")) do
    if name:find "%.safetensors$" then list[#list + 1] = "best/" .. name end
  end
  return list
end

local function read_table(path)
  local value, message, code = json.read(path)
  if type(value) == "table" then return value end
  return nil, value == nil and message or path .. ": an object expected", code or "format"
end

-- ---- without the paths of this machine ----

local pretty = { pretty = true }

local cleaners = {
  ["results.json"] = function(value)
    for _, was in pairs(type(value.data) == "table" and value.data or {}) do
      if type(was) == "table" then was.folder = nil end
    end
    if type(value.training) == "table" then value.training.skipped_names = nil end
    for _, run in ipairs(type(value.runs) == "table" and value.runs or {}) do
      if type(run.folder) == "string" then run.folder = "runs/" .. select(2, file.split(run.folder)) end
    end
  end,
  ["about.json"] = function(value)
    for _, about in ipairs { value, type(value.recipe) == "table" and value.recipe or nil } do
      if type(about.path) == "string" then about.path = select(2, file.split(about.path)) end
    end
  end,
}

-- A member's bytes; those of weights stay on the disk.
local function member_of(folder, head, name)
  local path = folder .. "/" .. name
  if name:find "%.safetensors$" then
    local sum, message, code = hash.sha256_file(path)
    if not sum then return nil, message, code end
    return { name = head .. name, file = path, sha256 = sum, bytes = lfs.attributes(path, "size") }
  end
  local bytes, message, code
  if cleaners[name] then
    local value
    value, message, code = read_table(path)
    if not value then return nil, message, code end
    cleaners[name](value)
    bytes = json.encode(value, pretty) .. "\n"
  else
    bytes, message, code = file.read(path)
    if not bytes then return nil, message, code end
  end
  return { name = head .. name, text = bytes, sha256 = hash.sha256(bytes), bytes = #bytes }
end

local function add_members(members, folder, head, weights)
  local names = {}
  for _, name in ipairs(plain) do
    if lfs.symlinkattributes(folder .. "/" .. name, "mode") == "file" then names[#names + 1] = name end
  end
  for _, below in ipairs(folders) do
    for _, name in ipairs(file.below(folder .. "/" .. below)) do names[#names + 1] = below .. "/" .. name end
  end
  for _, name in ipairs(weights and weight_files(folder) or {}) do names[#names + 1] = name end
  for _, name in ipairs(names) do
    local member, message, code = member_of(folder, head, name)
    if not member then return nil, message, code end
    members[#members + 1] = member
  end
  return true
end

-- ---- is it whole? ----

-- What keeps a folder from being packed, in words; nil when nothing does.
local function lack(folder, list)
  local missing = {}
  for _, name in ipairs(list) do
    if lfs.attributes(folder .. "/" .. name, "mode") ~= "file" then missing[#missing + 1] = name end
  end
  if #missing > 0 then return "it has no " .. concat(missing, ", ") end
  local results, message = read_table(folder .. "/results.json")
  if not results then return message end
  if list == needed then
    local plan_text = file.read(folder .. "/plan.txt") or ""
    if results.plan_hash ~= hash.sha256((plan_text:gsub("\n$", ""))) then
      return "its plan.txt is not the plan of its results.json"
    end
  end
end

-- The digests of the data sets that the runs were made with, as far as they are still the same.
local function add_data(into, data)
  for _, name in ipairs(spec.names(type(data) == "table" and data or {})) do
    if not into[name] then
      if not find.same(name, data[name]) then
        return nil, format("data set %s is not here as the run used it", name)
      end
      local found, message = digest.named(name)
      if not found then return nil, message end
      into[name] = found
    end
  end
  return true
end

-- ---- writing ----

-- The folder of the run whose weights a run has begun with, nil when there is none; or nil, message: it is not as it
-- was.
local function start_folder(folder)
  local said = (read_table(folder .. "/results.json") or {}).start
  if type(said) ~= "table" then return nil end
  local name = type(said.run) == "string" and said.run:find(spec.FILE_NAME) and said.run
  if not name then return nil, folder .. "/results.json: start: a run's name expected" end
  local path = folder_of.beside(folder, name)
  local sum = hash.sha256_file(path .. "/" .. WEIGHTS)
  if not sum then
    return nil, format("%s: starts from %s, which is not here: making the run again makes it, too", folder, name)
  elseif sum ~= said.sha256 then
    return nil, format("%s: starts from the weights %s of %s, which has others now: %s", folder,
      tostring(said.sha256):sub(1, 12), name, sum:sub(1, 12))
  end
  return path
end

-- Puts the names and folders of what a run starts from into state.starts, each after the one that it starts from.
local function find_starts(state, folder)
  local path, message = start_folder(folder)
  if message and not state.force then return nil, message, "state" end
  local _, name = file.split(path or "")
  if not path or state.starts[name] then return true end
  state.starts[name] = path
  local ok, code
  ok, message, code = find_starts(state, path)
  if not ok then return nil, message, code end
  state.starts[#state.starts + 1] = name
  return true
end

-- Adds a run's members; what keeps it from being packed whole is an error, unless forced.
local function add_run(state, folder, head)
  local holder = host.locked(folder .. "/lock")
  if holder then return nil, format("%s: is being made: held by %s", folder, holder), "busy" end
  local problem = lack(folder, needed)
  if problem and not state.force then
    return nil, format("%s: is not complete: %s; penumbra resume goes on with it", folder, problem), "state"
  end
  local _, name = file.split(folder)
  local ok, message, code = add_members(state.members, folder, head, state.weights or state.starts[name] ~= nil)
  if not ok then return nil, message, code end
  local results = read_table(folder .. "/results.json") or {}
  -- What the weights are, also when they stay here.
  state.models[name] = hash.sha256_file(folder .. "/" .. WEIGHTS)
  ok, message = add_data(state.data, results.data)
  if not ok and not state.force then
    return nil, format("%s: %s; with --force the pack will not say what data it was", folder, message), "state"
  end
  return results
end

-- Adds the starts that are not among the runs of `seen`; gives their names.
local function add_starts(state, seen)
  local names = json.array()
  for _, name in ipairs(state.starts) do
    if not seen[name] then
      local results, message, code = add_run(state, state.starts[name], "starts/" .. name .. "/")
      if not results then return nil, message, code end
      names[#names + 1] = name
    end
  end
  return names
end

local function add_study(state, folder)
  local problem = lack(folder, needed_of_study)
  if problem and not state.force then
    return nil, format("%s: is not complete: %s; running the study again goes on with it", folder, problem), "state"
  end
  local ok, message, code = add_members(state.members, folder, "", false)
  if not ok then return nil, message, code end
  local results, names, paths = read_table(folder .. "/results.json") or {}, json.array(), {}
  for _, run in ipairs(type(results.runs) == "table" and results.runs or {}) do
    local recorded = type(run) == "table" and type(run.folder) == "string" and run.folder
    local path = recorded and folder_of.of_study(folder, recorded)
    local _, name = file.split(path or "")
    if path and not paths[name] then
      paths[name], names[#names + 1] = path, name
      ok, message, code = find_starts(state, path)
      if not ok then return nil, message, code end
    end
  end
  for _, name in ipairs(names) do
    ok, message, code = add_run(state, paths[name], "runs/" .. name .. "/")
    if not ok then return nil, message, code end
  end
  return results, names, paths
end

-- A run, with what it starts from.
local function add_one(state, folder)
  local ok, message, code = find_starts(state, folder)
  if not ok then return nil, message, code end
  return add_run(state, folder, "")
end

local write_fields = { out = spec.text(), weights = spec.flag { default = false },
                       force = spec.flag { default = false } }

-- Only another archive is written over: the name may have been meant for something else.
local function may_write(path)
  local mode = lfs.attributes(path, "mode")
  if not mode then return true end
  local start = mode == "file" and io.open(path, "rb")
  local first = start and start:read(2)
  if start then start:close() end
  if first == "PK" then return true end
  return nil, format("%s: is there already, and is no pack", path), "io"
end

local function title_of(folder)
  local about = read_table(folder .. "/about.json") or {}
  return type(about.title) == "string" and about.title or nil, type(about.name) == "string" and about.name or nil
end

---@class PackInfo
---@field path string
---@field kind "run"|"study"
---@field bytes integer   # of the file
---@field files integer
---@field runs integer
---@field starts integer  # beside these, runs that they start from
---@field data string[]   # names of the data sets whose digests it has

--- Packs the folder of a complete run or study into one file, by default NAME.penumbra in the current folder. `weights`
--- adds the best and the last weights; `force` packs what is there of a run that is not complete.
---
--- Example:
---     pack.write "runs/none-00000000"  --> nil  runs/none-00000000: no run or study is there  io
---@param folder string
---@param options? { out?: string, weights?: boolean, force?: boolean }
---@return PackInfo? info, string? message, string? code
function M.write(folder, options)
  options = spec.check("pack.write", options, write_fields)
  folder = folder:gsub("(.)/+$", "%1")
  local kind = folder_of.kind(folder)
  if not kind then return nil, folder .. ": no run or study is there", "io" end
  local _, name = file.split(folder)
  local path = options.out or name .. ".penumbra"
  local fine, problem, why = may_write(path)
  if not fine then return nil, problem, why end
  local state = { members = {}, data = {}, models = {}, starts = {}, weights = options.weights, force = options.force }
  local results, runs, paths = (kind == "study" and add_study or add_one)(state, folder)
  if not results then return nil, runs, paths end
  local starts, wrong, code = add_starts(state, kind == "study" and paths or {})
  if not starts then return nil, wrong, code end
  local environment = read_table(folder .. "/environment.json") or {}
  local title, recipe = title_of(folder)
  local entries = {}
  for _, member in ipairs(state.members) do
    entries[member.name] = { bytes = member.bytes, sha256 = member.sha256 }
  end
  state.members[#state.members + 1] = { name = "manifest.json", text = json.encode({
    format = "penumbra pack", version = VERSION, kind = kind, name = name, title = title or results.title,
    recipe = recipe or results.recipe, plan_hash = results.plan_hash, program = environment.version,
    weights = options.weights, models = state.models, runs = runs, starts = #starts > 0 and starts or nil,
    data = state.data, entries = entries,
  }, pretty) .. "\n" }
  local written, message
  written, message, code = nn.archive.pack(path, state.members)
  if not written then return nil, message, code end
  return { path = path, kind = kind, bytes = lfs.attributes(path, "size"), files = #state.members,
           runs = runs and #runs or 1, starts = #starts, data = spec.names(state.data) }
end

-- ---- reading ----

local MOST_FILES <const> = 20000
local HARMLESS <const>, EXPANSION <const> = 64 << 20, 100 -- bytes; what texts of numbers pack to at best, and more
local MOST_TEXT <const> = 64 << 20                        -- bytes of a file that is read whole

local digits = spec.text { required = true, pattern = "^%x+$", expects = "hexadecimal digits" }
local count = spec.integer { required = true, min = 0 }
local word = { pattern = spec.FILE_NAME, expects = "a file's name" }
local entry_fields = { bytes = count, sha256 = digits }
local data_fields = { bytes = count, files = count, sha256 = digits, by = spec.choice { "content", "sizes" } }
local manifest_fields = {
  format = spec.text { required = true }, version = spec.integer { required = true },
  kind = spec.choice { "run", "study", required = true }, name = spec.text { required = true },
  title = spec.text(), recipe = spec.text(word), plan_hash = spec.text(), program = spec.text(),
  weights = spec.flag { default = false }, models = spec.table { default = {} },
  runs = spec.list { spec.text(word), default = {} }, starts = spec.list { spec.text(word), default = {} },
  data = spec.table { default = {} }, entries = spec.table { required = true },
}

--- A pack that is open: its files lie in a folder of its own, each as the manifest says.
---@class Pack
---@field path string
---@field folder string    # where its files are, until it is closed
---@field manifest table
local Pack = {}
Pack.__index = Pack
Pack.__name = "Pack"

--- Removes the folder of its files.
---
--- Example:
---     local opened = pack.open "none.penumbra"
---     if opened then opened:close() end
function Pack:close()
  if self.base then file.remove_folder(self.base) end
  self.base = nil
end

Pack.__close, Pack.__gc = Pack.close, Pack.close

local function check_entry(self, name, entry)
  local path, shown = self.folder .. "/" .. name, format("%s: %s", self.path, text.tame(name))
  local bytes = lfs.attributes(path, "size")
  if bytes ~= entry.bytes then
    return nil, format("%s: %s by the manifest, %s found", shown, text.bytes(entry.bytes), text.bytes(bytes))
  end
  local sum, message = hash.sha256_file(path)
  if not sum then return nil, message end
  if sum ~= entry.sha256 then return nil, shown .. ": its SHA-256 is not the one in the manifest" end
  if not name:find "%.safetensors$" and bytes > MOST_TEXT then
    return nil, format("%s: %s, at most %s are read", shown, text.bytes(bytes), text.bytes(MOST_TEXT))
  end
  return true
end

-- Every file is as the manifest says, and there is no other.
local function check_entries(self)
  local entries, there = self.manifest.entries, {}
  for _, name in ipairs(file.below(self.folder, true)) do there[name] = true end
  for _, name in ipairs(spec.names(entries)) do
    if not there[name] then return nil, format("%s: %s: is missing", self.path, text.tame(name)) end
    local entry, problem = spec.examine(entries[name], entry_fields)
    if not entry then
      return nil, format("%s: manifest.json: entries: %s: %s", self.path, text.tame(name), problem)
    end
    local ok, message = check_entry(self, name, entry)
    if not ok then return nil, message end
  end
  for _, name in ipairs(spec.names(there)) do
    if name ~= "manifest.json" and not entries[name] then
      return nil, format("%s: %s: is not in the manifest", self.path, text.tame(name))
    end
  end
  return true
end

local function read_manifest(self)
  local path = self.folder .. "/manifest.json"
  local bytes = lfs.symlinkattributes(path, "mode") == "file" and lfs.attributes(path, "size")
  if not bytes then return nil, self.path .. ": not a pack: it has no manifest.json" end
  if bytes > MOST_TEXT then return nil, self.path .. ": manifest.json: too long" end
  local value, message = json.decode(assert(file.read(path)), self.path .. ": manifest.json")
  if value == nil then return nil, message end
  if type(value) ~= "table" or value.format ~= "penumbra pack" then
    return nil, self.path .. ": not a pack: its manifest.json is something else's"
  elseif value.version ~= VERSION then
    return nil, format("%s: version %s of the format; this program reads version %d", self.path,
      spec.shown(value.version), VERSION)
  end
  for key, field in pairs(value) do
    if field == json.null then value[key] = nil end
  end
  self.manifest, message = spec.examine(value, manifest_fields)
  if not self.manifest then return nil, format("%s: manifest.json: %s", self.path, message) end
  for name, sum in pairs(self.manifest.models) do
    if type(sum) ~= "string" then
      return nil, format("%s: manifest.json: models: %s: a digest expected", self.path, text.tame(name))
    end
  end
  for _, name in ipairs(spec.names(self.manifest.data)) do
    local problem
    self.manifest.data[name], problem = spec.examine(self.manifest.data[name], data_fields)
    if problem then return nil, format("%s: manifest.json: data: %s: %s", self.path, text.tame(name), problem) end
  end
  return true
end

local function unpack_into(path, base)
  local info, message, code = nn.archive.survey(path)
  if not info then return nil, message, code end
  if info.format ~= "zip" then
    return nil, format("%s: a pack is a .zip, this is a .%s", path, info.format), "format"
  elseif info.files > MOST_FILES then
    return nil, format("%s: %s entries, at most %s expected", path, text.count(info.files), text.count(MOST_FILES)),
      "format"
  elseif info.bytes > HARMLESS + EXPANSION * info.packed then
    return nil, format("%s: its %s would unpack to %s, as a bomb does", path, text.bytes(info.packed),
      text.bytes(info.bytes)), "format"
  end
  return nn.archive.unpack(path, base .. "/pack", info)
end

--- Opens a pack: unpacks it into a folder of its own and checks every file against the manifest. A file that is
--- damaged, hostile or no pack gives nil, message, code. Close it, or keep it in a `<close>` variable: its folder goes
--- then.
---
--- Example:
---     pack.open "none.penumbra"  --> nil  none.penumbra: No such file or directory  io
---@param path string
---@return Pack? pack, string? message, string? code
function M.open(path)
  local base, message, code = file.temporary_folder()
  if not base then return nil, message, code end
  local self = setmetatable({ path = path, base = base, folder = base .. "/pack" }, Pack)
  local ok
  ok, message, code = unpack_into(path, base)
  if ok then
    code = "format"
    ok, message = read_manifest(self)
  end
  if ok then ok, message = check_entries(self) end
  if ok then return self end
  self:close()
  return nil, text.tame(message, 1000), code
end

--- Verifies a pack: repeats what it holds, and compares. See pack/verify.lua.
---
--- Example:
---     pack.verify "none.penumbra"  --> nil  none.penumbra: No such file or directory  io
---@param path string
---@param options? { steps?: integer, out?: string, allow?: string[], quiet?: boolean, say?: fun(line: string) }
---@return PackVerdict? verdict, string? message, string? code
function M.verify(path, options)
  return require "pack.verify"(path, options)
end

return M
