"""`casa up` and `casa demo`, as a newcomer runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from casa_runtime import ROOT, binary, free_port

Json = dict[str, Any]


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """One command, to its end, without a real LLM."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    return subprocess.run(
        [str(binary()), *arguments], capture_output=True, text=True, cwd=ROOT, timeout=timeout, env=environment
    )


def write_system(folder: Path, apps: str = "", more: str = "", entrance: int | None = None) -> Path:
    """A system of a client and an agent; nothing listens where the agent is said to be."""
    file = folder / "system.yaml"
    file.write_text(f"""
mas: small
runtime: 127.0.0.1:{free_port()}
{more}
apps:
  - name: web
    kind: client
    calls: [{{app: helper, listen: "127.0.0.1:{free_port()}"}}]
  - name: helper
    kind: agent
    url: http://127.0.0.1:{free_port()}/
    listen: 127.0.0.1:{entrance or free_port()}
{apps}""")
    return file


@contextmanager
def up(system: Path, directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Json]]:
    """`casa up` and the line that it prints when all is running."""
    command = [str(binary()), "up", str(system), "--directory", str(directory), "--format", "json"]
    with (directory.with_suffix(".log")).open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True)
    assert process.stdout
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def processes_of(group: int) -> list[str]:
    """The command lines of the processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


def test_the_demo_holds_every_expectation() -> None:
    done = run("demo", "--python", sys.executable, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["failed"] == 0 and report["held"] == 12
    assert report["llm"] == "scripted stand-in"
    titles = [scenario["title"] for scenario in report["scenarios"]]
    assert titles[0] == "A faithful agent" and len(titles) == 12
    faithful = report["scenarios"][0]
    assert faithful["executed"] == ["transfer_money"]
    checks = {row["check"] for row in faithful["rows"] if row["check"]}
    deterministic = {"DETERMINISTIC_TOOL_SELECTED", "DETERMINISTIC_LLM_SELECTED_TOOLS", "DETERMINISTIC_TOOL_ARGUMENTS"}
    assert checks == deterministic | {"ARGUMENT_GROUNDING", "AI_POWERED_TOOL_MATCH"}


def test_up_ends_all_its_parts_with_sigterm_and_exits_with_0(tmp_path: Path) -> None:
    with up(write_system(tmp_path), tmp_path / "s") as (process, ready):
        assert set(ready["apps"]) == {"web", "helper"}
        running = processes_of(process.pid)
        assert sum(" runtime " in line for line in running) == 1
        assert sum("_bin/envoy " in line for line in running) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert processes_of(process.pid) == []


@pytest.mark.parametrize("over_tcp", [False, True], ids=["unix socket", "tcp"])
def test_a_sidecar_asks_the_authorization_service(tmp_path: Path, over_tcp: bool) -> None:
    port = free_port()
    system = write_system(
        tmp_path, more=f"authorization: 127.0.0.1:{free_port()}" if over_tcp else "", entrance=port
    )
    with up(system, tmp_path / "s"):
        answer = httpx.post(f"http://127.0.0.1:{port}/", json={"jsonrpc": "2.0", "id": 1, "method": "message/send"})
    assert answer.status_code == 403
    # The service's own answer, not Envoy's for a service that is away.
    assert answer.json()["reason"] == "token_missing"
    assert answer.headers["www-authenticate"] == 'Bearer realm="casa"'


def test_up_started_again_goes_on_with_the_same_apps(tmp_path: Path) -> None:
    system = write_system(tmp_path)
    secret = tmp_path / "s/apps/web/client-secret"
    with up(system, tmp_path / "s") as (process, first):
        kept = secret.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with up(system, tmp_path / "s") as (_, second):
        assert second["apps"] == first["apps"]
        assert secret.read_text() == kept


def test_up_keeps_its_files_to_their_owner(tmp_path: Path) -> None:
    with up(write_system(tmp_path), tmp_path / "s"):
        for path in (tmp_path / "s").rglob("*"):
            if path.is_file() and "secret" in path.name or "key" in path.name or path.name == "envoy.json":
                assert path.stat().st_mode & 0o077 == 0, path
        assert (tmp_path / "s").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("apps", "expected"),
    [
        ("  - {name: web, kind: client}", "two apps have the same name"),
        ("  - {name: bank, kind: mcp_server}", "need `url`"),
        ("  - {name: bank, kind: robot}", "`kind` must be client, agent, mcp_server"),
        ("  - {name: bank, kind: client, colour: red}", "has no `colour`"),
        (
            '  - {name: a, kind: client, calls: [{app: helper, listen: "127.0.0.1:9"}, {app: helper, listen: "127.0.0.1:9"}]}',
            "127.0.0.1:9 is given twice",
        ),
        ('  - {name: bank, kind: client, calls: [{app: nobody, listen: "127.0.0.1:9"}]}', "calls nobody"),
    ],
)
def test_a_wrong_file_is_refused_with_what_was_expected(tmp_path: Path, apps: str, expected: str) -> None:
    done = run("up", str(write_system(tmp_path, apps)), "--directory", str(tmp_path / "s"))
    assert done.returncode != 0
    assert expected in done.stderr and "system.yaml" in done.stderr


def test_a_missing_file_is_refused() -> None:
    done = run("up", "/nonexistent/system.yaml")
    assert done.returncode != 0 and "can't be read" in done.stderr


def test_a_clusters_objects_are_refused_with_the_option_that_takes_them() -> None:
    for name in ("mas.yaml", "policy.yaml"):
        file = f"examples/kubernetes/banking/{name}"
        done = run("up", file)
        assert done.returncode == 1 and f"casa up -f {file}" in done.stderr


@pytest.mark.parametrize("command", [[], ["demo"], ["up"], ["runtime"], ["authorize"], ["sidecar"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "casa" in done.stdout and "OPTIONS" in done.stdout


def test_the_printed_bootstrap_holds_no_key(tmp_path: Path) -> None:
    with up(write_system(tmp_path), tmp_path / "s"):
        key = (tmp_path / "s/apps/helper/sidecar-key").read_text().strip()
        done = run("sidecar", str(tmp_path / "s/apps/helper/workload.yaml"), "--print-bootstrap")
        assert done.returncode == 0
        json.loads(done.stdout)
        assert key not in done.stdout
