--- Weights handed between torch and Penumbra, in both directions: the same logits on either side.
package.path = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/?.lua;" .. package.path
local exchange = require "exchange"
local nn = require "nn"
local reference = require "reference"

local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") .. "/fixtures/"
local index = dofile(folder .. "exchange.lua")

local function check(model, expected)
  local x = reference.uniform(index.seed, "x", index.size, 0, 1)
  local errors = { logits = reference.error(nn.no_grad(model, x), nn.tensor(expected)) }
  reference.within(errors, 1e-6)
end

describe("weights", function()
  for _, name in ipairs { "exchange_torch.safetensors", "exchange_torch.pt" } do
    it("from torch: " .. name, function()
      local model = exchange.build()
      local report = assert(model:load(folder .. name))
      assert.equal(3, #report.ignored) -- torch's counts of batches
      check(model, index.from_torch)
    end)
  end

  it("to torch", function()
    local model = exchange.drawn()
    check(model, index.from_penumbra)
    -- What is written now is what torch was given.
    local path = os.tmpname()
    assert(model:save(path))
    local now <close> = assert(nn.checkpoint.read(path))
    local given <close> = assert(nn.checkpoint.read(folder .. "exchange_penumbra.safetensors"))
    os.remove(path)
    local function by_name(file)
      local entries = {}
      for _, entry in ipairs(file.entries) do entries[entry.name] = entry end
      return entries
    end
    assert.same(by_name(given), by_name(now))
    assert.same(given.metadata, now.metadata)
    for _, entry in ipairs(given.entries) do
      assert.equal(0, (now:tensor(entry.name):to "float" - given:tensor(entry.name):to "float"):norm():item())
    end
  end)
end)
