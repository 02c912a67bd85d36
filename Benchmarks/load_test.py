"""`make load`: whether anything passes that may not while the parts of a busy system are killed.

256 connections send good and bad requests at 80 % of the highest rate for LOAD_SECONDS (300), while the runtime is
killed LOAD_RUNTIME_KILLS (10) times and the authorization service LOAD_AUTHORIZE_KILLS (3) times; `casa up` starts them
again. The MCP server behind it all remembers which requests reached it, and each request's number tells whether it may.

The highest rate is that of the same requests sent as fast as answers come, while more are made ready beside, as in the
test itself: sessions begin, tokens are exchanged and revoked, on the same processors.

A good request may be refused within the window of a kill: from the kill until a good request passes again and the
runtime is ready, and one second more, for which adapters go by what they knew. All others must be answered, and no
window may be longer than ten seconds. The test does not hold when fewer requests were sent than it says.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import native
from native import Outcome, Request
from results import Json
from stack import (
    ROOT,
    SELECTIONS_PER_SESSION,
    Session,
    Stack,
    accepted_adapters,
    answers,
    free_ports,
    mcp_request,
    numbers,
    running_stack,
    tool_call,
    wait_until,
)

SECONDS = float(os.environ.get("LOAD_SECONDS", "300"))
RUNTIME_KILLS = int(os.environ.get("LOAD_RUNTIME_KILLS", "10"))
AUTHORIZE_KILLS = int(os.environ.get("LOAD_AUTHORIZE_KILLS", "3"))
SHARE = float(os.environ.get("LOAD_SHARE", "0.8"))
PROBE_SECONDS = float(os.environ.get("LOAD_PROBE_SECONDS", "20"))
"""For so long requests are sent as fast as answers come, to find out the highest rate."""
PROBE_SEGMENT = (10_000, 3_000)
"""Made ready at once for that, into the server and out of the agent."""
CONNECTIONS = 256
SEGMENT_SECONDS = 5
SEGMENTS_AHEAD = 4
"""So many segments are ready before they are sent, since none can be made ready while a part is down."""
LONGEST_WINDOW_SECONDS = 10.0
LEAST_OF_RATE = 0.95
"""Of the rate that was to be sent, what must have been sent at least, outside the windows."""
CACHE_SECOND = 1.0
HEARD_SECONDS = 2.0
"""For so long the runtime must be up after a revocation before a request of the session counts as bad."""
RESULTS = ROOT / "Benchmarks/results/load.json"

GOOD = ("listing", "selected_call")
EITHER = "selected_call_twice"
"""Two requests for one selection: either may reach the server, not both."""
BAD_INGRESS = ("no_token", "forged_token", "revoked_token", "replayed_tool_token", "tool_token_for_other_arguments")
BAD_EGRESS = ("unselected_call", "revoked_session_call", "unknown_trace_call")
KINDS = (*GOOD, EITHER, *BAD_INGRESS, *BAD_EGRESS, "preparation")
FIRST = 1_000_000

Found = TypeVar("Found")
Segment = tuple[list[Request], list[Request]]
"""Requests into the server, and out of the agent."""


class Numbered:
    """Which request is of which kind, by its number."""

    def __init__(self) -> None:
        self._kinds = array("B")
        self.partner: dict[int, int] = {}

    def new(self, kind: str) -> int:
        number = next(numbers)
        missing = number - FIRST + 1 - len(self._kinds)
        self._kinds.extend([KINDS.index("preparation")] * missing)
        self._kinds[number - FIRST] = KINDS.index(kind)
        return number

    def kind(self, number: int) -> str:
        index = number - FIRST
        return KINDS[self._kinds[index]] if index < len(self._kinds) else "preparation"


@dataclass
class Window:
    """When good requests may be refused, on the monotonic clock."""

    part: str
    begin: float
    end: float = float("inf")


class Killer:
    """Kills parts by plan and sees when they are back."""

    def __init__(self, stack: Stack, probe: Callable[[], bool]) -> None:
        self.stack = stack
        self.probe = probe
        self.windows: list[Window] = []
        self.up_since = time.monotonic()

    @property
    def is_up(self) -> bool:
        return not self.windows or self.windows[-1].end < float("inf")

    def kill(self, part: str) -> None:
        pid = self.stack.pid(f" {part} ")
        window = Window(part, time.monotonic())
        self.windows.append(window)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self._is_replaced(part, pid) and self.probe(), f"{part} is back", 30)
        self.up_since = time.monotonic()
        window.end = self.up_since + CACHE_SECOND

    def _is_replaced(self, part: str, old: int) -> bool:
        try:
            return self.stack.pid(f" {part} ") != old
        except RuntimeError:
            return False

    def heard(self, since: float) -> bool:
        """Whether the runtime has been up long enough for all to have heard what it was told at `since`."""
        return self.is_up and time.monotonic() - max(since, self.up_since) > HEARD_SECONDS


def persist(act: Callable[[], Found], seconds: float = 60) -> Found:
    """Does something again until the parts are there that it needs."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (httpx.HTTPError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass
