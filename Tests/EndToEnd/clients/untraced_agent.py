"""An agent of the A2A, OpenAI and MCP SDKs that hands no trace context on and knows nothing of a sidecar.

It lists its server's tools, asks the LLM what to call for the user's words, calls that, and answers with the LLM's last
words. What failed is answered too, so that a test can see it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import openai
import uvicorn
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SYSTEM = "You help with a bank account."


class Assist(AgentExecutor):
    def __init__(self, mcp_url: str, llm_base_url: str, mode: Any) -> None:
        self.mcp_url, self.mode = mcp_url, mode
        self.llm = openai.AsyncOpenAI(base_url=llm_base_url, api_key="none", max_retries=0, timeout=120)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        try:
            words = await self.help(context.get_user_input())
        except Exception as error:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            words = f"failed: {type(error).__name__}: {error}"
        await event_queue.enqueue_event(new_text_message(words))

    async def help(self, words: str) -> str:
        transport = streamable_http_client(self.mcp_url)
        messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": words}]
        async with Client(transport, mode=self.mode, read_timeout_seconds=120) as bank:
            listed = (await bank.list_tools()).tools
            tools: list[Any] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
                }
                for tool in listed
            ]
            while True:
                made = await self.llm.chat.completions.create(model="any", messages=messages, tools=tools)
                answer = made.choices[0].message
                if not answer.tool_calls:
                    return answer.content or ""
                messages.append(answer.model_dump(exclude_none=True))
                for call in answer.tool_calls:
                    assert call.type == "function"
                    result = await bank.call_tool(call.function.name, json.loads(call.function.arguments))
                    text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": text})

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


async def healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--public-url", required=True)
    parser.add_argument("--mcp-url", required=True)
    parser.add_argument("--mcp-mode", default="auto")
    parser.add_argument("--llm-base-url", required=True)
    options = parser.parse_args()
    interface = AgentInterface(url=options.public_url, protocol_binding="JSONRPC", protocol_version="0.3")
    card = AgentCard(name="assistant", version="1", supported_interfaces=[interface], capabilities=AgentCapabilities())
    executor = Assist(options.mcp_url, options.llm_base_url, options.mcp_mode)
    handler = DefaultRequestHandler(agent_executor=executor, task_store=InMemoryTaskStore(), agent_card=card)
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
        Route("/healthz", healthz, methods=["GET"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
