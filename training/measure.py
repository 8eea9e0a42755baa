"""Labels and probabilities -> every figure with its interval, the baselines and the confusion matrices.

Figures whose name begins with `equal_` hold at equal priors, those with `binary_` for benign against malignant, all
others for the probabilities as the model gives them: at the mix of diagnoses of the collection that it learned from.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skin_gradio import lesions
from skin_gradio.classifier import at_prior
from skin_gradio.models import ModelFolder
from training import collection, metrics

BINARY = lesions.TASKS["malignancy"]
FIXED = (0.90, 0.95)
"""Sensitivities and specificities at which the other one is reported."""
BINS = 15
"""Of the calibration error and the reliability diagram."""
SCORE_STEPS = 200
"""Evenly spaced thresholds on the malignancy score that `score_histogram` counts between."""


Sets = tuple[tuple[float, float | tuple[float, ...]], ...]
"""Coverages that were asked for, each with the probability from which a class, or every one, belongs to the set."""


@dataclass(frozen=True)
class Sheet:
    """A model's labelled answers to n pictures."""

    codes: tuple[str, ...]
    """Classes, in the order of the probabilities' columns."""
    prior: np.ndarray
    """float (classes,), the mix of classes that the probabilities hold for."""
    labels: np.ndarray
    """int (n,), places in `codes`."""
    probabilities: np.ndarray
    """float (n, classes), rows that sum to 1."""
    groups: np.ndarray
    """(n,), the lesion of each picture."""
    thresholds: tuple[float, ...] = ()
    """The model's operating points on the malignancy score."""
    sets: Sets = ()

    @property
    def equal(self) -> np.ndarray:
        """The probabilities at equal priors, float (n, classes)."""
        return at_prior(self.probabilities, self.prior, "equal")

    @property
    def malignant(self) -> np.ndarray:
        """Which classes are malignant, bool (classes,)."""
        return np.array(lesions.malignant_mask(self.codes))

    @property
    def positive(self) -> np.ndarray:
        """Which pictures are of a malignant class, bool (n,)."""
        return self.malignant[self.labels]

    @property
    def score(self) -> np.ndarray:
        """The malignancy score, float (n,)."""
        return self.probabilities[:, self.malignant].sum(axis=1)

    def binary(self) -> "Sheet":
        """Return the same answers as benign against malignant; a binary sheet as it is."""
        if self.codes == BINARY:
            return self
        # A model of one group only must not make a prior of zero, by which Bayes' rule would divide.
        share = float(np.clip(self.prior[self.malignant].sum(), 1e-6, 1 - 1e-6))
        return Sheet(
            BINARY,
            np.array([1 - share, share]),
            self.positive.astype(np.int64),
            np.stack([1 - self.score, self.score], axis=1),
            self.groups,
            self.thresholds,
        )


def can_answer(codes: tuple[str, ...], label: str, source: collection.Collection) -> bool:
    """Say whether a model with the classes `codes` can be asked about a collection's pictures with this label."""
    return label in codes or set(codes) == set(BINARY) or set(source.classes) <= set(BINARY)


def answer_sheet(
    model: ModelFolder,
    source: collection.Collection,
    table: pd.DataFrame,
    probabilities: np.ndarray,
    views: bool = False,
) -> Sheet:
    """Return a model's answers beside the labels of a collection.

    Where the collection only tells benign from malignant, the answers are reduced to that. Where the model only tells
    these, the collection's labels are.

    Args:
        model: whose probabilities these are.
        source: where the pictures come from.
        table: its rows that were answered.
        probabilities: float (n, classes), one row for each of the table's.
        views: whether these are the answers of eight views together, which have their own operating points and sets.

    Raises DatasetError when the collection has labels that the model's classes do not cover.
    """
    codes, groups = model.codes, table["group"].to_numpy(dtype=str)
    thresholds = tuple(threshold for _, threshold in operating_points(model, views))
    prior = np.array(model.prior) / sum(model.prior)
    if set(source.classes) <= set(BINARY) and not set(codes) & set(BINARY):
        labels = collection.label_positions(source, table["label"], BINARY)
        sheet = Sheet(codes, prior, np.zeros_like(labels), probabilities, groups, thresholds).binary()
        return Sheet(BINARY, sheet.prior, labels, sheet.probabilities, groups, thresholds)
    own = (model.card.get("views") or {}).get("prediction_sets") if views else None
    sets = sets_of(own or model.card.get("prediction_sets", []))
    labels = collection.label_positions(source, table["label"], codes)
    return Sheet(codes, prior, labels, probabilities, groups, thresholds, sets)


def operating_points(model: ModelFolder, views: bool = False) -> list[tuple[str, float]]:
    """Return names and thresholds of a model's operating points; with `views` those for the answer of eight views."""
    own = (model.card.get("views") or {}).get("operating_points") if views else None
    if own:
        return [(str(point["name"]), float(point["threshold"])) for point in own]
    return [(point.name, point.threshold) for point in model.operating_points]


