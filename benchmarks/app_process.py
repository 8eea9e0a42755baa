"""Starts `app.py` in a process of its own, as its users do: for whatever measures, tests or photographs the page."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class RunningApp(NamedTuple):
    """An app that answers: its address, ending in a slash, and its process id."""

    url: str
    process: int


@contextlib.contextmanager
def running_app(
    *flags: str, environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[RunningApp]:
    """Start `app.py` on a free port of this machine, wait until it serves its page, and stop it at the block's end.

    Args:
        flags: further options of `app.py`.
        environment: variables that it gets besides this process' own.
        log: file for what it writes; without one, its standard output is dropped and its errors are shown here.

    Raises RuntimeError when it does not open its page.
    """
    with running_server([sys.executable, str(ROOT / "app.py"), *flags], environment, log) as app:
        yield app


@contextlib.contextmanager
def running_server(
    command: Sequence[str], environment: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[RunningApp]:
    """Start any server that takes `--host` and `--port` as `running_app` starts `app.py`; raises what that raises."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with open(log or os.devnull, "wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT if log else None,
        )
    try:
        if not wait_for_page(url, server):
            said = f" It wrote:\n{log.read_text(errors='replace')}" if log else ""
            raise RuntimeError(f"{' '.join(command)} did not open its page.{said}")
        yield RunningApp(url, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for_page(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> bool:
    """Say whether the page opens within that time, while the process lives."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def resident_megabytes(process: int) -> float:
    """Return a process' resident memory, MB. Linux only; raises ProcessLookupError when it has ended."""
    return _status_megabytes(process, "VmRSS")


def peak_megabytes(process: int) -> float:
    """Return the most memory that a process has ever had resident, MB. Linux only; raises as that does."""
    return _status_megabytes(process, "VmHWM")


def _status_megabytes(process: int, field: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"There is no process {process} any more.")
