"""A `casa node run` as a real process on the real kernel, and processes in cgroups of their own beneath it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from casa_runtime import Json, binary, wait_until

BPF = Path("/sys/fs/bpf")
READY = 60.0
TOLD = 30.0
"""Seconds within which a guard that was started anew on a busy machine has told of what it missed."""


def cgroup_root() -> Path:
    """Where cgroup v2 is mounted: alone, or beside version 1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise AssertionError("cgroup v2 is mounted nowhere; expected it at /sys/fs/cgroup or /sys/fs/cgroup/unified")


def mount_bpf() -> None:
    """Mounts the BPF file system where it is not, as a machine's boot does."""
    if f" {BPF} bpf " not in Path("/proc/mounts").read_text():
        subprocess.run(["mount", "-t", "bpf", "bpf", str(BPF)], check=True)


NewNode = Callable[..., "Node"]


@dataclass
class Ran:
    """How a Python function ended that ran in a cgroup."""

    status: int
    value: Any

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


@dataclass
class Node:
    """A guard, its cgroups and its pins, all of one test and removed after it."""

    directory: Path
    policy: Json
    name: str = field(default_factory=lambda: f"casa-test-{os.getpid()}-{time.monotonic_ns()}")
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def pins(self) -> Path:
        return BPF / self.name

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def cgroups(self) -> Path:
        return cgroup_root() / self.name

    def path(self, workload: str) -> str:
        """A workload's cgroup as a policy names it."""
        return f"/{self.name}/{workload}"

    # Its life

    @contextlib.contextmanager
    def running(self) -> Iterator[Node]:
        mount_bpf()
        try:
            self.cgroups.mkdir()
            self.write_policy(self.policy)
            self.start()
            yield self
        finally:
            self.remove()

    def write_policy(self, policy: Json) -> None:
        """Replaces the file at once, as an editor or a controller does."""
        self.policy = policy
        self.directory.mkdir(parents=True, exist_ok=True)
        for workload in policy["workloads"]:
            path = workload.get("cgroup")
            if path:
                (cgroup_root() / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        new = self.directory / "node.yaml.new"
        new.write_text(yaml.safe_dump(policy))
        new.rename(self.directory / "node.yaml")

    def replace_policy(self, policy: Json) -> None:
        """The same, and waits until it is enforced."""
        before = self.log().count("policy replaced")
        self.write_policy(policy)
        wait_until(lambda: self.log().count("policy replaced") > before, "the new policy is enforced", READY)

    def start(self) -> None:
        command = [str(binary()), "node", "run", "--policy", str(self.directory / "node.yaml"), *self.places()]
        command += ["--cgroups", str(cgroup_root()), *self.arguments]
        ready = self.log().count(" ready")
        with (self.directory / "node.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: self._is_ready(ready), "casa node run is ready", READY)

    def _is_ready(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"casa node run ended:\n{self.log()}"
        return self.log().count(" ready") > before

    def places(self) -> list[str]:
        return ["--pins", str(self.pins), "--state", str(self.state)]

    def log(self) -> str:
        file = self.directory / "node.log"
        return file.read_text() if file.exists() else ""

    def kill(self) -> None:
        """As the kernel's out-of-memory killer would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)

    def resident_bytes(self) -> int:
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def remove(self) -> None:
        """Leaves nothing behind, whatever the test did."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # Not by casa: it is what is tested.
        if self.pins.exists():
            shutil.rmtree(self.pins)
        if self.cgroups.exists():
            for procs in self.cgroups.rglob("cgroup.procs"):
                for process in procs.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(process), signal.SIGKILL)
            wait_until(lambda: self._remove_cgroups(), "the test's cgroups are empty and gone")

    def _remove_cgroups(self) -> bool:
        with contextlib.suppress(OSError):
            for folder in sorted(self.cgroups.rglob("*"), reverse=True):
                if folder.is_dir():
                    folder.rmdir()
            self.cgroups.rmdir()
        return not self.cgroups.exists()

    # What it is asked

    def casa(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary()), "node", *arguments, *self.places()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def status(self) -> Json:
        answer: Json = json.loads(self.casa("status", "--format", "json").stdout)
        return answer

    def flows(self, **wanted: Any) -> list[Json]:
        """The events so far with these fields."""
        events: list[Json] = []
        for name in ("flows.1.jsonl", "flows.jsonl"):
            file = self.state / name
            if file.exists():
                events += [json.loads(line) for line in file.read_text().splitlines()]
        return [event for event in events if all(event.get(key) == value for key, value in wanted.items())]

    def flow(self, **wanted: Any) -> Json:
        """Waits for an event with these fields."""

        def found() -> Json | None:
            events = self.flows(**wanted)
            return events[-1] if events else None

        return wait_until(found, f"an event with {wanted}; there are {self.flows()[-5:]}", TOLD)

    # What runs in it

    def enter(self, workload: str, process: int | str = 0) -> None:
        """Puts a process into a workload's cgroup; 0 is the caller."""
        (self.cgroups / workload / "cgroup.procs").write_text(str(process))

    def run(self, workload: str, function: Callable[[], Any], timeout: float = 20) -> Ran:
        """Runs a function in a child in the workload's cgroup; its value must be JSON.

        An OSError becomes its errno's name, so that a test can say which error it expects.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            status = 1
            try:
                self.enter(workload)
                try:
                    value: Any = function()
                except OSError as error:
                    value = errno_name(error)
                os.write(writing, json.dumps(value).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            watch = Watch(child, timeout)
            answer = pipe.read()
            status = watch.end()
        return Ran(status, json.loads(answer) if answer else None)

    def popen(self, workload: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a program in the workload's cgroup."""
        join = f"echo $$ > {self.cgroups / workload / 'cgroup.procs'} && exec \"$@\""
        return subprocess.Popen(["sh", "-c", join, "sh", *command], **options)

    def python(self, workload: str, code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs Python in the workload's cgroup, in a process of its own program."""
        process = self.popen(
            workload, [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, error = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), error.decode())


class Watch:
    """Kills a child that hangs."""

    def __init__(self, child: int, timeout: float) -> None:
        self.child = child
        self.guard = subprocess.Popen(["sh", "-c", f"sleep {timeout}; kill -9 {child}"], start_new_session=True)

    def end(self) -> int:
        _, status = os.waitpid(self.child, 0)
        os.killpg(self.guard.pid, signal.SIGKILL)
        self.guard.wait()
        return os.waitstatus_to_exitcode(status)


def errno_name(error: OSError) -> str:
    import errno as numbers

    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    return numbers.errorcode.get(error.errno or 0, str(error))


class Sink:
    """A server that reads all and answers a byte to each piece."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_server((address, 0), backlog=128)
        self.address = address
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(1 << 20):
                    connection.sendall(b".")
            except OSError:
                pass

    def close(self) -> None:
        self.socket.close()


def agent_policy(node: Node, *outbound: Json, **more: object) -> Json:
    """A policy with one workload, `agent`."""
    return {"workloads": [{"name": "agent", "cgroup": node.path("agent"), "outbound": list(outbound), **more}]}
