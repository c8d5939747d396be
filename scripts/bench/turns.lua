--- A program of the bench: one step of work, repeated whenever it is told to.
---
--- It prints a line of JSON when it is ready (after two steps), and one for each turn. A line on standard input asks
--- for a turn: the seconds it should take at least. It ends with its input.
local json, nn, progress, stats = require "json", require "nn", require "progress", require "stats"

local M = {}

local WARM_UP <const> = 2

--- A line of /proc/self/status, in MB: VmHWM is the most memory this process ever held. nil where there is none.
---@param field string
---@return number?
function M.memory_mb(field)
  local status <close> = io.open "/proc/self/status"
  local kib = status and status:read("a"):match(field .. ":%s*(%d+)")
  return kib and kib / 1024
end

local function print_line(fields)
  print(json.encode(fields))
  io.stdout:flush()
end

--- Takes turns until the input ends. The first steps get the argument 1: one iteration of an attack is enough to have
--- everything in place.
---@param step fun(iterations?: integer)
---@param about table  # what the first line says beside the program, its version and the processor
function M.serve(step, about)
  local function timed(...)
    local start = progress.clock()
    step(...)
    return progress.clock() - start
  end

  local last
  for _ = 1, WARM_UP do last = timed(1) end
  local info = nn.info()
  about.program, about.version, about.cpu, about.level = "penumbra", nn.version, info.cpu, info.level
  print_line(about)

  for line in io.lines() do
    -- Steps of less than a second find cold caches after another program's turn: one is not counted.
    if last < 1 then step(1) end
    local times, begin, seconds = {}, progress.clock(), tonumber(line)
    repeat
      last = timed()
      times[#times + 1] = last
    until progress.clock() - begin >= seconds
    print_line { steps = #times, ms = 1e3 * stats.median(times), ms_min = 1e3 * math.min(table.unpack(times)),
                 peak_mb = M.memory_mb "VmHWM" }
  end
end

return M
