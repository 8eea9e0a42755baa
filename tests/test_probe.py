"""A stranger's model is tried in a child process: whatever it does there, the program that asked lives on."""

import json
import shutil

import numpy as np
import pytest

from skin_gradio import lesions, probe
from skin_gradio.engines import OUTPUTS, open_safely
from skin_gradio.models import BUNDLED, ModelError, find_bundled, find_model, sha256


@pytest.fixture
def copied(tmp_path):
    """A model folder that is not bundled."""
    return find_model(str(shutil.copytree(BUNDLED / "mobilenet_v2", tmp_path / "copied")))


def hostile(folder, nodes, initializers=()):
    """Write a model folder whose ONNX graph makes its probabilities by nodes that end in `hostile`, one float."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto
    constants = {
        "even": np.full((1, 7), 1 / 7, np.float32),
        "map": np.ones((1, 2, 2, 7), np.float32),
        "vector": np.ones((1, 4), np.float32),
    }
    graph = helper.make_graph(
        [
            *nodes,
            helper.make_node("Add", ["even", "hostile"], ["probabilities"]),
            helper.make_node("Identity", ["map"], ["heatmaps"]),
            helper.make_node("Identity", ["vector"], ["embedding"]),
        ],
        "hostile",
        [helper.make_tensor_value_info("pictures", kinds.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info(output, kinds.FLOAT, None) for output in OUTPUTS],
        [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()] + list(initializers),
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "model.keras").write_bytes(b"none")
    card = {
        "format_version": 1,
        "name": "hostile",
        "classes": list(lesions.CODES),
        "prior": [1 / 7] * 7,
        "input_size": 32,
        "operating_points": [{"name": "x", "threshold": 0.2, "sensitivity": 0.9, "specificity": 0.8}],
        "sha256": {name: sha256(folder / name) for name in ("model.keras", "model.onnx")},
    }
    (folder / "model.json").write_text(json.dumps(card))
    return find_model(str(folder))


def huge(onnx):
    """Nodes that ask for 40 GB, by a shape that depends on the picture so that it is not known before it runs."""
    size = onnx.numpy_helper.from_array(np.array([10_000_000_000], np.int64), "size")
    helper = onnx.helper
    return [
        helper.make_node("Cast", ["pictures"], ["numbers"], to=onnx.TensorProto.INT64),
        helper.make_node("ReduceMin", ["numbers"], ["least"], keepdims=0),
        helper.make_node("Add", ["size", "least"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Exp", ["zeros"], ["ones"]),
        helper.make_node("ReduceMin", ["ones"], ["hostile"], keepdims=0),
    ], [size]


def endless(onnx):
    """A loop of 2**62 turns."""
    helper, kinds = onnx.helper, onnx.TensorProto
    turns = onnx.numpy_helper.from_array(np.array(2**62, np.int64), "turns")
    start = onnx.numpy_helper.from_array(np.zeros((1,), np.float32), "start")
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Cos", ["was"], ["is"])],
        "body",
        [
            helper.make_tensor_value_info("turn", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("was", kinds.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("goes", kinds.BOOL, []),
            helper.make_tensor_value_info("is", kinds.FLOAT, [1]),
        ],
    )
    return [helper.make_node("Loop", ["turns", "", "start"], ["hostile"], body=body)], [turns, start]


def test_a_sound_model_passes_and_is_opened(copied):
    engine = open_safely(copied, "onnx")
    assert engine.run(np.zeros((1, 224, 224, 3), np.uint8)).probabilities.shape == (1, 7)


def test_a_bundled_model_is_opened_without_a_trial(monkeypatch):
    monkeypatch.setattr("skin_gradio.engines.probe", lambda *_: pytest.fail("it was tried"))
    assert open_safely(find_bundled("mobilenet_v2"), "onnx").name == "onnx"


def test_a_graph_that_wants_too_much_memory_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    with pytest.raises(ModelError, match="cannot be opened safely"):
        open_safely(hostile(tmp_path / "huge", *huge(onnx)), "onnx")


def test_a_graph_that_never_ends_is_refused(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    monkeypatch.setattr(probe, "SECONDS", 20.0)
    with pytest.raises(ModelError, match="within 20 seconds"):
        open_safely(hostile(tmp_path / "endless", *endless(onnx)), "onnx")


def test_a_child_that_crashes_is_a_reason_to_refuse(copied, monkeypatch):
    monkeypatch.setattr(probe, "MEMORY_BYTES", 1_000_000)
    with pytest.raises(ModelError, match=r"crashed|memory"):
        open_safely(copied, "onnx")


def test_what_the_child_refuses_is_said_in_its_words(copied):
    (copied.path / "model.onnx").write_bytes(b"changed since it was read")
    with pytest.raises(ModelError, match=r"cannot be opened safely: .*checksum"):
        open_safely(copied, "onnx")


@pytest.mark.training
def test_a_keras_file_that_aborts_its_process_is_refused(tmp_path):
    import zipfile

    folder = shutil.copytree(BUNDLED / "mobilenet_v2", tmp_path / "aborting")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    # one layer of two thousand million units, in front of everything
    config["config"]["layers"] = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "in"},
            "name": "in",
            "registered_name": None,
            "inbound_nodes": [],
        },
        {
            "module": "keras.layers",
            "class_name": "Dense",
            "config": {"name": "huge", "units": 2_000_000_000},
            "name": "huge",
            "registered_name": None,
            "build_config": {"input_shape": [None, 4]},
            "inbound_nodes": [
                {
                    "args": [
                        {
                            "class_name": "__keras_tensor__",
                            "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["in", 0, 0]},
                        }
                    ],
                    "kwargs": {},
                }
            ],
        },
    ]
    config["config"]["input_layers"], config["config"]["output_layers"] = [["in", 0, 0]], [["huge", 0, 0]]
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    card = json.loads((folder / "model.json").read_text())
    card["sha256"]["model.keras"] = sha256(folder / "model.keras")
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="cannot be opened safely"):
        open_safely(find_model(str(folder)), "keras")
