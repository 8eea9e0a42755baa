"""Prediction sets and the curve of the malignancy score, as they stand in model.json."""

from dataclasses import replace

import numpy as np
import pytest

from skin_gradio import score_curve
from skin_gradio.prediction_set import measured_coverage, prediction_sets, set_rules

NINETY, NINETY_FIVE = {"coverage": 0.9, "threshold": 0.25}, {"coverage": 0.95, "threshold": 0.1}
POINT = {"name": "sensitivity 90%", "threshold": 0.15, "sensitivity": 0.92, "specificity": 0.75}


def model_with(classifier, **card):
    return replace(classifier.model, card=card)


@pytest.fixture
def finding(classifier):
    """Makes findings with the probabilities that a test names, in the order akiec, bcc, bkl, df, mel, nv, vasc."""
    answer = classifier.classify(np.zeros((1, 32, 32, 3), np.uint8))[0]
    return lambda *probabilities, **changes: replace(answer, probabilities=np.array(probabilities), **changes)


def test_a_set_holds_every_diagnosis_from_its_threshold_on_the_most_probable_first(classifier, finding):
    model = model_with(classifier, prediction_sets=[NINETY_FIVE, NINETY])
    narrow, wide = prediction_sets(finding(0.01, 0.01, 0.1, 0, 0.3, 0.57, 0.01), model)
    assert (narrow.coverage, narrow.codes, narrow.reached) == (0.9, ("nv", "mel"), True)
    assert (wide.coverage, wide.codes) == (0.95, ("nv", "mel", "bkl"))


def test_an_empty_set_becomes_the_most_probable_diagnosis_and_says_so(classifier, finding):
    model = model_with(classifier, prediction_sets=[NINETY])
    (only,) = prediction_sets(finding(0.15, 0.15, 0.15, 0.1, 0.2, 0.15, 0.1), model)
    assert (only.codes, only.reached) == (("mel",), False)


def test_thresholds_of_single_classes_go_before_the_common_one(classifier, finding):
    model = model_with(classifier, prediction_sets=[NINETY | {"thresholds": [0.5] * 4 + [0.05, 0.9, 0.5]}])
    (only,) = prediction_sets(finding(0.3, 0, 0, 0, 0.1, 0.6, 0), model)
    assert (only.codes, only.reached) == (("nv", "mel"), True), "the most probable one is always in"


def test_the_prior_of_the_page_does_not_change_the_sets(classifier):
    model = model_with(classifier, prediction_sets=[NINETY, NINETY_FIVE])
    picture = np.full((1, 32, 32, 3), (200, 120, 60), np.uint8)
    for_collection, for_equal = (classifier.classify(picture, prior)[0] for prior in ("collection", "equal"))
    assert not np.allclose(for_collection.probabilities, for_equal.probabilities)
    assert prediction_sets(for_collection, model) == prediction_sets(for_equal, model)


def test_the_average_over_views_has_its_own_thresholds_where_the_model_has_them(classifier):
    own = {"coverage": 0.9, "threshold": 0.3}
    with_views = model_with(classifier, prediction_sets=[NINETY], views={"prediction_sets": [own]})
    assert set_rules(with_views, careful=True)[0].thresholds[0] == 0.3
    assert set_rules(with_views)[0].thresholds[0] == 0.25
    assert set_rules(model_with(classifier, prediction_sets=[NINETY]), careful=True)[0].thresholds[0] == 0.25


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [{"coverage": 0.9}],
        [{"coverage": "most", "threshold": 0.1}],
        [{"coverage": 0.9, "threshold": float("nan")}],
        [NINETY | {"thresholds": [0.1, 0.2]}],
        ["0.9"],
        7,
    ],
)
def test_rules_that_make_no_sense_are_no_rules(classifier, entries):
    assert set_rules(model_with(classifier, prediction_sets=entries)) == ()


