#!/usr/bin/python3
"""peer_attack.py -- the case autoattack of cases.lua, as torchattacks does it.

usage: peer_attack.py WORK WEIGHTS BATCH THREADS SETTING

WEIGHTS is DATA/weights/NAME; the images are in DATA/mnist. torchattacks gives APGD and FAB 10 iterations where the
authors' ensemble gives them 100: here they have 100, as ours. peer_torch.py says how it is told; work_attack.lua does
the same for Penumbra.
"""
import os
import sys

import torch

from peer_torch import ITERATIONS, resident_mb, say, serve

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "dev"))
from published import images_of, network

EPS, WHOLE, QUERIES = 0.3, 100, 5000


def main():
    weights, batch, threads = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    start_mb = resident_mb()
    try:
        import torchattacks
    except ImportError:
        return say(skipped="torchattacks is not installed; %s -m pip install torchattacks" % sys.executable)
    data, name = os.path.dirname(os.path.dirname(weights)), os.path.basename(weights)
    model, (x, y) = network(data, name), images_of(data, name, batch)

    def step(iterations):
        whole = iterations == ITERATIONS
        ensemble = torchattacks.AutoAttack(model, norm="Linf", eps=EPS, n_classes=10, seed=1)
        *gradient, square = ensemble._autoattack.attacks
        for attack in gradient:
            attack.steps = WHOLE if whole else iterations
        square.n_queries = QUERIES if whole else 10 * iterations
        ensemble(x, y)

    serve(step, version="%s, torchattacks %s" % (torch.__version__, torchattacks.__version__), start_mb=start_mb,
          parameters=sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    main()
