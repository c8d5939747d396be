--- What `make bench` times: each case by name, for Penumbra (work.lua) and for torch (peer_torch.py) alike.
---
--- A case is a network on images of side x side x channels, and the work done with one batch:
---   train        forward, mean cross-entropy, backward, Adam
---   continuity   the same on clean and perturbed images as one joint batch, with 1.0 * the continuity constraint; the
---                perturbed images are made beforehand, in both programs
---   pgd          PGD-10: evaluation mode, frozen weights, random start, ten steps of 2/255 in a ball of 8/255 (L-inf)
---   adversarial  pgd, then train on what it found
---   infer        forward in evaluation mode
---   jitter       brightness, contrast, saturation and hue in torchvision's convention; ours draws the numbers for each
---                image, torch's functions take one for the batch
---
--- Other cases prepare images, each program in one thread (torch's DataLoader without workers, which spares it the copy
--- from another process), from files or bytes to a batch of floats in [0, 1]. A step is `batch` images.
---   decode       the JPEGs of imagenet-sample: random resized crop to 224, flip. The step is all 200 of them
---   centre       the same files: short side to 256, the middle 224
---   batches      CIFAR-100's images in memory: random crop (padding 4), flip
--- Here "stock" is Pillow's images through torchvision's transforms, as its ImageFolder and CIFAR classes do, and
--- "tuned" torchvision.io's decoder and transforms v2 on tensors of bytes. "scaled" lets JPEG decode to a half, a
--- quarter or an eighth where that leaves enough, which gives other pixels; the peer decodes in full.
---
--- The case autoattack is the whole ensemble (100 iterations, 5000 queries) on the first test images of MNIST, against
--- a LeNet-5 that was trained to resist it; the peer is torchattacks', whose own 10 iterations are set to 100.
---
--- `peers` are the ways torch runs it (see peer_torch.py), `rounds` how often each program gets its turn.

local ALL <const> = { "stock", "tuned", "bfloat16", "compiled" }

---@class BenchCase
---@field name string
---@field title string
---@field network string
---@field stem? string
---@field classes integer
---@field side integer
---@field channels integer
---@field batch integer
---@field work string
---@field peers string[]
---@field rounds integer
---@field data? string      # what it needs below PENUMBRA_DATA; run by work_PROGRAM.lua and peer_PROGRAM.py
---@field program? string
---@field threads? integer  # whatever is asked for
---@field scaled? boolean

local cases = {}

local function add(network, work, fields)
  cases[#cases + 1] = {
    name = fields.name, title = fields.title, network = network, work = work, stem = fields.stem,
    classes = fields.classes or 100, side = fields.side or 32, channels = fields.channels or 3,
    batch = fields.batch or 128, peers = fields.peers or ALL, rounds = fields.rounds or 7,
  }
end

local function resnet18(work, title, rounds)
  add("resnet18", work, { name = "resnet18-" .. work, title = "ResNet-18, " .. title, stem = "cifar", rounds = rounds })
end

resnet18("train", "training step")
resnet18("continuity", "continuity step")
resnet18("pgd", "PGD-10", 3)
resnet18("adversarial", "adversarial training step", 3)
resnet18("infer", "inference")
add("resnet18", "train", { name = "imagenet-stem-train", title = "ResNet-18 with ImageNet's stem, training step",
                           stem = "imagenet" })
for _, network in ipairs { "resnet8", "lenet" } do
  add(network, "train", { name = network .. "-train", classes = 10, side = 28, channels = 1, batch = 64,
                          title = (network == "lenet" and "LeNet" or "ResNet-8") .. ", 28x28x1, training step" })
end
for _, work in ipairs { "train", "infer" } do
  add("resnet50", work, { name = "resnet50-" .. work, stem = "imagenet", classes = 1000, side = 224, batch = 16,
                          title = "ResNet-50, 224x224, " .. (work == "train" and "training step" or "inference") })
end
add("none", "jitter", { name = "jitter", title = "colour jitter, four operations", peers = { "stock", "tuned" } })

local function add_data(work, fields)
  add("none", work, fields)
  local case = cases[#cases]
  case.data, case.program, case.scaled, case.threads = fields.data, "data", fields.scaled, 1
end

local PREPARED <const> = { "stock", "tuned" }
for _, scaled in ipairs { false, true } do
  add_data("decode", { name = scaled and "decode-scaled" or "decode", data = "imagenet-sample/images", side = 224,
                       title = "JPEG, random resized crop, flip" .. (scaled and ", decoded scaled" or ""),
                       batch = 200, peers = PREPARED, scaled = scaled })
end
add_data("centre", { name = "centre", data = "imagenet-sample/images", side = 224, batch = 200, peers = PREPARED,
                     title = "JPEG, resize, centre crop" })
add_data("batches", { name = "batches", data = "cifar100", batch = 128, peers = PREPARED,
                      title = "CIFAR batches, random crop, flip" })

add("none", "autoattack", { name = "autoattack", title = "AutoAttack, MNIST, LeNet-5", classes = 10, side = 28,
                            channels = 1, batch = 100, peers = { "torchattacks" }, rounds = 1 })
cases[#cases].data, cases[#cases].program = "weights/mnist_lenet5_advtrained.pt", "attack"

return cases
