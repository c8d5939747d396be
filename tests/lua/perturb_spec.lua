--- Perturbations against their formulas, their algebra (sequence, choice, coin), and their draws by seed.
local nn = require "nn"
local perturb = require "perturb"

-- A few images of every kind of pixel.
local function images(channels)
  return nn.uniform({ 6, 3, 4, channels or 3 }, { seed = 5 })
end

local function same(a, b)
  local p, q = a:reshape({ a:count() }):tolist(), b:reshape({ b:count() }):tolist()
  assert.equal(#p, #q)
  for i = 1, #p do
    if p[i] ~= q[i] then return false end
  end
  return true
end

describe("perturb", function()
  it("prints one canonical line", function()
    local a, b, c = perturb.brightness(32), perturb.contrast(1.5), perturb.hue(-0.2)
    assert.equal("brightness(+32/255)", tostring(a))
    assert.equal("brightness(+32/255) | contrast(×1.5) | hue(-0.2)", tostring(a | b | c))
    assert.equal("brightness(+32/255) | contrast(×1.5) | hue(-0.2)", tostring(a | (b | c)))
    assert.equal("brightness(+32/255) >> contrast(×1.5) | hue(-0.2)", tostring(a >> b | c))
    assert.equal("brightness(+32/255) >> (contrast(×1.5) | hue(-0.2))", (a >> (b | c)):describe())
    assert.equal("maybe(0.25, brightness(+32/255) | hue(-0.2))", tostring(perturb.maybe(0.25, a | c)))
    assert.equal("(brightness(+32/255) | contrast(×1.5)) | hue(-0.2)", tostring(perturb.choice { a, b } | c))
    assert.equal("identity", tostring(perturb.identity()))
    assert.equal("hue(-0.2)", tostring(perturb.identity() >> c))
    assert.equal("brightness({±16, ±32}/255)", tostring(perturb.brightness({ 16, 32 }, { sign = "random" })))
    assert.equal("contrast(×1.5^±1, torchvision)",
      tostring(perturb.contrast(1.5, { sign = "random", convention = "torchvision" })))
    assert.equal("contrast(×0.5)", tostring(perturb.contrast(2, { sign = "negative" })))
  end)

  it("moves pixels", function()
    assert.equal("random_crop(4) >> flip(0.5)", tostring(perturb.random_crop { padding = 4 } >> perturb.flip()))
    assert.equal("random_crop(2, reflect)", tostring(perturb.random_crop { padding = 2, mode = "reflect" }))
    assert.equal("random_resized_crop(0.08 to 1, ratio 0.75 to 1.33333)", tostring(perturb.random_resized_crop()))
    local x = nn.tensor { { { { 1 }, { 2 }, { 3 } }, { { 4 }, { 5 }, { 6 } } } } / 10
    local turned = perturb.flip { probability = 1 }(x)
    assert.is_true(same(turned, nn.tensor { { { { 3 }, { 2 }, { 1 } }, { { 6 }, { 5 }, { 4 } } } } / 10))
    assert.is_true(same(perturb.flip { probability = 0 }(x), x))
    assert.is_true(same(perturb.random_crop { padding = 0 }(x), x))
    local seen = {}
    local crop = perturb.random_crop { padding = 1 }
    for step = 1, 60 do seen[crop(x, nil, nil, { step = step }):get(1, 1, 1, 1)] = true end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(5, count) -- black, or one of four
    local whole = perturb.random_resized_crop { scale = { 1, 1 }, ratio = { 1.5, 1.5 } }
    assert.is_true(same(whole(x), x))
    local both = perturb.colour() >> perturb.maybe(0.5, perturb.random_crop { padding = 1 })
    assert.is_true(same(both(images(), nil, nil, { step = 3 }), both(images(), nil, nil, { step = 3 })))
    assert.error_matches(function() perturb.random_crop { padding = 3 }(x) end,
      "random_crop: padding expects at most 2 for images of 2 x 3, got 3")
    assert.error_matches(function() perturb.random_crop { mode = "reflct" } end, 'mode expects')
    assert.error_matches(function() perturb.flip { probability = 2 } end,
      "perturb.flip: probability expects a number from 0 to 1, got 2")
    assert.error_matches(function() perturb.random_resized_crop { scale = { 1, 0.5 } } end,
      "perturb.random_resized_crop: scale expects { low, high }, two numbers from 1e%-06 to 1, got { 1, 0.5 }")
    assert.error_matches(function() perturb.level("flip", 1) end, 'unknown perturbation "flip"')
    assert.same({ "brightness", "contrast", "saturation", "hue" }, perturb.names())
  end)

  it("has the levels of Table 1", function()
    local seen = {}
    for name, level, change in perturb.levels("paper") do seen[#seen + 1] = { name, level, tostring(change) } end
    assert.equal(16, #seen)
    assert.same({ "brightness", 1, "brightness(+16/255)" }, seen[1])
    assert.same({ "contrast", 4, "contrast(×2)" }, seen[8])
    assert.same({ "hue", 4, "hue(+0.4)" }, seen[16])
    seen = {}
    for name, level in perturb.levels { 2 } do seen[#seen + 1] = name .. level end
    assert.same({ "brightness2", "contrast2", "saturation2", "hue2" }, seen)
    assert.equal("saturation({×1.25, ×1.75})", tostring(perturb.level("saturation", { 1, 3 })))
    assert.equal("brightness({+16, +32}/255) | contrast({×1.25, ×1.5}) | saturation({×1.25, ×1.5}) | hue({+0.1, +0.2})",
      tostring(perturb.colour()))
    assert.equal("contrast(×2) | saturation(×2)",
      tostring(perturb.colour { levels = { 4 }, without = { "hue", "brightness" } }))
    assert.equal("hue(±0.1)", tostring(perturb.colour { levels = { 1 }, only = { "hue" }, sign = "random" }))
    assert.equal(8 / 255, perturb.px(8))
  end)

  it("changes pixels as the formulas say", function()
    local x = nn.tensor { { { { 0.2, 0.4, 0.6 }, { 0.4, 0.4, 0.4 } } } }
    local function pixels(p)
      local out = p(x):tolist()[1][1]
      for _, pixel in ipairs(out) do
        for c = 1, 3 do pixel[c] = math.floor(pixel[c] * 1e5 + 0.5) / 1e5 end
      end
      return out
    end
    assert.same({ { 0.4, 0.6, 0.8 }, { 0.6, 0.6, 0.6 } }, pixels(perturb.brightness(51)))
    assert.same({ { 0.1, 0.4, 0.7 }, { 0.5, 0.4, 0.3 } }, pixels(perturb.contrast(2)))
    assert.same({ { 0.0, 0.3, 0.6 }, { 0.4, 0.4, 0.4 } }, pixels(perturb.saturation(2)))
    assert.same({ { 0.6, 0.4, 0.2 }, { 0.4, 0.4, 0.4 } }, pixels(perturb.hue(0.5)))
    local torchvision = { convention = "torchvision" }
    assert.same({ { 0.3, 0.6, 0.9 }, { 0.6, 0.6, 0.6 } }, pixels(perturb.brightness(1.5, torchvision)))
    -- grey = .2989 R + .587 G + .114 B: 0.36298 and 0.39996
    assert.same({ { 0.01853, 0.41853, 0.81853 }, { 0.41853, 0.41853, 0.41853 } },
      pixels(perturb.contrast(2, torchvision)))
    assert.same({ { 0.03702, 0.43702, 0.83702 }, { 0.40004, 0.40004, 0.40004 } },
      pixels(perturb.saturation(2, torchvision)))
  end)

  it("draws by seed and step, for each image apart", function()
    local x, p = images(), perturb.colour { sign = "random" }
    local first = p(x, nil, nil, { seed = 3, step = 4 })
    assert.is_true(same(first, p(x, nil, nil, { seed = 3, step = 4 })))
    assert.is_false(same(first, p(x, nil, nil, { seed = 3, step = 5 })))
    assert.is_false(same(first, p(x, nil, nil, { seed = 4, step = 4 })))
    assert.is_true(same(perturb.identity()(x), x))
    assert.is_true(same(perturb.maybe(0, p)(x), x))
    assert.is_true(same(perturb.hue(0.3)(images(1)), images(1)))
  end)

  it("gives a new tensor without history", function()
    local x = images()
    x.requires_grad = true
    local y = perturb.contrast(1.5)(x)
    assert.is_false(y.requires_grad)
    assert.is_true(same(x, images()))
  end)

  it("takes perturbations written in Lua into sequences, choices and coins", function()
    local seen = {}
    local half = perturb.new {
      name = "half",
      apply = function(x, y, model, draw)
        assert.equal("model", model)
        assert.equal("integer", math.type(draw.seed))
        seen[#seen + 1] = { #x, y and #y, draw.seed }
        return x * 0.5
      end,
    }
    local x, y = images(), nn.tensor({ 1, 2, 3, 1, 2, 3 }, { type = "index" })
    local out = (half >> perturb.identity() >> half)(x, y, "model", { seed = 1, step = 1 })
    assert.is_true(same(out, x * 0.25))
    assert.equal(2, #seen)
    assert.equal(6, seen[1][2])
    assert.not_equal(seen[1][3], seen[2][3])

    local mixed = half | perturb.identity()
    assert.equal("half | identity", tostring(mixed))
    local halved = 0
    for step = 1, 20 do
      out = mixed(x, y, "model", { seed = 1, step = step })
      for n = 1, 6 do
        local is_half = same(out[n], x[n] * 0.5)
        assert.is_true(is_half or same(out[n], x[n]))
        if is_half then halved = halved + 1 end
      end
    end
    assert.is_true(halved > 35 and halved < 85) -- 60 expected, five standard deviations
    assert.is_true(same(mixed(x, y, "model", { step = 2 }), mixed(x, y, "model", { step = 2 })))
    assert.is_true(same(perturb.maybe(1, half)(x, nil, "model"), x * 0.5))
    assert.is_true(same(perturb.maybe(0, half)(x, nil, "model"), x))
  end)

  it("adds noise of a given deviation, clipped", function()
    local p = perturb.gaussian_noise(0.1)
    assert.equal("gaussian_noise(0.1)", tostring(p))
    local x = nn.full({ 40, 9, 7, 2 }, 0.5)
    local noise = (p(x, nil, nil, { seed = 1, step = 2 }) - x) / 0.1
    local n = noise:count()
    assert.near(0, noise:mean():item(), 5 / math.sqrt(n))
    assert.near(1, noise:variance():item(), 5 * math.sqrt(2 / n))
    assert.near(3, (noise ^ 4):mean():item(), 5 * math.sqrt(96 / n)) -- as of a normal distribution
    -- Neither pixels nor channels nor images nor steps draw alike.
    local function product(a, b) return (a * b):mean():item() end
    local flat = noise:reshape { n }
    for lag = 1, 5 do
      assert.near(0, product(flat:slice(1, 1, n - lag), flat:slice(1, 1 + lag, n)), 5 / math.sqrt(n - lag))
    end
    assert.near(0, product(noise[1], noise[2]), 5 / math.sqrt(126))
    local other = (p(x, nil, nil, { seed = 1, step = 3 }) - x) / 0.1
    assert.near(0, product(noise, other), 5 / math.sqrt(n))
    assert.is_true(same(p(x, nil, nil, { seed = 1, step = 2 }), p(x, nil, nil, { seed = 1, step = 2 })))
    local wide = perturb.gaussian_noise(10)(x)
    assert.same({ 0.0, 1.0 }, { wide:min():item(), wide:max():item() })
    assert.is_true(same(perturb.gaussian_noise(0)(images()), images()))
    assert.error_matches(function() perturb.gaussian_noise(-1) end,
      "perturb.gaussian_noise: deviation expects 0 to 10, got %-1")
    assert.error_matches(function() perturb.gaussian_noise("x") end, "expected a number %(deviation%), got")
  end)

  it("mixes chains as AugMix does", function()
    local white = perturb.brightness(255)
    local p = perturb.augmix { of = { white } }
    assert.equal("augmix(brightness(+255/255), width 3, depth 3)", tostring(p))
    -- Every chain makes black images white: the mix is m itself, which is evenly drawn.
    local x = nn.zeros { 400, 1, 1, 1 }
    local m = p(x, nil, nil, { seed = 2 })
    assert.near(1 / 2, m:mean():item(), 5 * math.sqrt(1 / 12 / 400))
    assert.near(1 / 12, m:variance():item(), 0.02)
    -- One chain of two that does nothing: w is evenly drawn, and so m w is 1/4 in the mean.
    local half = perturb.augmix { of = { white, perturb.identity() }, width = 2, depth = 1 }(x, nil, nil, { seed = 3 })
    assert.near(1 / 4, half:mean():item(), 0.05)
    -- 1 to 3 changes, each as likely: brightened by 1/255 as often.
    local steps = perturb.augmix { of = { perturb.brightness(1) }, width = 1 }
    local share = perturb.augmix { of = { white }, width = 1 }
    local counts = { 0, 0, 0 }
    local raised, drawn = steps(x, nil, nil, { seed = 4 }), share(x, nil, nil, { seed = 4 })
    for n, pair in ipairs((raised / drawn * 255):reshape({ 400 }):tolist()) do
      local count = math.floor(pair + 0.5)
      assert.near(count, pair, 0.01, "image " .. n)
      counts[count] = counts[count] + 1
    end
    for _, count in ipairs(counts) do assert.near(400 / 3, count, 5 * math.sqrt(400 * 2 / 9)) end
    local usual = perturb.augmix()
    local out = usual(images(), nil, nil, { seed = 1, step = 3 })
    assert.is_true(out:min():item() >= 0 and out:max():item() <= 1)
    assert.is_true(same(out, usual(images(), nil, nil, { seed = 1, step = 3 })))
    assert.is_true(perturb.is_told(usual))
    local custom = perturb.new { name = "own", apply = function(images_) return images_ end }
    assert.is_false(perturb.is_told(perturb.augmix { of = { custom } }))
    assert.error_matches(function() perturb.augmix { of = {} } end, "of expects a list of perturbations")
  end)

  it("tells what is written in Lua the step, and the span of a training", function()
    local told
    local p = perturb.new { name = "told", apply = function(x, _, _, draw)
      told = draw
      return x
    end }
    local span = { steps = 10, epoch = 5 }
    local both = p >> perturb.maybe(1, p)
    both(images(), nil, nil, { seed = 1, step = 7, span = span })
    assert.same({ 7, 10, 5 }, { told.step, told.span.steps, told.span.epoch })
  end)

  it("says what is wrong", function()
    assert.error_matches(function() perturb.brightness("x") end, 'perturb.brightness: expected a number %(amount%)')
    assert.error_matches(function() perturb.brightness(300) end, "perturb.brightness: amount expects %-255 to 255, got")
    assert.error_matches(function() perturb.hue(0.6, { convention = "torchvision" }) end, "turns expects %-0.5 to 0.5")
    assert.error_matches(function() perturb.contrast(1.5, { sing = "random" }) end,
      'perturb.contrast: unknown option "sing"; did you mean "sign"')
    assert.error_matches(function() perturb.contrast(1.5, { convention = "torchvison" }) end, "torchvision")
    assert.error_matches(function() perturb.level("hues", 1) end, 'unknown perturbation "hues"; did you mean "hue"')
    assert.error_matches(function() perturb.level("hue", 5) end, "from 1 to 4, got 5")
    assert.error_matches(function() perturb.levels("papers") end, "perturb.levels: expected")
    assert.error_matches(function() perturb.maybe(2, perturb.hue(0.1)) end, "a probability from 0 to 1, got 2")
    assert.error_matches(function() return perturb.hue(0.1) | 3 end, "perturb |: expected a perturbation, got 3")
    assert.error_matches(function() perturb.colour { only = { "hue" }, without = "hue" } end, "nothing is left")
    assert.error_matches(function() perturb.hue(0.1)(nn.zeros { 2, 2, 2, 2 }) end,
      "1 or 3 channels expected, got %[2x2x2x2%]")
    assert.error_matches(function() perturb.new { name = "wrong", apply = function() return 1 end }(images()) end,
      "wrong: expected a float tensor of x's shape %[6x3x4x3%] from apply, got 1")
    assert.error_matches(function() perturb.hue(0.1)("x") end, 'perturb: expected images %[N x H x W x C%], got "x"')
    assert.error_matches(function() perturb.px("8") end, 'perturb.px: expected a number of steps, got "8"')
    -- at the line of the script, also without a pcall in between
    local script = load("local perturb = require 'perturb'\nlocal p = perturb.hue('x')\nreturn p", "=script")
    local ok, message = pcall(script)
    assert.is_false(ok)
    assert.equal("script:2:", message:sub(1, 9))
  end)
end)
