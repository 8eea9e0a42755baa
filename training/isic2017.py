"""ISIC 2017: pictures of three diagnoses from several clinics and cameras, grouped by content.

`python -m training.isic2017` finds the near-duplicates, writes the split and compares every picture with HAM10000;
`--help` explains the options. Two layouts are read:

- `labels.csv` (image,label,age,sex) beside `images/ISIC_*.jpg`, at any resolution;
- the challenge's own: `*_Part3_GroundTruth.csv` (image_id,melanoma,seborrheic_keratosis), `*_metadata.csv`
  (image_id,age_approximate,sex) and the pictures, `ISIC_*.jpg`, in any folders below.

The collection publishes no lesion ids, so pictures with at least four points in common (`training.near_duplicates`) are
kept together: 107 pairs among the 2,471 pictures of the split, which join 208 of them into 103 groups of two or three.
They are other renderings of one file, one of them mirrored, and second photographs of a lesion. All were looked at, and
all 32 pairs with three points:

- five points or more, 102 pairs: one lesion each. The two pictures have the same diagnosis (102 of 102) and, where it
  is known, the same sex (32 of 34).
- four points, 5 pairs: two or three show different lesions. Joining those costs nothing, parting one lesion would.
- three points, 32 pairs: one or two show one lesion; the others have the same ruler, and the same sex in 12 of 24.

No picture repeats one of HAM10000's: the closest pairs have three points in common, and show different lesions.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training import ham10000, near_duplicates
from training.collection import (
    PARTS,
    TITLES,
    Collection,
    DatasetError,
    find_folder,
    split_by_group,
    with_committed_split,
)
from training.command import run_command

SPLIT_FILE = Path(__file__).parent / "splits" / "isic2017.csv"
SPLIT_SEED = 20171013  # the day of arXiv:1710.05006
HELD_OUT = {"test": 0.30, "validation": 0.10}  # of each diagnosis' pictures
CLASSES = ("bkl", "mel", "nv")
COLUMNS = ("image", "label", "age", "sex")
TRUTH_COLUMNS = ("image_id", "melanoma", "seborrheic_keratosis")


def read_index(root: Path) -> pd.DataFrame:
    """Return one row a picture, sorted by image: `image`, `path`, `label`, `age` (years) and `sex`.

    Raises DatasetError for missing tables, columns or files, an unknown label and a repeated or missing id.
    """
    labels = root / "labels.csv"
    table = _read_labels(labels) if labels.is_file() else _read_challenge(root)
    paths = {path.stem: path for path in sorted(root.rglob("*.jpg"))}
    absent = [image for image in table["image"] if image not in paths]
    if absent:
        raise DatasetError(f"{len(absent)} images of {root} have no file below it, first {absent[0]}.jpg.")
    table["path"] = pd.Series([paths[image] for image in table["image"]], index=table.index, dtype=object)
    return table.sort_values("image", ignore_index=True)


def load(root: Path) -> Collection:
    """Return a copy of ISIC 2017 with the committed split.

    The challenge's archives hold pictures that the split leaves out, because HAM10000 has them or for want of a label;
    a line says how many.

    Raises DatasetError as `read_index` does, and when a picture of the split is missing.
    """
    table = read_index(root)
    known = table["image"].isin(pd.read_csv(SPLIT_FILE, dtype="string")["image_id"])
    if not known.all():
        print(f"{root}: left out {int((~known).sum())} images that {SPLIT_FILE.name} does not name.", file=sys.stderr)
    table = with_committed_split(table[known].reset_index(drop=True), SPLIT_FILE, root)
    return Collection("isic2017", TITLES["isic2017"], table, CLASSES)


def split(index: pd.DataFrame) -> pd.DataFrame:
    """Return image_id, split and group of an index with `group`: 60/10/30, by group, stratified by diagnosis."""
    parts = split_by_group(index, SPLIT_SEED, HELD_OUT)
    return pd.DataFrame({"image_id": index["image"], "split": parts, "group": index["group"]})


def _read_labels(path: Path) -> pd.DataFrame:
    table = _read(path, COLUMNS)[list(COLUMNS)]
    _refuse(path, table, ~table["label"].isin(CLASSES), f"has a label that is not one of {', '.join(CLASSES)}")
    return table.assign(age=pd.to_numeric(table["age"]))


def _read_challenge(root: Path) -> pd.DataFrame:
    truths = sorted(root.rglob("*_Part3_GroundTruth.csv"))
    if not truths:
        raise DatasetError(
            f"{root} holds neither labels.csv nor *_Part3_GroundTruth.csv; it should hold one of the two beside the"
            " pictures."
        )
    table = pd.concat([_diagnoses(path) for path in truths], ignore_index=True)
    repeated = table["image"].duplicated()
    if repeated.any():
        raise DatasetError(f"{root}: the image {table['image'][repeated].iloc[0]} is in two ground truths.")
    told = [_read(path, ("image_id", "age_approximate", "sex")) for path in sorted(root.rglob("*_metadata.csv"))]
    if not told:
        return table.assign(age=float("nan"), sex=pd.Series(pd.NA, index=table.index, dtype="string"))
    about = pd.concat(told).drop_duplicates("image_id").set_index("image_id")
    sexes = table["image"].map(about["sex"])
    # The challenge writes "unknown" where the other layout leaves the cell empty.
    return table.assign(
        age=pd.to_numeric(table["image"].map(about["age_approximate"]), errors="coerce"),
        sex=sexes.where(sexes.isin(("female", "male"))),
    )


def _diagnoses(path: Path) -> pd.DataFrame:
    table = _read(path, TRUTH_COLUMNS)
    melanoma, keratosis = (pd.to_numeric(table[column], errors="coerce") for column in TRUTH_COLUMNS[1:])
    wrong = ~melanoma.isin((0, 1)) | ~keratosis.isin((0, 1)) | (melanoma + keratosis > 1)
    _refuse(path, table, wrong, "should have one 1 at most, and 0 elsewhere")
    label = pd.Series("nv", index=table.index, dtype="string").mask(melanoma == 1, "mel").mask(keratosis == 1, "bkl")
    return pd.DataFrame({"image": table["image_id"], "label": label})


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.read_csv(path, dtype="string")
    if missing := [column for column in columns if column not in table.columns]:
        raise DatasetError(f"{path} lacks the columns {', '.join(missing)}.")
    _refuse(path, table, table[columns[0]].isna(), f"has no {columns[0]}")
    _refuse(path, table, table[columns[0]].duplicated(), f"repeats an {columns[0]}")
    return table


def _refuse(path: Path, table: pd.DataFrame, bad: pd.Series, what: str) -> None:
    if bad.any():
        place = int(bad.to_numpy().argmax())
        raise DatasetError(f"{path}, line {place + 2} ({', '.join(table.iloc[place].astype(str))}) {what}.")


@dataclass(frozen=True)
class CheckCommand:
    """Find near-duplicates in ISIC 2017, write its split, and compare it with HAM10000."""

    data: Path | None = None
    """Folder that holds `isic2017` and `ham10000`; ISIC2017_DIR and HAM10000_DIR, else `data`, when not given."""
    output: Path = SPLIT_FILE
    """Where the split's CSV goes."""


