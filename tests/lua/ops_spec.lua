--- What each op does as a script sees it: functions, methods and operators, counting from 1, options by name.
local nn <const> = require "nn"

local function T(list) return nn.tensor(list) end
local function index(list) return nn.tensor(list, { type = "index" }) end

local function check_near(expected, got, path)
  if type(expected) == "table" then
    assert.equal("table", type(got), path)
    assert.equal(#expected, #got, path)
    for i, v in ipairs(expected) do check_near(v, got[i], path .. "[" .. i .. "]") end
  elseif expected ~= expected then
    assert.is_true(got ~= got, path)
  else
    assert.is_true(expected == got or math.abs(expected - got) <= 1e-5 * math.max(1, math.abs(expected)),
      ("%s: expected %.8g, got %.8g"):format(path, expected, got))
  end
end

-- The tensor holds these values, in this shape; a number is a tensor without axes.
local function holds(expected, t)
  if type(expected) == "number" then
    assert.same({}, t.shape)
    check_near(expected, t:item(), "value")
  else
    check_near(expected, t:tolist(), "value")
  end
end

local function raises(message, f, ...)
  local ok, got = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(tostring(got):find(message, 1, true), ("%q does not say %q"):format(tostring(got), message))
end

-- The gradient of f(x) summed up, at x.
local function slope(f, x)
  local leaf = x:clone()
  leaf.requires_grad = true
  f(leaf):sum():backward()
  return leaf.grad
end

describe("arithmetic", function()
  it("comes as functions, methods and operators", function()
    local a, b = T { 1, 2, 3 }, T { 4, 5, 6 }
    for _, sum in ipairs { nn.add(a, b), a:add(b), a + b } do holds({ 5, 7, 9 }, sum) end
    holds({ -3, -3, -3 }, a - b)
    holds({ 4, 10, 18 }, a * b)
    holds({ 0.25, 0.4, 0.5 }, a / b)
    holds({ 1, 32, 729 }, a ^ b)
    holds({ -1, -2, -3 }, -a)
  end)

  it("takes a number on either side", function()
    local a = T { 1, 2, 4 }
    holds({ 2, 3, 5 }, a + 1)
    holds({ 9, 8, 6 }, 10 - a)
    holds({ 4, 2, 1 }, 4 / a)
    holds({ 1, 4, 16 }, a ^ 2)
    holds({ 2, 4, 16 }, 2 ^ a)
    holds({ 2, 2, 4 }, a:maximum(2))
    holds({ 1, 2, 2 }, a:minimum(2))
  end)

  it("repeats axes of size 1 and missing ones", function()
    local x = T { { 1, 2, 3 }, { 4, 5, 6 } }
    holds({ { 11, 22, 33 }, { 14, 25, 36 } }, x + T { 10, 20, 30 })
    holds({ { 11, 12, 13 }, { 24, 25, 26 } }, x + T { { 10 }, { 20 } })
    holds({ { 11, 21 }, { 12, 22 } }, T { { 1 }, { 2 } } + T { 10, 20 })
    assert.same({ 4, 2, 3 }, (nn.zeros { 4, 1, 3 } + x).shape)
    raises("add: shapes do not broadcast: sizes 3 and 2 at axis -1 (a [2x3], b [2])", nn.add, x, T { 1, 2 })
  end)

  it("sums the gradient over what was repeated", function()
    local x = T { { 1, 2, 3 }, { 4, 5, 6 } }
    holds({ 5, 7, 9 }, slope(function(b) return x * b end, T { 1, 1, 1 }))
    holds({ { 6 }, { 15 } }, slope(function(b) return x * b end, T { { 1 }, { 1 } }))
    holds(-6, slope(function(b) return x - b end, nn.tensor(2.0)))
  end)

  it("has a gradient of powers that stays finite where it can", function()
    holds({ 0, -4, 6 }, slope(function(x) return x ^ 2 end, T { 0, -2, 3 }))
    holds({ 0, 0 }, slope(function(x) return x ^ 0 end, T { 0, -2 }))
    holds({ 0, 4 * math.log(2) }, slope(function(b) return T { 0, 2 } ^ b end, T { 2, 2 }))
  end)

  it("halves the gradient between equals", function()
    holds({ 0.5, 0, 1 }, slope(function(x) return x:maximum(1) end, T { 1, 0, 2 }))
    holds({ 0.5, 1, 0 }, slope(function(x) return x:minimum(1) end, T { 1, 0, 2 }))
  end)

  it("compares by methods, as 0 and 1", function()
    local x, y = T { 1, 2, 3 }, T { 2, 2, 2 }
    holds({ 0, 1, 0 }, x:eq(y))
    holds({ 1, 0, 1 }, x:ne(y))
    holds({ 1, 0, 0 }, x:lt(y))
    holds({ 1, 1, 0 }, x:le(y))
    holds({ 0, 0, 1 }, x:gt(2))
    holds({ 0, 1, 1 }, x:ge(2))
    x.requires_grad = true
    assert.is_false(x:gt(0).requires_grad)
  end)

  it("chooses by a condition of any type", function()
    local a, b = T { 1, 2 }, T { 10, 20 }
    holds({ 1, 20 }, nn.where(T { 1, 0 }, a, b))
    holds({ 10, 2 }, nn.where(nn.tensor({ 0, 255 }, { type = "uint8" }), a, b))
    holds({ 1, 0 }, slope(function(x) return nn.where(T { 1, 0 }, x, 5) end, a))
    holds({ 0, 3 }, nn.where(T { -1, 3 }:gt(0), T { -1, 3 }, 0))
  end)
end)

describe("pointwise functions", function()
  local x = T { -2, -0.5, 0, 0.5, 2 }

  it("give their values", function()
    holds({ 0, 0, 0, 0.5, 2 }, nn.relu(x))
    holds({ 0, 0, 0, 0.5, 2 }, x:relu())
    holds({ -0.02, -0.005, 0, 0.5, 2 }, x:leaky_relu())
    holds({ -0.4, -0.1, 0, 0.5, 2 }, x:leaky_relu { slope = 0.2 })
    holds({ 2, 0.5, 0, 0.5, 2 }, x:abs())
    holds({ -1, -1, 0, 1, 1 }, x:sign())
    holds({ 4, 0.25, 0, 0.25, 4 }, x:square())
    holds({ -1, -0.5, 0, 0.5, 1 }, x:clamp { min = -1, max = 1 })
    holds({ 0, 0, 0, 0.5, 2 }, x:clamp { min = 0 })
    holds({ math.exp(-2), math.exp(-0.5), 1, math.exp(0.5), math.exp(2) }, x:exp())
    holds({ 0, math.log(2), -math.huge }, T { 1, 2, 0 }:log())
    holds({ 0, 2, 0 / 0 }, T { 0, 4, -1 }:sqrt())
    holds({ -0.96402758, -0.46211716, 0, 0.46211716, 0.96402758 }, x:tanh())
    holds({ 0.11920292, 0.37754067, 0.5, 0.62245933, 0.88079708 }, x:sigmoid())
    holds({ -0.04550026, -0.15426877, 0, 0.34573123, 1.95449974 }, x:gelu())
    holds({ -0.04540231, -0.15428599, 0, 0.34571401, 1.95459769 }, x:gelu { approximate = "tanh" })
  end)

  it("have the documented slope at a kink", function()
    local zero = T { 0 }
    holds({ 0 }, slope(nn.relu, zero))
    holds({ 0 }, slope(nn.abs, zero))
    assert.is_true(math.abs(slope(nn.leaky_relu, zero):get(1) - 0.01) < 1e-7)
    holds({ 0, 1, 1, 1, 0 }, slope(function(t) return t:clamp { min = -0.5, max = 0.5 } end, x))
  end)

  it("keep a NaN", function()
    local nan = T { 0 / 0 }
    for _, name in ipairs { "relu", "leaky_relu", "exp", "tanh", "sigmoid", "gelu", "abs", "sign", "square" } do
      assert.is_true(nn[name](nan):get(1) ~= nn[name](nan):get(1), name)
    end
  end)

  it("refuse bad options", function()
    raises("clamp: expects min, max or both", x.clamp, x)
    raises("clamp: expects min <= max, got 2 and 1", x.clamp, x, { min = 2, max = 1 })
    raises("slope must be at least 0, got -1", x.leaky_relu, x, { slope = -1 })
    raises('did you mean "slope"?', x.leaky_relu, x, { slop = 1 })
    raises("approximate expects one of none tanh, got erf", x.gelu, x, { approximate = "erf" })
    raises("got tan; did you mean tanh?", x.gelu, x, { approximate = "tan" })
    raises("axis expects an axis or a list of axes, got 0", x.sum, x, 0)
    raises("relu: x expects a tensor of float, got uint8", nn.relu, nn.zeros({ 2 }, { type = "uint8" }))
  end)
end)

describe("reductions", function()
  local x = T { { 1, 2, 3 }, { 4, 5, 9 } }

  it("go over all axes, one or several, counted from 1", function()
    holds(24, x:sum())
    holds({ 5, 7, 12 }, x:sum(1))
    holds({ 6, 18 }, x:sum(2))
    holds({ 6, 18 }, x:sum(-1))
    holds(24, x:sum { 1, 2 })
    holds(4, x:mean())
    holds({ 2, 6 }, nn.mean(x, 2))
    holds({ { 6 }, { 18 } }, x:sum(2, { keep = true }))
    holds({ { 24 } }, x:sum { keep = true })
    holds({ 4, 5, 9 }, x:max(1))
    holds(1, x:min())
    raises("sum: axis 3 is not one of the tensor's 2 (x [2x3])", x.sum, x, 3)
    raises("axis 1 is named twice", x.sum, x, { 1, -2 })
  end)

  it("find places, printed from 1", function()
    local y = T { { 3, 9, 9 }, { 7, 1, 2 } }
    assert.equal("index", y:argmax(2).type)
    holds({ 2, 1 }, y:argmax(2))
    holds({ 2, 1, 1 }, y:argmax(1))
    holds({ { 1, 2, 2 } }, y:argmin(1, { keep = true }))
    holds(2, y:argmax())
    holds(5, y:argmin())
  end)

  it("give statistics", function()
    holds({ 1, 7 }, x:variance(2))
    holds({ 2 / 3, 14 / 3 }, x:variance(2, { unbiased = false }))
    holds({ 5, 13 }, T { { 3, 4 }, { 5, -12 } }:norm(2))
    holds({ 7, 17 }, T { { 3, 4 }, { 5, -12 } }:norm(2, { p = 1 }))
    raises("expects at least 2 elements to reduce, got 1", nn.variance, T { { 1 }, { 2 } }, 2)
    raises("p must be above 0", nn.norm, x, { p = 0 })
  end)

  it("send the gradient of an extreme to the first of equals", function()
    holds({ { 0, 1, 0 }, { 1, 0, 0 } }, slope(function(t) return t:max(2) end, T { { 3, 9, 9 }, { 7, 7, 2 } }))
    holds({ { 0, 0 }, { 1, 0 } }, slope(function(t) return t:min() end, T { { 3, 4 }, { 1, 1 } }))
  end)

  it("refuse to average nothing", function()
    local none = nn.zeros { 0, 3 }
    holds(0, none:sum())
    raises("mean: expects at least one element to reduce (x [0x3])", none.mean, none)
  end)
end)

describe("softmax", function()
  it("runs along the last axis, or another", function()
    local x = T { { 0, math.log(3) }, { 1000, 1000 } }
    holds({ { 0.25, 0.75 }, { 0.5, 0.5 } }, x:softmax())
    holds({ { math.log(0.25), math.log(0.75) }, { -math.log(2), -math.log(2) } }, x:log_softmax())
    holds({ { 0, 0 }, { 1, 1 } }, x:softmax(1))
  end)
end)

describe("shapes", function()
  local x = T { { 1, 2, 3 }, { 4, 5, 6 } }

  it("change without moving elements", function()
    holds({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, x:reshape { 3, 2 })
    holds({ 1, 2, 3, 4, 5, 6 }, x:reshape { -1 })
    holds({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, x:transpose(1, 2))
    holds({ { 1, 2 }, { 4, 5 } }, x:slice(2, 1, 2))
    holds({ { 2, 3 }, { 5, 6 } }, x:slice(2, 2, -1))
    holds({ { 1, 3 }, { 4, 6 } }, x:slice(-1, 1, 3, { step = 2 }))
    holds({ { { 1, 1 } }, { { 2, 2 } } }, T { { 1 }, { 2 } }:reshape { 2, 1, 1 }:expand { 2, 1, 2 })
    holds({ 1, 4, 2, 5, 3, 6 }, x:transpose(1, 2):reshape { 6 })
    raises("reshape: 6 elements do not fill [4x2] (x [2x3])", x.reshape, x, { 4, 2 })
    raises("reshape: 0 elements do not fill [0x-1] (x [0x3])", nn.zeros({ 0 }).reshape, nn.zeros { 0, 3 }, { 0, -1 })
    raises("slice: axis 2 has places 1..3, got 2..4", x.slice, x, 2, 2, 4)
    raises("from expects", x.slice, x, 2, 0, 4)
  end)

  it("share bytes with the original", function()
    local own = x:clone()
    own:transpose(1, 2):slice(1, 3, 3):set(1, 2, 60)
    assert.equal(60, own:get(2, 3))
  end)

  it("work for every element type", function()
    local bytes = nn.tensor({ { 1, 2, 3 }, { 4, 5, 255 } }, { type = "uint8" })
    local turned = bytes:transpose(1, 2)
    assert.equal("uint8", turned.type)
    holds({ { 1, 4 }, { 2, 5 }, { 3, 255 } }, turned)
    holds({ 255 }, nn.cat({ bytes, bytes }, 1):slice(1, 4, 4):slice(2, 3, 3):reshape { 1 })
    holds({ 3, 1 }, index { 1, 3 }:index_select(1, index { 2, 1 }))
  end)

  it("pass gradients", function()
    holds({ { 1, 0, 1 }, { 1, 0, 1 } }, slope(function(t) return t:slice(2, 1, 3, { step = 2 }) end, x))
    holds({ { 4 }, { 4 } }, slope(function(t) return t:expand { 2, 4 } end, T { { 1 }, { 2 } }))
    holds({ { 1, 3, 5 }, { 2, 4, 6 } }, slope(function(t)
      return t:transpose(1, 2):reshape { 6 } * T { 1, 2, 3, 4, 5, 6 }
    end, x))
  end)

  it("grow by padding and joining", function()
    holds({ { 0, 0, 0, 0 }, { 0, 1, 2, 3 }, { 0, 4, 5, 6 } }, x:pad { 1, 0, 1, 0 })
    holds({ 7, 1, 7 }, T { 1 }:pad({ 1, 1 }, { value = 7 }))
    holds({ { 1, 2, 3, 9 }, { 4, 5, 6, 8 } }, nn.cat({ x, T { { 9 }, { 8 } } }, 2))
    raises("cat: tensors must agree but for axis 1; number 2 does not", nn.cat, { x, T { { 9 }, { 8 } } }, 1)
    raises("pairs expects 4 sizes, before and after for each axis, got 2", x.pad, x, { 1, 1 })
  end)
end)

describe("picking", function()
  local x = T { { 1, 2, 3 }, { 4, 5, 6 } }

  it("counts from 1", function()
    holds({ { 3 }, { 4 } }, x:gather(2, index { { 3 }, { 1 } }))
    holds({ { 4, 5, 6 }, { 1, 2, 3 }, { 4, 5, 6 } }, x:index_select(1, index { 2, 1, 2 }))
    holds({ { 0, 1, 0 }, { 0, 0, 1 } }, nn.one_hot(index { 2, 3 }, 3))
    raises("gather: index expects places 1..3, got 4 at [2, 1]", x.gather, x, 2, index { { 3 }, { 4 } })
    raises("index_select: index expects places 1..2, got 3 at position 2", x.index_select, x, 1, index { 1, 3 })
    raises("index expects an index tensor", x.gather, x, 2, 1)
    raises("index expects a tensor of index, got float", x.gather, x, 2, x)
  end)

  it("adds the gradients of what was picked twice", function()
    holds({ { 1, 1, 1 }, { 2, 2, 2 } }, slope(function(t) return t:index_select(1, index { 2, 1, 2 }) end, x))
    holds({ { 0, 0, 2 }, { 1, 1, 0 } }, slope(function(t) return t:gather(2, index { { 3, 3 }, { 1, 2 } }) end, x))
  end)
end)

describe("dropout", function()
  it("draws the same elements for the same seed and stream", function()
    local x = nn.ones { 1000 }
    local a, b = x:dropout { p = 0.3, seed = 5, stream = 1 }, x:dropout { p = 0.3, seed = 5, stream = 1 }
    assert.equal(1000, a:eq(b):sum():item())
    assert.is_true(a:eq(x:dropout { p = 0.3, seed = 5, stream = 2 }):sum():item() < 700)
    local kept = a:gt(0):sum():item()
    assert.is_true(kept > 620 and kept < 780)
    assert.is_true(math.abs(a:max():item() - 1 / 0.7) < 1e-6)
    assert.equal(1000, slope(function(t) return t:dropout { p = 0.3, seed = 5, stream = 1 } end, x):eq(a):sum():item())
    assert.equal(1000, x:dropout { p = 0 }:sum():item())
    raises("p must be at least 0 and below 1, got 1", x.dropout, x, { p = 1 })
  end)
end)

describe("losses", function()
  local z = T { { 0, math.log(3) }, { 0, 0 } }
  local y = index { 2, 1 }

  it("measure classes", function()
    local first, second = -math.log(0.75), math.log(2)
    holds((first + second) / 2, nn.cross_entropy(z, y))
    holds(first + second, nn.cross_entropy(z, y, { reduction = "sum" }))
    holds({ first, second }, nn.cross_entropy(z, y, { reduction = "none" }))
    holds({ 0.8 * first - 0.1 * (math.log(0.25) + math.log(0.75)), second },
      nn.cross_entropy(z, y, { smoothing = 0.2, reduction = "none" }))
    holds({ { 0.25, -0.25 }, { -0.5, 0.5 } },
      slope(function(t) return nn.cross_entropy(t, y, { reduction = "sum" }) end, z))
    holds({ 0, 1 }, nn.hinge(T { { 0, 5 }, { 1, 1 } }, y, { reduction = "none" }))
    holds({ 0, 0.5 }, nn.hinge(T { { 0, 5 }, { 1, 1 } }, y, { over = "mean", reduction = "none" }))
    raises("cross_entropy: target expects classes 1..2, got 3 at row 2", nn.cross_entropy, z, index { 1, 3 })
    raises("target expects one class for each of 2 rows (logits [2x2], target [3])", nn.cross_entropy, z,
      index { 1, 1, 1 })
  end)

  it("measure distances, saying how they are reduced", function()
    local a, b = T { { 1, 2 }, { 3, 4 } }, T { { 1, 0 }, { 0, 0 } }
    holds({ 4, 25 }, nn.squared_distance(a, b, { reduction = "none" }))
    holds(14.5, nn.squared_distance(a, b))
    holds(29, nn.squared_distance(a, b, { reduction = "sum" }))
    holds(7.25, nn.squared_distance(a, b, { reduction = "mean_all" }))
    raises("a and b expect the same shape (a [2x2], b [2])", nn.squared_distance, a, T { 1, 2 })
  end)

  it("measure divergence from logits", function()
    local q = nn.zeros { 2, 2 }
    local one = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    holds({ one, 0 }, nn.kl_divergence(z, q, { reduction = "none" }))
    holds(one / 2, nn.kl_divergence(z, q))
    holds({ one, 0 }, nn.kl_divergence(z * 2, q, { temperature = 2, reduction = "none" }))
    raises("temperature must be above 0", nn.kl_divergence, z, q, { temperature = 0 })
  end)
end)

describe("resize", function()
  it("interpolates between pixel centres", function()
    local x = T { 1, 2, 3, 4 }:reshape { 1, 2, 2, 1 }
    holds({ 1, 1.25, 1.75, 2 }, x:resize(2, 4):slice(2, 1, 1):reshape { 4 })
    holds({ 1, 4 / 3, 5 / 3, 2 }, x:resize(2, 4, { align_corners = true }):slice(2, 1, 1):reshape { 4 })
    holds({ 2.5 }, x:resize(1, 1):reshape { 1 })
    raises("resize: x expects four axes, n x height x width x channels, got 1", nn.resize, T { 1 }, 2, 2)
    raises("height must be at least 1, got 0", x.resize, x, 0, 2)
  end)
end)

describe("sizes of nothing", function()
  local function z(...) return nn.uniform({ ... }, { requires_grad = true, seed = 1 }) end

  -- { what, the shape of its result, a function that computes it }
  local cases = {
    { "conv2d without images", { 0, 3, 3, 4 }, function() return nn.conv2d(z(0, 5, 5, 3), z(3, 3, 3, 4), z(4)) end },
    { "conv2d to no channels", { 1, 3, 3, 0 }, function() return nn.conv2d(z(1, 5, 5, 3), z(3, 3, 3, 0), z(0)) end },
    { "max_pool2d of no channels", { 2, 2, 2, 0 }, function() return nn.max_pool2d(z(2, 4, 4, 0), 2) end },
    { "global_avg_pool without images", { 0, 2 }, function() return nn.global_avg_pool(z(0, 4, 4, 2)) end },
    { "batch_norm of no channels", { 4, 0 },
      function() return nn.batch_norm(z(4, 0), z(0), z(0), { training = true }) end },
    { "matmul without products", { 0, 3, 4 }, function() return nn.matmul(z(0, 3, 2), z(2, 4)) end },
    { "linear to nothing", { 2, 0 }, function() return nn.linear(z(2, 5), z(0, 5), z(0)) end },
    { "softmax of nothing", { 3, 0 }, function() return nn.softmax(z(3, 0)) end },
    { "max of no rows", { 0 }, function() return z(3, 0, 2):max { 1, 3 } end },
    { "a repeated operand", { 3, 0 }, function() return z(3, 1) * z(1, 0) end },
    { "where", { 2, 0 }, function() return nn.where(nn.zeros({ 2, 1 }, { type = "uint8" }), z(0), z(1)) end },
    { "gather", { 3, 0 }, function() return nn.gather(z(3, 4), 2, nn.zeros({ 3, 0 }, { type = "index" })) end },
    { "index_select", { 0, 4 },
      function() return nn.index_select(z(3, 4), 1, nn.zeros({ 0 }, { type = "index" })) end },
    { "resize of no channels", { 1, 5, 5, 0 }, function() return nn.resize(z(1, 3, 3, 0), 5, 5) end },
    { "cat", { 3, 2 }, function() return nn.cat({ z(0, 2), z(3, 2) }, 1) end },
    { "reshape", { 2, 0, 7 }, function() return z(0, 4):reshape { 2, 0, 7 } end },
    { "dropout", { 0 }, function() return nn.dropout(z(0)) end },
  }
  for _, case in ipairs(cases) do
    it("go both ways through " .. case[1], function()
      local y = case[3]()
      assert.same(case[2], y.shape)
      y:backward(nn.ones(y.shape))
    end)
  end

  it("leave sums at 0: a product over no terms, a bias alone", function()
    holds({ { 0, 0 }, { 0, 0 } }, nn.matmul(z(2, 0), z(0, 2)))
    holds({ { 1, 2 } }, nn.linear(z(1, 0), z(2, 0), T { 1, 2 }))
    holds({ 0, 0, 0 }, z(3, 0):sum(2))
    holds({ 0, 0, 0 }, z(3, 0):norm(2, { p = 3 }))
  end)
end)

describe("precision", function()
  after_each(function() nn.precision("fast") end)

  it("is fast until exact is asked for", function()
    assert.equal("fast", nn.precision())
    assert.equal("exact", nn.precision("exact"))
    assert.equal("exact", nn.precision())
    raises('"fast" or "exact" expected, got "double"', nn.precision, "double")
    assert.equal("exact", nn.precision())
  end)

  it("decides how a convolution rounds", function()
    local x, w = nn.uniform({ 2, 16, 16, 32 }, { seed = 1 }), nn.uniform({ 3, 3, 32, 32 }, { seed = 2 })
    local fast = nn.conv2d(x, w, { padding = 1 })
    nn.precision("exact")
    local difference = (nn.conv2d(x, w, { padding = 1 }) - fast):abs():max():item()
    assert.is_true(difference > 0)
    assert.is_true(difference < 2e-5 * 72, difference)
  end)
end)
