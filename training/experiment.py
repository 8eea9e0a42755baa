"""One frozen dataclass: everything that defines a training run."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from skin_gradio import lesions


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one picture size.

    Neighbouring stages that train the same layers share one optimizer and one learning-rate schedule; where `trains`
    changes, both start afresh.
    """

    size: int
    """Side of the training pictures, pixels."""
    epochs: int
    """Epochs at this size; 0 leaves the stage out."""
    trains: Literal["all", "head"] = "all"
    """`head` keeps the backbone as it is and trains the layers behind it."""
    peak_learning_rate: float | None = None
    """Learning rate after warm-up, if not the experiment's; of stages that share a schedule the first one's counts."""


@dataclass(frozen=True)
class Augmentation:
    """How training pictures are varied. Probabilities are per picture; see `training.batches.Augmenter`."""

    rotate: bool = True
    """Turn by any angle and mirror."""
    zoom: tuple[float, float] = (0.8, 1.42)
    """Range of the zoom factor, log-uniform; below 1 the picture shrinks and its borders are reflected."""
    stretch: float = 0.1
    """Largest relative change of the aspect ratio."""
    shift: float = 0.1
    """Largest shift along each axis, as a share of the side."""
    brightness: float = 0.12
    """Largest change of brightness, as a share of the range."""
    contrast: float = 0.2
    """Largest relative change of contrast."""
    gamma: float = 0.2
    """Largest change of log gamma."""
    saturation: float = 0.25
    """Largest relative change of saturation."""
    channel_gain: float = 0.08
    """Largest relative change of each colour channel, as white balance and illumination do."""
    blur: float = 0.25
    """Probability of a Gaussian blur (sigma up to 1.2 % of the side)."""
    sharpen: float = 0.35
    """Probability of unsharp masking, as cameras and fresh resizes do."""
    resample: float = 0.2
    """Probability of shrinking and enlarging again, by up to a factor of two."""
    jpeg: float = 0.3
    """Probability of JPEG compression, quality 40 to 95."""
    noise: float = 0.15
    """Probability of Gaussian noise, standard deviation up to 4 % of the range."""
    rim: float = 0.15
    """Probability of the dark round rim or dark corners of a dermatoscope."""
    hair: float = 0.1
    """Probability of drawn hairs."""
    ink: float = 0.0
    """Probability of strokes of a skin marker."""
    ruler: float = 0.0
    """Probability of a dermatoscope's millimetre scale along one side."""
    bubbles: float = 0.0
    """Probability of air bubbles in the immersion gel."""
    grey_world: float = 0.0
    """Probability of a white balance by the grey-world assumption, part of the way."""
    illumination: float = 0.0
    """Probability of light that falls off to one side, by up to a third."""


@dataclass(frozen=True)
class Phase:
    """Neighbouring stages with one optimizer and one schedule: their epochs are first <= epoch < end."""

    first: int
    end: int
    trains: Literal["all", "head"]
    peak_learning_rate: float


