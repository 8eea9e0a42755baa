import warnings
from collections import Counter

import pytest

from benchmarks import reliability
from benchmarks.app_process import running_app
from tests import corpus


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return corpus.write(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about what is wrong with the files
        yield


def test_the_corpus_is_large_varied_and_the_same_for_the_same_seed():
    first, again, other = (list(corpus.corpus(seed)) for seed in (1, 1, 2))
    assert [case for case, same in zip(first, again, strict=True) if case != same] == []
    assert any(case != drawn for case, drawn in zip(first, other, strict=False))
    assert len(first) >= 2000
    kinds = Counter(case.kind for case in first)
    assert len(kinds) >= 10
    assert kinds["whole"] == len(corpus.whole_pictures())


def test_every_bad_file_is_a_picture_or_a_named_reason_in_bounded_time_and_memory(written):
    outcome = reliability.through_loader(written)
    assert outcome.unexplained == []
    assert set(outcome.codes) - {"ok"} <= reliability.known_codes()
    assert outcome.codes["ok"] >= len(corpus.whole_pictures())
    assert outcome.slowest < 30  # a hang, not slowness
    assert outcome.megabytes < 600


def test_every_bad_file_and_archive_becomes_rows_of_one_batch(written, classifier):
    outcome = reliability.through_batch(written, classifier)
    assert outcome.unexplained == []
    assert set(outcome.codes) - {"ok", "doubted"} <= reliability.known_codes()
    assert sum(outcome.codes.values()) >= len(written)
    assert outcome.megabytes < 600


def test_the_page_survives_bad_files_and_answers_a_good_one_afterwards(written):
    pytest.importorskip("gradio_client")
    archives = [entry for entry in written if entry[0].kind == "archive"]
    with running_app() as (url, process):
        outcome = reliability.through_page(written[::40] + archives[:10], url, process)
    assert outcome.unexplained == []
    assert outcome.answered > 0
    assert outcome.codes["failed"] > 0
