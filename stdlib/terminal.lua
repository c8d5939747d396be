local host = require "host"
local M = {}
function M.width() return host.terminal_size() or 80 end
return M
