--- Quantiles, intervals and tests against published tables, textbook formulas and simulation.
local stats = require "stats"

local function near(expected, got, tolerance)
  assert.is_true(math.abs(expected - got) <= tolerance, string.format("expected %.10g, got %.10g", expected, got))
end

describe("stats", function()
  it("knows the quantiles of the tables", function()
    near(1.959963984540054, stats.normal_quantile(0.975), 1e-14)
    near(-3.090232306167813, stats.normal_quantile(0.001), 1e-13)
    near(-6.361340902404056, stats.normal_quantile(1e-10), 1e-12)
    near(math.tan(0.475 * math.pi), stats.t_quantile(0.975, 1), 1e-12)
    near(2.2281388519862744, stats.t_quantile(0.975, 10), 1e-12)
    near(1.697260886593957, stats.t_quantile(0.95, 30), 1e-12)
    near(-2.2281388519862744, stats.t_quantile(0.025, 10), 1e-12)
    near(1.959963984540054, stats.t_quantile(0.975, math.huge), 1e-12)
    near(0.75, stats.t_cdf(1, 1), 1e-14) -- Cauchy
  end)

  it("sums without losing digits", function()
    assert.equal(0.5, stats.mean { 1e16, 1, -1e16, 1 })
    near(1.5811388300841898, stats.sd { 1, 2, 3, 4, 5 }, 1e-15)
    assert.equal(2.5, stats.median { 4, 1, 3, 2 })
  end)

  it("gives Wilson's interval", function()
    -- Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    for _, row in ipairs { { 81, 263, .2553, .3662 }, { 15, 148, .0624, .1605 }, { 0, 20, 0, .1611 },
                           { 1, 29, .0061, .1718 } } do
      local share = stats.proportion(row[1], row[2])
      near(row[3], share.low, 5e-5)
      near(row[4], share.high, 5e-5)
    end
    local all = stats.proportion(20, 20)
    assert.equal(1.0, all.high)
    assert.is_true(all.low > 0.8)
    assert.has_error(function() stats.proportion(3, 2) end)
  end)

  it("gives t and bootstrap intervals of a mean", function()
    -- Student's sleep data: mean 1.58, 95 % interval 0.7001142 .. 2.4598858 (t = 4.0621, df = 9).
    local sleep = { 1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4 }
    local mean = stats.interval(sleep)
    near(1.58, mean.value, 1e-12)
    near(0.7001142, mean.low, 1e-7)
    near(2.4598858, mean.high, 1e-7)
    local boot = stats.interval(sleep, { method = "bootstrap", seed = 7 })
    assert.is_true(boot.low > 0.7 and boot.low < 1.2 and boot.high > 1.9 and boot.high < 2.7)
    assert.same(boot, stats.interval(sleep, { method = "bootstrap", seed = 7 }))
    assert.not_equal(boot.low, stats.interval(sleep, { method = "bootstrap", seed = 8 }).low)
    assert.equal("none", stats.interval({ 3 }).method)
  end)

  it("gives the interval of a ratio of means", function()
    local a, b = {}, {}
    for i = 1, 400 do
      b[i] = 2 + math.sin(i * 12.9898)
      a[i] = 3 * b[i] + math.sin(i * 78.233)
    end
    local ratio = stats.ratio(a, b)
    assert.is_true(ratio:contains(3))
    near(ratio.value, stats.mean(ratio.items), 1e-12)
    local boot = stats.ratio(a, b, { method = "bootstrap" })
    near(ratio:half(), boot:half(), 0.15 * ratio:half())
    -- Forgetting that they are pairs widens it.
    assert.is_true(stats.ratio(a, b, { paired = false }):half() > 2 * ratio:half())
    near(stats.interval(a).high / 4, stats.ratio(a, 4).high, 1e-12)
    -- Scaling both sides leaves it alone.
    local a10, b10 = {}, {}
    for i = 1, 400 do a10[i], b10[i] = 10 * a[i], 10 * b[i] end
    near(ratio.low, stats.ratio(a10, b10).low, 1e-12)
  end)

  it("compares two classifiers on the same items", function()
    -- Agresti's approval ratings: 794 twice yes, 150 only at first, 86 only later, 570 twice no: -0.04, SE 0.0095.
    local first, second = {}, {}
    for _, cell in ipairs { { 794, 1, 1 }, { 150, 1, 0 }, { 86, 0, 1 }, { 570, 0, 0 } } do
      for _ = 1, cell[1] do first[#first + 1], second[#second + 1] = cell[2], cell[3] end
    end
    local difference = stats.paired_proportions(first, second)
    near(0.04, difference.value, 1e-12)
    near(0.0095, difference.se, 1e-4)
    near(0.0213, difference.low, 5e-4)
    near(0.0587, difference.high, 5e-4)
    assert.equal(150, difference.only_first)
    near(3.7e-5, difference.p, 1e-5)
    near(22 / 1024, stats.mcnemar(1, 9), 1e-12)
    assert.equal(1.0, stats.mcnemar(0, 0))
    -- Identical classifiers differ by nothing, within an interval that is not empty.
    local same = stats.paired_proportions(first, first)
    assert.equal(0, same.value)
    assert.is_true(same.low < 0 and same.high > 0)
    near((1.959964 + 0.841621) * difference.se, difference.resolvable, 1e-6)
  end)

  it("crosses seeds with items", function()
    local function run(rate, shift)
      local outcomes = {}
      for i = 1, 2000 do outcomes[i] = (i * 7919 + shift) % 1000 < rate end
      return stats.percentage(outcomes)
    end
    local good = { run(950, 0), run(953, 0), run(948, 0) }
    local bad = { run(900, 0), run(905, 0), run(899, 0) }
    local difference = stats.compare(good, bad)
    assert.equal("seeds and items", difference.over)
    near(4.9, difference.value, 0.2)
    assert.is_true(difference.low > 0)
    -- Seeds alone are narrower than seeds and items together.
    for _, side in ipairs { good, bad } do
      for s, interval in ipairs(side) do
        side[s] = stats.new { value = interval.value, low = interval.low, high = interval.high }
      end
    end
    local seeds = stats.compare(good, bad)
    assert.equal("seeds", seeds.over)
    assert.is_true(seeds.se < difference.se)
    near(difference.value, seeds.value, 1e-9)
    -- One seed without items falls back to the widths.
    local wide = stats.compare({ good[1] }, { bad[1] })
    assert.equal("intervals", wide.over)
    near(math.sqrt(good[1]:half() ^ 2 + bad[1]:half() ^ 2), wide:half(), 1e-9)
  end)

  it("gives paired t over seeds: the same as the textbook", function()
    local function seeds(values)
      local out = {}
      for i, x in ipairs(values) do out[i] = stats.new { value = x } end
      return out
    end
    -- Student's sleep data again, as pairs.
    local difference = stats.compare(seeds { 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4 },
      seeds { 0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0 })
    near(0.7001142, difference.low, 1e-7)
    near(2.4598858, difference.high, 1e-7)
  end)

  it("covers the truth as often as it says", function()
    local state = 12345
    local function uniform()
      state = (state * 6364136223846793005 + 1442695040888963407)
      return (state >> 11) / 2 ^ 53
    end
    local hits, trials = 0, 400
    for _ = 1, trials do
      local a, b = {}, {}
      for i = 1, 300 do
        local u = uniform()
        a[i] = u < 0.90 and uniform() < 0.97 -- correlated through u; 0.873 against 0.828
        b[i] = u < 0.90 and uniform() < 0.92
      end
      if stats.paired_proportions(a, b):contains(0.9 * 0.05) then hits = hits + 1 end
    end
    assert.is_true(hits / trials > 0.92 and hits / trials < 0.985, hits .. " of " .. trials)
  end)

  it("does not take a share that never varies for certain", function()
    local none = {}
    for i = 1, 100 do none[i] = false end
    local zero = stats.percentage(none)
    local mean = stats.combine { zero, zero, zero }
    assert.same({ 0, zero.low, zero.high, 3 }, { mean.value, mean.low, mean.high, mean.seeds })
    for _, method in ipairs { false, "bootstrap" } do
      local difference = stats.compare({ zero, zero }, { zero, zero }, { method = method or nil })
      assert.equal(0, difference.value)
      assert.is_true(difference.low < 0 and difference.high > 0 and difference.resolvable > 0)
      assert.same({ "seeds and items", 2 }, { difference.over, difference.seeds })
    end
    local flat = stats.interval { 1, 1, 1 }
    assert.equal(0, stats.combine({ flat, flat }):half())
  end)

  it("compares by drawing seeds and items anew", function()
    local state = 99
    local function uniform()
      state = (state * 6364136223846793005 + 1442695040888963407)
      return (state >> 11) / 2 ^ 53
    end
    local first, second = {}, {}
    for s = 1, 3 do
      local a, b = {}, {}
      for i = 1, 200 do
        local u = uniform()
        a[i], b[i] = u < 0.8, u < 0.5 or u > 0.95
      end
      first[s], second[s] = stats.percentage(a), stats.percentage(b)
    end
    local usual = stats.compare(first, second)
    local drawn = stats.compare(first, second, { method = "bootstrap", seed = 3 })
    assert.equal("bootstrap", drawn.method)
    assert.equal("seeds and items", drawn.over)
    assert.near(usual.value, drawn.value, 1e-9)
    assert.is_true(drawn.low < drawn.value and drawn.value < drawn.high)
    assert.is_true(drawn:half() > 0.4 * usual:half() and drawn:half() < 1.5 * usual:half())
    assert.same(drawn, stats.compare(first, second, { method = "bootstrap", seed = 3 }))
    -- One seed: over its items, about as Bonett and Price say.
    local one = stats.compare({ first[1] }, { second[1] }, { method = "bootstrap" })
    assert.equal("items", one.over)
    assert.near(stats.compare({ first[1] }, { second[1] }):half(), one:half(), 2)
  end)

  it("prints as people read it", function()
    local function shown(value, low, high)
      local interval = stats.new { value = value, low = low, high = high }
      return tostring(interval), interval:range()
    end
    assert.equal("96.01 ± 0.38", (shown(96.01, 95.63, 96.39)))
    assert.equal("[95.6, 96.4]", select(2, shown(96.01, 95.63, 96.39)))
    assert.equal("12.3 ± 1.2", (shown(12.3, 11.1, 13.5)))
    assert.equal("0.0412 ± 0.0011", (shown(0.0412, 0.0401, 0.0423)))
    assert.equal("1234 ± 56", (shown(1234.4, 1178.4, 1290.4)))
    assert.equal("5.000", (shown(5.0, 5, 5)))
    assert.equal("0.00 ± 0.10", (shown(-0.0004, -0.1004, 0.0996)))
    assert.equal("0.0 [0.0, 16.1]", tostring(stats.proportion(0, 20):scaled(100, "%")))
    assert.equal("36000", (shown(36000, 36000, 36000)))
  end)
end)
