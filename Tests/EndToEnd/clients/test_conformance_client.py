"""Conformance checkers from PyPI see through two sidecars what they see at the server itself.

`jbt-mcpcheck` checks MCP 2026-07-28 over Streamable HTTP; `a2a-lint` checks an A2A 0.3 agent and its card.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from casa_runtime import Json
from casa_stack import new_traceparent
from client_stack import ClientStack

REFUSED_BY_DESIGN = {
    "discover": "`server/discover` names prompts and resources, whose methods are not let through",
    "cache": "prompts/list and resources/list are not let through, so their hints are not seen",
    "protocol": "what can be read in two ways is refused by CASA with 403 and -32003 before the server sees it",
    "errors": "a call that no LLM selected is refused by CASA with its own code",
}
"""Checks of mcpcheck that differ, with why CASA wants it so."""
PROTOCOL_FINDINGS = {
    "protocol.header_mismatch_wrong_status",
    "protocol.unsupported_wrong_code",
    "protocol.method_header_wrong_rejection",
    "protocol.unknown_method_not_jsonrpc",
    "protocol.name_header_wrong_rejection",
}
"""Each is a bad request that is refused as it must be, with 403 where the server itself says 400."""


def run(module: str, *arguments: str) -> Json:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("{"), done.stdout[:300] + done.stderr[-2000:]
    report: Json = json.loads(done.stdout)
    return report


def checked(url: str, *arguments: str) -> dict[str, Any]:
    """How each check went, with what it found."""
    report = run("mcpcheck", url, "--json", *arguments)
    return {
        check["name"]: (check["status"], check["summary"], [(found["code"], found["subject"]) for found in check["failures"]])
        for check in report["checks"]
    }


def test_mcpcheck_sees_the_same_server_through_two_sidecars(stack: ClientStack) -> None:
    session = stack.open(f"Good morning, {new_traceparent()}")
    direct = checked(f"http://127.0.0.1:{stack.endpoints.bank_app}/mcp")
    header = f"traceparent: {session.traceparent}"
    through = checked(stack.url("assistant->bank"), "--header", header)
    assert "pass" in {status for status, *_ in direct.values()}
    differing = {name: (direct[name], through.get(name)) for name in direct if direct[name] != through.get(name)}
    assert set(differing) == set(REFUSED_BY_DESIGN), differing
    failed = {name: {code for code, _ in found} for name, (status, _, found) in through.items() if status == "fail"}
    assert failed["protocol"] == PROTOCOL_FINDINGS
    # The bank takes any Origin, so its sidecar is sent no browser's; nothing else fails.
    assert set(failed) == {"protocol", "origin"}


def test_a2a_lint_sees_the_same_agent_through_two_sidecars(stack: ClientStack) -> None:
    """The card, a message and a stream; the linter hands no trace context on."""
    direct = run("a2a_lint.cli", f"http://127.0.0.1:{stack.endpoints.secretary_app}", "--live", "--json")
    through = run("a2a_lint.cli", stack.url("desk->secretary"), "--live", "--json")
    assert through["findings"] == direct["findings"]
    assert through["liveRoundTripMs"] > 0 and through["streamEvents"] > 1
    assert through["summary"]["errors"] == 0, through["findings"]
