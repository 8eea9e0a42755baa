"""How far a long job is, in words."""


def duration(seconds: float) -> str:
    """Return a time for reading: seconds, whole minutes or hours."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def remaining(done: int, total: int, seconds: float) -> str:
    """Return the time left as the end of a sentence, or nothing while it cannot be told.

    Args:
        done: how many pieces `seconds` were spent on.
        total: how many there are.
        seconds: time spent so far.
    """
    left = seconds_left(done, total, seconds)
    return "" if left is None else f", about {duration(left)} left"


def seconds_left(done: int, total: int, seconds: float) -> float | None:
    """Return the time left in seconds, None while it cannot be told; arguments as of `remaining`."""
    return seconds / done * max(total - done, 0) if done and seconds >= 1 else None
