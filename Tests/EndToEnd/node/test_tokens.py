"""Tokens in HTTP/1.1 headers are hashed in the kernel, whatever pieces they come in (attack 36)."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import string
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casa_node import Node, Sink, agent_policy
from casa_runtime import Json, wait_until

TOKENS = int(os.environ.get("CASA_KERNEL_TOKENS", "1500"))
"""How many random tokens are compared; `CASA_KERNEL_TOKENS=100000` compares as many as the issue asks."""
ALPHABET = string.ascii_letters + string.digits + "-_."


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, sink: Sink, variant: list[str]) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), {}, arguments=["--events-per-second", "1000000", *variant])
    node.policy = agent_policy(
        node, {"to": "127.0.0.1", "ports": sink.port}, inbound=[{"from": "127.0.0.1", "ports": "20000-20100"}]
    )
    with node.running():
        yield node


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def random_token(chance: random.Random, longest: int = 4096) -> str:
    return "".join(chance.choices(ALPHABET, k=chance.randint(1, longest)))


def send(port: int, pieces: list[bytes]) -> str:
    """Sends each piece as a segment of its own, as the server's answers to each show."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            connection.recv(1)
        host, own = connection.getsockname()
        return f"{host}:{own}"


def hashes_of(node: Node, flow: str) -> list[str]:
    """All tokens of a connection, once it is told that it closed."""
    node.flow(kind="flow_closed", local=flow)
    return [event["token_sha256"] for event in node.flows(kind="token_seen", local=flow)]


def sent(node: Node, sink: Sink, *pieces: bytes) -> list[str]:
    ran = node.run("agent", lambda: send(sink.port, list(pieces)))
    assert ran.status == 0, ran
    return hashes_of(node, ran.value)


def test_a_token_is_told_by_its_hash_method_and_path(node: Node, sink: Sink) -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"
    request = f"POST /mcp/tools?secret=1 HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert sent(node, sink, request.encode()) == [sha256(token)]
    event = node.flow(kind="token_seen", token_sha256=sha256(token))
    assert (event["method"], event["path"]) == ("POST", "/mcp/tools")
    assert event["direction"] == "outbound"
    assert token not in (node.state / "flows.jsonl").read_text()
    assert token not in node.log()


@pytest.mark.attack(36, "every place at which a header can be cut into two segments", layer="kernel")
def test_a_header_that_is_cut_anywhere_is_read_whole(node: Node, sink: Sink) -> None:
    token = "abc.def.ghi"
    request = f"GET /a HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    def every_cut() -> list[str]:
        return [send(sink.port, [request[:cut], request[cut:]]) for cut in range(1, len(request))]

    ran = node.run("agent", every_cut, timeout=60)
    assert ran.status == 0
    for cut, flow in enumerate(ran.value, 1):
        assert hashes_of(node, flow) == [sha256(token)], f"cut behind byte {cut}"


@pytest.mark.attack(36, "a segment for each byte", layer="kernel")
def test_a_header_byte_by_byte_is_read_whole(node: Node, sink: Sink) -> None:
    token = "x" * 200
    request = f"GET / HTTP/1.1\r\nauthorization:bearer {token}\r\n\r\n".encode()
    assert sent(node, sink, *[request[i : i + 1] for i in range(len(request))]) == [sha256(token)]


@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer {}", "AUTHORIZATION:BEARER {}", "aUtHoRiZaTiOn: \t bEaReR   {}", "authorization:Bearer\t{}"],
)
@pytest.mark.attack(36, "other cases and spaces", layer="kernel")
def test_case_and_spaces_do_not_hide_a_token(node: Node, sink: Sink, header: str) -> None:
    token = "case.and.space"
    lines = ["GET / HTTP/1.1", "Host: a", header.format(token), "X-Authorization: Bearer other", "", ""]
    assert sent(node, sink, "\r\n".join(lines).encode()) == [sha256(token)]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"Authorization: Bearer in-the-body\r\n" * 3, b"Content-Length: 108\r\n"),
        (b"24\r\nAuthorization: Bearer in-the-chunk1\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
        (b"", b""),
    ],
)
@pytest.mark.attack(36, "the second request of a connection, behind a body", layer="kernel")
def test_requests_behind_a_body_are_found(node: Node, sink: Sink, body: bytes, headers: bytes) -> None:
    def request(token: str) -> bytes:
        return b"POST /a HTTP/1.1\r\n" + headers + f"Authorization: Bearer {token}\r\n\r\n".encode() + body

    both = request("first") + request("second")
    assert sent(node, sink, both) == [sha256("first"), sha256("second")]
    assert sent(node, sink, both[:70], both[70:]) == [sha256("first"), sha256("second")]


