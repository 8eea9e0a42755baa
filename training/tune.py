"""Search the hyper-parameters of an experiment with Optuna.

    python -m training.tune mobilenet_v2_ham10000
    python -m training.tune mobilenet_v2_ham10000 --search peak_learning_rate dropout hidden_units --trials 50

Every trial trains the experiment with other values and is scored on the validation pictures by its `best_metric`;
trials that fall behind the median are ended early (pruned). The test pictures are not looked at, so that the tuned
experiment's test figures mean what they say.

All trials are kept in a database. The same command started again goes on where it was; started several times at
once, the processes share the work, on one machine with the default SQLite file, on many with a database server:

    python -m training.tune mobilenet_v2_ham10000 --storage postgresql+psycopg://user:password@host/database

What can be searched, and in which range, is `training.search_space.SPACE`.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from training import search_space, study_results
from training.command import UserError, run_command
from training.experiment import Experiment
from training.study import Search, StudyError, open_study
from training.train import load_experiments
from training.trials import make_trials

if TYPE_CHECKING:
    import optuna


_ABOUT = (
    "Search the best values of an experiment's options. Every trial trains the experiment with other values of what"
    " --search names and is scored on the validation pictures; the test pictures are not used. The same command"
    " started again goes on where it was; started several times at once, the processes share the work. Writes"
    " NAME_tuned.py, trials.csv and study.png to OUTPUT/tune/NAME."
)


@dataclass(frozen=True)
class TuneCommand:
    """An experiment and how to search around it."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    run: Annotated[Search, tyro.conf.arg(name="")] = field(default_factory=Search)


def finish(study: "optuna.Study", experiment: Experiment, search: Search, arguments: Sequence[str]) -> None:
    """Write the best experiment, the table of trials and the plot of a study.

    Raises StudyError where no trial ran to its end.
    """
    if not any(trial.state.name == "COMPLETE" for trial in study_results.finished(study)):
        raise StudyError(f"no trial of {experiment.name} ran to its end; search other values, or use --pruner none.")
    folder = search.folder(experiment)
    file = search.write or folder / f"{experiment.name}_tuned.py"
    study_results.write_experiment(study, experiment, file, arguments)
    study_results.write_table(study, folder / "trials.csv")
    study_results.write_plot(study, f"Validation {experiment.best_metric.replace('_', ' ')}", folder / "study.png")
    print(f"best trial {study.best_trial.number}: validation {experiment.best_metric} {study.best_value:.4f}")
    print(f"written: {file}, {folder / 'trials.csv'}, {folder / 'study.png'}")


def main() -> None:
    """Run the command line."""
    configs = {name: (f"{_ABOUT} Here: {name}.", TuneCommand(e)) for name, e in load_experiments().items()}
    try:
        command = tyro.extras.overridable_config_cli(configs, description=_ABOUT)
    except ValueError as error:  # fields that do not go together
        raise UserError(str(error)) from error
    experiment, search = command.experiment, command.run
    search_space.check(experiment, search.search)
    os.environ.setdefault("KERAS_BACKEND", search.backend)
    from training import examples
    from training.teacher import find_teacher, marked, with_answers

    collections = examples.load_collections(experiment, search.data)
    codes = examples.classes(experiment, collections)
    teacher = find_teacher(experiment, codes)
    fingerprint = marked(examples.fingerprint(collections), teacher)
    open_study(experiment, search, fingerprint)  # a mistake is told before minutes of decoding
    train, validation = examples.load_examples(
        collections, codes, search.output / "cache", examples.decoded_side(experiment)
    )
    if teacher:
        train = with_answers(train, teacher, experiment.teacher_views, search.output / "cache")
    try:
        study = make_trials(experiment, search, codes, train, validation, fingerprint)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on with the trial")
    finish(study, experiment, search, sys.argv[1:])


if __name__ == "__main__":
    run_command(main)
