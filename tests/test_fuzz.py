"""Input that nobody would think of, from hypothesis: model.json, the CSV and zip archives. The same at every run."""

import csv
import json
import re
import struct
import unicodedata
import zipfile
from copy import deepcopy
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skin_gradio import archives, lesions
from skin_gradio.batch import Row
from skin_gradio.classifier import Classifier, Finding
from skin_gradio.csv_rows import CsvWriter, csv_columns
from skin_gradio.images import UnusableImage
from skin_gradio.input_gate import STATISTICS, Doubt
from skin_gradio.models import ModelError, ModelFolder, OperatingPoint, find_bundled, read_folder, sha256
from skin_gradio.ui import about, markup, sureness, threshold
from skin_gradio.ui.model_choice import in_use, label
from skin_gradio.ui.shelf import Shelf
from tests.conftest import PRIOR, MeanColourEngine
from tests.pictures import encoded

FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
SIZE = 32


# model.json


def whole_card(folder):
    """A model.json with every part that there can be, of a model whose input is 32 px."""
    card = deepcopy(find_bundled("mobilenet_v2").card)
    figure = {"value": 0.7, "low": 0.6, "high": 0.8}
    thresholds = [round(place / 20, 2) for place in range(20)]
    sets = [{"coverage": 0.9, "threshold": 0.1, "thresholds": [0.1] * 7}]
    card |= {
        "input_size": SIZE,
        "sha256": {name: sha256(folder / name) for name in ("model.keras", "model.onnx")},
        "views": {
            "average": "log_probabilities",
            "temperature": 1.1,
            "bias": [0.0] * 7,
            "operating_points": card["operating_points"],
            "prediction_sets": sets,
        },
        "metrics_with_views": {"figures": {"accuracy": figure, "coverage_at_90%": figure}},
        "gate": {
            "statistics": list(STATISTICS),
            "limits": {"brightness": [20, 240], "detail": 0.3, "smallest_side": 40, "distance": 9.0},
            "mean": [0.0] * len(STATISTICS),
            "scale": [1.0] * len(STATISTICS),
            "compared": list(STATISTICS[:2]),
            "precision": [[1.0, 0.0], [0.0, 1.0]],
            "photographs": {
                "statistics_weights": [0.0] * len(STATISTICS),
                "embedding_weights": [0.0] * 1280,
                "bias": -1.0,
            },
            "unseen_photographs": {"pictures": 200, "refused": 190},
        },
    }
    card["metrics"] |= {
        "malignancy_scores": {"thresholds": thresholds, "malignant": [3] * 20, "benign": [5] * 20},
        "gate": {"shares": {"all": figure, "mel": figure}},
    }
    # Long lists of figures only slow the search down.
    for metrics in (card["metrics"], *card["elsewhere"].values()):
        metrics["subgroups"] = {name: groups[:2] for name, groups in metrics.get("subgroups", {}).items()}
    return card


def places(value, path=()):
    """Every place in a document: the keys that lead there."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def changed(document, path, value):
    """A copy of a document with another value at a place; _GONE takes the place away."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    if len(path) == 1 and value is _GONE:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


_GONE = object()
NASTY = st.one_of(
    st.just(_GONE),
    st.none() | st.booleans(),
    st.sampled_from([0, -1, 1, 2, 10**9, 2**53, 2**63, 2**64, -(10**30), 10**400, 1e-320, 1e308, -1e308, 5e-324]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]),
    st.integers() | st.floats(),
    st.sampled_from(["", "nan", "0.5", "1e999", "\ud800", "\x00", "<script>", "{0}", "{origin}", "%s", "x" * 5000]),
    st.text(max_size=20),
    st.sampled_from([[], {}, [[]], [{}], [None], {"": None}, {"value": None}, [0.5] * 7, [0] * 7, ["mel"] * 7]),
    st.sampled_from([list(lesions.CODES), ["benign", "malignant"], ["mel"], [1.0], list(range(3000))]),
    st.integers(2, 2000).map(lambda depth: _nested(depth)),
)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def as_json(value):
    """JSON text of any depth, as json.dumps writes it."""
    try:
        return json.dumps(value)
    except RecursionError:
        text, marks = _without_deep(value)
        text = json.dumps(text)
        for mark, depth in marks:
            text = text.replace(f'"{mark}"', "[" * depth + "]" * depth)
        return text


def _without_deep(value, marks=None):
    """Return a document with a mark in the place of each list of lists of lists, and the depth of each."""
    marks = [] if marks is None else marks
    if isinstance(value, dict):
        return {key: _without_deep(part, marks)[0] for key, part in value.items()}, marks
    if isinstance(value, list):
        depth, inner = 0, value
        while isinstance(inner, list) and len(inner) <= 1:
            depth += 1
            if not inner:
                break
            inner = inner[0]
        if depth > 30:
            marks.append((f"deep {len(marks)}", depth))
            return marks[-1][0], marks
        return [_without_deep(part, marks)[0] for part in value], marks
    return value, marks


class _Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)


