#!/usr/bin/python3
"""loss_fixtures.py -- reference losses for tests/parity/loss_spec.lua, made once with torch.

usage: scripts/dev/loss_fixtures.py     writes tests/parity/fixtures/losses.json

A batch of logits of x, of x' and of x'', labels, and for every method its loss as its authors' published code or paper
writes it, with the gradient to each of the three: in float64, from logits rounded to float32. And a small network with
its input-gradient penalty, whose parameter gradients are torch's, by differentiating twice.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "parity", "fixtures", "losses.json")
IMAGES, CLASSES = 6, 5

draw = np.random.RandomState(20)


def numbers(*shape, scale=1.0):
    """Normal numbers that are the same in float32 and float64."""
    return torch.tensor((scale * draw.standard_normal(shape)).astype(np.float32).astype(np.float64))


z0 = numbers(IMAGES, CLASSES, scale=2.0)
z1 = torch.tensor((z0 + numbers(IMAGES, CLASSES, scale=0.7)).numpy().astype(np.float32).astype(np.float64))
z2 = torch.tensor((z0 + numbers(IMAGES, CLASSES, scale=0.7)).numpy().astype(np.float32).astype(np.float64))
y = torch.tensor(draw.randint(0, CLASSES, IMAGES))


# ---- divergences -----------------------------------------------------------------------------------------------------

def kl(p_logits, q_logits):
    """KL(p || q) of each row."""
    return F.kl_div(F.log_softmax(q_logits, 1), F.softmax(p_logits, 1), reduction="none").sum(1)


def js(*logits):
    shares = [F.softmax(z, 1) for z in logits]
    log_mean = torch.clamp(sum(shares) / len(shares), 1e-7, 1).log()
    return sum(F.kl_div(log_mean, p, reduction="batchmean") for p in shares) / len(shares)


def hidden(shares):
    """The largest share of a class that is not the label's."""
    order = shares.argsort(1)[:, -2:]
    other = torch.where(order[:, -1] == y, order[:, -2], order[:, -1])
    return shares.gather(1, other[:, None])[:, 0]


# ---- methods: a function of the three logits -------------------------------------------------------------------------

def mart(a, b, _):
    wrong, right = hidden(F.softmax(b, 1)), F.softmax(a, 1).gather(1, y[:, None])[:, 0]
    boosted = F.cross_entropy(b, y) - torch.log(1.0001 - wrong + 1e-12).mean()
    return boosted + 6.0 * (kl(a, b) * (1.0000001 - right)).mean()


def uda(a, b, _):
    tempered = (a / 0.4).detach()
    confident = (F.softmax(a, 1).max(1)[0] > 0.6).double()
    rows = F.cross_entropy(a, y, reduction="none")
    # Training signal annealing, exponential, after 3 of 4 steps.
    threshold = np.exp((3 / 4 - 1) * 5) * (1 - 1 / CLASSES) + 1 / CLASSES
    kept = (F.softmax(a, 1).gather(1, y[:, None])[:, 0] <= threshold).double()
    assert 0 < confident.sum() < IMAGES and 0 < kept.sum() < IMAGES
    return (rows * kept).sum() / max(kept.sum(), 1) + (kl(tempered, b) * confident).mean()


