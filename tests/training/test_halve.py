"""Weights stored in half precision: smaller files, the same answers, or a folder left alone."""

import numpy as np
import pytest
from PIL import Image

from skin_gradio.engines import OUTPUTS, KerasEngine, OnnxEngine
from skin_gradio.models import find_model, read_folder, sha256
from tests.training import tiny
from tests.training.test_export import export_tiny
from training import halve

pytestmark = pytest.mark.training


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(halve, "MIN_VALUES", 50)
    export_tiny(tiny.build(5), tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def paths(tmp_path):
    for place, picture in enumerate(tiny.data(per_class=2, side=40, seed=1)[0]):
        Image.fromarray(picture).save(tmp_path / f"{place:02d}.png")
    return sorted(tmp_path.glob("*.png"))


def kernels(folder):
    import onnx

    return {one.name: one.data_type for one in onnx.load(folder / "model.onnx").graph.initializer if len(one.dims) > 1}


def test_a_halved_folder_is_smaller_and_answers_alike_on_every_engine(folder, paths):
    import onnx

    pictures = tiny.data(per_class=2, side=32, seed=2)[0]
    before = OnnxEngine(find_model(str(folder))).run(pictures)
    sizes = {name: (folder / name).stat().st_size for name in ("model.onnx", "model.keras")}
    card = find_model(str(folder)).card
    moved = halve.halve_folder(find_model(str(folder)), paths)
    model = read_folder(folder)
    onnx_engine, keras_engine = OnnxEngine(model).run(pictures), KerasEngine(model).run(pictures)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(onnx_engine, name), getattr(keras_engine, name), atol=1e-4)
    gap = np.abs(onnx_engine.probabilities - before.probabilities).max()
    assert 0 < gap < halve.MOST_MOVED
    assert 0 < moved < halve.MOST_MOVED
    assert onnx.TensorProto.FLOAT16 in kernels(folder).values()
    assert all((folder / name).stat().st_size < size for name, size in sizes.items())
    assert {**model.card, "sha256": 0} == {**card, "sha256": 0}


def test_a_folder_whose_answers_would_move_is_left_alone(folder, paths, monkeypatch):
    monkeypatch.setattr(halve, "MOST_MOVED", 1e-9)
    before = {file.name: sha256(file) for file in folder.iterdir()}
    with pytest.raises(halve.HalveError, match=r"is left as it is: a probability would move by 0\.0"):
        halve.halve_folder(find_model(str(folder)), paths)
    assert {file.name: sha256(file) for file in folder.iterdir()} == before
    assert [one.name for one in folder.parent.iterdir() if one.is_dir()] == ["tiny"]


def test_small_arrays_keep_their_precision(folder, paths, monkeypatch):
    import onnx

    monkeypatch.setattr(halve, "MIN_VALUES", 10**9)
    assert halve.halve_folder(find_model(str(folder)), paths) < 1e-6
    assert onnx.TensorProto.FLOAT16 not in kernels(folder).values()
