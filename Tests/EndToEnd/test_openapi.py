"""The description of the API is valid, complete and true; schemathesis looks for what it does not tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from casa_runtime import ROOT, Cast, Json, Runtime, token_of
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = Path(__file__).resolve().parent
SECONDS = int(os.environ.get("CASA_SCHEMATHESIS_SECONDS", "20"))
"""For all identities together."""
IDENTITIES = ["admin", "client", "agent", "node"]


@pytest.fixture(scope="module")
def description(runtime: Runtime) -> Json:
    served: Json = runtime.http.get("/openapi.json").json()
    return served


def operations(description: Json) -> dict[str, Json]:
    return {f"{m} {path}": op for path, item in description["paths"].items() for m, op in item.items()}


def routes() -> dict[str, set[str]]:
    """The paths and methods that `Route.swift` knows, by its own labels."""
    source = (ROOT / "Sources/RuntimeAPI/Route.swift").read_text()
    labels = dict(re.findall(r'case \.(\w+): "(/[^"]*)"', source))
    methods = source[source.index("var methods") : source.index("var label")]
    found: dict[str, set[str]] = {}
    for cases, taken in re.findall(r"case ([\s\S]*?):\s*\[([^\]]*)\]", methods):
        for name in re.findall(r"\.(\w+)", cases):
            found[labels[name]] = set(re.findall(r"\.(\w+)", taken))
    assert len(found) == len(labels)
    return found


def test_the_description_is_valid_openapi_3_1(description: Json) -> None:
    assert description["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(description).validate()


def test_the_served_description_is_the_one_in_the_sources(description: Json) -> None:
    source = (ROOT / "Sources/RuntimeAPI/OpenAPIDocument.swift").read_text()
    text = source.partition('#"""\n')[2].rpartition('\n"""#')[0]
    assert description == json.loads(text)
    assert text == json.dumps(description, indent=2, ensure_ascii=False) + "\n"


def test_every_route_is_described_with_its_methods_and_nothing_else_is(description: Json) -> None:
    assert {path: set(item) for path, item in description["paths"].items()} == routes()


def test_every_operation_is_explained_and_says_who_may(description: Json) -> None:
    for name, operation in operations(description).items():
        assert operation["summary"] and operation["operationId"] and operation["tags"], name
        assert "security" in operation, name


def test_every_refusal_reason_is_described(description: Json) -> None:
    source = (ROOT / "Sources/CASACore/RefusalReason.swift").read_text()
    reasons = set(re.findall(r'= "(\w+)"', source))
    assert set(description["components"]["schemas"]["RefusalReason"]["enum"]) == reasons


def test_every_kind_of_trace_event_is_described(description: Json) -> None:
    source = (ROOT / "Sources/Traces/Events/TraceEvent.swift").read_text()
    kinds = set(re.findall(r'case \w+ = "(\w+)"', source))
    assert set(description["components"]["schemas"]["TraceEvent"]["properties"]["kind"]["enum"]) == kinds


def run_schemathesis(cast: Cast, identity: str, seconds: int, directory: Path) -> subprocess.CompletedProcess[str]:
    """Drives the whole API as one identity."""
    app = cast.agent if identity == "agent" else cast.client
    login = ["--auth", f"{app.id}:{app.secret}"]
    if identity == "admin":
        login = ["--header", f"Authorization: Bearer {cast.runtime.admin_secret}"]
    if identity == "node":
        node = cast.runtime.create_node("worker-1")
        login = ["--auth", f"{node.id}:{node.secret}"]
    t1 = cast.client.t1(audience="assistant")
    tokens = {"subject_token": t1, "token": token_of(cast.agent.exchange(t1, "llm-access"))}
    command = [
        *[str(Path(sys.executable).with_name("schemathesis")), "--no-color"],
        *["--config-file", str(HERE / "schemathesis.toml")],
        *["run", cast.runtime.url + "/openapi.json", *login, "--max-time", str(seconds)],
        *["--generation-database", "none", "--continue-on-failure"],
        # It ends only with the connection.
        *["--exclude-operation-id", "streamEvents"],
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(HERE),
        "CASA_SCHEMATHESIS_TOKENS": json.dumps(tokens),
    }
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds + 120, check=False
    )


@pytest.mark.parametrize("identity", IDENTITIES)
def test_schemathesis_finds_no_failure_and_no_untold_answer(
    new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast], identity: str, tmp_path: Path
) -> None:
    cast = new_cast(new_runtime())
    ended = run_schemathesis(cast, identity, max(1, SECONDS // len(IDENTITIES)), tmp_path)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
    assert cast.runtime.is_alive()
    assert 'status="5' not in cast.runtime.http.get("/metrics").text
