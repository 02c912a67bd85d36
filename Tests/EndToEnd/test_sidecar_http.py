"""What a sidecar makes of HTTP, and of a service that does not answer, through real Envoys by each adapter.

The authorization service is the tests' own and admits everything unless a test says otherwise: what is kept out here,
Envoy keeps out as it is set up.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from casa_runtime import wait_until
from casa_stack import RawAnswer, adapters
from fake_authorization import Answer, Question, admit, refuse
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset
from module_stack import Received
from sidecar_bench import GOOD, LLM, PATH, WAYS, RawUpstream, Sidecar, answer_with, reset, sidecar_bench

BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
SMUGGLED = b"POST /smuggled HTTP/1.1\r\nhost: bank\r\ncontent-length: 0\r\n\r\n"
END = b"POST /end HTTP/1.1\r\nhost: bank\r\nconnection: close\r\ncontent-length: 3\r\n\r\nend"
"""Behind every request, so that its connection ends when all before it was answered."""


@pytest.fixture(scope="module", params=adapters())
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with sidecar_bench(tmp_path_factory.mktemp(f"http-{request.param}"), request.param) as made:
        yield made


@pytest.fixture
def sidecar(running: Sidecar) -> Iterator[Sidecar]:
    running.begin()
    yield running
    assert running.process.poll() is None, running.log.read_text()


each_way = pytest.mark.parametrize("way", WAYS)


def read_to_end(connection: socket.socket) -> RawAnswer:
    """All that is answered, until the connection ends."""
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
    except ConnectionError:
        pass
    return RawAnswer(data)


def exchange(sidecar: Sidecar, way: str, data: bytes) -> RawAnswer:
    with sidecar.connect(way) as connection:
        connection.sendall(data)
        return read_to_end(connection)


def post(*fields: str, body: bytes = BODY) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "host: bank", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# Envoy's own header fields

CHOOSING_A_DESTINATION = "x-envoy-original-dst-host"
"""Refused when a request is decided about, which the authorization service of these tests does not."""
ENVOYS_FIELDS = {
    "x-envoy-retry-on": "5xx,reset,connect-failure,gateway-error,retriable-status-codes",
    "x-envoy-max-retries": "3",
    "x-envoy-retriable-status-codes": "503",
    "x-envoy-hedge-on-per-try-timeout": "true",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-upstream-rq-per-try-timeout-ms": "1",
    "x-envoy-expected-rq-timeout-ms": "1",
    "x-envoy-upstream-alt-stat-name": "elsewhere",
    CHOOSING_A_DESTINATION: "127.0.0.1:1",
    "x-envoy-force-trace": "true",
    "x-envoy-decorator-operation": "elsewhere",
}
"""By these a client that Envoy trusts says how its request is to be sent."""


def with_envoys_fields(**changes: str) -> list[str]:
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return [f"{name}: {value}" for name, value in {**ENVOYS_FIELDS, **changed}.items()]


@each_way
@pytest.mark.parametrize("name", sorted(ENVOYS_FIELDS.keys() - {CHOOSING_A_DESTINATION}))
def test_a_field_of_envoy_s_own_does_not_reach_the_upstream(sidecar: Sidecar, way: str, name: str) -> None:
    answer = exchange(sidecar, way, post(f"{name}: {ENVOYS_FIELDS[name]}") + END)
    assert answer.statuses == [200, 200]
    assert sidecar.upstream.requests[0].values(name) == []
    # Envoy's own word for the caller's address is nobody's business either.
    assert sidecar.upstream.requests[0].values("x-envoy-external-address") == []


FAILING = {"answers 503": answer_with(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"), "resets": reset}


@each_way
@pytest.mark.parametrize("behaviour", FAILING.values(), ids=FAILING)
def test_nobody_has_a_request_sent_again(sidecar: Sidecar, way: str, behaviour: object) -> None:
    sidecar.upstream.behaviour = behaviour  # type: ignore[assignment]
    data = post("connection: close", *with_envoys_fields())
    answer = exchange(sidecar, way, data)
    assert answer.statuses == [503]
    assert sidecar.arrived == [("POST", PATH, BODY)]


@each_way
def test_nobody_has_a_good_answer_cut_off(sidecar: Sidecar, way: str) -> None:
    def answer_late(connection: socket.socket, request: Received) -> None:
        # The timeouts of 1 ms that are asked for would be over by far; it can't fail for being longer.
        threading.Event().wait(0.2)
        GOOD(connection, request)

    sidecar.upstream.behaviour = answer_late
    answer = exchange(sidecar, way, post("connection: close", *with_envoys_fields()))
    assert answer.statuses == [200]
    assert sidecar.arrived == [("POST", PATH, BODY)]


@each_way
def test_nobody_chooses_where_a_request_goes(sidecar: Sidecar, way: str) -> None:
    with closing(RawUpstream()) as elsewhere:
        fields = with_envoys_fields(x_envoy_original_dst_host=f"127.0.0.1:{elsewhere.port}")
        answer = exchange(sidecar, way, post("connection: close", *fields))
        assert answer.statuses == [200]
        assert sidecar.arrived == [("POST", PATH, BODY)]
        assert sidecar.upstream.requests[0].values("host") == [f"127.0.0.1:{sidecar.upstream.port}"]
        assert not elsewhere.bytes


# Where a body ends


@dataclass(frozen=True)
class Chunked:
    """A request whose body comes in chunks, as they are written here."""

    body: bytes
    coding: str = "transfer-encoding: chunked"
    more: str = ""
    version: str = "1.1"
    read: bytes = BODY
    """What of it is the body."""

    def to(self, path: str = PATH) -> bytes:
        head = [f"POST {path} HTTP/{self.version}", "host: bank", self.coding, *([self.more] if self.more else [])]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body


def chunks(*sizes: str, last: bytes = b"0\r\n\r\n") -> bytes:
    """`BODY` in chunks, whose first lines are these: sizes, and what follows them."""
    made, rest = b"", BODY
    for line in sizes:
        size = int(line.partition(";")[0], 16)
        made, rest = made + line.encode("latin-1") + b"\r\n" + rest[:size] + b"\r\n", rest[size:]
    assert not rest
    return made + last


def hidden(size: bytes) -> bytes:
    """Chunks of which a reader that takes the first size for 0 takes the rest for another request."""
    return size + b"\r\n\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"


WHOLE = f"{len(BODY):x}"
HIDDEN = f"{len(SMUGGLED) + 2:x}".encode()

READ_ALIKE = {
    "one chunk": Chunked(chunks(WHOLE)),
    "a chunk for each byte": Chunked(chunks(*["1"] * len(BODY))),
    "sizes in upper case": Chunked(chunks("1A", f"{len(BODY) - 26:X}")),
    "sizes with zeros before them": Chunked(chunks("001a", f"000{len(BODY) - 26:x}", last=b"000\r\n\r\n")),
    "an extension": Chunked(chunks(f"{WHOLE};a=b")),
    "an extension in quotes": Chunked(chunks(f'{WHOLE};a="b;c=\\"0"', last=b"0;d\r\n\r\n")),
    "an extension that looks like a size": Chunked(chunks(f"{WHOLE};0")),
    "trailers": Chunked(chunks(WHOLE, last=b"0\r\nx-trailer: a\r\n\r\n"), more="trailer: x-trailer"),
    "trailers nobody announced": Chunked(
        chunks(WHOLE, last=b"0\r\nauthorization: Bearer x-trailer\r\ncontent-length: 3\r\nhost: x-trailer\r\n\r\n")
    ),
    "the coding in upper case": Chunked(chunks(WHOLE), "Transfer-Encoding: CHUNKED"),
    "the coding in a folded line": Chunked(chunks(WHOLE), "transfer-encoding:\r\n chunked"),
    "a bare line feed behind a chunk": Chunked(chunks(WHOLE).replace(BODY + b"\r\n", BODY + b"\n")),
    # What stands between a chunk and the end of its line is passed over.
    "a chunk longer than its size": Chunked(
        chunks(WHOLE).replace(WHOLE.encode(), f"{len(BODY) - 1:x}".encode(), 1), read=BODY[:-1]
    ),
    "`te: trailers`": Chunked(chunks(WHOLE), more="te: trailers"),
    "`te: trailers`, of this connection": Chunked(chunks(WHOLE), more="te: trailers\r\nconnection: te"),
}
"""Whatever of this is not plain is made plain: chunks without extensions, no trailers."""

REFUSED = {
    "a size with 0x": Chunked(hidden(b"0x" + HIDDEN)),
    "a size with 0X": Chunked(hidden(b"0X" + HIDDEN)),
    "a size of 2^64": Chunked(hidden(b"10000000000000000")),
    "a size of 2^64 and more": Chunked(hidden(b"100000000000000" + HIDDEN)),
    "a size of 2^128": Chunked(hidden(b"1" + b"0" * 32)),
    "a negative size": Chunked(hidden(b"-1")),
    "a size with a sign": Chunked(hidden(b"+" + HIDDEN)),
    "a size with an underscore": Chunked(hidden(HIDDEN[:1] + b"_" + HIDDEN[1:])),
    "a space before a size": Chunked(hidden(b" " + HIDDEN)),
    "no size": Chunked(hidden(b"")),
    "an extension without a size": Chunked(hidden(b";" + HIDDEN)),
    "a size that is no number": Chunked(hidden(b"g")),
    "a bare line feed behind a size": Chunked(chunks(WHOLE).replace(b"\r\n", b"\n", 1)),
    "a bare carriage return in an extension": Chunked(hidden(HIDDEN + b";a\rb")),
    "a bare line feed in an extension": Chunked(hidden(HIDDEN + b";a\nb")),
    "bare line feeds at the end": Chunked(chunks(WHOLE, last=b"0\n\n")),
    "other bytes behind a chunk": Chunked(chunks(WHOLE).replace(BODY + b"\r\n", BODY + b"XX")),
    "`chunked, identity`": Chunked(chunks(WHOLE), "transfer-encoding: chunked, identity"),
    "`identity, chunked`": Chunked(chunks(WHOLE), "transfer-encoding: identity, chunked"),
    "`identity`": Chunked(b"0\r\n\r\n" + SMUGGLED, "transfer-encoding: identity"),
    "`gzip, chunked`": Chunked(chunks(WHOLE), "transfer-encoding: gzip, chunked"),
    "`chunked, chunked`": Chunked(chunks(WHOLE), "transfer-encoding: chunked, chunked"),
    "`chunked` with a parameter": Chunked(chunks(WHOLE), "transfer-encoding: chunked;q=1"),
    "`chunked` in quotes": Chunked(chunks(WHOLE), 'transfer-encoding: "chunked"'),
    "`chunked` behind a vertical tab": Chunked(chunks(WHOLE), "transfer-encoding: \x0bchunked"),
    "an empty coding": Chunked(b"0\r\n\r\n" + SMUGGLED, "transfer-encoding:"),
    "a coding behind a bare line feed": Chunked(
        b"0\r\n\r\n" + SMUGGLED, f"x: y\ntransfer-encoding: chunked\r\ncontent-length: {5 + len(SMUGGLED)}"
    ),
    "chunks and a length of 0": Chunked(chunks(WHOLE), more="content-length: 0"),
    "chunks in HTTP/1.0": Chunked(chunks(WHOLE), version="1.0"),
}


@each_way
@pytest.mark.parametrize("request_", READ_ALIKE.values(), ids=READ_ALIKE)
def test_the_body_that_was_checked_is_the_one_that_arrives(sidecar: Sidecar, way: str, request_: Chunked) -> None:
    answer = exchange(sidecar, way, request_.to() + END)
    assert answer.statuses == [200, 200], answer.data
    assert sidecar.arrived == sidecar.asked == [("POST", PATH, request_.read), ("POST", "/end", b"end")]
    assert b"x-trailer" not in sidecar.upstream.bytes.replace(b"trailer: x-trailer", b"")


def test_a_body_whose_end_is_in_doubt_is_refused(sidecar: Sidecar) -> None:
    # All at once, since Envoy keeps each connection for a second when it has refused.
    with ExitStack() as stack:
        sent = {}
        for way in WAYS:
            for number, (name, request) in enumerate(REFUSED.items()):
                sent[way, name] = stack.enter_context(sidecar.connect(way))
                sent[way, name].sendall(request.to(f"/{number}") + END)
        answers = {case: read_to_end(connection) for case, connection in sent.items()}
    passed = {case: answer.data for case, answer in answers.items() if any(s < 400 for s in answer.statuses)}
    assert not passed
    # On a way out the connection ends without an answer; see test_what_envoy_refuses_on_a_way_out_is_answered.
    assert not [name for (way, name), answer in answers.items() if way == "inbound" and not answer.statuses]
    assert not sidecar.asked
    assert not sidecar.upstream.bytes


@each_way
def test_a_chunk_of_which_32_bits_are_zero_is_no_end(sidecar: Sidecar, way: str) -> None:
    """It is one of 4 GiB, of which more comes here than a body may have."""
    with sidecar.connect(way) as connection:
        try:
            connection.sendall(Chunked(b"100000000\r\n\r\n" + SMUGGLED + b"x" * (1 << 20)).to())
        except ConnectionError:
            pass  # Refused before all of it came.
        answer = RawAnswer(connection.recv(65_536))
    assert answer.statuses == [413], answer.data
    assert not sidecar.asked
    assert not sidecar.upstream.bytes


# Trailers of HTTP/2, which Envoy does not drop


@each_way
@pytest.mark.parametrize("body", [BODY, b""], ids=["a body", "no body"])
def test_trailers_of_http2_reach_nobody(sidecar: Sidecar, way: str, body: bytes) -> None:
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    status, is_over = None, False
    with sidecar.connect(way) as connection:
        client.initiate_connection()
        target = [(":method", "POST"), (":scheme", "http"), (":authority", "bank"), (":path", PATH)]
        client.send_headers(1, target)
        if body:
            client.send_data(1, body)
        client.send_headers(1, [("x-trailer", "a"), ("authorization", "Bearer x-trailer")], end_stream=True)
        connection.sendall(client.data_to_send())
        while not is_over and (data := connection.recv(65_536)):
            for event in client.receive_data(data):
                if isinstance(event, ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                is_over |= isinstance(event, StreamEnded | StreamReset | ConnectionTerminated)
            connection.sendall(client.data_to_send())
    assert status in (200, 403)
    assert sidecar.arrived == ([("POST", PATH, body)] if status == 200 else [])
    assert sidecar.asked == sidecar.arrived
    assert b"x-trailer" not in sidecar.upstream.bytes


# Answers before the answer

EXPECTING = post("expect: 100-continue")[: -len(BODY)]


@each_way
@pytest.mark.parametrize("is_patient", [True, False], ids=["waited for", "not waited for"])
def test_an_expected_continue_is_one_request(sidecar: Sidecar, way: str, is_patient: bool) -> None:
    before = b""
    with sidecar.connect(way) as connection:
        connection.sendall(EXPECTING)
        while is_patient and not before.endswith(b"\r\n\r\n"):
            before += connection.recv(65_536)
        assert not sidecar.asked or not is_patient, "it was asked about before its body came"
        connection.sendall(BODY + END)
        answer = RawAnswer(before + read_to_end(connection).data)
    assert answer.statuses == [100, 200, 200], answer.data
    assert sidecar.arrived == sidecar.asked == [("POST", PATH, BODY), ("POST", "/end", b"end")]


@each_way
def test_a_body_that_was_waited_for_may_be_refused(sidecar: Sidecar, way: str) -> None:
    """The client was told to go on by Envoy, before anybody decided."""
    sidecar.service.answer = lambda question: refuse() if question.envelope[1] == BODY else admit()
    answer = exchange(sidecar, way, EXPECTING + BODY + END)
    assert answer.statuses == [100, 403, 200], answer.data
    assert sidecar.arrived == [("POST", "/end", b"end")]


HINTS = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
    "100, many times": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
}


@each_way
@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
def test_what_an_upstream_says_beforehand_shifts_no_answer(sidecar: Sidecar, way: str, hint: bytes) -> None:
    """Each request gets its own answer, whatever was said before it."""

    def answer_in_two(connection: socket.socket, request: Received) -> None:
        name = request.head.split(b" ")[1]
        connection.sendall(hint + b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name))

    sidecar.upstream.behaviour = answer_in_two
    answer = exchange(sidecar, way, post() + END)
    assert [status for status in answer.statuses if status >= 200] == [200, 200], answer.data
    assert answer.data.index(PATH.encode()) < answer.data.index(b"/end")
    assert sidecar.arrived == sidecar.asked == [("POST", PATH, BODY), ("POST", "/end", b"end")]


@each_way
def test_an_upstream_can_t_switch_protocols(sidecar: Sidecar, way: str) -> None:
    """Through a tunnel anything would pass unasked and unread; a client that wants one is refused before."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\nunread"
    sidecar.upstream.behaviour = lambda connection, request: (
        connection.sendall(switch) if request.body == BODY else GOOD(connection, request)
    )
    answer = exchange(sidecar, way, post() + END)
    assert b"unread" not in answer.data
    assert sidecar.arrived == sidecar.asked == [("POST", PATH, BODY), ("POST", "/end", b"end")]


