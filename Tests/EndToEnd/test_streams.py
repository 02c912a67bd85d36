"""Answers that come bit by bit pass bit by bit, through real Envoys by each adapter.

The server sends an event only when its client has the one before, so one that is held back is never followed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest
from casa_runtime import Json, free_port
from casa_stack import Apps, Endpoints, Stack, adapters, mcp_headers, steal, tool_call
from llm_front import LLMFront

COUNT = 5
CONTACTS = "get_contacts"
BALANCE = "get_account_summary"


@dataclass(frozen=True)
class Fronts:
    """What stands before the bank and the LLM."""

    bank: LLMFront = field(default_factory=lambda: LLMFront(free_port(), free_port()))
    llm: LLMFront = field(default_factory=lambda: LLMFront(free_port(), free_port()))


@pytest.fixture(scope="module")
def fronts() -> Iterator[Fronts]:
    made = Fronts()
    yield made
    made.bank.close()
    made.llm.close()


@pytest.fixture(scope="module")
def apps(fronts: Fronts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    endpoints = Endpoints(bank_app=fronts.bank.port, llm_app=fronts.llm.port)
    made = Apps(tmp_path_factory.mktemp("streams"), endpoints)
    yield made
    made.end()


@pytest.fixture(scope="module", params=adapters())
def stack(
    request: pytest.FixtureRequest, fronts: Fronts, apps: Apps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    made = Stack(
        tmp_path_factory.mktemp(f"streams-{request.param}"),
        adapter=request.param,
        bank_port=fronts.bank.upstream,
        llm_port=fronts.llm.upstream,
        endpoints=apps.endpoints,
        apps=apps,
    )
    with made.running():
        yield made


@dataclass
class Dialogue:
    """Events of a server that waits after each until its client has it."""

    events: list[bytes]
    has: list[threading.Event] = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.has = [threading.Event() for _ in self.events]

    def behave(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        for event, has in zip(self.events, self.has, strict=True):
            self.sent += 1
            request.wfile.write(event)
            request.wfile.flush()
            if not has.wait(5):
                return

    def listen(self, front: LLMFront, stack: Stack, url: str, body: Json, headers: dict[str, str]) -> None:
        """Asks, and asserts that each event comes before the next one is sent."""
        seen = ""
        with front.answering(self.behave), stack.http.stream("POST", url, json=body, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            for part in answer.iter_text():
                seen += part
                for number, has in enumerate(self.has):
                    if f"<{number}>" in seen and not has.is_set():
                        assert self.sent == number + 1
                        has.set()
        missing = [number for number, has in enumerate(self.has) if not has.is_set()]
        assert not missing, f"held back; of {self.sent} that were sent there came: {seen}"


def server_events() -> list[bytes]:
    """Notifications, and in the end the tool's answer."""
    progress = {"jsonrpc": "2.0", "method": "notifications/progress"}
    messages: list[Json] = [
        {**progress, "params": {"progressToken": 1, "progress": number, "message": f"<{number}>"}}
        for number in range(COUNT - 1)
    ]
    messages.append({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": f"<{COUNT - 1}>"}]}})
    return [b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n" for message in messages]


def llm_events() -> list[bytes]:
    chunk = {"id": "x", "object": "chat.completion.chunk", "model": "m"}
    deltas = [{"index": 0, "delta": {"content": f"<{number}>"}, "finish_reason": None} for number in range(COUNT)]
    return [b"data: " + json.dumps({**chunk, "choices": [delta]}).encode() + b"\n\n" for delta in deltas]


def test_a_server_s_stream_passes_its_own_sidecar(stack: Stack, fronts: Fronts) -> None:
    token = steal(stack).t3(CONTACTS, {})
    headers = {**mcp_headers("tools/call", CONTACTS), "authorization": f"Bearer {token}"}
    Dialogue(server_events()).listen(fronts.bank, stack, stack.url("bank"), tool_call(CONTACTS, {}), headers)


def test_a_server_s_stream_passes_both_sidecars(stack: Stack, fronts: Fronts) -> None:
    session = stack.begin_session()
    arguments = session.select("What is my balance?", BALANCE)
    headers = {**mcp_headers("tools/call", BALANCE), "traceparent": session.traceparent}
    call = tool_call(BALANCE, arguments)
    Dialogue(server_events()).listen(fronts.bank, stack, stack.url("agent->bank"), call, headers)


def test_an_llm_s_stream_passes_on_the_way_back(stack: Stack, fronts: Fronts) -> None:
    session = stack.begin_session()
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": "Good evening."}]}
    headers = {"traceparent": session.traceparent}
    Dialogue(llm_events()).listen(fronts.llm, stack, stack.url("agent->llm"), body, headers)
