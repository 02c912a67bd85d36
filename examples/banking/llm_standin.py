"""A scripted stand-in for a language model, behind the OpenAI chat completions API.

It is NOT a language model: a table of patterns turns the last user message into
tool calls, and a template turns the tools' results into a sentence. It says so
in everything it sends: the model is called ``casa-scripted-standin``, the
``system_fingerprint`` is ``scripted-stand-in-not-an-llm``, and every response
carries ``x-llm: scripted-stand-in``.

``GET /requests`` lists the headers of the requests it received, values included,
so that a test can check what did and did not reach it.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MODEL = "casa-scripted-standin"
FINGERPRINT = "scripted-stand-in-not-an-llm"
MAX_RECORDED_REQUESTS = 200
STREAM_CHUNK_CHARACTERS = 12

JSONObject = dict[str, Any]
PlannedCall = tuple[str, JSONObject]

# --- the script: from a user message to tool calls ---------------------------------------------

IBAN = r"\b(?P<iban>[A-Z]{2}\d{2}[A-Z0-9]{4,30})\b"
AMOUNT = r"\b(?P<amount>\d+(?:\.\d+)?)\s*(?P<currency>[A-Z]{3})\b"
SUBJECT = r"(?:\bsubject|\bfor)\s*:?\s*[\"'“](?P<subject>[^\"'”]+)[\"'”]"


def number(text: str) -> int | float:
    """The number a user wrote: whole if it was written whole."""
    value = float(text)
    return int(value) if value.is_integer() else value


def find(pattern: str, text: str, group: str) -> str | None:
    """The named group of the pattern's first match, if there is one."""
    match = re.search(pattern, text)
    return match.group(group) if match else None


def payment_arguments(text: str) -> JSONObject | None:
    """Recipient, amount, currency and subject as written in the text."""
    iban, amount, currency = find(IBAN, text, "iban"), find(AMOUNT, text, "amount"), find(AMOUNT, text, "currency")
    if iban is None or amount is None or currency is None:
        return None
    return {
        "recipient_iban": iban,
        "amount": number(amount),
        "currency": currency,
        "subject": find(SUBJECT, text, "subject") or "Payment",
    }


def schedule_arguments(text: str) -> JSONObject | None:
    """A payment with its date and interval."""
    arguments, date = payment_arguments(text), find(r"(?P<date>\d{4}-\d\d-\d\d)", text, "date")
    if arguments is None or date is None:
        return None
    interval = find(r"\b(?P<interval>weekly|monthly|yearly)\b", text.lower(), "interval") or "once"
    return {**arguments, "date": date, "interval": interval}


def rate_arguments(text: str) -> JSONObject:
    """The first two currency codes after "exchange rate"; euro and dollar if there are none."""
    codes = re.findall(r"\b(?:EUR|USD|GBP|CHF|JPY)\b", text[text.lower().index("exchange rate") :])
    return {"base": codes[0] if codes else "EUR", "quote": codes[1] if len(codes) > 1 else "USD"}


def watch_arguments(text: str) -> JSONObject:
    """How long to watch: as the text says, at most three seconds."""
    seconds = find(r"\b(?P<seconds>\d+(?:\.\d+)?)\s*s(?:ec|econds?)?\b", text, "seconds")
    return {"seconds": min(3, number(seconds)) if seconds else 1}


def cancel_arguments(text: str) -> JSONObject | None:
    """The id of the payment to cancel."""
    payment = find(r"\b(?P<id>p-\d+)\b", text, "id")
    return {"payment_id": payment} if payment else None


def password_arguments(text: str) -> JSONObject | None:
    """The new password, the last word after "to"."""
    password = find(r"\bto\s+[\"'“]?(?P<password>[^\s\"'”]{8,})", text, "password")
    return {"new_password": password} if password else None


def contact_arguments(text: str) -> JSONObject | None:
    """Name and IBAN of a contact to add."""
    name, iban = (
        find(r"contact\s+(?P<name>[^,\d]+?)\s*(?:,|with\b|at\b|iban\b)", text, "name"),
        find(IBAN, text, "iban"),
    )
    return {"name": name, "iban": iban} if name and iban else None


