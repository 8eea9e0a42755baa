import csv
import dataclasses
import importlib.util
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from skin_gradio import lesions
from tests.training import tiny
from training import search_space, study_results, tune
from training.collection import DatasetError
from training.command import UserError
from training.experiment import Augmentation, Experiment, Stage
from training.fit import read_progress
from training.search_space import SearchError
from training.study import Search, StudyError, open_study
from training.train import load_experiments
from training.trials import make_trials

pytestmark = pytest.mark.training

EXPERIMENT = replace(tiny.EXPERIMENT, stages=(Stage(size=24, epochs=3),), best_metric="loss")
SEARCHED = ("peak_learning_rate", "dropout")


def search(folder, trials, **options):
    return Search(**{"search": SEARCHED, "trials": trials, "output": Path(folder), **options})


def run(folder, trials, experiment=EXPERIMENT, data="generated", **options):
    from training import networks

    networks.BACKBONES["tiny"] = tiny.TinyBackbone()
    options = search(folder, trials, **options)
    return make_trials(experiment, options, lesions.CODES, tiny.examples(), {"tiny": tiny.examples(6)}, data)


def trial_folder(folder, number):
    return Path(folder) / "tune" / "tiny" / f"trial-{number:04d}"


def states(study):
    return [trial.state.name for trial in study.trials]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A study of two trials and the folder it is in."""
    folder = tmp_path_factory.mktemp("two")
    return run(folder, 2), folder


@pytest.fixture
def untrained(monkeypatch):
    """Trials end at once, with a score that follows from their values."""
    from training import fit

    def instead(experiment, *_):
        return fit.Progress("", best_score=-abs(experiment.dropout - 0.2))

    monkeypatch.setattr(fit, "fit", instead)


def test_a_study_has_as_many_trials_as_asked_for_and_starts_with_the_experiments_own_values(two):
    study, _ = two
    assert states(study) == ["COMPLETE"] * 2
    assert study.trials[0].params == {"peak_learning_rate": 5e-3, "dropout": 0.3}
    assert study.trials[1].params != study.trials[0].params


def test_a_trials_score_is_that_of_its_best_epoch_and_its_folder_keeps_the_history_alone(two):
    study, folder = two
    for trial in study.trials:
        losses = [row["validation_loss"] for row in read_progress(trial_folder(folder, trial.number)).history]
        assert trial.intermediate_values == dict(zip((1, 2, 3), losses, strict=True))
        assert trial.value == min(losses)
        assert (trial_folder(folder, trial.number) / "history.csv").exists()
        assert not list(trial_folder(folder, trial.number).glob("*.h5"))
    assert study.best_value == min(trial.value for trial in study.trials)


def test_a_search_started_again_makes_only_the_trials_that_lack(tmp_path, untrained):
    before = run(tmp_path, 2).trials
    assert run(tmp_path, 2).trials == before
    after = run(tmp_path, 3).trials
    assert after[:2] == before
    assert len(after) == 3


def test_the_same_seed_tries_the_same_values_and_another_one_others(tmp_path, untrained):
    first, same, other = (
        [trial.params for trial in run(tmp_path / name, 3, sampler_seed=seed).trials]
        for name, seed in (("first", 1), ("same", 1), ("other", 2))
    )
    assert first == same
    assert first[1:] != other[1:]
    assert len({values["dropout"] for values in first}) == 3


def test_a_trial_that_falls_behind_the_others_is_pruned(tmp_path):
    import optuna

    study = open_study(EXPERIMENT, search(tmp_path, 6, first_prune=2), "generated")
    ranges = {name: search_space.SPACE[name] for name in SEARCHED}
    others = {
        "params": {"peak_learning_rate": 1e-3, "dropout": 0.2},
        "distributions": {
            name: optuna.distributions.FloatDistribution(asked.low, asked.high, asked.log)
            for name, asked in ranges.items()
        },
    }
    for _ in range(5):
        study.add_trial(optuna.create_trial(**others, value=0.1, intermediate_values={1: 0.3, 2: 0.2, 3: 0.1}))
    study = run(tmp_path, 6, first_prune=2)
    assert states(study) == ["PRUNED"] + ["COMPLETE"] * 5
    assert list(study.trials[0].intermediate_values) == [1, 2]
    assert not list(trial_folder(tmp_path, 0).glob("*.h5"))


def test_a_trial_that_diverges_is_pruned_and_the_search_goes_on(tmp_path, monkeypatch):
    space = {**search_space.SPACE, "peak_learning_rate": search_space.Numbers("peak_learning_rate", 1e30, 1e35)}
    monkeypatch.setattr(search_space, "SPACE", space)
    study = run(tmp_path, 1, search=("peak_learning_rate",))
    assert states(study) == ["PRUNED"]
    with pytest.raises(StudyError, match="no trial of tiny ran to its end"):
        tune.finish(study, EXPERIMENT, search(tmp_path, 1), [])


def start(folder, trials, lost_after=60):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.test_tune", str(folder), str(trials), str(lost_after)],
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_workers_share_one_study(tmp_path):
    workers = [start(tmp_path, 5) for _ in range(2)]
    printed = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    study = open_study(EXPERIMENT, search(tmp_path, 5), "generated")
    finished = study_results.finished(study)
    assert len(finished) == 5
    assert len({trial.number for trial in finished}) == 5
    assert len({trial.params["dropout"] for trial in finished}) == 5
    made = [set(re.findall(r"^trial (\d+): loss", text, re.MULTILINE)) for text, _ in printed]
    assert made[0] | made[1] == {str(trial.number) for trial in finished}
    assert not made[0] & made[1]
    assert all(made), "one worker made all trials"


def test_the_trial_of_a_killed_worker_is_made_again_from_its_last_epoch(tmp_path):
    worker = start(tmp_path, 2, lost_after=2)
    for line in worker.stdout:
        if line.startswith("epoch 2/"):
            break
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert states(open_study(EXPERIMENT, search(tmp_path, 2), "generated"))[0] == "RUNNING"
    worker = start(tmp_path, 2, lost_after=2)
    printed, errors = worker.communicate()
    assert worker.returncode == 0, errors
    study = open_study(EXPERIMENT, search(tmp_path, 2), "generated")
    assert states(study)[0] == "FAIL"
    assert len(study_results.finished(study)) == 2
    again = next(trial for trial in study.trials[1:] if trial.params == study.trials[0].params)
    assert sorted(again.intermediate_values) == [1, 2, 3]
    assert printed.count("epoch 1/") == 1, "the lost trial was not gone on with"
    assert not trial_folder(tmp_path, 0).exists()


def test_an_interrupted_trial_is_gone_on_with(tmp_path, monkeypatch, capsys):
    from training import fit

    whole = fit.fit

    def interrupted(*arguments):
        *rest, on_epoch = arguments

        def stop(row):
            on_epoch(row)
            raise KeyboardInterrupt

        return whole(*rest, stop)

    monkeypatch.setattr(fit, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1)
    monkeypatch.setattr(fit, "fit", whole)
    capsys.readouterr()
    study = run(tmp_path, 1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params
    assert sorted(study.trials[1].intermediate_values) == [1, 2, 3]
    assert "epoch 1/" not in capsys.readouterr().out


def test_a_worker_that_was_only_slow_leaves_its_trial_to_the_one_that_took_over(tmp_path, monkeypatch, capsys):
    import optuna

    from training import fit

    whole = fit.fit

    def slow(*arguments):
        monkeypatch.setattr(fit, "fit", whole)
        others = open_study(EXPERIMENT, search(tmp_path, 1), "generated")
        others.tell(0, state=optuna.trial.TrialState.FAIL)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(others, others.trials[0])
        return whole(*arguments)

    monkeypatch.setattr(fit, "fit", slow)
    study = run(tmp_path, 1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert "taken over" in capsys.readouterr().out


def test_a_study_from_before_a_field_was_added_is_gone_on_with(tmp_path):
    study = open_study(EXPERIMENT, search(tmp_path, 2), "generated")
    held = study.user_attrs["searched"]
    del held["experiment"]["teacher"], held["experiment"]["augmentation"]["ink"]
    study.set_user_attr("searched", held)
    assert open_study(EXPERIMENT, search(tmp_path, 2), "generated").study_name == study.study_name
    with pytest.raises(StudyError, match="differs: teacher"):
        open_study(replace(EXPERIMENT, teacher="someone"), search(tmp_path, 2), "generated")


def test_a_study_of_other_ranges_is_refused(two, monkeypatch):
    _, folder = two
    monkeypatch.setitem(search_space.SPACE, "dropout", search_space.Numbers("dropout", 0.0, 0.3))
    with pytest.raises(StudyError, match="differs: --search"):
        run(folder, 2)


def test_a_study_of_another_experiment_is_refused_and_the_difference_named(two):
    _, folder = two
    with pytest.raises(StudyError, match="differs: dropout, patience"):
        run(folder, 2, replace(EXPERIMENT, dropout=0.5, patience=3))
    with pytest.raises(StudyError, match="differs: --search"):
        run(folder, 2, search=("dropout",))
    with pytest.raises(StudyError, match="differs: --data"):
        run(folder, 2, data="other pictures")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////no/such/folder/study.db", "unable to open"),
        ("no database", "Could not parse"),
        ("strangedb://user:secret@host/name", "strangedb"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_clear_line_without_its_password(tmp_path, url, reason):
    with pytest.raises(StudyError, match=reason) as caught:
        open_study(EXPERIMENT, search(tmp_path, 1, storage=url), "generated")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_written_is_one_clear_line(tmp_path):
    open_study(EXPERIMENT, search(tmp_path, 1), "generated")
    url = f"sqlite:///file:{tmp_path / 'tune' / 'tiny' / 'study.db'}?mode=ro&uri=true"
    with pytest.raises(StudyError, match="readonly") as caught:
        open_study(replace(EXPERIMENT, name="other"), search(tmp_path, 1, storage=url), "generated")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(StudyError, match=r"notes\.txt cannot be used: .*not a database"):
        open_study(EXPERIMENT, search(tmp_path, 1, storage=f"sqlite:///{tmp_path / 'notes.txt'}"), "generated")


def test_what_can_be_searched_are_fields_of_an_experiment():
    fields = {field.name for field in dataclasses.fields(Experiment)}
    assert {asked.field for asked in search_space.SPACE.values()} <= fields
    assert set(search_space.DEFAULT) <= set(search_space.SPACE)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("drop_out",), {}, "'drop_out' is not one of peak_learning_rate, "),
        (("dropout", "dropout"), {}, "different names"),
        ((), {}, "different names"),
        (("head_learning_rate",), {}, "no stage that trains 'head'"),
        (("sampling_power",), {"best_metric": "loss"}, "losses cannot be compared"),
        (("hidden_units",), {"start": "mobilenet_v2"}, "goes on from mobilenet_v2, whose head has one width"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_is_refused(names, options, message):
    with pytest.raises(SearchError, match=message):
        search_space.check(replace(EXPERIMENT, **options), names)


@pytest.mark.parametrize("name", search_space.SPACE)
def test_every_searched_value_changes_its_field_alone(name):
    experiment = load_experiments()["densenet121"]
    asked = search_space.SPACE[name]
    ends = asked.options if isinstance(asked, search_space.Choices) else (asked.low, asked.high)
    found = [search_space.applied(experiment, {name: value}).as_dict() for value in ends]
    assert len({str(values) for values in found}) == len(ends)
    others = {key for values in found for key in values if values[key] != experiment.as_dict()[key]}
    assert others == {asked.field}


@pytest.mark.parametrize("name", load_experiments())
def test_an_experiments_own_values_leave_it_as_it_is(name):
    experiment = load_experiments()[name]
    own = search_space.own_values(experiment, search_space.DEFAULT)
    assert search_space.applied(experiment, own) == experiment


def test_rates_of_head_and_all_layers_are_searched_apart():
    experiment = load_experiments()["densenet121"]
    rates = {"peak_learning_rate": 1e-4, "head_learning_rate": 2e-3}
    changed = search_space.applied(experiment, rates)
    assert [changed.phase(epoch).peak_learning_rate for epoch in (0, 2, 14)] == [2e-3, 1e-4, 1e-4]
    assert search_space.own_values(changed, tuple(rates)) == rates


def test_augmentation_goes_from_rotation_alone_to_stronger_than_the_experiments():
    own = Augmentation(jpeg=0.8, ruler=0.9)
    none = search_space.scaled(own, 0.0)
    assert none.rotate
    assert none.zoom == (1.0, 1.0)
    assert {getattr(none, f.name) for f in dataclasses.fields(none) if f.name not in ("rotate", "zoom")} == {0.0}
    strong = search_space.scaled(own, 1.5)
    assert strong.jpeg == strong.ruler == 1.0
    assert strong.shift == pytest.approx(1.5 * own.shift)
    assert strong.zoom[0] < own.zoom[0] < own.zoom[1] < strong.zoom[1]
    assert search_space.scaled(own, 1.0) == own


def loaded(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPERIMENT, module.__doc__


def study_of(experiment, values):
    """A study whose only trial has these values."""
    import optuna

    def objective(trial):
        assert search_space.suggest(trial, list(values)) == values
        trial.report(0.5, 1)
        return 0.7

    study = optuna.create_study(direction="maximize", study_name=experiment.name)
    study.enqueue_trial(values)
    study.optimize(objective, n_trials=1)
    return study


@pytest.mark.parametrize("name", load_experiments())
def test_the_best_experiment_is_written_as_a_file_that_imports_as_what_was_trained(name, tmp_path):
    experiment = load_experiments()[name]
    values = {"peak_learning_rate": 1.23e-4, "hidden_units": 512, "augmentation": 0.5, "loss": "focal"}
    file = tmp_path / f"{name}_tuned.py"
    written = study_results.write_experiment(study_of(experiment, values), experiment, file, [name, "--trials", "9"])
    read, docstring = loaded(file)
    assert read == written == replace(search_space.applied(experiment, values), name=f"{name}_tuned")
    assert f"python -m training.tune {name} --trials 9" in docstring
    score = f"Score: validation {experiment.best_metric.replace('_', ' ')} 0.700."
    assert score in " ".join(docstring.split())
    assert "batch_size=32" not in file.read_text(), "a default was written"
    for check in (["format", "--check"], ["check", "--ignore", "INP001"]):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache", "--config", "pyproject.toml", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_written_command_fits_and_names_no_password_and_no_place(tmp_path):
    arguments = [
        "tiny",
        "--storage",
        "postgresql://me:secret@host/x",
        "--output=/my/place",
        "--name",
        "a b",
        "--search",
    ]
    arguments += list(search_space.SPACE)
    study = study_of(EXPERIMENT, {"dropout": 0.1})
    study_results.write_experiment(study, EXPERIMENT, tmp_path / "best.py", arguments)
    text = (tmp_path / "best.py").read_text()
    assert "secret" not in text
    assert "/my/place" not in text
    assert max(map(len, text.splitlines())) <= 120
    _, docstring = loaded(tmp_path / "best.py")
    command = docstring.split("Found by:\n\n")[1].split("\n\n")[0].replace("python -m training.tune", "printf '%s\\n'")
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed == ["tiny", "--name", "a b", "--search", *search_space.SPACE]


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs `python -m training.tune` on the tiny experiment and generated pictures."""
    from training import examples, networks

    monkeypatch.setitem(networks.BACKBONES, "tiny", tiny.TinyBackbone())
    monkeypatch.setattr(tune, "load_experiments", lambda: {"tiny": EXPERIMENT})
    monkeypatch.setattr(examples, "load_collections", lambda experiment, base: [])
    monkeypatch.setattr(examples, "fingerprint", lambda collections: "generated")
    monkeypatch.setattr(examples, "classes", lambda experiment, collections: lesions.CODES)
    monkeypatch.setattr(examples, "load_examples", lambda *_: (tiny.examples(), {"tiny": tiny.examples(6)}))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tune", *arguments])
        monkeypatch.chdir(tmp_path)
        tune.main()

    return call


