"""Publishing against a stand-in for the Hub (tests/hub.py) with the real client."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard

from skin_gradio.engines import Outputs
from skin_gradio.models import BUNDLED, FILES, ModelError, find_model, read_folder, sha256
from tests.hub import Fault, Hub
from training import card, publish
from training.command import UserError
from training.publish import PublishCommand, PublishError
from training.space import SOURCE

ROOT = Path(__file__).parent.parent.parent
EXPORTED = "2026-11-21"
TAG = f"v{EXPORTED}"
REPOSITORY = "ada/lesions"


def write_tiny_graph(path):
    """A graph of the contract's form in a few hundred bytes: probabilities from the mean colour."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    constants = {
        "weights": rng.normal(size=(3, 7)).astype(np.float32),
        "scale": np.array(255, np.float32),
        "axes": np.array([1, 2], np.int64),
        "map_shape": np.array([0, 1, 1, 7], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["embedding"], keepdims=0),
        helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Reshape", ["logits", "map_shape"], ["heatmaps"]),
    ]
    shapes = {"probabilities": ["n", 7], "heatmaps": ["n", 1, 1, 7], "embedding": ["n", 3]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def write_model(folder, **changes):
    """A small model folder that the ONNX engine opens; its model.keras is noise, which nothing here reads."""
    folder.mkdir(parents=True)
    write_tiny_graph(folder / "model.onnx")
    (folder / "model.keras").write_bytes(np.random.default_rng(1).bytes(300_000))
    document = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text(encoding="utf-8"))
    sums = {name: sha256(folder / name) for name in ("model.keras", "model.onnx")}
    training = document["training"] | {"exported": EXPORTED}
    document |= {"name": "tiny", "input_size": 32, "sha256": sums, "training": training, **changes}
    del document["gate"]  # it weighs the shipped network's features
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "README.md").write_text(card.model_card(document), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "tiny")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with Hub() as hub:
        hub.use(monkeypatch, tmp_path / "home", token="secret")
        yield hub


def command(folder, repository=REPOSITORY, **options):
    return PublishCommand(str(folder), repository, **{"timeout": 20, **options})


def held(hub, name=REPOSITORY, kind="model", revision="main"):
    """What a repository holds besides what the Hub itself puts there, None where there is no repository."""
    repository = hub.repositories.get((kind, name))
    if repository is None:
        return None
    return {path: content for path, content in repository.files(revision).items() if path != ".gitattributes"}


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def sent(hub):
    """Whether any file, commit or tag was sent."""
    return any(method == "PUT" or "/commit/" in path or "/tag/" in path for method, path in hub.requests)


