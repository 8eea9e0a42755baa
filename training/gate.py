"""Fit the input gate (`skin_gradio.input_gate`) on validation pictures and on photographs of other things.

Photographs are looked for in the folder that NATURAL_PHOTOS_DIR names, else in `data/natural_photos`: pictures of
animals, tools, food and whatever else people upload by mistake. Half of them, chosen by a hash of their names, are
fitted on; the others check what came of it. Without any the gate knows no photograph of something else as such.

How each limit is found, all on validation pictures:

- brightness: the 0.2 % and 99.8 % quantiles, and a quarter of their distance from the median beyond, since other
  cameras vary more than the collection's own.
- detail and size: where the model's answers change. Pictures are blurred, and shrunk and enlarged again, more and more,
  until fewer than SAME of them keep their most probable diagnosis at equal priors. Harmless softness is let pass.
- distance: a quarter beyond the 99.5 % quantile.
- photographs: logistic regression on statistics and embedding. Its threshold is the larger of two quantiles of scores
  that pictures got from folds without them: 99.5 % of the validation pictures, 3 % of the photographs.
"""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skin_gradio.engines import Engine
from skin_gradio.images import Picture
from skin_gradio.input_gate import SHARES, STATISTICS, InputGate, statistics
from skin_gradio.models import ModelFolder
from training.collection import DATA, read_training_picture

VARIABLE = "NATURAL_PHOTOS_DIR"
MIN_PICTURES = 100
"""Fewer validation pictures say too little about what is usual: no gate is fitted."""
MIN_PHOTOGRAPHS = 20
OUTER = 0.002
BEYOND = 0.25
REFUSED = 0.005
PASSING_PHOTOGRAPHS = 0.03
SHRINKAGE = 0.05
"""Of the correlations towards none, so that their inverse is stable."""
PENALTY = 0.01
"""Of the logistic regression (scikit-learn's C): strong, as there are more features than photographs."""
FOLDS = 5
SAME = 0.85
BLURS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Standard deviations of a Gaussian, in pixels of a model's input of 224; in proportion for another."""
SHRUNK = (0.75, 0.6, 0.45, 0.35, 0.25, 0.15)
"""Sides of the small copies, as parts of the model's input size."""
MAX_TRIED = 500
"""Pictures that blurring and shrinking are tried on."""
BATCH = 32


@dataclass(frozen=True)
class Seen:
    """What the gate goes by: `statistics` float (n, statistics) and `embedding` float (n, d)."""

    statistics: np.ndarray
    embedding: np.ndarray


def photograph_files() -> list[Path]:
    """Return the photographs of other things, by name; none where there is no folder of them."""
    folder = Path(os.environ.get(VARIABLE) or DATA / "natural_photos")
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))


def is_for_fitting(file: Path) -> bool:
    """Say whether a photograph is one to fit on; the others are for checking. Its name alone decides."""
    return hashlib.sha256(file.name.encode()).digest()[0] % 2 == 0