RULES: list[tuple[str, str, Callable[[str], JSONObject | None]]] = [
    (r"balance|account summary", "get_account_summary", lambda _: {}),
    (r"cancel\b.*\bp-\d+", "cancel_scheduled_payment", cancel_arguments),
    (r"schedule\b.*\d{4}-\d\d-\d\d", "schedule_payment", schedule_arguments),
    (r"^(?!.*\bcancel\b).*scheduled", "get_scheduled_payments", lambda _: {}),
    (r"^(?!.*\bwatch\b).*transactions", "get_transactions", lambda _: {"limit": 5}),
    (r"^(?!.*\bschedule\b).*\b(?:transfer|send|pay)\b", "transfer_money", payment_arguments),
    (r"exchange rate", "get_exchange_rate", rate_arguments),
    (r"\bwatch\b", "watch_transactions", watch_arguments),
    (r"(?:change|update|set)\b.*\bpassword\b", "update_password", password_arguments),
    (r"add\b.*\bcontact\b", "add_contact", contact_arguments),
    (r"^(?!.*\badd\b).*\bcontacts\b", "get_contacts", lambda _: {}),
]
"""Pattern of the message (in lower case), the tool it means, and how its arguments are read.

Every rule that matches gives one call, in the order of this table. A rule whose
arguments cannot be read gives none. Tools of other servers are called by name:
``call the tool NAME with {…}``.
"""


def plan(message: str, offered: set[str]) -> list[PlannedCall]:
    """The tool calls the script makes for a user message, among the tools offered."""
    calls: list[PlannedCall] = []
    for pattern, tool, read_arguments in RULES:
        if tool in offered and re.search(pattern, message.lower(), re.DOTALL):
            arguments = read_arguments(message)
            if arguments is not None:
                calls.append((tool, arguments))
    for match in re.finditer(r"call the tool (?P<tool>[\w.-]+) with (?P<arguments>\{[^{}]*\})", message, re.IGNORECASE):
        if match["tool"] in offered:
            calls.append((match["tool"], json.loads(match["arguments"])))
    return calls


# --- one chat completion -----------------------------------------------------------------------


def text_of(content: Any) -> str:
    """The text of a message's content, given as a string or as parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def summarise(planned: list[PlannedCall], results: list[JSONObject]) -> str:
    """The closing text: what each tool answered, one line each."""
    if not planned:
        return "I am a scripted stand-in, not a language model; no rule of mine matches this message."
    lines = ["This is what the tools answered:"]
    for (name, _), result in zip(planned, results, strict=False):
        lines.append(f"- {name}: {' '.join(text_of(result.get('content')).split())[:600]}")
    return "\n".join(lines)


def complete(request: JSONObject) -> JSONObject:
    """The assistant message that answers a chat completion request.

    The plan follows from the last user message alone, so what is still to be
    done is the plan without the calls that were made since that message. All of
    it is asked for at once, or one call at a time if the request says
    ``parallel_tool_calls: false`` or the user says "then".
    """
    messages: list[JSONObject] = request["messages"]
    last_user = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=None)
    if last_user is None:
        return {"role": "assistant", "content": summarise([], [])}
    prompt = text_of(messages[last_user].get("content"))
    since = messages[last_user + 1 :]

    planned: list[PlannedCall] = []
    if request.get("tool_choice", "auto") != "none":
        offered = {tool["function"]["name"] for tool in request.get("tools") or [] if tool.get("type") == "function"}
        planned = plan(prompt, offered)
    made = sum(len(message.get("tool_calls") or []) for message in since if message.get("role") == "assistant")
    remaining = planned[made:]
    if not remaining:
        return {
            "role": "assistant",
            "content": summarise(planned, [message for message in since if message.get("role") == "tool"]),
        }
    if request.get("parallel_tool_calls") is False or re.search(r"\bthen\b", prompt.lower()):
        remaining = remaining[:1]
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for name, arguments in remaining
        ],
    }


def usage(request: JSONObject, message: JSONObject) -> JSONObject:
    """A rough count, four characters to the token: there is no tokenizer here."""
    prompt, completion = len(json.dumps(request["messages"])) // 4, len(json.dumps(message)) // 4
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def pieces(text: str) -> list[str]:
    """The text cut into the pieces it is streamed in."""
    return [text[i : i + STREAM_CHUNK_CHARACTERS] for i in range(0, len(text), STREAM_CHUNK_CHARACTERS)]


def deltas(message: JSONObject) -> list[JSONObject]:
    """A message as the deltas of a stream: a tool call's name first, its arguments in pieces."""
    result: list[JSONObject] = [{"role": "assistant", "content": None if message.get("tool_calls") else ""}]
    for index, call in enumerate(message.get("tool_calls") or []):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        head = {"index": index, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        result.append({"tool_calls": [head]})
        for piece in pieces(arguments):
            result.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    result.extend({"content": piece} for piece in pieces(message.get("content") or ""))
    return result


async def stream(request: JSONObject, message: JSONObject, head: JSONObject) -> AsyncIterator[str]:
    """The message as server-sent ``chat.completion.chunk`` events."""

    def event(choices: list[JSONObject], **more: Any) -> str:
        return f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n"

    for delta in deltas(message):
        yield event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
        await anyio.sleep(0.005)
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    yield event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish}])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield event([], usage=usage(request, message))
    yield "data: [DONE]\n\n"


