"""What breaks around the program while it works: killed processes, full disks, a Hub that fails, clocks that jump."""

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import huggingface_hub
import pytest
from PIL import Image

from skin_gradio import models
from skin_gradio.batch import Row
from skin_gradio.csv_rows import CsvWriter
from skin_gradio.models import BUNDLED, FILES, ModelError, find_model, sha256
from skin_gradio.ui.batch import write_csv
from skin_gradio.ui.expiry import LIFETIME_SECONDS, Expiry, keep_doing
from skin_gradio.ui.model_choice import switching
from skin_gradio.ui.page import build_page
from skin_gradio.ui.runs import Run, Runs
from skin_gradio.ui.shelf import Shelf
from tests.hub import Fault, Hub
from tests.pictures import encoded

REPOSITORY = "ada/lesions"
TINY_FILE = 4_000


# A batch


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 60 pictures of their own colour each."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(60):
        picture = Image.new("RGB", (64, 64), (4 * number, 120, 250 - 4 * number))
        (folder / f"{number:02}.png").write_bytes(encoded(picture, "PNG"))
    return folder


def batch(pictures, target, limit=None):
    """Start the command for batches; `limit` is how many bytes a file may have, as on a disk that is full then."""

    def full_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return subprocess.Popen(
        [sys.executable, "-m", "skin_gradio", str(pictures), "--csv", str(target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=full_disk if limit else None,
    )


@pytest.fixture(scope="module")
def unbroken(pictures, tmp_path_factory):
    """The CSV of a batch that nothing befell."""
    target = tmp_path_factory.mktemp("unbroken") / "out.csv"
    process = batch(pictures, target)
    assert process.wait() == 0, process.stderr.read()
    return target.read_bytes()


def test_a_killed_batch_goes_on_and_ends_as_if_it_had_not_been_killed(pictures, unbroken, tmp_path):
    target = tmp_path / "out.csv"
    process = batch(pictures, target)
    while process.poll() is None and not (target.exists() and target.read_bytes().count(b"\n") > 8):
        time.sleep(0.002)
    process.kill()
    process.wait()
    killed = target.read_bytes()
    assert unbroken.startswith(killed)
    assert batch(pictures, target).wait() == 0
    assert target.read_bytes() == unbroken


def test_a_batch_on_a_full_disk_ends_with_one_clear_line_and_goes_on_when_there_is_room(pictures, unbroken, tmp_path):
    target = tmp_path / "out.csv"
    process = batch(pictures, target, limit=TINY_FILE)
    said = process.communicate()[1].strip().splitlines()
    assert process.returncode == 2
    assert len(said) == 1
    assert "out.csv" in said[0]
    assert "too large" in said[0].lower()
    assert len(unbroken) > target.stat().st_size > 0
    assert batch(pictures, target).wait() == 0
    assert target.read_bytes() == unbroken


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_disk_without_any_room_is_one_clear_line(pictures):
    command = [sys.executable, "-m", "skin_gradio", str(pictures), "--csv", "/dev/full", "--fresh"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


# The Hub


def bundled():
    """The bundled model's files."""
    return {name: (BUNDLED / "mobilenet_v2" / name).read_bytes() for name in FILES}


def small():
    """A whole model folder whose graphs are no graphs, which is enough to be fetched and verified."""
    files = {"model.keras": b"keras", "model.onnx": b"onnx" * 1000, "README.md": b"card"}
    card = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text(encoding="utf-8"))
    card["sha256"] = {name: hashlib.sha256(files[name]).hexdigest() for name in ("model.keras", "model.onnx")}
    return {**files, "model.json": json.dumps(card).encode()}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with Hub() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        hub.add(REPOSITORY, small())
        yield hub


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("GET", "api/models", status=503), "could not be fetched from the Hub: .*503"),
        (Fault("GET", "api/models", cut=True), "could not be fetched from the Hub"),
        (Fault("HEAD", "resolve", status=500), "could not be fetched from the Hub"),
        (Fault("GET", "resolve", cut=True), "could not be fetched from the Hub"),
        (Fault("GET", "signed", cut=True), "could not be fetched from the Hub"),
        (Fault("GET", "signed", corrupt=True), r"model\.(keras|onnx) is damaged or was changed"),
        (Fault("GET", "signed", status=403), "could not be fetched from the Hub"),
    ],
    ids=str,
)
def test_a_hub_that_fails_is_named_and_works_again_afterwards(hub, fault, reason):
    hub.faults.append(fault)
    with pytest.raises(ModelError, match=reason):
        find_model(REPOSITORY)
    hub.faults.clear()
    assert find_model(REPOSITORY).name == "mobilenet_v2"


def test_a_file_that_came_damaged_is_fetched_once_more(hub):
    hub.faults.append(Fault("GET", "signed", corrupt=True, times=1))
    assert find_model(REPOSITORY).name == "mobilenet_v2"


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"half of it"], ids=["emptied", "torn", "changed"])
def test_a_file_that_is_damaged_in_the_cache_is_fetched_once_more(hub, name, damage):
    file = find_model(REPOSITORY).file(name)
    file.resolve().write_bytes(damage)
    assert find_model(REPOSITORY).file(name).read_bytes() == small()[name]


