import numpy as np
import pytest
from PIL import Image

from skin_gradio.images import read_picture
from training import batches
from training.experiment import Augmentation
from training.ham10000 import DatasetError


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return np.asarray(Image.fromarray(rng.integers(60, 200, (8, 8, 3), np.uint8)).resize((64, 64)))


def test_the_same_generator_gives_the_same_variation(picture):
    augment = batches.Augmenter(Augmentation())
    first, again = (augment(picture, 48, np.random.default_rng(7)) for _ in range(2))
    assert (first == again).all()
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert (first != augment(picture, 48, np.random.default_rng(8))).any()


def test_every_variation_can_be_drawn_alone_and_all_together(picture):
    for name in ("blur", "sharpen", "resample", "jpeg", "noise", "rim", "hair"):
        augment = batches.Augmenter(Augmentation(**{name: 1.0}))
        assert augment(picture, 40, np.random.default_rng(1)).shape == (40, 40, 3)


def test_augmentation_never_writes_into_the_cached_picture(picture):
    before = picture.copy()
    picture.flags.writeable = False
    augment = batches.Augmenter(Augmentation(hair=1.0, rim=1.0, noise=1.0))
    for seed in range(5):
        augment(picture, 64, np.random.default_rng(seed))
    assert (picture == before).all()


def test_without_variation_the_picture_only_changes_its_size(picture):
    off = Augmentation(
        rotate=False, zoom=(1.0, 1.0), stretch=0, shift=0, brightness=0, contrast=0, gamma=0, saturation=0,
        channel_gain=0, blur=0, sharpen=0, resample=0, jpeg=0, noise=0, rim=0, hair=0,
    )  # fmt: skip
    same = batches.Augmenter(off)(picture, 64, np.random.default_rng(0))
    assert np.abs(same.astype(int) - picture).max() <= 1


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_classes_are_drawn_by_the_power_of_their_count(power, share):
    labels = np.array([0] * 900 + [1] * 100)
    drawn = batches.draw(labels, 2, power, 1000, np.random.default_rng(0))
    assert np.mean(labels[drawn] == 0) == pytest.approx(share, abs=0.01)


def test_pictures_of_a_class_are_drawn_equally_often():
    labels = np.array([0] * 90 + [1] * 10)
    times = np.bincount(batches.draw(labels, 2, 0.0, 500, np.random.default_rng(0)), minlength=100)
    assert np.ptp(times[:90]) <= 1
    assert np.ptp(times[90:]) <= 1


def test_a_draw_has_exactly_the_pictures_asked_for():
    labels = np.array([0, 0, 0, 1, 1, 2, 4])
    for count in (1, 7, 33):
        assert len(batches.draw(labels, 5, 0.5, count, np.random.default_rng(count))) == count


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
    assert len(list((tmp_path / "cache").iterdir())) == 1
    Image.fromarray(255 - picture).resize((80, 80)).save(file)
    assert (batches.decode_cached([file], tmp_path / "cache", 32) != first).any()


def test_an_unreadable_training_picture_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"a\.jpg: .*empty"):
        batches.decode([tmp_path / "a.jpg"], 32)
