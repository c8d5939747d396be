--- `penumbra data list | info NAME | import PATH | get NAME`: the data sets there are, and how to have more.
local cards = require "data.cards"
local command = require "command"
local data = require "data"
local file = require "file"
local find = require "data.find"
local get = require "data.get"
local json = require "json"
local lfs = require "lfs"
local nn = require "nn"
local places = require "places"
local progress = require "progress"
local sources = require "data.sources"
local spec = require "spec"
local text = require "text"
local unpack = require "data.unpack"

local format, concat, sort = string.format, table.concat, table.sort

-- A failure that is told in one line and ends the command; code 2 is for a wrong command line.
local function fail(code, ...)
  error({ code = code, message = format(...) }, 0)
end

local function must(ok, message)
  if not ok then fail(1, "%s", message) end
  return ok
end

local function say(...)
  io.stdout:write(format(...), "\n")
end

local function user_folder()
  return must(places.data(), "no place for data sets: HOME is not set")
end

local function is_folder(path)
  return lfs.attributes(path, "mode") == "directory"
end

local function source_bytes(source)
  local bytes = 0
  for _, part in ipairs(source.files or {}) do bytes = bytes + part.size end
  return bytes
end

-- ---- list ----

-- The names in a folder, in order; none when it is not there.
local function names_in(folder)
  local names = {}
  if not is_folder(folder) then return names end
  for name in lfs.dir(folder) do
    if name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  sort(names)
  return names
end

-- Every data set below the folders that names are looked for in; the first of a name is the one that counts.
local function found_sets()
  local found = {}
  for _, folder in ipairs(find.folders()) do
    for _, name in ipairs(names_in(folder)) do
      if not found[name] and is_folder(folder .. "/" .. name) then found[name] = find.locate(folder .. "/" .. name) end
    end
  end
  return found
end

-- What a set without a card is.
local function kind_of(set)
  return set.kind == "archive" and "an archive" or find.kinds[set.kind].about
end

