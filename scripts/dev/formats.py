#!/usr/bin/env python3
"""formats.py -- small files of other programs for tests/lua/formats_spec.lua, and what they hold.

usage: scripts/dev/formats.py WEIGHTS     WEIGHTS: the folder `weights` of the data sets from outside
       scripts/dev/formats.py --files NAME

Run with a Python that has torch 2 (2.15.0 was used), numpy (2.4.6) and safetensors (0.8.0); the second form, run with
an older torch (Debian's 1.13), writes NAME.pt and NAME-stream.pt only: the committed torch1*.pt. Writes
tests/formats/* and tests/formats/expected.json: for each file its format, the name, dtype and shape of each tensor in
order, and of its values, converted as Penumbra does, how many are not finite, the sum, and the sum of each times its
place (from 1), both added one after the other in double precision; or the words that its refusal says. Files from
outside stand there as "weights/...".
"""
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import zipfile

import numpy as np
import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "formats")


# ---- what a file holds -----------------------------------------------------------------------------------------------

def values(t):
    """The elements in their order, as Penumbra converts them, as Python numbers."""
    if t.dtype.is_floating_point:
        t = t.to(torch.float32).to(torch.float64)
    return t.reshape(-1).tolist()


def readable(t):
    return not (t.is_complex() or t.is_quantized or str(t.dtype).startswith("torch.float8"))


def describe(name, t):
    entry = {"name": name, "dtype": str(t.dtype)[6:], "shape": list(t.shape)}
    if readable(t):
        total, weighted, odd = 0.0, 0.0, 0
        for place, x in enumerate(values(t), 1):
            x = float(x)
            if x != x or x in (float("inf"), float("-inf")):
                odd += 1
            else:
                total += x
                weighted += place * x
        entry.update(odd=odd, sum=total, weighted=weighted)
    else:
        entry["refused"] = "elements of type %s are not supported" % entry["dtype"]
    return entry


def flatten(o, name, tensors, plain):
    if isinstance(o, torch.Tensor):
        tensors.append(describe(name or "tensor", o))
    elif isinstance(o, dict):
        for key, value in o.items():
            flatten(value, "%s.%s" % (name, key) if name else str(key), tensors, plain)
    elif isinstance(o, (list, tuple)):
        for place, value in enumerate(o):
            flatten(value, "%s.%d" % (name, place) if name else str(place), tensors, plain)
    elif isinstance(o, (bool, int, float, str)):
        plain[name or "value"] = o
    elif isinstance(o, (torch.device, torch.dtype)):
        plain[name] = o.type if isinstance(o, torch.device) else str(o)[6:]


def expect(form, o):
    tensors, plain = [], {}
    flatten(o, "", tensors, plain)
    return {"format": form, "tensors": tensors, "values": plain}


