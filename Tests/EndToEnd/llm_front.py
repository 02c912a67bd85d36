"""What stands before the LLM's host, or before an MCP server: it hands requests on, or, while a test says so, answers in its own way."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[BaseHTTPRequestHandler], None]
"""Answers a request whose body was read; the connection is closed when it returns."""


class LLMFront:
    def __init__(self, port: int, upstream: int) -> None:
        self.port, self.upstream = port, upstream
        self.behaviour: Behaviour | None = None
        self.rewrite: Callable[[bytes], bytes] | None = None
        front = self

        class Handler(BaseHTTPRequestHandler):
            # One request for each connection, so that a change of behaviour holds from the next request on.
            protocol_version = "HTTP/1.0"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if front.behaviour is not None:
                    front.behaviour(self)
                    return
                upstream_connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=30)
                try:
                    upstream_connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                            upstream_connection.putheader(name, value)
                    upstream_connection.putheader("content-length", str(len(body)))
                    upstream_connection.endheaders(body)
                    answer = upstream_connection.getresponse()
                    changed = None if front.rewrite is None else front.rewrite(answer.read())
                    dropped = ("connection", "transfer-encoding", *(() if changed is None else ("content-length",)))
                    self.send_response_only(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in dropped:
                            self.send_header(name, value)
                    self.end_headers()
                    if changed is not None:
                        self.wfile.write(changed)
                        return
                    while part := answer.read1(65536):
                        self.wfile.write(part)
                        self.wfile.flush()
                finally:
                    upstream_connection.close()

            do_GET = do_POST = handle_any

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None: ...

        def serve() -> ThreadingHTTPServer:
            server = Server(("127.0.0.1", port), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return server

        self._serve = serve
        self._server = serve()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody listens for a while."""
        self.close()
        try:
            yield
        finally:
            self._server = self._serve()

    @contextmanager
    def rewriting(self, rewrite: Callable[[bytes], bytes]) -> Iterator[None]:
        """Answers of the server behind it are handed on changed."""
        self.rewrite = rewrite
        try:
            yield
        finally:
            self.rewrite = None

    @contextmanager
    def answering(self, behaviour: Behaviour) -> Iterator[None]:
        self.behaviour = behaviour
        try:
            yield
        finally:
            self.behaviour = None


def answer_with(body: bytes, kind: str = "application/json", status: int = 200, **fields: str) -> Behaviour:
    """A whole answer, closed at its end."""

    def behave(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(status)
        request.send_header("content-type", kind)
        for name, value in fields.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return behave


def stream_of(*parts: bytes) -> Behaviour:
    """Server-sent events, in exactly these pieces."""

    def behave(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        for part in parts:
            request.wfile.write(part)
            request.wfile.flush()
            threading.Event().wait(0.01)

    return behave
