#!/usr/bin/python3
"""peer_torch.py -- times one case with torch, in a process of its own, and prints one line of JSON.

usage: peer_torch.py CASE [--batch N] [--threads N] [--seconds S] [--layout contiguous|channels_last]
                     [--precision float|bfloat16]

CASE: resnet18_train (forward, cross-entropy, backward, Adam), resnet18_infer. The network is torchvision's ResNet-18
with the 3x3 stem for 32x32 images and 100 classes, as in scripts/bench/resnet18.lua. The caller sets the allocator's
variables (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_): with its defaults page faults cost torch 10 to 30 %.
"""
import argparse
import json
import os
import resource
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision

CLASSES, SIDE, WARM_UP = 100, 32, 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["resnet18_train", "resnet18_infer"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--layout", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--precision", choices=["float", "bfloat16"], default="float")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = torch.nn.Identity()
    model = model.to(memory_format=layout)
    x = torch.rand(options.batch, 3, SIDE, SIDE).to(memory_format=layout)
    y = torch.randint(CLASSES, (options.batch,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")

    def train():
        optimizer.zero_grad()
        with autocast():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    def infer():
        with torch.no_grad(), autocast():
            model(x)

    training = options.case == "resnet18_train"
    model.train(training)
    step = train if training else infer
    for _ in range(WARM_UP):
        step()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < options.seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    print(json.dumps({
        "case": options.case, "program": "torch", "version": torch.__version__, "batch": options.batch,
        "threads": options.threads, "layout": options.layout, "precision": options.precision,
        "malloc": os.environ.get("MALLOC_TRIM_THRESHOLD_", "default"),
        "steps": len(times), "ms": round(1e3 * median, 2), "ms_min": round(1e3 * min(times), 2),
        "images_per_second": round(options.batch / median, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }))


if __name__ == "__main__":
    main()
