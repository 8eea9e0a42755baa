"""Zip archives of pictures -> folders, without leaving the folder and without what training does not need."""

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from training.command import UserError
from training.download import Report, full_disk_named, require_space

_NEEDED = re.compile(r"\.jpe?g$|(metadata|groundtruth|labels)[^/]*\.csv$", re.IGNORECASE)
"""Pictures and their tables; superpixel masks, pixel tables and licences stay in the archive."""


class ArchiveError(UserError):
    """A zip archive is damaged, or holds what must not be unpacked."""


def unpack(archive: Path, folder: Path, report: Report | None = None) -> int:
    """Unpack an archive's pictures and tables below `folder` and return how many files that are.

    A folder that holds everything in the archive is left out of the paths; a picture that is there twice, as in
    Kaggle's HAM10000, is unpacked once. Each file is checked by its CRC and gets its name when it is whole, so that a
    run that was cut off can be repeated; what is there already is kept.

    Args:
        archive: zip file.
        folder: takes the files; made if need be.
        report: called after each file.

    Raises ArchiveError for a damaged archive, one that holds no pictures or tables, paths that lead elsewhere, and two
    different pictures of one name; DownloadError for a full disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened, full_disk_named(folder.parent):
            entries = _chosen(opened, archive)
            folder.mkdir(parents=True, exist_ok=True)
            missing = {path: entry for path, entry in entries.items() if not _is_there(folder / path, entry)}
            require_space(folder, sum(entry.file_size for entry in missing.values()))
            for done, (path, entry) in enumerate(missing.items(), len(entries) - len(missing) + 1):
                _extract(opened, entry, folder / path)
                if report:
                    report(f"unpacking {archive.name}", done, len(entries), "files")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{archive} cannot be unpacked: {error}. Download it again.") from error
    return len(entries)


def _chosen(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the needed entries by their path below the folder."""
    needed = {_safe_path(entry, archive): entry for entry in opened.infolist() if _NEEDED.search(entry.filename)}
    needed = {path: entry for path, entry in needed.items() if not _is_clutter(path)}
    if not needed:
        raise ArchiveError(f"{archive} holds no JPEG pictures and no tables.")
    tops = {path.parts[0] for path in needed}
    inner = 1 if len(tops) == 1 and all(len(path.parts) > 1 for path in needed) else 0
    chosen: dict[str, zipfile.ZipInfo] = {}
    seen: dict[str, zipfile.ZipInfo] = {}
    for path, entry in needed.items():
        first = seen.setdefault(path.name, entry)
        if (first.CRC, first.file_size) != (entry.CRC, entry.file_size):
            raise ArchiveError(f"{archive} holds two different files named {path.name}.")
        if first is entry:
            chosen[str(PurePosixPath(*path.parts[inner:]))] = entry
    return chosen


def _safe_path(entry: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if link or path.is_absolute() or ".." in path.parts or re.search(r"^[A-Za-z]:|[\\\x00]", entry.filename):
        raise ArchiveError(f"{archive} is refused: {entry.filename!r} leads out of its folder.")
    return path


def _is_clutter(path: PurePosixPath) -> bool:
    """Whether a path is what macOS adds to archives."""
    return "__MACOSX" in path.parts or path.name.startswith("._")


def _is_there(path: Path, entry: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == entry.file_size and zlib.crc32(path.read_bytes()) == entry.CRC


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with opened.open(entry) as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target)
    partial.replace(path)
