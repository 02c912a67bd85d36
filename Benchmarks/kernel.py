"""What the kernel programs cost, by the kernel's own statistics, under 10,000 workloads of 50 rules each.

The guard, its cgroups and its processes are those of the end-to-end tests (Tests/EndToEnd/node). It needs root.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results import ROUNDS, SECONDS, Json, Result, median_ratio
from stack import ROOT, free_ports

sys.path[:0] = [str(ROOT / "Tests/EndToEnd"), str(ROOT / "Tests/EndToEnd/node")]
from casa_node import Node, mount_bpf  # noqa: E402

WORKLOADS = 10_000
RULES = 50
TOKEN_BYTES = 1024
BPF_SYSCALL = 321
PROG_LOAD, GET_INFO, LINK_CREATE, ENABLE_STATS = 5, 15, 28, 32
CGROUP_SKB, CGROUP_INET_EGRESS = 8, 1
RUN_TIME_AT = 192
"""Where a program's nanoseconds stand in `struct bpf_prog_info`, and its runs behind them."""


def bpf(command: int, attributes: bytes) -> int:
    """What libbpf has no command line for."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = ctypes.create_string_buffer(attributes, 128)
    result: int = libc.syscall(BPF_SYSCALL, command, place, len(place))
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result


@contextmanager
def measured_programs() -> Iterator[None]:
    """Has the kernel time its programs all the while; that itself costs each run some tens of nanoseconds."""
    descriptor = bpf(ENABLE_STATS, b"")
    try:
        yield
    finally:
        os.close(descriptor)


class EmptyProgram:
    """Lets each packet out that a cgroup sends and does nothing else: what it takes is what the timing takes."""

    def __init__(self, cgroup: Path) -> None:
        code = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)  # return 1
        instructions, license = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
        where = ctypes.addressof(instructions), ctypes.addressof(license)
        attributes = struct.pack("<IIQQ44xI", CGROUP_SKB, 2, *where, CGROUP_INET_EGRESS)
        self.program = bpf(PROG_LOAD, attributes)
        folder = os.open(cgroup, os.O_RDONLY)
        self.link = bpf(LINK_CREATE, struct.pack("<III", self.program, folder, CGROUP_INET_EGRESS))
        os.close(folder)

    def runs(self) -> tuple[int, int]:
        info = ctypes.create_string_buffer(256)
        bpf(GET_INFO, struct.pack("<IIQ", self.program, len(info), ctypes.addressof(info)))
        time_ns, count = struct.unpack_from("<QQ", info, RUN_TIME_AT)
        return count, time_ns

    def close(self) -> None:
        os.close(self.link)
        os.close(self.program)


def policy(node: Node, port: int) -> Json:
    """The agent may reach the server by its last rule; all others are like it."""

    def rules(last: Json) -> list[Json]:
        return [{"to": f"10.{i}.0.1", "ports": i + 1} for i in range(RULES - 1)] + [last]

    local = {"to": "127.0.0.1", "ports": port}
    agent = {"name": "agent", "cgroup": node.path("agent"), "outbound": rules(local)}
    server = {"name": "server", "cgroup": node.path("server"), "inbound": [{"from": "127.0.0.1", "ports": port}]}
    others = [
        {"name": f"w{i}", "cgroup": f"/elsewhere/w{i}", "outbound": rules({"to": f"10.99.{i % 256}.1", "ports": 443})}
        for i in range(WORKLOADS - 2)
    ]
    return {"workloads": [agent, server, *others]}


def write(node: Node, rules: Json) -> None:
    """As JSON, which is read faster than YAML, and without the others' cgroups."""
    node.directory.mkdir(parents=True, exist_ok=True)
    for name in ("agent", "server"):
        (node.cgroups / name).mkdir(exist_ok=True)
    (node.directory / "node.yaml").write_text(json.dumps(rules, separators=(",", ":")))


