#!/usr/bin/python3
"""peer_torch.py -- one case of cases.lua as torch does it, in a process of its own, whenever it is told to.

usage: peer_torch.py NETWORK STEM WORK CLASSES SIDE CHANNELS BATCH THREADS SETTING

SETTING: stock     as it comes
         tuned     channels_last, Adam in one pass (2 to 6 % of a step); the caller keeps the allocator from returning
                   memory (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_: page faults cost torch 10 to 30 %)
         bfloat16  tuned, and under bfloat16 autocast
         compiled  tuned, and the network through torch.compile

Prints a line of JSON when it is ready (after two steps), and one for each turn. A line on standard input asks for a
turn: the seconds it should take at least. It ends with its input. work.lua does the same for Penumbra. Where a setting
cannot run, the only line has its reason as "skipped".
"""
import inspect
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

try:
    import torchvision.transforms.v2.functional as colour
except ImportError:
    import torchvision.transforms.functional as colour

WARM_UP = 2
RADIUS, STEP, ITERATIONS = 8 / 255, 2 / 255, 10


class ZeroPad(nn.Module):
    """Shortcut A of He et al. 2015: every second pixel, the missing channels zero."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.missing = outputs - inputs

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.missing))


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if inputs == width else ZeroPad(inputs, width)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


def resnet8(channels, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def lenet(channels, classes):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(inplace=True), nn.Linear(120, 84), nn.ReLU(inplace=True), nn.Linear(84, classes))


def build(network, stem, channels, classes):
    if network == "resnet8":
        return resnet8(channels, classes)
    if network == "lenet":
        return lenet(channels, classes)
    model = getattr(torchvision.models, network)(num_classes=classes)
    if stem == "cifar":
        model.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    return model


def adam(model, one_pass):
    known = "fused" in inspect.signature(torch.optim.Adam).parameters and torch.__version__ >= "2.4"
    return torch.optim.Adam(model.parameters(), lr=1e-3, **({"fused": True} if one_pass and known else {}))


def resident_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def say(**fields):
    print(json.dumps(fields), flush=True)


class WarmUpFailed(Exception):
    pass


def serve(step, **about):
    """Says when it is ready, after two steps, and then takes a turn for each line of the input. A step takes the
    iterations of an attack."""

    def timed(iterations):
        start = time.perf_counter()
        step(iterations)
        return time.perf_counter() - start

    begin = time.perf_counter()
    try:
        for _ in range(WARM_UP):
            last = timed(1)
    except Exception as problem:
        raise WarmUpFailed(problem) from problem
    say(**{"program": "torch", "version": torch.__version__, "torchvision": torchvision.__version__,
           "warm_up_seconds": time.perf_counter() - begin, **about})

    for line in sys.stdin:
        # Steps of less than a second find cold caches after another program's turn: one is not counted.
        if last < 1:
            step(1)
        times, begin = [], time.perf_counter()
        while not times or time.perf_counter() - begin < float(line):
            last = timed(ITERATIONS)
            times.append(last)
        say(steps=len(times), ms=1e3 * statistics.median(times), ms_min=1e3 * min(times),
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_steps(model, network, optimizer, x, y, autocast):
    """The work of one batch, by name. Each takes the iterations of an attack. `network` runs, `model` has weights."""

    def autocast_loss(images, labels):
        with autocast():
            return F.cross_entropy(network(images), labels)

    def train(images):
        optimizer.zero_grad(set_to_none=True)
        autocast_loss(images, y).backward()
        optimizer.step()

    perturbed = (x + 0.1).clamp(0, 1)

    def continuity(_):
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            clean, other = network(torch.cat([x, perturbed])).float().chunk(2)
            loss = F.cross_entropy(clean, y) + 1.0 * (other - clean).square().sum(1).mean()
        loss.backward()
        optimizer.step()

    def attack(iterations):
        model.eval().requires_grad_(False)
        found = (x + torch.empty_like(x).uniform_(-RADIUS, RADIUS)).clamp(0, 1)
        low, high = (x - RADIUS).clamp(min=0), (x + RADIUS).clamp(max=1)
        for _ in range(iterations):
            found.requires_grad_(True)
            gradient, = torch.autograd.grad(autocast_loss(found, y), found)
            found = torch.clamp(found.detach() + STEP * gradient.sign(), low, high)
        model.train().requires_grad_(True)
        return found

    def infer(_):
        with torch.inference_mode(), autocast():
            network(x)

    def jitter(_):
        low, wide = torch.rand(4).tolist(), 0.8
        out = colour.adjust_brightness(x, 0.6 + wide * low[0])
        out = colour.adjust_contrast(out, 0.6 + wide * low[1])
        out = colour.adjust_saturation(out, 0.6 + wide * low[2])
        colour.adjust_hue(out, -0.1 + 0.2 * low[3])

    return {"train": lambda _: train(x), "continuity": continuity, "pgd": attack,
            "adversarial": lambda iterations: train(attack(iterations)), "infer": infer, "jitter": jitter}


def main():
    kind, stem, work = sys.argv[1:4]
    classes, side, channels, batch, threads = map(int, sys.argv[4:9])
    setting = sys.argv[9]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    start_mb = resident_mb()

    layout = torch.contiguous_format if setting == "stock" else torch.channels_last
    x = torch.rand(batch, channels, side, side).to(memory_format=layout)
    y = torch.arange(batch) % classes
    model = network = optimizer = None
    if kind != "none":
        model = build(kind, stem, channels, classes).to(memory_format=layout)
        model.train(work != "infer")
        network = model
        optimizer = adam(model, setting != "stock")
    if setting == "compiled":
        if not hasattr(torch, "compile"):
            return say(skipped="torch %s has no torch.compile" % torch.__version__)
        network = torch.compile(model)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=setting == "bfloat16")

    step = make_steps(model, network, optimizer, x, y, autocast)[work]

    try:
        serve(step, parameters=sum(p.numel() for p in model.parameters()) if model else 0, start_mb=start_mb)
    except WarmUpFailed as problem:
        if setting != "compiled":
            raise
        say(skipped="torch.compile failed: " + str(problem).splitlines()[0])


if __name__ == "__main__":
    main()
