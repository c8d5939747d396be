-- A study: many runs of one recipe, their table and chart, and a verdict on each claim. Runs that exist are not made
-- again; `scale=` picks how much is computed, and any parameter may be set from the command line.
-- penumbra run turned_colours                 three seeds, in half a minute
-- penumbra run turned_colours scale=smoke     seconds
-- penumbra run turned_colours bias=0.5 seed=1..5
return study {
  title = "Does the constraint keep a network from reading colours?",
  about = [[Each digit has a colour of its own in training and any colour in the test. AUG sees the same turned hues
    as C, without the constraint.]],
  recipe = "colour_turn",
  grid = { variant = { "plain", "AUG", "C" }, seed = { 1, 2, 3 } },
  scale = "three",
  scales = {
    smoke = { epochs = 1, limit = 300, seed = { 1 } },
    three = {},
    strong = { bias = 0.99, epochs = 10, seed = { 1, 2, 3, 4, 5 } },
  },
  show = {
    rows.by("variant"):column("accuracy"):column("ds_relative", { title = "DS, scale-free" }):column("flips"),
    chart.points { x = "variant", y = "accuracy", title = "Accuracy where the colour misleads" },
  },
  claims = {
    claim { "C beats plain training", "accuracy", C = ">", "plain" },
    claim { "C beats augmentation alone", "accuracy", C = ">", "AUG" },
    claim { "C flips fewer predictions than augmentation alone", "flips", C = "<", "AUG" },
  },
  notes = { "AUG and C see each image twice, plain once." },
}
