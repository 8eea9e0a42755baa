"""The inputs that Keras offers for class folders of pictures, varied by the kinds of augmentation that each has.

They yield what the project's loss and network take (see `training.batches.training_batches`), so that one and the same
training step is compared.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.experiment import Augmentation, Experiment

DATASET = "image_dataset_from_directory"
CACHED = "image_dataset_from_directory, cached"
GENERATOR = "ImageDataGenerator"
VARIED = {
    DATASET: "flip, rotation, zoom, shift (one resampling each); brightness, contrast, saturation; blur, sharpness",
    CACHED: "the same; pictures are decoded once and kept in memory as float32",
    GENERATOR: "flip, rotation, zoom, stretch and shift (one resampling); brightness, one shift of each colour channel",
}
"""What each varies."""


def open_inputs(
    folder: Path, codes: Sequence[str], experiment: Experiment, size: int
) -> dict[str, Callable[[int], Any]]:
    """Return, by name, what makes a number of steps' batches in a form that Keras' fit takes.

    Args:
        folder: one sub-folder per class with its pictures.
        codes: the classes, in order.
        experiment: gives the batch size, and the ranges of variation where they can be set.
        size: side of the pictures, pixels.
    """
    return {
        DATASET: keras_dataset(folder, codes, experiment, size, cached=False),
        CACHED: keras_dataset(folder, codes, experiment, size, cached=True),
        GENERATOR: keras_generator(folder, codes, experiment, size),
    }


def sort_files(paths: Sequence[Path], labels: np.ndarray, codes: Sequence[str], folder: Path) -> None:
    """Fill a folder with one sub-folder per class that holds links to its pictures."""
    for code in codes:
        (folder / code).mkdir(parents=True)
    for number, (path, label) in enumerate(zip(paths, labels, strict=True)):
        (folder / codes[label] / f"{number}{path.suffix}").symlink_to(path.resolve())


def keras_layers(options: Augmentation) -> list[Any]:
    """Return Keras' layers for the kinds of variation that it has, with the experiment's ranges where it takes them."""
    from keras import layers

    smallest, largest = options.zoom
    # This layer's unit: x multiplies the saturation by x / (1 - x).
    saturation = tuple(gain / (1 + gain) for gain in (1 - options.saturation, 1 + options.saturation))
    return [
        layers.RandomFlip(),
        layers.RandomRotation(0.5),
        layers.RandomZoom((1 / largest - 1, 1 / smallest - 1)),
        layers.RandomTranslation(options.shift, options.shift),
        layers.RandomBrightness(options.brightness),
        layers.RandomContrast(options.contrast),
        layers.RandomSaturation(saturation),
        layers.RandomGaussianBlur(kernel_size=5),
        layers.RandomSharpness((0.4, 0.9)),
    ]


def keras_dataset(
    folder: Path, codes: Sequence[str], experiment: Experiment, size: int, cached: bool
) -> Callable[[int], Any]:
    """Return what opens `image_dataset_from_directory`, with Keras' layers in its map, for a number of steps."""
    import keras
    import tensorflow as tf

    layers = keras_layers(experiment.augmentation)

    def vary(pictures: Any, labels: Any) -> Any:
        for layer in layers:
            pictures = layer(pictures, training=True)
        targets = tf.concat([labels, tf.zeros_like(labels)], axis=1)
        return tf.cast(pictures, "uint8"), targets, tf.ones(tf.shape(labels)[:1])

    dataset = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        class_names=list(codes),
        batch_size=experiment.batch_size,
        image_size=(size, size),
        crop_to_aspect_ratio=True,
        verbose=False,
    )
    if cached:
        dataset = dataset.cache()
        for _ in dataset:
            pass
    varied = dataset.repeat().map(vary, num_parallel_calls=tf.data.AUTOTUNE)
    return lambda steps: varied.take(steps).prefetch(tf.data.AUTOTUNE)


def keras_generator(folder: Path, codes: Sequence[str], experiment: Experiment, size: int) -> Callable[[int], Any]:
    """Return what opens `ImageDataGenerator.flow_from_directory` for a number of steps."""
    import keras
    import tensorflow as tf

    options = experiment.augmentation
    smallest, largest = options.zoom
    # Keras 3 alone no longer shows it; TensorFlow's door to Keras 3 does, and it works on every backend.
    flow = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=180,
        width_shift_range=options.shift,
        height_shift_range=options.shift,
        zoom_range=(1 / largest, 1 / smallest),
        brightness_range=(1 - options.brightness, 1 + options.brightness),
        channel_shift_range=255 * options.channel_gain,
        horizontal_flip=True,
        vertical_flip=True,
        fill_mode="reflect",
    ).flow_from_directory(
        str(folder),
        target_size=(size, size),
        keep_aspect_ratio=True,
        interpolation="bilinear",
        classes=list(codes),
        batch_size=experiment.batch_size,
    )

    class Batches(keras.utils.PyDataset):
        """The flow's batches, drawn on threads on all cores: a flow alone has one."""

        def __init__(self, steps: int):
            super().__init__(workers=os.cpu_count() or 1)
            self.steps = steps

        def __len__(self) -> int:
            return self.steps

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            pictures, labels = flow[step % len(flow)]
            targets = np.concatenate([labels, np.zeros_like(labels)], axis=1)
            return pictures.astype(np.uint8), targets, np.ones(len(labels), np.float32)

    return Batches
