"""The data plane: a request into an MCP server, and a whole tool call from the agent to the server's answer."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import gateways
import httpx
import load
import native
from load import Load
from native import Outcome, Request
from results import ROUNDS, SECONDS, Json, Result
from stack import Stack, answers, free_ports, mcp_request, numbers, tool_call, wait_until


HELD_SECONDS = 120
"""Tokens live for 300 s."""
LAUNCHES = 2 * ROUNDS
"""Of all Envoys: where its memory comes to lie makes one up to a tenth faster or slower for as long as it runs."""


@contextmanager
def running(folder: Path, name: str, configuration: Json, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An Envoy to compare with."""
    process = envoy.start(folder, name, configuration)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), f"the Envoy `{name}` answers")
        yield process
    finally:
        process.kill()
        process.wait()


def processes(stack: Stack, *apps: str) -> dict[str, int]:
    """Whose time a request takes beside the server's and the load generator's."""
    sidecars = {f"envoy of {app}": stack.envoy_pid(app) for app in apps}
    return {**sidecars, "authorization service": stack.pid(" authorize "), "runtime": stack.pid(" runtime ")}


# --- into an MCP server ------------------------------------------------------------------------


@dataclass
class Way:
    """A way by which the same request goes, and what was measured of it."""

    port: int
    parts: dict[str, int] = field(default_factory=dict)
    adapter: str | None = None
    per_second: float = 0
    loads: list[Load] = field(default_factory=list)
    busy: dict[str, list[float]] = field(default_factory=dict)
    """Microseconds of processor time for each request, by part."""
    headers: dict[str, str] = field(default_factory=dict)
    _held_until: float = 0

    def launched(self, parts: dict[str, int]) -> None:
        """Its processes are others now, and remember nothing."""
        self.parts = parts
        self._held_until = 0

    def hold(self, stack: Stack) -> None:
        """Sees to it that there is a token for some turns, and that what its issuing left to do is done."""
        if time.monotonic() > self._held_until:
            self.headers = held_token(stack, self.adapter or stack.adapters[0])
            self._held_until = time.monotonic() + HELD_SECONDS
            self.per_second = self._sent(2000).per_second

    def _sent(self, count: int) -> Load:
        """Of so many requests. Each has an id of its own, as clients give it, and a span, as sidecars do."""
        trace = self.headers["traceparent"].split("-")[1]
        requests = [
            mcp_request(
                number, self.adapter, "tools/list", {},
                {**self.headers, "traceparent": f"00-{trace}-{number:016x}-01"},
            )
            for number in itertools.islice(numbers, count)
        ]  # fmt: skip
        outcomes = native.replay(self.port, requests, "jsonrpc")
        if len(outcomes) != count or not all(outcome.is_success for outcome in outcomes):
            raise RuntimeError(f"answers at port {self.port} were refusals or errors: {failures(outcomes)}")
        return native.summary(outcomes)

    def run(self) -> None:
        """About a second."""
        before = {part: load.cpu_seconds(pid) for part, pid in self.parts.items()}
        found = self._sent(int(self.per_second))
        self.loads.append(found)
        for part, pid in self.parts.items():
            spent = (load.cpu_seconds(pid) - before[part]) / found.requests * 1e6
            self.busy.setdefault(part, []).append(spent)

    @property
    def load(self) -> Load:
        return load.median(self.loads)

    @property
    def busy_per_request(self) -> float:
        return statistics.median(map(sum, zip(*self.busy.values(), strict=True)))


def ingress_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    """Requests of an MCP client into a server: through Envoy alone, with its jwt_authn, and with each of CASA's adapters."""
    jwks = httpx.get(f"{stack.runtime}/oauth/jwks").json()
    ports = dict(zip(["plain", "jwt", "jwt_uncached"], free_ports(3), strict=True))
    configurations = {
        "plain": envoy.plain(ports["plain"], upstream),
        "jwt": envoy.with_jwt(ports["jwt"], upstream, jwks, stack.runtime, cache=True),
        "jwt_uncached": envoy.with_jwt(ports["jwt_uncached"], upstream, jwks, stack.runtime, cache=False),
    }
    ways = {name: Way(port) for name, port in ports.items()}
    ways |= {adapter: Way(stack.ports[f"bank-{adapter}"], adapter=adapter) for adapter in stack.adapters}
    for launch in range(LAUNCHES):
        with ExitStack() as running_envoys:
            for name, port in ports.items():
                process = running_envoys.enter_context(running(folder, name, configurations[name], port))
                ways[name].launched({"envoy": process.pid})
            for adapter in stack.adapters:
                bank = f"bank-{adapter}"
                if launch > 0:
                    stack.restart_envoy(bank)
                ways[adapter].launched(processes(stack, bank))
            # Taken in many short turns, so that what else the machine does falls on all alike, and there and back, so
            # that none comes always first.
            for turn in range(SECONDS):
                for way in ways.values():
                    way.hold(stack)
                for way in list(ways.values())[:: -1 if turn % 2 else 1]:
                    way.run()
    baselines = {
        "envoy_plain": ("plain", "Envoy alone"),
        "jwt_authn": ("jwt", "Envoy jwt_authn, cached"),
        "jwt_authn_uncached": ("jwt_uncached", "Envoy jwt_authn, uncached"),
    }
    for adapter in stack.adapters:
        casa = ways[adapter]
        for suffix, (name, label) in baselines.items():
            yield Result.of_pairs(
                f"ingress_{adapter}_vs_{suffix}", "MCP requests/s", casa.loads, label, ways[name].loads
            )
        for suffix in ("envoy_plain", "jwt_authn"):
            name, label = baselines[suffix]
            yield Result(
                f"ingress_{adapter}_per_core_vs_{suffix}", 1e6 / casa.busy_per_request, "MCP requests/s per core",
                label, 1e6 / ways[name].busy_per_request,
            )  # fmt: skip
        for part, spent in casa.busy.items():
            part = part.split(" of ")[0].replace(" ", "_")
            yield Result(f"ingress_{adapter}_cpu_of_{part}", statistics.median(spent), "us per request")
    for name in ports:
        yield Result.of(f"envoy_{name}", "req/s", ways[name].load)
        yield Result(f"envoy_{name}_cpu", ways[name].busy_per_request, "us per request")


