--- Times one case of ResNet-18 (3x3 stem for 32x32 images, 100 classes) in this process; prints one line of JSON.
--- usage: penumbra scripts/bench/resnet18.lua train|infer [batch=128] [threads=2] [seconds=12]
--- A training step is forward, mean cross-entropy, backward, Adam: what scripts/bench/peer_torch.py does.
local nn, models, loss, optim = require "nn", require "models", require "loss", require "optim"
local json, stats, progress = require "json", require "stats", require "progress"

local CLASSES, SIDE, WARM_UP = 100, 32, 2

local options = { batch = 128, threads = 2, seconds = 12 }
local case = arg[1] or "train"
for i = 2, #arg do
  local key, value = arg[i]:match("^(%l+)=(%d+)$")
  if not options[key] then error("resnet18.lua: batch=N, threads=N or seconds=N expected, got " .. arg[i], 0) end
  options[key] = math.tointeger(value)
end
if case ~= "train" and case ~= "infer" then error("resnet18.lua: train or infer expected, got " .. case, 0) end

-- Most memory this process ever held, in MB; nil where the system does not say.
local function peak_mb()
  local status = io.open("/proc/self/status")
  if not status then return nil end
  local kib = status:read("a"):match("VmHWM:%s*(%d+)")
  status:close()
  return kib and kib / 1024
end

nn.threads(options.threads)
nn.seed(1)
local model = models.resnet18 { classes = CLASSES, stem = "cifar" }
local x = nn.uniform({ options.batch, SIDE, SIDE, 3 }, { seed = 1 })
local labels = {}
for i = 1, options.batch do labels[i] = (i - 1) % CLASSES + 1 end
local y = nn.tensor(labels, { type = "index" })

local objective = loss.cross_entropy()
local opt = optim.adam { model:parameters(), lr = 1e-3 }

local step = {}
function step.train()
  objective(model, x, y):backward()
  opt:step()
end
function step.infer()
  nn.no_grad(model, x)
end

for _ = 1, WARM_UP do step[case]() end
local times, begin = {}, progress.clock()
while #times < 3 or progress.clock() - begin < options.seconds do
  local start = progress.clock()
  step[case]()
  times[#times + 1] = progress.clock() - start
end
local median, info = stats.median(times), nn.info()
print(json.encode {
  case = "resnet18_" .. case, program = "penumbra", version = nn.version, batch = options.batch,
  threads = options.threads, cpu = info.cpu, level = info.level, blas = info.blas, steps = #times,
  ms = 1e3 * median, ms_min = 1e3 * math.min(table.unpack(times)), images_per_second = options.batch / median,
  peak_mb = peak_mb(),
})
