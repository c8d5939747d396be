-- Table 2: clean accuracy and accuracy under attack of the four models, by the paper's protocol (PGD-10) and by a
-- credible one (the worst case over an ensemble of attacks), each with its report card. With the controls: C counts as
-- better only when it also beats augmentation alone and squeezed logits.
local usual = { alpha = 1, mix = 0.5 } -- where alpha and mix are not what is looked at

local function above(title, metric, left, right)
  return claim { title, metric, [left] = ">", right, where = usual }
end

return study {
  title = "Table 2: the four models under attack",
  about = [[Accuracy on clean images and under attack. PGD-10 alone is a weak test: the worst case over several attacks
    and the card stand beside it.]],
  recipe = "four_models",
  fixed = { measure = "robustness" },
  grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1 } },
  scale = "small",
  scales = {
    smoke = { data = "mnist", limit = 256, validation = 100, test_limit = 100, base_epochs = 1, epochs = 1, batch = 32,
              iters = 2, eps = 25, eps_test = 25, step = 12, attack_limit = 20, credible_limit = 10, card_limit = 10,
              grid = { variant = { "plain", "C", "ADV", "ADV+C" } } },
    small = { grid = {
      { variant = { "plain", "AUG", "C", "C*", "LSQ" }, seed = { 1, 2, 3, 4, 5 } },
      { variant = { "plain2x", "CLP", "rescaled", "ADV", "ADV+C", "ADV+C*" }, seed = { 1, 2, 3 } },
      { variant = "ADV", mix = { 0.25, 1 }, seed = { 1 } },
      { variant = "ADV+C", alpha = { 0.01 }, seed = { 1 } },
    } },
    tiny = { data = "tiny-imagenet", limit = 3000, validation = 1000, test_limit = 1000, attack_limit = 500,
             credible_limit = 100, base_epochs = 20 },
    medium = { data = "cifar100", network = "resnet18", limit = 10000, base_epochs = 10, epochs = 4,
               grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1 } } },
    paper = { data = "cifar100", network = "resnet18", from = "scratch", limit = 0, base_epochs = 60,
              base_rate = 1e-3, batch = 128, attack_limit = 10000, credible_limit = 1000, card_limit = 500,
              grid = { { variant = { "plain", "AUG", "C", "LSQ" }, seed = { 1, 2, 3, 4, 5 } },
                       { variant = { "ADV", "ADV+C" }, seed = { 1, 2, 3 } } } },
    paper_imagenet = { data = "imagenet", network = "resnet50", from = "scratch", limit = 0, validation = 10000,
                       test_limit = 0, base_epochs = 60, base_rate = 1e-3, batch = 128,
                       eps = 16, eps_test = 8, attack_limit = 5000, credible_limit = 1000, card_limit = 500 },
  },
  sensible = { metric = "accuracy", variant = "plain", min = 25 },
  show = {
    rows.by("variant", { where = usual })
      :column("accuracy", { title = "clean", paper = { plain = 66.99, C = 67.01, ADV = 63.80, ["ADV+C"] = 59.62 } })
      :column("robust", { title = "paper protocol",
                          paper = { plain = 9.34, C = 16.01, ADV = 44.30, ["ADV+C"] = 54.04 } })
      :column("worst_case", { title = "credible protocol" })
      :column("card_warn", { title = "card WARN" })
      :column("card_fail", { title = "card FAIL" })
      :column("images", { title = "images seen" })
      :column("seconds", { title = "training" }),
    rows.by("mix", { where = { variant = "ADV", seed = 1 }, title = "ADV over the share of the loss on x'" })
      :column("accuracy", { title = "clean" }):column("robust", { title = "paper protocol" })
      :column("worst_case", { title = "credible protocol" }),
    rows.by("alpha", { where = { variant = "ADV+C", seed = 1 }, title = "ADV+C over alpha" })
      :column("accuracy", { title = "clean" }):column("robust", { title = "paper protocol" })
      :column("worst_case", { title = "credible protocol" }),
    chart.points { x = "variant", y = "robust", where = usual, title = "Accuracy under PGD-10",
                   note = "network and data differ from the paper's" },
    chart.points { x = "variant", y = "worst_case", where = usual,
                   title = "Accuracy in the worst case over all attacks" },
    chart.scatter { x = "accuracy", y = "worst_case", by = "variant", name = "tradeoff",
                    title = "Clean accuracy against the worst case: ADV over mix, ADV+C over alpha" },
  },
  claims = {
    above("C resists PGD-10 better than plain", "robust", "C", "plain"),
    above("C resists PGD-10 better than augmentation alone", "robust", "C", "AUG"),
    above("C resists PGD-10 better than squeezed logits", "robust", "C", "LSQ"),
    above("C is better than plain in the worst case", "worst_case", "C", "plain"),
    above("C* resists PGD-10 better than plain", "robust", "C*", "plain"),
    above("C* is better than plain in the worst case", "worst_case", "C*", "plain"),
    above("ADV+C resists PGD-10 better than ADV", "robust", "ADV+C", "ADV"),
    above("ADV+C is better than ADV in the worst case", "worst_case", "ADV+C", "ADV"),
    above("ADV+C* resists PGD-10 better than ADV", "robust", "ADV+C*", "ADV"),
    above("ADV+C* is better than ADV in the worst case", "worst_case", "ADV+C*", "ADV"),
    above("C has a higher clean accuracy than plain", "accuracy", "C", "plain"),
    above("C* has a higher clean accuracy than plain", "accuracy", "C*", "plain"),
    above("C* has a higher clean accuracy than augmentation alone", "accuracy", "C*", "AUG"),
  },
  notes = {
    "paper protocol: PGD on the true label, L-infinity, eps 8/255, step 2/255, 10 steps, random start, last iterate; "
      .. "credible protocol: the worst case over that, APGD, FAB and Square, on fewer images.",
    "the paper's figures are single runs of ResNet-18 on CIFAR-100; the parameters above are ours.",
  },
}