class Traffic:
    """Makes good and bad requests for an adapter, as they can be sent within a minute."""

    stack: Stack
    adapter: str
    numbered: Numbered
    killer: Killer
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def segment(self, ingress: int, egress: int) -> Segment:
        """So many requests for the server's entrance, and so many for the agent's exit."""
        live = [persist(self.delivered) for _ in range(4)]
        tokens = [persist(lambda session=session: self.token(session)) for session in live]
        revoked = persist(self.delivered)
        revoked_token = persist(lambda: self.token(revoked))
        # Everyone who remembers tokens has seen it alive.
        persist(lambda: self.pass_through(self.listing("preparation", revoked, revoked_token)))
        spent, other = persist(lambda: self.tool_tokens(live[0]))
        persist(lambda: self.revoke(revoked))
        at = time.monotonic()
        wait_until(lambda: self.killer.heard(at), "the revocation is heard of", 60)

        def entering() -> Request:
            chosen = self.random.randrange(len(live))
            session, token = live[chosen], tokens[chosen]
            if self.random.random() < 0.7:
                return self.listing("listing", session, token)
            match self.random.choice(BAD_INGRESS):
                case "no_token":
                    return self.listing("no_token", session, None)
                case "forged_token":
                    return self.listing("forged_token", session, forged(token))
                case "revoked_token":
                    return self.listing("revoked_token", revoked, revoked_token)
                case "replayed_tool_token":
                    return self.call("replayed_tool_token", session, {"n": 0}, spent)
                case kind:
                    return self.call(kind, session, {"n": 2}, other)

        return [entering() for _ in range(ingress)], self.leaving(egress, live, revoked)

    def leaving(self, count: int, live: list[Session], revoked: Session) -> list[Request]:
        requests: list[Request] = []
        good, pairs = int(count * 0.5), int(count * 0.1)
        while good or pairs:
            session = persist(self.delivered)
            singles = min(good, SELECTIONS_PER_SESSION)
            doubles = min(pairs, SELECTIONS_PER_SESSION - singles)
            good, pairs = good - singles, pairs - doubles
            once = [self.numbered.new("selected_call") for _ in range(singles)]
            twice = [(self.numbered.new(EITHER), self.numbered.new(EITHER)) for _ in range(doubles)]
            selected = [{"n": number} for number in once] + [{"n": first} for first, _ in twice]
            persist(lambda session=session, selected=selected: self.select(session, selected))
            requests += [self.call("", session, {"n": number}, number=number) for number in once]
            for first, second in twice:
                self.numbered.partner[second] = first
                requests += [self.call("", session, {"n": first}, number=number) for number in (first, second)]
        unknown = Session(self.adapter, f"{self.random.getrandbits(128):032x}", "", "")
        while len(requests) < count:
            kind = self.random.choice(BAD_EGRESS)
            session = {"revoked_session_call": revoked, "unknown_trace_call": unknown}.get(kind, live[0])
            requests.append(self.call(kind, session, {"n": -self.random.randrange(1, 1 << 40)}))
        self.random.shuffle(requests)
        return requests

    # One request

    def listing(self, kind: str, session: Session, token: str | None) -> Request:
        headers = {"traceparent": session.traceparent, **({"authorization": f"Bearer {token}"} if token else {})}
        return mcp_request(self.numbered.new(kind), self.adapter, "tools/list", {}, headers)

    def call(
        self, kind: str, session: Session, arguments: Json, token: str | None = None, number: int | None = None
    ) -> Request:
        headers = {"traceparent": session.traceparent, **({"authorization": f"Bearer {token}"} if token else {})}
        return tool_call(number or self.numbered.new(kind), self.adapter, headers, arguments)

    # What must stand before

    def delivered(self) -> Session:
        return self.stack.begin(self.adapter)

    def token(self, session: Session) -> str:
        return self.stack.exchange(f"agent-{self.adapter}", session.t1, "user-input", audience=f"bank-{self.adapter}")

    def tool_tokens(self, session: Session) -> tuple[str, str]:
        """A tool token that was used, and one that was not, for other arguments than it will be sent with."""
        first, second = {"n": 0}, {"n": 1}
        self.select(session, [first, second])
        spent = self.tool_token(session, first)
        self.pass_through(self.call("preparation", session, first, spent))
        return spent, self.tool_token(session, second)

    def tool_token(self, session: Session, arguments: Json) -> str:
        detail = {
            "type": "mcp_tool_call", "server": f"bank-{self.adapter}", "tool": f"ping_{self.adapter}",
            "arguments": arguments,
        }  # fmt: skip
        details = json.dumps([detail])
        return self.stack.exchange(
            f"agent-{self.adapter}", session.t1, "call-tools", authorization_details=details
        )

    def select(self, session: Session, calls: list[Json]) -> None:
        self.stack.select(session, calls)

    def revoke(self, session: Session) -> None:
        form = {"token": session.t1}
        url = f"{self.stack.runtime}/oauth/revoke"
        self.stack.http.post(url, data=form, auth=self.stack.auth("client")).raise_for_status()

    def pass_through(self, request: Request) -> None:
        """Sends a request into the server that must be answered."""
        url = f"http://127.0.0.1:{self.stack.ports[f'bank-{self.adapter}']}{request.path}"
        answer = self.stack.http.post(url, content=request.body, headers=dict(request.headers))
        if answer.status_code != 200:
            raise RuntimeError(f"a good request was refused: {answer.status_code} {answer.text}")


