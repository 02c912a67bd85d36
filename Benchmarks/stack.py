"""`casa up` around a client, and for each adapter an agent and an MCP server that answers at once."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from native import Request

ROOT = Path(__file__).resolve().parents[1]
BINARY = ROOT / os.environ.get("CASA_BINARY", ".build/release/casa")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ADAPTERS = ("grpc", "lua", "module")
SELECTIONS_PER_SESSION = 1000
SELECTIONS_PER_EVENT = 125

Json = dict[str, Any]

numbers = itertools.count(1_000_000)
"""Every request has a number of its own: its JSON-RPC id, and its call's argument. The runtime's are below."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(find: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not find():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s until {what}")
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def skipped(what: str, why: str) -> None:
    """Says that something is not measured, so that nobody takes its absence for a result."""
    print(f"SKIPPED: {what}: {why}", file=sys.stderr, flush=True)


@dataclass
class Session:
    """A user's session, delivered to the agent behind an adapter's sidecar."""

    adapter: str
    trace_id: str
    t1: str
    t2: str

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-b7ad6b7169203331-01"


@dataclass
class Stack:
    runtime: str
    apps: dict[str, str]
    secrets: dict[str, str]
    admin: str
    ports: dict[str, int]
    adapters: list[str]
    start_seconds: float
    folder: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client

    def auth(self, app: str) -> tuple[str, str]:
        return self.apps[app], self.secrets[app]

    def token(self, app: str, **form: str) -> Json:
        answer = self.http.post(f"{self.runtime}/oauth/token", data=form, auth=self.auth(app))
        answer.raise_for_status()
        return answer.json()

    def exchange_form(self, subject: str, scope: str, **more: str) -> dict[str, str]:
        form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "scope": scope}
        return {**form, **more}

    def exchange(self, app: str, subject: str, scope: str, **more: str) -> str:
        return str(self.token(app, **self.exchange_form(subject, scope, **more))["access_token"])

    # Sessions

    def begin(self, adapter: str, prompt: str = "Ping.") -> Session:
        """Begins a session and delivers it to the agent as its caller's sidecar would."""
        agent = f"agent-{adapter}"
        issued = self.token("client", grant_type="client_credentials", user_input=prompt, audience=agent)
        t1 = issued["access_token"]
        session = Session(adapter, issued["trace_id"], t1, self.exchange(agent, t1, "llm-access"))
        headers = {"authorization": f"Bearer {t1}", "traceparent": session.traceparent}
        parts = [{"kind": "text", "text": prompt}]
        message = {"kind": "message", "role": "user", "messageId": secrets.token_hex(8), "parts": parts}
        body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
        answer = self.http.post(f"http://127.0.0.1:{self.ports[agent]}/", json=body, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"the session was not delivered: {answer.status_code} {answer.text}")
        return session

    def select(self, session: Session, arguments: list[Json]) -> None:
        """Reports as the data plane does that the LLM selected these calls."""
        selections = [{"tool": tool(session.adapter), "arguments_sha256": canonical_sha256(each)} for each in arguments]
        events = [
            {"kind": "llm_call", "token": session.t2, "selections": selections[at : at + SELECTIONS_PER_EVENT]}
            for at in range(0, len(selections), SELECTIONS_PER_EVENT)
        ]
        answer = self.http.post(
            f"{self.runtime}/trace/events", json={"events": events}, auth=self.auth(f"agent-{session.adapter}")
        )
        answer.raise_for_status()

    def selected_calls(self, adapter: str, count: int) -> list[Request]:
        """So many tool calls that the LLM selected, in as few sessions as can be, as the agent sends them."""
        requests: list[Request] = []
        while len(requests) < count:
            session = self.begin(adapter)
            calls = [next(numbers) for _ in range(min(SELECTIONS_PER_SESSION, count - len(requests)))]
            self.select(session, [{"n": number} for number in calls])
            requests += [tool_call(number, adapter, {"traceparent": session.traceparent}) for number in calls]
        return requests

    # Processes

    def pid(self, *words: str) -> int:
        """The one process of this stack whose command line holds these words."""
        for entry in Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if entry.name.isdigit() and str(self.folder) in line and all(word in line for word in words):
                return int(entry.name)
        raise RuntimeError(f"no process of the stack has {words} in its command line")

    def envoy_pid(self, app: str) -> int:
        return self.pid("_bin/envoy", f"/apps/{app}/")

    def restart_envoy(self, app: str) -> None:
        """Kills it, whereupon it is started again."""
        old = self.envoy_pid(app)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: self._runs_anew(app, old), f"the Envoy of {app} runs again")

    def _runs_anew(self, app: str, old: int) -> bool:
        try:
            return self.envoy_pid(app) != old and answers(f"http://127.0.0.1:{self.ports[app]}/")
        except RuntimeError:
            return False

    def tools_are_approved(self) -> bool:
        def pinned(adapter: str) -> bool:
            url = f"{self.runtime}/apps/{self.apps[f'bank-{adapter}']}/tools"
            tools = self.http.get(url, headers={"authorization": f"Bearer {self.admin}"}).json()["tools"]
            return [tool["status"] for tool in tools] == ["pinned"]

        return all(pinned(adapter) for adapter in self.adapters)


