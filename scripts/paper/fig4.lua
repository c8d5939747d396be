-- Fig. 4: what the weight of the constraint costs and buys: accuracy and DS at level 1 over alpha, and with them
-- accuracy under PGD-10 and the smoothness of the network. Measured on images set apart from the training images:
-- alpha is chosen here, and the test images are used once, by table2.lua and fig3.lua.
return study {
  title = "Fig. 4: accuracy, distance score and smoothness over alpha",
  about = [[C trained with different weights of the constraint, measured on validation images. The paper: DS falls much,
    accuracy little.]],
  recipe = "four_models",
  fixed = { measure = "tradeoff", part = "validation", variant = "C" },
  grid = { alpha = { 0, 0.01, 0.1, 0.3, 1, 3, 10 }, seed = { 1 } },
  scale = "small",
  scales = {
    smoke = { data = "mnist", limit = 256, validation = 100, test_limit = 100, base_epochs = 1, epochs = 1, batch = 32,
              iters = 2, eps_test = 25, step = 12, attack_limit = 20, probe_limit = 50, smooth_limit = 20,
              alpha = { 0, 0.1, 1 } },
    small = { test_limit = 2000, attack_limit = 500 },
    tiny = { data = "tiny-imagenet", limit = 3000, validation = 1000, test_limit = 1000, base_epochs = 20,
             attack_limit = 500 },
    medium = { data = "cifar100", network = "resnet18", limit = 10000, base_epochs = 10, epochs = 4,
               test_limit = 2000 },
    paper = { data = "cifar100", network = "resnet18", from = "scratch", limit = 0, base_epochs = 60,
              base_rate = 1e-3, batch = 128, test_limit = 2000, seed = { 1, 2, 3 } },
  },
  sensible = { metric = "accuracy", alpha = 0, min = 25 },
  show = {
    rows.by("alpha")
      :column("accuracy"):column("ds/sum/1", { title = "sum of DS" })
      :column("ds_relative/sum/1", { title = "the same, scale-free" })
      :column("robust", { title = "under PGD-10" }):column("jacobian_relative", { title = "E‖J‖² / scale" })
      :column("seconds", { title = "training" }),
    chart.points { x = "alpha", y = "accuracy", title = "Accuracy over alpha" },
    chart.points { x = "alpha", y = "ds/sum/1", log = true, title = "Distance score at level 1 over alpha",
                   label = "sum of DS over four changes" },
    chart.points { x = "alpha", y = "ds_relative/sum/1", log = true, title = "The same, scale-free",
                   label = "sum of DS / mean DS of two classes" },
    chart.points { x = "alpha", y = "robust", title = "Accuracy under PGD-10 over alpha" },
    chart.points { x = "alpha", y = "jacobian_relative", title = "Smoothness over alpha",
                   label = "E‖J‖² / mean distance of two classes", log = true },
  },
  claims = {
    claim { "alpha = 1 lowers DS", "ds/sum/1", [0] = ">", 1 },
    claim { "alpha = 1 lowers the scale-free DS", "ds_relative/sum/1", [0] = ">", 1 },
    claim { "alpha = 1 lowers accuracy", "accuracy", [0] = ">", 1 },
    claim { "alpha = 1 makes the network smoother", "jacobian_relative", [0] = ">", 1 },
  },
}
