--- ImageNet (ILSVRC 2012): training pictures in folders by WordNet id; validation pictures in such folders too, or
--- flat, as they are published, with the development kit's list of their classes.
---
--- The kit counts classes in an order of its own. Its meta.mat says which id has which number, and the labels here are
--- those of the ids in sorted order, as every published network has them.
local folder = require "data.folder"
local folders = require "data.folders"
local nn = require "nn"

local M = { about = "ImageNet's folders", options = { devkit = true, test = true } }

local format = string.format

local CLASSES = 1000
local train_names = { "train", "ILSVRC2012_img_train" }
local val_names = { "val", "validation", "ILSVRC2012_img_val" }
local kit_names = { "ILSVRC2012_devkit_t12/data", "devkit/data", "ILSVRC2012_devkit_t12", "devkit" }
local TRUTH = "ILSVRC2012_validation_ground_truth.txt"

local function are_ids(names)
  for _, name in ipairs(names or {}) do
    if not name:find("^n%d%d%d%d%d%d%d%d$") then return false end
  end
  return names ~= nil and #names > 0
end

local function with_ids(where, names)
  for _, name in ipairs(names) do
    local path = where .. "/" .. name
    if folder.is_folder(path) and are_ids((folder.list(path))) then return path end
  end
end

-- A flat folder of ILSVRC2012_val_00000001.JPEG and on.
local function flat(where)
  for _, name in ipairs(val_names) do
    local path = where .. "/" .. name
    if folder.is_folder(path) then
      local inner, files = folder.list(path)
      if #inner == 0 and #files > 0 and files[1]:find("^ILSVRC2012_val_%d+%.%a+$") then return path end
    end
  end
end

local function development_kit(where, options)
  if options.devkit then
    local inner = options.devkit .. "/data"
    return folder.is_file(inner .. "/meta.mat") and inner or options.devkit
  end
  for _, name in ipairs(kit_names) do
    if folder.is_file(where .. "/" .. name .. "/meta.mat") then return where .. "/" .. name end
  end
end

--- What the folder holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  if folder.is_file(where .. "/wnids.txt") then return nil end -- Tiny ImageNet
  local train, test, loose = with_ids(where, train_names), with_ids(where, val_names), flat(where)
  local found = { kind = "imagenet", folder = where, train = train, test = test or loose, flat = not test and loose }
  if not train and not found.test then
    local inner = { where, where .. "/images" }
    for _, path in ipairs(inner) do
      if not found.train and are_ids((folder.list(path))) then found.train = path end
    end
    if not found.train then return nil end
  end
  found.watch = { found.train or found.test, found.test }
  if found.flat then
    found.kit = development_kit(where, options)
    if not found.kit or not folder.is_file(found.kit .. "/meta.mat") then
      found.missing = (found.kit or where .. "/" .. kit_names[1]) .. "/meta.mat, for the classes of " .. loose .. ","
    elseif not folder.is_file(found.kit .. "/" .. TRUTH) then
      found.missing = found.kit .. "/" .. TRUTH
    end
  elseif options.devkit then
    found.kit = development_kit(where, options)
  end
  found.wrong = options.test and found.test and folder.has_test(where, found.test)
  return found
end

-- The kit's table: ids by number, and a name for each id.
local function read_meta(kit)
  local path = kit .. "/meta.mat"
  local by_number, names = {}, {}
  for row, synset in ipairs(folder.must(nn.data.mat_table(path, "synsets"))) do
    local number, id = math.tointeger(tonumber(synset.ILSVRC2012_ID)), synset.WNID
    if not number or not id or not id:find("^n%d%d%d%d%d%d%d%d$") then
      error(format("%s: synsets(%d): a number ILSVRC2012_ID and a WNID such as n01440764 expected, found "
        .. '"%s" and "%s"', path, row, folder.shown(tostring(synset.ILSVRC2012_ID)), folder.shown(tostring(id))), 0)
    end
    -- What follows the 1,000 classes are groups of them.
    if number >= 1 and number <= CLASSES then
      if by_number[number] then
        error(format("%s: synsets(%d): number %d is there twice", path, row, number), 0)
      end
      by_number[number] = id
      names[id] = (synset.words or id):match("^[^,]+")
    end
  end
  return by_number, names
end

-- The flat validation pictures: the number in a file's name is the line of its class in the ground truth.
local function read_flat(found, by_number, ids)
  local truth = found.kit .. "/" .. TRUTH
  local lines = folder.must(folder.lines(truth))
  local label, paths, labels = {}, {}, {}
  for i, id in ipairs(ids) do label[id] = i end
  local _, files = folder.list(found.flat)
  for _, name in ipairs(files) do
    if folders.is_picture(name) then
      local line = math.tointeger(tonumber(name:match("^ILSVRC2012_val_(%d+)%.%a+$")))
      if not line then
        error(format("%s/%s: names such as ILSVRC2012_val_00000001.JPEG expected", found.flat, folder.shown(name)), 0)
      end
      local number = lines[line] and math.tointeger(tonumber(lines[line]))
      if not number or number < 1 or number > CLASSES then
        error(format("%s: line %d, the class of %s: 1 to %d expected, found %s", truth, line, name, CLASSES,
          lines[line] and '"' .. folder.shown(lines[line]) .. '"' or "the end"), 0)
      end
      local id = by_number[number]
      if not id then
        error(format("%s/meta.mat has no class number %d (%s: line %d)", found.kit, number, truth, line), 0)
      end
      if label[id] then -- of a part of the classes, when the training folders have only these
        paths[#paths + 1], labels[#labels + 1] = name, label[id]
      end
    end
  end
  if #paths == 0 then error(format("%s: none of its pictures is of the %d classes", found.flat, #ids), 0) end
  local list = nn.files.new(found.flat, paths, labels)
  return { name = "test", files = list, labels = list:labels() }
end

--- The set in these folders.
---@param found table
---@return table
function M.read(found)
  local set, by_number, names = { crop = { side = 224, resize = 256 } }, nil, nil
  if found.kit then by_number, names = read_meta(found.kit) end
  local ids = {}
  if found.train then
    set.train = folders.read_part("train", found.train)
    ids = set.train.files:classes()
  elseif found.flat then
    for _, id in pairs(by_number) do ids[#ids + 1] = id end
    table.sort(ids)
  end
  if found.flat then
    set.test = read_flat(found, by_number, ids)
  elseif found.test then
    set.test = folders.read_part("test", found.test, found.train and ids or nil)
    ids = set.test.files:classes()
  end
  set.class_ids, set.class_names = ids, folders.word_names(found.folder, ids, names)
  return set
end

return M
