"""DenseNet121 on both collections, taught by an average of two other networks: a third of the larger model that ships.

After all of `mobilenet_v2_distilled`:

    python -m training.train densenet121_taught --weights runs/weights
    python -m training.average mobilenet_v2 runs/weights/densenet121_taught --name mobilenet_v2_densenet121 \
        --shares 0.65 0.35 --half-precision

The teacher is the student's. Pictures are trained at 128 and 160 pixels, as two CPU cores want it, and asked at 192.
The second command makes `weights/mobilenet_v2_densenet121`.
Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 83 minutes.
Score: best at epoch 10 of 10, still rising, validation BACC 0.737 over both collections at 160 px (HAM10000 0.738, ISIC
2017 0.626). By itself it was not measured on a test part; the average's figures are in its card.
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
