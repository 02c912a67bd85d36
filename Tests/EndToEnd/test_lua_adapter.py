"""`adapter: lua`: Envoy's Lua asks the authorization service, through real Envoys."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from casa_runtime import ROOT, Json, free_port, printed_bootstrap, wait_until
from casa_stack import Stack, message_send, new_traceparent, refusal_of, send_raw, tool_call
from fake_authorization import Answer, FakeAuthorization, Question, admit, refuse

KEY = secrets.token_urlsafe(32)
SUMMARY = "get_account_summary"


# With the real authorization service


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("lua"), adapter="lua")
    with made.running():
        yield made


def test_a_session_goes_through_as_with_ext_authz(stack: Stack) -> None:
    before, mark = stack.ledger.call_count, stack.mark()
    answer = stack.send_prompt("What is my balance?")
    assert [call["name"] for call in answer["metadata"]["toolCalls"]] == [SUMMARY]
    assert stack.ledger.call_count == before + 1
    found = stack.wait_for_event(
        mark, "the bank's admission", lambda e: e["kind"] == "call_admitted" and e["payload"].get("tool") == SUMMARY
    )
    assert found["payload"]["direction"] in ("ingress", "egress")


def test_the_llm_s_answer_is_read_and_binds_the_next_call(stack: Stack) -> None:
    session = stack.begin_session()
    refused = session.call(SUMMARY, {})
    assert refused.status_code == 403 and refusal_of(refused) == "tool_not_selected_by_llm"
    assert refused.json()["id"] == 1 and refused.headers["x-casa-decision"]
    session.select("What is my balance?", SUMMARY)
    assert session.call(SUMMARY, {}).status_code == 200


def test_the_bank_refuses_a_call_without_a_token(stack: Stack) -> None:
    answer = stack.call_bank(None, tool_call(SUMMARY, {}))
    assert answer.status_code == 403 and refusal_of(answer) == "token_missing"
    assert answer.headers["www-authenticate"] == 'Bearer realm="casa"'


@pytest.mark.parametrize("name", ["x-casa-verdict", "x-casa-set-authorization", "x-casa-sidecar-key", "x-casa-admitted"])
def test_an_app_may_not_send_casa_s_own_fields(stack: Stack, name: str) -> None:
    session = stack.begin_session()
    session.select("What is my balance?", SUMMARY)
    answer = session.call(SUMMARY, {}, headers={name: "admit"})
    assert answer.status_code == 403 and refusal_of(answer) == "reserved_header"


def test_repeated_fields_are_seen_as_they_were_sent(stack: Stack) -> None:
    headers = [("traceparent", new_traceparent()), ("traceparent", new_traceparent())]
    answer = stack.http.post(stack.url("client->agent"), json=message_send("hi"), headers=headers)
    assert answer.status_code == 403 and refusal_of(answer) == "duplicate_header"


def test_a_large_body_is_refused_with_413_and_reaches_nobody(stack: Stack) -> None:
    before = stack.ledger.call_count
    answer = stack.http.post(stack.url("agent->bank"), content=b" " * (1 << 21), headers={"content-type": "text/plain"})
    assert answer.status_code == 413
    assert stack.ledger.call_count == before


# With an authorization service of the test's own


@dataclass
class Upstream:
    """The app behind the sidecar: remembers what reached it."""

    requests: list[tuple[list[tuple[str, str]], bytes]] = field(default_factory=list)

    @contextmanager
    def run(self) -> Iterator[int]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                upstream.requests.append((list(self.headers.items()), body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()


@dataclass
class Bench:
    """A sidecar between a test, an authorization service and an upstream of the test's own."""

    service: FakeAuthorization
    upstream: Upstream
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, body: bytes = b'{"id":1}', headers: list[tuple[str, str]] | None = None) -> httpx.Response:
        return httpx.post(self.url, content=body, headers=headers or [], timeout=10, trust_env=False)

    @property
    def fields(self) -> dict[str, str]:
        """Of the last request that reached the upstream."""
        return {name.lower(): value for name, value in self.upstream.requests[-1][0]}


def nothing(script: str) -> str:
    return script


