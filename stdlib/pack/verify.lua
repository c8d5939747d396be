--- Repeats the runs of a pack and compares: is what it says what comes out here?
---@package
local check_study = require "pack.study"
local compare = require "run.compare"
local digest = require "data.digest"
local execute = require "run.execute"
local file = require "file"
local find = require "data.find"
local folder_of = require "run.folder"
local hash = require "hash"
local json = require "json"
local nn = require "nn"
local pack = require "pack"
local plan = require "plan"
local progress = require "progress"
local remake = require "run.remake"
local spec = require "spec"
local text = require "text"

local format = string.format

local fields = { steps = spec.integer { min = 1 }, out = spec.text(), allow = spec.list { spec.text(), default = {} },
                 quiet = spec.flag { default = false }, say = spec.callable() }

-- What keeps a pack from being verified, as an error that `verify` turns into nil, message, code.
local function stop(code, ...) error({ stop = true, message = format(...), code = code }, 0) end

local function must(value, message, code)
  if value == nil then stop(code or "io", "%s", message) end
  return value
end

-- What the runs of a pack need and find: told as it goes, kept for the verdict.
local function check_plan(state, folder, where)
  local remade, message, code = remake.plan(folder, state.options.allow)
  if not remade then stop(code, "%s: %s", where, message) end
  local said = must(file.read(folder .. "/plan.txt")):gsub("\n$", "")
  if file.exists(folder .. "/results.json") then
    local results = must(json.read(folder .. "/results.json"))
    if type(results) ~= "table" or hash.sha256(said) ~= results.plan_hash then
      stop("format", "%s: plan.txt is not the plan of results.json", where)
    end
  elseif not state.options.steps then
    stop("state", "%s: the run in it is not complete; --steps N compares its first steps", where)
  end
  return remade, said
end

-- Where two texts part: a few words of both.
local function part_at(a, b)
  local at = 1
  while a:byte(at) == b:byte(at) do at = at + 1 end
  -- From the beginning of the word.
  local from = a:sub(1, at - 1):match "()[%w_.]*[ ={]*[%w_.\"]*$" or at
  local function piece(s) return text.tame(s:sub(from, from + 59), 60) end
  return piece(a), piece(b)
end

local function check_data(state, where)
  for _, name in ipairs(spec.names(state.pack.manifest.data)) do
    -- A name that is a path is only looked at when the sandbox lets the plan name it; the run then opens it.
    if not name:find "/" and not name:find "^%." and not state.data[name] then
      state.data[name] = true
      local said = state.pack.manifest.data[name]
      local here, message, code = digest.named(name)
      if not here then stop(code, "%s: %s; penumbra data get %s may have it", where, message, text.tame(name)) end
      local same = here.sha256 == said.sha256 and here.by == said.by
      state.say(format("  data      %s is %s (%s, %s)", text.tame(name), same and "the same" or "not the same",
        text.bytes(here.bytes), here.sha256:sub(1, 12)))
      if not same then
        return format("data set %s has other contents: %s here, %s in the pack", text.tame(name),
          here.sha256:sub(1, 12), said.sha256:sub(1, 12))
      end
    end
  end
end

-- The run in the pack that these results say they started from, as a job is told of it; its weights must be those that
-- were begun with. nil when there is none.
local function packed_start(state, results, made, where)
  if not made.start then return nil end
  local said = type(results.start) == "table" and results.start or {}
  local name = type(said.run) == "string" and said.run:find(spec.FILE_NAME) and said.run
  local folder
  for _, below in ipairs { "starts", "runs" } do
    local path = name and format("%s/%s/%s", state.pack.folder, below, name)
    if path and file.exists(path .. "/model.safetensors") then folder = path end
  end
  if not folder then stop("state", "%s: the weights that it starts from are not in the pack", where) end
  local own, sum = must(json.read(folder .. "/results.json")), plan.hash(made.start)
  if type(own) ~= "table" or own.plan_hash ~= sum then
    stop("format", "%s: %s is not the run of the plan that it starts from", where, text.tame(name))
  elseif hash.sha256_file(folder .. "/model.safetensors") ~= said.sha256 then
    stop("format", "%s: the weights of %s are not those that it started from", where, text.tame(name))
  end
  return { folder = folder, hash = sum, plan = made.start, start = packed_start(state, own, made.start, where) }
