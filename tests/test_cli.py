"""`python -m skin_gradio`: the batch without a page."""

import csv
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace

import pytest
from PIL import Image

from skin_gradio import __main__ as command
from skin_gradio.batch import classify_items
from skin_gradio.models import ModelError
from tests.conftest import MeanColourEngine
from tests.pictures import encoded


def flat(*colour):
    return encoded(Image.new("RGB", (40, 36), colour), "PNG")


@pytest.fixture
def folder(tmp_path):
    """Twenty good pictures; the twelfth has a name with every trap of a CSV in it."""
    root = tmp_path / "visit"
    root.mkdir()
    for number in range(20):
        name = '11=a,"b"\r\nü.png' if number == 11 else f"{number:02}.png"
        (root / name).write_bytes(flat(10 * number, 99, 199 - number))
    return root


@pytest.fixture
def run(classifier, monkeypatch):
    """Run the command line on the classifier of the tests; returns the exit status."""
    monkeypatch.setattr(command, "find_model", lambda name: classifier.model)
    monkeypatch.setattr(command, "open_engine", lambda model, name, threads: classifier.engine)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["skin_gradio", *map(str, arguments)])
        return command.main()

    return run


def rows(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


class Counting(MeanColourEngine):
    """An engine that counts the pictures it sees, and is interrupted at one of them."""

    def __init__(self, interrupted_at=None):
        self.seen = 0
        self.interrupted_at = interrupted_at
        self.counting = threading.Lock()

    def run(self, pictures):
        with self.counting:
            self.seen += len(pictures)
        if self.interrupted_at and self.seen >= self.interrupted_at:
            raise KeyboardInterrupt
        return super().run(pictures)


def test_a_folder_becomes_a_csv_and_status_0(run, folder, tmp_path, capsys):
    assert run(folder, "--csv", tmp_path / "out.csv") == 0
    table = rows(tmp_path / "out.csv")
    assert [row["file"] for row in table] == [f"visit/{path.name}" for path in sorted(folder.iterdir())]
    assert {row["status"] for row in table} == {"ok"}
    assert "Done: 20 of 20" in capsys.readouterr().err


def test_files_folders_and_zips_come_together_for_the_prior_that_was_asked(run, classifier, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("a.png", flat(1, 2, 3))
    run(folder / "00.png", tmp_path / "more.zip", "--csv", tmp_path / "a.csv")
    run(folder / "00.png", tmp_path / "more.zip", "--csv", tmp_path / "b.csv", "--prior", "equal")
    one, other = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert [row["file"] for row in one] == ["00.png", "more.zip/a.png"]
    assert [row["malignancy_score"] for row in one] == [row["malignancy_score"] for row in other]
    assert [row["mel"] for row in one] != [row["mel"] for row in other]


def test_failed_files_are_rows_with_their_reason_and_status_1(run, folder, tmp_path, capsys):
    (folder / "bad.png").write_bytes(b"hello")
    assert run(folder, "--csv", tmp_path / "out.csv") == 1
    assert "1 failed" in capsys.readouterr().err
    failed = [row for row in rows(tmp_path / "out.csv") if row["status"] == "failed"]
    assert [row["file"] for row in failed] == ["visit/bad.png"]
    assert "not a picture" in failed[0]["reason"]


def test_the_csv_may_lie_in_the_folder_that_is_classified(run, folder):
    for _ in range(2):
        assert run(folder, "--csv", folder / "out.csv") == 0
    assert len(rows(folder / "out.csv")) == 20


@pytest.mark.parametrize("share", [0, 0.001, 0.02, 0.3, 0.5, 0.57, 0.62, 0.9, 0.999, 1])
def test_a_batch_that_was_cut_off_anywhere_goes_on_and_ends_as_if_it_had_not(run, classifier, folder, tmp_path, share):
    path = tmp_path / "out.csv"
    run(folder, "--csv", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: round(share * len(whole))])
    classifier.engine = Counting()
    assert run(folder, "--csv", path) == 0
    assert path.read_bytes() == whole
    left = 20 - whole[: round(share * len(whole))].count(b'"abc123"\r\n')
    assert classifier.engine.seen == left


def test_an_interrupted_batch_keeps_its_rows_and_goes_on(run, classifier, folder, tmp_path, capsys):
    path = tmp_path / "out.csv"
    classifier.engine = Counting(interrupted_at=17)
    assert run(folder, "--csv", path) == 130
    assert "goes on where it stopped" in capsys.readouterr().err
    kept = rows(path)
    assert len(kept) in (0, 8, 16)  # whichever of the chunks was at work
    classifier.engine = Counting()
    assert run(folder, "--csv", path) == 0
    assert classifier.engine.seen == 20 - len(kept)
    assert rows(path)[: len(kept)] == kept
    assert len(rows(path)) == 20


def test_new_files_are_added_and_failed_ones_stay_failed(run, classifier, folder, tmp_path):
    (folder / "05b.png").write_bytes(b"hello")
    path = tmp_path / "out.csv"
    assert run(folder, "--csv", path) == 1
    (folder / "00b.png").write_bytes(flat(7, 7, 7))
    classifier.engine = Counting()
    assert run(folder, "--csv", path) == 1
    assert classifier.engine.seen == 1
    assert rows(path)[-1]["file"] == "visit/00b.png"


def test_two_files_of_one_name_have_two_rows_also_after_going_on(run, folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "00.png").write_bytes(flat(200, 0, 0))
    path = tmp_path / "out.csv"
    run(folder / "00.png", "--csv", path)
    assert run(folder / "00.png", tmp_path / "other" / "00.png", "--csv", path) == 0
    assert [row["file"] for row in rows(path)] == ["00.png", "00.png"]
    assert rows(path)[0]["mel"] != rows(path)[1]["mel"]


def test_a_csv_of_another_model_is_refused_and_stays_as_it_is_unless_fresh(run, classifier, folder, tmp_path, capsys):
    path = tmp_path / "out.csv"
    run(folder, "--csv", path)
    before = path.read_bytes()
    classifier.model = replace(classifier.model, revision="other")
    assert run(folder, "--csv", path) == 2
    assert "abc123" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert run(folder, "--csv", path, "--fresh") == 0
    assert {row["model_revision"] for row in rows(path)} == {"other"}


@pytest.mark.parametrize(("first", "second"), [("collection", "equal"), ("equal", "collection")])
def test_a_csv_for_another_mix_of_diagnoses_is_refused(run, folder, tmp_path, capsys, first, second):
    path = tmp_path / "out.csv"
    run(folder, "--csv", path, "--prior", first)
    assert run(folder, "--csv", path, "--prior", first) == 0
    before = path.read_bytes()
    assert run(folder, "--csv", path, "--prior", second) == 2
    assert "another mix" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"hello", b"a,b\r\n1,2\r\n", b"x" * 100_000, b"\xff\xd8\xff", b'"', b"file,status\r\n"],
)
def test_a_file_that_is_no_csv_of_this_command_is_never_touched(run, folder, tmp_path, capsys, content):
    path = tmp_path / "precious.csv"
    path.write_bytes(content)
    assert run(folder, "--csv", path) == 2
    assert "precious.csv" in capsys.readouterr().err
    assert path.read_bytes() == content


