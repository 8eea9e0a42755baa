"""Activation map -> overlay picture, with Pillow and NumPy only."""

import numpy as np
from PIL import Image

DISPLAY_SIDE = 448
LAYER_SIDE = 112

# viridis (van der Walt & Smith, CC0), 17 evenly spaced colours: its lightness grows evenly with the value, it reads
# without colour vision, and its greens and yellows do not occur in skin.
_COLOURS = np.array(
    [
        [68, 1, 84], [72, 24, 106], [71, 45, 123], [66, 64, 134], [59, 82, 139], [51, 99, 141], [44, 114, 142],
        [38, 130, 142], [33, 145, 140], [31, 160, 136], [40, 174, 128], [63, 188, 115], [94, 201, 98], [132, 212, 75],
        [173, 220, 48], [216, 226, 25], [253, 231, 37],
    ],
    np.float32,
)  # fmt: skip


def layer(activation: np.ndarray, side: int = LAYER_SIDE) -> np.ndarray:
    """Return the positive part of an activation map as colours to lay over a picture, uint8 (side, side, 4) RGBA.

    Colour and alpha both follow the map, scaled to its own maximum; laid over the picture with some opacity it shows
    what `overlay` shows. A map that says nothing gives a layer that is transparent everywhere.

    Args:
        activation: float (h, w), one diagnosis' activation map.
        side: length of the result's sides, pixels; maps are coarse, so a small layer that is enlarged loses nothing.

    Raises ValueError for a map that is not two-dimensional.
    """
    return _LAYER_COLOURS[np.round(255 * _enlarged(activation, side)).astype(np.uint8)]


def overlay(pixels: np.ndarray, activation: np.ndarray, opacity: float = 0.6, side: int = DISPLAY_SIDE) -> np.ndarray:
    """Return the square with the positive part of an activation map laid over it, uint8 (side, side, 3).

    The map is scaled to its own maximum, so colours compare places of one picture, never two pictures. Where it is zero
    or negative the picture stays as it is; a map without any positive place, a flat one, or one with values that are no
    numbers gives the picture untouched.

    Args:
        pixels: uint8 (s, s, 3) RGB, the square that the model saw.
        activation: float (h, w), one diagnosis' activation map.
        opacity: 0 (picture only) to 1 (colour only, where the map is highest).
        side: length of the result's sides, pixels.

    Raises ValueError for an opacity outside 0 to 1 or a map that is not two-dimensional.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1. Received: {opacity}")
    smooth = _enlarged(activation, side)
    picture = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    alpha = (opacity * smooth)[..., None]
    return np.round((1 - alpha) * picture + alpha * _coloured(smooth)).astype(np.uint8)


def _enlarged(activation: np.ndarray, side: int) -> np.ndarray:
    """Return a map's normalised strength at another size, float32 (side, side), 0 to 1."""
    if activation.ndim != 2:
        raise ValueError(f"activation must have two dimensions. Received: {activation.shape}")
    strength = Image.fromarray(normalised(activation))
    return np.asarray(strength.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


def normalised(activation: np.ndarray) -> np.ndarray:
    """Return the positive part of a map over its maximum, float32 (h, w), 0 to 1; zeros when it says nothing."""
    positive = np.maximum(activation.astype(np.float32), 0)
    highest, spread = float(positive.max(initial=0)), float(np.ptp(activation)) if activation.size else 0.0
    if not np.isfinite(activation).all() or highest <= 0 or spread <= 1e-6 * highest:
        return np.zeros(activation.shape, np.float32)
    return positive / highest


def _coloured(strength: np.ndarray) -> np.ndarray:
    """Return float32 (h, w, 3) colours, 0 to 255, for strengths from 0 to 1."""
    positions = np.linspace(0, 1, len(_COLOURS), dtype=np.float32)
    return np.stack([np.interp(strength, positions, channel) for channel in _COLOURS.T], axis=-1)


_STRENGTHS = np.arange(256, dtype=np.float32) / 255
_LAYER_COLOURS = np.round(np.column_stack([_coloured(_STRENGTHS), 255 * _STRENGTHS])).astype(np.uint8)
"""RGBA of 256 strengths, uint8 (256, 4): a layer for every diagnosis has to be ready with the answer."""