def canonical_sha256(arguments: Json) -> str:
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def tool(adapter: str | None) -> str:
    """No two servers of a system have tools of the same name."""
    return f"ping_{adapter}" if adapter else "ping"


def tool_call(
    number: int, adapter: str | None, headers: dict[str, str], arguments: Json | None = None
) -> Request:
    call = {"name": tool(adapter), "arguments": {"n": number} if arguments is None else arguments}
    return mcp_request(number, adapter, "tools/call", call, headers)


def mcp_request(number: int, adapter: str | None, method: str, params: Json, headers: dict[str, str]) -> Request:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    fields = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-06-18", **headers,
    }  # fmt: skip
    path = f"/mcp/{adapter}" if adapter else "/mcp"
    return Request(number, path, fields, json.dumps(body, separators=(",", ":")).encode())


def system(ports: dict[str, int], upstream: int, adapters: list[str]) -> str:
    first = adapters[0]
    apps = [
        f"""
  - name: client
    kind: client
    calls: [{{app: agent-{first}, listen: "127.0.0.1:{ports["client"]}"}}]"""
    ]
    for each in adapters:
        apps.append(f"""
  - name: agent-{each}
    kind: agent
    adapter: {each}
    url: http://127.0.0.1:{upstream}/
    listen: 127.0.0.1:{ports[f"agent-{each}"]}
    calls: [{{app: bank-{each}, listen: "127.0.0.1:{ports[f"agent-{each}->bank"]}"}}]
  - name: bank-{each}
    kind: mcp_server
    adapter: {each}
    url: http://127.0.0.1:{upstream}/mcp/{each}
    listen: 127.0.0.1:{ports[f"bank-{each}"]}""")
    # Those that the loads are made for: what they call is in no prompt.
    checks = "DETERMINISTIC_TOOL_SELECTED, DETERMINISTIC_LLM_SELECTED_TOOLS"
    return f"mas: bench\nchecks: [{checks}]\nruntime: 127.0.0.1:{ports['runtime']}\napps:{''.join(apps)}\n"


def accepted_adapters() -> list[str]:
    """Those of `CASA_BENCH_ADAPTERS` (all) that this binary has."""
    wanted = os.environ.get("CASA_BENCH_ADAPTERS", ",".join(ADAPTERS)).split(",")
    return [adapter for adapter in wanted if is_accepted(adapter)]


def is_accepted(adapter: str) -> bool:
    """Whether `casa` reads a system with this adapter: one that it knows fails of the runtime's address only."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="casa-bench-") as folder:
        file = Path(folder) / "system.yaml"
        file.write_text(f"mas: bench\nadapter: {adapter}\nruntime: 127.0.0.1:1\napps: [{{kind: none}}]\n")
        command = [str(BINARY), "up", str(file), "--directory", folder + "/s"]
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    said = output.stdout + output.stderr
    if "`adapter`" not in said:
        return True
    skipped(f"adapter {adapter}", said.strip().splitlines()[-1])
    return False


@contextmanager
def running_stack(folder: Path, upstream: int, adapters: list[str]) -> Iterator[Stack]:
    names = ["runtime", "client"]
    for each in adapters:
        names += [f"agent-{each}", f"agent-{each}->bank", f"bank-{each}"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "system.yaml").write_text(system(ports, upstream, adapters))
    began = time.monotonic()
    command = [str(BINARY), "up", str(folder / "system.yaml"), "--directory", str(folder / "s"), "--format", "json"]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True)
    assert process.stdout
    http = httpx.Client(timeout=20, trust_env=False)
    try:
        ready = json.loads(process.stdout.readline() or b"{}")
        if "runtime" not in ready:
            raise RuntimeError(f"casa up did not start: {(folder / 'up.log').read_text()[-2000:]}")
        seconds = time.monotonic() - began
        keys = {name: (folder / "s/apps" / name / "client-secret").read_text().strip() for name in ready["apps"]}
        admin = Path(ready["admin_credential_file"]).read_text().strip()
        stack = Stack(
            ready["runtime"], ready["apps"], keys, admin, ports, adapters, seconds, folder, process, http
        )
        wait_until(stack.tools_are_approved, "the servers' tools are approved")
        yield stack
    finally:
        http.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