def forged(token: str) -> str:
    """The same token with another signature."""
    content, signature = token.rsplit(".", 1)
    return f"{content}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


class Stream:
    """Sends requests as they are made, at a rate, and counts what came of them."""

    def __init__(self, port: int, rate: float, numbered: Numbered) -> None:
        self.numbered = numbered
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self.refused: list[Outcome] = []
        self.durations = array("f")
        self.started: Counter[int] = Counter()
        """How many requests were sent in each second of the monotonic clock."""
        command = [native.program("replay"), str(port), str(CONNECTIONS // 2), "pong", f"{rate:.1f}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.segments: queue.Queue[list[Request] | None] = queue.Queue(maxsize=SEGMENTS_AHEAD)
        self.threads = [threading.Thread(target=self._write), threading.Thread(target=self._read)]
        for thread in self.threads:
            thread.start()
        self.ends_at = float("inf")

    def _write(self) -> None:
        assert self.process.stdin
        while segment := self.segments.get():
            for at in range(0, len(segment), 100):
                if time.monotonic() > self.ends_at:
                    continue
                self.process.stdin.write(b"".join(request.record() for request in segment[at : at + 100]))
                self.process.stdin.flush()
        self.process.stdin.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            outcome = Outcome.of(line.decode().rstrip("\n"))
            kind = self.numbered.kind(outcome.id)
            self.counts[kind, outcome.status, outcome.word] += 1
            self.started[int(outcome.start)] += 1
            if kind in GOOD:
                self.durations.append(outcome.duration)
                if not outcome.is_success:
                    self.refused.append(outcome)

    def end(self) -> None:
        self.segments.put(None)
        for thread in self.threads:
            thread.join()
        self.process.wait()


def feed(
    traffic: Traffic, streams: list[Stream], counts: tuple[int, int], until: float, ready: list[Segment]
) -> None:
    """Hands over segments, those that are ready and ones made meanwhile, until a time of the monotonic clock."""
    for stream in streams:
        stream.ends_at = until
    while time.monotonic() < until:
        segment = ready.pop(0) if ready else traffic.segment(*counts)
        for stream, requests in zip(streams, segment, strict=True):
            # A queue may stay full until the end.
            while time.monotonic() < until:
                with suppress(queue.Full):
                    stream.segments.put(requests, timeout=0.1)
                    break


def highest_rates(traffic: Traffic, ports: tuple[int, int]) -> tuple[float, float]:
    """Requests a second at both places at once, as fast as answers come, while more are made ready."""
    ready = [traffic.segment(*PROBE_SEGMENT) for _ in range(2)]
    streams = [Stream(port, 0, traffic.numbered) for port in ports]
    began = time.monotonic()
    feed(traffic, streams, PROBE_SEGMENT, began + PROBE_SECONDS, ready)
    for stream in streams:
        stream.end()
    # The whole seconds within, but for the first, in which connections open.
    seconds = range(int(began) + 2, int(began + PROBE_SECONDS))
    ingress, egress = (sum(stream.started[second] for second in seconds) / len(seconds) for stream in streams)
    return ingress, egress


def plan() -> Iterator[tuple[float, str]]:
    """When which part is killed: evenly, the authorization service's kills among the runtime's."""
    total = RUNTIME_KILLS + AUTHORIZE_KILLS
    authorize = {round((i + 0.5) * total / AUTHORIZE_KILLS) for i in range(AUTHORIZE_KILLS)} if AUTHORIZE_KILLS else set()
    for index in range(total):
        yield (index + 1) * SECONDS / (total + 1), "authorize" if index in authorize else "runtime"


def test_adapter(stack: Stack, adapter: str, server_log: Path) -> Json:
    numbered = Numbered()
    ports = (stack.ports[f"bank-{adapter}"], stack.ports[f"agent-{adapter}->bank"])
    killer = Killer(stack, lambda: False)
    traffic = Traffic(stack, adapter, numbered, killer)

    def probe() -> bool:
        """A session begins, an exchange is made, and a request passes: every part did its work."""
        try:
            session = traffic.delivered()
            traffic.pass_through(traffic.listing("preparation", session, traffic.token(session)))
        except (httpx.HTTPError, RuntimeError):
            return False
        return True

    killer.probe = probe
    time.sleep(HEARD_SECONDS)
    highest = highest_rates(traffic, ports)
    rates = tuple(SHARE * rate for rate in highest)
    counts = tuple(int(rate * SEGMENT_SECONDS) + 1 for rate in rates)
    ready = [traffic.segment(*counts) for _ in range(SEGMENTS_AHEAD)]
    streams = [Stream(port, rate, numbered) for port, rate in zip(ports, rates, strict=True)]
    began = time.monotonic()

    failure: list[BaseException] = []

    def kill_by_plan() -> None:
        try:
            for at, part in plan():
                time.sleep(max(0, began + at - time.monotonic()))
                killer.kill(part)
        except BaseException as error:
            failure.append(error)

    killing = threading.Thread(target=kill_by_plan)
    killing.start()
    feed(traffic, streams, counts, began + SECONDS, ready)
    killing.join()
    for stream in streams:
        stream.end()
    if failure:
        raise failure[0]
    time.sleep(0.2)
    return report(adapter, numbered, killer, streams, highest, server_log, began)


def report(
    adapter: str, numbered: Numbered, killer: Killer, streams: list[Stream], highest: tuple[float, float], log: Path,
    began: float,
) -> Json:  # fmt: skip
    reached: Counter[int] = Counter()
    for line in log.read_text().splitlines():
        identifier = line.rsplit(" ", 1)[-1]
        if identifier.isdigit() and int(identifier) >= FIRST:
            reached[int(identifier)] += 1
    wrong: Counter[str] = Counter()
    for number, times in reached.items():
        kind = numbered.kind(number)
        if kind in BAD_INGRESS or kind in BAD_EGRESS:
            wrong[kind] += 1
        elif times > 1 and kind != "preparation":
            wrong[f"{kind}, carried out {times} times"] += 1
    for second, first in numbered.partner.items():
        if reached[first] and reached[second]:
            wrong["both calls of one selection"] += 1
    counts: Counter[tuple[str, int, str]] = sum((stream.counts for stream in streams), Counter())
    for (kind, status, word), count in counts.items():
        if (kind in BAD_INGRESS or kind in BAD_EGRESS) and status == 200:
            wrong[f"{kind}, answered 200 {word}"] += count
    refused = [outcome for stream in streams for outcome in stream.refused]

    def within(outcome: Outcome) -> bool:
        return any(outcome.start < window.end and outcome.end > window.begin for window in killer.windows)

    outside = [outcome for outcome in refused if not within(outcome)]
    quiet = [
        second for second in range(int(began) + 1, int(began + SECONDS))
        if not any(second < window.end and second + 1 > window.begin for window in killer.windows)
    ]  # fmt: skip
    shares = [
        sum(stream.started[second] for second in quiet) / max(1, len(quiet)) / rate
        for stream, rate in zip(streams, highest, strict=True)
    ]
    sent: Counter[str] = Counter()
    for (kind, _, _), count in counts.items():
        sent[kind] += count
    durations = sorted(value for stream in streams for value in stream.durations)
    seconds = SECONDS
    return {
        "adapter": adapter,
        "seconds": seconds,
        "connections": CONNECTIONS,
        "highestPerSecond": {"ingress": round(highest[0], 1), "egress": round(highest[1], 1)},
        "share": SHARE,
        "shareSent": {"ingress": round(shares[0], 3), "egress": round(shares[1], 3)},
        "sentPerSecond": round(sum(sent.values()) / seconds, 1),
        "sent": dict(sorted(sent.items())),
        "reachedTheServer": dict(sorted(Counter(numbered.kind(number) for number in reached).items())),
        "wronglyAllowed": dict(wrong),
        "goodRefused": len(refused),
        "goodRefusedOutsideWindows": len(outside),
        "goodRefusedBy": {
            f"{kind} {status} {word}": count
            for (kind, status, word), count in sorted(counts.items())
            if kind in GOOD and (status, word) != (200, "ok")
        },
        "outsideAt": [
            f"{outcome.start - began:.2f} s, {outcome.duration * 1000:.0f} ms: {outcome.status} {outcome.word}"
            for outcome in outside[:20]
        ],
        "p50Ms": round(durations[len(durations) // 2] * 1000, 3) if durations else None,
        "p99Ms": round(durations[len(durations) * 99 // 100] * 1000, 3) if durations else None,
        "windows": [
            {
                "killed": window.part, "at": round(window.begin - began, 2),
                "seconds": round(window.end - window.begin, 2),
                "goodRefused": sum(
                    outcome.start < window.end and outcome.end > window.begin for outcome in refused
                ),
            }
            for window in killer.windows
        ],
    }  # fmt: skip


def shortfalls(found: Json) -> list[str]:
    """What did not hold, in words."""
    words: list[str] = []
    if found["wronglyAllowed"]:
        words.append(f"wrongly allowed: {found['wronglyAllowed']}")
    if found["goodRefusedOutsideWindows"]:
        words.append(f"{found['goodRefusedOutsideWindows']} good requests refused outside the windows")
    for where, share in found["shareSent"].items():
        if share < LEAST_OF_RATE * found["share"]:
            words.append(f"{where}: sent at {share:.0%} of the highest rate, not at {found['share']:.0%}")
    longest = max((window["seconds"] for window in found["windows"]), default=0)
    if longest > LONGEST_WINDOW_SECONDS:
        words.append(f"a window of {longest} s, where {LONGEST_WINDOW_SECONDS} s are the longest allowed")
    return words


def main(adapters: list[str]) -> int:
    results: list[Json] = []
    for adapter in adapters or accepted_adapters():
        with tempfile.TemporaryDirectory(prefix="casa-load-") as name:
            folder = Path(name)
            (upstream,) = free_ports(1)
            server = native.start_server(upstream, folder / "server.log")
            try:
                wait_until(lambda: answers(f"http://127.0.0.1:{upstream}/"), "the server answers")
                with running_stack(folder / "stack", upstream, [adapter]) as stack:
                    results.append(test_adapter(stack, adapter, folder / "server.log"))
            finally:
                server.kill()
                server.wait()
        print(json.dumps(results[-1], indent=2), flush=True)
    output = Path(os.environ.get("LOAD_RESULTS", RESULTS))
    kept = {each["adapter"]: each for each in (json.loads(output.read_text()) if output.exists() else [])}
    output.write_text(json.dumps(list({**kept, **{each["adapter"]: each for each in results}}.values()), indent=2) + "\n")
    for found in results:
        words = shortfalls(found)
        outcome = f"DID NOT HOLD: {'; '.join(words)}" if words else "held"
        print(
            f"{found['adapter']}: {outcome}; {sum(found['sent'].values())} requests sent, "
            f"{found['goodRefused']} good ones refused"
        )
    return 1 if any(map(shortfalls, results)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
