"""One upload -> an RGB uint8 square, or a named reason why not.

Training pictures and uploads go through the same steps: EXIF orientation, RGB, central square, antialiased resize.
"""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MIN_SIDE = 32
MAX_FILE_BYTES = 100_000_000
# What may be decoded at once: 60 megapixels are 180 MB as RGB. A baseline JPEG of more is decoded at a reduced scale.
MAX_DECODED_PIXELS = 60_000_000
MAX_PIXELS = 400_000_000
# A JPEG is decoded at the smallest scale whose shorter side keeps this length: twice any model's input.
DRAFT_SIDE = 896
WORKING_SIDE = 1024

# Pillow's own limit counts pixels before the reduced-scale decoding that makes large JPEG files harmless.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
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
    """The central square of one upload: `pixels` uint8 (s, s, 3) RGB, at most 1024 px a side, and what it came from."""

    pixels: np.ndarray
    width: int
    height: int
    format: str
    frames: int

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
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _decode(image)
    except UnusableImage:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Image.DecompressionBombError:
        raise _too_many_pixels("more than can be counted safely") from None
    except MemoryError:
        raise _too_many_pixels("more than this machine has memory for") from None
    except Exception as error:  # decoders raise nearly anything on damaged input; all of it means the same to a user
        if "truncated" in str(error).lower():
            raise UnusableImage("truncated", "The file ends before the picture does; it was cut off.") from None
        raise UnusableImage("damaged", "The file is damaged and cannot be decoded.") from None


def _bytes_of(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
        if len(data) > MAX_FILE_BYTES:
            raise _file_too_large(len(data))
    else:
        try:
            size = Path(source).stat().st_size
            if size > MAX_FILE_BYTES:
                raise _file_too_large(size)
            data = Path(source).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnusableImage("unreadable_file", f"The file cannot be read: {reason}.") from None
    if not data:
        raise UnusableImage("empty", "The file is empty (0 bytes).")
    return data


def _decode(image: Image.Image) -> Picture:
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise UnusableImage(
            "too_small", f"The picture is {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed."
        )
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width} x {height}")
    file_format = "JPEG" if image.format == "MPO" else str(image.format)
    frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    # A progressive JPEG holds all its coefficients in memory whatever the scale it is decoded at.
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        shrink = DRAFT_SIDE / min(width, height)
        if shrink < 1:
            image.draft(None, (round(width * shrink), round(height * shrink)))
    if image.size[0] * image.size[1] > MAX_DECODED_PIXELS or (
        image.info.get("progressive") and width * height > MAX_DECODED_PIXELS
    ):
        raise _too_many_pixels(f"{width} x {height}")
    orientation = _orientation(image)
    image.load()
    square = _rgb(_central_square(image))
    if square.width > WORKING_SIDE:
        square = square.resize((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return Picture(np.asarray(_oriented(square, orientation)), width, height, file_format, frames)


def _central_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # garbage in EXIF must not cost the picture
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _oriented(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a square as EXIF says. Cropping first is the same, the crop being central and square."""
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image) if 2 <= orientation <= 8 else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point greyscale to 8 bits by the range that its mode or values imply."""
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all() or low < 0 or high > 65535:
        raise UnusableImage(
            "unsupported_values", f"Pixel values run from {low:g} to {high:g}; 8-bit, 16-bit or 0 to 1 is expected."
        )
    if image.mode == "F":
        top = 1.0 if high <= 1 else 255.0 if high <= 255 else 65535.0
    else:
        top = 255.0 if image.mode == "I" and high <= 255 else 65535.0
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8)).convert("RGB")


def _unidentified(data: bytes) -> UnusableImage:
    head = data[:64].lstrip().lower()
    if data[4:8] == b"ftyp":
        return UnusableImage(
            "unsupported_format", "HEIC, AVIF and video files are not supported; save the picture as JPEG or PNG."
        )
    for signature, kind in _SIGNATURES:
        if head.startswith(signature.lower()):
            return UnusableImage("not_an_image", f"This is {kind}, not a picture.")
    return UnusableImage(
        "not_an_image", "This is not a picture in a supported format (JPEG, PNG, WebP, TIFF, BMP, GIF)."
    )


def _too_many_pixels(what: str) -> UnusableImage:
    return UnusableImage(
        "too_many_pixels",
        f"The picture has too many pixels ({what}); up to {MAX_DECODED_PIXELS // 10**6} megapixels are decoded,"
        f" {MAX_PIXELS // 10**6} of a baseline JPEG.",
    )


def _file_too_large(size: int) -> UnusableImage:
    return UnusableImage(
        "file_too_large", f"The file has {size / 1e6:.0f} MB; at most {MAX_FILE_BYTES / 1e6:.0f} MB are read."
    )
