"""Fit what stands around a model's graph, on validation pictures: input gate, eight views, prediction sets.

    python -m training.refit weights/mobilenet_v2
    NATURAL_PHOTOS_DIR=photographs python -m training.refit runs/weights/my_model --data data

`training.train` does this at its end; this command does it again for a folder that exists. It rewrites model.json and
the card, and leaves the graphs, their calibration and their operating points as they are. Test figures that speak of
the old gate, views and sets are removed: `training.evaluate` (and again with `--views`) measures the new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import tyro

from skin_gradio import input_gate, lesions
from skin_gradio.engines import Engine, EngineName, open_engine
from skin_gradio.models import ModelFolder, find_model, read_folder
from skin_gradio.views import COUNT, Average, Combination, all_views
from training import calibrate, collection, export, gate
from training.collection import Collection
from training.command import UserError, run_command
from training.provenance import is_first, load_again, recorded_collections

STALE = ("coverage_at_", "set_size_at_", "class_coverage_at_")
"""How the names of those test figures begin that hold for the prediction sets they were measured with."""


@dataclass(frozen=True)
class RefitCommand:
    """Fit the input gate, the answer from eight views and the prediction sets of a model folder."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, or a bundled model's name."""
    on: tuple[str, ...] = ()
    """Collections whose validation pictures are used, the one that sets are chosen on first; those that the model
    learned from when not given. Pictures of your own are named by their path."""
    data: Path | None = None
    """Folder that holds the named collections' folders; their environment variables, else `data`, when not given."""
    engine: EngineName = "onnx"
    """Engine that runs the model."""


@dataclass(frozen=True)
class Validation:
    """What a model says about the validation pictures of a collection.

    `views` float32 (8, n, classes) are the graph's probabilities for each view, `labels` int (n,), `groups` (n,) the
    lesions, `priors` float (n, classes) the mix of classes that the collection trains with, for each picture. `tried`
    uint8 (k, size, size, 3) are some of the pictures, evenly spread. `own` says whether the model's prior is the
    collection's mix.
    """

    views: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    priors: np.ndarray
    seen: gate.Seen
    tried: np.ndarray
    own: bool = True


def look_at_validation(model: ModelFolder, engine: Engine, source: Collection) -> Validation:
    """Return a model's answers to a collection's validation pictures, each read as an upload is.

    Raises DatasetError for a label that the model does not know and for a picture that cannot be read.
    """
    table = source.part("validation")
    views: list[np.ndarray] = []
    embedding: list[np.ndarray] = []
    statistics: list[np.ndarray] = []
    tried: list[np.ndarray] = []
    for place, path in enumerate(table["path"]):
        picture = collection.read_training_picture(path).resized(model.input_size)
        outputs = engine.run(np.ascontiguousarray(all_views(picture)))
        views.append(outputs.probabilities)
        embedding.append(outputs.embedding[0])
        statistics.append(input_gate.statistics(picture[None])[0])
        if place % gate.spacing(len(table)) == 0:
            tried.append(picture)
    return Validation(
        np.stack(views, axis=1),
        collection.label_positions(source, table["label"], model.codes),
        table["group"].to_numpy(dtype=str),
        np.tile(collection.class_mix(source, model.codes), (len(table), 1)),
        gate.Seen(np.stack(statistics), np.stack(embedding)),
        np.stack(tried),
        is_first(model.card, source),
    )