@contextmanager
def bench(
    folder: Path, answer: Callable[[Question], Answer | None], edit: Callable[[str], str] = nothing
) -> Iterator[Bench]:
    """A real Envoy with CASA's bootstrap; `edit` changes its script first."""
    folder.mkdir(exist_ok=True)
    upstream = Upstream()
    with FakeAuthorization(answer) as service, upstream.run() as app:
        port = free_port()
        (folder / "secret").write_text("none-of-its-own")
        (folder / "workload.yaml").write_text(f"""
runtime: http://127.0.0.1:1
client_id: app_00000000000000000000000000
client_secret_file: secret
sidecar_key_file: secret
authorization: {service.address}
adapter: lua
egress: [{{listen: "127.0.0.1:{port}", destination: bank, url: "http://127.0.0.1:{app}/"}}]
""")
        bootstrap = printed_bootstrap(folder / "workload.yaml")
        (script,) = scripts_of(bootstrap)
        script["inline_string"] = edit(script["inline_string"].replace("LEFT-OUT", KEY))
        (folder / "envoy.json").write_text(json.dumps(bootstrap))
        log = folder / "envoy.log"
        arguments = ["-c", str(folder / "envoy.json"), "--concurrency", "1", "--use-dynamic-base-id"]
        with log.open("wb") as output:
            process = subprocess.Popen([envoy(), *arguments, "--disable-hot-restart"], stdout=output, stderr=output)
        try:
            wait_until(lambda: accepts(port) or process.poll() is not None, "the sidecar listens", 20)
            yield Bench(service, upstream, f"http://127.0.0.1:{port}/", process, log)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def envoy() -> str:
    named = os.environ.get("CASA_ENVOY")
    return named or str(next((ROOT / ".venv/lib").glob("*/site-packages/envoy/_bin/envoy")))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def scripts_of(value: object) -> list[Json]:
    """Every place in a bootstrap that holds a script."""
    if isinstance(value, dict):
        own = [value] if "inline_string" in value else []
        return own + [found for member in value.values() for found in scripts_of(member)]
    if isinstance(value, list):
        return [found for element in value for found in scripts_of(element)]
    return []


def test_an_admission_is_carried_out(tmp_path: Path) -> None:
    answer = admit(("x-casa-set-authorization", "Bearer new"), ("x-casa-remove", "cookie,accept-encoding"))
    with bench(tmp_path, lambda _: answer) as sidecar:
        sent = [("authorization", "Bearer old"), ("cookie", "a=1"), ("x-a", "1"), ("x-a", "2"), ("X-B", "é")]
        assert sidecar.post(b"body", [(name, value.encode()) for name, value in sent]).status_code == 200  # type: ignore[misc]
        names = [name.lower() for name, _ in sidecar.upstream.requests[-1][0]]
        assert sidecar.fields["authorization"] == "Bearer new"
        assert "cookie" not in names and "accept-encoding" not in names and names.count("x-a") == 2
        assert not [name for name in names if name.startswith("x-casa-")]
        (question,) = sidecar.service.asked()
        assert question.fields["x-casa-sidecar-key"] == KEY and question.fields["x-casa-listener"] == "egress-0"
        fields, body = question.envelope
        assert body == b"body"
        assert [value for name, value in fields if name == "x-a"] == ["1", "2"]
        assert {":method", ":path", ":authority"} <= {name for name, _ in fields}


def test_a_refusal_is_handed_on(tmp_path: Path) -> None:
    more = [("x-casa-decision", "dec_1"), ("www-authenticate", "Bearer x"), ("retry-after", "4"), ("set-cookie", "no")]
    with bench(tmp_path, lambda _: refuse(b'{"reason":"why"}', *more)) as sidecar:
        answer = sidecar.post()
        assert answer.status_code == 403 and answer.json() == {"reason": "why"}
        assert answer.headers["x-casa-decision"] == "dec_1" and answer.headers["www-authenticate"] == "Bearer x"
        assert answer.headers["retry-after"] == "4"
        assert "set-cookie" not in answer.headers and not sidecar.upstream.requests


GARBAGE: dict[str, Answer] = {
    "no verdict": Answer([("x-casa-epoch", "1")]),
    "another verdict": Answer([("x-casa-verdict", "Admit"), ("x-casa-epoch", "1")]),
    "no epoch": Answer([("x-casa-verdict", "admit")]),
    "an epoch that is no number": Answer([("x-casa-verdict", "admit"), ("x-casa-epoch", "one")]),
    "status 500": Answer([("x-casa-verdict", "admit"), ("x-casa-epoch", "1")], status=500),
    "status 204": Answer([("x-casa-verdict", "admit"), ("x-casa-epoch", "1")], status=204),
    "status 201": Answer([("x-casa-verdict", "admit"), ("x-casa-epoch", "1")], status=201),
    "nothing": Answer([]),
}


def test_any_other_answer_refuses(tmp_path: Path) -> None:
    with bench(tmp_path, lambda _: None) as sidecar:
        for name, garbage in GARBAGE.items():
            sidecar.service.answer = lambda _, garbage=garbage: garbage  # type: ignore[misc]
            answer = sidecar.post()
            assert answer.status_code == 403 and answer.json()["reason"] == "no_decision", name
        sidecar.service.answer = lambda _: None
        begun = time.monotonic()
        assert sidecar.post().status_code == 403
        assert time.monotonic() - begun < 8
        sidecar.service.die()
        assert sidecar.post().status_code == 403
        assert not sidecar.upstream.requests


