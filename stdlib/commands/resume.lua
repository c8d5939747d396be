--- `penumbra resume RUN`: goes on with a run, a study or a sweep where it was stopped, from its folder alone.
local file = require "file"
local folder_of = require "run.folder"
local grid = require "run.grid"
local jobs_of = require "run.jobs"
local json = require "json"
local options_of = require "run.options"
local progress = require "progress"
local single = require "run.single"
local world = require "world"

local format = string.format

local function describe(parser)
  parser:argument("RUN", "The folder of a run, a study or a sweep, or the beginning of its name in the folder of runs.")
    :target "run":argname "RUN"
  options_of.describe_runs(parser)
  parser:flag("--quiet", "Show no progress.")
  parser:option("--jobs", "Of a study: so many runs at a time."):argname "N":default "1"
    :convert(options_of.count "--jobs")
  parser:flag("--tensorboard", "Also write event files for TensorBoard.")
  parser:flag("--tell", "Tell how far it is in lines of JSON on standard output, and nothing else.")
  options_of.describe_allow(parser)
  options_of.describe_steps(parser)
  parser:epilog [[
What comes out has the same bits as if the run had never been stopped. Everything is read from
the folder; the recipe it was made from may have changed or gone.]]
end

-- ---- for the process that started this one ----

local EVERY = 0.1 -- seconds between two lines

local function tell(row)
  io.stdout:write(json.encode(row), "\n")
  io.stdout:flush()
end

local function make_told(job, options)
  local last = -math.huge
  options.quiet, options.keep_going = true, true
  options.tell = function(share, words)
    if progress.clock() - last < EVERY then return end
    last = progress.clock()
    tell { share = share, note = words }
  end
  local complete = jobs_of.make({ job }, options, function() end)
  if job.failed then
    tell { failed = job.failed.message }
    return 1
  end
  return complete and 0 or 130
end

-- ---- studies ----

local function resume_study(folder, options)
  local above, name = file.split(folder)
  local settings = json.read(folder .. "/settings.json")
  local study, message = world.load(folder .. "/study.lua", { name = name:match "^(.+)%-%x+$" or name,
    recipe = folder .. "/recipe.lua", includes = folder .. "/includes", grant = options.allow })
  if not study then options_of.stop(message, 1) end
  local made
  made, message = grid.new(study, type(settings) == "table" and settings or {}, above == "" and "." or above)
  if not made then options_of.stop(message, 1) end
  if made.folder ~= folder then
    options_of.stop(format("%s: the study in it gives other runs now (%s)", folder, made.folder), 1)
  end
  return grid.make(made, options, options_of.say)
end

local function act(options)
  local folder, message = folder_of.find(options.run, options.runs)
  if not folder then options_of.stop(message, 1) end
  if file.exists(folder .. "/study.lua") then return resume_study(folder, options) end
  local job
  job, message = jobs_of.open(folder, options)
  if options.tell then
    if job then return make_told(job, options) end
    tell { failed = message }
    return 1
  end
  if not job then options_of.stop(message, 1) end
  return single.make(job, options, options_of.say)
end

return { about = "Go on with a run, a study or a sweep that was stopped.", describe = describe,
         act = options_of.guarded(act) }
