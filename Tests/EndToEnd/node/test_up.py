"""`casa up -f --node-guard`: the kernel holds the apps to their own sidecars (attack 33)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from casa_node import BPF, cgroup_root, mount_bpf
from casa_runtime import Json, binary, wait_until
from up_stack import UpStack

NAME = f"casa-up-test-{os.getpid()}-{time.monotonic_ns()}"
TRANSFER = 'Transfer 25 EUR for "dinner" to IT60X0542811101000000123456'
CONNECT = """
import errno, socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3).close()
    print("connected")
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpStack]:
    mount_bpf()
    guard = ["--node-guard", "--cgroup", f"/{NAME}/banking", "--pins", str(BPF / NAME)]
    try:
        with UpStack(tmp_path_factory.mktemp("up"), arguments=guard).running("agent", "bank") as stack:
            yield stack
    finally:
        # What a test that failed has left.
        subprocess.run([str(binary()), "node", "detach", "--pins", str(BPF / NAME)], check=False)


def connect(stack: UpStack, app: str, port: int) -> str:
    return stack.run(app, "python3", "-c", CONNECT, str(port)).stdout.strip()


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


def test_a_transfer_passes_with_every_app_held(bank: UpStack) -> None:
    before = len(bank.ledger()["executed"])
    bank.send_prompt(TRANSFER)
    assert len(bank.ledger()["executed"]) == before + 1


@pytest.mark.attack(33, "casa up --node-guard: the agent calls the bank's own port", layer="kernel")
def test_an_app_reaches_its_own_sidecar_and_nothing_else(bank: UpStack) -> None:
    assert connect(bank, "agent", port_of(bank.calls("agent")["bank"])) == "connected"
    assert connect(bank, "agent", bank.bank_app) == "EPERM"
    # Nor another app's way, the bank's own sidecar, the LLM past its sidecar, or the runtime.
    others = [bank.calls("client")["agent"], bank.ready["endpoints"]["bank"]["called_at"]]
    for port in [*map(port_of, others), bank.llm_app, bank.runtime_port]:
        assert connect(bank, "agent", port) == "EPERM", port
    assert connect(bank, "bank", bank.runtime_port) == "EPERM"

    def told() -> Json | None:
        found = [
            event
            for event in bank.runtime.events(kind="flow_refused")
            if event["app_id"] == bank.ready["apps"]["agent"] and str(bank.bank_app) in json.dumps(event["payload"])
        ]
        return found[-1] if found else None

    assert wait_until(told, "the trace shows what the kernel refused")


def test_an_app_is_not_started_when_it_can_not_be_held(bank: UpStack, tmp_path: Path) -> None:
    launch = bank.state / "apps/agent/launch.json"
    kept = launch.read_text()
    try:
        launch.write_text(json.dumps({**json.loads(kept), "cgroup": str(tmp_path / "gone")}))
        done = bank.run("agent", "touch", str(tmp_path / "started"))
    finally:
        launch.write_text(kept)
    assert done.returncode != 0 and "not started unguarded" in done.stderr
    assert not (tmp_path / "started").exists()


def test_in_the_end_nothing_is_left_in_the_kernel(bank: UpStack) -> None:
    assert (BPF / NAME).exists()
    bank.end_apps()
    assert not (BPF / NAME).exists()
    assert not (cgroup_root() / NAME / "banking").exists()
    assert not (bank.state / "apps/agent/launch.json").exists()
