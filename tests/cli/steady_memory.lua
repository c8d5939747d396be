--- 2,000 training steps of a small ResNet without any collectgarbage; prints the resident size, in bytes, at step 200
--- and every 100 steps from there on. Run by memory_spec.lua.
local nn, models, optim, loss = require "nn", require "models", require "optim", require "loss"

local function resident()
  local file <close> = io.open "/proc/self/statm"
  return file and tonumber(file:read("a"):match("^%d+ (%d+)")) * 4096
end

local model = models.resnet8 { classes = 10, channels = 1, seed = 1 }
local objective, opt = loss.cross_entropy(), optim.sgd { model:parameters(), lr = 0.01, momentum = 0.9 }
for step = 1, resident() and 2000 or 0 do
  local x = nn.uniform({ 16, 16, 16, 1 }, { seed = step })
  local bright = x:mean({ 2, 3 }):gt(0.5)
  local y = nn.cat({ 1 - bright, bright }, 2):argmax(2)
  objective(model, x, y):backward()
  opt:step()
  if step >= 200 and step % 100 == 0 then print(resident()) end
end
