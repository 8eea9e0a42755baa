import numpy as np
import pytest
from PIL import Image

from training import augment
from training.experiment import Augmentation


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return np.asarray(Image.fromarray(rng.integers(60, 200, (8, 8, 3), np.uint8)).resize((64, 64)))


def test_the_same_generator_gives_the_same_variation(picture):
    varied = augment.Augmenter(Augmentation())
    first, again = (varied(picture, 48, np.random.default_rng(7)) for _ in range(2))
    assert (first == again).all()
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert (first != varied(picture, 48, np.random.default_rng(8))).any()


def test_every_variation_can_be_drawn_alone_and_all_together(picture):
    drawn = ("blur", "sharpen", "resample", "jpeg", "noise", "rim", "hair", "ink", "ruler", "bubbles")
    for name in (*drawn, "grey_world", "illumination"):
        varied = augment.Augmenter(Augmentation(**{name: 1.0}))
        one = varied(picture, 40, np.random.default_rng(1))
        assert one.shape == (40, 40, 3)
        off = augment.Augmenter(Augmentation(**{name: 0.0}))
        assert (one != off(picture, 40, np.random.default_rng(1))).any(), name


def test_augmentation_never_writes_into_the_cached_picture(picture):
    before = picture.copy()
    picture.flags.writeable = False
    everything = {"hair": 1.0, "rim": 1.0, "noise": 1.0, "ink": 1.0, "ruler": 1.0, "bubbles": 1.0, "grey_world": 1.0}
    varied = augment.Augmenter(Augmentation(**everything, illumination=1.0))
    for seed in range(5):
        varied(picture, 64, np.random.default_rng(seed))
    assert (picture == before).all()


def test_without_variation_the_picture_only_changes_its_size(picture):
    off = Augmentation(
        rotate=False, zoom=(1.0, 1.0), stretch=0, shift=0, brightness=0, contrast=0, gamma=0, saturation=0,
        channel_gain=0, blur=0, sharpen=0, resample=0, jpeg=0, noise=0, rim=0, hair=0,
    )  # fmt: skip
    same = augment.Augmenter(off)(picture, 64, np.random.default_rng(0))
    assert np.abs(same.astype(int) - picture).max() <= 1


def test_the_grey_world_balance_makes_the_means_of_the_channels_equal(picture):
    tinted = (picture * np.array([0.9, 0.6, 0.7])).astype(np.uint8)
    means = augment.grey_world(tinted, 1.0).reshape(-1, 3).mean(axis=0)
    assert np.ptp(means) < 1.5
    assert (augment.grey_world(tinted, 0.0) == tinted).all()
