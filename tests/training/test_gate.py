"""Fitting the input gate on generated pictures, and what of it goes into a model folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from skin_gradio.input_gate import STATISTICS, InputGate
from tests.test_input_gate import skin
from training import gate
from training.collection import DatasetError

SIDE = 32


@pytest.fixture(scope="module")
def pictures():
    return np.stack([skin(seed) for seed in range(160)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs of other things: coloured stripes and checks."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(60):
        small = rng.integers(0, 256, (rng.integers(3, 9), rng.integers(3, 9), 3), np.uint8)
        pixels = Image.fromarray(small).resize((90, 80), Image.Resampling.NEAREST)
        pixels.save(folder / f"thing_{number}.png")
    return sorted(folder.iterdir())


def fit(classifier, pictures, files=()):
    seen = gate.look(classifier.engine, pictures)
    groups = np.arange(len(pictures)).astype(str)
    return gate.fit(classifier.model, classifier.engine, pictures[::4], groups, seen, list(files))


@pytest.fixture
def fitted(classifier, pictures, files):
    return fit(classifier, pictures, files)


def test_few_of_the_fitted_and_of_fresh_pictures_are_doubted(classifier, fitted, pictures):
    found = InputGate.from_card({"gate": fitted})
    for some in (pictures, np.stack([skin(seed) for seed in range(500, 660)])):
        doubts = found.doubts(some, classifier.engine.run(some).embedding)
        assert sum(map(bool, doubts)) <= 5


def test_photographs_that_had_no_part_in_the_fit_are_refused_and_counted(fitted, files):
    unseen = fitted["unseen_photographs"]
    assert unseen["pictures"] == sum(not gate.is_for_fitting(file) for file in files)
    assert fitted["fitted_on"] == {"pictures": 160, "photographs": len(files) - unseen["pictures"]}
    assert unseen["refused"] >= 0.9 * unseen["pictures"]
    assert unseen["reasons"]["not_dermatoscopic"] > 0


def test_a_hash_of_the_name_alone_parts_the_photographs_in_halves(files, tmp_path):
    chosen = [gate.is_for_fitting(file) for file in files]
    assert chosen == [gate.is_for_fitting(tmp_path / file.name) for file in files]
    assert 0.3 < np.mean(chosen) < 0.7


def test_without_photographs_there_is_a_gate_that_takes_none_for_one(classifier, pictures):
    entry = fit(classifier, pictures)
    assert "photographs" not in entry
    assert "unseen_photographs" not in entry
    found = InputGate.from_card({"gate": entry})
    assert not (found.photograph_scores(np.zeros((1, len(STATISTICS))), np.ones((1, 1280))) > 0).any()
    noise = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    assert found.doubts(noise, np.ones((1, 1280)))[0][0].code == "unlike_training"


def test_a_photograph_that_cannot_be_read_is_named(classifier, pictures, files, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.jpg: "):
        fit(classifier, pictures, [*files, broken])


def test_too_few_pictures_make_no_gate(classifier, pictures, files):
    assert fit(classifier, pictures[: gate.MIN_PICTURES - 1], files) is None


class DetailEngine:
    """Answers melanoma for pictures with fine structure and nevus for those without."""

    def __init__(self, engine, threshold):
        self.engine, self.threshold = engine, threshold

    def run(self, pictures):
        sharp = gate.statistics(pictures)[:, STATISTICS.index("detail")] > self.threshold
        probabilities = np.full((len(pictures), 7), 0.01)
        probabilities[:, 4], probabilities[:, 5] = np.where(sharp, 0.94, 0.01), np.where(sharp, 0.01, 0.94)
        return replace(self.engine.run(pictures), probabilities=probabilities)


def test_the_limits_of_blur_and_size_stand_where_answers_change(classifier, pictures):
    limits = gate._fit_sharpness(DetailEngine(classifier.engine, 0.32), pictures[:40], np.array(classifier.model.prior))
    assert 0.25 < limits["detail"] < 0.32
    assert 12 < limits["smallest_side"] < SIDE


def test_a_model_that_no_blur_bothers_calls_nothing_blurred_that_is_usual(classifier, pictures):
    limits = gate._fit_sharpness(classifier.engine, pictures[:40], np.array(classifier.model.prior))
    assert limits["detail"] == 0
    assert limits["smallest_side"] == round(min(gate.SHRUNK) * SIDE)


def test_a_soft_collection_is_not_called_blurred(classifier):
    soft = np.stack([np.asarray(Image.fromarray(skin(seed)).filter(ImageFilter.GaussianBlur(3))) for seed in range(40)])
    limits = gate._fit_sharpness(DetailEngine(classifier.engine, 0.9), soft, np.array(classifier.model.prior))
    assert limits["detail"] <= gate.statistics(soft)[:, STATISTICS.index("detail")].min() + 0.01


def test_the_gate_is_small(fitted):
    assert len(json.dumps(fitted, indent=1)) < 60_000
