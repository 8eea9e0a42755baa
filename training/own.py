"""A user's own pictures: one sub-folder per class, or pictures beside a CSV file.

Classes: the sub-folders are codes of `skin_gradio.lesions` (akiec to vasc, or benign and malignant) or their English
names, below train/, validation/ (val/) and test/ where the pictures come split, as Kaggle's benign/malignant sets do.

CSV: columns `image` (a file's name with or without its ending, or its path from the CSV's folder) and `label`;
optionally `group` (or patient_id, lesion_id: pictures that must not be parted), `split`, `sex`, `age` and `site`.
A one-hot ground truth is read by `training.isic2018`.

What comes without a split is split 70/15/15, by group and stratified by label; where only the test pictures are named,
15 % of the others are held out for validation. Without groups leaks cannot be ruled out; copies and second photographs
that `training.near_duplicates` finds are kept together all the same.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from skin_gradio import lesions
from training import ham10000, isic2018, near_duplicates
from training.collection import NAMED, PARTS, TITLES, Collection, DatasetError, split_by_group, variable_of

SPLIT_SEED = "own"
HELD_OUT = {"test": 0.15, "validation": 0.15}
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
CACHE = Path("runs") / "cache"
"""Where the near-duplicates that were found are kept; they are looked for again when a file has changed."""
MOST_VOTED = 3000
"""Above so many pictures only copies are looked for: the whole search would take the better part of an hour."""

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
ALIASES = {
    "actinic keratosis": "akiec",
    "actinic keratoses": "akiec",
    "bowens disease": "akiec",
    "basal cell carcinoma": "bcc",
    "benign keratosis": "bkl",
    "benign keratosis like lesion": "bkl",
    "benign keratosis like lesions": "bkl",
    "seborrheic keratosis": "bkl",
    "seborrhoeic keratosis": "bkl",
    "dermatofibroma": "df",
    "melanoma": "mel",
    "melanocytic nevus": "nv",
    "melanocytic nevi": "nv",
    "naevus": "nv",
    "nevus": "nv",
    "vascular lesion": "vasc",
    "vascular lesions": "vasc",
}
"""Other names of the classes, in lower case, without apostrophes, words parted by spaces."""
COLUMN_NAMES = {
    "image": ("image", "image_id", "image_name", "file", "filename", "path"),
    "label": ("label", "dx", "diagnosis", "class"),
    "group": ("group", "patient_id", "lesion_id"),
    "split": ("split",),
    "sex": ("sex",),
    "age": ("age", "age_approx", "age_approximate"),
    "site": ("site", "localization", "anatom_site_general"),
    "confirmation": ("confirmation", "dx_type"),
}
"""Columns of the table and what they may be called in a CSV, the preferred name first."""


def load(path: Path) -> Collection:
    """Return the pictures in a folder, or those of a CSV file.

    Raises DatasetError for a folder of a named collection, whose committed split would be lost, no pictures, an empty
    class folder, an unknown label or part, labels of both kinds (seven diagnoses and benign or malignant), a missing,
    repeated or ambiguous picture, and a group in two given parts.
    """
    table_path = path if path.is_file() else _table_in(path)
    if table_path is None:
        name = path.resolve().name
        _refuse_named(name, None)
        table = _from_folders(path)
    else:
        columns = _columns(table_path)
        if isic2018.is_ground_truth(columns):
            # The archives of ISIC 2018 keep the ground truth in a folder beside the pictures'.
            here = table_path.parent
            return isic2018.load(here if any(here.rglob("*.jpg")) else here.parent, table_path)
        name = table_path.resolve().parent.name
        _refuse_named(name, table_path)
        table = _from_table(table_path.absolute())
    held = _classes(table, path)
    grouped = "group" in table
    if not grouped:
        table["group"] = near_duplicates.join(list(table["image"]), _near_duplicates(list(table["path"])))
    table = _with_split(table, grouped, path).sort_values("image", ignore_index=True)
    return Collection(name, name, table, held, grouped)


def title_of(path: Path) -> str:
    """Return the title that `load` gives the pictures in a folder or of a CSV, which may be gone by now."""
    table = path if path.suffix.lower() == ".csv" else _table_in(path) if path.is_dir() else None
    if table and table.is_file() and isic2018.is_ground_truth(_columns(table)):
        return TITLES["isic2018"]
    return (table.resolve().parent if table else path.resolve()).name


def _refuse_named(name: str, table: Path | None) -> None:
    """Raise DatasetError where the folder's name, or its table, is that of a collection with a committed split."""
    if name in NAMED or (table and table.name == ham10000.TABLE):
        known = name if name in NAMED else "ham10000"
        raise DatasetError(
            f"{table or name} looks like {TITLES[known]}, whose committed split would be lost here: ask for {known},"
            f" and name its folder by {variable_of(known)}. Pictures of your own want another folder name."
        )


