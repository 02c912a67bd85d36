"""A `casa runtime` as a real process, and what tests ask of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
PORTS = tuple(int(port) for port in os.environ.get("CASA_TEST_PORTS", "10000-32000").split("-"))
SELECTION_CHECKS = ("DETERMINISTIC_TOOL_SELECTED", "DETERMINISTIC_LLM_SELECTED_TOOLS")
"""What most tests leave on: they are about who calls, and make calls that no prompt of theirs asks for."""
BINARY = Path(os.environ.get("CASA_BINARY", ".build/release/casa"))
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DELIVERED = "urn:casa:params:oauth:grant-type:delivered-session"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
START_DEADLINE = 120.0

Found = TypeVar("Found")
Json = dict[str, Any]


def binary() -> Path:
    """The executable under test, as an absolute path."""
    path = BINARY if BINARY.is_absolute() else ROOT / BINARY
    assert path.exists(), f"{path} does not exist; build it or set CASA_BINARY"
    return path


def printed_bootstrap(workload: Path, key: str = "LEFT-OUT") -> Json:
    """What Envoy starts with beside a workload, with the sidecar's key, which CASA leaves out when it prints."""
    command = [str(binary()), "sidecar", str(workload), "--print-bootstrap"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made: Json = json.loads(done.stdout.replace("LEFT-OUT", key))
    return made


def _ports() -> Iterator[int]:
    """Ports below those that Linux gives to outgoing connections, from anywhere, each once.

    A port that the kernel names is free at that moment only: before its server listens, a connection of another
    process may leave from it, or the kernel may name it again. Two runs at once are given ports apart, by
    CASA_TEST_PORTS, such as 10000-20000.
    """
    first, last = PORTS
    start = random.randrange(first, last)
    yield from range(start, last)
    yield from range(first, start)


_unused_ports = _ports()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no other caller in this process was given."""
    for port in _unused_ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port of 127.0.0.1 that tests may have is taken or was given out")


def wait_until(find: Callable[[], Found | None], what: str, deadline: float = 10.0) -> Found:
    """Asks until `find` finds something; fails when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.01)