SERVER = """
import socket, sys, threading
def serve(connection):
    with connection:
        try:
            while data := connection.recv(1 << 20):
                if len(data) < 8192: connection.sendall(b".")
        except OSError: pass
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


def connect_often(port: int, times: int) -> None:
    for _ in range(times):
        with socket.socket() as connection:
            connection.connect(("127.0.0.1", port))


def ask_often(port: int, times: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            connection.sendall(request)
            connection.recv(64)


def send_bulk(port: int, seconds: float) -> float:
    """MB/s"""
    piece = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start, sent = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            connection.sendall(piece)
            sent += 1
        return sent / (time.perf_counter() - start)


REQUEST = (
    b"POST /mcp HTTP/1.1\r\nHost: bank.example\r\nUser-Agent: agent/1.0\r\nAccept: application/json\r\n"
    b"Content-Type: application/json\r\nAuthorization: Bearer " + b"t" * TOKEN_BYTES + b"\r\n"
    b"Content-Length: 100\r\n\r\n" + b"{" * 100
)


def runs(node: Node) -> dict[str, tuple[int, int]]:
    return {each["name"]: (each["runs"], each["run_time_ns"]) for each in node.status()["programs"]}


def mapped_mb(node: Node) -> float:
    """What the kernel says its maps take."""
    total = 0
    for pin in (node.pins / "maps").iterdir():
        shown = subprocess.run(["bpftool", "-j", "map", "show", "pinned", str(pin)], capture_output=True, check=True)
        total += json.loads(shown.stdout).get("bytes_memlock", 0)
    return total / (1 << 20)


def spent(node: Node, program: str, work: object, *arguments: object) -> tuple[int, int]:
    """Runs and nanoseconds of a program while the agent does some work; the median round by its mean."""
    rounds = []
    for _ in range(ROUNDS):
        before = runs(node)[program]
        ran = node.run("agent", lambda: work(*arguments), timeout=120)  # type: ignore[operator]
        assert ran.status == 0, ran
        after = runs(node)[program]
        rounds.append((after[0] - before[0], after[1] - before[1]))
    return sorted(rounds, key=lambda each: each[1] / max(each[0], 1))[len(rounds) // 2]


def results(folder: Path) -> Iterator[Result]:
    mount_bpf()
    (port,) = free_ports(1)
    node = Node(Path(tempfile.mkdtemp(dir=folder)), {})
    free: list[float] = []
    guarded: list[float] = []
    try:
        node.cgroups.mkdir()
        write(node, policy(node, port))
        server = node.popen("server", [sys.executable, "-c", SERVER, str(port)], stdout=-1)
        assert server.stdout and server.stdout.readline() == b"ready\n"
        # In turns, so that a machine that is fast at one time and slow at another is so to both.
        loads: list[float] = []
        for turn in range(2 * ROUNDS):
            if turn:
                node.stop()
                node.casa("detach").check_returncode()
            free.append(node.run("agent", lambda: send_bulk(port, SECONDS / 2)).value)
            start = time.perf_counter()
            node.start()
            loads.append(time.perf_counter() - start)
            guarded.append(node.run("agent", lambda: send_bulk(port, SECONDS / 2)).value)
        yield Result("kernel_policy_load", statistics.median(loads), f"s, {WORKLOADS} workloads of {RULES} rules")
        yield Result(
            "kernel_bulk_tcp_ratio", statistics.median(guarded), "MB/s, guarded both ways", "no programs attached",
            statistics.median(free), paired_ratio=median_ratio(guarded, free),
        )  # fmt: skip
        assert node.process is not None
        status = Path(f"/proc/{node.process.pid}/status").read_text()
        resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
        yield Result("kernel_guard_resident_memory", resident, "MB")
        yield Result("kernel_maps_memory", mapped_mb(node), "MB")
        with measured_programs():
            count, time_ns = spent(node, "casa_connect4", connect_often, port, 3000)
            yield Result("kernel_connect_ns", time_ns / count, f"ns, by the last of {RULES} rules")
            count, time_ns = spent(node, "casa_egress", ask_often, port, 20_000, b"\x01\x02" * 20)
            yield Result("kernel_egress_ns", time_ns / count, "ns a packet without a header")
            empty = EmptyProgram(node.cgroups / "agent")
            before = empty.runs()
            node.run("agent", lambda: ask_often(port, 20_000, b"\x01\x02" * 20), timeout=120)
            count, time_ns = (after - former for after, former in zip(empty.runs(), before))
            empty.close()
            yield Result("kernel_timing_ns", time_ns / count, "ns an empty program, by the same statistics")
            count, time_ns = spent(node, "casa_egress", ask_often, port, 5000, REQUEST)
            yield Result("kernel_hash_1k_us", time_ns / 5000 / 1000, "us a request, token of 1 KiB")
            count, time_ns = spent(node, "casa_sys_enter", os.getppid)
            yield Result("kernel_syscall_ns", time_ns / count, "ns a system call that is of no interest")
        for program in node.status()["programs"]:
            name = program["name"].removeprefix("casa_")
            yield Result(f"kernel_verified_{name}", program["verified_instructions"], "instructions verified")
    finally:
        node.remove()
