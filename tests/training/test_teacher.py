"""Distillation: a student learns what a teacher says of each picture, besides the labels."""

from dataclasses import replace

import numpy as np
import pytest

from skin_gradio import lesions
from skin_gradio.engines import Outputs
from skin_gradio.models import ModelFolder, OperatingPoint
from tests.conftest import PRIOR, MeanColourEngine
from tests.training import tiny
from training import batches, teacher
from training.experiment import Stage

TAUGHT = replace(tiny.EXPERIMENT, teacher="someone", teacher_share=0.5, teacher_temperature=2.0)


def softmax(logits):
    likelihood = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return likelihood / likelihood.sum(axis=-1, keepdims=True)


def loss(experiment, truth, logits):
    import keras

    from training.fit import _loss

    return keras.ops.convert_to_numpy(_loss(experiment)(np.float32(truth), keras.ops.convert_to_tensor(logits)))


@pytest.fixture
def truth():
    """Targets of five pictures, three classes, the second collection without the last class: labels, added, teacher."""
    rng = np.random.default_rng(0)
    labels = np.eye(3)[[0, 1, 2, 0, 1]]
    added = np.array([[-1.0, -0.5, -2.0]] * 3 + [[-0.7, -0.7, batches.MASKED]] * 2)
    return np.concatenate([labels, added, softmax(rng.normal(0, 2, (5, 3)))], axis=1)