def show_everything(model):
    """Open a model and make the page of it that a visitor gets who chooses it and classifies a picture."""
    classifier = Classifier(model, MeanColourEngine())
    shelf = Shelf(classifier)
    texts = [about.licence(model), in_use(classifier), label(shelf, shelf.first_key)]
    pages = [about.about_html(model)]
    picture = np.full((1, model.input_size, model.input_size, 3), 90, np.uint8)
    if len(model.codes) == 7:  # what the tests' engine answers
        finding = classifier.classify(picture, "equal", [64])[0]
        careful = classifier.classify_carefully(picture, "collection", [64])[0]
        assert np.isfinite(finding.probabilities).all()
        assert np.isfinite(careful.finding.probabilities).all()
        for one, eight in ((finding, None), (careful.finding, careful)):
            pages += [
                markup.headline(one, "a.jpg"),
                markup.bars(one),
                sureness.panel(one, model, eight),
                threshold.panel(one, model, eight is not None),
            ]
    "".join((*texts, *pages)).encode("utf-8")  # what cannot be sent cannot be shown
    for page in pages:
        tags = _Tags()
        tags.feed(page)
        assert "script" not in tags.names
    data = re.search(r'data-curve="([^"]*)"', "".join(pages))
    assert data is None or "NaN" not in data.group(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    for name in ("model.keras", "model.onnx"):
        (root / name).write_text(name)
    return root


@pytest.fixture(scope="module")
def card(folder):
    return whole_card(folder)


def read(folder, text):
    (folder / "model.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    return read_folder(folder)


def opened(folder, text):
    """Whether a model.json is taken; if so everything is shown, if not it is refused by name and in few words."""
    try:
        show_everything(read(folder, text))
        return True
    except ModelError as error:
        said = str(error)
    assert 0 < len(said.encode("utf-8")) < 1000
    return False


def test_the_whole_model_json_is_taken_and_shown(folder, card):
    assert opened(folder, json.dumps(card))


@pytest.mark.parametrize(
    "part",
    [
        *("classes", "prior", "input_size", "operating_points", "name", "sha256", "format_version"),
        *("views", "gate", "prediction_sets", "parameters", "training", "elsewhere", "metrics_with_views"),
        *("metrics",),
    ],
)
def test_a_model_json_that_lies_in_one_place_is_shown_or_refused_by_name(folder, card, part):
    """In the parts that matter most a place is changed at a time, so that one lie does not hide another one."""
    inside = [path for path in places(card) if path[:1] == (part,)]

    @FUZZ
    @given(st.sampled_from(inside), NASTY)
    def fuzz(path, value):
        opened(folder, as_json(changed(card, path, value)))

    fuzz()


def test_a_model_json_that_lies_in_many_places_is_shown_or_refused_by_name(folder, card):
    everywhere = [path for path in places(card) if path]

    @settings(FUZZ, max_examples=150)
    @given(st.lists(st.tuples(st.sampled_from(everywhere), NASTY), min_size=2, max_size=8))
    def fuzz(changes):
        document = card
        for path, value in changes:
            try:
                document = changed(document, path, value)
            except (IndexError, KeyError, TypeError):  # an earlier change took the place away
                continue
        opened(folder, as_json(document))

    fuzz()


@pytest.mark.parametrize(
    "change",
    [
        {"prior": [10**400, *[0.1] * 6]},
        {"operating_points": [{"name": "x", "threshold": 10**400, "sensitivity": 0, "specificity": 0}]},
        {"metrics": [1]},
        {"metrics": {"figures": 7}},
        {"classes": ["nv"], "prior": [1.0]},
        {"prior": [1e-310, 0.4, 0.1, 0.1, 0.2, 0.1, 0.1]},
        {"name": "\ud800"},
        {"name": "x" * 5000},
        {"name": _nested(900)},
        {"training": {"collections": [_nested(900)]}},
        {"classes": ["cat"] * 100_000},
        {"format_version": "y" * 100_000},
        {"gate": {"limits": {"brightness": []}}},
        {"views": {"average": "probabilities", "temperature": 1e-320, "bias": [0.0] * 7}},
    ],
    ids=lambda change: str(change)[:60],
)
def test_what_the_fuzzing_found_is_refused_by_name(folder, card, change):
    merged = deepcopy(card)
    for key, value in change.items():
        merged[key] = merged[key] | value if key == "gate" else value
    if "gate" in change:
        merged["gate"]["limits"] = {**card["gate"]["limits"], **change["gate"]["limits"]}
    assert not opened(folder, as_json(merged))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("malignancy_scores", {"thresholds": [0.1, float("nan")], "malignant": [1, 1], "benign": [1, 1]}),
        ("malignancy_scores", {"thresholds": [0.1, 0.2], "malignant": [2**53] * 2, "benign": [2**53] * 2}),
        ("reliability", {"top": [{"count": 0, "confidence": 0.5, "share": 0.5, "low": 0.1, "high": 0.9}]}),
    ],
)
def test_figures_that_make_no_sense_are_left_out_and_the_rest_is_shown(folder, card, part, value):
    assert opened(folder, json.dumps(card | {"metrics": card["metrics"] | {part: value}}))


