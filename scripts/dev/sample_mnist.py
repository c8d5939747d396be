#!/usr/bin/env python3
"""Draws the sample of MNIST in examples/data/mnist from the full set.

    scripts/dev/sample_mnist.py FOLDER [--seed 1] [--count 6000] [--out examples/data/mnist]

FOLDER holds the four official files. The sample is stratified: every class gets its share of the training set, rounded
by largest remainder, and the images keep their order. The test set is taken whole. The same arguments draw the same
digits (random.Random with a seed), and the files carry no time stamp.
"""
import argparse
import gzip
import io
import pathlib
import random
import struct
import sys


def read(path, magic):
    """Sizes and items of an IDX file of bytes."""
    data = gzip.decompress(path.read_bytes())
    found, *sizes = struct.unpack_from(f">{1 + (magic & 255)}I", data)
    if found != magic:
        sys.exit(f"{path}: magic number {found:#x} at offset 0, {magic:#x} expected")
    head = 4 * (1 + len(sizes))
    step = 1
    for size in sizes[1:]:
        step *= size
    if len(data) != head + sizes[0] * step:
        sys.exit(f"{path}: {len(data)} bytes, {head + sizes[0] * step} expected")
    return sizes, [data[head + i * step:head + (i + 1) * step] for i in range(sizes[0])]


def write(path, magic, sizes, items):
    text = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=text, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(struct.pack(f">{1 + len(sizes)}I", magic, len(items), *sizes[1:]))
        file.write(b"".join(items))
    path.write_bytes(text.getvalue())


def shares(labels, count):
    """How many of each class to take: proportional, rounded by largest remainder (ties: the lower class)."""
    sizes = {label: labels.count(label) for label in sorted(set(labels))}
    exact = {label: count * size / len(labels) for label, size in sizes.items()}
    taken = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (taken[label] - exact[label], label))
    for label in by_remainder[:count - sum(taken.values())]:
        taken[label] += 1
    return taken


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("examples/data/mnist"))
    options = parser.parse_args()

    images, labels = 0x803, 0x801
    names = {"train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
             "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")}
    for part, (image_name, label_name) in names.items():
        sizes, pictures = read(options.folder / image_name, images)
        label_sizes, classes = read(options.folder / label_name, labels)
        if part == "train":
            draw = random.Random(options.seed)
            keep = []
            for label, count in shares(classes, options.count).items():
                keep += draw.sample([i for i, c in enumerate(classes) if c == label], count)
            keep.sort()
            pictures, classes = [pictures[i] for i in keep], [classes[i] for i in keep]
        write(options.out / image_name, images, sizes, pictures)
        write(options.out / label_name, labels, label_sizes, classes)


if __name__ == "__main__":
    main()
