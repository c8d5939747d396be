---@meta nn
--- Tensors, gradients, random numbers, threads, memory; operations (help ops) and layers (help layers).
---
--- Images are [N x H x W x C], floats in [0, 1]; axes, rows, places and classes count from 1. What is computed from
--- tensors that require a gradient is recorded, and t:backward() goes back through it.
---
--- Example:
---     w = nn.tensor({ 2 }, { requires_grad = true })
---     loss = (w * 3 - 1):square():sum()
---     loss:backward()
---     w.grad:item()  --> 30.0

local nn = {}

-- ---- making tensors ----

--- A tensor of the numbers in a list, of lists in a list and so on; of one number, a tensor without axes. type: float
--- (the default; 32 bits), uint8, int32, or index, whose values are written, read and printed from 1. Raises when the
--- lists differ in length.
---
--- Example:
---     nn.tensor { { 1, 2 }, { 3, 4 } }
---     --> float [2x2]  min 1  mean 2.5  max 4
---     -->           1         2
---     -->           3         4
---     nn.tensor({ 1, 2 }, { type = "index" }).type  --> index
---@param values number|table
---@param options? { type?: "float"|"uint8"|"int32"|"index", requires_grad?: boolean }
---@return Tensor
function nn.tensor(values, options) end

--- A tensor of zeros. An index tensor's zeros are the first places, and read as 1.
---
--- Example:
---     nn.zeros({ 2, 3 }).shape  --> { 2, 3 }
---@param sizes integer[]
---@param options? { type?: "float"|"uint8"|"int32"|"index", requires_grad?: boolean }
---@return Tensor
function nn.zeros(sizes, options) end

--- A tensor of ones.
---
--- Example:
---     nn.ones({ 3 }):tolist()  --> { 1.0, 1.0, 1.0 }
---@param sizes integer[]
---@param options? { type?: "float"|"uint8"|"int32"|"index", requires_grad?: boolean }
---@return Tensor
function nn.ones(sizes, options) end

--- A tensor of one value.
---
--- Example:
---     nn.full({ 3 }, 0.5):tolist()  --> { 0.5, 0.5, 0.5 }
---@param sizes integer[]
---@param value number
---@param options? { type?: "float"|"uint8"|"int32"|"index", requires_grad?: boolean }
---@return Tensor
function nn.full(sizes, value, options) end

---@class RandomOptions
---@field seed? integer     # without it the session's next one (nn.seed)
---@field stream? integer   # 0: numbers of one seed and different streams are unrelated
---@field requires_grad? boolean  # false

---@class UniformOptions: RandomOptions
---@field low? number   # 0
---@field high? number  # 1

---@class NormalOptions: RandomOptions
---@field mean? number       # 0
---@field deviation? number  # 1

--- Random numbers, evenly from low to high. Equal seeds and streams give equal numbers, on any machine and with any
--- number of threads.
---
--- Example:
---     nn.uniform({ 3 }, { seed = 1 }):tolist()  --> { 0.89026, 0.58573, 0.672 }
---@param sizes integer[]
---@param options? UniformOptions
---@return Tensor
function nn.uniform(sizes, options) end

--- Normally distributed random numbers, as nn.uniform draws them.
---
--- Example:
---     x = nn.normal({ 10000 }, { mean = 5, deviation = 2, seed = 1 })
---     x:mean():item()      --> 4.9774
---     x:variance():item()  --> 3.9889
---@param sizes integer[]
---@param options? NormalOptions
---@return Tensor
function nn.normal(sizes, options) end

--- The places 1 to count in random order.
---
--- Example:
---     nn.permutation(5, 1):tolist()  --> { 3, 5, 1, 4, 2 }
---@param count integer
---@param seed integer
---@param stream? integer  # 0
---@return Tensor          # of type index, [count]
function nn.permutation(count, seed, stream) end

-- ---- random numbers ----

