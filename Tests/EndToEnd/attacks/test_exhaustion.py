"""Attack 44: whoever sends more than anybody can take. Others are answered meanwhile, and memory stays bounded.

Each flood is as large as seconds allow; `make load` and Benchmarks go on for longer.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
from attempts import Attempt, attack, attacks
from casa_runtime import token_of
from casa_stack import NO_RULE, Stack, new_traceparent, steal, tool_call

CONTACTS = "get_contacts"
CONNECTIONS = 500
PIPELINED = 200
MEBIBYTE = 1 << 20
PAUSE = 0.03
"""Seconds between what one of eight clients does, so that a debug build on a busy machine has room for others at all."""
PATIENCE = 30.0
"""Seconds within which a good request is answered beside a flood, on a busy machine."""
GROWTH = 256 * MEBIBYTE
"""What all processes of a layer together may grow by: an Envoy keeps what connections took for the next ones.

Bodies without end would be eight times 64 MiB if they were kept.
"""


# What is flooded


def request_head(path: str, authorization: str, *lines: str) -> bytes:
    """A request of somebody who is known to the runtime, and to no sidecar."""
    fields = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *lines]
    credentials = [f"Authorization: {authorization}"] if authorization else []
    return "\r\n".join([*fields, *credentials]).encode() + b"\r\n\r\n"


@dataclass(frozen=True)
class Flooded:
    """A layer's port, and the processes that stand behind it."""

    port: int
    path: str
    authorization: str
    processes: list[int]

    def head(self, *lines: str) -> bytes:
        return request_head(self.path, self.authorization, *lines)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    @property
    def resident(self) -> int:
        """Bytes of memory of all its processes."""
        pages = (int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in self.processes)
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def runtime_of(stack: Stack) -> Flooded:
    client = stack.app("client")
    basic = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
    return Flooded(stack.endpoints.runtime, "/trace/events", f"Basic {basic}", stack.processes_of("runtime"))


def proxy_of(stack: Stack) -> Flooded:
    """The bank's entrance; all Envoys and what they ask are looked at."""
    processes = [*stack.processes_of("envoy"), *stack.processes_of("authorize")]
    return Flooded(stack.endpoints.ports["bank"], "/mcp", "", processes)


# Floods


Flood = Callable[[Flooded], AbstractContextManager[None]]


@contextlib.contextmanager
def held(target: Flooded, data: bytes) -> Iterator[None]:
    """Many connections that sent this much and go on to hold the line."""
    with contextlib.ExitStack() as connections:
        for _ in range(CONNECTIONS):
            connection = connections.enter_context(target.connect())
            # One that is cut off at once is held no longer, which is as well.
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
        yield


def idle_connections(target: Flooded) -> AbstractContextManager[None]:
    return held(target, b"")


def half_headers(target: Flooded) -> AbstractContextManager[None]:
    return held(target, target.head()[:-2])


def half_bodies(target: Flooded) -> AbstractContextManager[None]:
    return held(target, target.head("Content-Length: 500000") + b" " * 60_000)


