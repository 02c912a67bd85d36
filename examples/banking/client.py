"""Send one message to the agent and print its answer.

Every message starts a trace of its own, with a fresh ``traceparent``, unless
``--traceparent`` gives one. Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import urllib.error
import urllib.request
import uuid
from typing import Any

TIMEOUT_SECONDS = 120


def fresh_traceparent() -> str:
    """A W3C trace context with a new trace id and span id, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def build_request(prompt: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """The JSON-RPC request."""
    params: dict[str, Any] = {
        "message": {
            "kind": "message",
            "role": "user",
            "messageId": str(uuid.uuid4()),
            "parts": [{"kind": "text", "text": prompt}],
        }
    }
    if metadata:
        params["metadata"] = metadata
    return {"jsonrpc": "2.0", "id": str(uuid.uuid4()), "method": "message/send", "params": params}


def send(url: str, body: dict[str, Any], traceparent: str) -> tuple[int, str]:
    """POST the request; the HTTP status and the body of whatever answers."""
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": "application/json", "traceparent": traceparent},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def print_answer(message: dict[str, Any]) -> None:
    """The answer's text, and below it the tool calls the agent says it tried."""
    for part in message.get("parts", []):
        if part.get("kind") == "text":
            print(part["text"])
    metadata = message.get("metadata") or {}
    for call in metadata.get("toolCalls", []):
        outcome = "ok" if call["ok"] else f"failed: {call['error']['message']}"
        print(f"  [{call['origin']}] {call['name']} {json.dumps(call['arguments'])}: {outcome}")
    for problem in metadata.get("errors", []):
        print(f"  [{problem['stage']}] {problem['type']}: {problem['message']}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Send one message to the banking agent.")
    parser.add_argument("--agent-url", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--misbehave", help="what a hijacked agent should do (the agent needs --allow-misbehave)")
    parser.add_argument("--metadata", type=json.loads, default={}, metavar="JSON", help="further params.metadata")
    parser.add_argument("--traceparent", help="send this trace context instead of a fresh one")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    options = parser.parse_args()

    metadata = dict(options.metadata)
    if options.misbehave:
        metadata["misbehave"] = options.misbehave
    traceparent = options.traceparent or fresh_traceparent()
    try:
        status, text = send(options.agent_url, build_request(options.prompt, metadata), traceparent)
    except OSError as error:
        print(f"cannot reach {options.agent_url}: {error}", file=sys.stderr)
        return 2
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if options.json and answer is not None:
        print(json.dumps({"httpStatus": status, "traceparent": traceparent, "answer": answer}, indent=2))
    elif isinstance(answer, dict) and isinstance(answer.get("result"), dict):
        print_answer(answer["result"])
    else:
        print(f"HTTP {status}: {text}", file=sys.stderr)
    return 0 if status == 200 and isinstance(answer, dict) and "result" in answer else 1


if __name__ == "__main__":
    sys.exit(main())
