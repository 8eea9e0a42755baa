"""Bad input of every kind that people and attackers send, generated from a seed.

    python -m tests.corpus FOLDER

writes the files that the tests and `benchmarks.reliability` send through the loader, the batch and the page.
"""

import io
import random
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from tests.pictures import encoded, flat_jpeg, gradient, png, three_scan_jpeg, tiff

SIDE = (64, 52)


@dataclass(frozen=True)
class Case:
    """One file: what is wrong with it, its name and its bytes."""

    kind: str
    name: str
    data: bytes


@dataclass(frozen=True)
class CorpusCommand:
    """Write the corpus of bad input."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder to write; made when it is not there."""
    seed: int = 1
    """Seed of everything that is drawn."""


def whole_pictures() -> dict[str, bytes]:
    """Valid files of every format and mode, by name; what the others are made from."""
    picture = gradient(*SIDE)
    second = picture.rotate(90)
    grey, alpha = picture.convert("L"), picture.convert("RGBA")
    deep = np.asarray(grey, np.uint16) * 257
    floats = np.asarray(grey, np.float32) / 255
    return {
        "baseline.jpg": encoded(picture, "JPEG"),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG"),
        "scans.jpg": three_scan_jpeg(picture),
        "stereo.jpg": encoded(picture, "MPO", save_all=True, append_images=[second]),
        "rgb.png": encoded(picture, "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "grey-alpha.png": encoded(picture.convert("LA"), "PNG"),
        "palette.png": encoded(picture.convert("P"), "PNG", transparency=3),
        "one-bit.png": encoded(picture.convert("1"), "PNG"),
        "deep.png": encoded(Image.fromarray(deep), "PNG"),
        "lossy.webp": encoded(picture, "WEBP"),
        "lossless.webp": encoded(alpha, "WEBP", lossless=True),
        "moving.webp": encoded(picture, "WEBP", save_all=True, append_images=[second]),
        "plain.tif": encoded(picture, "TIFF"),
        "lzw.tif": encoded(picture, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(picture, "TIFF", compression="jpeg"),
        "deep.tif": encoded(Image.fromarray(deep), "TIFF"),
        "float.tif": encoded(Image.fromarray(floats), "TIFF"),
        "lab.tif": encoded(Image.merge("LAB", picture.split()), "TIFF"),
        "twelve.tif": tiff(64, 40, 12, bytes(64 * 40 * 3 // 2)),
        "plain.bmp": encoded(picture, "BMP"),
        "palette.bmp": encoded(picture.convert("P"), "BMP"),
        "plain.gif": encoded(picture, "GIF"),
        "moving.gif": encoded(picture, "GIF", save_all=True, append_images=[second]),
    }


def corpus(seed: int = 1) -> Iterator[Case]:
    """Yield every case, the same ones for the same seed; more than 2,000."""
    rng = random.Random(seed)
    whole = whole_pictures()
    for name, data in whole.items():
        yield Case("whole", f"whole-{name}", data)
        yield from _cut_off(name, data, rng)
        yield from _flipped(name, data, rng)
    yield from _spliced(list(whole.items()), rng)
    yield from _bad_metadata(rng)
    yield from _sizes()
    yield from _disguised(whole["rgb.png"], rng)
    yield from _archives(whole["rgb.png"], rng)


def _cut_off(name: str, data: bytes, rng: random.Random) -> Iterator[Case]:
    ends = {*range(0, 40, 8), len(data) - 1, len(data) - 2, *(rng.randrange(len(data)) for _ in range(18))}
    for number, end in enumerate(sorted(ends)):
        yield Case("cut off", f"cut-{number:02}-{name}", data[:end])


def _flipped(name: str, data: bytes, rng: random.Random) -> Iterator[Case]:
    for number in range(45):
        damaged = bytearray(data)
        reach = (40, 200, len(data))[number % 3]  # headers are where a change has most effect
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(min(reach, len(data)))] ^= 1 << rng.randrange(8)
        yield Case("flipped bits", f"flip-{number:02}-{name}", bytes(damaged))


def _spliced(whole: list[tuple[str, bytes]], rng: random.Random) -> Iterator[Case]:
    for number in range(80):
        (name, head), (_, tail) = rng.sample(whole, 2)
        joined = head[: rng.randrange(len(head))] + tail[rng.randrange(len(tail)) :]
        yield Case("spliced", f"splice-{number:02}-{name}", joined)
    for number in range(40):
        yield Case("random bytes", f"random-{number:02}.jpg", rng.randbytes(rng.randint(1, 5000)))
        yield Case("random bytes", f"headed-{number:02}.jpg", b"\xff\xd8\xff\xe0" + rng.randbytes(rng.randint(1, 5000)))


def _bad_metadata(rng: random.Random) -> Iterator[Case]:
    picture = gradient(*SIDE)
    for number in range(24):
        garbage = rng.randbytes(rng.choice([1, 7, 128, 3000]))
        for suffix, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF")):
            yield Case("ICC garbage", f"icc-{number:02}.{suffix}", encoded(picture, kind, icc_profile=garbage))
        exif = b"Exif\0\0" + rng.choice([b"II*\0", b"MM\0*", b""]) + garbage
        for suffix, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
            yield Case("EXIF garbage", f"exif-{number:02}.{suffix}", encoded(picture, kind, exif=exif))


def _sizes() -> Iterator[Case]:
    for width, height in ((1, 1), (1, 30_000), (30_000, 1), (31, 31), (32, 30_000), (30_000, 32)):
        for suffix, kind in (("png", "PNG"), ("bmp", "BMP"), ("jpg", "JPEG")):
            yield Case("odd size", f"size-{width}x{height}.{suffix}", encoded(gradient(width, height), kind))
    for side in (20_000, 65_535, 2**31 - 1):
        yield Case("bomb", f"bomb-{side}.png", png(side, side, b"x\x9c\x03\x00\x00\x00\x00\x01"))
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        yield Case("bomb", f"bomb-{side}.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header)
        yield Case("bomb", f"bomb-{side}.tif", tiff(side, side, 8, b"\0"))
    size = struct.pack("<HH", 65_535, 65_535)
    yield Case("bomb", "bomb.gif", b"GIF89a" + size + b"\0\0\0," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0;")
    yield Case("bomb", "bomb.webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + b"\xff" * 4 + bytes(9))
    yield Case("bomb", "bomb.jpg", flat_jpeg(65_000, 20_000))
    yield Case("bomb", "scans.jpg", flat_jpeg(4000, 4000, marker=0xC2, extra_scans=2000))


def _disguised(picture: bytes, rng: random.Random) -> Iterator[Case]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    html = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
    for suffix in ("jpg", "png", "gif", "tif"):
        yield Case("disguise", f"drawing.{suffix}", svg)
        yield Case("disguise", f"drawing-xml.{suffix}", b'<?xml version="1.0"?>' + svg)
        yield Case("disguise", f"page.{suffix}", html)
        yield Case("disguise", f"document.{suffix}", b"%PDF-1.7\n" + rng.randbytes(300))
        yield Case("disguise", f"program.{suffix}", b"\x7fELF" + rng.randbytes(300))
        yield Case("disguise", f"script.{suffix}", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
        yield Case("disguise", f"heic.{suffix}", b"\0\0\0\x18ftypheic" + rng.randbytes(100))
    for name in ("=cmd.png", "a\nb.png", "semi;colon.png", 'quote".png', "\u202egnp.exe.png", "x" * 200 + ".png"):
        yield Case("odd name", name, picture)


def _archives(picture: bytes, rng: random.Random) -> Iterator[Case]:
    inner = _zip([("picture.png", picture)])
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    entries: dict[str, list[tuple[str | zipfile.ZipInfo, bytes]]] = {
        "nested": [("inner.zip", inner), ("picture.png", picture), ("hidden.png", inner)],
        "climbing": [("../../etc/passwd.png", picture), ("/etc/passwd.png", picture), ("C:\\x.png", picture)],
        "symlink": [(link, b"/etc/passwd"), ("picture.png", picture)],
        "colliding": [("a.png", picture), ("a.png", b"no picture"), ("A.PNG", picture)],
        "bomb": [("bomb.png", bytes(30_000_000)), ("picture.png", picture)],
        "many": [(f"{number}.png", b"") for number in range(300)],
        "empty": [],
    }
    for name, content in entries.items():
        yield Case("archive", f"{name}.zip", _zip(content))
    named = _zip([("xxxx.png", picture)])
    yield Case("archive", "no-utf8.zip", named.replace(b"xxxx", b"\xff\xfe\x80\x81"))
    encrypted = bytearray(_zip([("secret.png", picture)]))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + offset] |= 1
    yield Case("archive", "encrypted.zip", bytes(encrypted))
    sound = _zip([(f"{number}.png", picture) for number in range(3)])
    for number in range(60):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        yield Case("archive", f"flip-{number:02}.zip", bytes(damaged))
        yield Case("archive", f"cut-{number:02}.zip", sound[: rng.randrange(len(sound))])


def _zip(entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)  # dated 1980, not today
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write(folder: Path, seed: int = 1) -> list[tuple[Case, Path]]:
    """Write every case to `folder` as NUMBER/NAME, so that no two names collide, and return where."""
    written = []
    for number, case in enumerate(corpus(seed)):
        path = folder / f"{number:04}" / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.data)
        written.append((case, path))
    return written


if __name__ == "__main__":
    command = tyro.cli(CorpusCommand)
    print(f"{len(write(command.folder, command.seed))} files in {command.folder}")
