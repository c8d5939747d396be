--- Every file of examples/ runs, and says what it says it does.
local lfs = require "lfs"
local nn = require "nn"
local plot = require "plot"
local program <const> = require "tests.cli.program"

-- How each is run, and a pattern its output must contain.
local EXAMPLES <const> = {
  ["first.lua"] = { "PENUMBRA_DATA= $PENUMBRA examples/first.lua", "mean of all +%d", slow = true },
  ["free_form.lua"] = { "$PENUMBRA examples/free_form.lua", "agrees with differences" },
  ["attacks.lua"] = { "PENUMBRA_DATA= $PENUMBRA examples/attacks.lua $OUT/a.png && test -s $OUT/a.png",
    "worst case.*worst case.*below what the attack made", slow = true },
  ["perturbations.lua"] = { "$PENUMBRA examples/perturbations.lua $OUT/p.png && test -s $OUT/p.png", "each row one" },
  ["mistakes.lua"] = { "PENUMBRA_DATA= $PENUMBRA examples/mistakes.lua $OUT && test -s $OUT/mistakes.png",
    "of 1000 digits are taken for others" },
  ["smoothness.lua"] = { "PENUMBRA_DATA= $PENUMBRA examples/smoothness.lua", "rescaled +‖J‖² 0%.%d", slow = true },
  ["charts.lua"] = { "PENUMBRA_DATA= $PENUMBRA examples/charts.lua $OUT && test -s $OUT/images.png", "heatmap.svg",
    gnuplot = true, slow = true },
  ["continuity.lua"] = { "$PENUMBRA examples/continuity.lua 128 64", "batch 1: loss.*mean of all +%d",
    data = "cifar100", slow = true },
  ["recipes/digits.lua"] = { "PENUMBRA_DATA= $PENUMBRA run $PWD/examples/recipes/digits.lua limit=200 --out $OUT/run",
    "accuracy" },
  ["recipes/augmentation.lua"] = { "PENUMBRA_DATA= $PENUMBRA run $PWD/examples/recipes/augmentation.lua limit=200 "
    .. "--out $OUT/run && ls $OUT/run/*/includes", "accuracy.*digits%.lua" },
  ["recipes/colour_turn.lua"] = { "PENUMBRA_DATA= $PENUMBRA run $PWD/examples/recipes/colour_turn.lua epochs=1 "
    .. "limit=300 --out $OUT/run", "accuracy" },
  ["recipes/turned_colours.lua"] = { "PENUMBRA_DATA= $PENUMBRA run $PWD/examples/recipes/turned_colours.lua "
    .. "scale=smoke --out $OUT", "C beats plain training" },
}

local function has_data(name)
  for folder in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
    if lfs.attributes(folder .. "/" .. name) then return true end
  end
  return false
end

describe("examples/", function()
  local names = {}
  for _, folder in ipairs { "", "recipes/" } do
    for name in lfs.dir("examples/" .. folder) do names[#names + 1] = folder .. name end
  end
  for _, name in ipairs(names) do
    if name:match "%.lua$" then
      it(name, function()
        local example = assert(EXAMPLES[name], "tests/cli/examples_spec.lua does not run it")
        if example.data and not has_data(example.data) then
          return pending("needs the data set " .. example.data .. " in PENUMBRA_DATA")
        end
        if example.gnuplot and not plot.program() then return pending "gnuplot is not installed" end
        if example.slow and nn.info().allocator ~= "caching" then
          return pending "takes many minutes in the sanitizers' build"
        end
        local run = program.shell("OUT=$(mktemp -d) || exit\n" .. example[1] .. "\ncode=$?; rm -r $OUT; exit $code")
        assert.equal(0, run.code, run.err)
        assert.truthy(run.out:match(example[2]), run.out)
      end)
    end
  end
end)
