import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skin_gradio import images
from skin_gradio.images import UnusableImage, read_picture
from tests.pictures import encoded, flat_jpeg, gradient, png, three_scan_jpeg, tiff

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}}
# How a camera that was held this way stores an upright picture.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def central(image):
    """What a picture's central square holds, uint8 (s, s, 3)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.convert("RGB"))[top : top + side, left : left + side]


def reason_of(source):
    with pytest.raises(UnusableImage) as caught:
        read_picture(source)
    assert str(caught.value).endswith(".")
    return caught.value.code


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_every_lossless_format_gives_the_central_square_as_it_is(file_format):
    picture = read_picture(encoded(gradient(), file_format, **LOSSLESS[file_format]))
    assert (picture.width, picture.height, picture.format, picture.frames) == (120, 90, file_format, 1)
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_array_equal(picture.pixels, central(gradient()))


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "GIF"])
def test_every_lossy_format_gives_nearly_the_same(file_format):
    picture = read_picture(encoded(gradient(), file_format))
    assert np.abs(picture.pixels.astype(int) - central(gradient())).mean() < 6


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_file_and_its_bytes_give_the_same_pixels_whatever_its_name(file_format, tmp_path):
    data = encoded(gradient(1300, 1100), file_format)
    (tmp_path / "lesion.txt").write_bytes(data)
    from_file, from_bytes = read_picture(tmp_path / "lesion.txt"), read_picture(data)
    np.testing.assert_array_equal(from_file.pixels, from_bytes.pixels)
    np.testing.assert_array_equal(read_picture(str(tmp_path / "lesion.txt")).pixels, from_bytes.pixels)
    assert from_file.pixels.shape == (1024, 1024, 3)


def test_pictures_read_on_many_threads_are_those_read_on_one():
    files = [encoded(gradient(100 + i, 90), f) for i in range(10) for f in ("JPEG", "PNG", "WEBP", "TIFF")]
    expected = [read_picture(data).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        for pixels, picture in zip(expected, pool.map(read_picture, files), strict=True):
            np.testing.assert_array_equal(pixels, picture.pixels)


def test_resizing_gives_the_size_asked_for_and_keeps_a_picture_that_has_it():
    picture = read_picture(encoded(gradient(), "PNG"))
    assert picture.resized(90) is picture.pixels
    for size in (16, 224):
        assert picture.resized(size).shape == (size, size, 3)
        assert abs(picture.resized(size).mean() - picture.pixels.mean()) < 1


# Orientation


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
    ],
)
def test_a_turned_picture_equals_the_upright_one(orientation, file_format, options):
    turn, tolerance = STORED_AS[orientation], 4 if file_format == "JPEG" else 0
    for upright in (gradient(121, 90), gradient(90, 121)):
        stored = upright if turn is None else upright.transpose(turn)
        picture = read_picture(encoded(stored, file_format, exif=exif(orientation), **options))
        assert (picture.width, picture.height) == upright.size
        np.testing.assert_allclose(picture.pixels.astype(int), central(upright), atol=tolerance)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "tags",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",  # an orientation that is text
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",  # orientation 99
    ],
)
def test_garbage_in_exif_does_not_cost_the_picture(file_format, tags):
    picture = read_picture(encoded(gradient(), file_format, exif=tags))
    assert (picture.width, picture.height) == (120, 90)
    assert np.abs(picture.pixels.astype(int) - central(gradient())).mean() < 6


# Colour


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(file_format):
    layered = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    layered.paste((200, 0, 0, 255), (0, 0, 32, 64))
    layered.paste((200, 0, 0, 128), (0, 0, 64, 16))
    pixels = read_picture(encoded(layered, file_format, **LOSSLESS[file_format])).pixels
    assert pixels[40, 10].tolist() == [200, 0, 0]
    assert pixels[40, 50].tolist() == [255, 255, 255]
    np.testing.assert_allclose(pixels[8, 50].astype(int), [227, 127, 127], atol=1)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(file_format):
    image = Image.new("P", (64, 64), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.paste(0, (0, 0, 64, 32))
    pixels = read_picture(encoded(image, file_format, transparency=0)).pixels
    assert pixels[10, 10].tolist() == [255, 255, 255]
    assert pixels[50, 10].tolist() == [200, 100, 50]


def test_a_transparent_colour_of_a_picture_without_alpha_is_white():
    pixels = read_picture(encoded(Image.new("RGB", (40, 40), (1, 2, 3)), "PNG", transparency=(1, 2, 3))).pixels
    assert (pixels == 255).all()


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("1", "PNG"),
        ("1", "TIFF"),
        ("1", "BMP"),
        ("L", "PNG"),
        ("L", "JPEG"),
        ("L", "BMP"),
        ("LA", "PNG"),
        ("LA", "TIFF"),
    ],
)
def test_greyscale_becomes_rgb(mode, file_format):
    grey = gradient().convert(mode)
    pixels = read_picture(encoded(grey, file_format)).pixels.astype(int)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert np.abs(pixels - central(grey)).mean() < 2


@pytest.mark.parametrize(("mode", "file_format"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF"), ("P", "BMP")])
def test_other_colour_models_become_rgb(mode, file_format):
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(gradient(), *profiles, outputMode="LAB")
    else:
        image = gradient().quantize(256) if mode == "P" else gradient().convert(mode)
    pixels = read_picture(encoded(image, file_format)).pixels
    assert np.abs(pixels.astype(int) - central(gradient())).mean() < 6


@pytest.mark.parametrize("side", [64, 1100])
@pytest.mark.parametrize(
    ("mode", "file_format", "top"),
    [
        ("I;16", "PNG", 65535),
        ("I;16", "TIFF", 65535),
        ("I;16B", "TIFF", 65535),
        ("I", "TIFF", 65535),
        ("I", "TIFF", 255),
    ],
)
def test_deep_greyscale_keeps_its_brightness(mode, file_format, top, side):
    values = np.linspace(0, top, side * side).reshape(side, side)
    dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.frombytes(mode, (side, side), values.astype(dtype).tobytes())
    pixels = read_picture(encoded(image, file_format)).pixels
    expected = np.linspace(0, 255, len(pixels))
    np.testing.assert_allclose(pixels.mean(axis=(1, 2)), expected, atol=3)


def test_a_twelve_bit_tiff_is_as_bright_as_its_depth_says():
    packed = bytes((0x80, 0x08, 0x00)) * (64 * 64 // 2)  # 2048, 2048, two in three bytes
    assert (read_picture(tiff(64, 64, 12, packed)).pixels == 128).all()


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_greyscale_is_scaled_by_the_range_that_its_values_imply(top):
    values = np.linspace(0, top, 64 * 64, dtype=np.float32).reshape(64, 64)
    pixels = read_picture(encoded(Image.fromarray(values), "TIFF")).pixels
    np.testing.assert_allclose(pixels[..., 0], np.round(values * (255 / top)), atol=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 1e9])
@pytest.mark.parametrize("side", [64, 1100])
def test_floating_point_values_without_a_meaning_are_refused(value, side):
    values = np.full((side, side), 0.5, np.float32)
    values[side // 2, side // 2] = value
    assert reason_of(encoded(Image.fromarray(values), "TIFF")) == "unsupported_values"


# Animations and documents of several pages


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(file_format):
    frames = [Image.new("RGB", (64, 48), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    picture = read_picture(data)
    assert picture.frames == 2
    np.testing.assert_allclose(picture.pixels.reshape(-1, 3).mean(axis=0), [200, 0, 0], atol=4)


def test_a_damaged_second_frame_does_not_cost_the_first():
    frames = [Image.new("RGB", (64, 48), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    data = bytearray(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    second = struct.unpack_from("<I", data, 8 + 2 + 12 * struct.unpack_from("<H", data, 8)[0])[0]
    data[second:] = b"\xff" * (len(data) - second)
    assert read_picture(bytes(data)).pixels[0, 0].tolist() == [200, 0, 0]


def test_a_stereo_jpeg_gives_its_first_picture():
    left, right = gradient(), Image.new("RGB", (120, 90), (0, 0, 0))
    picture = read_picture(encoded(left, "MPO", save_all=True, append_images=[right]))
    assert (picture.format, picture.frames) == ("JPEG", 1)
    assert np.abs(picture.pixels.astype(int) - central(left)).mean() < 6


def test_a_jpeg_with_a_damaged_list_of_further_pictures_is_read():
    data = encoded(gradient(), "MPO", save_all=True, append_images=[gradient()])
    start = data.index(b"MPF\0") + 4
    data = data[:start] + b"\xff" * 60 + data[start + 60 :]
    assert read_picture(data).pixels.shape == (90, 90, 3)


# Damage and disguise


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_says_so(file_format, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    data = encoded(noise, file_format)
    assert reason_of(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_flipped_bits_in_a_checked_format_are_damage(file_format):
    data = bytearray(encoded(gradient(), file_format, **LOSSLESS[file_format]))
    data[30:60] = bytes(byte ^ 0x55 for byte in data[30:60])
    assert reason_of(bytes(data)) in ("damaged", "truncated")


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "empty", "0 bytes"),
        (b"\xff\xd8\xff", "damaged", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "damaged", "damaged"),
        (b"GIF89a" + bytes(9), "damaged", "damaged"),
        (b"hello, this is a note\n" * 20, "not_an_image", "not a picture in a supported format"),
        (b"%PDF-1.7 and so on", "not_an_image", "a PDF document"),
        (b"PK\x03\x04" + bytes(60), "not_an_image", "a zip archive"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image", "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "not_an_image", "an XML or SVG file"),
        (b"\n <!DOCTYPE HTML><html></html>", "not_an_image", "a web page"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "unsupported_format", "HEIC"),
        (bytes(128) + b"DICM" + bytes(60), "unsupported_format", "DICOM"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "unsupported_format", "JPEG 2000"),
        (bytes(range(256)) * 9, "not_an_image", "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_kind_even_as_jpg(data, reason, words, tmp_path):
    (tmp_path / "lesion.jpg").write_bytes(data)
    for source in (data, tmp_path / "lesion.jpg"):
        with pytest.raises(UnusableImage, match=words) as caught:
            read_picture(source)
        assert caught.value.code == reason


def test_what_cannot_be_read_at_all_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for source in (tmp_path, tmp_path / "pipe.jpg", tmp_path / "missing.jpg", "nul\0.jpg", "n" * 5000, "/dev/zero"):
        assert reason_of(source) == "unreadable_file"


def test_a_file_of_too_many_bytes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 1_000)
    data = encoded(gradient(), "BMP")
    (tmp_path / "large.bmp").write_bytes(data)
    assert reason_of(data) == "file_too_large"
    assert reason_of(tmp_path / "large.bmp") == "file_too_large"


# Size


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (31, 500), (500, 31)])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_picture_that_is_too_small_on_one_side_is_refused(size, file_format):
    assert reason_of(encoded(Image.new("RGB", size), file_format)) == "too_small"


@pytest.mark.parametrize("size", [(32, 32), (32, 30_000), (30_000, 40)])
def test_a_strip_that_is_wide_enough_gives_its_middle(size):
    assert read_picture(encoded(Image.new("RGB", size, (9, 99, 199)), "JPEG")).pixels.shape == (*[min(size)] * 2, 3)


MEMORY_SCRIPT = """
import pathlib, resource, sys
from skin_gradio.images import UnusableImage, read_picture
read_picture(pathlib.Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture(pathlib.Path(sys.argv[2]))
except UnusableImage as error:
    print(error.code, end=" ")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def megabytes_for(data, tmp_path):
    """What reading a file adds to the memory of a process of its own, and the reason if it is refused."""
    (tmp_path / "small").write_bytes(encoded(gradient(), "PNG"))
    (tmp_path / "large").write_bytes(data)
    files = [tmp_path / "small", tmp_path / "large"]
    command = [sys.executable, "-c", MEMORY_SCRIPT, *map(str, files)]
    *reason, megabytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(megabytes), "".join(reason)


def test_a_baseline_jpeg_of_100_megapixels_is_read_in_little_memory(tmp_path):
    megabytes, reason = megabytes_for(flat_jpeg(10_000, 10_000), tmp_path)
    assert not reason
    assert megabytes < 100
    picture = read_picture(flat_jpeg(10_000, 10_000))
    assert (picture.width, picture.pixels.shape) == (10_000, (1024, 1024, 3))
    assert (picture.pixels == 128).all()


def test_a_jpeg_of_more_than_400_megapixels_is_refused():
    assert reason_of(flat_jpeg(25_000, 20_000, layers=1)) == "too_many_pixels"


def test_a_long_strip_that_no_scale_makes_small_is_refused():
    assert reason_of(flat_jpeg(65_000, 950, layers=1)) == "too_many_pixels"


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_png_of_too_many_pixels_is_refused_before_any_is_decoded(size):
    assert reason_of(png(*size, body=b"never looked at")) == "too_many_pixels"


@pytest.mark.filterwarnings("error")
def test_too_many_pixels_are_the_reason_also_where_warnings_are_errors():
    assert reason_of(png(10_000, 10_000, body=b"")) == "too_many_pixels"


def test_a_png_that_inflates_past_the_size_it_states_takes_no_more_memory(tmp_path):
    squeeze = zlib.compressobj(9)
    body = b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(300)) + squeeze.flush()
    megabytes, _ = megabytes_for(png(100, 100, body), tmp_path)
    assert megabytes < 50


