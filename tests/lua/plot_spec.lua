--- Charts drawn by gnuplot, and the file helpers under them.
local file <const> = require "file"
local image <const> = require "image"
local lfs <const> = require "lfs"
local nn <const> = require "nn"
local plot <const> = require "plot"
local program <const> = require "tests.cli.program"
local sheets <const> = require "plot.sheet"
local stats <const> = require "stats"
local ticks <const> = require "plot.ticks"

local folder

local function interval(value, half)
  return stats.new { value = value, low = value - half, high = value + half }
end

local function with(options, extra)
  local out = {}
  for _, list in ipairs { options, extra or {} } do
    for key, value in pairs(list) do out[key] = value end
  end
  return out
end

-- One chart of each kind, with all the texts it can have.
local function samples()
  return {
    lines = { title = "Loss by epoch", note = "three seeds", x = { label = "epoch" }, y = { label = "cross-entropy" },
              series = { { name = "plain", points = { { 1, interval(2, 0.5) }, { 2, interval(1, 0.2) }, { 3, 0.5 } } },
                         { name = "with C", y = nn.tensor { 2.5, 1.5, 1.2 } } },
              marker = { name = "the paper", points = { { 3, 0.4 } } } },
    bars = { title = "Accuracy", note = "95 % intervals", y = { label = "accuracy (%)" },
             categories = { "plain", "it's C" }, marker = { name = "the paper", values = { 96.01, false } },
             series = { { name = "ours", values = { interval(91, 1), interval(95, 0.5) },
                          dots = { { 90.5, 91.5 }, { 95 } } } } },
    points = { title = "Speed", y = { label = "times as fast", log = true }, categories = { "conv", "norm" },
               series = { { name = "one", values = { 2, 0.5 } }, { name = "two", values = { interval(3, 1), 8 } } } },
    scatter = { title = "Embedding", note = "six images", points = { { 1, 2 }, { 2, 5 }, { 3, 1 }, { 4, 4 }, { 5, 2 },
                { 6, 1 } }, classes = { 1, 1, 2, 2, 3, 3 }, names = { "cat", "dog", "ship" }, x = { label = "first" },
                y = { label = "second" } },
    heatmap = { title = "Confusion", values = { { 90, 10 }, { 20, 80 } }, rows = { "cat", "dog" },
                columns = { "says cat", "says dog" }, value = { label = "images" }, x = { label = "said" },
                y = { label = "true" } },
    images = { title = "Perturbed", note = "the first digit", images = nn.full({ 4, 6, 6, 1 }, 0.25),
               columns = { "clean", "noise" }, across = 2, rows = { "hue", "blur" },
               labels = { "a1", "a2", "b1", "b2" } },
  }
end

local KINDS <const> = { "bars", "heatmap", "images", "lines", "points", "scatter" }

-- ---- what an SVG shows ----