local function list()
  local found, rows = found_sets(), {}
  for _, name in ipairs(spec.names(found)) do
    local set = found[name]
    local card = cards.of(set.path)
    local problem = not set.corruptions and set.wrong or set.missing and "incomplete: " .. set.missing .. " is missing"
    rows[#rows + 1] = { name, card and card.title or kind_of(set), problem or set.path }
  end
  for _, name in ipairs(spec.names(sources)) do
    local source, card = sources[name], cards.list[name]
    if not found[name] then
      rows[#rows + 1] = { name, card and card.title, source.files
        and format("penumbra data get %s (%s)", name, text.bytes(source_bytes(source)))
        or format("penumbra data get %s says how to have it", name) }
    end
  end
  say("%s", text.table({ "name", { title = "what", align = "left" }, { title = "where", align = "left" } }, rows))
end

-- ---- get ----

local function known_source(name)
  local _, known = cards.find(name)
  if not sources[name] then name = known or name end
  if not sources[name] then
    fail(2, 'no source is known of "%s"%s', name, spec.suggest(name, spec.names(sources)))
  end
  return sources[name], name
end

-- One of the source's files, into the folder where downloads wait.
local function download(part, waiting, options)
  local target = waiting .. "/" .. part.name
  if file.exists(target) then return nil end
  local urls = part.urls
  if options.from then urls = { (options.from:gsub("/*$", "/")) .. part.name } end
  local result = must(get.file { urls = urls, target = target, sha256 = part.sha256, size = part.size,
                                 quiet = options.quiet })
  say("%s: %s from %s%s, SHA-256 %s", part.name, text.bytes(result.bytes), result.url,
    result.resumed > 0 and format(" (%s of them from before)", text.bytes(result.resumed)) or "",
    part.sha256 and "as published" or result.sha256 .. ", not verified: none is published")
  return { name = part.name, url = result.url, bytes = result.bytes, sha256 = result.sha256,
           verified = part.sha256 ~= nil }
end

local function get_all(source, waiting, options)
  local record = json.read(waiting .. "/download.json")
  record = type(record) == "table" and record or {}
  for _, part in ipairs(source.files) do
    record[part.name] = download(part, waiting, options) or record[part.name]
    must(file.write(waiting .. "/download.json", json.encode(record, { pretty = true }) .. "\n"))
  end
end

-- Downloads wait in a folder of their own until the set is complete; then the folder, or what the archive held, gets
-- the set's name.
local function get_set(options)
  local source, name = known_source(options.name)
  if source.by_hand then fail(1, "%s cannot be downloaded without an agreement\n%s", name, source.by_hand) end
  if options.from and not options.from:find "^https?://" then
    fail(2, "--from expects an http or https URL, got %s", spec.shown(options.from))
  end
  local folder = user_folder() .. "/" .. name
  if file.exists(folder) then
    say("%s is there already: %s", name, folder)
    return
  end
  if source.terms and not options.accept then
    fail(1, "%s\n  To accept this and download: penumbra data get %s --accept", source.terms, name)
  end
  local waiting = user_folder() .. "/.downloads/" .. name
  must(file.make_folder(waiting))
  local ok, problem = pcall(get_all, source, waiting, options)
  if not ok then
    os.remove(waiting) -- only goes when nothing waits in it
    os.remove((file.split(waiting)))
    error(problem, 0)
  end
  local archive = source.files[1].unpack and source.files[1].name
  if archive then
    must(unpack.into(waiting .. "/" .. archive, folder, options))
    must(os.rename(waiting .. "/download.json", folder .. "/download.json"))
    must(file.remove_folder(waiting))
  else
    must(os.rename(waiting, folder))
  end
  os.remove((file.split(waiting)))
  say("%s: %s", name, folder)
end

-- ---- import ----

local MOST_DEPTH <const> = 64

-- The files below a folder, links followed: { { path below it, bytes }, ... } and their bytes together.
local function files_below(folder)
  local files, bytes = {}, 0
  local function visit(below, depth)
    if depth > MOST_DEPTH then fail(1, "%s%s: folders nested more than %d deep", folder, below, MOST_DEPTH) end
    for name in lfs.dir(folder .. below) do
      local path = below .. "/" .. name
      local about = name ~= "." and name ~= ".." and lfs.attributes(folder .. path)
      if about and about.mode == "directory" then
        visit(path, depth + 1)
      elseif about and about.mode == "file" then
        files[#files + 1] = { path, about.size }
        bytes = bytes + about.size
      end
    end
  end
  visit("", 0)
  return files, bytes
end

local function copy_file(from, to, step)
  local input = must(io.open(from, "rb"))
  local output <close> = must(io.open(to, "wb"))
  local reading <close> = input
  while true do
    local block, message = reading:read(1 << 20)
    if not block then
      if message then fail(1, "%s: %s", from, message) end
      break
    end
    local ok
    ok, message = output:write(block)
    if not ok then fail(1, "%s: %s", to, message) end
    step(#block)
  end
  must(output:flush())
end

local function copy_folder(from, to, options)
  local files, bytes = files_below(from)
  local above = file.split(to)
  local free = must(nn.free_bytes(above))
  if bytes > free then
    fail(1, "%s: no space: %s bytes are needed, %s are free", above, text.count(bytes), text.count(free))
  end
  if not options.quiet then
    io.stderr:write(format("%s: %s in %s, to %s\n", from, text.bytes(bytes), text.plural(#files, "file"), to))
  end
  local part = file.temporary(to)
  local bar = progress.new { label = "copying", total = bytes / 1e6, unit = "MB", quiet = options.quiet }
  local done = 0
  local ok, problem = pcall(function()
    must(file.make_folder(part))
    for _, entry in ipairs(files) do
      must(file.make_folder((file.split(part .. entry[1]))))
      copy_file(from .. entry[1], part .. entry[1], function(size)
        done = done + size
        bar:update(done / 1e6)
      end)
    end
    must(os.rename(part, to))
  end)
  bar:finish()
  if not ok then
    file.remove_folder(part)
    error(problem, 0)
  end
end

local function check_recognised(path, folder)
  local found = find.locate(folder)
  if not found then
    fail(1, "%s: no data set is recognised in it", path)
  elseif found.missing or found.wrong then
    fail(1, "%s", found.wrong or found.missing .. " is missing")
  end
end

local function import(options)
  local path = options.path:gsub("(.)/+$", "%1")
  local mode, message = lfs.attributes(path, "mode")
  if not mode then fail(1, "%s", (message:gsub("^cannot obtain information from file '(.-)'", "%1"))) end
  local packed = mode == "file" and unpack.stem(path)
  if mode ~= "directory" and not packed then
    fail(1, "%s: expected a folder or an archive (.zip, .tar, .tar.gz)", path)
  end
  local name = options.name or packed or select(2, file.split(path))
  if name:find "/" or name:find "^%." or name == "" then
    fail(2, "--name expects a plain name, got %s", spec.shown(name))
  end
  local folder = user_folder() .. "/" .. name
  if file.exists(folder) then fail(1, "%s is there already; --name gives it another name", folder) end
  must(file.make_folder(user_folder()))
  if packed then
    must(unpack.into(path, folder, options))
    local ok, problem = pcall(check_recognised, path, folder)
    if not ok then
      file.remove_folder(folder)
      error(problem, 0)
    end
  else
    check_recognised(path, path:find "/" and path or "./" .. path)
    copy_folder(path, folder, options)
  end
  say("%s: %s", name, folder)
end

-- ---- info ----

local function numbers(values)
  local shown = {}
  for i, value in ipairs(values) do shown[i] = format("%.4f", value) end
  return concat(shown, " ")
end

local function field(name, ...)
  say("%-11s%s", name, text.wrap(format(...), 109, (" "):rep(11)))
end

local function show_card(card)
  say("%s: %s", card.title, card.about)
  field("origin", "%s", card.origin)
  field("licence", "%s", card.licence)
  local counts = {}
  for _, which in ipairs { "train", "test" } do
    if card.counts[which] then counts[#counts + 1] = format("%s %s", text.count(card.counts[which]), which) end
  end
  field("published", "%s images, %s classes", concat(counts, " and "), text.count(card.counts.classes))
end

local function show_set(set, card)
  field("here", "%s", set.folder)
  for _, which in ipairs { "train", "validation", "test" } do
    if set[which] then field("", "%s", set[which]:describe()) end
  end
  local published = card and card.published
  if set.train then
    for _, what in ipairs { "mean", "std" } do
      field(what, "%s%s", numbers(set.stats[what]), published and format(", published %s (%s)",
        numbers(published[what]), published.source) or "")
    end
  end
  for i, line in ipairs(card and cards.compare(set, card) or {}) do
    field(i == 1 and "differs" or "", "%s", line)
  end
end

local function info(options)
  local name = options.name
  local card, known = cards.find(name)
  local source = sources[known or name]
  local found = find.locate(name)
  if not found and not card and not source then
    local _, problem = pcall(data.open, name)
    fail(1, "%s", (problem:gsub("^data%.open: ", "")))
  end
  if not card and found then card = cards.of(found.path) end
  if card then show_card(card) end
  if source and source.terms then field("terms", "%s", source.terms) end
  if source and source.files then
    field("source", "%s, %s", source.files[1].urls[1]:match "^(.*/)", text.bytes(source_bytes(source)))
  end
  if not found then
    say("%s", source and source.by_hand or "not here; penumbra data get " .. (known or name))
    return
  end
  if found.corruptions then
    field("here", "%s", found.folder)
    field("holds", "%s", concat(found.corruptions, ", "))
    return
  end
  local ok, set = pcall(data.open, name)
  local problem = set
  if ok then ok, problem = pcall(show_set, set, card) end
  if not ok then fail(1, "%s", (tostring(problem):gsub("^data%.open: ", ""))) end
end

-- ---- the command's words ----

local function describe(parser)
  parser:command_target "command"
  parser:command("list", "What is here and what can be had.")
  parser:command("info", "All that is known of one, with its statistics."):argument("NAME", "A name or a path.")
    :target "name"
  local importing = parser:command("import", "Copy or unpack one into your data folder.")
  importing:argument("PATH", "A folder, or an archive (.zip, .tar, .tar.gz)."):target "path"
  importing:option("--name", "What it will be called; by default as the folder or archive is."):argname "NAME"
  importing:flag("--quiet", "Show no progress.")
  local getting = parser:command("get", "Download one into your data folder.")
  getting:argument("NAME", "A name of the list."):target "name"
  getting:option("--from", "Another place that has the same files: a URL."):argname "URL"
  getting:flag("--accept", "Accept the terms that it comes with.")
  getting:flag("--quiet", "Show no progress.")
end

local actions = { list = list, info = info, import = import, get = get_set }

-- What `fail` raised ends in one line.
local function act(options)
  local ok, problem = pcall(actions[options.command], options)
  if ok then return 0 end
  if type(problem) ~= "table" or not problem.code then error(problem, 0) end
  return command.fail("data " .. options.command, problem.message, problem.code)
end

return { about = "Data sets: what is here, and how to have more.", describe = describe, act = act }
