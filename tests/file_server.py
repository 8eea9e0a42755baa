"""A local stand-in for the hosts that data comes from: ranges, versions, and the faults of a bad day."""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: an answer of another status, or a connection cut after some bytes."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


class FileServer:
    """Serves `files` (path -> bytes); each request takes the next of its path's `faults`, if any is left."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[tuple[str, str]] = []
        """Path and Range header of every request, in order."""
        self.ranges = True
        self.validators = True
        self.pause = 0.0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def asked(self, path):
        """The Range headers of the requests for a path."""
        return [span for asked, span in self.requests if asked == path]

    def add_json(self, path, value):
        self.files[path] = json.dumps(value).encode()
        self.types[path] = "application/json"

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server._answer(self)

            def log_message(self, *_):
                pass

        return Handler

    def _answer(self, handler):
        asked = handler.headers.get("Range", "")
        self.requests.append((handler.path, asked))
        fault = self.faults[handler.path].pop(0) if self.faults.get(handler.path) else Fault()
        body = self.files.get(handler.path)
        if fault.status or body is None:
            handler.send_response(fault.status or 404)
            for name, value in {"Content-Length": "0", **fault.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        start = self._start(handler, asked, etag)
        if start is not None and start >= len(body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(200 if start is None else 206)
        if start is not None:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Type", self.types.get(handler.path, "application/octet-stream"))
        handler.send_header("Content-Length", str(len(body) - (start or 0)))
        if self.validators:
            handler.send_header("ETag", etag)
        handler.end_headers()
        rest = body[start or 0 :]
        threading.Event().wait(self.pause)
        handler.wfile.write(rest[: fault.cut_after])
        if fault.cut_after is not None:
            handler.close_connection = True

    def _start(self, handler, asked, etag):
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        unchanged = handler.headers.get("If-Range") in (None, etag)
        return int(match[1]) if match and self.ranges and unchanged else None


@contextlib.contextmanager
def serving():
    """A FileServer that runs while the block does."""
    server = FileServer()
    server._thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        server._server.server_close()
        server._thread.join()
