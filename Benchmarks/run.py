"""`make bench`: CASA's hot paths against baselines on the same machine in the same run.

Prints a table and writes `Benchmarks/results/latest.json`. CASA_BENCH_SECONDS (default 5) is how long each of
CASA_BENCH_ROUNDS (default 3) rounds of a measurement lasts; the median round counts.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envoy
import httpx
import load
from load import Load, Target

ROOT = Path(__file__).resolve().parents[1]
BINARY = ROOT / os.environ.get("CASA_BINARY", ".build/release/casa")
RESULTS = ROOT / "Benchmarks/results/latest.json"
SECONDS = int(os.environ.get("CASA_BENCH_SECONDS", "5"))
# h2load sends at all connections at once when a rate is set: with fewer the requests come more evenly.
HALF_LOAD_CONNECTIONS = 8
ROUNDS = int(os.environ.get("CASA_BENCH_ROUNDS", "3"))
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
TRACE = "00-{}-b7ad6b7169203331-01"

Json = dict[str, Any]


# --- what is measured on -----------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Stack:
    """`casa up` around a client, an agent and an MCP server that answers at once."""

    runtime: str
    apps: dict[str, str]
    secrets: dict[str, str]
    admin: str
    ports: dict[str, int]
    start_seconds: float
    folder: Path

    def auth(self, app: str) -> tuple[str, str]:
        return self.apps[app], self.secrets[app]

    def token(self, app: str, **form: str) -> Json:
        answer = httpx.post(f"{self.runtime}/oauth/token", data=form, auth=self.auth(app), timeout=10)
        answer.raise_for_status()
        return answer.json()

    def exchange_form(self, subject: str, scope: str, **more: str) -> dict[str, str]:
        form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "scope": scope}
        return {**form, **more}

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


@contextmanager
def running_stack(folder: Path, upstream: int) -> Iterator[Stack]:
    names = ["runtime", "client_agent", "agent_in", "agent_bank", "bank_in"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    description = f"""
mas: bench
runtime: 127.0.0.1:{ports["runtime"]}
apps:
  - name: client
    kind: client
    calls: [{{app: agent, listen: "127.0.0.1:{ports["client_agent"]}"}}]
  - name: agent
    kind: agent
    url: http://127.0.0.1:{upstream}/
    listen: 127.0.0.1:{ports["agent_in"]}
    calls: [{{app: bank, listen: "127.0.0.1:{ports["agent_bank"]}"}}]
  - name: bank
    kind: mcp_server
    url: http://127.0.0.1:{upstream}/mcp
    listen: 127.0.0.1:{ports["bank_in"]}
