--- Downloads: files that are checked, resumed, and shown with a bar while they come.
local file = require "file"
local nn = require "nn"
local progress = require "progress"
local spec = require "spec"
local text = require "text"

local M = {}

local fields = {
  urls = spec.list { spec.text { pattern = "^[Hh][Tt][Tt][Pp][Ss]?://", expects = "an http or https URL" }, min = 1,
                     required = true },
  target = spec.text { required = true },
  sha256 = spec.text { pattern = "^" .. ("%x"):rep(64) .. "$", expects = "64 hexadecimal digits" },
  size = spec.integer { min = 1 },
  quiet = spec.flag { default = false },
}

--- Downloads a file from the first of several places that has it. It gets its name when it is complete and its SHA-256
--- is right; a broken transfer is gone on with by the next call. Progress and failed places go to standard error.
---@param options { urls: string[], target: string, sha256?: string, size?: integer, quiet?: boolean }
---@return { bytes: integer, resumed: integer, sha256: string, url: string }? result, string? message, string? code
function M.file(options)
  options = spec.check("data.get.file", options, fields)
  local _, name = file.split(options.target)
  local message, code
  for i, url in ipairs(options.urls) do
    local bar
    local result
    result, message, code = nn.fetch {
      url = url, target = options.target, sha256 = options.sha256, size = options.size,
      progress = function(done, total)
        if not bar or bar.total ~= total / 1e6 then
          bar = progress.new { label = name, total = total / 1e6, unit = "MB", quiet = options.quiet }
        end
        bar:update(done / 1e6, nil, total == 0 and text.bytes(done) or nil)
      end,
    }
    if bar then bar:finish() end
    if result then
      result.url = url
      return result
    end
    if options.urls[i + 1] and not options.quiet then io.stderr:write(message, "; trying the next place\n") end
  end
  return nil, message, code
end

return M
