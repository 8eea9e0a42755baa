"""The model that ships: whole, small, measured, and the same on every engine."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skin_gradio.classifier import Classifier
from skin_gradio.engines import OUTPUTS, open_engine
from skin_gradio.images import read_picture
from skin_gradio.models import BUNDLED, DEFAULT_MODEL, FILES, ModelError, bundled_models, find_bundled, find_model

ROOT = Path(__file__).parent.parent
MOST_BYTES = {DEFAULT_MODEL: 10_000_000, "cnn_94": 5_000_000, "cnn_binary": 5_000_000}
FLOORS = {"cnn_94": (0.55, 0.90), "cnn_binary": (0.75, 0.84)}
"""Least BACC at equal priors and macro AUROC of the small networks from scratch; the others' are in the test."""
SCRIPT = """
import sys, numpy as np
from skin_gradio.engines import OUTPUTS, open_engine
from skin_gradio.models import find_model
engine = open_engine(find_model(), "keras")
outputs = engine.run(np.load(sys.argv[1]))
np.savez(sys.argv[2], engine=engine.name, **{name: getattr(outputs, name) for name in OUTPUTS})
"""


@pytest.fixture(scope="module")
def model():
    return find_model()


@pytest.fixture(scope="module")
def pictures():
    """Smooth random pictures: like skin in that neighbouring pixels are alike."""
    from PIL import Image

    rng = np.random.default_rng(0)
    small = rng.integers(40, 230, (6, 5, 5, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((224, 224), Image.Resampling.BICUBIC)) for p in small])


@pytest.mark.training
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_keras_answers_as_onnx_runtime_does(model, pictures, backend, tmp_path):
    np.save(tmp_path / "pictures.npy", pictures)
    subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "pictures.npy", tmp_path / "answers.npz"],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT,
        check=True,
    )
    answers, onnx = np.load(tmp_path / "answers.npz"), open_engine(model, "onnx").run(pictures)
    assert answers["engine"] == f"keras-{backend}"
    np.testing.assert_allclose(answers["probabilities"], onnx.probabilities, atol=1e-4)
    for name in OUTPUTS[1:]:
        np.testing.assert_allclose(answers[name], getattr(onnx, name), atol=1e-3)


def test_one_picture_is_answered_as_it_is_among_others(model, pictures):
    classifier = Classifier(model, open_engine(model, "onnx"))
    together = classifier.classify(pictures)
    for picture, finding in zip(pictures, together, strict=True):
        alone = classifier.classify(picture[None])[0]
        np.testing.assert_allclose(alone.probabilities, finding.probabilities, atol=1e-5)


def test_a_finding_follows_the_prior_and_its_score_does_not(model, pictures):
    classifier = Classifier(model, open_engine(model, "onnx"))
    given, equal = classifier.classify(pictures), classifier.classify(pictures, prior="equal")
    for a, b in zip(given, equal, strict=True):
        expected = a.probabilities / np.array(model.prior)
        np.testing.assert_allclose(b.probabilities, expected / expected.sum(), atol=1e-6)
        assert a.malignancy_score == b.malignancy_score
        assert a.probabilities.sum() == pytest.approx(1)
        assert a.top == model.codes[a.probabilities.argmax()]
        assert a.heatmap(a.top).shape == a.heatmaps.shape[:2]


@pytest.mark.parametrize("shape", [(224, 224, 3), (1, 100, 100, 3), (1, 224, 224, 4)])
def test_pictures_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match="pictures must be uint8"):
        Classifier(model, open_engine(model, "onnx")).classify(np.zeros(shape, np.uint8))


@pytest.fixture(params=bundled_models())
def shipped(request):
    """Each model that comes with the project."""
    return find_bundled(request.param)


def test_every_shipped_file_is_small_enough_for_plain_git(shipped):
    most = MOST_BYTES.get(shipped.name, 50_000_000)
    for name in FILES:
        assert shipped.file(name).stat().st_size < most


@pytest.mark.training
def test_every_shipped_model_answers_alike_on_keras_and_onnx_runtime(shipped, pictures):
    from training.batches import resize_all

    own_size = resize_all(pictures[:2], shipped.input_size)
    answers = [open_engine(shipped, name).run(own_size) for name in ("onnx", "keras")]
    np.testing.assert_allclose(answers[1].probabilities, answers[0].probabilities, atol=1e-4)


def test_the_shipped_figures_reach_the_floor(shipped):
    figures = shipped.card["metrics"]["figures"]
    balanced_accuracy, macro_auroc = FLOORS.get(shipped.name, (0.70, 0.92))
    assert figures["equal_balanced_accuracy"]["value"] >= balanced_accuracy
    assert figures["equal_macro_auroc"]["value"] >= macro_auroc
    assert figures["expected_calibration_error"]["value"] <= 0.05
    assert all(f["low"] <= f["value"] <= f["high"] for n, f in figures.items() if "calibration_error" not in n)


def test_every_shipped_model_keeps_the_promises_of_the_page(shipped):
    """Doubts about what is no dermatoscopic picture, a careful answer, prediction sets."""
    unseen = shipped.card["gate"]["unseen_photographs"]
    assert unseen["refused"] >= 0.9 * unseen["pictures"] > 100
    assert shipped.card["views"]["count"] == 8
    assert [one["coverage"] for one in shipped.card["prediction_sets"]] == [0.9, 0.95]


def test_the_card_is_the_one_that_model_json_makes(shipped):
    from training import card

    assert shipped.file("README.md").read_text(encoding="utf-8") == card.model_card(shipped.card)


