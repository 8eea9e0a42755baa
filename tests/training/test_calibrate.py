import numpy as np
import pytest

from skin_gradio.classifier import at_prior
from training import calibrate, metrics

PRIOR = np.array([0.7, 0.2, 0.1])


@pytest.fixture
def sample():
    """Logits of a network that is right about the likelihoods but twice too sure of them."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 20000, p=PRIOR)
    evidence = rng.normal(0, 1, (len(labels), 3)) + np.eye(3)[labels]  # log likelihood ratio of unit normals: x itself
    return 2 * evidence, labels


def test_the_temperature_undoes_overconfidence(sample):
    logits, labels = sample
    assert calibrate.fit_temperature(logits, labels, PRIOR) == pytest.approx(2, rel=0.05)


def test_calibrated_probabilities_have_a_small_calibration_error(sample):
    logits, labels = sample
    before = calibrate.probabilities_at(logits, PRIOR, 1.0)
    after = calibrate.probabilities_at(logits, PRIOR, calibrate.fit_temperature(logits, labels, PRIOR))
    assert metrics.expected_calibration_error(labels, after) < 0.015
    assert metrics.expected_calibration_error(labels, before) > 0.04


def test_dividing_the_prior_out_gives_the_networks_own_answer(sample):
    logits, _ = sample
    equal = at_prior(calibrate.probabilities_at(logits, PRIOR, 1.7), PRIOR, "equal")
    assert (equal.argmax(1) == logits.argmax(1)).all()


def test_operating_points_reach_their_sensitivity():
    rng = np.random.default_rng(1)
    malignant = rng.random(500) < 0.2
    score = np.clip(rng.normal(0.3 + 0.3 * malignant, 0.15), 0, 1)
    for point, wanted in zip(calibrate.operating_points(malignant, score), calibrate.SENSITIVITIES, strict=True):
        assert point["sensitivity"] >= wanted
        assert point["name"] == f"sensitivity {wanted:.0%}"
        assert (score[malignant] >= point["threshold"]).mean() == point["sensitivity"]


def test_prediction_sets_cover_what_they_promise(sample):
    logits, labels = sample
    probabilities = calibrate.probabilities_at(logits, PRIOR, 2.0)
    fitted, fresh = slice(0, 10000), slice(10000, None)
    for entry in calibrate.prediction_sets(labels[fitted], probabilities[fitted]):
        true = probabilities[fresh][np.arange(10000), labels[fresh]]
        assert (true >= entry["threshold"]).mean() == pytest.approx(entry["coverage"], abs=0.01)
