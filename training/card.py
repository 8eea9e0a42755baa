"""The model card, and the README's table of figures: both made from model.json, never typed."""

from pathlib import Path
from typing import Any

from skin_gradio import lesions
from skin_gradio.credit import CITATIONS, CREDIT

_STARTS = {"imagenet": "ImageNet weights", "random": "random weights"}


def _with_interval(figure: dict[str, float]) -> str:
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**figure)


def headline_table(document: dict[str, Any]) -> str:
    """Return the headline figures on the test split as a Markdown table, beside the trivial baselines."""
    measured = document["metrics"]
    figures, baselines = measured["figures"], measured["baselines"]
    rows = [
        ("Balanced accuracy (BACC)", "equal", "equal_balanced_accuracy", "balanced_accuracy"),
        ("Macro AUROC", "equal", "equal_macro_auroc", "macro_auroc"),
        ("Malignant AUROC", "collection", "malignant_auroc", "malignant_auroc"),
        ("Accuracy", "collection", "accuracy", "accuracy"),
        ("Balanced accuracy (BACC)", "collection", "balanced_accuracy", "balanced_accuracy"),
        (
            "Expected calibration error (15 bins)",
            "collection",
            "expected_calibration_error",
            "expected_calibration_error",
        ),
        ("Brier score", "collection", "brier_score", "brier_score"),
    ]
    lines = [f"| figure | prior | test split (95 % interval) | {' | '.join(baselines)} |", "|---|---|---|---|---|"]
    for title, prior, key, base in rows:
        references = " | ".join(f"{baseline[base]:.3f}" for baseline in baselines.values())
        lines.append(f"| {title} | {prior} | {_with_interval(figures[key])} | {references} |")
    return "\n".join(lines)


