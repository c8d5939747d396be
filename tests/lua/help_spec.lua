--- Help: every example does what it says, and everything public has a text, its parameters, what it gives, and an
--- example.
local examples <const> = require "tests.help_examples"
local file <const> = require "file"
local help <const> = require "help"
local host <const> = require "host"
local index <const> = require "help.index"
local lfs <const> = require "lfs"
local nn <const> = require "nn"
local program <const> = require "tests.cli.program"
local source <const> = require "help.source"

local function shown(path, wrong)
  local lines = { path }
  for _, entry in ipairs(wrong) do
    lines[#lines + 1] = "  " .. entry.code:gsub("\n", "\n  ")
    for _, line in ipairs(entry.expected) do lines[#lines + 1] = "    expected  " .. line end
    for _, line in ipairs(entry.got) do lines[#lines + 1] = "    got       " .. line end
  end
  return table.concat(lines, "\n")
end

local function contains(part, whole) assert.truthy(whole:find(part, 1, true), part) end

describe("an example of the help", function()
  local topics = { index.all().list }
  for _, module in ipairs(index.all().module_list) do topics[#topics + 1] = { module.callable } end
  for _, list in ipairs(topics) do
    for _, topic in ipairs(list) do
      for _, example in ipairs(topic.doc.examples) do
        it(topic.path, function()
          local folder, here = os.tmpname() .. ".d", lfs.currentdir()
          assert(file.make_folder(folder))
          assert(lfs.chdir(folder))
          local fine, wrong = pcall(examples.run, example)
          assert(lfs.chdir(here))
          file.remove_folder(folder)
          assert(fine, wrong)
          assert.truthy(#wrong == 0, shown(topic.path, wrong))
        end)
      end
    end
  end
end)

describe("the runner of examples", function()
  -- What it says of an example: the entries that do not do what they say.
  local function wrong(...)
    local found = {}
    for i, entry in ipairs(examples.run(table.concat({ ... }, "\n"))) do
      found[i] = entry.code .. " gives " .. table.concat(entry.got, " | ")
    end
    return found
  end

  it("takes lines as entries of the prompt", function()
    assert.same({}, wrong("local x = nn.ones { 2 }", "for i = 1, 2 do", "  print(i)", "end  --> 1", "--> 2",
      "x:sum():item()  --> 2", "x.shape, perturb.px(0)", "--> { 2 }  0.0"))
  end)

  it("tells what is printed otherwise", function()
    assert.same({ "1 + 1 gives 2" }, wrong "1 + 1  --> 3")
    assert.same({ "1 + 1 gives 2" }, wrong("1 + 1  --> 2", "--> 2"))
    assert.same({ "print(1) gives 1" }, wrong "print(1)  --> 1 1")
    assert.same({ "local a = 1 gives " }, wrong "local a = 1  --> 1")
  end)

  it("tells of an error that is not expected, or is another", function()
    assert.same({ "error 'a' gives error: a" }, wrong "error 'a'")
    assert.same({}, wrong "error 'a'  --> error: a")
    assert.same({ "error 'a' gives error: a" }, wrong "error 'a'  --> error: b")
    assert.same({ "nil gives nil" }, wrong "nil  --> error: a")
  end)

  it("compares numbers to the digits that are written", function()
    assert.same({}, wrong("1 / 3  --> 0.333", "2.0  --> 2", "1e-7 / 3  --> 3.33e-08", "-1 / 3  --> -0.33"))
    assert.same({ "1 / 3 gives 0.33333333333333" }, wrong "1 / 3  --> 0.334")
    assert.same({ "2.4 gives 2.4" }, wrong "2.4  --> 2")
    assert.same({ "1e-7 / 3 gives 3.3333333333333e-08" }, wrong "1e-7 / 3  --> 3.33e-07")
  end)

  it("lets `...` stand for what goes on", function()
    assert.same({}, wrong("print 'a b c'  --> a ...", "print 'a\\nb\\nc'  --> a", "--> ..."))
    assert.same({ "print 'b c' gives b c" }, wrong "print 'b c'  --> a ...")
  end)

  it("gives each a world of its own", function()
    assert.same({}, wrong "left_behind = 1")
    assert.same({}, wrong "left_behind  --> nil")
    assert.is_nil(rawget(_G, "left_behind"))
  end)
end)

describe("a comment", function()
  local function read(...) return source.read("some", table.concat({ ... }, "\n")) end

  it("is read with its annotations, over several lines", function()
    local module = read("--- The head.", "local M = {}", "", "--- Text,", "--- and more.", "---", "--- Example:",
      "---     some.f(1)  --> 2", "---", "---     some.f(2)", "---@param x integer  # a note",
      "---                  # goes on", "---@param options? { a: string,", "---                 b: string }",
      "---@return integer? y, string? message, string? code", "function M.f(x, options)", "  return x", "end")
    local f = module.entries[1]
    assert.equal("The head.", module.doc.text[1])
    assert.same({ "function", "f", "x, options", true }, { f.kind, f.name, f.arguments, f.gives })
    assert.same({ "Text,", "and more." }, f.doc.text)
    assert.same({ "some.f(1)  --> 2\n\nsome.f(2)" }, f.doc.examples)
    assert.same({ { name = "x", type = "integer", note = "a note goes on" },
                  { name = "options?", type = "{ a: string, b: string }" } }, f.doc.params)
    assert.equal("integer? y, string? message, string? code", f.doc.returns[1].type)
  end)

  it("of a class is found with its fields, operators and methods", function()
    local module = read("--- The head.", "", "--- A value.", "---@class Some: Other  # in short",
      "---@field a integer  # a note", "---@operator add(Some): Some", "local S = { __name = \"some value\" }", "",
      "--- Does.", "function S:do_it() end", "", "--- Is called.", "function S.__call(self, x) end")
    local class = module.classes[1]
    assert.same({ "Some", "Other", "some value" }, { class.name, class.parent, class.own })
    assert.same({ "A value.", "in short" }, class.doc.text)
    assert.same({ { name = "a", type = "integer", note = "a note" } }, class.doc.fields)
    assert.same({ "add(Some): Some" }, class.doc.operators)
    local one, two = table.unpack(class.methods)
    assert.same({ "do_it", "__call", "x" }, { one.name, two.name, two.arguments })
  end)

  it("keeps to ourselves what it says is ours", function()
    local module = read("--- The head.", "---@package", "", "--- Mine.", "---@package", "function M.f() end")
    assert.same({ true, true }, { module.doc.package, module.entries[1].doc.package })
  end)
end)

-- What a topic lacks, in words.
local function missing(topic)
  local doc, lacks = topic.doc, {}
  if not table.concat(doc.text, " "):find "%a" then lacks[#lacks + 1] = "a text" end
  if topic.kind == "class" and #topic.methods == 0 and #doc.fields > 0 then return {} end
  if topic.kind == "value" or topic.kind == "class" then return lacks end
  local known = {}
  for _, param in ipairs(doc.params) do known[param.name:gsub("%?$", "")] = true end
  for name in (topic.arguments or ""):gmatch "[%w_.]+" do
    if not known[name] then lacks[#lacks + 1] = "parameter " .. name end
  end
  for _, param in ipairs(doc.params) do
    if param.type == "" then lacks[#lacks + 1] = "the type of " .. param.name end
  end
  if topic.gives and #doc.returns == 0 then lacks[#lacks + 1] = "what it returns" end
  if #doc.examples == 0 then lacks[#lacks + 1] = "an example" end
  return lacks
end

describe("the help covers", function()
  it("every function, method, operation and layer, with text, parameters, results and an example", function()
    local problems = {}
    for _, topic in ipairs(index.all().list) do
      if topic.kind ~= "module" then
        local lacks = missing(topic)
        if #lacks > 0 then problems[#problems + 1] = topic.path .. ": " .. table.concat(lacks, ", ") end
      end
    end
    assert.equal("", table.concat(problems, "\n"))
  end)

  it("every field of a public module", function()
    local problems = {}
    for _, module in ipairs(index.all().module_list) do
      local own = module.name == "nn" and host.source "help.nn" or host.source(module.name)
      local read, written = source.read(module.name, own), {}
      for _, entry in ipairs(read.entries) do written[entry.name] = true end
      if module.name == "nn" then
        for _, list in ipairs { nn.ops(), nn.layers() } do
          for _, row in ipairs(list) do written[row.name] = true end
        end
      end
      for name, value in pairs(require(module.name)) do
        local inner = type(value) == "table" and getmetatable(value) == nil
        if not written[name] and not inner then problems[#problems + 1] = module.name .. "." .. name end
        if not written[name] and inner then
          for field in pairs(value) do
            if not written[name .. "." .. tostring(field)] then
              problems[#problems + 1] = module.name .. "." .. name .. "." .. tostring(field)
            end
          end
        end
      end
    end
    table.sort(problems)
    assert.equal("", table.concat(problems, "\n"))
  end)

  it("every method of tensors and models", function()
    local all = index.all()
    local function check(class, methods)
      local written = {}
      for _, method in ipairs(all.classes[class].methods) do written[method.name] = true end
      for _, op in ipairs(nn.ops()) do written[op.name] = true end
      for name in pairs(methods) do assert.truthy(written[name], class .. ":" .. name) end
    end
    check("Tensor", getmetatable(nn.ones { 1 }).methods)
    local _, methods = debug.getupvalue(getmetatable(nn.ReLU()).__index, 1)
    check("Model", methods)
  end)

  it("the rows of the optimisers and of the perturbations, which functions of these names make", function()
    local topics = index.all().topics
    for _, row in ipairs(nn.methods()) do assert.truthy(topics["optim." .. row.name], row.name) end
    for _, row in ipairs(nn.perturb.rows()) do assert.truthy(topics["perturb." .. row.name], row.name) end
  end)

  it("values, by what they are", function()
    local found = {}
    for name, value in pairs {
      tensor = nn.ones { 1 }, model = nn.ReLU(), module = require "perturb", operation = nn.conv2d,
      perturbation = require "perturb".identity(), loss = require "loss".hinge(), call = nn.npz.load,
      method = nn.ReLU().forward, operator = nn.ones({ 1 }).sum, count = nn.ones({ 1 }).count, lua = nn.ReLU().save,
      step = require "optim".sgd({ nn.Linear(1, 1), lr = 1 }).step, px = require "perturb".px,
    } do
      local topic = index.of(value)
      found[name] = topic and topic.path
    end
    assert.same({ tensor = "Tensor", model = "Model", module = "perturb", operation = "nn.conv2d",
                  perturbation = "Perturbation", loss = "Loss", call = "nn.npz.load", method = "model:forward",
                  operator = "nn.sum", count = "tensor:count", lua = "model:save", step = "optimizer:step",
                  px = "perturb.px" }, found)
  end)
end)

describe("a page of the help", function()
  it("is at most 100 columns wide, but for code", function()
    for _, topic in ipairs(index.all().list) do
      for line in help.text(topic.path):gmatch "[^\n]+" do
        local code = line:find "^    " or line:find("%-%->")
        assert.truthy(code or utf8.len(line) <= 100, topic.path .. ": " .. line)
      end
    end
  end)
end)

describe("the definitions for editors", function()
  local files = {}
  for _, one in ipairs(require "help.stubs".files()) do files[one.name] = one.text end

  it("are Lua", function()
    for name, words in pairs(files) do assert(load(words, "=" .. name, "t")) end
  end)

  it("have every public name", function()
    for _, topic in ipairs(index.all().list) do
      local module = topic.class and index.all().classes[topic.class].module or topic.module
      local words = files[module:match "^[^.]+" .. ".lua"]
      if topic.kind == "class" then
        assert.truthy(words:find("\n---@class " .. topic.name .. "%f[%W]"), topic.path)
      elseif topic.name ~= "__call" and topic.kind ~= "module" then
        local name = topic.class and topic.class .. topic.path:match "^%w+(.*)$" or topic.path
        local found = words:find("\nfunction " .. name .. "(", 1, true) or words:find("\n" .. name .. " = ", 1, true)
        assert.truthy(found, topic.path)
      end
    end
    for _, op in ipairs(nn.ops()) do
      if op.args[1].kind ~= "tensors" then contains("function Tensor:" .. op.name .. "(", files["nn.lua"]) end
    end
  end)

  it("name parameters that the functions have", function()
    for name, words in pairs(files) do
      for block, arguments in words:gmatch "\n(%-%-%-[^\n]*\n[%-][^f]-)function [%w_.:]+%((.-)%) end" do
        for param in block:gmatch "%-%-%-@param ([%w_.]+)" do
          assert.truthy((", " .. arguments .. ","):find(", " .. param .. ",", 1, true), name .. ": " .. arguments)
        end
      end
    end
  end)

  it("are written by penumbra help --stubs", function()
    local folder = os.tmpname() .. ".d"
    local run = program.run { "help", "--stubs", folder }
    assert.equal(0, run.code, run.err)
    assert.equal(files["perturb.lua"], file.read(folder .. "/perturb.lua"))
    file.remove_folder(folder)
  end)
end)
