"""The tiny run on devices that share it: `python -m tests.training.spread FOLDER DEVICES [EPOCH THAT KILLS IT]`."""

import os
import signal
import sys
from dataclasses import replace

from tests.training import tiny
from training.command import run_command
from training.experiment import Stage

EXPERIMENT = replace(tiny.EXPERIMENT, stages=(Stage(size=24, epochs=2), Stage(size=24, epochs=1)))


def main():
    from training import distribution

    folder, devices, last = sys.argv[1], int(sys.argv[2]), int((sys.argv[3:] or ["0"])[0])

    def die(row):
        if row["epoch"] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    distribution.start(devices, EXPERIMENT.batch_size)
    tiny.train(folder, EXPERIMENT, on_epoch=die)
    distribution.stop()


if __name__ == "__main__":
    run_command(main)
