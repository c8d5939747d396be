#!/usr/bin/python3
"""fixtures.py -- reference results for tests/parity, made once with torch and torchvision.

usage: scripts/dev/fixtures.py [TOPIC ...]     topics: ops nets double optim colour; default all

Writes tests/parity/fixtures/TOPIC.npy (all numbers of a topic, one after the other) and TOPIC.lua (what they are, and
the versions that made them). Inputs and weights are not stored: both sides draw them from Philox4x32-10, which is
integer arithmetic, as the class Draw says. All tensors are drawn and stored in Penumbra's element order (images
NxHxWxC, weights kh x kw x Cin x Cout); this script permutes them for torch and back.

Values are rounded to the build's element type, then torch computes in float64: the reference is exact to the stored
precision.

A ReLU whose argument is zero but for rounding makes a gradient jump (by up to a percent, in deep layers), in torch as
in any other program. The input seed of a network in float is therefore searched for: among SEEDS, the one whose ReLU
arguments keep the greatest distance from zero, in units of torch's own float error there.
"""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
import torchvision.transforms.functional as TF

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "parity", "fixtures")
PLACES = 64       # entries of each gradient that are kept
PROJECTIONS = 4   # products with +-1 vectors that are kept
SEEDS = 200       # input seeds tried
VERSIONS = {"torch": torch.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__}


# ---- values from integers --------------------------------------------------------------------------------------------

def philox(seed, stream, blocks):
    """Four 32-bit words for each index in `blocks` (uint64 array), as an array [len(blocks), 4]."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c0, c1 = blocks & low, blocks >> half
    c2 = np.full_like(blocks, stream & 0xFFFFFFFF)
    c3 = np.full_like(blocks, stream >> 32)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> half) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = (p0 >> half) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def units(seed, stream, count):
    """`count` numbers in [0, 1) with 53 bits: block i gives elements 2i and 2i + 1."""
    parts = []
    for begin in range(0, (count + 1) // 2, 1 << 15):
        words = philox(seed, stream, np.arange(begin, min(begin + (1 << 15), (count + 1) // 2), dtype=np.uint64))
        joined = (words[:, 0::2] << np.uint64(32)) | words[:, 1::2]
        parts.append((joined >> np.uint64(11)).astype(np.float64).ravel() * 2.0**-53)
    return np.concatenate(parts)[:count]


def stream_of(name):
    """FNV-1a, 32 bits: the stream of a named tensor."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


class Draw:
    """Named tensors from one seed, as the build with elements of type `dtype` draws them."""

    def __init__(self, seed, dtype=np.float32):
        self.seed, self.dtype = seed, dtype

    def uniform(self, name, size, low=-1.0, high=1.0):
        """low + (high - low) * u, computed in double, rounded to dtype; returned as double, in Penumbra's order."""
        u = units(self.seed, stream_of(name), int(np.prod(size)))
        return (low + (high - low) * u).astype(self.dtype).astype(np.float64).reshape(size)

    def index(self, name, count, below):
        """floor(u * below) with one u a block, counted from 0."""
        return np.floor(units(self.seed, stream_of(name), 2 * count)[0::2] * below).astype(np.int64)


def bound(fan_in):
    """The largest power of two b with b * b * fan_in <= 6 (Kaiming's uniform bound, rounded down)."""
    b = 1.0
    while b * b * fan_in > 6:
        b /= 2
    return b


def image_to_torch(a):  # NxHxWxC -> NxCxHxW
    return torch.from_numpy(np.ascontiguousarray(a.transpose(0, 3, 1, 2)))


def image_from_torch(t):
    return t.detach().numpy().transpose(0, 2, 3, 1)


def weight_to_torch(a):  # kh x kw x Cin x Cout -> Cout x Cin x kh x kw
    return torch.from_numpy(np.ascontiguousarray(a.transpose(3, 2, 0, 1)))


def weight_from_torch(t):
    return t.detach().numpy().transpose(2, 3, 1, 0)


# ---- files -----------------------------------------------------------------------------------------------------------

