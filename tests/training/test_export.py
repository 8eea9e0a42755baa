"""What leaves the training side: the same answers as the network, on every engine and backend."""

import os
import subprocess
import sys

import numpy as np
import pytest

from skin_gradio import lesions
from skin_gradio.engines import OUTPUTS, KerasEngine, OnnxEngine
from skin_gradio.models import ModelError, find_model
from tests.training import tiny
from training import calibrate, export

pytestmark = pytest.mark.training
PRIOR = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])
CALIBRATION = calibrate.Calibration(1.3, np.linspace(-0.5, 0.5, 7))


@pytest.fixture(params=[0, 5], ids=["linear head", "hidden layer"])
def network(request):
    return tiny.build(request.param)


@pytest.fixture
def pictures():
    return tiny.data(per_class=2, side=32, seed=1)[0]


def export_tiny(network, folder):
    logits, labels = tiny.answers(np.random.default_rng(0))
    calibration = calibrate.fit(logits, labels, PRIOR)
    export.export_folder(
        network, tiny.EXPERIMENT, lesions.CODES, PRIOR, calibration, logits, labels, tiny.RECORD, folder
    )


def test_probabilities_are_the_networks_logits_with_calibration_and_prior(network, pictures):
    graph = export.inference_model(network, PRIOR, CALIBRATION, 32)
    expected = CALIBRATION.probabilities(network.predict(pictures, verbose=0), PRIOR)
    np.testing.assert_allclose(graph.predict(pictures, verbose=0)["probabilities"], expected, atol=1e-5)


def test_the_mean_of_a_heatmap_is_what_the_pooled_features_contribute(network, pictures):
    """Summed over the picture, a class activation map is gradient times pooled features, in any ReLU head."""
    graph = export.inference_model(network, PRIOR, CALIBRATION, 32)
    outputs = graph.predict(pictures, verbose=0)

    def logits(embedding):
        x = embedding
        if any(layer.name == "hidden" for layer in graph.layers):
            kernel, bias = graph.get_layer("hidden").get_weights()
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = graph.get_layer("probabilities").get_weights()
        return x @ kernel + bias

    embedding = outputs["embedding"].astype(np.float64)
    step = 1e-5
    directional = (logits(embedding * (1 + step)) - logits(embedding * (1 - step))) / (2 * step)
    np.testing.assert_allclose(outputs["heatmaps"].mean(axis=(1, 2)), directional, rtol=1e-2, atol=1e-3)


def test_the_folder_gives_the_same_answers_on_every_engine(network, pictures, tmp_path):
    export_tiny(network, tmp_path / "tiny")
    model = find_model(str(tmp_path / "tiny"))
    onnx, keras = OnnxEngine(model).run(pictures), KerasEngine(model).run(pictures)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(onnx, name), getattr(keras, name), atol=1e-4)


def test_jax_exports_and_reads_the_same_folder_as_tensorflow(tmp_path):
    """The other backend writes its own folder; what this process' backend wrote must answer alike in both."""
    export_tiny(tiny.build(5), tmp_path / "here")
    script = (
        "import sys, numpy as np; from pathlib import Path; from tests.training import tiny, test_export;"
        "from skin_gradio.engines import KerasEngine, OnnxEngine; from skin_gradio.models import find_model;"
        "root = Path(sys.argv[1]); test_export.export_tiny(tiny.build(5), root / 'there');"
        "pictures = tiny.data(per_class=2, side=32, seed=1)[0];"
        "here = KerasEngine(find_model(str(root / 'here')));"
        "there = OnnxEngine(find_model(str(root / 'there')));"
        "assert here.name == 'keras-jax';"
        "np.savez(root / 'answers.npz', here=here.run(pictures).probabilities,"
        " there=there.run(pictures).heatmaps, same=KerasEngine(find_model(str(root / 'there'))).run(pictures).heatmaps)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=True)
    answers = np.load(tmp_path / "answers.npz")
    pictures = tiny.data(per_class=2, side=32, seed=1)[0]
    here = OnnxEngine(find_model(str(tmp_path / "here"))).run(pictures).probabilities
    np.testing.assert_allclose(answers["here"], here, atol=1e-4)
    np.testing.assert_allclose(answers["there"], answers["same"], atol=1e-4)


def test_a_folder_that_was_tampered_with_is_refused(tmp_path):
    export_tiny(tiny.build(), tmp_path / "tiny")
    file = tmp_path / "tiny" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"model\.onnx is damaged"):
        find_model(str(tmp_path / "tiny"))


def test_exporting_again_replaces_the_folder_whole(tmp_path):
    export_tiny(tiny.build(), tmp_path / "tiny")
    (tmp_path / "tiny" / "left-over").write_text("old")
    export_tiny(tiny.build(), tmp_path / "tiny")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tiny"]
    assert sorted(file.name for file in (tmp_path / "tiny").iterdir()) == [
        "README.md",
        "model.json",
        "model.keras",
        "model.onnx",
    ]


def test_zero_padding_before_max_pooling_stays_zero_in_the_exported_graph(tmp_path):
    """ONNX Runtime would fuse the two and pad with minus infinity, which differs where all values are negative."""
    import keras

    pictures = keras.Input((16, 16, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, kernel_initializer="ones")(keras.layers.Rescaling(-1.0, -1.0)(pictures))
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    features = keras.layers.Conv2D(5, 1)(x)
    embedding = keras.layers.GlobalAveragePooling2D()(features)
    outputs = {
        "probabilities": keras.layers.Dense(7, activation="softmax")(embedding),
        "heatmaps": keras.layers.Conv2D(7, 1)(features),
        "embedding": embedding,
    }
    export.write_onnx(keras.Model(pictures, outputs), tmp_path / "model.onnx")  # which compares the answers
    assert (tmp_path / "model.onnx").exists()
