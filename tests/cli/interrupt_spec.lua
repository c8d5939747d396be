--- Ctrl-C: it ends a script, returns to the prompt, and is quick.
package.path = "tests/cli/?.lua;" .. package.path
local nn = require "nn"
local program = require "program"

local LIMIT = nn.info().allocator == "caching" and 0.2 or 2 -- seconds; the sanitizers' build takes longer
local TRIES = 3   -- on a busy machine one of them has to make it

-- A background process of a shell ignores SIGINT, and so does all below a shell that was one itself; env undoes it.
local START = "env --default-signal=INT"
local can_start = os.execute(START .. " true 2> /dev/null")

--- Runs the program, which says "ready" and goes on; sends SIGINT a moment later and waits for the end.
local function interrupt(arguments, input)
  if not can_start then pending "no env that resets signals" end
  local best
  for _ = 1, TRIES do
    local r
    program.with_files({ input = input or "" }, function(folder)
      r = program.shell(([[
        cd %s
        mkfifo pipe silence
        %s "$PENUMBRA" %s > pipe 2> err < input &
        program=$!
        { sleep 20; kill -KILL $program; } > /dev/null 2>&1 &
        read ready < pipe
        sleep 0.05
        begin=$(date +%%s%%N)
        kill -INT $program
        wait $program
        code=$?
        echo $((($(date +%%s%%N) - begin) / 1000))
        kill $!
        cat err >&2
        exit $code]]):format(folder, START, arguments))
    end)
    r.seconds = tonumber(r.out:match "(%d+)%s*$") / 1e6
    if not best or r.seconds < best.seconds then best = r end
    if best.seconds < LIMIT then break end
  end
  return best
end

local function interrupt_code(code, preparation)
  return interrupt("-e " .. program.quote((preparation or "") .. ' print "ready" ' .. code))
end