--- One number in [0, 1), a function of its arguments alone.
---
--- Example:
---     nn.random(1, 0, 1)  --> 0.672
---@param seed integer
---@param stream? integer  # 0
---@param index? integer   # 0
---@return number
function nn.random(seed, stream, index) end

--- A seed made from a seed: other streams and indices give seeds that have nothing to do with each other.
---
--- Example:
---     nn.derive(1, 7) == nn.derive(1, 7), nn.derive(1, 7) == nn.derive(1, 8)  --> true  false
---@param seed integer
---@param stream? integer  # 0
---@param index? integer   # 0
---@return integer
function nn.derive(seed, stream, index) end

--- The session's seed, from which everything draws that is given none. With a number sets it and starts its draws
--- again.
---
--- Example:
---     nn.seed(3)
---     a = nn.uniform { 1 }:item()
---     nn.seed(3)
---     nn.uniform { 1 }:item() == a  --> true
---@param seed? integer
---@return integer seed
function nn.seed(seed) end

--- The session's next derived seed.
---
--- Example:
---     nn.next_seed() == nn.next_seed()  --> false
---@return integer
function nn.next_seed() end

--- The session's seed and how many draws were made from it; with a table sets both, to go on where a session was.
---
--- Example:
---     state = nn.random_state()
---     a = nn.normal { 1 }:item()
---     nn.random_state(state)
---     nn.normal { 1 }:item() == a  --> true
---@param state? { seed: integer, draws: integer }
---@return { seed: integer, draws: integer }
function nn.random_state(state) end

-- ---- gradients ----

--- What f(...) returns; nothing inside is recorded for gradients.
---
--- Example:
---     w = nn.ones({ 2 }, { requires_grad = true })
---     nn.no_grad(function() return (w * 2).requires_grad end)  --> false
---@param f function
---@param ... any
---@return any
function nn.no_grad(f, ...) end

--- What f(...) returns; inside, also within nn.no_grad, operations are recorded as far as they depend on x, which
--- requires a gradient. All other leaves, such as a model's parameters, are as if frozen.
---
--- Example:
---     model = nn.Linear(2, 1)
---     x = nn.ones({ 1, 2 }, { requires_grad = true })
---     nn.with_leaf(x, model, x):sum():backward()
---     #x.grad, model:parameters()[1].grad  --> 1  nil
---@param x Tensor
---@param f function
---@param ... any
---@return any
function nn.with_leaf(x, f, ...) end

--- Are operations recorded now? (Not inside nn.no_grad.)
---
--- Example:
---     nn.grad_enabled()            --> true
---     nn.no_grad(nn.grad_enabled)  --> false
---@return boolean
function nn.grad_enabled() end

--- Scales the gradients of all tensors so that their norm together is at most the limit. Optimisers do so in each step
--- when told (optim.adam{ clip_norm = 1 }).
---
--- Example:
---     w = nn.tensor({ 3, 4 }, { requires_grad = true })
---     (w * w):sum():backward()
---     nn.clip_grad_norm({ w }, 1)  --> 10.0
---     w.grad:tolist()              --> { 0.6, 0.8 }
---@param tensors Tensor[]
---@param limit number
---@return number norm  # before
function nn.clip_grad_norm(tensors, limit) end

--- Cuts every element of the tensors' gradients to [-limit, limit].
---
--- Example:
---     w = nn.tensor({ 3, -0.1 }, { requires_grad = true })
---     (w * w):sum():backward()
---     nn.clip_grad_value({ w }, 1)
---     w.grad:tolist()  --> { 1.0, -0.2 }
---@param tensors Tensor[]
---@param limit number
function nn.clip_grad_value(tensors, limit) end

--- average = decay * average + (1 - decay) * tensor, pair by pair. optim.average keeps one for a model.
---
--- Example:
---     average = nn.zeros { 2 }
---     nn.average_update({ average }, { nn.ones { 2 } }, 0.9)
---     average:tolist()  --> { 0.1, 0.1 }
---@param averages Tensor[]  # changed
---@param tensors Tensor[]
---@param decay number       # from 0 to 1
function nn.average_update(averages, tensors, decay) end

