--- One run: builds its plan, trains, measures, and writes its folder (run/folder.lua says what is in it). A run that
--- was interrupted goes on where it was.
---
--- The plan's values are built here; what happens with them is train.lua's part. A probe's result has `metrics`,
--- Intervals by name (their `items` let runs be compared item by item), `rows`, and prints as a table.
local digest = require "data.digest"
local file = require "file"
local find = require "data.find"
local folder_of = require "run.folder"
local hash = require "hash"
local json = require "json"
local keepers = require "train.keeper"
local nn = require "nn"
local plan = require "plan"
local spec = require "spec"
local start_of = require "run.start"
local stats = require "stats"

local format, sort = string.format, table.sort
local must, plain, write_json = folder_of.must, folder_of.plain, folder_of.write_json

local SAMPLES = 16 -- images in a row of samples.png
local WEIGHTS <const> = "/model.safetensors"
local NOTHING <const> = { images = 0, seconds = 0.0 } -- was spent on a start where there is none

-- All metrics of the probes by name. The images of training are counted with those of the runs that it started from.
local function collect(outcome, spent)
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
  metrics.images = metrics.images or stats.new { value = outcome.images + spent.images, n = 1, method = "count" }
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

-- How to go on with a run, in words: by its name where it is in `runs`, else by its path.
local function resume_words(folder)
  local above, name = file.split(folder)
  return "penumbra resume " .. (above == "runs" and name or folder)
end

local function build_all(made)
  local build, built = plan.builder(), {}
  -- Data and model last: a mistake in a small value shows before the large ones are made.
  for key, value in pairs(made) do
    if key ~= "data" and key ~= "model" and key ~= "start" then built[key] = build(value) end
  end
  built.data, built.model = build(made.data), build(made.model)
  return built, build(plan.find_option(made.loss, "perturb"))
end

local MOST_CLASSES = 200 -- of a confusion matrix that is written down

-- { names, counts } of the probes that tell what is taken for what.
local function confusions(outcome, classes)
  local out
  for name, result in pairs(outcome.probes) do
    if result.confusion and #result.confusion <= MOST_CLASSES then
      local names, counts = {}, {}
      for i, row in ipairs(result.confusion) do
        names[i], counts[i] = classes and classes[i] or tostring(i), json.array(row)
      end
      out = out or {}
      out[name] = { names = json.array(names), counts = json.array(counts) }
    end
  end
  return out
end

-- What probes tell of robustness: protocols and the report card, by the probe's name.
local function robustness_of(outcome)
  local out
  for name, result in pairs(outcome.probes) do
    if result.robustness then
      out = out or {}
      out[name] = plain(result.robustness)
    end
  end
  return out
end

local digests = {} -- by what a set's files were: a study opens the same ones in each of its runs

-- The data sets that were opened, each with the digest of its files.
local function opened()
  for name, set in pairs(find.opened) do
    local key = format("%s\0%s\0%s", set.folder, set.bytes, set.changed)
    digests[key] = digests[key] or digest.named(name) or {}
    set.sha256 = digests[key].sha256
  end
  return find.opened
end

local function results_of(job, outcome, metrics, made_of)
  local best = outcome.best
  local results = { plan_hash = job.hash, version = nn.version, data = opened(), recipe = job.recipe.name,
                    title = job.recipe.title, params = job.values, metrics = {}, probes = {},
                    start = made_of.start, weights = made_of.weights,
                    confusion = confusions(outcome, made_of.classes), robustness = robustness_of(outcome) }
  results.training = { images = outcome.images, steps = outcome.steps, epochs = outcome.epochs, early = outcome.early,
                       chosen = outcome.chosen, validation = outcome.validation, skipped = outcome.skipped,
                       skipped_names = json.array(outcome.skipped_names),
                       best = best and { epoch = best.epoch, step = best.step, value = best.value } }
  results.timing = { seconds = outcome.seconds, waited = outcome.waited,
                     images_per_second = outcome.images_per_second,
                     with_start = made_of.start and outcome.seconds + made_of.spent.seconds }
  for name, interval in pairs(metrics) do results.metrics[name] = plain(interval) end
  for name, result in pairs(outcome.probes) do results.probes[name] = plain(result.rows or {}) end
  return results
end

-- made_of: the names of the classes, the weights that were measured, and those of the start, if any; what was spent on
-- the start.
local function write_results(job, outcome, made_of)
  local folder, metrics, items = job.folder, collect(outcome, made_of.spent), {}
  for name, interval in pairs(metrics) do items[name] = interval.items end
  for name, result in pairs(outcome.probes) do
    must(file.make_folder(folder .. "/tables"))
    must(file.write(format("%s/tables/%s.txt", folder, name), tostring(result) .. "\n"))
  end
  must(file.write(folder .. "/items.json", json.encode(items) .. "\n"))
  write_json(folder .. "/results.json", results_of(job, outcome, metrics, made_of))
end

local function make(job, report, options, keeper)
  local folder = job.folder
  folder_of.prepare(job)
  find.opened = {}
  local built, change = build_all(job.plan)
  if not file.exists(folder .. "/figures/samples.png") then must(samples(built, change, folder)) end
  local start, spent, weights = nil, NOTHING, nil
  if job.start then start, spent = start_of.load(job, built.model) end
  local outcome = require "train".run(built, {
    keeper = keeper, steps = options.steps, twin = start_of.twin(job),
    asked = { plan = job.hash, data = json.encode(find.opened), start = start and start.sha256 },
    progress = function(state) report(state.total > 0 and state.done / state.total or 0, state) end,
    measured = function(model)
      must(model:save(folder .. WEIGHTS))
      weights = { sha256 = must(hash.sha256_file(folder .. WEIGHTS)) }
    end,
  })
  if not outcome.complete then return nil end
  write_results(job, outcome, { classes = built.model.class_names, start = start, weights = weights, spent = spent })
  keepers.tidy(folder)
  return folder_of.read(folder, job.hash)
end

-- What is made of a training that is over.
local made = { "results.json", "items.json", "model.safetensors", "report.html", "tables", "figures" }

local execute_fields = {
  resume = spec.flag { default = true }, steps = spec.integer { min = 1 }, tensorboard = spec.flag { default = false },
  checkpoint_steps = spec.integer { min = 1 }, checkpoint_seconds = spec.number { above = 0 },
}

--- Executes a job (run/jobs.lua makes them): from its last checkpoint on, if there is one and unless resume = false.
--- report(share, state) is called as it goes, with the state of TrainContext.progress. What ends it early is raised as
--- a Stop, which says where the last good checkpoint is. With `steps` it stops after so many, saves, and gives nil.
---@param job Job
---@param report fun(share: number, state: table)
---@param options? { resume?: boolean, steps?: integer, tensorboard?: boolean, checkpoint_steps?: integer,
---                  checkpoint_seconds?: number }
---@return table? results
local function execute(job, report, options)
  options = spec.check("execute", options, execute_fields)
  local keeper <close> = must(keepers.open(job.folder, {
    resume = resume_words(job.folder), anew = "--fresh makes it anew", steps = options.checkpoint_steps,
    seconds = options.checkpoint_seconds, tensorboard = options.tensorboard }))
  if not options.resume then
    keeper:clear()
    for _, name in ipairs(made) do must(file.remove_folder(job.folder .. "/" .. name)) end
  end
  local ok, result = pcall(make, job, report, options, keeper)
  if not ok then error(keeper:explain(result), 0) end
  return result
end

return execute