def sha256_of(token: str) -> str:
    """The hash by which the trace knows a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def canonical_sha256(arguments: Json) -> str:
    """SHA-256 of the RFC 8785 form; enough for ASCII keys, strings and whole numbers."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class App:
    """A registered app with its secret."""

    runtime: Runtime
    id: str
    name: str
    mas: str
    secret: str | None

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Posts a form as this app, with HTTP Basic."""
        assert self.secret is not None
        return self.runtime.http.post(path, data=form, auth=(self.id, self.secret))

    def issue(self, prompt: str = "What is my balance?", **more: str) -> httpx.Response:
        """Asks for a T1."""
        return self.post("/oauth/token", {"grant_type": "client_credentials", "user_input": prompt, **more})

    def t1(self, prompt: str = "What is my balance?", **more: str) -> str:
        return token_of(self.issue(prompt, **more))

    def exchange(self, subject: str, scope: str, **more: str) -> httpx.Response:
        """Exchanges a token (RFC 8693)."""
        form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "scope": scope}
        return self.post("/oauth/token", {**form, **more})

    def exchange_for_call(self, subject: str, server: str, tool: str, arguments: Json) -> httpx.Response:
        """Asks for a T3 for one call."""
        detail = {"type": "mcp_tool_call", "server": server, "tool": tool, "arguments": arguments}
        return self.exchange(subject, "call-tools", authorization_details=json.dumps([detail]))

    def introspect(self, token: str) -> Json:
        answer = self.post("/oauth/introspect", {"token": token})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def is_active(self, token: str) -> bool:
        return bool(self.introspect(token)["active"])

    def spend(self, token: str) -> httpx.Response:
        return self.post("/oauth/spend", {"token": token})

    def revoke(self, token: str) -> httpx.Response:
        return self.post("/oauth/revoke", {"token": token})

    def report(self, *events: Json) -> httpx.Response:
        """Reports what a part saw."""
        assert self.secret is not None
        return self.runtime.http.post("/trace/events", json={"events": list(events)}, auth=(self.id, self.secret))

    def report_selection(self, t2: str, tool: str, arguments: Json) -> httpx.Response:
        """Reports that the LLM selected one call."""
        selection = {"tool": tool, "arguments_sha256": canonical_sha256(arguments)}
        return self.report({"kind": "llm_call", "token": t2, "selections": [selection]})


@dataclass
class Node:
    """A registered node with its secret, which reports what its guard saw."""

    runtime: Runtime
    id: str
    name: str
    secret: str

    def report(self, *reports: Json) -> httpx.Response:
        return self.runtime.http.post("/trace/events", json={"events": list(reports)}, auth=(self.id, self.secret))


def token_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


@dataclass
class Runtime:
    """One data directory and port, and the process that serves them, which may be started again."""

    data: Path
    arguments: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    http: httpx.Client = field(init=False)
    start_seconds: float = 0.0
    file_size_limit: int | None = None
    """The most bytes a file of the process may have: what lies beyond fails as on a full disk."""

    def __post_init__(self) -> None:
        self.http = self.client()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """Standard output and standard error of all starts."""
        return self.data.with_name(self.data.name + ".log")

    @property
    def admin_secret(self) -> str:
        return (self.data / "admin-credential").read_text().strip()

    @property
    def admin_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin_secret}"}

    def client(self, timeout: float = 20.0) -> httpx.Client:
        """A client of its own, with its own connections."""
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    # The process

    def command(self) -> list[str]:
        listen = f"127.0.0.1:{self.port}"
        return [str(binary()), "runtime", "--data", str(self.data), "--listen", listen, *self.arguments]

    def start(self) -> Runtime:
        """Starts the process and returns once it is ready."""
        assert self.process is None
        began = time.monotonic()
        with self.logs.open("ab") as log:
            self.process = self.spawn(log)
        wait_until(self.is_ready, f"{self.url} is ready", START_DEADLINE)
        self.start_seconds = time.monotonic() - began
        return self

    def spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts a process of this command that may fail to become ready."""
        limit = self.file_size_limit
        if limit is None:
            return subprocess.Popen(self.command(), stdout=output, stderr=output)

        def restrict() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        # Python ignores SIGXFSZ and hands that on, so that a write beyond the limit fails instead of killing.
        return subprocess.Popen(
            self.command(), stdout=output, stderr=output, preexec_fn=restrict, restore_signals=False
        )

    def run_to_end(self, deadline: float = 20.0) -> tuple[int, str]:
        """Starts a process that is expected to end by itself; its exit code and what it said."""
        ended = subprocess.run(self.command(), capture_output=True, text=True, timeout=deadline, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    def is_ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, f"it ended: {self.logs.read_text()[-2000:]}"
        try:
            return httpx.get(self.url + "/readyz", timeout=1, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float = 30.0) -> int:
        """Waits for the process's end and returns its exit code."""
        assert self.process is not None
        code = self.process.wait(deadline)
        self.process = None
        self.http.close()
        self.http = self.client()
        return code

    def stop(self) -> int:
        """Ends the process with SIGTERM."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """Ends the process with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def discard(self) -> None:
        """Ends whatever still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.http.close()

    def resident_bytes(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    # The administrator

    def admin(self, method: str, path: str, body: Json | None = None, status: int = 200) -> Json:
        """One request as the administrator that has to end with `status`."""
        answer = self.http.request(method, path, json=body, headers=self.admin_headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def create_mas(self, name: str, **settings: Any) -> str:
        return str(self.admin("POST", "/mas", {"name": name, **settings}, 201)["id"])

    def create_app(self, mas: str, name: str, kind: str, **settings: Any) -> App:
        made = self.admin("POST", "/apps", {"mas_id": mas, "name": name, "kind": kind, **settings}, 201)
        return App(self, made["id"], name, mas, made.get("client_secret"))

    def create_node(self, name: str) -> Node:
        made = self.admin("POST", "/nodes", {"name": name}, 201)
        return Node(self, made["id"], name, made["client_secret"])

    def events(self, session: str | None = None, kind: str | None = None) -> list[Json]:
        """The whole trace, or that of one session."""
        found: list[Json] = []
        query = f"&session={session}" if session else ""
        while True:
            after = found[-1]["sequence"] if found else 0
            page = self.admin("GET", f"/trace/events?limit=1000&after={after}{query}")["events"]
            found += page
            if len(page) < 1000:
                return [event for event in found if kind is None or event["kind"] == kind]


@dataclass
class Cast:
    """A MAS with a client, two agents and the bank, whose tools are known and approved."""

    runtime: Runtime
    mas: str
    client: App
    agent: App
    second_agent: App
    bank: App

    TOOL = "get_account_summary"

    def selected_call(self, arguments: Json | None = None, prompt: str = "What is my balance?") -> tuple[str, Json]:
        """A session in which the LLM selected one call: the agent's T1 and the call's arguments."""
        wanted = {} if arguments is None else arguments
        t1 = self.client.t1(prompt, audience=self.agent.name)
        t2 = token_of(self.agent.exchange(t1, "llm-access"))
        answer = self.agent.report_selection(t2, self.TOOL, wanted)
        assert answer.status_code == 204, answer.text
        return t1, wanted

    def t3(self) -> str:
        """A tool token for a call that the LLM selected."""
        t1, arguments = self.selected_call()
        return token_of(self.agent.exchange_for_call(t1, self.bank.name, self.TOOL, arguments))


def make_cast(runtime: Runtime, bank_url: str, name: str) -> Cast:
    """Registers a MAS and its apps."""
    mas = runtime.create_mas(name, enabled_tool_checks=list(SELECTION_CHECKS))
    cast = Cast(
        runtime,
        mas,
        client=runtime.create_app(mas, "teller", "client"),
        agent=runtime.create_app(mas, "assistant", "agent"),
        second_agent=runtime.create_app(mas, "planner", "agent"),
        bank=runtime.create_app(mas, "bank", "mcp_server", base_url=bank_url),
    )
    tools = runtime.admin("POST", f"/apps/{cast.bank.id}/tools/discover")["tools"]
    assert Cast.TOOL in {tool["name"] for tool in tools if tool["status"] == "pinned"}
    return cast


@contextmanager
def bank_server() -> Iterator[str]:
    """The example bank, an MCP server of the official SDK; yields the URL of its endpoint."""
    port = free_port()
    script = ROOT / "examples/banking/bank_server.py"
    process = subprocess.Popen([sys.executable, str(script), "--port", str(port)])
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(url + "/healthz", timeout=1, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, "the bank is ready", START_DEADLINE)
        yield url + "/mcp"
    finally:
        process.kill()
        process.wait()
