"""The training loop: Keras' fit with our batches, a state on disk after every epoch, and exact resuming."""

import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.batches import MASKED, Examples, adjustment, resize_all, training_batches
from training.calibrate import log_softmax
from training.command import UserError
from training.experiment import Experiment, Phase, complete

Row = dict[str, float]
_HDF5_BYTES = 4096  # what a weights file needs for each variable besides its numbers, at most
_SEEDS_APART = 65536  # between the seeds of two dropout layers, so that neighbouring experiment seeds do not meet


@dataclass
class Progress:
    """What a run has reached; it names the files that belong to it and is written last, so it is never half true."""

    fingerprint: str
    epoch: int = 0
    state_file: str = ""
    best_file: str = ""
    best_score: float = -np.inf
    best_epoch: int = -1
    history: list[Row] = field(default_factory=list)

    @property
    def best_row(self) -> int:
        """Place of the best epoch in the history, which lacks the epochs that early stopping left out."""
        return next(place for place, row in enumerate(self.history) if row["epoch"] == self.best_epoch + 1)


class ResumeError(UserError):
    """The folder holds a run of another experiment or other data."""


def fit(
    experiment: Experiment,
    codes: Sequence[str],
    train: Examples,
    validation: Mapping[str, Examples],
    folder: Path,
    data_fingerprint: str,
    on_epoch: Callable[[Row], None] | None = None,
    tensorboard: bool = False,
) -> Progress:
    """Train, or go on training, in `folder` and return the progress made.

    Args:
        experiment: what to train.
        codes: the classes, in order.
        train: the pictures to learn from.
        validation: collection -> pictures that the best epoch is chosen by.
        folder: takes `progress.json`, `history.csv` and the weights of the last and the best epoch.
        data_fingerprint: names the data in the record.
        on_epoch: called with each finished epoch's row of the history; what it raises ends the run.
        tensorboard: also write TensorBoard's event files to FOLDER/tensorboard.

    Raises ResumeError when `folder` holds another run.
    """
    import keras

    from training import distribution, starting

    folder.mkdir(parents=True, exist_ok=True)
    found = distribution.agreed(vars(read_progress(folder) or Progress(_fingerprint(experiment, data_fingerprint))))
    progress = Progress(**found)
    if not _is_of(progress.fingerprint, experiment, data_fingerprint):
        raise ResumeError(f"{folder} holds a run of another experiment or other data; use --fresh to replace it.")
    if progress.epoch >= experiment.epochs:
        return progress
    keras.utils.set_random_seed(experiment.seed)
    shipped = starting.shipped_model(experiment.start)
    # A finished model's weights are put in below, which takes training pictures.
    model = build(replace(experiment, start="random") if shipped else experiment, len(codes))
    if shipped and not progress.state_file:
        starting.continue_from(model, shipped, codes, train.pictures, experiment.stages[0].size)
    compiled_for = None
    for stage, first, end in experiment.stage_bounds():
        if progress.epoch >= end:
            continue
        if progress.epoch == first:  # scores at another picture size are not comparable
            progress.best_score, progress.best_epoch = -np.inf, -1
        # Also between stages: fit() ends by overwriting the weights with their average, a resumed run must not differ.
        # Before a phase's first epoch the file's optimizer is the last phase's: read before the new one is made.
        phase = experiment.phase(first)
        if progress.state_file and progress.epoch == phase.first:
            model.load_weights(folder / progress.state_file)
        if phase != compiled_for:
            compiled_for = phase
            compile_model(model, experiment, phase)
        if progress.state_file and progress.epoch > phase.first:
            model.load_weights(folder / progress.state_file)
        # Where a stage stopped early the schedule goes on with the next stage, not behind it.
        model.optimizer.iterations.assign((progress.epoch - phase.first) * experiment.steps_per_epoch)
        epochs = range(max(first, progress.epoch), end)
        callbacks = [_epoch_end(experiment, codes, progress, folder, stage.size, end, validation, train, on_epoch)]
        if tensorboard:
            # On all processes: it computes the learning rate from a variable of all their devices.
            events = folder / "tensorboard" if distribution.is_first() else tempfile.mkdtemp()
            callbacks.append(keras.callbacks.TensorBoard(str(events), update_freq="epoch"))
        model.fit(
            training_batches(experiment, train, stage.size, epochs, distribution.own_rows(experiment.batch_size)),
            initial_epoch=epochs.start,
            epochs=end,
            steps_per_epoch=experiment.steps_per_epoch,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    return progress


def build(experiment: Experiment, classes: int, started: bool = True) -> Any:
    """Return the experiment's network as it starts; with `started` false, of any weights, float32, skipping nothing."""
    import keras

    from training import networks

    keras.config.set_dtype_policy(experiment.precision if started else "float32")
    start, depth = (experiment.start, experiment.stochastic_depth) if started else ("random", 0.0)
    model = networks.build(experiment.network, classes, experiment.hidden_units, experiment.dropout, start, depth)
    keras.config.set_dtype_policy("float32")
    return model


def compile_model(model: Any, experiment: Experiment, phase: Phase) -> None:
    """Give a model the phase's trainable layers, and an optimizer, loss and metric that have seen nothing yet."""
    from training import networks

    networks.set_trainable(model, phase.trains, experiment.freeze_batch_norm)
    model.compile(optimizer=_optimizer(experiment, phase), loss=_loss(experiment), weighted_metrics=[_accuracy])
    model.optimizer.build(model.trainable_variables)


def _epoch_end(
    experiment: Experiment,
    codes: Sequence[str],
    progress: Progress,
    folder: Path,
    size: int,
    stage_end: int,
    validation: Mapping[str, Examples],
    train: Examples,
    on_epoch: Callable[[Row], None] | None,
) -> Any:
    import keras

    from training import distribution

    shown = {name: resize_all(part.pictures, size) for name, part in validation.items()}
    added = adjustment(train, experiment)

    class EpochEnd(keras.callbacks.Callback):
        """Validates the averaged weights, saves the state and the stage's best epoch, and ends a stage early."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.predict = distribution.predictor(self.model)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()
            # Weights files leave out the state of dropout's generators; set here, a resumed run has the same.
            # Each has its own, or every block of a network with stochastic depth would leave out the same pictures.
            variables = self.model.non_trainable_variables
            for place, state in enumerate(v for v in variables if v.path.endswith("seed_generator_state")):
                state.assign(np.array([experiment.seed + place * _SEEDS_APART, epoch], "uint32"))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            model = self.model
            state_file = f"state-{epoch + 1}.weights.h5"
            _write(folder / state_file, model)
            raw = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
            model.optimizer.finalize_variable_values(model.trainable_variables)
            for variable in model.trainable_variables:
                # JAX shares one buffer between the variable and its average now, and predict() would give it away.
                variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
            logits = {name: self.predict(part) for name, part in shown.items()}
            measured = validation_figures(logits, validation, added, codes)
            figure = measured[f"validation_{experiment.best_metric}"]
            score = distribution.agreed(-figure if experiment.best_metric == "loss" else figure)
            if score > progress.best_score:
                progress.best_score, progress.best_epoch = score, epoch
                progress.best_file = f"best-{epoch + 1}.weights.h5"
                _write(folder / progress.best_file, model)
            for variable, value in zip(model.trainable_variables, raw, strict=True):
                variable.assign(value)
            model.stop_training = epoch - progress.best_epoch >= experiment.patience
            progress.epoch, progress.state_file = stage_end if model.stop_training else epoch + 1, state_file
            row = {
                "epoch": epoch + 1,
                "size": size,
                "learning_rate": float(model.optimizer.learning_rate),
                "loss": float(logs["loss"]),
                "accuracy": float(logs["accuracy"]),
                **measured,
                "seconds": time.perf_counter() - self.started,
            }
            logs.update(measured)  # for TensorBoard, which comes after
            progress.history.append(row)
            if distribution.is_first():
                write_progress(folder, progress)
                print(
                    f"epoch {epoch + 1}/{experiment.epochs}  {size} px  loss {row['loss']:.3f}"
                    f"  validation BACC {row['validation_balanced_accuracy']:.3f}"
                    f"  macro AUROC {row['validation_macro_auroc']:.3f}"
                    f"  (best {experiment.best_metric} {abs(progress.best_score):.3f})  {row['seconds']:.0f} s",
                    flush=True,
                )
            distribution.wait_for_all("epoch written")  # the next stage reads it
            if on_epoch:
                on_epoch(row)

    return EpochEnd()


def validation_figures(
    logits: Mapping[str, np.ndarray], validation: Mapping[str, Examples], added: np.ndarray, codes: Sequence[str]
) -> Row:
    """Return the figures of an epoch: over all collections' pictures together, then each collection's BACC.

    Args:
        logits: collection -> float (n, classes), at equal priors.
        validation: collection -> its pictures.
        added: float (collections, classes), `training.batches.adjustment` of the training part.
        codes: the classes, in order.
    """
    from training import metrics

    together = np.concatenate(list(logits.values()))
    labels = np.concatenate([part.labels for part in validation.values()])
    sources = np.concatenate([part.sources for part in validation.values()])
    answers, classes = together.argmax(axis=1), together.shape[1]
    recalls = metrics.recalls(labels, answers, classes)
    expected = log_softmax(together + added[sources])[np.arange(len(labels)), labels]
    row = {
        "validation_loss": float(-expected.mean()),
        "validation_accuracy": float((answers == labels).mean()),
        "validation_balanced_accuracy": metrics.balanced_accuracy(labels, answers, classes),
        "validation_macro_auroc": metrics.macro_auroc(labels, np.exp(log_softmax(together))),
    }
    named = zip(codes, recalls, strict=True)
    row |= {f"validation_recall_{code}": float(recall) for code, recall in named if np.isfinite(recall)}
    if len(validation) > 1:
        for name, part in validation.items():
            score = metrics.balanced_accuracy(part.labels, logits[name].argmax(axis=1), classes)
            row[f"validation_balanced_accuracy_{name}"] = score
    return row


def _optimizer(experiment: Experiment, phase: Phase) -> Any:
    import keras

    steps = (phase.end - phase.first) * experiment.steps_per_epoch
    shared = {
        "weight_decay": experiment.weight_decay,
        "use_ema": True,
        "ema_momentum": experiment.weight_average,
        "ema_overwrite_frequency": None,
    }
    schedule = _schedule(experiment, phase.peak_learning_rate, steps)
    if experiment.optimizer == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, **shared)
    return keras.optimizers.AdamW(schedule, **shared)


def _schedule(experiment: Experiment, peak: float, steps: int) -> Any:
    import keras

    warmup = min(experiment.warmup_steps, steps // 2)
    end = 1.0 if experiment.schedule == "constant" else experiment.final_learning_rate
    if experiment.schedule != "linear":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=peak,
            warmup_steps=warmup,
            decay_steps=max(steps - warmup, 1),
            alpha=end,
        )
    straight = keras.optimizers.schedules.PolynomialDecay(peak, max(steps - warmup, 1), peak * end)

    class Warm(keras.optimizers.schedules.LearningRateSchedule):
        """Keras' linear decay, after a linear warm-up that only its cosine has built in."""

        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32")
            rising = peak * step / max(warmup, 1)
            return keras.ops.where(step < warmup, rising, straight(keras.ops.maximum(step - warmup, 0.0)))

    return Warm()


def _parts(truth: Any, logits: Any) -> tuple[Any, Any, Any]:
    """Return a batch's labels, what is added to its logits and what the teacher says, if there is one.

    See `training.batches.training_batches`.
    """
    classes = logits.shape[-1]
    return truth[:, :classes], truth[:, classes : 2 * classes], truth[:, 2 * classes :]


def _accuracy(truth: Any, logits: Any) -> Any:
    import keras

    labels, added, _ = _parts(truth, logits)
    held = keras.ops.where(added > MASKED / 2, logits, MASKED)
    return keras.metrics.categorical_accuracy(labels, held)


_accuracy.__name__ = "accuracy"  # Keras names the metric by it


def _loss(experiment: Experiment) -> Any:
    import keras

    if experiment.loss == "focal":
        entropy = keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=experiment.focal_gamma, from_logits=True, reduction=None
        )
    else:
        entropy = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)

    def logit_adjusted(truth: Any, logits: Any) -> Any:
        labels, added, _ = _parts(truth, logits)
        return entropy(labels, logits + added)

    share, temperature = experiment.teacher_share, experiment.teacher_temperature

    def taught(truth: Any, logits: Any) -> Any:
        """Hinton's loss. The teacher answers at equal priors and about every class, so nothing is added to the logits.

        The square of the temperature keeps the share of the gradient what it is whatever the temperature.
        """
        answers = _parts(truth, logits)[2]
        log_answers = keras.ops.log(keras.ops.maximum(answers, 1e-30))
        gap = keras.ops.sum(answers * (log_answers - keras.ops.log_softmax(logits / temperature)), axis=-1)
        return (1 - share) * logit_adjusted(truth, logits) + share * temperature**2 * gap

    return taught if experiment.teacher else logit_adjusted


