"""The model card, and the README's table of figures: both made from model.json, never typed."""

from pathlib import Path
from typing import Any

from skin_gradio import lesions
from skin_gradio.credit import citations, credit, is_credited
from skin_gradio.credit import learned as was_learned
from training import provenance
from training.calibrate import MIN_OWN
from training.command import UserError

_HEADLINE = (
    ("Balanced accuracy (BACC)", "equal", "equal_balanced_accuracy", "balanced_accuracy"),
    ("Macro AUROC", "equal", "equal_macro_auroc", "macro_auroc"),
    ("Malignant AUROC", "collection", "malignant_auroc", "malignant_auroc"),
    ("Malignant average precision", "collection", "malignant_average_precision", "malignant_average_precision"),
    ("Sensitivity at 90 % specificity", "collection", "sensitivity_at_specificity_90%", ""),
    ("Balanced accuracy of the two groups", "equal", "binary_equal_balanced_accuracy", "binary_balanced_accuracy"),
    ("Accuracy", "collection", "accuracy", "accuracy"),
    ("Balanced accuracy (BACC)", "collection", "balanced_accuracy", "balanced_accuracy"),
    (
        "Expected calibration error (15 bins)",
        "collection",
        "expected_calibration_error",
        "expected_calibration_error",
    ),
    ("Brier score", "collection", "brier_score", "brier_score"),
)
"""Title, prior, the figure's key, and the baseline's."""
_BEFORE_USE = ("sensitivity_", "specificity_", "coverage_at_", "set_size_at_")
"""How the names begin of figures that say what the thresholds chosen before give on test pictures."""