def refusals(sheet: Sheet, doubts: Sequence[Sequence[str]], repeats: int = 1000) -> dict[str, Any]:
    """Return what share of the pictures the input gate has doubts about, over all and in each class, and why.

    Args:
        sheet: the answers.
        doubts: the codes of each picture's doubts.
        repeats: bootstrap resamples.
    """
    refused = np.array([bool(codes) for codes in doubts])

    def shares(rows: np.ndarray) -> dict[str, float]:
        labels = sheet.labels[rows]
        per_class = metrics.recalls(labels, np.where(refused[rows], labels, -1), len(sheet.codes))
        return {"all": float(refused[rows].mean())} | dict(zip(sheet.codes, map(float, per_class), strict=True))

    return {
        "pictures": int(refused.sum()),
        "reasons": dict(Counter(code for codes in doubts for code in codes)),
        "shares": with_intervals(
            shares(np.arange(len(refused))), metrics.lesion_bootstrap(shares, sheet.groups, repeats)
        ),
    }


def measure(sheet: Sheet, repeats: int = 1000) -> dict[str, Any]:
    """Return every figure with its 95 % lesion-bootstrap interval, the baselines, counts and confusion matrices.

    A figure that the pictures cannot tell (the recall of a class without any) is left out.
    """
    compute = figures_of(sheet)
    values = compute(np.arange(len(sheet.labels)))
    classes = len(sheet.codes)
    return {
        "pictures": len(sheet.labels),
        "lesions": len(np.unique(sheet.groups)),
        "classes": list(sheet.codes),
        "counts": {code: int((sheet.labels == c).sum()) for c, code in enumerate(sheet.codes)},
        "figures": with_intervals(values, metrics.lesion_bootstrap(compute, sheet.groups, repeats)),
        "baselines": _baselines(sheet),
        "confusion_matrix": {
            "equal": metrics.confusion_matrix(sheet.labels, sheet.equal.argmax(1), classes).tolist(),
            "collection": metrics.confusion_matrix(sheet.labels, sheet.probabilities.argmax(1), classes).tolist(),
        },
        "malignancy_scores": score_histogram(sheet),
    }


def score_histogram(sheet: Sheet) -> dict[str, list[float] | list[int]]:
    """Return how many malignant and how many benign pictures score from each threshold to below the next one.

    `thresholds` rise from 0 in SCORE_STEPS even steps, with the model's operating points among them, so that the counts
    give sensitivity and specificity at each of these exactly; the last threshold's count goes up to 1.
    """
    thresholds = np.unique([*(step / SCORE_STEPS for step in range(SCORE_STEPS)), *sheet.thresholds])
    places = np.searchsorted(thresholds, sheet.score, side="right") - 1
    counts = [np.bincount(places[chosen], minlength=len(thresholds)) for chosen in (sheet.positive, ~sheet.positive)]
    return {"thresholds": thresholds.tolist(), "malignant": counts[0].tolist(), "benign": counts[1].tolist()}