def in_decide(code: str) -> Callable[[str], str]:
    return lambda script: replaced(script, "local function decide(handle)", f"local function decide(handle) {code}")


def replaced(script: str, old: str, new: str) -> str:
    assert script.count(old) == 1
    return script.replace(old, new)


BROKEN: dict[str, Callable[[str], str]] = {
    "it raises an error": in_decide("error('broken')"),
    "it raises after the body came": lambda s: replaced(s, "local fields = fields_of(handle)", "error('broken')"),
    "it raises after the answer came": lambda s: replaced(s, "local answer_epoch =", "error('broken') local answer_epoch ="),
    "it raises while it acts": lambda s: replaced(s, "-- The last thing of all", "error('broken') -- "),
    "it recurses without end": in_decide("local function f() return 1 + f() end f()"),
    "pcall is missing": lambda s: in_decide("error('broken')")(s) + "\npcall = nil",
    "it raises outside of pcall": lambda s: s + "\nfunction envoy_on_request(handle) error('broken') end",
    "it raises outside of pcall after the body came":
        lambda s: s + "\nfunction envoy_on_request(handle) handle:body() error('broken') end",
    "it ends early": lambda s: s + "\nfunction envoy_on_request(handle) end",
    "it has no function": lambda s: s + "\nenvoy_on_request = nil",
    "it is empty": lambda s: "",
    "it marks with another word": lambda s: replaced(s, '"admitted", "yes"', '"admitted", "no"'),
}  # fmt: skip


@pytest.mark.parametrize("edit", [pytest.param(edit, id=name) for name, edit in BROKEN.items()])
def test_a_broken_script_lets_nothing_pass(tmp_path: Path, edit: Callable[[str], str]) -> None:
    with bench(tmp_path, lambda _: admit(), edit) as sidecar:
        for body in (b'{"id":1}', b""):
            answer = sidecar.post(body)
            assert answer.status_code == 403, answer.text
        assert not sidecar.upstream.requests
        log = sidecar.log.read_text(errors="replace")
        assert KEY[:8] not in log, "an error of Lua's names the script by its first line"


def test_an_app_can_t_mark_its_request(tmp_path: Path) -> None:
    with bench(tmp_path, lambda _: admit(), lambda script: script + "\nenvoy_on_request = nil") as sidecar:
        for name in ["casa", "admitted", "x-casa-admitted", "x-envoy-metadata", "x-envoy-peer-metadata"]:
            assert sidecar.post(headers=[(name, '{"admitted":"yes"}')]).status_code == 403
        assert not sidecar.upstream.requests


# Kept decisions

REUSE = [("x-casa-reuse-ms", "30000"), ("x-casa-record", '{"kind":"call_admitted"}')]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def parent(trace: str = TRACE, span: str | None = None, flags: str = "01", version: str = "00") -> str:
    return f"{version}-{trace}-{span or secrets.token_hex(8)}-{flags}"


def reusing(*more: tuple[str, str]) -> Callable[[Question], Answer]:
    return lambda _: admit(*REUSE, ("x-casa-set-a", "1"), *more)


def times_asked(sidecar: Bench, *requests: tuple[bytes, list[tuple[str, str]]]) -> int:
    """How often the service is asked for these requests, all made within a second."""
    before = len(sidecar.service.asked())
    for body, headers in requests:
        assert sidecar.post(body, headers).status_code == 200
    return len(sidecar.service.asked()) - before


def test_an_equal_request_is_not_asked_about_again(tmp_path: Path) -> None:
    with bench(tmp_path, reusing()) as sidecar:
        first = (b"x", [("traceparent", parent()), ("x-request-id", "1")])
        again = (b"x", [("traceparent", parent()), ("x-request-id", "2"), ("x-forwarded-for", "10.0.0.1")])
        assert times_asked(sidecar, first, again, again) == 1
        assert sidecar.fields["a"] == "1"
        wait_until(lambda: (time.sleep(0.05), sidecar.post(b"x", first[1]))[1] and self_records(sidecar), "records", 5)
        counted, record = self_records(sidecar)[0].body.decode().split(" ", 1)
        assert int(counted) >= 2 and json.loads(record) == {"kind": "call_admitted"}
        assert self_records(sidecar)[0].fields["x-casa-sidecar-key"] == KEY


