import csv
import io
import itertools
import math
import os
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skin_gradio import lesions
from skin_gradio.batch import Item, Row, classify_items, count_items, list_items
from skin_gradio.csv_rows import CsvWriter, csv_columns
from skin_gradio.images import UnusableImage, read_picture
from tests.pictures import encoded, gradient


def flat(*colour):
    """A small picture of one colour as bytes."""
    return encoded(Image.new("RGB", (40, 36), colour), "PNG")


def items_of(*files):
    return [Item(f"{number}.png", lambda data=data: data) for number, data in enumerate(files)]


def names(items):
    return [item.name for item in items]


def threads_at_work():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


# What there is to classify


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures, other files, a zip and litter."""
    root = tmp_path / "visit"
    (root / "b" / "deep").mkdir(parents=True)
    for name in ("z.png", "a.jpg", "b/2.png", "b/deep/1.png", "notes.csv", ".DS_Store", "b/._2.png"):
        (root / name).write_bytes(flat(9, 99, 199))
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.writestr("y.png", flat(1, 2, 3))
        archive.writestr("x.png", flat(1, 2, 3))
    return root


def test_a_folder_gives_all_its_files_sorted_and_those_of_its_archives(folder):
    expected = [
        "visit/a.jpg",
        "visit/b/2.png",
        "visit/b/deep/1.png",
        "visit/more.zip/y.png",
        "visit/more.zip/x.png",
        "visit/notes.csv",
        "visit/z.png",
    ]
    assert names(list_items([folder])) == expected
    assert count_items([folder]) == len(expected)


def test_files_folders_and_archives_come_in_the_order_given(folder):
    paths = [folder / "z.png", str(folder / "more.zip"), folder / "b"]
    expected = ["z.png", "more.zip/y.png", "more.zip/x.png", "b/2.png", "b/deep/1.png"]
    assert names(list_items(paths)) == expected
    assert count_items(paths) == 5


def test_given_names_are_shown_and_say_what_is_an_archive(folder, tmp_path):
    upload = (folder / "more.zip").rename(tmp_path / "upload-1")
    paths, shown = [upload, folder / "a.jpg", folder / "z.png"], ["Visit 1.ZIP", "Visit 1/a.jpg", "Visit 1/._z.png"]
    assert names(list_items(paths, shown)) == ["Visit 1.ZIP/y.png", "Visit 1.ZIP/x.png", "Visit 1/a.jpg"]
    assert count_items(paths, shown) == 3
    with pytest.raises(ValueError, match="zip"):
        list(list_items(paths, ["one name"]))


def test_listing_reads_no_picture(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", flat(1, 2, 3))
    (tmp_path / "b.png").write_bytes(flat(1, 2, 3))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    monkeypatch.setattr("skin_gradio.batch.read_picture", None)
    assert count_items([tmp_path]) == 2


def test_a_link_that_leads_out_of_the_folder_is_refused_and_one_within_is_followed(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(flat(0, 0, 0))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.png").write_bytes(flat(0, 0, 0))
    (folder / "1-out.png").symlink_to(tmp_path / "secret.png")
    (folder / "2-out").symlink_to(tmp_path / "other")
    (folder / "3-up").symlink_to("..")
    (folder / "4-in.png").symlink_to("z.png")
    (folder / "5-in").symlink_to("b")
    (folder / "6-round").symlink_to("6-round")
    (folder / "7-self").symlink_to(".")
    found = {item.name: item.reason.code if item.reason else None for item in list_items([folder])}
    links = {name: code for name, code in found.items() if name.removeprefix("visit/")[0].isdigit()}
    assert links == {
        "visit/1-out.png": "symlink",
        "visit/2-out": "symlink",
        "visit/3-up": "symlink",
        "visit/4-in.png": None,
        "visit/6-round": "symlink",
    }


def test_a_folder_that_is_itself_a_link_is_read(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert "link/b/deep/1.png" in names(list_items([tmp_path / "link"]))


def test_nothing_gives_nothing(classifier, tmp_path):
    assert list(list_items([])) == []
    assert list(list_items([tmp_path])) == []
    assert list(classify_items([], classifier)) == []


# Rows


def test_every_file_becomes_a_row_in_order_bad_ones_with_their_reason(classifier, folder):
    (folder / "c-empty.png").write_bytes(b"")
    (folder / "d-cut.png").write_bytes(encoded(gradient(), "PNG")[:200])
    (folder / "e.txt").write_text("not a picture")
    os.mkfifo(folder / "f.png")
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    (folder / "z-damaged.zip").write_bytes(b"PK\x03\x04 and no more")
    rows = list(classify_items(list_items([folder]), classifier))
    assert [(row.file, row.status, row.code) for row in rows] == [
        ("visit/a.jpg", "ok", ""),
        ("visit/b/2.png", "ok", ""),
        ("visit/b/deep/1.png", "ok", ""),
        ("visit/c-empty.png", "failed", "empty"),
        ("visit/d-cut.png", "failed", "truncated"),
        ("visit/e.txt", "failed", "not_an_image"),
        ("visit/f.png", "failed", "unreadable_file"),
        ("visit/more.zip/y.png", "ok", ""),
        ("visit/more.zip/x.png", "ok", ""),
        ("visit/notes.csv", "failed", "not_an_image"),
        ("visit/z-damaged.zip", "failed", "damaged"),
        ("visit/z.png", "ok", ""),
    ]
    for row in rows:
        assert bool(row.reason) == (row.status == "failed") == (row.finding is None) == (row.thumbnail is None)


def test_a_row_holds_what_the_classifier_says_of_that_picture(classifier):
    files = [flat(40 * i % 256, 90 * i % 256, 150 * i % 256) for i in range(40)]
    for prior in ("collection", "equal"):
        for data, row in zip(files, classify_items(items_of(*files), classifier, prior, batch_size=7), strict=True):
            expected = classifier.classify(read_picture(data).resized(32)[None], prior)[0]
            assert row.finding.top == expected.top
            assert row.finding.prior == prior
            assert row.finding.malignancy_score == pytest.approx(expected.malignancy_score)
            np.testing.assert_allclose(row.finding.probabilities, expected.probabilities, rtol=1e-5)


def test_rows_come_in_order_although_some_files_take_longer(classifier):
    def slow(number):
        time.sleep(0.02 * (number % 3 == 0))
        return flat(number, 0, 0)

    items = [Item(str(number), lambda number=number: slow(number)) for number in range(30)]
    assert [row.file for row in classify_items(items, classifier, batch_size=4, workers=6)] == names(items)


def test_a_thumbnail_is_a_small_square_jpeg(classifier):
    [row] = classify_items(items_of(encoded(gradient(800, 600), "JPEG")), classifier)
    thumbnail = Image.open(io.BytesIO(row.thumbnail))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (128, 128))
    assert len(row.thumbnail) < 6_000


def test_a_thumbnail_is_sharp_although_the_models_input_is_small(classifier):
    fine = np.zeros((512, 512, 3), np.uint8)
    fine[:, np.arange(512) % 8 < 4] = 255
    [row] = classify_items(items_of(encoded(Image.fromarray(fine), "PNG")), classifier)
    assert classifier.input_size < 128
    thumbnail = np.asarray(Image.open(io.BytesIO(row.thumbnail)).convert("L"), float)
    assert thumbnail.std() > 60


def test_a_name_that_is_no_text_becomes_one(classifier, tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(flat(1, 2, 3))
    [row] = classify_items(list_items([tmp_path]), classifier)
    assert row.status == "ok"
    assert row.file == f"{tmp_path.name}/caf\\udce9.png"


@pytest.mark.parametrize("error", [TypeError("odd"), RecursionError(), MemoryError(), KeyError("x")])
def test_an_error_that_nobody_expected_costs_one_row(classifier, error):
    def fail():
        raise error

    items = [*items_of(flat(1, 2, 3)), Item("bad", fail), *items_of(flat(1, 2, 3))]
    rows = list(classify_items(items, classifier))
    assert [row.code for row in rows] == ["", "unexpected", ""]
    assert type(error).__name__ in rows[1].reason


def test_an_item_refused_beforehand_is_not_read(classifier):
    def never():
        raise AssertionError

    [row] = classify_items([Item("a", never, UnusableImage("symlink", "It is a link."))], classifier)
    assert (row.code, row.reason) == ("symlink", "It is a link.")


class Poisoned:
    """An engine that fails on every chunk that holds a red picture."""

    name = "poisoned"

    def __init__(self, engine):
        self.engine = engine
        self.sizes = []

    def run(self, pictures):
        self.sizes.append(len(pictures))
        if (pictures[..., 0] == 255).any():
            raise RuntimeError
        return self.engine.run(pictures)


def test_a_picture_on_which_the_model_fails_costs_one_row(classifier):
    classifier.engine = Poisoned(classifier.engine)
    files = [flat(255 if number == 5 else number, 50, 50) for number in range(20)]
    rows = list(classify_items(items_of(*files), classifier, batch_size=8, workers=1))
    assert [row.code for row in rows] == ["model_failed" if number == 5 else "" for number in range(20)]
    assert rows[5].thumbnail
    assert classifier.engine.sizes == [8, *[1] * 8, 8, 4]


class Blind:
    """An engine whose answer for a red picture is no number."""

    name = "blind"

    def __init__(self, engine):
        self.engine = engine

    def run(self, pictures):
        outputs = self.engine.run(pictures)
        outputs.probabilities[pictures[:, 0, 0, 0] == 255] = np.nan
        return outputs


def test_a_picture_that_the_model_answers_with_no_numbers_costs_one_row(classifier):
    classifier.engine = Blind(classifier.engine)
    files = [flat(255 if number == 2 else number, 50, 50) for number in range(6)]
    rows = list(classify_items(items_of(*files), classifier, batch_size=4))
    assert [row.code for row in rows] == ["", "", "model_failed", "", "", ""]
    assert rows[2].reason == "The model could not classify this picture."


def test_a_model_that_always_fails_gives_rows_all_the_same(classifier):
    classifier.engine = None
    rows = list(classify_items(items_of(*[flat(1, 2, 3)] * 5), classifier, batch_size=2))
    assert [row.code for row in rows] == ["model_failed"] * 5


# Flow


def test_pictures_are_decoded_while_the_model_runs(classifier):
    engine, next_chunk_read, seen = classifier.engine, threading.Event(), []

    class Waiting:
        name = "waiting"

        def run(self, pictures):
            seen.append(next_chunk_read.wait(timeout=30))
            return engine.run(pictures)

    def last():
        next_chunk_read.set()
        return flat(4, 5, 6)

    classifier.engine = Waiting()
    items = [*items_of(*[flat(1, 2, 3)] * 7), Item("last", last)]
    assert len(list(classify_items(items, classifier, batch_size=4, workers=2))) == 8
    assert seen == [True, True]


def test_the_model_runs_on_several_threads_at_once(classifier):
    engine, meeting = classifier.engine, threading.Barrier(3)

    class Meeting:
        name = "meeting"

        def run(self, pictures):
            meeting.wait(timeout=30)
            return engine.run(pictures)

    classifier.engine = Meeting()
    rows = list(classify_items(items_of(*[flat(1, 2, 3)] * 6), classifier, batch_size=1, workers=3))
    assert [row.status for row in rows] == ["ok"] * 6


def test_rows_go_without_thumbnails_where_nobody_looks_at_them(classifier):
    [row] = classify_items(items_of(flat(1, 2, 3)), classifier, thumbnails=False)
    assert row.status == "ok"
    assert row.thumbnail is None


def test_an_endless_list_is_read_only_a_little_ahead(classifier):
    listed = itertools.count()
    items = (Item(str(number), lambda: flat(1, 2, 3)) for number in listed)
    rows = classify_items(items, classifier, batch_size=4, workers=2)
    for _ in range(10):
        next(rows)
    rows.close()
    assert next(listed) <= 12 + (2 + 1) * 4


def test_cancelling_stops_within_a_chunk_and_ends_the_threads(classifier):
    cancelled, read = threading.Event(), itertools.count()

    def data():
        next(read)
        return flat(1, 2, 3)

    items = [Item(str(number), data) for number in range(500)]
    done = 0
    for _ in classify_items(items, classifier, batch_size=8, workers=2, cancelled=cancelled.is_set):
        done += 1
        if done == 12:
            cancelled.set()
    assert done == 16
    assert next(read) <= 16 + (2 + 1) * 8
    assert not threads_at_work()


def test_a_batch_cancelled_beforehand_gives_no_row(classifier):
    assert list(classify_items(items_of(*[flat(1, 2, 3)] * 50), classifier, cancelled=lambda: True)) == []
    assert not threads_at_work()


def test_closing_the_rows_ends_the_threads(classifier):
    rows = classify_items(items_of(*[flat(1, 2, 3)] * 100), classifier, batch_size=4)
    next(rows)
    assert threads_at_work()
    rows.close()
    assert not threads_at_work()


def test_an_error_in_the_consumer_ends_the_threads(classifier):
    def consume():
        for _ in classify_items(items_of(*[flat(1, 2, 3)] * 100), classifier, batch_size=4):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert not threads_at_work()


def test_memory_does_not_grow_with_the_number_of_files(classifier, tmp_path):
    path = tmp_path / "many.zip"
    content = encoded(gradient(), "JPEG")

    def peak(count):
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number}.jpg", content)
        tracemalloc.start()
        try:
            with CsvWriter(tmp_path / "rows.csv", classifier.model) as writer:
                for row in classify_items(list_items([path]), classifier, batch_size=4, workers=2):
                    writer.write(row)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)
    few, many = peak(200), peak(1_000)
    # What grows is the archive's own directory, well under a kilobyte for each entry.
    assert many - few < 800 * 1_000


def test_rows_kept_by_the_consumer_are_small(classifier):
    tracemalloc.start()
    try:
        rows = list(classify_items(items_of(*[flat(1, 2, 3)] * 300), classifier))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(rows) == 300
    assert held / 300 < 5_000
    assert all(row.finding.heatmaps.size == row.finding.embedding.size == 0 for row in rows)
    assert all(row.finding.probabilities.base is None for row in rows)


# CSV


def write_rows(path, model, rows):
    with CsvWriter(path, model) as writer:
        for row in rows:
            writer.write(row)
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_the_columns_are_the_promised_ones_in_their_order():
    figures = [*lesions.CODES, "malignancy_score"]
    expected = ["file", "status", "reason", *figures, "top_diagnosis", "doubts", "model_name", "model_revision"]
    assert csv_columns(lesions.CODES) == expected


def test_a_csv_holds_every_row_with_numbers_as_numbers(classifier, tmp_path):
    rows = list(classify_items(items_of(flat(10, 200, 90), b"", flat(0, 0, 0)), classifier))
    table = write_rows(tmp_path / "rows.csv", classifier.model, rows)
    assert list(table[0]) == csv_columns(lesions.CODES)
    assert [line["status"] for line in table] == ["ok", "failed", "ok"]
    for line, row in zip(table, rows, strict=True):
        assert (line["file"], line["reason"]) == (row.file, row.reason)
        assert (line["model_name"], line["model_revision"]) == ("tiny", "abc123")
        if row.finding:
            figures = [float(line[code]) for code in lesions.CODES]
            np.testing.assert_allclose(figures, row.finding.probabilities, rtol=5e-6)
            assert math.isclose(sum(figures), 1, abs_tol=1e-5)
            assert float(line["malignancy_score"]) == pytest.approx(row.finding.malignancy_score, rel=5e-6)
            assert line["top_diagnosis"] == row.finding.top
        else:
            assert {line[column] for column in (*lesions.CODES, "malignancy_score", "top_diagnosis")} == {""}


def test_pandas_reads_the_figures_as_floats(classifier, tmp_path):
    pandas = pytest.importorskip("pandas")
    write_rows(tmp_path / "rows.csv", classifier.model, classify_items(items_of(flat(1, 2, 3), b""), classifier))
    table = pandas.read_csv(tmp_path / "rows.csv")
    assert (table[[*lesions.CODES, "malignancy_score"]].dtypes == np.float64).all()
    assert table["nv"].isna().tolist() == [False, True]


def test_what_is_written_can_be_read_at_once(classifier, tmp_path):
    path = tmp_path / "rows.csv"
    rows = classify_items(items_of(*[flat(1, 2, 3)] * 3), classifier)
    with CsvWriter(path, classifier.model) as writer:
        assert path.read_text(encoding="utf-8").startswith("file,status,reason,akiec,")
        for number, row in enumerate(rows, start=1):
            writer.write(row)
            assert len(path.read_bytes().split(b"\r\n")) == number + 2


FORMULAS = ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\tname", "\rname", "\nname"]
HIDDEN_FORMULAS = ["  =1", " \t=1", "\n\n-1", "\x00=1", "\ufeff=1", "\u200b=1", "\u00a0=1"]
WIDE_FORMULAS = ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", " \uff1d1", "\u22121", "\ufe661"]


@pytest.mark.parametrize("name", FORMULAS + HIDDEN_FORMULAS + WIDE_FORMULAS)
def test_a_name_that_a_spreadsheet_could_run_gets_an_apostrophe(classifier, tmp_path, name):
    [line] = write_rows(tmp_path / "rows.csv", classifier.model, [Row(name, "failed", name, None, None)])
    assert line["file"] == line["reason"] == f"'{name}"


@pytest.mark.parametrize(
    "name", ["a=1.png", "'a", "1-2.png", "Füße/病変.png", "a,b.png", 'a"b.png', "a\nb.png", "\x00", "", " "]
)
def test_any_other_name_is_written_as_it_is(classifier, tmp_path, name):
    [line] = write_rows(tmp_path / "rows.csv", classifier.model, [Row(name, "failed", "why", None, None)])
    assert line["file"] == name


def test_a_spreadsheet_that_splits_at_semicolons_finds_no_formula_inside_a_name(classifier, tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, classifier.model, [Row("a;=1+1;b.png", "failed", "why", None, None)])
    with open(path, newline="", encoding="utf-8") as handle:
        cells = [cell for line in csv.reader(handle, delimiter=";") for cell in line]
    assert not any(cell.startswith("=") for cell in cells)


def test_a_name_of_broken_text_can_be_written(classifier, tmp_path):
    [line] = write_rows(tmp_path / "rows.csv", classifier.model, [Row("caf\udce9.png", "failed", "why", None, None)])
    assert line["file"] == "caf\\udce9.png"


def test_a_whole_folder_goes_from_pictures_to_csv(classifier, folder, tmp_path):
    (folder / "=cmd.png").write_bytes(flat(5, 5, 5))
    paths = [folder / "=cmd.png", folder]
    table = write_rows(tmp_path / "rows.csv", classifier.model, classify_items(list_items(paths), classifier))
    assert len(table) == count_items(paths)
    assert table[0]["file"] == "'=cmd.png"
    assert {Path(line["file"]).name for line in table if line["status"] == "ok"} >= {"a.jpg", "y.png", "z.png"}
