--- Weights in and out of models: layouts, names, what a mismatch says; checkpoints of a training: same bits, and what a
--- damaged one does.
local checkpoint = require "checkpoint"
local json = require "json"
local lfs = require "lfs"
local models = require "models"
local nn = require "nn"
local optim = require "optim"
local spec = require "spec"

local folder = os.tmpname()
os.remove(folder)
assert(lfs.mkdir(folder))
teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

local function path(name) return folder .. "/" .. name end

local function read(name)
  local handle = assert(io.open(path(name), "rb"))
  local text = handle:read "a"
  handle:close()
  return text
end

local function write(name, text)
  local handle = assert(io.open(path(name), "wb"))
  handle:write(text)
  handle:close()
end

-- The bits of tensors, to compare them by.
local function bits(...)
  local parts = {}
  for _, t in ipairs { ... } do
    for _, value in ipairs(t:reshape { -1 }:tolist()) do parts[#parts + 1] = string.pack("d", value) end
  end
  return table.concat(parts)
end

local function state_bits(model)
  local state, list = model:state(), {}
  for i, name in ipairs(spec.names(state)) do list[i] = state[name] end
  return bits(table.unpack(list))
end

-- Equal element by element, for models too large to take apart.
local function same_state(a, b)
  local other = b:state()
  for name, tensor in pairs(a:state()) do
    if nn.no_grad(function() return tensor:eq(other[name]):sum():item() end) ~= tensor:count() then return false end
  end
  return true
end

local function logits(model, x) return nn.no_grad(model, x) end

local function iota(sizes)
  local count = 1
  for _, size in ipairs(sizes) do count = count * size end
  local list = {}
  for i = 1, count do list[i] = i - 1 end
  return nn.tensor(list):reshape(sizes)
end

-- Tensors of a file by name.
local function tensors_of(name)
  local file <close> = assert(nn.checkpoint.read(path(name)))
  local out = {}
  for _, entry in ipairs(file.entries) do out[entry.name] = file:tensor(entry.name) end
  return out, file.metadata
end

-- Writes a file of zeros: names to shapes in torch's layout, in the order of the list.
local function fake(name, list)
  local entries = {}
  for i, pair in ipairs(list) do entries[i] = { name = pair[1], tensor = nn.zeros(pair[2]) } end
  assert(nn.checkpoint.write(path(name), entries))
end

-- The same tensors under other names.
local function renamed(from, to, rename)
  local list = {}
  local file <close> = assert(nn.checkpoint.read(path(from)))
  for _, entry in ipairs(file.entries) do
    local name = rename(entry.name)
    if name then list[#list + 1] = { name = name, tensor = file:tensor(entry.name) } end
  end
  assert(nn.checkpoint.write(path(to), list))
end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

local function contains(part, text)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
end

describe("weights", function()
  describe("go out and come back with the same bits:", function()
    local statistics = { mean = { 0.5, 0.25, 0.125 }, std = { 0.5, 0.25, 0.25 } }
    for _, case in ipairs {
      { "mlp", { shape = { 4, 4, 3 }, hidden = { 8, 6 }, normalize = statistics }, { 4, 4, 3 } },
      { "lenet", { channels = 1 }, { 28, 28, 1 } }, { "lenet", { size = 32 }, { 32, 32, 3 } },
      { "resnet8", {}, { 16, 16, 3 } }, { "resnet8", { shortcut = "B", normalize = statistics }, { 16, 16, 3 } },
      { "resnet20", {}, { 16, 16, 3 } }, { "resnet56", { shortcut = "B" }, { 8, 8, 3 } },
      { "resnet18", {}, { 16, 16, 3 } }, { "resnet34", { stem = "imagenet" }, { 32, 32, 3 } },
      { "resnet50", { stem = "imagenet", channels = 1 }, { 32, 32, 1 } },
    } do
      local kind, options, shape = case[1], case[2], case[3]
      it(kind .. " " .. json.encode(options), function()
        options.classes, options.seed = 5, 1
        local model = models[kind](options)
        -- Running statistics that are not where they began.
        for i, buffer in ipairs(model:buffers()) do
          nn.no_grad(function()
            buffer.tensor:copy(nn.uniform(buffer.tensor.shape, { low = 0.5, high = 1.5, seed = 7, stream = i }))
          end)
        end
        options.seed = 2
        local other = models[kind](options)
        assert.is_true(model:save(path "model.safetensors"))
        local report = assert(other:load(path "model.safetensors"))
        assert.is_true(same_state(model, other))
        local x = nn.uniform({ 2, table.unpack(shape) }, { seed = 3 })
        assert.equal(bits(logits(model, x)), bits(logits(other, x)))
        assert.equal("safetensors", report.format)
        assert.equal("", report.prefix)
        -- And a model made from nothing but the file.
        local third = assert(checkpoint.model(path "model.safetensors"))
        assert.equal(kind, third.kind)
        assert.equal(bits(logits(model, x)), bits(logits(third, x)))
        os.remove(path "model.safetensors")
      end)
    end
  end)

  describe("in torch's layout", function()
    it("a convolution is out x in x height x width", function()
      local conv = nn.Conv2d(2, 3, { kernel_size = 2 })
      local weight = conv:parameters()[1]
      nn.no_grad(function() weight:copy(iota { 2, 2, 2, 3 }) end)
      assert(conv:save(path "conv.safetensors"))
      local stored = tensors_of("conv.safetensors").weight
      assert.same({ 3, 2, 2, 2 }, stored.shape)
      for o = 1, 3 do
        for i = 1, 2 do
          for y = 1, 2 do
            for x = 1, 2 do assert.equal(weight:get(y, x, i, o), stored:get(o, i, y, x)) end
          end
        end
      end
    end)

    it("so is a grouped and a depthwise one", function()
      for _, groups in ipairs { 2, 4 } do
        local conv = nn.Conv2d(4, 8, { groups = groups, bias = false })
        assert(conv:save(path "conv.safetensors"))
        assert.same({ 8, 4 // groups, 3, 3 }, tensors_of("conv.safetensors").weight.shape)
        local other = nn.Conv2d(4, 8, { groups = groups, bias = false })
        assert(other:load(path "conv.safetensors"))
        assert.equal(state_bits(conv), state_bits(other))
      end
    end)

    -- Columns for an image of 2 x 3 pixels with 2 channels: ours (h, w, c), theirs (c, h, w).
    local function check_columns(ours, theirs)
      for row = 1, ours.shape[1] do
        for h = 0, 1 do
          for w = 0, 2 do
            for c = 0, 1 do
              assert.equal(ours:get(row, (h * 3 + w) * 2 + c + 1), theirs:get(row, c * 6 + h * 3 + w + 1))
            end
          end
        end
      end
    end

    it("a linear layer behind a flatten has its columns in (channel, height, width) order", function()
      local model = nn.Sequential { nn.Conv2d(3, 2, { padding = 1 }), nn.ReLU(), nn.Dropout { p = 0.1 }, nn.Flatten(),
                                    nn.Linear(12, 2), nn.ReLU(), nn.Linear(2, 4) }
      local weight = model:state()["4.weight"]
      nn.no_grad(function() weight:copy(iota { 2, 12 }) end)
      assert(model:save(path "flat.safetensors"))
      local stored = tensors_of "flat.safetensors"
      check_columns(weight, stored["4.weight"])
      assert.equal(bits(model:state()["6.weight"]), bits(stored["6.weight"]))
    end)

    it("so has a batch norm between the two", function()
      local model = nn.Sequential { nn.Conv2d(3, 2, { padding = 1 }), nn.Flatten(), nn.BatchNorm2d(12),
                                    nn.Linear(12, 2) }
      local mean = model:state()["2.running_mean"]
      nn.no_grad(function() mean:copy(iota { 12 }) end)
      assert(model:save(path "flat.safetensors"))
      check_columns(mean:reshape { 1, 12 }, tensors_of("flat.safetensors")["2.running_mean"]:reshape { 1, 12 })
    end)

    it("behind a global mean, or another linear layer, nothing moves", function()
      local model = nn.Sequential { nn.Conv2d(3, 12), nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(12, 2) }
      assert(model:save(path "flat.safetensors"))
      assert.equal(bits(model:state()["3.weight"]), bits(tensors_of("flat.safetensors")["3.weight"]))
    end)

    it("the shape of the image is asked for where no layer tells it", function()
      local model = nn.Sequential { { "flatten", nn.Flatten() }, { "fc", nn.Linear(12, 2) } }
      local problem = "fc reads a Flatten, and no layer says how many channels the image before it has; say it with "
        .. "input = { height, width, channels }"
      contains("save: " .. problem, message_of(model.save, model, path "flat.safetensors"))
      assert(model:save(path "flat.safetensors", { input = { 2, 3, 2 } }))
      check_columns(model:state()["fc.weight"], tensors_of("flat.safetensors")["fc.weight"])
      contains("load: " .. problem, message_of(model.load, model, path "flat.safetensors"))
      local before = state_bits(model)
      assert(model:load(path "flat.safetensors", { input = { 2, 3, 2 } }))
      assert.equal(before, state_bits(model))
      model.input = { 2, 3, 2 } -- as a training notes it
      assert(model:load(path "flat.safetensors"))
      assert.equal(before, state_bits(model))
      assert(model:save(path "flat.safetensors", { input = { 12 } }))
      assert.equal(bits(model:state()["fc.weight"]), bits(tensors_of("flat.safetensors")["fc.weight"]))
      contains("fc reads 12 numbers, which are no pixels of 5 channels",
               message_of(model.save, model, path "x.safetensors", { input = { 1, 1, 5 } }))
    end)

    it("batch norms have a count of batches, which load ignores", function()
      local model = models.resnet8 { classes = 2, seed = 1 }
      assert(model:save(path "counts.safetensors"))
      local stored = tensors_of "counts.safetensors"
      assert.same({}, stored["bn1.num_batches_tracked"].shape)
      renamed("counts.safetensors", "none.safetensors", function(name)
        return not name:find "num_batches" and name or nil
      end)
      assert.same({}, assert(model:load(path "none.safetensors")).ignored)
      assert.equal(7, #assert(model:load(path "counts.safetensors")).ignored)
    end)

    it("a layer that stands in two places has two names", function()
      local shared = nn.Linear(3, 3)
      local model = nn.Sequential { shared, nn.ReLU(), shared }
      assert(model:save(path "shared.safetensors"))
      local stored = tensors_of "shared.safetensors"
      assert.equal(bits(stored["0.weight"]), bits(stored["2.weight"]))
      assert.equal(4, assert(model:load(path "shared.safetensors")).tensors)
      renamed("shared.safetensors", "once.safetensors", function(name)
        return name:find "^0" and name or nil
      end)
      assert.equal(2, assert(model:load(path "once.safetensors")).tensors)
    end)
  end)

  describe("are found by name", function()
    local source = models.resnet8 { classes = 3, shortcut = "B", seed = 1 }
    local wanted = state_bits(source)
    assert(source:save(path "source.safetensors"))

    local function target() return models.resnet8 { classes = 3, shortcut = "B", seed = 2 } end

    for _, prefix in ipairs { "module.", "model.", "state_dict.module.", "net.", "attacker.model.", "odd.one." } do
      it("behind the prefix " .. prefix, function()
        renamed("source.safetensors", "file.safetensors", function(name) return prefix .. name end)
        local model = target()
        local report = assert(model:load(path "file.safetensors"))
        assert.equal(wanted, state_bits(model))
        assert.equal(prefix, report.prefix)
        contains(('prefix "%s" stripped'):format(prefix), tostring(report))
      end)
    end

    it("also in the other family of names, and with both", function()
      local shortcut, linear = { downsample = "shortcut" }, { fc = "linear" }
      for _, words in ipairs { shortcut, linear, { downsample = "shortcut", fc = "linear" } } do
        renamed("source.safetensors", "file.safetensors", function(name)
          return "module." .. name:gsub("[^.]+", words)
        end)
        local model = target()
        local report = assert(model:load(path "file.safetensors"))
        assert.equal(wanted, state_bits(model))
        local found = {}
        for _, pair in ipairs(report.renamed) do found[pair[1]] = pair[2] end
        assert.same(words, found)
      end
    end)

    it("beside an optimiser's state", function()
      local list = {}
      renamed("source.safetensors", "file.safetensors", function(name) return "model." .. name end)
      for name, tensor in pairs((tensors_of "file.safetensors")) do
        list[#list + 1] = { name = name, tensor = tensor }
      end
      list[#list + 1] = { name = "optimizer.state.0.exp_avg", tensor = nn.zeros { 3 } }
      assert(nn.checkpoint.write(path "file.safetensors", list))
      local model = target()
      local report = assert(model:load(path "file.safetensors"))
      assert.equal(wanted, state_bits(model))
      assert.equal("optimizer.state.0.exp_avg", report.ignored[#report.ignored])
    end)

    it("with a map: whole names, beginnings, stars, the longest first", function()
      local map = { conv1 = "stem.0", ["layer*.0"] = "blocks.*", ["layer2.0.conv1.weight"] = "odd.w", fc = "head" }
      assert(source:save(path "file.safetensors", { map = map, prefix = "net." }))
      local stored = tensors_of "file.safetensors"
      assert.truthy(stored["net.stem.0.weight"] and stored["net.blocks.1.conv1.weight"] and stored["net.odd.w"])
      assert.truthy(stored["net.bn1.num_batches_tracked"])
      local model = target()
      local report = assert(model:load(path "file.safetensors", { map = map }))
      assert.equal(wanted, state_bits(model))
      assert.equal("net.", report.prefix)
    end)

    it("in the one of several places that `prefix` names", function()
      local list = {}
      for name, tensor in pairs((tensors_of "source.safetensors")) do
        list[#list + 1] = { name = "model." .. name, tensor = tensor }
        list[#list + 1] = { name = "model_ema." .. name, tensor = nn.zeros(tensor.shape) }
      end
      assert(nn.checkpoint.write(path "file.safetensors", list))
      local model = target()
      contains('holds the model\'s names under "model." and "model_ema."; choose one with prefix = "model."',
               message_of(model.load, model, path "file.safetensors"))
      assert(model:load(path "file.safetensors", { prefix = "model" }))
      assert.equal(wanted, state_bits(model))
    end)

    it("without the parts that `skip` names", function()
      local model = models.resnet8 { classes = 7, shortcut = "B", seed = 3 }
      local head = bits(model:state()["fc.weight"])
      local report = assert(model:load(path "source.safetensors", { skip = { "fc" } }))
      assert.same({ "fc.weight", "fc.bias" }, report.skipped)
      assert.equal(head, bits(model:state()["fc.weight"]))
      assert.equal(bits(source:state()["conv1.weight"]), bits(model:state()["conv1.weight"]))
    end)

    it("as far as they are there when not strict", function()
      renamed("source.safetensors", "file.safetensors", function(name)
        return name:find "^layer3" and "extra" .. name or name
      end)
      local model = target()
      local before = bits(model:state()["layer3.0.conv1.weight"])
      local report = assert(model:load(path "file.safetensors", { strict = false }))
      assert.equal(before, bits(model:state()["layer3.0.conv1.weight"]))
      assert.equal(bits(source:state()["fc.weight"]), bits(model:state()["fc.weight"]))
      assert.equal(15, #report.missing)
      assert.equal(15, #report.unexpected)
    end)
  end)

  describe("that do not fit change nothing and say", function()
    local function model_of() return models.lenet { classes = 10, channels = 1, seed = 4 } end
    local fine = { { "conv1.weight", { 6, 1, 5, 5 } }, { "conv1.bias", { 6 } }, { "conv2.weight", { 16, 6, 5, 5 } },
                   { "conv2.bias", { 16 } }, { "fc1.weight", { 120, 400 } }, { "fc1.bias", { 120 } },
                   { "fc2.weight", { 84, 120 } }, { "fc2.bias", { 84 } }, { "fc3.weight", { 10, 84 } },
                   { "fc3.bias", { 10 } } }

    -- The list with some entries replaced by name: a list of entries, or none.
    local function but(changes)
      local list = {}
      for _, entry in ipairs(fine) do
        for _, one in ipairs(changes[entry[1]] or { entry }) do list[#list + 1] = one end
      end
      return list
    end

    local function refused(list, parts, options)
      fake("bad.safetensors", list)
      local model = model_of()
      local before = state_bits(model)
      local message = message_of(model.load, model, path "bad.safetensors", options)
      for _, part in ipairs(parts) do contains(part, message) end
      assert.equal(before, state_bits(model))
    end

    it("what is missing", function()
      refused(but { ["fc3.weight"] = {}, ["fc3.bias"] = {} },
              { "bad.safetensors does not fit the model (safetensors, 8 tensors; 8 of the model's 10 names are there)",
                "missing in the file: fc3.weight [10x84], fc3.bias [10]" })
    end)

    it("what is more than the model has", function()
      refused(but { ["fc3.bias"] = { { "fc3.bias", { 10 } }, { "fc4.weight", { 3, 10 } } } },
              { "not in the model: fc4.weight [3x10]\n  strict = false leaves these out" })
    end)

    it("what has another shape", function()
      refused(but { ["fc3.weight"] = { { "fc3.weight", { 100, 84 } } } },
              { "of another shape: fc3.weight is [100x84] in the file, [10x84] in the model" })
    end)

    it("what the file holds, when it is another of our models", function()
      refused(but { ["fc3.weight"] = { { "fc3.weight", { 100, 84 } } }, ["fc3.bias"] = { { "fc3.bias", { 100 } } } },
              { 'skip = { "fc3" } leaves the model\'s as they are; the file holds models.lenet{ ', "classes = 100" })
    end)

    it("what is transposed", function()
      refused(but { ["fc2.weight"] = { { "fc2.weight", { 120, 84 } } } },
              { "fc2.weight is [120x84] in the file, [84x120] in the model" })
    end)

    it("what has other axes", function()
      refused(but { ["conv1.weight"] = { { "conv1.weight", { 6, 25 } } } },
              { "conv1.weight is [6x25] in the file, [6x1x5x5] in the model" })
    end)

    it("which map might help", function()
      local list = {}
      for i, entry in ipairs(fine) do
        local name = entry[1]:gsub("conv1", "features.0"):gsub("conv2", "features.10"):gsub("fc", "classifier.")
        list[i] = { name, entry[2] }
      end
      refused(list, { 'try map = { conv1 = "features.0", conv2 = "features.10", fc1 = "classifier.1", '
        .. 'fc2 = "classifier.2", ... }' })
      local model = model_of()
      assert(model:load(path "bad.safetensors", { map = { ["conv1"] = "features.0", conv2 = "features.10",
                                                          ["fc*"] = "classifier.*" } }))
    end)

    it("that there is nothing alike", function()
      refused({ { "a.b", { 1 } }, { "c", { 2 } } }, { "missing in the file: conv1.weight [6x1x5x5]",
        "not in the model: a.b [1], c [2]", 'a map brings them together: map = { conv1 = "features.0" }' })
      refused({ { "a.b", { 1 } } }, { "0 of the model's 10 names are there" }, { strict = false })
    end)

    it("a stranger's names on one line each", function()
      refused(but { ["fc3.bias"] = { { "\27[2Jfc.\n.99999999999999999999999", { 10 } } } },
              { "missing in the file: fc3.bias [10]\n", "not in the model: ?[2Jfc.?.99999999999999999999999 [10]" })
    end)

    it("only the first of many", function()
      local model = models.resnet20 { classes = 10, seed = 4 }
      fake("bad.safetensors", { { "conv1.weight", { 16, 3, 3, 3 } } })
      local message = message_of(model.load, model, path "bad.safetensors")
      contains("missing in the file: bn1.weight [16], bn1.bias [16], bn1.running_mean [16], bn1.running_var [16] and "
        .. "92 more", message)
    end)

    it("that a map or skip names nothing", function()
      refused(fine, { 'load: map: the model has nothing named "cnv1"; did you mean "conv1"?' },
              { map = { cnv1 = "features.0" } })
      refused(fine, { 'map: the file has nothing named "cnv1"; did you mean "conv1"?' }, { map = { conv1 = "cnv1" } })
      refused(fine, { 'load: prefix: ', ' has nothing named "conv3."; did you mean "conv1"?' }, { prefix = "conv3." })
      refused(fine, { 'load: map: "a.*.*" has more stars than "fc*"' }, { map = { ["fc*"] = "a.*.*" } })
      refused(fine, { 'load: skip: the model has nothing named "fc4"' }, { skip = { "fc4" } })
      local model = model_of()
      contains('save: the map gives the name "same.weight" to two tensors',
               message_of(model.save, model, path "x.safetensors", { map = { conv1 = "same", conv2 = "same" } }))
    end)

    it("a name of another format", function()
      local model = model_of()
      contains('expected a name that ends in .safetensors, as that is what is written, got "net.pt"',
               message_of(model.save, model, "net.pt"))
    end)

    it("what option is unknown, and where", function()
      local model = model_of()
      local message = message_of(function() return (model:load("x", { strikt = false })) end)
      contains('unknown option "strikt"; did you mean "strict"?', message)
      assert.matches("^[^:]*checkpoint_spec.lua:%d+: load:", message)
      assert.matches("checkpoint_spec.lua:%d+: load: expected a path, got nil",
                     message_of(function() return (model:load()) end))
    end)
  end)

  it("of a file that is missing or damaged give nil and a message", function()
    local model = models.mlp { classes = 2, shape = { 2, 2, 1 }, hidden = {}, seed = 1 }
    local before = state_bits(model)
    local ok, message, code = model:load(path "nowhere.safetensors")
    assert.is_nil(ok)
    contains("nowhere.safetensors", message)
    assert.equal("io", code)
    assert(model:save(path "whole.safetensors"))
    local text = read "whole.safetensors"
    for _, damage in ipairs { text:sub(1, -2), text .. "x", "", text:sub(1, 20), ("\255"):rep(100) } do
      write("damaged.safetensors", damage)
      ok, message, code = model:load(path "damaged.safetensors")
      assert.is_nil(ok)
      contains("damaged.safetensors", message)
      assert.equal("format", code)
    end
    ok, message, code = model:save(path "no/such/folder.safetensors")
    assert.is_nil(ok)
    contains("no/such/folder.safetensors", message)
    assert.equal("io", code)
    assert.equal(before, state_bits(model))
  end)

  it("with a description that lies are no model", function()
    local model = models.mlp { classes = 2, shape = { 2, 2, 1 }, hidden = { 3 }, seed = 1 }
    assert(model:save(path "model.safetensors"))
    local list = {}
    for name, tensor in pairs((tensors_of "model.safetensors")) do
      list[#list + 1] = { name = name, tensor = tensor }
    end
    for _, case in ipairs {
      { '{"model":"resnet8","options":{"classes":2}}', "does not fit the model" },
      { '{"model":"resnet999","options":{}}', "there is no model" },
      { '{"model":"mlp","options":{"classes":2,"hiden":[3]}}', 'unknown option "hiden"' },
      { '{"model":"mlp","options":{"classes":2,"hidden":[300000,300000],"inputs":4}}', "memory" },
      { '{"model":7}', "does not say which model it holds" },
      { '{"model":', "does not say which model it holds" },
      { '{"model":"mlp","options":{"classes":2,"hidden":[3],"inputs":4},"input":"x"}', "does not say which model" },
    } do
      assert(nn.checkpoint.write(path "model.safetensors", list, { penumbra = case[1] }))
      local made, message = checkpoint.model(path "model.safetensors")
      assert.is_nil(made)
      contains(case[2], message)
    end
  end)
end)

describe("a checkpoint", function()
  -- A model with dropout and batch norm, an optimiser and averages.
  local function trainee(kind, options, seed)
    local model = nn.Sequential { nn.Linear(12, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout { p = 0.3 },
                                  nn.Linear(8, 3) }
    model:initialise(seed)
    local own = { model }
    for name, value in pairs(options) do own[name] = value end
    return { model = model, optimizer = optim[kind](own), average = optim.average { model, decay = 0.9 } }
  end

  local function train(this, from, to)
    for i = from, to do
      local x = nn.uniform({ 6, 12 }, { seed = 100 + i })
      local y = this.model:train(function() return this.model(x) end)
      local loss = (y * nn.uniform(y.shape, { low = -1 })):sum() -- draws from the session
      loss:backward()
      this.optimizer:step()
      this.average:update()
    end
  end

  local function averaged_bits(this) return this.average:swapped(state_bits, this.model) end

  local function empty(name)
    os.execute("rm -rf '" .. path(name) .. "'")
    return path(name)
  end

  for name, case in pairs {
    ["plain descent"] = { "sgd", { lr = 0.1 } },
    ["momentum and weight decay"] = { "sgd", { lr = 0.1, momentum = 0.9, weight_decay = 1e-3 } },
    ["nesterov under a schedule"] = { "sgd", { lr = 0.1, momentum = 0.9, nesterov = true,
                                               schedule = optim.cosine { steps = 20, floor = 0.1 } } },
    ["adam after a warm-up"] = { "adam", { lr = 0.01, clip_norm = 1,
                                           schedule = optim.warmup { steps = 9, after = optim.step { every = 2 } } } },
    ["adamw"] = { "adamw", { lr = 0.01, beta1 = 0.8, clip_value = 0.5 } },
  } do
    it("goes on with the same bits: " .. name, function()
      local place = empty "run"
      nn.seed(5)
      local one = trainee(case[1], case[2], 1)
      train(one, 1, 7)
      local saved = assert(checkpoint.save(place, { model = one.model, optimizer = one.optimizer, average = one.average,
                                                    step = 7, epoch = 2, extra = { best = 0.1, list = { 1, 2 } } }))
      train(one, 8, 12)
      local session = nn.random_state()

      nn.seed(99)
      local two = trainee(case[1], { lr = 0.5 }, 2)
      local state = assert(checkpoint.load(place, two))
      assert.same({ saved, 7, 2, 0.1, 2 }, { state.path, state.step, state.epoch, state.extra.best, #state.extra.list })
      assert.equal(saved .. " (step 7, epoch 2)", tostring(state))
      train(two, 8, 12)
      assert.equal(state_bits(one.model), state_bits(two.model))
      assert.equal(averaged_bits(one), averaged_bits(two))
      assert.same(session, nn.random_state())
      assert.equal(one.optimizer:rate(), two.optimizer:rate())
      assert.equal(tostring(one.optimizer), tostring(two.optimizer))
    end)
  end

  it("holds groups with rates of their own", function()
    local place = empty "run"
    local function grouped(seed, rate)
      local model = nn.Sequential { nn.Linear(3, 2), nn.Linear(2, 2) }
      model:initialise(seed)
      local first = { params = model:parameters "0", lr = rate }
      local second = { params = model:parameters "1", momentum = 0.5 }
      return { model = model, optimizer = optim.sgd { first, second, lr = 2 * rate } }
    end
    local one, two = grouped(1, 0.1), grouped(2, 0.7)
    assert(checkpoint.save(place, one))
    assert(checkpoint.load(place, two))
    assert.same({ 0.1, 0.2 }, { two.optimizer:rate(1), two.optimizer:rate(2) })
  end)

  it("keeps the last two, or as many as asked", function()
    local place = empty "run"
    local one = { model = nn.Linear(2, 2) }
    local function names()
      local list = {}
      for name in lfs.dir(place) do
        if name:sub(1, 1) ~= "." then list[#list + 1] = name end
      end
      table.sort(list)
      return table.concat(list, " ")
    end
    for _ = 1, 4 do assert(checkpoint.save(place, one)) end
    assert.equal("checkpoint-3.json checkpoint-3.safetensors checkpoint-4.json checkpoint-4.safetensors", names())
    write("run/checkpoint-5.safetensors", "a broken attempt")
    one.keep = 1
    assert(checkpoint.save(place, one))
    assert.equal("checkpoint-6.json checkpoint-6.safetensors", names())
  end)

  describe("that is damaged is refused and the one before taken:", function()
    local function edited(change)
      local side = assert(json.read(path "run/checkpoint-2.json"))
      change(side)
      write("run/checkpoint-2.json", json.encode(side))
    end
    for name, case in pairs {
      ["a changed byte"] = { "its SHA-256 is not the one in its .json file", function()
        local text = read "run/checkpoint-2.safetensors"
        write("run/checkpoint-2.safetensors", text:sub(1, -2) .. string.char(text:byte(-1) ~ 1))
      end },
      ["a short file"] = { "bytes expected by its .json file", function()
        write("run/checkpoint-2.safetensors", read("run/checkpoint-2.safetensors"):sub(1, 100))
      end },
      ["no tensors"] = { "checkpoint-2.safetensors: missing", function()
        os.remove(path "run/checkpoint-2.safetensors")
      end },
      ["no side file"] = { "checkpoint-2.safetensors: not completed", function()
        os.remove(path "run/checkpoint-2.json")
      end },
      ["files of two checkpoints"] = { "its SHA-256 is not the one in its .json file", function()
        write("run/checkpoint-2.safetensors", read "run/checkpoint-1.safetensors")
      end },
      ["half a side file"] = { "checkpoint-2.json: offset", function()
        write("run/checkpoint-2.json", read("run/checkpoint-2.json"):sub(1, 60))
      end },
      ["an empty side file"] = { "checkpoint-2.json: offset 0", function() write("run/checkpoint-2.json", "") end },
      ["another kind of JSON"] = { "checkpoint-2.json: not a checkpoint's", function()
        write("run/checkpoint-2.json", "[1, 2]")
      end },
      ["a later version"] = { "version 9 of the format; this program reads version 1", function()
        edited(function(side) side.version = 9 end)
      end },
      ["a field of another kind"] = { "checkpoint-2.json: step expects an integer", function()
        edited(function(side) side.step = "x" end)
      end },
    } do
      it(name, function()
        local place = empty "run"
        local one = { model = nn.Linear(2, 2), step = 1 }
        assert(checkpoint.save(place, one))
        local first = state_bits(one.model)
        one.model:initialise(77)
        one.step = 2
        assert(checkpoint.save(place, one))
        case[2]()
        local two = nn.Linear(2, 2)
        local state = assert(checkpoint.load(place, { model = two, quiet = true }))
        assert.equal(1, state.step)
        assert.equal(1, #state.refused)
        contains(case[1], state.refused[1])
        contains("; not taken: ", tostring(state))
        assert.equal(first, state_bits(two))
        -- Alone, by its own name, it is an error.
        local ok, message, code = checkpoint.load(place .. "/checkpoint-2.json", { model = two })
        assert.is_nil(ok)
        assert.is_string(message)
        assert.is_string(code)
      end)
    end
  end)

  it("stands on files that are written whole or not at all", function()
    assert.is_true(nn.write_file(path "text", "one\0two"))
    assert.is_true(nn.write_file(path "text", ""))
    assert.equal("", read "text")
    local ok, message, code = nn.write_file(path "text/below", "x")
    assert.is_nil(ok)
    contains("text/below: cannot be written: Not a directory", message)
    assert.equal("io", code)
  end)

  it("that is not there gives nil and a message", function()
    local model = nn.Linear(2, 2)
    local ok, message, code = checkpoint.load(path "nothing", { model = model })
    assert.same({ nil, path "nothing" .. ": no checkpoint is there", "io" }, { ok, message, code })
  end)

  it("of another model or optimiser raises and changes nothing", function()
    local place = empty "run"
    local one = trainee("adam", { lr = 0.1 }, 1)
    train(one, 1, 2)
    assert(checkpoint.save(place, { model = one.model, optimizer = one.optimizer }))
    local two = trainee("sgd", { lr = 0.1, momentum = 0.9 }, 2)
    local before = state_bits(two.model)
    local function refused(part, options)
      local session = nn.random_state()
      contains(part, message_of(checkpoint.load, place, options))
      assert.equal(before, state_bits(two.model))
      assert.same(session, nn.random_state())
    end
    refused("checkpoint-1.json does not fit: the optimiser is sgd, the saved one adam",
            { model = two.model, optimizer = two.optimizer })
    refused("no average was saved", { model = two.model, average = two.average })
    refused("missing in the file: 5.weight", { model = nn.Sequential { nn.Linear(12, 8), nn.BatchNorm2d(8), nn.ReLU(),
      nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 3) } })
    local part = optim.adam { two.model:parameters "0", lr = 0.1 }
    refused("the optimiser has 2 parameters in 1 groups, the saved one 6 in 1", { model = two.model, optimizer = part })
  end)

  it("is a file of weights, too", function()
    local place = empty "run"
    local one = models.lenet { classes = 3, channels = 1, seed = 1 }
    one.class_names = { "a", "b", "c" }
    local average = optim.average { one }
    average:swapped(function() one:initialise(5) end)
    assert(checkpoint.save(place, { model = one, optimizer = optim.adam { one, lr = 0.1 }, average = average }))
    local two = models.lenet { classes = 3, channels = 1, seed = 2 }
    local report = assert(two:load(place .. "/checkpoint-1.safetensors"))
    assert.equal("model.", report.prefix)
    assert.equal(state_bits(one), state_bits(two))
    assert(two:load(place .. "/checkpoint-1.safetensors", { prefix = "average" }))
    assert.equal(average:swapped(state_bits, one), state_bits(two))
    local three = assert(checkpoint.model(place .. "/checkpoint-1.safetensors"))
    assert.equal(state_bits(three), state_bits(assert(checkpoint.model(place))))
    assert.equal(state_bits(one), state_bits(three))
    assert.same({ "a", "b", "c" }, { table.unpack(three.class_names) })
  end)
end)
