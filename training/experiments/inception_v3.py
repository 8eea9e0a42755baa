"""InceptionV3 on both collections, all layers from the start: a second opinion beside the default.

    python -m training.train inception_v3 --weights runs/weights
    python -m training.average mobilenet_v2 runs/weights/inception_v3 --name both --weights runs/weights

The run's best weights are kept in `training/checkpoints`: with `--output training/checkpoints` the first command only
exports them.
Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 95 minutes.
Score: best at epoch 10 of 15, validation BACC 0.727 over both collections (HAM10000 0.728, ISIC 2017 0.621); by itself
it was not measured on a test part. Its input is as large as what it was trained on last: at 224 px its validation BACC
was 0.728 on HAM10000 as well, but 0.568 on ISIC 2017.
The table of short runs in training/README.md has an earlier recipe: HAM10000 alone, 96 px, three epochs of 1,500
pictures.
"""

from dataclasses import replace

from training.experiment import Experiment, Stage
from training.experiments import mobilenet_v2

EXPERIMENT = Experiment(
    name="inception_v3",
    network="inception_v3",
    collections=("ham10000", "isic2017"),
    collection_shares=(0.68, 0.32),
    stages=(Stage(size=160, epochs=8), Stage(size=192, epochs=7)),
    input_size=192,
    dropout=0.4,
    peak_learning_rate=3e-4,
    weight_average=0.996,
    precision="mixed_bfloat16",
    augmentation=replace(mobilenet_v2.EXPERIMENT.augmentation, blur=0.35, jpeg=0.4),
)