describe("Ctrl-C", function()
  local cases = {
    ["an endless loop"] = "while true do end",
    ["a loop of calls"] = "local function f() return 1 end while true do f() end",
    ["a coroutine"] = "assert(coroutine.resume(coroutine.create(function() while true do end end)))",
    ["a wrapped coroutine"] = "coroutine.wrap(function() while true do end end)()",
    ["a nested coroutine"] = "coroutine.wrap(function() coroutine.wrap(function() while true do end end)() end)()",
    ["a generator"] = "for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end",
    ["many operations"] = { "while true do x:exp() end", "local x = nn.zeros{64, 64}" },
    ["one long operation"] = { "print(x:matmul(x):matmul(x):matmul(x))", "local x = nn.zeros{4096, 4096}" },
    ["a long convolution"] = { "print(x:conv2d(w, { padding = 2 }))",
      "local x, w = nn.zeros{128, 64, 64, 64}, nn.zeros{5, 5, 64, 128}" },
    ["a training step"] = { "while true do objective(model, x, y):backward() opt:step() end", [[
      local model = models.resnet18{ classes = 10, stem = "cifar" }
      local x, y = nn.zeros{128, 32, 32, 3}, nn.zeros({ 128 }, { type = "index" })
      local opt = optim.adam{ model:parameters(), lr = 1e-3 }
      local objective = loss.cross_entropy()]] },
    ["an attack"] = { "while true do pgd(x, y, model) end", [[
      local model = models.resnet18{ classes = 10, stem = "cifar" }
      local x, y = nn.zeros{64, 32, 32, 3}, nn.zeros({ 64 }, { type = "index" })
      local pgd = attack.pgd { eps = 0.1, iters = 1000 }]] },
    ["a wait for batches"] = { [[
      for _ in part:batches { size = 64, workers = 2, augment = perturb.random_resized_crop() } do end
      print "over"]], [[
      local names, labels = {}, {}
      for i = 1, 4096 do names[i], labels[i] = "big.png", 1 end
      require "image".save("big.png", nn.uniform { 1500, 1500, 3 })
      local files = nn.files.new(".", names, labels)
      local part = require "data.part".new { name = "slow", files = files, labels = files:labels(), classes = 1,
                                             class_names = { "a" }, shape = { 224, 224, 3 } }]] },
    ["a loop over batches"] = { "while true do for _ in part:batches { workers = 2, prefetch = 1 } do end end",
      "local part = data.synthetic { train = 4096, side = 16 }.train" },
    ["a wait for a program"] = "require 'host'.spawn { 'sleep', '60' }:wait()",
    ["a program that says nothing"] = "require 'host'.spawn({ 'sleep', '60' }, { stdout = 'pipe' }):read()",
    ["a recipe that does not end"] = { "print(require 'world'.load 'x.lua')",
      "io.open('x.lua', 'w'):write('while true do end'):close()" },
    ["a read that waits"] = "io.open('silence', 'r+'):read()",
  }
  for name, case in pairs(cases) do
    it("ends " .. name, function()
      local r = type(case) == "table" and interrupt_code(table.unpack(case)) or interrupt_code(case)
      assert.equal(130, r.code)
      assert.matches("^penumbra: [^\n]*interrupted\n$", r.err)
      assert.is_true(r.seconds < LIMIT, ("took %g s"):format(r.seconds))
    end)
  end

  it("raises an error that a script may catch, once", function()
    local r = interrupt_code [[
      local ok, message = pcall(function() while true do end end)
      for _ = 1, 1000 do assert(not ok) end
      os.exit(message:find "interrupted$" and 5 or 6)]]
    assert.equal(5, r.code)
  end)

  it("leaves a model that it interrupts as it was, but for running statistics", function()
    local r = interrupt_code([[
      local tensors = nn.live_tensors()
      local ok, message = pcall(function() while true do step() end end)
      assert(not ok and message:find "interrupted$", message)
      model:zero_grad()
      collectgarbage()
      collectgarbage()
      assert(nn.live_tensors() <= tensors, "tensors are left over")
      for i, t in ipairs(model:parameters()) do assert((t - weights[i]):abs():max():item() == 0) end
      step()
      local x = x[1]:reshape{ 1, 32, 32, 3 }
      local planned, composed = model(x), (model:forward(x, { composed = true }))
      assert((planned - composed):abs():max():item() < 1e-3 * composed:abs():max():item())
      os.exit(7)]], [[
      local model = models.resnet20{ classes = 10, seed = 1 }
      local x = nn.uniform({ 64, 32, 32, 3 }, { seed = 2 })
      local weights = {}
      for i, t in ipairs(model:parameters()) do weights[i] = t:detach():clone() end
      local function step() model:forward(x, { training = true }):sum():backward() end]])
    assert.equal(7, r.code, r.err)
  end)

  it("does not colour a later error of another kind", function()
    assert.equal(1, interrupt_code("pcall(function() while true do end end) error 'mine'").code)
  end)

  it("ends what is fed to the prompt", function()
    local r = interrupt("", 'print "ready" io.stdout:flush()\nwhile true do end\nio.stderr:write "alive" _ = nil\n')
    assert.same({ 130, "penumbra: stdin:2: interrupted\n" }, { r.code, r.err })
  end)

  it("twice ends even what does not look", function()
    if not can_start then pending "no env that resets signals" end
    local r = program.shell(START .. [[ "$PENUMBRA" -e 'string.find(("a"):rep(60), ("a*"):rep(40) .. "b")' &
      sleep 0.3
      kill -INT $!
      sleep 0.1
      kill -INT $!
      wait $!]])
    assert.equal(130, r.code)
  end)

  it("leaves a process alone that was started to ignore it", function()
    local r = program.shell [[
      trap '' INT
      "$PENUMBRA" -e 'for i = 1, 5e7 do end print "done"' &
      sleep 0.1
      kill -INT $!
      wait $!]]
    assert.same({ 0, "done\n" }, { r.code, r.out })
  end)
end)