def test_a_csv_that_is_damaged_in_the_middle_is_refused_rather_than_cut_off_there(run, folder, tmp_path):
    path = tmp_path / "out.csv"
    run(folder, "--csv", path)
    lines = path.read_bytes().split(b"\r\n")
    for damage in (b'"torn', b"", b'"a"b,1', lines[5] + lines[5]):
        damaged = b"\r\n".join([*lines[:5], damage, *lines[6:]])
        path.write_bytes(damaged)
        assert run(folder, "--csv", path) == 2
        assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{folder}/nothing", "--csv", "{folder}/o.csv"), "nothing"),
        (("{folder}", "--csv", "{folder}/no/o.csv"), "folder that exists"),
        (("{folder}", "--csv", "{folder}"), "must name a file"),
        (("{folder}", "--csv", "{folder}/o.csv", "--address", "auto"), "--engine ray"),
        (("--csv", "{folder}/o.csv"), "at least one"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(run, folder, capsys, arguments, words):
    assert run(*(argument.format(folder=folder) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error


def test_a_model_that_cannot_be_used_is_status_2_before_any_file_is_written(run, folder, tmp_path, monkeypatch, capsys):
    def refuse(name):
        raise ModelError("There is no model 'x'.")

    monkeypatch.setattr(command, "find_model", refuse)
    assert run(folder, "--csv", tmp_path / "out.csv") == 2
    assert "no model" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_full_disk_is_one_clear_line_and_what_was_written_stays(run, folder, tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs):
        yield from list(classify_items(*args, **kwargs))[:3]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "classify_items", fail)
    assert run(folder, "--csv", tmp_path / "out.csv") == 2
    assert "No space left" in capsys.readouterr().err
    assert len(rows(tmp_path / "out.csv")) == 3


def test_ray_is_asked_for_by_its_extra_where_it_is_not_installed(run, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(folder, "--csv", tmp_path / "out.csv", "--engine", "ray") == 2
    assert "skin-gradio[ray]" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nobody:x"])
def test_an_address_without_a_cluster_is_one_clear_line(run, folder, tmp_path, capsys, address):
    pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'skin-gradio[ray]'")
    assert run(folder, "--csv", tmp_path / "out.csv", "--engine", "ray", "--address", address) == 2
    assert f"no Ray cluster at {address}" in capsys.readouterr().err


def test_the_command_starts_without_gradio_and_explains_itself(tmp_path):
    code = "import sys, skin_gradio.__main__; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"gradio", "keras", "ray", "pandas"} & set(found)
    done = subprocess.run([sys.executable, "-m", "skin_gradio", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert {"--csv", "--prior", "--engine", "--fresh"} <= set(done.stdout.replace(",", " ").split())
