"""The node guard alone: a workload that may reach one address, no sidecar, no runtime, and what it gets through.

Run as root, with the file to write: one JSON row for each attack of the list that was mounted. What concerns other machines' names, DNS
and sockets of all kinds is mounted by Tests/EndToEnd/node.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent), str(FOLDER.parent / "node")]

import httpx  # noqa: E402
from attempts import TO_ATTACKER, TRANSFER  # noqa: E402
from casa_node import Node, Sink  # noqa: E402
from casa_runtime import Json, bank_server  # noqa: E402
from casa_stack import mcp_headers, message_send, tool_call  # noqa: E402
from test_requests import TRICKS, Wire  # noqa: E402

# So little that the account has it for all of them.
CALL = tool_call(TRANSFER, {**TO_ATTACKER, "amount": 1})
# How the tokens of these attacks look on the wire; to the kernel they are all bytes.
CALLS = {
    1: "a forged token (alg none)",
    2: "an expired token",
    3: "a truncated token",
    4: "a token for another call",
    7: "a revoked token",
    11: "no traceparent",
    19: "a batch",
    22: "a tool's look-alike",
    23: "a changed tool",
    27: "a call that no LLM selected",
    28: "a call that an injection led to",
    29: "the attacker's arguments",
    30: "a padded task's call",
    31: "a near miss",
    45: "a call with a selection of the agent's own",
    47: "a call that an answer hid",
    48: "a call with claims in header fields",
    49: "a middle agent's wider call",
    50: "a call of a refused exchange",
}
# What is on the wire of those that end in no call of a tool.
BYTES = {
    14: b"POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n",
    16: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
    20: b'POST /mcp HTTP/1.1\r\nHost: bank\r\nContent-Length: 24\r\n\r\n{"name":"a","name":"bad"}',
    21: b'POST /mcp HTTP/1.1\r\nHost: bank\r\nContent-Length: 24\r\n\r\n{"method":"tools/call "}\r\n',
    24: b"GET /mcp HTTP/1.1\r\nHost: bank\r\nMcp-Session-Id: of-another\r\nLast-Event-ID: 1\r\n\r\n",
    25: b'POST /mcp HTTP/1.1\r\nHost: bank\r\nContent-Length: 27\r\n\r\n{"method":"resources/read"}',
}
TO_RUNTIME = {
    5: "asks the runtime for a wider token",
    6: "exchanges a token of another workload",
    8: "asks the runtime about tokens",
    10: "shows the runtime an assertion again",
    39: "asks the administrator's API",
    46: "registers the system again",
}


@dataclass
class Ground:
    """Where the attacks are mounted."""

    node: Node
    bank: str
    permitted: Sink
    runtime: Sink
    agent: Sink
    rows: list[Json]

    def note(self, attack: int, case: str, stopped: bool, evidence: str) -> None:
        outcome = "stopped" if stopped else "passed"
        self.rows.append({"attack": attack, "case": case, "layer": "kernel", "outcome": outcome, "evidence": evidence})

    def run(self, workload: str, act: Callable[[], Any]) -> Any:
        ran = self.node.run(workload, act)
        assert ran.status == 0, ran
        return ran.value


def send(port: int, data: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        return "answered" if connection.recv(1) else "closed"


def executed(bank: str) -> int:
    return len(httpx.get(bank.replace("/mcp", "/ledger"), trust_env=False).json()["executed"])


def call(bank: str, body: Any, headers: dict[str, str]) -> int:
    own = {**mcp_headers("tools/call", TRANSFER), **headers}
    return httpx.post(bank, json=body, headers=own, timeout=10, trust_env=False).status_code


def mount(ground: Ground) -> None:
    for attack, case in CALLS.items():
        before = executed(ground.bank)
        headers = {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30.", "x-user": "root"}
        status = ground.run("agent", lambda: call(ground.bank, CALL, headers))
        done = executed(ground.bank) > before
        assert done == (status == 200), (attack, status)
        ground.note(attack, case, not done, "the bank made the transfer" if done else f"{status}")
    wires: dict[int, list[bytes]] = {number: [data] for number, data in BYTES.items()}
    for number, tricks in TRICKS.items():
        wires[number] = [data for data in tricks(Wire("x")).values() if data]
    for attack, every in sorted(wires.items()):
        for data in every:
            said = ground.run("agent", lambda: send(ground.permitted.port, data))
            ground.note(attack, "the same bytes to a permitted address", said != "answered", f"the bytes: {said}")
    for attack, case in TO_RUNTIME.items():
        said = ground.run("agent", lambda: send(ground.runtime.port, b"POST /oauth/token HTTP/1.1\r\n\r\n"))
        ground.note(attack, case, said == "EPERM", f"connect: {said}")
    words = json.dumps(message_send("hello")).encode()
    said = ground.run("stranger", lambda: send(ground.agent.port, words))
    ground.note(26, "a workload that no policy names calls the agent", said == "EPERM", f"connect: {said}")
    said = ground.run("agent", lambda: send(ground.runtime.port, b"GET / HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n"))
    ground.note(38, "a token is carried to an address that no rule names", said == "EPERM", f"connect: {said}")


def measure() -> list[Json]:
    with tempfile.TemporaryDirectory() as directory, bank_server() as bank:
        sinks = [Sink() for _ in range(3)]
        node = Node(Path(directory) / "node", {})
        port = int(bank.split(":")[2].split("/")[0])
        rules = [{"to": "127.0.0.1", "ports": port}, {"to": "127.0.0.1", "ports": sinks[0].port}]
        workloads = [{"name": "agent", "cgroup": node.path("agent"), "outbound": rules}]
        workloads.append({"name": "stranger", "cgroup": node.path("stranger"), "outbound": []})
        node.policy = {"guarded": [f"/{node.name}"], "workloads": workloads}
        ground = Ground(node, bank, sinks[0], sinks[1], sinks[2], [])
        with node.running():
            mount(ground)
        for sink in sinks:
            sink.close()
        return ground.rows


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure(), indent=1) + "\n")