@contextlib.contextmanager
def until_told(target: Flooded, act: Callable[[], None]) -> Iterator[None]:
    """Eight clients that do this again and again."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                act()
            over.wait(PAUSE)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        # The flood is to stand before anybody looks; that takes its time whatever the machine is doing.
        time.sleep(2)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def endless_bodies(target: Flooded) -> AbstractContextManager[None]:
    """Bodies in chunks, without an end until the connection is closed."""
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    def act() -> None:
        with target.connect() as connection:
            connection.sendall(target.head("Transfer-Encoding: chunked"))
            for _ in range(1024):
                connection.sendall(chunk)

    return until_told(target, act)


def new_connections(target: Flooded) -> AbstractContextManager[None]:
    def act() -> None:
        with target.connect() as connection:
            connection.sendall(target.head("Content-Length: 2") + b"{}")

    return until_told(target, act)


@contextlib.contextmanager
def pipelined(target: Flooded) -> Iterator[None]:
    """Requests behind one another on connections that read no answer until the end."""
    wanted = (target.head("Content-Length: 2") + b"{}") * PIPELINED
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(target.connect()) for _ in range(20)]
        senders = [threading.Thread(target=send_all, args=(connection, wanted)) for connection in connections]
        for sender in senders:
            sender.start()
        yield
        for connection in connections:
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    pass
        for sender in senders:
            sender.join()


def send_all(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)


FLOODS: dict[str, Flood] = {
    "idle connections": idle_connections,
    "headers that stop": half_headers,
    "bodies that stop": half_bodies,
    "bodies without end": endless_bodies,
    "connections, one after the other": new_connections,
    "pipelined requests whose answers nobody reads": pipelined,
}


# What is measured


@dataclass
class Watched:
    """The memory of a layer while something goes on."""

    target: Flooded
    before: int
    peak: int

    @classmethod
    @contextlib.contextmanager
    def over(cls, target: Flooded) -> Iterator[Watched]:
        watched = cls(target, target.resident, 0)
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.05):
                watched.peak = max(watched.peak, target.resident)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield watched
        finally:
            ended.set()
            thread.join()

    def assert_bounded(self) -> str:
        told = f"{self.before // MEBIBYTE} to {self.peak // MEBIBYTE} MiB"
        assert 0 < self.peak < self.before + GROWTH, told
        return told


def assert_served(stack: Stack) -> float:
    """A whole session goes well, from the user's words to the tool; how long it took."""
    began = time.monotonic()
    stolen = steal(stack)
    answer = stack.call_bank(stolen.t3(CONTACTS, {}), tool_call(CONTACTS, {}))
    took = time.monotonic() - began
    assert answer.status_code == 200 and took < PATIENCE, (answer.text, took)
    return took


def withstand(stack: Stack, attempt: Attempt, layer: str, target: Flooded, flood: Flood) -> None:
    assert_served(stack)
    with Watched.over(target) as watched:
        with flood(target):
            took = max(assert_served(stack) for _ in range(3))
        assert_served(stack)
    attempt.before = stack.ledger
    told = watched.assert_bounded()
    attempt.refused(layer, f"a good session took {took * 1000:.0f} ms at most meanwhile; {told}")


@attacks(44, "flood", FLOODS, "the runtime: {}", at="runtime")
def test_the_runtime_serves_others_beside_a_flood(stack: Stack, attempt: Attempt, flood: Flood) -> None:
    withstand(stack, attempt, "runtime", runtime_of(stack), flood)


@attacks(44, "flood", FLOODS, "a sidecar: {}", at="proxy")
def test_a_sidecar_serves_others_beside_a_flood(stack: Stack, attempt: Attempt, flood: Flood) -> None:
    withstand(stack, attempt, "proxy", proxy_of(stack), flood)


# Many of what is allowed


def at_a_time(clients: int, count: int, act: Callable[[], httpx.Response]) -> list[int]:
    with ThreadPoolExecutor(clients) as pool:
        return [answer.status_code for answer in pool.map(lambda _: act(), range(count))]


@attack(44, "the runtime: a thousand sessions of one client", at="runtime")
def test_the_runtime_holds_many_sessions(stack: Stack, attempt: Attempt) -> None:
    client = stack.app("client")
    with Watched.over(runtime_of(stack)) as watched:
        statuses = at_a_time(8, 1000, lambda: client.issue(NO_RULE * 20, audience="agent"))
        took = assert_served(stack)
    assert set(statuses) == {200}
    attempt.before = stack.ledger
    told = watched.assert_bounded()
    attempt.refused("runtime", f"1000 sessions; a good one then took {took * 1000:.0f} ms; {told}")


@attack(44, "a sidecar: hundreds of sessions of one client", at="proxy")
def test_a_sidecar_holds_many_sessions(stack: Stack, attempt: Attempt) -> None:
    client, url = stack.app("client"), stack.url("agent")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": "none"}}

    def begin() -> httpx.Response:
        traceparent = new_traceparent()
        token = token_of(client.issue(NO_RULE, audience="agent", traceparent=traceparent))
        headers = {"authorization": f"Bearer {token}", "traceparent": traceparent}
        # The agent knows no tasks, and says so at once; its sidecar has the session by then.
        return stack.http.post(url, json=body, headers=headers)

    with Watched.over(proxy_of(stack)) as watched:
        statuses = at_a_time(4, 300, begin)
        took = assert_served(stack)
    assert set(statuses) == {200}
    attempt.before = stack.ledger
    told = watched.assert_bounded()
    attempt.refused("proxy", f"300 sessions; a good one then took {took * 1000:.0f} ms; {told}")

