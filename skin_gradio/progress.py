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
    if not done or seconds < 1:
        return ""
    return f", about {duration(seconds / done * max(total - done, 0))} left"