def main() -> None:
    """Run the command line."""
    import tyro

    command = tyro.cli(CheckCommand)
    other = ham10000.read_index(find_folder("ham10000", command.data))
    index = read_index(find_folder("isic2017", command.data))
    index = index[~index["image"].isin(other["image_id"])].reset_index(drop=True)

    features = near_duplicates.describe(list(index["path"]))
    pairs = near_duplicates.find_pairs(features)
    index["group"] = near_duplicates.join(list(index["image"]), pairs)
    alike = near_duplicates.find_pairs(features, near_duplicates.describe(list(other["path"])), least=1)
    shared = alike[alike["points"] >= near_duplicates.LEAST_POINTS]
    for first, second, points in shared.to_numpy():
        print(f"{index['image'][first]} repeats HAM10000's {other['image_id'][second]}: {points} points in common")
    # One picture of a lesion in HAM10000's training part would give the lesion's other pictures away.
    elsewhere = index["group"].isin(index["group"][shared["first"]])
    table = split(index[~elsewhere].reset_index(drop=True))
    ham10000.write_split(table, command.output)

    print(pd.crosstab(index.set_index("image")["label"][table["image_id"]].to_numpy(), table["split"])[list(PARTS)])
    print(
        f"{len(table)} images in {table['group'].nunique()} groups, joined by {len(pairs)} pairs of near-duplicates;"
        f" {int(elsewhere.sum())} images left out because HAM10000 shows their lesions (the closest pair has"
        f" {alike['points'].max()} points in common); split written to {command.output}"
    )


if __name__ == "__main__":
    run_command(main)
