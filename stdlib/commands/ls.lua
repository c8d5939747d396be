--- `penumbra ls [PATTERN]`: the runs and studies that are there.
local command = require "command"
local folder_of = require "run.folder"
local json = require "json"
local list_of = require "run.list"
local options_of = require "run.options"
local print_of = require "run.print"
local text = require "text"

local NARROW <const> = 100 -- columns; with fewer, what belongs to a run stands below it

local function describe(parser)
  parser:argument("PATTERN", "Only those whose names hold this; * is anything."):target "pattern":args "?"
  options_of.describe_runs(parser)
  parser:flag("--json", "One line of JSON for each, with everything.")
  parser:epilog [=[
Examples:
  penumbra ls
  penumbra ls 'digits*' --json | jq .metrics.accuracy.value

Of the parameters those are shown that are not the default, or not the same in all runs of a
recipe. The oldest comes first.]=]
end

local function plain_of(this)
  return { name = this.name, path = this.path, kind = this.kind, title = this.title, recipe = this.recipe,
           status = this.status, step = this.step, epoch = this.epoch, reason = this.reason,
           problem = this.problem, params = this.params,
           varied = json.array(this.varied), start = this.start, metrics = folder_of.plain(this.metrics),
           claims = this.claims, runs = this.runs, failed = this.failed, written = this.written, bytes = this.bytes }
end

local function date(this) return text.tame((this.written:gsub("T", " ")), 17):sub(1, 16) end

local function as_records(list, width)
  local lines = {}
  for _, this in ipairs(list) do
    lines[#lines + 1] = table.concat({ text.tame(this.name), list_of.status(this), date(this), text.bytes(this.bytes) },
      "  ")
    for _, part in ipairs { text.tame(this.title or ""), list_of.parameters(this), list_of.results(this) } do
      if part ~= "" then lines[#lines + 1] = "  " .. text.wrap(part, width - 2):gsub("\n", "\n  ") end
    end
  end
  return table.concat(lines, "\n")
end

local function as_table(list, width)
  local rows = {}
  for i, this in ipairs(list) do
    rows[i] = { text.tame(this.name), list_of.status(this), text.tame(this.title or "", 60), list_of.parameters(this),
                list_of.results(this), date(this), text.bytes(this.bytes) }
  end
  return text.table({ "run", { title = "state", align = "left" }, { title = "title", align = "left", wrap = true },
    { title = "parameters", align = "left", wrap = true }, { title = "results", align = "left", wrap = true },
    "began (UTC)", "size" }, rows, { width = width })
end

local function act(options)
  local list, message = list_of.all(options.runs, options.pattern)
  if not list then return command.fail("ls", message) end
  if options.json then
    for _, this in ipairs(list) do print(json.encode(plain_of(this))) end
    return 0
  end
  if #list == 0 then
    io.stderr:write(("no runs in %s%s\n"):format(options.runs,
      options.pattern and (' with names like "%s"'):format(options.pattern) or ""))
    return 0
  end
  local width = print_of.table_width()
  print(width and width < NARROW and as_records(list, width) or as_table(list, width))
  return 0
end

return { about = "List runs and studies: what they are, how far, what came out.", describe = describe, act = act }
