"""Going on from a finished model folder: the bundled default, one of one's own, or one of the Hub.

A model folder holds the network without its last batch normalisation, which the export folds into the layer behind it
(`training.export.inference_model`). Here it is unfolded again: the normalisation gets the mean and the variance that
the pooled features have on training pictures, and the layer behind it what makes up for that. So the first step sees
the model's own answers, at equal priors, and the head learns at the pace that it had when it was trained.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skin_gradio.models import ModelError, ModelFolder, bundled_models, find_model, is_hub_id
from training import collection, own, provenance
from training.batches import resize_all
from training.command import UserError
from training.experiment import complete
from training.fit import read_progress

SAMPLED = 512
"""Training pictures that the pooled features' mean and variance are measured on."""


def shipped_model(start: str) -> ModelFolder | None:
    """Return the model folder that an experiment's `start` names; None where it names something else.

    Raises UserError where it names nothing that is there.
    """
    folder = Path(start)
    if start in ("imagenet", "random") or folder.suffix == ".h5":
        return None
    if folder.is_dir() and not (folder / "model.json").is_file():
        return None  # a run's
    if folder.parts[:1] == ("runs",) and not folder.exists():
        raise UserError(f"start: there is no run {start}; train {folder.name} first, or name another start.")
    try:
        return find_model(start)
    except ModelError as error:
        raise UserError(f"start: {error}") from None


def learned_before(start: str) -> list[str]:
    """Return the titles of the collections that what an experiment's `start` names has learned from.

    Of a run, what it went on from and its teacher count as well. Nothing for ImageNet's and random weights, and for
    what is not there any more: a finished run can be exported without what it started from.
    """
    if not (Path(start).is_dir() or start in bundled_models() or is_hub_id(start)):
        return []
    if progress := read_progress(Path(start)):
        experiment = complete(json.loads(progress.fingerprint)[0])
        titles = [collection.TITLES.get(name) or own.title_of(Path(name)) for name in experiment["collections"]]
        before = [one for one in (experiment["start"], experiment["teacher"]) if one]
        return [*titles, *(title for one in before for title in learned_before(one))]
    try:
        shipped = shipped_model(start)
    except UserError as error:
        print(f"The card cannot say what came before: {error}", file=sys.stderr)
        return []
    return provenance.learned_from(shipped.card.get("training") or {}) if shipped else []


def continue_from(
    model: Any, shipped: ModelFolder, codes: Sequence[str], pictures: Sequence[np.ndarray], size: int
) -> None:
    """Give a training model the weights of a model folder of the same network.

    Where the folder's classes are other ones, it gives the backbone alone, and the head starts as it is.

    Args:
        model: a model of `training.networks.build`.
        shipped: the folder.
        codes: the classes that are learned, in order.
        pictures: training pictures, n of uint8 (side, side, 3).
        size: side that they are first trained at.

    Raises UserError where the folder's network or the width of its hidden layer is another one.
    """
    import keras

    graph = keras.saving.load_model(shipped.file("model.keras"), compile=False, safe_mode=True)
    taken = {layer.name: layer for layer in graph.layers}
    backbone = model.get_layer("backbone")
    try:
        backbone.set_weights(taken["backbone"].get_weights())
    except (KeyError, ValueError):
        raise UserError(
            f"start: {shipped.path} holds no {model.name} that can be gone on from: another network, an"
            " average of several, or one in half precision, whose batch normalisation is folded away."
        ) from None
    if tuple(codes) != shipped.codes:
        return
    layers = {layer.name: layer for layer in model.layers}
    units, has = (one["hidden"].units if "hidden" in one else 0 for one in (layers, taken))
    if units != has:
        raise UserError(f"start: {shipped.path} has {has} hidden units, {model.name} has {units}; set hidden_units.")

    chosen = np.linspace(0, len(pictures) - 1, min(SAMPLED, len(pictures))).astype(int)
    shown = resize_all([pictures[place] for place in chosen], size)
    pooled = keras.Model(model.input, layers["pool"].output).predict(shown, batch_size=32, verbose=0)
    mean, variance = pooled.astype(np.float64).mean(axis=0), pooled.astype(np.float64).var(axis=0)
    normalise = layers["normalise"]
    normalise.set_weights([np.ones_like(mean), np.zeros_like(mean), mean, variance])

    last_kernel, last_bias = taken["probabilities"].get_weights()
    last = last_kernel, last_bias - np.log(shipped.prior)
    first = taken["hidden"].get_weights() if "hidden" in taken else last
    kernel, bias = np.sqrt(variance + normalise.epsilon)[:, None] * first[0], first[1] + mean @ first[0]
    layers["logits"].set_weights(last)
    layers["hidden" if units else "logits"].set_weights([kernel, bias])
