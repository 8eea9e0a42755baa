"""Pictures decoded once, then batches of varied ones. No TensorFlow in the input path."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

from skin_gradio.images import Picture
from training import augment
from training.collection import read_training_picture
from training.experiment import Experiment

CACHE_SIDE = 256
MASKED = -1e9
"""What is added to the logit of a class that a picture's collection does not hold: it leaves the softmax."""
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def decode(
    paths: Sequence[Path],
    side: int = CACHE_SIDE,
    report: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the pictures as uint8 (n, side, side, 3), in order.

    Args:
        paths: the files.
        side: of the decoded pictures.
        report: told how many more are done.

    Raises DatasetError that names a picture which cannot be read.
    """
    pictures = np.empty((len(paths), side, side, 3), np.uint8)

    def one(position: int) -> None:
        pictures[position] = read_training_picture(paths[position]).resized(side)
        if report:
            report(1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(len(paths))))
    return pictures


def decode_cached(
    paths: Sequence[Path], cache: Path, side: int = CACHE_SIDE, report: Callable[[int], None] | None = None
) -> np.ndarray:
    """Like `decode`, kept in a file under `cache` that later runs map into memory.

    The file's name holds a hash of the pictures' names, sizes and times, so that a changed picture is decoded again.
    One process at a time decodes into a cache; others that want the same pictures wait for it. What a killed one left
    half-written is deleted by the next.
    """
    stamp = hashlib.sha256(str(side).encode())
    for path in paths:
        stat = path.stat()
        stamp.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    file = cache / f"pictures-{side}-{stamp.hexdigest()[:16]}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / ".lock"):
            for stale in cache.glob("*.partial"):  # whoever writes one holds the lock
                stale.unlink(missing_ok=True)
            if not file.exists():
                _write_decoded(paths, file, side, report)
    return np.asarray(np.load(file, mmap_mode="r"))


def _write_decoded(paths: Sequence[Path], file: Path, side: int, report: Callable[[int], None] | None) -> None:
    """Decode the pictures into a .npy file, some at a time; it gets its name when it is whole."""
    partial = file.with_suffix(".partial")
    try:
        with partial.open("wb") as handle:
            shape = (len(paths), side, side, 3)
            np.lib.format.write_array_header_1_0(handle, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for first in range(0, len(paths), 512):
                handle.write(decode(paths[first : first + 512], side, report).data)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def resize_all(pictures: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return uint8 (n, size, size, 3): the resize that uploads get, on square pictures decoded before."""
    return np.stack([Picture(np.asarray(p), len(p), len(p), "", 1).resized(size) for p in pictures])


@dataclass(frozen=True)
class Examples:
    """Labelled pictures of one or more collections."""

    pictures: Sequence[np.ndarray]
    """n of uint8 (side, side, 3), in memory or mapped from a cache."""
    labels: np.ndarray
    """int (n,), places in the task's classes."""
    sources: np.ndarray
    """int (n,), the collection of each picture: a row of `held`."""
    held: np.ndarray
    """bool (collections, classes): the classes that each collection holds."""
    taught: np.ndarray | None = None
    """float32 (n, classes), a teacher's logits at equal priors (`training.teacher`); None without a teacher."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Examples":
        """Return the examples at these positions, int (k,), repetitions allowed."""
        taught = None if self.taught is None else self.taught[rows]
        return Examples([self.pictures[row] for row in rows], self.labels[rows], self.sources[rows], self.held, taught)


def class_shares(examples: Examples, power: float) -> np.ndarray:
    """Return float (collections, classes): the share of a collection's draws that each class gets.

    It is the class' count in the collection to `power`, normalised over the collection.
    """
    collections, classes = examples.held.shape
    counts = np.bincount(examples.sources * classes + examples.labels, minlength=collections * classes)
    counts = counts.reshape(collections, classes).astype(float)
    shares = np.where(counts > 0, counts**power, 0.0)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


def adjustment(examples: Examples, experiment: Experiment) -> np.ndarray:
    """Return float32 (collections, classes): what the loss adds to the logits of a collection's pictures.

    The log of the sampled class frequencies of the collection itself (logit adjustment), and MASKED for classes that it
    does not hold: they are unknown there, not wrong, so the loss neither lowers nor raises them.
    """
    shares = class_shares(examples, experiment.sampling_power)
    added = np.log(np.maximum(shares, 1e-9)) if experiment.logit_adjustment else np.zeros_like(shares)
    return np.where(examples.held, added, MASKED).astype(np.float32)


def draw(cells: np.ndarray, shares: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return int (count,) positions of an epoch's pictures, in random order.

    Within a cell every picture is drawn equally often, give or take one (systematic sampling).

    Args:
        cells: int (n,), the cell of each picture: a class of a collection.
        shares: float (cells,), the share of draws that each gets.
        count: pictures of the epoch.
        rng: source of chance.
    """
    per_cell = np.maximum(np.bincount(cells, minlength=len(shares)), 1)
    order = rng.permutation(len(cells))
    expected = (shares / per_cell)[cells[order]] * count
    ticks = np.floor(np.cumsum(expected) + rng.random()).astype(int)
    times = np.diff(ticks, prepend=0)
    drawn = np.repeat(order, times)
    drawn = np.concatenate([drawn, rng.choice(order, max(0, count - len(drawn)))])[:count]
    return rng.permutation(drawn)


def _softened(examples: Examples, experiment: Experiment) -> np.ndarray:
    """Return the teacher's probabilities at the experiment's temperature, float (n, classes); (n, 0) without one."""
    if not experiment.teacher:
        return np.empty((len(examples), 0))
    if examples.taught is None:
        raise ValueError("The experiment has a teacher, but the examples lack its answers; see training.teacher.")
    logits = examples.taught / experiment.teacher_temperature
    likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(likelihood / likelihood.sum(axis=1, keepdims=True))


def training_batches(
    experiment: Experiment, examples: Examples, size: int, epochs: range, shard: slice = slice(None)
) -> Iterator[Batch]:
    """Yield these epochs' batches in order, made ahead on threads.

    A batch is pictures, uint8 (n, size, size, 3); targets, float32 (n, 2 * classes): the label's distribution, then
    what the loss adds to the logits, and with a teacher (n, 3 * classes): its answers at the experiment's temperature
    as well; and the weight of each picture, float32 (n,). Epoch and step alone decide what a batch holds, so a resumed
    run sees what an unbroken one would have seen.

    Args:
        experiment: says what is drawn and how it is varied.
        examples: the training part.
        size: side of the pictures.
        epochs: the epochs' numbers.
        shard: the part of each batch that is wanted, where several processes share the work.

    Raises ValueError where the experiment has a teacher and the examples lack its answers.
    """
    collections, classes = examples.held.shape
    augmenter = augment.Augmenter(experiment.augmentation)
    shares, added = class_shares(examples, experiment.sampling_power), adjustment(examples, experiment)
    portions = np.array(experiment.collection_shares or np.bincount(examples.sources, minlength=collections), float)
    weights = np.divide(1, examples.held.sum(1, keepdims=True) * shares, out=np.ones_like(shares), where=shares > 0)
    smooth = examples.held / examples.held.sum(axis=1, keepdims=True)
    softened = _softened(examples, experiment)

    def make(epoch: int, step: int, chosen: np.ndarray) -> Batch:
        # One generator a picture: it is varied alike whichever process of several makes it.
        places = range(len(chosen))[shard]
        rngs = [np.random.default_rng([experiment.seed, epoch, step, place]) for place in places]
        chosen = chosen[shard]
        varied = np.stack([augmenter(examples.pictures[row], size, rng) for row, rng in zip(chosen, rngs, strict=True)])
        labels, sources = examples.labels[chosen], examples.sources[chosen]
        truth = (1 - experiment.label_smoothing) * np.eye(classes)[labels]
        truth += experiment.label_smoothing * smooth[sources]
        said = softened[chosen]
        varied, mixed = augment.mix(varied, np.concatenate([truth, said], axis=1), sources, experiment, rngs[0])
        truth, said = mixed[:, :classes], mixed[:, classes:]
        targets = np.concatenate([truth, added[sources], said], axis=1).astype(np.float32)
        weight = weights[sources, labels] if experiment.class_weights else np.ones(len(chosen))
        return varied, targets, weight.astype(np.float32)

    def plan() -> Iterator[tuple[int, int, np.ndarray]]:
        cells = examples.sources * classes + examples.labels
        cell_shares = (portions / portions.sum())[:, None] * shares
        for epoch in epochs:
            rng = np.random.default_rng([experiment.seed, epoch])
            count = experiment.steps_per_epoch * experiment.batch_size
            order = draw(cells, cell_shares.ravel(), count, rng)
            for step, chosen in enumerate(np.split(order, experiment.steps_per_epoch)):
                yield epoch, step, chosen

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Batch]] = deque()
        for arguments in plan():
            ahead.append(pool.submit(make, *arguments))
            if len(ahead) > 4 + 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
