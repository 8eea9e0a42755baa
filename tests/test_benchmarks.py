"""The serving benchmark: what it counts and how it sums up. No test holds a duration to anything."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks import floor, serving
from benchmarks.app_process import peak_megabytes, resident_megabytes, running_server
from benchmarks.batch_run import BatchRun, Sample, many_files, run_batch
from benchmarks.load import PictureClient, ask_at_once, percentile
from benchmarks.others import OthersShare
from benchmarks.serving_table import as_markdown
from tests.pictures import encoded, gradient

PART = {"on": "2026-01-01", "others": 0.01}
START = {
    **{"on": "2026-01-02", "others": 0.04, "opened_s": 3.0, "answered_s": 3.9},
    **{"memory_opened_mb": 280.0, "memory_mb": 301.0},
}
PICTURE = {**PART, "decode_ms": 2.0, "resize_ms": 1.0, "read_ms": 4.0, "graph_ms": 6.0, "classify_ms": 7.0}
RATES = {"prepared_per_second": 500.0, "graph_per_second": 200.0, "multiply_adds_per_second": 1e11}
BATCH = {
    **PART,
    **RATES,
    **{"files": 1000, "multiply_adds": 3e8, "whole_per_second": 90.0, "per_second": 120.0},
    **{"floor": 143.0, "share": 0.84, "floor_at_best": 200.0, "share_at_best": 0.6},
}
LOAD = {"requests": 100, "p50_ms": 200.0, "p95_ms": 400.0, "per_second": 30.0}
REQUESTS = {
    **{**PART, "request_ms": 40.0, "empty_ms": 25.0, "own_ms": 15.0, "graph_ms": 6.0, "gradio_client_ms": 90.0},
    **{"peak_mb": 350.0, "ours_8": LOAD, "ours_32": LOAD, "empty_8": LOAD, "empty_32": LOAD},
}
RIVALS = {
    **PART,
    "keras": {"per_second": 11.0, "peak_mb": 800.0},
    "vit": {"per_second": 15.0, "peak_mb": 900.0},
    "resnet": {"request_ms": 400.0, "peak_mb": 700.0},
    "resnet_8": {**LOAD, "per_second": 3.0},
    "resnet_32": {**LOAD, "per_second": 3.0},
}


def row(parts, what):
    """The cells of the table's row that begins so, without its name."""
    (found,) = [line for line in as_markdown(parts, 2).splitlines() if line.startswith(f"| {what}")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def graph(tmp_path, nodes, weights, outputs):
    """An ONNX file of these nodes between one picture, uint8 (n, 8, 8, 3), and float outputs of unstated shape."""
    helper = pytest.importorskip("onnx.helper")
    import onnx

    picture = helper.make_tensor_value_info("picture", onnx.TensorProto.UINT8, [None, 8, 8, 3])
    made = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    first = [
        helper.make_node("Cast", ["picture"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    held = [onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    model = helper.make_model(
        helper.make_graph([*first, *nodes], "tiny", [picture], made, held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def test_multiply_adds_are_those_of_convolutions_and_products(tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("Conv", ["planes", "filters"], ["maps"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Conv", ["maps", "depthwise"], ["small"], group=4, strides=[2, 2]),
        onnx.helper.make_node("GlobalAveragePool", ["small"], ["means"]),
        onnx.helper.make_node("Flatten", ["means"], ["embedding"]),
        onnx.helper.make_node("Gemm", ["embedding", "head"], ["hidden"], transB=1),
        onnx.helper.make_node("MatMul", ["hidden", "last"], ["scores"]),
        onnx.helper.make_node("Einsum", ["small", "kernel"], ["heatmaps"], equation="bchw,ck->bhwk"),
    ]
    weights = {"filters": (4, 3, 3, 3), "depthwise": (4, 1, 2, 2), "head": (5, 4), "last": (5, 7), "kernel": (4, 7)}
    path = graph(tmp_path, nodes, weights, ["scores", "heatmaps"])
    expected = {
        "filters": 8 * 8 * 4 * 27,
        "depthwise": 4 * 4 * 4 * 4,
        "head": 4 * 5,
        "last": 5 * 7,
        "kernel": 4 * 4 * 4 * 7,
    }
    assert floor.multiply_adds(path, 8) == sum(expected.values())


def test_multiply_adds_are_counted_behind_a_shape_that_the_graph_computes(tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("Shape", ["planes"], ["sides"]),
        onnx.helper.make_node("Reshape", ["float", "sides"], ["turned"]),
        onnx.helper.make_node("MatMul", ["turned", "last"], ["scores"]),
    ]
    assert floor.multiply_adds(graph(tmp_path, nodes, {"last": (8, 5)}, ["scores"]), 8) == 3 * 8 * 8 * 5


def test_an_einsum_that_does_not_say_its_sizes_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes = [onnx.helper.make_node("Einsum", ["planes", "last"], ["scores"], equation="...w,wk->...k")]
    with pytest.raises(ValueError, match="ellipsis"):
        floor.multiply_adds(graph(tmp_path, nodes, {"last": (8, 5)}, ["scores"]), 8)


def test_the_floor_prepares_pictures_as_the_loader_does_but_for_rounding():
    from skin_gradio.images import read_picture

    data = encoded(gradient(600, 450), "JPEG")
    ours = read_picture(data).resized(64)
    assert np.abs(floor.resized(floor.decoded(data), 64).astype(int) - ours).max() <= 2


def test_the_machines_rate_is_a_rate():
    assert floor.machine_rate(side=64, repeats=2) > 0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (1, 10), (0.01, 1)])
def test_a_percentile_is_the_value_that_so_large_a_share_does_not_exceed(share, expected):
    assert percentile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], share) == expected


class Gradio(BaseHTTPRequestHandler):
    """Speaks as much of Gradio as a client needs; refuses the picture b"bad", ends without an answer for b"lost"."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/gradio_api/upload":
            picture = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            self.reply(400 if picture == b"bad" else 200, json.dumps([picture.decode()]))
        else:
            file, *arguments = json.loads(body)["data"]
            event = "-".join([file["path"], *arguments])
            self.reply(200, json.dumps({"event_id": event}))

    def do_GET(self):
        event = self.path.rsplit("/", 1)[1]
        said = "error" if event.startswith("lost") else "complete"
        self.reply(200, f"event: heartbeat\ndata: null\n\nevent: {said}\ndata: {json.dumps([event])}\n\n")

    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gradio)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_client_uploads_asks_and_reads_the_answer(url):
    assert PictureClient(url, ["equal"]).ask(b"one") == "one-equal"


@pytest.mark.parametrize(("picture", "reason"), [(b"bad", "answered 400"), (b"lost", "event 'error'")])
def test_a_client_takes_no_refusal_for_an_answer(url, picture, reason):
    with pytest.raises(RuntimeError, match=reason):
        PictureClient(url).ask(picture)


def test_clients_at_once_all_ask_and_all_requests_are_counted(url):
    load = ask_at_once([PictureClient(url) for _ in range(3)], [b"one", b"two"], seconds=0.2)
    figures = load.figures()
    assert figures["requests"] == len(load.seconds) >= 3
    assert figures["per_second"] == pytest.approx(len(load.seconds) / load.duration)
    assert figures["p50_ms"] <= figures["p95_ms"] <= 1e3 * max(load.seconds)


def test_the_error_of_one_client_is_no_throughput(url):
    with pytest.raises(RuntimeError, match="answered 400"):
        ask_at_once([PictureClient(url) for _ in range(2)], [b"one", b"bad"], seconds=0.2)


def test_memory_is_that_of_the_process_and_its_peak_no_less():
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    child.stdout.readline()
    assert 1 < resident_megabytes(child.pid) <= peak_megabytes(child.pid) < 200
    child.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        resident_megabytes(child.pid)


def test_a_childs_work_is_ours_and_no_other_programs_once_it_was_waited_for():
    clock = OthersShare()
    child = subprocess.Popen(
        [sys.executable, "-c", "print(sum(range(10**7)), flush=True); input()"], stdin=-1, stdout=-1
    )
    child.stdout.readline()
    before = clock.share()
    child.communicate(b"\n")
    assert 0 <= clock.share() < before <= 1


def test_a_server_that_ends_is_named_with_what_it_said(tmp_path):
    dies = [sys.executable, "-c", "raise SystemExit('no model here')"]
    with pytest.raises(RuntimeError, match="no model here"), running_server(dies, log=tmp_path / "log.txt"):
        pass


def test_the_batch_command_is_watched_from_its_first_row_to_its_last(tmp_path):
    original = tmp_path / "one.jpg"
    original.write_bytes(encoded(gradient(), "JPEG"))
    with many_files([original], 40) as folder:
        run = run_batch(folder, "mobilenet_v2")
    assert run.samples[-1].seconds <= run.seconds
    assert [sample.rows for sample in run.samples] == sorted(sample.rows for sample in run.samples)
    assert run.megabytes_at(40) == run.samples[-1].megabytes > 50


def test_a_batch_that_leaves_files_out_is_no_figure(tmp_path):
    original = tmp_path / "one.jpg"
    original.write_bytes(b"no picture")
    with many_files([original], 1) as folder, pytest.raises(RuntimeError, match="ended with 1"):
        run_batch(folder, "mobilenet_v2")


def test_pace_and_memory_of_a_batch_are_read_off_its_samples():
    run = BatchRun([Sample(2.0, 0, 100), Sample(3.0, 10, 110), Sample(4.0, 30, 120), Sample(5.0, 50, 130)], 6.0)
    assert run.pace(after=10) == 20
    assert [run.megabytes_at(rows) for rows in (5, 10, 40, 60)] == [100, 110, 120, 130]


def test_the_floor_of_a_batch_is_preparing_and_the_graph_after_one_another():
    assert floor.floors(RATES, 300_000_000) == pytest.approx((1 / (0.002 + 0.003), 1 / (0.002 + 0.005)))


def test_the_table_says_which_goals_are_met():
    parts = {"start": START, "requests": REQUESTS, "picture": PICTURE, "batch": BATCH, "rivals": RIVALS}
    assert row(parts, "start of app.py to its first answer") == ["3.9 s", "4 s: met"]
    assert row(parts, "memory at rest") == ["280 and 301 MB", "300 MB: **not met**"]
    assert row(parts, "our own share") == [
        "15.0 ms, 2.5 times the graph's 6.0 ms",
        "1.5 times the graph's time: **not met**",
    ]
    assert row(parts, "of it, reading and classifying") == ["11.0 ms", ""]
    assert row(parts, "floor of the batch: decoding, resampling, multiply-adds") == [
        "200 pictures/s; the batch reaches 60%",
        "80%: **not met**",
    ]
    assert row(parts, "floor of the batch: decoding, resampling, ONNX") == [
        "143 pictures/s; the batch reaches 84%",
        "80%: met",
    ]
    assert row(parts, "Keras predict")[1] == "10 times: met"
    assert row(parts, "ViT-Base")[1] == "10 times: **not met**"
    assert "answers 10.0 times as many" in row(parts, "the same: 32 clients")[0]


def test_the_table_holds_no_ratio_to_what_was_not_measured():
    assert "reading and classifying" not in as_markdown({"requests": REQUESTS}, 2)
    only_keras = {**PART, "keras": RIVALS["keras"]}
    assert row({"rivals": only_keras}, "Keras predict") == ["11.0 pictures/s, 800 MB", ""]
    assert "PyTorch" not in as_markdown({"rivals": only_keras}, 2)


def test_the_table_names_the_days_that_its_parts_are_from_and_the_busiest_others():
    said = as_markdown({"start": START, "batch": BATCH}, 2).splitlines()[-1]
    assert said.startswith("Measured on 2026-01-01 and 2026-01-02. Other programs took at most 4%")


@pytest.mark.parametrize(("last", "flat"), [(262, "met"), (264, "**not met**")])
def test_memory_is_flat_when_it_stays_within_five_percent(last, flat):
    large = {**PART, "memory_100_mb": 200, "memory_1000_mb": 250, "memory_10000_mb": last}
    assert row({"large": large}, "memory of a batch")[1].endswith(flat)


def test_parts_are_kept_for_their_own_model_only(tmp_path):
    serving.store(tmp_path / "deep" / "figures.json", "one", {"start": START})
    assert serving.stored(tmp_path / "deep" / "figures.json", "one") == {"start": START}
    assert serving.stored(tmp_path / "deep" / "figures.json", "other") == {}
    assert serving.stored(tmp_path / "nothing.json", "one") == {}


def test_the_pytorch_rivals_are_left_out_with_a_reason_where_no_python_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(serving, "_said_by", lambda command: {"per_second": 9.0, "peak_mb": 700.0})
    figures = serving.measure_rivals(serving.ServingCommand(tmp_path), [tmp_path / "one.jpg"])
    assert figures == {"keras": {"per_second": 9.0, "peak_mb": 700.0}}
    assert "--rivals" in capsys.readouterr().err


def test_a_rival_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no such network"):
        serving._said_by([sys.executable, "-c", "raise SystemExit('no such network')"])


@pytest.fixture
def few(tmp_path):
    """A command that measures as little as it can, and its files."""
    original = tmp_path / "one.jpg"
    original.write_bytes(encoded(gradient(), "JPEG"))
    python = os.environ.get("RIVALS_PYTHON")
    return serving.ServingCommand(tmp_path, requests=3, seconds=0.1, rivals=Path(python) if python else None), [
        original
    ]


@pytest.mark.training
def test_the_same_model_is_measured_under_keras_predict(few):
    pytest.importorskip("tensorflow")
    assert serving.measure_rivals(replace(few[0], rivals=None), few[1])["keras"]["per_second"] > 0


@pytest.mark.training
def test_the_pytorch_rivals_are_measured(few):
    if not few[0].rivals:
        pytest.skip("RIVALS_PYTHON names no Python that has benchmarks/rivals/requirements.txt installed")
    pytest.importorskip("tensorflow")
    figures = serving.measure_rivals(*few)
    assert set(figures) == {"keras", "vit", "resnet", "resnet_8", "resnet_32"}
    assert figures["resnet_8"]["requests"] >= 8


def test_requests_are_measured_on_the_real_page_beside_an_empty_endpoint(few):
    figures = serving.measure_requests(*few)
    assert figures["ours_8"]["requests"] >= 8
    assert figures["empty_32"]["requests"] >= 32
    assert figures["peak_mb"] > 100