def test_a_progressive_jpeg_is_limited_by_the_pixels_it_holds_at_any_scale(monkeypatch):
    data = encoded(gradient(2000, 2000), "JPEG", progressive=True)
    assert read_picture(data).pixels.shape == (1000, 1000, 3)
    monkeypatch.setattr(images, "MAX_DECODED_PIXELS", 3_999_999)
    assert reason_of(data) == "too_many_pixels"
    assert read_picture(encoded(gradient(2000, 2000), "JPEG")).pixels.shape == (1000, 1000, 3)


def test_a_jpeg_with_a_scan_for_each_channel_is_read_and_limited_alike(monkeypatch):
    assert np.abs(read_picture(three_scan_jpeg(gradient())).pixels.astype(int) - central(gradient())).mean() < 6
    monkeypatch.setattr(images, "MAX_DECODED_PIXELS", 3_999_999)
    assert reason_of(three_scan_jpeg(gradient(2000, 2000))) == "too_many_pixels"


def test_a_jpeg_that_goes_over_its_pixels_without_end_is_refused():
    assert read_picture(flat_jpeg(1000, 1000, layers=1, marker=0xC2, extra_scans=20)).pixels.shape == (1000, 1000, 3)
    assert reason_of(flat_jpeg(7000, 7000, layers=1, marker=0xC2, extra_scans=10_000)) == "damaged"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1792, 1800), (3680, 3600)])