-- ---- files ----

--- A tensor from a .npy file, of float (from any floating type), uint8 or int32 elements.
---
--- Example:
---     assert(nn.npy.save("x.npy", nn.ones { 2, 3 }))
---     nn.npy.load("x.npy").shape  --> { 2, 3 }
---     nn.npy.load "nothing.npy"   --> nil  nothing.npy: No such file or directory  io
---@param path string
---@return Tensor? tensor, string? message, string? code
function nn.npy.load(path) end

--- Writes a .npy file, whole or not at all; index tensors are stored counting from 0.
---
--- Example:
---     nn.npy.save("x.npy", nn.ones { 2, 3 })  --> true
---@param path string
---@param tensor Tensor
---@return boolean? ok, string? message, string? code
function nn.npy.save(path, tensor) end

--- The tensors of a .npz file by their names.
---
--- Example:
---     assert(nn.npz.save("x.npz", { a = nn.ones { 2 }, b = nn.zeros { 3 } }))
---     nn.npz.load("x.npz").b.shape  --> { 3 }
---@param path string
---@return table<string, Tensor>? tensors, string? message, string? code
function nn.npz.load(path) end

--- Writes a .npz file, whole or not at all; index tensors are stored counting from 0.
---
--- Example:
---     nn.npz.save("x.npz", { logits = nn.ones { 2, 10 } })  --> true
---@param path string
---@param tensors table<string, Tensor>
---@return boolean? ok, string? message, string? code
function nn.npz.save(path, tensors) end

---@class TensorFile                  # what a file of weights holds, as it is stored
---@field path string
---@field format string               # "safetensors", "torch zip", "torch stream", "torch tar", "npz"
---@field entries { name: string, dtype: string, shape: integer[] }[]  # in the file's order
---@field values table<string, any>   # numbers, booleans and texts beside the tensors
---@field metadata table<string, string>  # of safetensors
local TensorFile = {}

--- A tensor of the file, in the file's own layout (torch's is OIHW). A name that is not there raises.
---
--- Example:
---     nn.Linear(3, 2):save "fc.safetensors"
---     file = nn.checkpoint.read "fc.safetensors"
---     file:tensor("weight").shape  --> { 2, 3 }
---@param name string
---@return Tensor? tensor, string? message, string? code
function TensorFile:tensor(name) end

--- Lets go of the file; `local file <close> = ...` does so too.
---
--- Example:
---     nn.Linear(3, 2):save "fc.safetensors"
---     nn.checkpoint.read("fc.safetensors"):close()
function TensorFile:close() end

--- Opens a file of weights: safetensors, what torch.save writes (of any version; nothing in it is run), .npz. Tensors
--- are read when they are asked for. For a model see model:load.
---
--- Example:
---     nn.Linear(3, 2):save "fc.safetensors"
---     file = nn.checkpoint.read "fc.safetensors"
---     file.format, #file.entries  --> safetensors  2
---@param path string
---@return TensorFile? file, string? message, string? code
function nn.checkpoint.read(path) end

--- Writes tensors as safetensors, as they are, whole or not at all.
---
--- Example:
---     nn.checkpoint.write("x.safetensors", { { name = "x", tensor = nn.ones { 2 } } }, { made = "by hand" })
---     --> true
---@param path string
---@param list { name: string, tensor: Tensor }[]
---@param metadata? table<string, string>
---@return boolean? ok, string? message, string? code
function nn.checkpoint.write(path, list, metadata) end

-- ---- the machine ----

--- How many threads compute; with a number sets it. Results are the same bits with any number.
---
--- Example:
---     before = nn.threads()
---     nn.threads(1)       --> 1
---     nn.threads(before)
---@param count? integer  # from 1 to 256
---@return integer
function nn.threads(count) end

