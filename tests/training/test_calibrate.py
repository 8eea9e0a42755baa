import numpy as np
import pytest

from skin_gradio.classifier import at_prior
from training import calibrate, metrics
from training.command import UserError

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
    calibration = calibrate.fit(logits, labels, PRIOR)
    assert calibration.temperature == pytest.approx(2, rel=0.05)
    assert np.ptp(calibration.bias) < 0.15


def test_pictures_of_a_collection_that_lacks_a_class_say_nothing_about_it(sample):
    """Their share for it is 0: the fit is that of the classes they have, each picture under its own mix."""
    logits, labels = sample
    partial = labels < 2
    priors = np.where(partial[:, None], np.array([0.5, 0.5, 0.0]), PRIOR)
    leaning = logits.copy()
    leaning[partial, 2] += 50  # nonsense that a picture without the class may say
    calibration = calibrate.fit(leaning, labels, priors)
    assert np.isfinite(calibration.bias).all()
    assert calibration.temperature == pytest.approx(2, rel=0.1)


def test_a_few_pictures_that_are_all_told_apart_make_no_answer_certain():
    labels = np.arange(21) % 3
    calibration = calibrate.fit(4.0 * np.eye(3)[labels], labels, np.full(3, 1 / 3))
    assert calibration.temperature > 0.2
    assert calibration.probabilities(np.array([[2.0, 1.0, 0.0]]), np.full(3, 1 / 3)).max() < 0.999


def test_the_biases_undo_a_networks_leaning_towards_a_class(sample):
    logits, labels = sample
    leaning = calibrate.fit(logits + np.array([0, 1.0, 0]), labels, PRIOR)
    assert leaning.bias[1] - leaning.bias[0] == pytest.approx(-0.5, abs=0.1)


def test_few_pictures_leave_the_biases_near_zero(sample):
    logits, labels = sample
    assert np.abs(calibrate.fit(logits[:12], labels[:12], PRIOR).bias).max() < 1


def test_calibrated_probabilities_have_a_small_calibration_error(sample):
    logits, labels = sample
    before = calibrate.Calibration(1.0, np.zeros(3)).probabilities(logits, PRIOR)
    after = calibrate.fit(logits, labels, PRIOR).probabilities(logits, PRIOR)
    assert metrics.expected_calibration_error(labels, after) < 0.015
    assert metrics.expected_calibration_error(labels, before) > 0.04


def test_dividing_the_prior_out_gives_the_calibrated_answer_at_equal_priors(sample):
    logits, _ = sample
    calibration = calibrate.Calibration(1.7, np.array([0.1, -0.2, 0.1]))
    equal = at_prior(calibration.probabilities(logits, PRIOR), PRIOR, "equal")
    np.testing.assert_allclose(equal, calibration.probabilities(logits, np.full(3, 1 / 3)))


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
    probabilities = calibrate.Calibration(2.0, np.zeros(3)).probabilities(logits, PRIOR)
    fitted, fresh = slice(0, 10000), slice(10000, None)
    for entry in calibrate.prediction_sets(labels[fitted], probabilities[fitted]):
        true = probabilities[fresh][np.arange(10000), labels[fresh]]
        assert (true >= entry["threshold"]).mean() == pytest.approx(entry["coverage"], abs=0.01)


def covered(labels, probabilities, thresholds):
    """Which pictures' sets hold the truth."""
    return (probabilities >= np.asarray(thresholds))[np.arange(len(labels)), labels]


def test_prediction_sets_hold_within_each_class_with_enough_pictures_and_over_the_rare_ones_together():
    rng = np.random.default_rng(2)
    prior = np.array([0.68, 0.3, 0.01, 0.01])
    labels = rng.choice(4, 22000, p=prior)
    evidence = rng.normal(0, 1, (len(labels), 4)) + 1.5 * np.eye(4)[labels]
    probabilities = calibrate.Calibration(1.0, np.zeros(4)).probabilities(evidence * 1.5, prior)
    few = 3000
    assert np.bincount(labels[:few])[2:].max() < calibrate.MIN_OWN <= np.bincount(labels[:few])[2:].sum()
    rare = labels[few:] >= 2
    for entry in calibrate.prediction_sets(labels[:few], probabilities[:few]):
        plain = covered(labels[few:], probabilities[few:], entry["threshold"])
        right = covered(labels[few:], probabilities[few:], entry["thresholds"])
        for c in (0, 1):
            assert right[labels[few:] == c].mean() == pytest.approx(entry["coverage"], abs=0.03)
        assert right[rare].mean() == pytest.approx(entry["coverage"], abs=0.1)
        assert plain[rare].mean() < entry["coverage"] - 0.3
        assert entry["thresholds"][2] == entry["thresholds"][3]


def test_rare_classes_with_hardly_a_picture_keep_the_common_threshold():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [200, 100, 5])
    probabilities = rng.dirichlet([1, 1, 1], len(labels))
    for entry in calibrate.prediction_sets(labels, probabilities):
        assert entry["thresholds"][2] == entry["threshold"]
        assert entry["thresholds"][0] != entry["threshold"]


def test_the_average_of_views_is_calibrated_for_each_pictures_own_collection(sample):
    """The single views are noisy and too sure; their calibrated average is neither."""
    logits, labels = sample
    rng = np.random.default_rng(4)
    noisy = logits + rng.normal(0, 1, (8, *logits.shape)) + np.log(PRIOR)
    views = np.exp(noisy) / np.exp(noisy).sum(axis=-1, keepdims=True)
    priors = np.tile(PRIOR, (len(labels), 1))
    calibration, loss = calibrate.fit_views(views, labels, priors, PRIOR, "log_probabilities")
    assert calibration.temperature == pytest.approx(2, rel=0.1)
    alone = -np.log(views[0][np.arange(len(labels)), labels]).mean()
    assert loss < alone


@pytest.mark.parametrize(("pictures", "place"), [(59, 6), (58, 5), (99, 10), (9, 1)])
def test_a_tenth_of_the_pictures_is_a_whole_tenth(pictures, place):
    """Split conformal: the floor((n + 1) / 10)-th smallest, though 1 - 0.9 is a little less than a tenth."""
    assert calibrate._conformal(np.arange(1.0, pictures + 1), 0.9) == place


@pytest.mark.parametrize("malignant", [[True, True], [False, False], []])
def test_operating_points_take_pictures_of_both_kinds(malignant):
    with pytest.raises(UserError, match=f"{len(malignant)} validation pictures are all"):
        calibrate.operating_points(np.array(malignant, bool), np.ones(len(malignant)))
