--- What attacks are compared on: the networks of scripts/dev/attack_fixtures.py and their images.
local data, file, nn = require "data", require "file", require "nn"
local reference = require "parity.reference"

local M = {}

local BATCH <const> = 100

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"

-- A published network by its file: how to build it, and the file's path if PENUMBRA_DATA has it.
local function published(name)
  local kind = dofile(here .. "/../weights/" .. (name:match "^resnet20" or "lenet5") .. ".lua")
  for folder in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
    local path = folder .. "/weights/" .. name
    if file.exists(path) then return kind, path end
  end
  return kind
end

--- A table of peers' figures: fixtures/NAME.lua.
---@param name string
---@return table
function M.figures(name) return dofile(here .. "/fixtures/" .. name .. ".lua") end

--- Is the network there? "drawn" always is.
---@param name string
---@return boolean
function M.there(name) return name == "drawn" or select(2, published(name)) ~= nil end

--- A network: "drawn" has the weights of reference.parameter, others those of a file in PENUMBRA_DATA.
---@param name string
---@return Model
function M.network(name)
  local kind, path = published(name)
  local model = kind.build()
  if name ~= "drawn" then
    assert(model:load(path or error("PENUMBRA_DATA has no weights/" .. name, 0), kind.options))
    return model
  end
  for place, t in pairs(model:state()) do
    t:copy(reference.parameter(1, (place:gsub("^fc", "linear")), t.shape))
  end
  return model
end

--- The test images of a published network's data set.
---@param name string
---@return Part
function M.part(name) return data.open(published(name).data).test end

--- Test images that a network is asked about, and their labels: those of the given numbers, or so many from the first.
---@param name string
---@param which integer|integer[]
---@return Tensor x, Tensor y
function M.images(name, which)
  local numbers = type(which) == "table" and which
  local count = numbers and numbers[#numbers] or which
  local x, y
  if name == "drawn" then
    x, y = reference.uniform(1, "attack/x", { count, 28, 28, 1 }, 0, 1), reference.index(1, "attack/y", count, 10)
  else
    x, y = M.part(name):batches { size = count }()
  end
  if not numbers then return x, y end
  local places = nn.tensor(numbers, { type = "index" })
  return nn.data.rows(x, places), nn.data.rows(y, places)
end

--- The images the model gets right: a list of booleans.
---@param model Model
---@param x Tensor
---@param y Tensor
---@return boolean[]
function M.right(model, x, y)
  local said, labels, right = nn.no_grad(model, x):argmax(2):tolist(), y:tolist(), {}
  for i, label in ipairs(labels) do right[i] = said[i] == label end
  return right
end

--- A row of fixtures/attack_pgd.lua in words.
---@param row table
---@return string
function M.title(row)
  local eps = row.norm == "linf" and row.net:match "^resnet20" and ("%g/255"):format(row.eps * 255)
    or ("%g"):format(row.eps)
  return ("%s, %s, eps %s, %d steps of %.3g%s"):format(row.net:match "^[^.-]+", row.norm, eps, row.iters, row.step,
    row.start and ", random start" or "")
end

--- Our PGD at a row's settings, on the first images: which ones it leaves right.
---@param row table
---@param count integer
---@return boolean[]
function M.pgd(row, count)
  local model, right = M.network(row.net), {}
  local x, y = M.images(row.net, count)
  local options = { norm = row.norm, eps = row.eps, step = row.step, iters = row.iters, seed = 1,
                    start = row.start and "uniform" or "none" }
  for first = 1, count, BATCH do
    local last = math.min(first + BATCH - 1, count)
    options.offset = first - 1
    local labels = y:slice(1, first, last)
    local found = nn.attack.run("pgd", model, x:slice(1, first, last), labels, options)
    table.move(M.right(model, found, labels), 1, last - first + 1, first, right)
  end
  return right
end

return M
