"""An HTTP proxy on loopback that passes requests on to an S3 server, until told to be slow or to fail."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Request"], None]
"""Called before a request is passed on; it may wait, or raise Answer."""


class Answer(Exception):
    """Answers instead of the server."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


class Request:
    """What a fault is told: its number, counted from when the fault was set, and whether it reads a range."""

    def __init__(self, number: int, method: str, path: str, ranged: bool) -> None:
        self.number = number
        self.method = method
        self.path = path
        self.ranged = ranged


class FaultyProxy:
    """A running proxy."""

    def __init__(self, target: str, address: str) -> None:
        self.target = target
        self.fault: Fault = lambda _request: None
        self.count = 0
        self.answers: list[int] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                with outer._lock:
                    outer.count += 1
                    request = Request(outer.count, self.command, self.path, "Range" in self.headers)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                try:
                    outer.fault(request)
                    status, headers, content = outer._ask(self.command, self.path, dict(self.headers), body)
                except Answer as answer:
                    status, headers = answer.status, {}
                    content = f"<Error><Code>{answer.code}</Code></Error>".encode()
                outer.answers.append(status)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if "Content-Length" not in headers:
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)
                except OSError:
                    # Who asked did not wait.
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _pass_on

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self._server.server_port}"

    def break_by(self, fault: Fault) -> None:
        """Set what goes wrong from the next request on."""
        self.count = 0
        self.answers.clear()
        self.fault = fault

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        # The signature covers the host that the client asked for; the server does not compare it with its own.
        request = urllib.request.Request(self.target + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _plain(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, _plain(error.headers), error.read()


@contextmanager
def run_proxy(target: str, address: str = "127.0.0.1") -> Iterator[FaultyProxy]:
    """Run a proxy in front of a server, at an address of this machine."""
    proxy = FaultyProxy(target, address)
    thread = threading.Thread(target=proxy._server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy._server.shutdown()
        proxy._server.server_close()
        thread.join()


def fail(status: int, code: str, *, times: int = 1 << 30, after: int = 0) -> Fault:
    """Answer some range reads with an error: so many, after so many that went well."""
    reads = 0

    def fault(request: Request) -> None:
        nonlocal reads
        if request.method == "GET" and request.ranged:
            reads += 1
            if after < reads <= after + times:
                raise Answer(status, code)

    return fault


def delay(seconds: float) -> Fault:
    """Answer range reads late."""

    def fault(request: Request) -> None:
        if request.ranged:
            time.sleep(seconds)

    return fault


def _plain(headers: Message) -> dict[str, str]:
    own = ("connection", "transfer-encoding", "date")
    return {name: value for name, value in headers.items() if name.lower() not in own}
