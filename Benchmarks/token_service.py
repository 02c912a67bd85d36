"""The runtime's token endpoint: issuing, exchanging, introspecting."""

from __future__ import annotations

import base64
import json
import re
import statistics
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import load
from load import Load, Target
from results import ROUNDS, SECONDS, Result
from stack import Session, Stack, tool

# h2load sends at all connections at once when a rate is set: with fewer the requests come more evenly.
HALF_LOAD_CONNECTIONS = 8


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


def results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    health = measure(Target(stack.runtime + "/healthz"))
    yield Result("healthz", health.per_second, "req/s", p50_ms=health.p50_ms, p99_ms=health.p99_ms)
    signatures = es256_signatures()
    agent = f"agent-{stack.adapters[0]}"
    session = stack.begin(stack.adapters[0])
    t2_form = stack.exchange_form(session.t1, "llm-access")
    for name, form in [("exchange", t2_form), ("exchange_tool_call", tool_call_form(stack, session))]:
        target = form_target(stack, "/oauth/token", agent, form)
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
    found = measure(form_target(stack, "/oauth/introspect", agent, {"token": session.t1}))
    yield Result(
        "introspect_vs_healthz", found.per_second, "introspections/s", "GET /healthz", health.per_second,
        found.p50_ms, found.p99_ms,
    )  # fmt: skip


def tool_call_form(stack: Stack, session: Session) -> dict[str, str]:
    """An exchange for one call that the LLM selected: both checks run, and both allow."""
    stack.select(session, [{}])
    server, name = f"bank-{session.adapter}", tool(session.adapter)
    details = json.dumps([{"type": "mcp_tool_call", "server": server, "tool": name, "arguments": {}}])
    return stack.exchange_form(session.t1, "call-tools", authorization_details=details)
