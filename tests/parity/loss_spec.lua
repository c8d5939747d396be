--- The losses of the pairing family against their authors' formulas in torch (scripts/dev/loss_fixtures.py): values and
--- the gradients to the logits of every branch.
local json = require "json"
local loss = require "loss"
local nn = require "nn"
local perturb = require "perturb"

local file <close> = assert(io.open("tests/parity/fixtures/losses.json"))
local stored = json.decode(file:read "a")

local exact <const> = nn.info().precision == "double"
local x, y = nn.tensor(stored.x), nn.tensor(stored.y, { type = "index" })

-- x' and x'' are the stored ones, whatever x is; `copies` of it are asked for one after the other.
local function branches(...)
  local rows, at = { ... }, 0
  return perturb.new { name = "stored", apply = function()
    at = at % #rows + 1
    return nn.tensor(rows[at])
  end }
end

-- A model whose logits are its images, which keeps what it is given, so that their gradients can be read.
local function model()
  local seen = {}
  return { forward = function(_, images)
    local leaf = images:detach():clone()
    leaf.requires_grad = true
    seen[#seen + 1] = leaf
    return leaf, {}
  end }, seen
end

-- Which of x, x' and x'' these rows are.
local function branch_of(rows)
  for branch, numbers in ipairs { stored.x, stored.x1, stored.x2 } do
    if (rows - nn.tensor(numbers)):abs():max():item() == 0 then return branch end
  end
end

local moved <const> = branches(stored.x1)
local function pair(options)
  options.perturb = moved
  return loss.pair(options)
end

-- The same losses here. (MART's code adds 1e-7 to 1 - p_y and 1e-12 below its logarithms.)
local ours = {
  adversarial = loss.adversarial { perturb = moved },
  continuity = loss.cross_entropy() + loss.continuity { perturb = moved, weight = 0.3 },
  alp = loss.adversarial { perturb = moved } + loss.alp { perturb = moved },
  clp = loss.cross_entropy() + loss.clp(),
  lsq = loss.cross_entropy() + loss.lsq(),
  stability = loss.cross_entropy() + loss.stability { perturb = moved },
  trades = loss.cross_entropy() + loss.trades { perturb = moved },
  mart = loss.mart { perturb = moved },
  vat = loss.cross_entropy() + loss.vat { perturb = moved },
  uda = loss.cross_entropy { anneal = "exp" }
    + loss.uda { perturb = moved, temperature = { clean = 0.4 }, threshold = 0.6 },
  augmix = loss.cross_entropy() + loss.augmix { perturb = branches(stored.x1, stored.x2) },
  r_drop = 0.5 * loss.cross_entropy() + 0.5 * loss.cross_entropy { perturb = moved }
    + pair { distance = "sym_kl", weight = 0.6 },
  l2 = pair { distance = "l2" }, l1 = pair { distance = "l1" }, huber = pair { distance = "huber" },
  huber_mean_all = pair { distance = "huber", reduction = "mean_all" }, cosine = pair { distance = "cosine" },
  kl_reverse = pair { distance = "kl_reverse" }, kl_temperature = loss.kl { perturb = moved, temperature = 2 },
  sym_kl = pair { distance = "sym_kl" }, js = pair { distance = "js" }, softmax = pair { on = "softmax" },
  log_softmax = pair { on = "log_softmax", temperature = { clean = 2, perturbed = 3 } },
}

describe("torch's values and gradients of", function()
  for _, row in ipairs(stored.rows) do
    it(row.name, function()
      local net, seen = model()
      local value = ours[row.name](net, x, y, { step = 3, span = { steps = 4 } })
      -- Nine digits are stored; float's own are seven.
      assert.near(row.value, value:item(), (exact and 2e-8 or 2e-6) * math.max(1, math.abs(row.value)))
      value:backward()
      local left = { 1, 2, 3 }
      for _, leaf in ipairs(seen) do
        for from = 1, #leaf, #x do
          local branch = branch_of(leaf:slice(1, from, from + #x - 1))
          local got = leaf.grad and leaf.grad:slice(1, from, from + #x - 1) or 0
          assert.near(0, (got - nn.tensor(row.gradients[branch])):abs():max():item(), exact and 1e-7 or 2e-6)
          left[branch] = nil
        end
      end
      for _, branch in pairs(left) do -- that was not looked at
        assert.equal(0, nn.tensor(row.gradients[branch]):abs():max():item())
      end
    end)
  end

  it("the input-gradient penalty, with its parameters' gradients", function()
    local at = stored.penalty
    local net = nn.Sequential { { "one", nn.Linear(4, 7) }, { "act", nn.Tanh() }, { "two", nn.Linear(7, 3) } }
    local places = { ["one.weight"] = "w1", ["one.bias"] = "b1", ["two.weight"] = "w2", ["two.bias"] = "b2" }
    local function in_order(name, numbers) -- torch's product here is x W
      local t = nn.tensor(numbers)
      return name:find "weight" and t:transpose(1, 2) or t
    end
    nn.no_grad(function()
      for name, t in pairs(net:state()) do t:copy(in_order(name, at.weights[places[name]])) end
    end)
    local value = loss.input_gradient { step = exact and 1e-5 or 0.003 }(net, nn.tensor(at.x),
      nn.tensor(at.y, { type = "index" }))
    assert.near(at.value, value:item(), exact and 1e-8 or 1e-6)
    value:backward()
    for name, t in pairs(net:state()) do
      local expected = in_order(name, at.gradients[places[name]])
      local apart = ((t.grad - expected):norm() / expected:norm()):item()
      assert.near(0, apart, exact and 1e-7 or 3e-3, name)
    end
  end)
end)