# --- HTTP --------------------------------------------------------------------------------------


def error(status: int, message: str, kind: str = "invalid_request_error") -> JSONResponse:
    """An error as the OpenAI API writes it."""
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": None}}, status_code=status)


def problem_of(request: Any) -> str | None:
    """What is wrong with a chat completion request, if anything."""
    if not isinstance(request, dict):
        return "the body must be a JSON object"
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        return "messages must be a non-empty array of objects"
    tools = request.get("tools") or []
    if not isinstance(tools, list):
        return "tools must be an array"
    for tool in tools:
        if not isinstance(tool, dict) or (
            tool.get("type") == "function" and not isinstance(tool.get("function"), dict)
        ):
            return "every tool must be an object with its function"
        if tool.get("type") == "function" and not isinstance(tool["function"].get("name"), str):
            return "every function must have a name"
    return None


async def chat_completions(http: Request) -> Response:
    """``POST /v1/chat/completions``, plain or streamed."""
    try:
        request = json.loads(await http.body())
    except ValueError:
        return error(400, "the body is not JSON")
    if (problem := problem_of(request)) is not None:
        return error(400, problem)
    message = complete(request)
    head: JSONObject = {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "created": int(time.time()),
        "model": MODEL,
        "system_fingerprint": FINGERPRINT,
    }
    if request.get("stream"):
        return StreamingResponse(stream(request, message, head), media_type="text/event-stream")
    choice = {
        "index": 0,
        "message": {**message, "refusal": None},
        "logprobs": None,
        "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
    }
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage(request, message)})


async def models(_: Request) -> Response:
    """``GET /v1/models``."""
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "scripted-stand-in"}
    return JSONResponse({"object": "list", "data": [model]})


async def healthz(_: Request) -> Response:
    """``GET /healthz``."""
    return JSONResponse({"status": "ok", "llm": FINGERPRINT})


async def recorded_requests(http: Request) -> Response:
    """``GET /requests``: the last requests received, oldest first."""
    return JSONResponse({"limit": MAX_RECORDED_REQUESTS, "requests": list(http.app.state.requests)})


async def http_error(_: Request, exc: Exception) -> Response:
    """Unknown paths and methods, in the API's error format."""
    assert isinstance(exc, HTTPException)
    response = error(
        exc.status_code, str(exc.detail), "not_found_error" if exc.status_code == 404 else "invalid_request_error"
    )
    response.headers.update(exc.headers or {})
    return response


class SayWhatItIs:
    """Marks every response as the stand-in's, and records every request but those about itself."""

    def __init__(self, app: ASGIApp, requests: deque[JSONObject]) -> None:
        self.app = app
        self.requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] not in ("/requests", "/healthz"):
            headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
            self.requests.append(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "headers": headers,
                    "hasAuthorization": any(name == "authorization" for name, _ in headers),
                }
            )

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-llm"] = "scripted-stand-in"
            await send(message)

        await self.app(scope, receive, marked)


def build_app() -> Starlette:
    """The ASGI application."""
    requests: deque[JSONObject] = deque(maxlen=MAX_RECORDED_REQUESTS)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/requests", recorded_requests, methods=["GET"]),
        ],
        exception_handlers={HTTPException: http_error},
    )
    app.state.requests = requests
    app.add_middleware(SayWhatItIs, requests=requests)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Scripted stand-in for an OpenAI-compatible language model.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(build_app(), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
