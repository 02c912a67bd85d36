"""Attack 16: HTTP/2 requests that a careless reader would read otherwise, and connections that only cost."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, attack, attacks, reasons_in
from casa_runtime import Json
from casa_stack import Stack, Stolen, mcp_headers, steal, tool_call
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from hpack import Encoder

Fields = list[tuple[str, str]]
BODY = json.dumps(tool_call(TRANSFER, TO_ATTACKER)).encode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def stolen(stack: Stack) -> Stolen:
    return steal(stack)


def connect(stack: Stack, name: str = "bank") -> socket.socket:
    address = httpx.URL(stack.url(name))
    return socket.create_connection((address.host, address.port or 80), timeout=10)


@dataclass
class Heard:
    """What came back on one stream."""

    status: int | None = None
    body: bytes = b""
    reset: bool = False
    closed: bool = False


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@dataclass
class Sender:
    """A client that checks nothing of what it sends."""

    connection: socket.socket
    h2: H2Connection = field(init=False)

    def __post_init__(self) -> None:
        settings = H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = H2Connection(settings)
        self.h2.initiate_connection()
        self.connection.sendall(self.h2.data_to_send())

    def request(self, fields: Fields, body: bytes) -> Heard:
        self.h2.send_headers(1, fields)
        self.h2.send_data(1, body, end_stream=True)
        self.connection.sendall(self.h2.data_to_send())
        return self.hear(1)

    def hear(self, stream: int) -> Heard:
        heard = Heard()
        try:
            while data := self.connection.recv(65536):
                for event in self.h2.receive_data(data):
                    match event:
                        case ResponseReceived(stream_id=number, headers=headers) if number == stream:
                            heard.status = int(dict(headers)[":status"])
                        case DataReceived(stream_id=number, data=part) if number == stream:
                            heard.body += part
                        case StreamEnded(stream_id=number) if number == stream:
                            return heard
                        case StreamReset(stream_id=number) if number == stream:
                            heard.reset = True
                            return heard
                        case ConnectionTerminated():
                            heard.closed = True
                            return heard
                self.connection.sendall(self.h2.data_to_send())
        except ConnectionError:
            pass
        heard.closed = True
        return heard


def head(token: str, path: str = "/mcp", authority: str = "bank", tool: str = TRANSFER) -> Fields:
    own = list(mcp_headers("tools/call", tool).items())
    target = [(":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", path)]
    return [*target, ("authorization", f"Bearer {token}"), *own]


def without(fields: Fields, name: str) -> Fields:
    return [(key, value) for key, value in fields if key != name]


DISGUISES: dict[str, Callable[[str], Fields]] = {
    "two paths": lambda token: [*head(token)[:4], (":path", "/ledger"), *head(token)[4:]],
    "two authorities": lambda token: [*head(token)[:3], (":authority", "evil"), *head(token)[3:]],
    "a pseudo field after the others": lambda token: [*without(head(token), ":path"), (":path", "/mcp")],
    "an unknown pseudo field": lambda token: [(":protocol", "websocket"), *head(token)],
    "no path": lambda token: without(head(token), ":path"),
    "no method": lambda token: without(head(token), ":method"),
    "the ledger": lambda token: head(token, "/ledger"),
    "a relative path": lambda token: head(token, "mcp"),
    "a name in upper case": lambda token: [*without(head(token), "authorization"), ("Authorization", f"Bearer {token}")],
    "a line feed in a value": lambda token: [*head(token), ("x-a", "b\r\nx-c: d")],
    "a null in a value": lambda token: [*head(token), ("x-a", "b\0c")],
    "a colon in a name": lambda token: [*head(token), ("x:a", "b")],
    "a space in a name": lambda token: [*head(token), ("x a", "b")],
    "an empty name": lambda token: [*head(token), ("", "b")],
    "Transfer-Encoding": lambda token: [*head(token), ("transfer-encoding", "chunked")],
    "Connection": lambda token: [*head(token), ("connection", "authorization")],
    "too short a length": lambda token: [*head(token), ("content-length", "3")],
    "two lengths": lambda token: [*head(token), ("content-length", str(len(BODY))), ("content-length", "3")],
    "the token twice": lambda token: [*head(token), ("authorization", f"Bearer {token}")],
    "the token split over two fields": lambda token: [
        *without(head(token), "authorization"), ("authorization", "Bearer"), ("authorization", token)],
    "CASA's own field": lambda token: [*head(token), ("x-casa-decision", "allow")],
    "a field of 40 KiB": lambda token: [*head(token), ("x-long", "a" * 40_000)],
    "a thousand fields": lambda token: [*head(token), *((f"x-{n}", "1") for n in range(1000))],
    "CONNECT": lambda token: [(":method", "CONNECT"), *head(token)[2:3], *head(token)[4:]],
}  # fmt: skip


# Why CASA itself refuses a request; what has no reason here is Envoy's to refuse.
REASONS = {
    "the ledger": "protocol_not_allowed",
    "the token twice": "token_malformed",
    "the token split over two fields": "token_malformed",
    "CASA's own field": "reserved_header",
}
CONNECT = {"module": "method_not_allowed", "lua": "malformed_request"}
"""Filters refuse it before Envoy finds that it has no route for it, and says so with 404."""


@pytest.mark.usefixtures("undisturbed")
@attacks(16, "name", {name: name for name in DISGUISES}, "HTTP/2: {}")
def test_an_http2_request_in_disguise_reaches_nothing(stolen: Stolen, attempt: Attempt, name: str) -> None:
    t3 = stolen.t3(TRANSFER, TO_ATTACKER)
    attempt.begin()
    with connect(stolen.stack) as connection:
        heard = Sender(connection).request(DISGUISES[name](t3), BODY)
    attempt.assert_nothing_arrived()
    assert heard.reset or heard.closed or (heard.status or 0) >= 400, heard
    expected = CONNECT.get(stolen.stack.adapter or "module") if name == "CONNECT" else REASONS.get(name)
    assert reasons_in(heard.body) == ([expected] if expected else []), heard
    assert stolen.stack.app("bank").is_active(t3), "the token was used up"
    attempt.assert_nothing("token_spent", stolen.trace_id)
    said = heard.status or "the stream was closed"
    attempt.refused("proxy", f"{said}{f' {expected}' if expected else ''}; trace: no token_spent; the token is unused")


RATE = "get_exchange_rate"
EUROS: Json = {"base": "EUR", "quote": "USD"}
RATE_BODY = json.dumps(tool_call(RATE, EUROS)).encode()


def rate_head(stolen: Stolen, authority: str = "bank") -> Fields:
    """A call that may be made and changes nothing."""
    return head(stolen.t3(RATE, EUROS), authority=authority, tool=RATE)


def test_the_same_request_passes_undisguised(stolen: Stolen) -> None:
    """What the refusals above rest on."""
    with connect(stolen.stack) as connection:
        heard = Sender(connection).request(rate_head(stolen), RATE_BODY)
    assert heard.status == 200, heard


AUTHORITIES = ("evil.example", "BANK", "bank.", "bank:99999", "127.0.0.1:1", "[::1]")
CLAIMS = {
    **{f":authority {name}": (name, None) for name in AUTHORITIES},
    **{f":authority bank, and `host` {name}": ("bank", name) for name in AUTHORITIES},
}


@pytest.mark.usefixtures("undisturbed")
@attacks(16, "names", CLAIMS)
def test_an_authority_changes_no_destination(stolen: Stolen, attempt: Attempt, names: tuple[str, str | None]) -> None:
    """One listener, one upstream: a good call goes there, under the upstream's own name, wherever it claims to go."""
    authority, host = names
    fields = rate_head(stolen, authority)
    attempt.begin()
    with connect(stolen.stack) as connection:
        heard = Sender(connection).request([*fields, *([("host", host)] if host else [])], RATE_BODY)
    assert heard.status == 200, heard
    attempt.assert_one_good_call(RATE, EUROS)
    attempt.refused("proxy", "one listener, one destination: the call arrived there, its host written anew")


