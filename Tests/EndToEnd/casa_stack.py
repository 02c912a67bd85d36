"""A whole system as `casa up` runs it: the banking example's apps, each behind a real Envoy.

The client asks the agent; the agent asks the LLM, the bank and a second agent, the planner, which has the LLM and
the bank too. The LLM is the scripted stand-in. Tests act in any app's place by using its sidecar's addresses.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import ROOT, SELECTION_CHECKS, App, Json, Runtime, binary, free_port, token_of, wait_until

EXAMPLE = ROOT / "examples/banking"
START_DEADLINE = 120.0
TRACE_DEADLINE = 20.0
LLM_KEY = "sk-kept-by-the-sidecars"
MCP_VERSION = "2026-07-28"
NO_RULE = "Good morning."
"""A prompt that the stand-in answers without selecting a call, so that the agent does nothing by itself."""


def adapters() -> list[str]:
    """By what sidecars can ask the authorization service: the binary lists them when it is given none of them.

    ``CASA_ADAPTER`` chooses one.
    """
    if chosen := os.environ.get("CASA_ADAPTER"):
        return [chosen]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as system:
        system.write("mas: none\nruntime: 127.0.0.1:1\nadapter: none-of-them\napps: []\n")
        system.flush()
        said = subprocess.run([str(binary()), "up", system.name], capture_output=True, text=True, timeout=20).stderr
    expected = re.search(r"`adapter` must be ([a-z]+(?: or [a-z]+)*)", said)
    assert expected, f"the adapters are not listed: {said}"
    return expected[1].split(" or ")


def new_traceparent(trace_id: str | None = None) -> str:
    return f"00-{trace_id or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def message_send(prompt: str, metadata: Json | None = None) -> Json:
    """An A2A message of a user."""
    parts = [{"kind": "text", "text": prompt}]
    message = {"kind": "message", "role": "user", "messageId": secrets.token_hex(8), "parts": parts}
    params = {"message": message, **({"metadata": metadata} if metadata else {})}
    return {"jsonrpc": "2.0", "id": secrets.token_hex(4), "method": "message/send", "params": params}


def tool_call(tool: str, arguments: Json, meta: Json | None = None) -> Json:
    """A tools/call of the stateless protocol, as the official client writes it."""
    prefix = "io.modelcontextprotocol/"
    stateless = {
        prefix + "protocolVersion": MCP_VERSION,
        prefix + "clientInfo": {"name": "tests", "version": "1"},
        prefix + "clientCapabilities": {},
    }
    params = {"name": tool, "arguments": arguments, "_meta": {**stateless, **(meta or {})}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def mcp_headers(method: str, name: str | None = None) -> dict[str, str]:
    """The header fields that mirror the body in the stateless protocol."""
    mirrored = {"mcp-protocol-version": MCP_VERSION, "mcp-method": method, **({"mcp-name": name} if name else {})}
    return {"accept": "application/json, text/event-stream", "content-type": "application/json", **mirrored}


def initialize() -> Json:
    """Opens a session of MCP, in the last revision that has any."""
    client = {"name": "tests", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def refusal_of(answer: httpx.Response) -> str:
    """The machine-readable reason of a refusal, in whichever form the sidecar wrote it."""
    body = answer.json()
    error = body.get("error")
    holder = error if isinstance(error, dict) else body
    return str(holder.get("data", holder)["reason"])


@dataclass(frozen=True)
class RawAnswer:
    """What came back over a plain socket."""

    data: bytes

    @property
    def status(self) -> int | None:
        """The first answer's status; None when the connection ended without one."""
        words = self.data.split(b"\r\n", 1)[0].split(b" ")
        return int(words[1]) if words[0].startswith(b"HTTP/") and len(words) > 1 else None

    @property
    def statuses(self) -> list[int]:
        """The status of every answer on the connection."""
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", self.data)]


def send_raw(url: str, data: bytes, patience: float = 1.5) -> RawAnswer:
    """Sends exactly these bytes to a listener and reads until it closes the connection.

    A listener that waits for more gets the end of the connection after `patience` seconds without a byte; not
    earlier, since Envoy drops a request whose sender has closed its side.
    """
    address = httpx.URL(url)
    received = b""
    with socket.create_connection((address.host, address.port or 80), timeout=patience) as connection:
        try:
            connection.sendall(data)
            while part := receive(connection):
                received += part
        except ConnectionError:
            pass
    return RawAnswer(received)


