"""ResNet50V2: the head first, then all layers.

    python -m training.train resnet50_v2

Short form, which is what was trained here:

    python -m training.train resnet50_v2 --stages.0.epochs 1 --stages.0.size 96 \
        --stages.1.epochs 2 --stages.1.size 96 --stages.2.epochs 0 --input-size 96 \
        --epoch-pictures 1500 --weight-average 0.97

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 7 minutes.
Score of it: validation BACC 0.389;
test BACC 0.487 (0.432 to 0.545) at equal priors, macro AUROC 0.851 (0.830 to 0.871),
malignant AUROC 0.821 (0.792 to 0.849).
The recipe below is meant for a faster machine and was not run in full.
"""

from training.experiment import Experiment, Stage

EXPERIMENT = Experiment(
    name="resnet50_v2",
    network="resnet50_v2",
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
