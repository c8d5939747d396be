#!/usr/bin/env python3
"""image_fixtures.py -- pictures for tests/parity/image_spec.lua and the C tests, and what Pillow reads in them.

usage: PYTHON scripts/dev/image_fixtures.py      with Pillow 13.0 (libjpeg-turbo 3.2), torch 2.15 and numpy

Writes tests/parity/fixtures/images/NAME.{png,jpg}, all drawn here by formulas, and
  images.npy, images.lua   their pixels as Pillow reads them (uint8, one after the other), and resized pictures;
  floats.npy, floats.lua   pictures of 16 bits in [0, 1], and pictures resized by torch.

Pillow writes JPEG in every way but three, which are made from what it wrote: 4:4:0 from 4:2:2 and 4:1:1 from 4:2:0 (as
many blocks for each group, so another shape of picture is in the same file), YCCK from CMYK. PNG comes from a small
writer below, for Pillow writes neither interlaced pictures nor all depths.
"""
import io
import os
import struct
import sys
import zlib

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "parity", "fixtures")
PICTURES = os.path.join(OUT, "images")


# ---- drawing ---------------------------------------------------------------------------------------------------------

def draw(height, width, channels=3):
    """A slope, a disc and stripes: smooth and sharp places, every corner different; float in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = (y + 0.5) / height, (x + 0.5) / width
    disc = ((x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.06).astype(np.float64)
    stripes = 0.5 + 0.5 * np.sign(np.sin(20 * x + 9 * y))
    planes = [0.15 + 0.8 * x, 0.9 - 0.7 * y, 0.2 + 0.6 * stripes * x, 0.25 + 0.75 * np.minimum(1, x + y)]
    planes[0] = np.maximum(planes[0], disc)
    planes[1] *= 1 - 0.8 * disc
    return np.stack(planes[:channels], axis=-1)


def to_bits(picture, bits):
    return np.round(picture * ((1 << bits) - 1)).astype(np.uint16)


# ---- PNG -------------------------------------------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_rows(samples, bits):
    """[height, width * samples] -> the bytes of rows, each after a filter byte (none)."""
    rows = b""
    for row in samples:
        if bits == 16:
            data = row.astype(">u2").tobytes()
        elif bits == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            digits = "".join(format(int(v), "0%db" % bits) for v in row)
            digits += "0" * (-len(digits) % 8)
            data = bytes(int(digits[i:i + 8], 2) for i in range(0, len(digits), 8))
        rows += b"\0" + data
    return rows


def png(samples, kind, bits, interlaced=False, palette=None, clear=None, exif=None):
    """samples: [height, width, samples of the kind]"""
    height, width, count = samples.shape
    assert count == SAMPLES[kind]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced))
    if exif:
        out += chunk(b"eXIf", exif)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if clear is not None:
        out += chunk(b"tRNS", clear)
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [samples]
    data = b"".join(pack_rows(p.reshape(p.shape[0], -1), bits) for p in parts if p.size)
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def png_files():
    """name, bytes, and, where Pillow does not read them so, the samples of 8 or 16 bits."""
    names = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey-alpha", RGBA: "rgba"}
    depths = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
    for kind, name in names.items():
        for bits in depths[kind]:
            picture = draw(11, 13, 4)
            wide = {GREY: picture[..., :1], RGB: picture[..., :3], PALETTE: picture[..., :1],
                    GREY_ALPHA: picture[..., [0, 3]], RGBA: picture}[kind]
            samples = to_bits(wide, bits)
            palette = None
            if kind == PALETTE:
                steps = np.arange(1 << bits) / ((1 << bits) - 1)
                palette = np.round(255 * np.stack([steps, 1 - steps, steps ** 2], axis=-1))
            deep = samples if bits == 16 else None
            for interlaced in (False, True):
                yield "%s%d%s" % (name, bits, "-interlaced" if interlaced else ""), \
                    png(samples, kind, bits, interlaced, palette), deep
            if kind == GREY:
                clear = struct.pack(">H", int(samples[3, 4, 0]))
            elif kind == RGB:
                clear = struct.pack(">HHH", *(int(v) for v in samples[3, 4]))
            elif kind == PALETTE:
                clear = bytes(255 - 60 * i for i in range(min(4, 1 << bits)))
            else:
                continue
            # Pillow compares the stored value of the clear grey with pixels of 8 bits, and keeps 8 bits of 16.
            exact = None
            if kind != PALETTE and (bits == 16 or kind == GREY):
                colours = samples[..., [0, 0, 0]] if kind == GREY else samples
                opaque = (samples != samples[3, 4]).any(axis=-1, keepdims=True)
                exact = np.concatenate([colours, opaque * ((1 << bits) - 1)], axis=-1)
                exact = exact if bits == 16 else exact * (255 // ((1 << bits) - 1))
            yield "%s%d-clear" % (name, bits), png(samples, kind, bits, False, palette, clear), exact
    samples = to_bits(draw(5, 8, 3), 8)
    yield "exif6", png(samples, RGB, 8, exif=exif_block(6, "<")), None
    yield "exif8-interlaced", png(samples, RGB, 8, True, exif=exif_block(8, ">")), None
    yield "rgb8-one", png(samples[:1, :1], RGB, 8), None
    yield "rgb8-one-interlaced", png(samples[:1, :1], RGB, 8, True), None


# ---- JPEG ------------------------------------------------------------------------------------------------------------

def exif_block(orientation, order, kind=3, count=1):
    """A TIFF header and a directory of two entries, the second the orientation."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    return head + struct.pack(order + "H", 2) + struct.pack(order + "HHI4s", 0x010F, 2, 2, b"X\0\0\0") + \
        struct.pack(order + "HHI", 0x0112, kind, count) + value + struct.pack(order + "I", 0)