def test_the_readme_shows_the_figures_of_the_shipped_model(model):
    from training import card

    assert card.figures_section(model.card) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not os.environ.get("HAM10000_DIR"), reason="HAM10000_DIR does not name a copy of HAM10000")
def test_the_shipped_figures_are_those_of_the_test_split(model):
    from training import collection, evaluate, measure

    source = collection.load("ham10000")
    given = evaluate.answers(model, open_engine(model, "onnx"), source.part("test"))
    assert not given.unreadable
    measured = measure.measure(measure.answer_sheet(model, source, given.table, given.probabilities), repeats=2)
    assert set(measured["figures"]) == set(model.card["metrics"]["figures"])
    for name, figure in measured["figures"].items():
        assert figure["value"] == pytest.approx(model.card["metrics"]["figures"][name]["value"], abs=2e-3), name
    assert model.card["metrics"]["counts"] == measured["counts"]


@pytest.mark.skipif(
    not os.environ.get("HAM10000_ORIGINALS_DIR"), reason="HAM10000_ORIGINALS_DIR does not name the 600 x 450 originals"
)
@pytest.mark.skipif(not os.environ.get("HAM10000_DIR"), reason="HAM10000_DIR does not name a copy of HAM10000")
def test_originals_are_answered_nearly_as_their_small_copies(model):
    classifier = Classifier(model, open_engine(model, "onnx"))
    copies = {path.name: path for path in Path(os.environ["HAM10000_DIR"]).rglob("*.jpg")}
    originals = sorted(Path(os.environ["HAM10000_ORIGINALS_DIR"]).glob("*.jpg"))
    shown = [read_picture(path).resized(classifier.input_size) for path in originals]
    small = [read_picture(copies[path.name]).resized(classifier.input_size) for path in originals]
    gaps = [
        np.abs(a.probabilities - b.probabilities).sum() / 2
        for a, b in zip(classifier.classify(shown), classifier.classify(small), strict=True)
    ]
    assert np.median(gaps) < 0.1


def test_a_broken_graph_is_a_clear_error(model, tmp_path):
    from dataclasses import replace

    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened"):
        open_engine(replace(model, path=tmp_path), "onnx")


def test_a_call_beside_others_gives_the_same_answer(model, pictures):
    engine = open_engine(model, "onnx")
    beside = engine.beside_others()
    assert beside is not engine
    assert beside is engine.beside_others() is beside.beside_others()
    together = engine.run(pictures).probabilities
    alone = np.concatenate([beside.run(picture[None]).probabilities for picture in pictures])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_call_that_finds_another_one_running_keeps_to_one_core(model, pictures):
    engine, used = open_engine(model, "onnx"), []
    begun, may_end = threading.Event(), threading.Event()

    class Watched:
        def __init__(self, cores, session):
            self.cores, self.session = cores, session

        def run(self, *arguments):
            used.append(self.cores)
            if len(used) == 1:
                begun.set()
                assert may_end.wait(30)
            return self.session.run(*arguments)

    beside = engine.beside_others()
    engine._session, beside._session = Watched("all", engine._session), Watched("one", beside._session)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(engine.run, pictures)
        assert begun.wait(30)
        second = engine.run(pictures)
        may_end.set()
        np.testing.assert_allclose(second.probabilities, first.result().probabilities, atol=1e-6)
    engine.run(pictures)
    assert used == ["all", "one", "all"]


def test_a_graph_that_was_replaced_meanwhile_is_not_mixed_with_the_one_that_is_open(model, tmp_path):
    from dataclasses import replace

    for name in ("model.onnx", "model.json"):
        shutil.copy(model.file(name), tmp_path / name)
    engine = open_engine(replace(model, path=tmp_path), "onnx")
    (tmp_path / "model.onnx").write_bytes(b"another graph")
    assert engine.beside_others() is engine


def test_the_app_path_imports_neither_keras_nor_a_backend():
    script = (
        "import sys; import app; from skin_gradio.models import find_model;"
        "from skin_gradio.engines import open_engine; open_engine(find_model());"
        "heavy = {'keras', 'tensorflow', 'jax', 'sklearn', 'matplotlib', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_model_json_is_what_the_folder_was_measured_and_trained_with(model):
    training = json.loads((BUNDLED / "mobilenet_v2" / "model.json").read_text())["training"]
    assert {"experiment", "data_fingerprint", "versions", "backend", "seconds", "hardware"} <= set(training)


@pytest.mark.training
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_keras_answers_several_threads_at_once(backend):
    script = (
        "import numpy as np; from concurrent.futures import ThreadPoolExecutor;"
        "from skin_gradio.engines import open_engine; from skin_gradio.models import find_model;"
        "engine = open_engine(find_model(), 'keras'); blank = np.zeros((1, 224, 224, 3), np.uint8);"
        "answers = list(ThreadPoolExecutor(4).map(lambda _: engine.run(blank).probabilities, range(16)));"
        "assert np.ptp(np.stack(answers), axis=0).max() < 1e-6"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "KERAS_BACKEND": backend}, cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input_size": 192}, "cannot answer a 192 x 192 picture"),
        ({"codes": ("mel", "nv"), "prior": (0.3, 0.7)}, "do not fit the 2 classes"),
    ],
)
def test_a_graph_that_is_not_what_its_model_json_says_is_refused(model, changes, reason):
    from dataclasses import replace

    with pytest.raises(ModelError, match=reason):
        open_engine(replace(model, **changes), "onnx")
