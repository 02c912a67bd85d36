"""Real Envoys with CASA's own bootstrap, by any adapter, between a test, its authorization service and its upstream.

What reaches the upstream is kept byte for byte and read by a reader that forgives nothing.
"""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from casa_runtime import Json, free_port, printed_bootstrap, wait_until
from connections import Connections
from fake_authorization import Answer, FakeAuthorization, Question, admit
from module_stack import KEY, Received, start_envoy

WAYS = ("inbound", "outbound")
"""Of a sidecar's listeners: where its app is called, and the app's way to an MCP server. The upstream is behind all."""
LLM = "llm"
"""The app's way to its LLM. Nobody reads its answers here, so no test has it admit anything."""
PATH = "/mcp"

Request = tuple[str, str, bytes]
"""A method, a path and a body."""


class Unreadable(Exception):
    """Bytes that are no request, or could be read as another one."""


def first_request(data: bytes) -> tuple[Received, bytes] | None:
    """The first request and what follows it; None when it is not whole yet."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = head.split(b"\r\n")
    if not re.fullmatch(rb"[A-Z]+ /[!-~]* HTTP/1\.1", lines[0]):
        raise Unreadable(lines[0])
    for line in lines[1:]:
        if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*", line):
            raise Unreadable(line)
    request = Received(head, b"")
    codings, lengths = request.values("transfer-encoding"), request.values("content-length")
    if codings:
        if codings != ["chunked"] or lengths:
            raise Unreadable(head)
        read = chunked_body(rest)
        return read and (Received(head, read[0]), read[1])
    if len(lengths) > 1 or not all(re.fullmatch(r"\d{1,9}", length) for length in lengths):
        raise Unreadable(head)
    size = int(lengths[0]) if lengths else 0
    return (Received(head, rest[:size]), rest[size:]) if len(rest) >= size else None


def chunked_body(data: bytes) -> tuple[bytes, bytes] | None:
    """A body in plain chunks without trailers, and what follows it; None when it is not whole yet."""
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        if not re.fullmatch(rb"[0-9a-f]{1,8}", line):
            raise Unreadable(line)
        size = int(line, 16)
        if len(data) < size + 2:
            return None
        if data[size : size + 2] != b"\r\n":
            raise Unreadable(data[size : size + 2])
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            return body, data


Behaviour = Callable[[socket.socket, Received], None]


def answer_with(data: bytes) -> Behaviour:
    return lambda connection, _: connection.sendall(data)


def reset(connection: socket.socket, _: Received) -> None:
    """Ends the connection as a program does that crashed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


GOOD = answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class RawUpstream(Connections):
    """The app behind the sidecar, and the server it calls: answers as a test says, and keeps every byte."""

    def __init__(self) -> None:
        self.forget()
        super().__init__()

    def forget(self) -> None:
        """A new test begins, maybe on connections of the one before."""
        self.behaviour: Behaviour = GOOD
        self.requests: list[Received] = []
        self.bytes = bytearray()
        self.unreadable: list[str] = []

    def _serve(self, connection: socket.socket) -> None:
        rest = b""
        try:
            while data := connection.recv(65_536):
                self.bytes += data
                rest += data
                while found := first_request(rest):
                    request, rest = found
                    self.requests.append(request)
                    self.behaviour(connection, request)
        except Unreadable as problem:
            self.unreadable.append(f"{problem} in {bytes(self.bytes)!r}")
        except OSError:
            pass
        finally:
            connection.close()


@dataclass
class Sidecar:
    """One Envoy with all its listeners and one worker."""

    adapter: str
    service: FakeAuthorization
    upstream: RawUpstream
    ports: dict[str, int]
    process: subprocess.Popen[bytes]
    log: Path
    _asked_before: int = field(default=0)

    def begin(self) -> None:
        """What came before is another test's."""
        assert self.process.poll() is None, self.log.read_text()
        self.service.answer = lambda _: admit()
        self._asked_before = len(self.service.questions)
        self.upstream.forget()

    @property
    def asked(self) -> list[Request]:
        """What the service was asked about."""
        questions = [question for question in self.service.questions[self._asked_before :] if question.is_check]
        envelopes = [question.envelope for question in questions]
        return [(dict(fields)[":method"], dict(fields)[":path"], body) for fields, body in envelopes]

    @property
    def arrived(self) -> list[Request]:
        """What reached the upstream."""
        assert not self.upstream.unreadable, self.upstream.unreadable
        lines = [(request.head.split(b" ", 2), request.body) for request in self.upstream.requests]
        return [(line[0].decode(), line[1].decode(), body) for line, body in lines]

    def connect(self, way: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.ports[way]), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def bootstrap_of(folder: Path, adapter: str, authorization: str, ports: dict[str, int], upstream: int) -> Json:
    """As CASA writes it, with a key."""
    (folder / "secret").write_text("none-of-its-own")
    (folder / "workload.yaml").write_text(f"""
runtime: http://127.0.0.1:1
client_id: app_00000000000000000000000000
client_secret_file: secret
sidecar_key_file: secret
authorization: {authorization}
adapter: {adapter}
ingress: {{listen: "127.0.0.1:{ports["inbound"]}", app: "http://127.0.0.1:{upstream}{PATH}"}}
egress:
  - {{listen: "127.0.0.1:{ports["outbound"]}", destination: bank, url: "http://127.0.0.1:{upstream}{PATH}"}}
  - {{listen: "127.0.0.1:{ports[LLM]}", llm: true, url: "http://127.0.0.1:{upstream}/v1"}}
""")
    return printed_bootstrap(folder / "workload.yaml", key=KEY)


@contextmanager
def sidecar_bench(
    folder: Path, adapter: str, answer: Callable[[Question], Answer | None] = lambda _: admit()
) -> Iterator[Sidecar]:
    folder.mkdir(exist_ok=True)
    upstream, ports = RawUpstream(), {way: free_port() for way in (*WAYS, LLM)}
    try:
        with FakeAuthorization(answer) as service:
            bootstrap = bootstrap_of(folder, adapter, service.address, ports, upstream.port)
            process = start_envoy(folder, bootstrap)
            sidecar = Sidecar(adapter, service, upstream, ports, process, folder / "envoy.log")
            try:
                wait_until(lambda: listens(sidecar), "the sidecar listens", 20)
                yield sidecar
            finally:
                process.kill()
                process.wait()
    finally:
        upstream.close()


def listens(sidecar: Sidecar) -> bool:
    assert sidecar.process.poll() is None, sidecar.log.read_text()
    for port in sidecar.ports.values():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return False
    return True
