--- A model's logits for a set, in a file that NumPy reads.
local nn = require "nn"
local probe = require "probe"
local spec = require "spec"
local text = require "text"

local fields = probe.with_fields {
  out = spec.text { pattern = "[^/]%.np[yz]$", expects = "a path that ends in .npy or .npz", required = true },
}

local function must(ok, message)
  if not ok then error(message, 0) end
end

local function show(self)
  return string.format("logits  %s images, %d classes, in %s", text.count(self.count), self.classes,
                       table.concat(self.files, " and "))
end

local function measure(model, part, options, tick)
  local logits, labels = {}, {}
  for x, y in probe.batches(part, options) do
    logits[#logits + 1] = probe.evaluate(model, x)
    labels[#labels + 1] = y
    tick(#x)
  end
  logits, labels = nn.cat(logits, 1), nn.cat(labels, 1)
  local files = { options.out }
  if options.out:find "%.npz$" then
    must(nn.npz.save(options.out, { logits = logits, labels = labels }))
  else
    files[2] = options.out:gsub("%.npy$", "-labels.npy")
    must(nn.npy.save(files[1], logits))
    must(nn.npy.save(files[2], labels))
  end
  return { files = files, classes = logits:size(2), metrics = {}, rows = {}, text = show }
end

---@class LogitsResult: ProbeResult
---@field files string[]
---@field classes integer

-- probe.logits, which calls this as a tail: the user's line is the caller's.
return function(options)
  return probe.new("logits", spec.check("probe.logits", options, fields), measure)
end
