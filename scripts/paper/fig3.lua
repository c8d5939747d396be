-- Fig. 3: the distance score of the four models under four colour changes at four levels, raw and scale-free, with the
-- controls; and a constraint that never saw one of the changes, on that change.
local usual = { without = "none" } -- where training leaves no change out

local function below(title, metric, left, right)
  return claim { title, metric, [left] = "<", right, where = usual }
end

local function over_levels(change, title)
  return chart.curves { y = "ds/" .. change .. "/*", series = "variant", along = "level", log = true, label = "DS",
                        where = usual, title = title }
end

local claims = {
  below("C has a lower DS than plain", "ds", "C", "plain"),
  below("C has a lower scale-free DS than plain", "ds_relative", "C", "plain"),
  below("C has a lower scale-free DS than AUG", "ds_relative", "C", "AUG"),
  below("C has a lower scale-free DS than LSQ", "ds_relative", "C", "LSQ"),
  below("C* has a lower scale-free DS than plain", "ds_relative", "C*", "plain"),
  below("C* has a lower scale-free DS than AUG", "ds_relative", "C*", "AUG"),
  below("C* has a lower scale-free DS than LSQ", "ds_relative", "C*", "LSQ"),
  below("ADV+C has a lower DS than ADV", "ds", "ADV+C", "ADV"),
  below("ADV+C has a lower scale-free DS than ADV", "ds_relative", "ADV+C", "ADV"),
}
for _, change in ipairs { "brightness", "contrast", "saturation", "hue" } do
  for level = 1, 4 do
    local place = change .. " " .. level
    claims[#claims + 1] = below("C < plain, " .. place, "ds/" .. change .. "/" .. level, "C", "plain")
    claims[#claims + 1] = below("ADV+C < ADV, " .. place, "ds/" .. change .. "/" .. level, "ADV+C", "ADV")
  end
end

return study {
  title = "Fig. 3: distance scores of the four models",
  about = [[How far do the logits move when colours change? DS falls by itself when a network makes all its logits
    smaller, so the scale-free score stands beside it: 1 is the distance of two classes.]],
  recipe = "four_models",
  fixed = { measure = "continuity" },
  grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1 } },
  scale = "small",
  scales = {
    smoke = { data = "mnist", limit = 256, validation = 100, test_limit = 100, base_epochs = 1, epochs = 1, batch = 32,
              iters = 2, eps = 25, eps_test = 25, step = 12, probe_limit = 50,
              grid = { variant = { "plain", "C", "ADV", "ADV+C" } } },
    small = { grid = {
      { variant = { "plain", "AUG", "C", "C*", "LSQ" }, seed = { 1, 2, 3, 4, 5 } },
      { variant = { "plain2x", "CLP", "rescaled", "ADV", "ADV+C", "ADV+C*" }, seed = { 1, 2, 3 } },
      { variant = "C", without = { "brightness", "contrast", "saturation", "hue" }, seed = { 1 } },
    } },
    tiny = { data = "tiny-imagenet", limit = 3000, validation = 1000, test_limit = 1000, base_epochs = 20 },
    medium = { data = "cifar100", network = "resnet18", limit = 10000, base_epochs = 10, epochs = 4,
               grid = { variant = { "plain", "AUG", "C", "LSQ", "ADV", "ADV+C" }, seed = { 1 } } },
    paper = { data = "cifar100", network = "resnet18", from = "scratch", limit = 0, base_epochs = 60,
              base_rate = 1e-3, batch = 128, probe_limit = 10000,
              grid = { { variant = { "plain", "AUG", "C", "LSQ" }, seed = { 1, 2, 3, 4, 5 } },
                       { variant = { "ADV", "ADV+C" }, seed = { 1, 2, 3 } } } },
  },
  sensible = { metric = "accuracy", variant = "plain", min = 25 },
  show = {
    rows.by("variant", { where = usual })
      :column("accuracy"):column("ds", { title = "DS" }):column("ds_relative", { title = "DS, scale-free" })
      :column("flips"),
    rows.by("without", { where = { variant = "C", seed = 1 },
      title = "C trained without one change, on each change: DS, scale-free, at level 2" })
      :column("ds_relative/brightness/2", { title = "brightness" })
      :column("ds_relative/contrast/2", { title = "contrast" })
      :column("ds_relative/saturation/2", { title = "saturation" })
      :column("ds_relative/hue/2", { title = "hue" }),
    over_levels("brightness", "Brightness"),
    over_levels("contrast", "Contrast"),
    over_levels("saturation", "Saturation"),
    over_levels("hue", "Hue"),
    chart.points { x = "variant", y = "ds_relative", where = usual, log = true,
                   title = "Distance score, scale-free", label = "DS / mean DS of two classes" },
  },
  claims = claims,
}
