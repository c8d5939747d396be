--- How long a program takes to begin and end: `penumbra -e ''`, beside `lua5.4 -e ''`, a python and one that imports
--- torch. Wall time, from the start of the process to its end; each gets its turn, and what is not there is left out.
local file, host, json, stats, text = require "file", require "host", require "json", require "stats", require "text"

local M = {}

local LIMIT <const> = 30                       -- ms that ours may take
local ROUNDS <const>, SLOW_ROUNDS <const> = 40, 5 -- of what takes more than a second, the fewer

-- Milliseconds of one run, or nil and why there is none.
local function run(command)
  local begin = host.clock()
  local process, message = host.spawn(command, { stdin = "null", stdout = "null", stderr = "null" })
  if not process then return nil, message end
  local ended = process:wait()
  local ms = 1e3 * (host.clock() - begin)
  if ended.code ~= 0 then return nil, "it ends with code " .. tostring(ended.code or ended.signal) end
  return ms
end

local function list_of(python)
  local list = { { name = "penumbra -e ''", command = { nil, "-e", "" } },
                 { name = "lua5.4 -e ''", command = { "lua5.4", "-e", "" } } }
  if python then
    list[3] = { name = "python3 -c ''", command = { python, "-c", "" } }
    list[4] = { name = "python3 -c 'import torch'", command = { python, "-c", "import torch" } }
  end
  return list
end

--- Measures, prints a table and writes OUT/bench-startup.json.
---@param options { out: string, rounds?: integer }
---@param python? string  # the peer's
function M.run(options, python)
  local measured = {}
  for _, program in ipairs(list_of(python)) do
    local first, problem = run(program.command) -- brings what it reads into memory
    if first then
      program.rounds = options.rounds or first > 1000 and SLOW_ROUNDS or ROUNDS
      program.ms = {}
      measured[#measured + 1] = program
    else
      io.stderr:write(("startup: %s is left out: %s\n"):format(program.name, problem))
    end
  end
  local most = 0
  for _, program in ipairs(measured) do most = math.max(most, program.rounds) end
  for round = 1, most do
    for _, program in ipairs(measured) do
      if round <= program.rounds then table.insert(program.ms, assert(run(program.command))) end
    end
  end
  local rows, kept = {}, {}
  for i, program in ipairs(measured) do
    local low, median, high = stats.quantile(program.ms, 0), stats.median(program.ms), stats.quantile(program.ms, 0.9)
    rows[i] = { program.name, ("%.1f"):format(median), ("%.1f"):format(low), ("%.1f"):format(high), program.rounds }
    kept[i] = { name = program.name, median_ms = median, lowest_ms = low, ninth_decile_ms = high,
                rounds = program.rounds }
  end
  print "\nStart and end of a process, ms of wall time"
  print(text.table({ "", "median", "lowest", "9 of 10 within", "runs" }, rows))
  print(("penumbra starts within %d ms: %s"):format(LIMIT, kept[1].median_ms <= LIMIT and "yes" or "no"))
  assert(file.write(options.out .. "/bench-startup.json", json.encode(json.array(kept)) .. "\n"))
end

return M
