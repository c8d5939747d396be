-- Every recipe and study of scripts/paper can be read, at every scale, and its plans can be printed.
local lfs = require "lfs"
local plan = require "plan"
local recipe = require "recipe"
local world = require "world"

describe("scripts/paper", function()
  for name in lfs.dir "scripts/paper" do
    if name:find "%.lua$" then
      it("holds a sound " .. name, function()
        local value = assert(world.load("scripts/paper/" .. name))
        if recipe.is_recipe(value) then
          for _, key in ipairs(value:names()) do
            for _, choice in ipairs(value.params[key].choices or {}) do
              assert(value:make_plan(assert(value:resolve { [key] = choice })))
            end
          end
          assert.is_true(#value.unstated > 0)
        else
          for scale in pairs(value.scales) do
            local hashes = {}
            for _, point in ipairs(assert(value:expand { scale = scale }).points) do
              local hash = plan.hash(assert(value.recipe:make_plan(point.values)))
              assert.is_nil(hashes[hash], "two runs of one plan")
              hashes[hash] = true
            end
          end
        end
      end)
    end
  end
end)
