--- Where data sets are: the folders that names are looked for in, and what a folder or file holds.
local cards = require "data.cards"
local folder = require "data.folder"
local hash = require "hash"
local lfs = require "lfs"
local places = require "places"
local unpack = require "data.unpack"

local M = {}

local format, concat = string.format, table.concat

-- The folder of the running program.
local function program_folder()
  local link = lfs.symlinkattributes("/proc/self/exe", "target")
  if not link and arg then
    local first = 0
    while arg[first - 1] do first = first - 1 end
    link = arg[first]
  end
  return link and folder.parent(link) or "."
end

--- The folders that a data set's name is looked for in, in order.
---@return string[]
function M.folders()
  local list = {}
  for one in (os.getenv("PENUMBRA_DATA") or ""):gmatch("[^:]+") do list[#list + 1] = one end
  list[#list + 1] = places.data()
  -- The sample that comes with the program: installed beside bin/, or in the source tree above build/<variant>/.
  local prefix = folder.parent(program_folder())
  list[#list + 1] = prefix .. "/share/penumbra/examples/data"
  list[#list + 1] = folder.parent(prefix) .. "/examples/data"
  return list
end

--- The readers, in the order they are asked; each has recognise(path, options), read(found, options), about and the
--- options that are its own.
M.kinds = {
  idx = require "data.idx", cifar = require "data.cifar", svhn = require "data.svhn", arrays = require "data.arrays",
  imagenet = require "data.imagenet", folders = require "data.folders",
}
M.kinds.tiny = M.kinds.folders
local order = { "idx", "cifar", "svhn", "arrays", "imagenet", "folders" }

-- Where the archives of the official sets put their files, below the folder that was named.
local inner = {
  "", "/cifar-100-binary", "/cifar-10-batches-bin", "/raw", "/MNIST/raw", "/FashionMNIST/raw", "/KMNIST/raw", "/gzip",
  "/CIFAR-10-C", "/CIFAR-100-C", "/tiny-imagenet-200", "/ILSVRC/Data/CLS-LOC", "/imagenet",
}

-- The one archive in a folder; several are no answer.
local function archive_in(where)
  local archives = {}
  local _, files = folder.list(where)
  for _, name in ipairs(files) do
    if unpack.is_archive(where .. "/" .. name) then archives[#archives + 1] = name end
  end
  if #archives == 1 then return where .. "/" .. archives[1] end
  return nil, archives
end

-- What lies in this very folder. Of several kinds the one that is there whole; two whole ones are no answer.
-- (ImageNet's folders are folders of pictures too.)
local function recognise_here(where, options)
  local first, whole, imagenet
  for _, kind in ipairs(order) do
    local found = not imagenet and M.kinds[kind].recognise(where, options)
    if found then
      imagenet = kind == "imagenet"
      first = first or found
      if not found.missing and whole then
        whole.wrong = format("%s holds %s and %s: a folder with one set expected", where, M.kinds[whole.kind].about,
          M.kinds[found.kind].about)
      elseif not found.missing then
        whole = found
      end
    end
  end
  return whole or first
end

--- What a folder or file holds: { kind, folder, ..., missing = a path that should be there, wrong = a message }, or
--- nil.
---@param path string
---@param options? table
---@return table?
function M.recognise(path, options)
  options = options or {}
  if unpack.is_archive(path) then return { kind = "archive", folder = path, files = { path }, path = path } end
  for _, below in ipairs(inner) do
    local where = path .. below
    local found = (below == "" or folder.is_folder(where)) and recognise_here(where, options)
    if found then
      found.path = path
      return found
    end
  end
  local archive = folder.is_folder(path) and archive_in(path)
  if archive then return { kind = "archive", folder = archive, files = { archive }, path = archive } end
end

--- The paths of a found set's own files; not those of folders of pictures.
---@param found table
---@return string[]
function M.files_of(found)
  local paths = {}
  local function add_all(list)
    for _, path in pairs(type(list) == "table" and list or { type(list) == "string" and list or nil }) do
      paths[#paths + 1] = path
    end
  end
  add_all(found.files)
  for _, which in ipairs { "train", "test", "extra" } do add_all(found[which]) end
  return paths
end

-- What tells whether it is still the same: the size of its files; of folders of pictures, when they and those in them
-- were changed.
local function add_size(found)
  local times = {}
  if found.watch then
    for _, path in pairs(found.watch) do
      times[#times + 1] = format("%s %s", path, lfs.attributes(path, "modification"))
      for _, name in ipairs((folder.list(path))) do
        times[#times + 1] = format("%s %s", name, lfs.attributes(path .. "/" .. name, "modification"))
      end
    end
    table.sort(times)
    found.changed = hash.sha256(concat(times, "\n")):sub(1, 16)
  else
    found.bytes = 0
    for _, path in ipairs(M.files_of(found)) do found.bytes = found.bytes + (lfs.attributes(path, "size") or 0) end
  end
  return found
end

--- What `data.open` found so far in this process, by the name it was asked for: { folder =, bytes =, changed = }. A run
--- records it, because a name may stand for other files tomorrow. Folders of pictures have no bytes but a text made of
--- the times at which they changed.
M.opened = {}

--- Does the name still stand for the same files?
---@param name string
---@param was { folder: string, bytes?: integer, changed?: string }
---@return boolean
function M.same(name, was)
  local found = M.locate(name)
  return found ~= nil and found.folder == was.folder and found.bytes == was.bytes
    and found.changed == was.changed
end

-- Is it one of a set's files, in the folder that should have been named?
local function is_of_set(path)
  for _, kind in ipairs { "idx", "cifar", "svhn", "arrays" } do
    if M.kinds[kind].recognise(folder.parent(path), {}) then return true end
  end
  return false
end

-- What is there instead of a data set.
local function instead(path)
  local mode = lfs.attributes(path, "mode")
  if mode == "file" and is_of_set(path) then return path .. " (a file of the set in its folder: name the folder)" end
  if mode == "file" then return path .. " (a file)" end
  if mode ~= "directory" then return path end
  if not pcall(lfs.dir, path) then return path .. " (a folder that cannot be read)" end
  local folders, files = folder.list(path)
  return format("%s (a folder with %s and %s)", path, folder.some(folders, "folder"), folder.some(files, "file"))
end

-- What lies in a folder under a name or known name spelt in another way: "CIFAR-10-C", "cifar10-c.tar.gz".
local function spellings(where, name, known)
  local found = {}
  for _, list in ipairs { folder.list(where) } do
    for _, other in ipairs(list) do
      local plain = other ~= name and cards.plain(other)
      if plain == cards.plain(name) or plain == cards.plain(known) then found[#found + 1] = other end
    end
  end
  return found
end

--- The data set of a name or path, or nil and where it was looked for, with what is there instead.
---@param name string
---@param options? table
---@return table? found, string[] looked
function M.locate(name, options)
  local looked = {}
  if name:find("/") then
    looked[1] = name:gsub("(.)/+$", "%1")
  else
    local _, known = cards.find(name)
    for _, where in ipairs(M.folders()) do
      looked[#looked + 1] = where .. "/" .. name
      for _, other in ipairs(spellings(where, name, known or name)) do looked[#looked + 1] = where .. "/" .. other end
    end
  end
  for i, path in ipairs(looked) do
    local found = lfs.attributes(path) and M.recognise(path, options)
    if found then return add_size(found), looked end
    looked[i] = instead(path)
  end
  return nil, looked
end

--- What is expected, in one line.
---@return string
function M.expected()
  local kinds = {}
  for i, kind in ipairs(order) do kinds[i] = M.kinds[kind].about end
  return concat(kinds, ", ") .. ", or one archive of these"
end

return M
