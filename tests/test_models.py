import hashlib
import json
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import DryRunError, RepositoryNotFoundError, RevisionNotFoundError

from skin_gradio import lesions, models
from skin_gradio.models import ModelError, find_model


def card(**changes):
    return {
        "format_version": models.FORMAT_VERSION,
        "name": "tiny",
        "classes": list(lesions.CODES),
        "prior": [0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1],
        "input_size": 32,
        "operating_points": [{"name": "sensitivity 90%", "threshold": 0.2, "sensitivity": 0.9, "specificity": 0.8}],
        "sha256": {name: hashlib.sha256(name.encode()).hexdigest() for name in ("model.keras", "model.onnx")},
        **changes,
    }


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "tiny"
    root.mkdir()
    for name in ("model.keras", "model.onnx"):
        (root / name).write_text(name)
    write(root)
    return root


def write(root, **changes):
    (root / "model.json").write_text(json.dumps(card(**changes)))


def test_a_whole_folder_is_read(folder):
    model = find_model(str(folder))
    assert (model.name, model.codes, model.input_size) == ("tiny", lesions.CODES, 32)
    assert model.operating_points[0].sensitivity == 0.9
    assert model.revision == card()["sha256"]["model.onnx"][:12]


@pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
def test_a_changed_file_is_refused_by_name(folder, name):
    (folder / name).write_text("changed")
    with pytest.raises(ModelError, match=f"{name} is damaged or was changed"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.json"])
def test_a_missing_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        find_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"classes": ["cat", "dog"]}, "its classes are"),
        ({"classes": []}, "its classes are"),
        ({"prior": [1, 0, 0, 0, 0, 0, 0]}, "its prior must be"),
        ({"prior": [0.5, 0.5]}, "its prior must be"),
        ({"prior": None}, "not usable"),
        ({"input_size": 10**9}, "its input size must be"),
        ({"input_size": "224"}, "its input size must be"),
        ({"operating_points": []}, "has no operating points"),
        (
            {"operating_points": [{"name": "x", "threshold": 7, "sensitivity": 0, "specificity": 0}]},
            "operating points need figures from 0 to 1",
        ),
        ({"sha256": {}}, "lacks the checksums"),
        ({"sha256": {**card()["sha256"], "../secret": "0"}}, "no part of a model folder"),
    ],
)
def test_a_model_json_that_lies_is_refused_with_the_reason(folder, changes, reason):
    write(folder, **changes)
    with pytest.raises(ModelError, match=reason):
        find_model(str(folder))


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "[" * 100_000, "\x00\xff"])
def test_a_model_json_that_is_no_table_is_refused(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "", "../tiny", "user/repo@"])
def test_a_name_that_means_nothing_says_what_would(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no folder, no bundled model"):
        find_model(name)


def test_a_file_of_absurd_size_is_refused_before_it_is_read(folder):
    with open(folder / "model.onnx", "wb") as handle:
        handle.truncate(models.MAX_FILE_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(ModelError, match=r"model\.onnx has 1,000,000,001 bytes"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "/root/" + "y" * 300])
def test_a_name_that_no_file_system_takes_is_no_model(name):
    with pytest.raises(ModelError, match="no folder, no bundled model"):
        find_model(name)


def test_a_key_opens_the_same_model_again(folder, monkeypatch):
    local = find_model(str(folder))
    bundled = models.find_bundled("mobilenet_v2")
    monkeypatch.chdir(folder)
    assert find_model(local.key).revision == local.revision
    assert (bundled.key, bundled.bundled, local.bundled) == ("mobilenet_v2", True, False)
    hub = models.read_folder(folder, "someone/lesions@")
    assert hub.key == "someone/lesions@tiny"


def test_only_a_bundled_models_name_finds_a_bundled_model():
    for name in ("", "..", "nowhere", "../weights/mobilenet_v2"):
        with pytest.raises(ModelError, match="no bundled model"):
            models.find_bundled(name)


def test_an_operating_point_says_what_it_gave_on_test_pictures(folder):
    write(folder, metrics={"figures": {"sensitivity_0": {"value": 0.83}, "specificity_0": {"value": 0.81}}})
    point = find_model(str(folder)).operating_points[0]
    assert (point.sensitivity, point.test_sensitivity, point.test_specificity) == (0.9, 0.83, 0.81)


def test_a_hub_id_is_fetched_at_its_revision(folder, monkeypatch):
    asked = {}

    def snapshot_download(repo_id, revision, allow_patterns, dry_run=False):
        asked.update(repository=repo_id, revision=revision, patterns=allow_patterns)
        return [] if dry_run else str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert find_model("someone/lesions@v2").revision == "someone/lesions@tiny"
    assert asked == {"repository": "someone/lesions", "revision": "v2", "patterns": list(models.FILES)}


def test_a_huge_file_is_not_fetched(monkeypatch):
    def snapshot_download(repo_id, revision, allow_patterns, dry_run=False):
        assert dry_run
        return [SimpleNamespace(filename="model.onnx", file_size=50_000_000_000)]

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match=r"model\.onnx has 50,000,000,000 bytes"):
        find_model("someone/lesions")


def test_without_the_hub_what_was_fetched_before_is_used(folder, monkeypatch):
    def snapshot_download(repo_id, revision, allow_patterns, dry_run=False):
        if dry_run:
            raise DryRunError("the Hub is out of reach")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert find_model("someone/lesions").revision == "someone/lesions@tiny"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RepositoryNotFoundError, "The Hub has no repository someone/lesions"),
        (RevisionNotFoundError, "has no revision v2"),
        (OSError, "could not be fetched from the Hub"),
    ],
)
def test_what_the_hub_refuses_is_said_plainly(monkeypatch, error, reason):
    def snapshot_download(*_, **__):
        raise error.__new__(error)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match=reason):
        find_model("someone/lesions@v2")
