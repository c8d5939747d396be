--- Tensors and the tape as a script sees them.
local nn <const> = require "nn"

local function leaf(list) return nn.tensor(list, { requires_grad = true }) end

local function refuses(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(message:find(pattern, 1, true), message)
end

describe("tensors", function()
  it("are made from lists and read back", function()
    local t = nn.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.same({ 2, 3 }, t.shape)
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, t:tolist())
    assert.equal(6, t:get(2, 3))
    assert.equal(6, t:get(-1, -1))
    assert.same({ 4, 5, 6 }, t[2]:tolist())
    assert.equal(2, #t)
    assert.is_nil(t[3])
  end)

  it("refuse ragged lists, positions outside and values a type cannot hold", function()
    refuses("lists of one length", nn.tensor, { { 1, 2 }, { 3 } })
    refuses("position 4 on axis 2", function() nn.zeros({ 2, 3 }):get(1, 4) end)
    refuses("uint8 holds whole numbers from 0 to 255", nn.tensor, { 256 }, { type = "uint8" })
    refuses("expects a list of integers", function()
      nn.ones { 1 }:reshape(setmetatable({}, { __len = function() return -1 end }))
    end)
    refuses('unknown option "tpye"; did you mean "type"?', nn.tensor, { 1 }, { tpye = "uint8" })
  end)

  it("count index values from 1 and store them from 0", function()
    local t = nn.tensor({ 1, 3 }, { type = "index" })
    assert.same({ 1, 3 }, t:tolist())
    assert.same({ 0, 2 }, t:to("int32"):tolist())
    refuses("index holds whole numbers", nn.tensor, { 0 }, { type = "index" })
  end)

  it("share storage between views", function()
    local t = nn.zeros { 2, 3 }
    t[1]:fill(7)
    assert.same({ { 7, 7, 7 }, { 0, 0, 0 } }, t:tolist())
    t:transpose(1, 2):set(3, 2, 9)
    assert.equal(9, t:get(2, 3))
  end)

  it("raise when used after free", function()
    local t = nn.zeros { 2 }
    t:free()
    refuses("use of freed tensor", function() return t + 1 end)
    assert.equal("tensor (freed)", tostring(t))
  end)

  it("print their shape, type and figures", function()
    local text = tostring(nn.tensor { { 1, 2 }, { 3, 4 } })
    assert.truthy(text:find("float [2x2]  min 1  mean 2.5  max 4", 1, true), text)
  end)
end)

describe("backward", function()
  it("adds up what reaches a leaf by several ways", function()
    local x = leaf { 2, 3 }
    local y = x * x + x * 4
    y:sum():backward()
    assert.same({ 8, 10 }, x.grad:tolist());
    (x * 1):sum():backward()
    assert.same({ 9, 11 }, x.grad:tolist())
    x:clear_grad()
    assert.is_nil(x.grad)
  end)

  it("takes a gradient to start from when the value has several elements", function()
    local x = leaf { 1, 2 }
    refuses("a tensor of one element expected", function() (x * 2):backward() end);
    (x * 2):backward(nn.tensor { 1, 10 })
    assert.same({ 2, 20 }, x.grad:tolist())
  end)

  it("frees the graph unless told to keep it", function()
    local x = leaf { 1, 2 }
    local y = (x * x):sum()
    y:backward { keep_graph = true }
    y:backward()
    assert.same({ 4, 8 }, x.grad:tolist())
    refuses("was freed by an earlier backward", function() y:backward() end)
  end)

  it("refuses when a saved value was overwritten", function()
    local x = leaf { 1, 2 }
    local y = (x * x):sum()
    x:set(1, 5)
    refuses("a value that mul saved was overwritten", function() y:backward() end)
  end)

  it("refuses so too for a condition, and for a gradient that was clipped", function()
    local x, condition = leaf { 1, 2 }, nn.tensor { 1, 0 }
    local y = nn.where(condition, x, 0):sum()
    condition:fill(0)
    refuses("a value that where saved was overwritten", function() y:backward() end)

    x:mul(10):sum():backward()
    local w = leaf { 1, 1 }
    local of_gradient = (w * x.grad):sum()
    nn.clip_grad_norm({ x }, 1)
    refuses("a value that mul saved was overwritten", function() of_gradient:backward() end)
  end)

  it("refuses a place it could not number", function()
    local x = leaf(1)
    refuses("max: expects at most 2147483647 elements, got 2147483648", function()
      return x:expand({ 2 ^ 31 }):max()
    end)
  end)

  it("records what depends on one leaf, also within no_grad, and puts back what was, also after an error", function()
    local x, w = leaf { 1, 2 }, leaf { 3, 4 }
    nn.no_grad(function()
      local y, on, other = nn.with_leaf(x, function() return x * w, nn.grad_enabled(), (w * 2).requires_grad end)
      assert.same({ true, true, false }, { y.requires_grad, on, other })
      y:backward(nn.ones { 2 })
      refuses("boom", nn.with_leaf, x, function() error "boom" end)
      assert.is_false((x * w).requires_grad)
    end)
    assert.same({ 3, 4 }, x.grad:tolist())
    assert.is_nil(w.grad)
    assert.is_true((w * 2).requires_grad)
  end)

  it("records nothing inside no_grad and past detach", function()
    local x = leaf { 1, 2 }
    local y = nn.no_grad(function() return x * x end)
    assert.is_false(y.requires_grad)
    refuses("depends on nothing", function() y:sum():backward() end)
    assert.is_false((x * 2):detach().requires_grad)
    refuses("boom", nn.no_grad, function() error "boom" end)
    assert.is_true(nn.grad_enabled())
  end)

  it("keeps the gradient of an intermediate value on request", function()
    local x = leaf { 1, 2 }
    local y = x * 3
    y:retain_grad();
    (y * y):sum():backward()
    assert.same({ 6, 12 }, y.grad:tolist())
  end)

  it("flows through rows and slices", function()
    local x = leaf { { 1, 2 }, { 3, 4 } };
    (x[2] * 5):sum():backward()
    assert.same({ { 0, 0 }, { 5, 5 } }, x.grad:tolist())
  end)

  it("goes through chains far deeper than the C stack", function()
    local x = leaf { 1 }
    local y = x
    for _ = 1, 100000 do y = y + 0 end
    y:sum():backward()
    assert.same({ 1 }, x.grad:tolist())
    y = x
    for _ = 1, 100000 do y = y + 0 end
    y = nil  -- luacheck: ignore
    collectgarbage()
  end)
end)

describe("modules", function()
  local function model()
    return nn.Sequential {
      { "conv1", nn.Conv2d(3, 4, { kernel_size = 3, padding = 1, bias = false }) },
      { "bn1", nn.BatchNorm2d(4) },
      { "relu", nn.ReLU() },
      { "layer1", nn.Residual { { "conv1", nn.Conv2d(4, 8, { padding = 1, stride = 2 }) },
        downsample = nn.ZeroPadShortcut(4, 8) } },
      { "pool", nn.GlobalAvgPool2d() },
      { "fc", nn.Linear(8, 5) },
    }:initialise(3)
  end

  it("name their parameters as torchvision does", function()
    local names = {}
    for i, row in ipairs(model():named_parameters()) do names[i] = row.name end
    assert.same({ "conv1.weight", "bn1.weight", "bn1.bias", "layer1.conv1.weight", "layer1.conv1.bias", "fc.weight",
      "fc.bias" }, names)
    assert.equal("bn1.running_mean", model():buffers()[1].name)
  end)

  it("start from the seed alone", function()
    local a, b = model(), model():initialise(3)
    local c = model():initialise(4)
    local weight = "layer1.conv1.weight"
    assert.same(a:state()[weight]:tolist(), b:state()[weight]:tolist())
    assert.are_not.same(a:state()[weight]:tolist(), c:state()[weight]:tolist())
  end)

  it("change running statistics in training only", function()
    local m, x = model(), nn.uniform({ 2, 6, 6, 3 }, { seed = 1 })
    local before = m:state()["bn1.running_mean"]:tolist()
    m(x)
    assert.same(before, m:state()["bn1.running_mean"]:tolist())
    assert.error_matches(function() m:train(true) end, "train: a function expected, .* got boolean; for one pass: ")
    m:train(function() return m(x) end)
    assert.are_not.same(before, m:state()["bn1.running_mean"]:tolist())
  end)

  it("give the activation and gradient of a named layer", function()
    local m, x = model(), nn.uniform({ 2, 6, 6, 3 }, { seed = 1 })
    local y, taps = m:forward(x, { taps = { "layer1", "relu" } })
    assert.same({ 2, 3, 3, 8 }, taps.layer1.shape)
    assert.same({ 2, 6, 6, 4 }, taps.relu.shape)
    y:sum():backward()
    assert.same(taps.layer1.shape, taps.layer1.grad.shape)
    assert.is_true(taps.relu.grad:abs():sum():item() > 0)
    refuses('no layer "layer9"', m.forward, m, x, { taps = { "layer9" } })
  end)

  it("freeze by prefix", function()
    local m, x = model(), nn.uniform({ 2, 6, 6, 3 }, { seed = 1 })
    m:freeze("layer1")
    m(x):sum():backward()
    assert.is_nil(m:state()["layer1.conv1.weight"].grad)
    assert.truthy(m:state()["conv1.weight"].grad)
    refuses("no parameter at", m.freeze, m, "layer9")
    m:unfreeze()
    assert.is_true(m:state()["layer1.conv1.weight"].requires_grad)
  end)

  it("say where a shape does not fit", function()
    refuses("conv2d: weight expects 3 input channels, got 1 (x [2x6x6x1], weight [3x3x3x4])",
      model(), nn.zeros { 2, 6, 6, 1 })
  end)

  it("refuse children that are not modules, twice the same name, and themselves", function()
    refuses("expects a module, got number", nn.Sequential, { 3 })
    refuses('two children are named "a"', nn.Sequential, { { "a", nn.ReLU() }, { "a", nn.ReLU() } })
    refuses("no dot", nn.Sequential, { { "a.b", nn.ReLU() } })
    refuses('unknown option "slop"; did you mean "slope"?', nn.LeakyReLU, { slop = 1 })
  end)

  it("refuse to nest beyond any use", function()
    local m, nested = nn.ReLU(), 0
    refuses("at most 100 deep", function()
      for i = 1, 1000 do
        m = nn.Sequential { m }
        nested = i
      end
    end)
    assert.equal(99, nested)
    assert.equal(0, #m:parameters())
    m = nn.Linear(1, 1)
    for _ = 1, 20 do m = nn.Sequential { { ("long"):rep(6), m } } end
    refuses("the path of a tensor is longer than", m.parameters, m)
  end)

  it("drop a share of the elements in training, nothing in evaluation", function()
    local m, x = nn.Sequential { nn.Dropout { p = 0.25 } }:initialise(1), nn.ones { 100, 100 }
    assert.equal(1, m(x):mean():item())
    local y, again = m:train(function() return m(x), m(x) end)
    local kept = y:gt(0):mean():item()
    assert.is_true(kept > 0.73 and kept < 0.77)
    assert.is_true((y - again):abs():sum():item() > 0)
    assert.same(m:forward(x, { training = true, seed = 5 }):tolist(),
      m:forward(x, { training = true, seed = 5 }):tolist())
  end)
end)
