"""Clients of a Gradio endpoint that takes a picture, over plain HTTP: one after another, and many at once."""

import contextlib
import http.client
import json
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_BOUNDARY = "picture-7f3a"
_HEAD = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="lesion.jpg"\r\n'
    "Content-Type: image/jpeg\r\n\r\n"
).encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


class PictureClient:
    """A client that asks as the README's curl example does: upload, question, answer, on one connection a request.

    It does as little as a client can, since it shares the machine's cores with the server.

    Args:
        url: the page's address.
        arguments: what the endpoint takes after the picture.
        endpoint: the endpoint's name.
    """

    def __init__(self, url: str, arguments: Sequence[Any] = (), endpoint: str = "classify"):
        self._address = urlsplit(url)
        self._arguments = list(arguments)
        self._endpoint = f"/gradio_api/call/{endpoint}"

    def ask(self, picture: bytes) -> Any:
        """Send one JPEG file's bytes and return the endpoint's first output. Raises RuntimeError for no answer."""
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=300)
        with contextlib.closing(connection):
            body = _HEAD + picture + _TAIL
            path = _post(connection, "/gradio_api/upload", body, f"multipart/form-data; boundary={_BOUNDARY}")[0]
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            question = json.dumps({"data": [file, *self._arguments]}).encode()
            event = _post(connection, self._endpoint, question, "application/json")["event_id"]
            connection.request("GET", f"{self._endpoint}/{event}")
            return _answer(connection.getresponse())


def _post(connection: http.client.HTTPConnection, path: str, body: bytes, kind: str) -> Any:
    connection.request("POST", path, body, {"Content-Type": kind})
    response = connection.getresponse()
    said = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}: {said[:500]!r}")
    return json.loads(said)


def _answer(response: http.client.HTTPResponse) -> Any:
    """Return the first output in a stream of server-sent events."""
    event, data = "", ""
    for line in response.read().decode().splitlines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
    if response.status != 200 or event != "complete":
        raise RuntimeError(f"no answer but status {response.status}, event {event!r}: {data[:500]}")
    return json.loads(data)[0]


@dataclass(frozen=True)
class Load:
    """What clients saw: the seconds of each request, and those from the first question to the last answer."""

    seconds: list[float]
    duration: float

    def figures(self) -> dict[str, float]:
        """Return the number of requests, p50 and p95 (ms), and requests per second."""
        return {
            "requests": len(self.seconds),
            "p50_ms": percentile(self.seconds, 0.5) * 1e3,
            "p95_ms": percentile(self.seconds, 0.95) * 1e3,
            "per_second": len(self.seconds) / self.duration,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share, above 0 and up to 1, of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def ask_at_once(clients: Sequence[PictureClient], pictures: Sequence[bytes], seconds: float) -> Load:
    """Let every client ask again and again, beginning no request after so many seconds; an error of one is raised."""
    ready = threading.Barrier(len(clients) + 1)

    def keep_asking(number: int) -> list[float]:
        taken: list[float] = []
        ready.wait()
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            clients[number].ask(pictures[(number + len(taken)) % len(pictures)])
            taken.append(time.perf_counter() - begun)
        return taken

    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(keep_asking, number) for number in range(len(clients))]
        ready.wait()
        begun = time.perf_counter()
        taken = [one for client in running for one in client.result()]
        return Load(taken, time.perf_counter() - begun)
