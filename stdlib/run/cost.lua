--- What a run will cost on this machine: its steps are begun and a few timed at their full size, then batches of each
--- probe; what one step and one image take is multiplied by how many there will be.
local cards = require "data.cards"
local data = require "data"
local host = require "host"
local nn = require "nn"
local part = require "data.part"
local plan = require "plan"
local probe = require "probe"
local spec = require "spec"
local stats = require "stats"

local M = {}

local format = string.format

local WARM <const> = 2              -- steps that are not timed: plans are made and memory is got in them
local LEAST <const> = 3             -- that are, however long they take
local STAND_IN_BYTES <const> = 512 << 20

---@class Cost
---@field seconds { value: number, low: number, high: number }
---@field steps integer
---@field step { value: number, low: number, high: number }  # seconds of one
---@field batch integer
---@field probes number        # seconds of them
---@field flops number         # of the whole run
---@field parameters integer
---@field memory integer       # bytes of tensors, at most, in the measurement
---@field disk integer         # bytes of the run's folder once it is complete
---@field disk_running integer # with its checkpoints
---@field stand_in? string     # what the data was, when the real one is not there

-- ---- data that is not there ----

-- The pictures of a small part again and again, until there are so many.
local function repeated(from, count)
  local images, labels = {}, {}
  for i = 1, (count + #from - 1) // #from do images[i], labels[i] = from.images, from.labels end
  return part.new { name = from.name, images = nn.cat(images, 1):slice(1, 1, count), classes = from.classes,
                    labels = nn.cat(labels, 1):slice(1, 1, count), class_names = from.class_names }
end

-- A data set of the same shape as the card says, of made-up pictures; nil when the card does not know.
local function stand_in(name, options)
  local card = cards.find(name)
  if not (card and card.shape and card.counts.train and card.shape[1] == card.shape[2]) then return nil end
  options = options or {}
  local train = options.limit or card.counts.train
  local test = options.test_limit or card.counts.test or 1
  local bytes = (train + test) * card.shape[1] * card.shape[2] * card.shape[3]
  if bytes > STAND_IN_BYTES then return nil end
  local few = data.synthetic { classes = card.counts.classes, train = 1000, test = 1000, side = card.shape[1],
                               channels = options.channels or card.shape[3] }
  local set = { classes = few.classes, class_names = few.class_names, stats = few.stats,
                train = repeated(few.train, train), test = repeated(few.test, test) }
  local apart = options.validation and math.max(1, math.floor(options.validation * train))
  if apart then set.validation, set.train = set.train:take(apart), set.train:take(train - apart) end
  return set
end

-- data.open as a plan's builder calls it; what had to be made up is noted.
local function opener(note)
  return function(name, options)
    local ok, set, message, code = pcall(data.open, name, options)
    if ok and set then return set, message, code end
    local problem = ok and message or set
    local other = tostring(problem):find("there is no data set", 1, true) and stand_in(name, options)
    if other then
      note.stand_in = format("%s is not here: timed on made-up pictures of its shape (penumbra data get %s)", name,
        name)
      return other
    end
    if ok then return nil, message, code end
    error(problem, 0)
  end
end

-- ---- timing ----

local OVER = {}

-- The seconds between calls of `mark`, until there are enough: `body(mark)` is left by an error then.
local function timed(seconds, warm, least, body)
  local started, last, times = host.clock(), nil, {}
  local count = 0
  local function mark()
    local now = host.clock()
    count = count + 1
    if last and count > warm then times[#times + 1] = now - last end
    last = now
    if #times >= least and now - started > seconds then error(OVER, 0) end
  end
  local first = host.clock()
  local ok, problem = pcall(body, mark)
  if not ok and problem ~= OVER then error(problem, 0) end
  -- Too short to leave anything out.
  if #times == 0 then times[1] = (host.clock() - first) / math.max(1, count) end
  return times
end

-- The mean of some times, and between what the means of others will be: their middle half, and never nearer than a
-- tenth, since another hour is another hour.
local function span(times)
  local value = stats.mean(times)
  return { value = value, low = math.min(0.9 * value, stats.quantile(times, 0.25)),
           high = math.max(1.1 * value, stats.quantile(times, 0.75)) }
end

local function add(total, one, factor)
  for _, key in ipairs { "value", "low", "high" } do total[key] = total[key] + one[key] * factor end
end

-- What is trained on, and the part that is looked at after each epoch, if any.
local function parts_of(built)
  local train, validation = built.data.train, built.validation
  if type(validation) ~= "number" then return train, validation end
  local apart = math.max(1, math.floor(#train * validation + 0.5))
  return train:take(#train - apart), train:take(apart)
end

local function time_steps(built, train, seconds)
  local options = {}
  for key, value in pairs(built) do options[key] = value end
  for _, key in ipairs { "validation", "choose", "choose_by", "patience", "min_delta" } do options[key] = nil end
  options.probes, options.data = {}, { train = train, test = built.data.test }
  return span(timed(seconds, WARM, LEAST, function(mark)
    require "train".run(options, { progress = mark, record = function() end })
  end))
end

-- Seconds of an image of a probe's work. What a probe may leave out, since an untrained model resists no attack, it
-- may have to do in the run.
local function time_probe(this, model, set, seconds)
  local images, ticks = 0, 0
  local times = timed(seconds, 1, 1, function(mark)
    this(model, set, { tick = function(count, left_out)
      if left_out then return end
      images, ticks = images + count, ticks + 1
      mark()
    end })
  end)
  local one = span(times)
  for key, value in pairs(one) do one[key] = value * ticks / math.max(1, images) end
  return one
end

-- ---- all of it ----

local function state_size(optimizer)
  local method = tostring(optimizer):lower()
  return method:find "adam" and 2 or 1
end

--- Builds the plan and measures. Takes about twice `seconds`, more where steps are long. What cannot be built raises.
---@param made table      # a plan
---@param seconds? number # for the steps, and for all probes together
---@param load? fun(model: Model)  # gives the model the weights that it starts from
---@return Cost
function M.measure(made, seconds, load)
  seconds = seconds or 2
  local cost, built = {}, {}
  local build = plan.builder { ["data.open"] = opener(cost) }
  local started = host.clock()
  for _, key in ipairs(spec.names(made)) do
    if key ~= "start" then built[key] = build(made[key]) end
  end
  if load then load(built.model) end
  local preparing = host.clock() - started
  local train, validation = parts_of(built)
  local model = built.model
  local shape, views = train.shape, built.loss:views()
  cost.batch = built.batch
  local per_epoch = train:batch_count { size = built.batch }
  cost.steps = per_epoch * built.epochs
  cost.parameters = model:count()
  local weights = 4 * cost.parameters
  cost.seconds = { value = preparing, low = preparing, high = preparing }

  local forward = model:cost { input = shape }.flops
  -- A step back to the images alone takes what a step forward does.
  cost.flops = #train * built.epochs * (views * model:cost { input = shape, training = true }.flops
                                        + built.loss:attack_passes() * forward)
  if cost.steps > 0 then
    cost.step = time_steps(built, train, seconds)
    add(cost.seconds, cost.step, cost.steps)
  end
  cost.probes = 0
  local probes = {}
  for _, name in ipairs(spec.names(built.probes)) do
    probes[#probes + 1] = { built.probes[name], built.data, 1 }
  end
  if validation then probes[#probes + 1] = { probe.accuracy(), validation, built.epochs } end
  for _, one in ipairs(probes) do
    local this, set, times = table.unpack(one)
    local image = time_probe(this, model, set, seconds / #probes)
    local work = this:work(set) * times
    cost.probes = cost.probes + image.value * work
    add(cost.seconds, image, work)
    cost.flops = cost.flops + work * forward
  end
  cost.memory = nn.memory.stats().peak
  cost.disk = weights * (validation and 2 or 1) + (256 << 10) -- and some figures and tables
  cost.disk_running = cost.disk + 2 * weights * (1 + state_size(built.optimizer) + (built.average and 1 or 0))
  return cost
end

return M
