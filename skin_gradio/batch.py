"""Many files -> rows as they finish. Memory does not grow with the number of files; `csv_rows` writes them down."""

import io
import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from skin_gradio.archives import Item, Place, is_litter, list_entries, refused
from skin_gradio.classifier import MODEL_FAILED, Classifier, Finding, Prior, UnusableAnswer
from skin_gradio.engines import OnnxEngine
from skin_gradio.images import Picture, UnusableImage, read_picture

THUMBNAIL_SIDE = 128
_NOTHING = np.empty(0, np.float32)
_log = logging.getLogger(__name__)


Status = Literal["ok", "doubted", "failed"]


@dataclass(frozen=True)
class Row:
    """What became of one file.

    `status` is ok or doubted, with a `finding` whose heatmaps and embedding are left out (empty arrays), or failed. A
    failed or doubted row has a `reason` for the user and its `code` in one word; several doubts have several.
    `thumbnail` is a JPEG of 128 x 128 px, some 3 KB, where the picture could be read and one was wanted, and `place` is
    where it lies.
    """

    file: str
    status: Status
    reason: str
    finding: Finding | None
    thumbnail: bytes | None
    code: str = ""
    place: Place | None = None


@dataclass(frozen=True)
class _Square:
    """A picture as the model takes it, uint8 (size, size, 3), and the shorter side of its original, pixels."""

    pixels: np.ndarray
    side: int


# A row so far and, unless it failed, its picture.
_Prepared: TypeAlias = tuple[Row, _Square | None]


def list_items(
    paths: Iterable[str | Path], names: Iterable[str] | None = None, leave_out: Collection[Path] = ()
) -> Iterator[Item]:
    """Yield what there is to classify, lazily and without reading any picture.

    A folder gives all files below it, sorted; a file whose name ends in .zip, there or by itself, gives its entries in
    the archive's order. What operating systems leave behind (`__MACOSX`, `._*`, `.DS_Store`, `Thumbs.db`) is passed
    over.

    Args:
        paths: files and folders.
        names: the names to show for them, one each; their own when None.
        leave_out: files that are passed over, as they stand behind `paths` (not resolved).
    """
    given = [Path(path) for path in paths]
    shown = [path.name or path.resolve().name for path in given] if names is None else list(names)
    for path, name in zip(given, shown, strict=True):
        if os.path.isdir(path):  # Path.is_dir raises for a name too long or a folder that may not be read
            yield from _folder_items(path, name, leave_out)
        elif path not in leave_out:
            yield from _file_items(path, name)


def count_items(
    paths: Iterable[str | Path], names: Iterable[str] | None = None, leave_out: Collection[Path] = ()
) -> int:
    """Return how many items `list_items` yields; archives and folders are listed, no picture is read."""
    return sum(1 for _ in list_items(paths, names, leave_out))


def _file_items(path: Path, name: str) -> Iterator[Item]:
    if is_litter(name):
        return
    if os.path.isfile(path) and ".zip" in (path.suffix.lower(), Path(name).suffix.lower()):
        yield from list_entries(path, name)
    else:
        yield Item(name, partial(Path, path), place=Place(path))


def _folder_items(folder: Path, name: str, leave_out: Collection[Path]) -> Iterator[Item]:
    pending = [folder]
    while pending:
        path = pending.pop()
        shown = "/".join((name, *path.relative_to(folder).parts))
        is_link = path != folder and os.path.islink(path)
        if is_link and not _leads_into(folder, path):
            yield refused(shown, "symlink", "This is a link that leads out of its folder.")
        elif path in leave_out:
            continue
        elif not os.path.isdir(path):
            yield from _file_items(path, shown)
        elif not is_link:  # a link's folder is listed where it is
            try:
                pending.extend(sorted(path.iterdir(), reverse=True))
            except OSError as error:
                yield refused(shown, "unreadable_file", f"The folder cannot be read: {error.strerror}.")


