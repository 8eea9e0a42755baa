"""Eight views of a picture, and one answer from them."""

import numpy as np
import pytest

from skin_gradio.views import COUNT, Combination, all_views, balanced_logits, turned_back

PRIOR = np.array([0.7, 0.2, 0.1])


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)


def test_there_are_eight_different_views_and_the_first_is_the_picture(picture):
    views = all_views(picture)
    assert views.shape == (COUNT, 6, 6, 3)
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(views[0], picture)
    assert len({view.tobytes() for view in views}) == COUNT


def test_a_view_of_a_view_is_one_of_the_eight(picture):
    known = {view.tobytes() for view in all_views(picture)}
    assert {view.tobytes() for one in all_views(picture) for view in all_views(one)} == known


def test_what_is_seen_in_a_view_is_turned_back_to_where_it_is(picture):
    np.testing.assert_array_equal(turned_back(all_views(picture)), np.stack([picture] * COUNT))


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_eight_equal_answers_are_that_answer(average):
    answer = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    views = np.stack([answer] * COUNT)
    np.testing.assert_allclose(Combination(average).probabilities(views, PRIOR), answer)


def test_the_two_averages_are_the_arithmetic_and_the_geometric_mean():
    views = np.array([[[0.8, 0.1, 0.1]], [[0.2, 0.7, 0.1]]] * 4)
    arithmetic = np.array([0.5, 0.4, 0.1])
    geometric = np.sqrt(views[0, 0] * views[1, 0])
    np.testing.assert_allclose(Combination().probabilities(views, PRIOR)[0], arithmetic)
    found = Combination("log_probabilities").probabilities(views, PRIOR)[0]
    np.testing.assert_allclose(found, geometric / geometric.sum())


def test_the_bias_and_the_temperature_act_on_the_answer_at_equal_priors():
    views = np.stack([[[0.6, 0.3, 0.1]]] * COUNT)
    bias = np.array([0.0, 0.5, -0.5])
    logits = balanced_logits(views, PRIOR, "probabilities")[0] / 2 + bias
    expected = np.exp(logits) * PRIOR
    found = Combination("probabilities", 2.0, bias).probabilities(views, PRIOR)[0]
    np.testing.assert_allclose(found, expected / expected.sum())


def test_a_view_that_says_never_does_not_outvote_the_others():
    views = np.stack([[[0.9, 0.05, 0.05]]] * COUNT)
    views[3] = [0.0, 0.5, 0.5]
    assert Combination("log_probabilities").probabilities(views, PRIOR)[0].argmax() == 0


def test_a_model_that_says_nothing_of_views_gets_the_plain_average():
    assert Combination.from_card({"classes": ["a"]}) == Combination()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"average": "median"}, "not as 'median'"),
        ({"temperature": 0}, "a temperature from 0.01 to 100"),
        ({"temperature": float("inf")}, "a temperature from 0.01 to 100"),
        ({"temperature": "hot"}, "cannot be read"),
        ({"bias": [0.0, 0.0]}, "one finite bias for each class"),
        ({"bias": [0.0, 0.0, float("nan")]}, "one finite bias for each class"),
        ({"bias": None}, "one finite bias for each class"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_a_named_error(changes, reason):
    entry = {"average": "probabilities", "temperature": 1.0, "bias": [0.0, 0.0, 0.0], **changes}
    with pytest.raises(ValueError, match=reason):
        Combination.from_card({"classes": ["a", "b", "c"], "views": entry})


@pytest.mark.parametrize("entry", [[], 3, {"average": "probabilities"}])
def test_an_entry_that_is_no_calibration_is_a_named_error(entry):
    with pytest.raises(ValueError, match="cannot be read"):
        Combination.from_card({"classes": ["a"], "views": entry})
