"""A short soak: several clients at once on the real app, with good files and bad. `benchmarks.soak` is the long one."""

import tracemalloc
import zipfile

import pytest
from PIL import Image

from benchmarks import soak
from tests.pictures import encoded


@pytest.fixture
def files(tmp_path):
    """Pictures of their own colour each, so that nobody's answer is anybody else's; bad files and an archive."""
    made = []
    for number in range(12):
        made.append(tmp_path / f"{number}.png")
        made[-1].write_bytes(encoded(Image.new("RGB", (300, 260), (20 * number, 90, 240 - 20 * number)), "PNG"))
    for name, data in (("cut.png", made[0].read_bytes()[:60]), ("empty.jpg", b""), ("page.jpg", b"<html>no picture")):
        made.append(tmp_path / name)
        made[-1].write_bytes(data)
    made.append(tmp_path / "several.zip")
    with zipfile.ZipFile(made[-1], "w") as archive:
        for path in (*made[:2], made[13]):
            archive.write(path, path.name)
    return made


def test_clients_at_once_get_their_own_answers_or_named_reasons_and_nothing_is_left(files):
    soaked = soak.soak(files, minutes=0.25, clients=3)
    assert soaked.failures == []
    assert soaked.statuses["ok"] + soaked.statuses["doubted"] > 10
    assert soaked.statuses["failed"] > 0


def test_visitors_who_have_left_cannot_fill_the_memory(classifier):
    """Gradio keeps what it knows of a session until so many others came that this one is dropped."""
    from gradio.state_holder import StateHolder

    from skin_gradio.ui.page import build_page, launch_options

    sessions = StateHolder()
    sessions.set_blocks(build_page(classifier))
    assert sessions["first"].blocks_config.blocks
    tracemalloc.start()
    for number in range(10):
        sessions[f"visitor {number}"]
    each = tracemalloc.get_traced_memory()[0] / 10
    tracemalloc.stop()
    assert each > 1000
    assert each * launch_options()["state_session_capacity"] < 10e6


def test_a_session_keeps_neither_the_page_nor_what_went_in_and_out_of_it(classifier):
    from gradio.state_holder import StateHolder

    from skin_gradio.ui.page import build_page

    page, sessions = build_page(classifier), StateHolder()
    sessions.set_blocks(page)
    visitor = sessions["visitor"]
    heading = next(key for key, block in page.blocks.items() if block.elem_id == "page-header")
    visitor[heading] = page.blocks[heading]
    visitor._update_value_in_config(heading, "an answer")
    visitor._update_config(heading)
    assert not list(visitor.components)
    assert visitor[heading] is page.blocks[heading]
    chosen = next(key for key, block in page.blocks.items() if block.get_block_name() == "state")
    visitor[chosen] = "another model"
    assert visitor[chosen] == "another model"
    assert sessions["other visitor"][chosen] != "another model"


ANSWER = {"status": "ok", "reason": "", "probabilities": {"mel": 0.7, "nv": 0.3}}
REFUSAL = {"status": "failed", "reason": "The file is empty.", "code": "empty"}


@pytest.mark.parametrize(
    "other",
    [
        {**ANSWER, "probabilities": {"mel": 0.6, "nv": 0.4}},
        {**ANSWER, "probabilities": {"mel": 0.7}},
        {**ANSWER, "status": "doubted"},
        REFUSAL,
    ],
)
def test_the_soak_sees_an_answer_that_belongs_to_another_file(other):
    assert soak.same(ANSWER, {**ANSWER, "file": "elsewhere.png"})
    assert not soak.same(ANSWER, other)


def test_the_soak_sees_a_refusal_for_another_reason():
    assert soak.same(REFUSAL, {**REFUSAL, "file": "elsewhere.png"})
    assert not soak.same(REFUSAL, {**REFUSAL, "reason": "The file is no picture.", "code": "not_an_image"})


def test_the_soak_sees_errors_without_a_name_rising_memory_and_files_that_stay(tmp_path):
    assert soak.named(ANSWER)
    assert soak.named(REFUSAL)
    assert not soak.named({**REFUSAL, "code": "unexpected"})
    assert not soak.named({**REFUSAL, "reason": ""})
    assert soak.Soaked(memory=[*[300] * 80, *[380] * 20]).failures == ["memory rose from 300 to 380 MB"]
    assert soak.Soaked(memory=[*[300] * 80, *[310] * 20]).failures == []
    assert soak.Soaked(memory=[300], left=[tmp_path]).failures == [f"left behind: {tmp_path}"]