def test_a_jpeg_decoded_at_a_reduced_scale_is_close_to_one_decoded_in_full(mode, progressive, size):
    texture = np.random.default_rng(1).integers(0, 255, (60, 60, 3), np.uint8)
    image = Image.fromarray(texture).resize(size, Image.Resampling.BICUBIC).convert(mode)
    data = encoded(image, "JPEG", quality=92, progressive=progressive)
    full = Image.open(io.BytesIO(data)).convert("RGB")
    reduced, expected = read_picture(data), read_picture(encoded(full, "BMP"))
    assert reduced.pixels.shape[0] < 1024
    gap = np.abs(reduced.resized(224).astype(int) - expected.resized(224))
    assert gap.mean() < 2
    assert gap.max() < 16


def test_a_picture_slightly_larger_than_the_working_side_is_not_blurred_by_scaling():
    assert read_picture(encoded(gradient(1791, 1791), "JPEG")).pixels.shape == (1024, 1024, 3)


def test_large_pictures_are_read_one_after_the_other_without_a_deadlock(monkeypatch):
    monkeypatch.setattr(images, "LARGE_PIXELS", 0)
    files = [encoded(gradient(), "PNG"), encoded(gradient(), "PNG")[:100], b"no picture"] * 10
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(read_picture, data) for data in files]
    assert [future.exception() is None for future in futures] == [True, False, False] * 10


