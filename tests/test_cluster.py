"""The batch on a Ray cluster of two nodes, each with one CPU, on this machine."""

import csv
import sys
import zipfile

import numpy as np
import pytest

from skin_gradio import __main__ as command
from skin_gradio.models import BUNDLED
from tests.pictures import encoded, gradient

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def address():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'skin-gradio[ray]'")
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def folder(tmp_path):
    """Enough pictures for both workers, and a zip, a damaged file and a name that is no UTF-8 text among them."""
    root = tmp_path / "visit"
    root.mkdir()
    for number in range(70):
        (root / f"{number:03}.jpg").write_bytes(encoded(gradient(80 + number, 60 + number), "JPEG"))
    (root / "bad.jpg").write_bytes(b"no picture")
    (root / "caf\udce9.jpg").write_bytes(encoded(gradient(), "JPEG"))
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.writestr("one.jpg", encoded(gradient(), "JPEG"))
        archive.writestr("../out.jpg", b"")
    return root


def batch(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["skin_gradio", *map(str, arguments)])
    return command.main()


def rows(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_two_workers_of_a_cluster_write_the_csv_that_one_machine_writes(address, folder, tmp_path, monkeypatch):
    if not (BUNDLED / "mobilenet_v2" / "model.onnx").is_file():
        pytest.skip("the bundled model weights/mobilenet_v2 is not here")
    there, here = tmp_path / "there.csv", tmp_path / "here.csv"
    assert batch(monkeypatch, folder, "--csv", there, "--engine", "ray", "--address", address) == 1
    assert batch(monkeypatch, folder, "--csv", here, "--engine", "onnx") == 1
    assert len(rows(there)) == 74
    for one, other in zip(rows(there), rows(here), strict=True):
        figures = [key for key, text in other.items() if key not in ("file", "reason") and text.startswith(("0.", "1"))]
        assert {key: one[key] for key in one if key not in figures} == {
            key: other[key] for key in other if key not in figures
        }
        np.testing.assert_allclose(
            [float(one[key]) for key in figures], [float(other[key]) for key in figures], atol=1e-4
        )


def test_a_batch_goes_on_upon_the_cluster_where_it_stopped(address, folder, tmp_path, monkeypatch, capsys):
    if not (BUNDLED / "mobilenet_v2" / "model.onnx").is_file():
        pytest.skip("the bundled model weights/mobilenet_v2 is not here")
    path = tmp_path / "out.csv"
    batch(monkeypatch, folder, "--csv", path, "--engine", "onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert batch(monkeypatch, folder, "--csv", path, "--engine", "ray", "--address", address) == 1
    assert "Going on" in capsys.readouterr().err
    assert [row["file"] for row in rows(path)] == [
        line.split('","')[0][1:] for line in whole.decode().split("\r\n")[1:-1]
    ]
