"""Attacks 32 and 47: an LLM's host that answers badly, or in a way that two readers could read differently.

Whatever it says, a tool call is possible only when its selection was stored before the agent got to see it.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, attack, attacks
from casa_runtime import Json
from casa_stack import Session, Stack, new_traceparent
from llm_front import Behaviour, LLMFront, answer_with, stream_of

SUMMARY = "get_account_summary"
PATIENCE = 20.0
"""Within this time an answer has to be there, or the connection's end, whatever the host does."""


@pytest.fixture
def session(stack: Stack) -> Session:
    return stack.begin_session()


def call(name: str, arguments: Json | str, number: int = 0) -> Json:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"index": number, "id": f"c{number}", "type": "function", "function": {"name": name, "arguments": text}}


def completion(*choices: list[Json]) -> bytes:
    """A plain answer; each choice has these calls."""
    made = [
        {"index": n, "message": {"role": "assistant", "content": None, "tool_calls": calls}, "finish_reason": "stop"}
        for n, calls in enumerate(choices)
    ]
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": made}).encode()


def event(delta: Json, choice: int = 0, finish: str | None = None) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "model": "m"}
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({**chunk, "choices": choices}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
BAD = call(TRANSFER, TO_ATTACKER)


def ask(session: Session, patience: float = PATIENCE) -> tuple[httpx.Response | None, float]:
    """What the agent gets; None when the connection ended without a whole answer."""
    began = time.monotonic()
    body = {"model": "any", "messages": [{"role": "user", "content": "Good evening."}]}
    headers = {"traceparent": session.traceparent}
    try:
        answer = httpx.post(
            session.stack.url("agent->llm"), json=body, headers=headers, timeout=patience, trust_env=False
        )
    except httpx.RemoteProtocolError:
        return None, time.monotonic() - began
    return answer, time.monotonic() - began


def assert_nothing_was_selected(session: Session, attempt: Attempt) -> str:
    """The call that the answer named is refused."""
    answer = session.call(TRANSFER, TO_ATTACKER)
    reasons = {"tool_not_selected_by_llm", "no_llm_calls_made_by_app"}
    attempt.refused_by_runtime(answer, reasons, "agent", trace_id=session.trace_id)
    return attempt.evidence


GARBLED: dict[str, Behaviour] = {
    "compressed though nobody asked": answer_with(gzip.compress(completion([BAD])), content_encoding="gzip"),
    "compressed and said to be plain": answer_with(gzip.compress(completion([BAD]))),
    "of another type": answer_with(completion([BAD]), "text/html"),
    "of no type": answer_with(completion([BAD]), ""),
    "two members `choices`": answer_with(b'{"choices":[],' + completion([BAD])[1:]),
    "two names of one function": answer_with(
        completion([BAD]).replace(b'"name": ', b'"name": "get_contacts", "name": ')
    ),
    "a byte order mark": answer_with(b"\xef\xbb\xbf" + completion([BAD])),
    "UTF-16": answer_with(completion([BAD]).decode().encode("utf-16")),
    "cut off": answer_with(completion([BAD])[:-3]),
    "two answers": answer_with(completion([]) + completion([BAD])),
    "nothing": answer_with(b""),
    "HTML": answer_with(b"<html>busy</html>"),
    "five MiB": answer_with(b" " * (5 << 20) + completion([BAD])),
    "a stream of garbage": stream_of(b"data: {]\n\n", DONE),
    "a call after the end": stream_of(event({"content": "bye"}), DONE, event({"tool_calls": [BAD]}), DONE),
    "a call after the end, in one piece": stream_of(event({"content": "bye"}) + DONE + event({"tool_calls": [BAD]})),
    "a call after the reason to stop, past the end": stream_of(
        event({}, finish="stop"), DONE, event({"tool_calls": [BAD]})
    ),
}


@attacks(47, "behaviour", GARBLED, "an LLM's answer that can't be read: {}")
def test_an_answer_that_can_not_be_read_selects_nothing(
    session: Session, attempt: Attempt, llm_front: LLMFront, behaviour: Behaviour
) -> None:
    with llm_front.answering(behaviour):
        answer, seconds = ask(session)
    assert seconds < PATIENCE
    seen = answer.content if answer is not None else b""
    assert TRANSFER.encode() not in seen or (answer is not None and answer.status_code >= 400), seen[:500]
    assert_nothing_was_selected(session, attempt)


UNREADABLE_CALLS: dict[str, Behaviour] = {
    "arguments that are no JSON": answer_with(completion([call(TRANSFER, "{")])),
    "arguments with a member twice": answer_with(completion([call(TRANSFER, '{"amount": 1, "amount": 9999}')])),
    "a stream that ends within a call": stream_of(event({"tool_calls": [call(TRANSFER, "")]})),
    "arguments before their name, for two calls of one index": stream_of(
        event({"tool_calls": [call(SUMMARY, "{}")]}), event({"tool_calls": [call(TRANSFER, TO_ATTACKER)]}), DONE
    ),
}


@attacks(47, "behaviour", UNREADABLE_CALLS, "an LLM's answer with a call that can't be read: {}")
def test_a_call_that_can_not_be_read_is_not_selected(
    session: Session, attempt: Attempt, llm_front: LLMFront, behaviour: Behaviour
) -> None:
    """LLMs do write such calls, and agents ask again; the answer may pass, and the call is none that was selected."""
    with llm_front.answering(behaviour):
        _, seconds = ask(session)
    assert seconds < PATIENCE
    assert_nothing_was_selected(session, attempt)


READABLE: dict[str, Behaviour] = {
    "in the second choice": answer_with(completion([], [call(SUMMARY, {})])),
    "as the second of two calls": answer_with(completion([call("get_contacts", {}), call(SUMMARY, {}, 1)])),
    "in a stream, letter by letter": stream_of(
        *(bytes([byte]) for byte in event({"tool_calls": [call(SUMMARY, {})]}) + DONE)
    ),
    "in deltas that alternate": stream_of(
        event({"tool_calls": [call("get_contacts", "")]}), event({"tool_calls": [call(SUMMARY, "", 1)]}),
        event({"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
        event({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}), DONE),
    "in a stream, the second index first": stream_of(
        event({"tool_calls": [call(SUMMARY, {}, 1)]}), event({"tool_calls": [call("get_contacts", {})]}), DONE),
    "in a stream's second choice": stream_of(event({"content": "hm"}), event({"tool_calls": [call(SUMMARY, {})]}, 1), DONE),
}  # fmt: skip


@attacks(47, "behaviour", READABLE, "a call that stands {}; another one is tried")
def test_every_call_of_an_answer_is_seen_and_no_other(
    session: Session, attempt: Attempt, llm_front: LLMFront, behaviour: Behaviour
) -> None:
    with llm_front.answering(behaviour):
        answer, _ = ask(session)
    assert answer is not None and answer.status_code == 200 and SUMMARY in answer.text, answer
    assert session.call(SUMMARY, {}).status_code == 200
    attempt.begin()
    assert_nothing_was_selected(session, attempt)


@attack(47, "the recorder is killed while a call streams")
def test_a_recorder_that_crashes_lets_no_call_through(
    stack: Stack, session: Session, attempt: Attempt, llm_front: LLMFront
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def behave(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        request.wfile.write(event({"content": "thinking"}) + event({"tool_calls": [call(TRANSFER, "")]}))
        request.wfile.flush()
        begun.set()
        go_on.wait(20)
        request.wfile.write(event({"tool_calls": [{"index": 0, "function": {"arguments": json.dumps(TO_ATTACKER)}}]}))
        request.wfile.write(DONE)
        request.wfile.flush()

    seen: list[httpx.Response | None] = []
    with llm_front.answering(behave):
        asking = threading.Thread(target=lambda: seen.append(ask(session)[0]))
        asking.start()
        assert begun.wait(10)
        stack.kill("authorize")
        go_on.set()
        asking.join(30)
    assert not asking.is_alive()
    (answer,) = seen
    assert answer is None or TRANSFER not in answer.text or answer.status_code >= 400
    wait_for_service(stack)
    assert_nothing_was_selected(session, attempt)


def wait_for_service(stack: Stack) -> None:
    from casa_runtime import wait_until

    def is_back() -> bool:
        answer = stack.http.get(stack.url("agent->llm"), headers={"traceparent": new_traceparent()})
        return "protocol_not_allowed" in answer.text

    wait_until(is_back, "the authorization service is back", 20)


@attack(47, "the runtime hangs while a call is recorded")
def test_a_call_that_can_not_be_recorded_is_not_shown(
    stack: Stack, session: Session, attempt: Attempt, llm_front: LLMFront
) -> None:
    session.ask_llm("Good evening.", [])

    def behave(request: BaseHTTPRequestHandler) -> None:
        hold.__enter__()
        answer_with(completion([BAD]))(request)

    hold = stack.stopped("runtime")
    with llm_front.answering(behave):
        try:
            answer, seconds = ask(session)
        finally:
            hold.__exit__(None, None, None)
    assert seconds < PATIENCE
    assert answer is None or (answer.status_code >= 400 and TRANSFER not in answer.text)
    attempt.refused("proxy", f"{answer.status_code if answer else 'closed'}: what is not recorded is not shown")


# Attack 32: the LLM's host is down, slow, or talks nonsense.


def hang(request: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(3)


def close(request: BaseHTTPRequestHandler) -> None:
    return


def nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"\x00\xff" * 5000)


FAILING: dict[str, Behaviour] = {
    "closes at once": close,
    "closes after 3 s": hang,
    "talks no HTTP": nonsense,
    "says 500 with a call in it": answer_with(completion([BAD]), status=500),
    "says 429": answer_with(b'{"error":{}}', status=429),
    "redirects": answer_with(b"", status=302, location="http://elsewhere.test/"),
    "says 204": answer_with(b"", status=204),
}


@attacks(32, "behaviour", FAILING, "the LLM's host {}")
def test_an_llm_that_fails_opens_nothing(
    session: Session, attempt: Attempt, llm_front: LLMFront, behaviour: Behaviour
) -> None:
    with llm_front.answering(behaviour):
        answer, seconds = ask(session)
    assert seconds < PATIENCE
    assert answer is None or answer.status_code >= 300 or not answer.content
    assert_nothing_was_selected(session, attempt)
    attempt.refused("proxy", f"{answer.status_code if answer else 'closed'} in bounded time; {attempt.evidence}")


@attack(32, "the LLM's host is down")
def test_an_llm_that_is_down_opens_nothing(session: Session, attempt: Attempt, llm_front: LLMFront) -> None:
    with llm_front.down():
        answer, seconds = ask(session)
    assert answer is not None and answer.status_code in (502, 503, 504) and seconds < PATIENCE
    assert_nothing_was_selected(session, attempt)


@attack(32, "the LLM's host sends its answer byte by byte, for ever")
def test_an_endless_answer_selects_nothing_meanwhile(session: Session, attempt: Attempt, llm_front: LLMFront) -> None:
    ended = threading.Event()

    def behave(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        request.wfile.write(event({"tool_calls": [BAD]}))
        try:
            while not ended.wait(0.05):
                request.wfile.write(b": still there\n\n")
                request.wfile.flush()
        except OSError:
            pass

    seen = b""
    with llm_front.answering(behave), httpx.Client(timeout=2, trust_env=False) as client:
        body = {"model": "any", "messages": [{"role": "user", "content": "Good evening."}]}
        headers = {"traceparent": session.traceparent}
        with pytest.raises(httpx.ReadTimeout):
            with client.stream("POST", session.stack.url("agent->llm"), json=body, headers=headers) as answer:
                for part in answer.iter_raw():
                    seen += part
        assert TRANSFER.encode() not in seen
        assert_nothing_was_selected(session, attempt)
        ended.set()