# What waits for an answer


def is_held(question: Question) -> Answer | None:
    """A service that says nothing about some requests."""
    return None if question.envelope[1] == b"held" else admit()


@dataclass
class Unanswered:
    """What came of requests whose questions nobody answered, all at once for the time it takes."""

    ended: dict[tuple[str, str], tuple[list[int], float]] = field(default_factory=dict)
    """The statuses of each, by adapter and listener, and after how many seconds."""
    meanwhile: dict[str, list[list[int]]] = field(default_factory=dict)
    """Of good requests by each listener, and of one that Envoy itself refuses, while all of them waited."""
    arrived: dict[str, list[bytes]] = field(default_factory=dict)

    def wait(self, sidecar: Sidecar, way: str) -> None:
        began, statuses = time.monotonic(), []
        with sidecar.connect(way) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(post("connection: close", body=b"held"))
            try:
                statuses = read_to_end(connection).statuses
            except TimeoutError:
                pass
        self.ended[sidecar.adapter, way] = statuses, time.monotonic() - began

    def look(self, sidecar: Sidecar) -> None:
        wait_until(lambda: len(sidecar.asked) == len(LISTENERS), "the questions")
        seen = [exchange(sidecar, way, post("connection: close", body=b"good")).statuses for way in WAYS]
        sidecar.service.answer = lambda _: None
        with sidecar.connect("inbound") as connection:
            connection.sendall(post("under_score: 1"))
            seen.append(RawAnswer(connection.recv(65_536)).statuses)
        if not any(adapter == sidecar.adapter for adapter, _ in self.ended):
            self.meanwhile[sidecar.adapter] = seen