end

local function run_again(state, remade, label, start)
  local out = state.options.out or state.pack.base .. "/runs"
  local job = { recipe = remade.recipe, values = remade.values, plan = remade.plan, hash = remade.hash, label = label,
                folder = format("%s/%s-%s", out, remade.recipe.name, remade.hash:sub(1, 8)), start = start }
  if file.exists(job.folder) then stop("io", "%s: is there already; --out names another folder", job.folder) end
  local bar = progress.new { total = 1, unit = false, quiet = state.options.quiet }
  local ok, results = pcall(execute, job, function(share, now)
    bar:update(share, label, now.note)
  end, { steps = state.options.steps })
  bar:clear()
  if not ok then
    if type(results) ~= "table" and not tostring(results):find "interrupted" then return nil, tostring(results) end
    if type(results) == "table" and results.world and (results.exit or 1) < 128 then
      stop(results.code, "%s", results.message)
    end
    error(results, 0)
  end
  return job, results
end

-- The data sets that are named by paths, which the run has opened by now.
local function check_opened(state)
  for _, name in ipairs(spec.names(find.opened)) do
    local said = state.pack.manifest.data[name]
    if said and name:find "/" then
      local here = must(digest.named(name))
      if here.sha256 ~= said.sha256 then return format("data set %s has other contents", text.tame(name)) end
    end
  end
end

-- The first metric of the results that is not as in the pack: not the same bits, or not within its interval.
local function compare_results(folder, job, exact)
  local here = folder_of.metrics(job.folder, (json.read(job.folder .. "/results.json")))
  local there = folder_of.metrics(folder, (json.read(folder .. "/results.json")))
  if not here or not there then return "the metrics of results.json are damaged", 0 end
  local count = 0
  for _, this in ipairs(compare.metrics(here, there)) do
    local one = this.first or this.second
    if one.method ~= "clock" then
      count = count + 1
      local fine = this.near
      if exact then fine = this.same end
      if not fine then
        local a, b = compare.shown(this.first and this.first.value, this.second and this.second.value)
        return format("%s: %s here, %s in the pack", this.name, a, b), count
      end
    end
  end
  return nil, count
end

-- The weights that were measured, as the pack's manifest knows them.
local function compare_weights(state, job, label)
  local there = state.pack.manifest.models[label]
  local here = there and hash.sha256_file(job.folder .. "/model.safetensors")
  if here and here ~= there then
    return format("the weights: SHA-256 %s here, %s in the pack", here:sub(1, 12), there:sub(1, 12))
  end
end

local function rows(n) return text.plural(n, "row of metrics", "rows of metrics") end

local function wrong(message, found, first)
  return { verified = false, bits = false, rows = found.rows, first = first, message = message }
end

-- On a machine of the same type everything must be the same bits.
local function judge_bits(state, folder, job, found, label)
  if found.first then
    return wrong("differs first " .. compare.place(found.first, "here", "in the pack"), found, found.first)
  end
  if found.rows == 0 then
    return wrong("nothing to compare: the pack has no rows up to that step", found)
  end
  local also = ""
  if not state.options.steps then
    local differs, count = compare_results(folder, job, true)
    differs = differs or compare_weights(state, job, label)
    if differs then return wrong("differs in the results: " .. differs, found) end
    also = ", and " .. text.plural(count, "result")
  end
  return { verified = true, bits = true, rows = found.rows, message = format("%s%s are the same bits",
    rows(found.rows), also) }
end

