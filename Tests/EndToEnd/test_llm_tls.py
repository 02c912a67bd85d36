"""The way from the sidecar to an LLM over TLS: which hosts get the API key, and that nobody on the way does.

Through real Envoys by each adapter, with a host that can show any certificate. CASA trusts the authorities of the
machine, so `casa up` runs where the machine's file of them, and its hosts, are the test's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from casa_runtime import Json, free_port
from casa_stack import LLM_KEY, Endpoints, Session, Stack, adapters
from cryptography.x509.oid import ExtendedKeyUsageOID
from llm_front import LLMFront, answer_with
from llm_over_tls import DAY, Certificate, Connection, LLMOverTLS, issue

HOST = "llm.bank.example"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
WORDS = "How much is the fish?"
PATIENCE = 20.0
HOUR = timedelta(hours=1)
TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = (
    getattr(ssl.TLSVersion, name) for name in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3")
)
# A host of the past speaks versions that Python warns of.
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


ANSWER = completion("It is cheap.")
MESSAGE: Json = {"kind": "message", "role": "agent", "messageId": "m", "parts": [{"kind": "text", "text": "Good."}]}


def namespace() -> list[str]:
    """How a command runs with mounts of its own."""
    return ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]


def why_there_is_none() -> str | None:
    """Why no mounts of one's own can be had here; None when they can."""
    if absent := [tool for tool in ("unshare", "mount") if shutil.which(tool) is None]:
        return f"not installed: {', '.join(absent)}"
    if not Path(AUTHORITIES).exists():
        return f"there is no {AUTHORITIES}"
    mount = [*namespace(), "mount", "--bind", AUTHORITIES, AUTHORITIES]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else tried.stderr.strip()


@dataclass(frozen=True)
class TLSEndpoints(Endpoints):
    def system(self, key_file: Path, adapter: str | None = None, checks: tuple[str, ...] | None = None) -> str:
        def listen(name: str) -> str:
            return f'listen: "127.0.0.1:{self.ports[name]}"'

        return f"""
mas: banking
runtime: 127.0.0.1:{self.runtime}
adapter: {adapter}
apps:
  - name: client
    kind: client
    calls: [{{app: agent, {listen("client->agent")}}}]
  - name: agent
    kind: agent
    url: http://127.0.0.1:{self.agent_app}/
    {listen("agent")}
    calls: [{{llm: "https://{HOST}:{self.llm_app}/v1", api_key_file: "{key_file}", {listen("agent->llm")}}}]
"""


@dataclass
class TLSStack(Stack):
    """A client and an agent, and the LLM over TLS."""

    endpoints: TLSEndpoints = field(default_factory=TLSEndpoints)
    trusted: bytes = b""
    """The machine's certificate authorities, for `casa up` and what it starts."""

    def _up(self, system: Path) -> list[str]:
        authorities, hosts = self.directory / "authorities.crt", self.directory / "hosts"
        authorities.write_bytes(self.trusted)
        hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {HOST}\n")
        mounts = f'mount --bind "$1" {AUTHORITIES}; mount --bind "$2" /etc/hosts; shift 2; exec "$@"'
        return [*namespace(), "sh", "-ec", mounts, "sh", str(authorities), str(hosts), *super()._up(system)]

    def _apps(self) -> dict[str, list[str]]:
        return {}

    @property
    def app_ports(self) -> list[int]:
        return []

    @property
    def servers(self) -> list[str]:
        return []


@pytest.fixture(scope="module")
def authority() -> Certificate:
    """The one that CASA's machine trusts."""
    return issue(authority=True, common_name="the trusted authority", begins=-10 * DAY, ends=10 * DAY)


@pytest.fixture(scope="module")
def llm() -> Iterator[LLMOverTLS]:
    made = LLMOverTLS(free_port(), answer_with(ANSWER))
    yield made
    made.close()


@pytest.fixture(scope="module")
def agent_app() -> Iterator[LLMFront]:
    """Answers every message; its sidecar is all that matters."""
    made = LLMFront(free_port(), 0)
    with made.answering(answer_with(json.dumps({"jsonrpc": "2.0", "id": "1", "result": MESSAGE}).encode())):
        yield made
    made.close()


@pytest.fixture(scope="module", params=adapters())
def session(
    request: pytest.FixtureRequest,
    authority: Certificate,
    llm: LLMOverTLS,
    agent_app: LLMFront,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Session]:
    if why := why_there_is_none():
        pytest.skip(f"TLS TO THE LLM IS NOT TESTED HERE: {why}")
    stack = TLSStack(
        tmp_path_factory.mktemp(f"tls-{request.param}"),
        adapter=request.param,
        endpoints=TLSEndpoints(llm_app=llm.port, agent_app=agent_app.port),
        trusted=authority.pem,
    )
    with stack.running():
        yield stack.begin_session()


def ask(session: Session) -> httpx.Response:
    """What the agent gets, which speaks plain HTTP and knows no key."""
    return session.ask_llm(WORDS, [], authorization="Bearer the-agents-own")


def connections(llm: LLMOverTLS) -> list[Connection]:
    """All that there were, once they have ended."""
    made = list(llm.connections)
    assert made, "nobody came to the LLM's host"
    for connection in made:
        assert connection.ended.wait(PATIENCE), "a connection was left open"
    return made


def assert_passes(session: Session, llm: LLMOverTLS) -> Connection:
    answer = ask(session)
    assert (answer.status_code, answer.content) == (200, ANSWER), answer.text
    (connection,) = connections(llm)
    (asked,) = llm.requests
    assert asked.line == "POST /v1/chat/completions HTTP/1.1"
    assert asked.fields["host"] == [f"{HOST}:{llm.port}"]
    assert asked.fields["authorization"] == [f"Bearer {LLM_KEY}"]
    assert json.loads(asked.body)["messages"][-1]["content"] == WORDS
    assert connection.asked_for == HOST
    # The host speaks HTTP/2 with all who offer it.
    assert connection.protocol in (None, "http/1.1")
    assert_is_secret(connection)
    return connection


