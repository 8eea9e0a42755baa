"""DenseNet121: the head first, then all layers.

    python -m training.train densenet121

Short form, which is what was trained here:

    python -m training.train densenet121 --stages.0.epochs 1 --stages.0.size 96 \
        --stages.1.epochs 3 --stages.1.size 96 --stages.2.epochs 0 --input-size 96 \
        --epoch-pictures 2000 --weight-average 0.97

Hardware and duration of it: two CPU cores that did other work as well, TensorFlow backend, 13 minutes.
Score of it: validation BACC 0.578;
test BACC 0.594 (0.544 to 0.645) at equal priors, macro AUROC 0.889 (0.873 to 0.904),
malignant AUROC 0.846 (0.819 to 0.872).
The recipe below is meant for a faster machine and was not run in full.
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
