"""Istio mode for real, as far as one machine goes: the rendered filters in real Envoys, and a real `casa authorize`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from casa_stack import Session, Stack, mcp_headers, message_send, new_traceparent, refusal_of, tool_call
from mesh import Mesh
from rendering import one

Json = dict[str, Any]
PAY = 'Transfer 25 EUR for "dinner" to IT60X0542811101000000123456'
TRANSFER = "transfer_money"
REFUSED = (403, 500)
"""Outbound, a refusal of Envoy's own is answered with 500 where ext_proc can't ask about it."""
OTHER_IBAN = "DE89370400440532013000"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("istio") / "up")
    with stack.running():
        yield stack


@pytest.fixture(scope="module")
def mesh(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(stack, tmp_path_factory.mktemp("mesh")).running() as mesh:
        yield mesh


def select(mesh: Mesh, session: Session) -> Json:
    """The LLM's one call for the prompt, recorded on its way back."""
    answer = mesh.ask_llm(PAY, TRANSFER, session.traceparent)
    assert answer.status_code == 200, answer.text
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    arguments: Json = json.loads(call["function"]["arguments"])
    return arguments


@pytest.mark.parametrize("host", ["bank:8101", "bank.bank.svc:8101", "BANK.bank.svc.cluster.local:8101"])
def test_a_call_that_the_llm_selected_passes_by_whatever_name(stack: Stack, mesh: Mesh, host: str) -> None:
    session = stack.begin_session()
    arguments = select(mesh, session)
    before = stack.ledger
    answer = mesh.call(TRANSFER, arguments, session.traceparent, host)
    assert answer.status_code == 200, answer.text
    assert stack.ledger.balance == before.balance - arguments["amount"]


def test_no_header_of_ours_reaches_a_server(stack: Stack, mesh: Mesh) -> None:
    session = stack.begin_session()
    select(mesh, session)
    fields = stack.llm_requests[-1]
    assert not [name for name in fields if name.startswith("x-casa")]
    assert "traceparent" not in fields


def test_other_arguments_than_the_llm_selected_are_refused(stack: Stack, mesh: Mesh) -> None:
    session = stack.begin_session()
    arguments = {**select(mesh, session), "recipient_iban": OTHER_IBAN}
    before = stack.ledger
    answer = mesh.call(TRANSFER, arguments, session.traceparent)
    assert answer.status_code == 403, answer.text
    assert stack.ledger.call_count == before.call_count


def test_a_call_is_good_once(stack: Stack, mesh: Mesh) -> None:
    session = stack.begin_session()
    arguments = select(mesh, session)
    assert mesh.call(TRANSFER, arguments, session.traceparent).status_code == 200
    again = mesh.call(TRANSFER, arguments, session.traceparent)
    assert again.status_code == 403, again.text


def test_a_call_that_no_llm_selected_is_refused(stack: Stack, mesh: Mesh) -> None:
    session = stack.begin_session()
    arguments = {"recipient_iban": OTHER_IBAN, "amount": 1, "currency": "EUR", "subject": "x"}
    answer = mesh.call(TRANSFER, arguments, session.traceparent)
    assert answer.status_code == 403, answer.text


def test_without_a_token_nothing_enters(stack: Stack, mesh: Mesh) -> None:
    before = stack.ledger
    body = tool_call(TRANSFER, {"recipient_iban": OTHER_IBAN, "amount": 1, "currency": "EUR", "subject": "x"})
    answer = mesh.http.post(
        f"http://127.0.0.1:{mesh.ports['bank']}/mcp", json=body, headers=mcp_headers("tools/call", TRANSFER)
    )
    assert answer.status_code == 403 and refusal_of(answer) == "token_missing", answer.text
    agent = mesh.http.post(f"http://127.0.0.1:{mesh.ports['agent']}/", json=message_send(PAY))
    assert agent.status_code == 403 and refusal_of(agent) == "token_missing", agent.text
    assert stack.ledger.call_count == before.call_count


@pytest.mark.parametrize("host", ["mail.post:25", "nobody.example", "bank:9999", "169.254.169.254"])
def test_a_host_that_the_policy_does_not_name_is_refused(stack: Stack, mesh: Mesh, host: str) -> None:
    """`mail.post:25` is one that this Envoy has a route for."""
    session = stack.begin_session()
    answer = mesh.http.post(
        f"http://127.0.0.1:{mesh.ports['agent->']}/mcp",
        json=tool_call(TRANSFER, {}),
        headers={**mcp_headers("tools/call", TRANSFER), "traceparent": session.traceparent, "host": host},
    )
    assert answer.status_code == 403 and refusal_of(answer) == "destination_not_allowed", answer.text


def test_a_listing_of_tools_is_read_on_its_way_back(stack: Stack, mesh: Mesh) -> None:
    session = stack.begin_session()
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": tool_call("x", {})["params"]}
    del body["params"]["name"], body["params"]["arguments"]
    answer = mesh.http.post(
        f"http://127.0.0.1:{mesh.ports['agent->']}/mcp",
        json=body,
        headers={**mcp_headers("tools/list"), "traceparent": session.traceparent, "host": "bank:8101"},
    )
    assert answer.status_code == 200, answer.text
    assert TRANSFER in answer.text
    # What is left of it may have another length than the server said.
    assert "content-length" not in answer.headers


def test_an_upgrade_is_refused(mesh: Mesh) -> None:
    answer = mesh.http.get(
        f"http://127.0.0.1:{mesh.ports['bank']}/mcp",
        headers={
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    )
    assert answer.status_code == 403 and refusal_of(answer) == "protocol_not_allowed", answer.text


@pytest.mark.parametrize("workload", ["agent", "bank"])
def test_what_is_not_http_is_closed(mesh: Mesh, workload: str) -> None:
    with socket.create_connection(("127.0.0.1", mesh.ports[f"{workload}-stream"]), 5) as connection:
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(100) == b""
        except ConnectionError:
            pass


def test_an_envoy_without_the_key_lets_nothing_pass(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Mesh(stack, tmp_path_factory.mktemp("keyless"), key_variable="ANOTHER_VARIABLE")
    with other.running() as mesh:
        before = stack.ledger
        assert mesh.call(TRANSFER, {}, new_traceparent()).status_code in REFUSED
        answer = mesh.http.post(f"http://127.0.0.1:{mesh.ports['bank']}/mcp", json=tool_call(TRANSFER, {}))
        assert answer.status_code == 403 and refusal_of(answer) == "caller_unknown", answer.text
        assert stack.ledger.call_count == before.call_count


def test_while_the_authorization_service_is_gone_nothing_passes(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Mesh(stack, tmp_path_factory.mktemp("gone")).running() as mesh:
        session = stack.begin_session()
        arguments = select(mesh, session)
        mesh.processes[0].end()
        before = stack.ledger
        assert mesh.call(TRANSFER, arguments, session.traceparent).status_code in REFUSED
        assert mesh.ask_llm(PAY, TRANSFER, session.traceparent).status_code in REFUSED
        assert stack.ledger.call_count == before.call_count


def test_the_authorization_service_takes_calls_by_mutual_tls_from_its_namespace_only() -> None:
    name = "casa-authorize-banking"
    assert one("istio", "PeerAuthentication", name)["spec"]["mtls"] == {"mode": "STRICT"}
    (rule,) = one("istio", "AuthorizationPolicy", name)["spec"]["rules"]
    assert rule["from"] == [{"source": {"namespaces": ["bank"]}}]
