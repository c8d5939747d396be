--- Square and FAB: what they ask of a model, what they never do, and answers that are known.
local examples = require "tests.help_examples"
local nn = require "nn"

local run = nn.attack.run

-- Numbers of a tensor in a row.
local function flat(t) return t:reshape({ t:count() }):tolist() end

local function index(list) return nn.tensor(list, { type = "index" }) end

-- z = w x + b of images; w: a list of rows. Notes what it was asked, when asked to.
local function linear(w, b, seen)
  local weight, bias = nn.tensor(w):transpose(1, 2), nn.tensor(b)
  return { forward = function(_, x)
    if seen then seen[#seen + 1] = x:clone() end
    return x:reshape({ x.shape[1], #w[1] }):matmul(weight) + bias
  end }
end

-- A small net of the module kind; equal seeds, equal nets.
local function net(side, channels, classes, seed)
  nn.seed(seed)
  return nn.Sequential { nn.Conv2d(channels, 6, { padding = 1 }), nn.ReLU(), nn.Flatten(),
    nn.Linear(6 * side * side, classes) }
end

local function logits_of(model, x) return nn.no_grad(function() return model:forward(x, { training = false }) end) end

-- What the model says of each image; ties go to the first.
local function answers(model, x) return logits_of(model, x):argmax(2):tolist() end

-- max of the others - z_y, for each image
local function losses(model, x, y)
  local out = {}
  for i, z in ipairs(logits_of(model, x):tolist()) do
    local best = -math.huge
    for k, v in ipairs(z) do
      if k ~= y[i] then best = math.max(best, v) end
    end
    out[i] = best - z[y[i]]
  end
  return out
end

local function distance(a, b, norm)
  local d = a - b
  return norm == "l2" and math.sqrt((d * d):sum():item()) or d:abs():max():item()
end

local function draw_from(list, i, k) return list[1 + (i * 7 + k * 3) % #list] end

describe("square", function()
  -- The side of the window for proposal i (from 0).
  local function side_at(i, side, p)
    for _, after in ipairs { 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000 } do
      if i > after then p = p / 2 end
    end
    return side * math.sqrt(p)
  end

  -- The smallest square that holds all pixels in which two images differ: rows, columns, or nil when there are none.
  local function changed(a, b, side, channels)
    local p, q = flat(a), flat(b)
    local top, bottom, left, right
    for i = 0, side - 1 do
      for j = 0, side - 1 do
        for c = 1, channels do
          local at = (i * side + j) * channels + c
          if p[at] ~= q[at] then
            top, bottom = top or i, i
            left, right = math.min(left or j, j), math.max(right or j, j)
          end
        end
      end
    end
    if top then return { top = top, left = left, height = bottom - top + 1, width = right - left + 1 } end
  end

  it("starts with stripes and changes one window at a time, as the schedule says", function()
    local side, channels, eps, p_init = 12, 3, 0.125, 0.5
    nn.seed(3)
    local count = side * side * channels
    local seen = {}
    local w = { flat(nn.normal { count }), flat(nn.normal { count }) }
    local model = linear(w, { 400, 0 }, seen) -- never fooled
    local x = nn.full({ 1, side, side, channels }, 0.5)
    local found, info = run("square", model, x, index { 1 }, { eps = eps, queries = 260, p_init = p_init, seed = 4 })
    assert.equal(262, info.forward) -- the image, the start, the proposals
    assert.equal(0, info.backward)
    local start = seen[2]:tolist()[1]
    local ups = 0
    for j = 1, side do
      for c = 1, channels do
        for i = 1, side do
          assert.equal(start[1][j][c], start[i][j][c])
          assert.equal(eps, math.abs(start[i][j][c] - 0.5))
        end
        if start[1][j][c] > 0.5 then ups = ups + 1 end
      end
    end
    assert.is_true(ups > 6 and ups < 30, ups)

    local best, loss = seen[2], losses(linear(w, { 400, 0 }), seen[2], { 1 })[1]
    local kept, whole, edges = 0, 0, {}
    for k = 3, #seen do
      local h = math.max(1, math.floor(side_at(k - 3, side, p_init) + 0.5))
      local window = changed(best, seen[k], side, channels)
      if window then
        assert.is_true(window.height <= h and window.width <= h)
        if k - 3 <= 12 then assert.equal(h, window.height) end -- so early no window is half unchanged
        if window.height == h and window.width == h then whole = whole + 1 end
        if window.top == 0 then edges.top = true end
        if window.left == 0 then edges.left = true end
        if window.top + window.height == side then edges.bottom = true end
        if window.left + window.width == side then edges.right = true end
        local rows, sign = seen[k]:tolist()[1], {}
        for i = window.top + 1, window.top + window.height do
          for j = window.left + 1, window.left + window.width do
            for c = 1, channels do
              assert.equal(eps, math.abs(rows[i][j][c] - 0.5))
              if window.height == h and window.width == h then
                sign[c] = sign[c] or rows[i][j][c]
                assert.equal(sign[c], rows[i][j][c])
              end
            end
          end
        end
      end
      local now = losses(linear(w, { 400, 0 }), seen[k], { 1 })[1]
      if now > loss then best, loss, kept = seen[k], now, kept + 1 end
    end
    assert.is_true(kept > 20 and whole > 100, kept .. " " .. whole)
    assert.same({ top = true, left = true, bottom = true, right = true }, edges)
    assert.same(flat(best), flat(found))
  end)

  it("moves mass between two windows in the Euclidean ball", function()
    local side, channels, eps = 11, 2, 0.6
    nn.seed(5)
    local count = side * side * channels
    local seen = {}
    local w = { flat(nn.normal { count }), flat(nn.normal { count }) }
    local x = nn.full({ 1, side, side, channels }, 0.5)
    local found = run("square", linear(w, { 400, 0 }, seen), x, index { 1 },
      { norm = "l2", eps = eps, queries = 120, p_init = 0.3, seed = 2 })
    local plain = linear(w, { 400, 0 })
    -- 25 tiles of 2 x 2 at rows and columns 1 .. 10 of 11, all of one length in each channel
    local start = (seen[2] - x):tolist()[1]
    for tile = 0, 24 do
      for c = 1, channels do
        local square = 0
        for i = 1, 2 do
          for j = 1, 2 do square = square + start[tile // 5 * 2 + i][tile % 5 * 2 + j][c] ^ 2 end
        end
        assert.near(eps / math.sqrt(25 * channels), math.sqrt(square), 1e-6)
      end
    end
    local best, loss, kept = seen[2], losses(plain, seen[2], { 1 })[1], 0
    for k = 3, #seen do
      assert.near(eps, distance(seen[k], x, "l2"), 1e-5)
      local now = losses(plain, seen[k], { 1 })[1]
      if now > loss then best, loss, kept = seen[k], now, kept + 1 end
    end
    assert.is_true(kept > 10, kept)
    assert.same(flat(best), flat(found))
  end)

  -- The paper's equation 2: two halves, each of which falls from its middle.
  local function bump(h)
    local eta, length = {}, 0
    local function fall(i, j, rows, columns)
      local n, sum = columns // 2, 0
      for k = 0, n - math.max(math.abs(i - rows // 2 - 1), math.abs(j - columns // 2 - 1)) do
        sum = sum + 1 / (n + 1 - k) ^ 2
      end
      return sum
    end
    for i = 1, h do
      eta[i] = {}
      for j = 1, h do
        local half = h // 2
        eta[i][j] = i <= half and fall(i, j, half, h) or -fall(i - half, j, h - half, h)
        length = length + eta[i][j] ^ 2
      end
    end
    for i = 1, h do
      for j = 1, h do eta[i][j] = eta[i][j] / math.sqrt(length) end
    end
    return eta
  end

  -- Is `after` what the paper's algorithm 3 makes of `before` (both lists [row][column][channel]) with some two windows
  -- of side h, turned or not, and some sign for each channel?
  local function explained(x, before, after, eps, h)
    local side, channels, eta = #x, #x[1][1], bump(h)
    local unused = eps ^ 2
    for i = 1, side do
      for j = 1, side do
        for c = 1, channels do unused = unused - (before[i][j][c] - x[i][j][c]) ^ 2 end
      end
    end
    unused = math.max(unused, 0)
    local function inside(top, left, i, j) return i > top and i <= top + h and j > left and j <= left + h end
    local function fits(c, top, left, top2, left2, turned, sign)
      local there, either = 0, 0
      for i = 1, side do
        for j = 1, side do
          local v, first = (before[i][j][c] - x[i][j][c]) ^ 2, inside(top, left, i, j)
          if first then there = there + v end
          if first or inside(top2, left2, i, j) then either = either + v end
        end
      end
      local new, length = {}, 0
      for i = 1, h do
        for j = 1, h do
          local old = before[top + i][left + j][c] - x[top + i][left + j][c]
          local v = sign * (turned and eta[j][i] or eta[i][j]) + (there > 0 and old / math.sqrt(there) or 0)
          new[i * h + j], length = v, length + v ^ 2
        end
      end
      local scale = math.sqrt(either + unused / channels) / math.sqrt(length)
      for i = 1, side do
        for j = 1, side do
          local expected = before[i][j][c]
          if inside(top, left, i, j) then
            expected = x[i][j][c] + new[(i - top) * h + j - left] * scale
          elseif inside(top2, left2, i, j) then
            expected = x[i][j][c]
          end
          if math.abs(math.min(math.max(expected, 0), 1) - after[i][j][c]) > 2e-5 then return false end
        end
      end
      return true
    end
    local last = side - h
    for place = 0, (last + 1) ^ 4 - 1 do
      local n = last + 1
      local top, left, top2, left2 = place // n ^ 3 | 0, place // n ^ 2 % n | 0, place // n % n | 0, place % n | 0
      for _, turned in ipairs { false, true } do
        local all = true
        for c = 1, channels do
          all = all and (fits(c, top, left, top2, left2, turned, 1) or fits(c, top, left, top2, left2, turned, -1))
        end
        if all then return true end
      end
    end
    return false
  end

  it("makes its Euclidean proposals as the paper's algorithm does", function()
    for _, setting in ipairs { { p_init = 0.2, h = 3 }, { p_init = 0.4, h = 5 } } do
      local side, channels, eps = 7, 2, 0.9
      nn.seed(6)
      local seen, count = {}, side * side * channels
      local w = { flat(nn.normal { count }), flat(nn.normal { count }) }
      local x = nn.uniform({ 1, side, side, channels }, { seed = 9 }) -- some pixels near a face: clipped
      run("square", linear(w, { 400, 0 }, seen), x, index { 1 },
        { norm = "l2", eps = eps, queries = 10, p_init = setting.p_init, seed = 3 })
      local plain, best = linear(w, { 400, 0 }), seen[2]
      local loss, shorter = losses(plain, best, { 1 })[1], 0
      for k = 3, #seen do
        if distance(seen[k], x, "l2") < eps - 1e-3 then shorter = shorter + 1 end -- clipped
        assert.is_true(explained(x:tolist()[1], best:tolist()[1], seen[k]:tolist()[1], eps, setting.h))
        local now = losses(plain, seen[k], { 1 })[1]
        if now > loss then best, loss = seen[k], now end
      end
      assert.is_true(shorter > 3, shorter)
    end
  end)

  it("stays in the ball and in [0, 1], and never loses what it has", function()
    for i = 1, 40 do
      local norm = draw_from({ "linf", "l2" }, i, 1)
      local side, channels = draw_from({ 5, 7, 8, 12 }, i, 2), draw_from({ 1, 3 }, i, 3)
      local eps = draw_from(norm == "l2" and { 0, 0.2, 1, 3 } or { 0, 0.01, 0.1, 0.6 }, i, 4)
      local options = { norm = norm, eps = eps, p_init = draw_from({ 0.05, 0.8, 1 }, i, 5), rescale = i % 2 == 0,
        seed = i }
      local model = net(side, channels, 4, i)
      local x = nn.uniform({ 4, side, side, channels }, { seed = i })
      local y = answers(model, x)
      local before
      for _, queries in ipairs { 0, 3, 12, 40 } do
        options.queries = queries
        local found = run("square", model, x, index(y), options)
        assert.is_true(found:min():item() >= 0 and found:max():item() <= 1)
        for n = 1, 4 do assert.is_true(distance(found[n], x[n], norm) <= eps + 1e-6) end
        if eps == 0 then assert.same(flat(x), flat(found)) end
        local now = losses(model, found, y)
        for n = 1, 4 do
          assert.is_true(options.rescale or not before or now[n] >= before[n] - 1e-6)
        end
        before = now
      end
    end
  end)

  it("is the same whatever the batches and the number of threads", function()
    local model = net(9, 3, 5, 1)
    local x = nn.uniform({ 12, 9, 9, 3 }, { seed = 2 })
    local y = answers(model, x)
    local threads = nn.threads()
    for _, norm in ipairs { "linf", "l2" } do
      local options = { norm = norm, eps = norm == "l2" and 0.8 or 0.05, queries = 30, seed = 8 }
      local whole = run("square", model, x, index(y), options)
      nn.threads(threads == 1 and 3 or 1)
      assert.same(flat(whole), flat(run("square", model, x, index(y), options)))
      nn.threads(threads)
      local parts = {}
      for first = 1, 12, 5 do
        local last = math.min(first + 4, 12)
        options.offset = first - 1
        parts[#parts + 1] = run("square", model, x:slice(1, first, last), index { table.unpack(y, first, last) },
          options)
      end
      local joined = nn.cat(parts, 1)
      assert.is_true((whole - joined):abs():max():item() < 1e-6)
      options.offset, options.seed = nil, 9
      assert.is_true((whole - run("square", model, x, index(y), options)):abs():max():item() > 0)
    end
  end)

  it("asks only about what resists", function()
    local model = net(8, 1, 3, 2)
    local x = nn.uniform({ 6, 8, 8, 1 }, { seed = 3 })
    local y = answers(model, x)
    local wrong = {}
    for i, k in ipairs(y) do wrong[i] = k % 3 + 1 end
    local found, info = run("square", model, x, index(wrong), { eps = 0.5, queries = 50, seed = 1 })
    assert.same(flat(x), flat(found))
    assert.equal(6, info.forward)
    local _, all = run("square", model, x, index(y), { eps = 1, queries = 5000, seed = 1 })
    assert.is_true(all.forward < 6 * 500, all.forward) -- all fooled soon, then it ends
    local told = {}
    run("square", model, x, index(y), { eps = 0, queries = 5, seed = 1, progress = function(done, total)
      told[#told + 1] = done .. " of " .. total
    end })
    assert.same({ "12 of 42", "18 of 42", "24 of 42", "30 of 42", "36 of 42", "42 of 42" }, told)
  end)

  it("says what it cannot do", function()
    local model = net(8, 1, 3, 2)
    local function attack(x, options) run("square", model, x, index { 1 }, options) end
    assert.error_matches(function() attack(nn.zeros { 1, 8, 6, 1 }, { eps = 0.1 }) end,
      "square: images as high as wide expected, got 8 x 6 %(x %[1x8x6x1%]%)")
    assert.error_matches(function() attack(nn.zeros { 1, 64 }, { eps = 0.1 }) end,
      "square: images %[N x H x W x C%] expected, got %[1x64%]")
    assert.error_matches(function() attack(nn.zeros { 1, 4, 4, 1 }, { eps = 0.1, norm = "l2" }) end,
      "square: images of at least 5 x 5 pixels expected, got x %[1x4x4x1%]")
    assert.error_matches(function() attack(nn.full({ 1, 8, 8, 1 }, 2), { eps = 0.1 }) end,
      "square: images in %[0, 1%] expected, got 2 %.%.%. 2")
    assert.error_matches(function() attack(nn.zeros { 1, 8, 8, 1 }, { eps = 0.1, p_int = 1 }) end, "p_init")
    assert.error_matches(function() attack(nn.zeros { 1, 8, 8, 1 }) end, "eps")
  end)
end)

describe("fab", function()
  -- The least distance in the norm at which w . d = gap can be had from x within [0, 1]: by halving the step's
  -- multiplier.
  local function least(x, w, gap, norm)
    local low, high = 0, 1e4
    local function reach(t)
      local along, length = 0, 0
      for i, at in ipairs(x) do
        local room = w[i] > 0 and 1 - at or at
        local move = math.min(t * (norm == "l2" and math.abs(w[i]) or 1), room)
        along = along + math.abs(w[i]) * move
        length = norm == "l2" and length + move * move or math.max(length, move)
      end
      return along, norm == "l2" and math.sqrt(length) or length
    end
    for _ = 1, 100 do
      local t = 0.5 * (low + high)
      if reach(t) < gap then low = t else high = t end
    end
    return select(2, reach(high)), reach(1e4) >= gap
  end

  -- Linear models of several classes, whose nearest boundaries are known.
  local function case(i, classes)
    local count = 16
    nn.seed(100 + i)
    local w, b = nn.normal({ classes, count }):tolist(), flat(0.3 * nn.normal { classes })
    local x = nn.uniform({ 3, 4, 4, 1 }, { seed = i })
    if i % 3 == 0 then x = (2 * x - 0.5):clamp { min = 0, max = 1 } end -- faces of the box
    local y = answers(linear(w, b), x)
    return w, b, x, y
  end

  local function nearest(w, b, x, y, norm)
    local best = math.huge
    for k = 1, #w do
      if k ~= y then
        local row, gap = {}, b[y] - b[k]
        for i, at in ipairs(x) do
          row[i] = w[k][i] - w[y][i]
          gap = gap - row[i] * at
        end
        local length, reached = least(x, row, gap, norm)
        if reached then best = math.min(best, length) end
      end
    end
    return best
  end

  it("finds the nearest point of a linear model", function()
    local found_some, bound = 0, 0
    for i = 1, 24 do
      local classes, norm = draw_from({ 2, 3, 6 }, i, 1), draw_from({ "linf", "l2" }, i, 0)
      local w, b, x, y = case(i, classes)
      local model = linear(w, b)
      local found = run("fab", model, x, index(y), { eps = 100, norm = norm, iters = 20, minimal = true })
      assert.is_true(found:min():item() >= 0 and found:max():item() <= 1)
      local says = answers(model, found)
      for n = 1, 3 do
        local expected = nearest(w, b, flat(x[n]), y[n], norm)
        if expected < math.huge then
          found_some = found_some + 1
          assert.not_equal(y[n], says[n])
          local length = distance(found[n], x[n], norm)
          -- Overshooting by 5 % and going back by 10 %, it settles a little beyond the boundary; the last steps end on
          -- it, where rounding may put them on the wrong side.
          assert.near(1, length / expected, 1e-2)
          assert.is_true(length >= expected - 1e-5)
        else
          assert.same(flat(x[n]), flat(found[n]))
        end
        for _, v in ipairs(flat(found[n])) do
          if v == 0 or v == 1 then bound = bound + 1 end
        end
      end
    end
    assert.is_true(found_some > 60 and bound > 20, found_some .. " " .. bound)
  end)

  it("is fooled exactly where the ball reaches a boundary", function()
    local counts = { inside = 0, outside = 0 }
    for i = 1, 16 do
      local norm = draw_from({ "linf", "l2" }, i, 0)
      local w, b, x, y = case(i, 4)
      local model = linear(w, b)
      local eps = norm == "l2" and 0.35 or 0.1
      local found, info = run("fab", model, x, index(y), { eps = eps, norm = norm, iters = 30 })
      local says = answers(model, found)
      for n = 1, 3 do
        local expected = nearest(w, b, flat(x[n]), y[n], norm)
        if expected < eps * 0.999 then
          counts.inside = counts.inside + 1
          assert.not_equal(y[n], says[n])
          assert.is_true(distance(found[n], x[n], norm) <= eps + 1e-6)
        elseif expected > eps then
          counts.outside = counts.outside + 1
          assert.same(flat(x[n]), flat(found[n])) -- as it was
        end
      end
      assert.is_true(info.backward <= 3 * 3 * 30)
    end
    assert.is_true(counts.inside > 8 and counts.outside > 8, counts.inside .. " " .. counts.outside)
  end)

  it("takes its first steps as the paper's algorithm does", function()
    local w, b = { { 2, 1, 0.5, -1 }, { 0, 0, 0, 0 } }, { -0.4, 0 }
    local x = nn.full({ 1, 2, 2, 1 }, 0.4)
    for norm, length in pairs { linf = 0.6 / 4.5, l2 = 0.6 / 2.5 } do -- z_1 - z_2 = 0.6
      local function ratio(options)
        options.norm, options.search, options.minimal = norm, 0, options.eps == nil
        options.eps = options.eps or 5
        local found, info = run("fab", linear(w, b), x, index { 1 }, options)
        return distance(found, x, norm) / length, info
      end
      assert.near(1.05, ratio { iters = 1 }, 1e-5)
      assert.near(1.03, ratio { iters = 1, eta = 1.03 }, 1e-5)
      -- back to 0.9 * 1.05 = 0.945; 0.055 to go; alpha = 0.055 / 1.055
      local alpha = 0.055 / 1.055
      assert.near((1 - alpha) * (0.945 + 1.05 * 0.055) + alpha * 1.05, ratio { iters = 2 }, 1e-5)
      assert.near(0.99 * (0.945 + 1.05 * 0.055) + 0.01 * 1.05, ratio { iters = 2, alpha_max = 0.01 }, 1e-5)
      -- the first misjudged point is outside this ball, the second is in it
      local reached, info = ratio { iters = 9, eps = 1.02 * length }
      assert.near(1.00521, reached, 1e-5)
      assert.equal(2, info.backward)
    end
  end)

  it("begins restarts at random, half of eps away, each image with draws of its own", function()
    local w, b = { { 2, 1, 0.5, -1 }, { 0, 0, 0, 0 } }, { 400, 0 }
    local x = nn.full({ 3, 2, 2, 1 }, 0.5)
    for _, norm in ipairs { "linf", "l2" } do
      local seen, again = {}, {}
      local options = { norm = norm, eps = 0.25, iters = 1, restarts = 2, seed = 7 }
      run("fab", linear(w, b, seen), x, index { 2, 1, 1 }, options) -- the first is wrong already
      options.offset = 1
      run("fab", linear(w, b, again), x:slice(1, 2, 3), index { 1, 1 }, options)
      local starts = seen[4] -- after the images, a step and what it gives
      for n = 1, 2 do assert.near(0.125, distance(starts[n], x[n], norm), 1e-6) end
      assert.is_true(distance(starts[1], starts[2], norm) > 0.01)
      assert.same(flat(starts), flat(again[4]))
    end
  end)

  it("stays in the ball and in [0, 1]; the nearest point is at most as far as the first", function()
    for i = 1, 40 do
      local norm = draw_from({ "linf", "l2" }, i, 1)
      local side, channels = draw_from({ 3, 6, 7 }, i, 2), draw_from({ 1, 3 }, i, 3)
      local eps = draw_from(norm == "l2" and { 0, 0.3, 2 } or { 0, 0.03, 0.4 }, i, 4)
      local options = { norm = norm, eps = eps, iters = draw_from({ 1, 5, 15 }, i, 5),
        targets = draw_from({ 1, 3, 9 }, i, 6), restarts = draw_from({ 1, 3 }, i, 7),
        beta = draw_from({ 0.5, 0.9 }, i, 8),
        search = draw_from({ 0, 3 }, i, 9), seed = i }
      local model = net(side, channels, 4, i)
      local x = nn.uniform({ 4, side, side, channels }, { seed = i })
      local y = answers(model, x)
      local found = run("fab", model, x, index(y), options)
      options.minimal = true
      local near = run("fab", model, x, index(y), options)
      local first, last = answers(model, found), answers(model, near)
      for n = 1, 4 do
        local d, e = distance(found[n], x[n], norm), distance(near[n], x[n], norm)
        assert.is_true(d <= eps + 1e-6 and e <= eps + 1e-6)
        assert.equal(d > 0, first[n] ~= y[n])
        assert.equal(e > 0, last[n] ~= y[n])
        if options.restarts == 1 and d > 0 then assert.is_true(e > 0 and e <= d + 1e-6) end
      end
      for _, t in ipairs { found, near } do assert.is_true(t:min():item() >= 0 and t:max():item() <= 1) end
    end
  end)

  it("is the same whatever the batches and the number of threads", function()
    local model = net(7, 3, 5, 3)
    local x = nn.uniform({ 10, 7, 7, 3 }, { seed = 4 })
    local y = answers(model, x)
    local threads = nn.threads()
    local far = run("fab", model, x, index(y), { eps = 1, iters = 12, minimal = true })
    local lengths = {}
    for n = 1, 10 do lengths[n] = distance(far[n], x[n]) end
    table.sort(lengths)
    local options = { eps = lengths[5] + 1e-4, iters = 12, restarts = 2, seed = 8 } -- half of them leave on the way
    local whole = run("fab", model, x, index(y), options)
    nn.threads(threads == 1 and 3 or 1)
    assert.same(flat(whole), flat(run("fab", model, x, index(y), options)))
    nn.threads(threads)
    for n = 1, 10 do
      options.offset = n - 1
      local alone = run("fab", model, x:slice(1, n, n), index { y[n] }, options)
      assert.is_true(distance(alone[1], whole[n]) < 1e-5)
    end
  end)

  it("leaves alone what is wrong already, and what has no gradient", function()
    local model = net(6, 1, 3, 2)
    local x = nn.uniform({ 4, 6, 6, 1 }, { seed = 3 })
    local wrong = {}
    for i, k in ipairs(answers(model, x)) do wrong[i] = k % 3 + 1 end
    local found, info = run("fab", model, x, index(wrong), { eps = 0.5 })
    assert.same(flat(x), flat(found))
    assert.same({ forward = 4, backward = 0, zero_gradient = 0, nonfinite_gradient = 0 }, info)
    local flat_model = linear({ { 0, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 1, 0 })
    local still = nn.full({ 2, 2, 2, 1 }, 0.25)
    found, info = run("fab", flat_model, still, index { 1, 1 }, { eps = 0.5, iters = 3 })
    assert.same(flat(still), flat(found))
    assert.equal(2, info.zero_gradient)
    assert.equal(6, info.backward)
  end)

  it("says what it cannot do", function()
    local one = linear({ { 1, 0, 0, 0 } }, { 0 })
    assert.error_matches(function() run("fab", one, nn.zeros { 1, 2, 2, 1 }, index { 1 }, { eps = 0.1 }) end,
      "fab: .*at least 2 classes, the model has 1")
    local model = net(4, 1, 3, 2)
    local function attack(value, options) run("fab", model, nn.full({ 1, 4, 4, 1 }, value), index { 1 }, options) end
    assert.error_matches(function() attack(-1, { eps = 0.1 }) end, "fab: images in %[0, 1%] expected, got %-1")
    assert.error_matches(function() attack(0, { eps = 0.1, beta = 1 }) end, "beta")
    assert.error_matches(function() attack(0, { eps = 0.1, alpha = 1 }) end, "alpha_max")
    assert.error_matches(function() attack(0, { eps = 0 / 0 }) end, "eps")
  end)
end)

describe("square and fab", function()
  -- Each allocation fails in turn.
  for _, name in ipairs { "square", "fab" } do
    for _, norm in ipairs { "linf", "l2" } do
      it("give up cleanly without memory: " .. name .. ", " .. norm, function()
        nn.seed(1)
        local model = linear(nn.normal({ 3, 25 }):tolist(), { 0, 0, 0 })
        local x = nn.uniform({ 2, 5, 5, 1 }, { seed = 1 })
        local y = index(answers(model, x))
        local options = { norm = norm, eps = 0.01, seed = 1 }
        options[name == "square" and "queries" or "iters"] = 1
        local function settle()
          collectgarbage()
          collectgarbage()
          return nn.live_tensors(), nn.memory.stats().blocks
        end
        local tensors, blocks = settle()
        local failed, fine = 0
        repeat
          nn.memory.fail_at(failed + 1)
          local message
          fine, message = pcall(run, name, model, x, y, options)
          nn.memory.fail_at(0)
          if not fine then
            failed = failed + 1
            assert.matches("out of memory", message)
          end
        until fine
        assert.is_true(failed > 10, failed)
        local tensors_left, blocks_left = settle()
        assert.equal(tensors, tensors_left)
        assert.equal(blocks, blocks_left)
      end)
    end
  end
end)

describe("the example of", function()
  for _, row in ipairs(nn.attack.rows()) do
    if row.name == "square" or row.name == "fab" then
      it(row.name, function()
        local wrong = examples.run(row.example)[1]
        assert(not wrong, wrong and wrong.code .. "\n" .. table.concat(wrong.got, "\n"))
      end)
    end
  end
end)