LISTENERS = (*WAYS, LLM)
PATIENCE = 7.0
"""A question waits for 5 s."""


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> Unanswered:
    found, folder = Unanswered(), tmp_path_factory.mktemp("unanswered")
    with ExitStack() as stack:
        sidecars = [stack.enter_context(sidecar_bench(folder / name, name, is_held)) for name in adapters()]
        waits = [threading.Thread(target=found.wait, args=(s, way)) for s in sidecars for way in LISTENERS]
        looks = [threading.Thread(target=found.look, args=(s,)) for s in sidecars]
        for thread in waits + looks:
            thread.start()
        for thread in waits + looks:
            thread.join()
        found.arrived = {s.adapter: [body for _, _, body in s.arrived] for s in sidecars}
    return found


each_adapter = pytest.mark.parametrize("adapter", adapters())


@each_adapter
def test_a_question_without_an_answer_holds_up_nobody(unanswered: Unanswered, adapter: str) -> None:
    """Each Envoy has one worker."""
    # There is nothing to see where they were answered behind those that wait.
    assert unanswered.meanwhile.get(adapter) == [[200], [200], [400]]


@each_adapter
@pytest.mark.parametrize("way", LISTENERS)
def test_a_question_without_an_answer_ends_in_a_refusal(unanswered: Unanswered, adapter: str, way: str) -> None:
    statuses, seconds = unanswered.ended[adapter, way]
    assert statuses == [403] and 4 < seconds < PATIENCE
    assert unanswered.arrived[adapter] == [b"good", b"good"]


