--- A report: one HTML page about one run, many runs or a study, made from their folders alone. The page holds
--- everything in itself (pictures, style) and asks for nothing else: no scripts, no fonts, no network.
---
--- What was found comes first, then the charts, then what was asked and all that is needed to repeat it.
local file = require "file"
local html = require "report.html"
local read = require "report.read"
local result = require "report.result"
local details = require "report.details"
local robustness = require "report.robustness"
local spec = require "spec"
local style = require "report.style"
local subject = require "report.subject"

local M = {}

local tag = html.tag
local format = string.format

local CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
  .. "form-action 'none'"

local function notices(list)
  if #list == 0 then return nil end
  local items = {}
  for i, notice in ipairs(list) do items[i] = tag.li { notice } end
  return tag.div { class = "notices", role = "note", ["aria-labelledby"] = "care",
    tag.h2 { id = "care", "Read with care" }, tag.ul(items) }
end

local function contents(sections)
  local items = {}
  for i, section in ipairs(sections) do items[i] = tag.li { tag.a { href = "#" .. section.id, section.title } } end
  return tag.nav { ["aria-label"] = "Contents", tag.ul(items) }
end

local function header(this)
  local meta = {}
  for _, entry in ipairs { this.scale and "scale " .. this.scale, this.count, this.written, this.program } do
    if entry then meta[#meta + 1] = entry end
  end
  return { tag.p { class = "kicker", this.kicker }, tag.h1 { this.title },
           this.about and tag.p { class = "lead", this.about }, tag.p { class = "meta", table.concat(meta, " · ") } }
end

local function page(this)
  local body = {}
  local sections = {}
  for _, section in ipairs { result.outcome, robustness.section, result.seeds, result.training, result.pictures,
                             details.asked, details.runs, details.repeating } do
    local made = section(this)
    if made then sections[#sections + 1] = made end
  end
  for i, section in ipairs(sections) do
    body[i] = tag.section { ["aria-labelledby"] = section.id, tag.h2 { id = section.id, section.title }, section }
  end
  return html.write {
    html.raw "<!DOCTYPE html>\n",
    tag.html { lang = "en",
      tag.head {
        tag.meta { charset = "utf-8" },
        tag.meta { ["http-equiv"] = "Content-Security-Policy", content = CONTENT_POLICY },
        tag.meta { name = "viewport", content = "width=device-width, initial-scale=1" },
        tag.meta { name = "referrer", content = "no-referrer" },
        tag.meta { name = "color-scheme", content = "light dark" },
        tag.title { this.title },
        tag.style { html.raw(style) },
      },
      tag.body {
        tag.div { class = "page",
          tag.header { header(this) },
          notices(this.notices),
          contents(sections),
          tag.main { body },
          tag.footer { tag.p { class = "meta", this.colophon } },
        },
      },
    },
    "\n",
  }
end

local fields = {
  title = spec.text { doc = "instead of the study's or the recipe's" },
  linked = spec.flag { default = false, doc = "with links to the pages of other runs, as from the folder of one" },
}

--- The page about the runs and studies in these folders. A folder that holds neither gives nil, message, code.
---
--- Example:
---     local page = report.page { "runs/table4-68498a7b" }
---@param folders string[]|string
---@param options? { title?: string, linked?: boolean }
---@return string? html, string? message, string? code
function M.page(folders, options)
  options = spec.check("report.page", options, fields)
  if type(folders) == "string" then folders = { folders } end
  if type(folders) ~= "table" or #folders == 0 then
    error("report.page: expected the folders of runs or studies, got " .. spec.shown(folders), 2)
  end
  local found = {}
  for i, folder in ipairs(folders) do
    local message, code
    found[i], message, code = read.folder(folder)
    if not found[i] then return nil, message, code end
  end
  return page(subject.new(found, options))
end

--- Writes the page about a run or a study into its folder, as report.html.
---
--- Example:
---     report.write "runs/none"  --> nil  runs/none: no such run or study  missing
---@param folder string
---@return string? path, string? message, string? code
function M.write(folder)
  local text, message, code = M.page({ folder }, { linked = true })
  if not text then return nil, message, code end
  local path = format("%s/report.html", (folder:gsub("(.)/+$", "%1")))
  local ok
  ok, message, code = file.write(path, text)
  if not ok then return nil, message, code end
  return path
end

return M
