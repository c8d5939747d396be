--- `penumbra verify PACK`: repeats what a pack holds and compares. The exit code is 0 for the same, 1 for something
--- else, 2 when it cannot be told: a damaged pack, data that is not here, wrong usage.
local command = require "command"
local options_of = require "run.options"
local pack = require "pack"
local print_of = require "run.print"
local text = require "text"

local function describe(parser)
  parser:argument("PACK", "A file that penumbra pack has made."):target "pack"
  parser:option("--steps", "Repeat only the first N steps of training."):argname "N"
    :convert(options_of.count "--steps")
  parser:option("--out", "Keep the repeated runs in this folder."):argname "FOLDER"
  options_of.describe_allow(parser)
  parser:flag("--quiet", "Show no progress.")
  parser:epilog [=[
Examples:
  penumbra verify digits.penumbra
  penumbra verify digits.penumbra --steps 20

On a machine of the same type (version, vector unit, BLAS kernels, precision) all numbers must be
the same bits. On another, rounding makes training part soon: the terms of the loss up to step 10
must agree within 0.002 step^2 of their values (0.00001 in step 1), and the results within twice
their intervals.

The exit code is 0 when it is verified, 1 when something differs, 2 when it cannot be told.]=]
end

local function act(options)
  local ok, verdict, message = pcall(pack.verify, options.pack, {
    steps = options.steps, out = options.out, allow = options.allow, quiet = options.quiet,
    say = options_of.say })
  if not ok then
    if type(verdict) == "table" and verdict.exit then return command.fail("verify", "interrupted", verdict.exit) end
    error(verdict, 0)
  end
  if not verdict then return command.fail("verify", message, 2) end
  local line = (verdict.verified and "verified: " or "not verified: ") .. verdict.message
  local width = print_of.table_width()
  print(width and text.wrap(line, width, "  ") or line)
  return verdict.verified and 0 or 1
end

return { about = "Repeat what a pack holds, and compare.", describe = describe, act = act }