def fit_views(parts: Sequence[Validation], model: ModelFolder) -> dict[str, Any]:
    """Return the `views` of model.json: which average, its calibration, operating points and prediction sets.

    The calibration sees every collection, each picture under its own collection's mix; the rest is chosen on the first.
    """
    prior, first, (own, *others) = np.array(model.prior), parts[0], [part.priors for part in parts]
    views = np.concatenate([part.views for part in parts], axis=1)
    labels = np.concatenate([part.labels for part in parts])
    if first.own:  # a class that only later collections hold counts in the first one's prior, so it must here
        own = np.tile(prior, (len(first.labels), 1))
    priors = np.concatenate([own, *others])
    fitted = {average: calibrate.fit_views(views, labels, priors, prior, average) for average in get_args(Average)}
    average: Average = min(fitted, key=lambda name: fitted[name][1])
    calibration = fitted[average][0]
    combination = Combination(average, calibration.temperature, calibration.bias)
    probabilities = combination.probabilities(first.views, prior)
    malignant = np.array(lesions.malignant_mask(model.codes))
    return {
        "count": COUNT,
        "average": average,
        "temperature": calibration.temperature,
        "bias": calibration.bias.tolist(),
        "operating_points": calibrate.operating_points(
            malignant[first.labels], probabilities[:, malignant].sum(axis=1)
        ),
        "prediction_sets": calibrate.prediction_sets(first.labels, probabilities),
    }


def refit(model: ModelFolder, engine: Engine, sources: Sequence[Collection]) -> dict[str, Any]:
    """Return model.json with prediction sets, views and gate fitted anew, without the test figures of the old ones.

    Args:
        model: whose model.json it is.
        engine: that runs it.
        sources: collections whose validation pictures are used; sets and operating points are chosen on the first.
    """
    parts = [look_at_validation(model, engine, source) for source in sources]
    entry = gate.fit(
        model,
        engine,
        np.concatenate([part.tried for part in parts]),
        np.concatenate([part.groups for part in parts]),
        gate.Seen(
            np.concatenate([part.seen.statistics for part in parts]),
            np.concatenate([part.seen.embedding for part in parts]),
        ),
        gate.photograph_files(),
    )
    document = without_stale_figures(model.card)
    document["prediction_sets"] = calibrate.prediction_sets(parts[0].labels, parts[0].views[0].astype(np.float64))
    document["views"] = fit_views(parts, model)
    document["gate"] = entry and {"collections": [source.title for source in sources], **entry}
    return document


def without_stale_figures(card: dict[str, Any]) -> dict[str, Any]:
    """Return a model.json without the test figures of its gate, its views and its prediction sets."""
    document = {name: value for name, value in card.items() if name != "metrics_with_views"}
    if "metrics" in document:
        document["metrics"] = _kept(document["metrics"])
    if "elsewhere" in document:
        document["elsewhere"] = {name: _kept(measured) for name, measured in document["elsewhere"].items()}
    return document


def _kept(measured: dict[str, Any]) -> dict[str, Any]:
    figures = {name: figure for name, figure in measured["figures"].items() if not name.startswith(STALE)}
    return {**{name: value for name, value in measured.items() if name != "gate"}, "figures": figures}


def refit_folder(folder: Path, sources: Sequence[Collection], engine: EngineName = "onnx") -> None:
    """Fit gate, views and prediction sets of a model folder and write its model.json and card.

    Raises ModelError for a folder that is none.
    """
    model = read_folder(folder)
    export.write_document(folder, refit(model, open_engine(model, engine), sources))


def main() -> None:
    """Run the command line."""
    command = tyro.cli(RefitCommand)
    model = find_model(command.model)
    if "@" in model.revision:
        raise UserError("A model of the Hub stays what its revision says; copy its folder and refit the copy.")
    names = command.on or recorded_collections(model.card) or ("ham10000",)
    refit_folder(model.path, load_again(model.card, names, command.data), command.engine)
    found = read_folder(model.path).card["gate"]
    print(f"{model.path / 'model.json'} and the card beside it are written.")
    print(_gate_line(found))


def _gate_line(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return f"No input gate: it takes {gate.MIN_PICTURES} validation pictures."
    if not entry["fitted_on"]["photographs"]:
        return (
            f"The gate was fitted without photographs of other things: {gate.VARIABLE} names a folder of them, of which"
            f" {gate.MIN_PHOTOGRAPHS} have to be among those that are fitted on."
        )
    unseen = entry["unseen_photographs"]
    return f"The gate refuses {unseen['refused']} of {unseen['pictures']} photographs that it was not fitted on."


if __name__ == "__main__":
    run_command(main)
