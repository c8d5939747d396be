--- `penumbra report RUN... [--out FILE]`: one HTML page about a run, a study, or several of them.
local command = require "command"
local file = require "file"
local folder_of = require "run.folder"
local lfs = require "lfs"
local options_of = require "run.options"
local report = require "report"

local format = string.format

-- What is there under that name is taken, damaged or not; else it names a run in the folder of runs.
local function place_of(name, runs)
  if lfs.attributes(name, "mode") then return (name:gsub("(.)/+$", "%1")) end
  return folder_of.find(name, runs)
end

local function describe(parser)
  parser:argument("RUN", "A run or a study: its folder, or its name or the beginning of it."):target "run":args "+"
  parser:option("--out", "The page; else report.html in the folder, or report.html here for several."):argname "FILE"
  options_of.describe_runs(parser)
  parser:option("--title", "A title of your own."):argname "TEXT"
end

local function act(options)
  local folders = {}
  for i, name in ipairs(options.run) do
    local folder, problem = place_of(name, options.runs)
    if not folder then return command.fail("report", problem) end
    folders[i] = folder
  end
  local page, message = report.page(folders, { title = options.title, linked = #folders == 1 and not options.out })
  if not page then return command.fail("report", message) end
  local path = options.out or (#folders == 1 and folders[1] .. "/report.html" or "report.html")
  local ok
  ok, message = file.write(path, page)
  if not ok then return command.fail("report", message) end
  io.stdout:write(format("%s\n", path))
  return 0
end

return { about = "Write one HTML page about a run, a study, or several of them.", describe = describe, act = act }