def refusal(wanted):
    """The one line that a command ends with."""
    with pytest.raises((UserError, ModelError)) as error:
        publish.publish(wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


# The whole command, in a process of its own


def test_the_command_publishes_the_bundled_model_and_the_hub_gives_it_back(tmp_path):
    with Hub() as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home", token="secret")}
        run = [sys.executable, "-m", "training.publish", "mobilenet_v2", REPOSITORY, "--tag", "v1"]
        done = subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"published as v1; open it with: python app.py --model {REPOSITORY}@v1" in done.stdout
        repository = hub.repositories["model", REPOSITORY]
        assert held(hub) == bytes_of(BUNDLED / "mobilenet_v2")
        assert repository.private
        assert repository.messages == ["initial commit", "Publish mobilenet_v2 as v1"]
        assert repository.tags == {"v1": repository.branches["main"]}
        loaded = subprocess.run(
            [sys.executable, "-c", f"import app; print(app.find_model('{REPOSITORY}@v1').revision)"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert loaded.stdout.strip() == f"{REPOSITORY}@{repository.branches['main']}"


def test_the_command_says_in_one_line_what_is_wrong_and_ends_with_status_2(folder, tmp_path):
    with Hub() as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home")}
        run = [sys.executable, "-m", "training.publish", str(folder), REPOSITORY]
        done = subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {REPOSITORY}: there is no Hugging Face token.")
    assert "Traceback" not in done.stderr


def test_publishing_needs_no_keras():
    script = (
        "import sys, training.publish, training.space;"
        "assert not {'keras', 'tensorflow', 'jax', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


# What is published


def test_a_model_is_published_privately_in_one_commit_with_the_date_of_its_export_as_tag(hub, folder):
    commit = publish.publish(command(folder))
    repository = hub.repositories["model", REPOSITORY]
    assert held(hub) == bytes_of(folder)
    assert repository.private
    assert len(repository.commits) == 2
    assert repository.tags == {TAG: commit}


def test_public_makes_a_new_repository_public(hub, folder):
    publish.publish(command(folder, public=True))
    assert not hub.repositories["model", REPOSITORY].private


def test_an_organisation_that_the_user_writes_to_can_be_published_to(hub, folder):
    hub.organizations["ada"] = ["ward"]
    publish.publish(command(folder, "ward/lesions"))
    assert held(hub, "ward/lesions") == bytes_of(folder)


def test_the_same_command_twice_changes_nothing_the_second_time(hub, folder):
    first = publish.publish(command(folder))
    hub.requests.clear()
    assert publish.publish(command(folder)) == first
    assert not sent(hub)


def test_a_new_version_is_one_more_commit_and_leaves_other_files_alone(hub, folder, tmp_path):
    hub.add(REPOSITORY, {**bytes_of(folder), "notes.txt": b"kept"}, private=True, tags=["v1"])
    newer = write_model(tmp_path / "newer", task="another sentence")
    publish.publish(command(newer, tag="v2"))
    repository = hub.repositories["model", REPOSITORY]
    assert held(hub) == {**bytes_of(newer), "notes.txt": b"kept"}
    assert held(hub, revision="v1")["model.json"] == (folder / "model.json").read_bytes()
    assert len(repository.commits) == 2
    assert not any(method == "PUT" for method, _ in hub.requests), "unchanged large files are not sent again"


def test_a_tag_of_other_files_is_refused_before_anything_is_sent(hub, folder, tmp_path):
    publish.publish(command(folder, tag="v1"))
    newer = write_model(tmp_path / "newer", task="another sentence")
    hub.requests.clear()
    assert "has the tag v1 already" in (said := refusal(command(newer, tag="v1")))
    assert "model.json differ" in said
    assert "--tag" in said
    assert not sent(hub)
    assert held(hub) == bytes_of(folder)


@pytest.mark.parametrize(
    ("private", "public", "reason"),
    [(True, True, "exists and is private"), (False, False, "exists and is public")],
)
def test_the_visibility_of_a_repository_that_exists_is_never_changed(hub, folder, private, public, reason):
    hub.add(REPOSITORY, {}, private=private)
    assert reason in refusal(command(folder, public=public))
    assert hub.repositories["model", REPOSITORY].private == private
    assert held(hub) == {}


def test_a_repository_of_something_else_is_not_overwritten(hub, folder):
    hub.add(REPOSITORY, {"README.md": b"my thesis", "thesis.pdf": b"%PDF"}, private=True)
    assert "holds something else" in refusal(command(folder))
    assert held(hub) == {"README.md": b"my thesis", "thesis.pdf": b"%PDF"}


# What is refused before the Hub is asked


def test_a_damaged_folder_is_not_published(hub, folder):
    (folder / "model.onnx").write_bytes(b"changed")
    assert "model.onnx is damaged or was changed" in refusal(command(folder))
    assert hub.requests == []


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lacks_a_file_is_not_published(hub, folder, name):
    (folder / name).unlink()
    assert name in refusal(command(folder))
    assert hub.requests == []


def test_a_card_with_other_figures_is_refused_until_it_is_written_again(hub, folder):
    readme = folder / "README.md"
    made = readme.read_text(encoding="utf-8")
    readme.write_text(re.sub(r"0\.\d{3} \(", "0.999 (", made, count=1), encoding="utf-8")
    assert "is not the card that model.json makes" in refusal(command(folder))
    assert hub.requests == []
    publish.publish(command(folder, rewrite_card=True))
    assert held(hub)["README.md"].decode() == made


@pytest.mark.parametrize(
    "name",
    ["lesions", "", "ada/", "ada/les ions", "ada/a/b", "https://huggingface.co/ada/lesions", "ada/-x", "ada/x.git"],
)
def test_a_name_that_no_repository_can_have_is_refused(hub, folder, name):
    said = refusal(command(folder, name))
    assert repr(name) in said
    assert hub.requests == []


@pytest.mark.parametrize("tag", ["v 1", "main", "-v1", "a/b", "0123456789abcdef0123456789abcdef01234567"])
def test_a_tag_that_cannot_name_a_revision_is_refused(hub, folder, tag):
    assert repr(tag) in refusal(command(folder, tag=tag))
    assert hub.requests == []


@pytest.mark.parametrize("name", ["nowhere", REPOSITORY, ""])
def test_only_a_folder_can_be_published(hub, name):
    assert "neither a model folder nor a bundled model" in refusal(command(name))


# What the Hub refuses


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("GET", "whoami", status=401), "does not accept the token: log in"),
        (Fault("GET", "whoami", status=429, headers={"Retry-After": "42"}), "wait 42 seconds"),
        (
            Fault("POST", "repos/create", status=429, headers={"RateLimit": '"api";r=0;t=77'}),
            "wait 77 seconds",
        ),
        (Fault("POST", "repos/create", status=404, message="no such namespace"), r"404 .*no such namespace.*Check the"),
        (Fault("POST", "repos/create", status=409, message="exists"), "It exists already"),
        (Fault("POST", "repos/create", status=402), "plan does not include"),
        (Fault("GET", "api/models/", status=503), "503 while looking .* trouble of its own"),
        (Fault("POST", "preupload", status=500), "500 while sending the files"),
        (Fault("POST", "objects/batch", status=403), "403 while sending the files.* write access to ada"),
        (
            Fault("PUT", "", status=403, message="expired"),
            r"uploading 'model\.\w+' to the Hub. The storage answered 403",
        ),
        (Fault("PUT", "", cut=True), "the connection broke off while sending the files"),
        (Fault("POST", "lfs/verify", status=404), "The storage answered 404"),
        (Fault("POST", "validate-yaml", status=400), "making the commit failed: Invalid metadata in README.md"),
        (Fault("POST", "/commit/", status=412), "412 .*changed the repository in the meantime"),
        (Fault("POST", "/commit/", status=409), "409 while making the commit"),
    ],
)
def test_what_goes_wrong_is_said_plainly_and_nothing_is_published(hub, folder, fault, reason):
    hub.faults.append(fault)
    said = refusal(command(folder))
    assert re.search(reason, said), said
    assert said.startswith(f"{REPOSITORY}: ")
    assert "Nothing was published" in said
    assert not held(hub)
    assert (("model", REPOSITORY) not in hub.repositories) or not hub.repositories["model", REPOSITORY].tags


def test_without_a_token_the_user_is_told_to_log_in(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    assert "there is no Hugging Face token. Log in with `hf auth login`" in refusal(command(folder))
    assert hub.requests == []


def test_a_token_that_the_hub_does_not_know_is_refused(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "outdated")
    assert "401" in (said := refusal(command(folder)))
    assert "HF_TOKEN" in said


@pytest.mark.parametrize("name", ["grace/lesions", REPOSITORY])
def test_a_token_that_may_not_write_there_is_refused_by_name(hub, folder, name):
    if name == REPOSITORY:
        hub.read_only.add("secret")
    assert f"write access to {name.split('/')[0]}" in refusal(command(folder, name))
    assert held(hub, name) is None


def test_a_hub_that_is_not_there_is_named(hub, folder):
    hub.stop()
    assert f"cannot be reached at {hub.url}" in refusal(command(folder))
    hub.start()


def test_a_hub_that_does_not_know_the_clients_newer_transport_is_named(hub, folder, monkeypatch):
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    if int(huggingface_hub.__version__.split(".")[0]) < 2:
        pytest.skip("huggingface_hub 1 asks which transport the Hub knows")
    assert "HF_HUB_DISABLE_XET=1. Nothing was published" in refusal(command(folder))
    assert not held(hub)


def test_offline_mode_is_named(hub, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal(command(folder))


def test_a_hub_that_does_not_answer_is_given_up(hub, folder):
    hub.faults.append(Fault("POST", "repos/create", hang=True))
    said = refusal(command(folder, timeout=0.5))
    assert "did not answer in time while creating the repository" in said
    assert "--timeout" in said


def test_a_commit_whose_answer_was_lost_is_found_again_by_the_same_command(hub, folder):
    hub.faults.append(Fault("POST", "/commit/", cut=True))
    assert "Whether the commit was made is not known. Run the command again" in refusal(command(folder))
    hub.faults.clear()
    commit = publish.publish(command(folder))
    assert hub.repositories["model", REPOSITORY].tags == {TAG: commit}


def test_an_upload_that_fails_once_is_tried_again(hub, folder):
    hub.faults.append(Fault("PUT", "", status=503, times=1))
    publish.publish(command(folder))
    assert held(hub) == bytes_of(folder)


def test_somebody_elses_commit_in_between_is_not_overwritten(hub, folder, monkeypatch):
    hub.add(REPOSITORY, {}, private=True)
    push = publish.hub.push

    def late(*arguments, **options):
        hub.repositories["model", REPOSITORY].commit({"other.txt": b"theirs"}, "theirs")
        return push(*arguments, **options)

    monkeypatch.setattr(publish.hub, "push", late)
    assert "in the meantime" in refusal(command(folder))
    assert held(hub) == {"other.txt": b"theirs"}


# What does not come back as it was sent


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("GET", "signed", corrupt=True), "is damaged or was changed"),
        (Fault("GET", r"resolve/.*/README\.md", corrupt=True), r"its README\.md is not the one that was sent"),
        (Fault("GET", r"resolve/.*/model\.json", cut=True), "was not seen to load back"),
        (Fault("HEAD", "resolve/", status=500), "was not seen to load back"),
    ],
)
def test_a_revision_that_does_not_load_back_gets_no_tag_until_it_does(hub, folder, fault, reason):
    hub.faults.append(fault)
    said = refusal(command(folder))
    repository = hub.repositories["model", REPOSITORY]
    assert re.search(reason, said), said
    assert f"the commit {repository.branches['main']} is on the Hub, in `main` and without a tag" in said
    assert repository.tags == {}
    hub.faults.clear()
    commit = publish.publish(command(folder))
    assert repository.tags == {TAG: commit}


