"""Get a collection, verify it, and decode it once, so that training can start.

    python -m training.prepare ham10000                        # from Harvard Dataverse, no account needed
    python -m training.prepare ham10000 --source kaggle
    python -m training.prepare ham10000 --from ~/Downloads/ham10000
    python -m training.prepare isic2017

Started again, it does only what is missing.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import tyro

from training import collection, sources
from training.collection import PARTS, Collection, DatasetError
from training.command import UserError, run_command
from training.download import Remote, Report, exclusive, full_disk_named, open_client
from training.unpack import unpack

LABELS = {"ham10000": {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}}
"""Pictures of each diagnosis, as published (Tschandl et al., Sci. Data 5, 180161, 2018)."""
NEXT = {
    "ham10000": "python -m training.train mobilenet_v2_ham10000",
    "isic2017": "python -m training.train mobilenet_v2 --name mine",
}
_SHA256 = re.compile(r"([^=]+)=([0-9a-fA-F]{64})")
Load = Callable[[str, Path | None], Collection]


class PrepareError(UserError):
    """A place or an option does not fit; the message says what would."""


@dataclass(frozen=True)
class PrepareCommand:
    """Get a collection, check every picture of it, and decode it once into the cache that training uses.

    What is there already is not downloaded again, and an interrupted download goes on where it was cut off.
    """

    name: Annotated[Literal["ham10000", "isic2017"], tyro.conf.Positional, tyro.conf.arg(metavar="COLLECTION")]
    """ham10000 (10,015 pictures, 2.8 GB) or isic2017 (2,750 large pictures, a download of 13 GB)."""
    source: Literal["dataverse", "kaggle", "isic-archive", "isic-challenge"] | None = None
    """Where to download it. ham10000: dataverse (Harvard's: the original, no account; the default), kaggle (wants the
    package kagglehub; its files stay in its cache and are linked), isic-archive (one by one). isic2017: isic-challenge.
    """
    path: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Use your own copy instead: a folder, which stays where it is and is linked, or a zip archive, which is unpacked.
    ham10000 in Kaggle's layout, isic2017 as the challenge's archives unpack."""
    data: Path | None = None
    """Folder that takes the collection's folder. When not given: the environment variable HAM10000_DIR or ISIC2017_DIR
    names the collection's folder itself, else it is data/COLLECTION."""
    cache: Path = Path("runs/cache")
    """Folder of the decoded pictures; training and evaluation look there."""
    no_cache: tyro.conf.FlagCreatePairsOff[bool] = False
    """Only check the table, the files' names and the split; decode no picture."""
    sha256: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Refuse a download that has not this checksum: FILE=HASH, once for each file."""


def prepare(
    command: PrepareCommand, load: Load = collection.load, labels: Mapping[str, Mapping[str, int]] = LABELS
) -> Collection:
    """Do what the command says and return the collection.

    Args:
        command: what to prepare.
        load: reads the collection by its name and base folder.
        labels: the pictures that each diagnosis of a collection should have.

    Raises UserErrors: DownloadError, SourceError, ArchiveError, DatasetError and PrepareError.
    """
    target = collection.place(command.name, command.data)
    with exclusive(target):
        obtain(command, target)
        prepared = load(command.name, command.data)
        check_labels(prepared, labels.get(command.name))
        if not command.no_cache:
            decode(prepared, command.cache)
    print(summary(prepared, target, command))
    return prepared


def obtain(command: PrepareCommand, target: Path) -> None:
    """Bring the collection's files to `target`, unless they are there."""
    if command.path is not None:
        if command.source is not None:
            raise PrepareError("--from and --source exclude each other: the one is your copy, the other a download.")
        adopt(command.path.expanduser(), target)
        return
    default, *others = sources.SOURCES[command.name]
    if command.source not in (None, default, *others):
        raise PrepareError(
            f"{command.name} cannot be had from {command.source}; --source takes {', '.join([default, *others])}."
        )
    if target.is_symlink() and not target.exists():
        raise PrepareError(f"{target} links to {target.readlink()}, which is gone; --from names its new place.")
    record = sources.read_record(target)
    own = record is None or record["source"] not in (default, *others)
    if own and target.is_dir() and any(target.iterdir()):
        print(f"{target} is there already; nothing is downloaded.")
        return
    source = command.source or (record["source"] if record else default)
    remotes = pinned(sources.FILES.get(source, ()), command.sha256)
    if record is not None:
        sources.begin(source, target)
    if source == "kaggle":
        copy = sources.download_from_kaggle()
        if record is not None:  # of a download that never brought a file, else `begin` had refused
            (target / sources.RECORD).unlink()
        link(copy, target)
        return
    print(f"{command.name} from {source} into {target}")
    with open_client() as client, full_disk_named(target.parent), progress() as report:
        if source == "isic-archive":
            missing = sources.get_from_archive(target, client, report)
        else:
            missing = sources.get_files(source, remotes, target, client, report)
    if not missing:
        print("Everything was there already.")


def pinned(remotes: tuple[Remote, ...], pins: tuple[str, ...]) -> tuple[Remote, ...]:
    """Return the files with the checksums that the user gave. Raises PrepareError for one that fits no file."""
    hashes = {}
    for pin in pins:
        match = _SHA256.fullmatch(pin)
        if not match or match[1] not in {remote.name for remote in remotes}:
            names = ", ".join(remote.name for remote in remotes) or "none for this source"
            raise PrepareError(f"--sha256 {pin}: it takes FILE=HASH, 64 hexadecimal digits, and the files are {names}.")
        hashes[match[1]] = match[2].lower()
    return tuple(replace(remote, sha256=hashes.get(remote.name, remote.sha256)) for remote in remotes)