def receive(connection: socket.socket) -> bytes:
    """The next bytes; ends our side of the connection when none come."""
    try:
        return connection.recv(65536)
    except TimeoutError:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        return connection.recv(65536)


@dataclass(frozen=True)
class Ledger:
    """What the bank itself says that reached it and that it changed."""

    call_count: int
    executed: list[Json]
    balance: float


@dataclass
class Process:
    """A program in a process group of its own, its output in a file."""

    command: list[str]
    log: Path
    running: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        environment = {**os.environ, "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "", "NO_PROXY": "*"}
        with self.log.open("ab") as log, open(os.devnull, "rb") as nothing:
            self.running = subprocess.Popen(
                self.command, cwd=ROOT, env=environment, stdin=nothing, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, deadline: float = 15.0) -> None:
        """Asks the program to end, then ends whatever is left of its group."""
        self.running.terminate()
        try:
            self.running.wait(deadline)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.running.wait()


@dataclass(frozen=True)
class Endpoints:
    """Where everything listens."""

    runtime: int = field(default_factory=free_port)
    bank_app: int = field(default_factory=free_port)
    agent_app: int = field(default_factory=free_port)
    planner_app: int = field(default_factory=free_port)
    llm_app: int = field(default_factory=free_port)
    ports: dict[str, int] = field(
        default_factory=lambda: {
            name: free_port()
            for name in (
                "client->agent",
                "agent",
                "agent->bank",
                "agent->llm",
                "agent->planner",
                "planner",
                "planner->bank",
                "planner->llm",
                "bank",
            )
        }
    )

    def url(self, name: str) -> str:
        """An address of a sidecar: `bank` is the bank's entrance, `agent->bank` the agent's way to the bank."""
        destination = name.split("->")[-1]
        path = {"bank": "/mcp", "llm": "/v1/chat/completions"}.get(destination, "/")
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def system(self, key_file: Path, adapter: str | None = None, checks: tuple[str, ...] | None = None) -> str:
        """The system's file; without an adapter or checks it leaves the choice to casa."""

        def listen(name: str) -> str:
            return f'listen: "127.0.0.1:{self.ports[name]}"'

        llm = f'llm: "http://127.0.0.1:{self.llm_app}/v1", api_key_file: "{key_file}"'
        return f"""
mas: banking
runtime: 127.0.0.1:{self.runtime}
{f"adapter: {adapter}" if adapter else ""}
{f"checks: [{', '.join(checks)}]" if checks is not None else ""}
apps:
  - name: client
    kind: client
    calls:
      - {{app: agent, {listen("client->agent")}}}
  - name: agent
    kind: agent
    url: http://127.0.0.1:{self.agent_app}/
    {listen("agent")}
    calls:
      - {{app: bank, {listen("agent->bank")}}}
      - {{{llm}, {listen("agent->llm")}}}
      - {{app: planner, {listen("agent->planner")}}}
  - name: planner
    kind: agent
    url: http://127.0.0.1:{self.planner_app}/
    {listen("planner")}
    calls:
      - {{app: bank, {listen("planner->bank")}}}
      - {{{llm}, {listen("planner->llm")}}}
  - name: bank
    kind: mcp_server
    url: http://127.0.0.1:{self.bank_app}/mcp
    {listen("bank")}
"""


def stands_still(process: int) -> bool:
    """Whether all threads of a process are stopped."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


@dataclass
class Apps:
    """Programs that take longer to start than casa, and go on when another casa stands before them at the same ports."""

    directory: Path
    endpoints: Endpoints
    processes: list[Process] = field(default_factory=list)

    def start(self, commands: dict[str, list[str]]) -> None:
        if not self.processes:
            for name, arguments in commands.items():
                self.processes.append(Process([sys.executable, *arguments], self.directory / f"app-{name}.log"))

    def end(self) -> None:
        for process in self.processes:
            process.end()
        self.processes.clear()


@dataclass
class Stack:
    """The running system."""

    directory: Path
    adapter: str | None = None
    """By what the sidecars ask the authorization service; None for what casa chooses."""
    checks: tuple[str, ...] | None = SELECTION_CHECKS
    """The checks of tool calls; None for what casa switches on."""
    llm_port: int | None = None
    """Where the LLM listens, when something stands before it."""
    bank_port: int | None = None
    """Where the bank listens, when something stands before it."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    apps: Apps | None = None
    """The programs behind the sidecars when they outlast this system; None when they begin and end with it."""
    processes: list[Process] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=40, trust_env=False))
    ids: dict[str, str] = field(default_factory=dict)
    _llm_key_file: Path = field(init=False)
    _end: int = 0
    """The last event of the trace that was seen."""

    # Its life

    def start(self) -> Stack:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._llm_key_file = self.directory / "llm-key"
        self._llm_key_file.write_text(LLM_KEY + "\n")
        self._llm_key_file.chmod(0o600)
        system = self.directory / "system.yaml"
        system.write_text(self.endpoints.system(self._llm_key_file, self.adapter, self.checks))
        (self.apps or self._own_apps).start(self._apps())
        output = self.directory / "up.log"
        self.processes.append(Process(self._up(system), output))
        ready = wait_until(lambda: self._ready_line(output), "casa up is ready", START_DEADLINE)
        self.ids = ready["apps"]
        wait_until(self._apps_are_ready, "the apps answer and the bank's tools are approved", START_DEADLINE)
        return self

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started, and in the end stopped, also when a part of it does not start."""
        try:
            self.start()
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        # All at once: some wait for their clients, and would be waited for one after the other.
        for process in self.processes:
            process.running.terminate()
        for process in reversed(self.processes):
            process.end()
        self._own_apps.end()
        self.http.close()
        self.runtime.http.close()

    @cached_property
    def _own_apps(self) -> Apps:
        return Apps(self.directory, self.endpoints)

    def _apps(self) -> dict[str, list[str]]:
        def agent(name: str, port: int) -> list[str]:
            llm = f"http://127.0.0.1:{self.endpoints.ports[f'{name}->llm']}/v1"
            ways = ["--mcp-url", self.endpoints.url(f"{name}->bank"), "--llm-base-url", llm]
            return [str(EXAMPLE / "agent.py"), "--port", str(port), *ways, "--allow-misbehave"]

        ports = self.endpoints
        return {
            "bank": [str(EXAMPLE / "bank_server.py"), "--port", str(self.bank_port or ports.bank_app)],
            "llm": [str(EXAMPLE / "llm_standin.py"), "--port", str(self.llm_port or ports.llm_app)],
            "agent": agent("agent", ports.agent_app),
            "planner": agent("planner", ports.planner_app),
        }

    def _up(self, system: Path) -> list[str]:
        return [str(binary()), "up", str(system), "--directory", str(self.state), "--format", "json"]

    def _ready_line(self, output: Path) -> Json | None:
        text = output.read_text()
        assert self.processes[-1].running.poll() is None, f"casa up ended: {text[-2000:]}"
        lines = [line for line in text.splitlines() if line.startswith('{"admin_credential_file"')]
        return json.loads(lines[0]) if lines else None

    @property
    def app_ports(self) -> list[int]:
        ports = self.endpoints
        return [ports.bank_app, ports.llm_app, ports.agent_app, ports.planner_app]

    @property
    def servers(self) -> list[str]:
        """The MCP servers."""
        return ["bank"]

    def _apps_are_ready(self) -> bool:
        for port in self.app_ports:
            try:
                if self.http.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code != 200:
                    return False
            except httpx.TransportError:
                return False
        for server in self.servers:
            tools = self.runtime.admin("GET", f"/apps/{self.ids[server]}/tools")["tools"]
            if not tools or any(tool["status"] != "pinned" for tool in tools):
                return False
        return True

    # Its parts

    def processes_of(self, command: str) -> list[int]:
        """The processes that run this command of casa, or the Envoys."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            is_meant = Path(words[0].decode()).name == "envoy" if command == "envoy" else words[1:2] == [command.encode()]
            if is_meant and str(self.state).encode() in b" ".join(words):
                found.append(int(entry.name))
        return found

    def kill(self, command: str) -> None:
        """Kills the part that runs this command; it is started again."""
        (process,) = self.processes_of(command)
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: process not in self.processes_of(command), "the part is gone", START_DEADLINE)

    @contextmanager
    def stopped(self, command: str) -> Iterator[None]:
        """Stops the parts that run this command for a while: they answer nothing, and their connections stay open."""
        processes = self.processes_of(command)
        assert processes, f"nothing runs {command}"
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            # A busy machine takes a while until the last of their threads stands still.
            wait_until(lambda: all(map(stands_still, processes)), f"{command} stands still", START_DEADLINE)
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def logs(self) -> dict[str, str]:
        """What every part, Envoy's access logs included, wrote."""
        files = [*(self.state / "logs").iterdir(), self.directory / "up.log"]
        return {file.name: file.read_text(errors="replace") for file in files}

    @cached_property
    def runtime(self) -> Runtime:
        return Runtime(self.state / "runtime", port=self.endpoints.runtime)

    @cached_property
    def mas(self) -> str:
        return str(self.runtime.admin("GET", "/mas")["mas"][0]["id"])

    def app(self, name: str) -> App:
        """An app as its own sidecar sees it: with its secret."""
        secret = (self.state / "apps" / name / "client-secret").read_text().strip()
        return App(self.runtime, self.ids[name], name, self.mas, secret)

    def url(self, name: str) -> str:
        """See `Endpoints.url`."""
        return self.endpoints.url(name)

    @property
    def ledger(self) -> Ledger:
        seen = self.http.get(f"http://127.0.0.1:{self.endpoints.bank_app}/ledger").json()
        return Ledger(seen["callCount"], seen["executed"], seen["balance"])

    def last_bank_call(self) -> tuple[str, Json]:
        """The tool and the arguments of the last call that reached the bank."""
        call = self.http.get(f"http://127.0.0.1:{self.endpoints.bank_app}/ledger").json()["calls"][-1]
        return call["name"], call["arguments"]

    @property
    def bank_request_count(self) -> int:
        """How many requests of any kind reached the bank."""
        return int(self.http.get(f"http://127.0.0.1:{self.endpoints.bank_app}/requests").json()["requestCount"])

    def bank_requests_after(self, count: int) -> list[Json]:
        """What reached the bank after so many requests had."""
        seen = self.http.get(f"http://127.0.0.1:{self.endpoints.bank_app}/requests").json()
        new = seen["requestCount"] - count
        requests: list[Json] = seen["requests"]
        return requests[max(0, len(requests) - new) :]

    @property
    def llm_requests(self) -> list[dict[str, list[str]]]:
        """The header fields of every request that reached the LLM's host."""
        seen = self.http.get(f"http://127.0.0.1:{self.endpoints.llm_app}/requests").json()["requests"]
        requests: list[dict[str, list[str]]] = []
        for request in seen:
            fields: dict[str, list[str]] = {}
            for name, value in request["headers"]:
                fields.setdefault(name, []).append(value)
            requests.append(fields)
        return requests

    def tool_results(self, session: str) -> list[Json]:
        """What tools answered in a session, as the runtime has stored it."""
        database = next((self.state / "runtime").glob("casa.sqlite"))
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM tool_results WHERE user_input_id = ? ORDER BY sequence", [session])
            return [dict(row) for row in rows]

    # The trace

    def mark(self) -> int:
        """The trace's end now: events after it are new."""
        while page := self.runtime.admin("GET", f"/trace/events?limit=1000&after={self._end}")["events"]:
            self._end = page[-1]["sequence"]
        return self._end

    def events_after(self, mark: int) -> list[Json]:
        found: list[Json] = []
        while page := self.runtime.admin("GET", f"/trace/events?limit=1000&after={mark}")["events"]:
            found += page
            mark = page[-1]["sequence"]
        return found

    def wait_for_event(self, mark: int, what: str, matches: Callable[[Json], bool]) -> Json:
        """The first new event that matches; sidecars report a moment after they decide."""

        def find() -> Json | None:
            return next((event for event in self.events_after(mark) if matches(event)), None)

        return wait_until(find, f"the trace shows {what}", TRACE_DEADLINE)

    # Acting

    def send_prompt(self, prompt: str, traceparent: str | None = None, **metadata: Any) -> Json:
        """Asks the agent as the user's client does; the answering message."""
        headers = {"traceparent": traceparent or new_traceparent()}
        answer = self.http.post(self.url("client->agent"), json=message_send(prompt, metadata), headers=headers)
        assert answer.status_code == 200, answer.text
        result: Json = answer.json()["result"]
        return result

    @contextmanager
    def with_check(self, name: str) -> Iterator[None]:
        """One more check is switched on."""
        settings = self.runtime.admin("GET", f"/mas/{self.mas}")
        checks = [*settings["enabled_tool_checks"], name]
        self.runtime.admin("PUT", f"/mas/{self.mas}", {**settings, "enabled_tool_checks": checks})
        try:
            yield
        finally:
            self.runtime.admin("PUT", f"/mas/{self.mas}", settings)

    def begin_session(self, prompt: str = NO_RULE) -> Session:
        """A session whose T1 was delivered to the agent, which has done nothing in it but ask the LLM."""
        traceparent = new_traceparent()
        self.send_prompt(prompt, traceparent)
        return Session(self, traceparent)

    def call_bank(
        self, token: str | None, body: Json, headers: dict[str, str] | None = None, client: httpx.Client | None = None
    ) -> httpx.Response:
        """Calls the bank's entrance itself, past every egress."""
        method, name = body["method"], body.get("params", {}).get("name")
        own = mcp_headers(method, name if isinstance(name, str) and name.isascii() else None)
        if token is not None:
            own["authorization"] = f"Bearer {token}"
        return (client or self.http).post(self.url("bank"), json=body, headers={**own, **(headers or {})})


