--- The gradient attacks in C: what holds of every one of them, answers that are known, and what they leave as it was.
local examples = require "tests.help_examples"
local linear = require "tests.linear"
local nn = require "nn"

local run = nn.attack.run

-- Numbers of a tensor in a row.
local function flat(t) return t:reshape({ t:count() }):tolist() end

local function index(list) return nn.tensor(list, { type = "index" }) end

-- A net with batch norm, whose running statistics are not those it begins with.
local function net(classes, seed)
  nn.seed(seed)
  local model = nn.Sequential { nn.Normalize({ 0.4 }, { 0.3 }), nn.Conv2d(1, 4, { padding = 1 }), nn.BatchNorm2d(4),
    nn.ReLU(), nn.Flatten(), nn.Linear(4 * 25, classes) }
  nn.no_grad(model.forward, model, nn.uniform({ 16, 5, 5, 1 }, { seed = seed }), { training = true })
  return model
end

local function images(count, seed) return nn.uniform({ count, 5, 5, 1 }, { seed = seed }) end

local function labels(count, classes)
  local list = {}
  for i = 1, count do list[i] = (i - 1) % classes + 1 end
  return list
end

local function logits_of(model, x) return nn.no_grad(model.forward, model, x, { training = false }):tolist() end

local function greatest(z, but)
  local best
  for k = 1, #z do
    if k ~= but and (not best or z[k] > z[best]) then best = k end
  end
  return best
end

local function answers(model, x)
  local list = {}
  for i, z in ipairs(logits_of(model, x)) do list[i] = greatest(z) end
  return list
end

local formula = {}
function formula.ce(z, y)
  local sum = 0
  for _, v in ipairs(z) do sum = sum + math.exp(v - z[y]) end
  return math.log(sum)
