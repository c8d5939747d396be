--- `penumbra sweep FILE a=0,0.1,1 seed=1..3 ...`: a grid of runs over a recipe.
local grid = require "run.grid"
local options_of = require "run.options"
local recipe = require "recipe"
local study = require "study"

local function describe(parser)
  options_of.describe_file(parser, "A parameter and its values.")
  options_of.describe_out(parser)
  options_of.describe_making(parser, true)
  parser:option("--metric", "Show this metric in the table, not all; may be given again."):argname "NAME":count "*"
    :target "metrics"
  options_of.describe_steps(parser)
  parser:epilog [[
Values:
  alpha=0,0.1,1          these values
  seed=1..3              whole numbers; also 1..3,7 and 8..64/8 (steps of 8)
  lr=0..1/0.25           numbers in steps
  levels=1 levels=1,2    of a list parameter: each text is one value
  epochs=3               one value holds for all runs

Example:
  penumbra sweep digits alpha=0,0.1,1 seed=1..3 --jobs 2

A run that fails leaves the others alone. The same command goes on where an interrupted one was.
In the end a table has the mean and the standard deviation over the seeds, and the sweep's folder
has it all; the study.lua in it is a study like others, to go on with.]]
end

local function act(options)
  local settings = options_of.settings(options.setting, true)
  local value = options_of.load(options)
  if not recipe.is_recipe(value) then
    options_of.stop(options.file .. ": a sweep is over a recipe, and this is a study: penumbra run makes its runs", 2)
  end
  local this, message = study.sweep(value, settings)
  if not this then options_of.stop(message, 2) end
  local made, problem, kind = grid.new(this, {}, options.out)
  if not made then options_of.stop(problem, kind == "argument" and 2 or 1) end
  if options.metrics and #options.metrics == 0 then options.metrics = nil end
  return grid.make(made, options, options_of.say)
end

return { about = "Make a grid of runs over a recipe's parameters.", describe = describe,
         act = options_of.guarded(act) }
