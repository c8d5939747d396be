--- `penumbra report`: the page about a real study, looked at as text and in a browser; pages about folders that are
--- damaged, incomplete or full of hostile names.
package.path = "tests/cli/?.lua;" .. package.path
local browser = require "browser"
local html = require "report.html"
local json = require "json"
local layout = require "report.layout"
local lfs = require "lfs"
local plot = require "plot"
local program = require "program"
local report = require "report"

local few = { "scale=smoke", "limit=96", "test_limit=80", "probe_limit=20", "epochs=3", "seed=1..2" }

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local void = { meta = true, img = true, source = true, br = true }

-- luassert's checks take long where there are thousands of them.
local function must(fine, message)
  if not fine then error(message or "the page is wrong", 2) end
end

-- The tags of a page in order, checked to be balanced: { name, attributes, text that follows }.
local function tags_of(page)
  local body = page:gsub("<style>.-</style>", "<style></style>", 1):gsub("^<!DOCTYPE html>\n", "")
    :gsub('base64,[%w+/=]+"', 'base64,A"')
  local list, open = {}, {}
  for slash, name, attributes, closed, text in body:gmatch("<(/?)([%w]+)([^<>]-)(/?)>([^<]*)") do
    if slash == "/" then
      must(open[#open] == name, "an end without its beginning")
      open[#open] = nil
    else
      local tag = { name = name, text = text, within = open[#open] }
      for key, value in attributes:gmatch('([%w-]+)="([^"]*)"') do
        must(not tag["@" .. key], "an attribute twice: " .. key)
        tag["@" .. key] = value
      end
      must(not (attributes:gsub('%s[%w-]+="[^"]*"', ""):gsub("^%s+[%w-]*$", ""):match("%S")), attributes)
      list[#list + 1] = tag
      if not void[name] and closed == "" then open[#open + 1] = name end
    end
  end
  assert.same({}, open)
  -- Nothing but tags has angle brackets.
  local bare = body:gsub("<[^<>]*>", "")
  assert.is_nil(bare:find("[<>]"))
  return list
end

-- What holds for every page, whatever it is about.
local function check(page)
  must(utf8.len(page))
  assert.is_nil(page:find("[%z\1-\8\11\12\14-\31\127]"))
  local tags, ids, levels, wanted = tags_of(page), {}, {}, {}
  local tables, heads = 0, 0
  for _, tag in ipairs(tags) do
    must(tag.name ~= "script" and tag.name ~= "link" and tag.name ~= "iframe" and tag.name ~= "object")
    if tag["@id"] then
      must(not ids[tag["@id"]], "an id twice: " .. tag["@id"])
      ids[tag["@id"]] = true
    end
    for _, key in ipairs { "@src", "@srcset" } do
      if tag[key] then must(tag[key]:find "^data:image/[a-z+]+;base64,[%w+/=]+$", tag[key]:sub(1, 60)) end
    end
    for key in pairs(tag) do must(not key:find "^@on", "a handler: " .. key) end
    if tag["@href"] then
      local id = tag["@href"]:match "^#(.+)$"
      if id then wanted[#wanted + 1] = id else must(tag["@href"]:find "^https?://") end
    end
    if tag["@aria-labelledby"] then wanted[#wanted + 1] = tag["@aria-labelledby"] end
    if tag.name == "img" then must(tag["@alt"] and #tag["@alt"] > 5) end
    if tag.name == "svg" then must(tag["@aria-label"] or tag["@aria-hidden"]) end
    if tag.name == "th" then must(tag["@scope"] == "col" or tag["@scope"] == "row") end
    if tag.name == "table" then tables = tables + 1 end
    if tag.name == "thead" then heads = heads + 1 end
    local level = tonumber(tag.name:match "^h(%d)$")
    if level then
      must(level <= (levels[#levels] or 0) + 1, "a heading's level is left out before: " .. tag.text)
      levels[#levels + 1] = level
    end
  end
  assert.equal(tables, heads)
  local first = 0
  for _, level in ipairs(levels) do first = first + (level == 1 and 1 or 0) end
  assert.equal(1, first)
  for _, id in ipairs(wanted) do must(ids[id] ~= nil, "nothing has the id " .. id) end
  return tags
end

local function page_of(folder)
  local page, message = report.page(folder)
  assert(page, message)
  check(page)
  return page
end

-- Without charts, which take most of the time.
local function without_charts(body)
  local render = plot.render
  plot.render = function() return nil, "not drawn here" end
  local ok, message = pcall(body)
  plot.render = render
  if not ok then error(message, 0) end
end

describe("penumbra report", function()
  local folder, made, runs = os.tmpname(), nil, {}

  setup(function()
    os.remove(folder)
    local words = { "run", "scripts/paper/table4.lua", "--quiet", "--out", folder, table.unpack(few) }
    local r = program.run(words)
    assert.equal(0, r.code, r.err)
    made = assert(r.out:match "(%S+)/report%.html", "the report's place is told")
    for name in lfs.dir(folder) do
      if name:find "^colour_mnist%-" then runs[#runs + 1] = folder .. "/" .. name end
    end
    table.sort(runs)
    assert.equal(6, #runs)
  end)
  teardown(function() os.execute("rm -rf " .. program.quote(folder)) end)

  -- A copy of a run's folder, for spoiling.
  local function copy_of(from, body)
    local copy = os.tmpname()
    os.remove(copy)
    os.execute(("cp -r %s %s"):format(program.quote(from), program.quote(copy)))
    local ok, message = pcall(body, copy)
    os.execute("rm -rf " .. program.quote(copy))
    if not ok then error(message, 0) end
  end

  it("is there after a study, and says what came out and what was asked", function()
    local page = read(made .. "/report.html")
    check(page)
    for _, part in ipairs { "Table 4: Colour MNIST", "C beats plain", "Unstated in the paper, we chose", "96.01",
                            "Seed by seed", "weight of the distance score in C", "Semantic Continuity for Deep",
                            "No verdict", "What is taken for what", "mnist", "scale=smoke", "sha256" } do
      assert.is_truthy(page:find(part, 1, true), part)
    end
    assert.is_true(#page < 800000, #page .. " bytes")
  end)

  it("writes the page of one run, and of runs side by side", function()
    local r = program.run { "report", runs[1] }
    assert.equal(0, r.code, r.err)
    assert.equal(runs[1] .. "/report.html\n", r.out)
    local one = read(runs[1] .. "/report.html")
    check(one)
    assert.is_truthy(one:find("The plan", 1, true))
    local out = folder .. "/several.html"
    r = program.run { "report", runs[1], runs[2] .. "/", runs[3], "--out", out, "--title", "Three <runs>" }
    assert.equal(0, r.code, r.err)
    local page = read(out)
    check(page)
    assert.is_truthy(page:find("<h1>Three &lt;runs&gt;</h1>", 1, true))
    assert.is_truthy(page:find("The runs side by side", 1, true))
    -- By name, from the folder of runs.
    local name = runs[1]:match "[^/]+$"
    assert.equal(0, program.run { "report", name, "--runs", folder, "--out", out }.code)
  end)

  it("gives a command that makes the same run", function()
    for _, run in ipairs { runs[1], runs[4] } do
      local line = assert(page_of(run):match "<pre[^>]*class=\"command\"[^>]*><code>penumbra (.-)</code>")
      line = line:gsub("&#39;", "'"):gsub("&amp;", "&")
      local again = os.tmpname()
      os.remove(again)
      local r = program.shell('"$PENUMBRA" ' .. line .. " --quiet --out " .. again)
      assert.equal(0, r.code, r.err)
      assert.equal("directory", lfs.attributes(again .. "/" .. run:match "[^/]+$", "mode"))
      os.execute("rm -rf " .. program.quote(again))
    end
  end)

  it("says in one line what is no run", function()
    for _, case in ipairs { { { "report", folder .. "/none" }, 1, 'there is no run "' .. folder .. '/none"' },
                            { { "report", "tests" }, 1, "neither a run nor a study" },
                            { { "report", made .. "/report.html" }, 1, "got a file" },
                            { { "report" }, 2, "missing argument" },
                            { { "report", runs[1], "--out", folder .. "/no/such/page.html" }, 1, "page.html" } } do
      local r = program.run(case[1])
      assert.equal(case[2], r.code, r.err)
      assert.is_truthy(r.err:find("^penumbra: report: [^\n]+\n$"), r.err)
      assert.is_truthy(r.err:find(case[3], 1, true), r.err)
    end
  end)

  it("says what is missing of a run that is not complete", function()
    copy_of(runs[1], function(copy)
      os.remove(copy .. "/results.json")
      local rows = read(copy .. "/metrics.jsonl")
      write(copy .. "/metrics.jsonl", rows:sub(1, #rows * 2 // 3))
      write(copy .. "/stopped.json", '{"reason":"loss is NaN at step 12 (epoch 2)"}')
      local page = page_of(copy)
      assert.is_truthy(page:find("The run stopped: loss is NaN at step 12", 1, true))
      os.remove(copy .. "/stopped.json")
      assert.is_truthy(page_of(copy):find("The run is not complete", 1, true))
    end)
  end)

  it("keeps some rows of a training with very many", function()
    copy_of(runs[1], function(copy)
      local rows = {}
      for step = 1, 20000 do rows[step] = json.encode { kind = "step", step = step, epoch = 1, loss = 1 / step } end
      for epoch = 1, 9000 do
        rows[#rows + 1] = json.encode { kind = "epoch", epoch = epoch, step = epoch, loss = 1 / epoch }
      end
      write(copy .. "/metrics.jsonl", table.concat(rows, "\n") .. "\n")
      local run = assert(require "report.read".folder(copy))
      assert.equal(20000 // 4, #run.steps)
      for i, row in ipairs(run.steps) do assert.equal(4 * i - 3, row.step) end
      assert.equal(9000 // 2 + 1, #run.epochs)
      assert.equal(9000, run.epochs[#run.epochs].epoch)
    end)
  end)

  it("makes a page of any folder that was damaged", function()
    local notices = 0
    without_charts(function()
      for _, from in ipairs { runs[1], made } do
        for name in lfs.dir(from) do
          local path = from .. "/" .. name
          if lfs.attributes(path, "mode") == "file" and not name:find "^report" and not name:find "%.safetensors$" then
            local whole = read(path)
            for _, instead in ipairs { false, "", whole:sub(1, #whole // 2), "[]", "7", "\0\255\254",
                                       '{"metrics":[1],"runs":7,"params":"x"}' } do
              if not (name == "study.lua" and not instead) then
                if instead then write(path, instead) else os.remove(path) end
                local ok, message = pcall(page_of, from)
                write(path, whole)
                assert.is_true(ok, ("%s as %s: %s"):format(name, instead or "missing", message))
              end
            end
            write(path, whole:sub(1, #whole // 2))
            local told = name:find "%.json$" and page_of(from):find(name .. " is damaged", 1, true)
            if told then notices = notices + 1 end
            write(path, whole)
          end
        end
      end
    end)
    assert.is_true(notices >= 4, notices .. " damaged files are named")
  end)

  it("takes values of any shape", function()
    local function spoil(path, every)
      local text = read(path)
      local places = 0
      -- Walks the value; at the place whose turn it is something else is put in.
      local function walk(value, turn, instead)
        places = places + 1
        if places == turn then return instead end
        if type(value) ~= "table" then return value end
        local keys = {}
        for key in pairs(value) do keys[#keys + 1] = key end
        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
        for _, key in ipairs(keys) do value[key] = walk(value[key], turn, instead) end
        return value
      end
      local root = assert(json.decode(text))
      walk(root)
      local total, seen = places, 0
      for turn = 1, total, every do
        for _, instead in ipairs { "<b>", -1e300, json.array { 1, "x" }, { value = {} } } do
          places = 0
          write(path, json.encode(walk(json.decode(text), turn, instead)))
          local ok, message = pcall(page_of, path:match "^(.*)/")
          if not ok then write(path, text) end
          assert.is_true(ok, ("place %d of %s: %s"):format(turn, path, message))
          seen = seen + 1
        end
      end
      write(path, text)
      assert.is_true(seen > 0)
    end
    without_charts(function()
      spoil(runs[1] .. "/results.json", 67)
      spoil(runs[1] .. "/about.json", 3)
      spoil(runs[1] .. "/environment.json", 3)
      spoil(made .. "/results.json", 67)
      spoil(made .. "/about.json", 37)
    end)
    spoil(made .. "/about.json", 151) -- some with the charts that these values ask for
  end)

  local hostile = "</title><script>alert(1)</script><img src=x onerror=alert(2)> "
    .. "\"' & \0\1\27[31m \xff\xc0 \u{202E}evil"

  local function hostile_folder(copy)
    local about = json.read(copy .. "/about.json")
    -- JSON is UTF-8 without raw control bytes: the rest of the hostile text comes in through the other files.
    local text = hostile:gsub("[\xff\xc0]", "?")
    about.title, about.about, about.name = text, text, text
    about.cites = { text, "see http://example.org/a?b=1&c=2 <x>", "javascript:alert(1)" }
    about.unstated = { text }
    about.params[1].doc, about.params[1].name = text, text
    write(copy .. "/about.json", json.encode(about))
    local results = json.read(copy .. "/results.json")
    results.metrics[text], results.params[text] = results.metrics.accuracy, text
    results.metrics[text].unit = text
    results.data[text] = { [text] = text }
    for _, row in ipairs(results.probes.accuracy) do row.name, row.mistaken_for = text, text end
    results.probes[text], results.confusion[text] = { { [text] = text } }, { names = { text }, counts = { { 1 } } }
    write(copy .. "/results.json", json.encode(results))
    write(copy .. "/environment.json", json.encode { cpu = text, [text] = text, version = text, blas_core = text })
    write(copy .. "/plan.txt", hostile)
    write(copy .. "/tables/" .. "a<b>&'\"x\27.txt", hostile)
    write(copy .. "/figures/<i>.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(3)</script>"
      .. "<image href='http://example.org/x.png'/></svg>")
    write(copy .. "/figures/fake.png", "no picture")
    os.execute("ln -s /etc/hostname " .. program.quote(copy .. "/tables/link.txt"))
    os.remove(copy .. "/stopped.json")
    write(copy .. "/stopped.json", json.encode { reason = text })
    local rows = {}
    for epoch = 1, 2 do
      rows[epoch] = json.encode { kind = "epoch", epoch = epoch, loss = 1.0 * epoch,
                                  terms = { [text] = { raw = 1.0 }, b = { raw = 1.0 } } }
    end
    write(copy .. "/metrics.jsonl", table.concat(rows, "\n") .. "\n")
  end

  it("shows hostile names and texts as what they are", function()
    copy_of(runs[1], function(copy)
      hostile_folder(copy)
      local page = page_of(copy)
      assert.is_nil(page:find("<script", 1, true))
      assert.is_nil(page:find("onerror=alert(2)>", 1, true))
      assert.is_nil(page:find("href=\"javascript", 1, true))
      assert.is_nil(page:find("\u{202E}", 1, true))
      assert.is_truthy(page:find("&lt;script&gt;alert(1)", 1, true))
      assert.is_truthy(page:find('<a href="http://example.org/a?b=1&amp;c=2"', 1, true))
      assert.is_truthy(page:find("fake.png is left out", 1, true))
      -- The command is shell: the hostile parameter is one word of it.
      local line = assert(page:match "<pre[^>]*class=\"command\"[^>]*><code>(.-)</code>")
      line = line:gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&quot;", '"'):gsub("&#39;", "'"):gsub("&amp;", "&")
      local words = program.shell("penumbra() { for word in \"$@\"; do echo \"[$word]\"; done; }\n" .. line)
      assert.equal("", words.err)
      assert.is_truthy(words.out:find("[run]", 1, true))
    end)
  end)

  -- ---- in a browser ----

  local measure = [[(() => {
    const parse = c => {
      const n = (c.match(/[-\d.e]+/g) || []).map(Number)
      return c.startsWith('color(') ? [255 * n[0], 255 * n[1], 255 * n[2], n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1]
    }
    const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1)
    const light = c => {
      const [r, g, b] = c.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    let worst = 99, where = ''
    for (const e of document.querySelectorAll('body *')) {
      if (![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()) || !e.getClientRects().length) continue
      const layers = []
      for (let p = e; p; p = p.parentElement) layers.push(parse(getComputedStyle(p).backgroundColor))
      let back = [255, 255, 255, 1]
      for (const layer of layers.reverse()) back = over(layer, back)
      const a = light(over(parse(getComputedStyle(e).color), back)), b = light(back)
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
      if (contrast < worst) { worst = contrast; where = e.outerHTML.slice(0, 80) }
    }
    return { images: document.images.length,
             loaded: [...document.images].filter(i => i.complete && i.naturalWidth > 0).length,
             wide: document.documentElement.scrollWidth - document.documentElement.clientWidth, worst, where }
  })()]]

  local looks = { { "a phone", 360, 800, false }, { "a phone in the dark", 360, 800, true },
                  { "a screen", 1280, 900, false }, { "a screen in the dark", 1280, 900, true } }

  local function look_at(open, path)
    for _, look in ipairs(looks) do
      local found = open:open(path, { width = look[2], height = look[3], dark = look[4] })
      assert.same({}, found.complaints, look[1])
      for i, address in ipairs(found.requests) do
        assert.is_truthy(address:find(i == 1 and "^file://" or "^data:"), address:sub(1, 80))
      end
      local about = open:value(measure)
      assert.equal(about.images, about.loaded, look[1])
      assert.is_true(about.wide <= 0, look[1] .. ": the page scrolls sideways")
      assert.is_true(about.worst >= 4.5, ("%s: contrast %.2f of %s"):format(look[1], about.worst, about.where))
      open:value "document.querySelectorAll('details').forEach(d => d.open = true)"
      about = open:value(measure)
      assert.is_true(about.wide <= 0, look[1] .. ": the page scrolls sideways when all is open")
      assert.is_true(about.worst >= 4.5, ("%s: contrast %.2f of %s"):format(look[1], about.worst, about.where))
    end
  end

  local function in_browser(body)
    if not browser.program() then
      pending "no Chromium here: scripts/dev/setup --check installs it"
      return
    end
    local open = browser.start()
    local ok, message = pcall(body, open)
    open:close()
    if not ok then error(message, 0) end
  end

  it("is shown without a complaint, a request or a missing image, wide and narrow, light and dark", function()
    in_browser(function(open)
      look_at(open, made .. "/report.html")
      copy_of(runs[2], function(copy)
        hostile_folder(copy)
        assert(report.write(copy))
        look_at(open, copy .. "/report.html")
      end)
    end)
  end)

  it("is printed whole, in light colours", function()
    in_browser(function(open)
      open:open(made .. "/report.html", { width = 620, height = 900, dark = true })
      open:call("Emulation.setEmulatedMedia", { media = "print", features = json.array {} })
      local about = open:value [[({
        wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        back: getComputedStyle(document.body).backgroundColor,
        hidden: [...document.querySelectorAll('.inside')].filter(e => e.getBoundingClientRect().height < 20).length,
        open: document.querySelectorAll('details[open]').length,
        details: document.querySelectorAll('details').length,
        cut: [...document.querySelectorAll('.scroll, pre')].filter(e => e.scrollWidth > 620).length })]]
      assert.equal(0, about.open)
      assert.is_true(about.details > 6)
      assert.equal(0, about.hidden)
      assert.equal("rgb(255, 255, 255)", about.back)
      assert.equal(0, about.cut)
      assert.is_true(about.wide <= 0, "something is wider than the paper")
      assert.equal("%PDF", open:pdf():sub(1, 4))
    end)
  end)
end)

describe("report.html", function()
  local tag = html.tag

  it("escapes everything that is not our own", function()
    assert.equal('<p class="a&quot;b">&lt;i&gt; &amp; 1</p>', html.write(tag.p { class = 'a"b', "<i> & ", 1 }))
    assert.equal("a\u{FFFD}b", html.escape "a\0b")
    assert.equal("\u{FFFD}\u{FFFD}é\u{FFFD}", html.escape "\xff\xc3é\xe2")
    assert.equal("a\nb\u{FFFD}c", html.escape "a\r\nb\u{202E}c")
    assert.equal("\u{FFFD}", html.escape "\u{85}")
  end)

  it("leaves out what is nil or false, and keeps what comes after", function()
    assert.equal("<p>ab</p>", html.write(tag.p { nil, "a", false, { nil, "b" } }))
    assert.equal("<img alt=\"\">", html.write(tag.img { alt = "", src = false }))
  end)

  it("writes bytes in base 64", function()
    for text, wanted in pairs { [""] = "", a = "YQ==", ab = "YWI=", abc = "YWJj", ["\0\255\254\253"] = "AP/+/Q==" } do
      assert.equal(wanted, html.base64(text))
    end
  end)
end)

describe("report.layout", function()
  it("breaks brackets that do not fit, and nothing within quotes", function()
    assert.equal("{ a = 1 }", layout.text "{ a = 1 }")
    assert.equal('{\n  a = f{ x = "},{" },\n  b = 2,\n}', layout.text('{ a = f{ x = "},{" }, b = 2 }', 20))
    assert.equal("{\n  loss = a.b()\n    + 2 * c.d(),\n}", layout.text("{ loss = a.b() + 2 * c.d() }", 18))
  end)

  it("leaves alone what it does not understand", function()
    for _, text in ipairs { "{ a = (1 }", "}}}", "\"", ("{"):rep(500), ("f{ "):rep(200) .. ("} "):rep(200) } do
      assert.is_string(layout.text(text, 10))
    end
  end)
end)
