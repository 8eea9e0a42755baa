"""Measure a model folder on HAM10000's test split and write the figures into its model.json and card.

python -m training.evaluate weights/mobilenet_v2 --data ../ham10000
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from PIL import Image

from skin_gradio import lesions
from skin_gradio.classifier import at_prior
from skin_gradio.engines import Engine, EngineName, open_engine
from skin_gradio.models import ModelFolder, find_model
from training import card, export, ham10000, metrics
from training.command import run_command

BATCH = 64


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a model on HAM10000's test split; the figures go into its model.json and README.md."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, a bundled model's name or a Hub id."""
    data: Path | None = None
    """HAM10000's folder in Kaggle's layout; HAM10000_DIR when not given."""
    split: Literal["train", "validation", "test"] = "test"
    """Part of the committed split to measure on; only figures of `test` are written, and only into a local folder."""
    engine: EngineName = "onnx"
    """Engine that runs the model."""
    cache: Path = Path("runs/cache")
    """Folder of the decoded pictures."""
    repeats: int = 1000
    """Bootstrap resamples."""
    readme: Path | None = None
    """A README whose figures (between its marks) are replaced as well."""


def predict(engine: Engine, pictures: np.ndarray) -> np.ndarray:
    """Return float64 (n, classes), the probabilities of uint8 (n, size, size, 3) at the collection's prior."""
    parts = [engine.run(np.ascontiguousarray(pictures[i : i + BATCH])) for i in range(0, len(pictures), BATCH)]
    probabilities = np.concatenate([part.probabilities for part in parts]).astype(np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def measure(
    model: ModelFolder, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, repeats: int
) -> dict[str, Any]:
    """Return every figure with its 95 % lesion-bootstrap interval, the baselines, counts and the confusion matrices.

    Args:
        model: whose classes, prior and operating points are meant.
        labels: int (n,).
        probabilities: float (n, classes), at the collection's prior.
        groups: (n,), the lesion of each picture.
        repeats: bootstrap resamples.
    """
    prior, codes = np.array(model.prior), model.codes
    equal = at_prior(probabilities, prior, "equal")
    malignant = np.array(lesions.malignant_mask(codes))

    def figures(rows: np.ndarray) -> dict[str, float]:
        return _figures(model, labels[rows], probabilities[rows], equal[rows], malignant)

    values = figures(np.arange(len(labels)))
    intervals = metrics.lesion_bootstrap(figures, groups, repeats)
    classes = len(codes)
    always = np.tile(np.eye(classes)[codes.index("nv")], (len(labels), 1))
    as_common = np.tile(prior, (len(labels), 1))
    return {
        "pictures": len(labels),
        "lesions": len(np.unique(groups)),
        "counts": {code: int((labels == c).sum()) for c, code in enumerate(codes)},
        "figures": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in values.items()
        },
        "baselines": {
            "always nv": _baseline(labels, always, malignant),
            "class prior": _baseline(labels, as_common, malignant),
        },
        "confusion_matrix": {
            "equal": metrics.confusion_matrix(labels, equal.argmax(1), classes).tolist(),
            "collection": metrics.confusion_matrix(labels, probabilities.argmax(1), classes).tolist(),
        },
    }


def _baseline(labels: np.ndarray, probabilities: np.ndarray, malignant: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": metrics.balanced_accuracy(labels, predicted, probabilities.shape[1]),
        "macro_auroc": metrics.macro_auroc(labels, probabilities),
        "malignant_auroc": metrics.auroc(malignant[labels], probabilities[:, malignant].sum(axis=1)),
        "expected_calibration_error": metrics.expected_calibration_error(labels, probabilities),
        "brier_score": metrics.brier_score(labels, probabilities),
    }


def _figures(
    model: ModelFolder, labels: np.ndarray, given: np.ndarray, equal: np.ndarray, malignant: np.ndarray
) -> dict[str, float]:
    """Return figures by name; those that begin with `equal_` hold at equal priors, the others at the collection's."""
    classes, codes = len(model.codes), model.codes
    answer, balanced_answer = given.argmax(axis=1), equal.argmax(axis=1)
    positive, score = malignant[labels], given[:, malignant].sum(axis=1)
    result = {
        "equal_balanced_accuracy": metrics.balanced_accuracy(labels, balanced_answer, classes),
        "equal_accuracy": float((balanced_answer == labels).mean()),
        "equal_macro_auroc": metrics.macro_auroc(labels, equal),
        "accuracy": float((answer == labels).mean()),
        "balanced_accuracy": metrics.balanced_accuracy(labels, answer, classes),
        "macro_auroc": metrics.macro_auroc(labels, given),
        "malignant_auroc": metrics.auroc(positive, score),
        "expected_calibration_error": metrics.expected_calibration_error(labels, given),
        "brier_score": metrics.brier_score(labels, given),
    }
    per_class: dict[str, Sequence[float] | np.ndarray] = {
        "recall": metrics.recalls(labels, answer, classes),
        "equal_recall": metrics.recalls(labels, balanced_answer, classes),
        "precision": metrics.precisions(labels, answer, classes),
        "f1": metrics.f1_scores(labels, answer, classes),
        "auroc": metrics.class_aurocs(labels, equal),
    }
    for name, values in per_class.items():
        result |= {f"{name}_{code}": float(value) for code, value in zip(codes, values, strict=True)}
    for number, point in enumerate(model.operating_points):
        sensitivity, specificity = metrics.sensitivity_and_specificity(positive, score, point.threshold)
        result |= {f"sensitivity_{number}": sensitivity, f"specificity_{number}": specificity}
    true = given[np.arange(len(labels)), labels]
    for entry in model.card.get("prediction_sets", []):
        name = f"{entry['coverage']:.0%}"
        result[f"coverage_at_{name}"] = float((true >= entry["threshold"]).mean())
        result[f"set_size_at_{name}"] = float((given >= entry["threshold"]).sum(axis=1).mean())
    return result


def main() -> None:
    """Run the command line."""
    from training import batches

    command = tyro.cli(EvaluateCommand)
    model = find_model(command.model)
    index = ham10000.load(ham10000.folder(command.data))
    pictures = batches.decode_cached(list(index["path"]), command.cache)
    rows = np.flatnonzero(index["split"] == command.split)
    labels = index["dx"].map(model.codes.index).to_numpy()[rows]
    probabilities = predict(open_engine(model, command.engine), batches.resize_all(pictures[rows], model.input_size))
    measured = measure(model, labels, probabilities, index["group"].to_numpy()[rows], command.repeats)
    with Image.open(index["path"][rows[0]]) as first:
        size = "{} x {}".format(*first.size)
    measured = {"collection": "HAM10000", "split": command.split, "picture_size": size, **measured}
    print(json.dumps({name: round(figure["value"], 4) for name, figure in measured["figures"].items()}, indent=1))
    # A Hub model's folder is the Hub's cache, whose files must stay what its revision says.
    if command.split == "test" and "@" not in model.revision:
        document = {**model.card, "metrics": measured}
        export.write_document(model.path, document)
        print(f"Figures written to {model.path / 'model.json'} and the card beside it.")
        if command.readme:
            card.replace_marked(command.readme, "figures", card.figures_section(document))


if __name__ == "__main__":
    run_command(main)
