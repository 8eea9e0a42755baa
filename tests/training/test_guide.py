"""The guide is executed from top to bottom on generated drawings, as a student would do it on real pictures."""

import json
import os
from pathlib import Path

import nbclient
import nbformat
import pytest

import training
from skin_gradio import lesions
from skin_gradio.models import read_folder
from tests.training import generated

GUIDE = Path(training.__file__).parent / "guide.ipynb"

# The whole guide is one test's set-up; on a busy machine it can take longer than the usual limit.
pytestmark = pytest.mark.timeout(1800)


def execute(book, output, data):
    """Run a notebook in a kernel of its own, started beside the file as Jupyter does."""
    settings = {
        "GUIDE_DATA": str(data),
        "GUIDE_OUTPUT": str(output),
        "GUIDE_QUICK": "1",
        "PUBLISH_TO": "",
        "KERAS_BACKEND": "tensorflow",
        "IPYTHONDIR": str(output / "ipython"),
    }
    client = nbclient.NotebookClient(
        book, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(GUIDE.parent)}}
    )
    client.execute(env={**os.environ, **settings})
    return book


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(book):
    return [output for cell in code_cells(book) for output in cell.outputs]


def printed(book):
    return "".join(output.text for output in outputs(book) if output.output_type == "stream")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def executed(folder):
    data = generated.write_data(folder / "data")
    return execute(nbformat.read(GUIDE, as_version=4), folder / "output", data)


@pytest.mark.training
def test_every_cell_runs_from_top_to_bottom(executed):
    counts = [cell.execution_count for cell in code_cells(executed)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [output for output in outputs(executed) if output.output_type == "error"]


@pytest.mark.training
def test_the_guide_draws_its_figures(executed):
    figures = [output for output in outputs(executed) if "image/png" in output.get("data", {})]
    assert len(figures) >= 12


@pytest.mark.training
def test_the_guide_exports_a_model_that_has_learnt_and_says_how_well(executed, folder):
    model = read_folder(folder / "output" / "weights" / "guide")
    assert model.codes == lesions.CODES
    assert model.card["metrics"]["split"] == "test"
    assert model.card["metrics"]["figures"]["equal_balanced_accuracy"]["value"] > 0.5
    tables = [output.data["text/markdown"] for output in outputs(executed) if "text/markdown" in output.get("data", {})]
    assert any("Balanced accuracy (BACC) | equal" in table for table in tables)


@pytest.mark.training
def test_the_guide_counts_the_leaks_of_a_split_by_picture(executed):
    text = printed(executed)
    assert "split by lesion: 0 of" in text
    assert "split by picture: 0 of" not in text


@pytest.mark.training
def test_the_guide_sends_nothing_unless_it_is_told_where(executed):
    assert "Nothing was sent" in printed(executed)


def test_without_data_the_guide_says_what_to_do(tmp_path):
    book = nbformat.read(GUIDE, as_version=4)
    loads = next(n for n, cell in enumerate(book.cells) if "collection.load(" in cell.source)
    book.cells = book.cells[: loads + 1]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="set GUIDE_DATA to their folder or CSV"):
        execute(book, tmp_path, tmp_path / "nothing")


def test_the_guide_is_kept_without_outputs():
    """Pictures of a data set must not get into the repository through a saved notebook."""
    book = json.loads(GUIDE.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None, cell["source"]
        assert not cell.get("attachments"), cell["source"]


def test_the_guide_has_short_cells():
    book = nbformat.read(GUIDE, as_version=4)
    assert all(len(cell.source.splitlines()) <= 18 for cell in code_cells(book))