def jpeg(picture, **options):
    out = io.BytesIO()
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(np.round(picture * 255).astype(np.uint8).squeeze())
    picture.save(out, "jpeg", **{"quality": 85, **options})
    return out.getvalue()


def patched(data, factor, height, width):
    """The same blocks with another shape of group: the first component's sampling factors, and the sides."""
    at = data.index(b"\xff\xc0") + 5
    out = bytearray(data)
    out[at:at + 4] = struct.pack(">HH", height, width)
    assert out[at + 4] == 3
    out[at + 6] = factor
    return bytes(out)


def as_ycck(data):
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\2" + data[at + 1:]


def inks(height, width):
    p = np.round(draw(height, width, 4) * 255).astype(np.uint8)
    return Image.fromarray(p, "CMYK")


def jpeg_files():
    p = draw(37, 45)
    for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
        yield name, jpeg(p, subsampling=sampling)
        yield name + "-progressive", jpeg(p, subsampling=sampling, progressive=True)
    yield "440", patched(jpeg(draw(32, 64), subsampling=1), 0x12, 64, 32)
    yield "440-odd", patched(jpeg(draw(32, 64), subsampling=1), 0x12, 61, 27)
    yield "411", patched(jpeg(draw(32, 64), subsampling=2), 0x41, 16, 128)
    yield "grey", jpeg(p[..., :1])
    yield "grey-progressive", jpeg(p[..., :1], progressive=True)
    yield "restarts", jpeg(p, subsampling=2, restart_marker_blocks=2)
    yield "optimised", jpeg(p, subsampling=2, optimize=True, quality=60)
    yield "cmyk", jpeg(inks(19, 23))
    yield "cmyk-progressive", jpeg(inks(19, 23), progressive=True)
    yield "ycck", as_ycck(jpeg(inks(19, 23)))
    for height, width in ((1, 1), (1, 9), (9, 1), (3, 5), (17, 2), (8, 16), (16, 33)):
        yield "420-%dx%d" % (height, width), jpeg(draw(height, width), subsampling=2)
    yield "422-5x3", jpeg(draw(5, 3), subsampling=1)
    small = draw(9, 20)
    for orientation in range(1, 9):
        yield "exif%d" % orientation, jpeg(small, subsampling=2,
                                           exif=b"Exif\0\0" + exif_block(orientation, "<>"[orientation % 2]))
    for name, block in (("exif0", exif_block(0, "<")), ("exif9", exif_block(9, "<")),
                        ("exif-long", exif_block(6, "<", kind=4)), ("exif-two", exif_block(6, ">", count=2)),
                        ("exif-short", exif_block(6, "<")[:20]), ("exif-far", b"II*\0\xff\xff\xff\x7f")):
        yield name, jpeg(small, subsampling=2, exif=b"Exif\0\0" + block)


# ---- what is expected ------------------------------------------------------------------------------------------------