def held_token(stack: Stack, adapter: str) -> dict[str, str]:
    """What an agent's sidecar sends with a request into the server, once it has a token."""
    session = stack.begin(adapter)
    token = stack.exchange(f"agent-{adapter}", session.t1, "user-input", audience=f"bank-{adapter}")
    return {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "authorization": "Bearer " + token,
        "traceparent": session.traceparent,
    }


# --- a whole tool call -------------------------------------------------------------------------


@dataclass
class CallWay:
    """A way by which tools/call goes from an agent to a server and its answer back."""

    label: str
    port: int
    prepare: Callable[[int], list[Request]]
    """Makes so many calls, each with arguments of its own, and all that must stand before they are made."""
    per_second: float = 0
    loads: list[Load] = field(default_factory=list)

    def run(self, count: int) -> Load:
        requests = self.prepare(count)
        outcomes = native.replay(self.port, requests, "pong")
        if len(outcomes) != len(requests) or not all(outcome.is_success for outcome in outcomes):
            raise RuntimeError(f"calls through {self.label} failed: {failures(outcomes)}")
        found = native.summary(outcomes)
        self.per_second = found.per_second
        return found

    def measure(self) -> None:
        """A run that takes about as long as it should."""
        self.loads.append(self.run(max(200, int(self.per_second * SECONDS))))


def failures(outcomes: list[Outcome]) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for outcome in outcomes:
        if not outcome.is_success:
            found[outcome.status, outcome.word] = found.get((outcome.status, outcome.word), 0) + 1
    return found


def same_call(headers: Callable[[], dict[str, str]]) -> Callable[[int], list[Request]]:
    def prepare(count: int) -> list[Request]:
        fields = headers()
        return [tool_call(next(numbers), None, fields) for _ in range(count)]

    return prepare


def call_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    """A whole tools/call as an agent makes it: without a proxy, by two Envoys, by CASA, and by other gateways."""
    jwks = httpx.get(f"{stack.runtime}/oauth/jwks").json()
    near, far, near_jwt, far_jwt = free_ports(4)

    def check(port: int, upstream: int) -> Json:
        return envoy.with_jwt(port, upstream, jwks, stack.runtime, cache=True)

    with ExitStack() as others:
        for name, configuration, port in [
            ("far", envoy.plain(far, upstream), far),
            ("near", envoy.plain(near, far), near),
            ("far-jwt", check(far_jwt, upstream), far_jwt),
            ("near-jwt", check(near_jwt, far_jwt), near_jwt),
        ]:
            others.enter_context(running(folder, name, configuration, port))
        ways = {
            "direct": CallWay("no proxy", upstream, same_call(dict)),
            "plain": CallWay("two Envoys alone", near, same_call(dict)),
            "jwt": CallWay(
                "two Envoys with jwt_authn, cached", near_jwt, same_call(lambda: held_token(stack, stack.adapters[0]))
            ),
        }
        for adapter in stack.adapters:
            ways[adapter] = CallWay(
                f"CASA, {adapter}",
                stack.ports[f"agent-{adapter}->bank"],
                lambda count, adapter=adapter: stack.selected_calls(adapter, count),
            )
        peers: list[str] = []
        for peer in others.enter_context(gateways.running(folder, upstream)):
            ways[peer.name] = CallWay(peer.label, peer.port, peer.calls)
            peers.append(peer.name)
        for way in ways.values():
            way.run(200)
        for way in ways.values():
            way.run(max(200, int(way.per_second)))
        for _ in range(ROUNDS):
            for way in ways.values():
                way.measure()
    found = {name: load.median(way.loads) for name, way in ways.items()}
    best_peer = max(peers, key=lambda name: found[name].per_second, default=None)
    # What stands for CASA where a name has no adapter: the fastest in what it is made for.
    chosen = next(adapter for adapter in ("module", "lua", "grpc") if adapter in stack.adapters)
    unit = "tools/call/s"

    def against(name: str, adapter: str, baseline: str) -> Result:
        return Result.of(name, unit, found[adapter], ways[baseline].label, found[baseline])

    yield against("mcp_call_vs_envoy_plain", chosen, "plain")
    if best_peer:
        yield against("mcp_call_vs_peer_gateway", chosen, best_peer)
    for adapter in stack.adapters:
        for baseline, suffix in [("direct", "no_proxy"), ("plain", "envoy_plain"), ("jwt", "jwt_authn")]:
            yield against(f"mcp_call_{adapter}_vs_{suffix}", adapter, baseline)
        for name in peers:
            yield against(f"mcp_call_{adapter}_vs_{name}", adapter, name)
