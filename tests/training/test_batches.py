from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from skin_gradio.images import read_picture
from tests.training import tiny
from training import batches
from training.collection import DatasetError


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return np.asarray(Image.fromarray(rng.integers(60, 200, (8, 8, 3), np.uint8)).resize((64, 64)))


def examples(labels, sources=None, held=None):
    labels = np.asarray(labels)
    sources = np.zeros_like(labels) if sources is None else np.asarray(sources)
    held = np.ones((sources.max() + 1, labels.max() + 1), bool) if held is None else np.asarray(held)
    rng = np.random.default_rng(0)
    return batches.Examples(list(rng.integers(0, 256, (len(labels), 40, 40, 3), np.uint8)), labels, sources, held)


def draw(labels, classes, power, count, rng):
    shares = batches.class_shares(examples(labels, held=np.ones((1, classes), bool)), power)
    return batches.draw(labels, shares.ravel(), count, rng)


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_classes_are_drawn_by_the_power_of_their_count(power, share):
    labels = np.array([0] * 900 + [1] * 100)
    drawn = draw(labels, 2, power, 1000, np.random.default_rng(0))
    assert np.mean(labels[drawn] == 0) == pytest.approx(share, abs=0.01)


def test_pictures_of_a_class_are_drawn_equally_often():
    labels = np.array([0] * 90 + [1] * 10)
    times = np.bincount(draw(labels, 2, 0.0, 500, np.random.default_rng(0)), minlength=100)
    assert np.ptp(times[:90]) <= 1
    assert np.ptp(times[90:]) <= 1


def test_a_draw_has_exactly_the_pictures_asked_for():
    labels = np.array([0, 0, 0, 1, 1, 2, 4])
    for count in (1, 7, 33):
        assert len(draw(labels, 5, 0.5, count, np.random.default_rng(count))) == count


def test_training_pictures_are_decoded_as_uploads_are(tmp_path, picture):
    file = tmp_path / "a.jpg"
    Image.fromarray(picture).resize((90, 70)).save(file)
    assert (batches.decode([file], 64)[0] == read_picture(file).resized(64)).all()
    assert (batches.resize_all(batches.decode([file], 70), 32)[0] == read_picture(file).resized(32)).all()


def test_the_cache_is_read_again_until_a_picture_changes(tmp_path, picture):
    file = tmp_path / "a.png"
    Image.fromarray(picture).save(file)
    first = batches.decode_cached([file], tmp_path / "cache", 32)
    assert (batches.decode_cached([file], tmp_path / "cache", 32) == first).all()
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    Image.fromarray(255 - picture).resize((80, 80)).save(file)
    assert (batches.decode_cached([file], tmp_path / "cache", 32) != first).any()


def test_an_unreadable_training_picture_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"a\.jpg: .*empty"):
        batches.decode([tmp_path / "a.jpg"], 32)


def first_batch(experiment, parts, **options):
    return next(batches.training_batches(experiment, parts, 24, range(1), **options))


def test_a_class_that_a_collection_lacks_leaves_the_loss():
    """Unknown, not wrong: no share of the label, and a logit that the softmax never sees."""
    parts = examples([0, 1, 2, 0, 1, 1], [0, 0, 0, 1, 1, 1], [[True, True, True], [True, True, False]])
    _, targets, _ = first_batch(replace(tiny.EXPERIMENT, label_smoothing=0.3), parts)
    truth, added = targets[:, :3], targets[:, 3:]
    partial = added[:, 2] == batches.MASKED
    assert 0 < partial.sum() < len(partial)
    assert (truth[partial, 2] == 0).all()
    assert (truth[~partial] > 0).all()
    np.testing.assert_allclose(truth.sum(axis=1), 1, rtol=1e-6)


def test_each_collection_is_adjusted_by_its_own_class_frequencies():
    parts = examples([0] * 90 + [1] * 10 + [0] * 50 + [1] * 50, [0] * 100 + [1] * 100)
    added = batches.adjustment(parts, replace(tiny.EXPERIMENT, sampling_power=1.0))
    np.testing.assert_allclose(np.exp(added), [[0.9, 0.1], [0.5, 0.5]], rtol=1e-5)


def test_collections_are_drawn_by_the_shares_asked_for():
    parts = examples([0, 1] * 80 + [0, 1] * 20, [0] * 160 + [1] * 40)
    experiment = replace(tiny.EXPERIMENT, epoch_pictures=512, batch_size=512, label_smoothing=0)
    marked = replace(parts, held=np.array([[True, True], [True, True]]))
    for shares, expected in (((), 0.2), ((0.5, 0.5), 0.5)):
        chosen = replace(experiment, collection_shares=shares, collections=("a", "b"), sampling_power=0.0)
        cells = batches.class_shares(marked, 0.0) * (np.array(shares or (0.8, 0.2))[:, None])
        drawn = batches.draw(marked.sources * 2 + marked.labels, cells.ravel(), 512, np.random.default_rng(1))
        assert np.mean(marked.sources[drawn] == 1) == pytest.approx(expected, abs=0.01)
        assert len(first_batch(chosen, marked)[0]) == 512


def test_class_weights_make_every_class_count_the_same():
    parts = examples([0] * 30 + [1] * 10)
    experiment = replace(tiny.EXPERIMENT, class_weights=True, logit_adjustment=False, sampling_power=1.0, batch_size=40)
    _, targets, weights = first_batch(replace(experiment, epoch_pictures=40), parts)
    label = targets[:, :2].argmax(axis=1)
    assert weights[label == 0].sum() == pytest.approx(weights[label == 1].sum())
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_pictures_are_mixed_within_their_collection_only(way):
    parts = examples([0, 1] * 20 + [2, 3] * 20, [0] * 40 + [1] * 40)
    experiment = replace(tiny.EXPERIMENT, mix=way, mix_alpha=1.0, label_smoothing=0, batch_size=64)
    pictures, targets, _ = first_batch(experiment, parts)
    truth = targets[:, :4]
    assert pictures.dtype == np.uint8
    assert ((truth[:, :2].sum(axis=1) > 1 - 1e-6) | (truth[:, 2:].sum(axis=1) > 1 - 1e-6)).all()
    assert ((truth.max(axis=1) < 0.99).mean()) > 0.2
    np.testing.assert_allclose(truth.sum(axis=1), 1, rtol=1e-5)


def test_processes_that_share_a_batch_make_its_parts():
    parts = examples([0, 1, 2] * 10)
    whole = first_batch(tiny.EXPERIMENT, parts)
    halves = [first_batch(tiny.EXPERIMENT, parts, shard=slice(rank, None, 2)) for rank in (0, 1)]
    for place in range(3):
        np.testing.assert_array_equal(whole[place][0::2], halves[0][place])
        np.testing.assert_array_equal(whole[place][1::2], halves[1][place])