LOGITS = np.random.default_rng(1).normal(0, 2, (5, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_a_teacher_without_a_share_changes_nothing(truth, name):
    without = loss(replace(tiny.EXPERIMENT, loss=name), truth[:, :6], LOGITS)
    np.testing.assert_array_equal(loss(replace(TAUGHT, teacher_share=0.0, loss=name), truth, LOGITS), without)


def test_the_loss_is_the_labels_and_the_gap_to_the_teacher_over_all_classes(truth):
    hard = loss(tiny.EXPERIMENT, truth[:, :6], LOGITS)
    said, answered = truth[:, 6:], softmax(LOGITS / 2)
    gap = (said * np.log(said / answered)).sum(axis=1)
    np.testing.assert_allclose(loss(TAUGHT, truth, LOGITS), 0.5 * hard + 0.5 * 4 * gap, rtol=1e-4)


def test_the_gap_is_closed_by_the_teachers_own_odds_also_for_classes_that_the_label_leaves_out(truth):
    only = replace(TAUGHT, teacher_share=1.0)
    same = (2 * np.log(truth[:, 6:])).astype(np.float32)
    np.testing.assert_allclose(loss(only, truth, same), 0, atol=1e-5)
    for step in (-1, 1):
        moved = same.copy()
        moved[:, 2] += step
        assert (loss(only, truth, moved) > 1e-4).all()


def examples(classes=3, count=40):
    labels = np.arange(count) % classes
    rng = np.random.default_rng(2)
    pictures = list(rng.integers(0, 256, (count, 40, 40, 3), np.uint8))
    taught = rng.normal(0, 3, (count, classes)).astype(np.float32)
    return batches.Examples(pictures, labels, np.zeros_like(labels), np.ones((1, classes), bool), taught)


def test_a_batch_carries_what_the_teacher_says_of_its_pictures():
    parts = examples()
    experiment = replace(TAUGHT, label_smoothing=0, batch_size=40, epoch_pictures=40, sampling_power=1.0)
    _, targets, _ = next(batches.training_batches(experiment, parts, 24, range(1)))
    said = {tuple(row.round(5)) for row in softmax(parts.taught / 2).astype(np.float32)}
    assert targets.shape == (40, 9)
    assert {tuple(row.round(5)) for row in targets[:, 6:]} <= said
    without = next(batches.training_batches(replace(experiment, teacher=""), parts, 24, range(1)))[1]
    np.testing.assert_array_equal(targets[:, :6], without)


def test_mixed_pictures_have_mixed_answers():
    parts = replace(examples(2), taught=np.float32([[9, -9], [-9, 9]] * 20))
    experiment = replace(TAUGHT, mix="mixup", mix_alpha=1.0, label_smoothing=0, batch_size=32)
    targets = next(batches.training_batches(experiment, parts, 24, range(1)))[1]
    np.testing.assert_allclose(targets[:, 4:], targets[:, :2], atol=1e-3)
    assert (targets[:, :2].max(axis=1) < 0.9).any()


def test_a_teacher_whose_answers_are_not_there_is_an_error():
    with pytest.raises(ValueError, match="lack its answers"):
        next(batches.training_batches(TAUGHT, replace(examples(), taught=None), 24, range(1)))


class CountingEngine(MeanColourEngine):
    def __init__(self):
        self.answered = 0

    def run(self, pictures):
        self.answered += len(pictures)
        return super().run(pictures)


@pytest.fixture
def engine(monkeypatch):
    engine = CountingEngine()
    monkeypatch.setattr(teacher, "open_engine", lambda model, name: engine)
    return engine


def model(folder, checksum="abc", codes=lesions.CODES):
    point = OperatingPoint("sensitivity 90%", 0.2, 0.9, 0.7)
    return ModelFolder(folder, "someone", "abc", codes, PRIOR, 32, (point,), {"sha256": {"model.onnx": checksum}})


def test_a_teacher_is_asked_once_and_its_answers_are_for_equal_priors(engine, tmp_path):
    pictures = examples().pictures
    taught = teacher.with_answers(examples(), model(tmp_path), 1, tmp_path / "cache").taught
    again = teacher.with_answers(examples(), model(tmp_path), 1, tmp_path / "cache").taught
    assert engine.answered == len(pictures)
    np.testing.assert_array_equal(taught, again)
    probabilities = MeanColourEngine().run(batches.resize_all(pictures, 32)).probabilities
    np.testing.assert_allclose(softmax(taught + np.log(PRIOR)), probabilities, rtol=1e-3)


def test_another_teacher_other_pictures_or_more_views_are_asked_for_anew(engine, tmp_path):
    parts, cache = examples(), tmp_path / "cache"
    for one, by, views, answered in (
        (parts, model(tmp_path), 1, 40),
        (parts, model(tmp_path, "other"), 1, 80),
        (replace(parts, pictures=[p ^ 1 for p in parts.pictures]), model(tmp_path), 1, 120),
        (parts, model(tmp_path), 8, 440),
    ):
        teacher.with_answers(one, by, views, cache)
        assert engine.answered == answered


def test_a_teacher_that_was_cut_off_goes_on_where_it_was(engine, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    unbroken = teacher.with_answers(examples(), model(tmp_path), 1, tmp_path / "other").taught
    ask, engine.answered = engine.run, 0

    def fail(pictures):
        if engine.answered >= 2 * teacher.BATCH:
            raise KeyboardInterrupt
        return ask(pictures)

    monkeypatch.setattr(engine, "run", fail)
    with pytest.raises(KeyboardInterrupt):
        teacher.with_answers(examples(), model(tmp_path), 1, cache)
    (left,) = cache.glob("*.unfinished")
    left.write_bytes(left.read_bytes()[:-5])  # the last rows did not reach the disk
    monkeypatch.setattr(engine, "run", ask)
    taught = teacher.with_answers(examples(), model(tmp_path), 1, cache).taught
    np.testing.assert_array_equal(taught, unbroken)
    assert engine.answered == 2 * teacher.BATCH + 40 - teacher.BATCH
    assert not list(cache.glob("*.unfinished"))


def test_views_are_averaged():
    class Upright:
        """Sure of what is brighter at the top, so that its answer changes with the view."""

        def run(self, pictures):
            top = pictures[:, :16].mean(axis=(1, 2, 3)) > pictures[:, 16:].mean(axis=(1, 2, 3))
            probabilities = np.where(top[:, None], [0.8, 0.2], [0.2, 0.8]).astype(np.float32)
            return Outputs(probabilities, np.ones((len(top), 1, 1, 2)), np.ones((len(top), 1)))

    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16] = 200
    half = replace(model(None), codes=("benign", "malignant"), prior=(0.5, 0.5))
    assert np.diff(teacher.asked(half, Upright(), [picture], 1)) == pytest.approx(np.log(0.25), rel=1e-4)
    assert np.diff(teacher.asked(half, Upright(), [picture], 4)) == pytest.approx(np.log(4) / 2, rel=1e-4)


def test_a_teacher_of_other_classes_is_refused(monkeypatch, tmp_path):
    binary = model(tmp_path, codes=("benign", "malignant"))
    monkeypatch.setattr(teacher, "find_model", lambda name: binary)
    with pytest.raises(teacher.TeacherError, match="answers with benign, malignant; tiny learns akiec"):
        teacher.find_teacher(TAUGHT, lesions.CODES)
    assert teacher.find_teacher(tiny.EXPERIMENT, lesions.CODES) is None


@pytest.fixture
def wrong_teacher():
    """Examples with a teacher that is sure of the next class each time: a student cannot serve both."""
    parts = tiny.examples()
    return replace(parts, taught=(6 * np.eye(7)[(parts.labels + 1) % 7]).astype(np.float32))


@pytest.mark.training
@pytest.mark.parametrize(("share", "follows", "ignores"), [(1.0, 1, 0), (0.0, 0, 1)])
def test_a_student_answers_as_whoever_it_learns_from(tmp_path, wrong_teacher, share, follows, ignores):
    from training.fit import build

    experiment = replace(TAUGHT, teacher_share=share, stages=(Stage(size=32, epochs=3),), epoch_pictures=1024)
    progress = tiny.train(tmp_path, experiment, wrong_teacher)
    model = build(experiment, 7, started=False)
    model.load_weights(tmp_path / progress.state_file)
    pictures, labels = tiny.data(per_class=6, side=32)
    answers = model.predict(pictures, verbose=0).argmax(axis=1)
    assert np.mean(answers == (labels + follows) % 7) > 0.5
    assert np.mean(answers == (labels + ignores) % 7) < 0.2


@pytest.mark.training
def test_a_taught_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, wrong_teacher):
    class Stopped(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise Stopped

    experiment = replace(TAUGHT, mix="mixup", network="residual", stochastic_depth=0.3)
    unbroken = tiny.train(tmp_path / "unbroken", experiment, wrong_teacher)
    with pytest.raises(Stopped):
        tiny.train(tmp_path / "broken", experiment, wrong_teacher, on_epoch=stop)
    broken = tiny.train(tmp_path / "broken", experiment, wrong_teacher)
    for one, other in zip(unbroken.history, broken.history, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=2e-3)
