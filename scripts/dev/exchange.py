#!/usr/bin/python3
"""exchange.py -- weights that torch and Penumbra hand to each other, for tests/parity/exchange_spec.lua.

usage: scripts/dev/exchange.py PENUMBRA      PENUMBRA: the program, which writes its side of the fixture

One small network with every kind of tensor (plain, grouped and depthwise convolutions, batch norms before and behind a
flatten, a shortcut, linear layers), once with weights drawn by torch, once with weights drawn by Penumbra:

  exchange_torch.safetensors, .pt   written by torch
  exchange_penumbra.safetensors     written by Penumbra (tests/parity/exchange.lua), loaded here with strict names
  exchange.lua                      the logits torch computes from each, in float64, and the versions

The input is drawn from Philox, as in fixtures.py.
"""
import json
import os
import struct
import subprocess
import sys

import numpy as np
import torch
from torch import nn

from fixtures import OUT, Draw, image_to_torch, lua

TYPES = {"F32": np.float32, "I32": np.int32, "I64": np.int64}


def read_safetensors(path):
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    tensors = {}
    for name, about in json.loads(content[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        array = np.frombuffer(content[8 + size + begin:8 + size + end], TYPES[about["dtype"]])
        tensors[name] = torch.from_numpy(array.reshape(about["shape"]).copy())
    return tensors


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        array = tensor.numpy()
        dtype = next(key for key, kind in TYPES.items() if array.dtype == kind)
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.downsample = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)) + self.downsample(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.block = Block()
        self.bn = nn.BatchNorm1d(8 * 3 * 4)
        self.fc1 = nn.Linear(8 * 3 * 4, 5)
        self.fc2 = nn.Linear(5, 4)

    def forward(self, x):
        x = torch.relu(self.depthwise(torch.relu(self.conv1(x))))
        x = self.bn(torch.flatten(self.block(x), 1))
        return self.fc2(torch.relu(self.fc1(x)))


def logits(net, x):
    with torch.no_grad():
        return [[float(v) for v in row] for row in net.double().eval()(x)]


def main():
    program = sys.argv[1]
    x = image_to_torch(Draw(21).uniform("x", [2, 6, 8, 3], 0, 1))

    torch.manual_seed(0)
    net = Net()
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.5, 0.5)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    state = net.state_dict()
    write_safetensors(os.path.join(OUT, "exchange_torch.safetensors"), state)
    torch.save(state, os.path.join(OUT, "exchange_torch.pt"))
    from_torch = logits(net, x)

    path = os.path.join(OUT, "exchange_penumbra.safetensors")
    subprocess.run([program, os.path.join(OUT, "..", "exchange.lua"), path], check=True)
    net = Net()
    net.load_state_dict(read_safetensors(path), strict=True)
    from_penumbra = logits(net, x)

    index = {"versions": {"torch": torch.__version__, "numpy": np.__version__}, "seed": 21, "size": [2, 6, 8, 3],
             "from_torch": from_torch, "from_penumbra": from_penumbra}
    with open(os.path.join(OUT, "exchange.lua"), "w") as file:
        file.write("-- Written by scripts/dev/exchange.py.\nreturn " + lua(index) + "\n")


if __name__ == "__main__":
    main()