def self_records(sidecar: Bench) -> list[Question]:
    return sidecar.service.asked("/casa/records")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((b"y", [("traceparent", parent())]), id="another body"),
        pytest.param((b"x", [("traceparent", parent("1" * 32))]), id="another trace"),
        pytest.param((b"x", [("traceparent", parent(version="01"))]), id="another version of traceparent"),
        pytest.param((b"x", [("traceparent", parent() + "-")]), id="a longer traceparent"),
        pytest.param((b"x", [("traceparent", parent(span="0" * 16))]), id="a parent of zeros"),
        pytest.param((b"x", [("traceparent", parent().upper())]), id="upper case"),
        pytest.param((b"x", [("traceparent", TRACE)]), id="the trace alone"),
        pytest.param((b"x", [("traceparent", parent()), ("traceparent", parent())]), id="two traceparents"),
        pytest.param((b"x", [("traceparent", parent()), ("b", "")]), id="one field more"),
        pytest.param((b"x", []), id="one field less"),
    ],
)
def test_another_request_is_asked_about(tmp_path: Path, other: tuple[bytes, list[tuple[str, str]]]) -> None:
    with bench(tmp_path, reusing()) as sidecar:
        assert times_asked(sidecar, (b"x", [("traceparent", parent())]), other) == 2


def located(body: bytes, number: bytes) -> list[tuple[str, str]]:
    return [("x-casa-id-offset", str(body.index(number))), ("x-casa-id-length", str(len(number)))]


def test_requests_that_differ_in_their_id_are_equal_only_when_the_service_says_so(tmp_path: Path) -> None:
    body = b'{"jsonrpc":"2.0","id":41,"method":"ping"}'
    with bench(tmp_path, reusing(*located(body, b"41"))) as sidecar:
        assert times_asked(sidecar, (body, []), (body.replace(b"41", b"123456"), [])) == 1
        # No number that the service could mean.
        for other in [b"041", b'"41"', b"41.0", b"4e1", b"1234567890123456", b" 41"]:
            assert times_asked(sidecar, (body.replace(b"41", other), [])) == 1, other
        assert times_asked(sidecar, (body.replace(b"ping", b"list"), [])) == 1
    with bench(tmp_path / "other", reusing()) as sidecar:
        assert times_asked(sidecar, (body, []), (body.replace(b"41", b"42"), []), (body, [])) == 2
    with bench(tmp_path / "wrong", reusing(("x-casa-id-offset", "1"), ("x-casa-id-length", "2"))) as sidecar:
        assert times_asked(sidecar, (body, []), (body.replace(b"41", b"42"), [])) == 2


def test_a_refusal_is_never_kept(tmp_path: Path) -> None:
    with bench(tmp_path, lambda _: refuse(b"{}", *REUSE)) as sidecar:
        assert [sidecar.post().status_code for _ in range(3)] == [403] * 3
        assert len(sidecar.service.asked()) == 3


def test_what_was_decided_before_an_epoch_ends_with_it(tmp_path: Path) -> None:
    epochs = {b"x": 5, b"y": 6, b"z": 4}
    with bench(tmp_path, lambda q: admit(*REUSE, epoch=epochs[q.envelope[1]])) as sidecar:
        assert times_asked(sidecar, (b"x", []), (b"x", [])) == 1
        assert times_asked(sidecar, (b"y", []), (b"x", [])) == 2, "x was decided in an older epoch"
        assert times_asked(sidecar, (b"z", []), (b"z", [])) == 2, "an answer of an older epoch is not kept"


def test_a_kept_decision_ends_with_the_service_within_a_second(tmp_path: Path) -> None:
    with bench(tmp_path, reusing()) as sidecar:
        assert times_asked(sidecar, (b"x", []), (b"x", [])) == 1
        sidecar.service.die()
        died = time.monotonic()
        wait_until(lambda: sidecar.post(b"x").status_code == 403, "it is refused", 3)
        assert time.monotonic() - died < 1.5


def test_a_decision_is_kept_no_longer_than_it_holds(tmp_path: Path) -> None:
    with bench(tmp_path, lambda _: admit(("x-casa-reuse-ms", "300"), REUSE[1])) as sidecar:
        assert times_asked(sidecar, (b"x", []), (b"x", [])) == 1
        time.sleep(0.35)
        assert times_asked(sidecar, (b"x", [])) == 1


def test_two_requests_at_once_on_one_connection_keep_apart(tmp_path: Path) -> None:
    def answer(question: Question) -> Answer:
        return admit(*REUSE) if question.envelope[1] == b"good" else refuse()

    with bench(tmp_path, answer) as sidecar:
        host = sidecar.url.removeprefix("http://").removesuffix("/")
        one = b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b"
        data = b"".join(one % (host.encode(), len(body), body) for body in (b"good", b"evil", b"good"))
        assert send_raw(sidecar.url, data).statuses == [200, 403, 200]
        assert [body for _, body in sidecar.upstream.requests] == [b"good", b"good"]
