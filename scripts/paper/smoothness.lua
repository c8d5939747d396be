-- The argument of Eqs. 6 and 7, which the paper does not measure: does the constraint make the network smoother, and
-- more so with attacks? The squared Jacobian, the gradient of the loss, the curvature along changes, and how much of a
-- change of the logits the Jacobian explains; raw, and divided by the scale of the logits, without which a network that
-- only makes its logits smaller is smooth.
return study {
  title = "Eqs. 6 and 7: smoothness of the four models",
  about = [[E‖J‖² of the logits, ‖∂CE/∂x‖, curvature, and the shares of a change of the logits that the terms of a
    Taylor expansion explain. Relative: divided by the mean squared distance of two classes.]],
  recipe = "four_models",
  fixed = { measure = "smoothness" },
  grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1 } },
  scale = "small",
  scales = {
    smoke = { data = "mnist", limit = 256, validation = 100, test_limit = 100, base_epochs = 1, epochs = 1, batch = 32,
              iters = 2, eps = 25, eps_test = 25, step = 12, smooth_limit = 20,
              grid = { variant = { "plain", "C", "ADV", "ADV+C" } } },
    small = { grid = { variant = { "plain", "AUG", "C", "C*", "LSQ", "rescaled", "ADV", "ADV+C", "ADV+C*" },
                       seed = { 1, 2, 3 } } },
    tiny = { data = "tiny-imagenet", limit = 3000, validation = 1000, test_limit = 1000, base_epochs = 20 },
    medium = { data = "cifar100", network = "resnet18", limit = 10000, base_epochs = 10, epochs = 4 },
    paper = { data = "cifar100", network = "resnet18", from = "scratch", limit = 0, base_epochs = 60,
              base_rate = 1e-3, batch = 128, smooth_limit = 1000,
              grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1, 2, 3 } } },
  },
  sensible = { metric = "accuracy", variant = "plain", min = 25 },
  show = {
    rows.by("variant")
      :column("jacobian", { title = "E‖J‖²" }):column("jacobian_relative", { title = "relative" })
      :column("input_gradient", { title = "‖∂CE/∂x‖" }):column("curvature_relative", { title = "curvature, relative" }),
    rows.by("variant", { title = "Shares of a change of the logits that JΔx and JΔx + ½ΔxᵀHΔx explain" })
      :column("explained_first", { title = "colour, first" }):column("explained_second", { title = "second" })
      :column("explained_first_attack", { title = "PGD, first" })
      :column("explained_second_attack", { title = "second" }),
    rows.by("variant", { title = "DS and flips under PGD-10 and along random directions of equal length" })
      :column("ds_attack_relative", { title = "DS, PGD" })
      :column("ds_random_linf_relative", { title = "DS, random signs" })
      :column("ds_random_l2_relative", { title = "DS, random" }):column("flips_attack", { title = "flips, PGD" })
      :column("flips_random_linf", { title = "flips, random signs" }),
    chart.points { x = "variant", y = "jacobian_relative", log = true, title = "Smoothness: E‖J‖², relative",
                   label = "E‖J‖² / mean distance of two classes" },
    chart.points { x = "variant", y = "ds_attack_relative", log = true, title = "DS under PGD-10, scale-free",
                   label = "DS / mean DS of two classes" },
  },
  claims = {
    claim { "C has a smaller Jacobian than plain", "jacobian", C = "<", "plain" },
    claim { "C has a smaller relative Jacobian than plain", "jacobian_relative", C = "<", "plain" },
    claim { "C has a smaller relative Jacobian than AUG", "jacobian_relative", C = "<", "AUG" },
    claim { "C has a smaller relative Jacobian than LSQ", "jacobian_relative", C = "<", "LSQ" },
    claim { "C* has a smaller relative Jacobian than plain", "jacobian_relative", ["C*"] = "<", "plain" },
    claim { "ADV+C has a smaller relative Jacobian than ADV", "jacobian_relative", ["ADV+C"] = "<", "ADV" },
    claim { "ADV+C has a smaller relative Jacobian than C", "jacobian_relative", ["ADV+C"] = "<", "C" },
    claim { "ADV+C* has a smaller relative Jacobian than ADV", "jacobian_relative", ["ADV+C*"] = "<", "ADV" },
    claim { "ADV+C moves less under PGD-10 than ADV, scale-free", "ds_attack_relative", ["ADV+C"] = "<", "ADV" },
  },
}