def test_the_command_writes_the_best_experiment_a_table_and_a_plot(command, tmp_path):
    from PIL import Image

    command(
        "tiny",
        "--trials",
        "2",
        "--search",
        "dropout",
        "mix",
        "--pruner",
        "hyperband",
        "--weight-decay",
        "0.001",
        "--best-metric",
        "balanced_accuracy",
    )
    folder = tmp_path / "runs" / "tune" / "tiny"
    tuned, docstring = loaded(folder / "tiny_tuned.py")
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert [row["trial"] for row in rows] == ["0", "1"]
    best = max(rows, key=lambda row: float(row["score"]))  # the first of equals
    assert (tuned.dropout, tuned.mix, tuned.weight_decay) == (float(best["dropout"]), best["mix"], 0.001)
    assert "--search dropout mix" in docstring
    with Image.open(folder / "study.png") as picture:
        assert len(picture.convert("L").getcolors(256)) > 10
    assert not list(folder.glob("partial-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--search", "drop_out"), "'drop_out' is not one of"),
        (("--trials", "0"), "at least 1"),
        (("--write", "best-model.py"), "my_model.py"),
        (("--search", "dropout", "--storage", "nonsense"), "cannot be used"),
    ],
    ids=str,
)
def test_a_users_mistake_is_one_clear_line(command, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        command("tiny", *arguments)
    assert "\n" not in str(caught.value)


def test_unknown_options_are_errors_and_help_says_that_the_test_pictures_are_not_used(command, capsys):
    with pytest.raises(SystemExit) as caught:
        command("tiny", "--tryals", "3")
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert "--tryals" in printed.out + printed.err
    with pytest.raises(SystemExit) as caught:
        command("tiny", "--help")
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "the test pictures are not used" in shown
    assert "--peak-learning-rate" in shown
    assert "label_smoothing (0 to 0.2)" in shown


def test_a_missing_collection_is_told_before_a_study_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["tune", "mobilenet_v2", "--data", str(tmp_path), "--output", str(tmp_path)])
    with pytest.raises(DatasetError):
        tune.main()
    assert not list(tmp_path.iterdir())


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), lost_after=int(sys.argv[3]))