-- Elsewhere, the first steps within the tolerance and the results within their intervals.
local function judge_near(state, folder, job, found)
  if found.beyond then
    return wrong(format("differs %s, out of tolerance", compare.place(found.beyond, "here", "in the pack")), found,
      found.beyond)
  end
  local count = 0
  if not state.options.steps then
    local differs
    differs, count = compare_results(folder, job, false)
    if differs then
      return wrong(format("differs in a result by more than twice both intervals: %s; the first steps agree (%s), so "
        .. "it turns on rounding, or is not what the run gave: a machine of the same type can tell", differs,
        rows(found.near)), found)
    end
  end
  if found.near == 0 and count == 0 then
    return wrong(format("nothing to compare with another type of machine: no rows up to step %d", compare.LAST_STEP),
      found)
  end
  local parts = { format("within tolerance of another type of machine: up to step %d the terms of the loss differ "
    .. "by up to %.1e of their values (%s)", compare.LAST_STEP, found.largest, rows(found.near)) }
  if count > 0 then parts[2] = format("%d results agree within twice their intervals", count) end
  if found.first then parts[#parts + 1] = "bits part " .. compare.place(found.first, "here", "in the pack") end
  return { verified = true, bits = false, rows = found.rows, first = found.first, largest = found.largest,
           message = table.concat(parts, "; ") }
end

-- A verdict: { verified, bits, message, rows, first }.
local function judge(state, folder, job, machines, label)
  local found, message, code = compare.rows(job.folder .. "/metrics.jsonl", folder .. "/metrics.jsonl",
                                            { steps = state.options.steps })
  if not found then stop(code, "%s", message) end
  local verdict = judge_bits(state, folder, job, found, label)
  if #machines == 0 or verdict.verified then return verdict end
  return judge_near(state, folder, job, found)
end

local function verify_run(state, folder, label)
  local where = state.pack.manifest.kind == "run" and state.pack.path or state.pack.path .. ": " .. label
  local say = state.say
  local remade, said = check_plan(state, folder, where)
  local environment = must(json.read(folder .. "/environment.json"))
  if type(environment) ~= "table" then stop("format", "%s: environment.json: an object expected", where) end
  if remade.text ~= said then
    local here, there = part_at(remade.text, said)
    local other = environment.version ~= nn.version and
      format(" (made by version %s, this is %s)", text.tame(tostring(environment.version)), nn.version) or ""
    return { verified = false, message = format("the plan made here is not the one in the pack%s: %s here, %s in the "
      .. "pack", other, here, there) }
  end
  say(format("  plan      made from the recipe, in the sandbox: %s, as in the pack", remade.hash:sub(1, 8)))
  local problem = check_data(state, where)
  if problem then return { verified = false, message = problem } end
  local machines = compare.machines(folder_of.environment(), environment)
  if #machines == 0 then
    say(format("  machine   of the same type: %s", text.tame(compare.machine(environment), 100)))
  else
    for _, trait in ipairs(machines) do
      say(format("  machine   of another type: %s %s here, %s in the pack", trait[1], text.tame(trait[2]),
        text.tame(trait[3])))
    end
    say(format("            so numbers are compared within a tolerance: %g of them at step 1, 0.002 step^2 to step %d;"
      .. "\n            results within their intervals", compare.tolerance(1), compare.LAST_STEP))
  end
  if state.options.steps and remade.plan.epochs == 0 then
    return { verified = true, bits = true, rows = 0, skipped = true,
             message = "it has no steps and only measures: left out with --steps" }
  end
  local start = packed_start(state, json.read(folder .. "/results.json") or {}, remade.plan, where)
  local job, message = run_again(state, remade, label, start)
  if not job then return { verified = false, message = "the run fails here: " .. message } end
  problem = check_opened(state)
  if problem then return { verified = false, message = problem } end
  return judge(state, folder, job, machines, label)
end

---@class PackVerdict
---@field verified boolean
---@field bits? boolean      # the same bits; else within tolerance, on another type of machine
---@field message string     # in one line
---@field rows? integer      # that were compared
---@field first? RowDifference
---@field skipped? boolean   # nothing was compared: with `steps` a run that has none
---@field runs? PackVerdict[]  # of a study or of a run that starts from others, each with its `name`

-- What is to be repeated: { name =, folder = }, starts before who starts from them.
local function runs_of(pack_of)
  local manifest, list = pack_of.manifest, {}
  for _, name in ipairs(manifest.starts) do
    list[#list + 1] = { name = name, folder = format("%s/starts/%s", pack_of.folder, name) }
  end
  if manifest.kind == "run" then list[#list + 1] = { name = manifest.name, folder = pack_of.folder } end
  for _, name in ipairs(manifest.runs) do
    list[#list + 1] = { name = name, folder = format("%s/runs/%s", pack_of.folder, name) }
  end
  return list
end

local function verify_all(state)
  local manifest = state.pack.manifest
  if manifest.kind == "run" and #manifest.starts == 0 then
    return verify_run(state, state.pack.folder, manifest.name)
  end
  if manifest.kind == "study" then
    local problem, message = check_study(state.pack.folder, manifest, state.options.allow)
    if message then stop("format", "%s: %s", state.pack.path, message) end
    if problem then return { verified = false, message = problem } end
    state.say "  study     its tables and claims are what its runs give"
  end
  local list, verdicts, first, bits, compared = runs_of(state.pack), {}, nil, true, 0
  for i, run in ipairs(list) do
    state.say(format("%s (%d of %d)", run.name, i, #list))
    local verdict = verify_run(state, run.folder, run.name)
    verdict.name, verdicts[i] = run.name, verdict
    bits = bits and verdict.bits or false
    if not verdict.skipped then compared = compared + 1 end
    if not verdict.verified then first = first or verdict end
    state.say(format("  %s%s", verdict.verified and not verdict.skipped and "verified: " or "", verdict.message))
  end
  if compared == 0 then
    return { verified = false,
             message = #list == 0 and "the pack of a study without runs" or "none of its runs has steps" }
  end
  if first then
    return { verified = false, runs = verdicts, first = first.first, message = first.name .. ": " .. first.message }
  end
  return { verified = true, bits = bits, runs = verdicts, message = format("%s, %s", text.plural(compared, "run"),
    bits and "all rows of metrics are the same bits" or "within tolerance") }
end

--- Verifies a pack: unpacks and checks it (pack.open), reads its recipe in the sandbox and makes the plan anew,
--- compares the data sets with the digests in the pack, repeats the run, or its first `steps`, and compares the
--- metrics: bit for bit, and on a machine of another type within the tolerance that run.compare states. What keeps it
--- from being verified (a damaged pack, data that is not here) gives nil, message, code. `out` keeps the runs that were
--- made, `allow` are paths that a plan may name, `say` gets a line for each finding.
---
--- Example:
---     pack.verify "none.penumbra"  --> nil  none.penumbra: No such file or directory  io
---@param path string
---@param options? { steps?: integer, out?: string, allow?: string[], quiet?: boolean, say?: fun(line: string) }
---@return PackVerdict? verdict, string? message, string? code
return function(path, options)
  options = spec.check("pack.verify", options, fields)
  local opened <close>, message, code = pack.open(path)
  if not opened then return nil, message, code end
  local state = { pack = opened, options = options, say = options.say or function() end, data = {} }
  local manifest = opened.manifest
  state.say(format("%s: a %s, %s%s", path, manifest.kind, text.tame(manifest.name),
    manifest.title and format(' ("%s")', text.tame(manifest.title)) or ""))
  state.say(format("  files     %d, all as the manifest says", #spec.names(manifest.entries)))
  local ok, verdict = pcall(verify_all, state)
  if ok then return verdict end
  if type(verdict) == "table" and verdict.stop then
    -- Nobody knows the folder that it was unpacked into.
    local below, shown = opened.folder:gsub("%p", "%%%0") .. "/", verdict.message
    if shown:find("^" .. below) then shown = path .. ": " .. shown end
    return nil, text.tame((shown:gsub(below, "")), 1000), verdict.code
  end
  error(verdict, 0)
end
