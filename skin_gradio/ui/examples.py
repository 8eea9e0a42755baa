"""Example pictures: drawings of lesion-like things, made here, so that the page can be tried without any data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from skin_gradio.ui.words import Text

WIDTH, HEIGHT = 600, 450


@dataclass(frozen=True)
class Example:
    """A drawing: its file name without suffix, what it is drawn after, and the function that draws it."""

    name: str
    caption: Text
    draw: Callable[[np.random.Generator], Image.Image]


def write_examples(folder: Path) -> list[Path]:
    """Draw every example into a folder as a JPEG and return the paths; the same pictures on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, example in enumerate(EXAMPLES):
        path = folder / f"{example.name}.jpg"
        example.draw(np.random.default_rng(number)).save(path, quality=92)
        paths.append(path)
    return paths


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Return smooth noise, float (HEIGHT, WIDTH), about -1 to 1, with some `cells` bumps across."""
    coarse = rng.normal(size=(max(cells * HEIGHT // WIDTH, 2), cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 2


def _skin(rng: np.random.Generator, tone: tuple[int, int, int]) -> np.ndarray:
    """Return skin with mottling, fine texture and the dark corners of a dermatoscope, float (HEIGHT, WIDTH, 3)."""
    shade = 9 * _noise(rng, 6) + 5 * _noise(rng, 40) + 3 * _noise(rng, 150)
    _, _, radius = _polar(0, 0)
    vignette = 1 - 0.45 * np.clip(radius / 330 - 0.75, 0, 1)
    return (np.array(tone, np.float32) + shade[..., None]) * vignette[..., None]


_EVERYWHERE = slice(None), slice(None)


def _polar(
    dx: float, dy: float, window: tuple[slice, slice] = _EVERYWHERE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, float (1, w), y, float (h, 1), and the distance, float (h, w), from a centre moved by (dx, dy), pixels.

    `window` is the rows and columns that are wanted.
    """
    rows, columns = window
    y = np.arange(HEIGHT, dtype=np.float32)[rows, None] - HEIGHT / 2 - dy
    x = np.arange(WIDTH, dtype=np.float32)[None, columns] - WIDTH / 2 - dx
    return x, y, np.hypot(x, y)


def _paint(ground: np.ndarray, colour: tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    amount = amount.clip(0, 1)[..., None]
    return ground * (1 - amount) + np.array(colour, np.float32) * amount


def _blob(
    rng: np.random.Generator, size: float, ragged: float, soft: float, dx: float = 0, dy: float = 0
) -> np.ndarray:
    """Return how much a blotch covers each place, 0 to 1: `ragged` bends its border, `soft` is the border's width."""
    x, y, radius = _polar(dx, dy)
    angle = np.arctan2(y, x)
    waves = sum(np.sin(k * angle + rng.uniform(0, 6.3)) * rng.uniform(0.4, 1) / k for k in range(2, 8))
    border = size * (1 + ragged * waves + 0.5 * ragged * _noise(rng, 14))
    return ((border - radius) / soft + 0.5).clip(0, 1)


def _dots(rng: np.random.Generator, count: int, spread: float, sizes: tuple[float, float], soft: float) -> np.ndarray:
    """Return how much round dots, scattered about the middle, cover each place, 0 to 1."""
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(count):
        dx, dy = rng.normal(0, spread, 2)
        size = rng.uniform(*sizes)
        window = _near(HEIGHT / 2 + dy, size + soft), _near(WIDTH / 2 + dx, size + soft)
        _, _, radius = _polar(dx, dy, window)
        np.maximum(cover[window], (size - radius) / soft + 0.5, out=cover[window])
    return cover


def _near(middle: float, distance: float) -> slice:
    return slice(max(int(middle - distance), 0), max(int(middle + distance) + 2, 0))


def _finish(pixels: np.ndarray, hairs: int, rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(hairs):
        start, bend = rng.uniform((0, 0), (WIDTH, HEIGHT)), rng.uniform(-0.012, 0.012)
        angle, points = rng.uniform(0, 6.3), [tuple(start)]
        for _ in range(40):
            angle += bend
            start = start + 9 * np.array([np.cos(angle), np.sin(angle)])
            points.append(tuple(start))
        draw.line(points, fill=(62, 42, 34), width=2, joint="curve")
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _even_spot(rng: np.random.Generator) -> Image.Image:
    pixels = _paint(_skin(rng, (222, 178, 158)), (148, 96, 70), 0.9 * _blob(rng, 105, 0.07, 36))
    x, y, _ = _polar(0, 0)
    bend = 7 * _noise(rng, 16)
    mesh = np.maximum(np.sin((x + y) / 6 + bend), np.sin((x - y) / 6 + 7 * _noise(rng, 16)))
    pixels = _paint(pixels, (100, 58, 42), 0.4 * mesh.clip(0, 1) * _blob(rng, 92, 0.08, 40))
    return _finish(pixels, 0, rng)


def _uneven_blotch(rng: np.random.Generator) -> Image.Image:
    pixels = _paint(_skin(rng, (216, 172, 158)), (118, 74, 56), 0.92 * _blob(rng, 135, 0.26, 20, -10, 5))
    pixels = _paint(pixels, (48, 34, 34), 0.9 * _blob(rng, 70, 0.35, 24, -45, -20))
    pixels = _paint(pixels, (112, 118, 136), 0.6 * _blob(rng, 42, 0.3, 30, 45, 30))
    pixels = _paint(pixels, (166, 84, 74), 0.5 * _blob(rng, 36, 0.3, 22, 30, -55))
    return _finish(pixels, 0, rng)


def _red_spots(rng: np.random.Generator) -> Image.Image:
    pixels = _skin(rng, (228, 184, 168))
    pixels = _paint(pixels, (196, 96, 96), 0.7 * _blob(rng, 100, 0.1, 30))
    pixels = _paint(pixels, (134, 28, 44), 0.85 * _dots(rng, 18, 38, (11, 24), 8).clip(0, 1))
    return _finish(pixels, 0, rng)


def _hairy_patch(rng: np.random.Generator) -> Image.Image:
    pixels = _paint(_skin(rng, (214, 176, 150)), (172, 128, 94), 0.85 * _blob(rng, 140, 0.16, 10))
    pixels = _paint(pixels, (112, 80, 60), 0.6 * _dots(rng, 28, 52, (4, 9), 5).clip(0, 1))
    return _finish(pixels, 14, rng)


EXAMPLES = (
    Example("even_spot", Text("examples.even_spot"), _even_spot),
    Example("uneven_blotch", Text("examples.uneven_blotch"), _uneven_blotch),
    Example("red_spots", Text("examples.red_spots"), _red_spots),
    Example("hairy_patch", Text("examples.hairy_patch"), _hairy_patch),
)
