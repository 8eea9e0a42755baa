"""Each figure against scikit-learn's, or against a case small enough to count by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from skin_gradio.classifier import at_prior
from training import metrics


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    logits = rng.normal(0, 1, (400, 5)) + 1.5 * np.eye(5)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, probabilities


def test_recall_precision_f1_and_balanced_accuracy_agree_with_scikit_learn(answers):
    labels, probabilities = answers
    predicted = probabilities.argmax(1)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose(metrics.precisions(labels, predicted, 5), precision)
    np.testing.assert_allclose(metrics.recalls(labels, predicted, 5), recall)
    np.testing.assert_allclose(metrics.f1_scores(labels, predicted, 5), f1)
    assert metrics.balanced_accuracy(labels, predicted, 5) == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted)
    )
    assert (metrics.confusion_matrix(labels, predicted, 5) == reference.confusion_matrix(labels, predicted)).all()


def test_auroc_agrees_with_scikit_learn_also_with_ties(answers):
    labels, probabilities = answers
    rounded = probabilities.round(1)
    for scores in (probabilities, rounded):
        for c in range(5):
            expected = reference.roc_auc_score(labels == c, scores[:, c])
            assert metrics.auroc(labels == c, scores[:, c]) == pytest.approx(expected)
    assert metrics.macro_auroc(labels, probabilities) == pytest.approx(
        reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )


def test_average_precision_agrees_with_scikit_learn_also_with_ties(answers):
    labels, probabilities = answers
    for scores in (probabilities, probabilities.round(1)):
        for c in range(5):
            expected = reference.average_precision_score(labels == c, scores[:, c])
            assert metrics.average_precision(labels == c, scores[:, c]) == pytest.approx(expected)


def test_curves_agree_with_scikit_learn(answers):
    labels, probabilities = answers
    positive, score = labels == 1, probabilities[:, 1].round(2)
    rate, sensitivity = metrics.roc_curve(positive, score)
    expected = reference.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(rate, expected[0])
    np.testing.assert_allclose(sensitivity, expected[1])
    recall, precision = metrics.precision_recall_curve(positive, score)
    expected = reference.precision_recall_curve(positive, score)  # by rising score, with a last point of its own
    np.testing.assert_allclose(recall, expected[1][-2::-1])
    np.testing.assert_allclose(precision, expected[0][-2::-1])


def test_a_thinned_curve_keeps_its_ends_and_its_area(answers):
    labels, probabilities = answers
    rate, sensitivity = metrics.roc_curve(labels == 1, probabilities[:, 1])
    x, y = metrics.thinned(rate, sensitivity, 60)
    assert len(x) <= 60 < len(rate)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(metrics.auroc(labels == 1, probabilities[:, 1]), abs=0.01)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 1.0])
def test_sensitivity_and_specificity_at_each_other_are_the_best_of_scikit_learns_curve(answers, share):
    labels, probabilities = answers
    positive = labels == 3
    for score in (probabilities[:, 3], probabilities[:, 3].round(1)):
        rate, sensitivity, _ = reference.roc_curve(positive, score, drop_intermediate=False)
        best = sensitivity[1 - rate >= share - 1e-12].max()
        assert metrics.sensitivity_at_specificity(positive, score, share) == pytest.approx(best)
        best = (1 - rate)[sensitivity >= share - 1e-12].max()
        assert metrics.specificity_at_sensitivity(positive, score, share) == pytest.approx(best)


def test_nineteen_of_twenty_are_95_percent():
    positive = np.array([True] * 5 + [False] * 20)
    score = np.append(np.full(5, 0.5), np.append(np.full(19, 0.1), 0.9))
    assert metrics.sensitivity_at_specificity(positive, score, 0.95) == 1


def test_the_binary_brier_score_is_twice_scikit_learns():
    rng = np.random.default_rng(1)
    labels, score = rng.integers(0, 2, 50), rng.random(50)
    two = np.stack([1 - score, score], axis=1)
    assert metrics.brier_score(labels, two) == pytest.approx(2 * reference.brier_score_loss(labels, score))


def test_a_class_without_pictures_does_not_count():
    labels, predicted = np.array([0, 0, 1]), np.array([0, 2, 1])
    assert metrics.balanced_accuracy(labels, predicted, 3) == pytest.approx(0.75)
    for one_kind in (np.zeros(4, bool), np.ones(4, bool)):
        assert np.isnan(metrics.auroc(one_kind, np.arange(4)))
        assert np.isnan(metrics.sensitivity_at_specificity(one_kind, np.arange(4), 0.9))
    assert np.isnan(metrics.average_precision(np.zeros(4, bool), np.arange(4)))


def test_calibration_error_of_a_case_counted_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    # Half of the answers at 0.9 are right, all of those at 0.6: gaps 0.4 and 0.4, each on half of the pictures.
    assert metrics.expected_calibration_error(labels, probabilities, bins=15) == pytest.approx(0.4)


def test_certain_and_right_answers_are_calibrated():
    labels = np.array([0, 1, 1])
    assert metrics.expected_calibration_error(labels, np.eye(2)[labels]) == 0
    assert metrics.brier_score(labels, np.eye(2)[labels]) == 0


def test_equal_priors_undo_the_prior_of_bayes_rule():
    prior, likelihood = np.array([0.7, 0.2, 0.1]), np.array([[0.1, 0.6, 0.3]])
    given = likelihood * prior / (likelihood * prior).sum()
    np.testing.assert_allclose(at_prior(given, prior, "equal"), likelihood)


def test_a_threshold_reaches_the_sensitivity_it_was_asked_for(answers):
    labels, probabilities = answers
    positive = labels == 2
    for wanted in (0.5, 0.9, 0.95, 1.0):
        threshold = metrics.threshold_for_sensitivity(positive, probabilities[:, 2], wanted)
        sensitivity, _ = metrics.sensitivity_and_specificity(positive, probabilities[:, 2], threshold)
        assert wanted <= sensitivity < wanted + 2 / positive.sum()


def test_the_bootstrap_resamples_lesions_not_pictures():
    """With one lesion behind all pictures of a class, resampling can keep or drop them together only."""
    groups = np.array([0] * 10 + [1] * 10)
    seen = set()
    metrics.lesion_bootstrap(lambda rows: seen.add((rows < 10).sum()) or {"n": len(rows)}, groups, repeats=50)
    assert seen == {0, 10, 20}


def test_bootstrap_intervals_hold_the_value_and_narrow_with_more_lesions():
    rng = np.random.default_rng(0)

    def width(n):
        hits = rng.random(n) < 0.8
        low, high = metrics.lesion_bootstrap(lambda rows: {"accuracy": hits[rows].mean()}, np.arange(n), 300)[
            "accuracy"
        ]
        assert low <= hits.mean() <= high
        return high - low

    assert width(2000) < width(100) / 2
