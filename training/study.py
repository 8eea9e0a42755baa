"""A study: what a search is asked for, and the database that keeps its trials."""

import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from training import search_space
from training.command import UserError
from training.experiment import Backend, Experiment, complete

if TYPE_CHECKING:
    import optuna

_RETRIES = 3
_OPENING_TRIES = 5


class StudyError(UserError):
    """The database cannot be used, or what it holds is not the study that is asked for."""


@dataclass(frozen=True)
class Search:
    """What is searched, how long, and where the study is kept."""

    search: Annotated[
        tuple[str, ...],
        tyro.conf.arg(help=f"What to vary. Known: {'; '.join(f'{k} ({v})' for k, v in search_space.SPACE.items())}."),
    ] = search_space.DEFAULT
    trials: int = 30
    """Trials that the study shall have when it is done, pruned ones included; those of earlier runs and of other
    workers count."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """What ends trials early: being below the median of the others at the same epoch, Hyperband, or nothing."""
    first_prune: int = 3
    """Epoch after which trials may be pruned, at the earliest."""
    sampler_seed: int = 1
    """Seed of the sampler (TPE). The training keeps the experiment's seed in all trials."""
    storage: str | None = None
    """The study's database as an SQLAlchemy URL; else a SQLite file, OUTPUT/tune/NAME/study.db. Workers on several
    machines want a database server: SQLite files on network drives break."""
    lost_after: int = 120
    """Seconds without a sign of life after which a worker's trial counts as lost and is made again."""
    data: Path | None = None
    """Folder that holds the collections' folders; else HAM10000_DIR and the like, else `data`."""
    output: Path = Path("runs")
    """Everything is written to OUTPUT/tune/NAME, decoded pictures to OUTPUT/cache."""
    write: Path | None = None
    """Where the best experiment is written; else OUTPUT/tune/NAME/NAME_tuned.py. A file in training/experiments can be
    trained by its name."""
    backend: Backend = "tensorflow"
    """Keras' backend: tensorflow on a CPU, jax on a GPU (unless KERAS_BACKEND says otherwise)."""

    def __post_init__(self) -> None:
        if min(self.trials, self.first_prune, self.lost_after) < 1:
            raise ValueError("--trials, --first-prune and --lost-after want numbers of at least 1.")
        if self.write and not (self.write.stem.isidentifier() and self.write.suffix == ".py"):
            raise ValueError(
                f"--write wants a file name that Python can import, like my_model.py. Received: {self.write}"
            )

    def folder(self, experiment: Experiment) -> Path:
        """Where the study's files are."""
        return self.output / "tune" / experiment.name


def open_study(experiment: Experiment, search: Search, data_fingerprint: str) -> "optuna.Study":
    """Return the study of this experiment, made if the database has none.

    Raises StudyError where the database cannot be used or holds another study of this name.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # heartbeats and retries
    folder = search.folder(experiment)
    folder.mkdir(parents=True, exist_ok=True)
    storage = _open_storage(search.storage or f"sqlite:///{folder / 'study.db'}", search.lost_after)
    ranges = {name: str(search_space.SPACE[name]) for name in search.search}
    asked = {"experiment": experiment.as_dict(), "search": ranges, "data": data_fingerprint}
    asked = json.loads(json.dumps(asked))
    options: dict[str, Any] = {
        "storage": storage,
        "study_name": experiment.name,
        "direction": "minimize" if experiment.best_metric == "loss" else "maximize",
        "pruner": _pruner(experiment, search),
    }
    try:
        study = optuna.create_study(**options)
        study.set_user_attr("searched", asked)
        if own := search_space.own_values(experiment, search.search):
            study.enqueue_trial(own)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.create_study(**options, load_if_exists=True)
    except optuna.exceptions.StorageInternalError as error:
        raise _unusable(storage.url, error) from error
    # It is missing where the worker that made the study has not come to it, or never will.
    held = study.user_attrs.get("searched", asked)
    study.set_user_attr("searched", held)
    held = {**held, "experiment": complete(held["experiment"])}
    if held != asked:
        changed = [key for key in asked["experiment"] if asked["experiment"][key] != held["experiment"].get(key)]
        changed += [f"--{key}" for key in ("search", "data") if asked[key] != held[key]]
        raise StudyError(
            f"the study {experiment.name!r} in {_shown(storage.url)} belongs to another experiment;"
            f" what differs: {', '.join(changed)}. Go on with the same options, or use another --name."
        )
    return study


def _open_storage(url: str, lost_after: int) -> "optuna.storages.RDBStorage":
    import optuna
    import sqlalchemy

    for attempt in range(_OPENING_TRIES):
        try:
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {},
                heartbeat_interval=max(lost_after // 4, 1),
                grace_period=lost_after,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(_RETRIES),
            )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
            # Two workers that start together both make the tables; the slower one fails and finds them next time.
            made = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not made or attempt == _OPENING_TRIES - 1:
                raise _unusable(url, error) from error
            time.sleep(0.5)
    raise AssertionError


def _unusable(url: str, error: Exception) -> StudyError:
    while error.__cause__ and isinstance(error.__cause__, Exception):  # the driver's own words
        error = error.__cause__
    return StudyError(f"the study's database {_shown(url)} cannot be used: {str(error).splitlines()[0]}")


def _shown(url: str) -> str:
    """Return a database's URL without its password."""
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return repr(url)


def _pruner(experiment: Experiment, search: Search) -> "optuna.pruners.BasePruner":
    # Scores at different picture sizes cannot be compared, but an epoch's size is the same in all trials.
    from optuna import pruners

    if search.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=search.first_prune)
    if search.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=search.first_prune, max_resource=experiment.epochs)
    return pruners.NopPruner()
