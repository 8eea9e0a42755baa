"""What the rivals that answer one picture at a time measure alike; imported from beside them, in any environment."""

import json
import resource
import time
from collections.abc import Callable, Sequence


def report(classify: Callable[[str], object], files: Sequence[str]) -> None:
    """Classify files one after the other, the first once before; prints pictures per second and the most memory, MB."""
    classify(files[0])
    start = time.perf_counter()
    for file in files:
        classify(file)
    rate = len(files) / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"per_second": rate, "peak_mb": peak}))
