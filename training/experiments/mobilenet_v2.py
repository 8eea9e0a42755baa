"""The default model: MobileNetV2, small enough for two CPU cores.

python -m training.train mobilenet_v2
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="mobilenet_v2",
    network="mobilenet_v2",
    stages=(Stage(size=128, epochs=6), Stage(size=160, epochs=8), Stage(size=224, epochs=5)),
    input_size=224,
)