@dataclass(frozen=True)
class Experiment:
    """A training run. Two runs with equal experiments, data and backend are the same run.

    A field that is added later has what was done before it as its default: `complete` fills it into older records.
    """

    name: str
    """Name of the run and of the model folder it exports."""
    network: str
    """Backbone: a name in `training.networks.BACKBONES`."""
    stages: tuple[Stage, ...]
    """Picture sizes and epochs, in order."""
    input_size: int
    """Side of the exported model's input, pixels."""
    task: Literal["diagnosis", "malignancy"] = "diagnosis"
    """The seven diagnoses, or benign and malignant."""
    collections: tuple[str, ...] = ("ham10000",)
    """What it learns from: names in `training.collection.NAMED`, or paths of your own pictures (`training.own`). The
    first one's mix of diagnoses is the model's prior."""
    split: Literal["group", "image", "copies"] = "group"
    """`group` is the honest one. `image` deals pictures out without regard to lesions, and `copies` first repeats the
    rarer classes' pictures until all are equally many: both put the same lesion into training and validation, show what
    such splits would have claimed, and export no model. None of them touches the test part."""
    balance: bool = False
    """Keep of each class only as many pictures of a part as its rarest class has."""
    start: str = "imagenet"
    """`imagenet` (the file in STARTING_WEIGHTS_DIR, else Keras' download), `random`, the path of a weights file for the
    backbone (`.h5`), or what it goes on from, of the same network: the folder of a run (`runs/NAME`), whose best
    weights are taken, or a finished model: a bundled one's name, a model folder or a Hub id (`training.starting`)."""
    epoch_pictures: int = 7000
    """Training pictures drawn per epoch."""
    batch_size: int = 32
    """Pictures per step."""
    sampling_power: float = 0.5
    """Classes are drawn in proportion to their count to this power: 1 as they come, 0.5 square root, 0 balanced."""
    collection_shares: tuple[float, ...] = ()
    """Share of each collection in the draw; when empty, its share of the pictures."""
    logit_adjustment: bool = True
    """Add the log of the sampled class frequencies to the logits in the loss (Menon et al., arXiv:2007.07314)."""
    class_weights: bool = False
    """Weigh each picture's loss by the inverse of its class' share of the draw; instead of logit adjustment."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """`focal`: focal loss (Lin et al., arXiv:1708.02002)."""
    focal_gamma: float = 2.0
    """Focusing exponent of the focal loss."""
    label_smoothing: float = 0.05
    """Share of each label spread over all classes that the picture's collection holds."""
    mix: Literal["none", "mixup", "cutmix"] = "none"
    """Blend pictures of a batch (Zhang et al., arXiv:1710.09412), or paste a part of one (Yun et al., 1905.04899)."""
    mix_alpha: float = 0.2
    """Parameter of the Beta distribution that the share of the other picture is drawn from."""
    hidden_units: int = 0
    """Width of the head's dense ReLU layer; 0 leaves it out."""
    dropout: float = 0.3
    """Dropout before the last layer."""
    stochastic_depth: float = 0.0
    """Share of the pictures that skip the network's last residual branch in training; earlier branches are skipped in
    proportion to their place (Huang et al., arXiv:1603.09382). Only for networks with residual additions."""
    teacher: str = ""
    """A model folder, or a bundled model's name, whose answers are learned from as well as the labels (distillation,
    Hinton et al., arXiv:1503.02531); see `training.teacher`."""
    teacher_share: float = 0.5
    """Share of the loss that the teacher's answers have, 0 to 1; the labels have the rest."""
    teacher_temperature: float = 2.0
    """What the teacher's and the network's logits are divided by before they are compared: the higher, the more the
    small probabilities count."""
    teacher_views: int = 1
    """How many of a training picture's eight views (`skin_gradio.views`) the teacher answers, averaged."""
    freeze_batch_norm: bool = False
    """Keep the backbone's batch normalisation as it starts, statistics and all."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes from its peak to its end."""
    peak_learning_rate: float = 5e-4
    """Learning rate after warm-up."""
    warmup_steps: int = 500
    """Steps of linear warm-up."""
    final_learning_rate: float = 0.01
    """Where the schedule ends, as a share of the peak."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    weight_average: float = 0.998
    """Momentum of the exponential moving average of the weights, which is what is validated and exported."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Precision of the training steps; what is exported is float32."""
    best_metric: Literal["balanced_accuracy", "macro_auroc", "accuracy", "loss"] = "balanced_accuracy"
    """Validation figure that the best epoch is chosen by."""
    patience: int = 8
    """Epochs without a better validation figure before a stage ends early."""
    seed: int = 1
    """Seed of sampling, augmentation, dropout and the head's start."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How training pictures are varied."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or any(stage.size < 1 or stage.epochs < 0 for stage in self.stages):
            raise ValueError(f"stages must have a size of at least 1 and an epoch among them. Received: {self.stages}")
        if self.class_weights and self.logit_adjustment:
            raise ValueError("class_weights and logit_adjustment both correct for imbalance; use one of them.")
        if self.collection_shares and len(self.collection_shares) != len(self.collections):
            raise ValueError(
                f"collection_shares must be one number for each of {self.collections}."
                f" Received: {self.collection_shares}"
            )
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"stochastic_depth must be from 0 to below 1. Received: {self.stochastic_depth}")
        if not 0 <= self.teacher_share <= 1 or self.teacher_temperature <= 0 or not 1 <= self.teacher_views <= 8:
            raise ValueError(
                "teacher_share must be from 0 to 1, teacher_temperature above 0 and teacher_views from 1 to 8."
                f" Received: {self.teacher_share}, {self.teacher_temperature} and {self.teacher_views}"
            )

    @property
    def codes(self) -> tuple[str, ...]:
        """The classes of the task, in order."""
        return lesions.TASKS[self.task]

    @property
    def epochs(self) -> int:
        """All stages' epochs together."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return max(self.epoch_pictures // self.batch_size, 1)

    def stage_bounds(self) -> list[tuple[Stage, int, int]]:
        """Return each stage with its first epoch and the epoch after its last."""
        bounds, first = [], 0
        for stage in self.stages:
            bounds.append((stage, first, first + stage.epochs))
            first += stage.epochs
        return bounds

    def phase(self, epoch: int) -> Phase:
        """Return the phase that an epoch belongs to."""
        phases: list[Phase] = []
        for stage, first, end in self.stage_bounds():
            if phases and phases[-1].trains == stage.trains:
                phases[-1] = replace(phases[-1], end=end)
            else:
                peak = stage.peak_learning_rate or self.peak_learning_rate
                phases.append(Phase(first, end, stage.trains, peak))
        return next(phase for phase in phases if epoch < phase.end)

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


def complete(record: dict[str, Any]) -> dict[str, Any]:
    """Return an experiment's record, as `as_dict` made it, with the defaults of fields that were added since."""
    usual = Experiment(name="", network="", stages=(Stage(size=1, epochs=1),), input_size=1).as_dict()
    stages = [usual["stages"][0] | stage for stage in record["stages"]]
    return usual | record | {"stages": stages, "augmentation": usual["augmentation"] | record["augmentation"]}


Backend = Literal["tensorflow", "jax"]
