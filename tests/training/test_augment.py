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
    for name in ("blur", "sharpen", "resample", "jpeg", "noise", "rim", "hair"):
        varied = augment.Augmenter(Augmentation(**{name: 1.0}))
        assert varied(picture, 40, np.random.default_rng(1)).shape == (40, 40, 3)


def test_augmentation_never_writes_into_the_cached_picture(picture):
    before = picture.copy()
    picture.flags.writeable = False
    varied = augment.Augmenter(Augmentation(hair=1.0, rim=1.0, noise=1.0))
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
