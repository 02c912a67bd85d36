"""Agents that hand no trace context on: each call is found to belong to the session whose content it carries."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import httpx
from casa_runtime import BINARY, Json, canonical_sha256, wait_until
from casa_stack import initialize, message_send, new_traceparent
from client_stack import ClientStack

SESSIONS = 200
AT_WORK = SESSIONS if "release" in BINARY.parts else 40
"""All sessions stay live to the end. Of a build for debugging two cores can't begin 200 at the same moment: its runtime
answers some only after the 3 s that sidecars wait for it, and they are refused (`runtime_unavailable`)."""
IBAN = "IT60X0542811101000000123456"


def prompt(number: int, run: str) -> str:
    return f'Transfer {number} EUR for "session {number} of {run}" to {IBAN}'


def arguments(number: int, run: str) -> Json:
    return {"recipient_iban": IBAN, "amount": number, "currency": "EUR", "subject": f"session {number} of {run}"}


async def ask_all(stack: ClientStack, run: str, parents: dict[int, str]) -> dict[int, str]:
    """Asks the assistant for all at once; its answers' words."""
    limits = httpx.Limits(max_connections=None)
    at_work = asyncio.Semaphore(AT_WORK)
    async with httpx.AsyncClient(timeout=240, limits=limits, trust_env=False) as http:

        async def ask(number: int) -> tuple[int, str]:
            headers, body = {"traceparent": parents[number]}, message_send(prompt(number, run))
            async with at_work:
                answer = await http.post(stack.url("desk->assistant"), json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            return number, answer.json()["result"]["parts"][0]["text"]

        return dict(await asyncio.gather(*(ask(number) for number in parents)))


def test_two_hundred_live_sessions_never_mix(stack: ClientStack) -> None:
    run = new_traceparent()[3:11]
    parents = {number: new_traceparent() for number in range(1, SESSIONS + 1)}
    numbers = {parent[3:35]: number for number, parent in parents.items()}
    mark, before = stack.mark(), stack.ledger

    answers = asyncio.run(ask_all(stack, run, parents))

    failed = {number: words for number, words in answers.items() if f"session {number} of {run}" not in words}
    assert not failed, failed
    # The bank did what each prompt asked, once, and nothing else.
    executed = stack.ledger.executed[len(before.executed) :]
    assert stack.ledger.call_count == before.call_count + SESSIONS
    done = Counter(canonical_sha256(entry["arguments"] | {"amount": int(entry["arguments"]["amount"])}) for entry in executed)
    assert done == Counter(canonical_sha256(arguments(number, run)) for number in parents)
    assert {entry["name"] for entry in executed} == {"transfer_money"}

    # The trace: every tool call stands in the session of its prompt, with that prompt's values.
    def spent() -> list[Json] | None:
        found = [event for event in stack.events_after(mark) if event["kind"] == "token_spent"]
        return found if len(found) >= SESSIONS else None

    assert len(wait_until(spent, "every token was used up")) == SESSIONS
    events = stack.events_after(mark)
    exchanged = [e for e in events if e["kind"] == "token_exchanged" and e["payload"]["scope"] == "call-tools"]
    assert len(exchanged) == SESSIONS
    for event in exchanged:
        number = numbers[event["trace_id"]]
        assert event["payload"]["call"]["arguments_sha256"] == canonical_sha256(arguments(number, run)), event
    inputs = {event["trace_id"]: event["user_input_id"] for event in events if event["kind"] == "token_issued"}
    assert len({inputs[trace] for trace in numbers}) == SESSIONS
    for event in events:
        if event["kind"] in ("llm_call", "token_exchanged", "token_spent") and event["trace_id"] in numbers:
            assert event["user_input_id"] == inputs[event["trace_id"]], event
    refused = [event for event in events if "refused" in event["kind"] and event["trace_id"] in numbers]
    assert not refused, refused

    def correlations() -> set[str] | None:
        ways = {
            event["payload"].get("correlated_by")
            for event in stack.events_after(mark)
            if event["kind"] == "call_admitted"
            and event["app_id"] == stack.ids["assistant"]
            and event["payload"]["direction"] == "egress"
            and event["payload"].get("method") in ("tools/call", "chat/completions")
        }
        return ways or None

    assert wait_until(correlations, "the assistant's calls are in the trace") == {"content"}


def test_a_connection_of_no_session_is_opened_with_a_token_for_discovery(stack: ClientStack) -> None:
    for _ in range(2):
        stack.open(f"Good morning, {new_traceparent()}")
    mark = stack.mark()
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"accept": "application/json, text/event-stream"}
    answer = stack.http.post(stack.url("assistant->contacts"), json=initialize(), headers=headers)
    assert answer.status_code == 200, answer.text
    session = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    answer = stack.http.post(stack.url("assistant->contacts"), json=body, headers={**headers, **session})
    assert answer.status_code == 200 and "list_contacts" in answer.text

    def is_discovery(event: Json) -> bool:
        return event["app_id"] == stack.ids["assistant"] and event["payload"].get("scope") == "discover-tools"

    event = stack.wait_for_event(0, "a token for discovery", is_discovery)
    assert event["kind"].startswith("token_") and event["user_input_id"] is None
    assert not [e for e in stack.events_after(mark) if "refused" in e["kind"]]


def test_a_call_that_no_session_selected_belongs_to_none(stack: ClientStack) -> None:
    stack.open(f"Good evening, {new_traceparent()}")
    before, mark = stack.ledger, stack.mark()
    call = {"name": "transfer_money", "arguments": arguments(999, "nothing")}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    answer = stack.http.post(
        stack.url("assistant->bank"), json=body, headers={"accept": "application/json, text/event-stream"}
    )
    assert answer.status_code == 403 and "trace_context_missing" in answer.text
    assert stack.ledger == before
    assert re.search("trace_context_missing", str(stack.wait_for_event(mark, "it", lambda e: e["kind"] == "call_refused")))
