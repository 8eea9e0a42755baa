"""Train one experiment and export its model folder.

    python -m training.train mobilenet_v2_ham10000 --help
    python -m training.train mobilenet_v2_ham10000 --peak-learning-rate 3e-4 --name my_mobilenet

A run that was interrupted goes on where its last finished epoch left it; started again after its end it does nothing
but export.
"""

import importlib
import json
import os
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from skin_gradio import lesions
from training import experiments
from training.command import UserError, run_command
from training.experiment import Backend, Experiment, complete

if TYPE_CHECKING:
    from training.batches import Examples
    from training.fit import Progress


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes; nothing here changes its result."""

    data: Path | None = None
    """Folder that holds the collections' folders; else HAM10000_DIR and the like, else `data`."""
    output: Path = Path("runs")
    """Checkpoints and history go to OUTPUT/NAME, decoded pictures to OUTPUT/cache."""
    weights: Path = Path("weights")
    """The model folder is exported to WEIGHTS/NAME."""
    backend: Backend = "tensorflow"
    """Keras' backend: tensorflow on a CPU, jax on a GPU (unless KERAS_BACKEND says otherwise)."""
    devices: int = 1
    """Devices that share every batch, of each process; 0 takes all. More than one want the JAX backend and a batch size
    that their number divides. For several hosts see `training.distribution`."""
    fresh: bool = False
    """Forget an earlier run of this name instead of going on with it; a model that another experiment made is replaced
    as well."""
    tensorboard: bool = False
    """Also write event files for TensorBoard to OUTPUT/NAME/tensorboard."""


@dataclass(frozen=True)
class TrainCommand:
    """Train one experiment; every option of the experiment can be set."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)


def load_experiments() -> dict[str, Experiment]:
    """Return every experiment under `training/experiments/` by name."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    return {name: importlib.import_module(f"training.experiments.{name}").EXPERIMENT for name in sorted(names)}


def export_best(
    experiment: Experiment,
    codes: Sequence[str],
    train: "Examples",
    validation: "Mapping[str, Examples]",
    progress: "Progress",
    record: dict[str, Any],
    run_folder: Path,
    folder: Path,
) -> None:
    """Calibrate a run's best epoch on the validation pictures and write its model folder.

    The calibration sees every collection, each picture under its own collection's mix; operating points and prediction
    sets are chosen on the first collection's pictures.

    Args:
        experiment: what was trained.
        codes: the classes, in order.
        train: what it learned from; the first collection's mix becomes the prior.
        validation: collection -> validation pictures, in the experiment's order.
        progress: the run's.
        record: what the training record should hold besides.
        run_folder: where the run keeps its weights.
        folder: the model folder to write.
    """
    from training import batches, calibrate, export
    from training.fit import build

    model = build(experiment, len(codes), started=False)
    # The file holds the optimizer's state as well, which a model without one passes over.
    model.load_weights(run_folder / progress.best_file)
    logits = {
        name: model.predict(batches.resize_all(part.pictures, experiment.input_size), batch_size=64, verbose=0)
        for name, part in validation.items()
    }
    priors = batches.class_shares(train, power=1.0)
    labels = np.concatenate([part.labels for part in validation.values()])
    sources = np.concatenate([part.sources for part in validation.values()])
    calibration = calibrate.fit(np.concatenate(list(logits.values())), labels, priors[sources])
    first = next(iter(validation))
    # A class that only later collections hold counts as half a picture: a prior has no zeros.
    prior = np.maximum(priors[0], 0.5 / int((train.sources == 0).sum()))
    export.export_folder(
        model,
        experiment,
        codes,
        prior / prior.sum(),
        calibration,
        logits[first],
        validation[first].labels,
        {
            **record,
            "epochs_run": len(progress.history),
            "best_epoch": progress.best_epoch + 1,
            "validation_balanced_accuracy": progress.history[progress.best_row]["validation_balanced_accuracy"],
            "seconds": sum(row["seconds"] for row in progress.history),
            "hardware": f"{os.cpu_count()} CPU cores" if not _gpus() else ", ".join(_gpus()),
            "history": progress.history,
        },
        folder,
    )


def check_target(experiment: Experiment, folder: Path) -> None:
    """Raise UserError where the folder that is to be written holds a model that another experiment made."""
    file = folder / "model.json"
    if not file.is_file():
        return
    made = (json.loads(file.read_text(encoding="utf-8")).get("training") or {}).get("experiment") or {}
    apart = ("collections", "start", "teacher")  # recorded without their paths
    asked = {name: value for name, value in experiment.as_dict().items() if name not in apart}
    same = "stages" in made and asked == {name: value for name, value in complete(made).items() if name not in apart}
    if not same:
        raise UserError(
            f"{folder} holds a model that another experiment made; give this one a --name of its own, another --weights"
            " folder, or --fresh to replace that model."
        )


