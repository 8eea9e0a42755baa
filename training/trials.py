"""The trials of a study, made by one or more workers: each trains the experiment with other values."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training import search_space, study_results
from training.experiment import Experiment
from training.study import Search, open_study

if TYPE_CHECKING:
    import optuna

    from training.batches import Examples
    from training.fit import Row


class _Surplus(Exception):
    """The trial is not needed any more: other workers have begun enough."""


def make_trials(
    experiment: Experiment,
    search: Search,
    codes: Sequence[str],
    train: "Examples",
    validation: "Mapping[str, Examples]",
    data_fingerprint: str,
) -> "optuna.Study":
    """Make the trials that the study still lacks and return it, once all workers' trials have ended.

    Args:
        experiment: what the search varies.
        search: what it varies, and where the study is kept.
        codes: the classes, in order.
        train: the pictures to learn from.
        validation: collection -> pictures that trials are scored on.
        data_fingerprint: names the data in the record.

    Raises SearchError for something that cannot be searched, and StudyError where the database cannot be used or
    holds another study of this name.
    """
    search_space.check(experiment, search.search)
    study = open_study(experiment, search, data_fingerprint)
    worker = _Worker(study, experiment, search, codes, train, validation, data_fingerprint)
    worker.run()
    return study


def _sampler(seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """Return a trial's sampler: of its own, so that workers with one seed do not all draw the same values."""
    import numpy as np
    from optuna.samplers import TPESampler

    return TPESampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


class _Worker:
    """One process' share of a study."""

    def __init__(
        self,
        study: "optuna.Study",
        experiment: Experiment,
        search: Search,
        codes: Sequence[str],
        train: "Examples",
        validation: "Mapping[str, Examples]",
        data_fingerprint: str,
    ):
        self.study, self.experiment, self.search = study, experiment, search
        self.data = codes, train, validation
        self.data_fingerprint = data_fingerprint
        self.lost = False

    def run(self) -> None:
        """Make trials until the study has as many as it shall have."""
        import optuna

        told: list[int] = []
        while True:
            optuna.storages.fail_stale_trials(self.study)
            done = len(study_results.finished(self.study))
            running = [t.number for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
            if done >= self.search.trials:
                return
            if done + len(running) >= self.search.trials:
                if running != told:
                    print(f"waiting for other workers' trials: {', '.join(map(str, running))}", flush=True)
                told = running
                time.sleep(min(self.search.lost_after / 10, 5))
                continue
            try:
                self.study.optimize(self._trial, n_trials=1, catch=(_Surplus,), gc_after_trial=True)
            except Exception:
                if not self.lost:
                    raise
                print("the trial was taken over by another worker, which thought this one lost", flush=True)
                self.lost = False

    def _trial(self, trial: "optuna.Trial") -> float:
        """Train one trial and return its score."""
        import keras
        import optuna

        if self._begun_before(trial) >= self.search.trials:
            trial.set_user_attr("surplus", True)
            raise _Surplus
        self.study.sampler = _sampler(self.search.sampler_seed, trial.number)
        values = search_space.suggest(trial, self.search.search)
        print(f"trial {trial.number}: {' '.join(f'{name}={value}' for name, value in values.items())}", flush=True)
        folder = self._folder(trial)
        keras.backend.clear_session()  # or every trial's graph would stay in memory
        try:
            score = self._fit(trial, search_space.applied(self.experiment, values), folder)
        except optuna.TrialPruned:
            print(f"trial {trial.number}: pruned", flush=True)
            _delete_weights(folder)
            raise
        except KeyboardInterrupt:
            optuna.storages.RetryHeartbeatStaleTrialCallback()(self.study, self._state(trial))
            raise
        except Exception:
            self.lost = self._state(trial).state.name != "RUNNING"
            raise
        _delete_weights(folder)
        print(f"trial {trial.number}: {self.experiment.best_metric} {score:.4f}", flush=True)
        return score

    def _fit(self, trial: "optuna.Trial", experiment: Experiment, folder: Path) -> float:
        import optuna

        from training.fit import fit, read_progress

        name = f"validation_{experiment.best_metric}"

        def report(row: "Row") -> None:
            trial.report(row[name], int(row["epoch"]))

        def on_epoch(row: "Row") -> None:
            report(row)
            diverged = not math.isfinite(row["validation_loss"])
            if diverged or (row["epoch"] < experiment.epochs and trial.should_prune()):
                raise optuna.TrialPruned

        if begun := read_progress(folder):
            for row in begun.history:
                report(row)
        progress = fit(experiment, *self.data, folder, self.data_fingerprint, on_epoch)
        return -progress.best_score if experiment.best_metric == "loss" else progress.best_score

    def _begun_before(self, trial: "optuna.Trial") -> int:
        """Return how many trials come before this one that have not failed."""
        # Workers that find one trial lacking may all begin one; of those the lowest number is kept.
        others = self.study.get_trials(deepcopy=False)
        return sum(other.number < trial.number and other.state.name != "FAIL" for other in others)

    def _state(self, trial: "optuna.Trial") -> "optuna.trial.FrozenTrial":
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _folder(self, trial: "optuna.Trial") -> Path:
        """Return the trial's folder: that of the lost trial that it goes on with, else an empty one."""
        from optuna.storages import RetryHeartbeatStaleTrialCallback as Retry

        folder, *earlier = (
            self.search.folder(self.experiment) / f"trial-{number:04d}"
            for number in (trial.number, *reversed(Retry.retry_history(self._state(trial))))
        )
        if folder.exists():  # left by a study that was deleted
            shutil.rmtree(folder)
        for lost in earlier:
            if lost.exists():  # moved, so that a worker that was only slow cannot write there any more
                lost.rename(folder)
                break
        return folder


def _delete_weights(folder: Path) -> None:
    for file in folder.glob("*.weights.h5"):
        file.unlink()