# Whatever comes

VALID = [
    *(encoded(gradient(48, 40), f) for f in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")),
    encoded(gradient(48, 40), "JPEG", progressive=True, exif=exif(6)),
    encoded(gradient(48, 40), "TIFF", compression="tiff_lzw", exif=exif(6)),
    encoded(gradient(48, 40).convert("CMYK"), "JPEG"),
    encoded(gradient(48, 40).convert("P"), "PNG", transparency=3),
    encoded(gradient(48, 40), "GIF", save_all=True, append_images=[gradient(48, 40).rotate(90)]),
    encoded(gradient(48, 40), "WEBP", save_all=True, append_images=[gradient(48, 40).rotate(90)]),
    encoded(gradient(48, 40), "MPO", save_all=True, append_images=[gradient(48, 40)]),
    tiff(48, 40, 16, bytes(48 * 40 * 2)),
    three_scan_jpeg(gradient(48, 40)),
]


@st.composite
def mutated_files(draw):
    data = bytearray(draw(st.sampled_from(VALID)))
    # Headers are where a change has most effect.
    for _ in range(draw(st.integers(0, 6))):
        end = draw(st.sampled_from([40, 200, len(data)]))
        data[draw(st.integers(0, min(end, len(data)) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(data)))
    if draw(st.booleans()):
        data[start : start + draw(st.integers(0, 30))] = draw(st.binary(max_size=30))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@pytest.mark.filterwarnings("ignore")
@settings(derandomize=True, database=None, deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(mutated_files())
def test_whatever_comes_is_a_picture_or_a_named_reason(data):
    code, pixels = "", np.zeros((32, 32, 3), np.uint8)
    try:
        pixels = read_picture(data).pixels
    except UnusableImage as error:
        code = error.code
    assert code in (UnusableImage.__doc__ or "")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(pixels), len(pixels), 3)
    assert 32 <= len(pixels) <= 1024
