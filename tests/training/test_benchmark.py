import sys

import pandas as pd
import pytest
from PIL import Image

from benchmarks import training as benchmark
from skin_gradio import lesions
from tests.training import tiny
from training import collection
from training.command import UserError


@pytest.fixture
def generated(tmp_path, monkeypatch):
    """A collection of seven classes with three pictures each, which the benchmark finds under any name."""
    pictures, labels = tiny.data(per_class=3)
    rows = []
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(picture).save(path)
        rows.append((str(number), path, lesions.CODES[label], str(number), "train"))
    table = pd.DataFrame(rows, columns=list(collection.COLUMNS))
    found = collection.Collection("generated", "Generated pictures", table, lesions.CODES)
    monkeypatch.setattr(collection, "load", lambda name, base: found)


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["training", "--size", "24", "--steps", "2", "--repeats", "1", *options])
    benchmark.main()


@pytest.mark.training
@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
@pytest.mark.usefixtures("generated")
def test_every_input_is_measured_and_the_readme_filled(tmp_path, monkeypatch):
    from training import networks

    monkeypatch.setitem(networks.BACKBONES, "tiny", tiny.TinyBackbone())
    readme = tmp_path / "README.md"
    readme.write_text("before <!-- training-speed: begin -->old<!-- training-speed: end --> after")
    run(monkeypatch, "--network", "tiny", "--batch-size", "4", "--readme", str(readme))

    written = readme.read_text()
    assert "old" not in written
    rows = [line.strip("| ").split(" | ") for line in written.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [benchmark.MEMORY, *benchmark.VARIED]
    for row in rows:
        figures = [float(cell.replace(",", "")) for cell in row[1:] if cell != "-"]
        assert len(figures) == {benchmark.MEMORY: 2, benchmark.OURS: 4}.get(row[0], 6)
        assert min(figures) > 0
    for name, kinds in benchmark.VARIED.items():
        assert f"- {name}: {kinds}." in written


@pytest.mark.usefixtures("generated")
def test_pictures_that_fill_no_batch_are_a_clear_mistake(monkeypatch):
    with pytest.raises(UserError, match="21 pictures do not fill a batch of 32"):
        run(monkeypatch)


def test_an_unknown_experiment_is_answered_with_the_known_ones(monkeypatch):
    with pytest.raises(UserError, match=r"mobilenet_v2.*Received: alexnet"):
        run(monkeypatch, "alexnet")