local function unescaped(s)
  return (s:gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&quot;", '"'):gsub("&#39;", "'"):gsub("&amp;", "&"))
end

-- The texts of an SVG with their boxes; those of the axes, which are empty, are left out.
local function texts_of(svg)
  local list = {}
  local width, height = svg:match 'viewBox="0 0 (%d+) (%d+)"'
  for group, text in svg:gmatch "<g (transform[^>]*)>%s*<text>(.-)</text>" do
    local x, y = group:match "translate%(([%d.-]+),([%d.-]+)%)"
    local size, anchor = tonumber(group:match 'font%-size="([%d.]+)"'), group:match 'text%-anchor="(%w+)"'
    text = unescaped(text)
    if text:find "%S" then
      local wide = sheets.new("svg", 100, 100, size):extent(text)
      local before = anchor == "middle" and wide / 2 or anchor == "end" and wide or 0
      local box = { text = text, x1 = x - before, x2 = x - before + wide, y1 = y - 0.72 * size, y2 = y + 0.1 * size }
      if group:find("rotate", 1, true) then
        box = { text = text, y1 = y - (wide - before), y2 = y + before, x1 = x - 0.72 * size, x2 = x + 0.1 * size }
      end
      list[#list + 1] = box
    end
  end
  return list, tonumber(width), tonumber(height)
end

local function all_text(svg)
  local words = {}
  for _, box in ipairs(texts_of(svg)) do words[#words + 1] = box.text end
  return table.concat(words, " ")
end

-- Every text stands inside the picture and on no other one.
local function check_places(svg, what)
  local boxes, width, height = texts_of(svg)
  assert.truthy(#boxes > 0, what)
  for i, a in ipairs(boxes) do
    assert.truthy(a.x1 >= -0.5 and a.y1 >= -0.5 and a.x2 <= width + 0.5 and a.y2 <= height + 0.5,
      ("%s: %q is cut: %g..%g, %g..%g of %gx%g"):format(what, a.text, a.x1, a.x2, a.y1, a.y2, width, height))
    for j = i + 1, #boxes do
      local b = boxes[j]
      local across, down = math.min(a.x2, b.x2) - math.max(a.x1, b.x1), math.min(a.y2, b.y2) - math.max(a.y1, b.y1)
      assert.falsy(across > 0.5 and down > 0.5, ("%s: %q and %q overlap"):format(what, a.text, b.text))
    end
  end
end

-- Elements nest, entities are known, characters are XML's.
local function check_xml(svg)
  local open = {}
  assert.truthy(utf8.len(svg))
  assert.is_nil(svg:find "[%z\1-\8\11\12\14-\31]")
  for close, name, rest in svg:gsub("<%?.-%?>", ""):gmatch "<(/?)([%w:]+)([^>]*)>" do
    if close == "/" then
      assert.equal(name, table.remove(open))
    elseif rest:sub(-1) ~= "/" then
      open[#open + 1] = name
    end
  end
  assert.equal(0, #open)
  for entity in svg:gmatch "&([^;]*;?)" do assert.matches("^#?%w+;$", entity) end
  assert.is_nil(svg:find("]]>", 1, true))
end

-- A PNG's picture: not blank, and paper all around.
local function check_png(bytes, what)
  local picture = image.decode(bytes, { channels = 1 })
  local height, width = picture.shape[1], picture.shape[2]
  local function darkest(rows, from, to)
    return rows:slice(2, from, to):to "float":min():item()
  end
  assert.truthy(darkest(picture, 1, width) < 128, what .. ": blank")
  for _, edge in ipairs { picture:slice(1, 1, 8), picture:slice(1, height - 7, height) } do
    assert.truthy(darkest(edge, 1, width) > 250, what .. ": something is cut above or below")
  end
  for _, from in ipairs { 1, width - 7 } do
    assert.truthy(darkest(picture, from, from + 7) > 250, what .. ": something is cut at a side")
  end
  return height, width
end

local there = plot.program()
local with_gnuplot = there and it or function(name)
  it(name, function() pending "gnuplot is not installed" end)
end

describe("plot", function()
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(file.make_folder(folder))
  end)
  teardown(function() file.remove_folder(folder) end)

  with_gnuplot("writes SVG and PNG and leaves nothing else", function()
    for _, kind in ipairs(KINDS) do
      local path = folder .. "/deep/" .. kind .. "/chart"
      assert.same({ path .. ".svg", path .. ".png" }, plot[kind](with(samples()[kind], { path = path })))
      local names = {}
      for name in lfs.dir(folder .. "/deep/" .. kind) do names[#names + 1] = name end
      assert.equal(4, #names) -- . and .. and the two
    end
  end)

  with_gnuplot("every text is there, inside the picture, and on no other", function()
    local labels = {
      lines = { "Loss by epoch", "three seeds", "epoch", "cross-entropy", "plain", "with C", "the paper", "0.5" },
      bars = { "Accuracy", "95 % intervals", "accuracy (%)", "plain", "it's C", "ours", "the paper", "91.0", "95.00" },
      points = { "Speed", "times as fast", "conv", "norm", "one", "two", "0.5", "10" },
      scatter = { "Embedding", "six images", "first", "second", "cat", "dog", "ship" },
      heatmap = { "Confusion", "cat", "dog", "says cat", "said", "true", "images", "90", "80" },
      images = { "Perturbed", "clean", "noise", "hue", "blur", "a1", "b2", "the first digit" },
    }
    for _, kind in ipairs(KINDS) do
      for _, size in ipairs { "column", "page", { 500, 400 } } do
        local svg = assert(plot.render(kind, with(samples()[kind], { size = size }), "svg"))
        check_xml(svg)
        check_places(svg, kind)
        local text = all_text(svg)
        for _, label in ipairs(labels[kind]) do assert.matches(label, text, 1, true) end
      end
    end
  end)

  with_gnuplot("is as large as was asked, in centimetres or pixels", function()
    for _, kind in ipairs(KINDS) do
      assert.matches('width="8.5cm"', plot.render(kind, with(samples()[kind], { size = "column" }), "svg"), 1, true)
      assert.matches('width="17.5cm"', plot.render(kind, samples()[kind], "svg"), 1, true)
      local fixed = plot.render(kind, with(samples()[kind], { size = { 500, 420 } }), "svg")
      assert.matches('width="500" height="420" viewBox="0 0 500 420"', fixed, 1, true)
      local _, column = check_png(plot.render(kind, with(samples()[kind], { size = "column" }), "png"), kind)
      assert.equal(1003, column) -- 8.5 cm at 300 dots to the inch
      assert.same({ 840, 1000 }, { check_png(plot.render(kind, with(samples()[kind], { size = { 500, 420 } }), "png"),
        kind) })
    end
  end)

  with_gnuplot("draws each value, interval and mark", function()
    local function marks(kind, options, pattern)
      return select(2, plot.render(kind, options, "svg"):gsub("<defs>.-</defs>", ""):gsub("<use [^>]*" .. pattern, ""))
    end
    local two = { series = { { name = "a", y = { 1, 2, 4, 3 } }, { name = "b", y = { 2, 2, 1, 1 } } } }
    assert.same({ 4, 4 }, { marks("lines", two, "Pt6'"), marks("lines", two, "Pt4'") })
    local svg = plot.render("lines", two, "svg")
    assert.matches("<title>a</title>", svg, 1, true)
    -- bands and error bars
    local series = { { points = { { 1, interval(1, 0.5) }, { 2, interval(2, 0.5) } } } }
    assert.matches("fill%-opacity *= *['\"]0.18", plot.render("lines", { series = series }, "svg"))
    local bars = plot.render("lines", { series = series, interval = "bars" }, "svg")
    assert.is_nil(bars:find "fill%-opacity")
    assert.truthy(#bars > #plot.render("lines", { series = series, interval = "none" }, "svg"))
    -- one box for each value that is there
    local function boxes(values)
      return select(2, plot.render("bars", { series = { { values = values } } }, "svg"):gsub("<polygon", ""))
    end
    assert.equal(boxes { 1, 2, 3, 4 }, boxes { 1, 2, false, 4 } + 1)
    assert.equal(6 + 3, marks("scatter", samples().scatter, "")) -- and the legend's
  end)

  with_gnuplot("makes one unit as long on both axes where that is asked for", function()
    for _, size in ipairs { "column", { 500, 200 }, { 300, 600 } } do
      local options = { points = { { 0, 0 }, { 30, 0 }, { 0, 10 } }, equal = true, size = size }
      local svg = plot.render("scatter", options, "svg")
      local at = {}
      for x, y in svg:gsub("<defs>.-</defs>", ""):gmatch "<use [^>]*translate%(([%d.]+),([%d.]+)%)" do
        at[#at + 1] = { x = tonumber(x), y = tonumber(y) }
      end
      assert.equal(3, #at)
      assert.near((at[2].x - at[1].x) / 3, at[1].y - at[3].y, 0.1)
    end
  end)

  with_gnuplot("takes one list over another", function()
    local full = plot.render("lines", { series = { { x = { 1, 5 }, y = { 1, 2 } } }, title = "t" }, "svg")
    assert.equal(full, (plot.render("lines", { x = nn.tensor { 1, 5 }, y = { 1, 2 }, title = "t" }, "svg")))
    assert.equal(plot.render("lines", { { 1, 2 } }, "svg"), (plot.render("lines", { y = { 1, 2 } }, "svg")))
  end)

  with_gnuplot("takes lists, tensors and pairs, in short and in full", function()
    local same = plot.render("lines", { series = { { points = { { 1, 3 }, { 2, 5 } } } } }, "svg")
    for _, options in ipairs { { 3, 5 }, nn.tensor { 3, 5 }, { { 3, 5 } }, { nn.tensor { 3, 5 } },
                               { series = { { y = nn.tensor { 3, 5 } } } }, { nn.tensor { { 1, 3 }, { 2, 5 } } },
                               { series = { { x = { 1, 2 }, y = { 3, 5 } } } } } do
      assert.equal(same, plot.render("lines", options, "svg"))
    end
    assert.equal(plot.render("bars", { series = { { values = { 3, 5 } } } }, "svg"),
      plot.render("bars", { 3, 5 }, "svg"))
    assert.equal(plot.render("scatter", { points = { { 1, 3 }, { 2, 5 } } }, "svg"),
      plot.render("scatter", nn.tensor { { 1, 3 }, { 2, 5 } }, "svg"))
  end)

  with_gnuplot("leaves out what is no number, and says so", function()
    local function text(kind, options) return all_text(assert(plot.render(kind, options, "svg"))) end
    local nan, inf = 0 / 0, 1 / 0
    assert.matches("2 of 5 values of a left out; empty has no values", text("lines", { series = {
      { name = "a", y = { 1, nan, 2, inf, 3 } }, { name = "empty", y = { nan, false } } } }), 1, true)
    assert.matches("1 of 2 values of a series left out", text("points", { y = { log = true }, series = {
      { values = { 1, -1 } } } }), 1, true)
    assert.matches("1 of 3 points left out", text("scatter", { points = { { 1, 2 }, { nan, 1 }, { 2, 2 } } }), 1, true)
    assert.matches("1 of 4 cells without a value", text("heatmap", { values = { { 1, 2 }, { nan, 3 } } }), 1, true)
    for kind, options in pairs { lines = { series = { { y = { nan } } } },
                                 bars = { series = { { values = { false } } } }, scatter = { points = { { nan, 1 } } },
                                 heatmap = { values = { { nan } } },
                                 points = { y = { log = true }, series = { { values = { -1 } } } } } do
      assert.matches("there is nothing to draw", text(kind, options), 1, true)
      check_png(plot.render(kind, options, "png"), kind)
    end
  end)

  with_gnuplot("has room for long and for many texts", function()
    local long = "what a network says of a picture whose meaning was kept while everything else in it was changed"
    local names, series, values = {}, {}, {}
    for i = 1, 30 do names[i], values[i] = "perturbation number " .. i, i % 7 - 3 end
    for i = 1, 10 do series[i] = { name = "series " .. i, y = { i, i + 1 } } end
    local cases = {
      { "lines", { title = long .. long, note = long, x = { label = long }, y = { label = long }, series = {
        { name = long, y = { 1, 2 } }, { name = ("x"):rep(300), y = { 2, 3 } } } } },
      { "lines", { title = "ten", series = series } },
      { "lines", { title = "ends that meet", series = { { name = "a", y = { 1, 2 } }, { name = "b", y = { 2, 2 } },
        { name = "c", y = { 3, 2 } } } } },
      { "bars", { title = "thirty", categories = names, series = { { name = "one", values = values } } } },
      { "bars", { categories = { long, "adversarialtrainingwithprojectedgradientdescent", "x" },
        series = { { 1, 2, 3 } } } },
      { "bars", { series = { { -1.5, 2, -3 }, { 1, 1, 1 }, { 2, 3, 4 } },
        marker = { name = "paper", values = { 1, 2 } } } },
      { "heatmap", { values = { { 1, -2, 3 }, { 4, 5, 6 } }, rows = { long, "b" }, columns = { "a", long, "c" } } },
      { "scatter", { points = { { 1e-9, 1e9 }, { 3e-9, 2e9 } }, classes = { long, "b" }, x = { label = long } } },
      { "lines", { x = { log = true }, y = { log = true }, series = { { points = { { 1, 1e-6 }, { 1e7, 100 } } } } } },
      { "lines", { { 5 } } },
      { "lines", { { 0, 0 } } },
      { "bars", { { 0, 0 } } },
      { "points", { { 1e299, -1e299 } } },
      { "lines", { { 1e-300, 2e-300 } } },
      { "scatter", { points = { { 1e300, 1 }, { 0, 1e15 }, { 1, 1e15 + 1 } } } },
      { "bars", { { -3, -1, -2 }, categories = { "a", "b", "c" } } },
      { "bars", { values } },
      { "points", { y = { label = "accuracy (%)" }, categories = { "plain", "C" }, series = { { name = "ours",
        values = { interval(91, 0.6), interval(92, 0.8) } } }, marker = { name = "paper", values = { 92.4, 93 } } } },
      { "lines", { series = { { y = { 1e-7, 2.5e-7 } } }, x = { label = long }, title = long } },
      { "heatmap", { values = { { -1e5, 12345.6 } }, value = { label = long }, title = long } },
      { "images", { images = nn.zeros { 9, 40, 1, 1 }, across = 1, title = "narrow" } },
      { "images", { images = nn.zeros { 3, 4, 4, 3 }, labels = { long, "b", "c" }, columns = { "a", long, "c" },
        rows = { long } } },
    }
    for i, case in ipairs(cases) do
      for _, size in ipairs { "column", "page" } do
        local what = ("case %d, %s"):format(i, size)
        local options = with(case[2], { size = size })
        local svg = assert(plot.render(case[1], options, "svg"))
        check_xml(svg)
        check_places(svg, what)
        check_png(plot.render(case[1], options, "png"), what)
      end
    end
  end)

  with_gnuplot("never runs what a text says, and shows it as it is", function()
    local mark = folder .. "/pwned"
    local touch = "touch " .. mark
    local texts = {
      "`" .. touch .. "`", '"`' .. touch .. '`"', "'; system('" .. touch .. "'); '", "'.system('" .. touch .. "').'",
      "'';system('" .. touch .. "');''", "'''';!" .. touch, "a'b''c'''d''''", "$(" .. touch .. ")",
      "@touch ^x_y {/Bold b} &{z}",
      "back\\slash\\n \\'", "\"; !" .. touch, "%s %d %n 100 %", "#comment \\", "$data << END", "{ } [ ] ; , :",
      "<script>alert(1)</script> & &amp; ]]> <!-- -->", "日本語 ß €", "مرحبا שלום",
    }
    for k, kind in ipairs(KINDS) do
      -- all of them in two kinds, each in some of the others
      for i = kind == "lines" and 1 or k, #texts, (kind == "lines" or kind == "bars") and 1 or 4 do
        local hostile = texts[i]
        local options = with(samples()[kind], { title = hostile, note = hostile, size = { 900, 700 } })
        if kind ~= "images" then options.x, options.y = { label = hostile }, { label = hostile } end
        if options.categories then options.categories = { hostile, "b" } end
        if options.marker then options.marker = with(options.marker, { name = hostile }) end
        if options.names then options.names = { hostile, "b", "c" } end
        if options.rows then options.rows, options.columns = { hostile, "b" }, { hostile, "b" } end
        if options.labels then options.labels = { hostile, hostile, hostile, hostile } end
        for _, series in ipairs(options.series or {}) do series.name = hostile end
        local svg = assert(plot.render(kind, options, "svg"))
        check_xml(svg)
        assert.matches(hostile, unescaped(svg:match "<title>(.-)</title>"), 1, true)
        -- the title may be broken at its blanks
        assert.matches(hostile:gsub("%s+", " "), all_text(svg), 1, true)
        if i % 4 == 1 then
          local png = plot.render(kind, options, "png")
          -- where there is no font for a text, its boxes are larger than letters
          if not hostile:find "[\xC4-\xFF]" then check_png(png, kind .. ": " .. hostile) end
          if kind ~= "images" then assert(plot.render(kind, options, "text")) end
        end
      end
    end
    assert.is_false(file.exists(mark))
  end)

  with_gnuplot("makes text of anything", function()
    local texts = {
      "line\nbreak\r\n!x\rreturn", "nul\0 bell\7 \27[31mred\127", "\xff\xfe \xed\xa0\x80 \xc3", "",
      "\u{FFFF}\u{FFFE}\u{85}\u{2028}", "\u{202E}turned\u{202C}", ("x"):rep(300000), ("many words "):rep(30000),
    }
    for _, hostile in ipairs(texts) do
      local svg = assert(plot.render("lines", { title = hostile, note = hostile, y = { label = hostile }, series = {
        { name = hostile, y = { 1, 2 } }, { name = "b", y = { 2, 3 } } } }, "svg"))
      check_xml(svg)
      check_places(svg, "hostile")
      assert.truthy(#svg < 200000)
      assert.is_nil(svg:find("\u{202E}", 1, true))
      assert(plot.render("bars", { title = hostile, categories = { hostile }, series = { { 1 } } }, "text"))
    end
  end)

  with_gnuplot("draws 100,000 points: an SVG holds them as a picture", function()
    local points = nn.normal { 100000, 2 }
    local svg = plot.render("scatter", { points = points, size = "column" }, "svg")
    assert.truthy(#svg < 400000)
    assert.matches('<image [^>]*href="data:image/png;base64,', svg)
    assert.is_nil(svg:find("<use", 1, true), "no element for each point")
    check_png(plot.render("scatter", { points = points, size = "column" }, "png"), "scatter")
    local line = {}
    for i = 1, 100000 do line[i] = math.sin(i / 1000) end
    assert.truthy(#plot.render("lines", { line }, "svg") < 200000)
  end)

  with_gnuplot("keeps the extremes of a line of many points", function()
    local line = {}
    for i = 1, 50000 do line[i] = 0 end
    line[31234], line[777] = 9, -4
    local svg = plot.render("lines", { { y = line } , y = { min = -5, max = 10 }, size = { 800, 600 } }, "svg")
    local low, high, line_path = -math.huge, math.huge, ""
    for path in svg:gmatch "d='(M[^']*)'" do
      if #path > #line_path then line_path = path end
    end
    for y in line_path:gmatch "[%d.]+,([%d.]+)" do
      low, high = math.max(low, tonumber(y)), math.min(high, tonumber(y))
    end
    local at = {} -- where the axis has its numbers
    for _, box in ipairs(texts_of(svg)) do at[box.text] = box.y1 end
    assert.near(13 / 10, (low - high) / (at["0"] - at["10"]), 0.01)
  end)

  with_gnuplot("shows pixels as they are", function()
    local checks = nn.tensor { { { 0 }, { 1 } }, { { 1 }, { 0 } } }
    local bytes = plot.render("images", { images = { checks }, size = { 300, 300 } }, "png")
    local picture = image.decode(bytes, { channels = 1 })
    -- white, black | white, white | black, white: the values along a row and the next below
    local seen = {}
    for _, row in ipairs { 40, 120 } do
      for _, column in ipairs { 40, 120 } do seen[#seen + 1] = picture:get(row, column, 1) end
    end
    assert.same({ 0, 255, 255, 0 }, seen)
    -- a map of more cells than rectangles are drawn for
    local rows = {}
    for i = 1, 100 do
      rows[i] = {}
      for j = 1, 100 do rows[i][j] = i > 50 and 1 or 0 end
    end
    local map = plot.render("heatmap", { values = rows, map = "viridis" }, "svg")
    assert.matches("<image ", map, 1, true)
    local decoded = image.decode(plot.render("heatmap", { values = rows, map = "viridis", size = { 400, 400 } }, "png"))
    assert.same({ 0x44, 0x01, 0x54 }, { decoded:get(200, 300, 1), decoded:get(200, 300, 2), decoded:get(200, 300, 3) })
    assert.same({ 0xFD, 0xE7, 0x25 }, { decoded:get(600, 300, 1), decoded:get(600, 300, 2), decoded:get(600, 300, 3) })
  end)

  with_gnuplot("makes large pictures no larger than paper can show", function()
    local svg = plot.render("images", { images = nn.zeros { 1, 600, 900, 3 }, across = 4, size = { 400, 300 } }, "svg")
    local data = svg:match "base64,([^\"]*)"
    assert.truthy(#data < 10000)
  end)

  with_gnuplot("gives a heat map two directions when the values have them", function()
    local function first_colour(options)
      local r, g, b = plot.render("heatmap", options, "svg"):match "<polygon fill = 'rgb%( *(%d+), *(%d+), *(%d+)%)'"
      return { tonumber(r), tonumber(g), tonumber(b) }
    end
    assert.same({ 5, 48, 97 }, first_colour { values = { { -2, 0, 1 } } })       -- the blue end
    assert.same({ 255, 255, 217 }, first_colour { values = { { 2, 3, 4 } } })    -- the light end
    assert.same({ 255, 255, 217 }, first_colour { values = { { 2, 3, 4 } }, value = { min = 3, max = 4 } })
  end)

  with_gnuplot("draws in text, as wide as was said", function()
    for _, kind in ipairs { "lines", "bars", "points", "scatter", "heatmap" } do
      local text = assert(plot.render(kind, samples()[kind], "text"))
      assert.is_nil(text:find("\27", 1, true))
      assert.is_nil(text:find("\f", 1, true))
      assert.matches(samples()[kind].title, text, 1, true)
      for line in text:gmatch "[^\n]+" do assert.truthy(utf8.len(line) <= 110) end
    end
    local run = program.shell([[COLUMNS=60 "$PENUMBRA" -e 'plot = require "plot"
      print(plot.lines{ { 1, 4, 2 }, { 2, 1, 3 }, title = "two" })']])
    assert.equal(0, run.code, run.err)
    assert.matches("^two\n", run.out)
    assert.matches("\n\n$", run.out) -- nothing is returned: print adds an empty line
    for line in run.out:gmatch "[^\n]+" do assert.truthy(utf8.len(line) <= 60) end
  end)

  with_gnuplot("draws in a terminal as it can", function()
    local function seen(environment, code)
      local run = program.shell(("unset NO_COLOR COLORTERM; TERM=xterm %s %s 30 70 \"$PENUMBRA\" -e %s"):format(
        environment, program.quote(program.path:match "^(.*)/" .. "/tests/terminal"), program.quote(code)),
        "end 20 0\nplain")
      if run.code == 77 then pending(run.err) end
      assert.equal("", run.err)
      return run.out
    end
    local bars = 'require "plot".bars{ { 1, 4, 2 }, title = "three" }'
    local text = seen("PENUMBRA_GRAPHICS=blocks", bars)
    assert.matches("\27%[38;5;%d+m█", text)
    assert.matches("three", text, 1, true)
    assert.matches("\27%[38;2;0;114;178m█", seen("COLORTERM=truecolor PENUMBRA_GRAPHICS=blocks", bars))
    assert.is_nil(seen("NO_COLOR=1 PENUMBRA_GRAPHICS=blocks", bars):find("\27", 1, true))
    assert.matches("\27_Ga=T,f=100", seen("PENUMBRA_GRAPHICS=kitty", bars), 1, true)
    assert.matches("\27P0;1q", seen("PENUMBRA_GRAPHICS=sixel", bars), 1, true)
    local pictures = 'require "plot".images{ images = require "nn".ones { 2, 4, 4, 3 }, columns = { "one", "two" } }'
    local shown = seen("COLORTERM=truecolor PENUMBRA_GRAPHICS=blocks", pictures)
    assert.matches("38;2;255;255;255;48;2;255;255;255m▀▀▀▀", shown, 1, true)
    assert.matches("one +two", shown)
  end)

  with_gnuplot("is the same every time", function()
    for _, kind in ipairs(KINDS) do
      local options = samples()[kind]
      assert.equal(plot.render(kind, options, "svg"), plot.render(kind, samples()[kind], "svg"))
    end
  end)

  with_gnuplot("says where it could not write", function()
    assert(file.write(folder .. "/plain-file", "x"))
    local written, message, code = plot.bars(with(samples().bars, { path = folder .. "/plain-file/x" }))
    assert.is_nil(written)
    assert.matches("plain-file", message, 1, true)
    assert.equal("io", code)
  end)

  it("says that gnuplot is missing, hangs or fails", function()
    local script = [[
      local plot = require "plot"
      require "plot.gnuplot".patience = 0.5
      print(plot.lines{ { 1, 2 }, path = "none/x" })
      print(plot.render("bars", { { 1, 2 } }, "svg"))
    ]]
    local function with_program(text)
      local path = folder .. "/gnuplot"
      assert(file.write(path, "#!/bin/sh\n" .. text .. "\n"))
      os.execute("chmod +x " .. path)
      return program.shell(("PENUMBRA_GNUPLOT=%s \"$PENUMBRA\" -e %s"):format(path, program.quote(script)))
    end
    local missing = program.shell("PENUMBRA_GNUPLOT=/nowhere/gnuplot \"$PENUMBRA\" -e " .. program.quote(script))
    assert.equal(("nil\tcharts need gnuplot, which is not installed\tmissing\n"):rep(2), missing.out)
    local hung = with_program "exec sleep 60"
    assert.equal("nil\tnone/x.svg: gnuplot had not finished after 0.5 seconds and was ended\tio\n"
      .. "nil\tgnuplot had not finished after 0.5 seconds and was ended\tio\n", hung.out)
    local silent = with_program "cat > /dev/null; printf 'here\\n  line 3: bad word\\n' >&2; exit 1"
    assert.matches("^nil\tnone/x.svg: gnuplot failed: +line 3: bad word\tio\n", silent.out)
    lfs.rmdir "none"
  end)

  it("checks its options", function()
    local function refuses(message, kind, options)
      assert.error_matches(function() plot.render(kind, options, "svg") end, message, 1, true)
    end
    refuses('plot.bars: unknown option "titel"; did you mean "title"', "bars", { titel = "x" })
    refuses("plot.lines: series is required", "lines", { path = "x" })
    refuses("plot.lines: series[1]: y: expected a number, an Interval or false at place 2, got a string", "lines",
      { series = { { y = { 1, "x" } } } })
    refuses("plot.lines: series[1]: as many x as y expected, got 1 and 2", "lines",
      { series = { { x = { 1 }, y = { 1, 2 } } } })
    refuses('plot.lines: series[1]: unknown option "nam"; did you mean "name"?', "lines", { series = { { nam = 1 } } })
    refuses("plot.lines: x: a logarithmic axis has no place for min = 0", "lines",
      { { 1 }, x = { log = true, min = 0 } })
    refuses("plot.lines: y: min must be below max", "lines", { { 1, 2 }, y = { min = 3, max = 1 } })
    refuses("plot.bars: bars stand on zero; use points on a logarithmic axis", "bars", { { 1 }, y = { log = true } })
    refuses("plot.bars: series[1]: values: expected at most 1, as there are categories, got 2", "bars",
      { categories = { "a" }, series = { { values = { 1, 2 } } } })
    refuses("plot.scatter: classes: expected 2, as there are points, got 1", "scatter",
      { points = { { 1, 2 }, { 3, 4 } }, classes = { 1 } })
    refuses("plot.scatter: points or series are required", "scatter", {})
    refuses("plot.heatmap: rows: expected 2 names, got 1", "heatmap", { values = { { 1 }, { 2 } }, rows = { "a" } })
    refuses("plot.images: images: expected a picture [H x W x C] of uint8 or float at place 1, got 3", "images",
      { images = { 3 } })
    refuses("at row 2, place 1, got [4x4x2] of float", "images",
      { images = { { nn.zeros { 4, 4, 3 } }, { nn.zeros { 4, 4, 2 } } } })
    refuses("plot.images: pictures have no axes", "images", { images = { nn.zeros { 4, 4 } }, x = { label = "x" } })
    refuses("plot.bars: x: the axis has its categories, and no max", "bars", { { 1 }, x = { max = 3 } })
    refuses("plot.heatmap: y: the axis has its rows, and no log", "heatmap", { values = { { 1 } }, y = { log = true } })
    refuses('plot.render: unknown kind of chart "bar"; did you mean "bars"?', "bar", {})
    assert.error_matches(function() plot.render("bars", { 1 }, "gif") end, 'expected "svg", "png" or "text", got "gif"',
      1, true)
    local _, message = pcall(function() plot.lines { { 1 }, size = "colum" } end)
    assert.matches("plot_spec.lua:%d+: plot.lines: size expects one of", message) -- at the user's line
  end)

  with_gnuplot("says when there is no room", function()
    local bytes, message, code = plot.render("lines", { { 1, 2 }, size = { 100, 100 }, title = ("word "):rep(50),
      y = { label = "y" } }, "svg")
    assert.same({ nil, "no room for the data between the labels on a picture of 100 x 100", "argument" },
      { bytes, message, code })
  end)
end)

describe("ticks", function()
  local function texts(list)
    local out = {}
    for i, tick in ipairs(list) do out[i] = tick.text end
    return table.concat(out, " ")
  end

  it("stand at round numbers", function()
    assert.equal("0 0.5 1.0 1.5 2.0", texts(ticks.linear(0, 2.1, 5)))
    assert.equal("−10 −5 0 5 10", texts(ticks.linear(-11, 12, 5)))
    assert.equal("1 2 3", texts(ticks.linear(0.9, 3.1, 10, true)))
    assert.equal("0 20,000 40,000", texts(ticks.linear(0, 50000, 3)))
    assert.equal("0 10⁹ 2×10⁹", texts(ticks.linear(0, 2.5e9, 3)))
    assert.equal("0 5×10⁻⁸ 10⁻⁷ 1.5×10⁻⁷", texts(ticks.linear(0, 1.6e-7, 4)))
    assert.equal("", texts(ticks.linear(1, 1, 5)))
    assert.equal("", texts(ticks.linear(1e17, 1e17 + 16, 5)))
  end)

  it("of a logarithmic axis are powers of ten", function()
    assert.equal("0.001 0.01 0.1 1 10", texts(ticks.log(0.001, 20, 6)))
    assert.equal("1 2 5 10 20", texts(ticks.log(0.9, 30, 8)))
    assert.equal("10⁻⁶ 0.001 1 1000 10⁶", texts(ticks.log(1e-6, 1e6, 5)))
    assert.equal("2 3 4", texts(ticks.log(1.9, 4.5, 4)))
  end)
end)

describe("file", function()
  it("writes whole files, makes folders, splits paths", function()
    local base = os.tmpname()
    os.remove(base)
    assert(file.make_folder(base .. "/a/b"))
    assert(file.make_folder(base .. "/a/b"))
    assert(file.write(base .. "/a/b/x.json", "one"))
    assert(file.write(base .. "/a/b/x.json", "two"))
    assert.equal("two", file.read(base .. "/a/b/x.json"))
    assert(file.append_line(base .. "/a/b/x.json", "three"))
    assert.equal("twothree\n", file.read(base .. "/a/b/x.json"))
    local ok, message, code = file.write(base .. "/none/x", "y")
    assert.is_nil(ok)
    assert.matches("none", message)
    assert.equal("io", code)
    assert.is_nil((file.make_folder(base .. "/a/b/x.json/c")))
    os.execute("rm -r '" .. base .. "'")
    assert.same({ "a/b", "c.lua" }, { file.split("a/b/c.lua") })
    assert.same({ "", "c" }, { file.split("c") })
    assert.equal("table4", file.stem("scripts/table4.lua"))
    assert.equal(".hidden", file.stem(".hidden"))
  end)
end)
