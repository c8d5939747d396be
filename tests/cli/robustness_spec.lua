--- Robustness in runs and studies: what `penumbra run` prints, the files, the page.
package.path = "tests/cli/?.lua;" .. package.path
local json = require "json"
local program = require "program"
local report = require "report"

local recipe_text = [[
return recipe {
  title = "Attacked digits",
  params = { variant = param.choice { "plain", "squeezed", default = "plain" }, seed = param.seed { 1 } },
  plan = function(p)
    local pgd = attack.pgd { eps = 0.1, step = 0.05, iters = 2 }
    local squeezed = p.variant == "squeezed" -- the plain model with its logits rescaled
    local card = { steps = 4, restarts = 2, queries = 10 }
    return {
      data = data.open("mnist", { limit = 320, test_limit = 60 }),
      model = models.lenet { classes = 10, channels = 1, size = 28, seed = p.seed,
                             logit_scale = squeezed and 0.1 or nil },
      start = squeezed and { variant = "plain" } or nil,
      loss = loss.cross_entropy(), optimizer = optim.adam { lr = 2e-3 }, epochs = squeezed and 0 or 2, batch = 32,
      seed = p.seed,
      probes = { robustness = probe.robustness {
        attack = pgd, credible = attack.pgd { eps = 0.1, step = 0.05, iters = 4, loss = "margin" },
        credible_limit = 40, card = card, card_limit = 30, batch = 32 } },
    }
  end,
}
]]

local study_text = [[
return study { title = "Attacked digits, twice", recipe = "attacked.lua",
               grid = { variant = { "plain", "squeezed" }, seed = { 1, 2 } } }
]]

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function holds(text, parts)
  for _, part in ipairs(parts) do assert.is_truthy(text:find(part, 1, true), part .. "\n" .. text) end
end

describe("robustness", function()
  it("is told by a run and by a study", function()
    program.with_files({ ["attacked.lua"] = recipe_text, ["both.lua"] = study_text }, function(folder)
      local function run_of(name)
        local made = program.shell(("cd %s && \"$PENUMBRA\" run %s"):format(program.quote(folder), name))
        assert.equal(0, made.code, made.err)
        return made.out
      end
      local out = run_of "attacked.lua"
      holds(out, { "robustness  linf, eps 0.1", "paper", "credible: worst case", "worst_case (%)" })
      -- The card is one line; what its checks mean stands in the folder.
      assert.matches("\ncard: %d+ PASS, %d WARN[^\n]*, %d FAIL[^\n]*, 2 not applicable\n", out)
      assert.is_nil(out:find("what a failure means", 1, true))
      local run = folder .. "/" .. assert(out:match "(%S+)/report%.html")
      holds(read(run .. "/tables/robustness.txt"), { "what a failure means", "accuracy over eps", "no plain twin" })
      local record = assert(json.read(run .. "/results.json")).robustness.robustness
      assert.equal(12, #record.card.lines)
      assert.equal(30, record.card.images)
      assert.equal(4, #record.protocols)
      local items = assert(json.read(run .. "/items.json"))
      assert.equal(60, #items.robust)
      assert.equal(40, #items.worst_case)
      for i, right in ipairs(items.worst_case) do assert.is_true(right <= items.robust[i]) end
      local page = assert(report.page(run))
      holds(page, { "Robustness, and whether to believe it", "✓ PASS", "– not applicable", "no plain twin" })

      out = run_of "both.lua"
      holds(out, { "robustness linf, eps 0.1", "checks that did not pass", "squeezed − plain", "paired bootstrap" })
      local both = folder .. "/" .. assert(out:match "(%S+)/report%.txt")
      holds(read(both .. "/report.txt"), { "squeezed − plain" })
      local this = assert(json.read(both .. "/results.json")).robustness[1]
      assert.equal(2, #this.rows)
      assert.equal(2, this.rows[1].seeds)
      assert.equal(12, #this.rows[1].checks)
      assert.equal(1, #this.pairs)
      local scale = this.rows[2].checks[12]
      assert.same({ "scale", "FAIL", 2 }, { scale.check, scale.verdict, scale.seeds })
      holds(assert(report.page(both)), { "Report cards.", "squeezed − plain", "Robustness of the models" })
      -- The page of damaged results is still one.
      local file = assert(io.open(both .. "/results.json", "wb"))
      local wrong = { rows = { 2, { checks = 3, clean = "x" } }, pairs = { 4 }, threat = {} }
      file:write(json.encode { title = "x", robustness = { 1, wrong }, runs = {} })
      file:close()
      assert(report.page(both))
    end)
  end)
end)