def headline_figures(measured: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured without all but its headline figures: for a second set of figures beside the first."""
    keys = [key for _, _, key, _ in _HEADLINE]
    figures = {
        name: figure
        for name, figure in measured["figures"].items()
        if name in keys or (name.startswith(_BEFORE_USE) and "_at_s" not in name)
    }
    kept = ("collection", "split", "pictures", "lesions", "malignancy_scores")
    return {**{name: measured[name] for name in kept if name in measured}, "figures": figures}


def _with_interval(figure: dict[str, float]) -> str:
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**figure)


def headline_table(document: dict[str, Any]) -> str:
    """Return the headline figures on the test split as a Markdown table, beside the trivial baselines."""
    measured = document["metrics"]
    figures, baselines = measured["figures"], measured["baselines"]
    lines = [
        f"| figure | prior | test split (95 % interval) | {' | '.join(baselines)} |",
        "|---|---|---|" + "---|" * len(baselines),
    ]
    for title, prior, key, base in _HEADLINE:
        if key in figures:
            values = (baseline.get(base) for baseline in baselines.values())
            references = " | ".join("-" if value is None else f"{value:.3f}" for value in values)
            lines.append(f"| {title} | {prior} | {_with_interval(figures[key])} | {references} |")
    return "\n".join(lines)


def class_table(document: dict[str, Any]) -> str:
    """Return recall (at both priors), precision, F1 and AUROC of every class as a Markdown table."""
    figures, counts = document["metrics"]["figures"], document["metrics"]["counts"]
    lines = [
        "| diagnosis | pictures | recall, equal priors | recall, collection's prior | precision | F1 | AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    for code in document["metrics"].get("classes") or document["classes"]:
        names = (f"{name}_{code}" for name in ("equal_recall", "recall", "precision", "f1", "auroc"))
        cells = [_with_interval(figures[name]) if name in figures else "-" for name in names]
        lines.append(f"| {lesions.BY_CODE[code].name} ({code}) | {counts[code]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def operating_table(document: dict[str, Any]) -> str:
    """Return the malignancy operating points, chosen on validation and checked on test pictures."""
    figures = document["metrics"]["figures"]
    lines = [
        "| operating point | threshold | validation sensitivity / specificity | test sensitivity | test specificity |",
        "|---|---|---|---|---|",
    ]
    for number, point in enumerate(document["operating_points"]):
        names = (f"{name}_{number}" for name in ("sensitivity", "specificity"))
        cells = [_with_interval(figures[name]) if name in figures else "-" for name in names]
        lines.append(
            f"| {point['name']} | {point['threshold']:.4f} | {point['sensitivity']:.3f} / {point['specificity']:.3f}"
            f" | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def elsewhere_table(document: dict[str, Any]) -> str:
    """Return the headline figures on the other collections as a Markdown table, one column each."""
    others = list(document["elsewhere"].values())
    lines = [
        f"| figure | prior | {' | '.join(other['collection'] for other in others)} |",
        "|---|---|" + "---|" * len(others),
        f"| Pictures | | {' | '.join(str(other['pictures']) for other in others)} |",
        "| Classes that occur | | "
        + " | ".join(", ".join(code for code, count in other["counts"].items() if count) for other in others)
        + " |",
    ]
    for title, prior, key, _ in _HEADLINE:
        cells = [_with_interval(other["figures"][key]) if key in other["figures"] else "-" for other in others]
        lines.append(f"| {title} | {prior} | {' | '.join(cells)} |")
    return "\n".join(lines)


def set_table(document: dict[str, Any]) -> str:
    """Return how often the prediction sets hold the truth, over all and in each class, as a Markdown table."""
    figures, counts = document["metrics"]["figures"], document["metrics"]["counts"]
    keys = [key for key in figures if key.startswith("coverage_at_")]
    rows = [("All", ""), *((f"{lesions.BY_CODE[code].name} ({code})", f"_{code}") for code in counts)]
    wanted = " | ".join(f"asked for {key.removeprefix('coverage_at_')}" for key in keys)
    lines = [f"| share of sets that hold the truth | {wanted} |", "|---|" + "---|" * len(keys)]
    for title, code in rows:
        names = (f"class_{key}{code}" if code else key for key in keys)
        cells = [_with_interval(figures[name]) if name in figures else "-" for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    sizes = [_with_interval(figures[key.replace("coverage", "set_size")]) for key in keys]
    return "\n".join([*lines, f"| Mean number of diagnoses in a set | {' | '.join(sizes)} |"])


def gate_table(document: dict[str, Any]) -> str:
    """Return what share of the test pictures the input gate has doubts about, by collection and class, as Markdown."""
    measured = [document["metrics"], *document.get("elsewhere", {}).values()]
    asked = [one for one in measured if one.get("gate")]
    codes = [code for code in document["classes"] if any(code in one["gate"]["shares"] for one in asked)]
    lines = [
        f"| test pictures doubted | {' | '.join(one['collection'] for one in asked)} |",
        "|---|" + "---|" * len(asked),
    ]
    for title, key in [("All", "all"), *((f"{lesions.BY_CODE[code].name} ({code})", code) for code in codes)]:
        shares = (one["gate"]["shares"].get(key) for one in asked)
        lines.append(f"| {title} | {' | '.join('-' if s is None else _percent_with_interval(s) for s in shares)} |")
    return "\n".join(lines)


def _percent_with_interval(figure: dict[str, float]) -> str:
    return "{:.1%} ({:.1%} to {:.1%})".format(*(figure[key] for key in ("value", "low", "high")))


def views_table(document: dict[str, Any]) -> str:
    """Return the headline figures of eight views together beside those of one, as a Markdown table."""
    one, eight = document["metrics"]["figures"], document["metrics_with_views"]["figures"]
    lines = ["| figure | prior | one view | eight views |", "|---|---|---|---|"]
    for title, prior, key, _ in _HEADLINE:
        if key in one and key in eight:
            lines.append(f"| {title} | {prior} | {_with_interval(one[key])} | {_with_interval(eight[key])} |")
    return "\n".join(lines)


def gate_text(document: dict[str, Any]) -> str:
    """Return what the input gate is and how it does, as Markdown; or that the model has none."""
    entry = document.get("gate")
    if not entry:
        return "This model has no input gate: it answers any picture and doubts none."
    fitted, unseen = entry["fitted_on"], entry.get("unseen_photographs") or {"pictures": 0}
    text = (
        "Before an answer the program says when a picture can hardly be judged: not dermatoscopic, blurred, too small,"
        " too dark, too bright, or unlike the training pictures. This was fitted on"
        f" {fitted['pictures']} validation pictures of {' and '.join(entry['collections'])}"
    )
    if not fitted["photographs"]:
        return f"{text}, without photographs of other things; so it does not know such photographs as such."
    text += f" and {fitted['photographs']} photographs of everyday things."
    if unseen["pictures"]:
        share = unseen["refused"] / unseen["pictures"]
        text += f" Of {unseen['pictures']} such photographs that it had not seen, {share:.1%} are doubted."
    return f"{text} It was not tested on clinical photographs of skin."


def subgroup_table(document: dict[str, Any]) -> str:
    """Return the figures by sex, age, body site and way of confirmation as a Markdown table."""
    lines = [
        "| group | pictures | BACC, equal priors | accuracy | malignant AUROC |",
        "|---|---|---|---|---|",
    ]
    for column, groups in document["metrics"]["subgroups"].items():
        for group in groups:
            figures = group["figures"]
            names = ("equal_balanced_accuracy", "accuracy", "malignant_auroc")
            cells = [_with_interval(figures[name]) if name in figures else "-" for name in names]
            lines.append(f"| {column}: {group['name']} | {group['pictures']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures_section(document: dict[str, Any]) -> str:
    """Return the tables of figures with the sentences that explain them."""
    measured, prior = document["metrics"], document["prior"]
    common = document["classes"][prior.index(max(prior))]
    of_lesions = f" of {measured['lesions']} lesions" if measured.get("grouped", True) else ""
    malignant = [code for code in document["classes"] if lesions.BY_CODE[code].malignant]
    parts = [
        f"Test split of {measured['collection']}: {measured['pictures']} pictures{of_lesions},"
        " none of which was trained on. Intervals: 95 %, bootstrap over lesions. *Prior* says for which mix of"
        " diagnoses the probabilities were asked: `equal`, each equally common (BACC's natural choice), or"
        f" `collection`, as common as in the training collection (where {common} is {max(prior):.0%}). Measured on"
        f" pictures of {measured['picture_size']} pixels; sharper pictures, other cameras and other clinics are not in"
        " these figures. The baselines answer alike for every picture: always the most common class, or the training"
        " collection's class frequencies, which are calibrated by definition and tell nothing apart.",
        headline_table(document),
        class_table(document),
        f"The malignancy score is the probability of {_either(malignant)}, at the collection's prior. The two groups of"
        " the first table are malignant and benign: the likelier one is the answer.",
        operating_table(document),
    ]
    if "metrics_with_views" in document:
        parts += [
            "The program can also look at a picture in eight views, flipped and turned, and average the answers; the"
            " average has its own calibration and thresholds.",
            views_table(document),
        ]
    if any(name.startswith("class_coverage_at_") for name in measured["figures"]):
        parts += [
            "A prediction set names every diagnosis that a picture may well have. Its thresholds were chosen on"
            f" validation pictures so that the truth is in it as often as asked for, within each class of at least"
            f" {MIN_OWN} validation pictures and over the rarer classes together.",
            set_table(document),
        ]
    if measured.get("gate"):
        parts += [gate_text(document), gate_table(document)]
    if document.get("elsewhere"):
        parts += [
            f"The same model on other collections. {_learned_elsewhere(document)} A mean is over the classes that occur"
            " there; the model does not know which do, and naming another one is an error. Operating points, prediction"
            " sets and the prior are the first collection's.",
            elsewhere_table(document),
        ]
    return "\n\n".join(parts)


def _learned_elsewhere(document: dict[str, Any]) -> str:
    """Return which of the other collections the model learned from, and which it has never seen."""
    titles, learned = [other["collection"] for other in document["elsewhere"].values()], document["training"]
    seen = [title for title in titles if was_learned(title, provenance.learned_from(learned))]
    unseen = [title for title in titles if title not in seen]
    sentences = [f"It learned from the training part of {' and '.join(seen)}, not from these pictures." if seen else ""]
    sentences += [f"It learned nothing from {' or '.join(unseen)}." if unseen else ""]
    return " ".join(sentence for sentence in sentences if sentence)


def _either(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]} together" if len(names) > 1 else "".join(names)


def model_card(document: dict[str, Any]) -> str:
    """Return the model folder's README.md: Hub metadata, then intended use, figures, training and licence."""
    titles, learned = document["training"]["collections"], provenance.learned_from(document["training"])
    parts = [
        _metadata(document),
        f"# {document['name']}: {_question(document['classes'])} from a dermatoscopic picture",
        f"{provenance.origin(document)} {' and '.join(titles)}. It returns calibrated probabilities, one activation map"
        " per class and the pooled features in one forward pass.",
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
        *_subgroup_section(document),
        *([] if document.get("metrics", {}).get("gate") else ["## Input gate", gate_text(document)]),
        "## Limits",
        f"- It knows {_question(document['classes'])} and forces every picture into these; a lesion of another kind"
        " gets one of their names.\n"
        f"- It learned from {' and '.join(learned)}"
        + (", mostly pictures of light skin" if any(map(is_credited, learned)) else "")
        + "; expect worse answers for other clinics, cameras and skin types.\n"
        "- A probability is calibrated for the stated mix of cases only.\n"
        "- An activation map shows where the score came from. It proves nothing about why.",
        "## Training",
        provenance.training_section(document),
        "## Licence and citation",
        f"Weights: CC BY-NC 4.0, as the data. {credit(learned)}"
        if credit(learned)
        else "Weights: as whoever owns the pictures decides.",
        *([citations(learned)] if citations(learned) else []),
    ]
    return "\n\n".join(parts) + "\n"


def _question(classes: list[str]) -> str:
    if set(classes) == set(lesions.TASKS["malignancy"]):
        return "benign or malignant"
    return f"{'seven' if len(classes) == 7 else len(classes)} diagnoses"


def _subgroup_section(document: dict[str, Any]) -> list[str]:
    if not document.get("metrics", {}).get("subgroups"):
        return []
    return [
        "### Subgroups",
        "BACC is over the classes that occur in a group. Groups of few lesions have no figures. The way of confirmation"
        " follows the diagnosis, so figures across it do not compare.",
        subgroup_table(document),
    ]


def _metadata(document: dict[str, Any]) -> str:
    names = provenance.recorded_collections(document) or ("ham10000",)
    # Only the last part: a folder's whole path is nobody's business. Quoted, as `2017` would be a number.
    short = ["".join(c if c.isalnum() or c in "._-" else "-" for c in Path(name).name.lower()) for name in names]
    datasets = ", ".join(f"'{name}'" for name in short)
    lines = [
        "---",
        "license: cc-by-nc-4.0" if credit(provenance.learned_from(document["training"])) else "license: other",
        "library_name: keras",
        "pipeline_tag: image-classification",
        f"datasets: [{datasets}]",
        f"tags: [dermatology, dermatoscopy, skin-lesion, {datasets}, onnx]",
        "metrics: [accuracy, roc_auc]",
    ]
    if "metrics" in document:
        measured = document["metrics"]
        figures = measured["figures"]
        title = str(measured["collection"]).replace("'", "")
        split = "lesion-grouped test split" if measured.get("grouped", True) else "test split"
        named = [
            ("Balanced accuracy (equal priors)", "balanced_accuracy", "equal_balanced_accuracy"),
            ("Macro AUROC (equal priors)", "roc_auc", "equal_macro_auroc"),
            ("Accuracy (collection's prior)", "accuracy", "accuracy"),
        ]
        lines += [
            "model-index:",
            f"- name: '{document['name']}'",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {{name: '{title}, {split}', type: {short[0]!r}, split: test}}",
            "    metrics:",
            *(f"    - {{name: {n}, type: {t}, value: {figures[k]['value']:.4f}}}" for n, t, k in named if k in figures),
        ]
    return "\n".join([*lines, "---"])


def replace_marked(readme: Path, mark: str, text: str) -> None:
    """Replace what stands between a README's `<!-- MARK: begin -->` and `<!-- MARK: end -->`.

    Raises UserError when the marks are not there.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    whole = readme.read_text(encoding="utf-8")
    before, found, rest = whole.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise UserError(f"{readme} lacks the marks {begin} and {end}.")
    readme.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