def test_a_card_whose_checksums_are_damaged_in_the_cache_is_fetched_once_more(hub):
    card = find_model(REPOSITORY).file("model.json").resolve()
    card.write_bytes(card.read_bytes().replace(sha256_of("keras").encode(), sha256_of("other").encode()))
    assert find_model(REPOSITORY).file("model.json").read_bytes() == small()["model.json"]


def test_a_repository_that_stays_damaged_is_fetched_twice_and_refused_by_the_files_name(hub):
    hub.add(REPOSITORY, {**small(), "model.onnx": b"another graph"})
    with pytest.raises(ModelError, match=r"model\.onnx is damaged or was changed"):
        find_model(REPOSITORY)
    sent = hashlib.sha256(b"another graph").hexdigest()
    assert sum(method == "GET" and sent in path for method, path in hub.requests) == 2


def test_a_file_that_is_damaged_while_the_hub_is_gone_is_refused_with_both_reasons(hub):
    find_model(REPOSITORY).file("model.onnx").resolve().write_bytes(b"")
    hub.faults.append(Fault("GET", "", status=503))
    hub.faults.append(Fault("HEAD", "", status=503))
    with pytest.raises(ModelError, match=r"model\.onnx is damaged .* could not be fetched from the Hub"):
        find_model(REPOSITORY)
    hub.faults.clear()
    assert find_model(REPOSITORY).name == "mobilenet_v2"


def test_a_hub_that_is_gone_is_named_and_what_was_fetched_before_still_opens(hub):
    hub.add("ada/other", small())
    fetched = find_model(REPOSITORY)
    hub.stop()
    huggingface_hub.close_session()  # connections that are kept open
    try:
        assert find_model(REPOSITORY).revision == fetched.revision
        with pytest.raises(ModelError, match="could not be fetched from the Hub"):
            find_model("ada/other")
    finally:
        hub.start()


@pytest.mark.parametrize("path", ["api/models", "signed"])
def test_a_hub_that_never_answers_is_given_up(hub, monkeypatch, path):
    monkeypatch.setattr("skin_gradio.hub.SECONDS", 0.5)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub.faults.append(Fault("GET", path, hang=True))
    start = time.monotonic()
    with pytest.raises(ModelError, match="could not be fetched from the Hub"):
        find_model(REPOSITORY)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    "answer", [b"<html>Please log in</html>", b'{"surprise": [1]}', b"[1, 2]", b"null", b'"text"', b"", b"\xff\xfe"]
)
def test_what_answers_in_the_hubs_place_is_no_reason_to_fall(hub, monkeypatch, answer):
    handler = hub._servers[0].RequestHandlerClass
    monkeypatch.setattr(handler, "_json", lambda self, *_, **__: self._send(200, answer))
    with pytest.raises(ModelError, match="could not be fetched"):
        find_model(REPOSITORY)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.json", b"<html>", "cannot be read"),
        ("model.json", b'{"format_version": 1, "sha256": 7}', "lacks the checksums"),
        ("model.onnx", b"another graph", "is damaged or was changed"),
    ],
)
def test_a_repository_that_lies_is_refused_with_the_reason(hub, name, content, reason):
    hub.add(REPOSITORY, {**small(), name: content})
    with pytest.raises(ModelError, match=reason):
        find_model(REPOSITORY)


def test_a_visitor_whose_model_cannot_be_fetched_keeps_the_old_one(hub, classifier):
    shelf = Shelf(classifier, choice="any")
    hub.faults.append(Fault("GET", "", status=500))
    with pytest.raises(ModelError, match="could not be fetched"):
        list(switching(shelf, REPOSITORY))
    assert shelf.get(shelf.first_key) is classifier