--- How convolutions round; with a name sets it. "fast" (the default) takes some through Winograd's transforms; with
--- "exact" each result is the sum of its n products, within (8 + sqrt(n)) 2^-24 of the sum of their magnitudes; fast,
--- within ten times that.
---
--- Example:
---     nn.precision()  --> fast
---@param name? "fast"|"exact"
---@return "fast"|"exact"
function nn.precision(name) end

--- Bytes of tensors: live now, peak, cached for reuse, the cap (0: none), and the number of blocks.
---
--- Example:
---     x = nn.zeros { 1024, 1024 }
---     nn.memory.stats().live >= 4 * 1024 * 1024  --> true
---@return { live: integer, peak: integer, cached: integer, cap: integer, blocks: integer }
function nn.memory.stats() end

--- No more memory than this for tensors: what would need more raises. 0 lifts the cap.
---
--- Example:
---     nn.memory.cap(64 * 1024 * 1024)
---     nn.zeros { 8192, 8192 }  --> error: out of memory: 268435456 bytes asked for, ...
---     nn.memory.cap(0)
---@param bytes integer
function nn.memory.cap(bytes) end

--- The peak starts again at what is live now.
---
--- Example:
---     nn.memory.reset_peak()
---     stats = nn.memory.stats()
---     stats.peak == stats.live  --> true
function nn.memory.reset_peak() end

--- Gives memory that is cached for reuse back to the system.
---
--- Example:
---     nn.memory.trim()
---     nn.memory.stats().cached  --> 0
function nn.memory.trim() end

--- How many tensors exist, in scripts and inside models.
---
--- Example:
---     before = nn.live_tensors()
---     x = nn.ones { 2 }
---     nn.live_tensors() - before  --> 1
---@return integer
function nn.live_tensors() end

--- Floating-point operations a second that all threads reach on multiply-adds in registers, measured now, in a fraction
--- of a second: what a speed is a share of.
---
--- Example:
---     nn.peak_flops() > 1e9  --> true
---@return number
function nn.peak_flops() end

--- What this program is and runs on: version, lua, cpu, level (of its vector units), threads, blas, precision ("float",
--- or "double" in the test build), allocator.
---
--- Example:
---     nn.info().version == nn.version  --> true
---@return table<string, string|integer>
function nn.info() end

--- The program's version, as text.
nn.version = ""

-- ---- the rows ----

---@class Row
---@field name string
---@field signature string  # "x:tensor size:integer >=1 {stride:integer? >=1}"
---@field doc string
---@field returns? string   # of operations
---@field example? string

--- The rows of the operations: name, signature, doc, returns, example, check (cases for the gradient test),
--- differentiable, args.
---
--- Example:
---     nn.ops()[1].name  --> add
---@return Row[]
function nn.ops() end

--- The rows of the layers.
---
--- Example:
---     nn.layers()[1].name  --> Conv2d
---@return Row[]
function nn.layers() end

--- The rows of the optimisers; optim.sgd, optim.adam and optim.adamw are called.
---
--- Example:
---     for _, row in ipairs(nn.methods()) do print(row.name) end
---     --> sgd
---     --> adam
---     --> adamw
---@return Row[]
function nn.methods() end

-- ---- halves of modules written in Lua, and aids of the tests ----

---@package
nn.Optimizer = function() end
---@package
nn.archive = {}
---@package
nn.attack = {}
---@package
nn.data = {}
---@package
nn.files = {}
---@package
nn.image = {}
---@package
nn.json = {}
---@package
nn.perturb = {}
---@package
nn.fetch = function() end
---@package
nn.file_stamp = function() end
---@package
nn.free_bytes = function() end
---@package
nn.sha256 = function() end
---@package
nn.sha256_file = function() end
---@package
nn.write_file = function() end
---@package
nn.plant_error = function() end
---@package
function nn.memory.fail_at() end
---@package
nn.nearest = function() end

-- ---- tensors ----

