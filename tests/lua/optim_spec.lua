--- Optimisers against their recurrences written out in Lua; schedules; clipping; groups.
local models = require "models"
local nn = require "nn"
local optim = require "optim"

local function parameter(values) return nn.tensor(values, { requires_grad = true }) end

-- Gives a tensor the gradient g by walking back from sum(t * g).
local function push(tensor, gradient) (tensor * nn.tensor(gradient)):sum():backward() end

local function close(expected, tensor, tolerance)
  for i, value in ipairs(tensor:tolist()) do assert.near(expected[i], value, tolerance or 1e-6) end
end

describe("optim", function()
  describe("schedules", function()
    it("constant and step", function()
      assert.equal(1, optim.constant()(1000))
      assert.equal(0.5, optim.constant { factor = 0.5 }(0))
      local step = optim.step { every = 10 }
      assert.near(1, step(9), 1e-12)
      assert.near(0.1, step(10), 1e-12)
      assert.near(0.01, step(29), 1e-12)
      local milestones = optim.step { milestones = { 3, 5 }, factor = 0.5 }
      assert.same({ 1.0, 0.5, 0.5, 0.25 }, { milestones(2), milestones(3), milestones(4), milestones(5) })
    end)

    it("cosine goes from one to its floor and stays there", function()
      local cosine = optim.cosine { steps = 100, floor = 0.1 }
      assert.near(1, cosine(0), 1e-12)
      assert.near(0.55, cosine(50), 1e-12)
      assert.near(0.1, cosine(100), 1e-12)
      assert.near(0.1, cosine(500), 1e-12)
      assert.near(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.25)), cosine(25), 1e-12)
    end)

    it("warm-up rises linearly, then runs what comes after from its start", function()
      local warm = optim.warmup { steps = 4, after = optim.step { every = 2, factor = 0.5 } }
      local seen = {}
      for step = 0, 8 do seen[step + 1] = warm(step) end
      assert.same({ 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25 }, seen)
    end)

    it("takes the length of the training and of an epoch from the run", function()
      assert.near(0.5, optim.cosine()(50, { steps = 100 }), 1e-12)
      assert.near(0.5, optim.warmup { steps = 20, after = optim.cosine() }(60, { steps = 100 }), 1e-12)
      local step = optim.step { every = 2, unit = "epoch" }
      assert.near(1, step(19, { epoch = 10 }), 1e-12)
      assert.near(0.1, step(20, { epoch = 10 }), 1e-12)
      assert.has_error(function() optim.cosine()(0) end,
                       "cosine: steps is needed outside a training run: optim.cosine{ steps = n }")
      assert.error_matches(function() step(0) end, 'unit = "epoch" needs the number of steps in one')
    end)

    it("ramp is a line between two values, and a number times a schedule is one", function()
      local ramp = optim.ramp { from = 1, to = 5, steps = 8 }
      assert.same({ 1.0, 3.0, 5.0, 5.0 }, { ramp(0), ramp(4), ramp(8), ramp(100) })
      assert.near(0.25, optim.ramp()(25, { steps = 100 }), 1e-12)
      assert.near(0.5, optim.ramp { steps = 2, unit = "epoch" }(10, { epoch = 10 }), 1e-12)
      local twice = 2 * ramp
      assert.equal(6, twice(4))
      assert.equal(-3, (ramp * -1)(4))
      assert.equal(12, (2 * twice)(4))
      assert.equal("4 * ramp(from 1, steps 8, to 5)", tostring(2 * twice))
      assert.equal("warmup(after 0.5 * cosine, steps 5)",
                   tostring(optim.warmup { steps = 5, after = 0.5 * optim.cosine() }))
      assert.error_matches(function() optim.ramp()(1) end, "ramp: steps is needed outside a training run")
      assert.error_matches(function() return ramp * "x" end, 'schedule: %* expects a schedule and a finite number')
      assert.error_matches(function() return ramp * ramp end, 'schedule: %* expects a schedule and a finite number')
      assert.error_matches(function() return 1 / 0 * ramp end, "a finite number, got .* and inf")
      -- It is saved and restored with the optimiser.
      local w = parameter { 1 }
      local opt = optim.sgd { { w }, lr = 1, schedule = 0.5 * ramp }
      local other = optim.sgd { { parameter { 1 } }, lr = 1 }
      other:restoring(opt:state())()
      assert.equal(0.5, other:rate())
      assert.equal("0.5 * ramp(from 1, steps 8, to 5)", tostring(other.plan))
    end)

    it("describe themselves and refuse nonsense", function()
      assert.equal("warmup(after cosine(floor 0.1), steps 5)",
                   tostring(optim.warmup { steps = 5, after = optim.cosine { floor = 0.1 } }))
      assert.error_matches(function() optim.step { factor = 0.5 } end,
                           "optim.step: expected either every or milestones")
      assert.error_matches(function() optim.cosine { step = 3 } end, 'unknown option "step"; did you mean "steps"')
      assert.error_matches(function() optim.warmup { steps = 3, after = 2 } end, "after expects a schedule, got 2")
    end)
  end)

  describe("optimisers", function()
    it("SGD steps against the gradient and then forgets it", function()
      local w = parameter { 1, 2 }
      local opt = optim.sgd { { w }, lr = 0.1 }
      push(w, { 1, -2 })
      opt:step()
      close({ 0.9, 2.2 }, w)
      opt:step()
      close({ 0.9, 2.2 }, w)
      assert.equal(2, opt.steps)
    end)

    it("SGD with momentum, Nesterov and weight decay follows its recurrence", function()
      for _, nesterov in ipairs { false, true } do
        local w = parameter { 1, 2 }
        local opt = optim.sgd { { w }, lr = 0.1, momentum = 0.9, nesterov = nesterov, weight_decay = 0.01 }
        local value, velocity = { 1, 2 }, { 0, 0 }
        for step = 1, 5 do
          local gradient = { 0.5 * step, -1 }
          push(w, gradient)
          opt:step()
          for i = 1, 2 do
            local g = gradient[i] + 0.01 * value[i]
            velocity[i] = 0.9 * velocity[i] + g
            value[i] = value[i] - 0.1 * (nesterov and g + 0.9 * velocity[i] or velocity[i])
          end
        end
        close(value, w, 1e-5)
      end
    end)

    it("Adam and AdamW follow their recurrences", function()
      for _, method in ipairs { "adam", "adamw" } do
        local w = parameter { 1, -2 }
        local opt = optim[method] { { w }, lr = 0.01, weight_decay = 0.1 }
        local value, m, v = { 1, -2 }, { 0, 0 }, { 0, 0 }
        for step = 1, 5 do
          local gradient = { 0.3 * step, -1 }
          push(w, gradient)
          opt:step()
          for i = 1, 2 do
            local g = gradient[i]
            if method == "adam" then g = g + 0.1 * value[i] else value[i] = value[i] * (1 - 0.01 * 0.1) end
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            value[i] = value[i] - 0.01 * (m[i] / (1 - 0.9 ^ step)) / (math.sqrt(v[i] / (1 - 0.999 ^ step)) + 1e-8)
          end
        end
        close(value, w, 1e-5)
      end
    end)

    it("groups have rates of their own, and a schedule moves them all", function()
      local a, b = parameter { 1 }, parameter { 1 }
      local opt = optim.sgd { { params = { a }, lr = 0.1 }, { params = { b } }, lr = 0.5,
                              schedule = optim.step { every = 1, factor = 0.5 } }
      assert.near(0.1, opt:rate(1), 1e-12)
      assert.near(0.5, opt:rate(2), 1e-12)
      for _ = 1, 2 do
        push(a, { 1 })
        push(b, { 1 })
        opt:step()
      end
      close({ 1 - 0.1 - 0.05 }, a)
      close({ 1 - 0.5 - 0.25 }, b)
      assert.near(0.125, opt:rate(2), 1e-12)
    end)

    it("clips by norm and by value", function()
      local w = parameter { 0, 0 }
      local opt = optim.sgd { { w }, lr = 1, clip_norm = 1 }
      push(w, { 3, 4 })
      opt:step()
      close({ -0.6, -0.8 }, w, 1e-5)
      assert.near(5, opt.norm, 1e-5)
      local u = parameter { 0, 0 }
      local other = optim.sgd { { u }, lr = 1 }:clip { value = 0.5 }
      push(u, { 3, -0.25 })
      other:step()
      close({ -0.5, 0.25 }, u)
    end)

    it("takes a model, and a plan becomes an optimiser on one", function()
      local model = models.mlp { classes = 2, inputs = 3, hidden = { 4 }, seed = 1 }
      local plan = optim.adam { lr = 1e-3 }
      assert.is_true(optim.is_plan(plan))
      assert.equal("adam(lr 0.001)", tostring(plan))
      local opt = plan:on(model)
      assert.is_true(optim.is(opt))
      assert.equal(4, #opt.parameters)
      assert.equal(4, #optim.sgd { model, lr = 0.1 }.parameters)
      assert.equal(4, #optim.sgd { model:parameters(), lr = 0.1 }.parameters)
      model:freeze("fc1")
      assert.equal(2, #plan:on(model).parameters)
      model:freeze()
      assert.error_matches(function() plan:on(model) end, "optim.adam: no parameter is free; all are frozen")
    end)

    it("refuses nonsense, saying what it expected", function()
      local w = parameter { 1 }
      local cases = {
        { { { w } }, "optim.sgd: lr is required: a number of at least 0" },
        { { { w }, lr = 0.1, momentun = 0.9 }, 'optim.sgd: unknown option "momentun"; did you mean "momentum"' },
        { { { w }, lr = 0.1, nesterov = true }, "optim.sgd: nesterov needs a momentum above 0" },
        { { 3, lr = 0.1 },
          "optim.sgd: place 1 expects a list of parameters, a model, or a group { params = ... }, got 3" },
        { { { params = { w }, rate = 1 }, lr = 0.1 }, 'optim.sgd: group 1: unknown option "rate"' },
        { { { params = { w }, lr = -1 }, lr = 0.1 }, "optim.sgd: group 1: lr expects a number of at least 0, got -1" },
      }
      for _, case in ipairs(cases) do
        local ok, message = pcall(function()
          local kept = optim.sgd(case[1])
          return kept
        end)
        assert.is_false(ok)
        assert.truthy(message:find(case[2], 1, true), message)
        assert.matches("optim_spec.lua:%d+:", message)
      end
    end)
  end)

  describe("average", function()
    it("follows the weights and stands in for them inside a function", function()
      local model = models.mlp { classes = 1, inputs = 1, hidden = {}, seed = 1 }
      local weight = model:parameters()[1]
      local start = weight:item()
      local average = optim.average { model, decay = 0.75 }
      local expected = start
      for step = 1, 3 do
        nn.no_grad(function() weight:fill(step) end)
        average:update()
        expected = 0.75 * expected + 0.25 * step
      end
      assert.equal(3, weight:item())
      assert.near(expected, average:swapped(function() return weight:item() end), 1e-6)
      assert.equal(3, weight:item())
      local ok, message = pcall(average.swapped, average, function() error("inside", 0) end)
      assert.same({ false, "inside" }, { ok, message })
      assert.equal(3, weight:item())
      assert.near(expected, average:swapped(function() return weight:item() end), 1e-6)
    end)
  end)
end)
