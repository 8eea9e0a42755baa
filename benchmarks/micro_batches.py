"""Would single requests be answered sooner if those that wait were put into one forward pass?

    python -m benchmarks.micro_batches

Callers on threads ask for one picture at a time, as the page's requests do; the page runs 4 at once. They call ONNX
Runtime each for itself, take turns, or hand their pictures to a thread that takes all that wait, up to a limit, into
one forward pass, and waits for none. It pays where it raises the requests per second or lowers the latency that 95 %
keep to.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import tyro

from skin_gradio.engines import Engine, OnnxEngine
from skin_gradio.models import find_model

Ask = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MicroBatchCommand:
    """Compare ways to answer concurrent requests for one picture each."""

    model: str = "mobilenet_v2"
    """A bundled model's name, a folder or a Hub id."""
    callers: tuple[int, ...] = (1, 4, 8, 32)
    """How many ask at once."""
    limits: tuple[int, ...] = (4, 32)
    """Most pictures in a forward pass, where they are put together."""
    requests: int = 256
    """Requests of each measurement."""
    turns: int = 3
    """Measurements of each way, in turn with the others; their median counts."""


@contextlib.contextmanager
def each_for_itself(engine: Engine) -> Iterator[Ask]:
    """Let callers call the engine."""
    yield lambda picture: engine.run(picture[None]).probabilities[0]


@contextlib.contextmanager
def taking_turns(engine: Engine) -> Iterator[Ask]:
    """Let one caller at a time call the engine."""
    lock = threading.Lock()

    def ask(picture: np.ndarray) -> np.ndarray:
        with lock:
            return engine.run(picture[None]).probabilities[0]

    yield ask


@contextlib.contextmanager
def put_together(engine: Engine, limit: int) -> Iterator[Ask]:
    """Let a thread take what waits, up to `limit` pictures, into one forward pass."""
    waiting: queue.SimpleQueue[tuple[np.ndarray, Future[np.ndarray]] | None] = queue.SimpleQueue()

    def ask(picture: np.ndarray) -> np.ndarray:
        answer: Future[np.ndarray] = Future()
        waiting.put((picture, answer))
        return answer.result()

    def work() -> None:
        while (first := waiting.get()) is not None:
            taken = [first]
            while len(taken) < limit and not waiting.empty():
                if (other := waiting.get()) is None:
                    return
                taken.append(other)
            answers = engine.run(np.stack([picture for picture, _ in taken])).probabilities
            for (_, future), answer in zip(taken, answers, strict=True):
                future.set_result(answer)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    yield ask
    waiting.put(None)
    worker.join()


def measure(ask: Ask, picture: np.ndarray, callers: int, requests: int) -> tuple[float, float, float]:
    """Return requests per second, and the latency that 50 % and 95 % of the requests keep to, ms."""
    taken: list[float] = []

    def call() -> None:
        for _ in range(max(requests // callers, 1)):
            begun = time.perf_counter()
            ask(picture)
            taken.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(taken) / (time.perf_counter() - begun)
    half, most = np.quantile(taken, [0.5, 0.95])
    return rate, 1e3 * float(half), 1e3 * float(most)


def main() -> None:
    """Run the command line."""
    command = tyro.cli(MicroBatchCommand)
    engine = OnnxEngine(model := find_model(command.model))
    picture = np.random.default_rng(0).integers(0, 256, (model.input_size, model.input_size, 3), np.uint8)
    ways: dict[str, Callable[[], contextlib.AbstractContextManager[Ask]]] = {
        "each for itself": lambda: each_for_itself(engine),
        "taking turns": lambda: taking_turns(engine),
    }
    for limit in command.limits:
        ways[f"together, at most {limit}"] = lambda limit=limit: put_together(engine, limit)  # type: ignore[misc]
    print(f"{os.cpu_count()} CPU cores, {command.model}\n")
    print("| callers | way | requests/s | 50 %, ms | 95 %, ms |\n|---|---|---|---|---|")
    for callers in command.callers:
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for turn in range(command.turns + 1):
            for name, way in ways.items():
                with way() as ask:
                    measured = measure(ask, picture, callers, command.requests)
                if turn:  # the first one warms up
                    figures[name].append(measured)
        for name, found in figures.items():
            rate, half, most = np.median(found, axis=0)
            print(f"| {callers} | {name} | {rate:.0f} | {half:.1f} | {most:.1f} |", flush=True)


if __name__ == "__main__":
    main()
