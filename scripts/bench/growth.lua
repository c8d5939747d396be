--- How cost grows: picoseconds per floating-point operation of two 3x3 convolutions with batch norm and rectifier, for
--- a training step (forward, backward, SGD) and for inference, as one size at a time grows. A good engine is flat and
--- has no cliffs: an odd size costs at most CLIFF times what its even neighbours do.
local nn = require "nn"
local file, json, optim = require "file", require "json", require "optim"
local plot, progress, text = require "plot", require "progress", require "text"

local M = {}

local CLIFF <const> = 1.3
-- A point is the fastest of at least so many steps that take at least so many seconds together: what the machine's
-- other work adds is not the engine's.
local STEPS <const>, SECONDS <const>, AGAIN <const> = 5, 0.15, 2

-- Powers of two, and an odd size between each two even ones.
local axes <const> = {
  { name = "batch", side = 16, channels = 64,
    sizes = { 1, 2, 3, 4, 6, 7, 8, 14, 15, 16, 17, 18, 32, 33, 34, 64, 65, 66, 128, 129, 130, 256, 512 } },
  { name = "side", batch = 8, channels = 32,
    sizes = { 16, 17, 18, 22, 23, 24, 32, 33, 34, 46, 47, 48, 64, 65, 66, 94, 95, 96, 128, 129, 130, 192, 193, 194,
              256 } },
  { name = "channels", batch = 16, side = 16,
    sizes = { 16, 17, 18, 22, 23, 24, 32, 33, 34, 46, 47, 48, 64, 65, 66, 94, 95, 96, 128, 129, 130, 192, 193, 194, 256,
              257, 258, 382, 383, 384, 512 } },
}

local function fastest(step)
  step()
  local best, begin, steps = math.huge, progress.clock(), 0
  repeat
    local start = progress.clock()
    step()
    best, steps = math.min(best, progress.clock() - start), steps + 1
  until steps >= STEPS and progress.clock() - begin >= SECONDS
  return best
end

-- Picoseconds per operation of a training step and of inference. An inner block: its input needs a gradient too.
local function cost(batch, side, channels)
  local function conv() return nn.Conv2d(channels, channels, { padding = 1, bias = false }) end
  local model = nn.Sequential { conv(), nn.BatchNorm2d(channels), nn.ReLU(),
                                conv(), nn.BatchNorm2d(channels), nn.ReLU() }
  model:initialise(1)
  local optimizer = optim.sgd { model:parameters(), lr = 1e-3 }
  local x = nn.uniform({ batch, side, side, channels }, { seed = 1, requires_grad = true })
  local forward = 2 * 2 * 9 * channels * channels * side * side * batch
  local train = fastest(function()
    model:forward(x, { training = true }):mean():backward()
    optimizer:step()
    x:clear_grad()
  end)
  local infer = fastest(function() nn.no_grad(model, x) end)
  return 1e12 * train / (3 * forward), 1e12 * infer / forward
end

-- What a size costs by what its neighbours n - 1 and n + 1 cost, on average; nil for a size without both.
local function against_neighbours(points, size, key)
  local below, above = points[size - 1], points[size + 1]
  return below and above and points[size][key] / ((below[key] + above[key]) / 2)
end

-- Measures one size; what was measured before stays where it was faster.
local function measure_size(axis, points, size)
  local before = nn.peak_flops()
  local train, infer = cost(axis.batch or size, axis.side or size, axis.channels or size)
  local known = points[size] or { size = size, train = math.huge, infer = math.huge }
  known.train, known.infer = math.min(known.train, train), math.min(known.infer, infer)
  known.peak_gflops = (before + nn.peak_flops()) / 2e9
  points[size] = known
end

local function is_cliff(points, size)
  return (against_neighbours(points, size, "train") or 0) > CLIFF
    or (against_neighbours(points, size, "infer") or 0) > CLIFF
end

-- What looks like a cliff is measured again, with its neighbours: it may have been the machine's other work.
local function measure_axis(axis, threads)
  nn.threads(threads)
  local points = {}
  for _, size in ipairs(axis.sizes) do
    io.stderr:write(("growth: %s %d, %d threads\n"):format(axis.name, size, threads))
    measure_size(axis, points, size)
  end
  for _ = 1, AGAIN do
    for _, size in ipairs(axis.sizes) do
      if is_cliff(points, size) then
        for near = size - 1, size + 1 do measure_size(axis, points, near) end
      end
    end
  end
  return points
end

local function row_of(points, size, single)
  local point, row = points[size], { size }
  for _, key in ipairs { "train", "infer" } do
    local ratio = against_neighbours(points, size, key)
    row[#row + 1] = ("%.2f"):format(point[key])
    row[#row + 1] = ratio and ("%.2f%s"):format(ratio, ratio > CLIFF and " cliff" or "") or ""
    row[#row + 1] = ("%.2f"):format(single[size][key] / point[key])
  end
  row[#row + 1] = ("%.0f"):format(point.peak_gflops)
  return row
end

local function chart(out, axis, points, threads)
  local series = { { name = "training step", points = {} }, { name = "inference", points = {} } }
  for i, size in ipairs(axis.sizes) do
    series[1].points[i], series[2].points[i] = { size, points[size].train }, { size, points[size].infer }
  end
  local ok, message = plot.lines {
    path = ("%s/bench-growth-%s"):format(out, axis.name), title = "Cost by " .. axis.name,
    note = ("two 3x3 convolutions, batch norm, rectifier; %d threads"):format(threads), series = series,
    x = { label = axis.name, log = true }, y = { label = "ps per operation", min = 0 },
  }
  if not ok then io.stderr:write("bench: no chart: " .. message .. "\n") end
end

--- Measures every axis with one thread and with `threads`, prints the tables, and writes OUT/bench-growth.json and a
--- chart of each.
---@param options { threads: integer, out: string }
function M.run(options)
  local result, cliffs = { time = os.date "!%Y-%m-%dT%H:%M:%SZ", threads = options.threads }, 0
  for _, axis in ipairs(axes) do
    local single, points = measure_axis(axis, 1), measure_axis(axis, options.threads)
    local rows, list = {}, {}
    for i, size in ipairs(axis.sizes) do
      rows[i] = row_of(points, size, single)
      list[i] = points[size]
      if is_cliff(points, size) then cliffs = cliffs + 1 end
    end
    print(("\n%s grows: ps per operation with %d threads, ratio to even neighbours, speed-up over one thread")
      :format(axis.name, options.threads))
    print(text.table({ axis.name, "training", "by even", "threads", "inference", "by even", "threads", "peak" }, rows))
    chart(options.out, axis, points, options.threads)
    result[axis.name] = json.array(list)
  end
  print(("%d odd sizes cost more than %.1f times their even neighbours"):format(cliffs, CLIFF))
  assert(file.write(options.out .. "/bench-growth.json", json.encode(result) .. "\n"))
end

return M
