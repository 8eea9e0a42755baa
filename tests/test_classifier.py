"""What a classifier makes of a graph's outputs that are no answer."""

from dataclasses import replace

import numpy as np
import pytest

from skin_gradio.classifier import UnusableAnswer
from skin_gradio.ui import single
from tests.uploads import picture_bytes, saved


class Spoilt:
    """An engine whose outputs are changed before they are returned."""

    name = "spoilt"

    def __init__(self, engine, spoil):
        self.engine = engine
        self.spoil = spoil

    def run(self, pictures):
        return self.spoil(self.engine.run(pictures))


def with_value(name, value):
    """Outputs of which the last picture's first number is another one."""

    def spoil(outputs):
        array = getattr(outputs, name).copy()
        array[-1, 0] = value
        return replace(outputs, **{name: array})

    return spoil


@pytest.fixture
def pictures(classifier):
    size = classifier.input_size
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("probabilities", value) for value in (np.nan, np.inf, -np.inf, -0.5, 0.9, 1.5)),
        *(("embedding", value) for value in (np.nan, np.inf)),
    ],
)
def test_an_answer_that_is_no_set_of_probabilities_is_a_named_error(classifier, pictures, name, value):
    classifier.engine = Spoilt(classifier.engine, with_value(name, value))
    for classify in (classifier.classify, classifier.classify_carefully):
        with pytest.raises(UnusableAnswer, match=r"^The model could not classify this picture\.$"):
            classify(pictures)


def test_a_sum_that_misses_one_by_a_rounding_error_is_an_answer(classifier, pictures):
    def rounded(outputs):
        return replace(outputs, probabilities=outputs.probabilities * np.float32(1.0002))

    classifier.engine = Spoilt(classifier.engine, rounded)
    for finding in classifier.classify(pictures):
        assert finding.probabilities.sum() == pytest.approx(1)


def test_the_page_says_that_the_model_could_not_classify_a_picture(classifier, tmp_path, monkeypatch):
    classifier.engine = Spoilt(classifier.engine, with_value("probabilities", np.nan))
    upload = saved(tmp_path, "a.png", picture_bytes())
    for careful in (False, True):
        html, seen = single.answer(classifier, single.Question(upload, careful), "collection")
        assert 'role="alert"' in html
        assert "The model could not classify this picture." in html
        assert seen == ""
