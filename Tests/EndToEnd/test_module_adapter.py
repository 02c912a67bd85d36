"""CASA's filter within a real Envoy: what it asks, what it does with answers, and that nothing passes without one."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from authorization_stand_in import Answer, admit, refuse
from casa_runtime import free_port, wait_until
from casa_stack import RawAnswer
from module_stack import KEY, ModuleStack, bootstrap, module_stack, settings, start_envoy

UNANSWERED = b'"reason":"no_decision"'


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ModuleStack]:
    with module_stack(tmp_path) as running:
        yield running
        assert running.is_alive(), running.log.read_text()


def exchange(stack: ModuleStack, *pieces: bytes, deadline: float = 10.0) -> RawAnswer:
    """Sends a request piece by piece on a connection of its own and reads the answer to the end."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=deadline) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        data = b""
        while received := connection.recv(65_536):
            data += received
        return RawAnswer(data)


def post(body: bytes, *fields: str) -> bytes:
    lines = ["POST /mcp HTTP/1.1", "host: bank", "connection: close", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(*fields: str) -> bytes:
    return "\r\n".join(["GET /mcp?x=1 HTTP/1.1", "host: bank", "connection: close", *fields]).encode() + b"\r\n\r\n"


def test_the_question_is_the_request_as_it_was_sent(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: admit()
    answer = exchange(stack, post(b"{1}", "accept: a", "X-Two: one", "x-two: two", "accept: b"))
    assert answer.data.startswith(b"HTTP/1.1 200")

    (question,) = stack.authorization.questions
    assert question.path == "/casa/check"
    assert question.fields["x-casa-sidecar-key"] == KEY
    assert question.fields["x-casa-listener"] == "ingress"
    assert question.fields["content-type"] == "application/vnd.casa.request"
    fields, body = question.envelope
    assert body == b"{1}"
    assert [value for name, value in fields if name == b":method"] == [b"POST"]
    assert [value for name, value in fields if name == b":path"] == [b"/mcp"]
    assert [value for name, value in fields if name == b":authority"] == [b"bank"]
    assert [value for name, value in fields if name == b"x-two"] == [b"one", b"two"]
    assert [value for name, value in fields if name == b"accept"] in ([b"a", b"b"], [b"a,b"])


def test_an_admitted_request_is_changed_as_the_answer_says(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: admit(
        ("x-casa-set-authorization", "Bearer new"),
        ("x-casa-remove", "x-gone,x-absent"),
        ("x-casa-answer-token", "t2"),
        ("x-casa-offer", "bank -"),
        ("x-casa-decision", "d1"),
    )
    exchange(stack, post(b"body", "authorization: Bearer old", "x-gone: 1", "x-gone: 2", "x-kept: 3"))
    (received,) = stack.upstream.received
    assert received.body == b"body"
    assert received.values("authorization") == ["Bearer new"]
    assert received.values("x-gone") == []
    assert received.values("x-kept") == ["3"]
    assert not [name for name, _ in received.fields if name.startswith("x-casa")]
    assert stack.metadata() == {"answer_token": "t2", "offer": "bank -", "decision": "d1"}


def test_a_request_without_a_body_is_decided_at_its_headers(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: admit()
    assert exchange(stack, get()).data.startswith(b"HTTP/1.1 200")
    (question,) = stack.authorization.questions
    fields, body = question.envelope
    assert dict(fields)[b":path"] == b"/mcp?x=1"
    assert body == b""


def test_a_body_in_pieces_is_decided_about_as_a_whole(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: admit()
    generator = random.Random(7)
    for size in (1, 2, 1000, 16_384, 70_000, 1 << 20):
        body = generator.randbytes(size)
        request = post(body)
        cuts = sorted(generator.randrange(1, len(request)) for _ in range(8))
        pieces = [request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]
        answer = exchange(stack, *pieces)
        assert answer.data.startswith(b"HTTP/1.1 200"), (size, answer.data[:200])
        assert stack.authorization.questions[-1].envelope[1] == body
        assert stack.upstream.received[-1].body == body


def test_a_chunked_body_is_decided_about_as_a_whole(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: admit()
    head = b"POST /mcp HTTP/1.1\r\nhost: bank\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = exchange(stack, head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n")
    assert answer.data.startswith(b"HTTP/1.1 200")
    assert stack.authorization.questions[-1].envelope[1] == b"abcde"
    assert stack.upstream.received[-1].body == b"abcde"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_answered_with_413(stack: ModuleStack, chunked: bool) -> None:
    stack.authorization.answer = lambda _: admit()
    body = b"x" * ((1 << 20) + 1)
    request = post(body)
    if chunked:
        head = b"POST /mcp HTTP/1.1\r\nhost: bank\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        request = head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        try:
            connection.sendall(request)
        except OSError:
            pass
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")
    assert not stack.authorization.questions
    assert not stack.upstream.received


def test_a_refusal_reaches_the_caller_as_it_is(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: refuse(
        b'{"no":1}',
        ("content-type", "application/json"),
        ("www-authenticate", 'Bearer realm="casa"'),
        ("x-casa-decision", "d2"),
        ("retry-after", "4"),
    )
    answer = exchange(stack, post(b"body"))
    head, body = answer.data.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 403")
    assert b'www-authenticate: Bearer realm="casa"' in head
    assert b"content-type: application/json" in head
    assert b"x-casa-decision: d2" in head
    assert b"retry-after: 4" in head
    assert body == b'{"no":1}'
    assert not stack.upstream.received


ODD = {
    "an error": Answer(status=500),
    "an error with a verdict": Answer(status=500, fields=admit().fields),
    "an unknown sidecar": Answer(status=403),
    "no verdict": Answer(fields=[("x-casa-epoch", "1")]),
    "another verdict": Answer(fields=[("x-casa-epoch", "1"), ("x-casa-verdict", "Admit")]),
    "two verdicts": admit(("x-casa-verdict", "refuse")),
    "no epoch": Answer(fields=[("x-casa-verdict", "admit")]),
    "an epoch that is no number": Answer(fields=[("x-casa-verdict", "admit"), ("x-casa-epoch", "-1")]),
    "an epoch that is too large": Answer(fields=[("x-casa-verdict", "admit"), ("x-casa-epoch", "9" * 20)]),
    "facts that are no JSON": admit(body=b"{"),
    "facts that are no object": admit(body=b"[]"),
    "a pseudo-field to set": admit(("x-casa-set-", "v")),
    "a header to set twice": admit(("x-casa-set-a", "1"), ("x-casa-set-a", "2")),
    "an empty value to set": admit(("x-casa-set-a", "")),
    "an empty name to remove": admit(("x-casa-remove", "a,,b")),
    "a pseudo-field to remove": admit(("x-casa-remove", ":path")),
    "two tokens": admit(("x-casa-answer-token", "1"), ("x-casa-answer-token", "2")),
    "a refusal with 200": refuse(b"", status="200"),
    "a refusal without a status": Answer(fields=[("x-casa-epoch", "1"), ("x-casa-verdict", "refuse")]),
    "a large body": admit(body=b" " * (3 << 20)),
    "a reset": Answer(action="reset"),
    "a closed connection": Answer(action="close"),
    "half an answer": Answer(fields=admit().fields, body=b"{}", action="cut"),
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_is_no_answer_refuses(stack: ModuleStack, name: str) -> None:
    stack.authorization.answer = lambda _: ODD[name]
    for request in (post(b"body"), get()):
        answer = exchange(stack, request)
        assert answer.data.startswith(b"HTTP/1.1 403"), answer.data
        assert UNANSWERED in answer.data
    assert not stack.upstream.received
    stack.authorization.answer = lambda _: admit()
    assert exchange(stack, get()).data.startswith(b"HTTP/1.1 200")


def test_an_answer_that_does_not_come_refuses_after_five_seconds(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: Answer(action="silence")
    answer = exchange(stack, get())
    assert answer.data.startswith(b"HTTP/1.1 403")
    assert not stack.upstream.received


def test_without_an_authorization_service_everything_is_refused(stack: ModuleStack, tmp_path: Path) -> None:
    stack.authorization.close()
    (tmp_path / "authorization.sock").unlink()
    assert exchange(stack, get()).data.startswith(b"HTTP/1.1 403")
    assert not stack.upstream.received


def test_a_caller_that_leaves_while_it_is_asked_about_harms_nothing(stack: ModuleStack) -> None:
    stack.authorization.answer = lambda _: Answer(fields=admit().fields, delay=0.2)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", stack.port)) as connection:
            connection.sendall(post(b"body"))
            count = len(stack.authorization.questions)
            wait_until(lambda count=count: len(stack.authorization.questions) >= count, "a question")
    assert exchange(stack, get()).data.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"CONNECT bank:443 HTTP/1.1\r\nhost: bank:443\r\n\r\n",
        b"GET /mcp HTTP/1.1\r\nhost: bank\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ],
    ids=["CONNECT", "upgrade"],
)
def test_a_tunnel_never_passes(stack: ModuleStack, request_bytes: bytes) -> None:
    stack.authorization.answer = lambda _: admit()
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        status = connection.recv(65_536).split(b" ")[1]
    assert status in (b"403", b"404"), status
    assert not stack.upstream.received


@pytest.mark.parametrize(
    "configuration",
    [
        "",
        "{}",
        "[]",
        json.dumps(settings(key="short")),
        json.dumps(settings(extra=1)),
        json.dumps(settings(point={"side": "roof", "path": "/"})),
        json.dumps(settings()) + "x",
    ],
)
def test_envoy_does_not_start_with_a_bad_configuration(tmp_path: Path, configuration: str) -> None:
    json_text = bootstrap(free_port(), 1, tmp_path / "none.sock", configuration, tmp_path / "access.log")
    process = start_envoy(tmp_path, json_text)
    assert process.wait(20) != 0
    assert "CASA's filter can't use its configuration" in (tmp_path / "envoy.log").read_text()
    assert KEY not in (tmp_path / "envoy.log").read_text()


def test_envoy_does_not_start_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcasa_filter.so").write_bytes(b"no library")
    monkeypatch.setenv("CASA_FILTER_DIRECTORY", str(tmp_path))
    json_text = bootstrap(free_port(), 1, tmp_path / "none.sock", json.dumps(settings()), tmp_path / "access.log")
    assert start_envoy(tmp_path, json_text).wait(20) != 0


def test_thousands_of_odd_requests_leave_envoy_alive_and_nothing_undecided_passes(stack: ModuleStack) -> None:
    generator = random.Random(1)
    kinds = [
        lambda _: admit(("x-casa-set-x-admitted", "yes"), ("x-casa-remove", "x-casa-forged")),
        lambda _: refuse(b"no"),
        *(lambda _, odd=odd: odd for name, odd in ODD.items() if odd.action not in ("close",) and "large" not in name),
    ]
    stack.authorization.answer = lambda question: generator.choice(kinds)(question)
    methods = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"ge t", b""]
    targets = [b"/mcp", b"/", b"*", b"/%2e%2e/x", b"http://bank/mcp", b"bank:443", b"/\xff", b"/a b", b"//", b"/?" + b"q" * 300]
    extras = [
        b"transfer-encoding: chunked", b"content-length: 5", b"content-length: -1", b"x: \x01", b"x: \xff\xfe",
        b"expect: 100-continue", b"upgrade: h2c", b"connection: upgrade", b"x-admitted: no", b": empty", b"a" * 9000 + b": b",
        b"trailer: t", b"te: trailers", b"host: other", b"content-type: application/json", b"traceparent: 00-x",
    ]
    bodies = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nt: 1\r\n\r\n", b"zz\r\n", b'{"jsonrpc":"2.0"}']

    def send(seed: int) -> None:
        generator, sent = random.Random(seed), 0
        while sent < 3000 // len(seeds):
            batch = b""
            for _ in range(generator.randint(1, 6)):
                fields = [b"host: bank", *generator.sample(extras, generator.randint(0, 3))]
                line = generator.choice(methods) + b" " + generator.choice(targets) + b" HTTP/1.1"
                batch += b"\r\n".join([line, *fields]) + b"\r\n\r\n" + generator.choice(bodies)
                sent += 1
            with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    while batch:
                        size = generator.randint(1, max(1, len(batch)))
                        connection.sendall(batch[:size])
                        batch = batch[size:]
                    # Envoy drops what is under way for a caller that closes its side.
                    connection.settimeout(0.05)
                    while connection.recv(65_536):
                        pass
                except OSError:
                    pass
            assert stack.is_alive(), stack.log.read_text()

    # Nearly all of the time goes by in waiting.
    seeds = range(1, 11)
    with ThreadPoolExecutor(len(seeds)) as pool:
        list(pool.map(send, seeds))
    assert stack.upstream.received, "some of them were admitted"
    for received in stack.upstream.received:
        # Without a change of its own, nothing is admitted by the odd answers; every one that is has this mark.
        assert received.values("x-admitted") == ["yes"], received.head