def test_a_published_tag_that_no_longer_loads_back_is_named(hub, folder):
    publish.publish(command(folder))
    hub.faults.append(Fault("GET", "signed", corrupt=True))
    assert f"is on the Hub, as {TAG}, but was not seen to load back" in refusal(command(folder))


def test_the_last_good_revision_is_named_when_a_newer_one_does_not_load_back(hub, folder, tmp_path):
    good = publish.publish(command(folder))
    hub.faults.append(Fault("GET", "signed", corrupt=True))
    said = refusal(command(write_model(tmp_path / "newer", task="another sentence"), tag="v2"))
    assert f"{REPOSITORY}@{good} is what was there before" in said


def test_a_tag_that_could_not_be_set_is_set_by_the_same_command(hub, folder):
    hub.faults.append(Fault("POST", "/tag/", status=500, times=1))
    assert "loads back, but has no tag. Run the command again." in refusal(command(folder))
    publish.publish(command(folder))
    assert list(hub.repositories["model", REPOSITORY].tags) == [TAG]


def test_other_probabilities_from_the_same_files_are_noticed(folder, monkeypatch):
    model = read_folder(folder)
    answers = iter([0.5, 0.5 + 2e-6])

    class Drifting:
        def run(self, pictures):
            probabilities = np.full((len(pictures), 7), next(answers))
            return Outputs(probabilities, probabilities, probabilities)

    monkeypatch.setattr(publish, "open_engine", lambda *_: Drifting())
    with pytest.raises(PublishError, match=r"probabilities differ from the local ones by up to 2\.0e-06"):
        publish.compare(model, model)


