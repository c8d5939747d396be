--- MATLAB 5 files as SciPy writes them (scripts/dev/mat_fixtures.py).
local nn = require "nn"

local folder = "tests/parity/fixtures/mat/"

describe("a MATLAB 5 file by SciPy", function()
  for _, name in ipairs { "svhn", "svhn_plain" } do
    it("holds images and labels: " .. name, function()
      local images, labels = assert(nn.data.svhn(folder .. name .. ".mat"))
      assert.same({ 3, 32, 32, 3 }, images.shape)
      assert.same({ 2, 1, 10 }, labels:tolist())
      for n, image in ipairs(images:tolist()) do
        for y, row in ipairs(image) do
          for x, pixel in ipairs(row) do
            for c, value in ipairs(pixel) do
              assert(value == ((n - 1) * 101 + (y - 1) * 7 + (x - 1) * 3 + (c - 1) * 50) % 256)
            end
          end
        end
      end
    end)
  end

  it("holds a table of structs", function()
    local rows = assert(nn.data.mat_table(folder .. "meta.mat", "synsets"))
    assert.equal(5, #rows)
    for i, row in ipairs(rows) do
      assert.equal(tostring(i), row.ILSVRC2012_ID)
      assert.equal(("n%08d"):format(5001 - i), row.WNID)
      assert.equal(("wörd %d, other"):format(i - 1), row.words)
      assert.equal(("a long text "):rep(20), row.gloss)
      assert.equal("1300", row.num_train_images)
      assert.equal("", row.children)
    end
    local none, message, code = nn.data.mat_table(folder .. "svhn.mat", "synsets")
    assert.is_nil(none)
    assert.equal("format", code)
    assert.matches("svhn.mat: there is no variable synsets in it$", message)
  end)
end)
