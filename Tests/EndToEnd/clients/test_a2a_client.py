"""The official A2A client and server, unmodified, through the client's Envoy and the agent's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.helpers import get_artifact_text
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from casa_runtime import wait_until
from casa_stack import new_traceparent
from client_stack import ClientStack

BINDINGS = [("JSONRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3"), ("HTTP+JSON", "0.3")]


@dataclass
class Conversation:
    """A client of the SDK at the desk's way to the secretary, with the trace its requests carry, if any."""

    stack: ClientStack
    traceparent: str | None = field(default_factory=new_traceparent)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"traceparent": self.traceparent} if self.traceparent else {}
        async with httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
            yield http

    async def card(self, http: httpx.AsyncClient) -> AgentCard:
        return await A2ACardResolver(http, self.stack.url("desk->secretary")).get_agent_card()

    @asynccontextmanager
    async def client(self, binding: str, version: str, *, streaming: bool) -> AsyncIterator[Client]:
        """A client that was made from the card, for one of its interfaces."""
        async with self.http() as http:
            card = await self.card(http)
            chosen = [i for i in card.supported_interfaces if (i.protocol_binding, i.protocol_version) == (binding, version)]
            assert len(chosen) == 1
            del card.supported_interfaces[:]
            card.supported_interfaces.extend(chosen)
            config = ClientConfig(streaming=streaming, httpx_client=http, supported_protocol_bindings=[binding])
            yield ClientFactory(config).create(card)


def says(words: str, context: str | None = None) -> SendMessageRequest:
    message = Message(message_id="m1", role=Role.ROLE_USER, parts=[Part(text=words)], context_id=context or "")
    return SendMessageRequest(message=message)


async def send(client: Client, words: str) -> tuple[Task, int]:
    """The task as the client put it together, and how many events told of it."""
    task, events = Task(), 0
    async for event in client.send_message(says(words)):
        events += 1
        kind = event.WhichOneof("payload")
        if kind == "task":
            task.CopyFrom(event.task)
        elif kind == "status_update":
            task.id, task.context_id = event.status_update.task_id, event.status_update.context_id
            task.status.CopyFrom(event.status_update.status)
        elif kind == "artifact_update":
            task.artifacts.append(event.artifact_update.artifact)
    return task, events


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("binding", "version"), BINDINGS)
def test_words_become_a_task_that_can_be_asked_for(
    stack: ClientStack, binding: str, version: str, streaming: bool
) -> None:
    """Card, message and task, in both versions and bindings, with and without a stream."""
    conversation, mark = Conversation(stack), stack.mark()
    words = f"Note: {conversation.traceparent}"

    async def main() -> tuple[Task, int, Task]:
        async with conversation.client(binding, version, streaming=streaming) as client:
            task, events = await send(client, words)
            return task, events, await client.get_task(GetTaskRequest(id=task.id))

    task, events, asked = asyncio.run(main())
    assert events > 2 if streaming else events == 1
    for seen in (task, asked):
        assert seen.status.state == TaskState.TASK_STATE_COMPLETED
        assert [get_artifact_text(artifact) for artifact in seen.artifacts] == [f"noted: {words}"]
    assert conversation.traceparent
    trace = conversation.traceparent[3:35]
    old = (binding, version) == ("JSONRPC", "0.3")
    send_name, stream_name, get_name = (
        ("message/send", "message/stream", "tasks/get") if old else ("SendMessage", "SendStreamingMessage", "GetTask")
    )

    wanted = [("GetAgentCard", False), (stream_name if streaming else send_name, True), (get_name, True)]

    def shows() -> bool:
        """What the secretary's sidecar let in, and whether it was in this session."""
        seen = [
            (event["payload"]["method"], event["trace_id"] == trace)
            for event in stack.events_after(mark)
            if event["kind"] == "call_admitted" and event["app_id"] == stack.ids["secretary"]
        ]
        # A sidecar may tell of what it decided by itself a moment later than of the rest.
        return all(call in seen for call in wanted)

    wait_until(shows, f"the trace shows {wanted}")


def test_tasks_are_listed_by_their_context(stack: ClientStack) -> None:
    conversation = Conversation(stack)

    async def main() -> tuple[Task, list[str]]:
        async with conversation.client("JSONRPC", "1.0", streaming=False) as client:
            task, _ = await send(client, f"Note: list {conversation.traceparent}")
            listed = await client.list_tasks(ListTasksRequest(context_id=task.context_id))
            return task, [found.id for found in listed.tasks]

    task, listed = asyncio.run(main())
    assert listed == [task.id]


@pytest.mark.parametrize(("binding", "version"), BINDINGS)
def test_a_client_that_hands_no_trace_on_begins_a_session_with_each_message(
    stack: ClientStack, binding: str, version: str
) -> None:
    words, mark = f"Note: untraced {new_traceparent()}", stack.mark()

    async def main() -> Task:
        async with Conversation(stack, None).client(binding, version, streaming=True) as client:
            return (await send(client, words))[0]

    task = asyncio.run(main())
    assert [get_artifact_text(artifact) for artifact in task.artifacts] == [f"noted: {words}"]
    issued = [event for event in stack.events_after(mark) if event["kind"] == "token_issued"]
    assert [event["app_id"] for event in issued if event["user_input_id"]][-1:] == [stack.ids["desk"]]


def test_of_a_client_that_hands_no_trace_on_a_task_belongs_to_no_session(stack: ClientStack) -> None:
    """GetTask says nothing by which its session could be told from others that are live."""

    async def main() -> None:
        for _ in range(2):
            async with Conversation(stack).client("JSONRPC", "1.0", streaming=False) as client:
                task, _ = await send(client, f"Note: two sessions {new_traceparent()}")
        async with Conversation(stack, None).client("JSONRPC", "1.0", streaming=False) as client:
            await client.get_task(GetTaskRequest(id=task.id))

    mark = stack.mark()
    with pytest.raises(A2AClientError):
        asyncio.run(main())
    event = stack.wait_for_event(mark, "the refusal", lambda e: e["kind"] == "call_refused")
    assert (event["payload"]["reason"], event["payload"]["method"]) == ("session_ambiguous", "GetTask")


CARD_ADDRESSES = {
    "another host": "http://elsewhere.test/",
    "another port": "http://127.0.0.1:1/",
    "a host that begins with the agent's": "{origin}.elsewhere.test/",
    "the agent's as a user": "{origin}@elsewhere.test/",
    "the app itself, past its sidecar": "{app}",
    "https": "https{rest}/",
}


@pytest.mark.parametrize("address", CARD_ADDRESSES.values(), ids=CARD_ADDRESSES)
def test_a_card_that_names_another_address_does_not_reach_the_client(stack: ClientStack, address: str) -> None:
    """The official client would send its next request, and a token if it had one, wherever the card says."""
    origin = stack.url("desk->secretary").removesuffix("/")
    app = f"http://127.0.0.1:{stack.endpoints.secretary_app}/"
    stack.card_url_file.write_text(address.format(origin=origin, app=app, rest=origin.removeprefix("http")))

    async def main() -> AgentCard:
        conversation = Conversation(stack)
        async with conversation.http() as http:
            return await conversation.card(http)

    try:
        with pytest.raises(A2AClientError):
            asyncio.run(main())
    finally:
        stack.card_url_file.write_text(stack.url("desk->secretary"))
    asyncio.run(main())
