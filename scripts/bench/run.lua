--- `make bench`: Penumbra and torch on the same work, in turn.
--- usage: penumbra scripts/bench/run.lua [case=NAME] [rounds=N] [batch=N] [threads=2] [seconds=1] [minutes=8]
---                                       [peers=yes|no] [out=build]
---
--- case: one of cases.lua, the beginning of several names, "growth" (see growth.lua), "startup" (see startup.lua) or
--- "table" (the table and the chart of what was measured before). Without it all of them, one after the other.
---
--- Each program is a process of its own for the whole of a case. A round gives each its turn (A B C A B C ...), so that
--- a slow spell of the machine meets them all, while the others wait for their input: a turn is as many steps as
--- `seconds` take, one at least, and counts with their median. Before and after each turn the machine's peak is
--- measured; a round in which it fell below QUIET of the best one seen is noisy and done again, as long as there are
--- not twice as many rounds as asked for, nor more than `minutes`. A figure is the median over the quiet rounds; where
--- most were noisy, over all, and the table says so.
---
--- Ratios are of throughput, Penumbra's to the peer's: of the two medians, and in turn (the median, lowest and highest
--- of the rounds' own ratios). GFLOP/s are effective: the operations of the direct algorithm (see work.lua) by the
--- time. Memory is the most that was resident; "at start" is the part that was there before any tensor, mostly
--- libraries, and the net ratio is of the rest.
---
--- Every turn is a line of OUT/bench.json; OUT/bench-table.json has the newest result of each case, OUT/bench-chart.svg
--- and .png show their ratios.
local nn = require "nn"
local file, json, plot = require "file", require "json", require "plot"
local progress, spec, stats, text = require "progress", require "spec", require "stats", require "text"
local cases = require "cases"

local QUIET <const> = 0.85
local TUNED <const> = "MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 "
local LABELS <const> = { penumbra = "penumbra", stock = "torch", tuned = "torch, tuned", bfloat16 = "torch, bfloat16",
                         compiled = "torch, compiled", torchattacks = "torchattacks" }

-- ---- the command line ----

local count <const> = spec.integer { min = 1 }
local fields <const> = {
  case = spec.text(), rounds = count, batch = count, threads = spec.integer { min = 1, default = 2 },
  seconds = spec.number { min = 0, default = 1.0 }, minutes = spec.number { above = 0, default = 8.0 },
  peers = spec.choice { "yes", "no", default = "yes" }, out = spec.text { default = "build" },
}

local function parse(arguments)
  local given = {}
  for _, argument in ipairs(arguments) do
    local key, value = argument:match "^(%l+)=(.*)$"
    if not key then error("bench: key=value expected, got " .. argument, 0) end
    given[key] = tonumber(value) or value
  end
  local checked, problem = spec.examine(given, fields)
  if not checked then error("bench: " .. problem, 0) end
  return checked
end

-- The cases whose names begin so; one of that very name alone.
local function chosen(wanted)
  local list = {}
  for _, case in ipairs(cases) do
    if case.name == wanted then return { case } end
    if not wanted or case.name:sub(1, #wanted) == wanted then list[#list + 1] = case end
  end
  return list
end

local options = parse(arg)
local own = arg[0]:match "^(.*)/[^/]*$" or "."
local first = 0
while arg[first - 1] do first = first - 1 end
local penumbra <const> = arg[first]

-- ---- the programs ----

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function say(...) io.stderr:write(string.format(...), "\n") end

-- A process that does a turn for each line it is sent. Opened for reading too, the pipe to it neither waits for the
-- process nor breaks with it.
local function start(name, command)
  local pipe = os.tmpname()
  os.remove(pipe)
  assert(os.execute("mkfifo " .. quote(pipe)), "bench: no pipe can be made")
  local program = { name = name, command = command, pipe = pipe }
  program.out = assert(io.popen(command .. " < " .. quote(pipe)))
  program.into = assert(io.open(pipe, "r+"))
  program.into:setvbuf "line"
  return program
end

local function hear(program)
  local line = program.out:read()
  local said = line and json.decode(line)
  if not said then error("bench: failed: " .. program.command, 0) end
  return said
end

local function turn(program, seconds)
  program.into:write(seconds, "\n")
  return hear(program)
end

-- Each pipe's other end is open in every process started later: all are closed before the first is waited for.
local function stop(programs)
  for _, program in ipairs(programs) do program.into:close() end
  for _, program in ipairs(programs) do program.out:close() end
end

local function find_peer()
  if options.peers == "no" then return nil end
  local pipe <close> = assert(io.popen(quote(own .. "/peer")))
  return pipe:read()
end

local function threads_of(case) return case.threads or options.threads end

-- Where the data of a case is, or nil.
local function data_of(case)
  for folder in (os.getenv "PENUMBRA_DATA" or ""):gmatch "[^:]+" do
    if file.exists(folder .. "/" .. case.data) then return folder .. "/" .. case.data end
  end
end

local function peer_command(case, python, setting, batch)
  local interpreter = ("%s%s "):format(setting == "stock" and "" or TUNED, quote(python))
  if case.data then
    return interpreter .. ("%s %s %s %d %d %s"):format(quote(own .. "/peer_" .. case.program .. ".py"), case.work,
      quote(data_of(case)), batch, threads_of(case), setting)
  end
  return interpreter .. ("%s %s %s %s %d %d %d %d %d %s"):format(quote(own .. "/peer_torch.py"), case.network,
    case.stem or "-", case.work, case.classes, case.side, case.channels, batch, threads_of(case), setting)
end

local function commands(case, python)
  local batch = options.batch or case.batch
  local list = { { "penumbra", ("%s %s %s batch=%d threads=%d%s"):format(quote(penumbra),
    quote(own .. (case.data and "/work_" .. case.program .. ".lua" or "/work.lua")), case.name, batch, threads_of(case),
    case.data and " " .. quote(data_of(case)) or "") } }
  for _, setting in ipairs(python and case.peers or {}) do
    list[#list + 1] = { setting, peer_command(case, python, setting, batch) }
  end
  return list
end

-- ---- measuring a case ----

-- Starts all programs, one after the other. Those that cannot run are left out, with the reason.
local function start_all(case, python)
  local programs, skipped = {}, {}
  for _, item in ipairs(commands(case, python)) do
    say("%s: starting %s", case.name, LABELS[item[1]])
    local program = start(item[1], item[2])
    program.about = hear(program)
    os.remove(program.pipe)
    if program.about.skipped then
      skipped[item[1]] = program.about.skipped
      stop { program }
    else
      programs[#programs + 1] = program
      local ours = programs[1].about.parameters
      if program.about.parameters ~= ours then
        error(("bench: %s: the networks differ: %s parameters and %s"):format(case.name, ours,
          program.about.parameters), 0)
      end
    end
  end
  return programs, skipped
end

-- One turn of each: results by program, with the machine's peak around each turn.
local function run_round(case, programs, number)
  local round, peak = {}, nn.peak_flops()
  for _, program in ipairs(programs) do
    local result = turn(program, options.seconds)
    local after = nn.peak_flops()
    result.peak_before, result.peak_after, peak = peak, after, after
    round[program.name] = result
    local line = { case = case.name, program = program.name, round = number, time = os.date "!%Y-%m-%dT%H:%M:%SZ",
                   batch = options.batch or case.batch, threads = threads_of(case), version = program.about.version }
    for key, value in pairs(result) do line[key] = value end
    assert(file.append_line(options.out .. "/bench.json", json.encode(line)))
  end
  return round
end

local function lowest_peak(round)
  local lowest = math.huge
  for _, result in pairs(round) do lowest = math.min(lowest, result.peak_before, result.peak_after) end
  return lowest
end

-- The rounds in which the machine was near the best it was in any.
local function quiet_ones(rounds)
  local best, quiet = 0, {}
  for _, round in ipairs(rounds) do
    for _, result in pairs(round) do best = math.max(best, result.peak_before, result.peak_after) end
  end
  for _, round in ipairs(rounds) do
    if lowest_peak(round) >= QUIET * best then quiet[#quiet + 1] = round end
  end
  return quiet
end

local function run_rounds(case, programs)
  local wanted, begin = options.rounds or case.rounds, progress.clock()
  local rounds, quiet, slowest = {}, {}, 0
  while #quiet < wanted and #rounds < 2 * wanted
    and (#rounds == 0 or progress.clock() - begin + slowest < 60 * options.minutes) do
    local start_of_round = progress.clock()
    rounds[#rounds + 1] = run_round(case, programs, #rounds + 1)
    slowest = math.max(slowest, progress.clock() - start_of_round)
    quiet = quiet_ones(rounds)
    say("%s: round %d, %d of %d quiet", case.name, #rounds, #quiet, wanted)
  end
  return rounds, quiet
end

local function middle(rounds, value)
  local values = {}
  for i, round in ipairs(rounds) do values[i] = value(round) end
  return stats.median(values), stats.quantile(values, 0), stats.quantile(values, 1)
end

-- A program's figures over the rounds.
local function figures(program, rounds, flops, batch)
  local name = program.name
  local ms = middle(rounds, function(round) return round[name].ms end)
  local peak_mb = middle({ rounds[#rounds] }, function(round) return round[name].peak_mb end)
  return {
    name = name, version = program.about.version, ms = ms, images_per_second = 1e3 * batch / ms, peak_mb = peak_mb,
    start_mb = program.about.start_mb, gflops = flops and flops / ms / 1e6,
    share = flops and middle(rounds, function(round)
      local result = round[name]
      return 2e3 * flops / result.ms / (result.peak_before + result.peak_after)
    end),
  }
end

local function measure(case, python)
  local programs, skipped = start_all(case, python)
  local rounds, quiet = run_rounds(case, programs)
  stop(programs)
  local enough = 2 * #quiet > #rounds
  local used = enough and quiet or rounds
  local batch, ours = options.batch or case.batch, programs[1].about
  local result = {
    case = case.name, title = case.title, time = os.date "!%Y-%m-%dT%H:%M:%SZ", batch = batch,
    threads = threads_of(case),
    cpu = ours.cpu, level = ours.level, rounds = #used, noisy = not enough, flops = ours.flops, skipped = skipped,
    peak_gflops = middle(used, lowest_peak) / 1e9, programs = json.array {},
  }
  for i, program in ipairs(programs) do
    local row = figures(program, used, ours.flops, batch)
    if i > 1 then
      local mine = result.programs[1]
      row.ratio = row.ms / mine.ms
      row.turn_ratio, row.turn_low, row.turn_high = middle(used, function(round)
        return round[program.name].ms / round.penumbra.ms
      end)
      row.memory_ratio = mine.peak_mb / row.peak_mb
      row.net_memory_ratio = (mine.peak_mb - mine.start_mb) / (row.peak_mb - row.start_mb)
    end
    result.programs[i] = row
  end
  return result
end

-- ---- showing ----

local function number(format, value) return value and format:format(value) or "" end

local function print_result(result)
  local peer = result.programs[2]
  print(("\n%s: batch %d, %d threads, %s, median of %d %srounds, peak %.0f GFLOP/s%s"):format(
    result.title, result.batch, result.threads, result.cpu, result.rounds, result.noisy and "NOISY " or "",
    result.peak_gflops, peer and ", torch " .. peer.version or ""))
  local rows = {}
  for i, p in ipairs(result.programs) do
    rows[i] = { LABELS[p.name], number("%.4g", p.ms), number("%.0f", p.images_per_second),
                number("%.0f", p.gflops), p.share and number("%.0f %%", 100 * p.share),
                number("%.0f", p.peak_mb), number("%.0f", p.start_mb), number("%.2f", p.ratio),
                p.ratio and ("%.2f (%.2f to %.2f)"):format(p.turn_ratio, p.turn_low, p.turn_high),
                number("%.2f", p.memory_ratio), number("%.2f", p.net_memory_ratio) }
  end
  print(text.table({ "", "ms", "images/s", "GFLOP/s", "of peak", "MB", "at start", "ratio", "in turn", "memory",
                     "net" }, rows))
  for name, reason in pairs(result.skipped) do print(("%s: not there: %s"):format(LABELS[name], reason)) end
end

-- The newest result of each case, in the cases' order.
local function read_results()
  local path = options.out .. "/bench-table.json"
  return file.exists(path) and assert(json.read(path)) or {}
end

local function keep_result(result)
  local results = read_results()
  results[result.case] = result
  assert(file.write(options.out .. "/bench-table.json", json.encode(results) .. "\n"))
end

local function show_all()
  local results, categories, series, about = read_results(), {}, {}, nil
  for i, setting in ipairs { "stock", "tuned", "bfloat16", "compiled", "torchattacks" } do
    series[i] = { name = LABELS[setting], values = {} }
  end
  for _, case in ipairs(cases) do
    local result = results[case.name]
    if result then print_result(result) end
    if result and #result.programs > 1 then
      categories[#categories + 1] = case.name
      about = ("%s, %d threads, torch %s; the rounds' ratios: median, lowest, highest"):format(
        result.cpu, result.threads, result.programs[2].version)
      for _, s in ipairs(series) do
        s.values[#categories] = false
        for _, p in ipairs(result.programs) do
          if LABELS[p.name] == s.name then
            s.values[#categories] = { value = p.turn_ratio, low = p.turn_low, high = p.turn_high }
          end
        end
      end
    end
  end
  if #categories == 0 then return end
  local ok, message = plot.points {
    path = options.out .. "/bench-chart", title = "Penumbra beside torch", note = about, categories = categories,
    series = series, size = { 150 * #categories + 350, 500 }, y = { label = "times as fast as torch", log = true },
  }
  if not ok then say("bench: no chart: %s", message) end
end

-- ---- the whole ----

assert(file.make_folder(options.out))
nn.threads(options.threads)

if options.case == "table" then
  show_all()
  return
end
local list = chosen(options.case)
local growth, startup = not options.case or options.case == "growth", not options.case or options.case == "startup"
if #list == 0 and not growth and not startup then
  local names = { "growth", "startup", "table" }
  for _, case in ipairs(cases) do names[#names + 1] = case.name end
  error(('bench: no case "%s"%s'):format(options.case, spec.suggest(options.case, names)), 0)
end
local python = (#list > 0 or startup) and find_peer()
if #list > 0 then
  if not python and options.peers == "yes" then say("bench: torch is not there to compare with") end
  for i, case in ipairs(list) do
    if #list > 1 then say("bench: case %d of %d: %s", i, #list, case.title) end
    if case.data and not data_of(case) then
      say("bench: %s is left out: PENUMBRA_DATA has no %s", case.name, case.data)
    else
      local result = measure(case, python)
      keep_result(result)
      if #list == 1 then print_result(result) end
    end
  end
  if #list > 1 then show_all() end
end
if startup then require "startup".run(options, python) end
if growth then require "growth".run(options) end
