"""A MobileNetV2 that learned from an average of two networks as well as from the labels; a third of the default.

    python -m training.train mobilenet_v2_ham10000 --weights runs/weights
    python -m training.train mobilenet_v2 --name mobilenet_v2_cameras --weights runs/weights
    python -m training.train inception_v3 --output training/checkpoints --weights runs/weights
    python -m training.average runs/weights/mobilenet_v2_cameras runs/weights/inception_v3 --name ensemble \
        --weights runs/weights
    python -m training.train mobilenet_v2_distilled --weights runs/weights
    python -m training.average runs/weights/mobilenet_v2_cameras runs/weights/mobilenet_v2_distilled \
        --name mobilenet_v2 --of weights --shares 0.65 0.35

The fifth command goes on from the second one's best weights, with more blur and JPEG. Its teacher is the average, which
is asked about each training picture once. Few epochs, at 160 pixels, asked at 224: in more of them, or trained at 224
as well, it learns the training pictures by heart (`LOG.md`). The last command makes the default,
`weights/mobilenet_v2`: the weights between the two that have the best validation BACC.
Hardware and duration: two CPU cores that did other work as well, TensorFlow backend, 10 minutes after the others' 276.
Score: validation BACC 0.750 over both collections at 224 px (HAM10000 0.754, ISIC 2017 0.666); test BACC 0.750 (0.704
to 0.799) on HAM10000, 0.543 (0.491 to 0.595) on ISIC 2017, all at equal priors. The default's are in its card.
"""

from dataclasses import replace

from training.experiment import Stage
from training.experiments import mobilenet_v2

EXPERIMENT = replace(
    mobilenet_v2.EXPERIMENT,
    name="mobilenet_v2_distilled",
    start="runs/mobilenet_v2_cameras",
    stages=(Stage(size=160, epochs=3),),
    teacher="runs/weights/ensemble",
    augmentation=replace(mobilenet_v2.EXPERIMENT.augmentation, blur=0.4, jpeg=0.45),
)
