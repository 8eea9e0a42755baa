"""Generated picture files, among them huge ones that cost nothing to make."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def gradient(width=120, height=90):
    """A picture whose four corners, and whose colours, all differ."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 200 / width + 20, y * 200 / height + 30, (x + y) * 90 / (width + height) + 60], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image, file_format, **options):
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def flat_jpeg(width, height, layers=3, marker=0xC0, extra_scans=0):
    """A mid-grey JPEG of any size, in a single scan: 6 bits for each block of 8 x 8, written without an encoder."""
    template = encoded(Image.new("L", (8, 8), 128), "JPEG", quality=90)
    frame, tables, scan = (template.index(marker) for marker in (b"\xff\xc0", b"\xff\xc4", b"\xff\xda"))
    size = struct.pack(">HBHHB", 8 + 3 * layers, 8, height, width, layers)
    components = b"".join(bytes((number, 0x11, 0)) for number in range(1, layers + 1))
    blocks = -(-width // 8) * -(-height // 8) * layers
    return (
        template[:frame]
        + bytes((0xFF, marker))
        + size
        + components
        + template[tables:scan]
        + scan_header(*range(1, layers + 1), last=0 if marker == 0xC2 else 63)
        + (b"\0" * (blocks // 4 + 1) if marker == 0xC2 else b"\x28\xa2\x8a" * -(-blocks // 4))
        + scan_header(1, first=1) * extra_scans
        + b"\xff\xd9"
    )


def scan_header(*components, first=0, last=63):
    """The header of one JPEG scan over some components."""
    selected = b"".join(bytes((number, 0)) for number in components)
    length = struct.pack(">H", 6 + 2 * len(components))
    return b"\xff\xda" + length + bytes([len(components)]) + selected + bytes((first, last, 0))


def three_scan_jpeg(image):
    """A baseline JPEG that holds its three channels one after the other, as few programs write them."""
    channels = [encoded(channel, "JPEG", quality=95) for channel in image.convert("YCbCr").split()]
    frame, tables, scan = (channels[0].index(marker) for marker in (b"\xff\xc0", b"\xff\xc4", b"\xff\xda"))
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    header = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, image.height, image.width, 3) + components
    scans = [
        scan_header(number) + channel[channel.index(b"\xff\xda") + 10 : -2]
        for number, channel in enumerate(channels, start=1)
    ]
    return channels[0][:frame] + header + channels[0][tables:scan] + b"".join(scans) + b"\xff\xd9"


def png(width, height, body):
    """An RGB PNG whose header states a size, whatever its compressed `body` holds."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", body)
        + _chunk(b"IEND", b"")
    )


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(width, height, bits, body):
    """An uncompressed greyscale TIFF of any depth."""
    tags = ((256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 110), (277, 1), (279, len(body)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return directory + body
