"""What schemathesis has to know beyond the description; loaded by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import schemathesis

TOKENS: dict[str, str] = json.loads(os.environ.get("CASA_SCHEMATHESIS_TOKENS", "{}"))
"""Live tokens by the name of the form parameter that they may stand in."""


def takes_part(body: dict[str, Any]) -> bool:
    """Half of all bodies, always the same half."""
    return zlib.crc32(repr(sorted(body)).encode() + repr(body).encode()) % 2 == 0


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    body = case.body
    if not isinstance(body, dict):
        return
    url = body.get("base_url")
    if isinstance(url, str) and url.startswith("http"):
        # The runtime asks servers for their tools; a made-up URL must not lead anywhere.
        body["base_url"] = "http://127.0.0.1:1/mcp"
    for name, token in TOKENS.items():
        if body.get(name) and takes_part(body):
            body[name] = token
