import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from training import near_duplicates
from training.collection import DatasetError
from training.near_duplicates import SIDE

DIFFERENT = 6


def drawn(seed):
    """A generated lesion: a blotched network of its own on pale skin, uint8 (256, 256, 3)."""
    rng = np.random.default_rng(seed)
    noise = sum(cv2.resize(rng.normal(0, 1, (n, n)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for n in (8, 16, 40))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    lesion = 1 / (1 + np.exp(12 * (np.hypot(x, y * rng.uniform(0.9, 1.4)) - 0.6)))
    darkness = lesion * (80 + 22 * noise) + 4 * noise
    return np.clip(np.array([225, 190, 170]) - darkness[..., None] * [0.9, 1.1, 1.2], 0, 255).astype(np.uint8)


def warped(picture, angle=0.0, scale=1.0, shift=0.0):
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, scale)
    matrix[:, 2] += shift
    return cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def recompressed(picture):
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def rescaled(picture):
    return cv2.resize(cv2.resize(picture, (120, 120), interpolation=cv2.INTER_AREA), (SIDE, SIDE))


def with_ruler(picture):
    picture = picture.copy()
    for tick in range(31):
        picture[228 - (9 if tick % 5 == 0 else 5) : 230, 40 + 6 * tick] = 40
    picture[230:232, 40:222] = 40
    return picture


COPIES = {
    "mirrored": lambda picture: picture[:, ::-1],
    "turned upside down": lambda picture: picture[::-1, ::-1],
    "transposed": lambda picture: picture.transpose(1, 0, 2),
    "turned by 37 degrees": lambda picture: warped(picture, angle=37),
    "recompressed": recompressed,
    "rescaled": rescaled,
    "cropped": lambda picture: cv2.resize(picture[20:236, 30:246], (SIDE, SIDE)),
    "cropped and mirrored": lambda picture: cv2.resize(picture[20:236, 30:246], (SIDE, SIDE))[:, ::-1],
    "zoomed out and shifted": lambda picture: warped(picture, scale=0.7, shift=12),
    "recoloured": lambda picture: np.clip(picture * np.array([0.8, 0.7, 0.9]), 0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def lesions():
    return [drawn(seed) for seed in range(DIFFERENT)]


def found(pictures, others=None, **options):
    features = near_duplicates.describe_pictures([np.ascontiguousarray(picture) for picture in pictures])
    second = near_duplicates.describe_pictures(others) if others is not None else None
    pairs = near_duplicates.find_pairs(features, second, **options)
    return set(zip(pairs["first"], pairs["second"], strict=True))


def test_different_pictures_are_not_joined(lesions):
    assert found(lesions) == set()


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found(lesions, kind):
    assert found([*lesions, COPIES[kind](lesions[3])]) == {(3, DIFFERENT)}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_in_another_collection(lesions, kind):
    assert found([COPIES[kind](lesions[3])], lesions) == {(0, 3)}


def test_an_exact_copy_is_found_without_votes(lesions):
    assert found([*lesions, lesions[3]], votes=False) == {(3, DIFFERENT)}


def test_the_same_ruler_on_different_lesions_joins_nothing(lesions):
    assert found([with_ruler(lesion) for lesion in lesions]) == set()


def test_flat_pictures_without_any_point_are_no_copies_of_each_other():
    assert found([np.full((SIDE, SIDE, 3), 128, np.uint8)] * 3) == set()


def test_one_picture_or_none_has_no_pairs(lesions):
    assert found([]) == set()
    assert found(lesions[:1]) == set()
    assert found([lesions[0], lesions[0]], []) == set()


def test_the_same_pictures_give_the_same_pairs(lesions):
    pictures = near_duplicates.describe_pictures([*lesions, COPIES["cropped"](lesions[3])])
    first, second = near_duplicates.find_pairs(pictures, least=3), near_duplicates.find_pairs(pictures, least=3)
    pd.testing.assert_frame_equal(first, second)


def test_pairs_that_touch_become_one_group_with_the_smallest_name():
    pairs = pd.DataFrame({"first": [3, 1], "second": [1, 2]})
    assert near_duplicates.join(["a", "d", "c", "b"], pairs) == ["a", "b", "b", "b"]


def test_names_that_are_equal_are_one_group_from_the_start():
    pairs = pd.DataFrame({"first": [0], "second": [2]})
    assert near_duplicates.join(["b", "b", "a"], pairs) == ["a", "a", "a"]


def test_files_are_read_as_uploads_are(tmp_path, lesions):
    wide = np.pad(lesions[0], ((0, 0), (60, 60), (0, 0)))
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(lesions[0]).save(tmp_path / "square.png")
    features = near_duplicates.describe([tmp_path / "wide.png", tmp_path / "square.png"])
    np.testing.assert_array_equal(features.points[0], features.points[1])


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.jpg: .*not a picture"):
        near_duplicates.describe([tmp_path / "broken.jpg"])
