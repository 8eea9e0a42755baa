"""One run on several devices or several hosts: data parallel through `keras.distribution`, on JAX.

Every device holds all weights and takes its rows of each batch; losses, gradients and the statistics of batch
normalisation are those of the whole batch, so that a run's result does not depend on the number of devices (but MixUp
and CutMix pair only pictures that one process makes).

Several processes, one a host, run the same command; Keras' environment variables tell each of them which one it is.
Process 0 alone writes; all read the run's folder, which several hosts must therefore share. Where one process ends
early the others end too, and all must be started again.

Without `start` there is one device, on any backend, and everything here does what one expects of it.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from training.command import UserError

VARIABLES = tuple(f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
PREDICTED_AT_ONCE = 64
Value = TypeVar("Value")


class DistributionError(UserError):
    """What was asked of devices and hosts cannot be had."""


def start(devices: int, batch_size: int) -> None:
    """Spread what follows over devices, and over processes where Keras' environment variables tell of several.

    Call it before anything is computed.

    Args:
        devices: devices of each process; 0 takes all.
        batch_size: pictures of a batch, over all devices.

    Raises DistributionError when there are not that many devices, when they cannot share a batch equally, for another
    backend than JAX, and for environment variables that do not go together.
    """
    several = _several_processes()
    if devices == 1 and not several:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise DistributionError(
            f"Several devices or hosts need --backend jax; this run's backend is {keras.backend.backend()}."
        )
    import jax

    if several:
        keras.utils.set_random_seed(0)  # else initialize() draws a common one; each run sets its own
        keras.distribution.initialize()
    if devices < 0 or devices > jax.local_device_count():
        raise DistributionError(
            f"--devices is {devices}, but there are {jax.local_device_count()} devices here"
            f" ({', '.join(str(device) for device in jax.local_devices())})."
        )
    chosen = [
        device
        for process in range(jax.process_count())
        for device in jax.local_devices(process_index=process)[: devices or None]
    ]
    if batch_size % len(chosen):
        raise DistributionError(
            f"A batch of {batch_size} pictures cannot be shared equally by {len(chosen)} devices; choose a batch size"
            f" that {len(chosen)} divides."
        )
    # The batches come from a generator that makes this process' rows alone: there is nothing left to share out.
    parallel = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)


def _several_processes() -> bool:
    """Whether Keras' environment variables tell of several processes. Raises DistributionError for wrong values."""
    values = [os.environ.get(name, "") for name in VARIABLES]
    if not any(values):
        return False
    if missing := [name for name, value in zip(VARIABLES, values, strict=True) if not value]:
        raise DistributionError(f"{', '.join(missing)} must be set as well: several hosts need {', '.join(VARIABLES)}.")
    addresses, count, number = values
    if ":" not in addresses.split(",")[0]:
        raise DistributionError(f"{VARIABLES[0]} must be HOST:PORT of process 0. Received: {addresses}")
    if not (count.isdecimal() and number.isdecimal() and int(number) < int(count)):
        raise DistributionError(
            f"{VARIABLES[1]} must be the number of processes and {VARIABLES[2]} one of 0, 1, ... below it."
            f" Received: {count} and {number}"
        )
    return int(count) > 1


def stop() -> None:
    """Let the other processes go; what follows is computed on this process' own devices, as before `start`."""
    if _mesh() is None:
        return
    import jax
    import keras

    keras.distribution.set_distribution(None)
    # Here, where all processes are, and not at their exit: process 0 goes on for long, and the others would time out.
    jax.distributed.shutdown()


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return _mesh() is None or _jax().process_index() == 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For what one process does while the others do not: variables made here are on its own devices.

    Keras makes some when it saves weights; spread over all devices they would wait for processes that never come.
    """
    import keras

    shared = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(shared)


def own_rows(rows: int) -> slice:
    """Return which of a batch's rows this process' devices take."""
    mesh = _mesh()
    if mesh is None:
        return slice(0, rows)
    parts = [part.indices(rows) for (part,) in _sharded(mesh, 1).addressable_devices_indices_map((rows,)).values()]
    return slice(min(part[0] for part in parts), max(part[1] for part in parts))


def predictor(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of uint8 (n, size, size, 3) that returns a model's float (n, classes), whole on every process.

    Keras' own predict wants as many pictures as devices in every batch, and of several processes none has all answers.
    """
    mesh = _mesh()
    if mesh is None:
        return lambda pictures: model.predict(pictures, batch_size=PREDICTED_AT_ONCE, verbose=0)
    jax = _jax()

    def forward(trainable: Any, others: Any, pictures: Any) -> Any:
        return model.stateless_call(trainable, others, pictures, training=False)[0]

    compiled = jax.jit(forward, out_shardings=jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    rows = PREDICTED_AT_ONCE * mesh.size

    def predict(pictures: np.ndarray) -> np.ndarray:
        state = [[v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]]
        answers = []
        for first in range(0, len(pictures), rows):
            places = np.arange(first, first + rows)[own_rows(rows)] % len(pictures)  # the last batch is filled up
            shard = jax.make_array_from_process_local_data(_sharded(mesh, pictures.ndim), pictures[places])
            answers.append(compiled(*state, shard))
        return np.concatenate([np.asarray(answer) for answer in answers])[: len(pictures)]

    return predict


def agreed(value: Value) -> Value:
    """Return process 0's value, of plain JSON types, on every process: for what all must decide alike."""
    if _mesh() is None or _jax().process_count() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(broadcast_one_to_all(np.int32(len(text))))
    common: Value = json.loads(broadcast_one_to_all(np.resize(text, length)).tobytes())
    return common


def wait_for_all(place: str) -> None:
    """Return when all processes have come to this place of the program."""
    if _mesh() is not None and _jax().process_count() > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(place)


def _jax() -> Any:
    import jax

    return jax


def _mesh() -> Any:
    """Return the devices that share the work, a `jax.sharding.Mesh`; None for a single one."""
    import keras

    distribution = keras.distribution.distribution()
    return distribution and distribution.device_mesh.backend_mesh


def _sharded(mesh: Any, dimensions: int) -> Any:
    """Return the layout of an array whose rows the devices share."""
    return _jax().sharding.NamedSharding(mesh, _jax().sharding.PartitionSpec("batch", *[None] * (dimensions - 1)))
