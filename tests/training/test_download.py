import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.file_server import Fault, serving
from training import download
from training.download import DownloadError, Remote, fetch

BODY = np.random.default_rng(0).bytes(200_000)
OTHER = np.random.default_rng(1).bytes(150_000)
CUT = Fault(cut_after=70_000)


@pytest.fixture
def server():
    with serving() as running:
        running.files["/pictures.zip"] = BODY
        yield running


@pytest.fixture
def client():
    with download.open_client() as opened:
        yield opened


@pytest.fixture
def waits(monkeypatch):
    """The pauses that were made, in seconds; none is waited for."""
    made = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=made.append, time=lambda: 0.0))
    return made


def remote(server, **checks):
    return Remote("pictures.zip", f"{server.url}/pictures.zip", **checks)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_under_its_own_name_only(server, client, tmp_path):
    sha256 = fetch(remote(server, md5=hashlib.md5(BODY).hexdigest()), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY
    assert sha256 == hashlib.sha256(BODY).hexdigest()
    assert names(tmp_path) == ["pictures.zip"]


def test_a_cut_connection_is_taken_up_where_it_broke(server, client, tmp_path, waits):
    server.faults["/pictures.zip"] = [CUT, CUT]
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY
    assert server.asked("/pictures.zip") == ["", "bytes=70000-", "bytes=140000-"]


def test_a_later_run_goes_on_where_an_earlier_one_died(server, client, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults["/pictures.zip"] = [CUT]
    with pytest.raises(DownloadError, match="run it again to go on"):
        fetch(remote(server), tmp_path, client)
    assert "pictures.zip" not in names(tmp_path)
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY
    assert server.asked("/pictures.zip")[-1] == "bytes=70000-"


def test_a_file_that_changed_meanwhile_is_not_mixed_with_its_older_version(server, client, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults["/pictures.zip"] = [CUT]
    with pytest.raises(DownloadError):
        fetch(remote(server), tmp_path, client)
    server.files["/pictures.zip"] = OTHER
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == OTHER


@pytest.mark.parametrize("lacking", ["ranges", "validators"])
def test_a_server_that_cannot_resume_starts_over(server, client, tmp_path, waits, lacking):
    setattr(server, lacking, False)
    server.faults["/pictures.zip"] = [CUT]
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY


def test_a_complete_download_that_only_lacks_its_name_is_not_repeated(server, client, tmp_path):
    (tmp_path / "pictures.zip.partial").write_bytes(BODY)
    (tmp_path / "pictures.zip.partial.etag").write_text(f'"{hashlib.md5(BODY).hexdigest()}"')
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY
    assert server.asked("/pictures.zip") == [f"bytes={len(BODY)}-"]


def test_a_partial_file_longer_than_the_real_one_is_dropped(server, client, tmp_path, waits):
    (tmp_path / "pictures.zip.partial").write_bytes(BODY + b"more")
    (tmp_path / "pictures.zip.partial.etag").write_text(f'"{hashlib.md5(BODY).hexdigest()}"')
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY


def test_a_busy_server_is_asked_again_after_the_pause_it_wants_within_bounds(server, client, tmp_path, waits):
    server.faults["/pictures.zip"] = [
        Fault(429, {"Retry-After": "7"}),
        Fault(503, {"Retry-After": "86400"}),
        Fault(503, {"Retry-After": "Thu, 01 Jan 1970 00:00:30 GMT"}),
        Fault(500),
    ]
    fetch(remote(server), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY
    assert waits == [7, download.LONGEST_WAIT, 30, 8]


def test_a_server_that_keeps_failing_is_given_up(server, client, tmp_path, waits):
    server.faults["/pictures.zip"] = [Fault(503)] * 20
    with pytest.raises(DownloadError, match="answered 503 Service Unavailable"):
        fetch(remote(server), tmp_path, client)
    assert len(server.requests) == download.ATTEMPTS
    assert waits == sorted(waits)


def test_a_host_that_does_not_answer_is_named(client, tmp_path, waits):
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/pictures\.zip: .*refused"):
        fetch(Remote("pictures.zip", "http://127.0.0.1:9/pictures.zip"), tmp_path, client)


def test_a_missing_file_is_refused_at_once_without_showing_the_signature(server, client, tmp_path, waits):
    with pytest.raises(DownloadError, match="answered 404 Not Found") as refused:
        fetch(Remote("a.zip", f"{server.url}/a.zip?signature=secret"), tmp_path, client)
    assert waits == []
    assert "secret" not in str(refused.value)


def test_a_web_page_is_not_taken_for_the_file(server, client, tmp_path):
    server.types["/pictures.zip"] = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        fetch(remote(server), tmp_path, client)
    assert not (tmp_path / "pictures.zip").exists()


@pytest.mark.parametrize("check", [{"md5": "0" * 32}, {"sha256": "0" * 64}, {"size": 7}])
def test_a_file_that_is_not_the_published_one_is_removed(server, client, tmp_path, check):
    with pytest.raises(DownloadError, match=r"pictures\.zip is not the expected file: .* instead of"):
        fetch(remote(server, **check), tmp_path, client)
    assert names(tmp_path) == []


def test_a_file_that_lies_there_is_checked_too(server, client, tmp_path):
    (tmp_path / "pictures.zip").write_bytes(OTHER)
    with pytest.raises(DownloadError, match="is not the expected file"):
        fetch(remote(server, md5=hashlib.md5(BODY).hexdigest()), tmp_path, client)
    fetch(remote(server, md5=hashlib.md5(BODY).hexdigest()), tmp_path, client)
    assert (tmp_path / "pictures.zip").read_bytes() == BODY


def test_a_disk_without_room_is_named_before_anything_is_written(server, client, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match=r"The disk is full: .* --data"):
        fetch(remote(server), tmp_path, client)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_disk_that_fills_up_is_named(server, client, tmp_path):
    (tmp_path / "pictures.zip.partial").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="The disk is full"):
        fetch(remote(server), tmp_path, client)
    assert not (tmp_path / "pictures.zip").exists()


def test_two_processes_do_not_write_into_each_others_file(server, tmp_path):
    server.pause = 0.5
    program = (
        "import sys; from pathlib import Path; from training.download import *\n"
        "folder, remote = Path(sys.argv[1]), Remote('pictures.zip', sys.argv[2])\n"
        "with exclusive(folder), open_client() as client: print(fetch(remote, folder, client))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data"), f"{server.url}/pictures.zip"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert all(hashlib.sha256(BODY).hexdigest() in text for text in said)
    assert (tmp_path / "data" / "pictures.zip").read_bytes() == BODY
    assert server.asked("/pictures.zip") == [""]
