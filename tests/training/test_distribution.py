import csv
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from training import distribution
from training.fit import read_progress

pytestmark = pytest.mark.training


def start(folder, *arguments, devices=1, **variables):
    """Start the tiny run on JAX, on a machine of so many simulated devices."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **variables,
    }
    command = [sys.executable, "-m", "tests.training.spread", str(folder), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_two_processes(folder, *arguments_of_first):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    return [
        start(folder, 1, *more, KERAS_DISTRIBUTION_PROCESS_ID=str(number), **shared)
        for number, more in enumerate([arguments_of_first, ()])
    ]


def end(process):
    """Return what a run said, its errors last, once it has ended well."""
    said, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    return said


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    end(start(folder, 1))
    return figures(folder)


def figures(folder):
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert rows
    return [[float(value) for name, value in row.items() if name != "seconds"] for row in rows]


def test_two_devices_end_with_the_figures_of_one(one_device, tmp_path):
    end(start(tmp_path, 0, devices=2))
    np.testing.assert_allclose(figures(tmp_path), one_device, rtol=1e-4)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A run of two processes, one killed after two epochs of three, and the status that the other ended with."""
    folder = tmp_path_factory.mktemp("hosts")
    first, second = start_two_processes(folder, 2)
    # This order: the second one's death is noticed by its missing heartbeats alone, after most of a minute.
    for process in (first, second):
        process.communicate()
    return folder, second.returncode


def test_two_processes_reach_the_figures_of_one(one_device, broken):
    folder, _ = broken
    np.testing.assert_allclose(figures(folder), one_device[:2], rtol=1e-4)


def test_where_one_process_dies_the_other_does_not_wait_for_ever(broken):
    _, status = broken
    assert status != 0


def test_two_processes_go_on_where_they_were_killed(one_device, broken):
    folder, _ = broken
    said = [end(process) for process in start_two_processes(folder)]
    np.testing.assert_allclose(figures(folder), one_device, rtol=1e-4)
    assert "epoch 3/3" in said[0]
    assert "epoch" not in said[1]
    progress = read_progress(folder)
    files = {file.name for file in folder.iterdir()}
    assert files == {"history.csv", "progress.json", progress.state_file, progress.best_file}


def test_more_devices_than_there_are_is_one_clear_line(tmp_path):
    process = start(tmp_path, 3, devices=2)
    assert "--devices is 3, but there are 2 devices here" in process.communicate()[1]
    assert process.returncode == 2


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path):
    process = start(tmp_path, 3, devices=3)
    assert "batch of 16 pictures cannot be shared equally by 3 devices" in process.communicate()[1]
    assert process.returncode == 2


def test_the_command_refuses_several_devices_on_another_backend_than_jax():
    command = [sys.executable, "-m", "training.train", "mobilenet_v2", "--devices", "2"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "need --backend jax; this run's backend is tensorflow" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("127.0.0.1:1234", "2", ""), "KERAS_DISTRIBUTION_PROCESS_ID must be set as well"),
        (("127.0.0.1", "2", "0"), "must be HOST:PORT"),
        (("127.0.0.1:1234", "2", "2"), "Received: 2 and 2"),
        (("127.0.0.1:1234", "two", "0"), "Received: two and 0"),
    ],
    ids=str,
)
def test_variables_that_do_not_go_together_are_refused(monkeypatch, values, message):
    for name, value in zip(distribution.VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(distribution.DistributionError, match=message):
        distribution.start(1, 32)


def test_a_single_device_takes_every_row_and_writes():
    distribution.start(1, 32)
    assert distribution.own_rows(32) == slice(0, 32)
    assert distribution.is_first()
    assert distribution.agreed({"epoch": 3}) == {"epoch": 3}
