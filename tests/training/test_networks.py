import os
from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny
from training import networks
from training.command import UserError

pytestmark = pytest.mark.training


@pytest.fixture
def asked(monkeypatch):
    """What a backbone's builder was asked for; stands in for Keras' download."""
    seen = []

    class Recorder(tiny.TinyBackbone):
        def build(self, weights):
            seen.append(weights)
            return super().build(None)

    monkeypatch.setitem(networks.BACKBONES, "tiny", Recorder())
    return seen


def test_without_a_local_file_keras_downloads_the_imagenet_weights(asked, monkeypatch):
    monkeypatch.delenv(networks.STARTING_WEIGHTS, raising=False)
    networks.build("tiny", 7, 0, 0.2, "imagenet")
    assert asked == ["imagenet"]


def test_a_folder_without_the_network_is_warned_about_and_downloaded(asked, monkeypatch, tmp_path):
    monkeypatch.setenv(networks.STARTING_WEIGHTS, str(tmp_path))
    with pytest.warns(UserWarning, match=r"tiny\.weights\.h5 does not exist"):
        networks.build("tiny", 7, 0, 0.2, "imagenet")
    assert asked == ["imagenet"]


def test_a_local_file_stands_in_for_the_download(asked, monkeypatch, tmp_path):
    source = tiny.TinyBackbone().build(None)
    source.save_weights(tmp_path / "tiny.weights.h5")
    monkeypatch.setenv(networks.STARTING_WEIGHTS, str(tmp_path))
    model = networks.build("tiny", 7, 0, 0.2, "imagenet")
    assert asked == [None]
    for mine, theirs in zip(model.get_layer("backbone").get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_weights_file_that_does_not_exist_is_named(asked, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.weights\.h5"):
        networks.build("tiny", 7, 0, 0.2, str(tmp_path / "nothing.weights.h5"))


def test_a_run_is_gone_on_from_with_its_best_weights_head_and_all(asked, tmp_path):
    source = networks.build("tiny", 7, 0, 0.2, "random")
    source.get_layer("logits").set_weights([np.full((12, 7), 0.5), np.arange(7.0)])
    source.save_weights(tmp_path / "best-3.weights.h5")
    (tmp_path / "progress.json").write_text('{"best_file": "best-3.weights.h5"}')
    model = networks.build("tiny", 7, 0, 0.2, str(tmp_path))
    for mine, theirs in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(UserError, match="does not fit"):
        networks.build("tiny", 2, 0, 0.2, str(tmp_path))


def test_a_folder_that_holds_no_run_is_no_start(asked, tmp_path):
    with pytest.raises(UserError, match=r"holds no run.*progress\.json"):
        networks.build("tiny", 7, 0, 0.2, str(tmp_path))


def test_an_unknown_network_says_which_there_are():
    with pytest.raises(UserError, match=r"must be one of .*mobilenet_v2.* Received: vgg99"):
        networks.build("vgg99", 7, 0, 0.2, "random")


@pytest.mark.parametrize("hidden_units", [0, 6])
def test_a_training_model_takes_pictures_of_any_size(asked, hidden_units):
    model = networks.build("tiny", 7, hidden_units, 0.2, "random")
    for side in (24, 33):
        assert model.predict(np.zeros((2, side, side, 3), np.uint8), verbose=0).shape == (2, 7)


def test_imagenet_weights_for_bgr_are_turned_round_to_take_rgb(asked, monkeypatch, tmp_path):
    source = tiny.TinyBackbone().build(None)
    source.save_weights(tmp_path / "tiny.weights.h5")
    monkeypatch.setenv(networks.STARTING_WEIGHTS, str(tmp_path))
    monkeypatch.setitem(networks.BACKBONES, "tiny", tiny.TinyBackbone(blue_first=True))
    model = networks.build("tiny", 7, 0, 0.2, "imagenet").get_layer("backbone")
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 24, 24, 3)).astype("float32")
    np.testing.assert_allclose(
        model.predict(pictures, verbose=0), source.predict(pictures[..., ::-1], verbose=0), atol=1e-5
    )


@pytest.mark.parametrize("name", sorted(networks.BACKBONES))
def test_every_network_scales_pictures_as_its_imagenet_weights_expect(name):
    import importlib

    import keras

    spec = networks.BACKBONES[name]
    rescale = keras.layers.Rescaling(spec.scale, spec.offset)
    pictures = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype("float32")
    mine = keras.ops.convert_to_numpy(rescale(pictures))
    if isinstance(spec, networks.Stack):
        assert mine.min() >= -1
        assert mine.max() <= 1
        return
    module = importlib.import_module(f"keras.applications.{spec.application.split('.')[0]}")
    theirs = np.asarray(module.preprocess_input(pictures.copy()))
    np.testing.assert_allclose(mine[..., ::-1] if spec.blue_first else mine, theirs, atol=1e-4)


