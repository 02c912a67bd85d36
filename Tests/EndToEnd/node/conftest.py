"""A real kernel is needed, and the right to load programs into it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casa_node import Node
from casa_runtime import Json

NewNode = Callable[..., Node]


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.exit("the node guard's tests need root: they load kernel programs and make cgroups", 1)


class Sink:
    """A server that reads all and answers a byte to each piece."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_server((address, 0), backlog=128)
        self.address = address
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(1 << 20):
                    connection.sendall(b".")
            except OSError:
                pass

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def other_sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


def agent_policy(node: Node, *outbound: Json, **more: object) -> Json:
    """A policy with one workload, `agent`."""
    return {"workloads": [{"name": "agent", "cgroup": node.path("agent"), "outbound": list(outbound), **more}]}


@pytest.fixture
def new_node(tmp_path: Path) -> NewNode:
    """Makes a node of this test; the policy is made from it, since it names its cgroups."""

    def make(policy: Callable[[Node], Json], *arguments: str) -> Node:
        node = Node(tmp_path / "node", {}, arguments=list(arguments))
        node.policy = policy(node)
        return node

    return make