# The CSV

TEXT = st.text(max_size=40) | st.text("=+-@\t\r\n ;,'\"\x00\ufeff\u200b\uff1d\uff0b\u2212a1", max_size=12)
FORMULA_SIGNS = "=+-@"


def runs_in_a_spreadsheet(cell):
    """Whether a cell begins, behind what is not seen, with a sign that begins a formula, whatever its width."""
    seen = re.sub(r"^[\s\x00-\x1f\u200b\ufeff]+", "", cell)
    return cell[:1] in ("\t", "\r", "\n") or (seen[:1] != "" and _plain(seen[0]) in FORMULA_SIGNS)


def _plain(sign):
    kind, *codes = unicodedata.decomposition(sign).split() or ["", ""]
    plain = chr(int(codes[0], 16)) if kind in ("<wide>", "<small>") else sign
    return "-" if plain == "\u2212" else plain


FIGURES = st.lists(st.floats(0, 1, allow_subnormal=True), min_size=7, max_size=7)


@FUZZ
@given(
    st.lists(
        st.tuples(TEXT, st.sampled_from(["ok", "doubted", "failed"]) | TEXT, TEXT, FIGURES, st.booleans(), TEXT),
        min_size=1,
        max_size=5,
    ),
    TEXT,
)
def test_any_row_is_read_back_cell_by_cell_and_none_of_them_is_a_formula(tmp_path, rows, name):
    pandas = pytest.importorskip("pandas")
    point = OperatingPoint("x", 0.2, 0.9, 0.7)
    model = ModelFolder(tmp_path, name, "abc123", lesions.CODES, PRIOR, SIZE, (point,), {})
    path, nothing = tmp_path / "rows.csv", np.empty(0, np.float32)
    with CsvWriter(path, model) as writer:
        for file, status, reason, figures, found, code in rows:
            doubts = (Doubt(code, reason),) if code else ()
            finding = Finding(lesions.CODES, np.array(figures), "equal", figures[0], nothing, nothing, doubts)
            writer.write(Row(file, status, reason, finding if found else None, None))
    with open(path, newline="", encoding="utf-8") as handle:
        head, *cells = list(csv.reader(handle, strict=True))
    assert head == csv_columns(lesions.CODES)
    assert [len(line) for line in cells] == [len(head)] * len(rows)
    assert not any(runs_in_a_spreadsheet(cell) for line in cells for cell in line)
    for line, (file, _, reason, figures, found, _) in zip(cells, rows, strict=True):
        assert line[0].removeprefix("'") == file.removeprefix("'")
        assert line[2].removeprefix("'") == reason.removeprefix("'")
        if found:
            np.testing.assert_allclose([float(cell) for cell in line[3:10]], figures, rtol=5e-6, atol=1e-300)
        else:
            assert line[3:11] == [""] * 8
    table = pandas.read_csv(path, keep_default_na=False, dtype=str)
    assert list(table.columns) == head
    assert len(table) == len(rows)


# Zip archives

NUMBERS_16 = st.sampled_from([0, 1, 8, 12, 14, 95, 99, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]) | st.integers(0, 0xFFFF)
NUMBERS_32 = st.sampled_from([0, 1, 30, 46, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1)
# Where the fields of each record lie and how long they are (APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.16).
FIELDS = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((4, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}


@pytest.fixture(scope="module")
def whole_zip(tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "whole.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", encoded(Image.new("RGB", (20, 20), (80 * number, 9, 9)), "PNG"))
            archive.writestr(f"stored {number}", b"x" * 30, zipfile.ZIP_STORED)
    return path.read_bytes()


def refusal(item):
    """Why an item cannot be read; None where it can."""
    try:
        assert isinstance(item.read(), bytes)
    except UnusableImage as reason:
        return reason


def test_an_archive_whose_fields_lie_gives_bytes_or_named_reasons(tmp_path, whole_zip):
    fields = [
        (match.start() + offset, size)
        for mark, inside in FIELDS.items()
        for match in re.finditer(re.escape(mark), whole_zip)
        for offset, size in inside
    ]
    value = st.sampled_from(fields).flatmap(
        lambda field: st.tuples(st.just(field), NUMBERS_16 if field[1] == 2 else NUMBERS_32)
    )

    @settings(FUZZ, max_examples=400)
    @given(st.lists(value, min_size=1, max_size=4))
    def fuzz(changes):
        data = bytearray(whole_zip)
        for (place, size), number in changes:
            data[place : place + size] = struct.pack("<H" if size == 2 else "<I", number)
        path = tmp_path / "lying.zip"
        path.write_bytes(data)
        items = list(archives.list_entries(path, "lying.zip"))
        assert items
        assert len(items) <= archives.MAX_ENTRIES
        for item in items:
            reason = item.reason or refusal(item)
            assert reason is None or (reason.code and str(reason))

    fuzz()