def _fingerprint(experiment: Experiment, data_fingerprint: str) -> str:
    return json.dumps([experiment.as_dict(), data_fingerprint], sort_keys=True)


def _is_of(fingerprint: str, experiment: Experiment, data_fingerprint: str) -> bool:
    """Say whether a run's fingerprint is that of this experiment and data; fields it lacks had today's defaults."""
    recorded, data = json.loads(fingerprint)
    return bool(complete(recorded) == experiment.as_dict() and data == data_fingerprint)


def _write(path: Path, model: Any) -> None:
    """Save weights on process 0, under another name first, so that a file of this name is always whole.

    Raises OSError that names the file when the disk is full.
    """
    from training import distribution

    if distribution.is_first():
        partial = path.with_name(f"partial-{path.name}")
        variables = [*model.variables, *model.optimizer.variables]
        _claim(partial, sum(4 * int(np.prod(one.shape)) + _HDF5_BYTES for one in variables))
        with distribution.alone():
            model.save_weights(partial)
        partial.replace(path)


def _claim(path: Path, size: int) -> None:
    """Find out whether a file of so many bytes can be written: on a full disk HDF5 ends the process without a word."""
    if not hasattr(os, "posix_fallocate"):  # macOS and Windows
        return
    try:
        with path.open("wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def read_progress(folder: Path) -> Progress | None:
    """Return the progress of the run in a folder, or None where none has finished an epoch."""
    file = folder / "progress.json"
    return Progress(**json.loads(file.read_text())) if file.exists() else None


def write_progress(folder: Path, progress: Progress) -> None:
    """Write `progress.json` and `history.csv`, then delete weights that they no longer name."""
    partial = folder / "partial-progress.json"
    partial.write_text(json.dumps(vars(progress)))
    partial.replace(folder / "progress.json")
    with (folder / "history.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(progress.history[0]))
        writer.writeheader()
        writer.writerows(progress.history)
    for file in folder.glob("*.weights.h5"):
        if file.name not in (progress.state_file, progress.best_file):
            file.unlink()
