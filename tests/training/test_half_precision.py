"""Weights stored in half precision: folded and rounded first, so that the smaller files lose nothing."""

import numpy as np
import pytest

from tests.training import tiny
from training import export, half_precision
from training.calibrate import Calibration

pytestmark = pytest.mark.training
PRIOR = np.full(7, 1 / 7)


@pytest.fixture(autouse=True)
def _small_arrays_count(monkeypatch):
    monkeypatch.setattr(half_precision, "MIN_VALUES", 50)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).normal(0, 1, (3, 24, 24, 6)).astype(np.float32)


def normalisations(model):
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def unsettled(model):
    """Give every layer weights, and batch normalisation statistics, that are not those it starts with."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.2, 1.0, w.shape) - 0.4 * (w.ndim > 1) for w in layer.weights])
    return model


def network(convolution, **options):
    """A convolution, batch normalisation behind it, and what reads that."""
    import keras

    shown = keras.Input((None, None, 6))
    x = convolution(shown)
    x = keras.layers.BatchNormalization(**options)(x)
    x = keras.layers.ReLU()(x)
    return unsettled(keras.Model(shown, keras.layers.Conv2D(9, 3)(x)))


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}], ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "DepthwiseConv2D twice", "SeparableConv2D"])
def test_a_convolution_takes_over_the_normalisation_behind_it(kind, bias, options, pictures):
    import keras

    name, _, twice = kind.partition(" ")
    if name == "DepthwiseConv2D":
        convolution = keras.layers.DepthwiseConv2D(3, use_bias=bias, depth_multiplier=2 if twice else 1)
    else:
        convolution = getattr(keras.layers, name)(8, 3, use_bias=bias)
    model = network(convolution, **options)
    before = [array.copy() for array in model.get_weights()]
    folded = half_precision._folded(model)
    assert not normalisations(folded)
    np.testing.assert_allclose(
        folded.predict(pictures, verbose=0), model.predict(pictures, verbose=0), rtol=1e-4, atol=1e-4
    )
    for array, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, expected)


def kept_apart(kind):
    """A network whose batch normalisation no convolution may take over."""
    import keras

    layers = keras.layers
    shown = keras.Input((None, None, 6))
    if kind == "an activation between them":
        return keras.Model(shown, layers.BatchNormalization()(layers.Conv2D(8, 3, activation="relu")(shown)))
    if kind == "nothing in front of it":
        return keras.Model(shown, layers.Conv2D(8, 3)(layers.BatchNormalization()(shown)))
    if kind == "used twice":
        shared = layers.BatchNormalization()
        first, second = layers.Conv2D(8, 3)(shown), layers.Conv2D(8, 3)(shown)
        return keras.Model(shown, layers.Add()([shared(first), shared(second)]))
    x = layers.Conv2D(8, 3)(shown)
    normalised = layers.BatchNormalization()(x)
    if kind == "read by another layer too":
        return keras.Model(shown, layers.Add()([x, normalised]))
    assert kind == "an output too"
    return keras.Model(shown, {"raw": x, "normalised": normalised})


@pytest.mark.parametrize(
    "kind",
    [
        "an activation between them",
        "nothing in front of it",
        "used twice",
        "read by another layer too",
        "an output too",
    ],
)
def test_a_normalisation_that_cannot_be_folded_stays(kind, pictures):
    import keras

    model = unsettled(kept_apart(kind))
    folded = half_precision._folded(model)
    assert len(normalisations(folded)) == 1
    expected, found = (keras.tree.flatten(one.predict(pictures, verbose=0)) for one in (model, folded))
    for first, second in zip(expected, found, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-4)


def test_inner_models_are_folded_and_rounded_as_well(pictures):
    import keras

    inner = network(keras.layers.Conv2D(8, 3))
    shown = keras.Input((24, 24, 6))
    model = keras.Model(shown, keras.ops.sum(inner(shown), axis=(1, 2)))
    made = half_precision.rounded(model)
    (found,) = (layer for layer in made.layers if isinstance(layer, keras.Model))
    assert not normalisations(found)
    large = [array for array in made.get_weights() if array.ndim > 1]
    assert large
    for array in large:
        np.testing.assert_array_equal(array, array.astype(np.float16).astype(np.float32))
    before = model.predict(pictures, verbose=0)
    gap = np.abs(made.predict(pictures, verbose=0) - before).max()
    assert 0 < gap < 1e-3 * np.abs(before).max()


def test_layers_in_a_row_are_rounded_without_folding(pictures):
    import keras

    model = unsettled(
        keras.Sequential([keras.Input((24, 24, 6)), keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()])
    )
    shown = keras.Input((24, 24, 6))
    made = half_precision.rounded(keras.Model(shown, model(shown)))
    expected = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(made.predict(pictures, verbose=0), expected, atol=2e-3 * np.abs(expected).max())


@pytest.fixture
def graph():
    return half_precision.rounded(
        export.inference_model(tiny.build(5), PRIOR, Calibration(1.0, np.zeros(7)), input_size=32)
    )


def test_the_stored_files_are_smaller_and_answer_exactly_alike(graph, tmp_path):
    import keras
    import onnx
    import onnxruntime

    shown = tiny.data(per_class=2, side=32, seed=2)[0]
    graph.save(tmp_path / "model.keras")
    export.write_onnx(graph, tmp_path / "model.onnx")
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}

    def answers():
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        found = session.run(["probabilities"], {"pictures": shown})[0]
        return keras.saving.load_model(tmp_path / "model.keras").predict(shown, verbose=0)["probabilities"], found

    before = answers()
    half_precision.store_keras(tmp_path / "model.keras")
    half_precision.store_onnx(tmp_path / "model.onnx")
    for first, second in zip(before, answers(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert all((tmp_path / name).stat().st_size < size for name, size in sizes.items())
    types = {one.data_type for one in onnx.load(tmp_path / "model.onnx").graph.initializer if len(one.dims) > 1}
    assert onnx.TensorProto.FLOAT16 in types


def test_what_would_lose_by_it_stays_as_it_is(tmp_path):
    import h5py
    import onnx
    from onnx import helper, numpy_helper

    exact, inexact = np.full((8, 8), 0.5, np.float32), np.full((8, 8), 0.1, np.float32)
    nodes = [helper.make_node("MatMul", ["x", "exact"], ["y"]), helper.make_node("MatMul", ["y", "inexact"], ["z"])]
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8]) for name in "xz"]
    kernels = [numpy_helper.from_array(exact, "exact"), numpy_helper.from_array(inexact, "inexact")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "two", value[:1], value[1:], kernels)), tmp_path / "a.onnx")
    half_precision.store_onnx(tmp_path / "a.onnx")
    found = {one.name: one.data_type for one in onnx.load(tmp_path / "a.onnx").graph.initializer}
    assert found == {"exact_half": onnx.TensorProto.FLOAT16, "inexact": onnx.TensorProto.FLOAT}

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layer/exact"], file["layer/inexact"], file["layer/number"] = exact, inexact, 3
        file["layer"].attrs["name"] = "kept"
    (tmp_path / "half.h5").write_bytes(half_precision._stored((tmp_path / "w.h5").read_bytes()))
    with h5py.File(tmp_path / "half.h5") as file:
        assert file["layer/exact"].dtype == np.float16
        assert file["layer/inexact"].dtype == np.float32
        np.testing.assert_array_equal(file["layer/exact"][()], exact)
        assert (file["layer/number"][()], file["layer"].attrs["name"]) == (3, "kept")
