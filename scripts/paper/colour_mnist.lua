-- Colour MNIST (section 4.6, Fig. 14, Table 4): digits whose background is mostly red in training and mostly blue in
-- the test. Table 4 is the study table4.lua over this recipe.
return recipe {
  title = "Colour MNIST: a background colour that turns",
  about = [[MNIST digits in white on red or blue. In training 95 % stand on red, in the test 95 % on blue; the colour
    says nothing about the digit. How well does a network that hardly saw blue read digits on blue, and does the
    semantic continuity constraint help?]],
  cites = { "Wu, Sang, Zhao, Chen: An Experimental Study of Semantic Continuity for Deep Learning Models" },
  params = {
    variant = param.choice { "plain", "AUG", "C", "plain2x", "LSQ", "CLP", "rescaled", default = "C",
      doc = "plain; AUG: cross-entropy on x and x'; C: cross-entropy + alpha DS; plain2x: plain, twice the epochs; "
        .. "LSQ: squeezed logits; CLP: unrelated images paired; rescaled: plain, its logits divided by ten" },
    network = param.choice { "resnet8", "resnet20", "resnet18", default = "resnet8", doc = "the paper's is resnet18" },
    alpha = param.number { 1.0, min = 0, doc = "weight of the distance score in C" },
    squeeze = param.number { 0.2, min = 0, doc = "weight of the squeezing term in LSQ" },
    pairing = param.number { 0.5, min = 0, doc = "weight of the pairing term in CLP" },
    levels = param.list { { 1, 2 }, of = param.integer { min = 1, max = 4 }, doc = "levels of x' in training" },
    bias = param.number { 0.95, min = 0, max = 1, doc = "share of red in training, of blue in the test" },
    epochs = param.integer { 3, min = 1 },
    batch = param.integer { 128, min = 1 },
    rate = param.number { 1e-3, above = 0, doc = "Adam's learning rate at the start" },
    schedule = param.choice { "cosine", "constant", doc = "how the rate goes down" },
    limit = param.integer { 6000, min = 10, max = 60000, doc = "training digits" },
    test_limit = param.integer { 10000, min = 10, max = 10000, doc = "test digits" },
    probe_limit = param.integer { 500, min = 10, doc = "test digits on which DS is measured" },
    seed = param.seed { 1 },
  },
  unstated = {
    "the colours: backgrounds (255,0,0) and (0,0,255), white digits, the colour independent of the digit",
    "what x' is in training: one of brightness, contrast, saturation, hue at a random level of `levels`, a new one for "
      .. "each image and epoch (AUG sees the same changes as C)",
    "the task loss of C: cross-entropy on x alone; AUG: the mean of the cross-entropies on x and x'",
    "alpha multiplies DS summed over the classes and averaged over the batch",
    "no gradient is stopped in DS, and x and x' go through batch norm as one batch",
    "initialisation from scratch; batches, rate and epochs by scale, the rate falling as half a cosine; "
      .. "no weight decay, no other augmentation; the network of the last step",
  },
  plan = function(p)
    -- The digits and their colours are the same for every seed of the training: runs are compared digit by digit.
    local set = data.colour_mnist { bias = p.bias, limit = p.limit, test_limit = p.test_limit }
    local change = perturb.colour { levels = p.levels }
    local losses = {
      plain = loss.cross_entropy(),
      AUG = 0.5 * loss.cross_entropy() + 0.5 * loss.cross_entropy { perturb = change },
      C = loss.cross_entropy() + p.alpha * loss.continuity { perturb = change },
      LSQ = loss.cross_entropy() + loss.lsq { weight = p.squeeze },
      CLP = loss.cross_entropy() + loss.clp { weight = p.pairing },
    }
    local rescaled = p.variant == "rescaled"
    return {
      start = rescaled and { variant = "plain" } or nil,
      data = set,
      model = models[p.network] { classes = 10, seed = p.seed, logit_scale = rescaled and 0.1 or nil },
      loss = losses[p.variant] or losses.plain,
      optimizer = optim.adam { lr = p.rate },
      schedule = p.schedule == "cosine" and optim.cosine() or optim.constant(),
      epochs = rescaled and 0 or p.variant == "plain2x" and 2 * p.epochs or p.epochs,
      batch = p.batch,
      seed = p.seed,
      probes = {
        accuracy = probe.accuracy(),
        continuity = probe.continuity { levels = "paper", limit = p.probe_limit },
      },
    }
  end,
}
