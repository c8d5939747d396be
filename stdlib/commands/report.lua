--- `penumbra report RUN... [--out FILE]`: one HTML page about a run, a study, or several of them.
local command = require "command"
local file = require "file"
local lfs = require "lfs"
local report = require "report"

local format = string.format

-- A path, or the name of a folder in runs/ (--runs); what is neither stays as it is, for the message.
local function place_of(name, runs)
  if lfs.attributes(name, "mode") or name:find("/", 1, true) then return name end
  local below = runs .. "/" .. name
  return lfs.attributes(below, "mode") and below or name
end

local function describe(parser)
  parser:argument("run", "A run or a study: its folder, or its name in the folder of runs."):args "+"
  parser:option("--out", "The page; else report.html in the folder, or report.html here for several."):argname "FILE"
  parser:option("--runs", "The folder that names are looked for in."):argname("FOLDER"):default "runs"
  parser:option("--title", "A title of your own.")
end

local function act(options)
  local folders = {}
  for i, name in ipairs(options.run) do folders[i] = place_of(name, options.runs):gsub("(.)/+$", "%1") end
  local page, message = report.page(folders, { title = options.title })
  if not page then return command.fail("report", message) end
  local path = options.out or (#folders == 1 and folders[1] .. "/report.html" or "report.html")
  local ok
  ok, message = file.write(path, page)
  if not ok then return command.fail("report", message) end
  io.stdout:write(format("%s\n", path))
  return 0
end

return { about = "Write one HTML page about a run, a study, or several of them.", describe = describe, act = act }
