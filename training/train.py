"""Train one experiment and export its model folder.

    python -m training.train mobilenet_v2 --help
    python -m training.train mobilenet_v2 --data ../ham10000

A run that was interrupted goes on where its last finished epoch left it; started again after its end it does nothing
but export.
"""

import csv
import importlib
import json
import os
import pkgutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import tyro

from skin_gradio import lesions
from training import experiments, ham10000
from training.command import UserError, run_command
from training.experiment import Backend, Experiment


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes; nothing here changes its result."""

    data: Path | None = None
    """HAM10000's folder in Kaggle's layout; HAM10000_DIR when not given."""
    output: Path = Path("runs")
    """Checkpoints and history go to OUTPUT/NAME, decoded pictures to OUTPUT/cache."""
    weights: Path = Path("weights")
    """The model folder is exported to WEIGHTS/NAME."""
    backend: Backend = "tensorflow"
    """Keras' backend: tensorflow on a CPU, jax on a GPU (unless KERAS_BACKEND says otherwise)."""
    fresh: bool = False
    """Forget an earlier run of this name instead of going on with it."""


@dataclass(frozen=True)
class TrainCommand:
    """Train one experiment; every option of the experiment can be set."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)


@dataclass
class Progress:
    """What a run has reached; it names the files that belong to it and is written last, so it is never half true."""

    fingerprint: str
    epoch: int = 0
    state_file: str = ""
    best_file: str = ""
    best_score: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


class ResumeError(UserError):
    """The folder holds a run of another experiment or other data."""


def load_experiments() -> dict[str, Experiment]:
    """Return every experiment under `training/experiments/` by name."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    return {name: importlib.import_module(f"training.experiments.{name}").EXPERIMENT for name in sorted(names)}


