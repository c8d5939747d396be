#!/usr/bin/env python3
"""attack_fixtures.py -- what other libraries' attacks do to the same networks, for tests/parity/attack_spec.lua.

usage: PYTHON scripts/dev/attack_fixtures.py DATA [TOPIC ...]     topics: iterates pgd autoattack; default all
       with torch, torchvision, foolbox 3.3, torchattacks 3.5 and pyautoattack 0.2 (the authors' own AutoAttack)

DATA is the folder of data sets: weights/ has the networks, mnist/ and cifar10/ the test images, of which the first
ones are taken, in the order of the file. Writes into tests/parity/fixtures
  attack.npy, attack.lua    the first iterates of PGD without random start, on a few images (a minute);
  attack_pgd.lua            robust accuracies under PGD over 1,000 images (half an hour in one thread);
  attack_autoattack.lua     what AutoAttack leaves of the 1,000 images, attack by attack (hours; written anew after each
                            hundred images).
PENUMBRA_THREADS says how many threads torch takes (1).
"""
import logging
import os
import re
import sys
import time

import foolbox
import numpy as np
import pyautoattack
import torch
import torch.nn.functional as F
import torchattacks

import fixtures
from fixtures import OUT, Book, Draw, fill, image_from_torch, image_to_torch, lua
from published import MNIST_NETS, RESNET, LeNet5, images_of, network

VERSIONS = {**fixtures.VERSIONS, "foolbox": foolbox.__version__, "torchattacks": torchattacks.__version__,
            "pyautoattack": pyautoattack.__version__}
COUNT, BATCH = 1000, 100
SEARCHED = {**dict.fromkeys(MNIST_NETS, 200), RESNET: 30}  # images among which those of `iterates` are chosen


# ---- the two libraries at equal settings -----------------------------------------------------------------------------

def by_foolbox(model, x, y, norm, eps, step, iters, start, target=None):
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    attack = kind(abs_stepsize=step, steps=iters, random_start=start)
    criterion = foolbox.criteria.Misclassification(y) if target is None else \
        foolbox.criteria.TargetedMisclassification(target)
    return attack(wrapped, x, criterion, epsilons=eps)[1]  # clipped to the ball once more, as foolbox judges it


def by_torchattacks(model, x, y, norm, eps, step, iters, start, target=None):
    kind = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[norm]
    attack = kind(model, eps=eps, alpha=step, steps=iters, random_start=start)
    if target is not None:
        attack.set_mode_targeted_by_label(quiet=True)
        return attack(x, target)
    return attack(x, y)


# ---- topics ----------------------------------------------------------------------------------------------------------

def steadiest(model, x, y, count, *settings):
    """The images on which torch's iterates in float agree best with its own in double, and with those in float in the
    other layout. Where a softmax is saturated, or a pooled patch is flat, as MNIST's background is, a gradient hangs
    on rounding: without oneDNN torch steps elsewhere on a third of the pixels of MNIST."""
    single = by_foolbox(model, x, y, *settings, False)
    double = by_foolbox(model.double(), x.double(), y, *settings, False)
    last = by_foolbox(model.float().to(memory_format=torch.channels_last),
                           x.contiguous(memory_format=torch.channels_last), y, *settings, False)
    model.to(memory_format=torch.contiguous_format)
    apart = torch.maximum((single - double).abs(), (single - last).abs().double()).flatten(1)
    order = sorted(range(len(x)), key=lambda k: ((apart[k] > 1e-6).sum().item(), apart[k].max().item()))
    return sorted(order[:count])


def iterates(data):
    book, cases = Book("attack", np.float32), []

    def case(title, name, count, norm, eps, step, iters, targeted=False):
        target = None
        if name == "drawn":
            draw = Draw(1)
            model = fill(LeNet5(channels_last=True), draw).eval().requires_grad_(False)
            x = image_to_torch(draw.uniform("attack/x", [count, 28, 28, 1], 0.0, 1.0)).float()
            y = torch.from_numpy(draw.index("attack/y", count, 10))
            kept = list(range(count))
        else:
            model = network(data, name)
            x, y = images_of(data, name, SEARCHED[name])
            kept = steadiest(model, x, y, count, norm, eps, step, iters)
            x, y = x[kept], y[kept]
        if targeted:
            target = model(x).argmin(1)
        leaf = x.clone().requires_grad_()
        gradient, = torch.autograd.grad(F.cross_entropy(model(leaf), y if target is None else target, reduction="sum"),
                                        leaf)
        worst, places = 0.0, []
        for k in range(1, iters + 1):
            theirs = by_torchattacks(model, x, y, norm, eps, step, k, False, target)
            others = by_foolbox(model, x, y, norm, eps, step, k, False, target)
            worst = max(worst, ((theirs - others).abs() > 1e-5).float().mean().item())
            places.append(book.keep(image_from_torch(theirs)))
        cases.append({"title": title, "net": name, "images": [k + 1 for k in kept], "norm": norm, "eps": eps,
                      "step": step, "targeted": targeted, "peers_differ": worst,
                      "gradient": book.keep(image_from_torch(gradient)), "iterates": places})
        print("%s: the two differ by more than 1e-5 on %.4f %% of the pixels" % (title, 100 * worst))

    case("drawn weights, linf", "drawn", 4, "linf", 0.1, 0.025, 3)
    case("drawn weights, l2", "drawn", 4, "l2", 1.0, 0.4, 3)
    case("drawn weights, linf, least likely class", "drawn", 4, "linf", 0.1, 0.025, 2, True)
    case("MNIST, clean, linf", MNIST_NETS[0], 4, "linf", 0.3, 0.075, 3)
    case("MNIST, adversarial, linf", MNIST_NETS[1], 8, "linf", 0.3, 0.075, 3)
    case("MNIST, adversarial, l2", MNIST_NETS[1], 4, "l2", 1.5, 0.6, 1)
    case("CIFAR-10, ResNet-20, linf", RESNET, 2, "linf", 8 / 255, 2 / 255, 3)
    case("CIFAR-10, ResNet-20, l2", RESNET, 1, "l2", 0.5, 0.2, 2)
    book.write("attack_fixtures.py", VERSIONS, seed=1, cases=cases)


