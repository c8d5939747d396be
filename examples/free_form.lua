-- Tensors and gradients without models: fit a plane by gradient descent, and check a gradient against differences.
local nn, gradcheck = require "nn", require "gradcheck"

local x = nn.normal({ 200, 3 }, { seed = 1 })
local truth = nn.tensor { { 2 }, { -1 }, { 0.5 } }
local y = x:matmul(truth) + 3

local w = nn.zeros({ 3, 1 }, { requires_grad = true })
local b = nn.zeros({ 1 }, { requires_grad = true })
for _ = 1, 100 do
  local error = x:matmul(w) + b - y
  error:square():mean():backward()
  for _, p in ipairs { w, b } do
    p:copy(p:detach() - 0.2 * p.grad)
    p:clear_grad()
  end
end
print("w", w)
print("b", b)

-- The activation and the gradient of a layer by name.
local model = nn.Sequential {
  { "conv", nn.Conv2d(3, 4, { padding = 1 }) }, { "relu", nn.ReLU() }, nn.GlobalAvgPool2d(), { "fc", nn.Linear(4, 2) },
}:initialise(1)
local logits, taps = model:forward(nn.uniform({ 1, 8, 8, 3 }, { seed = 2 }), { taps = { "relu" } })
logits:slice(2, 1, 1):sum():backward()
print("the first logit's gradient at relu", taps.relu.grad:sum { 1, 2, 3 })

gradcheck.check(function(a, c) return a:matmul(c):tanh() end,
  { nn.normal({ 2, 3 }, { seed = 3, requires_grad = true }), nn.normal({ 3, 2 }, { seed = 4, requires_grad = true }) })
print "the gradient of tanh(a c) agrees with differences"
