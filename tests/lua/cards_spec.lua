--- Cards of known data sets: that they are whole, found by the names people use, and compared with what is measured.
local cards = require "data.cards"
local data = require "data"
local sources = require "data.sources"

describe("every card", function()
  for _, name in ipairs(cards.names()) do
    local card = cards.list[name]
    it("is whole: " .. name, function()
      for _, field in ipairs { "title", "about", "origin", "licence" } do assert.is_string(card[field]) end
      assert.is_true(card.counts.classes >= 10)
      assert.is_true((card.counts.test or 0) > 0)
      if card.class_names then
        assert.equal(card.counts.classes, #card.class_names)
        local seen = {}
        for _, class in ipairs(card.class_names) do
          assert.is_nil(seen[class])
          seen[class] = true
        end
      end
      if card.published then
        assert.equal(#card.published.mean, #card.published.std)
        assert.equal(card.shape and card.shape[3] or 3, #card.published.mean)
        assert.is_string(card.published.source)
      end
    end)
  end

  it("is one of a set that can be downloaded, or by hand", function()
    for name in pairs(sources) do
      if name ~= "names" and type(sources[name]) == "table" then assert.is_not_nil(cards.list[name], name) end
    end
  end)
end)

describe("a card", function()
  it("is found by the names that people and archives use", function()
    for name, known in pairs { ["CIFAR-10"] = "cifar10", FashionMNIST = "fashion-mnist", cifar100 = "cifar100",
                               ["cifar-100-binary.tar.gz"] = "cifar100", MNIST = "mnist", EMNIST = "emnist",
                               ["tiny-imagenet-200.zip"] = "tiny-imagenet", ImageNet = "imagenet",
                               ["CIFAR-10-C.tar"] = "cifar10-c", SVHN = "svhn" } do
      assert.equal(known, (select(2, cards.find(name))), name)
    end
    assert.is_nil(cards.find("my-pictures"))
    assert.equal("mnist", (select(2, cards.of("/data/MNIST/raw/"))))
    assert.equal("cifar10", (select(2, cards.of("/data/cifar10/cifar10-jpeg.tar.gz"))))
    assert.is_nil(cards.of("/data/mine/raw"))
    assert.is_nil(cards.of("mine"))
  end)

  it("has CIFAR-10's deviation of all pixels", function()
    assert.same({ 0.2470, 0.2435, 0.2616 }, cards.list.cifar10.published.std)
  end)

  it("says what differs from what was published", function()
    local set = data.synthetic { classes = 4, train = 40, test = 8, side = 8, validation = 0.25 }
    local stats = set.stats
    local same = { counts = { train = 40, test = 8, classes = 4 }, shape = { 8, 8, 3 },
                   published = { mean = stats.mean, std = stats.std, source = "here" } }
    assert.same({}, cards.compare(set, same))
    local other = { counts = { train = 1000, test = 8, classes = 5 }, shape = { 9, 8, 3 },
                    published = { mean = { 0.1, 0.2, 0.3 }, std = stats.std, source = "elsewhere" } }
    local lines = cards.compare(set, other)
    assert.equal(4, #lines)
    assert.equal("train: 40 of 1,000 images", lines[1])
    assert.equal("classes: 4, published 5", lines[2])
    assert.equal("images: 8 x 8 x 3, published 9 x 8 x 3", lines[3])
    assert.matches("^mean of the pixels: 0.%d+ 0.%d+ 0.%d+, published 0.1000 0.2000 0.3000$", lines[4])
  end)
end)
