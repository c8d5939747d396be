--- One of the cases of cases.lua that prepare images, as Penumbra does it.
--- usage: penumbra scripts/bench/work_data.lua CASE batch=N threads=N FOLDER
---
--- The loader has no workers: the calling thread does all. turns.lua says how it is told; peer_data.py does the same
--- for torchvision.
local data, nn, perturb = require "data", require "nn", require "perturb"
local part = require "data.part"
local turns = require "turns"

local BATCH <const> = 50 -- of the photographs

local name, batch, threads, folder = arg[1], tonumber(arg[2]:match "%d+"), tonumber(arg[3]:match "%d+"), arg[4]
local case
for _, c in ipairs(require "cases") do
  if c.name == name then case = c end
end
nn.threads(threads)
local start_mb = turns.memory_mb "VmRSS"

local function photographs()
  local files = assert(nn.files.scan(folder))
  return part.new { name = "photographs", files = files, labels = files:labels(), classes = #files:classes(),
                    class_names = files:classes(), shape = { 224, 224, 3 }, fit = { resize = 256 } }
end

local steps = {}

-- All files once.
local function pass(augment)
  local set, epoch = photographs(), 0
  set = set:take(math.min(batch, #set))
  return function()
    epoch = epoch + 1
    for _ in set:batches { size = BATCH, epoch = epoch, augment = augment, workers = 0, scaled = case.scaled } do end
  end
end

function steps.decode() return pass(perturb.random_resized_crop() >> perturb.flip()) end
function steps.centre() return pass() end

-- One batch; the epochs follow each other.
function steps.batches()
  local set, epoch, next_batch = data.open(folder).train, 0, nil
  local augment = perturb.random_crop { padding = 4 } >> perturb.flip()
  return function()
    if next_batch and next_batch() then return end
    epoch = epoch + 1
    next_batch = set:batches { size = batch, shuffle = true, epoch = epoch, augment = augment, drop_last = true }
    next_batch()
  end
end

turns.serve(steps[case.work](), { start_mb = start_mb, parameters = 0 })