# The Space


def test_a_space_holds_the_app_and_names_the_model(hub, folder):
    commit = publish.publish(command(folder, public=True))
    publish.publish_space(command(REPOSITORY, "ada/page", space=True))
    space, files = hub.repositories["space", "ada/page"], held(hub, "ada/page", "space")
    assert space.private
    assert space.sdk == "gradio"
    assert len(space.commits) == 2
    assert space.variables["SKIN_MODEL"]["value"] == f"{REPOSITORY}@{commit}"
    for name in ("app.py", "requirements.txt", "LICENSE", "skin_gradio/ui/page.py", "skin_gradio/ui/style.css"):
        assert files[name] == (SOURCE / name).read_bytes()
    assert not any(path.startswith(("training", "tests", "weights")) or "__pycache__" in path for path in files)
    header = ModelCard(files["README.md"].decode()).data.to_dict()
    assert (header["sdk"], header["app_file"], header["models"]) == ("gradio", "app.py", [REPOSITORY])


def test_the_app_in_a_space_opens_the_model_that_the_space_names(hub, folder, tmp_path):
    publish.publish(command(folder, public=True, tag="v1"))
    publish.publish_space(command(f"{REPOSITORY}@v1", "ada/page", space=True))
    for path, content in held(hub, "ada/page", "space").items():
        (tmp_path / "space" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / path).write_bytes(content)
    name = hub.repositories["space", "ada/page"].variables["SKIN_MODEL"]["value"]
    assert name == f"{REPOSITORY}@v1"
    script = "import app; print(app.open_classifier(app.command_from_environment()).model.revision)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **hub.environment(tmp_path / "fresh"), "SKIN_MODEL": name, "PYTHONPATH": ""},
        cwd=tmp_path / "space",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{REPOSITORY}@{hub.repositories['model', REPOSITORY].tags['v1']}"


