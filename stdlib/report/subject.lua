--- What a report is about: runs and studies read from folders, put together. Which parameters tell the runs apart,
--- which runs are repetitions, what must be known before any figure is trusted.
---@package
local json = require "json"
local parts = require "report.parts"
local spec = require "spec"
local text = require "text"
local words = require "report.words"

local M = {}

local format, concat, sort = string.format, table.concat, table.sort

---@class ReportSubject
---@field title string
---@field linked? boolean           # with links to pages of other runs
---@field kicker string
---@field about? string
---@field scale? string
---@field count? string
---@field written? string
---@field program? string
---@field notices string[]
---@field studies table[]
---@field runs ReportRun[]
---@field recipes table[]           # the descriptions of the recipes, each once
---@field axes string[]             # parameters that differ between runs, seeds last
---@field seed? string              # the one that is a seed
---@field groups { label: string, runs: ReportRun[] }[]  # runs that differ in their seed only

--- Parameters of a run in the order of its recipe; those it does not list after them, by name.
---@param run ReportRun
---@return { name: string, value: any, default: any, doc?: string, kind?: string }[]
function M.parameters(run)
  local list, seen = {}, {}
  for _, this in ipairs(run.about.params or {}) do
    if run.values[this.name] ~= nil then
      list[#list + 1] = { name = this.name, value = run.values[this.name], default = this.default, doc = this.doc,
                          kind = this.kind }
      seen[this.name] = true
    end
  end
  local rest = {}
  for name in pairs(run.values) do
    if type(name) == "string" and not seen[name] then rest[#rest + 1] = name end
  end
  sort(rest)
  for _, name in ipairs(rest) do list[#list + 1] = { name = name, value = run.values[name] } end
  return list
end

--- Are two values of a parameter the same?
function M.same(a, b) return a == nil and b == nil or a ~= nil and b ~= nil and parts.shown(a) == parts.shown(b) end

-- The parameters that differ between the runs, in the recipe's order, and the one that is a seed.
local function axes_of(runs)
  local axes, seen, seed = {}, {}, nil
  for _, run in ipairs(runs) do
    for _, this in ipairs(M.parameters(run)) do
      if not seen[this.name] then
        seen[this.name] = true
        for _, other in ipairs(runs) do
          if not M.same(this.value, other.values[this.name]) then
            if this.kind == "seed" or this.kind == nil and this.name == "seed" then seed = seed or this.name
            else axes[#axes + 1] = this.name end
            break
          end
        end
      end
    end
  end
  axes[#axes + 1] = seed
  return axes, seed
end

-- "C, alpha 0.1": a value that is a word speaks for itself.
local function label_of(run, axes, without)
  local list = {}
  for _, axis in ipairs(axes) do
    local value = run.values[axis]
    if axis ~= without and value ~= nil then
      local shown = parts.shown(value)
      list[#list + 1] = (type(value) ~= "string" or tonumber(value)) and axis .. " " .. shown or shown
    end
  end
  return #list > 0 and concat(list, ", ") or nil
end

local function groups_of(runs, axes, seed)
  local groups, by_label = {}, {}
  for _, run in ipairs(runs) do
    local label = label_of(run, axes, seed) or (seed and run.recipe) or run.label or run.name
    -- Runs of two recipes that look alike, or one run twice under other data, are no repetitions.
    local key = (run.recipe or "") .. "\0" .. label
    local group = by_label[key]
    if not group then
      group = { label = label, runs = {} }
      by_label[key] = group
      groups[#groups + 1] = group
    end
    group.runs[#group.runs + 1] = run
  end
  return groups
end

-- Values of the runs that should all be the same: nil, or a list of them.
local function differing(runs, of)
  local values, seen = {}, {}
  for _, run in ipairs(runs) do
    local value = of(run)
    if value and not seen[value] then
      seen[value] = true
      values[#values + 1] = value
    end
  end
  return #values > 1 and values or nil
end

local function data_of(run)
  if next(run.data) == nil then return nil end
  local ok, encoded = pcall(json.encode, run.data)
  if not ok then return nil end
  local plain = json.decode(encoded)
  -- Where the files lie does not matter, what is in them does.
  for _, set in pairs(plain) do
    if type(set) == "table" then set.folder = nil end
  end
  return json.encode(plain)
end

-- What the reader must know before trusting a figure.
local function notices_of(this)
  local list, said = {}, {}
  local function say(...)
    local words_of = format(...)
    if not said[words_of] then list[#list + 1] = words_of end
    said[words_of] = true
  end
  local runs = this.runs
  for _, study in ipairs(this.studies) do
    for _, notice in ipairs(study.notices) do say("%s", notice) end
    for _, claim in ipairs(study.claims) do
      if claim.verdict == "no verdict" and type(claim.why) == "string" then say("No verdict: %s.", claim.why) end
    end
  end
  for _, run in ipairs(runs) do
    for _, notice in ipairs(run.notices) do say("%s%s", #runs > 1 and run.label .. ": " or "", notice) end
    for _, name in ipairs(spec.names(run.metrics)) do
      local value = run.metrics[name].value
      if value ~= value or value == math.huge or value == -math.huge then
        say("%s%s is not a finite number.", #runs > 1 and run.label .. ": " or "", words.title(name))
      end
    end
    local skipped = run.training.skipped
    if type(skipped) == "number" and skipped > 0 then
      say("%s%d pictures could not be read and were left out of the training.", #runs > 1 and run.label .. ": " or "",
        math.tointeger(skipped) or 0)
    end
  end
  local most = 0
  for _, group in ipairs(this.groups) do most = math.max(most, #group.runs) end
  if most == 1 and this.complete then
    say("One seed only: the intervals tell how far other test images would move a figure, not how far another "
      .. "training would.")
  end
  local versions = differing(runs, function(run) return run.version end)
  if versions then say("The runs were made by different versions of the program: %s.", concat(versions, ", ")) end
  if differing(runs, data_of) then say("The runs did not use the same data files.") end
  local machines = differing(runs, function(run)
    return type(run.environment.cpu) == "string" and concat({ run.environment.cpu,
      tostring(run.environment.level), tostring(run.environment.precision) }, ", ") or nil
  end)
  if machines then say("The runs were made on different machines: %s.", concat(machines, "; ")) end
  return list
end

local function written_of(environment)
  local written = type(environment.written) == "string" and environment.written
  return written and (written:gsub("T(%d+:%d+):%d+Z$", " %1 UTC")) or nil
end

local function ordered(x, y)
  if x ~= y then return x < y end
end

-- Is a before b? Numbers by size, before all else, which goes by its text. nil: they are alike.
local function before(a, b)
  local x, y = tonumber(a), tonumber(b)
  if x and y then return ordered(x, y) end
  if x or y then return x ~= nil end
  x, y = a == nil and "" or parts.shown(a), b == nil and "" or parts.shown(b)
  return ordered(x, y)
end

-- Runs that were named one by one, in the order of what tells them apart.
local function sorted(runs, axes)
  local at = {}
  for i, run in ipairs(runs) do at[run] = i end
  sort(runs, function(a, b)
    for _, axis in ipairs(axes) do
      local first = before(a.values[axis], b.values[axis])
      if first ~= nil then return first end
    end
    return at[a] < at[b]
  end)
end

--- Puts together what was read.
---@param found table[]     # as read.folder gives them
---@param options { title?: string, linked?: boolean }
---@return ReportSubject
function M.new(found, options)
  local this = { studies = {}, runs = {}, recipes = {}, linked = options.linked }
  local seen = {}
  local function add(run)
    if not seen[run.folder] then this.runs[#this.runs + 1] = run end
    seen[run.folder] = true
  end
  for _, one in ipairs(found) do
    if one.kind == "study" then
      this.studies[#this.studies + 1] = one
      for _, run in ipairs(one.runs) do add(run) end
    else
      add(one)
    end
  end
  local runs, study = this.runs, #found == 1 and this.studies[1]
  this.axes, this.seed = axes_of(runs)
  if #this.studies == 0 then sorted(runs, this.axes) end
  this.groups = groups_of(runs, this.axes, this.seed)
  local labels = {}
  for _, run in ipairs(runs) do
    run.label = run.label or label_of(run, this.axes) or run.name
    if labels[run.label] then run.label = format("%s (%s)", run.label, run.name) end
    labels[run.label] = true
  end
  this.complete = #runs > 0
  for _, run in ipairs(runs) do
    if run.status ~= "complete" then this.complete = false end
  end

  local titles = {}
  for _, run in ipairs(runs) do
    local key = concat({ run.about.name or "", run.about.title or "", concat(run.about.unstated or {}, "\0") }, "\0")
    if run.about.title and not titles[key] then
      titles[key] = true
      this.recipes[#this.recipes + 1] = run.about
    end
  end
  if #this.recipes == 0 and study and study.about.recipe then this.recipes[1] = study.about.recipe end
  local one_recipe = #this.recipes == 1 and this.recipes[1]
  this.title = options.title or study and study.title or #runs == 1 and runs[1].title
    or one_recipe and one_recipe.title or text.plural(#runs, "run")
  this.about = study and study.about.about or not study and one_recipe and one_recipe.about or nil
  this.kicker = study and "Study " .. study.name or #runs == 1 and "Run " .. runs[1].name
    or #this.studies > 0 and format("%s, %s", text.plural(#this.studies, "study", "studies"), text.plural(#runs, "run"))
    or text.plural(#runs, "run") .. " side by side"
  this.scale = study and study.scale
  this.count = study and text.plural(#runs, "run") or nil
  local environment = (study or #found == 1 and found[1] or runs[#runs] or {}).environment or {}
  this.environment = next(environment) and environment or runs[1] and runs[1].environment or {}
  this.written = written_of(this.environment)
  local version = type(this.environment.version) == "string" and this.environment.version
  this.program = version and "penumbra " .. version or nil
  this.colophon = "Made by penumbra from the folders of the runs. This page needs nothing else: no scripts, no network."
  this.notices = notices_of(this)
  return this
end

return M