def zoomed(picture: Picture) -> Picture:
    """Return the middle half of a picture, as who stands closer sees it."""
    side = len(picture.pixels)
    part = slice(side // 4, side - side // 4)
    return Picture(np.ascontiguousarray(picture.pixels[part, part]), side // 2, side // 2, picture.format, 1)


def look(engine: Engine, pictures: np.ndarray) -> Seen:
    """Return what the gate sees of pictures, uint8 (n, size, size, 3)."""
    embedding = [engine.run(pictures[i : i + BATCH]).embedding for i in range(0, len(pictures), BATCH)]
    return Seen(statistics(pictures), np.concatenate(embedding))


def look_at_photographs(model: ModelFolder, engine: Engine, files: Sequence[Path], closer: bool) -> Seen:
    """Return what the gate sees of photographs, read as uploads are; with `closer`, of their middle halves as well."""
    shown = []
    for file in files:  # one at a time: a folder of photographs does not fit into memory
        picture = read_training_picture(file)
        shown += [one.resized(model.input_size) for one in ([picture, zoomed(picture)] if closer else [picture])]
    return look(engine, np.stack(shown))


def spacing(count: int) -> int:
    """Return how far apart the pictures are that blurring and shrinking are tried on, of that many."""
    return -(-count // MAX_TRIED)


def fit(
    model: ModelFolder, engine: Engine, tried: np.ndarray, groups: np.ndarray, seen: Seen, files: Sequence[Path]
) -> dict[str, Any] | None:
    """Return the gate of model.json; None for fewer than MIN_PICTURES validation pictures.

    Args:
        model: whose gate it is.
        engine: that runs it.
        tried: uint8 (k, size, size, 3), some of the validation pictures, to blur and shrink.
        groups: (n,), the lesion of each validation picture.
        seen: of all n validation pictures, see `look`.
        files: photographs of other things, those to fit on and those to check; too few are as good as none.
    """
    if len(groups) < MIN_PICTURES:
        return None
    entry = _fit_statistics(seen.statistics)
    entry["limits"] |= _fit_sharpness(engine, tried, np.array(model.prior))
    entry["fitted_on"] = {"pictures": len(groups), "photographs": 0}
    fitted = [file for file in files if is_for_fitting(file)]
    if len(fitted) >= MIN_PHOTOGRAPHS:
        photographs = look_at_photographs(model, engine, fitted, closer=True)
        entry["photographs"] = _fit_photographs(entry, seen, groups, photographs, len(fitted))
        entry["fitted_on"]["photographs"] = len(fitted)
        entry["unseen_photographs"] = _check(model, engine, entry, [f for f in files if not is_for_fitting(f)])
    return entry


def _fit_statistics(seen: np.ndarray) -> dict[str, Any]:
    mean, scale = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-3)
    names = [name for name in STATISTICS if name not in SHARES]
    compared = [STATISTICS.index(name) for name in names]
    standard = ((seen - mean) / scale)[:, compared]
    correlation = standard.T @ standard / len(seen)
    precision = np.linalg.inv((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(names)))
    distances = np.sqrt(np.einsum("ni,ij,nj->n", standard, precision, standard))
    low, middle, high = np.quantile(seen[:, STATISTICS.index("brightness")], (OUTER, 0.5, 1 - OUTER))
    return {
        "statistics": list(STATISTICS),
        "mean": _rounded(mean),
        "scale": _rounded(scale),
        "compared": names,
        "precision": [_rounded(row) for row in precision],
        "limits": {
            "brightness": _rounded([low - BEYOND * (middle - low), high + BEYOND * (high - middle)]),
            "distance": _rounded([(1 + BEYOND) * np.quantile(distances, 1 - REFUSED)])[0],
        },
    }


def _rounded(values: Iterable[float]) -> list[float]:
    """Return numbers with 5 significant digits, which is all they are worth."""
    return [float(f"{value:.5g}") for value in values]


def _fit_sharpness(engine: Engine, pictures: np.ndarray, prior: np.ndarray) -> dict[str, float | int]:
    """Return the least detail and the smallest side that leave at least SAME of the answers as they were."""
    size = pictures.shape[1]
    before = _diagnoses(engine, pictures, prior)

    def spoils(changed: np.ndarray) -> bool:
        return bool((_diagnoses(engine, changed, prior) == before).mean() < SAME)

    blurred = (_blurred(pictures, blur * size / 224) for blur in BLURS)
    too_blurred = next((_details(one) for one in blurred if spoils(one)), np.zeros(1))
    # What is usual in the collection is never blurred.
    detail = min(np.median(too_blurred), np.quantile(_details(pictures), OUTER))
    small = itertools.takewhile(lambda side: not spoils(_enlarged(pictures, side)), (round(p * size) for p in SHRUNK))
    return {"detail": _rounded([detail])[0], "smallest_side": min(small, default=size)}


def _details(pictures: np.ndarray) -> np.ndarray:
    return statistics(pictures)[:, STATISTICS.index("detail")]


def _blurred(pictures: np.ndarray, deviation: float) -> np.ndarray:
    import cv2

    return np.stack([cv2.GaussianBlur(picture, (0, 0), deviation) for picture in pictures])


def _enlarged(pictures: np.ndarray, side: int) -> np.ndarray:
    """Return pictures as they come from originals with so few pixels a side."""
    size = pictures.shape[1]
    small = (Picture(picture, size, size, "", 1).resized(side) for picture in pictures)
    return np.stack([Picture(picture, side, side, "", 1).resized(size) for picture in small])


def _diagnoses(engine: Engine, pictures: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return int (n,), the most probable diagnosis of each picture at equal priors."""
    parts = [engine.run(pictures[i : i + BATCH]).probabilities for i in range(0, len(pictures), BATCH)]
    return (np.concatenate(parts) / prior).argmax(axis=1)


def _fit_photographs(
    entry: dict[str, Any], seen: Seen, groups: np.ndarray, photographs: Seen, files: int
) -> dict[str, Any]:
    """Return the weights that tell photographs from validation pictures.

    Args:
        entry: the gate so far, with mean and scale of the statistics.
        seen: of the validation pictures.
        groups: (n,), the lesion of each.
        photographs: of the photographs, first as they are and then, where there are more, nearer views in their order.
        files: how many photographs these are.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    mean, scale = np.array(entry["mean"]), np.array(entry["scale"])
    values = [np.concatenate([(one.statistics - mean) / scale, one.embedding], axis=1) for one in (seen, photographs)]
    features, count = np.concatenate(values), len(seen.embedding)
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    other = np.arange(len(features)) >= count
    together = [f"lesion {group}" for group in groups] + [
        f"photograph {place % files}" for place in range(len(photographs.embedding))
    ]
    regression = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000)
    standard = (features - centre) / spread
    scores = cross_val_predict(
        regression, standard, other, groups=together, cv=GroupKFold(FOLDS), method="decision_function"
    )
    plain = scores[count : count + files]
    threshold = max(np.quantile(scores[:count], 1 - REFUSED), np.quantile(plain, PASSING_PHOTOGRAPHS))
    regression.fit(standard, other)
    weights = np.array(_rounded(regression.coef_[0] / spread))
    statistics_count = len(STATISTICS)
    return {
        "statistics_weights": weights[:statistics_count].tolist(),
        "embedding_weights": weights[statistics_count:].tolist(),
        "bias": float(regression.intercept_[0] - centre @ weights - threshold),
    }


def _check(model: ModelFolder, engine: Engine, entry: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Return how many photographs that had no part in the fit are refused, and by which codes."""
    size, gate = model.input_size, InputGate.from_card({"gate": entry})
    if not files or gate is None:
        return {"pictures": 0, "refused": 0, "reasons": {}}
    shown, sides = [], []
    for file in files:
        picture = read_training_picture(file)
        shown.append(picture.resized(size))
        sides.append(picture.shorter_side)
    pictures = np.stack(shown)
    doubts = gate.doubts(pictures, look(engine, pictures).embedding, sides)
    reasons = Counter(doubt.code for one in doubts for doubt in one)
    return {"pictures": len(files), "refused": sum(map(bool, doubts)), "reasons": dict(reasons)}