def with_intervals(values: metrics.Figures, intervals: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Return value, low and high of every figure that is a number, rounded to six places."""
    return {
        name: {"value": round(value, 6), "low": round(intervals[name][0], 6), "high": round(intervals[name][1], 6)}
        for name, value in values.items()
        if not np.isnan(value)
    }


def figures_of(sheet: Sheet) -> Callable[[np.ndarray], dict[str, float]]:
    """Return the function from int positions (k,) of pictures, with or without repetition, to figures by name."""
    labels, given, equal = sheet.labels, sheet.probabilities, sheet.equal
    positive, score, binary = sheet.positive, sheet.score, sheet.binary()
    binary_equal = binary.equal

    def figures(rows: np.ndarray) -> dict[str, float]:
        return (
            _class_figures(sheet.codes, labels[rows], given[rows], equal[rows])
            | _malignant_figures(positive[rows], score[rows], sheet.thresholds)
            | _binary_figures(binary.labels[rows], binary.probabilities[rows], binary_equal[rows])
            | _set_figures(sheet.codes, labels[rows], given[rows], sheet.sets)
        )

    return figures


def _class_figures(
    codes: tuple[str, ...], labels: np.ndarray, given: np.ndarray, equal: np.ndarray
) -> dict[str, float]:
    classes = len(codes)
    answer, balanced_answer = given.argmax(axis=1), equal.argmax(axis=1)
    known = np.bincount(labels, minlength=classes) > 0
    equal_aurocs = metrics.class_aurocs(labels, equal)
    precisions = np.array([metrics.average_precision(labels == c, given[:, c]) for c in range(classes)])
    per_class = {
        "recall": metrics.recalls(labels, answer, classes),
        "equal_recall": metrics.recalls(labels, balanced_answer, classes),
        "precision": np.where(known, metrics.precisions(labels, answer, classes), np.nan),
        "f1": metrics.f1_scores(labels, answer, classes),
        "auroc": equal_aurocs,
        "average_precision": precisions,
    }
    result = {
        "equal_balanced_accuracy": metrics.mean_known(per_class["equal_recall"]),
        "equal_accuracy": float((balanced_answer == labels).mean()),
        "equal_macro_auroc": metrics.mean_known(equal_aurocs),
        "accuracy": float((answer == labels).mean()),
        "balanced_accuracy": metrics.mean_known(per_class["recall"]),
        "macro_auroc": metrics.macro_auroc(labels, given),
        "macro_average_precision": metrics.mean_known(precisions),
        "macro_f1": metrics.mean_known(per_class["f1"]),
        "expected_calibration_error": metrics.expected_calibration_error(labels, given, BINS),
        "brier_score": metrics.brier_score(labels, given),
    }
    for name, values in per_class.items():
        result |= {f"{name}_{code}": float(value) for code, value in zip(codes, values, strict=True)}
    return result


def _malignant_figures(positive: np.ndarray, score: np.ndarray, thresholds: tuple[float, ...]) -> dict[str, float]:
    result = {
        "malignant_auroc": metrics.auroc(positive, score),
        "malignant_average_precision": metrics.average_precision(positive, score),
    }
    for share in FIXED:
        result[f"sensitivity_at_specificity_{share:.0%}"] = metrics.sensitivity_at_specificity(positive, score, share)
        result[f"specificity_at_sensitivity_{share:.0%}"] = metrics.specificity_at_sensitivity(positive, score, share)
    for number, threshold in enumerate(thresholds):
        sensitivity, specificity = metrics.sensitivity_and_specificity(positive, score, threshold)
        result |= {f"sensitivity_{number}": sensitivity, f"specificity_{number}": specificity}
    return result


def _binary_figures(labels: np.ndarray, given: np.ndarray, equal: np.ndarray) -> dict[str, float]:
    return {
        "binary_equal_balanced_accuracy": metrics.balanced_accuracy(labels, equal.argmax(axis=1), 2),
        "binary_balanced_accuracy": metrics.balanced_accuracy(labels, given.argmax(axis=1), 2),
        "binary_accuracy": float((given.argmax(axis=1) == labels).mean()),
        "binary_auroc": metrics.auroc(labels == 1, given[:, 1]),
        "binary_expected_calibration_error": metrics.expected_calibration_error(labels, given, BINS),
        "binary_brier_score": metrics.brier_score(labels, given),
    }


def sets_of(entries: Sequence[Mapping[str, Any]]) -> Sets:
    """Return the prediction sets of model.json: a threshold for each class where it has them, else the common one."""
    return tuple((entry["coverage"], tuple(entry.get("thresholds") or ()) or entry["threshold"]) for entry in entries)


def _set_figures(codes: tuple[str, ...], labels: np.ndarray, given: np.ndarray, sets: Sets) -> dict[str, float]:
    result, classes = {}, len(codes)
    for coverage, threshold in sets:
        # The likeliest class is always in the set, as the app shows it (`skin_gradio.prediction_set`).
        held = (given >= np.asarray(threshold)) | (given == given.max(axis=1, keepdims=True))
        right = held[np.arange(len(labels)), labels]
        result[f"coverage_at_{coverage:.0%}"] = float(right.mean())
        result[f"set_size_at_{coverage:.0%}"] = float(held.sum(axis=1).mean())
        shares = metrics.recalls(labels, np.where(right, labels, -1), classes)
        result |= {f"class_coverage_at_{coverage:.0%}_{code}": float(s) for code, s in zip(codes, shares, strict=True)}
    return result


def _baselines(sheet: Sheet) -> dict[str, dict[str, float]]:
    """Return what answering alike for every picture gives: the most common class, or the prior."""
    count, classes = len(sheet.labels), len(sheet.codes)
    common = int(np.bincount(sheet.labels, minlength=classes).argmax())
    answers = {
        f"always {sheet.codes[common]}": np.tile(np.eye(classes)[common], (count, 1)),
        "class prior": np.tile(sheet.prior, (count, 1)),
    }
    return {name: _baseline(sheet, probabilities) for name, probabilities in answers.items()}


def _baseline(sheet: Sheet, probabilities: np.ndarray) -> dict[str, float]:
    answer, score = probabilities.argmax(axis=1), probabilities[:, sheet.malignant].sum(axis=1)
    called = (score >= 0.5).astype(np.int64)
    values = {
        "accuracy": float((answer == sheet.labels).mean()),
        "balanced_accuracy": metrics.balanced_accuracy(sheet.labels, answer, len(sheet.codes)),
        "macro_auroc": metrics.macro_auroc(sheet.labels, probabilities),
        "malignant_auroc": metrics.auroc(sheet.positive, score),
        "malignant_average_precision": metrics.average_precision(sheet.positive, score),
        "binary_accuracy": float((called == sheet.positive).mean()),
        "binary_balanced_accuracy": metrics.balanced_accuracy(sheet.positive.astype(np.int64), called, 2),
        "expected_calibration_error": metrics.expected_calibration_error(sheet.labels, probabilities),
        "brier_score": metrics.brier_score(sheet.labels, probabilities),
    }
    return {name: round(value, 6) for name, value in values.items() if not np.isnan(value)}
