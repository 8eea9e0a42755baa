"""A zip archive -> its entries as items of a batch, or a named reason why not. Nothing is ever unpacked to disk."""

import contextlib
import io
import re
import stat
import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from skin_gradio import images
from skin_gradio.images import UnusableImage

MAX_ENTRIES = 50_000
# ZipFile reads an archive's directory at once; that of 50,000 entries with long names has some 10 MB.
MAX_DIRECTORY_BYTES = 16_000_000
# Pictures hardly shrink in an archive: an entry that inflates further, and past the first bytes, is a bomb.
MAX_RATIO = 200
FREE_BYTES = 1_000_000
_CHUNK_BYTES = 1_000_000
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800
_LITTER = {".ds_store", "thumbs.db"}


class Place(NamedTuple):
    """Where a picture lies: a file; for one inside an archive also its position in the archive's list, from 0."""

    path: Path
    entry: int | None = None

    def read(self) -> Path | bytes:
        """Return the file's path or the entry's bytes. Raises UnusableImage when the archive cannot be read."""
        return self.path if self.entry is None else read_entry(open_archive(self.path), self.entry)


@dataclass(frozen=True)
class Item:
    """One file of a batch: the name to show, and `read`, which gives its path or its bytes when its turn comes.

    An item that is refused already has a `reason`; it is not read. `read` may raise UnusableImage. `place` is for those
    who want to read it again later.
    """

    name: str
    read: Callable[[], str | Path | bytes]
    reason: UnusableImage | None = None
    place: Place | None = None


def refused(name: str, code: str, message: str) -> Item:
    """Return an item that is refused for a reason."""
    return Item(name, bytes, UnusableImage(code, message))


def is_litter(name: str) -> bool:
    """Say whether a file is one that operating systems leave behind, which nobody means to classify."""
    *folders, base = name.replace("\\", "/").split("/")
    return "__MACOSX" in folders or base.startswith("._") or base.lower() in _LITTER


def list_entries(path: Path, name: str) -> Iterator[Item]:
    """Yield an archive's files in its order, named `name/entry`; directories and litter are passed over.

    The archive stays open until the last of its items is forgotten. Reading items from several threads is safe. What
    is wrong with an entry, or with the archive as a whole, becomes a refused item; nothing is raised.

    Codes beyond those of UnusableImage: unsafe_path, symlink, encrypted, nested_zip, zip_bomb, too_many_entries,
    unsupported_compression.
    """
    try:
        archive = open_archive(path)
    except UnusableImage as reason:
        yield Item(name, bytes, reason)
        return
    found = False
    for number, entry in enumerate(archive.infolist()):
        entry_name = _name(entry)
        if entry_name.endswith(("/", "\\")) or is_litter(entry_name):
            continue
        found = True
        shown = f"{name}/{entry_name}"
        refusal = _refusal(entry_name, entry)
        if refusal:
            yield refused(shown, *refusal)
        else:
            yield Item(shown, partial(_read, archive, entry), place=Place(path, number))
    if not found:
        yield refused(name, "empty", "The archive holds no files.")


def read_entry(archive: zipfile.ZipFile, number: int) -> bytes:
    """Return the bytes of the archive's entry with this number, from 0.

    Raises UnusableImage when there is no such entry, or when it may not or cannot be read.
    """
    if not 0 <= number < len(archive.infolist()):
        raise UnusableImage("damaged", "The archive has changed: this file is no longer in it.")
    entry = archive.infolist()[number]
    if refusal := _refusal(_name(entry), entry):
        raise UnusableImage(*refusal)
    return _read(archive, entry)


class _ArchiveFile(io.BufferedReader):
    """A file that refuses to read an archive's directory of any size into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise _too_many_entries()
        return super().read(size)


def open_archive(path: Path) -> zipfile.ZipFile:
    """Return an open archive, which is closed when it is forgotten.

    Raises UnusableImage for one that is damaged, a bomb, or has too many entries.
    """
    try:
        handle = _ArchiveFile(io.FileIO(path))
    except OSError as error:
        raise UnusableImage("unreadable_file", f"The archive cannot be read: {error.strerror}.") from None
    try:
        archive = zipfile.ZipFile(handle)
        _check(archive, path.stat().st_size)
    except UnusableImage:
        handle.close()
        raise
    except Exception:  # zipfile raises nearly anything on a damaged archive
        handle.close()
        raise UnusableImage("damaged", "The archive is damaged or cut off; its list of files cannot be read.") from None
    weakref.finalize(archive, handle.close)
    return archive


def _check(archive: zipfile.ZipFile, size: int) -> None:
    if len(archive.infolist()) > MAX_ENTRIES:
        raise _too_many_entries()
    # Entries that share their compressed bytes make a bomb out of a small archive (Fifield, WOOT 2019).
    if sum(entry.compress_size for entry in archive.infolist()) > size:
        raise UnusableImage("zip_bomb", "The archive is refused: its entries overlap, as those of a zip bomb do.")


def _name(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name. Many programs write UTF-8 without the flag that says so; zipfile then reads CP437."""
    if not entry.flag_bits & _UTF8_NAME:
        with contextlib.suppress(UnicodeError):
            return entry.orig_filename.encode("cp437").decode("utf-8")
    return entry.orig_filename


def _refusal(name: str, entry: zipfile.ZipInfo) -> tuple[str, str] | None:
    """Return the code and message of what the archive's directory already tells against an entry."""
    if name.startswith("/") or ".." in name.split("/") or re.search(r"^[A-Za-z]:|[\\\x00]", name):
        return "unsafe_path", "Its path leads out of the archive, or is no plain relative path."
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "symlink", "This is a link to another file, not a picture."
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted", "The file is encrypted; unpack the archive with its password first."
    if name.lower().endswith(".zip"):
        return _NESTED
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "unsupported_compression", "The file is compressed by a method that is not supported; use plain zip."
    return _too_long(entry, entry.file_size)


def _too_long(entry: zipfile.ZipInfo, size: int) -> tuple[str, str] | None:
    """Return the code and message for an entry of `size` bytes that is a bomb or too large, else None."""
    if size > FREE_BYTES and size > MAX_RATIO * entry.compress_size:
        return "zip_bomb", f"The file is refused: it unpacks to over {MAX_RATIO} times its size, as a zip bomb does."
    if size > images.MAX_FILE_BYTES:
        return "file_too_large", f"The file has more than {images.MAX_FILE_BYTES / 1e6:.0f} MB."
    return None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return an entry's bytes, counted while they are inflated: the directory's sizes may lie."""
    data = bytearray()
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                data += chunk
                if refusal := _too_long(entry, len(data)):
                    raise UnusableImage(*refusal)
    except UnusableImage:
        raise
    except NotImplementedError:
        raise UnusableImage(
            "unsupported_compression", "The file is compressed in a way that is not supported."
        ) from None
    except Exception:  # zipfile and zlib raise nearly anything on a damaged entry
        raise UnusableImage("damaged", "The archive is damaged: this file cannot be unpacked from it.") from None
    if data.startswith(b"PK\x03\x04"):
        raise UnusableImage(*_NESTED)
    return bytes(data)


_NESTED = ("nested_zip", "An archive inside an archive is not opened; unpack the outer one first.")


def _too_many_entries() -> UnusableImage:
    return UnusableImage("too_many_entries", f"The archive lists more than {MAX_ENTRIES:,} files; split it.")
