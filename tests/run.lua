--- Runs spec files with busted, inside penumbra: penumbra tests/run.lua tests/lua/json_spec.lua [busted options]
--- The results are TAP (tests/tap.lua), which scripts/dev/run-tests adds up.
local ok, runner = pcall(require, "busted.runner")
if not ok then
  io.stderr:write("tests/run.lua: busted is not there; scripts/dev/setup --check installs it\n")
  os.exit(1)
end
runner { standalone = false, output = "tests/tap.lua" }
