"""An authorization service of a test's own: answers the plain endpoint and ext_authz over HTTP/2 as the test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Fields = list[tuple[str, str]]
CHECK = "/envoy.service.auth.v3.Authorization/Check"
"""Where `adapter: grpc` asks; the others ask the plain endpoint, `/casa/check`."""


@dataclass(frozen=True)
class Question:
    """A request of the sidecar."""

    fields: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.fields[":path"]

    @property
    def is_check(self) -> bool:
        """Whether it is about a request, by whichever adapter."""
        return self.path in (CHECK, "/casa/check")

    @property
    def envelope(self) -> tuple[list[tuple[str, str]], bytes]:
        """The header fields and the body that the question is about."""
        if self.path == CHECK:
            return request_in(self.body[5:])
        fields: list[tuple[str, str]] = []
        rest = self.body
        while not rest.startswith(b";"):
            lengths, _, rest = rest.partition(b":")
            name, value = (int(length) for length in lengths.split(b","))
            fields.append((rest[:name].decode(), rest[name : name + value].decode()))
            rest = rest[name + value :]
        return fields, rest[1:]


def members(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The members of a message of Protocol Buffers that have a length, by their numbers."""

    def number() -> int:
        nonlocal message
        value = shift = 0
        while True:
            byte, message = message[0], message[1:]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while message:
        tag = number()
        match tag & 7:
            case 0:
                number()
            case 1 | 5 as fixed:
                message = message[8 if fixed == 1 else 4 :]
            case 2:
                length = number()
                yield tag >> 3, message[:length]
                message = message[length:]
            case other:
                raise ValueError(f"wire type {other}")


def request_in(check: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The header fields and the body in a `CheckRequest`."""

    def inner(message: bytes, number: int) -> bytes:
        return next((value for found, value in members(message) if found == number), b"")

    # attributes, request, http; there raw_body is 12 and header_map 13.
    http = inner(inner(inner(check, 1), 4), 2)
    fields = [dict(members(field)) for number, field in members(inner(http, 13)) if number == 1]
    # A header's key is 1, its value 2, or 3 where it is sent raw.
    pairs = [(field[1].decode(), (field.get(3) or field.get(2, b"")).decode()) for field in fields]
    return pairs, inner(http, 12)


def check_response(is_admitted: bool) -> bytes:
    """A `CheckResponse` that admits without changing anything, or refuses with 403, in gRPC's frame."""
    message = b"\x0a\x00\x1a\x00" if is_admitted else b"\x0a\x02\x08\x07\x12\x05\x0a\x03\x08\x93\x03"
    return b"\0" + len(message).to_bytes(4, "big") + message


@dataclass(frozen=True)
class Answer:
    """None for a service that never answers."""

    fields: Fields
    body: bytes = b""
    status: int = 200


def admit(*more: tuple[str, str], epoch: int = 1) -> Answer:
    return Answer([("x-casa-verdict", "admit"), ("x-casa-epoch", str(epoch)), *more])


def refuse(body: bytes = b"{}", *more: tuple[str, str], epoch: int = 1) -> Answer:
    fields = [("x-casa-verdict", "refuse"), ("x-casa-status", "403"), ("content-type", "application/json")]
    return Answer([*fields, ("x-casa-epoch", str(epoch)), *more], body)


@dataclass
class FakeAuthorization:
    """Runs while it is entered; `answer` may be changed at any time."""

    answer: Callable[[Question], Answer | None]
    questions: list[Question] = field(default_factory=list)
    address: str = ""
    _listener: socket.socket = field(init=False)
    _connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> FakeAuthorization:
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.die()

    def die(self) -> None:
        """Ends at once, with all connections."""
        # Closing alone does not wake the thread that accepts.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def asked(self, path: str = "/casa/check") -> list[Question]:
        return [question for question in self.questions if question.path == path]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        http.initiate_connection()
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        try:
            connection.sendall(http.data_to_send())
            while data := connection.recv(65536):
                for event in http.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                        bodies[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                        http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        question = Question(heads[event.stream_id], bodies[event.stream_id])
                        self.questions.append(question)
                        self._reply(http, event.stream_id, question)
                connection.sendall(http.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            connection.close()

    def _reply(self, http: h2.connection.H2Connection, stream: int, question: Question) -> None:
        if question.path == "/casa/records":
            http.send_headers(stream, [(":status", "204")], end_stream=True)
            return
        answer = self.answer(question)
        if answer is None:
            return
        if question.path == CHECK:
            http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            http.send_data(stream, check_response(("x-casa-verdict", "admit") in answer.fields))
            http.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            return
        http.send_headers(stream, [(":status", str(answer.status)), *answer.fields], end_stream=not answer.body)
        if answer.body:
            http.send_data(stream, answer.body, end_stream=True)
