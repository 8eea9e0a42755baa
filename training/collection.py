"""A collection of labelled pictures: its table, the classes it holds, and how it is split.

Everything that trains or measures takes collections in this one form, whatever their layout on disk:
`training.ham10000`, `training.isic2017`, `training.isic2018` and `training.own` read them.
"""

import hashlib
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skin_gradio import lesions
from skin_gradio.images import Picture, UnusableImage, read_picture
from training.command import UserError

PARTS = ("train", "validation", "test")
COLUMNS = ("image", "path", "label", "group", "split")
TITLES = {"ham10000": "HAM10000", "isic2017": "ISIC 2017", "isic2018": "ISIC 2018 Task 3"}
"""Name -> title of the collections that have a module of their own; its `load(folder)` returns the Collection."""
NAMED = tuple(TITLES)
PREPARED = ("ham10000", "isic2017")
"""Those that `training.prepare` can get."""
DATA = Path("data")
"""Where `training.prepare` puts a collection, in a folder of its name, unless told otherwise."""


class DatasetError(UserError):
    """A collection's folder is not as it should be; the message names the file and what would be right."""


@dataclass(frozen=True)
class Collection:
    """Labelled pictures with a split.

    `table` has one row a picture: `image` (its id), `path`, `label` (a code in `classes`), `group` (pictures of one
    lesion share it), `split` (train, validation, test), and where the source tells them `sex`, `age` (years), `site`
    (of the body) and `confirmation` (how the diagnosis was made).
    """

    name: str
    """Short name, as commands and files use it."""
    title: str
    """Name for a reader."""
    table: pd.DataFrame
    classes: tuple[str, ...]
    """The codes that its pictures can have. Every other code is unknown here, not absent: a picture of another
    diagnosis was never collected."""
    grouped: bool = True
    """Whether `group` is known; without it leaks between the parts cannot be ruled out."""

    def part(self, name: str) -> pd.DataFrame:
        """Return the rows of `train`, `validation` or `test`, renumbered."""
        return self.table[self.table["split"] == name].reset_index(drop=True)

    @property
    def fingerprint(self) -> str:
        """A short hash of ids, labels, groups and split: two runs with the same one saw the same data."""
        return _fingerprint(self.table)

    @property
    def test_fingerprint(self) -> str:
        """The same of the test part alone, which stays as it is where a run balances or resplits the others."""
        return _fingerprint(self.part("test"))


def _fingerprint(table: pd.DataFrame) -> str:
    columns = table[["image", "label", "group", "split"]].astype(str).sort_values("image")
    text = columns.to_csv(index=False, header=["image_id", "dx", "group", "split"])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def place(name: str, base: Path | None) -> Path:
    """Return where a named collection's folder should be: BASE/NAME, or its NAME_DIR (HAM10000_DIR), or data/NAME."""
    return base / name if base else Path(os.environ.get(variable_of(name)) or DATA / name)


def variable_of(name: str) -> str:
    """Return the environment variable that names a collection's folder."""
    return f"{name.upper()}_DIR"


def find_folder(name: str, base: Path | None = None) -> Path:
    """Return a named collection's folder, which lies at its `place`.

    Raises DatasetError when it does not exist.
    """
    folder = place(name, base)
    if not folder.is_dir():
        remedy = f" `python -m training.prepare {name}` gets it;" if name in PREPARED else ""
        raise DatasetError(
            f"{name}'s folder does not exist: {folder}.{remedy} --data or the environment variable"
            f" {variable_of(name)} names another place."
        )
    return folder


def load(name: str, base: Path | None = None) -> Collection:
    """Return a collection.

    Args:
        name: one of NAMED, or the path of a folder or CSV file of the user's own (see `training.own`).
        base: folder that holds the named collections' folders.

    Raises DatasetError when it is not there or not as it should be.
    """
    if name in NAMED:
        module = importlib.import_module(f"training.{name}")
        collection: Collection = module.load(find_folder(name, base))
        return collection
    if not Path(name).exists():
        raise DatasetError(
            f"There is no collection {name!r}: it is none of {', '.join(NAMED)}, and no folder or file. Pictures of"
            " your own are named by their path (--on, or --collections of training.train)."
        )
    from training import own

    return own.load(Path(name))