def untouched_score(
    experiment: Experiment, classes: int, tested: "Sequence[Examples]", weights: Path
) -> tuple[float, int]:
    """Return the BACC at equal priors of weights on pictures that no split let them see, and how many these are."""
    from training import batches, metrics
    from training.fit import build

    model = build(experiment, classes, started=False)
    model.load_weights(weights)
    answers = [
        model.predict(batches.resize_all(part.pictures, experiment.input_size), batch_size=64, verbose=0).argmax(axis=1)
        for part in tested
    ]
    labels = np.concatenate([part.labels for part in tested])
    return metrics.balanced_accuracy(labels, np.concatenate(answers), classes), len(labels)


def _gpus() -> list[str]:
    import keras

    return [device for device in keras.distribution.list_devices() if not device.startswith("cpu")]


def main() -> None:
    """Run the command line."""
    configs = {name: (e.name, TrainCommand(e)) for name, e in load_experiments().items()}
    try:
        command = tyro.extras.overridable_config_cli(configs)
    except ValueError as error:  # fields that do not go together
        raise UserError(str(error)) from error
    os.environ.setdefault("KERAS_BACKEND", command.run.backend)
    from training import calibrate, distribution, examples, provenance, refit, starting
    from training.fit import fit
    from training.teacher import find_teacher, marked, with_answers

    experiment, run = command.experiment, command.run
    distribution.start(run.devices, experiment.batch_size)
    first = distribution.is_first()
    folder = run.output / experiment.name
    if run.fresh and first:
        for file in [*folder.glob("*.weights.h5"), folder / "progress.json"]:
            file.unlink(missing_ok=True)
    collections = examples.load_collections(experiment, run.data)
    if experiment.split == "group" and not run.fresh:
        check_target(experiment, run.weights / experiment.name)
    codes = examples.classes(experiment, collections)
    teacher = find_teacher(experiment, codes)
    before = starting.learned_before(experiment.start)
    before += provenance.learned_from(teacher.card.get("training") or {}) if teacher else []
    side = examples.decoded_side(experiment)
    train, validation = examples.load_examples(collections, codes, run.output / "cache", side)
    calibrate.require_both(np.array(lesions.malignant_mask(codes))[next(iter(validation.values())).labels])
    if teacher:
        train = with_answers(train, teacher, experiment.teacher_views, run.output / "cache")
    fingerprint = examples.fingerprint(collections)
    if first:
        print(f"{len(train)} training pictures of {', '.join(c.title for c in collections)}", flush=True)
    learned = marked(fingerprint, teacher)
    progress = fit(experiment, codes, train, validation, folder, learned, tensorboard=run.tensorboard)
    distribution.stop()
    if not first:
        return
    best = progress.history[progress.best_row]
    print(f"best epoch {progress.best_epoch + 1}: validation BACC {best['validation_balanced_accuracy']:.3f}")
    if experiment.split != "group":
        tested = examples.load_part(collections, "test", codes, run.output / "cache", side)
        reached = untouched_score(experiment, len(codes), tested, folder / progress.best_file)
        print(
            f"That is a claim: this split puts the same lesion into training and validation. On {reached[1]} test"
            f" pictures, of lesions that it never saw, the same weights reach BACC {reached[0]:.3f}. No model folder."
        )
        return
    titles = [collection.title for collection in collections]
    # Names, not paths: a model folder is published, and where its owner keeps files is nobody's business.
    start = experiment.start if experiment.start in ("imagenet", "random") else Path(experiment.start).name
    shown, taught_by = tuple(one.name for one in collections), Path(experiment.teacher).name
    experiment = replace(experiment, collections=shown, start=start, teacher=taught_by)
    record: dict[str, Any] = {
        "data_fingerprint": fingerprint,
        "collections": titles,
        "learned_from": list(dict.fromkeys([*titles, *before])),
        "test_fingerprint": collections[0].test_fingerprint,
    }
    if teacher:
        record["teacher"] = {"name": teacher.name, "revision": teacher.revision}
    export_best(experiment, codes, train, validation, progress, record, folder, run.weights / experiment.name)
    refit.refit_folder(run.weights / experiment.name, collections)
    print(f"model folder written: {run.weights / experiment.name}; measure it with python -m training.evaluate")


if __name__ == "__main__":
    run_command(main)
