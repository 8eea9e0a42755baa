"""Model folders made to do harm: a `.keras` or `.onnx` file that brings code or names other files is refused."""

import base64
import json
import marshal
import os
import shutil
import zipfile

import numpy as np
import pytest

from skin_gradio.engines import open_engine
from skin_gradio.models import BUNDLED, ModelError, find_model, sha256
from tests.test_probe import hostile

# ONNX


def external(onnx, location):
    """Nodes whose weight lies in another file than the graph."""
    weight = onnx.TensorProto(name="weight", data_type=onnx.TensorProto.FLOAT, data_location=onnx.TensorProto.EXTERNAL)
    weight.dims.append(1)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        weight.external_data.add(key=key, value=value)
    return [onnx.helper.make_node("Identity", ["weight"], ["hostile"])], [weight]


@pytest.mark.parametrize("way", ["absolute", "climbing", "round about", "link"])
def test_a_graph_whose_weights_lie_in_a_file_of_the_machine_is_refused_without_them(tmp_path, way):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    secret = tmp_path / "secret"
    secret.write_bytes(np.float32(0).tobytes())
    ways = {"absolute": str(secret), "climbing": "../secret", "round about": "none/../../secret", "link": "link"}
    model = hostile(tmp_path / "model", *external(onnx, ways[way]))
    if way == "link":
        os.symlink(secret, model.file("link"))
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened"):
        open_engine(model, "onnx")


def test_a_graph_with_an_operator_of_its_own_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    node = onnx.helper.make_node("Run", ["even"], ["hostile"], domain="com.example.own")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened"):
        open_engine(hostile(tmp_path / "model", [node]), "onnx")


@pytest.mark.parametrize("dims", [[2**40], [-1], [2**62, 2**62], [3]])
def test_a_weight_that_lies_about_its_shape_is_refused(tmp_path, dims):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    weight = onnx.TensorProto(name="weight", data_type=onnx.TensorProto.FLOAT, dims=dims, raw_data=b"\0\0\0\0")
    node = onnx.helper.make_node("ReduceMin", ["weight"], ["hostile"], keepdims=0)
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened"):
        open_engine(hostile(tmp_path / "model", [node], [weight]), "onnx")


@pytest.mark.parametrize("content", [b"", b"\x08", b"no graph", b"\xff" * 4096, b"PK\x03\x04" + b"\0" * 100])
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = hostile(tmp_path / "model", [])
    model.file("model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened"):
        open_engine(model, "onnx")


# Keras


def with_config(folder, change):
    """Write a copy of the bundled model whose Keras config was changed; its checksums are right."""
    shutil.copytree(BUNDLED / "mobilenet_v2", folder)
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    card["sha256"]["model.keras"] = sha256(folder / "model.keras")
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return find_model(str(folder))


def in_place_of_rescaling(module, class_name, registered=None, **settings):
    """A change that puts another layer where the graph scales its input."""

    def change(config):
        layer = config["config"]["layers"][1]
        assert layer["class_name"] == "Rescaling"
        layer |= {"module": module, "class_name": class_name, "registered_name": registered}
        layer["config"] = {"name": layer["name"], **settings}

    return change


def bytecode(path):
    """A lambda as Keras stores it, which would write a file."""
    code = marshal.dumps(eval(f"lambda x: [open({str(path)!r}, 'w'), x][1]").__code__)
    stored = {"code": base64.b64encode(code).decode(), "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": stored}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.training
@pytest.mark.parametrize(
    "hidden",
    [
        lambda trace: in_place_of_rescaling("keras.layers", "Lambda", function=bytecode(trace)),
        lambda trace: in_place_of_rescaling("keras.layers", "Lambda", function=function("os", "mkdir")),
        lambda trace: in_place_of_rescaling("keras.layers", "Activation", activation=function("builtins", "eval")),
        lambda trace: in_place_of_rescaling("keras.layers", "TFSMLayer", filepath=str(trace)),
        lambda trace: in_place_of_rescaling("subprocess", "Popen", args=["touch", str(trace)]),
        lambda trace: in_place_of_rescaling("own.code", "Layer", registered="own>Layer"),
    ],
    ids=["lambda", "function", "activation", "saved model", "class", "custom object"],
)
def test_a_keras_file_that_brings_code_is_refused_and_nothing_of_it_runs(tmp_path, hidden):
    pytest.importorskip("keras", reason="keras is not installed")
    trace = tmp_path / "trace"
    with pytest.raises(ModelError, match=r"model\.keras cannot be opened"):
        open_engine(with_config(tmp_path / "model", hidden(trace)), "keras")
    assert not trace.exists()
