--- `penumbra pack RUN`: one small file of a run or a study, to share.
local command = require "command"
local folder_of = require "run.folder"
local options_of = require "run.options"
local pack = require "pack"
local text = require "text"

local function describe(parser)
  parser:argument("RUN", "A run or a study: its folder, or the beginning of its name in the folder of runs.")
    :target "run"
  parser:flag("--weights", "With the weights: those that were measured, and the best.")
  parser:option("--out", "The file to write; by default NAME.penumbra."):argname "FILE"
  options_of.describe_runs(parser)
  parser:flag("--force", "Pack what is there of a run that is not complete.")
  parser:epilog [=[
Example:
  penumbra pack digits-3f2a91c0 --out digits.penumbra

The file is a .zip: the recipe with its includes, parameters, plan, environment, metrics, results,
tables, figures, the report, and hashes of all and of the data sets. Runs that others start from are
in it with their weights. penumbra verify reads it.]=]
end

local function act(options)
  local folder, message = folder_of.find(options.run, options.runs)
  if not folder then return command.fail("pack", message) end
  local info
  info, message = pack.write(folder, { out = options.out, weights = options.weights, force = options.force })
  if not info then return command.fail("pack", message) end
  print(("%s: %s, %s files%s%s"):format(info.path, text.bytes(info.bytes), text.count(info.files),
    info.kind == "study" and ", " .. text.plural(info.runs, "run") or "",
    info.starts > 0 and (", and %s to start from, with weights"):format(text.plural(info.starts, "run")) or ""))
  return 0
end

return { about = "Make one small file of a run or a study, to share.", describe = describe, act = act }
