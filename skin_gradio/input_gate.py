"""Whether a picture can be judged at all, and if not, why.

The gate knows a picture by cheap statistics of its pixels and by the embedding that the graph returns anyway. What it
compares them with was fitted on validation pictures (`training.gate`) and stands in model.json under `gate`. It refuses
nothing: it names doubts, and whoever asked decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

STATISTICS = (
    "brightness",
    "contrast",
    "dark_end",
    "bright_end",
    "red_green",
    "green_blue",
    "red_green_spread",
    "green_blue_spread",
    "centre",
    "detail",
    "texture",
    "greenish",
    "bluish",
    "black",
    "white",
)
"""What `statistics` measures, in its order."""
SHARES = ("greenish", "bluish", "black", "white")
"""Those that are 0 in most pictures: they have no spread to measure a distance by."""
_SAMPLES = 56  # pixels a side that colours are measured on
_COARSE = 4  # pixels between which coarse structure is measured
_BRIGHTNESS, _DETAIL = STATISTICS.index("brightness"), STATISTICS.index("detail")

MESSAGES = {
    "not_dermatoscopic": (
        "This does not look like a dermatoscopic picture: use a close-up of the skin, taken through a dermatoscope."
    ),
    "blurred": "The picture is blurred: take it again with the lesion in focus.",
    "too_small": "The picture has too few pixels: use the original file, or move closer to the lesion.",
    "too_dark": "The picture is too dark: take it again with more light.",
    "too_bright": "The picture is too bright: take it again with less light or a shorter exposure.",
    "unlike_training": (
        "The picture is unlike those that the model learned from, so its answer means little: check that it shows one"
        " lesion, in natural colours and evenly lit."
    ),
}
"""Code -> what is wrong and what to do about it."""


@dataclass(frozen=True)
class Doubt:
    """One reason not to trust an answer: a `code` for programs and a sentence for people."""

    code: str
    message: str


def statistics(pictures: np.ndarray) -> np.ndarray:
    """Return float64 (n, len(STATISTICS)), what pictures look like.

    `brightness` is the mean, `dark_end` and `bright_end` the 5 % and 95 % quantiles, 0 to 255; `red_green` and
    `green_blue` the mean differences of these colours; `contrast` and the two spreads the logarithms of standard
    deviations; `centre` by how much the centre is darker than the whole. `detail` is fine structure relative to coarse,
    0.25 to 1, which blur takes away whatever the contrast, and `texture` the logarithm of the fine structure. The
    SHARES are square roots of the parts of the picture that are so coloured.

    Args:
        pictures: uint8 (n, size, size, 3) RGB.
    """
    return np.array([_statistics(picture) for picture in pictures], np.float64).reshape(-1, len(STATISTICS))


def _statistics(picture: np.ndarray) -> tuple[float, ...]:
    step = max(len(picture) // _SAMPLES, 1)
    red, green, blue = np.moveaxis(picture[::step, ::step].astype(np.float32), -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    red_green, green_blue = red - green, green - blue
    third = len(light) // 3
    ordered = np.sort(light, axis=None)
    # Every second line is enough, and lines that lie together in memory are read several times as fast.
    lines = np.ascontiguousarray(picture[::2, :, 1]), np.ascontiguousarray(picture[:, ::2, 1].T)
    fine, coarse = _structure(lines, 1), _structure(lines, _COARSE)
    shares = [(red_green < -8).mean(), (blue - red > 8).mean(), (light < 24).mean(), (light > 242).mean()]
    return (
        light.mean(),
        np.log(light.std() + 1),
        ordered[len(ordered) // 20],
        ordered[-1 - len(ordered) // 20],
        red_green.mean(),
        green_blue.mean(),
        np.log(red_green.std() + 1),
        np.log(green_blue.std() + 1),
        light.mean() - light[third:-third, third:-third].mean(),
        (fine + 0.25) / (coarse + 1),
        np.log(fine + 0.25),
        *np.sqrt(shares),
    )


def _structure(lines: tuple[np.ndarray, np.ndarray], distance: int) -> float:
    """Return the mean difference between pixels so far apart along lines, uint8 (lines, size) each way."""
    gaps = [np.abs(one[:, distance:].astype(np.int16) - one[:, :-distance]) for one in lines]
    return float(np.mean([gap.sum(dtype=np.int64) / gap.size for gap in gaps]))


@dataclass(frozen=True)
class InputGate:
    """What pictures are compared with; made from model.json by `from_card`.

    `brightness` is the lowest and the highest that is judged, 0 to 255; `detail` the lowest; `smallest_side` the
    shortest side of an original, pixels. Statistics are standardised by `mean` and `scale`, float (statistics,).

    A picture is unlike those of training when its Mahalanobis distance from them, over the statistics at the places
    `compared` with their inverse correlation `precision`, is more than `distance`. It is taken for a photograph of
    something else when its statistics and its embedding, weighed by `statistics_weights` and `embedding_weights`, and
    `bias` add up to more than 0; a gate that was fitted without photographs has no weights and takes none for one.
    """

    brightness: tuple[float, float]
    detail: float
    smallest_side: int
    mean: np.ndarray
    scale: np.ndarray
    compared: np.ndarray
    precision: np.ndarray
    distance: float
    statistics_weights: np.ndarray
    embedding_weights: np.ndarray
    bias: float

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self | None:
        """Return the gate of a model.json; None where it has none.

        Raises ValueError where there is one that cannot be used.
        """
        if (entry := card.get("gate")) is None:
            return None
        try:
            return cls._parsed(entry)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"its input gate cannot be used: {reason}") from None

    @classmethod
    def _parsed(cls, entry: Mapping[str, Any]) -> Self:
        count = len(STATISTICS)
        if tuple(entry["statistics"]) != STATISTICS:
            raise ValueError("it was fitted on other statistics than this program measures")
        limits, photographs = entry["limits"], entry.get("photographs") or {}
        weights = photographs.get("embedding_weights", [])
        compared = np.array([STATISTICS.index(name) for name in entry["compared"]], np.intp)
        scale = _numbers(entry["scale"], count)
        if not (scale > 0).all():
            raise ValueError("its scales must be positive")
        return cls(
            brightness=(_finite(limits["brightness"][0]), _finite(limits["brightness"][1])),
            detail=_finite(limits["detail"]),
            smallest_side=int(_finite(limits["smallest_side"])),
            mean=_numbers(entry["mean"], count),
            scale=scale,
            compared=compared,
            precision=_numbers(entry["precision"], len(compared), len(compared)),
            distance=_finite(limits["distance"]),
            statistics_weights=_numbers(photographs.get("statistics_weights", [0.0] * count), count),
            embedding_weights=_numbers(weights, len(weights)),
            bias=_finite(photographs.get("bias", -1.0)),
        )

    def doubts(
        self, pictures: np.ndarray, embedding: np.ndarray, sides: Sequence[int] | None = None
    ) -> list[tuple[Doubt, ...]]:
        """Return for each picture why it may not be one that the model can judge; nothing where it is.

        Args:
            pictures: uint8 (n, size, size, 3) RGB, as the graph got them.
            embedding: float (n, d), the graph's.
            sides: the shorter side of each original, pixels; unknown when None.

        Raises ValueError for an embedding of another width than the gate was fitted for.
        """
        seen = statistics(pictures)
        low, high = self.brightness
        small = np.zeros(len(seen), bool) if sides is None else np.asarray(sides) < self.smallest_side
        found = {
            "not_dermatoscopic": self.photograph_scores(seen, embedding) > 0,
            "too_small": small,
            "blurred": (seen[:, _DETAIL] < self.detail) & ~small,  # enlarging blurs as well
            "too_dark": seen[:, _BRIGHTNESS] < low,
            "too_bright": seen[:, _BRIGHTNESS] > high,
        }
        # Said only where no plainer reason was found: each of those makes a picture unlike the others as well.
        found["unlike_training"] = (self.distances(seen) > self.distance) & ~np.any(list(found.values()), axis=0)
        return [tuple(Doubt(code, MESSAGES[code]) for code, rows in found.items() if rows[i]) for i in range(len(seen))]

    def photograph_scores(self, seen: np.ndarray, embedding: np.ndarray) -> np.ndarray:
        """Return float (n,), above 0 for what looks like a photograph of something else.

        Args:
            seen: float (n, statistics), see `statistics`.
            embedding: float (n, d), the graph's.

        Raises ValueError for an embedding of another width than the gate was fitted for.
        """
        scores = (seen - self.mean) / self.scale @ self.statistics_weights + self.bias
        if len(self.embedding_weights):
            if embedding.shape[1:] != self.embedding_weights.shape:
                width = len(self.embedding_weights)
                raise ValueError(f"its input gate weighs {width} features, the graph returns {embedding.shape[1]}")
            scores = scores + embedding.astype(np.float64) @ self.embedding_weights
        return np.asarray(scores)

    def distances(self, seen: np.ndarray) -> np.ndarray:
        """Return float (n,), how far pictures whose `statistics` these are lie from those of the training data."""
        away = ((seen - self.mean) / self.scale)[:, self.compared]
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", away, self.precision, away), 0))


def _finite(value: Any) -> float:
    return float(_numbers(value))


def _numbers(values: Any, *shape: int) -> np.ndarray:
    """Return finite float64 numbers of that shape; a single one where none is given."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        wanted = f"{' x '.join(map(str, shape))} finite numbers" if shape else "a finite number"
        raise ValueError(f"{wanted} must stand where it has others")
    return numbers
