"""A server that stands in for the verifying LLM; the wire format is the real one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from casa_runtime import Json, free_port

Judge = Callable[[BaseHTTPRequestHandler, Json], None]


class JudgeServer:
    """Speaks the chat completions API in the way a test says."""

    def __init__(self) -> None:
        self.port = free_port()
        self.judge: Judge = say(True, 0.9)
        self.asked: list[Json] = []
        self.ended = threading.Event()
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                judge.asked.append(question)
                judge.judge(self, question)

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @contextmanager
    def judging(self, judge: Judge) -> Iterator[None]:
        before, self.judge = self.judge, judge
        try:
            yield
        finally:
            self.judge = before

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()


def nonce_of(question: Json) -> str:
    (found,) = set(re.findall(r"nonce\W+([0-9a-f]{32})", question["messages"][0]["content"]))
    return str(found)


def say(serves: bool, confidence: float) -> Judge:
    def answer(handler: BaseHTTPRequestHandler, question: Json) -> None:
        opinion = {"nonce": nonce_of(question), "serves": serves, "confidence": confidence, "reason": "as it seems"}
        send(handler, completion(json.dumps(opinion)))

    return answer