def lua(value, indent=""):
    """A Python value as a Lua expression; dictionaries keep their order."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return '"%s"' % value
    if isinstance(value, dict):
        items = ["%s = %s" % (k if k.isidentifier() else '["%s"]' % k, lua(v, indent + "  ")) for k, v in value.items()]
    else:
        items = [lua(v, indent + "  ") for v in value]
    line = "{ " + ", ".join(items) + " }" if items else "{}"
    if len(indent) + len(line) <= 100 and "\n" not in line:
        return line
    return "{\n" + "".join("%s  %s,\n" % (indent, i) for i in items) + indent + "}"


class Book:
    """The numbers of one topic and the table that says where each is."""

    def __init__(self, name, dtype):
        self.name, self.dtype, self.parts, self.at = name, dtype, [], 1

    def keep(self, array):
        """Stores an array; returns where it begins (from 1) and its size."""
        array = np.asarray(array, dtype=np.float64)
        place = {"at": self.at, "size": list(array.shape)}
        self.parts.append(array.astype(self.dtype).ravel())
        self.at += array.size
        return place

    def write(self, script="fixtures.py", versions=VERSIONS, **content):
        os.makedirs(OUT, exist_ok=True)
        np.save(os.path.join(OUT, self.name + ".npy"), np.concatenate(self.parts))
        with open(os.path.join(OUT, self.name + ".lua"), "w") as f:
            f.write("-- Made by scripts/dev/%s; the numbers are in %s.npy.\n" % (script, self.name))
            f.write("return " + lua({"made_with": versions, **content}) + "\n")
        print("%s: %d numbers" % (self.name, self.at - 1))


# ---- single operations -----------------------------------------------------------------------------------------------

def ops():
    """Each case: inputs drawn from stream `op/title/argument`, the result y, and the gradient of sum(y * dy) with dy
    drawn likewise."""
    book, cases = Book("ops", np.float32), []

    def case(op, title, arguments, options, function):
        """arguments: {name: size | (size, low, high) | {"index": count, "below": n} | a number}, in the order of the
        op's signature; function(tensors...) -> y."""
        draw, tensors, spec = Draw(1), {}, []
        for name, a in arguments.items():
            stream = "/".join([op, title, name])
            if isinstance(a, int):
                spec.append({"value": a})
                continue
            if isinstance(a, dict):
                tensors[name] = torch.from_numpy(draw.index(stream, a["index"], a["below"]))
                spec.append({"name": name, "size": [a["index"]], "below": a["below"]})
                continue
            size, low, high = a if isinstance(a[0], (tuple, list)) else (a, -1.0, 1.0)
            value = draw.uniform(stream, size, low, high)
            spec.append({"name": name, "size": list(size), "low": low, "high": high})
            tensors[name] = to_torch(name, value).requires_grad_()
        y = function(*tensors.values())
        dy = draw.uniform("/".join([op, title, "dy"]), from_torch("y", y).shape)
        y.backward(to_torch("y", dy))
        results = {"y": book.keep(from_torch("y", y))}
        for name, t in tensors.items():
            if t.requires_grad:
                results["d" + name] = book.keep(from_torch(name, t.grad))
        cases.append({"op": op, "title": title, "arguments": spec, "options": options, "results": results})

    def to_torch(name, a):
        if a.ndim == 4:
            return weight_to_torch(a) if name == "weight" else image_to_torch(a)
        return torch.from_numpy(a.copy())

    def from_torch(name, t):
        if t.dim() == 4:
            return weight_from_torch(t) if name == "weight" else image_from_torch(t)
        return t.detach().numpy()

    def conv(title, x, weight, bias=False, **options):
        arguments = {"x": x, "weight": (weight, -0.5, 0.5)}
        if bias:
            arguments["bias"] = ([weight[3]], -1.0, 1.0)
        case("conv2d", title, arguments, options, lambda x, w, b=None: F.conv2d(x, w, b, **options))

    conv("3x3", [2, 5, 7, 3], [3, 3, 3, 4])
    conv("3x3 padding 1, bias", [2, 6, 5, 3], [3, 3, 3, 4], True, padding=1)
    conv("3x3 stride 2 padding 1", [2, 8, 7, 4], [3, 3, 4, 5], stride=2, padding=1)
    conv("3x3 stride 3 padding 2, bias", [1, 10, 11, 3], [3, 3, 3, 2], True, stride=3, padding=2)
    conv("3x3 dilation 2 padding 2", [2, 7, 9, 3], [3, 3, 3, 4], dilation=2, padding=2)
    conv("3x3 dilation 3 stride 2 padding 1", [1, 11, 10, 2], [3, 3, 2, 3], dilation=3, stride=2, padding=1)
    conv("1x1, bias", [2, 4, 5, 6], [1, 1, 6, 8], True)
    conv("1x1 stride 2", [2, 5, 6, 4], [1, 1, 4, 8], stride=2)
    conv("7x7 stride 2 padding 3", [1, 15, 14, 3], [7, 7, 3, 4], stride=2, padding=3)
    conv("5x3 padding 1", [1, 8, 6, 2], [5, 3, 2, 3], padding=1)
    conv("groups 2, bias", [2, 6, 6, 4], [3, 3, 2, 6], True, groups=2, padding=1)
    conv("groups 3 stride 2", [1, 7, 7, 6], [3, 3, 2, 9], groups=3, stride=2)
    conv("depthwise", [2, 6, 7, 5], [3, 3, 1, 5], groups=5, padding=1)
    conv("depthwise, two outputs each", [1, 6, 6, 3], [3, 3, 1, 6], groups=3, stride=2, padding=1)
    conv("kernel as large as the image", [3, 4, 4, 3], [4, 4, 3, 5], True)

    pools = (
        ("2", [2, 6, 8, 3], 2, {}),
        ("3 stride 2 padding 1", [2, 9, 8, 3], 3, {"stride": 2, "padding": 1}),
        ("3 stride 1 padding 1", [1, 5, 6, 2], 3, {"stride": 1, "padding": 1}),
        ("2 stride 3", [1, 7, 9, 2], 2, {"stride": 3}),
    )
    for title, x, size, o in pools:
        case("max_pool2d", title, {"x": x, "size": size}, o, lambda x: F.max_pool2d(x, size, **o))
        case("avg_pool2d", title, {"x": x, "size": size}, o, lambda x: F.avg_pool2d(x, size, **o))
    case("avg_pool2d", "padding not counted", {"x": [1, 6, 7, 2], "size": 3},
         {"stride": 2, "padding": 1, "count_padding": False},
         lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))
    case("global_avg_pool", "", {"x": [3, 5, 7, 4]}, {}, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1))
    case("global_max_pool", "", {"x": [3, 5, 7, 4]}, {}, lambda x: F.adaptive_max_pool2d(x, 1).flatten(1))

    case("linear", "bias", {"x": [5, 7], "weight": [4, 7], "bias": [4]}, {}, F.linear)
    case("linear", "no bias", {"x": [3, 6], "weight": [5, 6]}, {}, F.linear)
    case("matmul", "batched", {"a": [3, 4, 5], "b": [3, 5, 6]}, {}, torch.matmul)

    for title, smoothing in (("", 0.0), ("smoothing 0.1", 0.1)):
        case("cross_entropy", title, {"logits": ([6, 10], -4.0, 4.0), "target": {"index": 6, "below": 10}},
             {"smoothing": smoothing}, lambda z, y: F.cross_entropy(z, y, label_smoothing=smoothing))

    rows = ([5, 7], -4.0, 4.0)
    case("kl_divergence", "", {"p_logits": rows, "q_logits": rows}, {"temperature": 2.0},
         lambda p, q: F.kl_div(F.log_softmax(q / 2, 1), F.log_softmax(p / 2, 1), log_target=True,
                               reduction="batchmean"))
    case("hinge", "", {"logits": rows, "target": {"index": 5, "below": 7}}, {"margin": 0.5, "over": "mean"},
         lambda z, y: F.multi_margin_loss(z, y, margin=0.5))
    case("squared_distance", "", {"a": rows, "b": rows}, {"reduction": "mean_all"}, F.mse_loss)

    wide, positive = ([4, 33], -4.0, 4.0), ([4, 33], 0.1, 4.0)
    for name in ("exp", "tanh", "sigmoid", "relu", "abs"):
        case(name, "", {"x": wide}, {}, getattr(torch, name))
    for name in ("log", "sqrt"):
        case(name, "", {"x": positive}, {}, getattr(torch, name))
    case("leaky_relu", "", {"x": wide}, {"slope": 0.1}, lambda x: F.leaky_relu(x, 0.1))
    case("gelu", "", {"x": wide}, {}, F.gelu)
    case("gelu", "tanh", {"x": wide}, {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh"))
    case("clamp", "", {"x": wide}, {"min": -1.5, "max": 2.5}, lambda x: torch.clamp(x, -1.5, 2.5))
    case("pow", "broadcast", {"a": ([3, 1, 5], 0.1, 3.0), "b": ([4, 1], -2.0, 2.0)}, {}, torch.pow)
    case("div", "broadcast", {"a": [2, 3, 4], "b": ([3, 1], 0.5, 2.0)}, {}, torch.div)

    for title, axis in (("last axis", -1), ("first axis", 1)):
        place = axis - 1 if axis > 0 else axis
        case("softmax", title, {"x": wide, "axis": axis}, {}, lambda x: F.softmax(x, place))
        case("log_softmax", title, {"x": wide, "axis": axis}, {}, lambda x: F.log_softmax(x, place))
    case("variance", "unbiased", {"x": [3, 4, 5], "axis": 2}, {}, lambda x: x.var(1))
    case("variance", "biased, all", {"x": [3, 4, 5]}, {"unbiased": False}, lambda x: x.var(unbiased=False))
    case("norm", "", {"x": [3, 4, 5], "axis": 3}, {}, lambda x: x.norm(dim=2))
    case("norm", "p = 3", {"x": [3, 4, 5], "axis": 1}, {"p": 3.0}, lambda x: x.norm(p=3, dim=0))

    for title, x, size, aligned in (("up", [2, 4, 5, 3], (9, 7), False), ("down", [1, 9, 8, 2], (4, 5), False),
                                    ("corners aligned", [1, 4, 5, 3], (7, 9), True)):
        case("resize", title, {"x": x, "height": size[0], "width": size[1]}, {"align_corners": aligned},
             lambda x: F.interpolate(x, size, mode="bilinear", align_corners=aligned))

    # Batch norm by itself, because a training step has results beside y: the running statistics (unbiased variance).
    norms = []
    for title, size in (("maps", [4, 5, 6, 3]), ("one map a channel", [2, 1, 3, 5])):
        for training in (True, False):
            draw, channels = Draw(1), size[3]
            name = "batch_norm/%s/" % title
            x = image_to_torch(draw.uniform(name + "x", size, -2.0, 3.0)).requires_grad_()
            ranges = (("weight", 0.5, 1.5), ("bias", -1.0, 1.0), ("mean", -0.5, 0.5), ("var", 0.5, 2.0))
            weight, bias, mean, var = (torch.from_numpy(draw.uniform(name + n, [channels], low, high))
                                       for n, low, high in ranges)
            weight.requires_grad_(), bias.requires_grad_()
            y = F.batch_norm(x, mean, var, weight, bias, training, 0.1, 1e-5)
            y.backward(image_to_torch(draw.uniform(name + "dy", size)))
            norms.append({"title": title, "training": training, "size": size, "results": {
                "y": book.keep(image_from_torch(y)), "dx": book.keep(image_from_torch(x.grad)),
                "dweight": book.keep(weight.grad), "dbias": book.keep(bias.grad),
                "mean": book.keep(mean), "var": book.keep(var)}})
    book.write(seed=1, cases=cases, batch_norm=norms)


# ---- networks --------------------------------------------------------------------------------------------------------

def resnet(kind, stem, classes):
    """torchvision's network, with the 3x3 stem for small images when asked."""
    model = getattr(torchvision.models, kind)(num_classes=classes)
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    for m in model.modules():
        if isinstance(m, torch.nn.ReLU):
            m.inplace = False
    return model


def fill(model, draw):
    """Parameters and running statistics, each from the stream of its name."""
    with torch.no_grad():
        for name, p in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            b = bound(p[0].numel())
            if p.dim() == 4:
                o, i, kh, kw = p.shape
                p.copy_(weight_to_torch(draw.uniform(name, [kh, kw, i, o], -b, b)))
            elif p.dim() == 2:
                p.copy_(torch.from_numpy(draw.uniform(name, list(p.shape), -b, b)))
            else:
                ranges = {"running_var": (0.5, 1.5), "weight": (0.75, 1.25)}
                low, high = ranges.get(name.split(".")[-1], (-0.125, 0.125))
                p.copy_(torch.from_numpy(draw.uniform(name, list(p.shape), low, high)))
    return model


def margin(model64, model32, x):
    """How far ReLU arguments stay from zero: the least |value| divided by torch's float error in that channel."""
    seen = {}

    def watch(model, key):
        seen[key] = []
        return [m.register_forward_pre_hook(lambda _, i: seen[key].append(i[0].double()))
                for m in model.modules() if isinstance(m, torch.nn.ReLU)]

    hooks = watch(model64, 64) + watch(model32, 32)
    with torch.no_grad():
        model64(x), model32(x.float())
    for h in hooks:
        h.remove()
    least = math.inf
    for a, b in zip(seen[64], seen[32]):
        error = (a - b).pow(2).mean(dim=(0, 2, 3)).sqrt()
        least = min(least, (a.abs().amin(dim=(0, 2, 3)) / error.clamp(min=1e-30)).min().item())
    return least


def summary(book, draw, name, array):
    """Norm, projections on +-1 vectors, and entries at drawn places, in this order."""
    flat = np.ascontiguousarray(array).ravel()
    numbers = [np.linalg.norm(flat)]
    for k in range(1, PROJECTIONS + 1):
        numbers.append(np.dot(np.where(draw.uniform("%s/sign%d" % (name, k), [flat.size]) >= 0, 1.0, -1.0), flat))
    numbers.extend(flat[draw.index(name + "/place", PLACES, flat.size)])
    return book.keep(numbers)


def network(book, title, kind, stem, classes, size, training, dtype):
    """Logits and the gradients of the mean cross-entropy; in training mode also the running statistics after the
    step."""
    draw = Draw(1, dtype)
    model = fill(resnet(kind, stem, classes).double(), draw).train(training)
    initial = {n: p.clone() for n, p in model.state_dict().items()}
    seed, distance = 1, None
    if dtype == np.float32:
        model32 = resnet(kind, stem, classes)
        found = []
        for s in range(1, SEEDS + 1):
            model.load_state_dict(initial), model32.load_state_dict(initial)
            model32.train(training)
            found.append((margin(model, model32, image_to_torch(Draw(s).uniform("x", size))), s))
        distance, seed = max(found)
        model.load_state_dict(initial)
    x = image_to_torch(Draw(seed, dtype).uniform("x", size))
    y = torch.from_numpy(draw.index("y", size[0], classes))
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    entry = {"title": title, "model": kind, "stem": stem, "classes": classes, "size": size, "training": training,
             "seed": 1, "input_seed": seed, "projections": PROJECTIONS}
    if distance is not None:  # torch's own float run, as a check that the search did its work
        entry["margin"] = round(distance, 1)
        model32.load_state_dict(initial)
        model32.zero_grad(), F.cross_entropy(model32(x.float()), y).backward()
        worst = max(((p.grad.double() - q.grad).norm() / q.grad.norm()).item()
                    for p, q in zip(model32.parameters(), model.parameters()))
        entry["torch_float_error"] = float("%.1e" % worst)
    entry["loss"] = book.keep([loss.item()])
    entry["logits"] = book.keep(logits.detach())
    entry["parameters"] = [
        {"name": n, "summary": summary(book, draw, n, weight_from_torch(p.grad) if p.dim() == 4 else p.grad.numpy())}
        for n, p in model.named_parameters()]
    if training:
        entry["statistics"] = [{"name": n, "summary": summary(book, draw, n, b.numpy())}
                               for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")]
    print(title, {k: entry.get(k) for k in ("input_seed", "margin", "torch_float_error")},
          "loss %.3f, logits %.3f" % (loss.item(), logits.std().item()))
    return entry


def nets():
    book = Book("nets", np.float32)
    entries = [network(book, *row, np.float32) for row in (
        ("resnet18, cifar stem, evaluation", "resnet18", "cifar", 100, [2, 32, 32, 3], False),
        ("resnet18, cifar stem, training", "resnet18", "cifar", 100, [4, 16, 16, 3], True),
        ("resnet18, imagenet stem, evaluation", "resnet18", "imagenet", 1000, [2, 64, 64, 3], False),
        ("resnet18, imagenet stem, training", "resnet18", "imagenet", 1000, [4, 48, 48, 3], True),
        ("resnet50, evaluation", "resnet50", "imagenet", 1000, [2, 48, 48, 3], False),
    )]
    book.write(networks=entries)


def double():
    book = Book("double", np.float64)
    entry = network(book, "resnet50, training", "resnet50", "imagenet", 1000, [4, 64, 64, 3], True, np.float64)
    book.write(networks=[entry])


# ---- optimisers ------------------------------------------------------------------------------------------------------

class Small(torch.nn.Module):
    """conv-bn-relu, conv-bn-relu, mean, linear. No bias before a batch norm: its true gradient is zero, and Adam would
    divide rounding by rounding."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 8, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(8)
        self.conv2, self.bn2 = torch.nn.Conv2d(8, 12, 3, 2, 1, bias=False), torch.nn.BatchNorm2d(12)
        self.fc = torch.nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean(dim=(2, 3)))


STEPS = 20


def optim():
    book, rows = Book("optim", np.float32), []
    makers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    for method, options in (
        ("sgd", {"lr": 0.05}),
        ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}),
        ("sgd", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
        ("adam", {"lr": 1e-3}),
        ("adam", {"lr": 1e-2, "weight_decay": 5e-4}),
        ("adamw", {"lr": 1e-2, "weight_decay": 1e-2}),
    ):
        def run(dtype):
            draw = Draw(1)
            model = fill(Small().to(dtype), draw).train()
            optimizer = makers[method](model.parameters(), **options)
            for step in range(1, STEPS + 1):
                x = image_to_torch(draw.uniform("x%d" % step, [8, 8, 8, 3])).to(dtype)
                y = torch.from_numpy(draw.index("y%d" % step, 8, 5))
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            return loss.item(), {n: t.detach().double() for n, t in model.state_dict().items() if "tracked" not in n}

        loss, after = run(torch.float64)
        _, after32 = run(torch.float32)
        worst = max(((after[n] - after32[n]).norm() / after[n].norm()).item() for n in after)
        rows.append({"method": method, "options": options, "steps": STEPS, "torch_float_error": float("%.1e" % worst),
                     "loss": book.keep([loss]),
                     "state": [{"name": n, "value": book.keep(weight_from_torch(t) if t.dim() == 4 else t.numpy())}
                               for n, t in after.items()]})
        print(method, options, "loss %.4f, torch's float error %.1e" % (loss, worst))
    book.write(seed=1, rows=rows)


# ---- colour ----------------------------------------------------------------------------------------------------------

def colour():
    """adjust_* on float images: random pixels, with black, white, greys, pure colours and ties written over the first
    row of each."""
    book, rows = Book("colour", np.float32), []
    x = Draw(1).uniform("colour/x", [2, 6, 11, 3], 0.0, 1.0)
    special = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1],
               [0.25, 0.25, 0.75], [0.75, 0.25, 0.75]]
    x[:, 0] = special
    image = image_to_torch(x).float()
    for op, function, factors in (
        ("brightness", TF.adjust_brightness, (0.0, 0.5, 1.0, 1.7)),
        ("contrast", TF.adjust_contrast, (0.0, 0.4, 1.0, 1.8)),
        ("saturation", TF.adjust_saturation, (0.0, 0.6, 1.0, 2.0)),
        ("hue", TF.adjust_hue, (-0.5, -0.2, 0.0, 0.1, 0.4, 0.5)),
    ):
        for factor in factors:
            rows.append({"op": op, "factor": factor, "y": book.keep(image_from_torch(function(image, factor)))})
    book.write(seed=1, size=list(x.shape), special=[[float(v) for v in p] for p in special], rows=rows)


def main():
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    topics = {"ops": ops, "nets": nets, "double": double, "optim": optim, "colour": colour}
    for name in sys.argv[1:] or topics:
        topics[name]()


if __name__ == "__main__":
    main()
