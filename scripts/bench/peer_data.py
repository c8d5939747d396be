#!/usr/bin/python3
"""peer_data.py -- one of the cases of cases.lua that prepare images, as torchvision does it.

usage: peer_data.py WORK FOLDER BATCH THREADS SETTING

SETTING: stock   Pillow's images through torchvision's transforms: what its ImageFolder and CIFAR classes give
         tuned   torchvision.io's decoder, and transforms v2 on tensors of bytes

One thread does all: a DataLoader without workers spares the copy from another process. peer_torch.py says how it is
told; work_data.lua does the same for Penumbra.
"""
import glob
import os
import sys

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file

from peer_torch import resident_mb, serve

try:
    from torchvision.transforms import v2
except ImportError:
    v2 = None

BATCH = 50  # of the photographs


class Bytes(Dataset):
    """Images [N,H,W,3] of bytes, handled as torchvision.datasets.CIFAR10 handles its own."""

    def __init__(self, images, labels, transform, tensors):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() if tensors else images
        self.labels, self.transform, self.tensors = labels, transform, tensors

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        return self.transform(image if self.tensors else Image.fromarray(image)), self.labels[index]


def read_cifar100(folder):
    path, = glob.glob(os.path.join(folder, "**", "train.bin"), recursive=True)
    records = numpy.fromfile(path, numpy.uint8).reshape(-1, 3074)
    images = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return numpy.ascontiguousarray(images), [int(label) for label in records[:, 1]]


def decode_tensor(path):
    return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)


def make_transform(work, tensors):
    if tensors:
        made = {"decode": [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()],
                "centre": [v2.Resize(256, antialias=True), v2.CenterCrop(224)],
                "batches": [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]}[work]
        return v2.Compose(made + [v2.ToDtype(torch.float32, scale=True)])
    made = {"decode": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
            "centre": [transforms.Resize(256), transforms.CenterCrop(224)],
            "batches": [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]}[work]
    return transforms.Compose(made + [transforms.ToTensor()])


def photographs(work, folder, count, tensors):
    options = {"loader": decode_tensor} if tensors else {}
    data = ImageFolder(folder, make_transform(work, tensors), **options)
    return torch.utils.data.Subset(data, range(min(count, len(data))))


def main():
    work, folder, batch, threads, setting = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    start_mb = resident_mb()
    tensors = setting == "tuned"
    if work == "batches":
        images, labels = read_cifar100(folder)
        data = Bytes(images, labels, make_transform(work, tensors), tensors)
        loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
        batches = iter(loader)

        def step(_):
            nonlocal batches
            if next(batches, None) is None:
                batches = iter(loader)
                next(batches)
    else:
        loader = DataLoader(photographs(work, folder, batch, tensors), batch_size=BATCH)

        def step(_):
            for _ in loader:
                pass

    serve(step, parameters=0, start_mb=start_mb)


if __name__ == "__main__":
    main()
