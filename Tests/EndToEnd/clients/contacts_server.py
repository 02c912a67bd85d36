"""A list of names as a server of FastMCP, whose tools can be changed while it runs.

``POST /change`` with ``{"description": …, "add": …}`` gives the tool that lists another description and adds a
tool; ``{}`` undoes both. With ``--json`` answers are JSON, otherwise server-sent events.
"""

from __future__ import annotations

import argparse

import uvicorn
from fastmcp import FastMCP
from fastmcp.tools import Tool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NAMES = ["Ada", "Grace"]
DESCRIPTION = "List the names."


def build_server(of: str) -> FastMCP:
    """A server with the tools ``list_…`` and ``count_…``."""
    server: FastMCP = FastMCP(of)
    calls: list[str] = []
    added: list[str] = []

    async def listed() -> list[str]:
        calls.append(f"list_{of}")
        return NAMES

    async def counted() -> int:
        return len(NAMES)

    def offer(description: str) -> None:
        server.add_tool(Tool.from_function(listed, name=f"list_{of}", description=description))

    offer(DESCRIPTION)
    server.add_tool(Tool.from_function(counted, name=f"count_{of}", description="Count the names."))

    @server.resource("names://all")
    async def everybody() -> str:
        return ", ".join(NAMES)

    @server.prompt
    async def greeting(name: str) -> str:
        """A greeting."""
        return f"Greet {name}."

    @server.custom_route("/healthz", methods=["GET"])
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @server.custom_route("/calls", methods=["GET"])
    async def made(_: Request) -> Response:
        return JSONResponse({"calls": calls})

    @server.custom_route("/change", methods=["POST"])
    async def change(request: Request) -> Response:
        wanted = await request.json()
        while added:
            server.local_provider.remove_tool(added.pop())
        server.local_provider.remove_tool(f"list_{of}")
        offer(wanted.get("description", DESCRIPTION))
        if name := wanted.get("add"):
            server.add_tool(Tool.from_function(counted, name=name, description="Added later."))
            added.append(name)
        return JSONResponse({})

    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--of", required=True, help="what the tools are named after")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    app = build_server(options.of).http_app(path="/mcp", json_response=options.json, host_origin_protection=False)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