def test_what_is_no_bearer_token_is_not_told(node: Node, sink: Sink) -> None:
    assert sent(node, sink, b"GET / HTTP/1.1\r\nAuthorization: Basic YTpi\r\n\r\n") == []
    assert sent(node, sink, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nAuthorization: Bearer a\r\n\r\n") == []
    assert sent(node, sink, b"\x16\x03\x01Authorization: Bearer a\r\n\r\n") == []


def test_tokens_are_read_up_to_4096_bytes_and_counted_beyond(node: Node, sink: Sink) -> None:
    longest = "l" * 4096
    assert sent(node, sink, f"GET / HTTP/1.1\r\nAuthorization: Bearer {longest}\r\n\r\n".encode()) == [sha256(longest)]
    lost = node.status()["lost_tokens"]
    assert sent(node, sink, f"GET / HTTP/1.1\r\nAuthorization: Bearer {longest}l\r\n\r\n".encode()) == []
    assert node.status()["lost_tokens"] == lost + 1


def test_a_token_that_comes_in_is_told_of_the_server(node: Node) -> None:
    def serve() -> None:
        with socket.create_server(("127.0.0.1", 20001)) as server:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)

    import threading

    def once_it_listens() -> None:
        def is_sent() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", 20001), timeout=1) as client:
                    client.sendall(b"GET /in HTTP/1.1\r\nAuthorization: Bearer coming-in\r\n\r\n")
                    client.recv(1)
                return True
            except ConnectionRefusedError:
                return False

        wait_until(is_sent, "the workload listens")

    sender = threading.Thread(target=once_it_listens)
    sender.start()
    assert node.run("agent", serve).status == 0
    sender.join()
    event = node.flow(kind="token_seen", token_sha256=sha256("coming-in"))
    assert (event["direction"], event["path"]) == ("inbound", "/in")


def test_clients_of_others_are_read_alike(node: Node, sink: Sink, tmp_path: Path) -> None:
    """curl, and Python's own client."""
    url = f"http://127.0.0.1:{sink.port}/curl"
    curl = node.popen(
        "agent", ["curl", "-s", "--http0.9", "--max-time", "1", "-H", "Authorization: Bearer by-curl", url],
        stdout=subprocess.DEVNULL,
    )
    curl.wait(timeout=20)

    def python() -> None:
        client = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=5)
        client.request("POST", "/python", b"{}", {"Authorization": "Bearer by-python"})
        client.close()

    assert node.run("agent", python).status == 0
    for name in ("curl", "python"):
        assert node.flow(kind="token_seen", token_sha256=sha256(f"by-{name}"))["path"] == f"/{name}"


def test_hashes_equal_sha256_for_random_tokens_and_shapes(node: Node, sink: Sink) -> None:
    seed = time.time_ns()
    connections = TOKENS // 50
    before = len(node.flows(kind="token_seen"))

    def shapes() -> Iterator[tuple[list[bytes], list[str]]]:
        chance = random.Random(seed)
        for _ in range(connections):
            stream, tokens = b"", []
            for _ in range(50):
                token = random_token(chance, chance.choice([40, 400, 1500, 4096]))
                tokens.append(token)
                stream += request_of(chance, token)
            cuts = sorted(chance.sample(range(1, len(stream)), chance.randint(0, 30)))
            yield [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])], tokens

    def send_all() -> list[str]:
        return [send(sink.port, pieces) for pieces, _ in shapes()]

    ran = node.run("agent", send_all, timeout=60 + TOKENS / 100)
    assert ran.status == 0, f"seed {seed}"
    wait_until(lambda: len(node.flows(kind="token_seen")) >= before + connections * 50, f"all tokens, seed {seed}", 60)
    seen: dict[str, list[str]] = {}
    for event in node.flows(kind="token_seen")[before:]:
        seen.setdefault(event["flow"], []).append(event["token_sha256"])
    by_flow = {event["flow"]: event["local"] for event in node.flows(kind="flow_opened")}
    by_local = {by_flow[flow]: hashes for flow, hashes in seen.items()}
    for flow, (_, tokens) in zip(ran.value, shapes()):
        assert by_local[flow] == [sha256(token) for token in tokens], f"seed {seed}"
    assert node.status()["lost_events"] == 0


def request_of(chance: random.Random, token: str) -> bytes:
    """A request with this token, in some shape that servers take."""
    name = "".join(chance.choice([c.upper(), c.lower()]) for c in "authorization")
    scheme = "".join(chance.choice([c.upper(), c.lower()]) for c in "bearer")
    headers = [f"{name}:{' ' * chance.randint(0, 3)}{scheme} {token}"]
    headers += [f"X-{i}: {'v' * chance.randint(0, 200)}" for i in range(chance.randint(0, 6))]
    body = bytes(chance.randbytes(chance.choice([0, 1, 300])))
    if body and chance.random() < 0.5:
        headers.append("Transfer-Encoding: chunked")
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    elif body:
        headers.append(f"Content-Length: {len(body)}")
    chance.shuffle(headers)
    lines = [f"{chance.choice(['GET', 'POST', 'DELETE'])} /{'p' * chance.randint(0, 90)} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