@pytest.mark.usefixtures("undisturbed")
@attacks(16, "names", {":authority": ("user@bank", None), "`host`": ("bank", "user@bank")}, "a user in {}")
def test_an_authority_names_no_user(stolen: Stolen, attempt: Attempt, names: tuple[str, str | None]) -> None:
    authority, host = names
    token = stolen.t3(RATE, EUROS)
    attempt.begin()
    with connect(stolen.stack) as connection:
        fields = [*head(token, authority=authority, tool=RATE), *([("host", host)] if host else [])]
        heard = Sender(connection).request(fields, RATE_BODY)
    attempt.assert_nothing_arrived()
    assert heard.status is None and (heard.reset or heard.closed), heard
    assert stolen.stack.app("bank").is_active(token), "the token was used up"
    attempt.refused("proxy", "the stream was closed; the token is unused")


def assert_others_are_served(stack: Stack) -> None:
    began = time.monotonic()
    session = stack.begin_session()
    session.select("What is my balance?", "get_account_summary")
    assert session.call("get_account_summary", {}).status_code == 200
    assert time.monotonic() - began < 15


def flood(connection: socket.socket, parts: list[bytes], patience: float = 15) -> str:
    """Sends until the peer ends the connection or all is sent."""
    end = time.monotonic() + patience
    try:
        for part in parts:
            connection.sendall(part)
            assert time.monotonic() < end
        connection.settimeout(2)
        while connection.recv(65536):
            assert time.monotonic() < end
    except TimeoutError:
        return "it stayed open"
    except ConnectionError:
        pass
    return "it was closed"


