"""Load on an HTTP server of this machine, by h2load, and what came of it."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A request that is sent over and over."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Load:
    """What a run measured: requests a second, and the time until an answer's end in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failures: int


def run(target: Target, *, seconds: int, connections: int = 32, rate: float | None = None) -> Load:
    """Sends requests for `seconds`: as fast as answers come, or `rate` of them a second over all connections."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        log = Path(folder) / "log"
        command = ["h2load", "--h1", "-t1", f"-c{connections}", f"-D{seconds}", f"--log-file={log}"]
        for name, value in target.headers.items():
            command += ["-H", f"{name}: {value}"]
        if target.body is not None:
            body = Path(folder) / "body"
            body.write_bytes(target.body)
            command += ["-d", str(body)]
        if rate is not None:
            command.append(f"--rps={rate / connections:.3f}")
        output = subprocess.run([*command, target.url], check=True, capture_output=True, text=True).stdout
        return summary(log, output, seconds)


def summary(log: Path, output: str, seconds: int) -> Load:
    """Reads h2load's log: start in microseconds, status, duration in microseconds."""
    durations: list[int] = []
    failures = 0
    for line in log.read_text().splitlines():
        _, status, duration = line.split("\t")[:3]
        durations.append(int(duration))
        failures += not status.startswith("2")
    if not durations:
        raise RuntimeError(f"no request was answered: {output[-600:]}")
    durations.sort()
    measured = re.search(r"finished in ([\d.]+)(ms|s)", output)
    elapsed = float(seconds)
    if measured:
        elapsed = float(measured[1]) / (1000 if measured[2] == "ms" else 1)
    return Load(
        per_second=len(durations) / elapsed,
        p50_ms=durations[len(durations) // 2] / 1000,
        p99_ms=durations[min(len(durations) - 1, len(durations) * 99 // 100)] / 1000,
        requests=len(durations),
        failures=failures,
    )


def median(loads: list[Load]) -> Load:
    """The run in the middle by throughput."""
    middle = statistics.median_low([load.per_second for load in loads])
    return next(load for load in loads if load.per_second == middle)


def cpu_seconds(pid: int) -> float:
    """How long a process has kept a processor busy."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mb(pid: int) -> float:
    """A process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024
