--- NumPy's arrays: pairs of images and labels as .npy files or in one .npz, and CIFAR-10-C.
local cards = require "data.cards"
local folder = require "data.folder"
local nn = require "nn"

local M = { about = "NumPy arrays (x_train.npy and y_train.npy, or their kin)",
            options = { corruption = true, severity = true } }

local format = string.format

-- How the pairs are named: images and labels of each part.
local pairs_of = {
  { "x_train", "y_train", "train" }, { "X_train", "y_train", "train" }, { "train_images", "train_labels", "train" },
  { "images_train", "labels_train", "train" },
  { "x_test", "y_test", "test" }, { "X_test", "y_test", "test" }, { "test_images", "test_labels", "test" },
  { "images_test", "labels_test", "test" },
  { "val_images", "val_labels", "validation" }, { "x_val", "y_val", "validation" },
  { "images", "labels", "train" },
}

local SEVERITIES = 5

-- Which pairs are there, when `has` tells of one name; and what a part lacks that has one half of a pair.
local function find_pairs(has)
  local found, halves, missing, any = {}, {}, nil, false
  for _, pair in ipairs(pairs_of) do
    if has(pair[1]) and has(pair[2]) and not found[pair[3]] then
      found[pair[3]], any = pair, true
    elseif has(pair[1]) ~= has(pair[2]) then
      halves[#halves + 1] = { pair[3], has(pair[1]) and pair[2] or pair[1], has(pair[1]) or pair[2] ~= "labels" }
    end
  end
  -- Beside a whole pair, labels.npy may be of anything.
  for _, half in ipairs(halves) do
    if not found[half[1]] and (not any or half[3]) then missing = missing or half[2] end
  end
  return any and found or nil, missing
end

local function corrupted(where, options)
  local names = {}
  local _, files = folder.list(where)
  for _, name in ipairs(files) do
    local stem = name:match("^([%l_]+)%.npy$")
    if stem and stem ~= "labels" then names[#names + 1] = stem end
  end
  if #names == 0 then return nil end
  local found = { kind = "arrays", folder = where, corruptions = names, files = { where .. "/labels.npy" } }
  local wanted = options.corruption
  if not wanted then
    found.wrong = format('%s holds labels.npy and %s: corruption = "%s" or another of them expected', where,
      folder.some(names, "array"), names[1])
  elseif not folder.is_file(format("%s/%s.npy", where, wanted)) then
    found.wrong = format('%s has no corruption "%s"; it has %s', where, wanted, table.concat(names, ", "))
  end
  found.files[2] = format("%s/%s.npy", where, tostring(wanted))
  return found
end

--- What the folder (or the one .npz) holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  if where:find("%.npz$") and folder.is_file(where) then
    return { kind = "arrays", folder = where, archive = where, files = { where } }
  end
  local function has(name) return folder.is_file(format("%s/%s.npy", where, name)) end
  local found, missing = find_pairs(has)
  if not found and has "labels" then
    local set = corrupted(where, options)
    if set then return set end
  end
  if not found and not missing then return nil end
  local files = {}
  for _, pair in pairs(found or {}) do
    files[#files + 1] = format("%s/%s.npy", where, pair[1])
    files[#files + 1] = format("%s/%s.npy", where, pair[2])
  end
  return { kind = "arrays", folder = where, parts = found, files = files,
           missing = missing and format("%s/%s.npy", where, missing) }
end

-- uint8 [N,H,W] or [N,H,W,C], or float in [0, 1] -> uint8 [N,H,W,C].
local function images_of(path, t)
  local shape = t.shape
  local sizes = "[" .. table.concat(shape, ", ") .. "]"
  if #shape == 4 and shape[4] ~= 1 and shape[4] ~= 3 and (shape[2] == 1 or shape[2] == 3) then
    error(format("%s: images [N, height, width, channels] expected, found %s: this looks like channels before the "
      .. "sides; save it as x.transpose(0, 2, 3, 1)", path, sizes), 0)
  end
  if #shape < 3 or #shape > 4 or shape[1] == 0 or #shape == 4 and shape[4] ~= 1 and shape[4] ~= 3 then
    error(format("%s: images [N, height, width] or [N, height, width, 1 or 3] expected, found %s", path, sizes), 0)
  end
  if t.type == "float" then
    local low, high = t:min():item(), t:max():item()
    if not (low >= 0 and high <= 1) then
      error(format("%s: uint8, or float from 0 to 1 expected, found float from %g to %g", path, low, high), 0)
    end
    t = nn.data.bytes(t)
  elseif t.type ~= "uint8" then
    error(format("%s: images of uint8, or of float from 0 to 1, expected, found %s", path, t.type), 0)
  end
  if #shape == 3 then t = t:reshape { shape[1], shape[2], shape[3], 1 } end
  return t
end

-- Whole numbers [N] or [N,1] -> a list of them, from 0.
local function labels_of(path, t, count)
  local shape = t.shape
  if #shape == 2 and shape[2] == 1 then t, shape = t:reshape { shape[1] }, { shape[1] } end
  if #shape ~= 1 or t.type == "float" then
    error(format("%s: labels [N] of integers expected, found %s [%s]", path, t.type, table.concat(shape, ", ")), 0)
  end
  if shape[1] ~= count then
    error(format("%s: %d labels expected, one for each image, found %d", path, count, shape[1]), 0)
  end
  local list = t:tolist()
  for i, label in ipairs(list) do
    if label < 0 or label >= 1 << 20 then
      error(format("%s: label %d: 0 or more expected, found %d", path, i - 1, label), 0)
    end
  end
  return list
end

local function load_part(name, images_path, labels_path, load)
  local images = images_of(images_path, folder.must(load(images_path)))
  local list = labels_of(labels_path, folder.must(load(labels_path)), images.shape[1])
  return { name = name, images = images, list = list, path = labels_path }
end

-- Classes as the training labels have them; nobody else's may be larger.
local function number_classes(set, card)
  local classes = 0
  local first = set.train or set.test
  local where = first.path
  for _, label in ipairs(first.list) do classes = math.max(classes, label + 1) end
  if card and card.class_names and #card.class_names >= classes then classes = #card.class_names end
  for _, which in ipairs { "train", "validation", "test" } do
    local part = set[which]
    if part then
      local labels = {}
      for i, label in ipairs(part.list) do
        if label >= classes then
          error(format("%s: label %d: 0 to %d expected, as in %s, found %d", part.path, i - 1, classes - 1, where,
            label), 0)
        end
        labels[i] = label + 1
      end
      part.labels, part.list, part.path = nn.tensor(labels, { type = "index" }), nil, nil
    end
  end
  set.class_names = card and card.class_names and #card.class_names == classes and card.class_names
    or folder.digits(classes)
  return set
end

-- <corruption>.npy holds five severities, one after the other, of the same images.
local function read_corrupted(found, options)
  local part = load_part(options.corruption, found.files[2], found.files[1], nn.npy.load)
  local card = cards.of(found.folder) or cards.of(found.path)
  local severity, count = options.severity, #part.list
  if severity then
    if count % SEVERITIES ~= 0 then
      error(format("%s: %d images cannot be %d severities of one set", found.files[2], count, SEVERITIES), 0)
    end
    local each = count // SEVERITIES
    local first = (severity - 1) * each + 1
    part.images = part.images:slice(1, first, first + each - 1):clone()
    part.list = table.move(part.list, first, first + each - 1, 1, {})
    part.name = format("%s.%d", part.name, severity)
  end
  if not card then
    local largest = 0
    for _, label in ipairs(part.list) do largest = math.max(largest, label) end
    card = largest < 10 and cards.list.cifar10 or nil
  end
  return number_classes({ test = part }, card)
end

--- The set in these files.
---@param found table
---@param options table
---@return table
function M.read(found, options)
  if found.corruptions then return read_corrupted(found, options) end
  local set, parts, load, where = {}, found.parts, nn.npy.load, function(name)
    return format("%s/%s.npy", found.folder, name)
  end
  if found.archive then
    local arrays = folder.must(nn.npz.load(found.archive))
    local missing
    parts, missing = find_pairs(function(name) return arrays[name] ~= nil end)
    if not parts then
      local names = {}
      for name in pairs(arrays) do names[#names + 1] = name end
      table.sort(names)
      error(format("%s: x_train and y_train, or train_images and train_labels, expected, found %s%s", found.archive,
        folder.some(names, "array"), missing and ", " .. missing .. " is missing" or ""), 0)
    end
    where = function(name) return found.archive .. ": " .. name end
    load = function(path) return arrays[path:sub(#found.archive + 3)] end
  end
  for which, pair in pairs(parts) do set[which] = load_part(which, where(pair[1]), where(pair[2]), load) end
  return number_classes(set, cards.of(found.folder) or cards.of(found.path))
end

return M
