"""A model's answers to the pictures of a table, read as uploads are."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from skin_gradio.classifier import Classifier, Finding
from skin_gradio.engines import Engine
from skin_gradio.images import UnusableImage, read_picture
from skin_gradio.models import ModelFolder
from training.collection import DatasetError

BATCH = 64


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, and why."""

    image: str
    path: str
    reason: str


@dataclass(frozen=True)
class Answers:
    """What a model says about the rows of a table.

    `table` has the rows whose picture could be read, renumbered; `probabilities`, float64 (n, classes), belong to them
    and hold for the mix of the model's training collection. `picture_size` is for a reader, such as `256 x 256`.
    `doubts` are the codes of what the input gate says of each picture; None for a model without one.
    """

    table: pd.DataFrame
    probabilities: np.ndarray
    picture_size: str
    unreadable: tuple[Unreadable, ...] = ()
    doubts: tuple[tuple[str, ...], ...] | None = None


def answers(model: ModelFolder, engine: Engine, table: pd.DataFrame, views: bool = False) -> Answers:
    """Return the model's answers to the pictures of a table, each read as an upload is, straight to the model's size.

    Pictures that cannot be read are left out and named. With `views` each answer is that of eight views together.
    Raises DatasetError when none can be read.
    """
    table = table.reset_index(drop=True)
    classifier = Classifier(model, engine)
    findings: list[Finding] = []
    kept: list[int] = []
    unreadable: list[Unreadable] = []
    sizes: set[tuple[int, int]] = set()
    for start in range(0, len(table), BATCH):
        rows = table.iloc[start : start + BATCH]
        fine = []
        for position, one in enumerate(_read(list(rows["path"]), model.input_size), start):
            if isinstance(one, UnusableImage):
                unreadable.append(Unreadable(str(table["image"][position]), str(table["path"][position]), str(one)))
            else:
                fine.append(one)
                kept.append(position)
        if fine:
            sizes |= {one.size for one in fine}
            findings += _without_maps(classifier, fine, views)
    if not kept:
        reason = f"; the first, {unreadable[0].path}: {unreadable[0].reason}" if unreadable else ""
        raise DatasetError(f"None of the {len(table)} pictures can be read{reason}")
    doubts = tuple(tuple(doubt.code for doubt in finding.doubts) for finding in findings)
    return Answers(
        table.iloc[kept].reset_index(drop=True),
        np.stack([finding.probabilities for finding in findings]),
        _size_text(sizes),
        tuple(unreadable),
        doubts if classifier.has_gate else None,
    )


@dataclass(frozen=True)
class _Read:
    pixels: np.ndarray
    size: tuple[int, int]


def _without_maps(classifier: Classifier, pictures: list[_Read], views: bool) -> list[Finding]:
    """Return the findings for pictures, without the arrays that would fill the memory of a large collection."""
    pixels, sides = np.stack([one.pixels for one in pictures]), [min(one.size) for one in pictures]
    if views:
        findings = [careful.finding for careful in classifier.classify_carefully(pixels, sides=sides)]
    else:
        findings = classifier.classify(pixels, sides=sides)
    nothing = np.empty(0, np.float32)
    return [
        replace(
            finding,
            probabilities=finding.probabilities.astype(np.float64) / finding.probabilities.sum(dtype=np.float64),
            heatmaps=nothing,
            embedding=nothing,
        )
        for finding in findings
    ]


def _read(paths: list[Path], side: int) -> list[_Read | UnusableImage]:
    def one(path: Path) -> _Read | UnusableImage:
        try:
            picture = read_picture(path)
        except UnusableImage as error:
            return error
        return _Read(picture.resized(side), (picture.width, picture.height))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, paths))


def _size_text(sizes: set[tuple[int, int]]) -> str:
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    ends = ["{} x {}".format(*size) for size in (ordered[0], ordered[-1])]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
