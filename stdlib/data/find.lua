--- Where data sets are: the folders that names are looked for in, and what a folder holds.
local lfs = require "lfs"

local M = {}

local function is_folder(path)
  return lfs.attributes(path, "mode") == "directory"
end

local function is_file(path)
  return lfs.attributes(path, "mode") == "file"
end

local function parent(path)
  local above = path:match("^(.*)/[^/]+$")
  return above and (above ~= "" and above or "/") or path .. "/.."
end

-- The folder of the running program.
local function program_folder()
  local link = lfs.symlinkattributes("/proc/self/exe", "target")
  if not link and arg then
    local first = 0
    while arg[first - 1] do first = first - 1 end
    link = arg[first]
  end
  return link and parent(link) or "."
end

--- The folders that a data set's name is looked for in, in order.
---@return string[]
function M.folders()
  local list = {}
  for folder in (os.getenv("PENUMBRA_DATA") or ""):gmatch("[^:]+") do list[#list + 1] = folder end
  local home = os.getenv("HOME")
  local user = os.getenv("XDG_DATA_HOME")
  if not user or user == "" then user = home and home .. "/.local/share" end
  if user then list[#list + 1] = user .. "/penumbra/data" end
  -- The sample that comes with the program: installed beside bin/, or in the source tree above build/<variant>/.
  local prefix = parent(program_folder())
  list[#list + 1] = prefix .. "/share/penumbra/examples/data"
  list[#list + 1] = parent(prefix) .. "/examples/data"
  return list
end

-- Where the archives of the official sets put their files, below the folder that was named.
local inner = { "", "/cifar-100-binary", "/cifar-10-batches-bin", "/raw", "/MNIST/raw" }

local function first_file(folder, names)
  for _, name in ipairs(names) do
    for _, ending in ipairs { "", ".gz" } do
      if is_file(folder .. "/" .. name .. ending) then return folder .. "/" .. name .. ending end
    end
  end
end

local function idx_files(folder)
  local files, found, missing = {}, 0, nil
  for _, part in ipairs { { "train", "train" }, { "test", "t10k" } } do
    for _, kind in ipairs { { "images", "idx3" }, { "labels", "idx1" } } do
      local name = part[2] .. "-" .. kind[1] .. "-" .. kind[2] .. "-ubyte"
      local path = first_file(folder, { name, (name:gsub("%-idx", ".idx")) })
      files[part[1] .. "_" .. kind[1]] = path
      if path then found = found + 1 else missing = missing or folder .. "/" .. name end
    end
  end
  if found > 0 then return { kind = "idx", files = files, missing = missing } end
end

local function cifar_files(folder)
  if is_file(folder .. "/train.bin") or is_file(folder .. "/test.bin") then
    local train, test = folder .. "/train.bin", folder .. "/test.bin"
    return { kind = "cifar", classes = 100, train = { train }, test = { test }, names = "fine_label_names.txt",
             missing = not is_file(train) and train or not is_file(test) and test or nil }
  end
  local train, test = {}, folder .. "/test_batch.bin"
  for i = 1, 5 do
    local path = folder .. "/data_batch_" .. i .. ".bin"
    if is_file(path) then train[#train + 1] = path end
  end
  if #train > 0 or is_file(test) then
    return { kind = "cifar", classes = 10, train = train, test = { test }, names = "batches.meta.txt",
             missing = #train == 0 and folder .. "/data_batch_1.bin" or not is_file(test) and test or nil }
  end
end

--- What a folder holds: { kind, folder, ... , missing = a path that should be there }, or nil when it is no data set.
---@param folder string
---@return table?
function M.recognise(folder)
  for _, below in ipairs(inner) do
    local found = is_folder(folder .. below) and (idx_files(folder .. below) or cifar_files(folder .. below))
    if found then
      found.folder = folder .. below
      return found
    end
  end
end

local function add_sizes(found)
  local bytes = 0
  local function add(path) bytes = bytes + (lfs.attributes(path, "size") or 0) end
  for _, path in pairs(found.files or {}) do add(path) end
  for _, path in ipairs(found.train or {}) do add(path) end
  for _, path in ipairs(found.test or {}) do add(path) end
  found.bytes = bytes
  return found
end

--- What `data.open` found so far in this process, by the name it was asked for: { folder =, bytes = }. A run records
--- it, because a name may stand for other files tomorrow.
M.opened = {}

--- Does the name still stand for the same files?
---@param name string
---@param was { folder: string, bytes: integer }
---@return boolean
function M.same(name, was)
  local found = M.locate(name)
  return found ~= nil and found.folder == was.folder and found.bytes == was.bytes
end

--- The data set of a name or path, or nil and where it was looked for, with what is there instead.
---@param name string
---@return table? found, string[] looked
function M.locate(name)
  local looked = {}
  if not name:find("/") then
    for _, folder in ipairs(M.folders()) do
      looked[#looked + 1] = folder .. "/" .. name
    end
  else
    looked[1] = name:gsub("(.)/+$", "%1")
  end
  for i, folder in ipairs(looked) do
    local found = M.recognise(folder)
    if found then return add_sizes(found), looked end
    if is_folder(folder) then looked[i] = folder .. " (a folder without these files)" end
    if is_file(folder) then looked[i] = folder .. " (a file)" end
  end
  return nil, looked
end

return M
