--- `penumbra run FILE key=value ...`: makes the run of a recipe, or all runs of a study, and writes their folders.
local grid = require "run.grid"
local jobs_of = require "run.jobs"
local options_of = require "run.options"
local recipe = require "recipe"
local single = require "run.single"

local function describe(parser)
  options_of.describe_file(parser)
  options_of.describe_out(parser)
  options_of.describe_making(parser, true)
  options_of.describe_steps(parser)
  parser:epilog [[
Examples:
  penumbra run digits alpha=0.3 epochs=2
  penumbra run table4 scale=smoke seed=1..3 --jobs 2

A run that is there already, with the same plan and data, is not made again; one that was
stopped goes on. In a study a setting may have several values (seed=1..3, variant=plain,C), and
scale= chooses one of its presets.]]
end

local function act(options)
  local settings = options_of.settings(options.setting)
  local value = options_of.load(options)
  if not recipe.is_recipe(value) then
    local made, message, kind = grid.new(value, settings, options.out)
    if not made then options_of.stop(message, kind == "argument" and 2 or 1) end
    return grid.make(made, options, options_of.say)
  end
  local job, message, kind = jobs_of.of(value, settings, options.out)
  if not job then options_of.stop(message, kind == "argument" and 2 or 1) end
  return single.make(job, options, options_of.say)
end

return { about = "Make the run of a recipe, or all runs of a study.", describe = describe,
         act = options_of.guarded(act) }