@dataclass
class Session:
    """A session as the agent, or another app that it was delivered to, lives it."""

    stack: Stack
    traceparent: str

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @cached_property
    def id(self) -> str:
        """The user input's id."""
        events = self.stack.runtime.events()
        return next(str(e["user_input_id"]) for e in events if e["trace_id"] == self.trace_id and e["user_input_id"])

    def ask_llm(self, prompt: str, tools: list[str], app: str = "agent", **headers: str) -> httpx.Response:
        """Asks the LLM through the app's egress; the stand-in selects calls by the prompt among these tools."""
        offered = [{"type": "function", "function": {"name": tool, "parameters": {}}} for tool in tools]
        body = {"model": "any", "messages": [{"role": "user", "content": prompt}], "tools": offered}
        fields = {"traceparent": self.traceparent, **headers}
        return self.stack.http.post(self.stack.url(f"{app}->llm"), json=body, headers=fields)

    def select(self, prompt: str, tool: str, app: str = "agent") -> Json:
        """Has the LLM select one call of `tool`; its arguments."""
        answer = self.ask_llm(prompt, [tool], app)
        assert answer.status_code == 200, answer.text
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        arguments: Json = json.loads(call["function"]["arguments"])
        return arguments

    def call(self, tool: str, arguments: Json, app: str = "agent", **more: Any) -> httpx.Response:
        """Calls a tool of the bank through the app's egress."""
        headers = {**mcp_headers("tools/call", tool), "traceparent": self.traceparent, **more.get("headers", {})}
        body = tool_call(tool, arguments, more.get("meta"))
        return self.stack.http.post(self.stack.url(f"{app}->bank"), json=body, headers=headers)

    def hand_on(self, prompt: str = NO_RULE) -> None:
        """The agent asks the planner, so that the session is delivered to it too."""
        headers = {"traceparent": self.traceparent}
        answer = self.stack.http.post(self.stack.url("agent->planner"), json=message_send(prompt), headers=headers)
        assert answer.status_code == 200 and "result" in answer.json(), answer.text