def adopt(path: Path, target: Path) -> None:
    """Make the user's copy the collection's: link to a folder, unpack a zip archive."""
    if path.is_dir():
        link(path, target)
    elif path.is_file():
        if sources.read_record(target) is None and _taken(target):
            raise PrepareError(f"{target} exists already; move it away before {path} is unpacked there.")
        sources.begin(str(path.resolve()), target)
        with full_disk_named(target.parent), progress() as report:
            count = unpack(path, target, report)
        print(f"{count} files of {path} are unpacked in {target}; the archive is no longer needed.")
    else:
        raise PrepareError(f"--from {path}: there is no such folder or zip archive.")


def link(path: Path, target: Path) -> None:
    """Make `target` a link to the folder `path`; a link to elsewhere is replaced, files are not.

    Raises PrepareError when files are in the way or the system makes no links.
    """
    path = path.resolve()
    if target.resolve() == path:
        print(f"{path} is used where it is.")
        return
    if _taken(target) and not target.is_symlink():
        raise PrepareError(f"{target} exists already; move it away, or leave --from out to use it.")
    try:
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            target.rmdir()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path, target_is_directory=True)
    except OSError as error:
        variable = collection.variable_of(target.name)
        raise PrepareError(
            f"{target} cannot be made a link ({error.strerror}); set {variable}={path} instead."
        ) from error
    print(f"{target} is now a link to {path}; nothing was copied, so keep that folder.")


def _taken(target: Path) -> bool:
    return target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir())))


def check_labels(prepared: Collection, expected: Mapping[str, int] | None) -> None:
    """Raise DatasetError unless each diagnosis has the pictures it should have; None asks for nothing."""
    found = prepared.table["label"].value_counts()
    wrong = [
        f"{found.get(label, 0)} of {label} instead of {count}"
        for label, count in (expected or {}).items()
        if found.get(label, 0) != count
    ]
    if wrong:
        raise DatasetError(f"{prepared.title} is not as published: its table has {', '.join(wrong)} pictures.")


def decode(prepared: Collection, cache: Path) -> None:
    """Decode every picture into the cache. Raises DatasetError that names all which cannot be read."""
    from training.batches import decode_cached

    files = prepared.table.drop_duplicates("image").sort_values("image", ignore_index=True)
    paths = list(files["path"])
    before = set(cache.glob("*.npy"))
    print(f"Decoding {len(paths)} pictures into {cache}", flush=True)
    try:
        with full_disk_named(cache.parent), progress() as report:
            done = itertools.count(1)
            decode_cached(paths, cache, report=lambda _: report("decoding", next(done), len(paths), "pictures"))
    except DatasetError:
        raise DatasetError(unreadable(paths)) from None
    if set(cache.glob("*.npy")) == before:
        print("They were decoded already.")


def unreadable(paths: list[Path]) -> str:
    """Return a message that names every picture which cannot be read, a line each."""

    def reason(path: Path) -> str | None:
        try:
            collection.read_training_picture(path)
        except DatasetError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool, progress() as report:
        reasons = []
        for done, found in enumerate(pool.map(reason, paths), 1):
            reasons += [found] if found else []
            report("checking", done, len(paths), "pictures")
    listed = "\n  ".join(reasons)
    return f"{len(reasons)} of {len(paths)} pictures cannot be read; delete them and get them again:\n  {listed}"


def summary(prepared: Collection, target: Path, command: PrepareCommand) -> str:
    """Return what is there now: pictures of each class and part, where, and the next command."""
    table = prepared.table.drop_duplicates("image")
    counts = pd.crosstab(table["label"], table["split"]).reindex(columns=list(PARTS), fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    counts = counts.rename_axis(index=None, columns=None)
    where = f"{target} -> {target.resolve()}" if target.is_symlink() else str(target)
    decoded = "not decoded (--no-cache)" if command.no_cache else str(command.cache)
    base = f" --data {command.data}" if command.data else ""
    lesions = f" of {prepared.table['group'].nunique()} lesions" if prepared.grouped else ""
    return (
        f"\n{prepared.title}: {len(table)} pictures{lesions}\n{counts.to_string()}\n\nfiles:   {where}\n"
        f"decoded: {decoded}\nnext:    {NEXT[command.name]}{base}"
    )


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Show a bar for each thing that is reported while the block runs; only its end where no terminal looks on."""
    import rich.progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.fields[amount]}"),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns) as shown:
        tasks: dict[str, bars.TaskID] = {}

        def report(what: str, done: int, total: int | None, unit: str) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=None, amount="")
            scale, unit = (1e6, "MB") if unit == "bytes" else (1, unit)
            amount = f"{done / scale:.0f}" + (f" of {total / scale:.0f}" if total else "") + f" {unit}"
            shown.update(tasks[what], completed=done, total=total, amount=amount if unit else "")

        yield report


def main() -> None:
    """Run the command line."""
    prepare(tyro.cli(PrepareCommand, description=__doc__))


if __name__ == "__main__":
    run_command(main)