def test_programs_that_share_an_empty_cache_all_get_the_whole_model(hub, tmp_path):
    hub.add(REPOSITORY, bundled())
    environment = {**os.environ, **hub.environment(tmp_path / "shared")}
    script = (
        f"from skin_gradio.models import find_model; from skin_gradio.engines import open_engine;"
        f"model = find_model('{REPOSITORY}'); open_engine(model, 'onnx'); print(model.revision)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=300)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said == {f"{REPOSITORY}@{hub.repositories['model', REPOSITORY].branches['main']}"}


def fetching(hub, home, limit=None):
    """Start a program that fetches the model; `limit` is how many bytes a file may have, as on a full disk."""
    script = f"from skin_gradio.models import find_model; print(find_model('{REPOSITORY}').revision)"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **hub.environment(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,
    )


def test_a_program_that_is_killed_while_it_fetches_leaves_nothing_that_another_one_would_read(hub, tmp_path):
    hub.faults.append(Fault("GET", "signed", hang=True))
    killed = fetching(hub, tmp_path / "shared")
    while killed.poll() is None and not any("signed" in path for _, path in hub.requests):
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() < 0
    hub.faults.clear()
    said, trouble = fetching(hub, tmp_path / "shared").communicate(timeout=300)
    assert said.startswith(f"{REPOSITORY}@"), trouble


def test_a_model_that_finds_no_room_on_the_disk_is_refused_with_the_reason(hub, tmp_path):
    _, trouble = fetching(hub, tmp_path / "shared", limit=1000).communicate(timeout=300)
    assert "could not be fetched from the Hub" in trouble.strip().splitlines()[-1]
    said, trouble = fetching(hub, tmp_path / "shared").communicate(timeout=300)
    assert said.startswith(f"{REPOSITORY}@"), trouble


# The folder of a model


def test_a_model_folder_that_is_exchanged_meanwhile_is_read_whole_or_refused(tmp_path):
    """Two apps on one folder while a third program replaces it, as an export does, again and again."""
    folder, stop = tmp_path / "tiny", threading.Event()
    versions = [write_version(tmp_path / name, name) for name in ("first", "second")]
    versions[0].rename(folder)
    outcomes, unexpected = set(), []

    def read():
        while not stop.is_set():
            try:
                model = models.read_folder(folder)
                outcomes.add((model.name, model.revision))
            except ModelError:
                outcomes.add("refused")
            except BaseException as error:
                unexpected.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    aside, other = tmp_path / ".old", versions[1]
    for _ in range(200):
        folder.rename(aside)
        other.rename(folder)
        aside.rename(other)
        time.sleep(0.002)
    stop.set()
    for reader in readers:
        reader.join()
    assert unexpected == []
    known = {(name, sha256_of(name)[:12]) for name in ("first", "second")}
    assert outcomes - {"refused"} <= known
    assert outcomes & known


def sha256_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def write_version(folder, name):
    """A model folder whose files say which version they are."""
    folder.mkdir()
    for file in ("model.keras", "model.onnx"):
        (folder / file).write_text(name)
    card = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text(encoding="utf-8"))
    card |= {"name": name, "sha256": {file: sha256(folder / file) for file in ("model.keras", "model.onnx")}}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


# Clocks


@pytest.mark.parametrize("jump", [-400 * 86400.0, 400 * 86400.0], ids=["back", "forward"])
def test_a_clock_that_jumps_neither_expires_nor_keeps_an_upload(tmp_path, monkeypatch, jump):
    (tmp_path / "upload.jpg").write_bytes(b"a picture")
    expiry = Expiry(tmp_path, age=3600)
    expiry.sweep(now=1000)
    os.utime(tmp_path / "upload.jpg", (0, 0))
    expiry.sweep(now=1001)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    expiry.sweep(now=4600)
    assert (tmp_path / "upload.jpg").exists()
    expiry.sweep(now=4602)
    assert not (tmp_path / "upload.jpg").exists()


def test_what_is_deleted_now_and_then_is_tried_again_after_it_failed(caplog):
    times, again = [], threading.Event()

    def work():
        times.append(time.monotonic())
        if len(times) == 1:
            raise OSError(28, "No space left on device")
        again.set()
        threading.Event().wait()

    keep_doing("a test", work, interval=0.01)
    assert again.wait(30)
    assert "a test failed" in caplog.text


def test_a_page_with_uploads_of_its_own_leaves_none_to_a_clock_that_may_jump(classifier, tmp_path, monkeypatch):
    """Gradio would delete files by the clock on the wall, and remembers the names of those that are gone already."""
    watched = []
    monkeypatch.setattr(Expiry, "watch", lambda self: watched.append(self))
    page = build_page(classifier, uploads=tmp_path)
    assert not page.delete_cache
    upload = tmp_path / "upload.jpg"
    upload.write_bytes(b"a picture")
    page.upload_file_set.add(str(upload))
    (expiry,) = watched
    expiry.sweep(now=0)
    assert page.upload_file_set == {str(upload)}
    expiry.sweep(now=LIFETIME_SECONDS)
    assert not upload.exists()
    assert page.upload_file_set == set()


@pytest.mark.parametrize("jump", [-400 * 86400.0, 400 * 86400.0], ids=["back", "forward"])
def test_a_clock_that_jumps_does_not_expire_a_run(classifier, monkeypatch, jump):
    runs = Runs(lifetime=3600)
    run = Run(classifier, "collection")
    runs.keep("session", run)
    run.finish()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    runs.delete_expired()
    assert runs.of("session") is run
    runs.delete_all()
    assert not run.folder.exists()


def test_a_csv_row_is_never_half_in_the_file_that_the_page_offers(classifier, tmp_path, monkeypatch):
    """The page writes its CSV aside and moves it into place: a write that fails leaves the earlier one."""
    run = Run(classifier, "collection")
    run.rows.add(Row("a.png", "failed", "why", None, None))
    before = Path(write_csv(run)).read_bytes()

    def full(self, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CsvWriter, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_csv(run)
    assert run.csv("collection").read_bytes() == before
    assert before.count(b"\r\n") == 2
    run.delete()
