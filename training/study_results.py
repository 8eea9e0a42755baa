"""What a finished study leaves behind: the best experiment as a file, a table of the trials, and a plot."""

import csv
import dataclasses
import io
import json
import os
import shlex
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training import search_space
from training.experiment import Augmentation, Experiment, Stage

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 120
_COLUMNS = 3
_MAIN, _BEST, _GREY = "#0072B2", "#D55E00", "#8a8a8a"  # of the colours in `training.plots`
_UNSHARED = ("--storage", "--data", "--output", "--write")  # a place on this machine, or an address with its password


def finished(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """Return the trials that have a score: those that ran to their end, and those that were pruned."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def write_experiment(study: "optuna.Study", experiment: Experiment, file: Path, arguments: Sequence[str]) -> Experiment:
    """Write the best trial's experiment as a Python file and return it; its name is the file's.

    Args:
        study: has at least one trial that ran to its end.
        experiment: what was searched around.
        file: the file to write, fit for `training/experiments/`.
        arguments: of the command that made the study; where it reads and writes is left out.
    """
    best, trials = study.best_trial, finished(study)
    values = search_space.rounded(best.params)
    tuned = dataclasses.replace(search_space.applied(experiment, values), name=file.stem)
    pruned = sum(trial.state.name == "PRUNED" for trial in trials)
    found = " ".join(f"{name}={value}" for name, value in values.items())
    paragraphs = (
        f"The study {study.study_name!r} searched {len(trials)} trials, of which {pruned} were pruned; the best was"
        f" trial {best.number}: {found}.",
        f"Score: validation {experiment.best_metric.replace('_', ' ')} {best.value:.3f}. It is the best of many tries"
        " on the same pictures and so somewhat too good. The test pictures were not looked at.",
    )
    docstring = "\n\n".join(
        [
            f"The best trial of a search around {experiment.name}.",
            f"    python -m training.train {file.stem}",
            "Found by:",
            _command(_shared(arguments)),
            *(textwrap.fill(paragraph, _WIDTH, break_on_hyphens=False) for paragraph in paragraphs),
        ]
    )
    raw = "r" if "\\" in docstring else ""
    used = [c.__name__ for c in (Augmentation, Experiment, Stage) if f"{c.__name__}(" in (code := source(tuned))]
    text = f'{raw}"""{docstring}\n"""\n\nfrom training.experiment import {", ".join(used)}\n\nEXPERIMENT = {code}\n'
    _write(file, text.encode())
    return tuned


def source(value: Any, indent: int = 0, used: int = len("EXPERIMENT = ")) -> str:
    """Return the Python expression of an experiment or a part of it, without fields that have their default.

    Args:
        value: a dataclass, a tuple, or a plain value.
        indent: columns that the expression's lines start at.
        used: columns of the first line that are taken.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(f"{f.name}=", getattr(value, f.name)) for f in dataclasses.fields(value) if not _default(f, value)]
        opening, closing = f"{type(value).__name__}(", ")"
    elif isinstance(value, tuple):
        parts = [("", item) for item in value]
        opening, closing = "(", ",)" if len(value) == 1 else ")"
    else:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    line = opening + ", ".join(name + source(part, 0, -(10**6)) for name, part in parts) + closing
    if used + len(line) + 1 <= _WIDTH and not isinstance(value, Experiment):
        return line
    inner = indent + 4
    lines = [f"{' ' * inner}{name}{source(part, inner, inner + len(name))},\n" for name, part in parts]
    return f"{opening}\n{''.join(lines)}{' ' * indent})"


