"""The benchmark that weighs micro-batches against single calls compares ways that answer alike."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from benchmarks.micro_batches import each_for_itself, measure, put_together, taking_turns
from tests.conftest import MeanColourEngine

WAYS = [each_for_itself, taking_turns, partial(put_together, limit=3)]


class Recording(MeanColourEngine):
    """An engine that notes how many pictures each call has, and begins when it is let."""

    def __init__(self):
        self.sizes = []
        self.gate = threading.Event()

    def run(self, pictures):
        self.gate.wait(10)
        self.sizes.append(len(pictures))
        return super().run(pictures)


@pytest.mark.parametrize("way", WAYS)
def test_every_caller_gets_the_answer_for_its_own_picture(way):
    engine = MeanColourEngine()
    pictures = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
    with way(engine) as ask, ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(ask, pictures))
    np.testing.assert_allclose(answers, engine.run(pictures).probabilities, rtol=1e-6)


def test_what_waits_is_put_together_up_to_the_limit():
    engine = Recording()
    with put_together(engine, limit=3) as ask, ThreadPoolExecutor(8) as callers:
        asked = [callers.submit(ask, picture) for picture in np.zeros((8, 4, 4, 3), np.uint8)]
        while not all(one.running() for one in asked):
            time.sleep(0.01)
        engine.gate.set()
    assert sum(engine.sizes) == 8
    assert len(engine.sizes) < 8
    assert max(engine.sizes) <= 3


def test_a_measurement_counts_every_request():
    engine = Recording()
    engine.gate.set()
    with each_for_itself(engine) as ask:
        rate, half, most = measure(ask, np.zeros((4, 4, 3), np.uint8), callers=4, requests=20)
    assert len(engine.sizes) == 20
    assert rate > 0
    assert 0 < half <= most
