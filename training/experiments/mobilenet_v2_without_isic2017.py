"""The recipe `mobilenet_v2` without ISIC 2017: what carries over to cameras that no training picture came from.

    python -m training.train mobilenet_v2_without_isic2017 --weights runs/weights
    python -m training.compare runs/weights/mobilenet_v2_ham10000 runs/weights/mobilenet_v2_without_isic2017 \
        weights/mobilenet_v2 --on ham10000 isic2017

Like `mobilenet_v2` it goes on from `runs/mobilenet_v2_ham10000`, for as many epochs of as many pictures, all of them
HAM10000's. On ISIC 2017 the first two models of the comparison differ by the stronger variation alone, the last two by
having seen that collection's training part.
Hardware, duration and score: not trained in full yet; `LOG.md` has three epochs of it.
"""

from dataclasses import replace

from training.experiments import mobilenet_v2

EXPERIMENT = replace(
    mobilenet_v2.EXPERIMENT,
    name="mobilenet_v2_without_isic2017",
    collections=("ham10000",),
    collection_shares=(),
)
