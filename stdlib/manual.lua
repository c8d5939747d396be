--- The manual page, penumbra(1): written from the commands' own parsers and from the help's topics.
---@package
local command = require "command"
local nn = require "nn"
local topics = require "help.topics"

local M = {}

local format, concat = string.format, table.concat

-- Text for troff: no line may begin with a dot or a quote, and a backslash or hyphen is meant as it stands.
local function plain(words)
  return (words:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1"):gsub("\n([.'])", "\n\\&%1"))
end

-- Words between backquotes are what one types.
local function prose(words)
  return (plain(words):gsub("`([^`\n]+)`", "\\fB%1\\fR"))
end

-- "  TERM   words" with later lines deeper, as the help's topics have them: { { term, words }, ... }.
local function terms_of(lines)
  local list = {}
  for line in lines:gmatch "[^\n]+" do
    local term, words = line:match "^  (%S.-)%s%s+(%S.*)$"
    -- A long term leaves one blank only.
    if not term then term, words = line:match "^  (%u[%u_, ]+) (%l.*)$" end
    if term then list[#list + 1] = { term, words }
    elseif #list > 0 and line:find "^   " then list[#list][2] = list[#list][2] .. " " .. line:match "^%s*(.-)$"
    end
  end
  return list
end

local function add_terms(out, list)
  for _, one in ipairs(list) do
    out[#out + 1] = ".TP"
    out[#out + 1] = "\\fB" .. plain(one[1]) .. "\\fR"
    out[#out + 1] = prose(one[2])
  end
end

-- An epilog: paragraphs, and lines that stand as they are because they begin with blanks.
local function add_epilog(out, epilog)
  local verbatim, begins = false, true
  for line in (epilog .. "\n"):gmatch "(.-)\n" do
    local indented = line:find "^  " ~= nil
    if indented ~= verbatim then
      out[#out + 1] = indented and ".PP\n.nf" or ".fi"
      verbatim, begins = indented, not indented
    end
    if line == "" then begins = true
    elseif indented then out[#out + 1] = plain(line)
    else
      if begins then out[#out + 1] = ".PP" end
      out[#out + 1], begins = prose(line), false
    end
  end
  if verbatim then out[#out + 1] = ".fi" end
end

local function add_elements(out, elements)
  for _, element in ipairs(elements) do
    local label = element:_get_label_lines()
    if not element._hidden and label[1] ~= "-h, --help" then
      out[#out + 1] = ".TP"
      out[#out + 1] = "\\fB" .. plain(concat(label, " ")) .. "\\fR"
      local words = element:_get_description()
      out[#out + 1] = words ~= "" and prose(words:sub(1, 1):upper() .. words:sub(2)) or "\\&"
    end
  end
end

local function usage_of(parser)
  return (parser:get_usage():gsub("^Usage: ", ""):gsub("%s*\n%s*", " "):gsub(" %[%-h%]", ""))
end

-- One command, and below it those it has itself.
local function add_parser(out, parser, about, level)
  out[#out + 1] = level == 1 and ".SS " .. plain(parser._name) or ".PP"
  out[#out + 1] = "\\fB" .. plain(usage_of(parser)) .. "\\fR"
  if about ~= "" then
    out[#out + 1] = level == 1 and ".PP" or ".br"
    out[#out + 1] = prose(about)
  end
  add_elements(out, parser._arguments)
  add_elements(out, parser._options)
  for _, sub in ipairs(parser._commands) do add_parser(out, sub, sub:_get_description(), level + 1) end
  if parser._epilog then add_epilog(out, parser._epilog) end
end

-- Paragraphs of a topic between two patterns.
local function part_of(topic, from, to)
  local begins = select(2, topic:find(from))
  local ends = begins and topic:find(to, begins)
  return begins and topic:sub(begins + 1, ends and ends - 1 or -1) or ""
end

--- The page, in troff's man macros.
--- Example:
---     manual.page():match "^%S+ %S+ %d"  --> .TH PENUMBRA 1
---@return string
function M.page()
  local out = {
    format('.TH PENUMBRA 1 "" "penumbra %s" "User Commands"', nn.version),
    ".nh", ".ad l", -- names and options are not to be broken or spread
    ".SH NAME", "penumbra \\- experiments on the semantic continuity of neural networks",
    ".SH SYNOPSIS",
    ".B penumbra", "[\\fIoptions\\fR] [\\fIscript\\fR [\\fIarguments\\fR]]", ".br",
    ".B penumbra", "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]",
    ".SH DESCRIPTION", prose((topics.overview:match "^(.-)\n\n")),
    ".PP", prose((topics.command:match "\n(A script gets.-)\n\n")),
    ".SH OPTIONS",
  }
  add_terms(out, terms_of(part_of(topics.command, "^[^\n]*\n\n", "\n\n")))
  out[#out + 1] = ".SH COMMANDS"
  for _, name in ipairs(command.names()) do
    local parser = assert(command.parser(name))
    add_parser(out, parser, require("commands." .. name).about, 1)
  end
  out[#out + 1] = ".SH ENVIRONMENT"
  add_terms(out, terms_of(topics.environment))
  out[#out + 1] = ".SH FILES"
  add_terms(out, {
    { "runs/", "The folders of runs, studies and sweeps, below the current folder unless --out names another." },
    { "~/.local/share/penumbra/recipes/", "Recipes that are found by name. $XDG_DATA_HOME moves it." },
    { "~/.local/share/penumbra/data/", "Data sets that were downloaded or imported." },
  })
  out[#out + 1] = ".SH EXIT STATUS"
  out[#out + 1] = prose((topics.command:match "\n(Exit codes: .-)\n*$"):gsub("^Exit codes: ", ""))
  out[#out + 1] = ".SH SEE ALSO"
  out[#out + 1] = prose("`penumbra help TOPIC` explains operations, layers and modules; "
    .. "`penumbra COMMAND --help` a command.")
  return concat(out, "\n") .. "\n"
end

return M
