-- A recipe: an experiment to share. It builds values and computes nothing; parameters come from the command line:
-- penumbra run digits alpha=0.3 epochs=2
return recipe {
  title = "Handwritten digits with a continuity constraint",
  about = [[A small convolutional network on grey MNIST digits; x' is the digit a little brighter or with more
    contrast.]],
  cites = { "Wu, Sang, Zhao, Chen: An Experimental Study of Semantic Continuity for Deep Learning Models" },
  params = {
    alpha = param.number { 0.1, min = 0, max = 100, doc = "weight of the continuity term; 0 is plain training" },
    epochs = param.integer { 1, min = 1, max = 100 },
    limit = param.integer { 2000, min = 10, max = 6000, doc = "training digits" },
    seed = param.seed { 1 },
  },
  unstated = { "everything: this is an example, not an experiment of the paper" },
  plan = function(p)
    local change = perturb.brightness(32) | perturb.contrast(1.5)
    return {
      data = data.open("mnist", { limit = p.limit, test_limit = 1000 }),
      model = models.lenet { classes = 10, channels = 1, size = 28, seed = p.seed },
      loss = loss.cross_entropy() + p.alpha * loss.continuity { perturb = change },
      optimizer = optim.adam { lr = 1e-3 },
      epochs = p.epochs,
      batch = 32,
      seed = p.seed,
      probes = {
        accuracy = probe.accuracy(),
        -- grey digits have neither hue nor saturation
        continuity = probe.continuity { perturbations = { "brightness", "contrast" }, levels = { 1, 4 }, limit = 300 },
      },
    }
  end,
}
