"""The official MCP and OpenAI clients, unmodified, from the agent's place through its Envoy and the bank's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
import openai
import pytest
from casa_runtime import Json
from casa_stack import LLM_KEY, Session, Stack
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

BALANCE = "What is my balance?"
TRANSFER = 'Transfer 25 EUR for "dinner" to IT60X0542811101000000123456'
WATCH = "Watch my account for 1 second"
MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}

Result = TypeVar("Result")


@dataclass
class Exchanges:
    """Every HTTP exchange of a client: method, JSON-RPC method, status and type of the answer."""

    seen: list[tuple[str, str | None, int, str]] = field(default_factory=list)

    async def note(self, response: httpx2.Response) -> None:
        request = response.request
        method = json.loads(request.content).get("method") if request.method == "POST" else None
        kind = response.headers.get("content-type", "").split(";")[0]
        self.seen.append((request.method, method, response.status_code, kind))

    def of(self, method: str) -> tuple[int, str]:
        """Status and content type of the last exchange of a method, JSON-RPC's or HTTP's."""
        return next(seen[2:] for seen in reversed(self.seen) if method in seen[:2])


@asynccontextmanager
async def connected(session: Session, mode: str, exchanges: Exchanges | None = None) -> AsyncIterator[Client]:
    """The MCP client at the agent's way to the bank."""
    hooks = {"response": [exchanges.note]} if exchanges else {}
    headers = {"traceparent": session.traceparent}
    async with httpx2.AsyncClient(headers=headers, event_hooks=hooks, timeout=30) as http:
        transport = streamable_http_client(session.stack.url("agent->bank"), http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=30) as client:
            yield client


def run(session: Session, mode: str, act: Callable[[Client], Awaitable[Result]], exchanges: Exchanges) -> Result:
    """Connects and lets `act` use the client."""

    async def main() -> Result:
        async with connected(session, mode, exchanges) as client:
            return await act(client)

    return asyncio.run(main())


def innermost(error: BaseException) -> BaseException:
    """The first real exception in nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def llm(session: Session) -> openai.OpenAI:
    """The OpenAI client at the agent's way to the LLM; the key it sends is not the one that counts."""
    base = session.stack.url("agent->llm").removesuffix("/chat/completions")
    headers = {"traceparent": session.traceparent}
    return openai.OpenAI(base_url=base, api_key="none", default_headers=headers, max_retries=0)


def offer(*tools: str) -> list[Any]:
    return [{"type": "function", "function": {"name": tool, "parameters": {}}} for tool in tools]


@pytest.mark.parametrize(("mode", "version"), MODES.items())
class TestMCP:
    def test_the_client_connects_and_lists_the_tools(self, stack: Stack, mode: str, version: str) -> None:
        async def act(client: Client) -> tuple[str, set[str]]:
            listed = await client.list_tools()
            return client.protocol_version, {tool.name for tool in listed.tools}

        exchanges = Exchanges()
        negotiated, tools = run(stack.begin_session(), mode, act, exchanges)
        assert negotiated == version
        assert {"get_account_summary", "transfer_money", "watch_transactions"} <= tools
        assert exchanges.of("tools/list")[0] == 200

    def test_notifications_streams_and_the_session_s_end_pass(self, stack: Stack, mode: str, version: str) -> None:
        async def act(client: Client) -> None:
            await client.list_tools()

        exchanges = Exchanges()
        run(stack.begin_session(), mode, act, exchanges)
        assert all(status < 300 for _, _, status, _ in exchanges.seen), exchanges.seen
        if mode == "legacy":
            assert exchanges.of("initialize")[0] == 200
            assert exchanges.of("notifications/initialized")[0] == 202
            assert exchanges.of("DELETE")[0] == 200
        else:
            assert exchanges.of("server/discover")[0] == 200

    def test_a_call_that_the_llm_selected_runs_once(self, stack: Stack, mode: str, version: str) -> None:
        session = stack.begin_session()
        arguments = session.select(TRANSFER, "transfer_money")
        before = stack.ledger

        async def act(client: Client) -> Any:
            return await client.call_tool("transfer_money", arguments)

        result = run(session, mode, act, Exchanges())
        assert not result.is_error and result.structured_content["transaction"]["amount"] == -25
        after = stack.ledger
        assert after.call_count == before.call_count + 1
        (executed,) = after.executed[len(before.executed) :]
        assert executed["name"] == "transfer_money" and executed["arguments"] == arguments

    def test_progress_arrives_while_the_tool_runs(self, stack: Stack, mode: str, version: str) -> None:
        session = stack.begin_session()
        arguments = session.select(WATCH, "watch_transactions")
        arrivals: list[tuple[float, float]] = []

        async def act(client: Client) -> tuple[Any, float]:
            loop = asyncio.get_running_loop()

            async def note(progress: float, total: float | None, message: str | None) -> None:
                arrivals.append((progress, loop.time()))

            result = await client.call_tool("watch_transactions", arguments, progress_callback=note)
            return result, loop.time()

        exchanges = Exchanges()
        result, ended = run(session, mode, act, exchanges)
        assert not result.is_error
        assert exchanges.of("tools/call") == (200, "text/event-stream")
        assert [progress for progress, _ in arrivals] == [1, 2, 3, 4]
        # The stream flows: the first event is there long before the answer is complete.
        assert ended - arrivals[0][1] > 0.4

    def test_a_call_that_was_not_selected_is_an_error_the_client_understands(
        self, stack: Stack, mode: str, version: str
    ) -> None:
        session = stack.begin_session()
        session.select(BALANCE, "get_account_summary")
        before = stack.ledger

        async def act(client: Client) -> None:
            await client.call_tool("update_password", {"new_password": "taken-over-1"})

        with pytest.raises((MCPError, ExceptionGroup)) as caught:
            run(session, mode, act, Exchanges())
        error = innermost(caught.value)
        assert isinstance(error, MCPError) and error.error.data["reason"] == "tool_not_selected_by_llm"
        assert stack.ledger == before

    def test_several_calls_of_one_answer_each_run_once(self, stack: Stack, mode: str, version: str) -> None:
        session = stack.begin_session()
        session.ask_llm(f"{BALANCE} And what is the exchange rate of EUR to USD?", ["get_account_summary"])
        rate = session.select("What is the exchange rate of EUR to USD?", "get_exchange_rate")
        before = stack.ledger.call_count

        async def act(client: Client) -> list[Any]:
            return [await client.call_tool("get_exchange_rate", rate), await client.call_tool("get_account_summary")]

        results = run(session, mode, act, Exchanges())
        assert not any(result.is_error for result in results)
        assert stack.ledger.call_count == before + 2


