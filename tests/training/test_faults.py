"""What breaks around training while it works: exports and publications that are killed, full disks, a shared cache."""

import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skin_gradio import models
from skin_gradio.models import ModelError, read_folder
from tests.hub import Fault, Hub
from tests.training import tiny
from tests.training.test_export import export_tiny
from tests.training.test_publish import held, write_model
from tests.training.test_train import scores
from training import batches, export
from training.fit import read_progress

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "ada/lesions"


def full_disk(limit):
    """Let no file of this process grow beyond so many bytes, as on a disk that is full then."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


# Exporting


class Untrained:
    """What `export_folder` asks of a trained network and of its graph, in bytes that say which version they are."""

    def __init__(self, version):
        self.version = version

    def count_params(self):
        return 7

    def save(self, path):
        Path(path).write_bytes(f"keras {self.version}".encode())


@pytest.fixture
def quick(monkeypatch):
    """Export without a network: only the files and their order are looked at here."""
    monkeypatch.setattr(export, "inference_model", lambda trained, *_: trained)
    monkeypatch.setattr(
        export, "write_onnx", lambda model, path: Path(path).write_bytes(f"onnx {model.version}".encode())
    )


STEPS = ((Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "write_text"), (shutil, "rmtree"))


def killed_export(version, folder, step):
    """Export in a child that is killed before its n-th change of the disk; say whether it got that far."""
    child = os.fork()
    if child == 0:
        left = itertools.count(step, -1)

        def dying(change):
            def changed(*arguments, **options):
                if next(left) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*arguments, **options)

            return changed

        for owner, name in STEPS:
            setattr(owner, name, dying(getattr(owner, name)))
        export_tiny(Untrained(version), folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def version_in(folder):
    return (read_folder(folder).path / "model.onnx").read_text()


@pytest.mark.training
def test_an_export_killed_anywhere_leaves_a_whole_folder_and_the_next_one_repairs_the_rest(
    quick, tmp_path, monkeypatch
):
    killed = 0
    for step in itertools.count():
        place = tmp_path / str(step)
        folder = place / "tiny"
        monkeypatch.setattr(models, "BUNDLED", place)
        export_tiny(Untrained("first"), folder)
        if not killed_export("second", folder, step):
            break
        killed += 1
        if folder.exists():
            assert version_in(folder) in ("onnx first", "onnx second")
        assert set(models.bundled_models()) <= {"tiny"}
        if killed % 2:  # killed a second time, at the same place
            killed_export("third", folder, step)
        export_tiny(Untrained("last"), folder)
        assert version_in(folder) == "onnx last"
        assert [path.name for path in place.iterdir()] == ["tiny"]
    assert killed >= 6


@pytest.mark.training
def test_the_folder_that_a_killed_export_put_aside_is_put_back_when_the_next_one_fails(quick, tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    export_tiny(Untrained("first"), folder)
    folder.rename(tmp_path / ".old-tiny")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_onnx", full)
    with pytest.raises(OSError, match="No space left"):
        export_tiny(Untrained("second"), folder)
    assert version_in(folder) == "onnx first"
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        read_folder(tmp_path / ".partial-tiny")


# Training


@pytest.mark.training
def test_a_full_disk_ends_a_run_with_a_plain_error_and_it_goes_on_when_there_is_room(tmp_path):
    """The library that writes weights crashes the process when it cannot write; it must not come to that."""
    script = "import sys; from tests.training import tiny; from training.command import run_command;"
    script += "run_command(lambda: tiny.train(sys.argv[1]))"
    run = [sys.executable, "-c", script, str(tmp_path / "broken")]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.run(
        run,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: full_disk(20_000),
    )
    assert process.returncode == 2, process.stderr
    assert "error: there is no room for" in process.stderr
    assert "state-1.weights.h5" in process.stderr
    assert read_progress(tmp_path / "broken") is None
    assert [path for path in (tmp_path / "broken").iterdir() if path.suffix == ".h5"] == []
    assert subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0
    tiny.train(tmp_path / "unbroken")
    np.testing.assert_allclose(scores(tmp_path / "broken"), scores(tmp_path / "unbroken"), rtol=2e-3)


# The cache of decoded pictures


def test_processes_that_decode_into_one_cache_all_get_every_picture(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (60, 50, 3), np.uint8)).save(tmp_path / f"{number:02}.png")
    script = (
        "import sys, hashlib; from pathlib import Path; from training import batches;"
        "paths = sorted(Path(sys.argv[1]).glob('*.png'));"
        "pictures = batches.decode_cached(paths, Path(sys.argv[1]) / 'cache', 48);"
        "print(pictures.shape, hashlib.sha256(pictures.tobytes()).hexdigest())"
    )
    run = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate(timeout=300)[0] for process in running}
    assert len(said) == 1
    assert said.pop().startswith("(40, 48, 48, 3)")
    assert [path.suffix for path in kept(tmp_path / "cache")] == [".npy"]


def kept(cache):
    """What a cache holds besides its lock."""
    return [path for path in cache.iterdir() if path.name != ".lock"]


def test_what_a_killed_decoding_left_is_deleted_by_the_next_one(tmp_path):
    for number in range(3):
        Image.new("RGB", (60, 60), (9, 99, 60 * number)).save(tmp_path / f"{number}.png")
    script = (
        "import os, signal, sys; from pathlib import Path; from training import batches;"
        "paths = sorted(Path(sys.argv[1]).glob('*.png'));"
        "killed = lambda done: os.kill(os.getpid(), signal.SIGKILL);"
        "batches.decode_cached(paths, Path(sys.argv[1]) / 'cache', 48, killed)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.suffix for path in kept(tmp_path / "cache")] == [".partial"]
    others = [tmp_path / "0.png"]  # the next one wants other pictures
    batches.decode_cached(others, tmp_path / "cache", 32)
    assert [path.suffix for path in kept(tmp_path / "cache")] == [".npy"]


def test_decoding_on_a_full_disk_leaves_nothing_that_a_later_run_would_read(tmp_path, monkeypatch):
    Image.new("RGB", (60, 60), (9, 99, 199)).save(tmp_path / "a.png")
    cache, decode = tmp_path / "cache", batches.decode

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batches, "decode", full)
    with pytest.raises(OSError, match="No space left"):
        batches.decode_cached([tmp_path / "a.png"], cache, 32)
    assert kept(cache) == []
    monkeypatch.setattr(batches, "decode", decode)
    assert (batches.decode_cached([tmp_path / "a.png"], cache, 32) == decode([tmp_path / "a.png"], 32)).all()


# Publishing


@pytest.mark.parametrize("at", ["/commit/", "/tag/"])
def test_a_killed_publication_names_nothing_half_sent_and_the_same_command_ends_it(tmp_path, at):
    folder = write_model(tmp_path / "tiny")
    run = [sys.executable, "-m", "training.publish", str(folder), REPOSITORY, "--tag", "v1"]
    with Hub() as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home", token="secret")}
        hub.faults.append(Fault("POST", at, hang=True))
        process = subprocess.Popen(run, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not any(at in path for _, path in hub.requests):
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        repository = hub.repositories["model", REPOSITORY]
        assert repository.tags == {}
        assert set(held(hub)) in (set(), set(models.FILES))
        hub.faults.clear()
        done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert repository.tags == {"v1": repository.branches["main"]}
        assert held(hub) == {name: (folder / name).read_bytes() for name in models.FILES}
