"""Other MCP gateways, each from PyPI in an environment of its own, in front of one MCP server, their callers known by
a credential. Each has a worker for each core; what would refuse or slow down many calls of one caller is off."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from native import ROOT, Request
from stack import answers, free_ports, numbers, skipped, wait_until

ENVIRONMENTS = ROOT / ".venv-peer"
WORKERS = str(os.cpu_count() or 1)
START_SECONDS = 300


@dataclass(frozen=True)
class Peer:
    name: str
    label: str
    port: int
    path: str
    headers: dict[str, str]
    tool: str

    def calls(self, count: int) -> list[Request]:
        """So many tools/call requests, each with arguments of its own."""
        return [self.call(next(numbers)) for _ in range(count)]

    def call(self, number: int) -> Request:
        params = {"name": self.tool, "arguments": {"n": number}}
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        fields = {
            "content-type": "application/json", "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18", **self.headers,
        }  # fmt: skip
        return Request(number, self.path, fields, json.dumps(body, separators=(",", ":")).encode())

    def check(self) -> None:
        """A call is answered, and one without the credential is refused."""
        request = self.call(next(numbers))
        url = f"http://127.0.0.1:{self.port}{self.path}"
        answer = httpx.post(url, content=request.body, headers=dict(request.headers), timeout=30, trust_env=False)
        if answer.status_code != 200 or "pong" not in answer.text:
            raise RuntimeError(f"a call was answered {answer.status_code}: {answer.text[:300]}")
        fields = {name: value for name, value in request.headers.items() if name not in self.headers}
        if httpx.post(url, content=request.body, headers=fields, timeout=30, trust_env=False).is_success:
            raise RuntimeError("a call without the credential was answered")


@contextmanager
def program(folder: Path, name: str, command: list[str], settings: dict[str, str]) -> Iterator[None]:
    """A gateway's process, with nothing of our environment but what programs need to be found."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*", **settings}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@contextmanager
def litellm(folder: Path, upstream: int) -> Iterator[Peer]:
    """https://docs.litellm.ai/docs/mcp: servers in the configuration, callers with the proxy's key."""
    (port,) = free_ports(1)
    key = "sk-" + secrets.token_hex(24)
    configuration = {
        "mcp_servers": {"bench": {"url": f"http://127.0.0.1:{upstream}/mcp", "transport": "http"}},
        "general_settings": {"master_key": key},
    }
    # JSON is YAML.
    (folder / "litellm.yaml").write_text(json.dumps(configuration))
    command = [str(ENVIRONMENTS / "litellm/bin/litellm"), "--config", str(folder / "litellm.yaml")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", WORKERS]
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with program(folder, "litellm", command, settings):
        url = f"http://127.0.0.1:{port}/health/liveliness"
        wait_until(lambda: answers(url), "LiteLLM answers", START_SECONDS)
        headers = {"x-litellm-api-key": f"Bearer {key}"}
        yield Peer("litellm", "LiteLLM's MCP gateway", port, "/mcp/", headers, "bench-ping")


@contextmanager
def contextforge(folder: Path, upstream: int) -> Iterator[Peer]:
    """https://ibm.github.io/mcp-context-forge: a server registered by its API, callers with a JWT."""
    (port,) = free_ports(1)
    python = str(ENVIRONMENTS / "contextforge/bin/python")
    settings = {
        "DATABASE_URL": f"sqlite:///{folder}/contextforge.db",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "BASIC_AUTH_PASSWORD": secrets.token_urlsafe(24) + "-A1!",
        "PLATFORM_ADMIN_EMAIL": "admin@example.com",
        "PLATFORM_ADMIN_PASSWORD": secrets.token_urlsafe(24) + "-A1!",
        "SSRF_ALLOW_LOCALHOST": "true",
        "RATE_LIMITING_ENABLED": "false",
        "LOG_LEVEL": "ERROR",
    }
    command = [str(ENVIRONMENTS / "contextforge/bin/mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]
    making = [python, "-m", "mcpgateway.utils.create_jwt_token", "--username", "admin@example.com", "--admin"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **settings}
    made = subprocess.run(
        [*making, "--exp", "10080", "--secret", settings["JWT_SECRET_KEY"]],
        env=environment, cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    headers = {"authorization": f"Bearer {made.stdout.strip().splitlines()[0]}"}

    def register() -> str:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False, follow_redirects=True
        ) as http:
            gateway = {"name": "bench", "url": f"http://127.0.0.1:{upstream}/mcp", "transport": "STREAMABLEHTTP"}
            http.post("/gateways", json=gateway).raise_for_status()
            tools = http.get("/tools").raise_for_status().json()
            server = {"name": "bench", "associated_tools": [tool["id"] for tool in tools]}
            return str(http.post("/servers", json={"server": server}).raise_for_status().json()["id"])

    url = f"http://127.0.0.1:{port}/health"
    # One worker makes the database; then as many as there are cores.
    with program(folder, "contextforge-setup", command, settings):
        wait_until(lambda: answers(url), "ContextForge answers", START_SECONDS)
        server = register()
    with program(folder, "contextforge", [*command, "--workers", WORKERS], settings):
        wait_until(lambda: answers(url), "ContextForge answers", START_SECONDS)
        path = f"/servers/{server}/mcp"
        yield Peer("contextforge", "ContextForge", port, path, headers, "bench-ping")


GATEWAYS: dict[str, Callable[[Path, int], AbstractContextManager[Peer]]] = {"litellm": litellm, "contextforge": contextforge}


@contextmanager
def running(folder: Path, upstream: int) -> Iterator[list[Peer]]:
    """Those that are installed and answer."""
    with ExitStack() as stack:
        peers: list[Peer] = []
        for name, gateway in GATEWAYS.items():
            if not list((ENVIRONMENTS / name).glob(".installed-*")):
                skipped(f"gateway {name}", "it is not installed; see scripts/setup bench")
                continue
            try:
                peer = stack.enter_context(gateway(folder, upstream))
                peer.check()
                peers.append(peer)
            except (RuntimeError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
                log = folder / f"{name}.log"
                said = log.read_text(errors="replace")[-600:] if log.exists() else ""
                skipped(f"gateway {name}", f"{error}\n{said}")
        yield peers
