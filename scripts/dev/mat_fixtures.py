#!/usr/bin/env python3
"""mat_fixtures.py -- MATLAB 5 files by SciPy, for tests/parity/mat_spec.lua. Made once, with SciPy 1.17.1.

usage: scripts/dev/mat_fixtures.py

Writes tests/parity/fixtures/mat/svhn.mat (three images, labels as doubles, compressed), svhn_plain.mat (labels as
uint8, not compressed, y first) and meta.mat (a table of structs such as ImageNet's). A pixel is
n * 101 + y * 7 + x * 3 + c * 50, modulo 256, all from 0.
"""
import os

import numpy as np
import scipy.io

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "parity", "fixtures", "mat")

y, x, c, n = np.ogrid[:32, :32, :3, :3]
images = (n * 101 + y * 7 + x * 3 + c * 50).astype(np.uint8)
labels = np.array([[1], [10], [9]])

fields = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images")
synsets = np.zeros((5, 1), dtype=[(field, "O") for field in fields])
for i in range(5):
    number = np.uint16(i + 1) if i % 2 else float(i + 1)
    children = np.array([[1, 2, 3]], np.uint16) if i == 4 else np.zeros((1, 0))
    synsets[i, 0] = (number, "n%08d" % (5000 - i), "wörd %d, other" % i, "a long text " * 20, len(children[0]),
                     children, 0, 1300)

os.makedirs(OUT, exist_ok=True)
scipy.io.savemat(os.path.join(OUT, "svhn.mat"), {"X": images, "y": labels.astype(float)}, do_compression=True)
scipy.io.savemat(os.path.join(OUT, "svhn_plain.mat"), {"y": labels.astype(np.uint8), "X": images})
scipy.io.savemat(os.path.join(OUT, "meta.mat"), {"other": {"a": [1, 2, "x"], "b": np.eye(3)}, "synsets": synsets},
                 do_compression=True)
