--- SVHN's cropped digits: MATLAB 5 files, train_32x32.mat, test_32x32.mat and extra_32x32.mat; or one such file.
local folder = require "data.folder"
local nn = require "nn"

local M = { about = "SVHN's .mat files", options = { extra = true } }

--- What the folder (or the one file) holds of it, or nil.
---@param where string
---@param options table
---@return table?
function M.recognise(where, options)
  if where:find("%.mat$") and folder.is_file(where) then
    return { kind = "svhn", folder = where, train = where }
  end
  local train, test, extra = where .. "/train_32x32.mat", where .. "/test_32x32.mat", where .. "/extra_32x32.mat"
  if not folder.is_file(train) and not folder.is_file(test) then return nil end
  return { kind = "svhn", folder = where, train = train, test = test, extra = options.extra and extra or nil,
           missing = not folder.is_file(train) and train or not folder.is_file(test) and test
             or options.extra and not folder.is_file(extra) and extra or nil }
end

--- The set in these files; with extra = true, the extra digits come after the training ones.
---@param found table
---@return table
function M.read(found)
  local set = { class_names = folder.digits(10) }
  for _, which in ipairs { "train", "test" } do
    if found[which] then
      local images, labels = folder.must(nn.data.svhn(found[which]))
      set[which] = { name = which, images = images, labels = labels }
    end
  end
  if found.extra then
    local images, labels = folder.must(nn.data.svhn(found.extra))
    set.train.images = nn.cat({ set.train.images, images }, 1)
    set.train.labels = nn.cat({ set.train.labels, labels }, 1)
  end
  return set
end

return M
