--- One run: builds its plan, trains, measures, and writes its folder (run/folder.lua says what is in it).
---
--- The plan's values are built here; what happens with them is train.lua's part:
---   require "train".run(plan, context) -> { probes =, images =, steps =, seconds = }
--- It calls context.progress{ done =, total =, images =, epoch =, note = } and context.record(row) as it goes. A
--- probe's result has `metrics`, Intervals by name (their `items` let runs be compared item by item), `rows`, and
--- prints as a table.
local file = require "file"
local find = require "data.find"
local folder_of = require "run.folder"
local json = require "json"
local nn = require "nn"
local plan = require "plan"
local stats = require "stats"

local format, sort = string.format, table.sort
local must, plain, write_json = folder_of.must, folder_of.plain, folder_of.write_json

local SAMPLES = 16 -- images in a row of samples.png

local function collect(outcome)
  local metrics = {}
  local names = {}
  for name in pairs(outcome.probes or {}) do names[#names + 1] = name end
  sort(names)
  for _, name in ipairs(names) do
    for metric, interval in pairs(outcome.probes[name].metrics or {}) do
      -- Two probes may measure the same thing, on other data or at other levels: the second one's name goes before it.
      metrics[metrics[metric] and name .. "." .. metric or metric] = interval
    end
  end
  metrics.images = metrics.images or stats.new { value = outcome.images, n = 1, method = "count" }
  metrics.seconds = metrics.seconds or stats.new { value = outcome.seconds, n = 1, method = "clock", unit = "s" }
  return metrics
end

-- What the network sees: a row of training images, one of them changed as the loss changes them, one of test images.
-- With stand-ins for the data (or none that has pictures) there is nothing to show.
local function samples(built, change, folder)
  local train, test = built.data.train, built.data.test
  if not (train.batches and test and test.batches) then return true end
  local image = require "image"
  local count = math.min(SAMPLES, #train, #test)
  local rows = {}
  local x, y = train:take(count):batches { size = count }()
  rows[1] = x
  if change then rows[2] = change(x, y, built.model, { seed = built.seed, step = 0 }) end
  rows[#rows + 1] = test:take(count):batches { size = count }()
  local pictures = {}
  for _, row in ipairs(rows) do
    for i = 1, count do pictures[#pictures + 1] = row[i] end
  end
  local ok, message, code = file.make_folder(folder .. "/figures")
  if not ok then return nil, message, code end
  return image.save(folder .. "/figures/samples.png", image.enlarge(image.grid(pictures, { columns = count }), 3))
end

--- Executes a job (run/jobs.lua makes them). report(share, state) is called as it goes.
---@param job Job
---@param report fun(share: number, state: table)
---@return table? results
local function execute(job, report)
  local folder = job.folder
  folder_of.prepare(job)
  os.remove(folder .. "/metrics.jsonl") -- of an earlier run that was not finished

  find.opened = {}
  local made, build = job.plan, plan.builder()
  local built = {}
  -- Data and model last: a mistake in a small value shows before the large ones are made.
  for key, value in pairs(made) do
    if key ~= "data" and key ~= "model" then built[key] = build(value) end
  end
  built.data, built.model = build(made.data), build(made.model)
  must(samples(built, build(plan.find_option(made.loss, "perturb")), folder))

  local outcome = require "train".run(built, {
    progress = function(state) report(state.total > 0 and state.done / state.total or 0, state) end,
    record = function(row) must(file.append_line(folder .. "/metrics.jsonl", json.encode(plain(row)))) end,
  })

  local metrics, items = collect(outcome), {}
  local results = { plan_hash = job.hash, version = nn.version, data = find.opened,
                    recipe = job.recipe.name, title = job.recipe.title,
                    params = job.values, metrics = {}, probes = {},
                    training = { images = outcome.images, steps = outcome.steps, seconds = outcome.seconds,
                                 waited = outcome.waited, skipped = outcome.skipped,
                                 skipped_names = outcome.skipped_names } }
  for name, interval in pairs(metrics) do
    results.metrics[name], items[name] = plain(interval), interval.items
  end
  for name, result in pairs(outcome.probes or {}) do
    results.probes[name] = plain(result.rows or {})
    must(file.make_folder(folder .. "/tables"))
    must(file.write(format("%s/tables/%s.txt", folder, name), tostring(result) .. "\n"))
  end
  must(file.write(folder .. "/items.json", json.encode(items) .. "\n"))
  write_json(folder .. "/results.json", results)
  return folder_of.read(folder, job.hash)
end

return execute