def _leads_into(folder: Path, link: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        return False


def classify_items(
    items: Iterable[Item],
    classifier: Classifier,
    prior: Prior = "collection",
    batch_size: int | None = None,
    workers: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    thumbnails: bool = True,
) -> Generator[Row, None, None]:
    """Yield a row for each item, in their order, as chunks of them finish.

    Each thread takes a chunk, decodes its pictures and runs the model on them, so that no core waits for another; at
    most `workers + 1` chunks are begun before their rows are asked for. Whatever goes wrong with a file is its row's
    reason; nothing ends a batch but its end, `cancelled` and closing the iterator, each of which also ends the threads.

    Args:
        items: what to classify; see `list_items`.
        classifier: the model.
        prior: the mix of cases that the probabilities are for.
        batch_size: pictures in a chunk and in its forward pass; as many as suit the engine when None.
        workers: threads; as many as there are cores, up to 8, when None.
        cancelled: asked by the threads before each picture; once it says True, no further chunk is begun.
        thumbnails: whether rows get one; without, their thumbnail is None.
    """
    waiting = iter(items)
    beside = classifier.beside_others()
    batch_size = batch_size or (1 if isinstance(beside.engine, OnnxEngine) else 8)
    workers = workers or min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, "batch")
    ahead: deque[Future[list[Row]]] = deque()

    def look_ahead() -> None:
        while len(ahead) <= workers and (chunk := list(itertools.islice(waiting, batch_size))):
            ahead.append(pool.submit(_rows_of, chunk, beside, prior, cancelled, thumbnails))

    try:
        look_ahead()
        while ahead:
            rows = ahead.popleft().result()
            if cancelled():
                return
            look_ahead()
            yield from rows
    finally:
        pool.shutdown(cancel_futures=True)


def _rows_of(
    chunk: list[Item], classifier: Classifier, prior: Prior, cancelled: Callable[[], bool], thumbnails: bool
) -> list[Row]:
    """Return a chunk's finished rows; none when the batch is cancelled meanwhile."""
    prepared: list[_Prepared] = []
    for item in chunk:
        if cancelled():
            return []
        prepared.append(_prepare(item, classifier.input_size, thumbnails))
    return list(_classified(prepared, classifier, prior))


def _prepare(item: Item, size: int, thumbnail: bool) -> _Prepared:
    """Return an item's row so far and, unless it failed, its picture of that size."""
    name = shown_name(item)
    if item.reason:
        return Row(name, "failed", str(item.reason), None, None, item.reason.code), None
    try:
        picture = read_picture(item.read())
        square = _Square(picture.resized(size), picture.shorter_side)
        small = _thumbnail(picture, square.pixels) if thumbnail else None
        return Row(name, "ok", "", None, small, place=item.place), square
    except UnusableImage as reason:
        return Row(name, "failed", str(reason), None, None, reason.code), None
    except Exception as error:  # one file must not end a batch
        _log.exception("%s could not be read", name)
        message = f"The file could not be read: unexpected {type(error).__name__}."
        return Row(name, "failed", message, None, None, "unexpected"), None


def shown_name(item: Item) -> str:
    """Return an item's name as its row has it: file systems allow what UTF-8 does not."""
    return item.name.encode("utf-8", "backslashreplace").decode("utf-8")


def _thumbnail(picture: Picture, pixels: np.ndarray) -> bytes:
    """Return a JPEG of a picture, from what the model gets of it where that is large enough."""
    buffer = io.BytesIO()
    if len(pixels) < THUMBNAIL_SIDE:
        small = Image.fromarray(picture.resized(THUMBNAIL_SIDE))
    else:
        small = Image.fromarray(pixels).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC)
    small.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _classified(chunk: list[_Prepared], classifier: Classifier, prior: Prior) -> Iterator[Row]:
    """Yield a chunk's finished rows, findings without the arrays that would fill the memory of a long batch."""
    findings = iter(_findings([square for _, square in chunk if square], classifier, prior))
    for row, square in chunk:
        if square is None:
            yield row
        elif finding := next(findings):
            probabilities = finding.probabilities.copy()
            kept = replace(finding, probabilities=probabilities, heatmaps=_NOTHING, embedding=_NOTHING)
            yield replace(row, finding=kept, **_doubted(finding))
        else:
            yield replace(row, status="failed", reason=MODEL_FAILED, code=UnusableAnswer.code)


def _doubted(finding: Finding) -> dict[str, Any]:
    """Return what a row says of its finding's doubts; nothing when there are none."""
    if not finding.doubts:
        return {}
    codes, reasons = (" ".join(parts) for parts in zip(*((d.code, d.message) for d in finding.doubts), strict=True))
    return {"status": "doubted", "reason": reasons, "code": codes}


def _findings(squares: list[_Square], classifier: Classifier, prior: Prior) -> Sequence[Finding | None]:
    """Return the finding of each picture, None where the model fails on it even alone."""
    if not squares:
        return []
    try:
        pictures = np.stack([square.pixels for square in squares])
        return classifier.classify(pictures, prior, [square.side for square in squares])
    except Exception:  # an engine may raise anything; the other pictures shall not pay for one
        if len(squares) == 1:
            _log.exception("the model failed on a picture")
            return [None]
        return [finding for square in squares for finding in _findings([square], classifier, prior)]