# What never ends

TRICKLING = {
    "a line": b"POST /",
    "headers": b"POST /mcp HTTP/1.1\r\nhost: bank\r\nx: ",
    "a body": post(body=b" " * 9999)[:-9000],
}
"""What goes on with a byte each second."""
TRICKLE = 25.0
"""How long it would go on, in seconds; requests have 15."""


def trickle(connection: socket.socket, data: bytes) -> tuple[RawAnswer, float]:
    """What is answered, and after how many seconds."""
    began, answer = time.monotonic(), b""
    connection.settimeout(1)
    connection.sendall(data)
    while time.monotonic() - began < TRICKLE:
        try:
            part = connection.recv(65_536)
        except TimeoutError:
            connection.sendall(b"x")
            continue
        except ConnectionError:
            part = b""
        if not part:
            break
        answer += part
    return RawAnswer(answer), time.monotonic() - began


@pytest.fixture(scope="module")
def trickled(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], tuple[RawAnswer, float]]:
    """What became of them, by adapter, listener and kind: all at once for the time it takes."""
    folder = tmp_path_factory.mktemp("trickled")
    found: dict[tuple[str, str, str], tuple[RawAnswer, float]] = {}

    def wait(sidecar: Sidecar, way: str, kind: str) -> None:
        with sidecar.connect(way) as connection:
            found[sidecar.adapter, way, kind] = trickle(connection, TRICKLING[kind])

    with ExitStack() as stack:
        sidecars = [stack.enter_context(sidecar_bench(folder / name, name)) for name in adapters()]
        threads = [
            threading.Thread(target=wait, args=(sidecar, way, kind))
            for sidecar in sidecars for way in LISTENERS for kind in TRICKLING
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not any(sidecar.asked or sidecar.arrived for sidecar in sidecars)
    return found


@each_adapter
@pytest.mark.parametrize("kind", TRICKLING)
@pytest.mark.parametrize("way", LISTENERS)
def test_a_request_that_does_not_end_is_cut_off(
    trickled: dict[tuple[str, str, str], tuple[RawAnswer, float]], adapter: str, way: str, kind: str
) -> None:
    answer, seconds = trickled[adapter, way, kind]
    assert answer.statuses == [408] and 10 < seconds < TRICKLE


def test_what_envoy_refuses_on_a_way_out_is_answered(sidecar: Sidecar) -> None:
    assert exchange(sidecar, "outbound", post("under_score: 1")).statuses == [400]


def test_no_request_reaches_the_llm_whose_answer_nobody_would_read(sidecar: Sidecar) -> None:
    """The service says of each that its answer is to be read. Should it once say nothing, the request goes nowhere."""
    answer = exchange(sidecar, LLM, post("connection: close"))
    assert answer.statuses == [403] and b"llm_response_unreadable" in answer.data
    assert len(sidecar.asked) == 1 and not sidecar.arrived
