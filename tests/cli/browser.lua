--- A browser without a screen, for tests of pages: Chromium, spoken to through its DevTools pipe. It is told what it
--- shall look like (a phone, a dark room), opens one file, and tells what the page asked for and complained about.
local host = require "host"
local json = require "json"
local lfs = require "lfs"

local M = {}

--- The program, or nil where there is none.
---@return string?
function M.program()
  for _, name in ipairs { os.getenv "PENUMBRA_BROWSER" or "chromium", "chromium-browser", "google-chrome" } do
    if os.execute("command -v " .. name .. " > /dev/null 2>&1") == true then return name end
  end
end

local Browser = {}
Browser.__index = Browser

--- Starts it, with a profile that is removed when it is closed.
---@return table browser
function M.start()
  local profile = os.tmpname()
  os.remove(profile)
  assert(lfs.mkdir(profile))
  -- The pipe is expected on 3 and 4, one message after another with a zero byte behind each.
  local script = 'exec "$0" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run '
    .. '--disable-background-networking --user-data-dir="$1" --remote-debugging-pipe 3<&0 4>&1 > /dev/null 2>&1'
  local process = assert(host.spawn({ "/bin/sh", "-c", script, M.program(), profile },
    { stdin = "pipe", stdout = "pipe", stderr = "null" }))
  local self = setmetatable({ process = process, profile = profile, number = 0, kept = "", events = {} }, Browser)
  local target = self:call("Target.createTarget", { url = "about:blank" }).targetId
  self.session = self:call("Target.attachToTarget", { targetId = target, flatten = true }).sessionId
  for _, domain in ipairs { "Page", "Network", "Log", "Runtime" } do self:call(domain .. ".enable") end
  return self
end

-- The next message, within 30 s.
function Browser:message()
  while true do
    local whole, rest = self.kept:match "^(.-)%z(.*)$"
    if whole then
      self.kept = rest
      return assert(json.decode(whole))
    end
    local piece = self.process:read(30)
    if not piece or piece == "" then error "the browser says nothing" end
    self.kept = self.kept .. piece
  end
end

--- Calls a method of the protocol; gives its result.
---@param method string
---@param parameters? table
---@return table
function Browser:call(method, parameters)
  self.number = self.number + 1
  self.process:write(json.encode { id = self.number, method = method, params = parameters or {},
                                   sessionId = self.session } .. "\0")
  while true do
    local message = self:message()
    if message.id == self.number then
      if message.error then error(method .. ": " .. message.error.message) end
      return message.result
    end
    self.events[#self.events + 1] = message
  end
end

--- The value of an expression in the page.
---@param expression string
---@return any
function Browser:value(expression)
  local result = self:call("Runtime.evaluate", { expression = expression, returnByValue = true, awaitPromise = true })
  if result.exceptionDetails then error("the page: " .. json.encode(result.exceptionDetails)) end
  return result.result.value
end

--- Opens a file; gives what was asked for (addresses) and what was complained about.
---@param path string
---@param look { width: integer, height: integer, dark?: boolean, scale?: number }
---@return { requests: string[], complaints: string[] }
function Browser:open(path, look)
  self:call("Emulation.setDeviceMetricsOverride", { width = look.width, height = look.height,
    deviceScaleFactor = look.scale or 1, mobile = look.width < 600 })
  self:call("Emulation.setEmulatedMedia", { features = json.array { { name = "prefers-color-scheme",
    value = look.dark and "dark" or "light" } } })
  self.events = {}
  self:call("Page.navigate", { url = "file://" .. path:gsub("[^%w/._-]", function(c)
    return ("%%%02X"):format(c:byte())
  end) })
  local loaded = false
  local function look_at(list)
    for _, event in ipairs(list) do loaded = loaded or event.method == "Page.loadEventFired" end
  end
  look_at(self.events)
  while not loaded do
    local message = self:message()
    self.events[#self.events + 1] = message
    look_at { message }
  end
  self:value "document.fonts.ready.then(() => 1)" -- whatever the load event did not wait for
  local found = { requests = {}, complaints = {} }
  for _, event in ipairs(self.events) do
    if event.method == "Network.requestWillBeSent" then
      found.requests[#found.requests + 1] = event.params.request.url
    elseif event.method == "Log.entryAdded" then
      found.complaints[#found.complaints + 1] = event.params.entry.text
    elseif event.method == "Runtime.consoleAPICalled" or event.method == "Runtime.exceptionThrown" then
      found.complaints[#found.complaints + 1] = json.encode(event.params)
    end
  end
  return found
end

local digit = {}
for i, c in utf8.codes "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" do digit[c] = i - 1 end

-- The bytes of a text in base 64.
local function bytes_of(text)
  local out = {}
  for a, b, c, d in text:gmatch "(.)(.)(.)(.)" do
    local group = 0
    for _, x in ipairs { a, b, c, d } do group = group << 6 | (digit[x:byte()] or 0) end
    local three = string.char(group >> 16, group >> 8 & 255, group & 255)
    out[#out + 1] = three:sub(1, d ~= "=" and 3 or c ~= "=" and 2 or 1)
  end
  return table.concat(out)
end

--- A picture of what is seen (or of the whole page), as the bytes of a PNG.
---@param whole? boolean
---@return string
function Browser:picture(whole)
  return bytes_of(self:call("Page.captureScreenshot", { format = "png", captureBeyondViewport = whole or false,
    clip = whole and { x = 0, y = 0, scale = 1, width = self:value "document.documentElement.clientWidth",
                       height = self:value "document.documentElement.scrollHeight" } or nil }).data)
end

--- The page as it is printed, as the bytes of a PDF.
---@return string
function Browser:pdf()
  return bytes_of(self:call("Page.printToPDF", { preferCSSPageSize = true, paperWidth = 8.27, paperHeight = 11.69,
                                                 printBackground = true }).data)
end

--- Ends it and removes its profile.
function Browser:close()
  pcall(self.call, self, "Browser.close")
  if not self.process:wait(5) then
    self.process:kill(9)
    self.process:wait(5)
  end
  os.execute("rm -rf '" .. self.profile .. "'")
end

return M