class Store:
    def __init__(self, name, dtype):
        self.name, self.dtype, self.parts, self.at = name, dtype, [], 1

    def add(self, array):
        array = np.ascontiguousarray(array, self.dtype)
        place = "{ at = %d, size = { %s } }" % (self.at, ", ".join(map(str, array.shape)))
        self.parts.append(array.ravel())
        self.at += array.size
        return place

    def write(self, rows):
        np.save(os.path.join(OUT, self.name + ".npy"), np.concatenate(self.parts))
        with open(os.path.join(OUT, self.name + ".lua"), "w") as file:
            file.write("-- Made by scripts/dev/image_fixtures.py; the numbers are in %s.npy.\nreturn {\n" % self.name)
            file.write('  made_with = { pillow = "%s", torch = "%s", numpy = "%s" },\n' % (
                PIL.__version__, torch.__version__.split("+")[0], np.__version__))
            for key, lines in rows.items():
                file.write("  %s = {\n" % key)
                for line in lines:  # one pixel array to a line
                    file.write("    { %s },\n" % line.replace(" }, l = ", " },\n      l = ")
                               .replace(" }, rgb = ", " },\n      rgb = "))
                file.write("  },\n")
            file.write("}\n")


def upright(data):
    """Pillow's picture, turned as EXIF says."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


def pixels(picture, mode):
    array = np.asarray(picture.convert(mode))
    return array[..., None] if array.ndim == 2 else array


def stored_mode(data):
    """The mode of what we hand out when no channels are asked for."""
    picture = Image.open(io.BytesIO(data))
    clear = "transparency" in picture.info
    return "RGBA" if clear or picture.mode in ("LA", "RGBA", "PA") else \
        "L" if picture.mode in ("1", "L", "I;16", "I") else "RGB"


SIZES = ((20, 30), (7, 11), (48, 60), (80, 24), (1, 1), (37, 19), (64, 53))


def main():
    os.makedirs(PICTURES, exist_ok=True)
    bytes_store, float_store = Store("images", np.uint8), Store("floats", np.float32)
    files, deep_files, resized, float_resized = [], [], [], []

    def keep(name, data):
        with open(os.path.join(PICTURES, name), "wb") as file:
            file.write(data)

    exact = {}
    for name, data, samples in png_files():
        name += ".png"
        keep(name, data)
        if samples is not None and samples.shape[2] == 2:
            samples = samples[..., [0, 0, 0, 1]]
        if "16" in name:
            deep_files.append('file = "%s", pixels = %s' % (name, float_store.add(samples / 65535)))
        else:
            exact[name] = samples
            files.append((name, data))
    for name, data in jpeg_files():
        keep(name + ".jpg", data)
        files.append((name + ".jpg", data))
    rows = []
    for name, data in files:
        plain = name.startswith("exif-")  # entries that Pillow turns by, though they are not what the standard says
        picture = Image.open(io.BytesIO(data)) if plain else upright(data)
        fields = ['file = "%s"' % name]
        whole = exact.get(name)
        fields.append("stored = %s" % bytes_store.add(pixels(picture, stored_mode(data)) if whole is None else whole))
        for mode in ("L", "RGB"):
            if mode != stored_mode(data):
                fields.append("%s = %s" % (mode.lower(), bytes_store.add(pixels(picture, mode))))
        rows.append(", ".join(fields))

    source = to_bits(draw(37, 53), 8).astype(np.uint8)
    keep("source.png", png(source.astype(np.uint16), RGB, 8))
    tensor = torch.tensor(source.astype(np.float64) / 255).permute(2, 0, 1)[None]
    for name, filter in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        for height, width in SIZES:
            line = 'filter = "%s", height = %d, width = %d, pixels = %%s' % (name, height, width)
            resized.append(line % bytes_store.add(np.asarray(Image.fromarray(source).resize((width, height), filter))))
            if height * width > 2000:
                continue
            # torch's own cubic differs without antialiasing: another kernel, other edges
            for antialias in (True, False) if name == "bilinear" else (True,):
                y = F.interpolate(tensor, (height, width), mode=name, antialias=antialias, align_corners=False)
                float_resized.append(line % float_store.add(y[0].permute(1, 2, 0).numpy()) +
                                     ", antialias = %s" % str(antialias).lower())
    bytes_store.write({"files": rows, "resized": resized})
    float_store.write({"files": deep_files, "resized": float_resized})
    print("made with Pillow %s, torch %s" % (PIL.__version__, torch.__version__), file=sys.stderr)


if __name__ == "__main__":
    main()