def test_a_network_from_scratch_has_no_imagenet_weights(monkeypatch):
    monkeypatch.delenv(networks.STARTING_WEIGHTS, raising=False)
    with pytest.raises(UserError, match="set start to random"):
        networks.build("cnn_94", 7, 0, 0.2, "imagenet")


@pytest.mark.skipif(
    not os.environ.get(networks.STARTING_WEIGHTS), reason="STARTING_WEIGHTS_DIR does not name the ImageNet weights"
)
def test_the_default_starts_from_imagenet_and_ships_other_weights():
    """Every tensor that ships was trained: none equals the one it started from."""
    import keras

    from skin_gradio.models import find_model

    start = networks.build("mobilenet_v2", 7, 0, 0.3, "imagenet").get_layer("backbone")
    shipped = keras.saving.load_model(Path(find_model().file("model.keras")), compile=False).get_layer("backbone")
    assert len(start.weights) == len(shipped.weights)
    for before, after in zip(start.weights, shipped.weights, strict=True):
        assert not np.array_equal(np.asarray(before), np.asarray(after)), before.path


@pytest.fixture
def residual(monkeypatch):
    monkeypatch.setitem(networks.BACKBONES, "residual", tiny.ResidualBackbone())
    return lambda rate: networks.build("residual", 7, 0, 0.0, "random", rate)


def test_a_network_with_stochastic_depth_answers_as_the_one_without_when_it_is_used(residual, tmp_path):
    plain, skipping = residual(0.0), residual(0.5)
    skipping.get_layer("logits").set_weights([np.random.default_rng(0).normal(size=(6, 7)), np.arange(7.0)])
    skipping.save_weights(tmp_path / "some.weights.h5")
    plain.load_weights(tmp_path / "some.weights.h5")
    pictures = tiny.data(per_class=1, side=24)[0]
    np.testing.assert_array_equal(plain.predict(pictures, verbose=0), skipping.predict(pictures, verbose=0))


def test_in_training_whole_branches_vanish_the_later_the_more_often(residual):
    import keras

    backbone = residual(0.6).get_layer("backbone")
    additions = [layer for layer in backbone.layers if isinstance(layer, keras.layers.Add)]
    shortcut, branch = np.zeros((4000, 2, 2, 6), "float32"), np.ones((4000, 2, 2, 6), "float32")
    for layer, rate in zip(additions, (0.3, 0.6), strict=True):
        each = keras.ops.convert_to_numpy(layer([shortcut, branch], training=True)).reshape(4000, -1)
        assert (each.min(axis=1) == each.max(axis=1)).all()
        assert np.mean(each[:, 0] == 0) == pytest.approx(rate, abs=0.03)
        assert each.mean() == pytest.approx(1, abs=0.06)
        kept = keras.ops.convert_to_numpy(layer([branch, shortcut], training=True))
        assert (kept == 1).all()


@pytest.mark.parametrize("name", sorted(name for name, spec in networks.BACKBONES.items() if spec.branch is not None))
def test_the_branch_of_a_real_network_is_the_longer_way_and_weights_fit_both(name, tmp_path):
    import keras

    plain = networks.build(name, 7, 0, 0.0, "random")
    skipping = networks.build(name, 7, 0, 0.0, "random", 0.2)
    backbone = skipping.get_layer("backbone")
    ancestors = {}
    for layer in backbone.layers:  # in the order of the graph
        before = [node.operation.name for node in layer._inbound_nodes[-1].parent_nodes]
        ancestors[layer.name] = {layer.name}.union(*(ancestors[one] for one in before))
        if isinstance(layer, keras.layers.Add):
            ways = [ancestors[before[0]] - ancestors[before[1]], ancestors[before[1]] - ancestors[before[0]]]
            assert len(ways[networks.BACKBONES[name].branch]) == max(map(len, ways)) > min(map(len, ways))
    assert [w.shape for w in plain.get_weights()] == [w.shape for w in skipping.get_weights()]
    plain.save_weights(tmp_path / "plain.weights.h5")
    skipping.load_weights(tmp_path / "plain.weights.h5")
    for mine, theirs in zip(skipping.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["densenet121", "cnn_94"])
def test_a_network_without_residual_branches_has_no_stochastic_depth(name):
    with pytest.raises(UserError, match=r"residual branches can be skipped: .*mobilenet_v2"):
        networks.build(name, 7, 0, 0.2, "random", 0.1)
