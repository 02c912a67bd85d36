"""Attack 37: a part that hangs or dies opens nothing."""

from __future__ import annotations

import httpx
import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, Revocation, attack, attacks
from casa_runtime import wait_until
from casa_stack import Stack, Stolen, steal, tool_call


@pytest.fixture(autouse=True)
def undisturbed(revocation: Revocation) -> None:
    """What the revoked session's end needs of the parts is over before any is disturbed."""
    revocation.settle()


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
