"""`casa up -f` around the banking example's apps, by the files that a cluster would get."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from casa_runtime import PORTS, ROOT, Json, Runtime, binary, free_port, wait_until
from casa_stack import EXAMPLE, LLM_KEY, Process, message_send, new_traceparent

FILES = ROOT / "examples/kubernetes/banking"
READY = 60.0
# What the three apps' sidecars listen on, counted from --first-port: docs/configuration.md has the scheme.
OFFSETS = (2, 99, 100, 103, 190, 200)


def free_ports_from() -> int:
    """A port from which on all are free that the sidecars of three apps take."""
    for _ in range(200):
        first = random.randrange(PORTS[0], PORTS[1] - max(OFFSETS))
        if all(is_free(first + offset) for offset in OFFSETS):
            return first
    raise AssertionError("no free block of ports was found")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class UpStack:
    """The bank on one machine."""

    directory: Path
    mas: str = field(default_factory=lambda: (FILES / "mas.yaml").read_text())
    policy: str = field(default_factory=lambda: (FILES / "policy.yaml").read_text())
    arguments: list[str] = field(default_factory=list)
    agent_app: int = field(default_factory=free_port)
    bank_app: int = field(default_factory=free_port)
    llm_app: int = field(default_factory=free_port)
    runtime_port: int = field(default_factory=free_port)
    first_port: int = field(default_factory=free_ports_from)
    ready: Json = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=40, trust_env=False))

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def command(self) -> list[str]:
        self.directory.mkdir(parents=True, exist_ok=True)
        files = []
        for name, text in (("mas.yaml", self.mas), ("policy.yaml", self.policy)):
            (self.directory / name).write_text(text)
            files += ["-f", str(self.directory / name)]
        key = self.directory / "llm-key"
        key.write_text(LLM_KEY + "\n")
        ports = ["--runtime", f"127.0.0.1:{self.runtime_port}", "--first-port", str(self.first_port)]
        ports += ["--app-port", f"agent={self.agent_app}", "--app-port", f"bank={self.bank_app}"]
        llm = ["--llm-url", f"http://127.0.0.1:{self.llm_app}/v1", "--llm-api-key-file", str(key)]
        where = ["--directory", str(self.state), "--format", "json"]
        return [str(binary()), "up", *files, *ports, *llm, *where, *self.arguments]

    @contextmanager
    def running(self, *apps: str) -> Iterator[UpStack]:
        """With these of the bank's apps; the LLM's stand-in is always there."""
        try:
            self.processes.append(Process(self.command(), self.directory / "up.log"))
            self.ready = wait_until(self._ready, "casa up -f is ready", READY)
            self._start("llm", [sys.executable, str(EXAMPLE / "llm_standin.py"), "--port", str(self.llm_app)])
            for app in apps:
                self._start(app, self.run_command(app, self._program(app)))
            ports = {"agent": self.agent_app, "bank": self.bank_app}
            for port in (self.llm_app, *(ports[app] for app in apps)):
                wait_until(lambda: self._answers(port), f"an app answers at {port}", READY)
            if "bank" in apps:
                wait_until(self._tools_are_known, "the bank's tools are approved", READY)
            yield self
        finally:
            # All at once: an app waits for its clients, of which a sidecar is one.
            for process in self.processes:
                process.running.terminate()
            for process in reversed(self.processes):
                process.end()
            self.http.close()

    def end_apps(self) -> None:
        """All but `casa up`, which is asked to end then; its exit code follows."""
        up, *apps = self.processes
        for process in apps:
            process.end()
        up.running.send_signal(signal.SIGTERM)
        assert up.running.wait(30) == 0, self.log()

    def run_command(self, app: str, command: list[str]) -> list[str]:
        """Starts an app as the documentation says."""
        return [str(binary()), "run", "--directory", str(self.state), app, "--", *command]

    def run(self, app: str, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OPENAI_API_KEY": "the developer's own"}
        return subprocess.run(
            self.run_command(app, list(command)), capture_output=True, text=True, timeout=30, env=environment, cwd=ROOT
        )

    def _program(self, app: str) -> list[str]:
        if app == "bank":
            return [sys.executable, str(EXAMPLE / "bank_server.py"), "--port", str(self.bank_app)]
        addresses = self.ready["endpoints"][app]
        ways = ["--mcp-url", addresses["calls"].get("bank", "http://127.0.0.1:1/mcp"), "--llm-base-url", addresses["llm"]]
        return [sys.executable, str(EXAMPLE / "agent.py"), "--port", str(self.agent_app), *ways, "--allow-misbehave"]

    def _start(self, name: str, command: list[str]) -> None:
        self.processes.append(Process(command, self.directory / f"app-{name}.log"))

    def log(self) -> str:
        return (self.directory / "up.log").read_text()

    def _ready(self) -> Json | None:
        assert self.processes[0].running.poll() is None, f"casa up ended: {self.log()[-2000:]}"
        lines = [line for line in self.log().splitlines() if line.startswith('{"admin_credential_file"')]
        return json.loads(lines[0]) if lines else None

    def _answers(self, port: int) -> bool:
        try:
            return self.http.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def _tools_are_known(self) -> bool:
        tools = self.runtime.admin("GET", f"/apps/{self.ready['apps']['bank']}/tools")["tools"]
        return bool(tools) and all(tool["status"] == "pinned" for tool in tools)

    # What tests ask

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.state / "runtime", port=self.runtime_port)

    def calls(self, app: str) -> Json:
        """The addresses at which an app calls others."""
        found: Json = self.ready["endpoints"][app]["calls"]
        return found

    def ledger(self) -> Json:
        seen: Json = self.http.get(f"http://127.0.0.1:{self.bank_app}/ledger").json()
        return seen

    def send_prompt(self, prompt: str, **metadata: object) -> Json:
        """Asks the agent as the user's client does."""
        answer = self.http.post(
            self.calls("client")["agent"],
            json=message_send(prompt, dict(metadata)),
            headers={"traceparent": new_traceparent()},
        )
        assert answer.status_code == 200, answer.text
        result: Json = answer.json()["result"]
        return result
