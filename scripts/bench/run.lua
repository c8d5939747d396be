--- `make bench`: Penumbra and torch on the same work, in turn.
--- usage: penumbra scripts/bench/run.lua [case=train|infer] [rounds=3] [batch=128] [threads=2] [seconds=8]
--- Every measurement is a process of its own; a round runs each program once (A B C A B C ...), so that a slow spell
--- of the machine meets them all. Torch runs as it comes ("stock"), with NHWC and an allocator that keeps its memory
--- ("tuned"), and tuned with bfloat16. It is looked for in PENUMBRA_PEER_PYTHON, else in /usr/bin/python3; without it
--- Penumbra's figures stand alone.
--- Each result is added as a line of JSON to build/bench.json.
local file, json, stats, text = require "file", require "json", require "stats", require "text"

local options = { rounds = 3, batch = 128, threads = 2, seconds = 8 }
local only
for i = 1, #arg do
  local key, value = arg[i]:match("^(%l+)=(%w+)$")
  if key == "case" then
    only = value
  elseif options[key] and math.tointeger(value) then
    options[key] = math.tointeger(value)
  else
    error("run.lua: case=train|infer, rounds=N, batch=N, threads=N or seconds=N expected, got " .. arg[i], 0)
  end
end

local first = 0
while arg[first - 1] do first = first - 1 end
local program = arg[first]

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local TUNED = "MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 "

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- The python that has torch; else nil and what is missing.
local function find_python()
  local asked = os.getenv "PENUMBRA_PEER_PYTHON"
  local python = asked or "/usr/bin/python3"
  if os.execute(quote(python) .. " -c 'import torch, torchvision' 2>/dev/null") then return python end
  return nil, ("%s has no torch with torchvision%s"):format(
    python, asked and "" or " (PENUMBRA_PEER_PYTHON names another python)")
end

-- The last line a command prints, decoded.
local function measure(command)
  local pipe = assert(io.popen(command))
  local last
  for line in pipe:lines() do last = line end
  if not pipe:close() then error("run.lua: failed: " .. command, 0) end
  return assert(json.decode(last))
end

local python, missing = find_python()

local function contestants(case)
  local size = ("batch=%d threads=%d seconds=%d"):format(options.batch, options.threads, options.seconds)
  local list = { { name = "penumbra", command = ("%s %s %s %s"):format(
    quote(program), quote(folder .. "/resnet18.lua"), case, size) } }
  if python then
    local torch = ("%s %s resnet18_%s --batch %d --threads %d --seconds %d"):format(quote(python),
      quote(folder .. "/peer_torch.py"), case, options.batch, options.threads, options.seconds)
    list[2] = { name = "torch, stock", command = torch }
    list[3] = { name = "torch, tuned", command = TUNED .. torch .. " --layout channels_last" }
    list[4] = { name = "torch, bfloat16", command = TUNED .. torch .. " --layout channels_last --precision bfloat16" }
  end
  return list
end

local function middle(results, value)
  local values = {}
  for round, result in ipairs(results) do values[round] = value(result, round) end
  return stats.median(values)
end

local function print_result(c, ours)
  local line = ("  %s %8.1f ms  %7.1f images/s  %6.0f MB"):format(text.pad(c.name, 16),
    middle(c, function(r) return r.ms end), middle(c, function(r) return r.images_per_second end),
    middle(c, function(r) return r.peak_mb end))
  if c ~= ours then
    local ratio = middle(c, function(r, round) return ours[round].images_per_second / r.images_per_second end)
    line = line .. ("   penumbra / it = %.2f"):format(ratio)
  end
  print(line)
end

local function run(case)
  local list = contestants(case)
  for round = 1, options.rounds do
    for _, c in ipairs(list) do
      io.stderr:write(("resnet18 %s, round %d of %d: %s\n"):format(case, round, options.rounds, c.name))
      c[round] = measure(c.command)
      c[round].name, c[round].time = c.name, os.date("!%Y-%m-%dT%H:%M:%SZ")
      assert(file.append_line("build/bench.json", json.encode(c[round])))
    end
  end
  print(("resnet18 %s: batch %d, 32x32, 100 classes, %d threads, %d rounds of %d s"):format(
    case, options.batch, options.threads, options.rounds, options.seconds))
  for _, c in ipairs(list) do print_result(c, list[1]) end
end

if not python then print("torch is not compared: " .. missing) end
for _, case in ipairs(only and { only } or { "train", "infer" }) do run(case) end
