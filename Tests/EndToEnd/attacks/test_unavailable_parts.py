"""Attack 37: a part that hangs or dies opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, attack, attacks
from casa_runtime import wait_until
from casa_stack import Stack, Stolen, refusal_of, steal, tool_call

pytestmark = pytest.mark.usefixtures("undisturbed")


@pytest.fixture
def stolen(stack: Stack) -> Stolen:
    return steal(stack)


def try_everything(stack: Stack, stolen: Stolen, t3: str) -> list[httpx.Response]:
    headers = {"traceparent": stolen.traceparent}
    return [
        stack.call_bank(t3, tool_call(TRANSFER, TO_ATTACKER)),
        stack.http.post(stack.url("agent->bank"), json=tool_call(TRANSFER, TO_ATTACKER), headers=headers),
    ]


@attacks(37, "command", {"the authorization service": "authorize", "the runtime": "runtime"}, "{} hangs")
def test_a_part_that_hangs_opens_nothing(
    stack: Stack, stolen: Stolen, attempt: Attempt, command: str
) -> None:
    t3 = stolen.t3(TRANSFER, TO_ATTACKER)
    attempt.begin()
    with stack.stopped(command):
        answers = try_everything(stack, stolen, t3)
        assert {answer.status_code for answer in answers} == {403}, answers
        attempt.assert_bank_untouched()
    attempt.assert_bank_untouched()
    attempt.refused("proxy", "2 x 403 in bounded time; nothing reached the bank, then or later")


@attack(37, "the sidecars' Envoys hang")
def test_an_envoy_that_hangs_opens_nothing(stack: Stack, stolen: Stolen, attempt: Attempt) -> None:
    t3 = stolen.t3("get_contacts", {})
    attempt.begin()
    with stack.stopped("envoy"):
        with httpx.Client(timeout=2) as impatient:
            for answer in (
                lambda: stack.call_bank(t3, tool_call(TRANSFER, TO_ATTACKER), client=impatient),
                lambda: impatient.post(
                    stack.url("agent->bank"),
                    json=tool_call(TRANSFER, TO_ATTACKER),
                    headers={"traceparent": stolen.traceparent},
                ),
            ):
                with pytest.raises(httpx.TimeoutException):
                    answer()
        attempt.assert_bank_untouched()
    # What waited in the sockets is decided about like anything else, in the order of its arrival.
    assert stack.call_bank(t3, tool_call(TRANSFER, TO_ATTACKER)).status_code == 403
    attempt.assert_bank_untouched()
    attempt.refused("proxy", "nothing is answered meanwhile; 403 afterwards; nothing reached the bank, then or later")


@attack(37, "the authorization service is killed")
def test_a_killed_authorization_service_opens_nothing(stack: Stack, stolen: Stolen, attempt: Attempt) -> None:
    t3 = stolen.t3("get_contacts", {})
    attempt.begin()
    stack.kill("authorize")
    answer = stack.call_bank(t3, tool_call(TRANSFER, TO_ATTACKER))
    assert answer.status_code == 403
    attempt.assert_bank_untouched()

    def is_back() -> bool:
        return stack.call_bank(t3, tool_call("get_contacts", {})).status_code == 200

    wait_until(is_back, "it is started again and lets the good call pass", 15)
    attempt.before = stack.ledger
    attempt.refused("proxy", "403; it was started again, and the good call passed")


INTROSPECTED_FOR = 30.0
"""So many seconds the authorization service goes by what the runtime said of a token."""


@contextmanager
def hanging(stack: Stack) -> Iterator[None]:
    """The runtime answers nothing, and its connections stay open."""
    with stack.stopped("runtime"):
        yield


@contextmanager
def killed(stack: Stack) -> Iterator[None]:
    """There is no runtime: what would start it again stands still too."""
    with stack.stopped("up"):
        stack.kill("runtime")
        yield


def list_tools(stack: Stack, token: str) -> httpx.Response:
    """A request that is decided about by its token alone."""
    meta = tool_call("", {})["params"]["_meta"]
    return stack.call_bank(token, {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})


@attacks(37, "gone", {"hangs": hanging, "is killed": killed}, "the runtime {}: tokens that are new and known")
def test_what_the_runtime_said_holds_for_its_time_and_no_longer(
    stack: Stack, stolen: Stolen, attempt: Attempt, gone: Callable[[Stack], AbstractContextManager[None]]
) -> None:
    known, new = stolen.t1_for("bank"), steal(stack).t1_for("bank")
    others = {command: set(stack.processes_of(command)) for command in ("authorize", "envoy")}
    assert list_tools(stack, known).status_code == 200
    attempt.begin()
    with gone(stack):
        assert list_tools(stack, known).status_code == 200
        refused = list_tools(stack, new)
        assert (refused.status_code, refusal_of(refused)) == (403, "runtime_unavailable")
        assert list_tools(stack, known).status_code == 200
        if gone is killed:  # Waited for once, since it is long.
            wait_until(lambda: list_tools(stack, known).status_code == 403, "its end", INTROSPECTED_FOR + 5)
            assert refusal_of(list_tools(stack, known)) == "runtime_unavailable"
        attempt.assert_bank_untouched()
    for token in (known, new):
        wait_until(lambda token=token: list_tools(stack, token).status_code == 200, "it passes again", 30)
    session = stack.begin_session()
    session.select("What is my balance?", "get_account_summary")
    assert session.call("get_account_summary", {}).status_code == 200
    assert {command: set(stack.processes_of(command)) for command in others} == others, "a part was started again"
    attempt.before = stack.ledger
    attempt.refused("proxy", "403 runtime_unavailable for a new token, and for a known one after its time")