def fit(
    experiment: Experiment,
    pictures: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    codes: tuple[str, ...],
    folder: Path,
    data_fingerprint: str,
) -> Progress:
    """Train, or go on training, in `folder` and return the progress made.

    Args:
        experiment: what to train.
        pictures: `train` and `validation`, uint8 (n, side, side, 3).
        labels: the same parts, int (n,) positions in `codes`.
        codes: class order.
        folder: takes `progress.json`, `history.csv` and the weights of the last and the best epoch.
        data_fingerprint: names the data in the record.

    Raises ResumeError when `folder` holds another run.
    """
    import keras

    from training import batches, networks

    folder.mkdir(parents=True, exist_ok=True)
    progress = read_progress(folder) or Progress(_fingerprint(experiment, data_fingerprint))
    if progress.fingerprint != _fingerprint(experiment, data_fingerprint):
        raise ResumeError(f"{folder} holds a run of another experiment or other data; use --fresh to replace it.")
    keras.utils.set_random_seed(experiment.seed)
    model = networks.build(
        experiment.network, len(codes), experiment.hidden_units, experiment.dropout, experiment.start
    )
    shares = batches.class_frequencies(labels["train"], len(codes), experiment.sampling_power)
    model.compile(optimizer=_optimizer(experiment), loss=_loss(experiment, shares), metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    for stage, first, end in experiment.stage_bounds():
        if progress.epoch >= end:
            continue
        if progress.epoch == first:  # scores at another picture size are not comparable
            progress.best_score, progress.best_epoch = -1.0, -1
        # Also between stages: fit() ends by overwriting the weights with their average, a resumed run must not differ.
        if progress.state_file:
            model.load_weights(folder / progress.state_file)
        # Where a stage stopped early the schedule goes on with the next stage, not behind it.
        model.optimizer.iterations.assign(progress.epoch * experiment.steps_per_epoch)
        epochs = range(max(first, progress.epoch), end)
        source = _training_batches(experiment, pictures["train"], labels["train"], len(codes), stage.size, epochs)
        validation = batches.resize_all(pictures["validation"], stage.size)
        callback = _epoch_end(experiment, progress, folder, stage.size, end, validation, labels["validation"])
        model.fit(
            source,
            initial_epoch=epochs.start,
            epochs=end,
            steps_per_epoch=experiment.steps_per_epoch,
            callbacks=[callback],
            shuffle=False,
            verbose=0,
        )
    return progress


def _training_batches(
    experiment: Experiment, pictures: np.ndarray, labels: np.ndarray, classes: int, size: int, epochs: range
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield these epochs' batches in order, made ahead on two threads.

    Epoch and step alone decide what a batch holds, so a resumed run sees what an unbroken one would have seen.
    """
    from training import batches

    augment = batches.Augmenter(experiment.augmentation)

    def make(epoch: int, step: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([experiment.seed, epoch, step])
        varied = np.stack([augment(pictures[position], size, rng) for position in chosen])
        return varied, np.eye(classes, dtype=np.float32)[labels[chosen]]

    def plan() -> Iterator[tuple[int, int, np.ndarray]]:
        for epoch in epochs:
            rng = np.random.default_rng([experiment.seed, epoch])
            count = experiment.steps_per_epoch * experiment.batch_size
            order = batches.draw(labels, classes, experiment.sampling_power, count, rng)
            for step, chosen in enumerate(np.split(order, experiment.steps_per_epoch)):
                yield epoch, step, chosen

    with ThreadPoolExecutor(2) as pool:
        ahead: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
        for arguments in plan():
            ahead.append(pool.submit(make, *arguments))
            if len(ahead) > 8:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _epoch_end(
    experiment: Experiment,
    progress: Progress,
    folder: Path,
    size: int,
    stage_end: int,
    validation: np.ndarray,
    labels: np.ndarray,
) -> Any:
    import keras

    from training import metrics

    class EpochEnd(keras.callbacks.Callback):
        """Validates the averaged weights, saves the state and the stage's best epoch, and ends a stage early."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()
            # Weights files leave out the state of dropout's generators; set here, a resumed run has the same.
            for variable in self.model.non_trainable_variables:
                if variable.path.endswith("seed_generator_state"):
                    variable.assign(np.array([experiment.seed, epoch], "uint32"))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            model = self.model
            state_file = f"state-{epoch + 1}.weights.h5"
            _write(folder / state_file, model.save_weights)
            raw = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
            model.optimizer.finalize_variable_values(model.trainable_variables)
            for variable in model.trainable_variables:
                # JAX shares one buffer between the variable and its average now, and predict() would give it away.
                variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
            logits = model.predict(validation, batch_size=64, verbose=0)
            probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            predicted = logits.argmax(axis=1)
            score = metrics.balanced_accuracy(labels, predicted, logits.shape[1])
            if score > progress.best_score:
                progress.best_score, progress.best_epoch = score, epoch
                progress.best_file = f"best-{epoch + 1}.weights.h5"
                _write(folder / progress.best_file, model.save_weights)
            for variable, value in zip(model.trainable_variables, raw, strict=True):
                variable.assign(value)
            model.stop_training = epoch - progress.best_epoch >= experiment.patience
            progress.epoch, progress.state_file = stage_end if model.stop_training else epoch + 1, state_file
            progress.history.append(
                {
                    "epoch": epoch + 1,
                    "size": size,
                    "learning_rate": float(model.optimizer.learning_rate),
                    "loss": float(logs["loss"]),
                    "accuracy": float(logs["accuracy"]),
                    "validation_accuracy": float((predicted == labels).mean()),
                    "validation_balanced_accuracy": score,
                    "validation_macro_auroc": metrics.macro_auroc(labels, probabilities),
                    "seconds": time.perf_counter() - self.started,
                }
            )
            write_progress(folder, progress)
            row = progress.history[-1]
            print(
                f"epoch {epoch + 1}/{experiment.epochs}  {size} px  loss {row['loss']:.3f}"
                f"  validation BACC {score:.3f} (best {progress.best_score:.3f})"
                f"  macro AUROC {row['validation_macro_auroc']:.3f}  {row['seconds']:.0f} s",
                flush=True,
            )

    return EpochEnd()


def _optimizer(experiment: Experiment) -> Any:
    import keras

    steps = experiment.epochs * experiment.steps_per_epoch
    warmup = min(experiment.warmup_steps, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=experiment.peak_learning_rate,
        warmup_steps=warmup,
        decay_steps=max(steps - warmup, 1),
        alpha=experiment.final_learning_rate,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=experiment.weight_decay,
        use_ema=True,
        ema_momentum=experiment.weight_average,
        ema_overwrite_frequency=None,
    )


def _loss(experiment: Experiment, shares: np.ndarray) -> Any:
    import keras

    offset = np.log(np.maximum(shares, 1e-9)).astype(np.float32) if experiment.logit_adjustment else np.float32(0)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=experiment.label_smoothing)

    def logit_adjusted_cross_entropy(truth: Any, logits: Any) -> Any:
        return entropy(truth, logits + offset)

    return logit_adjusted_cross_entropy


def _fingerprint(experiment: Experiment, data_fingerprint: str) -> str:
    return json.dumps([experiment.as_dict(), data_fingerprint], sort_keys=True)


def _write(path: Path, save: Any) -> None:
    """Save under another name first, so that a file of this name is always whole."""
    partial = path.with_name(f"partial-{path.name}")
    save(partial)
    partial.replace(path)


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


def export_best(
    experiment: Experiment,
    index: pd.DataFrame,
    pictures: np.ndarray,
    labels: np.ndarray,
    progress: Progress,
    run_folder: Path,
    folder: Path,
) -> None:
    """Calibrate a run's best epoch on the validation split and write its model folder.

    Args:
        experiment: what was trained.
        index: the data set's index with its split.
        pictures: uint8 (n, side, side, 3), in the index' order.
        labels: int (n,), likewise.
        progress: the run's.
        run_folder: where the run keeps its weights.
        folder: the model folder to write.
    """
    from training import batches, export, networks

    model = networks.build(
        experiment.network, len(lesions.CODES), experiment.hidden_units, experiment.dropout, start="random"
    )
    # The file holds the optimizer's state as well, which a model without one passes over.
    model.load_weights(run_folder / progress.best_file)
    validation = np.flatnonzero(index["split"] == "validation")
    shown = batches.resize_all(pictures[validation], experiment.input_size)
    counts = np.bincount(labels[index["split"] == "train"], minlength=len(lesions.CODES))
    record = {
        "data_fingerprint": ham10000.fingerprint(index),
        "collections": ["HAM10000"],
        "epochs_run": len(progress.history),
        "best_epoch": progress.best_epoch + 1,
        "validation_balanced_accuracy": progress.best_score,
        "seconds": sum(row["seconds"] for row in progress.history),
        "hardware": f"{os.cpu_count()} CPU cores" if not _gpus() else ", ".join(_gpus()),
        "history": progress.history,
    }
    logits = model.predict(shown, batch_size=64, verbose=0)
    export.export_folder(
        model, experiment, lesions.CODES, counts / counts.sum(), logits, labels[validation], record, folder
    )


def _gpus() -> list[str]:
    import keras

    return [str(device) for device in keras.distribution.list_devices("gpu")]


def load_data(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    """Return HAM10000's index with its split, and its pictures, uint8 (n, 256, 256, 3), in the same order."""
    from training import batches

    index = ham10000.load(ham10000.folder(run.data))
    return index, batches.decode_cached(list(index["path"]), run.output / "cache")


def main() -> None:
    """Run the command line."""
    configs = {name: (e.name, TrainCommand(e)) for name, e in load_experiments().items()}
    command = tyro.extras.overridable_config_cli(configs)
    os.environ.setdefault("KERAS_BACKEND", command.run.backend)
    experiment, run = command.experiment, command.run
    folder = run.output / experiment.name
    if run.fresh:
        for file in [*folder.glob("*.weights.h5"), folder / "progress.json"]:
            file.unlink(missing_ok=True)
    index, pictures = load_data(run)
    labels = index["dx"].map(lesions.CODES.index).to_numpy()
    parts = {part: np.flatnonzero(index["split"] == part) for part in ("train", "validation")}
    progress = fit(
        experiment,
        {part: pictures[rows] for part, rows in parts.items()},
        {part: labels[rows] for part, rows in parts.items()},
        lesions.CODES,
        folder,
        ham10000.fingerprint(index),
    )
    print(f"best epoch {progress.best_epoch + 1}: validation BACC {progress.best_score:.3f}")
    export_best(experiment, index, pictures, labels, progress, folder, run.weights / experiment.name)
    print(f"model folder written: {run.weights / experiment.name}; measure it with python -m training.evaluate")


if __name__ == "__main__":
    run_command(main)