def test_the_measured_coverage_is_that_of_the_test_figures(classifier):
    model = model_with(classifier, metrics={"figures": {"coverage_at_90%": {"value": 0.884}}})
    assert measured_coverage(model, 0.9) == 0.884
    assert measured_coverage(model, 0.95) is None
    assert measured_coverage(model, 0.9, careful=True) is None


# The malignancy score's curve

SCORES = {"thresholds": [0, 0.1, 0.2, 0.5], "malignant": [1, 2, 3, 4], "benign": [50, 30, 15, 5]}


def test_the_curve_counts_what_each_threshold_finds_and_misses(classifier):
    curve = score_curve.score_curve(model_with(classifier, metrics={"malignancy_scores": SCORES}))
    np.testing.assert_allclose(curve.sensitivity, [1, 0.9, 0.7, 0.4])
    np.testing.assert_allclose(curve.specificity, [0, 0.5, 0.8, 0.95])
    assert (curve.part, curve.malignant, curve.others) == ("test", 10, 100)
    assert [curve.missed(place) for place in range(4)] == [0, 1, 3, 6]
    assert [curve.called(place) for place in range(4)] == [100, 50, 20, 5]


@pytest.mark.parametrize(("threshold", "place"), [(0, 0), (0.1, 1), (0.199, 1), (0.2, 2), (1, 3), (-1, 0)])
def test_a_threshold_is_found_at_the_highest_place_that_is_not_above_it(classifier, threshold, place):
    curve = score_curve.score_curve(model_with(classifier, metrics={"malignancy_scores": SCORES}))
    assert curve.place(threshold) == place


@pytest.mark.parametrize(
    "scores",
    [
        None,
        {},
        SCORES | {"malignant": [1, 2]},
        SCORES | {"benign": [0] * 4},
        SCORES | {"thresholds": [0, 0.5, 0.2, 0.1]},
        SCORES | {"malignant": [-1, 2, 3, 4]},
        SCORES | {"benign": ["many"] * 4},
    ],
)
def test_without_a_usable_histogram_the_curve_is_the_named_operating_points(classifier, scores):
    curve = score_curve.score_curve(model_with(classifier, metrics={"malignancy_scores": scores}))
    assert (curve.thresholds.tolist(), curve.sensitivity.tolist(), curve.specificity.tolist()) == ([0.2], [0.9], [0.7])
    assert (curve.part, curve.malignant, curve.missed(0)) == ("validation", 0, 0)


def test_the_average_over_views_has_its_own_points_and_curve(classifier):
    views = {"operating_points": [POINT]}
    model = model_with(classifier, metrics={"malignancy_scores": SCORES}, views=views)
    assert [point.threshold for point in score_curve.operating_points(model, careful=True)] == [0.15]
    assert score_curve.operating_points(model) == classifier.model.operating_points
    of_points = score_curve.score_curve(model, careful=True)
    assert (of_points.views, of_points.part, of_points.malignant) == (True, "validation", 0)
    measured = model_with(classifier, views=views, metrics_with_views={"malignancy_scores": SCORES})
    assert score_curve.score_curve(measured, careful=True).malignant == 10
    without = model_with(classifier, metrics={"malignancy_scores": SCORES})
    assert (score_curve.score_curve(without, careful=True).views, len(score_curve.operating_points(without, True))) == (
        False,
        1,
    )


def test_predictive_values_follow_bayes_rule():
    # Of 1,000 lesions 100 are malignant: 90 are called, and 180 of the 900 others.
    positive, negative = score_curve.predictive_values(0.9, 0.8, 0.1)
    assert positive == pytest.approx(90 / 270)
    assert negative == pytest.approx(720 / 730)


def test_a_threshold_that_calls_nothing_or_everything_leaves_one_predictive_value_open():
    assert score_curve.predictive_values(0, 1, 0.2) == (None, 0.8)
    assert score_curve.predictive_values(1, 0, 0.2) == (0.2, None)


def test_the_share_of_malignant_lesions_is_that_of_the_collection(classifier):
    assert score_curve.malignant_share(classifier.model) == pytest.approx(0.03 + 0.05 + 0.11)
