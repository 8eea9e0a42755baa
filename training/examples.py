"""An experiment's collections -> the examples it learns from and is validated on."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from skin_gradio import lesions
from training.batches import CACHE_SIDE, Examples, decode_cached
from training.collection import Collection, DatasetError, held_classes, label_positions, load, split_by_group
from training.experiment import Experiment

RESPLIT_SEED = 1


def load_collections(experiment: Experiment, base: Path | None = None) -> list[Collection]:
    """Return the experiment's collections, split and balanced as it asks.

    Args:
        experiment: names them.
        base: folder that holds the named collections' folders.

    Raises DatasetError when one is not there or not as it should be, or when two have one name.
    """
    collections = [load(name, base) for name in experiment.collections]
    refuse_equal_names(collections)
    if experiment.split != "group":
        collections = [_split_without_groups(c, experiment) for c in collections]
    if experiment.balance:
        collections = [balanced(c, experiment.codes) for c in collections]
    return collections


def refuse_equal_names(collections: Sequence[Collection]) -> None:
    """Raise DatasetError where two collections have one name: whatever is kept by name would be one of them only."""
    names = [collection.name for collection in collections]
    if twice := sorted(name for name in set(names) if names.count(name) > 1):
        raise DatasetError(f"Two collections are called {twice[0]}, after their folders; rename one of the folders.")


def classes(experiment: Experiment, collections: Sequence[Collection]) -> tuple[str, ...]:
    """Return the classes of the experiment's task that at least one of its collections holds, in order.

    Raises DatasetError for a collection that holds none of them.
    """
    each = [held_classes(collection, experiment.codes) for collection in collections]
    for collection, held in zip(collections, each, strict=True):
        if not held.any():
            hint = " Use --task malignancy." if set(collection.classes) <= set(lesions.TASKS["malignancy"]) else ""
            raise DatasetError(
                f"{collection.title} has the labels {', '.join(collection.classes)}, none of which {experiment.name}"
                f" learns ({', '.join(experiment.codes)}).{hint}"
            )
    return tuple(code for code, there in zip(experiment.codes, np.any(each, axis=0), strict=True) if there)


def _split_without_groups(collection: Collection, experiment: Experiment) -> Collection:
    """Deal the training and validation pictures out again one by one; the test part stays as it is."""
    table = collection.table
    test, learnt = table[table["split"] == "test"], table[table["split"] != "test"].copy()
    share = float((learnt["split"] == "validation").mean())
    if experiment.split == "copies":
        labels = pd.Series(label_positions(collection, learnt["label"], experiment.codes), learnt.index)
        most = int(labels.value_counts().max())
        rows = [np.resize(labels.index[labels == label].to_numpy(), most) for label in sorted(labels.unique())]
        learnt = learnt.loc[np.concatenate(rows)]
    learnt["copy"] = learnt.groupby("image").cumcount().astype(str)
    alone = learnt.assign(group=learnt["image"] + " " + learnt["copy"])
    learnt["split"] = split_by_group(alone, RESPLIT_SEED, {"validation": share})
    return replace(collection, table=pd.concat([learnt.drop(columns="copy"), test], ignore_index=True))


def balanced(collection: Collection, codes: tuple[str, ...]) -> Collection:
    """Return a collection with as many pictures of each class of a part as its rarest has, chosen by a hash of ids.

    The test part stays as it is.
    """
    table = collection.table
    classes = pd.Series(label_positions(collection, table["label"], codes), table.index)
    position = table["image"].map(lambda image: hashlib.sha256(f"{RESPLIT_SEED}:{image}".encode()).hexdigest())
    rank = position.groupby([table["split"], classes]).rank(method="first")
    least = classes.groupby(table["split"]).transform(lambda part: part.value_counts().min())
    kept = table[(rank <= least) | (table["split"] == "test")].reset_index(drop=True)
    return replace(collection, table=kept)


def fingerprint(collections: Sequence[Collection]) -> str:
    """Return one short hash for the collections, in order; that of the only one where there is one."""
    marks = [collection.fingerprint for collection in collections]
    return marks[0] if len(marks) == 1 else hashlib.sha256(" ".join(marks).encode()).hexdigest()[:16]


def load_part(
    collections: Sequence[Collection], part: str, codes: tuple[str, ...], cache: Path, side: int = CACHE_SIDE
) -> list[Examples]:
    """Return each collection's pictures of a part.

    Args:
        collections: what to read; a picture that cannot be read raises DatasetError, which names it.
        part: `train`, `validation` or `test`.
        codes: the classes, in order.
        cache: folder of the decoded pictures, all parts' together.
        side: of the decoded pictures; see `decoded_side`.
    """
    held = np.stack([held_classes(collection, codes) for collection in collections])
    found = []
    for source, collection in enumerate(collections):
        files = collection.table.drop_duplicates("image").sort_values("image", ignore_index=True)
        pictures = decode_cached(list(files["path"]), cache, side)
        row_of = dict(zip(files["image"], range(len(files)), strict=True))
        table = collection.part(part)
        labels = label_positions(collection, table["label"], codes)
        shown = [pictures[row_of[image]] for image in table["image"]]
        found.append(Examples(shown, labels, np.full(len(labels), source), held))
    return found


def decoded_side(experiment: Experiment) -> int:
    """Return the side that pictures are decoded at: large enough for all that the experiment makes of them."""
    return max(CACHE_SIDE, experiment.input_size, *(stage.size for stage in experiment.stages if stage.epochs))


def check_parts(collections: Sequence[Collection], codes: tuple[str, ...]) -> None:
    """Raise DatasetError unless each collection has validation pictures, and training pictures of all its classes.

    A class that a collection holds and trains nothing of would be pushed up by the loss and held by no picture.
    """
    for collection in collections:
        if collection.part("validation").empty:
            raise DatasetError(f"{collection.title} has no validation pictures.")
        places = label_positions(collection, collection.part("train")["label"], codes)
        learnt = np.bincount(places, minlength=len(codes)) > 0
        if lacking := [codes[place] for place in np.flatnonzero(held_classes(collection, codes) & ~learnt)]:
            raise DatasetError(
                f"{collection.title} has no training picture of {' and '.join(lacking)}: what there is of it is held"
                " out for validation or test. Add pictures or leave the class out; a CSV's column `split` names the"
                " parts."
            )


def load_examples(
    collections: Sequence[Collection], codes: tuple[str, ...], cache: Path, side: int = CACHE_SIDE
) -> tuple[Examples, dict[str, Examples]]:
    """Return the training part of all collections together, and each one's validation part by name.

    Arguments are those of `load_part`. Raises DatasetError where `check_parts` does.
    """
    check_parts(collections, codes)
    learnt = load_part(collections, "train", codes, cache, side)
    train = Examples(
        [picture for part in learnt for picture in part.pictures],
        np.concatenate([part.labels for part in learnt]),
        np.concatenate([part.sources for part in learnt]),
        learnt[0].held,
    )
    validation = load_part(collections, "validation", codes, cache, side)
    return train, {c.name: part for c, part in zip(collections, validation, strict=True)}
