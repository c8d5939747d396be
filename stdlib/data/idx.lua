--- IDX files: MNIST, Fashion-MNIST, KMNIST, and EMNIST with its several splits.
local cards = require "data.cards"
local folder = require "data.folder"
local nn = require "nn"

local M = { about = "IDX files", options = { split = true } }

local format = string.format
local core = nn.data

local fields = {
  { "train_images", "train", "images-idx3-ubyte" }, { "train_labels", "train", "labels-idx1-ubyte" },
  { "test_images", "test", "images-idx3-ubyte" }, { "test_labels", "test", "labels-idx1-ubyte" },
}

-- The file of that name, raw or gzipped; some copies write ".idx3" for "-idx3".
local function find_file(where, name)
  for _, one in ipairs { name, (name:gsub("%-idx", ".idx")) } do
    for _, ending in ipairs { "", ".gz" } do
      if folder.is_file(where .. "/" .. one .. ending) then return where .. "/" .. one .. ending end
    end
  end
end

-- Files whose names start with `train` and `test`; nil when none of them is there.
local function find_files(where, train, test)
  local files, found, missing = {}, 0, nil
  for _, field in ipairs(fields) do
    local name = (field[2] == "train" and train or test) .. "-" .. field[3]
    local path = find_file(where, name)
    files[field[1]] = path
    if path then found = found + 1 else missing = missing or where .. "/" .. name end
  end
  if found > 0 then return { kind = "idx", folder = where, files = files, missing = missing } end
end

-- The splits of EMNIST that are there, by the names of their files.
local function splits_in(where)
  local splits, seen = {}, {}
  local _, files = folder.list(where)
  for _, name in ipairs(files) do
    local split = name:match("^emnist%-(%l+)%-%l+%-%l+[-.]idx%d%-ubyte")
    if split and not seen[split] then
      seen[split] = true
      splits[#splits + 1] = split
    end
  end
  return splits
end

--- What the folder holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  local found = find_files(where, "train", "t10k")
  if found then
    if options.split then found.wrong = format('%s holds one set of IDX files: it has no split "%s"', where,
      options.split) end
    return found
  end
  local splits = splits_in(where)
  if #splits == 0 then return nil end
  local split = options.split or #splits == 1 and splits[1]
  local start = "emnist-" .. tostring(split)
  found = split and find_files(where, start .. "-train", start .. "-test")
  if not found then
    return { kind = "idx", folder = where, files = {}, wrong = format('%s holds the splits %s of EMNIST: split = "%s" '
      .. "or another of them expected%s", where, table.concat(splits, ", "), splits[1],
      split and format(', got "%s"', split) or "") }
  end
  found.split = split
  return found
end

-- Lines of a label and the character codes it stands for, as emnist-letters-mapping.txt has them.
local function read_mapping(path)
  local names, first = {}, nil
  for number, line in ipairs(folder.must(folder.lines(path))) do
    local label, code = line:match("^(%d+)%s+(%d+)")
    label, code = math.tointeger(tonumber(label)), math.tointeger(tonumber(code))
    if not code or code > 0x10FFFF then
      error(format('%s: line %d: a label and a character code expected, found "%s"', path, number,
        folder.shown(line)), 0)
    end
    first = first or label
    names[label - first + 1] = utf8.char(code)
  end
  return names, first
end

local function read_pair(images, labels, classes)
  return folder.must(core.idx_pair(images, labels, classes))
end

-- EMNIST's pictures lie on their sides, its letters are counted from 1.
local function as_emnist(found, part, names, first)
  local list = part.labels:tolist()
  for i = 1, #list do
    list[i] = list[i] - first
    if list[i] < 1 or list[i] > #names then
      error(format("%s: label of record %d: %d to %d expected, as in the mapping, found %d", part.path, i - 1, first,
        first + #names - 1, list[i] + first - 1), 0)
    end
  end
  part.labels = nn.tensor(list, { type = "index" })
  part.images = part.images:transpose(2, 3):clone()
  part.name = found.split .. "." .. part.name
end

--- The set in these files.
---@param found table
---@return table
function M.read(found)
  local files = found.files
  local train, test = { name = "train", path = files.train_labels }, { name = "test", path = files.test_labels }
  local classes
  train.images, train.labels, classes = read_pair(files.train_images, files.train_labels)
  test.images, test.labels = read_pair(files.test_images, files.test_labels, classes)
  local a, b = train.images.shape, test.images.shape
  if a[2] ~= b[2] or a[3] ~= b[3] or a[4] ~= b[4] then
    error(format("%s holds images of %dx%dx%d, %s of %dx%dx%d", files.train_images, a[2], a[3], a[4],
      files.test_images, b[2], b[3], b[4]), 0)
  end
  local names
  if found.split then
    local first
    local mapping = format("%s/emnist-%s-mapping.txt", found.folder, found.split)
    if folder.is_file(mapping) then
      names, first = read_mapping(mapping)
    else
      first = found.split == "letters" and 1 or 0
      names = folder.digits(classes - first)
    end
    as_emnist(found, train, names, first)
    as_emnist(found, test, names, first)
  end
  local card = cards.of(found.folder) or cards.of(found.path)
  if not names then names = card and card.class_names and #card.class_names == classes and card.class_names end
  return { train = train, test = test, class_names = names or folder.digits(classes) }
end

return M
