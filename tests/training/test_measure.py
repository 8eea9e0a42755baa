"""What is measured, for whole and partial collections, seven classes and two."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from skin_gradio import lesions
from skin_gradio.classifier import at_prior
from training import curves, measure, metrics
from training.collection import Collection, DatasetError
from training.subgroups import MIN_LESIONS, subgroups

from . import answered

MALIGNANT = np.array(lesions.malignant_mask(lesions.CODES))


def values(answers):
    return measure.figures_of(answers)(np.arange(len(answers.labels)))


def binary_collection(answers):
    frame = answered.table(answers)
    frame["label"] = ["malignant" if bad else "benign" for bad in answers.positive]
    return Collection("own", "Own", frame, ("benign", "malignant"))


def test_the_figures_are_scikit_learns():
    answers = answered.sheet()
    found = values(answers)
    equal = at_prior(answers.probabilities, answers.prior, "equal")
    positive, score = MALIGNANT[answers.labels], answers.probabilities[:, MALIGNANT].sum(axis=1)
    expected = {
        "equal_balanced_accuracy": reference.balanced_accuracy_score(answers.labels, equal.argmax(1)),
        "accuracy": reference.accuracy_score(answers.labels, answers.probabilities.argmax(1)),
        "equal_macro_auroc": reference.roc_auc_score(answers.labels, equal, multi_class="ovr"),
        "macro_f1": reference.f1_score(answers.labels, answers.probabilities.argmax(1), average="macro"),
        "malignant_auroc": reference.roc_auc_score(positive, score),
        "malignant_average_precision": reference.average_precision_score(positive, score),
        "average_precision_mel": reference.average_precision_score(answers.labels == 4, answers.probabilities[:, 4]),
        "binary_balanced_accuracy": reference.balanced_accuracy_score(positive, score > 0.5),
        "binary_equal_balanced_accuracy": reference.balanced_accuracy_score(positive, score > 0.2),
        "binary_auroc": reference.roc_auc_score(positive, score),
        "sensitivity_0": reference.recall_score(positive, score >= 0.2),
        "specificity_1": reference.recall_score(~positive, score < 0.1),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_a_prediction_set_counts_the_classes_from_its_threshold_on():
    answers = answered.sheet(4)
    probabilities = np.full((4, 7), 0.02)
    probabilities[:, :3] = 0.40, 0.30, 0.22
    found = values(replace(answers, labels=np.array([0, 1, 2, 6]), probabilities=probabilities))
    assert found["coverage_at_90%"] == 0.75
    assert found["set_size_at_90%"] == 3


def test_the_score_histogram_gives_sensitivity_and_specificity_at_every_threshold():
    answers = replace(answered.sheet(), thresholds=(0.17699, 0.105))
    held = measure.score_histogram(answers)
    malignant, benign = np.array(held["malignant"]), np.array(held["benign"])
    assert (malignant.sum(), benign.sum()) == (answers.positive.sum(), (~answers.positive).sum())
    assert {0.0, 0.105, 0.17699, 0.5} <= set(held["thresholds"])
    for place, threshold in enumerate(held["thresholds"]):
        sensitivity, specificity = metrics.sensitivity_and_specificity(answers.positive, answers.score, threshold)
        assert malignant[place:].sum() / malignant.sum() == pytest.approx(sensitivity)
        assert benign[:place].sum() / benign.sum() == pytest.approx(specificity)


def test_answers_of_classes_that_a_collection_lacks_are_errors():
    answers = answered.sheet(labels=np.tile([2, 4, 5], 40))
    probabilities = answers.probabilities.copy()
    probabilities[answers.labels == 4] = np.where(np.arange(7) == 0, 0.94, 0.01)  # all melanomas are called akiec
    answers = replace(answers, probabilities=probabilities)
    measured = measure.measure(answers, repeats=20)
    figures = measured["figures"]
    assert figures["recall_mel"]["value"] == 0
    recalls = [figures[f"equal_recall_{code}"]["value"] for code in ("bkl", "mel", "nv")]
    assert figures["equal_balanced_accuracy"]["value"] == pytest.approx(np.mean(recalls), abs=1e-6)
    assert measured["confusion_matrix"]["equal"][4][0] == 80
    for name in ("recall", "precision", "f1", "auroc", "average_precision"):
        assert f"{name}_nv" in figures
        assert f"{name}_akiec" not in figures
    assert measured["counts"]["akiec"] == 0


def test_no_figure_of_a_partial_collection_is_no_number():
    measured = measure.measure(answered.sheet(labels=np.full(40, 5)), repeats=10)
    numbers = [number for figure in measured["figures"].values() for number in figure.values()]
    numbers += [number for baseline in measured["baselines"].values() for number in baseline.values()]
    assert np.isfinite(numbers).all()
    assert "malignant_auroc" not in measured["figures"]


def test_a_binary_model_is_measured_on_diagnoses_by_their_group(classifier):
    answers = answered.sheet()
    frame = answered.table(answers)
    source = Collection("ham10000", "HAM10000", frame, lesions.CODES)
    model = replace(classifier.model, codes=("benign", "malignant"), prior=(0.8, 0.2))
    binary = answers.binary()
    found = measure.answer_sheet(model, source, frame, binary.probabilities)
    assert (found.labels == MALIGNANT[answers.labels]).all()
    seven, two = values(answers), values(found)
    for name in (name for name in seven if name.startswith("binary_") or name == "malignant_auroc"):
        assert two[name] == pytest.approx(seven[name]), name
    assert two["equal_balanced_accuracy"] == pytest.approx(seven["binary_equal_balanced_accuracy"])


def test_a_model_of_diagnoses_is_measured_on_groups_by_its_malignancy_score(classifier):
    answers = answered.sheet()
    source = binary_collection(answers)
    model = replace(classifier.model, prior=tuple(answered.PRIOR))
    found = measure.answer_sheet(model, source, source.table, answers.probabilities)
    assert found.codes == ("benign", "malignant")
    np.testing.assert_allclose(found.probabilities[:, 1], answers.score)
    assert values(found)["malignant_auroc"] == pytest.approx(values(answers)["malignant_auroc"])
    assert values(found)["sensitivity_0"] == reference.recall_score(answers.positive, answers.score >= 0.2)


def test_labels_that_the_model_does_not_know_are_a_clear_error(classifier):
    frame = pd.DataFrame({"label": ["scar"], "group": ["a"]})
    with pytest.raises(DatasetError, match="'scar'"):
        measure.answer_sheet(classifier.model, Collection("own", "Own", frame, ("scar",)), frame, np.ones((1, 7)) / 7)


def test_baselines_answer_the_most_common_class_and_the_prior():
    answers = answered.sheet(labels=np.repeat([4, 2], [30, 10]))
    baselines = measure.measure(answers, repeats=2)["baselines"]
    assert baselines["always mel"]["accuracy"] == 0.75
    assert baselines["always mel"]["balanced_accuracy"] == 0.5
    assert baselines["class prior"]["accuracy"] == 0  # it says nv
    assert baselines["class prior"]["malignant_auroc"] == 0.5


def test_intervals_hold_their_values():
    figures = measure.measure(answered.sheet(600), repeats=100)["figures"]
    for name, figure in figures.items():
        if "calibration_error" not in name:  # resampling adds to a mean of absolute gaps
            assert figure["low"] <= figure["value"] <= figure["high"], name


def test_a_set_holds_each_class_from_its_own_threshold_on_and_always_the_likeliest():
    answers = answered.sheet(4)
    probabilities = np.full((4, 7), 0.02)
    probabilities[:, :3] = 0.40, 0.30, 0.22
    thresholds = (0.9, 0.9, 0.2, 0.01, 0.9, 0.9, 0.9)
    labels = np.array([0, 1, 2, 3])
    found = values(replace(answers, labels=labels, probabilities=probabilities, sets=((0.9, thresholds),)))
    assert found["set_size_at_90%"] == 3
    assert found["coverage_at_90%"] == 0.75
    shares = [found[f"class_coverage_at_90%_{code}"] for code in ("akiec", "bcc", "bkl", "df")]
    assert shares == [1, 0, 1, 1]


def test_refusals_are_counted_over_all_and_in_each_class():
    answers = answered.sheet(labels=np.repeat([4, 5], [10, 40]))
    doubts = [("blurred",), ("blurred", "too_dark")] + [()] * 96 + [("too_dark",)] * 2
    found = measure.refusals(answers, doubts, repeats=50)
    assert found["pictures"] == 4
    assert found["reasons"] == {"blurred": 2, "too_dark": 3}
    shares = {name: figure["value"] for name, figure in found["shares"].items()}
    assert shares == {"all": 0.04, "mel": 0.1, "nv": 0.025}
    assert found["shares"]["all"]["low"] <= 0.04 <= found["shares"]["all"]["high"]


def test_answers_of_eight_views_have_thresholds_of_their_own(classifier):
    source = Collection("ham10000", "HAM10000", answered.table(answered.sheet()), lesions.CODES)
    own = {
        "operating_points": [{"name": "sensitivity 90%", "threshold": 0.11}],
        "prediction_sets": [{"coverage": 0.9, "threshold": 0.2, "thresholds": [0.3] * 7}],
    }
    card = {"prediction_sets": [{"coverage": 0.9, "threshold": 0.4}]}
    for views, entry, thresholds, sets in (
        (False, own, (0.2,), ((0.9, 0.4),)),
        (True, own, (0.11,), ((0.9, (0.3,) * 7),)),
        (True, None, (0.2,), ((0.9, 0.4),)),
    ):
        model = replace(classifier.model, card={**card, "views": entry} if entry else card)
        sheet = measure.answer_sheet(model, source, source.table, answered.sheet().probabilities, views)
        assert sheet.thresholds == thresholds
        assert sheet.sets == sets


def test_reliability_bins_hold_every_picture_once_and_give_the_calibration_error():
    answers = answered.sheet()
    bins = curves.reliability(answers, repeats=20)
    for name in ("top", "malignant"):
        assert sum(entry["count"] for entry in bins[name]) == len(answers.labels)
        assert all(entry["low"] <= entry["share"] <= entry["high"] for entry in bins[name])
    gaps = sum(entry["count"] * abs(entry["share"] - entry["confidence"]) for entry in bins["top"])
    expected = values(answers)["expected_calibration_error"]
    assert gaps / len(answers.labels) == pytest.approx(expected, abs=1e-3)


def test_there_are_curves_for_the_classes_that_occur():
    found = curves.curves(answered.sheet(labels=np.tile([2, 4, 5], 40)), repeats=10)
    assert set(found["roc"]) == set(found["precision_recall"]) == {"bkl", "mel", "nv", "malignancy"}
    assert np.all(np.array(found["band"]["low"]) <= np.array(found["band"]["high"]))
    assert curves.curves(answered.sheet(labels=np.full(20, 5)), repeats=2)["roc"] == {}


def test_subgroups_are_measured_like_the_whole():
    answers = answered.sheet(400)
    sex = np.where(np.arange(400) % 4 < 2, "female", "male")
    found = subgroups(answers, answered.table(answers, sex=sex), repeats=20)
    assert list(found) == ["sex"]
    rows = np.flatnonzero(sex == "female")
    group = next(group for group in found["sex"] if group["name"] == "female")
    assert group["pictures"] == len(rows)
    expected = measure.figures_of(answers)(rows)
    for name, figure in group["figures"].items():
        assert figure["value"] == pytest.approx(expected[name], abs=1e-6)


def test_groups_too_small_to_say_anything_have_no_figures():
    answers = answered.sheet(400)
    site = np.where(np.arange(400) < 2 * (MIN_LESIONS - 1), "ear", "back")
    found = {group["name"]: group for group in subgroups(answers, answered.table(answers, site=site), 10)["site"]}
    assert found["ear"]["figures"] == {}
    assert found["ear"]["lesions"] == MIN_LESIONS - 1
    assert found["back"]["figures"]


def test_a_group_with_few_malignant_lesions_has_no_auroc():
    answers = answered.sheet(labels=np.repeat([5, 4], [60, 5]))
    found = subgroups(answers, answered.table(answers, sex="female"), 10)["sex"][0]
    assert "accuracy" in found["figures"]
    assert "malignant_auroc" not in found["figures"]


def test_ages_fall_into_bands_in_order_and_missing_ones_come_last():
    answers = answered.sheet(12)
    ages = [0, 29, 30, 44, 45, 59, 60, 74, 75, 90, None, float("nan")]
    found = subgroups(answers, answered.table(answers, age=ages), 2)["age"]
    names = [(group["name"], group["pictures"]) for group in found]
    assert names == [
        ("under 30", 2), ("30-44", 2), ("45-59", 2), ("60-74", 2), ("75 and over", 2), ("unknown", 2),
    ]  # fmt: skip


def test_a_column_that_tells_nothing_makes_no_subgroups():
    answers = answered.sheet(10)
    assert subgroups(answers, answered.table(answers, site=[""] * 5 + [None] * 5), 2) == {}
