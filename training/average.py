"""Join several finished models into one model folder that answers with their average.

    python -m training.average mobilenet_v2 runs/weights/densenet121 --name average
    python -m training.average mobilenet_v2 runs/weights/densenet121 --name average --fit-shares --half-precision
    python -m training.average mobilenet_v2 runs/weights/my_mobilenet --name between --of weights

The members' logits at equal priors are averaged (a geometric mean of what they say), and the average is calibrated on
validation pictures as a trained network is; input gate, eight views and prediction sets are fitted as well. The folder
is like any other: one graph of stock layers, one forward pass. It takes the size of its largest member, and shrinks the
picture for the others as an upload is shrunk. As a teacher (`--teacher` of `training.train`) it is one too.

Of models that went on from one start, the weights can be averaged instead (`--of weights`).
"""

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from skin_gradio import lesions
from skin_gradio.models import ModelFolder, find_model
from training import calibrate, collection, examples, metrics
from training.collection import Collection
from training.command import UserError, run_command
from training.experiment import Backend
from training.members import (
    Member,
    average_model,
    balanced_logits,
    in_half_precision,
    mean_of_weights,
    open_members,
    single_model,
)
from training.provenance import has_changed, is_first, learned_from, load_again, recorded_collections


class AverageError(UserError):
    """The models cannot be averaged as asked; the message says why."""


@dataclass(frozen=True)
class AverageCommand:
    """Join several models into one that answers with their average."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Two or more model folders, bundled models' names or Hub ids, all of the same classes. The first one's prior is
    the average's."""
    name: str
    """Name of the new model folder."""
    of: Literal["answers", "weights"] = "answers"
    """What is averaged. `weights` are those of models of one network that went on from one start (model soup, Wortsman
    et al., arXiv:2203.05482): the average is as small and as fast as one of them."""
    shares: tuple[float, ...] = ()
    """Weight of each model; all the same when not given."""
    fit_shares: bool = False
    """Choose the weights on the validation pictures instead."""
    on: tuple[str, ...] = ()
    """Collections whose validation pictures are used, first the one that the models' prior is from, which operating
    points are chosen on; those that the models learned from when not given. Pictures of your own are named by their
    path."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    weights: Path = Path("weights")
    """The model folder is written to WEIGHTS/NAME."""
    half_precision: bool = False
    """Store the weights as float16: files of half the size. They are rounded before anything is fitted to them."""
    backend: Backend = "tensorflow"
    """Keras' backend (unless KERAS_BACKEND says otherwise)."""


@dataclass(frozen=True)
class Seen:
    """What the members say of validation pictures, those of the first collection first.

    `logits` float (members, n, classes) at equal priors, `labels` int (n,), `mixes` float (n, classes) the mix of
    classes that each picture comes from, `first` how many pictures are the first collection's.
    """

    logits: np.ndarray
    labels: np.ndarray
    mixes: np.ndarray
    first: int


def find_members(names: Sequence[str]) -> list[ModelFolder]:
    """Return the models.

    Raises ModelError where there is no such model, and AverageError for fewer than two different ones, for other
    classes than the first one's, or for one that does not say what it learned from.
    """
    models = [find_model(name) for name in names]
    if len({model.revision for model in models}) < max(2, len(models)):
        raise AverageError("Name two or more different models.")
    for model in models:
        if model.codes != models[0].codes:
            raise AverageError(f"{model.name} does not have the classes of {models[0].name}.")
        if not recorded_collections(model.card):
            raise AverageError(f"{model.name} does not say in its model.json what it learned from.")
    if len({recorded_collections(model.card)[0] for model in models}) > 1:
        raise AverageError("The models' first collections differ, so no mix of diagnoses is that of all of them.")
    return models


def chosen_shares(command: AverageCommand) -> np.ndarray:
    """Return float (members,), the given or equal shares, sum 1. Raises AverageError where they make no sense."""
    shares = np.array(command.shares or [1.0] * len(command.models))
    if len(shares) != len(command.models) or not np.isfinite(shares).all() or (shares <= 0).any():
        raise AverageError(f"--shares wants one number above 0 for each of the {len(command.models)} models.")
    if command.fit_shares and (command.shares or command.of == "weights"):
        other = "--shares" if command.shares else "--of weights"
        raise AverageError(f"--fit-shares and {other} exclude each other.")
    return np.asarray(shares / shares.sum())


def look(members: Sequence[Member], sources: Sequence[Collection], codes: tuple[str, ...]) -> Seen:
    """Return what the members say of the collections' validation pictures.

    Raises DatasetError for a label that is none of `codes` and for a picture that cannot be read.
    """
    from training import batches

    size = max(member.size for member in members)
    logits, labels, mixes = [], [], []
    for source in sources:
        table = source.part("validation")
        logits.append(balanced_logits(members, batches.decode(list(table["path"]), size)))
        labels.append(collection.label_positions(source, table["label"], codes))
        mixes.append(np.tile(collection.class_mix(source, codes), (len(table), 1)))
    return Seen(np.concatenate(logits, axis=1), np.concatenate(labels), np.concatenate(mixes), len(labels[0]))