--- Numbers in axes: float (32 bits), uint8, int32, or index (places, which count from 1). t[i] is row i, a view that
--- shares t's bytes, t[-1] the last; #t is the number of rows. Every operation whose first argument is a tensor is also
--- a method: t:sum(2), t:gt(0), t:reshape({ 2, -1 }).
---
--- Example:
---     t = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
---     #t, t.shape, t[2]:tolist()   --> 2  { 2, 3 }  { 4.0, 5.0, 6.0 }
---     (t * 2 - 1):sum(1):tolist()  --> { 8.0, 12.0, 16.0 }
---@class Tensor
---@field shape integer[]
---@field axes integer             # how many
---@field type "float"|"uint8"|"int32"|"index"
---@field grad? Tensor             # after backward, of a tensor that requires one
---@field requires_grad boolean    # may be assigned
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator pow(Tensor|number): Tensor
---@operator unm: Tensor
---@operator len: integer
local Tensor = { __name = "nn.tensor" }

--- The element at a place, one number for each axis; negative ones count from the end.
---
--- Example:
---     t = nn.tensor { { 1, 2 }, { 3, 4 } }
---     t:get(2, 1), t:get(-1, -1)  --> 3.0  4.0
---     t:get(3, 1)                 --> error: get: position 3 on axis 1 is not in 1..2
---@param ... integer
---@return number
function Tensor:get(...) end

--- Sets the element at a place: t:set(i, j, value). Raises where a gradient needs the old one.
---
--- Example:
---     nn.zeros({ 2, 2 }):set(1, 2, 5):tolist()[1]  --> { 0.0, 5.0 }
---@param ... integer|number  # the place, then the value
---@return Tensor self
function Tensor:set(...) end

--- The number in a tensor of one element.
---
--- Example:
---     nn.tensor({ 2 }):item()   --> 2.0
---     nn.ones({ 2, 3 }):item()  --> error: item: a tensor of one element expected, got [2x3]
---@return number
function Tensor:item() end

--- The numbers as a list, of lists when there are several axes.
---
--- Example:
---     nn.tensor({ { 1, 2 }, { 3, 4 } }):tolist()[2]  --> { 3.0, 4.0 }
---@return table
function Tensor:tolist() end

--- The size of an axis; -1 is the last.
---
--- Example:
---     nn.zeros({ 8, 28, 28, 3 }):size(-1)  --> 3
---@param axis integer
---@return integer
function Tensor:size(axis) end

--- How many elements there are.
---
--- Example:
---     nn.zeros({ 8, 28, 28, 3 }):count()  --> 18816
---@return integer
function Tensor:count() end

--- Sets every element.
---
--- Example:
---     nn.zeros({ 2 }):fill(7):tolist()  --> { 7.0, 7.0 }
---@param value number
---@return Tensor self
function Tensor:fill(value) end

--- Takes over the values of a tensor of the same shape (or one that broadcasts to it).
---
--- Example:
---     t = nn.zeros { 2, 2 }
---     t[1]:copy(nn.tensor { 1, 2 })
---     t
---     --> float [2x2]  min 0  mean 0.75  max 2
---     -->           1         2
---     -->           0         0
---@param other Tensor
---@return Tensor self
function Tensor:copy(other) end

--- A copy with bytes of its own, and without history.
---
--- Example:
---     a = nn.ones { 2 }
---     b = a:clone():fill(0)
---     a:tolist()  --> { 1.0, 1.0 }
---@return Tensor
function Tensor:clone() end

--- The same bytes without history: no gradient flows through it.
---
--- Example:
---     w = nn.ones({ 2 }, { requires_grad = true })
---     w:detach().requires_grad  --> false
---@return Tensor
function Tensor:detach() end

--- A copy with elements of another type. Between index and the others the stored values stay, which count from 0.
---
--- Example:
---     nn.tensor({ 1, 2 }, { type = "index" }):to("float"):tolist()  --> { 0.0, 1.0 }
---@param type "float"|"uint8"|"int32"|"index"
---@return Tensor
function Tensor:to(type) end

