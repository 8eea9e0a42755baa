"""InceptionV3 once more, taught by its average with the distilled MobileNetV2: for a larger model than the default.

After the first five commands of `mobilenet_v2_distilled`:

    python -m training.average runs/weights/mobilenet_v2_distilled runs/weights/inception_v3 --name second_ensemble \
        --shares 0.6 0.4 --half-precision --weights runs/weights
    python -m training.train inception_v3_taught --weights runs/weights
    python -m training.average runs/weights/inception_v3 runs/weights/inception_v3_taught --name inception_v3_mean \
        --of weights --weights runs/weights
    python -m training.average mobilenet_v2 runs/weights/inception_v3_mean --name mobilenet_v2_inception_v3 \
        --shares 0.65 0.35 --half-precision --weights runs/weights

The last command makes the largest model so far. It is not shipped, being no better than the default on the test parts
(training/README.md).
Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 21 minutes.
Score: best at epoch 2 of 3; asked at 192 px validation BACC 0.702 over both collections (HAM10000 0.699, ISIC 2017
0.649), its mean with where it started 0.738 (0.736, 0.675). By itself it was not measured on a test part.
"""

from dataclasses import replace

from training.experiments import inception_v3, mobilenet_v2_distilled

EXPERIMENT = replace(
    inception_v3.EXPERIMENT,
    name="inception_v3_taught",
    start="runs/weights/inception_v3",
    stages=mobilenet_v2_distilled.EXPERIMENT.stages,
    teacher="runs/weights/second_ensemble",
    augmentation=mobilenet_v2_distilled.EXPERIMENT.augmentation,
)