def assert_refused(session: Session, llm: LLMOverTLS) -> list[Connection]:
    answer = ask(session)
    assert answer.status_code == 503, answer.text
    assert LLM_KEY not in answer.text + str(answer.headers)
    made = connections(llm)
    assert not llm.requests
    for connection in made:
        assert_is_secret(connection)
    return made


def assert_is_secret(connection: Connection) -> None:
    """Whoever reads along sees TLS from the first byte on, and of the request nothing."""
    assert connection.sent[:2] == b"\x16\x03"
    for secret in (LLM_KEY, WORDS, "POST", "uthorization"):
        assert secret.encode() not in connection.sent


GOOD = {
    "for it alone": lambda authority: authority.issue(HOST),
    "for other names too": lambda authority: authority.issue("other.example", HOST),
    "for all names of its domain": lambda authority: authority.issue("*.bank.example"),
    "by an authority under the trusted one": lambda authority: authority.issue(
        authority=True, common_name="an authority between"
    ).issue(HOST, sends_issuer=True),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_host_with_a_certificate_for_its_name_gets_the_key(
    session: Session, llm: LLMOverTLS, authority: Certificate, kind: str
) -> None:
    llm.show(GOOD[kind](authority))
    assert_passes(session, llm)


BAD = {
    "for another name": lambda authority: authority.issue("other.example"),
    "for a name that only begins like the host's": lambda authority: authority.issue(HOST + ".attacker.example"),
    "for a name within the host's": lambda authority: authority.issue("more." + HOST),
    "for all names of the domain above": lambda authority: authority.issue("*.example"),
    "with the host's name as its common name only": lambda authority: authority.issue(common_name=HOST),
    "expired": lambda authority: authority.issue(HOST, begins=-2 * DAY, ends=-HOUR),
    "not yet valid": lambda authority: authority.issue(HOST, begins=HOUR, ends=DAY),
    "by itself": lambda _: issue(HOST),
    "by an unknown authority": lambda _: issue(authority=True).issue(HOST, sends_issuer=True),
    "by an unknown authority that calls itself the trusted one": lambda _: issue(
        authority=True, common_name="the trusted authority"
    ).issue(HOST, sends_issuer=True),
    "by one that is no authority": lambda authority: authority.issue("other.example").issue(HOST, sends_issuer=True),
    "by an authority between that is not shown": lambda authority: authority.issue(authority=True).issue(HOST),
    "for clients": lambda authority: authority.issue(HOST, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_host_with_a_certificate_like_this_gets_nothing(
    session: Session, llm: LLMOverTLS, authority: Certificate, kind: str
) -> None:
    # Only the certificate changes.
    llm.show(authority.issue(HOST))
    assert_passes(session, llm)
    llm.show(BAD[kind](authority))
    for connection in assert_refused(session, llm):
        assert connection.asked_for == HOST


def test_a_host_without_tls_gets_nothing(session: Session, llm: LLMOverTLS) -> None:
    llm.show(None)
    assert_refused(session, llm)


def test_a_host_that_knows_only_tls_of_the_past_gets_nothing(
    session: Session, llm: LLMOverTLS, authority: Certificate
) -> None:
    llm.show(authority.issue(HOST), TLS_1_0, TLS_1_1)
    if why := why_tls_1_1_fails(llm.port, authority):
        pytest.skip(f"TLS 1.1 IS NOT TESTED HERE: OpenSSL can't speak it: {why}")
    llm.show(authority.issue(HOST), TLS_1_0, TLS_1_1)
    assert_refused(session, llm)


def why_tls_1_1_fails(port: int, authority: Certificate) -> str | None:
    """Why the host can't be reached by it, from here; None when it can."""
    old = ssl.create_default_context(cadata=authority.pem.decode())
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = TLS_1_1, TLS_1_1
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
            old.wrap_socket(raw, server_hostname=HOST) as tls,
        ):
            return None if tls.version() == "TLSv1.1" else f"it spoke {tls.version()}"
    except OSError as error:
        return str(error)


def test_a_stream_passes_piece_by_piece(session: Session, llm: LLMOverTLS, authority: Certificate) -> None:
    pieces = [event(word) for word in ("It", " is", " cheap.")]
    arrived = [threading.Event() for _ in pieces]
    late: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)
        request.send_header("content-type", "text/event-stream")
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        for number, piece in enumerate(pieces):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            # The next leaves only when the agent has this one.
            if not arrived[number].wait(PATIENCE):
                late.append(number)
                break
        request.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    llm.show(authority.issue(HOST))
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": WORDS}]}
    stack, headers = session.stack, {"traceparent": session.traceparent}
    seen = b""
    with llm.answering(answer), stack.http.stream("POST", stack.url("agent->llm"), json=body, headers=headers) as got:
        assert got.status_code == 200
        for part in got.iter_raw():
            seen += part
            for number in range(len(pieces)):
                if seen.startswith(b"".join(pieces[: number + 1])):
                    arrived[number].set()
    assert not late, f"pieces that were held back: {late}"
    assert seen == b"".join(pieces) + b"data: [DONE]\n\n"
    for connection in connections(llm):
        assert_is_secret(connection)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_host_may_insist_on_a_version_of_today(
    session: Session, llm: LLMOverTLS, authority: Certificate, version: ssl.TLSVersion
) -> None:
    llm.show(authority.issue(HOST), version, version)
    connection = assert_passes(session, llm)
    assert connection.version == version.name.replace("_", ".")