def class_table(document: dict[str, Any]) -> str:
    """Return recall (at both priors), precision, F1 and AUROC of every class as a Markdown table."""
    figures, counts = document["metrics"]["figures"], document["metrics"]["counts"]
    lines = [
        "| diagnosis | pictures | recall, equal priors | recall, collection's prior | precision | F1 | AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    for code in document["classes"]:
        cells = [
            _with_interval(figures[f"{name}_{code}"]) for name in ("equal_recall", "recall", "precision", "f1", "auroc")
        ]
        lines.append(f"| {lesions.BY_CODE[code].name} ({code}) | {counts[code]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def operating_table(document: dict[str, Any]) -> str:
    """Return the malignancy operating points, chosen on validation and checked on test pictures."""
    lines = [
        "| operating point | threshold | validation sensitivity / specificity | test sensitivity | test specificity |",
        "|---|---|---|---|---|",
    ]
    for number, point in enumerate(document["operating_points"]):
        figures = document["metrics"]["figures"]
        lines.append(
            f"| {point['name']} | {point['threshold']:.4f} | {point['sensitivity']:.3f} / {point['specificity']:.3f}"
            f" | {_with_interval(figures[f'sensitivity_{number}'])}"
            f" | {_with_interval(figures[f'specificity_{number}'])} |"
        )
    return "\n".join(lines)


def figures_section(document: dict[str, Any]) -> str:
    """Return all tables with the sentence that explains them."""
    measured = document["metrics"]
    return "\n\n".join(
        [
            f"Test split of {measured['collection']}: {measured['pictures']} pictures of {measured['lesions']} lesions,"
            " none of which was trained on. Intervals: 95 %, bootstrap over lesions. *Prior* says for which mix of"
            " diagnoses the probabilities were asked: `equal`, each equally common (BACC's natural choice), or"
            " `collection`, as common as in the training collection (where nv is"
            f" {document['prior'][document['classes'].index('nv')]:.0%}). Trained and measured on copies of"
            f" {measured['picture_size']} pixels; sharper pictures, other cameras and other clinics are not in these"
            " figures. The baselines answer alike for every picture: always nv, or the training collection's class"
            " frequencies, which are calibrated by definition and tell nothing apart.",
            headline_table(document),
            class_table(document),
            "The malignancy score is the probability of akiec, bcc or mel together, at the collection's prior.",
            operating_table(document),
        ]
    )


def model_card(document: dict[str, Any]) -> str:
    """Return the model folder's README.md: Hub metadata, then intended use, figures, training and licence."""
    training = document["training"]
    experiment = training["experiment"]
    parts = [
        _metadata(document),
        f"# {document['name']}: seven diagnoses from a dermatoscopic picture",
        f"A {experiment['network']} ({document['parameters']:,} parameters, {document['input_size']} px), all layers"
        " fine-tuned on HAM10000. It returns calibrated probabilities, one activation map per class and the pooled"
        " features in one forward pass.",
        "**For research and education only. It is no medical device, and no answer of it is a diagnosis.**",
        "## Use",
        "```python\n"
        "from skin_gradio.classifier import Classifier\n"
        "from skin_gradio.engines import open_engine\n"
        "from skin_gradio.images import read_picture\n"
        "from skin_gradio.models import find_model\n\n"
        f'model = find_model("{document["name"]}")  # or a folder, or user/repository@revision on the Hub\n'
        "classifier = Classifier(model, open_engine(model))\n"
        'finding = classifier.classify([read_picture("lesion.jpg").resized(classifier.input_size)])[0]\n'
        "print(dict(zip(finding.codes, finding.probabilities)), finding.malignancy_score)\n"
        "```",
        'Keras alone opens it as well: `keras.saving.load_model("model.keras", safe_mode=True)`; input `uint8'
        f" (n, {document['input_size']}, {document['input_size']}, 3)` RGB, outputs `probabilities`, `heatmaps`,"
        " `embedding`. `model.onnx` is the same graph.",
        "Classes, in order: " + ", ".join(f"{lesions.BY_CODE[c].name} ({c})" for c in document["classes"]) + ".",
        "## Figures",
        figures_section(document) if "metrics" in document else "Not measured yet: run `python -m training.evaluate`.",
        "## Limits",
        "- It knows seven diagnoses and forces every picture into them; it does not say that a picture shows none.\n"
        "- It learned from two clinics, mostly from light skin; expect worse answers elsewhere.\n"
        "- A probability is calibrated for the stated mix of cases only.\n"
        "- An activation map shows where the score came from. It proves nothing about why.",
        "## Training",
        "- Data: HAM10000, split by lesion 70/15/15 and stratified by diagnosis (fingerprint"
        f" `{training['data_fingerprint']}`).\n"
        f"- Command: `python -m training.train {experiment['name']}`; seed {experiment['seed']}, backend"
        f" {training['backend']}, {training['epochs_run']} epochs in {training['seconds'] / 60:.0f} minutes on"
        f" {training['hardware']}; best epoch {training['best_epoch']} (validation BACC"
        f" {training['validation_balanced_accuracy']:.3f} at equal priors).\n"
        f"- Start: {_STARTS.get(experiment['start'], 'other weights')}."
        f" Imbalance: classes drawn by count to the power {experiment['sampling_power']:g},"
        " logit adjustment in the loss; the collection's prior is put back when temperature"
        f" ({document['calibration']['temperature']:.3f}) and class biases are fitted on the validation split.\n"
        "- Versions: " + ", ".join(f"{name} {value}" for name, value in training["versions"].items()) + ".",
        "## Licence and citation",
        f"Weights: CC BY-NC 4.0, as the data. {CREDIT}",
        CITATIONS,
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(document: dict[str, Any]) -> str:
    lines = [
        "---",
        "license: cc-by-nc-4.0",
        "library_name: keras",
        "pipeline_tag: image-classification",
        "tags: [dermatology, dermatoscopy, skin-lesion, ham10000, onnx]",
        "metrics: [accuracy, roc_auc]",
    ]
    if "metrics" in document:
        figures = document["metrics"]["figures"]
        named = [
            ("Balanced accuracy (equal priors)", "balanced_accuracy", "equal_balanced_accuracy"),
            ("Macro AUROC (equal priors)", "roc_auc", "equal_macro_auroc"),
            ("Accuracy (collection's prior)", "accuracy", "accuracy"),
        ]
        lines += [
            "model-index:",
            f"- name: {document['name']}",
            "  results:",
            "  - task: {type: image-classification}",
            "    dataset: {name: 'HAM10000, lesion-grouped test split', type: ham10000, split: test}",
            "    metrics:",
            *(f"    - {{name: {n}, type: {t}, value: {figures[k]['value']:.4f}}}" for n, t, k in named),
        ]
    return "\n".join([*lines, "---"])


def replace_marked(readme: Path, mark: str, text: str) -> None:
    """Replace what stands between a README's `<!-- MARK: begin -->` and `<!-- MARK: end -->`.

    Raises ValueError when the marks are not there.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    whole = readme.read_text(encoding="utf-8")
    before, found, rest = whole.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{readme} lacks the marks {begin} and {end}.")
    readme.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