def _table_in(folder: Path) -> Path | None:
    """Return the folder's CSV of labels; None where there are class folders instead."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv")
    labelled = [path for path in tables if _is_labelled(_columns(path))]
    if len(labelled) > 1:
        names = ", ".join(path.name for path in labelled)
        raise DatasetError(f"{folder} holds {len(labelled)} tables of labels ({names}); name the one to use.")
    if labelled:
        return labelled[0]
    if tables and not any(_code(entry.name) or _part(entry.name) for entry in _folders(folder)):
        return tables[0]
    return None


def _is_labelled(columns: list[str]) -> bool:
    known = _renamed(columns)
    return isic2018.is_ground_truth(columns) or {"image", "label"} <= set(known.values())


def _columns(path: Path) -> list[str]:
    if path.suffix.lower() != ".csv":
        raise DatasetError(f"{path} is no CSV file; name a folder of pictures or a CSV.")
    try:
        return list(pd.read_csv(path, nrows=0).columns)
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error


def _renamed(columns: list[str]) -> dict[str, str]:
    """Return how a CSV's columns are called here: its name -> ours."""
    found = {column.strip().lower(): column for column in reversed(columns)}
    names = {
        ours: next((found[name] for name in theirs if name in found), None) for ours, theirs in COLUMN_NAMES.items()
    }
    return {theirs: ours for ours, theirs in names.items() if theirs is not None}


def _from_table(path: Path) -> pd.DataFrame:
    names = _renamed(_columns(path))
    if missing := {"image", "label"} - set(names.values()):
        raise DatasetError(
            f"{path} lacks the column {' and '.join(sorted(missing))}; it should have image and label, and may have"
            " group, split, sex, age and site."
        )
    table = pd.read_csv(path, dtype="string", skip_blank_lines=False).rename(columns=names)[list(names.values())]
    table = table.apply(lambda column: column.str.strip().replace("", pd.NA)).dropna(how="all")
    if table.empty:
        raise DatasetError(f"{path} names no pictures.")
    for column in {"image", "label", "group", "split"} & set(table.columns):
        _refuse(path, table, table[column].isna(), f"has no {column}")
    table["label"] = _read_values(path, table, "label", _code, f"should be one of {', '.join(lesions.BY_CODE)}")
    if "split" in table:
        table["split"] = _read_values(path, table, "split", _part, f"should be one of {', '.join(PARTS)}")
    if "age" in table:
        ages = pd.to_numeric(table["age"], errors="coerce")
        _refuse(path, table, ages.isna() & table["age"].notna(), "has an age that is no number")
        table["age"] = ages.astype(float)
    files = _Files(path.parent)
    found = [files.find(name, f"{path}, line {line}") for line, name in _lines(table["image"])]
    table["path"] = pd.Series(found, index=table.index, dtype=object)
    first: dict[Path, int] = {}
    for (line, name), file in zip(_lines(table["image"]), found, strict=True):
        if first.setdefault(file, line) != line:
            raise DatasetError(f"{path}, line {line} (image {name}) repeats the picture of line {first[file]}.")
    table["image"] = [file.relative_to(path.parent).as_posix() for file in found]
    return table.reset_index(drop=True)


def _lines(column: pd.Series) -> Iterator[tuple[int, str]]:
    return ((line, str(value)) for line, value in zip(column.index.to_numpy() + 2, column, strict=True))


def _refuse(path: Path, table: pd.DataFrame, bad: pd.Series, what: str) -> None:
    if bad.any():
        line, image = next(_lines(table.loc[bad, "image"]))
        raise DatasetError(f"{path}, line {line} (image {image}) {what}.")


def _read_values(
    path: Path, table: pd.DataFrame, column: str, read: Callable[[str], str | None], allowed: str
) -> pd.Series:
    values = table[column].map(read, na_action="ignore")
    bad = values.isna()
    if bad.any():
        _refuse(path, table, bad, f"has the {column} {table.loc[bad, column].iloc[0]!r}; it {allowed}")
    return values.astype("string")


class _Files:
    """The pictures below a folder, by path, name and stem."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.named: dict[str, list[Path]] = {}
        for path in _pictures(folder):
            for name in {path.name, path.stem, path.relative_to(folder).with_suffix("").as_posix()}:
                self.named.setdefault(name, []).append(path)

    def find(self, name: str, where: str) -> Path:
        """Return a picture's file; `where` begins the message of the DatasetError when there is none, or several."""
        direct = self.folder / name
        if direct.is_file() and direct.resolve().is_relative_to(self.folder.resolve()):
            return direct
        found = self.named.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.relative_to(self.folder).as_posix() for path in found[:3])
            raise DatasetError(f"{where}: {name} could be any of {names}; give the path.")
        raise DatasetError(f"{where}: there is no picture {name} below {self.folder} ({' '.join(ENDINGS)}).")


