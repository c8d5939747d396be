--- The binary files of CIFAR-10 and CIFAR-100.
local cards = require "data.cards"
local folder = require "data.folder"
local nn = require "nn"

local M = { about = "CIFAR's .bin files", options = { labels = true } }

local COARSE = 20

--- What the folder holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  local hundred = { where .. "/train.bin", where .. "/test.bin" }
  if folder.is_file(hundred[1]) or folder.is_file(hundred[2]) then
    return { kind = "cifar", folder = where, classes = 100, train = { hundred[1] }, test = { hundred[2] },
             missing = not folder.is_file(hundred[1]) and hundred[1] or not folder.is_file(hundred[2]) and hundred[2]
               or nil }
  end
  local train, test = {}, where .. "/test_batch.bin"
  for i = 1, 5 do
    local path = where .. "/data_batch_" .. i .. ".bin"
    if folder.is_file(path) then train[#train + 1] = path end
  end
  if #train == 0 and not folder.is_file(test) then return nil end
  return { kind = "cifar", folder = where, classes = 10, train = train, test = { test },
           missing = #train == 0 and where .. "/data_batch_1.bin" or not folder.is_file(test) and test or nil,
           wrong = options.labels == "coarse" and where .. " holds CIFAR-10, which has no coarse labels" or nil }
end

--- The set in these files. With labels = "coarse" the classes are CIFAR-100's 20 coarse ones.
---@param found table
---@param options table
---@return table
function M.read(found, options)
  local classes = found.classes
  local names = folder.names(found.folder .. "/" .. (classes == 10 and "batches.meta" or "fine_label_names") .. ".txt",
    classes)
  local set = { class_names = names or classes == 10 and cards.list.cifar10.class_names or folder.digits(classes) }
  if classes == 100 then set.coarse_names = folder.names(found.folder .. "/coarse_label_names.txt", COARSE) end
  for _, which in ipairs { "train", "test" } do
    local images, labels, coarse = folder.must(nn.data.cifar(found[which], classes))
    set[which] = { name = which, images = images, labels = labels, coarse = coarse }
  end
  if options.labels == "coarse" then
    set.class_names, set.coarse_names = set.coarse_names or folder.digits(COARSE), nil
    for _, which in ipairs { "train", "test" } do
      set[which].labels, set[which].coarse = set[which].coarse, nil
    end
  end
  return set
end

return M