@dataclass(frozen=True)
class Stolen:
    """Tokens as somebody who broke into the agent's sidecar would have them."""

    session: str
    trace_id: str
    t1: str
    t2: str
    stack: Stack

    @property
    def traceparent(self) -> str:
        return new_traceparent(self.trace_id)

    def t3(self, tool: str, arguments: Json) -> str:
        """A tool token for one call that the LLM selected."""
        agent = self.stack.app("agent")
        assert agent.report_selection(self.t2, tool, arguments).status_code == 204
        return token_of(agent.exchange_for_call(self.t1, "bank", tool, arguments))

    def t1_for(self, audience: str) -> str:
        """The T1 that the agent would call another app with."""
        return token_of(self.stack.app("agent").exchange(self.t1, "user-input", audience=audience))


def steal(stack: Stack, prompt: str = NO_RULE, **more: str) -> Stolen:
    """Begins a session and takes its tokens."""
    issued = stack.app("client").issue(prompt, audience="agent", **more)
    t1 = token_of(issued)
    t2 = token_of(stack.app("agent").exchange(t1, "llm-access"))
    return Stolen(issued.json()["user_input_id"], issued.json()["trace_id"], t1, t2, stack)


def at_once(count: int, act: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Does the same from many threads at the same moment."""
    start = threading.Barrier(count)
    answers: list[httpx.Response] = []

    def run() -> None:
        start.wait()
        answers.append(act())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
