--- `penumbra pack RUN`: one small file of a run or a study, to share.
local command = require "command"
local folder_of = require "run.folder"
local pack = require "pack"
local text = require "text"

local function describe(parser)
  parser:argument("run", "A run or a study: its folder, or its name in the folder of runs.")
  parser:flag("--weights", "With the weights: the best, and the last that were saved.")
  parser:option("--out", "The file to write; by default NAME.penumbra."):argname "FILE"
  parser:flag("--force", "Pack what is there of a run that is not complete.")
end

local function act(options)
  local folder, message = folder_of.find(options.run)
  if not folder then return command.fail("pack", message) end
  local info
  info, message = pack.write(folder, { out = options.out, weights = options.weights, force = options.force })
  if not info then return command.fail("pack", message) end
  print(("%s: %s, %s files%s"):format(info.path, text.bytes(info.bytes), text.count(info.files),
    info.kind == "study" and (", %d run%s"):format(info.runs, info.runs == 1 and "" or "s") or ""))
  return 0
end

return { about = "Make one small file of a run or a study, to share.", describe = describe, act = act }
