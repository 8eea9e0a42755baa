"""Measure whether training waits for its input: the step alone, the input alone, and both.

    python -m benchmarks.training mobilenet_v2 --size 160
    python -m benchmarks.training densenet121 --backend jax --readme README.md

The same is asked, in the same run, of the two inputs that Keras offers for class folders of JPEG files. Every turn
measures all of them one after another; medians over the turns are printed as a Markdown table, ratios are made within a
turn. Absolute figures hold for the machine they were taken on.
"""

import importlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from benchmarks import keras_inputs
from training import collection
from training.command import UserError, run_command
from training.experiment import Backend, Experiment, Stage
from training.train import load_experiments

if TYPE_CHECKING:
    from training.batches import Examples

UNCOUNTED = os.cpu_count() or 1
"""Batches of each measurement that come before the clock starts: an input that begins is not yet at its pace."""
OURS = "this project"
MEMORY = "the step alone (one batch in memory)"
VARIED = {
    OURS: "flip, rotation, zoom, stretch and shift (one resampling); brightness, contrast, gamma, saturation, colour of"
    " the light; blur, sharpening, loss of resolution; noise, JPEG, hairs, dark rims",
    **keras_inputs.VARIED,
}
"""Every input that is measured, and what it varies."""


@dataclass(frozen=True)
class TrainingCommand:
    """Measure the training step and the inputs that can feed it."""

    experiment: Annotated[str, tyro.conf.Positional] = "mobilenet_v2"
    """Name of an experiment: says the network and how pictures are varied."""
    network: str | None = None
    """Another network than the experiment's."""
    size: int = 160
    """Side of the training pictures, pixels."""
    batch_size: int = 32
    """Pictures per step."""
    steps: int = 20
    """Steps of each measurement, after one per core that does not count."""
    repeats: int = 5
    """Turns, after one that warms up and does not count."""
    collection: str = "ham10000"
    """Named collection, or a folder or CSV file of your own."""
    pictures: int = 1500
    """Training pictures that are drawn from; rounded down to whole batches."""
    data: Path | None = None
    """Folder that holds the named collections' folders; else HAM10000_DIR and the like, else `data`."""
    backend: Backend = "tensorflow"
    """Keras' backend (unless KERAS_BACKEND says otherwise)."""
    readme: Path | None = None
    """A README whose table (between its `training-speed` marks, on a GPU `training-speed-gpu`) is replaced."""


@dataclass(frozen=True)
class Measured:
    """Pictures per second, one figure a turn."""

    step: list[float]
    alone: dict[str, list[float]]
    """Input alone, by its name in VARIED."""
    cost: dict[str, list[float]]
    """Milliseconds of all cores together that the input alone takes for a picture, which other work on the machine
    changes little."""
    both: dict[str, list[float]]
    """Training with that input."""


def chosen_experiment(command: TrainingCommand) -> Experiment:
    """Return the experiment that is measured, from random weights. Raises UserError for an unknown name."""
    known = load_experiments()
    if command.experiment not in known:
        raise UserError(f"experiment must be one of {', '.join(known)}. Received: {command.experiment}")
    if min(command.size, command.batch_size, command.steps, command.repeats) < 1:
        raise UserError("size, batch-size, steps and repeats must be at least 1.")
    experiment = known[command.experiment]
    return replace(
        experiment,
        network=command.network or experiment.network,
        stages=(Stage(command.size, epochs=command.repeats + 1),),
        collections=(command.collection,),
        collection_shares=(),
        start="random",
        batch_size=command.batch_size,
        epoch_pictures=command.steps * command.batch_size,
    )


def compiled(experiment: Experiment, classes: int) -> Any:
    """Return the experiment's model, compiled as training compiles it."""
    from training import fit

    model = fit.build(experiment, classes)
    fit.compile_model(model, experiment, experiment.phase(0))
    return model


def input_rate(source: Any, batch_size: int) -> tuple[float, float]:
    """Return the pictures per second of an input that nothing consumes, and its CPU time per picture, milliseconds."""
    clocks = [(time.perf_counter(), time.process_time()) for _ in _drawn(source)]
    rate, per_cpu_second = (batch_size * _steady_rate(times) for times in zip(*clocks, strict=True))
    return rate, 1000 / per_cpu_second


def _drawn(source: Any) -> Iterator[Any]:
    import keras

    if isinstance(source, keras.utils.PyDataset):  # as fit draws it: ahead, on its workers
        with ThreadPoolExecutor(source.workers) as pool:
            yield from pool.map(source.__getitem__, range(len(source)))
    else:
        yield from source


def training_rate(model: Any, source: Any, steps: int, batch_size: int) -> float:
    """Return the pictures per second of Keras' fit."""
    import keras

    ends: dict[int, float] = {}

    class Clock(keras.callbacks.Callback):
        """Notes when each step has ended."""

        async_safe = True  # else fit would wait for every step before it starts the next

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            ends[batch] = time.perf_counter()

    model.fit(source, steps_per_epoch=steps, callbacks=[Clock()], shuffle=False, verbose=0)
    # At its end fit lets weights and their average share JAX's buffers, which the next fit would give away twice.
    for variable in model.trainable_variables:
        variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
    return batch_size * _steady_rate(ends.values())


def _steady_rate(times: Iterable[float]) -> float:
    """Return batches per second between the last uncounted one's time and the last one's."""
    counted = sorted(times)[UNCOUNTED - 1 :]
    return (len(counted) - 1) / (counted[-1] - counted[0])


