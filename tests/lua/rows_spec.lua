--- The walk over op rows: bad arguments, leaks and memory that runs out, all made from the rows themselves.
local nn <const> = require "nn"
local rows <const> = require "tests.rows"

local function freed()
  local t = nn.zeros { 2 }
  t:free()
  return t
end

-- For each kind of argument values that it must refuse.
local WRONG <const> = {
  tensor = { "word", true, {}, nn.zeros({ 2 }, { type = "int32" }), freed() },
  any = { "word", true, {}, freed() },
  index = { "word", 1.5, nn.zeros { 2 }, freed() },
  tensors = { "word", 3, {}, { 1 }, { nn.zeros { 2 }, "word" }, { freed() } },
  number = { "word", {}, 0 / 0 },
  integer = { "word", {}, 1.5 },
  boolean = { 1, "true" },
  choice = { "neither", 7 },
  axis = { "word", 0, 1.5, 99, -99 },
  axes = { "word", 0, 1.5, 99, { 1, "word" }, { 1, 1 }, { 1, 2, 3, 4, 5, 6, 7 } },
  position = { "word", 0, -1, 1.5 },
  sizes = { "word", 3, { 1.5 }, { "word" } },
  numbers = { "word", 3, { "word" } },
}

local function below(arg) return arg.min_open and arg.min or arg.min - 1 end
local function above(arg) return arg.max_open and arg.max or arg.max + 1 end

-- A call of the case with the argument at `place` of the signature replaced.
local function call_with(op, case, place, value)
  local list, options = table.move(case.arguments, 1, case.count, 1, {}), {}
  for name, v in pairs(case.options or {}) do options[name] = v end
  local n = case.count
  if op.args[place].option then
    options[op.args[place].name] = value
  else
    list[place] = value
    n = math.max(n, place)
  end
  if next(options) then
    n = n + 1
    list[n] = options
  end
  return pcall(nn[op.name], table.unpack(list, 1, n))
end

local function assert_refused(op, what, ok, message)
  assert.is_false(ok, ("%s accepted %s"):format(op.name, what))
  local rest = message:match("^tests/lua/rows_spec%.lua:%d+: (.*)$") or message
  assert.is_true(rest:find(op.name .. ": ", 1, true) == 1 or rest:find("use of freed tensor", 1, true) == 1,
    ("%s given %s says: %s"):format(op.name, what, message))
  assert.is_nil(rest:find("[.\n]$"), "ends with a full stop: " .. message)
end

local function settle()
  collectgarbage()
  collectgarbage()
end

for _, op in ipairs(nn.ops()) do
  describe(op.name, function()
    local cases = rows.cases(op)

    it("says what it does", function()
      assert.is_true(#op.doc > 1)
      assert.is_true(#cases > 0, "no cases")
    end)

    it("refuses arguments of the wrong kind", function()
      for place, arg in ipairs(op.args) do
        for _, value in ipairs(WRONG[arg.kind]) do
          assert_refused(op, ("%s = %s"):format(arg.name, tostring(value)), call_with(op, cases[1], place, value))
        end
        if not arg.optional then
          assert_refused(op, "no " .. arg.name, call_with(op, cases[1], place, nil))
        end
      end
    end)

    it("refuses values out of bounds", function()
      for place, arg in ipairs(op.args) do
        for _, case in ipairs(cases) do
          if arg.kind == "number" or arg.kind == "integer" then
            if arg.min then assert_refused(op, arg.name .. " too low", call_with(op, case, place, below(arg))) end
            if arg.max then assert_refused(op, arg.name .. " too high", call_with(op, case, place, above(arg))) end
          end
        end
      end
    end)

    it("refuses unknown options, naming a near one, and too many arguments", function()
      local list = table.move(cases[1].arguments, 1, cases[1].count, 1, {})
      local n, near = cases[1].count, nil
      for _, arg in ipairs(op.args) do
        if arg.option then near = arg.name end
      end
      list[n + 1] = { [near and near .. "x" or "colour"] = 1 }
      local ok, message = pcall(nn[op.name], table.unpack(list, 1, n + 1))
      assert_refused(op, "an unknown option", ok, message)
      if near then assert.truthy(message:find(('did you mean "%s"?'):format(near), 1, true), message) end
      list[n + 1] = {}
      list[n + 2] = {}
      list[n + 3] = "more"
      assert_refused(op, "too many arguments", pcall(nn[op.name], table.unpack(list, 1, n + 3)))
    end)

    it("leaves nothing behind", function()
      settle()
      local tensors, blocks = nn.live_tensors(), nn.memory.stats().blocks
      for _, case in ipairs(cases) do
        local y = case.call()
        if y.requires_grad then y:sum():backward() end
      end
      settle()
      assert.equal(tensors, nn.live_tensors())
      assert.equal(blocks, nn.memory.stats().blocks)
    end)

    it("survives memory running out at any allocation, forward and backward", function()
      local case = cases[1]
      for _, t in ipairs(case.tensors) do
        if t.type == "float" and op.differentiable then t.requires_grad = true end
      end
      local function work()
        local y = case.call()
        if y.requires_grad then y:backward(nn.ones(y.shape)) end
      end
      work()
      settle()
      for _, t in ipairs(case.tensors) do t:clear_grad() end
      settle()
      local tensors, failures = nn.live_tensors(), 0
      for n = 1, 1000 do
        nn.memory.fail_at(n)
        local ok, message = pcall(work)
        nn.memory.fail_at(0)
        for _, t in ipairs(case.tensors) do t:clear_grad() end
        settle()
        assert.equal(tensors, nn.live_tensors(), ("allocation %d"):format(n))
        if ok then break end
        failures = failures + 1
        assert.truthy(message:find("out of memory", 1, true), message)
      end
      assert.is_true(failures > 0 and failures < 1000)
    end)
  end)
end
