--- Folders of pictures, one folder for each class: with a training part and others, or all in one; and Tiny ImageNet,
--- whose validation pictures lie flat beside a list of their classes.
local folder = require "data.folder"
local index = require "data.index"
local lfs = require "lfs"
local nn = require "nn"

local M = { about = "a folder of pictures for each class", options = { test = true } }

local format = string.format

-- ---- what a folder holds ----

---@param name string
---@return boolean
function M.is_picture(name)
  local ending = name:match("^[^.].*%.(%a+)$")
  ending = ending and ending:lower()
  return ending == "jpg" or ending == "jpeg" or ending == "png"
end

-- Is there a picture in the folder, or in one of its folders?
local function holds_pictures(path, depth)
  local ok, iterate, state = pcall(lfs.dir, path)
  if not ok then return false end
  local inner = {}
  for name in iterate, state do
    if M.is_picture(name) then return true end
    if depth > 0 and name:sub(1, 1) ~= "." and #inner < 4 and folder.is_folder(path .. "/" .. name) then
      inner[#inner + 1] = path .. "/" .. name
    end
  end
  for _, below in ipairs(inner) do
    if holds_pictures(below, depth - 1) then return true end
  end
  return false
end

--- The folders in `path` that hold pictures for a class each: their names, or nil when the first ones do not.
---@param path string?
---@return string[]?
function M.classes_in(path)
  if not path or not folder.is_folder(path) then return nil end
  local names = folder.list(path)
  for i = 1, math.min(#names, 8) do
    if holds_pictures(path .. "/" .. names[i], 1) then return names end
  end
end

local part_names = {
  train = { "train", "training" },
  test = { "test", "testing" },
  validation = { "val", "valid", "validation" },
}

--- The parts below a folder by what they are called, those that hold classes: { train =, test =, validation = } paths.
---@param where string
---@return table
function M.parts_in(where)
  local parts = {}
  for part, names in pairs(part_names) do
    for _, name in ipairs(names) do
      if not parts[part] and M.classes_in(where .. "/" .. name) then parts[part] = where .. "/" .. name end
    end
  end
  return parts
end

local function recognise_tiny(where)
  local train, annotations = where .. "/train", where .. "/val/val_annotations.txt"
  if not folder.is_file(where .. "/wnids.txt") then return nil end
  if not folder.is_folder(train) and not folder.is_folder(where .. "/val") then return nil end
  local foldered = not folder.is_file(annotations) and not folder.is_folder(where .. "/val/images")
    and M.classes_in(where .. "/val")
  return { kind = "tiny", folder = where, train = train, test = foldered and where .. "/val" or where .. "/val/images",
           annotations = not foldered and annotations or nil, watch = { train, where .. "/val" },
           missing = not folder.is_folder(train) and train
             or not foldered and not folder.is_file(annotations) and annotations or nil }
end

--- What the folder holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  local tiny = recognise_tiny(where)
  if tiny then return tiny end
  local found = M.parts_in(where)
  found.kind, found.folder, found.watch = "folders", where, {}
  if not found.test then found.test, found.validation = found.validation, nil end
  if not found.train and not found.test then
    local inner = where .. "/images"
    found.train = M.classes_in(where) and where or M.classes_in(inner) and inner or nil
    if not found.train then return nil end
    found.single = true
  elseif not found.train then
    found.missing = where .. "/train"
  end
  for _, part in ipairs { "train", "test", "validation" } do found.watch[#found.watch + 1] = found[part] end
  found.wrong = options.test and found.test and folder.has_test(where, found.test)
  return found
end

-- ---- reading ----

--- A part of a scanned folder; classes as given, or as the folder's names are.
---@param name string
---@param root string
---@param classes? string[]
---@return table
function M.read_part(name, root, classes)
  local files = index.scan(root, classes)
  return { name = name, files = files, labels = files:labels() }
end

-- "n01440764<tab>tench, Tinca tinca", as words.txt has it: the first name of each. Two classes of one name are told
-- apart by their ids.
local function first_names(ids, names)
  local list, count = {}, {}
  for i, id in ipairs(ids) do
    list[i] = names[id] or id
    count[list[i]] = (count[list[i]] or 0) + 1
  end
  for i, id in ipairs(ids) do
    if count[list[i]] > 1 and list[i] ~= id then list[i] = format("%s (%s)", list[i], id) end
  end
  return list
end

local name_files = { "words.txt", "LOC_synset_mapping.txt", "classes.tsv" }

--- Names for WordNet ids, from a list of them beside the pictures (words.txt and its kin), or the ids themselves.
---@param where string
---@param ids string[]
---@param known? table<string, string>
---@return string[]
function M.word_names(where, ids, known)
  local names = known or {}
  for _, file in ipairs(name_files) do
    local path = where .. "/" .. file
    if not next(names) and folder.is_file(path) then
      for _, line in ipairs(folder.must(folder.lines(path))) do
        local id, words = line:match("(n%d%d%d%d%d%d%d%d)%s+(.+)$")
        if id then names[id] = words:match("^[^,]+"):gsub("_", " ") end
      end
    end
  end
  return first_names(ids, names)
end

-- val_annotations.txt: picture, class, and a box, apart by tabs.
local function read_annotations(found, ids)
  local label, seen, paths, labels = {}, {}, {}, {}
  for i, id in ipairs(ids) do label[id] = i end
  for number, line in ipairs(folder.must(folder.lines(found.annotations))) do
    local name, id = line:match("^([^\t]+)\t([^\t]+)")
    if not name or name:find("/", 1, true) then
      error(format('%s: line %d: a picture\'s name, a tab and a class expected, found "%s"', found.annotations, number,
        folder.shown(line)), 0)
    end
    if not label[id] then
      error(format("%s: line %d: %s is not one of the %d classes in wnids.txt", found.annotations, number,
        folder.shown(id), #ids), 0)
    end
    if seen[name] then
      error(format("%s: line %d: %s is there twice", found.annotations, number, folder.shown(name)), 0)
    end
    seen[name] = true
    paths[number], labels[number] = name, label[id]
  end
  local there, _, files = 0, folder.list(found.test)
  for _, name in ipairs(files) do
    if M.is_picture(name) then
      there = there + 1
      if not seen[name] then
        error(format("%s names %d pictures, %s is not one of them", found.annotations, #paths,
          found.test .. "/" .. folder.shown(name)), 0)
      end
    end
  end
  if there < #paths then
    error(format("%s names %d pictures, %s holds %d", found.annotations, #paths, found.test, there), 0)
  end
  local files_of = nn.files.new(found.test, paths, labels)
  return { name = "test", files = files_of, labels = files_of:labels() }
end

local function read_tiny(found)
  local path = found.folder .. "/wnids.txt"
  local ids, seen = folder.must(folder.lines(path)), {}
  for i, id in ipairs(ids) do
    if not id:find("^n%d%d%d%d%d%d%d%d$") then
      error(format('%s: line %d: a WordNet id such as n02124075 expected, found "%s"', path, i, folder.shown(id)), 0)
    end
    if seen[id] then error(format("%s: line %d: %s is there twice", path, i, id), 0) end
    seen[id] = true
    if not folder.is_folder(found.train .. "/" .. id) then
      error(format("%s/%s is missing, a class in %s", found.train, id, path), 0)
    end
  end
  if #ids == 0 then error(path .. ": WordNet ids expected, one a line, it is empty", 0) end
  table.sort(ids) -- as class folders are, not as wnids.txt lists them
  return { train = M.read_part("train", found.train, ids),
           test = found.annotations and read_annotations(found, ids) or M.read_part("test", found.test, ids),
           class_names = M.word_names(found.folder, ids), class_ids = ids }
end

--- The set in these folders. The classes of all parts are those of the training part.
---@param found table
---@return table
function M.read(found)
  if found.kind == "tiny" then return read_tiny(found) end
  local set = { train = M.read_part("train", found.train) }
  set.class_names = set.train.files:classes()
  for _, part in ipairs { "test", "validation" } do
    if found[part] then set[part] = M.read_part(part, found[part], set.class_names) end
  end
  return set
end

return M
