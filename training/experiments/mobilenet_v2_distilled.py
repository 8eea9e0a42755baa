"""A MobileNetV2 that learns from an average of larger models as well as from the labels.

    python -m training.train inception_v3 --output training/checkpoints --weights runs/weights
    python -m training.average mobilenet_v2 runs/weights/inception_v3 --name ensemble --weights runs/weights
    python -m training.train mobilenet_v2_distilled

It goes on from the default, `weights/mobilenet_v2`, and learns from that average, which is asked about each training
picture once, before the first epoch. More blur and JPEG than `mobilenet_v2` had, to both of
which that one lost more than its predecessor.
Hardware, duration and score: a proposal, not trained yet.
"""

from dataclasses import replace

from training.experiment import Stage
from training.experiments import mobilenet_v2

EXPERIMENT = replace(
    mobilenet_v2.EXPERIMENT,
    name="mobilenet_v2_distilled",
    start="mobilenet_v2",
    stages=(Stage(size=160, epochs=6), Stage(size=224, epochs=4)),
    teacher="runs/weights/ensemble",
    augmentation=replace(mobilenet_v2.EXPERIMENT.augmentation, blur=0.4, jpeg=0.45),
)