def write(topic, content):
    path = os.path.join(OUT, topic + ".lua")
    with open(path, "w") as f:
        f.write("-- Made by scripts/dev/attack_fixtures.py.\nreturn " + lua(content) + "\n")


def answers(model, x, y, attack=None, *settings):
    """Which images the model gets right, after the attack if there is one: bool [N]."""
    parts = []
    for i in range(0, len(x), BATCH):
        images, labels = x[i:i + BATCH], y[i:i + BATCH]
        if attack:
            images = attack(model, images, labels, *settings)
        parts.append(model(images).argmax(1) == labels)
    return torch.cat(parts)


def percent(right):
    return round(100 * right.float().mean().item(), 4)


def pgd(data):
    """The libraries' robust accuracies; without a random start also the outcomes: a digit for each image, 1 where
    torchattacks leaves it right."""
    rows, clean = [], {}
    settings = [(name, "linf", eps, step, iters)
                for name in MNIST_NETS for eps, step, iters in
                ((0.3, 0.075, 10), (0.3, 0.01, 40), (0.1, 0.025, 10), (0.1, 0.01, 40))]
    settings += [(name, "l2", 1.5, 0.3, 10) for name in MNIST_NETS]
    settings += [(RESNET, "linf", 2 / 255, 2 / 255, 10), (RESNET, "linf", 8 / 255, 2 / 255, 10)]
    for name, norm, eps, step, iters in settings:
        model = network(data, name)
        x, y = images_of(data, name, COUNT)
        if name not in clean:
            clean[name] = percent(answers(model, x, y))
        for start in (False, True):
            row = {"net": name, "norm": norm, "eps": eps, "step": step, "iters": iters, "start": start}
            for library, attack in (("foolbox", by_foolbox), ("torchattacks", by_torchattacks)):
                torch.manual_seed(1)
                right = answers(model, x, y, attack, norm, eps, step, iters, start)
                row[library] = percent(right)
            if not start:
                digits = "".join("01"[int(r)] for r in right)
                row["outcomes"] = [digits[i:i + BATCH] for i in range(0, COUNT, BATCH)]
            rows.append(row)
            print({k: v for k, v in row.items() if k != "outcomes"}, flush=True)
            write("attack_pgd", {"made_with": VERSIONS, "count": COUNT, "clean": clean, "rows": rows})


# ---- AutoAttack ------------------------------------------------------------------------------------------------------

def by_ensemble(iters):
    """torchattacks' ensemble; its own has 10 iterations where the authors' has 100."""

    def run(model, x, y, eps):
        whole = torchattacks.AutoAttack(model, norm="Linf", eps=eps, n_classes=10, seed=1)
        for attack in whole._autoattack.attacks[:3]:
            attack.steps = iters
        records = whole._autoattack
        records._accumulate_multi_atk_records, records._multi_atk_records = True, [0] * 5
        whole(x, y)
        return [int(left) for left in records._multi_atk_records[1:]]

    return run


def by_authors(model, x, y, eps):
    """What their log says: this many of the images resist after each attack."""
    shares = []

    class Keep(logging.Handler):
        def emit(self, record):
            said = re.search(r"robust accuracy after .*: ([\d.]+)%", record.getMessage())
            if said:
                shares.append(float(said.group(1)))

    logger, keep = logging.getLogger("auto-attack"), Keep()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(keep)
    pyautoattack.AutoAttack(model, norm="Linf", eps=eps, version="standard", seed=1).run_standard_evaluation(x, y)
    logger.removeHandler(keep)
    return [round(share * len(x) / 100) for share in shares]


def autoattack(data):
    """How many images resist after APGD-CE, APGD-T, FAB-T and Square."""
    rows, name, eps = [], MNIST_NETS[1], 0.3
    model, (x, y) = network(data, name), images_of(data, name, COUNT)
    for library, iters, run in (("torchattacks", 100, by_ensemble(100)), ("pyautoattack", 100, by_authors),
                                ("torchattacks", 10, by_ensemble(10))):
        left, begin = np.zeros(4, int), time.time()
        rows.append({})
        for i in range(0, COUNT, BATCH):
            left += np.array(run(model, x[i:i + BATCH], y[i:i + BATCH], eps))
            rows[-1] = {"library": library, "iters": iters, "net": name, "norm": "linf", "eps": eps,
                        "count": i + BATCH, "left": left.tolist()}
            print(rows[-1], "%.0f s" % (time.time() - begin), flush=True)
            write("attack_autoattack", {"made_with": VERSIONS, "rows": rows})


def main():
    torch.set_num_threads(int(os.environ.get("PENUMBRA_THREADS", "1")))
    topics = {"iterates": iterates, "pgd": pgd, "autoattack": autoattack}
    for name in sys.argv[2:] or topics:
        topics[name](sys.argv[1])


if __name__ == "__main__":
    main()