def load_safetensors(path):
    data = open(path, "rb").read()
    length, = struct.unpack("<Q", data[:8])
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
             "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
             "BOOL": torch.bool}
    header, out = json.loads(data[8:8 + length]), {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            raw = bytearray(data[8 + length + begin:8 + length + end])
            dtype = types[about["dtype"]]
            t = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            out[name] = t.reshape(about["shape"])
    return out


class TarReader(pickle.Unpickler):
    """The tar files from outside: persistent ids stand as tuples where a storage is meant, and there are no views."""

    def __init__(self, stream, storages=None):
        super().__init__(stream)
        self.storages = storages

    def find_class(self, module, name):
        if name == "OrderedDict":
            return dict
        if module == "torch" and name.endswith("Storage"):
            return {"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "LongStorage": torch.int64}[name]
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *_: torch.as_strided(self.storages[storage[2]], size, stride,
                                                                              offset)
        raise ValueError(name)


def load_tar(path):
    tar, storages = tarfile.open(path), {}
    stream = io.BytesIO(tar.extractfile("storages").read())
    for _ in range(TarReader(stream).load()):
        key, _, dtype = TarReader(stream).load()
        count, = struct.unpack("<q", stream.read(8))
        storages[key] = torch.frombuffer(bytearray(stream.read(count * dtype.itemsize)), dtype=dtype)
    return TarReader(tar.extractfile("pickle"), storages).load()


def from_outside(folder):
    out = {}
    for name in sorted(os.listdir(folder)) + ["fixtures/" + n for n in sorted(os.listdir(folder + "/fixtures"))]:
        path = os.path.join(folder, name)
        if name in ("README.md", "expected.json", "fixtures"):
            continue
        start = open(path, "rb").read(8)
        if name.endswith("broken.pt"):
            out["weights/" + name] = {"says": "neither safetensors, nor a file of torch.save, nor .npz"}
        elif name.endswith(".safetensors"):
            out["weights/" + name] = expect("safetensors", load_safetensors(path))
        elif name.endswith(".tar"):
            out["weights/" + name] = expect("torch tar", load_tar(path))
        else:
            form = "torch zip" if start[:2] == b"PK" else "torch stream"
            out["weights/" + name] = expect(form, torch.load(path, map_location="cpu", weights_only=False))
    return out


# ---- files of our own ------------------------------------------------------------------------------------------------

def sample():
    base = torch.arange(24, dtype=torch.float32) / 8 - 1
    return {
        "epoch": 7, "best_prec1": 91.25, "name": "caf\u00e9", "done": True, "nothing": None, "large": 2 ** 40,
        "state_dict": {
            "conv.weight": base.reshape(2, 3, 2, 2), "turned": base.reshape(4, 6).t(), "part": base[5:11],
            "every.third": base[1::3], "grown": base[:3].reshape(3, 1).expand(3, 4),
            "half": torch.tensor([1.5, -2.25, 6e-8, 65504, float("inf")], dtype=torch.float16),
            "brain": torch.tensor([[1.5, -3e38], [float("nan"), 1e-30]], dtype=torch.bfloat16),
            "double": torch.tensor([0.1, 1e-300, 1e300], dtype=torch.float64),
            "bytes": torch.tensor([0, 255, 7], dtype=torch.uint8), "flags": torch.tensor([True, False]),
            "i8": torch.tensor([-128, 127], dtype=torch.int8), "i16": torch.tensor([-32768, 5], dtype=torch.int16),
            "i32": torch.tensor([[-2 ** 31], [2 ** 31 - 1]], dtype=torch.int32),
            "num_batches_tracked": torch.tensor(99),
            "empty": torch.zeros(3, 0, 2), "complex": torch.tensor([1 + 2j]),
            "parameter": torch.nn.Parameter(torch.ones(2)),
        },
        "optimizer": {"state": {0: {"exp_avg": torch.full((2,), 0.5)}},
                      "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        "about": (torch.Size([2, 3]), torch.device("cpu"), torch.float16),
    }


def write_torch(name):
    torch.manual_seed(1)
    torch.save(sample(), os.path.join(OUT, name + ".pt"))
    torch.save(sample(), os.path.join(OUT, name + "-stream.pt"), _use_new_zipfile_serialization=False)
    return {name + ".pt": expect("torch zip", sample()), name + "-stream.pt": expect("torch stream", sample())}


def write_more():
    out = {}

    def save(name, o, **options):
        torch.save(o, os.path.join(OUT, name), **options)
        out[name] = expect("torch stream" if options.get("_use_new_zipfile_serialization") is False else "torch zip", o)

    protocols = {"weight": torch.arange(6).reshape(2, 3).t().double(), "list": [1, 2.5, "x"]}
    for protocol in (1, 3, 4, 5):
        save("protocol%d.pt" % protocol, protocols, pickle_protocol=protocol)
    save("protocol4-stream.pt", protocols, pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("new-types.pt", {"u16": torch.tensor([65535], dtype=torch.uint16),
                          "f8": torch.zeros(2, dtype=torch.float8_e5m2),
                          "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)})
    save("tensor.pt", torch.tensor([3.0, 4.0]))
    torch.save(torch.tensor([1, 2 ** 31]), os.path.join(OUT, "large-integer.pt"))
    out["large-integer.pt"] = {"format": "torch zip", "values": {}, "tensors": [
        {"name": "tensor", "dtype": "int64", "shape": [2], "refused": "element 1: 2147483648 does not fit 32 bits"}]}
    torch.save(torch.nn.Linear(2, 2), os.path.join(OUT, "module.pt"))
    out["module.pt"] = {"says": "torch.nn.modules.linear.Linear, at offset"}
    torch.save(torch.nn.Linear(2, 2), os.path.join(OUT, "module-stream.pt"), _use_new_zipfile_serialization=False)
    out["module-stream.pt"] = {"says": "torch.nn.modules.linear.Linear, at offset"}
    return out


def write_tar():
    """The oldest form, which torch still reads but no longer writes."""
    base, buffers = torch.arange(12, dtype=torch.float32) * 0.5, {}
    stream = io.BytesIO()
    pickle.dump(2, stream, 2)
    for key, kind, t in ((101, torch.FloatStorage, base), (102, torch.LongStorage, torch.tensor([5, -6]))):
        pickle.dump((key, "cpu", kind), stream, 2)
        stream.write(struct.pack("<q", t.numel()) + t.numpy().tobytes())
    pickle.dump([(103, 101, 4, 8)], stream, 2)
    buffers["storages"] = stream.getvalue()
    stream = io.BytesIO()
    pickle.dump(3, stream, 2)
    for key, storage, kind, size, stride, offset in ((201, 101, torch.FloatTensor, (3, 4), (4, 1), 0),
                                                     (202, 103, torch.FloatTensor, (2, 2), (1, 2), 2),
                                                     (203, 102, torch.LongTensor, (2,), (1,), 0)):
        pickle.dump((key, storage, kind), stream, 2)
        stream.write(struct.pack("<ii", len(size), 0))
        stream.write(struct.pack("<%dq" % (2 * len(size) + 1), *size, *stride, offset))
    buffers["tensors"] = stream.getvalue()

    class Key:
        def __init__(self, key):
            self.key = key

    class Writer(pickle.Pickler):
        def persistent_id(self, o):
            return str(o.key) if isinstance(o, Key) else None

    stream = io.BytesIO()
    Writer(stream, 2).dump({"weight": Key(201), "turned": Key(202), "steps": Key(203), "epoch": 3})
    buffers["pickle"] = stream.getvalue()
    stream = io.BytesIO()
    pickle.dump({"protocol_version": 1000, "little_endian": True}, stream, 2)
    buffers["sys_info"] = stream.getvalue()
    path = os.path.join(OUT, "oldest.tar")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            about = tarfile.TarInfo(name)
            about.size = len(buffers[name])
            tar.addfile(about, io.BytesIO(buffers[name]))
    return {"oldest.tar": expect("torch tar", torch.load(path, weights_only=False))}


def arrays():
    return {
        "f2": np.array([1.5, -0.25], "<f2"), "f4": np.arange(6, dtype="<f4").reshape(2, 3),
        "big": np.array([[1.5, 2.5]], ">f8"), "columns": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        "u1": np.array([0, 255], "|u1"), "flags": np.array([True, False]), "i2": np.array([-3, 4], ">i2"),
        "u4": np.array([7], "<u4"), "i8": np.array(-5), "empty": np.zeros((0, 3), "<f4"),
    }


def write_numpy():
    out = {}
    named = {name: torch.from_numpy(a.astype(a.dtype.newbyteorder("=")).copy(order="C"))
             for name, a in arrays().items()}
    np.savez(os.path.join(OUT, "arrays.npz"), **arrays())
    np.savez_compressed(os.path.join(OUT, "packed.npz"), **arrays())
    out["arrays.npz"] = out["packed.npz"] = expect("npz", named)
    np.savez(os.path.join(OUT, "texts.npz"), a=np.array(["x", "yz"]), b=np.ones(2, "<f4"))
    odd = expect("npz", {"b": torch.ones(2)})
    odd["tensors"].insert(0, {"name": "a", "dtype": "<U2", "shape": [2], "refused": "elements of type <U2"})
    out["texts.npz"] = odd
    return out


def write_safetensors():
    import safetensors.torch
    tensors = {name: t.contiguous() for name, t in sample()["state_dict"].items() if not t.is_complex()}
    path = os.path.join(OUT, "authors.safetensors")
    safetensors.torch.save_file({name: t.detach().clone() for name, t in tensors.items()}, path, {"format": "pt"})
    plain = {"b.weight": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1, 2, 255], dtype=torch.uint8),
             "caf\u00e9 \"1\"": torch.tensor(2.5), "c": torch.tensor([-5, 6], dtype=torch.int32)}
    same = os.path.join(OUT, "same-bytes.safetensors")  # what Penumbra writes for these tensors
    safetensors.torch.save_file(plain, same, {"format": "pt"})
    return {"authors.safetensors": expect("safetensors", load_safetensors(path)),
            "same-bytes.safetensors": expect("safetensors", load_safetensors(same))}


def main():
    os.makedirs(OUT, exist_ok=True)
    if sys.argv[1] == "--files":
        write_torch(sys.argv[2])
        return
    expected = {"made with": "torch %s, numpy %s" % (torch.__version__, np.__version__)}
    for part in (write_torch("torch2"), write_more(), write_tar(), write_numpy(), write_safetensors(),
                 from_outside(sys.argv[1])):
        expected.update(part)
    for form in ("", "-stream"):
        expected["torch1%s.pt" % form] = expected["torch2%s.pt" % form]
    with open(os.path.join(OUT, "expected.json"), "w") as out:  # a line for each file
        lines = ["%s:%s" % (json.dumps(name), json.dumps(expected[name], separators=(",", ":")))
                 for name in sorted(expected)]
        out.write("{%s}\n" % ",\n".join(lines))


main()
