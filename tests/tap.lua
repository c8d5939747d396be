--- A busted output handler that prints TAP: each failure with its message, each skipped test with its reason. A test
--- that leaves tensors alive fails too. In a build that reads no archives, one that ends in saying so is skipped.
local busted = require "busted"
local nn = require "nn"
local live_tensors = nn.live_tensors

local NO_ARCHIVES <const> = "built without libarchive"
local without_archives = select(2, nn.archive.survey "/dev/null"):find(NO_ARCHIVES, 1, true)

local function comment(text)
  text = tostring(text):gsub("%s+$", "")
  print("# " .. text:gsub("\n", "\n# "))
end

--- What was raised, as text: busted gives a string, or a table from an assertion.
local function message_text(message)
  if type(message) == "string" then return message end
  if type(message) == "table" and message.message then return tostring(message.message) end
  return require "pl.pretty".write(message)
end

--- The test, but what fails for the want of archives is skipped.
local function skipping(element)
  local test = element.run
  return function(...)
    local ok, message = pcall(test, ...)
    if ok then return end
    if message_text(message):find(NO_ARCHIVES, 1, true) then element.env.pending(NO_ARCHIVES) end
    error(message, 0)
  end
end

return function()
  local handler = require "busted.outputHandlers.base" ()
  local count = 0

  local function result(kind, name)
    count = count + 1
    print(("%s %d %s"):format(kind, count, name))
  end

  local function print_failure(failure)
    result("not ok", "- " .. failure.name)
    if failure.trace and failure.trace.short_src then
      comment(("%s:%d"):format(failure.trace.short_src, failure.trace.currentline or 0))
    end
    comment(message_text(failure.message))
    if failure.isError and failure.trace and failure.trace.traceback then comment(failure.trace.traceback) end
  end

  local tensors_before

  local function test_start(element)
    tensors_before = live_tensors()
    if without_archives then element.run = skipping(element) end
    return nil, true
  end

  --- How many tensors the test left behind, after everything unreachable is gone.
  local function left_over()
    if live_tensors() > tensors_before then
      collectgarbage()
      collectgarbage()
    end
    return live_tensors() - tensors_before
  end

  local function test_end(element, _, status)
    local name = handler.getFullName(element)
    local tensors = left_over()
    if status == "success" and tensors > 0 then
      result("not ok", "- " .. name)
      comment(("%d tensors are alive after the test that were not before"):format(tensors))
    elseif status == "success" then
      result("ok", "- " .. name)
    elseif status == "pending" then
      local reason = handler.pendings[#handler.pendings].message
      result("ok", "# SKIP " .. name .. (reason and ": " .. reason:gsub("^[^%s:]+:%d+: ", "") or ""))
    elseif status == "failure" then
      print_failure(handler.failures[#handler.failures])
    else
      print_failure(handler.errors[#handler.errors])
    end
    io.stdout:flush()
    return nil, true
  end

  -- An error outside a test: a file that does not load, a broken setup.
  local function error_outside(element)
    if element.descriptor ~= "it" then print_failure(handler.errors[#handler.errors]) end
    return nil, true
  end

  local function suite_end()
    print("1.." .. count)
    io.stdout:flush()
    return nil, true
  end

  -- The handler's own subscriptions go to the head of each list: it has counted before these run.
  busted.subscribe({ "test", "start" }, test_start)
  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "error" }, error_outside)
  busted.subscribe({ "failure" }, error_outside)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
