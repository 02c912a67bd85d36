"""Whatever is sent, the runtime says what is wrong or closes the connection; it never fails and never grows."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

import pytest
from casa_runtime import Cast, Runtime

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MAXIMUM_BODY = 524_288
MAXIMUM_RESIDENT = 400 << 20


@dataclass(frozen=True)
class Endpoint:
    """A place that reads a body."""

    method: str
    path: str
    type: str
    role: str
    """Who may send there: `client`, `node` or `admin`."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (" by a node" if self.role == "node" else "")

    @property
    def maximum_body(self) -> int:
        """Reports may hold the text of a tool's result."""
        return 2 << 20 if self.path == "/trace/events" else MAXIMUM_BODY


ENDPOINTS = [
    Endpoint("POST", "/oauth/token", FORM, "client"),
    Endpoint("POST", "/oauth/token/exchange", FORM, "client"),
    Endpoint("POST", "/oauth/introspect", FORM, "client"),
    Endpoint("POST", "/oauth/spend", FORM, "client"),
    Endpoint("POST", "/oauth/revoke", FORM, "client"),
    Endpoint("POST", "/trace/events", JSON, "client"),
    Endpoint("POST", "/mas", JSON, "admin"),
    Endpoint("PUT", "/mas/{mas}", JSON, "admin"),
    Endpoint("POST", "/apps", JSON, "admin"),
    Endpoint("PUT", "/apps/{bank}", JSON, "admin"),
    Endpoint("POST", "/apps/{bank}/tools/approve", JSON, "admin"),
    Endpoint("POST", "/trace/events", JSON, "node"),
    Endpoint("POST", "/nodes", JSON, "admin"),
]
BODILESS = [
    ("GET", "/mas"),
    ("GET", "/apps"),
    ("GET", "/apps/self"),
    ("GET", "/nodes"),
    ("POST", "/apps/{bank}/secret"),
    ("POST", "/apps/{bank}/tools/discover"),
    ("POST", "/keys/rotate"),
    ("GET", "/user-inputs/x"),
    ("GET", "/trace/events"),
    ("GET", "/oauth/jwks"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/healthz"),
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def explanation(self) -> str:
        """What the answer says is wrong."""
        kind = self.headers.get("content-type")
        assert kind in ("application/problem+json", "application/json"), kind
        told = json.loads(self.body)
        return str(told["detail"] if kind == "application/problem+json" else told["error_description"])


def read_answer(connection: socket.socket) -> Answer | None:
    """The next answer on a connection; nil when it was closed without one."""
    response = HTTPResponse(connection)
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ConnectionError):
        return None
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


class Wire:
    """Sends bytes as they are."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.runtime = cast.runtime
        self.node = cast.runtime.create_node("worker-1")

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.runtime.port), timeout)

    def send(self, data: bytes) -> Answer | None:
        with self.connect() as connection:
            try:
                connection.sendall(data)
            except ConnectionError:
                pass  # Cut while sending; an answer may have come before.
            return read_answer(connection)

    def authorization(self, role: str) -> str:
        if role == "admin":
            return "Bearer " + self.runtime.admin_secret
        sender = self.node if role == "node" else self.cast.client
        pair = f"{sender.id}:{sender.secret}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def fill(self, path: str) -> str:
        return path.format(mas=self.cast.mas, bank=self.cast.bank.id)

    def head(self, endpoint: Endpoint, *lines: str, type: str | None = None) -> bytes:
        """A request's head with the credentials that belong to it."""
        fields = [
            f"{endpoint.method} {self.fill(endpoint.path)} HTTP/1.1",
            f"Host: 127.0.0.1:{self.runtime.port}",
            f"Authorization: {self.authorization(endpoint.role)}",
            f"Content-Type: {type or endpoint.type}",
            *lines,
        ]
        return "\r\n".join(fields).encode() + b"\r\n\r\n"

    def body(self, endpoint: Endpoint, body: bytes, *lines: str, type: str | None = None) -> Answer | None:
        return self.send(self.head(endpoint, f"Content-Length: {len(body)}", *lines, type=type) + body)


@pytest.fixture(scope="module")
def wire(new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast]) -> Iterator[Wire]:
    """A runtime of its own, which has to be alive and of bounded size when all tests are over."""
    runtime = new_runtime()
    yield Wire(new_cast(runtime))
    assert runtime.is_alive()
    assert runtime.http.get("/readyz").status_code == 200
    print(f"\nresident after all bad input: {runtime.resident_bytes() >> 20} MiB")
    assert runtime.resident_bytes() < MAXIMUM_RESIDENT
    counted = [line for line in runtime.http.get("/metrics").text.splitlines() if 'status="5' in line]
    assert counted == []


