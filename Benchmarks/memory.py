"""Memory: of a sidecar's Envoy at rest, and of the authorization service with many live sessions."""

from __future__ import annotations

import base64
import json
import secrets
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import envoy
import load
import native
from data_plane import running
from native import Outcome, Request
from results import Json, Result
from stack import Stack, free_ports, running_stack, skipped

SESSIONS = 100_000
BATCH = 5_000
CONNECTIONS = 64
LIFETIME = 290


def sidecar_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    """An Envoy of each adapter's sidecar that was just started, against one without CASA and as many listeners."""
    (port,) = free_ports(1)
    with running(folder, "resting", envoy.plain(port, upstream), port) as bare:
        with running_stack(folder / "resting-stack", upstream, stack.adapters) as resting:
            # Once its first minute's allocations are made.
            time.sleep(3)
            alone = load.resident_mb(bare.pid)
            used = {adapter: load.resident_mb(resting.envoy_pid(f"bank-{adapter}")) for adapter in stack.adapters}
    for adapter, memory in used.items():
        yield Result(f"sidecar_memory_{adapter}", memory, "MB at rest", "Envoy alone", alone)
    chosen = next(adapter for adapter in ("module", "lua", "grpc") if adapter in used)
    yield Result("sidecar_memory", used[chosen] - alone, "MB more than Envoy alone", f"at most, {chosen}", 16)


def session_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    """The authorization service, fresh, before and after so many sessions were delivered to the agent."""
    adapter = stack.adapters[-1]
    with running_stack(folder / "sessions-stack", upstream, [adapter]) as fresh:
        pid = fresh.pid(" authorize ")
        before = load.resident_mb(pid)
        began = time.monotonic()
        for first in range(0, SESSIONS, BATCH):
            deliver(fresh, adapter, range(first, first + BATCH))
        seconds = time.monotonic() - began
        after = load.resident_mb(pid)
        runtime = load.resident_mb(fresh.pid(" runtime "))
    if seconds > LIFETIME:
        skipped("authorize_memory_100k_sessions", f"it took {seconds:.0f} s, so that the first sessions have ended")
        return
    yield Result("authorize_memory_at_rest", before, "MB")
    yield Result("authorize_memory_100k_sessions", after, "MB", "the aim, in MB", 150)
    yield Result("authorize_memory_per_session", (after - before) * 1024 / SESSIONS, "kB")
    yield Result("runtime_memory_100k_sessions", runtime, "MB")
    yield Result("sessions_delivered", SESSIONS / seconds, "sessions/s, one after the other with issuing")


def deliver(stack: Stack, adapter: str, numbers: range) -> None:
    """Begins sessions with prompts of about 100 bytes and delivers each to the agent, as its caller's sidecar would."""
    agent = f"agent-{adapter}"
    prompts = {number: f"Session {number}: what is the balance of {secrets.token_hex(28)}?" for number in numbers}
    credentials = base64.b64encode(":".join(stack.auth("client")).encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {credentials}"}

    def issue(number: int) -> Request:
        form = {"grant_type": "client_credentials", "user_input": prompts[number], "audience": agent}
        return Request(number, "/oauth/token", headers, urllib.parse.urlencode(form).encode())

    def message(number: int, issued: Json) -> Request:
        parts = [{"kind": "text", "text": prompts[number]}]
        message = {"kind": "message", "role": "user", "messageId": secrets.token_hex(8), "parts": parts}
        body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
        fields = {
            "content-type": "application/json", "authorization": f"Bearer {issued['access_token']}",
            "traceparent": f"00-{issued['trace_id']}-b7ad6b7169203331-01",
        }  # fmt: skip
        return Request(number, "/", fields, json.dumps(body).encode())

    with tempfile.NamedTemporaryFile(dir="/dev/shm") as bodies:
        path = Path(bodies.name)
        port = int(stack.runtime.rsplit(":", 1)[1])
        require(native.replay(port, map(issue, numbers), "access_token", connections=CONNECTIONS, bodies=path))
        answers = [line.split(" ", 1) for line in path.read_text().splitlines()]
    messages = [message(int(number), json.loads(body)) for number, body in answers]
    require(native.replay(stack.ports[agent], messages, "pong", connections=CONNECTIONS))


def require(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if not outcome.is_success]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(outcomes)} requests failed: {failed[0]}")