--- Goes back through what this tensor was computed from, and adds to the .grad of each tensor that requires one. A
--- tensor of more than one element needs the gradient to begin with. The record is freed unless keep_graph.
---
--- Example:
---     w = nn.tensor({ 1, 2 }, { requires_grad = true })
---     (w * w):sum():backward()
---     w.grad:tolist()  --> { 2.0, 4.0 }
---     (w * w):backward()
---     --> error: backward: a tensor of one element expected, got [2]; pass the gradient to start from
---     (w * w):backward(nn.ones { 2 })
---     w.grad:tolist()  --> { 4.0, 8.0 }
---@param gradient? Tensor  # of this tensor's shape; 1 for one element
---@param options? { keep_graph?: boolean }
function Tensor:backward(gradient, options) end

--- Keeps the gradient of a tensor that was computed, which backward otherwise lets go.
---
--- Example:
---     w = nn.ones({ 2 }, { requires_grad = true })
---     y = (w * 3):retain_grad()
---     y:sum():backward()
---     y.grad:tolist()  --> { 1.0, 1.0 }
---@return Tensor self
function Tensor:retain_grad() end

--- Forgets the gradient; the next backward begins a new one.
---
--- Example:
---     w = nn.ones({ 2 }, { requires_grad = true })
---     w:sum():backward()
---     w:clear_grad()
---     w.grad  --> nil
function Tensor:clear_grad() end

--- Gives the bytes back now, not when the collector comes by; so does `local t <close> = ...`. Using t then raises.
---
--- Example:
---     t = nn.ones { 2 }
---     t:free()
---     t:sum()  --> error: use of freed tensor
function Tensor:free() end

-- ---- models ----

--- A layer, or layers put together: nn.Conv2d(3, 16), nn.Sequential{ ... }, models.resnet18{ ... }. Call it with a
--- batch: model(x) is evaluation; model:train(f) and model:forward(x, { training = true }) train. Parameters have
--- paths, "layer1.0.conv1.weight", and prefixes of these name parts of a model. A script may hang fields of its own on
--- it.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1, seed = 1 }
---     model(nn.zeros { 2, 28, 28, 1 }).shape  --> { 2, 10 }
---     model.kind, model.classes               --> lenet  10
---@class Model
---@field kind? string           # of a model made by models.NAME: the name
---@field options? table         # and what it was called with
---@field classes? integer
---@field class_names? string[]  # kept by model:save
---@operator call(Tensor): Tensor
local Model = { __name = "nn.module" }

--- The model's output, and the tapped layers: for each name in taps a tensor with the activation there and, after
--- backward, its gradient in .grad. training = true: batch norm by the batch's statistics, dropout on; with
--- update = false as well, the running statistics stay as they are. seed is of dropout's draws. composed = true goes
--- layer by layer through the tape, as taps do, instead of by one plan for the whole model.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1, seed = 1 }
---     y, taps = model:forward(nn.ones { 2, 28, 28, 1 }, { taps = { "relu2" } })
---     taps.relu2.shape  --> { 2, 10, 10, 16 }
---     model:forward(nn.ones { 2, 28, 28, 1 }, { taps = { "conv9" } })
---     --> error: forward: the model has no layer "conv9"
---@param x Tensor
---@param options? { training?: boolean, update?: boolean, taps?: string[], seed?: integer, composed?: boolean }
---@return Tensor y, table<string, Tensor> taps
function Model:forward(x, options) end

--- What f(...) returns; inside, model(x) runs in training mode: batch norm by the batch's statistics, dropout on.
---
--- Example:
---     layer = nn.Dropout()
---     layer:train(function() return layer(nn.ones { 1000 }):eq(0):sum():item() > 0 end)  --> true
---@param f function
---@param ... any
---@return any
function Model:train(f, ...) end

--- The parameters, in the order of the model; with a prefix those of a part of it.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1 }
---     #model:parameters(), #model:parameters "fc3"  --> 10  2
---@param prefix? string
---@return Tensor[]
function Model:parameters(prefix) end