methods = {
    "adversarial": lambda a, b, _: 0.5 * F.cross_entropy(a, y) + 0.5 * F.cross_entropy(b, y),
    "continuity": lambda a, b, _: F.cross_entropy(a, y) + 0.3 * ((b - a) ** 2).sum(1).mean(),
    "alp": lambda a, b, _: F.cross_entropy(torch.cat([a, b]), torch.cat([y, y])) + 0.5 * F.mse_loss(a, b),
    "clp": lambda a, b, _: F.cross_entropy(a, y) + 0.5 * F.mse_loss(a[:IMAGES // 2], a[IMAGES // 2:]),
    "lsq": lambda a, b, _: F.cross_entropy(a, y) + 0.05 * torch.norm(a, dim=1).mean(),
    "stability": lambda a, b, _: F.cross_entropy(a, y) - 0.01 * (F.softmax(a, 1) * F.log_softmax(b, 1)).sum(1).mean(),
    "trades": lambda a, b, _: F.cross_entropy(a, y) + 6.0 * F.kl_div(
        F.log_softmax(b, 1), F.softmax(a, 1), reduction="sum") / IMAGES,
    "mart": mart,
    "vat": lambda a, b, _: F.cross_entropy(a, y) + kl(a.detach(), b).mean(),
    "uda": uda,
    "augmix": lambda a, b, c: F.cross_entropy(a, y) + 12.0 * js(a, b, c),
    "r_drop": lambda a, b, _: 0.5 * (F.cross_entropy(a, y) + F.cross_entropy(b, y))
    + 0.6 * (kl(a, b) + kl(b, a)).sum() / 2 / IMAGES,
    # the pairing term's other settings
    "l2": lambda a, b, _: torch.norm(b - a, dim=1).mean(),
    "l1": lambda a, b, _: (b - a).abs().sum(1).mean(),
    "huber": lambda a, b, _: F.huber_loss(b, a, reduction="none").sum(1).mean(),
    "huber_mean_all": lambda a, b, _: F.huber_loss(b, a),
    "cosine": lambda a, b, _: (1 - F.cosine_similarity(b, a)).mean(),
    "kl_reverse": lambda a, b, _: kl(b, a).mean(),
    "kl_temperature": lambda a, b, _: kl(a / 2, b / 2).mean(),
    "sym_kl": lambda a, b, _: (kl(a, b) + kl(b, a)).mean() / 2,
    "js": lambda a, b, _: js(a, b),
    "softmax": lambda a, b, _: ((F.softmax(b, 1) - F.softmax(a, 1)) ** 2).sum(1).mean(),
    "log_softmax": lambda a, b, _: ((F.log_softmax(b / 3, 1) - F.log_softmax(a / 2, 1)) ** 2).sum(1).mean(),
}


# ---- writing ---------------------------------------------------------------------------------------------------------

def plain(value):
    """A tensor as lists of numbers of nine digits."""
    if isinstance(value, torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(v) for v in value]
    return float("%.9g" % value) if isinstance(value, float) else value


def row(name, method):
    leaves = [z.clone().requires_grad_() for z in (z0, z1, z2)]
    value = method(*leaves)
    value.backward()
    gradients = [torch.zeros_like(z) if z.grad is None else z.grad for z in leaves]
    return {"name": name, "value": plain(value.item()), "gradients": plain(torch.stack(gradients))}


def penalty():
    """mean_i ||d CE_i / d x_i||^2 of tanh(x W1 + b1) W2 + b2, and its gradients."""
    shapes = {"w1": (4, 7), "b1": (7,), "w2": (7, 3), "b2": (3,)}
    w = {name: numbers(*shape, scale=0.6).requires_grad_() for name, shape in shapes.items()}
    x, labels = numbers(5, 4).requires_grad_(), torch.tensor(draw.randint(0, 3, 5))
    logits = torch.tanh(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]
    g, = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), x, create_graph=True)
    value = (g ** 2).sum(1).mean()
    gradients = torch.autograd.grad(value, list(w.values()))
    return {"value": plain(value.item()), "x": plain(x.detach()), "y": (labels + 1).tolist(),
            "weights": {name: plain(tensor.detach()) for name, tensor in w.items()},
            "gradients": {name: plain(gradient) for name, gradient in zip(w, gradients)}}


def main():
    made = {"made_with": {"torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0]},
            "x": plain(z0), "x1": plain(z1), "x2": plain(z2), "y": (y + 1).tolist(),
            "rows": [row(name, method) for name, method in methods.items()], "penalty": penalty()}
    with open(OUT, "w") as f:
        json.dump(made, f, separators=(",", ":"))
        f.write("\n")


main()
