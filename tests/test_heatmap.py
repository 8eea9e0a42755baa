import numpy as np
import pytest

from skin_gradio import heatmap


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)


def untouched(picture):
    return heatmap.overlay(picture, np.ones((7, 7)), opacity=0)


@pytest.mark.parametrize(
    "activation",
    [
        np.full((7, 7), -1.5),
        np.zeros((7, 7)),
        np.full((7, 7), 3.0),
        np.full((7, 7), np.nan),
        np.array([[1.0, np.inf], [0, 0]]),
        -np.arange(49.0).reshape(7, 7),
    ],
    ids=["negative", "zero", "flat", "nan", "infinite", "falling below zero"],
)
def test_a_map_that_says_nothing_leaves_the_picture_untouched(picture, activation):
    np.testing.assert_array_equal(heatmap.overlay(picture, activation), untouched(picture))


def test_the_overlay_has_the_display_squares_size_whatever_the_picture_and_the_map_have(picture):
    overlaid = heatmap.overlay(picture, np.random.default_rng(1).normal(size=(5, 9)), side=300)
    assert overlaid.shape == (300, 300, 3)
    assert overlaid.dtype == np.uint8


def test_only_the_neighbourhood_of_a_positive_place_is_coloured(picture):
    activation = np.full((8, 8), -1.0)
    activation[1, 6] = 2.0
    changed = (
        heatmap.overlay(picture, activation, side=512) != heatmap.overlay(picture, activation * 0, side=512)
    ).any(-1)
    assert changed[64:128, 384:448].mean() > 0.9
    assert not changed[256:].any()
    assert not changed[:, :256].any()


def test_the_highest_place_is_yellow_at_full_opacity(picture):
    activation = np.zeros((3, 3))
    activation[1, 1] = 1
    red, green, blue = heatmap.overlay(picture, activation, opacity=1, side=300)[150, 150].tolist()
    assert red > 200
    assert green > 200
    assert blue < 80


def test_scaling_a_map_changes_nothing(picture):
    activation = np.random.default_rng(2).normal(size=(7, 7))
    np.testing.assert_array_equal(heatmap.overlay(picture, activation), heatmap.overlay(picture, 1e-4 * activation))


def test_more_opacity_hides_more_of_the_picture(picture):
    activation = np.eye(7)
    distances = [
        np.abs(heatmap.overlay(picture, activation, opacity).astype(int) - untouched(picture)).mean()
        for opacity in (0.2, 0.5, 0.8)
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0


@pytest.mark.parametrize("opacity", [-0.1, 1.1])
def test_an_opacity_outside_its_range_is_refused(picture, opacity):
    with pytest.raises(ValueError, match="opacity must be from 0 to 1"):
        heatmap.overlay(picture, np.eye(7), opacity)


def test_maps_of_all_classes_at_once_are_refused(picture):
    with pytest.raises(ValueError, match="two dimensions"):
        heatmap.overlay(picture, np.zeros((7, 7, 7)))


def test_a_layer_laid_over_the_picture_is_the_overlay(picture):
    activation = np.random.default_rng(3).normal(size=(7, 7))
    layer = heatmap.layer(activation, side=200).astype(float)
    alpha = 0.6 * layer[..., 3:] / 255
    laid = (1 - alpha) * heatmap.overlay(picture, np.zeros((7, 7)), side=200) + alpha * layer[..., :3]
    np.testing.assert_allclose(laid, heatmap.overlay(picture, activation, opacity=0.6, side=200), atol=2)


def test_the_layer_of_a_map_that_says_nothing_is_transparent():
    assert not heatmap.layer(np.full((7, 7), -2.0))[..., 3].any()
