--- The commands on recipes and studies, as a user types them: each starts the real program.
package.path = "tests/cli/?.lua;" .. package.path
local program = require "program"
local shell, with_files = program.shell, program.with_files

-- A small net on made-up pictures: a run takes a tenth of a second.
local small = [[
return recipe {
  title = "A small net",
  about = "Learns little.",
  params = {
    alpha = param.number { 0, min = 0, doc = "weight of the continuity term" },
    width = param.integer { 4, min = 1, doc = "channels" },
    levels = param.list { { 1 }, of = param.integer { min = 1, max = 4 } },
    epochs = param.integer { 1, min = 1 },
    seed = param.seed { 1 },
  },
  unstated = { "everything" },
  plan = function(p)
    local set = data.synthetic { train = 64, test = 32, side = 12, classes = 3, seed = 3 }
    return {
      data = set,
      model = models.lenet { classes = 3, channels = 3, size = 12, seed = p.seed },
      loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = perturb.colour { levels = p.levels } },
      optimizer = optim.adam { lr = 1e-3 }, epochs = p.epochs, batch = 16, seed = p.seed,
      probes = { accuracy = probe.accuracy() },
    }
  end,
}
]]

local grid = [[
return study { title = "Small nets", recipe = "small", grid = { alpha = { 0, 1 }, seed = { 1, 2 } },
               show = { rows.by("alpha"):column("accuracy") } }
]]

-- Runs lines of shell in a folder with these files, with nothing of the user's own in sight.
local function inside(files, lines)
  local result
  with_files(files, function(folder)
    result = shell(("cd %s && export XDG_DATA_HOME=$PWD/home XDG_CACHE_HOME=$PWD/cache\n%s"):format(folder, lines))
  end)
  return result
end

describe("penumbra recipes", function()
  it("lists what is found by name, from where, and what is broken", function()
    local r = inside({ ["small.lua"] = small, ["script.lua"] = "print 'no recipe'",
                       ["bad.lua"] = "return recipe { titel = 1 }",
                       ["home/penumbra/recipes/mine.lua"] = small, ["home/penumbra/recipes/small.lua"] = small },
      '"$PENUMBRA" recipes')
    assert.same({ 0, "" }, { r.code, r.err })
    assert.matches("the current folder\n  bad +broken  bad%.lua:.*unknown option \"titel\".*\n"
      .. "  small +recipe  A small net\n", r.out)
    assert.matches("/home/penumbra/recipes\n  mine +recipe  A small net\n"
      .. "  small +recipe  A small net %(hidden by small%.lua", r.out)
    assert.matches("the built%-in set\n.*  table4 +study   Table 4: Colour MNIST\n", r.out)
    assert.is_nil(r.out:find("script", 1, true))
  end)
end)

describe("a name", function()
  it("is looked for in the current folder, the user's and the program", function()
    local r = inside({ ["home/penumbra/recipes/small.lua"] = small, ["grid.lua"] = grid },
      [["$PENUMBRA" run small --quiet | head -1; "$PENUMBRA" run grid seed=1 --quiet | head -1
        "$PENUMBRA" run digits limit=20 --quiet | head -1]])
    assert.equal("A small net\nSmall nets\nHandwritten digits with a continuity constraint\n", r.out)
    assert.same({ 0, "" }, { r.code, r.err })
  end)

  it("that is there twice is said to be", function()
    local r = inside({ ["home/penumbra/recipes/small.lua"] = small, ["small.lua"] = small },
      '"$PENUMBRA" run small --quiet > /dev/null')
    assert.equal(0, r.code)
    assert.matches("^penumbra: small is small%.lua here; the same name: /.*/recipes/small%.lua\n$", r.err)
  end)

  it("that is unknown names the nearest", function()
    local r = inside({ ["x"] = "" }, '"$PENUMBRA" run tabel4')
    assert.same({ 1, "" }, { r.code, r.out })
    assert.matches('^penumbra: there is no recipe or study "tabel4" in the current folder, .*; '
      .. 'did you mean "table4"%?\n$', r.err)
  end)
end)
