"""The part of a model card that says where a model comes from, made from the training record of model.json."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training import collection, examples
from training.collection import NAMED, Collection

_STARTS = {"imagenet": "ImageNet weights", "random": "random weights"}


def learned_from(training: Mapping[str, Any]) -> list[str]:
    """Return the titles of all collections that a training record's weights have learned from.

    Its own collections come first, then those of what it went on from and of its teacher.
    """
    return list(training.get("learned_from") or training.get("collections") or [])


def recorded_collections(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the collections that a model was trained on, the first being the one of its prior.

    Pictures of the user's own are recorded by their folder's name alone. Nothing where model.json does not say.
    """
    experiment = (card.get("training") or {}).get("experiment") or {}
    return tuple(str(name) for name in experiment.get("collections") or ())


def load_again(card: Mapping[str, Any], names: Iterable[str], base: Path | None = None) -> list[Collection]:
    """Return collections as a model was trained on them: balanced where its record says so.

    Raises DatasetError when one is not there or not as it should be, or when two have one name.
    """
    found = [collection.load(name, base) for name in names]
    examples.refuse_equal_names(found)
    balance = ((card.get("training") or {}).get("experiment") or {}).get("balance")
    return [examples.balanced(one, tuple(card["classes"])) for one in found] if balance else found


def has_changed(card: Mapping[str, Any], source: Collection) -> bool:
    """Say whether a collection has the name of the first that a model was trained on, and another test part."""
    titles = (card.get("training") or {}).get("collections") or []
    return source.title in titles[:1] and not is_first(card, source)


def is_first(card: Mapping[str, Any], source: Collection) -> bool:
    """Say whether a collection is the first that a model was trained on: the one whose mix its prior is.

    Two folders of the user's own can have one name; where the record knows the test part, it tells them apart.
    """
    training = card.get("training") or {}
    if source.title != (training.get("collections") or ["HAM10000"])[0]:
        return False
    known = training.get("test_fingerprint")
    return not known or source.name in NAMED or bool(known == source.test_fingerprint)


def origin(document: dict[str, Any]) -> str:
    """Return what kind of model it is, up to the names of what it learned from."""
    training = document["training"]
    measures = f"({document['parameters']:,} parameters, {document['input_size']} px)"
    if "members" in training:
        names = " and ".join(f"`{member['name']}`" for member in training["members"])
        if training.get("average_of") == "weights":
            return f"The mean of the weights of {names} {measures}; they learned from"
        return f"The average of {names} {measures}, in one graph; they learned from"
    experiment = training["experiment"]
    origin = "trained from scratch on" if experiment["start"] == "random" else "all layers fine-tuned on"
    return f"A {experiment['network']} {measures}, {origin}"


def _data(training: dict[str, Any]) -> str:
    return (
        f"- Data: {' and '.join(training['collections'])}, split by lesion where lesions are known, stratified by"
        f" diagnosis (fingerprint `{training['data_fingerprint']}`).\n"
    )


def _fitted_on(training: dict[str, Any]) -> str:
    titles = training.get("fitted_on") or training["collections"]
    return "" if titles == training["collections"] else f"- Calibrated on: {' and '.join(titles)}.\n"


def _versions(training: dict[str, Any]) -> str:
    return "- Versions: " + ", ".join(f"{name} {value}" for name, value in training["versions"].items()) + "."


def _training_of_average(document: dict[str, Any]) -> str:
    training = document["training"]
    members = ", ".join(f"`{one['name']}` ({one['share']:.3f})" for one in training["members"])
    averaged = "weights" if training.get("average_of") == "weights" else "logits at equal priors"
    chosen = "fitted on validation pictures" if training["shares_fitted"] else "given"
    stored = (
        "- Weights: rounded to half precision before anything was fitted to them, and stored as such.\n"
        if training.get("half_precision")
        else ""
    )
    return (
        f"{_data(training)}{_fitted_on(training)}"
        f"- Members and their shares, {chosen}: {members}. model.json holds the training record of each;"
        f" {training['seconds'] / 60:.0f} minutes together on {training['hardware']}.\n"
        f"- Command: `python -m training.average`. The members' {averaged} are averaged (validation BACC"
        f" {training['validation_balanced_accuracy']:.3f}); the collection's prior is put back when temperature"
        f" ({document['calibration']['temperature']:.3f}) and class biases are fitted on validation pictures.\n"
        f"{stored}{_versions(training)}"
    )


def _started(start: str) -> str:
    return _STARTS.get(start, f"the weights of `{start}`")


def training_section(document: dict[str, Any]) -> str:
    """Return how a model was made, as a Markdown list."""
    training = document["training"]
    if "members" in training:
        return _training_of_average(document)
    experiment = training["experiment"]
    remedies = [f"classes drawn by count to the power {experiment['sampling_power']:g}"]
    remedies += ["a set balanced by leaving pictures out"] if experiment.get("balance") else []
    remedies += ["logit adjustment in the loss"] if experiment["logit_adjustment"] else []
    remedies += ["class weights in the loss"] if experiment.get("class_weights") else []
    remedies += ["focal loss"] if experiment.get("loss") == "focal" else []
    taught = (
        f"- Teacher: `{training['teacher']['name']}`, whose answers to the training pictures have"
        f" {experiment['teacher_share']:.0%} of the loss, at temperature {experiment['teacher_temperature']:g}.\n"
        if "teacher" in training
        else ""
    )
    return (
        f"{_data(training)}"
        f"- Command: `python -m training.train`, with the experiment `{experiment['name']}` that model.json records;"
        f" seed {experiment['seed']}, backend {training['backend']}, {training['epochs_run']} epochs in"
        f" {training['seconds'] / 60:.0f} minutes on {training['hardware']}; best epoch {training['best_epoch']}"
        f" (validation BACC {training['validation_balanced_accuracy']:.3f} at equal priors).\n"
        f"- Start: {_started(experiment['start'])}. Imbalance: {', '.join(remedies)}; the"
        " collection's prior is put back when temperature"
        f" ({document['calibration']['temperature']:.3f}) and class biases are fitted on validation pictures.\n{taught}"
        f"{_versions(training)}"
    )
