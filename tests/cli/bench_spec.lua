--- `make bench`: its arguments, its cases, and one small case from end to end. Speeds are not tested, nor is the peer.
local json = require "json"
local nn = require "nn"
local models = require "models"
local program <const> = require "tests.cli.program"

-- Runs the bench without its peer; $OUT is a folder that exists while the lines run.
local function bench(arguments, after)
  return program.shell(('OUT=$(mktemp -d)\n"$PENUMBRA" scripts/bench/run.lua peers=no out="$OUT" %s; code=$?\n%s\n'
    .. 'rm -r "$OUT"; exit $code'):format(arguments, after or ":"))
end

local function last_line(text) return text:match "([^\n]*)\n$" end

describe("make bench", function()
  it("names the nearest case", function()
    local r = bench "case=lenet-trian"
    assert.equal(1, r.code)
    assert.equal('penumbra: bench: no case "lenet-trian"; did you mean "lenet-train"?\n', r.err)
  end)

  for argument, message in pairs {
    ["rouns=2"] = 'bench: unknown option "rouns"; did you mean "rounds"?',
    ["rounds=none"] = 'bench: rounds expects an integer of at least 1, got "none"',
    ["resnet18"] = "bench: key=value expected, got resnet18",
  } do
    it("refuses " .. argument, function()
      assert.same({ code = 1, out = "", err = "penumbra: " .. message .. "\n" }, bench(argument))
    end)
  end

  it("measures how long a start takes", function()
    local r = bench("case=startup rounds=3", 'cat "$OUT/bench-startup.json"')
    assert.equal(0, r.code, r.err)
    assert.matches("\npenumbra %-e ''%s+[%d.]+%s+[%d.]+%s+[%d.]+%s+3\n", r.out)
    local kept = json.decode(r.out:match "\n(%[.*%])\n$")
    assert.is_true(kept[1].lowest_ms > 0 and kept[1].lowest_ms <= kept[1].median_ms)
  end)

  it("has cases of different names, of models there are", function()
    local seen, known = {}, { none = true }
    for _, name in ipairs(models.names()) do known[name] = true end
    for _, case in ipairs(dofile "scripts/bench/cases.lua") do
      assert.is_nil(seen[case.name])
      seen[case.name] = true
      assert.is_true(known[case.network], case.name)
    end
  end)

  it("measures, keeps the result, and shows it again", function()
    local r = bench("case=lenet-train batch=2 rounds=1 seconds=0",
      'cat "$OUT/bench.json" "$OUT/bench-table.json"; "$PENUMBRA" scripts/bench/run.lua case=table out="$OUT"')
    assert.equal(0, r.code, r.err)
    -- bench.json has a line for each turn: a second one where the first round was noisy.
    local table_once, turns, kept, table_again = r.out:match "^(.-\n)({.*})\n({[^\n]*})\n(.*)$"
    assert.matches("LeNet.*batch 2, 2 threads.*\npenumbra +[%d.]+ ", table_once)
    assert.equal(table_once, table_again)
    local turn = json.decode(turns:match "^[^\n]*")
    assert.same({ "lenet-train", "penumbra", 1, 2 }, { turn.case, turn.program, turn.round, turn.batch })
    assert.is_true(turn.steps >= 1 and turn.ms >= turn.ms_min and turn.ms_min > 0)
    local result = json.decode(kept)["lenet-train"]
    local taken = result.rounds > 1  -- else the figure is that of one of the turns
    for line in turns:gmatch "[^\n]+" do taken = taken or json.decode(line).ms == result.programs[1].ms end
    assert.is_true(taken)
    assert.is_true(result.programs[1].gflops > 0 and result.programs[1].share > 0)
    -- conv1 28^2 6 (25), conv2 10^2 16 (6 25), then 400 120 + 120 84 + 84 10 multiply-adds for an image; three products
    -- of each layer but the first, which has two.
    local first, rest = 28 ^ 2 * 6 * 25, 10 ^ 2 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert.equal(2 * 2 * (2 * first + 3 * rest), result.flops)
  end)

  it("attacks and trains on what it found", function()
    if nn.info().allocator ~= "caching" then return pending "takes many minutes in the sanitizers' build" end
    local r = program.shell 'echo 0 | "$PENUMBRA" scripts/bench/work.lua resnet18-adversarial batch=1'
    assert.equal(0, r.code, r.err)
    assert.equal(1, json.decode(last_line(r.out)).steps)
  end)

  it("jitters colours", function()
    local r = bench "case=jitter batch=2 rounds=1 seconds=0"
    assert.equal(0, r.code, r.err)
    assert.matches("\npenumbra +[%d.]+ ", r.out)
  end)

  it("prepares images, where there are some", function()
    if (os.getenv "PENUMBRA_DATA" or "") == "" then return pending "PENUMBRA_DATA is not set" end
    for _, case in ipairs { "batches", "decode-scaled", "centre" } do
      local r = bench(("case=%s batch=4 rounds=1 seconds=0"):format(case))
      assert.equal(0, r.code, r.err)
      if not r.err:find "is left out" then assert.matches("batch 4, 1 threads.*\npenumbra +[%d.]+ ", r.out) end
    end
  end)

  it("says which data is not there", function()
    local r = program.shell [[OUT=$(mktemp -d)
      PENUMBRA_DATA=/nowhere "$PENUMBRA" scripts/bench/run.lua case=centre peers=no out="$OUT" && rm -r "$OUT"]]
    assert.equal(0, r.code, r.err)
    assert.matches("bench: centre is left out: PENUMBRA_DATA has no imagenet%-sample/images\n", r.err)
  end)
end)
