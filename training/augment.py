"""How training pictures are varied. NumPy and OpenCV only; every choice comes from the generator that is given."""

from collections.abc import Sequence

import cv2
import numpy as np

from training.experiment import Augmentation, Experiment


class Augmenter:
    """Varies one training picture."""

    def __init__(self, options: Augmentation):
        self.options = options

    def __call__(self, picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return uint8 (size, size, 3) from uint8 (side, side, 3)."""
        options = self.options
        picture = self._warp(picture, size, rng)
        for chance, draw in (
            (options.hair, _draw_hairs),
            (options.ink, _draw_ink),
            (options.bubbles, _draw_bubbles),
            (options.ruler, _draw_ruler),
            (options.grey_world, _balance_white),
        ):
            if chance and rng.random() < chance:
                picture = draw(picture, rng)
        picture = self._recolour(picture, rng)
        for chance, draw in ((options.illumination, _light_unevenly), (options.rim, _draw_rim)):
            if chance and rng.random() < chance:
                picture = draw(picture, rng)
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


def _draw_ink(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes of a violet or blue skin marker, let through as the marker does, mostly away from the middle."""
    size, inked = picture.shape[0], picture.copy()
    colour = tuple(int(c) for c in rng.uniform((50, 20, 80), (110, 90, 190)))
    for _ in range(int(rng.integers(1, 4))):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.5) * size
        start = size / 2 + distance * np.array([np.cos(angle), np.sin(angle)])
        path = np.cumsum(np.vstack([start, rng.normal(0, 0.06, (5, 2)) * size + rng.normal(0, 0.05, 2) * size]), axis=0)
        thickness = max(1, round(rng.uniform(0.01, 0.035) * size))
        cv2.polylines(inked, [np.round(path * 8).astype(np.int32)], False, colour, thickness, cv2.LINE_AA, 3)
    strength = rng.uniform(0.4, 0.9)
    return cv2.addWeighted(inked, strength, picture, 1 - strength, 0)


def _draw_bubbles(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Air bubbles in the immersion gel: bright rings, a little lighter inside, some with a gleam."""
    size, drawn = picture.shape[0], picture.copy()
    for _ in range(int(rng.integers(2, 16))):
        centre = tuple(int(c) for c in rng.uniform(0, size, 2))
        radius = max(2, round(rng.exponential(0.03) * size))
        light = int(rng.integers(170, 256))
        cv2.circle(drawn, centre, radius, (light, light, light), 1, cv2.LINE_AA)
        if rng.random() < 0.3:
            gleam = (centre[0] - radius // 2, centre[1] - radius // 2)
            cv2.circle(drawn, gleam, max(1, radius // 4), (255, 255, 255), -1, cv2.LINE_AA)
    strength = rng.uniform(0.3, 0.8)
    return cv2.addWeighted(drawn, strength, picture, 1 - strength, 0)


def _draw_ruler(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The millimetre scale of a dermatoscope's glass along one side: dark or light ticks, every fifth one longer."""
    turns = int(rng.integers(4))
    size, drawn = picture.shape[0], np.rot90(picture, turns).copy()
    dark = rng.random() < 0.7
    colour = tuple(int(c) for c in (rng.integers(0, 70, 3) if dark else rng.integers(200, 256, 3)))
    edge, spacing = rng.uniform(0.0, 0.2) * size, rng.uniform(0.03, 0.09) * size
    length, offset = rng.uniform(0.02, 0.05) * size, rng.uniform(0, 1)
    for tick in range(int(size / spacing) + 1):
        along = (tick + offset) * spacing
        reach = edge + length * (2 if tick % 5 == 0 else 1)
        ends = np.round(np.array([[along, edge], [along, reach]]) * 8).astype(np.int32)
        cv2.polylines(drawn, [ends], False, colour, 1, cv2.LINE_AA, 3)
    if rng.random() < 0.5:
        line = np.round(np.array([[0, edge], [size, edge]]) * 8).astype(np.int32)
        cv2.polylines(drawn, [line], False, colour, 1, cv2.LINE_AA, 3)
    return np.ascontiguousarray(np.rot90(drawn, -turns))


def grey_world(picture: np.ndarray, strength: float) -> np.ndarray:
    """Return uint8 (h, w, 3) white-balanced by the grey-world assumption: its channels' means move to their average.

    Args:
        picture: uint8 (h, w, 3).
        strength: 0 leaves the picture as it is, 1 makes the means equal.
    """
    means = picture.reshape(-1, 3).mean(axis=0)
    gain = (means.mean() / np.maximum(means, 1)) ** strength
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(picture, table[None])


def _balance_white(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return grey_world(picture, rng.uniform(0.3, 1.0))


def _light_unevenly(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light that falls off to one side, by up to a third."""
    size = picture.shape[0]
    angle, change = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.35)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    light = 1 + change * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y)
    return np.clip(picture * light[..., None], 0, 255).astype(np.uint8)


def mix(
    pictures: np.ndarray, targets: np.ndarray, sources: Sequence[int], experiment: Experiment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch mixed as the experiment asks: each picture with another of its own collection.

    Keras' MixUp and CutMix layers pair any two pictures of a batch and keep a random state of their own; here a pair
    must hold the same classes, and the step alone must decide what a batch is, or a resumed run would differ.

    Args:
        pictures: uint8 (n, size, size, 3).
        targets: float (n, classes), rows that sum to 1.
        sources: (n,), the collection of each picture.
        experiment: names the way (`mix`) and the Beta distribution's parameter (`mix_alpha`).
        rng: source of chance.
    """
    if experiment.mix == "none":
        return pictures, targets
    partner = np.arange(len(pictures))
    for source in np.unique(sources):
        rows = np.flatnonzero(np.asarray(sources) == source)
        partner[rows] = rng.permutation(rows)
    keep = rng.beta(experiment.mix_alpha, experiment.mix_alpha, len(pictures))
    if experiment.mix == "mixup":
        share = keep[:, None, None, None]
        mixed = np.rint(share * pictures + (1 - share) * pictures[partner]).astype(np.uint8)
    else:
        mixed, size = pictures.copy(), pictures.shape[1]
        for row, other in enumerate(partner):
            half = size * np.sqrt(1 - keep[row]) / 2
            (top, left), (bottom, right) = (
                np.clip(np.rint(edge), 0, size).astype(int)
                for centre in [rng.uniform(0, size, 2)]
                for edge in (centre - half, centre + half)
            )
            mixed[row, top:bottom, left:right] = pictures[other, top:bottom, left:right]
            keep[row] = 1 - (bottom - top) * (right - left) / size**2
    return mixed, keep[:, None] * targets + (1 - keep[:, None]) * targets[partner]