"""
    (folder / "system.yaml").write_text(description)
    began = time.monotonic()
    command = [str(BINARY), "up", str(folder / "system.yaml"), "--directory", str(folder / "s"), "--format", "json"]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True)
    assert process.stdout
    try:
        ready = json.loads(process.stdout.readline() or b"{}")
        if "runtime" not in ready:
            raise RuntimeError(f"casa up did not start: {(folder / 'up.log').read_text()[-2000:]}")
        yield Stack(
            runtime=ready["runtime"],
            apps=ready["apps"],
            secrets={
                name: (folder / "s/apps" / name / "client-secret").read_text().strip() for name in ready["apps"]
            },
            admin=Path(ready["admin_credential_file"]).read_text().strip(),
            ports=ports,
            start_seconds=time.monotonic() - began,
            folder=folder,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(find: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not find():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s until {what}")
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1)
    except httpx.TransportError:
        return False
    return True


# --- results -----------------------------------------------------------------------------------


@dataclass
class Result:
    name: str
    value: float
    unit: str
    baseline: str | None = None
    baseline_value: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline_value if self.baseline_value else None

    def json(self) -> Json:
        return {
            "name": self.name, "value": rounded(self.value), "unit": self.unit, "baseline": self.baseline,
            "baselineValue": rounded(self.baseline_value), "ratio": rounded(self.ratio, 4),
            "p50Ms": rounded(self.p50_ms, 3), "p99Ms": rounded(self.p99_ms, 3),
        }  # fmt: skip

    def line(self) -> str:
        ratio = f"{self.ratio:7.1%} of {self.baseline_value:,.0f} ({self.baseline})" if self.ratio else ""
        latency = f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms" if self.p50_ms is not None else ""
        return f"{self.name:36} {self.value:12,.1f} {self.unit:22} {ratio:58} {latency}".rstrip()


def rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def measure(target: Target, **options: Any) -> Load:
    """The median of some rounds; a warm-up goes before. Every answer must be a success."""
    load.run(target, seconds=1, **options)
    found = load.median([load.run(target, seconds=SECONDS, **options) for _ in range(ROUNDS)])
    if found.failures:
        raise RuntimeError(f"{found.failures} of {found.requests} answers of {target.url} were refusals or errors")
    return found


def form_target(stack: Stack, path: str, app: str, form: dict[str, str]) -> Target:
    credentials = base64.b64encode(":".join(stack.auth(app)).encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {credentials}"}
    return Target(stack.runtime + path, headers, urllib.parse.urlencode(form).encode())


def per_core(stack: Stack, target: Target) -> tuple[float, Load]:
    """Requests for each second that the runtime keeps one core busy, at full load."""
    pid = stack.pid(" runtime ")
    load.run(target, seconds=1)
    rates = []
    loads = []
    for _ in range(ROUNDS):
        before = load.cpu_seconds(pid)
        found = load.run(target, seconds=SECONDS)
        if found.failures:
            raise RuntimeError(f"{found.failures} of {found.requests} answers of {target.url} were no success")
        rates.append(found.requests / (load.cpu_seconds(pid) - before))
        loads.append(found)
    return statistics.median(rates), load.median(loads)


def es256_signatures() -> float:
    """Signatures a second on one core, by OpenSSL."""
    output = subprocess.run(
        ["openssl", "speed", "-seconds", str(SECONDS), "ecdsap256"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"256 bits ecdsa \(nistp256\)\s+\S+\s+\S+\s+([\d.]+)", output)
    if not found:
        raise RuntimeError(f"openssl speed printed something else: {output[-400:]}")
    return float(found[1])


# --- the measurements --------------------------------------------------------------------------


def runtime_results(stack: Stack) -> Iterator[Result]:
    health = measure(Target(stack.runtime + "/healthz"))
    yield Result("healthz", health.per_second, "req/s", p50_ms=health.p50_ms, p99_ms=health.p99_ms)
    signatures = es256_signatures()
    issued = stack.token("client", grant_type="client_credentials", user_input="Ping.", audience="agent")
    t1 = issued["access_token"]
    t2_form = stack.exchange_form(t1, "llm-access")
    for name, form in [("exchange", t2_form), ("exchange_tool_call", tool_call_form(stack, t1))]:
        target = form_target(stack, "/oauth/token", "agent", form)
        rate, full = per_core(stack, target)
        half = measure(target, rate=full.per_second / 2, connections=HALF_LOAD_CONNECTIONS)
        yield Result(
            f"{name}_vs_es256_sign", rate, "exchanges/s per core", "openssl ES256 signatures/s", signatures,
            half.p50_ms, half.p99_ms,
        )  # fmt: skip
        yield Result(
            f"{name}_vs_healthz", full.per_second, "exchanges/s", "GET /healthz", health.per_second,
            full.p50_ms, full.p99_ms,
        )  # fmt: skip
    found = measure(form_target(stack, "/oauth/introspect", "agent", {"token": t1}))
    yield Result(
        "introspect_vs_healthz", found.per_second, "introspections/s", "GET /healthz", health.per_second,
        found.p50_ms, found.p99_ms,
    )  # fmt: skip


def tool_call_form(stack: Stack, t1: str) -> dict[str, str]:
    """An exchange for one call that the LLM selected: both checks run, and both allow."""
    t2 = stack.token("agent", **stack.exchange_form(t1, "llm-access"))["access_token"]
    empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # SHA-256 of {}
    event = {"kind": "llm_call", "token": t2, "selections": [{"tool": "ping", "arguments_sha256": empty}]}
    httpx.post(f"{stack.runtime}/trace/events", json={"events": [event]}, auth=stack.auth("agent")).raise_for_status()
    details = json.dumps([{"type": "mcp_tool_call", "server": "bank", "tool": "ping", "arguments": {}}])
    return stack.exchange_form(t1, "call-tools", authorization_details=details)


def ingress_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    """The same MCP request into a server: through Envoy alone, with its jwt_authn, and with CASA."""
    issued = stack.token("client", grant_type="client_credentials", user_input="Ping.", audience="agent")
    t1 = stack.token("agent", **stack.exchange_form(issued["access_token"], "user-input", audience="bank"))
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "authorization": "Bearer " + t1["access_token"],
        "traceparent": TRACE.format(issued["trace_id"]),
    }
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
    jwks = httpx.get(f"{stack.runtime}/oauth/jwks").json()
    plain, cached, uncached = free_ports(3)
    processes = [
        envoy.start(folder, "plain", envoy.plain(plain, upstream)),
        envoy.start(folder, "jwt", envoy.with_jwt(cached, upstream, jwks, stack.runtime, cache=True)),
        envoy.start(folder, "jwt-uncached", envoy.with_jwt(uncached, upstream, jwks, stack.runtime, cache=False)),
    ]
    ports = {"plain": plain, "jwt": cached, "jwt_uncached": uncached, "casa": stack.ports["bank_in"]}
    # Whose time a request takes beside the server's and the load generator's.
    at_work = {
        "plain": [processes[0].pid],
        "jwt": [processes[1].pid],
        "jwt_uncached": [processes[2].pid],
        "casa": [stack.pid("_bin/envoy", "/apps/bank/"), stack.pid(" authorize "), stack.pid(" runtime ")],
    }
    rates: dict[str, list[float]] = {name: [] for name in ports}
    try:
        found: dict[str, list[Load]] = {name: [] for name in ports}
        for port in ports.values():
            wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}/mcp"), f"port {port} answers")
        for name, port in ports.items():
            load.run(Target(f"http://127.0.0.1:{port}/mcp", headers, body), seconds=1)
        # Taken in turns, so that what else the machine does falls on all alike.
        for _ in range(ROUNDS):
            for name, port in ports.items():
                before = sum(map(load.cpu_seconds, at_work[name]))
                run = load.run(Target(f"http://127.0.0.1:{port}/mcp", headers, body), seconds=SECONDS)
                rates[name].append(run.requests / (sum(map(load.cpu_seconds, at_work[name])) - before))
                found[name].append(run)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for name, loads in found.items():
        if any(each.failures for each in loads):
            raise RuntimeError(f"answers through {name} were refusals or errors: {loads}")
    medians = {name: load.median(loads) for name, loads in found.items()}
    casa = medians["casa"]
    for name, baseline, label in [
        ("ingress_vs_envoy_plain", "plain", "Envoy alone"),
        ("ingress_vs_envoy_jwt_authn", "jwt", "Envoy jwt_authn, cached"),
        ("ingress_vs_envoy_jwt_authn_uncached", "jwt_uncached", "Envoy jwt_authn, uncached"),
    ]:
        yield Result(
            name, casa.per_second, "MCP calls/s", label, medians[baseline].per_second, casa.p50_ms, casa.p99_ms
        )
    core = {name: statistics.median(each) for name, each in rates.items()}
    yield Result("ingress_per_core_vs_envoy_plain", core["casa"], "MCP calls/s per core", "Envoy alone", core["plain"])
    jwt = "Envoy jwt_authn, cached"
    yield Result("ingress_per_core_vs_envoy_jwt_authn", core["casa"], "MCP calls/s per core", jwt, core["jwt"])
    for name in ("plain", "jwt", "jwt_uncached"):
        each = medians[name]
        yield Result(f"envoy_{name}", each.per_second, "req/s", p50_ms=each.p50_ms, p99_ms=each.p99_ms)


def memory_results(stack: Stack) -> Iterator[Result]:
    for part in ("runtime", "authorize"):
        yield Result(f"{part}_resident_memory", load.resident_mb(stack.pid(f" {part} ")), "MB after the load")
    yield Result("up_until_ready", stack.start_seconds * 1000, "ms until all parts answer")


def tools_are_approved(stack: Stack) -> bool:
    answer = httpx.get(
        f"{stack.runtime}/apps/{stack.apps['bank']}/tools", headers={"authorization": f"Bearer {stack.admin}"}
    ).json()
    return [tool["status"] for tool in answer["tools"]] == ["pinned"]


def main() -> int:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="casa-bench-") as name:
        folder = Path(name)
        (upstream,) = free_ports(1)
        server = envoy.start(folder, "server", envoy.server(upstream))
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{upstream}/"), "the server answers")
            with running_stack(folder, upstream) as stack:
                wait_until(lambda: tools_are_approved(stack), "the server's tool is approved")
                ingress = ingress_results(stack, folder, upstream)
                for measured in (runtime_results(stack), ingress, memory_results(stack)):
                    for result in measured:
                        print(result.line(), flush=True)
                        results.append(result)
        finally:
            server.kill()
            server.wait()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([result.json() for result in results], indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
