"""One layer with the other two off, and what an attack then counts as.

`CASA_LAYER` names the layer: `proxy` has sidecars before a runtime without checks; `runtime` has apps that talk with each
other directly, and do what the runtime says because they want to. Without it all of this does nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import SELECTION_CHECKS, App, Json, binary, canonical_sha256, wait_until
from casa_stack import LLM_KEY, START_DEADLINE, Process, Stack

LAYER = os.environ.get("CASA_LAYER", "")
SAID_BY = "x-said-by"
"""Set on an answer that tells what the runtime said."""


class AttackPassed(AssertionError):
    """What was attacked did what the attacker wanted."""


class NotThisLayers(AssertionError):
    """Something else than the layer that is looked at refused, or would have to."""


def stack_of(directory: Path, checks: tuple[str, ...] | None = SELECTION_CHECKS, **more: Any) -> Stack:
    """A stack in which the layers are on that are looked at."""
    if LAYER == "runtime":
        return RuntimeAlone(directory, checks=checks, **more)
    if LAYER == "proxy":
        return ProxyAlone(directory, checks=(), **more)
    return Stack(directory, checks=checks, **more)


class ProxyAlone(Stack):
    """Sidecars and their authorization service; the runtime hands out tokens and judges no call."""

    def start(self) -> Stack:
        super().start()
        settings = self.runtime.admin("GET", f"/mas/{self.mas}")
        assert settings["enabled_tool_checks"] == []
        self.runtime.admin("PUT", f"/mas/{self.mas}", {**settings, "allow_undecided": True})
        return self


KINDS = {"client": "client", "agent": "agent", "planner": "agent", "bank": "mcp_server"}


class RuntimeAlone(Stack):
    """No sidecar: where the others' stacks have one, there is what a well-meaning app would do by itself."""

    def start(self) -> Stack:
        (self.state / "logs").mkdir(parents=True, exist_ok=True)
        for name, arguments in self._apps().items():
            log = self.directory / f"app-{name}.log"
            self.processes.append(Process([sys.executable, *arguments], log))
        listen = ["--listen", f"127.0.0.1:{self.endpoints.runtime}"]
        command = [str(binary()), "runtime", "--data", str(self.state / "runtime"), *listen]
        self.processes.append(Process(command, self.state / "logs/runtime.log"))
        (self.directory / "up.log").touch()
        wait_until(self._runtime_answers, "the runtime answers", START_DEADLINE)
        settings = {} if self.checks is None else {"enabled_tool_checks": list(self.checks)}
        mas = self.runtime.create_mas("banking", **settings)
        ports = self.endpoints
        urls = {
            "agent": f"http://127.0.0.1:{ports.agent_app}/",
            "planner": f"http://127.0.0.1:{ports.planner_app}/",
            "bank": f"http://127.0.0.1:{ports.bank_app}/mcp",
        }
        for name, kind in KINDS.items():
            app = self.runtime.create_app(mas, name, kind, **({"base_url": urls[name]} if name in urls else {}))
            folder = self.state / "apps" / name
            folder.mkdir(parents=True)
            (folder / "client-secret").write_text(f"{app.secret}\n")
            (folder / "sidecar-key").write_text(f"{secrets.token_urlsafe(32)}\n")
            self.ids[name] = app.id
        self._servers = [WellMeaning(self, place).serve() for place in ports.ports]
        wait_until(self._bank_is_known, "the bank answers and its tools are approved", START_DEADLINE)
        wait_until(self._apps_are_ready, "the apps answer and the bank's tools are approved", START_DEADLINE)
        return self

    def _bank_is_known(self) -> bool:
        path = f"/apps/{self.ids['bank']}/tools/discover"
        return self.runtime.http.post(path, headers=self.runtime.admin_headers).status_code == 200

    def _runtime_answers(self) -> bool:
        try:
            return self.http.get(f"{self.runtime.url}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        for server in getattr(self, "_servers", []):
            server.shutdown()
            server.server_close()
        super().stop()


@dataclass
class Message:
    """A request on its way, or an answer."""

    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    path: str = "/"
    status: int = 200

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def trace(self) -> str:
        return self.headers.get("traceparent", "")[3:35]

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class RuntimeSaysNo(Exception):
    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer


SESSIONS: dict[tuple[int, str, str], str] = {}
"""The token of each session that was delivered to an app, by the stack, the app and the trace."""


@dataclass
class WellMeaning:
    """What stands at one address: the app's own care to ask the runtime, and no care beyond that."""

    stack: RuntimeAlone
    place: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20, trust_env=False))

    @property
    def owner(self) -> App:
        return self.stack.app(self.place.split("->")[0])

    def answer(self, request: Message) -> Message:
        try:
            if "->" not in self.place:
                return self.take(request)
            return self.leave(request, self.place.split("->")[1])
        except RuntimeSaysNo as no:
            return Message({SAID_BY: "runtime", "content-type": "application/json"}, no.answer.content, status=403)

    # Where an app is called

    def take(self, request: Message) -> Message:
        call = request.json
        if self.place == "bank" and isinstance(call, dict) and call.get("method") == "tools/call":
            self.said(self.owner.spend(request.token))
        else:
            answer = self.owner.post("/oauth/introspect", {"token": request.token})
            self.said(answer)
            told = answer.json()
            if not told["active"]:
                inactive = {"error": "invalid_token", "reason": "token_inactive"}
                raise RuntimeSaysNo(httpx.Response(403, json=inactive))
            SESSIONS[id(self.stack), self.place, str(told.get("trace_id"))] = request.token
        ports = self.stack.endpoints
        own = {"bank": ports.bank_app, "agent": ports.agent_app, "planner": ports.planner_app}[self.place]
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        return self.send(f"http://127.0.0.1:{own}{request.path}", request, headers)

    # Where an app calls others

    def leave(self, request: Message, callee: str) -> Message:
        app, call = self.owner, request.json
        if not isinstance(call, dict):
            return Message({}, b"a well-meaning app sends no such thing", status=599)
        if app.name == "client":
            token = self.begin(app, call, request)
        elif not (token := SESSIONS.get((id(self.stack), app.name, request.trace), "")):
            return Message({"content-type": "application/json"}, b'{"reason":"session_unknown"}', status=403)
        if callee == "llm":
            return self.ask_llm(app, token, request)
        if callee == "bank" and isinstance(call, dict) and call.get("method") == "tools/call":
            params = call.get("params", {})
            asked = app.exchange_for_call(token, "bank", params.get("name"), params.get("arguments", {}))
        elif app.name == "client":
            return self.pass_on(request, callee, token)
        else:
            asked = app.exchange(token, "user-input", audience=callee)
        self.said(asked)
        return self.pass_on(request, callee, asked.json()["access_token"])

    def begin(self, app: App, call: Any, request: Message) -> str:
        words = "\n".join(part.get("text", "") for part in call["params"]["message"]["parts"])
        more = {"traceparent": request.headers["traceparent"]} if "traceparent" in request.headers else {}
        issued = app.issue(words, audience="agent", **more)
        self.said(issued)
        return str(issued.json()["access_token"])

    def ask_llm(self, app: App, token: str, request: Message) -> Message:
        t2 = app.exchange(token, "llm-access")
        self.said(t2)
        url = f"http://127.0.0.1:{self.stack.endpoints.llm_app}/v1/chat/completions"
        answer = self.send(url, request, {**request.headers, "authorization": f"Bearer {LLM_KEY}"})
        selections = []
        for choice in (answer.json or {}).get("choices", []):
            for selected in (choice.get("message") or {}).get("tool_calls") or []:
                called = selected["function"]
                arguments = canonical_sha256(json.loads(called["arguments"]))
                selections.append({"tool": called["name"], "arguments_sha256": arguments})
        event = {"kind": "llm_call", "token": t2.json()["access_token"], "selections": selections}
        self.said(app.report(event))
        return answer

    def pass_on(self, request: Message, callee: str, token: str) -> Message:
        return self.send(self.stack.url(callee), request, {**request.headers, "authorization": f"Bearer {token}"})

    # HTTP

    @staticmethod
    def said(answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            raise RuntimeSaysNo(answer)

    def send(self, url: str, request: Message, headers: dict[str, str]) -> Message:
        dropped = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")
        kept = {name: value for name, value in headers.items() if name not in dropped}
        answer = self.http.request(request.method, url, content=request.body, headers=kept)
        names = ("content-type", SAID_BY)
        return Message(
            {name: answer.headers[name] for name in names if name in answer.headers},
            answer.content,
            status=answer.status_code,
        )

    def serve(self) -> ThreadingHTTPServer:
        well_meaning = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path
                answer = well_meaning.answer(Message(headers, body, self.command, path))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None: ...

        server = Server(("127.0.0.1", self.stack.endpoints.ports[self.place]), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server
