"""DenseNet121: the head first, then all layers.

    python -m training.train densenet121

TO BE FILLED
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="densenet121",
    network="densenet121",
    stages=(
        Stage(size=160, epochs=2, trains="head", peak_learning_rate=1e-3),
        Stage(size=160, epochs=12),
        Stage(size=224, epochs=8),
    ),
    input_size=224,
    hidden_units=256,
    dropout=0.4,
    peak_learning_rate=3e-4,
)
