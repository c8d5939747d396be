--- `penumbra help [TOPIC]`, and what editors are told of it.
local command = require "command"
local help = require "help"

local function describe(parser)
  parser:argument("TOPIC", "What to explain; without it, the overview."):target "topic":args "?"
  parser:option("--stubs", "Write definitions for editors (LuaCATS) into this folder."):argname "FOLDER"
  parser:flag("--completion", "Print what makes bash complete the commands: eval \"$(penumbra help --completion)\".")
  parser:flag("--man", "Print the manual page, for man -l.")
end

local function act(options)
  if options.completion or options.man then
    io.stdout:write(options.man and require "manual".page() or require "completion".bash)
    return 0
  end
  if options.stubs then
    local count, message = require "help.stubs".write(options.stubs)
    if not count then return command.fail("help", message) end
    print(("%d files in %s"):format(count, options.stubs))
    return 0
  end
  local ok, found = pcall(help.text, options.topic)
  if not ok then
    io.stderr:write("penumbra: ", found, "\n")
    return 2
  end
  io.stdout:write(found)
  return 0
end

return { about = "What the program, its operations and modules do.", describe = describe, act = act,
         early = { ["--complete"] = function(words)
           io.stdout:write(require "completion".answer(words))
           return 0
         end } }
