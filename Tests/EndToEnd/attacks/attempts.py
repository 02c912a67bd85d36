"""An attack under way: what was there before it, and what has to be there after it was refused."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest
from attack_table import AT
from casa_runtime import Json, token_of
from casa_stack import (
    NO_RULE,
    Ledger,
    Stack,
    mcp_headers,
    message_send,
    new_traceparent,
    refusal_of,
)

from layer_alone import LAYER, SAID_BY, AttackPassed, NotThisLayers

Case = TypeVar("Case")

TRANSFER = "transfer_money"
TO_ATTACKER: Json = {"recipient_iban": "DE02ATTACKER", "amount": 9999, "currency": "EUR", "subject": "Invoice"}


def attack(number: int, case: str, at: str | None = None) -> pytest.MarkDecorator:
    """Marks a test as one case of an attack of the list, which can be mounted `at` one layer only, or at any."""
    return pytest.mark.attack(number, case, at=at)


def attacks(
    number: int, name: str, cases: Mapping[str, Case], what: str = "{}", at: str | None = None
) -> pytest.MarkDecorator:
    """Runs a test once for each case of an attack."""
    made = [pytest.param(case, id=text, marks=attack(number, what.format(text), at)) for text, case in cases.items()]
    return pytest.mark.parametrize(name, made)


def reasons_in(data: bytes) -> list[str]:
    """The reasons of CASA's own refusals in what came back; nobody else's answer has any."""
    return [reason.decode() for reason in re.findall(rb'"reason": ?"(\w+)"', data)]


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass
class Attempt:
    """Asserts that an attack was refused, that the trace shows it, and that the bank did not notice."""

    stack: Stack
    layer: str = ""
    evidence: str = ""
    mark: int = field(init=False)
    before: Ledger = field(init=False)
    arrived_before: int = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The attack begins now; what came before was preparation."""
        self.mark = self.stack.mark()
        self.before = self.stack.ledger
        self.arrived_before = self.stack.bank_request_count

    def arrived(self) -> list[Json]:
        """What the bank's sidecar handed on to it since, of any method and path."""

        # Every minute the runtime asks for the list of tools, and names no tool.
        def is_discovery(request: Json) -> bool:
            return (request["method"], request["path"], request["tool"]) == ("POST", "/mcp", None)

        new = self.stack.bank_requests_after(self.arrived_before)
        return [request for request in new if request["forwarded"] and not is_discovery(request)]

    def assert_nothing_arrived(self) -> None:
        """Not even what the bank refuses by itself."""
        if arrived := self.arrived():
            raise AttackPassed(f"the bank got {arrived}")

    def assert_one_good_call(self, tool: str, arguments: Json) -> None:
        """One call that changes nothing reached the bank, under its own name; from now on it counts as made before."""
        arrived = self.arrived()
        authority = f"127.0.0.1:{self.stack.endpoints.bank_app}"
        good = {"method": "POST", "path": "/mcp", "host": authority, "tool": tool, "forwarded": True}
        assert arrived == [good], arrived
        assert self.stack.last_bank_call() == (tool, arguments)
        after = self.stack.ledger
        assert (after.call_count, after.executed) == (self.before.call_count + 1, self.before.executed)
        self.before = after

    def assert_bank_untouched(self) -> None:
        if self.stack.ledger != self.before:
            raise AttackPassed("the bank got a call")

    def refused(self, layer: str, evidence: str) -> None:
        """Says what refused the attack; the test has asserted it."""
        self.assert_bank_untouched()
        if LAYER and layer != LAYER:
            raise NotThisLayers(f"what refuses it is the {layer}")
        self.layer, self.evidence = layer, evidence

    def refused_by_proxy(self, answer: httpx.Response, reason: str | set[str], at: str, **payload: Any) -> Json:
        """The sidecar of `at` answered 403 for this reason, and the trace shows `call_refused`."""
        return self._refused(answer, {403}, reason, "proxy", "call_refused", at, payload)

    def refused_by_runtime(
        self, answer: httpx.Response, reason: str | set[str], by: str, kind: str = "exchange_refused", **payload: Any
    ) -> Json:
        """The runtime refused what `by` asked, itself or through its sidecar, and the trace shows it."""
        return self._refused(answer, {400, 403}, reason, "runtime", kind, by, payload)

    def _refused(
        self,
        answer: httpx.Response,
        statuses: set[int],
        reason: str | set[str],
        layer: str,
        kind: str,
        app: str,
        payload: Json,
    ) -> Json:
        if LAYER:
            return self._refused_by_one_layer(answer)
        assert answer.status_code in statuses, f"{answer.status_code} {answer.text}"
        assert "access_token" not in answer.text
        given = refusal_of(answer)
        assert given in ({reason} if isinstance(reason, str) else reason), answer.text
        event = self.event(kind, app, reason=given, **payload)
        self.refused(layer, f"{answer.status_code} {given}; trace: {kind} of {app}")
        return event

    def _refused_by_one_layer(self, answer: httpx.Response) -> Json:
        """With the other layers off it counts whether it was refused, not for which of several reasons."""
        at_runtime = answer.url.port == self.stack.endpoints.runtime
        if LAYER == "proxy" and at_runtime:
            raise NotThisLayers(AT["runtime"])
        if answer.status_code < 400 or "access_token" in answer.text:
            raise AttackPassed(f"{answer.status_code} {answer.text[:200]}")
        by_runtime = at_runtime or answer.headers.get(SAID_BY) == "runtime"
        if LAYER == "runtime" and not by_runtime:
            raise NotThisLayers("an app refused it that did not ask the runtime")
        self.refused(LAYER, f"{answer.status_code} {answer.text[:120]}")
        return {}

    def event(self, kind: str, app: str, trace_id: str | None = None, **payload: Any) -> Json:
        """The new event of this kind, waiting for it."""
        if LAYER == "runtime" and kind.startswith("call_"):
            # A sidecar tells of these.
            return {}

        def matches(event: Json) -> bool:
            return (
                event["kind"] == kind
                and event["app_id"] == self.stack.ids[app]
                and trace_id in (None, event["trace_id"])
                and all(event["payload"].get(name) == value for name, value in payload.items())
            )

        return self.stack.wait_for_event(self.mark, f"{kind} of {app} with {payload}", matches)

    def assert_nothing(self, kind: str, trace_id: str | None = None) -> None:
        """No new event of this kind; only of what the runtime stores before it answers."""
        found = [
            event
            for event in self.stack.events_after(self.mark)
            if event["kind"] == kind and trace_id in (None, event["trace_id"])
        ]
        assert not found, found