def _from_folders(folder: Path) -> pd.DataFrame:
    parts = [entry for entry in _folders(folder) if _part(entry.name)]
    rows = []
    for part in parts or [folder]:
        for entry in _folders(part):
            if (code := _code(entry.name)) is None:
                raise DatasetError(
                    f"The folder {entry} is no class: none of {', '.join(lesions.BY_CODE)}. Name the folder that holds"
                    " the classes, or train and test."
                )
            found = list(_pictures(entry))
            if not found:
                raise DatasetError(f"The class folder {entry} holds no picture ({' '.join(ENDINGS)}).")
            rows += [(path.relative_to(folder).as_posix(), path, code, _part(part.name)) for path in found]
    if others := [entry for entry in _folders(folder) if parts and entry not in parts]:
        raise DatasetError(f"The folder {others[0]} is neither train, validation nor test, as those beside it are.")
    if not rows:
        raise DatasetError(
            f"{folder} holds neither a sub-folder for each class ({', '.join(lesions.BY_CODE)}) nor a CSV file with the"
            " columns image and label."
        )
    table = pd.DataFrame(rows, columns=["image", "path", "label", "split"])
    return table if parts else table.drop(columns="split")


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    hidden = (".", "__")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and not any(name.startswith(hidden) for name in path.relative_to(folder).parts)
        and path.is_file()
    )


def _code(name: str) -> str | None:
    words = re.sub(r"[\s_-]+", " ", name.strip().lower()).replace("'", "").replace("\u2019", "")
    return words if words in lesions.BY_CODE else ALIASES.get(words)


def _part(name: str) -> str | None:
    return PART_NAMES.get(name.strip().lower())


def _classes(table: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Return the labels that occur, in the order of `lesions.BY_CODE`."""
    held = tuple(code for code in lesions.BY_CODE if (table["label"] == code).any())
    if len({code in lesions.CODES for code in held}) > 1:
        raise DatasetError(
            f"{path} mixes labels of two kinds: {', '.join(held)}; use the diagnoses or the groups alone."
        )
    if len(held) < 2:
        raise DatasetError(f"{path} holds only the class {held[0]}; a model needs two classes at least.")
    return held


def _with_split(table: pd.DataFrame, grouped: bool, path: Path) -> pd.DataFrame:
    """Return the table with a whole split: the one that came, with what it lacks taken from its training pictures."""
    if "split" not in table:
        return table.assign(split=split_by_group(table, SPLIT_SEED, HELD_OUT))
    parts = table.groupby("group")["split"].nunique()
    if (crossing := parts.index[parts > 1]).size and grouped:
        rows = table[table["group"] == crossing[0]]
        images = ", ".join(f"{row.image} in {row.split}" for row in rows.drop_duplicates("split").itertuples())
        raise DatasetError(f"{path}: the group {crossing[0]} is in two parts of the split ({images}).")
    if crossing.size:
        # The given test pictures stay comparable with other people's figures; a few training pictures are no loss.
        rank = table["split"].map(PARTS.index)
        repeats = rank < rank.groupby(table["group"]).transform("max")
        print(
            f"{path}: left out {int(repeats.sum())} pictures that repeat one of a later part by content,"
            f" first {table['image'][repeats].iloc[0]}.",
            file=sys.stderr,
        )
        table = table[~repeats].reset_index(drop=True)
    lacking = {part: share for part, share in HELD_OUT.items() if not (table["split"] == part).any()}
    train = table["split"] == "train"
    if lacking and train.any():
        table.loc[train, "split"] = split_by_group(table[train], SPLIT_SEED, lacking)
    return table


def _near_duplicates(paths: list[Path]) -> pd.DataFrame:
    """Return the near-duplicates among pictures, from CACHE where the files are the same as before."""
    stamp = hashlib.sha256(f"{near_duplicates.LEAST_POINTS}".encode())
    for path in paths:
        stat = path.stat()
        stamp.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    file = CACHE / f"near-duplicates-{stamp.hexdigest()[:16]}.csv"
    if not file.exists():
        print(f"Looking for near-duplicates among {len(paths)} pictures ...", file=sys.stderr)
        pairs = near_duplicates.find_pairs(near_duplicates.describe(paths), votes=len(paths) <= MOST_VOTED)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        pairs.to_csv(partial, index=False)
        partial.replace(file)
    return pd.read_csv(file)
