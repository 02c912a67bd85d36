"""Unmodified programs without any proxy setting work behind interception, and only where they should."""

from __future__ import annotations

import json

import pytest
from casa_stack import message_send, new_traceparent
from pods import Bank

BALANCE = "What is my balance?"


def answer(done: object) -> tuple[int, dict[str, object]]:
    """What `Node.curl` printed."""
    body, _, status = done.stdout.rpartition("\n")  # type: ignore[attr-defined]
    return int(status), json.loads(body) if body.startswith("{") else {}


def send(pods: Bank, prompt: str, url: str = "http://agent.test:8000/") -> tuple[int, dict[str, object]]:
    """Asks the agent as the user's client does, with curl."""
    fields = ["-H", "content-type: application/json", "-H", f"traceparent: {new_traceparent()}"]
    return answer(pods["client"].curl(url, *fields, "-d", json.dumps(message_send(prompt))))


def test_curl_asks_the_agent_which_asks_llm_and_bank(pods: Bank) -> None:
    """curl, the official MCP client and server and the openai client, with nothing pointed at a proxy."""
    calls, asked = pods.ledger()["callCount"], len(pods.llm_requests())
    status, body = send(pods, BALANCE)
    assert status == 200, body
    made = body["result"]["metadata"]["toolCalls"]  # type: ignore[index]
    assert made and all(call["ok"] for call in made)
    assert pods.ledger()["callCount"] > calls
    assert len(pods.llm_requests()) > asked
    kinds = {event["kind"] for event in pods.runtime.events()}
    assert {"llm_call", "call_admitted"} <= kinds, kinds


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_curl_is_refused_at_any_other_host(pods: Bank, family: str) -> None:
    status, body = answer(pods["agent"].curl(family, "http://elsewhere.test/"))
    assert (status, body["reason"]) == (403, "destination_not_allowed")
    assert not pods.elsewhere.arrived(pods["agent"])


def test_both_families_lead_to_the_destination(pods: Bank) -> None:
    for family in ("-4", "-6"):
        fields = ["-H", "content-type: application/json", "-H", f"traceparent: {new_traceparent()}"]
        body = json.dumps(message_send(BALANCE))
        status, _ = answer(pods["client"].curl(family, "http://agent.test:8000/", *fields, "-d", body))
        assert status == 200


OPENAI = """
import json, sys, openai
client = openai.OpenAI(base_url="http://llm.test/v1", api_key="none", max_retries=0)
tool = {"type": "function", "function": {"name": "get_account_summary", "parameters": {}}}
headers = {"traceparent": sys.argv[1]} if len(sys.argv) > 1 else {}
try:
    answer = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "What is my balance?"}], tools=[tool], extra_headers=headers)
    print(json.dumps({"calls": [call.function.name for call in answer.choices[0].message.tool_calls]}))
except openai.APIStatusError as error:
    print(json.dumps({"status": error.status_code, "body": error.response.json()}))
"""

MCP = """
import asyncio, json, sys, httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    async with httpx2.AsyncClient(headers={"traceparent": sys.argv[1]}) as http:
        async with Client(streamable_http_client("http://bank.test:8000/mcp", http_client=http)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            called = await client.call_tool("get_account_summary", {})
            print(json.dumps({"tools": tools, "failed": bool(called.is_error)}))

asyncio.run(main())
"""


def test_openai_and_mcp_clients_work_in_a_session(pods: Bank) -> None:
    traceparent = new_traceparent()
    fields = ["-H", "content-type: application/json", "-H", f"traceparent: {traceparent}"]
    status, _ = answer(
        pods["client"].curl("http://agent.test:8000/", *fields, "-d", json.dumps(message_send("Good morning.")))
    )
    assert status == 200
    assert pods["agent"].python(OPENAI, traceparent) == {"calls": ["get_account_summary"]}
    calls = pods.ledger()["callCount"]
    seen = pods["agent"].python(MCP, traceparent)
    assert "get_account_summary" in seen["tools"] and not seen["failed"]
    assert pods.ledger()["callCount"] > calls


def test_the_llm_is_not_asked_outside_a_session(pods: Bank) -> None:
    asked = len(pods.llm_requests())
    refused = pods["agent"].python(OPENAI)
    # Its words are those of no session, or of several that began with the same.
    assert refused["status"] == 403
    assert refused["body"]["error"]["reason"] in {"trace_context_missing", "session_ambiguous"}
    assert len(pods.llm_requests()) == asked


A2A = """
import asyncio, json, sys, httpx
from a2a.client import ClientConfig, ClientFactory, minimal_agent_card
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, Message, Part, Role, SendMessageRequest

async def main():
    interface = AgentInterface(url="http://planner.test:8000/", protocol_binding="JSONRPC", protocol_version="0.3")
    card = AgentCard(name="planner", version="1", supported_interfaces=[interface], capabilities=AgentCapabilities())
    async with httpx.AsyncClient(headers={"traceparent": sys.argv[1]}) as http:
        client = ClientFactory(ClientConfig(streaming=False, httpx_client=http)).create(card)
        message = Message(message_id="m1", role=Role.ROLE_USER, parts=[Part(text="Plan my week.")])
        texts = []
        async for answer in client.send_message(SendMessageRequest(message=message)):
            texts += [part.text for part in answer.message.parts]
    print(json.dumps({"texts": texts}))

asyncio.run(main())
"""


def test_an_a2a_client_and_server_of_the_sdk_talk(pods: Bank) -> None:
    seen = pods["client"].python(A2A, new_traceparent())
    assert seen["texts"] == ["heard: Plan my week."]
