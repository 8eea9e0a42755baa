"""The part of a model card that says where a model comes from, made from the training record of model.json."""

from typing import Any

_STARTS = {"imagenet": "ImageNet weights", "random": "random weights"}


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
        f"{_data(training)}"
        f"- Members and their shares, {chosen}: {members}. model.json holds the training record of each;"
        f" {training['seconds'] / 60:.0f} minutes together on {training['hardware']}.\n"
        f"- Command: `python -m training.average`. The members' {averaged} are averaged (validation BACC"
        f" {training['validation_balanced_accuracy']:.3f}); the collection's prior is put back when temperature"
        f" ({document['calibration']['temperature']:.3f}) and class biases are fitted on validation pictures.\n"
        f"{stored}{_versions(training)}"
    )


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
        f"- Start: {_STARTS.get(experiment['start'], 'other weights')}. Imbalance: {', '.join(remedies)}; the"
        " collection's prior is put back when temperature"
        f" ({document['calibration']['temperature']:.3f}) and class biases are fitted on validation pictures.\n{taught}"
        f"{_versions(training)}"
    )