def split_by_group(table: pd.DataFrame, seed: int | str, shares: Mapping[str, float]) -> pd.Series:
    """Return each row's part, by `group`, stratified by `label`.

    The groups of a label are ordered by a hash of seed and name, which no library version can change, and dealt until
    each part of `shares` holds its share of the label's pictures, in their order; what is left is `train`.

    Args:
        table: with the columns `label` and `group`. A group counts for its first picture's label.
        seed: of the hash.
        shares: part -> share of each label's pictures.
    """

    def position(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    assigned: dict[str, str] = {}
    label_of = table.groupby("group")["label"].first()
    sizes = table.groupby("group").size()
    for label in sorted(label_of.unique()):
        groups = sorted(label_of.index[label_of == label], key=position)
        pictures = int(sizes[groups].sum())
        held = dict.fromkeys(shares, 0)
        for group in groups:
            part = next((name for name, share in shares.items() if held[name] < share * pictures), "train")
            assigned[group] = part
            if part in held:
                held[part] += int(sizes[group])
    return table["group"].map(assigned)


def with_committed_split(table: pd.DataFrame, split_file: Path, folder: Path) -> pd.DataFrame:
    """Return the table with the columns of a committed split (image_id, split, and group where it has one).

    Raises DatasetError when the two do not hold the same pictures.
    """
    committed = pd.read_csv(split_file, dtype="string").rename(columns={"image_id": "image"})
    if set(table["image"]) != set(committed["image"]):
        unknown = sorted(set(table["image"]) ^ set(committed["image"]))
        raise DatasetError(
            f"{folder} and {split_file.name} differ in {len(unknown)} images, first {unknown[0]}; the split was made"
            f" for {len(committed)} images."
        )
    return table.merge(committed, on="image", validate="one_to_one").sort_values("image", ignore_index=True)


def read_training_picture(path: Path) -> Picture:
    """Read a picture as uploads are read. Raises DatasetError that names one which cannot be read."""
    try:
        return read_picture(path)
    except UnusableImage as error:
        raise DatasetError(f"{path}: {error}") from error


def label_positions(collection: Collection, labels: pd.Series, codes: tuple[str, ...]) -> np.ndarray:
    """Return int (n,), each label's place in `codes`; where these are benign and malignant, that of its group.

    Raises DatasetError for a label that does not fit the codes.
    """
    known = {label: _place(label, codes) for label in labels.unique()}
    if wrong := sorted(label for label, place in known.items() if place < 0):
        raise DatasetError(f"{collection.title} has the label {wrong[0]!r}, which is none of {', '.join(codes)}.")
    return labels.map(known).to_numpy(dtype=np.int64)


def class_mix(collection: Collection, codes: tuple[str, ...]) -> np.ndarray:
    """Return float (classes,), how common each class is in the collection's training part; 0 for those it lacks.

    Raises DatasetError where it has no training part.
    """
    counts = np.bincount(label_positions(collection, collection.part("train")["label"], codes), minlength=len(codes))
    if not counts.any():
        raise DatasetError(f"{collection.title} has no training pictures, whose mix of diagnoses is needed here.")
    return np.asarray(counts / counts.sum())


def held_classes(collection: Collection, codes: tuple[str, ...]) -> np.ndarray:
    """Return bool (classes,): which of `codes` the collection holds."""
    places = {_place(label, codes) for label in collection.classes}
    return np.array([place in places for place in range(len(codes))])


def _place(label: str, codes: tuple[str, ...]) -> int:
    answer = lesions.as_answer(label, codes) if label in lesions.BY_CODE else None
    return codes.index(answer) if answer else -1
