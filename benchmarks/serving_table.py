"""The table of what `benchmarks.serving` has measured: the figures, and the goals with whether they are met."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]
"""A part's figures by name: numbers, or a table of them."""
Stored: TypeAlias = Mapping[str, Figures]
"""Figures by part; each also says the day it was measured `on`, and what share of the cores `others` took."""
Row: TypeAlias = tuple[str, str, str]
"""What, the figure, and the goal with whether it is met (or nothing)."""

CLIENTS = (8, 32)
LARGE_ROWS = (100, 1_000, 10_000)
START_SECONDS, REST_MEGABYTES, OF_GRAPH, OF_FLOOR, TIMES = 4.0, 300.0, 1.5, 0.8, 10.0


def as_markdown(parts: Stored, cores: int) -> str:
    """Return a Markdown table of the parts that there are, the days that they are from, and how busy others were."""
    rows = [row for part, rows in _ROWS.items() if part in parts for row in rows(parts, cores)]
    days = sorted({part["on"] for part in parts.values()})
    lines = ["| what | measured | goal |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    others = max(part["others"] for part in parts.values())
    said = f"Measured on {' and '.join(days)}. Other programs took at most {others:.0%} of the cores' time meanwhile."
    return "\n".join([*lines, "", said])


def _goal(met: bool, wanted: str) -> str:
    return f"{wanted}: {'met' if met else '**not met**'}"


def _start(parts: Stored, cores: int) -> Iterator[Row]:
    start = parts["start"]
    yield "start of app.py to its page", f"{start['opened_s']:.1f} s", ""
    reached = start["answered_s"] <= START_SECONDS
    yield "start of app.py to its first answer", f"{start['answered_s']:.1f} s", _goal(reached, f"{START_SECONDS:g} s")
    memory = f"{start['memory_opened_mb']:.0f} and {start['memory_mb']:.0f} MB"
    met = start["memory_mb"] <= REST_MEGABYTES
    yield "memory at rest, before and after the first answer", memory, _goal(met, f"{REST_MEGABYTES:g} MB")


def _requests(parts: Stored, cores: int) -> Iterator[Row]:
    figures = parts["requests"]
    yield "one request over HTTP: upload, question, answer", f"{figures['request_ms']:.0f} ms", ""
    yield "the same to an empty endpoint: Gradio's own share", f"{figures['empty_ms']:.0f} ms", ""
    times = figures["own_ms"] / figures["graph_ms"]
    shown = f"{figures['own_ms']:.1f} ms, {times:.1f} times the graph's {figures['graph_ms']:.1f} ms"
    goal = _goal(times <= OF_GRAPH, f"{OF_GRAPH:g} times the graph's time")
    yield "our own share of a request (median difference)", shown, goal
    if "picture" in parts:
        work = parts["picture"]["read_ms"] + parts["picture"]["classify_ms"]
        yield "of it, reading and classifying the picture, measured alone", f"{work:.1f} ms", ""
    yield "one request by Gradio's Python client", f"{figures['gradio_client_ms']:.0f} ms", ""
    for clients in CLIENTS:
        empty = figures[f"empty_{clients}"]["per_second"]
        yield f"{clients} clients at once", f"{_load(figures[f'ours_{clients}'])} (empty endpoint: {empty:.0f})", ""
    yield "most memory of the app, after all that", f"{figures['peak_mb']:.0f} MB", ""


def _load(load: Mapping[str, float]) -> str:
    return f"p50 {load['p50_ms']:.0f} ms, p95 {load['p95_ms']:.0f} ms, {load['per_second']:.1f} requests/s"


def _batch(parts: Stored, cores: int) -> Iterator[Row]:
    batch = parts["batch"]
    yield f"batch of {batch['files']:,} files to CSV, start and all", f"{batch['whole_per_second']:.0f} pictures/s", ""
    yield "batch once it runs (after a tenth of the files)", f"{batch['per_second']:.0f} pictures/s", ""
    yield f"{cores} cores that only decode and resample", f"{batch['prepared_per_second']:.0f} pictures/s", ""
    yield f"{cores} cores that only run the graph, a picture each", f"{batch['graph_per_second']:.0f} pictures/s", ""
    amount, rate = batch["multiply_adds"], batch["multiply_adds_per_second"]
    at_best = f"{amount / 1e9:.2f} billion at {rate / 1e9:.0f} billion/s: {1e3 * amount / rate:.1f} ms a picture"
    yield "the graph's multiply-adds, at the machine's best rate", at_best, ""
    named = {"ONNX Runtime": ("floor", "share"), "multiply-adds": ("floor_at_best", "share_at_best")}
    for graph, (floor, share) in named.items():
        shown = f"{batch[floor]:.0f} pictures/s; the batch reaches {batch[share]:.0%}"
        goal = _goal(batch[share] >= OF_FLOOR, f"{OF_FLOOR:.0%}")
        yield f"floor of the batch: decoding, resampling, {graph}", shown, goal


def _large(parts: Stored, cores: int) -> Iterator[Row]:
    figures = parts["large"]
    memory = [figures[f"memory_{rows}_mb"] for rows in LARGE_ROWS]
    what = "memory of a batch after " + ", ".join(f"{rows:,}" for rows in LARGE_ROWS) + " files"
    flat = memory[-1] <= memory[-2] * 1.05
    yield what, ", ".join(f"{one:.0f}" for one in memory) + " MB", _goal(flat, "flat from 1,000 files on, to 5 %")


def _picture(parts: Stored, cores: int) -> Iterator[Row]:
    figures = parts["picture"]
    yield "decoding one picture, the decoder alone", f"{figures['decode_ms']:.1f} ms", ""
    yield "cropping and resampling it, in one step", f"{figures['resize_ms']:.1f} ms", ""
    yield "both as this project does them, with its checks", f"{figures['read_ms']:.1f} ms", ""
    yield f"the graph on ONNX Runtime, one picture on {cores} cores", f"{figures['graph_ms']:.1f} ms", ""
    yield "the same with input gate, scores and priors", f"{figures['classify_ms']:.1f} ms", ""


def _rivals(parts: Stored, cores: int) -> Iterator[Row]:
    rivals = parts["rivals"]
    names = {
        "keras": "Keras predict on TensorFlow, the same model, one picture at a time",
        "vit": "ViT-Base in transformers' pipeline (random weights), one picture at a time",
    }
    for key, name in names.items():
        if key in rivals:
            shown, goal = f"{rivals[key]['per_second']:.1f} pictures/s, {rivals[key]['peak_mb']:.0f} MB", ""
            if "batch" in parts:
                times = parts["batch"]["per_second"] / rivals[key]["per_second"]
                shown += f"; the batch is {times:.1f} times as fast"
                goal = _goal(times >= TIMES, f"{TIMES:g} times")
            yield name, shown, goal
    if "resnet" in rivals:
        alone = rivals["resnet"]
        name = "ResNet34 on PyTorch behind gr.Interface, four views (random weights)"
        yield f"{name}: one request", f"{alone['request_ms']:.0f} ms; most memory {alone['peak_mb']:.0f} MB", ""
        for clients in CLIENTS:
            load = rivals[f"resnet_{clients}"]
            ours = parts.get("requests", {}).get(f"ours_{clients}")
            times = f"; this page answers {ours['per_second'] / load['per_second']:.1f} times as many" if ours else ""
            yield f"the same: {clients} clients at once", f"{_load(load)}{times}", ""


_ROWS: dict[str, Callable[[Stored, int], Iterator[Row]]] = {
    "start": _start,
    "requests": _requests,
    "picture": _picture,
    "batch": _batch,
    "large": _large,
    "rivals": _rivals,
}
"""In the order of the table."""
