-- Shortcuts: each digit has a colour of its own in training, and any colour in the test. A network that learns the
-- colours instead of the shapes fails. Does it help to ask that the logits stay when the hue turns?
-- penumbra run colour_turn variant=plain
-- penumbra run turned_colours                    the study over this recipe
return recipe {
  title = "Colours that give the digit away, and then do not",
  about = [[Ten colours, ten digits. In training a share `bias` of the digits stands on the colour of its class, in the
    test every colour is equally likely. AUG trains on hue-turned digits, C constrains their logits to stay.]],
  cites = {
    "Bahng, Chun, Yun, Choo, Oh: Learning De-biased Representations with Biased Representations (Biased MNIST)",
    "Wu, Sang, Zhao, Chen: An Experimental Study of Semantic Continuity for Deep Learning Models",
  },
  params = {
    variant = param.choice { "plain", "AUG", "C", default = "C", doc = "plain; cross-entropy on x'; plain + alpha DS" },
    alpha = param.number { 1.0, min = 0, max = 100, doc = "weight of the distance score in C" },
    turns = param.list { { 0.2, 0.4, 0.6, 0.8 }, of = param.number { min = 0, max = 1 },
      doc = "how far the hue is turned, one of them for each image; 1 is the whole circle" },
    bias = param.number { 0.9, min = 0.1, max = 1, doc = "share of training digits on the colour of their class" },
    epochs = param.integer { 3, min = 1, max = 100 },
    limit = param.integer { 3000, min = 10, max = 6000, doc = "training digits" },
    seed = param.seed { 1, doc = "of the weights and of all draws; the colours stay" },
  },
  unstated = {
    "the colours: those of data.colour_mnist{ correlated = \"class\" }",
    "how far the hue turns: one of `turns`, equally likely, a new one for each image and epoch",
  },
  plan = function(p)
    local change = perturb.hue(p.turns)
    local losses = {
      plain = loss.cross_entropy(),
      AUG = 0.5 * loss.cross_entropy() + 0.5 * loss.cross_entropy { perturb = change },
      C = loss.cross_entropy() + p.alpha * loss.continuity { perturb = change },
    }
    return {
      data = data.colour_mnist { correlated = "class", bias = p.bias, limit = p.limit, test_limit = 1000 },
      model = models.lenet { classes = 10, channels = 3, size = 28, seed = p.seed },
      loss = losses[p.variant],
      optimizer = optim.adam { lr = 2e-3 },
      epochs = p.epochs,
      batch = 32,
      seed = p.seed,
      probes = {
        accuracy = probe.accuracy(),
        continuity = probe.continuity { perturbations = { hue = change }, limit = 300 },
      },
    }
  end,
}
