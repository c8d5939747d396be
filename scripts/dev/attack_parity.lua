--- Our attacks beside torchattacks' and Foolbox's figures in tests/parity/fixtures, on the same networks and images.
--- usage: PENUMBRA_DATA=DATA penumbra scripts/dev/attack_parity.lua [pgd|autoattack] [IMAGES]
---
--- PGD takes minutes for all 1,000 images, AutoAttack half an hour of two cores. attack_fixtures.py makes the others'
--- figures anew.
package.path = arg[0]:match "^(.*)/[^/]*$" .. "/../../tests/?.lua;" .. package.path
local attack, nn, text = require "attack", require "nn", require "text"
local attacked = require "parity.attacked"

local topic, images = arg[1], tonumber(arg[2] or arg[1]) or 1000
if tonumber(topic) then topic = nil end

local function versions(figures)
  local made = figures.made_with
  print(("\nfoolbox %s, torchattacks %s, pyautoattack %s, torch %s; the first %d images"):format(
    made.foolbox, made.torchattacks, made.pyautoattack, made.torch, images))
end

local function points(value) return ("%.1f"):format(value) end

-- How many of the first images `outcomes` has right (a digit each).
local function right_of(outcomes, count) return select(2, table.concat(outcomes):sub(1, count):gsub("1", "")) end

local function compare_pgd()
  local figures, rows = attacked.figures "attack_pgd", {}
  for _, row in ipairs(figures.rows) do
    if images == figures.count or row.outcomes then
      local right, ours, apart = attacked.pgd(row, images), 0, 0
      local said = row.outcomes and table.concat(row.outcomes)
      for i, one in ipairs(right) do
        ours = ours + (one and 1 or 0)
        if said and (said:sub(i, i) == "1") ~= one then apart = apart + 1 end
      end
      local percent = 100 * ours / images
      local theirs = said and 100 * right_of(row.outcomes, images) / images or row.torchattacks
      rows[#rows + 1] = { attacked.title(row), points(percent), points(theirs),
                          images == figures.count and points(row.foolbox) or "", ("%+.1f"):format(percent - theirs),
                          said and apart or "" }
    end
  end
  versions(figures)
  print(text.table({ "robust accuracy, %", "penumbra", "torchattacks", "foolbox", "difference", "images apart" }, rows))
end

local function compare_autoattack()
  local figures, rows = attacked.figures "attack_autoattack", {}
  local measured = {}
  for _, row in ipairs(figures.rows) do
    local count = math.min(images, row.count)
    local key = row.iters .. "/" .. count
    if not measured[key] then
      local result = attack.evaluate {
        model = attacked.network(row.net), part = attacked.part(row.net), limit = count, batch = 100,
        attack = attack.autoattack { eps = row.eps, iters = row.iters },
      }
      local line = { ("penumbra, %d iterations, %d images"):format(row.iters, count) }
      for _, stage in ipairs(result.rows[1].stages) do line[#line + 1] = points(stage.robust.value) end
      measured[key], rows[#rows + 1] = true, line
    end
    local line = { ("%s, %d iterations, %d images"):format(row.library, row.iters, row.count) }
    for _, left in ipairs(row.left) do line[#line + 1] = points(100 * left / row.count) end
    rows[#rows + 1] = line
  end
  versions(figures)
  print(text.table({ "left of the images, %, after", "apgd-ce", "apgd-t", "fab-t", "square" }, rows))
end

nn.threads(2)
if topic ~= "autoattack" then compare_pgd() end
if topic ~= "pgd" then compare_autoattack() end
