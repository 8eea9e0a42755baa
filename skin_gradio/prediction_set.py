"""Which diagnoses a picture may well have: prediction sets of a stated coverage.

A split-conformal set (Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005) holds every diagnosis
whose probability, for the training collection's mix, reaches a threshold that was chosen on validation pictures so that
the right diagnosis is in the set as often as the coverage says. The most probable diagnosis is always in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_gradio.classifier import Finding
from skin_gradio.models import ModelFolder


@dataclass(frozen=True)
class SetRule:
    """The coverage that was asked for, 0 to 1, and each class' threshold on its probability, float (classes,)."""

    coverage: float
    thresholds: np.ndarray


@dataclass(frozen=True)
class PredictionSet:
    """The diagnoses that a picture may well have, most probable first.

    The most probable one is always among them. `reached` is False where no diagnosis reached its threshold, so that one
    stands there alone.
    """

    coverage: float
    codes: tuple[str, ...]
    reached: bool


def prediction_sets(finding: Finding, model: ModelFolder, careful: bool = False) -> tuple[PredictionSet, ...]:
    """Return a finding's prediction set for each coverage that its model has thresholds for, lowest first.

    The sets do not depend on the prior that the finding is for. `careful` takes the thresholds that were chosen for the
    average over views, where the model has them.
    """
    weights = finding.probabilities * (np.asarray(model.prior) if finding.prior == "equal" else 1)
    probabilities = weights / weights.sum()
    return tuple(_set(rule, finding.codes, probabilities) for rule in set_rules(model, careful))


def _set(rule: SetRule, codes: tuple[str, ...], probabilities: np.ndarray) -> PredictionSet:
    order = np.argsort(-probabilities, kind="stable")
    reached = probabilities >= rule.thresholds
    # Classes have thresholds of their own, and a set without what is said to be most probable would puzzle anybody.
    members = tuple(codes[c] for c in order if reached[c] or c == order[0])
    return PredictionSet(rule.coverage, members, bool(reached.any()))


def set_rules(model: ModelFolder, careful: bool = False) -> tuple[SetRule, ...]:
    """Return a model's rules, lowest coverage first; none where its model.json has none or ones that make no sense."""
    try:
        rules = [_rule(entry, len(model.codes)) for entry in _entries(model.card, careful)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()
    return tuple(sorted(rules, key=lambda rule: rule.coverage))


def has_own_rules(model: ModelFolder) -> bool:
    """Say whether a model has rules that were chosen for the average over views."""
    views = model.card.get("views")
    return isinstance(views, dict) and bool(views.get("prediction_sets"))


def _entries(card: Mapping[str, Any], careful: bool) -> list[dict[str, Any]]:
    own = (card.get("views") or {}).get("prediction_sets") if careful else None
    return list(own or card.get("prediction_sets") or [])


def _rule(entry: Mapping[str, Any], classes: int) -> SetRule:
    """Return one entry of model.json: a threshold for all classes or, where present, `thresholds` with one for each."""
    given = entry.get("thresholds") or [entry["threshold"]] * classes
    thresholds, coverage = np.array([float(value) for value in given]), float(entry["coverage"])
    if thresholds.shape != (classes,) or not ((thresholds >= 0) & (thresholds <= 1)).all() or not 0 < coverage < 1:
        raise ValueError("a prediction set needs a coverage and a threshold per class, from 0 to 1")
    return SetRule(coverage, thresholds)


def measured_coverage(model: ModelFolder, coverage: float, careful: bool = False) -> float | None:
    """Return how often the right diagnosis was in the set on test pictures, 0 to 1; None where that is not known."""
    try:
        metrics = model.card["metrics_with_views" if careful else "metrics"]
        return float(metrics["figures"][f"coverage_at_{coverage:.0%}"]["value"])
    except (KeyError, TypeError, ValueError):
        return None
