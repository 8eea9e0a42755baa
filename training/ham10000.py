"""HAM10000: its index, lesion groups, committed split and integrity checks.

`python -m training.ham10000` checks a copy and writes the split; `--help` explains the options. The folder is Kaggle's
`kmader/skin-cancer-mnist-ham10000` at any resolution: `HAM10000_metadata.csv` and JPEG files in one or more
`HAM10000_images_part_*` folders (or any other folder below).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from skin_gradio import lesions
from training.collection import (
    PARTS,
    TITLES,
    Collection,
    DatasetError,
    find_folder,
    read_training_picture,
    split_by_group,
    with_committed_split,
)
from training.command import run_command

TABLE = "HAM10000_metadata.csv"
SPLIT_FILE = Path(__file__).parent / "splits" / "ham10000.csv"
SPLIT_SEED = 20180814  # the day the data descriptor appeared
HELD_OUT = {"test": 0.15, "validation": 0.15}  # of each diagnosis' images
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")

# Pairs of images that show one lesion under two lesion ids: Abhishek, Jain & Hamarneh, Sci. Data 12, 196 (2025),
# doi 10.1038/s41597-025-04382-5.
DUPLICATE_PAIRS = (
    ("ISIC_0033481", "ISIC_0033421"),
    ("ISIC_0033556", "ISIC_0032634"),
    ("ISIC_0029152", "ISIC_0033173"),
    ("ISIC_0029036", "ISIC_0027027"),
    ("ISIC_0027820", "ISIC_0028209"),
    ("ISIC_0027689", "ISIC_0032647"),
    ("ISIC_0030906", "ISIC_0024879"),
    ("ISIC_0033391", "ISIC_0034186"),
    ("ISIC_0025226", "ISIC_0030074"),
    ("ISIC_0026087", "ISIC_0025664"),
    ("ISIC_0024736", "ISIC_0029748"),
    ("ISIC_0024770", "ISIC_0027811"),
    ("ISIC_0027162", "ISIC_0029061"),
    ("ISIC_0024602", "ISIC_0032283"),
    ("ISIC_0029625", "ISIC_0024629"),
    ("ISIC_0030000", "ISIC_0031392"),
    ("ISIC_0024437", "ISIC_0031299"),
    ("ISIC_0033374", "ISIC_0033417"),
)


def read_index(root: Path) -> pd.DataFrame:
    """Return one row an image, sorted by image id: the metadata's columns, `path` and `group`.

    `group` names the lesion, the lesions of the known duplicate pairs being joined into one.

    Raises DatasetError for a missing table, column or image file, for an unknown diagnosis, and for a missing or
    repeated id.
    """
    table_path = root / TABLE
    if not table_path.is_file():
        raise DatasetError(f"{table_path} is missing; the folder should hold it beside the image folders.")
    table = pd.read_csv(table_path, dtype={"lesion_id": "string", "image_id": "string", "dx": "string"})
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise DatasetError(f"{table_path} lacks the columns {', '.join(missing)}.")
    _refuse(table, table["image_id"].isna(), table_path, "has no image_id")
    _refuse(table, table["lesion_id"].isna() | (table["lesion_id"] == ""), table_path, "has no lesion_id")
    _refuse(table, table["image_id"].duplicated(), table_path, "repeats an image_id")
    _refuse(table, ~table["dx"].isin(lesions.CODES), table_path, f"has a dx that is not one of {lesions.CODES}")
    paths = {path.stem: path for path in sorted(root.rglob("*.jpg"))}
    absent = [image_id for image_id in table["image_id"] if image_id not in paths]
    if absent:
        raise DatasetError(
            f"{len(absent)} images of {table_path} have no file below {root}, first {absent[0]}.jpg;"
            " download the missing part of the archive."
        )
    table["path"] = pd.Series([paths[image_id] for image_id in table["image_id"]], index=table.index, dtype=object)
    table["group"] = join_duplicates(dict(zip(table["image_id"], table["lesion_id"], strict=True)))
    return table.sort_values("image_id", ignore_index=True)


def _refuse(table: pd.DataFrame, bad: pd.Series, path: Path, what: str) -> None:
    if bad.any():
        row = table[bad].iloc[0]
        raise DatasetError(
            f"{path}: {int(bad.sum())} rows are wrong; the first, line {int(bad.to_numpy().argmax()) + 2}"
            f" (image_id {row['image_id']}, dx {row['dx']}), {what}."
        )


def join_duplicates(lesion_of: dict[str, str]) -> list[str]:
    """Return each image's group: its lesion id, or the smallest of the ids that duplicate pairs join it with."""
    root = {lesion: lesion for lesion in lesion_of.values()}

    def find(lesion: str) -> str:
        while root[lesion] != lesion:
            lesion = root[lesion]
        return lesion

    for first, second in DUPLICATE_PAIRS:
        if first in lesion_of and second in lesion_of:
            a, b = sorted((find(lesion_of[first]), find(lesion_of[second])))
            root[b] = a
    return [find(lesion) for lesion in lesion_of.values()]


def split(index: pd.DataFrame, seed: int = SPLIT_SEED) -> pd.DataFrame:
    """Return image_id and split (train, validation or test), 70/15/15, by lesion group, stratified by diagnosis."""
    table = index.rename(columns={"dx": "label"})
    return pd.DataFrame({"image_id": index["image_id"], "split": split_by_group(table, seed, HELD_OUT)})


def load(root: Path) -> Collection:
    """Return a copy of HAM10000 with the committed split.

    Raises DatasetError as `read_index` does, and when the copy and the split do not hold the same images.
    """
    names = {"image_id": "image", "dx": "label", "localization": "site", "dx_type": "confirmation"}
    table = with_committed_split(read_index(root).rename(columns=names), SPLIT_FILE, root)
    return Collection("ham10000", TITLES["ham10000"], table, lesions.CODES)


def write_split(table: pd.DataFrame, path: Path) -> None:
    """Write a split's CSV."""
    table.to_csv(path, index=False, lineterminator="\n")


def check_pictures(index: pd.DataFrame) -> None:
    """Decode every picture. Raises DatasetError that names the first one which cannot be read."""
    for path in index["path"]:
        read_training_picture(path)


@dataclass(frozen=True)
class CheckCommand:
    """Check a copy of HAM10000, decode every picture and write the lesion-grouped split."""

    data: Path | None = None
    """Folder that holds `ham10000`, in Kaggle's layout; HAM10000_DIR, else `data`, when not given."""
    output: Path = SPLIT_FILE
    """Where the split's CSV goes."""
    seed: int = SPLIT_SEED
    """Seed of the split."""


def main() -> None:
    """Run the command line."""
    import tyro

    command = tyro.cli(CheckCommand)
    index = read_index(find_folder("ham10000", command.data))
    check_pictures(index)
    table = split(index, command.seed)
    write_split(table, command.output)
    print(pd.crosstab(index["dx"], table["split"])[list(PARTS)])
    print(f"{len(index)} images of {index['group'].nunique()} lesions; split written to {command.output}")


if __name__ == "__main__":
    run_command(main)
