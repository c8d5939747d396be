--- Starts the program under test, the same one that runs these specs, and collects what it did.
local M = {}

local own = arg[-1]
--- The path of the program, whatever the current folder.
M.path = own:sub(1, 1) == "/" and own or require "lfs".currentdir() .. "/" .. own

--- A text as one word of the shell.
---@param word string
---@return string
function M.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function read_and_remove(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  os.remove(path)
  return text
end

--- Runs lines of shell in which $PENUMBRA is the program.
---@param lines string
---@param input? string  # standard input
---@return { code: integer, out: string, err: string }
function M.shell(lines, input)
  local out, err, stdin = os.tmpname(), os.tmpname(), os.tmpname()
  local file = assert(io.open(stdin, "wb"))
  file:write(input or "")
  file:close()
  local _, how, code = os.execute(("PENUMBRA=%s; {\n%s\n} > %s 2> %s < %s"):format(
    M.quote(M.path), lines, out, err, stdin))
  os.remove(stdin)
  if how == "signal" then code = 128 + code end
  return { code = code, out = read_and_remove(out), err = read_and_remove(err) }
end

--- Runs the program with these arguments.
---@param arguments string[]
---@param input? string
---@return { code: integer, out: string, err: string }
function M.run(arguments, input)
  local words = {}
  for i, word in ipairs(arguments) do words[i] = M.quote(word) end
  return M.shell('"$PENUMBRA" ' .. table.concat(words, " "), input)
end

--- A folder of files that exists while the function runs.
---@param files table<string, string>  # name in the folder (may contain slashes) -> text
---@param body fun(folder: string)
function M.with_files(files, body)
  local folder = os.tmpname()
  os.remove(folder)
  for name, text in pairs(files) do
    local path = folder .. "/" .. name
    assert(os.execute("mkdir -p " .. M.quote(path:match "^(.*)/")))
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end
  local ok, message = pcall(body, folder)
  os.execute("rm -rf " .. M.quote(folder))
  if not ok then error(message, 0) end
end

return M