def _default(field: "dataclasses.Field[Any]", owner: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(getattr(owner, field.name) == field.default_factory())
    return field.default is not dataclasses.MISSING and bool(getattr(owner, field.name) == field.default)


def _shared(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in _UNSHARED:
            skip = not value
        elif not skip:
            kept.append(argument)
        else:
            skip = False
    return kept


def _command(arguments: Sequence[str]) -> str:
    """Return a command as it can be pasted into a shell, indented, in lines that fit."""
    lines = ["    python -m training.tune"]
    for argument in map(shlex.quote, arguments):
        if len(lines[-1]) + len(argument) > _WIDTH - 4:
            lines.append("       ")
        lines[-1] += f" {argument}"
    return " \\\n".join(lines)


def write_table(study: "optuna.Study", file: Path) -> None:
    """Write a CSV with one row per trial: number, state, score, epochs, duration, what it repeats, and its values."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback as Retry

    names = list(study.best_trial.params)
    head = ["trial", "state", "score", "epochs", "seconds", "repeats_trial"]
    with io.StringIO(newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(head + names)
        for trial in study.get_trials(deepcopy=False):
            if trial.user_attrs.get("surplus"):
                continue
            values = search_space.rounded(trial.params)
            history = Retry.retry_history(trial)
            seconds = round(trial.duration.total_seconds()) if trial.duration else ""
            writer.writerow(
                [
                    trial.number,
                    trial.state.name.lower(),
                    "" if trial.value is None else f"{trial.value:.4f}",
                    trial.last_step or 0,
                    seconds,
                    history[-1] if history else "",
                    *(values.get(name, "") for name in names),
                ]
            )
        _write(file, text.getvalue().encode())


def draw(study: "optuna.Study", metric: str) -> "Figure":
    """Return a figure of a study: its progress, every trial's epochs, and the score over each searched value.

    Args:
        study: has at least one trial that ran to its end.
        metric: what the score is, in words.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = list(study.best_trial.params)
    rows = 1 + -(-len(names) // _COLUMNS)
    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11, 3.1 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, _COLUMNS)
        _draw_trials(figure.add_subplot(grid[0, 0], title="Trials", xlabel="Trial", ylabel=metric), study)
        _draw_epochs(figure.add_subplot(grid[0, 1:], title="Epochs", xlabel="Epoch", ylabel=metric), study)
        for place, name in enumerate(names):
            row, column = divmod(place, _COLUMNS)
            _draw_values(figure.add_subplot(grid[1 + row, column], xlabel=name, ylabel=metric), study, name)
    return figure


def _draw_trials(axes: "Axes", study: "optuna.Study") -> None:
    from matplotlib.ticker import MaxNLocator

    complete = _complete(study)
    numbers, scores = list(complete), list(complete.values())
    better = np.minimum if study.direction.name == "MINIMIZE" else np.maximum
    axes.scatter(numbers, scores, 18, _MAIN, label="ran to its end")
    axes.step(numbers, better.accumulate(scores), where="post", color=_MAIN, linewidth=1, label="best so far")
    axes.scatter([study.best_trial.number], [study.best_value], 70, "none", edgecolors=_BEST, label="best")
    pruned = [trial.number for trial in finished(study) if trial.number not in complete]
    if pruned:  # their scores are of earlier epochs
        axes.scatter(
            pruned, [0.02] * len(pruned), 20, _GREY, marker="x", transform=axes.get_xaxis_transform(), label="pruned"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=7)


def _draw_epochs(axes: "Axes", study: "optuna.Study") -> None:
    from matplotlib.ticker import MaxNLocator

    complete, best = _complete(study), study.best_trial.number
    kinds = {"pruned": (_GREY, 0.8), "ran to its end": (_MAIN, 0.8), f"best: trial {best}": (_BEST, 2.0)}
    for (label, (colour, width)), kind in zip(kinds.items(), range(3), strict=True):
        axes.plot([], [], color=colour, linewidth=width, label=label)
        for trial in finished(study):
            if kind == (2 if trial.number == best else int(trial.number in complete)):
                steps = sorted(trial.intermediate_values)
                values = [trial.intermediate_values[step] for step in steps]
                axes.plot(steps, values, color=colour, linewidth=width, marker="o", markersize=2.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=7)


def _draw_values(axes: "Axes", study: "optuna.Study", name: str) -> None:
    asked, complete = search_space.SPACE[name], _complete(study)
    place: Callable[[Any], float] = float
    if isinstance(asked, search_space.Choices):
        place = asked.options.index
        axes.set_xticks(range(len(asked.options)), [str(option) for option in asked.options])
        axes.set_xlim(-0.5, len(asked.options) - 0.5)
    elif asked.log:
        axes.set_xscale("log")
    places = {trial.number: place(trial.params[name]) for trial in finished(study)}
    axes.scatter([places[number] for number in complete], list(complete.values()), 18, _MAIN)
    axes.scatter([places[study.best_trial.number]], [study.best_value], 70, "none", edgecolors=_BEST)


def _complete(study: "optuna.Study") -> dict[int, float]:
    return {t.number: float(t.values[0]) for t in finished(study) if t.state.name == "COMPLETE"}


def write_plot(study: "optuna.Study", metric: str, file: Path) -> None:
    """Write `draw`'s figure as PNG."""
    picture = io.BytesIO()
    draw(study, metric).savefig(picture, format="png", dpi=120)
    _write(file, picture.getvalue())


def _write(file: Path, content: bytes) -> None:
    """Write under a name of this process first: other workers of the study write the same file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"partial-{os.getpid()}-{file.name}")
    partial.write_bytes(content)
    partial.replace(file)