end
function formula.margin(z, y) return z[greatest(z, y)] - z[y] end
function formula.dlr(z, y)
  local sorted = table.move(z, 1, #z, 1, {})
  table.sort(sorted, function(a, b) return a > b end)
  return formula.margin(z, y) / (sorted[1] - sorted[3] + 1e-12)
end

local function losses(model, x, y, name)
  local list = {}
  for i, z in ipairs(logits_of(model, x)) do list[i] = formula[name](z, y[i]) end
  return list
end

-- Of each image.
local function distances(x, found, norm)
  local moved, list = (found - x):reshape { x.shape[1], -1 }, {}
  local length = norm == "l2" and (moved * moved):sum(2):sqrt() or moved:abs():max(2)
  for i, value in ipairs(length:tolist()) do list[i] = value end
  return list
end

-- Everything of a model that an attack is to leave alone.
local function state_of(model)
  local state = {}
  for name, t in pairs(model:state()) do
    state[name] = { flat(t), t.requires_grad, t.grad == nil }
  end
  return state
end

local draw_number = 0
local function draw(list)
  draw_number = draw_number + 1
  return list[1 + math.floor(nn.random(11, 3, draw_number) * #list)]
end

local function configuration()
  local name = draw { "pgd", "pgd", "pgd", "fgsm", "apgd" }
  local o = { norm = draw { "linf", "l2" }, eps = draw { 0, 0.01, 0.1, 0.5, 3 }, seed = draw { 1, 2, 3 },
              bn = draw { "eval", "eval", "train" } }
  if name == "apgd" then
    o.iters, o.restarts, o.loss = draw { 1, 7, 20 }, draw { 1, 2 }, draw { "ce", "dlr", "dlr_targeted" }
    o.targets = draw { 1, 9 }
    return name, o
  end
  o.label, o.loss = draw { "true", "predicted", "least_likely", "target" }, draw { "ce", "dlr", "margin" }
  if name == "fgsm" then return name, o end
  o.step, o.iters, o.restarts = draw { false, 0, 0.03, 1 } or nil, draw { 0, 1, 4 }, draw { 1, 1, 2 }
  o.start, o.iterate = draw { "none", "uniform", "normal" }, draw { "last", "best" }
  if draw { 1, 2, 3, 4 } == 1 then o.loss, o.label, o.start = "kl", "true", draw { "uniform", "normal" } end
  return name, o
end

local function show(name, options)
  local parts = {}
  for key, value in pairs(options) do parts[#parts + 1] = key .. "=" .. tostring(value) end
  table.sort(parts)
  return name .. " " .. table.concat(parts, " ")
end

describe("every attack", function()
  it("stays in the ball and in [0, 1], and leaves the model as it was: 200 configurations", function()
    local models = { net(4, 1), net(6, 2) }
    local before = { state_of(models[1]), state_of(models[2]) }
    for i = 1, 200 do
      local name, o = configuration()
      local which = 1 + i % 2
      local count = 1 + i % 5 + (o.bn == "train" and 1 or 0)
      local x = images(count, i)
      if i % 7 == 0 then x = x:gt(0.5) end  -- at the ends of the range
      local y = labels(count, 4)
      local found = run(name, models[which], x, index(y), o)
      local text = ("%d: %s"):format(i, show(name, o))
      assert.same(x.shape, found.shape, text)
      assert.is_false(found.requires_grad, text)
      assert.is_true(found:min():item() >= 0 and found:max():item() <= 1, text)
      for _, far in ipairs(distances(x, found, o.norm)) do assert.is_true(far <= o.eps + 1e-6, text .. " " .. far) end
      if o.eps == 0 or (o.start == "none" and (o.iters == 0 or o.step == 0)) then
        assert.same(flat(x), flat(found), text)
      end
      assert.same(before[which], state_of(models[which]), text)
    end
  end)

  it("with the best iterate is never worse than its start or its last", function()
    local model = net(5, 3)
    local x, y = images(12, 4), labels(12, 5)
    local gained = 0
    for _, norm in ipairs { "linf", "l2" } do
      for _, name in ipairs { "ce", "margin", "dlr" } do
        local o = { norm = norm, eps = 0.2, step = 0.3, iters = 6, loss = name, seed = 5 }
        local function value(iterate, iters)
          local options = { iterate = iterate }
          for k, v in pairs(o) do options[k] = v end
          options.iters = iters or o.iters
          return losses(model, run("pgd", model, x, index(y), options), y, name)
        end
        local best, last, start = value "best", value "last", value("last", 0)
        for i = 1, 12 do
          assert.is_true(best[i] >= last[i] - 1e-6 and best[i] >= start[i] - 1e-6)
          if best[i] > last[i] + 1e-3 then gained = gained + 1 end
        end
      end
    end
    assert.is_true(gained > 0)
  end)

  it("gives the same bits with any number of threads", function()
    local model, x, y = net(5, 3), images(40, 4), index(labels(40, 5))
    local cases = { { "pgd", {} }, { "pgd", { norm = "l2", restarts = 2 } }, { "apgd", { iters = 15 } },
                    { "apgd", { iters = 15, norm = "l2", loss = "dlr_targeted" } } }
    local threads = nn.threads()
    for _, case in ipairs(cases) do
      local name, o = table.unpack(case)
      o.eps, o.seed = o.norm == "l2" and 0.5 or 0.1, 3
      local results = {}
      for _, n in ipairs { 1, 2, 3 } do
        nn.threads(n)
        results[#results + 1] = flat((run(name, model, x, y, o)))
      end
      nn.threads(threads)
      assert.same(results[1], results[2])
      assert.same(results[1], results[3])
    end
  end)

  it("does not depend on how images are cut into batches", function()
    local model, x, y = net(5, 3), images(11, 4), labels(11, 5)
    local start = { eps = 0.1, iters = 0, seed = 3 }
    local cases = { { "pgd", start, 0 }, { "pgd", { eps = 0.1, seed = 3, iterate = "best" }, 0.001 },
                    { "pgd", { norm = "l2", eps = 0.5, seed = 3, restarts = 2 }, 0.001 },
                    { "apgd", { eps = 0.05, iters = 20, seed = 3, loss = "dlr" }, 0.001 } }
    for _, case in ipairs(cases) do
      local name, o, share = table.unpack(case)
      local whole, apart = flat((run(name, model, x, index(y), o))), {}
      for from = 1, 11, 4 do
        local to = math.min(from + 3, 11)
        local options = { offset = from - 1 }
        for k, v in pairs(o) do options[k] = v end
        local part = run(name, model, x:slice(1, from, to), index { table.unpack(y, from, to) }, options)
        for _, v in ipairs(flat(part)) do apart[#apart + 1] = v end
      end
      local other = 0
      for i, v in ipairs(whole) do
        if math.abs(v - apart[i]) > 1e-5 then other = other + 1 end
      end
      assert.is_true(other <= share * #whole, name .. " " .. other)
    end
  end)

  it("draws by its seed, and without one anew each time", function()
    local model, x, y = net(4, 1), images(3, 1), index { 1, 2, 3 }
    local function drawn(seed, offset)
      return flat((run("pgd", model, x, y, { eps = 0.1, iters = 0, seed = seed, offset = offset })))
    end
    assert.same(drawn(1), drawn(1))
    assert.are_not.same(drawn(1), drawn(2))
    assert.are_not.same(drawn(1), drawn(1, 1))
    assert.are_not.same(drawn(), drawn())
  end)

  it("takes no image, and no gradient of its caller's", function()
    local model = net(4, 1)
    local none = nn.zeros { 0, 5, 5, 1 }
    assert.same({ 0, 5, 5, 1 }, run("apgd", model, none, nn.zeros({ 0 }, { type = "index" }), { eps = 0.1 }).shape)
    local x = images(2, 1)
    x.requires_grad = true
    local options = { eps = 0.1, seed = 1 }
    local found = run("pgd", model, x * 1, index { 1, 2 }, options)
    assert.is_nil(x.grad)
    assert.is_false(found.requires_grad)
    assert.same(flat(found), flat((nn.no_grad(run, "pgd", model, x:detach(), index { 1, 2 }, options))))
    assert.is_true(x.requires_grad)
  end)
end)

describe("fgsm and pgd", function()
  it("take the sign of the gradient, or its direction", function()
    -- two classes: d CE / d x = (1 - p_y) (w_other - w_y)
    local dense = linear { { 1, -2, 0, 0.5 }, { 0, 0, 0, 0 } }
    local model = { forward = function(_, images_in) return dense(images_in:reshape { -1, 4 }) end }
    local x, y = nn.full({ 1, 2, 2, 1 }, 0.5), index { 1 }
    local function moved(name, o)
      local list = flat(run(name, model, x, y, o) - x)
      for i, v in ipairs(list) do list[i] = math.floor(v * 1e4 + 0.5) / 1e4 end
      return list
    end
    assert.same({ -0.1, 0.1, 0.0, -0.1 }, moved("fgsm", { eps = 0.1 }))
    assert.same({ -0.04, 0.04, 0.0, -0.04 }, moved("pgd", { eps = 0.1, step = 0.02, iters = 2, start = "none" }))
    assert.same({ 0.1, -0.1, 0.0, 0.1 }, moved("fgsm", { eps = 0.1, label = "target" }))
    local length = math.sqrt(1 + 4 + 0.25)
    local expected = {}
    for i, v in ipairs { -1, 2, 0, -0.5 } do expected[i] = math.floor(0.2 * v / length * 1e4 + 0.5) / 1e4 end
    for i, v in ipairs(moved("fgsm", { norm = "l2", eps = 0.2 })) do assert.near(expected[i], v, 1.1e-4) end
  end)

  it("climb away from what the model says, or to the least likely class", function()
    local model, x = net(5, 6), images(8, 2)
    local said, least = answers(model, x), {}
    for i, z in ipairs(logits_of(model, x)) do
      for k = 1, #z do z[k] = -z[k] end
      least[i] = greatest(z)
    end
    local o = { eps = 0.1, start = "none" }
    local function with(label, y)
      o.label = label
      return flat((run("pgd", model, x, index(y), o)))
    end
    local any = labels(8, 5)
    assert.same(with("true", said), with("predicted", any))
    assert.same(with("target", least), with("least_likely", any))
    assert.are_not.same(with("true", any), with("predicted", any))
  end)

  it("with restarts keep what fooled the model, and leave alone what it gets wrong", function()
    local model, x = net(5, 6), images(30, 2)
    local said = answers(model, x)
    local y = { table.unpack(said) }
    for i = 1, 10 do y[i] = y[i] % 5 + 1 end
    local o = { eps = 0.02, step = 0.02, iters = 1, seed = 1 }
    local function resist(restarts)
      o.restarts = restarts
      local found, info = run("pgd", model, x, index(y), o)
      local left = 0
      for i, k in ipairs(answers(model, found)) do
        if i <= 10 then assert.same(flat(x[i]), flat(found[i])) end
        left = left + (k == y[i] and 1 or 0)
      end
      return left, info
    end
    local few, more = resist(2), resist(20)
    local _, info = resist(3)
    assert.is_true(more <= few)
    assert.is_true(info.forward >= 30 + 20 * 2 and info.forward <= 30 + 20 * 2 * 3)
    assert.equal(30, select(2, run("pgd", model, x, index(y), { eps = 0.02, iters = 1, seed = 1 })).forward)
  end)

  it("begin near the image for kl, whose loss is flat there", function()
    local model, x, y = net(4, 1), images(4, 1), index(labels(4, 4))
    local o = { eps = 0.1, loss = "kl", start = "normal", iters = 0, seed = 1 }
    local far = distances(x, run("pgd", model, x, y, o), "linf")
    for _, d in ipairs(far) do assert.is_true(d > 0 and d < 0.006) end
    o.iters = 5
    local found = run("pgd", model, x, y, o)
    local before, after = nn.no_grad(model, x), nn.no_grad(model, found)
    assert.is_true(nn.kl_divergence(before, after):item() > 0.001)
    local more = run("pgd", model, x, y, { eps = 0.2, loss = "kl", iters = 10, seed = 1, iterate = "best" })
    assert.is_true(nn.kl_divergence(before, nn.no_grad(model, more)):item() > nn.kl_divergence(before, after):item())
  end)
end)

describe("on a linear model", function()
  -- How far each image is from falling: min over k of (z_y - z_k) / ||w_y - w_k||, in the dual norm, as long as no
  -- pixel meets an end of the range.
  local function closed_form(w, x, y, norm)
    local far = {}
    for i, row in ipairs(x) do
      far[i] = math.huge
      for k = 1, #w do
        local gap, dual = 0, 0
        for j, v in ipairs(row) do
          local d = w[y[i]][j] - w[k][j]
          gap = gap + d * v
          dual = dual + (norm == "l2" and d * d or math.abs(d))
        end
        if norm == "l2" then dual = math.sqrt(dual) end
        if k ~= y[i] then far[i] = math.min(far[i], gap / dual) end
      end
    end
    return far
  end

  -- Between two neighbours in the middle of the list, the two that are farthest apart.
  local function between(list)
    local sorted, best = table.move(list, 1, #list, 1, {}), nil
    table.sort(sorted)
    for i = #list // 3, 2 * #list // 3 do
      if not best or sorted[i + 1] - sorted[i] > sorted[best + 1] - sorted[best] then best = i end
    end
    return (sorted[best] + sorted[best + 1]) / 2
  end

  local function case(classes, seed, norm, name, options)
    local inputs, count = 6, 60
    local weight = nn.uniform({ classes, inputs }, { low = -1, high = 1, seed = seed })
    local w = (weight - weight:mean(2, { keep = true })):tolist()  -- no class is ahead in the middle of the range
    local x = nn.uniform({ count, inputs, 1, 1 }, { low = 0.4, high = 0.6, seed = seed + 1 })
    local dense = linear(w)
    local model = { forward = function(_, images_in) return dense(images_in:reshape { -1, inputs }) end }
    local y = answers(model, x)
    local far = closed_form(w, x:reshape({ count, inputs }):tolist(), y, norm)
    options.norm, options.eps, options.seed = norm, between(far), 1
    assert.is_true(options.eps < 0.4)
    local found = run(name, model, x, index(y), options)
    for i, k in ipairs(answers(model, found)) do
      assert.equal(far[i] > options.eps, k == y[i], ("%s: %g"):format(show(name, options), far[i]))
    end
  end

  it("of two classes one step is exact", function()
    case(2, 1, "linf", "fgsm", {})
    case(2, 2, "l2", "fgsm", {})
    case(2, 3, "linf", "pgd", { iters = 20, restarts = 2 })
    case(2, 4, "l2", "apgd", {})
  end)

  it("of more classes the robust accuracy is the closed form", function()
    for seed = 1, 5 do
      case(5, 10 * seed, "linf", "apgd", { loss = "dlr_targeted" })
      case(5, 10 * seed + 5, "l2", "apgd", { loss = "dlr_targeted" })
    end
  end)
end)

describe("apgd", function()
  local function tanh_net()
    nn.seed(9)
    return nn.Sequential { nn.Flatten(), nn.Linear(25, 12), nn.Tanh(), nn.Linear(12, 5) }
  end

  -- The paper's algorithm, for one image, in plain words.
  local function reference(model, x, y, start, o)
    local function project(z)
      if o.norm == "linf" then z = x + (z - x):clamp { min = -o.eps, max = o.eps } end
      if o.norm == "l2" then
        local length = ((z - x) * (z - x)):sum():sqrt():item()
        if length > o.eps then z = x + (z - x) * (o.eps / length) end
      end
      return z:clamp { min = 0, max = 1 }
    end
    local function look(z)
      z.requires_grad = true
      local logits = model(z)
      local order, row = {}, logits:detach():tolist()[1]
      for k = 1, #row do order[k] = k end
      table.sort(order, function(a, b) return row[a] > row[b] end)
      local other = order[1] ~= y and order[1] or order[2]
      local value = nn.cross_entropy(logits, index { y })
      if o.loss == "dlr" then
        local function at(k) return logits:slice(2, k, k):sum() end
        value = (at(other) - at(y)) / (at(order[1]) - at(order[3]))
      end
      value:backward()
      local g = z.grad
      if o.norm == "linf" then g = g:sign() else g = g / (g * g):sum():sqrt():item() end
      return value:item(), g, order[1] == y
    end
    local here = project(start)
    local value, g, right = look(here)
    if not right then return here:detach() end
    local best, best_g, best_value, best_before = here, g, value, value
    local before, step, halved, rises, since = here, 2 * o.eps, false, 0, 0
    local stretch = math.max(1, math.floor(0.22 * o.iters))
    for i = 1, o.iters do
      local ahead = nn.no_grad(function()
        local z = project(here + g * step)
        local a = i == 1 and 1 or 0.75
        return project(here + (z - here) * a + (here - before) * (1 - a))
      end)
      before, here = here, ahead:clone()
      local now
      now, g, right = look(here)
      if not right then return here:detach() end
      if now > value then rises = rises + 1 end
      value = now
      if now > best_value then best, best_g, best_value = here, g, now end
      since = since + 1
      if since == stretch and i < o.iters then
        local fails = rises < 0.75 * since or (not halved and best_before >= best_value)
        if fails then step, here, g, value = step / 2, best, best_g, best_value end
        halved, best_before, rises, since = fails, best_value, 0, 0
        stretch = math.max(stretch - math.max(1, math.floor(0.03 * o.iters)), math.max(1, math.floor(0.06 * o.iters)))
      end
    end
    return best:detach()
  end

  it("does what the paper says, step for step", function()
    local model, count = tanh_net(), 6
    local x = images(count, 8)
    local y = answers(model, x)
    for _, o in ipairs {
      { norm = "linf", eps = 0.02, loss = "ce" }, { norm = "linf", eps = 0.03, loss = "dlr" },
      { norm = "l2", eps = 0.1, loss = "ce" }, { norm = "l2", eps = 0.2, loss = "dlr" },
    } do
      o.iters, o.seed = 40, 7
      local found = run("apgd", model, x, index(y), o)
      -- the same draws in the unit ball, from the middle of the range
      local middle = nn.full({ count, 5, 5, 1 }, 0.5)
      local delta = run("pgd", model, middle, index(y), { norm = o.norm, eps = 0.4, iters = 0, seed = 7 }) - middle
      local longest, other = distances(middle, middle + delta, o.norm), 0
      for i = 1, count do
        local one = x:slice(1, i, i)
        local expected = reference(model, one, y[i], one + delta:slice(1, i, i) * (o.eps / longest[i]), o)
        local got = flat(found:slice(1, i, i))
        for k, v in ipairs(flat(expected)) do
          if math.abs(v - got[k]) > 1e-4 then other = other + 1 end
        end
      end
      assert.is_true(other <= 2, show("apgd", o) .. ": pixels that differ: " .. other)
    end
  end)

  it("spends passes only on what resists", function()
    local model, x = tanh_net(), images(20, 8)
    local said = answers(model, x)
    local wrong = {}
    for i, k in ipairs(said) do wrong[i] = k % 5 + 1 end
    local found, info = run("apgd", model, x, index(wrong), { eps = 0.1 })
    assert.same(flat(x), flat(found))
    assert.same({ forward = 20, backward = 0, zero_gradient = 0, nonfinite_gradient = 0 }, info)
    found, info = run("apgd", model, x, index(said), { eps = 0.5, seed = 1 })
    for i, k in ipairs(answers(model, found)) do assert.are_not.equal(said[i], k) end
    assert.is_true(info.forward < 20 * 10)
    info = select(2, run("apgd", model, x, index(said), { eps = 0, iters = 10 }))
    assert.equal(20 + 20 * 11, info.forward)
    assert.equal(20 * 10, info.backward)
  end)

  it("finds with restarts and targets what it missed without", function()
    local model, x = tanh_net(), images(60, 3)
    local y = answers(model, x)
    local function left(o)
      o.eps, o.iters, o.seed = 0.03, 5, 2
      local count = 0
      local found = run("apgd", model, x, index(y), o)
      for i, k in ipairs(answers(model, found)) do count = count + (k == y[i] and 1 or 0) end
      return count
    end
    local one = left { loss = "dlr_targeted", targets = 1 }
    assert.is_true(left { loss = "dlr_targeted" } <= one)
    assert.is_true(left { restarts = 5 } <= left {})
    assert.is_true(one < 60)
  end)
end)

describe("a model of one's own", function()
  it("gives the bits that its module gives, and its parameters stay out of it", function()
    local model, x, y = net(4, 1), images(6, 1), index(labels(6, 4))
    local asked = {}
    local own = { forward = function(_, images_in, options)
      asked[#asked + 1] = options
      return model:forward(images_in, options)
    end }
    local before = state_of(model)
    for _, name in ipairs { "fgsm", "pgd", "apgd" } do
      for _, bn in ipairs { "eval", "train" } do
        local o = { eps = 0.1, seed = 1, bn = bn }
        assert.same(flat((run(name, model, x, y, o))), flat((run(name, own, x, y, o))))
        assert.same({ training = bn == "train", update = false }, asked[#asked])
      end
    end
    assert.same(before, state_of(model))
  end)

  it("may have no gradient, or one that is not finite", function()
    local x, y = images(3, 1), index { 1, 2, 1 }
    local constant = { forward = function(_, z) return nn.zeros { z.shape[1], 3 } + 0 * z:sum() end }
    local found, info = run("pgd", constant, x, y, { eps = 0.1, iters = 2, start = "none" })
    assert.same(flat(x), flat(found))
    assert.same({ forward = 6, backward = 6, zero_gradient = 3, nonfinite_gradient = 0 }, info)
    local cut = { forward = function(_, z) return nn.no_grad(function() return z:reshape { -1, 25 } end) end }
    info = select(2, run("pgd", cut, x, y, { eps = 0.1, iters = 2 }))
    assert.equal(3, info.zero_gradient)
    local broken = { forward = function(_, z)  -- the root's gradient at 0 is infinite
      return z:reshape({ -1, 25 }) + (z * 0):sqrt():reshape { -1, 25 }
    end }
    found, info = run("pgd", broken, x, y, { eps = 0.1, iters = 2 })
    assert.equal(3, info.nonfinite_gradient)
    assert.is_true(found:min():item() >= 0 and found:max():item() <= 1)
  end)

  it("may fail: the error is its own, and gradients flow as before", function()
    local model, x, y = net(4, 1), images(4, 1), index(labels(4, 4))
    local before, passes, mine = state_of(model), 0, { "mine" }
    local own = { forward = function(_, z)
      passes = passes + 1
      if passes == 3 then error(mine) end
      return model(z)
    end }
    for _, name in ipairs { "pgd", "apgd" } do
      passes = 0
      local ok, problem = pcall(run, name, own, x, y, { eps = 0.001 })
      assert.is_false(ok)
      assert.equal(mine, problem)
      assert.same(before, state_of(model))
    end
    local function stops(done) if done > 8 then error(mine) end end
    local ok, problem = pcall(run, "pgd", model, x, y, { eps = 0.1, progress = stops })
    assert.is_false(ok)
    assert.equal(mine, problem)
    assert.same(before, state_of(model))
    nn.cross_entropy(model(x), y):backward()
    for _, p in ipairs(model:parameters()) do assert.truthy(p.grad) end
    assert.is_nil(x.grad)
    model:zero_grad()
  end)

  it("keeps its frozen parameters frozen", function()
    local model, x, y = net(4, 1), images(4, 1), index(labels(4, 4))
    local whole = flat((run("pgd", model, x, y, { eps = 0.1, seed = 1 })))
    model:freeze()
    local before = state_of(model)
    assert.same(whole, flat((run("pgd", model, x, y, { eps = 0.1, seed = 1 }))))
    assert.same(before, state_of(model))
  end)
end)

describe("statistics of the batch", function()
  it("are used on request, and never change the running ones", function()
    local model, x, y = net(4, 1), images(6, 1), index(labels(6, 4))
    local before = state_of(model)
    local evaluation = run("pgd", model, x, y, { eps = 0.1, seed = 1 })
    local training = run("pgd", model, x, y, { eps = 0.1, seed = 1, bn = "train" })
    assert.are_not.same(flat(evaluation), flat(training))
    assert.same(before, state_of(model))
    for _, composed in ipairs { false, true } do
      local options = { training = true, update = false, composed = composed }
      local kept = model:forward(x, options)
      assert.same(before, state_of(model))
      options.update = nil
      local updated = model:forward(x, options)
      assert.same(flat(kept), flat(updated))
      assert.are_not.same(before, state_of(model))
      before = state_of(model)
    end
  end)

  it("give the parameters the gradients they have when they are kept", function()
    local model, x, y = net(4, 1), images(6, 1), index(labels(6, 4))
    local found = {}
    for _, update in ipairs { true, false } do
      for _, composed in ipairs { true, false } do
        local options = { training = true, update = update, composed = composed }
        nn.cross_entropy(model:forward(x, options), y):backward()
        local list = {}
        for _, p in ipairs(model:parameters()) do list[#list + 1] = flat(p.grad) end
        for i, gradient in ipairs(list) do
          for k, v in ipairs(gradient) do assert.near(found[i] and found[i][k] or v, v, 1e-5) end
        end
        found = #found > 0 and found or list
        model:zero_grad()
      end
    end
  end)
end)

describe("progress", function()
  it("rises to its end, which comes no later than foretold", function()
    local model, x = net(5, 3), images(8, 4)
    local y = answers(model, x)
    for _, case in ipairs { { "pgd", { iterate = "best" } }, { "pgd", { restarts = 3 } }, { "apgd", { iters = 12 } },
                            { "apgd", { iters = 12, loss = "dlr_targeted" } } } do
      local name, o = table.unpack(case)
      local last, promised, calls = 0, math.huge, 0
      o.eps, o.seed = 0.03, 1
      o.progress = function(done, total)
        assert.is_true(done > last and done <= total and total <= promised)
        last, promised, calls = done, total, calls + 1
      end
      local _, info = run(name, model, x, index(y), o)
      assert.equal(info.forward + info.backward, last)
      assert.equal(last, promised)
      assert.is_true(calls > 3)
    end
  end)
end)

describe("project", function()
  it("moves each image to the nearest in the ball and in [0, 1]", function()
    local x = nn.tensor { { 0.5, 0.95 }, { 0.5, 0.5 } }:reshape { 2, 2, 1, 1 }
    local far = nn.tensor { { 0.9, 2 }, { 0.52, 0.49 } }:reshape { 2, 2, 1, 1 }
    local function projected(norm, eps)
      local list = flat(nn.attack.project(x, far, { norm = norm, eps = eps }))
      for i, v in ipairs(list) do list[i] = math.floor(v * 1e5 + 0.5) / 1e5 end
      return list
    end
    assert.same({ 0.6, 1.0, 0.52, 0.49 }, projected("linf", 0.1))
    local length = math.sqrt(0.4 ^ 2 + 1.05 ^ 2)
    assert.near(0.5 + 0.1 * 0.4 / length, projected("l2", 0.1)[1], 2e-5)
    assert.near(1, projected("l2", 0.1)[2], 2e-5)
    assert.same({ 0.5, 0.95, 0.5, 0.5 }, projected("l2", 0))
    local nan = nn.full({ 2, 2, 1, 1 }, 0 / 0)
    for _, norm in ipairs { "linf", "l2" } do
      for _, d in ipairs(distances(x, nn.attack.project(x, nan, { norm = norm, eps = 0.1 }), norm)) do
        assert.is_true(d <= 0.1 + 1e-6)
      end
    end
    assert.error_matches(function() nn.attack.project(x, far:reshape { 1, 4, 1, 1 }, { eps = 1 }) end,
      "project: images of one shape expected, got %[2x2x1x1%] and %[1x4x1x1%]")
    assert.error_matches(function() nn.attack.project(x, far, { eps = -1 }) end, "project: eps")
    assert.error_matches(function() nn.attack.project(far, x, { eps = 1 }) end, "project: images in %[0, 1%] expected")
  end)
end)

describe("an attack says what it cannot do:", function()
  local model, x, y = net(3, 1), images(2, 1), index { 1, 2 }

  local function refused(text, name, options, images_in, labels_in, other)
    it(text, function()
      assert.error_matches(function()
        run(name, other or model, images_in or x, labels_in or y, options)
      end, text)
    end)
  end

  refused("pgd: images in %[0, 1%] expected, got %-1 %.%.%. 1; normalisation is the model's first layer: "
    .. "models%.NAME{ normalize = set%.stats }", "pgd", { eps = 0.1 }, x:gt(0.5) * 2 - 1)
  refused("pgd: images in %[0, 1%] expected, got pixels that are not numbers", "pgd", { eps = 0.1 }, x * (0 / 0))
  refused("fgsm: images of float in %[0, 1%] expected, got uint8", "fgsm", { eps = 0.1 }, x:gt(0.5):to "uint8")
  refused("pgd: images %[N x H x W x C%] expected, got %[50%]", "pgd", { eps = 0.1 }, x:reshape { 50 })
  refused("pgd: labels of type index expected, got float", "pgd", { eps = 0.1 }, nil, nn.zeros { 2 })
  refused("pgd: one label for each image expected, got labels %[3%] for images %[2x5x5x1%]", "pgd", { eps = 0.1 }, nil,
    index { 1, 2, 3 })
  refused("pgd: label 4 of image 2 is not one of the model's 3 classes", "pgd", { eps = 0.1 }, nil, index { 1, 4 })
  refused("pgd: option eps is missing", "pgd", {})
  refused("pgd: eps must be at least 0, got %-0.1", "pgd", { eps = -0.1 })
  refused("pgd: eps must be at least 0, got", "pgd", { eps = 0 / 0 })
  refused("pgd: eps expects a number up to 1e%+30, got inf", "pgd", { eps = math.huge })
  refused("pgd: iters must be at least 0 and at most 100000, got", "pgd", { eps = 0.1, iters = math.maxinteger })
  refused("pgd: the loss kl is flat at the image itself", "pgd", { eps = 0.1, loss = "kl", start = "none" })
  refused("pgd: the loss kl compares", "pgd", { eps = 0.1, loss = "kl", label = "predicted" })
  refused('pgd: unknown option "stpe"; did you mean "step"', "pgd", { eps = 0.1, stpe = 1 })
  refused("apgd: the loss dlr_targeted needs at least 4 classes, the model has 3", "apgd",
    { eps = 0.1, loss = "dlr_targeted" })
  refused("apgd: the loss dlr needs at least 3 classes, the model has 2", "apgd", { eps = 0.1, loss = "dlr" }, nil, nil,
    net(2, 1))
  refused('attack: unknown attack "pgdd"; did you mean "pgd"', "pgdd", { eps = 0.1 })
  refused("attack: a model, or a table with a method forward, expected, got table", "pgd", { eps = 0.1 }, nil, nil, {})
  refused("attack: the model's forward is to return logits, got nil", "pgd", { eps = 0.1 }, nil, nil,
    { forward = function() end })
  refused("pgd: the model makes float %[2x5x5x1%] of images %[2x5x5x1%], where logits %[N x classes%] are expected",
    "pgd", { eps = 0.1 }, nil, nil, { forward = function(_, z) return z end })
end)

describe("the example of", function()
  for _, row in ipairs(nn.attack.rows()) do
    if row.name == "fgsm" or row.name == "pgd" or row.name == "apgd" then
      it(row.name, function()
        for _, wrong in ipairs(examples.run(row.example)) do
          error(wrong.code .. "\n" .. table.concat(wrong.got, "\n"))
        end
      end)
    end
  end
end)
