"""What `training.tune` can search: the ranges, and how a trial's values become an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from training.command import UserError
from training.experiment import Augmentation, Experiment

if TYPE_CHECKING:
    import optuna

Values = dict[str, Any]


@dataclass(frozen=True)
class Numbers:
    """Real numbers from `low` to `high`."""

    field: str
    """Field of the experiment that they change."""
    low: float
    high: float
    log: bool = False
    """Whether ratios count, not differences."""

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """One of a few values."""

    field: str
    """Field of the experiment that they change."""
    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


SPACE: dict[str, Numbers | Choices] = {
    "peak_learning_rate": Numbers("peak_learning_rate", 3e-5, 5e-3, log=True),  # of all stages that train all layers
    "head_learning_rate": Numbers("stages", 1e-4, 1e-2, log=True),  # of the stages that train the head
    "weight_decay": Numbers("weight_decay", 1e-4, 0.3, log=True),
    "label_smoothing": Numbers("label_smoothing", 0.0, 0.2),
    "dropout": Numbers("dropout", 0.0, 0.6),
    "hidden_units": Choices("hidden_units", (0, 64, 128, 256, 512)),
    "sampling_power": Numbers("sampling_power", 0.0, 1.0),
    "weight_average": Choices("weight_average", (0.99, 0.995, 0.998, 0.999)),
    "augmentation": Numbers("augmentation", 0.0, 1.5),  # a factor, see `scaled`
    "mix": Choices("mix", ("none", "mixup", "cutmix")),
    "loss": Choices("loss", ("cross_entropy", "focal")),
    "batch_size": Choices("batch_size", (16, 32, 64)),
    "schedule": Choices("schedule", ("cosine", "linear", "constant")),
}
DEFAULT = ("peak_learning_rate", "weight_decay", "dropout", "label_smoothing", "sampling_power", "augmentation")
_AMOUNTS = ("stretch", "shift", "brightness", "contrast", "gamma", "saturation", "channel_gain")
"""The strengths of an augmentation that are no probabilities and may exceed 1."""


class SearchError(UserError):
    """The search cannot be made as asked."""


def check(experiment: Experiment, names: Sequence[str]) -> None:
    """Raise SearchError where something is not in SPACE, or would make no difference to this experiment."""
    if not names or len(set(names)) < len(names):
        raise SearchError(f"--search wants one or more different names. Received: {' '.join(names) or 'none'}")
    for name in names:
        if name not in SPACE:
            raise SearchError(f"--search: {name!r} is not one of {', '.join(SPACE)}.")
    trained = {stage.trains for stage in experiment.stages if stage.epochs}
    for name, layers in (("head_learning_rate", "head"), ("peak_learning_rate", "all")):
        if name in names and layers not in trained:
            raise SearchError(f"--search {name}: {experiment.name} has no stage that trains {layers!r}.")
    if (
        "hidden_units" in names
        and experiment.start not in ("imagenet", "random")
        and not experiment.start.endswith(".h5")
    ):
        raise SearchError(
            f"--search hidden_units: {experiment.name} goes on from {experiment.start}, whose head has one width; set"
            " --start imagenet."
        )
    if "sampling_power" in names and experiment.best_metric == "loss":
        raise SearchError(
            "--search sampling_power: it changes what the validation loss measures, so losses cannot be compared;"
            " use another --best-metric."
        )


def suggest(trial: "optuna.Trial", names: Sequence[str]) -> Values:
    """Return a trial's value of each name, as `rounded` does."""
    for name in names:
        asked = SPACE[name]
        if isinstance(asked, Choices):
            trial.suggest_categorical(name, asked.options)
        else:
            trial.suggest_float(name, asked.low, asked.high, log=asked.log)
    return rounded(trial.params)


def rounded(values: Mapping[str, Any]) -> Values:
    """Return the values with their real numbers at three digits, so that what is trained can be read and written."""
    return {
        name: float(f"{value:.3g}") if isinstance(SPACE[name], Numbers) else value for name, value in values.items()
    }


def applied(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return the experiment with a trial's values in place of its own.

    `peak_learning_rate` becomes the rate of all stages that train all layers, `head_learning_rate` that of the stages
    that train the head, and `augmentation` scales the experiment's own augmentation.
    """
    changes = dict(values)
    stages = experiment.stages
    if "peak_learning_rate" in changes:
        stages = tuple(replace(s, peak_learning_rate=None) if s.trains == "all" else s for s in stages)
    if "head_learning_rate" in changes:
        rate = changes.pop("head_learning_rate")
        stages = tuple(replace(s, peak_learning_rate=rate) if s.trains == "head" else s for s in stages)
    if "augmentation" in changes:
        changes["augmentation"] = scaled(experiment.augmentation, changes["augmentation"])
    return replace(experiment, **(changes | {"stages": stages}))


def scaled(augmentation: Augmentation, strength: float) -> Augmentation:
    """Return the augmentation with all ranges and probabilities times `strength` (the zoom's logarithm as well).

    Rotation stays as it is: a lesion has no upright side. Probabilities end at 1.
    """

    def times(value: float, most: float = float("inf")) -> float:
        return float(f"{min(value * strength, most):.3g}")

    changes: Values = {"zoom": tuple(float(f"{edge**strength:.3g}") for edge in augmentation.zoom)}
    for name in (field.name for field in fields(augmentation) if field.name not in ("rotate", "zoom")):
        changes[name] = times(getattr(augmentation, name), float("inf") if name in _AMOUNTS else 1.0)
    return augmentation if strength == 1 else replace(augmentation, **changes)


def own_values(experiment: Experiment, names: Sequence[str]) -> Values | None:
    """Return the values that an experiment has already, or None where one of them is out of its range."""
    values: Values = {}
    for name in names:
        if name == "augmentation":
            values[name] = 1.0
        elif name in ("peak_learning_rate", "head_learning_rate"):
            layers = "head" if name == "head_learning_rate" else "all"
            own = next(stage.peak_learning_rate for stage in experiment.stages if stage.trains == layers)
            values[name] = own or experiment.peak_learning_rate
        else:
            values[name] = getattr(experiment, name)
        asked = SPACE[name]
        inside = (
            values[name] in asked.options if isinstance(asked, Choices) else asked.low <= values[name] <= asked.high
        )
        if not inside:
            return None
    return values
