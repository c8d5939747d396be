--- Attacks against torchattacks and Foolbox on the same networks: first iterates, and what is left standing.
local nn = require "nn"
local attacked, reference = require "parity.attacked", require "parity.reference"

local SAME <const> = 1e-5      -- of a pixel
local SHARE <const> = 0.999    -- of the pixels
local TURNED <const> = 1e-4    -- a gradient this small beside its image's norm may have another sign
local POINTS <const> = 0.5     -- robust accuracy
local IMAGES <const> = { linf = 400, l2 = 200, resnet20 = 100 }  -- of the 1,000 there are figures of

-- Skips the test that runs, when the network is not there.
local function need(name)
  if not attacked.there(name) then pending("PENUMBRA_DATA has no weights/" .. name) end
  return attacked.there(name)
end

-- The part of two tensors' elements of which `holds` (0 or 1 each) is true.
local function share(holds) return holds:to("float"):mean():item() end

local index, stored = reference.open "attack"

describe("without random start torchattacks and Foolbox step to the same places:", function()
  -- Direct sums, as torch's: after Winograd's transforms the elements of a flat patch are not quite equal, and its
  -- maximum lies elsewhere.
  local before
  setup(function() before = nn.precision "exact" end)
  teardown(function() nn.precision(before) end)

  for _, case in ipairs(index.cases) do
    it(case.title, function()
      if not need(case.net) then return end
      local model = attacked.network(case.net)
      local x, y = attacked.images(case.net, case.images)
      local logits = nn.no_grad(model, x)
      local options = { norm = case.norm, eps = case.eps, step = case.step, start = "none" }
      if case.targeted then options.label = "least_likely" end

      local leaf = x:clone()
      leaf.requires_grad = true
      nn.cross_entropy(model(leaf), case.targeted and logits:argmin(2) or y):backward()
      local ours, theirs = leaf.grad * #x, stored(case.gradient)
      for i = 1, #x do
        local large = theirs[i]:abs():gt(TURNED * theirs[i]:norm():item()):to "float"
        assert.equal(0, ((ours[i]:sign() - theirs[i]:sign()) * large):abs():sum():item())
      end

      for k, place in ipairs(case.iterates) do
        options.iters = k
        local equal = share((nn.attack.run("pgd", model, x, y, options) - stored(place)):abs():le(SAME))
        assert(equal >= SHARE, ("iterate %d: only %.3f %% of the pixels are equal"):format(k, 100 * equal))
      end
    end)
  end
end)

describe("PGD leaves as many images right as torchattacks' and Foolbox's:", function()
  local figures = attacked.figures "attack_pgd"
  for _, row in ipairs(figures.rows) do
    if not row.start and row.iters == 10 then
      it(attacked.title(row), function()
        if not need(row.net) then return end
        local count = IMAGES[row.net:match "^resnet20" or row.norm]
        local outcomes, said = attacked.pgd(row, count), table.concat(row.outcomes)
        local ours, theirs = 0, 0
        for i = 1, count do
          ours = ours + (outcomes[i] and 1 or 0)
          theirs = theirs + said:sub(i, i)
        end
        assert.near(theirs / count, ours / count, POINTS / 100)
      end)
    end
  end
end)
