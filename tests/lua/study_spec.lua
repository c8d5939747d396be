-- Recipes, studies and runs, with small stand-ins for what computes: they "train" by formula, so that every number
-- the machinery should find is known.
local file = require "file"
local json = require "json"
local stats = require "stats"

local real = {}
local stand_ins = {}
local trained = {}

local function hit(i, rate, salt)
  return (i * 7919 + salt * 131) % 1000 < rate * 1000
end

stand_ins.data = { digits = function(options)
  if options.broken then return nil, "digits.idx: short", "format" end
  local function part(name, size)
    return { name = name, size = size, take = function(self, n) return part(self.name, math.min(n, self.size)) end }
  end
  return { train = part("train", 1000), test = part("test", 2000), classes = 10 }
end }
stand_ins.models = { net = function(options)
  return { classes = options.classes, seed = options.seed }
end }
local Loss = {}
Loss.__index = Loss
Loss.__add = function(a, b) return setmetatable({ c = a.c + b.c }, Loss) end
Loss.__mul = function(a, b) return setmetatable({ c = type(a) == "number" and a * b.c or b * a.c }, Loss) end
stand_ins.loss = {
  cross_entropy = function() return setmetatable({ c = 0 }, Loss) end,
  continuity = function(options)
    assert(options.perturb.name == "colour")
    return setmetatable({ c = 1 }, Loss)
  end,
}
stand_ins.perturb = { colour = function(options) return { name = "colour", levels = options.levels } end }
stand_ins.optim = { adam = function(options) return { lr = options.lr } end }
stand_ins.probe = { accuracy = function()
  return function(model, part)
    local outcomes = {}
    for i = 1, part.size do outcomes[i] = hit(i, 0.90 + 0.03 * model.c, model.seed) end
    local share = stats.percentage(outcomes)
    return setmetatable({ metrics = { accuracy = share }, rows = { { class = 1, accuracy = share } } },
      { __tostring = function() return "accuracy " .. tostring(share) end })
  end
end }
stand_ins.train = { run = function(built, context)
  trained[#trained + 1] = { c = built.loss.c, seed = built.seed, lr = built.optimizer.lr, size = built.data.train.size }
  context.keeper:restore {}
  for epoch = 1, built.epochs do
    context.progress { done = epoch, total = built.epochs, images = epoch * built.data.train.size, epoch = epoch }
    context.keeper:row { kind = "epoch", epoch = epoch, loss = 1 / epoch }
  end
  built.model.c = built.loss.c
  local results = {}
  for name, probe in pairs(built.probes) do results[name] = probe(built.model, built.data.test) end
  return { probes = results, images = built.epochs * built.data.train.size, steps = built.epochs, seconds = 1.5,
           epochs = built.epochs, images_per_second = 100, early = false, chosen = "last", skipped = 0,
           skipped_names = {}, complete = true }
end }

-- A plan may name all of them, with any options.
for _, name in ipairs { "data", "models", "loss", "perturb", "optim", "probe" } do
  local constructors = {}
  for key in pairs(stand_ins[name]) do constructors[key] = { check = function() end } end
  stand_ins[name].constructors = constructors
end

local recipe_text = [[
return recipe {
  title = "A toy",
  about = "Nothing is learned here.",
  params = {
    variant = param.choice { "plain", "C", "none", default = "plain" },
    alpha = param.number { 1.0, min = 0, doc = "weight" },
    epochs = param.integer { 2, min = 1 },
    limit = param.integer { 500, min = 1 },
    seed = param.seed { 1 },
  },
  unstated = { "everything" },
  plan = function(p)
    local set = data.digits { bias = 0.95 }
    return {
      data = { train = set.train:take(p.limit), test = set.test },
      model = models.net { classes = set.classes, seed = p.seed },
      loss = p.variant == "C" and loss.cross_entropy() + p.alpha * loss.continuity { perturb = perturb.colour {} }
        or loss.cross_entropy(),
      optimizer = optim.adam { lr = 1e-3 },
      epochs = p.epochs, seed = p.seed,
      probes = { accuracy = probe.accuracy() },
    }
  end,
}
]]

local study_text = [[
return study {
  title = "Toy study", recipe = "toy",
  grid = { variant = { "plain", "C" }, seed = { 1, 2, 3 } },
  scale = "small",
  scales = { small = { epochs = 1 }, one = { seed = { 1 } } },
  sensible = { metric = "accuracy", variant = "plain", min = 50 },
  show = { rows.by("variant"):column("accuracy", { paper = { plain = 96.01, C = 97.54 } }):column("seconds"),
           chart.points { x = "variant", y = "accuracy" } },
  claims = { claim { "C beats plain", "accuracy", C = ">", "plain" },
             claim { "plain beats C", "accuracy", plain = ">", "C" },
             claim { "C is slower", "seconds", C = ">", "plain" } },
  notes = { "toy data" },
}
]]

describe("recipes and studies", function()
  local folder, world, command, plan
  local said, complained

  -- Runs the command with its output caught.
  local function main(...)
    said, complained = {}, {}
    local stdout, stderr = io.stdout, io.stderr
    local function catch(into)
      return { write = function(self, ...)
        for _, part in ipairs { ... } do into[#into + 1] = part end
        return self
      end, flush = function() end }
    end
    rawset(io, "stdout", catch(said))
    rawset(io, "stderr", catch(complained))
    local ok, code = pcall(command.main, "run", { ... })
    rawset(io, "stdout", stdout)
    rawset(io, "stderr", stderr)
    said, complained = table.concat(said), table.concat(complained)
    if not ok then error(code, 0) end
    return code
  end

  local function write(name, text)
    assert(file.write(folder .. "/" .. name .. ".lua", text))
    return folder .. "/" .. name .. ".lua"
  end

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(file.make_folder(folder))
    for name, module in pairs(stand_ins) do
      real[name] = package.loaded[name]
      package.loaded[name] = module
    end
    world, command, plan = require "world", require "command", require "plan"
    write("toy", recipe_text)
    write("toys", study_text)
  end)
  teardown(function()
    for name in pairs(stand_ins) do package.loaded[name] = real[name] end
    os.execute("rm -r '" .. folder .. "'")
  end)
  before_each(function() trained = {} end)

  it("prints a plan in one canonical form, whatever the order it was written in", function()
    local toy = assert(world.load(folder .. "/toy.lua"))
    local made = assert(toy:make_plan(assert(toy:resolve { variant = "C" })))
    assert.equal('{ batch = 128, data = { test = data.digits{ bias = 0.95 }.test, train = '
      .. 'data.digits{ bias = 0.95 }.train:take(500) }, epochs = 2, '
      .. 'loss = loss.cross_entropy() + 1.0 * loss.continuity{ perturb = perturb.colour{} }, '
      .. 'model = models.net{ classes = data.digits{ bias = 0.95 }.classes, seed = 1 }, '
      .. 'optimizer = optim.adam{ lr = 0.001 }, probes = { accuracy = probe.accuracy() }, seed = 1 }', plan.text(made))
    assert.equal(64, #plan.hash(made))
    assert.not_equal(plan.hash(made), plan.hash(toy:make_plan(toy:resolve { variant = "C", seed = 2 })))
    assert.equal(plan.hash(made), plan.hash(toy:make_plan(toy:resolve({ variant = "C", alpha = "1" }, true))))
  end)

  it("keeps the meaning of operators", function()
    local w = plan.world()
    local a, b, c = w.perturb.colour { n = 1 }, w.perturb.colour { n = 2 }, w.perturb.colour { n = 3 }
    local function bare(value) return (plan.text(value):gsub("perturb%.colour{ n = (%d) }", "%1")) end
    assert.equal("1 | 2 >> 3", bare(a | b >> c))
    assert.equal("(1 | 2) >> 3", bare((a | b) >> c))
    assert.equal("1 | (2 | 3)", bare(a | (b | c)))
    assert.equal("2 * (1 + 2)", bare(2 * (a + b)))
    assert.equal("2 * 1 + 2", bare(2 * a + b))
  end)

  it("makes a grid without seeds", function()
    local this = assert(world.load(write("seedless",
      'return study { title = "No seeds", recipe = "toy", grid = { variant = { "plain", "C" } } }')))
    local points = assert(this:expand {}).points
    assert.same({ "plain", "C" }, { points[1].values.variant, points[2].values.variant })
    assert.equal(2, #points)
  end)

  it("has no way to files of its own choice", function()
    local w = plan.world()
    local model = w.models.net { width = 2 }
    assert.error_matches(function() return model:save("/tmp/x") end, "save: a recipe has no files; a script has them")
    assert.error_matches(function() return model:load("/tmp/x") end, "load: a recipe has no files")
    assert.error_matches(function() return w.probe.logits end, "probe.logits: a recipe has no files")
  end)

  it("reads nothing but plans", function()
    local cases = {
      { "os.exit()", '"os" is not known in a recipe' },
      { "io.open('x')", '"io" is not known' },
      { "require 'os'", '"require" is not known' },
      { "load('x')", '"load" is not known' },
      { "return 1", "expected the file to return recipe{...} or study{...}, got 1" },
      { "return recipe{ title = 'x', plan = 3 }", "bad.lua: recipe: plan expects a function, got 3" },
      { "return recipe{ title = 'x', plam = 3 }", 'unknown option "plam"; did you mean "plan"?' },
      { "return recipe{ title = 'x', params = { a = 1 }, plan = type }", "recipe: parameter a expects param.number" },
      { "param.number{ -1, min = 0 }", "param.number: the default expects a number of at least 0, got -1" },
      { "local x = \n= 3", "bad.lua:2:" },
      { "loss.cross_entrpy()", 'bad.lua:1: loss has no "cross_entrpy"; did you mean "cross_entropy"?' },
      { "loss.cross_entropy{ f = type }", "a plan holds only constructors" },
      { "\27Lua", "bad.lua: attempt to load a binary chunk" },
    }
    for _, case in ipairs(cases) do
      local value, message, code = world.load(write("bad", case[1]))
      assert.is_nil(value)
      assert.matches(case[2], message, 1, true)
      assert.equal("format", code)
    end
    local value, message, code = world.load(folder .. "/missing.lua")
    assert.is_nil(value)
    assert.matches("missing.lua", message, 1, true)
    assert.equal("io", code)
    -- One recipe cannot change the world of the next.
    assert(not world.load(write("bad", "string.format = nil; math.pi = 3; return 1")))
    assert.equal("function", type(string.format))
  end)

  it("says what is wrong with a parameter", function()
    local cases = {
      { "alhpa=1", 'unknown parameter "alhpa" in toy.lua; did you mean "alpha"?' },
      { "alpha=-1", "toy.lua: alpha expects a number of at least 0, got -1" },
      { "alpha=much", 'toy.lua: alpha expects a number of at least 0, got "much"' },
      { "epochs=1.5", "toy.lua: epochs expects an integer of at least 1, got 1.5" },
      { "variant=D", 'toy.lua: variant expects one of "plain", "C", "none", got "D"' },
      { "epochs", 'expected key=value, got "epochs"' },
      { "--frsh", 'unknown option "--frsh"; did you mean "--fresh"?' },
      { "--quiet=yes", '--quiet" does not take arguments' },
    }
    for _, case in ipairs(cases) do
      assert.equal(2, main(folder .. "/toy.lua", case[1], "--out", folder .. "/runs"))
      assert.matches(case[2], complained, 1, true)
      assert.equal(0, #trained)
    end
    assert.equal(1, main(folder .. "/missing.lua"))
    assert.equal(2, main())
  end)

  it("runs a recipe once and finds it again", function()
    local out = folder .. "/once"
    assert.equal(0, main(folder .. "/toy.lua", "variant=C", "limit=300", "--out", out, "--quiet"))
    assert.equal(1, #trained)
    assert.same({ 1.0, 1, 1e-3, 300 }, { trained[1].c, trained[1].seed, trained[1].lr, trained[1].size })
    assert.matches("A toy", said, 1, true)
    assert.matches("unstated in the paper, we chose\n  · everything", said, 1, true)
    assert.matches("accuracy 93", said, 1, true)
    local made = said:match("(%S+/toy%-%x+)")
    for _, name in ipairs { "recipe.lua", "plan.txt", "params.json", "environment.json", "metrics.jsonl",
                            "results.json", "items.json", "tables/accuracy.txt" } do
      assert.is_true(file.exists(made .. "/" .. name), name)
    end
    assert.equal(recipe_text, file.read(made .. "/recipe.lua"))
    local results = json.read(made .. "/results.json")
    assert.matches("toy%-" .. results.plan_hash:sub(1, 8) .. "$", made)
    assert.equal(2, select(2, file.read(made .. "/metrics.jsonl"):gsub("\n", "")))
    local first = said
    assert.equal(0, main(folder .. "/toy.lua", "limit=300", "variant=C", "--out", out, "--quiet"))
    assert.equal(1, #trained)
    assert.matches("was there already", said, 1, true)
    assert.equal(first:match("metric .*"), said:match("metric .*"))
    -- A run without its results was not finished.
    os.remove(made .. "/results.json")
    assert.equal(0, main(folder .. "/toy.lua", "limit=300", "variant=C", "--out", out, "--quiet"))
    assert.equal(2, #trained)
    assert.equal(0, main(folder .. "/toy.lua", "limit=300", "variant=C", "--out", out, "--quiet", "--fresh"))
    assert.equal(3, #trained)
    assert.equal(2, select(2, file.read(made .. "/metrics.jsonl"):gsub("\n", "")))
  end)

  it("runs a study, shares its runs, judges its claims", function()
    local out = folder .. "/study"
    assert.equal(0, main(folder .. "/toys.lua", "--out", out, "--quiet"))
    assert.equal(6, #trained)
    -- All variants of one seed before the next seed.
    local order = {}
    for i, one in ipairs(trained) do order[i] = one.seed .. ":" .. one.c end
    assert.same({ "1:0", "1:1.0", "2:0", "2:1.0", "3:0", "3:1.0" }, order)
    assert.matches("C beats plain%s+holds", said)
    assert.matches("plain beats C%s+fails", said)
    assert.matches("C is slower%s+not resolved", said)
    assert.matches("note: toy data", said, 1, true)
    assert.matches("plain%s+90%.%d+ ± %d%.%d+%s+96%.01", said)
    local made = said:match("(%S+)/report.txt")
    local results = assert(json.read(made .. "/results.json"))
    assert.equal("holds", results.claims[1].verdict)
    assert.equal("seeds and items", results.claims[1].over)
    assert.is_true(math.abs(results.claims[1].difference.value - 3) < 0.2)
    assert.is_true(math.abs(results.claims[1].paper - 1.53) < 1e-9)
    assert.equal(6, #results.runs)
    if require "plot".program() then assert.is_true(file.exists(made .. "/figures/accuracy.svg")) end
    -- A killed study goes on: only what is missing is made.
    trained = {}
    os.remove(results.runs[4].folder .. "/results.json")
    assert.equal(0, main(folder .. "/toys.lua", "--out", out, "--quiet"))
    assert.equal(1, #trained)
    -- Another study over some of the same runs finds them.
    trained = {}
    assert.equal(0, main(folder .. "/toys.lua", "--out", out, "--quiet", "seed=2..4", "variant=C"))
    assert.equal(1, #trained)
    assert.matches("no verdict: plain was not run", said, 1, true)
  end)

  it("takes scales and settings", function()
    local out = folder .. "/scales"
    assert.equal(0, main(folder .. "/toys.lua", "scale=one", "alpha=2", "--out", out, "--quiet"))
    assert.equal(2, #trained)
    assert.equal(2.0, trained[2].c)
    assert.matches("another training may differ by more", said, 1, true)
    assert.equal(2, main(folder .. "/toys.lua", "scale=smal", "--out", out))
    assert.matches('unknown scale "smal" in toys.lua; did you mean "small"?', complained, 1, true)
    assert.equal(2, main(folder .. "/toys.lua", "seed=1,x", "--out", out))
    assert.matches('toys.lua: seed expects an integer of at least 0, got "x"', complained, 1, true)
    assert.equal(2, main(folder .. "/toys.lua", "sed=1", "--out", out))
    assert.matches('unknown parameter "sed" in toys.lua; did you mean "seed"?', complained, 1, true)
    assert.equal(2, main(folder .. "/toys.lua", "seed=3..1", "--out", out))
    assert.matches("toys.lua: seed has no values", complained, 1, true)
    assert.equal(1, main(folder .. "/toys.lua", "--out", folder .. "/toys.lua", "--quiet"))
    assert.matches("toys.lua: a folder expected, found a file", complained, 1, true)
  end)

  it("gives no verdict where too little was learned", function()
    local path = write("weak", (study_text:gsub("min = 50", "min = 95")))
    assert.equal(0, main(path, "--out", folder .. "/study", "--quiet"))
    assert.matches("no verdict: accuracy of plain is 90", said, 1, true)
    assert.is_nil(said:find("holds", 1, true))
  end)

  it("gives no verdict on one number of each side", function()
    local path = write("alone", study_text)
    assert.equal(0, main(path, "scale=one", "--out", folder .. "/alone", "--quiet"))
    assert.matches("no verdict: one seed, and seconds has no interval: more seeds would give it one", said, 1, true)
    assert.matches("C beats plain%s+holds", said)
  end)

  it("refuses studies that name what is not there", function()
    local cases = {
      { "variant = {", "varaint = {", 'grid: unknown parameter "varaint"; did you mean "variant"?' },
      { '"plain", "C" }, seed', '"plain", "D" }, seed', 'grid: variant expects one of "plain", "C", "none", got "D"' },
      { 'C = ">", "plain"', 'D = ">", "plain"', 'claim "C beats plain": variant expects one of' },
      { 'rows.by("variant")', 'rows.by("alpha")', 'show: "alpha" is not in the grid' },
      { 'epochs = 1 }, one', 'epochs = 0 }, one', "scale small: epochs expects an integer of at least 1, got 0" },
      { 'scale = "small"', 'scale = "large"', 'study: scale "large" is not among the scales; known: one, small' },
      { 'recipe = "toy"', 'recipe = "tox"', 'wrong.lua: there is no recipe or study "tox" in the current folder, ' },
    }
    for _, case in ipairs(cases) do
      local from, to = study_text:find(case[1], 1, true)
      local changed = study_text:sub(1, from - 1) .. case[2] .. study_text:sub(to + 1)
      local value, message = world.load(write("wrong", changed))
      assert.is_nil(value, case[2])
      assert.matches(case[3], message, 1, true)
    end
  end)

  it("names the recipe's line when a constructor refuses", function()
    local path = write("refuse", (recipe_text:gsub("bias = 0.95", "broken = true")))
    local _, message = pcall(main, path, "--out", folder .. "/refused", "--quiet")
    assert.equal("refuse.lua:13: data.digits: digits.idx: short", message)
    path = write("refuse", (recipe_text:gsub("set.classes", "set.clases")))
    _, message = pcall(main, path, "--out", folder .. "/refused", "--quiet")
    assert.equal('refuse.lua:16: data.digits{ bias = 0.95 }.clases: there is no field "clases"', message)
  end)

  it("reads the values of a setting", function()
    local study, param = require "study", require "param"
    local number, seed = param.number { 1, min = 0 }, param.seed { 1 }
    local list, choice = param.list { { 1 }, of = param.integer {} }, param.choice { "a", "b,c" }
    local function values(this, given)
      local found, many = study.read_values(this, given)
      return { found, many }
    end
    assert.same({ 2.0, false }, values(number, "2"))
    assert.same({ { 0.0, 0.1, 1.0 }, true }, values(number, "0,0.1,1"))
    assert.same({ { 0.0, 0.1, 0.2, 0.3 }, true }, values(number, "0..0.3/0.1"))
    assert.same({ { 1, 2, 3, 7 }, true }, values(seed, "1..3,7"))
    assert.same({ { 8, 16, 24 }, true }, values(seed, "8..30/8"))
    assert.same({ { 5 }, true }, values(seed, "5..5"))
    assert.same({ { 1, 2 }, false }, values(list, "1,2"))
    assert.same({ { { 1 }, { 1, 2 } }, true }, values(list, { "1", "1,2" }))
    assert.same({ "b,c", false }, values(choice, "b,c"))
    assert.same({ nil, "expects whole numbers in a range, got 1..2.5" }, values(seed, "1..2.5"))
    assert.same({ nil, "expects a number of at least 0, got -1" }, values(number, "-1..1/0.5"))
  end)

  it("writes the study that a sweep is, tells mean and deviation over its seeds", function()
    local study = require "study"
    local toy = assert(world.load(folder .. "/toy.lua"))
    local sweep = assert(study.sweep(toy, { alpha = "0,2", variant = "C", seed = "1..3", limit = "100" }))
    assert.equal([[
return study {
  title = "A toy, by alpha, seed",
  recipe = "toy",
  grid = {
    alpha = { 0, 2 },
    seed = { 1, 2, 3 },
  },
  fixed = {
    variant = "C",
    limit = 100,
  },
}
]], sweep.text)
    local again = assert(world.load(write("again", sweep.text)))
    local first, second = assert(sweep:expand {}), assert(again:expand {})
    assert.equal(6, #first.points)
    assert.same(first, second)
    for _, point in ipairs(first.points) do
      local value = point.values.alpha * 10 + point.values.seed
      point.metrics = { accuracy = stats.new { value = value, unit = "%" }, seconds = stats.new { value = 7 } }
    end
    first.points[#first.points].metrics = nil -- one failed
    local shown = study.spread(first)
    assert.same({ "seeds", "accuracy (%)", "seconds" }, { table.unpack(shown.columns, 2) })
    assert.same({ { "0", 3, "2.0 ± 1.0", "7" }, { "2", 2, "21.50 ± 0.71", "7" } }, shown.rows)
    assert.same({ 2.0, 1.0, 3.0, 1.0 }, { shown.data[1].accuracy.value, shown.data[1].accuracy.low,
                                          shown.data[1].accuracy.high, shown.data[1].accuracy.sd })
    shown = study.spread(first, { "acuracy" })
    assert.matches('there is no metric "acuracy"; did you mean "accuracy"?', shown.note, 1, true)
    -- One seed is no spread.
    shown = study.spread { points = { first.points[1] }, axes = { "alpha" }, values = { alpha = { 0 } } }
    assert.same({ { "0", "1.000", "7" } }, shown.rows)
  end)

  it("runs several grids together, and a scale's own", function()
    local made = assert(world.load(write("grids", [[
return study {
  title = "Grids", recipe = "toy",
  grid = { { variant = { "plain", "C" }, seed = { 1, 2 } }, { variant = "C", alpha = { 3, 1, 0.5 }, seed = 1 } },
  fixed = { epochs = 1 },
  scales = { short = { epochs = 2 }, other = { grid = { variant = { "plain" } }, seed = { 4 } } },
  show = { rows.by("variant", { where = { alpha = 1 }, title = "At one" }):column("accuracy"),
           rows.by("alpha", { where = { variant = "C", seed = 1 } }):column("accuracy") },
  claims = { claim { "C", "accuracy", C = ">", "plain", axis = "variant", where = { alpha = 1 } } },
}
]])))
    local function labels(settings)
      local list, expansion = {}, assert(made:expand(settings))
      for i, point in ipairs(expansion.points) do
        list[i] = ("%s %g %d"):format(point.values.variant, point.values.alpha, point.values.seed)
        assert.equal(settings.scale == "short" and 2 or 1, point.values.epochs)
      end
      return list, expansion
    end
    -- alpha is 1 by default: the runs that two grids have in common are made once.
    local list, expansion = labels {}
    assert.same({ "plain 1 1", "C 1 1", "C 3 1", "C 0.5 1", "plain 1 2", "C 1 2" }, list)
    assert.same({ variant = { "plain", "C" }, alpha = { 0.5, 1, 3 }, seed = { 1, 2 } }, expansion.values)
    assert.same(list, (labels { scale = "short" }))
    assert.same({ "plain 1 4" }, (labels { scale = "other" }))
    assert.same({ "plain 1 7", "C 1 7", "C 3 7", "C 0.5 7" }, (labels { seed = "7" }))
    for i, point in ipairs(expansion.points) do
      point.metrics = { accuracy = stats.interval { 10 * i, 10 * i + 2 } }
    end
    local found = made:evaluate(expansion)
    assert.same({ "At one", 2 }, { found.tables[1].title, #found.tables[1].rows })
    assert.same({ "0.5", "1", "3" }, { found.tables[2].rows[1][1], found.tables[2].rows[2][1],
                                       found.tables[2].rows[3][1] })
    assert.same({ 41, 21, 31 }, { found.tables[2].data[1].accuracy.value, found.tables[2].data[2].accuracy.value,
                                  found.tables[2].data[3].accuracy.value })
    assert.equal(2, found.claims[1].seeds)
    local again = assert(require "study".from(made:describe()))
    again.name, again.path = made.name, made.path
    assert.truthy(again:attach(made.recipe))
    assert.equal(6, #again:expand({}).points)
    local _, message = world.load(write("wrong", [[
return study { title = "Grids", recipe = "toy", grid = { { variant = { "plain" } }, { varaint = { "C" } } } }
]]))
    assert.matches('grid: unknown parameter "varaint"; did you mean "variant"?', message, 1, true)
    _, message = world.load(write("wrong", [[
return study { title = "Grids", recipe = "toy", grid = { variant = { "plain" } }, scales = { a = { grid = { 1 } } } }
]]))
    assert.matches("scale a: grid expects a table or a list of them", message, 1, true)
  end)

  it("draws charts over one and two parameters, and of one metric against another", function()
    local text = [[
return study {
  title = "Charts", recipe = "toy",
  grid = { variant = { "plain", "C" }, alpha = { 0, 1 }, seed = { 1, 2 } },
  show = { chart.lines { x = "alpha", y = "accuracy", series = "variant" },
           chart.bars { x = "variant", y = "accuracy", where = { alpha = 1 }, name = "at-one" },
           chart.heatmap { x = "alpha", y = "variant", value = "accuracy" },
           chart.scatter { x = "seconds", y = "accuracy", by = "variant", where = { alpha = 0 }, log = true },
           chart.points { x = "variant", y = "accuracy" },
           chart.curves { y = "ds/hue/*", series = "variant", along = "level", where = { alpha = 1 } },
           chart.curves { y = "ds/*", along = "level", where = { alpha = 1, variant = "C" } } },
}
]]
    local made = assert(world.load(write("charts", text)))
    local expansion = assert(made:expand {})
    for i, point in ipairs(expansion.points) do
      local values = point.values
      local accuracy = (values.variant == "C" and 90 or 80) + 10 * values.alpha + values.seed
      point.metrics = { accuracy = stats.new { value = accuracy, unit = "%" }, seconds = stats.new { value = i } }
      for level = 1, 3 do
        local steepness = values.variant == "C" and 2 or 4
        point.metrics["ds/hue/" .. level] = stats.new { value = level * steepness + values.seed }
      end
    end
    local charts = made:evaluate(expansion).charts
    local lines, bars, heatmap, scatter, points = table.unpack(charts)
    assert.equal("accuracy by alpha and variant", lines.options.title)
    assert.same({ "plain", "C" }, { lines.options.series[1].name, lines.options.series[2].name })
    assert.same({ { 0, 81.5 }, { 1, 91.5 } }, { { 0, lines.options.series[1].points[1][2].value },
                                               { 1, lines.options.series[1].points[2][2].value } })
    assert.same({ "at-one", 91.5, 101.5 }, { bars.name, bars.options.series[1].values[1].value,
                                            bars.options.series[1].values[2].value })
    assert.equal(2, #bars.options.series[1].dots[1])
    assert.same({ { 81.5, 91.5 }, { 91.5, 101.5 } }, heatmap.options.values)
    assert.same({ { "plain", "C" }, { "0", "1" }, "accuracy (%)" }, { heatmap.options.rows, heatmap.options.columns,
                                                                     heatmap.options.value.label })
    assert.same({ x = { 1, 5 }, y = { 81, 82 }, name = "plain" }, scatter.options.series[1])
    assert.is_true(scatter.options.y.log)
    assert.same({ nil, "other parameters vary too" }, { points.options, points.why })
    assert.same({ "lines", "ds-hue", "ds/hue/*", "level" }, { charts[6].kind, charts[6].name,
                                                              charts[6].options.y.label, charts[6].options.x.label })
    local curve = charts[6].options.series[2]
    assert.same({ "C", 1, 3.5, 3, 7.5 }, { curve.name, curve.points[1][1], curve.points[1][2].value,
                                          curve.points[3][1], curve.points[3][2].value })
    assert.equal("no run has the metric", charts[7].why)
    local plot = require "plot"
    for i = 1, plot.program() and 4 or 0 do assert(plot.render(charts[i].kind, charts[i].options, "svg")) end
    -- What the report has to draw them again from.
    local about = require "run.about".of(made, { charts = charts })
    local report = require "report.charts"
    for i = 1, plot.program() and 4 or 0 do
      local again = assert(report.of_study(about.charts[i]))
      assert.truthy(report.figure(again))
    end
    assert.matches("plain, 1: 91.5", report.of_study(about.charts[3]).alt, 1, true)
    local _, message = world.load(write("wrong", (text:gsub('by = "variant"', 'by = "varient"'))))
    assert.matches('show: "varient" is not in the grid; did you mean "variant"?', message, 1, true)
    _, message = world.load(write("wrong", (text:gsub("where = { alpha = 1 }", 'where = { alpha = "x" }'))))
    assert.matches("show: alpha expects a number", message, 1, true)
  end)

  it("names models by what is not as usual", function()
    local study = require "study"
    local function names(settings)
      local made = assert(study.sweep(assert(world.load(folder .. "/toy.lua")), settings))
      local runs, list = made:expand(), {}
      for _, point in ipairs(runs.points) do
        point.metrics = { robust = stats.percentage { true, false } }
        point.robustness = { robustness = { threat = "linf, eps 0.1" } }
      end
      for i, row in ipairs(made:evaluate(runs).robustness[1].rows) do list[i] = row.model end
      return list
    end
    local both = { alpha = "1,0.25", seed = "1..2" } -- 1 is the recipe's own
    assert.same({ "alpha 1", "alpha 0.25" }, names(both))
    both.variant = "plain,C"
    assert.same({ "plain", "plain, alpha 0.25", "C", "C, alpha 0.25" }, names(both))
  end)
end)
