"""One frozen dataclass: everything that defines a training run."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one picture size."""

    size: int
    """Side of the training pictures, pixels."""
    epochs: int
    """Epochs at this size."""


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


@dataclass(frozen=True)
class Experiment:
    """A training run. Two runs with equal experiments, data and backend are the same run."""

    name: str
    """Name of the run and of the model folder it exports."""
    network: str
    """Backbone: a name in `training.networks.BACKBONES`."""
    stages: tuple[Stage, ...]
    """Picture sizes and epochs, in order; the learning-rate schedule runs over all of them."""
    input_size: int
    """Side of the exported model's input, pixels."""
    start: str = "imagenet"
    """`imagenet` (the file in STARTING_WEIGHTS_DIR, else Keras' download), `random`, or a weights file's path."""
    epoch_pictures: int = 7000
    """Training pictures drawn per epoch."""
    batch_size: int = 32
    """Pictures per step."""
    sampling_power: float = 0.5
    """Classes are drawn in proportion to their count to this power: 1 as they come, 0.5 square root, 0 balanced."""
    logit_adjustment: bool = True
    """Add the log of the sampled class frequencies to the logits in the loss (Menon et al., arXiv:2007.07314)."""
    label_smoothing: float = 0.05
    """Share of each label spread over all classes."""
    hidden_units: int = 0
    """Width of the head's dense ReLU layer; 0 leaves it out."""
    dropout: float = 0.3
    """Dropout before the last layer."""
    peak_learning_rate: float = 5e-4
    """AdamW's learning rate after warm-up."""
    warmup_steps: int = 500
    """Steps of linear warm-up."""
    final_learning_rate: float = 0.01
    """Where the cosine ends, as a share of the peak."""
    weight_decay: float = 0.02
    """AdamW's decoupled weight decay."""
    weight_average: float = 0.998
    """Momentum of the exponential moving average of the weights, which is what is validated and exported."""
    patience: int = 8
    """Epochs without a better validation balanced accuracy before a stage ends early."""
    seed: int = 1
    """Seed of sampling, augmentation, dropout and the head's start."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How training pictures are varied."""

    @property
    def epochs(self) -> int:
        """All stages' epochs together."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return self.epoch_pictures // self.batch_size

    def stage_bounds(self) -> list[tuple[Stage, int, int]]:
        """Return each stage with its first epoch and the epoch after its last."""
        bounds, first = [], 0
        for stage in self.stages:
            bounds.append((stage, first, first + stage.epochs))
            first += stage.epochs
        return bounds

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain JSON values."""
        return asdict(self)


Backend = Literal["tensorflow", "jax"]
