"""Where each collection can be had, and getting it into its folder.

`downloads.json` in that folder records the source, and each file's address, size and sha256: a later run gets only what
is missing, and notices when a file changes, here or at its source.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from training.download import DownloadError, Remote, Report, digests, fetch
from training.ham10000 import SPLIT_FILE
from training.isic_archive import TABLE, fetch_ham10000
from training.unpack import unpack

RECORD = "downloads.json"
KAGGLE_HANDLE = "kmader/skin-cancer-mnist-ham10000"
SOURCES = {"ham10000": ("dataverse", "kaggle", "isic-archive"), "isic2017": ("isic-challenge",)}
"""The sources of each collection, the default first."""

_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
_CHALLENGE = "https://isic-challenge-data.s3.amazonaws.com/2017"
FILES = {
    # doi:10.7910/DVN/DBW86T, version 4; the checksums are Dataverse's. It converts tables unless told not to.
    "dataverse": (
        Remote("HAM10000_metadata.csv", f"{_DATAVERSE}/4338392?format=original", "8f85fb1aa29d80a2797247e434deb79d"),
        Remote("HAM10000_images_part_1.zip", f"{_DATAVERSE}/3172585", "4639bfa73ab251610530a97c898e6e46"),
        Remote("HAM10000_images_part_2.zip", f"{_DATAVERSE}/3172584", "da43d6cc50f6613013be07e8986b384b"),
    ),
    # The challenge publishes no checksums; these are those of DeepMind's NEVIS'22 (dm_nevis, handlers/melanoma.py).
    "isic-challenge": tuple(
        Remote(name, f"{_CHALLENGE}/{name}", md5)
        for name, md5 in (
            ("ISIC-2017_Training_Part3_GroundTruth.csv", "0cb4add57c65c22ca1a1cb469ad1f0c5"),
            ("ISIC-2017_Validation_Part3_GroundTruth.csv", "8d4826a76adcd8fb928ca52a23ebae4c"),
            ("ISIC-2017_Test_v2_Part3_GroundTruth.csv", "9e957b72a0c4f9e0d924889fd03b36ed"),
            ("ISIC-2017_Validation_Data.zip", "8d6419d942112f709894c0d82f6c9038"),
            ("ISIC-2017_Test_v2_Data.zip", "5f6a0b5e1f2972bd1f5ea02680489f09"),
            ("ISIC-2017_Training_Data.zip", "a14a7e622c67a358797ae59abb8a0b0c"),
        )
    ),
}


class SourceError(DownloadError):
    """A source's client is missing, or what lies in the folder does not come from the source that was asked for."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what RECORD in a folder says, or None where there is none: the folder is then the user's own."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceError(f"{path} is damaged: {error}. Delete it; files that are there are checked again.") from error
    return record


def get_files(
    source: str, remotes: tuple[Remote, ...], folder: Path, client: httpx.Client, report: Report | None = None
) -> int:
    """Download files into a folder, unpack the zip archives among them, and return how many were missing.

    ARCHIVE.zip becomes the folder ARCHIVE and is deleted. What RECORD lists and is still there is left alone.

    Raises DownloadError and ArchiveError; also for a file that is not what an earlier run got.
    """
    record = begin(source, folder)
    got = 0
    for remote in remotes:
        if _is_there(remote, folder, record["files"].get(remote.name)):
            continue
        sha256 = fetch(remote, folder, client, report)
        earlier = record["files"].get(remote.name, {}).get("sha256", sha256)
        if earlier != sha256 and not (remote.md5 or remote.sha256):
            (folder / remote.name).unlink()
            raise DownloadError(
                f"{remote.url} gave another file than at first: sha256 {sha256} instead of {earlier}. To accept it,"
                f" delete its entry in {folder / RECORD}."
            )
        entry = {"url": remote.url, "bytes": (folder / remote.name).stat().st_size, "sha256": sha256}
        if remote.name.endswith(".zip"):
            unpack(folder / remote.name, _unpacked(remote, folder), report)
            entry["unpacked"] = _content(_unpacked(remote, folder))
        record["files"][remote.name] = entry
        _write(record, folder)
        if remote.name.endswith(".zip"):
            (folder / remote.name).unlink()
        got += 1
    return got


def get_from_archive(folder: Path, client: httpx.Client, report: Report | None = None) -> int:
    """Get HAM10000's pictures of the committed split from the ISIC Archive; return how many files were missing."""
    record = begin("isic-archive", folder)
    images = list(pd.read_csv(SPLIT_FILE)["image_id"])
    if _is_there(Remote(TABLE, ""), folder, record["files"].get(TABLE)):
        absent = [image for image in images if not (folder / "images" / f"{image}.jpg").is_file()]
        if not absent:
            return 0
    before = len(list(folder.rglob("*.jpg")))
    fetch_ham10000(images, folder, client, report)
    record["files"][TABLE] = {"bytes": (folder / TABLE).stat().st_size, "sha256": digests(folder / TABLE)["sha256"]}
    _write(record, folder)
    return len(list(folder.rglob("*.jpg"))) - before + 1


def download_from_kaggle() -> Path:
    """Return the folder in which Kaggle's official client keeps its copy of HAM10000, downloaded if need be.

    Raises SourceError when the client is not installed or cannot get it.
    """
    try:
        import kagglehub
    except ImportError as error:
        raise SourceError("Kaggle's client is not installed: pip install kagglehub, then run it again.") from error
    try:
        return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:  # the client lets through whatever its HTTP library, zipfile and the disk raise
        raise SourceError(
            f"Kaggle's client could not get {KAGGLE_HANDLE}: {str(error) or type(error).__name__}. Where it asks for a"
            " token: make one at https://www.kaggle.com/settings, and put it into ~/.kaggle/access_token or the"
            " environment variable KAGGLE_API_TOKEN. A download that was cut off goes on when run again."
        ) from error


def begin(source: str, folder: Path) -> dict[str, Any]:
    """Return the folder's record, begun if need be. Raises SourceError when it holds files from another source."""
    folder.mkdir(parents=True, exist_ok=True)
    record = read_record(folder)
    if record is None or [path.name for path in folder.iterdir()] == [RECORD]:
        record = {"source": source, "files": {}}
    if record["source"] != source:
        raise SourceError(
            f"{folder} was begun from {record['source']}: go on with --source {record['source']}, or delete the folder"
            f" to start over from {source}."
        )
    _write(record, folder)
    return record


def _is_there(remote: Remote, folder: Path, entry: dict[str, Any] | None) -> bool:
    """Whether a recorded file is still whole. Raises DownloadError for a table that was changed."""
    if entry is None:
        return False
    if remote.sha256 not in ("", entry["sha256"]):
        raise DownloadError(
            f"{folder}: {remote.name} was downloaded with sha256 {entry['sha256']}, not {remote.sha256}. Delete the"
            " folder to download it again."
        )
    if "unpacked" in entry:
        return bool(_content(_unpacked(remote, folder)) == entry["unpacked"])
    path = folder / remote.name
    if path.is_file() and digests(path)["sha256"] != entry["sha256"]:
        raise DownloadError(f"{path} has changed since it was downloaded; put it back, or delete it to get it again.")
    return path.is_file()


def _unpacked(remote: Remote, folder: Path) -> Path:
    return folder / Path(remote.name).stem


def _content(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".partial"]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _write(record: dict[str, Any], folder: Path) -> None:
    partial = folder / f"{RECORD}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / RECORD)
