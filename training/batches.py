"""Pictures decoded once, then batches and augmentation. NumPy and OpenCV only; no TensorFlow in the input path."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from skin_gradio.images import Picture
from training import ham10000
from training.experiment import Augmentation

CACHE_SIDE = 256


def decode(paths: Sequence[Path], side: int = CACHE_SIDE) -> np.ndarray:
    """Return the pictures as uint8 (n, side, side, 3), in order.

    Raises DatasetError that names a picture which cannot be read.
    """
    pictures = np.empty((len(paths), side, side, 3), np.uint8)

    def one(position: int) -> None:
        pictures[position] = ham10000.read_training_picture(paths[position]).resized(side)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(len(paths))))
    return pictures


def decode_cached(paths: Sequence[Path], cache: Path, side: int = CACHE_SIDE) -> np.ndarray:
    """Like `decode`, kept in a file under `cache` that later runs map into memory.

    The file's name holds a hash of the pictures' names, sizes and times, so that a changed picture is decoded again.
    """
    stamp = hashlib.sha256(str(side).encode())
    for path in paths:
        stat = path.stat()
        stamp.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    file = cache / f"pictures-{side}-{stamp.hexdigest()[:16]}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as handle:
            np.save(handle, decode(paths, side))
        partial.replace(file)
    return np.load(file, mmap_mode="r")


def resize_all(pictures: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (n, size, size, 3): the resize that uploads get, on pictures decoded before."""
    side = pictures.shape[1]
    return np.stack([Picture(np.asarray(p), side, side, "", 1).resized(size) for p in pictures])


def class_frequencies(labels: np.ndarray, classes: int, power: float) -> np.ndarray:
    """Return float (classes,), the share of draws each class gets: its count to `power`, normalised."""
    counts = np.bincount(labels, minlength=classes).astype(float)
    shares = np.where(counts > 0, counts**power, 0.0)
    return shares / shares.sum()


def draw(labels: np.ndarray, classes: int, power: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return int (count,) positions of an epoch's pictures, in random order.

    Within a class every picture is drawn equally often, give or take one (systematic sampling).
    """
    shares = class_frequencies(labels, classes, power)
    per_class = np.maximum(np.bincount(labels, minlength=classes), 1)
    order = rng.permutation(len(labels))
    expected = (shares / per_class)[labels[order]] * count
    ticks = np.floor(np.cumsum(expected) + rng.random()).astype(int)
    times = np.diff(ticks, prepend=0)
    drawn = np.repeat(order, times)
    drawn = np.concatenate([drawn, rng.choice(order, max(0, count - len(drawn)))])[:count]
    return rng.permutation(drawn)


class Augmenter:
    """Varies one training picture; every choice comes from the generator that it is given."""

    def __init__(self, options: Augmentation):
        self.options = options

    def __call__(self, picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return uint8 (size, size, 3) from uint8 (side, side, 3)."""
        options = self.options
        picture = self._warp(picture, size, rng)
        if rng.random() < options.hair:
            picture = _draw_hairs(picture, rng)
        picture = self._recolour(picture, rng)
        if rng.random() < options.rim:
            picture = _draw_rim(picture, rng)
        picture = self._resharpen(picture, rng)
        if rng.random() < options.noise:
            noise = rng.normal(0, rng.uniform(1, 10), (*picture.shape[:2], 1 if rng.random() < 0.5 else 3))
            picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
        if rng.random() < options.jpeg:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))]
            picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR))
        return picture

    def _warp(self, picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Rotate, mirror, zoom, stretch and shift in one resampling, smoothed before it shrinks."""
        options, side = self.options, picture.shape[0]
        zoom = np.exp(rng.uniform(*np.log(options.zoom))) * size / side
        stretch = np.exp(rng.uniform(-options.stretch, options.stretch) / 2)
        angle = rng.uniform(0, 2 * np.pi) if options.rotate else 0.0
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([zoom * stretch, zoom / stretch])
        if options.rotate and rng.random() < 0.5:
            linear[:, 0] *= -1
        shift = rng.uniform(-options.shift, options.shift, 2) * size
        offset = (size - 1) / 2 + shift - linear @ np.full(2, (side - 1) / 2)
        if zoom < 1:  # the usual width for a shrinking by 1/zoom, varied from aliased to soft
            sigma = 0.5 * np.sqrt(1 / zoom**2 - 1) * rng.uniform(0.5, 1.3)
            if sigma > 0.2:
                picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        method = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        matrix = np.column_stack([linear, offset])
        return cv2.warpAffine(picture, matrix, (size, size), flags=method, borderMode=cv2.BORDER_REFLECT_101)

    def _recolour(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change saturation by one matrix, then gamma, contrast, brightness and channel gains by one table."""
        options = self.options
        saturation = 1 + rng.uniform(-options.saturation, options.saturation)
        grey = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
        picture = cv2.transform(picture, saturation * np.eye(3) + (1 - saturation) * grey)
        gain = 1 + rng.uniform(-options.channel_gain, options.channel_gain, 3)
        gamma = np.exp(rng.uniform(-options.gamma, options.gamma))
        contrast = 1 + rng.uniform(-options.contrast, options.contrast)
        brightness = rng.uniform(-options.brightness, options.brightness)
        levels = (np.arange(256) / 255) ** gamma
        table = ((levels[:, None] * gain - 0.5) * contrast + 0.5 + brightness) * 255
        return cv2.LUT(picture, np.clip(table, 0, 255).astype(np.uint8)[None])

    def _resharpen(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        options, size = self.options, picture.shape[0]
        if rng.random() < options.resample:
            small = round(size * rng.uniform(0.5, 0.95))
            picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
            picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
        chance = rng.random()
        if chance < options.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.012 * size + 0.3))
        elif chance < options.blur + options.sharpen:
            soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 2.0))
            amount = rng.uniform(0.3, 2.0)
            picture = cv2.addWeighted(picture, 1 + amount, soft, -amount, 0)
        return picture


def _draw_rim(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = picture.shape[0]
    centre = size / 2 + rng.uniform(-0.06, 0.06, 2) * size
    y, x = np.ogrid[:size, :size]
    distance = np.hypot(x - centre[0], y - centre[1])
    radius, width = rng.uniform(0.44, 0.66) * size, rng.uniform(0.005, 0.15) * size
    light = np.clip((radius - distance) / width + 0.5, rng.uniform(0, 0.4), 1)
    return (picture * light[..., None]).astype(np.uint8)


def _draw_hairs(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size, picture = picture.shape[0], picture.copy()
    colour = tuple(int(c) for c in rng.integers(10, 90) * np.array([1.0, 0.85, 0.7]))
    for _ in range(int(rng.integers(2, 13))):
        start, end = rng.uniform(-0.1, 1.1, (2, 2)) * size
        bend = (start + end) / 2 + rng.normal(0, 0.15, 2) * size
        t = np.linspace(0, 1, 16)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        thickness = 1 if rng.random() < 0.7 else 2
        cv2.polylines(picture, [np.round(curve * 8).astype(np.int32)], False, colour, thickness, cv2.LINE_AA, 3)
    return picture
