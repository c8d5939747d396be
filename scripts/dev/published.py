"""published.py -- the networks that attacks are compared on, and their test images, in torch."""
import gzip
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

MNIST_NETS = ("mnist_lenet5_clntrained.pt", "mnist_lenet5_advtrained.pt")
RESNET = "resnet20-12fca82f.th"


class LeNet5(nn.Module):
    """advertorch's: two 3x3 convolutions, each with ReLU and pooling, and two linear layers. Drawn weights see the maps
    as Penumbra lays them out, channels last."""

    def __init__(self, channels_last=False):
        super().__init__()
        self.channels_last = channels_last
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.linear1, self.linear2 = nn.Linear(3136, 200), nn.Linear(200, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.missing = width - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.missing:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """akamaster's: shortcuts without weights; takes images in [0, 1] and normalises them itself."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean(dim=(2, 3)))


def network(data, name):
    """The network of a file in DATA/weights, in evaluation mode, without gradients of its own."""
    model = ResNet20() if name == RESNET else LeNet5()
    state = torch.load(os.path.join(data, "weights", name), map_location="cpu", weights_only=True)
    state = {k.removeprefix("module."): v for k, v in state.get("state_dict", state).items()}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert all(k.endswith("num_batches_tracked") for k in missing), missing
    return model.eval().requires_grad_(False)


def images_of(data, name, count):
    """The first `count` test images, [N,C,H,W] in [0, 1], and their labels from 0."""
    if name == RESNET:
        path = os.path.join(data, "cifar10", "cifar-10-batches-bin", "test_batch.bin")
        records = np.fromfile(path, np.uint8).reshape(-1, 3073)[:count]
        x, y = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    else:
        def read(kind, skip):
            with gzip.open(os.path.join(data, "mnist", "t10k-" + kind + "-ubyte.gz")) as f:
                return np.frombuffer(f.read(), np.uint8, offset=skip)
        x, y = read("images-idx3", 16).reshape(-1, 1, 28, 28)[:count], read("labels-idx1", 8)[:count]
    return torch.from_numpy(x.astype(np.float32) / np.float32(255)), torch.from_numpy(y.astype(np.int64))