def described(
    command: AverageCommand,
    models: Sequence[ModelFolder],
    sources: Sequence[Collection],
    seen: Seen,
    logits: np.ndarray,
    shares: np.ndarray,
    calibration: calibrate.Calibration,
) -> dict[str, Any]:
    """Return the model.json of an average, without checksums and what `training.refit` adds.

    Operating points and prediction sets are chosen on the first collection's pictures, by `logits`, float (n, classes),
    which are the average's at equal priors.
    """
    from training import export

    codes, prior = models[0].codes, np.array(models[0].prior)
    task = "malignancy" if set(codes) == set(lesions.TASKS["malignancy"]) else "diagnosis"
    cards = [model.card for model in models]
    trained = [card["training"] for card in cards]
    members = [
        {
            "name": model.name,
            "revision": model.revision,
            "share": float(share),
            "training": {key: value for key, value in one.items() if key != "history"},
        }
        for model, share, one in zip(models, shares, trained, strict=True)
    ]
    return {
        **export.identity(command.name, task),
        **export.fitted(codes, prior, calibration, logits[: seen.first], seen.labels[: seen.first]),
        "input_size": max(model.input_size for model in models),
        "parameters": sum(model.card["parameters"] for model in (models if command.of == "answers" else models[:1])),
        "training": {
            "experiment": {
                "name": command.name,
                "collections": _joined(map(recorded_collections, cards)),
                "balance": bool(trained[0]["experiment"].get("balance")),
            },
            **export.circumstances(),
            "data_fingerprint": examples.fingerprint(sources),
            "fitted_on": [source.title for source in sources],
            "collections": _joined(one["collections"] for one in trained),
            "learned_from": _joined(map(learned_from, trained)),
            "test_fingerprint": trained[0].get("test_fingerprint"),
            "members": members,
            "average_of": command.of,
            "shares_fitted": command.fit_shares,
            "half_precision": command.half_precision,
            "validation_balanced_accuracy": _score(logits, seen),
            "seconds": sum(one["seconds"] for one in trained),
            "hardware": " and ".join(dict.fromkeys(one["hardware"] for one in trained)),
        },
    }


def _joined(lists: Iterable[Iterable[str]]) -> list[str]:
    """Return all that stands in some lists, once each, in the order in which it is found."""
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _score(logits: np.ndarray, seen: Seen) -> float:
    return metrics.balanced_accuracy(seen.labels, logits.argmax(axis=1), logits.shape[1])


def main() -> None:
    """Run the command line."""
    command = tyro.cli(AverageCommand)
    os.environ.setdefault("KERAS_BACKEND", command.backend)
    shares = chosen_shares(command)
    models = find_members(command.models)
    names = command.on or _joined(recorded_collections(model.card) for model in models)
    sources = load_again(models[0].card, names, command.data)
    if not is_first(models[0].card, sources[0]):
        first = models[0].card["training"]["collections"][0]
        changed = ", whose test part has changed" if has_changed(models[0].card, sources[0]) else ""
        raise AverageError(f"The prior is that of {first}, so --on has to name it first. Received: {names[0]}{changed}")
    from training import export, refit

    parts, part_shares = open_members(models), shares
    if command.of == "weights":
        try:
            parts, part_shares = [mean_of_weights(parts, shares)], np.ones(1)
        except ValueError as error:
            raise AverageError(f"The models' weights cannot be averaged: {error}.") from None
    if command.half_precision:
        parts = [in_half_precision(part) for part in parts]
    seen = look(parts, sources, models[0].codes)
    if command.fit_shares:
        part_shares = shares = calibrate.fit_shares(seen.logits, seen.labels, seen.mixes)
    logits = np.tensordot(part_shares, seen.logits, axes=1)
    calibration = calibrate.fit(logits, seen.labels, seen.mixes)
    document = described(command, models, sources, seen, logits, shares, calibration)
    if command.of == "answers":
        for model, share, one in zip(models, shares, seen.logits, strict=True):
            print(f"{model.name}: share {share:.3f}, validation BACC {_score(one, seen):.3f}", flush=True)
    print(f"average: validation BACC {document['training']['validation_balanced_accuracy']:.3f}", flush=True)
    folder = command.weights / command.name
    prior = np.array(models[0].prior)
    if command.of == "weights":
        graph = single_model(parts[0], prior, calibration, command.name)
    else:
        graph = average_model(parts, shares, prior, calibration, command.name)
    export.write_folder(graph, document, folder, command.half_precision)
    refit.refit_folder(folder, sources)
    print(f"model folder written: {folder}; measure it with python -m training.evaluate")


if __name__ == "__main__":
    run_command(main)
