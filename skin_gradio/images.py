"""One upload -> an RGB uint8 square, or a named reason why not.

Training pictures and uploads go through the same steps: EXIF orientation, RGB, central square, antialiased resize.
"""

import contextlib
import io
import re
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MIN_SIDE = 32
MAX_FILE_BYTES = 100_000_000
# What may be decoded at once: Pillow holds 60 megapixels of RGB in 240 MB, and cropping them takes as much again.
MAX_DECODED_PIXELS = 60_000_000
# A baseline JPEG of more is decoded at a reduced scale, line by line.
MAX_PIXELS = 400_000_000
# Pictures of more are decoded one at a time, so that memory does not grow with the number of threads.
LARGE_PIXELS = 16_000_000
# Every scan of a progressive JPEG costs a pass over the picture; a usual one has ten, a hostile one millions.
MAX_SCANNED_PIXELS = 4_000_000_000
# A JPEG is decoded at the smallest scale whose shorter side keeps this length: twice the input of a model at 448 px.
DRAFT_SIDE = 896
WORKING_SIDE = 1024

_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e][\x01-\x04]")
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), (0xC2,)
_BITS_PER_SAMPLE = 258
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_large_at_a_time = threading.Lock()
_MAGIC = (b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*")
# What else is dropped by mistake: how it begins, in lower case.
_SIGNATURES = (
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a zip archive"),
    (b"<?xml", "an XML or SVG file"),
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
)


class UnusableImage(ValueError):
    """A picture that cannot be used; `code` names the reason in one word, the message explains it to a user.

    Codes: empty, file_too_large, not_an_image, unsupported_format, too_many_pixels, too_small, truncated, damaged,
    unsupported_values, unreadable_file.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Picture:
    """The central square of one upload: `pixels` uint8 (s, s, 3) RGB, at most 1024 px a side, and what it came from.

    `width` and `height` are the upload's, upright. `frames` is 1, or 2 for an animation or a document of any length:
    counting further would mean reading them all.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str
    frames: int

    @property
    def shorter_side(self) -> int:
        """The upload's shorter side, pixels."""
        return min(self.width, self.height)

    def resized(self, size: int) -> np.ndarray:
        """Return the square as uint8 (size, size, 3), antialiased where it shrinks."""
        if self.pixels.shape[0] == size:
            return self.pixels
        return np.asarray(Image.fromarray(self.pixels).resize((size, size), Image.Resampling.BICUBIC))


def read_picture(source: str | Path | bytes) -> Picture:
    """Read one picture from a path or from its bytes.

    Orientation from EXIF is applied, transparency is laid on white, greyscale, palette, CMYK and 16-bit pictures become
    8-bit RGB, and an animation gives its first frame. The file's content decides its format, not its name.

    Raises UnusableImage, and nothing else, for whatever is wrong with the picture.
    """
    data = _bytes_of(source)
    try:
        with _open(data) as image:
            return _decode(image, data)
    except UnusableImage:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels("far more than can be decoded") from None
    except MemoryError:
        raise _too_many_pixels("more than this machine has memory for") from None
    except Exception as error:  # decoders raise nearly anything on damaged input; all of it means the same to a user
        if "truncated" in str(error).lower() or _ends_early(data):
            raise UnusableImage("truncated", "The file ends before the picture does; it was cut off.") from None
        raise _damaged() from None


def _bytes_of(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            path = Path(source)
            # Reading a pipe or a device could go on for ever.
            if path.exists() and not path.is_file():
                kind = "a folder" if path.is_dir() else "no regular file"
                raise UnusableImage("unreadable_file", f"This is {kind}, not a picture.")
            with path.open("rb") as handle:
                data = handle.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, UnusableImage):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise UnusableImage("unreadable_file", f"The file cannot be read: {reason}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise UnusableImage("file_too_large", f"The file has more than {MAX_FILE_BYTES / 1e6:.0f} MB.")
    if not data:
        raise UnusableImage("empty", "The file is empty (0 bytes).")
    return data


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header. A JPEG goes past Image.open, whose limit on pixels takes no account of the reduced scale."""
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _decode(image: ImageFile.ImageFile, data: bytes) -> Picture:
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise UnusableImage(
            "too_small", f"The picture is {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed."
        )
    held = _pixels_held(image, data) if isinstance(image, JpegImagePlugin.JpegImageFile) else width * height
    if held > MAX_DECODED_PIXELS or width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width} x {height}")
    with _one_large_at_a_time if held > LARGE_PIXELS else contextlib.nullcontext():
        image.load()
        # Asked for after loading: Pillow turns a TIFF by itself then, and forgets its orientation.
        orientation = _orientation(image)
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE)
        square = _shrunk(_rgb(_central_square(image, orientation), 12 if bits == (12,) else 16))
    if orientation in _TURNS:
        square = square.transpose(_TURNS[orientation])
    if 5 <= orientation <= 8:
        width, height = height, width
    return Picture(np.asarray(square), width, height, str(image.format), 2 if _has_more_frames(image) else 1)


def _pixels_held(image: JpegImagePlugin.JpegImageFile, data: bytes) -> int:
    """Set the scale that a JPEG is decoded at; return how many pixels are in memory at once while it is."""
    (width, height), layers = image.size, image.layers
    header_end = image.fp.tell() if image.fp else 0
    frame = struct.pack(">HBHHB", 8 + 3 * layers, 8, height, width, layers)
    found = data.find(frame, 0, header_end)
    kind = data[found - 1] if found > 0 else 0
    shrink = DRAFT_SIDE / min(width, height)
    if shrink < 1 and kind in _BASELINE + _PROGRESSIVE:
        image.draft(None, (round(width * shrink), round(height * shrink)))
    scan = bytes((0, 6 + 2 * layers, layers))
    if kind in _BASELINE and data.startswith(scan, header_end - 6 - 2 * layers):
        return image.width * image.height
    # Whatever the scale, a JPEG of several scans has the coefficients of all its pixels in memory.
    if sum(1 for _ in _SCAN.finditer(data)) * width * height > MAX_SCANNED_PIXELS:
        raise _damaged()
    return width * height


def _central_square(image: Image.Image, orientation: int) -> Image.Image:
    """Crop what will be the central square once the picture is turned: an odd margin is larger right and below then."""
    side = min(image.size)
    left = (image.width - side + (orientation in (2, 3, 7, 8))) // 2
    top = (image.height - side + (orientation in (3, 4, 6, 7))) // 2
    return image.crop((left, top, left + side, top + side))


def _shrunk(square: Image.Image) -> Image.Image:
    if square.width <= WORKING_SIDE:
        return square
    # Pillow reduces only 8-bit pictures by whole steps first.
    gap = 3.0 if square.mode == "RGB" else None
    return square.resize((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BICUBIC, reducing_gap=gap)


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # garbage in EXIF must not cost the picture
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _has_more_frames(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):  # nor must a damaged second frame
        return bool(getattr(image, "is_animated", False))
    return True


def _rgb(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image, bits)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGB", layered.size, (255, 255, 255))
        ground.paste(layered, mask=layered)
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image, bits: int) -> Image.Image:
    """Scale greyscale of 12, 16 or 32 bits or floating point to 8 bits by the range that its type or values imply."""
    top = 2.0**bits - 1
    if image.mode in ("I", "F"):
        low, high = np.array(image.getextrema(), dtype=np.float64)
        if low < 0 or high > 65535:
            raise UnusableImage(
                "unsupported_values", f"Pixel values run from {low:g} to {high:g}; 8-bit, 16-bit or 0 to 1 is expected."
            )
        top = 65535.0 if high > 255 else 1.0 if image.mode == "F" and high <= 1 else 255.0
    # Pillow resizes big-endian I;16B as if it were little-endian.
    values = np.asarray(_shrunk(image if image.mode == "F" else image.convert("I")), dtype=np.float64)
    if not np.isfinite(values).all():
        raise UnusableImage("unsupported_values", "Some pixel values are not numbers.")
    return Image.fromarray(np.clip(np.round(values * (255 / top)), 0, 255).astype(np.uint8)).convert("RGB")


def _unidentified(data: bytes) -> UnusableImage:
    if data[4:8] in (b"ftyp", b"jP  ") or data[128:132] == b"DICM":
        return UnusableImage(
            "unsupported_format",
            "HEIC, AVIF, JPEG 2000, DICOM and video files are not supported; save the picture as JPEG or PNG.",
        )
    if data.startswith(_MAGIC):
        return _damaged()
    head = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return UnusableImage("not_an_image", f"This is {kind}, not a picture.")
    return UnusableImage(
        "not_an_image", "This is not a picture in a supported format (JPEG, PNG, WebP, TIFF, BMP, GIF)."
    )


def _ends_early(data: bytes) -> bool:
    """Say whether a WebP is shorter than its header states; its decoder does not tell that from other damage."""
    return data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)


def _damaged() -> UnusableImage:
    return UnusableImage("damaged", "The file is damaged and cannot be decoded.")


def _too_many_pixels(what: str) -> UnusableImage:
    return UnusableImage(
        "too_many_pixels",
        f"The picture has too many pixels ({what}); up to {MAX_DECODED_PIXELS // 10**6} megapixels are decoded,"
        f" {MAX_PIXELS // 10**6} of a baseline JPEG.",
    )
