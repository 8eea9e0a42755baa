"""DenseNet121 on both collections, taught by an average of two other networks: the second opinion of a larger model.

python -m training.train densenet121_taught --weights runs/weights
"""

from dataclasses import replace

from training.experiment import Stage
from training.experiments import inception_v3, mobilenet_v2_distilled

EXPERIMENT = replace(
    inception_v3.EXPERIMENT,
    name="densenet121_taught",
    network="densenet121",
    stages=(Stage(size=128, epochs=7), Stage(size=160, epochs=3)),
    input_size=192,
    teacher=mobilenet_v2_distilled.EXPERIMENT.teacher,
    peak_learning_rate=5e-4,
)