class TestOpenAI:
    def ask(self, session: Session, prompt: str, *tools: str) -> Any:
        with llm(session) as client:
            messages: list[Any] = [{"role": "user", "content": prompt}]
            return client.chat.completions.create(model="any", messages=messages, tools=offer(*tools))

    def ask_streaming(self, session: Session, prompt: str, *tools: str) -> tuple[str, dict[int, Json]]:
        """The text and the tool calls put together from the stream."""
        text, calls = "", dict[int, Json]()
        messages: list[Any] = [{"role": "user", "content": prompt}]
        with llm(session) as client:
            for chunk in client.chat.completions.create(
                model="any", messages=messages, tools=offer(*tools), stream=True
            ):
                delta = chunk.choices[0].delta
                text += delta.content or ""
                for part in delta.tool_calls or ():
                    assert part.function is not None
                    call = calls.setdefault(part.index, {"name": "", "arguments": ""})
                    call["name"] += part.function.name or ""
                    call["arguments"] += part.function.arguments or ""
        return text, calls

    def test_a_plain_answer_s_selection_can_be_called(self, stack: Stack) -> None:
        session = stack.begin_session()
        completion = self.ask(session, TRANSFER, "transfer_money")
        assert completion.system_fingerprint == "scripted-stand-in-not-an-llm"
        (call,) = completion.choices[0].message.tool_calls
        answer = session.call(call.function.name, json.loads(call.function.arguments))
        assert answer.status_code == 200, answer.text

    def test_a_streamed_answer_s_selection_can_be_called(self, stack: Stack) -> None:
        session = stack.begin_session()
        _, calls = self.ask_streaming(session, f"{BALANCE} {TRANSFER}", "get_account_summary", "transfer_money")
        assert [call["name"] for call in calls.values()] == ["get_account_summary", "transfer_money"]
        for call in calls.values():
            answer = session.call(call["name"], json.loads(call["arguments"]))
            assert answer.status_code == 200, answer.text

    def test_an_answer_without_calls_arrives_as_it_is(self, stack: Stack) -> None:
        session = stack.begin_session()
        plain = self.ask(session, "Good evening.").choices[0].message.content
        text, calls = self.ask_streaming(session, "Good evening.")
        assert text == plain and not calls and "scripted stand-in" in text

    def test_the_answer_to_a_call_s_result_passes(self, stack: Stack) -> None:
        answer = stack.send_prompt(BALANCE)
        assert "Erika Mustermann" in answer["parts"][0]["text"]
        assert [call["ok"] for call in answer["metadata"]["toolCalls"]] == [True]

    def test_the_llm_s_host_sees_the_sidecar_s_key_and_nothing_of_the_session(self, stack: Stack) -> None:
        session = stack.begin_session()
        self.ask(session, BALANCE, "get_account_summary")
        fields = stack.llm_requests[-1]
        assert fields["authorization"] == [f"Bearer {LLM_KEY}"]
        assert not {"traceparent", "tracestate", "baggage"} & set(fields)
        assert session.trace_id not in str(fields) and "eyJ" not in str(fields)

    def test_other_paths_of_the_llm_are_closed(self, stack: Stack) -> None:
        with llm(stack.begin_session()) as client, pytest.raises(openai.PermissionDeniedError) as caught:
            client.models.list()
        assert caught.value.body["reason"] == "protocol_not_allowed"  # type: ignore[index]

    def test_without_a_session_the_client_gets_an_error_it_understands(self, stack: Stack) -> None:
        session = Session(stack, "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
        with pytest.raises(openai.PermissionDeniedError) as caught:
            self.ask(session, BALANCE)
        assert caught.value.code == "session_unknown"


def test_the_text_of_a_result_reaches_the_client_whole(stack: Stack) -> None:
    session = stack.begin_session()
    arguments = session.select("Show my last transactions", "get_transactions")

    async def act(client: Client) -> Any:
        return await client.call_tool("get_transactions", arguments)

    result = run(session, "auto", act, Exchanges())
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    assert len(texts) == 5 and all(json.loads(text)["id"].startswith("t-") for text in texts)
