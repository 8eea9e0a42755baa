"""A teacher's answers to the training pictures, for distillation (Hinton, Vinyals & Dean, arXiv:1503.02531).

The teacher, any model folder, an average of several as well (`training.average`), answers each training picture once,
as it is, and the answers are kept: on a CPU, asking it anew about every varied picture would cost more than a small
student's own step. So the student sees a picture turned and coloured, and what the teacher says of it upright.

The soft part of the loss runs over all classes of the task, also for pictures of a collection that holds only some of
them, whereas their label leaves the others out (`training.batches.MASKED`). The two do not contradict each other. A
label says the same of every picture of such a collection, "none of the others", and its loss would push their logits
down for as long as it is trained: that is the trap of learning the camera. A teacher that was itself trained with the
mask has never been told so. It has an opinion on each picture, by how the picture looks, and the loss pulls towards the
odds that it gives and no further; without it the masked logits are held by nothing at all on that camera. What remains
of the trap is what the teacher has of it: look at the student with `training.robustness`, and at the teacher first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np

from skin_gradio.engines import Engine, open_engine
from skin_gradio.models import ModelFolder, find_model
from skin_gradio.views import all_views, balanced_logits
from training.batches import Examples, resize_all
from training.command import UserError
from training.experiment import Experiment

BATCH = 16
"""Pictures that are answered at once."""


class TeacherError(UserError):
    """The experiment's teacher cannot teach it."""


def find_teacher(experiment: Experiment, codes: tuple[str, ...]) -> ModelFolder | None:
    """Return the experiment's teacher; None where it has none.

    Raises ModelError where there is no such model, and TeacherError for one with other classes than `codes`.
    """
    if not experiment.teacher:
        return None
    model = find_model(experiment.teacher)
    if model.codes != codes:
        raise TeacherError(
            f"teacher {experiment.teacher} answers with {', '.join(model.codes)}; {experiment.name} learns"
            f" {', '.join(codes)}."
        )
    return model


def marked(fingerprint: str, teacher: ModelFolder | None) -> str:
    """Return the fingerprint of the data that a run learns from, its teacher's answers among them."""
    return f"{fingerprint}, taught by {teacher.revision}" if teacher else fingerprint


def with_answers(examples: Examples, teacher: ModelFolder, views: int, cache: Path) -> Examples:
    """Return training examples with what a teacher says of each, asked only where `cache` does not hold it.

    Args:
        examples: the training part.
        teacher: a model with the same classes.
        views: how many of a picture's eight views are averaged.
        cache: folder that keeps the answers, by the checksums of the model and of the pictures.
    """
    stamp = hashlib.blake2b(f"{teacher.card['sha256']['model.onnx']} {views}".encode(), digest_size=8)
    for picture in examples.pictures:
        stamp.update(np.ascontiguousarray(picture).data)
    file = cache / f"taught-{stamp.hexdigest()}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(file.with_suffix(".lock")):
        if not file.exists():
            _ask_about_all(teacher, examples.pictures, views, file)
    return replace(examples, taught=np.load(file))


def _ask_about_all(teacher: ModelFolder, pictures: Sequence[np.ndarray], views: int, file: Path) -> None:
    """Write a teacher's answers into a file, which gets its name when it is whole; a cut-off one is gone on with."""
    engine = open_engine(teacher, "onnx")
    begun, whole = file.with_suffix(".unfinished"), file.with_suffix(".partial.npy")
    row = np.dtype(np.float32).itemsize * len(teacher.codes)
    with begun.open("ab") as handle:
        first = handle.tell() // (BATCH * row) * BATCH
        handle.truncate(first * row)
        for start in range(first, len(pictures), BATCH):
            handle.write(asked(teacher, engine, pictures[start : start + BATCH], views).tobytes())
            handle.flush()
            if start % (32 * BATCH) == 0:
                print(f"{teacher.name} answers training picture {start + 1} of {len(pictures)}", flush=True)
    np.save(whole, np.fromfile(begun, np.float32).reshape(-1, len(teacher.codes)))
    whole.replace(file)
    begun.unlink()


def asked(teacher: ModelFolder, engine: Engine, pictures: Sequence[np.ndarray], views: int) -> np.ndarray:
    """Return a teacher's logits at equal priors, float32 (n, classes), means over the first of the eight views.

    Args:
        teacher: the model.
        engine: that runs it.
        pictures: n of uint8 (side, side, 3), square; each is resized to the teacher's input.
        views: how many views.
    """
    shown = np.stack([all_views(picture)[:views] for picture in resize_all(pictures, teacher.input_size)], axis=1)
    probabilities = np.stack([engine.run(np.ascontiguousarray(view)).probabilities for view in shown])
    return balanced_logits(probabilities, np.array(teacher.prior), "log_probabilities").astype(np.float32)