@attacks(16, "place", {"the bank": "bank", "the agent's way to the bank": "agent->bank"}, "rapid reset at {}")
def test_rapid_resets_cost_only_the_one_who_sends_them(stack: Stack, attempt: Attempt, place: str) -> None:
    encoder = Encoder()
    start = PREFACE + frame(4, 0, 0, b"")
    pieces = []
    for stream in range(1, 40_001, 2):
        block = encoder.encode(head("x.y.z"))
        pieces.append(frame(1, 4, stream, block) + frame(3, 0, stream, struct.pack(">I", ErrorCodes.CANCEL)))
    with connect(stack, place) as connection:
        end = flood(connection, [start, *(b"".join(pieces[n : n + 100]) for n in range(0, len(pieces), 100))])
    assert_others_are_served(stack)
    attempt.before = stack.ledger
    attempt.refused("proxy", f"20 000 streams reset; {end}; others were served")


@attack(16, "a header list that never ends (CONTINUATION)")
def test_endless_continuations_are_cut_off(stack: Stack, attempt: Attempt) -> None:
    first = frame(1, 0, 1, Encoder().encode(head("x.y.z")))
    more = frame(9, 0, 1, b"\x00\x03x-a" + b"\x7f\x81\x03" + b"a" * 512)
    with connect(stack) as connection:
        end = flood(connection, [PREFACE + frame(4, 0, 0, b"") + first, *[more * 50 for _ in range(400)]])
    assert end == "it was closed"
    assert_others_are_served(stack)
    attempt.before = stack.ledger
    attempt.refused("proxy", f"10 MB of header fields; {end}; others were served")


@attack(16, "settings, pings and empty frames without end")
def test_floods_of_empty_frames_are_cut_off_or_cost_nothing(stack: Stack, attempt: Attempt) -> None:
    ends = []
    for piece in (frame(4, 0, 0, b""), frame(6, 0, 0, bytes(8)), frame(2, 0, 1, bytes(5))):
        with connect(stack) as connection:
            ends.append(flood(connection, [PREFACE + frame(4, 0, 0, b""), *[piece * 200 for _ in range(200)]]))
    assert_others_are_served(stack)
    attempt.before = stack.ledger
    attempt.refused("proxy", f"3 x 40 000 frames; {', '.join(sorted(set(ends)))}; others were served")
