--- `penumbra help [TOPIC]`.
local help = require "help"

local function describe(parser)
  parser:argument("topic", "What to explain; without it, the overview."):args "?"
end

local function act(options)
  local ok, found = pcall(help.text, options.topic)
  if not ok then
    io.stderr:write("penumbra: ", found, "\n")
    return 2
  end
  io.stdout:write(found)
  return 0
end

return { about = "What the program, its operations and modules do.", describe = describe, act = act }
