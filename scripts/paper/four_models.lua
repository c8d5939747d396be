-- The four models (section 4): plain, C, ADV and ADV+C, with the controls that the paper leaves out. table2.lua,
-- fig3.lua and fig4.lua are studies over this recipe; they measure the same trained networks.
--
-- A run either trains (measure = "training") or measures what such a run has trained: so a network is trained once,
-- whatever is asked of it later. All variants continue from one plain network, `base`, for the same number of epochs.
return recipe {
  title = "The four models: plain, C, ADV, ADV+C",
  about = [[Does training with the semantic continuity constraint make a network smoother, more robust, or both? C is
    trained with the constraint on changed colours, ADV on adversarial examples, ADV+C with the constraint on
    adversarial examples. AUG sees what C sees without the constraint, LSQ squeezes the logits, CLP pairs unrelated
    images, plain2x trains as long as C computes, rescaled is plain with its logits made smaller.]],
  cites = {
    "Wu, Sang, Zhao, Chen: An Experimental Study of Semantic Continuity for Deep Learning Models",
    "Madry, Makelov, Schmidt, Tsipras, Vladu: Towards Deep Learning Models Resistant to Adversarial Attacks, 2018",
    "Kannan, Kurakin, Goodfellow: Adversarial Logit Pairing, 2018 (CLP, LSQ)",
    "Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of parameter-free attacks, 2020",
  },
  params = {
    variant = param.choice { "base", "plain", "plain2x", "AUG", "C", "C*", "LSQ", "CLP", "rescaled", "ADV", "ADV+C",
      "ADV+C*", default = "C", doc = "what is trained; base is where the others begin; a star: with the alpha that was "
        .. "chosen on validation images" },
    measure = param.choice { "training", "continuity", "robustness", "smoothness", "tradeoff", "all",
      default = "all", doc = "only train; or what to measure of the trained network; tradeoff: all but the credible "
        .. "protocol and the card" },
    part = param.choice { "test", "validation", doc = "the images that are measured; alpha is chosen on validation" },
    data = param.choice { "cifar100-coarse", "cifar100", "tiny-imagenet", "imagenet", "mnist",
      doc = "cifar100-coarse: its 20 groups of classes" },
    network = param.choice { "resnet8", "resnet20", "resnet18", "resnet50", doc = "the paper's: resnet18, resnet50" },
    from = param.choice { "base", "scratch", doc = "where variants begin: the plain network, or new weights" },
    limit = param.integer { 8000, min = 0, doc = "training images; 0: all that are not set apart" },
    validation = param.integer { 2000, min = 100, doc = "training images set apart" },
    test_limit = param.integer { 10000, min = 0, doc = "images on which accuracy is measured; 0: all" },
    base_epochs = param.integer { 15, min = 1, doc = "epochs of base" },
    epochs = param.integer { 4, min = 1, doc = "epochs of every variant" },
    batch = param.integer { 64, min = 1 },
    base_rate = param.number { 3e-3, above = 0, doc = "Adam's learning rate, for new weights" },
    rate = param.number { 1e-3, above = 0, doc = "the same, when a variant continues from base" },
    alpha = param.number { 1.0, min = 0, doc = "weight of the distance score in C and ADV+C: the paper's" },
    chosen = param.number { 0.1, min = 0, doc = "the same in C* and ADV+C*: the largest of fig4's that costs no "
      .. "accuracy that could be seen" },
    mix = param.number { 0.5, min = 0, max = 1, doc = "share of the loss on x' in ADV and ADV+C" },
    squeeze = param.number { 0.22, min = 0, doc = "weight of the squeezing term in LSQ; 0.22 makes its logits as small "
      .. "as those of C at the scale small" },
    pairing = param.number { 0.5, min = 0, doc = "weight of the pairing term in CLP" },
    shrink = param.number { 0.1, above = 0, doc = "what the logits of rescaled are multiplied with" },
    levels = param.list { { 1, 2 }, of = param.integer { min = 1, max = 4 },
      doc = "levels of colour changes, in training" },
    without = param.choice { "none", "brightness", "contrast", "saturation", "hue",
      doc = "colour change that training leaves out" },
    eps = param.number { 8, min = 0, doc = "radius of attacks in steps of 1/255, in training" },
    eps_test = param.number { 8, min = 0, doc = "the same, where robustness is measured" },
    step = param.number { 2, above = 0, doc = "size of a step, in 1/255" },
    iters = param.integer { 10, min = 1, doc = "steps of PGD" },
    attack_limit = param.integer { 1000, min = 10, doc = "images attacked by the paper's protocol" },
    credible_limit = param.integer { 256, min = 10, doc = "images attacked by the credible protocol" },
    card_limit = param.integer { 128, min = 10, doc = "images on which the checks of the report card are made" },
    probe_limit = param.integer { 1000, min = 10, doc = "images on which DS is measured" },
    smooth_limit = param.integer { 256, min = 10, doc = "images on which smoothness is measured" },
    seed = param.seed { 1 },
  },
  unstated = {
    "the task loss of C: cross-entropy on x; AUG: the mean of the cross-entropies on x and x'",
    "the task loss of ADV, and the same of ADV+C: (1 - mix) CE(x) + mix CE(x'), mix 0.5 (\"fit the original and the "
      .. "adversarial sample at the same time\")",
    "x' of C: one of brightness, contrast, saturation, hue at a random level of `levels`, new for each image and epoch",
    "x' of ADV and ADV+C: PGD on the true label, random start, last iterate, evaluation statistics",
    "alpha multiplies DS summed over the classes and averaged over the batch: with 20 classes it is 20 times the "
      .. "weight of adversarial logit pairing's mean",
    "no gradient is stopped in DS, and x and x' go through batch norm as one batch",
    "initialisation: every variant continues from one plain network (from = \"scratch\": from new weights)",
    "random crops and mirrored images in all training; Adam without weight decay, its rate falling as half a cosine; "
      .. "the network of the last step",
  },
  plan = function(p)
    local sets = { ["cifar100-coarse"] = { "cifar100", { labels = "coarse" } }, imagenet = { "imagenet", { side = 224,
                   resize = 256 } } }
    local named = sets[p.data] or { p.data }
    local set = data.open(named[1], named[2])
    local pool = set.train:rest(p.validation, 1)
    local apart = set.train:take(p.validation, 1)

    local small, large = p.network == "resnet8" or p.network == "resnet20", p.data == "imagenet"
    local model = models[p.network] { classes = set.classes, channels = p.data == "mnist" and 1 or 3,
      normalize = set.stats, stem = not small and (large and "imagenet" or "cifar") or nil,
      logit_scale = p.variant == "rescaled" and p.shrink or nil, seed = p.seed }

    local variant, alpha = p.variant:match "^([^*]*)", p.variant:find "%*" and p.chosen or p.alpha
    local objective = loss.cross_entropy()
    if variant == "AUG" or variant == "C" then
      local change = perturb.colour { levels = p.levels, without = p.without ~= "none" and p.without or nil }
      if variant == "C" then
        objective = loss.cross_entropy() + alpha * loss.continuity { perturb = change }
      else
        objective = loss.adversarial { perturb = change }
      end
    elseif variant == "ADV" or variant == "ADV+C" then
      local pgd = attack.pgd { eps = px(p.eps), step = px(p.step), iters = p.iters }
      objective = loss.adversarial { perturb = pgd, mix = p.mix }
      if variant == "ADV+C" then objective = objective + alpha * loss.continuity { perturb = pgd } end
    elseif variant == "LSQ" then
      objective = loss.cross_entropy() + loss.lsq { weight = p.squeeze }
    elseif variant == "CLP" then
      objective = loss.cross_entropy() + loss.clp { weight = p.pairing }
    end

    local augment = perturb.random_crop() >> perturb.flip()
    if p.data == "mnist" then augment = perturb.random_crop { padding = 2 } end
    if large then augment = perturb.random_resized_crop() >> perturb.flip() end
    local plan = {
      data = { train = p.limit > 0 and pool:take(p.limit, 1) or pool, test = apart },
      model = model, loss = objective, batch = p.batch, seed = p.seed, schedule = optim.cosine(),
      augment = augment,
    }

    if p.measure ~= "training" then
      plan.start = { measure = "training", variant = p.variant == "rescaled" and "plain" or p.variant }
      plan.loss, plan.augment, plan.schedule = loss.cross_entropy(), nil, nil
      plan.optimizer, plan.epochs = optim.adam { lr = p.rate }, 0
      local shown = p.part == "test" and set.test or apart
      plan.data.test = p.test_limit > 0 and shown:take(p.test_limit, 1) or shown
      local pgd = attack.pgd { eps = px(p.eps_test), step = px(p.step), iters = p.iters }
      local probes = { accuracy = probe.accuracy() }
      local function wanted(name) return p.measure == name or p.measure == "tradeoff" or p.measure == "all" end
      if wanted "continuity" then
        probes.continuity = probe.continuity { levels = "paper", by_row = true, limit = p.probe_limit }
      end
      if wanted "robustness" then
        local options = { attack = pgd, limit = p.attack_limit, credible_limit = p.credible_limit,
                          card_limit = p.card_limit }
        if p.measure == "tradeoff" then options.credible, options.card = false, false end
        probes.robustness = probe.robustness(options)
      end
      if wanted "smoothness" then
        probes.smoothness = probe.smoothness { attack = pgd, levels = { 1, 4 }, limit = p.smooth_limit }
      end
      plan.probes = probes
    elseif p.variant == "base" or p.from == "scratch" then
      plan.optimizer, plan.epochs = optim.adam { lr = p.base_rate }, p.base_epochs
    else
      plan.start = { variant = "base" }
      plan.optimizer, plan.epochs = optim.adam { lr = p.rate }, p.variant == "plain2x" and 2 * p.epochs or p.epochs
    end
    return plan
  end,
}