def measure(
    experiment: Experiment, train: "Examples", codes: Sequence[str], files: Path, size: int, repeats: int
) -> Measured:
    """Measure everything in turns.

    Args:
        experiment: what is trained; an epoch of it has the steps that count.
        train: the pictures, decoded.
        codes: the classes, in order.
        files: the same pictures' files in one folder per class.
        size: side of the training pictures, pixels.
        repeats: turns that count.
    """
    import keras
    import tensorflow as tf

    from training.batches import training_batches

    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # tf.data stays on the CPU and leaves the memory to the backend
    keras.utils.set_random_seed(experiment.seed)
    model = compiled(experiment, len(codes))
    batch = next(training_batches(experiment, train, size, range(1)))
    memory = tf.data.Dataset.from_tensors(tuple(tf.constant(part) for part in batch)).repeat()
    opened = keras_inputs.open_inputs(files, codes, experiment, size)
    rows = experiment.batch_size
    measured = Measured([], {name: [] for name in VARIED}, {name: [] for name in VARIED}, {name: [] for name in VARIED})
    for turn in range(repeats + 1):
        # The first turn compiles and warms up.
        steps = UNCOUNTED + (experiment.steps_per_epoch if turn else 1)
        epoch = replace(experiment, epoch_pictures=steps * rows), train, size, range(turn, turn + 1)
        step = training_rate(model, memory.take(steps), steps, rows)
        if turn:
            measured.step.append(step)
        for name in VARIED:
            first, second = (opened[name](steps) if name in opened else training_batches(*epoch) for _ in range(2))
            (alone, cost), both = input_rate(first, rows), training_rate(model, second, steps, rows)
            if turn:
                measured.alone[name].append(alone)
                measured.cost[name].append(cost)
                measured.both[name].append(both)
                print(f"turn {turn}  {name}: {alone:.0f} alone, {both:.0f} in training; step {step:.0f}", flush=True)
    return measured


def table(measured: Measured) -> str:
    """Return the medians as a Markdown table: pictures per second, and ratios within a turn."""

    def median(values: Iterable[float]) -> str:
        figure = statistics.median(values)
        return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"

    def ratio(values: list[float], to: list[float]) -> str:
        return median(a / b for a, b in zip(values, to, strict=True))

    lines = [
        "| input | input alone, pictures/s | its CPU time, ms/picture | training with it, pictures/s |"
        f" share of the step alone | speed-up by {OURS}, alone | speed-up by {OURS}, training |",
        "|---|---|---|---|---|---|---|",
        f"| {MEMORY} | - | - | {median(measured.step)} | 1 | - | - |",
    ]
    for name in VARIED:
        alone, both = measured.alone[name], measured.both[name]
        cells = [
            name,
            median(alone),
            median(measured.cost[name]),
            median(both),
            ratio(both, measured.step),
            ratio(measured.alone[OURS], alone) if name != OURS else "-",
            ratio(measured.both[OURS], both) if name != OURS else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gpu_name() -> str:
    """Return the name of the GPU that the backend computes on; empty where there is none."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return "" if device.platform == "cpu" else str(device.device_kind)
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")) if found else ""


def run(command: TrainingCommand) -> str:
    """Return the whole report, Markdown. Raises UserError where the command asks for what there is not."""
    import cv2
    import keras
    import tensorflow as tf

    from training import examples
    from training.batches import Examples, decode_cached

    experiment = chosen_experiment(command)
    source = collection.load(command.collection, command.data)
    codes = examples.classes(experiment, [source])
    part = source.part("train")
    count = min(command.pictures, len(part)) // command.batch_size * command.batch_size
    if not count:
        raise UserError(f"{min(command.pictures, len(part))} pictures do not fill a batch of {command.batch_size}.")
    part = part.sample(count, random_state=experiment.seed).reset_index(drop=True)
    labels = collection.label_positions(source, part["label"], codes)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        pictures = decode_cached(list(part["path"]), Path(folder) / "cache")
        decoding = time.perf_counter() - start
        keras_inputs.sort_files(list(part["path"]), labels, codes, Path(folder) / "files")
        held = collection.held_classes(source, codes)[None]
        train = Examples(list(pictures), labels, np.zeros(count, int), held)
        measured = measure(experiment, train, codes, Path(folder) / "files", command.size, command.repeats)
    libraries = [keras, np, cv2, tf] + ([importlib.import_module("jax")] if keras.backend.backend() == "jax" else [])
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)
    return "\n".join(
        [
            f"{experiment.network} at {command.size} pixels, batches of {command.batch_size};"
            f" {count:,} pictures of {source.title}; {os.cpu_count()} CPU cores, {gpu_name() or 'no GPU'}, backend"
            f" {keras.backend.backend()}; {versions}. Medians of"
            f" {command.repeats} turns of {command.steps} steps.",
            "",
            table(measured),
            "",
            f"Decoding the {count:,} pictures once, which {OURS} does before its first run: {decoding:.1f} s. What each"
            " input varies:",
            "",
            *(f"- {name}: {kinds}." for name, kinds in VARIED.items()),
        ]
    )


def main() -> None:
    """Run the command line."""
    command = tyro.cli(TrainingCommand)
    os.environ.setdefault("KERAS_BACKEND", command.backend)
    report = run(command)
    print(report)
    if command.readme:
        from training.card import replace_marked

        replace_marked(command.readme, "training-speed-gpu" if gpu_name() else "training-speed", report)


if __name__ == "__main__":
    run_command(main)
