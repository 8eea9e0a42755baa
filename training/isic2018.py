"""ISIC 2018 Task 3: pictures beside a one-hot ground truth.

The folder holds the pictures, `ISIC_*.jpg` in any folder below, one ground truth such as
`ISIC2018_Task3_Training_GroundTruth.csv` (image,MEL,NV,BCC,AKIEC,BKL,DF,VASC) and, where there is one,
`ISIC2018_Task3_Training_LesionGroupings.csv` (image,lesion_id,diagnosis_confirm_type), as challenge.isic-archive.com
gives them. The training pictures are HAM10000 and keep its committed split; every other picture is a test picture.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from skin_gradio import lesions
from training import ham10000
from training.collection import TITLES, Collection, DatasetError

ONE_HOT = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
GROUPING = ("image", "lesion_id", "diagnosis_confirm_type")
CONFIRMATIONS = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
"""How the diagnosis was made, in the words of HAM10000's `dx_type`."""


def load(folder: Path, truth: Path | None = None) -> Collection:
    """Return the collection in a folder.

    Args:
        folder: holds pictures and tables, at any depth.
        truth: the ground truth, where the folder holds several.

    Raises DatasetError for no or several ground truths, a row that is not one-hot, a repeated or unknown id, and a
    picture without a file.
    """
    tables = {path: _header(path) for path in sorted(folder.rglob("*.csv"))}
    if truth is None:
        truth = _only([path for path, header in tables.items() if is_ground_truth(header)], folder)
    table = read_ground_truth(truth)
    paths = {path.stem: path for path in sorted(folder.rglob("*.jpg"))}
    absent = [image for image in table["image"] if image not in paths]
    if absent:
        raise DatasetError(
            f"{len(absent)} images of {truth} have no file below {folder}, first {absent[0]}.jpg; unpack the pictures"
            " there."
        )
    table["path"] = pd.Series([paths[image] for image in table["image"]], index=table.index, dtype=object)
    groupings = [path for path, header in tables.items() if set(GROUPING) <= set(header)]
    table, grouped = _grouped(table, groupings)
    committed = pd.read_csv(ham10000.SPLIT_FILE, dtype="string").set_index("image_id")["split"]
    table["split"] = table["image"].map(committed).fillna("test")
    table = table.sort_values("image", ignore_index=True)
    held = tuple(code for code in lesions.CODES if (table["label"] == code).any())
    return Collection("isic2018", TITLES["isic2018"], table, held, grouped)


def is_ground_truth(header: list[str]) -> bool:
    """Say whether a table with these columns is a one-hot ground truth of the seven diagnoses."""
    return "image" in header and set(ONE_HOT) <= set(header)


def read_ground_truth(path: Path) -> pd.DataFrame:
    """Return `image` and `label` of a one-hot table.

    Raises DatasetError that names the line of a row which is not one-hot, has no image or repeats one.
    """
    table = pd.read_csv(path, dtype={"image": "string"})
    values = table[list(ONE_HOT)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    one_hot = np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)
    _refuse(path, table["image"].isna(), table, "has no image")
    _refuse(path, pd.Series(~one_hot), table, f"is not one-hot: one of {', '.join(ONE_HOT)} should be 1, the others 0")
    _refuse(path, table["image"].duplicated(), table, "repeats an image")
    labels = [ONE_HOT[place].lower() for place in values.argmax(axis=1)]
    return pd.DataFrame({"image": table["image"], "label": pd.Series(labels, dtype="string")})


def _refuse(path: Path, bad: pd.Series, table: pd.DataFrame, what: str) -> None:
    if bad.any():
        place = int(bad.to_numpy().argmax())
        raise DatasetError(f"{path}, line {place + 2} (image {table['image'].iloc[place]}) {what}.")


def _only(found: list[Path], folder: Path) -> Path:
    if len(found) != 1:
        what = "no table" if not found else f"{len(found)} tables ({', '.join(path.name for path in found)})"
        raise DatasetError(
            f"{folder} holds {what} with the columns image, {', '.join(ONE_HOT)}; it should hold one ground truth."
        )
    return found[0]


def _header(path: Path) -> list[str]:
    try:
        return list(pd.read_csv(path, nrows=0).columns)
    except (ValueError, OSError):  # an empty file, or none in UTF-8: no table of ours
        return []


def _grouped(table: pd.DataFrame, groupings: list[Path]) -> tuple[pd.DataFrame, bool]:
    """Return the table with `group` (and `confirmation`), and whether every picture's lesion is known."""
    if not groupings:
        return table.assign(group=table["image"]), False
    known = pd.concat([pd.read_csv(path, dtype="string")[list(GROUPING)] for path in groupings]).set_index("image")
    if repeated := sorted(known.index[known.index.duplicated()]):
        raise DatasetError(f"{groupings[0]} repeats the image {repeated[0]}.")
    lesion = table["image"].map(known["lesion_id"])
    found = lesion.notna()
    if not found.any():
        return table.assign(group=table["image"]), False
    lesion = lesion.fillna(table["image"])
    groups = ham10000.join_duplicates(dict(zip(table["image"], lesion, strict=True)))
    confirmation = table["image"].map(known["diagnosis_confirm_type"])
    table = table.assign(group=groups, confirmation=confirmation.replace(CONFIRMATIONS))
    return table, bool(found.all())