every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
every_form = pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.type == FORM], ids=str)
every_json = pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.type == JSON], ids=str)


def assert_refused(answer: Answer | None, *statuses: int) -> Answer:
    assert answer is not None, "closed without an answer"
    assert answer.status in statuses, (answer.status, answer.body)
    assert len(answer.explanation()) > 10
    return answer


DEEP = 100_000
BAD_JSON: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"name": "a',
    "no object": b"[]",
    "a string": b'"x"',
    "nested 10^5 deep": b'{"name":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects nested 80,000 deep": b'{"a":' * 80_000 + b"1" + b"}" * 80_000,
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "duplicate members": b'{"name": "aa", "name": "bb"}',
    "duplicate members by escape": b'{"name": "aa", "n\\u0061me": "bb"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "latin-1": '{"name": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "raw control character": b'{"name": "a\x00b"}',
    "trailing text": b"{} {}",
    "huge number": b'{"name": 1e999}',
    "comments": b'{/* x */"name": "a"}',
    "100,000 values": b'{"a":[' + b"1," * 110_000 + b"1]}",
}
WRONG_MEMBERS: dict[str, bytes] = {
    "wrong types": b'{"name": 1, "mas_id": [], "kind": {}, "events": 7, "tools": "x", "enabled_tool_checks": {},'
    b' "base_url": 5}',
    "nulls": b'{"name": null, "mas_id": null, "events": null, "tools": null, "enabled_tool_checks": null,'
    b' "base_url": "x"}',
    "empty lists": b'{"name": "", "mas_id": "", "events": [], "tools": [], "enabled_tool_checks": [0],'
    b' "base_url": ""}',
    "lists of the wrong things": b'{"name": [1], "mas_id": [1], "events": [1], "tools": [{"name": "x"}],'
    b' "enabled_tool_checks": ["X"], "base_url": []}',
    "unknown names": b'{"name": "A B", "mas_id": "../x", "kind": "king", "events": [{"kind": "x"}],'
    b' "tools": [{"name": "\\u202e", "seen_sha256": "X"}], "enabled_tool_checks": [null], "base_url": "file:///x"}',
}
BAD_FORMS: dict[str, bytes] = {
    "empty": b"",
    "broken escape": b"grant_type=client_credentials&user_input=%zz&token=%zz",
    "truncated escape": b"grant_type=client_credentials&user_input=%4&token=%4",
    "invalid UTF-8": b"grant_type=client_credentials&user_input=%ff%fe&token=%ff",
    "raw latin-1": "grant_type=client_credentials&user_input=é&token=é".encode("latin-1"),
    "UTF-16": "grant_type=client_credentials&user_input=hello&token=x".encode("utf-16"),
    "U+0000": b"grant_type=client_credentials&user_input=a%00b&token=a%00",
    "repeated": b"grant_type=client_credentials&grant_type=client_credentials&token=a&token=b",
    "too many fields": b"&".join(b"f%d=1" % n for n in range(1000)),
    "JSON": b'{"grant_type": "client_credentials"}',
    "a thousand combining marks": b"token=a" + "\u0301".encode() * 1000,
}


class TestBodies:
    @every_json
    @pytest.mark.parametrize("name", BAD_JSON)
    def test_json_that_is_not_strict_is_refused(self, wire: Wire, endpoint: Endpoint, name: str) -> None:
        assert_refused(wire.body(endpoint, BAD_JSON[name]), 400)

    @every_json
    @pytest.mark.parametrize("name", WRONG_MEMBERS)
    def test_members_of_wrong_types_are_refused_by_name(self, wire: Wire, endpoint: Endpoint, name: str) -> None:
        answer = assert_refused(wire.body(endpoint, WRONG_MEMBERS[name]), 400)
        assert json.loads(answer.body)["errors"][0]["field"]

    @every_form
    @pytest.mark.parametrize("name", BAD_FORMS)
    def test_a_form_that_is_not_well_formed_is_refused(self, wire: Wire, endpoint: Endpoint, name: str) -> None:
        assert_refused(wire.body(endpoint, BAD_FORMS[name]), 400)

    @pytest.mark.parametrize(
        "details",
        ["[", "{}", "[1]", "[[]]", "null", "NaN", "[" * DEEP, "\ufeff[]"]
        + ['[{"type":"mcp_tool_call"}]', '[{"a":1,"a":2}]'],
        ids=lambda text: text[:20],
    )
    def test_authorization_details_that_are_no_call_are_refused(self, cast: Cast, details: str) -> None:
        t1 = cast.client.t1(audience="assistant")
        answer = cast.agent.exchange(t1, "call-tools", authorization_details=details)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_authorization_details")

    def test_a_prompt_may_have_65536_bytes_and_no_more(self, cast: Cast) -> None:
        assert cast.client.issue("é" * 32_768).status_code == 200
        answer = cast.client.issue("é" * 32_768 + "x")
        assert answer.status_code == 400 and "65536" in answer.json()["error_description"]

    @every_endpoint
    def test_a_declared_body_that_is_too_large_is_refused_before_it_comes(self, wire: Wire, endpoint: Endpoint) -> None:
        answer = wire.send(wire.head(endpoint, f"Content-Length: {1 << 40}"))
        refused = assert_refused(answer, 413)
        assert refused.headers["connection"] == "close" and str(endpoint.maximum_body) in refused.explanation()

    @every_endpoint
    def test_a_chunked_body_that_is_too_large_is_refused(self, wire: Wire, endpoint: Endpoint) -> None:
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        answer = wire.send(wire.head(endpoint, "Transfer-Encoding: chunked") + chunk * (endpoint.maximum_body // 65_536 + 4) + b"0\r\n\r\n")
        assert_refused(answer, 413)

    @every_endpoint
    def test_a_wrong_content_type_is_refused(self, wire: Wire, endpoint: Endpoint) -> None:
        other = FORM if endpoint.type == JSON else JSON
        for type in ["text/plain", other, "multipart/form-data; boundary=x", f"{endpoint.type}; charset=utf-16", ";"]:
            assert_refused(wire.body(endpoint, b"{}", type=type), 415)
        assert_refused(wire.body(endpoint, b"{}", f"Content-Type: {other}"), 415)

    @every_endpoint
    def test_a_content_coding_is_refused(self, wire: Wire, endpoint: Endpoint) -> None:
        for coding in ["gzip", "deflate", "br", "identity"]:
            assert_refused(wire.body(endpoint, gzip.compress(b"{}"), f"Content-Encoding: {coding}"), 415)

    def test_a_chunked_body_is_read_like_any_other(self, wire: Wire) -> None:
        endpoint = ENDPOINTS[0]
        parts = [b"grant_type=client_cre", b"dentials&user_input=hel", b"lo"]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        answer = wire.send(wire.head(endpoint, "Transfer-Encoding: chunked") + body)
        assert answer is not None and answer.status == 200

    @every_endpoint
    def test_a_body_that_ends_too_soon_grants_nothing(self, wire: Wire, endpoint: Endpoint) -> None:
        with wire.connect() as connection:
            connection.sendall(wire.head(endpoint, "Content-Length: 100") + b"{")
            connection.shutdown(socket.SHUT_WR)
            answer = read_answer(connection)
        assert answer is None or 400 <= answer.status < 500


class TestCredentials:
    @every_endpoint
    def test_a_repeated_authorization_is_refused(self, wire: Wire, endpoint: Endpoint) -> None:
        same = f"Authorization: {wire.authorization(endpoint.role)}"
        refused = assert_refused(wire.body(endpoint, b"{}" if endpoint.type == JSON else b"token=x", same), 400)
        assert "2 times" in refused.explanation()

    @pytest.mark.parametrize(
        "value",
        [
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic " + base64.b64encode(b"no colon").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
            "Basic " + base64.b64encode(b":").decode(),
            "Basic " + "QUFB" * 2000,
            "Bearer",
            "Bearer a b",
            "Bearer " + "x" * 10_000,
            "Digest x",
            "x" * 10_000,
            "",
        ],
        ids=lambda value: value[:24],
    )
    def test_credentials_that_are_none_are_refused(self, wire: Wire, value: str) -> None:
        for method, path in BODILESS[:8]:
            head = f"{method} {wire.fill(path)} HTTP/1.1\r\nHost: x\r\nAuthorization: {value}\r\n\r\n"
            assert_refused(wire.send(head.encode()), 401)

    def test_the_client_credentials_of_an_app_are_not_the_administrators(self, wire: Wire) -> None:
        client = wire.cast.client
        for value in [wire.authorization("client"), f"Bearer {client.secret}", f"Bearer {client.t1()}"]:
            answer = wire.runtime.http.get("/mas", headers={"authorization": value})
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")


class TestRequestLines:
    @pytest.mark.parametrize("path", sorted({wire_path for _, wire_path in BODILESS} | {e.path for e in ENDPOINTS}))
    @pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    def test_a_method_the_path_does_not_take_is_answered_405(self, wire: Wire, method: str, path: str) -> None:
        answer = wire.send(f"{method} {wire.fill(path)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        refused = assert_refused(answer, 405)
        assert refused.headers["allow"] and method not in refused.headers["allow"]

    @pytest.mark.parametrize(
        "target",
        ["/nothing", "/mas/", "//mas", "/mas/a/b", "/mas/%2e%2e", "/apps/../mas", "/apps/x/y", "/oauth", "/MAS"]
        + ["/healthz/", "/mas/" + "a" * 129, "/" + "a" * 60_000, "/" + "/" * 10_000, "/user-inputs/a%00b", "*"],
        ids=lambda target: target[:24],
    )
    def test_a_path_nothing_is_at_is_answered_404(self, wire: Wire, target: str) -> None:
        answer = wire.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer is None or answer.status in (400, 404), answer
        if answer is not None and answer.status == 404:
            answer.explanation()

    @pytest.mark.parametrize(
        "query",
        ["after=x", "after=-1", "after=99999999999999999999", "limit=0", "limit=1001", "limit=1.5", "limit=1&limit=2"]
        + ["session=%00", "session=a/b", "after=%zz", "&".join(f"f{n}=1" for n in range(100))],
        ids=lambda query: query[:24],
    )
    def test_a_query_that_is_not_valid_is_refused(self, wire: Wire, query: str) -> None:
        answer = wire.runtime.http.get("/trace/events?" + query, headers=wire.runtime.admin_headers)
        assert answer.status_code == 400 and answer.json()["detail"]

    GARBAGE: dict[str, bytes] = {
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300,
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "unknown method": b"FROBNICATE / HTTP/1.1\r\nHost: x\r\n\r\n",
        "no version": b"GET /\r\n\r\n",
        "wrong version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "space in a field name": b"GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n",
        "U+0000 in a field": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        "length that is no number": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        "negative length": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "two lengths": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "length and chunks": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /mas HTTP/1.1\r\nHost: x\r\n\r\n",
        "chunks by another name": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\n"
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "chunk size that is no number": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: "
        + FORM.encode()
        + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        "field of 100 KB": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
        "2000 fields": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
        "path of 200 KB": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    }

    @pytest.mark.parametrize("name", GARBAGE)
    def test_what_is_not_http_is_answered_4xx_or_cut(self, wire: Wire, name: str) -> None:
        with wire.connect() as connection:
            try:
                connection.sendall(self.GARBAGE[name])
            except ConnectionError:
                pass
            answer = read_answer(connection)
            assert answer is None or 400 <= answer.status < 500, answer
            # Nothing that follows on the connection is taken for a request.
            assert read_answer(connection) is None


    def test_pipelined_requests_are_all_answered(self, wire: Wire) -> None:
        get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        post = wire.head(ENDPOINTS[4], "Content-Length: 7") + b"token=x"
        last = b"GET /oauth/jwks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        received = b""
        with wire.connect() as connection:
            connection.sendall(get + post + get + post + last)
            while data := connection.recv(65_536):
                received += data
        assert received.count(b"HTTP/1.1 200 OK") == 5
        assert received.rstrip().endswith(b"]}")


class TestSlowClients:
    """Each waits for a deadline of the server, so they wait together."""

    HEADERS, BODY, SLACK = 10.0, 15.0, 5.0

    def timed(self, behaviour: Callable[[], Answer | None]) -> tuple[Answer | None, float]:
        began = time.monotonic()
        return behaviour(), time.monotonic() - began

    def drip(self, wire: Wire, beginning: bytes, drop: bytes, first: bytes = b"") -> Answer | None:
        """Sends a little twice a second until the server has had enough; `first` is a request answered before."""
        with wire.connect(0.5) as connection:
            if first:
                connection.sendall(first)
                assert read_answer(connection) is not None
            connection.sendall(beginning)
            while True:
                try:
                    if not connection.recv(1, socket.MSG_PEEK):
                        return None
                    break
                except TimeoutError:
                    connection.sendall(drop)
                except ConnectionError:
                    return None
            connection.settimeout(5)
            answer = read_answer(connection)
            if answer is not None:
                assert connection.recv(1) == b"", "the connection outlives the answer"
            return answer

    def stop(self, wire: Wire, beginning: bytes) -> Answer | None:
        """Sends a beginning and then nothing."""
        return self.drip(wire, beginning, b"")

    def test_clients_that_drip_or_stop_are_cut_off(self, wire: Wire) -> None:
        form = wire.head(ENDPOINTS[0], "Content-Length: 1000")
        chunked = wire.head(ENDPOINTS[0], "Transfer-Encoding: chunked")
        start = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
        behaviours: dict[str, Callable[[], Answer | None]] = {
            "headers drip": lambda: self.drip(wire, start, b"A: b\r\n"),
            "headers stop": lambda: self.stop(wire, start),
            "nothing comes": lambda: self.stop(wire, b""),
            "second headers drip": lambda: self.drip(wire, start, b"A: b\r\n", first=start + b"\r\n"),
            "body drips": lambda: self.drip(wire, form, b"a"),
            "body stops": lambda: self.stop(wire, form + b"grant_type="),
            "chunks drip": lambda: self.drip(wire, chunked, b"1\r\na\r\n"),
            "chunks stop": lambda: self.stop(wire, chunked + b"5\r\nab"),
        }
        ended: dict[str, tuple[Answer | None, float]] = {}
        threads = [
            threading.Thread(target=lambda name=name, act=act: ended.update({name: self.timed(act)}), daemon=True)
            for name, act in behaviours.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.BODY + 3 * self.SLACK)
        assert ended.keys() == behaviours.keys(), "some are not cut off"
        for name, (answer, _) in ended.items():
            if "body" in name or "chunks" in name:
                assert "in time" in assert_refused(answer, 408).explanation()
            else:
                assert answer is None or answer.status in (400, 408), (name, answer)

    def test_a_client_that_goes_on_sending_after_its_answer_is_cut_off(self, wire: Wire) -> None:
        with wire.connect(5) as connection:
            connection.sendall(wire.head(ENDPOINTS[0], f"Content-Length: {1 << 40}"))
            assert_refused(read_answer(connection), 413)
            end = time.monotonic() + self.SLACK
            with pytest.raises(ConnectionError):
                while time.monotonic() < end:
                    connection.sendall(b"x" * 65_536)

    def test_others_are_answered_while_many_connections_hang(self, wire: Wire) -> None:
        hanging = [wire.connect() for _ in range(300)]
        try:
            for connection in hanging:
                connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Le")
            assert wire.cast.client.issue().status_code == 200
        finally:
            for connection in hanging:
                connection.close()


def test_memory_stays_bounded_under_large_requests(wire: Wire) -> None:
    body = b"token=" + b"a" * (MAXIMUM_BODY - 6)
    for _ in range(40):
        answer = wire.body(ENDPOINTS[2], body)
        assert answer is not None and answer.status == 200
    assert wire.runtime.resident_bytes() < MAXIMUM_RESIDENT