def test_a_local_model_travels_inside_the_space(hub, folder, tmp_path):
    publish.publish_space(command(folder, "ada/page", space=True))
    files = held(hub, "ada/page", "space")
    assert {name: files[f"weights/tiny/{name}"] for name in FILES} == bytes_of(folder)
    assert hub.repositories["space", "ada/page"].variables["SKIN_MODEL"]["value"] == "tiny"


def test_a_newer_app_replaces_the_older_one_in_one_commit_and_names_the_new_model(hub, folder):
    hub.add("ada/page", {"skin_gradio/gone.py": b"", "weights/old/model.onnx": b"", "notes.txt": b""}, kind="space")
    hub.repositories["space", "ada/page"].variables["SKIN_MODEL"] = {"key": "SKIN_MODEL", "value": "old"}
    publish.publish_space(command(folder, "ada/page", space=True, public=True))
    files, space = held(hub, "ada/page", "space"), hub.repositories["space", "ada/page"]
    assert not {"skin_gradio/gone.py", "weights/old/model.onnx"} & set(files)
    assert {"notes.txt", "app.py", "weights/tiny/model.onnx"} <= set(files)
    assert len(space.commits) == 2
    assert space.variables["SKIN_MODEL"]["value"] == "tiny"


def test_a_space_with_a_private_model_says_what_it_needs(hub, folder, capsys):
    publish.publish(command(folder))
    publish.publish_space(command(REPOSITORY, "ada/page", space=True))
    assert f"{REPOSITORY} is private: the Space starts once its secret HF_TOKEN may read it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("ada/nothing", {}, "The Hub has no repository ada/nothing"),
        ("nowhere", {}, "There is no model 'nowhere'"),
        ("tiny", {"tag": "v1"}, "a Space has none"),
    ],
)
def test_a_space_that_could_not_work_is_not_published(hub, model, options, reason):
    with pytest.raises((UserError, ModelError), match=reason):
        publish.publish_space(command(model, "ada/page", space=True, **options))
    assert held(hub, "ada/page", "space") is None


def test_a_space_of_something_else_is_not_overwritten(hub, folder):
    hub.add("ada/page", {"app.py": b"import streamlit"}, kind="space", private=True)
    with pytest.raises(UserError, match="holds something else"):
        publish.publish_space(command(folder, "ada/page", space=True))
    assert held(hub, "ada/page", "space") == {"app.py": b"import streamlit"}


def test_a_space_whose_variable_could_not_be_set_says_so(hub, folder):
    hub.add("ada/page", {}, kind="space", private=True)
    hub.faults.append(Fault("POST", "variables", status=403))
    with pytest.raises(UserError, match="its variable SKIN_MODEL is not tiny"):
        publish.publish_space(command(folder, "ada/page", space=True))


# The card


def test_the_card_of_the_shipped_model_is_valid_for_the_hub():
    data = ModelCard.load(BUNDLED / "mobilenet_v2" / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("keras", "image-classification", "cc-by-nc-4.0")
    assert data.datasets == ["ham10000", "isic2017"]
    figures = find_model("mobilenet_v2").card["metrics"]["figures"]
    results = {result.metric_name: result for result in data.eval_results}
    balanced = results["Balanced accuracy (equal priors)"]
    assert balanced.metric_value == pytest.approx(figures["equal_balanced_accuracy"]["value"], abs=1e-4)
    assert (balanced.dataset_type, balanced.dataset_split) == ("ham10000", "test")
    assert data.model_name == "mobilenet_v2"


def test_a_card_names_the_users_own_collection_without_the_folder_it_lies_in():
    document = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text(encoding="utf-8"))
    document["training"]["experiment"]["collections"] = ["isic2017", "/home/ada/My: moles", "2017"]
    data = ModelCard(card.model_card(document)).data
    assert data.datasets == ["isic2017", "my--moles", "2017"]
    assert "/home/ada" not in card._metadata(document)
