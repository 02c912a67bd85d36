"""The two small C programs of the benchmarks: a server that answers at once, and a sender of prepared requests."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from load import Load

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "Benchmarks/native"
BUILT = ROOT / ".build/benchmarks"


def program(name: str) -> str:
    """Compiles a program of ours when it is not there yet, or older than its source."""
    built = BUILT / name
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if not built.exists() or built.stat().st_mtime < newest:
        BUILT.mkdir(parents=True, exist_ok=True)
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
        made = BUILT / f"{name}.{os.getpid()}"
        subprocess.run(["clang", *flags, "-o", str(made), str(SOURCES / f"{name}.c")], check=True)
        made.rename(built)
    return str(built)


def start_server(port: int, log: Path | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program("mcp_server"), str(port), *([str(log)] if log else [])])


@dataclass(frozen=True)
class Request:
    """One request, and a number by which the outcomes tell of it."""

    id: int
    path: str
    headers: Mapping[str, str]
    body: bytes

    def record(self) -> bytes:
        """As `replay` reads it."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {len(self.body)}\r\n\r\n"
        return f"{self.id} {len(head) + len(self.body)}\n{head}".encode() + self.body


@dataclass(frozen=True)
class Outcome:
    """What came of a request; times in seconds, the start of the monotonic clock."""

    id: int
    start: float
    duration: float
    status: int
    word: str
    """`ok` when the answer holds what was expected, else the reason of the refusal or `-`."""

    @staticmethod
    def of(line: str) -> Outcome:
        number, start, duration, status, word = line.split(" ", 4)
        return Outcome(int(number), int(start) / 1e6, int(duration) / 1e6, int(status), word)

    @property
    def is_success(self) -> bool:
        return self.status == 200 and self.word == "ok"

    @property
    def end(self) -> float:
        return self.start + self.duration


def replay(
    port: int, requests: Iterable[Request], expected: str, *, connections: int = 32, bodies: Path | None = None
) -> list[Outcome]:
    """Sends requests as fast as their answers come."""
    with ExitStack() as files:
        sent = files.enter_context(tempfile.TemporaryFile(dir="/dev/shm"))
        for request in requests:
            sent.write(request.record())
        sent.seek(0)
        command = [program("replay"), str(port), str(connections), expected, "0", *([str(bodies)] if bodies else [])]
        output = subprocess.run(command, stdin=sent, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Outcome.of(line) for line in output.splitlines()]


def summary(outcomes: list[Outcome]) -> Load:
    durations = sorted(outcome.duration for outcome in outcomes)
    elapsed = max(outcome.end for outcome in outcomes) - min(outcome.start for outcome in outcomes)
    return Load(
        per_second=len(outcomes) / elapsed,
        p50_ms=durations[len(durations) // 2] * 1000,
        p99_ms=durations[min(len(durations) - 1, len(durations) * 99 // 100)] * 1000,
        requests=len(outcomes),
        failures=sum(not outcome.is_success for outcome in outcomes),
    )
