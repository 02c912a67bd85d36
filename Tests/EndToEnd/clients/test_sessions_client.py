"""What ends a client's session and what does not: revocation, a killed authorization service, other workloads."""

from __future__ import annotations

import time

import httpx
import pytest
from casa_runtime import Json, token_of
from casa_stack import Session, initialize, mcp_headers, message_send, new_traceparent, refusal_of
from client_stack import ClientStack

ACCEPT = {"accept": "application/json, text/event-stream"}
LEGACY = "2025-11-25"


LISTING: Json = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def list_tools(session: Session, app: str = "assistant", server: str = "bank") -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}}}  # fmt: skip
    headers = {**mcp_headers("tools/list"), "traceparent": session.traceparent}
    return session.stack.http.post(session.stack.url(f"{app}->{server}"), json=body, headers=headers)


def test_a_revoked_session_ends_within_a_second(stack: ClientStack) -> None:
    """Listings and LLM calls that passed a moment before, so that whatever is remembered of them is fresh."""
    client, parent = stack.app("desk"), new_traceparent()
    issued = client.issue("Good morning.", audience="assistant", traceparent=parent)
    t1 = token_of(issued)
    headers = {"authorization": f"Bearer {t1}", "traceparent": parent}
    answer = stack.http.post(stack.url("assistant"), json=message_send("Good morning."), headers=headers)
    assert answer.status_code == 200, answer.text
    session = Session(stack, parent)
    ways = {"a listing": lambda: list_tools(session), "the LLM": lambda: session.ask_llm("Go on.", [], "assistant")}
    for name, act in ways.items():
        for _ in range(3):
            assert act().status_code == 200, name
    assert client.revoke(t1).status_code == 200
    began, ended = time.monotonic(), dict[str, float]()
    while len(ended) < len(ways) and time.monotonic() - began < 10:
        for name, act in ways.items():
            if name in ended:
                continue
            try:
                answer = act()
            except httpx.TransportError:
                # Cut off while it was answered: it was let through.
                continue
            if answer.status_code == 403:
                assert refusal_of(answer) == "token_inactive"
                ended[name] = time.monotonic() - began
    assert set(ended) == set(ways) and max(ended.values()) < 2, ended


@pytest.mark.parametrize("kind", ["an agent's", "a client's"])
def test_sessions_outlive_the_authorization_service(stack: ClientStack, kind: str) -> None:
    """Killed and started again it holds no token, and the runtime gives back those of delivered sessions."""
    session = stack.open(f"Good morning, {new_traceparent()}")
    assert list_tools(session).status_code == 200
    traceparent, words = new_traceparent(), f"Note: {new_traceparent()}"
    headers = {"traceparent": traceparent}
    url = stack.url("desk->secretary")
    made = stack.http.post(url, json=message_send(words), headers=headers)
    assert made.status_code == 200, made.text
    task = made.json()["result"]["id"]
    stack.restart_authorization()
    if kind == "an agent's":
        answer = list_tools(session)
        assert answer.status_code == 200, answer.text
        arguments = session.select("What is my balance?", "get_account_summary", "assistant")
        assert session.call("get_account_summary", arguments, "assistant").status_code == 200
    else:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": task}}
        answer = stack.http.post(url, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["id"] == task


@pytest.fixture
def opened(stack: ClientStack) -> tuple[Session, dict[str, str]]:
    """A session in which the assistant opened one at the bank."""
    session = stack.open(f"Good morning, {new_traceparent()}")
    headers = {**ACCEPT, "traceparent": session.traceparent}
    answer = stack.http.post(stack.url("assistant->bank"), json=initialize(), headers=headers)
    assert answer.status_code == 200, answer.text
    fields = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
    answer = stack.http.post(stack.url("assistant->bank"), json=LISTING, headers={**headers, **fields})
    assert answer.status_code == 200, answer.text
    return session, fields


def streams_and_ends(stack: ClientStack, before: int) -> list[Json]:
    """Requests of these tests that reached the bank since: of POSTs the runtime makes some of its own."""
    found = stack.bank_requests_after(before)
    return [request for request in found if request["method"] != "POST" and request["forwarded"]]


@pytest.mark.attack(24, "another workload's session, by its id", layer="proxy")
def test_another_workload_can_not_use_an_mcp_session(stack: ClientStack, opened: tuple[Session, dict[str, str]]) -> None:
    """The agent knows the id of the assistant's session at the bank, and has a token of its own for the bank."""
    _, fields = opened
    other = stack.begin_session()
    mark, before = stack.mark(), stack.bank_request_count
    headers = {**ACCEPT, **fields, "traceparent": other.traceparent}
    answers = [
        stack.http.post(stack.url("agent->bank"), json=LISTING, headers=headers),
        stack.http.get(stack.url("agent->bank"), headers={**headers, "accept": "text/event-stream"}),
        stack.http.get(stack.url("agent->bank"), headers={**headers, "last-event-id": "1"}),
        stack.http.delete(stack.url("agent->bank"), headers=headers),
    ]
    assert [(answer.status_code, refusal_of(answer)) for answer in answers] == [(403, "session_unknown")] * 4
    event = stack.wait_for_event(mark, "the refusal", lambda e: e["payload"].get("reason") == "session_unknown")
    assert event["app_id"] == stack.ids["bank"]
    assert not streams_and_ends(stack, before)


def test_its_own_workload_goes_on_in_it(stack: ClientStack, opened: tuple[Session, dict[str, str]]) -> None:
    session, fields = opened
    headers = {**ACCEPT, **fields, "traceparent": session.traceparent}
    assert stack.http.post(stack.url("assistant->bank"), json=LISTING, headers=headers).status_code == 200
    assert stack.http.delete(stack.url("assistant->bank"), headers=headers).status_code == 200


@pytest.mark.attack(24, "a stream resumed without a session of one's own", layer="proxy")
@pytest.mark.parametrize("fields", [{}, {"mcp-session-id": "f" * 32}], ids=["without a session", "of an unknown one"])
def test_a_stream_is_resumed_only_in_a_session_of_one_s_own(stack: ClientStack, fields: dict[str, str]) -> None:
    session = stack.open(f"Good morning, {new_traceparent()}")
    headers = {"accept": "text/event-stream", "last-event-id": "1", "traceparent": session.traceparent, **fields}
    before = stack.bank_request_count
    answer = stack.http.get(stack.url("assistant->bank"), headers=headers)
    assert (answer.status_code, refusal_of(answer)) == (403, "session_unknown")
    assert not streams_and_ends(stack, before)