--- The parameters with their paths.
---
--- Example:
---     nn.Linear(3, 2):named_parameters()[1].name  --> weight
---@param prefix? string
---@return { name: string, tensor: Tensor }[]
function Model:named_parameters(prefix) end

--- What is learnt without gradients, batch norm's running statistics, with their paths.
---
--- Example:
---     nn.BatchNorm2d(16):buffers()[1].name  --> running_mean
---@param prefix? string
---@return { name: string, tensor: Tensor }[]
function Model:buffers(prefix) end

--- Parameters and buffers by their paths.
---
--- Example:
---     nn.Linear(3, 2):state().weight.shape  --> { 2, 3 }
---@param prefix? string
---@return table<string, Tensor>
function Model:state(prefix) end

--- Parameters below the prefix get no gradients any more. Raises when there are none.
---
--- Example:
---     model = models.lenet { classes = 10, channels = 1 }
---     model:freeze "conv1"
---     model:parameters("conv1")[1].requires_grad  --> false
---@param prefix? string  # all
---@return Model self
function Model:freeze(prefix) end

--- Parameters below the prefix get gradients again.
---
--- Example:
---     nn.Linear(3, 2):freeze():unfreeze():parameters()[1].requires_grad  --> true
---@param prefix? string  # all
---@return Model self
function Model:unfreeze(prefix) end

--- Forgets the gradients of all parameters. Optimisers do so after each step.
---
--- Example:
---     layer = nn.Linear(3, 2)
---     layer(nn.ones { 1, 3 }):sum():backward()
---     layer:zero_grad()
---     layer:parameters()[1].grad  --> nil
function Model:zero_grad() end

--- How many numbers the parameters are.
---
--- Example:
---     models.resnet18({ classes = 100 }):count()  --> 11220132
---@param prefix? string
---@return integer
function Model:count(prefix) end

--- Draws the parameters anew, as torchvision initialises them: a function of the seed and of each one's place.
---
--- Example:
---     a, b = nn.Linear(3, 2):initialise(1), nn.Linear(3, 2):initialise(1)
---     (a:parameters()[1] - b:parameters()[1]):norm():item()  --> 0.0
---@param seed integer
---@return Model self
function Model:initialise(seed) end

--- What dropout draws from next, for checkpoints; with a table sets it.
---
--- Example:
---     nn.Dropout():random_state().passes  --> 0
---@param state? { seed: integer, passes: integer }
---@return { seed: integer, passes: integer }
function Model:random_state(state) end

---@class Layer
---@field path string             # "" for the model itself
---@field class string            # "Conv2d"
---@field options table           # those of its constructor
---@field parameters integer      # how many numbers, with those of its children
---@field tensors { name: string, tensor: Tensor, buffer: boolean }[]  # its own
---@field output? integer[]       # with input: the sizes of the result for one image
---@field flops? number           # with input: a multiply-add counts 2, its children are counted in

--- The layers, the model itself first, each before its children; one that stands in two places is there twice.
---
--- Example:
---     layers = models.lenet({ classes = 10, channels = 1 }):layers { input = { 28, 28, 1 } }
---     layers[2].path, layers[2].class, layers[2].parameters, layers[2].output, layers[2].flops
---     --> conv1  Conv2d  156  { 28, 28, 6 }  239904
---@param options? { input?: integer[] }  # the sizes of one image, { H, W, C }
---@return Layer[]
function Model:layers(options) end

--- What a pass over a batch costs, in training with the way back: flops (a multiply-add counts 2), parameters,
--- activation_bytes, and whether a plan lays these out (planned).
---
--- Example:
---     cost = models.resnet18({ classes = 100 }):cost { input = { 32, 32, 3 }, batch = 128, training = true }
---     cost.flops, cost.parameters  --> 426574910976  11220132
---@param options { input: integer[], batch?: integer, training?: boolean }  # batch: 1
---@return { flops: number, parameters: integer, activation_bytes: integer, planned: boolean }
function Model:cost(options) end

return nn
