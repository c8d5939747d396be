--- A long evaluation in a script: progress with the time left, Ctrl-C, a kill, and going on from either.
local program <const> = require "tests.cli.program"

local SCRIPT <const> = [[
local attack, data, models = require "attack", require "data", require "models"
local set = data.synthetic { classes = 4, side = 16, test = 96 }
local model = models.resnet8 { classes = 4, seed = 1 }
local list = { attack.pgd { eps = 2 / 255, iters = 20 }, attack.square { eps = 0.001, queries = 400 } }
local result = attack.evaluate { model = model, part = set, attack = list, batch = 8, out = arg[1] }
for _, row in ipairs(result.rows) do print(row.name, row.robust, row.forward, row.backward) end
]]

-- Starts the evaluation, and ends it by a signal once some rows are in its file. Then it is run again.
local function stopped_by(signal)
  local r
  program.with_files({ ["run.lua"] = SCRIPT }, function(folder)
    r = program.shell(([[
      cd %s
      "$PENUMBRA" run.lua > expected 2> /dev/null
      env --default-signal=INT "$PENUMBRA" run.lua rows.jsonl > first 2> err &
      program=$!
      for try in $(seq 400); do
        test "$(cat rows.jsonl 2> /dev/null | wc -c)" -gt 3000 && break
        sleep 0.02
      done
      kill -%s $program
      wait $program
      echo "code $?"
      cp rows.jsonl between.jsonl
      "$PENUMBRA" run.lua rows.jsonl > second && cmp expected second && echo same
      test "$(wc -c < between.jsonl)" -lt "$(wc -c < rows.jsonl)" && echo went on
      ls -A
      cat first err]]):format(folder, signal))
  end)
  return r
end

describe("an evaluation by attacks", function()
  it("that Ctrl-C stopped goes on where it was", function()
    local r = stopped_by "INT"
    assert.matches("code 130\nsame\nwent on\n", r.out, r.err)
    assert.matches("interrupted", r.out)
  end)

  it("that was killed goes on where it was, and leaves no other file", function()
    local r = stopped_by "KILL"
    assert.matches("code 137\nsame\nwent on\nbetween.jsonl\nerr\nexpected\nfirst\nrows.jsonl\nrun.lua\nsecond\n", r.out,
      r.err)
  end)
end)
