"""An agent of the official A2A SDK that takes a note of what it is told, as a task with an artifact.

It speaks A2A 1.0 and 0.3, by JSON-RPC and by HTTP and JSON. Its card names the address in ``--card-url-file``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn
from a2a.helpers import new_text_part
from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

INTERFACES = [("JSONRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3"), ("HTTP+JSON", "0.3")]


class TakeNote(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        words = context.get_user_input()
        await updater.add_artifact([new_text_part(f"noted: {words}")], name="note")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def card_at(url: str) -> AgentCard:
    return AgentCard(
        name="secretary",
        description="Takes notes.",
        version="1",
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
            for binding, version in INTERFACES
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[
            AgentSkill(id="note", name="Note", description="Takes a note.", tags=["note"], examples=["Note: call Ada"])
        ],
    )


async def healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--card-url-file", type=Path, required=True)
    options = parser.parse_args()

    async def as_the_file_says(_: AgentCard) -> AgentCard:
        return card_at(options.card_url_file.read_text().strip())

    card = card_at(options.card_url_file.read_text().strip())
    handler = DefaultRequestHandler(agent_executor=TakeNote(), task_store=InMemoryTaskStore(), agent_card=card)
    routes = [
        *create_agent_card_routes(card, card_modifier=as_the_file_says),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
        Route("/healthz", healthz, methods=["GET"]),
        *create_rest_routes(handler, enable_v0_3_compat=True),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
