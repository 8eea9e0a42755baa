"""How much of the machine other programs took while something was measured. Linux only."""

import os
import time
from pathlib import Path

_IDLE = (3, 4)
"""The columns of /proc/stat that are no work: idle and waiting for a disk."""


class OthersShare:
    """A clock of the CPU time that neither this process nor its children took; started when it is made."""

    def __init__(self) -> None:
        self._began = _used()
        self._at = time.perf_counter()

    def share(self) -> float:
        """Return the share of all cores' time since the start, 0 to 1; children count once they were waited for."""
        (total, ours), (total_before, ours_before) = _used(), self._began
        others = (total - total_before) - (ours - ours_before)
        return min(max(others / ((time.perf_counter() - self._at) * (os.cpu_count() or 1)), 0.0), 1.0)


def _used() -> tuple[float, float]:
    """Return the CPU seconds of the whole machine, another guest's on the same host included, and of this process."""
    columns = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = sum(int(column) for place, column in enumerate(columns) if place not in _IDLE)
    return ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])
