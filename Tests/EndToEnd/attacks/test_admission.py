"""Attacks 40 and 41, had the cluster let them in: a system that names another's workload, and a pod without a sidecar.

What the controller and the injector say to them is in Tests/EndToEnd/kubernetes, what the kernel does with such a pod
in Tests/EndToEnd/node.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, attack, attacks, sha256
from casa_runtime import App, Json, token_of
from casa_stack import NO_RULE, Stack, Stolen, message_send, new_traceparent, steal, tool_call
from layer_alone import AttackPassed

CALL = tool_call(TRANSFER, TO_ATTACKER)


@pytest.fixture
def stolen(stack: Stack) -> Stolen:
    return steal(stack)


# Attack 40: another namespace's system names this one's workloads.


@dataclass
class Rival:
    """A system whose agent and server are said to be where this system's are."""

    client: App
    agent: App
    bank: App

    @property
    def t1(self) -> str:
        return self.client.t1(NO_RULE, audience="agent")


@pytest.fixture(scope="module")
def rival(stack: Stack) -> Rival:
    mas = stack.runtime.create_mas("rival", enabled_tool_checks=[], allow_undecided=True)
    client = stack.runtime.create_app(mas, "client", "client")
    agent = stack.runtime.create_app(mas, "agent", "agent", base_url=stack.url("agent"))
    return Rival(client, agent, stack.runtime.create_app(mas, "bank", "mcp_server", base_url=stack.url("bank")))


@attack(40, "the rival's user speaks to this system's agent")
def test_a_rival_s_token_opens_no_agent(stack: Stack, rival: Rival, attempt: Attempt) -> None:
    t1 = rival.t1
    headers = {"authorization": f"Bearer {t1}", "traceparent": new_traceparent()}
    answer = stack.http.post(stack.url("agent"), json=message_send(NO_RULE), headers=headers)
    attempt.refused_by_proxy(answer, "token_not_for_this_app", "agent", token_sha256=sha256(t1))


@attack(40, "the rival's agent calls this system's bank")
def test_a_rival_s_token_opens_no_server(stack: Stack, rival: Rival, attempt: Attempt) -> None:
    t1 = token_of(rival.agent.exchange(rival.t1, "user-input", audience="bank"))
    attempt.begin()
    answer = stack.call_bank(t1, CALL)
    attempt.refused_by_proxy(answer, "token_not_for_this_app", "bank", token_sha256=sha256(t1))


@attack(40, "the rival has this system's tools discovered as its own", at="proxy")
def test_a_rival_discovers_no_tools(stack: Stack, rival: Rival, attempt: Attempt) -> None:
    answer = stack.runtime.http.post(f"/apps/{rival.bank.id}/tools/discover", headers=stack.runtime.admin_headers)
    known = stack.runtime.admin("GET", f"/apps/{rival.bank.id}")
    if answer.status_code == 200 or known.get("tools"):
        raise AttackPassed("the rival's bank has this one's tools")
    attempt.event("call_refused", "bank", reason="token_not_for_this_app")
    attempt.refused("proxy", f"{answer.status_code}, and no tools; trace: call_refused of bank")


@attack(40, "the rival's namesakes use this system's tokens", at="runtime")
def test_a_namesake_is_somebody_else(stack: Stack, rival: Rival, stolen: Stolen, attempt: Attempt) -> None:
    t3 = stolen.t3(TRANSFER, TO_ATTACKER)
    attempt.begin()
    answer = rival.agent.exchange(stolen.t1, "llm-access")
    assert answer.status_code == 400 and answer.json()["reason"] == "token_not_for_this_app", answer.text
    answer = rival.bank.spend(t3)
    assert answer.status_code == 403 and answer.json()["reason"] == "token_inactive", answer.text
    for kind in ("token_exchanged", "token_spent"):
        attempt.assert_nothing(kind, stolen.trace_id)
    attempt.refused("runtime", "400 token_not_for_this_app, 403 token_inactive; trace: nothing exchanged or spent")


# Attack 41: a pod has no sidecar, so its app has neither a credential nor a token.


PLACES = {"the bank": "bank", "the agent": "agent", "the planner": "planner"}


@attacks(41, "place", PLACES, "a pod without a sidecar calls {}")
def test_without_a_sidecar_no_app_is_called(stack: Stack, attempt: Attempt, place: str) -> None:
    body = CALL if place == "bank" else message_send(NO_RULE)
    answer = stack.http.post(stack.url(place), json=body, headers={"traceparent": new_traceparent()})
    attempt.refused_by_proxy(answer, "token_missing", place)


TOKENS: dict[str, dict[str, str]] = {
    "begins a session": {"grant_type": "client_credentials", "user_input": NO_RULE, "audience": "agent"},
    "exchanges a token": {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": "llm-access"},
}


@attacks(41, "form", TOKENS, "a pod without a sidecar {}", at="runtime")
def test_without_a_credential_there_is_no_token(stolen: Stolen, attempt: Attempt, form: dict[str, str]) -> None:
    kind = {"subject_token": stolen.t1, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    asked: Json = {**form, **(kind if "token-exchange" in form["grant_type"] else {})}
    attempt.begin()
    for name in (None, stolen.stack.ids["agent"], "agent"):
        answer = stolen.stack.runtime.http.post("/oauth/token", data={**asked, **({"client_id": name} if name else {})})
        assert answer.status_code == 401 and "access_token" not in answer.text, answer.text
    attempt.assert_nothing("token_issued")
    attempt.assert_nothing("token_exchanged", stolen.trace_id)
    attempt.refused("runtime", "3 x 401; trace: no token")