@dataclass
class Watched:
    """Something that is tried again and again until it is refused."""

    name: str
    act: Callable[[], httpx.Response]
    refused_after: float | None = None
    last: httpx.Response | None = None


class Revocation:
    """A session that was in full use when its T1 was revoked; its tokens are tried until all are refused."""

    DEADLINE = 35.0
    """One cache period of 30 s, and a margin."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.traceparent = new_traceparent()
        self.mark = stack.mark()
        self.watched: dict[str, Watched] = {}
        self.http = httpx.Client(timeout=20, trust_env=False)
        self.began = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    def begin(self) -> None:
        client = self.stack.app("client")
        issued = client.issue(NO_RULE, audience="agent", traceparent=self.traceparent)
        self.t1 = token_of(issued)
        self.watched = {w.name: w for w in (self._at_agent(), self._at_bank(), self._llm(), self._listing())}
        for watched in self.watched.values():
            answer = watched.act()
            assert answer.status_code == 200, f"{watched.name}: {answer.text}"
        assert client.revoke(self.t1).status_code == 200
        self.began = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.http.close()

    def wait(self, name: str) -> Watched:
        """Waits until this was refused, or its time is over."""
        watched = self.watched[name]
        while watched.refused_after is None and time.monotonic() - self.began < self.DEADLINE:
            time.sleep(0.1)
        return watched

    def settle(self) -> None:
        """Waits until everything was refused, or its time is over."""
        for name in self.watched:
            self.wait(name)

    def _at_agent(self) -> Watched:
        headers = {"authorization": f"Bearer {self.t1}", "traceparent": self.traceparent}
        url, body = self.stack.url("agent"), message_send(NO_RULE)
        return Watched("the T1 itself at the agent", lambda: self.http.post(url, json=body, headers=headers))

    def _at_bank(self) -> Watched:
        child = token_of(self.stack.app("agent").exchange(self.t1, "user-input", audience="bank"))
        headers = {**mcp_headers("tools/list"), "authorization": f"Bearer {child}"}
        return Watched("a T1 exchanged from it at the bank", self._lister("bank", headers))

    def _listing(self) -> Watched:
        headers = {**mcp_headers("tools/list"), "traceparent": self.traceparent}
        return Watched("the session through the agent's egress to the bank", self._lister("agent->bank", headers))

    def _lister(self, name: str, headers: dict[str, str]) -> Callable[[], httpx.Response]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        return lambda: self.http.post(self.stack.url(name), json=body, headers=headers)

    def _llm(self) -> Watched:
        body = {"model": "any", "messages": [{"role": "user", "content": NO_RULE}]}
        headers = {"traceparent": self.traceparent}
        url = self.stack.url("agent->llm")
        return Watched(
            "the session through the agent's egress to the LLM", lambda: self.http.post(url, json=body, headers=headers)
        )

    def _watch(self) -> None:
        while not self._stopped.is_set() and time.monotonic() - self.began < self.DEADLINE:
            open_ones = [watched for watched in self.watched.values() if watched.refused_after is None]
            if not open_ones:
                return
            for watched in open_ones:
                self._try(watched)
            self._stopped.wait(0.5)

    def _try(self, watched: Watched) -> None:
        try:
            answer = watched.act()
        except httpx.TransportError:
            # An answer of the LLM that was cut off is none; but the question was asked, so it counts as let through.
            return
        # A 403 for any other reason would say nothing of the revocation.
        if answer.status_code == 403 and "token_inactive" in answer.text:
            watched.last, watched.refused_after = answer, time.monotonic() - self.began
