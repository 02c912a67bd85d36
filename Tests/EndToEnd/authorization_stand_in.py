"""Plays the authorization service's plain endpoint: HTTP/2 with prior knowledge, answering as a test tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """What is answered; `delay` in seconds, `action` instead of an answer: `close`, `reset`, `silence` or `cut`."""

    status: int = 200
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    delay: float = 0.0
    action: str = ""


@dataclass(frozen=True)
class Question:
    """A request to the endpoint, its envelope taken apart when it has one."""

    path: str
    fields: dict[str, str]
    body: bytes

    @property
    def envelope(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The intercepted request's fields and body."""
        found, rest = [], self.body
        while rest[:1] != b";":
            lengths, rest = rest.split(b":", 1)
            name, value = (int(part) for part in lengths.split(b","))
            found.append((rest[:name], rest[name : name + value]))
            rest = rest[name + value :]
        return found, rest[1:]


def admit(*fields: tuple[str, str], epoch: int = 1, body: bytes = b"") -> Answer:
    return Answer(fields=[("x-casa-verdict", "admit"), ("x-casa-epoch", str(epoch)), *fields], body=body)


def refuse(body: bytes, *fields: tuple[str, str], status: str = "403") -> Answer:
    verdict = [("x-casa-verdict", "refuse"), ("x-casa-epoch", "1"), ("x-casa-status", status)]
    return Answer(fields=[*verdict, *fields], body=body)


class AuthorizationStandIn:
    """Listens on a Unix socket; `answer` may be changed at any time."""

    def __init__(self, path: Path) -> None:
        self.answer: Callable[[Question], Answer] = lambda _: Answer(status=500)
        self.questions: list[Question] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=_Connection(self, connection).serve, daemon=True).start()


class _Connection:
    def __init__(self, owner: AuthorizationStandIn, connection: socket.socket) -> None:
        self.owner = owner
        self.socket = connection
        self.lock = threading.Lock()
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def serve(self) -> None:
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        try:
            with self.lock:
                self.state.initiate_connection()
                self.state.increment_flow_control_window(1 << 24)
                self.socket.sendall(self.state.data_to_send())
            while data := self.socket.recv(1 << 16):
                with self.lock:
                    events = self.state.receive_data(data)
                    for event in events:
                        if isinstance(event, h2.events.DataReceived):
                            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.socket.sendall(self.state.data_to_send())
                for event in events:
                    if isinstance(event, h2.events.RequestReceived):
                        heads[event.stream_id] = dict(event.headers)
                        bodies[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        head, body = heads.pop(event.stream_id), bodies.pop(event.stream_id)
                        self._answer(event.stream_id, Question(head[":path"], head, body))
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.socket.close()

    def _answer(self, stream: int, question: Question) -> None:
        self.owner.questions.append(question)
        answer = self.owner.answer(question)
        if answer.delay:
            threading.Timer(answer.delay, self._send, (stream, answer)).start()
        else:
            self._send(stream, answer)

    def _send(self, stream: int, answer: Answer) -> None:
        try:
            with self.lock:
                if answer.action == "close":
                    self.socket.shutdown(socket.SHUT_RDWR)
                    return
                if answer.action == "silence":
                    return
                if answer.action == "reset":
                    self.state.reset_stream(stream)
                else:
                    fields = [(":status", str(answer.status)), *answer.fields]
                    self.state.send_headers(stream, fields, end_stream=not answer.body and answer.action != "cut")
                    for start in range(0, len(answer.body), 16_384):
                        last = start + 16_384 >= len(answer.body)
                        self.state.send_data(
                            stream, answer.body[start : start + 16_384], end_stream=last and answer.action != "cut"
                        )
                    if answer.action == "cut":
                        self.state.reset_stream(stream)
                self.socket.sendall(self.state.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass
