-- Attacks: a model trained plainly and one trained on attacked digits, both attacked within the same ball.
-- penumbra examples/attacks.lua [PICTURE.png]
local attack, data, image, loss = require "attack", require "data", require "image", require "loss"
local models, nn, optim, train = require "models", require "nn", require "optim", require "train"

local set = data.open("mnist", { limit = 2000, test_limit = 200 })
local eps = 0.15                                        -- no pixel changes by more, in [0, 1]
local pgd = attack.pgd { eps = eps, step = 0.05, iters = 5 }

local function trained(name, objective, epochs)
  local model = models.lenet { classes = set.classes, channels = 1, seed = 1 }
  train { model = model, data = set, loss = objective, optimizer = optim.adam { lr = 2e-3 }, epochs = epochs,
    batch = 50, label = name }
  return model
end

-- An attack is a perturbation, so a loss may look at what it makes: half of the loss is of x, half of x'.
local plain = trained("plain", loss.cross_entropy(), 2)
local adversarial = trained("adversarial", loss.adversarial { perturb = pgd }, 4)

-- One attack is no evidence. Square sees no gradients: a model that only hides them falls to it.
local attacks = { attack.random { eps = eps }, attack.fgsm { eps = eps }, pgd,
                  attack.square { eps = eps, queries = 100 },
                  attack.autoattack { eps = eps, version = "fast", iters = 10 } }
local left = attack.evaluate { model = plain, part = set.test, attack = attacks }
print("plain\n" .. tostring(left))
print("adversarial\n" .. tostring(attack.evaluate { model = adversarial, part = set.test, attack = attacks }))

-- The judge decides, not the attack: what x' is taken for, once it was clipped to the ball.
local x, y = set.test:batches { size = 10 }()
local verdict = attack.judge(plain, x, pgd(x, y, plain), y, { eps = eps })
for i, class in ipairs(verdict.predicted) do
  io.write(set.class_names[y:get(i)], verdict.right[i] and " stays  " or " -> " .. set.class_names[class] .. "  ")
end
print()

local path = arg[1] or "attacks.png"
assert(image.save(path, image.enlarge(image.grid(nn.cat({ x, verdict.images }, 1), { columns = 10 }), 3)))
print("digits, and below what the attack made of them: " .. path)
